//! The watch on the node's pods.
//!
//! One list and one watch for a node, narrowed by the server to the pods of that node: the server
//! keeps an index of them (`spec.nodeName`), and a list with `resourceVersion=0` is answered from
//! its memory without asking etcd, so that thousands of agents that start together cost little.
//! When the server does not know the last version any more (410) the list is told anew; errors are
//! retried with growing, jittered pauses up to half a minute.

use std::{pin::pin, time::Duration};

use futures_util::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, ListSemantic, watcher},
    },
};
use tracing::{info, warn};

use crate::{
    client::{Access, ClientError, chain},
    metrics::Metrics,
    object::PodObject,
    pod::{Choice, Pod},
    pods::Pods,
};

/// Before the first list where pods of an earlier run are known: agents of many nodes that start
/// together are spread over this time.
const SPREAD: Duration = Duration::from_secs(5);
/// Without an error for so long the watch is there: pauses between tries are shorter.
const QUIET: Duration = Duration::from_secs(60);

/// What a watch runs with.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The API server.
    pub access: Access,
    /// The name of the node.
    pub node: String,
    /// What is kept of pods.
    pub choice: Choice,
}

/// Fills `pods` for as long as it is polled; never ends.
pub async fn run(watch: Watch, pods: Pods, metrics: Metrics) {
    if pods.counts().0 > 0 {
        tokio::time::sleep(SPREAD.mul_f64(fastrand::f64())).await;
    }
    let mut trouble = Trouble::new(metrics.clone());
    let failed = |error: &ClientError| trouble.begin(&error.to_string());
    let client = watch.access.patient_client(failed).await;
    let config = watcher::Config {
        list_semantic: ListSemantic::Any,
        // A page is read from etcd: with a limit no list says `resourceVersion=0`, which is what has
        // it answered from the server's memory. The pods of a node are no long list.
        page_size: None,
        ..watcher::Config::default().fields(&format!("spec.nodeName={}", watch.node))
    };
    let api = Api::<PodObject>::all(client);
    let mut events = pin!(watcher(api, config).default_backoff());
    loop {
        match tokio::time::timeout(QUIET, events.next()).await {
            Ok(Some(Ok(event))) => take(event, &watch.choice, &pods, &metrics, &mut trouble),
            Ok(Some(Err(error))) => trouble.begin(&chain(&error)),
            Ok(None) => return,
            // A watch that goes on where it was tells nothing until a pod changes.
            Err(_) if pods.is_synced() => trouble.end(pods.counts().0),
            Err(_) => {}
        }
    }
}

fn take(
    event: Event<PodObject>,
    choice: &Choice,
    pods: &Pods,
    metrics: &Metrics,
    trouble: &mut Trouble,
) {
    let apply = |object: PodObject| {
        if let Some(pod) = Pod::of(object, choice) {
            pods.apply(pod);
        }
    };
    match event {
        Event::Init => pods.begin_list(),
        Event::InitApply(object) => apply(object),
        Event::InitDone => {
            pods.end_list();
            metrics.lists.inc();
            trouble.end(pods.counts().0);
        }
        Event::Apply(object) => {
            metrics.events.inc();
            trouble.end(pods.counts().0);
            apply(object);
        }
        Event::Delete(object) => {
            metrics.events.inc();
            trouble.end(pods.counts().0);
            if let Some(uid) = object.uid() {
                pods.delete(&uid);
            }
        }
    }
}

/// Whether the source answers: told once when that changes, counted each time.
#[derive(Debug)]
pub(crate) struct Trouble {
    metrics: Metrics,
    /// `None`: neither has been told yet.
    is_up: Option<bool>,
}

impl Trouble {
    pub(crate) fn new(metrics: Metrics) -> Self {
        metrics.up.set(0);
        Self {
            metrics,
            is_up: None,
        }
    }

    pub(crate) fn begin(&mut self, problem: &str) {
        self.metrics.errors.inc();
        self.metrics.up.set(0);
        if self.is_up != Some(false) {
            warn!(
                problem,
                "cannot learn of the node's pods: logs go on with what the files' paths tell; it \
                 is tried again. Where the server refuses (403), the agent's ServiceAccount lacks \
                 a ClusterRole that may list and watch pods"
            );
        }
        self.is_up = Some(false);
    }

    pub(crate) fn end(&mut self, n_pods: usize) {
        self.metrics.up.set(1);
        if self.is_up != Some(true) {
            info!(pods = n_pods, "the node's pods are known");
        }
        self.is_up = Some(true);
    }
}
