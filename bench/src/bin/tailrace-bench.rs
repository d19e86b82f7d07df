//! Measures the programs on one workload and prints one table.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context;
use bench::{
    kubelet::Kubelet,
    null_store::Claim,
    runs::{Bench, Row, markdown},
    workload::{self, Size},
};
use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  tailrace-bench
      1 GiB in 10 files; agent alone, aggregator, both, and rsyslog where it is installed
  tailrace-bench --mib 200 --only agent --runs 3
      a quick look at the agent
  tailrace-bench --claim elasticsearch --compression gzip --ack store
      as against Elasticsearch, which takes no zstd, without the disk buffer";

/// Measures tailrace-agent and tailrace-aggregator (and rsyslog, if installed with its
/// Elasticsearch module) on generated container logs against null far ends that count every line.
/// Prints MB of log per CPU-second (user and system time of the measured processes), MB/s, peak
/// memory, and lines lost and doubled, as a Markdown table.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Size of the workload in MiB.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Number of log files.
    #[arg(long, default_value_t = 10)]
    files: usize,
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
    /// Compression of bulk bodies: auto, gzip, zstd or none.
    #[arg(long, default_value = "auto")]
    compression: String,
    /// When the aggregator acknowledges: buffer or store.
    #[arg(long, default_value = "buffer")]
    ack: String,
    /// Whom the null store claims to be.
    #[arg(long, value_enum, default_value = "opensearch")]
    claim: ClaimArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Agent,
    Both,
    Rsyslog,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClaimArg {
    Opensearch,
    Elasticsearch,
}

#[expect(
    clippy::print_stderr,
    reason = "a command-line program shows its progress on stderr"
)]
#[expect(clippy::print_stdout, reason = "the table is this program's output")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let scratch = Scratch::new()?;
    let logs = scratch.0.join("logs");
    let mut kubelet = Kubelet::new(&logs, args.seed).context("cannot create the workload")?;
    let size = Size {
        bytes: args.mib << 20,
        files: args.files.max(1),
        rotate_at: None,
        seed: args.seed,
    };
    let workload = workload::write(&mut kubelet, size, |bytes| {
        eprint!(
            "\rwriting the workload: {} of {} MiB",
            bytes >> 20,
            args.mib
        );
    })?;
    eprintln!(
        "\rworkload: {} bytes, {} lines, {} events in {} files, seed {}",
        workload.bytes, workload.lines, workload.events, args.files, args.seed
    );
    let bench = Bench {
        workload: &workload,
        glob: kubelet.glob(),
        root: logs,
        bin_dir: args.bin_dir.clone().map_or_else(own_dir, Ok)?,
        scratch: scratch.0.clone(),
        agent_compression: args.agent_compression.clone(),
        bulk_compression: args.compression.clone(),
        ack: args.ack.clone(),
        claim: match args.claim {
            ClaimArg::Opensearch => Claim::OpenSearch,
            ClaimArg::Elasticsearch => Claim::Elasticsearch,
        },
    };
    let wanted = |what: What| args.only.is_empty() || args.only.contains(&what);
    let mut rows = Vec::new();
    if wanted(What::Agent) {
        eprintln!("measuring the agent alone");
        rows.extend(median(args.runs, || Ok(vec![bench.agent_alone()?]))?);
    }
    if wanted(What::Both) {
        eprintln!("measuring the aggregator, and both together");
        rows.extend(median(args.runs, || Ok(bench.both()?.to_vec()))?);
    }
    if wanted(What::Rsyslog) {
        eprintln!("measuring rsyslog");
        let measured = median(args.runs, || Ok(bench.rsyslog()?.into_iter().collect()))?;
        if measured.is_empty() {
            eprintln!(
                "rsyslog is skipped: not installed (packages rsyslog, rsyslog-elasticsearch)"
            );
        }
        rows.extend(measured);
    }
    print!("{}", markdown(&rows));
    Ok(())
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
