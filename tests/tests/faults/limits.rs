//! What the system does not give: inotify instances and watches, file descriptors, memory.

use tests::{agent::Agent, aggregator::Aggregator, writer::Writer};

use super::{LIMIT, PACE, agent_setup, containers, scene, small_buffer};

/// Runs a program in a user namespace of its own, with limits that hold there alone.
fn with_user_limits(limits: &str) -> String {
    format!(r#"exec unshare -Ur sh -c '{limits}; exec "$0" "$@"' "$0" "$@""#)
}

fn check(name: &str, shell: &str, polls: bool) {
    let mut scene = scene(name);
    let setup = small_buffer(scene.aggregator_setup());
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let mut agent =
        Agent::prepare(&scene.dir("agent"), &agent_setup(&scene, &aggregator.url())).unwrap();
    agent.set_shell(shell);
    agent.start_again().unwrap();
    let writer = Writer::start(containers(&mut scene), PACE);
    let index = scene.data_stream();
    scene
        .documents
        .wait_count(&index, "*", 1_000, LIMIT)
        .unwrap();
    let containers = writer.finish().unwrap();
    let verdict = scene.wait_verdict(&containers, LIMIT).unwrap();
    verdict.assert_clean();
    let metrics = agent.metrics().unwrap();
    assert_eq!(metrics.count("tail_polling", &[]) > 0, polls, "polling");
}

/// PEERS 60: no instance is left, and everything is collected all the same; the gauge tells.
#[test]
fn every_line_arrives_once_without_any_inotify_instance() {
    let none = with_user_limits("echo 0 > /proc/sys/user/max_inotify_instances");
    check("noinotify", &none, true);
}

#[test]
fn every_line_arrives_once_with_too_few_inotify_watches() {
    let few = with_user_limits("echo 2 > /proc/sys/user/max_inotify_watches");
    check("fewwatches", &few, true);
}

/// As many descriptors as the programs need for themselves, and a few for files.
#[test]
fn every_line_arrives_once_with_few_file_descriptors() {
    check("fewfiles", "ulimit -n 24", false);
}
