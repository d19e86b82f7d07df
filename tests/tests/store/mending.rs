//! Documents that a mapping refuses: mended, or filed as dead letters and replayed (delivery rules
//! 19 and 22).

use hyper::Method;
use serde_json::{Value, json};
use store::{DEAD_LETTER_STREAM, Elasticsearch, Outcome, Store as _, dead_letters};

use crate::sending::{body, counted, deliver, documents, fresh, send};
use crate::servers::{Node, SETTINGS, ask, count, nodes};

/// Rule 19 on the real thing: what is mended, what becomes a letter, and its replay.
#[tokio::test]
async fn conflicts_are_mended_and_the_rest_becomes_letters() {
    let _calm = SETTINGS.read().await;
    for Node { client, .. } in nodes().await {
        let index = fresh("trmend");
        let many: serde_json::Map<_, _> = (0..100).map(|n| (format!("f{n}"), json!(n))).collect();
        let t = "2026-11-21T00:00:00.123456789Z";
        let documents = [
            json!({"@timestamp": t, "message": "plain", "attributes": {"n": 1}}),
            json!({"@timestamp": t, "message": "conflict", "attributes": {"n": "abc"}}),
            json!({"@timestamp": t, "message": "object", "attributes": {"n": {"x": 1}}}),
            json!({"@timestamp": t, "message": "limit", "attributes": many}),
            json!({"@timestamp": "garbage", "message": "time"}),
            json!({"message": "no time"}),
            json!({"@timestamp": t, "message": "offset", "log.offset": "x".repeat(40_000)}),
            json!({"@timestamp": t, "message": "empty", "attributes": {"": 1}}),
            json!({"@timestamp": t, "message": "tags", "tags": {"a": 1}, "log.level": {"b": 2}}),
            json!([1, 2]),
        ];
        // The first one alone, so that it makes the mapping that the others conflict with.
        assert_eq!(
            send(&client, vec![body(&index, &documents[..1])]).await,
            [Outcome::default()]
        );
        assert_eq!(
            send(&client, vec![body(&index, &documents)]).await,
            [Outcome::default()]
        );
        let hits = sources(&client, &index).await;
        for hit in &hits {
            let source = &hit["_source"];
            let is_mended = source["tags"]
                .as_array()
                .is_some_and(|t| t.contains(&json!("mended")));
            assert_eq!(is_mended, source["message"] != "plain", "{source}");
        }
        assert_eq!(
            hits.len(),
            documents.len() - 1,
            "all but the array: {hits:#?}"
        );
        client.refresh(DEAD_LETTER_STREAM).await.unwrap();
        let of = json!({"query": {"term": {"tailrace.dead_letter.index": index}}});
        let letters = client.search(DEAD_LETTER_STREAM, &of).await.unwrap();
        assert_eq!(
            letters["hits"]["hits"][0]["_source"]["tailrace.dead_letter"]["document"],
            "[1,2]"
        );
        let mut filter = dead_letters::Filter {
            index: Some(index),
            dry_run: true,
            ..Default::default()
        };
        let counted = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!((counted.matched, counted.removed), (1, 0));
        filter.dry_run = false;
        let replayed = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!(
            (replayed.matched, replayed.failed, replayed.removed),
            (1, 1, 0),
            "{replayed:?}"
        );
    }
}

/// An immense term is mended: the rest of the document stays searchable.
#[tokio::test]
async fn an_immense_term_is_mended() {
    let _calm = SETTINGS.read().await;
    for Node { client, .. } in nodes().await {
        let index = fresh("immense").replace("logs-", "tr");
        let mapping = json!({"mappings": {"properties": {"k": {"type": "keyword"}}}});
        ask(&client, Method::PUT, &format!("/{index}"), mapping).await;
        let mut two = documents(2);
        two[1]["k"] = "x".repeat(40_000).into();
        let metrics = deliver(&client, &index, &two).await;
        assert_eq!(count(&client, &index).await, 2);
        assert_eq!(counted(&metrics, "store_docs_mended_total"), 1);
        assert_eq!(counted(&metrics, "store_docs_dead_lettered_total"), 0);
    }
}

/// Rule 22: a letter goes when its document is in the store, and not before.
#[tokio::test]
async fn a_replayed_letter_is_removed() {
    let _calm = SETTINGS.read().await;
    for Node { client, .. } in nodes().await {
        let index = fresh("strict").replace("logs-", "tr");
        let strict = json!({"mappings": {"dynamic": "strict",
            "properties": {"@timestamp": {"type": "date"}, "message": {"type": "text"}}}});
        ask(&client, Method::PUT, &format!("/{index}"), strict).await;
        let mut three = documents(3);
        three[1]["surprise"] = 1.into();
        let metrics = deliver(&client, &index, &three).await;
        assert_eq!(counted(&metrics, "store_docs_dead_lettered_total"), 1);
        assert_eq!(count(&client, &index).await, 2);
        let filter = dead_letters::Filter {
            index: Some(index.clone()),
            ..dead_letters::Filter::default()
        };
        let replayed = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!((replayed.failed, replayed.removed), (1, 0), "{replayed:?}");
        let path = format!("/{index}/_mapping");
        ask(&client, Method::PUT, &path, json!({"dynamic": true})).await;
        let replayed = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!((replayed.indexed, replayed.removed), (1, 1), "{replayed:?}");
        assert_eq!(count(&client, &index).await, 3);
        let replayed = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!(replayed.matched, 0);
    }
}

/// Every hit of an index.
async fn sources(client: &Elasticsearch, index: &str) -> Vec<Value> {
    client.refresh(index).await.unwrap();
    let answer = client.search(index, &json!({"size": 1000})).await.unwrap();
    answer["hits"]["hits"].as_array().unwrap().clone()
}
