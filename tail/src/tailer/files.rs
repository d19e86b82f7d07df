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
//!   in the making, or a listing missed a file that was being renamed; then its unread bytes are
//!   lost, and one that was done is forgotten.

use super::Tailer;
use crate::Positions;
use crate::content::{Content, FileId, Gz, open_checked};
use crate::group::Framing;
use crate::mark::{MARK_LEN, Mark, Marks, Match};
use crate::names::{self, Rank};
use crate::stream::{Phase, Place, Sequence, Stream};
use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::Duration;
use tracing::warn;

/// Folders and sequences worked off in one `poll`.
const MAX_FOLDERS: usize = 128;
const MAX_SIZES: usize = 4096;

/// How often a folder is listed at once when files in it are being renamed.
const MAX_LISTINGS: usize = 3;

/// What a folder holds, by sequence.
#[derive(Debug, Default)]
struct Listing {
    entries: HashMap<u32, Vec<Entry>>,
    /// A name was gone before it could be looked at: its file may have another one by now.
    has_missed: bool,
}

/// A file in a listing.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) rank: Rank,
    pub(super) metadata: Metadata,
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
        let mut is_folder_gone = false;
        let mut listing = Listing::default();
        for _ in 0..MAX_LISTINGS {
            listing = match self.list(dir) {
                Ok(listing) => listing,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    is_folder_gone = true;
                    Listing::default()
                }
                Err(error) => {
                    // Nothing is known of the files: they must not count as gone.
                    warn!(path = %dir.display(), %error, "cannot list folder, it is tried again");
                    return;
                }
            };
            if !listing.has_missed {
                break;
            }
        }
        for (slot, mut entries) in listing.entries {
            // A file beside its compressed form: the plain one first.
            entries.sort_by_key(|entry| (entry.rank, entry.place.gz));
            self.refresh_sequence(slot, entries, false, now);
        }
        for slot in slots {
            let is_listed = self
                .sequence(slot)
                .is_some_and(|sequence| sequence.is_listed);
            if is_listed {
                self.with(slot, |_, sequence| sequence.is_listed = false);
            } else {
                self.refresh_sequence(slot, Vec::new(), is_folder_gone, now);
                self.with(slot, |_, sequence| sequence.is_listed = false);
            }
        }
    }

    /// The files of each sequence in a folder.
    fn list(&self, dir: &Path) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for name in std::fs::read_dir(dir)?.flatten() {
            let is_file = name.file_type().is_ok_and(|kind| kind.is_file());
            let name = name.file_name();
            let Some(parts) = names::split(&name).filter(|_| is_file) else {
                continue;
            };
            let key = super::scan::sequence_key(dir, parts.base);
            let Some(slot) = self.by_key.get(&key).copied() else {
                continue;
            };
            let (rank, gz) = (parts.rank, parts.gz);
            let path = dir.join(&name);
            let metadata = match path.symlink_metadata() {
                Ok(metadata) => metadata,
                Err(error) => {
                    listing.has_missed |= error.kind() == io::ErrorKind::NotFound;
                    continue;
                }
            };
            if metadata.is_file() && !self.excludes.is_match(&path) {
                let place = Place {
                    id: FileId::of(&metadata),
                    path,
                    gz,
                };
                listing.entries.entry(slot).or_default().push(Entry {
                    place,
                    rank,
                    metadata,
                });
            }
        }
        Ok(listing)
    }

    fn refresh_sequence(
        &mut self,
        slot: u32,
        entries: Vec<Entry>,
        is_folder_gone: bool,
        now: Duration,
    ) {
        let is_over = self.with(slot, |tailer, sequence| {
            sequence.is_listed = true;
            let owners = tailer.match_by_id(sequence, &entries, now);
            tailer.match_by_content(sequence, &entries, owners, now);
            tailer.note_gone(sequence, &entries, is_folder_gone, now);
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
            path = stream.path().map(|path| display(path.display())),
            bytes = stream.size.saturating_sub(size),
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
    pub(super) fn open_entry(&self, entry: &Entry) -> io::Result<(Content, u64)> {
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
    pub(super) fn keep(&mut self, key: u64, stream: &mut Stream, content: Content) {
        if stream.content.is_none()
            && stream.unread() > 0
            && self.n_open < self.options.max_open_files
        {
            stream.content = Some(content);
            self.note_open(key, stream.handle);
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
}

pub(super) fn has_file(stream: &Stream, entries: &[Entry]) -> bool {
    stream
        .place
        .as_ref()
        .is_some_and(|place| entries.iter().any(|e| e.place.id == place.id))
}

/// The marker of content that ends at `end`.
pub(super) fn mark_at(content: &mut Content, end: u64) -> Mark {
    let len = usize::try_from(end.min(MARK_LEN)).unwrap_or(0);
    let bytes = crate::content::read_exact_at(content, end - len as u64, len);
    bytes
        .ok()
        .flatten()
        .map_or(Marks::default().last, |bytes| Mark::of(end, &bytes))
}
