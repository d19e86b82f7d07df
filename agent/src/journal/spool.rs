//! Files of lines between the journal and the tailer, and the exporter's position in them.
//!
//! ```text
//! entries.log                                  written to
//! entries.log.20240102-030405123456000         full; deleted when all of it is acknowledged
//! position                                     a cursor: what was left out, or is in the lines
//! ```
//!
//! The invariant: what lies between the position and the end of the journal is in no line, and what
//! lies before it is in a line or was left out. The position is the cursor of the last line, or the
//! file's where that is further: it is written after the lines up to there, and never before them.
//! So a kill at any point neither loses an entry nor writes it twice.

use super::render::{digits, position_of};
use anyhow::Context;
use journald::Cursor;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tracing::{info, warn};

const LIVE: &str = "entries.log";
/// Becomes the next file that is written to; empty.
const NEXT: &str = "entries.next";
const POSITION: &str = "position";
const POSITION_TMP: &str = "position.tmp";

/// A file is full with this much, or a quarter of the bound.
const MAX_FILE: u64 = 8 << 20;

/// A torn line is looked for in steps of this size, from the end.
const STEP: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    live: File,
    live_len: u64,
    /// What could not be written yet. It may begin within a line.
    pending: Vec<u8>,
    /// Full files with their sizes, oldest first.
    full: Vec<(PathBuf, u64)>,
    max_file: u64,
    max_bytes: u64,
}

impl Spool {
    /// Opens the spool in `dir`, which is there, and finds the position. `None` at the first start.
    pub(super) fn open(dir: &Path, max_bytes: u64) -> anyhow::Result<(Self, Option<Cursor>)> {
        let mut cursor = read_position(&dir.join(POSITION))?;
        let path = dir.join(LIVE);
        let mut live = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("cannot open `{}`", path.display()))?;
        let live_len =
            cut_torn_line(&live).with_context(|| format!("cannot repair `{}`", path.display()))?;
        let mut full = Vec::new();
        for entry in fs::read_dir(dir)?.flatten() {
            let name = entry.file_name();
            if number_of(&name.to_string_lossy()).is_some() {
                full.push((entry.path(), entry.metadata()?.len()));
            }
        }
        full.sort_unstable();
        for (path, _) in &full {
            let mut file = File::open(path)?;
            take_lines(&mut file, &mut cursor).context("cannot read the spool of the journal")?;
        }
        live.seek(SeekFrom::Start(0))?;
        take_lines(&mut live, &mut cursor).context("cannot read the spool of the journal")?;
        let this = Self {
            dir: dir.to_owned(),
            live,
            live_len,
            pending: Vec::new(),
            full,
            max_file: MAX_FILE.min(max_bytes / 4).max(1),
            max_bytes,
        };
        Ok((this, cursor))
    }

    /// Bytes in all files.
    pub(super) fn bytes(&self) -> u64 {
        self.live_len + self.full.iter().map(|(_, len)| len).sum::<u64>()
    }

    /// Whether more lines may come.
    pub(super) fn has_room(&self) -> bool {
        self.bytes() < self.max_bytes
    }

    /// Full files that wait to be read.
    pub(super) fn full(&self) -> &[(PathBuf, u64)] {
        &self.full
    }

    /// Deletes a full file that was read.
    pub(super) fn delete(&mut self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => self.full.retain(|(full, _)| full != path),
        }
        Ok(())
    }

    /// Appends whole lines, and sees to it that they are on the disk. After an error what was not
    /// written is kept, and has to be written by `retry` before more comes.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(lines);
        self.retry()
    }

    /// Whether lines wait for a disk that takes them.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes what is pending. A file is never cut while the tailer may look at it: the rest of a
    /// line goes behind its beginning.
    pub(super) fn retry(&mut self) -> io::Result<()> {
        if let Err(error) = self.live.write_all(&self.pending) {
            // Nobody else writes to it.
            let len = self.live.metadata()?.len();
            let n = usize::try_from(len.saturating_sub(self.live_len)).unwrap_or(usize::MAX);
            self.pending.drain(..n.min(self.pending.len()));
            self.live_len = len;
            return Err(error);
        }
        self.live_len += self.pending.len() as u64;
        self.pending.clear();
        self.pending.shrink_to(STEP as usize);
        // An acknowledgement comes later than this: a power cut takes no line that was sent.
        self.live.sync_data()?;
        if self.live_len >= self.max_file {
            self.rotate()?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let micros = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as u64);
        // Names order the files, also when the clock goes back.
        let last = self.full.last();
        let last = last.and_then(|(path, _)| number_of(&path.file_name()?.to_string_lossy()));
        let number = digits(micros).max(last.map_or(0, |last| last + 1));
        let text = format!("{number:023}");
        let (date, time) = text.split_at(8);
        let to = self.dir.join(format!("{LIVE}.{date}-{time}"));
        // Made first: lines must never go on into a file that counts as full.
        let (live, next) = (self.dir.join(LIVE), self.dir.join(NEXT));
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&next)?;
        fs::rename(&live, &to)?;
        if let Err(error) = fs::rename(&next, &live) {
            fs::rename(&to, &live)?;
            return Err(error);
        }
        self.full.push((to, self.live_len));
        self.live = file;
        self.live_len = 0;
        Ok(())
    }

    /// Keeps the position. All lines up to it have been appended.
    pub(super) fn store_position(&self, cursor: &Cursor) -> io::Result<()> {
        let tmp = self.dir.join(POSITION_TMP);
        let mut file = File::create(&tmp)?;
        file.write_all(cursor.to_string().as_bytes())?;
        file.sync_data()?;
        fs::rename(tmp, self.dir.join(POSITION))?;
        File::open(&self.dir)?.sync_all()
    }
}

fn read_position(path: &Path) -> anyhow::Result<Option<Cursor>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
    };
    match text.parse() {
        Ok(cursor) => Ok(Some(cursor)),
        Err(error) => {
            warn!(path = %path.display(), %error, "cannot use the position in the journal, the lines tell it");
            Ok(None)
        }
    }
}

/// The number in a full file's name.
fn number_of(name: &str) -> Option<u128> {
    let (date, time) = name
        .strip_prefix(LIVE)?
        .strip_prefix('.')?
        .split_once('-')?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if date.len() != 8 || time.len() != 15 || !is_digits(date) || !is_digits(time) {
        return None;
    }
    format!("{date}{time}").parse().ok()
}

/// Cuts off what stands behind the last newline: a write was interrupted. Tells the new length.
fn cut_torn_line(file: &File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let mut end = len;
    while end > 0 {
        let from = end.saturating_sub(STEP);
        let mut bytes = vec![0; (end - from) as usize];
        file.read_exact_at(&mut bytes, from)?;
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
            end = from + at as u64 + 1;
            break;
        }
        end = from;
    }
    if end < len {
        info!(
            bytes = len - end,
            "an unfinished line of the journal's spool is written anew"
        );
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(end)
}

fn take_lines(file: &mut File, cursor: &mut Option<Cursor>) -> io::Result<()> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if let Some(position) = line.strip_suffix(b"\n").and_then(position_of) {
            cursor.get_or_insert_default().advance(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::render::CURSOR;

    fn line(n: u64) -> String {
        format!(
            "{{\"message\":\"{n}\"{CURSOR}s={:032x};i={n:x};b=1;m=1;t=1;x=1\"}}\n",
            10
        )
    }

    fn seqnum(cursor: Option<Cursor>) -> Option<u64> {
        cursor.map(|cursor| cursor.positions()[0].seqnum)
    }

    #[test]
    fn the_position_is_that_of_the_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, cursor) = Spool::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(cursor, None);
        for n in 1..=9 {
            spool.append(line(n).as_bytes()).unwrap();
        }
        let path = dir.path().join(LIVE);
        let whole = fs::read(&path).unwrap();
        // Killed within any byte of the last line.
        let at = whole.len() - line(9).len();
        for len in at..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let (_, cursor) = Spool::open(dir.path(), 1 << 20).unwrap();
            assert_eq!(seqnum(cursor), Some(8));
            assert_eq!(fs::metadata(&path).unwrap().len(), at as u64);
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(seqnum(Spool::open(dir.path(), 1 << 20).unwrap().1), Some(9));
    }

    #[test]
    fn a_position_further_than_the_lines_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(dir.path(), 1 << 20).unwrap();
        spool.append(line(3).as_bytes()).unwrap();
        let mut cursor = Cursor::default();
        cursor.advance(position_of(line(7).trim_end().as_bytes()).unwrap());
        spool.store_position(&cursor).unwrap();
        assert_eq!(seqnum(Spool::open(dir.path(), 1 << 20).unwrap().1), Some(7));
        spool.append(line(8).as_bytes()).unwrap();
        assert_eq!(seqnum(Spool::open(dir.path(), 1 << 20).unwrap().1), Some(8));
        fs::write(dir.path().join(POSITION), "spoilt").unwrap();
        assert_eq!(seqnum(Spool::open(dir.path(), 1 << 20).unwrap().1), Some(8));
    }

    #[test]
    fn full_files_are_renamed_in_order_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(dir.path(), 4_000).unwrap();
        let mut n = 0;
        while spool.has_room() {
            n += 1;
            spool.append(line(n).as_bytes()).unwrap();
        }
        assert!(spool.full().len() >= 3);
        assert!(spool.bytes() <= 4_000 + line(n).len() as u64);
        let (mut spool, cursor) = Spool::open(dir.path(), 4_000).unwrap();
        assert_eq!(seqnum(cursor), Some(n));
        assert!(!spool.has_room());
        let names: Vec<PathBuf> = spool.full().iter().map(|(path, _)| path.clone()).collect();
        assert!(names.is_sorted());
        let first = fs::read_to_string(&names[0]).unwrap();
        assert!(first.starts_with(&line(1)));
        for name in names {
            spool.delete(&name).unwrap();
        }
        assert!(spool.has_room() && spool.full().is_empty());
    }
}
