//! Keeping secrets out of documents.
//!
//! Works last, on what would be written: the message, the text of every field, and the texts
//! within objects; so nothing that a rule does afterwards brings a secret back. What is found is
//! replaced in the bytes of the value; JSON stays JSON, since no detector's find reaches over a
//! quote.
//!
//! There is no giving up: what has not been looked through is not written. Detectors take a linear
//! time; where the matches of an expression of one's own take too long, the rest of the text is
//! taken for one.

mod detect;

use std::time::Duration;

use ring::hmac;

pub use detect::Detector;

use crate::Tag;
use crate::deadline::Deadline;
use crate::ecs::FieldId;
use crate::escape;
use crate::expression::Expression;
use crate::fields::{Fields, Form, Slot};
use crate::json::{Member, ValueKind, scan};
use crate::span::{Bytes, Source, Span};
use crate::steps::hash::append_hash;

/// Digits of a keyed hash that replace a secret: enough to tell people apart.
const HASH_DIGITS: usize = 16;

/// What looking for one's own expressions in a record may take: as much as a rule by default.
const MAX_TIME: Duration = Duration::from_millis(200);

/// What to look for, and what becomes of it.
#[derive(Debug)]
pub struct Redaction {
    detectors: Vec<Detector>,
    expressions: Vec<(String, Expression)>,
    keys: bool,
    action: Action,
}

#[derive(Debug)]
enum Action {
    /// `[redacted:email]`.
    Replace,
    /// `[email:1f3a…]`.
    Hash(hmac::Key),
    /// The field as a whole goes; in the message as [`Action::Replace`].
    Drop,
}

/// Options of a [`Redaction`].
#[derive(Debug, Clone, Default)]
pub struct RedactionOptions {
    /// What to look for.
    pub detectors: Vec<Detector>,
    /// Names and expressions of one's own, in the syntax of the `regex` crate.
    pub expressions: Vec<(String, String)>,
    /// Values of fields whose name sounds like a secret, whatever they look like.
    pub secret_names: bool,
    /// Replace by a hash with this key, so that equal values can still be counted.
    pub hash_key: Option<Vec<u8>>,
    /// Remove the field as a whole.
    pub drop: bool,
}

impl RedactionOptions {
    /// All detectors but that of IP addresses, which most want to see, and secret names.
    pub fn usual() -> Self {
        Self {
            detectors: Detector::ALL
                .into_iter()
                .filter(|detector| *detector != Detector::Ip)
                .collect(),
            secret_names: true,
            ..Self::default()
        }
    }
}

impl PartialEq for Redaction {
    /// Whether both find the same and put the same in its place. Keys of hashes cannot be compared:
    /// with keys only the very same one is equal.
    fn eq(&self, other: &Self) -> bool {
        let acts_alike = matches!(
            (&self.action, &other.action),
            (Action::Replace, Action::Replace) | (Action::Drop, Action::Drop)
        );
        let are_alike = |a: &(String, Expression), b: &(String, Expression)| {
            a.0 == b.0 && a.1.text() == b.1.text()
        };
        let mut pairs = self.expressions.iter().zip(&other.expressions);
        std::ptr::eq(self, other)
            || acts_alike
                && self.keys == other.keys
                && self.detectors == other.detectors
                && self.expressions.len() == other.expressions.len()
                && pairs.all(|(a, b)| are_alike(a, b))
    }
}

impl Redaction {
    /// Compiles.
    ///
    /// # Errors
    ///
    /// The expression that is none, and why.
    pub fn new(options: &RedactionOptions) -> Result<Redaction, String> {
        let mut expressions = Vec::new();
        for (name, text) in &options.expressions {
            let expression =
                Expression::compile(text).map_err(|what| format!("`{name}`: {what}"))?;
            expressions.push((name.clone(), expression));
        }
        // In the order in which they do not take each other's finds.
        let is_given = |detector: &Detector| options.detectors.contains(detector);
        Ok(Redaction {
            detectors: Detector::ALL.into_iter().filter(is_given).collect(),
            expressions,
            keys: options.secret_names,
            action: match (&options.hash_key, options.drop) {
                (Some(key), _) => Action::Hash(crate::steps::hash::key(key)),
                (None, true) => Action::Drop,
                (None, false) => Action::Replace,
            },
        })
    }

    /// Redacts a record's fields, and its message, which is `line[..n_line]` when no field says
    /// otherwise.
    pub(crate) fn apply(&self, line: &[u8], n_line: usize, rules: &[u8], fields: &mut Fields) {
        let mut finds = std::mem::take(&mut fields.finds);
        let mut text = std::mem::take(&mut fields.scratch);
        finds.start();
        let mut is_redacted = false;
        let message = fields.message.unwrap_or(Slot {
            span: Span::line(0, n_line),
            form: Form::Text,
        });
        if self.rewrite_slot(
            fields.bytes(line, message.span),
            message.form,
            &mut finds,
            &mut text,
        ) {
            let span = write(fields, &text);
            fields.message = Some(Slot {
                span,
                form: message.form,
            });
            is_redacted = true;
        }
        if let Some(word) = fields.level_word {
            self.find_all(word.text(), &mut finds);
            if !finds.all.is_empty() {
                fields.level_word = None;
                is_redacted = true;
            }
        }
        let used = fields.used;
        for id in used.iter() {
            let slot = fields.slot(id);
            let value = fields.bytes(line, slot.span);
            if !self.may_redact(id, value)
                || !self.rewrite_slot(value, slot.form, &mut finds, &mut text)
            {
                continue;
            }
            is_redacted = true;
            fields.used.remove(id);
            if !matches!(self.action, Action::Drop) {
                let span = write(fields, &text);
                fields.set(id, span, slot.form);
            }
        }
        for index in 0..fields.members.len() {
            is_redacted |= self.member(index, line, rules, fields, &mut finds, &mut text);
        }
        if is_redacted {
            fields.tags.insert(Tag::Redacted);
        }
        if finds.is_cut {
            fields.tags.insert(Tag::OverBudget);
        }
        fields.finds = finds;
        fields.scratch = text;
    }

    /// Fields of fixed types hold no secrets; but addresses are what one detector looks for, and
    /// then the whole field goes, as no other text fits it.
    fn may_redact(&self, id: FieldId, value: &[u8]) -> bool {
        use crate::ecs::Kind;
        match id.kind() {
            Kind::Keyword => !value.is_empty(),
            Kind::Ip | Kind::Long | Kind::Float | Kind::Bool | Kind::Date => false,
        }
    }

    fn member(
        &self,
        index: usize,
        line: &[u8],
        rules: &[u8],
        fields: &mut Fields,
        finds: &mut Finds,
        text: &mut Vec<u8>,
    ) -> bool {
        let Some(member) = fields.members.get(index).copied().filter(|m| !m.taken) else {
            return false;
        };
        // JSON that cannot be copied as it is, is first written as it will be.
        let mut clean = std::mem::take(&mut fields.filled);
        clean.clear();
        if member.dirty && member.value.source == Source::Line {
            let start = member.value.start as usize;
            let (taken, rewriter) = (&fields.taken, &mut fields.rewriter);
            rewriter.start();
            rewriter.append_value(&mut clean, line, start, 2, taken);
            let changed = fields.rewriter.tags;
            fields.tags.union(changed);
        }
        let is_changed = self.member_text(member, line, &clean, rules, fields, finds, text);
        fields.filled = clean;
        if is_changed {
            let drops = matches!(self.action, Action::Drop);
            let is_json = matches!(text.first(), Some(b'"' | b'{' | b'['))
                && matches!(
                    member.kind,
                    ValueKind::String | ValueKind::Object | ValueKind::Array
                );
            let span = write(fields, text);
            if let Some(member) = fields.members.get_mut(index) {
                member.value = span;
                member.taken = drops;
                member.dirty = false;
                if !is_json {
                    member.kind = ValueKind::Text;
                }
            }
        }
        is_changed
    }

    /// Writes what a member's value becomes; false when it stays.
    #[expect(
        clippy::too_many_arguments,
        reason = "scratch memory, lent piece by piece"
    )]
    fn member_text(
        &self,
        member: Member,
        line: &[u8],
        clean: &[u8],
        rules: &[u8],
        fields: &Fields,
        finds: &mut Finds,
        text: &mut Vec<u8>,
    ) -> bool {
        let arena = &fields.arena;
        let bytes = Bytes { line, arena, rules };
        let value = match clean {
            [] => bytes.of(member.value),
            clean => clean,
        };
        let is_secret = self.keys
            && !matches!(member.kind, ValueKind::Null | ValueKind::Bool)
            && detect::is_secret_name(bytes.of(member.key))
            && !value.is_empty();
        match member.kind {
            _ if is_secret => {
                // A text of its own, whatever the value was: it begins with a letter.
                text.clear();
                self.append_replacement(text, "secret", value);
                if matches!(
                    member.kind,
                    ValueKind::String | ValueKind::Object | ValueKind::Array
                ) {
                    text.insert(0, b'"');
                    text.push(b'"');
                }
                true
            }
            ValueKind::Text | ValueKind::Number => self.rewrite(value, finds, text),
            ValueKind::String | ValueKind::Object | ValueKind::Array => {
                self.rewrite_json(value, finds, text)
            }
            ValueKind::Bool | ValueKind::Null => false,
        }
    }

    fn rewrite_slot(
        &self,
        value: &[u8],
        form: Form,
        finds: &mut Finds,
        text: &mut Vec<u8>,
    ) -> bool {
        match form {
            Form::Text => self.rewrite(value, finds, text),
            Form::Json => self.rewrite_json(value, finds, text),
        }
    }

    /// Writes a text with what is found replaced; false when nothing is found.
    fn rewrite(&self, value: &[u8], finds: &mut Finds, text: &mut Vec<u8>) -> bool {
        self.find_all(value, finds);
        if finds.all.is_empty() {
            return false;
        }
        text.clear();
        self.append_replaced(value, &finds.all, text);
        true
    }

    /// As [`Redaction::rewrite`], for JSON: texts within it, numbers, values of secret names.
    fn rewrite_json(&self, json: &[u8], finds: &mut Finds, text: &mut Vec<u8>) -> bool {
        text.clear();
        let (mut done, mut at) = (0, 0);
        let mut is_changed = false;
        let mut after_secret = false;
        while let Some(byte) = json.get(at) {
            let (start, end) = match byte {
                b'"' => match scan::string(json, at + 1) {
                    Some(string) => (at + 1, string.end),
                    None => break,
                },
                b'0'..=b'9' | b'-' => {
                    let rest = json[at..].iter();
                    let n = rest
                        .take_while(|b| {
                            b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'e' | b'E' | b'+')
                        })
                        .count();
                    (at, at + n)
                }
                _ => {
                    at += 1;
                    continue;
                }
            };
            let value = &json[start..end];
            let is_string = *byte == b'"';
            at = end + usize::from(is_string);
            let is_key = is_string && json.get(scan::skip_space(json, at)) == Some(&b':');
            if is_key {
                after_secret = self.keys && detect::is_secret_name(value);
                continue;
            }
            let is_secret = std::mem::take(&mut after_secret) && !value.is_empty();
            // What is found must not begin or end within an escape.
            let mut plain = Vec::new();
            let has_escapes = memchr::memchr(b'\\', value).is_some();
            if has_escapes {
                scan::unescape(&mut plain, value);
            }
            let value = if has_escapes { &plain } else { value };
            if !is_secret {
                self.find_all(value, finds);
                if finds.all.is_empty() {
                    continue;
                }
            }
            is_changed = true;
            text.extend_from_slice(&json[done..start]);
            done = end;
            // A number that is replaced becomes text.
            if !is_string {
                text.push(b'"');
            }
            match is_secret {
                true => self.append_replacement(text, "secret", value),
                false if has_escapes => {
                    let mut replaced = Vec::new();
                    self.append_replaced(value, &finds.all, &mut replaced);
                    escape::append_escaped(text, &replaced);
                }
                false => self.append_replaced(value, &finds.all, text),
            }
            if !is_string {
                text.push(b'"');
            }
        }
        text.extend_from_slice(json.get(done..).unwrap_or_default());
        is_changed
    }

    /// All places, in their order, none within another.
    fn find_all(&self, value: &[u8], finds: &mut Finds) {
        let Finds {
            all: finds,
            deadline,
            is_cut,
        } = finds;
        finds.clear();
        // What nobody has looked through.
        let mut rest: Option<Find> = None;
        for (number, detector) in self.detectors.iter().enumerate() {
            detector.each(value, |start, end| finds.push(Find { start, end, number }));
        }
        for (number, (_, expression)) in self.expressions.iter().enumerate() {
            let number = self.detectors.len() + number;
            expression.find_each(value, |start, end| {
                if start < end {
                    finds.push(Find { start, end, number });
                }
                let is_over = deadline.is_over_after_turn();
                if is_over && rest.is_none_or(|rest| end < rest.start) {
                    let (start, end) = (end, value.len());
                    rest = Some(Find { start, end, number });
                }
                !is_over
            });
        }
        if finds.len() > 1 {
            finds.sort_by_key(|find| (find.start, find.number));
            let mut end = 0;
            finds.retain(|find| {
                let is_free = find.start >= end;
                if is_free {
                    end = find.end;
                }
                is_free
            });
        }
        if let Some(mut rest) = rest {
            finds.retain(|find| find.start < rest.start);
            let done = finds.last().map_or(0, |find| find.end);
            rest.start = rest.start.max(done);
            if rest.start < rest.end {
                finds.push(rest);
                *is_cut = true;
            }
        }
    }

    fn append_replaced(&self, value: &[u8], finds: &[Find], text: &mut Vec<u8>) {
        let mut done = 0;
        for find in finds {
            text.extend_from_slice(&value[done..find.start]);
            let name = match self.detectors.get(find.number) {
                Some(detector) => detector.name(),
                None => self
                    .expressions
                    .get(find.number - self.detectors.len())
                    .map_or("", |(name, _)| name),
            };
            self.append_replacement(text, name, &value[find.start..find.end]);
            done = find.end;
        }
        text.extend_from_slice(&value[done..]);
    }

    fn append_replacement(&self, text: &mut Vec<u8>, name: &str, secret: &[u8]) {
        match &self.action {
            Action::Replace | Action::Drop => {
                text.extend_from_slice(b"[redacted:");
                escape::append_escaped(text, name.as_bytes());
            }
            Action::Hash(key) => {
                text.push(b'[');
                escape::append_escaped(text, name.as_bytes());
                text.push(b':');
                append_hash(text, secret, Some(key), HASH_DIGITS);
            }
        }
        text.push(b']');
    }
}

/// Where something was found, and by which of the detectors and expressions.
#[derive(Debug, Clone, Copy)]
struct Find {
    start: usize,
    end: usize,
    number: usize,
}

/// What was found in the text at hand: memory that is used again.
#[derive(Debug)]
pub(crate) struct Finds {
    all: Vec<Find>,
    /// Of the record.
    deadline: Deadline,
    /// The rest of some text of the record was taken for a find.
    is_cut: bool,
}

impl Default for Finds {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            deadline: Deadline::still(MAX_TIME),
            is_cut: false,
        }
    }
}

impl Finds {
    /// Begins with another record.
    fn start(&mut self) {
        self.deadline = Deadline::still(MAX_TIME);
        self.is_cut = false;
    }
}

fn write(fields: &mut Fields, text: &[u8]) -> Span {
    let start = fields.arena.len();
    fields.arena.extend_from_slice(text);
    Span::arena(start, fields.arena.len())
}

#[cfg(test)]
mod tests;
