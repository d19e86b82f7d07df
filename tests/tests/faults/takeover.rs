//! Aggregators that die in the middle of events, and after the store has taken what they sent.

use tests::{agent::Agent, aggregator::Aggregator, wait, writer::Writer};

use super::{DENSE, LIMIT, agent_setup, arrive_more, containers, scene, small_buffer};

/// DESIGN, decision 3: three aggregators, one after the other dies in the middle of stack traces
/// and partial chains; no event is split, none is lost.
#[test]
fn no_event_is_split_when_aggregators_die_one_after_the_other() {
    let mut scene = scene("threeaggr");
    let setup = small_buffer(scene.aggregator_setup());
    let mut aggregators: Vec<Aggregator> = (0..3)
        .map(|idx| Aggregator::start(&scene.dir(&format!("aggregator-{idx}")), &setup).unwrap())
        .collect();
    let mut of_agent = agent_setup(&scene, &aggregators[0].url());
    of_agent
        .aggregators
        .extend(aggregators[1..].iter().map(|aggregator| aggregator.url()));
    let _agent = Agent::start(&scene.dir("agent"), &of_agent).unwrap();
    let writer = Writer::start(containers(&mut scene), DENSE);
    for (idx, point) in [
        (0, "receive.body"),
        (1, "receive.answer"),
        (2, "output.append"),
        (0, "buffer.sync.after"),
        (1, "store.post.after"),
    ] {
        let victim = &mut aggregators[idx];
        victim
            .faults()
            .set(&[&format!("{point} abort at=2")])
            .unwrap();
        victim.wait_gone(LIMIT).unwrap();
        victim.faults().clear().unwrap();
        victim.start_again().unwrap();
        arrive_more(&scene);
    }
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

/// The store has the bulk, the aggregator dies before it knows, and the data stream rolls over in
/// between: the ids alone would let every document in a second time (DELIVERY rule 20).
#[test]
fn what_the_store_took_before_the_aggregator_died_is_not_doubled_by_a_rollover() {
    let mut scene = scene("tookdied");
    let setup = small_buffer(scene.aggregator_setup()).elasticsearch("timeout", "3s");
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let _agent =
        Agent::start(&scene.dir("agent"), &agent_setup(&scene, &aggregator.url())).unwrap();
    let writer = Writer::start(containers(&mut scene), DENSE);
    let index = scene.data_stream();
    scene.documents.wait_count(&index, "*", 200, LIMIT).unwrap();
    for rolls_over in [false, true, true] {
        aggregator
            .faults()
            .set(&["store.post.after abort at=2"])
            .unwrap();
        aggregator.wait_gone(LIMIT).unwrap();
        aggregator.faults().clear().unwrap();
        if rolls_over {
            scene.documents.rollover(&index).unwrap();
        }
        aggregator.start_again().unwrap();
    }
    let containers = writer.finish().unwrap();
    // The second look of rule 20 may be due later.
    let verdict = wait::until_ok(LIMIT, "every line once", || {
        let verdict = scene.verdict(&containers)?;
        anyhow::ensure!(verdict.is_clean(), "{verdict}");
        Ok(verdict)
    });
    verdict.unwrap().assert_clean();
    // Known ids count as done.
    let metrics = aggregator.metrics().unwrap();
    assert!(metrics.has("store_docs_duplicate_total"));
    assert_eq!(metrics.count("store_docs_dead_lettered_total", &[]), 0);
}

/// SIGTERM under load drains and loses nothing; SIGKILL in the middle of that neither.
#[test]
fn every_line_arrives_once_when_sigkill_follows_sigterm() {
    let mut scene = scene("termkill");
    let setup = small_buffer(scene.aggregator_setup());
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let mut agent =
        Agent::start(&scene.dir("agent"), &agent_setup(&scene, &aggregator.url())).unwrap();
    let writer = Writer::start(containers(&mut scene), DENSE);
    let index = scene.data_stream();
    for wanted in [300, 900] {
        scene
            .documents
            .wait_count(&index, "*", wanted, LIMIT)
            .unwrap();
        agent.signal(rustix::process::Signal::TERM).unwrap();
        agent.kill().unwrap();
        aggregator.signal(rustix::process::Signal::TERM).unwrap();
        aggregator.kill().unwrap();
        aggregator.start_again().unwrap();
        agent.start_again().unwrap();
    }
    scene
        .documents
        .wait_count(&index, "*", 1_500, LIMIT)
        .unwrap();
    assert!(agent.terminate(LIMIT).unwrap().success());
    assert!(aggregator.terminate(LIMIT).unwrap().success());
    aggregator.start_again().unwrap();
    agent.start_again().unwrap();
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}
