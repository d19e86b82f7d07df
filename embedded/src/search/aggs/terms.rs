//! `terms`: how many, and in which order.

use std::cmp::Ordering;

use serde_json::{Value, json};
use tantivy::aggregation::agg_req::{AggregationVariants, Aggregations};

use super::super::lenient;
use super::super::metric_value::{deviation_bound, property};
use super::super::query::{QueryError, error, list, only_entry};
use super::percentiles::asked;
use crate::schema::column;

/// Candidates that each segment hands in for `terms`: more make counts exact.
const SEGMENT_TERMS: u64 = 2_000;
/// Most buckets of one `terms`.
const MAX_TERMS: u64 = 65_000;
/// Statistics that there are of no values too.
const NEVER_MISSING: &[&str] = &["count", "sum"];
/// Statistics that `stats` has.
const STATS: &[&str] = &["count", "sum", "min", "max", "avg"];
/// Those that `extended_stats` has besides, without the bounds.
const EXTENDED_STATS: &[&str] = &[
    "sum_of_squares",
    "variance",
    "variance_population",
    "variance_sampling",
    "std_deviation",
    "std_deviation_population",
    "std_deviation_sampling",
];

/// What tantivy is asked for `terms`, and how the answer is ordered where it cannot.
pub(super) fn terms(
    name: &str,
    field: &str,
    body: &Value,
    below: &Aggregations,
) -> Result<(Value, Option<Order>), QueryError> {
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
    let (target, is_descending) = order_key(name, order, below)?;
    if let Some(target) = target.of_tantivy(is_descending) {
        given["order"] = json!({target: if is_descending { "desc" } else { "asc" }});
        return Ok((given, None));
    }
    let mut keys = vec![(target, is_descending)];
    for order in orders.iter().skip(1) {
        keys.push(order_key(name, order, below)?);
    }
    given["size"] = size.max(SEGMENT_TERMS).into();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    Ok((given, Some(Order { keys, size })))
}

/// Reads one key of an order, and whether it descends.
fn order_key(
    name: &str,
    order: &Value,
    below: &Aggregations,
) -> Result<(Target, bool), QueryError> {
    let is_descending = |given: &Value| match given.as_str().map(str::to_lowercase).as_deref() {
        Some("asc") => Some(false),
        Some("desc") => Some(true),
        _ => None,
    };
    match only_entry(order).and_then(|(key, given)| Some((key, is_descending(given)?))) {
        Some((key, is_descending)) => Ok((target(name, key, below)?, is_descending)),
        None => error(format!(
            "[{name}]: `order` is one key with `asc` or `desc`, got {order}"
        )),
    }
}

/// What terms are ordered by.
#[derive(Debug)]
enum Target {
    Count,
    Key,
    Metric {
        name: String,
        /// Which of its values, where it has several.
        value: Option<String>,
        by: By,
        /// What a term without a value counts as; not a number: it is last either way.
        missing: f64,
    },
}

/// Who can order by a metric.
#[derive(Debug, Clone, Copy)]
enum By {
    /// tantivy, either way.
    Tantivy,
    /// tantivy where the order descends: otherwise it puts terms without a value first.
    TantivyDescending,
    Us,
}

impl Target {
    /// As tantivy names it, where its order is right.
    fn of_tantivy(&self, is_descending: bool) -> Option<String> {
        let (name, value) = match self {
            Self::Count => return Some("_count".to_owned()),
            Self::Key => return Some("_key".to_owned()),
            Self::Metric {
                name, value, by, ..
            } => match by {
                By::Tantivy => (name, value),
                By::TantivyDescending if is_descending => (name, value),
                By::TantivyDescending | By::Us => return None,
            },
        };
        Some(match value {
            None => name.clone(),
            Some(value) => match deviation_bound(value) {
                Some(bound) => format!("{name}.std_deviation_bounds.{bound}"),
                None => format!("{name}.{value}"),
            },
        })
    }

    /// How two buckets follow each other. Those without a value are last, but for extremes.
    fn compare(&self, is_descending: bool, a: &Value, b: &Value) -> Ordering {
        let turned = |ascending: Ordering| match is_descending {
            true => ascending.reverse(),
            false => ascending,
        };
        match self {
            Self::Count => {
                let count = |bucket: &Value| bucket["doc_count"].as_u64();
                turned(count(a).cmp(&count(b)))
            }
            Self::Key => turned(by_key(a, b)),
            Self::Metric {
                name,
                value,
                missing,
                ..
            } => {
                let value = |bucket: &Value| {
                    let found = property(&bucket[name.as_str()], value.as_deref());
                    if found.is_nan() { *missing } else { found }
                };
                let (a, b) = (value(a), value(b));
                match (a.is_nan(), b.is_nan()) {
                    (false, false) => turned(a.total_cmp(&b)),
                    (a_is_missing, b_is_missing) => a_is_missing.cmp(&b_is_missing),
                }
            }
        }
    }
}

fn by_key(a: &Value, b: &Value) -> Ordering {
    let (a, b) = (&a["key"], &b["key"]);
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.as_str().cmp(&b.as_str()),
    }
}

/// Reads the key of an order: `_count`, `_key`, `metric`, `metric[value]` or `metric.value`.
fn target(name: &str, key: &str, below: &Aggregations) -> Result<Target, QueryError> {
    match key {
        "_count" => return Ok(Target::Count),
        "_key" | "_term" => return Ok(Target::Key),
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
    // As a server has it: the greatest of no values is below all, the least above all.
    let extreme = match &found.agg {
        AggregationVariants::Max(_) => "max",
        AggregationVariants::Min(_) => "min",
        _ => value,
    };
    let (missing, by_extreme) = match extreme {
        "max" => (f64::NEG_INFINITY, By::Tantivy),
        "min" => (f64::INFINITY, By::Us),
        _ => (f64::NAN, By::TantivyDescending),
    };
    let metric_target = |by: By| {
        Ok(Target::Metric {
            name: metric.to_owned(),
            value: (!value.is_empty()).then(|| value.to_owned()),
            by,
            missing,
        })
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
            if !asked(request).contains(&percent) {
                return error(format!(
                    "[{name}]: [{metric}] has no percentile [{value}] to order by"
                ));
            }
            metric_target(By::Us)
        }
        AggregationVariants::Stats(_) | AggregationVariants::ExtendedStats(_)
            if value.is_empty() =>
        {
            several()
        }
        AggregationVariants::Stats(_) | AggregationVariants::ExtendedStats(_)
            if NEVER_MISSING.contains(&value) =>
        {
            metric_target(By::Tantivy)
        }
        AggregationVariants::Stats(_) if STATS.contains(&value) => metric_target(by_extreme),
        AggregationVariants::ExtendedStats(_)
            if STATS.contains(&value)
                || EXTENDED_STATS.contains(&value)
                || deviation_bound(value).is_some() =>
        {
            metric_target(by_extreme)
        }
        AggregationVariants::Average(_)
        | AggregationVariants::Max(_)
        | AggregationVariants::Min(_)
            if value.is_empty() =>
        {
            metric_target(by_extreme)
        }
        AggregationVariants::Count(_)
        | AggregationVariants::Sum(_)
        | AggregationVariants::Cardinality(_)
            if value.is_empty() =>
        {
            metric_target(By::Tantivy)
        }
        _ => error(format!("[{name}] cannot be ordered by [{key}]")),
    }
}

/// An order that tantivy does not know, of the most frequent terms. Those that are the same to it
/// come by their keys.
#[derive(Debug)]
pub(super) struct Order {
    /// The first first, and whether each descends.
    keys: Vec<(Target, bool)>,
    size: usize,
}

impl Order {
    /// Orders the buckets, and leaves out those that are too many.
    pub(super) fn apply(&self, found: &mut Value) {
        let Some(Value::Array(buckets)) = found.get_mut("buckets") else {
            return;
        };
        buckets.sort_by(|a, b| {
            let mut orders = self
                .keys
                .iter()
                .map(|(target, is_descending)| target.compare(*is_descending, a, b));
            orders
                .find(|order| order.is_ne())
                .unwrap_or_else(|| by_key(a, b))
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
