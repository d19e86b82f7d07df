//! The text of a rule, put together from its parts.

use std::fmt::Write as _;
use std::path::Path;

use crate::RuleSet;

/// A rule that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    /// Lines above the rule, each becomes a comment.
    pub(super) comments: Vec<String>,
    pub(super) name: String,
    /// Parts of `match`: key and texts.
    pub(super) conditions: Vec<(String, Vec<String>)>,
    /// Each as YAML, `json: {}`; lines below the first are indented as they stand.
    pub(super) steps: Vec<String>,
    /// Each as YAML lines, without the `- `.
    pub(super) examples: Vec<String>,
}

impl Draft {
    /// The rule as a YAML document, without `---`.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for comment in &self.comments {
            for line in comment.lines() {
                line_to(&mut out, &format!("# {line}"));
            }
        }
        line_to(&mut out, &format!("name: {}", scalar(&self.name)));
        if !self.conditions.is_empty() {
            line_to(&mut out, "match:");
            for (key, texts) in &self.conditions {
                let texts: Vec<String> = texts.iter().map(|text| scalar(text)).collect();
                line_to(&mut out, &format!("  {key}: [{}]", texts.join(", ")));
            }
        }
        line_to(&mut out, "steps:");
        for step in &self.steps {
            item_to(&mut out, step);
        }
        if !self.examples.is_empty() {
            line_to(&mut out, "examples:");
            for example in &self.examples {
                item_to(&mut out, example);
            }
        }
        out
    }

    /// Why the rule cannot be loaded, examples and all; `None` when it can.
    pub(super) fn problem(&self) -> Option<String> {
        let text = self.text();
        let problems = RuleSet::from_texts(&[(Path::new("rule"), &text)]).err()?;
        let first = problems.first()?;
        Some(match &first.hint {
            Some(hint) => format!("{} ({hint})", first.what),
            None => first.what.clone(),
        })
    }
}

fn line_to(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

fn item_to(out: &mut String, yaml: &str) {
    for (number, line) in yaml.lines().enumerate() {
        let lead = if number == 0 { "  - " } else { "    " };
        line_to(out, &format!("{lead}{line}"));
    }
}

/// `text` as a YAML scalar that is this text and nothing else.
pub(super) fn scalar(text: &str) -> String {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"_./".contains(&b);
    let is_plain = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| is_word(b) || b == b'-')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if is_plain {
        return text.to_owned();
    }
    if text.chars().any(|c| c.is_control() || c == '\u{feff}') {
        let mut out = String::from("\"");
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    out.push('\\');
                    out.push(c);
                }
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || c == '\u{feff}' => {
                    write!(out, "\\u{:04x}", c as u32).expect("writing to a String cannot fail");
                }
                c => out.push(c),
            }
        }
        out.push('"');
        return out;
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// `text` as the name of a rule: what cannot stand in one becomes `-`.
pub(super) fn rule_name(text: &str) -> String {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let name: String = text
        .chars()
        .map(|c| if is_fine(c) { c } else { '-' })
        .take(120)
        .collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() {
        return "rule".to_owned();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_come_back_as_they_were() {
        for text in [
            "word",
            "",
            "1",
            "true",
            "a: b",
            "it's",
            "- x",
            "a\nb",
            "\u{1b}[1m",
            "\\d \"x\"",
            "ü #1",
            " x ",
            "{a}",
            "*",
        ] {
            let yaml = format!(
                "name: r\nsteps: [{{pattern: '<message>'}}]\nexamples:\n  - line: {}\n    fields: {{message: {}}}\n",
                scalar(text),
                scalar(text)
            );
            // An empty line leaves an empty message behind.
            let loaded = RuleSet::from_texts(&[(Path::new("r"), &yaml)]);
            assert!(loaded.is_ok(), "{text:?}: {loaded:?}");
        }
    }

    #[test]
    fn names_of_rules_are_mended() {
        let check = |text: &str, expected: &str| assert_eq!(rule_name(text), expected);
        check("apache2", "apache2");
        check("my parser: ü", "my-parser");
        check("", "rule");
    }
}
