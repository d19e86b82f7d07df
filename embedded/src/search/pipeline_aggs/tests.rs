use serde_json::{Value, json};

use crate::search::trial::Trial;

/// Four minutes with 1, 2, 0 and 3 documents; `took` is 10 for each document before, and itself.
fn trial() -> Trial {
    let minutes = [0, 1, 1, 3, 3, 3];
    let documents = minutes.iter().enumerate().map(|(n, minute)| {
        let level = if n % 2 == 0 { "info" } else { "error" };
        json!({
            "@timestamp": format!("2026-11-25T10:0{minute}:0{n}Z"), "message": "m",
            "log.level": level, "took": (n + 1) * 10,
        })
    });
    Trial::over(&documents.collect::<Vec<Value>>())
}

/// What a pipeline is in each minute.
fn by_minute(pipeline: &Value) -> Vec<Value> {
    let aggs = json!({"minutes": {
        "date_histogram": {"field": "@timestamp", "fixed_interval": "1m", "min_doc_count": 0},
        "aggs": {"took": {"sum": {"field": "took"}}, "max": {"max": {"field": "took"}}, "p": pipeline},
    }});
    let found = trial().aggregations(&aggs);
    let buckets = found["minutes"]["buckets"].as_array().unwrap();
    buckets.iter().map(|bucket| bucket["p"].clone()).collect()
}

/// The same, of one value each.
fn values(pipeline: Value) -> Vec<Option<f64>> {
    let shown = by_minute(&pipeline);
    shown.iter().map(|shown| shown["value"].as_f64()).collect()
}

#[test]
fn pipelines_go_over_the_buckets_of_their_histogram() {
    for (pipeline, expected) in [
        // Counts are 1, 2, 0, 3; sums 10, 50, none, 150; maxima 10, 30, none, 60.
        (
            json!({"derivative": {"buckets_path": "_count"}}),
            [None, Some(1.0), Some(-2.0), Some(3.0)],
        ),
        (
            json!({"derivative": {"buckets_path": "took"}}),
            [None, Some(40.0), None, None],
        ),
        (
            json!({"derivative": {"buckets_path": "took", "gap_policy": "insert_zeros"}}),
            [None, Some(40.0), Some(-50.0), Some(150.0)],
        ),
        (
            json!({"cumulative_sum": {"buckets_path": "took.value"}}),
            [Some(10.0), Some(60.0), Some(60.0), Some(210.0)],
        ),
        (
            json!({"serial_diff": {"buckets_path": "_count", "lag": "2"}}),
            [None, None, Some(-1.0), Some(1.0)],
        ),
        (
            json!({"serial_diff": {"buckets_path": "took"}}),
            [None, Some(40.0), None, None],
        ),
        (
            json!({"moving_fn": {
                "buckets_path": "_count", "window": "2", "script": "MovingFunctions.sum(values)",
            }}),
            [Some(0.0), Some(1.0), Some(3.0), Some(2.0)],
        ),
        (
            json!({"moving_fn": {
                "buckets_path": "took", "window": 2, "shift": 1,
                "script": "MovingFunctions.unweightedAvg(values)",
            }}),
            [Some(10.0), Some(30.0), None, Some(100.0)],
        ),
        (
            json!({"bucket_script": {
                "buckets_path": {"sum": "took", "n": "_count"}, "script": "params.sum / params.n",
            }}),
            [Some(10.0), Some(25.0), None, Some(50.0)],
        ),
        (
            json!({"bucket_script": {
                "buckets_path": {"sum": "took", "max": "max"}, "gap_policy": "insert_zeros",
                "script": {"source": "(params.sum - params.max) * params.k", "params": {"k": 2}},
            }}),
            [Some(0.0), Some(40.0), Some(0.0), Some(180.0)],
        ),
        // A quotient of nothing is no number.
        (
            json!({"bucket_script": {
                "buckets_path": {"n": "_count"}, "script": "params.n / (params.n - params.n)",
            }}),
            [None, None, None, None],
        ),
    ] {
        assert_eq!(values(pipeline.clone()), expected, "{pipeline}");
    }
}

#[test]
fn what_there_is_no_result_of_is_left_out() {
    let derivative =
        json!({"derivative": {"buckets_path": "took", "unit": "1s"}, "meta": {"m": 1}});
    let found = by_minute(&derivative);
    let change = json!({"value": 40.0, "normalized_value": 40.0 / 60.0, "meta": {"m": 1}});
    let gap = json!({"value": null, "normalized_value": null, "meta": {"m": 1}});
    assert_eq!(found, [Value::Null, change, gap.clone(), gap]);
    let difference = json!({"serial_diff": {"buckets_path": "took"}});
    let found = by_minute(&difference);
    assert_eq!(
        found,
        [
            Value::Null,
            json!({"value": 40.0}),
            Value::Null,
            Value::Null
        ]
    );
}

#[test]
fn pipelines_go_over_pipelines() {
    let found = trial().aggregations(&json!({
        "levels": {"terms": {"field": "log.level", "order": {"_key": "asc"}}, "aggs": {
            "minutes": {
                "date_histogram": {"field": "@timestamp", "fixed_interval": "1m", "min_doc_count": 0},
                "aggs": {
                    "a": {"derivative": {"buckets_path": "z", "gap_policy": "keep_values"}},
                    "z": {"cumulative_sum": {"buckets_path": "_count"}},
                    "slow": {
                        "filter": {"range": {"took": {"gte": 40}}},
                        "aggs": {"max": {"max": {"field": "took"}}},
                    },
                    "s": {"bucket_script": {
                        "buckets_path": {"x": "slow>max", "y": "slow._count"}, "script": "params.x + params.y",
                    }},
                },
            },
            "most": {"max_bucket": {"buckets_path": "minutes>_count"}},
            "least": {"min_bucket": {"buckets_path": "minutes>z"}},
            "mean": {"avg_bucket": {"buckets_path": "minutes>slow>max"}},
            "sum": {"sum_bucket": {"buckets_path": "minutes>a"}},
            "share": {"bucket_script": {
                "buckets_path": {"most": "most", "all": "_count"}, "script": "params.most / params.all",
            }},
        }},
    }));
    // Errors are in the minutes 1, 3 and 3 with 20, 40 and 60.
    let error = &found["levels"]["buckets"][0];
    assert_eq!(error["key"], "error", "{found}");
    let minutes = error["minutes"]["buckets"].as_array().unwrap();
    let of = |name: &str| -> Vec<Option<f64>> {
        let values = minutes.iter().map(|minute| minute[name]["value"].as_f64());
        values.collect()
    };
    assert_eq!(of("z"), [Some(1.0), Some(1.0), Some(3.0)]);
    assert_eq!(of("a"), [None, Some(0.0), Some(2.0)]);
    assert_eq!(of("s"), [None, None, Some(62.0)]);
    let keys = json!(["2026-11-25T10:03:00.000Z"]);
    assert_eq!(error["most"], json!({"value": 2.0, "keys": keys}));
    assert_eq!(error["least"]["value"], 1.0);
    assert_eq!(error["mean"]["value"], 60.0);
    assert_eq!(error["sum"]["value"], 2.0);
    assert_eq!(error["share"]["value"], 2.0 / 3.0);
}

#[test]
fn what_cannot_be_is_refused() {
    let trial = trial();
    let within = |pipeline: Value| {
        json!({"minutes": {
            "date_histogram": {"field": "@timestamp", "fixed_interval": "1m"},
            "aggs": {
                "took": {"sum": {"field": "took"}}, "all": {"stats": {"field": "took"}},
                "levels": {"terms": {"field": "log.level"}}, "p": pipeline,
            },
        }})
    };
    for (aggs, expected) in [
        (
            json!({"p": {"derivative": {"buckets_path": "_count"}}}),
            "[p] has to stand directly below a `histogram` or a `date_histogram`",
        ),
        (
            json!({"levels": {"terms": {"field": "log.level"}, "aggs": {
                "p": {"cumulative_sum": {"buckets_path": "_count"}},
            }}}),
            "[p] has to stand directly below",
        ),
        (
            json!({"p": {"bucket_script": {"buckets_path": {}, "script": "1"}}}),
            "[p]: `bucket_script` stands directly below an aggregation with buckets",
        ),
        (
            within(json!({"derivative": {"buckets_path": "other"}})),
            "[p]: there is no aggregation for the path [other]",
        ),
        (
            within(json!({"derivative": {"buckets_path": "all"}})),
            "[p]: [all] has several values",
        ),
        (
            within(json!({"derivative": {"buckets_path": "levels"}})),
            "[p]: the path [levels] leads to no number",
        ),
        (
            within(json!({"derivative": {"buckets_path": "levels>_count"}})),
            "[levels], which is not one bucket",
        ),
        (
            within(json!({"derivative": {"buckets_path": "p"}})),
            "[p] need each other",
        ),
        (
            within(json!({"derivative": {}})),
            "a path of `buckets_path` is text, got null",
        ),
        (
            within(json!({"derivative": {"buckets_path": "took", "gap_policy": "guess"}})),
            "`gap_policy` is skip, insert_zeros or keep_values",
        ),
        (
            within(
                json!({"derivative": {"buckets_path": "took"}, "aggs": {"x": {"max": {"field": "took"}}}}),
            ),
            "a [derivative] has no aggregations below it",
        ),
        (
            within(json!({"serial_diff": {"buckets_path": "took", "lag": 0}})),
            "[p] needs a `lag` from 1",
        ),
        (
            within(
                json!({"moving_fn": {"buckets_path": "took", "script": "MovingFunctions.max(values)"}}),
            ),
            "[p] needs a `window` from 1",
        ),
        (
            within(
                json!({"moving_fn": {"buckets_path": "took", "window": 5, "script": "values.length"}}),
            ),
            "got \"values.length\"",
        ),
        (
            within(json!({"bucket_script": {"buckets_path": {"a": "took"}, "script": "params.b"}})),
            "the script [params.b] has `params.b`, of which nothing is known",
        ),
        (
            within(json!({"max_bucket": {"buckets_path": "took"}})),
            "[p]: the path [took] has to lead through the buckets of an aggregation",
        ),
        (
            within(json!({"max_bucket": {"buckets_path": "took>x"}})),
            "[p]: there is no aggregation [took] with buckets beside it",
        ),
        (
            within(json!({"bucket_selector": {"buckets_path": {}, "script": "true"}})),
            "unknown aggregation type [bucket_selector]",
        ),
    ] {
        let refusal = trial.refusal(&aggs);
        assert!(refusal.contains(expected), "{aggs}: {refusal}");
    }
}
