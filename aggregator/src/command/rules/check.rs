//! `rules check`: everything that is wrong, with the place drawn.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use parsers::{Problem, RuleSet};

use super::paint::{Paint, Style, visible};

pub(super) const EXAMPLES: &str = "\
Examples:
  tailrace-aggregator rules check /etc/tailrace/rules
  tailrace-aggregator rules check nginx.yaml shop.yaml && kubectl apply -k .";

/// Text before the fault in a very long line that is still shown.
const MAX_SHOWN: usize = 160;

pub(super) fn run(paths: &[PathBuf], paint: Paint, out: &mut dyn Write) -> anyhow::Result<bool> {
    super::there(paths)?;
    match RuleSet::load(paths) {
        Ok(set) => {
            print_each(set.warnings(), Style::Warn, paint, out)?;
            writeln!(
                out,
                "{} rules: {}",
                set.len(),
                paint.text(Style::Good, "ok")
            )?;
            Ok(true)
        }
        Err(problems) => {
            print(&problems, paint, out)?;
            Ok(false)
        }
    }
}

/// Prints each problem with its line, and how many there are.
pub(super) fn print(problems: &[Problem], paint: Paint, out: &mut dyn Write) -> anyhow::Result<()> {
    let n_files = print_each(problems, Style::Bad, paint, out)?;
    let n = problems.len();
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let summary = format!(
        "{n} problem{} in {n_files} file{}",
        plural(n),
        plural(n_files)
    );
    writeln!(out, "{}", paint.text(Style::Bad, summary))?;
    Ok(())
}

/// Prints each problem with its line; gives the number of files.
fn print_each(
    problems: &[Problem],
    style: Style,
    paint: Paint,
    out: &mut dyn Write,
) -> anyhow::Result<usize> {
    let mut files: BTreeMap<&Path, String> = BTreeMap::new();
    for problem in problems {
        let text = files
            .entry(&problem.file)
            .or_insert_with(|| std::fs::read_to_string(&problem.file).unwrap_or_default());
        print_one(problem, text, style, paint, out)?;
    }
    Ok(files.len())
}

fn print_one(
    problem: &Problem,
    text: &str,
    style: Style,
    paint: Paint,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let Problem { line, column, .. } = *problem;
    let place = match line {
        0 => problem.file.display().to_string(),
        _ => format!("{}:{line}:{column}", problem.file.display()),
    };
    let what = paint.text(style, &problem.what);
    writeln!(out, "{}: {what}", paint.text(Style::Strong, place))?;
    if let Some(source) = line
        .checked_sub(1)
        .and_then(|index| text.lines().nth(index))
    {
        let (shown, start, length) = excerpt(source, column.saturating_sub(1));
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let bar = paint.text(Style::Faint, "|");
        writeln!(out, "{margin} {bar}")?;
        writeln!(out, "{} {bar} {shown}", paint.text(Style::Faint, &number))?;
        let carets = "^".repeat(length);
        writeln!(
            out,
            "{margin} {bar} {}{}",
            " ".repeat(start),
            paint.text(Style::Bad, carets)
        )?;
        if let Some(hint) = &problem.hint {
            writeln!(
                out,
                "{margin} {} {hint}",
                paint.text(Style::Faint, "= hint:")
            )?;
        }
    } else if let Some(hint) = &problem.hint {
        writeln!(out, "  {} {hint}", paint.text(Style::Faint, "= hint:"))?;
    }
    writeln!(out)
}

/// The line as it is shown, and where and how long to underline, in characters.
fn excerpt(source: &str, column: usize) -> (String, usize, usize) {
    let chars: Vec<char> = visible(source).chars().collect();
    let column = column.min(chars.len());
    let length = token_length(chars.get(column..).unwrap_or_default());
    let from = match column > MAX_SHOWN {
        true => column - MAX_SHOWN / 2,
        false => 0,
    };
    let to = chars.len().min(column + length.max(MAX_SHOWN));
    let mut shown: String = chars.get(from..to).unwrap_or_default().iter().collect();
    let mut start = column - from;
    if from > 0 {
        shown.insert(0, '…');
        start += 1;
    }
    if to < chars.len() {
        shown.push('…');
    }
    (shown, start, length.max(1))
}

/// Length of the YAML scalar or key that begins here.
fn token_length(text: &[char]) -> usize {
    match text.first() {
        None => 1,
        Some(quote @ ('\'' | '"')) => {
            let mut at = 1;
            while let Some(c) = text.get(at) {
                match c {
                    // Two single quotes are one, and a backslash hides a double one.
                    '\'' if *quote == '\'' && text.get(at + 1) == Some(&'\'') => at += 2,
                    '\\' if *quote == '"' => at += 2,
                    c if c == quote => return at + 1,
                    _ => at += 1,
                }
            }
            text.len()
        }
        Some('{' | '[' | '-') => 1,
        Some(_) => {
            let ends = |at: usize| match text.get(at) {
                Some(':') => text.get(at + 1).is_none_or(|c| c.is_whitespace()),
                Some('#') => at > 0 && text.get(at - 1) == Some(&' '),
                Some(',' | ']' | '}') => true,
                Some(_) => false,
                None => true,
            };
            let end = (0..=text.len()).find(|at| ends(*at)).unwrap_or(text.len());
            let token = text.get(..end).unwrap_or_default();
            token
                .iter()
                .rposition(|c| !c.is_whitespace())
                .map_or(1, |at| at + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_underlined() {
        let check = |source: &str, column: usize, expected: &str| {
            let (shown, start, length) = excerpt(source, column);
            let marked: String = shown.chars().skip(start).take(length).collect();
            assert_eq!(marked, expected, "{source}");
        };
        check("nmae: x", 0, "nmae");
        check("  - pattern: 'a <b:itn>' # c", 13, "'a <b:itn>'");
        check("  - pattern: 'it''s'", 13, "'it''s'");
        check("a: \"x\\\"y\" z", 3, "\"x\\\"y\"");
        check("a: plain text # no", 3, "plain text");
        check("a: {b: c, d: e}", 7, "c");
        check("x", 9, "");
        let long = format!("{}bad: 1{}", " ".repeat(500), "x".repeat(500));
        check(&long, 500, "bad");
    }

    #[test]
    fn a_problem_is_drawn_with_its_line_and_hint() {
        let problem = Problem {
            file: "r.yaml".into(),
            line: 2,
            column: 10,
            what: "unknown key `jsno`".to_owned(),
            hint: Some("did you mean `json`?".to_owned()),
        };
        let mut out = Vec::new();
        print_one(
            &problem,
            "name: x\nsteps: [{jsno: {}}]\n",
            Style::Bad,
            Paint::plain(),
            &mut out,
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "r.yaml:2:10: unknown key `jsno`\n  |\n2 | steps: [{jsno: {}}]\n  |          ^^^^\n  = hint: did you mean `json`?\n\n"
        );
    }
}
