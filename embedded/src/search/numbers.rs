//! Matches documents in which a field has one of several numbers, by the field's column: numbers
//! have no terms (`schema.rs` says why).
//!
//! One whole number is a range with both ends at it, which tantivy reads only as far as other
//! clauses ask. Several, or one of another kind, are looked for in one pass over the column.

use tantivy::columnar::{Cardinality, Column, ColumnType};
use tantivy::query::{
    BitSetDocSet, ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, RangeQuery, Scorer,
    Weight,
};
use tantivy::{
    BitSet, DocId, DocSet as _, Score, SegmentReader, TantivyError, Term, f64_to_u64, i64_to_u64,
};

use crate::schema::{Fields, column};

/// Values that are read from a column at a time.
const BLOCK: usize = 512;

/// A number as a search gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

impl Number {
    /// Reads a number; one without a fraction is whole, as `200.0` finds 200.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(value) = text.parse() {
            return Some(Self::Signed(value));
        }
        if let Ok(value) = text.parse() {
            return Some(Self::Unsigned(value));
        }
        let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
        Some(if value.fract() == 0.0 && value.abs() < 9.0e15 {
            Self::Signed(value as i64)
        } else {
            Self::Float(value)
        })
    }

    pub(crate) fn append_to(self, term: &mut Term) {
        match self {
            Self::Signed(value) => term.append_type_and_fast_value(value),
            Self::Unsigned(value) => term.append_type_and_fast_value(value),
            Self::Float(value) => term.append_type_and_fast_value(value),
        }
    }

    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Signed(value) => value as f64,
            Self::Unsigned(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// The number as a column of this type holds it; `None` when it cannot be there.
    fn in_column(self, kind: ColumnType) -> Option<u64> {
        match (kind, self) {
            (ColumnType::F64, _) => Some(f64_to_u64(self.as_f64())),
            (ColumnType::I64, Self::Signed(value)) => Some(i64_to_u64(value)),
            (ColumnType::U64, Self::Signed(value)) => u64::try_from(value).ok(),
            (ColumnType::U64, Self::Unsigned(value)) => Some(value),
            _ => None,
        }
    }
}

/// Documents in which the field at `path` has one of these numbers.
pub(crate) fn any_of(fields: &Fields, path: &str, numbers: Vec<Number>) -> Box<dyn Query> {
    // Of numbers that a column cannot hold tantivy makes ranges without an end: those are ours.
    if let [number @ Number::Signed(_)] = numbers.as_slice() {
        let mut term = fields.column_term(path);
        number.append_to(&mut term);
        let bound = std::ops::Bound::Included(term);
        return Box::new(RangeQuery::new(bound.clone(), bound));
    }
    Box::new(AnyOf {
        column: column(path),
        numbers,
    })
}

/// Documents in which a column has one of several numbers.
#[derive(Debug, Clone)]
struct AnyOf {
    column: String,
    numbers: Vec<Number>,
}

impl AnyOf {
    /// Adds to `found` the documents that have one of `wanted`, which is sorted.
    fn find(column: &Column<u64>, wanted: &[u64], found: &mut BitSet) {
        let (Some(lowest), Some(highest)) = (wanted.first(), wanted.last()) else {
            return;
        };
        if column.min_value() > *highest || column.max_value() < *lowest {
            return;
        }
        let n_docs = column.num_docs();
        let is_wanted = |value: &u64| {
            (lowest..=highest).contains(&value) && wanted.binary_search(value).is_ok()
        };
        if column.get_cardinality() != Cardinality::Full {
            for doc in 0..n_docs {
                if column.values_for_doc(doc).any(|value| is_wanted(&value)) {
                    found.insert(doc);
                }
            }
            return;
        }
        // Every document has one value: they are read in blocks.
        let mut values = [0; BLOCK];
        let mut docs = 0..n_docs;
        for from in (0..n_docs).step_by(BLOCK) {
            let n_values = BLOCK.min((n_docs - from) as usize);
            let Some(block) = values.get_mut(..n_values) else {
                return;
            };
            column.values.get_range(u64::from(from), block);
            for (value, doc) in block.iter().zip(&mut docs) {
                if is_wanted(value) {
                    found.insert(doc);
                }
            }
        }
    }
}

impl Query for AnyOf {
    fn weight(&self, _scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for AnyOf {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = None;
        for handle in reader.fast_fields().dynamic_column_handles(&self.column)? {
            let kind = handle.column_type();
            let numbers = self.numbers.iter();
            let mut wanted: Vec<u64> = numbers.filter_map(|n| n.in_column(kind)).collect();
            if wanted.is_empty() {
                continue;
            }
            wanted.sort_unstable();
            wanted.dedup();
            if let Some(column) = handle.open_u64_lenient()? {
                let found = found.get_or_insert_with(|| BitSet::with_max_value(reader.max_doc()));
                Self::find(&column, &wanted, found);
            }
        }
        Ok(match found {
            Some(found) => Box::new(ConstScorer::new(BitSetDocSet::from(found), boost)),
            None => Box::new(EmptyScorer),
        })
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(reader, 1.0)?;
        if scorer.seek(doc) == doc {
            Ok(Explanation::new("the field has one of the numbers", 1.0))
        } else {
            Err(TantivyError::InvalidArgument(
                "the document does not match".to_owned(),
            ))
        }
    }
}
