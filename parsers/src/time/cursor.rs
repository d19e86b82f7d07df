//! What times are made of, read from the front of a text.

use super::{NS, clock, two};

/// Reads digits and marks from the front of a time.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) text: &'a [u8],
}

impl Cursor<'_> {
    pub(crate) fn digits(&mut self, n: usize) -> Option<i64> {
        let (digits, rest) = self.text.split_at_checked(n)?;
        let mut number = 0;
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
        }
        self.text = rest;
        Some(number)
    }

    pub(crate) fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (&first, rest) = self.text.split_first()?;
        if !allowed.contains(&first) {
            return None;
        }
        self.text = rest;
        Some(first)
    }

    /// Nanoseconds of a fraction; digits after the ninth are cut off. At least one digit.
    pub(crate) fn fraction(&mut self) -> Option<i64> {
        let n = self.text.iter().take_while(|b| b.is_ascii_digit()).count();
        if n == 0 {
            return None;
        }
        let digits = self.text.get(..n.min(9))?;
        let number = digits
            .iter()
            .fold(0, |ns, digit| ns * 10 + i64::from(digit - b'0'));
        const SCALE: [i64; 10] = [
            NS,
            100_000_000,
            10_000_000,
            1_000_000,
            100_000,
            10_000,
            1000,
            100,
            10,
            1,
        ];
        let ns = number * SCALE.get(digits.len())?;
        self.text = &self.text[n..];
        Some(ns)
    }

    /// ` HH:MM:SS.uuuuuu` and no more, as seconds of the day and nanoseconds.
    pub(super) fn klog_clock(&mut self) -> Option<(i64, i64)> {
        self.byte(b" ")?;
        let second = self.clock()?;
        self.byte(b".")?;
        let micros = self.digits(6)?;
        self.text.is_empty().then_some((second, micros * 1000))
    }

    /// A number of one to `most` digits.
    pub(crate) fn number(&mut self, most: usize) -> Option<i64> {
        let digits = self.text.iter().take(most);
        let n = digits.take_while(|b| b.is_ascii_digit()).count();
        if n == 0 { None } else { self.digits(n) }
    }

    /// As [`Cursor::offset`], where more may follow.
    pub(crate) fn offset_before_more(&mut self) -> Option<i64> {
        let is_more = |b: &u8| !matches!(b, b'0'..=b'9' | b'+' | b'-' | b':' | b'Z' | b'z');
        let n = self
            .text
            .iter()
            .position(is_more)
            .unwrap_or(self.text.len());
        let (own, rest) = self.text.split_at(n);
        let mut cursor = Cursor { text: own };
        let offset = cursor.offset()?;
        if !cursor.text.is_empty() {
            return None;
        }
        self.text = rest;
        Some(offset)
    }

    /// `HH:MM:SS` as seconds of the day.
    pub(super) fn clock(&mut self) -> Option<i64> {
        let (text, rest) = self.text.split_first_chunk::<8>()?;
        if [text[2], text[5]] != *b"::" {
            return None;
        }
        let second = clock(two(text, 0)?, two(text, 3)?, two(text, 6)?)?;
        self.text = rest;
        Some(second)
    }

    /// `Z`, `+02:00`, `+0200`, `+02` as seconds east of Greenwich.
    pub(crate) fn offset(&mut self) -> Option<i64> {
        let sign = match self.byte(b"Zz+-")? {
            b'Z' | b'z' => return Some(0),
            b'+' => 1,
            _ => -1,
        };
        let hours = self.digits(2)?;
        let minutes = if self.text.is_empty() {
            0
        } else {
            self.byte(b":");
            self.digits(2)?
        };
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}
