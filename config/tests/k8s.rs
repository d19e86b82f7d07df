//! The manifests in `k8s/base` fit the programs: the embedded configurations load, and ports,
//! folders and grace periods are those that the configurations name.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::{Path, PathBuf};

use config::agent::AgentConfig;
use config::aggregator::AggregatorConfig;
use config::{Environment, Problem, Root};
use saphyr_parser::{Event, Parser};

fn manifest(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../k8s/base")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every scalar that stands as the value of `key`, wherever it is.
fn values(text: &str, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut last = String::new();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.unwrap_or_else(|e| panic!("{e}\n{text}"));
        match event {
            Event::Scalar(value, ..) => {
                if last == key {
                    found.push(value.to_string());
                }
                last = value.into_owned();
            }
            _ => last.clear(),
        }
    }
    found
}

/// The configuration in a ConfigMap. Files of secrets are not there when it is tested.
fn embedded<T: Root>(name: &str, key: &str) -> T {
    let texts = values(&manifest(name), key);
    assert_eq!(texts.len(), 1, "{name} holds {key} once");
    let env = Environment::of([("NODE_NAME", "node-1")]);
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("secret"), "s3cret").unwrap();
    let secret = secrets.path().join("secret").display().to_string();
    // Tokens are mounted by the pod: here a file of ours stands for each.
    let text = texts[0].replace("/etc/tailrace/token/token", &secret);
    config::parse(&text, Path::new(key), &env).unwrap_or_else(|problems| {
        let list: Vec<String> = problems.0.iter().map(Problem::to_string).collect();
        panic!("{name}:\n{}", list.join("\n"))
    })
}

#[test]
fn every_manifest_is_yaml_and_listed() {
    let listed = manifest("kustomization.yaml");
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../k8s/base");
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let text = manifest(&name);
        assert!(!values(&text, "kind").is_empty(), "{name} has no kind");
        assert!(
            name == "kustomization.yaml" || listed.contains(&name),
            "{name} is not listed"
        );
        n_files += 1;
    }
    assert!(n_files >= 10, "{n_files} manifests");
}

#[test]
fn the_agent_fits_its_pod() {
    let config: AgentConfig = embedded("agent-config.yaml", "agent.yaml");
    let pod = manifest("agent-daemonset.yaml");
    let port = config.listen.port().to_string();
    assert!(
        !config.listen.ip().is_loopback(),
        "probes come from outside"
    );
    assert!(values(&pod, "containerPort").contains(&port), "{port}");
    let data_dir = config.data_dir.display().to_string();
    assert!(values(&pod, "mountPath").contains(&data_dir), "{data_dir}");
    grace(&pod, config.shutdown_grace.as_secs());
    for path in ["/healthz", "/readyz"] {
        assert!(
            values(&pod, "path").iter().any(|p| p == path),
            "no probe of {path}"
        );
    }
    assert_eq!(
        values(&pod, "maxSurge"),
        ["0"],
        "rule 4: one agent per data directory"
    );
    assert_eq!(
        config.aggregators[0].port(),
        listen_port(),
        "the aggregator's port"
    );
}

#[test]
fn the_aggregator_fits_its_pod() {
    let config: AggregatorConfig = embedded("aggregator-config.yaml", "aggregator.yaml");
    let pod = manifest("aggregator-statefulset.yaml");
    let port = config.listen.port().to_string();
    assert!(
        !config.listen.ip().is_loopback(),
        "agents come from outside"
    );
    assert!(values(&pod, "containerPort").contains(&port), "{port}");
    let service = manifest("aggregator-service.yaml");
    assert!(values(&service, "port").contains(&port), "{port}");
    assert_eq!(
        values(&service, "clusterIP"),
        ["None"],
        "each address is an aggregator"
    );
    let data_dir = config.data_dir.display().to_string();
    assert!(values(&pod, "mountPath").contains(&data_dir), "{data_dir}");
    for rules in &config.rules {
        assert!(
            values(&pod, "mountPath").contains(&rules.display().to_string()),
            "{rules:?}"
        );
    }
    grace(&pod, config.shutdown_grace.as_secs());
    for path in ["/healthz", "/readyz"] {
        assert!(
            values(&pod, "path").iter().any(|p| p == path),
            "no probe of {path}"
        );
    }
}

fn listen_port() -> u16 {
    let config: AggregatorConfig = embedded("aggregator-config.yaml", "aggregator.yaml");
    config.listen.port()
}

/// The kubelet kills at the end of its period: the program has to be done before.
fn grace(pod: &str, program_seconds: u64) {
    let periods = values(pod, "terminationGracePeriodSeconds");
    assert_eq!(periods.len(), 1, "terminationGracePeriodSeconds");
    let period: u64 = periods[0].parse().unwrap();
    assert!(
        period > program_seconds,
        "{period} s for a program that takes {program_seconds} s"
    );
}
