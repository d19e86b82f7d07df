//! `tailrace-aggregator audit`: proves from the store that streams have no gap and no overlap.

use std::io::{IsTerminal as _, Write};

use anyhow::Context as _;
use serde_json::{Value, json};
use store::Store;

use crate::audit::{Audit, StreamReport, origin, rows};

/// Which documents an audit looks at.
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    /// Index pattern that holds the documents.
    #[arg(long, default_value = "logs-*")]
    index: String,
    /// Only streams of this Kubernetes namespace.
    #[arg(long)]
    namespace: Option<String>,
    /// Only streams of this pod.
    #[arg(long)]
    pod: Option<String>,
    /// List every stream, not only those with a gap or an overlap.
    #[arg(long)]
    all: bool,
    /// Print one JSON object a stream.
    #[arg(long)]
    json: bool,
}

/// Documents read at once; the largest page that a store gives by default.
const PAGE_DOCUMENTS: usize = 10_000;

/// Runs an audit over `client`; the answer is whether every stream is whole.
///
/// # Errors
/// When the store cannot be read or the output cannot be written.
#[expect(
    clippy::print_stderr,
    reason = "progress for the person at the terminal"
)]
pub(super) async fn run(
    client: &dyn Store,
    args: &AuditArgs,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let filter = store::AuditFilter {
        indices: args.index.clone(),
        stream: None,
        namespace: args.namespace.clone(),
        pod: args.pod.clone(),
        since: None,
    };
    client
        .refresh(&args.index)
        .await
        .context("cannot refresh the indices")?;
    let mut audit = Audit::new();
    let mut documents = 0u64;
    let mut after = None;
    loop {
        let page = store::audit_page(client, &filter, after.as_ref(), PAGE_DOCUMENTS)
            .await
            .context("cannot read the documents")?;
        for hit in &page.hits {
            let source = hit.get("_source").unwrap_or(&Value::Null);
            let origin = origin(source);
            for row in rows(source) {
                audit.claim(&row.stream, &origin, &row.claim, row.interval);
            }
        }
        documents += page.hits.len() as u64;
        if std::io::stderr().is_terminal() {
            eprint!("\r{documents} documents read");
        }
        after = page.after;
        if after.is_none() {
            break;
        }
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    if documents == 0 {
        // An audit of nothing proves nothing: most likely the wrong store, pattern or filter.
        anyhow::bail!(
            "found no document of Tailrace in `{}` with these filters",
            args.index
        );
    }
    let reports = audit.finish();
    if args.json {
        for report in &reports {
            writeln!(out, "{}", as_json(report))?;
        }
    } else {
        print(&reports, documents, args.all, out)?;
    }
    Ok(reports.iter().all(StreamReport::is_whole))
}

fn print(
    reports: &[StreamReport],
    documents: u64,
    all: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut table = telemetry::table::Table::new(&[
        "namespace",
        "pod",
        "container",
        "stream",
        "records",
        "bytes",
        "dropped",
        "excluded",
        "unread",
        "state",
    ]);
    for report in reports
        .iter()
        .filter(|report| all || !report.is_whole() || report.unread > 0)
    {
        table.row(&[
            report.origin.namespace.clone(),
            report.origin.pod.clone(),
            report.origin.container.clone(),
            report.stream.clone(),
            report.records.to_string(),
            report.bytes.to_string(),
            report.dropped.to_string(),
            report.excluded.to_string(),
            report.unread.to_string(),
            state(report),
        ]);
    }
    if !table.is_empty() {
        writeln!(out, "{table}")?;
    }
    let sum = |of: fn(&StreamReport) -> u64| reports.iter().map(of).sum::<u64>();
    let broken = reports.iter().filter(|report| !report.is_whole()).count();
    writeln!(
        out,
        "{} streams, {documents} documents, {} bytes of log: {}; {} bytes dropped by rules, {} bytes excluded by pods, {} bytes vanished unread",
        reports.len(),
        sum(|report| report.bytes),
        if broken == 0 {
            "no gap, no overlap".to_owned()
        } else {
            format!("{broken} streams with gaps or overlaps")
        },
        sum(|report| report.dropped),
        sum(|report| report.excluded),
        sum(|report| report.unread),
    )?;
    Ok(())
}

fn state(report: &StreamReport) -> String {
    let mut words = Vec::new();
    for gap in report.gaps.iter().take(3) {
        words.push(format!("gap {}..{}", gap.start, gap.end));
    }
    if report.gaps.len() > 3 {
        words.push(format!("{} more gaps", report.gaps.len() - 3));
    }
    for overlap in report.overlaps.iter().take(3) {
        words.push(format!("overlap {}..{}", overlap.start, overlap.end));
    }
    if report.overlaps.len() > 3 {
        words.push(format!("{} more overlaps", report.overlaps.len() - 3));
    }
    if let Some(start) = report.open_start {
        words.push(format!("from {start}"));
    }
    words.push(if report.ended { "ended" } else { "open" }.to_owned());
    words.join(", ")
}

fn as_json(report: &StreamReport) -> Value {
    let intervals = |list: &[crate::audit::Interval]| -> Vec<Value> {
        list.iter()
            .map(|interval| json!([interval.start, interval.end]))
            .collect()
    };
    json!({
        "stream": report.stream,
        "namespace": report.origin.namespace,
        "pod": report.origin.pod,
        "container": report.origin.container,
        "records": report.records,
        "bytes": report.bytes,
        "dropped": report.dropped,
        "excluded": report.excluded,
        "unread": report.unread,
        "gaps": intervals(&report.gaps),
        "overlaps": intervals(&report.overlaps),
        "open_start": report.open_start,
        "ended": report.ended,
        "whole": report.is_whole(),
    })
}
