//! CPU and memory of other processes, from `/proc/PID/{stat,status}` and `/proc/PID/task`.
//!
//! CPU-seconds are steadier than wall time on shared machines, and they leave out the measuring
//! process itself. Read before the process is reaped.

use std::{collections::BTreeMap, fs, time::Duration};

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
        Self::read(pid, false)
    }

    /// Reads the usage of a live process and of all that came of it, those included that have ended
    /// and were waited for. Peaks of memory are added up, as if all had had theirs at once.
    pub fn of_tree(pid: u32) -> anyhow::Result<Self> {
        let mut total = Self::read(pid, true)?;
        for child in descendants(pid) {
            // One that has ended meanwhile is in the figures of its parent from now on.
            if let Ok(usage) = Self::read(child, true) {
                total.user += usage.user;
                total.system += usage.system;
                total.peak_rss += usage.peak_rss;
                total.rss += usage.rss;
            }
        }
        Ok(total)
    }

    fn read(pid: u32, with_reaped: bool) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("cannot read the usage of process {pid}"))?;
        let fields = fields_of(&stat);
        let ticks = |idx: usize| -> u64 {
            fields
                .get(idx)
                .and_then(|field| field.parse().ok())
                .unwrap_or(0)
        };
        let reaped = |idx: usize| if with_reaped { ticks(idx) } else { 0 };
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("cannot read the usage of process {pid}"))?;
        Ok(Self {
            user: ticks_to_time(ticks(11) + reaped(13)),
            system: ticks_to_time(ticks(12) + reaped(14)),
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

/// CPU time of a process in nanoseconds, as its threads tell it, for spans in which it does so
/// little that the ticks of [`Usage`], 10 ms each, would say nothing.
#[derive(Debug, Clone, Default)]
pub struct CpuTime {
    /// Nanoseconds of each thread that is alive, by its id.
    threads: BTreeMap<u32, u64>,
    /// Of all threads, those included that have ended.
    ticks: Duration,
}

impl CpuTime {
    /// Reads the time of a live process, without its children's.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .with_context(|| format!("cannot read the threads of process {pid}"))?;
        let mut threads: BTreeMap<u32, u64> = BTreeMap::new();
        for task in tasks.flatten() {
            let name = task.file_name();
            let id = name.to_str().and_then(|name| name.parse::<u32>().ok());
            // The ticks have a thread that has ended meanwhile, and kernels without the file.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let time = text.split_whitespace().next();
            let time = time.and_then(|time| time.parse::<u64>().ok());
            threads.extend(id.zip(time));
        }
        let ticks = Usage::of(pid)?.cpu();
        Ok(Self { threads, ticks })
    }

    /// The time used since `earlier`.
    pub fn since(&self, earlier: &Self) -> Duration {
        let used = self.threads.iter().map(|(id, time)| {
            let before = earlier.threads.get(id).copied().unwrap_or(0);
            time.saturating_sub(before)
        });
        let by_threads = Duration::from_nanos(used.sum());
        let by_ticks = self.ticks.saturating_sub(earlier.ticks);
        // Ticks that are missing are those of a thread that has ended. User and system time are cut
        // to whole ticks, each at both ends.
        if by_ticks > by_threads + ticks_to_time(4) {
            by_ticks
        } else {
            by_threads
        }
    }
}

/// Fields of `/proc/PID/stat` from the state on. The command's name before it may hold spaces and
/// brackets.
fn fields_of(stat: &str) -> Vec<&str> {
    stat.rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect()
}

/// Live processes whose parent, or its parent, and so on, is `root`.
fn descendants(root: u32) -> Vec<u32> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let parent = fields_of(&stat).get(1).and_then(|field| field.parse().ok());
        if let Some(parent) = parent {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut n_looked = 0;
    while let Some(parent) = found.get(n_looked).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(pid, _)| *pid));
        n_looked += 1;
    }
    found.split_off(1)
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

    #[test]
    fn time_of_threads_that_have_ended_is_not_lost() {
        let before = CpuTime::of(std::process::id()).unwrap();
        let work = || {
            let begin = Usage::of(std::process::id()).unwrap();
            let mut rng = fastrand::Rng::with_seed(1);
            let mut sum = 0u64;
            let used = || Usage::of(std::process::id()).unwrap().since(&begin).cpu();
            while used().as_millis() < 100 {
                sum = (0..1_000_000).fold(sum, |sum, _| sum.wrapping_add(rng.u64(..)));
            }
            sum
        };
        assert_ne!(std::thread::spawn(work).join().unwrap(), 1);
        let now = CpuTime::of(std::process::id()).unwrap();
        assert!(now.since(&before).as_millis() >= 40);
        assert_eq!(now.since(&now), Duration::ZERO);
    }

    #[test]
    fn the_children_of_a_process_are_found() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let found = descendants(std::process::id());
        let usage = Usage::of_tree(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&child.id()), "{found:?}");
        assert!(usage.rss > 1 << 20);
    }
}
