//! The configuration of `tailrace-agent`.

mod journal;
mod kubernetes;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::fields::At;
use crate::log::LogConfig;
use crate::pattern::PathGlob;
use crate::section::{Check, Rule, choice, section};
use crate::units::ByteSize;
use crate::url::HttpUrl;

pub use journal::JournalConfig;
pub use kubernetes::{
    Annotation, ChosenConfig, KubernetesConfig, LabelsConfig, PodSource, SteeringConfig,
};

choice! {
    /// Where reading starts in files that exist when the agent sees them for the first time.
    pub enum StartAt {
        /// At the first byte, older rotated files of the same container included.
        Beginning = "beginning",
        /// Behind the last line.
        End = "end",
    }
}

choice! {
    /// How batches are compressed.
    pub enum Compression {
        /// Fastest and smallest.
        Zstd = "zstd",
        /// For receivers that know no zstd.
        Gzip = "gzip",
    }
}

section! {
    /// The whole file.
    pub struct AgentConfig {
        /// Folder of the agent's checkpoints. Made when missing; one agent at a time may use it.
        /// Keep it over restarts: without it everything is read again.
        data_dir: PathBuf = PathBuf::from("/var/lib/tailrace-agent") => Rule::required(),
        /// Name of this node, in every document and in the identity of files without container.
        node_name: String = node_name() => Rule::varies(
            "`${NODE_NAME}` when set, else the host's name", "node-1",
        ).check(not_empty),
        /// Which files are followed, and how.
        files: FilesConfig = FilesConfig::default(),
        /// What the agent carries of the node's systemd journal.
        journal: JournalConfig = JournalConfig::default(),
        /// What the agent asks Kubernetes of its node's pods.
        kubernetes: KubernetesConfig = KubernetesConfig::default(),
        /// Limits on how fast files are read. What is over a limit waits in its file.
        rate_limit: RateLimitConfig = RateLimitConfig::default(),
        /// What goes into one request.
        batch: BatchConfig = BatchConfig::default(),
        /// Where batches go: `http://host:port`, more than one for fail-over. A name that
        /// resolves to several addresses (a headless Service) counts as several aggregators.
        aggregators: Vec<HttpUrl> = vec![HttpUrl::constant("http://127.0.0.1:7080")]
            => Rule::required().check(not_empty_list),
        /// File that holds the bearer token for the aggregators. Read again when it changes.
        token_file: Option<PathBuf> = None => Rule::example("/etc/tailrace/token/token"),
        /// How long the agent waits for the answer to a batch. Longer than the aggregator's
        /// `receive.answer_timeout`.
        timeout: Duration = Duration::from_secs(30)
            => Rule::range(Duration::from_secs(1), Duration::from_secs(600)),
        /// Fields that every document gets, by their full ECS name.
        fields: BTreeMap<String, String> = BTreeMap::new() => Rule::example("{cloud.region: eu-1}"),
        /// Address of `/metrics`, `/healthz`, `/readyz` and `/status`.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 7081)),
        /// How long the agent waits at its end for answers on their way. Shorter than the pod's
        /// `terminationGracePeriodSeconds`.
        shutdown_grace: Duration = Duration::from_secs(20)
            => Rule::range(Duration::ZERO, Duration::from_secs(3600)),
        /// The program's own log, on standard error.
        log: LogConfig = LogConfig::default(),
    }
}

section! {
    /// Which files are followed, and how.
    pub struct FilesConfig {
        /// Globs of files to follow. Rotated and compressed siblings are found by themselves.
        include: Vec<PathGlob> = vec![PathGlob::constant("/var/log/containers/*.log")]
            => Rule::any().check(not_empty_list),
        /// Globs of files to leave out, of the path as found or of the real one.
        exclude: Vec<PathGlob> = Vec::new()
            => Rule::example("[/var/log/containers/*_kube-system_*.log]"),
        /// Where reading starts in files that exist when the agent sees them for the first time.
        /// Files that appear later are always read from their beginning.
        start_at: StartAt = StartAt::Beginning,
        /// Files whose last change is longer ago are left alone until they change.
        ignore_older: Option<Duration> = None => Rule::example("7d"),
        /// A longer line is cut into pieces of this size; no byte is lost.
        max_line: ByteSize = ByteSize::mib(1) => Rule::range(ByteSize::kib(1), ByteSize::mib(64)),
        /// How often all globs are looked at again, as a safety net below inotify.
        rescan_interval: Duration = Duration::from_secs(10)
            => Rule::range(Duration::from_millis(100), Duration::from_secs(3600)),
        /// How often files are looked at where inotify is not to be had.
        poll_interval: Duration = Duration::from_secs(1)
            => Rule::range(Duration::from_millis(10), Duration::from_secs(60)),
        /// How long a file has to be quiet before its new lines go without waiting for more.
        linger: Duration = Duration::from_millis(100)
            => Rule::range(Duration::ZERO, Duration::from_secs(10)),
        /// How long a file has to be quiet before an open stack trace counts as complete.
        hard_flush: Duration = Duration::from_secs(2)
            => Rule::range(Duration::from_millis(100), Duration::from_secs(600)),
        /// A rotated or deleted file is over this long after its successor's first byte.
        final_after: Duration = Duration::from_secs(5)
            => Rule::range(Duration::from_millis(100), Duration::from_secs(3600)),
        /// Bytes of deleted files that are kept open until they are read. Over it the oldest is
        /// let go, and its unread bytes are counted as lost.
        max_deleted: ByteSize = ByteSize::gib(1),
        /// Most files open at a time; the others are opened when they have something new.
        max_open: u32 = 4096 => Rule::range(16, 1_000_000),
        /// Folders in which the real files have to lie, so that a link in a log folder cannot
        /// make the agent ship other files of the node. Without it: the folders of `include`,
        /// `/var/log/pods`, `/var/log/containers` and `/var/lib/docker/containers`.
        allowed_roots: Option<Vec<PathBuf>> = None => Rule::example("[/var/log]"),
    }
}

section! {
    /// Limits on how fast files are read. What is over a limit waits in its file.
    pub struct RateLimitConfig {
        /// Bytes a second of one container's files.
        stream: Option<ByteSize> = None
            => Rule::range(Some(ByteSize::kib(1)), Some(ByteSize(u64::MAX))).show("10MiB"),
        /// Bytes a second of all containers of one Kubernetes namespace.
        namespace: Option<ByteSize> = None
            => Rule::range(Some(ByteSize::kib(1)), Some(ByteSize(u64::MAX))).show("50MiB"),
    }
}

section! {
    /// What goes into one request.
    pub struct BatchConfig {
        /// A batch goes when it holds this much, before compression.
        max_bytes: ByteSize = ByteSize::mib(1) => Rule::range(ByteSize::kib(4), ByteSize::mib(64)),
        /// How long lines wait for company. Files with few lines go together, at multiples of this
        /// (250 ms at most), once they have been quiet for 100 ms or their oldest line has waited
        /// this long. A file that grows by 2 KiB goes sooner while few files do: after 25 ms and
        /// 2 ms for each further file.
        max_age: Duration = Duration::from_millis(200)
            => Rule::range(Duration::ZERO, Duration::from_secs(60)),
        /// Most bytes of one file in a batch: what a busy file grows to under a backlog.
        max_chunk: ByteSize = ByteSize::mib(4) => Rule::range(ByteSize::kib(4), ByteSize::mib(64)),
        /// Batches that wait for their answers at a time.
        in_flight: u32 = 2 => Rule::range(1, 64),
        /// How batches are compressed.
        compression: Compression = Compression::Zstd,
        /// Compression level: 1 to 19 of zstd, 1 to 9 of gzip. Higher costs far more CPU.
        level: i32 = 1 => Rule::range(1, 19),
    }
}

impl AgentConfig {
    /// Keys that differ from `new` and take effect at the next start only.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        for (key, differs) in [
            ("data_dir", self.data_dir != new.data_dir),
            ("node_name", self.node_name != new.node_name),
            ("listen", self.listen != new.listen),
            ("log.format", self.log.format != new.log.format),
        ] {
            if differs {
                keys.push(key);
            }
        }
        keys
    }
}

impl FilesConfig {
    /// Folders in which real files have to lie: `allowed_roots`, or what stands in for it.
    pub fn roots(&self) -> Vec<PathBuf> {
        if let Some(roots) = &self.allowed_roots {
            return roots.clone();
        }
        let usual = [
            "/var/log/pods",
            "/var/log/containers",
            "/var/lib/docker/containers",
        ];
        let mut roots: Vec<PathBuf> = self.include.iter().map(PathGlob::folder).collect();
        roots.extend(usual.map(PathBuf::from));
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

impl Check for AgentConfig {
    fn check(&self, at: &mut At<'_>) {
        at.readable("token_file", self.token_file.as_ref(), true);
        for (idx, url) in self.aggregators.iter().enumerate() {
            if url.is_https() {
                at.item_problem(
                    "aggregators",
                    idx,
                    "the agent speaks plain `http://` to aggregators; TLS needs a proxy beside it",
                );
            }
            if self.aggregators.iter().take(idx).any(|other| other == url) {
                at.item_problem("aggregators", idx, format!("`{url}` is listed twice"));
            }
        }
        if self.files.max_line > self.batch.max_chunk {
            at.problem(
                "batch.max_chunk",
                format!(
                    "must be at least `files.max_line` ({}), got `{}`",
                    self.files.max_line, self.batch.max_chunk
                ),
            );
        }
        check_fields(&self.fields, at);
    }
}

/// Whether the names of `fields` are names of fields.
pub(crate) fn check_fields(fields: &BTreeMap<String, String>, at: &mut At<'_>) {
    for name in fields.keys() {
        if name.is_empty() || name.starts_with('.') || name.ends_with('.') {
            at.problem("fields", format!("`{name}` is no field name"));
        }
    }
}

impl Check for FilesConfig {
    fn check(&self, at: &mut At<'_>) {
        if self.linger > self.hard_flush {
            at.problem("linger", "must not be longer than `files.hard_flush`");
        }
        for root in self.allowed_roots.iter().flatten() {
            if !root.is_absolute() {
                at.problem(
                    "allowed_roots",
                    format!("`{}` is not absolute", root.display()),
                );
            }
        }
    }
}

impl Check for RateLimitConfig {}

impl Check for BatchConfig {
    fn check(&self, at: &mut At<'_>) {
        if self.compression == Compression::Gzip && self.level > 9 {
            at.problem(
                "level",
                format!("must be at most 9 for gzip, got `{}`", self.level),
            );
        }
    }
}

/// The default of `node_name`.
pub(crate) fn node_name() -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    std::env::var("NODE_NAME")
        .ok()
        .filter(|name| !name.is_empty())
        .or_else(|| host().map(|name| name.trim().to_owned()))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[expect(clippy::ptr_arg, reason = "`Rule::check` hands out the field itself")]
pub(crate) fn not_empty(text: &String) -> Result<(), String> {
    match text.trim().is_empty() {
        true => Err("must not be empty".to_owned()),
        false => Ok(()),
    }
}

#[expect(clippy::ptr_arg, reason = "`Rule::check` hands out the field itself")]
fn not_empty_list<T>(list: &Vec<T>) -> Result<(), String> {
    match list.is_empty() {
        true => Err("must not be empty".to_owned()),
        false => Ok(()),
    }
}
