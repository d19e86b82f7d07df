//! A log file's content behind offsets: plain files by position, `.gz` files through a window.
//!
//! Files are opened so that nothing but a regular file below the allowed roots is ever read
//! (DELIVERY rule 5): the check is made on the open descriptor, where no link can be exchanged.

use flate2::read::MultiGzDecoder;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A file within its folder: the inode, and the birth time that tells a reused one. The device is
/// left out, as its number changes over reboots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct FileId {
    pub(crate) inode: u64,
    /// Nanoseconds since the epoch; 0 where the file system does not keep it.
    pub(crate) birth_ns: u64,
}

impl FileId {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let birth = metadata
            .created()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            inode: metadata.ino(),
            birth_ns: birth.map_or(0, |age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}

/// Opens a regular file below one of `roots`; no roots allow every path.
///
/// # Errors
/// `InvalidInput` when it is not a regular file, `PermissionDenied` when it lies elsewhere.
pub(crate) fn open_checked(path: &Path, roots: &[PathBuf]) -> io::Result<(File, Metadata)> {
    // Asked for before it is opened, as opening a device may already do something.
    if !path.symlink_metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    faults::check_at("tail.open", path)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    if !roots.is_empty() {
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if !roots.iter().any(|root| real.starts_with(root)) {
            let text = format!(
                "it leads to `{}`, outside the allowed roots",
                real.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    Ok((file, metadata))
}

/// The bytes of an open file.
#[derive(Debug)]
pub(crate) enum Content {
    Plain(File),
    Gz(Box<Gz>),
}

impl Content {
    /// Appends up to `max` bytes that stand at `offset`; fewer only at the end.
    pub(crate) fn read_at(
        &mut self,
        offset: u64,
        max: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<usize> {
        match self {
            Self::Plain(file) => read_plain(file, offset, max, out),
            Self::Gz(gz) => gz.read_at(offset, max, out),
        }
    }

    /// Bytes of content, and whether the file has no name any more.
    pub(crate) fn stat(&self) -> io::Result<(u64, bool)> {
        match self {
            Self::Plain(file) => {
                let metadata = file.metadata()?;
                Ok((metadata.len(), metadata.nlink() == 0))
            }
            Self::Gz(gz) => Ok((gz.size, gz.file.metadata()?.nlink() == 0)),
        }
    }
}

fn read_plain(file: &File, offset: u64, max: usize, out: &mut Vec<u8>) -> io::Result<usize> {
    faults::check("tail.read")?;
    let before = out.len();
    // Zeroing a step that stays in the cache costs a few per cent of the kernel's copy into it.
    out.resize(before + max, 0);
    let mut done = 0;
    let result = loop {
        let room = out.get_mut(before + done..).unwrap_or_default();
        if room.is_empty() {
            break Ok(done);
        }
        match file.read_at(room, offset.saturating_add(done as u64)) {
            Ok(0) => break Ok(done),
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    out.truncate(before + done);
    result
}

/// A compressed file, read forwards. What was read since the last acknowledged byte stays in a
/// window, as the rest of a chunk is read again; going back further starts from the beginning.
#[derive(Debug)]
pub(crate) struct Gz {
    file: File,
    size: u64,
    decoder: Option<MultiGzDecoder<BufReader<File>>>,
    window: Vec<u8>,
    window_start: u64,
}

/// Over this the window is cut, though it holds bytes that may be asked for again.
const MAX_WINDOW: usize = 8 << 20;

impl Gz {
    /// Reads the whole file once, for its size and to see that it is complete.
    ///
    /// # Errors
    /// When it is cut off or no gzip file: the compressor may still be at work.
    pub(crate) fn open(file: File) -> io::Result<Self> {
        let mut gz = Self {
            file,
            size: 0,
            decoder: None,
            window: Vec::new(),
            window_start: 0,
        };
        gz.restart()?;
        let decoder = gz.decoder.as_mut().expect("restart sets it");
        let mut scratch = [0_u8; 16 << 10];
        loop {
            match decoder.read(&mut scratch) {
                Ok(0) => break,
                Ok(n) => gz.size += n as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        gz.decoder = None;
        Ok(gz)
    }

    fn restart(&mut self) -> io::Result<()> {
        use std::io::Seek;
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        self.decoder = Some(MultiGzDecoder::new(BufReader::with_capacity(
            32 << 10,
            file,
        )));
        self.window.clear();
        self.window_start = 0;
        Ok(())
    }

    fn read_at(&mut self, offset: u64, max: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        if self.decoder.is_none() || offset < self.window_start {
            self.restart()?;
        }
        let want_end = offset.saturating_add(max as u64).min(self.size);
        // What stands before the offset is not needed any more, but for a marker's length.
        let keep_from = offset.saturating_sub(crate::mark::MARK_LEN);
        let decoder = self.decoder.as_mut().expect("restarted above");
        loop {
            let have_end = self.window_start + self.window.len() as u64;
            if have_end >= want_end {
                break;
            }
            let drop = keep_from.min(have_end).saturating_sub(self.window_start);
            let drop = usize::try_from(drop)
                .unwrap_or(usize::MAX)
                .min(self.window.len());
            if drop >= 256 << 10 || self.window.len() > MAX_WINDOW {
                self.window.drain(..drop);
                self.window_start += drop as u64;
            }
            let step = (want_end - have_end).min(64 << 10);
            let n = decoder.by_ref().take(step).read_to_end(&mut self.window)?;
            if n == 0 {
                break;
            }
        }
        let from = usize::try_from(offset - self.window_start).unwrap_or(usize::MAX);
        let bytes = self.window.get(from..).unwrap_or_default();
        let bytes = bytes.get(..max).unwrap_or(bytes);
        out.extend_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// Reads exactly `len` bytes at `offset` of a plain file into a small buffer. `None`: shorter.
pub(crate) fn read_exact_at(
    content: &mut Content,
    offset: u64,
    len: usize,
) -> io::Result<Option<Vec<u8>>> {
    if let Content::Plain(file) = content {
        let mut bytes = vec![0; len];
        return match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        };
    }
    let mut bytes = Vec::new();
    content.read_at(offset, len, &mut bytes)?;
    Ok((bytes.len() == len).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_gz_is_read_at_any_offset_of_its_content() {
        let content: Vec<u8> = (0..300_000_u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        let mut gz = tempfile::tempfile().unwrap();
        for half in content.chunks(content.len() / 2 + 1) {
            // Two members, as appending compressors write.
            let mut encoder = flate2::write::GzEncoder::new(&mut gz, flate2::Compression::fast());
            encoder.write_all(half).unwrap();
            encoder.finish().unwrap();
        }
        let mut gz = Content::Gz(Box::new(Gz::open(gz).unwrap()));
        assert_eq!(gz.stat().unwrap(), (content.len() as u64, true));
        for (offset, len) in [
            (0, 10),
            (1000, 400_000),
            (1500, 200),
            (900_000, 1 << 20),
            (3, 5),
        ] {
            let mut out = b"before".to_vec();
            let n = gz.read_at(offset as u64, len, &mut out).unwrap();
            let expected = &content[offset..(offset + len).min(content.len())];
            assert_eq!(n, expected.len());
            assert_eq!(&out[6..], expected, "{offset}");
        }
    }

    #[test]
    fn a_torn_gz_is_refused() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&[7; 5000]).unwrap();
        let mut bytes = encoder.finish().unwrap();
        bytes.truncate(bytes.len() - 5);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        assert!(Gz::open(file).is_err());
    }

    #[test]
    fn only_regular_files_below_the_roots_are_opened() {
        // Rule 5.
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("in")).unwrap();
        std::fs::write(root.join("in/a"), "x").unwrap();
        std::fs::write(root.join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(root.join("secret"), root.join("in/link")).unwrap();
        let roots = [root.join("in")];
        assert!(open_checked(&root.join("in/a"), &roots).is_ok());
        assert!(open_checked(&root.join("in"), &roots).is_err());
        assert!(open_checked(&root.join("in/link"), &roots).is_err());
        let error = open_checked(&root.join("secret"), &roots).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        // `..` inside the text of the path does not help.
        assert!(open_checked(&root.join("in/../secret"), &roots).is_err());
    }

    #[test]
    fn reading_appends_no_more_than_asked() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'a'; 1000]).unwrap();
        let mut content = Content::Plain(file);
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(b"xy");
        assert_eq!(content.read_at(10, 100, &mut out).unwrap(), 100);
        assert_eq!(out.len(), 102);
        assert_eq!(content.read_at(950, 100, &mut out).unwrap(), 50);
        assert_eq!(out.len(), 152);
    }
}
