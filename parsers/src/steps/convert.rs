//! Steps that change what a value is: `cast`, `severity`, `duration`, `bytes`.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::json::ValueKind;
use crate::level::Level;
use crate::quantity;
use crate::rules::{Field, Options, Reader, Type};
use crate::value::Value;
use crate::work::Work;

pub(super) static CAST: Entry = Entry {
    doc: StepDoc {
        name: "cast",
        group: Group::Shaping,
        summary: "gives fields a type: `cast: {took_ms: float, order: string}`",
        doc: "`int` cuts off a fraction; `bool` also takes yes and no, on and off, 1 and 0; `time` becomes RFC 3339 in UTC. A field that is not there is passed over; one whose value has no such reading makes the step fail: put it into `try` when that may be.",
        form: Form::Map("types"),
        options: &[OptionDoc {
            name: "types",
            kind: OptionKind::ChoiceMap(&Type::NAMES),
            need: Need::Required,
            doc: "fields, each with its type",
        }],
        examples: &[
            "name: t\nsteps:\n  - logfmt: {}\n  - cast: {took: float, n: int, ok: bool}\nexamples:\n  - line: 'took=12.50 n=3.9 ok=yes'\n    fields: {attributes.took: 12.5, attributes.n: 3, attributes.ok: true}\n  - line: 'took=long n=1'\n    no_match: true\n",
        ],
    },
    read: read_cast,
};

pub(super) static SEVERITY: Entry = Entry {
    doc: StepDoc {
        name: "severity",
        group: Group::Shaping,
        summary: "makes `log.level` of a field: `severity: {field: prio, map: {1: fatal, 2: error}}`",
        doc: "Words (`WARN`, `err`, `information`) and the numbers of syslog, pino and bunyan are known; `map` tells others. A value that is neither is left alone. The field is removed when its level was taken.",
        form: Form::Short("field"),
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Required,
                doc: "where the severity is",
            },
            OptionDoc {
                name: "map",
                kind: OptionKind::ChoiceMap(&["trace", "debug", "info", "warn", "error", "fatal"]),
                need: Need::Optional,
                doc: "values in any case, each with the level that it stands for; asked first",
            },
            OptionDoc {
                name: "scale",
                kind: OptionKind::Choice(&["auto", "python", "otel"]),
                need: Need::Default("auto"),
                doc: "how numbers count",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - pattern: '<prio>|<message>'\n  - severity: {field: prio, map: {P1: fatal, P2: error}}\nexamples:\n  - line: 'P2|disk'\n    fields: {log.level: error, attributes.prio: null}\n  - line: 'warning|disk'\n    fields: {log.level: warn}\n",
        ],
    },
    read: read_severity,
};

pub(super) static DURATION: Entry = Entry {
    doc: StepDoc {
        name: "duration",
        group: Group::Shaping,
        summary: "reads a time span as a number: `duration: {field: took, to: event.duration}`",
        doc: "Spans are written as `1.5s`, `250ms`, `1m30s`, `2 hours`, `PT1M30S`; a bare number counts in `unit`. The step fails when the field is there and is none.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Required,
                doc: "where the span is; removed once read, unless it is where the number goes",
            },
            OptionDoc {
                name: "to",
                kind: OptionKind::Field,
                need: Need::Default("event.duration"),
                doc: "where the number goes",
            },
            OptionDoc {
                name: "unit",
                kind: OptionKind::Choice(&["ns", "us", "ms", "s"]),
                need: Need::Default("s"),
                doc: "what a number without a unit counts",
            },
            OptionDoc {
                name: "as",
                kind: OptionKind::Choice(&["ns", "us", "ms", "s"]),
                need: Need::Default("ns"),
                doc: "what the resulting number counts; `event.duration` is in nanoseconds by definition",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - logfmt: {}\n  - duration: {field: took}\n  - duration: {field: wait, to: wait_ms, unit: ms, as: ms}\nexamples:\n  - line: 'took=1.5s wait=250'\n    fields: {event.duration: 1500000000, attributes.wait_ms: 250, attributes.took: null}\n",
        ],
    },
    read: read_duration,
};

pub(super) static BYTES: Entry = Entry {
    doc: StepDoc {
        name: "bytes",
        group: Group::Shaping,
        summary: "reads a size as a number of bytes: `bytes: {field: size, to: http.response.bytes}`",
        doc: "Sizes are written as `512`, `1.5MB` (1,000), `64KiB` or `64K` (1,024). The step fails when the field is there and is none.",
        form: Form::Short("field"),
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Required,
                doc: "where the size is",
            },
            OptionDoc {
                name: "to",
                kind: OptionKind::Field,
                need: Need::Optional,
                doc: "where the number goes; the same field when left out",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - logfmt: {}\n  - bytes: {field: size, to: http.response.bytes}\n  - bytes: free\nexamples:\n  - line: 'size=1.5MB free=64KiB'\n    fields: {http.response.bytes: 1500000, attributes.free: 65536}\n",
        ],
    },
    read: read_bytes,
};

#[derive(Debug)]
struct Cast {
    fields: Vec<(Field, Type)>,
}

#[derive(Debug)]
struct Severity {
    field: Field,
    map: Vec<(String, Level)>,
    read: fn(&[u8]) -> Option<Level>,
}

/// A number of units, from text.
#[derive(Debug)]
struct Quantity {
    field: Field,
    to: Field,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Duration { unit_ns: i64, as_ns: i64 },
    Bytes,
}

fn read_cast(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let mut fields = Vec::new();
    for (key, value) in options.map("types") {
        let kind = Type::find(value.text()?)?;
        fields.push((reader.field(&key.text, key.place)?, kind));
    }
    Some(Box::new(Cast { fields }))
}

fn read_severity(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = options.field(reader, "field")?;
    let map = options
        .map("map")
        .iter()
        .filter_map(|(key, value)| {
            Some((
                key.text.clone(),
                Level::from_text(value.text()?.as_bytes())?,
            ))
        })
        .collect();
    let read = match options.text("scale") {
        Some("python") => |text: &[u8]| Level::from_python(text).or_else(|| Level::from_text(text)),
        Some("otel") => |text: &[u8]| Level::from_otel(text).or_else(|| Level::from_text(text)),
        _ => Level::from_text as fn(&[u8]) -> Option<Level>,
    };
    Some(Box::new(Severity { field, map, read }))
}

fn unit(name: Option<&str>) -> i64 {
    match name {
        Some("ns") => 1,
        Some("us") => 1_000,
        Some("ms") => 1_000_000,
        _ => 1_000_000_000,
    }
}

fn read_duration(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = options.field(reader, "field");
    let to = options.field(reader, "to");
    let (unit_ns, as_ns) = (unit(options.text("unit")), unit(options.text("as")));
    Some(Box::new(Quantity {
        field: field?,
        to: to?,
        kind: Kind::Duration { unit_ns, as_ns },
    }))
}

fn read_bytes(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = options.field(reader, "field")?;
    let to = match options.text("to") {
        Some(_) => options.field(reader, "to")?,
        None => field.clone(),
    };
    let kind = Kind::Bytes;
    Some(Box::new(Quantity { field, to, kind }))
}

impl Step for Cast {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        for (field, kind) in &self.fields {
            if let Some(value) = work.get(field) {
                let value = work.convert(value, *kind)?;
                work.put(field, value)?;
            }
        }
        Ok(Flow::Next)
    }
}

impl Step for Severity {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        if let Some(span) = work.text_of(&self.field) {
            let text = work.bytes(span).trim_ascii();
            // `log.level` holds words in lower case, however they are written in the line.
            let is_named =
                |(name, _): &&(String, Level)| name.as_bytes().eq_ignore_ascii_case(text);
            let mapped = self.map.iter().find(is_named);
            let level = match mapped {
                Some((_, level)) => Some(*level),
                None => (self.read)(text),
            };
            if level.is_some() {
                work.remove(&self.field);
                work.fields.level = level;
            }
        }
        Ok(Flow::Next)
    }
}

impl Step for Quantity {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let Some(span) = work.text_of(&self.field) else {
            return Ok(Flow::Next);
        };
        let text = work.bytes(span);
        let wrong = |why| Err(Failure::at(span.start as usize, why));
        let number = match self.kind {
            Kind::Bytes => match quantity::size_bytes(text) {
                Some(bytes) => bytes as f64,
                None => return wrong("this is no size"),
            },
            Kind::Duration { unit_ns, as_ns } => {
                let bare: Option<f64> = std::str::from_utf8(text)
                    .ok()
                    .and_then(|t| t.trim().parse().ok());
                let ns = match bare {
                    Some(number) => Some(number * unit_ns as f64),
                    None => quantity::duration_ns(text).map(|ns| ns as f64),
                };
                match ns.filter(|ns: &f64| ns.is_finite() && ns.abs() < 9e18) {
                    Some(ns) => ns / as_ns as f64,
                    None => return wrong("this is no time span"),
                }
            }
        };
        let span = work.write(|out| append_number(out, number));
        work.remove_unless(&self.field, &self.to);
        work.put(&self.to, Value::json(span, ValueKind::Number))?;
        Ok(Flow::Next)
    }
}

/// Appends a number as JSON, without a fraction when it has none.
fn append_number(out: &mut Vec<u8>, number: f64) {
    use std::io::Write;
    // A fraction below a millionth of a unit is the error of binary fractions.
    let number = (number * 1e6).round() / 1e6;
    if number.fract() == 0.0 && number.abs() < 9e18 {
        out.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
    } else {
        write!(out, "{number}").expect("writing to memory does not fail");
    }
}
