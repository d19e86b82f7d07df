//! Intake of lines as JSON, and the summaries that small log monitors give.

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::access::{Asker, Role};
use crate::aggregate::time_text;
use crate::api::{Api, Call};
use crate::body::{Body, json as answer};
use crate::context::field_text;
use crate::histogram::{buckets, key_text};
use crate::params::{Params, at_most};
use crate::pipeline::{IngestError, LogLine};
use crate::problem::Problem;
use crate::scope::{DAY, Scope};
use crate::search::{Order, hits, total_count};

/// Lines of one request.
const MAX_LINES: usize = 10_000;
/// Bytes of a message.
const MAX_MESSAGE: usize = 1 << 20;
/// Bytes of the name of a service.
const MAX_SERVICE: usize = 256;
/// Services of a summary.
const MAX_SERVICES: usize = 1000;

/// Levels that count as errors.
const ERRORS: [&str; 2] = ["error", "fatal"];

fn is_error() -> Value {
    json!({"terms": {"log.level": ERRORS}})
}

impl Api {
    pub(crate) async fn ingest<B>(&self, call: &Call, body: B) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        call.asker.must_be(Role::Editor)?;
        Params::new(call.params.as_deref(), &[])?;
        let is_ndjson = match call.media().as_str() {
            "application/json" => false,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => true,
            _ => {
                return Err(Problem::media_type(
                    "`application/json` or `application/x-ndjson`",
                ));
            }
        };
        let key = call.idempotency_key.as_deref();
        if key.is_some_and(|key| key.is_empty() || key.len() > 256) {
            return Err(Problem::parameter(
                "Idempotency-Key",
                "`Idempotency-Key` must have 1 to 256 characters",
            ));
        }
        let bytes = self.body(call, body, self.options.max_body).await?;
        let now = jiff::Timestamp::now();
        let values = values(&bytes, is_ndjson)?;
        if values.len() > MAX_LINES {
            return Err(Problem::too_large(format!(
                "more than {MAX_LINES} lines: send them in several requests"
            )));
        }
        let lines = values
            .into_iter()
            .enumerate()
            .map(|(idx, value)| line(value, now).map_err(|problem| problem.with("index", idx)))
            .collect::<Result<Vec<_>, _>>()?;
        let accepted = lines.len();
        if accepted > 0 {
            self.pipeline
                .ingest(lines, key)
                .await
                .map_err(|error| match error {
                    IngestError::Busy(reason) => {
                        Problem::busy(StatusCode::TOO_MANY_REQUESTS, reason)
                    }
                    IngestError::Timeout | IngestError::Stopping => {
                        Problem::busy(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                    }
                })?;
        }
        Ok(answer(StatusCode::ACCEPTED, &json!({"accepted": accepted})))
    }

    pub(crate) async fn errors(
        &self,
        service: Option<&str>,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let known: &[&str] = match service {
            Some(_) => &["limit", "from", "to", "tz"],
            None => &["limit", "service", "from", "to", "tz"],
        };
        let params = Params::new(params, known)?;
        let scope = Scope::new(&params, asker, DAY)?;
        let limit = params.number("limit", 1..=1000, 50)?;
        let service = match service {
            Some(name) => Some(at_most("service", name, 256)?),
            None => params.text("service", 256)?.filter(|name| !name.is_empty()),
        };
        let mut more = vec![is_error()];
        more.extend(service.map(|name| json!({"term": {"service.name": name}})));
        let body = json!({
            "size": limit,
            "query": scope.filter_and(&more),
            "sort": Order::NEWEST.sort(self),
            "track_total_hits": true,
        });
        let found = self.ask(&body).await?;
        let items: Vec<Value> = hits(&found).iter().map(item).collect();
        Ok(answer(
            StatusCode::OK,
            &json!({"total": total_count(&found), "items": items}),
        ))
    }

    pub(crate) async fn log_stats(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, crate::scope::SCOPE)?;
        let scope = Scope::new(&params, asker, DAY)?;
        let errors = json!({"filters": {"filters": {"x": is_error()}}});
        let body = json!({
            "size": 0,
            "query": scope.filter(),
            "track_total_hits": true,
            "aggs": {
                "levels": {"terms": {"field": "log.level", "size": 50}},
                "errors": errors,
                "services": {
                    "terms": {"field": "service.name", "size": MAX_SERVICES},
                    "aggs": {"errors": errors},
                },
            },
        });
        let found = self.ask(&body).await?;
        let aggs = &found["aggregations"];
        let total = total_count(&found);
        let errors = count_of(&aggs["errors"]);
        let by_level: Map<String, Value> = buckets(&aggs["levels"])
            .iter()
            .map(|bucket| (key_text(bucket), bucket["doc_count"].clone()))
            .collect();
        let by_service: Vec<Value> = buckets(&aggs["services"])
            .iter()
            .map(|bucket| {
                json!({
                    "service": key_text(bucket),
                    "total": bucket["doc_count"],
                    "errors": count_of(&bucket["errors"]),
                })
            })
            .collect();
        let minutes = scope.range.millis() as f64 / 60_000.0;
        let (from, to) = scope.ends();
        Ok(answer(
            StatusCode::OK,
            &json!({
                "total": total,
                "errors": errors,
                "error_rate": if total == 0 { 0.0 } else { errors as f64 / total as f64 },
                "by_level": by_level,
                "by_service": by_service,
                "per_minute": total as f64 / minutes,
                "from": from,
                "to": to,
            }),
        ))
    }

    pub(crate) async fn services(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["from", "to", "tz"])?;
        let scope = Scope::new(&params, asker, DAY)?;
        let body = json!({
            "size": 0,
            "query": scope.filter(),
            "aggs": {"services": {
                "terms": {"field": "service.name", "size": MAX_SERVICES},
                "aggs": {
                    "errors": {"filters": {"filters": {"x": is_error()}}},
                    "last": {"max": {"field": "@timestamp"}},
                },
            }},
        });
        let found = self.ask(&body).await?;
        let mut services: Vec<Value> = buckets(&found["aggregations"]["services"])
            .iter()
            .map(|bucket| {
                json!({
                    "service": key_text(bucket),
                    "total": bucket["doc_count"],
                    "errors": count_of(&bucket["errors"]),
                    "last_seen": time_text(&bucket["last"]),
                })
            })
            .collect();
        services.sort_by(|a, b| a["service"].as_str().cmp(&b["service"].as_str()));
        Ok(answer(StatusCode::OK, &json!({"services": services})))
    }
}

fn count_of(filters: &Value) -> u64 {
    filters["buckets"]["x"]["doc_count"].as_u64().unwrap_or(0)
}

/// A line as it was sent in, nearly: what is none of the four fields is `meta`.
fn item(hit: &Value) -> Value {
    let source = &hit["_source"];
    let text = |field: &str| field_text(source, field);
    let mut meta = source.as_object().cloned().unwrap_or_default();
    for field in ["@timestamp", "message"] {
        meta.remove(field);
    }
    for (object, field) in [("log", "level"), ("service", "name")] {
        if let Some(inner) = meta.get_mut(object).and_then(Value::as_object_mut) {
            inner.remove(field);
            if inner.is_empty() {
                meta.remove(object);
            }
        }
    }
    json!({
        "id": hit["_id"],
        "timestamp": text("@timestamp").unwrap_or_default(),
        "service": text("service.name"),
        "level": text("log.level"),
        "message": text("message").unwrap_or_default(),
        "meta": meta,
    })
}

/// The objects of a body.
fn values(bytes: &[u8], is_ndjson: bool) -> Result<Vec<Value>, Problem> {
    if is_ndjson {
        let mut values = Vec::new();
        for (idx, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let value = serde_json::from_slice(line).map_err(|error| {
                Problem::body(format!("line {} is no JSON: {error}", idx + 1)).with("index", idx)
            })?;
            values.push(value);
        }
        return Ok(values);
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Array(values)) => Ok(values),
        Ok(value) => Ok(vec![value]),
        Err(error) => Err(Problem::body(format!("the body is no JSON: {error}"))),
    }
}

/// One line, checked field by field.
fn line(value: Value, now: jiff::Timestamp) -> Result<LogLine, Problem> {
    let Value::Object(mut object) = value else {
        return Err(Problem::field("", "a line must be an object"));
    };
    let service = text(object.remove("service"), "service", MAX_SERVICE)?;
    let message = text(object.remove("message"), "message", MAX_MESSAGE)?;
    let level = match object.remove("level") {
        Some(Value::String(text)) => level(&text),
        Some(_) => None,
        None => return Err(Problem::field("level", "`level` is missing")),
    };
    let level = level.ok_or_else(|| {
        Problem::field(
            "level",
            "`level` must be one of trace, debug, info, notice, warn, error, critical, fatal",
        )
    })?;
    let meta = match object.remove("meta") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(meta)) => meta,
        Some(_) => return Err(Problem::field("meta", "`meta` must be an object")),
    };
    let timestamp = object.remove("timestamp").filter(|value| !value.is_null());
    let is_timed = timestamp.is_some();
    let time_ns = match timestamp {
        None => now.as_nanosecond(),
        Some(value) => time(&value).ok_or_else(|| {
            Problem::field(
                "timestamp",
                "`timestamp` must be RFC 3339 text or milliseconds since 1970, from 1970 to 2262",
            )
        })?,
    };
    if let Some(name) = object.keys().next() {
        return Err(Problem::field(
            name.as_str(),
            format!("there is no field `{name}`: put what is your own under `meta`"),
        ));
    }
    Ok(LogLine {
        service,
        level,
        message,
        meta,
        time_ns: i64::try_from(time_ns).unwrap_or(i64::MAX),
        is_timed,
    })
}

fn text(value: Option<Value>, name: &str, max: usize) -> Result<String, Problem> {
    match value {
        Some(Value::String(text)) if text.is_empty() => {
            Err(Problem::field(name, format!("`{name}` must not be empty")))
        }
        Some(Value::String(text)) if text.len() > max => Err(Problem::field(
            name,
            format!("`{name}` is longer than {max} bytes"),
        )),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Problem::field(name, format!("`{name}` must be a text"))),
        None => Err(Problem::field(name, format!("`{name}` is missing"))),
    }
}

fn level(text: &str) -> Option<&'static str> {
    Some(match text.to_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "info" | "notice" => "info",
        "warn" | "warning" => "warn",
        "error" => "error",
        "critical" | "fatal" => "fatal",
        _ => return None,
    })
}

/// Nanoseconds since the epoch that a store can keep.
fn time(value: &Value) -> Option<i128> {
    let ns = match value {
        Value::String(text) => text.parse::<jiff::Timestamp>().ok()?.as_nanosecond(),
        Value::Number(number) => match number.as_i64() {
            Some(ms) => i128::from(ms) * 1_000_000,
            None => (number.as_f64()? * 1e6) as i128,
        },
        _ => return None,
    };
    (0..=i128::from(i64::MAX)).contains(&ns).then_some(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<LogLine, Problem> {
        line(value, jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn lines_are_checked_field_by_field() {
        let good = read(json!({
            "service": "shop", "level": "WARNING", "message": "hi", "meta": {"a": 1},
            "timestamp": "2026-11-25T10:00:00.000000001Z",
        }))
        .unwrap();
        assert_eq!(
            (good.level, good.time_ns, good.is_timed),
            ("warn", 1_795_600_800_000_000_001, true)
        );
        let untimed = read(json!({
            "service": "s", "level": "info", "message": "m", "timestamp": null, "meta": null,
        }));
        assert!(!untimed.unwrap().is_timed);
        for (value, field) in [
            (json!({"level": "info", "message": "m"}), "service"),
            (
                json!({"service": "", "level": "info", "message": "m"}),
                "service",
            ),
            (json!({"service": "s", "message": "m"}), "level"),
            (
                json!({"service": "s", "level": "loud", "message": "m"}),
                "level",
            ),
            (json!({"service": "s", "level": 3, "message": "m"}), "level"),
            (json!({"service": "s", "level": "info"}), "message"),
            (
                json!({"service": "s", "level": "info", "message": "m", "meta": []}),
                "meta",
            ),
            (
                json!({"service": "s", "level": "info", "message": "m", "timestamp": "now"}),
                "timestamp",
            ),
            (
                json!({"service": "s", "level": "info", "message": "m", "timestamp": -1}),
                "timestamp",
            ),
            (
                json!({"service": "s", "level": "info", "message": "m", "host": "h"}),
                "host",
            ),
            (json!([]), ""),
        ] {
            let problem = read(value.clone()).unwrap_err();
            assert_eq!(problem.status(), 422, "{value}");
            assert_eq!(problem.json()["field"], field, "{value}");
        }
    }

    #[test]
    fn bodies_hold_one_line_or_many() {
        let n =
            |text: &str, is_ndjson| values(text.as_bytes(), is_ndjson).map(|values| values.len());
        assert_eq!(n("{}", false), Ok(1));
        assert_eq!(n("[{},{}]", false), Ok(2));
        assert_eq!(n("{}\n\n{}\n", true), Ok(2));
        assert!(n("{}\n{", true).unwrap_err().detail().starts_with("line 2"));
        assert!(n("", false).is_err());
    }

    #[test]
    fn what_was_sent_in_comes_out() {
        let item = item(&json!({"_id": "i", "_source": {
            "@timestamp": "t", "message": "m", "log": {"level": "error"}, "service": {"name": "s"},
            "attributes": {"a": 1},
        }}));
        assert_eq!(item["meta"], json!({"attributes": {"a": 1}}));
        assert_eq!(
            (&item["level"], &item["service"]),
            (&json!("error"), &json!("s"))
        );
    }
}
