//! Aggregations: Elasticsearch's requests as tantivy's, and the answers back.
//!
//! tantivy does the counting. What it lacks is put together here: `filters`, `range` and `missing`
//! are several of its filters, `top_hits` is one search for each bucket, months and their like are
//! counted by their numbers, an order by a percentile is made of more buckets than are shown.

use std::sync::Arc;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tantivy::aggregation::ValueSourceRegistry;
use tantivy::aggregation::agg_req::{Aggregation, AggregationVariants, Aggregations};
use tantivy::aggregation::bucket::{FilterAggregation, QueryBuilder};
use tantivy::query::Query;
use tantivy::schema::Schema;
use tantivy::tokenizer::TokenizerManager;

use super::calendar::{Calendar, CalendarColumn, CalendarUnit};
use super::dates::{self, Round, parse_bound, parse_zone};
use super::query::{QueryError, error, list, scalar_text};
use crate::field_table::{Kind, kind_of};
use crate::schema::column;

/// Deepest nesting.
const MAX_DEPTH: usize = 8;
/// Most buckets of an answer, as a server's `search.max_buckets`.
pub(crate) const MAX_BUCKETS: u32 = 65_536;
/// Furthest that an `offset` moves buckets: a thousand years.
const MAX_OFFSET_MS: i64 = 1_000 * 366 * 86_400_000;
/// Furthest bucket of a `histogram` from 0: with those in between to fill in, tantivy's arithmetic
/// would go past 64 bits beyond it.
const FURTHEST_BUCKET: f64 = (1_u64 << 57) as f64;
/// Candidates that each segment hands in for `terms`: more make counts exact.
const SEGMENT_TERMS: u64 = 2_000;
/// Terms, those with the most documents, of which a percentile finds the first.
const PERCENTILE_TERMS: u64 = 10_000;
/// Percentiles where a request names none.
const PERCENTS: [f64; 7] = [1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0];

/// A filter within tantivy's aggregations; holds a query that was compiled before.
#[derive(Serialize, Deserialize)]
struct Filter {
    #[serde(skip)]
    query: Option<Box<dyn Query>>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filter").field(&self.query).finish()
    }
}

#[typetag::serde]
impl QueryBuilder for Filter {
    fn build_query(
        &self,
        _schema: &Schema,
        _tokenizers: &TokenizerManager,
    ) -> tantivy::Result<Box<dyn Query>> {
        Ok(match &self.query {
            Some(query) => query.box_clone(),
            None => Box::new(tantivy::query::EmptyQuery),
        })
    }

    fn box_clone(&self) -> Box<dyn QueryBuilder> {
        Box::new(Self {
            query: self.query.as_ref().map(|query| query.box_clone()),
        })
    }
}

/// What became of one aggregation of the request.
#[derive(Debug)]
pub(crate) struct Plan {
    name: String,
    kind: PlanKind,
    below: Vec<Plan>,
    meta: Value,
}

#[derive(Debug)]
enum PlanKind {
    /// As tantivy answers.
    Metric {
        field: String,
    },
    DateHistogram {
        field: String,
        zone: TimeZone,
        is_keyed: bool,
        steps: Steps,
    },
    Histogram {
        field: String,
        interval: f64,
    },
    Terms {
        field: String,
        order: Option<PercentileOrder>,
    },
    /// One filter, under its own name.
    Filter {
        query: Value,
    },
    /// Several filters, each under a name of its own: (key, description for the bucket, query).
    Buckets {
        buckets: Vec<(String, Value, Value)>,
        is_keyed: bool,
    },
    /// Searched for each bucket: the body of the search.
    TopHits {
        body: Value,
    },
}

/// An order of `terms` that tantivy has not: by a percentile of each bucket.
#[derive(Debug)]
struct PercentileOrder {
    /// The aggregation below the terms.
    metric: String,
    percent: f64,
    is_rising: bool,
    /// Buckets that stay.
    size: usize,
}

impl PercentileOrder {
    /// Sorts the buckets of an answer; those behind the last are counted among the others.
    fn apply(&self, found: &mut Value) {
        let Some(buckets) = found.get_mut("buckets").and_then(Value::as_array_mut) else {
            return;
        };
        buckets.sort_by(|a, b| match (self.value(a), self.value(b)) {
            (Some(a), Some(b)) if self.is_rising => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            // Those without a value are last either way.
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        let count = |bucket: &Value| bucket["doc_count"].as_u64().unwrap_or(0);
        let others: u64 = buckets.iter().skip(self.size).map(count).sum();
        buckets.truncate(self.size);
        let others = others + found["sum_other_doc_count"].as_u64().unwrap_or(0);
        found["sum_other_doc_count"] = others.into();
    }

    fn value(&self, bucket: &Value) -> Option<f64> {
        match &bucket[self.metric.as_str()]["values"] {
            Value::Object(values) => {
                let mut values = values.iter();
                let found = values.find(|(name, _)| name.parse::<f64>() == Ok(self.percent));
                found?.1.as_f64()
            }
            Value::Array(values) => {
                let mut values = values.iter();
                let found = values.find(|entry| entry["key"].as_f64() == Some(self.percent));
                found?["value"].as_f64()
            }
            _ => None,
        }
    }
}

/// What the keys of a date histogram are to tantivy.
#[derive(Debug)]
enum Steps {
    /// Milliseconds.
    Fixed { interval_ms: i64 },
    /// Numbers of buckets, which it counts under a name of ours.
    Calendar {
        calendar: Arc<Calendar>,
        source: String,
    },
}

impl Steps {
    /// Where the bucket of a key begins and ends, in milliseconds.
    fn bounds_ms(&self, key: f64) -> Option<(i64, i64)> {
        let key = key as i64;
        match self {
            Self::Fixed { interval_ms } => Some((key, key.saturating_add(*interval_ms))),
            Self::Calendar { calendar, .. } => {
                // A day that the zone passed over is no bucket.
                calendar.bounds_ms(key).filter(|(from, to)| from < to)
            }
        }
    }
}

/// Runs the search of a `top_hits`: a query for the bucket's documents, and the rest of the body.
pub(crate) type SearchTop<'a> = dyn FnMut(Value, &Value) -> Result<Value, QueryError> + 'a;

/// Compiles a filter's query.
pub(crate) type CompileFilter<'a> = dyn FnMut(&Value) -> Result<Box<dyn Query>, QueryError> + 'a;

/// Translates `aggs` of a request.
///
/// # Errors
/// What the store does not know, by name.
pub(crate) fn plan(
    aggs: &Value,
    now: Timestamp,
    compile: &mut CompileFilter<'_>,
) -> Result<(Aggregations, Vec<Plan>), QueryError> {
    let mut out = Aggregations::default();
    let plans = level(aggs, now, compile, &mut out, 0)?;
    Ok((out, plans))
}

fn level(
    aggs: &Value,
    now: Timestamp,
    compile: &mut CompileFilter<'_>,
    out: &mut Aggregations,
    depth: usize,
) -> Result<Vec<Plan>, QueryError> {
    if depth > MAX_DEPTH {
        return error("aggregations are nested too deep");
    }
    let Some(aggs) = aggs.as_object() else {
        return error("`aggs` is an object");
    };
    let mut plans = Vec::new();
    for (name, request) in aggs {
        let Some(request) = request.as_object() else {
            return error(format!("aggregation [{name}] is an object"));
        };
        let mut below = Aggregations::default();
        let mut below_plans = Vec::new();
        let mut found = None;
        for (key, value) in request {
            match key.as_str() {
                "aggs" | "aggregations" => {
                    below_plans = level(value, now, compile, &mut below, depth + 1)?;
                }
                "meta" => {}
                _ if found.is_none() => found = Some((key.as_str(), value)),
                _ => return error(format!("aggregation [{name}] has two types")),
            }
        }
        let Some((kind, body)) = found else {
            return error(format!("aggregation [{name}] has no type"));
        };
        let kind = one(name, kind, body, now, compile, out, below)?;
        plans.push(Plan {
            name: name.clone(),
            kind,
            below: below_plans,
            meta: request.get("meta").cloned().unwrap_or_default(),
        });
    }
    Ok(plans)
}

fn one(
    name: &str,
    kind: &str,
    body: &Value,
    now: Timestamp,
    compile: &mut CompileFilter<'_>,
    out: &mut Aggregations,
    below: Aggregations,
) -> Result<PlanKind, QueryError> {
    let field = || -> Result<String, QueryError> {
        let Some(field) = body["field"].as_str() else {
            return error(format!("aggregation [{name}] needs a `field`"));
        };
        let field = field.strip_suffix(".keyword").unwrap_or(field);
        if kind_of(field) == Kind::Text {
            return error(format!(
                "[{name}] cannot aggregate the text field [{field}]; use a keyword field"
            ));
        }
        Ok(field.to_owned())
    };
    let mut put = |name: &str, variant: Value, below: Aggregations| -> Result<(), QueryError> {
        let agg: AggregationVariants = serde_json::from_value(variant)
            .map_err(|reason| QueryError(format!("aggregation [{name}]: {reason}")))?;
        let agg = Aggregation {
            agg,
            sub_aggregation: below,
        };
        out.insert(name.to_owned(), agg);
        Ok(())
    };
    match kind {
        "min" | "max" | "avg" | "sum" | "stats" | "extended_stats" | "value_count"
        | "cardinality" | "percentiles" => {
            let field = field()?;
            let mut given = json!({"field": column(&field)});
            for key in ["percents", "keyed", "sigma"] {
                if let Some(value) = body.get(key) {
                    given[key] = as_numbers(value);
                }
            }
            let missing = body.get("missing").and_then(|missing| match kind {
                "cardinality" => missing.as_f64(),
                _ => as_numbers(missing).as_f64(),
            });
            if let Some(missing) = missing {
                given["missing"] = missing.into();
            }
            put(name, json!({kind: given}), below)?;
            Ok(PlanKind::Metric { field })
        }
        "terms" => {
            let field = field()?;
            let size = body["size"].as_u64().unwrap_or(10).clamp(1, 65_000);
            let mut given = json!({
                "field": column(&field), "size": size,
                "segment_size": (size * 10).clamp(SEGMENT_TERMS, 65_000),
            });
            for key in ["min_doc_count", "include", "exclude", "missing"] {
                if let Some(value) = body.get(key) {
                    given[key] = value.clone();
                }
            }
            let mut by_percentile = None;
            let order = list(body.get("order"));
            if let Some(order) = order.first().and_then(|order| order.as_object()) {
                let order = order
                    .iter()
                    .map(|(key, to)| (order_target(key), to.clone()));
                let order: Map<String, Value> = order.collect();
                by_percentile = percentile_order(name, &order, &below, size)?;
                if by_percentile.is_some() {
                    given["size"] = PERCENTILE_TERMS.into();
                    given["segment_size"] = PERCENTILE_TERMS.into();
                } else {
                    given["order"] = Value::Object(order);
                }
            }
            put(name, json!({"terms": given}), below)?;
            Ok(PlanKind::Terms {
                field,
                order: by_percentile,
            })
        }
        "histogram" => {
            let field = field()?;
            let interval = body["interval"].as_f64().filter(|interval| *interval > 0.0);
            let Some(interval) = interval else {
                return error(format!("[{name}] needs an `interval` above 0"));
            };
            let mut given = json!({"field": column(&field), "interval": interval});
            for key in ["offset", "min_doc_count", "extended_bounds", "hard_bounds"] {
                if let Some(value) = body.get(key).filter(|value| !value.is_null()) {
                    given[key] = value.clone();
                }
            }
            drop_bounds_without_room(&mut given);
            keep_countable(&mut given, interval);
            put(name, json!({"histogram": given}), below)?;
            Ok(PlanKind::Histogram { field, interval })
        }
        "date_histogram" => {
            let field = field()?;
            let zone = zone_of(name, body)?;
            let steps = match interval_of(name, body, &zone)? {
                Interval::Fixed { millis, phase } => {
                    let given = date_histogram(name, &field, body, &zone, (millis, phase), now)?;
                    put(name, json!({"date_histogram": given}), below)?;
                    Steps::Fixed {
                        interval_ms: millis,
                    }
                }
                Interval::Calendar(unit) => {
                    let offset = offset_of(name, body)?;
                    // The same numbers under the same name, whichever aggregation asks for them.
                    let source = format!("\u{1}{field} {unit:?} {} {offset}", body["time_zone"]);
                    let calendar = Calendar::new(unit, zone.clone(), offset);
                    let given = calendar_histogram(name, &source, body, &calendar, now)?;
                    put(name, json!({"histogram": given}), below)?;
                    Steps::Calendar {
                        calendar: Arc::new(calendar),
                        source,
                    }
                }
            };
            Ok(PlanKind::DateHistogram {
                field,
                zone,
                is_keyed: body["keyed"] == true,
                steps,
            })
        }
        "filter" => {
            let query = compile(body)?;
            out.insert(name.to_owned(), filter(query, below));
            Ok(PlanKind::Filter {
                query: body.clone(),
            })
        }
        "missing" => {
            let field = field()?;
            let body = json!({"bool": {"must_not": [{"exists": {"field": field}}]}});
            let query = compile(&body)?;
            out.insert(name.to_owned(), filter(query, below));
            Ok(PlanKind::Filter { query: body })
        }
        "filters" => {
            let mut buckets: Vec<(String, Value, Value)> = match &body["filters"] {
                Value::Object(filters) => filters
                    .iter()
                    .map(|(key, query)| (key.clone(), json!({}), query.clone()))
                    .collect(),
                Value::Array(filters) => filters
                    .iter()
                    .map(|query| (String::new(), json!({}), query.clone()))
                    .collect(),
                _ => return error(format!("[{name}] needs `filters`")),
            };
            let other = body["other_bucket_key"].as_str();
            if other.is_some() || body["other_bucket"] == true {
                let all: Vec<Value> = buckets.iter().map(|(_, _, query)| query.clone()).collect();
                let query = json!({"bool": {"must_not": all}});
                buckets.push((other.unwrap_or("_other_").to_owned(), json!({}), query));
            }
            let is_keyed = body["filters"].is_object();
            put_buckets(name, &buckets, compile, out, &below)?;
            Ok(PlanKind::Buckets { buckets, is_keyed })
        }
        "range" | "date_range" => {
            let field = field()?;
            let mut buckets = Vec::new();
            for range in list(body.get("ranges")) {
                let bound = |key: &str| range.get(key).filter(|value| !value.is_null());
                let mut bounds = json!({});
                let mut shown = json!({});
                for (key, bound_key) in [("from", "gte"), ("to", "lt")] {
                    if let Some(value) = bound(key) {
                        bounds[bound_key] = value.clone();
                        shown[key] = value.as_f64().map_or_else(|| value.clone(), |v| json!(v));
                    }
                }
                let text = |key: &str| match &shown[key] {
                    Value::Null => "*".to_owned(),
                    Value::Number(number) => format!("{:?}", number.as_f64().unwrap_or(0.0)),
                    other => scalar_text(other).unwrap_or_default(),
                };
                let key = match range["key"].as_str() {
                    Some(key) => key.to_owned(),
                    None => format!("{}-{}", text("from"), text("to")),
                };
                let mut must = vec![json!({"range": {field.as_str(): bounds}})];
                must.push(json!({"exists": {"field": field}}));
                buckets.push((key, shown, json!({"bool": {"filter": must}})));
            }
            put_buckets(name, &buckets, compile, out, &below)?;
            Ok(PlanKind::Buckets {
                buckets,
                is_keyed: body["keyed"] == true,
            })
        }
        "top_hits" => Ok(PlanKind::TopHits { body: body.clone() }),
        other => error(format!("unknown aggregation type [{other}]")),
    }
}

/// Numbers that are written as text, as Grafana writes them, as numbers.
fn as_numbers(value: &Value) -> Value {
    match value {
        Value::String(text) => text
            .trim()
            .parse::<f64>()
            .map_or_else(|_| value.clone(), |number| json!(number)),
        Value::Array(values) => values.iter().map(as_numbers).collect(),
        _ => value.clone(),
    }
}

/// What `terms` are ordered by, as tantivy writes it: `1[95.0]` is `1.95.0`.
fn order_target(key: &str) -> String {
    let of_metric = key.strip_suffix(']').and_then(|rest| rest.split_once('['));
    match of_metric {
        Some((metric, property)) => format!("{metric}.{property}"),
        None if key == "_term" => "_key".to_owned(),
        None => key.to_owned(),
    }
}

/// The order of `terms` when it is one by a percentile; `below` is what is counted in each bucket.
fn percentile_order(
    name: &str,
    order: &Map<String, Value>,
    below: &Aggregations,
    size: u64,
) -> Result<Option<PercentileOrder>, QueryError> {
    let mut targets = order.iter();
    let (Some((target, direction)), None) = (targets.next(), targets.next()) else {
        return Ok(None);
    };
    let (metric, percent) = target.split_once('.').unwrap_or((target.as_str(), ""));
    let asked = match below.get(metric).map(|metric| &metric.agg) {
        Some(AggregationVariants::Percentiles(asked)) => asked,
        _ => return Ok(None),
    };
    let known = asked.percents.as_deref().unwrap_or(&PERCENTS);
    let percent = percent.parse::<f64>().ok();
    match percent.filter(|percent| known.contains(percent)) {
        Some(percent) => Ok(Some(PercentileOrder {
            metric: metric.to_owned(),
            percent,
            is_rising: direction
                .as_str()
                .is_some_and(|direction| direction.eq_ignore_ascii_case("asc")),
            size: usize::try_from(size).unwrap_or(usize::MAX),
        })),
        None => error(format!(
            "[{name}] cannot be ordered by [{target}]: give one of the percentiles of [{metric}]"
        )),
    }
}

fn filter(query: Box<dyn Query>, below: Aggregations) -> Aggregation {
    let filter = Filter { query: Some(query) };
    Aggregation {
        agg: AggregationVariants::Filter(FilterAggregation::new_with_builder(Box::new(filter))),
        sub_aggregation: below,
    }
}

/// The name under which tantivy counts one bucket of several.
fn part(name: &str, n: usize) -> String {
    format!("{name}\u{1}{n}")
}

fn put_buckets(
    name: &str,
    buckets: &[(String, Value, Value)],
    compile: &mut CompileFilter<'_>,
    out: &mut Aggregations,
    below: &Aggregations,
) -> Result<(), QueryError> {
    for (n, (_, _, query)) in buckets.iter().enumerate() {
        let query = compile(query)?;
        out.insert(part(name, n), filter(query, below.clone()));
    }
    Ok(())
}

fn zone_of(name: &str, body: &Value) -> Result<TimeZone, QueryError> {
    match body["time_zone"].as_str() {
        None => Ok(TimeZone::UTC),
        Some(text) => match parse_zone(text) {
            Some(zone) => Ok(zone),
            None => error(format!("[{name}] does not know the time zone [{text}]")),
        },
    }
}

/// How long the buckets of a date histogram are.
enum Interval {
    /// All as long, and where one begins: milliseconds after the epoch.
    Fixed { millis: i64, phase: i64 },
    /// As long as the calendar has it.
    Calendar(CalendarUnit),
}

fn interval_of(name: &str, body: &Value, zone: &TimeZone) -> Result<Interval, QueryError> {
    let given = |key: &str| body.get(key).filter(|value| !value.is_null());
    let (calendar, fixed) = (given("calendar_interval"), given("fixed_interval"));
    let (text, is_calendar, is_fixed) = match (calendar, fixed, given("interval")) {
        (Some(text), None, None) => (text, true, false),
        (None, Some(text), None) => (text, false, true),
        // An older word for both, with the calendar first.
        (None, None, Some(text)) => (text, false, false),
        (None, None, None) => {
            return error(format!(
                "[{name}] needs a `fixed_interval` or a `calendar_interval`"
            ));
        }
        _ => return error(format!("[{name}] takes one interval, not several")),
    };
    let Some(text) = scalar_text(text) else {
        return error(format!("[{name}] cannot use the interval [{text}]"));
    };
    if !is_fixed && let Some(interval) = calendar_interval(&text, body, zone) {
        return Ok(interval);
    }
    if is_calendar {
        return error(format!(
            "[{name}] cannot use the interval [{text}]: a `calendar_interval` is one minute, hour, \
             day, week, month, quarter or year"
        ));
    }
    match millis_of(name, &text)? {
        0 => error(format!("[{name}] cannot use the interval [{text}]")),
        millis => Ok(Interval::Fixed { millis, phase: 0 }),
    }
}

fn calendar_interval(text: &str, body: &Value, zone: &TimeZone) -> Option<Interval> {
    let fixed = |millis: i64, phase: i64| Some(Interval::Fixed { millis, phase });
    let unit = match text {
        "second" | "1s" => return fixed(1_000, 0),
        "minute" | "1m" => return fixed(60_000, 0),
        "hour" | "1h" => CalendarUnit::Hour,
        "day" | "1d" => CalendarUnit::Day,
        "week" | "1w" => CalendarUnit::Week,
        "month" | "1M" => CalendarUnit::Month,
        "quarter" | "1q" => CalendarUnit::Quarter,
        "year" | "1y" => CalendarUnit::Year,
        _ => return None,
    };
    // Where the clock never changes all days and hours are as long, and counting in steps is
    // quicker. The bounds that a calendar rounds are left to it.
    let is_even = zone.to_fixed_offset().is_ok() && !body["hard_bounds"].is_object();
    match unit {
        CalendarUnit::Hour if is_even => fixed(3_600_000, 0),
        CalendarUnit::Day if is_even => fixed(86_400_000, 0),
        // Weeks begin on Monday; the epoch was a Thursday.
        CalendarUnit::Week if is_even => fixed(604_800_000, 4 * 86_400_000),
        unit => Some(Interval::Calendar(unit)),
    }
}

/// Milliseconds of a length of time.
fn millis_of(name: &str, text: &str) -> Result<i64, QueryError> {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(n_digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return error(format!(
                "[{name}] cannot use the interval [{text}]: give ms, s, m, h or d"
            ));
        }
    };
    match count
        .parse::<i64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
    {
        Some(millis) => Ok(millis),
        None => error(format!("[{name}] cannot use the interval [{text}]")),
    }
}

/// `offset`, in milliseconds.
fn offset_of(name: &str, body: &Value) -> Result<i64, QueryError> {
    let offset = match &body["offset"] {
        Value::Null => 0,
        Value::String(text) => {
            let (sign, rest) = match text.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, text.strip_prefix('+').unwrap_or(text)),
            };
            sign * millis_of(name, rest)?
        }
        // Out of every range where it is no whole number.
        given => given.as_i64().unwrap_or(i64::MAX),
    };
    if !(-MAX_OFFSET_MS..=MAX_OFFSET_MS).contains(&offset) {
        return error(format!("[{name}] cannot use the offset {}", body["offset"]));
    }
    Ok(offset)
}

/// `extended_bounds` or `hard_bounds`, in milliseconds. What the upper one leaves out is filled up
/// as `round` says.
fn bounds_of(
    name: &str,
    body: &Value,
    key: &str,
    zone: &TimeZone,
    round: Round,
    now: Timestamp,
) -> Result<Option<(i64, i64)>, QueryError> {
    let Some(bounds) = body.get(key).filter(|value| value.is_object()) else {
        return Ok(None);
    };
    let bound = |key: &str, round: Round| match &bounds[key] {
        Value::Number(number) => number.as_f64().map(|millis| millis as i64),
        other => scalar_text(other)
            .and_then(|text| parse_bound(&text, now, zone, round))
            .map(|nanos| nanos.div_euclid(1_000_000)),
    };
    match (bound("min", Round::Down), bound("max", round)) {
        (Some(min), Some(max)) => Ok(Some((min, max))),
        _ => error(format!("[{name}] cannot read `{key}`")),
    }
}

fn date_histogram(
    name: &str,
    field: &str,
    body: &Value,
    zone: &TimeZone,
    (millis, phase): (i64, i64),
    now: Timestamp,
) -> Result<Value, QueryError> {
    let mut given = json!({"field": column(field), "fixed_interval": format!("{millis}ms")});
    let extended = bounds_of(name, body, "extended_bounds", zone, Round::Up, now)?;
    let hard = bounds_of(name, body, "hard_bounds", zone, Round::Up, now)?;
    // The zone's offset at the end of what is shown; a bucket over a change of the clock keeps it.
    let at = match extended.or(hard) {
        Some((_, max)) => Timestamp::from_millisecond(max).unwrap_or(now),
        None => now,
    };
    let shift = phase - offset_millis(&at.to_zoned(zone.clone())) + offset_of(name, body)?;
    let shift = shift.rem_euclid(millis);
    if shift != 0 {
        given["offset"] = format!("{shift}ms").into();
    }
    if let Some(count) = body.get("min_doc_count") {
        given["min_doc_count"] = count.clone();
    }
    for (key, found) in [("extended_bounds", extended), ("hard_bounds", hard)] {
        if let Some((min, max)) = found {
            given[key] = json!({"min": min as f64, "max": max as f64});
        }
    }
    drop_bounds_without_room(&mut given);
    if let Some((min, max)) = extended
        && given["extended_bounds"].is_object()
        && max.saturating_sub(min) / millis >= i64::from(MAX_BUCKETS)
    {
        return too_many_buckets(name);
    }
    Ok(given)
}

/// The histogram of a calendar: over numbers of buckets, one apart.
fn calendar_histogram(
    name: &str,
    source: &str,
    body: &Value,
    calendar: &Calendar,
    now: Timestamp,
) -> Result<Value, QueryError> {
    let mut given = json!({"field": source, "interval": 1.0});
    if let Some(count) = body.get("min_doc_count").filter(|value| !value.is_null()) {
        given["min_doc_count"] = count.clone();
    }
    // Bounds are rounded as if there were no offset.
    let units = |key: &str| -> Result<Option<(i64, i64)>, QueryError> {
        let zone = calendar.zone();
        let Some((min, max)) = bounds_of(name, body, key, zone, Round::Down, now)? else {
            return Ok(None);
        };
        let unit = |millis: i64| {
            let at = Timestamp::from_millisecond(millis).ok()?;
            Some(calendar.unit_at(at))
        };
        match (unit(min), unit(max)) {
            (Some(first), Some(last)) if min <= max => Ok(Some((first, last))),
            _ => error(format!("[{name}] cannot use `{key}`")),
        }
    };
    let (extended, hard) = (units("extended_bounds")?, units("hard_bounds")?);
    if let (Some((first, last)), Some((hard_first, hard_last))) = (extended, hard)
        && (first < hard_first || last > hard_last)
    {
        return error(format!(
            "[{name}]: `extended_bounds` have to be inside `hard_bounds`"
        ));
    }
    let mut ends = (i64::MIN, i64::MAX);
    if let Some((first, last)) = hard {
        let from = |unit: i64| calendar.unit_start(unit).map(|at| calendar.first_from(at));
        let (Some(first), Some(end)) = (from(first), from(last)) else {
            return error(format!("[{name}] cannot use `hard_bounds`"));
        };
        // The bucket of the upper bound is left out, as Elasticsearch does.
        ends = (first, end - 1);
        given["hard_bounds"] = json!({"min": ends.0, "max": ends.1});
    }
    if let Some((first, last)) = extended {
        if last - first >= i64::from(MAX_BUCKETS) {
            return too_many_buckets(name);
        }
        // tantivy has extended bounds inside hard ones only.
        given["extended_bounds"] = json!({"min": first.max(ends.0), "max": last.min(ends.1)});
    }
    drop_bounds_without_room(&mut given);
    Ok(given)
}

/// What tantivy counts for these plans beside the columns of its segments.
pub(crate) fn sources(plans: &[Plan]) -> ValueSourceRegistry {
    let mut registry = ValueSourceRegistry::default();
    register(plans, &mut registry);
    registry
}

fn register(plans: &[Plan], registry: &mut ValueSourceRegistry) {
    for plan in plans {
        if let PlanKind::DateHistogram {
            field,
            steps: Steps::Calendar { calendar, source },
            ..
        } = &plan.kind
        {
            let numbers = CalendarColumn {
                column: column(field),
                calendar: Arc::clone(calendar),
            };
            registry.register(source, Arc::new(numbers));
        }
        register(&plan.below, registry);
    }
}

fn too_many_buckets<T>(name: &str) -> Result<T, QueryError> {
    error(format!(
        "[{name}]: trying to create too many buckets, the limit is [{MAX_BUCKETS}]"
    ))
}

/// Leaves values out that are further off than buckets are filled in up to.
fn keep_countable(given: &mut Value, interval: f64) {
    if given["min_doc_count"].as_u64().unwrap_or(0) > 0 {
        return;
    }
    let reach = (interval * FURTHEST_BUCKET).min(f64::MAX);
    let hard = &given["hard_bounds"];
    let min = hard["min"].as_f64().map_or(-reach, |min| min.max(-reach));
    let max = hard["max"].as_f64().map_or(reach, |max| max.min(reach));
    given["hard_bounds"] = json!({"min": min, "max": max});
}

/// Empty buckets that would not be shown need no bounds; tantivy refuses the two together.
fn drop_bounds_without_room(given: &mut Value) {
    let shows_empty = given["min_doc_count"].as_u64().unwrap_or(0) == 0;
    if !shows_empty && let Some(given) = given.as_object_mut() {
        given.remove("extended_bounds");
    }
}

fn offset_millis(zoned: &Zoned) -> i64 {
    let offset: Offset = zoned.offset();
    i64::from(offset.seconds()) * 1_000
}

/// Makes the answer of tantivy's. `query` is the search's own, for `top_hits`.
///
/// # Errors
/// Those of a `top_hits`.
pub(crate) fn answer(
    plans: &[Plan],
    mut results: Value,
    query: &Value,
    top: &mut SearchTop<'_>,
) -> Result<Value, QueryError> {
    let mut path = vec![query.clone()];
    level_answer(plans, &mut results, &mut path, top).map(Value::Object)
}

fn level_answer(
    plans: &[Plan],
    results: &mut Value,
    path: &mut Vec<Value>,
    top: &mut SearchTop<'_>,
) -> Result<Map<String, Value>, QueryError> {
    let mut out = Map::new();
    for plan in plans {
        let mut found = results
            .get_mut(&plan.name)
            .map(Value::take)
            .unwrap_or_default();
        let mut shown = match &plan.kind {
            PlanKind::Metric { field } => metric(field, found),
            PlanKind::TopHits { body } => {
                let filters: Vec<&Value> = path.iter().filter(|query| !query.is_null()).collect();
                top(json!({"bool": {"filter": filters}}), body)?
            }
            PlanKind::Filter { query } => {
                path.push(query.clone());
                let mut shown = bucket(plan, &mut found, path, top)?;
                path.pop();
                shown.insert("doc_count".to_owned(), count(&found));
                Value::Object(shown)
            }
            PlanKind::Buckets { buckets, is_keyed } => {
                let mut list = Vec::new();
                for (n, (key, described, query)) in buckets.iter().enumerate() {
                    let mut found = results
                        .get_mut(part(&plan.name, n))
                        .map(Value::take)
                        .unwrap_or_default();
                    path.push(query.clone());
                    let mut shown = bucket(plan, &mut found, path, top)?;
                    path.pop();
                    shown.insert("doc_count".to_owned(), count(&found));
                    shown.extend(described.as_object().cloned().unwrap_or_default());
                    list.push((key.clone(), shown));
                }
                buckets_value(list, *is_keyed)
            }
            PlanKind::Terms { field, order } => {
                if let Some(order) = order {
                    order.apply(&mut found);
                }
                for entry in entries(&mut found) {
                    let key = entry["key"].clone();
                    path.push(json!({"term": {field.as_str(): {"value": key}}}));
                    let below = bucket(plan, entry, path, top)?;
                    path.pop();
                    show_bucket(entry, below);
                    if let Some(key) = whole(&entry["key"]) {
                        entry["key"] = key;
                    }
                }
                found
            }
            PlanKind::Histogram { field, interval } => {
                for entry in entries(&mut found) {
                    let from = entry["key"].as_f64().unwrap_or(0.0);
                    path.push(
                        json!({"range": {field.as_str(): {"gte": from, "lt": from + interval}}}),
                    );
                    let below = bucket(plan, entry, path, top)?;
                    path.pop();
                    show_bucket(entry, below);
                }
                found
            }
            PlanKind::DateHistogram {
                field,
                zone,
                is_keyed,
                steps,
            } => {
                let mut list = Vec::new();
                for entry in entries(&mut found) {
                    let key = entry["key"].as_f64().unwrap_or(0.0);
                    let Some((millis, end)) = steps.bounds_ms(key) else {
                        continue;
                    };
                    path.push(json!({"range": {field.as_str(): {"gte": millis, "lt": end}}}));
                    let below = bucket(plan, entry, path, top)?;
                    path.pop();
                    show_bucket(entry, below);
                    entry["key"] = millis.into();
                    entry["key_as_string"] = dates::format_millis(millis, zone).into();
                    let name = entry["key_as_string"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned();
                    list.push((name, entry.as_object().cloned().unwrap_or_default()));
                }
                match is_keyed {
                    true => buckets_value(list, true),
                    false => {
                        json!({"buckets": list.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>()})
                    }
                }
            }
        };
        if !plan.meta.is_null() {
            shown["meta"] = plan.meta.clone();
        }
        out.insert(plan.name.clone(), shown);
    }
    Ok(out)
}

fn bucket(
    plan: &Plan,
    found: &mut Value,
    path: &mut Vec<Value>,
    top: &mut SearchTop<'_>,
) -> Result<Map<String, Value>, QueryError> {
    level_answer(&plan.below, found, path, top)
}

/// The buckets of an answer, in order.
fn entries(found: &mut Value) -> Vec<&mut Value> {
    match found.get_mut("buckets") {
        Some(Value::Array(entries)) => entries.iter_mut().collect(),
        Some(Value::Object(entries)) => entries.values_mut().collect(),
        _ => Vec::new(),
    }
}

/// Puts what is below a bucket in the place of tantivy's own.
fn show_bucket(entry: &mut Value, below: Map<String, Value>) {
    if let Some(entry) = entry.as_object_mut() {
        entry.retain(|key, _| matches!(key.as_str(), "key" | "key_as_string" | "doc_count"));
        entry.extend(below);
    }
}

fn buckets_value(list: Vec<(String, Map<String, Value>)>, is_keyed: bool) -> Value {
    if is_keyed {
        let keyed: Map<String, Value> = list
            .into_iter()
            .map(|(key, entry)| (key, Value::Object(entry)))
            .collect();
        return json!({"buckets": keyed});
    }
    let list = list.into_iter().map(|(key, mut entry)| {
        if !key.is_empty() {
            entry.insert("key".to_owned(), key.into());
        }
        Value::Object(entry)
    });
    json!({"buckets": list.collect::<Vec<_>>()})
}

fn count(found: &Value) -> Value {
    found["doc_count"].as_u64().unwrap_or(0).into()
}

/// A number without a fraction, as a whole number.
fn whole(value: &Value) -> Option<Value> {
    let float = value
        .as_f64()
        .filter(|float| float.fract() == 0.0 && float.abs() < 9.0e15)?;
    Some((float as i64).into())
}

/// Metrics of times are in milliseconds.
fn metric(field: &str, mut found: Value) -> Value {
    if !matches!(kind_of(field), Kind::Timestamp | Kind::Date) {
        return found;
    }
    if let Some(found) = found.as_object_mut() {
        for key in ["value", "min", "max", "avg"] {
            let Some(nanos) = found.get(key).and_then(Value::as_f64) else {
                continue;
            };
            let millis = (nanos / 1_000_000.0).floor();
            found.insert(key.to_owned(), millis.into());
            let text = dates::format_millis(millis as i64, &TimeZone::UTC);
            found.insert(format!("{key}_as_string"), text.into());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(body: Value) -> Result<Vec<Plan>, QueryError> {
        let aggs = json!({"a": {"date_histogram": body}});
        let mut no_filter = |_: &Value| -> Result<Box<dyn Query>, QueryError> {
            Ok(Box::new(tantivy::query::AllQuery))
        };
        plan(&aggs, Timestamp::UNIX_EPOCH, &mut no_filter).map(|(_, plans)| plans)
    }

    #[test]
    fn intervals_are_those_of_elasticsearch() {
        for (key, given) in [
            ("calendar_interval", "minute"),
            ("calendar_interval", "1h"),
            ("calendar_interval", "1d"),
            ("calendar_interval", "1M"),
            ("calendar_interval", "quarter"),
            ("fixed_interval", "90m"),
            ("fixed_interval", "7d"),
            ("interval", "month"),
            ("interval", "30s"),
        ] {
            let mut body = json!({"field": "@timestamp"});
            body[key] = given.into();
            assert!(planned(body).is_ok(), "{key}: {given}");
        }
        for (key, given) in [
            ("calendar_interval", "2d"),
            ("calendar_interval", "1m2"),
            ("calendar_interval", "months"),
            ("calendar_interval", "1D"),
            ("calendar_interval", ""),
            ("fixed_interval", "1M"),
            ("fixed_interval", "month"),
            ("fixed_interval", "0s"),
            ("fixed_interval", "9223372036854775807d"),
            ("interval", "1µ"),
        ] {
            let mut body = json!({"field": "@timestamp"});
            body[key] = given.into();
            assert!(planned(body).is_err(), "{key}: {given}");
        }
        for body in [
            json!({"field": "@timestamp"}),
            json!({"field": "@timestamp", "calendar_interval": "1d", "fixed_interval": "1d"}),
            json!({"field": "@timestamp", "calendar_interval": "1M", "offset": "soon"}),
            json!({"field": "@timestamp", "calendar_interval": "1M", "offset": i64::MIN}),
            json!({"field": "@timestamp", "calendar_interval": "1M", "time_zone": "Mars/Olympus"}),
            json!({
                "field": "@timestamp", "calendar_interval": "1d", "time_zone": "Europe/Berlin",
                "extended_bounds": {"min": "0001-01-01", "max": "2026-11-25"},
            }),
            json!({
                "field": "@timestamp", "calendar_interval": "1M",
                "extended_bounds": {"min": "2026-01-01", "max": "2026-11-25"},
                "hard_bounds": {"min": "2026-02-01", "max": "2026-11-25"},
            }),
        ] {
            assert!(planned(body.clone()).is_err(), "{body}");
        }
    }
}
