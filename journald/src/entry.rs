//! One entry, in memory that the next one uses again.

use crate::cursor::Position;
use std::ops::Range;

/// An entry of the journal. Kept and passed again, it costs no memory for the next entry.
#[derive(Debug, Default)]
pub struct Entry {
    /// Where it stands, and when it was written.
    pub position: Position,
    /// Fields that could not be read: damaged, or compressed with xz.
    pub unreadable: u32,
    bytes: Vec<u8>,
    fields: Vec<Span>,
}

#[derive(Debug)]
struct Span {
    name: Range<usize>,
    value: Range<usize>,
    is_cut: bool,
}

/// A field of an entry. Names may come more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Upper case letters, digits and underscores. One underscore in front: journald vouches for it.
    pub name: &'a [u8],
    /// Any bytes.
    pub value: &'a [u8],
    /// The value was longer than asked for.
    pub is_cut: bool,
}

impl Entry {
    pub(crate) fn begin(&mut self, position: Position) {
        self.position = position;
        self.unreadable = 0;
        self.bytes.clear();
        // One large entry must not raise memory for ever.
        self.bytes.shrink_to(64 << 10);
        self.fields.clear();
    }

    /// The buffer to append a field to; `end_field` makes it one.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn end_field(&mut self, from: usize, name: usize, is_cut: bool) {
        self.fields.push(Span {
            name: from..from + name,
            value: from + name + 1..self.bytes.len(),
            is_cut,
        });
    }

    /// Its fields that were asked for, in the order of the file.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(|span| Field {
            name: self.bytes.get(span.name.clone()).unwrap_or_default(),
            value: self.bytes.get(span.value.clone()).unwrap_or_default(),
            is_cut: span.is_cut,
        })
    }

    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<Field<'_>> {
        self.fields().find(|field| field.name == name.as_bytes())
    }
}
