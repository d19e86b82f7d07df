//! `json`: the text is one JSON object.

use super::{Entry, Failure, Flow, Form, Group, Step, StepDoc};
use crate::rules::{Options, Reader};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "json",
        group: Group::Formats,
        summary: "the text is one JSON object",
        doc: "Its members become fields: message, time and level by the names that loggers give them, names of ECS (dotted or nested) that hold a value of the field's type, and all others as attributes, with their types. A line that is JSON needs no rule; this step is for JSON behind a prefix, and for rules that go on with its fields.",
        form: Form::Options,
        options: &[],
        examples: &[
            "name: prefixed-json\nmatch: {starts_with: 'app | '}\nsteps:\n  - pattern: 'app | <message>'\n  - json: {}\nexamples:\n  - line: 'app | {\"msg\":\"ready\",\"port\":80}'\n    fields: {message: ready, attributes.port: 80}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Json;

fn read(_: &mut Reader<'_>, _: &Options<'_>) -> Option<Box<dyn Step>> {
    Some(Box::new(Json))
}

impl Step for Json {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        // The message within this text is nearer than the text as a whole.
        let outer = work.fields.message.take();
        if !work.fields.take_json(work.text.bytes(), from, to) {
            return Err(Failure::at(from, "this is not one JSON object"));
        }
        work.fields.message = work.fields.message.or(outer);
        Ok(Flow::Next)
    }

    fn explain(&self, work: &Work<'_>, failure: &mut Failure) -> Option<String> {
        // serde_json says where; it differs from the walker in limits and leniency only.
        let error = serde_json::from_slice::<serde_json::Map<_, _>>(work.current()).err()?;
        let line = work.current().split(|b| *b == b'\n').take(error.line() - 1);
        let before: usize = line.map(|line| line.len() + 1).sum();
        failure.at = (work.span.0 + before + error.column().saturating_sub(1)) as u32;
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        Some(format!("this is not one JSON object: {what}"))
    }
}
