//! Bodies, and sending them: what all tests of the sender share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use store::{
    Body, BodyMeta, Elasticsearch, Encoding, Lane, MemoryQueue, Metrics, Outcome, Run, Sender,
    SenderOptions, Target, document_id,
};

/// Longest time that anything awaited may take; only a failure waits for it.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn options() -> SenderOptions {
    SenderOptions {
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(200),
        confirm_after: Duration::from_millis(50),
        ..SenderOptions::default()
    }
}

/// A name that no earlier run used: one of the servers cannot delete data streams.
pub(crate) fn fresh(what: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    format!("logs-{what}-{}", now.as_nanos())
}

pub(crate) fn documents(n: usize) -> Vec<Value> {
    (0..n)
        .map(|n| json!({"@timestamp": "2026-11-21T00:00:00Z", "message": format!("line {n}")}))
        .collect()
}

pub(crate) fn body(index: &str, documents: &[Value]) -> Body {
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

/// Delivers bodies through a sender of their own.
pub(crate) async fn send_with(
    client: &Arc<Elasticsearch>,
    bodies: Vec<Body>,
    metrics: &Metrics,
) -> Vec<Outcome> {
    let queue = MemoryQueue::new(100 << 20);
    let push = |body: Body| queue.push(queue.try_reserve(body.bytes.len() as u64).unwrap(), body);
    let tickets: Vec<_> = bodies.into_iter().map(push).collect();
    let sender = Sender::start(client.clone(), queue.clone(), options(), metrics.clone());
    let mut out = Vec::new();
    for ticket in tickets {
        let delivered = tokio::time::timeout(DEADLINE, ticket.delivered()).await;
        let outcome = delivered.unwrap_or_else(|_| panic!("not delivered: {:?}", sender.status()));
        out.push(outcome.unwrap());
    }
    out
}

/// Delivers bodies whose counts do not matter.
pub(crate) async fn send(client: &Arc<Elasticsearch>, bodies: Vec<Body>) -> Vec<Outcome> {
    send_with(client, bodies, &Metrics::default()).await
}

/// Delivers documents, all of which must end in the store or as letters; answers what was counted.
pub(crate) async fn deliver(
    client: &Arc<Elasticsearch>,
    index: &str,
    documents: &[Value],
) -> Metrics {
    let metrics = Metrics::default();
    let outcome = send_with(client, vec![body(index, documents)], &metrics).await;
    assert_eq!(outcome, [Outcome::default()]);
    metrics
}

/// Sum of a counter over all its labels.
pub(crate) fn counted(metrics: &Metrics, name: &str) -> u64 {
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let of_name = text.lines().filter(|l| {
        l.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', '}', ' ']))
    });
    of_name
        .map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, wait).await;
    assert!(in_time.is_ok(), "not in time: {what}");
}
