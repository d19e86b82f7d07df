//! The queue of `ack: store`: bodies wait in memory, and whoever pushed one learns when the store
//! has it. Bounded in bytes; keeps nothing over a restart, so it never parks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::{Body, BodyMeta, BoxFuture, Outcome, PutError, Queue, Queued};

/// A queue of bodies in memory.
#[derive(Debug)]
pub struct MemoryQueue {
    max_bytes: u64,
    state: Mutex<State>,
    /// Rings when a body comes in or the queue closes.
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    /// Bytes reserved and bytes of entries.
    used: u64,
    waiting: VecDeque<u64>,
    entries: BTreeMap<u64, Entry>,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    meta: BodyMeta,
    bytes: Bytes,
    posted_ms: Option<u64>,
    reserved: u64,
    ticket: oneshot::Sender<Outcome>,
}

/// Room in a [`MemoryQueue`]; given back when dropped.
#[derive(Debug)]
pub struct MemoryReservation {
    queue: Arc<MemoryQueue>,
    bytes: u64,
}

/// Resolves when the pushed body is delivered.
#[derive(Debug)]
pub struct DeliveryTicket(oneshot::Receiver<Outcome>);

/// The queue went away before the body was delivered: its outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot tell whether the documents were delivered: the sender has stopped")]
pub struct Abandoned;

impl DeliveryTicket {
    /// Waits for the delivery. The outcome names the targets that the store refuses.
    ///
    /// # Errors
    ///
    /// [`Abandoned`] when the queue is dropped first.
    pub async fn delivered(self) -> Result<Outcome, Abandoned> {
        self.0.await.map_err(|_| Abandoned)
    }
}

impl MemoryQueue {
    /// A queue that holds at most `max_bytes` of (compressed) bodies.
    pub fn new(max_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            max_bytes,
            state: Mutex::default(),
            arrived: Notify::new(),
        })
    }

    /// Reserves room for a body of `bytes`, or answers `None`. An empty queue takes one body of
    /// any size.
    pub fn try_reserve(self: &Arc<Self>, bytes: u64) -> Option<MemoryReservation> {
        let mut state = self.lock();
        if state.closed || (state.used > 0 && state.used.saturating_add(bytes) > self.max_bytes) {
            return None;
        }
        state.used += bytes;
        Some(MemoryReservation {
            queue: Arc::clone(self),
            bytes,
        })
    }

    /// Takes a body in. A reservation that is smaller than the body is grown.
    pub fn push(&self, mut reservation: MemoryReservation, body: Body) -> DeliveryTicket {
        let (sender, receiver) = oneshot::channel();
        let len = body.bytes.len() as u64;
        let mut state = self.lock();
        state.used = state.used - std::mem::take(&mut reservation.bytes) + len;
        let id = state.next_id;
        state.next_id += 1;
        state.entries.insert(
            id,
            Entry {
                meta: body.meta,
                bytes: body.bytes,
                posted_ms: None,
                reserved: len,
                ticket: sender,
            },
        );
        state.waiting.push_back(id);
        drop(state);
        self.arrived.notify_one();
        DeliveryTicket(receiver)
    }

    /// Takes nothing more; [`Queue::next`] answers `None` once what waits is handed out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    /// Bytes reserved or held.
    pub fn used_bytes(&self) -> u64 {
        self.lock().used
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.queue.lock().used -= self.bytes;
        }
    }
}

impl Queue for MemoryQueue {
    fn next(&self) -> BoxFuture<'_, Option<Queued>> {
        Box::pin(async move {
            loop {
                let arrived = self.arrived.notified();
                {
                    let mut state = self.lock();
                    if let Some(id) = state.waiting.pop_front() {
                        let more = !state.waiting.is_empty() || state.closed;
                        let entry = state.entries.get(&id).expect("waiting ids have an entry");
                        let queued = Queued {
                            id,
                            meta: entry.meta.clone(),
                            bytes: entry.bytes.clone(),
                            posted_ms: entry.posted_ms,
                        };
                        drop(state);
                        if more {
                            self.arrived.notify_one();
                        }
                        return Some(queued);
                    }
                    if state.closed {
                        drop(state);
                        self.arrived.notify_one();
                        return None;
                    }
                }
                arrived.await;
            }
        })
    }

    fn posted(&self, id: u64, wall_ms: u64) {
        if let Some(entry) = self.lock().entries.get_mut(&id) {
            entry.posted_ms.get_or_insert(wall_ms);
        }
    }

    fn done(&self, id: u64, outcome: Outcome) {
        let mut state = self.lock();
        let Some(entry) = state.entries.remove(&id) else {
            return;
        };
        state.used -= entry.reserved;
        drop(state);
        // Who waits may have gone; then nobody needs to know.
        drop(entry.ticket.send(outcome));
    }

    fn give_back(&self, id: u64) {
        let mut state = self.lock();
        if state.entries.contains_key(&id) && !state.waiting.contains(&id) {
            state.waiting.push_front(id);
            drop(state);
            self.arrived.notify_one();
        }
    }

    fn park<'a>(&'a self, _: &'a str, _: Body) -> BoxFuture<'a, Result<(), PutError>> {
        Box::pin(std::future::ready(Err(PutError::NotKept)))
    }

    fn parked(&self, _: &str) -> Option<Arc<dyn Queue>> {
        None
    }

    fn parked_streams(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoding, Lane, Run, Target};

    fn body(len: usize) -> Body {
        Body {
            meta: BodyMeta {
                encoding: Encoding::Identity,
                raw_len: len as u64,
                created_ms: 1,
                targets: vec![Target {
                    index: "i".into(),
                    namespace: String::new(),
                }],
                runs: vec![Run { target: 0, docs: 1 }],
                doubt_since_ms: None,
                lane: Lane::Fresh,
            },
            bytes: Bytes::from(vec![b'x'; len]),
        }
    }

    #[tokio::test]
    async fn room_is_bounded_and_comes_back() {
        let queue = MemoryQueue::new(100);
        let first = queue.try_reserve(60).unwrap();
        assert!(queue.try_reserve(60).is_none());
        drop(first);
        let room = queue.try_reserve(60).unwrap();
        let ticket = queue.push(room, body(50));
        assert_eq!(queue.used_bytes(), 50);
        let queued = queue.next().await.unwrap();
        queue.done(queued.id, Outcome { refused: vec![0] });
        assert_eq!(ticket.delivered().await, Ok(Outcome { refused: vec![0] }));
        assert_eq!(queue.used_bytes(), 0);
    }

    #[tokio::test]
    async fn a_body_given_back_comes_again_with_its_mark() {
        let queue = MemoryQueue::new(100);
        let ticket = queue.push(queue.try_reserve(5).unwrap(), body(5));
        let queued = queue.next().await.unwrap();
        assert_eq!(queued.posted_ms, None);
        queue.posted(queued.id, 77);
        queue.posted(queued.id, 99);
        queue.give_back(queued.id);
        let again = queue.next().await.unwrap();
        assert_eq!((again.id, again.posted_ms), (queued.id, Some(77)));
        queue.close();
        assert!(queue.next().await.is_none());
        drop(queue);
        drop(ticket);
    }

    #[tokio::test]
    async fn a_closed_queue_hands_out_what_waits() {
        let queue = MemoryQueue::new(100);
        let _a = queue.push(queue.try_reserve(5).unwrap(), body(5));
        let _b = queue.push(queue.try_reserve(5).unwrap(), body(6));
        queue.close();
        assert!(queue.try_reserve(1).is_none());
        assert_eq!(queue.next().await.unwrap().bytes.len(), 5);
        assert_eq!(queue.next().await.unwrap().bytes.len(), 6);
        assert!(queue.next().await.is_none());
        assert!(queue.next().await.is_none());
    }
}
