//! Finds documents by id in what is committed.

use std::collections::HashMap;

use tantivy::postings::SegmentPostings;
use tantivy::query::{BooleanQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet as _, Searcher, SegmentReader, TERMINATED, Term};

use crate::ids::{DocumentId, Place};
use crate::schema::Fields;

/// Offsets and hashes looked for in one stream, each with the places that ask.
pub(crate) type Wanted = HashMap<(u64, u32), Vec<usize>>;

/// The highest offset of a stream in any index.
///
/// # Errors
/// When files cannot be read.
pub(crate) fn highest_offset(
    searchers: &[Searcher],
    fields: &Fields,
    stream: &[u8; 8],
) -> tantivy::Result<Option<u64>> {
    let mut highest = None;
    each_posting(searchers, fields, stream, |reader, postings| {
        let offsets = reader.fast_fields().u64("_offset")?;
        while postings.doc() != TERMINATED {
            highest = highest.max(offsets.first(postings.doc()));
            postings.advance();
        }
        Ok(())
    })?;
    Ok(highest)
}

/// Calls `found` for each wanted place of `stream` that is there, with the name of its index.
///
/// # Errors
/// When files cannot be read.
pub(crate) fn existing(
    searchers: &[Searcher],
    fields: &Fields,
    stream: &[u8; 8],
    wanted: &Wanted,
    mut found: impl FnMut(&str, &[usize]),
) -> tantivy::Result<()> {
    let lowest = wanted.keys().map(|(offset, _)| *offset).min().unwrap_or(0);
    let highest = wanted.keys().map(|(offset, _)| *offset).max().unwrap_or(0);
    let mut name = String::new();
    each_posting(searchers, fields, stream, |reader, postings| {
        let columns = reader.fast_fields();
        let offsets = columns.u64("_offset")?;
        if offsets.max_value() < lowest || offsets.min_value() > highest {
            return Ok(());
        }
        let hashes = columns.u64("_hash")?;
        let indices = columns.str("_index")?;
        let alive = reader.alive_bitset();
        while postings.doc() != TERMINATED {
            let doc = postings.doc();
            postings.advance();
            let Some(offset) = offsets
                .first(doc)
                .filter(|o| (lowest..=highest).contains(o))
            else {
                continue;
            };
            let hash = hashes
                .first(doc)
                .and_then(|hash| u32::try_from(hash).ok())
                .unwrap_or(0);
            let Some(askers) = wanted.get(&(offset, hash)) else {
                continue;
            };
            if alive.is_some_and(|alive| !alive.is_alive(doc)) {
                continue;
            }
            name.clear();
            if let Some(indices) = &indices
                && let Some(ordinal) = indices.ords().first(doc)
            {
                indices.ord_to_str(ordinal, &mut name)?;
            }
            found(&name, askers);
        }
        Ok(())
    })
}

fn each_posting(
    searchers: &[Searcher],
    fields: &Fields,
    stream: &[u8; 8],
    mut visit: impl FnMut(&SegmentReader, &mut SegmentPostings) -> tantivy::Result<()>,
) -> tantivy::Result<()> {
    let term = Term::from_field_bytes(fields.stream, stream);
    for searcher in searchers {
        for reader in searcher.segment_readers() {
            let inverted = reader.inverted_index(fields.stream)?;
            if let Some(mut postings) = inverted.read_postings(&term, IndexRecordOption::Basic)? {
                visit(reader, &mut postings)?;
            }
        }
    }
    Ok(())
}

/// A query for one id, in any index.
pub(crate) fn id_query(fields: &Fields, id: &DocumentId) -> Box<dyn Query> {
    let basic = IndexRecordOption::Basic;
    match id {
        DocumentId::Named(name) => Box::new(TermQuery::new(
            Term::from_field_text(fields.id, name),
            basic,
        )),
        DocumentId::Place(Place {
            stream,
            offset,
            hash,
        }) => {
            let exactly = |term: Term| -> Box<dyn Query> {
                let bound = std::ops::Bound::Included(term);
                Box::new(RangeQuery::new(bound.clone(), bound))
            };
            Box::new(BooleanQuery::intersection(vec![
                Box::new(TermQuery::new(
                    Term::from_field_bytes(fields.stream, stream),
                    basic,
                )),
                exactly(Term::from_field_u64(fields.offset, *offset)),
                exactly(Term::from_field_u64(fields.hash, u64::from(*hash))),
            ]))
        }
    }
}

/// A query for one id in one index.
pub(crate) fn document_query(fields: &Fields, index: &str, id: &DocumentId) -> Box<dyn Query> {
    let index = Term::from_field_text(fields.index, index);
    Box::new(BooleanQuery::intersection(vec![
        id_query(fields, id),
        Box::new(TermQuery::new(index, IndexRecordOption::Basic)),
    ]))
}

/// Whether any of the searchers holds the document.
///
/// # Errors
/// When files cannot be read.
pub(crate) fn exists(
    searchers: &[Searcher],
    fields: &Fields,
    index: &str,
    id: &DocumentId,
) -> tantivy::Result<bool> {
    let query = document_query(fields, index, id);
    for searcher in searchers {
        if query.count(searcher)? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
