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

/// What may come on top of the first rounds' memory, in bytes, and descriptors in the last ones.
const GROWTH: (u64, u64) = (24 * MIB, 32);
/// Rounds of which growth can be told.
const ROUNDS: usize = 9;

/// The most of each that was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Resources {
    /// Memory and descriptors at the end of each round, when nothing is left to do.
    ends: BTreeMap<&'static str, Vec<(u64, u64)>>,
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

    /// Looks at what the programs hold when everything has been sent.
    pub(super) fn end_round(&mut self, programs: Vec<(&'static str, u32)>) {
        let mut most: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
        for (name, pid) in programs {
            let open = fs::read_dir(format!("/proc/{pid}/fd"));
            if let (Ok(usage), Ok(open)) = (Usage::of(pid), open) {
                let (memory, descriptors) = most.entry(name).or_default();
                *memory = (*memory).max(usage.rss);
                *descriptors = (*descriptors).max(open.count() as u64);
            }
        }
        for (name, held) in most {
            self.ends.entry(name).or_default().push(held);
        }
    }

    /// The least and the most that a program held at the ends of a third of the rounds.
    fn third(&self, name: &str, which: usize) -> Option<[(u64, u64); 2]> {
        let ends = self.ends.get(name).filter(|ends| ends.len() >= ROUNDS)?;
        let third = ends.chunks(ends.len().div_ceil(3)).nth(which)?;
        let fold = |pick: fn(u64, u64) -> u64| {
            let both = |a: (u64, u64), b: &(u64, u64)| (pick(a.0, b.0), pick(a.1, b.1));
            third.iter().skip(1).fold(third[0], both)
        };
        Some([fold(u64::min), fold(u64::max)])
    }

    /// What grew from the first third of the rounds to the last one.
    fn growth(&self, name: &str) -> Option<String> {
        let [_, (memory, descriptors)] = self.third(name, 0)?;
        let [(memory_now, descriptors_now), _] = self.third(name, 2)?;
        let grew = memory_now > memory + GROWTH.0 || descriptors_now > descriptors + GROWTH.1;
        grew.then(|| {
            format!(
                "the {name} grew: at the ends of the first rounds at most {} MiB and {descriptors} \
                 descriptors, of the last ones at least {} MiB and {descriptors_now}",
                memory / MIB,
                memory_now / MIB
            )
        })
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
        let growth = ["agent", "aggregator"].map(|name| self.growth(name));
        [memory, disk, descriptors, growth]
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
        for name in ["agent", "aggregator"] {
            let thirds = [self.third(name, 0), self.third(name, 2)];
            let [Some(first), Some(last)] = thirds else {
                continue;
            };
            let [first, last] = [first, last].map(|[(a, c), (b, d)]| {
                format!("{}–{} MiB, {c}–{d} descriptors", a / MIB, b / MIB)
            });
            write!(
                out,
                "\nthe {name} between rounds: {first} in the first third, {last} in the last"
            )?;
        }
        Ok(())
    }
}
