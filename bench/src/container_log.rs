//! One container's log file as the kubelet and the runtime write it.
//!
//! Written with `O_APPEND`, line by line, rotated by the kubelet's rules
//! (`pkg/kubelet/logs/container_log_manager.go`): older rotated files are compressed through a
//! `.tmp` name, the current file is renamed to `0.log.<timestamp>`, a new one is created, and only
//! so many are kept. Docker's and logrotate's ways (numbered files, copytruncate) are there too.
//! The log remembers what it wrote, when asked to: this is the truth that a test compares with.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

use crate::{
    shop::CRI_PIECE,
    stamp::{Civil, wall_ns},
};

/// Which of its two output streams a program wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Iostream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Iostream {
    /// `stdout` or `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// How lines stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// containerd's and CRI-O's.
    Cri,
    /// Docker's json-file driver.
    Docker,
    /// As the program wrote them.
    Raw,
}

/// How a file is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The kubelet: `0.log.20240102-030405`, older ones `.gz`.
    Kubelet,
    /// Docker and logrotate: `name.1`, `name.2`, …
    Numbered,
    /// Numbered, and compressed from the second on.
    NumberedGz,
}

/// One event that was written, where it stands, and what a record of it must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Which of the container's files: 0 is the first, one more at each rotation.
    pub file: usize,
    /// Offset of its first line in that file.
    pub offset: u64,
    /// Bytes of the file from the start of its first line to the end of its last.
    pub length: u64,
    /// Where it was written to; raw files do not tell.
    pub iostream: Option<Iostream>,
    /// What a record's message must be.
    pub message: Vec<u8>,
    /// What was written, where that is something else: the message of a record that is not parsed.
    pub unparsed: Option<Vec<u8>>,
}

/// A log file that is being written.
#[derive(Debug)]
pub struct ContainerLog {
    path: PathBuf,
    format: Format,
    rotation: Rotation,
    keep: usize,
    file: File,
    sizes: Vec<u64>,
    pending: Vec<u8>,
    write_at: usize,
    written: Option<Vec<Written>>,
    last_ns: u64,
    last_rotation_s: u64,
}

impl ContainerLog {
    /// Creates the file at `path`, its folder included. It is rotated by the kubelet's rules and
    /// five files are kept, remembering what is written, one `write` a call.
    pub fn create(path: &Path, format: Format) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Self {
            path: path.to_owned(),
            format,
            rotation: if format == Format::Cri {
                Rotation::Kubelet
            } else {
                Rotation::Numbered
            },
            keep: 5,
            file: append_to(path)?,
            sizes: vec![0],
            pending: Vec::new(),
            write_at: 0,
            written: Some(Vec::new()),
            last_ns: 0,
            last_rotation_s: 0,
        })
    }

    /// Rotates in another way, and keeps `keep` files (at least 2, the current one included).
    pub fn set_rotation(&mut self, rotation: Rotation, keep: usize) {
        self.rotation = rotation;
        self.keep = keep.max(2);
    }

    /// Remembers nothing, and gathers `bytes` before each `write`: for workloads of gigabytes.
    pub fn set_bulk(&mut self, bytes: usize) {
        self.written = None;
        self.write_at = bytes;
    }

    /// Where the current file stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything written so far, in order; empty after [`ContainerLog::set_bulk`].
    pub fn written(&self) -> &[Written] {
        self.written.as_deref().unwrap_or_default()
    }

    /// Bytes of each of the container's files, the first one first, gathered bytes included.
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// Bytes of the current file.
    pub fn size(&self) -> u64 {
        self.sizes.last().copied().unwrap_or(0)
    }

    /// Writes one line, whose record says the same.
    pub fn line(&mut self, iostream: Iostream, text: &[u8]) -> io::Result<()> {
        self.line_as(iostream, text, text)
    }

    /// Writes one line, whose record says `message`.
    pub fn line_as(&mut self, iostream: Iostream, text: &[u8], message: &[u8]) -> io::Result<()> {
        let offset = self.size();
        self.push_line(iostream, text);
        self.remember(offset, iostream, text, message);
        self.maybe_flush()
    }

    /// Writes the lines of one event, each ended by `\n`; the record joins them.
    pub fn event(&mut self, iostream: Iostream, lines: &[u8]) -> io::Result<()> {
        let text = lines.strip_suffix(b"\n").unwrap_or(lines);
        let offset = self.size();
        for line in text.split(|byte| *byte == b'\n') {
            self.push_line(iostream, line);
        }
        self.remember(offset, iostream, text, text);
        self.maybe_flush()
    }

    /// Writes one physical line of the file without remembering it: pieces of partial lines, lines
    /// of interleaved events. `whole` is false for a piece that another one follows. Returns its
    /// offset.
    pub fn piece(&mut self, iostream: Iostream, text: &[u8], whole: bool) -> io::Result<u64> {
        let offset = self.size();
        self.push_piece(iostream, text, whole);
        self.maybe_flush()?;
        Ok(offset)
    }

    /// Writes bytes as they are, remembering nothing. Returns their offset.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.size();
        self.pending.extend_from_slice(bytes);
        self.grow(bytes.len());
        self.maybe_flush()?;
        Ok(offset)
    }

    /// Remembers an event that was written by pieces or bytes.
    pub fn expect(&mut self, written: Written) {
        if let Some(all) = &mut self.written {
            all.push(written);
        }
    }

    /// Which file is written now.
    pub fn file_index(&self) -> usize {
        self.sizes.len() - 1
    }

    /// Writes what was gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.file.write_all(&self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Renames the current file away and creates a new one.
    pub fn rotate(&mut self) -> io::Result<()> {
        self.flush()?;
        match self.rotation {
            Rotation::Kubelet => self.rotate_as_kubelet()?,
            Rotation::Numbered => self.shift_numbers(false)?,
            Rotation::NumberedGz => self.shift_numbers(true)?,
        }
        if self.rotation != Rotation::Kubelet {
            fs::rename(&self.path, suffixed(&self.path, "1"))?;
        }
        self.file = append_to(&self.path)?;
        self.sizes.push(0);
        Ok(())
    }

    /// Copies the current file away and truncates it, as logrotate's `copytruncate` does.
    pub fn copy_truncate(&mut self) -> io::Result<()> {
        self.flush()?;
        self.shift_numbers(false)?;
        fs::copy(&self.path, suffixed(&self.path, "1"))?;
        self.file.set_len(0)?;
        self.sizes.push(0);
        Ok(())
    }

    fn rotate_as_kubelet(&mut self) -> io::Result<()> {
        let mut rotated = self.rotated()?;
        // The kubelet keeps room for the file that is renamed now and the one created after it.
        while rotated.len() + 2 > self.keep {
            fs::remove_file(rotated.remove(0))?;
        }
        for path in &rotated {
            if path.extension().is_none_or(|extension| extension != "gz") {
                compress(path)?;
            }
        }
        // Names have a resolution of seconds; a test does not wait for the next one.
        self.last_rotation_s = (self.last_rotation_s + 1).max(wall_ns() / 1_000_000_000);
        let suffix = Civil::from_ns(self.last_rotation_s * 1_000_000_000).rotation_suffix();
        fs::rename(&self.path, suffixed(&self.path, &suffix))
    }

    /// The rotated files beside the current one, oldest first.
    pub fn rotated(&self) -> io::Result<Vec<PathBuf>> {
        let mut prefix = self
            .path
            .file_name()
            .unwrap_or_default()
            .as_encoded_bytes()
            .to_vec();
        prefix.push(b'.');
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path.parent().unwrap_or(Path::new(".")))? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(&prefix) {
                found.push(entry.path());
            }
        }
        found.sort();
        if self.rotation != Rotation::Kubelet {
            found.reverse();
        }
        Ok(found)
    }

    fn shift_numbers(&self, gz: bool) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            for extension in ["", ".gz"] {
                let from = suffixed(&self.path, &format!("{number}{extension}"));
                if !from.exists() {
                    continue;
                }
                if number + 1 >= self.keep {
                    fs::remove_file(&from)?;
                    continue;
                }
                let to = suffixed(&self.path, &format!("{}{extension}", number + 1));
                fs::rename(&from, &to)?;
                if gz && extension.is_empty() {
                    compress(&to)?;
                }
            }
        }
        Ok(())
    }

    fn push_line(&mut self, iostream: Iostream, text: &[u8]) {
        for (piece, whole) in pieces(self.format, text, CRI_PIECE) {
            self.push_piece(iostream, piece, whole);
        }
    }

    fn push_piece(&mut self, iostream: Iostream, text: &[u8], whole: bool) {
        let before = self.pending.len();
        self.last_ns = wall_ns().max(self.last_ns + 1);
        let time_ns = self.last_ns;
        append_piece(
            &mut self.pending,
            self.format,
            time_ns,
            iostream,
            text,
            whole,
        );
        self.grow(self.pending.len() - before);
    }

    fn grow(&mut self, bytes: usize) {
        if let Some(size) = self.sizes.last_mut() {
            *size += bytes as u64;
        }
    }

    fn remember(&mut self, offset: u64, iostream: Iostream, text: &[u8], message: &[u8]) {
        let length = self.size() - offset;
        let file = self.file_index();
        let iostream = (self.format != Format::Raw).then_some(iostream);
        if let Some(all) = &mut self.written {
            all.push(Written {
                file,
                offset,
                length,
                iostream,
                message: message.to_vec(),
                unparsed: (text != message).then(|| text.to_vec()),
            });
        }
    }

    fn maybe_flush(&mut self) -> io::Result<()> {
        if self.pending.len() >= self.write_at {
            self.flush()
        } else {
            Ok(())
        }
    }
}

/// The pieces of at most `most` bytes that a runtime writes one line in, and whether each is the
/// last one. Raw lines stay whole.
pub fn pieces(format: Format, text: &[u8], most: usize) -> impl Iterator<Item = (&[u8], bool)> {
    let most = if format == Format::Raw {
        usize::MAX
    } else {
        most.max(1)
    };
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let left = rest.take()?;
        match left.split_at_checked(most) {
            Some((piece, behind)) if !behind.is_empty() => {
                rest = Some(behind);
                Some((piece, false))
            }
            _ => Some((left, true)),
        }
    })
}

/// Appends one line of a log file: a piece of what a program wrote, as the runtime writes it.
pub fn append_piece(
    out: &mut Vec<u8>,
    format: Format,
    time_ns: u64,
    iostream: Iostream,
    text: &[u8],
    whole: bool,
) {
    match format {
        Format::Cri => {
            Civil::from_ns(time_ns).append_rfc3339(out);
            out.push(b' ');
            out.extend_from_slice(iostream.name().as_bytes());
            out.extend_from_slice(if whole { b" F " } else { b" P " });
            out.extend_from_slice(text);
        }
        Format::Docker => {
            out.extend_from_slice(b"{\"log\":\"");
            append_json_escaped(out, text);
            out.extend_from_slice(if whole { b"\\n\"" } else { b"\"" });
            out.extend_from_slice(b",\"stream\":\"");
            out.extend_from_slice(iostream.name().as_bytes());
            out.extend_from_slice(b"\",\"time\":\"");
            Civil::from_ns(time_ns).append_rfc3339(out);
            out.extend_from_slice(b"\"}");
        }
        Format::Raw => out.extend_from_slice(text),
    }
    out.push(b'\n');
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Replaces `path` by `path.gz`, written under `path.tmp` first.
fn compress(path: &Path) -> io::Result<()> {
    let temporary = suffixed(path, "tmp");
    let mut encoder = GzEncoder::new(File::create(&temporary)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(&temporary, suffixed(path, "gz"))?;
    fs::remove_file(path)
}

fn append_json_escaped(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
                out.push(b"0123456789abcdef"[usize::from(byte & 15)]);
            }
            _ => out.push(*byte),
        }
    }
}

/// Reads a log file, inflating `.gz`.
pub fn read_rotated(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes)?;
    } else {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_temp(format: Format) -> (tempfile::TempDir, ContainerLog) {
        let dir = tempfile::tempdir().unwrap();
        let log = ContainerLog::create(&dir.path().join("c/0.log"), format).unwrap();
        (dir, log)
    }

    /// Every remembered event stands where it says, with the bytes it says.
    fn check_written(log: &ContainerLog, files: &[Vec<u8>]) {
        for written in log.written() {
            let file = &files[written.file];
            let end = usize::try_from(written.offset + written.length).unwrap();
            let lines = &file[usize::try_from(written.offset).unwrap()..end];
            assert!(lines.ends_with(b"\n"));
            let last = written
                .message
                .rsplit(|byte| *byte == b'\n')
                .next()
                .unwrap();
            let tail = &last[last.len().saturating_sub(100)..];
            assert!(lines.windows(tail.len()).any(|window| window == tail));
        }
        let sizes: Vec<u64> = files.iter().map(|file| file.len() as u64).collect();
        assert_eq!(sizes, log.sizes());
    }

    #[test]
    fn the_kubelets_rotation_compresses_older_files_and_keeps_five() {
        let (_dir, mut log) = in_temp(Format::Cri);
        let mut files = Vec::new();
        for round in 0..7 {
            log.line(Iostream::Stdout, format!("line {round}").as_bytes())
                .unwrap();
            log.event(Iostream::Stderr, b"a: b\n\tat c").unwrap();
            files.push(fs::read(log.path()).unwrap());
            if round < 6 {
                log.rotate().unwrap();
            }
        }
        check_written(&log, &files);
        let rotated = log.rotated().unwrap();
        assert_eq!(rotated.len(), 4);
        for (path, wanted) in rotated.iter().zip(&files[2..]) {
            assert_eq!(&read_rotated(path).unwrap(), wanted, "{path:?}");
        }
        let gz = rotated
            .iter()
            .filter(|path| path.extension().unwrap() == "gz")
            .count();
        assert_eq!(gz, 3, "all but the newest: {rotated:?}");
    }

    #[test]
    fn numbered_files_shift_and_copies_are_copies() {
        let (_dir, mut log) = in_temp(Format::Docker);
        log.set_rotation(Rotation::NumberedGz, 4);
        log.line(Iostream::Stdout, b"say \"x\" \\ \t \x01").unwrap();
        let first = fs::read(log.path()).unwrap();
        log.rotate().unwrap();
        log.line(Iostream::Stdout, b"two").unwrap();
        let second = fs::read(log.path()).unwrap();
        log.rotate().unwrap();
        log.line(Iostream::Stdout, b"three").unwrap();
        let third = fs::read(log.path()).unwrap();
        log.copy_truncate().unwrap();
        let rotated = log.rotated().unwrap();
        let bytes: Vec<_> = rotated
            .iter()
            .map(|path| read_rotated(path).unwrap())
            .collect();
        assert_eq!(bytes, [first.clone(), second, third]);
        assert_eq!(fs::read(log.path()).unwrap(), b"");
        let line: serde_json::Value = serde_json::from_slice(&first).unwrap();
        assert_eq!(line["log"], "say \"x\" \\ \t \x01\n");
    }

    #[test]
    fn long_lines_are_cut_into_pieces_as_runtimes_do() {
        let (_dir, mut log) = in_temp(Format::Cri);
        log.line(Iostream::Stdout, &vec![b'x'; 2 * CRI_PIECE + 1])
            .unwrap();
        let bytes = fs::read(log.path()).unwrap();
        let tags: Vec<u8> = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| line[38])
            .collect();
        assert_eq!(tags, b"PPF");
        check_written(&log, &[bytes]);
    }
}
