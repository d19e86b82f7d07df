//! What the agent asks Kubernetes of its node's pods.

use std::path::PathBuf;
use std::time::Duration;

use crate::fields::At;
use crate::section::{Check, Rule, choice, section};
use crate::url::HttpUrl;

choice! {
    /// Where the fields of pods come from.
    pub enum PodSource {
        /// `watch` in a pod with a ServiceAccount's token, else `paths`.
        Auto = "auto",
        /// The API server: a watch on the pods of this node.
        Watch = "watch",
        /// The kubelet's `/pods`, polled.
        Kubelet = "kubelet",
        /// The paths of the files alone: namespace, pod, container.
        Paths = "paths",
    }
}

choice! {
    /// What annotations of a pod may ask for.
    pub enum Annotation {
        /// `tailrace.io/parser`: the rule that parses the lines.
        Parser = "parser",
        /// `tailrace.io/exclude`: the lines are not carried.
        Exclude = "exclude",
        /// `tailrace.io/multiline`: how lines are joined to events.
        Multiline = "multiline",
        /// `tailrace.io/dataset`: the dataset of the data stream.
        Dataset = "dataset",
        /// `tailrace.io/sample`: the share of events that is kept.
        Sample = "sample",
        /// `tailrace.io/rate-limit`: bytes a second.
        RateLimit = "rate-limit",
    }
}

section! {
    /// What the agent asks Kubernetes of its node's pods.
    pub struct KubernetesConfig {
        /// Where labels, images, owners and annotations come from.
        metadata: PodSource = PodSource::Auto,
        /// The API server, or with `metadata: kubelet` the kubelet.
        url: Option<HttpUrl> = None => Rule::varies(
            "the cluster's own, as `${KUBERNETES_SERVICE_HOST}` tells; of the kubelet \
             `https://${NODE_IP}:10250`", "https://10.96.0.1:443",
        ),
        /// File of the certificates that the server's is signed by.
        ca_file: PathBuf = PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"),
        /// File of the token that is shown to the server. Read again as it changes.
        token_file: PathBuf = PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        /// Takes any certificate of the kubelet's: many are signed by nobody.
        accept_any_certificate: bool = false,
        /// How often the kubelet is asked.
        poll_interval: Duration = Duration::from_secs(10)
            => Rule::range(Duration::from_secs(1), Duration::from_secs(600)),
        /// How long a new file waits for its pod to become known. Then its lines go with what its
        /// path tells.
        wait: Duration = Duration::from_secs(5)
            => Rule::range(Duration::ZERO, Duration::from_secs(60)),
        /// Labels of pods that become fields.
        labels: LabelsConfig = LabelsConfig::default(),
        /// Annotations of pods that become fields. Those that steer are never copied.
        annotations: ChosenConfig = ChosenConfig::default(),
        /// Labels of namespaces that become fields. Each agent then watches all namespaces, and its
        /// role has to allow that. Not with `metadata: kubelet`, which does not know them.
        namespace_labels: ChosenConfig = ChosenConfig::default(),
        /// Which namespaces may steer by annotations, and what. The first entry that names a
        /// namespace counts; one that none names may do nothing. Without it all may do all.
        steering: Option<Vec<SteeringConfig>> = None
            => Rule::example("[{namespaces: [shop-*], allow: [parser, multiline]}]"),
    }
}

section! {
    /// Labels of pods that become fields; a name that ends with `*` is the beginning of names.
    pub struct LabelsConfig {
        /// Those that are taken.
        include: Vec<String> = vec!["*".to_owned()] => Rule::example("[app, app.kubernetes.io/*]"),
        /// Those that are left out nevertheless: unless told, those that change with each roll-out.
        exclude: Vec<String> = ["pod-template-hash", "controller-revision-hash",
            "pod-template-generation"].map(str::to_owned).to_vec()
            => Rule::example("[helm.sh/*]"),
    }
}

section! {
    /// Names of labels or annotations; one that ends with `*` is the beginning of names.
    pub struct ChosenConfig {
        /// Those that are taken.
        include: Vec<String> = Vec::new() => Rule::example("[team, example.com/*]"),
        /// Those that are left out nevertheless.
        exclude: Vec<String> = Vec::new() => Rule::example("[example.com/checksum]"),
    }
}

section! {
    /// What the pods of some namespaces may ask for.
    pub struct SteeringConfig {
        /// Names of namespaces, or beginnings of names that end with `*`.
        namespaces: Vec<String> = vec!["*".to_owned()] => Rule::required(),
        /// What they may ask for; empty for nothing.
        allow: Vec<Annotation> = Vec::new() => Rule::example("[parser, multiline]"),
    }
}

impl Check for KubernetesConfig {
    fn check(&self, at: &mut At<'_>) {
        if self.accept_any_certificate && self.metadata != PodSource::Kubelet {
            at.problem(
                "accept_any_certificate",
                "goes with `metadata: kubelet` alone: the API server has a good certificate",
            );
        }
        if self.metadata == PodSource::Kubelet && !self.namespace_labels.include.is_empty() {
            at.problem(
                "namespace_labels",
                "the kubelet does not know them: use `metadata: watch`",
            );
        }
        if self.metadata == PodSource::Paths && self.url.is_some() {
            at.problem("url", "is asked nothing with `metadata: paths`");
        }
    }
}

impl Check for LabelsConfig {}

impl Check for ChosenConfig {}

impl Check for SteeringConfig {}
