//! The chart says the same as the folders for kustomize, and refuses what it does not know.

use serde_json::Value;

use crate::manifests::{
    BASE, VARIANTS, comparable, differences, helm, kustomize, kustomize_over, kustomize_with, lint,
    objects, root, try_helm, yaml,
};

fn check_same(what: &str, left: &str, right: &str) {
    let (left, right) = (comparable(left), comparable(right));
    let names = |all: &std::collections::BTreeMap<String, Value>| -> Vec<String> {
        all.keys().cloned().collect()
    };
    assert_eq!(names(&left), names(&right), "{what}");
    let mut found = Vec::new();
    for (name, object) in &left {
        differences(name, object, &right[name], &mut found);
    }
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn the_chart_renders_what_each_folder_holds() {
    for variant in VARIANTS {
        check_same(
            variant.folder,
            &helm(variant.chart),
            &kustomize(variant.folder),
        );
    }
}

#[test]
fn values_of_rights_render_what_the_components_hold() {
    for (component, value) in [
        ("namespace-labels", "agent.rbac.namespaceLabels=true"),
        ("kubelet", "agent.rbac.kubelet=pods"),
        ("kubelet-proxy", "agent.rbac.kubelet=proxy"),
        ("journal", "agent.hostPaths.journal=/run/log"),
    ] {
        let args = [BASE.chart, &["--set", value]].concat();
        check_same(component, &helm(&args), &kustomize_with(&[component]));
    }
}

/// The configuration, which makes the chart render the rights, is the operator's with kustomize.
#[test]
fn reading_events_renders_what_the_component_holds() {
    const ON: &str = "aggregator.config.kubernetes_events.enabled=true";
    let with = |manifests: &str| {
        let line = "    rules: [/etc/tailrace/rules]\n";
        assert!(manifests.contains(line), "{manifests}");
        let more = format!("{line}    kubernetes_events: {{enabled: true}}\n");
        manifests.replacen(line, &more, 1)
    };
    for variant in VARIANTS {
        check_same(
            variant.folder,
            &helm(&[variant.chart, &["--set", ON]].concat()),
            &with(&kustomize_over(variant.folder, &["kubernetes-events"])),
        );
    }
    // Names and places of the Lease follow the configuration; roles can be somebody else's.
    let rendered = objects(&helm(&[
        "--set",
        ON,
        "--set",
        "aggregator.config.kubernetes_events.lease.name=ours",
        "--set",
        "aggregator.config.kubernetes_events.lease.namespace=locks",
        "--set",
        "fullnameOverride=logs",
    ]));
    let role = crate::manifests::find(&rendered, "Role", "logs-aggregator-lease");
    assert_eq!(role["metadata"]["namespace"], "locks");
    assert_eq!(role["rules"][0]["resourceNames"][0], "ours");
    let binding = crate::manifests::find(&rendered, "RoleBinding", "logs-aggregator-lease");
    assert_eq!(binding["metadata"]["namespace"], "locks");
    assert_eq!(binding["subjects"][0]["namespace"], "tailrace");
    let without = helm(&["--set", ON, "--set", "aggregator.rbac.create=false"]);
    assert!(!without.contains("aggregator-lease"), "{without}");
}

#[test]
fn without_values_all_but_the_namespace_is_there() {
    let mut base = comparable(&kustomize("base"));
    assert!(base.remove("Namespace /tailrace").is_some());
    let plain = comparable(&helm(&[]));
    let names = |all: &std::collections::BTreeMap<String, Value>| -> Vec<String> {
        all.keys().cloned().collect()
    };
    assert_eq!(names(&plain), names(&base));
}

#[test]
fn helm_finds_nothing_wrong() {
    for variant in VARIANTS {
        let said = lint(variant.chart).unwrap_or_else(|error| panic!("{error}"));
        assert!(!said.contains("[WARNING]"), "{said}");
    }
}

#[test]
fn what_the_schema_does_not_know_is_refused_and_named() {
    for (value, place, name) in [
        ("agnet.config.listen=x", "''", "agnet"),
        ("agent.resorces.requests.cpu=1", "/agent", "resorces"),
        ("networkPolicy.enabeld=false", "/networkPolicy", "enabeld"),
        (
            "aggregator.persistence.siez=1Gi",
            "/aggregator/persistence",
            "siez",
        ),
        ("secrets.token.nmae=x", "/secrets/token", "nmae"),
        // What the programs read is known as well.
        (
            "agent.config.files.inlcude=x",
            "/agent/config/files",
            "inlcude",
        ),
        (
            "aggregator.config.web.auht=users",
            "/aggregator/config/web",
            "auht",
        ),
    ] {
        let error = try_helm(&["--set", value]).unwrap_err();
        assert!(
            error.contains(&format!("'{name}' not allowed")) && error.contains(place),
            "{value}: {error}"
        );
    }
    for value in [
        "aggregator.config.ack=disk",
        "agent.rbac.kubelet=all",
        "aggregator.persistence.size=10 GB",
        "agent.serviceAccount.tokenSeconds=60",
    ] {
        assert!(try_helm(&["--set", value]).is_err(), "{value}");
    }
}

#[test]
fn what_would_lose_lines_is_refused_with_the_reason() {
    for (values, reason) in [
        (
            &["--set", "aggregator.autoscaling.enabled=true"][..],
            "needs aggregator.config.ack: store",
        ),
        (
            &[
                "-f",
                "k8s/chart/ci/embedded-values.yaml",
                "--set",
                "aggregator.replicas=2",
            ],
            "needs aggregator.replicas: 1",
        ),
        (
            &["--set", "secrets.token.create=true"],
            "needs secrets.token.value",
        ),
    ] {
        let error = try_helm(values).unwrap_err();
        assert!(error.contains(reason), "{values:?}: {error}");
    }
}

#[test]
fn the_schema_describes_every_value() {
    let file = |name: &str| std::fs::read_to_string(root().join("k8s/chart").join(name)).unwrap();
    let schema: Value = serde_json::from_str(&file("values.schema.json")).unwrap();
    let mut missing = Vec::new();
    described("", &yaml(&file("values.yaml")), &schema, &mut missing);
    assert!(missing.is_empty(), "without description: {missing:?}");
}

/// Collects the values below `place` that the schema does not describe. Where it says nothing of
/// names (labels, the programs' configuration), they are not the chart's.
fn described(place: &str, value: &Value, schema: &Value, missing: &mut Vec<String>) {
    let (Some(values), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return;
    };
    if schema["additionalProperties"] != false {
        return;
    }
    for (key, value) in values {
        let place = format!("{place}.{key}");
        match known.get(key) {
            Some(schema) if schema["description"].is_string() => {
                described(&place, value, schema, missing);
            }
            _ => missing.push(place),
        }
    }
}

#[test]
fn rules_and_secrets_come_from_values() {
    let rendered = objects(&helm(&[
        "--set-json",
        r#"aggregator.rules={"shop":{"rules":[{"name":"a"}]},"text":"rules: []\n"}"#,
        "--set",
        "secrets.token.create=true,secrets.token.value=t0p,secrets.store.create=true",
        "--set",
        "secrets.store.data.api_key=k3y",
    ]));
    let find = |kind: &str, name: &str| crate::manifests::find(&rendered, kind, name).clone();
    let rules = find("ConfigMap", "tailrace-rules");
    assert_eq!(
        yaml(rules["data"]["shop.yaml"].as_str().unwrap())["rules"][0]["name"],
        "a"
    );
    assert_eq!(rules["data"]["text.yaml"], "rules: []\n");
    assert_eq!(
        find("Secret", "tailrace-token")["stringData"]["token"],
        "t0p"
    );
    assert_eq!(
        find("Secret", "tailrace-store")["stringData"]["api_key"],
        "k3y"
    );
}

#[test]
fn ports_and_addresses_follow_the_configuration() {
    let rendered = objects(&helm(&[
        "--set",
        "aggregator.config.listen=0.0.0.0:8080,aggregator.config.ingest_listen=0.0.0.0:8081",
        "--set-json",
        r#"aggregator.config.outputs=[{"name":"a","elasticsearch":{"hosts":["https://a","http://b:9201/x"]}}]"#,
        "--set",
        "fullnameOverride=logs",
    ]));
    let find = |kind: &str, name: &str| crate::manifests::find(&rendered, kind, name);
    let agent = find("ConfigMap", "logs-agent")["data"]["agent.yaml"]
        .as_str()
        .unwrap();
    assert_eq!(
        yaml(agent)["aggregators"][0],
        "http://logs-aggregator.tailrace.svc:8081"
    );
    assert_eq!(
        yaml(agent)["files"]["exclude"][0],
        "/var/log/containers/logs-agent-*.log"
    );
    let policy = &find("NetworkPolicy", "logs-aggregator")["spec"];
    assert_eq!(policy["ingress"][0]["ports"][0]["port"], 8081);
    assert_eq!(policy["ingress"][1]["ports"][0]["port"], 8080);
    let store: Vec<&Value> = policy["egress"][1]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["port"])
        .collect();
    assert_eq!(store, [&Value::from(443), &Value::from(9201)]);
}

#[test]
fn versions_are_those_of_the_programs() {
    let version = env!("CARGO_PKG_VERSION");
    let file = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let chart = yaml(&file("k8s/chart/Chart.yaml"));
    assert_eq!(chart["version"], version);
    assert_eq!(chart["appVersion"], version);
    for image in yaml(&file("k8s/base/kustomization.yaml"))["images"]
        .as_array()
        .unwrap()
    {
        assert_eq!(image["newTag"], version, "{image}");
    }
    let compose = yaml(&file("docker-compose.yaml"));
    for program in ["agent", "aggregator"] {
        let image = format!("tailrace-{program}:{version}");
        assert_eq!(compose["services"][program]["image"], image.as_str());
    }
}
