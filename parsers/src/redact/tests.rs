//! What is found and what is left, and what becomes of it.

use proptest::prelude::*;

use super::*;

fn redact(options: &RedactionOptions, text: &str) -> String {
    let redaction = Redaction::new(options).unwrap();
    let (mut finds, mut out) = (Finds::default(), Vec::new());
    match redaction.rewrite(text.as_bytes(), &mut finds, &mut out) {
        true => String::from_utf8(out).unwrap(),
        false => text.to_owned(),
    }
}

#[test]
fn secrets_are_found_and_others_left() {
    let all = RedactionOptions {
        detectors: Detector::ALL.to_vec(),
        ..RedactionOptions::default()
    };
    let check = |text: &str, expected: &str| assert_eq!(redact(&all, text), expected);
    check(
        "mail to bob.x+1@mail.example.org.",
        "mail to [redacted:email].",
    );
    check(
        "user@localhost, @ alone, a@b",
        "user@localhost, @ alone, a@b",
    );
    check("card 4111 1111 1111 1111 paid", "card [redacted:card] paid");
    check(
        "card 4111111111111112 id 1234567890123456",
        "card 4111111111111112 id 1234567890123456",
    );
    check("5500-0055-5555-5559,x", "[redacted:card],x");
    check("took 0.4111111111111111", "took 0.4111111111111111");
    check(
        "IBAN DE89 3704 0044 0532 0130 00 ok",
        "IBAN [redacted:iban] ok",
    );
    check("GB82WEST12345698765432", "[redacted:iban]");
    check("DE00370400440532013000", "DE00370400440532013000");
    check(
        "from 10.1.2.3:8080 and 2001:db8::1.",
        "from [redacted:ip]:8080 and [redacted:ip].",
    );
    check(
        "version 1.2.3.4.5 at 12:30:45",
        "version 1.2.3.4.5 at 12:30:45",
    );
    check(
        "t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_1 x",
        "t=[redacted:jwt] x",
    );
    check("key AKIAIOSFODNN7EXAMPLE.", "key [redacted:aws_key].");
    check(
        "Authorization: Bearer abcdef123456",
        "Authorization: Bearer [redacted:bearer]",
    );
    check(
        "a basic understanding of things",
        "a basic understanding of things",
    );
    check(
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x",
        "[redacted:private_key] x",
    );
    check("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----");
    check(
        "postgres://bob:s3cret@db/x",
        "postgres://bob:[redacted:password]@db/x",
    );
    check(
        "login password=s3cret, user=bob",
        "login password=[redacted:password], user=bob",
    );
    check(
        r#"{"db_password": "a b", "n":1}"#,
        r#"{"db_password": "[redacted:password]", "n":1}"#,
    );
    check("X-Api-Key: 123 y", "X-Api-Key: [redacted:password] y");
    check("password: null", "password: null");
    check("keyword=abc", "keyword=abc");
}

/// Each of these took a time that grew with the square of the text: hours for this one.
#[test]
fn no_text_takes_the_detectors_long() {
    let all = RedactionOptions {
        detectors: Detector::ALL.to_vec(),
        ..RedactionOptions::default()
    };
    for (piece, is_found) in [
        ("eyJ", false),
        ("-eyJ", false),
        ("AKIA", false),
        ("pwd=[redacted", false),
        ("-----BEGIN PRIVATE KEY-----\"", true),
        ("4 ", false),
        ("AB11 ", false),
    ] {
        let text = piece.repeat(500_000 / piece.len());
        assert_eq!(redact(&all, &text) != text, is_found, "{piece}");
    }
}

#[test]
fn where_an_expression_takes_too_long_the_rest_is_taken_for_a_find() {
    let options = RedactionOptions {
        expressions: vec![("own".to_owned(), "a.*z|a".to_owned())],
        ..RedactionOptions::default()
    };
    let redaction = Redaction::new(&options).unwrap();
    let mut finds = Finds {
        deadline: Deadline::running(Duration::ZERO),
        ..Finds::default()
    };
    let (value, mut text) = ("ab".repeat(100), Vec::new());
    assert!(redaction.rewrite(value.as_bytes(), &mut finds, &mut text));
    assert!(finds.is_cut);
    // Some matches, then one that goes to the end.
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("[redacted:own]b[redacted:own]b"));
    assert!(text.ends_with("[redacted:own][redacted:own]") && !text.contains("abab"));
    // As long as there is time, every match is one of its own.
    assert_eq!(redact(&options, &value), "[redacted:own]b".repeat(100));
}

/// The lines kept to write rules for are what the documents are: without secrets.
#[test]
fn unmatched_lines_are_kept_without_their_secrets() {
    const SECRET: &str = "bob@example.org";
    let long = format!(
        "{}{SECRET}",
        "x ".repeat(crate::Unmatched::MAX_BYTES / 2 - 4)
    );
    let lines: [(&[u8], Option<usize>); 5] = [
        (b"mail to bob@example.org", None),
        // The cut would leave a part of it.
        (long.as_bytes(), None),
        (b"\xff bob@example.org", None),
        (b"odd\n\tat bob@example.org", Some(4)),
        (b"for my own: C-17, and bob@example.org", None),
    ];
    for (hash_key, drop) in [(None, false), (Some(b"k".to_vec()), false), (None, true)] {
        let options = RedactionOptions {
            expressions: vec![("own".to_owned(), r"C-\d+".to_owned())],
            hash_key,
            drop,
            ..RedactionOptions::usual()
        };
        // The rule fills fields before it fails.
        let rule = "name: a\nsteps: [{pattern: '<word> <message>'}, {pattern: '<n:int>'}]\n";
        let rules = crate::RuleSet::from_texts(&[(std::path::Path::new("a"), rule)]).unwrap();
        let rules = rules.with_redaction(Redaction::new(&options).unwrap());
        let mut parser = crate::Parser::new(std::sync::Arc::new(rules));
        let stream = crate::StreamContext::new(b"{}").unwrap();
        let mut n_tagged = 0;
        for (message, trace_at) in lines {
            let record = crate::RecordView {
                trace_at,
                ..crate::RecordView::of(message)
            };
            let outcome = parser.append_document(&record, &stream, &mut Vec::new());
            if let crate::Outcome::Document(document) = outcome {
                n_tagged += usize::from(document.tags.contains(Tag::Unparsed));
            }
        }
        let mut n_kept = 0;
        parser.take_unmatched(|kept| {
            let line = String::from_utf8_lossy(&kept.line);
            for secret in ["bob", "example", "C-17"] {
                assert!(!line.contains(secret), "{line}");
            }
            assert!(line.contains('['), "{line}");
            n_kept += 1;
        });
        assert_eq!((n_kept, n_tagged), (4, 4));
    }
}

#[test]
fn redactions_are_equal_when_they_do_the_same() {
    let make = |options: &RedactionOptions| Redaction::new(options).unwrap();
    let usual = RedactionOptions::usual();
    assert_eq!(make(&usual), make(&usual));
    let own = |text: &str| RedactionOptions {
        expressions: vec![("own".to_owned(), text.to_owned())],
        ..RedactionOptions::usual()
    };
    assert_eq!(make(&own("a")), make(&own("a")));
    let drop = RedactionOptions {
        drop: true,
        ..usual.clone()
    };
    for other in [&own("a"), &own("b"), &drop, &RedactionOptions::default()] {
        assert_ne!(make(&usual), make(other));
    }
    assert_ne!(make(&own("a")), make(&own("b")));
    let keyed = RedactionOptions {
        hash_key: Some(b"k".to_vec()),
        ..usual
    };
    let one = make(&keyed);
    let same = &one;
    assert_eq!(*same, one);
    assert_ne!(one, make(&keyed));
}

#[test]
fn hashes_tell_equal_values() {
    let options = RedactionOptions {
        hash_key: Some(b"k".to_vec()),
        ..RedactionOptions::usual()
    };
    let text = redact(&options, "a@b.example and a@b.example and c@b.example");
    let parts: Vec<&str> = text.split(" and ").collect();
    assert!(parts[0].starts_with("[email:") && parts[0] == parts[1] && parts[1] != parts[2]);
}

proptest! {
    #[test]
    fn any_text_stays_text_and_json_stays_json(text in "([a-z0-9@.: =\"/-]|password=|Bearer |eyJ|AKIA|4111111111111111|DE89370400440532013000|-----BEGIN PRIVATE KEY-----|ü){0,24}") {
        let all = RedactionOptions {
            detectors: Detector::ALL.to_vec(),
            secret_names: true,
            ..RedactionOptions::default()
        };
        redact(&all, &text);
        let redaction = Redaction::new(&all).unwrap();
        let json = serde_json::json!({"password": text, "b": [text, 4111111111111111u64, {"c": 1}]}).to_string();
        let (mut finds, mut out) = (Finds::default(), Vec::new());
        prop_assert!(redaction.rewrite_json(json.as_bytes(), &mut finds, &mut out) || text.is_empty());
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
    }
}
