//! Counters of sending; those of reading are the tailer's.

use crate::journal::JournalMetrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why groups came again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// `not_sent`, `connection_lost`, `timeout`, `busy`, `refused`, `need_metadata`, `too_large`,
    /// `rejected`, `server_error` or `bad_answer`.
    pub reason: &'static str,
}

/// What the session counts. Cloning shares the counters.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Batches begun to be sent, tries counted each.
    pub batches: Counter,
    /// Their bytes before compression.
    pub raw_bytes: Counter,
    /// Their bytes on the wire, without HTTP.
    pub compressed_bytes: Counter,
    /// Groups acknowledged.
    pub groups_acknowledged: Counter,
    /// Groups that have to come again.
    pub retries: Family<Reason, Counter>,
    /// Batches that wait for their answers.
    pub in_flight: Gauge,
    /// Bytes of these before compression.
    pub in_flight_bytes: Gauge,
    /// Writes of the journal that failed.
    pub journal_errors: Counter,
    /// Look-ups of aggregators' names that failed.
    pub resolve_errors: Counter,
    /// Configuration files that were wrong at a reload.
    pub reload_errors: Counter,
    /// Of the node's systemd journal.
    pub journal: JournalMetrics,
    /// Of the source of pods' metadata.
    pub kubernetes: k8s::Metrics,
}

impl Metrics {
    /// Counts `n_groups` that come again.
    pub fn retry(&self, reason: &'static str, n_groups: usize) {
        self.retries
            .get_or_create(&Reason { reason })
            .inc_by(n_groups as u64);
    }

    /// Puts all counters into `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry;
        r.register(
            "batches",
            "Batches sent, each try counted",
            self.batches.clone(),
        );
        r.register(
            "batch_raw_bytes",
            "Bytes of batches before compression",
            self.raw_bytes.clone(),
        );
        r.register(
            "batch_compressed_bytes",
            "Bytes of batches after compression",
            self.compressed_bytes.clone(),
        );
        r.register(
            "groups_acknowledged",
            "Groups acknowledged",
            self.groups_acknowledged.clone(),
        );
        r.register(
            "retries",
            "Groups that had to be sent again",
            self.retries.clone(),
        );
        r.register(
            "in_flight_batches",
            "Batches without an answer yet",
            self.in_flight.clone(),
        );
        r.register(
            "in_flight_bytes",
            "Bytes of batches without an answer yet, before compression",
            self.in_flight_bytes.clone(),
        );
        r.register(
            "journal_errors",
            "Failed writes of the journal",
            self.journal_errors.clone(),
        );
        r.register(
            "resolve_errors",
            "Failed look-ups of aggregators' names",
            self.resolve_errors.clone(),
        );
        r.register(
            "reload_errors",
            "Reloads refused",
            self.reload_errors.clone(),
        );
        self.journal.register(r);
        self.kubernetes.register(r);
    }
}
