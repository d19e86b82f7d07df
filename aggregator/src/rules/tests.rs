//! Figures, the latest unmatched lines, and what a reload keeps of them.

use std::path::Path;
use std::sync::Arc;

use parsers::{RecordView, StreamContext};

use super::*;

fn rules(text: &str) -> Arc<RuleSet> {
    Arc::new(RuleSet::from_texts(&[(Path::new("r.yaml"), text)]).unwrap())
}

fn parse(parser: &mut Parser, line: &str) {
    let record = RecordView {
        message: line.as_bytes(),
        iostream: None,
        time_ns: Some(0),
        now_ns: 1_700_000_000_000_000_000,
        stream: 1,
        offset: 0,
        length: 0,
        parts: &[],
        trace_at: None,
        tags: &[],
        unparsed: false,
    };
    let stream = StreamContext::new(br#"{"kubernetes.namespace":"shop","kubernetes.pod.name":"web-0","kubernetes.container.name":"web"}"#).unwrap();
    parser.append_document(&record, &stream, &mut Vec::new());
}

const ONE: &str = "name: a\nsteps: [{pattern: '<n:int> <message>'}]\n";
const TWO: &str =
    "name: a\nsteps: [{pattern: '<n:int> <message>'}]\n---\nname: b\nsteps: [{drop: true}]\n";

#[test]
fn figures_go_on_when_a_reload_keeps_the_rule() {
    let set = rules(ONE);
    let book = RuleBook::new(&set);
    let mut parser = Parser::new(set);
    parse(&mut parser, "1 x");
    parse(&mut parser, "no number");
    book.note(&mut parser);
    let json = book.json();
    let rule = &json["list"][0];
    assert_eq!(
        (
            &rule["name"],
            &rule["tried"],
            &rule["matched"],
            &rule["failed"]
        ),
        (&"a".into(), &2.into(), &1.into(), &1.into())
    );
    let set = rules(TWO);
    book.replaced(&set);
    let mut parser = Parser::new(set);
    parse(&mut parser, "no number");
    book.note(&mut parser);
    let json = book.json();
    assert_eq!(
        (&json["list"][0]["tried"], &json["list"][1]["dropped"]),
        (&3.into(), &1.into())
    );
    book.replaced(&rules("name: c\nsteps: [{drop: true}]\n"));
    assert_eq!(book.json()["list"].as_array().unwrap().len(), 1);
    // What a worker counted by rules that are gone is nobody's.
    parse(&mut parser, "1 x");
    book.note(&mut parser);
}

#[test]
fn the_latest_unmatched_lines_are_kept() {
    let set = rules(ONE);
    let book = RuleBook::new(&set);
    let mut parser = Parser::new(set);
    for n in 0..KEEP_UNMATCHED + 9 {
        parse(&mut parser, &format!("line {n}"));
        book.note(&mut parser);
    }
    let lines = book.unmatched();
    assert_eq!(
        (lines.len(), lines[0].line.as_slice()),
        (KEEP_UNMATCHED, b"line 9" as &[u8])
    );
    let json = book.unmatched_json();
    let first = &json["lines"][0];
    assert_eq!(
        (
            &first["time"],
            &first["namespace"],
            &first["origin"],
            &first["container"],
            &first["line"]
        ),
        (
            &"2023-11-14T22:13:20Z".into(),
            &"shop".into(),
            &"web-0".into(),
            &"web".into(),
            &"line 9".into()
        )
    );
}

#[test]
fn no_line_outlives_a_change_of_what_is_redacted() {
    let redacted = || {
        let rules = RuleSet::from_texts(&[(Path::new("r.yaml"), ONE)]).unwrap();
        let usual = parsers::RedactionOptions::usual();
        Arc::new(rules.with_redaction(parsers::Redaction::new(&usual).unwrap()))
    };
    let set = rules(ONE);
    let book = RuleBook::new(&set);
    let mut parser = Parser::new(set);
    let mut late = Parser::new(Arc::clone(parser.rules()));
    parse(&mut parser, "mail to bob@example.org");
    parse(&mut late, "mail to eve@example.org");
    book.note(&mut parser);
    assert_eq!(book.unmatched().len(), 1);
    let set = redacted();
    book.replaced(&set);
    assert_eq!(book.unmatched().len(), 0);
    // A worker that was in a batch meanwhile.
    book.note(&mut late);
    assert_eq!(book.unmatched().len(), 0);
    let mut parser = Parser::new(set);
    parse(&mut parser, "mail to bob@example.org");
    book.note(&mut parser);
    // Loaded again with the same redaction: lines stay.
    book.replaced(&redacted());
    let lines = book.unmatched();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].line, b"mail to [redacted:email]");
}

#[test]
fn a_refused_set_is_told_until_a_good_one_comes() {
    let book = Arc::new(RuleBook::new(&rules(ONE)));
    let problems = RuleSet::from_texts(&[(Path::new("r.yaml"), "nmae: x\n")]).unwrap_err();
    book.refused(&problems);
    assert!(
        book.problem()
            .unwrap()
            .contains("r.yaml:1:1: unknown key `nmae`")
    );
    let metrics = || {
        let mut registry = Registry::default();
        book.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    let text = metrics();
    for line in [
        "tailrace_rules_stale 1",
        "tailrace_rules_refused_total 1",
        "tailrace_rules 1",
        "tailrace_rule_tried_total{rule=\"a\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    book.replaced(&rules(TWO));
    assert_eq!(book.problem(), None);
    assert!(metrics().contains("tailrace_rules_stale 0"));
}
