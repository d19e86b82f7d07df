//! What the tests of an agent before a real API server share: the programs, lines of containers, and
//! their documents.

use std::time::Duration;

use bench::{container_log::Iostream, kubelet::Container};
use serde_json::Value;
use tests::{agent::Agent, aggregator::Aggregator, kube::node::Namespace, scene::Scene};

/// How long whatever a test waits for may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Writes lines to a container's standard output: `said`, and a number.
pub(crate) fn lines(container: &mut Container, said: &str, n_lines: u32) {
    for n in 0..n_lines {
        let line = format!("{said} {n}");
        container
            .log
            .line(Iostream::Stdout, line.as_bytes())
            .unwrap();
    }
}

/// The documents of a query, once there are so many.
pub(crate) fn documents(scene: &Scene, index: &str, query: &str, n: u64) -> Vec<Value> {
    scene.documents.wait_count(index, query, n, LIMIT).unwrap();
    let query = serde_json::json!({"query_string": {"query": query}});
    let hits = scene.documents.matching(index, &query).unwrap();
    hits.iter().map(|hit| hit["_source"].clone()).collect()
}

/// An aggregator, and an agent that may watch the pods of the namespace's server.
pub(crate) fn stage(scene: &Scene, namespace: &Namespace<'_>) -> (Aggregator, Agent) {
    let aggregator = scene.start_aggregator().unwrap();
    let setup = namespace.agent_setup(scene, &aggregator.url()).unwrap();
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    (aggregator, agent)
}
