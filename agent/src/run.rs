//! The whole program but for its arguments: load, serve pages, run sessions, react to signals.

use crate::journal::{self, NodeJournal};
use crate::local::Link;
use crate::metrics::Metrics;
use crate::pods::NodePods;
use crate::session::{Session, View};
use crate::settings::Settings;
use crate::status;
use anyhow::{Context, bail};
use config::agent::AgentConfig;
use config::{Environment, LogFormat, LogLevel};
use prometheus_client::registry::Registry;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tail::SystemClock;
use telemetry::http::Endpoints;
use telemetry::logging;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Loads the configuration and says whether it can be used.
///
/// # Errors
/// All problems of the file, a line each.
pub fn check(path: &Path) -> anyhow::Result<()> {
    load(path).map(drop)
}

fn load(path: &Path) -> anyhow::Result<AgentConfig> {
    config::load(path, &Environment::process()).map_err(|problems| anyhow::anyhow!("{problems}"))
}

/// The text that `status` prints: asks_for_pods the agent at `address`, by default at `listen` of the
/// configuration file, and where there is none at the usual address.
///
/// # Errors
/// When no agent answers there.
pub fn show_status(
    path: &Path,
    address: Option<SocketAddr>,
    as_json: bool,
    max_files: usize,
) -> anyhow::Result<String> {
    let address = match address {
        Some(address) => address,
        None if !path.exists() => SocketAddr::from((Ipv4Addr::LOCALHOST, 7081)),
        None => reachable(load(path)?.listen),
    };
    let text = telemetry::http::fetch(address, "/status")
        .with_context(|| format!("cannot ask the agent at `{address}`: is it running?"))?;
    if as_json {
        return Ok(text);
    }
    let json = serde_json::from_str(&text).context("cannot read the agent's answer")?;
    Ok(status::table(&json, max_files))
}

/// An agent that listens everywhere is asked at home.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        other => other.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or the journal cannot be written at the end.
pub async fn run(path: &Path) -> anyhow::Result<()> {
    let mut config = load(path)?;
    let format = match config.log.format {
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    logging::init(level(&config), format);
    let listener = TcpListener::bind(config.listen)
        .with_context(|| format!("cannot listen on `{}` (key `listen`)", config.listen))?;
    listener
        .set_nonblocking(true)
        .context("cannot listen without blocking")?;
    let mut signals = Signals::new()?;
    let metrics = Metrics::default();
    let mut pods = learn_pods(&config, &metrics)?;
    let (mut session, mut journal) = start(&config, &metrics, &pods, None)?;
    info!(
        version = faults::version!(),
        node = config.node_name,
        listen = %config.listen,
        aggregators = config.aggregators.len(),
        "agent started"
    );
    loop {
        let (view, asks_for_pods) = (session.view(), pods.known().is_some());
        let pages = Pages::serve(&listener, &view, &metrics, &config.node_name, asks_for_pods)?;
        let next = run_session(&mut session, &mut signals, path, &config, &metrics).await;
        journal.stop().await;
        let Some(next) = next else {
            stop(session, &config).await?;
            pages.stop().await;
            return Ok(());
        };
        // The answers under way are waited for as long as they may take: a reload is no reason to
        // send anything twice.
        session
            .drain(config.timeout)
            .await
            .context("cannot end the session for a reload")?;
        pages.stop().await;
        let started = match pods.is_of(&next.kubernetes) {
            true => start(&next, &metrics, &pods, None),
            false => learn_pods(&next, &metrics).and_then(|learnt| {
                let started = start(&next, &metrics, &learnt, None)?;
                pods = learnt;
                Ok(started)
            }),
        };
        (session, journal) = match started {
            Ok(started) => {
                config = next;
                info!("configuration reloaded");
                started
            }
            Err(problem) => {
                metrics.reload_errors.inc();
                error!(
                    problem = format!("{problem:#}"),
                    "cannot run with the new configuration, the old one stays"
                );
                start(&config, &metrics, &pods, None)?
            }
        };
    }
}

/// Begins to read. Batches go to `link`, or to the aggregators of the configuration.
pub(crate) fn start(
    config: &AgentConfig,
    metrics: &Metrics,
    pods: &NodePods,
    link: Option<&Link>,
) -> anyhow::Result<(Session, NodeJournal)> {
    let folder = journal::folder(config)?;
    let session = Session::start(
        Settings::from(config)
            .with_journal(folder.clone())
            .within(link.cloned()),
        Arc::new(SystemClock::new()),
        metrics.clone(),
        pods.known(),
    )?;
    let counters = metrics.journal.clone();
    let journal = NodeJournal::start(config, folder.as_deref(), session.view(), counters)?;
    Ok((session, journal))
}

/// Begins to learn of the node's pods. The folder of their cache is the journal's, which the
/// session makes; until then there is nothing to read in it.
pub(crate) fn learn_pods(config: &AgentConfig, metrics: &Metrics) -> anyhow::Result<NodePods> {
    NodePods::start(
        &config.kubernetes,
        &config.node_name,
        &config.data_dir,
        metrics.kubernetes.clone(),
    )
}

fn level(config: &AgentConfig) -> &'static str {
    match config.log.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

/// Runs until the process shall stop (`None`) or another configuration shall be used.
async fn run_session(
    session: &mut Session,
    signals: &mut Signals,
    path: &Path,
    config: &AgentConfig,
    metrics: &Metrics,
) -> Option<AgentConfig> {
    let mut next = None;
    let changed = async {
        while signals.next().await == Wanted::Reload {
            match load(path) {
                Ok(loaded) => {
                    next = reloaded(config, loaded);
                    if next.is_some() {
                        return;
                    }
                }
                Err(problems) => {
                    metrics.reload_errors.inc();
                    error!("cannot use the changed configuration, the old one stays:\n{problems}");
                }
            }
        }
    };
    session.run(changed).await;
    next
}

/// What a reload leads to: `None` when nothing has to be started anew.
fn reloaded(config: &AgentConfig, mut loaded: AgentConfig) -> Option<AgentConfig> {
    for key in config.needs_restart(&loaded) {
        warn!(key, "this key takes effect at the next start only");
    }
    loaded.data_dir.clone_from(&config.data_dir);
    loaded.node_name.clone_from(&config.node_name);
    loaded.listen = config.listen;
    loaded.log.format = config.log.format;
    logging::set_level(level(&loaded));
    let is_same = AgentConfig {
        log: config.log.clone(),
        ..loaded.clone()
    } == *config;
    if is_same {
        info!("configuration reloaded, nothing but the log may have changed");
        return None;
    }
    Some(loaded)
}

/// Stops in the order of the flow: reading has ended, answers, checkpoint.
pub(crate) async fn stop(session: Session, config: &AgentConfig) -> anyhow::Result<()> {
    let begin = Instant::now();
    info!(
        grace_ms = millis(config.shutdown_grace),
        "stopping: nothing more is read"
    );
    let drained = session.drain(config.shutdown_grace).await?;
    if drained.n_unanswered > 0 {
        warn!(
            batches = drained.n_unanswered,
            "answers did not come in time, these batches come again at the next start"
        );
    }
    info!(
        batches = drained.n_batches,
        answers_ms = millis(drained.waited),
        journal_ms = millis(drained.closed),
        total_ms = millis(begin.elapsed()),
        "stopped"
    );
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wanted {
        tokio::select! {
            _ = self.terminate.recv() => Wanted::Stop,
            _ = self.interrupt.recv() => Wanted::Stop,
            _ = self.hang_up.recv() => Wanted::Reload,
        }
    }
}

/// The pages of one session.
struct Pages {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Pages {
    fn serve(
        listener: &TcpListener,
        view: &View,
        metrics: &Metrics,
        node: &str,
        asks_for_pods: bool,
    ) -> anyhow::Result<Self> {
        let listener = listener.try_clone().context("cannot listen")?;
        let listener = tokio::net::TcpListener::from_std(listener).context("cannot listen")?;
        let endpoints = Arc::new(endpoints(view, metrics, node, asks_for_pods)?);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(telemetry::http::serve(listener, endpoints, async {
            // The sender's end says the same as its message.
            stopped.await.ok();
        }));
        Ok(Self { task, stop })
    }

    async fn stop(self) {
        self.stop.send(()).ok();
        if let Err(problem) = self.task.await {
            warn!(%problem, "the pages ended badly");
        }
    }
}

fn endpoints(
    view: &View,
    metrics: &Metrics,
    node: &str,
    asks_for_pods: bool,
) -> anyhow::Result<Endpoints> {
    let kubernetes = asks_for_pods.then(|| metrics.kubernetes.clone());
    let mut registry = Registry::default();
    telemetry::process::register(&mut registry);
    register(view, metrics, &mut registry)?;
    let (journal, aggregators, page, node) =
        (view.clone(), view.clone(), view.clone(), node.to_owned());
    Ok(Endpoints::new(registry)
        .ready_when("journal", move || status::can_journal(&journal))
        .ready_when("aggregators", move || status::can_send(&aggregators))
        .page("/status", move || {
            status::json(&page, &node, kubernetes.as_ref()).to_string()
        }))
}

/// Puts the agent's figures into `registry`.
///
/// # Errors
/// When the session is over.
pub(crate) fn register(
    view: &View,
    metrics: &Metrics,
    registry: &mut Registry,
) -> anyhow::Result<()> {
    let own = registry.sub_registry_with_prefix("tailrace_agent");
    metrics.register(own);
    own.register_collector(Box::new(status::LagCollector(view.clone())));
    let Some(tailer) = view
        .lock()
        .tailer
        .as_ref()
        .map(|tailer| tailer.metrics().clone())
    else {
        bail!("the session is over");
    };
    tailer.register(registry.sub_registry_with_prefix("tailrace"));
    Ok(())
}
