//! What the store's side counts of itself.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter<u64, AtomicU64>>;

/// Counters and gauges of one [`crate::Sender`]. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    indexed: Counters,
    duplicate: Counters,
    retried: Counters,
    mended: Counters,
    dead_lettered: Counters,
    parked: Counters,
    refused: Counters,
    removed: Counters,
    doubt_unresolved: Counters,
    requests: Counters,
    /// Bytes of request bodies before compression.
    pub raw_bytes: Counter,
    /// Bytes of request bodies as sent.
    pub wire_bytes: Counter,
    /// Milliseconds spent waiting for answers.
    pub request_ms: Counter,
    /// Requests that may run at a time, as found by now.
    pub concurrency: Gauge,
    /// Requests that run.
    pub in_flight: Gauge,
    /// Bytes of parked documents.
    pub parked_bytes: Gauge,
    /// Data streams with parked documents.
    pub parked_streams: Gauge,
    /// Data streams over their quota: new documents for them are refused.
    pub refused_streams: Gauge,
    /// 1 while the store refuses everything (no rights, wrong path).
    pub store_refuses: Gauge<i64, AtomicI64>,
}

/// What became of documents, for [`Metrics::count`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Indexed,
    Duplicate,
    Mended,
    DeadLettered,
    Parked,
    Refused,
    /// Deleted from the younger index after a rollover.
    Removed,
    DoubtUnresolved,
}

impl Metrics {
    /// Registers everything under the names of `docs`; prefix the registry to taste.
    pub fn register(&self, registry: &mut Registry) {
        let by_namespace: [(&str, &str, &Counters); 8] = [
            (
                "store_docs_indexed",
                "Documents that the store took",
                &self.indexed,
            ),
            (
                "store_docs_duplicate",
                "Documents that the store had already",
                &self.duplicate,
            ),
            (
                "store_docs_mended",
                "Documents indexed with conflicting fields moved",
                &self.mended,
            ),
            (
                "store_docs_dead_lettered",
                "Documents filed as dead letters",
                &self.dead_lettered,
            ),
            (
                "store_docs_parked",
                "Documents set aside with their data stream",
                &self.parked,
            ),
            (
                "store_docs_refused",
                "Documents handed back as refused",
                &self.refused,
            ),
            (
                "store_docs_removed",
                "Second copies deleted after a rollover",
                &self.removed,
            ),
            (
                "store_docs_doubt_unresolved",
                "Documents in doubt that could not be checked",
                &self.doubt_unresolved,
            ),
        ];
        for (name, help, counters) in by_namespace {
            registry.register(name, help, counters.clone());
        }
        registry.register(
            "store_docs_retried",
            "Documents sent again, by reason",
            self.retried.clone(),
        );
        registry.register(
            "store_requests",
            "Bulk requests by status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "store_sent_raw",
            "Bulk bodies before compression",
            Unit::Bytes,
            self.raw_bytes.clone(),
        );
        registry.register_with_unit(
            "store_sent_wire",
            "Bulk bodies as sent",
            Unit::Bytes,
            self.wire_bytes.clone(),
        );
        registry.register(
            "store_request_milliseconds",
            "Time spent waiting for bulk answers",
            self.request_ms.clone(),
        );
        let gauges: [(&str, &str, &Gauge); 5] = [
            (
                "store_concurrency",
                "Bulk requests that may run at a time",
                &self.concurrency,
            ),
            ("store_in_flight", "Bulk requests that run", &self.in_flight),
            (
                "store_parked_bytes",
                "Bytes of parked documents",
                &self.parked_bytes,
            ),
            (
                "store_parked_streams",
                "Data streams with parked documents",
                &self.parked_streams,
            ),
            (
                "store_refused_streams",
                "Data streams over their quota",
                &self.refused_streams,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "store_refuses_everything",
            "1 while no request is let through",
            self.store_refuses.clone(),
        );
    }

    pub(crate) fn count(&self, fate: Fate, namespace: &str, docs: u64) {
        if docs > 0 {
            self.counters(fate)
                .get_or_create(&vec![("namespace", namespace.to_owned())])
                .inc_by(docs);
        }
    }

    pub(crate) fn count_retried(&self, reason: &str, docs: u64) {
        if docs > 0 {
            self.retried
                .get_or_create(&vec![("reason", reason.to_owned())])
                .inc_by(docs);
        }
    }

    pub(crate) fn count_request(&self, status: &str) {
        self.requests
            .get_or_create(&vec![("status", status.to_owned())])
            .inc();
    }

    fn counters(&self, fate: Fate) -> &Counters {
        match fate {
            Fate::Indexed => &self.indexed,
            Fate::Duplicate => &self.duplicate,
            Fate::Mended => &self.mended,
            Fate::DeadLettered => &self.dead_lettered,
            Fate::Parked => &self.parked,
            Fate::Refused => &self.refused,
            Fate::Removed => &self.removed,
            Fate::DoubtUnresolved => &self.doubt_unresolved,
        }
    }
}
