//! `klog` and `glog`: the header of Google's loggers, as Kubernetes' own programs write it.

use super::{Entry, Failure, Flow, Form, Group, Step, StepDoc};
use crate::emit::Message;
use crate::json::{ValueKind, scan};
use crate::level::Level;
use crate::rules::{Field, Options, Reader};
use crate::span::Span;
use crate::time::{self, Moment};
use crate::work::Work;

pub(super) static KLOG: Entry = Entry {
    doc: StepDoc {
        name: "klog",
        group: Group::Formats,
        summary: "Kubernetes' own log lines, `I0102 03:04:05.678901       1 main.go:42] ready`",
        doc: "Level, time, thread, file and line become fields, the rest the message. Of a structured message, `\"Created\" pod=\"a/b\"`, the quoted text becomes the message and the pairs become fields. The year is the one that brings the time next to the runtime's; times are UTC.",
        form: Form::Options,
        options: &[],
        examples: &[
            "name: kubelet\nmatch: {container: ['kube-*']}\nsteps:\n  - klog: {}\nexamples:\n  - line: 'E0505 17:59:40.692994   28133 pod_workers.go:951] \"Error syncing pod\" err=\"no image\" pod=\"shop/cart-0\"'\n    time: 2024-05-05T18:00:00Z\n    fields:\n      log.level: error\n      '@timestamp': 2024-05-05T17:59:40.692994000Z\n      process.thread.id: 28133\n      log.origin.file.name: pod_workers.go\n      log.origin.file.line: 951\n      message: Error syncing pod\n      error.message: no image\n      attributes.pod: shop/cart-0\n  - line: 'I0505 17:59:40.692994       1 main.go:1] Starting é'\n    fields: {log.level: info, message: Starting é}\n  - line: 'I0505 17:59:40.692994       1 main.go:1'\n    no_match: true\n",
        ],
    },
    read: |reader, options| read(reader, options, Kind::Klog),
};

pub(super) static GLOG: Entry = Entry {
    doc: StepDoc {
        name: "glog",
        group: Group::Formats,
        summary: "glog of C++ programs, `I20240102 03:04:05.678901 4242 main.cc:9] ready`",
        doc: "As `klog`, with the year in the line. Blanks around the line do not matter.",
        form: Form::Options,
        options: &[],
        examples: &[
            "name: render\nsteps:\n  - glog: {}\nexamples:\n  - line: 'W20210131 14:48:54.411655 15520 main.c++:9] Hello world!'\n    fields:\n      log.level: warn\n      '@timestamp': 2021-01-31T14:48:54.411655000Z\n      process.thread.id: 15520\n      log.origin.file.name: main.c++\n      log.origin.file.line: 9\n      message: Hello world!\n  - line: 'I20210000 14:48:54.411655 15520 main.c++:9] Hello world!'\n    no_match: true\n",
        ],
    },
    read: |reader, options| read(reader, options, Kind::Glog),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Klog,
    Glog,
}

#[derive(Debug)]
struct Header {
    level: Level,
    time: Moment,
    thread: (usize, usize),
    file: (usize, usize),
    line: (usize, usize),
    message: (usize, usize),
}

/// Reads the header of `text[from..to]`. `now_ns`: when the line was written, about, for the year.
fn scan(text: &[u8], from: usize, to: usize, kind: Kind, now_ns: i64) -> Result<Header, Failure> {
    let line = text.get(..to).unwrap_or_default();
    let level = match line.get(from) {
        Some(b'I') => Level::Info,
        Some(b'W') => Level::Warn,
        Some(b'E') => Level::Error,
        Some(b'F') => Level::Fatal,
        _ => return Err(Failure::at(from, "a line begins with I, W, E or F")),
    };
    let date_length = match kind {
        Kind::Klog => 4,
        Kind::Glog => 8,
    };
    let time_at = from + 1;
    let time_end = time_at + date_length + 1 + 15;
    let no_time = Failure::at(time_at, "this is no time, like `0102 03:04:05.678901`");
    let time = line.get(time_at..time_end).and_then(|text| match kind {
        Kind::Klog => time::parse_klog(text, now_ns),
        Kind::Glog => time::parse_glog(text),
    });
    let time = time.ok_or(no_time)?;
    let thread = digits(line, skip_blanks(line, time_end));
    if thread.0 == time_end || thread.1 == thread.0 || thread.1 - thread.0 > 18 {
        return Err(Failure::at(
            time_end,
            "the number of a thread should follow",
        ));
    }
    let file_at = skip_blanks(line, thread.1);
    let rest = line.get(file_at..).unwrap_or_default();
    let bracket = memchr::memchr(b']', rest).filter(|_| file_at > thread.1);
    let file = bracket.and_then(|end| rest.get(..end));
    let colon = file.and_then(|file| memchr::memrchr(b':', file));
    let (Some(bracket), Some(colon)) = (bracket, colon) else {
        return Err(Failure::at(
            thread.1,
            "file and line should follow, `main.go:42]`",
        ));
    };
    let number = (file_at + colon + 1, file_at + bracket);
    if digits(line, number.0).1 != number.1 || number.0 == number.1 {
        return Err(Failure::at(number.0, "this is no line of a file"));
    }
    let message = skip_blanks(line, number.1 + 1);
    if message >= line.len() {
        return Err(Failure::at(number.1, "there is no message"));
    }
    Ok(Header {
        level,
        time,
        thread,
        file: (file_at, file_at + colon),
        line: number,
        message: (message, line.len()),
    })
}

fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while line.get(at) == Some(&b' ') {
        at += 1;
    }
    at
}

fn digits(line: &[u8], from: usize) -> (usize, usize) {
    let rest = line.get(from..).unwrap_or_default();
    let n = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    (from, from + n)
}

/// The end of a text in quotes that begins at `at`, after its last quote.
fn quoted(line: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    loop {
        end += memchr::memchr2(b'"', b'\\', line.get(end..)?)?;
        match line.get(end) {
            Some(b'"') => return Some(end + 1),
            _ => end += 2,
        }
    }
}

#[derive(Debug)]
struct Klog {
    kind: Kind,
    thread: Field,
    file: Field,
    line: Field,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>, kind: Kind) -> Option<Box<dyn Step>> {
    let mut field = |name| reader.field(name, options.place);
    Some(Box::new(Klog {
        kind,
        thread: field("process.thread.id")?,
        file: field("log.origin.file.name")?,
        line: field("log.origin.file.line")?,
    }))
}

impl Step for Klog {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (mut from, mut to) = work.span;
        if self.kind == Kind::Glog {
            let text = work.current();
            to = from + text.trim_ascii_end().len();
            from = to - text.trim_ascii().len();
        }
        let now_ns = work.record.time_ns.unwrap_or(work.record.now_ns);
        let header = scan(work.text.bytes(), from, to, self.kind, now_ns)?;
        let mut out = work.emit();
        out.fill(&self.thread, header.thread)?;
        out.fill(&self.file, header.file)?;
        out.fill(&self.line, header.line)?;
        let mut message = Span::line(header.message.0, header.message.1);
        let line = out.line().get(..to).unwrap_or_default();
        if self.kind == Kind::Klog && line.get(header.message.0) == Some(&b'"') {
            let Some(end) = quoted(line, header.message.0) else {
                return Err(Failure::at(header.message.0, "a quote is not closed"));
            };
            message = out.undone((header.message.0 + 1, end - 1), scan::unescape);
            let mut at = end;
            while at < to {
                at = skip_blanks(line, at);
                let rest = line.get(at..).unwrap_or_default();
                let Some(equals) = memchr::memchr(b'=', rest) else {
                    break;
                };
                if out.is_full() {
                    return Err(Failure::at(at, "too many pairs"));
                }
                let value_at = at + equals + 1;
                let (value, next) = match line.get(value_at) {
                    Some(b'"') => {
                        let Some(end) = quoted(line, value_at) else {
                            return Err(Failure::at(value_at, "a quote is not closed"));
                        };
                        (out.undone((value_at + 1, end - 1), scan::unescape), end)
                    }
                    // klog writes values of several lines as `key=<`, indented lines, ` >`.
                    Some(b'<') if line.get(value_at + 1) == Some(&b'\n') => {
                        let rest = line.get(value_at..).unwrap_or_default();
                        let end = memchr::memmem::find(rest, b"\n >").unwrap_or(rest.len());
                        let next = (value_at + end + 3).min(to);
                        (Span::line(value_at + 2, value_at + end.max(2)), next)
                    }
                    _ => {
                        let rest = line.get(value_at..).unwrap_or_default();
                        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
                        (Span::line(value_at, value_at + end), value_at + end)
                    }
                };
                out.pair_of(Span::line(at, at + equals), value, ValueKind::Text);
                at = next;
            }
        }
        out.finish(Message::Left);
        work.fields.level = Some(header.level);
        work.fields.set_time(Some(header.time));
        work.span = header.message;
        work.set_message(message);
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_or_refused() {
        // 2024-01-02, for the year.
        let now = 1_704_153_600_000_000_000;
        let check = |line: &str, kind, expected: Result<&str, u32>| {
            let found = scan(line.as_bytes(), 0, line.len(), kind, now).map(|header| {
                let text = |(s, e): (usize, usize)| line.get(s..e).unwrap().to_owned();
                let Moment::At(ns) = header.time else {
                    panic!("{line}");
                };
                let parts = [header.thread, header.file, header.line, header.message].map(text);
                format!("{:?} {} {}", header.level, ns / 1000, parts.join("|"))
            });
            let expected = expected.map(str::to_owned);
            assert_eq!(found.map_err(|failure| failure.at), expected, "{line}");
        };
        check(
            "I0101 00:00:01.000002    1 a.go:7] x y",
            Kind::Klog,
            Ok("Info 1704067201000002 1|a.go|7|x y"),
        );
        // The end of the year before.
        check(
            "W1231 23:59:59.000000 22 a.go:7] x",
            Kind::Klog,
            Ok("Warn 1704067199000000 22|a.go|7|x"),
        );
        check(
            "I1215 01:34:12.000000999 1 main.go:1] foo",
            Kind::Klog,
            Err(21),
        );
        check("I1215 01:34:12.000000 1a.go:1] foo", Kind::Klog, Err(23));
        check("I1215 01:34:12.000000 1 a.go:1]", Kind::Klog, Err(30));
        check("I1215 01:34:12.000000 1 a.go:x] foo", Kind::Klog, Err(29));
        check("Ifoo", Kind::Klog, Err(1));
        check("", Kind::Klog, Err(0));
        check(
            "F20210131 14:48:54.411655 20 m.c++:9] b",
            Kind::Glog,
            Ok("Fatal 1612104534411655 20|m.c++|9|b"),
        );
        check(
            "F20210000 14:48:54.411655 20 m.c++:9] b",
            Kind::Glog,
            Err(1),
        );
    }
}
