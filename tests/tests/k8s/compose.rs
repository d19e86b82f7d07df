//! `docker-compose.yaml`: the programs take the configurations in it, and Docker takes the file.

use std::process::Command;

use tests::{program::binary, scratch::Scratch};

use crate::manifests::{root, yaml};

#[test]
fn the_programs_take_the_configurations() {
    let text = std::fs::read_to_string(root().join("docker-compose.yaml")).unwrap();
    let compose = yaml(&text);
    for program in ["agent", "aggregator"] {
        let scratch = Scratch::new("compose").unwrap();
        let file = scratch.path().join(format!("{program}.yaml"));
        let content = compose["configs"][program]["content"].as_str().unwrap();
        assert!(
            !content.contains('$'),
            "Docker would put its own environment there"
        );
        let data = format!("{}/", scratch.path().display());
        std::fs::write(&file, content.replace("/var/lib/tailrace", &data)).unwrap();
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
        // Nobody else than the host may reach what has no sign-in.
        assert!(
            yaml(content)["listen"]
                .as_str()
                .unwrap()
                .starts_with("127.0.0.1:")
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
            println!("docker has no compose here: docker-compose.yaml was only read as YAML");
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
