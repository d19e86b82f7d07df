//! Writes the document: one JSON object without newline, no key twice.
//!
//! The order is fixed: time, message, `log`, `event`, `tailrace`, what is constant in the stream,
//! ECS fields, `attributes`, tags.

mod plan;

use crate::ecs::FieldSet;
use crate::fields::{Fields, Form, Slot};
use crate::json::{Member, ValueKind};
use crate::marks::Marks;
use crate::nest::Nest;
use crate::page::Page;
use crate::span::{Bytes, Source, Span};
use crate::stream::Root;
use crate::time::TimeWriter;
use crate::{RecordView, StreamContext};
use plan::Plans;

/// Writes documents. Holds what is the same or nearly so from one to the next.
#[derive(Debug)]
pub(crate) struct Writer {
    page: Page,
    plans: Plans,
    event_times: TimeWriter,
    ingest_times: TimeWriter,
    /// The latest stream as 16 hexadecimal digits: records of a stream come together.
    stream: (u64, [u8; 16]),
    log_fields: FieldSet,
    event_fields: FieldSet,
    /// Members written, by the number of their name: to compare values of equal names.
    named: Vec<u32>,
    /// What is written the slow way, before it goes on the page.
    scratch: Vec<u8>,
}

/// The bytes that values are ranges of, and what is known of them.
#[derive(Debug, Clone, Copy)]
struct Texts<'a> {
    bytes: Bytes<'a>,
    /// Of the record's own text.
    marks: &'a Marks,
}

impl<'a> Texts<'a> {
    #[inline(always)]
    fn of(&self, span: Span) -> &'a [u8] {
        self.bytes.of(span)
    }

    /// Writes what is valid JSON as it stands.
    #[inline(always)]
    fn put(&self, page: &mut Page, span: Span) {
        let whole = self.bytes.whole(span.source);
        page.put_range(whole, span.start as usize, span.end as usize);
    }

    /// Writes text as a JSON string.
    #[inline(always)]
    fn put_string(&self, page: &mut Page, span: Span) {
        let (start, end) = (span.start as usize, span.end as usize);
        if span.source == Source::Line && self.marks.cover(end) {
            page.put_marked(self.bytes.line, start, end, self.marks);
        } else {
            page.put_string(self.of(span));
        }
    }

    #[inline(always)]
    fn put_slot(&self, page: &mut Page, slot: Slot) {
        match slot.form {
            Form::Json => self.put(page, slot.span),
            Form::Text => self.put_string(page, slot.span),
        }
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
            page: Page::default(),
            plans: Plans::default(),
            event_times: TimeWriter::new(),
            ingest_times: TimeWriter::new(),
            stream: (0, hex(0)),
            log_fields: FieldSet::of_root("log"),
            event_fields: FieldSet::of_root("event"),
            named: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The latest document.
    pub(crate) fn document(&self) -> &[u8] {
        self.page.text()
    }

    /// Writes the document.
    pub(crate) fn write(&mut self, frame: &Frame<'_>, fields: &mut Fields) {
        let arena = std::mem::take(&mut fields.arena);
        let marks = std::mem::take(&mut fields.marks);
        let Bytes { line, rules, .. } = frame.bytes;
        let texts = Texts {
            bytes: Bytes {
                line,
                arena: &arena,
                rules,
            },
            marks: &marks,
        };
        self.page.clear();
        self.page.put(b"{\"@timestamp\":\"");
        self.page.put(&self.event_times.nanos(frame.time_ns));
        self.page.put(b"\",\"message\":");
        let whole = Slot {
            span: Span::line(0, frame.n_line),
            form: Form::Text,
        };
        texts.put_slot(&mut self.page, fields.message.unwrap_or(whole));
        self.write_log(frame, texts, fields);
        self.write_event(frame, texts, fields);
        self.write_tailrace(frame);
        let rest = fields
            .used
            .without(&self.log_fields)
            .without(&self.event_fields);
        if rest.intersects(&frame.stream.shared) {
            self.write_merged(frame.stream, texts, fields, rest);
        } else {
            self.page.put_bytes(&frame.stream.constant);
            self.plans.write(&mut self.page, texts, fields, &rest, 0);
        }
        self.write_attributes(texts, fields);
        write_tags(&mut self.page, frame, fields);
        self.page.put(b"}");
        fields.arena = arena;
        fields.marks = marks;
    }

    fn write_log(&mut self, frame: &Frame<'_>, texts: Texts<'_>, fields: &Fields) {
        let page = &mut self.page;
        page.put_bytes(&frame.stream.log);
        page.put_number(frame.record.offset);
        if let Some(iostream) = frame.record.iostream {
            page.put(b",\"iostream\":\"");
            page.put_bytes(iostream.as_bytes());
            page.put(b"\"");
        }
        if let Some(level) = fields.level {
            page.put(b",\"level\":\"");
            page.put_bytes(level.name().as_bytes());
            page.put(b"\"");
        } else if let Some(word) = &fields.level_word {
            page.put(b",\"level\":\"");
            page.put_bytes(word.text());
            page.put(b"\"");
        }
        let own = fields.used.intersection(&self.log_fields);
        self.plans.write(page, texts, fields, &own, 1);
        page.put(b"}");
    }

    fn write_event(&mut self, frame: &Frame<'_>, texts: Texts<'_>, fields: &Fields) {
        let page = &mut self.page;
        page.put_bytes(&frame.stream.event);
        page.put(&self.ingest_times.millis(frame.record.now_ns));
        page.put(b"\"");
        let own = fields.used.intersection(&self.event_fields);
        self.plans.write(page, texts, fields, &own, 1);
        page.put(b"}");
    }

    fn write_tailrace(&mut self, frame: &Frame<'_>) {
        let (page, record) = (&mut self.page, frame.record);
        if self.stream.0 != record.stream {
            self.stream = (record.stream, hex(record.stream));
        }
        page.put(b",\"tailrace\":{\"stream\":\"");
        page.put(&self.stream.1);
        page.put(b"\",\"length\":");
        page.put_number(record.length);
        for (i, (stream, offset, length)) in record.parts.iter().enumerate() {
            page.put_bytes(if i == 0 { b",\"parts\":[{" } else { b",{" });
            page.put(b"\"stream\":\"");
            page.put(&hex(*stream));
            page.put(b"\",\"offset\":");
            page.put_number(*offset);
            page.put(b",\"length\":");
            page.put_number(*length);
            page.put(b"}");
        }
        if !record.parts.is_empty() {
            page.put(b"]");
        }
        if let Some(rule) = frame.rule {
            page.put(b",\"rule\":");
            page.put_string(rule.as_bytes());
        }
        page.put(b"}");
    }

    fn write_attributes(&mut self, texts: Texts<'_>, fields: &mut Fields) {
        const OPEN: &[u8; 15] = b",\"attributes\":{";
        let begin = self.page.len();
        self.page.put(OPEN);
        let empty = self.page.len();
        fields.rewriter.start();
        self.named.clear();
        let members = std::mem::take(&mut fields.members);
        let mut copied = Copied::default();
        for (index, member) in members.iter().enumerate() {
            if member.taken {
                continue;
            }
            if !fields.names_dirty && copied.take(texts, member) {
                continue;
            }
            let is_first = copied.write(&mut self.page, texts, empty);
            if fields.names_dirty {
                self.write_named(texts, &members, index, is_first, fields);
                continue;
            }
            if !is_first {
                self.page.put(b",");
            }
            self.page.put(b"\"");
            texts.put(&mut self.page, member.key);
            self.page.put(b"\":");
            self.write_member(texts, member, 2, fields);
        }
        copied.write(&mut self.page, texts, empty);
        fields.members = members;
        if self.page.len() == empty {
            self.page.truncate(begin);
        } else {
            self.page.put(b"}");
        }
        let changed = fields.rewriter.tags;
        fields.tags.union(changed);
    }

    /// Writes a member under a name that goes with those of the others.
    fn write_named(
        &mut self,
        texts: Texts<'_>,
        members: &[Member],
        index: usize,
        is_first: bool,
        fields: &mut Fields,
    ) {
        let Some(member) = members.get(index) else {
            return;
        };
        let named = &self.named;
        let is_equal = |n: usize| {
            let other = named.get(n).and_then(|i| members.get(*i as usize));
            other.is_some_and(|other| {
                other.kind == member.kind && texts.of(other.value) == texts.of(member.value)
            })
        };
        let name = fields.rewriter.name_member(texts.of(member.key), is_equal);
        let Some(name) = name else { return };
        self.named.push(index as u32);
        let name = fields.rewriter.name(name);
        let depth = 2 + memchr::memchr_iter(b'.', name).count();
        self.page.put_bytes(if is_first { b"" } else { b"," });
        self.page.put_string(name);
        self.page.put(b":");
        self.write_member(texts, member, depth, fields);
    }

    #[inline]
    fn write_member(
        &mut self,
        texts: Texts<'_>,
        member: &Member,
        depth: usize,
        fields: &mut Fields,
    ) {
        if member.kind == ValueKind::Text {
            texts.put_string(&mut self.page, member.value);
        } else if member.dirty && member.value.source == Source::Line {
            let (taken, rewriter) = (&fields.taken, &mut fields.rewriter);
            let start = member.value.start as usize;
            self.scratch.clear();
            rewriter.append_value(&mut self.scratch, texts.bytes.line, start, depth, taken);
            self.page.put_bytes(&self.scratch);
        } else {
            texts.put(&mut self.page, member.value);
        }
    }

    /// Writes the constant part and the record's fields where they share objects.
    fn write_merged(
        &mut self,
        stream: &StreamContext,
        texts: Texts<'_>,
        fields: &Fields,
        mut rest: FieldSet,
    ) {
        for root in &stream.roots {
            let own = rest.intersection(&root.fields);
            if own.is_empty() {
                let constant = stream.constant.get(root.range.0..root.range.1);
                self.page.put_bytes(constant.unwrap_or_default());
                continue;
            }
            rest = rest.without(&own);
            self.scratch.clear();
            write_root(&mut self.page, &mut self.scratch, root, texts, fields, &own);
        }
        self.plans.write(&mut self.page, texts, fields, &rest, 0);
    }
}

/// Members that stand one after the other in the line as they will in the document: they are
/// copied together.
#[derive(Debug, Default)]
struct Copied {
    /// From the first key's quote to the end of the last value.
    run: Option<(usize, usize)>,
}

impl Copied {
    /// Adds a member; false when it cannot be copied with those before.
    #[inline(always)]
    fn take(&mut self, texts: Texts<'_>, member: &Member) -> bool {
        let (key, value) = (member.key, member.value);
        let (Some(start), end) = ((key.start as usize).checked_sub(1), value.end as usize) else {
            return false;
        };
        // `"key":value`, with nothing between.
        let line = texts.bytes.line;
        let is_whole = key.source == Source::Line
            && value.source == Source::Line
            && value.start == key.end + 2
            && member.kind != ValueKind::Text
            && !member.dirty
            && line.get(key.end as usize..value.start as usize) == Some(b"\":")
            && line.get(start) == Some(&b'"');
        if !is_whole {
            return false;
        }
        match &mut self.run {
            None => self.run = Some((start, end)),
            // Nothing but a comma between.
            Some(run) if run.1 + 1 == start => run.1 = end,
            Some(_) => return false,
        }
        true
    }

    /// Writes what was taken; tells whether nothing stands in the object, which begins at `empty`.
    #[inline(always)]
    fn write(&mut self, page: &mut Page, texts: Texts<'_>, empty: usize) -> bool {
        if let Some((start, end)) = self.run.take() {
            if page.len() > empty {
                page.put(b",");
            }
            page.put_range(texts.bytes.line, start, end);
        }
        page.len() == empty
    }
}

/// Merges two sequences that are each in the order of their names. The record's value stands
/// where both have one; that it may was decided when it was taken.
fn write_root(
    page: &mut Page,
    keys: &mut Vec<u8>,
    root: &Root,
    texts: Texts<'_>,
    fields: &Fields,
    own: &FieldSet,
) {
    let mut nest = Nest::continued();
    let mut own = own.iter().peekable();
    let mut leaves = root.leaves.iter().peekable();
    fn put_key<'a>(page: &mut Page, nest: &mut Nest<'a>, keys: &mut Vec<u8>, name: &'a [u8]) {
        keys.clear();
        nest.append_key(keys, name);
        page.put_bytes(keys);
    }
    while let Some((name, value)) = leaves.peek() {
        if let Some(id) = own.next_if(|id| id.name().as_bytes() <= name.as_slice()) {
            put_key(page, &mut nest, keys, id.name().as_bytes());
            texts.put_slot(page, fields.slot(id));
            if id.name().as_bytes() == name.as_slice() {
                leaves.next();
            }
            continue;
        }
        put_key(page, &mut nest, keys, name);
        page.put_bytes(value);
        leaves.next();
    }
    for id in own {
        put_key(page, &mut nest, keys, id.name().as_bytes());
        texts.put_slot(page, fields.slot(id));
    }
    keys.clear();
    nest.finish(keys);
    page.put_bytes(keys);
}

fn write_tags(page: &mut Page, frame: &Frame<'_>, fields: &Fields) {
    if frame.stream.tags.is_empty() && frame.record.tags.is_empty() && fields.tags.is_empty() {
        return;
    }
    page.put(b",\"tags\":[");
    let begin = page.len();
    page.put_bytes(&frame.stream.tags);
    let names = fields.tags.iter().map(crate::Tag::name);
    for tag in frame.record.tags.iter().copied().chain(names) {
        page.put_bytes(if page.len() > begin { b"," } else { b"" });
        page.put_string(tag.as_bytes());
    }
    page.put(b"]");
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
