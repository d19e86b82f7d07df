//! `make run`, as somebody meets it who tries it: what it prints can be typed in, and a program that
//! is killed is there again without a line less or one more.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use bench::{
    container_log::read_rotated,
    marker::{self, Balance, Ledger},
};
use serde_json::Value;
use tests::{
    http::Http, process::Process, program::bin_dir, scratch::Scratch, server::Server,
    verdict::text, wait,
};

const LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to let everything arrive and to stop.
const STOP: Duration = Duration::from_secs(120);

/// `tailrace-run`, with everything that it writes below a directory of the test.
struct Run {
    process: Process,
    scratch: Scratch,
}

impl Run {
    /// Starts it over the aggregator's own store, or over one at a URL, and waits for its hints.
    fn start(store_url: Option<&str>) -> Self {
        let scratch = Scratch::new("tryout").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tailrace-run"));
        command
            .args(["--shop", "--rate", "300"])
            .env("TAILRACE_BIN_DIR", bin_dir())
            .env("TMPDIR", scratch.path())
            // What it has written and stored is read when it has ended.
            .env("TAILRACE_KEEP", "1")
            .env("ELASTICSEARCH_URL", store_url.unwrap_or_default());
        let log = scratch.path().join("run.log");
        let process = Process::start("tailrace-run", &mut command, &log).unwrap();
        let mut run = Self { process, scratch };
        run.wait_said("Ctrl-C stops everything.");
        run
    }

    /// Waits until it has printed `words`.
    fn wait_said(&mut self, words: &str) {
        let log = self.process.log_path().to_owned();
        let has_said = || {
            let said = fs::read_to_string(&log)?;
            anyhow::ensure!(said.contains(words), "it has not said `{words}`");
            Ok(())
        };
        self.process.wait_ready(LIMIT, has_said).unwrap();
    }

    /// The first line that it has printed with `part` in it.
    fn line(&self, part: &str) -> String {
        let said = self.process.log_text();
        match said.lines().find(|line| line.contains(part)) {
            Some(line) => line.to_owned(),
            None => panic!("no line with `{part}`:\n{said}"),
        }
    }

    /// Does what the line says that has `part` in it, as in another terminal.
    fn type_in(&self, part: &str) -> Output {
        let line = self.line(part);
        Command::new("sh").args(["-c", &line]).output().unwrap()
    }

    fn page(&self) -> Http {
        let line = self.line("the page: ");
        Http::at(line.trim().trim_start_matches("the page: ")).unwrap()
    }

    /// Where its configs, logs and data lie.
    fn dir(&self) -> PathBuf {
        let line = self.line(" audit --config ");
        let (_, config) = line.split_once("--config ").unwrap();
        let dir = Path::new(config).parent().unwrap();
        assert!(dir.starts_with(self.scratch.path()), "{dir:?}");
        dir.to_owned()
    }

    /// Stops it as Ctrl-C does; the number of documents that it has counted at the end.
    fn stop(&mut self) -> u64 {
        let status = self.process.terminate(STOP).unwrap();
        let said = self.process.log_text();
        assert!(status.success() && !said.contains("in vain"), "{said}");
        let summary = self.line("in all: ");
        let (_, documents) = summary.split_once(" lines read, ").unwrap();
        let number = documents.trim_start_matches("about ").split(' ').next();
        number.unwrap().parse().unwrap()
    }
}

fn check_page(http: &Http) {
    let page = http.get("/").unwrap();
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<html"), "{}", page.text());
}

/// Waits until more than `before` documents are found, and tells how many.
fn wait_more(http: &Http, before: u64) -> u64 {
    wait::until_ok(LIMIT, "more documents", || {
        let answer = http.get_json("/api/v1/count?from=1h")?;
        let count = answer["count"].as_u64().unwrap_or_default();
        anyhow::ensure!(count > before, "{count} documents");
        Ok(count)
    })
    .unwrap()
}

/// How many markers the log files below `dir` have: they are numbered from 0 on.
fn markers_below(dir: &Path) -> u32 {
    let mut n_markers = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            n_markers = n_markers.max(markers_below(&path));
        } else {
            let lines = read_rotated(&path).unwrap();
            marker::find_all(&lines, |number| n_markers = n_markers.max(number + 1));
        }
    }
    n_markers
}

#[test]
fn what_the_run_prints_can_be_typed_in_and_killing_its_programs_loses_no_line() {
    let mut run = Run::start(None);
    let http = run.page();
    check_page(&http);
    let mut count = wait_more(&http, 0);
    wait::until_ok(LIMIT, "an error of the shop", || {
        let errors = http.get_json("/api/v1/logs/errors?from=1h")?;
        let stats = http.get_json("/api/v1/logs/stats?from=1h")?;
        let n_shown = errors["items"].as_array().map_or(0, Vec::len);
        anyhow::ensure!(n_shown > 0 && stats["errors"].as_u64() > Some(0), "{stats}");
        Ok(())
    })
    .unwrap();

    for name in ["aggregator", "agent"] {
        let killed = run.type_in(&format!("# the {name}"));
        assert!(killed.status.success(), "{killed:?}");
        run.wait_said(&format!("tailrace-{name} runs again"));
        let end = run.line(&format!("tailrace-{name} (process "));
        assert!(end.contains("ended, signal: 9"), "{end}");
        // The first more may have been there before the kill.
        count = wait_more(&http, wait_more(&http, count));
    }
    check_page(&http);
    // Of documents that are on their way, the later ones may be there first.
    wait::until_ok(LIMIT, "an audit without fault", || {
        let audit = run.type_in(" audit --config ");
        let said = String::from_utf8_lossy(&audit.stdout);
        let is_clean = audit.status.success() && said.contains("no gap, no overlap");
        anyhow::ensure!(is_clean, "{audit:?}");
        Ok(())
    })
    .unwrap();

    let dir = run.dir();
    let n_counted = run.stop();
    let hits = crate::embedded::hits(&dir.join("aggregator-data/outputs/main/store"));
    assert_eq!(n_counted, hits.len() as u64);
    let mut ledger = Ledger::new(markers_below(&dir.join("logs/pods")));
    for hit in &hits {
        ledger.document(hit["_source"].to_string().as_bytes());
    }
    let all_once = Balance {
        lost: 0,
        doubled: 0,
        strangers: 0,
    };
    assert_eq!(ledger.balance(), all_once);
}

#[test]
fn the_run_over_a_store_elsewhere_has_a_page_that_finds_its_lines() {
    let mut run = Run::start(Some(&Server::shared().unwrap().url()));
    let http = run.page();
    check_page(&http);
    // The store and the data stream may have lines of others.
    let logs = run.dir().join("logs");
    wait::until_ok(LIMIT, "lines of this run", || {
        let found = http.get_json("/api/v1/search?from=15m&size=100")?;
        let mut hits = found["hits"].as_array().into_iter().flatten();
        let is_own =
            |hit: &Value| Path::new(text(&hit["source"], "log.file.path")).starts_with(&logs);
        anyhow::ensure!(hits.any(is_own), "{}", found["total"]);
        Ok(())
    })
    .unwrap();
    assert!(run.stop() > 0);
}
