//! `make bench-search`: loading and searching, the embedded store beside OpenSearch.
//!
//! The same ready-made documents go to both over HTTP, with the same client; each store is a process
//! of its own, whose CPU, memory and disk are read. Then the queries of the page, one at a time.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bench::{shop::Shop, stamp::Civil, usage::Usage};
use clap::{Parser, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};
use store::{Elasticsearch, ElasticsearchOptions, Encoding, InstallOptions, Store, document_id};
use tests::{
    embedded_server,
    scratch::Scratch,
    server::{Product, Server},
};

const INDEX: &str = "logs-kubernetes.container_logs-bench";
/// Documents of a request: some 3 MB, as the aggregator's bodies are.
const BATCH: u64 = 5_000;
/// Requests at a time.
const IN_FLIGHT: u64 = 4;
/// The time that the documents are spread over.
const SPAN_NS: u64 = 24 * 3_600 * 1_000_000_000;
/// Stands in one document.
const NEEDLE: &str = "needle7f3a9c";
/// How long merges may go on after the last document.
const SETTLE: Duration = Duration::from_secs(1_800);

/// Loads documents into the embedded store and into OpenSearch, and asks both the same.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  tailrace-search-bench --docs 1000000\n      \
                  a look at both, in minutes\n  \
                  tailrace-search-bench --docs 50000000 --store embedded --dir /big/disk\n  \
                  tailrace-search-bench --docs 50000000 --store embedded --dir /big/disk --ask-only"
)]
struct Args {
    /// Documents to load.
    #[arg(long, default_value_t = 1_000_000)]
    docs: u64,
    /// Which store; both unless told.
    #[arg(long)]
    store: Option<Which>,
    /// How often each query is asked.
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Where the embedded store keeps its files; a temporary directory unless told.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Ask only: the documents are in `--dir` already, from a run before with the same `--docs`.
    #[arg(long, requires = "dir")]
    ask_only: bool,
    /// Be the embedded store, in this directory, and print its port.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Embedded,
    Opensearch,
}

#[expect(clippy::print_stdout, reason = "what this program is for")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start")?;
    if let Some(dir) = &args.serve {
        return runtime.block_on(embedded_server::serve(dir, |port| println!("{port}")));
    }
    println!(
        "| store | docs/s | µs CPU a document | disk bytes a document | disk : documents | peak RSS MiB | newest 100 meanwhile: p50 ms | p99 ms |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|"
    );
    let mut queries = String::new();
    let mut files = BTreeMap::new();
    for which in [Which::Embedded, Which::Opensearch] {
        if args.store.is_none_or(|only| only == which) {
            ensure!(
                which == Which::Embedded || !args.ask_only,
                "only the embedded store keeps its documents: add `--store embedded`"
            );
            let scratch = Scratch::new("search-bench")?;
            let dir = args.dir.as_deref().unwrap_or(scratch.path());
            let target = Target::start(which, dir)?;
            let (row, asked) = runtime.block_on(measure(&target, &args))?;
            println!("{row}");
            queries.push_str(&asked);
            if let Target::Embedded { dir, .. } = &target {
                files = sizes_by_kind(dir)?;
            }
        }
    }
    println!(
        "\n| query over {} documents | store | found | p50 ms | p99 ms |\n|---|---|---:|---:|---:|\n{queries}",
        args.docs
    );
    if !files.is_empty() {
        println!("| files of the embedded store | bytes a document |\n|---|---:|");
    }
    for (kind, bytes) in files {
        println!("| {kind} | {:.2} |", bytes as f64 / args.docs as f64);
    }
    Ok(())
}

/// A store in a process of its own.
enum Target {
    Embedded {
        child: std::process::Child,
        port: u16,
        dir: PathBuf,
    },
    Opensearch(Box<Server>),
}

impl Target {
    fn start(which: Which, dir: &Path) -> anyhow::Result<Self> {
        if which == Which::Opensearch {
            return Server::start(Product::OpenSearch)
                .map(|server| Self::Opensearch(Box::new(server)));
        }
        let dir = dir.join("store");
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the embedded store")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("it has no output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
        let port = line.trim().parse().context("it did not tell its port")?;
        Ok(Self::Embedded { child, port, dir })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Embedded { .. } => "embedded",
            Self::Opensearch(server) => server.product().name(),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Embedded { port, .. } => format!("http://127.0.0.1:{port}"),
            Self::Opensearch(server) => server.url(),
        }
    }

    fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(match self {
            Self::Embedded { child, .. } => child.id(),
            Self::Opensearch(server) => server.pid(),
        })
    }

    async fn disk(&self, client: &Elasticsearch) -> anyhow::Result<u64> {
        match self {
            Self::Embedded { dir, .. } => Ok(sizes_by_kind(dir)?.values().sum()),
            Self::Opensearch(_) => {
                let path = format!("/{INDEX}/_stats/store");
                let answer = client.request(Method::GET, &path, None).await?;
                let stats: Value = serde_json::from_slice(&answer.body)?;
                let bytes = stats["_all"]["primaries"]["store"]["size_in_bytes"].as_u64();
                bytes.context("the server does not tell the size of its index")
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Self::Embedded { child, .. } = self {
            // It may have ended by itself; it holds nothing that anybody needs.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Bytes of all files below `dir` by extension, which tells what a file of an index holds.
fn sizes_by_kind(dir: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut sizes = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        // A merge takes files away meanwhile.
        let Ok(entry) = entry else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                for (kind, bytes) in sizes_by_kind(&entry.path())? {
                    *sizes.entry(kind).or_insert(0) += bytes;
                }
            }
            Ok(metadata) => {
                let path = entry.path();
                let kind = path.extension().unwrap_or_default().to_string_lossy();
                *sizes.entry(kind.into_owned()).or_insert(0) += metadata.len();
            }
            Err(_) => {}
        }
    }
    Ok(sizes)
}

/// The row of a store, and the rows of its queries.
async fn measure(target: &Target, args: &Args) -> anyhow::Result<(String, String)> {
    let mut options = ElasticsearchOptions::new(vec![target.url()]);
    options.request_timeout = Duration::from_secs(120);
    let client = Arc::new(Elasticsearch::connect(options).await?);
    if let Target::Opensearch(_) = target {
        let install = InstallOptions {
            replicas: Some(0),
            ..InstallOptions::default()
        };
        client.install(&install).await;
    }
    let row = match args.ask_only {
        true => String::new(),
        false => load_measured(target, &client, args.docs).await?,
    };
    let count = client.count(INDEX, None).await?;
    ensure!(count == args.docs, "{count} documents of {}", args.docs);
    let mut rows = String::new();
    for (name, body) in queries() {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..args.rounds {
            let began = Instant::now();
            let answer = client.search(INDEX, &body).await?;
            times.push(began.elapsed());
            found = answer["hits"]["total"]["value"].as_u64().unwrap_or(0);
        }
        times.sort_unstable();
        writeln!(
            rows,
            "| {name} | {} | {found} | {:.1} | {:.1} |",
            target.name(),
            quantile(&times, 0.5),
            quantile(&times, 0.99)
        )?;
    }
    Ok((row, rows))
}

/// Loads the documents, asking meanwhile what somebody at the page asks; the row of the store.
async fn load_measured(
    target: &Target,
    client: &Arc<Elasticsearch>,
    docs: u64,
) -> anyhow::Result<String> {
    let before = target.usage()?;
    let began = Instant::now();
    let mut times = Vec::new();
    let bytes = tokio::select! {
        bytes = load(client, docs) => bytes?,
        failed = ask_while_loading(client, &mut times) => return Err(failed),
    };
    client.refresh(INDEX).await?;
    let took = began.elapsed();
    let used = target.usage()?.since(&before);
    times.sort_unstable();
    let disk = settled(target, client).await?;
    let docs = docs as f64;
    Ok(format!(
        "| {} | {:.0} | {:.1} | {:.0} | {:.2} | {} | {:.1} | {:.1} |",
        target.name(),
        docs / took.as_secs_f64(),
        used.cpu().as_secs_f64() * 1e6 / docs,
        disk as f64 / docs,
        disk as f64 / bytes as f64,
        target.usage()?.peak_rss >> 20,
        quantile(&times, 0.5),
        quantile(&times, 0.99),
    ))
}

/// Asks for the newest documents once a second, until it is dropped or a question fails.
async fn ask_while_loading(client: &Elasticsearch, times: &mut Vec<Duration>) -> anyhow::Error {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let body = json!({"size": 100, "sort": [{"@timestamp": "desc"}]});
    loop {
        ticks.tick().await;
        let began = Instant::now();
        match client.search(INDEX, &body).await {
            Ok(_) => times.push(began.elapsed()),
            // Nothing was loaded yet.
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return error.into(),
        }
    }
}

/// Milliseconds that a share of `sorted` did not exceed; 0 when there are none.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let idx = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(idx).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// The disk's use when merging has come to rest.
async fn settled(target: &Target, client: &Elasticsearch) -> anyhow::Result<u64> {
    let began = Instant::now();
    let (mut last, mut same) = (target.disk(client).await?, 0);
    while same < 5 && began.elapsed() < SETTLE {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = target.disk(client).await?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

/// Posts documents; tells their bytes.
async fn load(client: &Arc<Elasticsearch>, docs: u64) -> anyhow::Result<u64> {
    let next = Arc::new(AtomicU64::new(0));
    let bytes = Arc::new(AtomicU64::new(0));
    let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let first_ns = u64::try_from(now_ns.as_nanos())? - SPAN_NS;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (client, next, bytes) = (Arc::clone(client), Arc::clone(&next), Arc::clone(&bytes));
        tasks.spawn(async move {
            loop {
                let start = next.fetch_add(BATCH, Ordering::Relaxed);
                if start >= docs {
                    return anyhow::Ok(());
                }
                let body = hyper::body::Bytes::from(body(
                    start..(start + BATCH).min(docs),
                    docs,
                    first_ns,
                )?);
                bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                let answer = loop {
                    let answer = client.bulk(body.clone(), Encoding::Identity).await?;
                    // Asked to come again, as a sender would be.
                    if answer.status != 429 {
                        break answer;
                    }
                };
                ensure!(
                    answer.status == 200,
                    "a request was answered {}",
                    answer.status
                );
                let answer: Value = serde_json::from_slice(&answer.body)?;
                ensure!(
                    answer["errors"] == false,
                    "documents were refused: {answer}"
                );
                if (start / BATCH).is_multiple_of(20) {
                    write!(std::io::stderr(), "\r{start} of {docs} ").ok();
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    write!(std::io::stderr(), "\r").ok();
    Ok(bytes.load(Ordering::Relaxed))
}

/// A request with documents as the aggregator makes them of the shop's lines. Written by hand: the
/// client works on the cores that the store is measured on.
fn body(numbers: std::ops::Range<u64>, docs: u64, first_ns: u64) -> anyhow::Result<Vec<u8>> {
    const SERVICES: [&str; 6] = ["web", "orders", "payments", "search", "mailer", "stock"];
    let mut shop = Shop::new(numbers.start, u32::try_from(numbers.start).unwrap_or(0));
    let mut rng = fastrand::Rng::with_seed(numbers.start);
    let mut out = Vec::with_capacity(4 << 20);
    let mut line = Vec::new();
    for n in numbers {
        let at = first_ns + SPAN_NS / docs * n;
        line.clear();
        let kind = shop.pick();
        shop.append_event(kind, at, &mut line);
        let message = String::from_utf8_lossy(&line);
        let mut message = message.trim_end();
        let found;
        if n == docs / 3 {
            found = format!("{message} {NEEDLE}");
            message = &found;
        }
        let which = rng.usize(..SERVICES.len());
        let (service, pod) = (SERVICES[which], rng.u8(..8));
        let level = match rng.u8(..100) {
            0..3 => "error",
            3..10 => "warn",
            _ => "info",
        };
        let status = [200, 200, 200, 404, 500][rng.usize(..5)];
        let (path, took) = (rng.u16(..500), f64::from(rng.u32(..100_000)) / 100.0);
        let time = rfc3339(at);
        let (stream, offset, node) = (which as u64 * 8 + u64::from(pod), n * 200, pod % 4);
        store::append_action(&mut out, INDEX, &document_id(stream, offset, 1));
        write!(out, r#"{{"@timestamp":"{time}","message":"#)?;
        serde_json::to_writer(&mut out, message)?;
        write!(
            out,
            r#","log":{{"level":"{level}","iostream":"stdout","offset":{offset},"file":{{"path":"/var/log/containers/{service}-{pod}_shop_{service}.log"}}}},"#
        )?;
        write!(
            out,
            r#""kubernetes":{{"namespace":"shop","pod":{{"name":"{service}-{pod}"}},"container":{{"name":"{service}"}},"node":{{"name":"node-{node}"}}}},"#
        )?;
        write!(
            out,
            r#""service":{{"name":"{service}"}},"event":{{"ingested":"{time}"}},"http":{{"response":{{"status_code":{status}}}}},"#
        )?;
        writeln!(
            out,
            r#""url":{{"path":"/api/v2/{service}/{path}"}},"attributes":{{"took":{took}}},"tailrace":{{"stream":"{stream:016x}","length":{}}}}}"#,
            message.len()
        )?;
    }
    Ok(out)
}

fn rfc3339(ns: u64) -> String {
    let mut out = Vec::new();
    Civil::from_ns(ns).append_rfc3339(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// What the page asks.
fn queries() -> Vec<(&'static str, Value)> {
    let newest = json!([{"@timestamp": "desc"}]);
    let per_half_hour = json!({"date_histogram":
        {"field": "@timestamp", "fixed_interval": "30m", "min_doc_count": 1}});
    let hits = |query: Value| json!({"size": 100, "sort": newest, "query": query});
    vec![
        ("newest 100", hits(json!({"match_all": {}}))),
        (
            "full text: `checkout`",
            hits(json!({"match": {"message": "checkout"}})),
        ),
        (
            "field filter: level and service",
            hits(json!({"bool": {"filter": [
                {"term": {"log.level": "error"}}, {"term": {"service.name": "payments"}}]}})),
        ),
        (
            "needle in a haystack",
            hits(json!({"match": {"message": NEEDLE}})),
        ),
        (
            "histogram of everything by level",
            json!({"size": 0, "track_total_hits": true, "aggs": {"time": {
                "date_histogram": {"field": "@timestamp", "fixed_interval": "30m"},
                "aggs": {"level": {"terms": {"field": "log.level"}}}}}}),
        ),
        (
            "the page's histogram: all, by level, without one",
            json!({"size": 0, "track_total_hits": true, "aggs": {
                "over": per_half_hour,
                "by": {"terms": {"field": "log.level", "size": 10}, "aggs": {"over": per_half_hour}},
                "without": {
                    "filters": {"filters": {"x": {"bool": {"must_not": [{"exists": {"field": "log.level"}}]}}}},
                    "aggs": {"over": per_half_hour}},
            }}),
        ),
        (
            "terms: top 10 paths",
            json!({"size": 0, "track_total_hits": true,
                "aggs": {"path": {"terms": {"field": "url.path", "size": 10}}}}),
        ),
    ]
}
