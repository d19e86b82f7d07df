//! One program under measurement: a process that ends when its owner goes.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail};

use crate::usage::{CpuTime, Usage};

/// A program that ends when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    /// What it is called.
    pub(crate) name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it; what it says goes to the file `log`.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::create(log).context("cannot create a log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("cannot share a log file")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name} ({:?})", command.get_program()))?;
        Ok(Self {
            name,
            child,
            log: log.to_owned(),
        })
    }

    /// What it has used, with all that came of it.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of_tree(self.child.id())
    }

    /// Its CPU time, without that of its children, for spans in which it does little.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<CpuTime> {
        CpuTime::of(self.child.id())
    }

    /// An error, with the end of what it said, when it has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        if let Ok(Some(status)) = self.child.try_wait() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(20)..].join("\n");
            bail!("{} ended: {status}\n{end}", self.name);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A process that is gone already needs neither.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
