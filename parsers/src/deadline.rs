//! When a record has taken too long: the budget of time of a rule.
//!
//! A step that goes once through the text, in linear time, need not look: it is looked at after
//! each step. A step that goes through the text again and again (every match of an expression,
//! every value of a line whose quotes are not closed) looks after some of its turns, and fails.
//! What a single turn may take cannot be interrupted: `docs/rules/README.md` tells how long that
//! is.

use std::time::{Duration, Instant};

/// Turns between two looks at the clock, each of which costs as much as a short rule. A turn is one
/// walk through the text at the most.
const TURNS: u32 = 16;

/// Why a step fails that has looked at the clock.
pub(crate) const TOO_LONG: &str = "the record takes too long";

/// When a record has taken too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    max_time: Duration,
    /// `None`: the clock does not run. The record is short, and nothing took many turns so far.
    at: Option<Instant>,
    n_turns: u32,
}

impl Deadline {
    /// A clock that stands still until something takes many turns: for records that cannot take
    /// long otherwise.
    pub(crate) fn still(max_time: Duration) -> Deadline {
        Deadline {
            max_time,
            at: None,
            n_turns: 0,
        }
    }

    /// A clock that runs from now on.
    pub(crate) fn running(max_time: Duration) -> Deadline {
        Deadline {
            at: Instant::now().checked_add(max_time),
            ..Self::still(max_time)
        }
    }

    /// Whether it has passed.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() > at)
    }

    /// Counts a turn, and tells now and then whether it has passed. Starts a clock that stood still.
    #[inline]
    pub(crate) fn is_over_after_turn(&mut self) -> bool {
        self.n_turns = self.n_turns.wrapping_add(1);
        if !self.n_turns.is_multiple_of(TURNS) {
            return false;
        }
        if self.at.is_none() {
            *self = Deadline {
                n_turns: self.n_turns,
                ..Self::running(self.max_time)
            };
        }
        self.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_runs_from_the_start_or_when_turns_are_many() {
        assert!(!Deadline::still(Duration::ZERO).is_over());
        assert!(!Deadline::running(Duration::from_secs(3600)).is_over());
        // The clock may not have moved on yet.
        let passed = Deadline::running(Duration::ZERO);
        assert!(std::iter::repeat_with(|| passed.is_over()).any(|is_over| is_over));
        let mut late = Deadline::still(Duration::ZERO);
        let n_turns = (1..).find(|_| late.is_over_after_turn());
        assert!(n_turns.is_some_and(|n: u32| n >= TURNS && n.is_multiple_of(TURNS)));
        let mut in_time = Deadline::still(Duration::from_secs(3600));
        assert!((0..10 * TURNS).all(|_| !in_time.is_over_after_turn()));
        // A time that no clock will reach.
        assert!(!Deadline::running(Duration::MAX).is_over());
    }
}
