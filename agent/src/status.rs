//! What the agent tells of itself: `/status` as JSON, its table for people, gauges that are
//! measured only when somebody looks.

use crate::session::{Shared, View};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;
use tail::{Loss, StreamStatus, Tailer};
use telemetry::table::{self, Table};
use tokio::time::Instant;

/// The page `/status`.
pub(crate) fn json(view: &View, node: &str, kubernetes: Option<&k8s::Metrics>) -> Value {
    let shared = view.lock();
    let lag = shared.tailer.as_ref().map(Tailer::lag).unwrap_or_default();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": node,
        "lag_bytes": lag.bytes,
        "lag_seconds": lag.oldest.as_secs_f64(),
        "unacknowledged_bytes": shared.tailer.as_ref().map_or(0, Tailer::unacknowledged),
        "journal_problem": shared.journal_problem,
        "aggregators": aggregators(&shared),
        "streams": streams(&shared),
        "lost_bytes": shared.tailer.as_ref().map_or(0, Tailer::bytes_lost),
        "kubernetes": kubernetes.map(pods),
        "losses": losses(&shared),
    })
}

/// Whether pods are known; `None` when nobody is asked.
fn pods(metrics: &k8s::Metrics) -> Value {
    json!({
        "answers": metrics.up.get() == 1,
        "pods": metrics.pods.get(),
        "deleted_pods": metrics.deleted_pods.get(),
        "unknown_pods": metrics.unknown_pods.get(),
    })
}

fn losses(shared: &Shared) -> Vec<Value> {
    let one = |loss: &Loss| {
        let ago = loss.at.elapsed().unwrap_or_default();
        json!({
            "path": loss.path.to_string_lossy(),
            "namespace": loss.namespace,
            "pod": loss.pod,
            "bytes": loss.bytes,
            "reason": loss.why,
            "seconds_ago": ago.as_secs_f64(),
        })
    };
    let losses = shared.tailer.iter().flat_map(Tailer::losses);
    losses.map(one).collect()
}

fn aggregators(shared: &Shared) -> Vec<Value> {
    let now = Instant::now();
    let one = |aggregator: &crate::balance::Aggregator| {
        json!({
            "address": aggregator.address.to_string(),
            "outstanding_bytes": aggregator.outstanding,
            "failures": aggregator.failures,
            "retry_in_ms": aggregator.pause(now).as_millis() as u64,
        })
    };
    shared.aggregators.iter().map(one).collect()
}

fn streams(shared: &Shared) -> Vec<Value> {
    let one = |stream: StreamStatus| {
        json!({
            "stream": stream.stream.map(|id| format!("{id:016x}")),
            "path": stream.path.to_string_lossy(),
            "real_path": stream.real_path.to_string_lossy(),
            "namespace": stream.namespace,
            "pod": stream.pod,
            "offset": stream.offset,
            "size": stream.size,
            "lag_bytes": stream.lag.bytes,
            "lag_seconds": stream.lag.oldest.as_secs_f64(),
            "lost_bytes": stream.lost,
        })
    };
    shared
        .tailer
        .as_ref()
        .map(Tailer::streams)
        .unwrap_or_default()
        .into_iter()
        .map(one)
        .collect()
}

/// Why no batch can be sent now, for `/readyz`.
pub(crate) fn can_send(view: &View) -> Result<(), String> {
    let shared = view.lock();
    let mut n_known = 0;
    for aggregator in shared.aggregators.iter() {
        if aggregator.failures == 0 {
            return Ok(());
        }
        n_known += 1;
    }
    Err(match n_known {
        0 => "no address of an aggregator is known".to_owned(),
        _ => format!("none of {n_known} aggregators takes batches"),
    })
}

/// Whether the journal can be written, for `/readyz`.
pub(crate) fn can_journal(view: &View) -> Result<(), String> {
    view.lock().journal_problem.clone().map_or(Ok(()), Err)
}

/// Gauges that cost a walk over all files, so they are measured at a scrape.
#[derive(Debug)]
pub(crate) struct LagCollector(pub(crate) View);

impl Collector for LagCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let shared = self.0.lock();
        let Some(tailer) = shared.tailer.as_ref() else {
            return Ok(());
        };
        let lag = tailer.lag();
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge(
            "lag_bytes",
            "Bytes in followed files that are not acknowledged",
            lag.bytes as f64,
        )?;
        gauge(
            "lag_seconds",
            "Age of the oldest of them, about",
            lag.oldest.as_secs_f64(),
        )?;
        gauge(
            "unacknowledged_bytes",
            "Bytes sent or about to be, and not acknowledged",
            tailer.unacknowledged() as f64,
        )?;
        let known = shared.aggregators.iter().count();
        let failing = shared.aggregators.iter().filter(|a| a.failures > 0).count();
        gauge(
            "aggregators_known",
            "Addresses of aggregators",
            known as f64,
        )?;
        gauge(
            "aggregators_failing",
            "Of these, how many failed last",
            failing as f64,
        )
    }
}

/// The table that `status` prints; at most `max_files` files, those with the largest lag first.
pub fn table(status: &Value, max_files: usize) -> String {
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let age = |value: &Value, key: &str| {
        let seconds = value.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        table::span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    };
    let list = |key: &str| {
        status
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };

    let mut streams = list("streams");
    let mut out = String::new();
    let head = format!(
        "node {}, version {}: {} files, {} behind ({}), {} on their way, {} lost",
        text(status, "node"),
        text(status, "version"),
        streams.len(),
        table::bytes(number(status, "lag_bytes")),
        age(status, "lag_seconds"),
        table::bytes(number(status, "unacknowledged_bytes")),
        table::bytes(number(status, "lost_bytes")),
    );
    out.push_str(&head);
    if let Some(problem) = status.get("journal_problem").and_then(Value::as_str) {
        // Writing into a string does not fail.
        write!(out, "\njournal cannot be written: {problem}").ok();
    }

    if let Some(kubernetes) = status.get("kubernetes").filter(|it| it.is_object()) {
        let answers = kubernetes.get("answers").and_then(Value::as_bool);
        let source = match answers {
            Some(true) => "",
            _ => " (the server does not answer: see the log)",
        };
        write!(
            out,
            "\n{} pods known{source}, {} deleted ones are still read, {} containers went by their paths",
            number(kubernetes, "pods"),
            number(kubernetes, "deleted_pods"),
            number(kubernetes, "unknown_pods"),
        )
        .ok();
    }

    let mut aggregators = Table::new(&["AGGREGATOR", "OUTSTANDING", "FAILURES", "RETRY IN"]);
    for aggregator in list("aggregators") {
        aggregators.row(&[
            text(&aggregator, "address"),
            table::bytes(number(&aggregator, "outstanding_bytes")),
            number(&aggregator, "failures").to_string(),
            match number(&aggregator, "retry_in_ms") {
                0 => "-".to_owned(),
                pause => table::span(Duration::from_millis(pause)),
            },
        ]);
    }
    match aggregators.is_empty() {
        true => out.push_str("\n\nno address of an aggregator is known"),
        false => {
            write!(out, "\n\n{aggregators}").ok();
        }
    }

    let pod = |value: &Value| match (text(value, "namespace"), text(value, "pod")) {
        (namespace, _) if namespace.is_empty() => "-".to_owned(),
        (namespace, pod) => format!("{namespace}/{pod}"),
    };
    let mut losses = Table::new(&["LOST", "POD", "AGO", "FILE", "REASON"]);
    // The youngest first.
    for loss in list("losses").iter().rev().take(max_files) {
        losses.row(&[
            table::bytes(number(loss, "bytes")),
            pod(loss),
            age(loss, "seconds_ago"),
            text(loss, "path"),
            text(loss, "reason"),
        ]);
    }
    if !losses.is_empty() {
        write!(out, "\n\n{losses}").ok();
    }

    streams.sort_by_key(|stream| std::cmp::Reverse(number(stream, "lag_bytes")));
    let mut files = Table::new(&["FILE", "POD", "OFFSET", "SIZE", "LAG", "FOR", "LOST"]);
    for stream in streams.iter().take(max_files) {
        files.row(&[
            text(stream, "real_path"),
            pod(stream),
            number(stream, "offset").to_string(),
            number(stream, "size").to_string(),
            table::bytes(number(stream, "lag_bytes")),
            age(stream, "lag_seconds"),
            table::bytes(number(stream, "lost_bytes")),
        ]);
    }
    if !files.is_empty() {
        write!(out, "\n\n{files}").ok();
    }
    if streams.len() > max_files {
        write!(
            out,
            "\n… and {} more files (--files N)",
            streams.len() - max_files
        )
        .ok();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_is_behind_first() {
        let stream = |path: &str, lag: u64, lost: u64| {
            json!({"real_path": path, "namespace": "shop", "pod": "cart-7", "offset": 10,
                   "size": 10 + lag, "lag_bytes": lag, "lag_seconds": 2.5, "lost_bytes": lost})
        };
        let status = json!({
            "version": "0.1.0", "node": "node-1", "lag_bytes": 2048, "lag_seconds": 61.0,
            "unacknowledged_bytes": 0, "journal_problem": "no space left on device",
            "aggregators": [{"address": "10.0.0.1:7080", "outstanding_bytes": 5, "failures": 2, "retry_in_ms": 400}],
            "streams": [stream("/a", 0, 0), stream("/b", 2048, 7), stream("/c", 0, 0)],
            "lost_bytes": 7,
            "losses": [{"path": "/gone", "namespace": "shop", "pod": "cart-6", "bytes": 7,
                        "reason": "file vanished unread", "seconds_ago": 61.0}],
        });
        let table = table(&status, 2);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[0],
            "node node-1, version 0.1.0: 3 files, 2.0 KiB behind (1m 1s), 0 B on their way, 7 B lost"
        );
        assert_eq!(
            lines[1],
            "journal cannot be written: no space left on device"
        );
        assert!(
            lines[4].starts_with("10.0.0.1:7080") && lines[4].ends_with("400ms"),
            "{table}"
        );
        assert!(
            lines[7].contains("shop/cart-6") && lines[7].contains("file vanished unread"),
            "{table}"
        );
        assert!(
            lines[10].starts_with("/b") && lines[11].starts_with("/a"),
            "{table}"
        );
        assert_eq!(lines[12], "… and 1 more files (--files N)");
    }

    #[test]
    fn an_empty_status_is_a_table_too() {
        let pods = json!({"kubernetes": {"answers": false, "pods": 3, "deleted_pods": 1}});
        let text = super::table(&pods, 10);
        assert!(
            text.contains("3 pods known (the server does not answer"),
            "{text}"
        );
        assert!(table(&json!({}), 10).contains("no address of an aggregator is known"));
    }
}
