//! `top_metrics`: fields of the first documents of a bucket, by one search for each, as `top_hits`.

use serde_json::{Map, Value, json};

use super::super::lenient;
use super::super::query::{QueryError, error, list};
use super::super::sort;

/// Most documents, as on a server.
const MAX_SIZE: u64 = 10;

/// Which fields of which documents.
#[derive(Debug)]
pub(super) struct TopMetrics {
    metrics: Vec<String>,
    /// Documents without a value to sort by are left out.
    filter: Value,
    body: Value,
}

impl TopMetrics {
    pub(super) fn parse(name: &str, body: &Value) -> Result<Self, QueryError> {
        let metrics = list(body.get("metrics"));
        let fields = metrics.iter().map(|metric| metric["field"].as_str());
        let metrics: Option<Vec<String>> = fields.map(|field| field.map(str::to_owned)).collect();
        let Some(metrics) = metrics.filter(|metrics| !metrics.is_empty()) else {
            return error(format!("[{name}] needs `metrics`, each with a `field`"));
        };
        let size = match lenient::count_of(name, body, "size")? {
            None => 1,
            Some(size) if (1..=MAX_SIZE).contains(&size) => size,
            Some(_) => return error(format!("[{name}] takes a `size` from 1 to {MAX_SIZE}")),
        };
        let keys = sort::parse(&body["sort"])?;
        let [key] = keys.as_slice() else {
            return error(format!("[{name}] takes a `sort` by one field"));
        };
        let filter = if key.is_document_order() {
            json!({"match_all": {}})
        } else {
            json!({"exists": {"field": key.field}})
        };
        let order = if key.is_descending { "desc" } else { "asc" };
        let by = json!({"order": order, "format": "strict_date_optional_time_nanos"});
        let fields: Vec<&str> = metrics.iter().map(|field| stem(field)).collect();
        let body = json!({
            "size": size, "sort": [{key.field.as_str(): by}], "_source": false, "fields": fields,
        });
        Ok(Self {
            metrics,
            filter,
            body,
        })
    }

    pub(super) fn filter(&self) -> &Value {
        &self.filter
    }

    /// The search of its documents.
    pub(super) fn body(&self) -> &Value {
        &self.body
    }

    /// What of the documents found is shown.
    pub(super) fn shown(&self, found: &Value) -> Value {
        let hits = found["hits"]["hits"].as_array().into_iter().flatten();
        let top = hits.map(|hit| {
            let metrics = self.metrics.iter().map(|field| {
                let value = &hit["fields"][stem(field)][0];
                (field.clone(), value.clone())
            });
            let metrics: Map<String, Value> = metrics.collect();
            json!({"sort": hit["sort"], "metrics": metrics})
        });
        json!({"top": top.collect::<Vec<Value>>()})
    }
}

fn stem(field: &str) -> &str {
    field.strip_suffix(".keyword").unwrap_or(field)
}
