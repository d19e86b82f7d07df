//! `tailrace-aggregator audit`: proves from the store that streams have no gap and no overlap.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use store::Elasticsearch;

use crate::audit::{Audit, SOURCE_FIELDS, StreamReport, origin, rows};

/// Which documents an audit looks at.
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
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

/// Runs an audit over `client`; the answer is whether every stream is whole.
///
/// # Errors
/// When the store cannot be read or the output cannot be written.
pub async fn run(
    client: &Arc<Elasticsearch>,
    args: &AuditArgs,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let mut filters = vec![json!({"exists": {"field": "tailrace.stream"}})];
    if let Some(namespace) = &args.namespace {
        filters.push(json!({"term": {"kubernetes.namespace": namespace}}));
    }
    if let Some(pod) = &args.pod {
        filters.push(json!({"term": {"kubernetes.pod.name": pod}}));
    }
    let query = json!({
        "query": {"bool": {"filter": filters}},
        "_source": SOURCE_FIELDS,
        "sort": ["tailrace.stream", "log.offset"],
    });
    client.refresh(&args.index).await.context("cannot refresh the indices")?;
    let mut audit = Audit::new();
    let mut documents = 0u64;
    client
        .scan(&args.index, &query, |hit| {
            let source = hit.get("_source").unwrap_or(&Value::Null);
            let origin = origin(source);
            for row in rows(source) {
                audit.claim(&row.stream, &origin, &row.claim, row.interval);
            }
            documents += 1;
            if documents.is_multiple_of(1_000_000) {
                tracing::info!(documents, "reading claims");
            }
        })
        .await
        .context("cannot read the documents")?;
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
        "namespace", "pod", "container", "stream", "records", "bytes", "dropped", "unread", "state",
    ]);
    for report in reports.iter().filter(|report| all || !report.is_whole() || report.unread > 0) {
        table.row(&[
            report.origin.namespace.clone(),
            report.origin.pod.clone(),
            report.origin.container.clone(),
            report.stream.clone(),
            report.records.to_string(),
            report.bytes.to_string(),
            report.dropped.to_string(),
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
        "{} streams, {documents} documents, {} bytes of log: {}; {} bytes dropped by rules, {} bytes vanished unread",
        reports.len(),
        sum(|report| report.bytes),
        if broken == 0 {
            "no gap, no overlap".to_owned()
        } else {
            format!("{broken} streams with gaps or overlaps")
        },
        sum(|report| report.dropped),
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
        list.iter().map(|interval| json!([interval.start, interval.end])).collect()
    };
    json!({
        "stream": report.stream,
        "namespace": report.origin.namespace,
        "pod": report.origin.pod,
        "container": report.origin.container,
        "records": report.records,
        "bytes": report.bytes,
        "dropped": report.dropped,
        "unread": report.unread,
        "gaps": intervals(&report.gaps),
        "overlaps": intervals(&report.overlaps),
        "open_start": report.open_start,
        "ended": report.ended,
        "whole": report.is_whole(),
    })
}
