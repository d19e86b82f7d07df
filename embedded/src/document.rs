//! A document as tantivy takes it: the source as it came, and its values flat, by path.

use std::sync::Arc;

use bytes::Bytes;
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf};
use tantivy::schema::{Field, Value};
use tantivy::{DateTime, Document};

use crate::ids::DocumentId;
use crate::schema::Fields;

/// Text of a document, as a range of its arena.
pub(crate) type Span = std::ops::Range<usize>;

/// A value of one type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Text(Span),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
    /// Nanoseconds since the epoch.
    Date(i64),
}

/// One document.
#[derive(Debug)]
pub(crate) struct LogDocument {
    pub(crate) fields: Fields,
    pub(crate) index: Arc<str>,
    pub(crate) id: DocumentId,
    /// The line as it came; shares the body's memory.
    pub(crate) source: Bytes,
    /// Nanoseconds since the epoch.
    pub(crate) timestamp: i64,
    pub(crate) values: Values,
}

/// What was found in the source.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Holds every piece of text below.
    pub(crate) arena: String,
    pub(crate) texts: Vec<(Field, Span)>,
    pub(crate) marks: Vec<Span>,
    pub(crate) by_path: Vec<(Arc<str>, Scalar)>,
}

impl Values {
    pub(crate) fn push_text(&mut self, text: &str) -> Span {
        let from = self.arena.len();
        self.arena.push_str(text);
        from..self.arena.len()
    }

    fn get(&self, span: &Span) -> &str {
        self.arena.get(span.clone()).unwrap_or_default()
    }
}

/// Which values of a document a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    All,
    /// Those that have terms: words and booleans.
    Words,
}

/// A value as tantivy walks it.
#[derive(Debug, Clone)]
pub(crate) enum DocumentValue<'a> {
    Leaf(ReferenceValueLeaf<'a>),
    Paths(&'a Values, Taken),
}

/// Paths and values of a document.
#[derive(Debug, Clone)]
pub(crate) struct PathsIter<'a> {
    values: &'a Values,
    taken: Taken,
    next: usize,
}

impl<'a> Iterator for PathsIter<'a> {
    type Item = (&'a str, DocumentValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.values.by_path.get(self.next..)?;
        let is_taken = |scalar: &Scalar| {
            self.taken == Taken::All || matches!(scalar, Scalar::Text(_) | Scalar::Bool(_))
        };
        let skipped = rest.iter().position(|(_, scalar)| is_taken(scalar))?;
        let (path, scalar) = rest.get(skipped)?;
        self.next += skipped + 1;
        let leaf = match scalar {
            Scalar::Text(span) => ReferenceValueLeaf::Str(self.values.get(span)),
            Scalar::Signed(value) => ReferenceValueLeaf::I64(*value),
            Scalar::Unsigned(value) => ReferenceValueLeaf::U64(*value),
            Scalar::Float(value) => ReferenceValueLeaf::F64(*value),
            Scalar::Bool(value) => ReferenceValueLeaf::Bool(*value),
            Scalar::Date(nanos) => ReferenceValueLeaf::Date(DateTime::from_timestamp_nanos(*nanos)),
        };
        Some((&**path, DocumentValue::Leaf(leaf)))
    }
}

impl<'a> Value<'a> for DocumentValue<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = PathsIter<'a>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        match self {
            Self::Leaf(leaf) => ReferenceValue::Leaf(leaf.clone()),
            Self::Paths(values, taken) => ReferenceValue::Object(PathsIter {
                values,
                taken: *taken,
                next: 0,
            }),
        }
    }
}

impl Document for LogDocument {
    type Value<'a> = DocumentValue<'a>;
    type FieldsValuesIter<'a> = std::vec::IntoIter<(Field, DocumentValue<'a>)>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        let fields = &self.fields;
        let leaf = DocumentValue::Leaf;
        let mut out = Vec::with_capacity(10 + self.values.texts.len() + self.values.marks.len());
        out.push((fields.index, leaf(ReferenceValueLeaf::Str(&self.index))));
        match &self.id {
            DocumentId::Place(place) => {
                out.push((
                    fields.stream,
                    leaf(ReferenceValueLeaf::Bytes(&place.stream)),
                ));
                out.push((fields.offset, leaf(ReferenceValueLeaf::U64(place.offset))));
                out.push((
                    fields.hash,
                    leaf(ReferenceValueLeaf::U64(place.hash.into())),
                ));
            }
            DocumentId::Named(name) => {
                out.push((fields.id, leaf(ReferenceValueLeaf::Str(name))));
            }
        }
        for mark in &self.values.marks {
            out.push((
                fields.marks,
                leaf(ReferenceValueLeaf::Str(self.values.get(mark))),
            ));
        }
        let timestamp = DateTime::from_timestamp_nanos(self.timestamp);
        out.push((fields.timestamp, leaf(ReferenceValueLeaf::Date(timestamp))));
        for (field, text) in &self.values.texts {
            out.push((*field, leaf(ReferenceValueLeaf::Str(self.values.get(text)))));
        }
        for (field, taken) in [(fields.values, Taken::All), (fields.words, Taken::Words)] {
            out.push((field, DocumentValue::Paths(&self.values, taken)));
        }
        out.push((fields.source, leaf(ReferenceValueLeaf::Bytes(&self.source))));
        out.into_iter()
    }
}
