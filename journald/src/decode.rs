//! Payloads of DATA objects: as they are, or out of zstd and lz4, no further than is asked for.

use crate::format::{OBJECT_LZ4, OBJECT_XZ, OBJECT_ZSTD, u64_at};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// Longest lz4 block that is read; it has to be in memory as a whole. journald compresses fields of
/// this size with zstd since version 246.
const MAX_LZ4: u64 = 16 << 20;

/// Windows of zstd above 8 MiB are refused. journald takes what zstd takes for its level 3: 2 MiB.
const MAX_WINDOW_LOG: u32 = 23;

/// Why a payload cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undecoded {
    /// It is compressed with xz.
    Xz,
    /// It is damaged, or larger than anything that journald writes.
    Damaged,
}

/// A part of a file, read with `pread`.
pub(crate) struct Section<'a> {
    pub(crate) file: &'a File,
    pub(crate) at: u64,
    pub(crate) left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let max = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let Some(part) = into.get_mut(..max) else {
            return Ok(0);
        };
        let n = self.file.read_at(part, self.at)?;
        self.at = self.at.saturating_add(n as u64);
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

/// Opens a payload for reading, from its first byte on.
pub(crate) fn open(mut section: Section<'_>, flags: u8) -> Result<Box<dyn Read + '_>, Undecoded> {
    match flags & (OBJECT_XZ | OBJECT_LZ4 | OBJECT_ZSTD) {
        0 => Ok(Box::new(section)),
        OBJECT_XZ => Err(Undecoded::Xz),
        OBJECT_ZSTD => {
            let mut decoder = zstd::Decoder::new(section).or(Err(Undecoded::Damaged))?;
            decoder
                .window_log_max(MAX_WINDOW_LOG)
                .or(Err(Undecoded::Damaged))?;
            Ok(Box::new(decoder))
        }
        OBJECT_LZ4 => {
            if section.left > MAX_LZ4 {
                return Err(Undecoded::Damaged);
            }
            let mut block = Vec::new();
            section
                .read_to_end(&mut block)
                .or(Err(Undecoded::Damaged))?;
            let size = u64_at(&block, 0).ok_or(Undecoded::Damaged)?;
            if size > MAX_LZ4 {
                return Err(Undecoded::Damaged);
            }
            let text =
                lz4(block.get(8..).unwrap_or_default(), size as usize).ok_or(Undecoded::Damaged)?;
            Ok(Box::new(io::Cursor::new(text)))
        }
        _ => Err(Undecoded::Damaged),
    }
}

/// Decodes an lz4 block of exactly `size` bytes. Forty lines, in place of a crate for a form that
/// journald stopped to write in 2020.
fn lz4(block: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = block.iter();
    let length = |rest: &mut std::slice::Iter<'_, u8>, nibble: u8| -> Option<usize> {
        let mut length = usize::from(nibble);
        if nibble == 15 {
            loop {
                let more = *rest.next()?;
                length = length.checked_add(usize::from(more))?;
                if more != 255 {
                    break;
                }
            }
        }
        Some(length)
    };
    loop {
        let token = *rest.next()?;
        let n_literals = length(&mut rest, token >> 4)?;
        let literals = rest.as_slice().get(..n_literals)?;
        if out.len() + n_literals > size {
            return None;
        }
        out.extend_from_slice(literals);
        rest = rest.as_slice().get(n_literals..)?.iter();
        // The last sequence has literals alone.
        let Some(low) = rest.next() else {
            return (out.len() == size).then_some(out);
        };
        let back = usize::from(*low) | usize::from(*rest.next()?) << 8;
        let n_copied = length(&mut rest, token & 15)?.checked_add(4)?;
        if out.len().checked_add(n_copied)? > size {
            return None;
        }
        let from = out.len().checked_sub(back).filter(|_| back > 0)?;
        // What is copied may reach into what it makes.
        for at in from..from + n_copied {
            let byte = *out.get(at)?;
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lz4_blocks_are_decoded() {
        // Literals alone; a run; a match of text; lengths of more than one byte.
        assert_eq!(lz4(b"\x30abc", 3).unwrap(), b"abc");
        assert_eq!(lz4(b"\x11a\x01\x00\x10b", 7).unwrap(), b"aaaaaab");
        assert_eq!(lz4(b"\x40abcd\x04\x00\x10!", 9).unwrap(), b"abcdabcd!");
        let long = lz4(b"\x1fa\x01\x00\xff\x01\x10b", 277).unwrap();
        assert_eq!(long.len(), 277);
        assert!(long.ends_with(b"aab"));
        let mut literals = vec![0xf0, 255, 5];
        literals.extend(vec![b'x'; 275]);
        assert_eq!(lz4(&literals, 275).unwrap(), vec![b'x'; 275]);
    }

    #[test]
    fn damaged_lz4_blocks_are_refused() {
        for (block, size) in [
            (&b""[..], 0),
            (b"\x30ab", 3),
            (b"\x30abc", 4),
            (b"\x30abc", 2),
            (b"\x11a\x00\x00\x10b", 7),
            (b"\x11a\x02\x00\x10b", 7),
            (b"\x1fa\x01\x00\xff", 277),
            (b"\xf0\xff\xff\xff", 1 << 20),
        ] {
            assert_eq!(lz4(block, size), None, "{block:?}");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let n = random.usize(..40);
            let block: Vec<u8> = (0..n).map(|_| random.u8(..)).collect();
            if let Some(text) = lz4(&block, 64) {
                assert_eq!(text.len(), 64);
            }
        }
    }
}
