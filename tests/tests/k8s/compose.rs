//! `docker-compose.yaml`: what it names is there, the programs take their configurations, and Docker
//! takes the file.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;
use tests::{program::binary, scratch::Scratch};

use crate::manifests::{root, yaml};

const PROGRAMS: [&str; 2] = ["agent", "aggregator"];

fn compose() -> Value {
    yaml(&fs::read_to_string(root().join("docker-compose.yaml")).unwrap())
}

/// The names of a map; none where there is no map.
fn names(map: &Value) -> BTreeSet<&str> {
    let map = map.as_object();
    map.into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect()
}

/// The texts of a list; none where there is no list.
fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array();
    let list = list.into_iter().flatten();
    list.map(|it| it.as_str().unwrap()).collect()
}

/// The configuration of a program as its container finds it.
fn configuration(compose: &Value, program: &str) -> String {
    let file = compose["configs"][program]["file"].as_str().unwrap();
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Without Docker this is all that tells a mistake; `docker compose config` finds no more of them.
#[test]
fn what_the_services_name_is_there() {
    let compose = compose();
    assert_eq!(
        names(&compose["services"]),
        BTreeSet::from(["agent", "aggregator", "opensearch"])
    );
    let (mut volumes, mut configs) = (BTreeSet::new(), BTreeSet::new());
    for (name, service) in compose["services"].as_object().unwrap() {
        assert!(service["image"].is_string(), "{name} has an image");
        if let Some(file) = service["build"]["dockerfile"].as_str() {
            assert_eq!(service["build"]["context"], ".", "{name}");
            assert!(root().join(file).is_file(), "{name}: {file}");
        }
        for other in texts(&service["depends_on"]) {
            assert!(
                names(&compose["services"]).contains(other),
                "{name}: {other}"
            );
        }
        for volume in texts(&service["volumes"]) {
            // Folders of the host may be read; what is written is a volume that outlives the container.
            match volume.split(':').collect::<Vec<_>>()[..] {
                [from, _, "ro"] => assert!(from.starts_with('/'), "{name}: {volume}"),
                [volume, _] => assert!(volumes.insert(volume), "{volume} is there twice"),
                _ => panic!("{name}: {volume}"),
            }
        }
        for config in service["configs"].as_array().into_iter().flatten() {
            configs.insert(config["source"].as_str().unwrap());
        }
        // Nobody but the host reaches a port: nothing here has a sign-in.
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
    assert_eq!(volumes, names(&compose["volumes"]));
    assert_eq!(configs, names(&compose["configs"]));
}

#[test]
fn the_programs_find_their_configurations_and_folders() {
    let compose = compose();
    let mut listens = BTreeSet::new();
    for program in PROGRAMS {
        let service = &compose["services"][program];
        let target = service["configs"][0]["target"].as_str().unwrap();
        assert_eq!(texts(&service["command"]), ["--config", target]);
        assert_eq!(service["configs"][0]["source"], program);
        // Compose cannot write `content` into it: https://github.com/docker/compose/issues/12031
        assert_eq!(service["read_only"], true);
        assert_eq!(
            names(&compose["configs"][program]),
            BTreeSet::from(["file"])
        );

        let configuration = yaml(&configuration(&compose, program));
        let mounts: Vec<&str> = texts(&service["volumes"])
            .into_iter()
            .map(|volume| volume.split(':').nth(1).unwrap())
            .collect();
        let data_dir = configuration["data_dir"].as_str().unwrap();
        assert!(mounts.contains(&data_dir), "{data_dir} is a volume");
        for pattern in texts(&configuration["files"]["include"]) {
            let is_mounted = mounts.iter().any(|mount| pattern.starts_with(mount));
            assert!(is_mounted, "{pattern} is mounted");
        }
        // On the host's network: an address of its own for each.
        assert_eq!(service["network_mode"], "host");
        let listen = configuration["listen"].as_str().unwrap().to_owned();
        assert!(listen.starts_with("127.0.0.1:"), "{listen}");
        assert!(listens.insert(listen), "an address for two");
        assert!(service["stop_grace_period"].is_string());
    }
    // Each finds the next one where that listens.
    let of = |program: &str| yaml(&configuration(&compose, program));
    let (agent, aggregator) = (of("agent"), of("aggregator"));
    let at = format!("http://{}", aggregator["listen"].as_str().unwrap());
    assert_eq!(texts(&agent["aggregators"]), [at]);
    let store = &aggregator["outputs"][0]["elasticsearch"]["hosts"][0];
    let port = &compose["services"]["opensearch"]["ports"][0];
    let published = port.as_str().unwrap().rsplit_once(':').unwrap().0;
    assert_eq!(*store, format!("http://{published}"));
}

#[test]
fn the_programs_take_the_configurations() {
    let compose = compose();
    for program in PROGRAMS {
        let scratch = Scratch::new("compose").unwrap();
        let file = scratch.path().join(format!("{program}.yaml"));
        let content = configuration(&compose, program);
        let data = format!("{}/", scratch.path().display());
        fs::write(&file, content.replace("/var/lib/tailrace", &data)).unwrap();
        let output = Command::new(binary(&format!("tailrace-{program}")).unwrap())
            .arg("--config")
            .arg(&file)
            .arg("--check")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// The one test that needs no tool to pass: Docker is not to be had everywhere, and the file does not
/// change what the programs do.
#[test]
fn docker_takes_the_file_where_it_has_compose() {
    let compose = |args: &[&str]| {
        Command::new("docker")
            .arg("compose")
            .args(args)
            .current_dir(root())
            .output()
    };
    match compose(&["version"]) {
        Ok(output) if output.status.success() => {}
        _ => {
            println!("docker has no compose here: docker-compose.yaml was only read by us");
            return;
        }
    }
    let output = compose(&["config", "-q"]).unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
