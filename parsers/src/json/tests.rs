//! Tests of the walk against serde_json.

use proptest::prelude::*;

use super::*;

fn walk(line: &str) -> Result<Vec<Member>, Refused> {
    let mut members = Vec::new();
    Walker::default()
        .walk(line.as_bytes(), 0, &Marks::default(), &mut members)
        .map(|()| members)
}

#[test]
fn what_is_an_object_and_what_is_not() {
    for line in [
        "{}",
        " { } ",
        r#"{"a":1}"#,
        r#"{"a" : [ ] , "b":{},"c":[{}]}"#,
        "{\"a\":\n1}",
        r#"{"a":NaN,"b":-Infinity}"#,
        "{\"a\":\"\t\"}",
        r#"{"":1}"#,
        r#"{"a":1,"a":2}"#,
        "{\"a\":1}\r",
    ] {
        assert!(walk(line).is_ok(), "{line}");
    }
    for line in [
        "",
        "{",
        "}",
        "[]",
        "1",
        "\"a\"",
        "null",
        r#"{"a":1"#,
        r#"{"a":1}}"#,
        r#"{"a":1} x"#,
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{a:1}"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[,1]}"#,
        r#"{"a":[1}"#,
        r#"{"a":{]}"#,
        r#"{"a":01}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12g4"}"#,
        r#"{"a":"b}"#,
        r#"{"a":tru}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":1}{"b":1}"#,
    ] {
        assert_eq!(walk(line).err(), Some(Refused::NotAnObject), "{line}");
    }
}

#[test]
fn limits_hold_and_a_thousand_levels_are_walked() {
    let many = |n: usize| {
        let keys: Vec<String> = (0..n).map(|i| format!("\"k{i}\":{i}")).collect();
        format!("{{{}}}", keys.join(","))
    };
    assert_eq!(walk(&many(MAX_FIELDS)).unwrap().len(), MAX_FIELDS);
    assert_eq!(
        walk(&many(10_000)).err(),
        Some(Refused::Limit(Tag::JsonTooManyFields))
    );
    // A cut line is no JSON, however many fields it has.
    assert_eq!(
        walk(many(10_000).trim_end_matches('}')).err(),
        Some(Refused::NotAnObject)
    );
    let key = format!("{{\"{}\":1}}", "k".repeat(MAX_KEY + 1));
    assert_eq!(walk(&key).err(), Some(Refused::Limit(Tag::JsonKeyTooLong)));
    let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert!(walk(&deep).is_err());
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
    assert!(walk(&deep).unwrap()[0].dirty);
}

#[test]
fn what_cannot_be_copied_is_dirty() {
    let dirty = |line: &str| walk(line).unwrap().iter().any(|m| m.dirty);
    for line in [
        r#"{"a":{"b":1,"b":2}}"#,
        r#"{"a":{"b":1,"b.c":2}}"#,
        r#"{"a":{"":1}}"#,
        r#"{"a":[1,"x"]}"#,
        r#"{"a":[[1],["x"]]}"#,
        r#"{"a":[{},1]}"#,
        r#"{"a":1e400}"#,
        r#"{"a":[NaN]}"#,
        "{\"a\":[1,\n2]}",
        "{\"a\":\"\u{1}\"}",
        r#"{"a":"\ud800"}"#,
        r#"{"a":{"\u0062":1}}"#,
        r#"{"a":{"b..c":1}}"#,
    ] {
        assert!(dirty(line), "{line}");
    }
    for line in [
        r#"{"a":{"b":1,"c":2}}"#,
        r#"{"a":{"b.c":1,"b.d":2}}"#,
        r#"{"a":[1,2.5,null]}"#,
        r#"{"a":[[1],[2]]}"#,
        r#"{"a":[{"b":1},{"b":2}]}"#,
        "{\n\"a\":1\n}",
        r#"{"a":"\n\ud83d\ude00"}"#,
    ] {
        assert!(!dirty(line), "{line}");
    }
}

/// Any JSON value of serde_json's, as text with and without spaces.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<i32>().prop_map(|n| (f64::from(n) / 8.0).into()),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            proptest::collection::btree_map("[a-z.\"\\\\]{0,4}", inner, 0..5)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn members_are_those_of_serde_json(map in proptest::collection::btree_map(".{0,6}", value(), 0..8), pretty in any::<bool>()) {
        let object = serde_json::Value::Object(map.into_iter().collect());
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let members = walk(&text).unwrap();
        let object = object.as_object().unwrap();
        prop_assert_eq!(members.len(), object.len());
        for member in members {
            let key = format!("\"{}\"", text.get(member.key.start as usize..member.key.end as usize).unwrap());
            let key: String = serde_json::from_str(&key).unwrap();
            let raw = text.get(member.value.start as usize..member.value.end as usize).unwrap();
            let value: serde_json::Value = serde_json::from_str(raw).unwrap();
            prop_assert_eq!(Some(&value), object.get(&key));
            prop_assert!(member.dirty || !raw.contains('\n'));
        }
    }

    #[test]
    fn cut_or_spoilt_lines_are_judged_as_serde_json_does(map in proptest::collection::btree_map("[a-z]{0,3}", value(), 0..4), at in any::<prop::sample::Index>(), byte in prop::sample::select(b"{}[]\",:0ae\\ ".to_vec())) {
        let mut text = serde_json::to_vec(&serde_json::Value::Object(map.into_iter().collect())).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(text) = std::str::from_utf8(&text) {
            let strict = serde_json::from_str::<serde_json::Value>(text);
            match walk(text) {
                Ok(_) => prop_assert!(strict.is_ok() || text.contains("e") || text.contains("\\u") || text.contains("0"), "{}", text),
                Err(Refused::NotAnObject) => prop_assert!(!strict.is_ok_and(|v| v.is_object()), "{}", text),
                Err(Refused::Limit(_)) => {}
            }
        }
    }

    #[test]
    fn no_bytes_panic(line in proptest::collection::vec(prop::sample::select(b"{}[]\",:01eE.+-\\utrfalsn \n\x00\xff".to_vec()), 0..60)) {
        let mut members = Vec::new();
        if Walker::default().walk(&line, 0, &Marks::default(), &mut members).is_ok() {
            prop_assert!(members.iter().all(|m| (m.value.end as usize) < line.len()));
        }
    }
}
