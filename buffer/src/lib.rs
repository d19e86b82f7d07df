//! The aggregator's disk buffer: a directory of append-only segments with checksummed entries.
//!
//! Knows nothing of what an entry holds: a small head and a body, both opaque bytes. What is
//! acknowledged has been fsynced; recovery drops a torn tail, and only that. It never waits for
//! room and never drops an entry to make some: who is refused a [`Reservation`] slows down.
//!
//! Life of an entry: [`Buffer::reserve`] → [`Buffer::append`] → its [`Ticket`] resolves after the
//! fsync → [`Buffer::next`] hands it out → [`Buffer::read`] → [`Buffer::mark_posted`] →
//! [`Buffer::done`] (or [`Buffer::give_back`]). `format.rs` specifies the files.

mod buffer;
mod error;
mod format;
mod fs;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod inspect;
mod metrics;
mod options;
mod recover;
mod remove;
mod room;
mod scan;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod writer;

pub use buffer::{Buffer, Damage, Entry, EntryId, Recovery, Stats, Ticket};
pub use error::{AppendError, Error, Full, ReadError};
#[cfg(feature = "faults")]
pub use fs::Faulty;
pub use fs::{Disk, File, Fs, disk};
pub use metrics::Metrics;
pub use options::Options;
pub use room::Reservation;
