//! TLS with an authority of one's own, and every kind of credentials.

use std::time::Duration;

use hyper::Method;
use serde_json::json;
use store::{Auth, MemoryQueue, Metrics, Outcome, Sender, dead_letters};
use tests::server::{Product, Server};

use crate::sending::{body, counted, deliver, documents, fresh, options, send_with, until};
use crate::servers::{ask, connect, count, put_templates};

/// Own CA, basic, API key; wrong credentials lose nothing and raise the alarm.
#[tokio::test]
async fn tls_with_every_kind_of_credentials() {
    let server = tokio::task::spawn_blocking(|| Server::start_secured(Product::Elasticsearch8));
    let server = server.await.unwrap().unwrap();
    let access = server.access().unwrap();
    let (url, ca) = (server.url(), access.ca_pem.clone());
    let (user, password) = (access.user, access.password);
    let basic = |password: &str| Auth::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    let client = connect(&url, basic(password), Some(ca.clone())).await;
    assert!(client.server().is_some(), "it is let in");
    put_templates(&client).await;
    // No letter was ever written here.
    let replayed = dead_letters::replay(&*client, &dead_letters::Filter::default()).await;
    assert_eq!(replayed.unwrap().matched, 0);
    let index = fresh("trtls");
    deliver(&client, &index, &documents(10)).await;
    assert_eq!(count(&client, &index).await, 10);

    // A key that may only create: another index is refused, and only that.
    let key = ask(
        &client,
        Method::POST,
        "/_security/api_key",
        json!({"name": "tailrace-test", "role_descriptors": {"writer": {"cluster": ["monitor"],
            "indices": [{"names": ["logs-*"], "privileges": ["create_doc", "auto_configure"]}]}}}),
    )
    .await;
    let key = Auth::ApiKey(key["encoded"].as_str().unwrap().to_owned());
    let writer = connect(&url, key, Some(ca.clone())).await;
    let metrics = Metrics::default();
    let bodies = vec![
        body(&index, &documents(20)),
        body("trforbidden", &documents(3)),
    ];
    let outcome = send_with(&writer, bodies, &metrics).await;
    assert_eq!(outcome[0], Outcome::default());
    assert_eq!(outcome[1].refused, [0]);
    assert_eq!(count(&client, &index).await, 20);

    // Whether a document in doubt is there twice it may not see: it says so, and delivers.
    let mut in_doubt = body(&index, &documents(20));
    in_doubt.meta.doubt_since_ms = Some(1);
    let metrics = Metrics::default();
    let outcome = send_with(&writer, vec![in_doubt], &metrics).await;
    assert_eq!(outcome, [Outcome::default()]);
    assert!(counted(&metrics, "store_docs_doubt_unresolved_total") > 0);
    assert_eq!(count(&client, &index).await, 20);

    // Wrong ones: everything waits, nothing ends.
    for auth in [
        Auth::None,
        basic("wrong"),
        Auth::ApiKey("d3Jvbmc6d3Jvbmc=".to_owned()),
        Auth::Bearer("wrong".to_owned()),
    ] {
        let stranger = connect(&url, auth, Some(ca.clone())).await;
        let (queue, metrics) = (MemoryQueue::new(1 << 20), Metrics::default());
        let body = body(&index, &documents(30));
        let ticket = queue.push(queue.try_reserve(1).unwrap(), body);
        let sender = Sender::start(stranger, queue.clone(), options(), metrics.clone());
        until("the alarm", || metrics.store_refuses.get() == 1).await;
        assert!(sender.status().last_error.unwrap().contains("401"));
        assert!(queue.used_bytes() > 0, "the body is still there");
        drop(sender);
        // The right ones, as after a restart: the same queue goes on.
        let _sender = Sender::start(client.clone(), queue, options(), metrics.clone());
        let delivered = tokio::time::timeout(Duration::from_secs(60), ticket.delivered());
        assert_eq!(delivered.await.unwrap().unwrap(), Outcome::default());
        until("the alarm ends", || metrics.store_refuses.get() == 0).await;
    }
    assert_eq!(count(&client, &index).await, 30);

    // A certificate that nobody trusted: nothing is sent.
    let distrustful = connect(&url, basic(password), None).await;
    assert!(distrustful.server().is_none());
    let error = distrustful.detect().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}
