//! How much an agent holds that knows the pods of a full node and has nothing to read.

use bench::usage::Usage;
use tests::{
    kube::{KubeApi, node::Namespace, node::PodSpec},
    scene::Scene,
    server::Server,
    wait,
};

use crate::stage::{LIMIT, stage};

/// As many as a kubelet takes by default.
const PODS: usize = 110;
/// What an agent may hold that has nothing to do.
const MOST: u64 = 16 << 20;

#[test]
fn an_agent_that_watches_a_full_node_stays_small() {
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "fullnode").unwrap();
    namespace.allow().unwrap();
    let scene = Scene::new("fullnode", Server::shared().unwrap()).unwrap();
    let specs: Vec<PodSpec> = (0..PODS)
        .map(|n| {
            let labels = format!("{{app: shop-{n}, app.kubernetes.io/name: shop-{n}, tier: web}}");
            PodSpec::new(&format!("shop-{n}"), &["app", "proxy"]).labels(&labels)
        })
        .collect();
    namespace.create(&specs).unwrap();
    let (_aggregator, agent) = stage(&scene, &namespace);
    wait::until_ok(LIMIT, "the pods to be known", || {
        let status = agent.http().get_json("/status")?;
        let known = status["kubernetes"]["pods"].as_u64().unwrap_or_default();
        anyhow::ensure!(known >= PODS as u64, "{known} pods are known");
        Ok(())
    })
    .unwrap();
    let rss = Usage::of(agent.pid()).unwrap().rss;
    assert!(rss <= MOST, "{rss} bytes");
    let now = ["--all", "--grace-period=0", "--force", "--wait=false"];
    namespace
        .run(&[&["delete", "pods"][..], &now].concat())
        .unwrap();
}
