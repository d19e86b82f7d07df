//! How many requests run at a time: additive increase, multiplicative decrease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Metrics;

/// Failures that come together count once.
const ONE_DECREASE: Duration = Duration::from_secs(1);

/// Starts with two connections, which suffice for one node.
const START: f64 = 2.0;

#[derive(Debug)]
pub(crate) struct Limit {
    max: f64,
    state: Mutex<State>,
    freed: Notify,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    limit: f64,
    in_flight: usize,
    decreased: Option<Instant>,
}

/// One request's turn; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Limit>);

impl Limit {
    pub(crate) fn new(max: usize, metrics: Metrics) -> Arc<Self> {
        let max = max.max(1) as f64;
        let state = State {
            limit: START.min(max),
            in_flight: 0,
            decreased: None,
        };
        let limit = Self {
            max,
            state: Mutex::new(state),
            freed: Notify::new(),
            metrics,
        };
        limit.show(&limit.lock());
        Arc::new(limit)
    }

    pub(crate) async fn acquire(self: &Arc<Self>) -> Permit {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.lock();
                if state.in_flight < whole(state.limit) {
                    state.in_flight += 1;
                    self.show(&state);
                    if state.in_flight < whole(state.limit) {
                        self.freed.notify_one();
                    }
                    return Permit(Arc::clone(self));
                }
            }
            freed.await;
        }
    }

    /// A request went through. Grows only while the limit is what holds requests back.
    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        if state.in_flight >= whole(state.limit) {
            state.limit = (state.limit + 1.0 / state.limit).min(self.max);
            self.show(&state);
            drop(state);
            self.freed.notify_one();
        }
    }

    /// The store is overloaded or did not answer.
    pub(crate) fn overloaded(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        if state.decreased.is_none_or(|at| now - at >= ONE_DECREASE) {
            state.decreased = Some(now);
            state.limit = (state.limit / 2.0).max(1.0);
            self.show(&state);
        }
    }

    /// Requests that may run, and that run.
    pub(crate) fn now(&self) -> (usize, usize) {
        let state = self.lock();
        (whole(state.limit), state.in_flight)
    }

    fn show(&self, state: &State) {
        self.metrics.concurrency.set(whole(state.limit) as i64);
        self.metrics.in_flight.set(state.in_flight as i64);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.in_flight -= 1;
        self.0.show(&state);
        drop(state);
        self.0.freed.notify_one();
    }
}

fn whole(limit: f64) -> usize {
    limit as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn grows_while_full_and_halves_on_overload() {
        let limit = Limit::new(8, Metrics::default());
        let mut permits = Vec::new();
        for _ in 0..200 {
            while limit.now().0 > limit.now().1 {
                permits.push(limit.acquire().await);
            }
            limit.succeeded();
        }
        assert_eq!(limit.now().0, 8, "the option is the ceiling");
        while limit.now().1 < 8 {
            permits.push(limit.acquire().await);
        }
        let ninth = tokio::time::timeout(Duration::from_secs(1), limit.acquire()).await;
        assert!(ninth.is_err(), "the ninth waits");
        limit.overloaded();
        limit.overloaded();
        assert_eq!(limit.now().0, 4, "failures that come together count once");
        for _ in 0..5 {
            tokio::time::advance(ONE_DECREASE).await;
            limit.overloaded();
        }
        assert_eq!(limit.now().0, 1);
        drop(permits);
        for _ in 0..50 {
            limit.succeeded();
        }
        assert_eq!(limit.now().0, 1, "no growth without need");
    }
}
