//! Any text is a configuration or a list of problems.
#![no_main]

use std::path::Path;

use config::agent::AgentConfig;
use config::aggregator::AggregatorConfig;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let env = config::Environment::of([("A", "1")]);
    let path = Path::new("fuzz.yaml");
    if let Err(problems) = config::parse::<AgentConfig>(text, path, &env) {
        assert!(!problems.0.is_empty());
    }
    if let Err(problems) = config::parse::<AggregatorConfig>(text, path, &env) {
        assert!(!problems.0.is_empty());
    }
});
