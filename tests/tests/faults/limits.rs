//! What the system does not give: inotify instances and watches, file descriptors, memory.

use std::{fs, path::PathBuf};

use tests::{agent::Agent, aggregator::Aggregator, writer::Writer};

use super::{DENSE, LIMIT, PACE, agent_setup, containers, scene, small_buffer};

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

/// A memory cgroup of our own; removed when dropped, by when its processes must have ended.
struct Cgroup(PathBuf);

impl Cgroup {
    /// `None` where none can be made.
    fn with_limit(name: &str, bytes: u64) -> Option<Self> {
        let roots = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        roots.into_iter().find_map(|(root, limit)| {
            let dir = PathBuf::from(root).join(format!("tailrace-{}-{name}", std::process::id()));
            fs::create_dir(&dir).ok()?;
            let group = Self(dir);
            let is_limited = fs::write(group.0.join(limit), bytes.to_string()).is_ok();
            is_limited.then_some(group)
        })
    }

    /// The line of shell that enters it.
    fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.0.display())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

/// Both programs within a limit that is not theirs to choose, with a backlog before them: nobody
/// is killed for memory, and all arrives.
#[test]
fn every_line_arrives_once_within_a_memory_limit() {
    let of_agent = Cgroup::with_limit("agent", 64 << 20);
    let of_aggregator = Cgroup::with_limit("aggregator", 256 << 20);
    let (Some(of_agent), Some(of_aggregator)) = (of_agent, of_aggregator) else {
        println!("skipped: no memory cgroup can be made here");
        return;
    };
    let mut scene = scene("memory");
    let setup = small_buffer(scene.aggregator_setup()).with("receive", "{memory: 64MiB}");
    let mut aggregator = Aggregator::prepare(&scene.dir("aggregator"), &setup).unwrap();
    aggregator.set_shell(&of_aggregator.enter());
    let mut agent =
        Agent::prepare(&scene.dir("agent"), &agent_setup(&scene, &aggregator.url())).unwrap();
    agent.set_shell(&of_agent.enter());
    let mut containers = containers(&mut scene);
    for n in 0..20_000 {
        for container in &mut containers {
            tests::writer::write_event(container, n).unwrap();
        }
    }
    aggregator.start_again().unwrap();
    agent.start_again().unwrap();
    let writer = Writer::start(containers, DENSE);
    let index = scene.data_stream();
    scene
        .documents
        .wait_count(&index, "*", 42_000, LIMIT)
        .unwrap();
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    assert!(agent.is_running() && aggregator.is_running());
}
