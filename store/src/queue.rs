//! Where the sender takes bodies from, and where it leaves what the store refuses.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Body, BodyMeta, BoxFuture};

/// A body that waits for delivery.
#[derive(Debug, Clone)]
pub struct Queued {
    /// Names the entry in the queue's other calls. Unique within its queue.
    pub id: u64,
    /// What the body holds.
    pub meta: BodyMeta,
    /// The body.
    pub bytes: Bytes,
    /// Wall time in milliseconds of the first post whose outcome nobody knows, when an earlier
    /// process (or an earlier turn before [`Queue::give_back`]) made one.
    pub posted_ms: Option<u64>,
}

/// How the delivery of an entry ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Targets (positions in [`BodyMeta::targets`]) whose documents the store refuses and that the
    /// queue could not park. Empty when every document is in the store or parked. Never set for a
    /// queue whose [`Queue::park`] keeps documents.
    pub refused: Vec<u16>,
}

/// Why a body was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The data stream's quota (or the reserve) is used up.
    #[error("cannot park documents: the quota is used up")]
    Full,
    /// This queue parks nothing: who pushed the body is told (`ack: store`).
    #[error("cannot park documents: the queue keeps nothing")]
    NotKept,
    /// The disk failed.
    #[error("cannot park documents: {0}")]
    Failed(String),
}

/// What the sender drains. Implemented over the disk buffer (`ack: buffer`) and by
/// [`crate::MemoryQueue`] (`ack: store`).
///
/// Mended documents and dead letters need no room in the queue: an entry counts as done only when
/// all its documents are delivered in one form or another, so a full buffer can always drain.
pub trait Queue: Send + Sync {
    /// The next body, oldest first; waits when there is none, `None` when the queue is closed and
    /// empty. Must be safe to cancel: a dropped future has taken nothing.
    fn next(&self) -> BoxFuture<'_, Option<Queued>>;

    /// The entry is about to be posted at this wall time: until `done`, its outcome is unknown.
    /// Called before each first post; need not be on disk when it returns.
    fn posted(&self, id: u64, wall_ms: u64);

    /// The entry is finished and may be forgotten.
    fn done(&self, id: u64, outcome: Outcome);

    /// The entry was taken but not finished: hand it out again, with `posted_ms` as it is now.
    fn give_back(&self, id: u64);

    /// Keeps the documents of one data stream that the store refuses, in a queue of its own with a
    /// quota, using the spare reserve (delivery rules 18 and 19). Durable when it resolves.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`]: the sender keeps the entry and reports the data stream as refused.
    fn park<'a>(&'a self, data_stream: &'a str, body: Body) -> BoxFuture<'a, Result<(), PutError>>;

    /// The queue of parked documents of a data stream, when there is one. Its `park` is never
    /// called.
    fn parked(&self, data_stream: &str) -> Option<Arc<dyn Queue>>;

    /// The data streams that have parked documents.
    fn parked_streams(&self) -> Vec<String>;

    /// Bytes parked, all data streams together.
    fn parked_bytes(&self) -> u64 {
        0
    }
}
