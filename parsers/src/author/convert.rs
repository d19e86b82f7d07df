//! Turns the parser definitions of other programs into rules, one to one where that is possible,
//! and says what is not.
//!
//! Each rule that comes out has been loaded; one that cannot be stands in a comment with the
//! reason. Nothing is left out silently: every key that has no equal is a [`Note`].

mod definition;
mod expression;
mod fluentbit;
mod fluentd;
mod logstash;

use std::fmt;

use super::draft::Draft;

/// Whose definitions they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Fluent Bit's parsers file, classic (`[PARSER]`) or YAML (`parsers:`).
    FluentBit,
    /// A Logstash pipeline: its `filter` blocks.
    Logstash,
    /// A Fluentd configuration: its `<parse>` sections.
    Fluentd,
}

impl Dialect {
    /// Recognises the dialect of a text; `None` when it looks like none of them.
    pub fn of(text: &str) -> Option<Self> {
        let has = |start: &dyn Fn(&str) -> bool| text.lines().any(|line| start(line.trim_start()));
        let section = |line: &str| {
            let line = line.to_ascii_uppercase();
            line.starts_with("[PARSER]") || line.starts_with("[MULTILINE_PARSER]")
        };
        if has(&section)
            || has(&|line| line.starts_with("parsers:") || line.starts_with("multiline_parsers:"))
        {
            return Some(Self::FluentBit);
        }
        if has(&|line| {
            line.starts_with("<parse") || line.starts_with("<source") || line.starts_with("<filter")
        }) {
            return Some(Self::Fluentd);
        }
        let block = |line: &str, name: &str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('{') || rest.trim().is_empty())
        };
        has(&|line| {
            ["filter", "grok", "date", "dissect", "mutate"]
                .iter()
                .any(|name| block(line, name))
        })
        .then_some(Self::Logstash)
    }
}

/// What has no equal in rules, or came out differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Line of the input, from 1; 0 when the whole of it is meant.
    pub line: usize,
    /// What it is about: lower case, no final period.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// A rule file: YAML documents. Rules that do not load stand in comments.
    pub rules: String,
    /// How many rules load.
    pub n_rules: usize,
    /// What is to be looked at.
    pub notes: Vec<Note>,
}

/// Converts `text`.
pub fn convert(dialect: Dialect, text: &str) -> Converted {
    let mut output = Output::default();
    match dialect {
        Dialect::FluentBit => fluentbit::convert(text, &mut output),
        Dialect::Logstash => logstash::convert(text, &mut output),
        Dialect::Fluentd => fluentd::convert(text, &mut output),
    }
    output.finish()
}

/// Where converters put what they make.
#[derive(Debug, Default)]
struct Output {
    /// Each with the line it comes from.
    drafts: Vec<(usize, Draft)>,
    notes: Vec<Note>,
}

impl Output {
    fn note(&mut self, line: usize, what: impl Into<String>) {
        let what = what.into();
        self.notes.push(Note { line, what });
    }

    /// Adds a rule; a second one of a name gets a number.
    fn rule(&mut self, line: usize, mut draft: Draft) {
        let is_taken =
            |name: &str, drafts: &[(usize, Draft)]| drafts.iter().any(|(_, d)| d.name == name);
        if is_taken(&draft.name, &self.drafts) {
            let base = draft.name.clone();
            let mut number = 2;
            while is_taken(&draft.name, &self.drafts) {
                draft.name = format!("{base}-{number}");
                number += 1;
            }
        }
        self.drafts.push((line, draft));
    }

    fn finish(mut self) -> Converted {
        let mut rules = String::new();
        let mut n_rules = 0;
        if self.drafts.is_empty() {
            self.note(0, "there is nothing in it that could become a rule");
        }
        for (line, draft) in std::mem::take(&mut self.drafts) {
            if !rules.is_empty() {
                rules.push_str("---\n");
            }
            match draft.problem() {
                None => {
                    n_rules += 1;
                    rules.push_str(&draft.text());
                }
                Some(why) => {
                    self.note(
                        line,
                        format!(
                            "`{}` stands in a comment, as it does not load: {why}",
                            draft.name
                        ),
                    );
                    for part in draft.text().lines() {
                        rules.push_str("# ");
                        rules.push_str(part);
                        rules.push('\n');
                    }
                }
            }
        }
        self.notes.sort_by_key(|note| note.line);
        Converted {
            rules,
            n_rules,
            notes: self.notes,
        }
    }
}

#[cfg(test)]
mod tests;
