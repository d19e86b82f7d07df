//! `sample`, `throttle` and `dedupe`: fewer of the same.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::json::ValueKind;
use crate::level::Level;
use crate::rules::{Field, Options, Reader};
use crate::value::Value;
use crate::work::Work;

/// Keys that `throttle` and `dedupe` remember in a thread. Over it those that are over go, then
/// all: a few too many records pass, memory stays bounded.
const MAX_KEYS: usize = 65_536;

const SECOND: i64 = 1_000_000_000;

const KEY: OptionDoc = OptionDoc {
    name: "key",
    kind: OptionKind::Fields,
    need: Need::Optional,
    doc: "fields whose values together make one kind of record, of the stream's metadata too; all records are of one kind when it is left out",
};

pub(super) static SAMPLE: Entry = Entry {
    doc: StepDoc {
        name: "sample",
        group: Group::Choosing,
        summary: "keeps one record in so many: `sample: {one_in: 10}`",
        doc: "Which ones follows from the record's place in its stream, so that a record that is sent again is decided alike. With `key` all records of one key (a trace, a user) are kept or dropped together. What is kept has the rate in `sample_rate`, for sums.",
        form: Form::Short("one_in"),
        options: &[
            OptionDoc {
                name: "one_in",
                kind: OptionKind::Integer(1, 1_000_000_000),
                need: Need::Required,
                doc: "how many records one is kept of",
            },
            KEY,
            OptionDoc {
                name: "keep_from",
                kind: OptionKind::Choice(&[
                    "trace", "debug", "info", "warn", "error", "fatal", "never",
                ]),
                need: Need::Default("warn"),
                doc: "records of this level or worse are all kept",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - pattern: '<log.level> <trace.id>'\n  - sample: {one_in: 1000000, key: trace.id}\nexamples:\n  - line: INFO abc\n    dropped: true\n  - line: ERROR abc\n    fields: {log.level: error, attributes.sample_rate: null}\n",
        ],
    },
    read: read_sample,
};

pub(super) static THROTTLE: Entry = Entry {
    doc: StepDoc {
        name: "throttle",
        group: Group::Choosing,
        summary: "drops what is more than so many records a second: `throttle: {rate: 100, key: kubernetes.pod.name}`",
        doc: "Best effort: each thread of each aggregator counts for itself, by the runtime's time of the records, and a record that is sent again may be decided differently. For an exact limit of a container's bytes see the agent's rate limits.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "rate",
                kind: OptionKind::Integer(1, 1_000_000_000),
                need: Need::Required,
                doc: "records a second, of each key",
            },
            OptionDoc {
                name: "burst",
                kind: OptionKind::Integer(0, 1_000_000_000),
                need: Need::Default("0"),
                doc: "records at once after a quiet time; as many as `rate` when 0",
            },
            KEY,
        ],
        examples: &[
            "name: t\nsteps:\n  - pattern: '<user.name> <message>'\n  - throttle: {rate: 1, burst: 2, key: user.name}\nexamples:\n  - {line: bob 1, fields: {message: '1'}}\n  - {line: bob 2, fields: {message: '2'}}\n  - {line: bob 3, dropped: true}\n  - {line: eve 1, fields: {message: '1'}}\n  - {line: bob 4, time: '1970-01-01T00:00:01Z', fields: {message: '4'}}\n",
        ],
    },
    read: read_throttle,
};

pub(super) static DEDUPE: Entry = Entry {
    doc: StepDoc {
        name: "dedupe",
        group: Group::Choosing,
        summary: "drops records that repeat one of the last minutes: `dedupe: {key: message, window: 1m}`",
        doc: "The first record of a key is kept, and the first one after the window has ended, with the number of those dropped between them in `repeated`. Best effort, as `throttle` is.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "key",
                kind: OptionKind::Fields,
                need: Need::Default("message"),
                doc: "fields whose values together make records the same",
            },
            OptionDoc {
                name: "window",
                kind: OptionKind::Duration,
                need: Need::Default("1m"),
                doc: "how long after its first record a repetition is dropped",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - pattern: '<log.level> <message>'\n  - dedupe: {window: 10s}\nexamples:\n  - {line: INFO a, fields: {message: a}}\n  - {line: INFO a, time: '1970-01-01T00:00:05Z', dropped: true}\n  - {line: INFO b, fields: {message: b}}\n  - {line: INFO a, time: '1970-01-01T00:00:11Z', fields: {message: a, attributes.repeated: 1}}\n",
        ],
    },
    read: read_dedupe,
};

#[derive(Debug)]
struct Sample {
    one_in: u64,
    key: Vec<Field>,
    keep_from: Option<Level>,
    rate: Field,
}

#[derive(Debug)]
struct Throttle {
    /// Nanoseconds between two records at the rate.
    interval_ns: i64,
    burst_ns: i64,
    key: Vec<Field>,
}

#[derive(Debug)]
struct Dedupe {
    window_ns: i64,
    key: Vec<Field>,
    repeated: Field,
}

/// Keys are hashes already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type Keys<T> = HashMap<u64, T, BuildHasherDefault<AsItIs>>;

/// When the next record of a key is due at the rate.
type Due = Keys<i64>;
/// When a key's window began, and the repetitions since.
type Windows = Keys<(i64, u64)>;

fn read_sample(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let keep_from = options.text("keep_from").unwrap_or_default();
    Some(Box::new(Sample {
        one_in: options.integer("one_in").unsigned_abs().max(1),
        key: options.sources(reader, "key"),
        keep_from: Level::from_text(keep_from.as_bytes()),
        rate: reader.field("sample_rate:int", options.place)?,
    }))
}

fn read_throttle(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let rate = options.integer("rate").max(1);
    let burst = match options.integer("burst") {
        0 => rate,
        burst => burst,
    };
    let interval_ns = (SECOND / rate).max(1);
    Some(Box::new(Throttle {
        interval_ns,
        burst_ns: interval_ns.saturating_mul(burst - 1),
        key: options.sources(reader, "key"),
    }))
}

fn read_dedupe(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let window = options.duration("window").as_nanos();
    Some(Box::new(Dedupe {
        window_ns: i64::try_from(window).unwrap_or(i64::MAX),
        key: options.sources(reader, "key"),
        repeated: reader.field("repeated:int", options.place)?,
    }))
}

/// A hash of the values of fields.
fn hash_of(work: &mut Work<'_>, fields: &[Field]) -> u64 {
    fields.iter().fold(0, |hash, field| {
        match work.text_of(field) {
            Some(span) => xxh3_64_with_seed(work.bytes(span), hash),
            // Not the same as an empty one.
            None => hash.rotate_left(1) ^ 0x9E37_79B9_7F4A_7C15,
        }
    })
}

/// The record's own time of arrival: what a second try sees as well.
fn now_ns(work: &Work<'_>) -> i64 {
    work.record.time_ns.unwrap_or(work.record.now_ns)
}

impl Step for Sample {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let level = work.fields.level.or_else(|| Level::in_line(work.current()));
        if level >= self.keep_from && self.keep_from.is_some() {
            return Ok(Flow::Next);
        }
        let hash = match self.key.is_empty() {
            // Stream and offset are what a document's id is made of, with a hash of the bytes.
            true => {
                let mut place = [0; 16];
                place[..8].copy_from_slice(&work.record.stream.to_be_bytes());
                place[8..].copy_from_slice(&work.record.offset.to_be_bytes());
                xxh3_64_with_seed(work.current(), xxh3_64(&place))
            }
            false => hash_of(work, &self.key),
        };
        if !hash.is_multiple_of(self.one_in) {
            return Ok(Flow::Drop);
        }
        put_number(work, &self.rate, self.one_in)?;
        Ok(Flow::Next)
    }
}

impl Step for Throttle {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let hash = hash_of(work, &self.key);
        let now = now_ns(work);
        let Some(due) = work.memory::<Due>() else {
            return Ok(Flow::Next);
        };
        if due.len() >= MAX_KEYS && !due.contains_key(&hash) {
            due.retain(|_, due| *due > now);
            if due.len() >= MAX_KEYS {
                due.clear();
            }
        }
        let next = due.entry(hash).or_insert(now);
        // A clock that was set back must not hold records back for longer than a burst lasts.
        *next = (*next).min(now.saturating_add(self.burst_ns + self.interval_ns));
        if *next > now.saturating_add(self.burst_ns) {
            return Ok(Flow::Drop);
        }
        *next = (*next).max(now).saturating_add(self.interval_ns);
        Ok(Flow::Next)
    }

    fn memory(&self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(Due::default()))
    }
}

impl Step for Dedupe {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let hash = hash_of(work, &self.key);
        let now = now_ns(work);
        let window = self.window_ns;
        let Some(windows) = work.memory::<Windows>() else {
            return Ok(Flow::Next);
        };
        if windows.len() >= MAX_KEYS && !windows.contains_key(&hash) {
            windows.retain(|_, (start, _)| now.saturating_sub(*start) < window);
            if windows.len() >= MAX_KEYS {
                windows.clear();
            }
        }
        let repeated = match windows.get_mut(&hash) {
            Some((start, repeated)) if now.saturating_sub(*start).abs() < window => {
                *repeated += 1;
                return Ok(Flow::Drop);
            }
            Some(entry) => std::mem::replace(entry, (now, 0)).1,
            None => {
                windows.insert(hash, (now, 0));
                0
            }
        };
        if repeated > 0 {
            put_number(work, &self.repeated, repeated)?;
        }
        Ok(Flow::Next)
    }

    fn memory(&self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(Windows::default()))
    }
}

fn put_number(work: &mut Work<'_>, field: &Field, number: u64) -> Result<(), Failure> {
    let span = work.write(|out| {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    });
    work.put(field, Value::json(span, ValueKind::Number))
}
