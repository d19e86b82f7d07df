//! The aggregator under test: a real `tailrace-aggregator` with a config file of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;

use crate::{
    agent::{binary, shell_command},
    control::Control,
    http::Http,
    metrics::Metrics,
    process::{Process, free_port},
};

/// How long a program may take to be ready.
const READY: Duration = Duration::from_secs(20);

/// What the aggregator's config says. Values are YAML.
#[derive(Debug, Clone)]
pub struct AggregatorSetup {
    /// `outputs[0].elasticsearch.hosts`; none for an embedded store.
    pub hosts: Vec<String>,
    /// `ack`.
    pub ack: String,
    /// `outputs[0].namespace`: the last part of the data stream's name, which keeps tests apart.
    pub namespace: String,
    /// More keys of `outputs[0]`.
    pub output: Vec<(String, String)>,
    /// More keys of `outputs[0].elasticsearch`.
    pub elasticsearch: Vec<(String, String)>,
    /// More keys of the top level.
    pub more: Vec<(String, String)>,
}

/// A running (or stopped) aggregator with its data directory.
#[derive(Debug)]
pub struct Aggregator {
    dir: PathBuf,
    port: u16,
    /// Runs before it, in the same process.
    shell: String,
    process: Option<Process>,
}

impl AggregatorSetup {
    /// An aggregator that indexes into `logs-kubernetes.container_logs-<namespace>` of `host`.
    pub fn new(host: &str, namespace: &str) -> Self {
        Self {
            hosts: vec![host.to_owned()],
            ack: "buffer".to_owned(),
            namespace: namespace.to_owned(),
            output: Vec::new(),
            elasticsearch: Vec::new(),
            more: Vec::new(),
        }
    }

    /// An aggregator that keeps documents in a store of its own.
    pub fn embedded(namespace: &str) -> Self {
        Self {
            hosts: Vec::new(),
            output: vec![("embedded".to_owned(), "{}".to_owned())],
            ..Self::new("", namespace)
        }
    }

    /// Sets `ack`.
    #[must_use]
    pub fn ack(mut self, ack: &str) -> Self {
        ack.clone_into(&mut self.ack);
        self
    }

    /// Adds a key below the output.
    #[must_use]
    pub fn output(mut self, key: &str, yaml: &str) -> Self {
        self.output.push((key.to_owned(), yaml.to_owned()));
        self
    }

    /// Adds a key below the output's `elasticsearch`.
    #[must_use]
    pub fn elasticsearch(mut self, key: &str, yaml: &str) -> Self {
        self.elasticsearch.push((key.to_owned(), yaml.to_owned()));
        self
    }

    /// Adds a key of the top level.
    #[must_use]
    pub fn with(mut self, key: &str, yaml: &str) -> Self {
        self.more.push((key.to_owned(), yaml.to_owned()));
        self
    }

    fn yaml(&self, dir: &Path, port: u16) -> String {
        let mut yaml = format!(
            "data_dir: {}/data\nlisten: 127.0.0.1:{port}\nack: {}\nlog: {{level: debug}}\n",
            dir.display(),
            self.ack
        );
        for (key, value) in &self.more {
            yaml.push_str(&format!("{key}: {value}\n"));
        }
        yaml.push_str("outputs:\n  - name: main\n");
        // A plain index has a name of its own.
        if !self.output.iter().any(|(key, _)| key == "index") {
            yaml.push_str(&format!("    namespace: {}\n", self.namespace));
        }
        for (key, value) in &self.output {
            yaml.push_str(&format!("    {key}: {value}\n"));
        }
        if self.hosts.is_empty() {
            return yaml;
        }
        yaml.push_str(&format!(
            "    elasticsearch:\n      hosts: [{}]\n",
            self.hosts.join(", ")
        ));
        for (key, value) in &self.elasticsearch {
            yaml.push_str(&format!("      {key}: {value}\n"));
        }
        yaml
    }
}

impl Aggregator {
    /// Writes a config into `dir` and starts the aggregator; `dir` holds its data and its log too.
    pub fn start(dir: &Path, setup: &AggregatorSetup) -> anyhow::Result<Self> {
        let mut aggregator = Self::prepare(dir, setup)?;
        aggregator.start_again()?;
        Ok(aggregator)
    }

    /// Writes a config into `dir` and starts nothing yet.
    pub fn prepare(dir: &Path, setup: &AggregatorSetup) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).context("cannot create the aggregator's directory")?;
        let aggregator = Self {
            dir: dir.to_owned(),
            port: free_port()?,
            shell: String::new(),
            process: None,
        };
        fs::write(aggregator.config_path(), setup.yaml(dir, aggregator.port))
            .context("cannot write the aggregator's config")?;
        Ok(aggregator)
    }

    /// Its config file.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("aggregator.yaml")
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Where agents send to.
    pub fn url(&self) -> String {
        self.http().url()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it (again) through a line of shell that ends with the program: `ulimit -n 60`, for
    /// example. Empty for none.
    pub fn set_shell(&mut self, before: &str) {
        before.clone_into(&mut self.shell);
    }

    /// The control file of its fault points.
    pub fn faults(&self) -> Control {
        Control::of(&self.dir)
    }

    /// Starts it (again) with the same config and data, and waits until it is ready.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let mut process = self.spawn()?;
        let http = self.http();
        process.wait_ready(READY, || http.get_json("/healthz").map(|_| ()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts it (again) and waits until it has ended by itself: its rules strike at the start.
    pub fn start_to_end(&mut self) -> anyhow::Result<()> {
        self.spawn()?.wait_gone(READY).map(|_| ())
    }

    fn spawn(&self) -> anyhow::Result<Process> {
        let mut command = shell_command(&self.shell, &binary("tailrace-aggregator")?);
        command
            .arg("--config")
            .arg(self.config_path())
            .env("RUST_BACKTRACE", "1");
        self.faults().hand_to(&mut command);
        Process::start("tailrace-aggregator", &mut command, &self.log_path())
    }

    /// Where its log goes.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("aggregator.log")
    }

    /// Everything it has logged.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// A client for its own address.
    pub fn http(&self) -> Http {
        Http::local(self.port)
    }

    /// Scrapes it.
    pub fn metrics(&self) -> anyhow::Result<Metrics> {
        Ok(Metrics::parse(&self.http().get("/metrics")?.text()))
    }

    /// Its process id; 0 when it is not running.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::pid)
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Waits until it has ended by itself.
    pub fn wait_gone(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.process
            .take()
            .context("cannot wait for the end: not running")?
            .wait_gone(limit)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process
            .as_ref()
            .context("cannot signal: not running")?
            .signal(signal)
    }

    /// Kills it with -9.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.kill())
    }

    /// Stops it with SIGTERM, and tells how it ended.
    pub fn terminate(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.process
            .take()
            .context("cannot stop: not running")?
            .terminate(limit)
    }

    /// Runs a subcommand of the same binary to its end, with the config where `--config` is asked.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<Output> {
        Command::new(binary("tailrace-aggregator")?)
            .args(args)
            .stdin(Stdio::null())
            .current_dir(&self.dir)
            .output()
            .context("cannot run tailrace-aggregator")
    }
}
