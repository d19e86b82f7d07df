//! Figures of the pods' source.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Figures of the pods' source. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Pods of the node that are there.
    pub pods: Gauge,
    /// Pods that were deleted and whose files are still read.
    pub deleted_pods: Gauge,
    /// 1 while the source answers.
    pub up: Gauge,
    /// Lists that were taken in as a whole.
    pub lists: Counter,
    /// Changes of pods that were told.
    pub events: Counter,
    /// Requests and watches that failed.
    pub errors: Counter,
    /// Containers whose files go with what their paths tell, as their pod is not known.
    pub unknown_pods: Counter,
    /// Annotations that ask for something and do not get it.
    pub annotations_refused: Counter,
}

impl Metrics {
    /// Puts them into a registry, with the prefix `kubernetes`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("kubernetes");
        registry.register("pods", "Pods of the node that are there", self.pods.clone());
        registry.register(
            "deleted_pods",
            "Pods that were deleted and whose files are still read",
            self.deleted_pods.clone(),
        );
        registry.register(
            "up",
            "1 while the API server or kubelet answers",
            self.up.clone(),
        );
        registry.register(
            "lists",
            "Lists of pods taken in as a whole",
            self.lists.clone(),
        );
        registry.register("events", "Changes of pods told", self.events.clone());
        registry.register(
            "errors",
            "Requests and watches that failed",
            self.errors.clone(),
        );
        registry.register(
            "unknown_pods",
            "Containers whose files go with what their paths tell",
            self.unknown_pods.clone(),
        );
        registry.register(
            "annotations_refused",
            "Annotations that ask for something and do not get it",
            self.annotations_refused.clone(),
        );
    }
}
