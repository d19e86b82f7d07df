//! The web page in Chromium, served by a real aggregator over a real store. The cases are those of
//! `web/page/test`; this starts what they need and shows what they say.

use std::{path::Path, process::Command};

use tests::{aggregator::Aggregator, scene::Scene, server::Server};

#[test]
fn the_page_does_in_a_browser_what_it_promises() {
    let scene = Scene::new("page", Server::shared().unwrap()).unwrap();
    let index = format!("logs-*-{}", scene.namespace());
    let setup = scene
        .aggregator_setup()
        .with("web", &format!("{{index: '{index}'}}"))
        .elasticsearch("template", "{refresh_interval: 1s}");
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/page.sh");
    let output = Command::new(script)
        .args(["browser", &aggregator.url()])
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
