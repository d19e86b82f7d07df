//! The layout of a journal file, as <https://systemd.io/JOURNAL_FILE_FORMAT/> tells it.
//!
//! All numbers are little endian. A file begins with a header; behind it lie objects, each at a
//! multiple of eight, each with sixteen bytes of type, flags and size. Only those on the way from
//! the header to the entries are read: entry arrays, entries and data. The hash tables serve
//! look-ups by field, which nobody asks for here.

use std::fmt;

/// Least header there ever was.
pub(crate) const MIN_HEADER: usize = 208;
pub(crate) const SIGNATURE: &[u8; 8] = b"LPKSHHRH";

/// DATA objects may be compressed by xz, by lz4, by zstd.
const XZ: u32 = 1;
const LZ4: u32 = 2;
/// Hashes are keyed; nothing here depends on them.
const KEYED_HASH: u32 = 4;
const ZSTD: u32 = 8;
/// Offsets in arrays and entries take four bytes.
const COMPACT: u32 = 16;

/// The file will not be written to any more.
const ARCHIVED: u8 = 2;

pub(crate) const DATA: u8 = 1;
pub(crate) const ENTRY: u8 = 3;
pub(crate) const ENTRY_ARRAY: u8 = 6;

pub(crate) const OBJECT_HEADER: usize = 16;
/// Where the items of an entry begin.
pub(crate) const ENTRY_ITEMS: u64 = 64;
/// Where the items of an entry array begin.
pub(crate) const ARRAY_ITEMS: u64 = 24;

pub(crate) const OBJECT_XZ: u8 = 1;
pub(crate) const OBJECT_LZ4: u8 = 2;
pub(crate) const OBJECT_ZSTD: u8 = 4;

/// A name of 128 bits: of a machine, a boot, or a row of sequence numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Id(pub u128);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What reading needs of a file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) is_compact: bool,
    pub(crate) is_archived: bool,
    pub(crate) seqnum_id: Id,
    pub(crate) size: u64,
    pub(crate) n_entries: u64,
    pub(crate) head_seqnum: u64,
    pub(crate) tail_seqnum: u64,
    pub(crate) entry_array: u64,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be opened or read.
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
    /// It is shorter than a header: it is being made, or was cut off.
    #[error("shorter than a header")]
    Short,
    /// It does not begin as a journal file does.
    #[error("no journal file")]
    Signature,
    /// It was written by a newer systemd in a way that older programs must not read.
    #[error("unknown incompatible flags {0:#x}: written by a newer systemd")]
    Flags(u32),
}

impl Header {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        if bytes.len() < MIN_HEADER {
            return Err(FileError::Short);
        }
        // journald makes the file first and writes the header then.
        if bytes.iter().take(8).all(|byte| *byte == 0) {
            return Err(FileError::Short);
        }
        if !bytes.starts_with(SIGNATURE) {
            return Err(FileError::Signature);
        }
        let flags = u32_at(bytes, 12).unwrap_or_default();
        let unknown = flags & !(XZ | LZ4 | KEYED_HASH | ZSTD | COMPACT);
        if unknown != 0 {
            return Err(FileError::Flags(unknown));
        }
        let number = |at| u64_at(bytes, at).unwrap_or_default();
        let size = number(88);
        if size < MIN_HEADER as u64 {
            return Err(FileError::Short);
        }
        Ok(Self {
            is_compact: flags & COMPACT != 0,
            is_archived: bytes.get(16) == Some(&ARCHIVED),
            seqnum_id: id_at(bytes, 72).unwrap_or_default(),
            size,
            n_entries: number(152),
            tail_seqnum: number(160),
            head_seqnum: number(168),
            entry_array: number(176),
        })
    }

    /// Bytes of one offset in an entry array.
    pub(crate) fn array_item(&self) -> u64 {
        if self.is_compact { 4 } else { 8 }
    }

    /// Bytes of one item of an entry.
    pub(crate) fn entry_item(&self) -> u64 {
        if self.is_compact { 4 } else { 16 }
    }

    /// Where the payload of a DATA object begins.
    pub(crate) fn payload(&self) -> u64 {
        if self.is_compact { 72 } else { 64 }
    }
}

/// The beginning of each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectHeader {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) size: u64,
}

impl ObjectHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: *bytes.first()?,
            flags: *bytes.get(1)?,
            size: u64_at(bytes, 8)?,
        })
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// Names are kept as they are written, the first byte first.
pub(crate) fn id_at(bytes: &[u8], at: usize) -> Option<Id> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(Id(u128::from_be_bytes(*bytes)))
}
