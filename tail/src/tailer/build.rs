//! Reading and sealing: the next group of a sequence, cut at line ends.
//!
//! A group begins at the first byte that is not acknowledged. When it reaches the end of a file
//! that has a successor it goes on there, so that an event over a rotation is seen whole (rule 3).
//! What is decided at the first try (bounds, flags, metadata) is sealed (rule 8).
//!
//! A line longer than `max_line` is cut into pieces of `max_line` bytes counted from its start, so
//! the cuts follow from content. A piece ends its chunk, which is marked `eof` and `Hard`: by this
//! the aggregator takes the unterminated piece as a whole line, and the next chunk begins behind.

use super::Tailer;
use crate::content::{Content, FileId, Gz, open_checked, read_exact_at};
use crate::group::{Flush, Framing, Group, GroupChunk, GroupId, StreamEnd, Suspect};
use crate::mark::{MARK_LEN, Mark, Match, Origin, read_head, stream_id};
use crate::record;
use crate::stream::{Phase, Rejections, Sealed, SealedChunk, Sequence};
use crate::{FRAMING_VERSION, MetadataSource};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Bytes of a chunk before it is known that more is needed.
pub(super) const FIRST_TARGET: u64 = 256 << 10;

/// Bytes asked of the kernel at a time: fits the second-level cache beside the caller's data.
const STEP: u64 = 256 << 10;

/// Metadata that is not known yet is asked for again after this long.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A file that cannot be read is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Age of a try of which only that it may have been is known: longer than any rollover's memory
/// that is worth checking.
const UNSURE_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A chunk under construction.
struct Draft {
    idx: usize,
    range: Range<usize>,
    start: u64,
    eof: bool,
    end: Option<StreamEnd>,
    flush: Flush,
    /// The group must not go on behind it.
    is_last: bool,
    /// Holds something that was not sent before.
    is_new: bool,
}

/// What became of reading one stream.
enum Step {
    Chunk(Draft),
    /// Nothing to send of it; its successor may go on.
    Skip,
    /// Nothing to send of it, and nothing of its successors.
    Stop,
    /// The sequence changed: begin again.
    Again,
}

impl Tailer {
    pub(super) fn build_next(
        &mut self,
        max_bytes: u64,
        metadata: &mut dyn MetadataSource,
        out: &mut Vec<u8>,
    ) -> Option<Group> {
        let now = self.now();
        // A fair share of the batch, so that its other chunks are of other containers.
        let share = max_bytes / (self.n_ready() as u64).max(1);
        let mut put_back = Vec::new();
        let mut group = None;
        for _ in 0..=self.n_ready() {
            let Some(slot) = self.next_ready() else { break };
            let built = self.with(slot, |tailer, sequence| {
                let must_wait = sequence.sealed.as_ref().is_some_and(|sealed| {
                    let is_alone = sealed.lost_connections >= 2;
                    !out.is_empty() && (is_alone || sealed.bytes() > max_bytes)
                });
                if must_wait {
                    return Err(());
                }
                if sequence.in_flight.is_some() || now < sequence.hold_until {
                    return Ok(None);
                }
                if sequence.sealed.is_none()
                    && !tailer.seal(sequence, share.max(STEP).min(max_bytes), metadata, out, now)
                {
                    return Ok(None);
                }
                Ok(tailer.hand_out(slot, sequence, out, now))
            });
            match built {
                Some(Err(())) => put_back.push(slot),
                Some(Ok(Some(built))) => {
                    group = Some(built);
                    break;
                }
                Some(Ok(None)) => {
                    let is_empty = self.sequence(slot).is_some_and(|sequence| {
                        sequence.streams.is_empty() && sequence.sealed.is_none()
                    });
                    if is_empty {
                        let dir = self
                            .sequence(slot)
                            .map(|sequence| Arc::clone(&sequence.dir));
                        self.dirty_folders.extend(dir);
                    } else {
                        self.reschedule(slot, now);
                    }
                }
                None => {}
            }
        }
        for slot in put_back {
            self.reschedule(slot, now);
        }
        group
    }

    /// Reads new chunks into `out` and seals them. False: nothing to send now.
    fn seal(
        &mut self,
        sequence: &mut Sequence,
        max_bytes: u64,
        metadata: &mut dyn MetadataSource,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> bool {
        if let Err(wait) = self.ask_buckets(sequence, now) {
            sequence.throttled_since.get_or_insert(now);
            sequence.hold_until = now + wait;
            return false;
        }
        if let Some(since) = sequence.throttled_since.take()
            && let Some(counters) = self.counters(sequence)
        {
            counters
                .throttled_seconds
                .inc_by(now.saturating_sub(since).as_secs_f64());
        }
        let base = out.len();
        let Some(known) = metadata.metadata(&sequence.source) else {
            sequence.hold_until = now + ASK_AGAIN;
            return false;
        };
        let drafts = self.draft(sequence, max_bytes, out, now);
        if !drafts.iter().any(|draft| draft.is_new) {
            out.truncate(base);
            // Whatever made it due is done with; a guard against turning in a circle.
            sequence.hold_until = sequence.hold_until.max(now + self.options.linger);
            return false;
        }
        let mut flush = drafts
            .iter()
            .map(|draft| draft.flush)
            .next_back()
            .unwrap_or(Flush::None);
        if sequence.force_hard {
            flush = Flush::Hard;
        }
        let mut chunks = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            let chunk = self.seal_chunk(sequence, draft, flush, base, out);
            chunks.extend(chunk);
        }
        let is_written = self.metadata.add(&known);
        if is_written {
            self.journal
                .put(&record::key(b'm', record::metadata_hash(&known)), &known);
        }
        let sealed = Sealed {
            version: FRAMING_VERSION,
            flush,
            chunks,
            metadata: known,
            doubt: None,
            sealed_ns: self.wall_ns(),
            lost_connections: 0,
            rejections: Rejections::default(),
        };
        self.journal.put(
            &record::key(b'g', sequence.key),
            &record::write_sealed(&sealed),
        );
        sequence.sealed = Some(Box::new(sealed));
        self.just_sealed = Some(sequence.key);
        for draft in &drafts {
            self.save(sequence, draft.idx);
        }
        true
    }

    /// Fixes a draft: counts its new bytes, marks its end.
    fn seal_chunk(
        &mut self,
        sequence: &mut Sequence,
        draft: &Draft,
        flush: Flush,
        base: usize,
        out: &[u8],
    ) -> Option<SealedChunk> {
        let namespace = sequence.namespace as usize;
        let stream = sequence.streams.get_mut(draft.idx)?;
        let (id, head) = (stream.id?, stream.head?);
        debug_assert!(draft.range.start >= base);
        let bytes = out.get(draft.range.clone())?;
        let len = bytes.len() as u64;
        let end = draft.start + len;
        let mut mark = Mark::of(end, bytes);
        if len < MARK_LEN
            && draft.start > 0
            && len > 0
            && let Some(content) = &mut stream.content
        {
            // A short line alone is a weak mark: what stands before it is taken in.
            let want = MARK_LEN.min(end);
            if let Ok(Some(bytes)) = read_exact_at(content, end - want, want as usize) {
                mark = Mark::of(end, &bytes);
            }
        }
        if end > stream.sent {
            let new_from = stream.sent.max(draft.start) - draft.start;
            let new = bytes.get(new_from as usize..).unwrap_or_default();
            let lines = memchr::memchr_iter(b'\n', new).count() as u64;
            stream.sent = end;
            stream.is_dirty |= stream.marks.push(mark);
            stream.first_unsent = stream.last_grow;
            stream.barren = stream.barren.max(end);
            if let Some(bucket) = &mut sequence.bucket {
                bucket.take(new.len() as u64);
            }
            if let Some(state) = self.namespaces.get_mut(namespace) {
                state.counters.bytes_read.inc_by(new.len() as u64);
                state.counters.lines_read.inc_by(lines);
                if let Some(bucket) = &mut state.bucket {
                    bucket.take(new.len() as u64);
                }
            }
        }
        if end >= stream.sent {
            stream.flushed = flush;
        }
        Some(SealedChunk {
            handle: stream.handle,
            stream: id,
            start: draft.start,
            len,
            resume: stream.acked,
            framing: head.framing,
            eof: draft.eof,
            end: draft.end,
            mark,
        })
    }

    fn ask_buckets(&mut self, sequence: &mut Sequence, now: Duration) -> Result<u64, Duration> {
        let own = sequence
            .bucket
            .as_mut()
            .map_or(Ok(u64::MAX), |bucket| bucket.ask(now))?;
        let state = self.namespaces.get_mut(sequence.namespace as usize);
        let shared = state.and_then(|state| state.bucket.as_mut());
        let shared = shared.map_or(Ok(u64::MAX), |bucket| bucket.ask(now))?;
        Ok(own.min(shared))
    }

    /// Reads the chunks of a group, each stream's in turn.
    fn draft(
        &mut self,
        sequence: &mut Sequence,
        max_bytes: u64,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Vec<Draft> {
        let base = out.len();
        let budget = self.ask_buckets(sequence, now).unwrap_or(0).max(16 << 10);
        let cap = max_bytes.min(sequence.limit).min(budget).max(4 << 10);
        // What a group could not get acknowledged at all comes again longer.
        let cap = if sequence.target > FIRST_TARGET {
            cap.max(sequence.target.min(sequence.limit))
        } else {
            cap
        };
        let mut drafts: Vec<Draft> = Vec::new();
        let mut idx = 0;
        // A stream that is found truncated begins the work again, once for each at most.
        let mut agains = 0;
        while idx < sequence.streams.len() {
            let done = (out.len() - base) as u64;
            let room = cap.saturating_sub(done).max(64 << 10).min(cap);
            match self.step(sequence, idx, room, out, now) {
                Step::Chunk(draft) => {
                    let is_last = draft.is_last;
                    drafts.push(draft);
                    if is_last {
                        break;
                    }
                    idx += 1;
                }
                Step::Skip => idx += 1,
                Step::Stop => break,
                Step::Again => {
                    out.truncate(base);
                    drafts.clear();
                    idx = 0;
                    agains += 1;
                    if agains > 8 {
                        break;
                    }
                }
            }
        }
        drafts
    }

    /// What there is to send of one stream.
    fn step(
        &mut self,
        sequence: &mut Sequence,
        idx: usize,
        room: u64,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Step {
        let o = &self.options;
        let (final_after, linger, hard_flush) = (o.final_after, o.linger, o.hard_flush);
        let successor = sequence.successor(idx);
        let here = out.len()..out.len();
        let Some(stream) = sequence.streams.get(idx) else {
            return Step::Stop;
        };
        match stream.phase {
            Phase::Done => return Step::Skip,
            Phase::Vanished { unread } => {
                let end = StreamEnd {
                    size: stream.size,
                    unread,
                    successor,
                };
                return Step::Chunk(Draft {
                    idx,
                    range: here,
                    start: stream.acked.low(),
                    eof: true,
                    end: Some(end),
                    flush: Flush::Hard,
                    is_last: false,
                    is_new: true,
                });
            }
            Phase::Missing { since, .. } => {
                if now < since + final_after {
                    return Step::Stop;
                }
                self.vanish(sequence, idx, "file vanished unread");
                return Step::Again;
            }
            Phase::Live => {}
        }
        if !self.refresh_size(sequence, idx, now) {
            return Step::Again;
        }
        let has_successor = sequence.successor_since(idx).is_some();
        let is_over = sequence
            .over_at(idx, final_after)
            .is_some_and(|at| now >= at);
        let Some(stream) = sequence.streams.get(idx) else {
            return Step::Stop;
        };
        let quiet = now.saturating_sub(stream.last_grow);
        let is_final = is_over || quiet >= 2 * final_after;
        if stream.size == 0 {
            if is_over {
                self.forget(sequence, idx);
                return Step::Again;
            }
            return Step::Skip;
        }
        if stream.unread() == 0 && stream.id.is_some() {
            if !is_over {
                return Step::Skip;
            }
            let end = StreamEnd {
                size: stream.size,
                unread: 0,
                successor,
            };
            return Step::Chunk(Draft {
                idx,
                range: here,
                start: stream.size,
                eof: true,
                end: Some(end),
                flush: if has_successor {
                    Flush::None
                } else {
                    Flush::Hard
                },
                is_last: false,
                is_new: true,
            });
        }
        if let Err(error) = self.ensure_open(sequence, idx) {
            if error.kind() != io::ErrorKind::NotFound {
                warn!(path = ?sequence.streams.get(idx).and_then(|s| s.path()), %error, "cannot read log file, it is tried again");
            }
            self.dirty_folders.insert(Arc::clone(&sequence.dir));
            sequence.hold_until = now + TRY_AGAIN;
            return Step::Stop;
        }
        let is_known = sequence
            .streams
            .get(idx)
            .is_some_and(|stream| stream.id.is_some());
        if !is_known && !self.identify(sequence, idx, is_final) {
            if let Some(stream) = sequence.streams.get_mut(idx) {
                stream.barren = stream.size;
            }
            return Step::Stop;
        }
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return Step::Stop;
        };
        let Some(content) = &mut stream.content else {
            return Step::Stop;
        };
        // Rule 2: refilled behind our back?
        let is_same = match stream.head {
            // Nothing was sent yet, but the identity says what stands at the start.
            Some(head) if stream.sent == 0 => {
                let fits = stream.marks.compare(&head, content, stream.size);
                fits.map_or(true, |fits| fits != Match::No)
            }
            _ => stream.marks.last.matches(content).unwrap_or(true),
        };
        if !is_same {
            self.truncated(sequence, idx, now);
            return Step::Again;
        }
        let start = stream.acked.low();
        let at = out.len();
        let cut = match read_lines(
            content,
            start,
            stream.size,
            stream.sent,
            room,
            self.options.max_line,
            is_final,
            out,
        ) {
            Ok(cut) => cut,
            Err(error) => {
                out.truncate(at);
                warn!(path = ?stream.path(), %error, "cannot read log file, it is tried again");
                sequence.hold_until = now + TRY_AGAIN;
                return Step::Stop;
            }
        };
        let read_to = start + (out.len() - at) as u64;
        if !matches!(content.stat(), Ok((size, _)) if size >= read_to) {
            out.truncate(at);
            self.refresh_size(sequence, idx, now);
            return Step::Again;
        }
        out.truncate(at + cut.len);
        let end = start + cut.len as u64;
        if cut.is_all {
            stream.barren = stream.barren.max(stream.size);
        }
        if cut.is_piece {
            self.metrics.lines_cut.inc();
        }
        let reaches_end = end == stream.size;
        let eof = cut.is_piece || (reaches_end && (is_over || has_successor || cut.is_torn));
        let flush = if cut.is_piece || cut.is_torn {
            Flush::Hard
        } else if !cut.is_all {
            Flush::None
        } else if quiet >= hard_flush || (is_over && !has_successor && reaches_end) {
            Flush::Hard
        } else if quiet >= linger {
            Flush::Soft
        } else {
            Flush::None
        };
        let goes_on = reaches_end && has_successor && !cut.is_piece;
        if cut.len == 0 {
            return if goes_on { Step::Skip } else { Step::Stop };
        }
        let is_end = is_over && reaches_end && !cut.is_piece;
        // The rest of a rotated file is new only as the first try that has its end.
        let is_new = end > stream.sent
            || (!goes_on && flush > stream.flushed)
            || (is_end && !has_successor && stream.flushed < Flush::Hard);
        Step::Chunk(Draft {
            idx,
            range: at..out.len(),
            start,
            eof,
            end: is_end.then_some(StreamEnd {
                size: stream.size,
                unread: 0,
                successor,
            }),
            flush,
            is_last: !goes_on,
            is_new,
        })
    }

    /// Opens a stream's file when it is not, and closes another one when too many are.
    fn ensure_open(&mut self, sequence: &mut Sequence, idx: usize) -> io::Result<()> {
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return Ok(());
        };
        if stream.content.is_some() {
            return Ok(());
        }
        let gone = || io::Error::new(io::ErrorKind::NotFound, "no file");
        let place = stream.place.as_ref().ok_or_else(gone)?;
        let (file, metadata) = open_checked(&place.path, &self.options.allowed_roots)?;
        if FileId::of(&metadata) != place.id {
            return Err(gone());
        }
        stream.content = Some(if place.gz {
            Content::Gz(Box::new(Gz::open(file)?))
        } else {
            Content::Plain(file)
        });
        let handle = stream.handle;
        self.note_open(sequence.key, handle);
        self.close_surplus();
        Ok(())
    }

    /// Counts a file that was opened. The order may name some that were closed since.
    pub(super) fn note_open(&mut self, key: u64, handle: u64) {
        self.n_open += 1;
        self.metrics
            .files_open
            .set(i64::try_from(self.n_open).unwrap_or(i64::MAX));
        if let Some(slot) = self.by_key.get(&key).copied() {
            self.open_order.push_back((slot, handle));
        }
        if self.open_order.len() > 2 * self.n_open + 64 {
            // Mostly of files that are closed by now; those of the sequence at hand may go, too:
            // they are then closed when they are done.
            let sequences = &self.sequences;
            self.open_order.retain(|(slot, handle)| {
                let sequence = sequences.get(*slot as usize).and_then(Option::as_ref);
                sequence.is_some_and(|sequence| {
                    sequence
                        .streams
                        .iter()
                        .any(|s| s.handle == *handle && s.content.is_some())
                })
            });
        }
    }

    /// Closes the files that were opened longest ago, but for deleted ones, which could not be
    /// opened again.
    fn close_surplus(&mut self) {
        let mut tries = self.open_order.len();
        while self.n_open > self.options.max_open_files && tries > 0 {
            tries -= 1;
            let Some((slot, handle)) = self.open_order.pop_front() else {
                break;
            };
            // Outside its slot while it is worked on.
            let mut is_kept = self.sequence(slot).is_none() && !self.free.contains(&slot);
            self.with(slot, |tailer, sequence| {
                if let Some(idx) = sequence.position(handle)
                    && let Some(stream) = sequence.streams.get_mut(idx)
                    && stream.content.is_some()
                {
                    if stream.deleted_since.is_some() {
                        is_kept = true;
                    } else {
                        tailer.shut(stream);
                    }
                }
            });
            if is_kept {
                self.open_order.push_back((slot, handle));
            }
        }
    }

    /// Names a stream by its head (rule 1). False: not yet.
    pub(super) fn identify(&mut self, sequence: &mut Sequence, idx: usize, is_final: bool) -> bool {
        let expected = sequence.framing;
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return false;
        };
        let mut opened;
        let content = match (&mut stream.content, &stream.place) {
            (Some(content), _) => content,
            (None, Some(place)) if !place.gz => {
                let Ok((file, _)) = open_checked(&place.path, &self.options.allowed_roots) else {
                    return false;
                };
                opened = Content::Plain(file);
                &mut opened
            }
            _ => return false,
        };
        let expected = expected.filter(|framing| *framing != Framing::Raw);
        let Ok(Some((head, bytes))) = read_head(content, expected, is_final) else {
            return false;
        };
        let container = container_name(&sequence.source, &sequence.dir);
        let origin = match head.framing {
            Framing::Raw => Origin::Raw {
                node: &self.options.node,
                id: stream
                    .place
                    .as_ref()
                    .map(|place| place.id)
                    .unwrap_or_default(),
                life: stream.life,
            },
            Framing::Cri | Framing::Docker => Origin::Container(&container),
        };
        stream.id = Some(stream_id(&origin, &bytes));
        stream.head = Some(head);
        stream.is_dirty = true;
        sequence.framing = Some(head.framing);
        true
    }

    /// Gives a sealed group out: the first time, or again with the same bytes.
    fn hand_out(
        &mut self,
        slot: u32,
        sequence: &mut Sequence,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Option<Group> {
        let sealed = sequence.sealed.take()?;
        let total = sealed.bytes() as usize;
        // A fresh seal's bytes are the last ones of `out`.
        let is_fresh = sequence.in_flight.is_none()
            && self.just_sealed.take() == Some(sequence.key)
            && out.len() >= total;
        let mut at = out.len() - if is_fresh { total } else { 0 };
        let base = at;
        let mut chunks = Vec::with_capacity(sealed.chunks.len());
        let suspect = match sealed.lost_connections {
            0..=2 => Suspect::No,
            3 => Suspect::Unparsed,
            _ => Suspect::Lines,
        };
        let doubt = sealed
            .doubt
            .map(|(age, since)| age + now.saturating_sub(since));
        for chunk in &sealed.chunks {
            let len = chunk.len as usize;
            if !is_fresh && !self.read_again(sequence, chunk, out, now) {
                out.truncate(base);
                // Its bytes are gone: what is known of them is counted where that was noticed.
                let is_held = sequence.position(chunk.handle).is_some_and(|idx| {
                    sequence.streams.get(idx).is_some_and(|stream| {
                        matches!(stream.phase, Phase::Live | Phase::Missing { .. })
                    })
                });
                sequence.sealed = Some(sealed);
                if is_held {
                    sequence.hold_until = sequence.hold_until.max(now + TRY_AGAIN);
                    self.give_up_missing(sequence, now);
                } else {
                    self.unseal(sequence);
                }
                return None;
            }
            let unsure = sequence
                .position(chunk.handle)
                .and_then(|idx| sequence.streams.get(idx))
                .is_some_and(|stream| chunk.start < stream.unsure_below);
            let doubt = if unsure {
                Some(doubt.unwrap_or(UNSURE_AGE).max(UNSURE_AGE))
            } else {
                doubt
            };
            chunks.push(GroupChunk {
                stream: chunk.stream,
                start: chunk.start,
                resume: chunk.resume,
                framing: chunk.framing,
                framing_version: sealed.version,
                flush: sealed.flush,
                eof: chunk.eof,
                suspect,
                doubt_ms: doubt.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
                end: chunk.end,
                metadata: Arc::clone(&sealed.metadata),
                range: at..at + len,
            });
            at += len;
        }
        self.next_group += 1;
        let id = GroupId(self.next_group);
        let alone = sealed.lost_connections >= 2 || sealed.rejections.n > 0;
        self.unacked += total as u64;
        sequence.in_flight = Some(id);
        sequence.sealed = Some(sealed);
        self.in_flight.insert(id, slot);
        Some(Group {
            id,
            sequence: sequence.key,
            alone,
            chunks,
        })
    }

    /// Streams of a sealed group that miss their file for too long are lost, and the seal with
    /// them.
    fn give_up_missing(&mut self, sequence: &mut Sequence, now: Duration) {
        let mut idx = 0;
        while let Some(stream) = sequence.streams.get(idx) {
            if let Phase::Missing { since, .. } = stream.phase
                && now >= since + self.options.final_after
            {
                self.vanish(sequence, idx, "file vanished unread");
            }
            idx += 1;
        }
    }

    /// Reads a sealed chunk's bytes once more. False when they cannot be had (now).
    fn read_again(
        &mut self,
        sequence: &mut Sequence,
        chunk: &SealedChunk,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> bool {
        if chunk.len == 0 {
            return true;
        }
        let Some(idx) = sequence.position(chunk.handle) else {
            return false;
        };
        if sequence
            .streams
            .get(idx)
            .is_none_or(|stream| stream.phase != Phase::Live)
        {
            return false;
        }
        if self.ensure_open(sequence, idx).is_err() {
            self.dirty_folders.insert(Arc::clone(&sequence.dir));
            return false;
        }
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return false;
        };
        let Some(content) = &mut stream.content else {
            return false;
        };
        let n = content.read_at(chunk.start, chunk.len as usize, out);
        let is_same =
            n.is_ok_and(|n| n as u64 == chunk.len) && chunk.mark.matches(content).unwrap_or(false);
        if !is_same {
            self.truncated(sequence, idx, now);
        }
        is_same
    }

    /// Gives up a sealed group that cannot or need not be sent as it is.
    pub(super) fn unseal(&mut self, sequence: &mut Sequence) {
        if let Some(sealed) = sequence.sealed.take() {
            self.end_isolation(&sealed);
            self.journal.delete(&record::key(b'g', sequence.key));
            self.metadata.remove(&sealed.metadata);
            if let Some(id) = sequence.in_flight.take() {
                self.in_flight.remove(&id);
                self.unacked = self.unacked.saturating_sub(sealed.bytes());
            }
        }
    }
}

/// What stands for the container in a framed stream's identity.
fn container_name(source: &crate::Source, dir: &Path) -> Vec<u8> {
    let id = source
        .container
        .as_ref()
        .and_then(|found| found.container_id.as_ref());
    match id {
        Some(id) => id.as_bytes().to_vec(),
        None => {
            let name = source.real_path.file_name().unwrap_or_default();
            let base = crate::names::split(name).map_or(name.as_bytes(), |parts| parts.base);
            [dir.as_os_str().as_bytes(), b"/", base].concat()
        }
    }
}

/// Where a chunk was cut.
struct Cut {
    len: usize,
    /// The end is a cut in an overlong line.
    is_piece: bool,
    /// The last line has no newline and is taken as whole.
    is_torn: bool,
    /// Everything up to the file's end was looked at, and all whole lines are in.
    is_all: bool,
}

/// Reads `[start, …)` in steps and finds where to cut. Behind the cut, bytes may be left in `out`.
#[expect(clippy::too_many_arguments, reason = "one flat step of the hot path")]
fn read_lines(
    content: &mut Content,
    start: u64,
    size: u64,
    sent: u64,
    room: u64,
    max_line: u64,
    is_final: bool,
    out: &mut Vec<u8>,
) -> io::Result<Cut> {
    let base = out.len();
    let want = room.min(size.saturating_sub(start));
    let mut line_start = 0_usize;
    loop {
        let have = (out.len() - base) as u64;
        let is_at_end = start + have >= size;
        // Enough is: the room is full and holds something new, or a piece of a long line.
        let tail = have - line_start as u64;
        let has_new = start + line_start as u64 > sent;
        if is_at_end || (have >= want && has_new) || tail > max_line {
            break;
        }
        let step = if have < want {
            STEP.min(want - have)
        } else {
            STEP.min(size - start - have)
        };
        let at = out.len();
        let n = content.read_at(start + have, step as usize, out)?;
        if n == 0 {
            break;
        }
        let new = out.get(at..).unwrap_or_default();
        if let Some(newline) = memchr::memrchr(b'\n', new) {
            line_start = at - base + newline + 1;
        }
    }
    let have = out.len() - base;
    let is_at_end = start + have as u64 >= size;
    let tail = (have - line_start) as u64;
    let read = out.get(base..).unwrap_or_default();
    let max = usize::try_from(max_line).unwrap_or(usize::MAX);
    if let Some(long) = first_overlong(read, max) {
        // The pieces count from the line's start, whatever was read behind it.
        return Ok(Cut {
            len: long + max,
            is_piece: true,
            is_torn: false,
            is_all: false,
        });
    }
    if is_at_end && tail > 0 && is_final {
        return Ok(Cut {
            len: have,
            is_piece: false,
            is_torn: true,
            is_all: true,
        });
    }
    Ok(Cut {
        len: line_start,
        is_piece: false,
        is_torn: false,
        is_all: is_at_end,
    })
}

/// Start of the first line of more than `max` bytes. Looks only for the last newline within each
/// `max` bytes, so whatever the lines, most bytes are not touched.
fn first_overlong(bytes: &[u8], max: usize) -> Option<usize> {
    let mut start = 0;
    while let Some(window) = bytes.get(start..=start + max) {
        match memchr::memrchr(b'\n', window) {
            Some(newline) => start += newline + 1,
            None => return Some(start),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_over_the_limit_are_cut() {
        let check = |text: &[u8], expected| assert_eq!(first_overlong(text, 4), expected);
        check(b"", None);
        check(b"abcd\nabcd\n\n\nab", None);
        check(b"abcd", None);
        check(b"abcde", Some(0));
        check(b"a\nb\nabcde\n", Some(4));
        check(b"abcd\nabcdefgh", Some(5));
    }
}
