//! The handle that everybody holds: reserve, append, take out, tick off.

use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{AppendError, Error, Fs, Full, Options, ReadError};

/// Names an entry as long as it is in the buffer. Later entries have larger ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u64);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An undelivered entry, handed out by [`Buffer::next`]. Its body is read with [`Buffer::read`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// The head as it was appended.
    pub head: Vec<u8>,
    /// Bytes of the body.
    pub len: u64,
    /// When it was appended: wall clock, milliseconds since 1970.
    pub created_ms: u64,
    /// When it was first posted, if it ever was, or may have been: its outcome may be unknown.
    pub posted_ms: Option<u64>,
}

/// Room for one entry. Dropped, it gives the room back.
#[derive(Debug)]
pub struct Reservation {
    bytes: u64,
}

impl Reservation {
    /// Bytes of head and body that it has room for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the other's room in: small pieces of many chunks become one entry.
    pub fn merge(&mut self, other: Reservation) {
        self.bytes += other.bytes;
    }

    /// Takes `bytes` out as a reservation of its own; `None` when there are not so many or there
    /// is no room for a further entry's framing.
    pub fn split(&mut self, bytes: u64) -> Option<Reservation> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(Reservation { bytes })
    }
}

/// Resolves when an appended entry is durable, or cannot be. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "an entry is durable only when its ticket says so"]
pub struct Ticket(oneshot::Receiver<Result<EntryId, AppendError>>);

impl Future for Ticket {
    type Output = Result<EntryId, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The writer answers every ticket before it ends; a dropped sender means it panicked.
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|answer| answer.unwrap_or(Err(AppendError::Closed)))
    }
}

/// What was found when a buffer was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Undelivered entries.
    pub entries: u64,
    /// Bytes of their heads and bodies.
    pub bytes: u64,
    /// Bytes of writes that never completed, cut off the ends of segments. They had not been
    /// acknowledged.
    pub torn_bytes: u64,
    /// Entries that may have been acknowledged and cannot be read any more.
    pub damaged: Vec<Damage>,
    /// Delivery marks that cannot be read: their entries are delivered again, in doubt.
    pub damaged_marks: u64,
}

/// A place in a segment whose bytes are not those that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub path: PathBuf,
    /// Where the damage starts.
    pub offset: u64,
    /// How many bytes are given up.
    pub bytes: u64,
    /// The entries that are lost there; empty when only framing is.
    pub entries: std::ops::Range<u64>,
}

/// A glance at the buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Undelivered entries, those handed out included.
    pub entries: u64,
    /// Bytes of all files.
    pub disk_bytes: u64,
    /// Bytes of heads and bodies of undelivered entries.
    pub undelivered_bytes: u64,
    /// When the oldest undelivered entry was appended: milliseconds since 1970.
    pub oldest_ms: Option<u64>,
    /// Segments on disk.
    pub segments: u64,
    /// Bytes reserved and not yet written, framing included.
    pub reserved_bytes: u64,
    /// Segments given up after a failed write or fsync, since the buffer was opened.
    pub poisoned: u64,
    /// Entries that could not be read any more, since the buffer was opened and at its opening.
    pub damaged: u64,
    /// `max_bytes` of the options.
    pub max_bytes: u64,
}

/// A disk buffer. Clones are handles to the same one; it is closed when the last one goes.
#[derive(Clone)]
pub struct Buffer {
    shared: std::sync::Arc<()>,
}

impl Buffer {
    /// Opens the buffer in `dir`, which is created when absent, and takes its lock. Blocks while
    /// it reads what the last process left.
    pub fn open(dir: &Path, _options: Options, _fs: impl Fs) -> Result<(Buffer, Recovery), Error> {
        Err(Error::Options(dir.display().to_string()))
    }

    /// Reserves room for an entry of `bytes` (head and body) without touching the spare part.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, Full> {
        Ok(Reservation { bytes })
    }

    /// Reserves room that may use the spare part: for mended, parked and dead-letter writes.
    pub fn reserve_spare(&self, bytes: u64) -> Result<Reservation, Full> {
        Ok(Reservation { bytes })
    }

    /// Appends an entry. The caller's memory holds it until the ticket resolves, which is after
    /// its fsync; order of calls is order of entries.
    pub fn append(&self, _reservation: Reservation, _head: Vec<u8>, _body: Vec<Bytes>) -> Ticket {
        Ticket(oneshot::channel().1)
    }

    /// Hands out the oldest entry that is not handed out; waits while there is none. `None` after
    /// [`Buffer::close`]: what is not delivered by then stays for the next opening. Several
    /// consumers may call it; dropping the future loses nothing.
    pub async fn next(&self) -> Option<Entry> {
        None
    }

    /// Reads and checks the body of an entry. Blocks on the disk: call it off the reactor.
    pub fn read(&self, id: EntryId) -> Result<Bytes, ReadError> {
        Err(ReadError::Unknown(id))
    }

    /// Notes that an entry is about to be posted, so that a restart after kill -9 knows that its
    /// outcome may be unknown. Only the first call for an entry counts.
    pub fn mark_posted(&self, _id: EntryId, _wall_ms: u64) {}

    /// Puts an entry back, to be handed out again.
    pub fn give_back(&self, _id: EntryId) {}

    /// Ticks an entry off: it is delivered, and will not be handed out again also after kill -9.
    pub fn done(&self, _id: EntryId) {}

    /// Waits until every entry is delivered.
    pub async fn drained(&self) {}

    /// A glance at what is there.
    pub fn stats(&self) -> Stats {
        let _ = &self.shared;
        Stats::default()
    }

    /// Ends appending (what was appended before is still written) and handing out. Returns when
    /// the files are closed to writing. `done` and `mark_posted` go on working.
    pub fn close(&self) {}
}
