//! The client and the sender against real servers: `TAILRACE_TEST_OPENSEARCH` and
//! `TAILRACE_TEST_ELASTICSEARCH` hold their URLs; without them the tests say so and pass.
#![allow(
    unused_crate_dependencies,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use store::{
    Body, BodyMeta, DEAD_LETTER_STREAM, Elasticsearch, ElasticsearchOptions, Encoding,
    InstallOptions, Lane, MemoryQueue, Metrics, Outcome, Run, Sender, SenderOptions, Store, Target,
    dead_letters, document_id,
};

async fn clients() -> Vec<Arc<Elasticsearch>> {
    let mut out = Vec::new();
    for name in ["TAILRACE_TEST_OPENSEARCH", "TAILRACE_TEST_ELASTICSEARCH"] {
        match std::env::var(name) {
            Ok(url) => {
                let mut options = ElasticsearchOptions::new(vec![url]);
                options.request_timeout = Duration::from_secs(20);
                out.push(Arc::new(Elasticsearch::connect(options).await.unwrap()));
            }
            Err(_) => println!("skipped: {name} is not set"),
        }
    }
    out
}

fn options() -> SenderOptions {
    SenderOptions {
        retry_min: Duration::from_millis(50),
        retry_max: Duration::from_millis(500),
        confirm_after: Duration::from_millis(100),
        ..SenderOptions::default()
    }
}

/// A name that no earlier run used: one of the servers cannot delete data streams.
fn fresh(what: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    format!("logs-{what}-{}", now.as_nanos())
}

fn body(index: &str, documents: &[Value]) -> Body {
    let mut raw = Vec::new();
    for (n, document) in documents.iter().enumerate() {
        store::append_action(&mut raw, index, &document_id(7, n as u64, 1));
        raw.extend_from_slice(document.to_string().as_bytes());
        raw.push(b'\n');
    }
    Body {
        meta: BodyMeta {
            encoding: Encoding::Identity,
            raw_len: raw.len() as u64,
            created_ms: 1,
            targets: vec![Target {
                index: index.into(),
                namespace: "shop".into(),
            }],
            runs: vec![Run {
                target: 0,
                docs: documents.len() as u32,
            }],
            doubt_since_ms: None,
            lane: Lane::Fresh,
        },
        bytes: Bytes::from(raw),
    }
}

async fn send(client: &Arc<Elasticsearch>, bodies: Vec<Body>) -> Vec<Outcome> {
    let queue = MemoryQueue::new(100 << 20);
    let tickets: Vec<_> = bodies
        .into_iter()
        .map(|b| queue.push(queue.try_reserve(b.bytes.len() as u64).unwrap(), b))
        .collect();
    let sender = Sender::start(client.clone(), queue.clone(), options(), Metrics::default());
    let mut out = Vec::new();
    for ticket in tickets {
        let delivered = tokio::time::timeout(Duration::from_secs(90), ticket.delivered());
        out.push(delivered.await.expect("delivered in time").unwrap());
    }
    assert!(sender.drain(Duration::from_secs(5)).await || !out.is_empty());
    out
}

async fn sources(client: &Elasticsearch, index: &str) -> Vec<Value> {
    client.refresh(index).await.unwrap();
    let query = json!({"size": 1000, "sort": [{"_id": "asc"}]});
    let query = if client.server().unwrap().version.starts_with('3') {
        query
    } else {
        json!({"size": 1000})
    };
    let answer = client.search(index, &query).await.unwrap();
    answer["hits"]["hits"].as_array().unwrap().clone()
}

async fn ready() -> Vec<Arc<Elasticsearch>> {
    let clients = clients().await;
    for client in &clients {
        let options = InstallOptions {
            data_stream_patterns: vec!["logs-tr*".into()],
            max_fields: 60,
            retention: Some(store::Retention::default()),
            replicas: Some(0),
            ..InstallOptions::default()
        };
        let report = client.install(&options).await;
        println!("{:?}\n{report:#?}", client.server());
        assert!(
            report
                .installed
                .iter()
                .any(|p| p.ends_with("tailrace-logs")),
            "{report:?}"
        );
        assert!(
            report
                .installed
                .iter()
                .any(|p| p.ends_with("tailrace-dead-letter"))
        );
        // The servers of the rig lack ILM and ISM: said, and nothing worse.
        assert_eq!(report.problems.len(), 1, "{report:?}");
    }
    clients
}

/// Rule 19 on the real thing: what is mended, what becomes a letter, and its replay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_are_mended_and_the_rest_becomes_letters() {
    for client in ready().await {
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

/// Rules 20 and 22: a body in doubt over a rollover is neither doubled nor lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubt_over_a_rollover_doubles_nothing() {
    for client in ready().await {
        let index = fresh("trdoubt");
        let t = "2026-11-21T00:00:00Z";
        let documents: Vec<Value> = (0..20)
            .map(|n| json!({"@timestamp": t, "message": format!("{n}")}))
            .collect();
        send(&client, vec![body(&index, &documents[..10])]).await;
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let roll = format!("/{index}/_rollover");
        let answer = client.request(http_post(), &roll, None).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        // Without the check the first ten are taken again, by the younger index.
        let mut in_doubt = body(&index, &documents);
        in_doubt.meta.doubt_since_ms = Some(now.as_millis() as u64);
        assert_eq!(
            send(&client, vec![in_doubt.clone()]).await,
            [Outcome::default()]
        );
        assert_eq!(sources(&client, &index).await.len(), 20);
        // Copies that an earlier, killed try left in the younger index are deleted.
        send(&client, vec![body(&index, &documents[..5])]).await;
        assert_eq!(
            sources(&client, &index).await.len(),
            25,
            "the rule's case exists"
        );
        assert_eq!(send(&client, vec![in_doubt]).await, [Outcome::default()]);
        assert_eq!(sources(&client, &index).await.len(), 20);
    }
}

fn http_post() -> hyper::Method {
    hyper::Method::POST
}

/// Rule 19: a write block refuses one data stream; the others of the same body pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_block_stops_only_its_data_stream() {
    for client in ready().await {
        let (open, blocked) = (fresh("tropen"), fresh("trblocked"));
        let document = json!({"@timestamp": "2026-11-21T00:00:00Z", "message": "m"});
        send(
            &client,
            vec![body(&blocked, std::slice::from_ref(&document))],
        )
        .await;
        let block = json!({"index.blocks.write": true});
        let path = format!("/{blocked}/_settings");
        let answer = client
            .request(hyper::Method::PUT, &path, Some(&block))
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        let mut both = body(&open, std::slice::from_ref(&document));
        let other = body(&blocked, &[document.clone(), document.clone()]);
        both.bytes = [both.bytes, other.bytes].concat().into();
        both.meta.raw_len = both.bytes.len() as u64;
        both.meta.targets.extend(other.meta.targets);
        both.meta.runs.push(Run { target: 1, docs: 2 });
        assert_eq!(
            send(&client, vec![both]).await,
            [Outcome { refused: vec![1] }]
        );
        assert_eq!(sources(&client, &open).await.len(), 1);
        let unblock = json!({"index.blocks.write": false});
        client
            .request(hyper::Method::PUT, &path, Some(&unblock))
            .await
            .unwrap();
        let again = body(&blocked, &[document.clone(), document]);
        assert_eq!(send(&client, vec![again]).await, [Outcome::default()]);
        assert_eq!(sources(&client, &blocked).await.len(), 2);
    }
}

/// Bodies of all encodings, small ones joined; sent twice, all there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_sent_twice_are_there_once() {
    for client in ready().await {
        let index = fresh("trtwice");
        let documents: Vec<Value> = (0..100)
            .map(|n| json!({"@timestamp": "2026-11-21T00:00:00Z", "message": format!("line {n}")}))
            .collect();
        let plain = body(&index, &documents);
        let mut zstd = plain.clone();
        zstd.meta.encoding = Encoding::Zstd;
        zstd.bytes = zstd::bulk::compress(&plain.bytes, 1).unwrap().into();
        let mut corrupt = plain.clone();
        corrupt.meta.encoding = Encoding::Gzip;
        corrupt.bytes = Bytes::from_static(b"this is not gzip");
        let all = vec![
            plain.clone(),
            plain.clone(),
            zstd.clone(),
            zstd,
            plain,
            corrupt,
        ];
        assert!(
            send(&client, all)
                .await
                .iter()
                .all(|o| o.refused.is_empty())
        );
        assert_eq!(sources(&client, &index).await.len(), 100);
    }
}
