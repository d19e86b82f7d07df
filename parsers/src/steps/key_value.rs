//! `key_value`: pairs with separators that the author names.

use memchr::memmem::Finder;

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::emit::{Emit, Message};
use crate::json::{MAX_KEY, ValueKind, scan};
use crate::rules::{Options, Reader};
use crate::span::Span;
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "key_value",
        group: Group::Formats,
        summary: "pairs with separators of your own, `user: bob, action: login`",
        doc: "Each pair becomes a field under its key. Keys and values may stand in quotes (`\"` or `'`), and separators within quotes separate nothing; with `field_separator: ' '` several blanks count as one. Blanks around keys and values are left out. A key without a value gets `true`. Names find their fields as those of `json` do; values are text. The step fails without any pair.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "field_separator",
                kind: OptionKind::Text,
                need: Need::Default("' '"),
                doc: "what stands between pairs",
            },
            OptionDoc {
                name: "key_value_separator",
                kind: OptionKind::Text,
                need: Need::Default("="),
                doc: "what stands between key and value; the first one in a pair counts",
            },
            OptionDoc {
                name: "standalone_keys",
                kind: OptionKind::Choice(&["true", "empty", "drop", "fail"]),
                need: Need::Default("true"),
                doc: "what a key without a value gets: `true`, an empty text, nothing, or the step fails",
            },
            OptionDoc {
                name: "prefix",
                kind: OptionKind::Text,
                need: Need::Default("''"),
                doc: "put before every key, `req.` say",
            },
        ],
        examples: &[
            "name: audit\nsteps:\n  - key_value: {field_separator: ',', key_value_separator: ':'}\nexamples:\n  - line: 'path:\"/cart,1\", host:store.example, status: 304, cached'\n    fields:\n      attributes.path: /cart,1\n      attributes.host: store.example\n      attributes.status: '304'\n      attributes.cached: 'true'\n",
            "name: dashes\nsteps:\n  - key_value: {field_separator: '||', key_value_separator: '--'}\nexamples:\n  - line: '\"zork one\" -- \"zoog\\\"zink\"  ||    nonk          -- nink'\n    fields: {attributes.zork one: 'zoog\"zink', attributes.nonk: nink}\n",
        ],
    },
    read,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standalone {
    True,
    Empty,
    Drop,
    Fail,
}

#[derive(Debug)]
struct KeyValue {
    field_separator: Finder<'static>,
    key_value_separator: Finder<'static>,
    standalone: Standalone,
    prefix: Box<[u8]>,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let mut separator = |name| {
        let text = options.text(name)?;
        if text.is_empty() {
            reader.report(options.place(name), format!("`{name}` is empty"), None);
            return None;
        }
        Some(Finder::new(text).into_owned())
    };
    let field_separator = separator("field_separator")?;
    let key_value_separator = separator("key_value_separator")?;
    if field_separator.needle() == key_value_separator.needle() {
        let what = "the two separators are the same";
        reader.report(options.place("key_value_separator"), what, None);
        return None;
    }
    Some(Box::new(KeyValue {
        field_separator,
        key_value_separator,
        standalone: match options.text("standalone_keys") {
            Some("empty") => Standalone::Empty,
            Some("drop") => Standalone::Drop,
            Some("fail") => Standalone::Fail,
            _ => Standalone::True,
        },
        prefix: options.text("prefix").unwrap_or_default().as_bytes().into(),
    }))
}

/// A key or a value: its text without quotes and blanks, and where what follows it begins.
struct Piece {
    start: usize,
    end: usize,
    next: usize,
    is_quoted: bool,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl KeyValue {
    /// The text in quotes at `at`, when the quote is closed and a separator or the end follows.
    fn quoted(&self, line: &[u8], at: usize, separators: &[&Finder<'_>]) -> Option<Piece> {
        let quote = *line.get(at).filter(|b| matches!(b, b'"' | b'\''))?;
        let mut end = at + 1;
        loop {
            end += memchr::memchr2(quote, b'\\', line.get(end..)?)?;
            if line.get(end) == Some(&quote) {
                break;
            }
            end += 2;
        }
        let next = end + 1;
        let mut after = next;
        loop {
            let rest = line.get(after..).unwrap_or_default();
            if rest.is_empty() || separators.iter().any(|s| rest.starts_with(s.needle())) {
                return Some(Piece {
                    start: at + 1,
                    end,
                    next: after,
                    is_quoted: true,
                });
            }
            if !is_blank(rest[0]) {
                return None;
            }
            after += 1;
        }
    }

    /// The piece at `at`, which ends before `end` at the latest. Each of `separators` is looked for
    /// only up to where the one before it stands: what ends a pair comes first, so that no piece
    /// looks through the pairs behind it for a sign that is rare.
    fn piece(&self, line: &[u8], at: usize, end: usize, separators: &[&Finder<'_>]) -> Piece {
        let rest = line.get(at..end).unwrap_or_default();
        let blanks = rest.iter().take_while(|b| is_blank(**b)).count();
        if let Some(piece) = self.quoted(line, at + blanks, separators) {
            return piece;
        }
        let mut length = rest.len();
        for separator in separators {
            // One that begins before the other may reach into it.
            let within = (length + separator.needle().len()).saturating_sub(1);
            let within = rest.get(..within).unwrap_or(rest);
            length = separator.find(within).map_or(length, |at| at.min(length));
        }
        let text = rest.get(..length).unwrap_or_default();
        let trimmed = text.trim_ascii();
        let start = at + text.len() - text.trim_ascii_start().len();
        Piece {
            start,
            end: start + trimmed.len(),
            next: at + length,
            is_quoted: false,
        }
    }

    fn span(&self, out: &mut Emit<'_>, piece: &Piece, prefix: &[u8]) -> Span {
        let text = out.line().get(piece.start..piece.end).unwrap_or_default();
        let has_escapes = piece.is_quoted && memchr::memchr(b'\\', text).is_some();
        if !has_escapes && prefix.is_empty() {
            return Span::line(piece.start, piece.end);
        }
        out.write(|arena| {
            arena.extend_from_slice(prefix);
            match has_escapes {
                true => scan::unescape(arena, text),
                false => arena.extend_from_slice(text),
            }
        })
    }

    fn take(&self, out: &mut Emit<'_>, from: usize, to: usize) -> Result<(), Failure> {
        let line = out.line().get(..to).unwrap_or_default();
        let is_by_blanks = self.field_separator.needle().iter().all(|b| is_blank(*b));
        let (fields, pairs) = (&self.field_separator, &self.key_value_separator);
        let mut at = from;
        while at < to {
            if is_by_blanks {
                at += line[at..].iter().take_while(|b| is_blank(**b)).count();
                if at >= to {
                    break;
                }
            }
            let key = self.piece(line, at, to, &[fields, pairs]);
            let rest = line.get(key.next..).unwrap_or_default();
            // Blanks may stand around the sign of a pair, also where blanks separate pairs.
            let n_blanks = rest.iter().take_while(|b| is_blank(**b)).count();
            let has_value = rest[n_blanks..].starts_with(pairs.needle());
            let value = has_value.then(|| {
                let mut value_at = key.next + n_blanks + pairs.needle().len();
                if n_blanks > 0 {
                    let rest = line.get(value_at..).unwrap_or_default();
                    value_at += rest.iter().take_while(|b| is_blank(**b)).count();
                }
                self.piece(line, value_at, to, &[fields])
            });
            let next = value.as_ref().map_or(key.next, |value| value.next);
            let key_length = key.end - key.start;
            if key_length > MAX_KEY {
                return Err(Failure::at(key.start, "a key is too long"));
            }
            if key_length > 0 {
                if out.is_full() {
                    return Err(Failure::at(key.start, "too many pairs"));
                }
                let name = self.span(out, &key, &self.prefix);
                match (value, self.standalone) {
                    (Some(value), _) => {
                        let value = self.span(out, &value, b"");
                        out.pair_of(name, value, ValueKind::Text);
                    }
                    (None, Standalone::True) => {
                        let value = out.write(|arena| arena.extend_from_slice(b"true"));
                        out.pair_of(name, value, ValueKind::Bool);
                    }
                    (None, Standalone::Empty) => {
                        out.pair_of(name, Span::line(key.end, key.end), ValueKind::Text);
                    }
                    (None, Standalone::Drop) => {}
                    (None, Standalone::Fail) => {
                        return Err(Failure::at(key.start, "a key without a value"));
                    }
                }
            } else if value.is_some() {
                return Err(Failure::at(key.start, "a value without a key"));
            }
            at = next + self.field_separator.needle().len();
        }
        match out.n_pairs() {
            0 => Err(Failure::at(from, "there is no pair")),
            _ => Ok(()),
        }
    }
}

impl Step for KeyValue {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (from, to) = work.span;
        let outer = work.fields.message.take();
        let mut out = work.emit();
        self.take(&mut out, from, to)?;
        out.finish(Message::Left);
        work.fields.message = work.fields.message.or(outer);
        Ok(Flow::Next)
    }
}
