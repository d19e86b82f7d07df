//! What is measured instead of the table of programs: lateness, idleness, scaling, flatness.

use std::{path::Path, time::Duration};

use bench::{
    flat::{self, Flat, Flow},
    idle::{self, Quiet},
    latency::Pace,
    scaling::{self, Scaling, WORKERS},
    workload::Named,
};

use crate::{args::Args, median_by, on_workload, tell, without_workload};

/// How many lines tell how late they come: 20 s of them.
const LATE_LINES: u32 = 20_000;

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
pub(crate) fn measure_latency(args: &Args, scratch: &Path) -> anyhow::Result<()> {
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
pub(crate) fn measure_idle(args: &Args, scratch: &Path) -> anyhow::Result<()> {
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

/// The aggregator with one worker thread and with two.
#[expect(clippy::print_stdout, reason = "the table is this program's output")]
pub(crate) fn measure_scaling(args: &Args, scratch: &Path) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let measured = scaling_rows(args, scratch, &mut rows);
    // What came before a failure took its time and is worth showing.
    if !rows.is_empty() {
        print!("{}", scaling::markdown(&rows));
    }
    measured
}

fn scaling_rows(args: &Args, scratch: &Path, rows: &mut Vec<Scaling>) -> anyhow::Result<()> {
    for named in &args.workload {
        on_workload(args, *named, args.files_of(*named), scratch, |bench| {
            for level in &args.levels {
                for compression in &args.compression {
                    tell(format_args!(
                        "{}: measuring the aggregator with one worker thread and with two: {}, \
                         {compression}",
                        bench.name,
                        level.name()
                    ));
                    // In turn: what else the machine does meanwhile meets both.
                    rows.extend(median_by(args.runs, Scaling::cpu, || {
                        let each = |workers| bench.scaling(*level, compression, workers);
                        WORKERS.into_iter().map(each).collect()
                    })?);
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Files that lines at a rate are written in.
const FLAT_FILES: usize = 10;

/// What a line costs by the number of files, then by the rate.
#[expect(clippy::print_stdout, reason = "the table is this program's output")]
pub(crate) fn measure_flat(args: &Args, scratch: &Path) -> anyhow::Result<()> {
    let (mut by_files, mut by_rate) = (Vec::new(), Vec::new());
    let measured = flat_rows(args, scratch, &mut by_files, &mut by_rate);
    // What came before a failure took its time and is worth showing.
    for rows in [by_files, by_rate] {
        if !rows.is_empty() {
            println!("{}", flat::markdown(&rows));
        }
    }
    measured
}

fn flat_rows(
    args: &Args,
    scratch: &Path,
    by_files: &mut Vec<Flat>,
    by_rate: &mut Vec<Flat>,
) -> anyhow::Result<()> {
    let span = Duration::from_secs(args.seconds);
    for files in &args.flat_files {
        let files = *files as usize;
        let measured = on_workload(args, Named::Mixed, files, scratch, |bench| {
            tell(format_args!("measuring what a line costs in {files} files"));
            median_by(args.runs, Flat::cpu, || {
                Ok(vec![bench.flat_files(files, span)?])
            })
        })?;
        by_files.extend(measured);
    }
    for lines_per_second in &args.flat_rates {
        let flow = Flow {
            files: FLAT_FILES,
            lines_per_second: *lines_per_second,
            span,
            seed: args.seed,
        };
        tell(format_args!(
            "writing {lines_per_second} lines a second for {} s, and watching for as long",
            args.seconds
        ));
        let measured = median_by(args.runs, Flat::cpu, || {
            let row = without_workload(args, scratch, |bench, kubelet| {
                bench.flat_rate(kubelet, flow)
            })?;
            Ok(vec![row])
        })?;
        by_rate.extend(measured);
    }
    Ok(())
}
