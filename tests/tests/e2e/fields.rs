//! What a document looks like: the names that issue, docs and dashboards rely on.

use std::time::Duration;

use bench::container_log::ContainerLog;
use bench::container_log::{Format, Iostream};
use serde_json::{Value, json};
use tests::{
    agent::Agent,
    scene::Scene,
    server::Server,
    verdict::{Verdict, field, number, text},
    wait,
};

const LIMIT: Duration = Duration::from_secs(30);

/// The one document whose message contains `part`.
fn document<'a>(hits: &'a [Value], part: &str) -> &'a Value {
    let found: Vec<&Value> = hits
        .iter()
        .map(|hit| &hit["_source"])
        .filter(|document| text(document, "message").contains(part))
        .collect();
    assert_eq!(found.len(), 1, "`{part}`: {found:#?}");
    found[0]
}

fn check(document: &Value, wanted: &[(&str, Value)]) {
    for (name, value) in wanted {
        assert_eq!(field(document, name), Some(value), "{name} of {document:#}");
    }
}

#[test]
fn documents_have_the_promised_fields() {
    let scene_server = Server::shared().unwrap();
    let mut scene = Scene::new("fields", scene_server).unwrap();
    let mut web = scene
        .kubelet
        .container("shop", "web-7d9f-x2x", "nginx")
        .unwrap();
    let log = &mut web.log;
    let at = log
        .bytes(b"2026-11-21T06:23:01.123456789Z stdout F hello from a plain line\n")
        .unwrap();
    let json_line = r#"{"time":"2026-11-21T06:23:02.5Z","level":"WARN","msg":"stock is low","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","sku":"A-1","left":3,"deep":{"er":true}}"#;
    let json_at = log
        .bytes(format!("2026-11-21T06:23:03.000000001Z stdout F {json_line}\n").as_bytes())
        .unwrap();
    log.bytes(b"2026-11-21T06:23:04.000000001Z stderr F 2026-11-21 06:23:04.000 ERROR [main] shop.Orders: cannot place\n")
        .unwrap();
    log.bytes(
        b"2026-11-21T06:23:04.000000002Z stderr F java.lang.IllegalStateException: no stock\n",
    )
    .unwrap();
    log.bytes(b"2026-11-21T06:23:04.000000003Z stderr F \tat shop.Orders.place(Orders.java:42)\n")
        .unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let index = scene.data_stream();
    scene.documents.wait_count(&index, "*", 3, LIMIT).unwrap();
    let hits = scene.documents.all(&index).unwrap();
    assert_eq!(hits.len(), 3, "{hits:#?}");

    let plain = document(&hits, "hello");
    check(
        plain,
        &[
            ("@timestamp", json!("2026-11-21T06:23:01.123456789Z")),
            ("message", json!("hello from a plain line")),
            ("log.iostream", json!("stdout")),
            ("log.offset", json!(at)),
            ("log.file.path", json!(web.link.display().to_string())),
            ("kubernetes.namespace", json!("shop")),
            ("kubernetes.pod.name", json!("web-7d9f-x2x")),
            ("kubernetes.pod.uid", json!(web.pod_uid)),
            ("kubernetes.container.name", json!("nginx")),
            ("kubernetes.node.name", json!("node-1")),
            ("container.id", json!(web.container_id)),
            ("service.name", json!("nginx")),
            ("tailrace.length", json!(json_at - at)),
        ],
    );
    assert!(field(plain, "event.ingested").is_some(), "{plain:#}");
    assert_eq!(text(plain, "tailrace.stream").len(), 16);

    let parsed = document(&hits, "stock is low");
    check(
        parsed,
        &[
            ("@timestamp", json!("2026-11-21T06:23:02.500000000Z")),
            ("message", json!("stock is low")),
            ("log.level", json!("warn")),
            ("trace.id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
            ("span.id", json!("00f067aa0ba902b7")),
            ("attributes.sku", json!("A-1")),
            ("attributes.left", json!(3)),
            ("attributes.deep.er", json!(true)),
        ],
    );

    let trace = document(&hits, "cannot place");
    check(
        trace,
        &[
            ("log.level", json!("error")),
            ("log.iostream", json!("stderr")),
        ],
    );
    assert!(
        text(trace, "error.stack_trace").contains("Orders.java:42"),
        "{trace:#}"
    );
    assert!(text(trace, "message").contains("no stock"), "{trace:#}");

    // The names that dashboards search by are searchable.
    for query in [
        "message:stock",
        "log.level:warn",
        "kubernetes.pod.name:\"web-7d9f-x2x\"",
        "attributes.sku:\"A-1\"",
        "@timestamp:[2026-11-21T06:23:01Z TO 2026-11-21T06:23:05Z]",
    ] {
        assert!(
            scene.documents.count(&index, query).unwrap() >= 1,
            "{query}"
        );
    }
}

#[test]
fn events_of_every_kind_arrive_once_and_within_a_second() {
    let mut scene = Scene::new("kinds", Server::shared().unwrap()).unwrap();
    let mut containers = Vec::new();
    for idx in 0..3 {
        let mut made = scene
            .kubelet
            .container("shop", &format!("web-{idx}"), "web")
            .unwrap();
        for n in 0..300 {
            tests::writer::write_event(&mut made, n).unwrap();
        }
        containers.push(made);
    }
    let aggregator = scene.start_aggregator().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();

    // A line on an idle node is shipped within a second; the rest of the limit is the store's.
    let log = &mut containers[0].log;
    log.line(Iostream::Stdout, b"one more on an idle node")
        .unwrap();
    let at = std::time::SystemTime::now();
    let received = wait::until(Duration::from_secs(10), "the line to be shipped", || {
        let counted = scene
            .documents
            .count(&scene.data_stream(), "message:\"idle node\"")
            .ok()?;
        (counted == 1).then(|| at.elapsed().unwrap())
    })
    .unwrap();
    assert!(received < Duration::from_secs(3), "took {received:?}");
    scene.verdict(&containers).unwrap().assert_clean();
}

#[test]
fn docker_files_and_raw_files_arrive_once() {
    let mut scene = Scene::new("dockerraw", Server::shared().unwrap()).unwrap();
    let mut docker = scene.kubelet.docker("shop", "cart-0", "cart").unwrap();
    for n in 0..200 {
        tests::writer::write_event(&mut docker, n).unwrap();
    }
    let path = scene.dir("raw/app.log");
    let mut raw = ContainerLog::create(&path, Format::Raw).unwrap();
    for n in 0..200 {
        raw.line(Iostream::Stdout, format!("raw line {n}").as_bytes())
            .unwrap();
    }
    let aggregator = scene.start_aggregator().unwrap();
    let mut setup = scene.agent_setup(&aggregator.url());
    setup
        .include
        .push(format!("{}/*.log", path.parent().unwrap().display()));
    setup.files[0].1 = format!(
        "['{}', '{}']",
        scene.kubelet.root().display(),
        path.parent().unwrap().display()
    );
    let _agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let containers = [docker];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();

    // Without Kubernetes metadata the dataset is another one.
    let generic = format!("logs-generic-{}", scene.namespace());
    scene
        .documents
        .wait_count(&generic, "*", 200, LIMIT)
        .unwrap();
    let hits = scene.documents.all(&generic).unwrap();
    Verdict::of_file(&hits, &path, &raw).assert_clean();
    let first = &hits[0]["_source"];
    assert_eq!(text(first, "host.name"), "node-1", "{first:#}");
    assert!(number(first, "tailrace.length").is_some());
}
