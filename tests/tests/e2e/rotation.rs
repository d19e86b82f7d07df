//! Rotation: every line once, whatever the kubelet does with the files.

use std::time::Duration;

use bench::container_log::{Iostream, Rotation, Written};
use tests::{
    scene::Scene,
    server::Server,
    wait,
    writer::{Pace, Writer, write_event},
};

const LIMIT: Duration = Duration::from_secs(45);

/// DELIVERY rules 2 and 3: files are renamed and compressed under the reader.
#[test]
fn lines_arrive_once_while_files_are_renamed_and_compressed() {
    let mut scene = Scene::new("rotate", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let mut containers = Vec::new();
    for idx in 0..4 {
        let mut made = scene
            .kubelet
            .container("shop", &format!("pod-{idx}"), "c")
            .unwrap();
        made.log.set_rotation(Rotation::Kubelet, 50);
        containers.push(made);
    }
    let pace = Pace {
        events_per_second: 1_500,
        rotate_every: 150,
    };
    let writer = Writer::start(containers, pace);
    let index = scene.data_stream();
    scene
        .documents
        .wait_count(&index, "*", 6_000, LIMIT)
        .unwrap();
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    let rotations: usize = containers.iter().map(|it| it.log.sizes().len() - 1).sum();
    assert!(rotations >= 8, "only {rotations}");
}

/// Several rotations while the agent was down, the kubelet's `.gz` of them too (PEERS 12, 19, 21).
#[test]
fn rotations_while_the_agent_was_down_are_read_in_order_from_the_gz() {
    let mut scene = Scene::new("down", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    for n in 0..200 {
        write_event(&mut container, n).unwrap();
    }
    let mut agent = scene.start_agent(&aggregator.url()).unwrap();
    let mut containers = [container];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    agent.kill().unwrap();
    for n in 200..900 {
        write_event(&mut containers[0], n).unwrap();
        if n % 200 == 150 {
            containers[0].log.rotate().unwrap();
        }
    }
    let rotated = containers[0].log.rotated().unwrap();
    let n_gz = rotated
        .iter()
        .filter(|it| it.extension().is_some_and(|it| it == "gz"))
        .count();
    assert!(n_gz >= 2, "{rotated:?}");
    agent.start_again().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();

    // What was read is not read again: not after one more restart, not when it is compressed.
    agent.kill().unwrap();
    containers[0].log.rotate().unwrap();
    containers[0]
        .log
        .line(Iostream::Stdout, b"the last line")
        .unwrap();
    agent.start_again().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

/// PEERS 14 and 16: the copy is not a second stream, the truncated file is a new life.
#[test]
fn a_copied_and_truncated_file_arrives_once() {
    let mut scene = Scene::new("copytrunc", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    container.log.set_rotation(Rotation::Numbered, 9);
    let mut containers = [container];
    for round in 0..3u32 {
        for n in 0..200 {
            write_event(&mut containers[0], round * 1_000 + n).unwrap();
        }
        scene
            .wait_verdict(&containers, LIMIT)
            .unwrap()
            .assert_clean();
        containers[0].log.copy_truncate().unwrap();
    }
    for n in 0..50 {
        write_event(&mut containers[0], 9_000 + n).unwrap();
    }
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

/// DELIVERY rule 3: an event that goes on in the next file is one record with parts (rule 24).
#[test]
fn a_stack_trace_over_a_rotation_is_one_record() {
    let mut scene = Scene::new("overrot", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    let log = &mut container.log;
    log.line(Iostream::Stdout, b"before").unwrap();
    let lines: [&[u8]; 4] = [
        b"java.lang.IllegalStateException: over the edge",
        b"\tat shop.A.a(A.java:1)",
        b"\tat shop.B.b(B.java:2)",
        b"\tat shop.C.c(C.java:3)",
    ];
    let offset = log.piece(Iostream::Stderr, lines[0], true).unwrap();
    log.piece(Iostream::Stderr, lines[1], true).unwrap();
    let length = log.size() - offset;
    log.expect(Written {
        file: 0,
        offset,
        length,
        iostream: Some(Iostream::Stderr),
        message: lines.join(&b'\n'),
        unparsed: None,
    });
    log.rotate().unwrap();
    log.piece(Iostream::Stderr, lines[2], true).unwrap();
    log.piece(Iostream::Stderr, lines[3], true).unwrap();
    log.line(Iostream::Stdout, b"behind").unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let containers = [container];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

/// A file that goes away while the agent has it open is still read to its end.
#[test]
fn a_deleted_file_that_is_open_is_read_to_its_end() {
    let mut scene = Scene::new("deleted", Server::shared().unwrap()).unwrap();
    let mut aggregator = scene.start_aggregator().unwrap();
    let agent = scene.start_agent(&aggregator.url()).unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    write_event(&mut container, 0).unwrap();
    let containers_before = [container];
    scene
        .wait_verdict(&containers_before, LIMIT)
        .unwrap()
        .assert_clean();
    let mut containers = containers_before;
    aggregator.kill().unwrap();
    for n in 1..500 {
        write_event(&mut containers[0], n).unwrap();
    }
    // The agent has the file open, for its lines are on their way to nobody.
    wait::until_ok(LIMIT, "the agent to notice that nobody is there", || {
        let failing = agent.metrics()?.count("agent_aggregators_failing", &[]);
        anyhow::ensure!(failing > 0, "no try has failed yet");
        Ok(())
    })
    .unwrap();
    std::fs::remove_file(&containers[0].link).unwrap();
    std::fs::remove_file(containers[0].log.path()).unwrap();
    aggregator.start_again().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}
