//! What is put on a server at start, and what a server without a feature is told about.

use serde_json::json;
use store::{Metrics, Sender, SenderOptions, Store as _};

use crate::fake::{FakeStore, Fault, client};
use crate::parking::ParkingQueue;
use crate::sending::{body, documents, options, until};
use crate::servers::{Node, SETTINGS, install_options, nodes};

/// The servers here lack ILM and ISM: everything else is put, and the lack is said once, with what
/// it means.
#[tokio::test]
async fn a_server_without_retention_policies_is_told_of() {
    let _calm = SETTINGS.read().await;
    for Node { client, server } in nodes().await {
        let report = client.install(&install_options()).await;
        let [problem] = report.problems.as_slice() else {
            panic!("{}: {report:#?}", server.product().name());
        };
        assert!(problem.contains("old indices are not deleted"), "{problem}");
    }
}

/// What goes over the wire: the policy's API and name, and templates that refer to it.
#[tokio::test]
async fn policies_are_put_where_the_vendors_document_them() {
    for (version, path) in [
        (
            json!({"number": "8.19.0"}),
            "put /_ilm/policy/tailrace-logs",
        ),
        (
            json!({"number": "3.8.0", "distribution": "opensearch"}),
            "put /_plugins/_ism/policies/tailrace-logs",
        ),
    ] {
        let fake = FakeStore::start().await;
        fake.become_version(version);
        let client = client(vec![fake.url()]).await;
        let report = client.install(&install_options()).await;
        assert!(report.problems.is_empty(), "{report:#?}");
        let [policy] = fake.seen(path).try_into().unwrap();
        assert!(policy.body["policy"].is_object(), "{policy:?}");
        let [template] = fake
            .seen("put /_index_template/tailrace-logs")
            .try_into()
            .unwrap();
        let settings = &template.body["template"]["settings"];
        let is_ilm = path.contains("_ilm");
        assert_eq!(settings["index.lifecycle.name"] == "tailrace-logs", is_ilm);
    }
}

/// ISM replaces a policy only for who names its sequence numbers: changed retention counts, and the
/// same one is not written at each start.
#[tokio::test]
async fn a_changed_retention_replaces_the_policy_of_ism() {
    let fake = FakeStore::start().await;
    fake.become_version(json!({"number": "3.8.0", "distribution": "opensearch"}));
    let path = "put /_plugins/_ism/policies/tailrace-logs";
    let client = client(vec![fake.url()]).await;
    client.install(&install_options()).await;
    let [first] = fake.seen(path).try_into().unwrap();
    let mut known = json!({"_seq_no": 7, "_primary_term": 2, "policy": first.body["policy"]});
    // What the server adds.
    known["policy"]["states"][0]["actions"][0]["retry"] = json!({"count": 3});
    known["policy"]["ism_template"][0]["last_updated_time"] = json!(1);
    fake.has_policy(known);
    client.install(&install_options()).await;
    assert_eq!(fake.seen(path).len(), 2, "refused, and not repeated");

    let mut options = install_options();
    options.retention.as_mut().unwrap().delete_after *= 2;
    let report = client.install(&options).await;
    assert!(report.problems.is_empty(), "{report:#?}");
    let replaced = fake.seen(path).pop().unwrap();
    assert!(
        replaced.what.ends_with("?if_seq_no=7&if_primary_term=2"),
        "{replaced:?}"
    );
    assert_ne!(replaced.body, first.body);
}

/// A store that was away may be another one, or an empty one: it is asked what it is, and gets its
/// templates before the next document.
#[tokio::test]
async fn an_upgraded_store_is_noticed_without_a_restart() {
    let fake = FakeStore::start().await;
    let client = client(vec![fake.url()]).await;
    let queue = ParkingQueue::new();
    let with_templates = SenderOptions {
        install: Some(install_options()),
        ..options()
    };
    let sender = Sender::start(client, queue.clone(), with_templates, Metrics::default());
    queue.push(body("logs-x-y", &documents(5)));
    until("stored", || fake.stored("logs-x-y") == 5).await;
    let templates = || fake.seen("put /_index_template/tailrace-logs").len();
    assert_eq!(templates(), 1);
    fake.become_version(json!({"number": "9.2.0"}));
    fake.fail_next(Fault::LostAnswer, 1);
    queue.push(body("logs-x-y", &documents(8)));
    until("delivered", || queue.waiting_bytes() == 0).await;
    assert_eq!(fake.stored("logs-x-y"), 8);
    let server = sender.status().server;
    assert_eq!(server.as_deref(), Some("Elasticsearch 9.2.0"));
    assert_eq!(templates(), 2);
}
