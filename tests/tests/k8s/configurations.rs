//! The configurations in the manifests, read by the real programs: with the files that the pod
//! would mount, and with its environment.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tests::{program::binary, scratch::Scratch};

use crate::manifests::{VARIANTS, find, helm, kustomize, objects, pod_templates};

/// What the Secrets hold that people make.
fn secrets() -> BTreeMap<&'static str, BTreeMap<&'static str, String>> {
    let mut child = Command::new(binary("tailrace-aggregator").unwrap())
        .args(["users", "hash"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"pass").unwrap();
    let output = child.wait_with_output().unwrap();
    let hash = String::from_utf8(output.stdout).unwrap();
    BTreeMap::from([
        (
            "tailrace-token",
            BTreeMap::from([("token", "s3cret".to_owned())]),
        ),
        (
            "tailrace-store",
            BTreeMap::from([("api_key", "a2V5".to_owned())]),
        ),
        (
            "tailrace-users",
            BTreeMap::from([("users", format!("admin:admin:*:{}\n", hash.trim()))]),
        ),
    ])
}

/// Lays out below `root` what the kubelet would mount into the pod.
fn mount(root: &Path, objects: &[Value], spec: &Value) {
    let secrets = secrets();
    for mount in spec["containers"][0]["volumeMounts"].as_array().unwrap() {
        let path = mount["mountPath"].as_str().unwrap();
        let dir = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(&dir).unwrap();
        let volumes = spec["volumes"].as_array().unwrap();
        let Some(volume) = volumes.iter().find(|it| it["name"] == mount["name"]) else {
            // A claim of the StatefulSet.
            assert_eq!(mount["name"], "data", "{mount} has no volume");
            continue;
        };
        if let Some(name) = volume["configMap"]["name"].as_str() {
            let data = find(objects, "ConfigMap", name)["data"]
                .as_object()
                .unwrap();
            for (file, text) in data {
                // Paths of the pod are paths below `root` here.
                let text = text
                    .as_str()
                    .unwrap()
                    .replace("/etc/tailrace", &format!("{}/etc/tailrace", root.display()))
                    .replace("/var/lib/", &format!("{}/var/lib/", root.display()));
                fs::write(dir.join(file), text).unwrap();
            }
        } else if let Some(name) = volume["secret"]["secretName"].as_str() {
            for (file, text) in &secrets[name] {
                fs::write(dir.join(file), text).unwrap();
            }
        }
    }
}

/// The environment that the kubelet would give.
fn environment(container: &Value) -> Vec<(String, String)> {
    let none = Vec::new();
    let list = container["env"].as_array().unwrap_or(&none);
    let entry = |it: &Value| {
        let value = match it["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("spec.nodeName") => "node-1",
            Some("status.hostIP") => "192.0.2.1",
            Some(other) => panic!("no test of `{other}`"),
            None => it["value"].as_str().unwrap(),
        };
        (it["name"].as_str().unwrap().to_owned(), value.to_owned())
    };
    list.iter().map(entry).collect()
}

#[test]
fn the_programs_take_every_configuration() {
    for variant in VARIANTS {
        for (how, manifests) in [
            ("kustomize", kustomize(variant.folder)),
            ("chart", helm(variant.chart)),
        ] {
            let objects = objects(&manifests);
            let templates = pod_templates(&objects);
            assert_eq!(templates.len(), 2, "{}", variant.folder);
            for (program, template) in templates {
                let scratch = Scratch::new("configuration").unwrap();
                let spec = &template["spec"];
                let container = &spec["containers"][0];
                mount(scratch.path(), &objects, spec);
                let file = container["args"][1].as_str().unwrap();
                assert_eq!(container["args"][0], "--config");
                let output = Command::new(binary(&format!("tailrace-{program}")).unwrap())
                    .arg("--config")
                    .arg(scratch.path().join(file.trim_start_matches('/')))
                    .arg("--check")
                    .env_clear()
                    .envs(environment(container))
                    .output()
                    .unwrap();
                assert!(
                    output.status.success(),
                    "{} ({how}), {program}:\n{}{}",
                    variant.folder,
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
    }
}
