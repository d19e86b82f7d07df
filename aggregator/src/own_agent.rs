//! The agent within: files of this machine go the way of all batches, but over no network and
//! without compression.
//!
//! What a batch meets is the same as if it came from outside: a worker, the outputs, an answer that
//! says what is durable. So everything that holds for agents holds for it.

use std::net::SocketAddr;
use std::sync::Arc;

use agent::{Link, LocalAgent, LocalBatch, Shown};
use anyhow::Context as _;
use config::aggregator::AggregatorConfig;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::error;

use crate::receive::Receiver;

/// Batches that wait for the receiver; the agent's limit on what is in flight is the one that counts.
const WAITING_BATCHES: usize = 1;

/// An agent that reads, and its batches, which nobody takes yet.
pub(crate) struct OwnAgent {
    agent: LocalAgent,
    batches: mpsc::Receiver<LocalBatch>,
}

impl OwnAgent {
    /// Starts the agent that the configuration asks for; `None` where it asks for none. `address` is
    /// what batches are said to go to.
    ///
    /// # Errors
    /// When its data directory cannot be used.
    pub(crate) async fn start(
        config: &AggregatorConfig,
        address: SocketAddr,
    ) -> anyhow::Result<Option<Self>> {
        if !config.agent.enabled {
            return Ok(None);
        }
        let settings = config.agent.as_agent(
            &config.data_dir,
            config.receive.answer_timeout,
            config.workers,
            config.shutdown_grace / 2,
        );
        let (sender, batches) = mpsc::channel(WAITING_BATCHES);
        let link = Link {
            batches: sender,
            address,
        };
        let agent = LocalAgent::start(settings, link)
            .await
            .context("cannot follow files (section `agent`)")?;
        Ok(Some(Self { agent, batches }))
    }

    /// What is shown of it.
    pub(crate) fn shown(&self) -> Shown {
        self.agent.shown()
    }

    /// Takes its batches to `receiver`, until `stop` turns true and what was under way is answered.
    /// When the agent ends before, the reason goes to what is returned.
    pub(crate) fn serve(
        self,
        receiver: Arc<Receiver>,
        mut stop: watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) -> oneshot::Receiver<anyhow::Error> {
        let Self { agent, mut batches } = self;
        let (ended, end) = oneshot::channel();
        tasks.spawn(async move {
            let is_over = async {
                // The sender's end says the same as its message.
                stop.wait_for(|stop| *stop).await.ok();
            };
            if let Err(problem) = agent.run_until(is_over).await {
                error!("the agent within has ended: {problem:#}");
                // At the end of the program nobody waits for it.
                drop(ended.send(problem));
            }
        });
        tasks.spawn(async move {
            let mut at_work = JoinSet::new();
            while let Some(LocalBatch { body, reply }) = batches.recv().await {
                let receiver = Arc::clone(&receiver);
                at_work.spawn(async move {
                    // Nobody waits any more when the answer came too late.
                    drop(reply.send(receiver.take_local(body).await));
                });
                while at_work.try_join_next().is_some() {}
            }
            while at_work.join_next().await.is_some() {}
        });
        end
    }
}
