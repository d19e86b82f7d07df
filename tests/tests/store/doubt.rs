//! Tries whose outcome nobody knows (delivery rules 20 and 21): neither doubled nor lost.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use store::{Auth, Encoding, InstallOptions, Outcome, Store as _};
use tests::proxy::{Fault, Proxy};
use tests::server::Server;

use crate::fake::{FakeStore, Fault as StoreFault, client};
use crate::sending::{body, counted, deliver, documents, fresh, send};
use crate::servers::{Node, SETTINGS, ask, connect, count, install_options, nodes};

/// Bodies of all encodings, small ones joined; sent twice, all there once.
#[tokio::test]
async fn bodies_sent_twice_are_there_once() {
    let _calm = SETTINGS.read().await;
    for Node { client, .. } in nodes().await {
        let index = fresh("trtwice");
        let plain = body(&index, &documents(100));
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
        assert_eq!(count(&client, &index).await, 100);
    }
}

/// Rule 20: the server did the work, its answer was lost: 409 at the second try, nothing double.
#[tokio::test]
async fn a_lost_answer_doubles_nothing() {
    let _calm = SETTINGS.read().await;
    for Node { client, server } in nodes().await {
        let index = fresh("trlost");
        let proxy = tokio::task::spawn_blocking(|| Proxy::start(server.port()).unwrap());
        let proxy = proxy.await.unwrap();
        let through = connect(&proxy.url(), Auth::None, None).await;
        proxy.set(Fault::LoseAnswers {
            request: "/_bulk".into(),
            times: 1,
        });
        let metrics = deliver(&through, &index, &documents(100)).await;
        assert_eq!(proxy.lost_answers(), 1);
        assert_eq!(counted(&metrics, "store_docs_duplicate_total"), 100);
        assert_eq!(count(&client, &index).await, 100);
        // It has a runtime of its own, which may not end within another.
        tokio::task::spawn_blocking(|| drop(proxy)).await.unwrap();
    }
}

/// Rules 20 and 22: a body in doubt over a rollover is neither doubled nor lost.
#[tokio::test]
async fn doubt_over_a_rollover_doubles_nothing() {
    let _calm = SETTINGS.read().await;
    for Node { client, .. } in nodes().await {
        let index = fresh("trdoubt");
        let documents = documents(20);
        send(&client, vec![body(&index, &documents[..10])]).await;
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let roll = format!("/{index}/_rollover");
        let answer = client.request(Method::POST, &roll, None).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        // Without the check the first ten are taken again, by the younger index.
        let mut in_doubt = body(&index, &documents);
        in_doubt.meta.doubt_since_ms = Some(now.as_millis() as u64);
        assert_eq!(
            send(&client, vec![in_doubt.clone()]).await,
            [Outcome::default()]
        );
        assert_eq!(count(&client, &index).await, 20);
        // Copies that an earlier, killed try left in the younger index are deleted.
        send(&client, vec![body(&index, &documents[..5])]).await;
        assert_eq!(count(&client, &index).await, 25, "the rule's case exists");
        assert_eq!(send(&client, vec![in_doubt]).await, [Outcome::default()]);
        assert_eq!(count(&client, &index).await, 20);
    }
}

/// Rule 21: where there are replicas, a 409 after an unanswered try counts when a second post says
/// so again. In between the primary may die that held the only copy.
#[tokio::test]
async fn a_conflict_is_final_when_a_second_post_says_so() {
    for (is_replicated, loses) in [(false, false), (true, false), (true, true)] {
        let fake = FakeStore::start().await;
        if is_replicated {
            fake.replicate();
        }
        if loses {
            fake.lose_after_conflict();
        }
        let client = client(vec![fake.url()]).await;
        fake.fail_next(StoreFault::LostAnswer, 1);
        let metrics = deliver(&client, "logs-x-y", &documents(50)).await;
        let case = format!("replicated {is_replicated}, loses {loses}");
        assert_eq!(fake.stored("logs-x-y"), 50, "{case}");
        let duplicates = counted(&metrics, "store_docs_duplicate_total");
        assert_eq!(duplicates, if loses { 0 } else { 50 }, "{case}");
        // The lost one, the one that says 409, and the one that confirms it or brings them back.
        let posts = counted(&metrics, "store_requests_total");
        assert_eq!(posts, if is_replicated { 3 } else { 2 }, "{case}");
    }
}

/// Rule 21 on a cluster of two: the 409 is asked again, and what was confirmed outlives the node
/// that held the primary shard.
#[tokio::test]
async fn what_a_cluster_confirms_outlives_the_primary() {
    let nodes = tokio::task::spawn_blocking(Server::start_two).await;
    let [master, data] = nodes.unwrap().unwrap();
    let client = connect(&master.url(), Auth::None, None).await;
    let options = InstallOptions {
        replicas: Some(1),
        ..install_options()
    };
    client.install(&options).await;
    // The primary shard goes to the node that will die, its replica to the other.
    let exclude = |name: Value| {
        let setting = "cluster.routing.allocation.exclude._name";
        ask(
            &client,
            Method::PUT,
            "/_cluster/settings",
            json!({"persistent": {setting: name}}),
        )
    };
    exclude(json!("rig-0")).await;
    let index = fresh("trpair");
    deliver(&client, &index, &documents(10)).await;
    exclude(Value::Null).await;
    let green = format!("/_cluster/health/{index}?wait_for_status=green&timeout=60s");
    let health = ask(&client, Method::GET, &green, Value::Null).await;
    assert_eq!(health["timed_out"], false, "{health}");

    let proxy = tokio::task::spawn_blocking(move || {
        let proxy = Proxy::start(master.port()).unwrap();
        (proxy, master)
    });
    let (proxy, _master) = proxy.await.unwrap();
    let through = connect(&proxy.url(), Auth::None, None).await;
    proxy.set(Fault::LoseAnswers {
        request: "/_bulk".into(),
        times: 1,
    });
    let metrics = deliver(&through, &index, &documents(60)).await;
    // 201 that nobody heard, 409, and the 409 that counts.
    assert_eq!(counted(&metrics, "store_requests_total"), 3);
    assert_eq!(counted(&metrics, "store_docs_duplicate_total"), 60);

    let died = tokio::task::spawn_blocking(move || {
        let mut data = data;
        data.kill()
    });
    died.await.unwrap().unwrap();
    let yellow =
        format!("/_cluster/health/{index}?wait_for_status=yellow&wait_for_nodes=1&timeout=60s");
    let health = ask(&client, Method::GET, &yellow, Value::Null).await;
    assert_eq!(health["timed_out"], false, "{health}");
    assert_eq!(count(&client, &index).await, 60);
    tokio::task::spawn_blocking(|| drop(proxy)).await.unwrap();
}
