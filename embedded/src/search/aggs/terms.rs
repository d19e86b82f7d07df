//! `terms`: how many, and in which order.

use serde_json::{Value, json};

use super::super::lenient;
use super::super::query::{QueryError, error, list};
use crate::schema::column;

/// Candidates that each segment hands in for `terms`: more make counts exact.
const SEGMENT_TERMS: u64 = 2_000;
/// Most buckets of one `terms`.
const MAX_TERMS: u64 = 65_000;

/// What tantivy is asked for `terms`.
pub(super) fn terms(name: &str, field: &str, body: &Value) -> Result<Value, QueryError> {
    let size = match lenient::count_of(name, body, "size")? {
        Some(0) => return error(format!("[{name}]: `size` must be greater than 0")),
        Some(size) => size.min(MAX_TERMS),
        None => 10,
    };
    let mut given = json!({
        "field": column(field), "size": size,
        "segment_size": (size * 10).clamp(SEGMENT_TERMS, MAX_TERMS),
    });
    if let Some(count) = lenient::count_of(name, body, "min_doc_count")? {
        given["min_doc_count"] = count.into();
    }
    for key in ["include", "exclude", "missing"] {
        if let Some(value) = body.get(key).filter(|value| !value.is_null()) {
            given[key] = value.clone();
        }
    }
    let order = list(body.get("order"));
    if let Some(order) = order.first().and_then(|order| order.as_object()) {
        let order = order.iter().map(|(key, direction)| {
            let key = if key == "_term" { "_key" } else { key.as_str() };
            (key.to_owned(), direction.clone())
        });
        given["order"] = Value::Object(order.collect());
    }
    Ok(given)
}
