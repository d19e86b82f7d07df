//! Values of fields, as the steps that change them see them.

use crate::ecs::key_hash;
use crate::emit::number_at;
use crate::fields::{Form, Offer, Slot};
use crate::json::rewrite::MembersOf;
use crate::json::{Member, ValueKind, scan};
use crate::level::Said;
use crate::rules::{Field, Place, Type};
use crate::span::{Bytes, Source, Span};
use crate::steps::Failure;
use crate::time::Moment;
use crate::work::Work;

/// A value: where it stands, and how it is written there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    pub(crate) span: Span,
    pub(crate) kind: ValueKind,
    /// It may not be copied as it is.
    pub(crate) dirty: bool,
}

impl Value {
    /// Plain text.
    pub(crate) fn text(span: Span) -> Value {
        Value {
            span,
            kind: ValueKind::Text,
            dirty: false,
        }
    }

    /// JSON other than text, written without anything that needs care.
    pub(crate) fn json(span: Span, kind: ValueKind) -> Value {
        Value {
            span,
            kind,
            dirty: false,
        }
    }
}

/// What JSON is written at the beginning of a text.
pub(crate) fn kind_of(json: &[u8]) -> ValueKind {
    match json.first() {
        Some(b'"') => ValueKind::String,
        Some(b'{') => ValueKind::Object,
        Some(b'[') => ValueKind::Array,
        Some(b't' | b'f') => ValueKind::Bool,
        Some(b'n') | None => ValueKind::Null,
        Some(_) => ValueKind::Number,
    }
}

/// Where an attribute was found.
enum Found {
    /// A member of its own.
    Member(usize),
    /// A value within the object that a member is.
    Within(usize, usize, usize),
}

impl Work<'_> {
    /// The bytes of a span.
    #[inline]
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        Bytes {
            line: self.text.bytes(),
            arena: &self.fields.arena,
            rules: self.rules.names_text(),
        }
        .of(span)
    }

    /// Lets `write` append valid UTF-8 to the arena.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.fields.arena.len();
        write(&mut self.fields.arena);
        Span::arena(start, self.fields.arena.len())
    }

    /// The value of a field; `None` when it has none.
    pub(crate) fn get(&mut self, field: &Field) -> Option<Value> {
        match &field.target.place {
            Place::Nowhere => None,
            Place::Message => Some(match self.fields.message {
                None => Value::text(Span::line(0, self.text.n_head)),
                Some(slot) => self.of_slot(slot),
            }),
            Place::Time => {
                let ns = self
                    .fields
                    .time_ns
                    .or(self.record.time_ns)
                    .unwrap_or(self.record.now_ns);
                Some(Value::text(self.fields.write_time(ns)))
            }
            Place::Level => {
                let span = match self.fields.level {
                    Some(level) => self.write(|out| out.extend_from_slice(level.name().as_bytes())),
                    None => {
                        let word = self.fields.level_word?;
                        self.write(|out| out.extend_from_slice(word.text()))
                    }
                };
                Some(Value::text(span))
            }
            Place::Field(id) => {
                if self.fields.used.contains(*id) {
                    let slot = self.fields.slot(*id);
                    return Some(self.of_slot(slot));
                }
                self.metadata(id.name())
            }
            Place::Metadata(name) => self.metadata(name),
            Place::Attribute(_) => {
                let (span, kind, dirty) = match self.find(field)? {
                    Found::Member(index) => {
                        let member = self.fields.members.get(index)?;
                        (member.value, member.kind, member.dirty)
                    }
                    Found::Within(_, start, end) => {
                        let span = Span::line(start, end);
                        (span, kind_of(self.bytes(span)), true)
                    }
                };
                (kind != ValueKind::Null).then_some(Value { span, kind, dirty })
            }
        }
    }

    fn of_slot(&self, slot: Slot) -> Value {
        match slot.form {
            Form::Text => Value::text(slot.span),
            Form::Json => Value::json(slot.span, kind_of(self.bytes(slot.span))),
        }
    }

    /// A field that the stream's metadata has.
    fn metadata(&mut self, name: &str) -> Option<Value> {
        let text = self.stream.get(name)?;
        Some(Value::text(
            self.write(|out| out.extend_from_slice(text.as_bytes())),
        ))
    }

    /// Finds an attribute: under its name, or within the object that the beginning of it names.
    fn find(&self, field: &Field) -> Option<Found> {
        let Place::Attribute(name) = &field.target.place else {
            return None;
        };
        let members = &self.fields.members;
        let name = name.as_bytes();
        let is = |member: &&Member, hash: u32, name: &[u8]| {
            !member.taken && member.hash == hash && self.bytes(member.key) == name
        };
        if let Some(index) = members
            .iter()
            .rposition(|member| is(&member, field.hash, name))
        {
            return Some(Found::Member(index));
        }
        let mut dots = memchr::memchr_iter(b'.', name);
        dots.find_map(|dot| {
            let (outer, inner) = (name.get(..dot)?, name.get(dot + 1..)?);
            let hash = key_hash(outer);
            let index = members.iter().rposition(|member| {
                is(&member, hash, outer)
                    && member.kind == ValueKind::Object
                    && member.value.source == Source::Line
            })?;
            let open = members.get(index)?.value.start as usize;
            let (start, end) = self.find_within(open, inner, 0)?;
            Some(Found::Within(index, start, end))
        })
    }

    /// The range of a value within the object at `open`.
    fn find_within(&self, open: usize, name: &[u8], depth: usize) -> Option<(usize, usize)> {
        let line = self.text.bytes();
        for (key, start, end) in MembersOf::new(line, open) {
            if self.fields.taken.contains(&(start as u32)) {
                continue;
            }
            if key == name {
                return Some((start, end));
            }
            let rest = name
                .strip_prefix(key)
                .and_then(|rest| rest.strip_prefix(b"."));
            if let Some(rest) = rest
                && line.get(start) == Some(&b'{')
                && depth < crate::json::MAX_DEPTH
                && let Some(found) = self.find_within(start, rest, depth + 1)
            {
                return Some(found);
            }
        }
        None
    }

    /// Removes a field's value. False when it had none.
    pub(crate) fn remove(&mut self, field: &Field) -> bool {
        match &field.target.place {
            Place::Nowhere | Place::Metadata(_) => false,
            Place::Message => self.fields.message.take().is_some(),
            Place::Time => self.fields.time_ns.take().is_some(),
            Place::Level => {
                let had_word = self.fields.level_word.take().is_some();
                self.fields.level.take().is_some() || had_word
            }
            Place::Field(id) => {
                let had = self.fields.used.contains(*id);
                self.fields.used.remove(*id);
                had
            }
            Place::Attribute(_) => match self.find(field) {
                None => false,
                Some(Found::Member(index)) => {
                    if let Some(member) = self.fields.members.get_mut(index) {
                        member.taken = true;
                    }
                    true
                }
                Some(Found::Within(index, start, _)) => {
                    self.fields.taken.push(start as u32);
                    if let Some(member) = self.fields.members.get_mut(index) {
                        member.dirty = true;
                    }
                    true
                }
            },
        }
    }

    /// Removes a field, unless it is the one that its value goes to.
    pub(crate) fn remove_unless(&mut self, field: &Field, to: &Field) {
        if field.target.place != to.target.place && field.target.place != Place::Message {
            self.remove(field);
        }
    }

    /// Sets a field, in place of the value it had. A field that the stream's metadata owns stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// When the value is not of the field's type.
    pub(crate) fn put(&mut self, field: &Field, value: Value) -> Result<(), Failure> {
        let value = match (&field.target.place, field.target.kind) {
            (Place::Attribute(_), kind) if kind != Type::String => self.convert(value, kind)?,
            _ => value,
        };
        let wrong = |why| Err(Failure::at(value.span.start as usize, why));
        match &field.target.place {
            Place::Nowhere | Place::Metadata(_) => Ok(()),
            Place::Message => {
                let span = self.plain(value);
                self.fields.message = Some(Slot {
                    span,
                    form: Form::Text,
                });
                // What steps after this one work on.
                self.span = self.grow(span);
                Ok(())
            }
            Place::Time => {
                let span = self.plain(value);
                let moment = crate::time::parse_any(self.bytes(span));
                if moment.is_none() {
                    return wrong("this is no time in a known format");
                }
                self.fields.set_time(moment);
                Ok(())
            }
            Place::Level => {
                let span = self.plain(value);
                match Said::read(self.bytes(span)) {
                    Some(said) => self.fields.set_level(said),
                    None => return wrong("this is no level"),
                }
                Ok(())
            }
            Place::Field(id) => {
                let Value { span, kind, dirty } = value;
                let before = self
                    .fields
                    .used
                    .contains(*id)
                    .then(|| self.fields.slot(*id));
                self.fields.used.remove(*id);
                let offer = Offer { span, kind, dirty };
                let line = self.text.bytes();
                if !self.fields.offer_field(line, *id, offer) && !self.fields.is_owned(*id) {
                    if let Some(slot) = before {
                        self.fields.set(*id, slot.span, slot.form);
                    }
                    return wrong("the field cannot hold this value");
                }
                Ok(())
            }
            Place::Attribute(_) => {
                self.remove(field);
                self.fields.names_dirty |= !self.fields.members.is_empty();
                self.fields.members.push(Member {
                    key: field.name,
                    hash: field.hash,
                    value: value.span,
                    kind: value.kind,
                    dirty: value.dirty,
                    taken: false,
                });
                Ok(())
            }
        }
    }

    /// A value as one of a type.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(crate) fn convert(&mut self, value: Value, kind: Type) -> Result<Value, Failure> {
        let at = value.span.start as usize;
        let wrong = |why| Err(Failure::at(at, why));
        if matches!(value.kind, ValueKind::Object | ValueKind::Array) && kind != Type::String {
            return wrong("an object or an array has no such type");
        }
        let mut span = self.plain(value);
        let text = self.bytes(span);
        let kind = match kind {
            Type::String => ValueKind::Text,
            Type::Int => match number_at(text, true) {
                Some(skipped) => {
                    span.start += skipped as u32;
                    ValueKind::Number
                }
                None => {
                    // `12.0` and `1e3` are whole as well; the fraction of others is cut off.
                    let number = std::str::from_utf8(text)
                        .ok()
                        .and_then(|t| t.trim().parse().ok());
                    let Some(number) = number.filter(|n: &f64| n.abs() < 9e18) else {
                        return wrong("this is no number");
                    };
                    let whole = number as i64;
                    span = self.write(|out| {
                        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
                    });
                    ValueKind::Number
                }
            },
            Type::Float => match number_at(text, false) {
                Some(skipped) => {
                    span.start += skipped as u32;
                    ValueKind::Number
                }
                None => return wrong("this is no number"),
            },
            Type::Bool => {
                let is_true = match text.to_ascii_lowercase().as_slice() {
                    b"true" | b"yes" | b"on" | b"1" | b"y" | b"t" => true,
                    b"false" | b"no" | b"off" | b"0" | b"n" | b"f" => false,
                    _ => return wrong("this is neither true nor false"),
                };
                let word: &[u8] = if is_true { b"true" } else { b"false" };
                span = self.write(|out| out.extend_from_slice(word));
                ValueKind::Bool
            }
            Type::Ip => {
                if !crate::emit::is_ip(text) {
                    return wrong("this is no IP address");
                }
                ValueKind::Text
            }
            Type::Time => match crate::time::parse_any(text) {
                Some(Moment::At(ns)) => {
                    span = self.fields.write_time(ns);
                    ValueKind::Text
                }
                _ => return wrong("this is no time in a known format"),
            },
        };
        Ok(Value::json(span, kind))
    }

    /// Makes text part of the record's own text, so that steps can take it apart.
    pub(crate) fn grow(&mut self, span: Span) -> (usize, usize) {
        let (start, end) = (span.start as usize, span.end as usize);
        match span.source {
            Source::Line => (start, end),
            _ => {
                let arena = self.fields.arena.get(start..end);
                self.text.append(arena.unwrap_or_default())
            }
        }
    }

    /// Where the plain text of a value stands: without quotes, escapes undone; of objects and
    /// arrays their JSON.
    pub(crate) fn plain(&mut self, value: Value) -> Span {
        if value.kind != ValueKind::String {
            return value.span;
        }
        let inside = Span {
            start: value.span.start + 1,
            end: value.span.end.saturating_sub(1).max(value.span.start + 1),
            source: value.span.source,
        };
        if memchr::memchr(b'\\', self.bytes(inside)).is_none() {
            return inside;
        }
        let mut scratch = std::mem::take(&mut self.fields.scratch);
        scratch.clear();
        scan::unescape(&mut scratch, self.bytes(inside));
        let span = self.write(|out| out.extend_from_slice(&scratch));
        self.fields.scratch = scratch;
        span
    }

    /// The plain text of a field.
    pub(crate) fn text_of(&mut self, field: &Field) -> Option<Span> {
        let value = self.get(field)?;
        Some(self.plain(value))
    }

    /// Rewrites the text of a field, if it has one. `change` appends the new text, valid UTF-8,
    /// and tells whether there is any change.
    ///
    /// # Errors
    ///
    /// What `change` says; the place is the value's. And when the new text is not of the field's
    /// type.
    pub(crate) fn change(
        &mut self,
        field: &Field,
        change: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<bool, &'static str>,
    ) -> Result<(), Failure> {
        let Some(span) = self.text_of(field) else {
            return Ok(());
        };
        let mut scratch = std::mem::take(&mut self.fields.scratch);
        scratch.clear();
        let is_changed = change(self.bytes(span), &mut scratch);
        let new = match is_changed {
            Ok(true) => Some(self.write(|out| out.extend_from_slice(&scratch))),
            _ => None,
        };
        self.fields.scratch = scratch;
        is_changed.map_err(|why| Failure::at(span.start as usize, why))?;
        match new {
            Some(new) => self.put(field, Value::text(new)),
            None => Ok(()),
        }
    }
}
