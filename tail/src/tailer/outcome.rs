//! Answers: positions move, seals are broken or kept, ages of doubt begin.

use super::Tailer;
use crate::group::{Failure, Flush, GroupId, Positions};
use crate::record;
use crate::stream::{Phase, Sealed, Sequence, Stream};
use std::path::Path;
use std::time::Duration;
use tracing::{error, warn};

/// Pause after a failure that names none, so that a group whose aggregators all fail does not
/// turn in a circle. The agent's own back-off stands above it.
const PAUSE: Duration = Duration::from_millis(50);

/// First pause after a refusal of a group that comes again as it is.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause of a group that is set apart: an aggregator that takes it is found that soon.
const ISOLATED_PAUSE: Duration = Duration::from_secs(300);

/// Refusals of a group, alone in its batch, before it is set apart: one may be an aggregator's
/// fault, and there are seldom more than a few of different versions.
const MAX_REJECTIONS: u32 = 3;

/// Smallest chunk that a 413 leads to.
const MIN_LIMIT: u64 = 64 << 10;

impl Tailer {
    pub(super) fn take_ack(&mut self, id: GroupId, positions: &[Positions]) {
        let Some(slot) = self.in_flight.remove(&id) else {
            return;
        };
        let now = self.now();
        self.with(slot, |tailer, sequence| {
            tell(sequence);
            tailer.ack(sequence, positions, now)
        });
        self.reschedule(slot, now);
        self.drop_if_over(slot);
    }

    fn drop_if_over(&mut self, slot: u32) {
        let is_over = self
            .sequence(slot)
            .is_some_and(|sequence| sequence.streams.is_empty() && sequence.sealed.is_none());
        if is_over && let Some(sequence) = self.sequence(slot) {
            // Its folder may hold a file that is not known yet; the listing decides.
            let dir = std::sync::Arc::clone(&sequence.dir);
            self.dirty_folders.insert(dir);
        }
    }

    pub(super) fn ack(&mut self, sequence: &mut Sequence, positions: &[Positions], now: Duration) {
        sequence.in_flight = None;
        let Some(sealed) = sequence.sealed.take() else {
            return;
        };
        self.n_acked += 1;
        self.end_isolation(&sealed);
        self.unacked = self.unacked.saturating_sub(sealed.bytes());
        self.release_objects(&sealed);
        self.journal.delete(&record::key(b'g', sequence.key));
        let mut has_progress = false;
        let mut all_done = true;
        for (chunk, positions) in sealed.chunks.iter().zip(positions) {
            let Some(idx) = sequence.position(chunk.handle) else {
                continue;
            };
            let counters = self.counters(sequence).cloned();
            let Some(stream) = sequence.streams.get_mut(idx) else {
                continue;
            };
            let chunk_end = chunk.start + chunk.len;
            let before = stream.acked.low();
            let clamp = |old: u64, new: u64| new.min(chunk_end).max(old);
            stream.acked.stdout = clamp(stream.acked.stdout, positions.stdout);
            stream.acked.stderr = clamp(stream.acked.stderr, positions.stderr);
            let after = stream.acked.low();
            has_progress |= after > before || chunk.len == 0;
            all_done &= after >= chunk_end;
            if sealed.doubt.is_some() && after < chunk_end {
                // An earlier try may have stored more than this one (DELIVERY rule 11).
                stream.unsure_below = stream.unsure_below.max(chunk_end);
            }
            if let Some(counters) = counters {
                counters.bytes_acknowledged.inc_by(after - before);
            }
            match stream.phase {
                Phase::Vanished { .. } if chunk.end.is_some() && chunk.len == 0 => {
                    self.forget(sequence, idx);
                    continue;
                }
                Phase::Live | Phase::Missing { .. }
                    if chunk.end.is_some() && after >= stream.size && chunk_end >= stream.size =>
                {
                    // What was deleted is over; what has a name stays known by it.
                    let is_gone = stream.deleted_since.is_some()
                        || matches!(stream.phase, Phase::Missing { .. });
                    stream.phase = Phase::Done;
                    self.shut(stream);
                    if is_gone {
                        self.forget(sequence, idx);
                        continue;
                    }
                }
                _ => {}
            }
            self.save(sequence, idx);
        }
        if sequence.unread() == 0 {
            sequence.behind_since = None;
        } else if has_progress {
            sequence.behind_since = Some(now);
        }
        // No progress although all was there: come again longer, at last with a hard flush.
        if has_progress || all_done {
            sequence.target = super::build::FIRST_TARGET;
            sequence.force_hard = false;
        } else if sealed.bytes() >= sequence.target.min(sequence.limit) {
            sequence.force_hard = sequence.target >= sequence.limit;
            sequence.target = (sequence.target * 2).min(self.options.max_chunk);
        }
        sequence.hold_until = Duration::ZERO;
    }

    pub(super) fn take_failure(&mut self, id: GroupId, why: Failure) {
        let Some(slot) = self.in_flight.remove(&id) else {
            return;
        };
        let now = self.now();
        self.with(slot, |tailer, sequence| tailer.fail(sequence, why, now));
        self.reschedule(slot, now);
    }

    fn fail(&mut self, sequence: &mut Sequence, why: Failure, now: Duration) {
        sequence.in_flight = None;
        let Some(sealed) = &mut sequence.sealed else {
            return;
        };
        self.unacked = self.unacked.saturating_sub(sealed.bytes());
        let (is_doubtful, pause) = match why {
            Failure::NotSent => (false, Duration::ZERO),
            Failure::Unknown => (true, PAUSE),
            Failure::ConnectionLost => (true, PAUSE),
            Failure::Busy {
                retry_after,
                in_doubt,
            } => (in_doubt, retry_after),
            Failure::Refused { retry_after } => (false, retry_after),
            Failure::TooLarge if may_shrink(sealed) => (false, Duration::ZERO),
            // What cannot be made smaller waits for an aggregator that takes it.
            Failure::TooLarge | Failure::Rejected => {
                let path = sequence
                    .streams
                    .iter()
                    .find(|stream| sealed.chunks.iter().any(|it| it.handle == stream.handle))
                    .and_then(Stream::path);
                (false, self.rejected(sealed, path, why))
            }
        };
        if is_doubtful && sealed.doubt.is_none() {
            // Rule 11: the age counts from the try, which began when it was sealed at the
            // earliest.
            let age = self
                .clock
                .wall()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            let sealed_at = Duration::from_nanos(sealed.sealed_ns);
            sealed.doubt = Some((age.saturating_sub(sealed_at), now));
        }
        sequence.hold_until = now + pause;
        if why == Failure::ConnectionLost {
            sealed.lost_connections = sealed.lost_connections.saturating_add(1);
            let value = record::write_sealed(sealed);
            self.journal.put(&record::key(b'g', sequence.key), &value);
        }
        if why == Failure::TooLarge {
            sequence.limit = (sealed.bytes() / 2).max(MIN_LIMIT);
            if may_shrink(sealed) {
                self.free_bounds(sequence);
            }
        }
    }

    /// Breaks the seal of a group that no aggregator takes as it is. When an earlier try may have
    /// stored a part of it, what comes of its bytes is in doubt.
    fn free_bounds(&mut self, sequence: &mut Sequence) {
        let Some(sealed) = &sequence.sealed else {
            return;
        };
        let is_doubtful = sealed.doubt.is_some();
        if is_doubtful && sealed.flush != Flush::None {
            warn!(
                path = %sequence.source.path.display(), bytes = sealed.bytes(),
                "aggregators refuse a group for its size whose first try may have been stored: it \
                 comes again in pieces, and the event at its end may come twice"
            );
        }
        let chunks = sealed.chunks.clone();
        self.unseal(sequence);
        for chunk in chunks {
            let idx = sequence.position(chunk.handle);
            if let Some(stream) = idx.and_then(|idx| sequence.streams.get_mut(idx)) {
                stream.flushed = Flush::None;
                stream.sent = stream.sent.min(chunk.start);
                stream.barren = stream.barren.min(chunk.start);
                if is_doubtful {
                    stream.unsure_below = stream.unsure_below.max(chunk.start + chunk.len);
                }
            }
            if let Some(idx) = idx.filter(|_| is_doubtful) {
                self.save(sequence, idx);
            }
        }
    }

    /// Counts a refusal of a group for what it is, and answers how long the group waits.
    fn rejected(&mut self, sealed: &mut Sealed, path: Option<&Path>, why: Failure) -> Duration {
        let rejections = &mut sealed.rejections;
        if rejections.n == 0 {
            rejections.acked_before = self.n_acked;
        }
        rejections.n = rejections.n.saturating_add(1);
        // While nothing passes at all, it says nothing about this group.
        let others_pass = self.n_acked > rejections.acked_before;
        if rejections.n > MAX_REJECTIONS && others_pass && !rejections.is_isolated {
            rejections.is_isolated = true;
            self.metrics.groups_isolated.inc();
            let first = sealed.chunks.first();
            error!(
                path = path.map(|path| display(path.display())), offset = first.map(|it| it.start), bytes = sealed.chunks.iter().map(|it| it.len).sum::<u64>(),
                reason = ?why,
                "aggregators refuse this part of a file while others pass: it waits, and is lost \
                 when the file goes; see the aggregators' logs for the reason"
            );
        }
        match (why, sealed.rejections.n) {
            // It shared its batch: alone it may pass at once.
            (Failure::Rejected, 1) => Duration::ZERO,
            (_, n) if sealed.rejections.is_isolated => {
                (REFUSED_PAUSE * 2_u32.pow(n.min(16))).min(ISOLATED_PAUSE)
            }
            _ => REFUSED_PAUSE,
        }
    }

    /// A group is taken, or its seal broken.
    pub(super) fn end_isolation(&self, sealed: &Sealed) {
        if sealed.rejections.is_isolated {
            self.metrics.groups_isolated.dec();
        }
    }
}

/// The receiver that has taken the sealed group has been told of what was passed over before it.
fn tell(sequence: &mut Sequence) {
    let told = sequence.sealed.as_ref().and_then(|sealed| {
        let chunks = sealed.chunks.iter();
        sequence.untold(
            chunks.filter_map(|chunk| Some((sequence.position(chunk.handle)?, chunk.start))),
        )
    });
    if let Some(stream) = told.and_then(|idx| sequence.streams.get_mut(idx)) {
        stream.passed_over = None;
    }
}

/// Whether a group that is too large may be cut anew. Without doubt its bounds are free. In doubt
/// they do no harm where events end by content alone; where silence had ended the last event, that
/// event may come twice: only when nothing else helps.
fn may_shrink(sealed: &Sealed) -> bool {
    let is_safe = sealed.doubt.is_none() || sealed.flush == Flush::None;
    sealed.bytes() > MIN_LIMIT && (is_safe || sealed.rejections.n >= MAX_REJECTIONS)
}
