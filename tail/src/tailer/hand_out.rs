//! Handing a sealed group out, the first time or again with the same bytes, and giving it up when
//! its bytes cannot be had any more (DELIVERY rules 8 and 11).

use super::Tailer;
use crate::group::{Group, GroupChunk, GroupId, Suspect};
use crate::record;
use crate::stream::{Phase, Sealed, SealedChunk, Sequence};
use std::sync::Arc;
use std::time::Duration;

/// Age of a try of which only that it may have been is known: longer than any rollover's memory
/// that is worth checking.
const UNSURE_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A file that cannot be read is tried again after this long.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(1);

impl Tailer {
    /// Seals a group with `settings` in place of those it has, as long as no try may have stored
    /// anything of it: without settings a receiver stores nothing.
    pub(super) fn seal_settings(&mut self, sequence: &mut Sequence, settings: Option<Arc<[u8]>>) {
        let key = record::key(b'g', sequence.key);
        let Some(sealed) = &mut sequence.sealed else {
            return;
        };
        let is_free = sealed.doubt.is_none() || sealed.settings.is_none();
        let is_same = match (&sealed.settings, &settings) {
            // Nearly always the same bytes at the same place: no need to compare them.
            (Some(before), Some(now)) => Arc::ptr_eq(before, now) || before == now,
            (before, now) => before == now,
        };
        if !is_free || settings.is_none() || is_same {
            return;
        }
        let before = std::mem::replace(&mut sealed.settings, settings);
        self.journal.put(&key, &record::write_sealed(sealed));
        if let Some(settings) = &sealed.settings {
            self.keep_object(settings);
        }
        if let Some(before) = before {
            self.metadata.remove(&before);
        }
    }

    /// Counts a user of metadata or settings, which the journal gets with their first one.
    pub(super) fn keep_object(&mut self, object: &[u8]) {
        if self.metadata.add(object) {
            let key = record::key(b'm', record::metadata_hash(object));
            self.journal.put(&key, object);
        }
    }

    /// A group is over: it does not use its metadata and settings any more.
    pub(super) fn release_objects(&mut self, sealed: &Sealed) {
        self.metadata.remove(&sealed.metadata);
        if let Some(settings) = &sealed.settings {
            self.metadata.remove(settings);
        }
    }

    /// Gives a sealed group out: the first time, or again with the same bytes.
    pub(super) fn hand_out(
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
        self.pace.count(&mut sequence.counted, now);
        self.next_group += 1;
        let id = GroupId(self.next_group);
        let alone = sealed.lost_connections >= 2 || sealed.rejections.n > 0;
        self.unacked += total as u64;
        sequence.in_flight = Some(id);
        let settings = sealed.settings.clone();
        sequence.sealed = Some(sealed);
        self.in_flight.insert(id, slot);
        Some(Group {
            id,
            sequence: sequence.key,
            alone,
            settings,
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
            self.release_objects(&sealed);
            if let Some(id) = sequence.in_flight.take() {
                self.in_flight.remove(&id);
                self.unacked = self.unacked.saturating_sub(sealed.bytes());
            }
        }
    }
}
