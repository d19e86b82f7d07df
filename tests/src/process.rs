//! Processes that die with the test.
//!
//! Each child has a guard beside it: a shell that waits for the end of a pipe whose other end only
//! this process holds, and then kills the child. So nothing stays behind, whether a test ends,
//! panics, or is itself killed with -9.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// A running child process whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// The process that does the work: not the child where that is a launcher.
    worker: Option<u32>,
    log: PathBuf,
    guard: Option<Guard>,
}

#[derive(Debug)]
struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Process {
    /// Starts `command`, appending what it prints to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open `{}`", log.display()))?;
        // A group of its own: Ctrl-C is for the test alone, which stops its children in order.
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("cannot share a log file")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name} ({:?})", command.get_program()))?;
        let guard = Some(Guard::start(&[child.id()], None)?);
        Ok(Self {
            name: name.to_owned(),
            child,
            worker: None,
            log: log.to_owned(),
            guard,
        })
    }

    /// Says which process does the work, where the child is only its launcher.
    pub fn set_worker(&mut self, pid: u32) -> anyhow::Result<()> {
        self.worker = Some(pid);
        self.renew_guard(None)
    }

    /// Has the guard remove `dir` when it has killed the process: for servers that live as long as
    /// the test process, whose end nobody in it sees.
    pub fn sweep(&mut self, dir: &Path) -> anyhow::Result<()> {
        self.renew_guard(Some(dir))
    }

    fn renew_guard(&mut self, sweep: Option<&Path>) -> anyhow::Result<()> {
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        let mut pids = vec![self.child.id()];
        pids.extend(self.worker);
        self.guard = Some(Guard::start(&pids, sweep)?);
        Ok(())
    }

    /// The process that does the work.
    pub fn pid(&self) -> u32 {
        self.worker.unwrap_or_else(|| self.child.id())
    }

    /// The file its output goes to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Everything it has printed.
    pub fn log_text(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// The last lines it has printed.
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it has ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until `ready` succeeds; fails at once, with the log's end, when the process ends.
    pub fn wait_ready(
        &mut self,
        limit: Duration,
        mut ready: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let name = self.name.clone();
        let result = wait::until_ok(limit, &format!("{name} to be ready"), || {
            if !self.is_running() {
                return Ok(false);
            }
            ready().map(|()| true)
        });
        match result {
            Ok(true) => Ok(()),
            Ok(false) => bail!("{name} ended while starting:\n{}", self.log_tail()),
            Err(error) => bail!("{error:#}\n{}", self.log_tail()),
        }
    }

    /// Sends a signal to the process that does the work.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = as_pid(self.pid())?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Kills it with -9 and waits until it is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            self.signal(Signal::KILL)?;
        }
        if self.worker.is_some() {
            // A launcher follows its worker by itself, but it need not be waited for.
            self.child.kill().context("cannot kill a launcher")?;
        }
        self.wait_gone(GONE).map(|_| ())
    }

    /// Stops it with SIGTERM and waits until it is gone.
    pub fn terminate(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        if self.is_running() {
            self.signal(Signal::TERM)?;
        }
        self.wait_gone(limit)
    }

    /// Waits until it has ended by itself.
    pub fn wait_gone(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let (name, worker) = (self.name.clone(), self.worker);
        let status = wait::until(limit, &format!("{name} to end"), || {
            let status = self.child.try_wait().ok().flatten()?;
            worker.is_none_or(|pid| !is_alive(pid)).then_some(status)
        })?;
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.guard.is_some() {
            // Nothing to be done about a failure here: the guard ends it all the same.
            self.kill().ok();
        }
    }
}

impl Guard {
    fn start(pids: &[u32], sweep: Option<&Path>) -> anyhow::Result<Self> {
        const SCRIPT: &str = r#"
            trap '' INT TERM HUP
            dir=$1; shift
            read -r word
            [ "$word" = dismissed ] && exit
            kill -9 "$@"
            [ -z "$dir" ] && exit
            for n in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$@" 2>/dev/null && sleep 0.2; done
            rm -rf "$dir""#;
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .process_group(0)
            .arg(sweep.unwrap_or(Path::new("")))
            .args(pids.iter().map(u32::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start a guard (sh)")?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// Ends the guard without harm to the process, which is gone already.
    fn dismiss(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            pipe.write_all(b"dismissed\n").ok();
        }
        self.shell.wait().ok();
    }
}

fn as_pid(pid: u32) -> anyhow::Result<Pid> {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("cannot use a process id of 0")
}

/// Whether a process is there and not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// A port of 127.0.0.1 that is free now, below the range that outgoing connections use: so it is
/// still free when a server comes to bind it, or comes back to it after a restart.
pub fn free_port() -> anyhow::Result<u16> {
    const FIRST: u32 = 20_000;
    const PORTS: u32 = 12_000;
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(fastrand::u32(..PORTS)));
    for _ in 0..PORTS {
        let number = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let port = u16::try_from(number).context("cannot use a port beyond 65535")?;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("cannot find a free port from {FIRST} on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_process_is_stopped_and_its_end_noticed() {
        let scratch = Scratch::new("process").unwrap();
        let log = scratch.path().join("log");
        let start = || {
            let mut command = Command::new("sh");
            command.args(["-c", "echo ready; exec sleep 600"]);
            let mut process = Process::start("sleeper", &mut command, &log).unwrap();
            let ready = || match fs::read_to_string(&log)?.contains("ready") {
                true => Ok(()),
                false => bail!("silent"),
            };
            process.wait_ready(Duration::from_secs(5), ready).unwrap();
            process
        };
        let mut killed = start();
        assert!(killed.ended().is_none());
        killed.kill().unwrap();
        assert!(!killed.is_running());
        let status = killed.ended().unwrap().to_string();
        assert!(status.contains("signal: 9"), "{status}");
        assert!(!start().terminate(Duration::from_secs(5)).unwrap().success());
        let pid = start().pid();
        assert!(!is_alive(pid), "dropped, yet alive");
    }

    #[test]
    fn a_guard_kills_when_its_pipe_closes() {
        let scratch = Scratch::new("guard").unwrap();
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let mut guard = Guard::start(&[child.id()], Some(scratch.path())).unwrap();
        drop(guard.pipe.take());
        assert!(!child.wait().unwrap().success());
        guard.shell.wait().unwrap();
        assert!(!scratch.path().exists());
    }
}
