//! A queue in memory that parks what the store refuses, as the disk buffer does, up to a quota.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use store::{Body, BoxFuture, MemoryQueue, Outcome, PutError, Queue, Queued};

/// A queue in memory that parks, as the disk buffer does.
pub(crate) struct ParkingQueue {
    main: Arc<MemoryQueue>,
    parked: Mutex<BTreeMap<String, Arc<MemoryQueue>>>,
    /// Bytes that each data stream may park.
    quota: u64,
}

impl ParkingQueue {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_quota(100 << 20)
    }

    pub(crate) fn with_quota(quota: u64) -> Arc<Self> {
        Arc::new(Self {
            main: MemoryQueue::new(100 << 20),
            parked: Mutex::default(),
            quota,
        })
    }

    pub(crate) fn push(&self, body: Body) {
        let room = self.main.try_reserve(body.bytes.len() as u64).unwrap();
        drop(self.main.push(room, body));
    }

    /// Bytes that wait in the main queue.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.main.used_bytes()
    }

    pub(crate) fn parked_bytes_now(&self) -> u64 {
        let parked = self.parked.lock().unwrap();
        parked.values().map(|q| q.used_bytes()).sum()
    }
}

impl Queue for ParkingQueue {
    fn next(&self) -> BoxFuture<'_, Option<Queued>> {
        self.main.next()
    }

    fn posted(&self, id: u64, wall_ms: u64) {
        self.main.posted(id, wall_ms);
    }

    fn done(&self, id: u64, outcome: Outcome) {
        self.main.done(id, outcome);
    }

    fn give_back(&self, id: u64) {
        self.main.give_back(id);
    }

    fn park<'a>(&'a self, data_stream: &'a str, body: Body) -> BoxFuture<'a, Result<(), PutError>> {
        let mut parked = self.parked.lock().unwrap();
        let queue = parked
            .entry(data_stream.to_owned())
            .or_insert_with(|| MemoryQueue::new(self.quota));
        let result = match queue.try_reserve(body.bytes.len() as u64) {
            Some(room) => {
                drop(queue.push(room, body));
                Ok(())
            }
            None => Err(PutError::Full),
        };
        Box::pin(std::future::ready(result))
    }

    fn parked(&self, data_stream: &str) -> Option<Arc<dyn Queue>> {
        let queue = self.parked.lock().unwrap().get(data_stream).cloned()?;
        Some(queue)
    }

    fn parked_streams(&self) -> Vec<String> {
        self.parked.lock().unwrap().keys().cloned().collect()
    }

    fn parked_bytes(&self) -> u64 {
        self.parked_bytes_now()
    }
}
