//! Runs a [`Program`]: searches for bytes where an automaton would look at each of them.
//!
//! Goes back where it took a wrong way, as Perl would, and so finds what the `regex` crate finds.
//! Its work is bounded by the length of the text: beyond the bound, and for the rare things it
//! does not know (repetitions counted over characters above ASCII), it gives up, and the caller
//! asks the `regex` crate.

mod run;

use super::program::{NOWHERE, Node, Program};
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
            if self.starts_line && at > from {
                let rest = text.get(at - 1..).unwrap_or_default();
                let Some(n) = memchr::memchr(b'\n', rest) else {
                    return Ok(false);
                };
                pay(&mut budget, n)?;
                at += n;
            }
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
                Node::StartLine => {
                    node += 1;
                    at == input.from || text.get(at - 1) == Some(&b'\n')
                }
                Node::EndLine => {
                    node += 1;
                    matches!(text.get(at), None | Some(b'\n'))
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
