//! Named points in the programs at which a test can make faults: end the process, delay, fail an
//! operation, tear or change bytes, step the wall clock.
//!
//! Without the feature `active` every function here is empty and inlined away, names included: the
//! shipped programs have none of it, and an end-to-end test looks for that. With it, the file that
//! the environment variable `TAILRACE_FAULTS` names says what happens; it is read again whenever
//! it changes, so a test steers a running program. Without the variable nothing happens.
//!
//! # The file
//!
//! One rule a line; empty lines and lines that begin with `#` are skipped.
//!
//! ```text
//! POINT ACTION [at=N] [every=N] [times=N] [in=TEXT]
//!
//! buffer.sync.before   abort               the process ends there, as by kill -9
//! buffer.write         error=ENOSPC        no room on the disk, until the rule goes
//! journal.rename.after abort at=2          at the second pass since the rule is there
//! buffer.read          flip every=50       one bit of what is read is another
//! buffer.write         tear times=1        half of the bytes are written, then EIO
//! buffer.write         tear-abort in=.segment
//! buffer.sync.before   delay=200ms every=3
//! clock                step=-3600          the wall clock stands that many seconds off
//! ```
//!
//! `at` is the first pass that is struck (1), `every` the distance to the next (1), `times` how
//! often in all (for ever). `in` is a part of the name of the file that the point is about. A
//! `POINT` may end with `*`. Every strike adds a line to the file's neighbour `….struck`, so that a
//! test knows what happened. A rule that cannot be understood ends the process: a test must never
//! believe in faults that are not made.

#[cfg(feature = "active")]
mod active;
#[cfg(not(feature = "active"))]
mod idle;

#[cfg(feature = "active")]
pub use active::{Spoil, check_at, spoil, wall_clock};
#[cfg(not(feature = "active"))]
pub use idle::{check_at, wall_clock};

use std::io;

/// Whether faults can be made at all.
pub const ACTIVE: bool = cfg!(feature = "active");

/// The version of the program, with a mark when faults can be made in it.
#[macro_export]
macro_rules! version {
    () => {
        if $crate::ACTIVE {
            concat!(env!("CARGO_PKG_VERSION"), "+faults")
        } else {
            env!("CARGO_PKG_VERSION")
        }
    };
}

/// Passes a point at which the process may end or wait.
#[inline(always)]
pub fn point(name: &'static str) {
    // An error says nothing where nothing can fail.
    check(name).ok();
}

/// Passes a point at which the process may end, wait or fail.
///
/// # Errors
/// The one that a rule names; never without the feature.
#[inline(always)]
pub fn check(name: &'static str) -> io::Result<()> {
    check_at(name, "")
}
