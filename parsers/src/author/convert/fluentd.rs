//! Fluentd's configuration: `<parse>` sections, `<pattern>` of `multi_format`, and the old
//! `format /…/` of a source.

use super::Output;
use super::definition::{Definition, Setting};

/// A section that is open: its name, and what it says.
struct Open {
    name: String,
    /// What stands behind the name: `<filter kube.**>`.
    argument: String,
    definition: Definition,
}

pub(super) fn convert(text: &str, output: &mut Output) {
    let mut open: Vec<Open> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(tag) = line.strip_prefix("</") {
            let name = tag.trim_end_matches('>').trim();
            if let Some(at) = open.iter().rposition(|section| section.name == name) {
                let section = open.remove(at);
                open.truncate(at);
                close(section, &mut open, output);
            }
            continue;
        }
        if let Some(tag) = line.strip_prefix('<').and_then(|l| l.strip_suffix('>')) {
            let (name, argument) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            open.push(Open {
                name: name.to_owned(),
                argument: argument.trim().to_owned(),
                definition: Definition {
                    line: number,
                    ..Definition::default()
                },
            });
            continue;
        }
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if let Some(section) = open.last_mut() {
            section.definition.settings.push(Setting {
                key: key.to_ascii_lowercase(),
                value: value.trim().to_owned(),
                line: number,
            });
        }
    }
}

/// A section has ended: `open` are those around it.
fn close(mut section: Open, open: &mut [Open], output: &mut Output) {
    match section.name.as_str() {
        "parse" | "pattern" => {
            let definition = &mut section.definition;
            if definition.get("@type") == Some("multi_format") {
                return;
            }
            if definition.get("@type") == Some("multiline") {
                let what = "`multiline` is not converted: stack traces are joined without a parser";
                return output.note(definition.line, what);
            }
            definition.name = name_for(open, definition);
            definition.convert(output);
        }
        // Its pattern belongs to the parser around it.
        "grok" => {
            if let Some(parent) = open.last_mut() {
                for setting in section.definition.settings.drain(..) {
                    let key = match setting.key.as_str() {
                        "pattern" => "grok_pattern".to_owned(),
                        _ => setting.key,
                    };
                    parent.definition.settings.push(Setting { key, ..setting });
                }
            }
        }
        // Before 1.0 a source said `format /…/` without a section.
        "source" | "filter" if section.definition.get("format").is_some() => {
            section.definition.name = name_for(std::slice::from_ref(&section), &section.definition);
            let keys = ["format", "time_key", "time_format", "types", "keys"];
            let is_parsers = |setting: &Setting| keys.contains(&setting.key.as_str());
            section.definition.settings.retain(is_parsers);
            section.definition.convert(output);
        }
        _ => {}
    }
}

/// A name from what is around a parser: the tag of its source, or what its filter takes.
fn name_for(open: &[Open], definition: &Definition) -> String {
    let outer = open.iter().find_map(|section| match section.name.as_str() {
        "source" => section.definition.get("tag").map(str::to_owned),
        "filter" | "match" => Some(section.argument.replace('*', "")),
        _ => None,
    });
    let outer = outer.unwrap_or_default();
    let outer = outer.trim_matches('.');
    let kind = definition
        .get("@type")
        .or(definition.get("format"))
        .filter(|kind| !kind.starts_with('/'))
        .unwrap_or("regexp");
    match outer {
        "" => kind.to_owned(),
        outer => format!("{outer}.{kind}"),
    }
}
