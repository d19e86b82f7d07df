//! Record to document: rules first, then what recognises itself (JSON, logfmt, levels, traces).

use std::sync::Arc;

use crate::document::{Frame, Writer, span_in};
use crate::ecs::FieldId;
use crate::escape;
use crate::fields::{Fields, Form};
use crate::level::Level;
use crate::rules::run::Runner;
use crate::span::{Bytes, Span};
use crate::trace;
use crate::{Document, Outcome, RecordView, RuleId, RuleSet, StreamContext, Tag};

/// Longer records are kept as text: ranges of them are 32 bit numbers. Framing's own limit is
/// far below.
const MAX_PARSED: usize = 1 << 30;

/// Turns records into documents. One a thread: it holds scratch memory that is reused, so that a
/// record costs no allocation.
#[derive(Debug)]
pub struct Parser {
    rules: Arc<RuleSet>,
    runner: Runner,
    fields: Fields,
    writer: Writer,
    /// The record's text when its own bytes are no UTF-8.
    mended: Vec<u8>,
}

impl Parser {
    /// A parser for `rules`.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        let runner = Runner::new(&rules);
        let (fields, writer) = (Fields::new(), Writer::new());
        Self {
            rules,
            runner,
            fields,
            writer,
            mended: Vec::new(),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Appends the record's document to `out`: one JSON object without newline. Appends nothing
    /// when a rule drops the record. Never fails and never panics, whatever the record holds.
    pub fn append_document(
        &mut self,
        record: &RecordView<'_>,
        stream: &StreamContext,
        out: &mut Vec<u8>,
    ) -> Outcome {
        self.fields.start(&stream.owned);
        let mut mended = std::mem::take(&mut self.mended);
        let outcome = if std::str::from_utf8(record.message).is_ok() {
            self.append_text(record, stream, record.message, record.trace_at, out)
        } else {
            self.fields.tags.insert(Tag::InvalidUtf8);
            let trace_at = mend(record, &mut mended);
            self.append_text(record, stream, &mended, trace_at, out)
        };
        self.mended = mended;
        outcome
    }

    fn append_text(
        &mut self,
        record: &RecordView<'_>,
        stream: &StreamContext,
        line: &[u8],
        trace_at: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        // A place that is none in this text, or within a character, is taken for no trace.
        let trace_at = trace_at.filter(|at| line.get(*at).is_some_and(|b| b & 0xC0 != 0x80));
        let mut rule = None;
        if record.unparsed {
            self.fields.tags.insert(Tag::Suspect);
        } else if line.len() <= MAX_PARSED {
            // A line followed by a trace is parsed as the line alone.
            let head = match trace_at {
                Some(at) if at > 0 => line[..at].trim_ascii_end().len(),
                _ => line.len(),
            };
            match self
                .runner
                .run(&self.rules, stream, line, head, &mut self.fields)
            {
                Ran::Dropped(rule) => return Outcome::Dropped { rule },
                Ran::Matched(matched) => rule = Some(matched),
                Ran::NoMatch { tried } => {
                    let known = self.recognise(line, head) || trace_at.is_some();
                    if tried && !known {
                        self.fields.tags.insert(Tag::Unparsed);
                    }
                }
            }
            if self.fields.level.is_none() {
                self.fields.level = Level::in_line(&line[..head]);
            }
            if let Some(at) = trace_at {
                self.take_trace(line, at);
            }
        }
        let runtime_ns = record.time_ns.unwrap_or(record.now_ns).max(0);
        let time_ns = self.fields.time_ns.unwrap_or(runtime_ns);
        let frame = Frame {
            record,
            stream,
            bytes: Bytes {
                line,
                arena: b"",
                rules: self.rules.names_text(),
            },
            time_ns,
            rule: rule.map(|rule| self.rules.name(rule)),
        };
        self.writer.append(out, &frame, &mut self.fields);
        let (level, tags) = (self.fields.level, self.fields.tags);
        Outcome::Document(Document {
            time_ns,
            level,
            rule,
            tags,
        })
    }

    /// Takes a line apart that says itself what it is.
    #[inline]
    fn recognise(&mut self, line: &[u8], head: usize) -> bool {
        match line[..head].trim_ascii_start().first() {
            None => true,
            Some(b'{') => self.fields.take_json(line, 0, head),
            Some(_) => self.fields.take_logfmt(line, 0, head),
        }
    }

    fn take_trace(&mut self, line: &[u8], at: usize) {
        let text = line[at..].trim_ascii_end();
        if text.is_empty() {
            return;
        }
        let said = trace::read(text);
        self.fields.set(
            FieldId::ERROR_STACK_TRACE,
            Span::line(at, at + text.len()),
            Form::Text,
        );
        for (id, part) in [
            (FieldId::ERROR_TYPE, said.kind),
            (FieldId::ERROR_MESSAGE, said.message),
        ] {
            if let Some(span) = part.and_then(|part| span_in(line, part)) {
                self.fields.set(id, span, Form::Text);
            }
        }
    }
}

/// What the rules did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    /// This rule matched; its fields are set.
    Matched(RuleId),
    /// This rule drops the record.
    Dropped(RuleId),
    /// None matched.
    NoMatch {
        /// There was one to try for this stream.
        tried: bool,
    },
}

/// Writes the record's text as valid UTF-8; gives where the trace starts in it.
fn mend(record: &RecordView<'_>, mended: &mut Vec<u8>) -> Option<usize> {
    mended.clear();
    let at = record.trace_at.filter(|at| *at <= record.message.len());
    let (head, trace) = record.message.split_at(at.unwrap_or(0));
    escape::append_lossy(mended, head);
    let start = mended.len();
    escape::append_lossy(mended, trace);
    at.map(|_| start)
}
