//! `make run`: the whole path on one machine, to look at.
//!
//! Logs of this machine when it has `/var/log/containers`, else those of a made-up shop; both
//! programs; Elasticsearch at `ELASTICSEARCH_URL`, else the aggregator's own store. Prints one line
//! a second and how to look at it. A program that ends, by `kill -9` for example, is started again.
//! Ctrl-C lets everything arrive and stops all that was started, by process id.

mod figures;
mod parts;
mod service;

use std::{
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, TrySendError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use tests::{program::bin_dir, scratch::Scratch};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    figures::Figures,
    parts::{DATA_STREAM, Parts},
};

/// How long a program may take to be ready, to have done what is left, and to stop.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two live lines.
const TICK: Duration = Duration::from_secs(1);

/// Carries container logs of this machine, or of a made-up shop where there are none, into the
/// aggregator's own store, or to Elasticsearch or OpenSearch at $ELASTICSEARCH_URL.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Events a second of the made-up shop.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Make up the shop also where this machine has container logs.
    #[arg(long)]
    shop: bool,
    /// Stop by itself after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

#[expect(clippy::print_stdout, reason = "what this program is for")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let stop = signals()?;
    let mut scratch = Scratch::new("run")?;
    let mut parts = Parts::start(&args, scratch.path())?;
    println!("{}", hints(&parts, scratch.path()));
    let mut figures = parts.figures();
    let outcome = watch(&mut parts, &mut figures, &stop, args.seconds);
    println!("stopping");
    match &outcome {
        Ok(()) => {
            if let Err(error) = parts.drain(&mut figures, &stop) {
                println!("  {error:#}");
            }
            println!("{}", figures.summary());
        }
        // Its log and its data tell more.
        Err(_) => {
            scratch.keep();
        }
    }
    parts.stop();
    outcome
}

/// What tells of each Ctrl-C and SIGTERM.
fn signals() -> anyhow::Result<Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let on = |kind| {
        let _entered = runtime.enter();
        signal(kind).context("cannot listen to signals")
    };
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut terminate = on(SignalKind::terminate())?;
    let (sender, stop) = mpsc::sync_channel(1);
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                // One that nobody has taken yet stands for all.
                if let Err(TrySendError::Disconnected(())) = sender.try_send(()) {
                    return;
                }
            }
        });
    });
    Ok(stop)
}

/// What there is to look at, and to try.
fn hints(parts: &Parts, dir: &Path) -> String {
    let mut hints = String::from("\nLook at it, in another terminal:\n");
    let bin = bin_dir().join("tailrace-aggregator");
    let aggregator = parts.aggregator.http();
    let (bin, address) = (bin.display(), aggregator.url());
    if aggregator.get("/").is_ok_and(|reply| reply.status == 200) {
        hints.push_str(&format!("  the page: {address}/\n"));
    }
    if let Some(url) = &parts.store_url {
        let url = url.trim_end_matches('/');
        hints.push_str(&format!(
            "  curl -s '{url}/{DATA_STREAM}/_search?size=1&sort=@timestamp:desc&pretty'\n  \
             curl -s '{url}/{DATA_STREAM}/_count?q=log.level:error'\n  \
             curl -s '{url}/{DATA_STREAM}/_search?q=message:payment&size=2&pretty'\n"
        ));
    }
    hints.push_str(&format!(
        "  {bin} status --address {address}\n  \
         {bin} audit --config {config}\n  \
         curl -s {agent}/metrics\n\
         Kill one: nothing is lost, it is started again, and the lines are all there:\n  \
         kill -9 {aggregator_pid}  # the aggregator\n  \
         kill -9 {agent_pid}  # the agent\n\
         Ctrl-C stops everything.\n",
        address = address.trim_start_matches("http://"),
        config = dir.join("aggregator.yaml").display(),
        agent = parts.agent.http().url(),
        aggregator_pid = parts.aggregator.pid(),
        agent_pid = parts.agent.pid(),
    ));
    hints
}

/// Prints a line a second until Ctrl-C, and starts again what ends, as often as that may be.
#[expect(clippy::print_stdout, reason = "what this program is for")]
fn watch(
    parts: &mut Parts,
    figures: &mut Figures,
    stop: &Receiver<()>,
    seconds: Option<u64>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        match stop.recv_timeout(TICK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        parts.revive(figures)?;
        println!("{}", figures.live_line());
        if seconds.is_some_and(|seconds| started.elapsed().as_secs() >= seconds) {
            return Ok(());
        }
    }
}
