//! The agent against a real API server: fields, deletion, outages, churn.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bench::{container_log::Iostream, kubelet::Container};
use rustix::process::Signal;
use serde_json::Value;
use tests::{
    agent::Agent,
    kube::{
        KubeApi,
        node::{Namespace, PodSpec},
    },
    proxy::Proxy,
    scene::Scene,
    server::Server,
    verdict::{field, text},
    wait,
};

use crate::{
    cluster::ask,
    stage::{LIMIT, documents, lines, stage},
};

#[test]
fn lines_have_the_fields_of_their_pods() {
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "fields").unwrap();
    namespace.allow().unwrap();
    let mut scene = Scene::new("podfields", Server::shared().unwrap()).unwrap();
    let (_aggregator, agent) = stage(&scene, &namespace);

    // A real Deployment, whose pods have names that nobody chose.
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  \
        selector: {matchLabels: {app: web}}\n  template:\n    metadata:\n      \
        labels: {app: web, app.kubernetes.io/component: front}\n    spec:\n      \
        nodeName: node-1\n      automountServiceAccountToken: false\n      \
        containers: [{name: nginx, image: 'nginx:1.27'}]\n";
    let output = server
        .run_on(deployment, &["-n", "fields", "apply"])
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let pods = wait::until_ok(LIMIT, "the Deployment's pod", || {
        let pods = namespace.uids()?;
        anyhow::ensure!(!pods.is_empty(), "none yet");
        Ok(pods)
    });
    let (pod, uid) = pods.unwrap().remove(0);
    let mut web = scene
        .kubelet
        .container_of("fields", &pod, &uid, "nginx")
        .unwrap();
    lines(&mut web, "hello", 3);
    let found = documents(&scene, &scene.data_stream(), "message:hello", 3);
    for document in &found {
        for (name, value) in [
            ("kubernetes.namespace", "fields"),
            ("kubernetes.pod.name", pod.as_str()),
            ("kubernetes.pod.uid", uid.as_str()),
            ("kubernetes.container.name", "nginx"),
            ("kubernetes.node.name", "node-1"),
            ("kubernetes.deployment.name", "web"),
            ("kubernetes.labels.app", "web"),
            ("container.image.name", "nginx:1.27"),
            ("container.id", web.container_id.as_str()),
            ("service.name", "web"),
        ] {
            assert_eq!(text(document, name), value, "{name} of {document}");
        }
        // Beside `app`: the dots of a label's own name are none of the document's.
        let labels = field(document, "kubernetes.labels").unwrap();
        assert_eq!(labels["app_kubernetes_io/component"], "front", "{labels}");
        assert!(labels.get("pod-template-hash").is_none(), "{labels}");
    }
    let metrics = agent.metrics().unwrap();
    assert_eq!(metrics.count("agent_kubernetes_up", &[]), 1);
    assert_eq!(metrics.count("agent_kubernetes_unknown_pods_total", &[]), 0);

    // The agent asked for no more than its node's pods.
    let log = std::fs::read_to_string(server.audit_log()).unwrap();
    let of_agent = log
        .lines()
        .filter(|line| line.contains("serviceaccount:fields:agent"));
    let uris: Vec<Value> = of_agent
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["requestURI"].take())
        .collect();
    assert!(!uris.is_empty());
    for uri in uris {
        let uri = uri.as_str().unwrap_or_default().to_owned();
        let is_own = uri.starts_with("/api/v1/pods?") && uri.contains("spec.nodeName%3Dnode-1");
        assert!(is_own, "{uri}");
        // A list comes from the server's memory; a watch learns of versions without a change of its own.
        let is_cheap = match uri.contains("watch=true") {
            true => uri.contains("allowWatchBookmarks=true"),
            false => uri.contains("resourceVersion=0") || uri.contains("continue="),
        };
        assert!(is_cheap, "{uri}");
    }
}

#[test]
fn pods_that_are_gone_keep_their_fields_while_the_server_is_away() {
    let mut server = KubeApi::start().unwrap();
    let mut scene = Scene::new("podgone", Server::shared().unwrap()).unwrap();
    let index = scene.data_stream();
    let (_aggregator, mut agent, mut first);
    {
        let namespace = Namespace::new(&server, "gone").unwrap();
        namespace.allow().unwrap();
        (_aggregator, agent) = stage(&scene, &namespace);
        let spec = PodSpec::new("one", &["c"]).labels("{pod: one}");
        first = namespace.start(&mut scene, &spec).unwrap().remove(0);
        lines(&mut first, "before", 2);
        documents(&scene, &index, "message:before", 2);
        namespace.delete("one").unwrap();
    }
    // Deleted in the API, its files still there; the agent starts anew and nobody tells it of pods.
    wait::until_ok(LIMIT, "the deletion to be known", || {
        let metrics = agent.metrics()?;
        let deleted = metrics.count("agent_kubernetes_deleted_pods", &[]);
        anyhow::ensure!(deleted == 1, "{deleted} deleted pods");
        Ok(())
    })
    .unwrap();
    agent.kill().unwrap();
    server.stop().unwrap();
    agent.start_again().unwrap();
    lines(&mut first, "away", 2);
    let found = documents(&scene, &index, "message:away", 2);
    assert!(
        found
            .iter()
            .all(|it| text(it, "kubernetes.labels.pod") == "one"),
        "{found:?}"
    );

    // Lines of a pod that nobody can tell of go by their path, after a while.
    let mut unknown = scene
        .kubelet
        .container_of("gone", "two", "4242-uid", "c")
        .unwrap();
    lines(&mut unknown, "unknown", 2);
    let found = documents(&scene, &index, "message:unknown", 2);
    assert!(
        found
            .iter()
            .all(|it| text(it, "kubernetes.pod.name") == "two")
    );
    let metrics = agent.metrics().unwrap();
    assert_eq!(metrics.count("agent_kubernetes_up", &[]), 0);
    assert!(metrics.count("agent_kubernetes_errors_total", &[]) > 0);
    assert_eq!(metrics.count("agent_kubernetes_unknown_pods_total", &[]), 1);

    // The server is back: so are the fields of new pods.
    server.start_again().unwrap();
    let namespace = Namespace::new(&server, "back").unwrap();
    let spec = PodSpec::new("three", &["c"]).labels("{pod: three}");
    let mut third = namespace.start(&mut scene, &spec).unwrap().remove(0);
    wait::until_ok(LIMIT, "the watch to be back", || {
        let up = agent.metrics()?.count("agent_kubernetes_up", &[]);
        anyhow::ensure!(up == 1, "it is not");
        Ok(())
    })
    .unwrap();
    lines(&mut third, "again", 2);
    let found = documents(&scene, &index, "message:again", 2);
    assert!(
        found
            .iter()
            .all(|it| text(it, "kubernetes.labels.pod") == "three"),
        "{found:?}"
    );
}

#[test]
fn without_rights_lines_flow_by_their_paths_until_there_are_some() {
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "norights").unwrap();
    let mut scene = Scene::new("podrights", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let mut setup = namespace.agent_setup(&scene, &aggregator.url()).unwrap();
    for (_, value) in &mut setup.more {
        *value = value.replace("wait: 20s", "wait: 2s");
    }
    let mut agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let spec = PodSpec::new("one", &["c"]).labels("{pod: one}");
    let mut container = namespace.start(&mut scene, &spec).unwrap().remove(0);
    lines(&mut container, "plain", 2);
    let index = scene.data_stream();
    let found = documents(&scene, &index, "message:plain", 2);
    assert!(
        found
            .iter()
            .all(|it| field(it, "kubernetes.labels").is_none()
                && text(it, "kubernetes.pod.name") == "one"),
        "{found:?}"
    );
    let log = agent.log_text();
    let told = log
        .lines()
        .filter(|line| line.contains("cannot learn of the node's pods"));
    let told: Vec<&str> = told.collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("ClusterRole") && told[0].contains("403"),
        "{told:?}"
    );

    namespace.allow().unwrap();
    wait::until_ok(LIMIT, "the pods to be known", || {
        let up = agent.metrics()?.count("agent_kubernetes_up", &[]);
        anyhow::ensure!(up == 1, "they are not");
        Ok(())
    })
    .unwrap();
    lines(&mut container, "labelled", 2);
    let found = documents(&scene, &index, "message:labelled", 2);
    assert!(
        found
            .iter()
            .all(|it| text(it, "kubernetes.labels.pod") == "one"),
        "{found:?}"
    );
    agent.terminate(wait::END).unwrap();
}

/// What happens while the watch is cut is known when it is back; lines wait for it.
#[test]
fn a_watch_that_is_cut_misses_no_pod() {
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "cutwatch").unwrap();
    namespace.allow().unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let mut scene = Scene::new("podcut", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let mut setup = namespace.agent_setup(&scene, &aggregator.url()).unwrap();
    let through = format!("https://127.0.0.1:{}", proxy.port());
    for (_, value) in &mut setup.more {
        *value = value.replace(&server.url(), &through);
    }
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    wait::until_ok(LIMIT, "the pods to be known", || {
        let up = agent.metrics()?.count("agent_kubernetes_up", &[]);
        anyhow::ensure!(up == 1, "they are not");
        Ok(())
    })
    .unwrap();
    let index = scene.data_stream();
    let before = proxy.connections();
    // Cut alone, and with nobody there for a while.
    for is_away in [false, true] {
        match is_away {
            true => proxy.refuse(),
            false => proxy.cut(),
        }
        let name = format!("away-{is_away}");
        let spec = PodSpec::new(&name, &["c"]).labels(&format!("{{of: {name}}}"));
        let mut container = namespace.start(&mut scene, &spec).unwrap().remove(0);
        let said = format!("said{is_away}");
        lines(&mut container, &said, 3);
        if is_away {
            wait::let_pass(Duration::from_secs(2));
            proxy.accept().unwrap();
        }
        let found = documents(&scene, &index, &format!("message:{said}"), 3);
        let is_own = |it: &Value| text(it, "kubernetes.labels.of") == name;
        assert!(found.iter().all(is_own), "{found:?}");
        namespace.delete(&name).unwrap();
    }
    let metrics = agent.metrics().unwrap();
    assert_eq!(metrics.count("agent_kubernetes_unknown_pods_total", &[]), 0);
    assert!(proxy.connections() >= before + 2);
}

/// Most kubelets have a certificate that nobody signed. None runs here: that the API server refuses this
/// account the kubelet's path shows that it was reached, and the token shown.
#[test]
fn a_kubelet_with_any_certificate_is_asked() {
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "anycert").unwrap();
    let scene = Scene::new("podanycert", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let mut setup = namespace.agent_setup(&scene, &aggregator.url()).unwrap();
    for (_, value) in &mut setup.more {
        let any = "metadata: kubelet, accept_any_certificate: true";
        *value = value.replace("metadata: watch", any);
    }
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let told = wait::until(LIMIT, "the kubelet's answer", || {
        let log = agent.log_text();
        let mut lines = log.lines();
        let told = lines.find(|line| line.contains("cannot learn of the node's pods"));
        told.map(str::to_owned)
    });
    let told = told.unwrap();
    assert!(told.contains("serviceaccount:anycert:agent"), "{told}");
}

#[test]
fn labels_of_namespaces_come_once_they_may_be_read() {
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "teams").unwrap();
    namespace.allow().unwrap();
    let label = |text: &str| server.run(&["label", "--overwrite", "namespace", "teams", text]);
    label("team=blue").unwrap();
    let mut scene = Scene::new("podteams", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let mut setup = namespace.agent_setup(&scene, &aggregator.url()).unwrap();
    for (_, value) in &mut setup.more {
        *value = value.replace("wait: 20s", "wait: 2s, namespace_labels: {include: [team]}");
    }
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let spec = PodSpec::new("one", &["c"]).labels("{pod: one}");
    let mut container = namespace.start(&mut scene, &spec).unwrap().remove(0);
    lines(&mut container, "without", 2);
    let index = scene.data_stream();
    for document in documents(&scene, &index, "message:without", 2) {
        assert_eq!(text(&document, "kubernetes.labels.pod"), "one");
        assert!(field(&document, "kubernetes.namespace_labels").is_none());
    }
    let log = agent.log_text();
    let told = log
        .lines()
        .filter(|line| line.contains("cannot learn of namespaces"));
    assert_eq!(told.count(), 1, "{log}");

    let (role, account) = ("--clusterrole=namespaces", "--serviceaccount=teams:agent");
    let rights = ["--verb=get,list,watch", "--resource=namespaces"];
    server
        .run(&[&["create", "clusterrole", "namespaces"][..], &rights].concat())
        .unwrap();
    server
        .run(&["create", "clusterrolebinding", "namespaces", role, account])
        .unwrap();
    // Of the label that is chosen, and of no other one: each namespace has its name as a label.
    for team in ["blue", "red"] {
        label(&format!("team={team}")).unwrap();
        let wanted = serde_json::json!({"team": team});
        let mut n = 0;
        wait::until_ok(2 * LIMIT, "a line with the namespace's label", || {
            n += 1;
            lines(&mut container, &format!("{team}{n}"), 1);
            let query = format!("message:{team}{n}");
            let found = documents(&scene, &index, &query, 1);
            let labels = field(&found[0], "kubernetes.namespace_labels");
            anyhow::ensure!(labels == Some(&wanted), "{labels:?}");
            Ok(())
        })
        .unwrap();
    }
}

/// What the watch knew last is forgotten by the server (410), and its token is over.
#[test]
fn a_version_that_is_too_old_and_a_renewed_token_are_got_over() {
    let mut server = KubeApi::start_with(&["--watch-cache=false"]).unwrap();
    let mut scene = Scene::new("podrenew", Server::shared().unwrap()).unwrap();
    let index = scene.data_stream();
    let (_aggregator, agent, first_token);
    {
        let namespace = Namespace::new(&server, "renew").unwrap();
        namespace.allow().unwrap();
        let aggregator = scene.start_aggregator().unwrap();
        let setup = namespace.agent_setup(&scene, &aggregator.url()).unwrap();
        let life = Duration::from_secs(30);
        first_token = server.token_for("renew", "agent", life).unwrap();
        std::fs::write(scene.dir("token"), &first_token).unwrap();
        agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
        _aggregator = aggregator;
        wait::until_ok(LIMIT, "the pods to be known", || {
            let lists = agent.metrics()?.count("agent_kubernetes_lists_total", &[]);
            anyhow::ensure!(lists == 1, "{lists} lists");
            Ok(())
        })
        .unwrap();
        // As the kubelet does before the old one is over; here with a newline behind it.
        let token = server.token("renew", "agent").unwrap();
        std::fs::write(scene.dir("token"), token + "\n").unwrap();
        agent.signal(Signal::STOP).unwrap();
    }
    server.kill().unwrap();
    server.start_again().unwrap();
    let namespace = Namespace::known(&server, "renew");
    let spec = PodSpec::new("one", &["c"]).labels("{pod: one}");
    let mut container = namespace.start(&mut scene, &spec).unwrap().remove(0);
    server.compact().unwrap();
    wait::until_ok(LIMIT, "the first token to be over", || {
        let answer = ask(&server, &first_token, &["get", "pods"]);
        let is_over = answer.is_err_and(|error| error.contains("Unauthorized"));
        anyhow::ensure!(is_over, "it is still taken");
        Ok(())
    })
    .unwrap();
    agent.signal(Signal::CONT).unwrap();
    // Pauses between tries grow up to half a minute.
    wait::until_ok(2 * LIMIT, "another list", || {
        let lists = agent.metrics()?.count("agent_kubernetes_lists_total", &[]);
        anyhow::ensure!(lists >= 2, "{lists} lists");
        Ok(())
    })
    .unwrap();
    lines(&mut container, "hello", 2);
    let found = documents(&scene, &index, "message:hello", 2);
    assert!(
        found
            .iter()
            .all(|it| text(it, "kubernetes.labels.pod") == "one"),
        "{found:?}"
    );
}

/// 110 pods on the node all the time, each gone after some seconds: every line once, the first ones
/// too, each with the label of its own pod.
#[test]
fn every_line_of_churning_pods_has_its_own_pods_fields() {
    const AT_A_TIME: usize = 110;
    /// How long pods come and go, unless `CHURN_SECONDS` says otherwise.
    const CHURN: Duration = Duration::from_secs(90);
    /// All pods give way to others so often.
    const ROUND: Duration = Duration::from_secs(8);
    let seconds = std::env::var("CHURN_SECONDS").ok();
    let churn = seconds.map_or(CHURN, |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    });
    let server = KubeApi::shared().unwrap();
    let namespace = Namespace::new(server, "churn").unwrap();
    namespace.allow().unwrap();
    let mut scene = Scene::new("podchurn", Server::shared().unwrap()).unwrap();
    let (_aggregator, agent) = stage(&scene, &namespace);
    let mut all = Vec::new();
    let started = Instant::now();
    for round in 0.. {
        if started.elapsed() >= churn {
            break;
        }
        wait::let_pass((ROUND * round).saturating_sub(started.elapsed()));
        let specs: Vec<PodSpec> = (0..AT_A_TIME)
            .map(|n| {
                let name = format!("pod-{round}-{n}");
                PodSpec::new(&name, &["c"]).labels(&format!("{{of: {name}}}"))
            })
            .collect();
        let uids = namespace.create(&specs).unwrap();
        let mut containers: Vec<Container> = specs
            .iter()
            .zip(&uids)
            .map(|(spec, uid)| {
                let kubelet = &mut scene.kubelet;
                kubelet.container_of("churn", &spec.name, uid, "c").unwrap()
            })
            .collect();
        for n in 0..20 {
            for container in &mut containers {
                let line = format!("line {n} of {}", container.pod);
                container
                    .log
                    .line(Iostream::Stdout, line.as_bytes())
                    .unwrap();
            }
            wait::let_pass(Duration::from_millis(100));
        }
        // The API forgets them at once, the kubelet their files a little later.
        let now = ["--all", "--grace-period=0", "--force", "--wait=false"];
        namespace
            .run(&[&["delete", "pods"][..], &now].concat())
            .unwrap();
        if let Some(before) = all.len().checked_sub(AT_A_TIME) {
            for container in &all[before..] {
                scene.kubelet.delete(container).unwrap();
            }
        }
        all.extend(containers);
    }
    let verdict = scene.wait_verdict(&all, LIMIT).unwrap();
    verdict.assert_clean();
    let hits = scene.documents.all(&scene.data_stream()).unwrap();
    let mut wrong: HashMap<String, usize> = HashMap::new();
    for hit in &hits {
        let document = &hit["_source"];
        let pod = text(document, "kubernetes.pod.name");
        if text(document, "kubernetes.labels.of") != pod {
            *wrong.entry(pod.to_owned()).or_default() += 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}: {wrong:?}",
        wrong.len(),
        all.len()
    );
    let metrics = agent.metrics().unwrap();
    assert_eq!(metrics.sum("tail_bytes_lost_total", &[]), 0.0);
}
