//! What a document is written on: memory that is there already, with room behind the last byte.
//!
//! A document is some hundred pieces of a few bytes each. Appending them to a `Vec` asks for room
//! and calls a copy for each; here a short piece is copied as a block of fixed size, which is a
//! few instructions, and what the block holds beyond the piece is written over by the next one.
//! Benchmark: all of `make bench-rules`. Plain twin: the test at the end.

use crate::escape;
use crate::marks::Marks;

/// Room behind the last byte that blocks may spill into.
const SPILL: usize = 64;
/// Pieces up to this are copied as a block.
pub(crate) const BLOCK: usize = 32;

/// A page, which grows as it must and is written on again and again.
#[derive(Debug, Default)]
pub(crate) struct Page {
    bytes: Vec<u8>,
    len: usize,
}

impl Page {
    /// Forgets what is written.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// What is written.
    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Forgets what is written behind the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for `n` bytes and what blocks spill.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, n: usize) {
        let least = self.len + n + SPILL;
        self.bytes.resize(least.next_power_of_two(), 0);
    }

    /// The next bytes of the page, to be written on; `None`: it must grow first.
    #[inline(always)]
    fn next<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.bytes.get_mut(self.len..)?.first_chunk_mut()
    }

    /// Writes a piece whose length is known to the compiler.
    #[inline(always)]
    pub(crate) fn put<const N: usize>(&mut self, piece: &[u8; N]) {
        match self.next() {
            Some(to) => {
                *to = *piece;
                self.len += N;
            }
            None => self.put_long(piece),
        }
    }

    /// Writes the first `n` bytes of a block.
    #[inline(always)]
    pub(crate) fn put_block(&mut self, block: &[u8; BLOCK], n: usize) {
        match self.next() {
            Some(to) => {
                *to = *block;
                self.len += n;
            }
            None => self.put_long(block.get(..n).unwrap_or_default()),
        }
    }

    /// Writes `text[start..end]`. What stands behind it in `text` makes it quick.
    #[inline(always)]
    pub(crate) fn put_range(&mut self, text: &[u8], start: usize, end: usize) {
        let n = end.wrapping_sub(start);
        if n <= BLOCK
            && let Some(block) = text.get(start..).and_then(<[u8]>::first_chunk)
        {
            self.put_block(block, n);
        } else {
            self.put_long(text.get(start..end).unwrap_or_default());
        }
    }

    #[inline(never)]
    fn put_long(&mut self, bytes: &[u8]) {
        let n = bytes.len();
        if self.bytes.len() - self.len < n {
            self.grow(n);
        }
        if let Some(to) = self.bytes.get_mut(self.len..self.len + n) {
            to.copy_from_slice(bytes);
            self.len += n;
        }
    }

    /// Writes bytes.
    #[inline]
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_range(bytes, 0, bytes.len());
    }

    /// Writes a number in decimal.
    #[inline]
    pub(crate) fn put_number(&mut self, mut number: u64) {
        // Twenty digits at most, and a block behind where they begin at the latest.
        let mut text = [0; 20 + BLOCK];
        let mut at = 20;
        loop {
            at -= 1;
            text[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.put_range(&text, at, 20);
    }

    /// Writes text that `marks` do not cover as a JSON string.
    pub(crate) fn put_string(&mut self, text: &[u8]) {
        self.put(b"\"");
        let mut done = 0;
        loop {
            let special = escape::find_special(text, done);
            self.put_range(text, done, special);
            let Some(&byte) = text.get(special) else {
                break;
            };
            self.put_escape(byte);
            done = special + 1;
        }
        self.put(b"\"");
    }

    /// Writes `text[start..end]`, which `marks` cover, as a JSON string.
    #[inline(always)]
    pub(crate) fn put_marked(&mut self, text: &[u8], start: usize, end: usize, marks: &Marks) {
        let n = end.wrapping_sub(start);
        // Most are short and clean: quotes and text are written at once.
        if n <= BLOCK
            && marks.is_clean(start, n)
            && let Some(block) = text.get(start..).and_then(<[u8]>::first_chunk::<BLOCK>)
            && let Some(to) = self.next::<{ BLOCK + 2 }>()
        {
            to[0] = b'"';
            to[1..=BLOCK].copy_from_slice(block);
            to[n + 1] = b'"';
            self.len += n + 2;
        } else {
            self.put_marked_long(text, start, end, marks);
        }
    }

    #[inline(never)]
    fn put_marked_long(&mut self, text: &[u8], start: usize, end: usize, marks: &Marks) {
        self.put(b"\"");
        let mut done = start;
        loop {
            let special = marks.next(done, end);
            self.put_range(text, done, special);
            if special >= end {
                break;
            }
            self.put_escape(text.get(special).copied().unwrap_or_default());
            done = special + 1;
        }
        self.put(b"\"");
    }

    #[inline]
    fn put_escape(&mut self, byte: u8) {
        match byte {
            b'"' => self.put(b"\\\""),
            b'\\' => self.put(b"\\\\"),
            b'\n' => self.put(b"\\n"),
            b'\r' => self.put(b"\\r"),
            b'\t' => self.put(b"\\t"),
            _ => self.put(&escape::control(byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_page_holds_what_a_vec_would(pieces in prop::collection::vec((".{0,90}|[\"\\\\\\x00-\\x1fa]{0,40}", any::<u64>(), any::<bool>()), 0..12)) {
            let (mut page, mut plain) = (Page::default(), Vec::new());
            page.put(b"left over from before");
            page.clear();
            for (text, number, is_kept) in &pieces {
                let (n_page, n_plain) = (page.len(), plain.len());
                let padded = format!("<{text}>");
                page.put_range(padded.as_bytes(), 1, 1 + text.len());
                plain.extend_from_slice(text.as_bytes());
                page.put_string(text.as_bytes());
                escape::append_string(&mut plain, text.as_bytes());
                let mut marks = Marks::default();
                marks.look(padded.as_bytes());
                page.put_marked(padded.as_bytes(), 1, 1 + text.len(), &marks);
                escape::append_string(&mut plain, text.as_bytes());
                page.put(b"\",");
                page.put_number(*number);
                plain.extend_from_slice(format!("\",{number}").as_bytes());
                if !is_kept {
                    page.truncate(n_page);
                    plain.truncate(n_plain);
                }
            }
            prop_assert_eq!(page.text(), plain);
        }
    }

    #[test]
    fn a_range_that_is_none_writes_nothing() {
        let mut page = Page::default();
        page.put_range(b"ab", 1, 5);
        page.put_range(b"ab", 2, 1);
        assert_eq!(page.text(), b"");
    }
}
