//! Files that no stream holds by inode: known by their content under another name, or new
//! (DELIVERY rule 2).

use super::Tailer;
use super::files::{Entry, has_file, mark_at};
use crate::Positions;
use crate::content::{Content, FileId, open_checked};
use crate::group::Framing;
use crate::mark::Match;
use crate::names::Rank;
use crate::options::StartAt;
use crate::record;
use crate::stream::{Ignored, Phase, Sequence, Stream};
use std::io;
use std::time::Duration;
use tracing::{debug, info};

impl Tailer {
    /// Files that no stream holds by inode.
    pub(super) fn match_by_content(
        &mut self,
        sequence: &mut Sequence,
        entries: &[Entry],
        mut owners: Vec<Option<u64>>,
        now: Duration,
    ) {
        if owners.contains(&None) {
            // What is to be recognised needs a head, also before its turn to be read comes.
            for idx in 0..sequence.streams.len() {
                let has_none = sequence.streams.get(idx).is_some_and(|stream| {
                    stream.id.is_none() && stream.size > 0 && stream.phase == Phase::Live
                });
                if has_none {
                    self.identify(sequence, idx, false);
                }
            }
        }
        let n_known = owners.iter().flatten().count();
        for (at, entry) in entries.iter().enumerate() {
            if owners.get(at).copied().flatten().is_some() {
                continue;
            }
            let size = entry.metadata.len();
            let ignored = sequence
                .ignored
                .iter()
                .position(|old| old.id == entry.place.id);
            if let Some(ignored) = ignored
                && let Some(old) = sequence.ignored.get(ignored)
            {
                let misses_file = |handle: u64| {
                    sequence.position(handle).is_some_and(|idx| {
                        sequence
                            .streams
                            .get(idx)
                            .is_some_and(|stream| !has_file(stream, entries))
                    })
                };
                if old.size == size && !old.copy_of.is_some_and(misses_file) {
                    continue;
                }
                sequence.ignored.remove(ignored);
            }
            if entry.rank != Rank::Live && size == 0 {
                continue;
            }
            let ignore = |copy_of| Ignored {
                id: entry.place.id,
                size,
                copy_of,
            };
            if self.is_left_out(sequence, entry, now) {
                sequence.ignored.push(ignore(None));
                continue;
            }
            let (mut content, size) = match self.open_entry(entry) {
                Ok(opened) => opened,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    // A compressor at work; or unreadable, and the scan says so.
                    debug!(path = %entry.place.path.display(), %error, "cannot read rotated file yet");
                    sequence.ignored.push(ignore(None));
                    continue;
                }
            };
            if entry.place.gz && size == 0 {
                // It has no first line, and never will: nothing to read, and nothing to wait for.
                sequence.ignored.push(ignore(None));
                continue;
            }
            match find_stream(sequence, &mut content, size, entries) {
                Some((idx, true)) if !self.still_holds(sequence, idx) => {
                    // Truncated and refilled before we looked: this is the copy of its old life.
                    let old = sequence.streams.get(idx).map(|stream| stream.handle);
                    self.truncated(sequence, idx, now);
                    let new = sequence.streams.get(idx + 1).map(|stream| stream.handle);
                    for owner in owners.iter_mut().filter(|owner| **owner == old) {
                        *owner = new;
                    }
                    self.adopt(sequence, idx, entry, content, size, now);
                    if let Some(owner) = owners.get_mut(at) {
                        *owner = old;
                    }
                }
                Some((idx, true)) => {
                    let handle = sequence.streams.get(idx).map(|stream| stream.handle);
                    sequence.ignored.push(ignore(handle));
                }
                Some((idx, false)) => {
                    self.adopt(sequence, idx, entry, content, size, now);
                    if let (Some(owner), Some(stream)) =
                        (owners.get_mut(at), sequence.streams.get(idx))
                    {
                        *owner = Some(stream.handle);
                    }
                }
                // Older than all that a known sequence is known by: left out when it began. Asked
                // last, since the file of a known stream is a new one once it is compressed.
                None if sequence.is_known
                    && sequence.is_unverified
                    && n_known > 0
                    && !owners.iter().take(at).any(Option::is_some) =>
                {
                    sequence.ignored.push(ignore(None));
                }
                None => {
                    // A file that was compressed before its first line was read is this one by its
                    // size alone. It begins anew here, and its bytes are not lost.
                    let unread = sequence.streams.iter().position(|stream| {
                        stream.id.is_none()
                            && stream.content.is_none()
                            && (1..=size).contains(&stream.size)
                            && !has_file(stream, entries)
                    });
                    if let Some(unread) = unread.filter(|_| entry.place.gz) {
                        self.forget(sequence, unread);
                    }
                    let newer = owners.iter().skip(at + 1).flatten().next().copied();
                    let idx = newer.and_then(|handle| sequence.position(handle));
                    let idx = idx.unwrap_or(sequence.streams.len());
                    let handle = self.add_stream(sequence, idx, entry, content, size, now);
                    if let Some(owner) = owners.get_mut(at) {
                        *owner = Some(handle);
                    }
                }
            }
        }
    }

    /// Whether a stream's own file has its content still.
    fn still_holds(&mut self, sequence: &mut Sequence, idx: usize) -> bool {
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return true;
        };
        let (Some(head), Some(place)) = (stream.head, &stream.place) else {
            return true;
        };
        if stream.content.is_none() {
            let Ok((file, metadata)) = open_checked(&place.path, &self.options.allowed_roots)
            else {
                return true;
            };
            if place.gz || FileId::of(&metadata) != place.id {
                return true;
            }
            let fits = stream
                .marks
                .compare(&head, &mut Content::Plain(file), metadata.len());
            return fits.is_ok_and(|fits| fits == Match::Whole);
        }
        let Some(content) = &mut stream.content else {
            return true;
        };
        let size = content.stat().map_or(0, |(size, _)| size);
        stream
            .marks
            .compare(&head, content, size)
            .is_ok_and(|fits| fits == Match::Whole)
    }

    /// Files that are not read, whatever they hold: see the head of `files.rs`.
    fn is_left_out(&self, sequence: &Sequence, entry: &Entry, now: Duration) -> bool {
        if sequence.is_known || self.is_own(sequence) {
            return false;
        }
        let age = now.saturating_sub(self.changed_at(&entry.metadata, now));
        let is_old = self.options.ignore_older.is_some_and(|limit| age > limit);
        let is_before_start =
            self.is_starting && self.options.start_at == StartAt::End && entry.rank != Rank::Live;
        is_old || is_before_start
    }

    /// Written by the caller: each byte is meant to be read.
    fn is_own(&self, sequence: &Sequence) -> bool {
        self.options
            .own_folder
            .as_ref()
            .is_some_and(|own| **own == *sequence.dir)
    }

    /// A stream whose own file is gone goes on in this one.
    fn adopt(
        &mut self,
        sequence: &mut Sequence,
        idx: usize,
        entry: &Entry,
        content: Content,
        size: u64,
        now: Duration,
    ) {
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return;
        };
        info!(
            path = %entry.place.path.display(), from = stream.path().map(|path| display(path.display())), offset = stream.acked.low(),
            "file goes on under another name"
        );
        self.shut(stream);
        stream.place = Some(entry.place.clone());
        stream.is_dirty = true;
        stream.deleted_since = None;
        if stream.phase != Phase::Done {
            stream.phase = Phase::Live;
            if entry.place.gz {
                self.metrics.gz_reads.inc();
            }
            let lost = stream.size.saturating_sub(size);
            if lost > 0 {
                // Bytes written between the copy and the truncation are in neither.
                stream.size = size;
                let unread_then = lost.min((stream.size + lost).saturating_sub(stream.sent));
                stream.lost += unread_then;
                if unread_then > 0 {
                    self.count_lost(
                        sequence,
                        idx,
                        unread_then,
                        "cut off between copy and truncation",
                    );
                }
            } else {
                stream.grow(size, self.changed_at(&entry.metadata, now));
            }
            if let Some(stream) = sequence.streams.get_mut(idx) {
                self.keep(sequence.key, stream, content);
            }
        }
        self.save(sequence, idx);
    }

    fn add_stream(
        &mut self,
        sequence: &mut Sequence,
        idx: usize,
        entry: &Entry,
        mut content: Content,
        size: u64,
        now: Duration,
    ) -> u64 {
        let handle = self.new_handle();
        // Rule 1: the number of the life is unknown when the file was there before our journal.
        let previous = sequence.streams.iter().map(|stream| stream.life).max();
        let replaced = sequence.streams.iter().any(|stream| stream.place.is_none());
        let life = match previous {
            Some(life) if replaced => life.wrapping_add(1),
            _ if self.is_starting && !sequence.is_known && (self.is_fresh || self.is_unsure) => {
                fastrand::u64(..)
            }
            _ => 0,
        };
        let mut stream = Stream::new(handle, entry.place.clone(), life);
        let at = self.changed_at(&entry.metadata, now);
        stream.grow(size, if self.is_starting { at } else { now });
        if entry.place.gz {
            self.metrics.gz_reads.inc();
        }
        if self.is_starting && self.is_unsure {
            stream.unsure_below = size;
        }
        let starts_at_end = self.is_starting
            && !sequence.is_known
            && self.options.start_at == StartAt::End
            && entry.rank == Rank::Live
            && !self.is_own(sequence);
        debug!(path = %entry.place.path.display(), size, starts_at_end, "file found");
        sequence.behind_since.get_or_insert(at);
        self.metrics.files_followed.inc();
        if starts_at_end && size > 0 {
            let end = last_line_end(&mut content, size, self.options.max_line);
            stream.acked = Positions::at(end);
            stream.sent = end;
            stream.marks.last = mark_at(&mut content, end);
        }
        self.keep(sequence.key, &mut stream, content);
        let idx = idx.min(sequence.streams.len());
        sequence.streams.insert(idx, stream);
        if size > 0 && entry.rank != Rank::Live {
            self.identify(sequence, idx, false);
        }
        if starts_at_end {
            self.journal.put(&record::key(b'q', sequence.key), &[1]);
            self.identify(sequence, idx, false);
            self.save(sequence, idx);
        }
        handle
    }
}

/// The stream whose content a file holds, and whether the stream still has a file of its own.
fn find_stream(
    sequence: &Sequence,
    content: &mut Content,
    size: u64,
    entries: &[Entry],
) -> Option<(usize, bool)> {
    let mut copy = None;
    for (idx, stream) in sequence.streams.iter().enumerate() {
        let Some(head) = stream.head else { continue };
        let fits = stream
            .marks
            .compare(&head, content, size)
            .unwrap_or(Match::No);
        let is_truncated = matches!(
            stream.phase,
            Phase::Missing {
                truncated: true,
                ..
            }
        ) || stream.phase == Phase::Done && stream.place.is_none();
        let fits = match fits {
            Match::Whole => stream.phase != Phase::Done || size <= stream.size || is_truncated,
            // The copy was made before the last bytes came.
            Match::Shorter => is_truncated || head.framing != Framing::Raw,
            Match::No => false,
        };
        if !fits || matches!(stream.phase, Phase::Vanished { .. }) {
            continue;
        }
        if has_file(stream, entries) {
            copy = Some((idx, true));
        } else {
            return Some((idx, false));
        }
    }
    copy
}

/// Where the last whole line ends; the start when there is none within reach.
fn last_line_end(content: &mut Content, size: u64, max_line: u64) -> u64 {
    let from = size.saturating_sub(max_line);
    let mut tail = Vec::new();
    let max = usize::try_from(size - from).unwrap_or(usize::MAX);
    let _unreadable = content.read_at(from, max, &mut tail);
    memchr::memrchr(b'\n', &tail).map_or(from, |at| from + at as u64 + 1)
}
