//! The store is away for long: the buffer fills, agents pause, files rotate; then all arrives.

use std::time::Duration;

use bench::{
    container_log::{Iostream, Rotation},
    kubelet::Container,
    marker,
    null_store::{Claim, NullStore, Options},
    usage::Usage,
};
use tests::{aggregator::Aggregator, control::ensure_faults, proxy::Proxy, scene::Scene, wait};

use super::agent_setup;

/// Two minutes of a node that writes 2,000 lines a second.
const LINES: u32 = 240_000;
/// Events between two rotations: what the kubelet keeps holds everything.
const ROTATE_EVERY: u32 = 20_000;

const LIMIT: Duration = Duration::from_secs(240);

fn write(container: &mut Container, from: u32, to: u32) {
    let mut line = Vec::new();
    for number in from..to {
        line.clear();
        line.extend_from_slice(b"{\"level\":\"info\",\"msg\":\"order ");
        marker::append(&mut line, number);
        line.extend_from_slice(b" is on its way to the customer\",\"took\":12}");
        container.log.line(Iostream::Stdout, &line).unwrap();
        if (number + 1) % ROTATE_EVERY == 0 {
            container.log.rotate().unwrap();
        }
    }
    container.log.flush().unwrap();
}

#[test]
fn all_arrives_after_the_store_was_away_for_long() {
    ensure_faults().unwrap();
    let store = NullStore::start(Options {
        claim: Claim::OpenSearch,
        markers: Some(LINES),
    })
    .unwrap();
    let proxy = Proxy::start(store.port()).unwrap();
    let mut scene = Scene::at("outage", &proxy.url()).unwrap();
    let setup = scene
        .aggregator_setup()
        .output(
            "buffer",
            "{max_bytes: 64MiB, segment_bytes: 256KiB, reserve: 2MiB}",
        )
        .output("batch", "{max_bytes: 256KiB}")
        .elasticsearch("compression", "none")
        .with("receive", "{memory: 64MiB}");
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let setup = agent_setup(&scene, &aggregator.url());
    let agent = tests::agent::Agent::start(&scene.dir("agent"), &setup).unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    container.log.set_rotation(Rotation::Kubelet, 20);
    container.log.set_bulk(64 << 10);
    write(&mut container, 0, 1_000);
    wait::until_ok(LIMIT, "the first lines", || {
        let arrived = store.arrived();
        anyhow::ensure!(arrived == Some(1_000), "{arrived:?}");
        Ok(())
    })
    .unwrap();

    proxy.refuse();
    write(&mut container, 1_000, LINES);
    let metric = |name| anyhow::Ok(agent.metrics()?.count(name, &[]));
    let mut lag = 0;
    wait::until_ok(LIMIT, "the agent to pause", || {
        lag = metric("agent_lag_bytes")?;
        let status = aggregator.metrics()?;
        let used = status.count("buffer_disk_bytes", &[]);
        anyhow::ensure!(used <= 64 << 20, "the buffer takes {used} bytes");
        // Full: what is left of the room is kept for documents that are mended.
        let refused = status.count("receive_batches_total", &[("result", "busy")]);
        anyhow::ensure!(refused > 2 && lag > 1 << 20, "{refused} refused, lag {lag}");
        Ok(())
    })
    .unwrap();
    // The story is told while it happens.
    assert!(agent.metrics().unwrap().sum("agent_lag_seconds", &[]) > 0.5);
    let status = aggregator.metrics().unwrap();
    assert!(status.count("buffer_undelivered_bytes", &[]) > 1 << 20);

    proxy.accept().unwrap();
    wait::until_ok(LIMIT, "everything", || {
        let arrived = store.arrived();
        anyhow::ensure!(arrived == Some(u64::from(LINES)), "{arrived:?} of {LINES}");
        let in_flight = aggregator.metrics()?.count("store_in_flight", &[]);
        anyhow::ensure!(in_flight <= 8, "{in_flight} requests at once");
        Ok(())
    })
    .unwrap();
    let balance = store.balance().unwrap();
    assert_eq!((balance.lost, balance.doubled), (0, 0), "{balance:?}");
    assert_eq!(metric("tail_bytes_lost_total").unwrap(), 0);
    for (name, pid, limit) in [
        ("agent", agent.pid(), 100 << 20),
        ("aggregator", aggregator.pid(), 400 << 20),
    ] {
        let peak = Usage::of(pid).unwrap().peak_rss;
        assert!(peak < limit, "the {name} took {} MiB", peak >> 20);
    }
}
