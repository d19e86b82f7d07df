//! `rules new`: sample lines in, a rule out.

use std::io::Write;

use anyhow::Context as _;
use clap::Args;

use super::lines::LineArgs;

pub(super) const EXAMPLES: &str = "\
Examples:
  kubectl logs checkout-0 | tailrace-aggregator rules new --name shop.checkout > checkout.yaml
  tailrace-aggregator rules unmatched | tailrace-aggregator rules new
  tailrace-aggregator rules test checkout.yaml";

#[derive(Debug, Args)]
pub(in crate::command) struct NewArgs {
    /// Name of the rule; further ones get a number behind it.
    #[arg(long, default_value = "app")]
    name: String,
    #[command(flatten)]
    lines: LineArgs,
}

/// Prints the rule; what is said about it goes to standard error.
#[expect(clippy::print_stderr, reason = "standard output is the rule")]
pub(super) fn run(args: &NewArgs, out: &mut dyn Write) -> anyhow::Result<bool> {
    let mut lines = Vec::new();
    let input = super::standard_input()?;
    args.lines
        .each_record(&mut input.as_bytes(), false, None, &mut |record| {
            // A trace is taken apart by itself: the line above it is what a rule is for.
            let head = record
                .trace_at
                .filter(|at| *at > 0)
                .unwrap_or(record.message.len());
            let text = record.message.get(..head).unwrap_or_default();
            lines.push(String::from_utf8_lossy(text.trim_ascii_end()).into_owned());
            Ok(true)
        })?;
    anyhow::ensure!(
        !lines.is_empty(),
        "there were no lines: give samples on standard input"
    );
    let proposal = parsers::author::propose::propose(&args.name, &lines).context(
        "these lines have no form that a rule could tell: levels and times are found without one",
    )?;
    out.write_all(proposal.rules.as_bytes())?;
    out.flush()?;
    let plural = if proposal.n_rules == 1 { "" } else { "s" };
    eprintln!(
        "{} rule{plural} for {} of {} lines; look at the names of the fields, then run `rules test`",
        proposal.n_rules, proposal.n_taken, proposal.n_lines
    );
    for line in &proposal.left {
        eprintln!("not taken: {}", super::paint::visible(line));
    }
    Ok(true)
}
