//! Wall time, in the one form that formats and protocols here use.

use std::time::UNIX_EPOCH;

/// Milliseconds since the epoch; 0 for a clock that stands before it.
pub(crate) fn wall_ms() -> u64 {
    let since = faults::wall_clock()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
