//! Whether a value fits what its name stands for, and how it is written there.

use super::{Fields, Form, Offer, Slot};
use crate::ecs::{FieldId, Kind, Role};
use crate::emit::is_ip;
use crate::json::rewrite::kinds_of_array;
use crate::json::{ValueKind, kinds};
use crate::level::Level;
use crate::span::{Bytes, Source, Span};
use crate::time::{self, Moment, Zone};

impl Fields {
    /// Offers a value to what a role stands for. True when it was taken.
    pub(super) fn offer(&mut self, line: &[u8], role: Role, offer: Offer) -> bool {
        match role {
            Role::Other | Role::Message(_) => false,
            Role::Time => self.offer_time(line, offer),
            Role::Level => self.offer_level(line, offer, Level::from_text),
            Role::LevelPython => self.offer_level(line, offer, Level::from_python),
            Role::LevelOtel => self.offer_level(line, offer, Level::from_otel),
            Role::Error => {
                let text = self.plain(line, offer);
                let is_trace =
                    memchr::memmem::find(text, b"\\n").is_some() || text.contains(&b'\n');
                let id = if is_trace {
                    FieldId::ERROR_STACK_TRACE
                } else {
                    FieldId::ERROR_MESSAGE
                };
                matches!(offer.kind, ValueKind::String | ValueKind::Text)
                    && self.offer_field(line, id, offer)
            }
            Role::Origin => self.offer_origin(line, offer),
            Role::Field(id) => self.offer_field(line, id, offer),
        }
    }

    /// Takes `app/main.go:42` as a file and a line of it.
    fn offer_origin(&mut self, line: &[u8], offer: Offer) -> bool {
        let text = self.plain(line, offer);
        let is_text = matches!(offer.kind, ValueKind::String | ValueKind::Text);
        let Some(colon) = memchr::memrchr(b':', text) else {
            return false;
        };
        let (file, number) = (&text[..colon], &text[colon + 1..]);
        let ids = [FieldId::ORIGIN_FILE, FieldId::ORIGIN_LINE];
        let is_free = |id: &FieldId| !self.used.contains(*id) && !self.owned.contains(*id);
        let fits = is_text
            && !file.is_empty()
            && is_whole_number(number)
            && memchr::memchr(b'\\', text).is_none()
            && ids.iter().all(is_free);
        if fits {
            let start = offer.span.start + u32::from(offer.kind == ValueKind::String);
            let end = start + text.len() as u32;
            let colon = start + colon as u32;
            let file = Span {
                start,
                end: colon,
                ..offer.span
            };
            let number = Span {
                start: colon + 1,
                end,
                ..offer.span
            };
            self.set(FieldId::ORIGIN_FILE, file, Form::Text);
            self.set(FieldId::ORIGIN_LINE, number, Form::Json);
        }
        fits
    }

    /// The text of a scalar as it stands in the line, without quotes; escapes are not undone.
    fn plain<'a>(&'a self, line: &'a [u8], offer: Offer) -> &'a [u8] {
        let text = Bytes {
            line,
            arena: &self.arena,
            rules: b"",
        }
        .of(offer.span);
        match offer.kind {
            ValueKind::String => text
                .get(1..text.len().saturating_sub(1))
                .unwrap_or_default(),
            ValueKind::Text | ValueKind::Number | ValueKind::Bool => text,
            ValueKind::Null | ValueKind::Object | ValueKind::Array => b"",
        }
    }

    fn offer_time(&mut self, line: &[u8], offer: Offer) -> bool {
        if self.time_ns.is_some() {
            return false;
        }
        let text = self.plain(line, offer);
        let moment = match offer.kind {
            ValueKind::Number => time::parse_epoch(text),
            ValueKind::String | ValueKind::Text => {
                time::parse_rfc3339(text, Zone::Required).or_else(|| time::parse_epoch(text))
            }
            _ => None,
        };
        self.set_time(moment)
    }

    fn offer_level(
        &mut self,
        line: &[u8],
        offer: Offer,
        read: impl Fn(&[u8]) -> Option<Level>,
    ) -> bool {
        if self.level.is_some() || offer.kind == ValueKind::Bool {
            return false;
        }
        self.level = read(self.plain(line, offer));
        self.level.is_some()
    }

    /// Offers a value to an ECS field. True when name, type and place fit.
    pub(crate) fn offer_field(&mut self, line: &[u8], id: FieldId, offer: Offer) -> bool {
        if self.used.contains(id) || self.owned.contains(id) {
            return false;
        }
        let Some(slot) = self.fit(line, id.kind(), offer) else {
            return false;
        };
        self.set(id, slot.span, slot.form);
        true
    }

    /// How a value is written into a field of this kind, if it fits.
    fn fit(&mut self, line: &[u8], kind: Kind, offer: Offer) -> Option<Slot> {
        let as_it_is = Slot {
            span: offer.span,
            form: Form::Json,
        };
        match kind {
            Kind::Keyword if offer.kind == ValueKind::Array => self.fit_texts(line, offer),
            Kind::Keyword => self.as_text(line, offer),
            Kind::Long => {
                let text = self.plain(line, offer);
                if !is_whole_number(text) || offer.kind == ValueKind::Bool {
                    return None;
                }
                let quote = u32::from(offer.kind == ValueKind::String);
                let mut span = offer.span;
                span.start += quote;
                span.end -= quote;
                Some(Slot {
                    span,
                    form: Form::Json,
                })
            }
            Kind::Float => {
                let fits = offer.kind == ValueKind::Number && !offer.dirty;
                fits.then_some(as_it_is)
            }
            Kind::Bool => (offer.kind == ValueKind::Bool).then_some(as_it_is),
            Kind::Ip if offer.kind == ValueKind::Array => {
                let text = self.bytes(line, offer.span);
                ((!offer.dirty || is_plain(text)) && are_ips(text)).then_some(as_it_is)
            }
            Kind::Ip => {
                if !is_ip(self.plain(line, offer)) {
                    return None;
                }
                let form = if offer.kind == ValueKind::String {
                    Form::Json
                } else {
                    Form::Text
                };
                Some(Slot {
                    span: offer.span,
                    form,
                })
            }
            Kind::Date => {
                let text = self.plain(line, offer);
                let Some(Moment::At(ns)) = time::parse_rfc3339(text, Zone::Required) else {
                    return None;
                };
                Some(Slot {
                    span: self.write_time(ns),
                    form: Form::Text,
                })
            }
        }
    }

    /// How an array is written into a field of texts: all of its elements must be some. Of a value
    /// within an object nobody knows whether it can be copied as it is: one with escapes or newlines
    /// is written anew.
    fn fit_texts(&mut self, line: &[u8], offer: Offer) -> Option<Slot> {
        let text = self.bytes(line, offer.span);
        if kinds_of_array(text) != kinds::STRING {
            return None;
        }
        let mut span = offer.span;
        if offer.dirty && !is_plain(text) {
            if span.source != Source::Line {
                return None;
            }
            let start = self.arena.len();
            self.rewriter.start();
            self.rewriter
                .append_value(&mut self.arena, line, span.start as usize, 2, &[]);
            self.tags.union(self.rewriter.tags);
            span = Span::arena(start, self.arena.len());
        }
        let form = Form::Json;
        Some(Slot { span, form })
    }

    /// How a scalar is written as text.
    pub(super) fn as_text(&mut self, line: &[u8], offer: Offer) -> Option<Slot> {
        match offer.kind {
            ValueKind::String if !offer.dirty => Some(Slot {
                span: offer.span,
                form: Form::Json,
            }),
            ValueKind::String => {
                let start = self.arena.len();
                let inside =
                    line.get(offer.span.start as usize + 1..offer.span.end as usize - 1)?;
                crate::json::scan::unescape(&mut self.arena, inside);
                Some(Slot {
                    span: Span::arena(start, self.arena.len()),
                    form: Form::Text,
                })
            }
            ValueKind::Text | ValueKind::Number | ValueKind::Bool => Some(Slot {
                span: offer.span,
                form: Form::Text,
            }),
            ValueKind::Null | ValueKind::Object | ValueKind::Array => None,
        }
    }
}

/// Whether JSON without numbers can be copied as it is, although nobody has looked at it.
fn is_plain(json: &[u8]) -> bool {
    json.iter().all(|byte| *byte >= b' ' && *byte != b'\\')
}

/// Whether all elements of a JSON array, of which there are some, are addresses.
fn are_ips(array: &[u8]) -> bool {
    let inside = array
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"));
    inside.is_some_and(|inside| {
        inside.split(|b| *b == b',').all(|element| {
            let text = element.trim_ascii().strip_prefix(b"\"");
            text.and_then(|text| text.strip_suffix(b"\""))
                .is_some_and(is_ip)
        })
    })
}

/// Whether a text is a whole number that JSON and the store's `long` can hold as it stands.
fn is_whole_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    (1..=18).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || digits[0] != b'0')
}
