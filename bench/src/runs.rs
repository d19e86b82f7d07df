//! The programs under measurement, one run each, and the table of results.
//!
//! A run starts the programs on fresh data directories, waits until every marker of the workload
//! has arrived at the far end (or nothing has moved for a while), and reads CPU and memory of the
//! programs before it stops them. The far end works in this process and is not counted.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};

use crate::{
    marker::Balance,
    null_aggregator::NullAggregator,
    null_store::{Claim, NullStore, Options},
    peers::{Compression, Level, Peer, Places, flags},
    running::Running,
    usage::Usage,
    workload::Workload,
};

/// Nothing arriving for so long ends a run; what is missing then is lost.
const STUCK: Duration = Duration::from_secs(20);
/// Takes every line and does nothing with it, so that neither JSON nor logfmt is looked for.
const S1_RULE: &str = "name: s1\nsteps: [{stop: true}]\n";
/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// What to run on what.
#[derive(Debug, Clone)]
pub struct Bench<'a> {
    /// What the workload is called.
    pub name: &'static str,
    /// The workload, as it was written.
    pub workload: &'a Workload,
    /// The glob that finds it.
    pub glob: String,
    /// The directory above it.
    pub root: PathBuf,
    /// Where the programs under measurement are.
    pub bin_dir: PathBuf,
    /// Room for data directories, removed after each run.
    pub scratch: PathBuf,
    /// The agent's compression: `zstd` or `gzip`.
    pub agent_compression: String,
    /// Batches that the agent has under way at a time; as many as it has by itself, unless told.
    pub in_flight: Option<u32>,
    /// Worker threads of the aggregator; as many as it has by itself, unless told.
    pub workers: Option<u32>,
    /// `buffer` or `store`.
    pub ack: String,
    /// Whom the null store claims to be.
    pub claim: Claim,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// What the workload is called.
    pub workload: &'static str,
    /// What was done with lines: `S1`, `S2`, or nothing that has a name.
    pub level: &'static str,
    /// What was measured.
    pub name: String,
    /// Bytes of log it worked on.
    pub log_bytes: u64,
    /// What its processes used.
    pub usage: Usage,
    /// From start to the last arrival.
    pub wall: Duration,
    /// Bytes it sent.
    pub wire_bytes: u64,
    /// Losses and doubles, by marker.
    pub balance: Balance,
}

/// Who reads the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Agents beside the aggregator.
    Agents,
    /// The agent within it.
    Itself,
}

impl Bench<'_> {
    /// The agent, shipping to a null aggregator.
    pub fn agent_alone(&self) -> anyhow::Result<Row> {
        let far_end = NullAggregator::start(Some(self.workload.markers))?;
        let dir = self.fresh_dir("agent")?;
        let started = SystemTime::now();
        let mut agent = self.start_agent(&dir, &far_end.url())?;
        let wall = self.wait(started, &mut [&mut agent], || far_end.arrived())?;
        let row = Row {
            workload: self.name,
            level: "–",
            name: format!("tailrace-agent alone ({})", self.agent_compression),
            log_bytes: self.workload.bytes,
            usage: agent.usage()?,
            wall,
            wire_bytes: far_end.counts().wire_bytes,
            balance: balance(far_end.balance()),
        };
        drop(agent);
        remove(&dir);
        Ok(row)
    }

    /// Both programs to a null store: rows for the aggregator (the agent's CPU excluded), and both.
    /// `compression` is that of the bulk bodies: `auto`, `gzip`, `zstd` or `none`.
    pub fn both(&self, level: Level, compression: &str) -> anyhow::Result<[Row; 2]> {
        let far_end = NullStore::start(Options {
            claim: self.claim,
            markers: Some(self.workload.markers),
        })?;
        let dir = self.fresh_dir("both")?;
        let port = free_port()?;
        let mut aggregator = self.start_aggregator(
            &dir,
            port,
            &far_end.url(),
            level,
            compression,
            Reader::Agents,
        )?;
        self.wait_listening(&mut aggregator, port)?;
        let started = SystemTime::now();
        let mut agent = self.start_agent(&dir, &format!("http://127.0.0.1:{port}"))?;
        let wall = self.wait(started, &mut [&mut agent, &mut aggregator], || {
            far_end.arrived()
        })?;
        let (agent_used, used) = (agent.usage()?, aggregator.usage()?);
        let row = |name: String, usage: Usage| Row {
            workload: self.name,
            level: level.name(),
            name,
            log_bytes: self.workload.bytes,
            usage,
            wall,
            wire_bytes: far_end.counts().wire_bytes,
            balance: balance(far_end.balance()),
        };
        let together = Usage {
            user: agent_used.user + used.user,
            system: agent_used.system + used.system,
            peak_rss: agent_used.peak_rss + used.peak_rss,
            rss: agent_used.rss + used.rss,
        };
        let how = format!("ack {}, {compression}", self.ack);
        let rows = [
            row(format!("tailrace-aggregator ({how})"), used),
            row(format!("tailrace, both ({how})"), together),
        ];
        drop((agent, aggregator));
        remove(&dir);
        Ok(rows)
    }

    /// One process: the aggregator with an agent within, to a null store.
    pub fn one_process(&self, level: Level, compression: &str) -> anyhow::Result<Row> {
        let far_end = NullStore::start(Options {
            claim: self.claim,
            markers: Some(self.workload.markers),
        })?;
        let dir = self.fresh_dir("one")?;
        let started = SystemTime::now();
        let (url, port) = (far_end.url(), free_port()?);
        let mut program =
            self.start_aggregator(&dir, port, &url, level, compression, Reader::Itself)?;
        let wall = self.wait(started, &mut [&mut program], || far_end.arrived())?;
        let row = Row {
            workload: self.name,
            level: level.name(),
            name: format!("tailrace, one process (ack {}, {compression})", self.ack),
            log_bytes: self.workload.bytes,
            usage: program.usage()?,
            wall,
            wire_bytes: far_end.counts().wire_bytes,
            balance: balance(far_end.balance()),
        };
        drop(program);
        remove(&dir);
        Ok(row)
    }

    /// A peer, to a null store. What keeps it from running is an error.
    pub fn peer(
        &self,
        peer: &Peer,
        program: &Path,
        level: Level,
        compression: &Compression,
    ) -> anyhow::Result<Row> {
        let template = peer
            .template(level)
            .with_context(|| format!("it does not do {}", level.name()))?;
        if let Some(module) = template.missing_module() {
            bail!("its module `{module}` is not installed");
        }
        // What all of them know; none asks for OpenSearch.
        let far_end = NullStore::start(Options {
            claim: Claim::Elasticsearch,
            markers: Some(self.workload.markers),
        })?;
        let dir = self.fresh_dir(peer.name)?;
        let (config, state) = (dir.join(template.file), dir.join("state"));
        fs::create_dir_all(&state).context("cannot create a data directory")?;
        let places = Places {
            glob: &self.glob,
            config: &config,
            state: &state,
            port: far_end.port(),
            free_port: free_port()?,
            compression: compression.word,
        };
        let text = places.fill(template.text)?;
        fs::write(&config, &text).context("cannot write its configuration")?;
        let mut command = Command::new(program);
        command.current_dir(&dir).envs(peer.env.iter().copied());
        if peer.args.is_empty() {
            command.args(flags(&text));
        }
        for arg in peer.args {
            command.arg(places.fill(arg)?);
        }
        let started = SystemTime::now();
        let mut running = Running::start(peer.name, &mut command, &dir.join("log"))?;
        let wall = self.wait(started, &mut [&mut running], || far_end.arrived())?;
        let row = Row {
            workload: self.name,
            level: level.name(),
            name: format!("{} ({}, {})", peer.name, compression.name, template.does),
            log_bytes: self.workload.bytes,
            usage: running.usage()?,
            wall,
            wire_bytes: far_end.counts().wire_bytes,
            balance: balance(far_end.balance()),
        };
        drop(running);
        remove(&dir);
        Ok(row)
    }

    pub(crate) fn start_agent(&self, dir: &Path, aggregator: &str) -> anyhow::Result<Running> {
        let config = dir.join("agent.yaml");
        let in_flight = self
            .in_flight
            .map(|batches| format!(", in_flight: {batches}"));
        let yaml = format!(
            "data_dir: {dir}/agent-data\nnode_name: bench\nlisten: 127.0.0.1:{port}\n\
             aggregators: [{aggregator}]\nbatch: {{compression: {compression}{in_flight}}}\n\
             files:\n  include: ['{glob}']\n  start_at: beginning\n  allowed_roots: ['{root}']\n",
            dir = dir.display(),
            port = free_port()?,
            compression = self.agent_compression,
            in_flight = in_flight.unwrap_or_default(),
            glob = self.glob,
            root = self.root.display()
        );
        fs::write(&config, yaml).context("cannot write the agent's config")?;
        let mut command = Command::new(self.bin_dir.join("tailrace-agent"));
        command.arg("--config").arg(&config);
        Running::start("tailrace-agent", &mut command, &dir.join("agent.log"))
    }

    pub(crate) fn start_aggregator(
        &self,
        dir: &Path,
        port: u16,
        store: &str,
        level: Level,
        compression: &str,
        reader: Reader,
    ) -> anyhow::Result<Running> {
        let config = dir.join("aggregator.yaml");
        let rules = dir.join("s1.yaml");
        let parsing = match level {
            Level::S1 => {
                fs::write(&rules, S1_RULE).context("cannot write the aggregator's rule")?;
                format!(
                    "shipped_rules: false\nrules: ['{}']\nmultiline: {{enabled: false}}\n",
                    rules.display()
                )
            }
            Level::S2 => String::new(),
        };
        let reading = match reader {
            Reader::Agents => String::new(),
            Reader::Itself => format!(
                "agent: {{enabled: true, node_name: bench, files: {{include: ['{}'], \
                 start_at: beginning, allowed_roots: ['{}']}}}}\n",
                self.glob,
                self.root.display()
            ),
        };
        let workers = self.workers.map(|threads| format!("workers: {threads}\n"));
        let yaml = format!(
            "data_dir: {dir}/aggregator-data\nlisten: 127.0.0.1:{port}\nack: {ack}\n\
             {workers}{parsing}{reading}outputs:\n  - name: main\n    \
             elasticsearch: {{hosts: ['{store}'], compression: {compression}}}\n",
            dir = dir.display(),
            ack = self.ack,
            workers = workers.unwrap_or_default(),
        );
        fs::write(&config, yaml).context("cannot write the aggregator's config")?;
        let mut command = Command::new(self.bin_dir.join("tailrace-aggregator"));
        command.arg("--config").arg(&config);
        Running::start(
            "tailrace-aggregator",
            &mut command,
            &dir.join("aggregator.log"),
        )
    }

    /// Waits until all of the workload has arrived, or nothing moves any more; returns the time it
    /// took.
    pub(crate) fn wait(
        &self,
        started: SystemTime,
        programs: &mut [&mut Running],
        arrived: impl Fn() -> Option<u64>,
    ) -> anyhow::Result<Duration> {
        wait_for(self.workload.markers, started, programs, arrived)
    }

    pub(crate) fn wait_listening(&self, program: &mut Running, port: u16) -> anyhow::Result<()> {
        let started = SystemTime::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            program.check_alive()?;
            if started.elapsed().unwrap_or_default() > STUCK {
                bail!("{} does not listen on port {port}", program.name);
            }
            pause();
        }
        Ok(())
    }

    pub(crate) fn fresh_dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let dir = self.scratch.join(name);
        remove(&dir);
        fs::create_dir_all(&dir).context("cannot create a data directory")?;
        Ok(dir)
    }
}

/// Waits until so many markers have arrived, or nothing moves any more; returns the time from
/// `started` to the last arrival.
pub(crate) fn wait_for(
    markers: u32,
    started: SystemTime,
    programs: &mut [&mut Running],
    arrived: impl Fn() -> Option<u64>,
) -> anyhow::Result<Duration> {
    let wanted = u64::from(markers);
    let elapsed = || started.elapsed().unwrap_or_default();
    let (mut last, mut moved) = (0, Duration::ZERO);
    loop {
        let now = arrived().unwrap_or(wanted);
        if now != last {
            (last, moved) = (now, elapsed());
        }
        if now >= wanted || elapsed() > moved + STUCK {
            return Ok(moved);
        }
        for program in &mut *programs {
            program.check_alive()?;
        }
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that polls, with a deadline, and writes at a rate"
)]
fn pause_for(span: Duration) {
    std::thread::sleep(span);
}

fn pause() {
    pause_for(POLL);
}

/// Waits until `time`: for writing at a rate.
pub(crate) fn pause_until(time: Instant) {
    pause_for(time.saturating_duration_since(Instant::now()));
}

/// Removes a directory; one that is not there, or stays, harms nobody: all lie in a temporary one.
pub(crate) fn remove(dir: &Path) {
    fs::remove_dir_all(dir).ok();
}

pub(crate) fn balance(balance: Option<Balance>) -> Balance {
    balance.unwrap_or(Balance {
        lost: 0,
        doubled: 0,
        strangers: 0,
    })
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    Ok(listener
        .local_addr()
        .context("cannot find a free port")?
        .port())
}

/// The rows as a Markdown table.
pub fn markdown(rows: &[Row]) -> String {
    let mut out = String::from(
        "| workload | level | system | MB of log per CPU-second | CPU s (user + sys) | MB/s wall | \
         peak RSS MiB | MB sent | lost | doubled |\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let megabytes = row.log_bytes as f64 / 1e6;
        let cpu = row.usage.cpu().as_secs_f64();
        out.push_str(&format!(
            "| {} | {} | {} | {:.0} | {:.2} ({:.2} + {:.2}) | {:.0} | {:.0} | {:.0} | {} | {} |\n",
            row.workload,
            row.level,
            row.name,
            megabytes / cpu.max(0.001),
            cpu,
            row.usage.user.as_secs_f64(),
            row.usage.system.as_secs_f64(),
            megabytes / row.wall.as_secs_f64().max(0.001),
            row.usage.peak_rss as f64 / f64::from(1 << 20),
            row.wire_bytes as f64 / 1e6,
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
    fn a_row_is_one_line_of_the_table() {
        let row = Row {
            workload: "mixed",
            level: "S1",
            name: "x".into(),
            log_bytes: 500_000_000,
            usage: Usage {
                user: Duration::from_millis(1500),
                system: Duration::from_millis(500),
                peak_rss: 10 << 20,
                rss: 0,
            },
            wall: Duration::from_secs(4),
            wire_bytes: 50_000_000,
            balance: Balance {
                lost: 1,
                doubled: 2,
                strangers: 0,
            },
        };
        let table = markdown(&[row]);
        let last = table.lines().last().unwrap();
        assert_eq!(
            last,
            "| mixed | S1 | x | 250 | 2.00 (1.50 + 0.50) | 125 | 10 | 50 | 1 | 2 |"
        );
    }
}
