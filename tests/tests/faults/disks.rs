//! Disks that fail and come back: full, read-only, broken, slow, and bytes that change on them.

use std::time::Duration;

use tests::{
    agent::Agent,
    aggregator::Aggregator,
    control::Control,
    proxy::Proxy,
    server::Server,
    wait,
    writer::{Writer, write_event},
};

use super::{DENSE, LIMIT, PACE, agent_setup, containers, scene, small_buffer, start};

/// Faults that end; nothing may be lost to them.
const BUFFER: &[&str] = &[
    "buffer.write error=ENOSPC in=.segment",
    "buffer.create.before error=ENOSPC",
    "buffer.write error=EROFS",
    "buffer.write error=EIO in=.segment every=2",
    "buffer.write tear in=.segment every=3",
    "buffer.sync.before error=EIO in=.segment times=3",
    "buffer.sync.after error=EIO in=.segment times=3",
    "buffer.sync_dir.before error=EIO",
    "buffer.remove.before error=EROFS",
    "buffer.sync.before delay=400ms in=.segment times=3",
    "buffer.read error=EIO in=.segment times=2",
    "buffer.read flip in=.segment times=1",
    "buffer.write error=EIO in=.marks",
];

const JOURNAL: &[&str] = &[
    "journal.append error=ENOSPC",
    "journal.append error=EROFS",
    "journal.append tear",
    "journal.append.after error=EIO times=2",
    "journal.append error=EIO every=2",
    "tail.read error=EIO every=3 times=6",
    "tail.open error=EMFILE times=20",
];

/// Puts each rule in force until it has struck some times, then ends it.
fn strike_each(faults: &Control, rules: &[&str]) {
    for rule in rules {
        let point = rule.split(' ').next().unwrap();
        let before = faults.count(point);
        faults.set(&[rule]).unwrap();
        faults
            .wait_struck(point, before, LIMIT)
            .unwrap_or_else(|error| panic!("{rule}: {error:#}"));
        // Long enough for retries to meet it again.
        wait::let_pass(Duration::from_millis(500));
        faults.clear().unwrap();
    }
}

#[test]
fn every_line_arrives_once_while_the_buffers_disk_fails() {
    let mut scene = scene("baddisk");
    let (agent, mut aggregator) = start(&scene);
    let writer = Writer::start(containers(&mut scene), PACE);
    strike_each(&aggregator.faults(), BUFFER);
    let containers = writer.finish().unwrap();
    // What could not be read was set aside: the next start reads it again.
    aggregator.kill().unwrap();
    aggregator.start_again().unwrap();
    let verdict = scene.wait_verdict(&containers, LIMIT).unwrap();
    verdict.assert_clean();
    assert_eq!(
        agent.metrics().unwrap().count("tail_bytes_lost_total", &[]),
        0
    );
}

#[test]
fn every_line_arrives_once_while_the_journals_disk_fails() {
    let mut scene = scene("badjournal");
    let (mut agent, _aggregator) = start(&scene);
    let writer = Writer::start(containers(&mut scene), PACE);
    strike_each(&agent.faults(), JOURNAL);
    agent.kill().unwrap();
    agent.start_again().unwrap();
    let containers = writer.finish().unwrap();
    let verdict = scene.wait_verdict(&containers, LIMIT).unwrap();
    verdict.assert_clean();
    assert_eq!(
        agent.metrics().unwrap().count("tail_bytes_lost_total", &[]),
        0
    );
}

/// A real file system without room: the store is away until the buffer's tmpfs is full, then all
/// arrives.
#[test]
fn every_line_arrives_once_over_a_full_tmpfs() {
    if !can_mount() {
        println!("skipped: no tmpfs can be mounted in a namespace of our own");
        return;
    }
    let mut scene = scene("tmpfs");
    let proxy = Proxy::start(Server::shared().unwrap().port()).unwrap();
    let mut setup = small_buffer(scene.aggregator_setup());
    setup.hosts = vec![proxy.url()];
    let mut aggregator = Aggregator::prepare(&scene.dir("aggregator"), &setup).unwrap();
    let data = aggregator.data_dir();
    std::fs::create_dir_all(&data).unwrap();
    // The configured limit is far above what the file system has.
    aggregator.set_shell(&format!(
        "exec unshare -Urm sh -c 'mount -t tmpfs -o size=4m tmpfs \"{}\" && exec \"$0\" \"$@\"' \"$0\" \"$@\"",
        data.display()
    ));
    aggregator.start_again().unwrap();
    let agent = Agent::start(&scene.dir("agent"), &agent_setup(&scene, &aggregator.url())).unwrap();
    let writer = Writer::start(containers(&mut scene), DENSE);
    let index = scene.data_stream();
    scene.documents.wait_count(&index, "*", 200, LIMIT).unwrap();
    proxy.refuse();
    wait::until_ok(LIMIT, "the disk to be full", || {
        let log = aggregator.log_text();
        anyhow::ensure!(log.contains("the disk is full"), "not told");
        Ok(())
    })
    .unwrap();
    // Long enough that retries meet it again.
    wait::let_pass(Duration::from_secs(2));
    proxy.accept().unwrap();
    let containers = writer.finish().unwrap();
    let verdict = scene.wait_verdict(&containers, LIMIT).unwrap();
    verdict.assert_clean();
    let lost = agent.metrics().unwrap().count("tail_bytes_lost_total", &[]);
    assert_eq!(lost, 0);
}

fn can_mount() -> bool {
    let mount = ["-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    let tried = std::process::Command::new("unshare").args(mount).status();
    tried.is_ok_and(|status| status.success())
}

/// Any byte that changes in the buffer costs the damaged entry at most, and the start tells it.
#[test]
fn a_byte_that_changes_in_the_buffer_costs_one_entry_and_is_told() {
    let mut scene = scene("flipped");
    let proxy = Proxy::start(Server::shared().unwrap().port()).unwrap();
    let mut setup = small_buffer(scene.aggregator_setup());
    setup.hosts = vec![proxy.url()];
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let setup = agent_setup(&scene, &aggregator.url());
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    // Nothing leaves the buffer for now.
    proxy.refuse();
    let faults = aggregator.faults();
    faults
        .set(&["buffer.write flip in=.segment at=4 times=1"])
        .unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    const ROUNDS: u32 = 8;
    for round in 0..ROUNDS {
        for n in 0..10 {
            write_event(&mut container, round * 20 + n).unwrap();
        }
        wait::until_ok(LIMIT, "the acknowledgement", || {
            let acknowledged = agent.metrics()?.count("tail_bytes_acknowledged_total", &[]);
            let written = container.log.size();
            anyhow::ensure!(acknowledged == written, "{acknowledged} of {written} bytes");
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(faults.count("buffer.write"), 1);
    aggregator.kill().unwrap();
    faults.clear().unwrap();
    proxy.accept().unwrap();
    aggregator.start_again().unwrap();
    let containers = [container];
    let written = containers[0].log.written().len();
    let index = scene.data_stream();
    let least = written as u64 - 10;
    scene
        .documents
        .wait_count(&index, "*", least, LIMIT)
        .unwrap();
    wait::until_ok(LIMIT, "the buffer to be empty", || {
        let left = aggregator.metrics()?.count("buffer_entries", &[]);
        anyhow::ensure!(left == 0, "{left} entries are left");
        Ok(())
    })
    .unwrap();
    let verdict = scene.verdict(&containers).unwrap();
    let others = [&verdict.doubled, &verdict.wrong, &verdict.strangers];
    assert!(others.iter().all(|list| list.is_empty()), "{verdict}");
    // One round at most was in that entry.
    assert!((1..=10).contains(&verdict.lost.len()), "{verdict}");
    assert!(aggregator.log_text().contains("damaged"), "not told");
}
