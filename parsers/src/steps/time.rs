//! `time`: times in the author's formats.

use jiff::tz::TimeZone;

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::rules::{Field, Options, Place, Reader};
use crate::strptime::TimeFormat;
use crate::time::{self, Moment};
use crate::value::Value;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "time",
        group: Group::Shaping,
        summary: "reads a time: `time: {field: when, formats: ['%d.%m.%Y %H:%M:%S'], zone: Europe/Berlin}`",
        doc: "A format is one of the words `rfc3339` (also with a space, without zone), `access_log` (`10/Oct/2023:13:55:36 +0200`), `syslog` (`May  1 10:00:00`), `rfc2822`, `unix`, `unix_ms`, `unix_us`, `unix_ns`, `auto` (any of the first two, or a count since 1970 by its size), or is made of conversions: `%Y %y %m %b %d %e %j %a %H %I %p %M %S %z %Z %s %F %T %D %R`, `%f` for digits of a second and `%.f` for a point or comma and digits if there are any. White space in a format stands for any, or none. A year that is left out is the one that brings the time nearest to the runtime's time of the line, at most a day ahead of it; a date that is left out is the line's own. When clocks go back, the earlier of the two times is taken. The step fails when the field is there and no format fits.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Required,
                doc: "where the text is; when it is not there, nothing is done. It is removed once read, unless it is where the time goes",
            },
            OptionDoc {
                name: "to",
                kind: OptionKind::Field,
                need: Need::Default("'@timestamp'"),
                doc: "where the time goes",
            },
            OptionDoc {
                name: "formats",
                kind: OptionKind::Texts,
                need: Need::Default("auto"),
                doc: "formats, tried in order",
            },
            OptionDoc {
                name: "zone",
                kind: OptionKind::Text,
                need: Need::Default("UTC"),
                doc: "the IANA name (`Europe/Berlin`) or offset (`+02:00`) of times that name no zone",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - pattern: '<when> | <message>'\n  - time: {field: when, formats: ['%d.%m.%Y %H:%M:%S', syslog, unix_ms], zone: Europe/Berlin}\nexamples:\n  - line: '01.05.2024 12:00:00 | x'\n    fields: {'@timestamp': 2024-05-01T10:00:00.000000000Z, attributes.when: null}\n  - line: 'Dec 31 23:59:59 | x'\n    time: 2024-01-01T00:00:05Z\n    fields: {'@timestamp': 2023-12-31T22:59:59.000000000Z}\n  - line: '1714557600123 | x'\n    fields: {'@timestamp': 2024-05-01T10:00:00.123000000Z}\n  - line: 'yesterday | x'\n    no_match: true\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct Time {
    field: Field,
    to: Field,
    formats: Vec<Candidate>,
    zone: TimeZone,
}

#[derive(Debug)]
enum Candidate {
    Auto,
    Rfc3339,
    Format(TimeFormat),
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = options.field(reader, "field");
    let to = options.field(reader, "to");
    let name = options.text("zone").unwrap_or("UTC");
    let Some(zone) = zone(name) else {
        let hint = "an IANA name like `Europe/Berlin`, `UTC`, or an offset like `+02:00`";
        let what = format!("`{name}` is no zone");
        reader.report(options.place("zone"), what, Some(hint.to_owned()));
        return None;
    };
    let mut formats = Vec::new();
    for (place, text) in options.texts("formats") {
        match candidate(text) {
            Ok(candidate) => formats.push(candidate),
            Err(what) => {
                let hint = "`%Y-%m-%d %H:%M:%S%.f`, or a word like `rfc3339`".to_owned();
                reader.report(place, what, Some(hint));
            }
        }
    }
    Some(Box::new(Time {
        field: field?,
        to: to?,
        formats,
        zone,
    }))
}

fn zone(name: &str) -> Option<TimeZone> {
    if name.starts_with(['+', '-']) {
        let offset = time::Cursor {
            text: name.as_bytes(),
        }
        .offset()?;
        let offset = jiff::tz::Offset::from_seconds(i32::try_from(offset).ok()?).ok()?;
        return Some(TimeZone::fixed(offset));
    }
    TimeZone::get(name).ok()
}

fn candidate(text: &str) -> Result<Candidate, String> {
    let format = match text {
        "auto" => return Ok(Candidate::Auto),
        "rfc3339" => return Ok(Candidate::Rfc3339),
        "unix" => TimeFormat::epoch(1_000_000_000),
        "unix_ms" => TimeFormat::epoch(1_000_000),
        "unix_us" => TimeFormat::epoch(1_000),
        "unix_ns" => TimeFormat::epoch(1),
        "access_log" => TimeFormat::compile("%d/%b/%Y:%H:%M:%S %z")?,
        "syslog" => TimeFormat::compile("%b %e %H:%M:%S")?,
        "rfc2822" => TimeFormat::compile("%a, %d %b %Y %H:%M:%S %z")?,
        _ if text.contains('%') => TimeFormat::compile(text)?,
        _ => return Err(format!("`{text}` is no format of times")),
    };
    Ok(Candidate::Format(format))
}

impl Step for Time {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let is_own = self.field.target.place == Place::Time && work.fields.time_ns.is_none();
        let Some(span) = (!is_own).then(|| work.text_of(&self.field)).flatten() else {
            return Ok(Flow::Next);
        };
        let near_ns = work.record.time_ns.unwrap_or(work.record.now_ns);
        let text = work.bytes(span);
        let moment = self.formats.iter().find_map(|format| match format {
            Candidate::Auto => time::parse_any(text),
            Candidate::Rfc3339 => time::parse_rfc3339(text, time::Zone::UtcWhenAbsent),
            Candidate::Format(format) => format.parse(text, &self.zone, near_ns),
        });
        let Some(moment) = moment else {
            return Err(Failure::at(span.start as usize, "no format fits this time"));
        };
        if self.to.target.place == Place::Time {
            if work.fields.set_time(Some(moment)) {
                work.remove_unless(&self.field, &self.to);
            }
        } else if let Moment::At(ns) = moment {
            let span = work.fields.write_time(ns);
            work.remove_unless(&self.field, &self.to);
            work.put(&self.to, Value::text(span))?;
        }
        Ok(Flow::Next)
    }
}
