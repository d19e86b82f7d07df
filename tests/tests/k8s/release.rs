//! A release by Helm on a real server: what an upgrade restarts, what a rollback brings back, and
//! what stays when the release goes.

use std::time::Duration;

use tests::{kube::KubeApi, tools, wait};

use crate::{
    cluster::{cluster, make_namespace},
    manifests::root,
};

/// How long a controller may take, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn helm(server: &KubeApi, args: &[&str]) {
    let output = std::process::Command::new(tools::find("helm").unwrap())
        .args(["-n", "tailrace"])
        .args(args)
        .env("KUBECONFIG", server.kubeconfig())
        .env("HOME", server.home())
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "helm {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A field of an object.
fn get(server: &KubeApi, object: &str, path: &str) -> String {
    let output = format!("jsonpath={{{path}}}");
    server
        .run(&["-n", "tailrace", "get", object, "-o", &output])
        .unwrap()
}

/// What decides whether the pods of both programs restart.
fn templates(server: &KubeApi) -> [String; 2] {
    [
        "daemonset/tailrace-agent",
        "statefulset/tailrace-aggregator",
    ]
    .map(|object| get(server, object, ".spec.template"))
}

#[test]
fn upgrades_restart_what_they_must_and_no_buffer_goes_with_a_release() {
    let (server, _guard) = cluster();
    make_namespace(server);
    helm(server, &["install", "tailrace", "k8s/chart"]);
    let installed = templates(server);
    let claims = || {
        let list = server.run(&["-n", "tailrace", "get", "pvc", "-o", "name"]);
        list.unwrap().lines().count()
    };
    wait::until(SOON, "a claim for each aggregator", || {
        (claims() == 2).then_some(())
    })
    .unwrap();

    // Rules are loaded again by the running programs: nothing restarts.
    let rules = r#"aggregator.rules={"shop":"rules: []\n"}"#;
    helm(
        server,
        &["upgrade", "tailrace", "k8s/chart", "--set-json", rules],
    );
    assert_eq!(templates(server), installed);
    let text = get(server, "configmap/tailrace-rules", r".data.shop\.yaml");
    assert_eq!(text.trim(), "rules: []");

    // A configuration is read at the start: its program restarts, and the other one does not.
    let level = "agent.config.log.level=debug";
    helm(
        server,
        &["upgrade", "tailrace", "k8s/chart", "--set", level],
    );
    let upgraded = templates(server);
    assert_ne!(upgraded[0], installed[0]);
    assert_eq!(upgraded[1], installed[1]);

    helm(server, &["rollback", "tailrace", "1"]);
    assert_eq!(templates(server), installed);

    helm(server, &["uninstall", "tailrace", "--wait"]);
    assert_eq!(claims(), 2, "claims hold what was not delivered");
    server
        .run(&["-n", "tailrace", "delete", "pvc", "--all", "--wait=false"])
        .unwrap();
}
