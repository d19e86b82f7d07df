//! The JSON Schema of rule files, for editors. Made from what the steps say of themselves, the
//! same table that the loader checks options against.
//!
//! Draft 7, which YAML plugins of editors know. A rule file is a stream of documents; editors hold
//! each document against the schema.

use serde_json::{Map, Value, json};

use crate::rules::{EXAMPLE_KEYS, MATCH_KEYS, RULE_KEYS};
use crate::steps::{self, Form, Need, OptionDoc, OptionKind, StepDoc};

/// The schema as pretty JSON text with a newline at its end: `config/rules.schema.json`.
pub fn schema() -> String {
    let mut definitions = Map::new();
    definitions.insert("step".to_owned(), step());
    definitions.insert(
        "steps".to_owned(),
        json!({"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/step"}}),
    );
    definitions.insert(
        "match".to_owned(),
        object("What a record must be, every part of it.", MATCH_KEYS),
    );
    definitions.insert(
        "examples".to_owned(),
        json!({"type": "array", "items": object("A line and what becomes of it.", EXAMPLE_KEYS)}),
    );
    let mut rule = object("A rule of Tailrace.", RULE_KEYS);
    if let Value::Object(rule) = &mut rule {
        rule.insert(
            "$schema".to_owned(),
            "http://json-schema.org/draft-07/schema#".into(),
        );
        rule.insert("title".to_owned(), "Tailrace rule".into());
        rule.insert("definitions".to_owned(), Value::Object(definitions));
    }
    let text = serde_json::to_string_pretty(&rule).expect("a tree of ours is written");
    format!("{text}\n")
}

/// An object with these keys and no others.
fn object(description: &str, keys: &[OptionDoc]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        properties.insert(key.name.to_owned(), described(key));
    }
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.need == Need::Required)
        .map(|key| key.name)
        .collect();
    let mut object = json!({
        "type": "object",
        "description": description,
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// An option's values, with what is said of it.
fn described(option: &OptionDoc) -> Value {
    let mut schema = of_kind(option.kind);
    // Beside a reference draft 7 reads nothing else.
    if schema.get("$ref").is_some() {
        schema = json!({"allOf": [schema]});
    }
    let mut text = option.doc.to_owned();
    if let Need::Default(default) = option.need {
        text.push_str(&format!(" (default: {default})"));
    }
    schema["description"] = text.into();
    schema
}

fn step() -> Value {
    let mut properties = Map::new();
    for doc in steps::docs() {
        properties.insert(doc.name.to_owned(), of_step(doc));
    }
    json!({
        "type": "object",
        "description": "A step has exactly one key.",
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": properties,
    })
}

fn of_step(doc: &StepDoc) -> Value {
    let description = match doc.doc {
        "" => doc.summary.to_owned(),
        more => format!("{}. {more}", doc.summary),
    };
    let option = |name: &str| {
        let found = doc.options.iter().find(|option| option.name == name);
        found.map_or_else(|| json!({}), |option| of_kind(option.kind))
    };
    let options = object(doc.summary, doc.options);
    let is_needless = doc
        .options
        .iter()
        .all(|option| option.need != Need::Required);
    let mut forms = match doc.form {
        Form::Flag => vec![json!({"const": true})],
        Form::Map(name) => vec![option(name)],
        Form::Short(name) => vec![options, option(name)],
        Form::Options => vec![options],
    };
    if is_needless && matches!(doc.form, Form::Options | Form::Short(_)) {
        forms.push(json!({"type": "null"}));
    }
    json!({"description": description, "anyOf": forms})
}

fn of_kind(kind: OptionKind) -> Value {
    // What YAML reads as a number or a boolean is taken as the text that it is.
    let text = || json!({"type": ["string", "number", "boolean"]});
    let one_or_list = |one: Value| json!({"anyOf": [one, {"type": "array", "items": one}]});
    let map_of = |one: Value| json!({"type": "object", "additionalProperties": one});
    match kind {
        OptionKind::Text | OptionKind::Field | OptionKind::Expression => text(),
        OptionKind::Texts | OptionKind::Globs | OptionKind::Fields => one_or_list(text()),
        OptionKind::TextMap | OptionKind::FieldMap => map_of(text()),
        OptionKind::GlobMap => map_of(one_or_list(text())),
        OptionKind::Bool => json!({"type": "boolean"}),
        OptionKind::True => json!({"const": true}),
        OptionKind::Integer(least, most) => {
            let mut schema = json!({"type": "integer", "minimum": least});
            if most != i64::MAX {
                schema["maximum"] = most.into();
            }
            schema
        }
        OptionKind::Number => json!({"type": "number"}),
        OptionKind::Scalar => scalar(),
        OptionKind::ScalarMap => map_of(scalar()),
        OptionKind::Duration | OptionKind::Size => json!({"type": ["string", "number"]}),
        OptionKind::Choice(words) => json!({"enum": words}),
        OptionKind::Choices(words) => one_or_list(json!({"enum": words})),
        OptionKind::ChoiceMap(words) => map_of(json!({"enum": words})),
        OptionKind::Steps => json!({"$ref": "#/definitions/steps"}),
        OptionKind::Match => json!({"$ref": "#/definitions/match"}),
        OptionKind::Examples => json!({"$ref": "#/definitions/examples"}),
    }
}

fn scalar() -> Value {
    json!({"type": ["string", "number", "boolean", "null"]})
}

#[cfg(test)]
mod tests;
