//! What the handles, the consumers and the writer share: the books of room and entries.
//!
//! One short mutex; no file is touched while it is held. The books of room keep
//! `disk + due + reserved ≤ max_bytes`, where *due* is what the open segment will still need for
//! its footer.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::{
    AppendError, Entry, EntryId, Fs, Full, Options, Reservation, Stats,
    format::{ENTRY_HEADER, FILE_HEADER, FOOTER, FileKind, MARKS},
    metrics::Metrics,
    segment::{Segment, Slot, Stage},
};

/// Bytes that an entry takes besides its head and body.
pub(crate) const ENTRY_COST: u64 = ENTRY_HEADER + MARKS;
/// Bytes that a segment takes besides its entries.
pub(crate) const SEGMENT_COST: u64 = FILE_HEADER + FOOTER + FILE_HEADER;
/// What a reservation sets aside for framing: any entry may be the one that opens a segment.
pub(crate) const FRAMING: u64 = ENTRY_COST + SEGMENT_COST;
/// Memory for heads of entries that wait; further ones are read from disk when handed out.
const HEAD_ROOM: usize = 8 << 20;

/// An entry on its way to the disk.
pub(crate) struct Pending {
    pub(crate) reservation: Reservation,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<Bytes>,
    pub(crate) body_len: u32,
    pub(crate) head_crc: u32,
    pub(crate) body_crc: u32,
    pub(crate) created_ms: u64,
    pub(crate) answer: oneshot::Sender<Result<EntryId, AppendError>>,
}

impl Pending {
    /// Bytes that it takes in its segment.
    pub(crate) fn total(&self) -> u64 {
        ENTRY_HEADER + self.head.len() as u64 + u64::from(self.body_len)
    }

    pub(crate) fn refuse(self, error: AppendError) {
        // Nobody waits for a ticket that was dropped.
        drop(self.answer.send(Err(error)));
    }
}

/// See the head of this file.
pub(crate) struct State {
    /// By first seq.
    pub(crate) segments: BTreeMap<u64, Segment>,
    /// Entries below were handed out, unless they are in `returned`.
    cursor: u64,
    returned: BTreeSet<u64>,
    pub(crate) entries: u64,
    pub(crate) undelivered_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) due_bytes: u64,
    reserved_bytes: u64,
    reserved_entries: u64,
    pub(crate) head_room: usize,
    /// Durable bodies that were not read yet, by seq: see [`Options::keep_bytes`].
    kept: BTreeMap<u64, Vec<Bytes>>,
    kept_bytes: u64,
    pub(crate) poisoned: u64,
    pub(crate) damaged: u64,
    // What the writer is asked to do.
    pub(crate) queue: Vec<Pending>,
    /// Segments may have become free.
    pub(crate) retire: bool,
    /// Somebody was refused room: give up the open segment too when all of it is delivered.
    pub(crate) trim: bool,
    pub(crate) closed: bool,
    /// The writer has done all it was asked to do.
    pub(crate) idle: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            segments: BTreeMap::new(),
            cursor: 0,
            returned: BTreeSet::new(),
            entries: 0,
            undelivered_bytes: 0,
            disk_bytes: 0,
            due_bytes: 0,
            reserved_bytes: 0,
            reserved_entries: 0,
            head_room: HEAD_ROOM,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            poisoned: 0,
            damaged: 0,
            queue: Vec::new(),
            retire: false,
            trim: false,
            closed: false,
            idle: false,
        }
    }
}

impl State {
    /// Takes room for `entries` more entries and `cost` bytes, framing included.
    pub(crate) fn take_room(
        &mut self,
        options: &Options,
        entries: u64,
        cost: u64,
        spare: bool,
    ) -> Result<(), Full> {
        let kept = if spare { 0 } else { options.reserve_bytes };
        let used = self.disk_bytes + self.due_bytes + self.reserved_bytes;
        let mut free = options.max_bytes.saturating_sub(kept).saturating_sub(used);
        if self.entries + self.reserved_entries + entries > options.max_entries {
            free = 0;
        }
        if cost > free {
            return Err(Full { needed: cost, free });
        }
        self.reserved_bytes += cost;
        self.reserved_entries += entries;
        Ok(())
    }

    pub(crate) fn give_room(&mut self, entries: u64, cost: u64) {
        self.reserved_bytes -= cost;
        self.reserved_entries -= entries;
    }

    fn segment(&mut self, id: EntryId) -> Option<&mut Segment> {
        self.segments
            .range_mut(..=id.0)
            .next_back()
            .map(|(_, segment)| segment)
    }

    pub(crate) fn slot(&mut self, id: EntryId) -> Option<(&mut Slot, u64, Arc<dyn crate::File>)> {
        let segment = self.segment(id)?;
        let (number, data) = (segment.number, Arc::clone(&segment.data));
        segment.slot(id).map(|slot| (slot, number, data))
    }

    /// Where a mark of the entry goes: side log, segment number, ordinal.
    pub(crate) fn marks(&mut self, id: EntryId) -> Option<(Arc<dyn crate::File>, u64, u64)> {
        let segment = self.segment(id)?;
        Some((
            Arc::clone(&segment.marks),
            segment.number,
            id.0 - segment.first_seq,
        ))
    }

    /// Hands out the oldest entry that waits. Its head is missing when it is not in memory.
    pub(crate) fn hand_out(&mut self) -> Option<(Entry, bool)> {
        let id = match self.returned.pop_first() {
            // Those given back are older than the cursor.
            Some(seq) => EntryId(seq),
            None => self.advance()?,
        };
        let (slot, ..) = self.slot(id)?;
        slot.stage = Stage::Out;
        let head = slot.head.take();
        let entry = Entry {
            id,
            len: u64::from(slot.body_len),
            created_ms: slot.created_ms,
            posted_ms: (slot.posted_ms > 0).then_some(slot.posted_ms),
            head: Vec::new(),
        };
        let has_head = head.is_some() || slot.head_len == 0;
        let head = head.map(Vec::from).unwrap_or_default();
        self.head_room += head.len();
        Some((Entry { head, ..entry }, has_head))
    }

    /// Moves the cursor behind the next entry that waits.
    fn advance(&mut self) -> Option<EntryId> {
        let start = self
            .segments
            .range(..=self.cursor)
            .next_back()
            .map_or(0, |(&seq, _)| seq);
        for segment in self.segments.range(start..).map(|(_, segment)| segment) {
            let from = self.cursor.saturating_sub(segment.first_seq);
            let from = usize::try_from(from)
                .unwrap_or(usize::MAX)
                .min(segment.slots.len());
            let ready = segment.slots[from..]
                .iter()
                .position(|slot| slot.stage == Stage::Ready);
            let ordinal = ready.map_or(segment.slots.len(), |skipped| from + skipped);
            self.cursor = self.cursor.max(segment.first_seq + ordinal as u64);
            if ready.is_some() {
                let id = EntryId(self.cursor);
                self.cursor += 1;
                return Some(id);
            }
        }
        None
    }

    pub(crate) fn give_back(&mut self, id: EntryId) -> bool {
        match self.slot(id) {
            Some((slot, ..)) if slot.stage == Stage::Out => {
                slot.stage = Stage::Ready;
                self.returned.insert(id.0);
                true
            }
            _ => false,
        }
    }

    /// Ends an undelivered entry. `Stage::Aside` keeps its segment. False when it had ended.
    pub(crate) fn end(&mut self, id: EntryId, stage: Stage) -> bool {
        let Some(segment) = self.segment(id) else {
            return false;
        };
        let Some(slot) = segment.slot(id).filter(|slot| slot.is_undelivered()) else {
            return false;
        };
        slot.stage = stage;
        let head = slot.head.take();
        let payload = slot.payload();
        if stage == Stage::Done {
            segment.pending -= 1;
        }
        let emptied = segment.pending == 0;
        self.head_room += head.map_or(0, |head| head.len());
        drop(self.take_body(id));
        self.returned.remove(&id.0);
        self.entries -= 1;
        self.undelivered_bytes -= payload;
        self.retire |= emptied;
        true
    }

    /// Takes `head` into memory while there is room.
    pub(crate) fn keep_head(&mut self, head: Vec<u8>) -> Option<Box<[u8]>> {
        self.head_room = self.head_room.checked_sub(head.len())?;
        Some(head.into_boxed_slice())
    }

    /// Keeps a durable body in memory while there is room.
    pub(crate) fn keep_body(&mut self, options: &Options, id: EntryId, body: Vec<Bytes>) {
        let bytes = len_of(&body);
        if bytes > 0 && self.kept_bytes + bytes <= options.keep_bytes {
            self.kept_bytes += bytes;
            self.kept.insert(id.0, body);
        }
    }

    /// Takes a body out of memory, if it is there.
    pub(crate) fn take_body(&mut self, id: EntryId) -> Option<Vec<Bytes>> {
        let body = self.kept.remove(&id.0)?;
        self.kept_bytes -= len_of(&body);
        Some(body)
    }

    /// Enters a segment with its slots, or further slots of one that is there, into the books.
    pub(crate) fn count_in(&mut self, slots: &[Slot]) {
        for slot in slots.iter().filter(|slot| slot.is_undelivered()) {
            self.entries += 1;
            self.undelivered_bytes += slot.payload();
        }
    }

    pub(crate) fn stats(&self, options: &Options) -> Stats {
        // Delivery is nearly in order, so the first undelivered one is found at once.
        let mut slots = self.segments.values().flat_map(|segment| &segment.slots);
        Stats {
            entries: self.entries,
            disk_bytes: self.disk_bytes,
            undelivered_bytes: self.undelivered_bytes,
            oldest_ms: slots
                .find(|slot| slot.is_undelivered())
                .map(|slot| slot.created_ms),
            segments: self.segments.len() as u64,
            reserved_bytes: self.reserved_bytes,
            poisoned: self.poisoned,
            damaged: self.damaged,
            max_bytes: options.max_bytes,
        }
    }
}

fn len_of(body: &[Bytes]) -> u64 {
    body.iter().map(|part| part.len() as u64).sum()
}

/// The state with what surrounds it.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) options: Options,
    pub(crate) boot_id: u64,
    pub(crate) state: Mutex<State>,
    /// Wakes the writer; wakes `settle` when the writer is idle.
    pub(crate) work: Condvar,
    /// Wakes consumers: an entry waits, an entry ended, or the buffer closed.
    pub(crate) changed: Notify,
    pub(crate) metrics: Metrics,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the books as they were before or after one change of theirs.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn path(&self, kind: FileKind, number: u64) -> PathBuf {
        self.dir.join(kind.name(number))
    }
}
