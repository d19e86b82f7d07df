//! The API server that the tests of this binary share, for one test at a time: all of them install
//! into the namespace that the manifests name.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tests::kube::KubeApi;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The server, and the right to use its namespace `tailrace` until the guard goes.
pub(crate) fn cluster() -> (&'static KubeApi, MutexGuard<'static, ()>) {
    // A test that failed leaves objects behind, which no other test minds.
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let server = KubeApi::shared().unwrap_or_else(|error| panic!("{error:#}"));
    (server, guard)
}

/// Applies manifests on the server's side, and returns what kubectl said besides (warnings).
pub(crate) fn apply(server: &KubeApi, manifests: &str, more: &[&str]) -> Result<String, String> {
    let args = [&["apply", "--server-side"][..], more].concat();
    let output = server.run_on(manifests, &args).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(said),
        false => Err(said),
    }
}

/// Makes the namespace `tailrace`, unless it is there.
pub(crate) fn make_namespace(server: &KubeApi) {
    let manifest = "apiVersion: v1\nkind: Namespace\nmetadata: {name: tailrace}\n";
    apply(server, manifest, &[]).unwrap();
}

/// Removes the objects of some manifests, but not the namespace: that takes long.
pub(crate) fn remove(server: &KubeApi, manifests: &str) {
    let without: Vec<&str> = manifests
        .split("\n---")
        .filter(|text| {
            !text.contains("\nkind: Namespace\n") && !text.starts_with("kind: Namespace")
        })
        .collect();
    let args = ["delete", "--ignore-not-found", "--wait=false"];
    let output = server.run_on(&without.join("\n---"), &args).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs kubectl with a token and nothing else; the error is what the server said.
pub(crate) fn ask(server: &KubeApi, token: &str, args: &[&str]) -> Result<(), String> {
    let output = server
        .kubectl()
        .env_remove("KUBECONFIG")
        .args(["--server", &server.url(), "--token", token])
        .arg("--certificate-authority")
        .arg(server.ca_file())
        .args(args)
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
