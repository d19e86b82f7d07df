//! What an agent costs that has next to nothing to do: many quiet files, a few lines a second.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::{
    container_log::Iostream,
    kubelet::Kubelet,
    null_aggregator::NullAggregator,
    runs::{Bench, pause_until},
};

/// How much there is to do.
#[derive(Debug, Clone, Copy)]
pub struct Quiet {
    /// Files, each of one container.
    pub files: usize,
    /// Lines a second in all of them together; 0: nothing happens.
    pub lines_per_second: u32,
    /// How long.
    pub span: Duration,
}

/// What the agent used.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// CPU time over wall time: 1 is a core.
    pub cores: f64,
    /// Resident memory at the end, in bytes.
    pub rss: u64,
    /// The most there ever was.
    pub peak_rss: u64,
}

/// What happens at the start is not idleness: files are found and read to their ends.
const SETTLE: Duration = Duration::from_secs(5);

impl Bench<'_> {
    /// The agent alone, before a null aggregator.
    pub fn idle(&self, kubelet: &mut Kubelet, quiet: Quiet) -> anyhow::Result<Idle> {
        let far_end = NullAggregator::start(None)?;
        let dir = self.fresh_dir("idle")?;
        let mut containers = Vec::with_capacity(quiet.files);
        for idx in 0..quiet.files {
            let mut container = kubelet
                .container("shop", &format!("quiet-{idx}"), "web")
                .context("cannot create a log file")?;
            container
                .log
                .line(Iostream::Stdout, b"started")
                .context("cannot write a log file")?;
            containers.push(container);
        }
        let mut agent = self.start_agent(&dir, &far_end.url())?;
        pause_until(Instant::now() + SETTLE);
        let before = agent.usage()?;
        let begin = Instant::now();
        let lines = u64::from(quiet.lines_per_second) * quiet.span.as_secs();
        for number in 0..lines {
            let due = number as f64 / f64::from(quiet.lines_per_second);
            pause_until(begin + Duration::from_secs_f64(due));
            let idx = (number % quiet.files as u64) as usize;
            containers[idx]
                .log
                .line(Iostream::Stdout, b"GET /healthz 200")
                .context("cannot write a log file")?;
        }
        pause_until(begin + quiet.span);
        agent.check_alive()?;
        let now = agent.usage()?;
        Ok(Idle {
            cores: now.since(&before).cpu().as_secs_f64() / begin.elapsed().as_secs_f64(),
            rss: now.rss,
            peak_rss: now.peak_rss,
        })
    }
}

/// The rows as a Markdown table.
pub fn markdown(rows: &[(Quiet, Idle)]) -> String {
    let mut out = String::from(
        "| agent: files | lines/s in all | % of a core | RSS MiB | peak RSS MiB |\n\
         |---:|---:|---:|---:|---:|\n",
    );
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for (quiet, idle) in rows {
        out.push_str(&format!(
            "| {} | {} | {:.2} | {:.1} | {:.1} |\n",
            quiet.files,
            quiet.lines_per_second,
            idle.cores * 100.0,
            mib(idle.rss),
            mib(idle.peak_rss)
        ));
    }
    out
}
