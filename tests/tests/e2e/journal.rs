//! A node's systemd journal: the agent reads files that systemd writes, is killed, and each entry
//! comes once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tests::{agent::Agent, scene::Scene, server::Server};

const LIMIT: Duration = Duration::from_secs(60);
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// Adds entries `from..to` to a journal file, with systemd's own hands.
fn feed(path: &Path, from: u64, to: u64) {
    assert!(
        Path::new(REMOTE).exists(),
        "no {REMOTE}: journal files are made with it (make doctor; Debian: systemd-journal-remote)"
    );
    let mut text = String::new();
    for n in from..to {
        let unit = if n % 4 == 0 { "cron" } else { "kubelet" };
        write!(
            text,
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={:032x}\n\
             MESSAGE=entry {n} \"quoted\" {}\nPRIORITY={}\n_PID=17\n_COMM={unit}\n\
             _HOSTNAME=host\n_SYSTEMD_UNIT={unit}.service\n_TRANSPORT=journal\n\n",
            1_700_000_000_000_000 + n * 1000,
            1_000 + n,
            0xb007,
            "x".repeat((n % 50) as usize * 20),
            n % 8,
        )
        .unwrap();
    }
    let mut child = Command::new(REMOTE)
        .arg(format!("--output={}", path.display()))
        .args(["--split-mode=none", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

fn machine(scene: &Scene) -> PathBuf {
    let folder = scene.dir("journal/0123456789abcdef0123456789abcdef");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Archives the file that is written to, as journald does: the state, and another name.
fn rotate(file: &Path, to: &str) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[16] = 2;
    std::fs::write(file.with_file_name(to), bytes).unwrap();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn every_entry_of_the_journal_comes_once_when_the_agent_is_killed() {
    let scene = Scene::new("journal", Server::shared().unwrap()).unwrap();
    let folder = machine(&scene);
    let file = folder.join("system.journal");
    let aggregator = scene.start_aggregator().unwrap();
    let paths = scene.dir("journal");
    let setup = scene.agent_setup(&aggregator.url()).with(
        "journal",
        &format!(
            "{{enabled: true, paths: ['{}'], start_at: beginning, spool: 256KiB, \
             units: [kubelet.service]}}",
            paths.display()
        ),
    );
    let index = format!("logs-system.journal-{}", scene.namespace());
    let mut random = fastrand::Rng::with_seed(5);
    let mut agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let mut n_fed = 0;
    for round in 0..8_u64 {
        let n = random.u64(100..400);
        feed(&file, n_fed, n_fed + n);
        n_fed += n;
        let wanted = (0..n_fed).filter(|n| n % 4 != 0).count() as u64;
        // Somewhere between nothing and all of it.
        let part = wanted - random.u64(0..n / 2);
        scene
            .documents
            .wait_count(&index, "*", part, LIMIT)
            .unwrap();
        agent.kill().unwrap();
        if round == 4 {
            rotate(&file, "system@1.journal");
        }
        agent.start_again().unwrap();
    }
    let wanted: Vec<u64> = (0..n_fed).filter(|n| n % 4 != 0).collect();
    scene
        .documents
        .wait_count(&index, "*", wanted.len() as u64, LIMIT)
        .unwrap();
    let mut found: BTreeMap<u64, u32> = BTreeMap::new();
    for hit in scene.documents.all(&index).unwrap() {
        let source = &hit["_source"];
        let message = source["message"].as_str().unwrap();
        let n: u64 = message.split(' ').nth(1).unwrap().parse().unwrap();
        *found.entry(n).or_default() += 1;
        let text = "x".repeat((n % 50) as usize * 20);
        assert_eq!(message, format!("entry {n} \"quoted\" {text}"));
        assert_eq!(source["process"]["pid"], 17);
        assert_eq!(source["process"]["name"], "kubelet");
        assert_eq!(source["host"]["name"], "node-1");
        assert_eq!(source["event"]["dataset"], "system.journal");
        let time = source["@timestamp"].as_str().unwrap();
        assert!(time.starts_with("2023-11-14T22:"), "{time}");
    }
    let keys: Vec<u64> = found.keys().copied().collect();
    assert_eq!(keys, wanted);
    assert!(found.values().all(|n| *n == 1));
    let metrics = agent.metrics().unwrap();
    assert_eq!(metrics.count("agent_journal_entries_lost_total", &[]), 0);
    assert_eq!(metrics.count("tail_bytes_lost_total", &[]), 0);
}

/// Switched off and on by reloads: nothing is doubled, and what came meanwhile is carried then.
#[test]
fn the_journal_is_switched_by_a_reload() {
    let scene = Scene::new("journalswitch", Server::shared().unwrap()).unwrap();
    let file = machine(&scene).join("system.journal");
    let aggregator = scene.start_aggregator().unwrap();
    let paths = scene.dir("journal");
    let journal = format!(
        "journal: {{enabled: false, paths: ['{}'], start_at: beginning, spool: 256KiB}}\n",
        paths.display()
    );
    let setup = scene.agent_setup(&aggregator.url());
    let agent = Agent::start(&scene.dir("agent"), &setup).unwrap();
    let config = std::fs::read_to_string(agent.config_path()).unwrap();
    let index = format!("logs-system.journal-{}", scene.namespace());
    let mut n_fed = 0;
    for is_on in [true, false, true, false, true] {
        let section = journal.replace("false", if is_on { "true" } else { "false" });
        std::fs::write(agent.config_path(), format!("{config}{section}")).unwrap();
        agent.signal(Signal::HUP).unwrap();
        feed(&file, n_fed, n_fed + 500);
        n_fed += 500;
        if is_on {
            scene
                .documents
                .wait_count(&index, "*", n_fed, LIMIT)
                .unwrap();
        }
    }
    let mut found = BTreeSet::new();
    let hits = scene.documents.all(&index).unwrap();
    for hit in &hits {
        let message = hit["_source"]["message"].as_str().unwrap();
        found.insert(message.split(' ').nth(1).unwrap().parse::<u64>().unwrap());
    }
    assert_eq!(found.len() as u64, n_fed);
    assert_eq!(hits.len() as u64, n_fed);
}
