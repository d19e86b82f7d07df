//! `tailrace-faults`: runs the fault laboratory for as long as one likes. `make faults` and
//! `make soak` call it; `docs/faults.md` says what it does.

use std::{io::Write, process::ExitCode, time::Duration};

use clap::Parser;
use tests::laboratory::{Options, run, run_peer};

/// Strikes the programs with random faults under load, and accounts for every line.
#[derive(Debug, Parser)]
#[command(name = "tailrace-faults")]
struct Arguments {
    /// Which faults, in which order; random without.
    #[arg(long)]
    seed: Option<u64>,

    /// How long.
    #[arg(long, default_value_t = 5)]
    minutes: u64,

    /// Events a second.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,

    /// Seconds of calm between the end of a fault and the next one, at least.
    #[arg(long, default_value_t = 1)]
    calm: u64,

    /// A fault strikes every so many seconds: after one that took longer the next ones come sooner.
    #[arg(long, default_value_t = 0)]
    every: u64,

    /// Seconds of load before the first fault: a store that is cold is slow.
    #[arg(long, default_value_t = 0)]
    warm_up: u64,
    /// Seconds of a round: at its end everything is read back.
    #[arg(long, default_value_t = 60)]
    round: u64,

    /// Runs this in place of our programs: `rsyslog`.
    #[arg(long, value_parser = ["rsyslog"])]
    peer: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let options = Options {
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        length: Duration::from_secs(arguments.minutes * 60),
        round: Duration::from_secs(arguments.round),
        events_per_second: arguments.rate,
        calm: Duration::from_secs(arguments.calm),
        every: Duration::from_secs(arguments.every),
        warm_up: Duration::from_secs(arguments.warm_up),
    };
    if arguments.peer.is_some() {
        // Whatever it loses is its own: figures for a table, no verdict.
        write!(std::io::stdout(), "{}", run_peer(options)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = run(options)?;
    write!(std::io::stdout(), "{report}")?;
    Ok(match report.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
