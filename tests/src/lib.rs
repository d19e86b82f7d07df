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

/// Processes that die with the test.
pub mod process;

/// OpenSearch and Elasticsearch.
pub mod server;

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
}
