//! `rules convert`: other programs' parser definitions as rules.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use parsers::author::convert::{Dialect, convert};

pub(super) const EXAMPLES: &str = "\
Examples:
  tailrace-aggregator rules convert /fluent-bit/etc/parsers.conf > rules/converted.yaml
  tailrace-aggregator rules convert --from logstash pipeline.conf
  tailrace-aggregator rules convert fluent.conf | tee rules/fluentd.yaml

What has no equal is told on standard error, with its line. A definition that cannot become a rule
stands in a comment. Exit code 1 when something has no equal.";

/// Whose definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FromChoice {
    /// Parsers files, classic and YAML.
    FluentBit,
    /// Filters of a pipeline: grok, dissect, date, json, kv, csv, mutate, drop.
    Logstash,
    /// `<parse>` sections.
    Fluentd,
}

#[derive(Debug, Args)]
pub(in crate::command) struct ConvertArgs {
    /// Whose definitions they are; recognised when left out.
    #[arg(long, value_enum)]
    from: Option<FromChoice>,
    /// The file; standard input when left out.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Prints the rules; what is said about them goes to standard error.
#[expect(clippy::print_stderr, reason = "standard output is the rules")]
pub(super) fn run(args: &ConvertArgs, out: &mut dyn Write) -> anyhow::Result<bool> {
    let text = match &args.file {
        Some(path) => std::fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .with_context(|| format!("cannot read {}", path.display()))?,
        None => super::standard_input()?,
    };
    let dialect = match args.from {
        Some(FromChoice::FluentBit) => Dialect::FluentBit,
        Some(FromChoice::Logstash) => Dialect::Logstash,
        Some(FromChoice::Fluentd) => Dialect::Fluentd,
        None => Dialect::of(&text).context(
            "this looks like no parsers file of Fluent Bit, no pipeline of Logstash and no configuration of Fluentd: say which with `--from`",
        )?,
    };
    let converted = convert(dialect, &text);
    out.write_all(converted.rules.as_bytes())?;
    out.flush()?;
    for note in &converted.notes {
        eprintln!("{note}");
    }
    eprintln!(
        "{} rules; {} notes",
        converted.n_rules,
        converted.notes.len()
    );
    Ok(converted.notes.is_empty())
}
