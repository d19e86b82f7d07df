//! Figures of the receiver and of the worker threads. Outputs and buffers have their own.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::pipeline::GroupCounts;

/// Label: Kubernetes namespace; empty for files that belong to none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NamespaceLabel {
    /// The namespace.
    pub namespace: String,
}

/// Label: how a request or a chunk ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `ok`, `busy`, …
    pub result: &'static str,
}

/// Label: name of an output.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutputLabel {
    /// The name.
    pub output: String,
}

/// What happens between a request's arrival and its answer.
#[derive(Debug, Default)]
pub struct PipelineMetrics {
    /// Requests by result.
    pub batches: Family<ResultLabel, Counter>,
    /// Chunks by status of their acknowledgement.
    pub chunks: Family<ResultLabel, Counter>,
    /// Bytes of request bodies as they came.
    pub received_bytes: Counter,
    /// Bytes reserved for requests in work.
    pub memory_bytes: Gauge,
    /// Batches that made a worker panic.
    pub panics: Counter,
    records: Family<NamespaceLabel, Counter>,
    record_bytes: Family<NamespaceLabel, Counter>,
    dropped: Family<NamespaceLabel, Counter>,
    unparsed: Family<NamespaceLabel, Counter>,
    optional_dropped: Family<OutputLabel, Counter>,
    sealed: Family<ResultLabel, Counter>,
}

impl PipelineMetrics {
    /// Adds everything to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tailrace_receive_batches",
            "Batches received, by result",
            self.batches.clone(),
        );
        registry.register(
            "tailrace_receive_chunks",
            "Chunks received, by status of the acknowledgement",
            self.chunks.clone(),
        );
        registry.register(
            "tailrace_receive_bytes",
            "Bytes of batches as they came over the wire",
            self.received_bytes.clone(),
        );
        registry.register(
            "tailrace_receive_memory_bytes",
            "Memory reserved for batches in work",
            self.memory_bytes.clone(),
        );
        registry.register(
            "tailrace_worker_panics",
            "Batches that made a worker panic: each is a bug",
            self.panics.clone(),
        );
        registry.register(
            "tailrace_records",
            "Complete records framed, tries that are repeated included, by namespace",
            self.records.clone(),
        );
        registry.register(
            "tailrace_record_bytes",
            "Bytes of log that these records cover, by namespace",
            self.record_bytes.clone(),
        );
        registry.register(
            "tailrace_records_dropped",
            "Records that rules dropped on purpose, by namespace",
            self.dropped.clone(),
        );
        registry.register(
            "tailrace_records_unparsed",
            "Records that no rule matched, and that are neither JSON nor logfmt, by namespace",
            self.unparsed.clone(),
        );
        registry.register(
            "tailrace_output_optional_dropped",
            "Documents that an optional output had no room for",
            self.optional_dropped.clone(),
        );
        registry.register(
            "tailrace_receive_sealed",
            "Groups that came again sealed with settings that are not in force, by whether these \
             were restored or refused",
            self.sealed.clone(),
        );
    }

    /// Counts a group that came again, sealed with settings that are not in force.
    pub fn sealed(&self, result: &'static str) {
        self.sealed.get_or_create(&ResultLabel { result }).inc();
    }

    /// Adds the figures of one group of chunks.
    pub fn group(&self, namespace: &str, counts: &GroupCounts) {
        if counts.records == 0 {
            return;
        }
        let label = NamespaceLabel {
            namespace: namespace.to_owned(),
        };
        self.records.get_or_create(&label).inc_by(counts.records);
        self.record_bytes.get_or_create(&label).inc_by(counts.bytes);
        if counts.dropped > 0 {
            self.dropped.get_or_create(&label).inc_by(counts.dropped);
        }
        if counts.unparsed > 0 {
            self.unparsed.get_or_create(&label).inc_by(counts.unparsed);
        }
    }

    /// Counts documents that an optional output had no room for.
    pub fn dropped_by_output(&self, output: &str, docs: u64) {
        let label = OutputLabel {
            output: output.to_owned(),
        };
        self.optional_dropped.get_or_create(&label).inc_by(docs);
    }

    /// Counts one request.
    pub fn batch(&self, result: &'static str) {
        self.batches.get_or_create(&ResultLabel { result }).inc();
    }
}
