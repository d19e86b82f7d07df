//! Version of what lies in a store's directory: partitions, their schema and their term dictionaries.
//!
//! `<store>/FORMAT` holds the number, in decimal. It is written before the first partition is made,
//! so a directory with partitions and without it is of the first format, which had no such file.
//!
//! | format | since then |
//! |---|---|
//! | 1 | terms for every value, in finite state transducers |
//! | 2 | terms for words and booleans only, in compressed blocks |

use std::fs;
use std::io;
use std::path::Path;

use crate::partition;

/// The format that this build reads and writes.
pub(crate) const FORMAT: u32 = 2;
const FILE: &str = "FORMAT";

/// The format of the store in `dir`; `None` when nothing is there yet.
///
/// # Errors
/// When files cannot be read, or the number is none.
pub(crate) fn read(dir: &Path) -> io::Result<Option<u32>> {
    match fs::read_to_string(dir.join(FILE)) {
        Ok(text) => match text.trim().parse() {
            Ok(format) => Ok(Some(format)),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("`{FILE}` does not hold a number"),
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(partition::any_in(dir).then_some(1))
        }
        Err(error) => Err(error),
    }
}

/// Marks `dir` as a store of this format.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write(dir: &Path) -> io::Result<()> {
    partition::write_atomically(&dir.join(FILE), format!("{FORMAT}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_tells_its_format() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None, "nothing is there");
        fs::create_dir_all(dir.path().join("days/20261125T000000Z")).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(1), "from before the file");
        write(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(FORMAT));
        fs::write(dir.path().join(FILE), "new").unwrap();
        assert!(read(dir.path()).is_err());
    }
}
