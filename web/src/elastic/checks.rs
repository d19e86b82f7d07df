//! Which searches are passed on: those that can see nothing but documents the asker may.

use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// Deepest nesting of a body.
const MAX_DEPTH: usize = 40;

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

/// The body, when all of it is allowed, with `visible` around its query.
pub(super) fn checked(
    request: Map<String, Value>,
    visible: Option<Value>,
) -> Result<Value, Problem> {
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
    if let Some(sort) = request.get_mut("sort") {
        *sort = one_by_one(sort.take());
    }
    if let Some(visible) = visible {
        let query = request
            .remove("query")
            .unwrap_or_else(|| json!({"match_all": {}}));
        let query = json!({"bool": {"must": [query], "filter": [visible]}});
        request.insert("query".into(), query);
    }
    Ok(Value::Object(request))
}

/// A sort with an object for each field. Objects of several come in the order of their names,
/// since none of theirs is left; the order of documents, which leaves nothing to decide, comes last.
fn one_by_one(sort: Value) -> Value {
    let is_several = |entry: &Value| entry.as_object().is_some_and(|fields| fields.len() > 1);
    let entries = match sort {
        Value::Array(entries) if entries.iter().any(is_several) => entries,
        entry if is_several(&entry) => vec![entry],
        sort => return sort,
    };
    let mut sorts = Vec::new();
    for entry in entries {
        let fields = match entry {
            Value::Object(fields) => fields,
            entry => {
                sorts.push(entry);
                continue;
            }
        };
        let (last, first): (Vec<_>, Vec<_>) =
            fields.into_iter().partition(|(field, _)| field == "_doc");
        let fields = first.into_iter().chain(last);
        sorts.extend(fields.map(|(field, options)| json!({field: options})));
    }
    Value::Array(sorts)
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
        check(json!({"size": 0, "aggs": {"2": {"date_histogram": {"field": "@timestamp", "fixed_interval": "30s"}, "aggs": {
            "1": {"sum": {"field": "x"}},
            "3": {"derivative": {"buckets_path": "1", "unit": "1s"}},
            "4": {"moving_fn": {"buckets_path": "_count", "window": 5, "script": "MovingFunctions.max(values)"}},
            "5": {"bucket_script": {"buckets_path": {"a": "1", "b": "_count"}, "script": "params.a / params.b"}},
            "6": {"cumulative_sum": {"buckets_path": "1"}},
            "7": {"serial_diff": {"buckets_path": "1", "lag": "5"}},
            "8": {"top_metrics": {"metrics": [{"field": "x"}], "sort": [{"@timestamp": "desc"}], "size": "1"}},
        }}}}))
        .unwrap();
        check(json!({"size": 500, "query": {"match_all": {}}, "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}], "script_fields": {}})).unwrap();
    }

    #[test]
    fn sorts_of_several_fields_keep_their_order() {
        let sorted = |sort: Value| check(json!({"sort": sort})).unwrap()["sort"].take();
        let time = json!({"order": "desc", "unmapped_type": "boolean"});
        let expected = json!([{"@timestamp": time}, {"_doc": {"order": "desc"}}]);
        // As Grafana 10 asks.
        let sort = json!({"@timestamp": time, "_doc": {"order": "desc"}});
        assert_eq!(sorted(sort), expected);
        assert_eq!(sorted(expected.clone()), expected);
        let sort = json!(["log.offset", {"event.ingested": "desc", "_doc": "asc"}]);
        let expected = json!(["log.offset", {"event.ingested": "desc"}, {"_doc": "asc"}]);
        assert_eq!(sorted(sort), expected);
        assert_eq!(sorted(json!("log.offset")), json!("log.offset"));
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
