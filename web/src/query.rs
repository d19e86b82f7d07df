//! The language of the search box: text in, a tree out, and from the tree the store's query or a
//! test of one document.
//!
//! A subset of Lucene's syntax (`docs/api.md` has the cheat sheet). Words beside each other must
//! all hold. Nothing a person can type panics; what cannot be read is an error with its place.

mod dsl;
mod fields;
mod lex;
mod matches;
mod parse;

pub use dsl::to_dsl;
pub use fields::{Alias, aliases, field_for_values, is_text};
pub use matches::{Matcher, highlight_terms};
pub use parse::parse;

pub(crate) use lex::is_plain_word;

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Everything.
    All,
    /// Each must hold.
    And(Vec<Query>),
    /// One must hold.
    Or(Vec<Query>),
    /// Must not hold.
    Not(Box<Query>),
    /// A test of a field, or of the text when there is none.
    Test(Option<String>, Test),
}

/// A test of one value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// There is a value.
    Exists,
    /// The word; in text any of its words, in other fields the whole value.
    Word(String),
    /// Words in this order.
    Phrase(String),
    /// Text with `*` and `?`.
    Wildcard(Vec<Piece>),
    /// A regular expression over the whole value.
    Regex(String),
    /// From and to; `true` when the bound itself is in it.
    Range(Option<(String, bool)>, Option<(String, bool)>),
}

/// A piece of text with wildcards.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// Any characters.
    Any,
    /// One character.
    One,
}

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// A sentence for the person who types.
    pub message: String,
    /// Byte offset of what is wrong.
    pub start: usize,
    /// Its end.
    pub end: usize,
    /// What to write instead.
    pub hint: Option<String>,
}

impl QueryError {
    pub(crate) fn new(range: std::ops::Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            start: range.start,
            end: range.end,
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The number of UTF-16 units before byte `at`: how JavaScript counts.
pub(crate) fn utf16_offset(text: &str, at: usize) -> usize {
    text.char_indices()
        .take_while(|(idx, _)| *idx < at)
        .map(|(_, c)| c.len_utf16())
        .sum()
}

/// The byte at which `units` UTF-16 units end; the end of the text when there are fewer.
pub(crate) fn byte_offset(text: &str, units: usize) -> usize {
    let mut seen = 0;
    for (idx, c) in text.char_indices() {
        if seen >= units {
            return idx;
        }
        seen += c.len_utf16();
    }
    text.len()
}

#[cfg(test)]
mod tests;
