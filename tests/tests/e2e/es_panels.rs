//! The panels of Grafana over `/es/`: counts over time, terms in every order, metrics, tables and
//! logs.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::es_api::{COST, ORDER, Source};
use crate::lines::{LINES, is_checkout, is_error};

impl Source<'_> {
    /// The date histogram of a panel, with what is counted in each of its buckets.
    fn over_time(&self, interval: &str, aggs: Value) -> Value {
        json!({
            "date_histogram": {
                "field": "@timestamp", "fixed_interval": interval, "min_doc_count": 0,
                "extended_bounds": {"min": self.minute, "max": self.minute + 59_999},
                "format": "epoch_millis",
            },
            "aggs": aggs,
        })
    }

    fn aggregate(&self, aggs: Value) -> Value {
        let search = json!({"size": 0, "query": self.query(""), "aggs": aggs});
        self.one(search)["aggregations"].take()
    }

    /// Counts over time, of all and by a field.
    pub(crate) fn check_counts_over_time(&self) {
        let whole = json!({"2": self.over_time("10s", json!({}))});
        let by_level = json!({"3": {
            "terms": {
                "field": "log.level", "size": 10, "min_doc_count": 1, "order": {"_key": "desc"},
            },
            "aggs": {"2": self.over_time("30s", json!({}))},
        }});
        let mut answers = self.msearch(&[
            json!({"size": 0, "query": self.query("*"), "aggs": whole}),
            json!({"size": 0, "query": self.query("log.level:error"), "aggs": whole}),
            json!({"size": 0, "query": self.query(""), "aggs": by_level}),
        ]);
        let errors = (0..LINES).filter(|n| is_error(*n)).count();
        let totals = [LINES, errors, LINES];
        for (answer, total) in answers.iter().zip(totals) {
            assert_eq!(answer["hits"]["total"]["value"], total, "{answer}");
        }
        // The key of a bucket is a time in milliseconds.
        let points = |over: &Value| -> Vec<(u64, u64)> {
            let buckets = over["buckets"].as_array().unwrap().iter();
            buckets
                .map(|bucket| {
                    let key = bucket["key"].as_f64().unwrap() as u64;
                    (key - self.minute, bucket["doc_count"].as_u64().unwrap())
                })
                .collect()
        };
        let each_ten_seconds = |count: u64| -> Vec<(u64, u64)> {
            (0..6).map(|point| (point * 10_000, count)).collect()
        };
        let found = points(&answers[0]["aggregations"]["2"]);
        assert_eq!(found, each_ten_seconds(40));
        let found = points(&answers[1]["aggregations"]["2"]);
        assert_eq!(found, each_ten_seconds(4));
        let levels = answers[2]["aggregations"]["3"]["buckets"].take();
        assert_eq!(levels[0]["key"], "info", "{levels}");
        assert_eq!(points(&levels[0]["2"]), [(0, 108), (30_000, 108)]);
        assert_eq!(levels[1]["key"], "error", "{levels}");
        assert_eq!(points(&levels[1]["2"]), [(0, 12), (30_000, 12)]);
    }

    /// Services in the order of their names, of their lines, and of a metric.
    pub(crate) fn check_orders_of_terms(&self) {
        let metric = |kind: &str, field: &str| json!({kind: {"field": field}});
        let percentiles = json!({"percentiles": {"field": COST, "percents": ["95", "99"]}});
        let none = Value::Null;
        for (order, metric, over_time, first) in [
            (json!({"_key": "asc"}), &none, &none, "cart"),
            (json!({"_key": "desc"}), &none, &none, "checkout"),
            (json!({"_count": "desc"}), &none, &none, "cart"),
            (json!({"_count": "asc"}), &none, &none, "checkout"),
            // 120 and 118.5.
            (json!({"1": "desc"}), &metric("avg", ORDER), &none, "cart"),
            (
                json!({"1": "asc"}),
                &metric("avg", ORDER),
                &none,
                "checkout",
            ),
            (
                json!({"1": "desc"}),
                &metric("max", COST),
                &none,
                "checkout",
            ),
            (json!({"1": "desc"}), &metric("sum", ORDER), &none, "cart"),
            (
                json!({"1": "asc"}),
                &metric("cardinality", COST),
                &none,
                "checkout",
            ),
            (
                json!({"1[std_deviation]": "desc"}),
                &metric("extended_stats", ORDER),
                &none,
                "cart",
            ),
            // Without the percentiles that are shown, as Grafana leaves these out here.
            (
                json!({"1[95.0]": "desc"}),
                &metric("percentiles", COST),
                &percentiles,
                "checkout",
            ),
            (
                json!({"1[50.0]": "asc"}),
                &metric("percentiles", COST),
                &percentiles,
                "cart",
            ),
        ] {
            let (mut aggs, mut shown) = (json!({}), json!({}));
            if metric.is_object() {
                aggs["1"] = metric.clone();
                shown["1"] = match over_time {
                    Value::Null => metric.clone(),
                    shown => shown.clone(),
                };
            }
            aggs["3"] = self.over_time("1m", shown);
            let terms = json!({"field": "service.name", "size": 500, "order": order});
            let found = self.aggregate(json!({"2": {"terms": terms, "aggs": aggs}}));
            let buckets = found["2"]["buckets"].as_array().unwrap();
            let keys: Vec<&str> = buckets
                .iter()
                .map(|bucket| bucket["key"].as_str().unwrap())
                .collect();
            let second = if first == "cart" { "checkout" } else { "cart" };
            assert_eq!(keys, [first, second], "{order} {metric}");
            for bucket in buckets {
                let is_of_checkout = bucket["key"] == "checkout";
                let lines = (0..LINES).filter(|n| is_checkout(*n) == is_of_checkout);
                let count = lines.count();
                assert_eq!(bucket["doc_count"], count, "{bucket}");
                let over = bucket["3"]["buckets"].as_array().unwrap();
                assert_eq!(over.len(), 1, "{bucket}");
                assert_eq!(over[0]["doc_count"], count, "{bucket}");
            }
        }
        // One of two, and what is left.
        let terms = json!({"field": "service.name", "size": 1, "order": {"_count": "desc"}});
        let found = self.aggregate(json!({"1": {"terms": terms}}));
        assert_eq!(found["1"]["sum_other_doc_count"], 80, "{found}");
    }

    /// Every figure that a panel may show of a number.
    pub(crate) fn check_metrics(&self) {
        let found = self.aggregate(json!({"2": self.over_time("1m", json!({
            "1": {"avg": {"field": ORDER}},
            "3": {"percentiles": {"field": COST, "percents": ["25", "50", "75", "95", "99"]}},
            "4": {"cardinality": {"field": "url.path"}},
            "5": {"max": {"field": ORDER}},
            "6": {"min": {"field": ORDER}},
            "7": {"sum": {"field": ORDER}},
            "8": {"extended_stats": {"field": ORDER, "sigma": "3"}},
            "9": {"value_count": {"field": ORDER}},
        }))}));
        let buckets = found["2"]["buckets"].as_array().unwrap();
        assert_eq!(buckets.len(), 1, "{found}");
        let bucket = &buckets[0];
        assert_eq!(bucket["doc_count"], LINES);
        for (id, expected) in [
            ("1", 119.5),
            ("4", 4.0),
            ("5", 239.0),
            ("6", 0.0),
            ("7", 28_680.0),
            ("9", 240.0),
        ] {
            assert_eq!(
                bucket[id]["value"].as_f64(),
                Some(expected),
                "{id}: {bucket}"
            );
        }
        let stats = &bucket["8"];
        let deviation = ((LINES * LINES - 1) as f64 / 12.0).sqrt();
        let near = |found: &Value, expected: f64, share: f64| {
            let found = found.as_f64().unwrap();
            let is_near = (found - expected).abs() <= expected.abs() * share;
            assert!(is_near, "{found} is not {expected}: {bucket}");
        };
        assert_eq!(stats["count"], LINES);
        near(&stats["avg"], 119.5, 1e-9);
        near(&stats["std_deviation"], deviation, 1e-6);
        let upper = 119.5 + 3.0 * deviation;
        near(&stats["std_deviation_bounds"]["upper"], upper, 1e-6);
        // These are approximate, with other sketches in other stores.
        let percentiles = bucket["3"]["values"].as_object().unwrap();
        assert_eq!(percentiles.len(), 5, "{bucket}");
        for (percent, expected) in [
            ("25.0", 90.5),
            ("50.0", 180.0),
            ("75.0", 1_057.75),
            ("95.0", 1_201.15),
            ("99.0", 1_229.8),
        ] {
            near(&percentiles[percent], expected, 0.04);
        }
    }

    /// Buckets by queries, and by steps of a number.
    pub(crate) fn check_filters_and_steps(&self) {
        let query = |text: &str| json!({"query_string": {"query": text, "analyze_wildcard": true}});
        let filters = json!({
            "errors": query("log.level:error"),
            "late orders": query("attributes.orderId:>=200"),
            "none": query("log.level:debug"),
        });
        let found = self.aggregate(json!({
            "2": {
                "filters": {"filters": filters},
                "aggs": {"4": self.over_time("1m", json!({}))},
            },
            "5": {"histogram": {"field": ORDER, "interval": 60, "min_doc_count": 0}},
        }));
        let errors = (0..LINES).filter(|n| is_error(*n)).count();
        for (name, expected) in [("errors", errors), ("late orders", 40), ("none", 0)] {
            let bucket = &found["2"]["buckets"][name];
            assert_eq!(bucket["doc_count"], expected, "{name}: {found}");
            let over = bucket["4"]["buckets"].as_array().unwrap();
            let over: u64 = over
                .iter()
                .map(|it| it["doc_count"].as_u64().unwrap())
                .sum();
            assert_eq!(over, expected as u64, "{name}: {found}");
        }
        let steps: Vec<(f64, u64)> = found["5"]["buckets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| {
                let key = bucket["key"].as_f64().unwrap();
                (key, bucket["doc_count"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(steps, [(0.0, 60), (60.0, 60), (120.0, 60), (180.0, 60)]);
    }

    /// A search for documents, as the panels of tables and logs make it: Grafana gives all fields of
    /// a sort in one object, and asks for the time twice.
    fn documents(&self, lucene: &str, size: usize) -> Value {
        json!({
            "size": size,
            "query": self.query(lucene),
            "sort": {
                "@timestamp": {"order": "desc", "unmapped_type": "boolean"},
                "_doc": {"order": "desc"},
            },
            "docvalue_fields": ["@timestamp"],
            "script_fields": {},
            "fields": [{"field": "@timestamp", "format": "strict_date_optional_time_nanos"}],
        })
    }

    /// A table of documents.
    pub(crate) fn check_raw_data(&self) {
        let found = self.one(self.documents("", 500));
        assert_eq!(found["hits"]["total"]["value"], LINES);
        let hits = found["hits"]["hits"].as_array().unwrap();
        let ids: HashSet<&str> = hits
            .iter()
            .map(|hit| hit["_id"].as_str().unwrap())
            .collect();
        assert_eq!((hits.len(), ids.len()), (LINES, LINES));
        for (place, hit) in hits.iter().enumerate() {
            let source = &hit["_source"];
            let order = source["attributes"]["orderId"].as_u64().unwrap() as usize;
            // Four share a time.
            assert_eq!(order / 4, (LINES - 1 - place) / 4, "{hit}");
            let level = if is_error(order) { "error" } else { "info" };
            assert_eq!(source["log"]["level"], level, "{hit}");
            // Grafana takes the time of a list of one.
            let times = hit["fields"]["@timestamp"].as_array().unwrap();
            assert_eq!(times.len(), 1, "{hit}");
            let second = |time: &Value| time.as_str().unwrap().get(..19).map(str::to_owned);
            assert_eq!(second(&times[0]), second(&source["@timestamp"]), "{hit}");
            assert_eq!(hit["sort"].as_array().unwrap().len(), 2, "{hit}");
            assert!(hit["_index"].is_string(), "{hit}");
        }
        // As a list of fields, and rising.
        let mut search = self.documents("", 1);
        search["sort"] = json!([
            {"@timestamp": {"order": "asc", "unmapped_type": "boolean"}}, {"_doc": {"order": "asc"}},
        ]);
        let found = self.one(search);
        let first = &found["hits"]["hits"][0]["_source"];
        let order = first["attributes"]["orderId"].as_u64().unwrap();
        assert!(order < 4, "{first}");
    }

    /// Log lines with what was found marked, page by page as the context of a line is read.
    pub(crate) fn check_logs(&self) {
        let mut search = self.documents("message:took AND log.level:error", 10);
        search["highlight"] = json!({
            "fields": {"*": {}},
            "pre_tags": ["@HIGHLIGHT@"], "post_tags": ["@/HIGHLIGHT@"],
            "fragment_size": 2_147_483_647_u32,
        });
        let mut orders = Vec::new();
        let mut pages = 0;
        loop {
            let found = self.one(search.clone());
            let hits = found["hits"]["hits"].as_array().unwrap();
            let Some(last) = hits.last() else { break };
            search["search_after"] = last["sort"].clone();
            pages += 1;
            for hit in hits {
                let order = hit["_source"]["attributes"]["orderId"].as_u64().unwrap();
                let marked = format!("order {order} @HIGHLIGHT@took@/HIGHLIGHT@ {}ms", order * 7);
                // OpenSearch marks no `match_only_text` for a `*`.
                let message = &hit["highlight"]["message"];
                let is_left_out = message.is_null() && self.index != "_all";
                assert!(is_left_out || *message == json!([marked]), "{hit}");
                let level = json!(["@HIGHLIGHT@error@/HIGHLIGHT@"]);
                assert_eq!(hit["highlight"]["log.level"], level, "{hit}");
                orders.push(order as usize);
            }
        }
        let expected: Vec<usize> = (0..LINES).rev().filter(|n| is_error(*n)).collect();
        assert_eq!((orders, pages), (expected, 3));
    }
}
