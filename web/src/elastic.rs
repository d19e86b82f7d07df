//! Enough of Elasticsearch's read API for Grafana's Elasticsearch data source and for curl, over
//! any store.
//!
//! What is asked goes to the store as it is, within limits: only the configured indices, only
//! queries and aggregations that can see nothing but what the asker may, and his filter around
//! every query.

use bytes::Bytes;
use hyper::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::access::{Role, is_like};
use crate::api::{Api, Call, only};
use crate::body::{Body, json as answer};
use crate::params::{Params, decode_segment};
use crate::problem::Problem;

/// Largest body.
const MAX_BODY: usize = 1 << 20;
/// Searches of one `_msearch`.
const MAX_SEARCHES: usize = 50;
/// Deepest nesting of a body.
const MAX_DEPTH: usize = 40;
/// Version that is told: Grafana asks for 7.16 or later.
const VERSION: &str = "8.0.0";

/// Keys of a search body that are passed on.
const KEYS: &[&str] = &[
    "query",
    "aggs",
    "aggregations",
    "size",
    "from",
    "sort",
    "_source",
    "fields",
    "docvalue_fields",
    "stored_fields",
    "highlight",
    "track_total_hits",
    "search_after",
    "timeout",
    "post_filter",
    "version",
    "min_score",
    "track_scores",
    "explain",
    "script_fields",
    "ignore_unavailable",
];

/// Queries that look at the document itself and nothing else.
const QUERIES: &[&str] = &[
    "bool",
    "match",
    "match_phrase",
    "match_phrase_prefix",
    "match_bool_prefix",
    "multi_match",
    "match_all",
    "match_none",
    "term",
    "terms",
    "range",
    "exists",
    "prefix",
    "wildcard",
    "regexp",
    "fuzzy",
    "ids",
    "query_string",
    "simple_query_string",
    "constant_score",
    "dis_max",
];

/// Aggregations that look at the documents found and nothing else.
const AGGREGATIONS: &[&str] = &[
    "date_histogram",
    "auto_date_histogram",
    "histogram",
    "terms",
    "filters",
    "filter",
    "range",
    "date_range",
    "missing",
    "cardinality",
    "min",
    "max",
    "avg",
    "sum",
    "stats",
    "extended_stats",
    "value_count",
    "percentiles",
    "percentile_ranks",
    "top_hits",
    "top_metrics",
    "composite",
    "rare_terms",
    "multi_terms",
    "derivative",
    "moving_fn",
    "cumulative_sum",
    "bucket_script",
    "serial_diff",
    "bucket_selector",
    "bucket_sort",
    "max_bucket",
    "min_bucket",
    "avg_bucket",
    "sum_bucket",
    "stats_bucket",
];

impl Api {
    pub(crate) async fn elastic<B>(
        &self,
        path: &str,
        call: Call,
        body: B,
    ) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let segments: Option<Vec<String>> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode_segment)
            .collect();
        let segments = segments.ok_or_else(|| Problem::not_found("the path is no UTF-8 text"))?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let params = Params::any(call.params.as_deref())?;
        match segments.as_slice() {
            [] => {
                only(&call.method, &[Method::GET])?;
                Ok(answer(StatusCode::OK, &root()))
            }
            ["_search"] | [_, "_search"] => {
                only(&call.method, &[Method::GET, Method::POST])?;
                let index = match segments.as_slice() {
                    [index, _] => self.index(index, &call)?,
                    _ => self.options.index.clone(),
                };
                let mut request = self.dsl(&call, body).await?;
                from_params(&params, &mut request)?;
                let found = self.run(&index, request, &call).await?;
                Ok(answer(StatusCode::OK, &found))
            }
            ["_msearch"] | [_, "_msearch"] => {
                only(&call.method, &[Method::POST])?;
                let default = match segments.as_slice() {
                    [index, _] => self.index(index, &call)?,
                    _ => self.options.index.clone(),
                };
                self.several(&default, &call, body).await
            }
            ["_mapping"] | [_, "_mapping"] => {
                only(&call.method, &[Method::GET])?;
                let index = self.index_of(&segments, &call)?;
                let mapping = self.within(self.store.mapping(&index)).await?;
                Ok(answer(StatusCode::OK, &mapping))
            }
            ["_field_caps"] | [_, "_field_caps"] => {
                only(&call.method, &[Method::GET, Method::POST])?;
                let index = self.index_of(&segments, &call)?;
                let fields = params.text("fields", 2048)?.filter(|text| !text.is_empty());
                let fields = fields.unwrap_or("*").to_owned();
                let caps = self.within(self.store.field_caps(&index, &fields)).await?;
                Ok(answer(StatusCode::OK, &caps))
            }
            ["_cluster", "health"] => {
                only(&call.method, &[Method::GET])?;
                Ok(answer(
                    StatusCode::OK,
                    &json!({"cluster_name": "tailrace", "status": "green"}),
                ))
            }
            ["_xpack"] => Err(Problem::not_found("there is no X-Pack")),
            _ => Err(Problem::not_found(
                "of Elasticsearch's API there is `_search`, `_msearch`, `_mapping` and `_field_caps`",
            )),
        }
    }

    fn index_of(&self, segments: &[&str], call: &Call) -> Result<String, Problem> {
        match segments {
            [index, _] => self.index(index, call),
            _ => Ok(self.options.index.clone()),
        }
    }

    /// Whether a name or pattern lies within what is searched.
    pub(crate) fn is_searched(&self, name: &str) -> bool {
        let (left_out, taken): (Vec<&str>, Vec<&str>) = self
            .options
            .index
            .split(',')
            .partition(|part| part.starts_with('-'));
        // Backing indices of data streams have names of their own.
        let stream = name.strip_prefix(".ds-").unwrap_or(name);
        let is_in = |pattern: &&str| is_like(pattern, stream);
        taken.iter().any(is_in)
            && !left_out
                .iter()
                .any(|pattern| is_like(pattern.trim_start_matches('-'), stream))
    }

    /// The index expression for the store: what is asked for, where that lies within the
    /// configured ones, without what these leave out.
    fn index(&self, asked: &str, call: &Call) -> Result<String, Problem> {
        if matches!(asked, "_all" | "*") || asked == self.options.index {
            return Ok(self.options.index.clone());
        }
        let mut parts: Vec<&str> = Vec::new();
        for part in asked
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let name = part.trim_start_matches('-');
            let is_plain = !name.is_empty()
                && !name.starts_with(['.', '_', '<'])
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b))
                || name.starts_with(".ds-logs-");
            // The trail and the letters are seen by those who see everything.
            let is_own = name.starts_with("logs-tailrace.")
                && call.asker.role == Role::Admin
                && call.asker.namespaces.is_empty();
            if is_plain && !is_own && !self.is_searched(name) {
                // A wider pattern means what of it is searched here.
                let configured = self.options.index.split(',');
                let within: Vec<&str> = configured
                    .filter(|known| !known.starts_with('-') && is_like(name, known))
                    .collect();
                if !within.is_empty() && !part.starts_with('-') {
                    parts.extend(within);
                    continue;
                }
            }
            if !is_plain || !(self.is_searched(name) || is_own) {
                return Err(Problem::forbidden(format!(
                    "`{}` is none of the indices that are searched here: {}",
                    name.chars().take(80).collect::<String>(),
                    self.options.index
                )));
            }
            parts.push(part);
        }
        if parts.is_empty() {
            return Ok(self.options.index.clone());
        }
        let is_own = parts.iter().all(|part| part.starts_with("logs-tailrace."));
        if !is_own {
            parts.extend(
                self.options
                    .index
                    .split(',')
                    .filter(|part| part.starts_with('-')),
            );
        }
        Ok(parts.join(","))
    }

    async fn dsl<B>(&self, call: &Call, body: B) -> Result<Map<String, Value>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let bytes = self.body(call, body, MAX_BODY).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Map::new());
        }
        call.must_be_json()?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(Problem::body("the body must be a JSON object")),
            Err(error) => Err(Problem::body(format!("the body is no JSON: {error}"))),
        }
    }

    async fn run(
        &self,
        index: &str,
        request: Map<String, Value>,
        call: &Call,
    ) -> Result<Value, Problem> {
        let body = checked(request, call.asker.filter())?;
        self.ask_index(index, &body).await
    }

    async fn several<B>(
        &self,
        default: &str,
        call: &Call,
        body: B,
    ) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        match call.media().as_str() {
            "application/x-ndjson" | "application/json" => {}
            _ => return Err(Problem::media_type("application/x-ndjson")),
        }
        let bytes = self.body(call, body, MAX_BODY).await?;
        let mut lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty());
        let mut responses = Vec::new();
        while let Some(head) = lines.next() {
            let parse = |line: &[u8]| match serde_json::from_slice(line) {
                Ok(Value::Object(object)) => Ok(object),
                _ => Err(Problem::body(
                    "each line must be a JSON object: a head, then a search",
                )),
            };
            let head = parse(head)?;
            let search = parse(
                lines
                    .next()
                    .ok_or_else(|| Problem::body("the last head has no search"))?,
            )?;
            if responses.len() == MAX_SEARCHES {
                return Err(Problem::too_large(format!(
                    "more than {MAX_SEARCHES} searches"
                )));
            }
            let index = match head.get("index") {
                Some(Value::String(index)) => self.index(index, call)?,
                Some(Value::Array(list)) => {
                    let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                    self.index(&list.join(","), call)?
                }
                _ => default.to_owned(),
            };
            // One search that fails does not spoil the others.
            responses.push(match self.run(&index, search, call).await {
                Ok(mut found) => {
                    found["status"] = 200.into();
                    found
                }
                Err(problem) => json!({
                    "error": {"type": "search_exception", "reason": problem.detail()},
                    "status": problem.status().as_u16(),
                }),
            });
        }
        Ok(answer(
            StatusCode::OK,
            &json!({"took": 0, "responses": responses}),
        ))
    }
}

fn root() -> Value {
    json!({
        "name": "tailrace",
        "cluster_name": "tailrace",
        "cluster_uuid": "tailrace",
        "version": {"number": VERSION, "build_flavor": "default"},
        "tagline": "You Know, for Search",
    })
}

/// `q`, `size`, `from` and `sort` of the address.
fn from_params(params: &Params, request: &mut Map<String, Value>) -> Result<(), Problem> {
    if let Some(text) = params.text("q", 4096)? {
        request.insert("query".into(), json!({"query_string": {"query": text}}));
    }
    for (name, most) in [("size", 10_000), ("from", 10_000)] {
        if params.get(name).is_some() {
            request.insert(name.into(), params.number(name, 0..=most, 0)?.into());
        }
    }
    if let Some(sort) = params.text("sort", 256)? {
        let (field, order) = sort.split_once(':').unwrap_or((sort, "asc"));
        request.insert("sort".into(), json!([{field: {"order": order}}]));
    }
    Ok(())
}

/// The body, when all of it is allowed, with `visible` around its query.
fn checked(request: Map<String, Value>, visible: Option<Value>) -> Result<Value, Problem> {
    for (key, value) in &request {
        if !KEYS.contains(&key.as_str()) {
            return Err(not_here("search", key));
        }
        match key.as_str() {
            "query" | "post_filter" => check_query(value, 0)?,
            "aggs" | "aggregations" => check_aggregations(value, 0)?,
            "highlight" if has_key(value, "highlight_query") => {
                return Err(not_here("highlight", "highlight_query"));
            }
            "size" | "from" if value.as_u64().is_none_or(|n| n > 10_000) => {
                return Err(Problem::body(format!(
                    "`{key}` must be a number up to 10000"
                )));
            }
            // Grafana sends an empty one.
            "script_fields" if value.as_object().is_none_or(|fields| !fields.is_empty()) => {
                return Err(not_here("search", key));
            }
            _ => {}
        }
    }
    let mut request = request;
    request.remove("script_fields");
    request.remove("ignore_unavailable");
    if let Some(visible) = visible {
        let query = request
            .remove("query")
            .unwrap_or_else(|| json!({"match_all": {}}));
        let query = json!({"bool": {"must": [query], "filter": [visible]}});
        request.insert("query".into(), query);
    }
    Ok(Value::Object(request))
}

fn not_here(kind: &str, name: &str) -> Problem {
    Problem::body(format!(
        "`{}` is not taken here ({kind})",
        name.chars().take(80).collect::<String>()
    ))
}

fn too_deep() -> Problem {
    Problem::body("the body is nested too deep")
}

fn check_query(query: &Value, depth: usize) -> Result<(), Problem> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let Some(query) = query.as_object() else {
        return Err(Problem::body("a query must be an object"));
    };
    for (kind, body) in query {
        if !QUERIES.contains(&kind.as_str()) {
            return Err(not_here("query", kind));
        }
        match kind.as_str() {
            "bool" | "dis_max" | "constant_score" => {
                for (key, inner) in body.as_object().into_iter().flatten() {
                    match (key.as_str(), inner) {
                        (
                            "must" | "must_not" | "should" | "filter" | "queries",
                            Value::Array(list),
                        ) => {
                            list.iter()
                                .try_for_each(|one| check_query(one, depth + 1))?;
                        }
                        ("must" | "must_not" | "should" | "filter", one) => {
                            check_query(one, depth + 1)?
                        }
                        (
                            "boost"
                            | "minimum_should_match"
                            | "tie_breaker"
                            | "_name"
                            | "adjust_pure_negative",
                            _,
                        ) => {}
                        _ => return Err(not_here(kind, key)),
                    }
                }
            }
            // `terms` may take its values from a document of another index.
            "terms" => {
                let looks_up = |value: &Value| value.is_object();
                if body
                    .as_object()
                    .is_none_or(|body| body.values().any(looks_up))
                {
                    return Err(Problem::body("`terms` takes a list of values here"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_aggregations(aggs: &Value, depth: usize) -> Result<(), Problem> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let Some(aggs) = aggs.as_object() else {
        return Err(Problem::body("`aggs` must be an object"));
    };
    for aggregation in aggs.values() {
        let Some(aggregation) = aggregation.as_object() else {
            return Err(Problem::body("an aggregation must be an object"));
        };
        for (kind, body) in aggregation {
            match kind.as_str() {
                "aggs" | "aggregations" => check_aggregations(body, depth + 1)?,
                "meta" => {}
                "filter" => check_query(body, depth + 1)?,
                "filters" => match &body["filters"] {
                    Value::Array(list) => list
                        .iter()
                        .try_for_each(|one| check_query(one, depth + 1))?,
                    Value::Object(map) => map
                        .values()
                        .try_for_each(|one| check_query(one, depth + 1))?,
                    _ => return Err(Problem::body("`filters` must be an object or a list")),
                },
                kind if AGGREGATIONS.contains(&kind) => {
                    // Scripts of arithmetic over buckets are fine; those over documents run code.
                    let is_bucket = kind.starts_with("bucket_") || kind == "moving_fn";
                    if !is_bucket && has_key(body, "script") {
                        return Err(not_here(kind, "script"));
                    }
                }
                _ => return Err(not_here("aggregation", kind)),
            }
        }
    }
    Ok(())
}

/// Whether `key` stands anywhere in it.
fn has_key(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(object) => object
            .iter()
            .any(|(name, inner)| name == key || has_key(inner, key)),
        Value::Array(list) => list.iter().any(|inner| has_key(inner, key)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: Value) -> Result<Value, Problem> {
        checked(
            body.as_object().cloned().unwrap(),
            Some(json!({"term": {"ns": "a"}})),
        )
    }

    #[test]
    fn every_query_gets_the_filter() {
        let body = check(json!({"query": {"match_all": {}}, "size": 0})).unwrap();
        assert_eq!(
            body["query"],
            json!({"bool": {"must": [{"match_all": {}}], "filter": [{"term": {"ns": "a"}}]}})
        );
        let body = check(json!({})).unwrap();
        assert_eq!(
            body["query"]["bool"]["filter"],
            json!([{"term": {"ns": "a"}}])
        );
    }

    #[test]
    fn what_grafana_asks_is_taken() {
        check(json!({
            "size": 0,
            "query": {"bool": {"filter": [
                {"range": {"@timestamp": {"gte": 1, "lte": 2, "format": "epoch_millis"}}},
                {"query_string": {"analyze_wildcard": true, "query": "*"}},
            ]}},
            "aggs": {"3": {"terms": {"field": "log.level", "size": 10, "order": {"_count": "desc"}, "min_doc_count": 1},
                "aggs": {"2": {"date_histogram": {"field": "@timestamp", "fixed_interval": "30s", "min_doc_count": 0,
                    "extended_bounds": {"min": 1, "max": 2}, "format": "epoch_millis"}, "aggs": {"1": {"avg": {"field": "x"}}}}}}},
        }))
        .unwrap();
        check(json!({"size": 500, "query": {"match_all": {}}, "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}], "script_fields": {}})).unwrap();
    }

    /// Ways around the filter.
    #[test]
    fn what_sees_other_documents_is_refused() {
        for body in [
            json!({"aggs": {"a": {"global": {}}}}),
            json!({"aggs": {"a": {"terms": {"field": "x"}, "aggs": {"b": {"global": {}}}}}}),
            json!({"aggs": {"a": {"significant_terms": {"field": "x"}}}}),
            json!({"aggs": {"a": {"scripted_metric": {}}}}),
            json!({"aggs": {"a": {"terms": {"script": "x"}}}}),
            json!({"aggs": {"a": {"filter": {"has_parent": {}}}}}),
            json!({"query": {"terms": {"x": {"index": "secret", "id": "1", "path": "y"}}}}),
            json!({"query": {"bool": {"must": [{"more_like_this": {}}]}}}),
            json!({"query": {"bool": {"must": {"script": {}}}}}),
            json!({"query": {"percolate": {}}}),
            json!({"suggest": {}}),
            json!({"pit": {"id": "x"}}),
            json!({"runtime_mappings": {}}),
            json!({"script_fields": {"a": {}}}),
            json!({"collapse": {}}),
            json!({"size": 10_001}),
            json!({"highlight": {"highlight_query": {}}}),
        ] {
            assert!(check(body.clone()).is_err(), "{body}");
        }
    }
}
