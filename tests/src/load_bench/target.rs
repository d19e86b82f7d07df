//! The OpenSearch of a run, and the client that posts ready-made bodies to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bench::usage::Usage;
use hyper::body::Bytes;
use serde_json::Value;
use store::{DEAD_LETTER_STREAM, Elasticsearch, ElasticsearchOptions, Encoding, Store as _};
use tokio::{runtime::Runtime, task::JoinSet};

use super::{ready_made::ReadyMade, tell};
use crate::{
    server::{Product, Server},
    wait,
};

/// Last part of the name of the data stream.
pub(super) const NAMESPACE: &str = "bench";
/// Where the documents go.
const DATA_STREAM: &str = "logs-kubernetes.container_logs-bench";

/// Requests at a time, a connection each: more do not make the store any quicker on two cores.
const CONNECTIONS: usize = 2;
/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(120);
/// Before a request is sent again that the store had no room for.
const AGAIN: Duration = Duration::from_millis(100);
/// So often a body comes again.
const TRIES: u32 = 600;
/// How long the aggregator may take to put its templates.
const INSTALL: Duration = Duration::from_secs(60);
/// How long the store may merge behind the last document.
const SETTLE: Duration = Duration::from_secs(120);
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(500);
/// Looks in a row that find it at rest.
const LOOKS: u32 = 3;
/// One document of so many may be refused by the mapping.
const REFUSED: u64 = 100;

/// A server of its own, gone when dropped.
pub(super) struct Target {
    server: Server,
    client: Arc<Elasticsearch>,
}

impl Target {
    /// Starts a server and connects to it.
    pub(super) fn start(runtime: &Runtime) -> anyhow::Result<Self> {
        let server = Server::start(Product::OpenSearch)?;
        let mut options = ElasticsearchOptions::new(vec![server.url()]);
        options.request_timeout = REQUEST;
        let client = runtime.block_on(Elasticsearch::connect(options))?;
        Ok(Self {
            server,
            client: Arc::new(client),
        })
    }

    /// Its base URL.
    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    /// How Tailrace would compress bodies for it.
    pub(super) fn encoding(&self) -> Encoding {
        self.client.body_encoding()
    }

    /// What its processes have used so far.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of_tree(self.server.pid())
    }

    /// Waits until an aggregator has put its templates: the data stream of dead letters is made
    /// behind them.
    pub(super) fn wait_installed(&self) -> anyhow::Result<()> {
        let path = format!("/_data_stream/{DEAD_LETTER_STREAM}");
        wait::until_ok(INSTALL, "the aggregator's templates", || {
            self.server.http().get_json(&path).map(drop)
        })
    }

    /// Has it take the first `raw_bytes` of the bodies, and forget them: a virtual machine that has
    /// just started compiles its own code for the most part of its time.
    pub(super) fn warm_up(
        &self,
        runtime: &Runtime,
        ready: &Arc<ReadyMade>,
        raw_bytes: u64,
    ) -> anyhow::Result<()> {
        let n_bodies = ready.n_bodies_of(raw_bytes);
        if n_bodies > 0 {
            self.post(runtime, ready, n_bodies)?;
            let path = format!("/_data_stream/{DATA_STREAM}");
            self.server.http().json("DELETE", &path, &Value::Null)?;
        }
        self.settle()
    }

    /// Posts the first `n_bodies` of the bodies; the documents that were refused.
    pub(super) fn post(
        &self,
        runtime: &Runtime,
        ready: &Arc<ReadyMade>,
        n_bodies: usize,
    ) -> anyhow::Result<u64> {
        runtime.block_on(post_all(&self.client, ready, n_bodies))
    }

    /// The documents that it has, after a refresh.
    pub(super) fn count(&self) -> anyhow::Result<u64> {
        self.server.documents().count(DATA_STREAM, "*")
    }

    /// Waits until it merges nothing any more, so that what documents cost later is seen, too.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        // The dead letters' are always there; without any the answer would tell nothing.
        let path =
            format!("/{DATA_STREAM},{DEAD_LETTER_STREAM}/_stats/merge?ignore_unavailable=true");
        let began = Instant::now();
        let mut at_rest = 0;
        while at_rest < LOOKS {
            if began.elapsed() > SETTLE {
                tell(format_args!("the store still merges after {SETTLE:?}"));
                break;
            }
            wait::let_pass(LOOK);
            let stats = self.server.http().get_json(&path)?;
            let merging = stats["_all"]["total"]["merges"]["current"].as_u64();
            at_rest = match merging.context("the store does not tell whether it merges")? {
                0 => at_rest + 1,
                _ => 0,
            };
        }
        Ok(())
    }
}

async fn post_all(
    client: &Arc<Elasticsearch>,
    ready: &Arc<ReadyMade>,
    n_bodies: usize,
) -> anyhow::Result<u64> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut posting = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, ready, next) = (Arc::clone(client), Arc::clone(ready), Arc::clone(&next));
        posting.spawn(async move {
            let mut refused = 0;
            loop {
                let idx = next.fetch_add(1, Ordering::Relaxed);
                let Some(body) = ready.bodies.get(idx).filter(|_| idx < n_bodies) else {
                    return anyhow::Ok(refused);
                };
                refused += post(&client, &body.bytes, ready.encoding).await?;
            }
        });
    }
    let mut refused = 0;
    while let Some(ended) = posting.join_next().await {
        refused += ended.context("a connection's task failed")??;
    }
    ensure!(
        refused * REFUSED <= ready.documents,
        "{refused} of {} documents were refused: this is no ceiling",
        ready.documents
    );
    Ok(refused)
}

/// Posts a body until it is taken; the documents of it that were refused.
async fn post(client: &Elasticsearch, body: &Bytes, encoding: Encoding) -> anyhow::Result<u64> {
    for _ in 0..TRIES {
        let answer = client.bulk(body.clone(), encoding).await?;
        match answer.status {
            200 => return refused(&answer.body),
            // As a sender would, it comes again.
            429 => tokio::time::sleep(AGAIN).await,
            status => bail!(
                "a request was answered {status}: {}",
                String::from_utf8_lossy(&answer.body)
            ),
        }
    }
    bail!("a body was refused with 429 {TRIES} times, {AGAIN:?} apart")
}

/// The documents that an answer refuses. Reading all of it is left out where it need not be: the
/// client works on the store's cores.
fn refused(answer: &[u8]) -> anyhow::Result<u64> {
    if memchr::memmem::find(answer, b"\"errors\":false").is_some() {
        return Ok(0);
    }
    let answer: Value = serde_json::from_slice(answer).context("cannot read a bulk answer")?;
    let items = answer["items"]
        .as_array()
        .context("an answer without items")?;
    let is_taken = |item: &Value| item["create"]["status"] == 201;
    let refused = items.iter().filter(|item| !is_taken(item));
    if let Some(first) = refused.clone().next() {
        tell(format_args!("a document was refused: {first}"));
    }
    Ok(refused.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_stream_is_that_of_the_namespace() {
        let expected = format!("logs-kubernetes.container_logs-{NAMESPACE}");
        assert_eq!(DATA_STREAM, expected);
    }

    #[test]
    fn refused_documents_are_counted() {
        let all_taken = br#"{"took":1,"errors":false,"items":[{"create":{"status":201}}]}"#;
        assert_eq!(refused(all_taken).unwrap(), 0);
        let two_refused = br#"{"took":1,"errors":true,"items":[{"create":{"status":201}},
            {"create":{"status":400,"error":{}}},{"create":{"status":429,"error":{}}}]}"#;
        assert_eq!(refused(two_refused).unwrap(), 2);
        assert!(refused(b"{}").is_err());
    }
}
