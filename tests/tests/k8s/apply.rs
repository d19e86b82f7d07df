//! A real API server takes every object of every way to install, and has nothing to say about them.

use std::time::Duration;

use tests::wait;

use crate::{
    cluster::{apply, cluster, make_namespace, remove},
    manifests::{VARIANTS, helm, kustomize, kustomize_with, objects, root},
};

/// What the Prometheus Operator brings: the names of its types, without a description of them.
fn monitors() -> String {
    let kinds = [
        ("ServiceMonitor", "servicemonitors"),
        ("PodMonitor", "podmonitors"),
    ];
    kinds
        .map(|(kind, plural)| {
            format!(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
                 metadata: {{name: {plural}.monitoring.coreos.com}}\nspec:\n  \
                 group: monitoring.coreos.com\n  scope: Namespaced\n  \
                 names: {{kind: {kind}, plural: {plural}, singular: {}}}\n  versions:\n  \
                 - name: v1\n    served: true\n    storage: true\n    schema:\n      \
                 openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}\n",
                kind.to_lowercase()
            )
        })
        .join("---\n")
}

#[test]
fn every_manifest_is_taken_without_a_warning() {
    let (server, _guard) = cluster();
    apply(server, &monitors(), &[]).unwrap();
    for kind in ["servicemonitors", "podmonitors"] {
        let name = format!("crd/{kind}.monitoring.coreos.com");
        server
            .run(&[
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                &name,
            ])
            .unwrap();
    }
    make_namespace(server);
    let mut all: Vec<(String, String)> = Vec::new();
    for variant in VARIANTS {
        all.push((format!("k8s/{}", variant.folder), kustomize(variant.folder)));
        all.push((
            format!("the chart as {}", variant.folder),
            helm(variant.chart),
        ));
    }
    let components = ["namespace-labels", "kubelet", "kubernetes-events"];
    all.push((components.join(" and "), kustomize_with(&components)));
    let secrets = std::fs::read_to_string(root().join("k8s/secrets.example.yaml")).unwrap();
    all.push(("secrets.example.yaml".to_owned(), secrets));
    for (what, manifests) in all {
        for more in [&["--dry-run=server"][..], &[]] {
            let said = apply(server, &manifests, more);
            // `--force-conflicts` is not given: no other manager may own what we set.
            let said = said.unwrap_or_else(|error| panic!("{what} {more:?}:\n{error}"));
            assert_eq!(said, "", "{what} {more:?}");
        }
        assert!(!objects(&manifests).is_empty(), "{what}");
        remove(server, &manifests);
    }
}

#[test]
fn agents_come_to_every_node_whatever_its_taints() {
    let (server, _guard) = cluster();
    make_namespace(server);
    server.add_node("plain").unwrap();
    server.add_node("tainted").unwrap();
    server.add_node("plain").unwrap();
    for taint in ["kept=for-others:NoSchedule", "going=away:NoExecute"] {
        server.run(&["taint", "node", "tainted", taint]).unwrap();
    }
    let manifests = kustomize("base");
    apply(server, &manifests, &[]).unwrap();
    let nodes = || {
        let list = server.run(&[
            "-n",
            "tailrace",
            "get",
            "pods",
            "-l",
            "app.kubernetes.io/name=tailrace-agent",
            "-o",
            r#"jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}"#,
        ]);
        let list = list.unwrap();
        let mut nodes: Vec<String> = list.lines().map(str::to_owned).collect();
        nodes.sort();
        nodes
    };
    wait::until(Duration::from_secs(60), "an agent on each node", || {
        (nodes() == ["plain", "tainted"]).then_some(())
    })
    .unwrap();
    // Without a kubelet nobody tells that a pod has ended.
    remove(server, &manifests);
    server
        .run(&["delete", "node", "plain", "tainted", "--wait=false"])
        .unwrap();
    let all = ["delete", "pods", "--all", "--force", "--grace-period=0"];
    server
        .run(&[&["-n", "tailrace"], &all[..]].concat())
        .unwrap();
}
