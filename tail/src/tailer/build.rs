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
use super::hand_out::TRY_AGAIN;
use super::lines::{STEP, read_lines};
use crate::bucket::Bucket;
use crate::content::read_exact_at;
use crate::group::{Flush, Group, Positions, StreamEnd};
use crate::mark::{MARK_LEN, Mark, Match};
use crate::record;
use crate::stream::{Phase, Rejections, Sealed, SealedChunk, Sequence, Stream};
use crate::{FRAMING_VERSION, MetadataSource};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Bytes of a chunk before it is known that more is needed.
pub(super) const FIRST_TARGET: u64 = 256 << 10;

/// Metadata that is not known yet is asked for again after this long.
const ASK_AGAIN: Duration = Duration::from_millis(100);

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
                tailer.seal_settings(sequence, metadata.settings());
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
        let wishes = metadata.wishes(&sequence.source);
        self.limit(sequence, wishes.bytes_per_second, now);
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
        let untold = sequence.untold(drafts.iter().map(|draft| (draft.idx, draft.start)));
        let known = match untold.and_then(|idx| sequence.streams.get(idx)) {
            Some(Stream {
                id: Some(id),
                passed_over: Some(bytes),
                ..
            }) if !wishes.exclude => metadata.passed_over(&known, *id, bytes.clone()),
            _ => known,
        };
        self.keep_object(&known);
        let settings = metadata.settings();
        if let Some(settings) = &settings {
            self.keep_object(settings);
        }
        let sealed = Sealed {
            version: FRAMING_VERSION,
            flush,
            chunks,
            metadata: known,
            settings,
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
        if wishes.exclude {
            out.truncate(base);
            self.pass_over(sequence, now);
            return false;
        }
        true
    }

    /// Takes what was just sealed as done: its pod does not want it carried.
    fn pass_over(&mut self, sequence: &mut Sequence, now: Duration) {
        let Some(sealed) = &sequence.sealed else {
            return;
        };
        let ends = sealed.chunks.iter();
        let ends: Vec<Positions> = ends
            .map(|chunk| Positions::at(chunk.start + chunk.len))
            .collect();
        for chunk in &sealed.chunks {
            let idx = sequence.position(chunk.handle);
            if let Some(stream) = idx.and_then(|idx| sequence.streams.get_mut(idx)) {
                stream.pass_over(chunk.start..chunk.start + chunk.len);
            }
        }
        let n_bytes = sealed.bytes();
        if let Some(counters) = self.counters(sequence) {
            counters.bytes_excluded.inc_by(n_bytes);
        }
        self.just_sealed = None;
        self.unacked += n_bytes;
        self.ack(sequence, &ends, now);
    }

    /// Follows the rate that the container's pod asks for; the operator's own is the most.
    fn limit(&mut self, sequence: &mut Sequence, wish: Option<u64>, now: Duration) {
        let most = self.options.stream_rate;
        let rate = match (wish, most) {
            (Some(wish), Some(most)) => Some(wish.min(most)),
            (wish, most) => wish.or(most),
        };
        if sequence.bucket.as_ref().map(Bucket::rate) != rate {
            sequence.bucket = rate.map(|rate| Bucket::new(rate, now));
        }
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
                warn!(path = sequence.streams.get(idx).and_then(|s| s.path()).map(|path| display(path.display())), %error, "cannot read log file, it is tried again");
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
                warn!(path = stream.path().map(|path| display(path.display())), %error, "cannot read log file, it is tried again");
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
}
