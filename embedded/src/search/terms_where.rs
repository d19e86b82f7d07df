//! Matches documents by a test of whole terms: prefixes, wildcards, regular expressions.

use std::sync::Arc;

use tantivy::query::{
    BitSetDocSet, ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, DocSet as _, Score, SegmentReader, TERMINATED, TantivyError};

/// Tests a term's text.
pub(crate) type TermTest = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Documents with a term of `field` that begins with `start` and passes `test`.
#[derive(Clone)]
pub(crate) struct TermsWhere {
    pub(crate) field: Field,
    /// First bytes of every term in question: path and literal prefix.
    pub(crate) start: Vec<u8>,
    /// How many of them are the path: the rest is text.
    pub(crate) path_len: usize,
    pub(crate) test: TermTest,
}

impl std::fmt::Debug for TermsWhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TermsWhere")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl Query for TermsWhere {
    fn weight(&self, _scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for TermsWhere {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let inverted = reader.inverted_index(self.field)?;
        let mut found = BitSet::with_max_value(reader.max_doc());
        let mut terms = inverted.terms().range().ge(&self.start).into_stream()?;
        while terms.advance() {
            let key = terms.key();
            if !key.starts_with(&self.start) {
                break;
            }
            let text = key
                .get(self.path_len..)
                .and_then(|text| std::str::from_utf8(text).ok());
            if !text.is_some_and(|text| (self.test)(text)) {
                continue;
            }
            let mut postings =
                inverted.read_postings_from_terminfo(terms.value(), IndexRecordOption::Basic)?;
            while postings.doc() != TERMINATED {
                found.insert(postings.doc());
                postings.advance();
            }
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(found), boost)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(reader, 1.0)?;
        if scorer.seek(doc) == doc {
            Ok(Explanation::new("a term passes the test", 1.0))
        } else {
            Err(TantivyError::InvalidArgument(
                "the document does not match".to_owned(),
            ))
        }
    }
}
