//! The programs' own word about themselves: metrics that add up, status, audit, the buffer's
//! inspection.

use std::{process::Output, time::Duration};

use tests::{scene::Scene, server::Server, wait, writer::write_event};

const LIMIT: Duration = Duration::from_secs(45);

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Issue 3, item 7: read = indexed + dropped + dead-lettered + in flight, per namespace.
#[test]
fn the_books_balance_per_namespace() {
    let mut scene = Scene::new("books", Server::shared().unwrap()).unwrap();
    let mut containers = Vec::new();
    for (idx, namespace) in ["shop", "shop", "billing"].into_iter().enumerate() {
        let mut made = scene
            .kubelet
            .container(namespace, &format!("pod-{idx}"), "c")
            .unwrap();
        for n in 0..200 {
            write_event(&mut made, n).unwrap();
        }
        containers.push(made);
    }
    let aggregator = scene.start_aggregator().unwrap();
    let agent = scene.start_agent(&aggregator.url()).unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    for namespace in ["shop", "billing"] {
        let label = [("namespace", namespace)];
        let of_namespace = containers.iter().filter(|it| it.namespace == namespace);
        let (bytes, events) = of_namespace.fold((0, 0), |(bytes, events), it| {
            (
                bytes + it.log.size(),
                events + it.log.written().len() as u64,
            )
        });
        wait::until_ok(LIMIT, "the books to balance", || {
            let (agent, aggregator) = (agent.metrics()?, aggregator.metrics()?);
            let read = agent.count("tail_bytes_read_total", &label);
            let acknowledged = agent.count("tail_bytes_acknowledged_total", &label);
            let lost = agent.count("tail_bytes_lost_total", &label);
            anyhow::ensure!(
                (read, acknowledged, lost) == (bytes, bytes, 0),
                "{bytes} written, {read} read, {acknowledged} acknowledged, {lost} lost"
            );
            let indexed = aggregator.count("store_docs_indexed_total", &label);
            anyhow::ensure!(indexed == events, "{events} events, {indexed} indexed");
            Ok(())
        })
        .unwrap();
    }
    let output = [("output", "main")];
    let figures = aggregator.metrics().unwrap();
    for name in [
        "buffer_fsyncs_total",
        "buffer_fsync_seconds_count",
        "buffer_appended_entries_total",
        "buffer_appended_bytes_total",
        "buffer_max_bytes",
        "buffer_disk_bytes",
    ] {
        assert!(figures.count(name, &output) > 0, "{name}");
    }
    wait::until_ok(LIMIT, "an empty buffer", || {
        let left = aggregator.metrics()?.count("buffer_entries", &output);
        anyhow::ensure!(left == 0, "{left} entries");
        Ok(())
    })
    .unwrap();
}

/// DELIVERY rule 24: the store alone proves that streams have no gap and no overlap.
#[test]
fn audit_finds_no_gap_and_then_the_one_that_was_made() {
    let mut scene = Scene::new("audit", Server::shared().unwrap()).unwrap();
    let mut container = scene.kubelet.container("shop", "audited-0", "c").unwrap();
    for n in 0..150 {
        write_event(&mut container, n).unwrap();
        if n % 70 == 69 {
            container.log.rotate().unwrap();
        }
    }
    let aggregator = scene.start_aggregator().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let containers = [container];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    let config = aggregator.config_path().display().to_string();
    let arguments = ["audit", "--config", &config, "--pod", "audited-0"];
    let audit = || aggregator.command(&arguments).unwrap();
    let clean = audit();
    assert!(clean.status.success(), "{}", said(&clean));

    // Take one document away behind everybody's back.
    let hits = scene.documents.all(&scene.data_stream()).unwrap();
    let victim = hits
        .iter()
        .find(|hit| tests::verdict::text(&hit["_source"], "message").contains("line 20 of"))
        .unwrap();
    let path = format!(
        "/{}/_doc/{}",
        victim["_index"].as_str().unwrap(),
        victim["_id"].as_str().unwrap()
    );
    Server::shared()
        .unwrap()
        .http()
        .json("DELETE", &path, &serde_json::Value::Null)
        .unwrap();
    scene.documents.refresh(&scene.data_stream()).unwrap();
    let torn = audit();
    assert!(!torn.status.success(), "{}", said(&torn));
    assert!(said(&torn).contains("audited-0"), "{}", said(&torn));
}

/// `status`, `--check` and the buffer's commands work for people on a live aggregator.
#[test]
fn commands_for_people_answer() {
    let mut scene = Scene::new("commands", Server::shared().unwrap()).unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    write_event(&mut container, 0).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let agent = scene.start_agent(&aggregator.url()).unwrap();
    let containers = [container];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    let config = aggregator.config_path().display().to_string();
    let address = format!("127.0.0.1:{}", aggregator.port());
    let status = aggregator
        .command(&["status", "--address", &address])
        .unwrap();
    assert!(
        status.status.success() && said(&status).contains("main"),
        "{}",
        said(&status)
    );
    let check = aggregator
        .command(&["--check", "--config", &config])
        .unwrap();
    assert!(check.status.success(), "{}", said(&check));
    let buffer = aggregator
        .data_dir()
        .join("outputs/main/main")
        .display()
        .to_string();
    for command in ["ls", "verify"] {
        let output = aggregator.command(&["buffer", command, &buffer]).unwrap();
        assert!(output.status.success(), "{command}: {}", said(&output));
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(aggregator.http().get(path).unwrap().status, 200, "{path}");
        assert_eq!(agent.http().get(path).unwrap().status, 200, "{path}");
    }
    let status = agent.http().get_json("/status").unwrap();
    assert!(status.to_string().contains("pod-0"), "{status:#}");
}
