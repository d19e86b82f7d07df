//! `rules try`: lines in, fields out.

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use parsers::Outcome;
use serde_json::{Value, json};

use super::lines::LineArgs;
use super::paint::{Paint, Style, visible};
use super::{OutputChoice, RuleArgs};

pub(super) const EXAMPLES: &str = "\
Examples:
  kubectl logs web-0 | tailrace-aggregator rules try
  tailrace-aggregator rules try --rules ./rules --rule shop.checkout < samples.log
  tailrace-aggregator rules try --framing cri < /var/log/containers/web-0_shop_web-1.log
  tailrace-aggregator rules try --output json < samples.log | jq .log.level
  tailrace-aggregator rules try --rules ./rules --meta kubernetes.namespace=shop < samples.log";

#[derive(Debug, Args)]
pub(in crate::command) struct TryArgs {
    #[command(flatten)]
    rules: RuleArgs,
    /// `text`: the fields, one a line; `json`: the document of each record, one a line.
    #[arg(long, value_enum, default_value = "text")]
    output: OutputChoice,
    #[command(flatten)]
    lines: LineArgs,
}

pub(super) fn run(args: &TryArgs, paint: Paint, out: &mut dyn Write) -> anyhow::Result<bool> {
    let (set, only) = args.rules.load()?;
    let set = Arc::new(set);
    let mut document = Vec::new();
    args.lines
        .parse_stdin(&set, only, &mut |parser, record, stream| {
            document.clear();
            let outcome = parser.append_document(record, stream, &mut document);
            match (args.output, outcome) {
                (OutputChoice::Json, Outcome::Document(_)) => {
                    out.write_all(&document)?;
                    writeln!(out)?;
                }
                // There is no document, and still one object a record.
                (OutputChoice::Json, Outcome::Dropped { rule }) => {
                    let name = set.name(rule);
                    writeln!(
                        out,
                        "{}",
                        json!({"tailrace": {"dropped": true, "rule": name}})
                    )?;
                }
                (OutputChoice::Text, Outcome::Document(_)) => {
                    print_fields(record.message, &document, paint, out)?;
                }
                (OutputChoice::Text, Outcome::Dropped { rule }) => {
                    print_line(record.message, paint, out)?;
                    let what = format!("dropped by {}", set.name(rule));
                    writeln!(out, "  {}\n", paint.text(Style::Warn, what))?;
                }
            }
            Ok(out.flush()?)
        })?;
    Ok(true)
}

fn print_line(message: &[u8], paint: Paint, out: &mut dyn Write) -> std::io::Result<()> {
    let text = visible(&String::from_utf8_lossy(message));
    writeln!(out, "{}", paint.text(Style::Faint, text))
}

/// Fields that say nothing of the line, but of the reading here.
const OURS: &[&str] = &[
    "event.ingested",
    "log.offset",
    "tailrace.stream",
    "tailrace.length",
];

fn print_fields(
    message: &[u8],
    document: &[u8],
    paint: Paint,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    print_line(message, paint, out)?;
    let document: Value = serde_json::from_slice(document)?;
    let mut leaves = Vec::new();
    flatten("", &document, &mut leaves);
    leaves.retain(|(name, value)| {
        let is_line = name == "message" && value.as_str().map(str::as_bytes) == Some(message);
        !OURS.contains(&name.as_str()) && !is_line
    });
    let width = leaves
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    for (name, value) in leaves {
        let blanks = " ".repeat(width - name.chars().count());
        let style = match (name.as_str(), &value) {
            ("tags", _) => Style::Warn,
            ("tailrace.rule", _) => Style::Good,
            _ => Style::Strong,
        };
        let shown = match &value {
            Value::String(text) => visible(text),
            other => other.to_string(),
        };
        writeln!(
            out,
            "  {}{blanks}  {}",
            paint.text(Style::Name, name),
            paint.text(style, shown)
        )?;
    }
    writeln!(out)?;
    Ok(())
}

/// Dotted names and values; lists are values.
pub(super) fn flatten(prefix: &str, value: &Value, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let name = match prefix {
                    "" => key.clone(),
                    prefix => format!("{prefix}.{key}"),
                };
                flatten(&name, value, out);
            }
        }
        other => out.push((prefix.to_owned(), other.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_listed_without_what_is_not_of_the_line() {
        let document = br#"{"@timestamp":"2024-01-01T00:00:00Z","message":"m","log":{"offset":1,"level":"warn"},"tailrace":{"rule":"r","stream":"0","length":1},"attributes":{"a":{"b":1},"list":[1,2]}}"#;
        let mut out = Vec::new();
        print_fields(b"m", document, Paint::plain(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "m\n  @timestamp       2024-01-01T00:00:00Z\n  attributes.a.b   1\n  attributes.list  [1,2]\n  log.level        warn\n  tailrace.rule    r\n\n"
        );
    }
}
