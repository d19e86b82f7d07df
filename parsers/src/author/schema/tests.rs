//! The schema agrees with the loader: what one takes the other takes, of shipped rules, of the
//! documentation's examples, and of these with a mistake made in them.

use std::path::Path;

use super::*;
use crate::RuleSet;
use crate::rules::yaml::{self, Node};

/// Whether `value` is valid: the keywords that [`schema`] writes, and no others.
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(keywords) = schema else {
        panic!("a schema is an object: {schema}")
    };
    keywords
        .iter()
        .all(|(keyword, with)| match keyword.as_str() {
            "description" | "title" | "$schema" | "definitions" => true,
            "$ref" => {
                let pointer = with.as_str().unwrap().trim_start_matches('#');
                is_valid(root, root.pointer(pointer).unwrap(), value)
            }
            "allOf" => with
                .as_array()
                .unwrap()
                .iter()
                .all(|s| is_valid(root, s, value)),
            "anyOf" => with
                .as_array()
                .unwrap()
                .iter()
                .any(|s| is_valid(root, s, value)),
            "const" => value == with,
            "enum" => with.as_array().unwrap().contains(value),
            "type" => match with {
                Value::String(name) => is_type(name, value),
                Value::Array(names) => names
                    .iter()
                    .any(|name| is_type(name.as_str().unwrap(), value)),
                _ => panic!("{with}"),
            },
            "minimum" => value.as_i64().is_none_or(|n| n >= with.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|n| n <= with.as_i64().unwrap()),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| is_valid(root, with, item))),
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 >= with.as_u64().unwrap()),
            "minProperties" => value
                .as_object()
                .is_none_or(|o| o.len() as u64 >= with.as_u64().unwrap()),
            "maxProperties" => value
                .as_object()
                .is_none_or(|o| o.len() as u64 <= with.as_u64().unwrap()),
            "required" => value.as_object().is_none_or(|object| {
                with.as_array()
                    .unwrap()
                    .iter()
                    .all(|key| object.contains_key(key.as_str().unwrap()))
            }),
            "properties" => value.as_object().is_none_or(|object| {
                object
                    .iter()
                    .all(|(key, value)| with.get(key).is_none_or(|s| is_valid(root, s, value)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|object| {
                let known = schema.get("properties");
                object
                    .iter()
                    .filter(|(key, _)| known.and_then(|known| known.get(key.as_str())).is_none())
                    .all(|(_, value)| *with != json!(false) && is_valid(root, with, value))
            }),
            other => panic!("`{other}` is not checked here"),
        })
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}

/// The tree as an editor sees it: YAML's own types.
fn as_json(node: &Node) -> Value {
    match &node.value {
        _ if node.is_null() => Value::Null,
        yaml::Value::Scalar(text, true) => match text.as_str() {
            "true" => true.into(),
            "false" => false.into(),
            text => serde_json::from_str(text)
                .ok()
                .filter(Value::is_number)
                .unwrap_or_else(|| text.into()),
        },
        yaml::Value::Scalar(text, _) => text.as_str().into(),
        yaml::Value::List(items) => items.iter().map(as_json).collect(),
        yaml::Value::Map(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.text.clone(), as_json(value)));
            Value::Object(members.collect())
        }
    }
}

fn documents(text: &str) -> Vec<Value> {
    yaml::documents(text).unwrap().iter().map(as_json).collect()
}

fn texts() -> Vec<(String, &'static str)> {
    let shipped = RuleSet::shipped()
        .iter()
        .map(|(name, text)| ((*name).to_owned(), *text));
    let examples =
        steps::docs().flat_map(|doc| doc.examples.iter().map(|text| (doc.name.to_owned(), *text)));
    shipped.chain(examples).collect()
}

#[test]
fn shipped_rules_and_documented_examples_are_valid() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    for (name, text) in texts() {
        for document in documents(text) {
            assert!(
                is_valid(&schema, &schema, &document),
                "{name}: {document:#}"
            );
        }
    }
}

#[test]
fn what_the_schema_refuses_the_loader_refuses() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let check = |text: &str| {
        let document = documents(text).remove(0);
        assert!(
            !is_valid(&schema, &schema, &document),
            "the schema takes {text}"
        );
        assert!(
            RuleSet::from_texts(&[(Path::new("r"), text)]).is_err(),
            "the loader takes {text}"
        );
    };
    check("nmae: x\nsteps: [{json: {}}]\n");
    check("name: x\n");
    check("name: x\nsteps: []\n");
    check("name: x\nsteps: [{jsno: {}}]\n");
    check("name: x\nsteps: [{json: {}, logfmt: {}}]\n");
    check("name: x\nsteps: [{drop: maybe}]\n");
    check("name: x\nsteps: [{json: {}}]\nmatch: {namespce: a}\n");
    check("name: x\nsteps: [{json: {}}]\nexamples: [{lnie: a}]\n");
    check("- 1\n");
    // An option that no step has, in each step that takes a map.
    for doc in steps::docs().filter(|doc| matches!(doc.form, Form::Options | Form::Short(_))) {
        check(&format!(
            "name: x\nsteps:\n  - {}: {{no_such_option: 1}}\n",
            doc.name
        ));
    }
}

#[test]
fn every_step_and_every_option_is_in_it() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let known = &schema["definitions"]["step"]["properties"];
    for doc in steps::docs() {
        let step = known[doc.name].to_string();
        if matches!(doc.form, Form::Options | Form::Short(_)) {
            for option in doc.options {
                assert!(
                    step.contains(&format!("\"{}\":", option.name)),
                    "{} {}",
                    doc.name,
                    option.name
                );
            }
        }
    }
}

#[test]
fn the_committed_schema_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/rules.schema.json");
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == schema(),
        "config/rules.schema.json is stale: run `cargo run -p parsers --example reference`"
    );
}
