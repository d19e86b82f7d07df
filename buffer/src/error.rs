//! What can go wrong, a variant for each thing a caller may do differently.

use std::{io, path::PathBuf, sync::Arc};

use crate::EntryId;

/// A buffer cannot be opened or inspected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it open.
    #[error("cannot open buffer `{}`: another process has it open", .dir.display())]
    Locked {
        /// The buffer's directory.
        dir: PathBuf,
    },
    /// A segment or side log has a version that this program does not know.
    #[error(
        "cannot read `{}`: its format version is {found}, this program knows {known}; start the \
         version of Tailrace that wrote it until the buffer is empty, or move the file elsewhere",
        .path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version of this program.
        known: u32,
    },
    /// The options contradict each other.
    #[error("cannot open buffer: {0}")]
    Options(String),
    /// The file system refused an operation.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// What was tried: `create`, `read`…
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }
}

/// No room for a reservation: slow down and try later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("buffer is full: {needed} bytes needed, {free} free")]
pub struct Full {
    /// Bytes asked for, framing included.
    pub needed: u64,
    /// Bytes that are free for this kind of reservation.
    pub free: u64,
}

/// An entry was not made durable. It may all the same be there after a crash.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The disk has no room (ENOSPC or quota), though the buffer's own limit is not reached.
    #[error("cannot append: the disk is full")]
    Full,
    /// Head or body is larger than the format can hold (head 16 MiB, body 1 GiB).
    #[error("cannot append an entry of {bytes} bytes: too large")]
    TooLarge {
        /// Bytes of head and body.
        bytes: u64,
    },
    /// Head and body are larger than what was reserved for them.
    #[error("cannot append {needed} bytes: only {reserved} are reserved")]
    Reservation {
        /// Bytes of head and body.
        needed: u64,
        /// Bytes reserved.
        reserved: u64,
    },
    /// The buffer has been closed.
    #[error("cannot append: the buffer is closed")]
    Closed,
    /// The disk failed, on a second segment too.
    #[error("cannot append: {0}")]
    Io(Arc<io::Error>),
}

/// A body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No undelivered entry has this id.
    #[error("cannot read entry {0}: it is not in the buffer")]
    Unknown(EntryId),
    /// The bytes are not those that were written. The buffer has set the entry aside: it is
    /// counted, and not handed out again.
    #[error("cannot read entry {id}: checksum differs in `{}` at byte {offset}", .path.display())]
    Damaged {
        /// The entry.
        id: EntryId,
        /// Its segment.
        path: PathBuf,
        /// Where it starts there.
        offset: u64,
    },
    /// The disk failed; the entry stays handed out.
    #[error("cannot read entry {id} from `{}`: {source}", .path.display())]
    Io {
        /// The entry.
        id: EntryId,
        /// Its segment.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}
