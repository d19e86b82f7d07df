//! `multiline`: which lines make one record. Works in framing, not here.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::expression::Expression;
use crate::multiline::Multiline;
use crate::rules::{Options, Reader};
use crate::work::Work;

/// Lines that begin with a time as most loggers write it, maybe in brackets or behind a level.
const TIMESTAMP: &str = r"^(?:[A-Z]{1,5}\s{1,2})?[\[(]?(?:\d{4}[-/.]\d{2}[-/.]\d{2}[T ]\d{2}:\d{2}|\d{2}[-/. ](?:\d{2}|[A-Z][a-z]{2})[-/. ]\d{4}[: ]\d{2}:\d{2}|[A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2}|\d{2}:\d{2}:\d{2}[.,]\d{3}|[IWEF]\d{4} \d{2}:\d{2}:\d{2})";

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "multiline",
        group: Group::Choosing,
        summary: "which lines make one record: `multiline: {start: '^\\d{4}-'}`",
        doc: "Stack traces need no rule: they are joined by themselves. For other events say with which lines one starts, goes on, or ends. It holds for the streams that the rule's `match` is for; of several rules for a stream the first one with this step counts. It is asked before any rule is tried, so `starts_with`, `contains` and `iostream` of `match` do not matter for it; as a step of the rule it does nothing, and a rule without other steps is for this alone. Where an event ends follows from the lines, never from when they arrive: an event without an end is open until its next line, its `timeout` by the runtime's times of lines, or until the stream is quiet for some seconds. A change of the rule takes effect for lines that come after it; what is sent again after a lost answer is cut as at its first try.",
        form: Form::Short("builtin"),
        options: &[
            OptionDoc {
                name: "builtin",
                kind: OptionKind::Choice(&["timestamp", "indented", "backslash"]),
                need: Need::Optional,
                doc: "`timestamp`: an event starts with a line that begins with a time; `indented`: lines that begin with white space go on; `backslash`: a line that ends in `\\` is not the last one",
            },
            OptionDoc {
                name: "start",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "an expression: lines that match start an event, all others go on with it",
            },
            OptionDoc {
                name: "continue",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "an expression: lines that match go on with the event before them",
            },
            OptionDoc {
                name: "end",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "an expression: an event ends with a line that matches",
            },
            OptionDoc {
                name: "max_lines",
                kind: OptionKind::Integer(1, 1_000_000),
                need: Need::Optional,
                doc: "most lines of an event; the aggregator's `multiline.max_lines` when left out",
            },
            OptionDoc {
                name: "max_bytes",
                kind: OptionKind::Size,
                need: Need::Optional,
                doc: "longest event; the aggregator's `multiline.max_event` when left out",
            },
            OptionDoc {
                name: "timeout",
                kind: OptionKind::Duration,
                need: Need::Optional,
                doc: "an event ends when a line is so much later than its last one; the aggregator's `multiline.timeout` when left out",
            },
        ],
        examples: &[
            "name: import\nmatch: {container: importer}\nsteps:\n  - multiline: {start: '^IMPORT ', end: '^done', max_lines: 200}\n  - regex: '^IMPORT (?P<file>\\S+)'\nexamples:\n  - lines: [IMPORT a.csv, 3 rows, done]\n    fields: {attributes.file: a.csv}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Nothing;

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let mut expression = |name: &str, builtin: Option<&str>| -> Option<Option<Expression>> {
        let Some(text) = options.text(name).or(builtin) else {
            return Some(None);
        };
        match Expression::compile(text) {
            Ok(expression) => Some(Some(expression)),
            Err(what) => {
                let place = options.place(name);
                reader.report(place, format!("bad expression: {what}"), None);
                None
            }
        }
    };
    let builtin = options.text("builtin");
    let of = |name: &str, text: &'static str| (builtin == Some(name)).then_some(text);
    let multiline = Multiline {
        start: expression("start", of("timestamp", TIMESTAMP))?,
        goes_on: expression("continue", of("indented", r"^[ \t]"))?,
        end: expression("end", None)?,
        unfinished: match of("backslash", r"\\$") {
            Some(text) => Expression::compile(text).ok(),
            None => None,
        },
        max_lines: options
            .text("max_lines")
            .map(|_| options.integer("max_lines") as usize),
        max_bytes: options.text("max_bytes").map(|_| options.size("max_bytes")),
        timeout_ns: options
            .text("timeout")
            .map(|_| i64::try_from(options.duration("timeout").as_nanos()).unwrap_or(i64::MAX)),
    };
    let says_nothing = multiline.start.is_none()
        && multiline.goes_on.is_none()
        && multiline.end.is_none()
        && multiline.unfinished.is_none();
    if says_nothing {
        let what = "`multiline` needs one of `builtin`, `start`, `continue` and `end`";
        reader.report(options.place, what, None);
        return None;
    }
    reader.set_multiline(multiline);
    Some(Box::new(Nothing))
}

impl Step for Nothing {
    fn run(&self, _: &mut Work<'_>) -> Result<Flow, Failure> {
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{RuleSet, StreamContext};

    #[test]
    fn lines_start_join_and_end() {
        let check = |options: &str, previous: &str, line: &str, expected: Option<bool>| {
            let text = format!("name: t\nsteps:\n  - multiline: {options}\n");
            let set = RuleSet::from_texts(&[(Path::new("t"), &text)]).unwrap();
            let stream = StreamContext::new(b"{}").unwrap();
            let rule = set.multiline(&stream).unwrap();
            assert_eq!(
                rule.joins(previous.as_bytes(), line.as_bytes()),
                expected,
                "{options} {line}"
            );
        };
        check("timestamp", "a", "2024-05-01 10:00:00 x", Some(false));
        check(
            "timestamp",
            "a",
            "[01/May/2024:10:00:00 +0000] x",
            Some(false),
        );
        check(
            "timestamp",
            "a",
            "INFO  2024-05-01T10:00:00Z x",
            Some(false),
        );
        check("timestamp", "a", "  detail of 2024", Some(true));
        check("indented", "a", "  b", Some(true));
        check("indented", "a", "b", None);
        check("backslash", "a \\", "b", Some(true));
        check("{end: ';$'}", "a", "b;", Some(true));
        check("{start: '^S', continue: '^S2'}", "a", "S2", Some(true));
    }

    #[test]
    fn a_rule_for_framing_alone_matches_nothing() {
        let text =
            "name: t\nsteps: [{multiline: indented}]\nexamples:\n  - {line: x, no_match: true}\n";
        RuleSet::from_texts(&[(Path::new("t"), text)]).unwrap();
        let other = "name: t\nmatch: {namespace: shop}\nsteps: [{multiline: indented}]\n";
        let set = RuleSet::from_texts(&[(Path::new("t"), other)]).unwrap();
        assert!(set.multiline(&StreamContext::new(b"{}").unwrap()).is_none());
    }
}
