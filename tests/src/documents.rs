//! What a store holds, read back through its own API.

use std::time::Duration;

use anyhow::{Context, bail};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::{http::Http, wait};

/// Hits a page when everything is read back.
const PAGE: usize = 10_000;
/// Missing indices are no error: a test may look before the first document is there.
const LENIENT: &str = "ignore_unavailable=true&allow_no_indices=true";

/// The hits of an answer.
pub fn hits(page: &[u8]) -> anyhow::Result<Vec<Value>> {
    let mut answer: Value = serde_json::from_slice(page).context("cannot read a page of hits")?;
    match answer["hits"]["hits"].take() {
        Value::Array(hits) => Ok(hits),
        _ => bail!("a page without hits: {answer}"),
    }
}

/// The scroll that goes on behind an answer, which begins with it. The rest is long.
fn scroll_id(page: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\"_scroll_id\":\"";
    let at = memchr::memmem::find(page, KEY)? + KEY.len();
    let rest = page.get(at..)?;
    let end = memchr::memchr(b'"', rest)?;
    String::from_utf8(rest.get(..end)?.to_vec()).ok()
}

fn is_empty(page: &[u8]) -> bool {
    memchr::memmem::find(page, b"\"hits\":[]").is_some()
}

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
        self.pages(index, query, |page| {
            all.extend(hits(&page)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Hands out the answers that hold all hits of a query, after a refresh; [`hits`] reads them.
    /// By scroll: it is there in every server.
    pub fn pages(
        &self,
        index: &str,
        query: &Value,
        mut take: impl FnMut(Bytes) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.refresh(index)?;
        let path = format!("/{index}/_search?scroll=1m&{LENIENT}");
        let body = json!({"size": PAGE, "query": query, "sort": ["_doc"]});
        let mut page = self.http.bytes("POST", &path, &body)?;
        while let Some(scroll) = scroll_id(&page).filter(|_| !is_empty(&page)) {
            let next = json!({"scroll": "1m", "scroll_id": scroll});
            let following = self.http.bytes("POST", "/_search/scroll", &next)?;
            take(std::mem::replace(&mut page, following))?;
        }
        if let Some(scroll) = scroll_id(&page) {
            // An expired scroll costs the server nothing: a failure does not matter.
            self.http
                .json("DELETE", "/_search/scroll", &json!({"scroll_id": scroll}))
                .ok();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_its_scroll_and_whether_it_is_the_last() {
        let page = br#"{"_scroll_id":"abc=","hits":{"hits":[{"_source":{"a":1}}]}}"#;
        assert_eq!(scroll_id(page).as_deref(), Some("abc="));
        assert!(!is_empty(page));
        assert_eq!(hits(page).unwrap(), [json!({"_source": {"a": 1}})]);
        assert!(is_empty(
            br#"{"_scroll_id":"abc=","hits":{"total":{},"hits":[]}}"#
        ));
        assert!(hits(b"{}").is_err() && scroll_id(b"{}").is_none());
    }
}
