//! The configuration of `tailrace-aggregator`.

mod agent;
mod elasticsearch;
mod embedded;
mod kubernetes_events;
mod output;
mod web;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use self::agent::OwnAgentConfig;
pub use self::elasticsearch::{
    CompressionChoice, ElasticsearchConfig, RetentionConfig, TemplateConfig,
};
pub use self::embedded::EmbeddedConfig;
pub use self::kubernetes_events::{
    EventLeaseConfig, EventNamespacesConfig, EventStart, EventType, KubernetesEventsConfig,
};
pub use self::output::{BufferConfig, OutputBatchConfig, OutputConfig};
pub use self::web::{WebAuth, WebConfig, WebProxyConfig, WebRole};
use crate::fields::At;
use crate::log::LogConfig;
use crate::section::{Check, Rule, choice, section};
use crate::units::ByteSize;

choice! {
    /// What an acknowledgement to an agent means.
    pub enum AckMode {
        /// The bytes are on this aggregator's disk: quick, one copy.
        Buffer = "buffer",
        /// The store has answered for them: slower, and no disk is needed.
        Store = "store",
    }
}

choice! {
    /// What is kept out of documents.
    pub enum RedactChoice {
        /// All of these but addresses.
        Usual = "usual",
        /// Values of fields whose name ends like a secret's, `db_password` or `X-Api-Key`.
        SecretNames = "secret_names",
        /// Passwords in URLs, and values of pairs with such a name within text.
        Password = "password",
        /// What follows `Bearer` or `Basic`.
        Bearer = "bearer",
        /// JSON Web Tokens.
        Jwt = "jwt",
        /// Ids of AWS access keys.
        AwsKey = "aws_key",
        /// Blocks of private keys in PEM.
        PrivateKey = "private_key",
        /// E-mail addresses.
        Email = "email",
        /// Numbers of payment cards, by their check digit.
        Card = "card",
        /// Bank accounts, by their check digits.
        Iban = "iban",
        /// IP addresses in text; fields that hold an address by their type stay.
        Ip = "ip",
    }
}

section! {
    /// The whole file.
    pub struct AggregatorConfig {
        /// Folder of the disk buffers. Made when missing; one aggregator at a time may use it.
        data_dir: PathBuf = PathBuf::from("/var/lib/tailrace-aggregator") => Rule::required(),
        /// Address for agents, the API and the page, and of `/metrics`, `/healthz`, `/readyz` and
        /// `/status`.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 7080)),
        /// Address for agents and `POST /api/v1/logs` alone; `listen` takes no agents then.
        ingest_listen: Option<SocketAddr> = None => Rule::example("0.0.0.0:7081"),
        /// What an acknowledgement to an agent means.
        ack: AckMode = AckMode::Buffer,
        /// Files of rules, or folders of them (`*.yaml`). Read again within seconds when they
        /// change; a set with a mistake is refused, and the one before stays in force.
        rules: Vec<PathBuf> = Vec::new() => Rule::example("[./rules]"),
        /// Whether the rules that ship are tried after those of `rules`: access logs, databases,
        /// what runs in a cluster. One of `rules` with the name of a shipped one stands in its place.
        shipped_rules: bool = true,
        /// Secrets that are replaced in every document, whatever its rule, by `[redacted:email]` and
        /// the like. A rule's `redact` step does it for some, with more choice.
        redact: Vec<RedactChoice> = Vec::new() => Rule::example("[usual]"),
        /// Threads that frame, parse and compress.
        workers: u32 = cores() => Rule::varies("the cores that the cgroup allows", "2"),
        /// What is taken from agents.
        receive: ReceiveConfig = ReceiveConfig::default(),
        /// Files of this machine that the aggregator follows itself.
        agent: OwnAgentConfig = OwnAgentConfig::default(),
        /// Kubernetes Events as documents.
        kubernetes_events: KubernetesEventsConfig = KubernetesEventsConfig::default(),
        /// How lines become events.
        multiline: MultilineConfig = MultilineConfig::default(),
        /// Where documents go. Every output gets every document.
        outputs: Vec<OutputConfig> = vec![OutputConfig::default()] => Rule::required(),
        /// The API and the web page.
        web: WebConfig = WebConfig::default(),
        /// How long the aggregator takes at its end to finish what it has. Shorter than the pod's
        /// `terminationGracePeriodSeconds`.
        shutdown_grace: Duration = Duration::from_secs(25)
            => Rule::range(Duration::ZERO, Duration::from_secs(3600)),
        /// The program's own log, on standard error.
        log: LogConfig = LogConfig::default(),
    }
}

section! {
    /// What is taken from agents.
    pub struct ReceiveConfig {
        /// Largest request as it comes over the wire.
        max_compressed: ByteSize = ByteSize::mib(16)
            => Rule::range(ByteSize::kib(64), ByteSize::gib(1)),
        /// Largest batch after decompression.
        max_batch: ByteSize = ByteSize::mib(64)
            => Rule::range(ByteSize::kib(64), ByteSize::gib(1)),
        /// Memory for all batches in work. Over it agents are told to come again.
        memory: ByteSize = ByteSize::mib(256)
            => Rule::range(ByteSize::mib(1), ByteSize(1 << 40)),
        /// An answer leaves within this time, with each stream's offset as it is by then.
        answer_timeout: Duration = Duration::from_secs(10)
            => Rule::range(Duration::from_millis(100), Duration::from_secs(600)),
        /// Who may send. Without any, everybody who reaches the port may.
        tokens: Vec<TokenConfig> = Vec::new(),
    }
}

section! {
    /// A bearer token of agents.
    pub struct TokenConfig {
        /// File that holds the token. Read again at a reload.
        token_file: PathBuf = PathBuf::from("/etc/tailrace/token/token") => Rule::required(),
        /// Names of the nodes that it may send for; `*` stands for any run of characters.
        nodes: Vec<String> = vec!["*".to_owned()],
    }
}

section! {
    /// How lines become events.
    pub struct MultilineConfig {
        /// Recognise stack traces. When false each line is an event; parts that the runtime cut
        /// are joined all the same.
        enabled: bool = true,
        /// Most lines of an event.
        max_lines: u32 = 1000 => Rule::range(1, 100_000),
        /// Longest event.
        max_event: ByteSize = ByteSize::mib(1) => Rule::range(ByteSize::kib(1), ByteSize::mib(64)),
        /// Longest line after joining the runtime's parts. A longer one is cut; the rest of it is
        /// a document of its own.
        max_line: ByteSize = ByteSize::mib(1) => Rule::range(ByteSize::kib(1), ByteSize::mib(64)),
        /// An open event ends when a later line of the same file carries a time this long after its
        /// last one. A trace on stderr waits this long beside a stdout that never rests.
        timeout: Duration = Duration::from_secs(2)
            => Rule::range(Duration::from_millis(1), Duration::from_secs(3600)),
    }
}

impl AggregatorConfig {
    /// Whether the API and the page are served.
    pub fn serves_web(&self) -> bool {
        let is_safe = self.web.auth.is_some() || self.listen.ip().is_loopback();
        self.web.enabled.unwrap_or(is_safe)
    }

    /// Keys that differ from `new` and take effect at the next start only.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let receive = |config: &Self| ReceiveConfig {
            tokens: Vec::new(),
            ..config.receive.clone()
        };
        let web = |config: &Self| WebConfig {
            users_file: None,
            ..config.web.clone()
        };
        let mut keys = Vec::new();
        for (key, differs) in [
            ("data_dir", self.data_dir != new.data_dir),
            ("listen", self.listen != new.listen),
            ("ingest_listen", self.ingest_listen != new.ingest_listen),
            ("web", web(self) != web(new)),
            ("ack", self.ack != new.ack),
            ("workers", self.workers != new.workers),
            ("receive", receive(self) != receive(new)),
            ("agent", self.agent != new.agent),
            (
                "kubernetes_events",
                self.kubernetes_events != new.kubernetes_events,
            ),
            ("multiline", self.multiline != new.multiline),
            ("outputs", self.outputs != new.outputs),
            ("shutdown_grace", self.shutdown_grace != new.shutdown_grace),
            ("log.format", self.log.format != new.log.format),
        ] {
            if differs {
                keys.push(key);
            }
        }
        keys
    }
}

impl Check for AggregatorConfig {
    fn check(&self, at: &mut At<'_>) {
        if self.workers == 0 || self.workers > 1024 {
            at.problem(
                "workers",
                format!("must be from 1 to 1024, got `{}`", self.workers),
            );
        }
        if self.outputs.is_empty() {
            at.problem("outputs", "must not be empty");
        } else if self.outputs.iter().all(|output| output.optional) {
            at.problem(
                "outputs",
                "one output at least must not be `optional`, or nothing is kept",
            );
        }
        for (idx, output) in self.outputs.iter().enumerate() {
            if self
                .outputs
                .iter()
                .take(idx)
                .any(|other| other.name == output.name)
            {
                at.item_problem(
                    "outputs",
                    idx,
                    format!("the name `{}` is taken", output.name),
                );
            }
        }
        let has_sign_in = matches!(self.web.auth, Some(WebAuth::Users | WebAuth::Proxy));
        if self.serves_web() && !has_sign_in && !self.listen.ip().is_loopback() {
            let key = if self.web.auth.is_some() {
                "web.auth"
            } else {
                "web.enabled"
            };
            at.hinted(
                key,
                format!(
                    "everybody who reaches `{}` could read all logs",
                    self.listen
                ),
                Some("set `web.auth: users`, or `listen` to a loopback address".to_owned()),
            );
        }
        if let Some(name) = &self.web.output
            && !self.outputs.iter().any(|output| output.name == *name)
        {
            at.problem("web.output", format!("there is no output `{name}`"));
        }
        if self.ingest_listen == Some(self.listen) {
            at.problem("ingest_listen", "must be another address than `listen`");
        }
        if self.multiline.max_event > self.receive.max_batch {
            at.problem(
                "multiline.max_event",
                "must not be larger than `receive.max_batch`",
            );
        }
    }
}

impl Check for ReceiveConfig {
    fn check(&self, at: &mut At<'_>) {
        if self.memory < self.max_batch {
            let message = format!(
                "must be at least `receive.max_batch` ({}), got `{}`",
                self.max_batch, self.memory
            );
            at.problem("memory", message);
        }
    }
}

impl Check for TokenConfig {
    fn check(&self, at: &mut At<'_>) {
        at.readable("token_file", Some(&self.token_file), true);
        if self.nodes.is_empty() {
            at.hinted(
                "nodes",
                "must not be empty",
                Some("`[\"*\"]` allows every node".to_owned()),
            );
        }
    }
}

impl Check for MultilineConfig {
    fn check(&self, at: &mut At<'_>) {
        if self.max_line > self.max_event {
            let message = format!(
                "must not be larger than `multiline.max_event` ({})",
                self.max_event
            );
            at.problem("max_line", message);
        }
    }
}

/// The default of `workers`.
fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    u32::try_from(cores).unwrap_or(1).clamp(1, 1024)
}
