//! Bodies that are too large for the server: split, down to the one document that can never pass.

use hyper::Method;
use serde_json::{Value, json};
use store::{DEAD_LETTER_STREAM, Store as _, dead_letters};

use crate::sending::{counted, deliver, documents, fresh};
use crate::servers::{MAX_CONTENT_BYTES, Node, SETTINGS, ask, count, nodes};

/// 413 of the real thing, down to the one document that can never pass: it becomes letters.
#[tokio::test]
async fn a_body_over_max_content_length_is_split() {
    let _calm = SETTINGS.read().await;
    let limit = MAX_CONTENT_BYTES as usize;
    for Node { client, .. } in nodes().await {
        let index = fresh("trlarge");
        let mut many = documents(200);
        for document in &mut many {
            document["message"] = "x".repeat(limit / 50).into();
        }
        many[7]["message"] = "y".repeat(limit + 1).into();
        let metrics = deliver(&client, &index, &many).await;
        assert_eq!(count(&client, &index).await, 199);
        assert_eq!(counted(&metrics, "store_docs_dead_lettered_total"), 1);
        assert!(counted(&metrics, "store_requests_total{status=\"413\"") > 0);
        client.refresh(DEAD_LETTER_STREAM).await.unwrap();
        let of = json!({"query": {"term": {"tailrace.dead_letter.index": index}}});
        let n_parts = client.count(DEAD_LETTER_STREAM, Some(&of)).await.unwrap();
        assert!(n_parts > 1);
        // It is as large as ever: a replay says so, keeps its letters and goes on.
        let filter = dead_letters::Filter {
            index: Some(index),
            ..dead_letters::Filter::default()
        };
        let replayed = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!((replayed.failed, replayed.removed), (1, 0), "{replayed:?}");
    }
}

/// 429 of the whole request because it is too large for the memory that is left.
#[tokio::test]
async fn a_body_over_the_breaker_limit_is_split() {
    let _alone = SETTINGS.write().await;
    for Node { client, .. } in nodes().await {
        let setting = "network.breaker.inflight_requests.limit";
        let set = |value: Value| json!({"transient": {setting: value}});
        let path = "/_cluster/settings";
        let index = fresh("trbusy");
        let mut many = documents(200);
        for document in &mut many {
            document["message"] = "x".repeat(4_000).into();
        }
        ask(&client, Method::PUT, path, set(json!("600kb"))).await;
        let metrics = deliver(&client, &index, &many).await;
        ask(&client, Method::PUT, path, set(Value::Null)).await;
        assert_eq!(count(&client, &index).await, 200);
        assert!(counted(&metrics, "store_requests_total{status=\"429\"") > 0);
        assert_eq!(counted(&metrics, "store_docs_dead_lettered_total"), 0);
    }
}
