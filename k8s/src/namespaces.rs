//! Labels of namespaces, where the operator wants them: one watch on the metadata of all namespaces.
//! They change seldom, and a server tells only names and labels.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, ListSemantic, watcher},
    },
};
use tracing::warn;

use crate::{
    client::{Access, ClientError, chain},
    metrics::Metrics,
    pod::chosen,
};

/// Chosen labels by namespace. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Namespaces(Arc<Mutex<BTreeMap<String, Labels>>>);

type Labels = Arc<BTreeMap<String, String>>;

/// What the watch on namespaces runs with.
#[derive(Debug, Clone)]
pub struct NamespaceWatch {
    /// The API server.
    pub access: Access,
    /// Labels to keep: names, or beginnings of names that end with `*`.
    pub include: Vec<String>,
    /// Labels of these to leave out.
    pub exclude: Vec<String>,
}

impl Namespaces {
    /// The labels of a namespace; the same `Arc` until they change. `None` while it is not known.
    pub fn labels(&self, namespace: &str) -> Option<Arc<BTreeMap<String, String>>> {
        self.with(|known| known.get(namespace).map(Arc::clone))
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Labels>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A namespace is there, or its labels changed.
    pub fn apply(&self, namespace: &str, labels: BTreeMap<String, String>) {
        self.with(|known| {
            if known.get(namespace).is_none_or(|old| **old != labels) {
                known.insert(namespace.to_owned(), Arc::new(labels));
            }
        });
    }

    /// A namespace is gone; so are its pods, some lines of which may still come.
    pub fn delete(&self, namespace: &str) {
        self.with(|known| known.remove(namespace));
    }
}

/// Fills `namespaces` for as long as it is polled; never ends.
pub async fn run(watch: NamespaceWatch, namespaces: Namespaces, metrics: Metrics) {
    // The watch on pods tells of what is wrong.
    let failed = |_: &ClientError| {
        metrics.errors.inc();
    };
    let client = watch.access.patient_client(failed).await;
    let config = watcher::Config {
        list_semantic: ListSemantic::Any,
        // As of pods: from the server's memory.
        page_size: None,
        ..watcher::Config::default()
    };
    // Their metadata alone is asked for.
    let api = Api::<PartialObjectMeta<Namespace>>::all(client);
    let mut was_told = false;
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                let name = object.name_any();
                namespaces.apply(&name, labels(object, &watch));
                was_told = false;
            }
            Ok(Event::Delete(object)) => namespaces.delete(&object.name_any()),
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => {
                metrics.errors.inc();
                if !std::mem::replace(&mut was_told, true) {
                    let problem = chain(&error);
                    warn!(
                        problem,
                        "cannot learn of namespaces: their labels are missing, it is tried again. \
                         Where the server refuses (403), the agent's ServiceAccount lacks a \
                         ClusterRole that may list and watch namespaces"
                    );
                }
            }
        }
    }
}

fn labels(
    object: PartialObjectMeta<Namespace>,
    watch: &NamespaceWatch,
) -> BTreeMap<String, String> {
    chosen(object.metadata.labels, &watch.include, &watch.exclude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_the_same_object_until_they_change() {
        let namespaces = Namespaces::default();
        assert!(namespaces.labels("shop").is_none());
        let team = |name: &str| BTreeMap::from([("team".to_owned(), name.to_owned())]);
        namespaces.apply("shop", team("blue"));
        let first = namespaces.labels("shop").unwrap();
        namespaces.apply("shop", team("blue"));
        assert!(Arc::ptr_eq(&first, &namespaces.labels("shop").unwrap()));
        namespaces.apply("shop", team("red"));
        assert_eq!(namespaces.labels("shop").unwrap()["team"], "red");
        namespaces.delete("shop");
        assert!(namespaces.labels("shop").is_none());
    }
}
