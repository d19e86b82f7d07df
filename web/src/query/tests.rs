use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn check(text: &str, expected: serde_json::Value) {
    let query = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(to_dsl(&query), expected, "{text}");
}

fn phrase(text: &str) -> serde_json::Value {
    json!({"bool": {"should": [
        {"match_phrase": {"message": text}},
        {"match_phrase": {"error.stack_trace": text}},
    ], "minimum_should_match": 1}})
}

fn value(field: &str, text: &str) -> serde_json::Value {
    json!({"match": {field: {"query": text, "operator": "and", "lenient": true}}})
}

fn either(parts: serde_json::Value) -> serde_json::Value {
    json!({"bool": {"should": parts, "minimum_should_match": 1}})
}

#[test]
fn words_and_fields() {
    check("", json!({"match_all": {}}));
    check("  * ", json!({"match_all": {}}));
    check("timeout", phrase("timeout"));
    check("\"timed out\"", phrase("timed out"));
    check(r#""say \"hi\"""#, phrase("say \"hi\""));
    check("level:ERROR", value("log.level", "error"));
    check("level:Warning", value("log.level", "warn"));
    check("service:checkout", value("service.name", "checkout"));
    check("service:\"my shop\"", value("service.name", "my shop"));
    check("path:/health", value("url.path", "/health"));
    check("path:/api/", value("url.path", "/api/"));
    check(
        "msg:timeout",
        json!({"match_phrase": {"message": "timeout"}}),
    );
    check(
        "sku:A-1",
        either(json!([value("sku", "A-1"), value("attributes.sku", "A-1")])),
    );
    check("log.logger:x", value("log.logger", "x"));
    check("trace:*", json!({"exists": {"field": "trace.id"}}));
    check("http://shop/x", phrase("http://shop/x"));
    check("std::io", phrase("std::io"));
    check("12:30", phrase("12:30"));
    check("a=b", phrase("a=b"));
    check("well-known", phrase("well-known"));
    check(
        "- x",
        json!({"bool": {"filter": [phrase("-"), phrase("x")]}}),
    );
    check(r"a\(b", phrase("a(b"));
}

#[test]
fn structure() {
    let (a, b, c) = (phrase("a"), phrase("b"), phrase("c"));
    check("a b", json!({"bool": {"filter": [a, b]}}));
    check("a AND b", json!({"bool": {"filter": [a, b]}}));
    check("a && b", json!({"bool": {"filter": [a, b]}}));
    check("a OR b c", either(json!([a, {"bool": {"filter": [b, c]}}])));
    check(
        "(a OR b) c",
        json!({"bool": {"filter": [either(json!([a, b])), c]}}),
    );
    check("a -b", json!({"bool": {"filter": [a], "must_not": [b]}}));
    check("a NOT b", json!({"bool": {"filter": [a], "must_not": [b]}}));
    check("!a", json!({"bool": {"must_not": [a]}}));
    check("+a", a.clone());
    check(
        "-(a OR b)",
        json!({"bool": {"must_not": [either(json!([a, b]))]}}),
    );
    check(
        "service:(a OR b)",
        either(json!([
            value("service.name", "a"),
            value("service.name", "b")
        ])),
    );
    check(
        "-level:error",
        json!({"bool": {"must_not": [value("log.level", "error")]}}),
    );
    check("level:OR", value("log.level", "or"));
    check("\"OR\"", phrase("OR"));
}

#[test]
fn ranges_and_patterns() {
    check(
        "status>=500",
        either(json!([
            {"range": {"http.response.status_code": {"gte": 500}}},
            {"range": {"attributes.status": {"gte": 500}}},
        ])),
    );
    check(
        "took>500",
        either(json!([
            {"range": {"event.duration": {"gt": 500_000_000}}},
            {"range": {"attributes.took": {"gt": 500}}},
        ])),
    );
    check(
        "event.duration>1.5s",
        json!({"range": {"event.duration": {"gt": 1_500_000_000}}}),
    );
    check(
        "log.offset:[1 TO 5}",
        json!({"range": {"log.offset": {"gte": 1, "lt": 5}}}),
    );
    check(
        "log.offset:{1 TO *]",
        json!({"range": {"log.offset": {"gt": 1}}}),
    );
    check(
        "log.offset:>=5",
        json!({"range": {"log.offset": {"gte": 5}}}),
    );
    check(
        "level>=warn",
        json!({"terms": {"log.level": ["warn", "error", "fatal"]}}),
    );
    check("level:<debug", json!({"terms": {"log.level": ["trace"]}}));
    check(
        "pod:web-*",
        json!({"prefix": {"kubernetes.pod.name": {"value": "web-"}}}),
    );
    check(
        "pod:*-x?",
        json!({"wildcard": {"kubernetes.pod.name": {"value": "*-x?"}}}),
    );
    check(
        "msg:Time*",
        json!({"prefix": {"message": {"value": "time"}}}),
    );
    check(
        "pod:/web-[0-9]+/",
        json!({"regexp": {"kubernetes.pod.name": {"value": "web-[0-9]+"}}}),
    );
    check(
        "msg:conn-ab*",
        json!({"bool": {"filter": [
            {"match_phrase": {"message": "conn"}},
            {"prefix": {"message": {"value": "ab"}}},
        ]}}),
    );
}

/// An id is looked for where ids are.
#[test]
fn pasted_ids_are_found() {
    let query = parse("4bf92f3577b34da6").unwrap();
    assert!(
        to_dsl(&query)
            .to_string()
            .contains(r#"{"term":{"trace.id":"4bf92f3577b34da6"}}"#)
    );
}

#[test]
fn errors_say_where() {
    for (text, start, end, part) in [
        ("a \"b", 2, 3, "quote is not closed"),
        ("(a", 0, 1, "not closed"),
        ("a)", 1, 2, "not opened"),
        ("()", 0, 2, "empty"),
        ("a OR", 2, 4, "nothing follows"),
        ("OR a", 0, 2, "missing before"),
        ("level:", 0, 6, "value is missing"),
        ("level: error", 0, 6, "value is missing"),
        ("took>", 4, 5, "value is missing"),
        ("x took>a*", 7, 9, "no wildcards"),
        ("n:[1 TO", 2, 3, "not closed"),
        ("n:[1 2]", 2, 7, "`[FROM TO TO]`"),
        ("pod:/a[/", 4, 8, "regular expression"),
        ("-", 0, 1, ""),
    ] {
        match parse(text) {
            Err(error) => {
                assert!(error.message.contains(part), "{text}: {error}");
                assert_eq!((error.start, error.end), (start, end), "{text}: {error}");
            }
            // A sign alone is a word.
            Ok(_) => assert_eq!(text, "-"),
        }
    }
}

#[test]
fn positions_are_counted_as_javascript_does() {
    assert_eq!(utf16_offset("ä😀x", 6), 3);
    assert_eq!(byte_offset("ä😀x", 3), 6);
    assert_eq!(byte_offset("ab", 9), 2);
}

#[track_caller]
fn found(query: &str, document: &serde_json::Value) -> bool {
    Matcher::new(&parse(query).unwrap()).is_match(document)
}

#[test]
fn documents_are_matched_as_the_store_would() {
    let document = json!({
        "@timestamp": "2026-11-25T10:00:00Z",
        "message": "Payment timed out after 3 tries: order_id=77",
        "log": {"level": "error"},
        "service": {"name": "checkout"},
        "kubernetes": {"pod.name": "checkout-7d9f"},
        "http": {"response": {"status_code": 503}},
        "event": {"duration": 700_000_000},
        "tags": ["slow", "shop"],
        "attributes": {"sku": "A-1", "left": 3.5},
    });
    for query in [
        "",
        "timed",
        "TIMED",
        "\"timed out\"",
        "level:error",
        "level>=warn",
        "service:checkout",
        "pod:checkout-*",
        "status>=500",
        "status:503",
        "took>500",
        "took<1s",
        "tags:slow",
        "sku:A-1",
        "left>3",
        "left:[3 TO 4]",
        "-level:info",
        "tim*",
        "service:(a OR checkout)",
        "sku:*",
        "pod:/checkout-[0-9a-f]+/",
        "order_id",
        "-(debug OR info)",
        "timed AND NOT refused",
    ] {
        assert!(found(query, &document), "{query}");
    }
    for query in [
        "time",
        "\"out timed\"",
        "level:info",
        "level<error",
        "service:check",
        "status<500",
        "took>1s",
        "tags:fast",
        "nothing:*",
        "-timed",
        "left>4",
        "sku>5",
        "pod:*-8",
        "level>bad",
    ] {
        assert!(!found(query, &document), "{query}");
    }
}

#[test]
fn terms_to_mark() {
    let query = parse("level:error timeout \"timed out\" -x msg:a*b").unwrap();
    assert_eq!(highlight_terms(&query), ["timed out", "timeout", "a", "b"]);
}

/// The place of an error never cuts a character, also where the text is too long.
#[test]
fn a_long_query_of_wide_characters_is_an_error_with_a_place() {
    let error = parse(&"ö€".repeat(2_000)).unwrap_err();
    assert_eq!((error.start, error.end), (4_095, 10_000));
}

proptest! {
    /// Nothing that can be typed panics, errors lie within the text, and what is read can be used.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}|[a-z:()\"*?/<>=\\[\\] ORANDT\\\\-]{0,40}") {
        match parse(&text) {
            Ok(query) => {
                to_dsl(&query);
                Matcher::new(&query).is_match(&json!({"message": text}));
                highlight_terms(&query);
            }
            Err(error) => {
                prop_assert!(error.start <= error.end && error.end <= text.len(), "{error:?}");
                prop_assert!(text.is_char_boundary(error.start) && text.is_char_boundary(error.end));
                prop_assert!(!error.message.is_empty());
            }
        }
    }

    /// Any value, quoted as completion does it, is read back as itself.
    #[test]
    fn quoted_values_come_back(text in "\\PC{1,20}") {
        let quoted = crate::quote(&text);
        let query = parse(&format!("service:{quoted}")).unwrap();
        match query {
            Query::Test(Some(_), Test::Word(read) | Test::Phrase(read)) => prop_assert_eq!(read, text),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
