//! The pods and the levels of Pod Security: the aggregator fits the strictest, and the agent asks for
//! no more than it cannot do without.

use serde_json::{Value, json};
use tests::kube::KubeApi;

use crate::{
    cluster::{apply, cluster},
    manifests::{BASE, VARIANTS, helm, kustomize, objects, pod_templates},
};

/// Has the server judge a pod in a namespace of a level: nothing when it is taken, else why not.
fn judge(server: &KubeApi, level: &str, template: &Value) -> Option<String> {
    let namespace = format!("level-{level}");
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried", "namespace": namespace},
        "spec": template["spec"],
    });
    let account = pod["spec"]["serviceAccountName"].clone();
    if let Some(spec) = pod["spec"].as_object_mut() {
        // Outside of a StatefulSet a claim has to be named.
        let is_claimed = |mount: &Value| mount["name"] == "data";
        let mounts = &spec["containers"][0]["volumeMounts"];
        let has_volume = spec["volumes"].as_array().unwrap().iter().any(is_claimed);
        if mounts.as_array().unwrap().iter().any(is_claimed) && !has_volume {
            let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data"}});
            spec["volumes"].as_array_mut().unwrap().push(volume);
        }
        // Admission refuses this class outside of kube-system where a quota says so, never here.
        spec.remove("priority");
    }
    let around = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {
            "pod-security.kubernetes.io/enforce": level}}},
        {"apiVersion": "v1", "kind": "ServiceAccount",
         "metadata": {"name": account, "namespace": namespace}},
    ]});
    apply(server, &around.to_string(), &[]).unwrap();
    let said = apply(server, &pod.to_string(), &["--dry-run=server"]);
    match said {
        Ok(said) => {
            assert_eq!(said, "", "warnings");
            None
        }
        Err(error) => Some(error),
    }
}

/// What a refusal names, without its explanations: `hostPath volumes`, `privileged`, ….
fn reasons(refusal: &str) -> Vec<String> {
    let (_, list) = refusal
        .split_once("violates PodSecurity")
        .unwrap_or_else(|| panic!("not refused for its security: {refusal}"));
    let (_, list) = list.split_once(": ").unwrap();
    let mut outside = String::new();
    let mut depth = 0;
    for character in list.trim().chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 => outside.push(character),
            _ => {}
        }
    }
    outside
        .split(", ")
        .map(|name| name.trim().to_owned())
        .collect()
}

#[test]
fn aggregators_fit_restricted() {
    let (server, _guard) = cluster();
    for variant in VARIANTS {
        let rendered = objects(&kustomize(variant.folder));
        let refusal = judge(server, "restricted", pod_templates(&rendered)["aggregator"]);
        assert_eq!(refusal, None, "{}", variant.folder);
    }
}

#[test]
fn agents_ask_for_the_nodes_folders_and_one_capability() {
    let (server, _guard) = cluster();
    let rendered = objects(&kustomize("base"));
    let refusal = judge(server, "baseline", pod_templates(&rendered)["agent"]).unwrap();
    assert_eq!(
        reasons(&refusal),
        ["non-default capabilities", "hostPath volumes"],
        "{refusal}"
    );
    assert!(
        refusal.contains(r#"must not include "DAC_READ_SEARCH" in"#),
        "{refusal}"
    );
    // The capability can be done without where all log files are root's.
    let args = [BASE.chart, &["--set", "agent.capabilities=null"]].concat();
    let rendered = objects(&helm(&args));
    let refusal = judge(server, "baseline", pod_templates(&rendered)["agent"]).unwrap();
    assert_eq!(reasons(&refusal), ["hostPath volumes"], "{refusal}");
    let taken = judge(server, "privileged", pod_templates(&rendered)["agent"]);
    assert_eq!(taken, None);
}

#[test]
fn agents_write_to_their_own_folder_alone() {
    for variant in VARIANTS {
        let rendered = objects(&kustomize(variant.folder));
        let spec = &pod_templates(&rendered)["agent"]["spec"];
        let container = &spec["containers"][0];
        let mounts = container["volumeMounts"].as_array().unwrap();
        for mount in mounts {
            let is_writable = mount["readOnly"] != true;
            assert_eq!(is_writable, mount["name"] == "data", "{mount}");
        }
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        for shared in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(spec[shared], Value::Null, "{shared}");
        }
    }
}
