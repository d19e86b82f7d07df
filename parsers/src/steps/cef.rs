//! `cef`: ArcSight's Common Event Format.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::emit::{Emit, Message};
use crate::json::{MAX_FIELDS, ValueKind};
use crate::level::Level;
use crate::rules::{Field, Options, Reader};
use crate::span::Span;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "cef",
        group: Group::Formats,
        summary: "ArcSight's Common Event Format, `CEF:0|vendor|product|1.0|100|name|10|src=10.0.0.1`",
        doc: "Vendor, product and version become `observer.*`, the signature's id `event.code`, the name the message. Extensions that ECS has a field for go there (`src` is `source.ip`), all others become attributes under `cef`. What stands before `CEF:`, a syslog header say, is skipped. `cs1` with `cs1Label=Rule Name` becomes `cef.Rule Name` with `custom_labels`.",
        form: Form::Options,
        options: &[OptionDoc {
            name: "custom_labels",
            kind: OptionKind::Bool,
            need: Need::Default("true"),
            doc: "name custom fields by their labels",
        }],
        examples: &[
            "name: cef\nmatch: {contains: 'CEF:'}\nsteps:\n  - cef: {}\nexamples:\n  - line: 'Sep 29 08:26:10 host CEF:1|Security|threat\\|manager|1.0|100|worm stopped|10|src=10.0.0.1 dst=2001:db8::2 spt=1232 msg=a \\= b é act=blocked cs1=deny all cs1Label=Rule Name'\n    fields:\n      observer.vendor: Security\n      observer.product: threat|manager\n      observer.version: 1.0\n      event.code: 100\n      event.severity: 10\n      message: a = b é\n      attributes.cef.name: worm stopped\n      log.level: fatal\n      source.ip: 10.0.0.1\n      source.port: 1232\n      destination.ip: 2001:db8::2\n      event.action: blocked\n      attributes.cef.Rule Name: deny all\n      attributes.cef.cs1: null\n  - line: 'CEF:0|Check Point|VPN-1|Check Point|Log|https|'\n    no_match: true\n",
        ],
    },
    read,
};

/// Extensions with a field of ECS. A value of another type stays an attribute.
const KNOWN: &[(&str, &str)] = &[
    ("act", "event.action"),
    ("app", "network.application"),
    ("dhost", "destination.domain"),
    ("dpt", "destination.port"),
    ("dst", "destination.ip"),
    ("duser", "destination.user.name"),
    ("fname", "file.name"),
    ("filePath", "file.path"),
    ("fsize", "file.size"),
    ("in", "source.bytes"),
    ("out", "destination.bytes"),
    ("outcome", "event.outcome"),
    ("proto", "network.transport"),
    ("reason", "event.reason"),
    ("request", "url.original"),
    ("requestClientApplication", "user_agent.original"),
    ("requestMethod", "http.request.method"),
    ("rt", "@timestamp"),
    ("shost", "source.domain"),
    ("spt", "source.port"),
    ("src", "source.ip"),
    ("suser", "source.user.name"),
];

#[derive(Debug)]
struct Cef {
    vendor: Field,
    product: Field,
    version: Field,
    code: Field,
    severity: Field,
    has_labels: bool,
    known: Vec<(&'static str, Field)>,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let mut field = |name: &str| reader.field(name, options.place);
    let known = KNOWN.iter().map(|(key, name)| Some((*key, field(name)?)));
    let known = known.collect::<Option<Vec<_>>>()?;
    Some(Box::new(Cef {
        vendor: field("observer.vendor")?,
        product: field("observer.product")?,
        version: field("observer.version")?,
        code: field("event.code")?,
        severity: field("event.severity")?,
        has_labels: options.flag("custom_labels"),
        known,
    }))
}

type Part = (usize, usize);

/// The header's seven parts and where the extensions begin.
fn header(line: &[u8], from: usize) -> Result<([Part; 7], usize), Failure> {
    let rest = line.get(from..).unwrap_or_default();
    let start = memchr::memmem::find(rest, b"CEF:");
    let start = start.ok_or(Failure::at(from, "there is no `CEF:`"))?;
    let mut at = from + start + 4;
    let mut parts = [(0, 0); 7];
    for part in &mut parts {
        let begin = at;
        loop {
            let rest = line.get(at..).unwrap_or_default();
            let Some(length) = memchr::memchr2(b'|', b'\\', rest) else {
                return Err(Failure::at(
                    begin,
                    "the header has seven parts, each closed by `|`",
                ));
            };
            at += length;
            if line.get(at) == Some(&b'|') {
                break;
            }
            at += 2;
        }
        *part = (begin, at);
        at += 1;
    }
    Ok((parts, at))
}

/// The extension at `at`: key, value, and where the next one begins. A value goes on up to the
/// blank before the next key.
fn extension(line: &[u8], at: usize) -> Option<(Part, Part, usize)> {
    let rest = line.get(at..)?;
    let blanks = rest.iter().take_while(|b| **b == b' ').count();
    let begin = at + blanks;
    let equals = begin + memchr::memchr(b'=', line.get(begin..)?)?;
    let key = line.get(begin..equals)?;
    if key.is_empty() || key.contains(&b' ') {
        return None;
    }
    let mut search = equals + 1;
    loop {
        let rest = line.get(search..).unwrap_or_default();
        let Some(length) = memchr::memchr2(b'=', b'\\', rest) else {
            let value = line.get(equals + 1..).unwrap_or_default();
            let end = equals + 1 + value.trim_ascii_end().len();
            return Some(((begin, equals), (equals + 1, end), line.len()));
        };
        let found = search + length;
        if line.get(found) == Some(&b'\\') {
            search = found + 2;
            continue;
        }
        // The word before the sign is the next key, when a blank stands before it.
        let between = line.get(equals + 1..found).unwrap_or_default();
        let is_key = |b: &u8| b.is_ascii_alphanumeric() || b"_.-[]".contains(b);
        let n = between.iter().rev().take_while(|b| is_key(b)).count();
        let key_at = found - n;
        if n > 0 && key_at > equals + 1 && line.get(key_at - 1) == Some(&b' ') {
            let value = line.get(equals + 1..key_at - 1).unwrap_or_default();
            let end = equals + 1 + value.trim_ascii_end().len();
            return Some(((begin, equals), (equals + 1, end), key_at));
        }
        search = found + 1;
    }
}

/// Appends the text of a part, escapes undone.
fn append_unescaped(arena: &mut Vec<u8>, text: &[u8]) {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let next = text.get(at + 1).filter(|_| byte == b'\\');
        let (undone, length) = match next {
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(next @ (b'\\' | b'|' | b'=')) => (*next, 2),
            _ => (byte, 1),
        };
        arena.push(undone);
        at += length;
    }
}

/// Labels of custom fields by their keys: the values of the keys with `Label` behind.
type Labels<'l> = Vec<(&'l [u8], Part)>;

/// The labels of the extensions from `from` on: as many as there may be extensions.
fn labels(line: &[u8], from: usize) -> Labels<'_> {
    let mut labels = Labels::new();
    let mut at = from;
    while let Some((key, value, next)) = extension(line, at) {
        let key = line.get(key.0..key.1).unwrap_or_default();
        if let Some(of) = key.strip_suffix(b"Label") {
            labels.push((of, value));
        }
        if labels.len() >= MAX_FIELDS {
            break;
        }
        at = next;
    }
    labels
}

impl Cef {
    /// The label of a custom field. `found` is filled when the first one is asked for: looking for
    /// each anew would take a time that grows with the square of the line.
    fn label<'l>(
        &self,
        line: &'l [u8],
        from: usize,
        key: &[u8],
        found: &mut Option<Labels<'l>>,
    ) -> Option<Part> {
        let may_be = |prefix: &str| key.starts_with(prefix.as_bytes());
        let prefixes = ["cs", "cn", "cfp", "c6a", "flex", "deviceCustom"];
        if !self.has_labels || !prefixes.into_iter().any(may_be) {
            return None;
        }
        let found = found.get_or_insert_with(|| labels(line, from));
        let (_, label) = found.iter().find(|(of, _)| *of == key)?;
        Some(*label).filter(|(start, end)| end > start)
    }

    fn extensions(
        &self,
        out: &mut Emit<'_>,
        from: usize,
        to: usize,
    ) -> Result<Option<Span>, Failure> {
        let line = out.line().get(..to).unwrap_or_default();
        let mut message = None;
        let mut labels = None;
        let mut at = from;
        while let Some((key_part, value_part, next)) = extension(line, at) {
            at = next;
            let key = line.get(key_part.0..key_part.1).unwrap_or_default();
            if value_part.0 == value_part.1 {
                continue;
            }
            let value = out.undone(value_part, append_unescaped);
            if key == b"msg" {
                message = Some(value);
                continue;
            }
            let known = self.known.iter().find(|(name, _)| name.as_bytes() == key);
            if let Some((_, field)) = known
                && out.fill_written(field, value, value_part.0).is_ok()
            {
                continue;
            }
            if out.is_full() {
                return Err(Failure::at(key_part.0, "too many extensions"));
            }
            if self.has_labels && key.ends_with(b"Label") {
                continue;
            }
            let label = self.label(line, from, key, &mut labels);
            let label = label.map(|label| out.undone(label, append_unescaped));
            let name = out.write(|arena| {
                arena.extend_from_slice(b"cef.");
                match label {
                    Some(label) if label.source == crate::span::Source::Line => {
                        let label = line.get(label.start as usize..label.end as usize);
                        arena.extend_from_slice(label.unwrap_or_default());
                    }
                    Some(label) => {
                        arena.extend_from_within(label.start as usize..label.end as usize);
                    }
                    None => arena.extend_from_slice(key),
                }
            });
            out.pair_of(name, value, ValueKind::Text);
        }
        Ok(message)
    }
}

impl Step for Cef {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        let line = work.text.bytes().get(..to).unwrap_or_default();
        let (parts, extensions) = header(line, from)?;
        let severity = line.get(parts[6].0..parts[6].1).unwrap_or_default();
        let level = match severity {
            b"0" | b"1" | b"2" | b"3" | b"Low" => Some(Level::Info),
            b"4" | b"5" | b"6" | b"Medium" => Some(Level::Warn),
            b"7" | b"8" | b"High" => Some(Level::Error),
            b"9" | b"10" | b"Very-High" => Some(Level::Fatal),
            _ => None,
        };
        let is_number = !severity.is_empty() && severity.iter().all(u8::is_ascii_digit);
        let has_word = !severity.is_empty() && !is_number;
        let mut out = work.emit();
        for (field, part) in [
            (&self.vendor, parts[1]),
            (&self.product, parts[2]),
            (&self.version, parts[3]),
            (&self.code, parts[4]),
        ] {
            let span = out.undone(part, append_unescaped);
            out.fill_written(field, span, part.0)?;
        }
        if is_number {
            out.fill(&self.severity, parts[6])?;
        }
        let name = out.undone(parts[5], append_unescaped);
        out.named("cef.version", Span::line(parts[0].0, parts[0].1));
        if has_word {
            out.named("cef.severity", Span::line(parts[6].0, parts[6].1));
        }
        let message = self.extensions(&mut out, extensions, to)?;
        if message.is_some() {
            out.named("cef.name", name);
        }
        out.finish(Message::Left);
        work.fields.level = work.fields.level.or(level);
        work.set_message(message.unwrap_or(name));
        Ok(Flow::Next)
    }
}
