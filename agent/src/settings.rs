//! From the configuration file's types to the options of the parts.

use crate::balance::Target;
use crate::compress::Compression;
use crate::local::Link;
use config::agent::{self, AgentConfig, KubernetesConfig, PodSource};
use k8s::{Access, Allowed, Choice, SteeringKind, SteeringPolicy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How pods' metadata is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// How long a file waits for its pod to become known.
    pub wait: Duration,
    /// What annotations may ask for.
    pub steering: SteeringPolicy,
}

/// What a [`Session`](crate::Session) runs with.
#[derive(Clone)]
pub struct Settings {
    /// Options of the tailer. `wake` is set by the session.
    pub tail: tail::Options,
    /// Where batches go.
    pub targets: Vec<Target>,
    /// File of the bearer token.
    pub token_file: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Size of a full batch before compression.
    pub batch_bytes: usize,
    /// Batches that wait for their answers at a time; at least 1.
    pub in_flight: usize,
    /// How bodies are compressed.
    pub compression: Compression,
    /// Fields that every file's metadata gets.
    pub fields: BTreeMap<String, String>,
    /// How pods' metadata is used.
    pub kubernetes: Kubernetes,
    /// Where the entries of the node's journal are, as files; set by `with_journal`.
    pub journal: Option<PathBuf>,
    /// Where batches go instead of over the network; set by `within`.
    pub link: Option<Link>,
}

impl Settings {
    /// Follows the entries of the node's journal, too, which are files in `folder`.
    #[must_use]
    pub fn with_journal(mut self, folder: Option<PathBuf>) -> Self {
        if let Some(folder) = &folder {
            let files = format!("{}/*.log", globset_literal(folder));
            self.tail.include.push(files);
            // None at all allows all.
            if !self.tail.allowed_roots.is_empty() {
                self.tail.allowed_roots.push(folder.clone());
            }
            self.tail.own_folder = Some(folder.clone());
        }
        self.journal = folder;
        self
    }

    /// Batches go to `link`, as they are. Its address stands for the only target.
    #[must_use]
    pub fn within(mut self, link: Option<Link>) -> Self {
        if let Some(link) = &link {
            self.targets = vec![Target {
                host: link.address.ip().to_string(),
                port: link.address.port(),
                path: String::new(),
            }];
            self.token_file = None;
            self.compression = Compression::None;
        }
        self.link = link;
        self
    }
}

impl From<&AgentConfig> for Settings {
    fn from(config: &AgentConfig) -> Self {
        let target = |url: &config::HttpUrl| Target {
            host: url.host().to_owned(),
            port: url.port(),
            path: url.path().to_owned(),
        };
        let level = config.batch.level;
        Self {
            tail: tail_options(config),
            targets: config.aggregators.iter().map(target).collect(),
            token_file: config.token_file.clone(),
            timeout: config.timeout,
            batch_bytes: config.batch.max_bytes.as_usize(),
            in_flight: config.batch.in_flight as usize,
            compression: match config.batch.compression {
                agent::Compression::Zstd => Compression::Zstd(level),
                agent::Compression::Gzip => Compression::Gzip(level.unsigned_abs()),
            },
            fields: config.fields.clone(),
            kubernetes: Kubernetes {
                wait: config.kubernetes.wait,
                steering: steering(&config.kubernetes),
            },
            journal: None,
            link: None,
        }
    }
}

/// A path as a glob that matches it alone.
fn globset_literal(path: &Path) -> String {
    let mut glob = String::new();
    for letter in path.to_string_lossy().chars() {
        if "*?[]{}\\".contains(letter) {
            glob.push('\\');
        }
        glob.push(letter);
    }
    glob
}

fn steering(config: &KubernetesConfig) -> SteeringPolicy {
    let Some(entries) = &config.steering else {
        return SteeringPolicy::default();
    };
    let kind = |annotation: &agent::Annotation| match annotation {
        agent::Annotation::Parser => SteeringKind::Parser,
        agent::Annotation::Exclude => SteeringKind::Exclude,
        agent::Annotation::Multiline => SteeringKind::Multiline,
        agent::Annotation::Dataset => SteeringKind::Dataset,
        agent::Annotation::Sample => SteeringKind::Sample,
        agent::Annotation::RateLimit => SteeringKind::RateLimit,
    };
    let allowed = entries.iter().map(|entry| Allowed {
        namespaces: entry.namespaces.clone(),
        kinds: entry.allow.iter().map(kind).collect(),
    });
    SteeringPolicy(allowed.collect())
}

/// Which labels and annotations of pods become fields.
pub(crate) fn choice(config: &KubernetesConfig) -> Choice {
    Choice {
        labels: config.labels.include.clone(),
        labels_not: config.labels.exclude.clone(),
        annotations: config.annotations.include.clone(),
        annotations_not: config.annotations.exclude.clone(),
    }
}

/// Whom the agent asks about pods; `None` when it shall ask nobody.
///
/// # Errors
/// When it shall, and there is no saying whom.
pub(crate) fn access(config: &KubernetesConfig) -> Result<Option<Access>, &'static str> {
    let at = |url: String| Access {
        url,
        ca_file: Some(config.ca_file.clone()),
        token_file: Some(config.token_file.clone()),
        accept_any_certificate: config.accept_any_certificate,
    };
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let url = config.url.as_ref().map(ToString::to_string);
    match config.metadata {
        PodSource::Paths => Ok(None),
        PodSource::Auto => Ok(url
            .or_else(k8s::cluster_url)
            .map(at)
            .filter(|_| config.token_file.exists())),
        PodSource::Watch => url.or_else(k8s::cluster_url).map(at).map(Some).ok_or(
            "there is no `${KUBERNETES_SERVICE_HOST}` here: set `kubernetes.url`, or \
             `kubernetes.metadata: paths`",
        ),
        PodSource::Kubelet => url
            .or_else(|| env("NODE_IP").map(|ip| k8s::https(&ip, "10250")))
            .map(at)
            .map(Some)
            .ok_or("there is no `${NODE_IP}` here: set `kubernetes.url` to the kubelet's"),
    }
}

fn tail_options(config: &AgentConfig) -> tail::Options {
    let files = &config.files;
    let globs = |globs: &[config::PathGlob]| -> Vec<String> {
        globs.iter().map(|glob| glob.as_str().to_owned()).collect()
    };
    tail::Options {
        include: globs(&files.include),
        exclude: globs(&files.exclude),
        allowed_roots: files.roots(),
        start_at: match files.start_at {
            agent::StartAt::Beginning => tail::StartAt::Beginning,
            agent::StartAt::End => tail::StartAt::End,
        },
        ignore_older: files.ignore_older,
        max_line: files.max_line.0,
        rescan_interval: files.rescan_interval,
        poll_interval: files.poll_interval,
        linger: files.linger,
        max_age: config.batch.max_age,
        hard_flush: files.hard_flush,
        final_after: files.final_after,
        max_chunk: config.batch.max_chunk.0,
        max_deleted_bytes: files.max_deleted.0,
        max_open_files: files.max_open as usize,
        stream_rate: config.rate_limit.stream.map(|rate| rate.0),
        namespace_rate: config.rate_limit.namespace.map(|rate| rate.0),
        ..tail::Options::new(&config.data_dir, &config.node_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_configuration_is_enough() {
        let text = "data_dir: ./d\nnode_name: node-1\naggregators: [\"http://[::1]:7080/logs/\"]\n";
        let env = config::Environment::of([]);
        let path = std::path::Path::new("/etc/agent.yaml");
        let config: AgentConfig = config::parse(text, path, &env).unwrap();
        let settings = Settings::from(&config);
        assert_eq!(
            settings.targets,
            [Target {
                host: "::1".into(),
                port: 7080,
                path: "/logs".into()
            }]
        );
        assert_eq!(settings.tail.node, "node-1");
        assert_eq!(settings.compression, Compression::Zstd(1));
        assert_eq!(settings.tail.include, ["/var/log/containers/*.log"]);
    }
}
