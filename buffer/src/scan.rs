//! Reads a segment from its first byte to its last and tells what is good, damaged and torn.
//!
//! Trusts nothing it reads: every length is checked against the file before it is used, and no
//! allocation is larger than the file. Never writes. Recovery, `inspect` and the fuzz target
//! share it.

use std::{io, ops::Range};

use crc32fast::Hasher;
use memchr::memmem;

use crate::{
    File,
    format::{
        ENTRY_HEADER, ENTRY_MAGIC, EntryHeader, FILE_HEADER, FOOTER, FileHeader, FileKind, Footer,
        HeaderProblem,
    },
};

/// Bytes read at a time where a body is checked or the next entry is looked for.
const WINDOW: usize = 256 << 10;

/// Which bodies are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// All of them.
    Everything,
    /// Those of segments without a footer: only they can hold a torn write.
    Unsealed,
}

/// A good entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) header: EntryHeader,
}

/// Bytes that are not those that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) bytes: Range<u64>,
    pub(crate) seqs: Range<u64>,
}

/// What a segment holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) header: Result<FileHeader, HeaderProblem>,
    /// Sequence number of the first entry, as the header says, or the caller, or the first good
    /// entry.
    pub(crate) first_seq: u64,
    /// One more than the highest sequence number that is known to have been used.
    pub(crate) end_seq: u64,
    pub(crate) entries: Vec<Found>,
    pub(crate) holes: Vec<Hole>,
    /// It ends with a footer.
    pub(crate) sealed: bool,
    /// Bytes up to the end of the last good entry, or the footer.
    pub(crate) good_len: u64,
    /// Bytes behind `good_len` of a write that never completed.
    pub(crate) torn: u64,
    /// Some bytes could not be read at all (EIO). Nothing is cut off then.
    pub(crate) unreadable: bool,
}

/// Scans segment `number`. `first_seq` is what its side log says, for when its own header does not.
pub(crate) fn scan(file: &dyn File, number: u64, first_seq: Option<u64>, check: Check) -> Scan {
    Scanner::new(file, number).run(first_seq, check)
}

/// Reads an entry's header and head; `None` when they are not those of a good entry.
pub(crate) fn read_head(
    file: &dyn File,
    number: u64,
    offset: u64,
) -> io::Result<Option<(EntryHeader, Vec<u8>)>> {
    let mut bytes = [0; ENTRY_HEADER as usize];
    if file.read_at(&mut bytes, offset)? < bytes.len() {
        return Ok(None);
    }
    let Some(header) = EntryHeader::decode(&bytes, number) else {
        return Ok(None);
    };
    let head = read_part(
        file,
        offset + ENTRY_HEADER,
        header.head_len,
        header.head_crc,
    )?;
    Ok(head.map(|head| (header, head)))
}

/// Reads the body that belongs to `header`; `None` when its checksum differs.
pub(crate) fn read_body(
    file: &dyn File,
    offset: u64,
    header: &EntryHeader,
) -> io::Result<Option<Vec<u8>>> {
    let start = offset + ENTRY_HEADER + u64::from(header.head_len);
    read_part(file, start, header.body_len, header.body_crc)
}

fn read_part(file: &dyn File, at: u64, len: u32, crc: u32) -> io::Result<Option<Vec<u8>>> {
    // A length may lie when its checksum collides; then it is not worth an allocation.
    if at.saturating_add(u64::from(len)) > file.size()? {
        return Ok(None);
    }
    let mut bytes = vec![0; len as usize];
    let n_bytes = file.read_at(&mut bytes, at)?;
    Ok((n_bytes == bytes.len() && crc32fast::hash(&bytes) == crc).then_some(bytes))
}

struct Scanner<'a> {
    file: &'a dyn File,
    number: u64,
    window: Vec<u8>,
    unreadable: bool,
}

impl<'a> Scanner<'a> {
    fn new(file: &'a dyn File, number: u64) -> Self {
        Self {
            file,
            number,
            window: Vec::new(),
            unreadable: false,
        }
    }

    fn run(mut self, first_seq: Option<u64>, check: Check) -> Scan {
        let len = self.file.size().unwrap_or_else(|_| {
            self.unreadable = true;
            0
        });
        let header = match self.array::<{ FILE_HEADER as usize }>(0, len) {
            Some(bytes) => FileHeader::decode(&bytes, FileKind::Segment, self.number),
            None => Err(HeaderProblem::Damaged),
        };
        let known_first = header.ok().map(|header| header.first_seq).or(first_seq);
        let mut scan = Scan {
            header,
            first_seq: known_first.unwrap_or(0),
            end_seq: known_first.unwrap_or(0),
            entries: Vec::new(),
            holes: Vec::new(),
            sealed: false,
            good_len: len.min(FILE_HEADER),
            torn: 0,
            unreadable: false,
        };
        if matches!(header, Err(HeaderProblem::Version(_))) {
            scan.unreadable = self.unreadable;
            return scan;
        }
        if header.is_err() {
            scan.holes.push(Hole {
                bytes: 0..scan.good_len,
                seqs: 0..0,
            });
        }
        let footer = self.footer(len);
        scan.sealed = footer.is_some();
        let end = footer.map_or(len, |footer| footer.len);
        let check_bodies = check == Check::Everything || footer.is_none();
        self.walk(&mut scan, known_first, end, check_bodies);
        self.finish(&mut scan, footer, end);
        scan
    }

    /// Goes from entry to entry up to `end`.
    fn walk(&mut self, scan: &mut Scan, known_first: Option<u64>, end: u64, check_bodies: bool) {
        let mut next_seq = known_first;
        let mut at = FILE_HEADER;
        while at < end {
            let gap = at - scan.good_len;
            let Some(header) = self.entry_header(at, end, next_seq, gap) else {
                at = self.find_entry(at + 1, end);
                continue;
            };
            let good = self.is_good(at, &header, check_bodies);
            if good {
                let expected = next_seq.unwrap_or(header.seq);
                if gap > 0 {
                    scan.holes.push(Hole {
                        bytes: scan.good_len..at,
                        seqs: expected..header.seq,
                    });
                }
                if scan.entries.is_empty() && known_first.is_none() {
                    scan.first_seq = header.seq;
                }
                scan.entries.push(Found { offset: at, header });
                scan.end_seq = header.seq + 1;
                next_seq = Some(scan.end_seq);
            }
            // The header is good, so its lengths are, and the next entry stands behind it.
            at += header.total();
            if good {
                scan.good_len = at;
            }
        }
    }

    /// Decides what the bytes behind the last good entry are.
    fn finish(&mut self, scan: &mut Scan, footer: Option<Footer>, end: u64) {
        scan.unreadable = self.unreadable;
        let rest = end.saturating_sub(scan.good_len);
        if let Some(footer) = footer {
            let bytes = scan.good_len..end;
            let end_seq = footer.end_seq.max(scan.end_seq);
            // A footer cannot claim more entries than there are bytes for them.
            let end_seq = end_seq.min(scan.end_seq + rest / ENTRY_HEADER);
            if rest > 0 {
                scan.holes.push(Hole {
                    bytes,
                    seqs: scan.end_seq..end_seq,
                });
            }
            scan.end_seq = end_seq;
            scan.good_len = end + FOOTER;
        } else if self.unreadable && rest > 0 {
            scan.holes.push(Hole {
                bytes: scan.good_len..end,
                seqs: scan.end_seq..scan.end_seq,
            });
            scan.good_len = end;
        } else {
            scan.torn = rest;
        }
    }

    fn footer(&mut self, len: u64) -> Option<Footer> {
        let at = len.checked_sub(FOOTER).filter(|&at| at >= FILE_HEADER)?;
        let bytes = self.array::<{ FOOTER as usize }>(at, len)?;
        Footer::decode(&bytes, self.number, at)
    }

    /// The header of an entry that may stand at `at`: whole, and with a possible seq.
    fn entry_header(
        &mut self,
        at: u64,
        end: u64,
        next_seq: Option<u64>,
        gap: u64,
    ) -> Option<EntryHeader> {
        let bytes = self.array::<{ ENTRY_HEADER as usize }>(at, end)?;
        let header = EntryHeader::decode(&bytes, self.number)?;
        let seq_fits = next_seq.is_none_or(|next| {
            header
                .seq
                .checked_sub(next)
                .is_some_and(|missing| missing <= gap / ENTRY_HEADER)
        });
        (seq_fits && header.seq < u64::MAX && at + header.total() <= end).then_some(header)
    }

    fn is_good(&mut self, at: u64, header: &EntryHeader, check_body: bool) -> bool {
        let head_at = at + ENTRY_HEADER;
        let body_at = head_at + u64::from(header.head_len);
        self.crc(head_at, header.head_len) == Some(header.head_crc)
            && (!check_body || self.crc(body_at, header.body_len) == Some(header.body_crc))
    }

    fn crc(&mut self, mut at: u64, len: u32) -> Option<u32> {
        let mut hasher = Hasher::new();
        let mut left = len as usize;
        while left > 0 {
            let n_bytes = left.min(WINDOW);
            hasher.update(self.bytes(at, n_bytes)?);
            at += n_bytes as u64;
            left -= n_bytes;
        }
        Some(hasher.finalize())
    }

    /// The next place from `at` that begins like an entry; `end` when there is none.
    fn find_entry(&mut self, mut at: u64, end: u64) -> u64 {
        const OVERLAP: u64 = ENTRY_MAGIC.len() as u64 - 1;
        while at + ENTRY_HEADER <= end {
            let n_bytes = usize::try_from(end - at).unwrap_or(WINDOW).min(WINDOW);
            let Some(window) = self.bytes(at, n_bytes) else {
                // A page that the disk does not give back: pass over it.
                at += 4096;
                continue;
            };
            if let Some(found) = memmem::find(window, &ENTRY_MAGIC) {
                return at + found as u64;
            }
            at += (n_bytes as u64).saturating_sub(OVERLAP).max(1);
        }
        end
    }

    fn array<const N: usize>(&mut self, at: u64, end: u64) -> Option<[u8; N]> {
        if at + N as u64 > end {
            return None;
        }
        self.bytes(at, N)?.try_into().ok()
    }

    fn bytes(&mut self, at: u64, n_bytes: usize) -> Option<&[u8]> {
        self.window.resize(self.window.len().max(n_bytes), 0);
        match self.file.read_at(&mut self.window[..n_bytes], at) {
            Ok(read) if read == n_bytes => Some(&self.window[..n_bytes]),
            Ok(_) => None,
            Err(_) => {
                self.unreadable = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::{Memory, check_scan};

    /// A segment of entries with these body lengths.
    fn segment(lens: &[usize], sealed: bool) -> Vec<u8> {
        let header = FileHeader {
            number: 1,
            first_seq: 1,
            stamp: 5,
        };
        let mut bytes = header.encode(FileKind::Segment).to_vec();
        for (seq, &len) in (1..).zip(lens) {
            let body = vec![seq as u8; len];
            let header = EntryHeader {
                head_len: 2,
                body_len: len as u32,
                head_crc: crc32fast::hash(b"hi"),
                body_crc: crc32fast::hash(&body),
                seq,
                created_ms: 9,
            };
            bytes.extend(header.encode(1));
            bytes.extend(b"hi");
            bytes.extend(body);
        }
        if sealed {
            let len = bytes.len() as u64;
            bytes.extend(
                Footer {
                    len,
                    end_seq: 1 + lens.len() as u64,
                }
                .encode(1),
            );
        }
        bytes
    }

    #[test]
    fn an_entry_larger_than_the_window_and_one_behind_a_large_hole() {
        let mut bytes = segment(&[3 * WINDOW, 2 * WINDOW, 10], true);
        check_scan(&bytes);
        let whole = scan(&Memory(&bytes), 1, None, Check::Everything);
        assert_eq!((whole.entries.len(), whole.holes.len()), (3, 0));
        // The header of the second one: its body has to be searched for the third.
        let at = whole.entries[1].offset as usize;
        bytes[at + 20] ^= 1;
        check_scan(&bytes);
        let holed = scan(&Memory(&bytes), 1, None, Check::Everything);
        assert_eq!(
            holed
                .entries
                .iter()
                .map(|e| e.header.seq)
                .collect::<Vec<_>>(),
            [1, 3]
        );
        assert_eq!((holed.holes.len(), &holed.holes[0].seqs), (1, &(2..3)));
    }

    #[test]
    fn an_entry_inside_a_body_is_not_taken_for_one() {
        // An attacker who knows the format logs an entry; it only matters once there is damage.
        let inner = segment(&[30], false);
        let mut bytes = segment(&[4], false);
        let body = inner;
        let header = EntryHeader {
            head_len: 0,
            body_len: body.len() as u32,
            head_crc: 0,
            body_crc: crc32fast::hash(&body),
            seq: 2,
            created_ms: 9,
        };
        let at = bytes.len();
        bytes.extend(header.encode(1));
        bytes.extend(&body);
        bytes[at + 5] ^= 1;
        check_scan(&bytes);
        let scan = scan(&Memory(&bytes), 1, None, Check::Everything);
        assert_eq!(scan.entries.len(), 1, "seq 1 was there already");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            check_scan(&bytes);
        }

        #[test]
        fn any_change_is_survived(
            lens in prop::collection::vec(0..80usize, 0..6), sealed: bool,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
            moved in prop::option::of((any::<prop::sample::Index>(), 0..100usize)),
        ) {
            let mut bytes = segment(&lens, sealed);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Some((from, len)) = moved {
                let from = from.index(bytes.len());
                let copy = bytes[from..(from + len).min(bytes.len())].to_vec();
                bytes.splice(from..from, copy);
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            check_scan(&bytes);
        }
    }
}
