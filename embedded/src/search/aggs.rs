//! Aggregations: Elasticsearch's requests as tantivy's, and the answers back.
//!
//! tantivy does the counting. What it lacks is put together here: `filters`, `range` and `missing`
//! are several of its filters, `top_hits` and `top_metrics` are one search for each bucket, months
//! and their like are counted by their numbers, and pipelines go over the buckets in the end.

mod answer;
mod filters;
mod histograms;
mod metrics;
mod percentiles;
mod pipelines;
mod terms;
mod top_metrics;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tantivy::aggregation::ValueSourceRegistry;
use tantivy::aggregation::agg_req::{Aggregation, AggregationVariants, Aggregations};
use tantivy::query::Query;

use super::calendar::{Calendar, CalendarColumn};
use super::date_format::DateFormat;
use super::lenient;
use super::pipeline_aggs::{Parent, Pipeline};
use super::query::{QueryError, error, list, scalar_text};
use crate::field_table::{Kind, kind_of};
use crate::schema::column;
pub(crate) use answer::answer;
use filters::{filter, put_buckets};
use histograms::{
    Interval, Shape, calendar_histogram, date_histogram, histogram, interval_of, millis_of,
    offset_of, zone_of,
};
use metrics::{Figure, metric, refuse_missing};
use percentiles::{Percentiles, counted};
use pipelines::{in_order, parent_of};
use terms::{Order, terms};
use top_metrics::TopMetrics;

/// Deepest nesting.
const MAX_DEPTH: usize = 8;
/// Most buckets of an answer, as a server's `search.max_buckets`.
pub(crate) const MAX_BUCKETS: u32 = 65_536;

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
    /// As tantivy answers, or nearly.
    Metric {
        field: String,
        figure: Figure,
    },
    DateHistogram {
        field: String,
        zone: TimeZone,
        /// How keys are written as text, where the request says so.
        format: Option<DateFormat>,
        shape: Shape,
        steps: Steps,
    },
    Histogram {
        field: String,
        interval: f64,
        shape: Shape,
    },
    Terms {
        field: String,
        order: Option<Order>,
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
    TopMetrics(TopMetrics),
    /// Over the buckets that hold it, or beside those that it is about.
    Pipeline(Pipeline),
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
    let plans = level(aggs, now, compile, &mut out, 0, Parent::One)?;
    Ok((out, plans))
}

fn level(
    aggs: &Value,
    now: Timestamp,
    compile: &mut CompileFilter<'_>,
    out: &mut Aggregations,
    depth: usize,
    parent: Parent,
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
        let mut inner = None;
        let mut found = None;
        for (key, value) in request {
            match key.as_str() {
                "aggs" | "aggregations" => inner = Some(value),
                "meta" => {}
                _ if found.is_none() => found = Some((key.as_str(), value)),
                _ => return error(format!("aggregation [{name}] has two types")),
            }
        }
        let Some((kind, body)) = found else {
            return error(format!("aggregation [{name}] has no type"));
        };
        let mut below = Aggregations::default();
        let below_plans = match inner {
            Some(inner) => level(inner, now, compile, &mut below, depth + 1, parent_of(kind))?,
            None => Vec::new(),
        };
        let length = |text: &str| millis_of(name, text);
        let kind = match Pipeline::parse(name, kind, body, &length)? {
            Some(_) if !below_plans.is_empty() => {
                return error(format!("[{name}]: a [{kind}] has no aggregations below it"));
            }
            Some(pipeline) => PlanKind::Pipeline(pipeline),
            None => one(name, kind, body, now, compile, out, below)?,
        };
        plans.push(Plan {
            name: name.clone(),
            kind,
            below: below_plans,
            meta: request.get("meta").cloned().unwrap_or_default(),
        });
    }
    in_order(plans, parent)
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
            let mut given = metric(name, kind, &field, body, now)?;
            let figure = match kind {
                "percentiles" => {
                    // Of the same values: those of its type, with the same `missing`.
                    let stats = json!({"stats": given});
                    put(&counted(name), stats, Aggregations::default())?;
                    Figure::Percentiles(Percentiles::plan(&mut given))
                }
                "value_count" | "cardinality" => Figure::Count,
                "stats" => Figure::Stats,
                "extended_stats" => Figure::ExtendedStats,
                _ => Figure::One,
            };
            put(name, json!({kind: given}), below)?;
            Ok(PlanKind::Metric { field, figure })
        }
        "terms" => {
            let field = field()?;
            let (given, order) = terms(name, &field, body, &below)?;
            put(name, json!({"terms": given}), below)?;
            Ok(PlanKind::Terms { field, order })
        }
        "histogram" => {
            let field = field()?;
            refuse_missing(name, kind, body)?;
            let (given, interval) = histogram(name, &field, body)?;
            put(name, json!({"histogram": given}), below)?;
            let shape = Shape::parse(name, body)?;
            Ok(PlanKind::Histogram {
                field,
                interval,
                shape,
            })
        }
        "date_histogram" => {
            let field = field()?;
            refuse_missing(name, kind, body)?;
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
                format: body["format"].as_str().and_then(DateFormat::parse),
                shape: Shape::parse(name, body)?,
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
            refuse_missing(name, kind, body)?;
            let is_date =
                kind == "date_range" || matches!(kind_of(&field), Kind::Timestamp | Kind::Date);
            let mut buckets = Vec::new();
            for range in list(body.get("ranges")) {
                let bound = |key: &str| range.get(key).filter(|value| !value.is_null());
                let mut bounds = json!({});
                let mut shown = json!({});
                for (key, bound_key) in [("from", "gte"), ("to", "lt")] {
                    if let Some(value) = bound(key) {
                        bounds[bound_key] = value.clone();
                        shown[key] = match value {
                            Value::String(_) if is_date => value.clone(),
                            _ => json!(lenient::number_of(name, range, key)?),
                        };
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
        "top_metrics" => Ok(PlanKind::TopMetrics(TopMetrics::parse(name, body)?)),
        other => error(format!("unknown aggregation type [{other}]")),
    }
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

#[cfg(test)]
mod tests;
