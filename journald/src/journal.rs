//! The files of a machine's journals as one row of entries.
//!
//! Files are found by name and kept by inode, so that a renamed one goes on where it was, and a
//! deleted one is read to its end. Within a row of sequence numbers entries come in their order;
//! rows are merged by time. A number that is missing is waited for, for one `poll`: it may be in a
//! file that was looked at a moment too early. Then it counts as lost.

use crate::cursor::{Cursor, Position};
use crate::entry::Entry;
use crate::file::{EntryHead, JournalFile, Next};
use crate::format::{FileError, Id};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use tracing::{info, warn};

/// Where reading starts when there is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// At the oldest entry.
    Beginning,
    /// Behind the newest entry of each row that is there at the first `poll`.
    #[default]
    End,
}

/// What was met since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Entries handed out.
    pub entries: u64,
    /// Numbers that no file has: deleted before they were read, or damaged.
    pub lost: u64,
    /// Entries that came again, since journald copies what it kept in memory to the disk.
    pub copies: u64,
    /// Entries that could not be read for damage. Those with a number count as lost, too.
    pub damaged_entries: u64,
    /// Fields that could not be read for damage.
    pub damaged_fields: u64,
    /// Fields that were left out since xz is not known here.
    pub xz_fields: u64,
    /// Files that are refused now.
    pub refused_files: u64,
}

/// A file that was refused is tried again after so many polls: its mode may have changed.
const RETRY_EVERY: u64 = 120;

/// Bytes of deleted files that are kept open until they are read; over it the oldest are let go.
const MAX_DELETED: u64 = 512 << 20;

/// The journal files of some folders, followed.
#[derive(Debug)]
pub struct Journal {
    folders: Vec<PathBuf>,
    files: Vec<Followed>,
    rows: HashMap<Id, Row>,
    /// Files by folder and name, and what is known of them.
    known: HashMap<(usize, OsString), Known>,
    cursor: Cursor,
    start: Option<Start>,
    /// The cursor that reading began with, until the files that were there then are known.
    began_with: Option<Cursor>,
    n_polls: u64,
    stats: Stats,
}

#[derive(Debug)]
struct Followed {
    file: JournalFile,
    inode: (u64, u64),
    /// The folder and the name, where it has one still.
    folder: usize,
    name: OsString,
    is_deleted: bool,
    /// Deleted, and too much is kept open.
    is_let_go: bool,
    /// The poll at which its next entry was first found unreadable.
    doubted_at: Option<u64>,
}

/// A row of sequence numbers.
#[derive(Debug)]
struct Row {
    /// Where its files were found last.
    folder: usize,
    /// No entry of it was read before the start, for all that is known: time has to tell.
    is_unknown: bool,
    /// A number behind a gap, and the poll that found it first.
    gap: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    inode: u64,
    state: State,
    seen_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Done,
    Refused,
}

impl Journal {
    /// Follows the journal files in `folders`, which may come later: from the `cursor`, or without
    /// one as `start` says. Nothing is read before the first `poll`.
    pub fn new(folders: Vec<PathBuf>, cursor: Option<Cursor>, start: Start) -> Self {
        Self {
            folders,
            files: Vec::new(),
            rows: HashMap::new(),
            known: HashMap::new(),
            start: cursor.is_none().then_some(start),
            began_with: cursor.clone(),
            cursor: cursor.unwrap_or_default(),
            n_polls: 0,
            stats: Stats::default(),
        }
    }

    /// Adds a folder that was found since.
    pub fn add_folder(&mut self, folder: PathBuf) {
        if !self.folders.contains(&folder) {
            self.folders.push(folder);
        }
    }

    /// Everything that was handed out, or skipped.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// What was met since the start.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Files that are open.
    pub fn n_files(&self) -> usize {
        self.files.len()
    }

    /// Looks for new files and new entries.
    ///
    /// # Errors
    /// When a folder cannot be read; what can be is followed all the same.
    pub fn poll(&mut self) -> io::Result<()> {
        self.n_polls += 1;
        for followed in &mut self.files {
            followed.file.refresh();
        }
        let listed = self.list();
        self.close_done();
        if self.n_polls == 1 {
            if self.start == Some(Start::End) {
                self.go_to_end();
            }
            // Files that appear from now on are new.
            self.began_with = None;
        }
        listed
    }

    fn list(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        let mut found = Vec::new();
        for (folder, path) in self.folders.iter().enumerate() {
            let entries = match std::fs::read_dir(path) {
                Ok(entries) => entries,
                // journald makes it when it has something for it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    outcome = Err(error);
                    continue;
                }
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                if is_journal(&name) {
                    found.push((folder, name, entry.ino()));
                }
            }
        }
        // Oldest first, which the names tell: so numbers are mostly met in their order.
        found.sort_unstable();
        for (folder, name, inode) in found {
            let key = (folder, name);
            let mut is_again = false;
            if let Some(known) = self.known.get_mut(&key)
                && known.inode == inode
            {
                known.seen_at = self.n_polls;
                is_again = known.state == State::Refused;
                if !is_again || !self.n_polls.is_multiple_of(RETRY_EVERY) {
                    continue;
                }
            }
            let (folder, name) = key;
            let Some(state) = self.meet(folder, &name, is_again) else {
                continue;
            };
            let known = Known {
                inode,
                state,
                seen_at: self.n_polls,
            };
            self.known.insert((folder, name), known);
        }
        let now = self.n_polls;
        if outcome.is_ok() {
            self.known.retain(|_, known| known.seen_at == now);
        }
        let refused = |known: &&Known| known.state == State::Refused;
        self.stats.refused_files = self.known.values().filter(refused).count() as u64;
        let mut deleted = 0;
        // What was met last is let go last.
        for followed in self.files.iter_mut().rev() {
            let Ok(metadata) = followed.file.file().metadata() else {
                continue;
            };
            followed.is_deleted = metadata.nlink() == 0;
            if followed.is_deleted {
                deleted += metadata.len();
                followed.is_let_go = deleted > MAX_DELETED;
            }
        }
        self.files.retain(|followed| !followed.is_let_go);
        outcome
    }

    /// A name that was not there before, or is another file's now. `None`: to be looked at again.
    /// One that was refused before is told of once.
    fn meet(&mut self, folder: usize, name: &OsStr, is_again: bool) -> Option<State> {
        let path = self.folders.get(folder)?.join(name);
        let opened = open_plain(&path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, (metadata.dev(), metadata.ino())))
        });
        let (file, inode) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                if !is_again {
                    warn!(path = %path.display(), %error, "cannot open journal file, it is tried again");
                }
                return Some(State::Refused);
            }
        };
        if let Some(followed) = self.files.iter_mut().find(|it| it.inode == inode) {
            (followed.folder, followed.name) = (folder, name.to_owned());
            return Some(State::Open);
        }
        let mut file = match JournalFile::open(file) {
            Ok(file) => file,
            Err(FileError::Short) => return None,
            Err(error) => {
                if !is_again {
                    warn!(path = %path.display(), %error, "cannot read journal file");
                }
                return Some(State::Refused);
            }
        };
        let id = file.header().seqnum_id;
        let is_known = self.cursor.of(id).is_some();
        let row = self.rows.entry(id).or_insert(Row {
            folder,
            is_unknown: !is_known && self.began_with.is_some(),
            gap: None,
        });
        row.folder = folder;
        if let Some(position) = self.cursor.of(id) {
            file.seek_after(position.seqnum);
        }
        self.files.push(Followed {
            file,
            inode,
            folder,
            name: name.to_owned(),
            is_deleted: false,
            is_let_go: false,
            doubted_at: None,
        });
        Some(State::Open)
    }

    fn go_to_end(&mut self) {
        for followed in &mut self.files {
            if let Some(head) = followed.file.last() {
                self.cursor.advance(head.position);
                // In case that the cursor forgets it for others.
                if let Some(row) = self.rows.get_mut(&head.position.seqnum_id) {
                    row.is_unknown = true;
                }
            }
        }
        for followed in &mut self.files {
            let id = followed.file.header().seqnum_id;
            if let Some(position) = self.cursor.of(id) {
                followed.file.seek_after(position.seqnum);
            }
        }
    }

    /// Lets files go that have nothing more, and will not have.
    fn close_done(&mut self) {
        let known = &mut self.known;
        self.files.retain_mut(|followed| {
            let is_over = followed.is_deleted || followed.file.header().is_archived;
            if !is_over || followed.file.peek() != Next::End {
                return true;
            }
            let key = (followed.folder, followed.name.clone());
            if let Some(known) = known.get_mut(&key)
                && known.inode == followed.inode.1
            {
                known.state = State::Done;
            }
            false
        });
    }

    /// Reads the next entry into `entry`: of each field that `want` names so many bytes, of others
    /// nothing. False when there is none now; `poll` may find more.
    pub fn next(
        &mut self,
        entry: &mut Entry,
        mut want: impl FnMut(&[u8]) -> Option<usize>,
    ) -> bool {
        loop {
            let Some((idx, head)) = self.first() else {
                return false;
            };
            let is_copy = self.is_copy(idx, &head.position);
            let is_old = self.is_before_start(&head.position);
            let (Some(followed), Some(row)) = (
                self.files.get_mut(idx),
                self.rows.get_mut(&head.position.seqnum_id),
            ) else {
                return false;
            };
            let last = self.cursor.of(head.position.seqnum_id);
            let missing = last.map_or(0, |last| {
                (head.position.seqnum - 1).saturating_sub(last.seqnum)
            });
            if missing > 0 {
                self.stats.lost += missing;
                let after = last.map(ToString::to_string).unwrap_or_default();
                warn!(
                    entries = missing,
                    after, "journal entries are lost: deleted or damaged before they were read"
                );
            }
            row.gap = None;
            followed.file.consume();
            self.cursor.advance(head.position);
            if is_copy || is_old {
                self.stats.copies += u64::from(is_copy);
                continue;
            }
            row.is_unknown = false;
            let unread = followed.file.read(&head, &mut want, entry);
            self.stats.entries += 1;
            self.stats.xz_fields += u64::from(unread.xz);
            self.stats.damaged_fields += u64::from(unread.damaged);
            return true;
        }
    }

    /// The file whose entry is next: within a row the least number, between rows the oldest.
    fn first(&mut self) -> Option<(usize, EntryHead)> {
        // Of each row the least; there are few rows at a time, mostly one.
        let mut firsts: Vec<(usize, EntryHead)> = Vec::new();
        for idx in 0..self.files.len() {
            let Some(head) = self.head(idx) else {
                continue;
            };
            let id = head.position.seqnum_id;
            match firsts
                .iter_mut()
                .find(|(_, it)| it.position.seqnum_id == id)
            {
                Some(first) if first.1.position.seqnum > head.position.seqnum => {
                    *first = (idx, head);
                }
                Some(_) => {}
                None => firsts.push((idx, head)),
            }
        }
        firsts.sort_by_key(|(_, head)| head.position.realtime);
        let now = self.n_polls;
        firsts.into_iter().find(|(_, head)| {
            let position = head.position;
            let is_next = match self.cursor.of(position.seqnum_id) {
                Some(last) => position.seqnum <= last.seqnum.saturating_add(1),
                None => true,
            };
            let Some(row) = self.rows.get_mut(&position.seqnum_id) else {
                return false;
            };
            if is_next {
                return true;
            }
            match row.gap {
                Some((seqnum, since)) if seqnum == position.seqnum => since < now,
                _ => {
                    row.gap = Some((position.seqnum, now));
                    false
                }
            }
        })
    }

    /// The next entry of a file that was not read from another one.
    fn head(&mut self, idx: usize) -> Option<EntryHead> {
        let now = self.n_polls;
        let followed = self.files.get_mut(idx)?;
        loop {
            match followed.file.peek() {
                Next::Entry(head) => {
                    followed.doubted_at = None;
                    let position = head.position;
                    let last = self.cursor.of(position.seqnum_id);
                    if last.is_some_and(|last| position.seqnum <= last.seqnum) {
                        followed.file.consume();
                        continue;
                    }
                    return Some(head);
                }
                Next::End => return None,
                Next::Unreadable => {
                    // It may be half written, for as long as one poll.
                    let since = *followed.doubted_at.get_or_insert(now);
                    if since == now && !followed.file.header().is_archived {
                        return None;
                    }
                    let n = followed.file.skip();
                    self.stats.damaged_entries += n;
                    let name = followed.name.to_string_lossy();
                    info!(file = %name, entries = n, "journal entries are damaged and left out");
                }
            }
        }
    }

    /// When the disk comes, journald writes what it had kept in memory once more, under other
    /// numbers: what is not later in the boot than what was read of that folder is known.
    fn is_copy(&self, idx: usize, position: &Position) -> bool {
        let Some(own) = self.files.get(idx).map(|followed| followed.folder) else {
            return false;
        };
        let name = |folder: usize| self.folders.get(folder).and_then(|path| path.file_name());
        self.cursor.positions().iter().any(|other| {
            let is_other = other.seqnum_id != position.seqnum_id
                && other.boot_id == position.boot_id
                && other.monotonic >= position.monotonic;
            is_other
                && match self.rows.get(&other.seqnum_id) {
                    Some(row) => row.folder != own && name(row.folder) == name(own),
                    // Its files are gone.
                    None => true,
                }
        })
    }

    /// A row that the cursor does not know: time tells what was there when the cursor was taken.
    fn is_before_start(&self, position: &Position) -> bool {
        let is_unknown = self
            .rows
            .get(&position.seqnum_id)
            .is_some_and(|row| row.is_unknown && self.cursor.of(position.seqnum_id).is_none());
        if !is_unknown {
            return false;
        }
        let others = || {
            let all = self.cursor.positions().iter();
            all.filter(|other| other.seqnum_id != position.seqnum_id)
        };
        let mut of_boot = others().filter(|other| other.boot_id == position.boot_id);
        match of_boot.clone().next() {
            Some(_) => of_boot.any(|other| other.monotonic >= position.monotonic),
            None => others().any(|other| other.realtime >= position.realtime),
        }
    }
}

/// `system.journal`, `user-1000@….journal`, and `…​.journal~`, which was not closed in order.
fn is_journal(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".journal") || name.ends_with(b".journal~")
}

/// Opens a plain file; a pipe of that name would hold us up.
fn open_plain(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("no plain file"));
    }
    OpenOptions::new().read(true).open(path)
}
