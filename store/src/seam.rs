//! The seam to storage (decision 7): what the rest of the program may ask of any store.
//!
//! Requests and answers are Elasticsearch's own JSON, so that one page, one API and one set of
//! dashboards work over Elasticsearch, OpenSearch and the embedded store alike.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::{Answer, BoxFuture, Encoding, InstallOptions, InstallReport, RequestError};

/// How far the server's clock and ours may differ: an index made this long before the doubt began
/// counts as made since.
pub(crate) const CLOCK_MARGIN: Duration = Duration::from_secs(60);

/// The make of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Elasticsearch.
    Elasticsearch,
    /// OpenSearch.
    OpenSearch,
    /// The store within this process.
    Embedded,
    /// Something else that speaks `_bulk` (VictoriaLogs, Quickwit, a proxy).
    Other,
}

/// What is known of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its make.
    pub flavour: Flavour,
    /// Its version; empty when it does not tell.
    pub version: String,
    /// Whether it takes zstd request bodies; `None` when not probed.
    pub zstd: Option<bool>,
    /// What could not be found out, for people.
    pub notes: Vec<String>,
}

/// One index, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexInfo {
    /// Its name; for a data stream that of a backing index.
    pub name: String,
    /// The data stream that it belongs to.
    pub data_stream: Option<String>,
    /// Documents in it.
    pub docs: u64,
    /// Bytes on disk, copies included.
    pub bytes: u64,
    /// When it was made, in milliseconds since the epoch; 0 when the store does not tell.
    pub created_ms: u64,
}

/// What an index name stands for (delivery rule 20).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backing {
    /// Backing indices with the time of their creation in milliseconds, oldest first. A store that
    /// refuses a known id whatever index it went to answers one or none: there is nothing to check.
    pub indices: Vec<(String, u64)>,
    /// Whether shards have copies on other nodes.
    pub has_replicas: bool,
}

impl Backing {
    /// The indices that may have been written to since `since_ms`.
    pub(crate) fn written_since(&self, since_ms: u64) -> &[(String, u64)] {
        let since = since_ms.saturating_sub(CLOCK_MARGIN.as_millis() as u64);
        let younger = self
            .indices
            .partition_point(|(_, created)| *created < since);
        self.indices
            .get(younger.saturating_sub(1)..)
            .unwrap_or_default()
    }
}

/// Why the store did not answer as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// An answer that says no.
    #[error("the store answered {status}: {reason}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The reason it gave, cut to a readable length.
        reason: String,
    },
    /// An answer that is not JSON.
    #[error("cannot read the store's answer: {0}")]
    Json(String),
}

impl StoreError {
    /// The HTTP status, where there is one: 400 for a query that the store does not understand,
    /// 404 for an index that is not there, 429 for a store that has too much to do.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A store of documents. Share it as `Arc<dyn Store>`.
///
/// # What can be relied upon, whatever store it is
///
/// * Index arguments are names, data streams, patterns with `*`, or several of them joined by
///   commas. A pattern that matches nothing answers an empty result; a plain name that does not
///   exist answers [`StoreError::Status`] 404 on servers, and may answer an empty result.
/// * Queries: `bool`, `match`, `match_phrase`, `multi_match`, `term`, `terms`, `range` (numbers,
///   dates, date math such as `now-15m/d`), `exists`, `prefix`, `wildcard`, `regexp`, `ids`,
///   `query_string`, `match_all`, `match_none`.
/// * Search bodies: `query`, `size`, `from`, `sort` (any field, with `missing`, `unmapped_type`
///   and `format` at most), `search_after`, `_source` (false, a list, `includes`/`excludes`),
///   `fields`, `docvalue_fields`, `highlight`, `track_total_hits`, `timeout`, `aggs`, `pit`.
/// * Aggregations, two deep and more: `date_histogram` (`fixed_interval`, `calendar_interval`,
///   `time_zone`, `offset`, `min_doc_count`, `extended_bounds`, `hard_bounds`), `histogram`,
///   `terms`, `filters`, `filter`, `range`, `missing`, `cardinality`, `min`, `max`, `avg`, `sum`,
///   `stats`, `value_count`, `percentiles`, `top_hits`; over the buckets of one
///   `derivative`, `cumulative_sum`, `serial_diff`, `moving_fn` and `bucket_script` (arithmetic),
///   beside one `max_bucket`, `min_bucket`, `avg_bucket` and `sum_bucket`. An answer has 65,536
///   buckets at most.
/// * A future that is dropped stops its search as soon as the store can.
/// * Bulk actions: `create`, `index`, `delete`. A document that was created is found by a search
///   within the refresh interval, or at once after [`Store::refresh`].
/// * Names that begin with `.` or `tailrace-` are not subject to retention in the embedded store:
///   a place for saved searches and dashboards.
pub trait Store: std::fmt::Debug + Send + Sync {
    /// What is known of the server; `None` until it has answered once.
    fn server(&self) -> Option<Arc<ServerInfo>>;

    /// Asks the server what it is. Fails when it does not answer.
    fn detect(&self) -> BoxFuture<'_, Result<Arc<ServerInfo>, StoreError>>;

    /// Puts templates and policies. Never fails: what could not be put stands in the report.
    fn install<'a>(&'a self, options: &'a InstallOptions) -> BoxFuture<'a, InstallReport>;

    /// How new bodies should be compressed.
    fn body_encoding(&self) -> Encoding;

    /// Whether bodies of this encoding may be posted.
    fn takes(&self, encoding: Encoding) -> bool;

    /// After this time a request without an answer has failed.
    fn request_timeout(&self) -> Duration;

    /// Hosts that failed lately and are passed over.
    fn resting_hosts(&self) -> Vec<String>;

    /// Posts a `_bulk` body. The answer holds at least `errors` and each item's status and error.
    fn bulk(&self, bytes: Bytes, encoding: Encoding)
    -> BoxFuture<'_, Result<Answer, RequestError>>;

    /// `_search` on an index, data stream or pattern. With `pit` in the body `index` is empty.
    fn search<'a>(
        &'a self,
        index: &'a str,
        body: &'a Value,
    ) -> BoxFuture<'a, Result<Value, StoreError>>;

    /// Documents that match the body's `query` (`None`: all).
    fn count<'a>(
        &'a self,
        index: &'a str,
        body: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Opens a point in time for paging with `search_after`: searches with
    /// `"pit": {"id": …, "keep_alive": "1m"}` see the documents of this moment. Runs out after
    /// `keep_alive` without a search.
    fn open_pit<'a>(
        &'a self,
        index: &'a str,
        keep_alive: Duration,
    ) -> BoxFuture<'a, Result<String, StoreError>>;

    /// Closes a point in time; one that ran out is no error.
    fn close_pit<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// One document with `_index`, `_id`, `_source`; `None` when it is not there.
    fn get<'a>(
        &'a self,
        index: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, StoreError>> {
        Box::pin(async move {
            let query = serde_json::json!({"size": 1, "query": {"ids": {"values": [id]}}});
            let mut answer = self.search(index, &query).await?;
            Ok(answer.pointer_mut("/hits/hits/0").map(Value::take))
        })
    }

    /// The indices behind a name or pattern.
    fn indices<'a>(&'a self, pattern: &'a str)
    -> BoxFuture<'a, Result<Vec<IndexInfo>, StoreError>>;

    /// `_mapping`: by index, its `mappings` with nested `properties`.
    fn mapping<'a>(&'a self, index: &'a str) -> BoxFuture<'a, Result<Value, StoreError>>;

    /// `_field_caps` for fields (`*`, `kubernetes.*`, several joined by commas): `indices`, and
    /// under `fields` each full name with its types, `searchable` and `aggregatable`.
    fn field_caps<'a>(
        &'a self,
        index: &'a str,
        fields: &'a str,
    ) -> BoxFuture<'a, Result<Value, StoreError>>;

    /// The backing indices of a name, for the check of documents in doubt.
    fn backing<'a>(&'a self, index: &'a str) -> BoxFuture<'a, Result<Backing, StoreError>>;

    /// Which of the ids exist in this one (backing) index; sees unrefreshed documents.
    fn mget_found<'a>(
        &'a self,
        index: &'a str,
        ids: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>>;

    /// Deletes `(backing index, id)` pairs; answers how many were there.
    fn delete<'a>(
        &'a self,
        documents: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Makes what was written visible to searches.
    fn refresh<'a>(&'a self, index: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;
}
