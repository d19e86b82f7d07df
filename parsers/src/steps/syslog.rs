//! `syslog`: RFC 5424, RFC 3164 and what is called so.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::emit::{Emit, Message};
use crate::json::ValueKind;
use crate::level::Level;
use crate::rules::{Field, Options, Reader};
use crate::span::Span;
use crate::time::{self, Moment};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "syslog",
        group: Group::Formats,
        summary: "syslog lines of RFC 5424 and RFC 3164, with or without priority",
        doc: "Priority, host name, program, its number and the message's id become `log.syslog.*`, the severity the level, structured data attributes under `structured_data`. Of RFC 3164 all that programs really write is taken: times with a year, a fraction, a zone, in RFC 3339 or none at all, a missing host name, a tag without a colon. The year is the one that brings the time next to the runtime's; a time without a zone is UTC. A line that has neither priority nor time is not syslog.",
        form: Form::Options,
        options: &[OptionDoc {
            name: "rfc",
            kind: OptionKind::Choice(&["auto", "3164", "5424"]),
            need: Need::Default("auto"),
            doc: "which of the two; `5424` also takes lines without priority and version",
        }],
        examples: &[
            "name: hosts\nsteps:\n  - syslog: {}\nexamples:\n  - line: '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"a \\\"b\\\"\"] An application event'\n    fields:\n      '@timestamp': 2003-10-11T22:14:15.003000000Z\n      log.level: info\n      log.syslog.priority: 165\n      log.syslog.facility.code: 20\n      log.syslog.facility.name: local4\n      log.syslog.severity.code: 5\n      log.syslog.severity.name: notice\n      log.syslog.hostname: mymachine.example.com\n      log.syslog.appname: evntslog\n      log.syslog.procid: null\n      log.syslog.msgid: ID47\n      attributes.structured_data.exampleSDID@32473.eventSource: a \"b\"\n      message: An application event\n  - line: '<27>Jun  3 12:08:33 web-1 sshd[750]: session opened for user é'\n    time: 2024-06-04T00:00:00Z\n    fields:\n      '@timestamp': 2024-06-03T12:08:33.000000000Z\n      log.level: error\n      log.syslog.hostname: web-1\n      log.syslog.appname: sshd\n      log.syslog.procid: 750\n      message: session opened for user é\n  - line: 'Jun  3 12:08:33 web-1 sudo'\n    fields: {log.syslog.appname: sudo, message: ''}\n  - line: 'foo bar baz'\n    no_match: true\n",
        ],
    },
    read,
};

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];
const SEVERITIES: [(&str, Level); 8] = [
    ("emerg", Level::Fatal),
    ("alert", Level::Fatal),
    ("crit", Level::Fatal),
    ("err", Level::Error),
    ("warning", Level::Warn),
    ("notice", Level::Info),
    ("info", Level::Info),
    ("debug", Level::Debug),
];

const TOO_MANY: &str = "there are too many parameters";

type Part = (usize, usize);

/// A line taken apart: where its parts stand. An empty part is not there.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parsed {
    priority: Option<u8>,
    priority_text: Part,
    /// Of RFC 5424.
    version: Part,
    time: Option<Moment>,
    host: Part,
    app: Part,
    procid: Part,
    msgid: Part,
    data: Part,
    message: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rfc {
    Auto,
    Bsd,
    New,
}

/// The next word of `line[at..]`, and where the one after it begins.
fn word(line: &[u8], at: usize) -> (Part, usize) {
    let rest = line.get(at..).unwrap_or_default();
    let length = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    ((at, at + length), (at + length + 1).min(line.len()))
}

fn scan(line: &[u8], from: usize, rfc: Rfc, now_ns: i64) -> Result<Parsed, Failure> {
    let mut parsed = Parsed::default();
    let mut at = from;
    if line.get(at) == Some(&b'<') {
        let rest = line.get(at + 1..).unwrap_or_default();
        let n = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let number = std::str::from_utf8(rest.get(..n).unwrap_or_default());
        let priority = number.ok().and_then(|n| n.parse::<u8>().ok());
        if n > 3 || rest.get(n) != Some(&b'>') || priority.is_none_or(|p| p > 191) {
            return Err(Failure::at(at, "this is no priority, `<0>` to `<191>`"));
        }
        parsed.priority = priority;
        parsed.priority_text = (at + 1, at + 1 + n);
        at += n + 2;
    }
    let rest = line.get(at..).unwrap_or_default();
    let n_version = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let has_version = (1..=2).contains(&n_version) && rest.get(n_version) == Some(&b' ');
    let is_new = match rfc {
        Rfc::Bsd => false,
        Rfc::New => true,
        Rfc::Auto => {
            parsed.priority.is_some()
                && has_version
                && rest
                    .get(n_version + 1)
                    .is_some_and(|b| *b == b'-' || b.is_ascii_digit())
        }
    };
    if is_new {
        if has_version {
            parsed.version = (at, at + n_version);
            at += n_version + 1;
        } else if parsed.priority.is_some() {
            return Err(Failure::at(at, "the version should follow the priority"));
        }
        return new(line, at, parsed);
    }
    bsd(line, at, parsed, now_ns)
}

/// RFC 5424, after the version.
fn new(line: &[u8], at: usize, mut parsed: Parsed) -> Result<Parsed, Failure> {
    let (time, at) = word(line, at);
    match line.get(time.0..time.1).unwrap_or_default() {
        b"-" => {}
        text => {
            parsed.time = time::parse_rfc3339(text, time::Zone::UtcWhenAbsent);
            if parsed.time.is_none() {
                return Err(Failure::at(time.0, "this is no RFC 3339 time"));
            }
        }
    }
    let mut at = at;
    for part in [
        &mut parsed.host,
        &mut parsed.app,
        &mut parsed.procid,
        &mut parsed.msgid,
    ] {
        (*part, at) = word(line, at);
    }
    let rest = line.get(at..).unwrap_or_default();
    if rest.first() == Some(&b'[') {
        let end = data_end(line, at).ok_or(Failure::at(at, "structured data is not closed"))?;
        parsed.data = (at, end);
        at = end;
    } else if rest.first() == Some(&b'-') && matches!(rest.get(1), None | Some(b' ')) {
        at += 1;
    }
    if line.get(at) == Some(&b' ') {
        at += 1;
    }
    if line
        .get(at..)
        .unwrap_or_default()
        .starts_with("\u{FEFF}".as_bytes())
    {
        at += 3;
    }
    parsed.message = (at, line.len());
    Ok(parsed)
}

/// The end of structured data: elements without anything between them.
fn data_end(line: &[u8], mut at: usize) -> Option<usize> {
    while line.get(at) == Some(&b'[') {
        let mut is_quoted = false;
        at += 1;
        loop {
            match line.get(at)? {
                b'\\' if is_quoted => at += 1,
                b'"' => is_quoted = !is_quoted,
                b']' if !is_quoted => break,
                _ => {}
            }
            at += 1;
        }
        at += 1;
    }
    Some(at)
}

/// RFC 3164, after the priority.
fn bsd(line: &[u8], from: usize, mut parsed: Parsed, now_ns: i64) -> Result<Parsed, Failure> {
    let mut at = from;
    let rest = line.get(at..).unwrap_or_default();
    if let Some((time, length)) = time::parse_syslog(rest, now_ns) {
        parsed.time = Some(time);
        at += length;
        if line.get(at) == Some(&b':') {
            at += 1;
        }
        while line.get(at) == Some(&b' ') {
            at += 1;
        }
    } else if parsed.priority.is_none() {
        return Err(Failure::at(at, "neither a priority nor a time"));
    }
    let (first, next) = word(line, at);
    let text = line.get(first.0..first.1).unwrap_or_default();
    let is_tag = text.ends_with(b":") || text.contains(&b'[');
    if parsed.time.is_none() {
        // Without a time there is no telling host and program apart, nor program and prose.
        parsed.message = (at, line.len());
        if !is_tag || text.starts_with(b"[") {
            return Ok(parsed);
        }
    } else if !is_tag {
        parsed.host = first;
        at = next;
    }
    tag(line, at, &mut parsed);
    Ok(parsed)
}

/// `program[17]: text`: a tag, and the message after it.
fn tag(line: &[u8], at: usize, parsed: &mut Parsed) {
    let rest = line.get(at..).unwrap_or_default();
    let ends = |b: &u8| matches!(b, b' ' | b'\t' | b':' | b'[');
    let length = rest.iter().position(ends).unwrap_or(rest.len());
    let mut end = at + length;
    if length > 0 {
        parsed.app = (at, end);
    }
    if line.get(end) == Some(&b'[')
        && length > 0
        && let Some(close) = memchr::memchr(b']', line.get(end..).unwrap_or_default())
    {
        parsed.procid = (end + 1, end + close);
        end += close + 1;
    }
    if length > 0 && line.get(end) == Some(&b':') {
        end += 1;
    }
    if matches!(line.get(end), Some(b' ' | b'\t')) {
        end += 1;
    }
    parsed.message = (end, line.len());
}

#[derive(Debug)]
struct Syslog {
    rfc: Rfc,
    priority: Field,
    facility_code: Field,
    facility_name: Field,
    severity_code: Field,
    severity_name: Field,
    host: Field,
    app: Field,
    procid: Field,
    msgid: Field,
    version: Field,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let rfc = match options.text("rfc") {
        Some("3164") => Rfc::Bsd,
        Some("5424") => Rfc::New,
        _ => Rfc::Auto,
    };
    let mut field = |name: &str| reader.field(&format!("log.syslog.{name}"), options.place);
    Some(Box::new(Syslog {
        rfc,
        priority: field("priority")?,
        facility_code: field("facility.code")?,
        facility_name: field("facility.name")?,
        severity_code: field("severity.code")?,
        severity_name: field("severity.name")?,
        host: field("hostname")?,
        app: field("appname")?,
        procid: field("procid")?,
        msgid: field("msgid")?,
        version: field("version")?,
    }))
}

impl Syslog {
    fn fill_priority(&self, out: &mut Emit<'_>, parsed: &Parsed) -> Result<(), Failure> {
        let Some(priority) = parsed.priority else {
            return Ok(());
        };
        let at = parsed.priority_text.0;
        out.fill(&self.priority, parsed.priority_text)?;
        let (facility, severity) = (priority / 8, priority % 8);
        let mut written = |field: &Field, text: &str| {
            let span = out.write(|arena| arena.extend_from_slice(text.as_bytes()));
            out.fill_written(field, span, at)
        };
        let mut digits = itoa::Buffer::new();
        written(&self.facility_code, digits.format(facility))?;
        written(&self.severity_code, digits.format(severity))?;
        if let Some(name) = FACILITIES.get(usize::from(facility)) {
            written(&self.facility_name, name)?;
        }
        written(&self.severity_name, SEVERITIES[usize::from(severity)].0)
    }
}

/// Hands over `[id name="value" …]…` as pairs `structured_data.id.name`.
fn pairs(out: &mut Emit<'_>, (from, to): Part) -> Result<(), Failure> {
    let line = out.line().get(..to).unwrap_or_default();
    let mut at = from;
    while line.get(at) == Some(&b'[') {
        let end = element_end(line, at);
        let inside = (at + 1, end);
        let text = line.get(inside.0..inside.1).unwrap_or_default();
        let length = memchr::memchr(b' ', text).unwrap_or(text.len());
        let id = text.get(..length).unwrap_or_default();
        let mut has_names = false;
        let mut param = inside.0 + length;
        while param < end {
            let rest = line.get(param..end).unwrap_or_default();
            param += rest.iter().take_while(|b| **b == b' ').count();
            let rest = line.get(param..end).unwrap_or_default();
            let Some(equals) = memchr::memchr(b'=', rest) else {
                break;
            };
            if out.is_full() {
                return Err(Failure::at(param, TOO_MANY));
            }
            let name = rest[..equals].trim_ascii();
            let blanks = rest[equals + 1..]
                .iter()
                .take_while(|b| **b == b' ')
                .count();
            let value_at = param + equals + 1 + blanks;
            let (value, next) = value(line, value_at, end);
            let value = out.undone(value, append_unescaped);
            let key = out.write(|arena| {
                arena.extend_from_slice(b"structured_data.");
                arena.extend_from_slice(id);
                arena.push(b'.');
                arena.extend_from_slice(name);
            });
            out.pair_of(key, value, ValueKind::Text);
            has_names = true;
            param = next;
        }
        if !has_names && !id.is_empty() {
            if out.is_full() {
                return Err(Failure::at(at, TOO_MANY));
            }
            let key = out.write(|arena| {
                arena.extend_from_slice(b"structured_data.");
                arena.extend_from_slice(id);
            });
            out.pair_of(key, Span::line(inside.1, inside.1), ValueKind::Text);
        }
        at = end + 1;
    }
    Ok(())
}

/// The `]` of the element that begins at `at`; it is there.
fn element_end(line: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    let mut is_quoted = false;
    while let Some(byte) = line.get(end) {
        match byte {
            b'\\' if is_quoted => end += 1,
            b'"' => is_quoted = !is_quoted,
            b']' if !is_quoted => break,
            _ => {}
        }
        end += 1;
    }
    end
}

/// A value in quotes, or a bare one as some write; and what follows it.
fn value(line: &[u8], at: usize, end: usize) -> (Part, usize) {
    let rest = line.get(at..end).unwrap_or_default();
    if rest.first() != Some(&b'"') {
        let length = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        return ((at, at + length), at + length);
    }
    let mut close = at + 1;
    while close < end {
        match line.get(close) {
            Some(b'\\') => close += 2,
            Some(b'"') => break,
            _ => close += 1,
        }
    }
    let close = close.min(end);
    ((at + 1, close), (close + 1).min(end))
}

/// A backslash escapes `"`, `\` and `]`; before anything else it is text.
fn append_unescaped(arena: &mut Vec<u8>, text: &[u8]) {
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && bytes.peek().is_some_and(|next| b"\"\\]".contains(next)) {
            continue_with(&mut bytes, arena);
        } else {
            arena.push(byte);
        }
    }
}

fn continue_with(bytes: &mut impl Iterator<Item = u8>, arena: &mut Vec<u8>) {
    arena.extend(bytes.next());
}

impl Step for Syslog {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        let now_ns = work.record.time_ns.unwrap_or(work.record.now_ns);
        let line = work.text.bytes().get(..to).unwrap_or_default();
        let parsed = scan(line, from, self.rfc, now_ns)?;
        let mut out = work.emit();
        self.fill_priority(&mut out, &parsed)?;
        for (field, part) in [
            (&self.host, parsed.host),
            (&self.app, parsed.app),
            (&self.procid, parsed.procid),
            (&self.msgid, parsed.msgid),
            (&self.version, parsed.version),
        ] {
            out.fill(field, part)?;
        }
        pairs(&mut out, parsed.data)?;
        out.finish(Message::Left);
        if let Some(priority) = parsed.priority {
            work.fields.level = Some(SEVERITIES[usize::from(priority % 8)].1);
        }
        work.fields.set_time(parsed.time);
        work.span = parsed.message;
        work.set_message(Span::line(parsed.message.0, parsed.message.1));
        Ok(Flow::Next)
    }
}
