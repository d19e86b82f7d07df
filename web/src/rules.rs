//! Rules with their figures, lines that none of them matched, and a place to try them.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::access::Asker;
use crate::api::{Api, Call};
use crate::body::{Body, json as answer};
use crate::histogram::buckets;
use crate::params::Params;
use crate::pipeline::Trial;
use crate::problem::Problem;
use crate::scope::{RECENT, Scope};
use crate::search::{Order, hit, hits, total_count};

/// The tag of documents that no rule matched though there were rules to try.
const UNPARSED: &str = "unparsed";
/// Bytes of a rule text.
const MAX_RULES: usize = 64 << 10;
/// Lines of a trial.
const MAX_LINES: usize = 200;
/// Bytes of one of them.
const MAX_LINE: usize = 64 << 10;

impl Api {
    pub(crate) async fn rules(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["from", "to", "tz"])?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let body = json!({
            "size": 0,
            "query": scope.filter(),
            "aggs": {
                "by": {"terms": {"field": "tailrace.rule", "size": 1000}},
                "unmatched": {"filters": {"filters": {"x": {"term": {"tags": UNPARSED}}}}},
            },
        });
        let found = self.ask(&body).await?;
        let aggs = &found["aggregations"];
        let counts: Map<String, Value> = buckets(&aggs["by"])
            .iter()
            .filter_map(|bucket| {
                Some((
                    bucket["key"].as_str()?.to_owned(),
                    bucket["doc_count"].clone(),
                ))
            })
            .collect();
        let rules: Vec<Value> = self
            .pipeline
            .rules()
            .into_iter()
            .map(|rule| {
                let documents = counts.get(&rule.name).cloned().unwrap_or(json!(0));
                let mut one = json!({"name": rule.name, "documents": documents});
                if let Some([tried, matched, failed]) = rule.counts {
                    one["tried"] = tried.into();
                    one["matched"] = matched.into();
                    one["failed"] = failed.into();
                }
                if let Some(seconds) = rule.cpu_seconds {
                    one["cpu_seconds"] = seconds.into();
                }
                one
            })
            .collect();
        let unmatched = &aggs["unmatched"]["buckets"]["x"]["doc_count"];
        let mut list = json!({"rules": rules, "unmatched": unmatched.as_u64().unwrap_or(0)});
        if let Some(problem) = self.pipeline.reload_problem() {
            list["problem"] = problem.into();
        }
        Ok(answer(StatusCode::OK, &list))
    }

    pub(crate) async fn unmatched(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["q", "from", "to", "tz", "size"])?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let size = params.number("size", 1..=1000, 100)?;
        let body = json!({
            "size": size,
            "query": scope.filter_and(&[json!({"term": {"tags": UNPARSED}})]),
            "sort": Order::NEWEST.sort(self),
            "track_total_hits": true,
        });
        let found = self.ask(&body).await?;
        let list: Vec<Value> = hits(&found).iter().map(hit).collect();
        Ok(answer(
            StatusCode::OK,
            &json!({"total": total_count(&found), "hits": list}),
        ))
    }

    pub(crate) async fn try_rules<B>(&self, call: &Call, body: B) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        Params::new(call.params.as_deref(), &[])?;
        let most = MAX_RULES + MAX_LINES * MAX_LINE;
        let object = self.object(call, body, most).await?;
        let trial = trial(&object)?;
        let pipeline = Arc::clone(&self.pipeline);
        let tried = tokio::task::spawn_blocking(move || pipeline.try_rules(&trial))
            .await
            .map_err(|_| Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "the trial has failed"))?;
        let (problems, results) = match tried {
            Ok(results) => (Vec::new(), results),
            Err(problems) => (problems, Vec::new()),
        };
        let problems: Vec<Value> = problems
            .into_iter()
            .map(|one| {
                let mut json =
                    json!({"line": one.line, "column": one.column, "message": one.message});
                if let Some(hint) = one.hint {
                    json["hint"] = hint.into();
                }
                json
            })
            .collect();
        let results: Vec<Value> = results
            .into_iter()
            .map(|one| {
                let mut json = json!({"dropped": one.document.is_none()});
                if let Some(rule) = one.rule {
                    json["rule"] = rule.into();
                }
                if let Some(document) = one.document {
                    json["document"] = document;
                }
                json
            })
            .collect();
        Ok(answer(
            StatusCode::OK,
            &json!({"problems": problems, "results": results}),
        ))
    }
}

fn trial(object: &Map<String, Value>) -> Result<Trial, Problem> {
    let mut trial = Trial::default();
    for (name, value) in object {
        match (name.as_str(), value) {
            ("rules", Value::String(text)) if text.len() <= MAX_RULES => {
                trial.rules = Some(text.clone());
            }
            ("rules", _) => {
                return Err(Problem::field(
                    "rules",
                    format!("`rules` must be a text of at most {MAX_RULES} bytes"),
                ));
            }
            ("lines", Value::Array(lines)) if lines.len() <= MAX_LINES => {
                for (idx, line) in lines.iter().enumerate() {
                    let line = line.as_str().filter(|line| line.len() <= MAX_LINE);
                    let line = line.ok_or_else(|| {
                        Problem::field(
                            "lines",
                            format!("a line must be a text of at most {MAX_LINE} bytes"),
                        )
                        .with("index", idx)
                    })?;
                    trial.lines.push(line.to_owned());
                }
            }
            ("lines", _) => {
                return Err(Problem::field(
                    "lines",
                    format!("`lines` must be a list of at most {MAX_LINES} texts"),
                ));
            }
            ("metadata", Value::Object(metadata)) if metadata.values().all(Value::is_string) => {
                trial.metadata = metadata.clone();
            }
            ("metadata", _) => {
                return Err(Problem::field(
                    "metadata",
                    "`metadata` must be an object of texts",
                ));
            }
            _ => {
                return Err(Problem::field(
                    name.as_str(),
                    format!("there is no field `{name}`; there are: rules, lines, metadata"),
                ));
            }
        }
    }
    if !object.contains_key("lines") {
        return Err(Problem::field("lines", "`lines` is missing"));
    }
    Ok(trial)
}
