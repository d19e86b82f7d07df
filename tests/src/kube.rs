//! A real Kubernetes API server on 127.0.0.1, without a container engine: kube-apiserver with etcd in
//! one process, the controllers that tests need, the scheduler, and kubectl.
//!
//! All of them are one program, built with Go from `assets/kube` (minutes, once). There is no
//! kubelet: nothing runs, the status of a pod is what a test patches. Ready in 4 s; data and port
//! survive `stop`, `kill` and `start_again`. etcd does not sync to disk.

pub mod events;
pub mod node;
mod program;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use crate::{
    process::{Process, free_port},
    scratch::Scratch,
};

/// The longest the server may take to be ready, on a busy machine, the build not counted.
const START: Duration = Duration::from_secs(180);
/// How long the server may take to stop. With a watch open it would take more than ten seconds.
const STOP: Duration = Duration::from_secs(3);
/// The longest path of a unix socket is 108 bytes, on some systems 104: the program refuses more.
const MAX_SOCKET: usize = 100;

/// A control plane, running or stopped.
#[derive(Debug)]
pub struct KubeApi {
    program: PathBuf,
    port: u16,
    home: PathBuf,
    /// More flags of kube-apiserver.
    flags: Vec<String>,
    api: Option<Process>,
    /// Controllers and scheduler. They hold no state.
    others: Vec<Process>,
    // Behind the processes: dropped after them.
    _scratch: Scratch,
}

impl KubeApi {
    /// Starts server, controllers and scheduler on fresh data.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// The same, with flags of kube-apiserver: `--watch-cache=false`, for example.
    pub fn start_with(flags: &[&str]) -> anyhow::Result<Self> {
        let program = program::install().context("cannot build the Kubernetes API server")?;
        let scratch = Scratch::new("kube")?;
        let home = scratch.path().to_owned();
        ensure!(
            home.join("etcd.sock").as_os_str().len() <= MAX_SOCKET,
            "cannot put a socket into `{}`: its path is too long; set TMPDIR to a shorter one",
            home.display()
        );
        let mut server = Self {
            program,
            port: free_port()?,
            home,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            api: None,
            others: Vec::new(),
            _scratch: scratch,
        };
        server.start_again()?;
        Ok(server)
    }

    /// The one that the tests of this binary share. Nobody stops it; each test has a namespace.
    pub fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceLock<Result<&KubeApi, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| {
            Self::start()
                .and_then(Self::share)
                .map_err(|error| format!("{error:#}"))
        });
        started
            .as_ref()
            .copied()
            .map_err(|error| anyhow::anyhow!("{error}"))
    }

    fn share(mut self) -> anyhow::Result<&'static Self> {
        let home = self.home.clone();
        if std::env::var_os("TAILRACE_KEEP").is_none()
            && let Some(process) = self.api.as_mut()
        {
            process.sweep(&home)?;
        }
        Ok(Box::leak(Box::new(self)))
    }

    /// Its port on 127.0.0.1, the same after restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let api = self.api.as_ref().context("the server does not run")?;
        Ok(api.pid())
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Certificate of the authority that signed the server's, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.home.join("pki/ca.crt")
    }

    /// How a cluster's admin reaches it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.join("admin.kubeconfig")
    }

    /// One line of JSON for each request that it answered: user, verb, URI.
    pub fn audit_log(&self) -> PathBuf {
        self.home.join("audit.log")
    }

    /// Starts it (again), on the same data and port.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let mut args = vec!["--port".to_owned(), self.port.to_string(), "--".to_owned()];
        args.extend(self.flags.iter().cloned());
        let mut api = self.spawn("apiserver", &args)?;
        api.wait_ready(START, || self.run(&["get", "--raw", "/readyz"]).map(drop))?;
        self.api = Some(api);
        let mut controllers = self.spawn("controllers", &[])?;
        self.others.push(self.spawn("scheduler", &[])?);
        // The first thing that the controllers do, without which no pod is taken.
        controllers.wait_ready(START, || {
            self.run(&["-n", "default", "get", "serviceaccount", "default"])
                .map(drop)
        })?;
        self.others.push(controllers);
        Ok(())
    }

    fn spawn(&self, part: &str, args: &[String]) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.program);
        command.arg(part).arg("--data").arg(&self.home).args(args);
        let log = self.home.join(part).with_extension("log");
        Process::start(&format!("Kubernetes ({part})"), &mut command, &log)
    }

    /// Stops it: the server with SIGTERM, and with SIGKILL when it takes long.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.stop_others()?;
        let Some(mut api) = self.api.take() else {
            return Ok(());
        };
        match api.terminate(STOP) {
            Ok(_) => Ok(()),
            Err(_) => api.kill(),
        }
    }

    /// Kills it with -9.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.stop_others()?;
        self.api.take().map_or(Ok(()), |mut api| api.kill())
    }

    fn stop_others(&mut self) -> anyhow::Result<()> {
        self.others
            .drain(..)
            .try_for_each(|mut process| process.kill())
    }

    /// kubectl, as the admin.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("kubectl")
            .env("KUBECONFIG", self.kubeconfig())
            // Its cache of what the server knows.
            .env("HOME", &self.home)
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl to its end, and returns what it printed; an error when it fails.
    pub fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self
            .kubectl()
            .args(args)
            .output()
            .context("cannot run kubectl")?;
        stdout_of(args, &output)
    }

    /// Runs kubectl on a file that holds `manifests`: for `-f FILE` put the file's name at the end.
    pub fn run_on(&self, manifests: &str, args: &[&str]) -> anyhow::Result<Output> {
        let file = tempfile::Builder::new()
            .suffix(".yaml")
            .tempfile_in(&self.home)
            .context("cannot create a file")?;
        fs::write(file.path(), manifests).context("cannot write manifests")?;
        self.kubectl()
            .args(args)
            .arg("-f")
            .arg(file.path())
            .output()
            .context("cannot run kubectl")
    }

    /// A token of a service account, as the API makes it: of an hour.
    pub fn token(&self, namespace: &str, account: &str) -> anyhow::Result<String> {
        let token = self.run(&["-n", namespace, "create", "token", account])?;
        Ok(token.trim().to_owned())
    }

    /// A token that the server takes for `life`, and for ten seconds more when it took it just
    /// before. The API itself makes none below ten minutes.
    pub fn token_for(
        &self,
        namespace: &str,
        account: &str,
        life: Duration,
    ) -> anyhow::Result<String> {
        let uid = self.run(&[
            "-n",
            namespace,
            "get",
            "serviceaccount",
            account,
            "-o",
            "jsonpath={.metadata.uid}",
        ])?;
        let subject = format!("{namespace}/{account}/{uid}");
        // The server's clock may be wrong by a minute, it thinks.
        let life = i128::try_from(life.as_millis()).context("cannot use so long a life")? - 60_000;
        let token = self.tool(&["token", "--sa", &subject, &format!("--ttl={life}ms")])?;
        Ok(token.trim().to_owned())
    }

    /// Forgets all versions of objects but the last. A watch from an older one gets 410 when the
    /// server runs with `--watch-cache=false`; with its cache, only after a restart.
    pub fn compact(&self) -> anyhow::Result<()> {
        self.tool(&["compact"]).map(drop)
    }

    fn tool(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .args(args)
            .arg("--data")
            .arg(&self.home)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run `{}`", self.program.display()))?;
        stdout_of(args, &output)
    }

    /// Makes a node that is ready, so that pods can be bound to it; one that is there stays.
    pub fn add_node(&self, name: &str) -> anyhow::Result<()> {
        let manifest = format!(
            "apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n  \
             labels: {{kubernetes.io/hostname: {name}, kubernetes.io/os: linux}}\n"
        );
        let output = self.run_on(&manifest, &["apply"])?;
        stdout_of(&["apply"], &output)?;
        let status = r#"{"status":{"conditions":[{"type":"Ready","status":"True","reason":"Test"}],
            "capacity":{"cpu":"8","memory":"16Gi","pods":"200"},
            "allocatable":{"cpu":"8","memory":"16Gi","pods":"200"}}}"#;
        self.run(&[
            "patch",
            "node",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            status,
        ])?;
        // Given to each new node; the controller that would take it away does not run here. A node
        // that was made before has it no more.
        let taint = "node.kubernetes.io/not-ready";
        match self.run(&["taint", "node", name, &format!("{taint}-")]) {
            Err(error) if !error.to_string().contains("not found") => Err(error),
            _ => Ok(()),
        }
    }

    /// The folder of its data, keys and logs.
    pub fn home(&self) -> &Path {
        &self.home
    }
}

fn stdout_of(args: &[&str], output: &Output) -> anyhow::Result<String> {
    if !output.status.success() {
        bail!(
            "cannot do `{}`: {}{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
