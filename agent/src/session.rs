//! The agent's loop: poll the tailer, fill batches, send them, take answers in.
//!
//! Everything happens on one thread. A session runs with fixed settings; a reload ends it and
//! begins another one from the journal. The invariant: what is sent has been journaled before,
//! and each group handed out by the tailer is given back exactly once, acknowledged or failed.

use crate::balance::{AggregatorId, Aggregators};
use crate::batch::{self, Packed, SentGroup};
use crate::compress::Compressor;
use crate::exchange::{self, Answered, Connection, ExchangeError};
use crate::local::Link;
use crate::metadata::NodeMetadata;
use crate::metrics::Metrics;
use crate::pods::Known;
use crate::resolve::{self, Addresses, Resolver};
use crate::settings::Settings;
use crate::verdict::{GroupVerdict, Verdict, judge};
use anyhow::Context;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use k8s::Token;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tail::{Clock, Failure, Group, Tailer};
use tokio::sync::Notify;
use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Shortest wait between two turns that found nothing to send, so that a timer that is always
/// due cannot spin; it bounds the latency of a line, too.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// After a failed write of the journal.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

/// A name is looked up again at most this often because an aggregator does not answer.
const RESOLVE_PAUSE: Duration = Duration::from_secs(1);

/// Batches are never made smaller than this because of a 413.
const MIN_BATCH: usize = 64 * 1024;

/// After this many batches without a 413 the size is doubled again.
const GROW_AFTER: u32 = 1000;

/// What `/status` and `/metrics` look at between the turns of the loop.
pub(crate) struct Shared {
    /// `None` once the session is over.
    pub(crate) tailer: Option<Tailer>,
    pub(crate) aggregators: Aggregators,
    /// Why the journal cannot be written now.
    pub(crate) journal_problem: Option<String>,
}

/// Shares a session's state with the pages that show it. Locks are short and on one thread.
#[derive(Clone)]
pub struct View(Arc<Mutex<Shared>>);

impl View {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View")
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    /// Batches that were under way.
    pub n_batches: usize,
    /// Of these, how many stayed without an answer; they come again at the next start.
    pub n_unanswered: usize,
    /// How long the answers took.
    pub waited: Duration,
    /// How long the last write of the journal took.
    pub closed: Duration,
}

/// A running agent, but for signals and pages.
pub struct Session {
    view: View,
    settings: Settings,
    metrics: Metrics,
    wake: Arc<Notify>,
    sender: Sender,
    metadata: NodeMetadata,
    resolver: Resolver,
    names: Vec<NameState>,
    tasks: JoinSet<Event>,
    in_flight: HashMap<task::Id, InFlight>,
    look_ups: HashMap<task::Id, usize>,
    /// Nothing is built before this time.
    not_before: Option<Instant>,
    batch_bytes: usize,
    batches_since_shrink: u32,
    groups: Vec<Group>,
    raw: Vec<u8>,
}

/// Makes requests.
struct Sender {
    compressor: Compressor,
    token: Option<Token>,
}

/// The look-ups of one target's name.
#[derive(Default)]
struct NameState {
    is_running: bool,
    last: Option<Instant>,
    next: Option<Instant>,
    n_failures: u32,
}

/// A batch under way.
struct InFlight {
    aggregator: AggregatorId,
    groups: Vec<SentGroup>,
    objects: Vec<u64>,
    raw_bytes: u64,
}

/// How a batch goes.
enum Route {
    Network(
        SocketAddr,
        Option<Connection>,
        Box<Request<Full<bytes::Bytes>>>,
    ),
    Within(Link, bytes::Bytes),
}

enum Event {
    Tried(Result<Answered, ExchangeError>, Option<Connection>),
    Resolved(usize, Result<Addresses, String>),
}

impl Session {
    /// Opens the journal and begins to look for files. Runs within a tokio runtime. `known` is what
    /// is known of the node's pods, where somebody tells of them.
    ///
    /// # Errors
    /// When the data directory cannot be used or an option is wrong.
    pub fn start(
        settings: Settings,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        known: Option<Known>,
    ) -> anyhow::Result<Self> {
        let kubernetes = metrics.kubernetes.clone();
        let wake = Arc::new(Notify::new());
        let mut options = settings.tail.clone();
        let waker = Arc::clone(&wake);
        options.wake = Arc::new(move || waker.notify_one());
        let (tailer, warnings) = Tailer::open(options, clock).context("cannot start reading")?;
        for warning in warnings {
            warn!("{}", warning.0);
        }
        let is_name = |host: &str| resolve::literal(host).is_none();
        let resolver = if settings.targets.iter().any(|target| is_name(&target.host)) {
            let (resolver, problem) = Resolver::from_system();
            if let Some(problem) = problem {
                warn!(
                    problem,
                    "cannot read the resolver's configuration: names do not resolve"
                );
            }
            resolver
        } else {
            Resolver::literal_only()
        };
        let now = Instant::now();
        let name = || NameState {
            next: Some(now),
            ..NameState::default()
        };
        let mut this = Self {
            view: View(Arc::new(Mutex::new(Shared {
                tailer: Some(tailer),
                aggregators: Aggregators::default(),
                journal_problem: None,
            }))),
            metrics,
            wake,
            sender: Sender {
                compressor: Compressor::new(settings.compression).context("cannot compress")?,
                token: settings.token_file.clone().map(Token::new),
            },
            metadata: NodeMetadata::new(
                settings.tail.node.clone(),
                settings.fields.clone(),
                settings.kubernetes.clone(),
                known,
                kubernetes,
            )
            .with_journal(settings.journal.clone()),
            resolver,
            names: settings.targets.iter().map(|_| name()).collect(),
            tasks: JoinSet::new(),
            in_flight: HashMap::new(),
            look_ups: HashMap::new(),
            not_before: None,
            batch_bytes: settings.batch_bytes,
            batches_since_shrink: 0,
            groups: Vec::new(),
            raw: Vec::new(),
            settings,
        };
        this.look_up_names(now);
        Ok(this)
    }

    /// For the pages.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Reads and sends until `stop` resolves.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let wake = Arc::clone(&self.wake);
        loop {
            let now = Instant::now();
            self.look_up_names(now);
            let has_sent = self.fill(now);
            if has_sent {
                // The tries run between the turns, also when every turn finds work.
                task::yield_now().await;
            }
            let next = match has_sent && self.in_flight.len() < self.settings.in_flight {
                true => Some(Instant::now()),
                false => self.next_turn(Instant::now()),
            };
            tokio::select! {
                biased;
                () = &mut stop => return,
                Some(joined) = self.tasks.join_next_with_id() => self.take(joined),
                () = wake.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Waits for answers, at most for `grace`, then writes the journal a last time. Nothing new
    /// is read.
    ///
    /// # Errors
    /// When the journal cannot be written; the next start then sends again what this session
    /// was told last.
    pub async fn drain(mut self, grace: Duration) -> anyhow::Result<Drained> {
        let begin = Instant::now();
        let n_batches = self.in_flight.len();
        let deadline = begin + grace;
        while !self.in_flight.is_empty() {
            tokio::select! {
                biased;
                Some(joined) = self.tasks.join_next_with_id() => self.take(joined),
                () = sleep_until(Some(deadline)) => break,
            }
        }
        let waited = begin.elapsed();
        let n_unanswered = self.in_flight.len();
        self.tasks.shutdown().await;
        let abandoned: Vec<InFlight> = self.in_flight.drain().map(|(_, batch)| batch).collect();
        let tailer = self.view.lock().tailer.take();
        let closing = Instant::now();
        if let Some(mut tailer) = tailer {
            for group in abandoned.iter().flat_map(|batch| &batch.groups) {
                tailer.failed(group.id, Failure::Unknown);
            }
            tailer.close().context("cannot write the journal")?;
        }
        self.metrics.in_flight.set(0);
        self.metrics.in_flight_bytes.set(0);
        Ok(Drained {
            n_batches,
            n_unanswered,
            waited,
            closed: closing.elapsed(),
        })
    }

    /// When the loop has something to do by time.
    fn next_turn(&self, now: Instant) -> Option<Instant> {
        let shared = self.view.lock();
        let tailer = shared.tailer.as_ref().and_then(Tailer::next_wake);
        let by_tailer = tailer.map(|wait| now + wait.max(MIN_WAIT));
        let by_aggregator = shared.aggregators.next_ready(now).filter(|at| *at > now);
        let by_pause = self.not_before.filter(|at| *at > now);
        let by_name = self
            .names
            .iter()
            .filter(|n| !n.is_running)
            .filter_map(|n| n.next)
            .min();
        [by_tailer, by_aggregator, by_pause, by_name]
            .into_iter()
            .flatten()
            .min()
    }

    /// Polls, and fills batches while there is room for them. True when one was sent.
    fn fill(&mut self, now: Instant) -> bool {
        let view = self.view.clone();
        let mut shared = view.lock();
        let shared = &mut *shared;
        let Some(tailer) = shared.tailer.as_mut() else {
            return false;
        };
        tailer.poll();
        self.metadata.prune(now, tailer.sources());
        if self.not_before.is_some_and(|at| at > now) {
            return false;
        }
        let mut has_sent = false;
        while self.in_flight.len() < self.settings.in_flight.max(1) {
            let Some(aggregator) = shared.aggregators.pick(now) else {
                break;
            };
            let id = aggregator.id;
            self.metadata.seal_with(&aggregator.settings);
            if !self.collect(tailer) {
                break;
            }
            if let Err(error) = tailer.commit() {
                self.metrics.journal_errors.inc();
                warn!(%error, "cannot write the journal, nothing is sent until it can be");
                shared.journal_problem = Some(error.to_string());
                self.give_back(tailer, now + JOURNAL_PAUSE);
                break;
            }
            shared.journal_problem = None;
            faults::point("agent.send.before");
            if let Err(error) = self.send(&mut shared.aggregators, id, now) {
                warn!(error = format!("{error:#}"), "cannot make a request");
                self.give_back(tailer, now + JOURNAL_PAUSE);
                break;
            }
            has_sent = true;
        }
        if !has_sent && self.in_flight.is_empty() {
            // No batch follows that would take the last acknowledgements to the journal.
            if let Err(error) = tailer.commit() {
                self.metrics.journal_errors.inc();
                warn!(%error, "cannot write the journal");
            }
        }
        has_sent
    }

    /// Takes groups from the tailer until the batch is full. False when there is none.
    fn collect(&mut self, tailer: &mut Tailer) -> bool {
        self.groups.clear();
        self.raw.clear();
        // One huge chunk must not raise the agent's memory for ever.
        self.raw.shrink_to(2 * self.settings.batch_bytes);
        while self.raw.len() < self.batch_bytes {
            let room = self.batch_bytes - self.raw.len();
            let Some(group) = tailer.next_group(room, &mut self.metadata, &mut self.raw) else {
                break;
            };
            let is_alone = group.alone;
            self.groups.push(group);
            if is_alone {
                break;
            }
        }
        !self.groups.is_empty()
    }

    /// The collected groups could not be sent.
    fn give_back(&mut self, tailer: &mut Tailer, not_before: Instant) {
        for group in self.groups.drain(..) {
            tailer.failed(group.id, Failure::NotSent);
        }
        self.not_before = Some(not_before);
    }

    /// Sends the collected groups to the aggregator whose settings they are sealed with.
    fn send(
        &mut self,
        aggregators: &mut Aggregators,
        id: AggregatorId,
        now: Instant,
    ) -> anyhow::Result<()> {
        let aggregator = aggregators
            .get_mut(id)
            .context("the aggregator is not there any more")?;
        let node = &self.settings.tail.node;
        let packed = batch::pack(
            &mut self.sender.compressor,
            node,
            &self.groups,
            &self.raw,
            |id| aggregator.knows(id),
        )?;
        let route = match &self.settings.link {
            Some(link) => Route::Within(link.clone(), packed.body.clone()),
            None => {
                let target = self
                    .settings
                    .targets
                    .get(aggregator.target)
                    .context("no such target")?;
                let request =
                    self.sender
                        .request(&target.path, &target.host, target.port, &packed, now)?;
                Route::Network(aggregator.address, aggregator.idle.pop(), Box::new(request))
            }
        };
        self.metrics.batches.inc();
        self.metrics.raw_bytes.inc_by(packed.raw_bytes);
        self.metrics
            .compressed_bytes
            .inc_by(packed.body.len() as u64);
        self.metrics.in_flight.inc();
        self.metrics
            .in_flight_bytes
            .inc_by(packed.raw_bytes.cast_signed());
        aggregator.outstanding += packed.raw_bytes;
        let timeout = self.settings.timeout;
        let task = self.tasks.spawn(async move {
            let (outcome, connection) = match route {
                Route::Network(address, idle, request) => {
                    exchange::send(address, idle, *request, timeout).await
                }
                Route::Within(link, body) => (link.send(body, timeout).await, None),
            };
            Event::Tried(outcome, connection)
        });
        self.in_flight.insert(
            task.id(),
            InFlight {
                aggregator: aggregator.id,
                groups: packed.groups,
                objects: packed.objects,
                raw_bytes: packed.raw_bytes,
            },
        );
        Ok(())
    }

    fn take(&mut self, joined: Result<(task::Id, Event), task::JoinError>) {
        match joined {
            Ok((id, Event::Tried(outcome, connection))) => {
                let Some(batch) = self.in_flight.remove(&id) else {
                    return;
                };
                let verdict = judge(outcome, &batch.groups);
                faults::point("agent.answer.before");
                self.finish(batch, verdict, connection);
                faults::point("agent.answer.after");
            }
            Ok((id, Event::Resolved(target, found))) => {
                self.look_ups.remove(&id);
                self.resolved(target, found);
            }
            Err(error) => {
                let id = error.id();
                if let Some(batch) = self.in_flight.remove(&id) {
                    let detail = error.to_string();
                    let verdict = Verdict::Failed {
                        why: Failure::Unknown,
                        pause: Duration::ZERO,
                        reason: "bad_answer",
                        detail,
                    };
                    self.finish(batch, verdict, None);
                } else if let Some(target) = self.look_ups.remove(&id) {
                    self.resolved(target, Err(error.to_string()));
                }
            }
        }
    }

    /// Gives the groups of a batch back to the tailer, and judges the aggregator.
    fn finish(&mut self, batch: InFlight, verdict: Verdict, connection: Option<Connection>) {
        let now = Instant::now();
        self.metrics.in_flight.dec();
        self.metrics
            .in_flight_bytes
            .dec_by(batch.raw_bytes.cast_signed());
        let view = self.view.clone();
        let mut shared = view.lock();
        let shared = &mut *shared;
        let mut aggregator = shared.aggregators.get_mut(batch.aggregator);
        if let Some(aggregator) = aggregator.as_mut() {
            aggregator.outstanding = aggregator.outstanding.saturating_sub(batch.raw_bytes);
            if aggregator.idle.len() < self.settings.in_flight {
                aggregator.idle.extend(connection);
            }
        }
        let Some(tailer) = shared.tailer.as_mut() else {
            return;
        };
        match verdict {
            Verdict::Groups { groups, settings } => {
                let mut needs_metadata = false;
                for (group, verdict) in batch.groups.iter().zip(groups) {
                    match verdict {
                        GroupVerdict::Acked(positions) => {
                            self.metrics.groups_acknowledged.inc();
                            tailer.acked(group.id, &positions);
                        }
                        GroupVerdict::Failed(why, reason) => {
                            self.metrics.retry(reason, 1);
                            debug!(reason, "group has to come again");
                            tailer.failed(group.id, why);
                        }
                        GroupVerdict::NeedMetadata(why) => {
                            self.metrics.retry("need_metadata", 1);
                            needs_metadata = true;
                            tailer.failed(group.id, why);
                        }
                        GroupVerdict::Reseal => {
                            self.metrics.retry("reseal", 1);
                            // Whoever gets it next has it sealed with its own settings.
                            tailer.failed(group.id, Failure::NotSent);
                        }
                    }
                }
                let settings = settings.map(|settings| shared.aggregators.share(settings));
                let aggregator = shared.aggregators.get_mut(batch.aggregator);
                if let Some(aggregator) = aggregator {
                    if let Some(settings) = settings {
                        debug!(aggregator = %aggregator.address, bytes = settings.len(), "aggregator goes by other settings now");
                        aggregator.settings = settings;
                    }
                    if aggregator.succeeded() {
                        info!(aggregator = %aggregator.address, "aggregator answers again");
                    }
                    if needs_metadata {
                        aggregator.forget_all();
                    } else {
                        aggregator.learn(&batch.objects);
                    }
                }
                self.grow();
            }
            Verdict::Failed {
                why,
                pause,
                reason,
                detail,
            } => {
                self.metrics.retry(reason, batch.groups.len());
                for group in &batch.groups {
                    tailer.failed(group.id, why);
                }
                if reason == "rejected"
                    && let Some(token) = &mut self.sender.token
                {
                    token.refused();
                }
                if let Some(aggregator) = aggregator {
                    // Connections to a broken aggregator are most likely broken too.
                    aggregator.idle.clear();
                    let pause = match why {
                        Failure::Rejected => aggregator.rejected(now),
                        _ => aggregator.failed(now, pause),
                    };
                    let retry_in_ms = pause.as_millis() as u64;
                    warn!(aggregator = %aggregator.address, reason, detail, retry_in_ms, "batch was not taken, it will be sent again");
                    let target = aggregator.target;
                    self.look_up_soon(target, now);
                }
            }
            Verdict::TooLarge => {
                self.metrics.retry("too_large", batch.groups.len());
                // Of several groups none need be too large for itself.
                let why = match batch.groups.len() {
                    1 => Failure::TooLarge,
                    _ => Failure::NotSent,
                };
                for group in &batch.groups {
                    tailer.failed(group.id, why);
                }
                self.batch_bytes = (self.batch_bytes / 2).max(MIN_BATCH.min(self.batch_bytes));
                self.batches_since_shrink = 0;
                let max_bytes = self.batch_bytes;
                if let Some(aggregator) = aggregator {
                    warn!(aggregator = %aggregator.address, max_bytes, "aggregator refuses batches of this size, smaller ones follow");
                    if why == Failure::TooLarge {
                        // One group at its smallest: nothing to do but wait for a larger limit.
                        aggregator.failed(now, Duration::ZERO);
                    }
                }
            }
        }
        shared.aggregators.remove_gone();
    }

    /// After many batches without a 413 larger ones are tried.
    fn grow(&mut self) {
        if self.batch_bytes < self.settings.batch_bytes {
            self.batches_since_shrink += 1;
            if self.batches_since_shrink >= GROW_AFTER {
                self.batches_since_shrink = 0;
                self.batch_bytes = (2 * self.batch_bytes).min(self.settings.batch_bytes);
            }
        }
    }

    /// Starts the look-ups that are due.
    fn look_up_names(&mut self, now: Instant) {
        for (idx, name) in self.names.iter_mut().enumerate() {
            if name.is_running || name.next.is_none_or(|at| at > now) {
                continue;
            }
            let Some(target) = self.settings.targets.get(idx) else {
                continue;
            };
            name.is_running = true;
            name.last = Some(now);
            let (resolver, host) = (self.resolver.clone(), target.host.clone());
            let task = self
                .tasks
                .spawn(async move { Event::Resolved(idx, resolver.lookup(&host).await) });
            self.look_ups.insert(task.id(), idx);
        }
    }

    /// An aggregator does not answer: its name may lead elsewhere by now.
    fn look_up_soon(&mut self, target: usize, now: Instant) {
        if let Some(name) = self.names.get_mut(target)
            && let (Some(last), Some(next)) = (name.last, name.next)
        {
            name.next = Some(next.min((last + RESOLVE_PAUSE).max(now)));
        }
    }

    fn resolved(&mut self, idx: usize, found: Result<Addresses, String>) {
        let now = Instant::now();
        let (Some(name), Some(target)) = (self.names.get_mut(idx), self.settings.targets.get(idx))
        else {
            return;
        };
        name.is_running = false;
        match found {
            Ok(found) => {
                name.n_failures = 0;
                name.next = found.valid_for.map(|valid| now + valid);
                self.view
                    .lock()
                    .aggregators
                    .update(idx, target.port, &found.addresses);
            }
            Err(error) => {
                self.metrics.resolve_errors.inc();
                let pause = (RESOLVE_PAUSE * 2u32.pow(name.n_failures.min(5)))
                    .mul_f64(0.5 + 0.5 * fastrand::f64());
                name.n_failures += 1;
                name.next = Some(now + pause);
                warn!(
                    host = target.host,
                    error, "cannot resolve the aggregator's name, addresses known before stand"
                );
            }
        }
    }
}

impl Sender {
    fn request(
        &mut self,
        prefix: &str,
        host: &str,
        port: u16,
        packed: &Packed,
        now: Instant,
    ) -> anyhow::Result<Request<Full<bytes::Bytes>>> {
        let host = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let mut request = Request::post(format!("{prefix}{}", wire::http::BATCH_PATH))
            .header(HOST, host)
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static(wire::http::BATCH_CONTENT_TYPE),
            )
            .header(
                CONTENT_ENCODING,
                HeaderValue::from_static(self.compressor.encoding()),
            )
            .header(wire::http::RAW_LENGTH_HEADER, packed.raw_bytes)
            .header(
                USER_AGENT,
                HeaderValue::from_static(concat!("tailrace-agent/", env!("CARGO_PKG_VERSION"))),
            );
        if let Some(token) = &mut self.token {
            request = request.header(AUTHORIZATION, token.authorization(now)?);
        }
        Ok(request.body(Full::new(packed.body.clone()))?)
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
