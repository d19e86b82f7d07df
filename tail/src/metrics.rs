//! Counters of the tailer, for Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// The Kubernetes namespace of a file; empty for files of no container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Namespace {
    /// Name of the namespace.
    pub namespace: String,
}

type ByNamespace = Family<Namespace, Counter>;

/// What the tailer counts. Cloning shares the counters.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Bytes read for the first time.
    pub bytes_read: ByNamespace,
    /// Bytes acknowledged, or passed over because their pod asks for it.
    pub bytes_acknowledged: ByNamespace,
    /// Bytes that vanished before they were acknowledged.
    pub bytes_lost: ByNamespace,
    /// Bytes passed over because their pod asks for it; acknowledged ones include them.
    pub bytes_excluded: ByNamespace,
    /// Lines read for the first time.
    pub lines_read: ByNamespace,
    /// Seconds that files waited for their rate limit.
    pub throttled_seconds: Family<Namespace, Counter<f64, AtomicU64>>,
    /// Lines cut because they are longer than `max_line`; counts the cuts.
    pub lines_cut: Counter,
    /// Files open now.
    pub files_open: Gauge,
    /// Files followed now.
    pub files_followed: Gauge,
    /// Events taken from inotify.
    pub inotify_events: Counter,
    /// Overflows of the inotify queue, each followed by a rescan.
    pub inotify_overflows: Counter,
    /// 1 while files are polled because inotify cannot be had.
    pub polling: Gauge,
    /// Rescans of all globs.
    pub rescans: Counter,
    /// Truncated files.
    pub truncations: Counter,
    /// Compressed rotated files that were read.
    pub gz_reads: Counter,
    /// Paths that match a glob and cannot be read now.
    pub unreadable_files: Gauge,
    /// Groups that aggregators refuse while others pass: their files wait.
    pub groups_isolated: Gauge,
}

impl Metrics {
    /// Puts all counters into `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry;
        r.register(
            "tail_bytes_read",
            "Bytes read for the first time",
            self.bytes_read.clone(),
        );
        r.register(
            "tail_bytes_acknowledged",
            "Bytes acknowledged by an aggregator, or passed over",
            self.bytes_acknowledged.clone(),
        );
        r.register(
            "tail_bytes_excluded",
            "Bytes passed over as their pod asks, among those acknowledged",
            self.bytes_excluded.clone(),
        );
        r.register(
            "tail_bytes_lost",
            "Bytes that vanished before they were acknowledged",
            self.bytes_lost.clone(),
        );
        r.register(
            "tail_lines_read",
            "Lines read for the first time",
            self.lines_read.clone(),
        );
        r.register(
            "tail_throttled_seconds",
            "Seconds that files waited for their rate limit",
            self.throttled_seconds.clone(),
        );
        r.register(
            "tail_lines_cut",
            "Cuts in lines over max_line",
            self.lines_cut.clone(),
        );
        r.register("tail_files_open", "Files open", self.files_open.clone());
        r.register(
            "tail_files_followed",
            "Files followed",
            self.files_followed.clone(),
        );
        r.register(
            "tail_inotify_events",
            "Events of inotify",
            self.inotify_events.clone(),
        );
        r.register(
            "tail_inotify_overflows",
            "Overflows of the inotify queue, each followed by a rescan",
            self.inotify_overflows.clone(),
        );
        r.register(
            "tail_polling",
            "1 while files are polled because inotify cannot be had",
            self.polling.clone(),
        );
        r.register("tail_rescans", "Rescans of all globs", self.rescans.clone());
        r.register(
            "tail_truncations",
            "Truncated files",
            self.truncations.clone(),
        );
        r.register(
            "tail_gz_reads",
            "Compressed rotated files read",
            self.gz_reads.clone(),
        );
        r.register(
            "tail_unreadable_files",
            "Paths that match a glob and cannot be read now",
            self.unreadable_files.clone(),
        );
        r.register(
            "tail_groups_isolated",
            "Groups that aggregators refuse while others pass: their files wait",
            self.groups_isolated.clone(),
        );
    }
}

/// The counters of one namespace, so that the family's lock is taken once a namespace.
#[derive(Debug, Clone)]
pub(crate) struct NamespaceCounters {
    pub(crate) bytes_read: Counter,
    pub(crate) bytes_acknowledged: Counter,
    pub(crate) bytes_lost: Counter,
    pub(crate) bytes_excluded: Counter,
    pub(crate) lines_read: Counter,
    pub(crate) throttled_seconds: Counter<f64, AtomicU64>,
}

impl Metrics {
    pub(crate) fn of_namespace(&self, namespace: &str) -> NamespaceCounters {
        let label = Namespace {
            namespace: namespace.to_owned(),
        };
        NamespaceCounters {
            bytes_read: self.bytes_read.get_or_create(&label).clone(),
            bytes_acknowledged: self.bytes_acknowledged.get_or_create(&label).clone(),
            bytes_lost: self.bytes_lost.get_or_create(&label).clone(),
            bytes_excluded: self.bytes_excluded.get_or_create(&label).clone(),
            lines_read: self.lines_read.get_or_create(&label).clone(),
            throttled_seconds: self.throttled_seconds.get_or_create(&label).clone(),
        }
    }
}
