//! Which of many equal messages are written.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;

/// A message that repeats is written once in this time.
pub(super) const WINDOW: Duration = Duration::from_secs(30);

/// Different messages of one place in the code that are told apart in a window. Behind it they
/// count as one: 10,000 unreadable files are one trouble.
pub(super) const MAX_KEYS: usize = 50;

/// Messages of one place in the code.
#[derive(Debug, Default)]
struct Callsite {
    /// By hash of what the message says.
    seen: HashMap<u64, Seen>,
    /// The messages behind [`MAX_KEYS`].
    others: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    written: Instant,
    left_out: u64,
}

/// Remembers what was written. Its size is bounded by the places in the code.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    callsites: HashMap<Identifier, Callsite>,
}

impl Limiter {
    /// Whether to write a message: `None` for no, else how many equal ones were left out since the
    /// last that was written.
    pub(super) fn admit(&mut self, callsite: Identifier, key: u64, now: Instant) -> Option<u64> {
        let callsite = self.callsites.entry(callsite).or_default();
        if !callsite.seen.contains_key(&key) && callsite.seen.len() >= MAX_KEYS {
            callsite.seen.retain(|_, seen| !seen.is_over(now));
        }
        let fresh = Seen {
            written: now,
            left_out: 0,
        };
        let is_known = callsite.seen.contains_key(&key);
        let seen = if is_known || callsite.seen.len() < MAX_KEYS {
            if !is_known {
                callsite.seen.insert(key, fresh);
                return Some(0);
            }
            callsite.seen.get_mut(&key)?
        } else {
            match &mut callsite.others {
                Some(seen) => seen,
                others => {
                    *others = Some(fresh);
                    return Some(0);
                }
            }
        };
        if !seen.is_over(now) {
            seen.left_out = seen.left_out.saturating_add(1);
            return None;
        }
        let left_out = seen.left_out;
        *seen = fresh;
        Some(left_out)
    }
}

impl Seen {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.written) >= WINDOW
    }
}
