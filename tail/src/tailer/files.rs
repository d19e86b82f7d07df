//! Which file belongs to which stream: rotation, copies, compression, truncation, deletion.
//!
//! A folder's listing is compared with the streams of each of its sequences. A file is known by
//! inode and birth time, an unknown one by its head and markers (DELIVERY rule 2), and what fits
//! no stream is a new one. Decided here, as DELIVERY leaves it open:
//!
//! - Rotated files found together with a sequence that was never seen before are read too, oldest
//!   first, unless `start_at` is `End` or they are older than `ignore_older`.
//! - In a sequence that the journal knows, unknown files older than all known ones are not read:
//!   they were there before us and were left out then.
//! - A stream without a file stays `final_after` long, since a copy or a compressed form may be
//!   in the making; then its unread bytes are lost.

use super::Tailer;
use crate::Positions;
use crate::content::{Content, FileId, Gz, open_checked};
use crate::group::Framing;
use crate::mark::{MARK_LEN, Mark, Marks, Match};
use crate::names::{self, Rank};
use crate::options::StartAt;
use crate::record;
use crate::stream::{Ignored, Phase, Place, Sequence, Stream};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::Duration;
use tracing::{debug, info, warn};

/// Folders and sequences worked off in one `poll`.
const MAX_FOLDERS: usize = 128;
const MAX_SIZES: usize = 4096;

/// A file in a listing.
#[derive(Debug)]
pub(super) struct Entry {
    place: Place,
    rank: Rank,
    metadata: Metadata,
}

impl Tailer {
    pub(super) fn refresh_folders(&mut self, now: Duration) {
        for _ in 0..MAX_FOLDERS {
            let Some(dir) = self.dirty_folders.pop_first() else {
                break;
            };
            self.refresh_folder(&dir, now);
        }
    }

    /// Lists a folder and compares it with all its sequences.
    pub(super) fn refresh_folder(&mut self, dir: &Path, now: Duration) {
        let Some(slots) = self.folders.get(dir).cloned() else {
            return;
        };
        let mut by_base: HashMap<Vec<u8>, Vec<(OsString, Rank, bool)>> = HashMap::new();
        match std::fs::read_dir(dir) {
            Ok(names) => {
                for name in names.flatten() {
                    let is_file = name.file_type().is_ok_and(|kind| kind.is_file());
                    let name = name.file_name();
                    if let Some(parts) = names::split(&name).filter(|_| is_file) {
                        let (rank, gz) = (parts.rank, parts.gz);
                        let base = parts.base.to_vec();
                        by_base.entry(base).or_default().push((name, rank, gz));
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                // Nothing is known of the files: they must not count as gone.
                warn!(path = %dir.display(), %error, "cannot list folder, it is tried again");
                return;
            }
        }
        for (base, names) in by_base {
            let key = super::scan::sequence_key(dir, &base);
            let Some(slot) = self.by_key.get(&key).copied() else {
                continue;
            };
            let mut entries: Vec<Entry> = Vec::with_capacity(names.len());
            for (name, rank, gz) in names {
                let path = dir.join(name);
                if let Ok(metadata) = path.symlink_metadata()
                    && metadata.is_file()
                    && !self.excludes.is_match(&path)
                {
                    let place = Place {
                        id: FileId::of(&metadata),
                        path,
                        gz,
                    };
                    entries.push(Entry {
                        place,
                        rank,
                        metadata,
                    });
                }
            }
            // A file beside its compressed form: the plain one first.
            entries.sort_by_key(|entry| (entry.rank, entry.place.gz));
            self.refresh_sequence(slot, entries, now);
        }
        for slot in slots {
            let is_listed = self
                .sequence(slot)
                .is_some_and(|sequence| sequence.is_listed);
            if is_listed {
                self.with(slot, |_, sequence| sequence.is_listed = false);
            } else {
                self.refresh_sequence(slot, Vec::new(), now);
                self.with(slot, |_, sequence| sequence.is_listed = false);
            }
        }
    }

    fn refresh_sequence(&mut self, slot: u32, entries: Vec<Entry>, now: Duration) {
        let is_over = self.with(slot, |tailer, sequence| {
            sequence.is_listed = true;
            let owners = tailer.match_by_id(sequence, &entries, now);
            tailer.match_by_content(sequence, &entries, owners, now);
            tailer.note_gone(sequence, &entries, now);
            if sequence.is_unverified {
                // The journal does not keep the order; the listing has it. What has no file any
                // more is older than what has.
                let at = |stream: &Stream| {
                    let id = stream.place.as_ref().map(|place| place.id);
                    let found = entries.iter().position(|entry| Some(entry.place.id) == id);
                    found.map_or(0, |at| at + 1)
                };
                sequence.streams.make_contiguous().sort_by_key(at);
            }
            sequence.is_unverified = false;
            sequence
                .ignored
                .retain(|ignored| entries.iter().any(|entry| entry.place.id == ignored.id));
            sequence.streams.is_empty() && entries.is_empty() && sequence.sealed.is_none()
        });
        if is_over == Some(true) {
            self.drop_sequence(slot);
        } else {
            self.reschedule(slot, now);
        }
    }

    /// Files whose inode and birth time a stream holds. Answers each entry's stream by handle.
    fn match_by_id(
        &mut self,
        sequence: &mut Sequence,
        entries: &[Entry],
        now: Duration,
    ) -> Vec<Option<u64>> {
        let mut owners = Vec::with_capacity(entries.len());
        for entry in entries {
            let idx = sequence.streams.iter().position(|stream| {
                stream
                    .place
                    .as_ref()
                    .is_some_and(|place| place.id == entry.place.id)
                    && !matches!(stream.phase, Phase::Vanished { .. })
            });
            let Some(idx) = idx else {
                owners.push(None);
                continue;
            };
            if sequence.is_unverified && !self.verify(sequence, idx, entry, now) {
                owners.push(None);
                continue;
            }
            let size = entry.metadata.len();
            let Some(stream) = sequence.streams.get_mut(idx) else {
                continue;
            };
            if stream.place.as_ref() != Some(&entry.place) {
                stream.place = Some(entry.place.clone());
                stream.is_dirty = true;
            }
            if matches!(stream.phase, Phase::Missing { .. }) {
                stream.phase = Phase::Live;
            }
            stream.deleted_since = None;
            owners.push(Some(stream.handle));
            match stream.phase {
                Phase::Done if !entry.place.gz && size > stream.size => {
                    // Bytes that came after the end are read all the same (rule 3).
                    stream.phase = Phase::Live;
                    stream.grow(size, now);
                }
                Phase::Live if !entry.place.gz && size < stream.size => {
                    self.truncated(sequence, idx, now);
                    // The name now stands for the new life.
                    if let (Some(owner), Some(new)) =
                        (owners.last_mut(), sequence.streams.get(idx + 1))
                    {
                        *owner = Some(new.handle);
                    }
                }
                Phase::Live if !entry.place.gz => {
                    let needs_head = stream.id.is_none() && size > 0 && entry.rank != Rank::Live;
                    let at = self.changed_at(&entry.metadata, now);
                    stream.grow(size, if stream.first_byte.is_none() { at } else { now });
                    if needs_head {
                        // It may be compressed and deleted before its turn to be read comes.
                        self.identify(sequence, idx, false);
                    }
                }
                _ => {}
            }
        }
        owners
    }

    /// After a restart: whether a file still holds the stream's content.
    fn verify(
        &mut self,
        sequence: &mut Sequence,
        idx: usize,
        entry: &Entry,
        now: Duration,
    ) -> bool {
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return false;
        };
        let Some(head) = stream.head else {
            return false;
        };
        let Ok((mut content, size)) = self.open_entry(entry) else {
            // Unreadable now: it is compared when it is read.
            return true;
        };
        let fits = stream
            .marks
            .compare(&head, &mut content, size)
            .unwrap_or(Match::Whole);
        // Rule 2: a framed file's first line is unique, and a raw one shrinks without being
        // truncated only when the machine went down.
        let is_lost_tail = head.framing != Framing::Raw || self.has_rebooted;
        let is_same = match fits {
            Match::Whole if stream.phase == Phase::Done && entry.place.gz => size == stream.size,
            Match::Whole => true,
            Match::Shorter if is_lost_tail => {
                self.roll_back(sequence, idx, &mut content, size);
                true
            }
            Match::Shorter | Match::No => false,
        };
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return false;
        };
        if !is_same {
            warn!(path = %entry.place.path.display(), "file was truncated or replaced while away");
            self.metrics.truncations.inc();
            stream.place = None;
            stream.is_dirty = true;
            if stream.phase != Phase::Done {
                stream.phase = Phase::Missing {
                    since: now,
                    truncated: true,
                };
            }
            return false;
        }
        if self.is_unsure {
            stream.unsure_below = stream.unsure_below.max(size);
        }
        if entry.place.gz {
            if stream.phase == Phase::Live {
                self.metrics.gz_reads.inc();
            }
            stream.grow(size, self.changed_at(&entry.metadata, now));
        } else {
            stream.size = stream.size.min(size);
        }
        self.keep(sequence.key, stream, content);
        true
    }

    /// A power cut took the file's tail, after it was sent: reading goes on behind the last whole
    /// line, as what is written next stands there.
    fn roll_back(&mut self, sequence: &mut Sequence, idx: usize, content: &mut Content, size: u64) {
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return;
        };
        let from = size.saturating_sub(self.options.max_line);
        let mut tail = Vec::new();
        let max = usize::try_from(size - from).unwrap_or(usize::MAX);
        let _unreadable = content.read_at(from, max, &mut tail);
        let end = memchr::memrchr(b'\n', &tail).map_or(from, |at| from + at as u64 + 1);
        warn!(
            path = ?stream.path(), bytes = stream.size.saturating_sub(size),
            "file lost its tail, reading goes on at its end"
        );
        let end = end.min(stream.acked.low());
        stream.acked = Positions {
            stdout: stream.acked.stdout.min(end),
            stderr: stream.acked.stderr.min(end),
        };
        stream.size = size;
        stream.sent = stream.sent.min(end);
        stream.flushed = crate::Flush::None;
        stream.marks.older.retain(|mark| mark.end <= end);
        stream.marks.last = mark_at(content, end);
        stream.is_dirty = true;
        if stream.phase == Phase::Done {
            stream.phase = Phase::Live;
        }
        // Its bounds are not there any more, but it may have been stored.
        if sequence.sealed.is_some() {
            stream.unsure_below = stream.unsure_below.max(size);
        }
        self.unseal(sequence);
        self.save(sequence, idx);
    }

    /// Opens an entry's file and tells the size of its content.
    fn open_entry(&self, entry: &Entry) -> io::Result<(Content, u64)> {
        let (file, metadata) = open_checked(&entry.place.path, &self.options.allowed_roots)?;
        if FileId::of(&metadata) != entry.place.id {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "another file by now",
            ));
        }
        if !entry.place.gz {
            return Ok((Content::Plain(file), metadata.len()));
        }
        let content = Content::Gz(Box::new(Gz::open(file)?));
        let (size, _) = content.stat()?;
        Ok((content, size))
    }

    /// Keeps a file open that has something to read; it may be gone before its turn comes.
    fn keep(&mut self, key: u64, stream: &mut Stream, content: Content) {
        if stream.content.is_none()
            && stream.unread() > 0
            && self.n_open < self.options.max_open_files
        {
            stream.content = Some(content);
            self.note_open(key, stream.handle);
        }
    }

    /// Files that no stream holds by inode.
    fn match_by_content(
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
            if self.is_left_out(sequence, entry, at, &owners, n_known, now) {
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
                None => {
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

    /// Files that are not read: see the head of this file.
    fn is_left_out(
        &self,
        sequence: &Sequence,
        entry: &Entry,
        at: usize,
        owners: &[Option<u64>],
        n_known: usize,
        now: Duration,
    ) -> bool {
        if sequence.is_known {
            let has_older = owners.iter().take(at).any(Option::is_some);
            return sequence.is_unverified
                && n_known > 0
                && !has_older
                && !sequence.streams.iter().any(|stream| stream.place.is_none());
        }
        let age = now.saturating_sub(self.changed_at(&entry.metadata, now));
        let is_old = self.options.ignore_older.is_some_and(|limit| age > limit);
        let is_before_start =
            self.is_starting && self.options.start_at == StartAt::End && entry.rank != Rank::Live;
        is_old || is_before_start
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
            path = %entry.place.path.display(), from = ?stream.path(), offset = stream.acked.low(),
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
            && entry.rank == Rank::Live;
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

    /// Streams whose file has no name in the folder any more.
    fn note_gone(&mut self, sequence: &mut Sequence, entries: &[Entry], now: Duration) {
        let mut idx = 0;
        while let Some(stream) = sequence.streams.get_mut(idx) {
            let is_there = has_file(stream, entries);
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

    /// Asks for the sizes of sequences in which something was written.
    pub(super) fn refresh_sizes(&mut self, now: Duration) {
        for _ in 0..MAX_SIZES {
            let Some(slot) = self.dirty.pop_first() else {
                break;
            };
            self.with(slot, |tailer, sequence| {
                for idx in 0..sequence.streams.len() {
                    tailer.refresh_size(sequence, idx, now);
                }
            });
            self.reschedule(slot, now);
        }
    }

    /// Takes in the size of one stream's file. False when it was truncated.
    pub(super) fn refresh_size(
        &mut self,
        sequence: &mut Sequence,
        idx: usize,
        now: Duration,
    ) -> bool {
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return true;
        };
        if stream.phase != Phase::Live {
            return true;
        }
        let Some(place) = &stream.place else {
            return true;
        };
        let size = match &stream.content {
            Some(content) => match content.stat() {
                Ok((size, is_deleted)) => {
                    // A deleted file that is still written to grows towards the bound, too.
                    self.has_deleted |= is_deleted && size > stream.size;
                    if is_deleted && stream.deleted_since.is_none() {
                        stream.deleted_since = Some(now);
                        self.has_deleted = true;
                        self.dirty_folders
                            .insert(std::sync::Arc::clone(&sequence.dir));
                    }
                    size
                }
                Err(_) => return true,
            },
            None if place.gz => return true,
            None => match place.path.symlink_metadata() {
                Ok(metadata) if FileId::of(&metadata) == place.id => metadata.len(),
                _ => {
                    self.dirty_folders
                        .insert(std::sync::Arc::clone(&sequence.dir));
                    return true;
                }
            },
        };
        if size < stream.size {
            self.truncated(sequence, idx, now);
            return false;
        }
        if size > stream.size {
            stream.grow(size, now);
            sequence.behind_since.get_or_insert(now);
        }
        true
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

    fn count_lost(&self, sequence: &Sequence, idx: usize, bytes: u64, why: &str) {
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

fn has_file(stream: &Stream, entries: &[Entry]) -> bool {
    stream
        .place
        .as_ref()
        .is_some_and(|place| entries.iter().any(|e| e.place.id == place.id))
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

/// The marker of content that ends at `end`.
fn mark_at(content: &mut Content, end: u64) -> Mark {
    let len = usize::try_from(end.min(MARK_LEN)).unwrap_or(0);
    let bytes = crate::content::read_exact_at(content, end - len as u64, len);
    bytes
        .ok()
        .flatten()
        .map_or(Marks::default().last, |bytes| Mark::of(end, &bytes))
}

/// Where the last whole line ends; the start when there is none within reach.
fn last_line_end(content: &mut Content, size: u64, max_line: u64) -> u64 {
    let from = size.saturating_sub(max_line);
    let mut tail = Vec::new();
    let max = usize::try_from(size - from).unwrap_or(usize::MAX);
    let _unreadable = content.read_at(from, max, &mut tail);
    memchr::memrchr(b'\n', &tail).map_or(from, |at| from + at as u64 + 1)
}
