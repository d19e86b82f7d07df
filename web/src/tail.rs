//! New lines as they become durable, as server-sent events, before any store has them.
//!
//! Costs nothing while nobody watches. A watcher that is slow misses lines and is told so; it
//! never slows the pipeline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

use crate::access::Asker;
use crate::api::Api;
use crate::body::{Body, Feed, stream};
use crate::context::{field_text, field_value};
use crate::metrics::Limit;
use crate::params::Params;
use crate::problem::Problem;
use crate::query::{self, Matcher, field_for_values};

/// Batches that a slow watcher may lag behind; with [`MAX_BATCH`] this bounds the memory.
const WAITING_BATCHES: usize = 64;
/// Bytes of one batch that watchers get; the rest counts as skipped.
const MAX_BATCH: usize = 512 << 10;
/// How often lines are sent: a line shows within this.
const TICK: Duration = Duration::from_millis(200);
/// Lines of one event.
const MAX_EVENT: usize = 500;
/// Bytes of lines that wait for a tick.
const MAX_WAITING: usize = 4 << 20;

/// Durable documents in `_bulk` form.
#[derive(Debug, Clone)]
struct Batch {
    bytes: Bytes,
    /// Documents of the batch that are not in `bytes`.
    skipped: u64,
}

/// Where the pipeline puts what is durable.
#[derive(Debug)]
pub struct TailHub {
    batches: broadcast::Sender<Batch>,
}

impl Default for TailHub {
    fn default() -> Self {
        Self::new()
    }
}

impl TailHub {
    /// A hub that nobody watches yet.
    pub fn new() -> Self {
        Self {
            batches: broadcast::Sender::new(WAITING_BATCHES),
        }
    }

    /// Whether anybody watches: without, nothing needs to be copied.
    pub fn is_watched(&self) -> bool {
        self.batches.receiver_count() > 0
    }

    /// Shows the `docs` documents of `bulk`: an action and a document, a line each.
    pub fn publish(&self, bulk: &[u8], docs: u64) {
        if !self.is_watched() {
            return;
        }
        let mut taken = 0u64;
        let mut end = 0;
        let mut ends = bulk
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1);
        while let (Some(_), Some(document)) = (ends.next(), ends.next()) {
            if document > MAX_BATCH {
                break;
            }
            end = document;
            taken += 1;
        }
        let batch = Batch {
            bytes: Bytes::copy_from_slice(bulk.get(..end).unwrap_or_default()),
            skipped: docs.saturating_sub(taken),
        };
        // Without a watcher left there is nobody to tell.
        drop(self.batches.send(batch));
    }
}

/// Figures of a second.
#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    seen: u64,
    matched: u64,
    sent: u64,
    skipped: u64,
}

struct Watcher {
    matcher: Matcher,
    asker: Asker,
    columns: Vec<String>,
    rate: u64,
    waiting: Vec<Value>,
    waiting_bytes: usize,
    figures: Figures,
}

impl Watcher {
    /// Takes the lines of a batch that are wanted.
    fn take(&mut self, batch: &Batch) {
        self.figures.seen += batch.skipped;
        self.figures.skipped += batch.skipped;
        let mut lines = batch.bytes.split(|byte| *byte == b'\n');
        while let (Some(action), Some(document)) = (lines.next(), lines.next()) {
            self.document(action, document);
        }
    }

    fn document(&mut self, action: &[u8], document: &[u8]) {
        let Ok(action) = serde_json::from_slice::<Value>(action) else {
            return;
        };
        let action = &action["create"];
        let index = action["_index"].as_str().unwrap_or_default();
        // The audit trail is none of the logs.
        if index == store::AUDIT_STREAM || index == store::DEAD_LETTER_STREAM {
            return;
        }
        self.figures.seen += 1;
        if self.figures.sent + self.waiting.len() as u64 >= self.rate && self.matcher.is_all() {
            self.figures.matched += 1;
            self.figures.skipped += 1;
            return;
        }
        let Ok(source) = serde_json::from_slice::<Value>(document) else {
            return;
        };
        let namespace = field_text(&source, "kubernetes.namespace");
        if !self.asker.sees(namespace) || !self.matcher.is_match(&source) {
            return;
        }
        self.figures.matched += 1;
        let is_over = self.figures.sent + self.waiting.len() as u64 >= self.rate;
        if is_over || self.waiting_bytes + document.len() > MAX_WAITING {
            self.figures.skipped += 1;
            return;
        }
        self.waiting_bytes += document.len();
        self.waiting.push(json!({
            "id": action["_id"], "index": index, "cursor": "", "source": self.only(source),
        }));
    }

    /// The columns alone, where some are named.
    fn only(&self, source: Value) -> Value {
        if self.columns.is_empty() {
            return source;
        }
        let picked = self
            .columns
            .iter()
            .filter_map(|column| Some((column.clone(), field_value(&source, column)?.clone())));
        Value::Object(picked.collect())
    }

    /// The waiting lines as events.
    fn events(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        self.figures.sent += waiting.len() as u64;
        for lines in waiting.chunks(MAX_EVENT) {
            append_event("lines", &json!({"hits": lines}), &mut out);
        }
        out
    }

    fn stats(&mut self) -> Vec<u8> {
        let figures = std::mem::take(&mut self.figures);
        let mut out = Vec::new();
        let data = json!({
            "seen": figures.seen,
            "matched": figures.matched,
            "sent": figures.sent,
            "skipped": figures.skipped,
            "sampled": figures.skipped > 0,
        });
        append_event("stats", &data, &mut out);
        out
    }
}

fn append_event(name: &str, data: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}

impl Api {
    pub(crate) fn live(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["q", "rate", "fields"])?;
        let text = params.text("q", 4096)?.unwrap_or_default();
        let query = query::parse(text).map_err(|error| Problem::query("q", text, &error))?;
        let rate = params.number("rate", 1..=10_000, 2000)?;
        let columns = params.list("fields", 100, 2048)?.unwrap_or_default();
        let Ok(place) = Arc::clone(&self.tails).try_acquire_owned() else {
            self.metrics.refused(Limit::TAILS);
            return Err(Problem::busy(
                StatusCode::TOO_MANY_REQUESTS,
                "too many live tails are open: close one",
            ));
        };
        let watcher = Watcher {
            matcher: Matcher::new(&query),
            asker: asker.clone(),
            columns: columns.into_iter().map(field_for_values).collect(),
            rate: rate as u64,
            waiting: Vec::new(),
            waiting_bytes: 0,
            figures: Figures::default(),
        };
        let batches = self.tail.batches.subscribe();
        let stop = self.stop.clone();
        let (feed, body) = stream();
        let open = self.metrics.tail();
        tokio::spawn(async move {
            watch(watcher, batches, feed, stop).await;
            drop((open, place));
        });
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("text/event-stream"),
        );
        // Proxies that gather answers would show lines late.
        headers.insert("x-accel-buffering", header::HeaderValue::from_static("no"));
        Ok(response)
    }
}

/// Resolves when the program stops.
pub(crate) async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Sends until the reader goes or the program stops.
async fn watch(
    mut watcher: Watcher,
    mut batches: broadcast::Receiver<Batch>,
    feed: Feed,
    mut stop: tokio::sync::watch::Receiver<bool>,
) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut second = Instant::now();
    // Something at once: the page sees that it is connected.
    if !feed.send(watcher.stats()).await {
        return;
    }
    loop {
        tokio::select! {
            batch = batches.recv() => match batch {
                Ok(batch) => watcher.take(&batch),
                Err(RecvError::Lagged(batches)) => watcher.figures.skipped += batches,
                Err(RecvError::Closed) => break,
            },
            _ = tick.tick() => {
                let mut out = watcher.events();
                if second.elapsed() >= Duration::from_secs(1) {
                    second = Instant::now();
                    out.extend(watcher.stats());
                }
                if !out.is_empty() && !feed.send(out).await {
                    return;
                }
            }
            () = feed.closed() => return,
            () = stopped(&mut stop) => break,
        }
    }
    let mut out = watcher.events();
    append_event(
        "problem",
        &json!({"detail": "the aggregator is stopping"}),
        &mut out,
    );
    feed.send(out).await;
    feed.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    fn watcher(query: &str, rate: u64, namespaces: &[&str]) -> Watcher {
        Watcher {
            matcher: Matcher::new(&query::parse(query).unwrap()),
            asker: Asker {
                user: None,
                role: Role::Viewer,
                namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
                auth: "none",
            },
            columns: Vec::new(),
            rate,
            waiting: Vec::new(),
            waiting_bytes: 0,
            figures: Figures::default(),
        }
    }

    fn bulk(n: usize) -> Vec<u8> {
        (0..n)
            .flat_map(|n| {
                format!(
                    "{{\"create\":{{\"_index\":\"logs-a-default\",\"_id\":\"{n}\"}}}}\n{{\"message\":\"line {n}\",\"kubernetes\":{{\"namespace\":\"shop\"}}}}\n"
                )
                .into_bytes()
            })
            .collect()
    }

    #[test]
    fn lines_are_filtered_and_capped_and_that_is_said() {
        let hub = TailHub::new();
        let mut batches = hub.batches.subscribe();
        hub.publish(&bulk(10), 12);
        let batch = batches.try_recv().unwrap();
        for (query, rate, namespaces, sent, skipped) in [
            ("", 100, &[][..], 10, 2),
            ("line", 3, &[], 3, 9),
            ("", 3, &[], 3, 9),
            ("\"line 7\"", 100, &[], 1, 2),
            ("", 100, &["shop"], 10, 2),
            ("", 100, &["other"], 0, 2),
        ] {
            let mut watcher = watcher(query, rate, namespaces);
            watcher.take(&batch);
            let events = String::from_utf8(watcher.events()).unwrap();
            assert_eq!(events.matches("\"id\"").count(), sent, "{query} {rate}");
            let figures = watcher.figures;
            assert_eq!(
                (figures.seen, figures.skipped),
                (12, skipped),
                "{query} {rate}"
            );
        }
    }

    #[test]
    fn a_batch_that_is_too_large_is_cut_between_documents() {
        let hub = TailHub::new();
        let mut batches = hub.batches.subscribe();
        let bulk = bulk(20_000);
        assert!(bulk.len() > MAX_BATCH);
        hub.publish(&bulk, 20_000);
        let batch = batches.try_recv().unwrap();
        assert!(batch.bytes.len() <= MAX_BATCH && batch.bytes.ends_with(b"}\n"));
        let n = batch.bytes.iter().filter(|byte| **byte == b'\n').count() as u64 / 2;
        assert_eq!(n + batch.skipped, 20_000);
        drop(batches);
        assert!(!hub.is_watched());
    }
}
