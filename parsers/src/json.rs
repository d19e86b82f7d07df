//! JSON lines: one walk over the text, without a tree.
//!
//! [`Walker::walk`] checks that a line is one JSON object and notes where the members of the
//! outermost object stand. Of everything below it notes only whether the value can be copied as
//! it is into a document; what cannot (`dirty`) is written by [`rewrite`], the slow and rare way.
//!
//! More lenient than RFC 8259 where real programs are: control characters within strings, and
//! Python's `NaN` and `Infinity`. What is not accepted is a plain line, not an error.

pub(crate) mod rewrite;
pub(crate) mod scan;

use crate::Tag;
use crate::ecs::key_hash;
use crate::escape;
use crate::marks::Marks;
use crate::span::Span;
use scan::{NumberFit, skip_space};

/// Most keys of a line outside arrays. An index holds 1,000 fields by default.
pub(crate) const MAX_FIELDS: usize = 256;
/// Most keys of a line within arrays: those repeat the same fields.
pub(crate) const MAX_KEYS_IN_ARRAYS: usize = 4096;
/// Deepest nesting that is kept as objects. The store's default limit is 20 and counts the
/// document and `attributes`, too; a dot in a key counts as a level, as it does for the store.
pub(crate) const MAX_DEPTH: usize = 19;
/// Longest key in bytes.
pub(crate) const MAX_KEY: usize = 512;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// A JSON string with its quotes.
    String,
    /// A JSON number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
    /// Not JSON: text that is still to be quoted and escaped.
    Text,
}

/// A name and a value, candidates for a field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    /// The key as it stands between its quotes.
    pub(crate) key: Span,
    pub(crate) hash: u32,
    pub(crate) value: Span,
    pub(crate) kind: ValueKind,
    /// The value cannot be copied as it is.
    pub(crate) dirty: bool,
    /// The value went to a field of its own.
    pub(crate) taken: bool,
}

impl Member {
    fn starting_at(key: Span, hash: u32) -> Member {
        let (value, kind) = (Span::EMPTY, ValueKind::Null);
        Member {
            key,
            hash,
            value,
            kind,
            dirty: false,
            taken: false,
        }
    }
}

/// Why a line is not taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not one JSON object.
    NotAnObject,
    /// It is, but a limit is passed.
    Limit(Tag),
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    is_object: bool,
    /// First of this object's keys in `keys`.
    keys: u32,
    /// A bit for each key's hash: a clear bit proves the key new.
    bloom: u64,
    /// Kinds of an array's elements, those of arrays in it included.
    kinds: u8,
    /// Some key has a dot.
    has_dots: bool,
    /// Level of the keys in it, from 1.
    depth: u16,
    /// Dots in the latest key.
    dots: u16,
}

/// Kinds of array elements that a store's field cannot mix.
pub(crate) mod kinds {
    pub(crate) const OBJECT: u8 = 1;
    pub(crate) const STRING: u8 = 2;
    pub(crate) const NUMBER: u8 = 4;
    pub(crate) const BOOL: u8 = 8;

    pub(crate) fn are_mixed(kinds: u8) -> bool {
        kinds.count_ones() > 1
    }
}

/// Memory for walking, reused for each line.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    frames: Vec<Frame>,
    keys: Vec<(Span, u32)>,
    /// The outermost object's own keys need care (twice, dots, escapes).
    pub(crate) keys_dirty: bool,
}

/// What stands next in the text.
#[derive(Debug, Clone, Copy)]
enum Next {
    FirstKeyOrEnd,
    Key,
    Value,
    CommaOrEnd,
}

impl Walker {
    /// Walks the object that the range `from..` of `line` is, appending its members. `marks` are
    /// those of the record's text, which `line` is or begins with.
    ///
    /// # Errors
    ///
    /// When the text is not one JSON object or passes a limit; `members` then holds leftovers.
    pub(crate) fn walk(
        &mut self,
        line: &[u8],
        from: usize,
        marks: &Marks,
        members: &mut Vec<Member>,
    ) -> Result<(), Refused> {
        self.frames.clear();
        self.keys.clear();
        self.keys_dirty = false;
        self.run(line, from, marks, members)
            .unwrap_or(Err(Refused::NotAnObject))
    }

    /// `None`: not JSON.
    #[inline]
    fn run(
        &mut self,
        line: &[u8],
        from: usize,
        marks: &Marks,
        members: &mut Vec<Member>,
    ) -> Option<Result<(), Refused>> {
        let mut at = scan::word(line, skip_space(line, from), b"{")?;
        self.push_frame(true);
        let mut next = Next::FirstKeyOrEnd;
        let mut n_keys = [0; 2];
        let mut n_arrays_open = 0usize;
        // Past a limit the rest is only checked for being JSON at all.
        let mut limit = None;
        // The member of the outermost object that is being walked.
        let mut member = Member::starting_at(Span::EMPTY, 0);
        loop {
            at = skip_space_noting(line, at, &mut member.dirty);
            let byte = *line.get(at)?;
            match next {
                Next::FirstKeyOrEnd if byte == b'}' => next = Next::CommaOrEnd,
                Next::FirstKeyOrEnd | Next::Key => {
                    if byte != b'"' {
                        return None;
                    }
                    let string = scan::marked_string(line, at + 1, marks)?;
                    let key = Span::line(at + 1, string.end);
                    let hash = key_hash(line.get(at + 1..string.end)?);
                    if string.end - at > MAX_KEY {
                        limit = limit.or(Some(Tag::JsonKeyTooLong));
                    }
                    let in_array = usize::from(n_arrays_open > 0);
                    n_keys[in_array] += 1;
                    if n_keys[in_array] > [MAX_FIELDS, MAX_KEYS_IN_ARRAYS][in_array] {
                        limit = limit.or(Some(Tag::JsonTooManyFields));
                    }
                    let odd = limit.is_none() && self.note_key(line, key, hash, string.is_plain);
                    at = skip_space_noting(line, string.end + 1, &mut member.dirty);
                    at = scan::word(line, at, b":")?;
                    if self.frames.len() == 1 {
                        self.keys_dirty |= odd;
                        member = Member::starting_at(key, hash);
                        at = skip_space(line, at);
                        member.value = Span::line(at, at);
                    } else {
                        member.dirty |= odd;
                    }
                    next = Next::Value;
                }
                Next::Value => {
                    let kind = match byte {
                        b'"' => {
                            let string = scan::marked_string(line, at + 1, marks)?;
                            member.dirty |= string.needs_care;
                            at = string.end + 1;
                            ValueKind::String
                        }
                        b'{' => {
                            member.dirty |= self.push_frame(true);
                            at += 1;
                            next = Next::FirstKeyOrEnd;
                            continue;
                        }
                        b'[' => {
                            member.dirty |= self.push_frame(false);
                            n_arrays_open += 1;
                            at = skip_space_noting(line, at + 1, &mut member.dirty);
                            let is_empty = line.get(at) == Some(&b']');
                            next = if is_empty {
                                Next::CommaOrEnd
                            } else {
                                Next::Value
                            };
                            continue;
                        }
                        b't' => {
                            at = scan::word(line, at, b"true")?;
                            ValueKind::Bool
                        }
                        b'f' => {
                            at = scan::word(line, at, b"false")?;
                            ValueKind::Bool
                        }
                        b'n' => {
                            at = scan::word(line, at, b"null")?;
                            ValueKind::Null
                        }
                        _ => {
                            let number = scan::number(line, at)?;
                            if number.fit != NumberFit::Fits {
                                member.dirty = true;
                                // It becomes text, which does not mix with numbers.
                                self.add_kind(kinds::STRING);
                            }
                            at = number.end;
                            ValueKind::Number
                        }
                    };
                    self.end_value(&mut member, kind, at, limit, members);
                    next = Next::CommaOrEnd;
                }
                Next::CommaOrEnd => {
                    let is_object = self.frames.last()?.is_object;
                    at += 1;
                    match byte {
                        b',' => next = if is_object { Next::Key } else { Next::Value },
                        b'}' if is_object => {
                            let odd = self.pop_frame(line);
                            if self.frames.is_empty() {
                                self.keys_dirty |= odd;
                                break;
                            }
                            member.dirty |= odd;
                            self.end_value(&mut member, ValueKind::Object, at, limit, members);
                        }
                        b']' if !is_object => {
                            n_arrays_open -= 1;
                            member.dirty |= self.pop_frame(line);
                            self.end_value(&mut member, ValueKind::Array, at, limit, members);
                        }
                        _ => return None,
                    }
                }
            }
        }
        if skip_space(line, at) != line.len() {
            return None;
        }
        Some(limit.map_or(Ok(()), |tag| Err(Refused::Limit(tag))))
    }

    /// Notes that a value ended at `end`: of the outermost object, or within one of its members.
    #[inline(always)]
    fn end_value(
        &mut self,
        member: &mut Member,
        kind: ValueKind,
        end: usize,
        limit: Option<Tag>,
        members: &mut Vec<Member>,
    ) {
        if self.frames.len() == 1 {
            if limit.is_none() {
                member.kind = kind;
                member.value.end = end as u32;
                members.push(*member);
            }
            return;
        }
        self.add_kind(match kind {
            ValueKind::String | ValueKind::Text => kinds::STRING,
            ValueKind::Number => kinds::NUMBER,
            ValueKind::Bool => kinds::BOOL,
            ValueKind::Object => kinds::OBJECT,
            ValueKind::Null | ValueKind::Array => 0,
        });
    }

    /// Enters an object or array. True when it is too deep to be kept as one.
    #[inline(always)]
    fn push_frame(&mut self, is_object: bool) -> bool {
        let depth = self
            .frames
            .last()
            .map_or(1, |f| f.depth.saturating_add(1 + f.dots));
        let keys = self.keys.len() as u32;
        self.frames.push(Frame {
            is_object,
            keys,
            bloom: 0,
            kinds: 0,
            has_dots: false,
            depth,
            dots: 0,
        });
        usize::from(depth) > MAX_DEPTH
    }

    #[inline(always)]
    fn add_kind(&mut self, kind: u8) {
        if let Some(frame) = self.frames.last_mut() {
            frame.kinds |= kind;
        }
    }

    /// Notes a key of the innermost object. True when the object needs rewriting for it.
    #[inline(always)]
    fn note_key(&mut self, line: &[u8], span: Span, hash: u32, is_plain: bool) -> bool {
        let Some(frame) = self.frames.last_mut() else {
            return false;
        };
        let mut odd = !is_plain;
        let bit = 1 << (hash & 63);
        if frame.bloom & bit != 0 {
            let text = |s: Span| {
                line.get(s.start as usize..s.end as usize)
                    .unwrap_or_default()
            };
            let siblings = self.keys.get(frame.keys as usize..).unwrap_or_default();
            odd |= siblings
                .iter()
                .any(|(s, h)| *h == hash && text(*s) == text(span));
        }
        frame.bloom |= bit;
        let key = line
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default();
        odd |= matches!(key.first(), None | Some(b' '));
        frame.dots = 0;
        if escape::contains_byte(key, b'.') {
            frame.has_dots = true;
            frame.dots = memchr::memchr_iter(b'.', key).count() as u16;
            odd |= usize::from(frame.depth + frame.dots) > MAX_DEPTH;
        }
        self.keys.push((span, hash));
        odd
    }

    /// Leaves the innermost object or array. True when it cannot be copied as it is.
    #[inline(always)]
    fn pop_frame(&mut self, line: &[u8]) -> bool {
        let Some(frame) = self.frames.pop() else {
            return false;
        };
        let mut odd = false;
        if frame.has_dots {
            let siblings = self.keys.get(frame.keys as usize..).unwrap_or_default();
            odd = rewrite::dots_collide(line, siblings);
        }
        self.keys.truncate(frame.keys as usize);
        if !frame.is_object {
            odd |= kinds::are_mixed(frame.kinds);
            self.add_kind(frame.kinds);
        }
        odd
    }
}

/// [`skip_space`], telling whether a newline was among it: a bulk body is made of lines, so a
/// value with one cannot be copied as it is.
#[inline(always)]
fn skip_space_noting(line: &[u8], at: usize, has_newline: &mut bool) -> usize {
    match line.get(at) {
        Some(b' ' | b'\t' | b'\n' | b'\r') => {
            let end = skip_space(line, at);
            let space = line.get(at..end).unwrap_or_default();
            *has_newline |= space.iter().any(|b| matches!(b, b'\n' | b'\r'));
            end
        }
        _ => at,
    }
}

#[cfg(test)]
mod tests;
