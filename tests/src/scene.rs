//! A node, its programs and its data stream: the stage of one test.
//!
//! Every scene has its own log directory, its own directories for the programs, and its own data
//! stream (by namespace), so that many can share one server.

use std::{path::PathBuf, time::Duration};

use bench::container_log::Rotation;
use bench::kubelet::{Container, Kubelet};

use crate::{
    agent::{Agent, AgentSetup},
    aggregator::{Aggregator, AggregatorSetup},
    documents::Documents,
    http::Http,
    scratch::Scratch,
    server::Server,
    verdict::Verdict,
    wait,
};

/// The stage of one test.
#[derive(Debug)]
pub struct Scene {
    /// Where containers log.
    pub kubelet: Kubelet,
    /// What the store holds.
    pub documents: Documents,
    namespace: String,
    store_url: String,
    scratch: Scratch,
}

impl Scene {
    /// A stage named `name` (letters and digits: it becomes part of a data stream's name) in front
    /// of `server`.
    pub fn new(name: &str, server: &Server) -> anyhow::Result<Self> {
        Self::at(name, &server.url())
    }

    /// A stage in front of whatever answers at `store_url` (`http://HOST:PORT`).
    pub fn at(name: &str, store_url: &str) -> anyhow::Result<Self> {
        let scratch = Scratch::new(name)?;
        Ok(Self {
            kubelet: Kubelet::new(&scratch.path().join("log"), fastrand::u64(..))?,
            documents: Documents::of(Http::at(store_url)?),
            namespace: name.to_owned(),
            store_url: store_url.to_owned(),
            scratch,
        })
    }

    /// A directory of this scene; created by whoever uses it.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The namespace of its data stream.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The data stream that its containers' documents go to.
    pub fn data_stream(&self) -> String {
        format!("logs-kubernetes.container_logs-{}", self.namespace)
    }

    /// The plain setup of an aggregator of this scene.
    pub fn aggregator_setup(&self) -> AggregatorSetup {
        AggregatorSetup::new(&self.store_url, &self.namespace)
    }

    /// The plain setup of an agent of this scene.
    pub fn agent_setup(&self, aggregator: &str) -> AgentSetup {
        AgentSetup::new(&self.kubelet.glob(), aggregator).files(
            "allowed_roots",
            &format!("['{}']", self.kubelet.root().display()),
        )
    }

    /// Starts an aggregator with the plain setup.
    pub fn start_aggregator(&self) -> anyhow::Result<Aggregator> {
        Aggregator::start(&self.dir("aggregator"), &self.aggregator_setup())
    }

    /// Starts an agent with the plain setup.
    pub fn start_agent(&self, aggregator: &str) -> anyhow::Result<Agent> {
        Agent::start(&self.dir("agent"), &self.agent_setup(aggregator))
    }

    /// Three containers, in pods `<pods>-0` and so on, that the kubelet rotates without deleting
    /// what is unread.
    pub fn containers(&mut self, pods: &str) -> anyhow::Result<Vec<Container>> {
        let mut made = Vec::new();
        for idx in 0..3 {
            let pod = format!("{pods}-{idx}");
            let mut container = self.kubelet.container("shop", &pod, "c")?;
            container.log.set_rotation(Rotation::Kubelet, 50);
            made.push(container);
        }
        Ok(made)
    }

    /// The verdict as things stand now.
    pub fn verdict<'a>(
        &self,
        containers: impl IntoIterator<Item = &'a Container>,
    ) -> anyhow::Result<Verdict> {
        let hits = self.documents.all(&self.data_stream())?;
        Ok(Verdict::of_containers(&hits, containers))
    }

    /// Waits until as many documents are there as were written, then judges them; judges once more
    /// what is there when `limit` has passed.
    pub fn wait_verdict(
        &self,
        containers: &[Container],
        limit: Duration,
    ) -> anyhow::Result<Verdict> {
        let written: usize = containers.iter().map(|it| it.log.written().len()).sum();
        let index = self.data_stream();
        let waited = self
            .documents
            .wait_count(&index, "*", written as u64, limit);
        let verdict = self.verdict(containers)?;
        // Documents that came twice reach the count too early: wait for the ones behind them.
        if verdict.lost.is_empty() || waited.is_err() {
            return Ok(verdict);
        }
        wait::until_ok(limit, "the documents behind the doubled ones", || {
            let verdict = self.verdict(containers)?;
            anyhow::ensure!(verdict.lost.is_empty(), "{verdict}");
            Ok(verdict)
        })
        .or_else(|_| self.verdict(containers))
    }
}
