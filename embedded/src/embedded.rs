//! The store as a whole: opened from a directory, written to and searched through [`Store`].

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use store::{
    Answer, Backing, BoxFuture, Encoding, Flavour, IndexInfo, InstallOptions, InstallReport,
    RequestError, ServerInfo, Store, StoreError,
};
use tantivy::{Index, Searcher};
use tokio::sync::Semaphore;

use crate::bulk;
use crate::document::{LogDocument, Values};
use crate::field_table::{FieldTable, Kind, kind_of, type_names};
use crate::format;
use crate::ids::DocumentId;
use crate::partition::Partitions;
use crate::retention::{Keeper, RetentionOptions};
use crate::schema::{self, Fields};
use crate::search::query::QueryError;
use crate::search::{self, Context, Indices, Patience, Snapshot, matches_pattern};
use crate::writer::{Applied, Committed, WriteError, Writer, WriterOptions};

/// Time between looks at age, size and disk.
const UPKEEP: Duration = Duration::from_secs(10);
/// Searches that run at a time; more wait.
const MAX_SEARCHES: usize = 8;
/// Points in time that are open at a time.
const MAX_POINTS: usize = 200;
/// Longest life of a point in time without a search.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(3_600);
/// Host that errors name.
const HOST: &str = "embedded store";
/// Partitions that `max_bytes` is divided into at least, so that a little goes at a time.
const PARTITIONS_OF_SIZE: u64 = 16;

/// How the store works.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Documents are kept this long after they came. Default 30 days.
    pub retention: Duration,
    /// Most bytes on disk; the oldest documents go first. Default 50 GiB.
    pub max_bytes: u64,
    /// Bytes of the disk that stay free. Default 1 GiB.
    pub min_free_bytes: u64,
    /// Bytes of memory for indexing; searches may use half as much again. Default 256 MiB.
    pub memory: u64,
    /// Time until a document is found by a search. Default 500 ms.
    pub refresh_interval: Duration,
    /// Most fields that are indexed. Default 2,000.
    pub max_fields: usize,
    /// Threads of a search; half as many index, and twice as many bulk requests are read at a time.
    /// Default: the cores.
    pub threads: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(30 * 86_400),
            max_bytes: 50 << 30,
            min_free_bytes: 1 << 30,
            memory: 256 << 20,
            refresh_interval: Duration::from_millis(500),
            max_fields: 2_000,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("cannot open the store `{0}`: another process writes to it")]
    InUse(PathBuf),
    /// A file or folder is not as it should be.
    #[error("cannot open the store `{path}`: {reason}")]
    Io {
        /// The folder of the store.
        path: PathBuf,
        /// What failed.
        reason: std::io::Error,
    },
    /// It was written by a version of this program with another format.
    #[error(
        "cannot open the store `{path}`: its format is {found}, this version has {}; read it with \
         the version that wrote it, or move it away to begin a new one",
        format::FORMAT
    )]
    Format {
        /// The folder of the store.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// An index is damaged.
    #[error("cannot open the store `{path}`: {reason}; move it away to begin a new one")]
    Index {
        /// The folder of the store.
        path: PathBuf,
        /// What failed.
        reason: tantivy::TantivyError,
    },
}

/// A store within this process. Share it in an `Arc`; what was written is committed when it is
/// dropped.
#[derive(Debug)]
pub struct Embedded {
    inner: Arc<Inner>,
    committer: Option<JoinHandle<()>>,
    /// Held as long as this process may write.
    _lock: Option<File>,
}

struct Inner {
    fields: Fields,
    table: Arc<FieldTable>,
    partitions: Arc<Partitions>,
    writer: Option<Writer>,
    keeper: Option<Keeper>,
    options: EmbeddedOptions,
    info: Arc<ServerInfo>,
    blank: Searcher,
    bulks: Semaphore,
    searches: Semaphore,
    points: Mutex<BTreeMap<String, Point>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

/// A point in time.
struct Point {
    snapshot: Snapshot,
    indices: Indices,
    keep_alive: Duration,
    used: Instant,
}

impl Embedded {
    /// Opens the store in `dir`, which is made when missing. Blocks; to be called off the runtime's
    /// own threads.
    ///
    /// # Errors
    /// When another process writes to it, or what lies there cannot be read.
    pub fn open(dir: &Path, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let io = |reason| OpenError::Io {
            path: dir.to_owned(),
            reason,
        };
        std::fs::create_dir_all(dir).map_err(io)?;
        let lock = File::create(dir.join("LOCK")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(OpenError::InUse(dir.to_owned())),
            Err(std::fs::TryLockError::Error(reason)) => return Err(io(reason)),
        }
        let inner = Arc::new(Inner::open(dir, options, true)?);
        let for_thread = Arc::clone(&inner);
        let committer = std::thread::Builder::new()
            .name("commit".to_owned())
            .spawn(move || for_thread.commit_until_closed())
            .map_err(io)?;
        Ok(Self {
            inner,
            committer: Some(committer),
            _lock: Some(lock),
        })
    }

    /// Opens a store for searches only, beside the process that writes to it. What is committed
    /// later is not seen.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open_read_only(dir: &Path) -> Result<Self, OpenError> {
        let inner = Inner::open(dir, EmbeddedOptions::default(), false)?;
        Ok(Self {
            inner: Arc::new(inner),
            committer: None,
            _lock: None,
        })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(writer) = &self.inner.writer {
            writer.close();
        }
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the thread that commits has panicked; this is a bug");
        }
    }
}

impl Inner {
    fn open(dir: &Path, options: EmbeddedOptions, may_write: bool) -> Result<Self, OpenError> {
        let index = |reason| OpenError::Index {
            path: dir.to_owned(),
            reason,
        };
        let io = |reason| OpenError::Io {
            path: dir.to_owned(),
            reason,
        };
        match format::read(dir).map_err(io)? {
            Some(format::FORMAT) => {}
            None if may_write => format::write(dir).map_err(io)?,
            None => {}
            Some(found) => {
                return Err(OpenError::Format {
                    path: dir.to_owned(),
                    found,
                });
            }
        }
        let (_, fields) = schema::schema();
        let table = Arc::new(FieldTable::open(
            &dir.join("fields.json"),
            options.max_fields,
        ));
        let partitions = Arc::new(Partitions::open(dir, may_write).map_err(index)?);
        let writer_options = WriterOptions {
            arena: usize::try_from(options.memory / 2).unwrap_or(usize::MAX),
            threads: options.threads.div_ceil(2).clamp(1, 8),
            interval: options.refresh_interval,
            max_partition_bytes: (options.max_bytes / PARTITIONS_OF_SIZE).max(16 << 20),
        };
        let writer = may_write.then(|| {
            Writer::new(
                fields,
                Arc::clone(&table),
                Arc::clone(&partitions),
                writer_options,
            )
        });
        let keeper = may_write.then(|| {
            let options = RetentionOptions {
                max_age: options.retention,
                max_bytes: options.max_bytes,
                min_free_bytes: options.min_free_bytes,
            };
            Keeper::new(dir.to_owned(), Arc::clone(&partitions), options)
        });
        Ok(Self {
            fields,
            table,
            partitions,
            writer,
            keeper,
            info: Arc::new(ServerInfo {
                flavour: Flavour::Embedded,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                zstd: Some(true),
                notes: Vec::new(),
            }),
            blank: blank(fields).map_err(index)?,
            bulks: Semaphore::new(options.threads.saturating_mul(2).max(1)),
            searches: Semaphore::new(MAX_SEARCHES),
            points: Mutex::default(),
            options,
        })
    }

    fn commit_until_closed(&self) {
        let (Some(writer), Some(keeper)) = (&self.writer, &self.keeper) else {
            return;
        };
        writer.run(UPKEEP, || {
            keeper.run(Timestamp::now());
            self.drop_old_points();
            // Merges end between commits; their segments are smaller and fewer.
            for partition in self.partitions.all() {
                if let Err(error) = partition.reload() {
                    tracing::warn!(%error, ?partition, "cannot reload a partition");
                }
            }
        });
    }

    fn snapshot(&self, indices: &Indices) -> Snapshot {
        let mut searchers = Vec::new();
        // Most searches are about logs, which are never there.
        let kept = self.partitions.kept.searcher();
        if names(std::slice::from_ref(&kept))
            .keys()
            .any(|name| indices.contains(name))
        {
            searchers.push(kept);
        }
        searchers.extend(
            self.partitions
                .days()
                .iter()
                .map(|partition| partition.searcher()),
        );
        Snapshot { searchers }
    }

    fn context<'a>(&'a self, patience: &'a Patience) -> Context<'a> {
        Context {
            fields: self.fields,
            table: &self.table,
            blank: &self.blank,
            threads: self.options.threads,
            memory: self.options.memory / 2,
            patience,
        }
    }

    fn lock_points(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Point>> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_old_points(&self) {
        self.lock_points()
            .retain(|_, point| point.used.elapsed() <= point.keep_alive);
    }

    /// The snapshot and indices of a search: those of its point in time, or of now.
    fn scope(&self, index: &str, body: &Value) -> Result<(Snapshot, Indices), StoreError> {
        let Some(pit) = body.get("pit") else {
            let indices = Indices::parse(index);
            return Ok((self.snapshot(&indices), indices));
        };
        self.drop_old_points();
        let id = pit["id"].as_str().unwrap_or_default();
        match self.lock_points().get_mut(id) {
            Some(point) => {
                point.used = Instant::now();
                if let Some(keep_alive) = pit["keep_alive"].as_str().and_then(search_keep_alive) {
                    point.keep_alive = keep_alive.min(MAX_KEEP_ALIVE);
                }
                Ok((point.snapshot.clone(), point.indices.clone()))
            }
            None => Err(StoreError::Status {
                status: 404,
                reason: format!("no search context found for id [{id}]"),
            }),
        }
    }

    fn bulk(&self, bytes: &Bytes, encoding: Encoding) -> Result<(Bytes, Committed), Refused> {
        let started = Instant::now();
        let Some(writer) = &self.writer else {
            return Err(Refused::Status(
                403,
                "the store is open for reading only".to_owned(),
            ));
        };
        let bad = |reason| Refused::Status(400, reason);
        let body = bulk::decompress(bytes, encoding).map_err(bad)?;
        let actions = bulk::parse(&body).map_err(bad)?;
        let prepared = writer.prepare(actions);
        let Applied {
            names,
            fates,
            committed,
        } = writer.apply(prepared).map_err(Refused::Write)?;
        let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // As text: it waits for the commit, and a tree would take five times as much.
        let answer = bulk::answer(&names, &fates, took).to_string();
        Ok((answer.into(), committed))
    }

    /// The indices, each with its documents.
    fn index_names(&self) -> BTreeMap<String, u64> {
        let searchers: Vec<Searcher> = self
            .partitions
            .all()
            .iter()
            .map(|partition| partition.searcher())
            .collect();
        names(&searchers)
    }
}

enum Refused {
    Status(u16, String),
    Write(WriteError),
}

/// Names of indices in what is committed, with the number of their documents.
fn names(searchers: &[Searcher]) -> BTreeMap<String, u64> {
    let (_, fields) = schema::schema();
    let mut names = BTreeMap::new();
    for reader in searchers.iter().flat_map(Searcher::segment_readers) {
        let Ok(inverted) = reader.inverted_index(fields.index) else {
            continue;
        };
        let Ok(mut terms) = inverted.terms().stream() else {
            continue;
        };
        while terms.advance() {
            let name = String::from_utf8_lossy(terms.key()).into_owned();
            *names.entry(name).or_insert(0) += u64::from(terms.value().doc_freq);
        }
    }
    names
}

/// An index in memory with one document that has no values.
pub(crate) fn blank(fields: Fields) -> tantivy::Result<Searcher> {
    let (schema, _) = schema::schema();
    let index = Index::builder()
        .schema(schema)
        .tokenizers(schema::tokenizers())
        .create_in_ram()?;
    let mut writer = index.writer_with_num_threads(1, 15_000_000)?;
    writer.add_document(LogDocument {
        fields,
        index: "".into(),
        id: DocumentId::Named("".into()),
        source: Bytes::new(),
        timestamp: 0,
        values: Values::default(),
    })?;
    writer.commit()?;
    Ok(index.reader()?.searcher())
}

fn search_keep_alive(text: &str) -> Option<Duration> {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(n_digits)?;
    let count: u64 = count.parse().ok()?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}

fn bad_query(reason: QueryError) -> StoreError {
    StoreError::Status {
        status: 400,
        reason: reason.0,
    }
}

/// Cancels a search whose caller has gone.
struct CancelOnDrop(Arc<Patience>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.is_cancelled.store(true, Ordering::Relaxed);
    }
}

impl Embedded {
    /// Runs a search on a thread of its own, at most [`MAX_SEARCHES`] at a time.
    async fn off_runtime<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Inner, &Patience) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let failed = |reason: String| StoreError::Status {
            status: 500,
            reason,
        };
        let _turn = self
            .inner
            .searches
            .acquire()
            .await
            .map_err(|e| failed(e.to_string()))?;
        let patience = Arc::new(Patience::new());
        let _cancel = CancelOnDrop(Arc::clone(&patience));
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || run(&inner, &patience));
        task.await
            .map_err(|e| failed(format!("a search failed: {e}")))?
    }

    async fn post(&self, bytes: Bytes, encoding: Encoding) -> Result<Answer, RequestError> {
        let lost = |reason: String| RequestError::Lost {
            host: HOST.to_owned(),
            reason,
        };
        if self.inner.keeper.as_ref().is_some_and(Keeper::is_full) {
            return Ok(error_answer(429, "the disk is full"));
        }
        let turn = self
            .inner
            .bulks
            .acquire()
            .await
            .map_err(|e| lost(e.to_string()))?;
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || inner.bulk(&bytes, encoding));
        let result = task
            .await
            .map_err(|e| lost(format!("a request failed: {e}")))?;
        drop(turn);
        let (answer, committed) = match result {
            Ok(done) => done,
            Err(Refused::Status(status, reason)) => return Ok(error_answer(status, &reason)),
            Err(Refused::Write(error)) => return Ok(error_answer(503, &error.to_string())),
        };
        match committed.await {
            Ok(Ok(())) => Ok(Answer {
                status: 200,
                body: answer,
                retry_after: None,
                is_elastic: false,
            }),
            Ok(Err(error)) => Ok(error_answer(503, &error.to_string())),
            Err(_) => Err(lost("the store was closed".to_owned())),
        }
    }
}

fn error_answer(status: u16, reason: &str) -> Answer {
    let body = json!({"status": status, "error": {"type": "embedded_store", "reason": reason}});
    Answer {
        status,
        body: body.to_string().into(),
        retry_after: None,
        is_elastic: false,
    }
}

impl Store for Embedded {
    fn server(&self) -> Option<Arc<ServerInfo>> {
        Some(Arc::clone(&self.inner.info))
    }

    fn detect(&self) -> BoxFuture<'_, Result<Arc<ServerInfo>, StoreError>> {
        Box::pin(async { Ok(Arc::clone(&self.inner.info)) })
    }

    fn install<'a>(&'a self, _options: &'a InstallOptions) -> BoxFuture<'a, InstallReport> {
        // Types and retention are its own.
        Box::pin(async { InstallReport::default() })
    }

    fn body_encoding(&self) -> Encoding {
        Encoding::Zstd
    }

    fn takes(&self, _encoding: Encoding) -> bool {
        true
    }

    fn request_timeout(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn resting_hosts(&self) -> Vec<String> {
        Vec::new()
    }

    fn bulk(
        &self,
        bytes: Bytes,
        encoding: Encoding,
    ) -> BoxFuture<'_, Result<Answer, RequestError>> {
        Box::pin(self.post(bytes, encoding))
    }

    fn search<'a>(
        &'a self,
        index: &'a str,
        body: &'a Value,
    ) -> BoxFuture<'a, Result<Value, StoreError>> {
        Box::pin(async move {
            let (snapshot, indices) = self.inner.scope(index, body)?;
            let body = body.clone();
            self.off_runtime(move |inner, patience| {
                let context = inner.context(patience);
                search::search(&context, &snapshot, &indices, &body).map_err(bad_query)
            })
            .await
        })
    }

    fn count<'a>(
        &'a self,
        index: &'a str,
        body: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let indices = Indices::parse(index);
            let query = body.map(|body| body["query"].clone()).unwrap_or_default();
            self.off_runtime(move |inner, patience| {
                let snapshot = inner.snapshot(&indices);
                search::count(&inner.context(patience), &snapshot, &indices, &query)
                    .map_err(bad_query)
            })
            .await
        })
    }

    fn open_pit<'a>(
        &'a self,
        index: &'a str,
        keep_alive: Duration,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            self.inner.drop_old_points();
            let indices = Indices::parse(index);
            let point = Point {
                snapshot: self.inner.snapshot(&indices),
                indices,
                keep_alive: keep_alive.min(MAX_KEEP_ALIVE),
                used: Instant::now(),
            };
            let mut points = self.inner.lock_points();
            if points.len() >= MAX_POINTS {
                return Err(StoreError::Status {
                    status: 429,
                    reason: format!("{MAX_POINTS} points in time are open already"),
                });
            }
            let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
            points.insert(id.clone(), point);
            Ok(id)
        })
    }

    fn close_pit<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.inner.lock_points().remove(id);
            Ok(())
        })
    }

    fn indices<'a>(
        &'a self,
        pattern: &'a str,
    ) -> BoxFuture<'a, Result<Vec<IndexInfo>, StoreError>> {
        Box::pin(async move {
            let indices = Indices::parse(pattern);
            self.off_runtime(move |inner, _| {
                let all = inner.partitions.all();
                let bytes: u64 = all.iter().map(|partition| partition.bytes()).sum();
                let names = inner.index_names();
                let docs: u64 = names.values().sum();
                let began = all
                    .iter()
                    .map(|partition| partition.began)
                    .find(|began| *began > 0);
                let created_ms = began
                    .and_then(|began| u64::try_from(began).ok())
                    .unwrap_or(0)
                    * 1_000;
                let meant = names.into_iter().filter(|(name, _)| indices.contains(name));
                Ok(meant
                    .map(|(name, n)| IndexInfo {
                        data_stream: name.starts_with("logs-").then(|| name.clone()),
                        name,
                        docs: n,
                        // Indices share files: each has its part of the bytes.
                        bytes: u64::try_from(
                            u128::from(bytes) * u128::from(n) / u128::from(docs.max(1)),
                        )
                        .unwrap_or(u64::MAX),
                        created_ms,
                    })
                    .collect())
            })
            .await
        })
    }

    fn mapping<'a>(&'a self, index: &'a str) -> BoxFuture<'a, Result<Value, StoreError>> {
        Box::pin(async move {
            let indices = Indices::parse(index);
            self.off_runtime(move |inner, _| {
                let mut properties = Map::new();
                for (path, types) in inner.table.all() {
                    let name = type_name(&path, types);
                    insert_property(&mut properties, &path, name);
                }
                let names = inner.index_names().into_keys();
                let meant = names.filter(|name| indices.contains(name));
                let mappings = json!({"mappings": {"properties": properties}});
                Ok(meant
                    .map(|name| (name, mappings.clone()))
                    .collect::<Map<_, _>>()
                    .into())
            })
            .await
        })
    }

    fn field_caps<'a>(
        &'a self,
        index: &'a str,
        fields: &'a str,
    ) -> BoxFuture<'a, Result<Value, StoreError>> {
        Box::pin(async move {
            let indices = Indices::parse(index);
            let patterns: Vec<String> = fields.split(',').map(|p| p.trim().to_owned()).collect();
            self.off_runtime(move |inner, _| {
                let mut out = Map::new();
                for (path, types) in inner.table.all() {
                    if !patterns
                        .iter()
                        .any(|pattern| matches_pattern(pattern, &path))
                    {
                        continue;
                    }
                    let mut caps = Map::new();
                    let name = type_name(&path, types);
                    let names = if name == "date_nanos" {
                        vec![name]
                    } else {
                        type_names(types)
                    };
                    for name in names {
                        let caps_of = json!({
                            "type": name, "metadata_field": false, "searchable": true,
                            "aggregatable": name != "text",
                        });
                        caps.insert(name.to_owned(), caps_of);
                    }
                    out.insert(path.to_string(), Value::Object(caps));
                }
                let names: Vec<String> = inner
                    .index_names()
                    .into_keys()
                    .filter(|name| indices.contains(name))
                    .collect();
                Ok(json!({"indices": names, "fields": out}))
            })
            .await
        })
    }

    fn backing<'a>(&'a self, _index: &'a str) -> BoxFuture<'a, Result<Backing, StoreError>> {
        // An id is looked for in every partition: there is nothing that doubt would have to check.
        Box::pin(async { Ok(Backing::default()) })
    }

    fn mget_found<'a>(
        &'a self,
        index: &'a str,
        ids: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            self.refresh(index).await?;
            let query = json!({
                "size": 10_000, "_source": false, "query": {"ids": {"values": ids}},
            });
            let answer = self.search(index, &query).await?;
            let hits = answer["hits"]["hits"].as_array();
            let there: std::collections::HashSet<&str> = hits
                .into_iter()
                .flatten()
                .filter_map(|hit| hit["_id"].as_str())
                .collect();
            Ok(ids.iter().map(|id| there.contains(id)).collect())
        })
    }

    fn delete<'a>(
        &'a self,
        documents: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut body = Vec::new();
            for (index, id) in documents {
                let action = json!({"delete": {"_index": index, "_id": id}});
                body.extend_from_slice(action.to_string().as_bytes());
                body.push(b'\n');
            }
            let answer = self.post(body.into(), Encoding::Identity).await?;
            let value: Value = serde_json::from_slice(&answer.body)
                .map_err(|e| StoreError::Json(e.to_string()))?;
            if answer.status != 200 {
                return Err(StoreError::Status {
                    status: answer.status,
                    reason: value["error"]["reason"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                });
            }
            let items = value["items"].as_array().into_iter().flatten();
            Ok(items.filter(|item| item["delete"]["status"] == 200).count() as u64)
        })
    }

    fn refresh<'a>(&'a self, _index: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let Some(writer) = &self.inner.writer else {
                return Ok(());
            };
            match writer.flush().await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(StoreError::Status {
                    status: 503,
                    reason: error.to_string(),
                }),
                Err(_) => Ok(()),
            }
        })
    }
}

/// The type that `_mapping` tells of a field.
fn type_name(path: &str, types: u8) -> &'static str {
    if kind_of(path) == Kind::Timestamp {
        return "date_nanos";
    }
    type_names(types).first().copied().unwrap_or("keyword")
}

/// Puts a field into nested `properties`.
fn insert_property(properties: &mut Map<String, Value>, path: &str, name: &str) {
    match path.split_once('.') {
        None => {
            let entry = properties
                .entry(path.to_owned())
                .or_insert_with(|| json!({}));
            entry["type"] = name.into();
        }
        Some((head, rest)) => {
            let entry = properties
                .entry(head.to_owned())
                .or_insert_with(|| json!({}));
            if !entry["properties"].is_object() {
                entry["properties"] = json!({});
            }
            if let Some(Value::Object(below)) = entry.get_mut("properties") {
                insert_property(below, rest, name);
            }
        }
    }
}
