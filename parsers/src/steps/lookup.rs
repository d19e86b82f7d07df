//! `lookup`: fields from a table of the user.

use std::collections::HashMap;
use std::path::Path;

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::rules::{Field, Options, Reader};
use crate::value::Value;
use crate::work::Work;

/// Largest table file.
const MAX_FILE: u64 = 64 * 1024 * 1024;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "lookup",
        group: Group::Shaping,
        summary: "fields from a table: `lookup: {field: team_id, file: teams.csv, into: {name: team.name}}`",
        doc: "The table is in memory and read anew when the rules are. A CSV file begins with the names of its columns; the value is looked for in the column `key`. A YAML file is a map from values to a map of columns, or to one value, which is the column `value`. A value that is not in the table sets nothing, or `default`. What stood in a field that is set is replaced.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Required,
                doc: "what to look for; the stream's metadata too. When it is not there, nothing is done",
            },
            OptionDoc {
                name: "file",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "the table, `.csv`, `.yaml` or `.yml`; relative to the rule file",
            },
            OptionDoc {
                name: "table",
                kind: OptionKind::TextMap,
                need: Need::Optional,
                doc: "the table itself, in place of `file`: values, each with the column `value`",
            },
            OptionDoc {
                name: "key",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "the column of a CSV file to look in; the first one when left out",
            },
            OptionDoc {
                name: "into",
                kind: OptionKind::FieldMap,
                need: Need::Required,
                doc: "columns, each with the field that its value goes to",
            },
            OptionDoc {
                name: "default",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "the value of all these fields when the table has none",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - logfmt: {}\n  - lookup: {field: code, table: {E17: no card, E18: no money}, into: {value: event.reason}, default: other}\nexamples:\n  - line: 'code=E17 a=1'\n    fields: {event.reason: no card}\n  - line: 'code=E99 a=1'\n    fields: {event.reason: other}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Lookup {
    field: Field,
    /// Values of the columns wanted, in the order of `into`.
    rows: HashMap<Vec<u8>, Vec<Option<String>>>,
    into: Vec<Field>,
    default: Option<String>,
}

/// Rows by key, as column and value.
type Rows = Vec<(String, Vec<(String, String)>)>;

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = reader.source(options.text("field")?, options.place("field"));
    let mut is_withheld = false;
    let rows = match (options.text("file"), options.map("table")) {
        (Some(file), []) => match reader.file(file) {
            None => {
                is_withheld = true;
                Rows::new()
            }
            Some(path) => match read_file(&path, options.text("key")) {
                Ok(rows) => rows,
                Err(what) => {
                    let what = format!("cannot read the table `{}`: {what}", path.display());
                    reader.report(options.place("file"), what, None);
                    return None;
                }
            },
        },
        (None, table @ [_, ..]) => table
            .iter()
            .filter_map(|(key, value)| {
                let columns = vec![("value".to_owned(), value.text()?.to_owned())];
                Some((key.text.clone(), columns))
            })
            .collect(),
        _ => {
            let what = "`lookup` needs one of `file` and `table`";
            reader.report(options.place, what, None);
            return None;
        }
    };
    let mut into = Vec::new();
    let mut columns = Vec::new();
    for (key, value) in options.map("into") {
        let has_column = |(_, columns): &(String, Vec<(String, String)>)| {
            columns.iter().any(|(column, _)| *column == key.text)
        };
        if !is_withheld && !rows.iter().any(has_column) {
            let what = format!("the table has no column `{}`", key.text);
            reader.report(key.place, what, None);
        }
        columns.push(key.text.as_str());
        into.push(reader.field(value.text()?, value.place)?);
    }
    let wanted = |row: &[(String, String)]| {
        let value = |name: &&str| {
            let found = row.iter().find(|(column, _)| column == name);
            found.map(|(_, value)| value.clone())
        };
        columns.iter().map(value).collect()
    };
    Some(Box::new(Lookup {
        field: field?,
        rows: rows
            .iter()
            .map(|(key, row)| (key.clone().into_bytes(), wanted(row)))
            .collect(),
        into,
        default: options.text("default").map(str::to_owned),
    }))
}

fn read_file(path: &Path, key: Option<&str>) -> Result<Rows, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("it is larger than {} MiB", MAX_FILE >> 20));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    match path.extension().and_then(|e| e.to_str()) {
        Some("csv") => read_csv(&text, key),
        Some("yaml" | "yml") => read_yaml(&text),
        _ => Err("its name must end in `.csv`, `.yaml` or `.yml`".to_owned()),
    }
}

/// Places do not matter in a table, so serde reads it.
fn read_yaml(text: &str) -> Result<Rows, String> {
    use serde_json::Value as Json;
    let table: HashMap<String, Json> = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
    let text_of = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let columns_of = |value: &Json| match value {
        Json::Object(columns) => columns
            .iter()
            .map(|(column, value)| (column.clone(), text_of(value)))
            .collect(),
        other => vec![("value".to_owned(), text_of(other))],
    };
    Ok(table
        .into_iter()
        .map(|(key, value)| (key, columns_of(&value)))
        .collect())
}

fn read_csv(text: &str, key: Option<&str>) -> Result<Rows, String> {
    let mut lines = csv_rows(text)?.into_iter();
    let columns = lines.next().ok_or("it is empty")?;
    let key = match key {
        None => 0,
        Some(key) => columns
            .iter()
            .position(|column| column == key)
            .ok_or_else(|| format!("it has no column `{key}`"))?,
    };
    let row = |values: Vec<String>| {
        let name = values.get(key).cloned().unwrap_or_default();
        (name, columns.iter().cloned().zip(values).collect())
    };
    Ok(lines.map(row).collect())
}

/// The rows of a CSV file (RFC 4180); empty lines are none.
fn csv_rows(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut value = String::new();
    let mut characters = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(c) = characters.next() {
        match c {
            '"' if is_quoted => {
                if characters.next_if_eq(&'"').is_some() {
                    value.push('"');
                } else {
                    is_quoted = false;
                }
            }
            _ if is_quoted => value.push(c),
            '"' if value.is_empty() => is_quoted = true,
            ',' => row.push(std::mem::take(&mut value)),
            '\r' => {}
            '\n' => {
                row.push(std::mem::take(&mut value));
                rows.push(std::mem::take(&mut row));
            }
            _ => value.push(c),
        }
    }
    if is_quoted {
        return Err("a quote is not closed".to_owned());
    }
    if !value.is_empty() || !row.is_empty() {
        row.push(value);
        rows.push(row);
    }
    rows.retain(|row| row.iter().any(|value| !value.is_empty()));
    Ok(rows)
}

impl Step for Lookup {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let Some(span) = work.text_of(&self.field) else {
            return Ok(Flow::Next);
        };
        let row = self.rows.get(work.bytes(span));
        for (number, field) in self.into.iter().enumerate() {
            let value = match row {
                Some(row) => row.get(number).and_then(Option::as_deref),
                None => self.default.as_deref(),
            };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                let span = work.write(|out| out.extend_from_slice(value.as_bytes()));
                work.put(field, Value::text(span))?;
            }
        }
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RuleSet;

    #[test]
    fn tables_are_read() {
        let yaml = "a: {name: Ann, n: 3}\nb: true\n'1.5': x\n";
        let mut rows = read_yaml(yaml).unwrap();
        rows.sort();
        let names: Vec<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, ["1.5", "a", "b"]);
        assert_eq!(rows[2].1, [("value".to_owned(), "true".to_owned())]);
        let csv = "id,name\r\n1,\"Ann \"\"A\"\", x\"\n\n2,Bob\n";
        let rows = read_csv(csv, None).unwrap();
        assert_eq!(rows[0].1[1].1, "Ann \"A\", x");
        assert_eq!(read_csv(csv, Some("name")).unwrap()[1].0, "Bob");
        assert!(read_csv(csv, Some("none")).is_err() && read_csv("a\n\"x", None).is_err());
    }

    #[test]
    fn a_rule_looks_into_its_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("teams.yaml"), "shop: {team: blue}\n").unwrap();
        let rule = "name: t\nsteps:\n  - pattern: '<message>'\n  - lookup: {field: kubernetes.namespace, file: teams.yaml, into: {team: team}}\nexamples:\n  - line: x\n    metadata: {kubernetes.namespace: shop}\n    fields: {attributes.team: blue}\n";
        let path = folder.path().join("rules.yaml");
        std::fs::write(&path, rule).unwrap();
        let set = RuleSet::load(std::slice::from_ref(&path)).unwrap();
        // Whoever may not read this machine's files finds the table empty.
        let texts = [(path.as_path(), rule)];
        RuleSet::from_texts_within(&texts, set.files()).unwrap();
        let problems = RuleSet::from_texts_within(&texts, &Default::default()).unwrap_err();
        assert!(problems[0].what.contains("attributes.team"), "{problems:?}");
        let missing = rule.replace("teams.yaml", "none.csv");
        std::fs::write(&path, missing).unwrap();
        let problems = RuleSet::load(&[path]).unwrap_err();
        assert!(problems[0].what.contains("cannot read the table"));
    }
}
