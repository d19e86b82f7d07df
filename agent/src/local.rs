//! An agent within another program: its batches go to that program by a channel, as they are,
//! instead of over the network. Everything else is the same: chunks, seals, checkpoints, metadata.
//!
//! It has a thread of its own, so that a slow disk stops nobody else.

use crate::exchange::{Answered, ExchangeError};
use crate::metrics::Metrics;
use crate::pods::NodePods;
use crate::run;
use crate::session::View;
use crate::status;
use anyhow::{Context, bail};
use bytes::Bytes;
use config::agent::AgentConfig;
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::info;

/// A batch for the program around the agent.
#[derive(Debug)]
pub struct LocalBatch {
    /// The batch as `docs/protocol.md` has it, not compressed.
    pub body: Bytes,
    /// Takes the answer that would go over the network. When it is dropped, what became of the
    /// batch counts as unknown.
    pub reply: oneshot::Sender<Answered>,
}

/// Where batches go within the program.
#[derive(Debug, Clone)]
pub struct Link {
    /// Takes them.
    pub batches: mpsc::Sender<LocalBatch>,
    /// What the log and `status` call the receiver.
    pub address: SocketAddr,
}

impl Link {
    /// Hands `body` over and waits for the answer, at most for `limit`.
    pub(crate) async fn send(
        self,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answered, ExchangeError> {
        let address = self.address;
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            let sent = self.batches.send(LocalBatch { body, reply }).await;
            sent.map_err(|_| ExchangeError::NotSent {
                address,
                reason: "it is stopping".to_owned(),
            })?;
            answer.await.map_err(|_| ExchangeError::Lost {
                address,
                reason: "it gave none".to_owned(),
            })
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ExchangeError::TimedOut { address, limit }),
        }
    }
}

/// A running agent within another program.
#[derive(Debug)]
pub struct LocalAgent {
    shown: Shown,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<anyhow::Result<()>>,
    thread: JoinHandle<()>,
}

/// What is shown of it. Clones show the same agent.
#[derive(Debug, Clone)]
pub struct Shown {
    view: View,
    metrics: Metrics,
    node: String,
    asks_for_pods: bool,
}

impl LocalAgent {
    /// Opens the data directory and begins to read on a thread of its own; batches go to `link`.
    /// Of `config` the keys about the network and the program's own pages and log mean nothing.
    ///
    /// # Errors
    /// When the data directory cannot be used, or another agent uses it.
    pub async fn start(config: AgentConfig, link: Link) -> anyhow::Result<Self> {
        let metrics = Metrics::default();
        let (stop, stopped) = oneshot::channel();
        let (begun, beginning) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (node, counters) = (config.node_name.clone(), metrics.clone());
        let thread = std::thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || {
                let result = work(&config, &link, &counters, begun, stopped);
                // Whoever waited for it is gone when the program ends otherwise.
                drop(end.send(result));
            })
            .context("cannot start the agent's thread")?;
        let Ok((view, asks_for_pods)) = beginning.await else {
            return match ended.await {
                Ok(Err(problem)) => Err(problem),
                Ok(Ok(())) | Err(_) => bail!("the agent's thread has ended; this is a bug"),
            };
        };
        let shown = Shown {
            view,
            metrics,
            node,
            asks_for_pods,
        };
        Ok(Self {
            shown,
            stop,
            ended,
            thread,
        })
    }

    /// What is shown of it.
    pub fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// Runs until `stop` resolves; then reads nothing more, and waits for answers under way.
    ///
    /// # Errors
    /// When it has ended by itself, or the journal cannot be written at the end.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self {
            stop: tell,
            mut ended,
            thread,
            ..
        } = self;
        tokio::select! {
            early = &mut ended => {
                return match early {
                    Ok(Err(problem)) => Err(problem.context("the agent has ended")),
                    Ok(Ok(())) => bail!("the agent has ended without being told to; this is a bug"),
                    Err(_) => bail!("the agent has panicked; this is a bug"),
                };
            }
            () = stop => {}
        }
        // It may have ended meanwhile: the result tells.
        tell.send(()).ok();
        let result = ended
            .await
            .context("the agent has panicked; this is a bug")?;
        if thread.join().is_err() {
            bail!("the agent has panicked; this is a bug");
        }
        result
    }
}

impl Shown {
    /// Puts the agent's figures into `registry`, under the names that they have in
    /// `tailrace-agent`.
    ///
    /// # Errors
    /// When the agent has ended.
    pub fn register(&self, registry: &mut Registry) -> anyhow::Result<()> {
        run::register(&self.view, &self.metrics, registry)
    }

    /// What the agent's page `/status` has.
    pub fn status(&self) -> Value {
        let kubernetes = self.asks_for_pods.then_some(&self.metrics.kubernetes);
        status::json(&self.view, &self.node, kubernetes)
    }

    /// Why its checkpoints cannot be written, for `/readyz`.
    ///
    /// # Errors
    /// The reason.
    pub fn can_journal(&self) -> Result<(), String> {
        status::can_journal(&self.view)
    }
}

/// The thread's work, from the first look at the data directory to the last write there.
fn work(
    config: &AgentConfig,
    link: &Link,
    metrics: &Metrics,
    begun: oneshot::Sender<(View, bool)>,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the agent's runtime")?;
    runtime.block_on(async {
        let pods: NodePods = run::learn_pods(config, metrics)?;
        let (mut session, journal) = run::start(config, metrics, &pods, Some(link))?;
        let files: Vec<&str> = config.files.include.iter().map(|it| it.as_str()).collect();
        info!(
            node = config.node_name,
            files = files.join(" "),
            "reading files of this machine"
        );
        drop(begun.send((session.view(), pods.known().is_some())));
        session
            .run(async {
                // The sender's end says the same as its message.
                stopped.await.ok();
            })
            .await;
        journal.stop().await;
        run::stop(session, config).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::{HeaderMap, StatusCode};

    fn link() -> (Link, mpsc::Receiver<LocalBatch>) {
        let (batches, receiver) = mpsc::channel(1);
        let address = SocketAddr::from(([127, 0, 0, 1], 7080));
        (Link { batches, address }, receiver)
    }

    /// DELIVERY rule 11: doubt arises where something may have been stored, and nowhere else.
    #[tokio::test(start_paused = true)]
    async fn each_end_of_the_channel_has_its_meaning() {
        let limit = Duration::from_secs(30);
        let (to, mut receiver) = link();
        let answer = tokio::spawn(async move {
            let batch = receiver.recv().await.unwrap();
            let answered = Answered {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: batch.body,
            };
            drop(batch.reply.send(answered));
        });
        let answered = to.send(Bytes::from_static(b"batch"), limit).await.unwrap();
        assert_eq!(answered.body, "batch");
        answer.await.unwrap();

        let (to, receiver) = link();
        drop(receiver);
        let outcome = to.send(Bytes::new(), limit).await;
        assert!(matches!(outcome, Err(ExchangeError::NotSent { .. })));

        let (to, mut receiver) = link();
        let drops = tokio::spawn(async move { drop(receiver.recv().await) });
        let outcome = to.send(Bytes::new(), limit).await;
        assert!(matches!(outcome, Err(ExchangeError::Lost { .. })));
        drops.await.unwrap();

        let (to, _receiver) = link();
        let outcome = to.send(Bytes::new(), limit).await;
        assert!(matches!(outcome, Err(ExchangeError::TimedOut { .. })));
    }
}
