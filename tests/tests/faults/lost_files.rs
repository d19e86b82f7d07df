//! Files that are deleted before anybody read them: the one loss there is, and it is told.

use bench::container_log::Iostream;
use tests::{agent::Agent, wait};

use super::{LIMIT, scene, start};

/// The aggregators are away, the agent stops, files go: the loss is counted in bytes and named by
/// pod, in metrics, log and `status`.
#[test]
fn files_deleted_unread_are_counted_in_bytes_and_named_by_pod() {
    let mut scene = scene("lostfiles");
    let (mut agent, mut aggregator) = start(&scene);
    let mut container = scene.kubelet.container("shop", "victim-0", "c").unwrap();
    for n in 0..50 {
        let line = format!("line {n} that arrives");
        container
            .log
            .line(Iostream::Stdout, line.as_bytes())
            .unwrap();
    }
    let containers = [container];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    let metric = |agent: &Agent, name| Ok::<_, anyhow::Error>(agent.metrics()?.count(name, &[]));
    wait::until_ok(LIMIT, "the acknowledgement", || {
        let lag = metric(&agent, "agent_lag_bytes")?;
        anyhow::ensure!(lag == 0, "{lag} bytes behind");
        Ok(())
    })
    .unwrap();
    aggregator.kill().unwrap();
    let [mut container] = containers;
    let read = container.log.size();
    for n in 0..1_000 {
        let line = format!("line {n} that nobody takes");
        container
            .log
            .line(Iostream::Stdout, line.as_bytes())
            .unwrap();
    }
    let unread = container.log.size() - read;
    wait::until_ok(LIMIT, "the agent to see what it cannot send", || {
        let lag = metric(&agent, "agent_lag_bytes")?;
        anyhow::ensure!(lag == unread, "{lag} bytes behind");
        Ok(())
    })
    .unwrap();
    agent.terminate(LIMIT).unwrap();
    std::fs::remove_file(&container.link).unwrap();
    std::fs::remove_file(container.log.path()).unwrap();
    aggregator.start_again().unwrap();
    agent.start_again().unwrap();
    wait::until_ok(LIMIT, "the loss to be counted", || {
        let label = [("namespace", "shop")];
        let lost = agent.metrics()?.count("tail_bytes_lost_total", &label);
        anyhow::ensure!(lost == unread, "{lost} of {unread} bytes");
        Ok(())
    })
    .unwrap();
    assert!(told(&agent), "{}", agent.log_text());
    // The store knows, too: the stream's end says how much nobody has read.
    let ends = "logs-tailrace.audit-*";
    let query = format!("{unread}");
    let said = |hit: &serde_json::Value| {
        let text = hit.to_string();
        text.contains("victim-0") && text.contains(&query)
    };
    wait::until_ok(LIMIT, "the stream's end in the store", || {
        anyhow::ensure!(scene.documents.all(ends)?.iter().any(said), "not there");
        Ok(())
    })
    .unwrap();
}

/// The log names the pod and says that bytes are lost.
fn told(agent: &Agent) -> bool {
    agent
        .log_text()
        .lines()
        .any(|line| line.contains("victim-0") && line.contains("lost"))
}
