//! The few file operations that the journal needs, behind a trait so that a test can crash
//! between any two of them, tear writes and fill the disk.

use rustix::fs::FlockOperation;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[cfg(feature = "faults")]
mod faulty;

#[cfg(feature = "faults")]
pub(super) use faulty::Faulty;

/// The data directory. Names are relative to it.
pub(super) trait Fs: Send {
    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// The whole content, or `None` when there is no such file.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// An empty file, whatever was there before.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;
    /// An existing file, to append to.
    fn open_append(&self, name: &str) -> io::Result<Box<dyn File>>;
    /// Gives a file another name, over what has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes renames durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// A file that is written at its end.
pub(super) trait File: Send {
    /// Writes all of `bytes` at the end. After a failure a part may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// A real directory.
pub(super) struct DiskFs {
    dir: PathBuf,
    lock: fs::File,
}

impl DiskFs {
    /// Makes the directory when it is absent.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let lock = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))?;
        Ok(Self {
            dir: dir.to_owned(),
            lock,
        })
    }

    /// Locks the directory until this is dropped; false when another process holds it.
    pub(super) fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Fs for DiskFs {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // The journal's own names are all ASCII.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.dir.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        // Truncating and appending cannot be asked for at once.
        drop(fs::File::create(self.dir.join(name))?);
        self.open_append(name)
    }

    fn open_append(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = fs::File::options().append(true).open(self.dir.join(name))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.dir)?.sync_all()
    }
}

struct DiskFile(fs::File);

impl File for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}
