//! Record to document: rules first, then what recognises itself (JSON, logfmt, levels, traces).

use std::sync::Arc;

use crate::document::{Frame, Writer, span_in};
use crate::ecs::FieldId;
use crate::escape;
use crate::fields::{Fields, Form};
use crate::fingerprint;
use crate::json::scan;
use crate::level::Level;
use crate::rules::Trace;
use crate::rules::run::Runner;
use crate::span::{Bytes, Span};
use crate::trace;
use crate::work::Text;
use crate::{
    Document, Explanation, Outcome, RecordView, RouteId, RuleCounts, RuleId, RuleSet,
    StreamContext, Tag, Unmatched,
};

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
    /// The record's text when steps added to it.
    grown: Vec<u8>,
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
            grown: Vec::new(),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Tries one rule alone from now on, whatever its `match` says of the stream; `None`: all as
    /// usual.
    pub fn only(&mut self, rule: Option<RuleId>) {
        self.runner.only = rule;
        self.runner.forget_stream();
    }

    /// Whether to take what `match` asks of the stream to fit: for trying rules on lines whose
    /// stream is not known.
    pub fn any_stream(&mut self, is_any: bool) {
        self.runner.any_stream = is_any;
        self.runner.forget_stream();
    }

    /// What each rule did since the last call, by [`RuleId::index`].
    pub fn take_counts(&mut self, mut take: impl FnMut(RuleId, &RuleCounts)) {
        for (index, counts) in self.runner.counts.iter_mut().enumerate() {
            if *counts != RuleCounts::default() {
                take(RuleId(index as u32), counts);
                *counts = RuleCounts::default();
            }
        }
    }

    /// The latest records (at most 32) that no rule matched, oldest first, of those since the
    /// last call.
    pub fn take_unmatched(&mut self, take: impl FnMut(&Unmatched)) {
        self.runner.take_unmatched(take);
    }

    /// Says what every rule makes of a record. Counts as a try.
    pub fn explain(&mut self, record: &RecordView<'_>, stream: &StreamContext) -> Explanation {
        let mut trace = Trace::default();
        self.make(record, stream, Some(&mut trace));
        trace.explanation
    }

    /// Appends the record's document to `out`: one JSON object without newline. Appends nothing
    /// when a rule drops the record. Never fails and never panics, whatever the record holds.
    pub fn append_document(
        &mut self,
        record: &RecordView<'_>,
        stream: &StreamContext,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let outcome = self.parse(record, stream);
        if matches!(outcome, Outcome::Document(_)) {
            out.extend_from_slice(self.document());
        }
        outcome
    }

    /// As [`Parser::append_document`], for those who take the document from [`Parser::document`].
    pub fn parse(&mut self, record: &RecordView<'_>, stream: &StreamContext) -> Outcome {
        self.make(record, stream, None)
    }

    /// The latest record's document, when it was not dropped.
    pub fn document(&self) -> &[u8] {
        self.writer.document()
    }

    fn make(
        &mut self,
        record: &RecordView<'_>,
        stream: &StreamContext,
        trace: Option<&mut Trace>,
    ) -> Outcome {
        self.fields.start(&stream.owned);
        let mut mended = std::mem::take(&mut self.mended);
        self.fields.marks.look(record.message);
        let is_text = self.fields.marks.is_ascii || std::str::from_utf8(record.message).is_ok();
        let outcome = if is_text {
            self.make_of(record, stream, record.message, record.trace_at, trace)
        } else {
            self.fields.tags.insert(Tag::InvalidUtf8);
            let trace_at = mend(record, &mut mended);
            self.fields.marks.look(&mended);
            self.make_of(record, stream, &mended, trace_at, trace)
        };
        self.mended = mended;
        outcome
    }

    fn make_of(
        &mut self,
        record: &RecordView<'_>,
        stream: &StreamContext,
        line: &[u8],
        trace_at: Option<usize>,
        mut trace: Option<&mut Trace>,
    ) -> Outcome {
        // A place that is none in this text, or within a character, is taken for no trace.
        let trace_at = trace_at.filter(|at| line.get(*at).is_some_and(|b| b & 0xC0 != 0x80));
        let mut rule = None;
        let mut grown = std::mem::take(&mut self.grown);
        let mut is_grown = false;
        if record.unparsed {
            self.fields.tags.insert(Tag::Suspect);
        } else if line.len() <= MAX_PARSED {
            // A line followed by a trace is parsed as the line alone.
            let head = match trace_at {
                Some(at) if at > 0 => line[..at].trim_ascii_end().len(),
                _ => line.len(),
            };
            let ran = self.runner.run(
                &self.rules,
                stream,
                record,
                Text::new(line, head, &mut grown),
                &mut self.fields,
                trace.as_deref_mut(),
            );
            is_grown = !grown.is_empty();
            match ran {
                Ran::Dropped(rule) => {
                    self.grown = grown;
                    return Outcome::Dropped { rule };
                }
                Ran::Matched(matched) => rule = Some(matched),
                Ran::NoMatch { tried } => {
                    let known = self
                        .recognise(line, head)
                        .or(trace_at.map(|_| "stack trace"));
                    if tried && known.is_none() {
                        self.fields.tags.insert(Tag::Unparsed);
                    }
                    if let Some(trace) = trace {
                        trace.recognised(known);
                    }
                }
            }
            if self.fields.level.is_none() && self.fields.level_word.is_none() {
                let text = if is_grown { &grown } else { line };
                let by_status = rule.and_then(|_| self.level_of_status(text));
                self.fields.level = by_status.or_else(|| Level::in_line(&line[..head]));
            }
            if stream.annotations.drops(record, self.fields.level) {
                self.grown = grown;
                return Outcome::Dropped {
                    rule: RuleId::ANNOTATION,
                };
            }
            if let Some(at) = trace_at {
                self.take_trace(line, at);
            }
            if self.fields.level >= Some(Level::Error) {
                let text = if is_grown { &grown } else { line };
                self.take_fingerprint(text, head, trace_at, stream);
            }
        }
        let text = if is_grown { &grown } else { line };
        self.redact(text, line.len());
        if self.fields.tags.contains(Tag::Unparsed) {
            let message = self.fields.message.map(|slot| slot.span);
            let message = message.map_or(line, |span| self.fields.bytes(text, span));
            self.runner.note_unmatched(record, message, stream);
        }
        let runtime_ns = record.time_ns.unwrap_or(record.now_ns).max(0);
        let time_ns = self.fields.time_ns.unwrap_or(runtime_ns);
        let frame = Frame {
            record,
            stream,
            bytes: Bytes {
                line: text,
                arena: b"",
                rules: self.rules.names_text(),
            },
            n_line: line.len(),
            time_ns,
            rule: rule.map(|rule| self.rules.name(rule)),
        };
        self.writer.write(&frame, &mut self.fields);
        self.grown = grown;
        let (level, tags) = (self.fields.level, self.fields.tags);
        let route = self.fields.route.map(RouteId);
        Outcome::Document(Document {
            time_ns,
            level,
            rule,
            route,
            tags,
        })
    }

    /// A line of an access log tells no level (the words in its URL are none): its status does.
    fn level_of_status(&self, text: &[u8]) -> Option<Level> {
        let id = FieldId::HTTP_RESPONSE_STATUS_CODE;
        if !self.fields.used.contains(id) {
            return None;
        }
        Some(match self.fields.bytes(text, self.fields.slot(id).span) {
            [b'5', _, _] => Level::Error,
            [b'4', _, _] => Level::Warn,
            _ => Level::Info,
        })
    }

    /// Takes secrets out of what will be written.
    #[inline]
    fn redact(&mut self, text: &[u8], n_line: usize) {
        if self.rules.redaction.is_none() && self.fields.redactions.is_empty() {
            return;
        }
        let names = self.rules.names_text();
        if let Some(redaction) = &self.rules.redaction {
            redaction.apply(text, n_line, names, &mut self.fields);
        }
        let own = std::mem::take(&mut self.fields.redactions);
        for number in &own {
            if let Some(redaction) = self.rules.redactions.get(*number as usize) {
                redaction.apply(text, n_line, names, &mut self.fields);
            }
        }
        self.fields.redactions = own;
    }

    /// Takes a line apart that says itself what it is; tells what it was.
    #[inline]
    fn recognise(&mut self, line: &[u8], head: usize) -> Option<&'static str> {
        match line[..head].trim_ascii_start().first() {
            None => Some("nothing"),
            Some(b'{') => self.fields.take_json(line, 0, head).then_some("json"),
            Some(_) => self.fields.take_logfmt(line, 0, head).then_some("logfmt"),
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

impl Parser {
    /// Gives an error its fingerprint.
    fn take_fingerprint(
        &mut self,
        text: &[u8],
        head: usize,
        trace_at: Option<usize>,
        stream: &StreamContext,
    ) {
        let fields = &mut self.fields;
        let mut scratch = std::mem::take(&mut fields.scratch);
        let mut digits = std::mem::take(&mut fields.filled);
        digits.clear();
        // A trace within JSON has its lines in one: they are told apart once it is unescaped.
        let id = FieldId::ERROR_STACK_TRACE;
        let mut trace = None;
        if fields.used.contains(id) && fields.slot(id).form == Form::Json {
            scratch.clear();
            scan::unescape(&mut scratch, fields.bytes(text, fields.slot(id).span));
            let start = fields.arena.len();
            fields.arena.extend_from_slice(scratch.trim_ascii());
            trace = Some(Span::arena(start, fields.arena.len()));
        }
        let field = |id: FieldId| {
            let is_used = fields.used.contains(id);
            is_used.then(|| fields.bytes(text, fields.slot(id).span))
        };
        let service = ["service.name", "kubernetes.container.name"]
            .into_iter()
            .find_map(|key| stream.get(key))
            .map(str::as_bytes);
        let parts = fingerprint::Parts {
            service: field(FieldId::SERVICE_NAME).or(service).unwrap_or_default(),
            kind: field(FieldId::ERROR_TYPE).unwrap_or_default(),
            message: match fields.message {
                Some(slot) => fields.bytes(text, slot.span),
                None => text.get(..head).unwrap_or_default(),
            },
            trace: match (trace_at, trace) {
                (Some(at), _) => text.get(at..).unwrap_or_default(),
                (None, Some(trace)) => fields.bytes(text, trace),
                (None, None) => field(id).unwrap_or_default(),
            },
        };
        fingerprint::append(&mut digits, parts, &mut scratch);
        let start = fields.arena.len();
        fields.arena.extend_from_slice(&digits);
        let span = Span::arena(start, fields.arena.len());
        fields.set(FieldId::ERROR_FINGERPRINT, span, Form::Text);
        fields.scratch = scratch;
        fields.filled = digits;
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
