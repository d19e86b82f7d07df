//! One process from files to the store: an aggregator with an agent within.

use std::time::Duration;

use tests::{
    aggregator::{Aggregator, AggregatorSetup},
    scene::Scene,
    server::Server,
    wait,
    writer::{Pace, Writer},
};

const LIMIT: Duration = Duration::from_secs(45);
const PACE: Pace = Pace {
    events_per_second: 1_500,
    rotate_every: 400,
};

fn setup(scene: &Scene) -> AggregatorSetup {
    let agent = format!(
        "{{enabled: true, node_name: node-1, files: {{include: ['{}'], allowed_roots: ['{}'], \
         start_at: beginning}}}}",
        scene.kubelet.glob(),
        scene.kubelet.root().display()
    );
    scene.aggregator_setup().with("agent", &agent)
}

/// Kills it in the middle four times, then ends it by SIGTERM and counts.
fn check(name: &str, ack: &str) {
    let mut scene = Scene::new(name, Server::shared().unwrap()).unwrap();
    let setup = setup(&scene).ack(ack);
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    // Pods whose names no other test has: `audit` is asked for them.
    let containers = scene.containers(name).unwrap();
    let writer = Writer::start(containers, PACE);
    for round in 1..=4 {
        scene
            .documents
            .wait_count(&scene.data_stream(), "*", round * 1_000, LIMIT)
            .unwrap();
        aggregator.kill().unwrap();
        aggregator.start_again().unwrap();
    }
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();

    // The books are those of an agent.
    wait::until_ok(LIMIT, "everything is acknowledged", || {
        let status = aggregator.http().get_json("/status")?;
        let agent = &status["agent"];
        anyhow::ensure!(
            agent["lag_bytes"] == 0 && agent["unacknowledged_bytes"] == 0,
            "{agent}"
        );
        Ok(())
    })
    .unwrap();
    let metrics = aggregator.metrics().unwrap();
    assert!(metrics.sum("tailrace_tail_bytes_acknowledged_total", &[]) > 0.0);
    assert!(metrics.has("tailrace_agent_lag_bytes"));
    assert!(metrics.sum("tailrace_receive_batches_total", &[("result", "ok")]) > 0.0);
    assert!(
        aggregator
            .http()
            .get("/readyz")
            .unwrap()
            .text()
            .contains("agent")
    );

    let address = aggregator.url().replace("http://", "");
    let status = aggregator
        .command(&["status", "--address", &address])
        .unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains("agent within") && status.contains("node node-1"),
        "{status}"
    );
    for it in &containers {
        let config = "tailrace-aggregator.yaml";
        let audit = aggregator
            .command(&["audit", "--config", config, "--pod", &it.pod])
            .unwrap();
        assert!(audit.status.success(), "{audit:?}");
    }
    assert!(aggregator.terminate(LIMIT).unwrap().success());
}

#[test]
fn every_line_of_one_process_arrives_once_when_it_is_killed_in_the_middle() {
    check("oneprocess", "buffer");
}

/// Without a buffer an acknowledgement stands for the store's answer.
#[test]
fn every_line_of_one_process_without_a_buffer_arrives_once_when_it_is_killed() {
    check("onestore", "store");
}
