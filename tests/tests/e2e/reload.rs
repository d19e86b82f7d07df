//! SIGHUP: a changed configuration counts at once and costs no line; one with a mistake changes
//! nothing, and is told of.

use std::{fs, time::Duration};

use rustix::process::Signal;
use tests::{
    agent::Agent, aggregator::Aggregator, scene::Scene, server::Server, wait, writer::write_event,
};

use crate::access::{ask, new_token};

const LIMIT: Duration = Duration::from_secs(45);

#[test]
fn the_agent_reads_what_its_new_configuration_includes() {
    let mut scene = Scene::new("rehup", Server::shared().unwrap()).unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let mut containers = [
        scene.kubelet.container("shop", "pod-0", "c").unwrap(),
        scene.kubelet.container("shop", "pod-1", "c").unwrap(),
    ];
    for container in &mut containers {
        for n in 0..300 {
            write_event(container, n).unwrap();
        }
    }
    let mut setup = scene.agent_setup(&aggregator.url());
    let glob = |pod: &str| format!("{}/containers/{pod}_*.log", scene.kubelet.root().display());
    setup.include = vec![glob("pod-0")];
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    scene
        .wait_verdict(&containers[..1], LIMIT)
        .unwrap()
        .assert_clean();

    let path = agent.config_path();
    let right = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{right}no_such_key: 1\n")).unwrap();
    agent.signal(Signal::HUP).unwrap();
    wait::until(LIMIT, "the mistake to be told of", || {
        agent.log_text().contains("no_such_key").then_some(())
    })
    .unwrap();
    for n in 300..400 {
        write_event(&mut containers[0], n).unwrap();
    }
    scene
        .wait_verdict(&containers[..1], LIMIT)
        .unwrap()
        .assert_clean();
    let metrics = agent.metrics().unwrap();
    assert_eq!(metrics.count("tailrace_agent_reload_errors_total", &[]), 1);

    let more = format!("'{}', '{}'", glob("pod-0"), glob("pod-1"));
    let both = right.replace(&format!("'{}'", glob("pod-0")), &more);
    assert_ne!(both, right);
    fs::write(&path, both).unwrap();
    agent.signal(Signal::HUP).unwrap();
    for container in &mut containers {
        for n in 400..500 {
            write_event(container, n).unwrap();
        }
    }
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}

#[test]
fn the_aggregator_lets_new_users_in_and_old_ones_out() {
    let scene = Scene::new("reusers", Server::shared().unwrap()).unwrap();
    let users = scene.dir("users");
    let web = format!("{{auth: users, users_file: '{}'}}", users.display());
    let setup = scene.aggregator_setup().with("web", &web);
    let mut aggregator = Aggregator::prepare(&scene.dir("aggregator"), &setup).unwrap();
    let (old, old_secret) = new_token(&aggregator);
    let (new, new_secret) = new_token(&aggregator);
    fs::write(&users, format!("old:viewer:*:{old_secret}\n")).unwrap();
    aggregator.start_again().unwrap();
    let status = |token: &str| ask(&aggregator.http(), token, "GET", "/api/v1/me", "").0;
    assert_eq!((status(&old), status(&new)), (200, 401));

    fs::write(&users, format!("new:emperor:*:{new_secret}\n")).unwrap();
    aggregator.signal(Signal::HUP).unwrap();
    wait::until(LIMIT, "the mistake to be told of", || {
        aggregator.log_text().contains("emperor").then_some(())
    })
    .unwrap();
    assert_eq!((status(&old), status(&new)), (200, 401));

    fs::write(&users, format!("new:viewer:*:{new_secret}\n")).unwrap();
    aggregator.signal(Signal::HUP).unwrap();
    wait::until(LIMIT, "the new user to be let in", || {
        (status(&new) == 200).then_some(())
    })
    .unwrap();
    assert_eq!(status(&old), 401);
}
