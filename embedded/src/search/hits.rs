//! Hits as a search shows them: the document, filtered, with what was asked beside it.

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tantivy::schema::Value as _;
use tantivy::{DocAddress, Searcher, TantivyDocument};

use super::date_format::DateFormat;
use super::{dates, matches_pattern};
use crate::field_table::{Kind, kind_of};
use crate::ids::{DocumentId, Place};
use crate::schema::Fields;

/// What of a document is shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct SourceFilter {
    is_off: bool,
    includes: Vec<String>,
    excludes: Vec<String>,
}

impl SourceFilter {
    /// Reads `_source` of a request.
    pub(crate) fn parse(given: &Value) -> Self {
        let strings = |value: &Value| -> Vec<String> {
            let list = super::query::list(Some(value));
            list.iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect()
        };
        match given {
            Value::Bool(false) => Self {
                is_off: true,
                ..Self::default()
            },
            Value::Object(object) => {
                let either = |a: &str, b: &str| {
                    object
                        .get(a)
                        .or_else(|| object.get(b))
                        .map(strings)
                        .unwrap_or_default()
                };
                Self {
                    is_off: false,
                    includes: either("includes", "include"),
                    excludes: either("excludes", "exclude"),
                }
            }
            Value::Null | Value::Bool(true) => Self::default(),
            list => Self {
                includes: strings(list),
                ..Self::default()
            },
        }
    }

    fn shows_all(&self) -> bool {
        self.includes.is_empty() && self.excludes.is_empty()
    }

    fn filter(&self, path: &str, value: Value) -> Option<Value> {
        let is_match = |patterns: &[String]| {
            patterns.iter().any(|pattern| {
                matches_pattern(pattern, path)
                    // A pattern that names an object means all below it.
                    || path.strip_prefix(pattern.as_str()).is_some_and(|rest| rest.starts_with('.'))
            })
        };
        if !path.is_empty() && is_match(&self.excludes) {
            return None;
        }
        match value {
            Value::Object(object) => {
                let mut kept = Map::new();
                for (key, value) in object {
                    let below = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    if let Some(value) = self.filter(&below, value) {
                        kept.insert(key, value);
                    }
                }
                (path.is_empty() || !kept.is_empty()).then_some(Value::Object(kept))
            }
            value => (self.includes.is_empty() || is_match(&self.includes)).then_some(value),
        }
    }
}

/// A document read from the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) index: String,
    pub(crate) id: String,
    pub(crate) source: Value,
}

/// Reads a document.
///
/// # Errors
/// When files cannot be read.
pub(crate) fn read(
    searcher: &Searcher,
    fields: &Fields,
    address: DocAddress,
) -> tantivy::Result<Stored> {
    let reader = searcher.segment_reader(address.segment_ord);
    let columns = reader.fast_fields();
    let doc = address.doc_id;
    let mut index = String::new();
    if let Some(column) = columns.str("_index")?
        && let Some(ordinal) = column.ords().first(doc)
    {
        column.ord_to_str(ordinal, &mut index)?;
    }
    let mut id = None;
    if let Some(column) = columns.bytes("_stream")?
        && let Some(ordinal) = column.ords().first(doc)
    {
        let mut stream = Vec::new();
        column.ord_to_bytes(ordinal, &mut stream)?;
        let number = |name: &str| Ok::<_, tantivy::TantivyError>(columns.u64(name)?.first(doc));
        id = Some(DocumentId::Place(Place {
            stream: stream.try_into().unwrap_or_default(),
            offset: number("_offset")?.unwrap_or(0),
            hash: u32::try_from(number("_hash")?.unwrap_or(0)).unwrap_or(0),
        }));
    }
    if id.is_none()
        && let Some(column) = columns.str("_id")?
        && let Some(ordinal) = column.ords().first(doc)
    {
        let mut name = String::new();
        column.ord_to_str(ordinal, &mut name)?;
        id = Some(DocumentId::Named(name.into()));
    }
    let document: TantivyDocument = searcher.doc(address)?;
    let bytes = document
        .get_first(fields.source)
        .and_then(|value| value.as_bytes().map(<[u8]>::to_vec));
    let source = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or(Value::Null);
    Ok(Stored {
        index,
        id: id.map(|id| id.to_string()).unwrap_or_default(),
        source,
    })
}

impl Stored {
    /// The hit, without its sort values.
    pub(crate) fn hit(&self, filter: &SourceFilter) -> Value {
        let mut hit = json!({"_index": self.index, "_id": self.id, "_score": null});
        if !filter.is_off {
            hit["_source"] = match filter.shows_all() {
                true => self.source.clone(),
                false => filter
                    .filter("", self.source.clone())
                    .unwrap_or_else(|| json!({})),
            };
        }
        hit
    }

    /// `fields` and `docvalue_fields` of a request. A field that is in both is shown once, as
    /// `fields` wants it; of two entries that mean it the later one counts.
    pub(crate) fn fields(&self, wanted: &[&Value], doc_values: &[&Value]) -> Value {
        let mut flat = Vec::new();
        flatten("", &self.source, &mut flat);
        let mut out = Map::new();
        for entry in doc_values.iter().chain(wanted) {
            let Some(pattern) = entry.as_str().or_else(|| entry["field"].as_str()) else {
                continue;
            };
            let format = entry["format"].as_str().and_then(DateFormat::parse);
            let mut found: Map<String, Value> = Map::new();
            for (path, value) in &flat {
                if matches_pattern(pattern, path) {
                    let slot = found.entry(path.clone()).or_insert_with(|| json!([]));
                    if let Some(list) = slot.as_array_mut() {
                        list.push(shown(path, value, format));
                    }
                }
            }
            out.extend(found);
        }
        Value::Object(out)
    }

    /// The texts at a path.
    pub(crate) fn texts(&self, path: &str) -> Vec<String> {
        let mut flat = Vec::new();
        flatten("", &self.source, &mut flat);
        let matching = flat.into_iter().filter(|(at, _)| at == path);
        matching
            .filter_map(|(_, value)| super::query::scalar_text(value))
            .collect()
    }
}

/// A value as `fields` shows it: dates in the format that is asked for.
fn shown(path: &str, value: &Value, format: Option<DateFormat>) -> Value {
    let Some(format) = format else {
        return value.clone();
    };
    let nanos = match value {
        Value::String(text) => dates::parse_date(text),
        Value::Number(millis) if matches!(kind_of(path), Kind::Timestamp | Kind::Date) => millis
            .as_i64()
            .and_then(|millis| millis.checked_mul(1_000_000)),
        _ => None,
    };
    match nanos {
        Some(nanos) => format.show(nanos, &TimeZone::UTC).into(),
        None => value.clone(),
    }
}

fn flatten<'v>(path: &str, value: &'v Value, out: &mut Vec<(String, &'v Value)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(&below, value, out);
            }
        }
        Value::Array(values) => {
            for value in values {
                flatten(path, value, out);
            }
        }
        Value::Null => {}
        value => out.push((path.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_filtered() {
        let source = json!({"a": {"b": 1, "c": 2}, "a.d": 3, "e": 4});
        let check = |filter: Value, expected: Value| {
            let found = SourceFilter::parse(&filter).filter("", source.clone());
            assert_eq!(found, Some(expected), "{filter}");
        };
        check(json!(["a"]), json!({"a": {"b": 1, "c": 2}, "a.d": 3}));
        check(json!("a.*"), json!({"a": {"b": 1, "c": 2}, "a.d": 3}));
        check(
            json!({"excludes": ["a.b", "e"]}),
            json!({"a": {"c": 2}, "a.d": 3}),
        );
        check(
            json!({"includes": ["a.*"], "excludes": ["*.d"]}),
            json!({"a": {"b": 1, "c": 2}}),
        );
        check(json!(["x"]), json!({}));
    }

    #[test]
    fn fields_are_shown_once_and_in_their_format() {
        let stored = Stored {
            index: "logs-a-b".to_owned(),
            id: "1".to_owned(),
            source: json!({
                "@timestamp": "2026-11-24T23:00:00.000123Z", "event": {"ingested": 1_795_561_200_000_i64},
                "log.level": "error", "tags": ["a", "b"],
            }),
        };
        let check = |fields: Value, doc_values: Value, expected: Value| {
            let list = |given: &Value| -> Vec<Value> { given.as_array().cloned().unwrap() };
            let (wanted, others) = (list(&fields), list(&doc_values));
            let wanted: Vec<&Value> = wanted.iter().collect();
            let others: Vec<&Value> = others.iter().collect();
            let found = stored.fields(&wanted, &others);
            assert_eq!(found, expected, "{fields} {doc_values}");
        };
        let time = |format: &str| json!({"field": "@timestamp", "format": format});
        check(
            json!(["@timestamp"]),
            json!(["@timestamp"]),
            json!({"@timestamp": ["2026-11-24T23:00:00.000123Z"]}),
        );
        check(
            json!([time("strict_date_optional_time")]),
            json!([time("epoch_millis"), "tags"]),
            json!({"@timestamp": ["2026-11-24T23:00:00.000Z"], "tags": ["a", "b"]}),
        );
        check(
            json!([]),
            json!([time("epoch_millis"), {"field": "event.*", "format": "date_time"}]),
            json!({
                "@timestamp": ["1795561200000.123"],
                "event.ingested": ["2026-11-24T23:00:00.000Z"],
            }),
        );
        check(
            json!([{"field": "*"}, time("strict_date_optional_time_nanos")]),
            json!([]),
            json!({
                "@timestamp": ["2026-11-24T23:00:00.000123Z"], "event.ingested": [1_795_561_200_000_i64],
                "log.level": ["error"], "tags": ["a", "b"],
            }),
        );
        check(
            json!([{"field": "log.level", "format": "epoch_millis"}]),
            json!([]),
            json!({"log.level": ["error"]}),
        );
    }
}
