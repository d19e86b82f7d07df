//! The thread that owns the open segment: group commit, poisoned segments, removal.
//!
//! All appends that wait become one write and one fdatasync; what comes in meanwhile is the next
//! group. Nothing is acknowledged before the fsync of its bytes has succeeded, and nothing ever
//! from a segment that failed one (DELIVERY rule 18): the kernel may have dropped the dirty pages
//! and call the next fsync a success.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Arc, PoisonError},
    time::Instant,
};

use tracing::{error, warn};

use crate::{
    AppendError, EntryId, File,
    format::{
        ENTRY_HEADER, EntryHeader, FILE_HEADER, FOOTER, FileHeader, FileKind, Footer, MARKS, Mark,
    },
    remove,
    segment::{Segment, Slot},
    state::{ENTRY_COST, Pending, SEGMENT_COST, Shared, State},
};

/// The segment that is appended to.
struct Open {
    number: u64,
    first_seq: u64,
    data: Arc<dyn File>,
    marks: Arc<dyn File>,
    /// Bytes that are durable; the file ends here but for a write under way.
    len: u64,
    n_entries: u64,
}

impl Open {
    fn end_seq(&self) -> u64 {
        self.first_seq + self.n_entries
    }

    fn disk_bytes(&self) -> u64 {
        self.len + FILE_HEADER + self.n_entries * MARKS
    }
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    open: Option<Open>,
    next_number: u64,
    next_seq: u64,
}

/// However the writer ends, nobody waits for it in vain.
impl Drop for Writer {
    fn drop(&mut self) {
        let left = {
            let mut state = self.shared.lock();
            state.closed = true;
            state.idle = true;
            std::mem::take(&mut state.queue)
        };
        left.into_iter()
            .for_each(|pending| pending.refuse(AppendError::Closed));
        self.shared.work.notify_all();
        self.shared.changed.notify_waiters();
    }
}

/// What the writer is to do next.
struct Work {
    batch: VecDeque<Pending>,
    trim: bool,
    closed: bool,
}

/// Why a group is not durable.
struct Failure {
    error: io::Error,
    /// The segment may be written to again: the write failed for want of room and was undone.
    is_undone: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, next_number: u64, next_seq: u64) -> Self {
        Self {
            shared,
            open: None,
            next_number,
            next_seq,
        }
    }

    /// Works until the buffer is closed and everything appended before is answered.
    pub(crate) fn run(mut self) {
        loop {
            let work = self.wait();
            self.commit(work.batch);
            if work.closed || self.is_delivered(work.trim) {
                self.seal();
            }
            remove::delivered_segments(&self.shared);
            if work.closed {
                return;
            }
        }
    }

    fn wait(&self) -> Work {
        let shared = &self.shared;
        let mut state = shared.lock();
        while state.queue.is_empty() && !state.closed && !state.retire && !state.trim {
            state.idle = true;
            shared.work.notify_all();
            state = shared
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = false;
        if !shared.options.commit_delay.is_zero() && !state.queue.is_empty() {
            let closing = |state: &mut State| !state.closed;
            let delay = shared.options.commit_delay;
            let waited = shared.work.wait_timeout_while(state, delay, closing);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.retire = false;
        Work {
            batch: std::mem::take(&mut state.queue).into(),
            trim: std::mem::take(&mut state.trim),
            closed: state.closed,
        }
    }

    /// Whether the open segment holds delivered entries only, and is large enough (or room is
    /// scarce enough) to be given up for a new one.
    fn is_delivered(&self, trim: bool) -> bool {
        let Some(open) = &self.open else { return false };
        let is_large = open.len >= self.shared.options.segment_bytes / 2;
        let state = self.shared.lock();
        let pending = state
            .segments
            .get(&open.first_seq)
            .map_or(0, |segment| segment.pending);
        pending == 0 && (trim || is_large)
    }

    /// Makes a batch durable, group by group, and answers its tickets.
    fn commit(&mut self, mut batch: VecDeque<Pending>) {
        let mut failures = 0;
        while let Some(next) = batch.front() {
            let next_total = next.total();
            if self
                .open
                .as_ref()
                .is_some_and(|open| !self.fits(open.len, next_total))
            {
                self.seal();
            }
            if !self.has_room(next_total) {
                batch
                    .drain(..)
                    .for_each(|pending| pending.refuse(AppendError::Full));
                return;
            }
            let group = self.take_group(&mut batch);
            match self.append(&group) {
                Ok(()) => {
                    self.acknowledge(group);
                    failures = 0;
                }
                Err(failure) => {
                    failures += 1;
                    let is_full = is_full(&failure.error);
                    if !failure.is_undone {
                        self.poison(&failure.error);
                    }
                    if is_full && (failure.is_undone || failures > 1) {
                        warn!(
                            dir = %self.shared.dir.display(),
                            "cannot append to the buffer: the disk is full",
                        );
                        group
                            .into_iter()
                            .for_each(|pending| pending.refuse(AppendError::Full));
                        batch
                            .drain(..)
                            .for_each(|pending| pending.refuse(AppendError::Full));
                    } else if failures > 1 {
                        let error = Arc::new(failure.error);
                        for pending in group.into_iter().chain(batch.drain(..)) {
                            pending.refuse(AppendError::Io(Arc::clone(&error)));
                        }
                    } else {
                        // The bytes are still in memory: write them to a new segment.
                        group
                            .into_iter()
                            .rev()
                            .for_each(|pending| batch.push_front(pending));
                    }
                }
            }
        }
    }

    fn fits(&self, len: u64, total: u64) -> bool {
        len + total <= self.shared.options.segment_bytes
    }

    /// Reservations make room certain, but for bytes that a failed disk did not give back.
    fn has_room(&self, total: u64) -> bool {
        let segment = if self.open.is_none() { SEGMENT_COST } else { 0 };
        let state = self.shared.lock();
        let used = state.disk_bytes + state.due_bytes;
        used + segment + MARKS + total <= self.shared.options.max_bytes
    }

    /// Takes as many entries as fit the open segment and the buffer, one at least.
    fn take_group(&self, batch: &mut VecDeque<Pending>) -> Vec<Pending> {
        let mut len = self.open.as_ref().map_or(FILE_HEADER, |open| open.len);
        let mut room = {
            let state = self.shared.lock();
            let segment = if self.open.is_none() { SEGMENT_COST } else { 0 };
            let used = state.disk_bytes + state.due_bytes + segment;
            self.shared.options.max_bytes.saturating_sub(used)
        };
        let mut group = Vec::new();
        while let Some(next) = batch.front() {
            let total = next.total();
            let is_first = group.is_empty();
            if !is_first && (!self.fits(len, total) || total + MARKS > room) {
                break;
            }
            len += total;
            room = room.saturating_sub(total + MARKS);
            group.extend(batch.pop_front());
        }
        group
    }

    /// Writes and fsyncs a group; on failure the open segment must be poisoned unless undone.
    fn append(&mut self, group: &[Pending]) -> Result<(), Failure> {
        if self.open.is_none() {
            let opened = self.open_segment();
            // Nothing is left of a segment that could not be created.
            self.open = Some(opened.map_err(|error| Failure {
                error,
                is_undone: true,
            })?);
        }
        let Some(open) = &self.open else {
            return Ok(());
        };
        if let Err(error) = write(open, group) {
            let is_cut = cut(open).is_ok();
            return Err(Failure {
                is_undone: is_cut && is_full(&error),
                error,
            });
        }
        let start = Instant::now();
        let synced = open.data.sync();
        let metrics = &self.shared.metrics;
        metrics.fsyncs.inc();
        metrics.fsync_seconds.observe(start.elapsed().as_secs_f64());
        synced.map_err(|error| Failure {
            error,
            is_undone: false,
        })
    }

    /// Creates a pair of files and makes them durable, empty of entries.
    fn open_segment(&mut self) -> io::Result<Open> {
        let (shared, number) = (&self.shared, self.next_number);
        self.next_number += 1;
        let data_path = shared.path(FileKind::Segment, number);
        let marks_path = shared.path(FileKind::Marks, number);
        let create = || {
            let header = FileHeader {
                number,
                first_seq: self.next_seq,
                stamp: shared.fs.now_ms(),
            };
            let data = shared.fs.create(&data_path)?;
            data.write_at(&mut [IoSlice::new(&header.encode(FileKind::Segment))], 0)?;
            data.sync()?;
            let header = FileHeader {
                stamp: shared.boot_id,
                ..header
            };
            let marks = shared.fs.create(&marks_path)?;
            marks.write_at(&mut [IoSlice::new(&header.encode(FileKind::Marks))], 0)?;
            marks.sync()?;
            shared.fs.sync_dir(&shared.dir)?;
            io::Result::Ok((data, marks))
        };
        match create() {
            Ok((data, marks)) => {
                let mut state = shared.lock();
                state.disk_bytes += 2 * FILE_HEADER;
                state.due_bytes += FOOTER;
                Ok(Open {
                    number,
                    first_seq: self.next_seq,
                    data: data.into(),
                    marks: marks.into(),
                    len: FILE_HEADER,
                    n_entries: 0,
                })
            }
            Err(error) => {
                if !remove::abandoned_pair(shared, number) {
                    shared.lock().disk_bytes += 2 * FILE_HEADER;
                }
                Err(error)
            }
        }
    }

    /// Enters a durable group into the books and answers its tickets.
    fn acknowledge(&mut self, group: Vec<Pending>) {
        let Some(open) = &mut self.open else { return };
        let n_entries = group.len() as u64;
        let total: u64 = group.iter().map(Pending::total).sum();
        let first_seq = open.end_seq();
        let mut answers = Vec::with_capacity(group.len());
        {
            let mut state = self.shared.lock();
            let mut slots = Vec::with_capacity(group.len());
            let mut offset = open.len;
            for (seq, pending) in (first_seq..).zip(group) {
                let header = entry_header(&pending, seq);
                let head = state.keep_head(pending.head);
                state.keep_body(&self.shared.options, EntryId(seq), pending.body);
                slots.push(Slot::new(offset, &header, head));
                offset += header.total();
                answers.push((EntryId(seq), pending.answer, pending.reservation));
            }
            state.count_in(&slots);
            state.disk_bytes += total + n_entries * MARKS;
            let segment = state
                .segments
                .entry(open.first_seq)
                .or_insert_with(|| Segment {
                    number: open.number,
                    first_seq: open.first_seq,
                    data: Arc::clone(&open.data),
                    marks: Arc::clone(&open.marks),
                    disk_bytes: 2 * FILE_HEADER,
                    slots: Vec::new(),
                    pending: 0,
                    active: true,
                    residue: false,
                });
            segment.slots.extend(slots);
            segment.pending += n_entries;
            segment.disk_bytes += total + n_entries * MARKS;
        }
        open.len += total;
        open.n_entries += n_entries;
        self.next_seq = open.end_seq();
        self.shared.changed.notify_waiters();
        let metrics = &self.shared.metrics;
        metrics.appended_entries.inc_by(n_entries);
        metrics
            .appended_bytes
            .inc_by(total - n_entries * ENTRY_HEADER);
        for (id, answer, reservation) in answers {
            drop(reservation);
            // Nobody waits for a ticket that was dropped.
            drop(answer.send(Ok(id)));
        }
    }

    /// Ends the open segment with a footer. Its entries are durable with or without it.
    fn seal(&mut self) {
        let Some(open) = self.open.take() else { return };
        let footer = Footer {
            len: open.len,
            end_seq: open.end_seq(),
        }
        .encode(open.number);
        let written = match open.data.write_at(&mut [IoSlice::new(&footer)], open.len) {
            Ok(()) => open.data.sync(),
            Err(error) => Err(error),
        };
        let mut grown = FOOTER;
        if let Err(error) = written {
            warn!(
                segment = %self.shared.path(FileKind::Segment, open.number).display(),
                %error, "cannot write a segment's footer; its entries are safe",
            );
            if open.data.set_len(open.len).is_ok() {
                grown = 0;
            }
        }
        self.release(&open, grown, false);
    }

    /// Gives the open segment up: what it has acknowledged stays readable, nothing is added.
    fn poison(&mut self, error: &io::Error) {
        let Some(open) = self.open.take() else { return };
        error!(
            segment = %self.shared.path(FileKind::Segment, open.number).display(),
            %error, "cannot write to a segment: it is given up for a new one",
        );
        self.shared.metrics.poisoned_segments.inc();
        let is_cut = cut(&open).and_then(|()| open.data.sync()).is_ok();
        let sizes = open
            .data
            .size()
            .and_then(|data| Ok(data + open.marks.size()?));
        // A disk that does not even tell sizes is taken to have kept what it was given.
        let grown = sizes
            .unwrap_or(open.disk_bytes())
            .saturating_sub(open.disk_bytes());
        self.release(&open, grown, !is_cut);
    }

    /// Takes the open segment out of the writer's hands. It has grown by bytes not yet counted.
    fn release(&mut self, open: &Open, grown: u64, residue: bool) {
        let mut state = self.shared.lock();
        state.poisoned = self.shared.metrics.poisoned_segments.get();
        state.due_bytes -= FOOTER;
        state.disk_bytes += grown;
        if let Some(segment) = state.segments.get_mut(&open.first_seq) {
            segment.disk_bytes += grown;
            segment.active = false;
            segment.residue = residue;
            state.retire = true;
        } else {
            drop(state);
            if remove::abandoned_pair(&self.shared, open.number) {
                self.shared.lock().disk_bytes -= open.disk_bytes() + grown;
            }
        }
    }
}

fn entry_header(pending: &Pending, seq: u64) -> EntryHeader {
    EntryHeader {
        // `Buffer::append` refuses what does not fit.
        head_len: u32::try_from(pending.head.len()).unwrap_or(u32::MAX),
        body_len: pending.body_len,
        head_crc: pending.head_crc,
        body_crc: pending.body_crc,
        seq,
        created_ms: pending.created_ms,
    }
}

/// Writes a group behind the open segment's end, places for its marks first.
fn write(open: &Open, group: &[Pending]) -> io::Result<()> {
    let places = vec![0; group.len() * MARKS as usize];
    let marks_at = Mark::Posted.offset(open.n_entries);
    open.marks
        .write_at(&mut [IoSlice::new(&places)], marks_at)?;
    let headers: Vec<_> = (open.end_seq()..)
        .zip(group)
        .map(|(seq, pending)| entry_header(pending, seq).encode(open.number))
        .collect();
    let mut slices = Vec::with_capacity(group.len() * 4);
    for (header, pending) in headers.iter().zip(group) {
        slices.push(IoSlice::new(header));
        slices.push(IoSlice::new(&pending.head));
        slices.extend(pending.body.iter().map(|part| IoSlice::new(part)));
    }
    open.data.write_at(&mut slices, open.len)
}

/// Cuts both files back to what is durable.
fn cut(open: &Open) -> io::Result<()> {
    let data = open.data.set_len(open.len);
    open.marks.set_len(Mark::Posted.offset(open.n_entries))?;
    data
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

const _: () = assert!(
    ENTRY_COST == ENTRY_HEADER + MARKS,
    "has_room counts an entry's whole cost"
);
