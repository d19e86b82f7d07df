//! The sender against real servers that refuse, limit and lose answers. `TAILRACE_TEST_OPENSEARCH`
//! and `TAILRACE_TEST_ELASTICSEARCH` hold their URLs; for TLS, `TAILRACE_TEST_ELASTICSEARCH_TLS`
//! holds an https URL, `…_TLS_CA` the path of the CA and `…_TLS_AUTH` a superuser's `name:password`.
//! Without them the tests say so and pass.
#![allow(
    unused_crate_dependencies,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout
)]

mod rig;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use rig::proxy::Proxy;
use rig::{ParkingQueue, body, counted, documents, fresh, options, send_with, until};
use serde_json::{Value, json};
use store::{
    AuditFilter, Auth, DEAD_LETTER_STREAM, Elasticsearch, ElasticsearchOptions, InstallOptions,
    MemoryQueue, Metrics, Outcome, Queue as _, Sender, Store as _, audit_page, dead_letters,
};

/// One test at a time: some change settings of the whole server.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn connect(url: &str, auth: Auth, ca_pem: Option<Vec<u8>>) -> Arc<Elasticsearch> {
    let mut options = ElasticsearchOptions::new(vec![url.to_owned()]);
    options.request_timeout = Duration::from_secs(20);
    options.auth = auth;
    options.ca_pem = ca_pem;
    Arc::new(Elasticsearch::connect(options).await.unwrap())
}

async fn put_templates(client: &Elasticsearch) {
    let options = InstallOptions {
        data_stream_patterns: vec!["logs-tr*".into()],
        replicas: Some(0),
        ..InstallOptions::default()
    };
    let report = client.install(&options).await;
    assert!(report.installed.len() >= 2, "{report:?}");
}

/// The servers that are there, with their URLs.
async fn ready() -> Vec<(Arc<Elasticsearch>, String)> {
    let mut out = Vec::new();
    for name in ["TAILRACE_TEST_OPENSEARCH", "TAILRACE_TEST_ELASTICSEARCH"] {
        let Ok(url) = std::env::var(name) else {
            println!("skipped: {name} is not set");
            continue;
        };
        let client = connect(&url, Auth::None, None).await;
        put_templates(&client).await;
        out.push((client, url));
    }
    out
}

async fn ask(client: &Elasticsearch, method: Method, path: &str, body: Value) -> Value {
    let body = Some(&body).filter(|body| !body.is_null());
    let answer = client.request(method, path, body).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

async fn count(client: &Elasticsearch, index: &str) -> u64 {
    client.refresh(index).await.unwrap();
    client.count(index, None).await.unwrap()
}

/// Sends documents and answers the metrics; everything must be delivered.
async fn deliver(client: &Arc<Elasticsearch>, index: &str, documents: &[Value]) -> Metrics {
    let metrics = Metrics::default();
    let outcome = send_with(client, vec![body(index, documents)], &metrics).await;
    assert_eq!(outcome, [Outcome::default()]);
    metrics
}

/// Own CA, basic, API key; wrong credentials lose nothing and raise the alarm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_every_kind_of_credentials() {
    let _turn = TURN.lock().await;
    let name = "TAILRACE_TEST_ELASTICSEARCH_TLS";
    let Ok(url) = std::env::var(name) else {
        println!("skipped: {name} is not set");
        return;
    };
    let var = |suffix: &str| std::env::var(format!("{name}{suffix}")).unwrap();
    let ca = std::fs::read(var("_CA")).unwrap();
    let auth = var("_AUTH");
    let (user, password) = auth.split_once(':').unwrap();
    let basic = |password: &str| Auth::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    let client = connect(&url, basic(password), Some(ca.clone())).await;
    put_templates(&client).await;
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

/// 413 of the real thing, down to the one document that can never pass: it becomes letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_max_content_length_is_split() {
    let _turn = TURN.lock().await;
    for (client, url) in ready().await {
        let path = "/_nodes/http?filter_path=nodes.*.http.max_content_length_in_bytes";
        let nodes = ask(&client, Method::GET, path, Value::Null).await;
        let node = nodes["nodes"].as_object().unwrap().values().next().unwrap();
        let limit = node["http"]["max_content_length_in_bytes"]
            .as_u64()
            .unwrap();
        if limit > 4 << 20 {
            println!("skipped: {url} takes bodies of {limit} bytes");
            continue;
        }
        let index = fresh("trlarge");
        let mut many = documents(200);
        for document in &mut many {
            document["message"] = "x".repeat(limit as usize / 50).into();
        }
        many[7]["message"] = "y".repeat(limit as usize + 1).into();
        let metrics = deliver(&client, &index, &many).await;
        assert_eq!(count(&client, &index).await, 199);
        assert_eq!(counted(&metrics, "store_docs_dead_lettered_total"), 1);
        assert!(counted(&metrics, "store_requests_total{status=\"413\"") > 0);
        client.refresh(DEAD_LETTER_STREAM).await.unwrap();
        let of = json!({"query": {"term": {"tailrace.dead_letter.index": index}}});
        let n_parts = client.count(DEAD_LETTER_STREAM, Some(&of)).await.unwrap();
        assert!(n_parts > 1);
        // It is as large as ever: a replay says so, keeps its letters and goes on.
        let filter = dead_letters::Filter {
            index: Some(index),
            ..dead_letters::Filter::default()
        };
        let replayed = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!((replayed.failed, replayed.removed), (1, 0), "{replayed:?}");
    }
}

/// 429 of the whole request because it is too large for the memory that is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_breaker_limit_is_split() {
    let _turn = TURN.lock().await;
    for (client, _) in ready().await {
        let setting = "network.breaker.inflight_requests.limit";
        let set = |value: Value| json!({"transient": {setting: value}});
        let path = "/_cluster/settings";
        let index = fresh("trbusy");
        let mut many = documents(200);
        for document in &mut many {
            document["message"] = "x".repeat(4_000).into();
        }
        ask(&client, Method::PUT, path, set(json!("600kb"))).await;
        let metrics = deliver(&client, &index, &many).await;
        ask(&client, Method::PUT, path, set(Value::Null)).await;
        assert_eq!(count(&client, &index).await, 200);
        assert!(counted(&metrics, "store_requests_total{status=\"429\"") > 0);
        assert_eq!(counted(&metrics, "store_docs_dead_lettered_total"), 0);
    }
}

/// An immense term is mended: the rest of the document stays searchable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immense_term_is_mended() {
    let _turn = TURN.lock().await;
    for (client, _) in ready().await {
        let index = fresh("immense").replace("logs-", "tr");
        let mapping = json!({"mappings": {"properties": {"k": {"type": "keyword"}}}});
        ask(&client, Method::PUT, &format!("/{index}"), mapping).await;
        let mut two = documents(2);
        two[1]["k"] = "x".repeat(40_000).into();
        let metrics = deliver(&client, &index, &two).await;
        assert_eq!(count(&client, &index).await, 2);
        assert_eq!(counted(&metrics, "store_docs_mended_total"), 1);
        assert_eq!(counted(&metrics, "store_docs_dead_lettered_total"), 0);
    }
}

/// Rule 22: a letter goes when its document is in the store, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_letter_is_removed() {
    let _turn = TURN.lock().await;
    for (client, _) in ready().await {
        let index = fresh("strict").replace("logs-", "tr");
        let strict = json!({"mappings": {"dynamic": "strict",
            "properties": {"@timestamp": {"type": "date"}, "message": {"type": "text"}}}});
        ask(&client, Method::PUT, &format!("/{index}"), strict).await;
        let mut three = documents(3);
        three[1]["surprise"] = 1.into();
        let metrics = deliver(&client, &index, &three).await;
        assert_eq!(counted(&metrics, "store_docs_dead_lettered_total"), 1);
        assert_eq!(count(&client, &index).await, 2);
        let filter = dead_letters::Filter {
            index: Some(index.clone()),
            ..dead_letters::Filter::default()
        };
        let replayed = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!((replayed.failed, replayed.removed), (1, 0), "{replayed:?}");
        let path = format!("/{index}/_mapping");
        ask(&client, Method::PUT, &path, json!({"dynamic": true})).await;
        let replayed = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!((replayed.indexed, replayed.removed), (1, 1), "{replayed:?}");
        assert_eq!(count(&client, &index).await, 3);
        let replayed = dead_letters::replay(&*client, &filter).await.unwrap();
        assert_eq!(replayed.matched, 0);
    }
}

/// Rule 19: a write block parks; lifting it drains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_stream_drains_when_the_block_is_lifted() {
    let _turn = TURN.lock().await;
    for (client, _) in ready().await {
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

/// Every record is on one page, ties over a page's end too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_pages_hold_each_record_once() {
    let _turn = TURN.lock().await;
    for (client, _) in ready().await {
        let index = fresh("traudit");
        let mut many = documents(25);
        for (n, document) in many.iter_mut().enumerate() {
            document["tailrace.stream"] = format!("s{}", n / 12).into();
            document["log.offset"] = (n / 3).into();
        }
        deliver(&client, &index, &many).await;
        client.refresh(&index).await.unwrap();
        let filter = AuditFilter {
            indices: index,
            ..AuditFilter::default()
        };
        for size in [1, 2, 4, 7, 24, 25, 26] {
            let (mut ids, mut n_hits, mut after) = (BTreeSet::new(), 0, None);
            loop {
                let page = audit_page(&*client, &filter, after.as_ref(), size);
                let page = page.await.unwrap();
                n_hits += page.hits.len();
                ids.extend(page.hits.iter().map(|h| h["_id"].to_string()));
                after = page.after;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!((n_hits, ids.len()), (25, 25), "pages of {size}");
        }
    }
}

/// Rule 20: the server did the work, its answer was lost: 409 at the second try, nothing double.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_doubles_nothing() {
    let _turn = TURN.lock().await;
    for (client, url) in ready().await {
        let index = fresh("trlost");
        let proxy = Proxy::start(url.strip_prefix("http://").unwrap()).await;
        let through = connect(&proxy.url(), Auth::None, None).await;
        proxy.lose_next_bulk_answer();
        let metrics = deliver(&through, &index, &documents(100)).await;
        assert_eq!(proxy.lost(), 1);
        assert_eq!(counted(&metrics, "store_docs_duplicate_total"), 100);
        assert_eq!(count(&client, &index).await, 100);
    }
}
