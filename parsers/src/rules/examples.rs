//! The examples of rules: run when a set is loaded; one that comes out differently refuses it.
//!
//! An example tries its own rule alone, whatever `match` says of the stream, and looks at the
//! document as it would be indexed.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::yaml::Place;
use super::{RuleId, RuleSet};
use crate::time::{Moment, Zone, parse_rfc3339};
use crate::{Outcome, Parser, Problem, RecordView, StreamContext};

/// An example of a rule.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) rule: RuleId,
    pub(super) example: Example,
}

/// A line, and what must become of it.
#[derive(Debug, Default)]
pub(super) struct Example {
    pub(super) line: String,
    pub(super) is_stderr: Option<bool>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) time: Option<String>,
    pub(super) expected: Expected,
}

/// What an example must give.
#[derive(Debug, Default)]
pub(super) enum Expected {
    /// Each field has this value, as text; `None`: the document has no such field.
    Fields(Vec<(String, Place, Option<String>)>),
    #[default]
    NoMatch,
    Dropped,
}

/// What an example gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleReport {
    /// The file as it was named to [`RuleSet::load`].
    pub file: PathBuf,
    /// Line of the example, from 1.
    pub line: usize,
    /// Column of the example, from 1.
    pub column: usize,
    /// The rule that it belongs to.
    pub rule: RuleId,
    /// The line or lines that are tried.
    pub input: String,
    /// What came out differently; empty when nothing did.
    pub mismatches: Vec<Mismatch>,
}

/// What came out differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// What became of the record.
    Fate {
        /// What the example says.
        expected: Fate,
        /// What happened.
        actual: Fate,
        /// Which step failed where, when the rule should have matched.
        why: Option<String>,
    },
    /// A field.
    Field {
        /// Its name, as the example writes it.
        name: String,
        /// Line of the expectation, from 1.
        line: usize,
        /// Column of the expectation, from 1.
        column: usize,
        /// The value as text; `None`: there should be none.
        expected: Option<String>,
        /// The value as text; `None`: there is none.
        actual: Option<String>,
    },
}

/// What can become of a record that a rule is tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The rule matched.
    Matched,
    /// It did not.
    NoMatch,
    /// It drops the record.
    Dropped,
}

impl ExampleReport {
    /// Whether everything came out as expected.
    pub fn is_ok(&self) -> bool {
        self.mismatches.is_empty()
    }

    /// What came out differently, as problems of the file.
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> {
        self.mismatches.iter().map(|mismatch| {
            let (line, column, what) = match mismatch {
                Mismatch::Fate {
                    expected,
                    actual,
                    why,
                } => {
                    let what = match (expected, actual) {
                        (_, Fate::Dropped) => "the record was dropped",
                        (Fate::Dropped, _) => "the record was not dropped",
                        (_, Fate::Matched) => "the rule matched",
                        (_, Fate::NoMatch) => "the rule did not match",
                    };
                    let why = why.as_ref().map(|why| format!(": {why}"));
                    let what = format!("{what}{}", why.unwrap_or_default());
                    (self.line, self.column, what)
                }
                Mismatch::Field {
                    name,
                    line,
                    column,
                    expected,
                    actual,
                } => {
                    let show = |text: &Option<String>| match text {
                        Some(text) => format!("`{text}`"),
                        None => "nothing".to_owned(),
                    };
                    let (expected, actual) = (show(expected), show(actual));
                    let what = format!("`{name}` is {actual}, expected {expected}");
                    (*line, *column, what)
                }
            };
            Problem {
                file: self.file.clone(),
                line,
                column,
                what: format!("example failed: {what}"),
                hint: None,
            }
        })
    }
}

/// Runs all examples; gives the set back.
pub(super) fn run(set: RuleSet, tests: Vec<Test>) -> (RuleSet, Vec<ExampleReport>) {
    // A parser shares its rules: they are lent to one for the time.
    let shared = Arc::new(set);
    let mut parser = Parser::new(Arc::clone(&shared));
    let reports = tests
        .into_iter()
        .map(|test| {
            parser.only(Some(test.rule));
            let mismatches = run_one(&mut parser, &test.example);
            ExampleReport {
                file: test.path,
                line: test.place.line,
                column: test.place.column,
                rule: test.rule,
                input: test.example.line,
                mismatches,
            }
        })
        .collect();
    drop(parser);
    // No one else holds the set: the parser is gone.
    (Arc::into_inner(shared).unwrap_or_default(), reports)
}

fn run_one(parser: &mut Parser, example: &Example) -> Vec<Mismatch> {
    let metadata: serde_json::Map<String, Value> = example
        .metadata
        .iter()
        .map(|(key, value)| (key.clone(), Value::String(value.clone())))
        .collect();
    let Ok(stream) = StreamContext::new(Value::Object(metadata).to_string().as_bytes()) else {
        return Vec::new();
    };
    // Whether the text is a time was checked when it was read.
    let time_ns = match example.time.as_deref().map(as_time) {
        Some(Some(ns)) => ns,
        _ => 0,
    };
    let record = RecordView {
        iostream: example
            .is_stderr
            .map(|is_stderr| if is_stderr { "stderr" } else { "stdout" }),
        time_ns: Some(time_ns),
        now_ns: time_ns,
        ..RecordView::of(example.line.as_bytes())
    };
    let mut out = Vec::new();
    let actual = match parser.append_document(&record, &stream, &mut out) {
        Outcome::Dropped { .. } => Fate::Dropped,
        Outcome::Document(document) if document.rule.is_some() => Fate::Matched,
        Outcome::Document(_) => Fate::NoMatch,
    };
    let expected = match &example.expected {
        Expected::Fields(_) => Fate::Matched,
        Expected::NoMatch => Fate::NoMatch,
        Expected::Dropped => Fate::Dropped,
    };
    if actual != expected {
        let why = match (expected, actual) {
            (Fate::Matched, Fate::NoMatch) => why_not(parser, &record, &stream),
            _ => None,
        };
        return vec![Mismatch::Fate {
            expected,
            actual,
            why,
        }];
    }
    let Expected::Fields(fields) = &example.expected else {
        return Vec::new();
    };
    let document: Value = serde_json::from_slice(&out).unwrap_or_default();
    fields
        .iter()
        .filter_map(|(name, place, expected)| {
            let actual = lookup(&document, name).map(as_text);
            (actual != *expected).then(|| Mismatch::Field {
                name: name.clone(),
                line: place.line,
                column: place.column,
                expected: expected.clone(),
                actual,
            })
        })
        .collect()
}

/// The time of an example, in nanoseconds since the epoch; `None` when it is no RFC 3339 time.
pub(super) fn as_time(text: &str) -> Option<i64> {
    match parse_rfc3339(text.as_bytes(), Zone::Required) {
        Some(Moment::At(ns)) => Some(ns),
        _ => None,
    }
}

/// Why the one rule that the parser tries did not match.
fn why_not(parser: &mut Parser, record: &RecordView<'_>, stream: &StreamContext) -> Option<String> {
    let explanation = parser.explain(record, stream);
    let tried = explanation.rules.first()?;
    Some(tried.verdict.to_string())
}

/// The value of a dotted name. Keys may hold dots themselves.
fn lookup<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    if let Some(found) = object.get(name) {
        return Some(found);
    }
    name.match_indices('.').find_map(|(dot, _)| {
        let (head, rest) = name.split_at(dot);
        lookup(object.get(head)?, rest.trim_start_matches('.'))
    })
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
