//! Waiting for a condition with a deadline.

use std::time::{Duration, SystemTime};

use anyhow::bail;

/// How long a program may take to end when it is told to.
pub const END: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// Looks until `look` gives a value; an error naming `what` when `limit` has passed without one.
pub fn until<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    until_ok(limit, what, || {
        look().ok_or_else(|| anyhow::anyhow!("not yet"))
    })
}

/// Looks until `look` succeeds; the last error, and `what`, when `limit` has passed without that.
pub fn until_ok<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let started = SystemTime::now();
    loop {
        let error = match look() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if started.elapsed().unwrap_or(limit) >= limit {
            bail!("waited {limit:?} for {what} in vain: {error:#}");
        }
        pause();
    }
}

/// Lets a fault last. A test that goes on after it must not depend on how long it was.
pub fn let_pass(time: Duration) {
    until(time, "the time to pass", || None::<()>).ok();
}

/// The pause between two looks.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that polls; callers have deadlines"
)]
fn pause() {
    std::thread::sleep(POLL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_in_vain_is_named() {
        let error = until(Duration::from_millis(30), "rain", || None::<()>).unwrap_err();
        assert!(error.to_string().contains("rain"), "{error}");
        assert_eq!(until(Duration::ZERO, "now", || Some(5)).unwrap(), 5);
    }
}
