//! The receiver's connections: when there is no room for another one, the one that has been idle
//! the longest goes. So idle peers, however many, never keep an agent out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections there are.
#[derive(Default)]
pub(super) struct Connections {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By when they became idle.
    idle: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

/// One connection; it is gone when this is dropped. Idle at first.
pub(super) struct Seat {
    connections: Arc<Connections>,
    bell: Arc<Notify>,
    /// Its key among the idle ones.
    idle_since: Mutex<Option<u64>>,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in.
    pub(super) fn seat(self: &Arc<Self>) -> Seat {
        let seat = Seat {
            connections: Arc::clone(self),
            bell: Arc::new(Notify::new()),
            idle_since: Mutex::new(None),
        };
        seat.rest();
        seat
    }

    /// Asks the connection that has been idle the longest to leave. False when none is idle.
    pub(super) fn dismiss_oldest(&self) -> bool {
        let oldest = self.lock().idle.pop_first();
        if let Some((_, bell)) = &oldest {
            bell.notify_one();
        }
        oldest.is_some()
    }
}

impl Seat {
    /// A request is in work.
    pub(super) fn work(&self) {
        let key = self.key().take();
        if let Some(key) = key {
            self.connections.lock().idle.remove(&key);
        }
    }

    /// No request is in work.
    pub(super) fn rest(&self) {
        let mut state = self.connections.lock();
        let key = state.next;
        state.next += 1;
        state.idle.insert(key, Arc::clone(&self.bell));
        drop(state);
        *self.key() = Some(key);
    }

    /// Resolves when the connection has to make room for another one.
    pub(super) async fn dismissed(&self) {
        self.bell.notified().await;
    }

    fn key(&self) -> MutexGuard<'_, Option<u64>> {
        self.idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_that_has_been_idle_the_longest_goes() {
        let connections = Arc::new(Connections::default());
        let [first, second, third] = [0; 3].map(|_| connections.seat());
        first.work();
        third.work();
        third.rest();
        first.rest();
        // By now the second has rested for the longest, then the third.
        for seat in [&second, &third, &first] {
            assert!(connections.dismiss_oldest());
            seat.dismissed().await;
        }
        assert!(!connections.dismiss_oldest());
        first.work();
        first.rest();
        drop(first);
        assert!(!connections.dismiss_oldest());
    }
}
