//! Finding files: events, and the rescan that is the safety net beneath them.

use super::{Look, Tailer};
use crate::content::{FileId, open_checked};
use crate::names;
use crate::pattern::Found;
use crate::stream::Sequence;
use crate::watch::{Change, Event};
use crate::{Source, bucket::Bucket};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Events and paths worked off in one `poll`.
const MAX_EVENTS: usize = 4096;
const MAX_LOOKS: usize = 512;

/// Names a sequence: its folder and the name without rotation suffix.
pub(super) fn sequence_key(dir: &Path, base: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(dir.as_os_str().as_bytes());
    hash.update(b"/");
    hash.update(base);
    hash.digest()
}

impl Tailer {
    pub(super) fn start_scan(&mut self) {
        self.is_scanning = true;
        for (idx, pattern) in (0_u16..).zip(&self.patterns) {
            self.looks.push_back(Look::Folder(pattern.start(idx)));
        }
        self.looks
            .extend(self.folders.keys().map(|dir| Look::Files(Arc::clone(dir))));
        let every = if self.is_polling {
            self.options.poll_interval.min(self.options.rescan_interval)
        } else {
            self.options.rescan_interval
        };
        self.next_scan = self.now() + every;
    }

    pub(super) fn take_events(&mut self) {
        let Some(mut watcher) = self.watcher.take() else {
            return;
        };
        let metrics = self.metrics.clone();
        self.events_left = watcher.read(MAX_EVENTS, |event| {
            metrics.inotify_events.inc();
            self.take_event(event);
        });
        self.watcher = Some(watcher);
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Overflow => {
                warn!("inotify queue overflowed, all files are looked at again");
                self.metrics.inotify_overflows.inc();
                self.next_scan = Duration::ZERO;
            }
            Event::FolderGone(dir) => {
                self.glob_folders.remove(&*dir);
                if self.folders.contains_key(&dir) {
                    self.dirty_folders.insert(dir);
                }
            }
            Event::Changed(dir, name, change) => {
                let name = name.as_os_str();
                if let Some((dir, _)) = self.folders.get_key_value(&dir) {
                    let dir = Arc::clone(dir);
                    self.file_changed(&dir, name, change);
                }
                if change == Change::Name
                    && let Some(places) = self.glob_folders.get(&*dir)
                {
                    let mut found = Vec::new();
                    for place in places {
                        if let Some(pattern) = self.patterns.get(usize::from(place.pattern)) {
                            pattern.look(place, name, &mut found);
                        }
                    }
                    self.looks.extend(found.into_iter().map(look_of));
                }
            }
        }
    }

    fn file_changed(&mut self, dir: &Arc<Path>, name: &OsStr, change: Change) {
        let Some(parts) = names::split(name) else {
            return;
        };
        let Some(slot) = self.by_key.get(&sequence_key(dir, parts.base)).copied() else {
            return;
        };
        let needs_listing = change == Change::Name
            || self.sequence(slot).is_some_and(|sequence| {
                // A write to a file that is no stream of ours, while one misses its file: a copy
                // or a compressed form is growing. Or a write to a file that was done.
                !sequence.streams.iter().any(|stream| {
                    stream
                        .path()
                        .is_some_and(|path| path.file_name() == Some(name))
                        && !matches!(stream.phase, crate::stream::Phase::Done)
                })
            });
        if needs_listing {
            self.dirty_folders.insert(Arc::clone(dir));
        }
        self.dirty.insert(slot);
    }

    pub(super) fn look_around(&mut self, now: Duration) {
        for _ in 0..MAX_LOOKS {
            match self.looks.pop_front() {
                Some(Look::Folder(place)) => self.look_into(place),
                Some(Look::Candidate(path)) => self.candidate(&path),
                Some(Look::Files(dir)) => self.refresh_folder(&dir, now),
                None => break,
            }
        }
        if self.looks.is_empty() && self.dirty_folders.is_empty() && self.is_starting {
            self.is_starting = false;
            info!(files = self.metrics.files_followed.get(), "all files found");
        }
        if self.looks.is_empty() && std::mem::take(&mut self.is_scanning) {
            // What the scan did not meet is gone or can be read by now.
            self.unreadable = std::mem::take(&mut self.unreadable_now);
            self.count_unreadable();
        }
    }

    fn look_into(&mut self, place: crate::pattern::Place) {
        // Watched before it is listed, so that nothing appears unseen in between.
        self.watch(&place.dir.as_path().into());
        let places = self.glob_folders.entry(place.dir.clone()).or_default();
        if !places.contains(&place) {
            places.push(place.clone());
        }
        let Some(pattern) = self.patterns.get(usize::from(place.pattern)) else {
            return;
        };
        let entries = match std::fs::read_dir(&place.dir) {
            Ok(entries) => entries,
            Err(error) => {
                self.glob_folders.remove(&place.dir);
                if error.kind() == io::ErrorKind::NotFound {
                    // Its parent tells when it comes.
                    if let Some(parent) = place.dir.parent() {
                        self.watch_for_folder(parent.to_path_buf(), &place);
                    }
                } else if error.kind() != io::ErrorKind::NotADirectory {
                    self.unreadable(&place.dir, &error);
                }
                return;
            }
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| !kind.is_file());
            let from = found.len();
            pattern.look(&place, &entry.file_name(), &mut found);
            if !is_folder {
                let folders = found.split_off(from);
                found.extend(
                    folders
                        .into_iter()
                        .filter(|found| matches!(found, Found::File(_))),
                );
            }
        }
        self.looks.extend(found.into_iter().map(look_of));
    }

    /// The folder where a glob starts is not there yet: rescans look for it, and its parent's
    /// events make them come at once.
    fn watch_for_folder(&mut self, parent: PathBuf, place: &crate::pattern::Place) {
        if parent.is_dir() {
            self.watch(&parent.as_path().into());
            if let Some(pattern) = self.patterns.get(usize::from(place.pattern))
                && let Some(waiting) = pattern.before(place)
            {
                self.glob_folders.entry(parent).or_default().push(waiting);
            }
        }
    }

    fn watch(&mut self, dir: &Arc<Path>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        match watcher.add(dir) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => {
                if !self.is_polling {
                    self.is_polling = true;
                    self.metrics.polling.set(1);
                    let every = self.options.poll_interval;
                    self.next_scan = self.next_scan.min(super::ORIGIN + self.clock.now() + every);
                    warn!(
                        path = %dir.display(), %error, ?every,
                        "cannot watch folder, files are polled; raise fs.inotify.max_user_watches"
                    );
                }
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let hash = xxh3_64(path.as_os_str().as_bytes());
        // One hash a bad file: bounded by what globs find.
        if self.unreadable.insert(hash) {
            warn!(path = %path.display(), %error, "cannot read log file, it is tried again");
            self.count_unreadable();
        }
        if self.is_scanning {
            self.unreadable_now.insert(hash);
        }
    }

    fn count_unreadable(&self) {
        let n = i64::try_from(self.unreadable.len()).unwrap_or(i64::MAX);
        self.metrics.unreadable_files.set(n);
    }

    /// A path that a glob matches: known and grown, new, or not ours.
    fn candidate(&mut self, path: &Path) {
        if self.excludes.is_match(path) {
            return;
        }
        let hash = xxh3_64(path.as_os_str().as_bytes());
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            // A link whose file is not there yet, or not any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.unreadable(path, &error),
        };
        // Folders named like logs, sockets, pipes, devices.
        if !metadata.is_file() {
            return;
        }
        let id = FileId::of(&metadata);
        if let Some(slot) = self.by_path.get(&hash).copied() {
            let known = self.sequence(slot).and_then(|sequence| {
                let mut streams = sequence.streams.iter();
                streams.find(|stream| stream.place.as_ref().is_some_and(|place| place.id == id))
            });
            if let Some(stream) = known {
                if stream.size != metadata.len() {
                    self.dirty.insert(slot);
                }
                return;
            }
        }
        let real = match std::fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.unreadable(path, &error),
        };
        if self.excludes.is_match(&real) {
            return;
        }
        if let Err(error) = open_checked(&real, &self.options.allowed_roots) {
            if error.kind() != io::ErrorKind::NotFound {
                self.unreadable(path, &error);
            }
            return;
        }
        let (Some(dir), Some(name)) = (real.parent(), real.file_name()) else {
            return;
        };
        let Some(parts) = names::split(name) else {
            return;
        };
        let key = sequence_key(dir, parts.base);
        let slot = match self.by_key.get(&key) {
            Some(slot) => *slot,
            None => {
                let container = names::container(path, &real);
                let source = Source {
                    path: path.to_path_buf(),
                    real_path: real.clone(),
                    container,
                };
                self.add_sequence(key, dir, source)
            }
        };
        self.by_path.insert(hash, slot);
        self.dirty.insert(slot);
        if let Some((dir, _)) = self.folders.get_key_value(dir) {
            let dir = Arc::clone(dir);
            self.dirty_folders.insert(dir);
        }
    }

    pub(super) fn add_sequence(&mut self, key: u64, dir: &Path, source: Source) -> u32 {
        let dir: Arc<Path> = match self.folders.get_key_value(dir) {
            Some((dir, _)) => Arc::clone(dir),
            None => dir.into(),
        };
        self.watch(&dir);
        let namespace = self.namespace_of(&source);
        let now = self.now();
        let sequence = Box::new(Sequence {
            key,
            dir: Arc::clone(&dir),
            source,
            // Nearly always there is one; a deque would begin with room for four.
            streams: VecDeque::with_capacity(1),
            ignored: Vec::new(),
            framing: None,
            sealed: None,
            in_flight: None,
            hold_until: Duration::ZERO,
            throttled_since: None,
            bucket: self.options.stream_rate.map(|rate| Bucket::new(rate, now)),
            namespace,
            target: super::build::FIRST_TARGET,
            limit: self.options.max_chunk,
            force_hard: false,
            behind_since: None,
            timer: None,
            is_queued: false,
            is_known: self.known_sequences.remove(&key),
            is_unverified: false,
            counted: 0,
            is_listed: false,
        });
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.sequences.push(None);
                u32::try_from(self.sequences.len() - 1).expect("fewer files than 2^32")
            }
        };
        if let Some(place) = self.sequences.get_mut(slot as usize) {
            *place = Some(sequence);
        }
        self.by_key.insert(key, slot);
        self.folders.entry(dir).or_default().push(slot);
        slot
    }

    /// Forgets a sequence that has neither streams nor files.
    pub(super) fn drop_sequence(&mut self, slot: u32) {
        let Some(sequence) = self.sequences.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        self.by_key.remove(&sequence.key);
        self.journal.delete(&crate::record::key(b'q', sequence.key));
        if let Some(sealed) = &sequence.sealed {
            self.journal.delete(&crate::record::key(b'g', sequence.key));
            self.metadata.remove(&sealed.metadata);
        }
        if let Some(id) = sequence.in_flight {
            self.in_flight.remove(&id);
        }
        self.by_path.retain(|_, at| *at != slot);
        if let Some(slots) = self.folders.get_mut(&sequence.dir) {
            slots.retain(|at| *at != slot);
            if slots.is_empty() {
                self.folders.remove(&sequence.dir);
                if !self.glob_folders.contains_key(&*sequence.dir)
                    && let Some(watcher) = &mut self.watcher
                {
                    watcher.remove(&sequence.dir);
                }
            }
        }
        for queue in &mut self.ready {
            queue.retain(|at| *at != slot);
        }
        self.dirty.remove(&slot);
        self.free.push(slot);
    }
}

fn look_of(found: Found) -> Look {
    match found {
        Found::File(path) => Look::Candidate(path),
        Found::Folder(place) => Look::Folder(place),
    }
}
