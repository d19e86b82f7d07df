//! A file system in which the fault points of the buffer lie: `buffer.OPERATION.before` and
//! `.after`, and `buffer.read` and `buffer.write`, where bytes can be spoilt. An error `after` is
//! of an operation that was carried out. Compiled for tests only.

use std::{
    any::Any,
    io::{self, IoSlice},
    path::{Path, PathBuf},
};

use faults::{Spoil, check_at, spoil};

use super::{File, Fs};

/// Another file system, with faults.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faulty<F>(pub F);

struct FaultyFile {
    file: Box<dyn File>,
    path: PathBuf,
}

impl FaultyFile {
    fn around(file: Box<dyn File>, path: &Path) -> Box<dyn File> {
        Box::new(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Writes the first half of the bytes, as a write that is cut off does.
    fn tear(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let half = &bytes[..bytes.len() / 2];
        self.file.write_at(&mut [IoSlice::new(half)], offset)
    }
}

impl File for FaultyFile {
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        match spoil("buffer.write", &self.path)? {
            Spoil::No => self.file.write_at(slices, offset)?,
            Spoil::Tear => {
                self.tear(slices, offset)?;
                return Err(io::Error::from_raw_os_error(5));
            }
            Spoil::TearAndDie => {
                self.tear(slices, offset)?;
                Spoil::die();
            }
            Spoil::Flip(number) => {
                let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                Spoil::flip(number, &mut bytes);
                self.file.write_at(&mut [IoSlice::new(&bytes)], offset)?;
            }
        }
        check_at("buffer.write.after", &self.path)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let spoil = spoil("buffer.read", &self.path)?;
        let n_bytes = self.file.read_at(buf, offset)?;
        if let Spoil::Flip(number) = spoil {
            Spoil::flip(number, &mut buf[..n_bytes]);
        }
        Ok(n_bytes)
    }

    fn sync(&self) -> io::Result<()> {
        check_at("buffer.sync.before", &self.path)?;
        self.file.sync()?;
        check_at("buffer.sync.after", &self.path)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        check_at("buffer.set_len.before", &self.path)?;
        self.file.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

impl<F: Fs> Fs for Faulty<F> {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        self.0.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        check_at("buffer.create.before", path)?;
        let file = self.0.create(path)?;
        check_at("buffer.create.after", path)?;
        Ok(FaultyFile::around(file, path))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn File>> {
        check_at("buffer.open.before", path)?;
        Ok(FaultyFile::around(self.0.open(path, write)?, path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        check_at("buffer.remove.before", path)?;
        self.0.remove(path)?;
        check_at("buffer.remove.after", path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        check_at("buffer.sync_dir.before", dir)?;
        self.0.sync_dir(dir)?;
        check_at("buffer.sync_dir.after", dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.0.lock(path)
    }

    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    fn boot_id(&self) -> u64 {
        self.0.boot_id()
    }
}
