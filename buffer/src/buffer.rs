//! The handle that everybody holds: reserve, append, take out, tick off.

use std::{
    any::Any,
    fmt,
    future::Future,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll},
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, oneshot};
use tracing::{error, warn};

use crate::{
    AppendError, Error, Fs, Full, Options, ReadError, Reservation,
    format::{FileKind, MAX_BODY, MAX_HEAD, Mark},
    metrics::Metrics,
    recover::recover,
    scan,
    segment::Stage,
    state::{FRAMING, Pending, Shared, State},
    writer::Writer,
};

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
    /// Entries for which places were made and which are not there: writes that never completed,
    /// or a file that was cut by somebody else.
    pub torn_entries: u64,
    /// Entries that may have been acknowledged and cannot be read any more.
    pub damaged: Vec<Damage>,
    /// Delivery marks that cannot be read: their entries are delivered again, in doubt.
    pub damaged_marks: u64,
}

impl Recovery {
    /// Entries that are lost to damage.
    pub fn damaged_entries(&self) -> u64 {
        self.damaged
            .iter()
            .map(|damage| damage.entries.end - damage.entries.start)
            .sum()
    }
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
    shared: Arc<Shared>,
    closer: Arc<Closer>,
}

/// Closes the buffer when the last handle goes, and then lets go of the lock.
struct Closer {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl Buffer {
    /// Opens the buffer in `dir`, which is created when absent, and takes its lock. Blocks while
    /// it reads what the last process left. Fails when another process has it open, when a file
    /// is of an unknown version, and when the directory cannot be read; never for damage, which
    /// [`Recovery`] and the log name.
    pub fn open(dir: &Path, options: Options, fs: impl Fs) -> Result<(Buffer, Recovery), Error> {
        let options = options.checked()?;
        fs.create_dir(dir)
            .map_err(|error| Error::io("create", dir, error))?;
        let lock_path = dir.join("lock");
        let lock = fs.lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::Locked {
                dir: dir.to_owned(),
            },
            _ => Error::io("lock", lock_path, error),
        })?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            boot_id: fs.boot_id(),
            fs: Arc::new(fs),
            options,
            state: Mutex::new(State::default()),
            work: Condvar::new(),
            changed: Notify::new(),
            metrics: Metrics::default(),
        });
        let (recovery, continuation) = recover(&shared)?;
        let writer = Writer::new(
            Arc::clone(&shared),
            continuation.next_number,
            continuation.next_seq,
        );
        let writer = thread::Builder::new()
            .name("buffer-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::io("start a thread for", dir, error))?;
        let writer = Mutex::new(Some(writer));
        let closer = Arc::new(Closer {
            shared: Arc::clone(&shared),
            writer,
            _lock: lock,
        });
        Ok((Buffer { shared, closer }, recovery))
    }

    /// Bytes of framing that each reservation sets aside besides its own.
    pub const FRAMING: u64 = FRAMING;

    /// Reserves room for an entry of `bytes` (head and body) without touching the spare part.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, Full> {
        Reservation::new(&self.shared, bytes, false)
    }

    /// Reserves room that may use the spare part: for mended, parked and dead-letter writes.
    pub fn reserve_spare(&self, bytes: u64) -> Result<Reservation, Full> {
        Reservation::new(&self.shared, bytes, true)
    }

    /// Appends an entry; order of calls is order of entries. The bytes stay in memory until the
    /// ticket resolves, which is after their fsync: callers bound what they have under way.
    pub fn append(&self, reservation: Reservation, head: Vec<u8>, body: Vec<Bytes>) -> Ticket {
        let (answer, ticket) = oneshot::channel();
        let ticket = Ticket(ticket);
        let body_len: u64 = body.iter().map(|part| part.len() as u64).sum();
        let needed = head.len() as u64 + body_len;
        let reserved = reservation.bytes();
        let mut body_hasher = crc32fast::Hasher::new();
        body.iter().for_each(|part| body_hasher.update(part));
        let pending = Pending {
            reservation,
            head_crc: crc32fast::hash(&head),
            head,
            body,
            // Larger ones are refused below.
            body_len: u32::try_from(body_len).unwrap_or(u32::MAX),
            body_crc: body_hasher.finalize(),
            created_ms: self.shared.fs.now_ms(),
            answer,
        };
        if pending.head.len() as u64 > MAX_HEAD || body_len > MAX_BODY {
            pending.refuse(AppendError::TooLarge { bytes: needed });
        } else if needed > reserved {
            pending.refuse(AppendError::Reservation { needed, reserved });
        } else {
            let mut state = self.shared.lock();
            if state.closed {
                // The reservation in it takes the lock when it goes.
                drop(state);
                pending.refuse(AppendError::Closed);
            } else {
                state.queue.push(pending);
                self.shared.work.notify_all();
            }
        }
        ticket
    }

    /// Hands out the oldest entry that is not handed out; waits while there is none. `None` after
    /// [`Buffer::close`]: what is not delivered by then stays for the next opening. Several
    /// consumers may call it; dropping the future loses nothing.
    pub async fn next(&self) -> Option<Entry> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(entry) = self.try_next() {
                return Some(entry);
            }
            if self.shared.lock().closed {
                return None;
            }
            changed.await;
        }
    }

    /// Hands out the oldest entry that is not handed out, if there is one and the buffer is open.
    pub fn try_next(&self) -> Option<Entry> {
        loop {
            let (entry, has_head) = {
                let mut state = self.shared.lock();
                if state.closed {
                    return None;
                }
                state.hand_out()?
            };
            if has_head {
                return Some(entry);
            }
            // Heads that had no room in memory, or come from before a restart.
            let (slot_offset, number, data) = {
                let mut state = self.shared.lock();
                let Some((slot, number, data)) = state.slot(entry.id) else {
                    continue;
                };
                (slot.offset, number, data)
            };
            let look = || scan::read_head(&*data, number, slot_offset);
            // A second look tells a bad transfer from bad bytes.
            let found = match look() {
                Ok(Some((header, head))) if header.seq == entry.id.0 => Ok(Some((header, head))),
                Ok(_) => look(),
                Err(error) => Err(error),
            };
            match found {
                Ok(Some((header, head))) if header.seq == entry.id.0 => {
                    return Some(Entry { head, ..entry });
                }
                Ok(_) => self.lose(entry.id, number, slot_offset),
                Err(error) => {
                    let path = self.shared.path(FileKind::Segment, number);
                    error!(path = %path.display(), id = %entry.id, %error, "cannot read an entry");
                    self.shared.lock().end(entry.id, Stage::Aside);
                    self.shared.changed.notify_waiters();
                }
            }
        }
    }

    /// Reads and checks the body of an entry, or takes it from memory. Blocks on the disk: call it
    /// off the reactor.
    pub fn read(&self, id: EntryId) -> Result<Bytes, ReadError> {
        let (offset, number, data) = {
            let mut state = self.shared.lock();
            let place = match state.slot(id) {
                Some((slot, number, data)) if slot.is_undelivered() => (slot.offset, number, data),
                _ => return Err(ReadError::Unknown(id)),
            };
            if let Some(kept) = state.take_body(id) {
                drop(state);
                return Ok(joined(kept));
            }
            place
        };
        let path = || self.shared.path(FileKind::Segment, number);
        let read = || {
            let Some((header, _)) = scan::read_head(&*data, number, offset)? else {
                return Ok(None);
            };
            let body = scan::read_body(&*data, offset, &header)?;
            io::Result::Ok(body.filter(|_| header.seq == id.0))
        };
        // A second look tells a bad transfer from bad bytes.
        let body = match read() {
            Ok(None) => read(),
            result => result,
        };
        match body {
            Ok(Some(body)) => Ok(Bytes::from(body)),
            Ok(None) => {
                self.lose(id, number, offset);
                Err(ReadError::Damaged {
                    id,
                    path: path(),
                    offset,
                })
            }
            Err(source) => Err(ReadError::Io {
                id,
                path: path(),
                source,
            }),
        }
    }

    /// Counts an entry whose bytes changed on disk, names it, and ends it.
    fn lose(&self, id: EntryId, number: u64, offset: u64) {
        let is_first = {
            let mut state = self.shared.lock();
            let is_first = state.end(id, Stage::Done);
            state.damaged += u64::from(is_first);
            is_first
        };
        if is_first {
            self.shared.metrics.damaged_entries.inc();
            let segment = self.shared.path(FileKind::Segment, number);
            warn!(segment = %segment.display(), offset, %id, "damaged entry in the buffer: lost");
            self.write_mark(id, Mark::Done, self.shared.fs.now_ms());
            self.ended();
        }
    }

    /// Notes that an entry is about to be posted, so that a restart after kill -9 knows that its
    /// outcome may be unknown. Only the first call for an entry counts. A small write to the page
    /// cache; a power cut may lose it, and the next opening then takes all entries as posted.
    pub fn mark_posted(&self, id: EntryId, wall_ms: u64) {
        let is_first = {
            let mut state = self.shared.lock();
            match state.slot(id) {
                Some((slot, ..)) if slot.is_undelivered() && slot.posted_ms == 0 => {
                    slot.posted_ms = wall_ms.max(1);
                    true
                }
                _ => false,
            }
        };
        if is_first {
            self.write_mark(id, Mark::Posted, wall_ms);
        }
    }

    /// Puts an entry back, to be handed out again.
    pub fn give_back(&self, id: EntryId) {
        let is_back = self.shared.lock().give_back(id);
        if is_back {
            self.shared.changed.notify_waiters();
        }
    }

    /// Ticks an entry off: it is delivered, and will not be handed out again also after kill -9.
    /// Its segment goes when all entries in it are done.
    pub fn done(&self, id: EntryId) {
        // The mark first: removal of the segment may follow the books at once.
        let is_undelivered = self
            .shared
            .lock()
            .slot(id)
            .is_some_and(|(slot, ..)| slot.is_undelivered());
        if !is_undelivered {
            return;
        }
        self.write_mark(id, Mark::Done, self.shared.fs.now_ms());
        self.shared.lock().end(id, Stage::Done);
        self.ended();
    }

    fn ended(&self) {
        self.shared.work.notify_all();
        self.shared.changed.notify_waiters();
    }

    fn write_mark(&self, id: EntryId, mark: Mark, wall_ms: u64) {
        let Some((file, number, ordinal)) = self.shared.lock().marks(id) else {
            return;
        };
        let bytes = mark.encode(number, id.0, wall_ms);
        if let Err(error) = file.write_at(&mut [IoSlice::new(&bytes)], mark.offset(ordinal)) {
            let path = self.shared.path(FileKind::Marks, number);
            self.shared.metrics.failed_marks.inc();
            warn!(path = %path.display(), %id, ?mark, %error, "cannot note a delivery");
        }
    }

    /// Waits until every entry is delivered.
    pub async fn drained(&self) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let is_drained = {
                let state = self.shared.lock();
                state.entries == 0 && state.queue.is_empty()
            };
            if is_drained {
                return;
            }
            changed.await;
        }
    }

    /// A glance at what is there.
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats(&self.shared.options)
    }

    /// Counters; [`Buffer::register`] exposes them.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Registers counters, and gauges that are computed at each scrape.
    pub fn register(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry, &self.shared);
    }

    /// Ends appending (what was appended before is still written) and handing out. Returns when
    /// the writer has ended: blocks for an fsync or two. `done` and `mark_posted` go on working;
    /// segments that they empty go at the next opening.
    pub fn close(&self) {
        self.closer.close();
    }

    /// Waits until the writer has nothing left to do.
    #[cfg(test)]
    pub(crate) fn settle(&self) {
        let mut state = self.shared.lock();
        let is_busy = |state: &State| {
            !state.idle
                || !state.queue.is_empty()
                || (!state.closed && (state.retire || state.trim))
        };
        while is_busy(&state) {
            state = self
                .shared
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The parts of a body as one.
fn joined(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        1 => parts.remove(0),
        _ => parts.concat().into(),
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("dir", &self.shared.dir)
            .finish_non_exhaustive()
    }
}

impl Closer {
    fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        self.shared.changed.notify_waiters();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            error!(dir = %self.shared.dir.display(), "the buffer's writer panicked");
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.close();
    }
}
