//! Where formats and patterns put what they find: ranges of the text, with a name and a type.

use std::net::IpAddr;

use crate::ecs::{FieldId, Kind, key_hash};
use crate::fields::{Fields, Form, Slot};
use crate::json::scan::{self, NumberFit};
use crate::json::{MAX_FIELDS, Member, ValueKind};
use crate::level::Said;
use crate::rules::{Field, Place, Type};
use crate::span::Span;
use crate::steps::Failure;
use crate::time::{self, Moment};

/// Whether a pair named `message`, `msg`, … becomes the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// It does.
    Taken,
    /// It stays an attribute: the line is the message.
    Left,
}

/// Takes what a format finds in a text.
#[derive(Debug)]
pub(crate) struct Emit<'e> {
    line: &'e [u8],
    fields: &'e mut Fields,
    /// The first pair that this format gave.
    first: usize,
    /// Which bits of hashes the names of the pairs had: a bit twice may be a name twice.
    bloom: u64,
}

impl<'e> Emit<'e> {
    #[inline]
    pub(crate) fn new(line: &'e [u8], fields: &'e mut Fields) -> Self {
        let first = fields.members.len();
        Self {
            line,
            fields,
            first,
            bloom: 0,
        }
    }

    /// The whole text; spans are ranges of it. A format reads `work.span` of it only.
    #[inline]
    pub(crate) fn line(&self) -> &'e [u8] {
        self.line
    }

    /// Fills a field that the format knows with `line[start..end]`, of the field's type. An empty
    /// text or `-` leaves the field out.
    ///
    /// # Errors
    ///
    /// When the text is not of the type.
    #[inline]
    pub(crate) fn fill(
        &mut self,
        field: &Field,
        (start, end): (usize, usize),
    ) -> Result<(), Failure> {
        fill(field, self.line, Span::line(start, end), self.fields)
    }

    /// As [`Emit::fill`], with a text that the format wrote with [`Emit::write`].
    ///
    /// # Errors
    ///
    /// When the text is not of the type; `at` is where it comes from.
    pub(crate) fn fill_written(
        &mut self,
        field: &Field,
        span: Span,
        at: usize,
    ) -> Result<(), Failure> {
        fill(field, self.line, span, self.fields).map_err(|failure| Failure::at(at, failure.why))
    }

    /// A pair whose name and value stand in the text. `kind` tells how the value is written there:
    /// [`ValueKind::Text`] for plain text, numbers and booleans included where the format has no
    /// types; the JSON kinds for JSON (a string with its quotes).
    #[inline]
    pub(crate) fn pair(&mut self, key: (usize, usize), value: (usize, usize), kind: ValueKind) {
        self.pair_of(Span::line(key.0, key.1), Span::line(value.0, value.1), kind);
    }

    /// As [`Emit::pair`], with spans: name or value may have been written with [`Emit::write`].
    #[inline]
    pub(crate) fn pair_of(&mut self, key: Span, value: Span, kind: ValueKind) {
        let name = self.fields.bytes(self.line, key);
        let hash = key_hash(name);
        let bit = 1 << (hash & 63);
        let is_odd = self.bloom & bit != 0
            || name
                .iter()
                .any(|b| matches!(b, b'.' | b'"' | b'\\' | ..b' '));
        self.bloom |= bit;
        self.fields.names_dirty |= is_odd;
        self.fields.members.push(Member {
            key,
            hash,
            value,
            kind,
            dirty: false,
            taken: false,
        });
    }

    /// Number of pairs so far.
    pub(crate) fn n_pairs(&self) -> usize {
        self.fields.members.len() - self.first
    }

    /// Whether there are as many pairs as a line may have: a format that finds more fails. Each name
    /// is compared with those before it, so that without a limit the time would grow with the square
    /// of the number of pairs; and a store refuses so many fields.
    pub(crate) fn is_full(&self) -> bool {
        self.n_pairs() >= MAX_FIELDS
    }

    /// Lets `write` append valid UTF-8 to the arena: a value that does not stand in the text as
    /// it is meant, escapes undone, say.
    #[inline]
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.fields.arena.len();
        write(&mut self.fields.arena);
        Span::arena(start, self.fields.arena.len())
    }

    /// The text of a range. Where it has a backslash, `undo` appends it without its escapes.
    pub(crate) fn undone(
        &mut self,
        (start, end): (usize, usize),
        undo: impl FnOnce(&mut Vec<u8>, &[u8]),
    ) -> Span {
        let text = self.line.get(start..end).unwrap_or_default();
        match memchr::memchr(b'\\', text) {
            None => Span::line(start, end),
            Some(_) => self.write(|arena| undo(arena, text)),
        }
    }

    /// A pair of text whose name does not stand in the line.
    pub(crate) fn named(&mut self, name: &str, value: Span) {
        let key = self.write(|arena| arena.extend_from_slice(name.as_bytes()));
        self.pair_of(key, value, ValueKind::Text);
    }

    /// Gives the pairs to the fields that they name.
    #[inline]
    pub(crate) fn finish(self, message: Message) {
        self.fields.names_dirty |= self.first > 0;
        self.fields
            .assign(self.line, self.first, message == Message::Taken);
    }
}

/// Puts the text of a span where it belongs.
///
/// # Errors
///
/// When it is not of the field's type.
#[inline]
pub(crate) fn fill(
    field: &Field,
    line: &[u8],
    mut span: Span,
    fields: &mut Fields,
) -> Result<(), Failure> {
    if field.target.place == Place::Message {
        let form = Form::Text;
        fields.message = Some(Slot { span, form });
        return Ok(());
    }
    let text = fields.bytes(line, span);
    // Logs write `-` for what there is not.
    if matches!(text, b"" | b"-") {
        return Ok(());
    }
    let at = span.start;
    let wrong = |why| Err(Failure { at, why });
    let mut kind = ValueKind::Text;
    let mut moment = None;
    match field.target.kind {
        Type::String => {}
        Type::Int | Type::Float => {
            let is_int = field.target.kind == Type::Int;
            match number_at(text, is_int) {
                Some(skipped) => span.start += skipped as u32,
                None if is_int => return wrong("this is no whole number"),
                None => return wrong("this is no number"),
            }
            kind = ValueKind::Number;
        }
        Type::Bool => {
            if !matches!(text, b"true" | b"false") {
                return wrong("this is neither `true` nor `false`");
            }
            kind = ValueKind::Bool;
        }
        Type::Ip => {
            if !is_ip(text) {
                return wrong("this is no IP address");
            }
        }
        Type::Time => {
            moment = time::parse_any(text);
            if moment.is_none() {
                return wrong("this is no time in a known format");
            }
        }
    }
    match &field.target.place {
        Place::Nowhere | Place::Message | Place::Metadata(_) => {}
        Place::Time => {
            fields.set_time(moment);
        }
        Place::Level => match Said::read(text) {
            Some(said) => fields.set_level(said),
            None => return wrong("this is no level"),
        },
        Place::Field(id) => match moment {
            // A time in another format than the store's.
            Some(Moment::At(ns)) => {
                let span = fields.write_time(ns);
                fields.set(*id, span, Form::Text);
            }
            Some(Moment::OutOfRange) => {}
            None => {
                // What the type of a target may be, its field can hold.
                let form = match id.kind() {
                    Kind::Keyword | Kind::Ip | Kind::Date => Form::Text,
                    Kind::Long | Kind::Float | Kind::Bool => Form::Json,
                };
                fields.set_own(*id, span, form);
                if id.is_derived_from() {
                    derive(*id, line, span, fields);
                }
            }
        },
        Place::Attribute(_) => {
            let value = match moment {
                Some(Moment::At(ns)) => fields.write_time(ns),
                _ => span,
            };
            fields.members.push(Member {
                key: field.name,
                hash: field.hash,
                value,
                kind,
                dirty: false,
                taken: false,
            });
        }
    }
    Ok(())
}

pub(crate) fn is_ip(text: &[u8]) -> bool {
    if text.len() <= 15 && is_ipv4(text) {
        return true;
    }
    // The standard library's parser reads the longest address in 40-odd characters.
    text.len() <= 64 && std::str::from_utf8(text).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}

/// Four numbers up to 255, without leading zeros.
fn is_ipv4(text: &[u8]) -> bool {
    let (mut n_parts, mut number, mut n_digits) = (1, 0u32, 0);
    for byte in text {
        match byte {
            b'0'..=b'9' if n_digits == 0 || number > 0 => {
                number = number * 10 + u32::from(byte - b'0');
                n_digits += 1;
                if number > 255 {
                    return false;
                }
            }
            b'.' if n_digits > 0 => (n_parts, number, n_digits) = (n_parts + 1, 0, 0),
            _ => return false,
        }
    }
    n_parts == 4 && n_digits > 0
}

/// How many leading zeros to skip so that a text is a JSON number; `None` when it is no number.
pub(crate) fn number_at(text: &[u8], is_int: bool) -> Option<usize> {
    // Most are a few digits.
    if text.len() <= 18
        && text.iter().all(u8::is_ascii_digit)
        && !matches!(text, [] | [b'0', _, ..])
    {
        return Some(0);
    }
    let zeros = text.iter().take_while(|b| **b == b'0').count();
    let followed = text.get(zeros).is_some_and(u8::is_ascii_digit);
    let skipped = if followed {
        zeros
    } else {
        zeros.saturating_sub(1)
    };
    let number = text.get(skipped..)?;
    let scanned = scan::number(number, 0)?;
    let is_whole = number.iter().all(|b| b.is_ascii_digit() || *b == b'-');
    let fits =
        scanned.fit == NumberFit::Fits && scanned.end == number.len() && (is_whole || !is_int);
    fits.then_some(skipped)
}

/// Fields that follow from another: the IP of an address, path and query of a URL that is a path.
#[inline]
fn derive(id: FieldId, line: &[u8], span: Span, fields: &mut Fields) {
    let ip = match id {
        FieldId::SOURCE_ADDRESS => FieldId::SOURCE_IP,
        FieldId::CLIENT_ADDRESS => FieldId::CLIENT_IP,
        FieldId::SERVER_ADDRESS => FieldId::SERVER_IP,
        FieldId::DESTINATION_ADDRESS => FieldId::DESTINATION_IP,
        FieldId::URL_ORIGINAL => {
            let text = fields.bytes(line, span);
            if text.first() != Some(&b'/') {
                return;
            }
            let question = memchr::memchr(b'?', text);
            let end = question.map_or(span.end, |at| span.start + at as u32);
            fields.set_own(FieldId::URL_PATH, Span { end, ..span }, Form::Text);
            if end + 1 < span.end {
                let start = end + 1;
                fields.set_own(FieldId::URL_QUERY, Span { start, ..span }, Form::Text);
            }
            return;
        }
        _ => return,
    };
    if is_ip(fields.bytes(line, span)) {
        fields.set_own(ip, span, Form::Text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn ipv4_is_what_the_standard_library_says(text in "[0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9.]{0,16}|(0|1|25[0-9])(\\.(0|00|25[0-9])){3}") {
            proptest::prop_assert_eq!(is_ipv4(text.as_bytes()), text.parse::<std::net::Ipv4Addr>().is_ok());
        }
    }

    #[test]
    fn numbers_of_lines_become_numbers_of_json() {
        let check = |text: &str, is_int, expected: Option<&str>| {
            let found =
                number_at(text.as_bytes(), is_int).map(|skipped| text.get(skipped..).unwrap());
            assert_eq!(found, expected, "{text}");
        };
        check("200", true, Some("200"));
        check("007", true, Some("7"));
        check("000", true, Some("0"));
        check("0.25", false, Some("0.25"));
        check("00.5", false, Some("0.5"));
        check("0.25", true, None);
        check("2x", true, None);
        check("99999999999999999999", true, None);
        check("-5", true, Some("-5"));
        check("NaN", false, None);
    }
}
