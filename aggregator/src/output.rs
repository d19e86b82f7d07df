//! One output: from fragments of many batches to bodies in its queue.
//!
//! Room is reserved in every output before anything is written (DELIVERY rule 16). Fragments are
//! gathered into one body by size, by number of documents or after some milliseconds (rule 17), so
//! that ten thousand slow streams do not make ten thousand small bodies; documents in doubt get
//! bodies of their own, so that those without cost nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use store::Encoding;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

mod disk_queue;
mod encode;

pub use disk_queue::{DiskQueue, DiskQueueOptions};
pub use encode::{Encoder, Part};

use crate::clock::wall_ms;
use crate::pipeline::{Fragment, Pool, Stopping};

/// When a body is full.
#[derive(Debug, Clone, Copy)]
pub struct SealOptions {
    /// Uncompressed bytes of a body; a single larger fragment makes a larger body.
    pub max_bytes: usize,
    /// Documents of a body.
    pub max_docs: u64,
    /// How long the first fragment waits for more.
    pub max_age: Duration,
}

/// Where an output keeps bodies until they are delivered.
#[derive(Clone)]
pub enum Keep {
    /// On disk; acknowledged after fsync.
    Disk(Arc<DiskQueue>),
    /// In memory; acknowledged when the store has answered (`ack: store`).
    Memory(Arc<store::MemoryQueue>),
}

impl Keep {
    /// The queue that the sender drains.
    pub fn queue(&self) -> Arc<dyn store::Queue> {
        match self {
            Self::Disk(queue) => Arc::clone(queue) as Arc<dyn store::Queue>,
            Self::Memory(queue) => Arc::clone(queue) as Arc<dyn store::Queue>,
        }
    }

    /// Takes nothing more.
    pub fn close(&self) {
        match self {
            Self::Disk(queue) => queue.close(),
            Self::Memory(queue) => queue.close(),
        }
    }
}

/// Room for one fragment, reserved before it is written.
#[derive(Debug)]
pub enum Room {
    /// In the disk buffer.
    Disk(buffer::Reservation),
    /// In memory, until the store has answered.
    Memory(store::MemoryReservation),
}

/// Why a fragment is not durable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// No room at the moment; nothing was written.
    #[error("output `{output}` is full")]
    Full {
        /// Name of the output.
        output: String,
    },
    /// It would have no room even if it were nearly empty; nothing was written.
    #[error(
        "output `{output}` takes at most {most} bytes at once, these documents may need {bytes}: smaller chunks pass, or a larger `buffer.max_bytes`"
    )]
    TooLarge {
        /// Name of the output.
        output: String,
        /// Bytes that the documents may take.
        bytes: u64,
        /// Bytes that it takes at once.
        most: u64,
    },
    /// The store refuses some of the documents and there is nowhere to park them.
    #[error("output `{output}` refuses documents for {targets}")]
    Refused {
        /// Name of the output.
        output: String,
        /// The places that refuse.
        targets: String,
    },
    /// The disk failed, or the program stops.
    #[error("output `{output}`: {reason}")]
    Failed {
        /// Name of the output.
        output: String,
        /// What happened.
        reason: String,
    },
}

struct Item {
    fragment: Fragment,
    room: Room,
    reply: oneshot::Sender<Result<(), Failure>>,
}

/// An output's intake. Clones feed the same one.
#[derive(Clone)]
pub struct Output {
    name: Arc<str>,
    optional: bool,
    keep: Keep,
    items: mpsc::Sender<Item>,
}

/// Fragments that wait for the sealer; each holds reserved room, so bytes are bounded there.
const WAITING_FRAGMENTS: usize = 256;

/// Bodies that are compressed and written at once, per output.
const SEALING_BODIES: usize = 8;

/// Bytes that an entry may take beside its documents: its head, and what compression adds to
/// bytes that do not compress.
const ENTRY_OVERHEAD_BYTES: u64 = 4096;

impl Output {
    /// Starts the sealer of the output `name` on `tasks`.
    pub fn start(
        name: &str,
        optional: bool,
        keep: Keep,
        options: SealOptions,
        encoding: impl Fn() -> Encoding + Send + Sync + 'static,
        pool: Arc<Pool>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (items, receiver) = mpsc::channel(WAITING_FRAGMENTS);
        let name: Arc<str> = name.into();
        let sealer = Sealer {
            name: Arc::clone(&name),
            keep: keep.clone(),
            options,
            encoding: Box::new(encoding),
            pool,
        };
        tasks.spawn(sealer.run(receiver));
        Self {
            name,
            optional,
            keep,
            items,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a chunk is acknowledged without it.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Reserves room for `fragment`.
    ///
    /// # Errors
    /// [`Failure::Full`], and [`Failure::TooLarge`] when waiting would not help; nothing is written
    /// then.
    pub fn reserve(&self, fragment: &Fragment) -> Result<Room, Failure> {
        let names: usize = fragment
            .targets
            .iter()
            .map(|target| target.index.len() + target.namespace.len())
            .sum();
        let bytes = fragment.most_bytes()
            + ENTRY_OVERHEAD_BYTES
            + (names + 16 * (fragment.runs.len() + fragment.targets.len())) as u64;
        let full = || Failure::Full {
            output: self.name.to_string(),
        };
        match &self.keep {
            Keep::Disk(queue) if bytes > queue.most_bytes() => Err(Failure::TooLarge {
                output: self.name.to_string(),
                bytes,
                most: queue.most_bytes(),
            }),
            Keep::Disk(queue) => queue.reserve(bytes).map(Room::Disk).map_err(|_| full()),
            // Empty, it takes one body of any size.
            Keep::Memory(queue) => queue.try_reserve(bytes).map(Room::Memory).ok_or_else(full),
        }
    }

    /// Writes `fragment`; resolves when it is durable.
    ///
    /// # Errors
    /// When it is not; some of it may have been written all the same.
    pub async fn write(&self, fragment: Fragment, room: Room) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Failure::Failed {
            output: self.name.to_string(),
            reason: "the aggregator is stopping".to_owned(),
        };
        self.items
            .send(Item {
                fragment,
                room,
                reply,
            })
            .await
            .map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

struct Sealer {
    name: Arc<str>,
    keep: Keep,
    options: SealOptions,
    /// How documents are compressed that are not yet.
    encoding: Box<dyn Fn() -> Encoding + Send + Sync>,
    pool: Arc<Pool>,
}

/// Fragments that will be one body.
#[derive(Default)]
struct Gathered {
    items: Vec<Item>,
    bytes: usize,
    docs: u64,
    in_doubt: bool,
    /// How the first pieces are compressed.
    encoding: Option<Encoding>,
}

impl Gathered {
    fn push(&mut self, item: Item) {
        self.bytes += item.fragment.raw_len();
        self.encoding = self.encoding.or(item.fragment.encoding());
        self.docs += item.fragment.docs();
        self.in_doubt |= item.fragment.doubt_since_ms.is_some();
        self.items.push(item);
    }

    /// Whether a fragment may be in a body with these: a store is told one encoding of a body, and
    /// what is in doubt has bodies of its own.
    fn goes_with(&self, fragment: &Fragment) -> bool {
        let encodings = self.encoding.zip(fragment.encoding());
        self.in_doubt == fragment.doubt_since_ms.is_some() && encodings.is_none_or(|(a, b)| a == b)
    }
}

impl Sealer {
    async fn run(self, mut receiver: mpsc::Receiver<Item>) {
        let this = Arc::new(self);
        let mut writes: JoinSet<()> = JoinSet::new();
        let mut next = receiver.recv().await;
        while let Some(first) = next.take() {
            let mut gathered = Gathered::default();
            gathered.push(first);
            let deadline = Instant::now() + this.options.max_age;
            while gathered.bytes < this.options.max_bytes && gathered.docs < this.options.max_docs {
                let Ok(more) = tokio::time::timeout_at(deadline, receiver.recv()).await else {
                    break;
                };
                let Some(item) = more else { break };
                let fits = gathered.bytes + item.fragment.raw_len() <= this.options.max_bytes;
                if !fits || !gathered.goes_with(&item.fragment) {
                    next = Some(item);
                    break;
                }
                gathered.push(item);
            }
            while writes.len() >= SEALING_BODIES {
                log_panic(writes.join_next().await);
            }
            let sealer = Arc::clone(&this);
            writes.spawn(async move { sealer.seal(gathered).await });
            while let Some(done) = writes.try_join_next() {
                log_panic(Some(done));
            }
            if next.is_none() {
                next = receiver.recv().await;
            }
        }
        while !writes.is_empty() {
            log_panic(writes.join_next().await);
        }
    }

    /// Compresses what is not yet of one body and writes it, and tells everybody who waits for it.
    async fn seal(&self, gathered: Gathered) {
        let encoding = gathered.encoding.unwrap_or_else(|| (self.encoding)());
        let mut body = Fragment::default();
        let mut raw_len = 0u64;
        let mut parts = Vec::with_capacity(gathered.items.len());
        let mut rooms = Vec::with_capacity(gathered.items.len());
        let mut replies = Vec::with_capacity(gathered.items.len());
        for Item {
            fragment,
            room,
            reply,
        } in gathered.items
        {
            raw_len += fragment.raw_len() as u64;
            body.doubt(fragment.doubt_since_ms);
            for run in &fragment.runs {
                let target = &fragment.targets[usize::from(run.target)];
                let number = body.target(&target.index, &target.namespace);
                match body.runs.last_mut() {
                    Some(last) if last.target == number => last.docs += run.docs,
                    _ => body.runs.push(store::Run {
                        target: number,
                        docs: run.docs,
                    }),
                }
            }
            parts.push(fragment.into_part());
            rooms.push(room);
            replies.push(reply);
        }
        let meta = store::BodyMeta {
            encoding,
            raw_len,
            created_ms: wall_ms(),
            targets: body.targets,
            runs: body.runs,
            doubt_since_ms: body.doubt_since_ms,
            lane: store::Lane::Fresh,
        };
        let result = match self.pieces(encoding, parts).await {
            Ok(bytes) => self.keep(meta, bytes, rooms).await,
            Err(stopping) => Err(self.failed(stopping.to_string())),
        };
        if let Err(failure) = &result {
            tracing::warn!(output = %self.name, error = %failure, "cannot keep a body: agents send it again");
        }
        for reply in replies {
            // Nobody waits any more when the answer was due earlier.
            drop(reply.send(result.clone()));
        }
    }

    async fn pieces(&self, encoding: Encoding, parts: Vec<Part>) -> Result<Vec<Bytes>, Stopping> {
        match parts.iter().all(|part| part.raw.is_empty()) {
            true => Ok(parts.into_iter().flat_map(|part| part.pieces).collect()),
            false => self.pool.encode(encoding, parts).await,
        }
    }

    async fn keep(
        &self,
        meta: store::BodyMeta,
        bytes: Vec<Bytes>,
        rooms: Vec<Room>,
    ) -> Result<(), Failure> {
        match &self.keep {
            Keep::Disk(queue) => {
                faults::point("output.append");
                let mut reservation: Option<buffer::Reservation> = None;
                for room in rooms {
                    let Room::Disk(room) = room else { continue };
                    match &mut reservation {
                        Some(reservation) => reservation.merge(room),
                        None => reservation = Some(room),
                    }
                }
                let reservation = reservation.expect("a body has at least one fragment");
                queue
                    .append(reservation, &meta, bytes)
                    .await
                    .map_err(|error| self.failed(error.to_string()))
            }
            Keep::Memory(queue) => {
                let names: Vec<String> = meta
                    .targets
                    .iter()
                    .map(|target| target.index.clone())
                    .collect();
                let body = store::Body {
                    meta,
                    bytes: encode::join(bytes),
                };
                let mut rooms = rooms.into_iter();
                let Some(Room::Memory(room)) = rooms.next() else {
                    return Err(self.failed("a body without room".to_owned()));
                };
                let ticket = queue.push(room, body);
                // The queue counts the body itself from here on.
                drop(rooms);
                let outcome = ticket
                    .delivered()
                    .await
                    .map_err(|error| self.failed(error.to_string()))?;
                if outcome.refused.is_empty() {
                    return Ok(());
                }
                let refused: Vec<&str> = outcome
                    .refused
                    .iter()
                    .filter_map(|&target| names.get(usize::from(target)).map(String::as_str))
                    .collect();
                Err(Failure::Refused {
                    output: self.name.to_string(),
                    targets: refused.join(", "),
                })
            }
        }
    }

    fn failed(&self, reason: String) -> Failure {
        Failure::Failed {
            output: self.name.to_string(),
            reason,
        }
    }
}

fn log_panic(done: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = done {
        tracing::error!(%error, "a task that seals bodies has failed; this is a bug");
    }
}
