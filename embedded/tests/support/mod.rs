//! What the tests of the store have in common.

use std::path::Path;
use std::time::Duration;

use embedded::{Embedded, EmbeddedOptions};
use serde_json::{Value, json};
use store::{Encoding, Store as _, document_id};

pub(crate) const INDEX: &str = "logs-shop-default";

/// Opens a store whose documents are found soon.
pub(crate) fn open(dir: &Path) -> Embedded {
    let options = EmbeddedOptions {
        refresh_interval: Duration::from_millis(50),
        ..EmbeddedOptions::default()
    };
    Embedded::open(dir, options).unwrap()
}

/// Posts documents, each with its id; answers the status of each.
pub(crate) async fn create(store: &Embedded, documents: &[(String, Value)]) -> Vec<u64> {
    let mut body = Vec::new();
    for (id, document) in documents {
        let action = json!({"create": {"_index": INDEX, "_id": id}});
        body.extend_from_slice(format!("{action}\n{document}\n").as_bytes());
    }
    statuses(&post(store, body).await)
}

/// Posts a body that is taken; its answer.
pub(crate) async fn post(store: &Embedded, body: Vec<u8>) -> Value {
    let answer = store.bulk(body.into(), Encoding::Identity).await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    serde_json::from_slice(&answer.body).unwrap()
}

/// The status of each item of an answer.
pub(crate) fn statuses(answer: &Value) -> Vec<u64> {
    let items = answer["items"].as_array().unwrap().iter();
    let results = items.map(|item| item.as_object().unwrap().values().next().unwrap());
    results
        .map(|result| result["status"].as_u64().unwrap())
        .collect()
}

/// A document whose id says where it stood.
pub(crate) fn placed(stream: u64, offset: u64) -> (String, Value) {
    let id = document_id(stream, offset, 7).to_string();
    (
        id,
        json!({"@timestamp": "2026-11-25T00:00:00Z", "message": "m", "log.offset": offset}),
    )
}

/// Partitions by the time in their names, oldest first.
pub(crate) fn days(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("days")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// As if the newest partition had begun so many days ago.
pub(crate) fn age(dir: &Path, days_ago: i64) {
    let newest = days(dir).pop().unwrap();
    let began = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days_ago);
    let name = began.strftime("%Y%m%dT%H%M%SZ").to_string();
    std::fs::rename(dir.join("days").join(newest), dir.join("days").join(name)).unwrap();
}

/// Waits for what the store does beside requests.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}
