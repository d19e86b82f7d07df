//! Writes the container logs of a small shop: a workload of a fixed size for benchmarks, or live
//! ones to look at.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use bench::{
    container_log::Iostream,
    kubelet::{Container, Kubelet},
    shop::Shop,
    stamp::wall_ns,
    workload::{self, Named, Size},
};
use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  tailrace-gen --dir /tmp/logs --size 1GiB --files 10
      the workload of docs/benchmarks.md: half nginx, then JSON, logfmt, plain lines, stack traces
      and lines longer than 16 KiB
  tailrace-gen --dir /tmp/logs --live --rate 500
      500 events a second with rotation, until Ctrl-C";

/// Writes the container logs of a small shop, as a kubelet would lay them out: links under
/// DIR/containers, files under DIR/pods. Every line carries a numbered marker (`tr-0000002a`), so
/// that losses and doubles can be counted behind any pipeline.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Directory to write under; created when absent.
    #[arg(long)]
    dir: PathBuf,
    /// Bytes of all files together, for example 500MiB or 1GiB.
    #[arg(long, value_parser = parse_size, default_value = "1GiB")]
    size: u64,
    /// What is written.
    #[arg(long, value_enum, default_value = "mixed")]
    workload: Named,
    /// Containers, one file each; as many as the workload has, unless told.
    #[arg(long)]
    files: Option<usize>,
    /// Seed: the same seed makes the same lines.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rotate a file when it has grown by this much (live: 10MiB unless told).
    #[arg(long, value_parser = parse_size)]
    rotate_at: Option<u64>,
    /// Keep writing until stopped, instead of writing a fixed size.
    #[arg(long)]
    live: bool,
    /// Events a second with --live.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// No progress lines.
    #[arg(long)]
    quiet: bool,
}

/// How often the live generator writes.
const TICK: Duration = Duration::from_millis(50);

fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|end: char| end.is_ascii_alphabetic());
    let unit = match text.trim_start_matches(digits) {
        "" | "B" => 1,
        "k" | "kB" => 1_000,
        "KiB" => 1 << 10,
        "M" | "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "G" | "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        other => return Err(format!("unknown unit `{other}`: use MiB or GiB")),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number".to_owned())?;
    number
        .checked_mul(unit)
        .ok_or_else(|| "too large".to_owned())
}

#[expect(
    clippy::print_stderr,
    reason = "a command-line program shows its progress on stderr"
)]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let files = args.files.unwrap_or(args.workload.files());
    if files == 0 {
        bail!("--files must be at least 1");
    }
    let mut kubelet = Kubelet::new(&args.dir, args.seed)
        .with_context(|| format!("cannot write under `{}`", args.dir.display()))?;
    if args.live {
        return live(&args, files, &mut kubelet);
    }
    let size = Size {
        bytes: args.size,
        files,
        rotate_at: args.rotate_at,
        seed: args.seed,
        mix: args.workload.mix(),
    };
    let made = workload::write(&mut kubelet, size, |bytes| {
        if !args.quiet {
            eprint!("\r{} of {} MiB", bytes >> 20, args.size >> 20);
        }
    })?;
    eprintln!(
        "\r{} bytes, {} lines, {} events, markers tr-00000000 to tr-{:08x}, under {}",
        made.bytes,
        made.lines,
        made.events,
        made.markers.saturating_sub(1),
        args.dir.display()
    );
    Ok(())
}

/// Writes at the wanted rate until Ctrl-C or SIGTERM.
#[expect(
    clippy::print_stderr,
    reason = "a command-line program shows its progress on stderr"
)]
fn live(args: &Args, files: usize, kubelet: &mut Kubelet) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let mut containers = (0..files)
        .map(|idx| workload::start_container(kubelet, idx))
        .collect::<Result<Vec<_>, _>>()
        .context("cannot create the log files")?;
    for container in &mut containers {
        container.log.set_bulk(0);
    }
    let mut writer = LiveWriter {
        shop: Shop::of(args.workload.mix(), args.seed, 0),
        chooser: fastrand::Rng::with_seed(args.seed ^ 0x5EED),
        rotate_at: args.rotate_at.unwrap_or(10 << 20),
        events: 0,
        rotations: 0,
    };
    runtime.block_on(async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .context("cannot watch for SIGTERM")?;
        let mut ticks = tokio::time::interval(TICK);
        let per_second = u64::from(args.rate);
        let mut n_ticks = 0u64;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = tokio::signal::ctrl_c() => break,
                _ = terminate.recv() => break,
            }
            n_ticks += 1;
            let due = n_ticks * per_second * TICK.as_millis() as u64 / 1_000;
            writer.write_until(due, &mut containers)?;
            if !args.quiet && n_ticks.is_multiple_of(20) {
                eprint!("\r{} events, {} rotations", writer.events, writer.rotations);
            }
        }
        if !args.quiet {
            eprintln!();
        }
        Ok(())
    })
}

struct LiveWriter {
    shop: Shop,
    chooser: fastrand::Rng,
    rotate_at: u64,
    events: u64,
    rotations: u64,
}

impl LiveWriter {
    fn write_until(&mut self, due: u64, containers: &mut [Container]) -> anyhow::Result<()> {
        let mut text = Vec::new();
        while self.events < due {
            let kind = self.shop.pick();
            text.clear();
            self.shop.append_event(kind, wall_ns(), &mut text);
            let log = &mut containers[self.chooser.usize(..containers.len())].log;
            let iostream = if kind.is_stderr() {
                Iostream::Stderr
            } else {
                Iostream::Stdout
            };
            log.event(iostream, &text)
                .context("cannot write a log file")?;
            self.events += 1;
            if log.size() >= self.rotate_at {
                log.rotate().context("cannot rotate a log file")?;
                self.rotations += 1;
            }
        }
        Ok(())
    }
}
