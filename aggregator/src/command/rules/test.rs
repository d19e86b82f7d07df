//! `rules test`: all examples, what differs, and reports that CI systems read.

mod report;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use parsers::{ExampleReport, Fate, Mismatch, RuleSet};

use super::paint::{Paint, Style, visible};

pub(super) const EXAMPLES: &str = "\
Examples:
  tailrace-aggregator rules test ./rules
  tailrace-aggregator rules test --output junit ./rules > report.xml
  tailrace-aggregator rules test --output json ./rules | jq '.examples[] | select(.ok | not)'
  tailrace-aggregator rules test                         the rules that ship";

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportChoice {
    /// For people.
    Text,
    /// JUnit's XML.
    Junit,
    /// One JSON object.
    Json,
}

#[derive(Debug, Args)]
pub(in crate::command) struct TestArgs {
    /// Files, or folders of `*.yaml`. Without any, the rules that ship.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "text")]
    output: ReportChoice,
}

pub(super) fn run(args: &TestArgs, paint: Paint, out: &mut dyn Write) -> anyhow::Result<bool> {
    let started = Instant::now();
    super::there(&args.paths)?;
    let (set, reports) = match super::load_with_examples(&args.paths) {
        Ok(loaded) => loaded,
        Err(problems) => {
            match args.output {
                ReportChoice::Text => super::check::print(&problems, paint, out)?,
                ReportChoice::Junit => {
                    out.write_all(report::junit_of_problems(&problems).as_bytes())?
                }
                ReportChoice::Json => writeln!(out, "{}", report::json_of_problems(&problems))?,
            }
            return Ok(false);
        }
    };
    let n_failed = reports.iter().filter(|report| !report.is_ok()).count();
    match args.output {
        ReportChoice::Text => {
            for report in reports.iter().filter(|report| !report.is_ok()) {
                print_failure(report, &set, paint, out)?;
            }
            let without: Vec<&str> = set
                .names()
                .filter(|name| !reports.iter().any(|report| set.name(report.rule) == *name))
                .collect();
            if !without.is_empty() {
                let what = format!("without an example: {}", without.join(", "));
                writeln!(out, "{}", paint.text(Style::Warn, what))?;
            }
            let (style, word) = match n_failed {
                0 => (Style::Good, "ok".to_owned()),
                n => (Style::Bad, format!("{n} failed")),
            };
            let (n, n_rules) = (reports.len(), set.len());
            writeln!(
                out,
                "{n} examples of {n_rules} rules: {}",
                paint.text(style, word)
            )?;
        }
        ReportChoice::Junit => {
            out.write_all(report::junit(&reports, &set, started.elapsed()).as_bytes())?;
        }
        ReportChoice::Json => writeln!(out, "{}", report::json(&reports, &set))?,
    }
    Ok(n_failed == 0)
}

fn print_failure(
    report: &ExampleReport,
    set: &RuleSet,
    paint: Paint,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let place = format!(
        "{}:{}:{}",
        report.file.display(),
        report.line,
        report.column
    );
    writeln!(
        out,
        "{} {}  {}",
        paint.text(Style::Bad, "FAIL"),
        paint.text(Style::Strong, set.name(report.rule)),
        paint.text(Style::Faint, place)
    )?;
    writeln!(
        out,
        "  {}",
        paint.text(Style::Faint, visible(&report.input))
    )?;
    for mismatch in &report.mismatches {
        let (what, expected, actual) = match mismatch {
            Mismatch::Fate {
                expected,
                actual,
                why,
            } => {
                let why = why.as_ref().map(|why| format!(": {why}"));
                let actual = format!("{}{}", fate(*actual), why.unwrap_or_default());
                ("the record", fate(*expected).to_owned(), actual)
            }
            Mismatch::Field {
                name,
                expected,
                actual,
                ..
            } => (name.as_str(), value(expected), value(actual)),
        };
        let common = common_prefix(&expected, &actual);
        writeln!(out, "    {}", paint.text(Style::Name, what))?;
        print_side(out, paint, Style::Good, "- expected", &expected, common)?;
        print_side(out, paint, Style::Bad, "+ actual  ", &actual, common)?;
    }
    writeln!(out)
}

/// The value, from where it differs in colour.
fn print_side(
    out: &mut dyn Write,
    paint: Paint,
    style: Style,
    side: &str,
    value: &str,
    common: usize,
) -> std::io::Result<()> {
    let (same, other) = value.split_at(common);
    writeln!(
        out,
        "      {} {}{}",
        paint.text(style, side),
        visible(same),
        paint.text(style, visible(other))
    )
}

/// Bytes that two texts have in common at their start, at a character's end.
fn common_prefix(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Matched => "the rule matches",
        Fate::NoMatch => "the rule does not match",
        Fate::Dropped => "dropped",
    }
}

fn value(value: &Option<String>) -> String {
    match value {
        Some(text) if text.is_empty() => "an empty text".to_owned(),
        Some(text) => text.clone(),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn reports(text: &str) -> (RuleSet, Vec<ExampleReport>) {
        RuleSet::from_texts_with_examples(&[(Path::new("r.yaml"), text)]).unwrap()
    }

    const RULES: &str = "name: x\nsteps: [{pattern: '<a:int>'}]\nexamples:\n  - line: '12'\n    fields: {attributes.a: 13}\n  - line: x\n    fields: {}\n  - line: '1'\n    fields: {attributes.a: 1}\n";

    #[test]
    fn what_differs_is_shown() {
        let (set, reports) = reports(RULES);
        let mut out = Vec::new();
        for report in reports.iter().filter(|report| !report.is_ok()) {
            print_failure(report, &set, Paint::plain(), &mut out).unwrap();
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "FAIL x  r.yaml:4:5\n  12\n    attributes.a\n      - expected 13\n      + actual   12\n\n\
             FAIL x  r.yaml:6:5\n  x\n    the record\n      - expected the rule matches\n      + actual   the rule does not match: `pattern` fails at byte 0: `<a:int>`: this is no whole number\n\n"
        );
    }

    #[test]
    fn reports_for_machines_tell_the_same() {
        let (set, reports) = reports(RULES);
        let json = report::json(&reports, &set);
        assert_eq!(
            (&json["examples"][0]["ok"], &json["failed"]),
            (&false.into(), &2.into())
        );
        assert_eq!(json["examples"][0]["mismatches"][0]["expected"], "13");
        assert_eq!(json["examples"][2]["ok"], true);
        let xml = report::junit(&reports, &set, std::time::Duration::ZERO);
        assert!(xml.contains(r#"tests="3" failures="2""#), "{xml}");
        assert!(xml.contains("attributes.a: expected 13, got 12"), "{xml}");
    }
}
