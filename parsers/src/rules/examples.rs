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

/// Runs all examples; gives the set back.
pub(super) fn check(set: RuleSet, tests: &[Test], problems: &mut Vec<Problem>) -> RuleSet {
    // A parser shares its rules: they are lent to one for the time.
    let shared = Arc::new(set);
    let mut parser = Parser::new(Arc::clone(&shared));
    for test in tests {
        parser.only(Some(test.rule));
        check_one(&mut parser, test, problems);
    }
    drop(parser);
    // No one else holds the set: the parser is gone.
    Arc::into_inner(shared).unwrap_or_default()
}

fn check_one(parser: &mut Parser, test: &Test, problems: &mut Vec<Problem>) {
    let example = &test.example;
    let mut report = |place: Place, what: String| {
        let (file, line, column) = (test.path.clone(), place.line, place.column);
        problems.push(Problem {
            file,
            line,
            column,
            what,
            hint: None,
        });
    };
    let metadata: serde_json::Map<String, Value> = example
        .metadata
        .iter()
        .map(|(key, value)| (key.clone(), Value::String(value.clone())))
        .collect();
    let Ok(stream) = StreamContext::new(Value::Object(metadata).to_string().as_bytes()) else {
        return;
    };
    let time_ns = match &example.time {
        None => 0,
        Some(text) => match parse_rfc3339(text.as_bytes(), Zone::Required) {
            Some(Moment::At(ns)) => ns,
            _ => return report(test.place, format!("`{text}` is no RFC 3339 time")),
        },
    };
    let record = RecordView {
        message: example.line.as_bytes(),
        iostream: example
            .is_stderr
            .map(|is_stderr| if is_stderr { "stderr" } else { "stdout" }),
        time_ns: Some(time_ns),
        now_ns: time_ns,
        stream: 0,
        offset: 0,
        length: 0,
        parts: &[],
        trace_at: None,
        tags: &[],
        unparsed: false,
    };
    let mut out = Vec::new();
    let outcome = parser.append_document(&record, &stream, &mut out);
    match (&example.expected, outcome) {
        (Expected::Dropped, Outcome::Dropped { .. }) => {}
        (_, Outcome::Dropped { .. }) => {
            report(
                test.place,
                "example failed: the record was dropped".to_owned(),
            );
        }
        (Expected::Dropped, _) => {
            report(
                test.place,
                "example failed: the record was not dropped".to_owned(),
            );
        }
        (Expected::NoMatch, Outcome::Document(document)) => {
            if document.rule.is_some() {
                report(test.place, "example failed: the rule matched".to_owned());
            }
        }
        (Expected::Fields(fields), Outcome::Document(document)) => {
            if document.rule.is_none() {
                let why = why_not(parser, &record, &stream);
                report(
                    test.place,
                    format!("example failed: the rule did not match{why}"),
                );
                return;
            }
            let value: Value = serde_json::from_slice(&out).unwrap_or_default();
            for (name, place, expected) in fields {
                let actual = lookup(&value, name).map(as_text);
                if actual != *expected {
                    let show = |text: &Option<String>| match text {
                        Some(text) => format!("`{text}`"),
                        None => "nothing".to_owned(),
                    };
                    let (expected, actual) = (show(expected), show(&actual));
                    report(
                        *place,
                        format!("example failed: `{name}` is {actual}, expected {expected}"),
                    );
                }
            }
        }
    }
}

/// Why the one rule that the parser tries did not match.
fn why_not(parser: &mut Parser, record: &RecordView<'_>, stream: &StreamContext) -> String {
    let explanation = parser.explain(record, stream);
    match explanation.rules.first() {
        Some(tried) => format!(": {}", tried.verdict),
        None => String::new(),
    }
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
