//! Events as the programs of a cluster write them, and what a store holds of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::KubeApi;
use crate::{
    aggregator::AggregatorSetup,
    documents::Documents,
    http::Http,
    process::{Process, free_port},
    scene::Scene,
    verdict::text,
    wait,
};

/// How long the server may take to answer again.
const AWAY: Duration = Duration::from_secs(120);

/// A state of an Event: its uid and version.
pub type State = (String, u64);

/// Writes Events into one namespace, and remembers each state of each.
#[derive(Debug)]
pub struct Reporter {
    namespace: String,
    http: Http,
    /// All states that were ever there, and the names of their Events.
    pub made: BTreeMap<State, String>,
    last: BTreeMap<String, Value>,
    /// Shared by those that write beside each other.
    _proxy: Arc<Process>,
}

impl Reporter {
    /// Makes the namespace, and an account `aggregator` in it without rights.
    pub fn new(server: &KubeApi, namespace: &str) -> anyhow::Result<Self> {
        server.run(&["create", "namespace", namespace])?;
        server.run(&["-n", namespace, "create", "serviceaccount", "aggregator"])?;
        // Requests by kubectl would take a process each.
        let port = free_port()?;
        let mut command = server.kubectl();
        command.args(["proxy", &format!("--port={port}")]);
        let log = server.home().join(format!("proxy-{namespace}.log"));
        let mut proxy = Process::start("kubectl proxy", &mut command, &log)?;
        let http = Http::local(port);
        proxy.wait_ready(AWAY, || http.get_json("/version").map(drop))?;
        Ok(Self {
            namespace: namespace.to_owned(),
            http,
            made: BTreeMap::new(),
            last: BTreeMap::new(),
            _proxy: Arc::new(proxy),
        })
    }

    /// Another one, to write into the same namespace at the same time. It has nothing yet.
    pub fn beside(&self) -> Self {
        Self {
            namespace: self.namespace.clone(),
            http: self.http.clone(),
            made: BTreeMap::new(),
            last: BTreeMap::new(),
            _proxy: Arc::clone(&self._proxy),
        }
    }

    /// Remembers what another one wrote.
    pub fn absorb(&mut self, other: Self) {
        self.made.extend(other.made);
        self.last.extend(other.last);
    }

    /// Gives the account what `components/kubernetes-events` gives.
    pub fn allow(&self, server: &KubeApi) -> anyhow::Result<()> {
        let namespace = &self.namespace;
        let manifest = format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n\
             metadata: {{name: events-{namespace}}}\nrules:\n\
             - {{apiGroups: [''], resources: [events], verbs: [list, watch]}}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n\
             metadata: {{name: events-{namespace}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: events-{namespace}}}\n\
             subjects: [{{kind: ServiceAccount, name: aggregator, namespace: {namespace}}}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n\
             metadata: {{name: lease, namespace: {namespace}}}\nrules:\n\
             - {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}}\n\
             - {{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [events], verbs: [get, update]}}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
             metadata: {{name: lease, namespace: {namespace}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: lease}}\n\
             subjects: [{{kind: ServiceAccount, name: aggregator, namespace: {namespace}}}]\n"
        );
        let output = server.run_on(&manifest, &["apply"])?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// The setup of an aggregator of the scene that reads this namespace's Events, with a Lease of
    /// seconds; `more` stands behind that in its section.
    pub fn setup(
        &self,
        server: &KubeApi,
        scene: &Scene,
        more: &str,
    ) -> anyhow::Result<AggregatorSetup> {
        let token = scene.dir("token");
        std::fs::write(&token, server.token(&self.namespace, "aggregator")?)
            .context("cannot write a token")?;
        let namespace = &self.namespace;
        let times = "duration: 4s, renew_deadline: 3s, retry_period: 300ms";
        let section = format!(
            "{{enabled: true, url: '{}', ca_file: '{}', token_file: '{}', \
             namespaces: {{include: [{namespace}]}}, \
             lease: {{name: events, namespace: {namespace}, {times}}}{more}}}",
            server.url(),
            server.ca_file().display(),
            token.display(),
        );
        Ok(scene.aggregator_setup().with("kubernetes_events", &section))
    }

    /// Makes an Event of `name`, with `fields` over those of a kubelet's.
    pub fn report(&mut self, name: &str, fields: &Value) -> anyhow::Result<State> {
        let now = "2026-11-26T10:00:00Z";
        let mut event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": self.namespace},
            "involvedObject": {"kind": "Pod", "namespace": self.namespace, "name": "web-0",
                "uid": "pod-uid", "apiVersion": "v1", "fieldPath": "spec.containers{nginx}"},
            "type": "Normal", "reason": "Pulled", "message": format!("about {name}"),
            "source": {"component": "kubelet", "host": "node-1"},
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
            "reportingComponent": "kubelet", "reportingInstance": "node-1",
        });
        merge(&mut event, fields);
        let path = format!("/api/v1/namespaces/{}/events", self.namespace);
        let made = wait::until_ok(AWAY, "an Event to be made", || {
            match self.http.json("POST", &path, &event) {
                Ok(made) => Ok(made),
                // Perhaps it was made and the answer lost.
                Err(error) => self.find(name).map_err(|_| error),
            }
        })?;
        self.take(name, made)
    }

    /// The Event happens once more.
    pub fn repeat(&mut self, name: &str) -> anyhow::Result<State> {
        let mut event = self.last.get(name).context("no such Event")?.clone();
        let count = event["count"].as_i64().unwrap_or(1) + 1;
        event["count"] = count.into();
        let minute = format!("2026-11-26T10:{:02}:00Z", count % 60);
        event["lastTimestamp"] = minute.into();
        let path = format!("/api/v1/namespaces/{}/events/{name}", self.namespace);
        let made = wait::until_ok(AWAY, "an Event to be changed", || {
            match self.http.json("PUT", &path, &event) {
                Ok(made) => Ok(made),
                Err(error) => {
                    let found = self.find(name)?;
                    ensure!(found["count"] == count, "{error:#}");
                    Ok(found)
                }
            }
        })?;
        self.take(name, made)
    }

    /// A few Events, some of them repeated: `n` states. Names begin with `prefix`.
    pub fn report_some(&mut self, prefix: &str, n: usize) -> anyhow::Result<()> {
        for number in 0..n {
            match number % 3 {
                0 => self.report(&format!("{prefix}.{number}"), &json!({}))?,
                2 => self.repeat(&format!("{prefix}.{}", number - 2))?,
                _ => self.report(&format!("{prefix}.{number}"), &json!({"type": "Warning"}))?,
            };
        }
        Ok(())
    }

    /// The states that are the last of their Events.
    pub fn last_states(&self) -> BTreeSet<State> {
        self.last
            .values()
            .filter_map(|it| state_of(it).ok())
            .collect()
    }

    /// Every state that was ever there.
    pub fn states(&self) -> BTreeSet<State> {
        self.made.keys().cloned().collect()
    }

    fn find(&self, name: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/namespaces/{}/events/{name}", self.namespace);
        self.http.get_json(&path)
    }

    fn take(&mut self, name: &str, made: Value) -> anyhow::Result<State> {
        let state = state_of(&made)?;
        self.made.insert(state.clone(), name.to_owned());
        self.last.insert(name.to_owned(), made);
        Ok(state)
    }
}

fn state_of(event: &Value) -> anyhow::Result<State> {
    let meta = &event["metadata"];
    let uid = meta["uid"].as_str().context("an Event without uid")?;
    let version = meta["resourceVersion"].as_str().unwrap_or_default();
    let version = version.parse().context("an Event without version")?;
    Ok((uid.to_owned(), version))
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => into.clone_from(from),
    }
}

/// How often the store has each state, of an index.
pub fn stored(documents: &Documents, index: &str) -> anyhow::Result<BTreeMap<State, usize>> {
    let mut found = BTreeMap::new();
    for hit in documents.all(index)? {
        let source = &hit["_source"];
        let uid = text(source, "kubernetes.event.metadata.uid").to_owned();
        let version = text(source, "kubernetes.event.metadata.resource_version").parse();
        let version = version.with_context(|| format!("no version in {source}"))?;
        *found.entry((uid, version)).or_insert(0) += 1;
    }
    Ok(found)
}

/// Waits until the store has every state of `expected`, then fails unless it has each of them once,
/// and no other.
pub fn expect_exactly(
    documents: &Documents,
    index: &str,
    expected: &BTreeSet<State>,
    limit: Duration,
) -> anyhow::Result<()> {
    let found = wait::until_ok(limit, "all states of Events", || {
        let found = stored(documents, index)?;
        let missing: Vec<&State> = expected
            .iter()
            .filter(|it| !found.contains_key(*it))
            .collect();
        let versions = missing.iter().map(|(_, version)| version);
        ensure!(
            missing.is_empty(),
            "{} of {} are missing, of versions {:?} to {:?}, the first {:?}",
            missing.len(),
            expected.len(),
            versions.clone().min(),
            versions.max(),
            missing.first()
        );
        Ok(found)
    })?;
    let twice: Vec<_> = found.iter().filter(|(_, n)| **n > 1).collect();
    ensure!(twice.is_empty(), "more than once: {twice:?}");
    let strange: Vec<_> = found.keys().filter(|it| !expected.contains(*it)).collect();
    ensure!(strange.is_empty(), "unexpected: {strange:?}");
    Ok(())
}
