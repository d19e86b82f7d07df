//! The rule engine: turns a framed record into the fields of a document and appends the document
//! as JSON to a bulk body.
//!
//! Knows nothing of files, sockets or where a record came from: it takes a [`RecordView`] and a
//! [`StreamContext`] and appends bytes. Bad data never fails: the line is kept, tagged, counted.
//!
//! One [`Parser`] a thread; [`RuleSet`] and [`StreamContext`] are shared. The document is one line
//! of valid JSON in valid UTF-8 without duplicate keys, whatever the record holds.

pub mod author;
mod parser;

mod document;
mod emit;
mod fields;
mod fingerprint;
mod grok;
mod json;
mod logfmt;
mod trace;

mod annotations;
mod deadline;
mod decode;
mod expression;
mod formula;
mod multiline;
mod pattern;
mod redact;
mod rules;
mod steps;
mod strptime;
mod template;
mod value;
mod work;

mod ecs;
mod escape;
mod level;
mod marks;
mod nest;
mod outcome;
mod page;
mod problem;
mod quantity;
mod span;
mod stream;
mod time;

pub use level::Level;
pub use multiline::Multiline;
pub use outcome::{Document, Outcome, Tag, Tags};
pub use parser::Parser;
pub use problem::Problem;
pub use redact::{Detector, Redaction, RedactionOptions};
pub use rules::{
    ExampleReport, Explanation, Fate, Mismatch, Route, RouteId, RuleCounts, RuleId, RuleSet, Tried,
    Unmatched, Verdict,
};
pub use stream::{ContextError, StreamContext};

/// One record as the engine sees it.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// The event's text, lines joined by `\n`, without the last newline. Any bytes.
    pub message: &'a [u8],
    /// `stdout` or `stderr`; `None` for raw files.
    pub iostream: Option<&'static str>,
    /// The runtime's time of the first line, nanoseconds since the epoch; `None` when it has none.
    pub time_ns: Option<i64>,
    /// When the record is processed, nanoseconds since the epoch (`event.ingested`, and
    /// `@timestamp` where nothing else is known).
    pub now_ns: i64,
    /// Stream identity.
    pub stream: u64,
    /// Offset of the first line.
    pub offset: u64,
    /// Bytes of the file from the start of the first line to the end of the last.
    pub length: u64,
    /// Stream, offset and length of each run of lines when they are not adjacent; else empty.
    pub parts: &'a [(u64, u64, u64)],
    /// The record is a stack trace, or a line followed by one, and where in `message` it starts.
    pub trace_at: Option<usize>,
    /// Tags from framing (`partial`, `truncated`, …).
    pub tags: &'a [&'static str],
    /// Framed only: no parsing at all (suspect chunks).
    pub unparsed: bool,
}

impl<'a> RecordView<'a> {
    /// A text and nothing around it: of no stream, without any time.
    pub fn of(message: &'a [u8]) -> Self {
        Self {
            message,
            iostream: None,
            time_ns: None,
            now_ns: 0,
            stream: 0,
            offset: 0,
            length: message.len() as u64,
            parts: &[],
            trace_at: None,
            tags: &[],
            unparsed: false,
        }
    }
}

/// What authors are told of the rule language: one table, from which the reference and the JSON
/// Schema are made, and by which rule files are checked.
pub mod reference {
    pub use crate::rules::{EXAMPLE_KEYS, MATCH_KEYS, RULE_KEYS};
    pub use crate::steps::{Form, Group, Need, OptionDoc, OptionKind, StepDoc, docs};
}
