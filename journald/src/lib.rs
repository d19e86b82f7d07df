//! The systemd journal, read from its files: entries in order, from a cursor, while they are
//! written.
//!
//! Deliberately absent: libsystemd, mmap, matches and indexes, seals, and waiting (the caller polls).
//! The invariant: no bytes of a file make it panic, loop for ever or read beyond the file; what is
//! damaged is counted and left out.

mod format;

mod cursor;
mod decode;
mod entry;
mod file;
mod journal;
#[cfg(test)]
mod tests;

pub use cursor::{Cursor, CursorError, Position};
pub use entry::{Entry, Field};
pub use format::Id;
pub use journal::{Journal, Start, Stats};

/// Entry points of the fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing {
    use crate::entry::Entry;
    use crate::file::{JournalFile, Next};
    use std::fs::File;

    /// Reads every entry of a file of any bytes, whole and from the middle. Tells how many.
    ///
    /// # Panics
    /// When a walk does not end.
    pub fn file(file: File) -> usize {
        let max = file.metadata().map_or(0, |it| it.len()) as usize;
        let Ok(mut file) = JournalFile::open(file) else {
            return 0;
        };
        let mut entry = Entry::default();
        let mut n = 0;
        if let Some(last) = file.last() {
            file.seek_after(last.position.seqnum / 2);
            file.peek();
            file.seek_after(0);
        }
        for _ in 0..=2 * max {
            match file.peek() {
                Next::Entry(head) => {
                    n += 1;
                    file.read(&head, &mut |_| Some(1 << 10), &mut entry);
                    file.consume();
                }
                Next::End => return n,
                Next::Unreadable => {
                    file.skip();
                }
            }
            if n % 5 == 1 {
                file.refresh();
            }
        }
        panic!("no end");
    }
}
