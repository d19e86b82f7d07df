//! Reads what an audit needs, page by page. Records with the same sort key are never spread over
//! two pages: a page that starts behind a key would leave out the rest of them.

use serde_json::Value;

use crate::{Store, StoreError};

/// Which documents an audit reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Indices, data streams or patterns, joined by commas.
    pub indices: String,
    /// Only this stream, as it stands in `tailrace.stream`.
    pub stream: Option<String>,
    /// Only this Kubernetes namespace.
    pub namespace: Option<String>,
    /// Only this pod.
    pub pod: Option<String>,
    /// Only documents since this time, as the store reads times.
    pub since: Option<String>,
}

/// Most hits that servers give in one answer (`index.max_result_window`).
const MAX_HITS: usize = 10_000;

/// One page of documents, in order of stream and offset.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuditPage {
    /// The hits, each with `_index`, `_id` and `_source` (identity fields only).
    pub hits: Vec<Value>,
    /// Where the next page starts; `None` after the last one.
    pub after: Option<Value>,
}

/// Reads one page of about `size` hits that starts behind `after`.
///
/// # Errors
///
/// When the store does not answer as asked, or holds more copies of one record than it shows.
pub async fn audit_page(
    store: &dyn Store,
    filter: &AuditFilter,
    after: Option<&Value>,
    size: usize,
) -> Result<AuditPage, StoreError> {
    let mut must = Vec::new();
    for (field, value) in [
        ("tailrace.stream", &filter.stream),
        ("kubernetes.namespace", &filter.namespace),
        ("kubernetes.pod.name", &filter.pod),
    ] {
        if let Some(value) = value {
            must.push(serde_json::json!({"term": {field: value}}));
        }
    }
    if let Some(since) = &filter.since {
        must.push(serde_json::json!({"range": {"@timestamp": {"gte": since}}}));
    }
    must.push(serde_json::json!({"exists": {"field": "tailrace.stream"}}));
    // A stream and an offset name a record; the backing index tells copies of it apart.
    let mut query = serde_json::json!({
        "size": size,
        "query": {"bool": {"filter": must}},
        "sort": [
            {"tailrace.stream": {"order": "asc", "unmapped_type": "keyword"}},
            {"log.offset": {"order": "asc", "unmapped_type": "long"}},
            {"_index": "asc"},
        ],
        "_source": [
            "@timestamp", "tailrace.*", "log.offset", "log.file.path", "log.iostream",
            "kubernetes.namespace", "kubernetes.pod.name", "kubernetes.pod.uid",
            "kubernetes.container.name", "kubernetes.node.name", "container.id",
        ],
        "track_total_hits": false,
    });
    if let Some(after) = after {
        query["search_after"] = after.clone();
    }
    let mut size = size.clamp(1, MAX_HITS);
    loop {
        query["size"] = size.into();
        let mut answer = store.search(&filter.indices, &query).await?;
        let mut hits = match answer.pointer_mut("/hits/hits").map(Value::take) {
            Some(Value::Array(hits)) => hits,
            _ => return Err(StoreError::Json("no `hits` in it".to_owned())),
        };
        if hits.len() < size {
            return Ok(AuditPage { hits, after: None });
        }
        // More records with the last one's key may follow: they all go to the next page.
        let last = hits.last().map(|hit| hit["sort"].clone());
        let n_whole = hits
            .iter()
            .rposition(|hit| Some(&hit["sort"]) != last.as_ref())
            .map_or(0, |at| at + 1);
        if n_whole > 0 {
            hits.truncate(n_whole);
            let after = hits.last().map(|hit| hit["sort"].clone());
            return Ok(AuditPage { hits, after });
        }
        if size == MAX_HITS {
            return Err(StoreError::Json(format!(
                "more than {MAX_HITS} records in the same place"
            )));
        }
        size = size.saturating_mul(2).min(MAX_HITS);
    }
}
