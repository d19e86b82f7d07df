//! The reference page, from the schemas.

use std::fmt::Write as _;

use crate::agent::AgentConfig;
use crate::aggregator::AggregatorConfig;
use crate::reader::Root;
use crate::schema::{FieldSchema, Kind, SectionSchema, Shown};
use crate::shipped;

const HEAD: &str = "\
# Configuration

Generated from the types: `cargo run -p config --example reference`. A test fails when it is stale.

Each program reads one YAML file (`--config FILE`) and checks it whole (`--check` does no more).
Every problem is listed as `file:line:column: key: what is wrong; hint`. On SIGHUP the file is read
again; an invalid one changes nothing.

- **Environment**: `${NAME}` and `${NAME:-default}` stand for environment variables in values, never
  in keys; `$${` is a literal `${`. Between `{}` or `[]` of YAML they need quotes. A variable that is not set, without a default, is an error.
- **Paths**: relative ones count from the folder of the configuration file.
- **Sizes**: `1048576`, `500kB`, `1MiB`, `8GiB`. `kB` is 1000 bytes, `KiB` 1024.
- **Durations**: `100ms`, `5s`, `1h30m`, `7d`.
- **Secrets** are never printed. Files of secrets are read without the white space around them.

`config/default/` holds both files with every key and its default.
";

/// The text of `docs/configuration.md`.
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    program::<AgentConfig>(&mut out, "agent.yaml");
    program::<AggregatorConfig>(&mut out, "aggregator.yaml");
    out
}

fn program<T: Root>(out: &mut String, file: &str) {
    push(out, format_args!("\n## {} (`{file}`)\n", T::PROGRAM));
    section(out, "", &T::schema());
}

/// One heading with a table, then the sections below it.
fn section(out: &mut String, path: &str, schema: &SectionSchema) {
    if !path.is_empty() {
        push(out, format_args!("\n### `{path}`\n\n{}\n", schema.doc));
    }
    out.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
    for field in &schema.fields {
        let default = default(field);
        let meaning = meaning(field);
        push(
            out,
            format_args!(
                "| `{}` | {} | {default} | {meaning} |\n",
                field.key,
                field.kind.name()
            ),
        );
    }
    for field in &schema.fields {
        if let Some(below) = field.kind.section() {
            let dot = if path.is_empty() { "" } else { "." };
            let list = if matches!(field.kind, Kind::List(_)) {
                "[]"
            } else {
                ""
            };
            section(out, &format!("{path}{dot}{}{list}", field.key), below);
        }
    }
}

fn default(field: &FieldSchema) -> String {
    if field.required {
        return "required".to_owned();
    }
    if let Some(varies) = field.varies {
        return varies.to_owned();
    }
    match &field.default {
        _ if matches!(field.kind, Kind::Section(_)) => "below".to_owned(),
        Shown::Absent => "none".to_owned(),
        Shown::List(items) if items.is_empty() => "none".to_owned(),
        Shown::Map(entries) if entries.is_empty() => "none".to_owned(),
        shown => format!("`{}`", shipped::flow(shown)),
    }
}

fn meaning(field: &FieldSchema) -> String {
    let mut text = field.doc.replace('\n', " ");
    if let Kind::Choice(choices) = &field.kind {
        for choice in choices {
            push(
                &mut text,
                format_args!(" `{}`: {}", choice.name, choice.doc.replace('\n', " ")),
            );
        }
    }
    if let Some(range) = shipped::range_text(field) {
        push(&mut text, format_args!(" {range}."));
    }
    if let Some(example) = field.example.filter(|_| field.varies.is_none()) {
        push(&mut text, format_args!(" Example: `{example}`."));
    }
    text.replace('|', "\\|")
}

/// Writing to a `String` cannot fail.
pub(crate) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a String cannot fail");
}
