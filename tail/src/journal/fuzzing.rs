//! Entry point of the fuzz target, compiled for it (and for tests) only.

use super::format::{self, FileKind};
use super::fs::{File, Fs};
use super::{Journal, LOG_SLACK, SNAPSHOT, log_name};
use crate::record;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Opens a journal whose files are `bytes`: as they are, and again as frames whose checksums are
/// right, for a fuzzer guesses lengths but no checksum. Whatever it holds, it opens, and what is
/// written then is there at the next opening.
///
/// # Panics
/// When it is not: that is what the fuzzer looks for.
pub fn journal(bytes: &[u8]) {
    let (snapshot, log) = bytes.split_at(bytes.len() / 2);
    check(files([
        (SNAPSHOT, snapshot.to_vec()),
        (&log_name(0), log.to_vec()),
    ]));
    check(files([
        (SNAPSHOT, framed(FileKind::Snapshot, 1, snapshot)),
        (&log_name(1), framed(FileKind::Log, 1, log)),
    ]));
    check(files([
        (&log_name(1), framed(FileKind::Log, 1, snapshot)),
        (&log_name(2), framed(FileKind::Log, 2, log)),
    ]));
}

fn check(disk: Memory) {
    let open = || Journal::open_in(Box::new(disk.clone()), LOG_SLACK);
    let (mut journal, mut state, _warnings) = open().expect("no bad byte keeps it from opening");
    for value in state.values() {
        record::read_sealed(value, |_| Some([].into()));
        let Some(fixed) = record::read_fixed(value) else {
            continue;
        };
        for moving in state.values() {
            record::read_stream(1, &fixed, moving);
        }
    }
    journal.put(b"key", b"value");
    state.insert(b"key".to_vec(), b"value".to_vec());
    journal.commit().expect("memory does not fail");
    drop(journal);
    let (_journal, again, warnings) = open().expect("it has just been opened");
    assert_eq!(again, state);
    assert_eq!(
        warnings,
        [],
        "what was damaged is mended by the first opening"
    );
}

/// Frames of `bytes`: each begins with a byte that says how much of what follows is in it.
fn framed(kind: FileKind, generation: u64, mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    format::append_header(&mut out, kind, generation);
    let mut number = 0;
    while let Some((len, rest)) = bytes.split_first() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        bytes = rest;
        let begin = out.len();
        format::begin_frame(&mut out);
        out.extend_from_slice(payload);
        format::end_frame(&mut out, begin, generation, number);
        number += 1;
    }
    out
}

fn files<const N: usize>(files: [(&str, Vec<u8>); N]) -> Memory {
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes));
    Memory(Arc::new(Mutex::new(files.into())))
}

/// A directory in memory.
#[derive(Clone)]
struct Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

struct MemoryFile {
    memory: Memory,
    name: String,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fs for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.lock().get(name).cloned())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.lock().insert(name.to_owned(), Vec::new());
        self.open_append(name)
    }

    fn open_append(&self, name: &str) -> io::Result<Box<dyn File>> {
        let (memory, name) = (self.clone(), name.to_owned());
        Ok(Box::new(MemoryFile { memory, name }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.lock();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.lock().remove(name);
        removed
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

impl File for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.memory.lock();
        files
            .entry(self.name.clone())
            .or_default()
            .extend_from_slice(bytes);
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut files = self.memory.lock();
        let file = files.entry(self.name.clone()).or_default();
        file.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_files_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            journal(&bytes);
        }

        #[test]
        fn entries_of_any_content_are_survived(
            entries in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..10), prop::option::of(prop::collection::vec(any::<u8>(), 0..60))),
                0..6,
            )
        ) {
            let mut payload = Vec::new();
            for (key, value) in &entries {
                format::append_entry(&mut payload, key, value.as_deref());
            }
            payload.truncate(255);
            let frame = [vec![payload.len() as u8], payload].concat();
            journal(&[frame.clone(), frame].concat());
        }
    }
}
