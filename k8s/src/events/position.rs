//! How far Events are durable, as the Lease keeps it for its next holder.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::jiff::Timestamp;

/// The annotation of the Lease.
pub const ANNOTATION: &str = "tailrace.io/kubernetes-events-position";

/// Every state of an Event up to `version` is durable. Its text is `VERSION TIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The version of the cluster's store.
    pub version: u64,
    /// When that was so, by the holder's clock: what lies behind was first tried after it. So it is
    /// the age of the doubt of a holder that finds this position.
    pub since_ms: u64,
}

/// By how much the clocks of two holders may differ without harm.
const CLOCKS: u64 = 5 * 60 * 1000;

impl Position {
    /// When the oldest try of what lies behind may have been, by the clock of whoever finds this.
    pub(super) fn doubt_since_ms(self) -> u64 {
        self.since_ms.saturating_sub(CLOCKS)
    }

    /// The position that an annotation tells; `None` when it is no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, since) = text.split_once(' ')?;
        let since: Timestamp = since.parse().ok()?;
        Some(Self {
            version: version.parse().ok()?,
            since_ms: u64::try_from(since.as_millisecond()).ok()?,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = i64::try_from(self.since_ms).unwrap_or(i64::MAX);
        let since = Timestamp::from_millisecond(since).unwrap_or(Timestamp::UNIX_EPOCH);
        write!(f, "{} {since}", self.version)
    }
}

/// How far Events are durable: shared with whoever renews the Lease.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Option<Position>>);

impl Progress {
    pub(super) fn new(position: Option<Position>) -> Self {
        Self(Mutex::new(position))
    }

    pub(super) fn position(&self) -> Option<Position> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, position: Option<Position>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_and_nothing_else_is_one() {
        let position = Position {
            version: 4711,
            since_ms: 1_795_687_201_007,
        };
        let text = position.to_string();
        assert_eq!(text, "4711 2026-11-26T10:00:01.007Z");
        assert_eq!(Position::parse(&text), Some(position));
        assert_eq!(position.doubt_since_ms(), 1_795_686_901_007);
        for other in [
            "",
            "4711",
            "x 2026-11-26T10:00:01Z",
            "4711 yesterday",
            "-1 2026-11-26T10:00:01Z",
        ] {
            assert_eq!(Position::parse(other), None, "{other}");
        }
    }
}
