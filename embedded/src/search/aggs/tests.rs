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
            json!({"percentiles": {"field": "@timestamp"}}),
            "there are no percentiles of times",
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

#[test]
fn extended_stats_of_one_value_or_none() {
    let stats = json!({"s": {"extended_stats": {"field": "took"}}});
    let found = trial().aggregations(&json!({
        "a": {"terms": {"field": "service.name", "order": {"_key": "asc"}}, "aggs": stats},
        "one": {"filter": {"term": {"took": 20}}, "aggs": stats},
    }));
    let none = &found["a"]["buckets"][2]["s"];
    assert_eq!(none["count"], 0, "{found}");
    assert_eq!(none["sum"], 0.0);
    assert_eq!(none["variance"], Value::Null);
    assert_eq!(
        none["std_deviation_bounds"],
        json!({
            "upper": null, "lower": null, "upper_population": null, "lower_population": null,
            "upper_sampling": null, "lower_sampling": null,
        })
    );
    let one = &found["one"]["s"];
    assert_eq!(one["variance"], 0.0, "{found}");
    assert_eq!(one["std_deviation_population"], 0.0);
    assert_eq!(one["variance_sampling"], Value::Null);
    assert_eq!(
        one["std_deviation_bounds"],
        json!({
            "upper": 20.0, "lower": 20.0, "upper_population": 20.0, "lower_population": 20.0,
            "upper_sampling": null, "lower_sampling": null,
        })
    );
    // 40, 50 and 60.
    let several = &found["a"]["buckets"][1]["s"]["std_deviation_bounds"];
    let upper = several["upper_sampling"].as_f64().unwrap();
    assert!((upper - 70.0).abs() < 1e-9, "{found}");
    assert_eq!(several.as_object().unwrap().len(), 6);
}

#[test]
fn percentiles_of_few_values_are_of_the_right_rank() {
    let trial = trial();
    let percents = json!([0, 1, 50, 66, 67, 95.0, 99.9, 100]);
    let found = trial.aggregations(&json!({
        "a": {
            "terms": {"field": "service.name", "order": {"p[95.0]": "desc"}},
            "aggs": {"p": {"percentiles": {"field": "took", "percents": percents}}},
        },
        "listed": {"percentiles": {"field": "took", "percents": [99], "keyed": false}},
        "with": {"percentiles": {"field": "took", "percents": [12, 13], "missing": 100}},
        "highest": {"max_bucket": {"buckets_path": "a>p[95.0]"}},
    }));
    let near = |found: &Value, expected: f64| {
        let number = found.as_f64().unwrap();
        let is_near = (number - expected).abs() <= expected * 0.011;
        assert!(is_near, "{number} is not {expected}");
    };
    let buckets = &found["a"]["buckets"];
    assert_eq!(buckets[0]["key"], "payment", "{found}");
    assert_eq!(buckets[0].as_object().unwrap().len(), 3, "{found}");
    // 40, 50 and 60.
    let values = &buckets[0]["p"]["values"];
    assert_eq!(values.as_object().unwrap().len(), 8, "{found}");
    for (percent, expected) in [
        ("0.0", 40.0),
        ("1.0", 40.0),
        ("50.0", 50.0),
        ("66.0", 50.0),
        ("67.0", 60.0),
        ("95.0", 60.0),
        ("99.9", 60.0),
        ("100.0", 60.0),
    ] {
        near(&values[percent], expected);
    }
    assert_eq!(buckets[2]["p"]["values"]["50.0"], Value::Null);
    let listed = found["listed"]["values"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "{found}");
    assert_eq!(listed[0]["key"], 99.0);
    near(&listed[0]["value"], 60.0);
    // The first of eight, and the second.
    assert_eq!(found["with"]["values"]["12.0"], 0.0);
    near(&found["with"]["values"]["13.0"], 10.0);
    near(&found["highest"]["value"], 60.0);
    assert_eq!(found.as_object().unwrap().len(), 4, "{found}");
    let order = json!({"field": "service.name", "order": {"p[96]": "desc"}});
    let aggs = json!({"p": {"percentiles": {"field": "took", "percents": [95]}}});
    let refusal = trial.refusal(&json!({"a": {"terms": order, "aggs": aggs}}));
    assert!(refusal.contains("no percentile [96]"), "{refusal}");
}

#[test]
fn terms_without_a_value_are_last() {
    let documents = [
        ("d", json!(null)),
        ("c", json!(1)),
        ("b", json!(2)),
        ("a", json!(2)),
        ("a", json!(2)),
        ("f", json!(2)),
        ("e", json!(null)),
    ];
    let documents = documents.map(|(service, took)| {
        json!({"@timestamp": "2026-11-25T10:00:00Z", "message": "m", "service.name": service, "took": took})
    });
    let trial = Trial::over(&documents);
    let ordered = |order: Value, size: u64| -> Vec<String> {
        let terms = json!({"field": "service.name", "size": size, "order": order});
        let aggs = json!({"m": {"avg": {"field": "took"}}, "s": {"stats": {"field": "took"}}});
        let found = trial.aggregations(&json!({"t": {"terms": terms, "aggs": aggs}}));
        let buckets = found["t"]["buckets"].as_array().unwrap().iter();
        buckets
            .map(|bucket| bucket["key"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        ordered(json!({"m": "asc"}), 10),
        ["c", "a", "b", "f", "d", "e"]
    );
    // The greatest of no values is below all, the least of them above.
    assert_eq!(ordered(json!({"s.max": "asc"}), 3), ["d", "e", "c"]);
    assert_eq!(ordered(json!({"s.min": "desc"}), 3), ["d", "e", "a"]);
    assert_eq!(
        ordered(json!([{"s.min": "asc"}, {"_count": "asc"}]), 10),
        ["c", "b", "f", "a", "d", "e"]
    );
    assert_eq!(
        ordered(json!([{"m": "asc"}, {"_key": "desc"}]), 10),
        ["c", "f", "b", "a", "e", "d"]
    );
    let last = ordered(json!({"m": "desc"}), 10).split_off(5);
    assert!(last == ["d"] || last == ["e"], "{last:?}");
    assert_eq!(ordered(json!({"s.sum": "asc"}), 10)[2], "c");
}

#[test]
fn figures_of_times_are_in_milliseconds() {
    let found = trial().aggregations(&json!({
        "count": {"value_count": {"field": "@timestamp"}},
        "unique": {"cardinality": {"field": "@timestamp"}},
        "stats": {"stats": {"field": "@timestamp"}},
        "more": {"extended_stats": {"field": "@timestamp"}},
    }));
    assert_eq!(found["count"], json!({"value": 8}));
    assert_eq!(found["unique"], json!({"value": 8}));
    // Eight minutes from here.
    let first = 1_795_600_800_000_f64;
    let near = |found: &Value, expected: f64| {
        let number = found.as_f64().unwrap();
        let is_near = (number - expected).abs() <= expected * 1e-6;
        assert!(is_near, "{number} is not {expected}");
    };
    near(&found["stats"]["sum"], 8.0 * first + 28.0 * 60_000.0);
    assert_eq!(found["stats"]["max"], first + 420_000.0);
    let more = &found["more"];
    // (8² - 1) / 12 minutes².
    near(&more["variance"], 5.25 * 3.6e9);
    near(&more["std_deviation"], 5.25_f64.sqrt() * 60_000.0);
    near(&more["sum_of_squares"], 8.0 * first * first);
    let upper = first + 210_000.0 + 2.0 * 5.25_f64.sqrt() * 60_000.0;
    near(&more["std_deviation_bounds"]["upper"], upper);
}
