//! The examples of rules: run when a set is loaded; one that comes out differently refuses it.
//!
//! An example tries its own rule alone, whatever `match` says of namespace, pod and container,
//! and looks at the document as it would be indexed.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::yaml::Place;
use super::{Condition, RuleId, RuleSet};
use crate::{Outcome, Parser, Problem, RecordView, StreamContext};

/// An example of a rule.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) rule: RuleId,
    pub(super) line: String,
    pub(super) expected: Expected,
}

/// What an example must give.
#[derive(Debug)]
pub(super) enum Expected {
    /// Each field has this value, as text; `None`: the document has no such field.
    Fields(Vec<(String, Place, Option<String>)>),
    NoMatch,
    Dropped,
}

/// Runs all examples.
pub(super) fn check(set: &mut RuleSet, tests: &[Test], problems: &mut Vec<Problem>) {
    let Ok(stream) = StreamContext::new(b"{}") else {
        return;
    };
    // A parser shares its rules: they are lent to one for the time, one rule at a time.
    let mut rules = std::mem::take(set);
    let mut done = Vec::new();
    let all = std::mem::take(&mut rules.rules);
    for (index, mut rule) in all.into_iter().enumerate() {
        let own: Vec<&Test> = tests.iter().filter(|t| t.rule.index() == index).collect();
        if !own.is_empty() {
            let Condition {
                namespace,
                pod,
                container,
                ..
            } = &mut rule.condition;
            let kept = [namespace, pod, container].map(std::mem::take);
            rules.rules = vec![rule];
            let shared = Arc::new(rules);
            let mut parser = Parser::new(Arc::clone(&shared));
            for test in own {
                check_one(&mut parser, &stream, test, problems);
            }
            drop(parser);
            // No one else holds the set: the parser is gone.
            rules = Arc::into_inner(shared).unwrap_or_default();
            let Some(mut back) = rules.rules.pop() else {
                return;
            };
            let [namespace, pod, container] = kept;
            back.condition.namespace = namespace;
            back.condition.pod = pod;
            back.condition.container = container;
            rule = back;
        }
        done.push(rule);
    }
    rules.rules = done;
    *set = rules;
}

fn check_one(
    parser: &mut Parser,
    stream: &StreamContext,
    test: &Test,
    problems: &mut Vec<Problem>,
) {
    let record = RecordView {
        message: test.line.as_bytes(),
        iostream: None,
        time_ns: Some(0),
        now_ns: 0,
        stream: 0,
        offset: 0,
        length: 0,
        parts: &[],
        trace_at: None,
        tags: &[],
        unparsed: false,
    };
    let mut out = Vec::new();
    let outcome = parser.append_document(&record, stream, &mut out);
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
    match (&test.expected, outcome) {
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
                report(
                    test.place,
                    "example failed: the rule did not match".to_owned(),
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
