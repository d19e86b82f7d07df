//! The store from outside: ids, restarts, retention, points in time, conflicts.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use embedded::{Embedded, EmbeddedOptions, OpenError};
use proptest::prelude::*;
use serde_json::{Value, json};
use store::{Encoding, Store as _, document_id};
use support::{INDEX, age, create, days, open, placed, post, statuses, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_taken_once_over_restarts_and_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let named = || ("name".to_owned(), json!({"message": "m"}));
    {
        let store = open(dir.path());
        let batch = [placed(1, 0), placed(1, 10), placed(2, 0), named()];
        assert_eq!(create(&store, &batch).await, [201; 4]);
        assert_eq!(create(&store, &batch).await, [409; 4]);
        // Within one request, and out of order.
        let batch = [placed(1, 30), placed(1, 30), placed(1, 20), placed(1, 10)];
        assert_eq!(create(&store, &batch).await, [201, 409, 201, 409]);
        // At one place, with other bytes.
        let other = (
            document_id(1, 10, 8).to_string(),
            json!({"message": "other"}),
        );
        assert_eq!(create(&store, &[other]).await, [201]);
    }
    let store = open(dir.path());
    let batch = [
        placed(1, 0),
        placed(1, 15),
        placed(1, 30),
        placed(1, 40),
        placed(3, 0),
        named(),
    ];
    assert_eq!(create(&store, &batch).await, [409, 201, 409, 201, 201, 409]);
    assert_eq!(store.count(INDEX, None).await.unwrap(), 10);
    let found = store.get(INDEX, &placed(1, 15).0).await.unwrap().unwrap();
    assert_eq!(found["_source"]["log.offset"], 15);
    assert_eq!(found["_id"], placed(1, 15).0.as_str());
    assert_eq!(store.get(INDEX, "absent").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_writes_and_others_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, &[placed(1, 0)]).await;
    let second = Embedded::open(dir.path(), EmbeddedOptions::default());
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
    let reader = Embedded::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.count("logs-*", None).await.unwrap(), 1);
    let refused = reader
        .bulk("{}\n".into(), Encoding::Identity)
        .await
        .unwrap();
    assert_eq!(refused.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(create(&open(dir.path()), &[placed(1, 0)]).await, [201]);
    let file = dir.path().join("FORMAT");
    let current = std::fs::read(&file).unwrap();
    // From before the file, and from a version to come.
    std::fs::remove_file(&file).unwrap();
    for found in [1, 99] {
        let writer = Embedded::open(dir.path(), EmbeddedOptions::default());
        let reader = Embedded::open_read_only(dir.path());
        for opened in [writer, reader] {
            let error = opened.unwrap_err();
            assert!(
                matches!(error, OpenError::Format { found: f, .. } if f == found),
                "{error}"
            );
        }
        std::fs::write(&file, "99\n").unwrap();
    }
    std::fs::write(&file, current).unwrap();
    assert_eq!(create(&open(dir.path()), &[placed(1, 0)]).await, [409]);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_begin_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    for (n, days_ago) in [(1, 5), (2, 3), (3, 1)] {
        let store = open(dir.path());
        if n > 1 {
            until("a new day", async || days(dir.path()).len() == n).await;
        }
        assert_eq!(create(&store, &[placed(1, n as u64 * 10)]).await, [201]);
        drop(store);
        age(dir.path(), days_ago);
    }
    let store = open(dir.path());
    until("a new day", async || days(dir.path()).len() == 4).await;
    let batch = [placed(1, 10), placed(1, 20), placed(1, 30), placed(1, 40)];
    assert_eq!(create(&store, &batch).await, [409, 409, 409, 201]);
    assert_eq!(store.count(INDEX, None).await.unwrap(), 4);
    drop(store);
    // What came five days ago was added to until three days ago.
    let options = EmbeddedOptions {
        retention: Duration::from_secs(2 * 86_400),
        ..EmbeddedOptions::default()
    };
    let store = Embedded::open(dir.path(), options).unwrap();
    until("the oldest is gone", async || days(dir.path()).len() == 3).await;
    assert_eq!(store.count(INDEX, None).await.unwrap(), 3);
    let found = store.get(INDEX, &placed(1, 10).0).await.unwrap();
    assert_eq!(found, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(create(&open(dir.path()), &[placed(1, 0)]).await, [201]);
    let options = EmbeddedOptions {
        min_free_bytes: u64::MAX,
        ..EmbeddedOptions::default()
    };
    let store = Embedded::open(dir.path(), options).unwrap();
    until("it refuses", async || {
        let action = json!({"create": {"_index": INDEX, "_id": placed(1, 10).0}});
        let body = format!("{action}\n{}\n", placed(1, 10).1);
        let answer = store.bulk(body.into(), Encoding::Identity).await.unwrap();
        answer.status == 429
    })
    .await;
    assert!(store.get(INDEX, &placed(1, 0).0).await.unwrap().is_some());
    drop(store);
    let store = open(dir.path());
    let took = create(&store, &[placed(1, 0), placed(1, 20)]).await;
    assert_eq!(took, [409, 201]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let documents = [
        (
            "a".to_owned(),
            json!({"@timestamp": "soon", "took": 5, "message": "one"}),
        ),
        (
            "b".to_owned(),
            json!({"took": "long", "message": {"text": "two"}}),
        ),
        (
            "c".to_owned(),
            json!({"took": {"ms": 7}, "log.offset": "many"}),
        ),
    ];
    assert_eq!(create(&store, &documents).await, [201; 3]);
    let ids = async |query: Value| -> BTreeSet<String> {
        let body = json!({"query": query, "size": 10});
        let answer = store.search(INDEX, &body).await.unwrap();
        let hits = answer["hits"]["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["_id"].as_str().unwrap().to_owned())
            .collect()
    };
    for (query, expected) in [
        (json!({"term": {"took": 5}}), vec!["a"]),
        (json!({"term": {"took": "long"}}), vec!["b"]),
        (json!({"range": {"took": {"gte": 1}}}), vec!["a"]),
        (json!({"term": {"took.ms": 7}}), vec!["c"]),
        (json!({"term": {"message.text": "two"}}), vec!["b"]),
        (json!({"term": {"_ignored": "log.offset"}}), vec!["c"]),
        (
            json!({"term": {"tailrace.conflict.@timestamp": "soon"}}),
            vec!["a"],
        ),
        (json!({"exists": {"field": "took"}}), vec!["a", "b", "c"]),
    ] {
        let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(ids(query.clone()).await, expected, "{query}");
    }
    let broken = b"{\"create\":{\"_index\":\"logs-a-b\"}}\n{\"x\":\n".to_vec();
    let answer = post(&store, broken).await;
    assert_eq!(
        answer["items"][0]["create"]["error"]["type"],
        "document_parsing_exception"
    );
}

/// Numbers have columns and no terms: equality is looked for in these, whatever their type.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_found_by_value() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // In two segments; `n` is in every document of the first, which is longer than a block.
    let first = (0..700).map(|n| {
        let mut document = json!({"message": "m", "n": n, "half": f64::from(n) + 0.5});
        if n % 7 == 0 {
            document["list"] = json!([n, n + 1]);
        }
        (format!("id-{n}"), document)
    });
    assert_eq!(create(&store, &first.collect::<Vec<_>>()).await, [201; 700]);
    let second = [
        ("word".to_owned(), json!({"n": "5"})),
        ("large".to_owned(), json!({"n": u64::MAX})),
        ("float".to_owned(), json!({"half": 3, "list": 8})),
        ("none".to_owned(), json!({"message": "m"})),
    ];
    assert_eq!(create(&store, &second).await, [201; 4]);
    let at = |n: u32| format!("id-{n}");
    for (query, expected) in [
        (json!({"term": {"n": 5}}), vec![at(5), "word".to_owned()]),
        (json!({"term": {"n": "5.0"}}), vec![at(5)]),
        (json!({"term": {"n": 5.5}}), vec![]),
        (json!({"term": {"n": u64::MAX}}), vec!["large".to_owned()]),
        (
            json!({"terms": {"n": [5, 600, -1, 1.5, u64::MAX, 9_999]}}),
            vec![at(5), at(600), "large".to_owned(), "word".to_owned()],
        ),
        (json!({"terms": {"n": [-2, -1]}}), vec![]),
        (
            json!({"terms": {"half": [0.5, 3, 3.5]}}),
            vec!["float".to_owned(), at(0), at(3)],
        ),
        (
            json!({"terms": {"list": [8, 691]}}),
            vec!["float".to_owned(), at(7)],
        ),
        (
            json!({"bool": {"filter": [{"terms": {"n": [7, 8]}}, {"exists": {"field": "list"}}]}}),
            vec![at(7)],
        ),
        (
            json!({"bool": {"must_not": [{"range": {"n": {"lt": 699}}}], "filter": [{"terms": {"half": [1.5, 699.5]}}]}}),
            vec![at(699)],
        ),
        // Ends of two types.
        (
            json!({"range": {"n": {"gte": 5, "lt": 6.5}}}),
            vec![at(5), at(6)],
        ),
        (
            json!({"range": {"half": {"gt": 697.5, "lt": 699}}}),
            vec![at(698)],
        ),
    ] {
        let body = json!({"query": query, "size": 10});
        let answer = store.search(INDEX, &body).await.unwrap();
        let hits = answer["hits"]["hits"].as_array().unwrap().iter();
        let found: BTreeSet<&str> = hits.map(|hit| hit["_id"].as_str().unwrap()).collect();
        let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_documents_change_and_logs_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let act = async |action: &str, index: &str, id: &str, document: Option<Value>| -> u64 {
        let mut body = json!({action: {"_index": index, "_id": id}}).to_string();
        body.push('\n');
        if let Some(document) = document {
            body.push_str(&document.to_string());
            body.push('\n');
        }
        statuses(&post(&store, body.into_bytes()).await)[0]
    };
    let index = "tailrace-searches";
    assert_eq!(act("create", index, "s", Some(json!({"v": 1}))).await, 201);
    assert_eq!(act("create", index, "s", Some(json!({"v": 2}))).await, 409);
    assert_eq!(act("index", index, "s", Some(json!({"v": 3}))).await, 200);
    let found = store.get(index, "s").await.unwrap().unwrap();
    assert_eq!(found["_source"]["v"], 3);
    assert_eq!(store.count(index, None).await.unwrap(), 1);
    assert_eq!(act("delete", index, "s", None).await, 200);
    assert_eq!(act("delete", index, "s", None).await, 404);
    assert_eq!(store.count(index, None).await.unwrap(), 0);
    assert_eq!(act("index", INDEX, "x", Some(json!({"v": 1}))).await, 400);
    let (id, document) = placed(9, 9);
    create(&store, &[(id.clone(), document)]).await;
    assert_eq!(store.delete(&[(INDEX.to_owned(), id)]).await.unwrap(), 1);
    assert_eq!(store.count(INDEX, None).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_in_time_pages_through_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let documents: Vec<_> = (0..25).map(|n| placed(1, n)).collect();
    for part in documents.chunks(7) {
        create(&store, part).await;
    }
    let pit = store
        .open_pit("logs-*", Duration::from_secs(60))
        .await
        .unwrap();
    create(&store, &[placed(1, 100)]).await;
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        // All have the same time: only their place tells them apart.
        let mut body = json!({
            "size": 4, "sort": [{"@timestamp": "asc"}], "pit": {"id": pit, "keep_alive": "1m"},
        });
        if !after.is_null() {
            body["search_after"] = after;
        }
        let answer = store.search("", &body).await.unwrap();
        let hits = answer["hits"]["hits"].as_array().unwrap().clone();
        let Some(last) = hits.last() else { break };
        after = last["sort"].clone();
        seen.extend(
            hits.iter()
                .map(|hit| hit["_id"].as_str().unwrap().to_owned()),
        );
    }
    let expected: BTreeSet<String> = documents.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(seen.len(), 25);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    store.close_pit(&pit).await.unwrap();
    let gone = store
        .search("", &json!({"pit": {"id": pit}}))
        .await
        .unwrap_err();
    assert_eq!(gone.status(), Some(404));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_and_indices_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let document = json!({"@timestamp": "2026-11-25T00:00:00Z", "message": "m", "http": {"status": 200}, "log.level": "info"});
    create(&store, &[("a".to_owned(), document)]).await;
    let indices = store.indices("logs-*").await.unwrap();
    assert_eq!((indices[0].name.as_str(), indices[0].docs), (INDEX, 1));
    assert!(indices[0].bytes > 0);
    let caps = store.field_caps("logs-*", "*").await.unwrap();
    assert_eq!(caps["fields"]["http.status"]["long"]["aggregatable"], true);
    assert_eq!(caps["fields"]["message"]["text"]["aggregatable"], false);
    assert_eq!(
        caps["fields"]["@timestamp"]["date_nanos"]["searchable"],
        true
    );
    let mapping = store.mapping("logs-*").await.unwrap();
    let properties = &mapping[INDEX]["mappings"]["properties"];
    assert_eq!(properties["log"]["properties"]["level"]["type"], "keyword");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_tells_where_the_time_went() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, &[placed(1, 0), placed(1, 10)]).await;
    let search = json!({"query": {"match": {"message": "m"}}, "profile": true});
    let answer = store.search(INDEX, &search).await.unwrap();
    let shard = &answer["profile"]["shards"][0];
    let query = &shard["searches"][0]["query"][0];
    assert_eq!(query["type"], "match");
    assert_eq!(query["breakdown"]["documents_matched"], 2, "{answer}");
    let parts = [
        &query["time_in_nanos"],
        &shard["searches"][0]["rewrite_time"],
        &shard["fetch"]["time_in_nanos"],
    ];
    let sum: u64 = parts.iter().map(|part| part.as_u64().unwrap()).sum();
    assert!(sum > 0, "{answer}");
    let without = json!({"query": {"match_all": {}}});
    let answer = store.search(INDEX, &without).await.unwrap();
    assert!(answer.get("profile").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (body, expected) in [
        (
            json!({"query": {"geo_shape": {"a": "b"}}}),
            "unknown query [geo_shape]",
        ),
        (json!({"quer": {}}), "unknown key for a search [quer]"),
        (json!({"size": 20_000}), "Result window is too large"),
        (
            json!({"aggs": {"x": {"geo": {}}}}),
            "unknown aggregation type [geo]",
        ),
        (
            json!({"query": {"range": {"@timestamp": {"gte": "soon"}}}}),
            "failed to parse date field [soon]",
        ),
        (
            json!({"query": {"query_string": {"query": "(a"}}}),
            "`(` at character 1 is not closed",
        ),
        (
            json!({"aggs": {"x": {"terms": {"field": "message"}}}}),
            "text field [message]",
        ),
    ] {
        let error = store.search("logs-*", &body).await.unwrap_err();
        assert_eq!(error.status(), Some(400), "{body}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    /// Bodies in any order, sent again, over restarts: each id is there once.
    #[test]
    fn each_id_is_there_once(
        bodies in prop::collection::vec(
            (prop::collection::vec((0u64..3, 0u64..40), 1..20), any::<bool>()),
            1..7,
        ),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut there = BTreeSet::new();
        let mut store = Some(open(dir.path()));
        for (body, restart) in bodies {
            let documents: Vec<_> = body.iter().map(|(stream, offset)| placed(*stream, *offset)).collect();
            let statuses = runtime.block_on(create(store.as_ref().unwrap(), &documents));
            for (place, status) in body.iter().zip(statuses) {
                let expected = if there.insert(*place) { 201 } else { 409 };
                prop_assert_eq!(status, expected, "{:?}", place);
            }
            if restart {
                drop(store.take());
                store = Some(open(dir.path()));
            }
        }
        let count = runtime.block_on(store.as_ref().unwrap().count(INDEX, None)).unwrap();
        prop_assert_eq!(count, there.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calendar_days_follow_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // One an hour, over the night in which Berlin's clocks go back.
    let start: jiff::Timestamp = "2026-10-23T22:00:00Z".parse().unwrap();
    let documents: Vec<(String, Value)> = (0..72)
        .map(|hour| {
            let at = start + jiff::SignedDuration::from_hours(hour);
            let service = if hour % 2 == 0 { "even" } else { "odd" };
            let document =
                json!({"@timestamp": at.to_string(), "service.name": service, "took": hour});
            (format!("h{hour}"), document)
        })
        .collect();
    for part in documents.chunks(30) {
        assert!(create(&store, part).await.iter().all(|it| *it == 201));
    }
    let days = json!({
        "field": "@timestamp", "calendar_interval": "day", "time_zone": "Europe/Berlin",
    });
    let ask = async |aggs: Value| store.search(INDEX, &json!({"size": 0, "aggs": aggs})).await;
    let answer = ask(json!({"days": {
        "date_histogram": days,
        "aggs": {
            "services": {
                "terms": {"field": "service.name"},
                "aggs": {"took": {"sum": {"field": "took"}}},
            },
            "last": {"top_hits": {"size": 1, "sort": [{"@timestamp": "desc"}]}},
        },
    }}))
    .await
    .unwrap();
    let buckets = answer["aggregations"]["days"]["buckets"]
        .as_array()
        .unwrap();
    let found: Vec<Value> = buckets
        .iter()
        .map(|day| {
            let services = day["services"]["buckets"].as_array().unwrap();
            let services: Vec<Value> = services
                .iter()
                .map(|it| json!([it["key"], it["doc_count"], it["took"]["value"]]))
                .collect();
            let last = &day["last"]["hits"]["hits"][0]["_id"];
            json!([day["key_as_string"], day["doc_count"], last, services])
        })
        .collect();
    let (even, odd) = ("even", "odd");
    let expected = [
        json!([
            "2026-10-24T00:00:00.000+02:00",
            24,
            "h23",
            [[even, 12, 132.0], [odd, 12, 144.0]]
        ]),
        json!([
            "2026-10-25T00:00:00.000+02:00",
            25,
            "h48",
            [[even, 13, 468.0], [odd, 12, 432.0]]
        ]),
        json!([
            "2026-10-26T00:00:00.000+01:00",
            23,
            "h71",
            [[odd, 12, 720.0], [even, 11, 660.0]]
        ]),
    ];
    assert_eq!(found, expected);
    let refused = ask(json!({"a": {"date_histogram": {
        "field": "@timestamp", "calendar_interval": "2M",
    }}}))
    .await
    .unwrap_err();
    assert_eq!(refused.status(), Some(400), "{refused}");
    let far = json!({"@timestamp": "1700-01-01T00:00:00Z"});
    assert_eq!(create(&store, &[("far".to_owned(), far)]).await, [201]);
    let refused = ask(json!({"days": {"date_histogram": days}}))
        .await
        .unwrap_err();
    assert_eq!(refused.status(), Some(400), "{refused}");
    // Empty days that are not shown are none.
    let mut days = days;
    days["min_doc_count"] = 1.into();
    let answer = ask(json!({"days": {"date_histogram": days}}))
        .await
        .unwrap();
    let buckets = answer["aggregations"]["days"]["buckets"]
        .as_array()
        .unwrap();
    assert_eq!(buckets.len(), 4);
}

/// Numbers as text, and an order by a percentile, as Grafana writes them.
#[tokio::test(flavor = "multi_thread")]
async fn terms_come_in_the_order_of_a_percentile() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Service `s1` has few documents and is quick, `s4` has many and is slow; `idle` takes no time.
    let mut documents: Vec<(String, Value)> = Vec::new();
    for service in 1..5 {
        for n in 0..service * 10 {
            let took = service * 1_000 + n;
            let document = json!({"service.name": format!("s{service}"), "took": took});
            documents.push((format!("{service}-{n}"), document));
        }
    }
    documents.push(("idle".to_owned(), json!({"service.name": "idle"})));
    for part in documents.chunks(30) {
        assert!(create(&store, part).await.iter().all(|it| *it == 201));
    }
    let ask = async |order: Value, size: u64, percents: Value| {
        let took = json!({"percentiles": {"field": "took", "percents": percents}});
        let terms = json!({"field": "service.name", "size": size, "order": order});
        let aggs = json!({"2": {"terms": terms, "aggs": {"1": took}}});
        store.search(INDEX, &json!({"size": 0, "aggs": aggs})).await
    };
    for (order, size, expected, others) in [
        (json!({"1[95.0]": "desc"}), 2, json!(["s4", "s3"]), 31),
        (json!({"1[95.0]": "asc"}), 2, json!(["s1", "s2"]), 71),
        (
            json!({"1.50": "desc"}),
            9,
            json!(["s4", "s3", "s2", "s1", "idle"]),
            0,
        ),
        (
            json!([{"1.50": "asc"}]),
            4,
            json!(["s1", "s2", "s3", "s4"]),
            1,
        ),
    ] {
        let answer = ask(order.clone(), size, json!(["50", "95.0"])).await;
        let terms = answer.unwrap()["aggregations"]["2"].take();
        let buckets = terms["buckets"].as_array().unwrap().iter();
        let keys: Value = buckets.map(|bucket| bucket["key"].clone()).collect();
        assert_eq!(keys, expected, "{order}");
        assert_eq!(terms["sum_other_doc_count"], others, "{order}");
    }
    let answer = ask(json!({"1[95.0]": "desc"}), 1, json!([95]))
        .await
        .unwrap();
    let first = &answer["aggregations"]["2"]["buckets"][0];
    assert_eq!(first["doc_count"], 40);
    let slow = first["1"]["values"]["95.0"].as_f64().unwrap();
    assert!((3_900.0..4_200.0).contains(&slow), "{slow}");
    let refused = ask(json!({"1[90.0]": "desc"}), 1, json!([95])).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.status(), Some(400), "{refused}");
    assert!(
        refused.to_string().contains("percentile [90.0]"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calendar_hours_follow_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Every half hour, over the night in which Lord Howe's clocks go from 02:00 to 02:30.
    let start: jiff::Timestamp = "2026-10-03T13:00:00Z".parse().unwrap();
    let documents: Vec<(String, Value)> = (0..8)
        .map(|half| {
            let at = start + jiff::SignedDuration::from_mins(30 * half);
            (format!("h{half}"), json!({"@timestamp": at.to_string()}))
        })
        .collect();
    assert_eq!(create(&store, &documents).await, [201; 8]);
    let body = json!({"size": 0, "aggs": {"hours": {"date_histogram": {
        "field": "@timestamp", "calendar_interval": "hour", "time_zone": "Australia/Lord_Howe",
    }}}});
    let answer = store.search(INDEX, &body).await.unwrap();
    let buckets = answer["aggregations"]["hours"]["buckets"]
        .as_array()
        .unwrap();
    let found: Vec<Value> = buckets
        .iter()
        .map(|hour| json!([hour["key_as_string"], hour["doc_count"]]))
        .collect();
    // The hour of 01:00 lasts until 03:00, and is followed by no empty one.
    let expected = [
        json!(["2026-10-03T23:00:00.000+10:30", 1]),
        json!(["2026-10-04T00:00:00.000+10:30", 2]),
        json!(["2026-10-04T01:00:00.000+10:30", 3]),
        json!(["2026-10-04T03:00:00.000+11:00", 2]),
    ];
    assert_eq!(found, expected);
}
