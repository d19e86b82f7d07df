//! The process itself: memory, CPU, descriptors, start, version. Read from `/proc/self` when asked.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Adds `process_*` and `tailrace_build` to `registry`.
pub fn register(registry: &mut Registry) {
    registry.register(
        "tailrace_build",
        "Version of the program",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    registry.register_collector(Box::new(Process {
        started: SystemTime::now(),
    }));
}

#[derive(Debug)]
struct Process {
    started: SystemTime,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let started = self
            .started
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        gauge(
            "process_start_time",
            "Start of the process",
            Some(&Unit::Seconds),
            started,
        )?;
        if let Some(bytes) = resident_bytes() {
            gauge(
                "process_resident_memory",
                "Resident memory",
                Some(&Unit::Bytes),
                bytes as f64,
            )?;
        }
        if let Some(open) = open_descriptors() {
            gauge(
                "process_open_fds",
                "Open file descriptors",
                None,
                open as f64,
            )?;
        }
        if let Some(seconds) = cpu_seconds() {
            let metric = ConstCounter::new(seconds);
            let help = "User and system CPU time";
            let unit = Some(&Unit::Seconds);
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor("process_cpu", help, unit, kind)?)?;
        }
        Ok(())
    }
}

/// Resident memory in bytes; `None` where `/proc` is not mounted.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()?
            * 1024,
    )
}

/// User and system time of all threads, in seconds.
pub fn cpu_seconds() -> Option<f64> {
    // Ticks are 1/100 s on every Linux that Rust supports (USER_HZ).
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_A_SECOND)
}

fn open_descriptors() -> Option<usize> {
    // The one that reads the folder is in it.
    Some(
        std::fs::read_dir("/proc/self/fd")
            .ok()?
            .count()
            .saturating_sub(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_described() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for name in [
            "process_start_time_seconds ",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_open_fds ",
            "tailrace_build_info{version=",
        ] {
            assert!(text.contains(name), "{name} in\n{text}");
        }
        assert!(resident_bytes().unwrap() > 100_000);
    }
}
