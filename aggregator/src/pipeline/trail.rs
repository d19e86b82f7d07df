//! The audit trail: documents that say what became of bytes that are no record.
//!
//! Runs of records that rules dropped, and bytes that an agent passed over as their pod asks, leave
//! their intervals, and a finished stream leaves its size, so that an audit can tell intention from
//! loss (DELIVERY rule 24). They go to a data stream of their own, [`store::AUDIT_STREAM`], out of the
//! way of people who search logs.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use wire::{Chunk, StreamEnd};

use super::fragment::Fragment;
use super::metadata::StreamMeta;

/// A run of adjacent dropped bytes of one stream.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    input: usize,
    stream: u64,
    start: u64,
    end: u64,
    records: u64,
    rule: String,
}

/// Collects what rules drop from one group of chunks.
#[derive(Debug, Default)]
pub(super) struct DroppedRuns {
    runs: Vec<Run>,
}

impl DroppedRuns {
    /// Takes one dropped record; `parts` are its runs of lines when they are not adjacent.
    pub(super) fn push(
        &mut self,
        input: usize,
        record: &framing::Record,
        parts: &[(u64, u64, u64)],
        rule: &str,
    ) {
        if parts.is_empty() {
            self.interval(input, record.stream, record.offset, record.length, rule, 1);
        }
        for (number, &(stream, offset, length)) in parts.iter().enumerate() {
            self.interval(input, stream, offset, length, rule, u64::from(number == 0));
        }
    }

    /// Takes dropped bytes from `start` on, with the records that begin there.
    pub(super) fn interval(
        &mut self,
        input: usize,
        stream: u64,
        start: u64,
        length: u64,
        rule: &str,
        records: u64,
    ) {
        let end = start.saturating_add(length);
        match self.runs.last_mut() {
            Some(run) if run.stream == stream && run.end == start && run.rule == rule => {
                run.end = end;
                run.records += records;
            }
            _ => self.runs.push(Run {
                input,
                stream,
                start,
                end,
                records,
                rule: rule.to_owned(),
            }),
        }
    }

    /// Appends one document a run to every fragment.
    pub(super) fn append(
        self,
        metas: &[Arc<StreamMeta>],
        doubt_since_ms: Option<u64>,
        now_ms: u64,
        fragments: &mut [Fragment],
    ) {
        for run in self.runs {
            let body = json!({
                "stream": hex(run.stream),
                "length": run.end - run.start,
                "dropped": {"rule": run.rule, "records": run.records},
            });
            for fragment in fragments.iter_mut() {
                append(
                    fragment,
                    &metas[run.input],
                    run.stream,
                    run.start,
                    "dropped",
                    &body,
                    now_ms,
                );
                fragment.doubt(doubt_since_ms);
            }
        }
    }
}

/// Appends the document that says that the chunk's stream is over.
pub(super) fn append_end(
    fragment: &mut Fragment,
    chunk: &Chunk<'_>,
    end: &StreamEnd,
    meta: &StreamMeta,
    now_ms: u64,
) {
    let body = json!({
        "stream": hex(chunk.stream),
        "length": 0,
        "end": {"size": end.size, "unread": end.unread, "successor": end.successor.map(hex)},
    });
    append(fragment, meta, chunk.stream, end.size, "end", &body, now_ms);
}

fn append(
    fragment: &mut Fragment,
    meta: &StreamMeta,
    stream: u64,
    offset: u64,
    kind: &str,
    tailrace: &Value,
    now_ms: u64,
) {
    let mut document = Map::new();
    let now = i64::try_from(now_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    document.insert("@timestamp".into(), json!(now.to_string()));
    document.insert(
        "event".into(),
        json!({"kind": "event", "action": format!("stream-{kind}")}),
    );
    let field = |key: &str| meta.context.get(key).map(str::to_owned);
    if let Some(namespace) = field("kubernetes.namespace") {
        document.insert(
            "kubernetes".into(),
            json!({
                "namespace": namespace,
                "pod": {"name": field("kubernetes.pod.name"), "uid": field("kubernetes.pod.uid")},
                "container": {"name": field("kubernetes.container.name")},
                "node": {"name": field("kubernetes.node.name")},
            }),
        );
    }
    document.insert(
        "log".into(),
        json!({"offset": offset, "file": {"path": field("log.file.path")}}),
    );
    document.insert("tailrace".into(), tailrace.clone());
    let target = fragment.target(store::AUDIT_STREAM, &meta.namespace);
    // The kind keeps the two documents of one offset apart.
    let id = store::document_id(
        stream,
        offset,
        xxhash_rust::xxh3::xxh3_64(kind.as_bytes()) as u32,
    );
    // Serialising a tree of strings and numbers into memory cannot fail.
    let text = Value::Object(document).to_string();
    fragment.append(target, &id, text.as_bytes());
}

fn hex(stream: u64) -> String {
    format!("{stream:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_drops_of_one_rule_are_one_run() {
        let mut dropped = DroppedRuns::default();
        dropped.interval(0, 7, 0, 10, "noise", 1);
        dropped.interval(0, 7, 10, 5, "noise", 1);
        dropped.interval(0, 7, 20, 5, "noise", 1);
        dropped.interval(0, 7, 25, 5, "other", 1);
        let bounds: Vec<_> = dropped
            .runs
            .iter()
            .map(|run| (run.start, run.end, run.records))
            .collect();
        assert_eq!(bounds, [(0, 15, 2), (20, 25, 1), (25, 30, 1)]);
    }

    #[test]
    fn a_run_becomes_a_document_with_its_interval() {
        let json = br#"{"kubernetes.namespace":"shop","kubernetes.pod.name":"cart-1"}"#;
        let meta = Arc::new(StreamMeta {
            context: Arc::new(parsers::StreamContext::new(json).unwrap()),
            routers: [].into(),
            places: vec![],
            namespace: "shop".into(),
            passed_over: None,
        });
        let mut dropped = DroppedRuns::default();
        dropped.interval(0, 0xabc, 100, 50, "noise", 3);
        let mut fragments = vec![Fragment::default()];
        dropped.append(&[meta], Some(5), 1_000, &mut fragments);
        let documents = fragments[0].documents().unwrap();
        let lines: Vec<Value> = documents
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(lines[0]["create"]["_index"], store::AUDIT_STREAM);
        assert_eq!(lines[1]["tailrace"]["stream"], "0000000000000abc");
        assert_eq!(lines[1]["tailrace"]["length"], 50);
        assert_eq!(lines[1]["log"]["offset"], 100);
        assert_eq!(lines[1]["kubernetes"]["pod"]["name"], "cart-1");
        assert_eq!(fragments[0].doubt_since_ms, Some(5));
        assert_eq!(fragments[0].docs(), 1);
    }
}
