//! Reading lines of one file, and where to cut them.

use crate::content::Content;
use std::io;

/// Bytes asked of the kernel at a time: fits the second-level cache beside the caller's data.
pub(super) const STEP: u64 = 256 << 10;

/// Where a chunk was cut.
pub(super) struct Cut {
    pub(super) len: usize,
    /// The end is a cut in an overlong line.
    pub(super) is_piece: bool,
    /// The last line has no newline and is taken as whole.
    pub(super) is_torn: bool,
    /// Everything up to the file's end was looked at, and all whole lines are in.
    pub(super) is_all: bool,
}

/// Reads `[start, …)` in steps and finds where to cut. Behind the cut, bytes may be left in `out`.
#[expect(clippy::too_many_arguments, reason = "one flat step of the hot path")]
pub(super) fn read_lines(
    content: &mut Content,
    start: u64,
    size: u64,
    sent: u64,
    room: u64,
    max_line: u64,
    is_final: bool,
    out: &mut Vec<u8>,
) -> io::Result<Cut> {
    let base = out.len();
    let want = room.min(size.saturating_sub(start));
    let mut line_start = 0_usize;
    loop {
        let have = (out.len() - base) as u64;
        let is_at_end = start + have >= size;
        // Enough is: the room is full and holds something new, or a piece of a long line.
        let tail = have - line_start as u64;
        let has_new = start + line_start as u64 > sent;
        if is_at_end || (have >= want && has_new) || tail > max_line {
            break;
        }
        let step = if have < want {
            STEP.min(want - have)
        } else {
            STEP.min(size - start - have)
        };
        let at = out.len();
        let n = content.read_at(start + have, step as usize, out)?;
        if n == 0 {
            break;
        }
        let new = out.get(at..).unwrap_or_default();
        if let Some(newline) = memchr::memrchr(b'\n', new) {
            line_start = at - base + newline + 1;
        }
    }
    let have = out.len() - base;
    let is_at_end = start + have as u64 >= size;
    let tail = (have - line_start) as u64;
    let read = out.get(base..).unwrap_or_default();
    let max = usize::try_from(max_line).unwrap_or(usize::MAX);
    if let Some(long) = first_overlong(read, max) {
        // The pieces count from the line's start, whatever was read behind it.
        return Ok(Cut {
            len: long + max,
            is_piece: true,
            is_torn: false,
            is_all: false,
        });
    }
    if is_at_end && tail > 0 && is_final {
        return Ok(Cut {
            len: have,
            is_piece: false,
            is_torn: true,
            is_all: true,
        });
    }
    Ok(Cut {
        len: line_start,
        is_piece: false,
        is_torn: false,
        is_all: is_at_end,
    })
}

/// Start of the first line of more than `max` bytes. Looks only for the last newline within each
/// `max` bytes, so whatever the lines, most bytes are not touched.
fn first_overlong(bytes: &[u8], max: usize) -> Option<usize> {
    let mut start = 0;
    while let Some(window) = bytes.get(start..=start + max) {
        match memchr::memrchr(b'\n', window) {
            Some(newline) => start += newline + 1,
            None => return Some(start),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_over_the_limit_are_cut() {
        let check = |text: &[u8], expected| assert_eq!(first_overlong(text, 4), expected);
        check(b"", None);
        check(b"abcd\nabcd\n\n\nab", None);
        check(b"abcd", None);
        check(b"abcde", Some(0));
        check(b"a\nb\nabcde\n", Some(4));
        check(b"abcd\nabcdefgh", Some(5));
    }
}
