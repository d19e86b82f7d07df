//! `make bench-load`: both programs loading into a real OpenSearch, beside ready-made bodies.

use bench::{limits::raise_file_limit, workload::Named};
use clap::Parser;
use tests::load_bench::{Options, markdown, run};

const EXAMPLES: &str = "\
Examples:
  tailrace-load-bench
      256 MiB in 10 files, two rounds of each kind of run, some minutes
  tailrace-load-bench --mib 64 --rounds 1
      a quick look; the start of the agent weighs more
  tailrace-load-bench --mib 1024 --rounds 4
      for figures that are to be kept, on a machine that does nothing else
  tailrace-load-bench --workload json --warm-up-mib 0
      an application's lines in JSON, into servers that have just started

Environment:
  TAILRACE_BIN_DIR  directory of tailrace-agent and tailrace-aggregator (`make bench-load` sets it)
  TAILRACE_CACHE    where OpenSearch is kept that was fetched once; ~/.cache/tailrace unless told
  TAILRACE_KEEP     set: directories of logs and data stay";

/// Loads container logs into a real OpenSearch with both programs at their defaults, and the very
/// same documents with a client that has the bodies ready, in turn, each time into a fresh server.
/// Prints documents a second, CPU of the store and of who sent for a document, and how near Tailrace
/// comes to the ceiling, as a Markdown table. Fails when a document is lost or doubled.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Size of the workload in MiB of log.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    mib: u64,
    /// What is in the log files.
    #[arg(long, value_enum, default_value = "mixed")]
    workload: Named,
    /// Seed of the workload.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often each kind of run is measured.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// MiB of ready-made bodies, before compression, that each server takes and forgets before it is
    /// measured, so that its compiler is done; 0 for none.
    #[arg(long, default_value_t = 512)]
    warm_up_mib: u64,
}

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    raise_file_limit()?;
    let options = Options {
        workload: args.workload,
        bytes: args.mib << 20,
        seed: args.seed,
        rounds: args.rounds,
        warm_up_bytes: args.warm_up_mib << 20,
    };
    let mut rounds = Vec::new();
    let measured = run(&options, &mut rounds);
    // What came before a failure took its time and is worth showing.
    if !rounds.is_empty() {
        print!("{}", markdown(&rounds));
    }
    measured
}
