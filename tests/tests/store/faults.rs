//! The sender against a store in this process that fails at will: answers lost after the work was
//! done, cut or unreadable ones, limits and refusals. What counts is what the store holds in the end.

use store::{DEAD_LETTER_STREAM, Metrics, Outcome};

use crate::fake::{FakeStore, Fault, client};
use crate::sending::{body, counted, documents, send_with};

/// Rule 20: whatever happens to an answer, each document is there once and the body ends.
#[tokio::test]
async fn an_answer_that_does_not_arrive_neither_loses_nor_doubles() {
    for fault in [
        Fault::LostAnswer,
        Fault::CutAnswer,
        Fault::NotJson,
        Fault::CutJson,
        Fault::OneItemLess,
        Fault::GatewayTimeout,
    ] {
        let fake = FakeStore::start().await;
        let client = client(vec![fake.url()]).await;
        fake.fail_next(fault, 1);
        let metrics = Metrics::default();
        let bodies = vec![body("logs-x-y", &documents(50))];
        assert_eq!(
            send_with(&client, bodies, &metrics).await,
            [Outcome::default()],
            "{fault:?}"
        );
        assert_eq!(fake.stored("logs-x-y"), 50, "{fault:?}");
        assert_eq!(fake.stored(DEAD_LETTER_STREAM), 0, "{fault:?}");
        let duplicates = counted(&metrics, "store_docs_duplicate_total");
        assert_eq!(duplicates, 50, "the second try finds them all: {fault:?}");
        assert_eq!(
            counted(&metrics, "store_docs_indexed_total"),
            0,
            "{fault:?}"
        );
    }
}

/// A refusal before any work (429 of the whole request) is tried again without doubt.
#[tokio::test]
async fn a_busy_store_gets_the_body_again() {
    let fake = FakeStore::start().await;
    let client = client(vec![fake.url()]).await;
    fake.fail_next(Fault::Busy, 2);
    let metrics = Metrics::default();
    let outcome = send_with(&client, vec![body("logs-x-y", &documents(10))], &metrics).await;
    assert_eq!(outcome, [Outcome::default()]);
    assert_eq!(fake.stored("logs-x-y"), 10);
    assert_eq!(counted(&metrics, "store_docs_indexed_total"), 10);
    assert_eq!(counted(&metrics, "store_docs_duplicate_total"), 0);
}

/// 429 for size never ends by waiting: the body is halved until the pieces pass.
#[tokio::test]
async fn a_body_over_the_index_pressure_limit_is_split() {
    let fake = FakeStore::start().await;
    let client = client(vec![fake.url()]).await;
    fake.limit_bytes(429, 600);
    let metrics = Metrics::default();
    let outcome = send_with(&client, vec![body("logs-x-y", &documents(20))], &metrics).await;
    assert_eq!(outcome, [Outcome::default()]);
    assert_eq!(fake.stored("logs-x-y"), 20);
}

/// 413 splits down to one document; the one that is too large by itself becomes letters.
#[tokio::test]
async fn a_body_that_is_too_large_is_split_down_to_one_document() {
    let fake = FakeStore::start().await;
    let client = client(vec![fake.url()]).await;
    fake.limit_bytes(413, 300_000);
    let mut many = documents(20);
    many[7]["message"] = "x".repeat(400_000).into();
    let metrics = Metrics::default();
    let outcome = send_with(&client, vec![body("logs-x-y", &many)], &metrics).await;
    assert_eq!(outcome, [Outcome::default()]);
    assert_eq!(fake.stored("logs-x-y"), 19);
    assert!(fake.stored(DEAD_LETTER_STREAM) > 1, "the letter's parts");
    assert_eq!(counted(&metrics, "store_docs_dead_lettered_total"), 1);
}

/// One dead host of two costs nothing: the other is asked at once.
#[tokio::test]
async fn a_dead_host_is_passed_over() {
    let fake = FakeStore::start().await;
    // A port that was free just now and that nobody listens on.
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead_url = format!("http://{}", dead.local_addr().unwrap());
    drop(dead);
    let client = client(vec![dead_url, fake.url()]).await;
    assert!(client.server().is_some(), "found out over the living host");
    let metrics = Metrics::default();
    let bodies = (0..6).map(|n| body(&format!("logs-x-{n}"), &documents(10)));
    let outcome = send_with(&client, bodies.collect(), &metrics).await;
    assert_eq!(outcome, vec![Outcome::default(); 6]);
    assert_eq!(counted(&metrics, "store_docs_indexed_total"), 60);
    let unreachable = counted(&metrics, "store_requests_total{status=\"unreachable\"");
    assert_eq!(unreachable, 0, "the next host is asked at once");
}
