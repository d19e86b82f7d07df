//! The main job: build the parts from the bottom up, serve, and take them down in the order of
//! the flow.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use config::aggregator::{AckMode, AggregatorConfig};
use prometheus_client::registry::Registry;
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::build;
use crate::kubernetes_events::KubernetesEvents;
use crate::metrics::PipelineMetrics;
use crate::output::{DiskQueue, Keep, Output};
use crate::own_agent::OwnAgent;
use crate::pipeline::{MetadataCache, OutputView, Plan, Pool, RestoredPlans, Shared};
use crate::receive::{Receiver, Serves, Tokens};
use crate::rules::{RuleBook, RuleWatch};
use crate::status::{OutputState, StatusSource};
use crate::web_pipeline::WebPipeline;

/// How often rule files are looked at. A change rests for one such span before it is loaded.
const RULES_POLL: Duration = Duration::from_secs(1);

/// Memory for metadata of streams: some 50,000 of them.
const METADATA_CACHE_BYTES: usize = 64 << 20;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When a part cannot start: what it says is for the operator.
pub(super) fn run(path: &Path, config: AggregatorConfig) -> anyhow::Result<()> {
    let rules = build::RuleSources::of(&config).load().map_err(|problems| {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("cannot load the rules:\n{}", list.join("\n"))
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers.clamp(1, 4) as usize)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(path.to_owned(), config, rules))
}

struct Running {
    client: Arc<dyn Store>,
    keep: Keep,
    sender: Arc<store::Sender>,
}

async fn serve(
    path: PathBuf,
    config: AggregatorConfig,
    rules: Arc<parsers::RuleSet>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut registry = Registry::default();
    telemetry::process::register(&mut registry);
    let metrics = Arc::new(PipelineMetrics::default());
    metrics.register(&mut registry);

    let events = KubernetesEvents::new(&config.kubernetes_events)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr().unwrap_or(config.listen);
    let ingest = match config.ingest_listen {
        None => None,
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}"))?,
        ),
    };

    // Queues first: a buffer that another process holds must stop the start before anything sends.
    let mut running: Vec<Running> = Vec::new();
    let mut views = Vec::new();
    let mut routers = Vec::new();
    let mut states: BTreeMap<String, OutputState> = BTreeMap::new();
    for output in &config.outputs {
        let client = build::store(&config.data_dir, output, build::Access::Write)
            .await
            .with_context(|| format!("cannot set up output `{}`", output.name))?;
        let keep = match config.ack {
            AckMode::Buffer => {
                let dir = config.data_dir.join("outputs").join(&output.name);
                let options = build::disk_queue_options(output);
                let queue = tokio::task::spawn_blocking(move || DiskQueue::open(&dir, options))
                    .await
                    .context("cannot open the buffer")??;
                let stats = queue.stats();
                if stats.entries > 0 {
                    info!(
                        output = %output.name, entries = stats.entries, bytes = stats.undelivered_bytes,
                        "found undelivered bodies in the buffer"
                    );
                }
                Keep::Disk(Arc::new(queue))
            }
            AckMode::Store => Keep::Memory(store::MemoryQueue::new(config.receive.memory.0)),
        };
        let sender_metrics = store::Metrics::default();
        let own = registry
            .sub_registry_with_prefix("tailrace")
            .sub_registry_with_label(("output".into(), output.name.clone().into()));
        sender_metrics.register(own);
        if let Keep::Disk(queue) = &keep {
            queue.register(own.sub_registry_with_prefix("buffer"));
        }
        let sender = Arc::new(store::Sender::start(
            Arc::clone(&client),
            keep.queue(),
            build::sender_options(output),
            sender_metrics,
        ));
        let refusing = Arc::clone(&sender);
        let encoding = Arc::clone(&client);
        views.push(OutputView {
            name: output.name.clone(),
            refused: Arc::new(move || refusing.refused()),
            encoding: Arc::new(move || encoding.body_encoding()),
            optional: output.optional,
        });
        routers.push((output.name.clone(), Arc::new(build::router(output))));
        states.insert(
            output.name.clone(),
            OutputState {
                keep: keep.clone(),
                sender: Arc::clone(&sender),
            },
        );
        running.push(Running {
            client,
            keep,
            sender,
        });
    }

    let rule_book = Arc::new(RuleBook::new(&rules));
    let tokens = Arc::new(ArcSwap::from_pointee(build::tokens(&config.receive)?));
    let key = tokens.load().settings_key();
    let plan = Plan::new(rules, build::framing_options(&config), routers.into(), &key);
    let shared = Arc::new(Shared {
        plan: ArcSwap::from_pointee(plan),
        restored: RestoredPlans::new(key),
        rule_book: Arc::clone(&rule_book),
        metadata: MetadataCache::new(METADATA_CACHE_BYTES),
        outputs: views,
        max_batch_bytes: config.receive.max_batch.0 as usize,
        metrics: Arc::clone(&metrics),
    });
    let pool = Arc::new(
        Pool::start(&shared, config.workers as usize).context("cannot start the worker threads")?,
    );
    let mut sealers = JoinSet::new();
    let mut outputs = Vec::new();
    for (output, running) in config.outputs.iter().zip(&running) {
        let client = Arc::clone(&running.client);
        outputs.push(Output::start(
            &output.name,
            output.optional,
            running.keep.clone(),
            build::seal_options(output),
            move || client.body_encoding(),
            Arc::clone(&pool),
            &mut sealers,
        ));
    }

    // Whatever it reads waits in its channel until there is a receiver.
    let agent = OwnAgent::start(&config, address).await?;
    let shown = agent.as_ref().map(OwnAgent::shown);
    if let Some(shown) = &shown {
        shown.register(&mut registry)?;
    }
    rule_book.register(&mut registry);
    if let Some(events) = &events {
        let own = registry.sub_registry_with_prefix("tailrace");
        events.metrics.register(own);
    }
    let api_metrics = web::Metrics::default();
    if config.serves_web() {
        api_metrics.register(&mut registry);
    }
    let state = events.as_ref().map(|events| events.state.clone());
    let status = StatusSource::new(states, rule_book, started).with_kubernetes_events(state);
    let status = status.with_agent(shown);
    let status = Arc::new(status);
    let endpoints = Arc::new(crate::status::endpoints(registry, Arc::clone(&status)));
    let (stop, stopped) = watch::channel(false);
    let mut receiver = Receiver::new(
        build::receive_options(&config.receive),
        Arc::clone(&pool),
        outputs,
        Arc::clone(&tokens),
        Arc::clone(&endpoints),
        Arc::clone(&metrics),
    );
    let access = Arc::new(build::access(&config.web)?);
    if config.serves_web() {
        let pipeline = WebPipeline::new(
            Arc::clone(receiver.intake()),
            Arc::clone(&shared),
            Arc::clone(&tokens),
            Arc::clone(&status),
            endpoints,
        );
        let tail = Arc::clone(&receiver.intake().tail);
        let access = Arc::clone(&access);
        let pipeline = Arc::new(pipeline);
        let stopped = stopped.clone();
        let api = api(
            &config,
            &running,
            pipeline,
            tail,
            access,
            api_metrics,
            stopped,
        )?;
        receiver = receiver.with_web(Arc::new(api));
    }
    let receiver = Arc::new(receiver);
    let grace = config.shutdown_grace / 2;
    let mut serving = JoinSet::new();
    let serves = match ingest {
        None => Serves::All,
        Some(listener) => {
            let receiver = Arc::clone(&receiver);
            serving.spawn(receiver.serve(listener, Serves::Intake, stopped.clone(), grace));
            Serves::Reads
        }
    };
    if let Some(events) = events {
        let intake = Arc::clone(receiver.intake());
        events.start(intake, stopped.clone(), grace, &mut serving);
    }
    let agent_ended =
        agent.map(|agent| agent.serve(Arc::clone(&receiver), stopped.clone(), &mut serving));
    serving.spawn(Arc::clone(&receiver).serve(listener, serves, stopped, grace));
    announce(&config, address);

    let current = Mutex::new(config);
    tokio::select! {
        end = wait_for_the_end(&path, &current, &shared, &tokens, &access, &status) => end?,
        // A program that reads no more must not look as if it did: whoever watches over it starts it again.
        Some(problem) = ended(agent_ended) => return Err(problem),
    }

    let config = current.into_inner().unwrap_or_else(PoisonError::into_inner);
    stop.send_replace(true);
    // Everything that holds a sender goes first, but for what drains it.
    drop((status, shared));
    drain(
        config.shutdown_grace,
        serving,
        receiver,
        sealers,
        pool,
        running,
    )
    .await;
    Ok(())
}

/// Why the agent within has ended; resolves when it does so by itself.
async fn ended(agent: Option<oneshot::Receiver<anyhow::Error>>) -> Option<anyhow::Error> {
    match agent {
        Some(agent) => agent.await.ok(),
        None => std::future::pending().await,
    }
}

/// The API over the output that the configuration names.
fn api(
    config: &AggregatorConfig,
    running: &[Running],
    pipeline: Arc<WebPipeline>,
    tail: Arc<web::TailHub>,
    access: Arc<web::Access>,
    metrics: web::Metrics,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<web::Api> {
    let named = config.web.output.as_deref();
    let mut outputs = config.outputs.iter().zip(running);
    let (output, running) = outputs
        .find(|(output, _)| named.is_none_or(|name| output.name == name))
        .context("the configuration has no output to search")?;
    Ok(web::Api::new(
        Arc::clone(&running.client),
        pipeline,
        tail,
        access,
        build::api_options(&config.web, output),
        metrics,
        stopped,
    ))
}

fn announce(config: &AggregatorConfig, address: SocketAddr) {
    info!(
        version = faults::version!(),
        %address,
        ack = ?config.ack,
        outputs = config.outputs.len(),
        "tailrace-aggregator takes batches"
    );
    if config.serves_web() {
        info!("the page and the API are at http://{address}/");
    } else if config.web.enabled.is_none() {
        warn!("{address} is no loopback address: set `web.auth` to serve the page and the API");
    }
    if !address.ip().is_loopback() && config.receive.tokens.is_empty() {
        warn!("agents need no token: everybody who reaches {address} may send logs");
    }
}

/// Waits for SIGTERM or SIGINT; reloads on SIGHUP.
async fn wait_for_the_end(
    path: &Path,
    config: &Mutex<AggregatorConfig>,
    shared: &Shared,
    tokens: &ArcSwap<Tokens>,
    access: &web::Access,
    status: &StatusSource,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let sources = || {
        let config = config.lock().unwrap_or_else(PoisonError::into_inner);
        build::RuleSources::of(&config)
    };
    let mut watch = RuleWatch::new(&sources().paths);
    let mut looks = tokio::time::interval(RULES_POLL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                let result = reload(path, config, shared, tokens, access);
                if let Err(reason) = &result {
                    error!("cannot reload, the old configuration stays in force: {reason:#}");
                }
                status.set_reload_error(result.err().map(|reason| format!("{reason:#}")));
            }
            _ = looks.tick() => {
                // Reads files and compiles: not for a thread that serves agents.
                if let Some(result) = tokio::task::block_in_place(|| {
                    watch.poll(&sources())
                }) {
                    take_rules(result, shared, &tokens.load());
                }
            }
        }
    }
}

/// Puts new rules in force, or tells why the old ones stay.
fn take_rules(
    result: Result<Arc<parsers::RuleSet>, Vec<parsers::Problem>>,
    shared: &Shared,
    tokens: &Tokens,
) {
    match result {
        Ok(rules) => {
            info!(
                rules = rules.len(),
                "rule files have changed: the new rules are in force"
            );
            shared.rule_book.replaced(&rules);
            put_in_force(rules, shared, tokens);
        }
        Err(problems) => {
            for problem in &problems {
                error!("{problem}");
            }
            error!(
                problems = problems.len(),
                "rule files have changed and are refused: the old rules stay in force"
            );
            shared.rule_book.refused(&problems);
        }
    }
}

fn put_in_force(rules: Arc<parsers::RuleSet>, shared: &Shared, tokens: &Tokens) {
    let key = tokens.settings_key();
    let plan = shared.plan.load().with_rules(rules, &key);
    shared.plan.store(Arc::new(plan));
    shared.restored.reloaded(key);
}

fn reload(
    path: &Path,
    current: &Mutex<AggregatorConfig>,
    shared: &Shared,
    tokens: &ArcSwap<Tokens>,
    access: &web::Access,
) -> anyhow::Result<()> {
    let new: AggregatorConfig = config::load(path, &config::Environment::process())
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let rules = build::RuleSources::of(&new).load().map_err(|problems| {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", list.join("\n"))
    })?;
    let new_tokens = build::tokens(&new.receive)?;
    let new_users = build::users(&new.web)?;
    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
    shared.rule_book.replaced(&rules);
    put_in_force(rules, shared, &new_tokens);
    tokens.store(Arc::new(new_tokens));
    access.set_users(new_users);
    telemetry::logging::set_level(crate::command::log_level(&new.log));
    let restart = current.needs_restart(&new);
    if restart.is_empty() {
        info!("configuration reloaded");
    } else {
        warn!(
            keys = restart.join(", "),
            "configuration reloaded; these keys take effect at the next start only"
        );
    }
    *current = new;
    Ok(())
}

/// Takes the parts down in the order of the flow, within `grace`.
async fn drain(
    grace: Duration,
    mut serving: JoinSet<()>,
    receiver: Arc<Receiver>,
    mut sealers: JoinSet<()>,
    pool: Arc<Pool>,
    running: Vec<Running>,
) {
    let begin = Instant::now();
    let deadline = tokio::time::Instant::now() + grace;
    info!("stopping: no new batches");
    while serving.join_next().await.is_some() {}
    info!(
        seconds = begin.elapsed().as_secs_f32(),
        "requests in work are answered"
    );
    // The receiver holds the outputs' intakes; without it the sealers end.
    drop(receiver);
    let sealed = async { while sealers.join_next().await.is_some() {} };
    if tokio::time::timeout_at(deadline, sealed).await.is_err() {
        warn!("bodies were still being written at the end of the grace period");
        sealers.abort_all();
    }
    if let Some(pool) = Arc::into_inner(pool) {
        drop(tokio::task::spawn_blocking(move || pool.stop()).await);
    }
    info!(
        seconds = begin.elapsed().as_secs_f32(),
        "everything received is in the buffers"
    );
    for Running { keep, sender, .. } in running {
        // With `ack: buffer` what is not delivered is on disk: only what is in flight is awaited.
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match Arc::into_inner(sender) {
            Some(sender) => {
                if !sender.drain(left).await {
                    warn!(
                        "requests to the store were still in flight: their documents stay in the buffer"
                    );
                }
            }
            None => error!("a sender is still in use; this is a bug"),
        }
        keep.close();
    }
    info!(seconds = begin.elapsed().as_secs_f32(), "stopped");
}
