//! What is lost, and how it is told: files without a name, deleted, truncated, over the bound.

use super::files::{Entry, has_file};
use super::{Loss, Tailer};
use crate::stream::{Phase, Sequence, Stream};
use std::time::Duration;
use tracing::warn;

/// Losses that `status` remembers: enough to see which pods are hit.
const MAX_LOSSES: usize = 100;

impl Tailer {
    /// Streams whose file has no name in the folder any more; `is_folder_gone`: nor will have.
    pub(super) fn note_gone(
        &mut self,
        sequence: &mut Sequence,
        entries: &[Entry],
        is_folder_gone: bool,
        now: Duration,
    ) {
        let grace = match is_folder_gone {
            true => Duration::ZERO,
            false => self.options.final_after,
        };
        let mut idx = 0;
        while let Some(stream) = sequence.streams.get_mut(idx) {
            let is_there = has_file(stream, entries);
            if is_there {
                stream.unseen_since = None;
            }
            if is_there || stream.place.is_none() && stream.phase != Phase::Done {
                idx += 1;
                continue;
            }
            match stream.phase {
                Phase::Done
                    if stream.place.is_none()
                        && now < stream.last_grow + self.options.final_after =>
                {
                    idx += 1;
                }
                // A listing that is made while files are renamed, one after the other, may miss one
                // of them. Once forgotten it would be new, and sent again from its start.
                Phase::Done if now < *stream.unseen_since.get_or_insert(now) + grace => idx += 1,
                Phase::Done => self.forget(sequence, idx),
                Phase::Live if stream.content.is_some() => {
                    stream.deleted_since.get_or_insert(now);
                    self.has_deleted = true;
                    idx += 1;
                }
                Phase::Live => {
                    stream.phase = Phase::Missing {
                        since: now,
                        truncated: false,
                    };
                    idx += 1;
                }
                Phase::Missing { .. } | Phase::Vanished { .. } => idx += 1,
            }
        }
    }

    /// The file at a stream's place became shorter, or holds other content: its old life waits
    /// for a copy, the new one begins.
    pub(super) fn truncated(&mut self, sequence: &mut Sequence, idx: usize, now: Duration) {
        self.metrics.truncations.inc();
        let handle = self.new_handle();
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return;
        };
        let Some(place) = stream.place.take() else {
            return;
        };
        warn!(
            path = %place.path.display(), offset = stream.acked.low(), size = stream.size,
            "file was truncated"
        );
        let mut new = Stream::new(handle, place, stream.life.wrapping_add(1));
        self.shut(stream);
        stream.is_dirty = true;
        stream.deleted_since = None;
        let size_before = stream.size;
        let has_identity = stream.id.is_some();
        if stream.phase != Phase::Done {
            stream.phase = Phase::Missing {
                since: now,
                truncated: true,
            };
        }
        // Its true size is asked for at once.
        new.last_grow = now;
        sequence.streams.insert(idx + 1, new);
        self.metrics.files_followed.inc();
        if !has_identity {
            // Never sent anything, so there is nothing that a copy could continue; the copy, if
            // there is one, is a stream of its own.
            let is_copied = sequence
                .ignored
                .iter()
                .any(|ignored| ignored.size >= size_before);
            if size_before > 0 && !is_copied {
                self.count_lost(sequence, idx, size_before, "truncated unread");
            }
            self.forget(sequence, idx);
        } else {
            self.save(sequence, idx);
        }
        self.dirty_folders
            .insert(std::sync::Arc::clone(&sequence.dir));
        if let Some(slot) = self.by_key.get(&sequence.key) {
            self.dirty.insert(*slot);
        }
    }

    /// What is unread of a stream without a file is lost; the last chunk will say so.
    pub(super) fn vanish(&mut self, sequence: &mut Sequence, idx: usize, why: &str) {
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return;
        };
        let unread = stream.size.saturating_sub(stream.acked.low());
        stream.phase = Phase::Vanished { unread };
        stream.lost += unread;
        stream.place = None;
        stream.deleted_since = None;
        stream.is_dirty = true;
        self.shut(stream);
        let has_identity = stream.id.is_some();
        let handle = stream.handle;
        if unread > 0 {
            self.count_lost(sequence, idx, unread, why);
        }
        let is_sealed = sequence.in_flight.is_none()
            && sequence.sealed.as_ref().is_some_and(|sealed| {
                sealed
                    .chunks
                    .iter()
                    .any(|chunk| chunk.handle == handle && chunk.len > 0)
            });
        if is_sealed {
            self.unseal(sequence);
        }
        if has_identity {
            self.save(sequence, idx);
        } else {
            self.forget(sequence, idx);
        }
    }

    pub(super) fn count_lost(&mut self, sequence: &Sequence, idx: usize, bytes: u64, why: &str) {
        if let Some(counters) = self.counters(sequence) {
            counters.bytes_lost.inc_by(bytes);
        }
        let container = sequence.source.container.as_ref();
        warn!(
            path = %sequence.source.path.display(),
            namespace = container.map_or("", |found| found.namespace.as_str()),
            pod = container.map_or("", |found| found.pod.as_str()),
            stream = sequence.streams.get(idx).and_then(|stream| stream.id),
            bytes, why, "bytes are lost"
        );
        self.bytes_lost += bytes;
        if self.losses.len() >= MAX_LOSSES {
            self.losses.pop_front();
        }
        self.losses.push_back(Loss {
            path: sequence.source.path.clone(),
            namespace: container.map_or(String::new(), |found| found.namespace.clone()),
            pod: container.map_or(String::new(), |found| found.pod.clone()),
            bytes,
            why: why.to_owned(),
            at: self.clock.wall(),
        });
    }

    /// Rule 4: deleted files that are open are bounded; the oldest is let go.
    pub(super) fn bound_deleted(&mut self) {
        if !std::mem::take(&mut self.has_deleted) {
            return;
        }
        let mut held = Vec::new();
        for (slot, sequence) in (0_u32..).zip(&self.sequences) {
            let Some(sequence) = sequence else { continue };
            for stream in &sequence.streams {
                if let Some(since) = stream.deleted_since
                    && stream.content.is_some()
                {
                    held.push((since, slot, stream.handle, stream.size));
                }
            }
        }
        let mut bytes: u64 = held.iter().map(|(.., size)| size).sum();
        held.sort_unstable();
        for (_, slot, handle, size) in held {
            if bytes <= self.options.max_deleted_bytes {
                break;
            }
            bytes -= size;
            self.with(slot, |tailer, sequence| {
                if let Some(idx) = sequence.position(handle) {
                    tailer.vanish(sequence, idx, "deleted, and over `max_deleted_bytes`");
                }
            });
            let now = self.now();
            self.reschedule(slot, now);
        }
    }
}
