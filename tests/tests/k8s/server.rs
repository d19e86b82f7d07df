//! The rig's API server itself: data over restarts, tokens that end, versions that are forgotten.

use std::time::Duration;

use tests::{kube::KubeApi, wait};

use crate::cluster::ask;

#[test]
fn it_keeps_data_and_port_over_a_kill_and_a_stop() {
    let mut server = KubeApi::start().unwrap();
    let (port, ca) = (server.port(), std::fs::read(server.ca_file()).unwrap());
    server
        .run(&["create", "configmap", "kept", "--from-literal=n=1"])
        .unwrap();
    let kept = ["get", "configmap", "kept", "-o", "jsonpath={.data.n}"];
    server.kill().unwrap();
    assert!(server.run(&kept).is_err());
    server.start_again().unwrap();
    assert_eq!(server.run(&kept).unwrap(), "1");
    server.stop().unwrap();
    assert!(server.run(&kept).is_err());
    server.start_again().unwrap();
    assert_eq!(server.run(&kept).unwrap(), "1");
    assert_eq!(server.port(), port);
    assert_eq!(std::fs::read(server.ca_file()).unwrap(), ca);

    // A token that ends soon: taken, then refused. Nobody has rights: forbidden is who is known.
    let token = server
        .token_for("default", "default", Duration::from_secs(8))
        .unwrap();
    let answer = || ask(&server, &token, &["get", "pods"]).unwrap_err();
    assert!(answer().contains("Forbidden"), "{}", answer());
    wait::until(Duration::from_secs(60), "the end of a token", || {
        answer().contains("Unauthorized").then_some(())
    })
    .unwrap();

    // Versions before a restart are gone for a watch.
    let version = server
        .run(&[
            "get",
            "configmap",
            "kept",
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ])
        .unwrap();
    server.run(&["label", "configmap", "kept", "a=b"]).unwrap();
    server.compact().unwrap();
    server.kill().unwrap();
    server.start_again().unwrap();
    let path = format!("/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion={version}");
    let said = server.run(&["get", "--raw", &path]).unwrap();
    assert!(said.contains(r#""code":410"#), "{said}");
}
