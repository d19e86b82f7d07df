//! Wall clocks that step, under running programs and between two starts.

use std::time::Duration;

use tests::{wait, writer::Writer};

use super::{LIMIT, PACE, containers, scene, start};

#[test]
fn every_line_arrives_once_while_clocks_step() {
    let mut scene = scene("clocks");
    let (mut agent, mut aggregator) = start(&scene);
    let writer = Writer::start(containers(&mut scene), PACE);
    let index = scene.data_stream();
    let mut wanted = 0;
    for (of_agent, of_aggregator) in [
        ("-3600", "0"),
        ("86400", "-3600"),
        ("-31536000", "31536000"),
        ("0", "-60"),
    ] {
        let step = |seconds: &str| format!("clock step={seconds}");
        agent.faults().set(&[&step(of_agent)]).unwrap();
        aggregator.faults().set(&[&step(of_aggregator)]).unwrap();
        wanted += 300;
        scene
            .documents
            .wait_count(&index, "*", wanted, LIMIT)
            .unwrap();
        // The ages in the journal and in the buffer are of the other clock now.
        agent.kill().unwrap();
        aggregator.kill().unwrap();
        aggregator.start_again().unwrap();
        agent.start_again().unwrap();
        wanted += 300;
        scene
            .documents
            .wait_count(&index, "*", wanted, LIMIT)
            .unwrap();
    }
    let containers = writer.finish().unwrap();
    let verdict = wait::until_ok(LIMIT, "every line once", || {
        let verdict = scene.verdict(&containers)?;
        anyhow::ensure!(verdict.is_clean(), "{verdict}");
        Ok(verdict)
    });
    verdict.unwrap().assert_clean();
    let lag = agent.metrics().unwrap().sum("agent_lag_seconds", &[]);
    assert!(lag < Duration::from_secs(120).as_secs_f64(), "{lag}");
}
