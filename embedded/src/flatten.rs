//! Reads a document's JSON into flat values, without building a tree.
//!
//! Never fails for what a value is: one that does not fit the type of its field is indexed as a
//! word under `tailrace.conflict.<field>`, and the document is marked. Only bytes that are no JSON
//! object are refused.

use rustc_hash::FxHashMap;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::document::{Scalar, Values};
use crate::field_table::{FieldRule, FieldTable, Kind, seen};
use crate::schema::Fields;
use crate::search::dates;

/// Longest keyword in characters, as the template's `ignore_above`.
const MAX_KEYWORD: usize = 1_024;

/// Prefix of marks of values that were not indexed as their field wants.
pub(crate) const IGNORED: &str = "ignored:";
/// Prefix of marks of text fields that a document has.
pub(crate) const HAS: &str = "has:";

/// Reads documents of one request; remembers the fields it met.
#[derive(Debug)]
pub(crate) struct Flattener<'t> {
    table: &'t FieldTable,
    fields: Fields,
    rules: FxHashMap<String, FieldRule>,
    path: String,
}

/// What a document holds.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    pub(crate) values: Values,
    /// `@timestamp` in nanoseconds, when the document has a readable one.
    pub(crate) timestamp: Option<i64>,
}

impl<'t> Flattener<'t> {
    pub(crate) fn new(table: &'t FieldTable, fields: Fields) -> Self {
        Self {
            table,
            fields,
            rules: FxHashMap::default(),
            path: String::new(),
        }
    }

    /// Reads one document.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub(crate) fn read(&mut self, source: &[u8]) -> Result<Flat, serde_json::Error> {
        let mut flat = Flat::default();
        self.path.clear();
        let mut deserializer = serde_json::Deserializer::from_slice(source);
        let seed = Node {
            to: self,
            flat: &mut flat,
            is_root: true,
        };
        seed.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(flat)
    }

    /// The rule of the field at the current path.
    fn rule(&mut self) -> FieldRule {
        if let Some(rule) = self.rules.get(self.path.as_str()) {
            return rule.clone();
        }
        let rule = self.table.rule(&self.path);
        self.rules.insert(self.path.clone(), rule.clone());
        rule
    }

    fn note(&mut self, rule: &FieldRule, types: u8) {
        if rule.seen & types == types {
            return;
        }
        self.table.note(&rule.path, types);
        if let Some(mine) = self.rules.get_mut(&*rule.path) {
            mine.seen |= types;
        }
    }

    fn mark(&mut self, flat: &mut Flat, prefix: &str, name: &str) {
        let span = flat.values.push_text(prefix);
        let end = flat.values.push_text(name).end;
        flat.values.marks.push(span.start..end);
    }

    fn text(&mut self, flat: &mut Flat, text: &str) {
        let rule = self.rule();
        match rule.kind {
            Kind::Off => {}
            Kind::Text => {
                if let Some(field) = self.fields.text(&rule.path) {
                    let span = flat.values.push_text(text);
                    flat.values.texts.push((field, span));
                    self.mark(flat, HAS, &rule.path);
                    self.note(&rule, seen::TEXT);
                }
            }
            Kind::Keyword | Kind::Dynamic => self.keyword(flat, &rule, text),
            Kind::Timestamp => match dates::parse_date(text) {
                Some(nanos) => self.timestamp(flat, &rule, nanos),
                None => self.conflict(flat, &rule, text),
            },
            Kind::Date => match dates::parse_date(text) {
                Some(nanos) => self.push(flat, &rule, Scalar::Date(nanos), seen::DATE),
                None => self.conflict(flat, &rule, text),
            },
            Kind::Long => match text.trim().parse::<i64>() {
                Ok(value) => self.push(flat, &rule, Scalar::Signed(value), seen::LONG),
                Err(_) => self.conflict(flat, &rule, text),
            },
        }
    }

    fn number(&mut self, flat: &mut Flat, scalar: Scalar) {
        let rule = self.rule();
        let text = |scalar: &Scalar| match scalar {
            Scalar::Signed(value) => value.to_string(),
            Scalar::Unsigned(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
            _ => String::new(),
        };
        let types = match &scalar {
            Scalar::Float(_) => seen::DOUBLE,
            _ => seen::LONG,
        };
        match rule.kind {
            Kind::Off => {}
            Kind::Dynamic => self.push(flat, &rule, scalar, types),
            Kind::Text | Kind::Keyword => self.text(flat, &text(&scalar)),
            Kind::Timestamp | Kind::Date => {
                let millis = match scalar {
                    Scalar::Signed(value) => Some(value),
                    Scalar::Float(value) => Some(value as i64),
                    _ => None,
                };
                match millis.and_then(|millis| millis.checked_mul(1_000_000)) {
                    Some(nanos) if rule.kind == Kind::Timestamp => {
                        self.timestamp(flat, &rule, nanos);
                    }
                    Some(nanos) => self.push(flat, &rule, Scalar::Date(nanos), seen::DATE),
                    None => self.conflict(flat, &rule, &text(&scalar)),
                }
            }
            Kind::Long => match scalar {
                // A whole-number field cuts fractions off, as on a server.
                Scalar::Float(value) if value.abs() < 9.2e18 => {
                    self.push(flat, &rule, Scalar::Signed(value as i64), seen::LONG);
                }
                Scalar::Signed(_) => self.push(flat, &rule, scalar, seen::LONG),
                _ => self.conflict(flat, &rule, &text(&scalar)),
            },
        }
    }

    fn boolean(&mut self, flat: &mut Flat, value: bool) {
        let rule = self.rule();
        let text = if value { "true" } else { "false" };
        match rule.kind {
            Kind::Off => {}
            Kind::Dynamic => self.push(flat, &rule, Scalar::Bool(value), seen::BOOLEAN),
            Kind::Text | Kind::Keyword => self.text(flat, text),
            Kind::Timestamp | Kind::Date | Kind::Long => self.conflict(flat, &rule, text),
        }
    }

    fn push(&mut self, flat: &mut Flat, rule: &FieldRule, scalar: Scalar, types: u8) {
        flat.values
            .by_path
            .push((std::sync::Arc::clone(&rule.path), scalar));
        self.note(rule, types);
    }

    fn timestamp(&mut self, flat: &mut Flat, rule: &FieldRule, nanos: i64) {
        flat.timestamp.get_or_insert(nanos);
        self.note(rule, seen::DATE);
    }

    fn keyword(&mut self, flat: &mut Flat, rule: &FieldRule, text: &str) {
        if text.len() > MAX_KEYWORD && text.chars().count() > MAX_KEYWORD {
            self.mark(flat, IGNORED, &rule.path);
            return;
        }
        let span = flat.values.push_text(text);
        self.push(flat, rule, Scalar::Text(span), seen::KEYWORD);
    }

    /// A value that does not fit its field's type: found under a side field, and marked.
    fn conflict(&mut self, flat: &mut Flat, rule: &FieldRule, text: &str) {
        self.mark(flat, IGNORED, &rule.path);
        let side = self.table.rule(&format!("tailrace.conflict.{}", rule.path));
        if side.kind == Kind::Dynamic {
            self.table.note(&side.path, seen::KEYWORD);
            let cut: String = text.chars().take(MAX_KEYWORD).collect();
            let span = flat.values.push_text(&cut);
            flat.values.by_path.push((side.path, Scalar::Text(span)));
        }
    }
}

/// A JSON value at the flattener's path.
struct Node<'a, 't> {
    to: &'a mut Flattener<'t>,
    flat: &'a mut Flat,
    is_root: bool,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.is_root {
            deserializer.deserialize_map(self)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { to, flat, .. } = self;
        let len = to.path.len();
        loop {
            if len > 0 {
                to.path.push('.');
            }
            if map.next_key_seed(Key(&mut to.path))?.is_none() {
                to.path.truncate(len);
                return Ok(());
            }
            let node = Node {
                to: &mut *to,
                flat: &mut *flat,
                is_root: false,
            };
            map.next_value_seed(node)?;
            to.path.truncate(len);
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { to, flat, .. } = self;
        loop {
            let node = Node {
                to: &mut *to,
                flat: &mut *flat,
                is_root: false,
            };
            if seq.next_element_seed(node)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.to.text(self.flat, text);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.to.number(self.flat, Scalar::Signed(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        let scalar = i64::try_from(value).map_or(Scalar::Unsigned(value), Scalar::Signed);
        self.to.number(self.flat, scalar);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.to.number(self.flat, Scalar::Float(value));
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.to.boolean(self.flat, value);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Appends an object's key to the path.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        // A NUL ends a path within the index.
        self.0
            .extend(key.chars().filter(|c| *c != '\0' && *c != '\u{1}'));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flat(source: &str) -> (Vec<(String, Scalar)>, Vec<String>, Option<i64>) {
        let dir = tempfile::tempdir().unwrap();
        let table = FieldTable::open(&dir.path().join("f"), 100);
        let (_, fields) = crate::schema::schema();
        let flat = Flattener::new(&table, fields)
            .read(source.as_bytes())
            .unwrap();
        let marks = flat.values.marks.iter();
        let marks = marks
            .map(|span| flat.values.arena.get(span.clone()).unwrap().to_owned())
            .collect();
        let values = flat.values.by_path.iter();
        let values = values
            .map(|(path, scalar)| (path.to_string(), scalar.clone()))
            .collect();
        (values, marks, flat.timestamp)
    }

    #[test]
    fn nested_and_dotted_names_are_one_path() {
        let (a, _, _) = flat(r#"{"http": {"status": 200, "ok": true}}"#);
        let (b, _, _) = flat(r#"{"http.status": 200, "http.ok": true}"#);
        assert_eq!(a, b);
        assert_eq!(a[0], ("http.status".to_owned(), Scalar::Signed(200)));
    }

    #[test]
    fn what_does_not_fit_is_marked_not_lost() {
        let (values, marks, timestamp) =
            flat(r#"{"@timestamp": "soon", "log.offset": "many", "log.level": 3, "message": "m"}"#);
        assert_eq!(timestamp, None);
        assert_eq!(
            marks,
            ["ignored:@timestamp", "ignored:log.offset", "has:message"]
        );
        let paths: Vec<&str> = values.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "tailrace.conflict.@timestamp",
                "tailrace.conflict.log.offset",
                "log.level"
            ]
        );
    }

    #[test]
    fn times_are_read_to_the_nanosecond() {
        let (_, _, timestamp) = flat(r#"{"@timestamp": "2026-01-02T03:04:05.123456789Z"}"#);
        assert_eq!(timestamp, Some(1_767_323_045_123_456_789));
        let (_, _, timestamp) = flat(r#"{"@timestamp": 1767323045123}"#);
        assert_eq!(timestamp, Some(1_767_323_045_123_000_000));
    }

    proptest! {
        #[test]
        fn any_bytes_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let dir = tempfile::tempdir().unwrap();
            let table = FieldTable::open(&dir.path().join("f"), 100);
            let (_, fields) = crate::schema::schema();
            // An answer or an error; no panic.
            drop(Flattener::new(&table, fields).read(&bytes));
        }
    }
}
