//! A file system in which the fault points of the journal lie: `journal.OPERATION.before` and
//! `.after`, and `journal.append` and `journal.read`, where bytes can be spoilt. An error `after`
//! is of an operation that was carried out. Compiled for tests only.

use super::{File, Fs};
use faults::{Spoil, check_at, spoil};
use std::io;

/// Another file system, with faults.
pub(in crate::journal) struct Faulty<F>(pub(in crate::journal) F);

struct FaultyFile {
    file: Box<dyn File>,
    name: String,
}

fn around(file: Box<dyn File>, name: &str) -> Box<dyn File> {
    Box::new(FaultyFile {
        file,
        name: name.to_owned(),
    })
}

impl File for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let half = &bytes[..bytes.len() / 2];
        match spoil("journal.append", &self.name)? {
            Spoil::No => self.file.append(bytes)?,
            Spoil::Tear => {
                self.file.append(half)?;
                return Err(io::Error::from_raw_os_error(5));
            }
            Spoil::TearAndDie => {
                self.file.append(half)?;
                Spoil::die();
            }
            Spoil::Flip(number) => {
                let mut bytes = bytes.to_vec();
                Spoil::flip(number, &mut bytes);
                self.file.append(&bytes)?;
            }
        }
        check_at("journal.append.after", &self.name)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        check_at("journal.set_len.before", &self.name)?;
        self.file.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        check_at("journal.sync.before", &self.name)?;
        self.file.sync()?;
        check_at("journal.sync.after", &self.name)
    }
}

impl<F: Fs> Fs for Faulty<F> {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let spoil = spoil("journal.read", name)?;
        let mut content = self.0.read(name)?;
        if let (Spoil::Flip(number), Some(bytes)) = (spoil, &mut content) {
            Spoil::flip(number, bytes);
        }
        Ok(content)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        check_at("journal.create.before", name)?;
        Ok(around(self.0.create(name)?, name))
    }

    fn open_append(&self, name: &str) -> io::Result<Box<dyn File>> {
        check_at("journal.open.before", name)?;
        Ok(around(self.0.open_append(name)?, name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_at("journal.rename.before", to)?;
        self.0.rename(from, to)?;
        check_at("journal.rename.after", to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_at("journal.remove.before", name)?;
        self.0.remove(name)?;
        check_at("journal.remove.after", name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        check_at("journal.sync_dir.before", "")?;
        self.0.sync_dir()?;
        check_at("journal.sync_dir.after", "")
    }
}
