//! Any bytes make one valid document: `cargo +nightly fuzz run document`, in `parsers/`.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use parsers::{Outcome, Parser, RecordView, RuleSet, StreamContext};

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let texts: Vec<_> = RuleSet::shipped().iter().map(|(n, t)| (Path::new(*n), *t)).collect();
    Arc::new(RuleSet::from_texts(&texts).expect("the shipped rules load"))
});

fuzz_target!(|input: (Option<u8>, &[u8])| {
    let (trace_at, message) = input;
    let metadata = br#"{"service.name":"web","host.name":"h","kubernetes.container.name":"redis"}"#;
    let stream = StreamContext::new(metadata).expect("metadata");
    let record = RecordView {
        message,
        iostream: Some("stderr"),
        time_ns: None,
        now_ns: 0,
        stream: 1,
        offset: 2,
        length: 3,
        parts: &[],
        trace_at: trace_at.map(usize::from),
        tags: &[],
        unparsed: false,
    };
    let mut out = Vec::new();
    let outcome = Parser::new(Arc::clone(&RULES)).append_document(&record, &stream, &mut out);
    assert!(matches!(outcome, Outcome::Document(_)));
    assert!(!out.contains(&b'\n'));
    let value: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
    assert!(value["message"].is_string());
});
