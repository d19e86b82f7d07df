//! The command line.

use std::path::PathBuf;

use bench::{
    peers::{Level, Peer},
    workload::Named,
};
use clap::{Parser, ValueEnum, value_parser};

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
      how late a line comes; what an agent costs that has nothing to do
  tailrace-bench --scaling --mib 512 --runs 3
      the aggregator with one worker thread and with two
  tailrace-bench --flat
  tailrace-bench --flat --flat-files 10,1000 --flat-rates 100,10000 --seconds 60
      what a line costs among few files and many, at low rates and high ones";

/// Measures tailrace-agent and tailrace-aggregator on generated container logs against null far
/// ends that count every line, and beside them the peers whose programs are on the PATH: rsyslog,
/// Fluent Bit, Vector, Filebeat, the OpenTelemetry Collector, vlagent, syslog-ng. Prints MB of log
/// per CPU-second (user and system time of the measured processes), MB/s, peak memory, and lines
/// lost and doubled, as a Markdown table.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Size of each workload in MiB.
    #[arg(long, default_value_t = 1024)]
    pub(crate) mib: u64,
    /// What to measure on; mixed unless told.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) workload: Vec<Named>,
    /// Number of log files; as many as the workload has, unless told.
    #[arg(long)]
    pub(crate) files: Option<usize>,
    /// All workloads, levels and compressions, but for those that are named. Takes hours with all
    /// peers.
    #[arg(long)]
    pub(crate) full: bool,
    /// How late lines come, instead: 1,000 a second in one file, both programs at their defaults.
    #[arg(long, conflicts_with_all = ["full", "idle"])]
    pub(crate) latency: bool,
    /// What an agent costs that has next to nothing to do, instead: 100 files with 10 lines a
    /// second in all, and 10,000 quiet ones.
    #[arg(long, conflicts_with = "full")]
    pub(crate) idle: bool,
    /// How the aggregator scales, instead: with one worker thread and with two; S2 unless told.
    #[arg(long, conflicts_with_all = ["full", "latency", "idle"])]
    pub(crate) scaling: bool,
    /// What a line of the mixed workload costs both programs, instead: in few files and in many, at
    /// low rates and at high ones in 10 files, and what they cost beside it when nothing happens.
    #[arg(long, conflicts_with_all = ["full", "latency", "idle", "scaling"])]
    pub(crate) flat: bool,
    /// Numbers of files that the workload is written in, one after the other.
    #[arg(
        long,
        requires = "flat",
        value_delimiter = ',',
        default_value = "10,100,1000,10000",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub(crate) flat_files: Vec<u32>,
    /// Lines a second in all files together, one after the other.
    #[arg(
        long,
        requires = "flat",
        value_delimiter = ',',
        default_value = "100,1000,10000,100000",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub(crate) flat_rates: Vec<u32>,
    /// How long lines are written at each rate, and how long nothing is written after each run.
    #[arg(
        long,
        requires = "flat",
        default_value_t = 20,
        value_parser = value_parser!(u64).range(1..)
    )]
    pub(crate) seconds: u64,
    /// Seed of the workload.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// What to measure; everything unless told.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<What>,
    /// Runs of each; the median by CPU time is shown.
    #[arg(long, default_value_t = 1)]
    pub(crate) runs: usize,
    /// Directory of the binaries; where this program is, unless told.
    #[arg(long)]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Compression of the agent's batches: zstd or gzip.
    #[arg(long, default_value = "zstd")]
    pub(crate) agent_compression: String,
    /// Compression of bulk bodies: auto, gzip, zstd or none, or several of them; auto unless told.
    /// With auto, peers do what costs them the least.
    #[arg(long, value_delimiter = ',')]
    pub(crate) compression: Vec<String>,
    /// What is done with lines: s1, shipped as they are; s2, parsed and joined; both unless told.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) levels: Vec<Level>,
    /// When the aggregator acknowledges: buffer or store.
    #[arg(long, default_value = "buffer")]
    pub(crate) ack: String,
    /// Whom the null store claims to be.
    #[arg(long, value_enum, default_value = "opensearch")]
    pub(crate) claim: ClaimArg,
}

impl Args {
    /// Fills in what was not told.
    pub(crate) fn complete(&mut self) {
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
        if self.levels.is_empty() {
            self.levels = match self.scaling {
                true => vec![Level::S2],
                false => vec![Level::S1, Level::S2],
            };
        }
    }

    /// How many files a workload is written in.
    pub(crate) fn files_of(&self, named: Named) -> usize {
        self.files.unwrap_or(named.files()).max(1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
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
    pub(crate) fn is(self, peer: &Peer) -> bool {
        let value = self.to_possible_value();
        self == Self::Peers || value.is_some_and(|value| value.get_name() == peer.name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClaimArg {
    Opensearch,
    Elasticsearch,
}
