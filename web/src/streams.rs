//! Log files as they arrived: lines, bytes, and how long after they were written.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::access::Asker;
use crate::aggregate::time_text;
use crate::api::Api;
use crate::body::{Body, json as answer};
use crate::context::{field_text, field_value};
use crate::histogram::buckets;
use crate::params::Params;
use crate::problem::Problem;
use crate::scope::{RECENT, Scope};
use crate::search::{Order, hits};

impl Api {
    pub(crate) async fn streams(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["q", "from", "to", "tz", "size"])?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let size = params.number("size", 1..=1000, 100)?;
        let newest = json!({
            "size": 1,
            "sort": Order::NEWEST.sort(self),
            "_source": ["@timestamp", "event.ingested", "log.offset", "log.file.path", "kubernetes.*", "service.name", "host.name"],
        });
        let body = json!({
            "size": 0,
            "query": scope.filter(),
            "aggs": {
                "streams": {"cardinality": {"field": "tailrace.stream"}},
                "by": {
                    "terms": {"field": "tailrace.stream", "size": size},
                    "aggs": {
                        "bytes": {"sum": {"field": "tailrace.length"}},
                        "first": {"min": {"field": "@timestamp"}},
                        "last": {"max": {"field": "@timestamp"}},
                        "newest": {"top_hits": newest},
                    },
                },
            },
        });
        let found = self.ask(&body).await?;
        let aggs = &found["aggregations"];
        let streams: Vec<Value> = buckets(&aggs["by"]).iter().map(stream).collect();
        Ok(answer(
            StatusCode::OK,
            &json!({
                "total": aggs["streams"]["value"].as_f64().unwrap_or(0.0) as u64,
                "streams": streams,
            }),
        ))
    }
}

fn stream(bucket: &Value) -> Value {
    let empty = Value::Null;
    let source = hits(&bucket["newest"])
        .first()
        .map_or(&empty, |hit| &hit["_source"]);
    let text = |field: &str| field_text(source, field).map(str::to_owned);
    let time = |field: &str| text(field)?.parse::<jiff::Timestamp>().ok();
    let lag = time("event.ingested")
        .zip(time("@timestamp"))
        .map(|(ingested, written)| (ingested.as_millisecond() - written.as_millisecond()).max(0));
    json!({
        "stream": bucket["key"],
        "namespace": text("kubernetes.namespace"),
        "pod": text("kubernetes.pod.name"),
        "container": text("kubernetes.container.name"),
        "node": text("kubernetes.node.name").or_else(|| text("host.name")),
        "file": text("log.file.path"),
        "service": text("service.name"),
        "lines": bucket["doc_count"],
        "bytes": bucket["bytes"]["value"].as_f64().unwrap_or(0.0) as u64,
        "offset": field_value(source, "log.offset"),
        "first": time_text(&bucket["first"]),
        "last": time_text(&bucket["last"]),
        "lag_ms": lag,
    })
}
