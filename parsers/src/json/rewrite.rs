//! Writing JSON values that cannot be copied as they are: keys that stand twice or contradict
//! each other, numbers out of range, arrays of unlike values, nesting beyond the limit.
//!
//! Nothing is lost: what has no place under its own name gets another one, what the store cannot
//! hold becomes JSON text in a string. Works on text that [`Walker`](super::Walker) has accepted.

use super::scan::{self, NumberFit, skip_space, skip_value};
use super::{MAX_DEPTH, kinds};
use crate::escape;
use crate::span::Span;
use crate::{Tag, Tags};

/// Whether two different names cannot stand in one object because one is an object in the other:
/// `a` and `a.b`.
fn contain_each_other(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    long.starts_with(short) && long.get(short.len()) == Some(&b'.')
}

/// Whether the store refuses a name, or a part of it between dots.
fn is_refused(name: &[u8]) -> bool {
    name.split(|b| *b == b'.')
        .any(|part| part.trim_ascii().is_empty())
}

/// Whether keys of one object, some with dots, need other names.
pub(crate) fn dots_collide(line: &[u8], keys: &[(Span, u32)]) -> bool {
    let text = |span: Span| {
        line.get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    };
    keys.iter().enumerate().any(|(i, (key, _))| {
        let key = text(*key);
        is_refused(key)
            || keys[..i]
                .iter()
                .any(|(k, _)| contain_each_other(text(*k), key))
    })
}

/// A member of an object under the name it will have.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Range of the name in `names`.
    name: (usize, usize),
    /// Where the value starts and ends; nothing for members of the outermost object.
    value: (usize, usize),
    /// The last number that was put behind another member's name because of this one: for the same
    /// name, and for that of an object in which this one stands. Those below are taken: trying each
    /// of them again would take a time that grows with the cube of the number of members.
    last_suffix: [u32; 2],
}

/// Memory for rewriting, reused for each value.
#[derive(Debug, Default)]
pub(crate) struct Rewriter {
    names: Vec<u8>,
    entries: Vec<Entry>,
    text: Vec<u8>,
    /// What had to be changed since [`Rewriter::start`].
    pub(crate) tags: Tags,
}

impl Rewriter {
    /// Forgets everything of the record before.
    pub(crate) fn start(&mut self) {
        self.names.clear();
        self.entries.clear();
        self.tags = Tags::NONE;
    }

    /// The name under which a member of the outermost object is written, given those named since
    /// [`Rewriter::start`]. `None` when an earlier one has the same name and, as
    /// `is_equal_value` says of its number, the same value.
    pub(crate) fn name_member(
        &mut self,
        key: &[u8],
        is_equal_value: impl Fn(usize) -> bool,
    ) -> Option<(usize, usize)> {
        self.settle(0, key, (0, 0), 1, is_equal_value)
    }

    /// Bytes of a name given by [`Rewriter::name_member`].
    pub(crate) fn name(&self, name: (usize, usize)) -> &[u8] {
        &self.names[name.0..name.1]
    }

    /// Adds an entry to those from `first` on, under a name that goes with theirs.
    fn settle(
        &mut self,
        first: usize,
        key: &[u8],
        value: (usize, usize),
        depth: usize,
        is_equal_value: impl Fn(usize) -> bool,
    ) -> Option<(usize, usize)> {
        let start = self.names.len();
        scan::unescape(&mut self.names, key);
        for byte in &mut self.names[start..] {
            if *byte < 0x20 {
                *byte = b'_';
                self.tags.insert(Tag::JsonKeyChanged);
            }
        }
        let n_dots = memchr::memchr_iter(b'.', &self.names[start..]).count();
        if is_refused(&self.names[start..]) || depth + n_dots > MAX_DEPTH {
            self.replace_dots(start);
            if self.names[start..].trim_ascii().is_empty() {
                self.names.truncate(start);
                self.names.push(b'_');
            }
        }
        let plain_end = self.names.len();
        let mut suffix = 1;
        // The entry that is in the way of the plain name, and how.
        let mut cause = None;
        while let Some((index, is_same)) = self.clash(first, start) {
            if is_same && suffix == 1 && is_equal_value(index) {
                self.names.truncate(start);
                return None;
            }
            let tag = if is_same {
                Tag::JsonDuplicateKeys
            } else {
                Tag::JsonKeyChanged
            };
            self.tags.insert(tag);
            if !is_same && self.names[start..].contains(&b'.') {
                self.replace_dots(start);
                continue;
            }
            if cause.is_none() {
                cause = Some((first + index, usize::from(!is_same)));
                suffix = self.entries[first + index].last_suffix[usize::from(!is_same)];
            }
            suffix += 1;
            self.names.truncate(plain_end);
            self.names.push(b'_');
            let mut digits = itoa::Buffer::new();
            self.names
                .extend_from_slice(digits.format(suffix).as_bytes());
        }
        if let Some((index, how)) = cause {
            self.entries[index].last_suffix[how] = suffix;
        }
        let name = (start, self.names.len());
        self.entries.push(Entry {
            name,
            value,
            last_suffix: [1; 2],
        });
        Some(name)
    }

    fn replace_dots(&mut self, start: usize) {
        self.tags.insert(Tag::JsonKeyChanged);
        for byte in &mut self.names[start..] {
            if *byte == b'.' {
                *byte = b'_';
            }
        }
    }

    /// The first entry from `first` on whose name does not go with the one at the end of `names`,
    /// and whether the names are the same.
    fn clash(&self, first: usize, start: usize) -> Option<(usize, bool)> {
        let name = &self.names[start..];
        self.entries[first..]
            .iter()
            .enumerate()
            .find_map(|(i, entry)| {
                let other = &self.names[entry.name.0..entry.name.1];
                let is_same = other == name;
                (is_same || contain_each_other(other, name)).then_some((i, is_same))
            })
    }

    /// Appends the value at `at`. Members whose value starts at one of `taken` are left out.
    /// `depth`: the level of the keys in it, should it be an object.
    pub(crate) fn append_value(
        &mut self,
        out: &mut Vec<u8>,
        line: &[u8],
        at: usize,
        depth: usize,
        taken: &[u32],
    ) {
        let end = skip_value(line, at);
        let value = line.get(at..end).unwrap_or_default();
        match value.first() {
            Some(b'{') if depth <= MAX_DEPTH => self.append_object(out, line, at, depth, taken),
            Some(b'[') if depth <= MAX_DEPTH => {
                if kinds::are_mixed(kinds_of_array(value)) {
                    self.tags.insert(Tag::JsonMixedArray);
                    escape::append_string(out, value);
                } else {
                    self.append_array(out, line, at, depth, taken);
                }
            }
            Some(b'{' | b'[') => {
                self.tags.insert(Tag::JsonTooDeep);
                escape::append_string(out, value);
            }
            Some(b'"') => self.append_string(out, value),
            Some(b't' | b'f' | b'n') => out.extend_from_slice(value),
            Some(_) => match scan::number(value, 0) {
                Some(number) if number.fit == NumberFit::Fits => out.extend_from_slice(value),
                _ => {
                    self.tags.insert(Tag::JsonNumberAsText);
                    escape::append_string(out, value);
                }
            },
            None => out.extend_from_slice(b"null"),
        }
    }

    /// Appends a JSON string, mended where it is not valid as it stands.
    fn append_string(&mut self, out: &mut Vec<u8>, value: &[u8]) {
        match scan::string(value, 1) {
            Some(string) if !string.needs_care => out.extend_from_slice(value),
            Some(string) => {
                self.text.clear();
                scan::unescape(&mut self.text, &value[1..string.end]);
                escape::append_string(out, &self.text);
            }
            None => escape::append_string(out, value),
        }
    }

    fn append_object(
        &mut self,
        out: &mut Vec<u8>,
        line: &[u8],
        open: usize,
        depth: usize,
        taken: &[u32],
    ) {
        let first = self.entries.len();
        let names_before = self.names.len();
        for (key, start, end) in MembersOf::new(line, open) {
            if !taken.contains(&(start as u32))
                && !self.stands_already(first, key, line, start, end)
            {
                self.settle(first, key, (start, end), depth, |_| false);
            }
        }
        out.push(b'{');
        for index in first..self.entries.len() {
            let entry = self.entries[index];
            if index > first {
                out.push(b',');
            }
            let name = &self.names[entry.name.0..entry.name.1];
            let n_dots = memchr::memchr_iter(b'.', name).count();
            escape::append_string(out, name);
            out.push(b':');
            self.append_value(out, line, entry.value.0, depth + 1 + n_dots, taken);
        }
        out.push(b'}');
        self.entries.truncate(first);
        self.names.truncate(names_before);
    }

    /// Whether an entry from `first` on has this very key and value: it need not stand twice.
    fn stands_already(
        &self,
        first: usize,
        key: &[u8],
        line: &[u8],
        start: usize,
        end: usize,
    ) -> bool {
        let value = line.get(start..end);
        self.entries[first..].iter().any(|e| {
            &self.names[e.name.0..e.name.1] == key && line.get(e.value.0..e.value.1) == value
        })
    }

    fn append_array(
        &mut self,
        out: &mut Vec<u8>,
        line: &[u8],
        open: usize,
        depth: usize,
        taken: &[u32],
    ) {
        out.push(b'[');
        let mut at = skip_space(line, open + 1);
        let mut is_first = true;
        while line.get(at).is_some_and(|b| *b != b']') {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            self.append_value(out, line, at, depth + 1, taken);
            at = skip_space(line, skip_value(line, at));
            if line.get(at) == Some(&b',') {
                at = skip_space(line, at + 1);
            }
        }
        out.push(b']');
    }
}

/// The members of an object in text that has been walked: the inside of the key, start and end
/// of the value.
pub(crate) struct MembersOf<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> MembersOf<'a> {
    /// Those of the object whose brace stands at `open`.
    pub(crate) fn new(line: &'a [u8], open: usize) -> Self {
        Self {
            line,
            at: skip_space(line, open + 1),
        }
    }
}

impl<'a> Iterator for MembersOf<'a> {
    type Item = (&'a [u8], usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        scan::word(self.line, self.at, b"\"")?;
        let key = scan::string(self.line, self.at + 1)?;
        let inside = self.line.get(self.at + 1..key.end)?;
        let start = skip_space(self.line, skip_space(self.line, key.end + 1) + 1);
        let end = skip_value(self.line, start);
        self.at = skip_space(self.line, end);
        if self.line.get(self.at) == Some(&b',') {
            self.at = skip_space(self.line, self.at + 1);
        }
        Some((inside, start, end))
    }
}

/// Kinds of the elements of an array, those of arrays in it included, those of objects not.
pub(crate) fn kinds_of_array(array: &[u8]) -> u8 {
    let mut found = 0;
    let mut at = 0;
    while let Some(byte) = array.get(at) {
        match byte {
            b'[' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'{' => found |= kinds::OBJECT,
            b'"' => found |= kinds::STRING,
            b't' | b'f' => found |= kinds::BOOL,
            b'n' => {}
            _ => {
                found |= match scan::number(array, at) {
                    Some(number) if number.fit == NumberFit::Fits => kinds::NUMBER,
                    _ => kinds::NUMBER | kinds::STRING,
                }
            }
        }
        at = skip_value(array, at).max(at + 1);
    }
    found
}
