//! Writes the document: one JSON object without newline, no key twice.
//!
//! The order is fixed: time, message, `log`, `event`, `tailrace`, what is constant in the stream,
//! ECS fields, `attributes`, tags.

use crate::ecs::{FieldId, FieldSet, Shape};
use crate::escape;
use crate::fields::{Fields, Form, Slot};
use crate::json::{Member, ValueKind};
use crate::nest::Nest;
use crate::span::{Bytes, Source, Span};
use crate::stream::Root;
use crate::time::TimeWriter;
use crate::{RecordView, StreamContext};

/// Writes documents. Holds what is the same or nearly so from one to the next.
#[derive(Debug)]
pub(crate) struct Writer {
    event_times: TimeWriter,
    ingest_times: TimeWriter,
    /// The latest stream as 16 hexadecimal digits: records of a stream come together.
    stream: (u64, [u8; 16]),
    log_fields: FieldSet,
    event_fields: FieldSet,
    /// Members written, by the number of their name: to compare values of equal names.
    named: Vec<u32>,
    /// Where the record's text needs escapes.
    specials: Vec<u32>,
}

/// The bytes that values are ranges of, and what is known of them.
#[derive(Debug, Clone, Copy)]
struct Texts<'a> {
    bytes: Bytes<'a>,
    /// Where the text needs escapes, all of them, when they were looked for.
    specials: Option<&'a [u32]>,
}

impl<'a> Texts<'a> {
    #[inline(always)]
    fn of(&self, span: Span) -> &'a [u8] {
        self.bytes.of(span)
    }

    /// Appends text as a JSON string.
    #[inline]
    fn append_string(&self, out: &mut Vec<u8>, span: Span) {
        let text = self.of(span);
        let Some(specials) = self.specials.filter(|_| span.source == Source::Line) else {
            return escape::append_string(out, text);
        };
        // There are few in a line: a walk finds the first one sooner than halving would.
        let first = specials.iter().take_while(|at| **at < span.start).count();
        let rest = specials.get(first..).unwrap_or_default();
        let n = rest.iter().take_while(|at| **at < span.end).count();
        escape::append_known(out, text, span.start, rest.get(..n).unwrap_or_default());
    }
}

/// What goes into a document beside its fields.
pub(crate) struct Frame<'a> {
    pub(crate) record: &'a RecordView<'a>,
    pub(crate) stream: &'a StreamContext,
    /// The record's text, valid UTF-8, and what steps appended to it.
    pub(crate) bytes: Bytes<'a>,
    /// Length of the record's own text.
    pub(crate) n_line: usize,
    pub(crate) time_ns: i64,
    pub(crate) rule: Option<&'a str>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self {
            event_times: TimeWriter::new(),
            ingest_times: TimeWriter::new(),
            stream: (0, hex(0)),
            log_fields: FieldSet::of_root("log"),
            event_fields: FieldSet::of_root("event"),
            named: Vec::new(),
            specials: Vec::new(),
        }
    }

    /// Appends the document.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, frame: &Frame<'_>, fields: &mut Fields) {
        let arena = std::mem::take(&mut fields.arena);
        let Bytes { line, rules, .. } = frame.bytes;
        let is_text = |slot: Slot| slot.form == Form::Text && slot.span.source == Source::Line;
        // A line that is written, as the message, has its fields in it: one search serves all.
        let mut specials = std::mem::take(&mut self.specials);
        specials.clear();
        let is_searched = fields.message.is_none_or(is_text);
        if is_searched {
            escape::find_all_special(line, &mut specials);
        }
        let bytes = Texts {
            bytes: Bytes {
                line,
                arena: &arena,
                rules,
            },
            specials: is_searched.then_some(&specials),
        };
        out.reserve(frame.stream.constant.len() + 3 * line.len() + 512);
        out.extend_from_slice(b"{\"@timestamp\":\"");
        self.event_times.append_nanos(out, frame.time_ns);
        out.extend_from_slice(b"\",\"message\":");
        match fields.message {
            Some(slot) => append_slot(out, bytes, slot),
            None => bytes.append_string(out, Span::line(0, frame.n_line)),
        }
        self.append_log(out, frame, bytes, fields);
        self.append_event(out, frame, bytes, fields);
        self.append_tailrace(out, frame);
        let rest = fields
            .used
            .without(&self.log_fields)
            .without(&self.event_fields);
        if rest.intersects(&frame.stream.shared) {
            append_merged(out, frame.stream, bytes, fields, rest);
        } else {
            out.extend_from_slice(&frame.stream.constant);
            append_fields(out, bytes, fields, &rest, 0);
        }
        self.append_attributes(out, bytes, fields);
        append_tags(out, frame, fields);
        out.push(b'}');
        fields.arena = arena;
        self.specials = specials;
    }

    fn append_log(&self, out: &mut Vec<u8>, frame: &Frame<'_>, bytes: Texts<'_>, fields: &Fields) {
        out.extend_from_slice(b",\"log\":{");
        out.extend_from_slice(&frame.stream.log);
        out.extend_from_slice(b"\"offset\":");
        append_number(out, frame.record.offset);
        if let Some(iostream) = frame.record.iostream {
            out.extend_from_slice(b",\"iostream\":");
            escape::append_string(out, iostream.as_bytes());
        }
        if let Some(level) = fields.level {
            out.extend_from_slice(b",\"level\":\"");
            out.extend_from_slice(level.name().as_bytes());
            out.push(b'"');
        }
        let own = fields.used.intersection(&self.log_fields);
        append_fields(out, bytes, fields, &own, 1);
        out.push(b'}');
    }

    fn append_event(
        &mut self,
        out: &mut Vec<u8>,
        frame: &Frame<'_>,
        bytes: Texts<'_>,
        fields: &Fields,
    ) {
        out.extend_from_slice(b",\"event\":{");
        out.extend_from_slice(&frame.stream.event);
        out.extend_from_slice(b"\"ingested\":\"");
        self.ingest_times.append_millis(out, frame.record.now_ns);
        out.push(b'"');
        let own = fields.used.intersection(&self.event_fields);
        append_fields(out, bytes, fields, &own, 1);
        out.push(b'}');
    }

    fn append_tailrace(&mut self, out: &mut Vec<u8>, frame: &Frame<'_>) {
        let record = frame.record;
        if self.stream.0 != record.stream {
            self.stream = (record.stream, hex(record.stream));
        }
        out.extend_from_slice(b",\"tailrace\":{\"stream\":\"");
        out.extend_from_slice(&self.stream.1);
        out.extend_from_slice(b"\",\"length\":");
        append_number(out, record.length);
        for (i, (stream, offset, length)) in record.parts.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b",\"parts\":[{" } else { b",{" });
            out.extend_from_slice(b"\"stream\":\"");
            out.extend_from_slice(&hex(*stream));
            out.extend_from_slice(b"\",\"offset\":");
            append_number(out, *offset);
            out.extend_from_slice(b",\"length\":");
            append_number(out, *length);
            out.push(b'}');
        }
        if !record.parts.is_empty() {
            out.push(b']');
        }
        if let Some(rule) = frame.rule {
            out.extend_from_slice(b",\"rule\":");
            escape::append_string(out, rule.as_bytes());
        }
        out.push(b'}');
    }

    fn append_attributes(&mut self, out: &mut Vec<u8>, bytes: Texts<'_>, fields: &mut Fields) {
        const OPEN: &[u8] = b",\"attributes\":{";
        let begin = out.len();
        out.extend_from_slice(OPEN);
        let empty = out.len();
        fields.rewriter.start();
        self.named.clear();
        let members = std::mem::take(&mut fields.members);
        for (index, member) in members.iter().enumerate() {
            if member.taken {
                continue;
            }
            let key = bytes.of(member.key);
            if out.len() > empty {
                out.push(b',');
            }
            let mut depth = 2;
            if fields.names_dirty {
                let named = &self.named;
                let is_equal = |n: usize| {
                    named
                        .get(n)
                        .and_then(|i| members.get(*i as usize))
                        .is_some_and(|other| {
                            other.kind == member.kind
                                && bytes.of(other.value) == bytes.of(member.value)
                        })
                };
                let Some(name) = fields.rewriter.name_member(key, is_equal) else {
                    if out.len() > empty {
                        out.pop();
                    }
                    continue;
                };
                self.named.push(index as u32);
                let name = fields.rewriter.name(name);
                escape::append_string(out, name);
                depth += memchr::memchr_iter(b'.', name).count();
            } else {
                out.push(b'"');
                out.extend_from_slice(key);
                out.push(b'"');
            }
            out.push(b':');
            append_member(out, bytes, member, depth, fields);
        }
        fields.members = members;
        if out.len() == empty {
            out.truncate(begin);
        } else {
            out.push(b'}');
        }
        let changed = fields.rewriter.tags;
        fields.tags.union(changed);
    }
}

fn append_member(
    out: &mut Vec<u8>,
    bytes: Texts<'_>,
    member: &Member,
    depth: usize,
    fields: &mut Fields,
) {
    let value = bytes.of(member.value);
    if member.kind == ValueKind::Text {
        bytes.append_string(out, member.value);
    } else if member.dirty && member.value.source == Source::Line {
        let (taken, rewriter) = (&fields.taken, &mut fields.rewriter);
        rewriter.append_value(
            out,
            bytes.bytes.line,
            member.value.start as usize,
            depth,
            taken,
        );
    } else {
        out.extend_from_slice(value);
    }
}

#[inline]
fn append_slot(out: &mut Vec<u8>, bytes: Texts<'_>, slot: Slot) {
    match slot.form {
        Form::Json => out.extend_from_slice(bytes.of(slot.span)),
        Form::Text => bytes.append_string(out, slot.span),
    }
}

/// Appends fields to an object in which something stands already: the outermost one, or that of
/// the fields' first name (`within` 1).
#[inline]
fn append_fields(
    out: &mut Vec<u8>,
    bytes: Texts<'_>,
    fields: &Fields,
    which: &FieldSet,
    within: usize,
) {
    let shapes = Shape::all();
    let mut before = None;
    for id in which.iter() {
        let shape = &shapes[id.index()];
        shape.append_key(out, before, within);
        append_slot(out, bytes, fields.slot(id));
        before = Some(shape);
    }
    if let Some(before) = before {
        before.append_end(out, within);
    }
}

/// Appends the constant part and the record's fields where they share objects.
fn append_merged(
    out: &mut Vec<u8>,
    stream: &StreamContext,
    bytes: Texts<'_>,
    fields: &Fields,
    mut rest: FieldSet,
) {
    for root in &stream.roots {
        let own = rest.intersection(&root.fields);
        if own.is_empty() {
            out.extend_from_slice(&stream.constant[root.range.0..root.range.1]);
            continue;
        }
        rest = rest.without(&own);
        append_root(out, root, bytes, fields, &own);
    }
    append_fields(out, bytes, fields, &rest, 0);
}

/// Merges two sequences that are each in the order of their names. The record's value stands
/// where both have one; that it may was decided when it was taken.
fn append_root(out: &mut Vec<u8>, root: &Root, bytes: Texts<'_>, fields: &Fields, own: &FieldSet) {
    let mut nest = Nest::continued();
    let mut own = own.iter().peekable();
    let mut leaves = root.leaves.iter().peekable();
    let append_own = |out: &mut Vec<u8>, nest: &mut Nest<'_>, id: FieldId| {
        nest.append_key(out, id.name().as_bytes());
        append_slot(out, bytes, fields.slot(id));
    };
    while let Some((name, value)) = leaves.peek() {
        if let Some(id) = own.next_if(|id| id.name().as_bytes() <= name.as_slice()) {
            append_own(out, &mut nest, id);
            if id.name().as_bytes() == name.as_slice() {
                leaves.next();
            }
            continue;
        }
        nest.append_key(out, name);
        out.extend_from_slice(value);
        leaves.next();
    }
    for id in own {
        append_own(out, &mut nest, id);
    }
    nest.finish(out);
}

fn append_tags(out: &mut Vec<u8>, frame: &Frame<'_>, fields: &Fields) {
    if frame.stream.tags.is_empty() && frame.record.tags.is_empty() && fields.tags.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"tags\":[");
    let begin = out.len();
    out.extend_from_slice(&frame.stream.tags);
    let names = fields.tags.iter().map(crate::Tag::name);
    for tag in frame.record.tags.iter().copied().chain(names) {
        if out.len() > begin {
            out.push(b',');
        }
        escape::append_string(out, tag.as_bytes());
    }
    out.push(b']');
}

fn append_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn hex(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    for (i, digit) in text.iter_mut().enumerate() {
        let nibble = (number >> (60 - 4 * i)) & 15;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
    text
}

/// The range of `part` in `line`; `None` when it is no slice of it.
pub(crate) fn span_in(line: &[u8], part: &[u8]) -> Option<Span> {
    let range = part_range(line, part)?;
    Some(Span::line(range.start, range.end))
}

/// As the standard library's unstable `substr_range`: compares addresses only.
fn part_range(line: &[u8], part: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= line.len()).then_some(start..end)
}

#[cfg(test)]
pub(crate) mod tests;
