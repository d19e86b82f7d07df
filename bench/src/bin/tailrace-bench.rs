//! Measures the programs on one workload or several, and prints one table.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use bench::{
    idle::{self, Quiet},
    kubelet::Kubelet,
    latency::Pace,
    null_store::Claim,
    peers::{Level, PEERS, Peer},
    runs::{Bench, Row, markdown},
    workload::{self, Named, Size, Workload},
};
use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that a program may have: far more than any workload has, and not so many that
/// daemons which close all of them at their start take long for it.
const MOST_FILES: u64 = 65_536;

const EXAMPLES: &str = "\
Examples:
  tailrace-bench
      1 GiB in 10 files; agent alone, aggregator, both, and the peers that are installed
  tailrace-bench --mib 200 --only agent --runs 3
      a quick look at the agent
  tailrace-bench --claim elasticsearch --compression gzip --ack store
      as against Elasticsearch, which takes no zstd, without the disk buffer
  tailrace-bench --only both,fluent-bit --levels s2 --compression none,gzip
      Fluent Bit beside both programs, parsing, with and without gzip
  tailrace-bench --full --mib 256
      everything there is, on a quarter of the data
  tailrace-bench --latency
  tailrace-bench --idle
      how late a line comes; what an agent costs that has nothing to do";

/// Measures tailrace-agent and tailrace-aggregator on generated container logs against null far
/// ends that count every line, and beside them the peers whose programs are on the PATH: rsyslog,
/// Fluent Bit, Vector, Filebeat, the OpenTelemetry Collector, vlagent, syslog-ng. Prints MB of log
/// per CPU-second (user and system time of the measured processes), MB/s, peak memory, and lines
/// lost and doubled, as a Markdown table.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Size of each workload in MiB.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// What to measure on; mixed unless told.
    #[arg(long, value_enum, value_delimiter = ',')]
    workload: Vec<Named>,
    /// Number of log files; as many as the workload has, unless told.
    #[arg(long)]
    files: Option<usize>,
    /// All workloads, levels and compressions, but for those that are named. Takes hours with all
    /// peers.
    #[arg(long)]
    full: bool,
    /// How late lines come, instead: 1,000 a second in one file, both programs at their defaults.
    #[arg(long, conflicts_with_all = ["full", "idle"])]
    latency: bool,
    /// What an agent costs that has next to nothing to do, instead: 100 files with 10 lines a
    /// second in all, and 10,000 quiet ones.
    #[arg(long, conflicts_with = "full")]
    idle: bool,
    /// Seed of the workload.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What to measure; everything unless told.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Runs of each; the median by CPU time is shown.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Directory of the binaries; where this program is, unless told.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// Compression of the agent's batches: zstd or gzip.
    #[arg(long, default_value = "zstd")]
    agent_compression: String,
    /// Compression of bulk bodies: auto, gzip, zstd or none, or several of them; auto unless told.
    /// With auto, peers do what costs them the least.
    #[arg(long, value_delimiter = ',')]
    compression: Vec<String>,
    /// What is done with lines: s1, shipped as they are; s2, parsed and joined.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "s1,s2")]
    levels: Vec<Level>,
    /// When the aggregator acknowledges: buffer or store.
    #[arg(long, default_value = "buffer")]
    ack: String,
    /// Whom the null store claims to be.
    #[arg(long, value_enum, default_value = "opensearch")]
    claim: ClaimArg,
}

impl Args {
    /// Fills in what was not told.
    fn complete(&mut self) {
        if self.workload.is_empty() {
            self.workload = match self.full {
                true => Named::ALL.to_vec(),
                false => vec![Named::Mixed],
            };
        }
        if self.compression.is_empty() {
            let all: &[&str] = match self.full {
                true => &["auto", "none", "gzip"],
                false => &["auto"],
            };
            self.compression = all.iter().map(|name| (*name).to_owned()).collect();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Agent,
    Both,
    OneProcess,
    Peers,
    Rsyslog,
    FluentBit,
    Vector,
    Filebeat,
    Otelcol,
    Vlagent,
    SyslogNg,
}

impl What {
    fn is(self, peer: &Peer) -> bool {
        let value = self.to_possible_value();
        self == Self::Peers || value.is_some_and(|value| value.get_name() == peer.name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClaimArg {
    Opensearch,
    Elasticsearch,
}

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    args.complete();
    raise_file_limit()?;
    let scratch = Scratch::new()?;
    if args.latency {
        return measure_latency(&args, &scratch.0);
    }
    if args.idle {
        return measure_idle(&args, &scratch.0);
    }
    let mut rows = Vec::new();
    let measured = measure_all(&args, &scratch.0, &mut rows);
    // What came before a failure took its time and is worth showing.
    if !rows.is_empty() {
        print!("{}", markdown(&rows));
    }
    measured
}

/// As a service manager would: those who keep all files of a workload open need more than a shell
/// gives. What is started inherits it.
fn raise_file_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(MOST_FILES).min(MOST_FILES);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
    }
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "a command-line program shows its progress on stderr"
)]
fn tell(what: fmt::Arguments<'_>) {
    eprintln!("{what}");
}

/// How many lines tell how late they come: 20 s of them.
const LATE_LINES: u32 = 20_000;

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
fn measure_latency(args: &Args, scratch: &Path) -> anyhow::Result<()> {
    let pace = Pace {
        lines_per_second: 1_000,
        lines: LATE_LINES,
    };
    tell(format_args!("writing {LATE_LINES} lines, 1,000 a second"));
    let latency = without_workload(args, scratch, |bench, kubelet| bench.latency(kubelet, pace))?;
    print!("{}", latency.markdown("both, at their defaults", pace));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
fn measure_idle(args: &Args, scratch: &Path) -> anyhow::Result<()> {
    let span = Duration::from_secs(60);
    let mut rows = Vec::new();
    for (files, lines_per_second) in [(100, 10), (10_000, 0)] {
        let quiet = Quiet {
            files,
            lines_per_second,
            span,
        };
        tell(format_args!(
            "watching an agent over {files} files for a minute"
        ));
        let idle = without_workload(args, scratch, |bench, kubelet| bench.idle(kubelet, quiet))?;
        rows.push((quiet, idle));
    }
    print!("{}", idle::markdown(&rows));
    Ok(())
}

/// Runs `measure` on a node whose log files it makes itself.
fn without_workload<T>(
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
        measure_on(args, *named, &peers, scratch, rows)?;
    }
    Ok(())
}

/// Writes a workload, measures everything on it, and removes it.
#[expect(
    clippy::print_stderr,
    reason = "a command-line program shows its progress on stderr"
)]
fn measure_on(
    args: &Args,
    named: Named,
    peers: &[(&'static Peer, PathBuf)],
    scratch: &Path,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let name = named.name();
    let logs = scratch.join("logs");
    let mut kubelet = Kubelet::new(&logs, args.seed).context("cannot create the workload")?;
    let size = Size {
        bytes: args.mib << 20,
        files: args.files.unwrap_or(named.files()).max(1),
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
        workload.bytes, workload.lines, workload.events, size.files, args.seed
    );
    // Each holds its file open.
    workload.containers.clear();
    let bench = bench_of(args, name, &workload, kubelet.glob(), &logs, scratch)?;
    measure(args, &bench, peers, rows)?;
    // The page cache is for the next one.
    std::fs::remove_dir_all(&logs).context("cannot remove the workload")
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
    mut measure: impl FnMut() -> anyhow::Result<Vec<Row>>,
) -> anyhow::Result<Vec<Row>> {
    let mut all = Vec::new();
    for _ in 0..runs.max(1) {
        all.push(measure()?);
    }
    let n_rows = all.first().map_or(0, Vec::len);
    let rows = (0..n_rows).filter_map(|idx| {
        let mut of_row: Vec<&Row> = all.iter().filter_map(|rows| rows.get(idx)).collect();
        of_row.sort_by_key(|row| row.usage.cpu());
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
