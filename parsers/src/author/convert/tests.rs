//! Definitions of other programs come out as rules that take their lines.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::{Parser, RecordView, RuleSet, StreamContext};

/// The document that the converted rules make of a line; `None` when none of them takes it.
fn document(rules: &str, line: &str) -> Option<Value> {
    let set = RuleSet::from_texts(&[(Path::new("r.yaml"), rules)]);
    let set = set.unwrap_or_else(|problems| panic!("{problems:#?}\n{rules}"));
    let record = RecordView {
        time_ns: Some(0),
        ..RecordView::of(line.as_bytes())
    };
    let mut out = Vec::new();
    let stream = StreamContext::new(b"{}").unwrap();
    Parser::new(Arc::new(set)).append_document(&record, &stream, &mut out);
    let document: Value = serde_json::from_slice(&out).unwrap();
    document.pointer("/tailrace/rule")?;
    Some(document)
}

fn check(text: &str, line: &str, expected: &[(&str, &str)]) -> Converted {
    let dialect = Dialect::of(text).expect("the dialect is recognised");
    let converted = convert(dialect, text);
    let document = document(&converted.rules, line).unwrap_or_else(|| {
        panic!(
            "no rule takes {line}\n{}\n{:?}",
            converted.rules, converted.notes
        )
    });
    for (pointer, value) in expected {
        let found = document.pointer(pointer).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        assert_eq!(
            found.as_deref(),
            Some(*value),
            "{pointer}\n{document:#}\n{}",
            converted.rules
        );
    }
    converted
}

#[test]
fn a_classic_parsers_file_of_fluent_bit() {
    let text = r#"
# conf/parsers.conf
[PARSER]
    Name   apache
    Format regex
    Regex  ^(?<host>[^ ]*) [^ ]* (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)$
    Time_Key time
    Time_Format %d/%b/%Y:%H:%M:%S %z
    Types code:integer size:integer

[PARSER]
    Name        docker
    Format      json
    Time_Key    time
    Time_Format %Y-%m-%dT%H:%M:%S.%L
    Time_Keep   On

[MULTILINE_PARSER]
    name  multi
    type  regex
    rule  "start_state" "/^\d/" "cont"

[SERVICE]
    Flush 1
"#;
    let converted = check(
        text,
        r#"192.168.2.20 - - [28/Jul/2006:10:27:10 -0300] "GET /cgi-bin/try/ HTTP/1.0" 200 3395"#,
        &[
            ("/attributes/code", "200"),
            ("/attributes/size", "3395"),
            ("/attributes/method", "GET"),
            ("/@timestamp", "2006-07-28T13:27:10.000000000Z"),
        ],
    );
    assert_eq!(converted.n_rules, 2, "{converted:#?}");
    let notes: Vec<String> = converted.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("line 16: ") && note.contains("not kept")),
        "{notes:#?}"
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("`multi` is not converted")),
        "{notes:#?}"
    );
    assert!(
        notes.iter().any(|note| note.contains("[SERVICE]")),
        "{notes:#?}"
    );
}

#[test]
fn a_yaml_parsers_file_of_fluent_bit() {
    let text = "parsers:\n  - name: app\n    format: regex\n    regex: '^(?<level>[A-Z]+) (?<took>\\d+\\.\\d+) (?<message>.*)$'\n    types: took:float\n  - name: kv\n    format: logfmt\n";
    let converted = check(
        text,
        "WARN 0.25 over",
        &[
            ("/log/level", "warn"),
            ("/attributes/took", "0.25"),
            ("/message", "over"),
        ],
    );
    assert_eq!(
        (converted.n_rules, converted.notes.len()),
        (2, 0),
        "{converted:#?}"
    );
}

#[test]
fn parse_sections_of_fluentd() {
    let text = r"
<source>
  @type tail
  tag shop.web
  <parse>
    @type multi_format
    <pattern>
      format regexp
      expression /^(?<level>[A-Z]+): (?<n>\d+) \h+$/
      types n:integer
    </pattern>
    <pattern>
      format none
    </pattern>
  </parse>
</source>
<filter kube.**>
  @type parser
  key_name log
  <parse>
    @type json
    time_key ts
  </parse>
</filter>
";
    let converted = check(
        text,
        "ERROR: 7 0af",
        &[("/attributes/n", "7"), ("/log/level", "error")],
    );
    let names: Vec<&str> = converted
        .rules
        .lines()
        .filter_map(|line| line.strip_prefix("name: "))
        .collect();
    assert_eq!(names, ["shop.web.regexp", "kube.json"]);
}

#[test]
fn a_pipeline_of_logstash() {
    let text = r#"
input { beats { port => 5044 } }
filter {
  if [kubernetes][container][name] == "web" {
    dissect { mapping => { "message" => "%{level} <%{n}> %{?skipped} %{message}" } convert_datatype => { "n" => "int" } }
  } else if "healthz" in [message] {
    drop { }
  }
  ruby { code => "1" }
}
"#;
    let dialect = Dialect::of(text).unwrap();
    let converted = convert(dialect, text);
    assert_eq!(dialect, Dialect::Logstash);
    assert!(
        converted.rules.contains("container: [web]"),
        "{}",
        converted.rules
    );
    assert!(
        converted.rules.contains("contains: [healthz]"),
        "{}",
        converted.rules
    );
    assert_eq!(converted.n_rules, 2, "{converted:#?}");
    assert!(
        converted
            .notes
            .iter()
            .any(|note| note.what.contains("`ruby`"))
    );
    let alone = "dissect { mapping => { \"message\" => \"%{level} <%{n}> %{?skipped} %{message}\" } convert_datatype => { \"n\" => \"int\" } }";
    check(
        alone,
        "INFO <7> x the rest",
        &[("/attributes/n", "7"), ("/message", "the rest")],
    );
}

#[test]
fn what_cannot_be_a_rule_stands_in_a_comment_with_the_reason() {
    let converted = convert(
        Dialect::FluentBit,
        "[PARSER]\n    Name x\n    Format regex\n    Regex (?<a>x)(?=y)\n[PARSER]\n    Name y\n    Format hexdump\n",
    );
    assert_eq!(converted.n_rules, 0);
    assert!(
        converted.rules.lines().all(|line| line.starts_with('#')),
        "{}",
        converted.rules
    );
    let notes: Vec<String> = converted.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes.iter().any(|note| note.contains("look-around")),
        "{notes:#?}"
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("no format `hexdump`")),
        "{notes:#?}"
    );
}

#[test]
fn dialects_are_recognised() {
    let check = |text: &str, expected| assert_eq!(Dialect::of(text), expected, "{text}");
    check("[parser]\n name x\n", Some(Dialect::FluentBit));
    check("multiline_parsers:\n", Some(Dialect::FluentBit));
    check("<parse>\n</parse>\n", Some(Dialect::Fluentd));
    check("filter {\n}\n", Some(Dialect::Logstash));
    check("name: a rule\n", None);
    check("", None);
}

/// Whatever is read, nothing panics, and what comes out loads or is a comment.
#[test]
fn odd_texts_are_survived() {
    let texts = [
        "[PARSER]\n",
        "[PARSER",
        "<parse>\n</source>\n</parse>\n",
        "</parse>",
        "<grok>\npattern x\n</grok>\n",
        "filter { grok { match => { } } }",
        "filter { if { } }",
        "filter {",
        "parsers: [",
        "parsers:\n - x\n",
        "[PARSER]\nName\nFormat\nRegex /\n",
        "<source>\nformat /(/\n</source>\n",
        "date { match => [] }",
        "kv { }",
        "mutate { rename => [\"a\"] }",
        "grok { match => { \"message\" => \"%{\" } }",
    ];
    for text in texts {
        for dialect in [Dialect::FluentBit, Dialect::Logstash, Dialect::Fluentd] {
            let converted = convert(dialect, text);
            let rules = RuleSet::from_texts(&[(Path::new("r"), &converted.rules)]);
            assert_eq!(
                rules.map(|set| set.len()).unwrap_or(usize::MAX),
                converted.n_rules,
                "{text}\n{}",
                converted.rules
            );
        }
    }
}
