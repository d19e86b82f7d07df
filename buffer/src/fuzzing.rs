//! Entry point of the fuzz target, compiled for it (and for tests) only.

use std::{
    io::{self, IoSlice},
    ops::Range,
};

use crate::{
    File,
    format::{
        ENTRY_HEADER, EntryHeader, FILE_HEADER, FOOTER, FileHeader, FileKind, Footer, HeaderProblem,
    },
    scan::{Check, read_head, scan},
};

/// Scans `bytes` as they are, and again as fields of headers whose checksums are right: a fuzzer
/// guesses lengths and numbers, but no CRC.
pub fn segment(bytes: &[u8]) {
    check_scan(bytes);
    check_scan(&with_checksums(bytes));
}

/// Takes the input as records of (kind, fields, payload) and frames them.
fn with_checksums(mut input: &[u8]) -> Vec<u8> {
    let header = FileHeader {
        number: 1,
        first_seq: 1,
        stamp: 0,
    };
    let mut out = header.encode(FileKind::Segment).to_vec();
    let mut next_seq = 1;
    while let Some((record, rest)) = input.split_first_chunk::<6>() {
        let [kind, seq_shift, head_len, body_len, claim, n_bytes] = *record;
        let payload = &rest[..rest.len().min(usize::from(n_bytes))];
        input = &rest[payload.len()..];
        let (head, body) = payload.split_at(payload.len().min(usize::from(head_len)));
        match kind % 4 {
            // A sound entry, or one whose seq or length is off.
            0 | 1 => {
                let header = EntryHeader {
                    head_len: head.len() as u32,
                    body_len: if kind % 4 == 0 {
                        body.len() as u32
                    } else {
                        u32::from(body_len)
                    },
                    head_crc: crc32fast::hash(head),
                    body_crc: crc32fast::hash(body),
                    seq: next_seq + u64::from(seq_shift % 4),
                    created_ms: 0,
                };
                next_seq = header.seq + 1;
                out.extend(header.encode(1));
                out.extend(payload);
            }
            2 => {
                let len = out.len() as u64;
                let end_seq = next_seq.wrapping_add(u64::from(claim) << (seq_shift % 64));
                out.extend(Footer { len, end_seq }.encode(1));
            }
            _ => out.extend(payload),
        }
        // Enough for any structure; the rest of a long input adds nothing.
        if out.len() as u64 > 64 * (FILE_HEADER + ENTRY_HEADER) {
            break;
        }
    }
    out
}

/// A file that is only bytes in memory.
pub(crate) struct Memory<'a>(pub(crate) &'a [u8]);

impl File for Memory<'_> {
    fn write_at(&self, _slices: &mut [IoSlice<'_>], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| self.0.get(at..))
            .unwrap_or_default();
        let n_bytes = rest.len().min(buf.len());
        buf[..n_bytes].copy_from_slice(&rest[..n_bytes]);
        Ok(n_bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// Scans `bytes` as segment 1 and panics when the result contradicts itself.
pub(crate) fn check_scan(bytes: &[u8]) {
    let len = bytes.len() as u64;
    for first_seq in [None, Some(1)] {
        let everything = scan(&Memory(bytes), 1, first_seq, Check::Everything);
        let quick = scan(&Memory(bytes), 1, first_seq, Check::Unsealed);
        for scan in [everything, quick] {
            if matches!(scan.header, Err(HeaderProblem::Version(_))) {
                continue;
            }
            // Entries, holes and the torn tail cover the file, each byte once.
            let mut parts: Vec<Range<u64>> = scan
                .entries
                .iter()
                .map(|found| found.offset..found.offset + found.header.total())
                .chain(scan.holes.iter().map(|hole| hole.bytes.clone()))
                .chain(std::iter::once(scan.good_len..scan.good_len + scan.torn))
                .collect();
            if scan.header.is_ok() {
                parts.push(0..FILE_HEADER);
            }
            if scan.sealed {
                parts.push(len - FOOTER..len);
            }
            parts.sort_by_key(|part| (part.start, part.end));
            let end = parts.iter().fold(0, |at, part| {
                assert_eq!(part.start, at, "{scan:?}");
                part.end
            });
            assert_eq!(end, len, "{scan:?}");
            let seqs = scan.entries.iter().map(|found| found.header.seq);
            assert!(seqs.clone().is_sorted_by(|a, b| a < b), "seqs rise");
            assert!(scan.end_seq - scan.first_seq <= len, "{scan:?}");
            for found in &scan.entries {
                let file = Memory(bytes);
                let read = read_head(&file, 1, found.offset);
                assert!(matches!(read, Ok(Some((header, _))) if header == found.header));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn framed_records_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            segment(&bytes);
        }
    }
}
