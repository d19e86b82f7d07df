//! The process's own figures, read from `/proc/self` when somebody asks: memory, CPU, descriptors,
//! threads, start time; and the build. Names are those every Prometheus client uses.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Ticks a second in `/proc/self/stat`: fixed at 100 in Linux's interface to programs.
const TICKS: f64 = 100.0;

/// Adds `process_*` and `tailrace_build_info` to `registry`. Figures that cannot be read (no
/// `/proc`) are left out.
pub fn register(registry: &mut Registry) {
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("tailrace_build", "Version of the program", version);
    registry.register_collector(Box::new(ProcessCollector));
}

/// Resident memory of this process in bytes; `None` when it cannot be read.
pub fn resident_bytes() -> Option<u64> {
    status_kib("VmRSS:")
}

/// Largest resident memory that this process had, in bytes; `None` when it cannot be read.
pub fn peak_resident_bytes() -> Option<u64> {
    status_kib("VmHWM:")
}

/// CPU time that this process used, user and system, in seconds; `None` when it cannot be read.
pub fn cpu_seconds() -> Option<f64> {
    let stat = stat_fields()?;
    // Fields 14 and 15 of the file, which begins with pid and name.
    Some((number(&stat, 11)? + number(&stat, 12)?) / TICKS)
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| -> Result<(), fmt::Error> {
            let Some(value) = value else { return Ok(()) };
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge(
            "process_resident_memory_bytes",
            "Resident memory",
            status_kib("VmRSS:").map(to_f64),
        )?;
        gauge(
            "process_resident_memory_peak_bytes",
            "Largest resident memory so far",
            status_kib("VmHWM:").map(to_f64),
        )?;
        gauge("process_open_fds", "Open file descriptors", open_fds())?;
        gauge(
            "process_max_fds",
            "Limit of open file descriptors",
            max_fds(),
        )?;
        gauge(
            "process_threads",
            "Threads",
            stat_fields().and_then(|stat| number(&stat, 17)),
        )?;
        gauge(
            "process_start_time_seconds",
            "Start, in seconds since 1970",
            start_time(),
        )?;
        if let Some(seconds) = cpu_seconds() {
            let metric = ConstCounter::new(seconds);
            let help = "CPU time, user and system";
            let name = "process_cpu_seconds";
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 8 PiB")]
fn to_f64(value: u64) -> f64 {
    value as f64
}

/// A line of `/proc/self/status` that is given in kB, in bytes.
fn status_kib(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Fields of `/proc/self/stat` from the third on. The second is the program's name in brackets
/// and may hold blanks and brackets itself.
fn stat_fields() -> Option<Vec<String>> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn number(fields: &[String], idx: usize) -> Option<f64> {
    fields.get(idx)?.parse().ok()
}

fn open_fds() -> Option<f64> {
    // Counting opens one itself.
    let count = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Boot time plus the ticks from boot to the start of this process.
fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = stat
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(boot + number(&stat_fields()?, 19)? / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_this_process_are_exposed() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
                .parse()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_resident_memory_peak_bytes") >= 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let age = now.as_secs_f64() - value("process_start_time_seconds");
        assert!((-5.0..86_400.0).contains(&age), "{age}");
        let build = format!(
            "tailrace_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        );
        assert!(text.contains(&build), "{text}");
        assert!(resident_bytes().unwrap() > 100_000);
        assert!(peak_resident_bytes().unwrap() > 100_000);
    }
}
