//! `tailrace-aggregator status`: a running aggregator's figures, for people.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use telemetry::table::{self, Table};

/// Files of the agent within that are shown, those with the largest lag first.
const MAX_FILES: usize = 20;

/// Asks the aggregator at `address` and prints what it says.
///
/// # Errors
/// When nobody answers there.
pub(super) fn run(address: SocketAddr, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let text = telemetry::http::fetch(address, "/status")
        .with_context(|| format!("cannot ask the aggregator at {address}: is it running there?"))?;
    if json {
        writeln!(out, "{text}")?;
        return Ok(());
    }
    let status: Value = serde_json::from_str(&text).context("cannot read the answer")?;
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    let word = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_owned()
    };
    writeln!(
        out,
        "tailrace-aggregator {}, up {}, {} resident",
        word(&status, "version"),
        table::span(Duration::from_secs(number(&status, "uptime_seconds"))),
        table::bytes(number(&status, "resident_bytes")),
    )?;
    if let Some(error) = status.get("reload_error").and_then(Value::as_str) {
        writeln!(
            out,
            "the last reload failed, the old configuration is in force: {error}"
        )?;
    }
    if let Some(line) = kubernetes_events(&status["kubernetes_events"]) {
        writeln!(out, "{line}")?;
    }
    let mut buffers = Table::new(&[
        "output",
        "undelivered",
        "bytes",
        "oldest",
        "on disk",
        "limit",
        "parked",
    ]);
    for output in outputs(&status) {
        let buffer = &output["buffer"];
        let parked = buffer
            .get("parked")
            .and_then(Value::as_array)
            .map_or(0, |parked| {
                parked.iter().map(|one| number(one, "bytes")).sum()
            });
        buffers.row(&[
            word(output, "name"),
            number(buffer, "entries").to_string(),
            table::bytes(number(buffer, "undelivered_bytes").max(number(buffer, "bytes"))),
            table::span(Duration::from_secs(number(buffer, "oldest_seconds"))),
            table::bytes(number(buffer, "disk_bytes")),
            table::bytes(number(buffer, "max_bytes")),
            table::bytes(parked),
        ]);
    }
    writeln!(out, "\n{buffers}")?;
    print_rules(out, &status["rules"])?;
    for output in outputs(&status) {
        writeln!(out, "\nstore of output {}", word(output, "name"))?;
        print_flat(out, "", &output["store"])?;
    }
    if let Some(agent) = status.get("agent").filter(|agent| agent.is_object()) {
        writeln!(
            out,
            "\nagent within\n{}",
            agent::status_table(agent, MAX_FILES)
        )?;
    }
    Ok(())
}

/// Who reads Kubernetes Events, where that is configured.
fn kubernetes_events(events: &Value) -> Option<String> {
    let word = |name: &str| events.get(name).and_then(Value::as_str);
    let mut line = match (events.get("reads")?.as_bool()?, word("holder")) {
        (true, _) => match events.get("position").and_then(Value::as_u64) {
            Some(position) => format!("reads Kubernetes Events, durable up to version {position}"),
            None => "reads Kubernetes Events".to_owned(),
        },
        (false, Some(holder)) => format!("Kubernetes Events are read by {holder}"),
        (false, None) => "Kubernetes Events are read by nobody that is known here".to_owned(),
    };
    if let Some(problem) = word("problem") {
        line.push_str("; ");
        line.push_str(problem);
    }
    Some(line)
}

/// The rules that were tried, those that cost most first.
fn print_rules(out: &mut dyn Write, rules: &Value) -> std::io::Result<()> {
    let number = |rule: &Value, key: &str| rule.get(key).and_then(Value::as_u64).unwrap_or(0);
    if let Some(problem) = rules.get("problem").and_then(Value::as_str) {
        writeln!(
            out,
            "\nthe latest rule files are refused, older rules are in force:\n{problem}"
        )?;
    }
    let mut list: Vec<&Value> = rules["list"].as_array().into_iter().flatten().collect();
    let n_rules = list.len();
    list.retain(|rule| number(rule, "tried") > 0);
    list.sort_by_key(|rule| std::cmp::Reverse(number(rule, "cpu_ms")));
    let mut table = Table::new(&["rule", "tried", "matched", "dropped", "failed", "CPU"]);
    for rule in &list {
        table.row(&[
            rule["name"].as_str().unwrap_or("-").to_owned(),
            number(rule, "tried").to_string(),
            number(rule, "matched").to_string(),
            number(rule, "dropped").to_string(),
            number(rule, "failed").to_string(),
            table::span(Duration::from_millis(number(rule, "cpu_ms"))),
        ]);
    }
    if !table.is_empty() {
        writeln!(out, "\n{table}")?;
    }
    if list.len() < n_rules {
        writeln!(
            out,
            "{} of {n_rules} rules were not tried yet",
            n_rules - list.len()
        )?;
    }
    let kept = number(rules, "unmatched_kept");
    if kept > 0 {
        writeln!(
            out,
            "{kept} lines matched no rule: `rules unmatched` shows them"
        )?;
    }
    Ok(())
}

fn outputs(status: &Value) -> impl Iterator<Item = &Value> {
    status
        .get("outputs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Prints an object as `key  value` lines, nested keys joined by dots.
fn print_flat(out: &mut dyn Write, prefix: &str, value: &Value) -> std::io::Result<()> {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                print_flat(out, &key, value)?;
            }
            Ok(())
        }
        Value::Array(items) if items.is_empty() => Ok(()),
        Value::Array(items) => {
            for item in items {
                print_flat(out, prefix, item)?;
            }
            Ok(())
        }
        Value::Null => Ok(()),
        Value::String(text) => writeln!(out, "  {prefix:<28}  {text}"),
        other => writeln!(out, "  {prefix:<28}  {other}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_reads_kubernetes_events_is_one_line() {
        for (events, line) in [
            (Value::Null, None),
            (
                json!({"reads": true, "holder": "a_1", "position": 7, "problem": null}),
                Some("reads Kubernetes Events, durable up to version 7"),
            ),
            (
                json!({"reads": true, "holder": "a_1", "position": null, "problem": "read: forbidden"}),
                Some("reads Kubernetes Events; read: forbidden"),
            ),
            (
                json!({"reads": false, "holder": "b_2", "position": null, "problem": null}),
                Some("Kubernetes Events are read by b_2"),
            ),
            (
                json!({"reads": false, "holder": null, "position": null, "problem": "lease: 403"}),
                Some("Kubernetes Events are read by nobody that is known here; lease: 403"),
            ),
        ] {
            assert_eq!(kubernetes_events(&events).as_deref(), line);
        }
    }

    #[test]
    fn nested_figures_are_printed_flat() {
        let mut out = Vec::new();
        let value = json!({"a": {"b": 1, "c": ["x", "y"]}, "none": null, "empty": []});
        print_flat(&mut out, "", &value).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines,
            [vec!["a.b", "1"], vec!["a.c", "x"], vec!["a.c", "y"]]
        );
    }
}
