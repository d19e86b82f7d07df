//! `terms`: how many, and in which order.

use std::cmp::Ordering;

use serde_json::{Value, json};
use tantivy::aggregation::agg_req::{AggregationVariants, Aggregations};

use super::super::lenient;
use super::super::metric_value::{deviation_bound, property};
use super::super::query::{QueryError, error, list, only_entry};
use crate::schema::column;

/// Candidates that each segment hands in for `terms`: more make counts exact.
const SEGMENT_TERMS: u64 = 2_000;
/// Most buckets of one `terms`.
const MAX_TERMS: u64 = 65_000;
/// Percentiles of a request that names none.
const DEFAULT_PERCENTS: &[f64] = &[1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0];

/// What tantivy is asked for `terms`, and how the answer is ordered where it cannot.
pub(super) fn terms(
    name: &str,
    field: &str,
    body: &Value,
    below: &Aggregations,
) -> Result<(Value, Option<ByPercentile>), QueryError> {
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
    let orders = list(body.get("order"));
    let Some(order) = orders.first() else {
        return Ok((given, None));
    };
    let direction = |given: &Value| match given.as_str().map(str::to_lowercase).as_deref() {
        Some("asc") => Some("asc"),
        Some("desc") => Some("desc"),
        _ => None,
    };
    let Some((key, direction)) =
        only_entry(order).and_then(|(key, given)| Some((key, direction(given)?)))
    else {
        return error(format!(
            "[{name}]: `order` is one key with `asc` or `desc`, got {order}"
        ));
    };
    match target(name, key, below)? {
        Target::Tantivy(target) => {
            given["order"] = json!({target: direction});
            Ok((given, None))
        }
        Target::Percentile(metric, percent) => {
            given["size"] = size.max(SEGMENT_TERMS).into();
            let by = ByPercentile {
                metric,
                percent,
                is_descending: direction == "desc",
                size: usize::try_from(size).unwrap_or(usize::MAX),
            };
            Ok((given, Some(by)))
        }
    }
}

/// What terms are ordered by.
#[derive(Debug, PartialEq)]
enum Target {
    /// As tantivy names it.
    Tantivy(String),
    /// A metric, and which of its percentiles.
    Percentile(String, String),
}

/// Reads the key of an order: `_count`, `_key`, `metric`, `metric[value]` or `metric.value`.
fn target(name: &str, key: &str, below: &Aggregations) -> Result<Target, QueryError> {
    match key {
        "_count" | "_key" => return Ok(Target::Tantivy(key.to_owned())),
        "_term" => return Ok(Target::Tantivy("_key".to_owned())),
        _ => {}
    }
    let bracketed = key.strip_suffix(']').and_then(|rest| rest.split_once('['));
    let (metric, value) = bracketed
        .or_else(|| key.split_once('.'))
        .unwrap_or((key, ""));
    let value = if value == "value" { "" } else { value };
    let Some(found) = below.get(metric) else {
        return error(format!(
            "[{name}]: there is no metric [{metric}] to order by"
        ));
    };
    let several = || {
        error(format!(
            "[{name}]: [{metric}] has several values, and the order has to name one of them"
        ))
    };
    match &found.agg {
        AggregationVariants::Percentiles(request) => {
            let Ok(percent) = value.parse::<f64>() else {
                return several();
            };
            let percents = request.percents.as_deref().unwrap_or(DEFAULT_PERCENTS);
            if !percents.contains(&percent) {
                return error(format!(
                    "[{name}]: [{metric}] has no percentile [{value}] to order by"
                ));
            }
            Ok(Target::Percentile(metric.to_owned(), value.to_owned()))
        }
        AggregationVariants::Stats(_) | AggregationVariants::ExtendedStats(_) => {
            match (value, deviation_bound(value)) {
                ("", _) => several(),
                (_, Some(bound)) => Ok(Target::Tantivy(format!(
                    "{metric}.std_deviation_bounds.{bound}"
                ))),
                (value, None) => Ok(Target::Tantivy(format!("{metric}.{value}"))),
            }
        }
        AggregationVariants::Average(_)
        | AggregationVariants::Count(_)
        | AggregationVariants::Max(_)
        | AggregationVariants::Min(_)
        | AggregationVariants::Sum(_)
        | AggregationVariants::Cardinality(_)
            if value.is_empty() =>
        {
            Ok(Target::Tantivy(metric.to_owned()))
        }
        _ => error(format!("[{name}] cannot be ordered by [{key}]")),
    }
}

/// An order that tantivy does not know: the first of the most frequent terms by a percentile.
#[derive(Debug)]
pub(super) struct ByPercentile {
    metric: String,
    percent: String,
    is_descending: bool,
    size: usize,
}

impl ByPercentile {
    /// Orders the buckets, and leaves out those that are too many.
    pub(super) fn apply(&self, found: &mut Value) {
        let Some(Value::Array(buckets)) = found.get_mut("buckets") else {
            return;
        };
        let value =
            |bucket: &Value| property(&bucket[self.metric.as_str()], Some(self.percent.as_str()));
        buckets.sort_by(|a, b| {
            let (a, b) = (value(a), value(b));
            match (a.is_nan(), b.is_nan()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) if self.is_descending => b.total_cmp(&a),
                (false, false) => a.total_cmp(&b),
            }
        });
        let others = buckets.iter().skip(self.size);
        let left_out: u64 = others
            .filter_map(|bucket| bucket["doc_count"].as_u64())
            .sum();
        buckets.truncate(self.size);
        let others = found["sum_other_doc_count"].as_u64().unwrap_or(0);
        found["sum_other_doc_count"] = (others + left_out).into();
    }
}
