//! `make bench-load`: how near loading into a real OpenSearch comes to what it can take.
//!
//! The ceiling is what OpenSearch does with bodies that are ready: those that both programs make of
//! the workload, kept by a null store, compressed beforehand, and posted over two connections by a
//! client that does nothing else; as they were made, and cut anew at 5 MB. Then both programs load
//! the same workload at their defaults. Each run has a server of its own, with the aggregator's
//! templates, warm of the same bodies, and the kinds of runs take turns. At the end of each all
//! documents are counted: one that is missing or there twice is a failure.

mod ready_made;
mod stage;
mod table;
mod target;

use std::fmt;

use anyhow::Context;
use bench::workload::Named;

pub use table::{Run, What, markdown};

use crate::{program::bin_dir, scratch::Scratch};
use stage::Stage;
use target::Target;

/// What to load, and how often.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is in the log files.
    pub workload: Named,
    /// Bytes of all log files together, reached to within one event.
    pub bytes: u64,
    /// Seed of the workload.
    pub seed: u64,
    /// How often each kind of run is measured.
    pub rounds: u32,
    /// Bytes of bodies, before compression, that a server takes and forgets before it is measured.
    pub warm_up_bytes: u64,
}

/// Measures, telling on stderr how far it is. What each round gave is in `rounds`, also when a later
/// one fails.
///
/// # Errors
/// When something does not start, ends by itself, or when documents are not there once each.
pub fn run(options: &Options, rounds: &mut Vec<Vec<Run>>) -> anyhow::Result<()> {
    tell(format_args!("programs of {}", bin_dir().display()));
    let scratch = Scratch::new("load-bench")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start")?;
    // First of all: it may have to be fetched.
    let encoding = Target::start(&runtime)?.encoding();
    let stage = Stage::new(options, scratch.path(), encoding, runtime)?;
    for round in 0..options.rounds {
        rounds.push(Vec::new());
        let mut kinds = stage.kinds();
        // What changes on a machine while it is measured shall not favour one of them.
        if round % 2 == 1 {
            kinds.reverse();
        }
        for what in kinds {
            let run = stage.measure(what).with_context(|| {
                format!("cannot measure {} in round {}", what.name(), round + 1)
            })?;
            tell(format_args!(
                "round {} of {}: {}: {:.0} docs/s",
                round + 1,
                options.rounds,
                what.name(),
                run.docs_per_second()
            ));
            if let Some(runs) = rounds.last_mut() {
                runs.push(run);
                runs.sort_by_key(|run| run.what);
            }
        }
    }
    Ok(())
}

/// Tells on stderr how far it is.
#[expect(clippy::print_stderr, reason = "a long command shows how far it is")]
fn tell(what: fmt::Arguments<'_>) {
    eprintln!("{what}");
}
