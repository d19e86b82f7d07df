//! The rig of the end-to-end tests: real servers, the real programs, and faults between them.
//!
//! Servers come from Maven Central into a cache outside the checkout and run on 127.0.0.1 with
//! their data in temporary directories. Programs are the binaries that `make test` built. Every
//! process that a test starts dies with the test, also when the test is killed. Nothing here
//! sleeps for a time: it waits for conditions, with deadlines.

/// Waiting for a condition with a deadline.
pub mod wait;

/// Temporary directories that stay when a test fails.
pub mod scratch;

/// A small HTTP client.
pub mod http;

/// The cache of server files.
pub mod cache;

/// Java homes of this machine.
pub mod jdk;

/// Programs of others.
pub mod tools;

/// Processes that die with the test.
pub mod process;

/// OpenSearch and Elasticsearch.
pub mod server;

/// A Kubernetes API server.
pub mod kube;

/// The embedded store behind an address of its own.
pub mod embedded_server;

/// What a store holds.
pub mod documents;

/// A program under test.
pub mod program;

/// The agent under test.
pub mod agent;

/// The aggregator under test.
pub mod aggregator;

/// Steering the fault points of the programs.
pub mod control;

/// Scraped metrics.
pub mod metrics;

/// A TCP proxy that makes faults.
pub mod proxy;

/// An HTTP proxy that spoils requests and answers.
pub mod gate;

/// What came, compared with what was written.
pub mod verdict;

/// Programs that log while a test makes faults.
pub mod writer;

/// Loading into a real OpenSearch beside ready-made bodies.
pub mod load_bench;

/// The fault laboratory: random faults with a seed, and checks of everything.
pub mod laboratory;

/// A node, its programs and its data stream: the stage of one test.
pub mod scene;

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `docs/delivery.md` lists the tests that show each rule: a test that is renamed or removed
    /// must not leave a rule without proof.
    #[test]
    fn the_tests_that_the_delivery_rules_name_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the workspace");
        let page = std::fs::read_to_string(root.join("docs/delivery.md")).unwrap();
        let (mut rules, mut tests) = (0, 0);
        for line in page.lines() {
            let number = line.split_once(". ").map(|(number, _)| number);
            rules += u32::from(number.is_some_and(|it| it.parse::<u32>() == Ok(rules + 1)));
            let Some((file, test)) = line
                .trim_start()
                .strip_prefix("- `")
                .and_then(|it| it.strip_suffix('`'))
                .and_then(|it| it.split_once("`: `"))
            else {
                continue;
            };
            tests += 1;
            let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            assert!(
                source.contains(&format!("fn {test}(")),
                "no test `{test}` in {file}"
            );
        }
        assert_eq!(rules, 24);
        assert!(tests >= 2 * rules, "{tests} tests for {rules} rules");
    }

    /// `docs/faults.md` answers each of the 77 problems of others, and the tests that it names are
    /// there: whole, shortened with `…`, or beginning like that with `*`.
    #[test]
    fn the_tests_that_the_problems_of_others_name_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the workspace");
        let mut names = String::new();
        for folder in TESTED {
            gather(&root.join(folder), &mut names);
        }
        let page = std::fs::read_to_string(root.join("docs/faults.md")).unwrap();
        let mut answered = Vec::new();
        for line in page.lines().filter(|line| line.starts_with("| ")) {
            let mut cells = line.split(" | ");
            let numbers = cells.next().unwrap_or_default().trim_start_matches("| ");
            for number in numbers.split(", ") {
                let mut bounds = number.split('–').map(str::parse::<u32>);
                if let Some(Ok(from)) = bounds.next() {
                    let to = bounds.next().and_then(Result::ok).unwrap_or(from);
                    answered.extend(from..=to);
                }
            }
            for name in line.split('`').skip(1).step_by(2) {
                // Names of tests are sentences; all else in these cells is shorter, or has dots.
                if name.matches('_').count() < 3 || name.contains(['.', ' ', '/']) {
                    continue;
                }
                let parts = name.trim_matches(['…', '*']).split('…');
                let is_there = parts.clone().all(|part| names.contains(part));
                assert!(is_there, "no test `{name}`");
            }
        }
        answered.sort_unstable();
        assert_eq!(answered, (1..=77).collect::<Vec<u32>>());
    }

    /// Where tests stand.
    const TESTED: [&str; 10] = [
        "tests/tests",
        "tail",
        "agent",
        "aggregator",
        "buffer",
        "framing",
        "k8s",
        "store",
        "parsers/src",
        "wire",
    ];

    /// Adds the lines with a function's name from all source files below `dir`.
    fn gather(dir: &Path, names: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                gather(&path, names);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                for line in source.lines().filter(|line| line.contains("fn ")) {
                    names.push_str(line);
                    names.push('\n');
                }
            }
        }
    }
}
