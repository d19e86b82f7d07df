//! The schemas as JSON Schema, for editors and for the Helm chart: names and what they mean. Values
//! are left to the program, as most of them may also be `${NAME}`, or a template of the chart.

use crate::agent::AgentConfig;
use crate::aggregator::AggregatorConfig;
use crate::reader::Root;
use crate::reference::push;
use crate::schema::{FieldSchema, Kind, SectionSchema};

/// The schema of the chart's values, with the definitions `agentConfig` and `aggregatorConfig` made
/// new. `None` when `values` does not hold both, each beginning a line of its own.
pub fn chart_schema(values: &str) -> Option<String> {
    let agent = replaced(values, "agentConfig", &AgentConfig::schema())?;
    replaced(&agent, "aggregatorConfig", &AggregatorConfig::schema())
}

/// Replaces the object behind `"name": ` by the one of `schema`.
fn replaced(text: &str, name: &str, schema: &SectionSchema) -> Option<String> {
    let (before, rest) = text.split_once(&format!("\n    \"{name}\": {{\n"))?;
    // The brace that closes it is the first with its indentation.
    let (_, after) = rest.split_once("\n    }")?;
    let mut out = format!("{before}\n    \"{name}\": ");
    object(&mut out, &schema.doc, schema, 4);
    Some(out + after)
}

/// An object that knows the section's keys and no others, at an indentation.
fn object(out: &mut String, doc: &str, section: &SectionSchema, indent: usize) {
    let pad = " ".repeat(indent + 2);
    push(
        out,
        format_args!(
            "{{\n{pad}\"description\": {},\n{pad}\"type\": \"object\",\n\
             {pad}\"additionalProperties\": false,\n",
            quoted(doc)
        ),
    );
    push(out, format_args!("{pad}\"properties\": {{\n"));
    for (idx, field) in section.fields.iter().enumerate() {
        push(out, format_args!("{pad}  {}: ", quoted(field.key)));
        property(out, field, indent + 4);
        out.push_str(match idx + 1 == section.fields.len() {
            true => "\n",
            false => ",\n",
        });
    }
    push(out, format_args!("{pad}}}\n{}}}", " ".repeat(indent)));
}

fn property(out: &mut String, field: &FieldSchema, indent: usize) {
    if let Kind::Section(section) = &field.kind {
        return object(out, &field.doc, section, indent);
    }
    let pad = " ".repeat(indent + 2);
    push(
        out,
        format_args!("{{\n{pad}\"description\": {},\n", quoted(&field.doc)),
    );
    match &field.kind {
        Kind::List(inner) => {
            push(out, format_args!("{pad}\"type\": \"array\""));
            if let Kind::Section(section) = &**inner {
                push(out, format_args!(",\n{pad}\"items\": "));
                object(out, &section.doc, section, indent + 2);
            }
            out.push('\n');
        }
        Kind::Map | Kind::Section(_) => {
            push(out, format_args!("{pad}\"type\": \"object\"\n"));
        }
        Kind::Choice(choices) => {
            // Or a variable or a template, which only the program sees through.
            let mut words: Vec<&str> = choices.iter().map(|it| it.name).collect();
            words.push(r".*[{].*");
            let pattern = format!("^({})$", words.join("|"));
            push(
                out,
                format_args!(
                    "{pad}\"type\": \"string\",\n{pad}\"pattern\": {}\n",
                    quoted(&pattern)
                ),
            );
        }
        Kind::Scalar(_) => push(
            out,
            format_args!("{pad}\"type\": [\"string\", \"number\", \"boolean\"]\n"),
        ),
    }
    push(out, format_args!("{}}}", " ".repeat(indent)));
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push(' '),
            _ => out.push(character),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_replaced_and_nothing_else() {
        let values = "{\n  \"definitions\": {\n    \"agentConfig\": {\n      \"a\": {}\n    },\n    \
                      \"aggregatorConfig\": {\n      \"a\": {}\n    }\n  }\n}\n";
        let made = chart_schema(values).unwrap();
        assert!(made.starts_with("{\n  \"definitions\": {\n    \"agentConfig\": {\n"));
        assert!(made.ends_with("\n    }\n  }\n}\n"), "{made}");
        assert!(made.contains("\"data_dir\": {") && !made.contains("\"a\": {}"));
        assert_eq!(chart_schema(&made).unwrap(), made);
        assert_eq!(chart_schema("{}"), None);
        assert_eq!(quoted("a \"b\"\nc\\"), r#""a \"b\" c\\""#);
    }
}
