//! Record to document.

use std::sync::Arc;

use crate::escape;
use crate::time::TimeWriter;
use crate::{Document, Outcome, RecordView, RuleSet, StreamContext, Tags};

/// Turns records into documents. One a thread: it holds scratch memory that is reused, so that a
/// record costs no allocation.
#[derive(Debug)]
pub struct Parser {
    rules: Arc<RuleSet>,
    times: TimeWriter,
}

impl Parser {
    /// A parser for `rules`.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            rules,
            times: TimeWriter::new(),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Appends the record's document to `out`: one JSON object without newline. Appends nothing
    /// when a rule drops the record. Never fails and never panics, whatever the record holds.
    pub fn append_document(
        &mut self,
        record: &RecordView<'_>,
        _stream: &StreamContext,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let time_ns = record.time_ns.unwrap_or(record.now_ns);
        out.extend_from_slice(b"{\"@timestamp\":\"");
        self.times.append_nanos(out, time_ns);
        out.extend_from_slice(b"\",\"message\":");
        let mut text = Vec::new();
        escape::append_lossy(&mut text, record.message);
        escape::append_string(out, &text);
        out.push(b'}');
        Outcome::Document(Document {
            time_ns,
            level: None,
            rule: None,
            tags: Tags::NONE,
        })
    }
}
