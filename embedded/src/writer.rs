//! The write side: new documents in, commits out.
//!
//! One lock orders everything that writes. A request is prepared (parsed and flattened) before it
//! takes the lock, and answered after the commit that holds its documents. Commits are shared: all
//! requests that wait are answered by one.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use rustc_hash::FxHashSet;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy, UserOperation};
use tantivy::{IndexWriter, Searcher};
use tokio::sync::oneshot;

use crate::bulk::{Action, ActionKind, Fate};
use crate::document::LogDocument;
use crate::field_table::FieldTable;
use crate::flatten::Flattener;
use crate::ids::{DocumentId, Streams};
use crate::locate::{self, Wanted};
use crate::partition::{Partition, Partitions};
use crate::schema::Fields;

/// Smallest arena of a thread that tantivy takes: for partitions that are written to now and then.
const SMALL_ARENA: usize = 15_000_000;
/// Largest one, a little below what its addresses of 32 bits reach.
const LARGE_ARENA: usize = 4_000_000_000;
/// With so many documents waiting a commit is worth its cost before the interval is over.
const EAGER_DOCS: usize = 20_000;
/// Segments with more documents are not merged further.
const MAX_MERGED_DOCS: usize = 5_000_000;

/// What the write side may use.
#[derive(Debug, Clone)]
pub(crate) struct WriterOptions {
    /// Arena of the writer, in bytes.
    pub(crate) arena: usize,
    /// Threads that index.
    pub(crate) threads: usize,
    /// Time between commits.
    pub(crate) interval: Duration,
    /// A partition that is larger is followed by a new one.
    pub(crate) max_partition_bytes: u64,
}

/// Why nothing of a request is stored; it may be sent again.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("cannot index: {0}")]
    Index(#[from] tantivy::TantivyError),
    #[error("cannot commit: {0}")]
    Commit(String),
    #[error("the store is closed")]
    Closed,
}

/// A request that is ready to be indexed.
#[derive(Debug)]
pub(crate) struct Prepared {
    items: Vec<PreparedItem>,
}

#[derive(Debug)]
struct PreparedItem {
    kind: ActionKind,
    index: Arc<str>,
    id: DocumentId,
    /// The document, or why it is none.
    document: Result<Option<LogDocument>, String>,
}

/// A request that is indexed.
#[derive(Debug)]
pub(crate) struct Applied {
    /// What each action was about: kind, index, id.
    pub(crate) names: Vec<(ActionKind, String, String)>,
    /// What became of each.
    pub(crate) fates: Vec<Fate>,
    pub(crate) committed: Committed,
}

/// Resolves when what a request wrote is committed and visible.
pub(crate) type Committed = oneshot::Receiver<Result<(), WriteError>>;

/// The write side.
pub(crate) struct Writer {
    fields: Fields,
    table: Arc<FieldTable>,
    partitions: Arc<Partitions>,
    options: WriterOptions,
    state: Mutex<State>,
    wake: Condvar,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

struct State {
    day: Option<OpenWriter>,
    kept: Option<OpenWriter>,
    streams: Streams,
    /// Documents that were indexed since the last commit.
    pending: FxHashSet<(Arc<str>, DocumentId)>,
    waiters: Vec<oneshot::Sender<Result<(), WriteError>>>,
    dirty_since: Option<Instant>,
    last_commit: Instant,
    /// Requests that are being prepared or wait for the lock.
    under_way: usize,
    flush: bool,
    is_closed: bool,
}

struct OpenWriter {
    partition: Arc<Partition>,
    writer: IndexWriter<LogDocument>,
}

impl OpenWriter {
    fn open(partition: Arc<Partition>, arena: usize, threads: usize) -> tantivy::Result<Self> {
        // No more than have the smallest arena each: `memory` counts, not the cores.
        let threads = threads.min(arena / SMALL_ARENA).max(1);
        let options = IndexWriterOptions::builder()
            .num_worker_threads(threads)
            .memory_budget_per_thread((arena / threads).clamp(SMALL_ARENA, LARGE_ARENA))
            .num_merge_threads(1)
            .build();
        let writer: IndexWriter<LogDocument> = partition.index.writer_with_options(options)?;
        let mut policy = LogMergePolicy::default();
        policy.set_max_docs_before_merge(MAX_MERGED_DOCS);
        writer.set_merge_policy(Box::new(policy));
        Ok(Self { partition, writer })
    }

    fn commit(&mut self) -> tantivy::Result<()> {
        self.writer.commit()?;
        self.partition.reload()
    }
}

/// Whether documents of an index are kept for good.
pub(crate) fn is_kept(index: &str) -> bool {
    index.starts_with('.') || index.starts_with("tailrace-")
}

impl Writer {
    pub(crate) fn new(
        fields: Fields,
        table: Arc<FieldTable>,
        partitions: Arc<Partitions>,
        options: WriterOptions,
    ) -> Self {
        Self {
            fields,
            table,
            partitions,
            options,
            state: Mutex::new(State {
                day: None,
                kept: None,
                streams: Streams::default(),
                pending: FxHashSet::default(),
                waiters: Vec::new(),
                dirty_since: None,
                last_commit: Instant::now(),
                under_way: 0,
                flush: false,
                is_closed: false,
            }),
            wake: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the documents of a request. Takes CPU; holds no lock.
    pub(crate) fn prepare(&self, actions: Vec<Action>) -> Prepared {
        self.lock().under_way += 1;
        let now = nanos(Timestamp::now());
        let mut flattener = Flattener::new(&self.table, self.fields);
        let mut names: HashMap<String, Arc<str>> = HashMap::new();
        let items = actions.into_iter().map(|action| {
            let Action {
                kind,
                index,
                id,
                source,
            } = action;
            let index = match names.get(&index) {
                Some(name) => Arc::clone(name),
                None => {
                    let name: Arc<str> = index.as_str().into();
                    names.insert(index, Arc::clone(&name));
                    name
                }
            };
            let id = match id {
                Some(id) => DocumentId::parse(&id),
                None => DocumentId::Named(generated_id().into()),
            };
            let document = match kind {
                ActionKind::Delete => Ok(None),
                _ => self
                    .document(&mut flattener, &index, &id, source, now)
                    .map(Some),
            };
            PreparedItem {
                kind,
                index,
                id,
                document,
            }
        });
        Prepared {
            items: items.collect(),
        }
    }

    fn document(
        &self,
        flattener: &mut Flattener<'_>,
        index: &Arc<str>,
        id: &DocumentId,
        source: Bytes,
        now: i64,
    ) -> Result<LogDocument, String> {
        let flat = flattener
            .read(&source)
            .map_err(|error| format!("failed to parse: {error}"))?;
        Ok(LogDocument {
            fields: self.fields,
            index: Arc::clone(index),
            id: id.clone(),
            source,
            timestamp: flat.timestamp.unwrap_or(now),
            values: flat.values,
        })
    }

    /// Indexes a request. The documents are durable and visible when the receiver resolves; so is
    /// every document that a duplicate of this request repeats.
    ///
    /// # Errors
    /// When the index fails: nothing of this commit is stored then.
    pub(crate) fn apply(&self, prepared: Prepared) -> Result<Applied, WriteError> {
        let mut state = self.lock();
        state.under_way -= 1;
        if state.is_closed {
            return Err(WriteError::Closed);
        }
        let names = prepared.items.iter();
        let names = names.map(|item| (item.kind, item.index.to_string(), item.id.to_string()));
        let names: Vec<_> = names.collect();
        let fates = match self.index(&mut state, prepared.items) {
            Ok(fates) => fates,
            Err(error) => {
                self.fail(&mut state, &WriteError::Index(error.clone()));
                return Err(error.into());
            }
        };
        let (waiter, committed) = oneshot::channel();
        if state.dirty_since.is_some() {
            state.waiters.push(waiter);
        } else {
            // Nothing was written, now or since the last commit.
            drop(waiter.send(Ok(())));
        }
        self.wake.notify_all();
        Ok(Applied {
            names,
            fates,
            committed,
        })
    }

    fn index(&self, state: &mut State, items: Vec<PreparedItem>) -> tantivy::Result<Vec<Fate>> {
        let mut fates = vec![Fate::Created; items.len()];
        let mut documents: Vec<Option<LogDocument>> = Vec::with_capacity(items.len());
        let mut doubtful: HashMap<[u8; 8], Wanted> = HashMap::new();
        let searchers: Vec<Searcher> = self
            .partitions
            .days()
            .iter()
            .map(|partition| partition.searcher())
            .collect();
        state.streams.begin_request();
        for (n, item) in items.into_iter().enumerate() {
            let PreparedItem {
                kind,
                index,
                id,
                document,
            } = item;
            documents.push(None);
            let Some(fate) = fates.get_mut(n) else {
                continue;
            };
            let document = match document {
                Ok(document) => document,
                Err(reason) => {
                    *fate = Fate::Refused("document_parsing_exception", reason);
                    continue;
                }
            };
            if is_kept(&index) {
                *fate = self.index_kept(state, kind, &index, &id, document)?;
                continue;
            }
            let document = match (kind, document) {
                (ActionKind::Delete, _) => {
                    *fate = self.delete(state, &searchers, &index, &id)?;
                    continue;
                }
                (ActionKind::Create, Some(document)) => document,
                _ => {
                    *fate = Fate::Refused(
                        "illegal_argument_exception",
                        "only write ops with an op_type of create are allowed in data streams"
                            .to_owned(),
                    );
                    continue;
                }
            };
            let is_new = match &id {
                DocumentId::Place(place) => state.streams.is_new(place, |stream| {
                    locate::highest_offset(&searchers, &self.fields, stream)
                })?,
                DocumentId::Named(_) => {
                    !state.pending.contains(&(Arc::clone(&index), id.clone()))
                        && !locate::exists(&searchers, &self.fields, &index, &id)?
                }
            };
            let is_pending = !is_new && state.pending.contains(&(Arc::clone(&index), id.clone()));
            match id {
                _ if is_new => {
                    state.pending.insert((index, id));
                }
                DocumentId::Place(place) if !is_pending => {
                    let asked = doubtful.entry(place.stream).or_default();
                    asked.entry((place.offset, place.hash)).or_default().push(n);
                    // A second copy within this request finds the first one.
                    state.pending.insert((index, DocumentId::Place(place)));
                }
                _ => {
                    *fate = Fate::Duplicate;
                    continue;
                }
            }
            if let Some(slot) = documents.last_mut() {
                *slot = Some(document);
            }
        }
        for (stream, wanted) in &doubtful {
            locate::existing(&searchers, &self.fields, stream, wanted, |index, askers| {
                for n in askers {
                    let slot = documents.get_mut(*n);
                    if let Some(slot) = slot
                        && slot
                            .as_ref()
                            .is_some_and(|document| &*document.index == index)
                    {
                        *slot = None;
                        if let Some(fate) = fates.get_mut(*n) {
                            *fate = Fate::Duplicate;
                        }
                    }
                }
            })?;
        }
        let additions: Vec<_> = documents
            .into_iter()
            .flatten()
            .map(UserOperation::Add)
            .collect();
        if !additions.is_empty() {
            let day = self.day(state)?;
            day.writer.run(additions)?;
            state.dirty_since.get_or_insert_with(Instant::now);
        }
        Ok(fates)
    }

    /// The writer of the day.
    fn day<'s>(&self, state: &'s mut State) -> tantivy::Result<&'s mut OpenWriter> {
        if state.day.is_none() {
            let last = self.partitions.days().pop();
            let last = match last {
                Some(last) => last,
                None => self.partitions.begin(Timestamp::now())?,
            };
            state.day = Some(OpenWriter::open(
                last,
                self.options.arena,
                self.options.threads,
            )?);
        }
        Ok(state.day.as_mut().expect("it was opened above"))
    }

    /// An action on an index that is kept for good: few and small documents that change.
    fn index_kept(
        &self,
        state: &mut State,
        kind: ActionKind,
        index: &Arc<str>,
        id: &DocumentId,
        document: Option<LogDocument>,
    ) -> tantivy::Result<Fate> {
        let kept = Arc::clone(&self.partitions.kept);
        let key = (Arc::clone(index), id.clone());
        let is_there = state.pending.contains(&key)
            || locate::exists(&[kept.searcher()], &self.fields, index, id)?;
        if state.kept.is_none() {
            state.kept = Some(OpenWriter::open(kept, SMALL_ARENA, 1)?);
        }
        let Some(open) = &mut state.kept else {
            return Ok(Fate::NotFound);
        };
        let fate = match (kind, is_there) {
            (ActionKind::Create, true) => return Ok(Fate::Duplicate),
            (ActionKind::Delete, false) => return Ok(Fate::NotFound),
            (ActionKind::Delete, true) => Fate::Deleted,
            (ActionKind::Index, true) => Fate::Updated,
            (_, false) => Fate::Created,
        };
        if is_there {
            open.writer
                .delete_query(locate::document_query(&self.fields, index, id))?;
            state.pending.remove(&key);
        }
        if let Some(document) = document {
            open.writer.add_document(document)?;
            state.pending.insert(key);
        }
        state.dirty_since.get_or_insert_with(Instant::now);
        Ok(fate)
    }

    /// Deletes one document of a day, wherever it is.
    fn delete(
        &self,
        state: &mut State,
        searchers: &[Searcher],
        index: &Arc<str>,
        id: &DocumentId,
    ) -> tantivy::Result<Fate> {
        let is_pending = state.pending.remove(&(Arc::clone(index), id.clone()));
        let query = || locate::document_query(&self.fields, index, id);
        let mut is_found = is_pending;
        let days = self.partitions.days();
        let last = days.len().saturating_sub(1);
        for (n, (partition, searcher)) in days.iter().zip(searchers).enumerate() {
            let is_there = query().count(searcher)? > 0;
            is_found |= is_there;
            if n == last && (is_there || is_pending) {
                self.day(state)?.writer.delete_query(query())?;
                state.dirty_since.get_or_insert_with(Instant::now);
            } else if is_there {
                let mut open = OpenWriter::open(Arc::clone(partition), SMALL_ARENA, 1)?;
                open.writer.delete_query(query())?;
                open.commit()?;
            }
        }
        Ok(if is_found {
            Fate::Deleted
        } else {
            Fate::NotFound
        })
    }

    /// Asks for a commit as soon as can be, and resolves after it.
    pub(crate) fn flush(&self) -> Committed {
        let (waiter, committed) = oneshot::channel();
        let mut state = self.lock();
        if state.dirty_since.is_none() || state.is_closed {
            drop(waiter.send(Ok(())));
        } else {
            state.waiters.push(waiter);
            state.flush = true;
            self.wake.notify_all();
        }
        committed
    }

    /// Takes nothing more; [`Writer::run`] commits what is there and ends.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_all();
    }

    /// Commits whenever it is time; returns after [`Writer::close`]. `upkeep` is called between
    /// commits, every `every`.
    pub(crate) fn run(&self, every: Duration, mut upkeep: impl FnMut()) {
        let mut next_upkeep = Instant::now();
        let mut state = self.lock();
        loop {
            if state.dirty_since.is_some() && self.is_time(&state) {
                self.commit(&mut state);
            }
            if state.is_closed && state.dirty_since.is_none() {
                break;
            }
            if Instant::now() >= next_upkeep {
                drop(state);
                upkeep();
                next_upkeep = Instant::now() + every;
                state = self.lock();
                self.begin_partition_when_due(&mut state);
            }
            let wait = match state.dirty_since {
                // Short, so that a burst is committed soon after its last request.
                Some(_) => self.options.interval.min(Duration::from_millis(20)),
                None => every,
            };
            state = match self.wake.wait_timeout(state, wait) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        // Merges that are under way are given up: they begin again at the next start.
        state.day = None;
        state.kept = None;
    }

    fn is_time(&self, state: &State) -> bool {
        let waited = state.last_commit.elapsed() >= self.options.interval;
        let all_wait = state.under_way == 0 && state.pending.len() >= EAGER_DOCS;
        state.flush || state.is_closed || waited || all_wait
    }

    fn commit(&self, state: &mut State) {
        state.flush = false;
        state.last_commit = Instant::now();
        let result = self.try_commit(state);
        match result {
            Ok(()) => {
                state.dirty_since = None;
                state.pending.clear();
                for waiter in state.waiters.drain(..) {
                    drop(waiter.send(Ok(())));
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot commit; the documents come again from the buffer");
                self.fail(state, &error);
            }
        }
    }

    fn try_commit(&self, state: &mut State) -> Result<(), WriteError> {
        self.table
            .save()
            .map_err(|error| WriteError::Commit(format!("`fields.json`: {error}")))?;
        for open in state.day.iter_mut().chain(&mut state.kept) {
            open.commit()?;
        }
        Ok(())
    }

    /// Nothing since the last commit is stored: everybody who waits is told, and what was derived
    /// from it is forgotten.
    fn fail(&self, state: &mut State, error: &WriteError) {
        // Dropping a writer gives up what it has not committed.
        state.day = None;
        state.kept = None;
        state.streams.forget();
        state.pending.clear();
        state.dirty_since = None;
        for waiter in state.waiters.drain(..) {
            drop(waiter.send(Err(error.clone())));
        }
    }

    /// A new day, or a partition that is large: what comes next goes into a new one.
    fn begin_partition_when_due(&self, state: &mut State) {
        let Some(last) = self.partitions.days().pop() else {
            return;
        };
        let now = Timestamp::now();
        let is_new_day = now.as_second().div_euclid(86_400) > last.began.div_euclid(86_400);
        let is_empty = last.searcher().num_docs() == 0 && state.dirty_since.is_none();
        let is_large = last.bytes() > self.options.max_partition_bytes;
        if is_empty || !(is_new_day || is_large) {
            return;
        }
        if state.dirty_since.is_some() {
            self.commit(state);
        }
        match self.partitions.begin(now) {
            Ok(_) => {
                if let Some(OpenWriter { partition, writer }) = state.day.take() {
                    // Merging may take minutes: not while requests wait. The thread ends with it.
                    let finish = move || {
                        if let Err(error) = writer.wait_merging_threads() {
                            tracing::warn!(%error, "cannot finish a merge");
                        }
                        if let Err(error) = partition.reload() {
                            tracing::warn!(%error, "cannot reload a partition");
                        }
                    };
                    let spawned = std::thread::Builder::new()
                        .name("merge-partition".to_owned())
                        .spawn(finish);
                    if let Err(error) = spawned {
                        tracing::warn!(%error, "cannot finish a partition's merges");
                    }
                }
            }
            Err(error) => tracing::error!(%error, "cannot begin a partition; the old one goes on"),
        }
    }
}

/// Nanoseconds since the epoch; the ends of what 64 bits hold for times beyond.
pub(crate) fn nanos(timestamp: Timestamp) -> i64 {
    i64::try_from(timestamp.as_nanosecond()).unwrap_or(if timestamp.as_second() < 0 {
        i64::MIN
    } else {
        i64::MAX
    })
}

/// An id for a document that came without one.
fn generated_id() -> String {
    use base64::Engine as _;
    let random = [
        fastrand::u64(..).to_be_bytes(),
        fastrand::u64(..).to_be_bytes(),
    ]
    .concat();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random)
}
