//! Documents that the store refuses: mended, or filed as dead letters and replayed.

use std::time::Duration;

use bench::container_log::Iostream;
use serde_json::json;
use tests::{
    scene::Scene,
    server::Server,
    verdict::{field, has_tag, text},
};

const LIMIT: Duration = Duration::from_secs(45);

/// DELIVERY rule 19, PEERS 52: a mapping conflict is indexed again in a form that cannot conflict.
#[test]
fn a_mapping_conflict_is_mended_and_tagged() {
    let mut scene = Scene::new("mend", Server::shared().unwrap()).unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let index = scene.data_stream();
    let log = &mut container.log;
    log.line_as(
        Iostream::Stdout,
        br#"{"msg":"first","mendme":{"a":1}}"#,
        b"first",
    )
    .unwrap();
    scene.documents.wait_count(&index, "*", 1, LIMIT).unwrap();
    log.line_as(
        Iostream::Stdout,
        br#"{"msg":"second","mendme":"text","keep":"me"}"#,
        b"second",
    )
    .unwrap();
    log.line_as(
        Iostream::Stdout,
        br#"{"msg":"third","mendme":{"a":2}}"#,
        b"third",
    )
    .unwrap();
    let containers = [container];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    let hits = scene.documents.all(&index).unwrap();
    let second = hits
        .iter()
        .map(|hit| &hit["_source"])
        .find(|document| text(document, "message") == "second")
        .unwrap();
    assert!(has_tag(second, "mended"), "{second:#}");
    assert!(field(second, "attributes.mendme").is_none(), "{second:#}");
    assert!(
        second.to_string().contains("text"),
        "nothing is lost: {second:#}"
    );
}

/// What cannot be mended goes to the dead-letter stream with its reason, and comes back by replay.
#[test]
fn what_cannot_be_mended_is_a_dead_letter_and_can_be_replayed() {
    let server = Server::start(tests::server::Product::OpenSearch).unwrap();
    let mut scene = Scene::new("letters", &server).unwrap();
    // A template of the operator's own, above ours, that takes none of our fields: whatever is
    // moved where, the document does not fit.
    let template = json!({
        "index_patterns": [scene.data_stream()],
        "priority": 9_000,
        "data_stream": {},
        "template": {"mappings": {"dynamic": "strict", "properties": {
            "@timestamp": {"type": "date_nanos"},
        }}},
    });
    server
        .http()
        .json("PUT", "/_index_template/operators-own", &template)
        .unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    container
        .log
        .line(Iostream::Stdout, b"a line that is no number")
        .unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let letters = "logs-tailrace.dead_letter-*";
    scene.documents.wait_count(letters, "*", 1, LIMIT).unwrap();
    let hits = scene.documents.all(letters).unwrap();
    assert_eq!(hits.len(), 1, "{hits:#?}");
    let letter = &hits[0]["_source"];
    assert!(
        letter.to_string().contains("a line that is no number"),
        "{letter:#}"
    );
    assert!(
        letter
            .to_string()
            .contains("strict_dynamic_mapping_exception"),
        "{letter:#}"
    );

    // The operator mends the template and rolls over; the letter is delivered and removed.
    let mut mended = template.clone();
    mended["template"]["mappings"]["dynamic"] = json!(true);
    server
        .http()
        .json("PUT", "/_index_template/operators-own", &mended)
        .unwrap();
    scene.documents.rollover(&scene.data_stream()).unwrap();
    let config = aggregator.config_path();
    let output = aggregator
        .command(&[
            "dead-letters",
            "replay",
            "--config",
            &config.display().to_string(),
        ])
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let containers = [container];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    assert_eq!(scene.documents.count(letters, "*").unwrap(), 0, "{said}");
}

/// DELIVERY rule 19: one forbidden index does not stop the rest.
#[test]
fn a_write_block_parks_one_data_stream_and_lets_others_through() {
    let server = Server::shared().unwrap();
    let mut blocked = Scene::new("parked", server).unwrap();
    let mut container = blocked.kubelet.container("shop", "pod-0", "c").unwrap();
    container
        .log
        .line(Iostream::Stdout, b"before the block")
        .unwrap();
    let setup = blocked
        .aggregator_setup()
        .output("dataset", "'%{kubernetes.namespace}'");
    let aggregator =
        tests::aggregator::Aggregator::start(&blocked.dir("aggregator"), &setup).unwrap();
    let _agent = blocked.start_agent(&aggregator.url()).unwrap();
    let stream = |dataset: &str| format!("logs-{dataset}-parked");
    blocked
        .documents
        .wait_count(&stream("shop"), "*", 1, LIMIT)
        .unwrap();
    let block = |on: bool| {
        let settings = json!({"index": {"blocks.write": on}});
        blocked
            .documents
            .put_settings(&stream("shop"), &settings)
            .unwrap();
    };
    block(true);
    for n in 0..20 {
        container
            .log
            .line(Iostream::Stdout, format!("blocked {n}").as_bytes())
            .unwrap();
    }
    let mut free = Scene::new("parkedfree", server).unwrap();
    drop(free.kubelet.container("x", "unused", "c"));
    let other = bench::kubelet::Kubelet::new(blocked.kubelet.root(), 99)
        .unwrap()
        .container("other", "pod-1", "c");
    let mut other = other.unwrap();
    for n in 0..20 {
        other
            .log
            .line(Iostream::Stdout, format!("free {n}").as_bytes())
            .unwrap();
    }
    blocked
        .documents
        .wait_count(&stream("other"), "*", 20, LIMIT)
        .unwrap();
    assert_eq!(blocked.documents.count(&stream("shop"), "*").unwrap(), 1);
    block(false);
    blocked
        .documents
        .wait_count(&stream("shop"), "*", 21, LIMIT)
        .unwrap();
    let hits = blocked.documents.all("logs-*-parked").unwrap();
    tests::verdict::Verdict::of_containers(&hits, [&container, &other]).assert_clean();
}
