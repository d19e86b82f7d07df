//! Records to documents, whole.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Outcome, Parser, RecordView, RuleSet, StreamContext, Tag};

const META: &str = r#"{"container.id":"c1","kubernetes.namespace":"shop","kubernetes.pod.name":"web-0","log.file.path":"/var/log/x.log","service.name":"web"}"#;

fn record(message: &[u8]) -> RecordView<'_> {
    RecordView {
        message,
        iostream: Some("stdout"),
        time_ns: Some(1_700_000_000_123_456_789),
        now_ns: 1_700_000_001_500_000_000,
        stream: 0xab,
        offset: 4096,
        length: 77,
        parts: &[],
        trace_at: None,
        tags: &[],
        unparsed: false,
    }
}

fn append(record: &RecordView<'_>, metadata: &str) -> Vec<u8> {
    let stream = StreamContext::new(metadata.as_bytes()).unwrap();
    let mut out = Vec::new();
    let outcome =
        Parser::new(Arc::new(RuleSet::empty())).append_document(record, &stream, &mut out);
    assert!(matches!(outcome, Outcome::Document(_)));
    assert_no_duplicates(&out);
    out
}

fn document(message: &str) -> Value {
    serde_json::from_slice(&append(&record(message.as_bytes()), META)).unwrap()
}

/// Valid JSON in one line, no key twice in any object: what a store asks of a document.
pub(crate) fn assert_no_duplicates(document: &[u8]) {
    struct Checked;
    impl<'de> serde::Deserialize<'de> for Checked {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visit;
            impl<'de> serde::de::Visitor<'de> for Visit {
                type Value = Checked;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("JSON")
                }
                fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
                    Ok(Checked)
                }
                fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
                    Ok(Checked)
                }
                fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
                    Ok(Checked)
                }
                fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
                    Ok(Checked)
                }
                fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
                    Ok(Checked)
                }
                fn visit_unit<E>(self) -> Result<Checked, E> {
                    Ok(Checked)
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(
                    self,
                    mut seq: A,
                ) -> Result<Checked, A::Error> {
                    while seq.next_element::<Checked>()?.is_some() {}
                    Ok(Checked)
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Checked, A::Error> {
                    let mut keys: Vec<String> = Vec::new();
                    while let Some((key, Checked)) = map.next_entry::<String, Checked>()? {
                        for other in &keys {
                            let collide = *other == key
                                || other.strip_prefix(&key).is_some_and(|r| r.starts_with('.'))
                                || key
                                    .strip_prefix(other.as_str())
                                    .is_some_and(|r| r.starts_with('.'));
                            if collide {
                                return Err(serde::de::Error::custom(format!(
                                    "`{other}` and `{key}`"
                                )));
                            }
                        }
                        if key.split('.').any(|part| part.trim().is_empty()) {
                            return Err(serde::de::Error::custom(format!("refused key `{key}`")));
                        }
                        keys.push(key);
                    }
                    Ok(Checked)
                }
            }
            deserializer.deserialize_any(Visit)
        }
    }
    assert!(!document.contains(&b'\n'), "a bulk body is made of lines");
    if let Err(error) = serde_json::from_slice::<Checked>(document) {
        panic!("{error}: {}", String::from_utf8_lossy(document));
    }
}

#[test]
fn a_plain_line_has_the_fields_of_its_stream() {
    assert_eq!(
        document("2023 ERROR no \"stock\"\u{0}"),
        json!({
            "@timestamp": "2023-11-14T22:13:20.123456789Z",
            "message": "2023 ERROR no \"stock\"\u{0}",
            "log": {"file": {"path": "/var/log/x.log"}, "offset": 4096, "iostream": "stdout", "level": "error"},
            "event": {"ingested": "2023-11-14T22:13:21.500Z"},
            "tailrace": {"stream": "00000000000000ab", "length": 77},
            "container": {"id": "c1"},
            "kubernetes": {"namespace": "shop", "pod": {"name": "web-0"}},
            "service": {"name": "web"},
            "error": {"fingerprint": "7474a10e9b64a3a7"},
        })
    );
    assert_eq!(document("")["message"], "");
}

/// What the line alone adds: everything but what each document of the stream has.
fn added(message: &str) -> Value {
    let mut all = document(message);
    let plain = document("");
    let object = all.as_object_mut().unwrap();
    for (key, value) in plain.as_object().unwrap() {
        if object.get(key) == Some(value) {
            object.remove(key);
        }
    }
    if let Some(log) = object.get_mut("log").and_then(Value::as_object_mut) {
        log.retain(|key, _| !matches!(key.as_str(), "file" | "offset" | "iostream"));
    }
    // Its own tests say what it is.
    if let Some(error) = object.get_mut("error").and_then(Value::as_object_mut) {
        error.remove("fingerprint");
        if error.is_empty() {
            object.remove("error");
        }
    }
    if let Some(event) = object.get_mut("event").and_then(Value::as_object_mut) {
        event.retain(|key, _| key != "ingested");
    }
    all
}

#[test]
fn json_lines_are_taken_apart() {
    let check = |line: &str, expected: Value| assert_eq!(added(line), expected, "{line}");
    check(
        r#"{"time":"2024-01-02T03:04:05.678901234+01:00","level":"WARNING","msg":"hi \u00e4","order":17,"user":"bob","nested":{"a":[1,2]}}"#,
        json!({"@timestamp": "2024-01-02T02:04:05.678901234Z", "message": "hi ä", "log": {"level": "warn"},
            "attributes": {"order": 17, "user": "bob", "nested": {"a": [1, 2]}}}),
    );
    // pino
    check(
        r#"{"level":50,"time":1700000000123,"pid":7,"hostname":"h","msg":"boom","err":{"type":"TypeError","message":"x","stack":"TypeError: x\n    at a"}}"#,
        json!({"@timestamp": "2023-11-14T22:13:20.123000000Z", "message": "boom", "log": {"level": "error"},
            "error": {"type": "TypeError", "message": "x", "stack_trace": "TypeError: x\n    at a"},
            "process": {"pid": 7}, "host": {"hostname": "h"}}),
    );
    // slog and zap with their callers
    check(
        r#"{"msg":"m","source":{"function":"main.main","file":"/a.go","line":7}}"#,
        json!({"message": "m", "log": {"origin": {"function": "main.main", "file": {"name": "/a.go", "line": 7}}}}),
    );
    check(
        r#"{"msg":"m","caller":"app/main.go:42","file":"a\\b:1"}"#,
        json!({"message": "m", "log": {"origin": {"file": {"name": "app/main.go", "line": 42}}},
            "attributes": {"file": "a\\b:1"}}),
    );
    // ECS, dotted and nested, beside what is not ECS
    check(
        r#"{"log.level":"info","message":"m","http":{"request":{"method":"GET","x":1},"version":"1.1"},"url.path":"/a","service.name":"shop","trace":{"id":"t"},"labels":{"a":"b"},"user":{"name":"u"}}"#,
        json!({"message": "m", "log": {"level": "info"}, "http": {"request": {"method": "GET"}, "version": "1.1"},
            "url": {"path": "/a"}, "service": {"name": "shop"}, "trace": {"id": "t"}, "user": {"name": "u"},
            "attributes": {"http": {"request": {"x": 1}}, "labels": {"a": "b"}}}),
    );
    // zap, with the trace of the logger and an error text
    check(
        r#"{"level":"error","ts":1700000000.5,"logger":"cart","caller":"a.go:1","msg":"failed","error":"no card","stacktrace":"a\nb","trace_id":"1","span_id":"2"}"#,
        json!({"@timestamp": "2023-11-14T22:13:20.500000000Z", "message": "failed",
            "log": {"level": "error", "logger": "cart", "origin": {"file": {"name": "a.go", "line": 1}}}, "error": {"message": "no card", "stack_trace": "a\nb"},
            "trace": {"id": "1"}, "span": {"id": "2"}}),
    );
    // No message: the line is it. A message that is no text stays where it is.
    check(
        r#"{"a":1}"#,
        json!({"message": r#"{"a":1}"#, "attributes": {"a": 1}}),
    );
    check(
        r#"{"msg":{"a":1}}"#,
        json!({"message": r#"{"msg":{"a":1}}"#, "attributes": {"msg": {"a": 1}}}),
    );
    check(
        r#"{"msg":"m","message":"n"}"#,
        json!({"message": "n", "attributes": {"msg": "m"}}),
    );
    check(
        r#"{"event":"started","x":"y"}"#,
        json!({"message": "started", "attributes": {"x": "y"}}),
    );
    check(
        r#"{"message":"m","event":{"code":"c","z":1}}"#,
        json!({"message": "m", "event": {"code": "c"}, "attributes": {"event": {"z": 1}}}),
    );
    // Values of another type than the field's stay attributes.
    check(
        r#"{"msg":"m","http.response.status_code":"200","source.ip":"10.0.0.1","destination.ip":"db","url":"/x","host.name":7,"level":"audit","time":12}"#,
        json!({"message": "m", "http": {"response": {"status_code": 200}}, "source": {"ip": "10.0.0.1"}, "host": {"name": "7"},
            "attributes": {"destination.ip": "db", "url": "/x", "level": "audit", "time": 12}}),
    );
    // Lists of texts, with escapes and over several lines, dotted and nested.
    check(
        r#"{"msg":"m","user.roles":["a\"b","\u00e4"],"event":{"category":["x\\y",null,"\ud800"],"type":["a",1]}}"#,
        json!({"message": "m", "user": {"roles": ["a\"b", "ä"]}, "event": {"category": ["x\\y", null, "\u{FFFD}"]},
            "attributes": {"event": {"type": "[\"a\",1]"}}, "tags": ["json_mixed_array"]}),
    );
    check(
        "{\"msg\":\"m\",\"user\":{\"roles\":[\n\"a\",\n\"\\n\"]}}",
        json!({"message": "m", "user": {"roles": ["a", "\n"]}}),
    );
    // No objects: plain lines.
    for line in [
        r#"{"a":1"#,
        r#"[{"a":1}]"#,
        r#"{"a":1} and more"#,
        r#""text""#,
    ] {
        check(line, json!({"message": line}));
    }
}

#[test]
fn json_that_a_store_refuses_is_written_so_that_it_does_not() {
    let check = |line: &str, expected: Value, tags: &[&str]| {
        let added = added(line);
        assert_eq!(added["attributes"], expected, "{line}");
        assert_eq!(
            added.get("tags").cloned().unwrap_or(json!([])),
            json!(tags),
            "{line}"
        );
    };
    check(
        r#"{"a":1,"a":2,"a":3}"#,
        json!({"a": 1, "a_2": 2, "a_3": 3}),
        &["json_duplicate_keys"],
    );
    check(r#"{"a":1,"a":1}"#, json!({"a": 1}), &[]);
    check(
        r#"{"o":{"a":1,"\u0061":2,"a_2":3}}"#,
        json!({"o": {"a": 1, "a_2": 2, "a_2_2": 3}}),
        &["json_duplicate_keys"],
    );
    check(
        r#"{"a":1,"a.b":2}"#,
        json!({"a": 1, "a_b": 2}),
        &["json_key_changed"],
    );
    check(
        r#"{"a.b":1,"a":{"c":2}}"#,
        json!({"a.b": 1, "a_2": {"c": 2}}),
        &["json_key_changed"],
    );
    check(r#"{"a.b":1,"a.c":2}"#, json!({"a.b": 1, "a.c": 2}), &[]);
    check(
        r#"{"":1," ":2,"x..y":3,".":4,"_id":5,"a\tb":6}"#,
        json!({"_": 1, "__2": 2, "x__y": 3, "__3": 4, "_id": 5, "a_b": 6}),
        &["json_duplicate_keys", "json_key_changed"],
    );
    check(
        r#"{"a":18446744073709551615,"b":1e400,"c":NaN,"d":1e300}"#,
        json!({"a": "18446744073709551615", "b": "1e400", "c": "NaN", "d": 1e300}),
        &["json_number_as_text"],
    );
    check(
        r#"{"a":[1,"x"],"b":[{"c":1},2],"d":[null,1]}"#,
        json!({"a": "[1,\"x\"]", "b": "[{\"c\":1},2]", "d": [null, 1]}),
        &["json_mixed_array"],
    );
    check(
        "{\"a\":[1,\n2],\"b\":\"x\ty\",\"c\":\"\\ud800\"}",
        json!({"a": [1, 2], "b": "x\ty", "c": "\u{FFFD}"}),
        &[],
    );
    let deep = format!("{{\"a\":{}1{}}}", "{\"b\":".repeat(1000), "}".repeat(1000));
    // 1,001 keys are more than the limit; the same depth without keys is cut.
    assert_eq!(
        added(&deep),
        json!({"message": deep, "tags": ["json_too_many_fields"]})
    );
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    assert_eq!(added(&deep)["tags"], json!(["json_too_deep"]));
    let nested = |n: usize| format!("{{\"a\":{}1{}}}", "{\"b\":".repeat(n), "}".repeat(n));
    assert!(added(&nested(18)).get("tags").is_none());
    assert_eq!(added(&nested(19))["tags"], json!(["json_too_deep"]));
    assert!(added(&nested(19)).to_string().contains(r#""{\"b\":1}""#));
}

/// Each further name was looked for from `a_2` on: a time that grew with the cube of their number.
#[test]
fn a_key_may_stand_very_often() {
    let n = crate::json::MAX_KEYS_IN_ARRAYS - 1;
    for (first, tag) in [("a", "json_duplicate_keys"), ("a.b", "json_key_changed")] {
        let members: Vec<String> = (2..=n).map(|i| format!("\"a\":{i}")).collect();
        let line = format!("{{\"o\":[{{\"{first}\":1,{}}}]}}", members.join(","));
        let value = document(&line);
        let object = &value["attributes"]["o"][0];
        assert_eq!(object[first], 1);
        assert_eq!(object[&format!("a_{n}")], n);
        assert_eq!(object.as_object().unwrap().len(), n);
        assert!(value["tags"].as_array().unwrap().contains(&json!(tag)));
    }
}

#[test]
fn logfmt_lines_are_taken_apart() {
    assert_eq!(
        added(
            r#"time=2024-01-02T03:04:05Z level=error msg="no \"card\"" order=17 trace_id=abc source.ip=10.0.0.1 a=1 a=2"#
        ),
        json!({"@timestamp": "2024-01-02T03:04:05.000000000Z",
            "message": r#"time=2024-01-02T03:04:05Z level=error msg="no \"card\"" order=17 trace_id=abc source.ip=10.0.0.1 a=1 a=2"#,
            "log": {"level": "error"}, "trace": {"id": "abc"}, "source": {"ip": "10.0.0.1"},
            "attributes": {"msg": "no \"card\"", "order": "17", "a": "1", "a_2": "2"},
            "tags": ["json_duplicate_keys"]})
    );
    assert_eq!(
        added("a=1 b=2 c=3 word"),
        json!({"message": "a=1 b=2 c=3 word", "attributes": {"a": "1", "b": "2", "c": "3"}})
    );
}

#[test]
fn times_out_of_range_give_way_to_the_runtimes() {
    let line = r#"{"time":"0001-01-01T00:00:00Z","msg":"m"}"#;
    assert_eq!(
        added(line),
        json!({"message": "m", "attributes": {"time": "0001-01-01T00:00:00Z"}, "tags": ["time_out_of_range"]})
    );
}

#[test]
fn traces_and_parts_and_tags_are_written() {
    let text = "ERROR no\njava.lang.IllegalStateException: stock\n\tat a.B.c(B.java:1)";
    let mut view = record(text.as_bytes());
    view.trace_at = Some(9);
    view.parts = &[(1, 2, 3), (4, 5, 6)];
    view.tags = &["partial"];
    let value: Value = serde_json::from_slice(&append(&view, r#"{"tags":["prod"]}"#)).unwrap();
    assert_eq!(value["message"], text);
    assert_eq!(
        value["error"],
        json!({"type": "java.lang.IllegalStateException", "message": "stock", "stack_trace": text.get(9..).unwrap(), "fingerprint": "459533ecc1e6130a"})
    );
    assert_eq!(
        value["tailrace"]["parts"],
        json!([{"stream": "0000000000000001", "offset": 2, "length": 3}, {"stream": "0000000000000004", "offset": 5, "length": 6}])
    );
    assert_eq!(value["tags"], json!(["prod", "partial"]));
    // The type of a Go panic is a part of the line, too (found by fuzzing).
    let text = "panic: no stock\n\ngoroutine 1 [running]:";
    view.message = text.as_bytes();
    view.trace_at = Some(0);
    let value: Value = serde_json::from_slice(&append(&view, "{}")).unwrap();
    let mut error = value["error"].clone();
    assert!(
        error
            .as_object_mut()
            .unwrap()
            .remove("fingerprint")
            .is_some()
    );
    assert_eq!(
        error,
        json!({"type": "panic", "message": "no stock", "stack_trace": text})
    );
    // A JSON line followed by a trace.
    let text = "{\"msg\":\"no\",\"level\":\"error\"}\nValueError: x\n  at y";
    view.message = text.as_bytes();
    view.trace_at = Some(29);
    let value: Value = serde_json::from_slice(&append(&view, "{}")).unwrap();
    assert_eq!(
        (&value["message"], &value["log"]["level"]),
        (&json!("no"), &json!("error"))
    );
    assert_eq!(value["error"]["stack_trace"], "ValueError: x\n  at y");
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_tagged() {
    let mut view = record(b"{\"msg\":\"a\xffb\"}");
    let value: Value = serde_json::from_slice(&append(&view, "{}")).unwrap();
    assert_eq!(
        (&value["message"], &value["tags"]),
        (&json!("a\u{FFFD}b"), &json!(["invalid_utf8"]))
    );
    // DELIVERY rule 12: a suspect chunk's records are framed but not parsed.
    view.message = b"{\"msg\":\"a\"}";
    view.unparsed = true;
    let value: Value = serde_json::from_slice(&append(&view, "{}")).unwrap();
    assert_eq!(
        (&value["message"], &value["tags"]),
        (&json!("{\"msg\":\"a\"}"), &json!(["suspect"]))
    );
}

#[test]
fn a_line_may_not_overwrite_what_the_agent_knows() {
    let stream = r#"{"host.name":"node-1","service.name":"web","service.id":"s","kubernetes.namespace":"shop"}"#;
    let line = br#"{"msg":"m","host":{"name":"evil","ip":"10.0.0.1"},"service":{"name":"app","version":"1"},"kubernetes":{"namespace":"x"},"tailrace":{"stream":"0"},"data_stream.dataset":"d"}"#;
    let value: Value = serde_json::from_slice(&append(&record(line), stream)).unwrap();
    assert_eq!(value["host"], json!({"ip": "10.0.0.1", "name": "node-1"}));
    assert_eq!(
        value["service"],
        json!({"id": "s", "name": "app", "version": "1"})
    );
    assert_eq!(value["kubernetes"], json!({"namespace": "shop"}));
    assert_eq!(
        value["attributes"],
        json!({"host": {"name": "evil"}, "kubernetes": {"namespace": "x"}, "tailrace": {"stream": "0"}, "data_stream.dataset": "d"})
    );
}

/// JSON-like text with odd keys, so that collisions of all sorts are met.
fn odd_json() -> impl Strategy<Value = String> {
    let key = "(a|b|a\\.b|a\\.b\\.c|b_2|a_2|_|\\.|\\.\\.| |msg|level|time|error|http|http\\.version|service|service\\.name|log|log\\.level|host\\.name|\\\\u0061|\\\\n|)";
    let leaf = prop_oneof![
        "(null|true|1|-0|1e999|99999999999999999999|NaN|\"\"|\"x\"|\"\\\\\\\\ud800\"|\"\\\\n\"|\"2024-01-02T03:04:05Z\"|\"error\"|\"10\\.0\\.0\\.1\")",
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|v| format!("[{}]", v.join(","))),
            proptest::collection::vec((key, inner), 0..6).prop_map(|m| {
                let members: Vec<String> = m.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn every_line_makes_a_document_a_store_takes(line in odd_json(), trace_at in proptest::option::of(0usize..80)) {
        let mut view = record(line.as_bytes());
        view.trace_at = trace_at;
        let value: Value = serde_json::from_slice(&append(&view, META)).unwrap();
        prop_assert!(value["message"].is_string());
    }

    #[test]
    fn any_bytes_make_a_document_and_their_text_is_kept(line in proptest::collection::vec(any::<u8>(), 0..120), trace_at in proptest::option::of(0usize..120)) {
        let mut view = record(&line);
        view.trace_at = trace_at;
        let value: Value = serde_json::from_slice(&append(&view, META)).unwrap();
        // Random bytes are neither JSON nor, but for odd cases, logfmt.
        if value.get("attributes").is_none() {
            let expected = String::from_utf8_lossy(&line);
            // Cut at a trace, each side is made valid on its own.
            if trace_at.is_none() || std::str::from_utf8(&line).is_ok() {
                prop_assert_eq!(value["message"].as_str().unwrap(), expected);
            }
        }
        let tagged = value.get("tags").is_some_and(|t| t.as_array().unwrap().contains(&json!(Tag::InvalidUtf8.name())));
        prop_assert_eq!(tagged, std::str::from_utf8(&line).is_err());
    }

    #[test]
    fn a_trace_may_be_said_to_start_anywhere(line in "[é😀a: \n]{0,20}|(panic: |java.a.BError: |Traceback )[é\n ]{0,9}", trace_at in 0usize..30) {
        let mut view = record(line.as_bytes());
        view.trace_at = Some(trace_at);
        append(&view, META);
    }

    #[test]
    fn words_and_pairs_in_any_order_make_a_document(line in "((a|b|a\\.b|level|time|msg|\\.)=(1|\"x y\"|\"\\\\n\"|info|)|word|=)( ((a|b|a\\.b|a\\.|level|trace_id|url)=(1|\"x\"|ERROR)|w)){0,6}") {
        append(&record(line.as_bytes()), META);
    }
}
