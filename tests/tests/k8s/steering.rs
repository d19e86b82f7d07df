//! Annotations that steer (`docs/annotations.md`), against a real API server: what they do to lines, live.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use bench::{
    container_log::{Iostream, Written},
    kubelet::Container,
};
use serde_json::Value;
use tests::{
    agent::Agent,
    aggregator::Aggregator,
    kube::{
        KubeApi,
        node::{Namespace, PodSpec},
    },
    scene::Scene,
    server::Server,
    verdict::{field, number, text},
    wait,
};

use crate::stage::{LIMIT, documents, lines, stage};

/// What `audit` says of a container's only file, once it finds no gap and accounts for every byte.
fn audit(aggregator: &Aggregator, container: &Container) -> Value {
    let config = aggregator.config_path().display().to_string();
    let of_pod = ["--namespace", &container.namespace, "--pod", &container.pod];
    let arguments = [&["audit", "--config", &config, "--json"][..], &of_pod].concat();
    let size = container.log.size();
    let report = wait::until_ok(LIMIT, "an audit that accounts for every byte", || {
        let output = aggregator.command(&arguments)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(output.status.success(), "{said}");
        let report: Value = serde_json::from_str(&said)?;
        let n_bytes = |key: &str| report[key].as_u64().unwrap_or_default();
        let known = n_bytes("bytes") + n_bytes("excluded");
        anyhow::ensure!(known == size, "{known} of {size} bytes: {said}");
        Ok(report)
    });
    report.unwrap()
}

/// The events that a container wrote and that no document stands for.
fn without_document<'a>(container: &'a Container, documents: &[Value]) -> Vec<&'a Written> {
    let offsets = documents.iter().map(|it| number(it, "log.offset"));
    let offsets: HashSet<u64> = offsets.map(Option::unwrap).collect();
    let written = container.log.written().iter();
    written.filter(|it| !offsets.contains(&it.offset)).collect()
}

#[test]
fn annotations_steer_while_lines_come() {
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "steer").unwrap();
    namespace.allow().unwrap();
    let mut scene = Scene::new("podsteer", Server::shared().unwrap()).unwrap();
    let rules = scene.dir("rules");
    std::fs::create_dir_all(&rules).unwrap();
    let rule = "name: orders\nmatch: {annotations: {tailrace.io/parser: orders}}\n\
        steps: [{pattern: 'order <order.id> <order.state>'}]\n";
    std::fs::write(rules.join("orders.yaml"), rule).unwrap();
    let setup = scene.aggregator_setup();
    let setup = setup.with("rules", &format!("['{}']", rules.display()));
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let setup = namespace.agent_setup(&scene, &aggregator.url()).unwrap();
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();

    let spec = PodSpec::new("shop", &["web", "sidecar"])
        .annotations("{tailrace.io/exclude.sidecar: 'true', fluentbit.io/exclude-web: 'false'}");
    let mut made = namespace.start(&mut scene, &spec).unwrap();
    let mut sidecar = made.pop().unwrap();
    let mut web = made.pop().unwrap();
    lines(&mut sidecar, "noise", 500);
    lines(&mut web, "order 1 plain", 1);
    let index = scene.data_stream();
    let before = documents(&scene, &index, "plain", 1);
    assert!(field(&before[0], "attributes").is_none(), "{}", before[0]);
    wait::until_ok(LIMIT, "the sidecar's lines to be passed over", || {
        let metrics = agent.metrics()?;
        let excluded = metrics.count("tail_bytes_excluded_total", &[("namespace", "steer")]);
        let size: u64 = sidecar.log.sizes().iter().sum();
        anyhow::ensure!(excluded == size, "{excluded} of {size} bytes");
        Ok(())
    })
    .unwrap();
    assert_eq!(scene.documents.count(&index, "noise").unwrap(), 0);

    // From now on: another rule, another data stream, and events of several lines.
    namespace
        .run(&[
            "annotate",
            "pod",
            "shop",
            "tailrace.io/parser=orders",
            "tailrace.io/dataset.web=shop.orders",
            "tailrace.io/multiline.web={start: '^order '}",
        ])
        .unwrap();
    let other = format!("logs-shop.orders-{}", scene.namespace());
    let mut n = 1;
    let found = wait::until_ok(LIMIT, "a line under the new annotations", || {
        n += 1;
        let event = format!("order {n} paid\ndetail of {n}");
        for line in event.lines() {
            web.log.line(Iostream::Stdout, line.as_bytes())?;
        }
        wait::let_pass(Duration::from_millis(500));
        let count = scene.documents.count(&other, "*")?;
        anyhow::ensure!(count > 0, "none in {other}");
        let found = scene.documents.all(&other)?;
        Ok(found[0]["_source"].clone())
    })
    .unwrap();
    assert_eq!(text(&found, "tailrace.rule"), "orders", "{found}");
    assert!(
        text(&found, "attributes.order.state").starts_with("paid"),
        "{found}"
    );
    assert!(text(&found, "message").contains("\ndetail of"), "{found}");

    // What cannot be done is told and ignored.
    let annotate = |text: &str| namespace.run(&["annotate", "--overwrite", "pod", "shop", text]);
    annotate("tailrace.io/sample.web=lots").unwrap();
    wait::until_ok(LIMIT, "the bad annotation to be told", || {
        lines(&mut web, "order 9 late", 1);
        wait::let_pass(Duration::from_millis(200));
        let metrics = agent.metrics()?;
        let refused = metrics.count("agent_kubernetes_annotations_refused_total", &[]);
        anyhow::ensure!(refused == 1, "{refused}");
        Ok(())
    })
    .unwrap();
}

/// DELIVERY rule 24: what was not carried on purpose is none that was lost.
#[test]
fn what_a_pod_excludes_for_a_while_is_no_gap() {
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "veil").unwrap();
    namespace.allow().unwrap();
    let mut scene = Scene::new("podveil", Server::shared().unwrap()).unwrap();
    let (aggregator, agent) = stage(&scene, &namespace);
    let spec = PodSpec::new("veiled", &["c"]);
    let mut container = namespace.start(&mut scene, &spec).unwrap().remove(0);
    let index = scene.data_stream();
    lines(&mut container, "before", 20);
    documents(&scene, &index, "message:before", 20);
    let annotate = |text: &str| namespace.run(&["annotate", "pod", "veiled", text]);
    let excluded = || {
        let metrics = agent.metrics()?;
        anyhow::Ok(metrics.count("tail_bytes_excluded_total", &[("namespace", "veil")]))
    };
    annotate("tailrace.io/exclude=true").unwrap();
    wait::until_ok(LIMIT, "the annotation to be known", || {
        lines(&mut container, "either", 1);
        wait::let_pass(Duration::from_millis(200));
        anyhow::ensure!(excluded()? > 0, "lines are still carried");
        Ok(())
    })
    .unwrap();
    lines(&mut container, "hidden", 500);
    annotate("tailrace.io/exclude-").unwrap();
    let mut n = 0;
    wait::until_ok(LIMIT, "a line that is carried again", || {
        n += 1;
        lines(&mut container, "again", 1);
        wait::let_pass(Duration::from_millis(200));
        anyhow::ensure!(
            scene.documents.count(&index, "message:again")? > 0,
            "none of {n}"
        );
        Ok(())
    })
    .unwrap();
    let report = audit(&aggregator, &container);
    assert_eq!(report["gaps"], serde_json::json!([]), "{report}");
    assert_eq!(report["excluded"], excluded().unwrap(), "{report}");
}

/// DELIVERY rule 24: which events are left out follows from a pod's wish, and none of them is lost.
#[test]
fn a_pod_keeps_a_share_of_its_events_and_all_that_warn() {
    const EVENTS: usize = 2_000;
    /// One of so many warns.
    const WARNS: usize = 50;
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "share").unwrap();
    namespace.allow().unwrap();
    let mut scene = Scene::new("podshare", Server::shared().unwrap()).unwrap();
    let (aggregator, _agent) = stage(&scene, &namespace);
    let spec = PodSpec::new("sampled", &["c"]).annotations("{tailrace.io/sample: '10%'}");
    let mut container = namespace.start(&mut scene, &spec).unwrap().remove(0);
    for n in 0..EVENTS {
        let said = match n % WARNS {
            0 => format!("WARN order {n} is late"),
            _ => format!("INFO order {n} is placed"),
        };
        let log = &mut container.log;
        log.line(Iostream::Stdout, said.as_bytes()).unwrap();
    }
    let index = scene.data_stream();
    let share_of = |it: &Value| text(it, "kubernetes.annotations.tailrace_io/sample").to_owned();
    let report = audit(&aggregator, &container);
    let found = documents(&scene, &index, "*", 1);
    assert!(found.iter().all(|it| share_of(it) == "0.1"));
    let n_with = |level: &str| {
        let levels = found.iter().map(|it| text(it, "log.level"));
        levels.filter(|it| *it == level).count()
    };
    assert_eq!(n_with("warn"), EVENTS / WARNS);
    // 196 of 1,960 are meant, and 13 is the deviation: eight of it are beyond chance.
    let n_info = n_with("info");
    assert!((90..=302).contains(&n_info), "{n_info}");
    let dropped = without_document(&container, &found);
    assert_eq!(found.len() + dropped.len(), EVENTS);
    assert!(dropped.iter().all(|it| it.message.starts_with(b"INFO")));
    let n_bytes: u64 = dropped.iter().map(|it| it.length).sum();
    assert_eq!(report["dropped"], n_bytes, "{report}");
    let metrics = aggregator.metrics().unwrap();
    let counted = metrics.count("records_dropped_total", &[("namespace", "share")]);
    // What an agent has to send again is counted again.
    assert!(counted >= dropped.len() as u64, "{counted}");

    // From now on all are kept.
    let annotation = "tailrace.io/sample=100%";
    namespace
        .run(&["annotate", "--overwrite", "pod", "sampled", annotation])
        .unwrap();
    wait::until_ok(LIMIT, "a line under the new annotation", || {
        lines(&mut container, "either", 1);
        wait::let_pass(Duration::from_millis(200));
        let found = documents(&scene, &index, "message:either", 0);
        anyhow::ensure!(found.iter().any(|it| share_of(it) == "1"), "none");
        Ok(())
    })
    .unwrap();
    lines(&mut container, "after", 300);
    let report = audit(&aggregator, &container);
    let after = documents(&scene, &index, "message:after", 300);
    assert_eq!(after.len(), 300);
    let found = documents(&scene, &index, "*", 1);
    let dropped = without_document(&container, &found);
    let n_bytes: u64 = dropped.iter().map(|it| it.length).sum();
    assert_eq!(report["dropped"], n_bytes, "{report}");
}

/// What is over a pod's rate waits in its file. The operator's own rate is the most that a pod gets.
#[test]
fn a_pods_rate_holds_its_lines_back_and_loses_none() {
    /// Bytes a second that one pod asks for; the other one asks for more than it gets.
    const ASKED: u64 = 4 << 10;
    /// Bytes a second that the operator allows.
    const ALLOWED: u64 = 64 << 10;
    /// What is read at once may be over the rate by less than this.
    const AT_ONCE: u64 = 64 << 10;
    let server = KubeApi::shared().unwrap();
    let slow = Namespace::new(server, "slow").unwrap();
    let greedy = Namespace::new(server, "greedy").unwrap();
    slow.allow().unwrap();
    let mut scene = Scene::new("podrate", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let setup = slow.agent_setup(&scene, &aggregator.url()).unwrap();
    let setup = setup.with("rate_limit", "{stream: 64KiB}");
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let started = Instant::now();
    let mut containers = Vec::new();
    for (namespace, pod, rate) in [(&slow, "limited", "4KiB"), (&greedy, "unlimited", "1GiB")] {
        let annotations = format!("{{tailrace.io/rate-limit: '{rate}'}}");
        let spec = PodSpec::new(pod, &["c"]).annotations(&annotations);
        let mut container = namespace.start(&mut scene, &spec).unwrap().remove(0);
        // Half a MiB: ALLOWED takes some 8 s for it, ASKED two minutes.
        lines(&mut container, &"line ".repeat(100), 1_000);
        containers.push(container);
    }
    wait::until_ok(LIMIT, "both to be held back", || {
        let metrics = agent.metrics()?;
        // A second's worth is saved, and another one for what is left out of the time.
        let seconds = started.elapsed().as_secs() + 2;
        let mut n_held = 0;
        for (namespace, rate) in [("slow", ASKED), ("greedy", ALLOWED)] {
            let of = [("namespace", namespace)];
            let read = metrics.count("tail_bytes_read_total", &of);
            let most = AT_ONCE + rate * seconds;
            assert!(read <= most, "{namespace}: {read} bytes, not {most}");
            let held = metrics.sum("tail_throttled_seconds_total", &of);
            n_held += u32::from(held > 0.0);
        }
        anyhow::ensure!(n_held == 2, "{n_held} of them");
        Ok(())
    })
    .unwrap();

    // Live: what would take two minutes arrives within one.
    let annotation = "tailrace.io/rate-limit=1GiB";
    slow.run(&["annotate", "--overwrite", "pod", "limited", annotation])
        .unwrap();
    let verdict = scene.wait_verdict(&containers, LIMIT).unwrap();
    verdict.assert_clean();
    for container in &containers {
        let report = audit(&aggregator, container);
        assert_eq!(report["bytes"], container.log.size(), "{report}");
        assert_eq!(report["dropped"], 0, "{report}");
    }
}
