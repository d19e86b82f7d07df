//! Runs a [`Program`]: searches for bytes where an automaton would look at each of them.
//!
//! Goes back where it took a wrong way, as Perl would, and so finds what the `regex` crate finds.
//! Its work is bounded by the length of the text: beyond the bound, and for the rare things it
//! does not know (repetitions counted over characters above ASCII), it gives up, and the caller
//! asks the `regex` crate.

use super::program::{Class, NOWHERE, Node, Program, Run};
use crate::marks::{Marks, is_at};

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
fn budget(n_bytes: usize) -> usize {
    256 + 8 * n_bytes
}

/// The text that is looked through.
#[derive(Debug, Clone, Copy)]
struct Input<'a> {
    text: &'a [u8],
    /// Where it begins.
    from: usize,
    marks: &'a Marks,
}

impl Program {
    /// Looks for the expression in `text[from..]`, valid UTF-8; on success the groups are in
    /// `scratch.slots`. What stands before `from` does not exist. `marks` are those of the text.
    ///
    /// # Errors
    ///
    /// When it cannot tell.
    #[inline]
    pub(super) fn find(
        &self,
        text: &[u8],
        from: usize,
        marks: &Marks,
        scratch: &mut Scratch,
    ) -> Result<bool, GivesUp> {
        let input = Input { text, from, marks };
        let mut budget = budget(text.len() - from);
        if self.is_anchored {
            return self.find_at(input, from, scratch, &mut budget);
        }
        let mut at = from;
        while at <= text.len() {
            if let Some(byte) = self.first.only {
                match marks.find(text, byte, at, text.len()) {
                    Some(found) => at = found,
                    None => return Ok(false),
                }
            }
            let is_boundary = text.get(at).is_none_or(|b| b & 0xC0 != 0x80);
            if is_boundary
                && self.first.fits(text, at)
                && self.find_at(input, at, scratch, &mut budget)?
            {
                return Ok(true);
            }
            at += 1;
        }
        Ok(false)
    }

    fn find_at(
        &self,
        input: Input<'_>,
        start: usize,
        scratch: &mut Scratch,
        budget: &mut usize,
    ) -> Result<bool, GivesUp> {
        let text = input.text;
        let Scratch { slots, stack } = scratch;
        slots.clear();
        slots.resize(self.n_slots, NONE);
        stack.clear();
        let (mut node, mut at) = (0, start);
        loop {
            *budget = budget.checked_sub(1).ok_or(GivesUp)?;
            let fits = match &self.nodes[node] {
                Node::Literal(literal) => {
                    let fits = is_at(text, at, literal);
                    at += literal.len();
                    node += 1;
                    fits
                }
                Node::Byte(byte) => {
                    let fits = text.get(at) == Some(byte);
                    (at, node) = (at + 1, node + 1);
                    fits
                }
                Node::One(class) => {
                    let byte = text.get(at).copied();
                    let fits = byte.is_some_and(|byte| class.has(byte));
                    at += match byte {
                        Some(0x80..) => width(text, at),
                        _ => 1,
                    };
                    node += 1;
                    fits
                }
                Node::Hole(hole) => {
                    let end = input.marks.find(text, hole.byte, at, text.len());
                    let end = end.unwrap_or(text.len());
                    pay(budget, end - at)?;
                    let fits = end - at >= hole.min && is_at(text, end, &hole.literal);
                    if let Some(slot) = hole.slot {
                        for (slot, at) in [(slot, at), (slot + 1, end)] {
                            if !stack.is_empty() {
                                stack.push(Back::Slot {
                                    slot: slot as u32,
                                    at: slots[slot],
                                });
                            }
                            slots[slot] = at as u32;
                        }
                    }
                    at = end + hole.literal.len();
                    node += hole.n_nodes;
                    fits
                }
                Node::Scan(scan) => {
                    let (end, n_seen) = scan.end(text, input.from, at)?;
                    // Also for nothing: else each place of a text might look at all of the rest.
                    pay(budget, n_seen)?;
                    at = end.unwrap_or(at);
                    node += scan.n_nodes;
                    end.is_some()
                }
                Node::Run(run) => match run.begin(input, at, budget)? {
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
                Node::Split(split) if !split.next.is_empty() => {
                    let byte = text.get(at);
                    let kind = byte.map_or(0, |byte| self.kinds[usize::from(*byte)]);
                    let [way, other] = split
                        .next
                        .get(usize::from(kind))
                        .copied()
                        .unwrap_or([NOWHERE; 2]);
                    if other != NOWHERE {
                        stack.push(Back::Way {
                            node: u32::from(other),
                            at: at as u32,
                        });
                    }
                    node = usize::from(way);
                    way != NOWHERE
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
                    at == input.from
                }
                Node::End => {
                    node += 1;
                    at == text.len()
                }
                Node::WordBoundary(wanted) => {
                    node += 1;
                    is_word_boundary(input, at)? == *wanted
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
                        let found = run.longer(input, from as usize, budget)?;
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
    fn longer(
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

fn is_word_boundary(input: Input<'_>, at: usize) -> Result<bool, GivesUp> {
    let is_word = |byte: Option<&u8>| match byte {
        None => Ok(false),
        Some(0x80..) => Err(GivesUp),
        Some(byte) => Ok(byte.is_ascii_alphanumeric() || *byte == b'_'),
    };
    let before = (at > input.from).then(|| input.text.get(at - 1)).flatten();
    Ok(is_word(before)? != is_word(input.text.get(at))?)
}
