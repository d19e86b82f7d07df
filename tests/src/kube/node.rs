//! A node whose pods an API server knows and whose files are written here: what a kubelet would do.

use std::time::Duration;

use anyhow::{Context, ensure};
use bench::kubelet::Container;
use serde_json::Value;

use super::KubeApi;
use crate::{agent::AgentSetup, scene::Scene};

/// The node's name; agents of tests have it.
pub const NODE: &str = "node-1";
/// How long a file waits for its pod. Longer than the default: the test's machine is busy.
const WAIT: Duration = Duration::from_secs(20);

/// A pod as a test wants it.
#[derive(Debug, Clone, Default)]
pub struct PodSpec {
    /// Its name.
    pub name: String,
    /// Its labels, as YAML of a map.
    pub labels: String,
    /// Its annotations, as YAML of a map.
    pub annotations: String,
    /// Names of its containers; the image of each is `registry.test/NAME:1`.
    pub containers: Vec<String>,
}

impl PodSpec {
    /// A pod with a container of each name.
    pub fn new(name: &str, containers: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            labels: "{}".to_owned(),
            annotations: "{}".to_owned(),
            containers: containers.iter().map(|&it| it.to_owned()).collect(),
        }
    }

    /// With labels: YAML of a map.
    #[must_use]
    pub fn labels(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.labels);
        self
    }

    /// With annotations: YAML of a map.
    #[must_use]
    pub fn annotations(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.annotations);
        self
    }

    fn manifest(&self) -> String {
        let containers = self.containers.iter();
        let containers =
            containers.map(|it| format!("{{name: {it}, image: 'registry.test/{it}:1'}}"));
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {}\n  labels: {}\n  annotations: {}\n\
             spec:\n  nodeName: {NODE}\n  automountServiceAccountToken: false\n  containers: [{}]\n",
            self.name,
            self.labels,
            self.annotations,
            containers.collect::<Vec<_>>().join(", ")
        )
    }
}

/// A namespace of pods on [`NODE`].
#[derive(Debug)]
pub struct Namespace<'a> {
    server: &'a KubeApi,
    name: String,
}

impl<'a> Namespace<'a> {
    /// Makes it, and the node, unless they are there.
    pub fn new(server: &'a KubeApi, name: &str) -> anyhow::Result<Self> {
        server.add_node(NODE)?;
        server.run(&["create", "namespace", name])?;
        let account = ["-n", name, "create", "serviceaccount", "agent"];
        server.run(&account)?;
        Ok(Self {
            server,
            name: name.to_owned(),
        })
    }

    /// One that was made before, of a server that was started again.
    pub fn known(server: &'a KubeApi, name: &str) -> Self {
        Self {
            server,
            name: name.to_owned(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets its account `agent` read pods everywhere, as the role of the manifests does.
    pub fn allow(&self) -> anyhow::Result<()> {
        let role = format!("agent-{}", self.name);
        let pods = ["--verb=get,list,watch", "--resource=pods"];
        let args = [&["create", "clusterrole", &role][..], &pods].concat();
        self.server.run(&args)?;
        let (of_role, account) = (
            format!("--clusterrole={role}"),
            format!("--serviceaccount={}:agent", self.name),
        );
        let args = ["create", "clusterrolebinding", &role, &of_role, &account];
        self.server.run(&args).map(drop)
    }

    /// kubectl in this namespace.
    pub fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        self.server.run(&[&["-n", &self.name][..], args].concat())
    }

    /// Makes pods, and returns their uids in the order of the specs.
    pub fn create(&self, pods: &[PodSpec]) -> anyhow::Result<Vec<String>> {
        let manifests: Vec<String> = pods.iter().map(PodSpec::manifest).collect();
        let args = ["-n", &self.name, "create", "-o", "name"];
        let output = self.server.run_on(&manifests.join("---\n"), &args)?;
        ensure!(
            output.status.success(),
            "cannot make pods: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let known = self.uids()?;
        let uid = |pod: &PodSpec| {
            let uid = known.iter().find(|(name, _)| *name == pod.name);
            uid.map(|(_, uid)| uid.clone())
                .with_context(|| format!("pod {} was not made", pod.name))
        };
        pods.iter().map(uid).collect()
    }

    /// Names and uids of its pods.
    pub fn uids(&self) -> anyhow::Result<Vec<(String, String)>> {
        let list: Value = serde_json::from_str(&self.run(&["get", "pods", "-o", "json"])?)?;
        let items = list["items"].as_array().context("no list of pods")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |pod: &Value| {
            (
                text(&pod["metadata"]["name"]),
                text(&pod["metadata"]["uid"]),
            )
        };
        Ok(items.iter().map(of).collect())
    }

    /// Makes a pod, and starts its containers on the scene's node.
    pub fn start(&self, scene: &mut Scene, pod: &PodSpec) -> anyhow::Result<Vec<Container>> {
        let uid = self.create(std::slice::from_ref(pod))?.remove(0);
        let containers = pod.containers.iter();
        containers
            .map(|name| {
                let made = scene
                    .kubelet
                    .container_of(&self.name, &pod.name, &uid, name);
                made.context("cannot start a container")
            })
            .collect()
    }

    /// Deletes a pod at once.
    pub fn delete(&self, pod: &str) -> anyhow::Result<()> {
        let now = ["--grace-period=0", "--force", "--wait=false"];
        self.run(&[&["delete", "pod", pod][..], &now].concat())
            .map(drop)
    }

    /// The setup of an agent of the scene that watches this server by the account `agent`.
    pub fn agent_setup(&self, scene: &Scene, aggregator: &str) -> anyhow::Result<AgentSetup> {
        let token = scene.dir("token");
        std::fs::write(&token, self.server.token(&self.name, "agent")?)
            .context("cannot write a token")?;
        let kubernetes = format!(
            "{{metadata: watch, url: '{}', ca_file: '{}', token_file: '{}', wait: {}s}}",
            self.server.url(),
            self.server.ca_file().display(),
            token.display(),
            WAIT.as_secs()
        );
        Ok(scene
            .agent_setup(aggregator)
            .with("kubernetes", &kubernetes))
    }
}
