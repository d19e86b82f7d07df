//! Pauses between tries.

use std::time::Duration;

/// Exponential pauses with jitter, without an end.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max: max.max(min),
            tries: 0,
        }
    }

    /// Pauses made so far.
    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }

    /// The next pause: between half of the step and the whole, so that senders that failed
    /// together do not come back together. A server's own wish, where there is one, is the least.
    pub(crate) fn next_pause(&mut self, wish: Option<Duration>) -> Duration {
        let step = self
            .min
            .saturating_mul(1 << self.tries.min(20))
            .min(self.max);
        self.tries = self.tries.saturating_add(1);
        let pause = step.mul_f64(0.5 + 0.5 * fastrand::f64());
        // A wish of hours would look like a hang: the longest pause of ours bounds it, twice.
        pause.max(wish.unwrap_or_default().min(self.max.saturating_mul(2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_never_end() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        for step in [100, 200, 400, 800, 1600, 2000, 2000] {
            let pause = backoff.next_pause(None).as_millis();
            assert!((step / 2..=step).contains(&pause), "{pause} of {step}");
        }
        for _ in 0..100 {
            assert!(backoff.next_pause(None) <= Duration::from_secs(2));
        }
        assert_eq!(
            backoff.next_pause(Some(Duration::from_secs(3))),
            Duration::from_secs(3)
        );
        assert_eq!(
            backoff.next_pause(Some(Duration::from_secs(999))),
            Duration::from_secs(4)
        );
    }
}
