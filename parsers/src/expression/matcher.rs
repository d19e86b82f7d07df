//! Runs a [`Program`]: searches for bytes where an automaton would look at each of them.
//!
//! Goes back where it took a wrong way, as Perl would, and so finds what the `regex` crate finds.
//! Its work is bounded by the length of the text: beyond the bound, and for the rare things it
//! does not know (repetitions counted over characters above ASCII), it gives up, and the caller
//! asks the `regex` crate.

use super::program::{Class, Node, Program, Run};

/// It cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GivesUp;

/// Memory for matching, of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) slots: Vec<u32>,
    stack: Vec<Back>,
}

/// Where to go on when the way taken leads nowhere.
#[derive(Debug, Clone, Copy)]
enum Back {
    /// The other way of a split.
    Way { node: u32, at: u32 },
    /// A position noted before.
    Slot { slot: u32, at: u32 },
    /// A shorter run: it may end from `least` up to below `end`.
    Shorter { node: u32, least: u32, end: u32 },
    /// A longer run than up to `at`.
    Longer { node: u32, at: u32 },
}

/// No position.
pub(super) const NONE: u32 = u32::MAX;

/// Work allowed: a step counts 1, eight bytes searched count 1.
fn budget(text: &[u8]) -> usize {
    256 + 8 * text.len()
}

impl Program {
    /// Looks for the expression in valid UTF-8; on success the groups are in `scratch.slots`.
    ///
    /// # Errors
    ///
    /// When it cannot tell.
    #[inline]
    pub(super) fn find(&self, text: &[u8], scratch: &mut Scratch) -> Result<bool, GivesUp> {
        let mut budget = budget(text);
        if self.is_anchored {
            return self.find_at(text, 0, scratch, &mut budget);
        }
        let mut at = 0;
        while at <= text.len() {
            if let Some(byte) = self.first.only {
                match memchr::memchr(byte, &text[at..]) {
                    Some(skipped) => at += skipped,
                    None => return Ok(false),
                }
            }
            let is_boundary = text.get(at).is_none_or(|b| b & 0xC0 != 0x80);
            if is_boundary
                && self.first.fits(text, at)
                && self.find_at(text, at, scratch, &mut budget)?
            {
                return Ok(true);
            }
            at += 1;
        }
        Ok(false)
    }

    fn find_at(
        &self,
        text: &[u8],
        start: usize,
        scratch: &mut Scratch,
        budget: &mut usize,
    ) -> Result<bool, GivesUp> {
        let Scratch { slots, stack } = scratch;
        slots.clear();
        slots.resize(self.n_slots, NONE);
        stack.clear();
        let (mut node, mut at) = (0, start);
        loop {
            *budget = budget.checked_sub(1).ok_or(GivesUp)?;
            let fits = match &self.nodes[node] {
                Node::Literal(literal) => {
                    let fits = text[at..].starts_with(literal);
                    at += literal.len();
                    node += 1;
                    fits
                }
                Node::Run(run) => match run.begin(text, at, budget)? {
                    None => false,
                    Some((end, back)) => {
                        if let Some(least) = back {
                            stack.push(if run.is_greedy {
                                Back::Shorter {
                                    node: node as u32,
                                    least: least as u32,
                                    end: end as u32,
                                }
                            } else {
                                Back::Longer {
                                    node: node as u32,
                                    at: end as u32,
                                }
                            });
                        }
                        at = end;
                        node += 1;
                        true
                    }
                },
                Node::Save(slot) => {
                    // Without another way there is nothing to go back to.
                    if !stack.is_empty() {
                        stack.push(Back::Slot {
                            slot: *slot as u32,
                            at: slots[*slot],
                        });
                    }
                    slots[*slot] = at as u32;
                    node += 1;
                    true
                }
                Node::Split(split) => {
                    let first = split.ahead[0].fits(text, at);
                    let second = split.ahead[1].fits(text, at);
                    if first && second {
                        stack.push(Back::Way {
                            node: split.ways[1] as u32,
                            at: at as u32,
                        });
                    }
                    node = split.ways[usize::from(!first)];
                    first || second
                }
                Node::Jump(to) => {
                    node = *to;
                    true
                }
                Node::Start => {
                    node += 1;
                    at == 0
                }
                Node::End => {
                    node += 1;
                    at == text.len()
                }
                Node::WordBoundary(wanted) => {
                    node += 1;
                    is_word_boundary(text, at)? == *wanted
                }
                Node::Match => return Ok(true),
            };
            if fits {
                continue;
            }
            // Back to the latest other way.
            loop {
                match stack.pop() {
                    None => return Ok(false),
                    Some(Back::Slot { slot, at }) => slots[slot as usize] = at,
                    Some(Back::Way {
                        node: to,
                        at: position,
                    }) => {
                        (node, at) = (to as usize, position as usize);
                        break;
                    }
                    Some(Back::Shorter {
                        node: of,
                        least,
                        end,
                    }) => {
                        let Node::Run(run) = &self.nodes[of as usize] else {
                            continue;
                        };
                        let found = run.shorter(text, least as usize, end as usize, budget)?;
                        let Some(shorter) = found else { continue };
                        if shorter > least as usize {
                            let end = shorter as u32;
                            stack.push(Back::Shorter {
                                node: of,
                                least,
                                end,
                            });
                        }
                        (node, at) = (of as usize + 1, shorter);
                        break;
                    }
                    Some(Back::Longer { node: of, at: from }) => {
                        let Node::Run(run) = &self.nodes[of as usize] else {
                            continue;
                        };
                        let found = run.longer(text, from as usize, budget)?;
                        let Some(longer) = found else { continue };
                        let position = longer as u32;
                        stack.push(Back::Longer {
                            node: of,
                            at: position,
                        });
                        (node, at) = (of as usize + 1, longer);
                        break;
                    }
                }
            }
        }
    }
}

/// Takes the bytes that a search has looked at off the budget.
#[inline(always)]
fn pay(budget: &mut usize, n_bytes: usize) -> Result<(), GivesUp> {
    *budget = budget.checked_sub(n_bytes / 8).ok_or(GivesUp)?;
    Ok(())
}

impl Run {
    /// The preferred end of a run from `at` on after which the rest may match, and, when another
    /// end may be tried later, the least one.
    #[inline]
    fn begin(
        &self,
        text: &[u8],
        at: usize,
        budget: &mut usize,
    ) -> Result<Option<(usize, Option<usize>)>, GivesUp> {
        if !self.is_greedy {
            return self.begin_lazy(text, at, budget);
        }
        let (least, end) = if self.min <= 1 && self.max == usize::MAX {
            let end = at + self.class.length(text.get(at..).unwrap_or_default());
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
            let most = self.max.min(text.len() - at);
            let n = self
                .class
                .counted(text.get(at..at + most).unwrap_or_default())?;
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
    fn shorter(
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
                    self.after.bytes[usize::from(*byte)]
                }
            }),
        };
        pay(budget, range.len() - found.unwrap_or_default())?;
        Ok(found.map(|found| least + found))
    }

    fn begin_lazy(
        &self,
        text: &[u8],
        at: usize,
        budget: &mut usize,
    ) -> Result<Option<(usize, Option<usize>)>, GivesUp> {
        if self.max != usize::MAX {
            // The count goes on from one try to the next: too rare to be worth it.
            return Err(GivesUp);
        }
        let mut least = at;
        for _ in 0..self.min {
            if !self.class.has(text, least) {
                return Ok(None);
            }
            least += width(text, least);
        }
        if self.after.fits(text, least) {
            return Ok(Some((least, Some(least))));
        }
        let longer = self.longer(text, least, budget)?;
        Ok(longer.map(|longer| (longer, Some(longer))))
    }

    /// The shortest end beyond `from` after which the rest may match.
    fn longer(
        &self,
        text: &[u8],
        from: usize,
        budget: &mut usize,
    ) -> Result<Option<usize>, GivesUp> {
        let mut at = from;
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
    /// Bytes that the characters of the class take from the beginning of `text` on.
    #[inline(always)]
    fn length(&self, text: &[u8]) -> usize {
        let found = match self.all_but.as_deref() {
            Some([a]) => memchr::memchr(*a, text),
            Some([a, b]) => memchr::memchr2(*a, *b, text),
            Some([a, b, c]) => memchr::memchr3(*a, *b, *c, text),
            _ => text.iter().position(|byte| !self.bytes[usize::from(*byte)]),
        };
        let length = found.unwrap_or(text.len());
        match self.some {
            Some(_) if length < text.len() => self.length_slow(text, length),
            _ => length,
        }
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
            return self.bytes[usize::from(*byte)];
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

    /// Number of characters of the class that `text` begins with, when they are ASCII.
    #[inline]
    fn counted(&self, text: &[u8]) -> Result<usize, GivesUp> {
        let n = text
            .iter()
            .position(|byte| *byte >= 0x80 || !self.bytes[usize::from(*byte)]);
        match n {
            Some(n) if text[n] >= 0x80 => Err(GivesUp),
            Some(n) => Ok(n),
            None => Ok(text.len()),
        }
    }
}

/// Bytes of the character at a position of valid UTF-8.
#[inline(always)]
fn width(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(0..0x80) | None => 1,
        Some(0x80..0xE0) => 2,
        Some(0xE0..0xF0) => 3,
        Some(0xF0..) => 4,
    }
}

fn is_word_boundary(text: &[u8], at: usize) -> Result<bool, GivesUp> {
    let is_word = |byte: Option<&u8>| match byte {
        None => Ok(false),
        Some(0x80..) => Err(GivesUp),
        Some(byte) => Ok(byte.is_ascii_alphanumeric() || *byte == b'_'),
    };
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    Ok(is_word(before)? != is_word(text.get(at))?)
}
