//! The files of a buffer, byte by byte. All integers are little endian.
//!
//! # Constraints
//!
//! - An entry is acknowledged after an fdatasync of its segment. What was acknowledged is found
//!   again after kill -9 and after a power cut; what was not may be found or not.
//! - One damaged place costs at most the entries that it touches, never those behind it.
//! - Which entries are delivered survives kill -9; a power cut may forget it, and then says so:
//!   the entries come back *in doubt* (as if posted when they were created).
//! - The size of all files is known exactly before a byte is written.
//!
//! # Files
//!
//! ```text
//! lock                 empty; flock held by the process that has the buffer open
//! 0000000007.segment   header, entries, footer
//! 0000000007.marks     header, two marks for each entry
//! ```
//!
//! Numbers rise and are not used again while a file of that number exists. A new pair is created
//! and fsynced, then the directory is, before anything is written to it. A pair whose entries are
//! all delivered goes in this order: unlink segment, fsync directory, unlink marks. So marks
//! without a segment are rubbish, and a segment never meets the marks of another one.
//!
//! # Header of both files, 48 bytes
//!
//! ```text
//!  0  8  magic         "TRSEGMNT" or "TRMARKS\n"
//!  8  4  version       1
//! 12  4  zero
//! 16  8  number        as in the file's name
//! 24  8  first_seq     sequence number of the first entry
//! 32  8  stamp         segment: wall clock at creation, ms; marks: boot id, 0 when unknown
//! 40  4  zero
//! 44  4  crc32         of the 44 bytes before
//! ```
//!
//! Size, place of version and checksum stay as they are in every later version: a damaged header
//! can be told from an unknown version.
//!
//! # Entry, 40 bytes + head + body, no padding
//!
//! ```text
//!  0  4  magic         F1 'T' 'R' E5
//!  4  4  head_len      at most 16 MiB
//!  8  4  body_len      at most 1 GiB
//! 12  4  crc32 of the head
//! 16  8  seq           one more than that of the entry before; the entry's id
//! 24  8  created_ms    wall clock
//! 32  4  crc32 of the body
//! 36  4  crc32 of the segment's number (8 bytes) and the 36 bytes before
//! ```
//!
//! # Footer, 32 bytes
//!
//! ```text
//!  0  4  magic         F2 'T' 'R' E7
//!  4  4  zero
//!  8  8  len           where the footer stands
//! 16  8  end_seq       one more than the last entry's seq
//! 24  4  zero
//! 28  4  crc32 of the segment's number (8 bytes) and the 28 bytes before
//! ```
//!
//! A footer says that every byte before it was fsynced: whatever is wrong there is damage, not a
//! torn write, and bodies need not be checked at opening (they are when they are read).
//!
//! # Marks, 32 bytes an entry, at 48 + 32 × (seq − first_seq)
//!
//! Twice: wall clock in ms (8 bytes), kind (4 bytes, 1 = posted, 2 = done), crc32 (4 bytes) of
//! number, seq (8 bytes each) and the 12 bytes before. All zero: not made. The place is written with
//! zeros before its entry, so that a full disk does not stop deliveries from being noted; a mark is
//! written in place, and not fsynced.
//!
//! # Recovery
//!
//! Segments are read newest first. An entry is good when its checksums are, and its seq is the next
//! one. Where that fails, the next good entry is looked for by its magic; its seq must be larger,
//! by no more than the bytes passed over could hold. What lies between is damage. What lies behind
//! the last good entry is a torn tail when there is no footer, and is cut off. A segment that was
//! poisoned by a failed write may end in entries that were written again to the next one: those
//! whose seq is not below the next segment's first are dropped. No segment is written to after it
//! has been opened again, but for the cut.

use crc32fast::Hasher;

/// Version of both files that this program writes, and the only one it reads.
pub(crate) const VERSION: u32 = 1;
/// Size of the header of both files.
pub(crate) const FILE_HEADER: u64 = 48;
/// Size of an entry without its head and body.
pub(crate) const ENTRY_HEADER: u64 = 40;
/// Size of a footer.
pub(crate) const FOOTER: u64 = 32;
/// Size of an entry's two marks.
pub(crate) const MARKS: u64 = 32;
/// Largest head. A head lists what its body holds; 16 MiB is beyond any use.
pub(crate) const MAX_HEAD: u64 = 16 << 20;
/// Largest body, and largest segment but for a single large entry: offsets fit 32 bits.
pub(crate) const MAX_BODY: u64 = 1 << 30;
/// What entries begin with. The first byte is not part of any UTF-8 text.
pub(crate) const ENTRY_MAGIC: [u8; 4] = [0xF1, b'T', b'R', 0xE5];

const FOOTER_MAGIC: [u8; 4] = [0xF2, b'T', b'R', 0xE7];
const MARK_LEN: usize = 16;

/// Which of the two files a header belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment,
    Marks,
}

impl FileKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Segment => b"TRSEGMNT",
            Self::Marks => b"TRMARKS\n",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Segment => ".segment",
            Self::Marks => ".marks",
        }
    }

    /// Name of file `number`.
    pub(crate) fn name(self, number: u64) -> String {
        format!("{number:010}{}", self.suffix())
    }

    /// The number in a file's name; `None` when it is no file of this kind.
    pub(crate) fn number(self, name: &str) -> Option<u64> {
        let number = name.strip_suffix(self.suffix())?.parse().ok()?;
        // `+7.segment` and `7.segment` parse too, but are not ours.
        (self.name(number) == name).then_some(number)
    }
}

/// Header of a segment or side log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) number: u64,
    pub(crate) first_seq: u64,
    /// Segment: wall clock at creation. Marks: boot id.
    pub(crate) stamp: u64,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderProblem {
    /// Its bytes are not those that were written.
    Damaged,
    /// It is whole, but of another version.
    Version(u32),
}

impl FileHeader {
    pub(crate) fn encode(&self, kind: FileKind) -> [u8; FILE_HEADER as usize] {
        let mut out = [0; FILE_HEADER as usize];
        out[..8].copy_from_slice(kind.magic());
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..24].copy_from_slice(&self.number.to_le_bytes());
        out[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        out[32..40].copy_from_slice(&self.stamp.to_le_bytes());
        let crc = crc32fast::hash(&out[..44]);
        out[44..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes the header of file `number`.
    pub(crate) fn decode(
        bytes: &[u8; FILE_HEADER as usize],
        kind: FileKind,
        number: u64,
    ) -> Result<Self, HeaderProblem> {
        if bytes[..8] != *kind.magic() || crc32fast::hash(&bytes[..44]) != u32_at(bytes, 44) {
            return Err(HeaderProblem::Damaged);
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(HeaderProblem::Version(u32_at(bytes, 8)));
        }
        let header = Self {
            number: u64_at(bytes, 16),
            first_seq: u64_at(bytes, 24),
            stamp: u64_at(bytes, 32),
        };
        if header.number == number {
            Ok(header)
        } else {
            Err(HeaderProblem::Damaged)
        }
    }
}

/// What stands before an entry's head and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub(crate) head_len: u32,
    pub(crate) body_len: u32,
    pub(crate) head_crc: u32,
    pub(crate) body_crc: u32,
    pub(crate) seq: u64,
    pub(crate) created_ms: u64,
}

impl EntryHeader {
    pub(crate) fn encode(&self, number: u64) -> [u8; ENTRY_HEADER as usize] {
        let mut out = [0; ENTRY_HEADER as usize];
        out[..4].copy_from_slice(&ENTRY_MAGIC);
        out[4..8].copy_from_slice(&self.head_len.to_le_bytes());
        out[8..12].copy_from_slice(&self.body_len.to_le_bytes());
        out[12..16].copy_from_slice(&self.head_crc.to_le_bytes());
        out[16..24].copy_from_slice(&self.seq.to_le_bytes());
        out[24..32].copy_from_slice(&self.created_ms.to_le_bytes());
        out[32..36].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = salted_crc(&[number], &out[..36]);
        out[36..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` when the bytes are not the header of an entry of segment `number`.
    pub(crate) fn decode(bytes: &[u8; ENTRY_HEADER as usize], number: u64) -> Option<Self> {
        if bytes[..4] != ENTRY_MAGIC || salted_crc(&[number], &bytes[..36]) != u32_at(bytes, 36) {
            return None;
        }
        let header = Self {
            head_len: u32_at(bytes, 4),
            body_len: u32_at(bytes, 8),
            head_crc: u32_at(bytes, 12),
            seq: u64_at(bytes, 16),
            created_ms: u64_at(bytes, 24),
            body_crc: u32_at(bytes, 32),
        };
        let fits = u64::from(header.head_len) <= MAX_HEAD && u64::from(header.body_len) <= MAX_BODY;
        fits.then_some(header)
    }

    /// Bytes of the whole entry.
    pub(crate) fn total(&self) -> u64 {
        ENTRY_HEADER + u64::from(self.head_len) + u64::from(self.body_len)
    }
}

/// The end of a segment that is complete and was fsynced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Where it stands.
    pub(crate) len: u64,
    /// One more than the last entry's seq.
    pub(crate) end_seq: u64,
}

impl Footer {
    pub(crate) fn encode(&self, number: u64) -> [u8; FOOTER as usize] {
        let mut out = [0; FOOTER as usize];
        out[..4].copy_from_slice(&FOOTER_MAGIC);
        out[8..16].copy_from_slice(&self.len.to_le_bytes());
        out[16..24].copy_from_slice(&self.end_seq.to_le_bytes());
        let crc = salted_crc(&[number], &out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` when the bytes, found at `len`, are not the footer of segment `number`.
    pub(crate) fn decode(bytes: &[u8; FOOTER as usize], number: u64, len: u64) -> Option<Self> {
        let good = bytes[..4] == FOOTER_MAGIC
            && salted_crc(&[number], &bytes[..28]) == u32_at(bytes, 28)
            && u64_at(bytes, 8) == len;
        good.then(|| Self {
            len,
            end_seq: u64_at(bytes, 16),
        })
    }
}

/// What a mark says of its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Mark {
    /// It may have been posted.
    Posted = 1,
    /// It is delivered.
    Done = 2,
}

/// What is found at a mark's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkFound {
    /// It was not made.
    No,
    /// It was made at this time.
    At(u64),
    /// The bytes are neither.
    Damaged,
}

impl Mark {
    /// Where the mark stands in the side log, for the entry `ordinal` of the segment.
    pub(crate) fn offset(self, ordinal: u64) -> u64 {
        let second = if self == Self::Done {
            MARK_LEN as u64
        } else {
            0
        };
        FILE_HEADER + ordinal * MARKS + second
    }

    pub(crate) fn encode(self, number: u64, seq: u64, wall_ms: u64) -> [u8; MARK_LEN] {
        let mut out = [0; MARK_LEN];
        out[..8].copy_from_slice(&wall_ms.to_le_bytes());
        out[8..12].copy_from_slice(&(self as u32).to_le_bytes());
        let crc = salted_crc(&[number, seq], &out[..12]);
        out[12..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Looks for this mark of entry `seq` in the bytes of the side log.
    pub(crate) fn find(self, log: &[u8], number: u64, first_seq: u64, seq: u64) -> MarkFound {
        let place = usize::try_from(self.offset(seq - first_seq)).ok();
        let Some(bytes) = place.and_then(|at| log.get(at..at + MARK_LEN)) else {
            // The side log is shorter than it was made: whether the mark was is not known.
            return MarkFound::Damaged;
        };
        if bytes.iter().all(|&byte| byte == 0) {
            return MarkFound::No;
        }
        let wall_ms = u64_at(bytes, 0);
        if self.encode(number, seq, wall_ms) == *bytes {
            MarkFound::At(wall_ms)
        } else {
            MarkFound::Damaged
        }
    }
}

fn salted_crc(salts: &[u64], bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    for salt in salts {
        hasher.update(&salt.to_le_bytes());
    }
    hasher.update(bytes);
    hasher.finalize()
}

// Both are called with constant offsets inside arrays of known size.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Files of this version stay readable: these bytes may never change.
    #[test]
    fn golden_bytes() {
        let header = FileHeader {
            number: 7,
            first_seq: 42,
            stamp: 0x0123_4567_89ab,
        };
        assert_eq!(
            hex(&header.encode(FileKind::Segment)),
            "54525345474d4e54010000000000000007000000000000002a00000000000000ab89674523010000\
             0000000014be4626"
        );
        let entry = EntryHeader {
            head_len: 2,
            body_len: 3,
            head_crc: 4,
            body_crc: 5,
            seq: 42,
            created_ms: 6,
        };
        assert_eq!(
            hex(&entry.encode(7)),
            "f15452e50200000003000000040000002a00000000000000060000000000000005000000dc0b6f5f"
        );
        assert_eq!(
            hex(&Footer {
                len: 99,
                end_seq: 43
            }
            .encode(7)),
            "f25452e70000000063000000000000002b000000000000000000000018162fc8"
        );
        assert_eq!(
            hex(&Mark::Done.encode(7, 42, 6)),
            "060000000000000002000000e419a48c"
        );
    }

    #[test]
    fn names() {
        for (name, number) in [
            ("0000000007.segment", Some(7)),
            ("12345678901.segment", Some(12_345_678_901)),
            ("7.segment", None),
            ("+000000007.segment", None),
            ("0000000007.marks", None),
            ("lock", None),
        ] {
            assert_eq!(FileKind::Segment.number(name), number, "{name}");
        }
    }

    #[test]
    fn unknown_version_is_told_from_damage() {
        let mut bytes = FileHeader {
            number: 1,
            first_seq: 1,
            stamp: 1,
        }
        .encode(FileKind::Segment);
        bytes[8] = 2;
        let decode = |bytes: &_| FileHeader::decode(bytes, FileKind::Segment, 1);
        assert_eq!(decode(&bytes), Err(HeaderProblem::Damaged));
        let crc = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&bytes), Err(HeaderProblem::Version(2)));
    }

    proptest! {
        #[test]
        fn entry_header_round_trips_and_notices_any_flip(
            head_len in 0..=(MAX_HEAD as u32), body_len in 0..=(MAX_BODY as u32),
            head_crc: u32, body_crc: u32, seq: u64, created_ms: u64, number: u64,
            at in 0..40usize, bit in 0..8u32,
        ) {
            let header = EntryHeader { head_len, body_len, head_crc, body_crc, seq, created_ms };
            let mut bytes = header.encode(number);
            prop_assert_eq!(EntryHeader::decode(&bytes, number), Some(header));
            prop_assert_eq!(EntryHeader::decode(&bytes, number ^ 1), None);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(EntryHeader::decode(&bytes, number), None);
        }

        #[test]
        fn marks_hold_for_their_entry_only(number: u64, seq in 5..1_000u64, wall_ms: u64) {
            let mut log = vec![0; (FILE_HEADER + 1_000 * MARKS) as usize];
            let at = Mark::Done.offset(seq - 5) as usize;
            log[at..at + 16].copy_from_slice(&Mark::Done.encode(number, seq, wall_ms));
            prop_assert_eq!(Mark::Done.find(&log, number, 5, seq), MarkFound::At(wall_ms));
            prop_assert_eq!(Mark::Posted.find(&log, number, 5, seq), MarkFound::No);
            prop_assert_eq!(Mark::Done.find(&log, number, 5, seq + 1), MarkFound::No);
            prop_assert_eq!(Mark::Done.find(&log, number ^ 1, 5, seq), MarkFound::Damaged);
            prop_assert_eq!(Mark::Done.find(&log, number, 4, seq - 1), MarkFound::Damaged);
            prop_assert_eq!(Mark::Done.find(&log[..at], number, 5, seq), MarkFound::Damaged);
        }
    }
}
