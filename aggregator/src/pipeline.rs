//! From a batch's bytes to documents: what the worker threads do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use store::Encoding;
use tokio::sync::oneshot;

mod fragment;
mod inflate;
mod metadata;
mod plan;
mod route;
mod trail;
mod worker;

pub use fragment::Fragment;
pub use inflate::{BodyEncoding, Inflater};
pub use metadata::{MetadataCache, StreamMeta};
pub use plan::{Plan, RestoreError, RestoredPlans, SettingsKey};
pub use route::{Naming, Place, Router, Routers, Template};
pub use worker::{BatchError, LinePlace, OutputView, Processed, RawLine, RawLines, Shared};

use crate::output::{Encoder, Part};
use worker::Worker;

/// Whom a request comes from, as far as its token tells (DELIVERY rule 15).
pub type MaySendFor = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Figures of one group of chunks, counted by the worker and added once.
#[derive(Debug, Default, Clone, Copy)]
pub struct GroupCounts {
    /// Records that were complete.
    pub records: u64,
    /// Bytes of the file that they cover.
    pub bytes: u64,
    /// Records that rules dropped.
    pub dropped: u64,
    /// Records that no rule matched although there was one to try, nor any format.
    pub unparsed: u64,
}

enum Job {
    Batch {
        body: Bytes,
        encoding: BodyEncoding,
        may_send_for: MaySendFor,
        now_ms: u64,
        reply: oneshot::Sender<Result<Processed, BatchError>>,
    },
    Lines {
        lines: RawLines,
        now_ms: u64,
        reply: oneshot::Sender<Result<Vec<Fragment>, BatchError>>,
    },
    Encode {
        encoding: Encoding,
        parts: Vec<Part>,
        reply: oneshot::Sender<Vec<Bytes>>,
    },
}

/// The worker threads and the queue before them.
///
/// The queue holds as many jobs as there are workers times two; more wait in their
/// requests, whose bytes the receiver's memory limit bounds.
#[derive(Debug)]
pub struct Pool {
    jobs: tokio::sync::mpsc::Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

/// Enough that a worker that is done finds the next job waiting.
const JOBS_A_WORKER: usize = 2;

/// The workers are gone: the program is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the aggregator is stopping")]
pub struct Stopping;

impl Pool {
    /// Starts `threads` workers.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(shared: &Arc<Shared>, threads: usize) -> std::io::Result<Self> {
        let threads = threads.max(1);
        let (jobs, receiver) = tokio::sync::mpsc::channel(threads * JOBS_A_WORKER);
        let receiver = Arc::new(std::sync::Mutex::new(receiver));
        let threads = (0..threads)
            .map(|number| {
                let receiver = Arc::clone(&receiver);
                let shared = Arc::clone(shared);
                std::thread::Builder::new()
                    .name(format!("worker-{number}"))
                    .spawn(move || work(&receiver, &shared))
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Self { jobs, threads })
    }

    /// Runs one batch on a worker.
    ///
    /// # Errors
    /// [`Stopping`] when the pool is closed.
    pub async fn batch(
        &self,
        body: Bytes,
        encoding: BodyEncoding,
        may_send_for: MaySendFor,
        now_ms: u64,
    ) -> Result<Result<Processed, BatchError>, Stopping> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Batch {
            body,
            encoding,
            may_send_for,
            now_ms,
            reply,
        };
        self.jobs.send(job).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// Parses lines that are records by themselves on a worker.
    ///
    /// # Errors
    /// [`Stopping`] when the pool is closed.
    pub async fn lines(
        &self,
        lines: RawLines,
        now_ms: u64,
    ) -> Result<Result<Vec<Fragment>, BatchError>, Stopping> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Lines {
            lines,
            now_ms,
            reply,
        };
        self.jobs.send(job).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// Compresses what is not yet of `parts` on a worker: the pieces of one body.
    ///
    /// # Errors
    /// [`Stopping`] when the pool is closed.
    pub async fn encode(
        &self,
        encoding: Encoding,
        parts: Vec<Part>,
    ) -> Result<Vec<Bytes>, Stopping> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Encode {
                encoding,
                parts,
                reply,
            })
            .await
            .map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// Lets the workers finish what is queued and waits for them.
    pub fn stop(self) {
        drop(self.jobs);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread has panicked; this is a bug");
            }
        }
    }
}

fn work(jobs: &std::sync::Mutex<tokio::sync::mpsc::Receiver<Job>>, shared: &Arc<Shared>) {
    let mut worker = Worker::new(Arc::clone(shared));
    let mut encoder = Encoder::default();
    loop {
        // One idle worker waits in the channel, the others for the lock.
        let job = {
            let mut jobs = jobs
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            jobs.blocking_recv()
        };
        match job {
            None => return,
            Some(Job::Batch {
                body,
                encoding,
                may_send_for,
                now_ms,
                reply,
            }) => {
                let process =
                    |worker: &mut Worker| worker.process(&body, encoding, &*may_send_for, now_ms);
                // Nobody waits any more when the connection was closed: the agent comes again.
                drop(reply.send(guarded(&mut worker, shared, process)));
            }
            Some(Job::Lines {
                lines,
                now_ms,
                reply,
            }) => {
                let process = |worker: &mut Worker| worker.lines(&lines, now_ms);
                drop(reply.send(guarded(&mut worker, shared, process)));
            }
            Some(Job::Encode {
                encoding,
                parts,
                reply,
            }) => {
                drop(reply.send(encoder.join(encoding, parts)));
            }
        }
    }
}

/// Runs `process`. A poison batch must not cost a worker (DELIVERY rule 12): the agent sends its
/// chunks alone, then unparsed. The panic itself is logged by its hook.
fn guarded<T>(
    worker: &mut Worker,
    shared: &Arc<Shared>,
    process: impl FnOnce(&mut Worker) -> Result<T, BatchError>,
) -> Result<T, BatchError> {
    let result = catch_unwind(AssertUnwindSafe(|| process(worker))).unwrap_or_else(|_| {
        shared.metrics.panics.inc();
        Err(BatchError::Panic)
    });
    if matches!(result, Err(BatchError::Panic)) {
        *worker = Worker::new(Arc::clone(shared));
    }
    result
}
