//! The fault laboratory: the real programs, built with fault points, against a real store.
//!
//! One binary, so that all tests share one OpenSearch. `docs/faults.md` says what each test is
//! the answer to.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod bad_peers;
mod clocks;
mod crashes;
mod disks;
mod laboratory;
mod limits;
mod lost_files;
mod outage;
mod poison;
mod shipped;
mod store_states;
mod takeover;

use std::time::Duration;

use bench::{container_log::Rotation, kubelet::Container};
use tests::{
    agent::{Agent, AgentSetup},
    aggregator::{Aggregator, AggregatorSetup},
    control::ensure_faults,
    scene::Scene,
    server::Server,
    writer::Pace,
};

/// How long anything that is waited for may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

const PACE: Pace = Pace {
    events_per_second: 500,
    rotate_every: 200,
};

/// Stack traces and chains of partial lines in every batch.
const DENSE: Pace = Pace {
    events_per_second: 1_000,
    rotate_every: 150,
};

/// A scene in front of the shared server; the binaries must have fault points.
fn scene(name: &str) -> Scene {
    ensure_faults().unwrap();
    Scene::new(name, Server::shared().unwrap()).unwrap()
}

/// Two containers that keep what they rotate.
fn containers(scene: &mut Scene) -> Vec<Container> {
    (0..2)
        .map(|idx| {
            let pod = format!("pod-{idx}");
            let mut made = scene.kubelet.container("shop", &pod, "c").unwrap();
            made.log.set_rotation(Rotation::Kubelet, 200);
            made
        })
        .collect()
}

/// An aggregator whose buffer turns over quickly.
fn small_buffer(setup: AggregatorSetup) -> AggregatorSetup {
    setup
        .output(
            "buffer",
            // All comes back from the disk, whose faults are met.
            "{max_bytes: 256MiB, segment_bytes: 64KiB, reserve: 2MiB, keep_in_memory: 0}",
        )
        .output("batch", "{max_bytes: 64KiB}")
        // Segments fill, and go, several times a second.
        .elasticsearch("compression", "none")
}

/// Waits until more documents have come: a chunk that loses connection after connection would
/// count as suspect, and come as lines (DELIVERY rule 12).
fn arrive_more(scene: &Scene) {
    let index = scene.data_stream();
    let before = scene.documents.count(&index, "*").unwrap();
    let wanted = before + u64::from(PACE.events_per_second / 2);
    scene
        .documents
        .wait_count(&index, "*", wanted, LIMIT)
        .unwrap();
}

/// Both programs of a scene, with a small buffer.
fn start(scene: &Scene) -> (Agent, Aggregator) {
    let setup = small_buffer(scene.aggregator_setup());
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let agent = Agent::start(&scene.dir("agent"), &agent_setup(scene, &aggregator.url())).unwrap();
    (agent, aggregator)
}

/// An agent that does not wait long for answers.
fn agent_setup(scene: &Scene, aggregator: &str) -> AgentSetup {
    scene.agent_setup(aggregator).with("timeout", "3s")
}
