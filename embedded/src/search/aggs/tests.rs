use serde_json::{Value, json};

use crate::search::trial::Trial;

/// One document a minute; `took` is 0, 10, … 60, and the last has none.
fn trial() -> Trial {
    let services = [
        "cart", "cart", "cart", "cart", "payment", "payment", "payment", "search",
    ];
    let documents = services.iter().enumerate().map(|(n, service)| {
        let mut document = json!({
            "@timestamp": format!("2026-11-25T10:0{n}:00Z"), "message": "m", "service.name": service,
        });
        if n < 7 {
            document["took"] = json!(n * 10);
        }
        document
    });
    Trial::over(&documents.collect::<Vec<Value>>())
}

#[test]
fn numbers_may_be_given_as_text() {
    let trial = trial();
    for (number, text) in [
        (
            json!({"terms": {"field": "service.name", "size": 2, "min_doc_count": 2}}),
            json!({"terms": {"field": "service.name", "size": "2", "min_doc_count": "2"}}),
        ),
        (
            json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "2m", "min_doc_count": 0}}),
            json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "2m", "min_doc_count": "0"}}),
        ),
        (
            json!({"date_histogram": {"field": "@timestamp", "calendar_interval": "1M", "min_doc_count": 1}}),
            json!({"date_histogram": {"field": "@timestamp", "calendar_interval": "1M", "min_doc_count": "1"}}),
        ),
        (
            json!({"histogram": {"field": "took", "interval": 20, "offset": 5, "min_doc_count": 1,
                "hard_bounds": {"min": 0, "max": 50}}}),
            json!({"histogram": {"field": "took", "interval": "20", "offset": "5", "min_doc_count": "1",
                "hard_bounds": {"min": "0", "max": "50"}}}),
        ),
        (
            json!({"percentiles": {"field": "took", "percents": [50, 99.5]}}),
            json!({"percentiles": {"field": "took", "percents": ["50", "99.5"]}}),
        ),
        (
            json!({"extended_stats": {"field": "took", "sigma": 3}}),
            json!({"extended_stats": {"field": "took", "sigma": "3"}}),
        ),
        (
            json!({"avg": {"field": "took", "missing": 0}}),
            json!({"avg": {"field": "took", "missing": "0"}}),
        ),
        (
            json!({"range": {"field": "took", "ranges": [{"from": 10, "to": 40.5}]}}),
            json!({"range": {"field": "took", "ranges": [{"from": "10", "to": "40.5"}]}}),
        ),
        (
            json!({"top_hits": {"size": 2, "sort": [{"@timestamp": "desc"}]}}),
            json!({"top_hits": {"size": "2", "sort": [{"@timestamp": "desc"}]}}),
        ),
    ] {
        let of = |agg: &Value| trial.aggregations(&json!({"a": agg}))["a"].take();
        assert_eq!(of(&text), of(&number), "{text}");
    }
}

#[test]
fn what_is_given_as_text_counts() {
    let found = trial().aggregations(&json!({
        "first": {"terms": {"field": "service.name", "size": "1"}},
        "with": {"avg": {"field": "took", "missing": "0"}},
        "without": {"avg": {"field": "took"}},
        "half": {"percentiles": {"field": "took", "percents": ["50"]}},
        "services": {"cardinality": {"field": "service.name", "missing": "none"}},
    }));
    let first = &found["first"]["buckets"];
    assert_eq!(first.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(first[0]["key"], "cart");
    assert_eq!(found["first"]["sum_other_doc_count"], 4);
    assert_eq!(found["with"]["value"], 26.25);
    assert_eq!(found["without"]["value"], 30.0);
    assert!(found["half"]["values"]["50.0"].is_number(), "{found}");
    let services = found["services"]["value"].as_f64().unwrap();
    assert_eq!(services.round(), 3.0);
}

#[test]
fn what_is_no_number_is_refused() {
    let trial = trial();
    for (agg, expected) in [
        (
            json!({"terms": {"field": "service.name", "size": "many"}}),
            "`size` is a count, got \"many\"",
        ),
        (
            json!({"terms": {"field": "service.name", "size": 0}}),
            "`size` must be greater than 0",
        ),
        (
            json!({"histogram": {"field": "took", "interval": "wide"}}),
            "`interval` is a number",
        ),
        (
            json!({"histogram": {"field": "took", "interval": 10, "missing": 0}}),
            "`missing` is not known of [histogram]",
        ),
        (
            json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "1m", "min_doc_count": "-1"}}),
            "`min_doc_count` is a count",
        ),
        (
            json!({"percentiles": {"field": "took", "percents": ["half"]}}),
            "`percents` are numbers from 0 to 100, got \"half\"",
        ),
        (
            json!({"avg": {"field": "took", "missing": "none"}}),
            "`missing` is a number, got \"none\"",
        ),
        (
            json!({"range": {"field": "took", "ranges": [{"from": "low"}]}}),
            "`from` is a number, got \"low\"",
        ),
    ] {
        let refusal = trial.refusal(&json!({"a": agg}));
        assert!(refusal.contains(expected), "{agg}: {refusal}");
    }
}

#[test]
fn terms_are_ordered_by_one_of_several_values() {
    let trial = trial();
    let metrics = json!({
        "1": {"extended_stats": {"field": "took"}},
        "2": {"percentiles": {"field": "took", "percents": ["50", "95"]}},
        "3": {"max": {"field": "took"}},
    });
    let ordered = |key: &str, direction: &str, size: u64| {
        let terms = json!({"field": "service.name", "size": size, "order": {key: direction}});
        trial.aggregations(&json!({"a": {"terms": terms, "aggs": metrics}}))["a"].take()
    };
    for (key, direction, expected) in [
        // 0 to 30, 40 to 60, nothing.
        ("1[std_deviation]", "desc", ["cart", "payment", "search"]),
        ("1.std_deviation", "desc", ["cart", "payment", "search"]),
        ("1[avg]", "desc", ["payment", "cart", "search"]),
        ("1[std_upper]", "desc", ["payment", "cart", "search"]),
        ("2[95.0]", "desc", ["payment", "cart", "search"]),
        ("2[50]", "asc", ["cart", "payment", "search"]),
        ("2.50", "desc", ["payment", "cart", "search"]),
        ("3", "desc", ["payment", "cart", "search"]),
        ("3.value", "desc", ["payment", "cart", "search"]),
        ("_term", "desc", ["search", "payment", "cart"]),
    ] {
        let found = ordered(key, direction, 10);
        let keys: Vec<&Value> = found["buckets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| &bucket["key"])
            .collect();
        assert_eq!(keys, expected, "{key}");
    }
    let found = ordered("2[95]", "desc", 1);
    assert_eq!(found["buckets"].as_array().unwrap().len(), 1);
    assert_eq!(found["sum_other_doc_count"], 5, "{found}");
    for (key, expected) in [
        ("1", "[1] has several values"),
        ("2", "[2] has several values"),
        ("2[75]", "[2] has no percentile [75]"),
        ("3[avg]", "cannot be ordered by [3[avg]]"),
        ("4", "there is no metric [4] to order by"),
    ] {
        let terms = json!({"field": "service.name", "order": {key: "desc"}});
        let refusal = trial.refusal(&json!({"a": {"terms": terms, "aggs": metrics}}));
        assert!(refusal.contains(expected), "{key}: {refusal}");
    }
}

#[test]
fn keys_of_dates_are_written_as_asked() {
    let trial = trial();
    for (format, expected) in [
        (json!("epoch_millis"), "1795600800000"),
        (json!("epoch_second"), "1795600800"),
        (
            json!("strict_date_optional_time"),
            "2026-11-25T10:00:00.000Z",
        ),
        (json!(null), "2026-11-25T10:00:00.000Z"),
    ] {
        let body = json!({"field": "@timestamp", "fixed_interval": "1h", "format": format});
        let found = trial.aggregations(&json!({"a": {"date_histogram": body}}));
        let bucket = &found["a"]["buckets"][0];
        assert_eq!(bucket["key"], 1_795_600_800_000_i64, "{format}");
        assert_eq!(bucket["key_as_string"], expected, "{format}");
    }
    let body = json!({
        "field": "@timestamp", "calendar_interval": "1d", "format": "epoch_millis", "keyed": true,
    });
    let found = trial.aggregations(&json!({"a": {"date_histogram": body}}));
    assert_eq!(
        found["a"]["buckets"]["1795564800000"]["doc_count"], 8,
        "{found}"
    );
}

#[test]
fn top_metrics_are_fields_of_the_first_documents() {
    let trial = trial();
    let metrics = json!({
        "metrics": [{"field": "took"}, {"field": "service.name"}], "size": "2",
        "sort": [{"@timestamp": "desc"}],
    });
    let aggs = json!({"a": {
        "terms": {"field": "service.name", "order": {"_key": "asc"}},
        "aggs": {"t": {"top_metrics": metrics}},
    }});
    let found = trial.aggregations(&aggs);
    let buckets = &found["a"]["buckets"];
    assert_eq!(
        buckets[1]["t"],
        json!({"top": [
            {"sort": ["2026-11-25T10:06:00.000Z"], "metrics": {"took": 60, "service.name": "payment"}},
            {"sort": ["2026-11-25T10:05:00.000Z"], "metrics": {"took": 50, "service.name": "payment"}},
        ]})
    );
    let search = json!({"sort": ["2026-11-25T10:07:00.000Z"], "metrics": {"took": null, "service.name": "search"}});
    assert_eq!(buckets[2]["t"], json!({"top": [search]}));
    // Documents without a value to sort by are left out.
    let by_took = json!({"metrics": {"field": "service.name"}, "sort": {"took": "desc"}});
    let found = trial.aggregations(&json!({"a": {"top_metrics": by_took}}));
    assert_eq!(
        found["a"],
        json!({"top": [{"sort": [60], "metrics": {"service.name": "payment"}}]})
    );
    for (body, expected) in [
        (json!({"sort": "took"}), "[a] needs `metrics`"),
        (
            json!({"metrics": {"field": "took"}}),
            "[a] takes a `sort` by one field",
        ),
        (
            json!({"metrics": {"field": "took"}, "sort": "took", "size": 11}),
            "from 1 to 10",
        ),
    ] {
        let refusal = trial.refusal(&json!({"a": {"top_metrics": body}}));
        assert!(refusal.contains(expected), "{body}: {refusal}");
    }
}
