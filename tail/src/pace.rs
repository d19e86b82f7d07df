//! How long the lines of a stream that keeps growing wait for company.
//!
//! Every group has a price that does not depend on its size: an entry of the journal, a chunk's
//! head, an answer. While few streams are busy there are few groups, and nobody shall wait; among
//! many each group has to hold more lines. [`Options::max_age`](crate::Options::max_age) bounds it.

use std::time::Duration;

/// The wait when one stream is busy.
const ALONE: Duration = Duration::from_millis(25);

/// What each further busy stream adds: with 2 ms fewer than 500 groups a second are sent, until the
/// wait has reached its bound.
const EACH: Duration = Duration::from_millis(2);

/// Counts the sequences that were handed out, by the seconds of the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    second: u64,
    n_now: u32,
    n_before: u32,
}

impl Pace {
    /// A sequence is handed out. `counted`: the second in which it was counted last.
    pub(crate) fn count(&mut self, counted: &mut u64, now: Duration) {
        let second = now.as_secs();
        if second != self.second {
            let is_next = second == self.second + 1;
            self.n_before = if is_next { self.n_now } else { 0 };
            self.n_now = 0;
            self.second = second;
        }
        if *counted != second {
            *counted = second;
            self.n_now = self.n_now.saturating_add(1);
        }
    }

    /// How long the oldest unsent line of a growing stream waits.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        ALONE + EACH * self.n_busy(now).saturating_sub(1)
    }

    /// Groups of growing streams go at multiples of this, so that one batch takes several of them;
    /// zero where there is one stream, which has nobody to wait for.
    pub(crate) fn step(&self, now: Duration) -> Duration {
        match self.n_busy(now) {
            0 | 1 => Duration::ZERO,
            _ => ALONE,
        }
    }

    /// Streams of which something was handed out of late.
    fn n_busy(&self, now: Duration) -> u32 {
        match now.as_secs().saturating_sub(self.second) {
            0 => self.n_now.max(self.n_before),
            1 => self.n_now,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_with_the_streams_of_the_last_two_seconds() {
        let mut pace = Pace::default();
        let at = |ms| Duration::from_secs(1_000) + Duration::from_millis(ms);
        let mut counted = [0; 11];
        assert_eq!(pace.age(at(0)), ALONE);
        for ms in [0, 25, 50] {
            pace.count(&mut counted[0], at(ms));
        }
        assert_eq!(pace.age(at(60)), ALONE, "one stream, however often");
        assert_eq!(pace.step(at(60)), Duration::ZERO);
        for counted in &mut counted {
            pace.count(counted, at(900));
        }
        assert_eq!(pace.age(at(950)), Duration::from_millis(45));
        assert_eq!(pace.step(at(950)), ALONE);
        assert_eq!(pace.age(at(1_100)), Duration::from_millis(45));
        pace.count(&mut counted[0], at(1_200));
        assert_eq!(pace.age(at(1_300)), Duration::from_millis(45));
        pace.count(&mut counted[0], at(2_100));
        assert_eq!(pace.age(at(2_200)), ALONE);
        assert_eq!(pace.age(at(9_000)), ALONE);
    }
}
