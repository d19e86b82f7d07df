//! What a buffer tells about itself. Names carry no prefix: the caller's registry adds it, and a
//! label for the output.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::Counter,
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::state::Shared;

/// Counters of one buffer; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Entries made durable.
    pub appended_entries: Counter,
    /// Bytes of their heads and bodies.
    pub appended_bytes: Counter,
    /// Fsyncs of entries: group commits.
    pub fsyncs: Counter,
    /// How long each took, in seconds.
    pub fsync_seconds: Histogram,
    /// Segments given up after a failed write or fsync.
    pub poisoned_segments: Counter,
    /// Entries that could not be read any more.
    pub damaged_entries: Counter,
    /// Reservations refused for lack of room.
    pub refused: Counter,
    /// Delivery marks that could not be written: their entries may come again after a restart.
    pub failed_marks: Counter,
    /// Bytes of a torn tail that opening cut off.
    pub torn_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            appended_entries: Counter::default(),
            appended_bytes: Counter::default(),
            fsyncs: Counter::default(),
            // 0.1 ms (a battery-backed cache) to 6.5 s (a disk that fails).
            fsync_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 17)),
            poisoned_segments: Counter::default(),
            damaged_entries: Counter::default(),
            refused: Counter::default(),
            failed_marks: Counter::default(),
            torn_bytes: Gauge::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry, shared: &Arc<Shared>) {
        let own = self.clone();
        registry.register(
            "appended_entries",
            "Entries made durable",
            own.appended_entries,
        );
        registry.register_with_unit(
            "appended",
            "Heads and bodies made durable",
            Unit::Bytes,
            own.appended_bytes,
        );
        registry.register("fsyncs", "Group commits", own.fsyncs);
        registry.register_with_unit(
            "fsync",
            "Time of each group commit's fsync",
            Unit::Seconds,
            own.fsync_seconds,
        );
        registry.register(
            "poisoned_segments",
            "Segments given up after a failed write or fsync",
            own.poisoned_segments,
        );
        registry.register(
            "damaged_entries",
            "Entries that could not be read any more",
            own.damaged_entries,
        );
        registry.register(
            "refused",
            "Reservations refused for lack of room",
            own.refused,
        );
        registry.register(
            "failed_marks",
            "Delivery marks that could not be written",
            own.failed_marks,
        );
        registry.register_with_unit(
            "torn",
            "Unfinished writes cut off when the buffer was opened",
            Unit::Bytes,
            own.torn_bytes,
        );
        registry.register_collector(Box::new(Gauges(Arc::downgrade(shared))));
    }
}

/// What is computed when it is asked for. Holds the buffer weakly: a registry outlives it.
struct Gauges(Weak<Shared>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(shared) = self.0.upgrade() else {
            return Ok(());
        };
        let stats = shared.lock().stats(&shared.options);
        let now_ms = shared.fs.now_ms();
        let age = stats
            .oldest_ms
            .map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms))
            / 1000;
        for (name, help, unit, value) in [
            ("entries", "Undelivered entries", None, stats.entries),
            (
                "disk",
                "Size of all files",
                Some(Unit::Bytes),
                stats.disk_bytes,
            ),
            (
                "max",
                "Configured limit",
                Some(Unit::Bytes),
                stats.max_bytes,
            ),
            (
                "undelivered",
                "Undelivered heads and bodies",
                Some(Unit::Bytes),
                stats.undelivered_bytes,
            ),
            (
                "reserved",
                "Room promised to writes",
                Some(Unit::Bytes),
                stats.reserved_bytes,
            ),
            ("segments", "Segments on disk", None, stats.segments),
            (
                "oldest_entry_age",
                "Age of the oldest undelivered entry",
                Some(Unit::Seconds),
                age,
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric =
                encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
