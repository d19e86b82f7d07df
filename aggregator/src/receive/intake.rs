//! The last part of the way in: documents into every output, durable, and shown to those who
//! watch the live tail.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use web::TailHub;

use crate::metrics::PipelineMetrics;
use crate::output::{Failure, Output, Room};
use crate::pipeline::{Fragment, Pool};

/// The outputs behind all front doors.
pub struct Intake {
    /// The worker threads.
    pub pool: Arc<Pool>,
    outputs: Vec<Output>,
    answer_timeout: Duration,
    metrics: Arc<PipelineMetrics>,
    /// Where durable documents are shown.
    pub tail: Arc<TailHub>,
}

impl Intake {
    /// An intake that waits `answer_timeout` for documents to be durable.
    pub fn new(
        pool: Arc<Pool>,
        outputs: Vec<Output>,
        answer_timeout: Duration,
        metrics: Arc<PipelineMetrics>,
    ) -> Self {
        Self {
            pool,
            outputs,
            answer_timeout,
            metrics,
            tail: Arc::new(TailHub::new()),
        }
    }

    /// Puts the documents into every output and waits until they are durable, at most the answer's
    /// time-out; false when they are not by then.
    ///
    /// # Errors
    /// When an output that is not optional has no room; nothing is written then.
    pub async fn keep(&self, fragments: Vec<Fragment>) -> Result<bool, Failure> {
        let shown = self.shown(&fragments);
        let writes = self.reserve(fragments)?;
        let mut running: JoinSet<(bool, Result<(), Failure>)> = JoinSet::new();
        for (output, fragment, room) in writes {
            running.spawn(async move {
                let optional = output.is_optional();
                (optional, output.write(fragment, room).await)
            });
        }
        let deadline = tokio::time::Instant::now() + self.answer_timeout;
        let mut durable = true;
        loop {
            match tokio::time::timeout_at(deadline, running.join_next()).await {
                Ok(None) => break,
                Ok(Some(Ok((_, Ok(()))))) | Ok(Some(Ok((true, Err(_))))) => {}
                Ok(Some(Ok((false, Err(_)))) | Some(Err(_))) | Err(_) => {
                    durable = false;
                    break;
                }
            }
        }
        // What is still running goes on: the body may hold documents of others too.
        running.detach_all();
        if let Some((bulk, docs)) = shown.filter(|_| durable) {
            self.tail.publish(&bulk, docs);
        }
        Ok(durable)
    }

    /// A copy of the documents of one output, when somebody watches. All outputs get the same.
    fn shown(&self, fragments: &[Fragment]) -> Option<(Vec<u8>, u64)> {
        if !self.tail.is_watched() {
            return None;
        }
        let fragment = fragments.first()?;
        let documents = fragment.documents();
        let documents = documents
            .map_err(|error| tracing::error!(%error, "cannot show documents; this is a bug"));
        Some((documents.ok()?, fragment.docs()))
    }

    /// Reserves room in every output before anything is written to any (DELIVERY rule 16).
    fn reserve(&self, fragments: Vec<Fragment>) -> Result<Vec<(Output, Fragment, Room)>, Failure> {
        let mut writes = Vec::new();
        for (output, fragment) in self.outputs.iter().zip(fragments) {
            if fragment.is_empty() {
                continue;
            }
            match output.reserve(&fragment) {
                Ok(room) => writes.push((output.clone(), fragment, room)),
                Err(failure) if output.is_optional() => {
                    tracing::warn!(%failure, docs = fragment.docs(), "an optional output drops documents");
                    self.metrics
                        .dropped_by_output(output.name(), fragment.docs());
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(writes)
    }
}
