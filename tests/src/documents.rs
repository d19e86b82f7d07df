//! What a store holds, read back through its own API.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{http::Http, wait};

/// Hits a page when everything is read back.
const PAGE: usize = 10_000;
/// Missing indices are no error: a test may look before the first document is there.
const LENIENT: &str = "ignore_unavailable=true&allow_no_indices=true";

/// The documents of a server.
#[derive(Debug, Clone)]
pub struct Documents {
    http: Http,
}

impl Documents {
    /// The documents of the server at `http`.
    pub fn of(http: Http) -> Self {
        Self { http }
    }

    /// Makes everything indexed so far visible to searches.
    pub fn refresh(&self, index: &str) -> anyhow::Result<()> {
        let path = format!("/{index}/_refresh?{LENIENT}");
        self.http.json("POST", &path, &Value::Null).map(|_| ())
    }

    /// Counts documents that match a query-string query (`*` for all), after a refresh.
    pub fn count(&self, index: &str, query: &str) -> anyhow::Result<u64> {
        self.refresh(index)?;
        let path = format!("/{index}/_count?{LENIENT}");
        let body = json!({"query": {"query_string": {"query": query}}});
        let answer = self.http.json("POST", &path, &body)?;
        answer["count"].as_u64().context("cannot read a count")
    }

    /// Every hit of an index, data stream or pattern, after a refresh.
    pub fn all(&self, index: &str) -> anyhow::Result<Vec<Value>> {
        self.matching(index, &json!({"match_all": {}}))
    }

    /// Every hit of a query, after a refresh.
    pub fn matching(&self, index: &str, query: &Value) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        self.each(index, query, |hit| all.push(hit))?;
        Ok(all)
    }

    /// Hands out every hit of a query, after a refresh. By scroll: it is there in every server.
    pub fn each(
        &self,
        index: &str,
        query: &Value,
        mut take: impl FnMut(Value),
    ) -> anyhow::Result<()> {
        self.refresh(index)?;
        let path = format!("/{index}/_search?scroll=1m&{LENIENT}");
        let body = json!({"size": PAGE, "query": query, "sort": ["_doc"]});
        let mut answer = self.http.json("POST", &path, &body)?;
        while let Value::Array(hits) = answer["hits"]["hits"].take() {
            let scroll = answer["_scroll_id"].take();
            if hits.is_empty() {
                // An expired scroll costs the server nothing: a failure does not matter.
                self.http
                    .json("DELETE", "/_search/scroll", &json!({"scroll_id": scroll}))
                    .ok();
                break;
            }
            hits.into_iter().for_each(&mut take);
            let next = json!({"scroll": "1m", "scroll_id": scroll});
            answer = self.http.json("POST", "/_search/scroll", &next)?;
        }
        Ok(())
    }

    /// Waits until `query` counts at least `documents`.
    pub fn wait_count(
        &self,
        index: &str,
        query: &str,
        documents: u64,
        limit: Duration,
    ) -> anyhow::Result<u64> {
        let what = format!("{documents} documents of `{query}` in {index}");
        wait::until_ok(limit, &what, || {
            let count = self.count(index, query)?;
            anyhow::ensure!(count >= documents, "{count} so far");
            Ok(count)
        })
    }

    /// Changes settings of an index or data stream.
    pub fn put_settings(&self, index: &str, settings: &Value) -> anyhow::Result<()> {
        self.http
            .json("PUT", &format!("/{index}/_settings"), settings)
            .map(|_| ())
    }

    /// Rolls a data stream over to a new backing index.
    pub fn rollover(&self, data_stream: &str) -> anyhow::Result<()> {
        self.http
            .json("POST", &format!("/{data_stream}/_rollover"), &Value::Null)
            .map(|_| ())
    }
}
