//! What a rolling update does to the programs: one after the other ends by SIGTERM and begins with
//! another configuration over what the one before left; a rollback does so again.

use std::{fs, time::Duration};

use tests::{
    agent::Agent,
    aggregator::Aggregator,
    program::Program,
    scene::Scene,
    server::Server,
    wait,
    writer::{Pace, Writer},
};

/// How long the last documents may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Ends a program as the kubelet does, and starts it with another configuration.
fn roll(program: &mut Program, config: &str) {
    let status = program.terminate(wait::END).unwrap();
    assert!(status.success(), "{status}");
    fs::write(program.config_path(), config).unwrap();
    program.start_again().unwrap();
}

/// As it was installed, and as an upgrade has it: with other limits, compression and level.
fn configs(program: &Program, upgrade: impl Fn(&str) -> String) -> [String; 2] {
    let installed = fs::read_to_string(program.config_path()).unwrap();
    let upgraded = upgrade(&installed);
    assert_ne!(installed, upgraded);
    [installed, upgraded]
}

#[test]
fn an_upgrade_and_a_rollback_under_load_lose_and_double_nothing() {
    let mut scene = Scene::new("rollout", Server::shared().unwrap()).unwrap();
    let setup = scene.aggregator_setup();
    let mut aggregators = ["aggregator-0", "aggregator-1"]
        .map(|name| Aggregator::start(&scene.dir(name), &setup).unwrap());
    let mut setup = scene.agent_setup(&aggregators[0].url());
    setup.aggregators.push(aggregators[1].url());
    let mut agent = Agent::start(&scene.dir("agent"), &setup).unwrap();

    let aggregator_configs = aggregators.each_ref().map(|aggregator| {
        configs(aggregator, |installed| {
            let more = "receive: {memory: 96MiB}\nmultiline: {max_lines: 900}\n";
            let installed = installed.replace("level: debug", "level: info");
            let output = "    buffer: {max_bytes: 64MiB, segment_bytes: 1MiB, reserve: 4MiB}\n    \
                          batch: {max_bytes: 256KiB}\n    elasticsearch:\n      compression: gzip\n";
            more.to_owned() + &installed.replace("    elasticsearch:\n", output)
        })
    });
    let agent_configs = configs(&agent, |installed| {
        let installed = installed.replace("level: debug", "level: info");
        installed + "batch: {max_bytes: 64KiB, compression: gzip}\n"
    });

    let containers = (0..3).map(|n| {
        let name = format!("web-{n}");
        scene.kubelet.container("shop", &name, "c").unwrap()
    });
    let pace = Pace {
        events_per_second: 1_000,
        rotate_every: 500,
    };
    let writer = Writer::start(containers.collect(), pace);
    let index = scene.data_stream();
    // To the upgrade and back, a StatefulSet's last pod first; under load all the time.
    for config in [1, 0] {
        for (aggregator, configs) in aggregators.iter_mut().zip(&aggregator_configs).rev() {
            let seen = scene.documents.count(&index, "*").unwrap_or(0);
            scene
                .documents
                .wait_count(&index, "*", seen + 500, LIMIT)
                .unwrap();
            roll(aggregator, &configs[config]);
        }
        roll(&mut agent, &agent_configs[config]);
    }
    let seen = scene.documents.count(&index, "*").unwrap();
    scene
        .documents
        .wait_count(&index, "*", seen + 500, LIMIT)
        .unwrap();
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    agent.terminate(wait::END).unwrap();
}
