//! What all runs have in common, and the runs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bench::{
    kubelet::Kubelet,
    null_store::{Claim, NullStore, Options as FarEnd},
    usage::Usage,
    workload::{self, Size, Workload},
};
use store::Encoding;
use tokio::runtime::Runtime;

use super::{
    Options,
    ready_made::ReadyMade,
    table::{Run, What},
    target::{NAMESPACE, Target},
    tell,
};
use crate::{
    agent::{Agent, AgentSetup},
    aggregator::{Aggregator, AggregatorSetup},
    metrics::Metrics,
    program::Program,
    wait,
};

/// Bytes before compression of bodies that are cut anew: those of the ceiling that was measured first.
const CUT_BYTES: u64 = 5_000_000;
/// Nothing arriving for so long is a failure.
const STUCK: Duration = Duration::from_secs(60);
/// Between two looks while much is missing, and near the end: looking takes of the cores.
const LOOKS: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(20)];

/// What all runs have in common.
pub(super) struct Stage {
    runtime: Runtime,
    dir: PathBuf,
    glob: String,
    logs: PathBuf,
    log_bytes: u64,
    as_made: Arc<ReadyMade>,
    /// `None` where bodies are of that size as they are made.
    cut_anew: Option<Arc<ReadyMade>>,
    warm_up_bytes: u64,
}

/// Files of a workload.
struct Logs {
    workload: Workload,
    glob: String,
    root: PathBuf,
}

/// How far a run got.
struct Loaded {
    wall: Duration,
    documents: u64,
    requests: u64,
    raw_bytes: u64,
    client: Duration,
    agent: Duration,
    aggregator: Duration,
}

impl Stage {
    /// Writes the workload below `dir`, and has bodies made of it.
    pub(super) fn new(
        options: &Options,
        dir: &Path,
        encoding: Encoding,
        runtime: Runtime,
    ) -> anyhow::Result<Self> {
        let logs = Logs::write(options, &dir.join("logs"))?;
        tell(format_args!(
            "workload {}: {} bytes, {} lines in {} files, seed {}",
            options.workload.name(),
            logs.workload.bytes,
            logs.workload.lines,
            options.workload.files(),
            options.seed
        ));
        let files = logs.make_bodies(dir)?;
        let as_made = ReadyMade::as_made(&files, encoding)?;
        tell(format_args!(
            "Tailrace makes {} documents of it, in {} bodies of {:.1} MB, and would send them as \
             {encoding:?}",
            as_made.documents,
            as_made.bodies.len(),
            as_made.mean_raw_bytes() as f64 / 1e6
        ));
        let is_cut = as_made.mean_raw_bytes().abs_diff(CUT_BYTES) * 10 <= CUT_BYTES;
        let cut_anew = match is_cut {
            true => None,
            false => {
                let cut = ReadyMade::cut(&files, encoding, CUT_BYTES as usize)?;
                ensure!(
                    cut.documents == as_made.documents,
                    "cutting loses documents"
                );
                Some(Arc::new(cut))
            }
        };
        // They are in memory now, compressed; the disk and the page cache are for the runs.
        fs::remove_dir_all(dir.join("bodies")).context("cannot remove the bodies")?;
        Ok(Self {
            runtime,
            dir: dir.to_owned(),
            glob: logs.glob,
            logs: logs.root,
            log_bytes: logs.workload.bytes,
            as_made: Arc::new(as_made),
            cut_anew,
            warm_up_bytes: options.warm_up_bytes,
        })
    }

    /// The kinds of runs that a round has.
    pub(super) fn kinds(&self) -> Vec<What> {
        let mut kinds = vec![What::AsMade, What::CutAnew, What::Tailrace];
        kinds.retain(|what| *what != What::CutAnew || self.cut_anew.is_some());
        kinds
    }

    /// Measures one run on a server of its own.
    pub(super) fn measure(&self, what: What) -> anyhow::Result<Run> {
        let dir = self.dir.join("run");
        let target = Target::start(&self.runtime)?;
        let setup = aggregator_setup(&target.url());
        let mut aggregator = Aggregator::start(&dir.join("aggregator"), &setup)?;
        target.wait_installed()?;
        let ready = match what {
            What::AsMade | What::Tailrace => &self.as_made,
            What::CutAnew => self.cut_anew.as_ref().unwrap_or(&self.as_made),
        };
        if what != What::Tailrace {
            // It was here for its templates.
            aggregator.terminate(wait::END)?;
        }
        target.warm_up(&self.runtime, ready, self.warm_up_bytes)?;
        let before = target.usage()?;
        let loaded = match what {
            What::Tailrace => self.load(&mut aggregator, &dir.join("agent"))?,
            What::AsMade | What::CutAnew => self.post(&target, ready)?,
        };
        let store_meanwhile = target.usage()?.since(&before).cpu();
        let count = target.count()?;
        ensure!(
            count == loaded.documents,
            "{count} documents are there, {} of the workload should be",
            loaded.documents
        );
        target.settle()?;
        let run = Run {
            what,
            log_bytes: self.log_bytes,
            documents: loaded.documents,
            requests: loaded.requests,
            raw_bytes: loaded.raw_bytes,
            wall: loaded.wall,
            client: loaded.client,
            agent: loaded.agent,
            aggregator: loaded.aggregator,
            store_meanwhile,
            store: target.usage()?.since(&before).cpu(),
        };
        drop(aggregator);
        fs::remove_dir_all(&dir).context("cannot remove the data of a run")?;
        Ok(run)
    }

    /// Posts bodies that are ready.
    fn post(&self, target: &Target, ready: &Arc<ReadyMade>) -> anyhow::Result<Loaded> {
        let before = Usage::of(std::process::id())?;
        let began = Instant::now();
        let refused = target.post(&self.runtime, ready, ready.bodies.len())?;
        let wall = began.elapsed();
        Ok(Loaded {
            wall,
            documents: ready.documents - refused,
            requests: ready.bodies.len() as u64,
            raw_bytes: ready.raw_bytes(),
            client: Usage::of(std::process::id())?.since(&before).cpu(),
            agent: Duration::ZERO,
            aggregator: Duration::ZERO,
        })
    }

    /// Has both programs load the log files; the aggregator runs.
    fn load(&self, aggregator: &mut Aggregator, dir: &Path) -> anyhow::Result<Loaded> {
        let setup = agent_setup(&self.glob, &self.logs, &aggregator.url());
        let mut agent = Agent::prepare(dir, &setup)?;
        let http = aggregator.http();
        let metrics = || anyhow::Ok(Metrics::parse(&http.get("/metrics")?.text()));
        let before = Usage::of_tree(aggregator.pid())?;
        let began = Instant::now();
        agent.start_again()?;
        let nearly = wait_arrived(
            &mut [&mut *agent, &mut **aggregator],
            self.as_made.documents,
            || metrics().map(|metrics| ended(&metrics)),
        )?;
        let wall = began.elapsed();
        let agent_used = Usage::of_tree(agent.pid())?.cpu();
        let aggregator_used = Usage::of_tree(aggregator.pid())?.since(&before).cpu();
        tell(format_args!(
            "99 % of the documents were there {:.1} s before the last",
            wall.saturating_sub(nearly.saturating_duration_since(began))
                .as_secs_f64()
        ));
        let metrics = metrics()?;
        for name in ["duplicate", "mended", "dead_lettered"] {
            let documents = metrics.count(&format!("store_docs_{name}_total"), &[]);
            if documents > 0 {
                tell(format_args!("store_docs_{name}_total: {documents}"));
            }
        }
        Ok(Loaded {
            wall,
            documents: self.as_made.documents,
            requests: metrics.count("store_requests_total", &[]),
            raw_bytes: metrics.count("store_sent_raw_bytes_total", &[]),
            client: Duration::ZERO,
            agent: agent_used,
            aggregator: aggregator_used,
        })
    }
}

impl Logs {
    fn write(options: &Options, root: &Path) -> anyhow::Result<Self> {
        let mut kubelet = Kubelet::new(root, options.seed).context("cannot create the workload")?;
        let size = Size {
            bytes: options.bytes,
            files: options.workload.files(),
            rotate_at: None,
            seed: options.seed,
            mix: options.workload.mix(),
        };
        let mut workload = workload::write(&mut kubelet, size, |_| ())?;
        // Each holds its file open.
        workload.containers.clear();
        Ok(Self {
            workload,
            glob: kubelet.glob(),
            root: kubelet.root().to_owned(),
        })
    }

    /// Has both programs make bodies of the files for a null store; the files that these are in.
    fn make_bodies(&self, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let far_end = NullStore::start(FarEnd {
            claim: Claim::OpenSearch,
            markers: Some(self.workload.markers),
        })?;
        far_end.keep_bodies(&dir.join("bodies"))?;
        let dir = dir.join("run");
        let setup = aggregator_setup(&far_end.url()).elasticsearch("compression", "none");
        let mut aggregator = Aggregator::start(&dir.join("aggregator"), &setup)?;
        let setup = agent_setup(&self.glob, &self.root, &aggregator.url());
        let mut agent = Agent::start(&dir.join("agent"), &setup)?;
        wait_arrived(
            &mut [&mut *agent, &mut *aggregator],
            u64::from(self.workload.markers),
            || {
                far_end
                    .arrived()
                    .context("the null store counts no markers")
            },
        )?;
        let balance = far_end
            .balance()
            .context("the null store counts no markers")?;
        ensure!(
            (balance.lost, balance.doubled, balance.strangers) == (0, 0, 0),
            "the null store got other lines than were written: {balance:?}"
        );
        drop((agent, aggregator));
        fs::remove_dir_all(&dir).context("cannot remove the data of a run")?;
        far_end.take_bodies()
    }
}

fn aggregator_setup(store: &str) -> AggregatorSetup {
    AggregatorSetup::new(store, NAMESPACE).with("log", "{level: info}")
}

fn agent_setup(glob: &str, logs: &Path, aggregator: &str) -> AgentSetup {
    AgentSetup::new(glob, aggregator)
        .files("allowed_roots", &format!("['{}']", logs.display()))
        .with("log", "{level: info}")
}

/// Documents that the aggregator need not think of any more.
fn ended(metrics: &Metrics) -> u64 {
    ["indexed", "duplicate", "dead_lettered"]
        .map(|name| metrics.count(&format!("store_docs_{name}_total"), &[]))
        .iter()
        .sum()
}

/// Waits until `arrived` says that all of `wanted` are there; when 99 % were. Fails when a program
/// ends, or when nothing moves any more.
fn wait_arrived(
    programs: &mut [&mut Program],
    wanted: u64,
    arrived: impl Fn() -> anyhow::Result<u64>,
) -> anyhow::Result<Instant> {
    let (mut last, mut moved) = (0, Instant::now());
    let mut nearly = None;
    loop {
        for program in &mut *programs {
            ensure!(
                program.is_running(),
                "a program ended by itself:\n{}",
                tail_of(&program.log_text())
            );
        }
        let now = arrived()?;
        if now != last {
            (last, moved) = (now, Instant::now());
        }
        if nearly.is_none() && now * 100 >= wanted * 99 {
            nearly = Some(Instant::now());
        }
        match nearly {
            Some(nearly) if now >= wanted => return Ok(nearly),
            _ if moved.elapsed() > STUCK => bail!("{now} of {wanted} have come, and no more come"),
            _ => {}
        }
        let [seldom, often] = LOOKS;
        wait::let_pass(match now * 20 < wanted * 19 {
            true => seldom,
            false => often,
        });
    }
}

/// The last lines of a log.
fn tail_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_documents_that_came_to_an_end_count() {
        let metrics = Metrics::parse(
            "tailrace_store_docs_indexed_total{namespace=\"shop\"} 5\n\
             tailrace_store_docs_duplicate_total{namespace=\"shop\"} 2\n\
             tailrace_store_docs_retried_total{reason=\"429\"} 9\n",
        );
        assert_eq!(ended(&metrics), 7);
    }

    #[test]
    fn waiting_ends_when_all_are_there() {
        let looks = std::cell::Cell::new(0);
        let arrived = || {
            looks.set(looks.get() + 1);
            anyhow::Ok(95 + looks.get())
        };
        wait_arrived(&mut [], 100, arrived).unwrap();
        assert_eq!(looks.get(), 5);
        let failed = wait_arrived(&mut [], 100, || Err(anyhow::anyhow!("gone")));
        assert!(failed.is_err());
    }
}
