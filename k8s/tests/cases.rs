//! Fluent Bit's own cases of its Kubernetes filter (../../shared/cases, when it is there): the same
//! pods and annotations, asked what we would do. What is decided otherwise is listed with the reason.

#![expect(
    clippy::unwrap_used,
    reason = "a case that cannot be read is a failure"
)]

use std::collections::BTreeMap;

use k8s::{Choice, ContainerFields, Pod, SteeringPolicy};
use serde_json::{Value, json};

#[path = "../../tests/shared_cases.rs"]
mod shared_cases;

/// Parts of names of cases that we decide otherwise, and why.
const KNOWN: [(&str, &str); 3] = [
    (
        "_std",
        "an annotation for one iostream alone has no counterpart: a file is carried or it is not",
    ),
    (
        "options_k8s-logging",
        "what the operator does not allow: `kubernetes.steering`, tested below",
    ),
    (
        "options_",
        "how the line is merged into the record is the aggregator's: parsers/tests",
    ),
];

/// A case: the pod, the container, and what Fluent Bit made of it.
struct Case {
    id: String,
    name: String,
    pod: Option<Pod>,
    container: String,
    annotations: BTreeMap<String, String>,
    records: Vec<Value>,
}

#[track_caller]
fn cases() -> Option<Vec<Case>> {
    let cases = shared_cases::read(&["fluentbit"])?;
    let of_filter = cases.iter().filter(|case| case["format"] == "k8s-filter");
    Some(of_filter.map(read).collect())
}

fn read(case: &Value) -> Case {
    let name = case["rule"]["file_name"].as_str().unwrap().to_owned();
    let mut parts = name.splitn(3, '_').map(str::to_owned);
    let (namespace, pod_name) = (parts.next().unwrap(), parts.next().unwrap());
    let container = parts.next().unwrap();
    let mut meta = case["rule"]["pod_meta"].clone();
    // As the kubelet tells it: a list with one pod.
    if meta["items"].is_array() {
        meta = meta["items"][0].take();
    }
    let annotations = meta["metadata"]["annotations"].as_object().cloned();
    let pod = meta["metadata"].is_object().then(|| {
        let metadata = &mut meta["metadata"];
        metadata["namespace"] = namespace.into();
        metadata["name"] = pod_name.into();
        if metadata["uid"].is_null() {
            metadata["uid"] = json!("uid");
        }
        let choice = Choice {
            annotations: vec!["*".to_owned()],
            ..Choice::default()
        };
        Pod::read(meta.to_string().as_bytes(), &choice).unwrap()
    });
    let annotations = annotations.unwrap_or_default().into_iter();
    Case {
        id: case["id"].as_str().unwrap().to_owned(),
        name,
        pod,
        container,
        annotations: annotations
            .map(|(name, value)| (name, value.as_str().unwrap().to_owned()))
            .collect(),
        records: case["expected"]["records"].as_array().cloned().unwrap(),
    }
}

impl Case {
    fn known_difference(&self) -> Option<&'static str> {
        let asks_for_one_stream = self.annotations.keys().any(|name| {
            let own = name.ends_with(&format!("-{}", self.container));
            name.contains("_std") && (own || !name.contains("-container-"))
        });
        KNOWN
            .iter()
            .find(|(part, _)| match *part {
                "_std" => asks_for_one_stream && !self.name.starts_with("annotations_invalid"),
                part => self.name.starts_with(part),
            })
            .map(|(_, why)| *why)
    }

    fn fields(&self, policy: &SteeringPolicy) -> Option<ContainerFields> {
        Some(self.pod.as_ref()?.fields(&self.container, policy))
    }

    /// What Fluent Bit says of the pod, under our names.
    fn expected_fields(&self) -> BTreeMap<String, Value> {
        let kubernetes = self.records.first().map(|record| &record[1]["kubernetes"]);
        let kubernetes = kubernetes.unwrap_or(&Value::Null);
        let mut expected = BTreeMap::new();
        for (theirs, ours) in [
            ("pod_name", "kubernetes.pod.name"),
            ("namespace_name", "kubernetes.namespace"),
            ("container_name", "kubernetes.container.name"),
            ("pod_id", "kubernetes.pod.uid"),
            ("host", "kubernetes.node.name"),
        ] {
            if let Some(value) = kubernetes.get(theirs) {
                expected.insert(ours.to_owned(), value.clone());
            }
        }
        for kind in ["labels", "annotations"] {
            for (name, value) in kubernetes[kind].as_object().into_iter().flatten() {
                // Those that steer are not copied.
                if !name.starts_with("fluentbit.io/") {
                    expected.insert(format!("kubernetes.{kind}.{name}"), value.clone());
                }
            }
        }
        for owner in kubernetes["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let kind = owner["kind"].as_str().unwrap().to_lowercase();
            expected.insert(format!("kubernetes.{kind}.name"), owner["name"].clone());
        }
        expected
    }

    /// The annotation for the container, else for the pod.
    fn parser(&self) -> Option<&String> {
        let own = format!("fluentbit.io/parser-{}", self.container);
        let annotations = &self.annotations;
        annotations
            .get(&own)
            .or_else(|| annotations.get("fluentbit.io/parser"))
    }
}

#[test]
fn pods_are_described_and_steer_as_with_fluent_bit() {
    let Some(cases) = cases() else {
        return;
    };
    assert_eq!(cases.len(), 59);
    let policy = SteeringPolicy::default();
    let mut n_compared = 0;
    for case in &cases {
        let Some(found) = case.fields(&policy) else {
            // Without a pod's metadata the path tells, which is the agent's to test.
            continue;
        };
        for (name, value) in case.expected_fields() {
            assert_eq!(found.fields.get(&name), Some(&value), "{} {name}", case.id);
        }
        if case.known_difference().is_some() {
            continue;
        }
        n_compared += 1;
        let is_excluded = case.records.is_empty();
        assert_eq!(found.steering.exclude, is_excluded, "{}", case.id);
        assert_eq!(found.steering.parser.as_ref(), case.parser(), "{}", case.id);
    }
    assert!(n_compared >= 20, "{n_compared} cases only");
}

#[test]
fn what_the_operator_forbids_does_not_happen() {
    let Some(cases) = cases() else {
        return;
    };
    let nothing = SteeringPolicy(Vec::new());
    let forbidden = cases
        .iter()
        .filter(|case| case.name.starts_with("options_k8s-logging"));
    let mut n_cases = 0;
    for case in forbidden {
        n_cases += 1;
        assert!(!case.records.is_empty(), "{}", case.id);
        let found = case.fields(&nothing).unwrap();
        assert!(!found.steering.exclude, "{}", case.id);
        assert_eq!(found.steering.parser, None, "{}", case.id);
        assert_eq!(found.steering.refused.len(), 1, "{}", case.id);
    }
    assert_eq!(n_cases, 2);
}
