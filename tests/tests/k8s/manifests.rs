//! What kustomize and Helm render, as text and as objects that can be compared.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Map, Value};
use tests::{scratch::Scratch, tools};

/// The version for which Helm renders: the one of the API server that the tests start.
const KUBERNETES: &str = "1.36.0";

/// One way to install: a folder of `k8s/`, and the arguments that make the chart render the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) folder: &'static str,
    pub(crate) chart: &'static [&'static str],
}

const DEFAULT: &str = "k8s/chart/ci/default-values.yaml";

pub(crate) const BASE: Variant = Variant {
    folder: "base",
    chart: &["-f", DEFAULT],
};

/// All that are shipped.
pub(crate) const VARIANTS: [Variant; 5] = [
    BASE,
    Variant {
        folder: "overlays/ack-store",
        chart: &["-f", "k8s/chart/ci/ack-store-values.yaml"],
    },
    Variant {
        folder: "overlays/embedded",
        chart: &["-f", "k8s/chart/ci/embedded-values.yaml"],
    },
    Variant {
        folder: "overlays/monitoring",
        chart: &["-f", DEFAULT, "--set", "monitoring.enabled=true"],
    },
    Variant {
        folder: "overlays/openshift",
        chart: &["-f", DEFAULT, "--set", "openshift.enabled=true"],
    },
];

/// The workspace.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// Runs a tool in the workspace: what it printed, or what it complained of.
pub(crate) fn run(tool: &str, args: &[&str]) -> Result<String, String> {
    let program = tools::find(tool).unwrap_or_else(|error| panic!("{error:#}"));
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run `{tool}`: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stdout) + &text(&output.stderr)),
    }
}

/// What `kustomize build` makes of a folder of `k8s/`.
pub(crate) fn kustomize(folder: &str) -> String {
    run("kustomize", &["build", &format!("k8s/{folder}")]).unwrap_or_else(|error| panic!("{error}"))
}

/// What `kustomize build` makes of the base and some components.
pub(crate) fn kustomize_with(components: &[&str]) -> String {
    kustomize_over("base", components)
}

/// What `kustomize build` makes of a folder of `k8s/` and some components.
pub(crate) fn kustomize_over(folder: &str, components: &[&str]) -> String {
    let scratch = Scratch::new("kustomize").unwrap();
    copy(&root().join("k8s"), scratch.path());
    let mut text = format!("resources: [../{folder}]\ncomponents:\n");
    for name in components {
        text.push_str(&format!("  - ../components/{name}\n"));
    }
    let dir = scratch.path().join("with");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("kustomization.yaml"), text).unwrap();
    run("kustomize", &["build", dir.to_str().unwrap()]).unwrap_or_else(|error| panic!("{error}"))
}

fn copy(from: &Path, to: &Path) {
    for name in ["base", "components", "overlays"] {
        copy_all(&from.join(name), &to.join(name));
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_all(&entry.path(), &place),
            false => fs::copy(entry.path(), place).map(drop).unwrap(),
        }
    }
}

/// What `helm template` makes of the chart, or why it refuses.
pub(crate) fn try_helm(args: &[&str]) -> Result<String, String> {
    let start = ["template", "tailrace", "k8s/chart", "-n", "tailrace"];
    let version = ["--kube-version", KUBERNETES];
    run("helm", &[&start[..], &version[..], args].concat())
}

/// What `helm template` makes of the chart.
pub(crate) fn helm(args: &[&str]) -> String {
    try_helm(args).unwrap_or_else(|error| panic!("{error}"))
}

/// Checks the chart, with the values of `args`.
pub(crate) fn lint(args: &[&str]) -> Result<String, String> {
    let start = [
        "lint",
        "k8s/chart",
        "--strict",
        "--kube-version",
        KUBERNETES,
    ];
    run("helm", &[&start[..], args].concat())
}

/// The objects of some manifests.
pub(crate) fn objects(manifests: &str) -> Vec<Value> {
    manifests
        .split("\n---")
        .map(|text| yaml(text.trim_start_matches("---")))
        .filter(|object| !object.is_null())
        .collect()
}

/// One YAML document.
pub(crate) fn yaml(text: &str) -> Value {
    let is_empty = text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if is_empty {
        return Value::Null;
    }
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The object of this kind and name.
pub(crate) fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects
        .iter()
        .find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} `{name}`"))
}

/// Pod templates: of the agent, and of the aggregator, whatever it is.
pub(crate) fn pod_templates(objects: &[Value]) -> BTreeMap<&str, &Value> {
    const WORKLOADS: [&str; 3] = ["DaemonSet", "StatefulSet", "Deployment"];
    let templates = objects
        .iter()
        .filter(|it| WORKLOADS.iter().any(|kind| it["kind"] == *kind))
        .map(|it| &it["spec"]["template"]);
    templates
        .map(|it| (it["spec"]["containers"][0]["name"].as_str().unwrap(), it))
        .collect()
}

/// Objects by kind, namespace and name, without what a chart alone says, and with the YAML in
/// ConfigMaps as what it means.
pub(crate) fn comparable(manifests: &str) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for mut object in objects(manifests) {
        simplify(&mut object);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = format!(
            "{} {}/{}",
            text(&object["kind"]),
            text(&object["metadata"]["namespace"]),
            text(&object["metadata"]["name"])
        );
        assert!(
            all.insert(name.clone(), object).is_none(),
            "{name} is there twice"
        );
    }
    all
}

/// Labels and annotations that a chart has by custom, and what makes its pods restart.
const OF_THE_CHART: [&str; 6] = [
    "helm.sh/chart",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "checksum/config",
    "checksum/secrets",
];

fn simplify(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !OF_THE_CHART.contains(&key.as_str()));
            for (key, value) in map.iter_mut() {
                match value.as_str().filter(|_| key.ends_with(".yaml")) {
                    Some(text) => *value = yaml(text),
                    None => simplify(value),
                }
            }
            map.retain(|key, value| key != "annotations" || value != &Value::Object(Map::new()));
        }
        Value::Array(list) => list.iter_mut().for_each(simplify),
        _ => {}
    }
}

/// Where two values differ: one line a place.
pub(crate) fn differences(place: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                differences(&format!("{place}.{key}"), &of(left), &of(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (idx, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{place}[{idx}]"), left, right, found);
            }
        }
        _ if left == right => {}
        _ => found.push(format!("{place}: {left} and {right}")),
    }
}

#[test]
fn differences_are_found_and_the_customs_of_charts_are_none() {
    let left = comparable(
        "kind: A\nmetadata:\n  name: a\n  labels: {helm.sh/chart: x, b: c}\ndata:\n  c.yaml: '{d: 1}'",
    );
    let same =
        comparable("---\nkind: A\nmetadata: {labels: {b: c}, name: a}\ndata: {c.yaml: 'd: 1'}\n");
    assert_eq!(left, same);
    let other =
        comparable("kind: A\nmetadata: {labels: {b: d}, name: a}\ndata: {c.yaml: 'd: 2'}\n");
    let mut found = Vec::new();
    differences("A", &left["A /a"], &other["A /a"], &mut found);
    assert_eq!(
        found,
        [
            "A.data.c.yaml.d: 1 and 2",
            "A.metadata.labels.b: \"c\" and \"d\""
        ]
    );
}
