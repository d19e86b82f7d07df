//! A program under test: a real binary with a config file, a data directory and a log of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;

use crate::{
    control::Control,
    http::Http,
    metrics::Metrics,
    process::{Process, free_port},
};

/// How long a program may take to be ready.
const READY: Duration = Duration::from_secs(20);

/// The directory of the binaries under test: `TAILRACE_BIN_DIR`, else `tested/` beside the profile
/// that this test was built with.
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = env::var_os("TAILRACE_BIN_DIR") {
        return PathBuf::from(dir);
    }
    let exe = env::current_exe().unwrap_or_default();
    let profile = exe.ancestors().find(|dir| dir.join("deps").is_dir());
    profile
        .and_then(Path::parent)
        .unwrap_or(Path::new("target"))
        .join("tested")
}

/// The path of a binary under test, or how to build it.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = bin_dir().join(name);
    anyhow::ensure!(
        path.exists(),
        "cannot find `{}`: run `make faulty`, or set TAILRACE_BIN_DIR",
        path.display()
    );
    Ok(path)
}

/// A command that runs a line of shell and then becomes `binary`.
fn shell_command(line: &str, binary: &Path) -> Command {
    if line.is_empty() {
        return Command::new(binary);
    }
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{line}\nexec \"$0\" \"$@\""))
        .arg(binary);
    command
}

/// A program, running or stopped.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    dir: PathBuf,
    port: u16,
    /// Runs before it, in the same process.
    shell: String,
    process: Option<Process>,
}

impl Program {
    /// Writes the config that `yaml` makes for a port into `dir`, and starts nothing yet.
    pub(crate) fn prepare(
        name: &'static str,
        dir: &Path,
        yaml: impl Fn(u16) -> String,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {name}'s directory"))?;
        let program = Self {
            name,
            dir: dir.to_owned(),
            port: free_port()?,
            shell: String::new(),
            process: None,
        };
        fs::write(program.config_path(), yaml(program.port))
            .with_context(|| format!("cannot write {name}'s config"))?;
        Ok(program)
    }

    /// Its config file.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join(self.name).with_extension("yaml")
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.http().url()
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
        let mut command = shell_command(&self.shell, &binary(self.name)?);
        command
            .arg("--config")
            .arg(self.config_path())
            // As in their images, the system has no certificates of authorities.
            .env("SSL_CERT_FILE", "/dev/null")
            .env("RUST_BACKTRACE", "1");
        self.faults().hand_to(&mut command);
        Process::start(self.name, &mut command, &self.log_path())
    }

    /// Where its log goes.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join(self.name).with_extension("log")
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

    /// Runs a subcommand of the same binary to its end.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<Output> {
        Command::new(binary(self.name)?)
            .args(args)
            .stdin(Stdio::null())
            .current_dir(&self.dir)
            .output()
            .with_context(|| format!("cannot run {}", self.name))
    }
}
