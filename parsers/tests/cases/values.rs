//! Cases of single functions, through the steps that do the same: times, URLs, casts, severities,
//! spans of time, redaction. The line is the value.

use serde_json::{Value, json};

use super::{compare, run};

/// A day of the year that cases without a year are about, or of no importance.
const NEAR_NS: i64 = 1_496_275_200_000_000_000;

/// What is wrong with a case; `None` when it is none of these formats.
pub(super) fn check(case: &Value) -> Option<Result<(), String>> {
    let input = match &case["input"] {
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            let body = &members["body"];
            body.as_str().or(body["url"].as_str())?.to_owned()
        }
        other => other.to_string(),
    };
    let steps = match case["format"].as_str()? {
        "timestamp" => time(case),
        "url" => "url: message".to_owned(),
        "cast" => match case["source"].as_str()?.contains("parse_int") {
            true => "cast: {value: int}".to_owned(),
            false => "cast: {value: float}".to_owned(),
        },
        "duration" => {
            let unit = case["rule"]["unit"].as_str()?;
            format!("duration: {{field: value, to: value, as: {unit}}}")
        }
        "redact" => redact(case),
        "severity" if case["source"].as_str()?.contains("facility") => {
            return Some(facility(case, &input));
        }
        "severity" => return Some(severity(case, &input)),
        _ => return None,
    };
    let steps = format!("regex: '^(?P<value>(?s:.*))$'\n  - {steps}");
    Some(judge(case, &steps, &input))
}

fn judge(case: &Value, steps: &str, input: &str) -> Result<(), String> {
    let found = run(steps, input, NEAR_NS);
    let expected = &case["expected"];
    if expected.get("error").is_some() {
        return match found {
            Err(_) | Ok(None) => Ok(()),
            Ok(Some(found)) => Err(format!("{steps}: {found:?}")),
        };
    }
    let Ok(Some(found)) = found else {
        return Err(format!("{steps}: {found:?}"));
    };
    let epoch = expected["epoch"]
        .as_i64()
        .or(expected["epoch_if_year_2017"].as_i64());
    if let Some(seconds) = epoch {
        let ns = i128::from(seconds) * 1_000_000_000
            + (expected["frac"].as_f64().unwrap_or_default() * 1e9).round() as i128;
        let time = jiff::Timestamp::from_nanosecond(ns).map_err(|e| e.to_string())?;
        return compare(&json!({"@timestamp": time.to_string()}), &found);
    }
    let value = match expected["record"]["attributes"].as_object() {
        Some(_) => &expected["record"]["attributes"],
        None => &expected["value"],
    };
    match case["format"].as_str() {
        Some("timestamp") => {
            let text = value.as_str().unwrap_or_default();
            let text = text.trim_start_matches("t'").trim_end_matches('\'');
            compare(&json!({"@timestamp": text}), &found)
        }
        Some("url") => compare(&url(value), &found),
        Some("redact") => {
            let text = value.as_str().unwrap_or_default();
            let ours = text.replace("[REDACTED]", "[redacted:found]");
            compare(&json!({"message": ours}), &found)
        }
        _ => compare(&json!({"attributes.value": value}), &found),
    }
}

fn quoted(text: &str) -> String {
    json!(text).to_string()
}

/// The step for a time's format: conversions that are written otherwise are put in ours.
fn time(case: &Value) -> String {
    let rule = &case["rule"];
    let args = rule["vrl_args"].as_str().unwrap_or_default();
    let given = args.split('"').nth(1);
    let format = rule["format"].as_str().or(given).unwrap_or_default();
    let format = format
        .replace("%L", "%f")
        .replace("%v", "%e-%b-%Y")
        .replace("%:z", "%z");
    let zone = match (
        rule["timezone"].as_str(),
        rule["utc_offset_seconds"].as_i64(),
    ) {
        (Some(zone), _) => zone.to_owned(),
        (None, Some(seconds)) => {
            let sign = if seconds < 0 { '-' } else { '+' };
            let minutes = seconds.abs() / 60;
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
        (None, None) => "UTC".to_owned(),
    };
    let (format, zone) = (quoted(&format), quoted(&zone));
    format!("time: {{field: value, formats: [{format}], zone: {zone}}}")
}

/// What the parts of a URL are called here.
fn url(value: &Value) -> Value {
    let mut expected = serde_json::Map::new();
    for (theirs, ours) in [
        ("scheme", "url.scheme"),
        ("host", "url.domain"),
        ("path", "url.path"),
        ("fragment", "url.fragment"),
        ("username", "url.username"),
        ("user", "url.username"),
        ("port", "url.port"),
    ] {
        let part = &value[theirs];
        let is_empty = part.as_str() == Some("") || part.as_array().is_some_and(Vec::is_empty);
        if !part.is_null() && !is_empty {
            expected.insert(ours.to_owned(), part.clone());
        }
    }
    if let Some((key, query)) = value["query"].as_object().and_then(|all| all.iter().next()) {
        let query = query.as_str().or(query[0].as_str()).unwrap_or_default();
        expected.insert("url.query".to_owned(), format!("{key}={query}").into());
    }
    Value::Object(expected)
}

fn redact(case: &Value) -> String {
    let filters = &case["rule"]["filters"];
    let args = case["rule"]["vrl_args"].as_str().unwrap_or_default();
    let given = args
        .split("r'")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    match filters[0]["patterns"][0].as_str().or(given) {
        Some(pattern) => format!("redact: {{regexes: {{found: {}}}}}", quoted(pattern)),
        // No such detector.
        None => format!(
            "redact: {{detectors: [{}]}}",
            quoted(&filters[0].to_string())
        ),
    }
}

/// A severity's number and name are the same level; what is none of them has none.
fn severity(case: &Value, input: &str) -> Result<(), String> {
    let level = |text: &str| {
        let steps = "regex: '^(?P<value>.*)$'\n  - severity: value";
        let found = run(steps, text, NEAR_NS)?;
        Ok::<_, String>(found.and_then(|found| found.get("log.level").cloned()))
    };
    let found = level(input)?;
    let expected = match &case["expected"]["value"] {
        Value::String(name) => level(name)?,
        Value::Null => None,
        number => level(&number.to_string())?,
    };
    match found == expected && (found.is_some() || case["expected"]["value"].is_null()) {
        true => Ok(()),
        false => Err(format!("{input}: {found:?}, not {expected:?}")),
    }
}

/// A facility's number in a priority is that facility; what is none is no priority.
fn facility(case: &Value, input: &str) -> Result<(), String> {
    let number: i64 = input.parse().map_err(|_| format!("{input} is no number"))?;
    let line = format!("<{}>Jan  1 00:00:00 host app: text", number * 8 + 6);
    let found = run("syslog: {}", &line, NEAR_NS)?;
    let name = found.and_then(|found| found.get("log.syslog.facility.name").cloned());
    let expected = &case["expected"]["value"];
    match name == expected.as_str().map(Value::from) {
        true => Ok(()),
        false => Err(format!("{line}: {name:?}, not {expected}")),
    }
}
