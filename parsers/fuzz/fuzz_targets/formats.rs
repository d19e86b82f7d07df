//! Any bytes through any format make one valid document: `cargo +nightly fuzz run formats`, in
//! `parsers/`. The first byte of the input chooses the rule: those that ship and one for each
//! format step. `seeds/formats` holds a line for each.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use parsers::{Outcome, Parser, RecordView, RuleSet, StreamContext};

/// Formats that are steps of their own, with options that reach all of their code.
const STEPS: &str = r#"
name: s.key_value
steps: [{key_value: {field_separator: ',', key_value_separator: ':', prefix: a.}}]
---
name: s.key_value_blank
steps: [{key_value: {}}]
---
name: s.ltsv
steps: [{ltsv: {}}]
---
name: s.csv
steps: [{csv: {columns: [a, 'b:int', message]}}]
---
name: s.tsv
steps: [{tsv: {columns: [a, 'b:float', message]}}]
---
name: s.columns
steps: [{columns: {columns: ['client:host_port', ':request', ':date', ':time', 'n:int'], lenient: true}}]
---
name: s.klog
steps: [{klog: {}}]
---
name: s.glog
steps: [{glog: {}}]
---
name: s.syslog
steps: [{syslog: {}}]
---
name: s.syslog_new
steps: [{syslog: {rfc: '5424'}}]
---
name: s.cef
steps: [{cef: {}}]
---
name: s.xml
steps: [{xml: {}}]
---
name: s.grok
steps: [{grok: ['^%{COMBINEDAPACHELOG}$', '%{SYSLOGLINE}', '(?<q>["x])%{NUMBER:n:float}\k<q>']}]
---
name: s.json
steps: [{json: {}}]
---
name: s.logfmt
steps: [{logfmt: {}}]
"#;

struct Case {
    rules: Arc<RuleSet>,
    /// One for each rule, in whose metadata it is named.
    streams: Vec<StreamContext>,
}

static CASE: LazyLock<Case> = LazyLock::new(|| {
    let mut texts: Vec<_> = RuleSet::shipped().iter().map(|(n, t)| (Path::new(*n), *t)).collect();
    texts.push((Path::new("steps"), STEPS));
    let rules = RuleSet::from_texts(&texts).expect("the rules load");
    let stream = |name: &str| {
        let metadata = format!(r#"{{"kubernetes.annotations.tailrace.io/parser":"{name}"}}"#);
        StreamContext::new(metadata.as_bytes()).expect("metadata")
    };
    let streams = rules.names().map(stream).collect();
    Case { rules: Arc::new(rules), streams }
});

fuzz_target!(|input: &[u8]| {
    let Some((choice, message)) = input.split_first() else { return };
    let stream = &CASE.streams[usize::from(*choice) % CASE.streams.len()];
    let record = RecordView {
        message,
        iostream: Some("stderr"),
        time_ns: Some(1_704_164_645_000_000_000),
        now_ns: 0,
        stream: 1,
        offset: 2,
        length: 3,
        parts: &[],
        trace_at: None,
        tags: &[],
        unparsed: false,
    };
    let mut out = Vec::new();
    let outcome = Parser::new(Arc::clone(&CASE.rules)).append_document(&record, stream, &mut out);
    assert!(matches!(outcome, Outcome::Document(_)));
    assert!(!out.contains(&b'\n'));
    let value: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
    assert!(value["message"].is_string());
});
