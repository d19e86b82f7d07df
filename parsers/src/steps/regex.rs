//! `regex`: an expression with named groups.

use std::any::Any;

use crate::expression::Locations;

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::emit;
use crate::expression::Expression;
use crate::rules::{Field, Options, Place, Reader, did_you_mean};
use crate::span::Span;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "regex",
        group: Group::Patterns,
        summary: "an expression with named groups: `'^(?P<code>[A-Z]+-\\d+) after (?P<ms>\\d+)ms'`",
        doc: "The syntax is that of Rust's `regex` crate: linear in the line, so there is no look-around and no back-reference. Groups are written `(?P<name>…)` or `(?<name>…)`; a group that did not take part, took nothing or took `-` leaves its field out. Groups that are named like fields need no `fields`. Without `^` and `$` the expression may match anywhere. What becomes `message` is what later steps work on.",
        form: Form::Short("expr"),
        options: &[
            OptionDoc {
                name: "expr",
                kind: OptionKind::Text,
                need: Need::Required,
                doc: "the expression",
            },
            OptionDoc {
                name: "fields",
                kind: OptionKind::FieldMap,
                need: Need::Optional,
                doc: "the field for each group whose own name is none: group names have no dots in them",
            },
        ],
        examples: &[
            "name: payment\nsteps:\n  - regex:\n      expr: '^(?P<code>[A-Z]{3}-\\d+) after (?P<ms>\\d+)ms'\n      fields:\n        code: event.code\n        ms: took_ms:int\nexamples:\n  - line: 'PAY-17 after 250ms, closing'\n    fields: {event.code: PAY-17, attributes.took_ms: 250}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct RegexStep {
    expression: Expression,
    /// Group and field.
    fields: Vec<(usize, Field)>,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let place = options.place("expr");
    let expression = match Expression::compile(options.text("expr")?) {
        Ok(expression) => expression,
        Err(what) => {
            reader.report(place, format!("bad expression: {what}"), None);
            return None;
        }
    };
    let renamed = options.map("fields");
    let names: Vec<&str> = expression.group_names().flatten().collect();
    for (key, _) in renamed {
        if !names.contains(&key.text.as_str()) {
            let what = format!("the expression has no group `{}`", key.text);
            reader.report(key.place, what, did_you_mean(&key.text, &names));
        }
    }
    let mut fields = Vec::new();
    for (group, name) in expression.group_names().enumerate() {
        let Some(name) = name else { continue };
        let (at, text) = match renamed.iter().find(|(key, _)| key.text == name) {
            Some((key, value)) => (key.place, value.text().unwrap_or_default()),
            None => (place, name),
        };
        if let Some(field) = reader.capture(text, at) {
            fields.push((group, field));
        }
    }
    if names.is_empty() {
        let hint = "write `(?P<name>…)`; use `match: contains` to look for text".to_owned();
        reader.report(place, "an expression without named groups", Some(hint));
    }
    Some(Box::new(RegexStep { expression, fields }))
}

impl Step for RegexStep {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        let locations = work
            .memory
            .get_mut(work.step)
            .and_then(Option::as_mut)
            .and_then(|memory| memory.downcast_mut::<Locations>());
        let Some(locations) = locations else {
            return Err(Failure::at(from, "the expression cannot run"));
        };
        let line = work.text.bytes();
        work.found.clear();
        let marks = &work.fields.marks;
        if !self
            .expression
            .find(line, from, to, marks, locations, work.found)
        {
            return Err(Failure::at(from, "the expression does not match"));
        }
        work.fields.names_dirty |= !work.fields.members.is_empty();
        for (group, field) in &self.fields {
            let (start, end) = work.found.get(*group).copied().unwrap_or_default();
            let (start, end) = (start as usize, end as usize);
            if field.target.place == Place::Message {
                work.span = (start, end);
            }
            emit::fill(field, line, Span::line(start, end), work.fields)?;
        }
        Ok(Flow::Next)
    }

    fn memory(&self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(self.expression.locations()))
    }

    fn explain(&self, work: &Work<'_>, failure: &mut Failure) -> Option<String> {
        let (from, to) = work.span;
        let at = (failure.at as usize).saturating_sub(from);
        let mut locations = self.expression.locations();
        let mut found = Vec::new();
        let line = work.text.bytes();
        if self.expression.find(
            line,
            from,
            to,
            &work.fields.marks,
            &mut locations,
            &mut found,
        ) {
            // A value of the wrong type.
            let is_here = |group: &usize| found.get(*group).is_some_and(|f| f.0 == failure.at);
            let group = self.fields.iter().map(|(group, _)| *group).find(is_here)?;
            let name = self.expression.group_names().nth(group)??;
            return Some(format!("group `{name}`: {}", failure.why));
        }
        let (matched, rest) = self.expression.how_far(work.current())?;
        failure.at = (from + matched.max(at)) as u32;
        Some(format!(
            "the expression matches up to here, but not `{rest}`"
        ))
    }
}
