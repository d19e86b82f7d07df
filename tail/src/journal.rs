//! A small crash-safe table from keys to values: what the tailer must remember over a restart.
//!
//! Deltas are appended to a log, one frame a [`Journal::commit`], one write a frame, without
//! fsync: a crash of the agent loses nothing, a power cut loses the youngest deltas, which doubt
//! and document ids make harmless. When the log outgrows the live table, a snapshot replaces it.
//! The invariant: what is read back is the table as of some commit, never half of one.
//!
//! Deliberately absent: any meaning of keys and values, history, reading without loading all.
//!
//! # Files in the data directory
//!
//! | name | holds |
//! |---|---|
//! | `lock` | nothing; locked (flock) by the agent that uses the directory |
//! | `snapshot` | the table as it was when generation G began |
//! | `log-G` | the deltas since, G in 16 hex digits |
//! | `snapshot.tmp` | a snapshot that was not finished; removed when seen |
//! | `*.corrupt-N` | a file that could not be read whole, kept for whoever wants to look |
//!
//! # Layout (version 1, all numbers little-endian)
//!
//! ```text
//! file  = magic: "TRSNAP\0\1" or "TRDLOG\0\1" · generation: u64 · frame*
//! frame = length of payload: u32 · checksum: u64 · payload
//! payload of the log, of a snapshot = entry*      (a snapshot's last frame is empty: its end)
//! entry = length of key: u32 · key · length of value: u32 (0xffff_ffff: deleted) · value
//! ```
//!
//! The checksum is XXH3 (64 bits) of generation, number of the frame in its file (u64 each),
//! length and payload, so that neither a frame of an older file nor one at another place passes.
//!
//! # Recovery
//!
//! Log frames count up to the first bad one; the rest is dropped with a warning. A snapshot with
//! a bad frame or without its end is set aside; its good frames are used, for each entry stands
//! for itself. No bad byte keeps the agent from starting; only a directory that cannot be read or
//! is in use does. A snapshot is written as `snapshot.tmp`, fsynced, renamed, and the directory
//! fsynced; only then the new log begins and the old one is removed. A crash in between leaves a
//! snapshot of G + 1 without log, or with the log of G, which is then ignored.

mod format;
mod fs;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;

#[cfg(test)]
mod model;

use crate::Warning;
use format::{Entry, FileKind, Frames};
use fs::{DiskFs, File, Fs};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// The table: keys to values, both opaque.
pub(crate) type State = BTreeMap<Vec<u8>, Vec<u8>>;

const SNAPSHOT: &str = "snapshot";
const SNAPSHOT_TMP: &str = "snapshot.tmp";
const LOG_PREFIX: &str = "log-";

/// A log may exceed twice the live table by this much before it is compacted, so that a small
/// table is not written anew every few commits.
const LOG_SLACK: u64 = 64 * 1024;

/// Snapshots are cut into frames of about this size, so that a flipped bit costs one frame.
const SNAPSHOT_FRAME: usize = 64 * 1024;

/// Set-aside files that are kept; a machine that corrupts for ever must not fill its disk.
const MAX_CORRUPT: usize = 4;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Another process holds the lock.
    #[error("data directory `{0}` is in use by another agent: each agent needs its own `data_dir`")]
    Locked(String),
    /// The directory cannot be made, locked or read.
    #[error("cannot use data directory `{dir}`: {source}")]
    Io {
        /// The data directory.
        dir: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The table and its files. Holds the directory's lock until it is dropped.
pub(crate) struct Journal {
    fs: Box<dyn Fs>,
    state: State,
    /// Keys that differ from what the log says; their values stand in `state`.
    dirty: BTreeSet<Vec<u8>>,
    /// Bytes of keys and values in `state`, with what their entries take besides.
    live_bytes: u64,
    log: Log,
    /// [`LOG_SLACK`], or less in tests.
    slack: u64,
    frame: Vec<u8>,
}

/// The log that deltas go to.
struct Log {
    generation: u64,
    /// `None`: this generation's log is not there yet, or must not be appended to; a compaction
    /// comes first.
    file: Option<Box<dyn File>>,
    /// Bytes of the header and of whole frames.
    good_len: u64,
    n_frames: u64,
    /// A write failed: there may be a part of a frame behind `good_len`.
    torn: bool,
    /// A compaction failed: none is tried before the log is longer than this.
    compact_over: u64,
}

impl Log {
    /// The log of `generation`, not begun.
    fn new(generation: u64) -> Self {
        Self {
            generation,
            file: None,
            good_len: 0,
            n_frames: 0,
            torn: false,
            compact_over: 0,
        }
    }
}

impl Journal {
    /// Opens the journal in `dir`, which is made when absent, and locks it.
    ///
    /// # Errors
    /// [`Error::Locked`] when another agent uses `dir`; [`Error::Io`] when it cannot be used.
    /// Bad data is no error but a warning.
    pub(crate) fn open(dir: &Path) -> Result<(Journal, State, Vec<Warning>), Error> {
        let io_error = |source| Error::Io {
            dir: dir.display().to_string(),
            source,
        };
        let fs = DiskFs::open(dir).map_err(io_error)?;
        if !fs.try_lock().map_err(io_error)? {
            return Err(Error::Locked(dir.display().to_string()));
        }
        #[cfg(feature = "faults")]
        let fs = fs::Faulty(fs);
        Self::open_in(Box::new(fs), LOG_SLACK).map_err(io_error)
    }

    fn open_in(fs: Box<dyn Fs>, slack: u64) -> io::Result<(Journal, State, Vec<Warning>)> {
        let mut warnings = Vec::new();
        let loaded = load(fs.as_ref(), &mut warnings)?;
        let mut journal = Journal {
            fs,
            live_bytes: loaded
                .state
                .iter()
                .map(|(key, value)| entry_bytes(key, value))
                .sum(),
            state: loaded.state,
            dirty: BTreeSet::new(),
            log: Log {
                good_len: loaded.log_len,
                n_frames: loaded.log_frames,
                ..Log::new(loaded.generation)
            },
            slack,
            frame: Vec::new(),
        };
        // A log that was read to its last byte goes on; in any other case a new generation
        // begins. When that fails (disk full) the next commit tries again.
        let reopened = if loaded.sound {
            journal.reopen_log()
        } else {
            journal.compact()
        };
        if let Err(error) = reopened {
            warnings.push(Warning(format!(
                "cannot write the journal now, will try again: {error}"
            )));
        }
        let state = journal.state.clone();
        Ok((journal, state, warnings))
    }

    /// Sets `key` to `value`; durable with the next [`commit`](Self::commit). The same value
    /// again costs nothing.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
        match self.state.get_mut(key) {
            Some(old) if old == value => return,
            Some(old) => {
                self.live_bytes -= entry_bytes(key, old);
                old.clear();
                old.extend_from_slice(value);
            }
            None => {
                self.state.insert(key.to_vec(), value.to_vec());
            }
        }
        self.live_bytes += entry_bytes(key, value);
        self.mark(key);
    }

    /// Removes `key`; durable with the next [`commit`](Self::commit).
    pub(crate) fn delete(&mut self, key: &[u8]) {
        if let Some(old) = self.state.remove(key) {
            self.live_bytes -= entry_bytes(key, &old);
            self.mark(key);
        }
    }

    /// Writes everything that changed since the last commit, in one write; nothing when nothing
    /// did. Survives the end of the process at once, a power cut when the system has written it.
    ///
    /// # Errors
    /// What the system said, a full disk above all. Nothing is forgotten: the next commit tries
    /// again with these changes and later ones.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        if self.log.file.is_none() {
            return self.compact();
        }
        if self.log.good_len > self.log.compact_over.max(2 * self.live_bytes + self.slack) {
            match self.compact() {
                Ok(()) => return Ok(()),
                Err(error) if self.log.file.is_none() => return Err(error),
                // The log can still be appended to: it is, until there is room for a snapshot.
                Err(_) => self.log.compact_over = self.log.good_len + self.slack,
            }
        }
        self.append()
    }

    fn mark(&mut self, key: &[u8]) {
        if !self.dirty.contains(key) {
            self.dirty.insert(key.to_vec());
        }
    }

    /// Appends one frame with all that is dirty.
    fn append(&mut self) -> io::Result<()> {
        let Some(file) = self.log.file.as_mut() else {
            return Err(io::Error::other("the journal has no log"));
        };
        if self.log.torn {
            file.set_len(self.log.good_len)?;
            self.log.torn = false;
        }
        self.frame.clear();
        format::begin_frame(&mut self.frame);
        for key in &self.dirty {
            format::append_entry(&mut self.frame, key, self.state.get(key).map(Vec::as_slice));
        }
        format::end_frame(&mut self.frame, 0, self.log.generation, self.log.n_frames);
        if let Err(error) = file.append(&self.frame) {
            self.log.torn = true;
            // Now rather than at the next try: a restart should not find half a frame.
            if file.set_len(self.log.good_len).is_ok() {
                self.log.torn = false;
            }
            return Err(error);
        }
        self.log.good_len += self.frame.len() as u64;
        self.log.n_frames += 1;
        self.dirty.clear();
        // A burst must not hold its memory for ever.
        self.frame.shrink_to(SNAPSHOT_FRAME);
        Ok(())
    }

    /// Begins the next generation: a snapshot of the whole table and an empty log.
    fn compact(&mut self) -> io::Result<()> {
        let generation = self.log.generation + 1;
        if let Err(error) = self.write_snapshot(generation) {
            // Gives its room back.
            self.fs.remove(SNAPSHOT_TMP).ok();
            return Err(error);
        }
        // From the renaming on, also when it fails halfway, the new snapshot may be the one that
        // counts, and deltas in the old log would not be seen: nothing more is appended to it.
        let old_log = log_name(self.log.generation);
        self.log = Log::new(generation);
        self.fs.rename(SNAPSHOT_TMP, SNAPSHOT)?;
        self.fs.sync_dir()?;
        self.dirty.clear();
        // The table is safe: a log that cannot be made now makes the next commit compact again.
        if self.start_log().is_ok() {
            // Left behind it is ignored and removed at the next start.
            self.fs.remove(&old_log).ok();
        }
        Ok(())
    }

    fn write_snapshot(&mut self, generation: u64) -> io::Result<()> {
        let mut file = self.fs.create(SNAPSHOT_TMP)?;
        let mut n_frames = 0;
        let mut buffer = Vec::with_capacity(SNAPSHOT_FRAME + 4096);
        format::append_header(&mut buffer, FileKind::Snapshot, generation);
        let mut begin = buffer.len();
        format::begin_frame(&mut buffer);
        for (key, value) in &self.state {
            format::append_entry(&mut buffer, key, Some(value));
            if buffer.len() >= SNAPSHOT_FRAME {
                format::end_frame(&mut buffer, begin, generation, n_frames);
                file.append(&buffer)?;
                n_frames += 1;
                buffer.clear();
                begin = 0;
                format::begin_frame(&mut buffer);
            }
        }
        if format::frame_has_payload(&buffer, begin) {
            format::end_frame(&mut buffer, begin, generation, n_frames);
            n_frames += 1;
            begin = buffer.len();
            format::begin_frame(&mut buffer);
        }
        format::end_frame(&mut buffer, begin, generation, n_frames);
        file.append(&buffer)?;
        file.sync()
    }

    fn start_log(&mut self) -> io::Result<()> {
        let mut file = self.fs.create(&log_name(self.log.generation))?;
        let mut header = Vec::new();
        format::append_header(&mut header, FileKind::Log, self.log.generation);
        file.append(&header)?;
        self.log.good_len = header.len() as u64;
        self.log.file = Some(file);
        Ok(())
    }

    fn reopen_log(&mut self) -> io::Result<()> {
        if self.log.good_len == 0 {
            return self.start_log();
        }
        self.log.file = Some(self.fs.open_append(&log_name(self.log.generation))?);
        Ok(())
    }
}

fn entry_bytes(key: &[u8], value: &[u8]) -> u64 {
    (format::ENTRY_HEAD + key.len() + value.len()) as u64
}

fn log_name(generation: u64) -> String {
    format!("{LOG_PREFIX}{generation:016x}")
}

/// What the files say.
#[derive(Default)]
struct Loaded {
    state: State,
    generation: u64,
    /// Length and frames of this generation's log; 0 when there is none.
    log_len: u64,
    log_frames: u64,
    /// Every byte was good.
    sound: bool,
}

fn load(fs: &dyn Fs, warnings: &mut Vec<Warning>) -> io::Result<Loaded> {
    let names = fs.list()?;
    let mut loaded = Loaded {
        sound: true,
        ..Loaded::default()
    };
    if names.iter().any(|name| name == SNAPSHOT_TMP) {
        fs.remove(SNAPSHOT_TMP).ok();
    }
    let mut snapshot_generation = None;
    if let Some(bytes) = fs.read(SNAPSHOT)? {
        let mut frames = Frames::new(&bytes, FileKind::Snapshot);
        let mut ended = false;
        while let Some(payload) = frames.next_frame() {
            ended = payload.is_empty();
            apply(&mut loaded.state, payload);
        }
        if ended && frames.at_end() {
            snapshot_generation = frames.generation();
        } else {
            loaded.sound = false;
            let aside = set_aside(fs, SNAPSHOT, &names);
            warnings.push(Warning(format!(
                "snapshot of the journal is damaged at byte {} of {}: {} entries of it are used, \
                 the rest is read again from the log files; {aside}",
                frames.offset(),
                bytes.len(),
                loaded.state.len(),
            )));
        }
    }
    let mut logs: Vec<u64> = names
        .iter()
        .filter_map(|name| log_generation(name))
        .collect();
    logs.sort_unstable();
    // Without a snapshot to tell, every log counts, oldest first: their deltas stand for
    // themselves. Without any file the first generation begins.
    loaded.generation = snapshot_generation.unwrap_or(0);
    for generation in logs {
        let name = log_name(generation);
        let is_current = snapshot_generation.is_none_or(|current| current == generation);
        if !is_current {
            fs.remove(&name).ok();
            continue;
        }
        let bytes = fs.read(&name)?.unwrap_or_default();
        load_log(fs, &names, generation, &bytes, &mut loaded, warnings);
    }
    Ok(loaded)
}

fn load_log(
    fs: &dyn Fs,
    names: &[String],
    generation: u64,
    bytes: &[u8],
    loaded: &mut Loaded,
    warnings: &mut Vec<Warning>,
) {
    let mut frames = Frames::new(bytes, FileKind::Log);
    loaded.generation = generation;
    loaded.log_frames = 0;
    loaded.log_len = 0;
    // Less than a header is a log that was just about to begin.
    if bytes.len() < format::HEADER {
        return;
    }
    let is_right = frames.generation() == Some(generation);
    while is_right && let Some(payload) = frames.next_frame() {
        apply(&mut loaded.state, payload);
        loaded.log_frames += 1;
    }
    loaded.log_len = frames.offset() as u64;
    if !is_right || !frames.at_end() {
        loaded.sound = false;
        let dropped = bytes.len() - frames.offset();
        let aside = set_aside(fs, &log_name(generation), names);
        warnings.push(Warning(format!(
            "log of the journal is damaged at byte {}: the last {dropped} bytes are dropped, some \
             lines may be sent again; {aside}",
            frames.offset(),
        )));
    }
}

fn apply(state: &mut State, payload: &[u8]) {
    for Entry { key, value } in format::entries(payload) {
        match value {
            Some(value) => state.insert(key.to_vec(), value.to_vec()),
            None => state.remove(key),
        };
    }
}

fn log_generation(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(LOG_PREFIX)?;
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// Copies a damaged file for whoever wants to look at it, and says so for the warning.
///
/// It is not renamed: its good frames must be there until the compaction that follows is done.
fn set_aside(fs: &dyn Fs, name: &str, names: &[String]) -> String {
    let taken = names
        .iter()
        .filter(|other| other.contains(".corrupt-"))
        .count();
    if taken >= MAX_CORRUPT {
        return format!("no copy is kept, as there are {taken} `.corrupt-` files already");
    }
    let free = (1..).map(|number| format!("{name}.corrupt-{number}"));
    let Some(aside) = free
        .take(MAX_CORRUPT + 1)
        .find(|aside| !names.contains(aside))
    else {
        return "no copy is kept".to_owned();
    };
    let copied = fs.read(name).and_then(|bytes| {
        let mut file = fs.create(&aside)?;
        file.append(&bytes.unwrap_or_default())
    });
    match copied {
        Ok(()) => format!("a copy is kept as `{aside}`"),
        Err(error) => {
            fs.remove(&aside).ok();
            format!("no copy could be kept: {error}")
        }
    }
}
