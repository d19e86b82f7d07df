//! `rules bench`: what each rule costs, one thread, from record to document.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use parsers::{Parser, RecordView, RuleId, RuleSet, StreamContext};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use telemetry::table::Table;

use super::OutputChoice;
use super::paint::{Paint, Style};

pub(super) const EXAMPLES: &str = "\
Examples:
  tailrace-aggregator rules bench                        the rules that ship, on their examples
  tailrace-aggregator rules bench ./rules
  tailrace-aggregator rules bench --rule nginx.access < access.log
  tailrace-aggregator rules bench --min 50 ./rules       exit code 1 when a rule is slower

Rules are measured on their own matching examples, or on the lines of standard input with
`--rule`. Figures are CPU time: other programs on the machine disturb them little.";

/// CPU time that a rule is measured for, in seconds; the best of three such rounds counts.
const ROUND_SECONDS: f64 = 0.05;
const ROUNDS: usize = 3;

/// MB/s below which a rule is named as slow: a tenth of what most reach.
const SLOW: f64 = 50.0;

#[derive(Debug, Args)]
pub(in crate::command) struct BenchArgs {
    /// Files or folders of rules. Without any, the rules that ship.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// This rule alone.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// MB/s that each rule must reach; exit code 1 when one does not.
    #[arg(long, value_name = "MB/S")]
    min: Option<f64>,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "text")]
    output: OutputChoice,
}

/// What a rule costs.
#[derive(Debug)]
struct Cost {
    rule: String,
    lines: usize,
    bytes_a_line: f64,
    mb_a_second: f64,
    ns_a_record: f64,
    allocations_a_record: f64,
}

pub(super) fn run(args: &BenchArgs, paint: Paint, out: &mut dyn Write) -> anyhow::Result<bool> {
    super::there(&args.paths)?;
    let (set, reports) =
        super::load_with_examples(&args.paths).map_err(|problems| super::refused(&problems))?;
    let set = Arc::new(set);
    let of_examples = |rule: RuleId| -> Vec<String> {
        let of_rule = reports.iter().filter(|report| report.rule == rule);
        of_rule.map(|report| report.input.clone()).collect()
    };
    let mut costs = Vec::new();
    match &args.rule {
        Some(name) => {
            let Some(rule) = set.find(name) else {
                let names: Vec<&str> = set.names().collect();
                anyhow::bail!("there is no rule `{name}`; there are: {}", names.join(", "));
            };
            let lines = match std::io::stdin().is_terminal() {
                true => of_examples(rule),
                false => super::standard_input()?
                    .lines()
                    .map(str::to_owned)
                    .collect(),
            };
            let lines = if lines.is_empty() {
                of_examples(rule)
            } else {
                lines
            };
            costs.extend(measure(&set, rule, lines)?);
        }
        None => {
            for name in set.names() {
                if let Some(rule) = set.find(name) {
                    costs.extend(measure(&set, rule, of_examples(rule))?);
                }
            }
        }
    }
    anyhow::ensure!(
        !costs.is_empty(),
        "no rule has an example that it matches: there is nothing to measure"
    );
    costs.sort_by(|a, b| a.mb_a_second.total_cmp(&b.mb_a_second));
    let min = args.min.unwrap_or(SLOW);
    let slow: Vec<&str> = costs
        .iter()
        .filter(|cost| cost.mb_a_second < min)
        .map(|cost| cost.rule.as_str())
        .collect();
    match args.output {
        OutputChoice::Json => {
            for cost in &costs {
                let object = json!({
                    "rule": cost.rule, "lines": cost.lines, "bytes_per_line": cost.bytes_a_line,
                    "mb_per_cpu_second": cost.mb_a_second, "ns_per_record": cost.ns_a_record,
                    "allocations_per_record": cost.allocations_a_record,
                });
                writeln!(out, "{object}")?;
            }
        }
        OutputChoice::Text => {
            let mut table = Table::new(&[
                "rule",
                "lines",
                "B/line",
                "MB/CPU-s",
                "ns/record",
                "allocations/record",
            ]);
            for cost in &costs {
                table.row(&[
                    cost.rule.clone(),
                    cost.lines.to_string(),
                    format!("{:.0}", cost.bytes_a_line),
                    format!("{:.0}", cost.mb_a_second),
                    format!("{:.0}", cost.ns_a_record),
                    format!("{:.2}", cost.allocations_a_record),
                ]);
            }
            writeln!(out, "{table}")?;
            if !slow.is_empty() {
                let what = format!("slower than {min} MB/s: {}", slow.join(", "));
                writeln!(out, "{}", paint.text(Style::Warn, what))?;
            }
        }
    }
    Ok(args.min.is_none() || slow.is_empty())
}

/// Measures a rule on those of `lines` that it takes; nothing when there is none.
fn measure(set: &Arc<RuleSet>, rule: RuleId, lines: Vec<String>) -> anyhow::Result<Option<Cost>> {
    let stream = StreamContext::new(b"{}")?;
    let mut parser = Parser::new(Arc::clone(set));
    parser.only(Some(rule));
    let mut out = Vec::new();
    let mut takes = |line: &String| {
        out.clear();
        match parser.append_document(&record(line), &stream, &mut out) {
            parsers::Outcome::Document(document) => document.rule.is_some(),
            parsers::Outcome::Dropped { .. } => true,
        }
    };
    let lines: Vec<String> = lines.into_iter().filter(|line| takes(line)).collect();
    let bytes: usize = lines.iter().map(String::len).sum();
    if bytes == 0 {
        return Ok(None);
    }
    let mut once = || {
        out.clear();
        for line in &lines {
            parser.append_document(&record(line), &stream, &mut out);
        }
    };
    // Twice to warm up: the second time shows how many fit into a round.
    once();
    let start = cpu_seconds();
    once();
    let times = (ROUND_SECONDS / (cpu_seconds() - start).max(1e-7)).ceil();
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = cpu_seconds();
        for _ in 0..times as u64 {
            once();
        }
        best = best.min((cpu_seconds() - start) / times);
    }
    let allocations = crate::allocator::count(&mut once);
    let n = lines.len() as f64;
    Ok(Some(Cost {
        rule: set.name(rule).to_owned(),
        lines: lines.len(),
        bytes_a_line: bytes as f64 / n,
        mb_a_second: bytes as f64 / 1e6 / best,
        ns_a_record: best * 1e9 / n,
        allocations_a_record: allocations as f64 / n,
    }))
}

fn record(line: &str) -> RecordView<'_> {
    RecordView {
        message: line.as_bytes(),
        iostream: Some("stdout"),
        time_ns: Some(1_700_000_000_000_000_000),
        now_ns: 1_700_000_000_000_000_000,
        stream: 1,
        offset: 0,
        length: line.len() as u64 + 1,
        parts: &[],
        trace_at: None,
        tags: &[],
        unparsed: false,
    }
}

/// CPU time of this thread in seconds.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
