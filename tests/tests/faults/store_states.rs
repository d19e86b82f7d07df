//! States of a real store in which it takes nothing: no primary, no room on its disk, read-only
//! indices. It has a server of its own, since these are states of the whole cluster.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    control::ensure_faults,
    scene::Scene,
    server::{Product, Server},
    wait,
    writer::Writer,
};

use super::{LIMIT, PACE, agent_setup, containers, small_buffer};

/// Bodies that were refused for long come again after a minute's pause at most, twice at the worst.
const BACKED_OFF: Duration = Duration::from_secs(180);

/// The store looks at its disk this often, and at the least every 10 s.
const INFO_INTERVAL: &str = "10s";

fn set(server: &Server, settings: Value) {
    let body = json!({"persistent": settings});
    server
        .http()
        .json("PUT", "/_cluster/settings", &body)
        .unwrap();
}

#[test]
fn every_line_arrives_once_while_the_store_is_red_full_or_read_only() {
    ensure_faults().unwrap();
    let server = Server::start(Product::OpenSearch).unwrap();
    let mut scene = Scene::new("states", &server).unwrap();
    let setup = small_buffer(scene.aggregator_setup()).elasticsearch("timeout", "3s");
    let aggregator =
        tests::aggregator::Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let setup = agent_setup(&scene, &aggregator.url());
    let agent = tests::agent::Agent::start(&scene.dir("agent"), &setup).unwrap();
    let writer = Writer::start(containers(&mut scene), PACE);
    let index = scene.data_stream();
    let arrive_more = || {
        let before = scene.documents.count(&index, "*").unwrap();
        scene
            .documents
            .wait_count(&index, "*", before + 300, LIMIT)
            .unwrap();
    };
    scene.documents.wait_count(&index, "*", 300, LIMIT).unwrap();
    // The store itself cannot always be asked: it waits for its primary.
    let stays_out = || {
        let indexed = || {
            let metrics = aggregator.metrics().unwrap();
            metrics.count("store_docs_indexed_total", &[])
        };
        // What was on its way when the state began still comes.
        wait::until_ok(LIMIT, "the store to take nothing", || {
            let before = indexed();
            wait::let_pass(Duration::from_secs(2));
            let now = indexed();
            anyhow::ensure!(now == before, "{before}, then {now}");
            Ok(())
        })
        .unwrap();
    };

    // Red: the new index of the data stream has no primary.
    set(
        &server,
        json!({"cluster.routing.allocation.enable": "none"}),
    );
    let rollover = json!({});
    // It waits for the primary, in vain.
    let path = format!("/{index}/_rollover?wait_for_active_shards=0");
    server.http().json("POST", &path, &rollover).unwrap();
    let health = |wanted: &str| {
        wait::until_ok(LIMIT, wanted, || {
            let health = server.http().get_json("/_cluster/health")?;
            anyhow::ensure!(health["status"] == wanted, "{health}");
            Ok(())
        })
        .unwrap();
    };
    health("red");
    stays_out();
    set(&server, json!({"cluster.routing.allocation.enable": null}));
    // No replicas find a place in a cluster of one.
    health("yellow");
    arrive_more();

    // Read-only, but for deletion: what a full disk leads to.
    let block = |value: Value| {
        let settings = json!({"index.blocks.read_only_allow_delete": value});
        scene.documents.put_settings(&index, &settings).unwrap();
    };
    block(true.into());
    stays_out();
    block(Value::Null);
    arrive_more();

    // The watermark itself: the store blocks its indices, and frees them when there is room.
    let watermarks = |bytes: Value| {
        set(
            &server,
            json!({
                "cluster.info.update.interval": INFO_INTERVAL,
                "cluster.routing.allocation.disk.watermark.low": bytes,
                "cluster.routing.allocation.disk.watermark.high": bytes,
                "cluster.routing.allocation.disk.watermark.flood_stage": bytes,
            }),
        );
    };
    let is_blocked = || {
        let settings = server.http().get_json(&format!("/{index}/_settings"))?;
        anyhow::Ok(settings.to_string().contains("read_only_allow_delete"))
    };
    set(
        &server,
        json!({"cluster.routing.allocation.disk.threshold_enabled": true}),
    );
    watermarks("900tb".into());
    wait::until_ok(LIMIT, "the watermark to be met", || {
        anyhow::ensure!(is_blocked()?, "no block");
        Ok(())
    })
    .unwrap();
    stays_out();
    watermarks(Value::Null);
    wait::until_ok(LIMIT, "the block to be lifted", || {
        anyhow::ensure!(!is_blocked()?, "blocked");
        Ok(())
    })
    .unwrap();
    arrive_more();

    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, BACKED_OFF)
        .unwrap()
        .assert_clean();
    assert_eq!(
        agent.metrics().unwrap().count("tail_bytes_lost_total", &[]),
        0
    );
}
