//! Other software in the laboratory: rsyslog carries the same logs into the same store through the
//! same faults, in the same order, as far as they can be made for it.
//!
//! A line of a file is what is counted: rsyslog joins neither partial lines nor traces, so that
//! every physical line, unique by its time, should be one document.

use std::{
    collections::HashMap,
    fmt, fs,
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use bench::{
    container_log::{Rotation, read_rotated},
    kubelet::{Container, Kubelet},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Options, strikes::STRIKES};
use crate::{
    documents::Documents,
    gate::{Gate, Spell},
    process::Process,
    proxy::{Fault, Proxy},
    scratch::Scratch,
    server::{Product, Server},
    verdict::text,
    wait,
    writer::{Pace, Writer},
};

const INDEX: &str = "peer";
/// Nothing more comes after so long without anything new.
const QUIET: Duration = Duration::from_secs(45);
/// How long a SIGTERM may take.
const END: Duration = Duration::from_secs(30);

/// What came of a peer's run.
#[derive(Debug, Clone, Default)]
pub struct PeerReport {
    seed: u64,
    took: Duration,
    /// Faults that were made, and those that do not exist for it.
    n_faults: usize,
    n_skipped: usize,
    /// Lines in the files.
    pub written: usize,
    /// Lines that did not come.
    pub lost: usize,
    /// Lines that came more than once.
    pub doubled: usize,
    /// Documents that say what no line does.
    pub strangers: usize,
}

impl fmt::Display for PeerReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "rsyslog: seed {}, {} s, {} faults, {} that cannot be made for it\n\
             lines: {} written, {} lost, {} doubled, {} documents say something else",
            self.seed,
            self.took.as_secs(),
            self.n_faults,
            self.n_skipped,
            self.written,
            self.lost,
            self.doubled,
            self.strangers
        )
    }
}

/// Whether rsyslog with its output for Elasticsearch is here.
pub fn has_rsyslog() -> bool {
    let found = Command::new("rsyslogd").arg("-v").output();
    let modules = [
        "/usr/lib/x86_64-linux-gnu/rsyslog",
        "/usr/lib/aarch64-linux-gnu/rsyslog",
        "/usr/lib/rsyslog",
        "/usr/lib64/rsyslog",
    ];
    found.is_ok_and(|output| output.status.success())
        && modules
            .iter()
            .any(|dir| PathBuf::from(dir).join("omelasticsearch.so").exists())
}

/// Runs rsyslog through the faults of a seed.
///
/// # Errors
/// When the laboratory itself does not work.
pub fn run_peer(options: Options) -> anyhow::Result<PeerReport> {
    anyhow::ensure!(
        has_rsyslog(),
        "rsyslog is not installed (Debian: rsyslog rsyslog-elasticsearch)"
    );
    let mut laboratory = PeerLaboratory::build(options)?;
    let started = SystemTime::now();
    let containers = (0..4)
        .map(|idx| laboratory.container(idx))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let writer = Writer::start(
        containers,
        Pace {
            events_per_second: options.events_per_second,
            rotate_every: options.events_per_second.max(50),
        },
    );
    while started.elapsed().unwrap_or_default() < options.length {
        let (name, _) = STRIKES[laboratory.order.usize(..STRIKES.len())];
        match laboratory.strike(name)? {
            true => laboratory.report.n_faults += 1,
            false => laboratory.report.n_skipped += 1,
        }
        wait::let_pass(options.calm);
    }
    laboratory.report.took = started.elapsed().unwrap_or_default();
    let containers = writer.finish()?;
    laboratory.judge(&containers)
}

struct PeerLaboratory {
    /// As in the other laboratory: which fault comes next.
    order: fastrand::Rng,
    rng: fastrand::Rng,
    kubelet: Kubelet,
    documents: Documents,
    server: Server,
    gate: Gate,
    proxy: Proxy,
    config: PathBuf,
    process: Option<Process>,
    report: PeerReport,
    scratch: Scratch,
}

impl PeerLaboratory {
    fn build(options: Options) -> anyhow::Result<Self> {
        let scratch = Scratch::new("peer")?;
        let server = Server::start(Product::OpenSearch)?;
        let gate = Gate::start(server.port(), "/_bulk")?;
        let proxy = Proxy::start(gate.port())?;
        let kubelet = Kubelet::new(&scratch.path().join("log"), options.seed)?;
        let work = scratch.path().join("work");
        fs::create_dir_all(&work).context("cannot create rsyslog's directory")?;
        let config = scratch.path().join("rsyslog.conf");
        fs::write(&config, configuration(&kubelet, &proxy, &work))
            .context("cannot write rsyslog's configuration")?;
        let settings = json!({"mappings": {"properties": {
            "message": {"type": "keyword", "ignore_above": 100}, "file": {"type": "keyword"}}}});
        server.http().json("PUT", &format!("/{INDEX}"), &settings)?;
        let mut laboratory = Self {
            order: fastrand::Rng::with_seed(options.seed),
            rng: fastrand::Rng::with_seed(!options.seed),
            kubelet,
            documents: server.documents(),
            server,
            gate,
            proxy,
            config,
            process: None,
            report: PeerReport {
                seed: options.seed,
                ..PeerReport::default()
            },
            scratch,
        };
        laboratory.start()?;
        Ok(laboratory)
    }

    fn container(&mut self, idx: u32) -> anyhow::Result<Container> {
        let pod = format!("pod-{idx}");
        let mut made = self.kubelet.container("shop", &pod, "c")?;
        made.log.set_rotation(Rotation::Kubelet, 10_000);
        Ok(made)
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new("rsyslogd");
        // A kill -9 leaves the file, and the next start would refuse.
        let pid = self.scratch.path().join("rsyslog.pid");
        fs::remove_file(&pid).ok();
        command
            .arg("-n")
            .arg("-f")
            .arg(&self.config)
            .arg("-i")
            .arg(pid);
        let log = self.scratch.path().join("rsyslog.log");
        self.process = Some(Process::start("rsyslogd", &mut command, &log)?);
        Ok(())
    }

    fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("rsyslog does not run")
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.process()?.kill()?;
        self.process = None;
        Ok(())
    }

    fn last(&mut self, most_ms: u64) {
        wait::let_pass(Duration::from_millis(self.rng.u64(most_ms / 4..most_ms)));
    }

    /// Makes a fault and undoes it; false when there is none of the name for it.
    fn strike(&mut self, name: &str) -> anyhow::Result<bool> {
        let spell = match name {
            "bulk: 429" => Some((Spell::Refuse(429), 1)),
            "bulk: 503" => Some((Spell::Refuse(503), 2)),
            "bulk: 502 after it was taken" => Some((Spell::AnswerInstead(502), 2)),
            "bulk: answer lost" => Some((Spell::Lose, 2)),
            "bulk: answer cut off" => Some((Spell::Truncate, 2)),
            "bulk: answer is no JSON" => Some((Spell::NotJson, 2)),
            "bulk: answer lacks an item" => Some((Spell::WrongCount, 2)),
            "bulk: delivered twice" => Some((Spell::Twice, 1)),
            "bulk: items 429" => Some((Spell::RefuseItems(429), 1)),
            "bulk: items 503" => Some((Spell::RefuseItems(503), 2)),
            "bulk: 413" => Some((Spell::TooLarge(150_000), 1)),
            _ => None,
        };
        if let Some((spell, every)) = spell {
            self.gate.strike(spell, every, u64::MAX);
            self.last(2_000);
            self.gate.heal();
            return Ok(true);
        }
        match name {
            "agent: kill -9" | "all programs: kill -9" => {
                self.kill()?;
                self.start()?;
            }
            "agent: away through rotations" => {
                self.kill()?;
                self.last(5_000);
                self.start()?;
            }
            "agent: SIGTERM" => {
                self.process()?.terminate(END)?;
                self.start()?;
            }
            "agent: SIGTERM, then kill -9" => {
                self.process()?.signal(Signal::TERM)?;
                self.kill()?;
                self.start()?;
            }
            "agent: stands still" => {
                self.process()?.signal(Signal::STOP)?;
                self.last(4_000);
                self.process()?.signal(Signal::CONT)?;
            }
            "store: kill -9" => {
                self.server.kill()?;
                self.server.start_again()?;
            }
            "store: stands still" => {
                self.server.pause()?;
                self.last(5_000);
                self.server.resume()?;
            }
            "store: write block" => {
                let block = |value: Value| json!({"index.blocks.write": value});
                self.documents.put_settings(INDEX, &block(true.into()))?;
                self.last(2_000);
                self.documents.put_settings(INDEX, &block(Value::Null))?;
            }
            "network to the store: cut" => self.proxy.cut(),
            "network to the store: refused" => {
                self.proxy.refuse();
                self.last(3_000);
                self.proxy.accept()?;
            }
            "network to the store: half open" => {
                self.proxy.set(Fault::Silent);
                self.last(5_000);
                self.proxy.set(Fault::None);
            }
            "network to the store: slow" => {
                self.proxy.set(Fault::Slow {
                    bytes_per_second: 50_000,
                });
                self.last(3_000);
                self.proxy.set(Fault::None);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn judge(mut self, containers: &[Container]) -> anyhow::Result<PeerReport> {
        let mut lines: HashMap<String, usize> = HashMap::new();
        for container in containers {
            let mut files = container.log.rotated()?;
            files.push(container.log.path().to_owned());
            for file in files {
                let bytes = read_rotated(&file).context("cannot read a log file back")?;
                for line in String::from_utf8_lossy(&bytes).lines() {
                    lines.insert(line.to_owned(), 0);
                }
            }
        }
        self.report.written = lines.len();
        let mut seen = 0;
        let mut since = SystemTime::now();
        while since.elapsed().unwrap_or_default() < QUIET {
            let now = self.documents.count(INDEX, "*")?;
            if now != seen {
                seen = now;
                since = SystemTime::now();
            }
            if now as usize == self.report.written {
                break;
            }
            wait::let_pass(Duration::from_secs(1));
        }
        for hit in self.documents.all(INDEX)? {
            match lines.get_mut(text(&hit["_source"], "message")) {
                Some(count) => *count += 1,
                None => self.report.strangers += 1,
            }
        }
        self.report.lost = lines.values().filter(|count| **count == 0).count();
        self.report.doubled = lines.values().filter(|count| **count > 1).count();
        Ok(self.report)
    }
}

/// As reliable as its manual says it can be made: a queue on disk that is kept over a stop, endless
/// retries, single documents retried.
fn configuration(kubelet: &Kubelet, proxy: &Proxy, work: &std::path::Path) -> String {
    format!(
        r#"global(workDirectory="{work}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
module(load="omelasticsearch")
template(name="doc" type="list" option.jsonf="on") {{
    property(outname="message" name="msg" format="jsonf")
    property(outname="file" name="$!metadata!filename" format="jsonf")
}}
input(type="imfile" file="{glob}" tag="peer" addMetadata="on" reopenOnTruncate="on" ruleset="out")
ruleset(name="out") {{
    action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" template="doc"
        searchIndex="{INDEX}" searchType="" bulkmode="on" maxbytes="1m" retryfailures="on"
        retryruleset="out" errorFile="{work}/errors"
        queue.type="LinkedList" queue.filename="out" queue.size="100000" queue.maxDiskSpace="1g"
        queue.saveOnShutdown="on" queue.syncQueueFiles="on" queue.dequeueBatchSize="1000"
        action.resumeRetryCount="-1" action.resumeInterval="1" action.resumeIntervalMax="5")
}}
"#,
        work = work.display(),
        glob = kubelet.glob(),
        port = proxy.port(),
    )
}
