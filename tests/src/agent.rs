//! The agent under test: a real `tailrace-agent` with a config file of its own.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
};

use crate::program::Program;

/// What the agent's config says. Values are YAML.
#[derive(Debug, Clone, Default)]
pub struct AgentSetup {
    /// `files.include`.
    pub include: Vec<String>,
    /// `aggregators`.
    pub aggregators: Vec<String>,
    /// More keys of `files`.
    pub files: Vec<(String, String)>,
    /// More keys of the top level.
    pub more: Vec<(String, String)>,
}

/// An agent, running or stopped, with its data directory.
#[derive(Debug)]
pub struct Agent(Program);

impl AgentSetup {
    /// An agent that reads `include` and ships to `aggregator`.
    pub fn new(include: &str, aggregator: &str) -> Self {
        Self {
            include: vec![include.to_owned()],
            aggregators: vec![aggregator.to_owned()],
            ..Self::default()
        }
    }

    /// Adds a key below `files`.
    #[must_use]
    pub fn files(mut self, key: &str, yaml: &str) -> Self {
        self.files.push((key.to_owned(), yaml.to_owned()));
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
            "data_dir: {}/data\nnode_name: node-1\nlisten: 127.0.0.1:{port}\n\
             aggregators: [{}]\nfiles:\n  include: [{}]\n  start_at: beginning\n",
            dir.display(),
            self.aggregators.join(", "),
            self.include
                .iter()
                .map(|glob| format!("'{glob}'"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        for (key, value) in &self.files {
            yaml.push_str(&format!("  {key}: {value}\n"));
        }
        // What went wrong in a test stands there; a benchmark does not pay for it.
        if !self.more.iter().any(|(key, _)| key == "log") {
            yaml.push_str("log: {level: debug}\n");
        }
        for (key, value) in &self.more {
            yaml.push_str(&format!("{key}: {value}\n"));
        }
        yaml
    }
}

impl Agent {
    /// Writes a config into `dir` and starts it; `dir` holds its data and its log too.
    pub fn start(dir: &Path, setup: &AgentSetup) -> anyhow::Result<Self> {
        let mut program = Self::prepare(dir, setup)?;
        program.start_again()?;
        Ok(program)
    }

    /// Writes a config into `dir` and starts nothing yet.
    pub fn prepare(dir: &Path, setup: &AgentSetup) -> anyhow::Result<Self> {
        Program::prepare("tailrace-agent", dir, |port| setup.yaml(dir, port)).map(Self)
    }
}

impl Deref for Agent {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.0
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.0
    }
}
