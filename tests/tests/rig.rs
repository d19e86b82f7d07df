//! The rig itself: servers come up, stop, die and come back with their data.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::server::{Product, Server};

/// Indexes `n_documents` numbered from `first`, acknowledged by the server.
fn index(server: &Server, first: u64, n_documents: u64) {
    let mut body = String::new();
    for n in first..first + n_documents {
        body.push_str(&format!(
            "{{\"create\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n"
        ));
    }
    let reply = server
        .http()
        .send(
            "POST",
            "/things/_bulk",
            "application/x-ndjson",
            body.into_bytes(),
        )
        .unwrap();
    assert_eq!(reply.json()["errors"], false, "{}", reply.text());
}

#[test]
fn opensearch_keeps_its_data_over_a_kill_a_stop_and_a_pause() {
    let mut server = Server::start(Product::OpenSearch).unwrap();
    let root = server.http().get_json("/").unwrap();
    assert_eq!(root["version"]["number"], "3.8.0", "{root}");
    index(&server, 0, 7_000);
    server.kill().unwrap();
    assert!(server.http().get("/").is_err());
    server.start_again().unwrap();
    index(&server, 7_000, 1);
    server.stop().unwrap();
    server.start_again().unwrap();
    server.pause().unwrap();
    server.resume().unwrap();
    assert_eq!(
        server
            .documents()
            .wait_count("things", "*", 7_001, Duration::from_secs(5))
            .unwrap(),
        7_001
    );
    let mut all: Vec<u64> = server
        .documents()
        .all("things")
        .unwrap()
        .iter()
        .filter_map(|hit| hit["_source"]["n"].as_u64())
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..7_001).collect::<Vec<_>>());
    assert_eq!(server.documents().count("absent", "*").unwrap(), 0);
    assert!(server.documents().all("absent").unwrap().is_empty());
}

#[test]
fn elasticsearch_tells_its_version_and_runs_as_any_user() {
    let mut server = Server::start(Product::Elasticsearch8).unwrap();
    let root: Value = server.http().get_json("/").unwrap();
    assert_eq!(root["version"]["number"], "8.19.21", "{root}");
    index(&server, 0, 10);
    server.kill().unwrap();
    server.start_again().unwrap();
    assert_eq!(server.documents().count("things", "n:>=5").unwrap(), 5);
    server
        .documents()
        .put_settings("things", &json!({"index": {"number_of_replicas": 0}}))
        .unwrap();
    server.stop().unwrap();
}
