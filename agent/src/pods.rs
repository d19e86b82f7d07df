//! The node's pods over the whole run of the agent: who tells of them, and their cache on disk.

use crate::settings::{access, choice};
use config::agent::{KubernetesConfig, PodSource};
use k8s::namespaces::{self, NamespaceWatch, Namespaces};
use k8s::{Pods, cache, kubelet, watch};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinHandle;
use tracing::warn;

/// The least time between two writes of the cache.
const CACHE_PAUSE: Duration = Duration::from_millis(500);
/// The same after one that failed.
const CACHE_RETRY: Duration = Duration::from_secs(2);

/// The node's pods, and the task that learns of them.
#[derive(Debug)]
pub struct NodePods {
    config: KubernetesConfig,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    known: Known,
    tasks: Vec<JoinHandle<()>>,
}

/// What is known of the node's pods. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The pods.
    pub pods: Pods,
    /// Labels of namespaces, when they are wanted.
    pub namespaces: Option<Namespaces>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl NodePods {
    /// Begins to learn of the pods of `node`, when the configuration says so. Runs within a tokio
    /// runtime.
    ///
    /// # Errors
    /// When it says so and there is no saying whom to ask.
    pub fn start(
        config: &KubernetesConfig,
        node: &str,
        data_dir: &Path,
        metrics: k8s::Metrics,
    ) -> anyhow::Result<Self> {
        let access = access(config).map_err(anyhow::Error::msg)?;
        let running = access.map(|access| {
            let pods = Pods::restored(cache::load(data_dir).unwrap_or_else(|error| {
                warn!(%error, "cannot use the pods of the last run, they are learnt anew");
                Vec::new()
            }));
            let (table, figures) = (pods.clone(), metrics.clone());
            let labels = &config.namespace_labels;
            let is_wanted = !labels.include.is_empty() && config.metadata != PodSource::Kubelet;
            let namespaces = is_wanted.then(Namespaces::default);
            let mut tasks = Vec::new();
            if let Some(namespaces) = &namespaces {
                let watch = NamespaceWatch {
                    access: access.clone(),
                    include: labels.include.clone(),
                    exclude: labels.exclude.clone(),
                };
                let (namespaces, figures) = (namespaces.clone(), metrics.clone());
                tasks.push(tokio::spawn(namespaces::run(watch, namespaces, figures)));
            }
            let learn = match config.metadata {
                PodSource::Kubelet => {
                    let poll = kubelet::Poll {
                        access,
                        interval: config.poll_interval,
                        choice: choice(config),
                    };
                    tokio::spawn(kubelet::run(poll, table, figures))
                }
                _ => {
                    let watch = watch::Watch {
                        access,
                        node: node.to_owned(),
                        choice: choice(config),
                    };
                    tokio::spawn(watch::run(watch, table, figures))
                }
            };
            let keep = tokio::spawn(keep(pods.clone(), data_dir.to_owned(), metrics.clone()));
            tasks.extend([learn, keep]);
            Running {
                known: Known { pods, namespaces },
                tasks,
            }
        });
        Ok(Self {
            config: config.clone(),
            running,
        })
    }

    /// Whether it runs as `config` says.
    pub fn is_of(&self, config: &KubernetesConfig) -> bool {
        self.config == *config
    }

    /// What is known; `None` when nobody is asked.
    pub fn known(&self) -> Option<Known> {
        self.running.as_ref().map(|running| running.known.clone())
    }
}

/// Keeps the cache on disk as the table is. A change is written at once, or a pause after the one
/// before, so that a crash costs the fields of pods alone that came and went meanwhile.
async fn keep(pods: Pods, data_dir: PathBuf, metrics: k8s::Metrics) {
    loop {
        let mut pause = CACHE_PAUSE;
        if let Some(changed) = pods.take_changed() {
            let dir = data_dir.clone();
            let stored = tokio::task::spawn_blocking(move || cache::store(&dir, &changed));
            if let Ok(Err(error)) = stored.await {
                warn!(%error, "cannot write the cache of pods; it is tried again");
                pods.set_changed();
                pause = CACHE_RETRY;
            }
        }
        // Behind the cache: what is counted as known is known after a crash, too, if it could be written.
        let (n_pods, n_deleted) = pods.counts();
        metrics.pods.set(n_pods as i64);
        metrics.deleted_pods.set(n_deleted as i64);
        tokio::time::sleep(pause).await;
        pods.changed().await;
    }
}
