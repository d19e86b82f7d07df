//! The first hits by any fields.
//!
//! Within a segment each sort key is a number that orders as the request wants it: values of
//! columns as they are, text by its place in the segment's dictionary. Only the few that are among
//! the first of their segment are turned into values, which compare across segments.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tantivy::columnar::{Cardinality, Column, ColumnType, StrColumn};
use tantivy::{DocId, SegmentReader, u64_to_f64, u64_to_i64};

use super::date_format::DateFormat;
use super::dates;
use super::query::{QueryError, error, list, scalar_text};
use crate::field_table::{Kind, kind_of};
use crate::schema::column;

/// Most fields of a sort.
const MAX_KEYS: usize = 4;
/// A number above this is a time in nanoseconds, below it in milliseconds (the year 2286).
const NANOS_FROM: i64 = 10_000_000_000_000_000;
/// Text comes after numbers.
const TEXT: u128 = 1 << 64;
/// After every value.
const LAST: u128 = u128::MAX;

/// One field of a sort.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SortKey {
    pub(crate) field: String,
    pub(crate) is_descending: bool,
    is_missing_first: bool,
    /// Times as text instead of numbers.
    format: Option<DateFormat>,
}

/// A value to sort by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SortValue {
    Missing,
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
}

/// The keys of a request, `_score` left out.
///
/// Several fields in one object come in the order of their names, since an object of JSON keeps no
/// other here; the order of documents, behind which nothing is left to decide, comes last.
///
/// # Errors
/// When the sort is not one.
pub(crate) fn parse(sort: &Value) -> Result<Vec<SortKey>, QueryError> {
    let mut entries: Vec<(&str, &Value)> = Vec::new();
    for entry in list(Some(sort)) {
        match entry {
            Value::String(field) => entries.push((field.as_str(), &Value::Null)),
            Value::Object(fields) => {
                let (last, first): (Vec<_>, Vec<_>) = fields
                    .iter()
                    .partition(|(field, _)| is_document_order(field));
                let fields = first.into_iter().chain(last);
                entries.extend(fields.map(|(field, options)| (field.as_str(), options)));
            }
            _ => return error("a sort is a field, or {field: {order: …}}"),
        }
    }
    let mut keys = Vec::new();
    for (field, options) in entries {
        let order = options.as_str().or_else(|| options["order"].as_str());
        if field == "_score" {
            continue;
        }
        keys.push(SortKey {
            field: field.strip_suffix(".keyword").unwrap_or(field).to_owned(),
            is_descending: order.is_some_and(|order| order.eq_ignore_ascii_case("desc")),
            is_missing_first: options["missing"].as_str() == Some("_first"),
            format: options["format"]
                .as_str()
                .map(|text| DateFormat::parse(text).unwrap_or(DateFormat::Nanos)),
        });
    }
    if keys.len() > MAX_KEYS {
        return error(format!("a sort takes {MAX_KEYS} fields at most"));
    }
    Ok(keys)
}

impl SortKey {
    /// The order in which hits of a point in time stand.
    pub(crate) fn document_order() -> Self {
        Self {
            field: "_shard_doc".to_owned(),
            is_descending: false,
            is_missing_first: false,
            format: None,
        }
    }

    pub(crate) fn is_document_order(&self) -> bool {
        is_document_order(&self.field)
    }

    fn is_time(&self) -> bool {
        matches!(kind_of(&self.field), Kind::Timestamp | Kind::Date)
    }

    /// Reads one value of `search_after`.
    pub(crate) fn read_after(&self, value: &Value) -> Result<SortValue, QueryError> {
        if value.is_null() {
            return Ok(SortValue::Missing);
        }
        if self.is_time() {
            let nanos = match value
                .as_i64()
                .or_else(|| value.as_f64().map(|float| float as i64))
            {
                Some(number) if number.abs() < NANOS_FROM => number.checked_mul(1_000_000),
                Some(number) => Some(number),
                None => value.as_str().and_then(|text| {
                    let read = self.format.and_then(|format| format.read(text));
                    match (read, text.parse::<i64>()) {
                        (Some(nanos), _) => Some(nanos),
                        (None, Ok(number)) if number.abs() >= NANOS_FROM => Some(number),
                        _ => dates::parse_bound(
                            text,
                            Timestamp::now(),
                            &TimeZone::UTC,
                            dates::Round::Down,
                        ),
                    }
                }),
            };
            return match nanos {
                Some(nanos) => Ok(SortValue::Signed(nanos)),
                None => error(format!(
                    "cannot use {value} in `search_after` for [{}]",
                    self.field
                )),
            };
        }
        Ok(match value {
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), _, _) => SortValue::Signed(value),
                (None, Some(value), _) => SortValue::Unsigned(value),
                (None, None, value) => SortValue::Float(value.unwrap_or(0.0)),
            },
            _ => SortValue::Text(scalar_text(value).unwrap_or_default()),
        })
    }

    /// The value as a hit shows it.
    pub(crate) fn show(&self, value: &SortValue) -> Value {
        match value {
            SortValue::Missing => Value::Null,
            SortValue::Signed(nanos) if self.is_time() && self.format.is_some() => self
                .format
                .map(|format| format.show(*nanos, &TimeZone::UTC))
                .into(),
            SortValue::Signed(nanos) if kind_of(&self.field) == Kind::Date => {
                (nanos / 1_000_000).into()
            }
            SortValue::Signed(value) => (*value).into(),
            SortValue::Unsigned(value) => (*value).into(),
            SortValue::Float(value) => json!(value),
            SortValue::Text(text) => text.as_str().into(),
        }
    }

    fn compare(&self, a: &SortValue, b: &SortValue) -> Ordering {
        let missing = if self.is_missing_first {
            Ordering::Less
        } else {
            Ordering::Greater
        };
        let by_value = match (a, b) {
            (SortValue::Missing, SortValue::Missing) => return Ordering::Equal,
            (SortValue::Missing, _) => return missing,
            (_, SortValue::Missing) => return missing.reverse(),
            (SortValue::Text(a), SortValue::Text(b)) => a.cmp(b),
            (SortValue::Text(_), _) => Ordering::Greater,
            (_, SortValue::Text(_)) => Ordering::Less,
            (SortValue::Float(_), _) | (_, SortValue::Float(_)) => float(a).total_cmp(&float(b)),
            _ => whole(a).cmp(&whole(b)),
        };
        if self.is_descending {
            by_value.reverse()
        } else {
            by_value
        }
    }
}

fn is_document_order(field: &str) -> bool {
    matches!(field, "_shard_doc" | "_doc")
}

fn float(value: &SortValue) -> f64 {
    match value {
        SortValue::Signed(value) => *value as f64,
        SortValue::Unsigned(value) => *value as f64,
        SortValue::Float(value) => *value,
        _ => 0.0,
    }
}

fn whole(value: &SortValue) -> i128 {
    match value {
        SortValue::Signed(value) => i128::from(*value),
        SortValue::Unsigned(value) => i128::from(*value),
        _ => 0,
    }
}

/// Orders two hits.
pub(crate) fn compare(keys: &[SortKey], a: &[SortValue], b: &[SortValue]) -> Ordering {
    let pairs = keys.iter().zip(a.iter().zip(b));
    pairs.fold(Ordering::Equal, |order, (key, (a, b))| {
        order.then_with(|| key.compare(a, b))
    })
}

/// A hit: where it is, and what it was sorted by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hit {
    /// Position of its segment in the search.
    pub(crate) segment: usize,
    pub(crate) doc: DocId,
    pub(crate) values: Vec<SortValue>,
}

type LocalKey = [u128; MAX_KEYS];

/// The first hits of one segment.
pub(crate) struct SegmentTop<'a> {
    keys: &'a [SortKey],
    columns: Vec<KeyColumn>,
    segment: usize,
    size: usize,
    heap: BinaryHeap<(LocalKey, DocId)>,
    after: Option<LocalKey>,
}

enum KeyColumn {
    /// Number of the segment, for `_shard_doc`.
    Document(u64),
    Values {
        numbers: Option<(Column<u64>, ColumnType)>,
        text: Option<StrColumn>,
    },
}

impl<'a> SegmentTop<'a> {
    /// Opens the columns of a segment.
    ///
    /// # Errors
    /// When files cannot be read.
    pub(crate) fn open(
        keys: &'a [SortKey],
        segment: usize,
        document_base: u64,
        reader: &SegmentReader,
        size: usize,
        after: Option<&[SortValue]>,
    ) -> tantivy::Result<Self> {
        let mut columns = Vec::with_capacity(keys.len());
        for key in keys {
            if key.is_document_order() {
                columns.push(KeyColumn::Document(document_base));
                continue;
            }
            let name = column(&key.field);
            let (mut numbers, mut text) = (None, None);
            for handle in reader.fast_fields().dynamic_column_handles(&name)? {
                match handle.column_type() {
                    ColumnType::Str => text = reader.fast_fields().str(&name)?,
                    kind => {
                        if let Some(column) = handle.open_u64_lenient()? {
                            numbers = Some((column, kind));
                        }
                    }
                }
            }
            columns.push(KeyColumn::Values { numbers, text });
        }
        let mut top = Self {
            keys,
            columns,
            segment,
            size,
            heap: BinaryHeap::new(),
            after: None,
        };
        if let Some(after) = after {
            top.after = Some(top.after_key(after)?);
        }
        Ok(top)
    }

    /// The smallest and largest key of a segment in the order of the first field; only for times.
    pub(crate) fn first_bounds(
        keys: &[SortKey],
        reader: &SegmentReader,
    ) -> Option<(SortValue, SortValue)> {
        let key = keys.first().filter(|key| key.field == "@timestamp")?;
        let times = reader.fast_fields().date("@timestamp").ok()?;
        let (min, max) = (times.min_value(), times.max_value());
        let value = |time: tantivy::DateTime| SortValue::Signed(time.into_timestamp_nanos());
        Some(if key.is_descending {
            (value(max), value(min))
        } else {
            (value(min), value(max))
        })
    }

    #[inline]
    pub(crate) fn collect(&mut self, doc: DocId) {
        let mut key = [0; MAX_KEYS];
        for ((slot, sort), column) in key.iter_mut().zip(self.keys).zip(&self.columns) {
            *slot = local_key(sort, column, doc);
        }
        if self.after.as_ref().is_some_and(|after| key <= *after) {
            return;
        }
        if self.heap.len() < self.size {
            self.heap.push((key, doc));
        } else if self.heap.peek().is_some_and(|worst| (key, doc) < *worst)
            && let Some(mut worst) = self.heap.peek_mut()
        {
            *worst = (key, doc);
        }
    }

    /// The hits, with values that compare across segments.
    ///
    /// # Errors
    /// When files cannot be read.
    pub(crate) fn finish(self) -> tantivy::Result<Vec<Hit>> {
        let mut hits = Vec::with_capacity(self.heap.len());
        for (_, doc) in self.heap.into_sorted_vec() {
            let mut values = Vec::with_capacity(self.keys.len());
            for (key, column) in self.keys.iter().zip(&self.columns) {
                values.push(value(key, column, doc)?);
            }
            hits.push(Hit {
                segment: self.segment,
                doc,
                values,
            });
        }
        Ok(hits)
    }

    fn after_key(&self, after: &[SortValue]) -> tantivy::Result<LocalKey> {
        let mut key = [0; MAX_KEYS];
        // A shorter `search_after` leaves the rest open: everything with these values is passed.
        for (slot, (n, sort)) in key.iter_mut().zip(self.keys.iter().enumerate()) {
            let Some(value) = after.get(n) else {
                *slot = LAST;
                continue;
            };
            let raw = match (value, self.columns.get(n)) {
                (SortValue::Missing, _) | (_, None) => None,
                (value, Some(KeyColumn::Document(_))) => u128::try_from(whole(value)).ok(),
                (
                    SortValue::Text(text),
                    Some(KeyColumn::Values {
                        text: Some(column), ..
                    }),
                ) => {
                    let (lower, _) = column.dictionary().term_bounds_to_ord(
                        std::ops::Bound::Included(text.as_bytes()),
                        std::ops::Bound::<&[u8]>::Unbounded,
                    )?;
                    let next = match lower {
                        std::ops::Bound::Included(ordinal) => ordinal,
                        std::ops::Bound::Excluded(ordinal) => ordinal.saturating_add(1),
                        std::ops::Bound::Unbounded => 0,
                    };
                    let mut found = String::new();
                    let is_there = column.ord_to_str(next, &mut found)? && found == *text;
                    Some(TEXT + u128::from(next) * 2 + u128::from(is_there))
                }
                // No text here: everything is before it.
                (SortValue::Text(_), _) => Some(TEXT),
                (value, Some(KeyColumn::Values { numbers, .. })) => Some(match numbers {
                    Some((_, ColumnType::F64)) => u128::from(tantivy::f64_to_u64(float(value))),
                    Some((_, ColumnType::U64 | ColumnType::Bool)) => {
                        u128::try_from(whole_of(value).max(0)).unwrap_or(0)
                    }
                    _ => {
                        let clamped =
                            whole_of(value).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
                        u128::from(tantivy::i64_to_u64(i64::try_from(clamped).unwrap_or(0)))
                    }
                }),
            };
            *slot = ordered(sort, raw);
        }
        Ok(key)
    }
}

fn whole_of(value: &SortValue) -> i128 {
    match value {
        SortValue::Float(value) => *value as i128,
        value => whole(value),
    }
}

/// A raw key in the order of the request.
fn ordered(sort: &SortKey, raw: Option<u128>) -> u128 {
    match raw {
        None if sort.is_missing_first => 0,
        None => LAST,
        // Room for what is missing on both ends.
        Some(raw) if sort.is_descending => (LAST >> 1) - raw,
        Some(raw) => raw + 1,
    }
}

fn local_key(sort: &SortKey, column: &KeyColumn, doc: DocId) -> u128 {
    let raw = match column {
        KeyColumn::Document(base) => Some(u128::from(base + u64::from(doc))),
        KeyColumn::Values { numbers, text } => {
            let number = numbers
                .as_ref()
                .and_then(|(column, _)| pick(sort, column, doc));
            match (number, text) {
                (Some(number), _) => Some(u128::from(number)),
                (None, Some(text)) => {
                    pick(sort, text.ords(), doc).map(|ordinal| TEXT + u128::from(ordinal) * 2 + 1)
                }
                (None, None) => None,
            }
        }
    };
    ordered(sort, raw)
}

/// Of several values the one that comes first.
#[inline]
fn pick(sort: &SortKey, column: &Column<u64>, doc: DocId) -> Option<u64> {
    if column.get_cardinality() != Cardinality::Multivalued {
        return column.first(doc);
    }
    let values = column.values_for_doc(doc);
    if sort.is_descending {
        values.max()
    } else {
        values.min()
    }
}

fn value(sort: &SortKey, column: &KeyColumn, doc: DocId) -> tantivy::Result<SortValue> {
    let (numbers, text) = match column {
        KeyColumn::Document(base) => return Ok(SortValue::Unsigned(base + u64::from(doc))),
        KeyColumn::Values { numbers, text } => (numbers, text),
    };
    if let Some((column, kind)) = numbers
        && let Some(number) = pick(sort, column, doc)
    {
        return Ok(match kind {
            ColumnType::F64 => SortValue::Float(u64_to_f64(number)),
            ColumnType::U64 | ColumnType::Bool => SortValue::Unsigned(number),
            _ => SortValue::Signed(u64_to_i64(number)),
        });
    }
    if let Some(column) = text
        && let Some(ordinal) = pick(sort, column.ords(), doc)
    {
        let mut found = String::new();
        column.ord_to_str(ordinal, &mut found)?;
        return Ok(SortValue::Text(found));
    }
    Ok(SortValue::Missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(sort: Value) -> Vec<(String, bool)> {
        let keys = parse(&sort).unwrap();
        keys.into_iter()
            .map(|key| (key.field, key.is_descending))
            .collect()
    }

    #[test]
    fn a_sort_may_be_one_object_with_several_fields() {
        let time = ("@timestamp".to_owned(), true);
        let place = ("_doc".to_owned(), true);
        for sort in [
            json!({
                "@timestamp": {"order": "desc", "unmapped_type": "boolean"},
                "_doc": {"order": "desc"},
            }),
            json!([{"@timestamp": "desc", "_doc": "desc"}]),
            json!([{"@timestamp": "desc"}, {"_doc": "desc"}]),
        ] {
            assert_eq!(
                fields(sort.clone()),
                [time.clone(), place.clone()],
                "{sort}"
            );
        }
        let sort = json!({"_doc": "asc", "event.ingested": "desc"});
        let expected = [
            ("event.ingested".to_owned(), true),
            ("_doc".to_owned(), false),
        ];
        assert_eq!(fields(sort), expected);
        assert_eq!(fields(json!("took")), [("took".to_owned(), false)]);
        assert!(fields(json!(null)).is_empty());
        assert!(parse(&json!([3])).is_err());
    }

    #[test]
    fn a_time_is_read_as_it_is_shown() {
        let time = SortValue::Signed(1_795_561_200_000_123_400);
        for (format, expected) in [
            (json!("epoch_millis"), json!("1795561200000.1234")),
            (json!("epoch_second"), json!("1795561200.0001234")),
            (
                json!("strict_date_optional_time_nanos"),
                json!("2026-11-24T23:00:00.0001234Z"),
            ),
            (Value::Null, json!(1_795_561_200_000_123_400_i64)),
        ] {
            let keys = parse(&json!({"@timestamp": {"format": format}})).unwrap();
            let shown = keys[0].show(&time);
            assert_eq!(shown, expected);
            assert_eq!(keys[0].read_after(&shown), Ok(time.clone()), "{format}");
        }
    }
}
