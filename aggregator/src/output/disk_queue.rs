//! The sender's queue over disk buffers: one for what comes in, one for each parked data stream.
//!
//! A data stream whose documents the store refuses is parked apart, so that segments of the main
//! buffer are freed and other data streams go on (DELIVERY rule 19).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use buffer::{Buffer, EntryId, Reservation};
use bytes::Bytes;
use store::{Body, BodyMeta, BoxFuture, Outcome, PutError, Queue, Queued};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{error, warn};

/// Sizes of an output's buffers.
#[derive(Debug, Clone)]
pub struct DiskQueueOptions {
    /// Of the main buffer.
    pub main: buffer::Options,
    /// Bytes that one parked data stream may take.
    pub parked_max_bytes: u64,
}

/// The buffers of one output: `<dir>/main` and `<dir>/parked/<data stream>`.
pub struct DiskQueue {
    dir: PathBuf,
    options: DiskQueueOptions,
    main: Buffer,
    /// Bodies read ahead by `reader`.
    ready: tokio::sync::Mutex<mpsc::Receiver<Queued>>,
    reader: AbortHandle,
    parked: Mutex<HashMap<String, Arc<DiskQueue>>>,
}

/// Bodies read ahead of the sender: enough that it finds the next one when it is done with one,
/// or wants to join small ones.
const READ_AHEAD_BODIES: usize = 4;

impl Drop for DiskQueue {
    fn drop(&mut self) {
        // What was read ahead stays undelivered in the buffer.
        self.reader.abort();
    }
}

impl DiskQueue {
    /// Opens the buffers in `dir`, those of parked data streams that are left from before too.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When a buffer cannot be opened. Damage is no error: it is logged and counted.
    pub fn open(dir: &Path, options: DiskQueueOptions) -> Result<Self, buffer::Error> {
        let main = open(&dir.join("main"), options.main.clone())?;
        let queue = Self::over(main, dir.to_owned(), options);
        let parked_dir = queue.dir.join("parked");
        for entry in std::fs::read_dir(&parked_dir)
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let Some(data_stream) = name.to_str().and_then(unescape) else {
                warn!(path = %entry.path().display(), "not a parked data stream's buffer: left alone");
                continue;
            };
            queue.open_parked(&data_stream)?;
        }
        Ok(queue)
    }

    fn over(main: Buffer, dir: PathBuf, options: DiskQueueOptions) -> Self {
        let (sender, ready) = mpsc::channel(READ_AHEAD_BODIES);
        let reader = tokio::spawn(read_ahead(main.clone(), sender)).abort_handle();
        Self {
            dir,
            options,
            main,
            ready: tokio::sync::Mutex::new(ready),
            reader,
            parked: Mutex::new(HashMap::new()),
        }
    }

    /// Bytes that it takes at once: half of its room, so that a body finds room as soon as the
    /// other half is delivered. What needs more would wait for a buffer without any other entry,
    /// which a busy one never is.
    pub fn most_bytes(&self) -> u64 {
        let main = &self.options.main;
        main.max_bytes.saturating_sub(main.reserve_bytes) / 2
    }

    /// Reserves room for a body of at most `bytes`, its head included.
    ///
    /// # Errors
    /// When the buffer is full.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, buffer::Full> {
        self.main.reserve(bytes)
    }

    /// Appends a body; resolves when it is durable.
    ///
    /// # Errors
    /// When it is not.
    pub async fn append(
        &self,
        reservation: Reservation,
        meta: &BodyMeta,
        bytes: Vec<Bytes>,
    ) -> Result<(), buffer::AppendError> {
        self.main
            .append(reservation, meta.encode(), bytes)
            .await
            .map(drop)
    }

    /// Exposes the figures of the main buffer.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.main.register(registry);
    }

    /// A glance at the main buffer.
    pub fn stats(&self) -> buffer::Stats {
        self.main.stats()
    }

    /// The parked data streams, with a glance at each one's buffer.
    pub fn parked_stats(&self) -> Vec<(String, buffer::Stats)> {
        let parked = self.lock();
        let mut stats: Vec<_> = parked
            .iter()
            .map(|(name, queue)| (name.clone(), queue.stats()))
            .collect();
        stats.sort_by(|a, b| a.0.cmp(&b.0));
        stats
    }

    /// Ends appending and handing out; what is left stays for the next start.
    pub fn close(&self) {
        self.main.close();
        for queue in self.lock().values() {
            queue.close();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<DiskQueue>>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_parked(&self, data_stream: &str) -> Result<Arc<DiskQueue>, buffer::Error> {
        let mut parked = self.lock();
        if let Some(queue) = parked.get(data_stream) {
            return Ok(Arc::clone(queue));
        }
        let segment_bytes = self
            .options
            .main
            .segment_bytes
            .min(self.options.parked_max_bytes / 4);
        let options = DiskQueueOptions {
            main: buffer::Options {
                max_bytes: self.options.parked_max_bytes,
                segment_bytes: segment_bytes.max(1 << 20),
                // What comes back from a parked stream is mended or filed from here too.
                reserve_bytes: self.options.parked_max_bytes / 8,
                // What is parked waits long.
                keep_bytes: 0,
                ..self.options.main.clone()
            },
            parked_max_bytes: 0,
        };
        let dir = self.dir.join("parked").join(escape(data_stream));
        let queue = Arc::new(Self::over(open(&dir, options.main.clone())?, dir, options));
        parked.insert(data_stream.to_owned(), Arc::clone(&queue));
        Ok(queue)
    }

    /// Appends with the reserve that keeps a full buffer draining.
    async fn put_spare(&self, body: Body) -> Result<(), PutError> {
        let head = body.meta.encode();
        let bytes = (head.len() + body.bytes.len()) as u64;
        let reservation = self.main.reserve_spare(bytes).map_err(|_| PutError::Full)?;
        self.main
            .append(reservation, head, vec![body.bytes])
            .await
            .map(drop)
            .map_err(|error| match error {
                buffer::AppendError::Full => PutError::Full,
                error => PutError::Failed(error.to_string()),
            })
    }
}

fn open(dir: &Path, options: buffer::Options) -> Result<Buffer, buffer::Error> {
    let (buffer, recovery) = Buffer::open(dir, options, buffer::disk())?;
    if recovery.torn_bytes > 0 {
        warn!(
            dir = %dir.display(), bytes = recovery.torn_bytes,
            "dropped the torn end of a write that was never acknowledged"
        );
    }
    for damage in &recovery.damaged {
        error!(
            path = %damage.path.display(), offset = damage.offset, bytes = damage.bytes,
            entries = damage.entries.end - damage.entries.start,
            "buffer entries are damaged and lost; `buffer verify` shows more"
        );
    }
    Ok(buffer)
}

/// Reads bodies off the reactor, so that [`Queue::next`] only takes what is there and can be
/// dropped at any moment.
async fn read_ahead(buffer: Buffer, ready: mpsc::Sender<Queued>) {
    while let Some(entry) = buffer.next().await {
        let id = entry.id;
        let from = buffer.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || from.read(id)).await else {
            return;
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                error!(%error, "cannot read a body back from the buffer");
                continue;
            }
        };
        let meta = match BodyMeta::decode(&entry.head) {
            Ok(meta) => meta,
            Err(error) => {
                // The checksum was right, so another version wrote it: kept, not sent.
                error!(%error, entry = %id, "cannot read the head of a buffer entry: left in place");
                continue;
            }
        };
        let queued = Queued {
            id: id.0,
            meta,
            bytes,
            posted_ms: entry.posted_ms,
        };
        if ready.send(queued).await.is_err() {
            return;
        }
    }
}

impl Queue for DiskQueue {
    fn next(&self) -> BoxFuture<'_, Option<Queued>> {
        Box::pin(async move { self.ready.lock().await.recv().await })
    }

    fn posted(&self, id: u64, wall_ms: u64) {
        self.main.mark_posted(EntryId(id), wall_ms);
    }

    fn done(&self, id: u64, _outcome: Outcome) {
        self.main.done(EntryId(id));
    }

    fn give_back(&self, id: u64) {
        self.main.give_back(EntryId(id));
    }

    fn park<'a>(&'a self, data_stream: &'a str, body: Body) -> BoxFuture<'a, Result<(), PutError>> {
        Box::pin(async move {
            let queue = self
                .open_parked(data_stream)
                .map_err(|error| PutError::Failed(error.to_string()))?;
            queue.put_spare(body).await
        })
    }

    fn parked(&self, data_stream: &str) -> Option<Arc<dyn Queue>> {
        let queue = self.lock().get(data_stream).map(Arc::clone)?;
        Some(queue)
    }

    fn parked_streams(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn parked_bytes(&self) -> u64 {
        self.lock()
            .values()
            .map(|queue| queue.stats().undelivered_bytes)
            .sum()
    }
}

/// A data stream's name as the name of a folder: what is no letter, digit, `-`, `_` or inner dot
/// becomes `%` and two hex digits.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0);
        if plain {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02x}"));
        }
    }
    escaped
}

fn unescape(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_data_streams_become_safe_folders_and_back() {
        for name in [
            "logs-kubernetes.container_logs-default",
            "..",
            "a/b",
            ".ds-x",
            "größe%41",
        ] {
            let folder = escape(name);
            assert!(
                !folder.contains('/') && !folder.starts_with('.'),
                "{folder}"
            );
            assert_eq!(unescape(&folder).as_deref(), Some(name));
        }
        assert_eq!(unescape("%zz"), None);
    }
}
