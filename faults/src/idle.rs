//! The points of a build in which nothing goes wrong on purpose: none of them is left in it.

use std::{io, path::Path, time::SystemTime};

/// Passes a point that is about a file.
///
/// # Errors
/// None, ever.
#[inline(always)]
pub fn check_at(_name: &'static str, _file: impl AsRef<Path>) -> io::Result<()> {
    Ok(())
}

/// The wall clock.
#[inline(always)]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}
