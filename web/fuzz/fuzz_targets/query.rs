//! Any text is a query or an error with a place in it; any text is a time or an error.
#![no_main]

use std::time::Duration;

use web::query::{Matcher, highlight_terms, parse, to_dsl};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(query) => {
            to_dsl(&query);
            highlight_terms(&query);
            Matcher::new(&query).is_match(&serde_json::json!({"message": text, "log": {"level": text}}));
        }
        Err(error) => {
            assert!(error.start <= error.end && error.end <= text.len());
            assert!(text.is_char_boundary(error.start) && text.is_char_boundary(error.end));
        }
    }
    let zone = web::time::zone("Europe/Berlin").expect("the zones are built in");
    let now = "2026-11-25T10:30:15Z".parse().expect("a time");
    let day = Duration::from_secs(86_400);
    if let Ok(range) = web::time::range(Some(text), None, &zone, now, day) {
        assert!(range.from < range.to);
    }
});
