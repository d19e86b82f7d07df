//! OpenSearch and Elasticsearch: real nodes on 127.0.0.1.
//!
//! One node costs 5 to 15 s to start, so tests of one binary share one (`Server::shared`) and
//! keep apart by data stream; tests that stop or kill it start their own. The data lies in a
//! temporary directory and survives restarts, as does the port.

mod elasticsearch;
mod opensearch;

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;

use crate::{
    documents::Documents,
    http::Http,
    process::{Process, free_port},
    scratch::Scratch,
};

/// The longest a node may take to answer, on a busy machine, downloads not counted.
const START: Duration = Duration::from_secs(300);
/// The longest a node may take to stop.
const STOP: Duration = Duration::from_secs(30);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// OpenSearch 3.8.0.
    OpenSearch,
    /// Elasticsearch 7.17.29: no data streams in this distribution.
    Elasticsearch7,
    /// Elasticsearch 8.19.21.
    Elasticsearch8,
    /// Elasticsearch 9.2.0.
    Elasticsearch9,
}

/// What it takes to be let in by a server with TLS and users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Certificate of the authority that signed the server's, PEM.
    pub ca_pem: Vec<u8>,
    /// A superuser.
    pub user: &'static str,
    /// Its password.
    pub password: &'static str,
}

/// A node, running or stopped.
#[derive(Debug)]
pub struct Server {
    product: Product,
    port: u16,
    home: PathBuf,
    settings: Vec<(String, String)>,
    access: Option<Access>,
    process: Option<Process>,
    // Behind the process: dropped after it.
    _scratch: Scratch,
}

impl Product {
    /// Name and version.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenSearch => "OpenSearch 3.8.0",
            Self::Elasticsearch7 => "Elasticsearch 7.17.29",
            Self::Elasticsearch8 => "Elasticsearch 8.19.21",
            Self::Elasticsearch9 => "Elasticsearch 9.2.0",
        }
    }

    /// The lowest JDK that runs it.
    pub fn needs_jdk(self) -> u32 {
        match self {
            Self::OpenSearch | Self::Elasticsearch9 => 21,
            Self::Elasticsearch7 | Self::Elasticsearch8 => 17,
        }
    }

    /// Fetches what is needed to start it, unless the cache has it.
    pub fn prepare(self) -> anyhow::Result<()> {
        match self {
            Self::OpenSearch => opensearch::install().map(|_| ()),
            _ => elasticsearch::install(self).map(|_| ()),
        }
        .with_context(|| format!("cannot install {}", self.name()))
    }

    fn command(
        self,
        port: u16,
        home: &Path,
        settings: &[(String, String)],
    ) -> anyhow::Result<Command> {
        match self {
            Self::OpenSearch => opensearch::command(port, home, settings),
            _ => elasticsearch::command(self, port, home, settings),
        }
    }
}

impl Server {
    /// Starts a node with default settings.
    pub fn start(product: Product) -> anyhow::Result<Self> {
        Self::start_with(product, &[])
    }

    /// Starts a node with settings of `opensearch.yml` or `elasticsearch.yml`.
    pub fn start_with(product: Product, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut server = Self::new(product)?;
        server.add_settings(settings);
        server.start_again()?;
        Ok(server)
    }

    /// Starts an Elasticsearch that speaks TLS only and knows one user.
    pub fn start_secured(product: Product) -> anyhow::Result<Self> {
        let mut server = Self::new(product)?;
        let (access, settings) = elasticsearch::secure(product, &server.home)?;
        server.access = Some(access);
        server.add_settings(&settings);
        server.start_again()?;
        Ok(server)
    }

    /// Starts an Elasticsearch cluster of two: `rig-0`, its master, and `rig-1`, which holds data
    /// only and may die.
    pub fn start_two() -> anyhow::Result<[Self; 2]> {
        let (first, second) = (free_port()?.to_string(), free_port()?.to_string());
        let seeds = format!("[\"127.0.0.1:{first}\"]");
        let start = |name, port: &str, role: (&str, &str)| {
            let common = [
                ("node.name", name),
                ("transport.port", port),
                ("discovery.seed_hosts", seeds.as_str()),
            ];
            Self::start_with(
                Product::Elasticsearch8,
                &[common.as_slice(), &[role]].concat(),
            )
        };
        Ok([
            start("rig-0", &first, ("cluster.initial_master_nodes", "[rig-0]"))?,
            start("rig-1", &second, ("node.roles", "[data]"))?,
        ])
    }

    fn new(product: Product) -> anyhow::Result<Self> {
        product.prepare()?;
        let scratch = Scratch::new("server")?;
        Ok(Self {
            product,
            port: free_port()?,
            home: scratch.path().to_owned(),
            settings: Vec::new(),
            access: None,
            process: None,
            _scratch: scratch,
        })
    }

    fn add_settings(&mut self, settings: &[(&str, &str)]) {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.settings.extend(settings.iter().map(owned));
    }

    /// The OpenSearch that the tests of this binary share. Nobody stops it.
    pub fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceLock<Result<&Server, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| {
            Self::start(Product::OpenSearch)
                .and_then(Self::share)
                .map_err(|error| format!("{error:#}"))
        });
        started
            .as_ref()
            .copied()
            .map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Lets it live as long as the test process; its data goes with it.
    pub fn share(mut self) -> anyhow::Result<&'static Self> {
        let home = self.home.clone();
        if std::env::var_os("TAILRACE_KEEP").is_none()
            && let Some(process) = self.process.as_mut()
        {
            process.sweep(&home)?;
        }
        Ok(Box::leak(Box::new(self)))
    }

    /// What it takes to be let in, when it was started with TLS and users.
    pub fn access(&self) -> Option<&Access> {
        self.access.as_ref()
    }

    /// Which server it is.
    pub fn product(&self) -> Product {
        self.product
    }

    /// Its port on 127.0.0.1, the same after restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id; 0 when it is not running.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::pid)
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        match self.access {
            Some(_) => format!("https://localhost:{}", self.port),
            None => self.http().url(),
        }
    }

    /// A client for it; of no use for one with TLS.
    pub fn http(&self) -> Http {
        Http::local(self.port)
    }

    /// Starts it (again), on the same data and port.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let mut command = self
            .product
            .command(self.port, &self.home, &self.settings)?;
        let log = self.home.join("server.log");
        let mut process = Process::start(self.product.name(), &mut command, &log)?;
        let http = self.http();
        let is_secured = self.access.is_some();
        process.wait_ready(START, || match is_secured {
            // It opens the port when it is ready.
            true => Ok(TcpStream::connect(("127.0.0.1", self.port)).map(drop)?),
            false => http
                .get_json("/_cluster/health?wait_for_status=yellow&timeout=5s")
                .map(drop),
        })?;
        if let Some(pid) = elasticsearch::worker(&self.home) {
            process.set_worker(pid)?;
        }
        self.process = Some(process);
        Ok(())
    }

    /// Stops it with SIGTERM.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.terminate(STOP).map(|_| ()))
    }

    /// Kills it with -9.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.kill())
    }

    /// Stops it from running without ending it: connections stay open and unanswered.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process
            .as_ref()
            .map_or(Ok(()), |process| process.signal(Signal::STOP))
    }

    /// Lets it run again.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process
            .as_ref()
            .map_or(Ok(()), |process| process.signal(Signal::CONT))
    }

    /// What it holds.
    pub fn documents(&self) -> Documents {
        Documents::of(self.http())
    }
}
