//! Results of `rules test` as JUnit's XML and as JSON.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use parsers::{ExampleReport, Mismatch, Problem, RuleSet};
use serde_json::{Value, json};

/// A suite for each file, a case for each example.
pub(super) fn junit(reports: &[ExampleReport], set: &RuleSet, took: Duration) -> String {
    let failures =
        |reports: &[ExampleReport]| reports.iter().filter(|report| !report.is_ok()).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    push(
        &mut out,
        format_args!(
            "<testsuites tests=\"{}\" failures=\"{}\" time=\"{:.3}\">\n",
            reports.len(),
            failures(reports),
            took.as_secs_f64()
        ),
    );
    for suite in reports.chunk_by(|a, b| a.file == b.file) {
        let file = suite
            .first()
            .map_or(Path::new(""), |report| report.file.as_path());
        push(
            &mut out,
            format_args!(
                "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">\n",
                escaped(&file.display().to_string()),
                suite.len(),
                failures(suite)
            ),
        );
        for report in suite {
            push(
                &mut out,
                format_args!(
                    "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
                    escaped(set.name(report.rule)),
                    escaped(&format!("line {}", report.line)),
                    escaped(&file.display().to_string()),
                    report.line
                ),
            );
            if report.is_ok() {
                out.push_str("/>\n");
                continue;
            }
            let said: Vec<String> = report.mismatches.iter().map(sentence).collect();
            push(
                &mut out,
                format_args!(
                    ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                    escaped(&said.join("; ")),
                    escaped(&report.input)
                ),
            );
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Rules that do not load: one error.
pub(super) fn junit_of_problems(problems: &[Problem]) -> String {
    let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"1\" errors=\"1\">\n  <testsuite name=\"rules\" tests=\"1\" errors=\"1\">\n    <testcase classname=\"rules\" name=\"load\">\n      <error message=\"the rules do not load\">{}</error>\n    </testcase>\n  </testsuite>\n</testsuites>\n",
        escaped(&list.join("\n"))
    )
}

pub(super) fn json(reports: &[ExampleReport], set: &RuleSet) -> Value {
    let examples: Vec<Value> = reports
        .iter()
        .map(|report| {
            let mismatches: Vec<Value> = report
                .mismatches
                .iter()
                .map(|mismatch| match mismatch {
                    Mismatch::Fate { expected, actual, why } => json!({
                        "expected": super::fate(*expected), "actual": super::fate(*actual), "why": why,
                    }),
                    Mismatch::Field { name, line, column, expected, actual } => json!({
                        "field": name, "line": line, "column": column,
                        "expected": expected, "actual": actual,
                    }),
                })
                .collect();
            json!({
                "rule": set.name(report.rule),
                "file": report.file.display().to_string(),
                "line": report.line,
                "column": report.column,
                "input": report.input,
                "ok": report.is_ok(),
                "mismatches": mismatches,
            })
        })
        .collect();
    let failed = reports.iter().filter(|report| !report.is_ok()).count();
    json!({"rules": set.len(), "failed": failed, "problems": [], "examples": examples})
}

pub(super) fn json_of_problems(problems: &[Problem]) -> Value {
    let problems: Vec<Value> = problems
        .iter()
        .map(|problem| {
            json!({
                "file": problem.file.display().to_string(), "line": problem.line,
                "column": problem.column, "what": problem.what, "hint": problem.hint,
            })
        })
        .collect();
    json!({"rules": 0, "failed": 0, "problems": problems, "examples": []})
}

fn sentence(mismatch: &Mismatch) -> String {
    match mismatch {
        Mismatch::Fate {
            expected, actual, ..
        } => {
            format!(
                "expected: {}, got: {}",
                super::fate(*expected),
                super::fate(*actual)
            )
        }
        Mismatch::Field {
            name,
            expected,
            actual,
            ..
        } => {
            format!(
                "{name}: expected {}, got {}",
                super::value(expected),
                super::value(actual)
            )
        }
    }
}

/// Text for XML. Control characters, which XML cannot hold, become `�`.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Writing to a `String` cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    #[test]
    fn xml_holds_any_text() {
        assert_eq!(
            super::escaped("<a & \"b\">\n\u{1b}"),
            "&lt;a &amp; &quot;b&quot;&gt;&#10;\u{fffd}"
        );
    }
}
