//! Where a text needs care, and where its spaces are: each byte is looked at once, and what was
//! seen serves all that come after. A byte needs care that cannot stand in a JSON string as it is:
//! a quote, a backslash, a control character. Strings of JSON end at the next one, fields are
//! escaped where there is one; patterns end their holes at spaces and quotes.
//!
//! Benchmark: `json` and `nginx` of `make bench-rules`. Plain twins: `escape::find_special`,
//! `memchr`.

use crate::escape;

/// What was seen of a text.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// A bit for each byte that needs care.
    special: Vec<u64>,
    /// A bit for each space.
    spaces: Vec<u64>,
    /// Length of the text.
    n: usize,
    /// No byte is above ASCII.
    pub(crate) is_ascii: bool,
}

impl Marks {
    /// Looks at a text, instead of the one before.
    pub(crate) fn look(&mut self, text: &[u8]) {
        self.special.clear();
        self.spaces.clear();
        self.n = text.len();
        let (blocks, rest) = text.as_chunks::<64>();
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        self.special.reserve(blocks.len() + 2);
        self.spaces.reserve(blocks.len() + 1);
        let mut high = 0;
        for block in blocks.iter().chain([&last]) {
            let seen = Seen::of_64(block);
            self.special.push(seen.special);
            self.spaces.push(seen.spaces);
            high |= seen.high;
        }
        // For [`Marks::is_clean`].
        self.special.push(0);
        self.is_ascii = high == 0;
    }

    /// Whether all of a text up to `end` was looked at.
    #[inline(always)]
    pub(crate) fn cover(&self, end: usize) -> bool {
        end <= self.n
    }

    /// The first byte of `from..end` that needs care, or `end`.
    #[inline(always)]
    pub(crate) fn next(&self, from: usize, end: usize) -> usize {
        next_bit(&self.special, from, end)
    }

    /// Whether none of the `n` bytes from `start` on needs care, of at most 63.
    #[inline(always)]
    pub(crate) fn is_clean(&self, start: usize, n: usize) -> bool {
        let Some([low, high]) = self
            .special
            .get(start / 64..)
            .and_then(<[u64]>::first_chunk)
        else {
            return false;
        };
        let shift = start % 64;
        let bits = low >> shift | high << 1 << (63 - shift);
        bits & ((1 << n) - 1) == 0
    }

    /// The first `byte` of `text[from..end]`; `text` is the one that was looked at, or that with
    /// more behind it.
    #[inline(always)]
    pub(crate) fn find(&self, text: &[u8], byte: u8, from: usize, end: usize) -> Option<usize> {
        let found = match byte {
            b' ' if end <= self.n => next_bit(&self.spaces, from, end),
            b'"' if end <= self.n => {
                let mut at = self.next(from, end);
                while at < end && text.get(at) != Some(&b'"') {
                    at = self.next(at + 1, end);
                }
                at
            }
            _ => return Some(from + memchr::memchr(byte, text.get(from..end)?)?),
        };
        (found < end).then_some(found)
    }

    /// As [`escape::find_special`], for the text that was looked at, to which more may have been
    /// appended since.
    #[inline(always)]
    pub(crate) fn find_special(&self, text: &[u8], from: usize) -> usize {
        if from < self.n {
            self.next(from, self.n)
        } else {
            escape::find_special(text, from)
        }
    }
}

/// Whether `literal` stands at a place. A few bytes: a loop, not a call.
#[inline(always)]
pub(crate) fn is_at(text: &[u8], at: usize, literal: &[u8]) -> bool {
    let text = text.get(at..).unwrap_or_default();
    text.len() >= literal.len() && literal.iter().zip(text).all(|(a, b)| a == b)
}

/// The first bit set of `from..end`, or `end`.
#[inline(always)]
fn next_bit(words: &[u64], from: usize, end: usize) -> usize {
    let mut word = from / 64;
    let mut bits = words.get(word).copied().unwrap_or_default() & (u64::MAX << (from % 64));
    while bits == 0 {
        word += 1;
        if word * 64 >= end {
            return end;
        }
        bits = words.get(word).copied().unwrap_or_default();
    }
    (word * 64 + bits.trailing_zeros() as usize).min(end)
}

/// What was seen of some bytes: a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen<T> {
    special: T,
    spaces: T,
    /// Not 0: some byte is above ASCII.
    high: u32,
}

impl Seen<u64> {
    #[inline(always)]
    fn of_64(block: &[u8; 64]) -> Self {
        let (mut special, mut spaces, mut high) = (0, 0, 0);
        for (i, part) in block.as_chunks::<16>().0.iter().enumerate() {
            let seen = Seen::of_16(part);
            special |= u64::from(seen.special) << (16 * i);
            spaces |= u64::from(seen.spaces) << (16 * i);
            high |= seen.high;
        }
        Seen {
            special,
            spaces,
            high,
        }
    }
}

impl Seen<u32> {
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    #[expect(
        unsafe_code,
        reason = "instructions that every x86-64 has are called so"
    )]
    fn of_16(part: &[u8; 16]) -> Self {
        // SAFETY: SSE2 belongs to x86-64 itself; nothing but values is handled.
        unsafe { Seen::of_16_sse2(part) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "sse2")]
    #[inline]
    fn of_16_sse2(part: &[u8; 16]) -> Self {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
            _mm_set1_epi8,
        };
        let [low, high] = halves(part).map(|half| half as i64);
        let bytes = _mm_set_epi64x(high, low);
        let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let slashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let last_control = _mm_set1_epi8(0x1f);
        let controls = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
        let special = _mm_or_si128(_mm_or_si128(quotes, slashes), controls);
        let spaces = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b' ' as i8));
        Seen {
            special: _mm_movemask_epi8(special) as u32,
            spaces: _mm_movemask_epi8(spaces) as u32,
            high: _mm_movemask_epi8(bytes) as u32,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    fn of_16(part: &[u8; 16]) -> Self {
        Seen::of_16_plain(part)
    }

    /// Eight bytes a step: for processors of other makes, and to check the above.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn of_16_plain(part: &[u8; 16]) -> Self {
        let [low, high] = halves(part);
        let both = |bits: fn(u64) -> u32| bits(low) | bits(high) << 8;
        let high = low | high;
        Seen {
            special: both(escape::special_bits),
            spaces: both(|word| escape::equal_bits(word, b' ')),
            high: u32::from(high & 0x8080_8080_8080_8080 != 0),
        }
    }
}

#[inline(always)]
fn halves(part: &[u8; 16]) -> [u64; 2] {
    let whole = u128::from_le_bytes(*part);
    [whole as u64, (whole >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marks_are_what_a_plain_search_finds(text in prop::collection::vec(prop_oneof![9 => 0x20u8..=255, 1 => any::<u8>()], 0..300), from in 0usize..300) {
            let mut marks = Marks::default();
            marks.look(b"\"another\"");
            marks.look(&text);
            let from = from.min(text.len());
            prop_assert_eq!(marks.find_special(&text, from), escape::find_special(&text, from));
            prop_assert_eq!(marks.is_ascii, text.is_ascii());
            let end = from + (text.len() - from) / 2;
            prop_assert_eq!(marks.next(from, end), escape::find_special(&text[..end], from));
            let n = (end - from).min(63);
            prop_assert_eq!(marks.is_clean(from, n), marks.next(from, from + n) == from + n);
        }

        #[test]
        fn a_byte_is_found_where_it_is(text in "[a \"\\\\é]{0,200}", byte in prop::sample::select(b"a \"".to_vec()), n in 0usize..250, from in 0usize..200) {
            let text = text.as_bytes();
            let from = from.min(text.len());
            let mut marks = Marks::default();
            marks.look(&text[..n.min(text.len())]);
            let found = text[from..].iter().position(|b| *b == byte).map(|at| from + at);
            prop_assert_eq!(marks.find(text, byte, from, text.len()), found);
        }

        #[test]
        fn vectors_see_what_words_see(part in any::<[u8; 16]>()) {
            let (seen, mut plain) = (Seen::of_16(&part), Seen::of_16_plain(&part));
            prop_assert_eq!(seen.high != 0, plain.high != 0);
            plain.high = seen.high;
            prop_assert_eq!(seen, plain);
        }
    }
}
