//! What the store does beside requests, and the limits that it keeps: merges, memory, room on disk.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use embedded::{Embedded, EmbeddedOptions};
use serde_json::{Value, json};
use store::{Encoding, Store as _};
use support::{INDEX, age, create, days, open, placed, until};
use tokio::task::JoinSet;

/// So many segments of about a size are merged into one.
const MERGED: usize = 8;

/// Segments of the newest partition: those that its index names, and those that have files.
fn segments(dir: &Path) -> (usize, usize) {
    let partition = dir.join("days").join(days(dir).pop().unwrap());
    let meta = std::fs::read(partition.join("meta.json")).unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    let files = std::fs::read_dir(&partition).unwrap();
    let stores = files.filter(|file| {
        let path = file.as_ref().unwrap().path();
        path.extension().is_some_and(|it| it == "store")
    });
    (meta["segments"].as_array().unwrap().len(), stores.count())
}

/// A search finds these documents and no others, each once.
async fn check_all(store: &Embedded, documents: &[(String, Value)]) {
    let all = json!({"size": 10_000, "query": {"match_all": {}}});
    let answer = store.search(INDEX, &all).await.unwrap();
    let hits = answer["hits"]["hits"].as_array().unwrap();
    assert_eq!(hits.len(), documents.len());
    let found: BTreeSet<&str> = hits
        .iter()
        .map(|hit| hit["_id"].as_str().unwrap())
        .collect();
    let expected: BTreeSet<&str> = documents.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(found, expected);
    let count = store.count(INDEX, None).await.unwrap();
    assert_eq!(count, documents.len() as u64);
}

/// A document with so many words that no other one has.
fn wordy(n: u64, n_words: usize) -> (String, Value) {
    let words: Vec<String> = (0..n_words).map(|word| format!("w{n}x{word}")).collect();
    let (id, mut document) = placed(1, n);
    document["message"] = words.join(" ").into();
    (id, document)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_commits_become_few_segments_that_hold_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let documents: Vec<_> = (0..5 * MERGED as u64 * 2).map(|n| placed(1, n)).collect();
    for body in documents.chunks(2) {
        assert_eq!(create(&store, body).await, [201; 2]);
    }
    until("few segments", async || {
        let (named, stored) = segments(dir.path());
        named < MERGED && stored < MERGED
    })
    .await;
    check_all(&store, &documents).await;
    drop(store);
    let store = open(dir.path());
    check_all(&store, &documents).await;
    let again = create(&store, &documents).await;
    assert!(again.iter().all(|status| *status == 409), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregation_that_outgrows_its_memory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        memory: 32 << 10,
        ..EmbeddedOptions::default()
    };
    let store = Embedded::open(dir.path(), options).unwrap();
    let documents: Vec<_> = (0..10_000)
        .map(|n| {
            let (user, shop) = (format!("user-{n}"), format!("shop-{}", n % 3));
            let document = json!({"user": user, "shop": shop, "n": n * 1_000});
            (format!("id-{n}"), document)
        })
        .collect();
    let taken = create(&store, &documents).await;
    assert!(taken.iter().all(|status| *status == 201));
    let all = json!({"match_all": {}});
    let ends = json!({"terms": {"n": [0, 9_999_000]}});
    for (query, aggs) in [
        (&all, json!({"terms": {"field": "user"}})),
        (&all, json!({"terms": {"field": "n"}})),
        (
            &all,
            json!({"terms": {"field": "user"}, "aggs": {"b": {"max": {"field": "n"}}}}),
        ),
        (
            &all,
            json!({"histogram": {"field": "n", "interval": 1_000}}),
        ),
        // Two buckets, and millions of empty ones between them.
        (&ends, json!({"histogram": {"field": "n", "interval": 1}})),
    ] {
        let body = json!({"size": 0, "query": query, "aggs": {"a": aggs}});
        let refused = store.search(INDEX, &body).await.unwrap_err();
        assert_eq!(refused.status(), Some(400), "{body}: {refused}");
        let reason = refused.to_string();
        assert!(
            reason.contains("memory limit was exceeded"),
            "{body}: {reason}"
        );
        // What it had taken is free again.
        let body = json!({"size": 0, "aggs": {"a": {"terms": {"field": "shop"}}}});
        let answer = store.search(INDEX, &body).await.unwrap();
        let buckets = answer["aggregations"]["a"]["buckets"].as_array().unwrap();
        let counts: Value = buckets.iter().map(|it| it["doc_count"].clone()).collect();
        assert_eq!(counts, json!([3_334, 3_333, 3_333]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_too_many_buckets_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let documents = [0, 70_000].map(|n| (format!("id-{n}"), json!({"n": n})));
    assert_eq!(create(&store, &documents).await, [201; 2]);
    let ask = async |aggregation: Value| {
        let body = json!({"size": 0, "aggs": {"a": aggregation}});
        store.search(INDEX, &body).await
    };
    for (aggregation, expected) in [
        (
            json!({"histogram": {"field": "n", "interval": 1}}),
            "bucket limit was exceeded",
        ),
        (
            json!({"date_histogram": {
                "field": "@timestamp", "fixed_interval": "1ms",
                "extended_bounds": {"min": 0, "max": 70_000},
            }}),
            "too many buckets, the limit is [65536]",
        ),
    ] {
        let refused = ask(aggregation).await.unwrap_err();
        assert_eq!(refused.status(), Some(400), "{refused}");
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    let answer = ask(json!({"histogram": {"field": "n", "interval": 2}}))
        .await
        .unwrap();
    let buckets = answer["aggregations"]["a"]["buckets"].as_array().unwrap();
    assert_eq!(buckets.len(), 35_001);
}

/// Less memory than one thread of tantivy's takes, and far more threads: bodies that come at once
/// fill it several times over.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_least_memory_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        memory: 1,
        threads: 16,
        ..EmbeddedOptions::default()
    };
    let store = Arc::new(Embedded::open(dir.path(), options).unwrap());
    let documents: Vec<_> = (0..240).map(|n| wordy(n, 1_000)).collect();
    let mut bodies = JoinSet::new();
    for part in documents.chunks(20) {
        let (store, part) = (Arc::clone(&store), part.to_vec());
        bodies.spawn(async move { create(&store, &part).await });
    }
    while let Some(taken) = bodies.join_next().await {
        assert!(taken.unwrap().iter().all(|status| *status == 201));
    }
    check_all(&store, &documents).await;
    for word in ["w0x0", "w119x500", "w239x999"] {
        let query = json!({"query": {"match": {"message": word}}});
        let count = store.count(INDEX, Some(&query)).await.unwrap();
        assert_eq!(count, 1, "{word}");
    }
}

/// A thread of tantivy's takes 4 GB at most, whatever `memory` allows.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_most_memory_documents_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        memory: 1 << 40,
        threads: 1,
        refresh_interval: Duration::from_millis(50),
        ..EmbeddedOptions::default()
    };
    let store = Embedded::open(dir.path(), options).unwrap();
    let documents = [placed(1, 0), placed(1, 10)];
    assert_eq!(create(&store, &documents).await, [201; 2]);
    check_all(&store, &documents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_unpacks_to_too_much_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut packed = Vec::new();
    let spaces = std::io::repeat(b' ').take((256 << 20) + 1);
    zstd::stream::copy_encode(spaces, &mut packed, 1).unwrap();
    let answer = store.bulk(packed.into(), Encoding::Zstd).await.unwrap();
    assert_eq!(answer.status, 400);
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        said["error"]["reason"],
        "the body is larger than 268435456 bytes"
    );
    let documents = [placed(1, 0)];
    assert_eq!(create(&store, &documents).await, [201]);
    check_all(&store, &documents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_day_goes_when_all_take_too_much_room() {
    let dir = tempfile::tempdir().unwrap();
    // Each much larger than a day that has no documents yet.
    let documents = [1, 2, 3].map(|n| wordy(n, 5_000));
    for (n, document) in documents.iter().enumerate() {
        let store = open(dir.path());
        if n > 0 {
            until("a new day", async || days(dir.path()).len() == n + 1).await;
        }
        let document = std::slice::from_ref(document);
        assert_eq!(create(&store, document).await, [201]);
        drop(store);
        age(dir.path(), 3 - n as i64);
    }
    let oldest = days(dir.path()).swap_remove(0);
    let mut room = 0;
    for day in days(dir.path()) {
        for file in std::fs::read_dir(dir.path().join("days").join(day)).unwrap() {
            room += file.unwrap().metadata().unwrap().len();
        }
    }
    let options = EmbeddedOptions {
        max_bytes: room - 1,
        ..EmbeddedOptions::default()
    };
    let store = Embedded::open(dir.path(), options).unwrap();
    until("the oldest is gone", async || {
        !days(dir.path()).contains(&oldest)
    })
    .await;
    check_all(&store, &documents[1..]).await;
}
