//! Everything that is started: its configs, and its end in the order of the flow.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::Receiver,
};

use anyhow::Context;
use serde_json::Value;
use tests::{
    http::Http,
    metrics::Metrics,
    process::{Process, free_port},
    program::binary,
    wait,
};

use crate::{Args, LIMIT, figures::Figures, service::Service};

pub(crate) const DATA_STREAM: &str = "logs-kubernetes.container_logs-default";

/// Everything that was started.
pub(crate) struct Parts {
    shop: Option<Shop>,
    pub(crate) agent: Service,
    pub(crate) aggregator: Service,
    /// Elasticsearch or OpenSearch; without it the aggregator keeps what comes.
    pub(crate) store_url: Option<String>,
}

/// The made-up shop.
struct Shop {
    generator: Process,
    logs: PathBuf,
}

impl Parts {
    #[expect(
        clippy::print_stdout,
        reason = "starting takes a while: says what it is doing"
    )]
    pub(crate) fn start(args: &Args, dir: &Path) -> anyhow::Result<Self> {
        let store_url = env::var("ELASTICSEARCH_URL")
            .ok()
            .filter(|url| !url.is_empty());
        match &store_url {
            Some(url) => println!("using the store at {url}"),
            None => println!("documents go into the aggregator's own store"),
        }
        let own_logs = if args.shop { None } else { own_logs() };
        let (shop, include) = match own_logs {
            Some(glob) => {
                println!("reading the logs of this machine: {glob}");
                (None, glob)
            }
            None => {
                let shop = Shop::start(args.rate, dir)?;
                println!(
                    "writing the logs of a made-up shop under {}",
                    shop.logs.display()
                );
                let include = format!("{}/*.log", shop.containers().display());
                (Some(shop), include)
            }
        };
        println!(
            "starting tailrace-aggregator and tailrace-agent (configs and logs: {})",
            dir.display()
        );
        let aggregator = start_aggregator(dir, store_url.as_deref())?;
        let agent = start_agent(dir, &include, &aggregator.http().url())?;
        Ok(Self {
            shop,
            agent,
            aggregator,
            store_url,
        })
    }

    /// What has flowed: nothing yet.
    pub(crate) fn figures(&self) -> Figures {
        Figures::new(
            self.agent.http(),
            self.aggregator.http(),
            self.store_url.is_none(),
        )
    }

    /// Starts again what has ended; an error when it ends too often, or does not get ready.
    pub(crate) fn revive(&mut self, figures: &mut Figures) -> anyhow::Result<()> {
        if self.aggregator.revive()? {
            figures.aggregator_began_again();
        }
        if self.agent.revive()? {
            figures.agent_began_again();
        }
        Ok(())
    }

    /// Writes and reads nothing more, and lets arrive what was read. A word from `stop` ends the
    /// waiting.
    pub(crate) fn drain(
        &mut self,
        figures: &mut Figures,
        stop: &Receiver<()>,
    ) -> anyhow::Result<()> {
        // One may have been killed just now.
        self.revive(figures)?;
        let wait_for = |what, check: &dyn Fn() -> anyhow::Result<()>| {
            wait::until_ok(LIMIT, what, || match stop.try_recv() {
                Ok(()) => Ok(()),
                Err(_) => check(),
            })
        };
        // The logs of this machine go on.
        if let Some(shop) = &mut self.shop {
            shop.generator.terminate(LIMIT)?;
            let agent = self.agent.http();
            wait_for("all lines to be acknowledged", &|| {
                shop.check_acknowledged(agent)
            })?;
        }
        figures.update();
        self.agent.terminate()?;
        let aggregator = self.aggregator.http();
        wait_for("the buffer to be empty", &|| check_delivered(aggregator))?;
        figures.update();
        Ok(())
    }

    /// Stops in the order of the flow what has not ended.
    #[expect(clippy::print_stdout, reason = "tells what does not stop")]
    pub(crate) fn stop(mut self) {
        let shop = self.shop.as_mut();
        let ends = [
            shop.map_or(Ok(()), |shop| shop.generator.terminate(LIMIT).map(|_| ())),
            self.agent.terminate(),
            self.aggregator.terminate(),
        ];
        for error in ends.into_iter().filter_map(Result::err) {
            println!("  {error:#}");
        }
    }
}

impl Shop {
    fn start(rate: u32, dir: &Path) -> anyhow::Result<Self> {
        let logs = dir.join("logs");
        let mut command = Command::new(binary("tailrace-gen")?);
        command.args(["--live", "--quiet", "--rotate-at", "4MiB", "--rate"]);
        command.arg(rate.to_string()).arg("--dir").arg(&logs);
        let generator = Process::start("tailrace-gen", &mut command, &dir.join("gen.log"))?;
        Ok(Self { generator, logs })
    }

    /// The links that the agent finds the logs by.
    fn containers(&self) -> PathBuf {
        self.logs.join("containers")
    }

    /// An error unless the agent has an acknowledgement of all that was written.
    fn check_acknowledged(&self, agent: &Http) -> anyhow::Result<()> {
        let status = agent.get_json("/status")?;
        let behind = &status["lag_bytes"];
        anyhow::ensure!(*behind == 0, "{behind} bytes are behind");
        // What was written last may not have been noticed yet.
        for link in fs::read_dir(self.containers())? {
            let file = link?.path().canonicalize()?;
            let size = file.metadata()?.len();
            let is_acknowledged = |stream: &Value| {
                stream["real_path"].as_str() == file.to_str()
                    && stream["offset"].as_u64() >= Some(size)
            };
            let mut streams = status["streams"].as_array().into_iter().flatten();
            anyhow::ensure!(
                size == 0 || streams.any(is_acknowledged),
                "`{}` has been written to",
                file.display()
            );
        }
        Ok(())
    }
}

/// An error unless the store has all that the aggregator took.
fn check_delivered(aggregator: &Http) -> anyhow::Result<()> {
    let metrics = Metrics::parse(&aggregator.get("/metrics")?.text());
    let left = metrics.count("buffer_entries", &[]);
    anyhow::ensure!(left == 0, "{left} bodies are in it");
    Ok(())
}

/// The glob of this machine's container logs, if it has any.
fn own_logs() -> Option<String> {
    let dir = Path::new("/var/log/containers");
    let mut entries = fs::read_dir(dir).ok()?;
    let is_log = |path: PathBuf| path.extension().is_some_and(|extension| extension == "log");
    entries
        .any(|entry| entry.is_ok_and(|entry| is_log(entry.path())))
        .then(|| format!("{}/*.log", dir.display()))
}

fn start_aggregator(dir: &Path, store_url: Option<&str>) -> anyhow::Result<Service> {
    let port = preferred_port(7080)?;
    let config = dir.join("aggregator.yaml");
    let store = match store_url {
        Some(url) => {
            format!("elasticsearch: {{hosts: ['{url}'], template: {{refresh_interval: 1s}}}}")
        }
        None => "embedded: {}".to_owned(),
    };
    // Those of the checkout: a change to one of them is in force a second later.
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("parsers/rules");
    let yaml = format!(
        "data_dir: ./aggregator-data\nlisten: 127.0.0.1:{port}\nack: buffer\nrules: ['{}']\n\
         outputs:\n  - name: main\n    {store}\n",
        rules.display()
    );
    fs::write(&config, yaml).context("cannot write the aggregator's config")?;
    Service::start("tailrace-aggregator", &config, port)
}

fn start_agent(dir: &Path, include: &str, aggregator: &str) -> anyhow::Result<Service> {
    let port = preferred_port(7081)?;
    let config = dir.join("agent.yaml");
    let yaml = format!(
        "data_dir: ./agent-data\nnode_name: node-1\nlisten: 127.0.0.1:{port}\n\
         aggregators: ['{aggregator}']\nfiles:\n  include: ['{include}']\n  start_at: beginning\n  \
         allowed_roots: ['{}', /var/log/containers, /var/log/pods, /var/lib/docker/containers]\n",
        dir.display()
    );
    fs::write(&config, yaml).context("cannot write the agent's config")?;
    Service::start("tailrace-agent", &config, port)
}

/// The documented port when it is free, else any.
fn preferred_port(port: u16) -> anyhow::Result<u16> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(port),
        Err(_) => free_port(),
    }
}
