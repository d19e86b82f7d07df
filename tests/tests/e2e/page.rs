//! The web page in Chromium, served by a real aggregator over a real store. The cases are those of
//! `web/page/test`; this starts what they need and shows what they say.

use std::io::Write as _;
use std::{path::Path, process::Command, time::Duration};

use bench::{
    container_log::Iostream,
    kubelet::{Container, Kubelet},
    stamp::{Civil, wall_ns},
};
use tests::{
    agent::{Agent, AgentSetup},
    aggregator::{Aggregator, AggregatorSetup},
    scene::Scene,
    scratch::Scratch,
    server::Server,
    wait,
};

/// Lines that the page is tried over when `PAGE_LINES` does not say otherwise.
const LINES: u64 = 1_000_000;
/// The time that they are of, up to now.
const SPAN_NS: u64 = 50 * 60 * 1_000_000_000;
/// How long they may take to be found.
const LOADED: Duration = Duration::from_secs(600);

/// Namespace, pod, container, lines and errors of what `web/page/test/dashboards.test.ts` knows. The
/// first two are one container that was started again.
const PODS: [(&str, &str, &str, u64, u64); 5] = [
    ("page-front", "web-1", "web", 30, 0),
    ("page-front", "web-1", "web", 50, 0),
    ("page-front", "web-2", "web", 20, 5),
    ("page-back", "db-1", "db", 40, 0),
    ("page-back", "db-1", "backup", 10, 0),
];

/// Runs the cases of the files whose names hold one of `files`, all when there is none; `variable`
/// is what they are told besides.
fn run_in_chromium(aggregator: &Aggregator, files: &[&str], variable: (&str, &str)) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/page.sh");
    let mut command = Command::new(script);
    command
        .args(["browser", &aggregator.url()])
        .args(files)
        .env("NO_COLOR", "1")
        .env_remove("TAILRACE_LINES")
        .env_remove("TAILRACE_PODS")
        .env(variable.0, variable.1);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_page_does_in_a_browser_what_it_promises() {
    let mut scene = Scene::new("page", Server::shared().unwrap()).unwrap();
    write_pods(&mut scene.kubelet);
    let index = format!("logs-*-{}", scene.namespace());
    let setup = scene
        .aggregator_setup()
        .with("web", &format!("{{index: '{index}'}}"))
        .elasticsearch("template", "{refresh_interval: 1s}");
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    run_in_chromium(&aggregator, &[], ("TAILRACE_PODS", "1"));
}

/// Over the embedded store, through the agent: the quickest way in that is a real one.
#[test]
fn the_page_does_not_freeze_over_many_lines() {
    let n_lines = match std::env::var("PAGE_LINES") {
        Ok(n_lines) => n_lines.parse().unwrap(),
        Err(_) => LINES,
    };
    assert_eq!(n_lines % 1_000, 0, "`PAGE_LINES` are thousands");
    let scratch = Scratch::new("pagelines").unwrap();
    let mut kubelet = Kubelet::new(&scratch.path().join("log"), 1).unwrap();
    write_lines(&mut kubelet, n_lines);
    let setup = AggregatorSetup::embedded("default");
    let aggregator = Aggregator::start(&scratch.path().join("aggregator"), &setup).unwrap();
    let setup = AgentSetup::new(&kubelet.glob(), &aggregator.url()).files(
        "allowed_roots",
        &format!("['{}']", kubelet.root().display()),
    );
    let agent = Agent::start(&scratch.path().join("agent"), &setup).unwrap();
    let http = aggregator.http();
    wait::until_ok(LOADED, "the lines to be found", || {
        let found = http.get_json("/api/v1/count?from=2h")?;
        if found["count"] == n_lines {
            return Ok(());
        }
        // Counting so many takes the machine from those that load them.
        wait::let_pass(Duration::from_millis(500));
        anyhow::bail!("{found} of {n_lines}")
    })
    .unwrap();
    drop(agent);
    let n_lines = n_lines.to_string();
    run_in_chromium(&aggregator, &["test/many"], ("TAILRACE_LINES", &n_lines));
}

/// The logs of [`PODS`].
fn write_pods(kubelet: &mut Kubelet) {
    for (namespace, pod, container, n_lines, n_errors) in PODS {
        let mut made = kubelet.container(namespace, pod, container).unwrap();
        for n in 0..n_lines {
            let level = if n < n_errors { "error" } else { "info" };
            let line = format!("{{\"level\":\"{level}\",\"message\":\"{container} {n}\"}}");
            made.log.line(Iostream::Stdout, line.as_bytes()).unwrap();
        }
    }
}

/// Lines of four containers, evenly over [`SPAN_NS`]: each hundredth is an error, one has the needle.
fn write_lines(kubelet: &mut Kubelet, n_lines: u64) {
    let mut made: Vec<Container> = ["web", "orders", "payments", "search"]
        .iter()
        .map(|name| {
            let pod = format!("{name}-1");
            let mut made = kubelet.container("shop", &pod, name).unwrap();
            made.log.set_bulk(1 << 20);
            made
        })
        .collect();
    let (first_ns, n_made) = (wall_ns() - SPAN_NS, made.len() as u64);
    let mut line = Vec::new();
    for n in 0..n_lines {
        let (level, message) = match n {
            _ if n == n_lines / 2 + 1 => ("warn", "needleinahaystack"),
            _ if n.is_multiple_of(100) => ("error", "payment failed"),
            _ if n.is_multiple_of(10) => ("warn", "slow answer"),
            _ => ("info", "order accepted"),
        };
        line.clear();
        Civil::from_ns(first_ns + SPAN_NS / n_lines * n).append_rfc3339(&mut line);
        writeln!(
            line,
            " stdout F {{\"level\":\"{level}\",\"message\":\"{message} {n}\",\"order\":{n}}}"
        )
        .unwrap();
        made[(n % n_made) as usize].log.bytes(&line).unwrap();
    }
    for made in &mut made {
        made.log.flush().unwrap();
    }
}
