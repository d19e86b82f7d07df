//! Measures the programs on one workload or several, and prints one table.

mod args;
mod instead;

use std::{
    env, fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use bench::{
    kubelet::Kubelet,
    limits::raise_file_limit,
    null_store::Claim,
    peers::{Level, PEERS, Peer},
    runs::{Bench, Row, markdown},
    workload::{self, Named, Size, Workload},
};
use clap::Parser;

use args::{Args, ClaimArg, What};

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    args.complete();
    raise_file_limit()?;
    let scratch = Scratch::new()?;
    if args.latency {
        return instead::measure_latency(&args, &scratch.0);
    }
    if args.idle {
        return instead::measure_idle(&args, &scratch.0);
    }
    if args.scaling {
        return instead::measure_scaling(&args, &scratch.0);
    }
    if args.flat {
        return instead::measure_flat(&args, &scratch.0);
    }
    let mut rows = Vec::new();
    let measured = measure_all(&args, &scratch.0, &mut rows);
    // What came before a failure took its time and is worth showing.
    if !rows.is_empty() {
        print!("{}", markdown(&rows));
    }
    measured
}

#[expect(
    clippy::print_stderr,
    reason = "a command-line program shows its progress on stderr"
)]
pub(crate) fn tell(what: fmt::Arguments<'_>) {
    eprintln!("{what}");
}

/// Runs `measure` on a node whose log files it makes itself.
pub(crate) fn without_workload<T>(
    args: &Args,
    scratch: &Path,
    measure: impl FnOnce(&Bench<'_>, &mut Kubelet) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let logs = scratch.join("logs");
    let mut kubelet = Kubelet::new(&logs, args.seed).context("cannot create the log files")?;
    let none = Workload {
        bytes: 0,
        markers: 0,
        lines: 0,
        events: 0,
        containers: Vec::new(),
    };
    let glob = kubelet.glob();
    let bench = bench_of(args, "–", &none, glob, &logs, scratch)?;
    let measured = measure(&bench, &mut kubelet)?;
    std::fs::remove_dir_all(&logs).context("cannot remove the log files")?;
    Ok(measured)
}

fn bench_of<'a>(
    args: &Args,
    name: &'static str,
    workload: &'a Workload,
    glob: String,
    logs: &Path,
    scratch: &Path,
) -> anyhow::Result<Bench<'a>> {
    Ok(Bench {
        name,
        workload,
        glob,
        root: logs.to_owned(),
        bin_dir: args.bin_dir.clone().map_or_else(own_dir, Ok)?,
        scratch: scratch.to_owned(),
        agent_compression: args.agent_compression.clone(),
        in_flight: None,
        workers: None,
        ack: args.ack.clone(),
        claim: match args.claim {
            ClaimArg::Opensearch => Claim::OpenSearch,
            ClaimArg::Elasticsearch => Claim::Elasticsearch,
        },
    })
}

fn measure_all(args: &Args, scratch: &Path, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let peers = wanted_peers(args);
    for named in &args.workload {
        on_workload(args, *named, args.files_of(*named), scratch, |bench| {
            measure(args, bench, &peers, rows)
        })?;
    }
    Ok(())
}

/// Writes a workload in so many files, runs `measure` on it, and removes it.
#[expect(
    clippy::print_stderr,
    reason = "a command-line program shows its progress on stderr"
)]
pub(crate) fn on_workload<T>(
    args: &Args,
    named: Named,
    files: usize,
    scratch: &Path,
    measure: impl FnOnce(&Bench<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let name = named.name();
    let logs = scratch.join("logs");
    let mut kubelet = Kubelet::new(&logs, args.seed).context("cannot create the workload")?;
    let size = Size {
        bytes: args.mib << 20,
        files,
        rotate_at: None,
        seed: args.seed,
        mix: named.mix(),
    };
    let mut workload = workload::write(&mut kubelet, size, |bytes| {
        eprint!(
            "\rwriting the workload {name}: {} of {} MiB",
            bytes >> 20,
            args.mib
        );
    })?;
    eprintln!(
        "\rworkload {name}: {} bytes, {} lines, {} events in {} files, seed {}",
        workload.bytes, workload.lines, workload.events, files, args.seed
    );
    // Each holds its file open.
    workload.containers.clear();
    let bench = bench_of(args, name, &workload, kubelet.glob(), &logs, scratch)?;
    let measured = measure(&bench)?;
    // The page cache is for the next one.
    std::fs::remove_dir_all(&logs).context("cannot remove the workload")?;
    Ok(measured)
}

/// Measures everything on one workload.
fn measure(
    args: &Args,
    bench: &Bench<'_>,
    peers: &[(&'static Peer, PathBuf)],
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let wanted = |what: What| args.only.is_empty() || args.only.contains(&what);
    if wanted(What::Agent) {
        tell(format_args!("{}: measuring the agent alone", bench.name));
        rows.extend(median(args.runs, || Ok(vec![bench.agent_alone()?]))?);
    }
    for level in &args.levels {
        for compression in &args.compression {
            if wanted(What::Both) {
                tell(format_args!(
                    "{}: measuring the aggregator, and both together: {}, {compression}",
                    bench.name,
                    level.name()
                ));
                rows.extend(median(args.runs, || {
                    Ok(bench.both(*level, compression)?.to_vec())
                })?);
            }
            if wanted(What::OneProcess) {
                tell(format_args!(
                    "{}: measuring one process: {}, {compression}",
                    bench.name,
                    level.name()
                ));
                rows.extend(median(args.runs, || {
                    Ok(vec![bench.one_process(*level, compression)?])
                })?);
            }
        }
        for (peer, program) in peers {
            measure_peer(args, bench, peer, program, *level, rows);
        }
    }
    Ok(())
}

/// Measures a peer with each compression that is wanted and that it has. What it fails by is told,
/// and costs nobody else the run.
fn measure_peer(
    args: &Args,
    bench: &Bench<'_>,
    peer: &Peer,
    program: &Path,
    level: Level,
    rows: &mut Vec<Row>,
) {
    let name = peer.name;
    if peer.template(level).is_none() {
        tell(format_args!("{name} does not do {}", level.name()));
        return;
    }
    let mut done = Vec::new();
    for wanted in &args.compression {
        let Some(compression) = peer.compression(wanted) else {
            tell(format_args!("{name} does not compress by {wanted}"));
            continue;
        };
        // `auto` is one of the others for a peer.
        if done.contains(&compression.name) {
            continue;
        }
        done.push(compression.name);
        tell(format_args!(
            "{}: measuring {name}: {}, {}",
            bench.name,
            level.name(),
            compression.name
        ));
        let measured = median(args.runs, || {
            Ok(vec![bench.peer(peer, program, level, compression)?])
        });
        match measured {
            Ok(measured) => rows.extend(measured),
            Err(error) => tell(format_args!("{name} is left out: {error:#}")),
        }
    }
}

/// The peers that are wanted and here; those that are not here are named.
fn wanted_peers(args: &Args) -> Vec<(&'static Peer, PathBuf)> {
    let mut found = Vec::new();
    for peer in PEERS {
        if !args.only.is_empty() && !args.only.iter().any(|what| what.is(peer)) {
            continue;
        }
        match peer.find() {
            Some(program) => found.push((peer, program)),
            None => {
                let programs = peer.programs.join(", ");
                tell(format_args!(
                    "{} is skipped: not on the PATH ({programs})",
                    peer.name
                ));
            }
        }
    }
    found
}

/// Measures several times; of each row the run with the median CPU time is kept.
fn median(
    runs: usize,
    measure: impl FnMut() -> anyhow::Result<Vec<Row>>,
) -> anyhow::Result<Vec<Row>> {
    median_by(runs, |row: &Row| row.usage.cpu(), measure)
}

/// As [`median`], of rows that tell their CPU time by `cpu`.
pub(crate) fn median_by<T: Clone>(
    runs: usize,
    cpu: impl Fn(&T) -> Duration,
    mut measure: impl FnMut() -> anyhow::Result<Vec<T>>,
) -> anyhow::Result<Vec<T>> {
    let mut all = Vec::new();
    for _ in 0..runs.max(1) {
        all.push(measure()?);
    }
    let n_rows = all.first().map_or(0, Vec::len);
    let rows = (0..n_rows).filter_map(|idx| {
        let mut of_row: Vec<&T> = all.iter().filter_map(|rows| rows.get(idx)).collect();
        of_row.sort_by_key(|&row| cpu(row));
        of_row.get(of_row.len() / 2).map(|row| (*row).clone())
    });
    Ok(rows.collect())
}

fn own_dir() -> anyhow::Result<PathBuf> {
    let exe = env::current_exe().context("cannot tell where this program is")?;
    Ok(exe.parent().unwrap_or(Path::new(".")).to_owned())
}

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let dir = env::temp_dir().join(format!("tailrace-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).context("cannot create a temporary directory")?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing else can be done about it; it lies under the temporary directory.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
