//! `set`: values that the author chooses.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::emit::number_at;
use crate::json::ValueKind;
use crate::rules::{Field, Options, Reader, Type};
use crate::template::Template;
use crate::value::Value;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "set",
        group: Group::Shaping,
        summary: "gives fields a value: `set: {event.category: web, service.name: 'shop-%{kubernetes.namespace}'}`",
        doc: "`%{field}` in a text stands for that field's value, or nothing. Numbers and booleans without quotes are such; `name:type` says otherwise. What stood in the field before is replaced.",
        form: Form::Map("fields"),
        options: &[OptionDoc {
            name: "fields",
            kind: OptionKind::ScalarMap,
            need: Need::Required,
            doc: "fields, each with its value",
        }],
        examples: &[
            "name: shop\nsteps:\n  - pattern: '<user.name> logged in'\n  - set:\n      event.action: login\n      event.severity: 3\n      greeting: 'hello %{user.name} of %{kubernetes.namespace}'\nexamples:\n  - line: bob logged in\n    metadata: {kubernetes.namespace: shop}\n    fields: {event.action: login, event.severity: 3, attributes.greeting: hello bob of shop}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Set {
    fields: Vec<(Field, Template, ValueKind)>,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let mut fields = Vec::new();
    for (key, node) in options.map("fields") {
        let field = reader.field(&key.text, key.place)?;
        let text = node.text()?;
        let is_bare = !node.is_quoted();
        let fits = |kind| match kind {
            ValueKind::Number => {
                number_at(text.as_bytes(), field.target.kind == Type::Int) == Some(0)
            }
            ValueKind::Bool => matches!(text, "true" | "false"),
            _ => true,
        };
        let kind = match field.target.kind {
            Type::Int | Type::Float => ValueKind::Number,
            Type::Bool => ValueKind::Bool,
            Type::String if is_bare && matches!(text, "true" | "false") => ValueKind::Bool,
            Type::String if is_bare && number_at(text.as_bytes(), false) == Some(0) => {
                ValueKind::Number
            }
            _ => ValueKind::Text,
        };
        let template = Template::read(reader, text, node.place)?;
        if !template.has_fields() && !fits(kind) {
            let what = format!("`{}` cannot be `{text}`", key.text);
            reader.report(node.place, what, None);
        }
        fields.push((field, template, kind));
    }
    Some(Box::new(Set { fields }))
}

impl Step for Set {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        for (field, template, kind) in &self.fields {
            let span = template.fill(work);
            let text = work.bytes(span);
            let fits = match kind {
                ValueKind::Number => number_at(text, false) == Some(0),
                ValueKind::Bool => matches!(text, b"true" | b"false"),
                _ => true,
            };
            if !fits {
                return Err(Failure::at(work.span.0, "the value set is not of its type"));
            }
            work.put(field, Value::json(span, *kind))?;
        }
        Ok(Flow::Next)
    }
}
