//! The exporter against journal files that systemd wrote, killed wherever it may be.

use super::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// Adds entries `from..to` to a journal file, with systemd's own hands.
fn feed(path: &Path, from: u64, to: u64) {
    assert!(
        Path::new(REMOTE).exists(),
        "no {REMOTE}: journal files are made with it (make doctor; Debian: systemd-journal-remote)"
    );
    let mut text = String::new();
    for n in from..to {
        let unit = if n % 3 == 0 { "kubelet" } else { "cron" };
        write!(
            text,
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={:032x}\n\
             MESSAGE=\"entry\" {n}\nPRIORITY=4\n_PID=17\n_COMM={unit}\n_HOSTNAME=host\n\
             _SYSTEMD_UNIT={unit}.service\n_TRANSPORT=journal\nSECRET=no\n\n",
            1_700_000_000_000_000 + n,
            1_000 + n,
            0xb007
        )
        .unwrap();
    }
    write_journal(path, &text);
}

/// Adds entries in the export format to a journal file.
fn write_journal(path: &Path, text: &str) {
    let mut child = Command::new(REMOTE)
        .args([
            &format!("--output={}", path.display()),
            "--split-mode=none",
            "-",
        ])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

struct Stage {
    dir: tempfile::TempDir,
    config: AgentConfig,
}

impl Stage {
    fn new(change: impl FnOnce(&mut JournalConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let machine = root.join("log/0123456789abcdef0123456789abcdef");
        fs::create_dir_all(machine).unwrap();
        fs::create_dir_all(root.join("spool")).unwrap();
        let mut config = AgentConfig::default();
        config.journal.paths = vec![root.join("log"), root.join("none")];
        config.journal.start_at = StartAt::Beginning;
        change(&mut config.journal);
        Self { dir, config }
    }

    fn file(&self) -> PathBuf {
        let root = self.dir.path();
        root.join("log/0123456789abcdef0123456789abcdef/system.journal")
    }

    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn open(&self) -> Exporter {
        Exporter::open(&self.config, &self.spool(), JournalMetrics::default()).unwrap()
    }

    /// The lines of all files of the spool, in their order.
    fn lines(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.spool())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("entries.log"))
            .collect();
        // The one without a date is the last.
        files.sort_by_key(|path| (path.ends_with("entries.log"), path.clone()));
        let text: String = files
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        text.lines().map(str::to_owned).collect()
    }
}

fn numbers(lines: &[String]) -> Vec<u64> {
    let number = |line: &String| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let message = value["message"].as_str().unwrap();
        message.rsplit(' ').next().unwrap().parse().unwrap()
    };
    lines.iter().map(number).collect()
}

/// Steps until there is nothing more to do.
fn settle(exporter: &mut Exporter) {
    while exporter.step(&[]).is_zero() {}
    assert_eq!(exporter.problem, None);
}

#[test]
fn an_entry_becomes_a_line_of_json() {
    let stage = Stage::new(|journal| journal.fields.push("_UID".to_owned()));
    feed(&stage.file(), 0, 1);
    settle(&mut stage.open());
    let lines = stage.lines();
    let (before, cursor) = lines[0].split_once(render::CURSOR).unwrap();
    assert_eq!(
        before,
        r#"{"@timestamp":"2023-11-14T22:13:20.000000Z","message":"\"entry\" 0","log.level":"warn","systemd.unit":"kubelet.service","process.name":"kubelet","host.hostname":"host","process.pid":17,"journald.transport":"journal""#
    );
    assert!(cursor.contains("i=1;b=0000000000000000000000000000b007;m=3e8;"));
    assert!(serde_json::from_str::<serde_json::Value>(&lines[0]).is_ok());
}

#[test]
fn units_are_chosen_and_others_are_not_read_again() {
    let stage = Stage::new(|journal| journal.units = vec!["kubelet.*".to_owned()]);
    feed(&stage.file(), 0, 30);
    let mut exporter = stage.open();
    settle(&mut exporter);
    assert_eq!(
        numbers(&stage.lines()),
        (0..30).step_by(3).collect::<Vec<_>>()
    );
    assert_eq!(exporter.metrics.left_out.get(), 20);
}

#[test]
fn the_first_start_is_at_the_end_and_the_second_goes_on() {
    let stage = Stage::new(|journal| journal.start_at = StartAt::End);
    feed(&stage.file(), 0, 10);
    settle(&mut stage.open());
    // What comes while the agent is down is not before the start.
    feed(&stage.file(), 10, 20);
    settle(&mut stage.open());
    assert_eq!(numbers(&stage.lines()), (10..20).collect::<Vec<_>>());
}

#[test]
fn a_full_spool_holds_the_journal_back_and_goes_on_once_it_is_read() {
    let stage = Stage::new(|journal| journal.spool = config::ByteSize::kib(256));
    feed(&stage.file(), 0, 3_000);
    let mut exporter = stage.open();
    let mut read = Vec::new();
    for _ in 0..30 {
        settle(&mut exporter);
        assert!(exporter.spool.bytes() <= 2 * (256 << 10) + 1024);
        let full: Vec<PathBuf> = exporter
            .spool
            .full()
            .iter()
            .map(|(it, _)| it.clone())
            .collect();
        for path in &full {
            let text = fs::read_to_string(path).unwrap();
            read.extend(text.lines().map(str::to_owned));
        }
        exporter.step(&full);
        // Also when it dies right after the lines that told its position are gone.
        exporter = stage.open();
    }
    read.extend(stage.lines());
    assert_eq!(numbers(&read), (0..3_000).collect::<Vec<_>>());
}

/// Whatever instant it is killed at: no entry twice, none missing.
#[test]
fn every_entry_is_in_one_line_when_it_is_killed_anywhere() {
    let mut random = fastrand::Rng::with_seed(11);
    let stage = Stage::new(|journal| journal.spool = config::ByteSize::kib(256));
    let mut read = Vec::new();
    let mut n_fed = 0;
    for _ in 0..60 {
        let n = random.u64(1..120);
        feed(&stage.file(), n_fed, n_fed + n);
        n_fed += n;
        let mut exporter = stage.open();
        for _ in 0..random.usize(1..4) {
            let full: Vec<PathBuf> = exporter
                .spool
                .full()
                .iter()
                .map(|(it, _)| it.clone())
                .collect();
            for path in &full {
                let text = fs::read_to_string(path).unwrap();
                read.extend(text.lines().map(str::to_owned));
            }
            exporter.step(&full);
        }
        drop(exporter);
        // Killed within a write: a part of its lines is there. Lines before the stored position
        // were on the disk by then.
        let live = stage.spool().join("entries.log");
        let len = fs::metadata(&live).unwrap().len();
        let position = fs::metadata(stage.spool().join("position")).unwrap();
        let stored = position.modified().unwrap();
        if random.bool() && fs::metadata(&live).unwrap().modified().unwrap() > stored {
            let torn = len.saturating_sub(random.u64(0..200));
            let file = fs::OpenOptions::new().write(true).open(&live).unwrap();
            file.set_len(torn).unwrap();
        }
    }
    let mut exporter = stage.open();
    settle(&mut exporter);
    read.extend(stage.lines());
    let found = numbers(&read);
    assert_eq!(found, (0..n_fed).collect::<Vec<_>>());
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len() as u64, n_fed);
}

#[test]
fn lines_fit_the_tailers_limit() {
    let mut stage = Stage::new(|journal| journal.fields = vec!["*".to_owned()]);
    stage.config.files.max_line = config::ByteSize::kib(1);
    let mut text = String::from(
        "__REALTIME_TIMESTAMP=1700000000000000\n_BOOT_ID=0000000000000000000000000000b007\n",
    );
    for n in 0..200 {
        writeln!(text, "FIELD_{n}={}", "\"".repeat(300)).unwrap();
    }
    writeln!(text, "MESSAGE={}\n", "é".repeat(5_000)).unwrap();
    write_journal(&stage.file(), &text);
    let mut exporter = stage.open();
    settle(&mut exporter);
    let lines = stage.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].len() < 1024, "{}", lines[0].len());
    let value: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(value["journald.truncated"], true);
    assert_eq!(exporter.metrics.truncated.get(), 1);
}

#[test]
fn folders_of_machines_and_namespaces_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    for name in [id, &format!("{id}.web"), "remote", "0123"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let found = folders(&[dir.path().to_owned(), dir.path().join("none")]);
    let expected = [
        dir.path().join(id),
        dir.path().join(format!("{id}.web")),
        dir.path().to_owned(),
    ];
    assert_eq!(found, expected);
}
