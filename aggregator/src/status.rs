//! What a running aggregator tells of itself: `/status` and `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::clock::wall_ms;
use crate::output::Keep;
use crate::rules::RuleBook;

/// One output, as far as it is shown.
pub struct OutputState {
    /// What it keeps.
    pub keep: Keep,
    /// What its sender says.
    pub sender: Arc<store::Sender>,
}

/// Where `/status` takes its figures from.
pub struct StatusSource {
    outputs: BTreeMap<String, OutputState>,
    rules: Arc<RuleBook>,
    kubernetes_events: Option<k8s::events::EventState>,
    agent: Option<agent::Shown>,
    started: Instant,
    reload_error: Mutex<Option<String>>,
}

impl StatusSource {
    /// A source over these outputs.
    pub fn new(
        outputs: BTreeMap<String, OutputState>,
        rules: Arc<RuleBook>,
        started: Instant,
    ) -> Self {
        Self {
            outputs,
            rules,
            kubernetes_events: None,
            agent: None,
            started,
            reload_error: Mutex::new(None),
        }
    }

    /// Shows Kubernetes Events too.
    #[must_use]
    pub fn with_kubernetes_events(mut self, state: Option<k8s::events::EventState>) -> Self {
        self.kubernetes_events = state;
        self
    }

    /// Shows the agent within too.
    #[must_use]
    pub fn with_agent(mut self, agent: Option<agent::Shown>) -> Self {
        self.agent = agent;
        self
    }

    /// Remembers why the last reload failed; `None` when it did not.
    pub fn set_reload_error(&self, error: Option<String>) {
        *self
            .reload_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Why the last reload failed.
    pub fn reload_error(&self) -> Option<String> {
        self.reload_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Everything that is shown.
    pub fn json(&self) -> Value {
        let outputs: Vec<Value> = self
            .outputs
            .iter()
            .map(|(name, output)| {
                json!({"name": name, "buffer": output.keep.json(), "store": sender_json(&output.sender.status())})
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "resident_bytes": telemetry::process::resident_bytes(),
            "reload_error": self.reload_error(),
            "rules": self.rules.json(),
            "kubernetes_events": self.kubernetes_events.as_ref().map(crate::kubernetes_events::status),
            "agent": self.agent.as_ref().map(agent::Shown::status),
            "outputs": outputs,
        })
    }
}

fn sender_json(status: &store::SenderStatus) -> Value {
    let parked: Vec<Value> = status
        .parked
        .iter()
        .map(|(data_stream, reason)| json!({"data_stream": data_stream, "reason": reason}))
        .collect();
    json!({
        "server": status.server,
        "notes": status.notes,
        "concurrency": status.concurrency,
        "in_flight": status.in_flight,
        "last_error": status.last_error,
        "parked": parked,
        "refused": status.refused,
        "resting_hosts": status.resting_hosts,
    })
}

impl Keep {
    fn json(&self) -> Value {
        match self {
            Keep::Disk(queue) => {
                let parked: Vec<Value> = queue
                    .parked_stats()
                    .into_iter()
                    .map(|(name, stats)| json!({"data_stream": name, "entries": stats.entries, "bytes": stats.undelivered_bytes}))
                    .collect();
                let stats = queue.stats();
                json!({
                    "kind": "disk",
                    "entries": stats.entries,
                    "undelivered_bytes": stats.undelivered_bytes,
                    "disk_bytes": stats.disk_bytes,
                    "max_bytes": stats.max_bytes,
                    "oldest_seconds": oldest_seconds(&stats),
                    "segments": stats.segments,
                    "poisoned": stats.poisoned,
                    "damaged": stats.damaged,
                    "parked": parked,
                })
            }
            Keep::Memory(queue) => json!({"kind": "memory", "bytes": queue.used_bytes()}),
        }
    }
}

fn oldest_seconds(stats: &buffer::Stats) -> u64 {
    stats
        .oldest_ms
        .map_or(0, |oldest| wall_ms().saturating_sub(oldest) / 1000)
}

/// The endpoints of the aggregator.
pub fn endpoints(registry: Registry, source: Arc<StatusSource>) -> telemetry::http::Endpoints {
    let (reload, rules, unmatched) = (
        Arc::clone(&source),
        Arc::clone(&source.rules),
        Arc::clone(&source.rules),
    );
    // What was refused stands behind what is in force: agents are served, so this is ready.
    let mut endpoints = telemetry::http::Endpoints::new(registry);
    if let Some(agent) = source.agent.clone() {
        endpoints = endpoints.ready_when("agent", move || agent.can_journal());
    }
    endpoints
        .detail("reload", move || reload.reload_error())
        .detail("rules", move || rules.problem())
        .local_page("/rules/unmatched", web::is_for_this_machine, move || {
            unmatched.unmatched_json().to_string()
        })
        .page("/status", move || source.json().to_string())
}
