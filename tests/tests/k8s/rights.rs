//! What the service accounts may do: what each needs, and nothing else. The server decides.

use tests::kube::KubeApi;

use crate::{
    cluster::{apply, ask, cluster, make_namespace, remove},
    manifests::{kustomize, kustomize_with},
};

const AGENT: &str = "system:serviceaccount:tailrace:tailrace-agent";
const AGGREGATOR: &str = "system:serviceaccount:tailrace:tailrace-aggregator";

/// What neither may do, whatever was installed.
const NEVER: [&str; 21] = [
    "get secrets",
    "list secrets",
    "get configmaps",
    "list configmaps",
    "create pods",
    "delete pods",
    "patch pods",
    "update pods",
    "get pods --subresource=log",
    "get pods --subresource=exec",
    "create pods --subresource=exec",
    "create pods --subresource=eviction",
    "create pods --subresource=ephemeralcontainers",
    "list nodes",
    "patch nodes",
    "list daemonsets.apps",
    "list replicasets.apps",
    "create serviceaccounts --subresource=token",
    "list events",
    "create clusterrolebindings.rbac.authorization.k8s.io",
    "impersonate users",
];

/// Everything between these is a piece of its own.
const OPTIONAL: [&str; 6] = [
    "get namespaces",
    "list namespaces",
    "watch namespaces",
    "get nodes --subresource=pods",
    "get nodes --subresource=proxy",
    "get nodes",
];

fn may(server: &KubeApi, account: &str, right: &str) -> bool {
    let mut args = vec!["auth", "can-i", "--all-namespaces", "--as", account];
    args.extend(right.split(' '));
    let output = server.kubectl().args(&args).output().unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    match answer.trim() {
        "yes" => true,
        "no" => false,
        _ => panic!(
            "{args:?}: {answer}{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Whether an account may do something in one namespace.
fn may_in(server: &KubeApi, account: &str, namespace: &str, right: &str) -> bool {
    let mut args = vec!["auth", "can-i", "-n", namespace, "--as", account];
    args.extend(right.split(' '));
    let output = server.kubectl().args(&args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim() == "yes"
}

fn check(server: &KubeApi, account: &str, allowed: &[&str], refused: &[&str]) {
    for right in allowed {
        assert!(may(server, account, right), "{account} needs `{right}`");
    }
    for right in refused {
        assert!(!may(server, account, right), "{account} may `{right}`");
    }
}

/// What a role gives beyond what everybody has: lines of resources and verbs.
fn extra(server: &KubeApi, account: &str) -> Vec<String> {
    // What each account may ask about itself.
    const EVERYBODY: [&str; 4] = [
        "selfsubjectreviews.",
        "selfsubjectaccessreviews.",
        "selfsubjectrulesreviews.",
        "clustertrustbundles.",
    ];
    let list = server
        .run(&["auth", "can-i", "--list", "--no-headers", "--as", account])
        .unwrap();
    list.lines()
        // Lines that begin with `[` are of paths like /healthz and /api.
        .filter(|line| !line.trim_start().starts_with('['))
        .filter(|line| !EVERYBODY.iter().any(|name| line.starts_with(name)))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn the_agent_may_read_pods_and_the_aggregator_nothing() {
    let (server, _guard) = cluster();
    make_namespace(server);
    let manifests = kustomize("base");
    apply(server, &manifests, &[]).unwrap();
    check(
        server,
        AGENT,
        &["get pods", "list pods", "watch pods"],
        &NEVER,
    );
    check(server, AGENT, &[], &OPTIONAL);
    check(server, AGGREGATOR, &[], &NEVER);
    check(server, AGGREGATOR, &["get pods"][..0], &OPTIONAL);
    check(
        server,
        AGGREGATOR,
        &[],
        &["get pods", "list pods", "watch pods"],
    );
    assert_eq!(extra(server, AGENT), ["pods [] [] [get list watch]"]);
    assert_eq!(extra(server, AGGREGATOR), [""; 0]);

    // The same with the token that a pod would have.
    let token = server.token("tailrace", "tailrace-agent").unwrap();
    let ask = |args: &[&str]| ask(server, &token, args);
    ask(&["get", "pods", "-A", "--field-selector=spec.nodeName=node-1"]).unwrap();
    let error = ask(&["get", "secrets", "-n", "tailrace"]).unwrap_err();
    assert!(
        error.contains("Forbidden") && error.contains(AGENT),
        "{error}"
    );
    remove(server, &manifests);
}

#[test]
fn each_component_gives_its_right_alone() {
    let (server, _guard) = cluster();
    make_namespace(server);
    for (component, rights) in [
        (
            "namespace-labels",
            &["get namespaces", "list namespaces", "watch namespaces"][..],
        ),
        ("kubelet", &["get nodes --subresource=pods"]),
        ("kubelet-proxy", &["get nodes --subresource=proxy"]),
    ] {
        let manifests = kustomize_with(&[component]);
        apply(server, &manifests, &[]).unwrap();
        let refused: Vec<&str> = OPTIONAL
            .into_iter()
            .filter(|right| !rights.contains(right))
            .collect();
        check(server, AGENT, rights, &refused);
        check(server, AGGREGATOR, &[], &OPTIONAL);
        assert_eq!(extra(server, AGENT).len(), 2, "{component}");
        remove(server, &manifests);
    }
}

#[test]
fn events_bring_the_aggregator_two_rights_and_one_lease() {
    const LEASE: &str = "leases.coordination.k8s.io";
    let (server, _guard) = cluster();
    make_namespace(server);
    let manifests = kustomize_with(&["kubernetes-events"]);
    apply(server, &manifests, &[]).unwrap();
    let refused: Vec<&str> = NEVER
        .into_iter()
        .chain(OPTIONAL)
        .filter(|right| *right != "list events")
        .collect();
    check(
        server,
        AGGREGATOR,
        &["list events", "watch events"],
        &refused,
    );
    check(
        server,
        AGGREGATOR,
        &[],
        &[
            "create events",
            "patch events",
            "delete events",
            "list pods",
            "list leases.coordination.k8s.io",
            "create leases.coordination.k8s.io",
        ],
    );
    check(server, AGENT, &[], &["list events", "watch events"]);
    let own = format!("{LEASE}/tailrace-kubernetes-events");
    let other = format!("{LEASE}/kube-controller-manager");
    for (namespace, right, is_allowed) in [
        ("tailrace", format!("get {own}"), true),
        ("tailrace", format!("update {own}"), true),
        ("tailrace", format!("create {LEASE}"), true),
        ("tailrace", format!("delete {own}"), false),
        ("tailrace", format!("patch {own}"), false),
        ("tailrace", format!("watch {own}"), false),
        ("tailrace", format!("list {LEASE}"), false),
        ("tailrace", format!("get {other}"), false),
        ("tailrace", format!("update {other}"), false),
        ("kube-system", format!("get {own}"), false),
        ("kube-system", format!("update {other}"), false),
        ("kube-system", format!("create {LEASE}"), false),
    ] {
        assert_eq!(
            may_in(server, AGGREGATOR, namespace, &right),
            is_allowed,
            "{right} in {namespace}"
        );
    }
    remove(server, &manifests);
}
