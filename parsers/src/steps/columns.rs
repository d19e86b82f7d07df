//! `columns`: values with blanks between them, some in quotes or brackets: access logs.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::deadline::TOO_LONG;
use crate::emit::{Emit, Message};
use crate::rules::{Field, FilePlace, Options, Place, Reader};
use crate::span::Span;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "columns",
        group: Group::Formats,
        summary: "values with blanks between them, some in quotes or brackets, as in access logs",
        doc: "The values become the fields of `columns`, in order: `source.ip`, `took:float`. `name:host_port` takes an address apart, IPv6 too, into `name.ip` (or `name.address`) and `name.port`; `:request` a request line into method, URL and HTTP version; `:date` and `:time`, side by side, are the record's time; `_` skips a value. An empty value or `-` leaves its field out. A value that is not of its type is kept as an attribute under the column's name when `lenient`, else the step fails. Values beyond the last column become attributes: formats grow without a warning.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "columns",
                kind: OptionKind::Texts,
                need: Need::Required,
                doc: "a field for each column",
            },
            OptionDoc {
                name: "separator",
                kind: OptionKind::Text,
                need: Need::Default("' '"),
                doc: "one ASCII character; with a tab, quotes and brackets are text",
            },
            OptionDoc {
                name: "min",
                kind: OptionKind::Integer(1, 255),
                need: Need::Default("1"),
                doc: "the step fails with fewer values",
            },
            OptionDoc {
                name: "lenient",
                kind: OptionKind::Bool,
                need: Need::Default("false"),
                doc: "keep values of the wrong type as attributes",
            },
            OptionDoc {
                name: "extra",
                kind: OptionKind::Text,
                need: Need::Default("extra"),
                doc: "what values beyond the last column are called, with their number: `extra_1`",
            },
        ],
        examples: &[
            "name: lb\nsteps:\n  - columns:\n      columns: ['@timestamp', 'client:host_port', took:float, ':request', http.response.status_code]\n      min: 4\nexamples:\n  - line: '2024-01-02T03:04:05Z 2001:db8::7:443 0.25 \"GET /a?b HTTP/1.1\" 200 \"new one\"'\n    fields:\n      '@timestamp': 2024-01-02T03:04:05.000000000Z\n      client.ip: 2001:db8::7\n      client.port: 443\n      attributes.took: 0.25\n      http.request.method: GET\n      url.path: /a\n      http.version: 1.1\n      http.response.status_code: 200\n      attributes.extra_1: new one\n  - line: '2024-01-02T03:04:05Z - fast \"-\" -'\n    no_match: true\n",
        ],
    },
    read,
};

pub(super) static VPC_FLOW: Entry = Entry {
    doc: StepDoc {
        name: "aws_vpc_flow",
        group: Group::Formats,
        summary: "flow logs of AWS VPCs, in the default format or an own one",
        doc: "Addresses, ports, packets and bytes become the fields of ECS, all others attributes under `aws.vpcflow`. `format` takes the format string as AWS has it, with or without `${…}`.",
        form: Form::Options,
        options: &[OptionDoc {
            name: "format",
            kind: OptionKind::Text,
            need: Need::Default(
                "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status",
            ),
            doc: "names of the values, in order",
        }],
        examples: &[
            "name: flow\nsteps:\n  - aws_vpc_flow: {}\nexamples:\n  - line: '2 123456789010 eni-1235b8ca123456789 172.31.16.139 2001:db8::2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK'\n    fields:\n      source.ip: 172.31.16.139\n      destination.ip: 2001:db8::2\n      destination.port: 22\n      network.bytes: 4249\n      event.start: 2014-12-14T04:06:50.000000000Z\n      attributes.aws.vpcflow.action: ACCEPT\n  - line: '2 123456789010 eni-1 - - - - - - - 1431280876 1431280934 - NODATA'\n    fields: {source.ip: null, attributes.aws.vpcflow.log_status: NODATA}\n",
            "name: own\nsteps:\n  - aws_vpc_flow: {format: '${srcaddr} ${pkt-srcaddr} ${region}'}\nexamples:\n  - line: '10.0.0.1 10.0.0.2 eu-west-1'\n    fields: {source.ip: 10.0.0.1, attributes.aws.vpcflow.pkt_srcaddr: 10.0.0.2, cloud.region: eu-west-1}\n",
        ],
    },
    read: read_vpc_flow,
};

/// Fields of ECS for values of VPC flow logs.
const VPC_FIELDS: &[(&str, &str)] = &[
    ("account-id", "cloud.account.id"),
    ("az-id", "cloud.availability_zone"),
    ("bytes", "network.bytes"),
    ("dstaddr", "destination.address"),
    ("dstport", "destination.port"),
    ("end", "event.end"),
    ("flow-direction", "network.direction"),
    ("instance-id", "cloud.instance.id"),
    ("packets", "network.packets"),
    ("protocol", "network.iana_number"),
    ("region", "cloud.region"),
    ("srcaddr", "source.address"),
    ("srcport", "source.port"),
    ("start", "event.start"),
];

fn read_vpc_flow(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let place = options.place("format");
    let field = |name: &str| {
        let name = name
            .trim_start_matches("${")
            .trim_end_matches('}')
            .replace('_', "-");
        match VPC_FIELDS.iter().find(|(known, _)| *known == name) {
            Some((_, field)) => (*field).to_owned(),
            None => format!("aws.vpcflow.{}", name.replace('-', "_")),
        }
    };
    let names: Vec<String> = options
        .text("format")?
        .split_whitespace()
        .map(field)
        .collect();
    let names: Vec<(FilePlace, &str)> = names.iter().map(|name| (place, name.as_str())).collect();
    let columns = compile(reader, place, &names, b' ')?;
    let (min, extra) = (columns.columns.len(), "aws.vpcflow.extra".into());
    Some(Box::new(Columns {
        min,
        extra,
        ..columns
    }))
}

#[derive(Debug)]
enum Column {
    Field(Field),
    HostPort {
        address: Field,
        port: Field,
    },
    Request {
        method: Field,
        url: Field,
        version: Field,
    },
    /// The date of the time in the next column.
    Date,
    /// The time of the date in the column before.
    Time,
}

#[derive(Debug)]
struct Columns {
    columns: Vec<(Column, Box<str>)>,
    separator: u8,
    min: usize,
    is_lenient: bool,
    extra: Box<str>,
    time: Field,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let separator = match options.text("separator")?.as_bytes() {
        [separator] => *separator,
        _ => {
            let what = "`separator` must be one ASCII character";
            reader.report(options.place("separator"), what, None);
            return None;
        }
    };
    let names = options.texts("columns");
    let min = usize::try_from(options.integer("min")).unwrap_or_default();
    let extra = options.text("extra").unwrap_or_default();
    let step = compile(reader, options.place, &names, separator)?;
    Some(Box::new(Columns {
        min,
        is_lenient: options.flag("lenient"),
        extra: extra.into(),
        ..step
    }))
}

/// Columns of these names; all else as by default.
fn compile(
    reader: &mut Reader<'_>,
    place: FilePlace,
    names: &[(FilePlace, &str)],
    separator: u8,
) -> Option<Columns> {
    let mut columns = Vec::new();
    for (place, name) in names {
        let column = if let Some(name) = name.strip_suffix(":host_port") {
            // ECS has an address for these; where it has none, the IP is as good.
            let kind = match name {
                "source" | "client" | "server" | "destination" => "address",
                _ => "ip",
            };
            let address = reader.capture(&format!("{name}.{kind}"), *place);
            let port = reader.capture(&format!("{name}.port:int"), *place);
            address
                .zip(port)
                .map(|(address, port)| Column::HostPort { address, port })
        } else if *name == ":request" {
            let method = reader.capture("http.request.method", *place);
            let url = reader.capture("url.original", *place);
            let version = reader.capture("http.version", *place);
            method
                .zip(url)
                .zip(version)
                .map(|((method, url), version)| Column::Request {
                    method,
                    url,
                    version,
                })
        } else if *name == ":date" {
            Some(Column::Date)
        } else if *name == ":time" {
            Some(Column::Time)
        } else {
            reader.capture(name, *place).map(Column::Field)
        };
        let plain = name.split(':').next().unwrap_or_default();
        let plain = if plain.is_empty() { "request" } else { plain };
        columns.extend(column.map(|column| (column, plain.into())));
    }
    if names.is_empty() {
        reader.report(place, "`columns` is empty", None);
        return None;
    }
    let time = reader.field("@timestamp", place)?;
    (columns.len() == names.len()).then_some(Columns {
        columns,
        separator,
        min: 1,
        is_lenient: false,
        extra: "extra".into(),
        time,
    })
}

type Part = (usize, usize);

impl Columns {
    /// The value at `at` and where the next begins.
    fn value(&self, line: &[u8], at: usize) -> (Part, usize) {
        let close = match line.get(at) {
            Some(b'"') if self.separator == b' ' => Some(b'"'),
            Some(b'[') if self.separator == b' ' => Some(b']'),
            _ => None,
        };
        if let Some(close) = close
            && let Some(end) = self.closed(line, at + 1, close)
        {
            return ((at + 1, end), end + 2);
        }
        let rest = line.get(at..).unwrap_or_default();
        let length = memchr::memchr(self.separator, rest).unwrap_or(rest.len());
        ((at, at + length), at + length + 1)
    }

    /// The quote or bracket that a separator or the end follows. Backslashes escape; some writers
    /// leave quotes within as they are.
    fn closed(&self, line: &[u8], at: usize, close: u8) -> Option<usize> {
        let mut end = at;
        loop {
            end += memchr::memchr2(close, b'\\', line.get(end..)?)?;
            if line.get(end) == Some(&b'\\') {
                end += 2;
                continue;
            }
            match line.get(end + 1) {
                None => return Some(end),
                Some(next) if *next == self.separator => return Some(end),
                Some(_) => end += 1,
            }
        }
    }

    fn fill(
        &self,
        out: &mut Emit<'_>,
        index: usize,
        part: Part,
        before: Part,
    ) -> Result<(), Failure> {
        let Some((column, name)) = self.columns.get(index) else {
            if out.is_full() {
                return Err(Failure::at(part.0, "too many values"));
            }
            let name = format!("{}_{}", self.extra, index + 1 - self.columns.len());
            out.named(&name, Span::line(part.0, part.1));
            return Ok(());
        };
        let line = out.line();
        let text = line.get(part.0..part.1).unwrap_or_default();
        if matches!(text, b"" | b"-") {
            return Ok(());
        }
        let filled = match column {
            Column::Date => Ok(()),
            Column::Time => {
                let date = line.get(before.0..before.1).unwrap_or_default();
                let span = out.write(|arena| {
                    arena.extend_from_slice(date);
                    arena.push(b' ');
                    arena.extend_from_slice(text);
                });
                out.fill_written(&self.time, span, before.0)
            }
            Column::Field(field) => out.fill(field, part),
            Column::HostPort { address, port } => {
                let (host, number) = host_port(text, part);
                // An address that is none (`unix:`, a name) is no IP, but the rest of the line is fine.
                out.fill(address, host)
                    .and_then(|()| out.fill(port, number))
            }
            Column::Request {
                method,
                url,
                version,
            } => request(text, part).map_or(
                Err(Failure::at(part.0, "this is no request line")),
                |[m, u, v]| {
                    out.fill(method, m)?;
                    out.fill(url, u)?;
                    out.fill(version, v)
                },
            ),
        };
        match filled {
            Err(_) if self.is_lenient => {
                out.named(name, Span::line(part.0, part.1));
                Ok(())
            }
            other => other,
        }
    }
}

/// Address and port: what stands behind the last colon. Brackets around IPv6 are left out.
fn host_port(text: &[u8], (start, end): Part) -> (Part, Part) {
    let Some(colon) = memchr::memrchr(b':', text) else {
        return ((start, end), (end, end));
    };
    let host = text.get(..colon).unwrap_or_default();
    if host.starts_with(b"[") && host.ends_with(b"]") {
        return ((start + 1, start + colon - 1), (start + colon + 1, end));
    }
    ((start, start + colon), (start + colon + 1, end))
}

/// Method, URL and version of `GET /a HTTP/1.1`; the version is `1.1`. Blanks within the URL stay.
fn request(text: &[u8], (start, end): Part) -> Option<[Part; 3]> {
    let first = memchr::memchr(b' ', text)?;
    let last = memchr::memrchr(b' ', text)?;
    let method = (start, start + first);
    let tail = text.get(last + 1..).unwrap_or_default();
    match tail.strip_prefix(b"HTTP/") {
        Some(_) if last > first => Some([
            method,
            (start + first + 1, start + last),
            (start + last + 6, end),
        ]),
        // AWS writes `- http://host:80- -` and `- - - ` for what was no request.
        _ if tail.is_empty() || tail == b"-" => {
            let middle = text.get(first + 1..last.max(first + 1)).unwrap_or_default();
            let middle = middle.trim_ascii_end();
            let middle = middle.strip_suffix(b" -").unwrap_or(middle);
            let url = start + first + 1;
            Some([method, (url, url + middle.len()), (end, end)])
        }
        _ => Some([method, (start + first + 1, end), (end, end)]),
    }
}

impl Step for Columns {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let from = work.span.0;
        let to = from + work.current().trim_ascii_end().len();
        let mut message = None;
        let mut deadline = work.deadline;
        let mut out = work.emit();
        let line = out.line().get(..to).unwrap_or_default();
        let mut at = from;
        let mut index = 0;
        let mut before = (from, from);
        while at < to {
            // A quote or bracket that is not closed is looked for up to the end.
            if deadline.is_over_after_turn() {
                work.deadline = deadline;
                return Err(Failure::at(at, TOO_LONG));
            }
            let (part, next) = self.value(line, at);
            if let Some((Column::Field(field), _)) = self.columns.get(index)
                && field.target.place == Place::Message
            {
                message = Some(part);
            }
            self.fill(&mut out, index, part, before)?;
            before = part;
            index += 1;
            at = next;
        }
        if index < self.min {
            return Err(Failure::at(to, "there are too few values"));
        }
        out.finish(Message::Left);
        work.deadline = deadline;
        if let Some(span) = message {
            work.span = span;
        }
        Ok(Flow::Next)
    }
}
