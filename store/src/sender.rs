//! Takes bodies from the queue and sees to it that each document is delivered.
//!
//! An entry is done only when each of its documents is in the store, is filed as a dead letter, is
//! parked with its data stream, or has been handed back as refused. Nothing else ends it: what
//! fails is tried again for as long as it takes.

mod deliver;
mod doubt;
mod entry;
mod limit;
mod post;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::judge::ItemError;
use crate::{Encoding, Metrics, Queue, Queued, SenderOptions, Store, StoreError};

use deliver::{End, Taken, deliver};
use limit::{Limit, Permit};

/// A repeated message is logged this often.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Gauges are refreshed and parked data streams looked for this often.
const TICK: Duration = Duration::from_secs(5);

/// What the server is, is looked up again after this time: it may be upgraded node by node.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// Kinds of repeated messages that are told apart; more share one place.
const MAX_LOG_KEYS: usize = 1_000;

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

/// Handle of the sender's tasks, which stop when it is dropped: what is in flight is given back.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What all tasks of a sender share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Arc<dyn Store>,
    pub(crate) options: SenderOptions,
    pub(crate) metrics: Metrics,
    pub(crate) limit: Arc<Limit>,
    /// Rings when documents were parked.
    pub(crate) new_parked: Notify,
    /// Requests that were answered item by item.
    passed: AtomicU64,
    /// A request found nobody: whoever answers next may be another server, or an empty one.
    was_away: AtomicBool,
    /// One task at a time looks what the server is.
    looking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// A data stream that the store takes nothing for.
#[derive(Debug)]
struct Refusal {
    error: ItemError,
    /// When the store said so last.
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    last_error: Option<String>,
    notes: Vec<String>,
    refusing: BTreeMap<String, Refusal>,
    over_quota: Arc<HashSet<String>>,
    logged: HashMap<String, Instant>,
    /// When the server was last asked what it is; `None`: at the next request.
    looked: Option<Instant>,
}

impl Sender {
    /// Starts to drain `queue` into `client`. Must be called within a tokio runtime.
    pub fn start(
        client: Arc<dyn Store>,
        queue: Arc<dyn Queue>,
        options: SenderOptions,
        metrics: Metrics,
    ) -> Self {
        let limit = Limit::new(options.max_in_flight, metrics.clone());
        let shared = Arc::new(Shared {
            client,
            options,
            metrics,
            limit,
            new_parked: Notify::new(),
            passed: AtomicU64::new(0),
            was_away: AtomicBool::new(false),
            looking: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(run(Arc::clone(&shared), queue, stopped));
        Self {
            shared,
            stop,
            tasks,
        }
    }

    /// Data streams over their quota: chunks for them should be refused (delivery rule 19).
    pub fn refused(&self) -> Arc<HashSet<String>> {
        self.shared.over_quota_now()
    }

    /// What the sender is doing.
    pub fn status(&self) -> SenderStatus {
        let server = self.shared.client.server();
        let (concurrency, in_flight) = self.shared.limit.now();
        let state = self.shared.lock();
        let mut notes = state.notes.clone();
        notes.extend(server.iter().flat_map(|s| s.notes.iter().cloned()));
        let mut refused: Vec<String> = state.over_quota.iter().cloned().collect();
        refused.sort();
        SenderStatus {
            server: server.map(|s| {
                format!("{:?} {}", s.flavour, s.version)
                    .trim_end()
                    .to_owned()
            }),
            notes,
            concurrency,
            in_flight,
            last_error: state.last_error.clone(),
            parked: state
                .refusing
                .iter()
                .map(|(index, refusal)| (index.clone(), said(&refusal.error)))
                .collect(),
            refused,
            resting_hosts: self.shared.client.resting_hosts(),
        }
    }

    /// Takes nothing more from the queue and waits until what is in flight is done, at most
    /// `within`; what is not done then is given back. Answers whether everything was done.
    pub async fn drain(mut self, within: Duration) -> bool {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(within, all).await.is_ok()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.options.retry_min, self.options.retry_max)
    }

    pub(crate) async fn pause(&self, backoff: &mut Backoff, wish: Option<Duration>) {
        tokio::time::sleep(backoff.next_pause(wish)).await;
    }

    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    pub(crate) fn succeeded(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
        self.metrics.store_refuses.set(0);
        self.lock().last_error = None;
    }

    pub(crate) fn failed(&self, why: &str) {
        self.lock().last_error = Some(why.to_owned());
    }

    /// Nothing goes through: bodies wait, and a person is needed.
    pub(crate) fn refuses_everything(&self, why: &str) {
        self.metrics.store_refuses.set(1);
        if self.may_log("refuses everything") {
            tracing::error!(
                why,
                "the store refuses every request; check rights and paths"
            );
        }
    }

    /// The store has just refused everything of one data stream.
    pub(crate) fn refusing(&self, index: &str, error: &ItemError) {
        if self.may_log(index) {
            tracing::error!(
                index,
                why = said(error),
                "the store refuses this data stream; its documents wait"
            );
        }
        let refusal = Refusal {
            error: error.clone(),
            at: Instant::now(),
        };
        self.lock().refusing.insert(index.to_owned(), refusal);
    }

    /// The store takes documents of these data streams.
    pub(crate) fn takes<'a>(&self, indices: impl IntoIterator<Item = &'a str>) {
        let mut state = self.lock();
        if state.refusing.is_empty() {
            return;
        }
        for index in indices {
            if state.refusing.remove(index).is_some() {
                tracing::info!(index, "the store takes this data stream again");
            }
        }
    }

    /// Why a data stream was refused so lately that it need not be asked again.
    pub(crate) fn fresh_refusal(&self, index: &str) -> Option<ItemError> {
        let state = self.lock();
        let refusal = state.refusing.get(index)?;
        (refusal.at.elapsed() < self.options.retry_max).then(|| refusal.error.clone())
    }

    /// Notes that a request got no answer. `is_away`: there was nobody at all.
    pub(crate) fn got_no_answer(&self, is_away: bool) {
        self.was_away.fetch_or(is_away, Ordering::Relaxed);
        self.lock().looked = None;
    }

    fn is_look_due(&self) -> bool {
        let looked = self.lock().looked;
        looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY)
    }

    /// Asks the server what it is, when it has been away or was not asked for long. One that has
    /// been away, or is another one now, gets templates before it gets documents.
    pub(crate) async fn look_again(&self) -> Result<(), StoreError> {
        if !self.is_look_due() {
            return Ok(());
        }
        let _one = self.looking.lock().await;
        if !self.is_look_due() {
            return Ok(());
        }
        let before = self.client.server();
        let now = self.client.detect().await?;
        let is_another = before.is_some_and(|before| {
            (before.flavour, before.version.as_str()) != (now.flavour, now.version.as_str())
        });
        if is_another {
            tracing::info!(server = ?now.flavour, version = now.version, "the store is another one now");
        }
        if is_another || self.was_away.load(Ordering::Relaxed) {
            self.install().await;
        }
        self.was_away.store(false, Ordering::Relaxed);
        self.lock().looked = Some(Instant::now());
        Ok(())
    }

    /// Puts templates, where that is wanted.
    async fn install(&self) {
        if let Some(options) = &self.options.install {
            let report = self.client.install(options).await;
            self.lock().notes = [report.fallbacks, report.problems].concat();
        }
    }

    pub(crate) fn over_quota(&self, index: &str) {
        let mut state = self.lock();
        Arc::make_mut(&mut state.over_quota).insert(index.to_owned());
        self.metrics
            .refused_streams
            .set(state.over_quota.len() as i64);
    }

    pub(crate) fn over_quota_now(&self) -> Arc<HashSet<String>> {
        Arc::clone(&self.lock().over_quota)
    }

    fn has_room(&self, index: &str) {
        let mut state = self.lock();
        if state.over_quota.contains(index) {
            Arc::make_mut(&mut state.over_quota).remove(index);
        }
        self.metrics
            .refused_streams
            .set(state.over_quota.len() as i64);
    }

    pub(crate) fn warn_limited(&self, what: &str, why: &str) {
        if self.may_log(what) {
            tracing::warn!(what, why, "delivery is disturbed");
        }
    }

    fn may_log(&self, key: &str) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let key = if state.logged.len() < MAX_LOG_KEYS {
            key
        } else {
            ""
        };
        match state.logged.get(key) {
            Some(at) if now - *at < LOG_EVERY => false,
            _ => {
                state.logged.insert(key.to_owned(), now);
                true
            }
        }
    }
}

/// Owns every other task of the sender; they end with it.
async fn run(shared: Arc<Shared>, queue: Arc<dyn Queue>, mut stopped: watch::Receiver<bool>) {
    let mut deliveries = JoinSet::new();
    // These never end by themselves: dropped with this task.
    let mut background = JoinSet::new();
    // Before the first document: without its template a store makes a plain index of a data
    // stream's name, mapped by guesses, and no template mends that afterwards.
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => return,
        () = prepare(&shared) => {}
    }
    background.spawn(drain_parked(Arc::clone(&shared), Arc::clone(&queue)));
    loop {
        let job = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            job = take(&shared, &queue) => job,
            Some(ended) = deliveries.join_next() => {
                note_end(ended);
                continue;
            }
        };
        let Some((permit, parts)) = job else { break };
        deliveries.spawn(deliver_job(
            Arc::clone(&shared),
            Arc::clone(&queue),
            parts,
            permit,
            stopped.clone(),
        ));
    }
    while let Some(ended) = deliveries.join_next().await {
        note_end(ended);
    }
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a delivery ended early; its entries are given back");
    }
}

/// Waits for a turn, then for an entry, and joins small ones that wait already.
async fn take(shared: &Shared, queue: &Arc<dyn Queue>) -> Option<(Permit, Vec<Queued>)> {
    let permit = shared.limit.acquire().await;
    let first = queue.next().await?;
    let mut size = first.meta.raw_len;
    let mut parts = vec![first];
    while size < shared.options.max_body_bytes && parts.last().is_some_and(may_join) {
        let mut next = queue.next();
        let ready = poll_fn(|cx| match next.as_mut().poll(cx) {
            Poll::Ready(entry) => Poll::Ready(entry),
            Poll::Pending => Poll::Ready(None),
        });
        let Some(entry) = ready.await else { break };
        drop(next);
        let encoding = parts.first().map(|p| p.meta.encoding);
        let fits = size.saturating_add(entry.meta.raw_len) <= shared.options.max_body_bytes;
        if !fits || !may_join(&entry) || Some(entry.meta.encoding) != encoding {
            queue.give_back(entry.id);
            break;
        }
        size += entry.meta.raw_len;
        parts.push(entry);
    }
    Some((permit, parts))
}

/// What is in doubt goes alone. Frames and members of all three encodings may be joined.
fn may_join(entry: &Queued) -> bool {
    let encoding_joins = match entry.meta.encoding {
        Encoding::Identity => entry.bytes.last() == Some(&b'\n'),
        Encoding::Gzip | Encoding::Zstd => true,
    };
    encoding_joins && entry.meta.doubt_since_ms.is_none() && entry.posted_ms.is_none()
}

async fn deliver_job(
    shared: Arc<Shared>,
    queue: Arc<dyn Queue>,
    parts: Vec<Queued>,
    permit: Permit,
    mut stopped: watch::Receiver<bool>,
) {
    let ends = deliver(&shared, &queue, parts, true).await;
    drop(permit);
    let held: Vec<Taken> = ends
        .into_iter()
        .filter_map(|end| match end {
            End::Held(taken) => Some(taken),
            End::Done => None,
        })
        .collect();
    if !held.is_empty() {
        // Only ids are kept meanwhile; the entries come again when there may be room.
        tokio::select! {
            () = tokio::time::sleep(shared.options.retry_max) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }
}

/// Finds out what the server is, puts templates, and refreshes gauges.
async fn prepare(shared: &Shared) {
    let mut backoff = shared.backoff();
    while shared.client.server().is_none() {
        let Err(error) = shared.client.detect().await else {
            break;
        };
        shared.failed(&error.to_string());
        shared.warn_limited("unreachable", &error.to_string());
        shared.pause(&mut backoff, None).await;
    }
    shared.install().await;
    shared.lock().looked = Some(Instant::now());
}

fn said(error: &ItemError) -> String {
    format!("{} {}: {}", error.status, error.kind, error.reason)
}

/// Runs one task for each data stream with parked documents.
async fn drain_parked(shared: Arc<Shared>, queue: Arc<dyn Queue>) {
    let mut streams: HashSet<String> = HashSet::new();
    let mut tasks = JoinSet::new();
    loop {
        let parked = queue.parked_streams();
        shared.metrics.parked_streams.set(parked.len() as i64);
        shared
            .metrics
            .parked_bytes
            .set(i64::try_from(queue.parked_bytes()).unwrap_or(i64::MAX));
        for index in parked {
            if !streams.contains(&index)
                && let Some(parked) = queue.parked(&index)
            {
                streams.insert(index.clone());
                tasks.spawn(drain_stream(Arc::clone(&shared), parked, index));
            }
        }
        tokio::select! {
            () = shared.new_parked.notified() => {}
            () = tokio::time::sleep(TICK) => {}
            Some(ended) = tasks.join_next() => {
                if let Ok(index) = ended {
                    streams.remove(&index);
                }
            }
        }
    }
}

/// Posts what is parked of one data stream, one entry at a time, with pauses while it is refused.
async fn drain_stream(shared: Arc<Shared>, parked: Arc<dyn Queue>, index: String) -> String {
    let mut backoff = shared.backoff();
    while let Some(entry) = parked.next().await {
        // Just parked: give the store a moment before the first probe.
        if backoff.tries() == 0 && shared.lock().refusing.contains_key(&index) {
            shared.pause(&mut backoff, None).await;
        }
        let mut ends = deliver(&shared, &parked, vec![entry], false).await;
        match ends.pop() {
            Some(End::Held(taken)) => {
                shared.pause(&mut backoff, None).await;
                drop(taken);
            }
            _ => {
                backoff = shared.backoff();
                shared.has_room(&index);
                shared.takes([index.as_str()]);
            }
        }
    }
    index
}
