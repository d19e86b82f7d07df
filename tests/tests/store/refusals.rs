//! Data streams that the store refuses (delivery rule 19): they wait, the others go on.

use std::time::Duration;

use hyper::Method;
use serde_json::json;
use store::{Body, Metrics, Outcome, Queue as _, Run, Sender, SenderOptions};

use crate::fake::{FakeStore, client};
use crate::parking::ParkingQueue;
use crate::sending::{body, counted, deliver, documents, fresh, options, send, until};
use crate::servers::{Node, SETTINGS, ask, count, nodes};

/// One body of two plain ones, each for one data stream.
fn join(first: &Body, second: &Body) -> Body {
    let mut both = first.clone();
    both.bytes = [first.bytes.clone(), second.bytes.clone()].concat().into();
    both.meta.raw_len = both.bytes.len() as u64;
    both.meta.targets.extend(second.meta.targets.clone());
    let docs = second.meta.docs() as u32;
    both.meta.runs.push(Run { target: 1, docs });
    both
}

/// Rule 19: a write block refuses one data stream; the others of the same body pass.
#[tokio::test]
async fn a_write_block_stops_only_its_data_stream() {
    let _calm = SETTINGS.read().await;
    for Node { client, .. } in nodes().await {
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
            .request(Method::PUT, &path, Some(&block))
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        let both = join(
            &body(&open, std::slice::from_ref(&document)),
            &body(&blocked, &[document.clone(), document.clone()]),
        );
        assert_eq!(
            send(&client, vec![both]).await,
            [Outcome { refused: vec![1] }]
        );
        assert_eq!(count(&client, &open).await, 1);
        let unblock = json!({"index.blocks.write": false});
        client
            .request(Method::PUT, &path, Some(&unblock))
            .await
            .unwrap();
        let again = body(&blocked, &[document.clone(), document]);
        assert_eq!(send(&client, vec![again]).await, [Outcome::default()]);
        assert_eq!(count(&client, &blocked).await, 2);
    }
}

/// Rule 19: a write block parks; lifting it drains.
#[tokio::test]
async fn a_parked_stream_drains_when_the_block_is_lifted() {
    let _calm = SETTINGS.read().await;
    for Node { client, .. } in nodes().await {
        let index = fresh("trpark");
        deliver(&client, &index, &documents(1)).await;
        let path = format!("/{index}/_settings");
        let block = |is_on: bool| json!({"index.blocks.write": is_on});
        ask(&client, Method::PUT, &path, block(true)).await;
        let queue = ParkingQueue::new();
        queue.push(body(&index, &documents(40)));
        let metrics = Metrics::default();
        let sender = Sender::start(client.clone(), queue.clone(), options(), metrics.clone());
        until("parked", || queue.parked_bytes() > 0).await;
        until("told", || sender.status().parked.len() == 1).await;
        ask(&client, Method::PUT, &path, block(false)).await;
        until("drained", || queue.parked_bytes() == 0).await;
        assert_eq!(count(&client, &index).await, 40);
    }
}

/// What was parked goes when the store takes the data stream again, and meanwhile the others pass.
#[tokio::test]
async fn what_is_parked_waits_and_the_rest_passes() {
    let fake = FakeStore::start().await;
    let client = client(vec![fake.url()]).await;
    fake.block("logs-blocked-y");
    let queue = ParkingQueue::new();
    queue.push(body("logs-blocked-y", &documents(30)));
    queue.push(body("logs-x-y", &documents(10)));
    let sender = Sender::start(client, queue.clone(), options(), Metrics::default());
    until("the open stream passes", || {
        fake.stored("logs-x-y") == 10 && queue.parked_bytes_now() > 0
    })
    .await;
    assert_eq!(fake.stored("logs-blocked-y"), 0);
    until("the status tells", || sender.status().parked.len() == 1).await;
    fake.unblock("logs-blocked-y");
    until("the parked ones follow", || {
        fake.stored("logs-blocked-y") == 30 && queue.parked_bytes_now() == 0
    })
    .await;
    until("the alarm ends", || sender.status().parked.is_empty()).await;
}

/// Over its quota a data stream's documents stay where they are, new ones for it are to be refused,
/// the others go on; when the store takes it again, nothing is missing.
#[tokio::test]
async fn over_its_quota_a_stream_is_refused_and_the_others_go_on() {
    let fake = FakeStore::start().await;
    let client = client(vec![fake.url()]).await;
    fake.block("logs-blocked-y");
    // An empty queue takes one body of any size: the first is parked, the second is too much.
    let queue = ParkingQueue::with_quota(1);
    let sender = Sender::start(client, queue.clone(), options(), Metrics::default());
    queue.push(body("logs-blocked-y", &documents(10)));
    until("the first is parked", || queue.parked_bytes_now() > 0).await;
    assert!(sender.refused().is_empty(), "within its quota");
    queue.push(body("logs-blocked-y", &documents(30)));
    until("it is refused", || {
        sender.refused().contains("logs-blocked-y")
    })
    .await;
    queue.push(body("logs-x-y", &documents(10)));
    until("the open stream passes", || fake.stored("logs-x-y") == 10).await;
    assert_eq!(sender.refused().len(), 1, "{:?}", sender.status());
    assert!(queue.waiting_bytes() > 0, "what cannot be parked is kept");
    fake.unblock("logs-blocked-y");
    until("everything is there", || {
        fake.stored("logs-blocked-y") == 30 && queue.waiting_bytes() == 0
    })
    .await;
    until("it is taken again", || sender.refused().is_empty()).await;
}

/// While a refusal is fresh, documents for that stream are parked without asking; those of others
/// in the same body go on.
#[tokio::test]
async fn a_fresh_refusal_is_not_asked_for_again() {
    let fake = FakeStore::start().await;
    let client = client(vec![fake.url()]).await;
    fake.block("logs-blocked-y");
    let queue = ParkingQueue::new();
    let metrics = Metrics::default();
    let patient = SenderOptions {
        // No probe of what is parked comes in the way.
        retry_min: Duration::from_secs(60),
        retry_max: Duration::from_secs(60),
        ..options()
    };
    let sender = Sender::start(client, queue.clone(), patient, metrics.clone());
    queue.push(body("logs-blocked-y", &documents(5)));
    until("parked", || queue.parked_bytes_now() > 0).await;
    let posts = || counted(&metrics, "store_requests_total");
    assert_eq!(posts(), 1);
    for _ in 0..5 {
        queue.push(body("logs-blocked-y", &documents(9)));
    }
    let parked = || counted(&metrics, "store_docs_parked_total");
    until("parked at once", || parked() == 5 + 5 * 9).await;
    assert_eq!(posts(), 1, "the store is not asked for each of them");
    let mixed = join(
        &body("logs-blocked-y", &documents(9)),
        &body("logs-x-y", &documents(2)),
    );
    queue.push(mixed);
    until("the other stream's are there", || {
        fake.stored("logs-x-y") == 2 && parked() == 5 + 6 * 9
    })
    .await;
    assert_eq!(posts(), 2, "for the other stream");
    assert_eq!(fake.stored("logs-blocked-y"), 0);
    drop(sender);
}
