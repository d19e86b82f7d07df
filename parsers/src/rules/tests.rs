//! Rule sets: loading, problems and their places, the rules that ship.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::{Outcome, Parser, RecordView, StreamContext};

fn load(text: &str) -> Result<RuleSet, Vec<Problem>> {
    RuleSet::from_texts(&[(Path::new("r.yaml"), text)])
}

#[test]
fn shipped_rules_load_with_five_examples_each() {
    for (name, text) in RuleSet::shipped() {
        match RuleSet::from_texts(&[(Path::new(name), text)]) {
            Ok(set) => assert!(!set.is_empty()),
            Err(problems) => panic!(
                "{}",
                problems
                    .iter()
                    .map(|p| format!("{p}\n"))
                    .collect::<String>()
            ),
        }
        for rule in text.split("\n---\n") {
            let n_examples = rule.matches("- line:").count() + rule.matches("- lines:").count();
            assert!(n_examples >= 5, "{name}: {rule}");
        }
    }
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/rules"));
    let n_files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(
        n_files,
        RuleSet::shipped().len(),
        "each file of rules/ is listed in `shipped`"
    );
    let set = RuleSet::load(&[folder.to_owned()]).unwrap();
    assert!(set.names().any(|name| name == "nginx.access"));
}

#[test]
fn shipped_rules_come_after_ones_own_or_give_way_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("own.yaml");
    let access = "name: nginx.access\nsteps: [{pattern: '<@timestamp> <source.ip> <message>'}]\n";
    std::fs::write(
        &file,
        format!("name: own\nsteps: [{{pattern: 'n=<n>'}}]\n---\n{access}"),
    )
    .unwrap();
    let set = RuleSet::load_with_shipped(&[file]).unwrap();
    let names: Vec<&str> = set.names().collect();
    assert_eq!(names[..3], ["own", "nginx.access", "nginx.forwarded"]);
    assert_eq!(
        names.iter().filter(|name| **name == "nginx.access").count(),
        1
    );
    let shipped = RuleSet::load_with_shipped(&[]).unwrap();
    assert_eq!(shipped.len() + 1, set.len());
    assert!(RuleSet::load_with_shipped(&[dir.path().join("none.yaml")]).is_err());
}

#[test]
fn steps_that_need_back_tracking_are_told_and_have_a_budget_of_time() {
    let rule = |max_time: &str| {
        let grok = r"^(?<a>(?:x+x+)+)\k<a>y$";
        load(&format!(
            "name: slow\nmax_time: {max_time}\nsteps:\n  - grok: '{grok}'\n  - grok: '%{{WORD:b}}'\n"
        ))
        .unwrap()
    };
    let set = rule("200ms");
    let told: Vec<String> = set.warnings().iter().map(ToString::to_string).collect();
    assert!(
        told.len() == 1 && told[0].starts_with("r.yaml:4:5: this needs back-tracking"),
        "{told:?}"
    );
    assert_eq!(
        load("name: a\nsteps: [{grok: '%{IP:a}'}]\n")
            .unwrap()
            .warnings(),
        []
    );
    // A rule without any time is given up at its first step, and the record is kept.
    for (max_time, is_late) in [("0s", true), ("1h", false)] {
        let mut parser = Parser::new(Arc::new(rule(max_time)));
        let record = RecordView::of(b"xxxxy");
        let stream = StreamContext::new(b"{}").unwrap();
        let mut out = Vec::new();
        let outcome = parser.append_document(&record, &stream, &mut out);
        let Outcome::Document(document) = outcome else {
            panic!("it is kept");
        };
        assert_eq!(document.tags.contains(crate::Tag::OverBudget), is_late);
        assert_eq!(document.rule.is_none(), is_late);
        let mut n_over = 0;
        parser.take_counts(|_, counts| n_over += counts.over_budget);
        assert_eq!(n_over, u64::from(is_late));
    }
}

/// Whether a rule of these steps is given up on a line.
fn is_over_budget(steps: &str, max_time: &str, line: &str) -> bool {
    let set = load(&format!(
        "name: a\nmax_time: {max_time}\nsteps: [{steps}]\n"
    ));
    let mut parser = Parser::new(Arc::new(set.unwrap()));
    let stream = StreamContext::new(b"{}").unwrap();
    let outcome =
        parser.append_document(&RecordView::of(line.as_bytes()), &stream, &mut Vec::new());
    let Outcome::Document(document) = outcome else {
        panic!("it is kept");
    };
    let is_over = document.tags.contains(crate::Tag::OverBudget);
    assert_eq!(document.rule.is_none(), is_over);
    is_over
}

#[test]
fn a_step_of_many_turns_looks_at_the_clock_while_it_works() {
    // Short lines: no clock runs when the step begins.
    let (csv, columns) = ("\"a,".repeat(200), "\"a ".repeat(200));
    for (steps, line) in [
        (
            "{replace: {fields: message, regex: 'a.*z|a', with: b}}",
            "a".repeat(1000),
        ),
        (
            "{replace: {fields: message, regex: '(a).*z|(a)', with: '${1}b'}}",
            "a".repeat(1000),
        ),
        ("{csv: {columns: [a]}}", csv),
        ("{columns: {columns: [a]}}", columns),
        // What comes before it is undone, and what comes after it is not run.
        (
            "{set: {a: b}}, {try: {steps: [{replace: {fields: message, regex: a}}]}}, {set: {c: d}}",
            "a".repeat(1000),
        ),
    ] {
        assert!(is_over_budget(steps, "0s", &line), "{steps}");
        assert!(!is_over_budget(steps, "1h", &line), "{steps}");
    }
    // Few turns: no clock is started.
    assert!(!is_over_budget("{csv: {columns: [a]}}", "0s", "a,b,c"));
}

/// What becomes of a line that `access` of the shipped rules takes.
fn level_of(status: &str) -> Option<crate::Level> {
    let mut parser = Parser::new(Arc::new(RuleSet::load_with_shipped(&[]).unwrap()));
    let line = format!(
        r#"10.0.0.1 - - [01/Jan/2024:00:00:00 +0000] "GET /error HTTP/1.1" {status} 7 "-" "-""#
    );
    let record = RecordView::of(line.as_bytes());
    let stream = StreamContext::new(b"{}").unwrap();
    match parser.append_document(&record, &stream, &mut Vec::new()) {
        Outcome::Document(document) => {
            assert!(document.rule.is_some());
            document.level
        }
        Outcome::Dropped { .. } => None,
    }
}

#[test]
fn a_status_is_a_level() {
    use crate::Level;
    assert_eq!(level_of("200"), Some(Level::Info));
    assert_eq!(level_of("304"), Some(Level::Info));
    assert_eq!(level_of("404"), Some(Level::Warn));
    assert_eq!(level_of("503"), Some(Level::Error));
}

#[test]
fn problems_are_all_listed_with_their_places() {
    let check = |text: &str, expected: &[&str]| {
        let problems = load(text).expect_err(text);
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                found.starts_with("r.yaml:") && found.contains(expected),
                "{found} / {expected}"
            );
        }
    };
    check(
        "nmae: x\nsteps: [{json: {}}]\n",
        &[
            "1:1: unknown key `nmae` (did you mean `name`?)",
            "1:1: a rule needs `name`",
        ],
    );
    check("name: x\n", &["1:1: a rule needs `steps`"]);
    check(
        "name: x\nsteps: []\n",
        &["2:8: a rule needs at least one step"],
    );
    check(
        "name: x y\nsteps: [{jsno: {}}, {drop: maybe}]\n",
        &[
            "1:7: `x y` is no name",
            "2:10: unknown key `jsno` (did you mean `json`?)",
            "2:28: `drop` can only be `true`",
        ],
    );
    check(
        "name: x\nsteps:\n  - pattern: 'a <b:itn>'\n",
        &["3:14: unknown type `itn`, at character 3 of the pattern (did you mean `int`?)"],
    );
    check(
        "name: x\nsteps:\n  - pattern: '<a> <a.b>'\n",
        &["3:14: `a` and `a.b` cannot stand together"],
    );
    check(
        "name: x\nsteps:\n  - regex: '(?P<a>x'\n",
        &["3:12: bad expression: unclosed group"],
    );
    check(
        "name: x\nsteps:\n  - regex: 'a'\n",
        &["3:12: an expression without named groups"],
    );
    check(
        "name: x\nsteps:\n  - regex: {expr: '(?P<abc>x)', fields: {abd: y}}\n",
        &["3:42: the expression has no group `abd` (did you mean `abc`?)"],
    );
    check(
        "name: x\nsteps: [{json: {}}]\n---\nname: x\nsteps: [{json: {}}]\n",
        &["4:7: there is a rule `x` already"],
    );
    check(
        "name: x\nmatch: {namespce: a, contains: ['']}\nsteps: [{drop: true}, {json: {}}]\n",
        &[
            "2:9: unknown key `namespce`",
            "2:32: `contains` is empty",
            "3:24: nothing can follow `drop`",
        ],
    );
    check("name: [x\n", &["r.yaml:"]);
    check("- 1\n", &["1:1: a rule must be a map, not a list"]);
    check(
        "name: x\nsteps: [{pattern: '<a:int>'}]\nexamples:\n  - line: '1'\n    fields: {attributes.a: 2}\n  - line: x\n    fields: {}\n  - line: '1'\n    no_match: true\n  - line: '1'\n    dropped: true\n  - fields: {}\n",
        &["12:5: an example needs `line`"],
    );
    check(
        "name: x\nsteps: [{pattern: '<a:int>'}]\nexamples:\n  - line: '1'\n    fields: {attributes.a: 2}\n  - line: x\n    fields: {}\n  - line: '1'\n    no_match: true\n  - line: '1'\n    dropped: true\n",
        &[
            "5:14: example failed: `attributes.a` is `1`, expected `2`",
            "6:5: example failed: the rule did not match",
            "8:5: example failed: the rule matched",
            "10:5: example failed: the record was not dropped",
        ],
    );
    let missing = RuleSet::load(&["/no/such/file".into()]).unwrap_err();
    assert_eq!((missing.len(), missing[0].line), (1, 0));
}

fn outcome(set: RuleSet, metadata: &str, message: &str) -> (Outcome, String) {
    let record = RecordView {
        time_ns: Some(0),
        ..RecordView::of(message.as_bytes())
    };
    let stream = StreamContext::new(metadata.as_bytes()).unwrap();
    let mut out = Vec::new();
    let outcome = Parser::new(Arc::new(set)).append_document(&record, &stream, &mut out);
    if !out.is_empty() {
        crate::document::tests::assert_no_duplicates(&out);
    }
    (outcome, String::from_utf8(out).unwrap())
}

#[test]
fn the_first_rule_that_fits_wins_and_others_leave_nothing() {
    let rules = "name: other\nmatch: {namespace: 'k*'}\nsteps: [{pattern: '<z>'}]\n---\nname: health\nmatch: {contains: [/healthz, /readyz]}\nsteps: [{drop: true}]\n---\nname: failing\nsteps: [{pattern: '<early> <message>'}, {json: {}}]\n---\nname: app\nsteps: [{pattern: '<level> <n:int> <message>'}]\n";
    let run = |message: &str| {
        outcome(
            load(rules).unwrap(),
            r#"{"kubernetes.namespace":"shop"}"#,
            message,
        )
    };
    let (dropped, text) = run("GET /readyz");
    assert_eq!(
        (dropped, text.as_str()),
        (Outcome::Dropped { rule: RuleId(1) }, "")
    );
    let (_, text) = run("WARN 007 over");
    assert!(
        text.contains(r#""rule":"app""#) && text.contains(r#""attributes":{"n":7}"#),
        "{text}"
    );
    assert!(
        text.contains(r#""message":"over""#) && text.contains(r#""level":"warn""#),
        "{text}"
    );
    let (_, text) = run(r#"x {"msg":"m","early":1,"n":2}"#);
    assert!(
        text.contains(r#""attributes":{"early":"x","early_2":1,"n":2}"#),
        "{text}"
    );
    // None fits: what recognises itself still does, the rest is tagged.
    let (_, text) = run(r#"{"msg":"m"}"#);
    assert!(
        text.contains(r#""message":"m""#) && !text.contains("unparsed"),
        "{text}"
    );
    let (_, text) = run("nothing");
    assert!(text.contains(r#""tags":["unparsed"]"#), "{text}");
    let (_, text) = outcome(RuleSet::empty(), "{}", "nothing");
    assert!(!text.contains("unparsed"), "{text}");
}

#[test]
fn a_word_that_is_no_level_stays_in_its_place() {
    let run = |steps: &str, line: &str| {
        let rule = format!("name: x\nsteps: [{steps}]\n");
        let (outcome, text) = outcome(load(&rule).unwrap(), "{}", line);
        let Outcome::Document(document) = outcome else {
            panic!("it is kept");
        };
        let level = text.split(r#""level":""#).nth(1);
        let level = level.and_then(|rest| rest.split('"').next());
        let is_matched = document.rule.is_some();
        (is_matched, level.unwrap_or_default().to_owned(), text)
    };
    let line = "AUDIT 7 an ERROR of old";
    for steps in [
        "{pattern: '<log.level> <n:int> <message>'}",
        r"{regex: '^(?P<level>\S+) (?P<n>\d+) (?P<message>.*)$'}",
        "{grok: '^%{WORD:log.level} %{INT:n:int} %{GREEDYDATA:message}'}",
        "{columns: {columns: [log.level, 'n:int', m]}}",
        "{pattern: '<word> <n:int> <message>'}, {rename: {word: log.level}}",
        // Not above `debug` or below it.
        "{pattern: '<log.level> <n:int> <message>'}, {if: {when: log.level >= trace or log.level < fatal, then: [{drop: true}]}}",
    ] {
        let (is_matched, level, text) = run(steps, line);
        assert!(is_matched && level == "audit", "{steps}: {text}");
        assert!(text.contains(r#""n":"#), "{steps}: {text}");
    }
    let severity =
        "{pattern: '<log.level> <message>'}, {severity: {field: log.level, map: {P2: error}}}";
    assert_eq!(run(severity, "P2 x").1, "error");
    assert_eq!(run(severity, "P3 x").1, "p3");
    let redact = "{pattern: '<log.level> <message>'}, {redact: {regexes: {own: audit}}}";
    assert_eq!(run(redact, "AUDIT x").1, "");
    // No word: the line is another.
    let (is_matched, level, _) = run("{pattern: '<log.level> <message>'}", "12:30:45 x");
    assert!(!is_matched && level.is_empty());
}

#[test]
fn values_of_types_are_written_as_json() {
    let rules =
        "name: x\nsteps: [{pattern: '<a:float> <b:bool> <c:ip> <d:time> <event.start> <e>'}]\n";
    let (_, text) = outcome(
        load(rules).unwrap(),
        "{}",
        "1.50 true ::1 1700000000 1700000000 -",
    );
    assert!(
        text.contains(
            r#""attributes":{"a":1.50,"b":true,"c":"::1","d":"2023-11-14T22:13:20.000000000Z"}"#
        ),
        "{text}"
    );
    assert!(
        text.contains(r#""start":"2023-11-14T22:13:20.000000000Z""#),
        "{text}"
    );
}

/// The rules shown in the documentation load, examples and all.
#[test]
fn rules_of_the_documentation_work() {
    let pages = [
        include_str!("../../../docs/rules/README.md"),
        include_str!("../../../docs/rules/tutorial.md"),
        include_str!("../../../docs/rules/reference.md"),
    ];
    let mut n_rules = 0;
    for block in pages
        .iter()
        .flat_map(|page| page.split("```yaml\n").skip(1))
    {
        let yaml = block.split("```").next().unwrap();
        // Where the step is not built its example is not run.
        if yaml.contains("- vrl: ") && !cfg!(feature = "vrl") {
            continue;
        }
        match load(yaml) {
            Ok(set) => n_rules += set.len(),
            Err(problems) => panic!("{problems:#?}\n{yaml}"),
        }
    }
    assert!(n_rules >= 4);
}
