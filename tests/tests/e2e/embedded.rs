//! The embedded store under the real programs: every line once, whatever is killed.

use std::{path::Path, time::Duration};

use bench::{container_log::Rotation, kubelet::Container};
use embedded::Embedded;
use serde_json::{Value, json};
use store::Store as _;
use tests::{
    agent::{Agent, AgentSetup},
    aggregator::{Aggregator, AggregatorSetup},
    scratch::Scratch,
    verdict::Verdict,
    wait,
    writer::{Pace, Writer},
};

const LIMIT: Duration = Duration::from_secs(60);
const PACE: Pace = Pace {
    events_per_second: 1_500,
    rotate_every: 400,
};
const INDEX: &str = "logs-kubernetes.container_logs-default";

/// One node in front of an aggregator with a store of its own.
struct Stage {
    kubelet: bench::kubelet::Kubelet,
    aggregator: Aggregator,
    scratch: Scratch,
}

impl Stage {
    fn new(name: &str, setup: &AggregatorSetup) -> Self {
        let scratch = Scratch::new(name).unwrap();
        let log = scratch.path().join("log");
        Self {
            kubelet: bench::kubelet::Kubelet::new(&log, fastrand::u64(..)).unwrap(),
            aggregator: Aggregator::start(&scratch.path().join("aggregator"), setup).unwrap(),
            scratch,
        }
    }

    fn start_agent(&self) -> Agent {
        let setup = AgentSetup::new(&self.kubelet.glob(), &self.aggregator.url()).files(
            "allowed_roots",
            &format!("['{}']", self.kubelet.root().display()),
        );
        Agent::start(&self.scratch.path().join("agent"), &setup).unwrap()
    }

    fn containers(&mut self) -> Vec<Container> {
        (0..3)
            .map(|idx| {
                let mut made = self
                    .kubelet
                    .container("shop", &format!("pod-{idx}"), "c")
                    .unwrap();
                made.log.set_rotation(Rotation::Kubelet, 50);
                made
            })
            .collect()
    }

    fn store_dir(&self) -> std::path::PathBuf {
        self.aggregator.data_dir().join("outputs/main/store")
    }

    fn count(&self) -> u64 {
        block_on(async {
            match Embedded::open_read_only(&self.store_dir()) {
                Ok(store) => store.count(INDEX, None).await.unwrap_or(0),
                Err(_) => 0,
            }
        })
    }

    fn wait_count(&self, n: u64) {
        wait::until_ok(LIMIT, "documents in the embedded store", || {
            let count = self.count();
            anyhow::ensure!(count >= n, "{count} of {n}");
            Ok(())
        })
        .unwrap();
    }

    /// Waits for as many documents as were written, then judges them.
    fn wait_verdict(&self, containers: &[Container]) -> Verdict {
        let written: usize = containers.iter().map(|it| it.log.written().len()).sum();
        self.wait_count(written as u64);
        Verdict::of_containers(&hits(&self.store_dir()), containers)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Every document, read beside the aggregator.
pub(crate) fn hits(dir: &Path) -> Vec<Value> {
    block_on(async {
        let store = Embedded::open_read_only(dir).unwrap();
        let mut all = Vec::new();
        let mut body = json!({"size": 10_000, "sort": ["_doc"]});
        loop {
            let answer = store.search(INDEX, &body).await.unwrap();
            let hits = answer["hits"]["hits"].as_array().unwrap().clone();
            let Some(last) = hits.last() else { return all };
            body["search_after"] = last["sort"].clone();
            all.extend(hits);
        }
    })
}

/// Kill -9 between the buffer's fsync and the store's commit, again and again.
#[test]
fn every_line_is_stored_once_when_an_aggregator_with_a_store_is_killed() {
    let mut stage = Stage::new("embkill", &AggregatorSetup::embedded("default"));
    let _agent = stage.start_agent();
    let writer = Writer::start(stage.containers(), PACE);
    for round in 1..=4 {
        stage.wait_count(round * 1_000);
        stage.aggregator.kill().unwrap();
        stage.aggregator.start_again().unwrap();
    }
    let containers = writer.finish().unwrap();
    stage.wait_verdict(&containers).assert_clean();
    let audit = stage
        .aggregator
        .command(&["audit", "--config", "tailrace-aggregator.yaml"])
        .unwrap();
    assert!(audit.status.success(), "{audit:?}");
}

/// Without a buffer an acknowledgement stands for a commit.
#[test]
fn every_line_is_stored_once_without_a_buffer() {
    let setup = AggregatorSetup::embedded("default").ack("store");
    let mut stage = Stage::new("embstore", &setup);
    let _agent = stage.start_agent();
    let writer = Writer::start(stage.containers(), PACE);
    // Two: a chunk whose connection is lost three times is suspect, and no longer parsed.
    for round in 1..=2 {
        stage.wait_count(round * 1_500);
        stage.aggregator.kill().unwrap();
        stage.aggregator.start_again().unwrap();
    }
    let containers = writer.finish().unwrap();
    stage.wait_verdict(&containers).assert_clean();
}
