//! Where runs of a class of characters end.

use super::super::program::{Class, Run};
use super::{GivesUp, Input, pay, width};

impl Run {
    /// The preferred end of a run from `at` on after which the rest may match, and, when another
    /// end may be tried later, the least one.
    #[inline]
    pub(super) fn begin(
        &self,
        input: Input<'_>,
        at: usize,
        budget: &mut usize,
    ) -> Result<Option<(usize, Option<usize>)>, GivesUp> {
        let text = input.text;
        if !self.is_greedy {
            return self.begin_lazy(input, at, budget);
        }
        let (least, end) = if self.min <= 1 && self.max == usize::MAX {
            let end = self.class.end(input, at);
            pay(budget, end - at)?;
            if self.min == 1 {
                if end == at {
                    return Ok(None);
                }
                (at + width(text, at), end)
            } else {
                (at, end)
            }
        } else {
            let n = self
                .class
                .counted(text.get(at..).unwrap_or_default(), self.max)?;
            pay(budget, n)?;
            if n < self.min {
                return Ok(None);
            }
            (at + self.min, at + n)
        };
        if self.is_exclusive {
            return Ok(self.after.fits(text, end).then_some((end, None)));
        }
        if self.after.fits(text, end) {
            return Ok(Some((end, (end > least).then_some(least))));
        }
        if end == least {
            return Ok(None);
        }
        let shorter = self.shorter(text, least, end, budget)?;
        Ok(shorter.map(|shorter| (shorter, (shorter > least).then_some(least))))
    }

    /// The longest end from `least` up to below `end` after which the rest may match.
    pub(super) fn shorter(
        &self,
        text: &[u8],
        least: usize,
        end: usize,
        budget: &mut usize,
    ) -> Result<Option<usize>, GivesUp> {
        let range = text.get(least..end).unwrap_or_default();
        let found = match self.after.only {
            Some(byte) => memchr::memrchr(byte, range),
            None => range.iter().rposition(|byte| {
                if self.after.any {
                    byte & 0xC0 != 0x80
                } else {
                    self.after.bytes.has(*byte)
                }
            }),
        };
        pay(budget, range.len() - found.unwrap_or_default())?;
        Ok(found.map(|found| least + found))
    }

    fn begin_lazy(
        &self,
        input: Input<'_>,
        at: usize,
        budget: &mut usize,
    ) -> Result<Option<(usize, Option<usize>)>, GivesUp> {
        let text = input.text;
        if self.max != usize::MAX {
            // The count goes on from one try to the next: too rare to be worth it.
            return Err(GivesUp);
        }
        let mut least = at;
        pay(budget, self.min)?;
        for _ in 0..self.min {
            if !self.class.has(text, least) {
                return Ok(None);
            }
            least += width(text, least);
        }
        if self.after.fits(text, least) {
            return Ok(Some((least, Some(least))));
        }
        let longer = self.longer(input, least, budget)?;
        Ok(longer.map(|longer| (longer, Some(longer))))
    }

    /// The shortest end beyond `from` after which the rest may match.
    pub(super) fn longer(
        &self,
        input: Input<'_>,
        from: usize,
        budget: &mut usize,
    ) -> Result<Option<usize>, GivesUp> {
        let text = input.text;
        let mut at = from;
        if let Some(stops) = &self.stops {
            // One look-up a byte, past the first character.
            if !self.class.has(text, at) {
                return Ok(None);
            }
            let before = at;
            at += width(text, at);
            at = match self.after.only {
                // The next one, if what is before it is in the class.
                Some(byte) if self.class.marked == Some(false) => {
                    let end = self.class.marked_end(input, at, false);
                    // It was looked at up to here, however near the byte is.
                    pay(budget, end - at)?;
                    input.marks.find(text, byte, at, end).unwrap_or(end)
                }
                _ => {
                    let rest = text.get(at..).unwrap_or_default();
                    let n = rest.iter().position(|byte| stops.has(*byte));
                    at + n.unwrap_or(rest.len())
                }
            };
            pay(budget, 8 + at - before)?;
            return Ok(self.after.fits(text, at).then_some(at));
        }
        while self.class.has(text, at) {
            at += width(text, at);
            *budget = budget.checked_sub(1).ok_or(GivesUp)?;
            if self.after.fits(text, at) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

impl Class {
    /// Where the characters of the class that stand from `at` on end.
    #[inline(always)]
    fn end(&self, input: Input<'_>, at: usize) -> usize {
        let text = input.text;
        let rest = text.get(at..).unwrap_or_default();
        let found = match self.all_but.as_deref() {
            Some([a]) => {
                return input
                    .marks
                    .find(text, *a, at, text.len())
                    .unwrap_or(text.len());
            }
            Some([a, b]) => memchr::memchr2(*a, *b, rest),
            Some([a, b, c]) => memchr::memchr3(*a, *b, *c, rest),
            _ => rest.iter().position(|byte| !self.bytes.has(*byte)),
        };
        let length = found.unwrap_or(rest.len());
        match self.some {
            Some(_) if length < rest.len() => at + self.length_slow(rest, length),
            _ => at + length,
        }
    }

    /// As [`Class::end`], when [`Class::marked`].
    #[inline(always)]
    fn marked_end(&self, input: Input<'_>, at: usize, has_space: bool) -> usize {
        let (text, marks) = (input.text, input.marks);
        let mut end = text.len();
        if has_space {
            end = marks.find(text, b' ', at, end).unwrap_or(end);
        }
        let mut special = marks.find_special(text, at);
        while special < end {
            match text.get(special) {
                Some(byte) if self.bytes.has(*byte) => {
                    special = marks.find_special(text, special + 1);
                }
                _ => end = special,
            }
        }
        end
    }

    fn length_slow(&self, text: &[u8], mut at: usize) -> usize {
        while self.has(text, at) {
            at += width(text, at);
        }
        at
    }

    /// Whether a character of the class stands at a position.
    #[inline]
    fn has(&self, text: &[u8], at: usize) -> bool {
        let Some(byte) = text.get(at) else {
            return false;
        };
        if *byte < 0x80 || self.some.is_none() {
            return self.bytes.has(*byte);
        }
        let rest = text.get(at..at + width(text, at)).unwrap_or_default();
        let c = std::str::from_utf8(rest)
            .ok()
            .and_then(|rest| rest.chars().next());
        let ranges = self.some.as_deref().unwrap_or_default();
        c.is_some_and(|c| {
            ranges
                .iter()
                .any(|(start, end)| (*start..=*end).contains(&c))
        })
    }

    /// Number of characters of the class, `most` at most, that `text` begins with, when they are
    /// ASCII.
    #[inline(always)]
    fn counted(&self, text: &[u8], most: usize) -> Result<usize, GivesUp> {
        let mut n = 0;
        while n < most
            && let Some(byte) = text.get(n)
        {
            if *byte >= 0x80 {
                return Err(GivesUp);
            }
            if !self.bytes.has(*byte) {
                break;
            }
            n += 1;
        }
        Ok(n)
    }
}
