//! The endpoints of Grafana's JSON data sources (`simpod-json-datasource` and
//! `marcusolsson-json-datasource` speak them): targets are counts that everybody asks for, and the
//! saved searches.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Response, StatusCode};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::access::Asker;
use crate::api::{Api, Call, only};
use crate::body::{Body, json as answer};
use crate::context::field_text;
use crate::fields::{of_caps, plain};
use crate::histogram::{Buckets, buckets, counts, key_text};
use crate::params::Params;
use crate::problem::Problem;
use crate::query::{self, Query, field_for_values};
use crate::scope::Scope;
use crate::search::{Order, hits};
use crate::time::Range;

/// Targets that are always there.
const TARGETS: &[&str] = &[
    "error_count",
    "error_by_service",
    "error_by_level",
    "log_count",
    "log_by_level",
    "log_by_service",
];
/// Largest request.
const MAX_BODY: usize = 256 << 10;
/// Targets of one request.
const MAX_TARGETS: usize = 50;
/// Series of a target.
const MAX_SERIES: usize = 50;
/// Marks of an annotation query.
const MAX_MARKS: usize = 200;
/// Range where a request names none.
const DEFAULT: Duration = Duration::from_secs(3600);

impl Api {
    pub(crate) async fn grafana<B>(
        &self,
        path: &[&str],
        call: &Call,
        body: B,
    ) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        Params::any(call.params.as_deref())?;
        if let [] | [""] = path {
            only(&call.method, &[Method::GET])?;
            return Ok(answer(StatusCode::OK, &json!({"status": "ok"})));
        }
        let [
            name @ ("search"
            | "metrics"
            | "metric-payload-options"
            | "query"
            | "annotations"
            | "variable"
            | "tag-keys"
            | "tag-values"),
        ] = path
        else {
            return Err(Problem::not_found(
                "Grafana's endpoints are search, metrics, metric-payload-options, query, annotations, \
                 variable, tag-keys and tag-values",
            ));
        };
        only(&call.method, &[Method::POST])?;
        let request = self.object_or_empty(call, body, MAX_BODY).await?;
        let request = Value::Object(request);
        let result = match *name {
            "search" => self.targets().await?.into_iter().map(Value::from).collect(),
            "metrics" => self
                .targets()
                .await?
                .into_iter()
                .map(|name| json!({"label": name, "value": name}))
                .collect(),
            // No target has payloads to choose from.
            "metric-payload-options" => Vec::new(),
            "query" => self.series(&request, &call.asker).await?,
            "annotations" => self.marks(&request, &call.asker).await?,
            "variable" => self
                .some_values(
                    variable_field(&request),
                    range_or_day(&request)?,
                    &call.asker,
                )
                .await?
                .into_iter()
                .map(|value| json!({"__text": value, "__value": value}))
                .collect(),
            "tag-keys" => of_caps(&*self.caps().await?)
                .into_iter()
                .filter(|field| field.aggregatable)
                .map(|field| json!({"type": "string", "text": field.name}))
                .collect(),
            _ => {
                let key = request["key"].as_str().unwrap_or_default().to_owned();
                if key.is_empty() {
                    return Err(Problem::field("key", "`key` must name a field"));
                }
                self.some_values(key, range_or_day(&request)?, &call.asker)
                    .await?
                    .into_iter()
                    .map(|value| json!({"text": value}))
                    .collect()
            }
        };
        Ok(answer(StatusCode::OK, &Value::Array(result)))
    }

    async fn targets(&self) -> Result<Vec<String>, Problem> {
        let mut names: Vec<String> = TARGETS.iter().map(|name| (*name).to_owned()).collect();
        names.extend(
            self.saved_queries()
                .await?
                .into_iter()
                .map(|(name, _)| name),
        );
        Ok(names)
    }

    async fn series(&self, request: &Value, asker: &Asker) -> Result<Vec<Value>, Problem> {
        let range = range(request)?;
        let empty = Vec::new();
        let targets = request["targets"].as_array().unwrap_or(&empty);
        if targets.len() > MAX_TARGETS {
            return Err(Problem::field(
                "targets",
                format!("more than {MAX_TARGETS} targets"),
            ));
        }
        let over = Buckets::about(&range, points(request, &range), &TimeZone::UTC);
        let filters = ad_hoc(request);
        let mut list = Vec::new();
        for target in targets {
            if target["hide"] == true {
                continue;
            }
            let Some(name) = target["target"].as_str().filter(|name| !name.is_empty()) else {
                continue;
            };
            let (base, by) = self.target(name).await?;
            let payload = match &target["payload"] {
                Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
                other => other.clone(),
            };
            let narrowed = payload["q"].as_str().unwrap_or_default();
            let narrowed = query::parse(narrowed)
                .map_err(|error| Problem::field("payload.q", error.to_string()))?;
            let mut parts = vec![base, narrowed];
            parts.extend(filters.iter().cloned());
            let scope = Scope {
                query: all(parts),
                range,
                zone: TimeZone::UTC,
                visible: asker.filter(),
            };
            let is_table = target["type"] == "table";
            list.extend(self.one(name, by, &scope, &over, is_table).await?);
        }
        Ok(list)
    }

    /// The query of a target, and the field that splits it.
    async fn target(&self, name: &str) -> Result<(Query, Option<&'static str>), Problem> {
        let (is_error, by) = match name {
            "error_count" => (true, None),
            "error_by_service" => (true, Some("service.name")),
            "error_by_level" => (true, Some("log.level")),
            "log_count" => (false, None),
            "log_by_level" => (false, Some("log.level")),
            "log_by_service" => (false, Some("service.name")),
            _ => {
                let saved = self.saved_queries().await?;
                let (_, text) = saved
                    .into_iter()
                    .find(|(known, _)| known == name)
                    .ok_or_else(|| {
                        Problem::field(
                            "target",
                            format!("there is no target and no saved search `{name}`"),
                        )
                    })?;
                let query = query::parse(&text).map_err(|error| {
                    Problem::field("target", format!("the saved search `{name}`: {error}"))
                })?;
                return Ok((query, None));
            }
        };
        let query = if is_error { "level>=error" } else { "" };
        Ok((query::parse(query).unwrap_or(Query::All), by))
    }

    async fn one(
        &self,
        name: &str,
        by: Option<&str>,
        scope: &Scope,
        over: &Buckets,
        is_table: bool,
    ) -> Result<Vec<Value>, Problem> {
        let inner = json!({"over": over.aggregation(None)});
        let aggs = match by {
            Some(field) => {
                json!({"by": {"terms": {"field": field, "size": MAX_SERIES}, "aggs": inner}})
            }
            None => inner,
        };
        let body =
            json!({"size": 0, "query": scope.filter(), "track_total_hits": true, "aggs": aggs});
        let found = self.ask(&body).await?;
        let aggs = &found["aggregations"];
        let mut series: Vec<(String, u64, &Value)> = Vec::new();
        match by {
            Some(_) => {
                for bucket in buckets(&aggs["by"]) {
                    let count = bucket["doc_count"].as_u64().unwrap_or(0);
                    series.push((key_text(bucket), count, &bucket["over"]));
                }
            }
            None => series.push((
                name.to_owned(),
                crate::search::total_count(&found),
                &aggs["over"],
            )),
        }
        if is_table {
            let rows: Vec<Value> = series
                .iter()
                .map(|(key, count, _)| json!([key, count]))
                .collect();
            let columns =
                json!([{"text": name, "type": "string"}, {"text": "count", "type": "number"}]);
            return Ok(vec![
                json!({"type": "table", "columns": columns, "rows": rows}),
            ]);
        }
        Ok(series
            .into_iter()
            .map(|(key, _, over_found)| {
                let counts = counts(over_found);
                let points: Vec<Value> = over
                    .starts()
                    .map(|start| json!([counts.get(&start).copied().unwrap_or(0), start]))
                    .collect();
                json!({"target": key, "datapoints": points})
            })
            .collect())
    }

    async fn marks(&self, request: &Value, asker: &Asker) -> Result<Vec<Value>, Problem> {
        let range = range(request)?;
        let annotation = &request["annotation"];
        let text = annotation["query"].as_str().or(annotation["q"].as_str());
        let text = text.unwrap_or("level>=error");
        let query = query::parse(text)
            .map_err(|error| Problem::field("annotation.query", error.to_string()))?;
        let scope = Scope {
            query,
            range,
            zone: TimeZone::UTC,
            visible: asker.filter(),
        };
        let body = json!({
            "size": MAX_MARKS, "query": scope.filter(), "sort": Order::NEWEST.sort(self),
            "track_total_hits": false,
        });
        let found = self.ask(&body).await?;
        Ok(hits(&found)
            .iter()
            .map(|hit| {
                let source = &hit["_source"];
                let text = |field: &str| field_text(source, field).unwrap_or_default();
                let time = text("@timestamp").parse::<jiff::Timestamp>();
                let tags: Vec<&str> = [text("log.level"), text("service.name")]
                    .into_iter()
                    .filter(|tag| !tag.is_empty())
                    .collect();
                json!({
                    "annotation": annotation,
                    "time": time.map_or(0, |time| time.as_millisecond()),
                    "title": text("message").chars().take(120).collect::<String>(),
                    "text": text("message"),
                    "tags": tags,
                })
            })
            .collect())
    }

    async fn some_values(
        &self,
        field: String,
        range: Range,
        asker: &Asker,
    ) -> Result<Vec<String>, Problem> {
        let scope = Scope {
            query: Query::All,
            range,
            zone: TimeZone::UTC,
            visible: asker.filter(),
        };
        let values = self.values(&scope, &field, "", 500).await?;
        let list = values["values"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(list.iter().map(|one| plain(&one["value"])).collect())
    }
}

/// The field of a variable: `{"payload": {"target": "service"}}`, or the target itself.
fn variable_field(request: &Value) -> String {
    let payload = &request["payload"];
    let name = payload["target"]
        .as_str()
        .or(payload.as_str())
        .or(request["target"].as_str());
    name.filter(|name| !name.is_empty())
        .unwrap_or("service")
        .to_owned()
}

/// The range of a request; the last 24 hours where it has none.
fn range_or_day(request: &Value) -> Result<Range, Problem> {
    if request["range"].is_object() {
        return range(request);
    }
    let to = jiff::Timestamp::now();
    let day = jiff::SignedDuration::from_hours(24);
    let from = to.checked_sub(day).unwrap_or(to);
    Ok(Range { from, to })
}

/// How many buckets a request wants: no more than have its least width, `intervalMs`.
fn points(request: &Value, range: &Range) -> usize {
    let most = request["maxDataPoints"]
        .as_u64()
        .unwrap_or(100)
        .clamp(1, 1000);
    let least_ms = request["intervalMs"].as_f64().unwrap_or(0.0);
    let of_width = if least_ms >= 1.0 {
        range.millis() as f64 / least_ms
    } else {
        f64::MAX
    };
    // At least one; what is cut off makes buckets wider.
    usize::try_from(most.min(of_width as u64).max(1)).unwrap_or(100)
}

fn range(request: &Value) -> Result<Range, Problem> {
    let of = |key: &str| match &request["range"][key] {
        Value::Null => Ok(None),
        Value::String(text) => text.parse().map(Some).map_err(|_| ()),
        Value::Number(ms) => ms
            .as_i64()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .map(Some)
            .ok_or(()),
        _ => Err(()),
    };
    let wrong = |key: &str| {
        Problem::field(
            format!("range.{key}"),
            format!("`range.{key}` must be a time in RFC 3339"),
        )
    };
    let to = of("to").map_err(|()| wrong("to"))?;
    let to = to.unwrap_or_else(jiff::Timestamp::now);
    let from = of("from").map_err(|()| wrong("from"))?;
    let from = from.unwrap_or_else(|| {
        let default = jiff::SignedDuration::try_from(DEFAULT).unwrap_or_default();
        to.checked_sub(default).unwrap_or(to)
    });
    if from >= to || from < jiff::Timestamp::UNIX_EPOCH {
        return Err(Problem::field(
            "range",
            "the range ends before it starts, or starts before 1970",
        ));
    }
    Ok(Range { from, to })
}

/// Grafana's ad hoc filters as queries: simPod's plugin sends them as `filters`.
fn ad_hoc(request: &Value) -> Vec<Query> {
    ["adhocFilters", "filters"]
        .iter()
        .filter_map(|key| request[*key].as_array())
        .flatten()
        .filter_map(|filter| {
            let filter = filter.as_object()?;
            let text = |filter: &Map<String, Value>, key: &str| {
                Some(filter.get(key)?.as_str()?.to_owned())
            };
            let field = field_for_values(&text(filter, "key")?);
            let operator = text(filter, "operator")?;
            // Any of several values.
            if let ("=|" | "!=|", Some(values)) = (
                operator.as_str(),
                filter
                    .get("values")
                    .and_then(Value::as_array)
                    .filter(|values| values.iter().any(Value::is_string)),
            ) {
                let values = values.iter().filter_map(Value::as_str);
                let any = values.map(|value| {
                    let test = query::Test::Phrase(value.to_owned());
                    Query::Test(Some(field.clone()), test)
                });
                let any = Query::Or(any.collect());
                return Some(match operator.as_str() {
                    "!=|" => Query::Not(Box::new(any)),
                    _ => any,
                });
            }
            let value = text(filter, "value")?;
            let test = match operator.as_str() {
                "=~" | "!~" => query::Test::Regex(value),
                ">" => query::Test::Range(Some((value, false)), None),
                "<" => query::Test::Range(None, Some((value, false))),
                _ => query::Test::Phrase(value),
            };
            let one = Query::Test(Some(field), test);
            Some(match operator.as_str() {
                "!=" | "!~" | "!=|" => Query::Not(Box::new(one)),
                _ => one,
            })
        })
        .collect()
}

fn all(parts: Vec<Query>) -> Query {
    let mut parts: Vec<Query> = parts
        .into_iter()
        .filter(|part| *part != Query::All)
        .collect();
    match parts.len() {
        0 => Query::All,
        1 => parts.remove(0),
        _ => Query::And(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ad_hoc_filters_are_read_under_both_names() {
        let filter = |key: &str, operator: &str, value: &str| json!({"key": key, "operator": operator, "value": value});
        let is = |field: &str, test: query::Test| Query::Test(Some(field.to_owned()), test);
        let level = is("log.level", query::Test::Phrase("error".to_owned()));
        let service = is("service.name", query::Test::Regex("ca.*".to_owned()));
        for key in ["adhocFilters", "filters"] {
            let request = json!({key: [
                filter("log.level", "=", "error"), filter("service.name", "!~", "ca.*"),
            ]});
            let expected = [level.clone(), Query::Not(Box::new(service.clone()))];
            assert_eq!(ad_hoc(&request), expected, "{key}");
        }
        let both = json!({
            "adhocFilters": [filter("log.level", "=", "error")],
            "filters": [filter("service.name", "=~", "ca.*")],
        });
        assert_eq!(ad_hoc(&both), [level.clone(), service]);
        assert!(ad_hoc(&json!({"filters": null})).is_empty());
        let several = |operator: &str| {
            json!({"filters": [
                {"key": "log.level", "operator": operator, "value": "a", "values": ["error", "warn"]},
            ]})
        };
        let warn = is("log.level", query::Test::Phrase("warn".to_owned()));
        let any = Query::Or(vec![level.clone(), warn]);
        assert_eq!(ad_hoc(&several("=|")), std::slice::from_ref(&any));
        assert_eq!(ad_hoc(&several("!=|")), [Query::Not(Box::new(any))]);
        let single = json!({"filters": [filter("log.level", "=|", "error")]});
        assert_eq!(ad_hoc(&single), [level]);
    }

    #[test]
    fn buckets_are_no_narrower_than_asked() {
        let range = Range {
            from: "2026-11-25T10:00:00Z".parse().unwrap(),
            to: "2026-11-25T11:00:00Z".parse().unwrap(),
        };
        for (request, expected) in [
            (json!({}), 100),
            (json!({"maxDataPoints": 500}), 500),
            (json!({"maxDataPoints": 5000}), 1000),
            (json!({"maxDataPoints": 500, "intervalMs": 60_000}), 60),
            (json!({"maxDataPoints": 30, "intervalMs": 60_000}), 30),
            (json!({"intervalMs": 86_400_000}), 1),
            (json!({"intervalMs": 0}), 100),
        ] {
            assert_eq!(points(&request, &range), expected, "{request}");
        }
    }

    #[test]
    fn variables_have_a_range() {
        let given =
            json!({"range": {"from": "2026-11-25T10:00:00Z", "to": "2026-11-25T11:00:00Z"}});
        assert_eq!(range_or_day(&given).unwrap().millis(), 3_600_000);
        assert_eq!(range_or_day(&json!({})).unwrap().millis(), 86_400_000);
        assert!(range_or_day(&json!({"range": {"from": "soon"}})).is_err());
    }
}
