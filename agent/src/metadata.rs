//! What is known of a file's container: from its paths, and from the node's pods where they are
//! watched.

use crate::pods::Known;
use crate::settings::Kubernetes;
use k8s::{Place, Pod};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tail::{ContainerPath, MetadataSource, Source, Wishes};
use tokio::time::Instant;
use tracing::warn;
use wire::PassedOver;

/// Containers whose metadata is kept ready; more are made again when they come up.
const READY: usize = 512;

/// The dataset of a node's journal: aggregators name the data stream by it.
const JOURNAL_DATASET: &str = "system.journal";

/// Between two looks for deleted pods whose files are gone.
const PRUNE_INTERVAL: Duration = Duration::from_secs(30);

/// Pods that were waited for in vain and are remembered.
const MAX_WAITING: usize = 10_000;

/// Names metadata from the node's pods and from paths, the node's name and the configured fields.
#[derive(Debug)]
pub struct NodeMetadata {
    node: String,
    fields: BTreeMap<String, String>,
    settings: Arc<[u8]>,
    /// Where files with entries of the node's journal are.
    journal: Option<PathBuf>,
    kubernetes: Kubernetes,
    known: Option<Known>,
    metrics: k8s::Metrics,
    ready: HashMap<PathBuf, Ready>,
    /// Since when files wait for a pod that is not known.
    waiting: HashMap<PathBuf, Waiting>,
    /// Annotations that were refused, told once each.
    told: HashSet<String>,
    pruned: Instant,
}

/// A file whose pod is not known.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: Instant,
    /// It was given up and counted.
    is_over: bool,
}

/// What the cluster knows of a file's container.
#[derive(Debug, Default)]
struct Found {
    pod: Option<Arc<Pod>>,
    /// Labels of its namespace.
    labels: Option<Arc<BTreeMap<String, String>>>,
}

/// Metadata as it was made for a file.
#[derive(Debug)]
struct Ready {
    pod: Arc<Pod>,
    labels: Option<Arc<BTreeMap<String, String>>>,
    json: Arc<[u8]>,
    wishes: Wishes,
}

impl NodeMetadata {
    /// `fields` go along with every file; where a path or a pod says otherwise, it is right. Without
    /// `known` paths alone are asked.
    pub fn new(
        node: impl Into<String>,
        fields: BTreeMap<String, String>,
        kubernetes: Kubernetes,
        known: Option<Known>,
        metrics: k8s::Metrics,
    ) -> Self {
        Self {
            node: node.into(),
            fields,
            settings: [].into(),
            journal: None,
            kubernetes,
            known,
            metrics,
            ready: HashMap::new(),
            waiting: HashMap::new(),
            told: HashSet::new(),
            pruned: Instant::now(),
        }
    }

    /// Files in `folder` hold entries of the node's journal.
    #[must_use]
    pub fn with_journal(mut self, folder: Option<PathBuf>) -> Self {
        self.journal = folder;
        self
    }

    /// What groups are sealed with from now on: the settings of the aggregator that the next batch
    /// goes to, empty when they are not known.
    pub fn seal_with(&mut self, settings: &Arc<[u8]>) {
        self.settings = Arc::clone(settings);
    }

    /// Forgets deleted pods of which no file is left, now and then.
    pub fn prune<'a>(&mut self, now: Instant, sources: impl Iterator<Item = &'a Source>) {
        let Some(Known { pods, .. }) = &self.known else {
            return;
        };
        if now < self.pruned + PRUNE_INTERVAL {
            return;
        }
        self.pruned = now;
        let mut names = HashSet::new();
        let containers = sources.filter_map(|source| source.container.as_ref());
        for container in containers {
            names.insert((container.namespace.as_str(), container.pod.as_str()));
        }
        pods.prune(|pod| names.contains(&(pod.namespace.as_str(), pod.name.as_str())));
    }

    /// What is known of a container's files; `Err` while more may still become known.
    fn known(&mut self, path: &Path, container: &ContainerPath) -> Result<Found, ()> {
        let Some(Known { pods, namespaces }) = &self.known else {
            return Ok(Found::default());
        };
        let place = Place {
            namespace: &container.namespace,
            pod: &container.pod,
            uid: container.pod_uid.as_deref(),
        };
        let found = Found {
            pod: pods.find(place),
            labels: namespaces
                .as_ref()
                .and_then(|namespaces| namespaces.labels(&container.namespace)),
        };
        if found.pod.is_some() && (found.labels.is_some() || namespaces.is_none()) {
            self.waiting.remove(path);
            return Ok(found);
        }
        let now = Instant::now();
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.clear();
        }
        let waiting = self.waiting.entry(path.to_owned()).or_insert(Waiting {
            since: now,
            is_over: false,
        });
        if now < waiting.since + self.kubernetes.wait {
            return Err(());
        }
        if !waiting.is_over {
            waiting.is_over = true;
            self.metrics.unknown_pods.inc();
        }
        Ok(found)
    }

    /// Flat ECS keys in sorted order, so that the same file has the same hash everywhere.
    fn json(
        &mut self,
        source: &Source,
        pod: Option<&Pod>,
        namespace_labels: Option<&BTreeMap<String, String>>,
    ) -> (Vec<u8>, Wishes) {
        let mut object: BTreeMap<String, Value> = BTreeMap::new();
        for (key, value) in &self.fields {
            object.insert(key.clone(), value.as_str().into());
        }
        let mut set = |key: &str, value: &str| {
            if !value.is_empty() {
                object.insert(key.to_owned(), value.into());
            }
        };
        let folder = source.real_path.parent();
        if self.journal.is_some() && folder == self.journal.as_deref() {
            // A file of ours says nothing; what is in it does.
            set("event.dataset", JOURNAL_DATASET);
        } else {
            set("log.file.path", &source.path.to_string_lossy());
        }
        let mut wishes = Wishes::default();
        match &source.container {
            Some(container) => {
                set("kubernetes.namespace", &container.namespace);
                set("kubernetes.pod.name", &container.pod);
                let uid = container.pod_uid.as_deref();
                set("kubernetes.pod.uid", uid.unwrap_or_default());
                set("kubernetes.container.name", &container.container);
                set("kubernetes.node.name", &self.node);
                let id = container.container_id.as_deref();
                set("container.id", id.unwrap_or_default());
                set("service.name", &container.container);
                if let Some(restart) = container.restart {
                    let key = "kubernetes.container.restart_count".to_owned();
                    object.insert(key, restart.into());
                }
                for (name, value) in namespace_labels.into_iter().flatten() {
                    let key = format!("kubernetes.namespace_labels.{name}");
                    object.insert(key, value.as_str().into());
                }
                if let Some(pod) = pod {
                    let known = pod.fields(&container.container, &self.kubernetes.steering);
                    object.extend(known.fields);
                    wishes = Wishes {
                        exclude: known.steering.exclude,
                        bytes_per_second: known.steering.rate_limit,
                    };
                    self.tell(pod, &known.steering.refused);
                }
            }
            None => set("host.name", &self.node),
        }
        let object = object.into_iter().collect();
        (Value::Object(object).to_string().into_bytes(), wishes)
    }

    fn tell(&mut self, pod: &Pod, refused: &[String]) {
        for annotation in refused {
            let text = format!("{}/{}: {annotation}", pod.namespace, pod.name);
            if self.told.len() >= MAX_WAITING {
                self.told.clear();
            }
            if self.told.insert(text) {
                self.metrics.annotations_refused.inc();
                let (namespace, pod) = (&pod.namespace, &pod.name);
                warn!(namespace, pod, annotation, "a pod's annotation is ignored");
            }
        }
    }
}

impl MetadataSource for NodeMetadata {
    fn metadata(&mut self, source: &Source) -> Option<Arc<[u8]>> {
        let Some(container) = &source.container else {
            return Some(self.json(source, None, None).0.into());
        };
        let found = self.known(&source.path, container).ok()?;
        let Found {
            pod: Some(pod),
            labels,
        } = found
        else {
            self.ready.remove(&source.path);
            return Some(self.json(source, None, found.labels.as_deref()).0.into());
        };
        if let Some(ready) = self.ready.get(&source.path)
            && Arc::ptr_eq(&ready.pod, &pod)
            && ready.labels.as_ref().map(Arc::as_ptr) == labels.as_ref().map(Arc::as_ptr)
        {
            return Some(Arc::clone(&ready.json));
        }
        let (json, wishes) = self.json(source, Some(&pod), labels.as_deref());
        let json: Arc<[u8]> = json.into();
        if self.ready.len() >= READY {
            self.ready.clear();
        }
        let ready = Ready {
            pod,
            labels,
            json: Arc::clone(&json),
            wishes,
        };
        self.ready.insert(source.path.clone(), ready);
        Some(json)
    }

    fn wishes(&mut self, source: &Source) -> Wishes {
        let ready = self.ready.get(&source.path);
        ready.map(|ready| ready.wishes).unwrap_or_default()
    }

    fn passed_over(&mut self, metadata: &Arc<[u8]>, stream: u64, bytes: Range<u64>) -> Arc<[u8]> {
        let object = serde_json::from_slice::<Map<String, Value>>(metadata);
        // It is one of ours.
        let Ok(mut object) = object else {
            return Arc::clone(metadata);
        };
        let passed_over = PassedOver { stream, bytes }.to_string();
        object.insert(PassedOver::KEY.to_owned(), passed_over.into());
        Value::Object(object).to_string().into_bytes().into()
    }

    fn settings(&self) -> Option<Arc<[u8]>> {
        (!self.settings.is_empty()).then(|| Arc::clone(&self.settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s::{Pods, namespaces::Namespaces};

    fn metadata(fields: &[(&str, &str)], pods: Option<Pods>) -> NodeMetadata {
        let known = pods.map(|pods| Known {
            pods,
            namespaces: None,
        });
        let fields = fields
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let kubernetes = Kubernetes {
            wait: Duration::from_secs(5),
            ..Kubernetes::default()
        };
        NodeMetadata::new("node-1", fields, kubernetes, known, k8s::Metrics::default())
    }

    fn check(source: &Source, fields: &[(&str, &str)], expected: &str) {
        let json = metadata(fields, None).metadata(source).unwrap();
        assert_eq!(std::str::from_utf8(&json).unwrap(), expected);
    }

    fn cart(uid: &str) -> Source {
        Source {
            path: "/var/log/containers/cart-7_shop_cart-abc.log".into(),
            real_path: "/var/log/pods/shop_cart-7_uid-1/cart/0.log".into(),
            container: Some(ContainerPath {
                namespace: "shop".into(),
                pod: "cart-7".into(),
                pod_uid: Some(uid.into()),
                container: "cart".into(),
                container_id: Some("abc".into()),
                restart: Some(0),
            }),
        }
    }

    #[test]
    fn containers_are_named_by_their_path() {
        check(
            &cart("uid-1"),
            &[("cloud.region", "eu-1"), ("service.name", "overruled")],
            r#"{"cloud.region":"eu-1","container.id":"abc","kubernetes.container.name":"cart","kubernetes.container.restart_count":0,"kubernetes.namespace":"shop","kubernetes.node.name":"node-1","kubernetes.pod.name":"cart-7","kubernetes.pod.uid":"uid-1","log.file.path":"/var/log/containers/cart-7_shop_cart-abc.log","service.name":"cart"}"#,
        );
    }

    #[test]
    fn other_files_are_named_by_host_and_path() {
        let source = Source {
            path: "/var/log/\"app\".log".into(),
            real_path: "/var/log/\"app\".log".into(),
            container: None,
        };
        check(
            &source,
            &[("service.name", "app")],
            r#"{"host.name":"node-1","log.file.path":"/var/log/\"app\".log","service.name":"app"}"#,
        );
    }

    #[test]
    fn the_journal_is_named_by_its_dataset() {
        let source = Source {
            path: "/data/journal/entries.log".into(),
            real_path: "/data/journal/entries.log".into(),
            container: None,
        };
        let mut metadata = metadata(&[], None).with_journal(Some("/data/journal".into()));
        let json = metadata.metadata(&source).unwrap();
        let expected = r#"{"event.dataset":"system.journal","host.name":"node-1"}"#;
        assert_eq!(std::str::from_utf8(&json).unwrap(), expected);
    }

    fn pod(labels: &[(&str, &str)], steering: &[(&str, &str)]) -> Pod {
        let map = |list: &[(&str, &str)]| {
            let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
            list.iter().map(owned).collect()
        };
        Pod {
            uid: "uid-1".to_owned(),
            namespace: "shop".to_owned(),
            name: "cart-7".to_owned(),
            node: "node-1".to_owned(),
            labels: map(labels),
            steering: map(steering),
            ..Pod::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_waits_for_its_pod_and_then_goes_without() {
        let pods = Pods::default();
        let mut metadata = metadata(&[], Some(pods.clone()));
        assert_eq!(metadata.metadata(&cart("uid-1")), None);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(metadata.metadata(&cart("uid-1")), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        let by_path = metadata.metadata(&cart("uid-1")).unwrap();
        assert!(!String::from_utf8_lossy(&by_path).contains("labels"));
        assert_eq!(metadata.metrics.unknown_pods.get(), 1);
        // Late is better than never.
        pods.apply(pod(&[("app", "cart")], &[]));
        let by_pod = metadata.metadata(&cart("uid-1")).unwrap();
        assert!(String::from_utf8_lossy(&by_pod).contains(r#""kubernetes.labels.app":"cart""#));
        assert!(String::from_utf8_lossy(&by_pod).contains(r#""container.id":"abc""#));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pods_change_is_seen_and_its_wishes_are_told() {
        let pods = Pods::default();
        let mut metadata = metadata(&[], Some(pods.clone()));
        pods.apply(pod(&[], &[]));
        let first = metadata.metadata(&cart("uid-1")).unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &metadata.metadata(&cart("uid-1")).unwrap()
        ));
        assert_eq!(metadata.wishes(&cart("uid-1")), Wishes::default());
        pods.apply(pod(
            &[],
            &[
                ("tailrace.io/exclude", "true"),
                ("tailrace.io/rate-limit", "1KiB"),
                ("tailrace.io/sample", "no"),
            ],
        ));
        metadata.metadata(&cart("uid-1")).unwrap();
        let wishes = Wishes {
            exclude: true,
            bytes_per_second: Some(1024),
        };
        assert_eq!(metadata.wishes(&cart("uid-1")), wishes);
        assert_eq!(metadata.metrics.annotations_refused.get(), 1);
    }

    #[test]
    fn what_was_passed_over_stands_beside_the_other_metadata() {
        let mut metadata = metadata(&[], None);
        let before = metadata.metadata(&cart("uid-1")).unwrap();
        let after = metadata.passed_over(&before, 0xabc, 100..5000);
        let read = |json: &[u8]| serde_json::from_slice::<Map<String, Value>>(json).unwrap();
        let mut expected = read(&before);
        let text = "0000000000000abc:100-5000";
        expected.insert("tailrace.passed_over".to_owned(), text.into());
        assert_eq!(read(&after), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn labels_of_namespaces_are_waited_for_and_followed() {
        let pods = Pods::default();
        let mut metadata = metadata(&[], Some(pods.clone()));
        let namespaces = Namespaces::default();
        metadata.known.as_mut().unwrap().namespaces = Some(namespaces.clone());
        pods.apply(pod(&[], &[]));
        assert_eq!(metadata.metadata(&cart("uid-1")), None);
        for team in ["blue", "red"] {
            namespaces.apply("shop", [("team".to_owned(), team.to_owned())].into());
            let json = metadata.metadata(&cart("uid-1")).unwrap();
            let label = format!(r#""kubernetes.namespace_labels.team":"{team}""#);
            assert!(String::from_utf8_lossy(&json).contains(&label));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_pod_is_known_until_its_files_are_gone() {
        let pods = Pods::default();
        let mut metadata = metadata(&[], Some(pods.clone()));
        pods.apply(pod(&[("app", "cart")], &[]));
        pods.delete("uid-1");
        let source = cart("uid-1");
        tokio::time::advance(PRUNE_INTERVAL).await;
        metadata.prune(Instant::now(), [&source].into_iter());
        assert!(metadata.metadata(&source).is_some());
        tokio::time::advance(PRUNE_INTERVAL).await;
        metadata.prune(Instant::now(), [].into_iter());
        assert_eq!(metadata.metadata(&source), None);
    }
}
