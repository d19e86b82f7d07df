//! `tailrace-aggregator dead-letters replay`: indexes again what the store once refused.

use std::io::Write;

use anyhow::Context as _;
use store::Store;
use store::dead_letters::{self, Filter};

/// Which dead letters are meant.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// Only those that were meant for this index or data stream.
    #[arg(long)]
    index: Option<String>,
    /// Only those that were refused with this type of error.
    #[arg(long, value_name = "TYPE")]
    error_type: Option<String>,
    /// Only those since this time, as the store reads times: `now-1d`, `2026-01-31T12:00:00Z`.
    #[arg(long)]
    since: Option<String>,
    /// At most so many.
    #[arg(long)]
    limit: Option<u64>,
    /// Count them, change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Replays; the answer is whether every one of them was taken.
///
/// # Errors
/// When the store cannot be read or written.
pub(super) async fn replay(
    client: &dyn Store,
    args: &ReplayArgs,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let filter = Filter {
        index: args.index.clone(),
        error_type: args.error_type.clone(),
        since: args.since.clone(),
        limit: args.limit,
        dry_run: args.dry_run,
    };
    let replayed = dead_letters::replay(client, &filter)
        .await
        .context("cannot replay the dead letters")?;
    writeln!(
        out,
        "{} dead letters found, {} indexed, {} were there already, {} refused again, {} letters removed",
        replayed.matched, replayed.indexed, replayed.duplicate, replayed.failed, replayed.removed
    )?;
    for reason in &replayed.reasons {
        writeln!(out, "  {reason}")?;
    }
    Ok(replayed.failed == 0)
}
