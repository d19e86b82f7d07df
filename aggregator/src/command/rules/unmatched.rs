//! `rules unmatched`: the lines that a running aggregator has no rule for.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

pub(super) const EXAMPLES: &str = "\
Examples:
  tailrace-aggregator rules unmatched
  tailrace-aggregator rules unmatched --container checkout | tailrace-aggregator rules new
  tailrace-aggregator rules unmatched --json | jq -r .container | sort | uniq -c";

#[derive(Debug, Args)]
pub(in crate::command) struct UnmatchedArgs {
    /// Address of the aggregator.
    #[arg(long, default_value = "127.0.0.1:7080")]
    address: SocketAddr,
    /// Lines of this namespace only.
    #[arg(long)]
    namespace: Option<String>,
    /// Lines of this container only.
    #[arg(long)]
    container: Option<String>,
    /// Print one JSON object a line: `time`, `namespace`, `origin`, `container`, `line`.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When nobody answers at the address.
pub(super) fn run(args: &UnmatchedArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let address = args.address;
    let text = telemetry::http::fetch(address, "/rules/unmatched")
        .with_context(|| format!("cannot ask the aggregator at {address}: is it running there?"))?;
    let answer: Value = serde_json::from_str(&text).context("cannot read the answer")?;
    let word = |line: &Value, key: &str| {
        line.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let fits = |line: &&Value, key: &str, wanted: &Option<String>| {
        wanted
            .as_ref()
            .is_none_or(|wanted| word(line, key) == *wanted)
    };
    let lines = answer.get("lines").and_then(Value::as_array);
    for line in lines.into_iter().flatten().filter(|line| {
        fits(line, "namespace", &args.namespace) && fits(line, "container", &args.container)
    }) {
        match args.json {
            true => writeln!(out, "{line}")?,
            false => writeln!(out, "{}", word(line, "line"))?,
        }
    }
    Ok(())
}
