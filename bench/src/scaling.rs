//! How the aggregator scales with its worker threads: the same workload with one and with two.
//!
//! Where an agent feeds it and a far end takes from it on the same few cores, MB a second of wall
//! time tell how many cores there are. What the workers could do by themselves follows from CPU
//! time: twice as much with two, but for what a line costs more when two work side by side. This
//! does not see workers that wait for each other, which costs no CPU; so the cores that were in
//! use are told beside it: where all of them were, nobody can have waited.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use anyhow::Context;

use crate::{
    marker::Balance,
    null_store::{NullStore, Options},
    peers::Level,
    runs::{Bench, Reader, balance, free_port, remove},
    usage::Usage,
};

/// Worker threads of the two runs that are compared.
pub const WORKERS: [u32; 2] = [1, 2];

/// What the workers could do with two of them, over the same with one, shall be at least this.
pub const TARGET: f64 = 1.8;

/// Batches that the agent has under way, instead of two: no worker shall wait for the next one
/// while others wait for the disk.
const IN_FLIGHT: u32 = 8;

/// What the aggregator did with so many worker threads.
#[derive(Debug, Clone)]
pub struct Scaling {
    /// What the workload is called.
    pub workload: &'static str,
    /// What was done with lines.
    pub level: Level,
    /// How it was configured.
    pub how: String,
    /// Its worker threads.
    pub workers: u32,
    /// Bytes of log it worked on.
    pub log_bytes: u64,
    /// From the agent's start to the last arrival.
    pub wall: Duration,
    /// What the aggregator used in this time.
    pub aggregator: Usage,
    /// CPU time of the agent that fed it.
    pub agent: Duration,
    /// CPU time of the far end, which is this process.
    pub far_end: Duration,
    /// Losses and doubles, by marker.
    pub balance: Balance,
}

impl Scaling {
    /// CPU time of the aggregator.
    pub fn cpu(&self) -> Duration {
        self.aggregator.cpu()
    }

    /// MB of log a second of wall time.
    fn by_wall(&self) -> f64 {
        self.log_bytes as f64 / 1e6 / self.wall.as_secs_f64().max(0.001)
    }

    /// MB of log a second of the aggregator's CPU time.
    fn by_cpu(&self) -> f64 {
        self.log_bytes as f64 / 1e6 / self.cpu().as_secs_f64().max(0.001)
    }

    /// MB of log a second that the workers could do if each had a core, and nobody made them wait.
    fn could_do(&self) -> f64 {
        self.by_cpu() * f64::from(self.workers)
    }

    /// Cores that were in use for so much CPU time.
    fn cores(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / self.wall.as_secs_f64().max(0.001)
    }
}

impl Bench<'_> {
    /// The aggregator with so many worker threads, an agent before it and a null store behind it.
    ///
    /// # Errors
    /// When a program fails, and when a line was lost or came twice.
    pub fn scaling(
        &self,
        level: Level,
        compression: &str,
        workers: u32,
    ) -> anyhow::Result<Scaling> {
        let bench = Bench {
            in_flight: Some(IN_FLIGHT),
            workers: Some(workers),
            ..self.clone()
        };
        let far_end = NullStore::start(Options {
            claim: self.claim,
            markers: Some(self.workload.markers),
        })?;
        let dir = bench.fresh_dir("scaling")?;
        let (url, port) = (far_end.url(), free_port()?);
        let mut aggregator =
            bench.start_aggregator(&dir, port, &url, level, compression, Reader::Agents)?;
        bench.wait_listening(&mut aggregator, port)?;
        // What its start costs does not depend on the workers.
        let before = aggregator.usage()?;
        let own_before = Usage::of(std::process::id())?;
        let started = SystemTime::now();
        let mut agent = bench.start_agent(&dir, &format!("http://127.0.0.1:{port}"))?;
        let wall = bench.wait(started, &mut [&mut agent, &mut aggregator], || {
            far_end.arrived()
        })?;
        let scaling = Scaling {
            workload: self.name,
            level,
            how: format!("ack {}, {compression}", self.ack),
            workers,
            log_bytes: self.workload.bytes,
            wall,
            aggregator: aggregator.usage()?.since(&before),
            agent: agent.usage()?.cpu(),
            far_end: Usage::of(std::process::id())?.since(&own_before).cpu(),
            balance: balance(far_end.balance()),
        };
        drop((agent, aggregator));
        remove(&dir);
        scaling
            .balance
            .check()
            .with_context(|| format!("with `workers: {workers}`"))?;
        Ok(scaling)
    }
}

/// The rows, and what each two of them say, as Markdown tables. `rows` has one for each of
/// [`WORKERS`] in turn.
pub fn markdown(rows: &[Scaling]) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let mut out = format!(
        "| workload | level | system | workers | MB/s wall | MB of log per CPU-second | \
         CPU s (user + sys) | cores in use, of {cores}: aggregator + agent + far end | lost | \
         doubled |\n|---|---|---|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for row in rows {
        out.push_str(&format!(
            "| {} | {} | tailrace-aggregator ({}) | {} | {:.0} | {:.0} | {:.2} ({:.2} + {:.2}) | \
             {:.2} + {:.2} + {:.2} | {} | {} |\n",
            row.workload,
            row.level.name(),
            row.how,
            row.workers,
            row.by_wall(),
            row.by_cpu(),
            row.cpu().as_secs_f64(),
            row.aggregator.user.as_secs_f64(),
            row.aggregator.system.as_secs_f64(),
            row.cores(row.cpu()),
            row.cores(row.agent),
            row.cores(row.far_end),
            row.balance.lost,
            row.balance.doubled,
        ));
    }
    out.push_str(&format!(
        "\n| workload | level | system | workers | MB/s wall | what the workers could do; \
         target: {TARGET:.1} |\n|---|---|---|---|---:|---:|\n"
    ));
    for pair in rows.chunks_exact(WORKERS.len()) {
        let [one, two] = pair else { continue };
        out.push_str(&format!(
            "| {} | {} | tailrace-aggregator ({}) | {} : {} | {:.2} | {:.2} |\n",
            two.workload,
            two.level.name(),
            two.how,
            two.workers,
            one.workers,
            two.by_wall() / one.by_wall().max(0.001),
            two.could_do() / one.could_do().max(0.001),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(workers: u32, user_ms: u64, wall: u64) -> Scaling {
        Scaling {
            workload: "mixed",
            level: Level::S2,
            how: "x".into(),
            workers,
            log_bytes: 1_000_000_000,
            wall: Duration::from_secs(wall),
            aggregator: Usage {
                user: Duration::from_millis(user_ms),
                system: Duration::from_millis(500),
                peak_rss: 0,
                rss: 0,
            },
            agent: Duration::from_secs(2),
            far_end: Duration::from_secs(4),
            balance: Balance {
                lost: 0,
                doubled: 0,
                strangers: 0,
            },
        }
    }

    #[test]
    fn what_workers_could_do_is_twice_the_work_less_what_it_costs_more() {
        let table = markdown(&[row(1, 9_500, 10), row(2, 10_250, 8)]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[2],
            "| mixed | S2 | tailrace-aggregator (x) | 1 | 100 | 100 | 10.00 (9.50 + 0.50) | \
             1.00 + 0.20 + 0.40 | 0 | 0 |"
        );
        // Of a line that costs 7.5 % more, 1.86 times as many.
        assert_eq!(
            lines.last(),
            Some(&"| mixed | S2 | tailrace-aggregator (x) | 2 : 1 | 1.25 | 1.86 |")
        );
    }
}
