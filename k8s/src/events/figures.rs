//! Figures and state of the source, for metrics and for people.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tracing::{info, warn};

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StageLabel {
    /// `lease`, `read` or `write`.
    pub stage: &'static str,
}

/// Figures of the source. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct EventMetrics {
    /// 1 while this one holds the Lease.
    pub holder: Gauge,
    /// Times that this one got the Lease.
    pub acquired: Counter,
    /// States of Events that were read.
    pub read: Counter,
    /// Those that the configuration leaves out.
    pub excluded: Counter,
    /// Those that are durable.
    pub indexed: Counter,
    /// Those that no buffer can take, or that cannot be read.
    pub lost: Counter,
    /// How long those wait that are read and not durable.
    pub lag: Gauge<f64, AtomicU64>,
    /// Lists of all Events.
    pub lists: Counter,
    /// Times that the server had forgotten what came after the position.
    pub gaps: Counter,
    /// How long nobody had read by then.
    pub gap_seconds: Counter<f64, AtomicU64>,
    /// What failed, by stage.
    pub errors: Family<StageLabel, Counter>,
}

impl EventMetrics {
    /// Puts them into a registry, with the prefix `kubernetes_events`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("kubernetes_events");
        registry.register(
            "holder",
            "1 while this aggregator holds the Lease and reads Events",
            self.holder.clone(),
        );
        registry.register(
            "acquired",
            "Times that this aggregator got the Lease",
            self.acquired.clone(),
        );
        registry.register("read", "States of Events read", self.read.clone());
        registry.register(
            "excluded",
            "States of Events that the configuration leaves out",
            self.excluded.clone(),
        );
        registry.register(
            "indexed",
            "States of Events whose documents are durable",
            self.indexed.clone(),
        );
        registry.register(
            "lost",
            "States of Events that no buffer can take",
            self.lost.clone(),
        );
        registry.register(
            "lag_seconds",
            "How long the oldest Event waits that is read and not durable",
            self.lag.clone(),
        );
        registry.register("lists", "Lists of all Events", self.lists.clone());
        registry.register(
            "gaps",
            "Times that the API server had forgotten what came after the position",
            self.gaps.clone(),
        );
        registry.register(
            "gap_seconds",
            "Time before these in which Events were not read",
            self.gap_seconds.clone(),
        );
        registry.register("errors", "What failed, by stage", self.errors.clone());
    }

    /// Counts a failure.
    pub(crate) fn error(&self, stage: &'static str) {
        self.errors.get_or_create(&StageLabel { stage }).inc();
    }

    /// Counts a gap.
    pub(crate) fn gap(&self, span: Duration) {
        self.gaps.inc();
        self.gap_seconds.inc_by(span.as_secs_f64());
    }
}

/// What is told of the source. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct EventState(Arc<Mutex<EventView>>);

/// What is told of the source at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventView {
    /// This one reads.
    pub is_holder: bool,
    /// Who reads, as far as it is known.
    pub holder: Option<String>,
    /// Up to this version Events are durable; of the holder.
    pub position: Option<u64>,
    /// What goes wrong.
    pub problem: Option<String>,
}

impl EventState {
    /// As it is now.
    pub fn view(&self) -> EventView {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut EventView)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Something fails: each stage is told once, until it works again.
    pub(crate) fn fail(&self, stage: &'static str, problem: &str) {
        let mut is_new = false;
        self.change(|view| {
            let begin = format!("{stage}: ");
            is_new = view
                .problem
                .as_ref()
                .is_none_or(|it| !it.starts_with(&begin));
            view.problem = Some(begin + problem);
        });
        if !is_new {
            return;
        }
        if stage == "write" {
            warn!(problem, "Kubernetes Events wait until they can be written");
        } else {
            warn!(
                stage,
                problem,
                "cannot read Kubernetes Events: it is tried again. Where the server refuses (403), \
                 the aggregator's ServiceAccount lacks the rights of `components/kubernetes-events`: \
                 list and watch events; create leases, get and update the one of \
                 `kubernetes_events.lease`"
            );
        }
    }

    /// It works.
    pub(crate) fn recover(&self) {
        let mut was_told = false;
        self.change(|view| was_told = view.problem.take().is_some());
        if was_told {
            info!("Kubernetes Events are read again");
        }
    }
}
