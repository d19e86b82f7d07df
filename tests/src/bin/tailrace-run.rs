//! `make run`: the whole path on one machine, to look at.
//!
//! Logs of this machine when it has `/var/log/containers`, else those of a made-up shop; both
//! programs; Elasticsearch at `ELASTICSEARCH_URL`, else the aggregator's own store. Prints one line
//! a second and how to look at it. Ctrl-C stops everything that was started, by process id.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use clap::Parser;
use tests::{
    http::Http,
    metrics::Metrics,
    process::{Process, free_port},
    program::bin_dir,
    scratch::Scratch,
};

/// How long a program may take to be ready, and to stop.
const LIMIT: Duration = Duration::from_secs(30);
const DATA_STREAM: &str = "logs-kubernetes.container_logs-default";

/// Carries container logs of this machine, or of a made-up shop where there are none, into the
/// aggregator's own store, or to Elasticsearch or OpenSearch at $ELASTICSEARCH_URL.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Events a second of the made-up shop.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Stop by itself after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Everything that was started, in the order of the flow.
struct Parts {
    generator: Option<Process>,
    agent: Process,
    aggregator: Process,
    agent_http: Http,
    aggregator_http: Http,
    /// Elasticsearch or OpenSearch; without it the aggregator keeps what comes.
    store_url: Option<String>,
}

#[expect(clippy::print_stdout, reason = "what this program is for")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let scratch = Scratch::new("run")?;
    let mut parts = Parts::start(&args, scratch.path())?;
    println!("{}", hints(&parts, scratch.path()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let outcome = runtime.block_on(watch(&mut parts, args.seconds));
    parts.stop();
    outcome
}

/// What there is to look at.
fn hints(parts: &Parts, dir: &Path) -> String {
    let mut hints = String::from("\nLook at it, in another terminal:\n");
    let bin = bin_dir().join("tailrace-aggregator");
    let (bin, address) = (bin.display(), parts.aggregator_http.url());
    if parts
        .aggregator_http
        .get("/")
        .is_ok_and(|reply| reply.status == 200)
    {
        hints.push_str(&format!("  the page: {address}/\n"));
    }
    if let Some(url) = &parts.store_url {
        let url = url.trim_end_matches('/');
        hints.push_str(&format!(
            "  curl -s '{url}/{DATA_STREAM}/_search?size=1&sort=@timestamp:desc&pretty'\n  \
             curl -s '{url}/{DATA_STREAM}/_count?q=log.level:error'\n  \
             curl -s '{url}/{DATA_STREAM}/_search?q=message:payment&size=2&pretty'\n"
        ));
    }
    hints.push_str(&format!(
        "  {bin} status --address {address}\n  \
         {bin} audit --config {config}\n  \
         curl -s {agent}/metrics\n\
         Ctrl-C stops everything.\n",
        address = address.trim_start_matches("http://"),
        config = dir.join("aggregator.yaml").display(),
        agent = parts.agent_http.url(),
    ));
    hints
}

/// Prints a line a second until Ctrl-C, or until something ends.
#[expect(clippy::print_stdout, reason = "what this program is for")]
async fn watch(parts: &mut Parts, seconds: Option<u64>) -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot watch for SIGTERM")?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut before = (SystemTime::now(), 0);
    let mut n_ticks = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        }
        if seconds.is_some_and(|seconds| n_ticks > seconds) {
            return Ok(());
        }
        n_ticks += 1;
        // The scrapes run on a runtime of their own, which must not be entered from this one.
        let (line, lines) = tokio::task::spawn_blocking({
            let (agent, aggregator) = (parts.agent_http.clone(), parts.aggregator_http.clone());
            move || live_line(&agent, &aggregator, before)
        })
        .await
        .context("cannot scrape")?;
        before = (SystemTime::now(), lines);
        println!("{line}");
        parts.check_alive()?;
    }
}

fn live_line(agent: &Http, aggregator: &Http, before: (SystemTime, u64)) -> (String, u64) {
    let scrape = |http: &Http| {
        http.get("/metrics")
            .map(|reply| Metrics::parse(&reply.text()))
            .unwrap_or_default()
    };
    let (agent, aggregator) = (scrape(agent), scrape(aggregator));
    let lines = agent.count("tail_lines_read_total", &[]);
    let seconds = before
        .0
        .elapsed()
        .unwrap_or_default()
        .as_secs_f64()
        .max(0.001);
    let per_second = lines.saturating_sub(before.1) as f64 / seconds;
    let line = format!(
        "{lines:>9} lines read, {per_second:>6.0} a second, lag {:>8} B {:>5.1} s | {:>9} documents indexed",
        agent.count("agent_lag_bytes", &[]),
        agent.sum("agent_lag_seconds", &[]),
        aggregator.count("store_docs_indexed_total", &[]),
    );
    (line, lines)
}

impl Parts {
    #[expect(
        clippy::print_stdout,
        reason = "starting takes a while: says what it is doing"
    )]
    fn start(args: &Args, dir: &Path) -> anyhow::Result<Self> {
        let store_url = env::var("ELASTICSEARCH_URL")
            .ok()
            .filter(|url| !url.is_empty());
        match &store_url {
            Some(url) => println!("using the store at {url}"),
            None => println!("documents go into the aggregator's own store"),
        }
        let (generator, include) = match own_logs() {
            Some(glob) => {
                println!("reading the logs of this machine: {glob}");
                (None, glob)
            }
            None => {
                let logs = dir.join("logs");
                println!(
                    "writing the logs of a made-up shop under {}",
                    logs.display()
                );
                let mut command = Command::new(bin_dir().join("tailrace-gen"));
                command.args(["--live", "--quiet", "--rotate-at", "4MiB", "--rate"]);
                command.arg(args.rate.to_string()).arg("--dir").arg(&logs);
                let generator = Process::start("tailrace-gen", &mut command, &dir.join("gen.log"))?;
                (
                    Some(generator),
                    format!("{}/containers/*.log", logs.display()),
                )
            }
        };
        println!(
            "starting tailrace-aggregator and tailrace-agent (configs and logs: {})",
            dir.display()
        );
        let (aggregator, aggregator_http) = start_aggregator(dir, store_url.as_deref())?;
        let (agent, agent_http) = start_agent(dir, &include, &aggregator_http.url())?;
        Ok(Self {
            generator,
            agent,
            aggregator,
            agent_http,
            aggregator_http,
            store_url,
        })
    }

    fn check_alive(&mut self) -> anyhow::Result<()> {
        for process in [&mut self.agent, &mut self.aggregator] {
            anyhow::ensure!(
                process.is_running(),
                "a program ended:\n{}",
                process.log_tail()
            );
        }
        Ok(())
    }

    /// Stops in the order of the flow, so that what was read is indexed.
    #[expect(
        clippy::print_stdout,
        reason = "stopping takes a while: says what it is doing"
    )]
    fn stop(mut self) {
        println!("stopping");
        for process in self
            .generator
            .iter_mut()
            .chain([&mut self.agent, &mut self.aggregator])
        {
            if let Err(error) = process.terminate(LIMIT) {
                println!("  {error:#}");
            }
        }
    }
}

/// The glob of this machine's container logs, if it has any.
fn own_logs() -> Option<String> {
    let dir = Path::new("/var/log/containers");
    let mut entries = fs::read_dir(dir).ok()?;
    let is_log = |path: PathBuf| path.extension().is_some_and(|extension| extension == "log");
    entries
        .any(|entry| entry.is_ok_and(|entry| is_log(entry.path())))
        .then(|| format!("{}/*.log", dir.display()))
}

fn start_aggregator(dir: &Path, store_url: Option<&str>) -> anyhow::Result<(Process, Http)> {
    let port = preferred_port(7080)?;
    let config = dir.join("aggregator.yaml");
    let store = match store_url {
        Some(url) => {
            format!("elasticsearch: {{hosts: ['{url}'], template: {{refresh_interval: 1s}}}}")
        }
        None => "embedded: {}".to_owned(),
    };
    // Those of the checkout: a change to one of them is in force a second later.
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("parsers/rules");
    let yaml = format!(
        "data_dir: ./aggregator-data\nlisten: 127.0.0.1:{port}\nack: buffer\nrules: ['{}']\n\
         outputs:\n  - name: main\n    {store}\n",
        rules.display()
    );
    fs::write(&config, yaml).context("cannot write the aggregator's config")?;
    start(dir, "tailrace-aggregator", &config, port)
}

fn start_agent(dir: &Path, include: &str, aggregator: &str) -> anyhow::Result<(Process, Http)> {
    let port = preferred_port(7081)?;
    let config = dir.join("agent.yaml");
    let yaml = format!(
        "data_dir: ./agent-data\nnode_name: node-1\nlisten: 127.0.0.1:{port}\n\
         aggregators: ['{aggregator}']\nfiles:\n  include: ['{include}']\n  start_at: beginning\n  \
         allowed_roots: ['{}', /var/log/containers, /var/log/pods, /var/lib/docker/containers]\n",
        dir.display()
    );
    fs::write(&config, yaml).context("cannot write the agent's config")?;
    start(dir, "tailrace-agent", &config, port)
}

fn start(dir: &Path, name: &str, config: &Path, port: u16) -> anyhow::Result<(Process, Http)> {
    let mut command = Command::new(bin_dir().join(name));
    command.arg("--config").arg(config);
    let mut process = Process::start(name, &mut command, &dir.join(format!("{name}.log")))?;
    let http = Http::local(port);
    process.wait_ready(LIMIT, || http.get_json("/healthz").map(|_| ()))?;
    Ok((process, http))
}

/// The documented port when it is free, else any.
fn preferred_port(port: u16) -> anyhow::Result<u16> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(port),
        Err(_) => free_port(),
    }
}
