//! `split` and `join`: texts and lists.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::escape;
use crate::json::ValueKind;
use crate::rules::{Field, Options, Reader};
use crate::value::Value;
use crate::work::Work;

/// Most parts that a text is split into; the last one holds the rest.
const MAX_PARTS: usize = 256;

pub(super) static SPLIT: Entry = Entry {
    doc: StepDoc {
        name: "split",
        group: Group::Shaping,
        summary: "splits a text into a list, or into fields",
        doc: "Without `into` the field becomes a list of texts, of at most 256; the last one holds the rest. With `into` each part goes to the field at its place, the last of them takes the rest, and `_` passes over a part. The step fails when there are fewer parts than fields.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Required,
                doc: "where the text is; when it is not there, nothing is done",
            },
            OptionDoc {
                name: "by",
                kind: OptionKind::Text,
                need: Need::Default("','"),
                doc: "what stands between the parts; white space around parts is taken off",
            },
            OptionDoc {
                name: "into",
                kind: OptionKind::Fields,
                need: Need::Optional,
                doc: "a field for each part; the split field is removed",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - logfmt: {}\n  - split: {field: roles}\n  - split: {field: peer, by: ':', into: [source.ip, 'source.port']}\nexamples:\n  - line: 'roles=\"a, b\" peer=10.0.0.1:8080'\n    fields: {attributes.roles: '[\"a\",\"b\"]', source.ip: 10.0.0.1, source.port: 8080, attributes.peer: null}\n",
        ],
    },
    read: read_split,
};

pub(super) static JOIN: Entry = Entry {
    doc: StepDoc {
        name: "join",
        group: Group::Shaping,
        summary: "makes one text of several fields, or of a list",
        doc: "Fields that are not there are left out. When none is there, nothing is done.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "fields",
                kind: OptionKind::Fields,
                need: Need::Required,
                doc: "what to join; the elements of a field that is a list of texts",
            },
            OptionDoc {
                name: "by",
                kind: OptionKind::Text,
                need: Need::Default("' '"),
                doc: "what to put between them",
            },
            OptionDoc {
                name: "to",
                kind: OptionKind::Field,
                need: Need::Required,
                doc: "where the text goes",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - json: {}\n  - join: {fields: [first, more, last], by: '-', to: all}\nexamples:\n  - line: '{\"first\":\"a\",\"more\":[\"b\",\"c\"]}'\n    fields: {attributes.all: a-b-c}\n",
        ],
    },
    read: read_join,
};

#[derive(Debug)]
struct Split {
    field: Field,
    by: String,
    into: Vec<Field>,
}

#[derive(Debug)]
struct Join {
    fields: Vec<Field>,
    by: String,
    to: Field,
}

fn read_split(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = options.field(reader, "field");
    let into = options.fields(reader, "into");
    let by = options.text("by")?.to_owned();
    if by.is_empty() {
        reader.report(options.place("by"), "`by` is empty", None);
    }
    let field = field?;
    Some(Box::new(Split { field, by, into }))
}

fn read_join(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let fields = options.fields(reader, "fields");
    let to = options.field(reader, "to")?;
    let by = options.text("by")?.to_owned();
    Some(Box::new(Join { fields, by, to }))
}

impl Step for Split {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let Some(value) = work.get(&self.field) else {
            return Ok(Flow::Next);
        };
        // A list is split already.
        if value.kind == ValueKind::Array {
            return Ok(Flow::Next);
        }
        let mut span = work.plain(value);
        if self.into.is_empty() {
            let mut list = std::mem::take(&mut work.fields.scratch);
            list.clear();
            list.push(b'[');
            let text = std::str::from_utf8(work.bytes(span)).unwrap_or_default();
            for (i, part) in text.splitn(MAX_PARTS, &self.by).enumerate() {
                if i > 0 {
                    list.push(b',');
                }
                escape::append_string(&mut list, part.trim().as_bytes());
            }
            list.push(b']');
            let span = work.write(|out| out.extend_from_slice(&list));
            work.fields.scratch = list;
            work.put(&self.field, Value::json(span, ValueKind::Array))?;
            return Ok(Flow::Next);
        }
        work.remove(&self.field);
        for (i, field) in self.into.iter().enumerate() {
            let text = work.bytes(span);
            let is_last = i + 1 == self.into.len();
            let found = match is_last {
                true => None,
                false => memchr::memmem::find(text, self.by.as_bytes()),
            };
            let n = match (found, is_last) {
                (Some(n), _) => n,
                (None, true) => text.len(),
                (None, false) => {
                    return Err(Failure::at(span.start as usize, "there are too few parts"));
                }
            };
            let part = text.get(..n).unwrap_or_default();
            let before = (part.len() - part.trim_ascii_start().len()) as u32;
            let mut own = span;
            own.start += before;
            own.end = own.start + part.trim_ascii().len() as u32;
            if own.start < own.end {
                let value = work.convert(Value::text(own), field.target.kind)?;
                work.put(field, value)?;
            }
            span.start = (span.start + n as u32 + self.by.len() as u32).min(span.end);
        }
        Ok(Flow::Next)
    }
}

impl Step for Join {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let mut joined = std::mem::take(&mut work.fields.filled);
        joined.clear();
        let mut n = 0;
        let mut add = |joined: &mut Vec<u8>, text: &[u8]| {
            if n > 0 {
                joined.extend_from_slice(self.by.as_bytes());
            }
            joined.extend_from_slice(text);
            n += 1;
        };
        for field in &self.fields {
            let Some(value) = work.get(field) else {
                continue;
            };
            let texts: Option<Vec<String>> = match value.kind {
                ValueKind::Array => serde_json::from_slice(work.bytes(value.span)).ok(),
                _ => None,
            };
            match texts {
                Some(texts) => texts
                    .iter()
                    .for_each(|text| add(&mut joined, text.as_bytes())),
                None => {
                    let span = work.plain(value);
                    add(&mut joined, work.bytes(span));
                }
            }
        }
        let span = (n > 0).then(|| work.write(|out| out.extend_from_slice(&joined)));
        work.fields.filled = joined;
        if let Some(span) = span {
            work.put(&self.to, Value::text(span))?;
        }
        Ok(Flow::Next)
    }
}
