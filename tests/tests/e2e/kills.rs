//! Kill -9 of either program in the middle, lost connections, fail-over, and an orderly stop.

use std::time::Duration;

use rustix::process::Signal;
use tests::{
    agent::Agent,
    aggregator::Aggregator,
    proxy::{Fault, Proxy},
    scene::Scene,
    server::Server,
    writer::{Pace, Writer},
};

const LIMIT: Duration = Duration::from_secs(45);
const PACE: Pace = Pace {
    events_per_second: 1_500,
    rotate_every: 400,
};

/// Calls `harm` each time another `step` documents have arrived, so many times.
fn harm_in_the_middle(scene: &Scene, step: u64, times: u64, mut harm: impl FnMut()) {
    for round in 1..=times {
        scene
            .documents
            .wait_count(&scene.data_stream(), "*", round * step, LIMIT)
            .unwrap();
        harm();
    }
}

#[test]
fn every_line_arrives_once_when_the_agent_is_killed_in_the_middle() {
    let mut scene = Scene::new("killagent", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let mut agent = scene.start_agent(&aggregator.url()).unwrap();
    let writer = Writer::start(scene.containers("pod").unwrap(), PACE);
    harm_in_the_middle(&scene, 1_000, 4, || {
        agent.kill().unwrap();
        agent.start_again().unwrap();
    });
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

#[test]
fn every_line_arrives_once_when_the_aggregator_is_killed_in_the_middle() {
    let mut scene = Scene::new("killaggr", Server::shared().unwrap()).unwrap();
    let mut aggregator = scene.start_aggregator().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let writer = Writer::start(scene.containers("pod").unwrap(), PACE);
    harm_in_the_middle(&scene, 1_000, 4, || {
        aggregator.kill().unwrap();
        aggregator.start_again().unwrap();
    });
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

/// `ack: store`: no buffer to come back to, so nothing may be acknowledged early.
#[test]
fn every_line_arrives_once_without_a_buffer_when_the_aggregator_is_killed() {
    let mut scene = Scene::new("ackstore", Server::shared().unwrap()).unwrap();
    let setup = scene.aggregator_setup().ack("store");
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let writer = Writer::start(scene.containers("pod").unwrap(), PACE);
    harm_in_the_middle(&scene, 1_000, 3, || {
        aggregator.kill().unwrap();
        std::fs::remove_dir_all(aggregator.data_dir()).ok();
        aggregator.start_again().unwrap();
    });
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

/// DESIGN, decision 3: any aggregator can take any chunk, and no event is split by a fail-over.
#[test]
fn every_line_arrives_once_when_one_of_two_aggregators_dies() {
    let mut scene = Scene::new("twoaggr", Server::shared().unwrap()).unwrap();
    let one = scene.start_aggregator().unwrap();
    let mut other = Aggregator::start(&scene.dir("other"), &scene.aggregator_setup()).unwrap();
    let mut setup = scene.agent_setup(&one.url());
    setup.aggregators.push(other.url());
    let _agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let writer = Writer::start(scene.containers("pod").unwrap(), PACE);
    harm_in_the_middle(&scene, 1_500, 1, || other.kill().unwrap());
    harm_in_the_middle(&scene, 4_000, 1, || ());
    let containers = writer.finish().unwrap();
    // What the dead one had acknowledged lies in its buffer: it delivers when it is back.
    other.start_again().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

/// DELIVERY rules 10 and 11: answers are lost, connections cut, aggregators silent.
#[test]
fn every_line_arrives_once_when_answers_to_the_agent_are_lost() {
    let mut scene = Scene::new("lostansw", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let proxy = Proxy::start(aggregator.port()).unwrap();
    let setup = scene.agent_setup(&proxy.url()).with("timeout", "2s");
    let _agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let writer = Writer::start(scene.containers("pod").unwrap(), PACE);
    // No chunk loses three connections in a row: that would make it suspect (rule 12), and its
    // records would come unparsed.
    let faults = [
        Fault::LoseAnswers {
            request: "/v1/batch".into(),
            times: 1,
        },
        Fault::CutRequests {
            bytes: 3_000,
            times: 1,
        },
        Fault::LoseAnswers {
            request: "/v1/batch".into(),
            times: 2,
        },
        Fault::Delay(Duration::from_millis(30)),
        Fault::Silent,
    ];
    let mut faults = faults.into_iter();
    harm_in_the_middle(&scene, 1_000, 5, || {
        let fault = faults.next().unwrap();
        let stays = !matches!(fault, Fault::Silent | Fault::Delay(_));
        proxy.set(fault);
        if !stays {
            let nothing = || None::<()>;
            tests::wait::until(Duration::from_secs(3), "a time-out to pass", nothing).ok();
            proxy.set(Fault::None);
        }
    });
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    assert!(proxy.lost_answers() >= 1);
}

/// SIGTERM: what was read is delivered before the programs end, and they end by themselves.
#[test]
fn both_programs_drain_on_sigterm() {
    let mut scene = Scene::new("drain", Server::shared().unwrap()).unwrap();
    let mut aggregator = scene.start_aggregator().unwrap();
    let mut agent = scene.start_agent(&aggregator.url()).unwrap();
    let writer = Writer::start(scene.containers("pod").unwrap(), PACE);
    scene
        .documents
        .wait_count(&scene.data_stream(), "*", 2_000, LIMIT)
        .unwrap();
    let status = agent.terminate(Duration::from_secs(25)).unwrap();
    assert!(status.success(), "the agent ended with {status}");
    let status = aggregator.terminate(Duration::from_secs(30)).unwrap();
    assert!(status.success(), "the aggregator ended with {status}");
    let containers = writer.finish().unwrap();
    // The buffer was emptied: what the agent's journal holds as acknowledged is in the store.
    aggregator.start_again().unwrap();
    agent.start_again().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

/// A stopped (not dead) aggregator: time-outs, then the same bytes again.
#[test]
fn every_line_arrives_once_when_an_aggregator_stands_still_for_a_while() {
    let mut scene = Scene::new("still", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let setup = scene.agent_setup(&aggregator.url()).with("timeout", "1s");
    let _agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let writer = Writer::start(scene.containers("pod").unwrap(), PACE);
    harm_in_the_middle(&scene, 1_000, 2, || {
        aggregator.signal(Signal::STOP).unwrap();
        tests::wait::until(
            Duration::from_secs(3),
            "the time-out to pass",
            || None::<()>,
        )
        .ok();
        aggregator.signal(Signal::CONT).unwrap();
    });
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}
