//! `pattern`: the line as it looks, with holes.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::emit;
use crate::pattern::Pattern;
use crate::rules::{Field, Options, Place, Reader};
use crate::span::Span;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "pattern",
        group: Group::Patterns,
        summary: "the line as it looks, with holes: `<source.ip> took <took_ms:int> ms`",
        doc: "`<name>` takes the text up to what follows the hole in the pattern; the last hole takes the rest. `<name:type>` also demands a type, `<_>` skips, `<<` is a `<`. The pattern must fit from start to end. Between quotes, `\\\"` does not end a hole. No hole is tried at two lengths, so a pattern costs little more than reading the line. An empty text or `-` leaves its field out. What becomes `message` is what later steps work on.",
        form: Form::Short("expr"),
        options: &[OptionDoc {
            name: "expr",
            kind: OptionKind::Text,
            need: Need::Required,
            doc: "the pattern",
        }],
        examples: &[
            "name: shop.checkout\nmatch:\n  container: [checkout, 'checkout-*']\nsteps:\n  - pattern: '<@timestamp> <log.level> [<process.thread.name>] order=<order> took=<took_ms:float> <message>'\nexamples:\n  - line: '2024-05-01T10:00:00Z WARN [pool-1] order=A17 took=12.5 no card: retrying'\n    fields:\n      '@timestamp': 2024-05-01T10:00:00.000000000Z\n      log.level: warn\n      process.thread.name: pool-1\n      attributes.order: A17\n      attributes.took_ms: 12.5\n      message: 'no card: retrying'\n  - line: 'starting'\n    no_match: true\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct PatternStep {
    pattern: Pattern,
    /// One for each hole.
    fields: Vec<Field>,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let place = options.place("expr");
    let (pattern, names) = match Pattern::compile(options.text("expr")?) {
        Ok(compiled) => compiled,
        Err(wrong) => {
            let at = wrong.at + 1;
            let what = format!("{}, at character {at} of the pattern", wrong.what);
            reader.report(place, what, wrong.hint);
            return None;
        }
    };
    let fields: Vec<_> = names
        .iter()
        .filter_map(|name| reader.capture(name, place))
        .collect();
    (fields.len() == names.len()).then(|| Box::new(PatternStep { pattern, fields }) as _)
}

impl Step for PatternStep {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        work.found.clear();
        let line = work.text.bytes();
        let (from, to) = work.span;
        let marks = &work.fields.marks;
        self.pattern.find(line, from, to, marks, work.found)?;
        work.fields.names_dirty |= !work.fields.members.is_empty();
        for (field, &(start, end)) in self.fields.iter().zip(work.found.iter()) {
            let (start, end) = (start as usize, end as usize);
            if field.target.place == Place::Message {
                work.span = (start, end);
            }
            emit::fill(field, line, Span::line(start, end), work.fields)?;
        }
        Ok(Flow::Next)
    }

    fn explain(&self, work: &Work<'_>, failure: &mut Failure) -> Option<String> {
        let mut found = Vec::new();
        let (from, to) = work.span;
        if self
            .pattern
            .find(work.text.bytes(), from, to, &work.fields.marks, &mut found)
            .is_ok()
        {
            // A value of the wrong type.
            let index = found.iter().position(|(start, _)| *start == failure.at)?;
            let name = self.pattern.name(index)?;
            return Some(format!("`<{name}>`: {}", failure.why));
        }
        let missing = self.pattern.literal_after(found.len())?;
        Some(match found.len() {
            0 if failure.at as usize == from && self.pattern.begins_with_literal() => {
                format!("the text should begin with `{missing}`")
            }
            n => format!(
                "`{missing}` should follow `<{}>`",
                self.pattern.name(n).unwrap_or_default()
            ),
        })
    }
}
