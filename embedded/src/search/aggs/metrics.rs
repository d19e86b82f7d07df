//! Metrics: figures of the documents of a bucket.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::dates::{Round, parse_bound};
use super::super::lenient;
use super::super::query::{QueryError, error, list, scalar_text};
use crate::field_table::{Kind, kind_of};
use crate::schema::column;

/// What tantivy is asked for a metric.
pub(super) fn metric(
    name: &str,
    kind: &str,
    field: &str,
    body: &Value,
    now: Timestamp,
) -> Result<Value, QueryError> {
    let mut given = json!({"field": column(field)});
    if let Some(keyed) = body.get("keyed") {
        given["keyed"] = keyed.clone();
    }
    if let Some(sigma) = lenient::number_of(name, body, "sigma")? {
        given["sigma"] = sigma.into();
    }
    if let Some(percents) = body.get("percents").filter(|value| !value.is_null()) {
        let mut numbers = Vec::new();
        for percent in list(Some(percents)) {
            match lenient::number(percent) {
                Some(number) if (0.0..=100.0).contains(&number) => numbers.push(number),
                _ => {
                    return error(format!(
                        "[{name}]: `percents` are numbers from 0 to 100, got {percent}"
                    ));
                }
            }
        }
        given["percents"] = numbers.into();
    }
    if let Some(missing) = body.get("missing").filter(|value| !value.is_null()) {
        given["missing"] = missing_value(name, kind, field, missing, now)?;
    }
    Ok(given)
}

/// What a document without a value counts as.
fn missing_value(
    name: &str,
    kind: &str,
    field: &str,
    given: &Value,
    now: Timestamp,
) -> Result<Value, QueryError> {
    if matches!(kind_of(field), Kind::Timestamp | Kind::Date) {
        // Columns of times are in nanoseconds.
        let nanos = scalar_text(given)
            .and_then(|text| parse_bound(&text, now, &TimeZone::UTC, Round::Down));
        return match nanos {
            Some(nanos) => Ok((nanos as f64).into()),
            None => error(format!("[{name}]: `missing` is a time, got {given}")),
        };
    }
    let counts_words = kind == "cardinality";
    match (lenient::number(given), given) {
        (_, Value::String(text)) if counts_words && kind_of(field) == Kind::Keyword => {
            Ok(text.as_str().into())
        }
        (Some(number), _) => Ok(number.into()),
        (None, Value::String(text)) if counts_words => Ok(text.as_str().into()),
        _ => error(format!("[{name}]: `missing` is a number, got {given}")),
    }
}

/// Refuses `missing` where it is not known: without it the figures would be others.
pub(super) fn refuse_missing(name: &str, kind: &str, body: &Value) -> Result<(), QueryError> {
    match body.get("missing") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => error(format!("[{name}]: `missing` is not known of [{kind}]")),
    }
}
