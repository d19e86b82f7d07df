//! CPU and memory of other processes, from `/proc/PID/{stat,status}`.
//!
//! CPU-seconds are steadier than wall time on shared machines, and they leave out the measuring
//! process itself. Read before the process is reaped.

use std::{fs, time::Duration};

use anyhow::Context;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Time in user mode, all threads.
    pub user: Duration,
    /// Time in the kernel, all threads.
    pub system: Duration,
    /// The most memory it ever had resident, in bytes (`VmHWM`).
    pub peak_rss: u64,
    /// Memory resident now, in bytes (`VmRSS`).
    pub rss: u64,
}

impl Usage {
    /// Reads the usage of a live process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("cannot read the usage of process {pid}"))?;
        // The command's name may hold spaces and brackets; fields are counted behind it.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |idx: usize| {
            fields
                .get(idx)
                .and_then(|field| field.parse().ok())
                .unwrap_or(0)
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("cannot read the usage of process {pid}"))?;
        Ok(Self {
            user: ticks_to_time(ticks(11)),
            system: ticks_to_time(ticks(12)),
            peak_rss: kib_field(&status, "VmHWM:"),
            rss: kib_field(&status, "VmRSS:"),
        })
    }

    /// User and system time together.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }

    /// The time used since `earlier`, with the memory of now.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            ..*self
        }
    }
}

fn ticks_to_time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn kib_field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_working() {
        let before = Usage::of(std::process::id()).unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut sum = 0u64;
        while Usage::of(std::process::id())
            .unwrap()
            .since(&before)
            .cpu()
            .as_millis()
            < 50
        {
            sum = (0..1_000_000).fold(sum, |sum, _| sum.wrapping_add(rng.u64(..)));
        }
        assert_ne!(sum, 1);
        let now = Usage::of(std::process::id()).unwrap();
        assert!(now.rss > 1 << 20 && now.peak_rss >= now.rss);
    }
}
