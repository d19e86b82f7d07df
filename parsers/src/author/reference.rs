//! The reference of rules, `docs/rules/reference.md`, from what the steps say of themselves.

use std::fmt::Write as _;

use crate::RuleSet;
use crate::rules::{EXAMPLE_KEYS, MATCH_KEYS, RULE_KEYS};
use crate::steps::{self, Form, Group, Need, OptionDoc, OptionKind, StepDoc};

const HEAD: &str = "\
# Rules: the reference

Generated from the steps themselves: `cargo run -p parsers --example reference`. A test fails when
it is stale, and every example on this page is run by a test. New here? Begin with
[from a line to a field in ten minutes](tutorial.md); [how rules work](README.md) tells what holds for all.
The JSON Schema for editors is `config/rules.schema.json` (`tailrace-aggregator rules schema` prints it).
";

/// Chapters, in the order of the page.
const GROUPS: &[(Group, &str, &str)] = &[
    (
        Group::Formats,
        "Formats",
        "A format takes the text apart and fails when the text is something else.",
    ),
    (
        Group::Patterns,
        "Patterns",
        "For lines that no format knows: say what they look like.",
    ),
    (
        Group::Shaping,
        "Shaping",
        "What changes fields that are there.",
    ),
    (
        Group::Protecting,
        "Protecting",
        "What keeps secrets and personal data out of the store.",
    ),
    (
        Group::Choosing,
        "Choosing",
        "What decides what becomes of a record.",
    ),
];

/// The text of `docs/rules/reference.md`.
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    keys(&mut out, "A rule", RULE_KEYS);
    keys(&mut out, "`match`", MATCH_KEYS);
    keys(&mut out, "An entry of `examples`", EXAMPLE_KEYS);
    push(
        &mut out,
        format_args!("\n## All steps\n\n| step | what it does |\n|---|---|\n"),
    );
    for doc in in_order() {
        push(
            &mut out,
            format_args!("| [`{0}`](#{0}) | {1} |\n", doc.name, cell(doc.summary)),
        );
    }
    for (group, title, about) in GROUPS {
        if in_order().any(|doc| doc.group == *group) {
            push(&mut out, format_args!("\n## {title}\n\n{about}\n"));
        }
        for doc in in_order().filter(|doc| doc.group == *group) {
            step(&mut out, doc);
        }
    }
    shipped(&mut out);
    out
}

/// The steps, by chapter.
fn in_order() -> impl Iterator<Item = &'static StepDoc> {
    GROUPS
        .iter()
        .flat_map(|(group, ..)| steps::docs().filter(move |doc| doc.group == *group))
}

fn step(out: &mut String, doc: &StepDoc) {
    push(
        out,
        format_args!("\n### {}\n\n{}.\n", doc.name, sentence(doc.summary)),
    );
    if !doc.doc.is_empty() {
        push(out, format_args!("\n{}\n", doc.doc));
    }
    match doc.form {
        Form::Short(name) if doc.options.len() > 1 => {
            push(
                out,
                format_args!("\nShort form: `{}: …` is its `{name}`.\n", doc.name),
            );
        }
        Form::Map(_) => push(out, format_args!("\nTakes a map of your own keys.\n")),
        _ => {}
    }
    if !doc.options.is_empty() && !matches!(doc.form, Form::Flag) {
        table(out, doc.options);
    }
    for example in doc.examples {
        push(
            out,
            format_args!("\n```yaml\n{}\n```\n", example.trim_end()),
        );
    }
}

fn keys(out: &mut String, title: &str, keys: &[OptionDoc]) {
    push(out, format_args!("\n## {title}\n"));
    table(out, keys);
}

fn table(out: &mut String, options: &[OptionDoc]) {
    out.push_str("\n| key | takes | default | meaning |\n|---|---|---|---|\n");
    for option in options {
        let default = match option.need {
            Need::Required => "required".to_owned(),
            Need::Optional => "none".to_owned(),
            Need::Default(text) => format!("`{}`", cell(text)),
        };
        push(
            out,
            format_args!(
                "| `{}` | {} | {default} | {} |\n",
                option.name,
                takes(option.kind),
                cell(option.doc)
            ),
        );
    }
}

fn takes(kind: OptionKind) -> String {
    let words = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        words.join(", ")
    };
    match kind {
        OptionKind::Text => "text".to_owned(),
        OptionKind::Texts => "text or list of texts".to_owned(),
        OptionKind::TextMap => "map of texts".to_owned(),
        OptionKind::Globs => "glob or list of globs".to_owned(),
        OptionKind::GlobMap => "map of names to globs".to_owned(),
        OptionKind::Bool => "`true` or `false`".to_owned(),
        OptionKind::True => "`true`".to_owned(),
        OptionKind::Integer(least, i64::MAX) => format!("whole number from {least}"),
        OptionKind::Integer(least, most) => format!("whole number, {least} to {most}"),
        OptionKind::Number => "number".to_owned(),
        OptionKind::Scalar => "text, number, boolean or null".to_owned(),
        OptionKind::ScalarMap => "map of fields to values".to_owned(),
        OptionKind::Duration => "time span".to_owned(),
        OptionKind::Size => "size".to_owned(),
        OptionKind::Choice(choices) => format!("one of {}", words(choices)),
        OptionKind::Choices(choices) => format!("any of {}", words(choices)),
        OptionKind::Field => "field".to_owned(),
        OptionKind::Fields => "field or list of fields".to_owned(),
        OptionKind::FieldMap => "map of names to fields".to_owned(),
        OptionKind::ChoiceMap(choices) => format!("map of fields to one of {}", words(choices)),
        OptionKind::Expression => "expression".to_owned(),
        OptionKind::Steps => "list of steps".to_owned(),
        OptionKind::Match => "see [`match`](#match)".to_owned(),
        OptionKind::Examples => "list of [examples](#an-entry-of-examples)".to_owned(),
    }
}

/// The rules that ship: name, file and what the comment above the first says.
fn shipped(out: &mut String) {
    out.push_str(
        "\n## Rules that ship\n\nEach is in force when its file is among the configuration's `rules`, and can be used from any rule by\n`use: NAME`. Their files, examples and all, are in `parsers/rules/`.\n\n| rule | what for |\n|---|---|\n",
    );
    for rule in shipped_rules() {
        push(
            out,
            format_args!("| `{}` | {} |\n", rule.name, cell(&rule.about)),
        );
    }
}

/// A rule that ships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippedRule {
    /// Its name.
    pub name: String,
    /// Its file in `parsers/rules/`.
    pub file: &'static str,
    /// What the comment above it says.
    pub about: String,
}

/// All rules that ship, in the order they are tried.
pub fn shipped_rules() -> Vec<ShippedRule> {
    let files = RuleSet::shipped().iter();
    files
        .flat_map(|(file, text)| {
            let rule = |(name, about)| ShippedRule { name, file, about };
            named(text).into_iter().map(rule)
        })
        .collect()
}

/// Names of the rules of a file, each with the comment above it.
fn named(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut about: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            about.push(comment.trim());
        } else if let Some(name) = line.strip_prefix("name:") {
            let about = std::mem::take(&mut about).join(" ");
            found.push((name.trim().trim_matches(['\'', '"']).to_owned(), about));
        } else if !line.starts_with("---") {
            about.clear();
        }
    }
    found
}

/// The first letter in upper case.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        // What begins with code stays as it is.
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Writing to a `String` cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_page_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules/reference.md");
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == reference(),
            "docs/rules/reference.md is stale: run `cargo run -p parsers --example reference`"
        );
    }

    #[test]
    fn every_shipped_rule_is_named() {
        for (file, text) in RuleSet::shipped() {
            let set = RuleSet::from_texts(&[(Path::new(file), text)]).unwrap();
            let names: Vec<String> = named(text).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, set.names().collect::<Vec<_>>(), "{file}");
        }
    }
}
