//! Searches, one or several in a request.

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::MAX_BODY;
use super::checks::checked;
use super::indices::MAX_INDEX;
use crate::api::{Api, Call};
use crate::body::{Body, json as answer};
use crate::params::{Params, at_most};
use crate::problem::Problem;

/// Searches of one `_msearch`.
const MAX_SEARCHES: usize = 50;
/// Names that are looked for one by one when one of them is missing.
const MAX_NAMES: usize = 200;

/// What a search is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Names and patterns with commas between.
    pub(super) index: String,
    /// `ignore_unavailable`: names that do not exist are passed over.
    pub(super) skips_missing: bool,
}

impl Asked {
    /// Reads an address: the part of the path before `word` is the index.
    ///
    /// # Errors
    /// When the index is too long, or `ignore_unavailable` is neither true nor false.
    pub(super) fn of_address(
        segments: &[&str],
        word: &str,
        params: &Params,
    ) -> Result<Self, Problem> {
        let index = segments.first().filter(|first| **first != word);
        let index = index.copied().unwrap_or("_all");
        Ok(Self {
            index: at_most("index", index, MAX_INDEX)?.to_owned(),
            skips_missing: match params.get("ignore_unavailable") {
                // As on a server, the name alone means yes.
                Some("") => true,
                _ => params.flag("ignore_unavailable", false)?,
            },
        })
    }

    /// Reads the head of one search of several; what it leaves open is as in `default`.
    fn of_head(head: &Map<String, Value>, default: &Self) -> Self {
        let index = match head.get("index") {
            Some(Value::String(index)) => index.clone(),
            Some(Value::Array(list)) => {
                let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                list.join(",")
            }
            _ => default.index.clone(),
        };
        let skips_missing = match head.get("ignore_unavailable") {
            Some(Value::Bool(skips)) => *skips,
            Some(Value::String(text)) => text == "true",
            _ => default.skips_missing,
        };
        Self {
            index,
            skips_missing,
        }
    }
}

impl Api {
    pub(super) async fn run(
        &self,
        asked: &Asked,
        request: Map<String, Value>,
        call: &Call,
    ) -> Result<Value, Problem> {
        let body = checked(request, call.asker.filter())?;
        let Some(index) = self.index_that_is(&asked.index, asked.skips_missing, call)? else {
            return Ok(nothing());
        };
        match self.ask_index(&index, &body).await {
            Err(problem) if asked.skips_missing && problem.status() == StatusCode::NOT_FOUND => {
                self.without_missing(&index, &body, problem).await
            }
            found => found,
        }
    }

    /// Searches those names that exist: one that does not makes a server refuse all.
    async fn without_missing(
        &self,
        index: &str,
        body: &Value,
        problem: Problem,
    ) -> Result<Value, Problem> {
        let parts: Vec<&str> = index.split(',').collect();
        if parts.len() > MAX_NAMES {
            return Err(problem);
        }
        let mut there = Vec::new();
        for part in &parts {
            let is_name = !part.starts_with('-') && !part.contains('*');
            let is_there = !is_name || !self.within(self.store.indices(part)).await?.is_empty();
            if is_there {
                there.push(*part);
            }
        }
        if there.iter().all(|part| part.starts_with('-')) {
            return Ok(nothing());
        }
        if there.len() == parts.len() {
            return Err(problem);
        }
        self.ask_index(&there.join(","), body).await
    }

    pub(super) async fn several<B>(
        &self,
        default: &Asked,
        call: &Call,
        body: B,
    ) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        call.may_read(&["application/x-ndjson", "application/json"])?;
        let bytes = self.body(call, body, MAX_BODY).await?;
        if bytes.trim_ascii().is_empty() {
            return Err(Problem::body(
                "a request has a head and a search at least, a line each",
            ));
        }
        let mut responses = Vec::new();
        for (head, search) in pairs(&bytes)? {
            let asked = Asked::of_head(&head, default);
            // One search that fails does not spoil the others.
            responses.push(match self.run(&asked, search, call).await {
                Ok(mut found) => {
                    found["status"] = 200.into();
                    found
                }
                Err(problem) => json!({
                    "error": problem.elastic(),
                    "status": problem.status().as_u16(),
                }),
            });
        }
        Ok(answer(
            StatusCode::OK,
            &json!({"took": 0, "responses": responses}),
        ))
    }
}

type Object = Map<String, Value>;

/// The heads and searches of an `_msearch`.
fn pairs(bytes: &[u8]) -> Result<Vec<(Object, Object)>, Problem> {
    let mut lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    let parse = |line: &[u8]| match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Problem::body(
            "each line must be a JSON object: a head, then a search",
        )),
    };
    let mut pairs = Vec::new();
    while let Some(head) = lines.next() {
        let search = lines
            .next()
            .ok_or_else(|| Problem::body("the last head has no search"))?;
        if pairs.len() == MAX_SEARCHES {
            return Err(Problem::too_large(format!(
                "more than {MAX_SEARCHES} searches"
            )));
        }
        pairs.push((parse(head)?, parse(search)?));
    }
    Ok(pairs)
}

/// What a search answers of which no index exists.
fn nothing() -> Value {
    json!({
        "took": 0,
        "timed_out": false,
        "_shards": {"total": 0, "successful": 0, "skipped": 0, "failed": 0},
        "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": 0.0, "hits": []},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_what_is_asked_and_how_strictly() {
        for (segments, params, index, skips_missing) in [
            (&["_search"][..], None, "_all", false),
            (&["logs-a-b", "_search"][..], None, "logs-a-b", false),
            (
                &["logs-a-b", "_search"][..],
                Some("ignore_unavailable"),
                "logs-a-b",
                true,
            ),
            (
                &["x", "_search"][..],
                Some("ignore_unavailable=true"),
                "x",
                true,
            ),
            (
                &["x", "_search"][..],
                Some("ignore_unavailable=false"),
                "x",
                false,
            ),
        ] {
            let params = Params::any(params).unwrap();
            let expected = Asked {
                index: index.to_owned(),
                skips_missing,
            };
            let asked = Asked::of_address(segments, "_search", &params).unwrap();
            assert_eq!(asked, expected);
        }
        let long = "x".repeat(MAX_INDEX + 1);
        for (index, params) in [("x", "ignore_unavailable=null"), (long.as_str(), "")] {
            let params = Params::any(Some(params)).unwrap();
            assert!(Asked::of_address(&[index, "_search"], "_search", &params).is_err());
        }
    }

    #[test]
    fn heads_say_what_is_asked_and_how_strictly() {
        let default = Asked {
            index: "_all".to_owned(),
            skips_missing: false,
        };
        let body = br#"{"ignore_unavailable":true,"index":"logs-2026.11.27"}
{"size":0}

{"index":["logs-a-b","logs-a-c"]}
{}
{"ignore_unavailable":"true"}
{"size":1}
"#;
        let found: Vec<(String, bool)> = pairs(body)
            .unwrap()
            .iter()
            .map(|(head, _)| Asked::of_head(head, &default))
            .map(|asked| (asked.index, asked.skips_missing))
            .collect();
        let expected = [
            ("logs-2026.11.27".to_owned(), true),
            ("logs-a-b,logs-a-c".to_owned(), false),
            ("_all".to_owned(), true),
        ];
        assert_eq!(found, expected);
        for wrong in ["{}", "{}\n[]", "no\n{}"] {
            assert!(pairs(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let many = "{}\n{}\n".repeat(MAX_SEARCHES + 1);
        assert_eq!(
            pairs(many.as_bytes()).unwrap_err().status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }
}
