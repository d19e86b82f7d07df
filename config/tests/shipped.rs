//! What is generated from the types is fresh, loads, and says the defaults.

use std::path::{Path, PathBuf};

use config::agent::AgentConfig;
use config::aggregator::AggregatorConfig;
use config::{Environment, Root};

const HINT: &str = "is stale: run `cargo run -p config --example reference`";

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(crate_dir().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn generated_files_are_fresh() {
    assert!(
        read("../docs/configuration.md") == config::reference(),
        "docs/configuration.md {HINT}"
    );
    assert!(
        read("default/agent.yaml") == config::shipped::<AgentConfig>(),
        "agent.yaml {HINT}"
    );
    let aggregator = config::shipped::<AggregatorConfig>();
    assert!(
        read("default/aggregator.yaml") == aggregator,
        "aggregator.yaml {HINT}"
    );
    let values = read("../k8s/chart/values.schema.json");
    assert!(
        config::chart_schema(&values).as_ref() == Some(&values),
        "k8s/chart/values.schema.json {HINT}"
    );
}

#[test]
fn shipped_files_load_and_equal_the_defaults() {
    let env = Environment::process();
    let agent: AgentConfig = config::load(&crate_dir().join("default/agent.yaml"), &env)
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(agent, AgentConfig::default());
    let aggregator: AggregatorConfig =
        config::load(&crate_dir().join("default/aggregator.yaml"), &env)
            .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(aggregator, AggregatorConfig::default());
}

/// Takes the `#` away before every key that is shown as a comment.
fn uncommented(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let key = bare
            .strip_prefix("# ")
            .map(|rest| rest.strip_prefix("- ").unwrap_or(rest));
        let is_key = key
            .and_then(|key| key.split_once(':'))
            .is_some_and(|(key, rest)| {
                key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                    && (rest.is_empty() || rest.starts_with(' '))
            });
        if is_key && !bare.contains(": the ") {
            let indent = line.len() - bare.len();
            out.push_str(&" ".repeat(indent));
            out.push_str(bare.trim_start_matches("# "));
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

#[test]
fn what_stands_in_comments_is_a_key_with_a_valid_value() {
    // Files of secrets are not there, and ways to authenticate and stores of an output exclude each
    // other: those problems are expected, no others.
    let env = Environment::of([
        ("ELASTICSEARCH_PASSWORD", "x"),
        ("ELASTICSEARCH_API_KEY", "x"),
        ("ELASTICSEARCH_TOKEN", "x"),
    ]);
    check::<AgentConfig>(&env);
    check::<AggregatorConfig>(&env);

    fn check<T: Root>(env: &Environment) {
        let text = uncommented(&config::shipped::<T>());
        let Err(problems) = config::parse::<T>(&text, Path::new("/x/y.yaml"), env) else {
            panic!("files of secrets cannot be there");
        };
        let expected = [
            "cannot read",
            "one way to authenticate",
            "not both",
            "belongs to data streams",
            "no certificate",
            "an output has one store",
        ];
        for problem in &problems.0 {
            let text = problem.to_string();
            assert!(
                expected.iter().any(|part| text.contains(part)),
                "{text}\n{}",
                uncommented(&config::shipped::<T>())
            );
        }
    }
}
