//! Formats read back what was written in them, and no line makes any rule panic, write invalid
//! JSON or lose the line.

use std::path::Path;
use std::sync::Arc;

use parsers::{Parser, RecordView, RuleSet, StreamContext};
use proptest::prelude::*;
use serde_json::Value;

fn document(parser: &mut Parser, stream: &StreamContext, line: &str) -> Value {
    let record = RecordView {
        time_ns: Some(1_704_164_645_000_000_000),
        ..RecordView::of(line.as_bytes())
    };
    let mut out = Vec::new();
    parser.append_document(&record, stream, &mut out);
    assert!(!out.contains(&b'\n'));
    serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{line:?}: {e}"))
}

fn run(steps: &str, line: &str) -> Value {
    let yaml = format!("name: t\nsteps: [{steps}]\n");
    let rules = RuleSet::from_texts(&[(Path::new("t"), &yaml)]).expect("the steps load");
    let stream = StreamContext::new(b"{}").expect("no metadata");
    document(&mut Parser::new(Arc::new(rules)), &stream, line)
}

/// Texts with all that formats treat in a special way; none that means "nothing".
fn text() -> impl Strategy<Value = String> {
    "[a-cé ,;:=|\"'\\\\\\]]{0,8}".prop_map(|text| format!("x{text}y"))
}

/// Each of these took a time that grew with the square of the line: minutes for this one.
#[test]
fn no_line_takes_a_format_long() {
    let check = |steps: &str, line: &str| {
        // It is kept, whatever becomes of it.
        assert!(run(steps, line)["message"].is_string(), "{steps}");
    };
    let many = |piece: &str| piece.repeat(300_000 / piece.len());
    let numbered = |n: usize, piece: fn(usize) -> String| (0..n).map(piece).collect::<String>();
    check("{csv: {columns: [a]}}", &many("a,"));
    check("{csv: {columns: [a]}}", &many("\"a,"));
    check("{columns: {columns: [a]}}", &many("a "));
    check("{columns: {columns: [a]}}", &many("\"a "));
    check("{columns: {columns: [a]}}", &many("[a "));
    let header = "I0505 17:59:40.692994       1 main.go:1] \"x\" ";
    check("{klog: {}}", &format!("{header}{}", many("a=1 ")));
    let header = "<165>1 2003-10-11T22:14:15.003Z h a - i [x";
    check("{syslog: {}}", &format!("{header}{}] m", many(" a=\"1\"")));
    let pairs = "{key_value: {standalone_keys: drop}}";
    check(pairs, &format!("{}a=b", many("ab ")));
    let attributes = numbered(50_000, |i| format!(" a{i}=\"\""));
    check("{xml: {}}", &format!("<a{attributes}/>"));
    check("{xml: {}}", &many("<!DOCTYPE>"));
    let custom = numbered(200, |i| format!("cs{i}=x "));
    let header = "CEF:0|a|b|1|2|n|3|";
    check(
        "{cef: {}}",
        &format!("{header}{custom}{}", many("src=1.1.1.1 ")),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn csv_reads_what_was_written(values in proptest::collection::vec(text(), 3)) {
        let quoted: Vec<_> = values.iter().map(|v| format!("\"{}\"", v.replace('"', "\"\""))).collect();
        let found = run("{csv: {columns: [a, b, c]}}", &quoted.join(","));
        for (name, value) in ["a", "b", "c"].iter().zip(&values) {
            prop_assert_eq!(&found["attributes"][*name], value);
        }
    }

    #[test]
    fn key_value_reads_what_was_written(values in proptest::collection::vec(text(), 3)) {
        let pair = |(name, value): (&&str, &String)| {
            format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
        };
        let pairs: Vec<_> = ["a", "b", "c"].iter().zip(&values).map(pair).collect();
        let found = run("{key_value: {}}", &pairs.join(" "));
        for (name, value) in ["a", "b", "c"].iter().zip(&values) {
            prop_assert_eq!(&found["attributes"][*name], value);
        }
    }

    #[test]
    fn syslog_reads_structured_data_as_it_was_written(value in text()) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
        let line = format!("<13>1 2024-01-02T03:04:05Z h a - - [id p=\"{escaped}\"] {value}");
        let found = run("{syslog: {}}", &line);
        prop_assert_eq!(&found["attributes"]["structured_data.id.p"], &value);
        prop_assert_eq!(&found["message"], &value);
    }

    #[test]
    fn cef_reads_what_was_written(values in proptest::collection::vec(text(), 2)) {
        let escape = |value: &String| value.replace('\\', "\\\\").replace('=', "\\=");
        let (a, b) = (escape(&values[0]), escape(&values[1]));
        let found = run("{cef: {}}", &format!("CEF:0|v|p|1|2|n|5|one={a} two={b}"));
        prop_assert_eq!(&found["attributes"]["cef.one"], &values[0]);
        prop_assert_eq!(&found["attributes"]["cef.two"], &values[1]);
    }

    #[test]
    fn xml_reads_what_was_written(value in text()) {
        let escaped = value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        let found = run("{xml: {}}", &format!("<a b=\"{escaped}\"><c>{escaped}</c></a>"));
        prop_assert_eq!(&found["attributes"]["a"]["c"], &value);
        prop_assert_eq!(&found["attributes"]["a"]["@b"], &value);
    }
}

/// A pseudo-random number that a test repeats.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

/// Every line of every shipped rule's examples, cut and with bytes put in, through its own rule.
#[test]
fn no_line_near_a_real_one_is_lost() {
    let texts: Vec<_> = RuleSet::shipped()
        .iter()
        .map(|(name, text)| (Path::new(*name), *text))
        .collect();
    let rules = Arc::new(RuleSet::from_texts(&texts).unwrap());
    let mut parser = Parser::new(Arc::clone(&rules));
    let mut state = 88_172_645_463_325_252;
    for (_, text) in RuleSet::shipped() {
        for rule in text.split("\n---\n") {
            let name = rule
                .lines()
                .find_map(|line| line.strip_prefix("name: "))
                .unwrap();
            let metadata = format!(r#"{{"kubernetes.annotations.tailrace.io/parser":"{name}"}}"#);
            let stream = StreamContext::new(metadata.as_bytes()).unwrap();
            let lines = rule
                .lines()
                .filter_map(|line| line.trim().strip_prefix("- line: "));
            for line in lines {
                let line = line
                    .trim_matches(['\'', '"'])
                    .replace("''", "'")
                    .replace("\\n", "\n");
                let characters: Vec<char> = line.chars().collect();
                for _ in 0..8 {
                    let mut odd = characters.clone();
                    let at = next(&mut state) % (odd.len() + 1);
                    match next(&mut state) % 3 {
                        0 => odd.truncate(at),
                        1 => odd.insert(
                            at,
                            ['"', ' ', '[', ']', '\\', '-', 'é', '\n', '=', '|']
                                [next(&mut state) % 10],
                        ),
                        _ => drop(odd.drain(..at)),
                    }
                    let odd: String = odd.into_iter().collect();
                    let found = document(&mut parser, &stream, &odd);
                    if found["tailrace"]["rule"].is_null() && !odd.starts_with('{') {
                        assert_eq!(found["message"], odd, "{name}");
                    }
                    assert!(found["message"].is_string(), "{name} {odd:?}");
                }
            }
        }
    }
}
