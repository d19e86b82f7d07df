//! The agent's work without the network: find log files, follow them through rotation, cut them
//! into chunks of whole lines, and remember what was acknowledged.
//!
//! Deliberately absent: parsing, joining, compressing, sockets, threads (but one that waits for
//! inotify and calls [`Options::wake`]), and any queue. The files are the buffer, and offsets the
//! only state. The invariant: a byte counts as done only when an aggregator has acknowledged it,
//! and a byte that vanished before is counted as lost, by name.
//!
//! The caller drives a [`Tailer`]: `poll`, then `next_group` until it answers `None` or the batch
//! is full, then `commit`, then send, then `acked` or `failed` for each group.

mod group;
mod journal;
mod options;

pub use group::{
    ContainerPath, Failure, Flush, Framing, Group, GroupChunk, GroupId, MetadataSource, Positions,
    Source, StreamEnd, Suspect, Wishes,
};
pub use options::{Clock, Options, StartAt, SystemClock};

mod bucket;
mod content;
mod mark;
mod metrics;
mod names;
mod pace;
mod pattern;
mod record;
mod stream;
mod tailer;
mod watch;

/// Entry points of the fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing {
    pub use crate::journal::fuzzing::journal;
}

pub use metrics::{Metrics, Namespace};
pub use tailer::{Lag, Loss, StreamStatus, Tailer};

/// The version of the framing rules that chunks are sealed with.
pub const FRAMING_VERSION: u8 = 1;

/// Something the operator should know that does not stop the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(
    /// What is wrong and the way out, as one line.
    pub String,
);

/// Why a tailer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A glob of `include` or `exclude` is wrong.
    #[error("cannot use glob `{glob}`: {reason}")]
    Glob {
        /// As configured.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The journal cannot be opened: another agent holds it, or its directory is not writable.
    #[error("cannot open the journal: {0}")]
    Journal(String),
}
