//! Memory, file descriptors and disk of the programs, as sampled, and their limits.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use bench::usage::Usage;

const MIB: u64 = 1 << 20;

/// The most memory each program may take, in bytes, whatever happens.
const MEMORY: [(&str, u64); 2] = [("agent", 100 * MIB), ("aggregator", 450 * MIB)];
/// The most descriptors of a program.
const DESCRIPTORS: u64 = 300;
/// The most bytes below each data directory: the buffer's limit, and a journal of a few streams.
const DISK: [(&str, u64); 2] = [("agent", 16 * MIB), ("aggregator", 258 * MIB)];

/// The most of each that was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Resources {
    memory: BTreeMap<&'static str, u64>,
    descriptors: BTreeMap<&'static str, u64>,
    disk: BTreeMap<&'static str, u64>,
}

impl Resources {
    pub(super) fn sample(&mut self, programs: Vec<(&'static str, u32)>, scratch: &Path) {
        // A program that is dead now was sampled before.
        for (name, pid) in programs.into_iter().filter(|(_, pid)| *pid > 0) {
            if let Ok(usage) = Usage::of(pid) {
                raise(&mut self.memory, name, usage.rss);
            }
            if let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) {
                raise(&mut self.descriptors, name, open.count() as u64);
            }
        }
        for (name, dir) in [
            ("agent", "agent/data"),
            ("aggregator", "aggregator-0/data"),
            ("aggregator", "aggregator-1/data"),
        ] {
            raise(&mut self.disk, name, size_of(&scratch.join(dir)));
        }
    }

    /// What was over its limit.
    pub(super) fn problems(&self) -> Vec<String> {
        let over = |kind: &str, seen: &BTreeMap<&str, u64>, name: &str, limit: u64| {
            let most = seen.get(name).copied().unwrap_or(0);
            (most > limit).then(|| format!("{kind} of the {name}: {most}, limit {limit}"))
        };
        let memory = MEMORY.map(|(name, limit)| over("memory", &self.memory, name, limit));
        let disk = DISK.map(|(name, limit)| over("disk", &self.disk, name, limit));
        let descriptors = ["agent", "aggregator"]
            .map(|name| over("descriptors", &self.descriptors, name, DESCRIPTORS));
        [memory, disk, descriptors]
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    }
}

fn raise(seen: &mut BTreeMap<&'static str, u64>, name: &'static str, value: u64) {
    let most = seen.entry(name).or_default();
    *most = (*most).max(value);
}

/// Bytes of the files below a directory; files that go meanwhile count nothing.
fn size_of(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

impl fmt::Display for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the most that was seen:")?;
        for name in ["agent", "aggregator"] {
            let of = |seen: &BTreeMap<&str, u64>| seen.get(name).copied().unwrap_or(0);
            write!(
                out,
                " {name} {} MiB of memory, {} descriptors, {:.1} MiB of disk;",
                of(&self.memory) / MIB,
                of(&self.descriptors),
                of(&self.disk) as f64 / MIB as f64
            )?;
        }
        Ok(())
    }
}
