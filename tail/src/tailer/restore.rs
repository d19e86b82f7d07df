//! The journal's records become sequences again; their files are compared when they are listed.

use super::Tailer;
use crate::journal::State;
use crate::record;
use crate::stream::{Phase, Sealed, Stream};
use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};
use xxhash_rust::xxh3::xxh3_64;

impl Tailer {
    pub(super) fn restore(&mut self, state: &State) {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        self.has_rebooted = state.get(&b"i"[..]).is_some_and(|old| *old != boot);
        // A power cut loses the journal's youngest deltas (it is not fsynced).
        self.is_unsure |= self.has_rebooted;
        self.journal.put(b"i", &boot);

        let mut metadata: HashMap<u64, Arc<[u8]>> = HashMap::new();
        let mut groups: BTreeMap<u64, &[u8]> = BTreeMap::new();
        let mut known = Vec::new();
        let mut n_streams = 0_u64;
        let mut n_bad = 0_u64;
        for (key, value) in state {
            match record::split_key(key) {
                Some((b's', handle)) => {
                    self.next_handle = self.next_handle.max(handle);
                    let moving = state.get(&record::key(b'p', handle)[..]);
                    let fixed = record::read_fixed(value);
                    let stream = fixed
                        .as_ref()
                        .zip(moving)
                        .and_then(|(fixed, moving)| record::read_stream(handle, fixed, moving));
                    let found = fixed.zip(stream);
                    n_bad += u64::from(found.is_none());
                    let is_kept =
                        found.is_some_and(|(fixed, stream)| self.restore_stream(&fixed, stream));
                    n_streams += u64::from(is_kept);
                    if !is_kept {
                        self.journal.delete(key);
                        self.journal.delete(&record::key(b'p', handle));
                    }
                }
                Some((b'g', sequence)) => {
                    groups.insert(sequence, value);
                }
                Some((b'm', hash)) => {
                    metadata.insert(hash, value.as_slice().into());
                }
                Some((b'q', sequence)) => known.push(sequence),
                _ => {}
            }
        }
        self.known_sequences.extend(known);
        for (key, value) in groups {
            let sealed = record::read_sealed(value, |hash| metadata.get(&hash).cloned());
            let is_kept = sealed.is_some_and(|sealed| self.restore_group(key, sealed));
            if !is_kept {
                self.journal.delete(&record::key(b'g', key));
            }
        }
        for hash in metadata.keys() {
            if !self.metadata.users.contains_key(hash) {
                self.journal.delete(&record::key(b'm', *hash));
            }
        }
        if n_bad > 0 {
            warn!(
                records = n_bad,
                "journal has records that cannot be read, files are read again"
            );
        }
        if !self.is_fresh {
            info!(
                streams = n_streams,
                rebooted = self.has_rebooted,
                "journal read"
            );
        }
    }

    /// False when the file is not wanted any more: the globs have changed.
    fn restore_stream(&mut self, fixed: &record::Fixed, mut stream: Stream) -> bool {
        let path = &fixed.source.path;
        let is_wanted = self.patterns.iter().any(|pattern| pattern.is_match(path))
            && !self.excludes.is_match(path);
        if !is_wanted {
            return false;
        }
        let slot = match self.by_key.get(&fixed.sequence) {
            Some(slot) => *slot,
            None => self.add_sequence(fixed.sequence, &fixed.dir, fixed.source.clone()),
        };
        self.by_path
            .insert(xxh3_64(path.as_os_str().as_bytes()), slot);
        let now = self.now();
        stream.last_grow = now;
        stream.first_byte = (stream.size > 0).then_some(now);
        stream.first_unsent = now;
        stream.barren = stream.sent;
        if matches!(stream.phase, Phase::Live) && stream.place.is_none() {
            stream.phase = Phase::Missing {
                since: now,
                truncated: true,
            };
        }
        self.metrics.files_followed.inc();
        self.with(slot, |_, sequence| {
            sequence.is_known = true;
            sequence.is_unverified = true;
            if stream.unread() > 0 {
                sequence.behind_since = Some(now);
            }
            sequence.framing = Some(fixed.head.framing);
            // Handles rise with the first sight; listing puts right what was found out of order.
            sequence.streams.push_back(stream);
        });
        true
    }

    fn restore_group(&mut self, key: u64, mut sealed: Sealed) -> bool {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return false;
        };
        let now = self.now();
        // Rule 11: it may have been sent, and its answer was not taken in.
        let age = self.wall_ns().saturating_sub(sealed.sealed_ns);
        sealed.doubt = Some((Duration::from_nanos(age), now));
        self.metadata.add(&sealed.metadata);
        if let Some(settings) = &sealed.settings {
            self.metadata.add(settings);
        }
        self.with(slot, |_, sequence| sequence.sealed = Some(Box::new(sealed)));
        true
    }
}
