//! `url` and `query_string`: the parts of a URL.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::decode;
use crate::emit::Message;
use crate::json::ValueKind;
use crate::rules::{Field, Options, Reader};
use crate::span::Span;
use crate::value::Value;
use crate::work::Work;

/// Most parameters of a query that become fields.
const MAX_PARAMETERS: usize = 64;

pub(super) static URL: Entry = Entry {
    doc: StepDoc {
        name: "url",
        group: Group::Shaping,
        summary: "takes a URL apart into `url.scheme`, `url.domain`, `url.port`, `url.path`, `url.query`, …",
        doc: "Of `https://bob:x@shop.example:8443/cart/a.html?id=1#top` it makes `url.scheme`, `url.username`, `url.domain`, `url.port`, `url.path`, `url.extension`, `url.query` and `url.fragment`; a password is not kept. A text that begins with `/` has path, query and fragment only. What is there already is replaced. The step fails when the text is neither.",
        form: Form::Short("field"),
        options: &[OptionDoc {
            name: "field",
            kind: OptionKind::Field,
            need: Need::Default("url.original"),
            doc: "where the URL is; it stays. When it is not there, nothing is done",
        }],
        examples: &[
            "name: t\nsteps:\n  - pattern: 'GET <url.original>'\n  - url: {}\nexamples:\n  - line: 'GET https://bob:x@shop.example:8443/cart/a.html?id=1#top'\n    fields: {url.scheme: https, url.username: bob, url.domain: shop.example, url.port: 8443, url.path: /cart/a.html, url.extension: html, url.query: id=1, url.fragment: top}\n  - line: 'GET http://[2001:db8::1]/'\n    fields: {url.domain: '2001:db8::1', url.path: /}\n  - line: 'GET nothing'\n    no_match: true\n",
        ],
    },
    read: read_url,
};

pub(super) static QUERY_STRING: Entry = Entry {
    doc: StepDoc {
        name: "query_string",
        group: Group::Shaping,
        summary: "makes fields of a query's parameters: `id=1&q=a%20b`",
        doc: "Names and values are decoded. Of a name that stands twice each value is kept; at most 64 parameters become fields.",
        form: Form::Short("field"),
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Default("url.query"),
                doc: "where the query is; it stays. When it is not there, nothing is done",
            },
            OptionDoc {
                name: "prefix",
                kind: OptionKind::Text,
                need: Need::Default("'query.'"),
                doc: "put before each name",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - pattern: 'GET <url.original>'\n  - query_string: {}\nexamples:\n  - line: 'GET /find?q=a%20b+c&id=7'\n    fields: {attributes.query.q: a b c, attributes.query.id: 7}\n",
        ],
    },
    read: read_query,
};

#[derive(Debug)]
struct Url {
    field: Field,
    /// Scheme, user, domain, port, path, extension, query, fragment.
    parts: [Field; 8],
}

#[derive(Debug)]
struct QueryString {
    field: Field,
    prefix: String,
}

fn read_url(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = options.field(reader, "field")?;
    let mut part = |name: &str| reader.field(name, options.place);
    let parts = [
        part("url.scheme")?,
        part("url.username")?,
        part("url.domain")?,
        part("url.port")?,
        part("url.path")?,
        part("url.extension")?,
        part("url.query")?,
        part("url.fragment")?,
    ];
    Some(Box::new(Url { field, parts }))
}

fn read_query(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = options.field(reader, "field")?;
    let prefix = options.text("prefix")?.to_owned();
    Some(Box::new(QueryString { field, prefix }))
}

/// Ranges of a URL's parts, in the order of [`Url::parts`]. `None` when the text is no URL.
fn parts(text: &[u8]) -> Option<[Option<(usize, usize)>; 8]> {
    let mut parts = [None; 8];
    let mut at = 0;
    if text.first() != Some(&b'/') {
        let scheme = memchr::memmem::find(text, b"://")?;
        let is_scheme = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if scheme == 0 || !text[..scheme].iter().all(is_scheme) {
            return None;
        }
        parts[0] = Some((0, scheme));
        at = scheme + 3;
        let rest = &text[at..];
        let end = rest
            .iter()
            .position(|b| matches!(b, b'/' | b'?' | b'#'))
            .map_or(text.len(), |n| at + n);
        if let Some(n) = memchr::memrchr(b'@', &text[at..end]) {
            let user = memchr::memchr(b':', &text[at..at + n]).unwrap_or(n);
            parts[1] = (user > 0).then_some((at, at + user));
            at += n + 1;
        }
        let host = &text[at..end];
        let colon = match host.first() {
            Some(b'[') => {
                let close = memchr::memchr(b']', host)?;
                parts[2] = Some((at + 1, at + close));
                (host.get(close + 1) == Some(&b':')).then_some(close + 1)
            }
            _ => {
                let colon = memchr::memchr(b':', host);
                let n = colon.unwrap_or(host.len());
                parts[2] = (n > 0).then_some((at, at + n));
                colon
            }
        };
        parts[3] = colon.map(|colon| (at + colon + 1, end));
        at = end;
    }
    let mut end = text.len();
    if let Some(n) = memchr::memchr(b'#', &text[at..end]) {
        parts[7] = Some((at + n + 1, end));
        end = at + n;
    }
    if let Some(n) = memchr::memchr(b'?', &text[at..end]) {
        parts[6] = Some((at + n + 1, end));
        end = at + n;
    }
    parts[4] = (end > at).then_some((at, end));
    let name = memchr::memrchr(b'/', &text[at..end]).map_or(at, |n| at + n + 1);
    if let Some(dot) = memchr::memrchr(b'.', &text[name..end])
        && dot > 0
    {
        let extension = (name + dot + 1, end);
        let is_plain = text[extension.0..extension.1]
            .iter()
            .all(u8::is_ascii_alphanumeric);
        parts[5] =
            (is_plain && (1..=10).contains(&(extension.1 - extension.0))).then_some(extension);
    }
    Some(parts)
}

impl Step for Url {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let Some(span) = work.text_of(&self.field) else {
            return Ok(Flow::Next);
        };
        let Some(found) = parts(work.bytes(span)) else {
            return Err(Failure::at(span.start as usize, "this is no URL"));
        };
        for (field, range) in self.parts.iter().zip(found) {
            let Some((start, end)) = range.filter(|(start, end)| start < end) else {
                continue;
            };
            let part = Span {
                start: span.start + start as u32,
                end: span.start + end as u32,
                source: span.source,
            };
            // The only part with a type is the port; a wrong one is left out.
            let is_fine = match field.target.kind {
                crate::rules::Type::Int => work.bytes(part).iter().all(u8::is_ascii_digit),
                _ => true,
            };
            if is_fine {
                work.put(field, Value::text(part))?;
            }
        }
        Ok(Flow::Next)
    }
}

impl Step for QueryString {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let Some(span) = work.text_of(&self.field) else {
            return Ok(Flow::Next);
        };
        let mut query = std::mem::take(&mut work.fields.scratch);
        query.clear();
        query.extend_from_slice(work.bytes(span));
        let mut out = work.emit();
        for parameter in query.split(|b| *b == b'&') {
            let equals = memchr::memchr(b'=', parameter);
            let (name, value) = parameter.split_at(equals.unwrap_or(parameter.len()));
            if name.is_empty() || out.n_pairs() >= MAX_PARAMETERS {
                continue;
            }
            let key = out.write(|arena| {
                arena.extend_from_slice(self.prefix.as_bytes());
                decode::append_percent(arena, name);
            });
            let value = out.write(|arena| {
                decode::append_percent(arena, value.get(1..).unwrap_or_default());
            });
            out.pair_of(key, value, ValueKind::Text);
        }
        out.finish(Message::Left);
        work.fields.scratch = query;
        Ok(Flow::Next)
    }
}
