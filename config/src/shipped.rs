//! The shipped default files: every key, its meaning and its default, as YAML that loads.

use crate::reader::Root;
use crate::reference::push;
use crate::schema::{FieldSchema, Kind, SectionSchema, Shown};

/// The text of `config/default/<program>.yaml`. Keys without a default stand as comments.
pub fn shipped<T: Root>() -> String {
    let mut out = format!(
        "# Every key of {}, with its default. Keys behind a `#` have none, or one that depends on\n\
         # the machine; what follows them is an example. Generated from the types.\n",
        T::PROGRAM
    );
    let schema = T::schema();
    let defaults: Vec<&Shown> = schema.fields.iter().map(|field| &field.default).collect();
    section(&mut out, &schema, &defaults, "", "");
    out
}

/// Writes the keys of a section. `comment` is `# ` where the whole section is one.
fn section(
    out: &mut String,
    schema: &SectionSchema,
    values: &[&Shown],
    indent: &str,
    comment: &str,
) {
    for (idx, (field, value)) in schema.fields.iter().zip(values).enumerate() {
        if indent.is_empty() || idx > 0 {
            out.push('\n');
        }
        explain(out, field, indent);
        write_field(out, field, value, indent, comment);
    }
}

/// The comment above a key.
fn explain(out: &mut String, field: &FieldSchema, indent: &str) {
    for line in field.doc.lines() {
        push(out, format_args!("{indent}# {line}\n"));
    }
    if let Kind::Choice(choices) = &field.kind {
        for choice in choices {
            push(
                out,
                format_args!(
                    "{indent}#   {}: {}\n",
                    choice.name,
                    choice.doc.replace('\n', " ")
                ),
            );
        }
    }
    let range = range_text(field);
    let varies = field.varies.map(|text| format!("Default: {text}"));
    let required = field.required.then(|| "Required".to_owned());
    for note in [required, varies, range].into_iter().flatten() {
        push(out, format_args!("{indent}# {note}.\n"));
    }
}

fn write_field(out: &mut String, field: &FieldSchema, value: &Shown, indent: &str, comment: &str) {
    let key = field.key;
    let deeper = format!("{indent}  ");
    match (&field.kind, value) {
        (Kind::Section(below), Shown::Map(entries)) => {
            push(out, format_args!("{indent}{comment}{key}:\n"));
            let values: Vec<&Shown> = entries.iter().map(|(_, value)| value).collect();
            section(out, below, &values, &deeper, comment);
        }
        (Kind::List(kind), Shown::List(items)) if kind.section().is_some() => {
            let Some(below) = kind.section() else { return };
            // An empty list is shown as a comment with one item in it.
            let (comment, values): (&str, Vec<&Shown>) = match items.first() {
                Some(Shown::Map(entries)) => (comment, entries.iter().map(|(_, v)| v).collect()),
                _ => (
                    "# ",
                    below.fields.iter().map(|field| &field.default).collect(),
                ),
            };
            push(out, format_args!("{indent}{comment}{key}:\n"));
            let mut item = String::new();
            section(&mut item, below, &values, &format!("{deeper}  "), comment);
            out.push_str(&as_item(&item, &deeper, comment));
        }
        _ if field.varies.is_some() || is_empty(value) => {
            let example = field.example.unwrap_or("…");
            push(out, format_args!("{indent}# {key}: {example}\n"));
        }
        _ => push(
            out,
            format_args!("{indent}{comment}{key}: {}\n", flow(value)),
        ),
    }
}

/// Puts the `- ` of a list's item before its first key.
fn as_item(text: &str, indent: &str, comment: &str) -> String {
    let mut done = false;
    let mut out = String::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let is_key = match comment {
            "" => !bare.is_empty() && !bare.starts_with('#'),
            _ => bare.starts_with("# ") && bare.contains(": ") && !done && is_key_line(bare),
        };
        if is_key && !done {
            done = true;
            let key = bare
                .strip_prefix("# ")
                .filter(|_| !comment.is_empty())
                .unwrap_or(bare);
            push(&mut out, format_args!("{indent}{comment}- {key}\n"));
        } else {
            push(&mut out, format_args!("{line}\n"));
        }
    }
    out
}

/// `# key: …` with a key of ours: lower case letters and underscores.
fn is_key_line(line: &str) -> bool {
    let text = line.trim_start_matches("# ");
    text.split_once(':').is_some_and(|(key, _)| {
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    })
}

fn is_empty(value: &Shown) -> bool {
    match value {
        Shown::Absent => true,
        Shown::Scalar(_) => false,
        Shown::List(items) => items.is_empty(),
        Shown::Map(entries) => entries.is_empty(),
    }
}

/// A value on one line of YAML.
pub(crate) fn flow(value: &Shown) -> String {
    match value {
        Shown::Absent => "null".to_owned(),
        Shown::Scalar(text) => scalar(text),
        Shown::List(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Shown::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A text that plain YAML would read otherwise gets quotes.
fn scalar(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.starts_with([
            '*', '&', '!', '%', '@', '`', '-', '?', '#', '|', '>', '"', '\'',
        ])
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._-:*%".contains(&b))
        && !text.ends_with(':');
    match plain {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

/// "From 1 to 9", when there is a range.
pub(crate) fn range_text(field: &FieldSchema) -> Option<String> {
    let (min, max) = field.range.as_ref()?;
    // An open end is written as the largest number.
    let open = max == "0" || max.len() > 15;
    Some(if open {
        format!("At least {min}")
    } else {
        format!("From {min} to {max}")
    })
}
