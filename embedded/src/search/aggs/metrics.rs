//! Metrics: figures of the documents of a bucket.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::super::dates::{Round, format_millis, parse_bound};
use super::super::lenient;
use super::super::query::{QueryError, error, list, scalar_text};
use super::answer::whole;
use super::percentiles::{Percentiles, counted};
use super::{Plan, PlanKind};
use crate::field_table::{Kind, kind_of};
use crate::schema::column;

/// Nanoseconds of a millisecond.
const MILLI: f64 = 1_000_000.0;
/// Half of the nanoseconds between two neighbours that a float tells apart, of times of this century.
const HALF_STEP: f64 = 128.0;

/// What a metric tells.
#[derive(Debug)]
pub(super) enum Figure {
    /// How many there are, of times too.
    Count,
    /// One number.
    One,
    Stats,
    ExtendedStats,
    Percentiles(Percentiles),
}

impl Figure {
    /// Whether it has several values, each under a name of its own.
    pub(super) fn has_several(&self) -> bool {
        !matches!(self, Self::Count | Self::One)
    }
}

/// What tantivy is asked for a metric.
pub(super) fn metric(
    name: &str,
    kind: &str,
    field: &str,
    body: &Value,
    now: Timestamp,
) -> Result<Value, QueryError> {
    if kind == "percentiles" && matches!(kind_of(field), Kind::Timestamp | Kind::Date) {
        // They are within a hundredth of a value: of the time since 1970 that is half a year.
        return error(format!("[{name}]: there are no percentiles of times"));
    }
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

/// Makes of tantivy's figures of one bucket those that requests mean; a second time changes nothing.
pub(super) fn settle(plans: &[Plan], results: &mut Value) {
    let Some(results) = results.as_object_mut() else {
        return;
    };
    for plan in plans {
        let PlanKind::Metric { figure, .. } = &plan.kind else {
            continue;
        };
        match figure {
            Figure::Percentiles(percentiles) => {
                let values = results.remove(&counted(&plan.name));
                if let (Some(values), Some(found)) = (values, results.get_mut(&plan.name)) {
                    let n_values = values["count"].as_u64().unwrap_or(0);
                    *found = percentiles.chosen(found, n_values);
                }
            }
            Figure::ExtendedStats => {
                if let Some(found) = results.get_mut(&plan.name) {
                    complete(found);
                }
            }
            Figure::Count | Figure::One | Figure::Stats => {}
        }
    }
}

/// Fills in what tantivy leaves out of an `extended_stats` over one value or none.
fn complete(found: &mut Value) {
    if found["count"] == 1 {
        for of in ["", "_population"] {
            found[format!("variance{of}")] = json!(0.0);
            found[format!("std_deviation{of}")] = json!(0.0);
        }
    }
    if found.is_object() && found["std_deviation_bounds"].is_null() {
        let bound = found["avg"].clone();
        found["std_deviation_bounds"] = json!({
            "upper": bound, "lower": bound, "upper_population": bound, "lower_population": bound,
            "upper_sampling": null, "lower_sampling": null,
        });
    }
}

/// A metric's answer: counts are whole, and of times the others are in milliseconds.
pub(super) fn shown(field: &str, figure: &Figure, mut found: Value) -> Value {
    if matches!(figure, Figure::Count) {
        if let Some(count) = whole(&found["value"]) {
            found["value"] = count;
        }
        return found;
    }
    let is_time = matches!(kind_of(field), Kind::Timestamp | Kind::Date);
    if !is_time || found["count"] == 0 {
        return found;
    }
    if let Some(figures) = found.as_object_mut() {
        in_millis(figures);
    }
    found
}

/// Makes milliseconds of nanoseconds.
fn in_millis(figures: &mut Map<String, Value>) {
    for key in ["value", "min", "max", "avg", "sum"] {
        let Some(nanos) = figures.get(key).and_then(Value::as_f64) else {
            continue;
        };
        // A whole millisecond may have become a little less by then.
        let millis = ((nanos + HALF_STEP) / MILLI).floor();
        figures.insert(key.to_owned(), millis.into());
        let text = format_millis(millis as i64, &TimeZone::UTC);
        figures.insert(format!("{key}_as_string"), text.into());
    }
    for (key, value) in figures {
        match (key.as_str(), value) {
            ("std_deviation_bounds", Value::Object(values)) => {
                for value in values.values_mut() {
                    divide(value, MILLI);
                }
            }
            ("sum_of_squares", value) => divide(value, MILLI * MILLI),
            (key, value) if key.starts_with("variance") => divide(value, MILLI * MILLI),
            (key, value) if key.starts_with("std_deviation") => divide(value, MILLI),
            _ => {}
        }
    }
}

fn divide(value: &mut Value, by: f64) {
    if let Some(number) = value.as_f64() {
        *value = (number / by).into();
    }
}
