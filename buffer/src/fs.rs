//! The file system as the buffer sees it, so that tests can make it fail.
//!
//! Positioned reads and writes only: no shared file position, no append mode. The wall clock and
//! the boot identity belong to the same outside world and stand here too.

use std::{
    any::Any,
    fs, io,
    io::IoSlice,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rustix::fs::{FlockOperation, flock};

#[cfg(feature = "faults")]
mod faulty;

#[cfg(feature = "faults")]
pub use faulty::Faulty;

/// An open file. Dropping it closes it.
pub trait File: Send + Sync {
    /// Writes all of `slices`, one after the other, at `offset`. On failure any part may have
    /// been written.
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Fills `buf` from `offset` as far as the file goes; returns the number of bytes read, which
    /// is less than asked for only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes written bytes and the file's size durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
}

/// Operations on names.
pub trait Fs: Send + Sync + 'static {
    /// Creates a directory and its parents; fine when it exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Names and sizes of the regular files in a directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>>;
    /// Creates a file for reading and writing; `AlreadyExists` when there is one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens an existing file, for writing too when asked.
    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn File>>;
    /// Unlinks a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations and removals in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes an exclusive lock that lasts as long as the value returned; `WouldBlock` when
    /// somebody else has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
    /// Wall clock in milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Tells one boot of the machine from another; 0 when that cannot be told.
    fn boot_id(&self) -> u64;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

/// The real file system, for the program.
#[cfg(not(feature = "faults"))]
pub fn disk() -> impl Fs {
    Disk
}

/// The real file system, with faults.
#[cfg(feature = "faults")]
pub fn disk() -> impl Fs {
    Faulty(Disk)
}

impl File for fs::File {
    fn write_at(&self, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        // Empty slices at the front would read as "wrote nothing".
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            // Linux takes 1,024 slices a call (IOV_MAX).
            let n_slices = slices.len().min(1024);
            match rustix::io::pwritev(self, &slices[..n_slices], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n_bytes) => {
                    offset += n_bytes as u64;
                    IoSlice::advance_slices(&mut slices, n_bytes);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match FileExt::read_at(self, &mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n_bytes) => filled += n_bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fs::File::set_len(self, len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Fs for Disk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A file may go between listing and looking: a live buffer removes segments.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push((name, metadata.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(
            fs::File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)?,
        ))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn File>> {
        Ok(Box::new(
            fs::File::options().read(true).write(write).open(path)?,
        ))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn now_ms(&self) -> u64 {
        let since = faults::wall_clock()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn boot_id(&self) -> u64 {
        let path = PathBuf::from("/proc/sys/kernel/random/boot_id");
        let Ok(text) = fs::read_to_string(path) else {
            return 0;
        };
        // 32 hexadecimal digits with dashes; the first 16 tell boots apart well enough.
        let digits: String = text
            .chars()
            .filter(char::is_ascii_hexdigit)
            .take(16)
            .collect();
        u64::from_str_radix(&digits, 16).unwrap_or(0)
    }
}
