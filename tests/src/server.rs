//! OpenSearch and Elasticsearch: real nodes on 127.0.0.1.
//!
//! One node costs 5 to 15 s to start, so tests of one binary share one ([`Server::shared`]) and
//! keep apart by data stream; tests that stop or kill it start their own. The data lies in a
//! temporary directory and survives restarts, as does the port.

mod elasticsearch;
mod opensearch;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    http::Http,
    process::{Process, free_port},
    scratch::Scratch,
    wait,
};

/// The longest a node may take to answer, on a busy machine, downloads not counted.
const START: Duration = Duration::from_secs(120);
/// The longest a node may take to stop.
const STOP: Duration = Duration::from_secs(30);
/// Hits a page when everything is read back.
const PAGE: usize = 5_000;

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

/// A node, running or stopped.
#[derive(Debug)]
pub struct Server {
    product: Product,
    port: u16,
    home: PathBuf,
    settings: Vec<(String, String)>,
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
        product.prepare()?;
        let scratch = Scratch::new("server")?;
        let mut server = Self {
            product,
            port: free_port()?,
            home: scratch.path().to_owned(),
            settings: settings
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            process: None,
            _scratch: scratch,
        };
        server.start_again()?;
        Ok(server)
    }

    /// The OpenSearch that the tests of this binary share. Nobody stops it.
    pub fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| {
            let mut server =
                Self::start(Product::OpenSearch).map_err(|error| format!("{error:#}"))?;
            if std::env::var_os("TAILRACE_KEEP").is_none() {
                let home = server.home.clone();
                let process = server.process.as_mut();
                process
                    .map_or(Ok(()), |it| it.sweep(&home))
                    .map_err(|it| format!("{it:#}"))?;
            }
            Ok(server)
        });
        started.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Which server it is.
    pub fn product(&self) -> Product {
        self.product
    }

    /// Its port on 127.0.0.1, the same after restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.http().url()
    }

    /// A client for it.
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
        process.wait_ready(START, || {
            http.get_json("/_cluster/health?wait_for_status=yellow&timeout=5s")
                .map(|_| ())
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

    /// Makes everything indexed so far visible to searches; an index that is not there is no error.
    pub fn refresh(&self, index: &str) -> anyhow::Result<()> {
        let path = format!("/{index}/_refresh?ignore_unavailable=true&allow_no_indices=true");
        self.http().json("POST", &path, &Value::Null).map(|_| ())
    }

    /// Counts documents that match a query-string query (`*` for all), after a refresh. An index
    /// that is not there has none.
    pub fn count(&self, index: &str, query: &str) -> anyhow::Result<u64> {
        self.refresh(index)?;
        let path = format!("/{index}/_count?ignore_unavailable=true&allow_no_indices=true");
        let body = json!({"query": {"query_string": {"query": query}}});
        let answer = self.http().json("POST", &path, &body)?;
        answer["count"].as_u64().context("cannot read a count")
    }

    /// Every hit of an index, data stream or pattern, after a refresh.
    pub fn search_all(&self, index: &str) -> anyhow::Result<Vec<Value>> {
        self.search_every(index, &json!({"match_all": {}}))
    }

    /// Every hit of a query, after a refresh. By scroll: it is there in every server.
    pub fn search_every(&self, index: &str, query: &Value) -> anyhow::Result<Vec<Value>> {
        self.refresh(index)?;
        let http = self.http();
        let path =
            format!("/{index}/_search?scroll=1m&ignore_unavailable=true&allow_no_indices=true");
        let body = json!({"size": PAGE, "query": query, "sort": ["_doc"]});
        let mut answer = http.json("POST", &path, &body)?;
        let mut all = Vec::new();
        while let Value::Array(hits) = answer["hits"]["hits"].take() {
            let scroll = answer["_scroll_id"].take();
            if hits.is_empty() {
                // An expired scroll costs the server nothing: a failure does not matter.
                http.json("DELETE", "/_search/scroll", &json!({"scroll_id": scroll}))
                    .ok();
                break;
            }
            all.extend(hits);
            let next = json!({"scroll": "1m", "scroll_id": scroll});
            answer = http.json("POST", "/_search/scroll", &next)?;
        }
        Ok(all)
    }

    /// Changes settings of an index or data stream.
    pub fn put_settings(&self, index: &str, settings: &Value) -> anyhow::Result<()> {
        self.http()
            .json("PUT", &format!("/{index}/_settings"), settings)
            .map(|_| ())
    }

    /// Rolls a data stream over to a new backing index.
    pub fn rollover(&self, data_stream: &str) -> anyhow::Result<()> {
        self.http()
            .json("POST", &format!("/{data_stream}/_rollover"), &Value::Null)
            .map(|_| ())
    }

    /// Waits until `query` counts at least `documents`.
    pub fn wait_count(
        &self,
        index: &str,
        query: &str,
        documents: u64,
        limit: Duration,
    ) -> anyhow::Result<u64> {
        let what = format!("{documents} documents of `{query}` in {index}");
        wait::until_ok(limit, &what, || {
            let count = self.count(index, query)?;
            anyhow::ensure!(count >= documents, "{count} so far");
            Ok(count)
        })
    }
}
