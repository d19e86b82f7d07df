//! Tables of figures: by up to two fields, over time when wanted. What dashboards are made of.

use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::access::Asker;
use crate::api::Api;
use crate::body::{Body, json as answer};
use crate::histogram::{Buckets, buckets, key_ms};
use crate::params::Params;
use crate::problem::Problem;
use crate::query::{field_for_values, is_text};
use crate::scope::{RECENT, Scope};
use crate::search::{Order, hit, hits, total_count};

/// About how many points `interval=auto` gives.
const POINTS: usize = 60;

/// A figure of a row.
#[derive(Debug, Clone, PartialEq)]
struct Metric {
    text: String,
    /// `None`: the count of documents.
    figure: Option<(Figure, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Figure {
    Avg,
    Sum,
    Min,
    Max,
    Unique,
    Percentile(f64),
}

impl Metric {
    fn parse(text: &str) -> Option<Self> {
        let (name, field) = text.split_once(':').unwrap_or((text, ""));
        let figure = match (name, field) {
            ("count", "") => None,
            (_, "") => return None,
            ("avg", _) => Some(Figure::Avg),
            ("sum", _) => Some(Figure::Sum),
            ("min", _) => Some(Figure::Min),
            ("max", _) => Some(Figure::Max),
            ("unique", _) => Some(Figure::Unique),
            _ => {
                let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
                (0.0..=100.0)
                    .contains(&percent)
                    .then_some(Some(Figure::Percentile(percent)))?
            }
        };
        Some(Self {
            text: text.to_owned(),
            figure: figure.map(|figure| (figure, field_for_values(field))),
        })
    }

    fn aggregation(&self) -> Option<Value> {
        let (figure, field) = self.figure.as_ref()?;
        let name = match figure {
            Figure::Avg => "avg",
            Figure::Sum => "sum",
            Figure::Min => "min",
            Figure::Max => "max",
            Figure::Unique => "cardinality",
            Figure::Percentile(percent) => {
                return Some(json!({"percentiles": {"field": field, "percents": [percent]}}));
            }
        };
        Some(json!({name: {"field": field}}))
    }

    /// The figure of a bucket; `name` is the aggregation's.
    fn value(&self, bucket: &Value, name: &str) -> Value {
        let Some((figure, _)) = &self.figure else {
            return bucket["doc_count"].clone();
        };
        let found = &bucket[name];
        let value = match figure {
            Figure::Percentile(_) => match &found["values"] {
                Value::Object(values) => values.values().next().cloned(),
                Value::Array(values) => values.first().map(|value| value["value"].clone()),
                _ => None,
            },
            _ => Some(found["value"].clone()),
        };
        // Minimum and maximum of nothing are infinite in some stores, and no JSON.
        value.filter(Value::is_number).unwrap_or(Value::Null)
    }
}

struct Plan {
    fields: Vec<String>,
    metrics: Vec<Metric>,
    order: Option<usize>,
    size: usize,
    samples: usize,
    over: Option<Buckets>,
}

impl Plan {
    /// Figures of one row or point.
    fn figures(&self) -> Map<String, Value> {
        let mut aggs = Map::new();
        for (idx, metric) in self.metrics.iter().enumerate() {
            if let Some(aggregation) = metric.aggregation() {
                aggs.insert(format!("m{idx}"), aggregation);
            }
        }
        aggs
    }

    fn row(&self, api: &Api) -> Map<String, Value> {
        let mut aggs = self.figures();
        if let Some(over) = &self.over {
            let inner = self.figures();
            let inner = (!inner.is_empty()).then_some(Value::Object(inner));
            aggs.insert("over".into(), over.aggregation(inner));
        }
        if self.samples > 0 {
            aggs.insert("first".into(), json!({"min": {"field": "@timestamp"}}));
            aggs.insert("last".into(), json!({"max": {"field": "@timestamp"}}));
            let newest = json!({"size": self.samples, "sort": Order::NEWEST.sort(api)});
            aggs.insert("sample".into(), json!({"top_hits": newest}));
        }
        aggs
    }

    /// All aggregations: terms in terms, figures innermost, and those that rows are ordered by.
    fn aggregations(&self, api: &Api) -> Map<String, Value> {
        let mut inner = self.row(api);
        for field in self.fields.iter().rev() {
            let mut terms = json!({"field": field, "size": self.size});
            if let Some(idx) = self.order {
                let metric = self.metrics.get(idx);
                let name = match metric.and_then(|metric| metric.figure.as_ref()) {
                    Some((Figure::Percentile(percent), _)) => format!("m{idx}.{percent}"),
                    _ => format!("m{idx}"),
                };
                terms["order"] = json!({name: "desc"});
                if let Some(aggregation) = metric.and_then(Metric::aggregation) {
                    inner.insert(format!("m{idx}"), aggregation);
                }
            }
            let mut outer = Map::new();
            outer.insert("by".into(), json!({"terms": terms, "aggs": inner}));
            inner = outer;
        }
        inner
    }

    fn read_row(&self, key: Vec<Value>, bucket: &Value) -> Value {
        let values = |bucket: &Value| -> Vec<Value> {
            let metrics = self.metrics.iter().enumerate();
            metrics
                .map(|(idx, metric)| metric.value(bucket, &format!("m{idx}")))
                .collect()
        };
        let mut row = json!({"key": key, "count": bucket["doc_count"], "values": values(bucket)});
        if let Some(over) = &self.over {
            let found: std::collections::HashMap<i64, &Value> = buckets(&bucket["over"])
                .iter()
                .filter_map(|point| Some((key_ms(point)?, point)))
                .collect();
            let points: Vec<Value> = over
                .starts()
                .map(|start| match found.get(&start) {
                    Some(point) => {
                        json!({"start": start, "count": point["doc_count"], "values": values(point)})
                    }
                    None => {
                        let empty = self.metrics.iter().map(|metric| match metric.figure {
                            None => json!(0),
                            Some(_) => Value::Null,
                        });
                        json!({"start": start, "count": 0, "values": empty.collect::<Vec<_>>()})
                    }
                })
                .collect();
            row["buckets"] = points.into();
        }
        if self.samples > 0 {
            row["first"] = time_text(&bucket["first"]);
            row["last"] = time_text(&bucket["last"]);
            row["sample"] = hits(&bucket["sample"]).iter().map(hit).collect();
        }
        row
    }

    fn rows(&self, level: usize, key: &[Value], bucket: &Value, rows: &mut Vec<Value>) {
        if level == self.fields.len() {
            rows.push(self.read_row(key.to_vec(), bucket));
            return;
        }
        for inner in buckets(&bucket["by"]) {
            let mut key = key.to_vec();
            key.push(match &inner["key_as_string"] {
                Value::String(text) => text.as_str().into(),
                _ => inner["key"].clone(),
            });
            self.rows(level + 1, &key, inner, rows);
        }
    }
}

/// The time of a `min` or `max` over `@timestamp`.
pub(crate) fn time_text(aggregation: &Value) -> Value {
    let ms = aggregation["value"].as_f64();
    ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms as i64).ok())
        .map_or(Value::Null, |time| time.to_string().into())
}

impl Api {
    pub(crate) async fn aggregate(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let known = [
            "q", "from", "to", "tz", "by", "metrics", "order", "size", "interval", "sample",
        ];
        let params = Params::new(params, &known)?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let plan = plan(&params, &scope)?;
        let mut aggs = plan.aggregations(self);
        // Without fields the one row stands at the top, where `top_hits` and the rest work too.
        if plan.fields.is_empty() && aggs.is_empty() {
            aggs = Map::new();
        }
        let mut body = json!({"size": 0, "query": scope.filter(), "track_total_hits": true});
        if !aggs.is_empty() {
            body["aggs"] = aggs.into();
        }
        let found = self.ask(&body).await?;
        let total = total_count(&found);
        let mut root = found["aggregations"].clone();
        if !root.is_object() {
            root = json!({});
        }
        root["doc_count"] = total.into();
        let mut rows = Vec::new();
        plan.rows(0, &[], &root, &mut rows);
        let (from, to) = scope.ends();
        let mut table = json!({
            "from": from, "to": to, "total": total,
            "by": plan.fields,
            "metrics": plan.metrics.iter().map(|metric| metric.text.as_str()).collect::<Vec<_>>(),
            "other": root["by"]["sum_other_doc_count"].as_u64().unwrap_or(0),
            "rows": rows,
        });
        if let Some(over) = &plan.over {
            table["interval_ms"] = over.width_ms.into();
        }
        Ok(answer(StatusCode::OK, &table))
    }
}

fn plan(params: &Params, scope: &Scope) -> Result<Plan, Problem> {
    let fields: Vec<String> = params
        .list("by", 2, 512)?
        .unwrap_or_default()
        .into_iter()
        .map(field_for_values)
        .collect();
    if let Some(text) = fields.iter().find(|field| is_text(field)) {
        return Err(Problem::parameter(
            "by",
            format!(
                "`{text}` is text, which has no values to group by; `/api/v1/patterns` groups messages"
            ),
        ));
    }
    let names = params
        .list("metrics", 8, 1024)?
        .filter(|list| !list.is_empty());
    let metrics = names
        .unwrap_or_else(|| vec!["count"])
        .into_iter()
        .map(|text| {
            Metric::parse(text).ok_or_else(|| {
                Problem::parameter(
                    "metrics",
                    format!(
                        "cannot read `{}`: write `count`, or `avg`, `sum`, `min`, `max`, `unique`, `p95` with `:field`",
                        text.chars().take(60).collect::<String>()
                    ),
                )
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let order = params.text("order", 256)?.unwrap_or("count");
    let order = match metrics.iter().position(|metric| metric.text == order) {
        Some(idx)
            if metrics
                .get(idx)
                .is_some_and(|metric| metric.figure.is_some()) =>
        {
            Some(idx)
        }
        Some(_) => None,
        None if order == "count" => None,
        None => {
            return Err(Problem::parameter(
                "order",
                "`order` must be `count` or one of `metrics`",
            ));
        }
    };
    let over = match params.get("interval") {
        None | Some("") => None,
        Some(_) => Some(Buckets::read(params, &scope.range, &scope.zone, POINTS)?),
    };
    let size = params.number("size", 1..=1000, 10)?;
    let rows = fields.iter().map(|_| size).product::<usize>();
    let points = over.as_ref().map_or(1, |over| over.starts().count());
    if rows.saturating_mul(points) > MAX_CELLS {
        return Err(Problem::parameter(
            "size",
            format!("this makes more than {MAX_CELLS} rows and points: ask for fewer"),
        ));
    }
    Ok(Plan {
        fields,
        metrics,
        order,
        size,
        samples: params.number("sample", 0..=3, 0)?,
        over,
    })
}

/// Rows times points of an answer: below what stores allow (65,536 buckets).
const MAX_CELLS: usize = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read() {
        let field = |text: &str| Metric::parse(text).and_then(|metric| metric.figure);
        assert_eq!(Metric::parse("count").unwrap().figure, None);
        assert_eq!(
            field("p95:took"),
            Some((Figure::Percentile(95.0), "event.duration".into()))
        );
        assert_eq!(
            field("unique:sku"),
            Some((Figure::Unique, "attributes.sku".into()))
        );
        for text in ["avg", "p101:x", "px:y", "median:x", "", ":x", "count:x"] {
            assert!(Metric::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn figures_of_nothing_are_null() {
        let metric = Metric::parse("p95:took").unwrap();
        assert_eq!(
            metric.value(&json!({"m0": {"values": {"95.0": 7.5}}}), "m0"),
            json!(7.5)
        );
        assert_eq!(
            metric.value(&json!({"m0": {"values": {"95.0": null}}}), "m0"),
            Value::Null
        );
        let metric = Metric::parse("min:took").unwrap();
        assert_eq!(
            metric.value(&json!({"m0": {"value": null}}), "m0"),
            Value::Null
        );
    }
}
