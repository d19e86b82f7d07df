//! Physical lines: where the bytes of a chunk are cut.
//!
//! A line ends behind its `\n`, or after `max_line` bytes when none is among them: by content
//! alone, so that every chunk that holds the line cuts it alike. Nothing is interpreted here.

use memchr::memchr;

/// One physical line as a range of the chunk's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Physical {
    pub(crate) start: usize,
    /// End without the `\n`.
    pub(crate) text_end: usize,
    /// End with the `\n`, where the next line starts.
    pub(crate) end: usize,
    /// There was no `\n` in the first `max_line` bytes.
    pub(crate) cut: bool,
}

/// Iterates over the whole lines of a chunk; what is left at the end is not yet whole.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    bytes: &'a [u8],
    max_line: usize,
    eof: bool,
    at: usize,
}

impl<'a> Lines<'a> {
    /// `eof`: the bytes behind the last `\n` are a whole line, too.
    pub(crate) fn new(bytes: &'a [u8], max_line: usize, eof: bool) -> Self {
        Self {
            bytes,
            max_line: max_line.max(1),
            eof,
            at: 0,
        }
    }

    /// Where the first line starts that has not been given.
    pub(crate) fn consumed(&self) -> usize {
        self.at
    }
}

impl Iterator for Lines<'_> {
    type Item = Physical;

    #[inline]
    fn next(&mut self) -> Option<Physical> {
        let start = self.at;
        let rest = &self.bytes[start..];
        let window = &rest[..rest.len().min(self.max_line)];
        let line = match memchr(b'\n', window) {
            Some(n) => Physical {
                start,
                text_end: start + n,
                end: start + n + 1,
                cut: false,
            },
            None if window.len() == self.max_line => {
                let end = start + window.len();
                Physical {
                    start,
                    text_end: end,
                    end,
                    cut: true,
                }
            }
            None if self.eof && !window.is_empty() => {
                let end = self.bytes.len();
                Physical {
                    start,
                    text_end: end,
                    end,
                    cut: false,
                }
            }
            None => return None,
        };
        self.at = line.end;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8], max_line: usize, eof: bool) -> (Vec<&[u8]>, usize) {
        let mut lines = Lines::new(bytes, max_line, eof);
        let texts = lines
            .by_ref()
            .map(|line| &bytes[line.start..line.text_end])
            .collect();
        (texts, lines.consumed())
    }

    #[test]
    fn lines_end_at_newlines_and_at_the_limit() {
        type Case = (&'static [u8], usize, bool, &'static [&'static [u8]], usize);
        let cases: &[Case] = &[
            (b"", 8, false, &[], 0),
            (b"", 8, true, &[], 0),
            (b"a\nb\n", 8, false, &[b"a", b"b"], 4),
            (b"a\n\nb", 8, false, &[b"a", b""], 3),
            (b"a\n\nb", 8, true, &[b"a", b"", b"b"], 4),
            // The limit counts the line end; cuts do not depend on what is behind them.
            (b"1234567\n", 8, false, &[b"1234567"], 8),
            (b"12345678\n", 8, false, &[b"12345678", b""], 9),
            (b"12345678", 8, false, &[b"12345678"], 8),
            (b"123456789\n", 8, false, &[b"12345678", b"9"], 10),
            (b"123456789", 8, false, &[b"12345678"], 8),
            (b"123456789", 8, true, &[b"12345678", b"9"], 9),
        ];
        for &(bytes, max_line, eof, texts, consumed) in cases {
            assert_eq!(
                cut(bytes, max_line, eof),
                (texts.to_vec(), consumed),
                "{bytes:?} {eof}"
            );
        }
    }
}
