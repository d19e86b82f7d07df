//! Cases from the test suites of other systems (../../shared/cases, when it is there). Those that
//! we decide otherwise are in `known_differences.txt`, each with the reason.

use std::collections::BTreeMap;

use framing::{Flush, Format, Frames, Input, Iostream, Options, Positions, Tags, frame};
use serde_json::Value;

#[path = "../../tests/shared_cases.rs"]
mod shared_cases;

const FILES: [&str; 7] = [
    "kubernetes",
    "beats",
    "exceptions",
    "fluentbit",
    "fluentd",
    "otel",
    "vector",
];
const KNOWN: &str = include_str!("known_differences.txt");

/// A record as far as cases speak of it.
#[derive(Debug)]
struct Found {
    message: String,
    iostream: Option<&'static str>,
    time_ns: Option<i64>,
    tags: Tags,
}

/// Formats whose rules are built in; the others are configured by the case.
fn format(name: &str) -> Option<Format> {
    match name {
        "cri" => Some(Format::Cri),
        "docker" => Some(Format::Docker),
        "java-multiline" | "nodejs-multiline" | "go-multiline" | "php-multiline"
        | "ruby-multiline" | "dotnet-multiline" | "python-multiline" | "dart-multiline"
        | "elastic-multiline" => Some(Format::Raw),
        _ if name.ends_with("-multiline-cri") => Some(Format::Cri),
        _ if name.ends_with("-multiline-docker") => Some(Format::Docker),
        _ => None,
    }
}

fn line(input: &Value) -> Option<String> {
    let text = match input {
        Value::String(text) => text,
        Value::Object(entry) => entry.get("body")?.as_str()?,
        _ => return None,
    };
    Some(text.strip_suffix('\n').unwrap_or(text).to_owned() + "\n")
}

fn input(case: &Value) -> Option<String> {
    match &case["input"] {
        Value::Array(lines) => lines.iter().map(line).collect(),
        one => line(one),
    }
}

fn run(format: Format, text: &str) -> Vec<Found> {
    let inputs = [Input {
        stream: 1,
        start: 0,
        resume: Positions::default(),
        eof: true,
        bytes: text.as_bytes(),
    }];
    let mut frames = Frames::new();
    frame(
        format,
        &inputs,
        Flush::Hard,
        &Options::default(),
        &mut frames,
    );
    frames
        .records()
        .iter()
        .map(|record| Found {
            message: String::from_utf8_lossy(frames.message(record, &inputs)).into_owned(),
            iostream: record.iostream.map(|iostream| match iostream {
                Iostream::Stdout => "stdout",
                Iostream::Stderr => "stderr",
            }),
            time_ns: record.time_ns,
            tags: record.tags,
        })
        .collect()
}

/// Nanoseconds of a time of the cases, read by way of a CRI line.
fn nanoseconds(time: &str) -> Option<i64> {
    run(Format::Cri, &format!("{time} stdout F x\n"))[0].time_ns
}

/// Compares one record; an error says in what it differs.
fn compare(expected: &Value, found: &Found) -> Result<(), String> {
    let message = match expected {
        Value::String(text) => text,
        Value::Object(_) => {
            let keys = ["message", "log", "body"];
            keys.iter()
                .find_map(|key| expected[*key].as_str())
                .ok_or("no message in the case")?
        }
        _ => return Err("no record in the case".to_owned()),
    };
    if message.trim_end_matches('\n') != found.message {
        return Err(format!("message {:?}, expected {message:?}", found.message));
    }
    let iostream = expected["stream"]
        .as_str()
        .or(expected["attributes"]["log.iostream"].as_str());
    if iostream.is_some() && iostream != found.iostream {
        return Err(format!("iostream {:?}", found.iostream));
    }
    if let Some(time) = expected["timestamp"].as_str()
        && nanoseconds(time) != found.time_ns
    {
        return Err(format!("time {:?}, expected {time}", found.time_ns));
    }
    if let Some(partial) = expected["partial"].as_bool()
        && partial != found.tags.contains(Tags::PARTIAL)
    {
        return Err(format!(
            "tags {:?}, expected partial: {partial}",
            found.tags
        ));
    }
    Ok(())
}

fn compare_all(expected: &[Value], found: &[&Found]) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!(
            "{} records, expected {}: {found:?}",
            found.len(),
            expected.len()
        ));
    }
    expected
        .iter()
        .zip(found)
        .try_for_each(|(expected, found)| compare(expected, found))
}

fn check(case: &Value, format: Format) -> Result<(), String> {
    let text = input(case).ok_or("the input is not lines")?;
    let found = run(format, &text);
    let all: Vec<&Found> = found.iter().collect();
    let expected = &case["expected"];
    if let Some(streams) = expected["records_by_stream"].as_object() {
        return streams.iter().try_for_each(|(name, expected)| {
            let of_stream: Vec<&Found> = found
                .iter()
                .filter(|found| found.iostream == Some(name.as_str()))
                .collect();
            compare_all(
                expected.as_array().ok_or("no records in the case")?,
                &of_stream,
            )
        });
    }
    if let Some(records) = expected["records"].as_array() {
        return compare_all(records, &all);
    }
    if expected["record"].is_object() {
        return compare_all(std::slice::from_ref(&expected["record"]), &all);
    }
    if expected["error"] == true {
        let is_refused = all
            .iter()
            .any(|found| found.tags.contains(Tags::FRAMING_ERROR));
        return is_refused
            .then_some(())
            .ok_or_else(|| format!("no error: {all:?}"));
    }
    Err("the case expects nothing that framing gives".to_owned())
}

#[test]
fn cases_of_peers_pass_or_are_known_to_differ() {
    let Some(cases) = shared_cases::read(&FILES) else {
        return;
    };
    let mut known: BTreeMap<&str, &str> = KNOWN
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(' ').expect("an id and a reason"))
        .collect();
    let (mut n_passed, mut problems) = (0, Vec::new());
    for case in &cases {
        let Some(format) = format(case["format"].as_str().unwrap()) else {
            continue;
        };
        let id = case["id"].as_str().unwrap();
        match (check(case, format), known.remove(id)) {
            (Ok(()), None) => n_passed += 1,
            (Ok(()), Some(_)) => problems.push(format!("{id}: passes, but is listed")),
            (Err(_), Some(_)) => {}
            (Err(problem), None) => problems.push(format!("{id}: {problem}")),
        }
    }
    problems.extend(
        known
            .keys()
            .map(|id| format!("{id}: listed, but there is no such case")),
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(n_passed >= 40, "only {n_passed} cases passed");
}
