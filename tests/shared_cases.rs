//! Cases from the test suites of other systems: files of `shared/cases` beside the checkout, where it is
//! there. A part of the tests of `framing`, `parsers` and `k8s`, which take it in by its path.

use std::{fs, io::Write as _, panic::Location, path::Path};

use serde_json::Value;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases");

/// The cases of files (`beats` of `beats.jsonl`) in their order. `None` where the folder is not there:
/// the test has nothing to run, passes, and this says so.
#[track_caller]
pub(crate) fn read(files: &[&str]) -> Option<Vec<Value>> {
    if !Path::new(CASES).is_dir() {
        let test = Location::caller();
        // Not by `eprintln`: what a test that passes prints is shown to nobody.
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "{test}: skipped, there is no `{CASES}`").ok();
        return None;
    }
    let mut cases = Vec::new();
    for file in files {
        let path = format!("{CASES}/{file}.jsonl");
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("cannot read `{path}`: {error}"));
        for (n, line) in text.lines().enumerate() {
            let case = serde_json::from_str(line);
            cases.push(case.unwrap_or_else(|error| panic!("{path}:{}: {error}", n + 1)));
        }
    }
    Some(cases)
}
