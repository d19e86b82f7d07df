//! What is kept of a pod: little, as a node has up to hundreds and the agent stays small.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{object::PodObject, owner::Workload, steering};

/// Annotation of a static pod's mirror: the uid that its log folder is named by.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// What is known of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pod {
    /// Its uid in the API.
    pub uid: String,
    /// The uid in the name of its log folder, where that is another: static pods'.
    pub folder_uid: Option<String>,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node that it runs on.
    pub node: String,
    /// Labels that are chosen.
    pub labels: BTreeMap<String, String>,
    /// Annotations that are chosen.
    pub annotations: BTreeMap<String, String>,
    /// Annotations that ask for something: `tailrace.io/parser` and its like.
    pub steering: BTreeMap<String, String>,
    /// What it belongs to.
    pub workload: Option<Workload>,
    /// Its containers, init and ephemeral ones too.
    pub containers: Vec<Container>,
    /// `app.kubernetes.io/name`, whether it is chosen or not.
    pub app: Option<String>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name, unique in the pod.
    pub name: String,
    /// The image that its pod asks for.
    pub image: String,
}

/// Which labels and annotations are kept: names, or beginnings of names that end with `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Labels to keep.
    pub labels: Vec<String>,
    /// Labels of these to leave out.
    pub labels_not: Vec<String>,
    /// Annotations to keep.
    pub annotations: Vec<String>,
    /// Annotations of these to leave out.
    pub annotations_not: Vec<String>,
}

impl Default for Choice {
    /// All labels but those that change with each roll-out, no annotation.
    fn default() -> Self {
        Self {
            labels: vec!["*".to_owned()],
            labels_not: vec![
                "pod-template-hash".to_owned(),
                "controller-revision-hash".to_owned(),
                "pod-template-generation".to_owned(),
            ],
            annotations: Vec::new(),
            annotations_not: Vec::new(),
        }
    }
}

/// Whether one of the patterns is the name, or its beginning where it ends with `*`.
pub(crate) fn fits(name: &str, patterns: &[String]) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        })
}

pub(crate) fn chosen(
    from: Option<BTreeMap<String, String>>,
    wanted: &[String],
    unwanted: &[String],
) -> BTreeMap<String, String> {
    let mut map = from.unwrap_or_default();
    map.retain(|name, _| {
        fits(name, wanted) && !fits(name, unwanted) && !steering::is_steering(name)
    });
    map
}

impl Pod {
    /// Reads a pod as the API server writes it, JSON.
    ///
    /// # Errors
    /// When it is no pod.
    pub fn read(json: &[u8], choice: &Choice) -> Result<Self, serde_json::Error> {
        let object = serde_json::from_slice(json)?;
        let what = "a pod without name or uid";
        Self::of(object, choice).ok_or_else(|| serde::de::Error::custom(what))
    }

    /// What is kept of a pod; `None` when it has no name or uid, which no server sends.
    pub(crate) fn of(object: PodObject, choice: &Choice) -> Option<Self> {
        let meta = object.metadata;
        let workload = Workload::of(
            meta.owner_references.as_deref().unwrap_or_default(),
            meta.labels.as_ref(),
        );
        let label = |name: &str| meta.labels.as_ref().and_then(|labels| labels.get(name));
        let app = label("app.kubernetes.io/name").cloned();
        let folder_uid = meta
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(CONFIG_HASH))
            .cloned();
        let mut steering = meta.annotations.clone().unwrap_or_default();
        steering.retain(|name, _| steering::is_steering(name));
        let spec = object.spec;
        let containers = [
            spec.containers,
            spec.init_containers,
            spec.ephemeral_containers,
        ];
        Some(Self {
            uid: meta.uid?,
            folder_uid,
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name?,
            node: spec.node_name,
            labels: chosen(meta.labels, &choice.labels, &choice.labels_not),
            annotations: chosen(
                meta.annotations,
                &choice.annotations,
                &choice.annotations_not,
            ),
            steering,
            workload,
            containers: containers
                .into_iter()
                .flatten()
                .map(|it| Container {
                    name: it.name,
                    image: it.image,
                })
                .collect(),
            app,
        })
    }

    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|it| it.name == name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A pod as a server tells it.
    pub(crate) fn object(json: &str) -> PodObject {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_chosen_is_kept() {
        let object = object(
            r#"{"metadata":{"name":"web-0","namespace":"shop","uid":"u1",
                "labels":{"app":"web","app.kubernetes.io/name":"shop-web","pod-template-hash":"x"},
                "annotations":{"team":"blue","kubectl.kubernetes.io/last-applied-configuration":"{}",
                    "tailrace.io/parser":"nginx","kubernetes.io/config.hash":"h1"},
                "managedFields":[{"manager":"kubelet"}]},
              "spec":{"nodeName":"n1","containers":[{"name":"web","image":"nginx:1.27"}],
                "initContainers":[{"name":"init","image":"busybox"}]},
              "status":{"phase":"Running"}}"#,
        );
        let choice = Choice {
            annotations: vec!["team".to_owned(), "tailrace.io/*".to_owned()],
            ..Choice::default()
        };
        let pod = Pod::of(object, &choice).unwrap();
        let names: Vec<&str> = pod.labels.keys().map(String::as_str).collect();
        assert_eq!(names, ["app", "app.kubernetes.io/name"]);
        // What steers is no annotation to copy: the operator decides what a namespace may use.
        assert_eq!(pod.annotations.keys().collect::<Vec<_>>(), ["team"]);
        assert_eq!(pod.steering["tailrace.io/parser"], "nginx");
        assert_eq!(pod.folder_uid.as_deref(), Some("h1"));
        assert_eq!(pod.container("init").unwrap().image, "busybox");
        assert_eq!(pod.app.as_deref(), Some("shop-web"));
    }
}
