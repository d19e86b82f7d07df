//! The agent within the aggregator: files of its own machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::agent::{
    AgentConfig, BatchConfig, FilesConfig, JournalConfig, KubernetesConfig, RateLimitConfig,
    check_fields, node_name, not_empty,
};
use crate::fields::At;
use crate::section::{Check, Rule, section};
use crate::units::ByteSize;

section! {
    /// Files of this machine that the aggregator follows itself, as `tailrace-agent` does, without
    /// one beside it (docs/single-machine.md). Its checkpoints lie in `agent` below `data_dir`.
    pub struct OwnAgentConfig {
        /// Whether files are followed.
        enabled: bool = false,
        /// Name of this machine, in every document and in the identity of files without container.
        node_name: String = node_name() => Rule::varies(
            "`${NODE_NAME}` when set, else the host's name", "node-1",
        ).check(not_empty),
        /// Which files are followed, and how.
        files: FilesConfig = FilesConfig::default(),
        /// What is carried of this machine's systemd journal.
        journal: JournalConfig = JournalConfig::default(),
        /// What Kubernetes is asked of this node's pods.
        kubernetes: KubernetesConfig = KubernetesConfig::default(),
        /// Limits on how fast files are read. What is over a limit waits in its file.
        rate_limit: RateLimitConfig = RateLimitConfig::default(),
        /// Fields that every document gets, by their full ECS name.
        fields: BTreeMap<String, String> = BTreeMap::new() => Rule::example("{cloud.region: eu-1}"),
    }
}

/// What a batch holds, as agents' do unless told.
const BATCH: ByteSize = ByteSize::mib(1);

/// An answer leaves the receiver within its own time; this is for what comes before.
const BEFORE_THE_ANSWER: Duration = Duration::from_secs(20);

impl OwnAgentConfig {
    /// The configuration of an agent that reads what this section names. `data_dir` is the
    /// aggregator's, `answer_timeout` its `receive.answer_timeout`; `workers` threads shall have
    /// work.
    pub fn as_agent(
        &self,
        data_dir: &Path,
        answer_timeout: Duration,
        workers: u32,
        shutdown_grace: Duration,
    ) -> AgentConfig {
        let max_chunk = BatchConfig::default().max_chunk.max(self.files.max_line);
        AgentConfig {
            data_dir: data_dir.join("agent"),
            node_name: self.node_name.clone(),
            files: self.files.clone(),
            journal: self.journal.clone(),
            kubernetes: self.kubernetes.clone(),
            rate_limit: self.rate_limit.clone(),
            batch: BatchConfig {
                max_bytes: BATCH,
                max_chunk,
                // One for each worker, and one that is ready when the first is done.
                in_flight: workers.saturating_add(1).min(64),
                ..BatchConfig::default()
            },
            timeout: answer_timeout.saturating_add(BEFORE_THE_ANSWER),
            fields: self.fields.clone(),
            shutdown_grace,
            ..AgentConfig::default()
        }
    }
}

impl Check for OwnAgentConfig {
    fn check(&self, at: &mut At<'_>) {
        check_fields(&self.fields, at);
    }
}
