//! What the API asks of the aggregator: lines in, figures out, rules tried.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parsers::{Outcome, Parser, RecordView, RuleSet, StreamContext};
use serde_json::{Map, Value};
use store::BoxFuture;
use web::{IngestError, LogLine, RuleFigures, RuleProblem, Trial, TrialResult};

use crate::clock::wall_ms;
use crate::pipeline::{LinePlace, RawLine, RawLines, Shared};
use crate::receive::{Intake, Tokens};
use crate::status::StatusSource;

/// The running aggregator behind the API.
pub struct WebPipeline {
    intake: Arc<Intake>,
    shared: Arc<Shared>,
    tokens: Arc<ArcSwap<Tokens>>,
    status: Arc<StatusSource>,
    endpoints: Arc<telemetry::http::Endpoints>,
}

impl WebPipeline {
    /// The parts that answer.
    pub fn new(
        intake: Arc<Intake>,
        shared: Arc<Shared>,
        tokens: Arc<ArcSwap<Tokens>>,
        status: Arc<StatusSource>,
        endpoints: Arc<telemetry::http::Endpoints>,
    ) -> Self {
        Self {
            intake,
            shared,
            tokens,
            status,
            endpoints,
        }
    }

    async fn take(&self, lines: Vec<LogLine>, key: Option<&str>) -> Result<(), IngestError> {
        let stream = match key {
            // Another body under the same key has other ids, as these hold the lines' hashes.
            Some(key) => xxhash_rust::xxh3::xxh3_64(format!("api\0{key}").as_bytes()),
            None => random(),
        };
        let mut offset = 0;
        let lines = lines.into_iter().map(|line| {
            let line = raw_line(line, stream, offset);
            offset += line.place.length;
            line
        });
        let lines = RawLines {
            lines: lines.collect(),
            ..RawLines::default()
        };
        let fragments = self
            .intake
            .pool
            .lines(lines, wall_ms())
            .await
            .map_err(|_| IngestError::Stopping)?
            .map_err(|error| IngestError::Busy(error.to_string()))?;
        match self.intake.keep(fragments).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(IngestError::Timeout),
            Err(full) => Err(IngestError::Busy(full.to_string())),
        }
    }
}

/// A line as a program would log it in JSON: the rules and the recogniser of JSON take it from
/// there. What is ours comes first, so that nothing of `meta` can take its place. The lines of a
/// request lie behind each other in a stream that is theirs alone.
///
/// A request that is sent again gives its lines their places and ids again: the time takes as many
/// bytes whatever it is, and is no part of an id when it is not the sender's.
fn raw_line(line: LogLine, stream: u64, offset: u64) -> RawLine {
    const TIME: &str = "@timestamp";
    let time = jiff::Timestamp::from_nanosecond(i128::from(line.time_ns))
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let ours = [
        ("log.level", Value::from(line.level)),
        ("service.name", line.service.into()),
        ("message", line.message.into()),
    ];
    let is_ours = |name: &str| name == TIME || ours.iter().any(|(ours, _)| *ours == name);
    let meta: Vec<(String, Value)> = line
        .meta
        .into_iter()
        .filter(|(name, _)| !is_ours(name))
        .collect();
    let all = ours
        .iter()
        .map(|(name, value)| (*name, value))
        .chain(meta.iter().map(|(name, value)| (name.as_str(), value)));
    let mut said = String::new();
    for (name, value) in all {
        said.push(',');
        said.push_str(&Value::from(name).to_string());
        said.push(':');
        said.push_str(&value.to_string());
    }
    said.push('}');
    let text = format!("{{\"{TIME}\":\"{time:.9}\"{said}");
    let identity = if line.is_timed { &text } else { &said };
    let hash = xxhash_rust::xxh3::xxh3_64(identity.as_bytes()) as u32;
    RawLine {
        time_ns: line.time_ns,
        place: LinePlace {
            stream,
            offset,
            length: text.len() as u64,
        },
        id: store::document_id(stream, offset, hash),
        metadata: Cow::Borrowed(b"{}"),
        text: text.into_bytes(),
    }
}

/// The counters of a text of metrics, by name; those with labels are added up.
fn counters(metrics: &str) -> Map<String, Value> {
    let mut sums: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let value = line
            .rsplit(' ')
            .next()
            .and_then(|text| text.parse::<f64>().ok());
        if let Some(value) = value.filter(|_| name.ends_with("_total")) {
            *sums.entry(name).or_default() += value;
        }
    }
    sums.into_iter()
        .map(|(name, sum)| (name.to_owned(), sum.into()))
        .collect()
}

/// A number that no other request has.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(wall_ms())
}

impl web::Pipeline for WebPipeline {
    fn ingest<'a>(
        &'a self,
        lines: Vec<LogLine>,
        key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), IngestError>> {
        Box::pin(self.take(lines, key))
    }

    fn is_agent(&self, authorization: Option<&str>) -> bool {
        authorization.is_some() && self.tokens.load().sender(authorization).is_some()
    }

    fn status(&self) -> Value {
        let mut status = self.status.json();
        if let Some(metrics) = self.endpoints.metrics_text() {
            status["counters"] = Value::Object(counters(&metrics));
        }
        status
    }

    fn rules(&self) -> Vec<RuleFigures> {
        let book = self.shared.rule_book.json();
        let list = book["list"].as_array().map_or(&[][..], Vec::as_slice);
        let number = |rule: &Value, key: &str| rule[key].as_u64().unwrap_or(0);
        list.iter()
            .map(|rule| RuleFigures {
                name: rule["name"].as_str().unwrap_or_default().to_owned(),
                counts: Some(["tried", "matched", "failed"].map(|key| number(rule, key))),
                cpu_seconds: Some(number(rule, "cpu_ms") as f64 / 1000.0),
            })
            .collect()
    }

    fn reload_problem(&self) -> Option<String> {
        let rules = self.shared.rule_book.problem();
        rules.or_else(|| self.status.reload_error())
    }

    fn try_rules(&self, trial: &Trial) -> Result<Vec<TrialResult>, Vec<RuleProblem>> {
        let rules =
            match &trial.rules {
                None => Arc::clone(&self.shared.plan.load().rules),
                Some(text) => {
                    let texts = [(Path::new("rules.yaml"), text.as_str())];
                    // Whoever may try rules may not read this machine's files.
                    let known = self.shared.plan.load();
                    let rules = RuleSet::from_texts_within(&texts, known.rules.files());
                    Arc::new(rules.map_err(|problems| {
                        problems.into_iter().map(problem).collect::<Vec<_>>()
                    })?)
                }
            };
        try_lines(&rules, &trial.lines, &trial.metadata)
    }
}

fn try_lines(
    rules: &Arc<RuleSet>,
    lines: &[String],
    metadata: &Map<String, Value>,
) -> Result<Vec<TrialResult>, Vec<RuleProblem>> {
    let metadata = Value::Object(metadata.clone()).to_string();
    let context = StreamContext::new(metadata.as_bytes()).map_err(|error| {
        vec![RuleProblem {
            line: 0,
            column: 0,
            message: format!("cannot use the metadata: {error}"),
            hint: None,
        }]
    })?;
    let now_ns = i64::try_from(wall_ms())
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000);
    let mut parser = Parser::new(Arc::clone(rules));
    let mut document = Vec::new();
    let results = lines.iter().map(|line| {
        let view = RecordView {
            message: line.as_bytes(),
            iostream: Some("stdout"),
            time_ns: Some(now_ns),
            now_ns,
            stream: 0,
            offset: 0,
            length: line.len() as u64,
            parts: &[],
            trace_at: None,
            tags: &[],
            unparsed: false,
        };
        document.clear();
        match parser.append_document(&view, &context, &mut document) {
            Outcome::Dropped { rule } => TrialResult {
                rule: Some(rules.name(rule).to_owned()),
                document: None,
            },
            Outcome::Document(made) => TrialResult {
                rule: made.rule.map(|rule| rules.name(rule).to_owned()),
                document: serde_json::from_slice(&document).ok(),
            },
        }
    });
    Ok(results.collect())
}

fn problem(problem: parsers::Problem) -> RuleProblem {
    RuleProblem {
        line: u32::try_from(problem.line).unwrap_or(0),
        column: u32::try_from(problem.column).unwrap_or(0),
        message: problem.what,
        hint: problem.hint,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What of a document a line of the API becomes.
    fn document(line: LogLine) -> Value {
        let raw = raw_line(line, 7, 0);
        let text = String::from_utf8(raw.text).unwrap();
        let rules = Arc::new(RuleSet::empty());
        let results = try_lines(&rules, &[text], &Map::new()).unwrap();
        results[0].document.clone().unwrap()
    }

    #[test]
    fn a_line_of_the_api_becomes_the_document_it_says() {
        let meta = json!({
            "trace.id": "abc", "orderId": 7, "level": "debug", "message": "not me", "time": "2001-01-01T00:00:00Z",
            "@timestamp": "2001-01-01T00:00:00Z",
        });
        let document = document(LogLine {
            service: "shop".into(),
            level: "error",
            message: "cannot \"pay\"\nat once".into(),
            meta: meta.as_object().cloned().unwrap(),
            time_ns: 1_795_600_800_000_000_001,
            is_timed: true,
        });
        assert_eq!(document["@timestamp"], "2026-11-25T10:00:00.000000001Z");
        assert_eq!(document["message"], "cannot \"pay\"\nat once");
        assert_eq!(document["log"]["level"], "error");
        assert_eq!(document["service"]["name"], "shop");
        assert_eq!(document["trace"]["id"], "abc");
        assert_eq!(document["attributes"]["orderId"], 7);
    }

    #[test]
    fn a_line_that_is_sent_again_has_its_place_and_id_again() {
        let line = |message: &str, time_ns: i64, is_timed: bool| {
            let line = LogLine {
                service: "shop".into(),
                level: "info",
                message: message.into(),
                meta: Map::new(),
                time_ns,
                is_timed,
            };
            let raw = raw_line(line, 7, 40);
            (raw.place.length, raw.id.to_string())
        };
        let (early, late) = (1_795_600_800_000_000_000, 1_795_600_800_120_000_001);
        assert_eq!(line("m", early, false), line("m", late, false));
        let (length, id) = line("m", early, true);
        assert_eq!((length, id.clone()), line("m", early, true));
        for other in [line("m", late, true), line("n", early, true)] {
            assert_eq!(other.0, length);
            assert_ne!(other.1, id);
        }
    }

    #[test]
    fn counters_with_labels_are_added_up() {
        let text =
            "# TYPE a counter\na_total{x=\"1 2\"} 3\na_total{x=\"b\"} 4\ng{} 9\nb_total 1.5\n";
        assert_eq!(
            Value::Object(counters(text)),
            json!({"a_total": 7.0, "b_total": 1.5})
        );
    }

    #[test]
    fn rules_are_tried_and_their_problems_have_places() {
        let problems =
            RuleSet::from_texts(&[(Path::new("r"), "rules:\n  - name: 1 2\n")]).unwrap_err();
        let shown = problem(problems.into_iter().next().unwrap());
        assert!(shown.line > 0 && !shown.message.is_empty(), "{shown:?}");
    }
}
