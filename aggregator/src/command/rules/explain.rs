//! `rules explain`: why a line was taken by this rule, or by none.

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use parsers::{Explanation, RuleSet, Verdict};
use serde_json::{Value, json};

use super::lines::LineArgs;
use super::paint::{Paint, Style, visible};
use super::{OutputChoice, RuleArgs};

pub(super) const EXAMPLES: &str = "\
Examples:
  echo '10.0.0.1 - - [x] \"GET\"' | tailrace-aggregator rules explain
  tailrace-aggregator rules explain --rules ./rules --meta kubernetes.container.name=web < samples.log
  tailrace-aggregator rules explain --rules ./rules --rule shop.checkout < samples.log";

#[derive(Debug, Args)]
pub(in crate::command) struct ExplainArgs {
    #[command(flatten)]
    rules: RuleArgs,
    /// `json`: one object a record.
    #[arg(long, value_enum, default_value = "text")]
    output: OutputChoice,
    /// Name also the rules whose `match` does not hold.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    lines: LineArgs,
}

/// Text on either side of a fault that is shown.
const AROUND: usize = 60;

pub(super) fn run(args: &ExplainArgs, paint: Paint, out: &mut dyn Write) -> anyhow::Result<bool> {
    let (set, only) = args.rules.load()?;
    let set = Arc::new(set);
    args.lines
        .parse_stdin(&set, only, &mut |parser, record, stream| {
            let explanation = parser.explain(record, stream);
            // Places are those of the text as the engine reads it: valid UTF-8.
            let line = String::from_utf8_lossy(record.message);
            match args.output {
                OutputChoice::Json => writeln!(out, "{}", as_json(&explanation, &line, &set))?,
                OutputChoice::Text => print(&explanation, &line, &set, args.all, paint, out)?,
            }
            Ok(out.flush()?)
        })?;
    Ok(true)
}

fn as_json(explanation: &Explanation, line: &str, set: &RuleSet) -> Value {
    let rules: Vec<Value> = explanation
        .rules
        .iter()
        .map(|tried| {
            let mut entry =
                json!({"rule": set.name(tried.rule), "verdict": tried.verdict.to_string()});
            if let Verdict::Failed {
                step,
                line,
                column,
                at,
                why,
            } = &tried.verdict
            {
                entry["failed"] =
                    json!({"step": step, "line": line, "column": column, "at": at, "why": why});
            }
            entry
        })
        .collect();
    json!({"message": line, "rules": rules, "recognised": explanation.recognised})
}

fn print(
    explanation: &Explanation,
    line: &str,
    set: &RuleSet,
    all: bool,
    paint: Paint,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    writeln!(out, "{}", paint.text(Style::Strong, visible(line)))?;
    let mut n_others = 0;
    for tried in &explanation.rules {
        let name = set.name(tried.rule);
        let style = match &tried.verdict {
            Verdict::Matched => Style::Good,
            Verdict::Dropped => Style::Warn,
            Verdict::Failed { .. } | Verdict::OverBudget { .. } => Style::Bad,
            Verdict::Differs { .. } if !all => {
                n_others += 1;
                continue;
            }
            Verdict::Differs { .. } => Style::Faint,
        };
        writeln!(
            out,
            "  {}: {}",
            paint.text(Style::Name, name),
            paint.text(style, &tried.verdict)
        )?;
        if let Verdict::Failed {
            at,
            line: rule_line,
            column,
            ..
        } = &tried.verdict
        {
            if let Some((shown, caret)) = around(line, *at) {
                writeln!(out, "      {shown}")?;
                writeln!(
                    out,
                    "      {}{}",
                    " ".repeat(caret),
                    paint.text(Style::Bad, "^")
                )?;
            }
            let place = format!(
                "      the step stands in line {rule_line}, column {column} of the rule's file"
            );
            writeln!(out, "{}", paint.text(Style::Faint, place))?;
        }
    }
    if n_others > 0 {
        let what = format!("  {n_others} more are for other records (--all names them)");
        writeln!(out, "{}", paint.text(Style::Faint, what))?;
    }
    let is_decided = explanation
        .rules
        .iter()
        .any(|tried| matches!(tried.verdict, Verdict::Matched | Verdict::Dropped));
    if !is_decided {
        match explanation.recognised {
            Some(format) => writeln!(out, "  no rule matched; recognised by itself as {format}")?,
            None => writeln!(out, "  no rule matched, and it is neither JSON nor logfmt")?,
        }
    }
    writeln!(out)
}

/// The line around byte `at`, and the column of that byte in it. `None` when the byte is not of
/// the line, but of a text that a step made.
fn around(line: &str, at: usize) -> Option<(String, usize)> {
    let before = line.get(..at)?;
    let after = line.get(at..)?;
    let n_before = before.chars().count();
    let skipped = n_before.saturating_sub(AROUND);
    let mut shown: String = before
        .chars()
        .skip(skipped)
        .chain(after.chars().take(AROUND))
        .collect();
    let mut caret = n_before - skipped;
    if skipped > 0 {
        shown.insert(0, '…');
        caret += 1;
    }
    if after.chars().count() > AROUND {
        shown.push('…');
    }
    Some((visible(&shown), caret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_byte() {
        let check = |line: &str, at: usize, expected: Option<(&str, usize)>| {
            let found = around(line, at);
            assert_eq!(
                found.as_ref().map(|(text, caret)| (text.as_str(), *caret)),
                expected
            );
        };
        check("abc", 1, Some(("abc", 1)));
        check("größe x", 8, Some(("größe x", 6)));
        check("ab", 2, Some(("ab", 2)));
        check("ab", 3, None);
        let long = "x".repeat(300);
        let (shown, caret) = around(&long, 150).unwrap();
        assert_eq!((shown.chars().count(), caret), (2 + 2 * AROUND, AROUND + 1));
    }
}
