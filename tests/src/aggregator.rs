//! The aggregator under test: a real `tailrace-aggregator` with a config file of its own.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
};

use crate::program::Program;

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

/// An aggregator, running or stopped, with its data directory.
#[derive(Debug)]
pub struct Aggregator(Program);

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
            "data_dir: {}/data\nlisten: 127.0.0.1:{port}\nack: {}\n",
            dir.display(),
            self.ack
        );
        // What went wrong in a test stands there; a benchmark does not pay for it.
        if !self.more.iter().any(|(key, _)| key == "log") {
            yaml.push_str("log: {level: debug}\n");
        }
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
    /// Writes a config into `dir` and starts it; `dir` holds its data and its log too.
    pub fn start(dir: &Path, setup: &AggregatorSetup) -> anyhow::Result<Self> {
        let mut program = Self::prepare(dir, setup)?;
        program.start_again()?;
        Ok(program)
    }

    /// Writes a config into `dir` and starts nothing yet.
    pub fn prepare(dir: &Path, setup: &AggregatorSetup) -> anyhow::Result<Self> {
        Program::prepare("tailrace-aggregator", dir, |port| setup.yaml(dir, port)).map(Self)
    }
}

impl Deref for Aggregator {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.0
    }
}

impl DerefMut for Aggregator {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.0
    }
}
