//! The fault laboratory: real programs under load, struck by one random fault after the other.
//!
//! A run is a sequence of rounds. In a round programs write numbered events of every kind into
//! containers' logs, and faults strike in an order that follows from the seed. At its end every
//! document is read back and compared with what was written; `audit` has to agree, throughput has
//! to be back soon after each fault, and memory, disk and descriptors have to stay within limits.
//! The programs live through all rounds, so that what grows is seen.

mod peer;
mod read_back;
mod report;
mod resources;
mod strikes;

use std::time::{Duration, SystemTime};

use anyhow::Context;
use bench::{
    container_log::Rotation,
    kubelet::{Container, Kubelet},
};
use serde_json::{Value, json};

use crate::{
    agent::{Agent, AgentSetup},
    aggregator::{Aggregator, AggregatorSetup},
    control::ensure_faults,
    documents::Documents,
    gate::Gate,
    proxy::Proxy,
    scratch::Scratch,
    server::{Product, Server},
    wait,
    writer::{Pace, Writer, write_event},
};

pub use peer::{PeerReport, has_rsyslog, run_peer};
pub use report::Report;
use resources::Resources;
use strikes::STRIKES;

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which faults, in which order, and for how long each.
    pub seed: u64,
    /// How long faults are made; reading back comes on top.
    pub length: Duration,
    /// How long one round is.
    pub round: Duration,
    /// Events a second, all containers together.
    pub events_per_second: u32,
    /// Calm between the end of a fault and the next one, at least.
    pub calm: Duration,
    /// How often a fault strikes: after one that took longer the next ones come sooner.
    pub every: Duration,
    /// Load without faults before the first one: a store compiles its own code at first, and
    /// under much load that takes all there is.
    pub warm_up: Duration,
}

/// Throughput has to be back this long after a fault's end.
const RECOVERY: Duration = Duration::from_secs(30);
/// A cold store has to keep up this long after the warm-up.
const WARM: Duration = Duration::from_secs(120);
/// Between two looks at what has arrived: each makes the store write a segment.
const LOOK: Duration = Duration::from_secs(1);
/// How long the agent may take to be at the heads of its files again before the next fault.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How long the last documents of a round may take, look-ups after rollovers included.
const SETTLE: Duration = Duration::from_secs(90);
/// Events of a container that `audit` reads in every round.
const MOST_AUDITED: usize = 50_000;
/// Rounds from one of which a container with more events is audited.
const ROUNDS_PER_AUDIT: usize = 4;
/// The namespace of the laboratory's data stream.
const NAMESPACE: &str = "laboratory";

/// Everything that faults strike.
pub(crate) struct Laboratory {
    options: Options,
    /// Which fault comes next: nothing else draws from it, so that peers meet the same ones.
    order: fastrand::Rng,
    rng: fastrand::Rng,
    kubelet: Kubelet,
    documents: Documents,
    server: Server,
    store_gate: Gate,
    store_proxy: Proxy,
    aggregators: Vec<Station>,
    agent: Agent,
    resources: Resources,
    report: Report,
    n_pods: u32,
    // Behind the programs: dropped after them.
    scratch: Scratch,
}

/// An aggregator and what stands before it.
struct Station {
    aggregator: Aggregator,
    gate: Gate,
    proxy: Proxy,
}

/// Runs the laboratory and tells what came of it; what the programs did wrong is in the report.
///
/// # Errors
/// When the laboratory itself does not work.
pub fn run(options: Options) -> anyhow::Result<Report> {
    ensure_faults()?;
    let mut laboratory = Laboratory::build(options)?;
    let mut struck = Duration::ZERO;
    // One round in any case.
    loop {
        struck += laboratory.round(options.length.saturating_sub(struck))?;
        if struck >= options.length {
            break;
        }
    }
    laboratory.calm_round()?;
    laboratory.close()
}

/// Lets the store index only what the checkers ask for. What is tested is delivery, and the store
/// shares the cores with the programs: 127 µs of CPU a document were measured with all of Tailrace's
/// fields, 41 with none but the time, and 20,000 lines a second would be more than it can take.
fn index_little(server: &Server) -> anyhow::Result<()> {
    let keyword = json!({"type": "keyword"});
    let template = json!({
        "index_patterns": [format!("logs-kubernetes.container_logs-{NAMESPACE}")],
        "data_stream": {},
        // Above that of Tailrace's own.
        "priority": 1000,
        "template": {
            "settings": {"index.refresh_interval": "5s"},
            "mappings": {
                "dynamic": false,
                "properties": {
                    "@timestamp": {"type": "date_nanos"},
                    "kubernetes": {"properties": {
                        "namespace": keyword,
                        "pod": {"properties": {"name": keyword}},
                    }},
                    "log": {"properties": {"offset": {"type": "long"}}},
                    "tailrace": {"properties": {"stream": keyword}},
                },
            },
        },
    });
    let path = format!("/_index_template/{NAMESPACE}");
    server.http().json("PUT", &path, &template)?;
    Ok(())
}

impl Laboratory {
    fn build(options: Options) -> anyhow::Result<Self> {
        let scratch = Scratch::new("laboratory")?;
        let server = Server::start(Product::OpenSearch)?;
        index_little(&server)?;
        let store_gate = Gate::start(server.port(), "/_bulk")?;
        let store_proxy = Proxy::start(store_gate.port())?;
        let kubelet = Kubelet::new(&scratch.path().join("log"), options.seed)?;
        let setup = AggregatorSetup::new(&store_proxy.url(), NAMESPACE)
            .output("batch", "{max_bytes: 1MiB}")
            .elasticsearch("timeout", "3s")
            .with("receive", "{memory: 64MiB}");
        let mut aggregators = Vec::new();
        // The second one reads all back from its disk, and so meets all of its faults.
        for (name, kept) in [("aggregator-0", "16MiB"), ("aggregator-1", "0")] {
            let buffer = format!(
                "{{max_bytes: 256MiB, segment_bytes: 1MiB, reserve: 4MiB, keep_in_memory: {kept}}}"
            );
            let setup = setup.clone().output("buffer", &buffer);
            let aggregator = Aggregator::start(&scratch.path().join(name), &setup)?;
            let gate = Gate::start(aggregator.port(), "/v1/batch")?;
            let proxy = Proxy::start(gate.port())?;
            aggregators.push(Station {
                aggregator,
                gate,
                proxy,
            });
        }
        let mut setup = AgentSetup::new(&kubelet.glob(), &aggregators[0].proxy.url())
            .files(
                "allowed_roots",
                &format!("['{}']", kubelet.root().display()),
            )
            .with("timeout", "3s");
        setup.aggregators.push(aggregators[1].proxy.url());
        let agent = Agent::start(&scratch.path().join("agent"), &setup)?;
        Ok(Self {
            options,
            order: fastrand::Rng::with_seed(options.seed),
            rng: fastrand::Rng::with_seed(!options.seed),
            kubelet,
            documents: server.documents(),
            server,
            store_gate,
            store_proxy,
            aggregators,
            agent,
            resources: Resources::default(),
            report: Report::new(options),
            n_pods: 0,
            scratch,
        })
    }

    fn data_stream(&self) -> String {
        format!("logs-kubernetes.container_logs-{NAMESPACE}")
    }

    fn container(&mut self, docker: bool) -> anyhow::Result<Container> {
        self.n_pods += 1;
        let pod = format!("pod-{}", self.n_pods);
        let mut made = match docker {
            true => self.kubelet.docker("shop", &pod, "c")?,
            false => self.kubelet.container("shop", &pod, "c")?,
        };
        let rotation = match docker {
            true => Rotation::NumberedGz,
            false => Rotation::Kubelet,
        };
        // Nothing is deleted unread: that loss has a test of its own.
        made.log.set_rotation(rotation, 1_000);
        Ok(made)
    }

    /// A round of `left` at most, and one fault at least; how long faults were made in it.
    fn round(&mut self, left: Duration) -> anyhow::Result<Duration> {
        let mut containers = Vec::new();
        for idx in 0..4 {
            containers.push(self.container(idx == 3)?);
        }
        let pace = Pace {
            events_per_second: self.options.events_per_second,
            rotate_every: self.options.events_per_second.max(50),
        };
        let writer = Writer::start(containers, pace);
        // Faults of the data stream need one.
        self.documents
            .wait_count(&self.data_stream(), "*", 100, RECOVERY)?;
        if self.report.n_faults() == 0 {
            self.warm_up(&writer)?;
        }
        let mut done = Vec::new();
        let started = SystemTime::now();
        let mut n_short = 0;
        loop {
            // A pod that lives about as long as the fault.
            let short = self.container(false)?;
            let pace = Pace {
                events_per_second: 20,
                rotate_every: 0,
            };
            let short = Writer::start(vec![short], pace);
            self.strike()?;
            let short = short.finish()?;
            n_short += short.iter().map(|it| it.log.written().len()).sum::<usize>() as u64;
            done.extend(short);
            self.recover(&writer, n_short)?;
            let due = self.options.every * self.report.n_faults() as u32;
            let passed = self.report.struck + started.elapsed().unwrap_or_default();
            self.watch(due.saturating_sub(passed).max(self.options.calm));
            if started.elapsed().unwrap_or_default() >= self.options.round.min(left) {
                break;
            }
        }
        done.extend(writer.finish()?);
        let struck = started.elapsed().unwrap_or_default();
        self.judge(&done)?;
        self.delete_pods(done)?;
        self.resources.end_round(self.programs());
        self.report.show_progress(struck);
        Ok(struck)
    }

    /// Waits until the store is warm, and nothing is behind.
    fn warm_up(&mut self, writer: &Writer) -> anyhow::Result<()> {
        self.watch(self.options.warm_up);
        let index = self.data_stream();
        wait::until_ok(WARM, "the store to keep up", || {
            wait::let_pass(LOOK);
            let arrived = self.documents.count(&index, "*")?;
            let backlog = writer.written().saturating_sub(arrived);
            let most = 2 * u64::from(self.options.events_per_second);
            anyhow::ensure!(backlog < most, "{backlog} events are missing");
            Ok(())
        })
        .context("the machine is too slow for this rate")
    }

    /// Makes one fault, and undoes it.
    fn strike(&mut self) -> anyhow::Result<()> {
        let idx = self.order.usize(..STRIKES.len());
        let (name, strike) = STRIKES[idx];
        self.report.begin(name);
        strike(self).with_context(|| format!("cannot make the fault `{name}`"))?;
        self.resources.sample(self.programs(), self.scratch.path());
        Ok(())
    }

    fn programs(&self) -> Vec<(&'static str, u32)> {
        let mut programs = vec![("agent", self.agent.pid())];
        for station in &self.aggregators {
            programs.push(("aggregator", station.aggregator.pid()));
        }
        programs
    }

    /// Lets time pass, watching the programs' resources.
    fn watch(&mut self, time: Duration) {
        let started = SystemTime::now();
        loop {
            self.resources.sample(self.programs(), self.scratch.path());
            let passed = started.elapsed().unwrap_or(time);
            if passed >= time {
                return;
            }
            wait::let_pass((time - passed).min(Duration::from_millis(250)));
        }
    }

    /// Waits until what arrives keeps up with what is written again, or the backlog is gone.
    fn recover(&mut self, writer: &Writer, n_short: u64) -> anyhow::Result<()> {
        let healed = SystemTime::now();
        let index = self.data_stream();
        let rate = f64::from(self.options.events_per_second);
        let mut before: Option<(SystemTime, u64)> = None;
        let recovered = wait::until_ok(RECOVERY, "throughput to be back", || {
            wait::let_pass(LOOK);
            self.resources.sample(self.programs(), self.scratch.path());
            let arrived = self.documents.count(&index, "*")?;
            let backlog = (writer.written() + n_short).saturating_sub(arrived);
            let (since, earlier) = *before.get_or_insert((SystemTime::now(), arrived));
            let passed = since.elapsed().unwrap_or_default().as_secs_f64();
            let arriving = arrived.saturating_sub(earlier) as f64 / passed.max(0.001);
            if passed > 2.0 {
                before = None;
            }
            let keeps_up = passed > 1.0 && arriving >= 0.9 * rate;
            let has_caught_up = (backlog as f64) < 2.0 * rate;
            anyhow::ensure!(
                keeps_up || has_caught_up,
                "{arriving:.0} events a second arrive, {backlog} are missing"
            );
            Ok(())
        });
        let took = healed.elapsed().unwrap_or_default();
        self.report.recovered(took);
        if let Err(problem) = recovered {
            self.report.problem(format!("{problem:#}"));
        }
        // A chunk that lost a connection in this fault must not lose the next ones too, or it is
        // suspect for no fault of its own (DELIVERY rule 12).
        let caught_up = wait::until_ok(CATCH_UP, "the agent to catch up", || {
            let lag = self.agent.metrics()?.sum("agent_lag_seconds", &[]);
            anyhow::ensure!(lag < 2.0, "{lag:.1} s behind");
            Ok(())
        });
        // Under more load than the machine carries it stays behind, and the tag tells.
        drop(caught_up);
        Ok(())
    }

    /// Compares what came with what was written, and makes room for the next round.
    fn judge(&mut self, containers: &[Container]) -> anyhow::Result<()> {
        let index = self.data_stream();
        let look = || read_back::judge(&self.documents, &index, containers);
        // Reading everything back takes long under much load: once, when all may be there.
        let written: usize = containers.iter().map(|it| it.log.written().len()).sum();
        let all_there = wait::until_ok(SETTLE, "as many documents as events", || {
            wait::let_pass(LOOK);
            let count = self.documents.count(&index, "*")?;
            anyhow::ensure!(count >= written as u64, "{count} of {written}");
            Ok(())
        });
        // What is missing, the verdict tells.
        drop(all_there);
        let clean = wait::until_ok(SETTLE, "every line once", || {
            let verdict = look()?;
            anyhow::ensure!(verdict.is_clean(), "{verdict}");
            Ok(verdict)
        });
        let verdict = clean.or_else(|_| look())?;
        let is_clean = verdict.is_clean();
        self.report.judged(&verdict);
        if is_clean {
            self.audit(containers)?;
        }
        let letters = self.documents.all("logs-tailrace.dead_letter-*")?;
        if let Some(letter) = letters.first() {
            self.report
                .problem(format!("{} dead letters: {letter}", letters.len()));
        }
        self.server
            .http()
            .json("DELETE", &format!("/_data_stream/{index}"), &Value::Null)?;
        Ok(())
    }

    /// Deletes what a round's pods logged. The agent has to forget it and to have lost nothing
    /// of it; if it kept anything for files of the past, its memory would grow round by round.
    fn delete_pods(&mut self, containers: Vec<Container>) -> anyhow::Result<()> {
        let idle = wait::until_ok(SETTLE, "the agent to have nothing in flight", || {
            let in_flight = self.agent.metrics()?.sum("agent_in_flight_bytes", &[]);
            anyhow::ensure!(in_flight == 0.0, "{in_flight} bytes");
            Ok(())
        });
        let before = self.agent.metrics()?.count("tail_bytes_lost_total", &[]);
        for container in &containers {
            self.kubelet.delete(container)?;
        }
        let forgotten = wait::until_ok(SETTLE, "the agent to forget deleted files", || {
            let followed = self.agent.metrics()?.sum("tail_files_followed", &[]);
            anyhow::ensure!(followed == 0.0, "it follows {followed}");
            Ok(())
        });
        for problem in [idle, forgotten].into_iter().filter_map(Result::err) {
            self.report.problem(format!("{problem:#}"));
        }
        let lost = self.agent.metrics()?.count("tail_bytes_lost_total", &[]) - before;
        if lost > 0 {
            let problem = format!("{lost} bytes of files that had been read count as lost");
            self.report.problem(problem);
        }
        Ok(())
    }

    /// `audit` has to find what the comparison found: nothing.
    fn audit(&mut self, containers: &[Container]) -> anyhow::Result<()> {
        let aggregator = &self.aggregators[0].aggregator;
        let config = aggregator.config_path().display().to_string();
        // The last of the quiet ones, and now and then a busy one: it takes the store long to give
        // so many documents in order of offset.
        let is_busy = |it: &Container| it.log.written().len() > MOST_AUDITED;
        let of_quiet = containers.iter().rev().filter(|it| !is_busy(it)).take(4);
        let busy: Vec<&Container> = containers.iter().filter(|it| is_busy(it)).collect();
        let is_due = self.report.n_rounds().is_multiple_of(ROUNDS_PER_AUDIT);
        let of_busy = busy.iter().filter(|_| is_due);
        let of_busy = of_busy.skip(self.rng.usize(..busy.len().max(1))).take(1);
        let chosen: Vec<&Container> = of_quiet.chain(of_busy.copied()).collect();
        for container in chosen {
            if container.log.written().is_empty() {
                continue;
            }
            let arguments = ["audit", "--config", &config, "--pod", &container.pod];
            let audit = aggregator.command(&arguments)?;
            self.report.audited(container.log.written().len());
            if !audit.status.success() {
                let said = [audit.stdout, audit.stderr].concat();
                let said = String::from_utf8_lossy(&said).into_owned();
                let pod = &container.pod;
                self.report
                    .problem(format!("audit of {pod} does not agree: {}", said.trim()));
            }
        }
        Ok(())
    }

    /// A round without faults, whose books have to balance to the last byte.
    fn calm_round(&mut self) -> anyhow::Result<()> {
        let sum = |this: &Self, name: &str| -> anyhow::Result<u64> {
            let of_agent = this.agent.metrics()?.count(name, &[]);
            this.aggregators.iter().try_fold(of_agent, |sum, station| {
                Ok(sum + station.aggregator.metrics()?.count(name, &[]))
            })
        };
        const BOOKS: [&str; 4] = [
            "tail_bytes_read_total",
            "tail_bytes_acknowledged_total",
            "tail_bytes_lost_total",
            "store_docs_indexed_total",
        ];
        let mut before = Vec::new();
        for name in BOOKS {
            before.push(sum(self, name)?);
        }
        let mut containers = vec![self.container(false)?, self.container(true)?];
        for n in 0..500 {
            for container in &mut containers {
                write_event(container, n)?;
            }
        }
        self.judge(&containers)?;
        let events: usize = containers.iter().map(|it| it.log.written().len()).sum();
        let bytes: u64 = containers.iter().flat_map(|it| it.log.sizes()).sum();
        let wanted = [bytes, bytes, 0, events as u64];
        let balanced = wait::until_ok(RECOVERY, "the books to balance", || {
            for ((name, before), wanted) in BOOKS.iter().zip(&before).zip(wanted) {
                let grown = sum(self, name)? - before;
                anyhow::ensure!(grown == wanted, "{name} grew by {grown}, not {wanted}");
            }
            Ok(())
        });
        if let Err(problem) = balanced {
            self.report.problem(format!("{problem:#}"));
        }
        Ok(())
    }

    fn close(mut self) -> anyhow::Result<Report> {
        for problem in self.resources.problems() {
            self.report.problem(problem);
        }
        self.report.resources = self.resources.to_string();
        for station in &mut self.aggregators {
            let panics = station
                .aggregator
                .metrics()?
                .count("worker_panics_total", &[]);
            if panics > 0 {
                self.report.problem(format!("{panics} panics of workers"));
            }
        }
        if !self.report.is_good() {
            self.report.problem(format!(
                "logs are kept in {}",
                self.scratch.keep().display()
            ));
        }
        Ok(self.report)
    }
}
