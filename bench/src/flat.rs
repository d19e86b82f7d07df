//! What a line costs by the number of files it stands in, and by the rate: whether cost stays flat.
//!
//! Both programs run at their default settings, and CPU time is over the lines that arrived. Two
//! programs that are there cost something when nothing happens; among few lines this is most of
//! what they cost. So each row ends with a while in which no line comes, and the CPU time of an
//! equally long one is taken off, and told beside it.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;

use crate::{
    container_log::Iostream,
    kubelet::{Container, Kubelet},
    marker::Balance,
    null_store::{NullStore, Options},
    peers::Level,
    running::Running,
    runs::{Bench, Reader, balance, free_port, pause_until, remove, wait_for},
    shop::{Mix, Shop},
    stamp::wall_ns,
    usage::CpuTime,
    workload::{lines_of, start_container},
};

/// Lines that come at a rate.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Files, each of one container.
    pub files: usize,
    /// Lines a second in all of them together.
    pub lines_per_second: u32,
    /// How long they come.
    pub span: Duration,
    /// Seed of the content.
    pub seed: u64,
}

/// What a program cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// CPU time from before the first line until it was at rest after the last one.
    pub used: Duration,
    /// CPU time of an equally long time in which no line came.
    pub idle: Duration,
}

/// What lines cost.
#[derive(Debug, Clone, Copy)]
pub struct Flat {
    /// Files they stood in.
    pub files: usize,
    /// Lines a second that were written; `None` when all stood there before the agent started.
    pub rate: Option<f64>,
    /// Lines that arrived.
    pub lines: u64,
    /// Their bytes in the files.
    pub log_bytes: u64,
    /// From before the first line until the programs were at rest.
    pub span: Duration,
    /// What the agent cost.
    pub agent: Cost,
    /// What the aggregator cost.
    pub aggregator: Cost,
    /// Losses and doubles, by marker.
    pub balance: Balance,
}

/// Before and after lines come: what is under way then is not idleness. Open traces take two
/// seconds to be over.
const SETTLE: Duration = Duration::from_secs(5);

/// Lines that are due are written at most this often: a sleep before each of 100,000 a second would
/// cost the cores that are measured on more than the lines.
const TICK: Duration = Duration::from_millis(1);

impl Flat {
    /// CPU time of both programs, the idle time's included.
    pub fn cpu(&self) -> Duration {
        self.agent.used + self.aggregator.used
    }

    /// What a line adds to what `cost` is without it, in microseconds. Noise may make it negative.
    fn each(&self, cost: Cost) -> f64 {
        self.micros(cost.used) - self.micros(cost.idle)
    }

    fn micros(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.lines.max(1) as f64
    }

    fn both(&self) -> f64 {
        self.each(self.agent) + self.each(self.aggregator)
    }
}

/// Both programs.
struct Pair {
    agent: Running,
    aggregator: Running,
}

/// What both programs have used at some time.
struct Times {
    taken: Instant,
    agent: CpuTime,
    aggregator: CpuTime,
}

impl Pair {
    fn times(&mut self) -> anyhow::Result<Times> {
        self.agent.check_alive()?;
        self.aggregator.check_alive()?;
        Ok(Times {
            taken: Instant::now(),
            agent: self.agent.cpu_time()?,
            aggregator: self.aggregator.cpu_time()?,
        })
    }

    /// Lets both come to rest and do nothing for the time `idle`; returns how long it took from
    /// `before` until they were at rest, and what agent and aggregator cost.
    fn costs(&mut self, before: &Times, idle: Duration) -> anyhow::Result<(Duration, Cost, Cost)> {
        pause_until(Instant::now() + SETTLE);
        let rest = self.times()?;
        pause_until(rest.taken + idle);
        let end = self.times()?;
        let span = rest.taken - before.taken;
        let share = span.as_secs_f64() / (end.taken - rest.taken).as_secs_f64().max(0.001);
        let agent = Cost {
            used: rest.agent.since(&before.agent),
            idle: end.agent.since(&rest.agent).mul_f64(share),
        };
        let aggregator = Cost {
            used: rest.aggregator.since(&before.aggregator),
            idle: end.aggregator.since(&rest.aggregator).mul_f64(share),
        };
        Ok((span, agent, aggregator))
    }
}

impl Bench<'_> {
    /// The workload, which stands in `files` files before the agent starts: what it costs to find
    /// them is in the figures. `idle`: how long both are watched afterwards.
    ///
    /// # Errors
    /// When a program fails, and when a line was lost or came twice.
    pub fn flat_files(&self, files: usize, idle: Duration) -> anyhow::Result<Flat> {
        let far_end = NullStore::start(Options {
            claim: self.claim,
            markers: Some(self.workload.markers),
        })?;
        let dir = self.fresh_dir("flat")?;
        let (aggregator, url) = self.default_aggregator(&dir, &far_end)?;
        // Its start is no line's cost.
        pause_until(Instant::now() + SETTLE);
        let before = Times {
            taken: Instant::now(),
            agent: CpuTime::default(),
            aggregator: aggregator.cpu_time()?,
        };
        let mut both = Pair {
            agent: self.start_agent(&dir, &url)?,
            aggregator,
        };
        self.wait(
            SystemTime::now(),
            &mut [&mut both.agent, &mut both.aggregator],
            || far_end.arrived(),
        )?;
        let (span, agent, aggregator) = both.costs(&before, idle)?;
        drop(both);
        remove(&dir);
        let balance = balance(far_end.balance());
        balance.check().with_context(|| format!("{files} files"))?;
        Ok(Flat {
            files,
            rate: None,
            lines: self.workload.lines,
            log_bytes: self.workload.bytes,
            span,
            agent,
            aggregator,
            balance,
        })
    }

    /// Lines that come at a rate, each event by one write, in files that are there already. Both
    /// programs are watched for as long again afterwards.
    ///
    /// # Errors
    /// When a program fails, and when a line was lost or came twice.
    pub fn flat_rate(&self, kubelet: &mut Kubelet, flow: Flow) -> anyhow::Result<Flat> {
        let plan = Plan::of(flow);
        let far_end = NullStore::start(Options {
            claim: self.claim,
            markers: Some(plan.markers),
        })?;
        let dir = self.fresh_dir("flat")?;
        let mut containers = Vec::with_capacity(flow.files);
        for idx in 0..flow.files {
            let mut container =
                start_container(kubelet, idx).context("cannot create a log file")?;
            // One `write` an event, and none of them remembered.
            container.log.set_bulk(0);
            container
                .log
                .line(Iostream::Stdout, b"started")
                .context("cannot write a log file")?;
            containers.push(container);
        }
        let bytes_of = |containers: &[Container]| -> u64 {
            containers.iter().map(|each| each.log.size()).sum()
        };
        let bytes_before = bytes_of(&containers);
        let (aggregator, url) = self.default_aggregator(&dir, &far_end)?;
        let agent = self.start_agent(&dir, &url)?;
        let mut both = Pair { agent, aggregator };
        pause_until(Instant::now() + SETTLE);
        let before = both.times()?;
        write_flow(flow, &plan, &mut containers)?;
        let written_in = before.taken.elapsed();
        wait_for(
            plan.markers,
            SystemTime::now(),
            &mut [&mut both.agent, &mut both.aggregator],
            || far_end.arrived(),
        )?;
        let (span, agent, aggregator) = both.costs(&before, flow.span)?;
        drop(both);
        remove(&dir);
        let balance = balance(far_end.balance());
        balance
            .check()
            .with_context(|| format!("{} lines a second", flow.lines_per_second))?;
        Ok(Flat {
            files: flow.files,
            rate: Some(plan.lines as f64 / written_in.as_secs_f64().max(0.001)),
            lines: plan.lines,
            log_bytes: bytes_of(&containers) - bytes_before,
            span,
            agent,
            aggregator,
            balance,
        })
    }

    /// An aggregator at its default settings before `far_end`, and its URL.
    fn default_aggregator(
        &self,
        dir: &Path,
        far_end: &NullStore,
    ) -> anyhow::Result<(Running, String)> {
        let (store, port) = (far_end.url(), free_port()?);
        let mut aggregator =
            self.start_aggregator(dir, port, &store, Level::S2, "auto", Reader::Agents)?;
        self.wait_listening(&mut aggregator, port)?;
        Ok((aggregator, format!("http://127.0.0.1:{port}")))
    }
}

/// What will be written, known before: the shop makes the same from the same seed.
struct Plan {
    events: u64,
    lines: u64,
    markers: u32,
}

impl Plan {
    fn of(flow: Flow) -> Self {
        let wanted = u64::from(flow.lines_per_second) * flow.span.as_secs();
        let mut shop = Shop::of(Mix::Shop, flow.seed, 0);
        let (mut events, mut lines) = (0u64, 0u64);
        let mut text = Vec::new();
        while lines < wanted {
            let kind = shop.pick();
            text.clear();
            shop.append_event(kind, 0, &mut text);
            lines += lines_of(&text);
            events += 1;
        }
        Self {
            events,
            lines,
            markers: shop.next_marker(),
        }
    }
}

/// Writes what is planned, each event into some file, when its first line is due.
fn write_flow(flow: Flow, plan: &Plan, containers: &mut [Container]) -> anyhow::Result<()> {
    let mut shop = Shop::of(Mix::Shop, flow.seed, 0);
    let mut chooser = fastrand::Rng::with_seed(flow.seed ^ 0x5EED);
    let mut text = Vec::new();
    let mut lines = 0u64;
    let begin = Instant::now();
    for _ in 0..plan.events {
        let after = lines as f64 / f64::from(flow.lines_per_second);
        let (due, now) = (begin + Duration::from_secs_f64(after), Instant::now());
        if due > now {
            pause_until(due.max(now + TICK));
        }
        let kind = shop.pick();
        text.clear();
        shop.append_event(kind, wall_ns(), &mut text);
        let iostream = if kind.is_stderr() {
            Iostream::Stderr
        } else {
            Iostream::Stdout
        };
        containers[chooser.usize(..containers.len())]
            .log
            .event(iostream, &text)
            .context("cannot write a log file")?;
        lines += lines_of(&text);
    }
    // The last line lasts as long as all others.
    pause_until(begin + flow.span);
    Ok(())
}

/// The rows as a Markdown table; costs are compared with those of the first one.
pub fn markdown(rows: &[Flat]) -> String {
    let mut out = String::from(
        "| files | lines/s | lines | bytes a line | µs CPU a line: agent | aggregator | both | \
         to the first | idle, ms CPU a second: agent | aggregator | µs a line with idle: both | \
         lost | doubled |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let first = rows.first().map_or(0.0, Flat::both);
    for row in rows {
        let rate = row.rate.map(|rate| format!("{rate:.0}"));
        let idle = |cost: Cost| cost.idle.as_secs_f64() * 1e3 / row.span.as_secs_f64().max(0.001);
        out.push_str(&format!(
            "| {} | {} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {} | \
             {} |\n",
            row.files,
            rate.as_deref().unwrap_or("all there"),
            row.lines,
            row.log_bytes as f64 / row.lines.max(1) as f64,
            row.each(row.agent),
            row.each(row.aggregator),
            row.both(),
            row.both() / first.max(0.001),
            idle(row.agent),
            idle(row.aggregator),
            row.micros(row.cpu()),
            row.balance.lost,
            row.balance.doubled,
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_what_the_shop_writes() {
        let flow = Flow {
            files: 3,
            lines_per_second: 20_000,
            span: Duration::from_millis(1_000),
            seed: 5,
        };
        let plan = Plan::of(flow);
        assert!((20_000..20_200).contains(&plan.lines), "{}", plan.lines);
        let dir = tempfile::tempdir().unwrap();
        let mut kubelet = Kubelet::new(dir.path(), 1).unwrap();
        let mut containers: Vec<Container> = (0..flow.files)
            .map(|idx| start_container(&mut kubelet, idx).unwrap())
            .collect();
        let begin = Instant::now();
        write_flow(flow, &plan, &mut containers).unwrap();
        assert!(begin.elapsed() >= flow.span);
        let mut ledger = crate::marker::Ledger::new(plan.markers);
        let mut lines = 0;
        for container in &containers {
            let content = std::fs::read(container.log.path()).unwrap();
            for line in content.split_inclusive(|byte| *byte == b'\n') {
                ledger.document(line);
                lines += 1;
            }
        }
        assert_eq!(lines, plan.lines);
        ledger.balance().check().unwrap();
    }

    #[test]
    fn idle_time_is_taken_off_and_told() {
        let ms = Duration::from_millis;
        let row = |used: u64, lines: u64| Flat {
            files: 10,
            rate: Some(lines as f64 / 20.0),
            lines,
            log_bytes: 250 * lines,
            span: Duration::from_secs(20),
            agent: Cost {
                used: ms(used),
                idle: ms(40),
            },
            aggregator: Cost {
                used: ms(3 * used),
                idle: ms(60),
            },
            balance: Balance {
                lost: 0,
                doubled: 0,
                strangers: 0,
            },
        };
        let table = markdown(&[row(50, 10_000), row(240, 200_000)]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[2],
            "| 10 | 500 | 10000 | 250 | 1.00 | 9.00 | 10.00 | 1.00 | 2.00 | 3.00 | 20.00 | 0 | 0 |"
        );
        assert_eq!(
            lines[3],
            "| 10 | 10000 | 200000 | 250 | 1.00 | 3.30 | 4.30 | 0.43 | 2.00 | 3.00 | 4.80 | 0 | 0 |"
        );
    }
}
