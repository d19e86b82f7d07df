//! Kubernetes Events through aggregators into a store, against a real API server: each state once,
//! whatever becomes of the aggregator that reads, and of the server.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{
    aggregator::Aggregator,
    kube::{
        KubeApi,
        events::{Reporter, State, expect_exactly, stored},
    },
    proxy::Proxy,
    scene::Scene,
    server::{Product, Server},
    verdict::{field, text},
    wait,
};

const LIMIT: Duration = Duration::from_secs(60);
/// The annotation of the Lease that tells how far Events are durable.
const POSITION: &str = "tailrace.io/kubernetes-events-position";

fn index(scene: &Scene) -> String {
    format!("logs-kubernetes.events-{}", scene.namespace())
}

fn is_holder(aggregator: &Aggregator) -> anyhow::Result<bool> {
    Ok(aggregator.metrics()?.count("kubernetes_events_holder", &[]) == 1)
}

/// Waits until one of these holds the Lease, and returns which.
fn wait_holder(aggregators: &[&Aggregator]) -> usize {
    wait::until_ok(LIMIT, "a holder of the Lease", || {
        for (number, aggregator) in aggregators.iter().enumerate() {
            if is_holder(aggregator)? {
                return Ok(number);
            }
        }
        anyhow::bail!("none yet")
    })
    .unwrap()
}

fn lease(server: &KubeApi, namespace: &str) -> Value {
    let named = ["get", "lease/events", "--ignore-not-found", "--output=json"];
    let text = server.run(&[&["-n", namespace], &named[..]].concat());
    serde_json::from_str(&text.unwrap()).unwrap_or_default()
}

/// The version up to which Events are durable, as the Lease tells it; 0 where it does not.
fn position(server: &KubeApi, namespace: &str) -> u64 {
    let note = &lease(server, namespace)["metadata"]["annotations"][POSITION];
    let version = note.as_str().and_then(|it| it.split(' ').next());
    version.and_then(|it| it.parse().ok()).unwrap_or(0)
}

/// Waits until the Lease tells a position: until then a holder begins with a list, which has only
/// the last state of each Event.
fn wait_position(server: &KubeApi, namespace: &str) {
    let told = || (position(server, namespace) > 0).then_some(());
    wait::until(LIMIT, "a first position", told).unwrap();
}

fn source(scene: &Scene, state: &State) -> Value {
    let (uid, version) = state;
    let query = json!({"bool": {"filter": [
        {"term": {"kubernetes.event.metadata.uid": uid}},
        {"term": {"log.offset": version}},
    ]}});
    let hits = wait::until_ok(LIMIT, "a document", || {
        let hits = scene.documents.matching(&index(scene), &query)?;
        anyhow::ensure!(!hits.is_empty(), "{state:?} is not there");
        Ok(hits)
    });
    hits.unwrap()[0]["_source"].clone()
}

#[test]
fn events_arrive_once_each_with_their_fields() {
    let server = KubeApi::shared().unwrap();
    let scene = Scene::new("evfields", Server::shared().unwrap()).unwrap();
    let mut reporter = Reporter::new(server, "evfields").unwrap();
    reporter.allow(server).unwrap();
    // Before anybody reads: the server still has it.
    let early = reporter.report("early", &json!({})).unwrap();
    let setup = reporter.setup(server, &scene, "").unwrap();
    let setup = setup.with("redact", "[usual]");
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    wait_holder(&[&aggregator]);
    wait_position(server, "evfields");

    let web = reporter
        .report(
            "web",
            &json!({"type": "Warning", "reason": "BackOff", "message": "see http://u:hunter2@x/"}),
        )
        .unwrap();
    let again = reporter.repeat("web").unwrap();
    let bound = json!({
        "involvedObject": {"kind": "Deployment", "name": "shop", "uid": "d-1", "apiVersion": "apps/v1",
            "fieldPath": null},
        "reason": "Scaled", "action": "Scaling", "source": {}, "firstTimestamp": null,
        "lastTimestamp": null, "count": null, "eventTime": "2026-11-26T10:00:00.123456Z",
        "reportingComponent": "x.io/scaler", "reportingInstance": "scaler-1",
        "series": {"count": 7, "lastObservedTime": "2026-11-26T11:30:00.500000Z"},
    });
    let bound = reporter.report("bound", &bound).unwrap();

    expect_exactly(&scene.documents, &index(&scene), &reporter.states(), LIMIT).unwrap();
    let document = source(&scene, &early);
    for (name, value) in [
        ("@timestamp", "2026-11-26T10:00:00.000000000Z"),
        ("message", "about early"),
        ("event.dataset", "kubernetes.events"),
        ("event.kind", "event"),
        ("event.reason", "Pulled"),
        ("log.level", "info"),
        ("service.name", "kubelet"),
        ("kubernetes.namespace", "evfields"),
        ("kubernetes.pod.name", "web-0"),
        ("kubernetes.pod.uid", "pod-uid"),
        ("kubernetes.container.name", "nginx"),
        ("kubernetes.node.name", "node-1"),
        ("kubernetes.event.type", "Normal"),
        ("kubernetes.event.involved_object.kind", "Pod"),
        ("kubernetes.event.source.component", "kubelet"),
    ] {
        let found = text(&document, name);
        assert!(
            found == value || value.starts_with(found.trim_end_matches('Z')),
            "{name} of {document}"
        );
    }
    assert_eq!(field(&document, "attributes"), None, "{document}");
    let document = source(&scene, &web);
    assert_eq!(text(&document, "log.level"), "warn");
    assert!(
        text(&document, "message").contains("[redacted:"),
        "{document}"
    );
    assert_eq!(field(&document, "kubernetes.event.count").unwrap(), 1);
    let document = source(&scene, &again);
    assert_eq!(field(&document, "kubernetes.event.count").unwrap(), 2);
    assert!(
        text(&document, "@timestamp").starts_with("2026-11-26T10:02:00"),
        "{document}"
    );
    let document = source(&scene, &bound);
    assert!(
        text(&document, "@timestamp").starts_with("2026-11-26T11:30:00.5"),
        "{document}"
    );
    assert_eq!(text(&document, "kubernetes.deployment.name"), "shop");
    assert_eq!(text(&document, "event.action"), "Scaling");
    assert_eq!(field(&document, "kubernetes.event.count").unwrap(), 7);
    assert_eq!(field(&document, "kubernetes.pod"), None);

    let status = aggregator.http().get_json("/status").unwrap();
    assert_eq!(status["kubernetes_events"]["reads"], true, "{status}");
    let address = format!("127.0.0.1:{}", aggregator.port());
    let said = aggregator
        .command(&["status", "--address", &address])
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("reads Kubernetes Events, durable up to"),
        "{said}"
    );
    let metrics = aggregator.metrics().unwrap();
    assert_eq!(metrics.count("kubernetes_events_read_total", &[]), 4);
    assert_eq!(metrics.count("kubernetes_events_indexed_total", &[]), 4);
    assert_eq!(metrics.count("kubernetes_events_gaps_total", &[]), 0);

    // It stops, and leaves the Lease and the position to the next one, which reads nothing twice.
    aggregator.terminate(wait::END).unwrap();
    let left = lease(server, "evfields");
    assert_eq!(left["spec"]["holderIdentity"], "", "{left}");
    assert!(position(server, "evfields") >= bound.1, "{left}");
    let between = reporter.report("between", &json!({})).unwrap();
    let later = reporter.repeat("between").unwrap();
    aggregator.start_again().unwrap();
    // Both states, though the server's list has only the later one.
    expect_exactly(&scene.documents, &index(&scene), &reporter.states(), LIMIT).unwrap();
    let found = stored(&scene.documents, &index(&scene)).unwrap();
    assert!(found.contains_key(&between) && found.contains_key(&later));
    let metrics = aggregator.metrics().unwrap();
    assert_eq!(metrics.count("kubernetes_events_read_total", &[]), 2);

    // An audit finds nothing wrong with them: their versions are no bytes.
    let config = aggregator.config_path().display().to_string();
    let said = aggregator
        .command(&["audit", "--config", &config, "--pod", "web-0"])
        .unwrap();
    let told = String::from_utf8_lossy(&said.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{told}{complaint}");
    println!("{told}");
    aggregator.terminate(wait::END).unwrap();
}

#[test]
fn only_what_comes_and_what_is_wanted_is_taken() {
    let server = KubeApi::shared().unwrap();
    let scene = Scene::new("evwanted", Server::shared().unwrap()).unwrap();
    let mut reporter = Reporter::new(server, "evwanted").unwrap();
    reporter.allow(server).unwrap();
    reporter
        .report("early", &json!({"type": "Warning"}))
        .unwrap();
    let more = ", start_at: end, types: [Warning]";
    let setup = reporter.setup(server, &scene, more).unwrap();
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    wait::until_ok(LIMIT, "a first position", || {
        let status = aggregator.http().get_json("/status")?;
        anyhow::ensure!(status["kubernetes_events"]["position"].is_u64(), "{status}");
        Ok(())
    })
    .unwrap();
    reporter.report("normal", &json!({})).unwrap();
    let warning = reporter
        .report("warning", &json!({"type": "Warning"}))
        .unwrap();
    let expected = [warning].into();
    expect_exactly(&scene.documents, &index(&scene), &expected, LIMIT).unwrap();
    let metrics = aggregator.metrics().unwrap();
    assert!(metrics.count("kubernetes_events_excluded_total", &[]) >= 1);
}

/// Events come all the while, as many as the server can take: whoever reads them has to catch up with
/// what came while nobody did.
#[test]
fn a_holder_that_is_killed_stopped_or_frozen_is_followed_by_another() {
    let server = KubeApi::shared().unwrap();
    let scene = Scene::new("evturns", Server::shared().unwrap()).unwrap();
    let mut reporter = Reporter::new(server, "evturns").unwrap();
    reporter.allow(server).unwrap();
    let setup = reporter.setup(server, &scene, "").unwrap();
    let mut pair = ["one", "two"].map(|name| Aggregator::start(&scene.dir(name), &setup).unwrap());
    wait_position(server, "evturns");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers = ["a", "b", "c", "d"].map(|name| {
            let (mut writer, is_over) = (reporter.beside(), &is_over);
            scope.spawn(move || {
                let mut round = 0;
                while !is_over.load(Ordering::Relaxed) {
                    writer.report_some(&format!("{name}{round}"), 9).unwrap();
                    round += 1;
                }
                writer
            })
        });
        // A panic has to end the writers, too.
        let strikes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let read = |aggregator: &Aggregator| {
                wait::until_ok(LIMIT, "some Events to be read", || {
                    let n = aggregator
                        .metrics()?
                        .count("kubernetes_events_indexed_total", &[]);
                    anyhow::ensure!(n >= 20, "{n}");
                    Ok(())
                })
                .unwrap();
            };
            for strike in [Signal::KILL, Signal::TERM, Signal::STOP, Signal::KILL] {
                let holder = wait_holder(&[&pair[0], &pair[1]]);
                let other = 1 - holder;
                assert!(!is_holder(&pair[other]).unwrap(), "two holders");
                read(&pair[holder]);
                match strike {
                    Signal::KILL => pair[holder].kill().unwrap(),
                    Signal::TERM => drop(pair[holder].terminate(wait::END).unwrap()),
                    _ => pair[holder].signal(strike).unwrap(),
                }
                wait_holder(&[&pair[other]]);
                if strike == Signal::STOP {
                    read(&pair[other]);
                    pair[holder].signal(Signal::CONT).unwrap();
                    wait::until_ok(LIMIT, "the frozen one to notice", || {
                        anyhow::ensure!(!is_holder(&pair[holder])?, "it does not");
                        Ok(())
                    })
                    .unwrap();
                    assert!(is_holder(&pair[other]).unwrap());
                } else {
                    pair[holder].start_again().unwrap();
                }
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        for writer in writers {
            reporter.absorb(writer.join().unwrap());
        }
        strikes.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let all = expect_exactly(&scene.documents, &index(&scene), &reporter.states(), LIMIT);
    all.unwrap_or_else(|error| {
        let told = pair.each_ref().map(|it| it.http().get_json("/status"));
        panic!("{error:#}\n{told:#?}\n{}", lease(server, "evturns"))
    });
    let transitions = &lease(server, "evturns")["spec"]["leaseTransitions"];
    assert!(transitions.as_i64().unwrap() >= 4, "{transitions}");
}

#[test]
fn a_server_that_restarts_and_forgets_loses_no_event() {
    let mut server = KubeApi::start_with(&["--watch-cache=false"]).unwrap();
    let scene = Scene::new("evserver", Server::shared().unwrap()).unwrap();
    let mut reporter = Reporter::new(&server, "evserver").unwrap();
    reporter.allow(&server).unwrap();
    let setup = reporter.setup(&server, &scene, "").unwrap();
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    wait_holder(&[&aggregator]);
    wait_position(&server, "evserver");
    reporter.report_some("before", 9).unwrap();
    server.kill().unwrap();
    server.start_again().unwrap();
    reporter.report_some("after", 9).unwrap();
    expect_exactly(&scene.documents, &index(&scene), &reporter.states(), LIMIT).unwrap();
    assert_eq!(
        aggregator
            .metrics()
            .unwrap()
            .count("kubernetes_events_gaps_total", &[]),
        0
    );

    // Nobody reads, and the server forgets all but the last states.
    let known = reporter.states();
    aggregator.terminate(wait::END).unwrap();
    reporter.report_some("away", 9).unwrap();
    reporter.repeat("before.0").unwrap();
    server.compact().unwrap();
    server.kill().unwrap();
    server.start_again().unwrap();
    aggregator.start_again().unwrap();
    wait::until_ok(LIMIT, "the gap to be told", || {
        let gaps = aggregator
            .metrics()?
            .count("kubernetes_events_gaps_total", &[]);
        anyhow::ensure!(gaps == 1, "{gaps} gaps");
        Ok(())
    })
    .unwrap();
    let mut expected = known;
    expected.extend(reporter.last_states());
    expect_exactly(&scene.documents, &index(&scene), &expected, LIMIT).unwrap();
    assert!(
        expected.len() < reporter.states().len(),
        "nothing was forgotten"
    );
    let log = aggregator.log_text();
    assert!(
        log.contains("has forgotten what came after the position"),
        "{log}"
    );

    // From there it goes on as before.
    let n = expected.len();
    expected.insert(reporter.report("last", &json!({})).unwrap());
    expected.insert(reporter.repeat("last").unwrap());
    assert_eq!(expected.len(), n + 2);
    expect_exactly(&scene.documents, &index(&scene), &expected, LIMIT).unwrap();
}

#[test]
fn without_rights_the_aggregator_serves_and_says_what_is_missing() {
    let server = KubeApi::shared().unwrap();
    let scene = Scene::new("evrights", Server::shared().unwrap()).unwrap();
    let mut reporter = Reporter::new(server, "evrights").unwrap();
    reporter.report("early", &json!({})).unwrap();
    let setup = reporter.setup(server, &scene, "").unwrap();
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    wait::until_ok(LIMIT, "some tries", || {
        let metrics = aggregator.metrics()?;
        let errors = metrics.count("kubernetes_events_errors_total", &[("stage", "lease")]);
        anyhow::ensure!(errors >= 3, "{errors}");
        Ok(())
    })
    .unwrap();
    assert_eq!(aggregator.http().get("/readyz").unwrap().status, 200);
    let log = aggregator.log_text();
    let told = log
        .lines()
        .filter(|line| line.contains("cannot read Kubernetes Events"));
    let told: Vec<&str> = told.collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("components/kubernetes-events") && told[0].contains("cannot get resource"),
        "{told:?}"
    );
    let status = aggregator.http().get_json("/status").unwrap();
    let problem = status["kubernetes_events"]["problem"].as_str().unwrap();
    assert!(problem.contains("lease:"), "{problem}");

    reporter.allow(server).unwrap();
    expect_exactly(&scene.documents, &index(&scene), &reporter.states(), LIMIT).unwrap();
    let status = aggregator.http().get_json("/status").unwrap();
    assert_eq!(
        status["kubernetes_events"]["problem"],
        Value::Null,
        "{status}"
    );
}

/// A holder is killed whose documents are in the store, and whose position does not say so; the data
/// stream rolls over, and so forgets their ids.
#[test]
fn what_a_killed_holder_leaves_in_doubt_is_not_doubled_by_a_rollover() {
    let server = KubeApi::shared().unwrap();
    let store = Server::start(Product::OpenSearch).unwrap();
    let scene = Scene::new("evdoubt", &store).unwrap();
    let mut reporter = Reporter::new(server, "evdoubt").unwrap();
    reporter.allow(server).unwrap();
    let mut setup = reporter.setup(server, &scene, "").unwrap();
    // Renewals, which bring the position, are seldom.
    for (_, value) in &mut setup.more {
        *value = value.replace("retry_period: 300ms", "retry_period: 5s");
        *value = value.replace("renew_deadline: 3s", "renew_deadline: 10s");
        *value = value.replace("duration: 4s", "duration: 11s");
    }
    let setup = setup.elasticsearch("timeout", "3s");
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    wait_holder(&[&aggregator]);
    wait_position(server, "evdoubt");
    let position = || position(server, "evdoubt");
    // Until a kill comes between documents and position.
    let mut round = 0;
    loop {
        round += 1;
        assert!(round < 20, "each position was quicker");
        reporter.report_some(&format!("r{round}"), 6).unwrap();
        let last = reporter
            .report(&format!("r{round}.last"), &json!({}))
            .unwrap();
        source(&scene, &last);
        if position() >= last.1 {
            continue;
        }
        aggregator.kill().unwrap();
        if position() < last.1 {
            break;
        }
        aggregator.start_again().unwrap();
        wait_holder(&[&aggregator]);
    }
    scene.documents.rollover(&index(&scene)).unwrap();
    aggregator.start_again().unwrap();
    reporter.report_some("behind", 3).unwrap();
    let states = reporter.states();
    // Doubles have to go by themselves, at the second look at the latest.
    wait::until_ok(LIMIT, "each state once", || {
        expect_exactly(&scene.documents, &index(&scene), &states, LIMIT)
    })
    .unwrap();
    let indices = scene.documents.all(&index(&scene)).unwrap();
    let mut names: Vec<&str> = indices
        .iter()
        .filter_map(|hit| hit["_index"].as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn while_the_store_is_away_events_wait_and_the_lease_is_kept() {
    let server = KubeApi::shared().unwrap();
    let store = Server::shared().unwrap();
    let proxy = Proxy::start(store.port()).unwrap();
    let scene = Scene::new("evaway", store).unwrap();
    let mut reporter = Reporter::new(server, "evaway").unwrap();
    reporter.allow(server).unwrap();
    let mut setup = reporter.setup(server, &scene, "").unwrap();
    setup.hosts = vec![proxy.url()];
    let setup = setup.ack("store").with("receive", "{answer_timeout: 1s}");
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    wait_holder(&[&aggregator]);
    wait_position(server, "evaway");
    reporter.report_some("before", 3).unwrap();
    expect_exactly(&scene.documents, &index(&scene), &reporter.states(), LIMIT).unwrap();
    proxy.refuse();
    reporter.report_some("away", 9).unwrap();
    wait::until_ok(LIMIT, "tries without an answer", || {
        let metrics = aggregator.metrics()?;
        let errors = metrics.count("kubernetes_events_errors_total", &[("stage", "write")]);
        anyhow::ensure!(errors >= 3, "{errors}");
        anyhow::ensure!(
            metrics.sum("kubernetes_events_lag_seconds", &[]) > 2.0,
            "no lag"
        );
        Ok(())
    })
    .unwrap();
    assert!(is_holder(&aggregator).unwrap());
    let indexed = aggregator.metrics().unwrap();
    assert_eq!(indexed.count("kubernetes_events_indexed_total", &[]), 3);
    let status = aggregator.http().get_json("/status").unwrap();
    let problem = status["kubernetes_events"]["problem"]
        .as_str()
        .unwrap_or_default();
    assert!(problem.contains("write:"), "{status}");
    proxy.accept().unwrap();
    expect_exactly(&scene.documents, &index(&scene), &reporter.states(), LIMIT).unwrap();
    aggregator.terminate(wait::END).unwrap();
    assert_eq!(lease(server, "evaway")["spec"]["holderIdentity"], "");
}
