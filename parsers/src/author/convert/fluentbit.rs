//! Fluent Bit's parsers files: classic (`[PARSER]` sections of `Key Value` lines) and YAML.

use super::Output;
use super::definition::{Definition, Setting};
use crate::rules::yaml::{self, Node, Value};

pub(super) fn convert(text: &str, output: &mut Output) {
    let is_yaml = text
        .lines()
        .any(|line| line.starts_with("parsers:") || line.starts_with("multiline_parsers:"));
    match is_yaml {
        true => from_yaml(text, output),
        false => from_classic(text, output),
    }
}

fn from_classic(text: &str, output: &mut Output) {
    let mut open: Option<(bool, Definition)> = None;
    let close = |open: &mut Option<(bool, Definition)>, output: &mut Output| match open.take() {
        Some((true, definition)) => multiline(&definition, output),
        Some((false, definition)) => definition.convert(output),
        None => {}
    };
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            close(&mut open, output);
            let definition = Definition {
                line: number,
                ..Definition::default()
            };
            match section.to_ascii_uppercase().as_str() {
                "PARSER" => open = Some((false, definition)),
                "MULTILINE_PARSER" => open = Some((true, definition)),
                other => output.note(number, format!("`[{other}]` is no parser: left out")),
            }
            continue;
        }
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if key.eq_ignore_ascii_case("@include") || key.eq_ignore_ascii_case("@set") {
            output.note(number, format!("`{key}` is not followed"));
            continue;
        }
        let Some((_, definition)) = &mut open else {
            continue;
        };
        add(definition, key, value.trim(), number);
    }
    close(&mut open, output);
}

fn add(definition: &mut Definition, key: &str, value: &str, line: usize) {
    let key = key.to_ascii_lowercase();
    if key == "name" {
        value.clone_into(&mut definition.name);
    }
    let value = value.to_owned();
    definition.settings.push(Setting { key, value, line });
}

fn from_yaml(text: &str, output: &mut Output) {
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err((place, what)) => {
            return output.note(place.line, format!("cannot read the file: {what}"));
        }
    };
    for document in &documents {
        let Value::Map(members) = &document.value else {
            continue;
        };
        for (key, node) in members {
            let is_multiline = match key.text.as_str() {
                "parsers" => false,
                "multiline_parsers" => true,
                other => {
                    output.note(key.place.line, format!("`{other}` is no parser: left out"));
                    continue;
                }
            };
            let Value::List(items) = &node.value else {
                output.note(key.place.line, format!("`{}` is no list", key.text));
                continue;
            };
            for item in items {
                let definition = definition_of(item);
                match is_multiline {
                    true => multiline(&definition, output),
                    false => definition.convert(output),
                }
            }
        }
    }
}

fn definition_of(node: &Node) -> Definition {
    let mut definition = Definition {
        line: node.place.line,
        ..Definition::default()
    };
    let Value::Map(members) = &node.value else {
        return definition;
    };
    for (key, value) in members {
        let line = key.place.line;
        match &value.value {
            Value::Scalar(text, _) => add(&mut definition, &key.text, text, line),
            Value::List(items) => {
                for item in items {
                    match &item.value {
                        Value::Scalar(text, _) => add(&mut definition, &key.text, text, line),
                        // A rule of a multi-line parser.
                        Value::Map(rule) => {
                            let text: Vec<String> = rule
                                .iter()
                                .filter_map(|(_, value)| match &value.value {
                                    Value::Scalar(text, _) => Some(format!("\"{text}\"")),
                                    _ => None,
                                })
                                .collect();
                            add(&mut definition, "rule", &text.join(" "), item.place.line);
                        }
                        Value::List(_) => {}
                    }
                }
            }
            Value::Map(_) => add(&mut definition, &key.text, "", line),
        }
    }
    definition
}

/// Where an event begins is decided before rules are tried, by framing; stack traces are known to
/// it. So there is nothing to convert but what the user should know.
fn multiline(definition: &Definition, output: &mut Output) {
    let rules: Vec<&str> = definition
        .settings
        .iter()
        .filter(|setting| setting.key == "rule")
        .map(|setting| setting.value.as_str())
        .collect();
    let mut what = format!(
        "multi-line parser `{}` is not converted: stack traces of Java, Python, Go, Node, .NET, Ruby, PHP and Dart are joined without one",
        definition.name
    );
    if let Some(first) = rules.first() {
        what.push_str(&format!("; its first state is {first}"));
    }
    output.note(definition.line, what);
}
