//! What the tests of the sender share: bodies, a queue that parks, and a store that fails at will.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod fake;
pub(crate) mod proxy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use store::{
    Body, BodyMeta, BoxFuture, Elasticsearch, Encoding, Lane, MemoryQueue, Metrics, Outcome,
    PutError, Queue, Queued, Run, Sender, SenderOptions, Target, document_id,
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

/// A queue in memory that parks, as the disk buffer does.
pub(crate) struct ParkingQueue {
    main: Arc<MemoryQueue>,
    parked: Mutex<BTreeMap<String, Arc<MemoryQueue>>>,
}

impl ParkingQueue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            main: MemoryQueue::new(100 << 20),
            parked: Mutex::default(),
        })
    }

    pub(crate) fn push(&self, body: Body) {
        let room = self.main.try_reserve(body.bytes.len() as u64).unwrap();
        drop(self.main.push(room, body));
    }

    pub(crate) fn parked_bytes_now(&self) -> u64 {
        let parked = self.parked.lock().unwrap();
        parked.values().map(|q| q.used_bytes()).sum()
    }
}

impl Queue for ParkingQueue {
    fn next(&self) -> BoxFuture<'_, Option<Queued>> {
        self.main.next()
    }

    fn posted(&self, id: u64, wall_ms: u64) {
        self.main.posted(id, wall_ms);
    }

    fn done(&self, id: u64, outcome: Outcome) {
        self.main.done(id, outcome);
    }

    fn give_back(&self, id: u64) {
        self.main.give_back(id);
    }

    fn park<'a>(&'a self, data_stream: &'a str, body: Body) -> BoxFuture<'a, Result<(), PutError>> {
        let mut parked = self.parked.lock().unwrap();
        let queue = parked
            .entry(data_stream.to_owned())
            .or_insert_with(|| MemoryQueue::new(100 << 20));
        let room = queue.try_reserve(body.bytes.len() as u64).unwrap();
        drop(queue.push(room, body));
        Box::pin(std::future::ready(Ok(())))
    }

    fn parked(&self, data_stream: &str) -> Option<Arc<dyn Queue>> {
        let queue = self.parked.lock().unwrap().get(data_stream).cloned()?;
        Some(queue)
    }

    fn parked_streams(&self) -> Vec<String> {
        self.parked.lock().unwrap().keys().cloned().collect()
    }

    fn parked_bytes(&self) -> u64 {
        self.parked_bytes_now()
    }
}
