//! `csv` and `tsv`: values in a fixed order.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::deadline::TOO_LONG;
use crate::rules::{Field, Options, Reader};
use crate::span::Span;
use crate::work::Work;

const COLUMNS: OptionDoc = OptionDoc {
    name: "columns",
    kind: OptionKind::Fields,
    need: Need::Required,
    doc: "a field for each column, with `:type` where wanted; `_` skips one",
};

const EXTRA: OptionDoc = OptionDoc {
    name: "extra",
    kind: OptionKind::Text,
    need: Need::Default("column"),
    doc: "what values beyond the last column are called, with their number: `column_7`",
};

pub(super) static CSV: Entry = Entry {
    doc: StepDoc {
        name: "csv",
        group: Group::Formats,
        summary: "comma-separated values (RFC 4180), or with another separator",
        doc: "The values become the fields of `columns`, in order. A value in quotes may hold separators, newlines and doubled quotes; a quote in the middle of a value is text. Fewer values than columns leave the rest out, more become attributes. An empty value or `-` leaves its field out.",
        form: Form::Options,
        options: &[
            COLUMNS,
            OptionDoc {
                name: "separator",
                kind: OptionKind::Text,
                need: Need::Default("','"),
                doc: "one ASCII character between values",
            },
            OptionDoc {
                name: "quote",
                kind: OptionKind::Text,
                need: Need::Default("'\"'"),
                doc: "the character around values; an empty text: quotes are text",
            },
            EXTRA,
        ],
        examples: &[
            "name: mysql-audit\nsteps:\n  - csv:\n      columns: [time_text, host, user.name, connection:int, statement, retcode:int]\nexamples:\n  - line: '20210316 17:08:01,db-1,load,5,\"SELECT \"\"a\"\", b\",0,later'\n    fields:\n      attributes.time_text: 20210316 17:08:01\n      user.name: load\n      attributes.connection: 5\n      attributes.statement: SELECT \"a\", b\n      attributes.retcode: 0\n      attributes.column_7: later\n  - line: 'x,y,z,five'\n    no_match: true\n",
        ],
    },
    read: |reader, options| {
        let byte = |reader: &mut Reader<'_>, name| {
            let text = options.text(name)?;
            if text.len() > 1 || text.is_empty() && name == "separator" {
                let what = format!("`{name}` must be one ASCII character");
                reader.report(options.place(name), what, None);
                return None;
            }
            Some(text.as_bytes().first().copied())
        };
        let separator = byte(reader, "separator")??;
        let quote = byte(reader, "quote")?;
        read(reader, options, separator, quote)
    },
};

pub(super) static TSV: Entry = Entry {
    doc: StepDoc {
        name: "tsv",
        group: Group::Formats,
        summary: "values with tabs between them",
        doc: "As `csv`, without quotes.",
        form: Form::Options,
        options: &[COLUMNS, EXTRA],
        examples: &[
            "name: t\nsteps:\n  - tsv: {columns: [user.name, '_', took:float]}\nexamples:\n  - line: \"bob\\tx y\\t1.5\\t\\\"z\\\"\"\n    fields: {user.name: bob, attributes.took: 1.5, attributes.column_4: '\"z\"'}\n",
        ],
    },
    read: |reader, options| read(reader, options, b'\t', None),
};

#[derive(Debug)]
struct Csv {
    columns: Vec<Field>,
    separator: u8,
    quote: Option<u8>,
    extra: Box<str>,
}

fn read(
    reader: &mut Reader<'_>,
    options: &Options<'_>,
    separator: u8,
    quote: Option<u8>,
) -> Option<Box<dyn Step>> {
    let names = options.texts("columns");
    let columns: Vec<Field> = names
        .iter()
        .filter_map(|(place, name)| reader.capture(name, *place))
        .collect();
    if columns.is_empty() {
        reader.report(options.place("columns"), "`columns` is empty", None);
    }
    if quote == Some(separator) {
        let what = "separator and quote are the same";
        reader.report(options.place, what, None);
    }
    (columns.len() == names.len()).then(|| {
        Box::new(Csv {
            columns,
            separator,
            quote,
            extra: options.text("extra").unwrap_or_default().into(),
        }) as _
    })
}

/// A value: its text, whether quotes in it are doubled, and where the next one begins.
struct Value {
    start: usize,
    end: usize,
    has_quotes: bool,
    next: Option<usize>,
}

impl Csv {
    /// The value at `at` of a text that ends with `line`.
    fn value(&self, line: &[u8], at: usize) -> Value {
        let plain = |at: usize| {
            let rest = line.get(at..).unwrap_or_default();
            let length = memchr::memchr(self.separator, rest);
            Value {
                start: at,
                end: at + length.unwrap_or(rest.len()),
                has_quotes: false,
                next: length.map(|length| at + length + 1),
            }
        };
        let Some(quote) = self.quote.filter(|quote| line.get(at) == Some(quote)) else {
            return plain(at);
        };
        let mut end = at + 1;
        let mut has_quotes = false;
        while let Some(length) = memchr::memchr(quote, line.get(end..).unwrap_or_default()) {
            end += length;
            match line.get(end + 1) {
                Some(next) if *next == quote => {
                    has_quotes = true;
                    end += 2;
                }
                Some(next) if *next == self.separator => {
                    return Value {
                        start: at + 1,
                        end,
                        has_quotes,
                        next: Some(end + 2),
                    };
                }
                None => {
                    return Value {
                        start: at + 1,
                        end,
                        has_quotes,
                        next: None,
                    };
                }
                // The quote is not the last of the value: it is text.
                Some(_) => end += 1,
            }
        }
        // Never closed: the quote is text.
        plain(at)
    }
}

impl Step for Csv {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        let trimmed = work.current().len() - work.current().trim_ascii_end().len();
        // The newline of the line is not of its last value; blanks and tabs are.
        let to = match trimmed {
            0 => to,
            _ => from + newline_end(work.current()),
        };
        let mut message = None;
        let mut deadline = work.deadline;
        let mut out = work.emit();
        let line = out.line().get(..to).unwrap_or_default();
        let mut next = (from < to).then_some(from);
        let mut number = 0;
        while let Some(at) = next {
            // A quote that is not closed is looked for up to the end.
            if deadline.is_over_after_turn() {
                work.deadline = deadline;
                return Err(Failure::at(at, TOO_LONG));
            }
            let value = self.value(line, at);
            next = value.next;
            let text = line.get(value.start..value.end).unwrap_or_default();
            let span = match (value.has_quotes, self.quote) {
                (true, Some(quote)) => out.write(|arena| append_single(arena, text, quote)),
                _ => Span::line(value.start, value.end),
            };
            match self.columns.get(number) {
                Some(field) => {
                    if field.target.place == crate::rules::Place::Message {
                        message = Some((value.start, value.end));
                    }
                    out.fill_written(field, span, value.start)?;
                }
                None if text.is_empty() => {}
                None if out.is_full() => {
                    return Err(Failure::at(value.start, "too many values"));
                }
                None => {
                    let name = format!("{}_{}", self.extra, number + 1);
                    out.named(&name, span);
                }
            }
            number += 1;
        }
        if number == 0 {
            return Err(Failure::at(from, "there is no value"));
        }
        out.finish(crate::emit::Message::Left);
        work.deadline = deadline;
        if let Some(span) = message {
            work.span = span;
        }
        Ok(Flow::Next)
    }
}

/// Length without the last newline.
fn newline_end(text: &[u8]) -> usize {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text).len()
}

/// Appends a text with doubled quotes made single.
fn append_single(arena: &mut Vec<u8>, text: &[u8], quote: u8) {
    let mut after_quote = false;
    for byte in text {
        after_quote = *byte == quote && !after_quote;
        if *byte != quote || after_quote {
            arena.push(*byte);
        }
    }
}
