//! The client: Elasticsearch 7.17, 8, 9 and OpenSearch 1, 2, 3 behind the [`Store`] seam.
//!
//! Passes JSON on; judges nothing but what it needs to know of the server itself.

mod backing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::http::{Http, Payload};
use crate::seam::{Backing, Flavour, IndexInfo, ServerInfo, Store, StoreError};
use crate::{
    Answer, BoxFuture, Compression, ElasticsearchOptions, Encoding, InstallOptions, InstallReport,
    OptionsError, RequestError,
};

/// What of a bulk answer is needed to judge every item.
const BULK_PATH: &str = "/_bulk?filter_path=took,errors,error,status,items.*.status,items.*.error,items.*.failure_store";

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// A client of one cluster. Share it in an `Arc`.
#[derive(Debug)]
pub struct Elasticsearch {
    http: Http,
    compression: Compression,
    server: Mutex<Option<Arc<ServerInfo>>>,
}

impl Elasticsearch {
    /// A client for these options. Asks the server what it is; a server that is away is asked
    /// again by [`Elasticsearch::detect`], so a start does not depend on it.
    ///
    /// # Errors
    ///
    /// Only for options that can never work.
    pub async fn connect(options: ElasticsearchOptions) -> Result<Self, OptionsError> {
        let client = Self {
            http: Http::new(&options)?,
            compression: options.compression,
            server: Mutex::new(None),
        };
        if let Err(error) = client.detect().await {
            tracing::warn!(%error, "cannot find out the store's version yet");
        }
        Ok(client)
    }

    /// What is known of the server; `None` until it has answered once.
    pub fn server(&self) -> Option<Arc<ServerInfo>> {
        self.server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is_opensearch(&self) -> bool {
        self.server()
            .is_some_and(|s| s.flavour == Flavour::OpenSearch)
    }

    /// Asks the server what it is and whether it takes zstd.
    ///
    /// # Errors
    ///
    /// When there is no answer, or only answers of an overloaded server.
    pub async fn detect(&self) -> Result<Arc<ServerInfo>, StoreError> {
        let answer = self.http.request(Method::GET, "/", None).await?;
        if answer.status == 429 || answer.status >= 500 {
            return Err(status_error(&answer));
        }
        let root: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let mut info = info_from_root(answer.status, answer.is_elastic, &root);
        // Not let in for now, by a proxy or for want of rights: what was known stands.
        if info.version.is_empty()
            && let Some(known) = self.server()
        {
            return Ok(known);
        }
        if self.compression == Compression::Auto && info.flavour == Flavour::OpenSearch {
            info.zstd = self.probe_zstd().await?;
        }
        let info = Arc::new(info);
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&info));
        Ok(info)
    }

    /// Posts a search that matches nothing as zstd: a server that decodes it answers 200.
    async fn probe_zstd(&self) -> Result<Option<bool>, StoreError> {
        let Ok(bytes) = zstd::bulk::compress(b"{\"size\":0,\"query\":{\"match_none\":{}}}", 1)
        else {
            return Ok(None);
        };
        let payload = Payload {
            content_type: JSON,
            encoding: Encoding::Zstd,
            bytes: bytes.into(),
        };
        match self
            .http
            .request(Method::POST, "/_search", Some(&payload))
            .await
        {
            Ok(answer) if answer.status == 200 => Ok(Some(true)),
            Ok(answer) if answer.status == 400 || answer.status == 415 => Ok(Some(false)),
            // 403 and the like say nothing about zstd.
            Ok(_) => Ok(None),
            // Closed without an answer: how servers treat bytes that they cannot decode.
            Err(RequestError::Lost { .. }) => Ok(Some(false)),
            Err(error) => Err(error.into()),
        }
    }

    /// Any request with a JSON body; answers of any status are passed on.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, RequestError> {
        let payload = body.map(|body| Payload {
            content_type: JSON,
            encoding: Encoding::Identity,
            bytes: body.to_string().into(),
        });
        self.http.request(method, path, payload.as_ref()).await
    }

    /// As [`Elasticsearch::request`]; statuses from 300 are errors.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, StoreError> {
        let answer = self.request(method, path, body).await?;
        if !(200..300).contains(&answer.status) {
            return Err(status_error(&answer));
        }
        serde_json::from_slice(&answer.body).map_err(|e| StoreError::Json(e.to_string()))
    }

    async fn post_bulk(&self, bytes: Bytes, encoding: Encoding) -> Result<Answer, RequestError> {
        let payload = Payload {
            content_type: NDJSON,
            encoding,
            bytes,
        };
        // The server gives up waiting when we do: else a request that waits there for its primary
        // is carried out a minute later, when its documents have long been looked for, found in an
        // older backing index, and ticked off (delivery rule 20).
        let timeout_ms = self.http.request_timeout().as_millis();
        let path = format!("{BULK_PATH}&timeout={timeout_ms}ms");
        self.http.request(Method::POST, &path, Some(&payload)).await
    }
}

impl Store for Elasticsearch {
    fn server(&self) -> Option<Arc<ServerInfo>> {
        Self::server(self)
    }

    fn detect(&self) -> BoxFuture<'_, Result<Arc<ServerInfo>, StoreError>> {
        Box::pin(Self::detect(self))
    }

    fn install<'a>(&'a self, options: &'a InstallOptions) -> BoxFuture<'a, InstallReport> {
        Box::pin(crate::install::install(self, options))
    }

    fn body_encoding(&self) -> Encoding {
        match self.compression {
            Compression::Identity => Encoding::Identity,
            Compression::Gzip => Encoding::Gzip,
            Compression::Zstd => Encoding::Zstd,
            Compression::Auto if self.takes(Encoding::Zstd) => Encoding::Zstd,
            Compression::Auto => Encoding::Gzip,
        }
    }

    fn takes(&self, encoding: Encoding) -> bool {
        encoding != Encoding::Zstd
            || self.compression == Compression::Zstd
            || self.server().is_some_and(|s| s.zstd == Some(true))
    }

    fn request_timeout(&self) -> Duration {
        self.http.request_timeout()
    }

    fn resting_hosts(&self) -> Vec<String> {
        self.http.resting_hosts()
    }

    fn backing<'a>(&'a self, index: &'a str) -> BoxFuture<'a, Result<Backing, StoreError>> {
        Box::pin(backing::backing(self, index))
    }

    fn open_pit<'a>(
        &'a self,
        index: &'a str,
        keep_alive: Duration,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            let end_point = if self.is_opensearch() {
                "_search/point_in_time"
            } else {
                "_pit"
            };
            let path = format!(
                "/{}/{end_point}?keep_alive={}s",
                path_segment(index),
                keep_alive.as_secs().max(1)
            );
            let answer = self.json(Method::POST, &path, None).await?;
            let id = answer["id"].as_str().or_else(|| answer["pit_id"].as_str());
            id.map(str::to_owned)
                .ok_or_else(|| StoreError::Json("no `id` of a point in time in it".to_owned()))
        })
    }

    fn close_pit<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (path, body) = if self.is_opensearch() {
                ("/_search/point_in_time", json!({"pit_id": [id]}))
            } else {
                ("/_pit", json!({"id": id}))
            };
            match self.json(Method::DELETE, path, Some(&body)).await {
                // It ran out by itself.
                Err(error) if error.status() == Some(404) => Ok(()),
                answer => answer.map(drop),
            }
        })
    }

    fn indices<'a>(
        &'a self,
        pattern: &'a str,
    ) -> BoxFuture<'a, Result<Vec<IndexInfo>, StoreError>> {
        Box::pin(async move {
            let path = format!(
                "/_cat/indices/{}?format=json&bytes=b&expand_wildcards=all&h=index,docs.count,store.size,creation.date",
                path_segment(pattern)
            );
            match self.json(Method::GET, &path, None).await {
                Err(error) if error.status() == Some(404) => Ok(Vec::new()),
                answer => Ok(index_list(&answer?)),
            }
        })
    }

    fn mapping<'a>(&'a self, index: &'a str) -> BoxFuture<'a, Result<Value, StoreError>> {
        Box::pin(async move {
            let path = format!("/{}/_mapping", path_segment(index));
            self.json(Method::GET, &path, None).await
        })
    }

    fn field_caps<'a>(
        &'a self,
        index: &'a str,
        fields: &'a str,
    ) -> BoxFuture<'a, Result<Value, StoreError>> {
        Box::pin(async move {
            let path = format!(
                "/{}/_field_caps?fields={}&ignore_unavailable=true",
                path_segment(index),
                path_segment(fields)
            );
            self.json(Method::GET, &path, None).await
        })
    }

    fn bulk(
        &self,
        bytes: Bytes,
        encoding: Encoding,
    ) -> BoxFuture<'_, Result<Answer, RequestError>> {
        Box::pin(self.post_bulk(bytes, encoding))
    }

    fn search<'a>(
        &'a self,
        index: &'a str,
        query: &'a Value,
    ) -> BoxFuture<'a, Result<Value, StoreError>> {
        Box::pin(async move {
            // A point in time knows its indices.
            let path = if index.is_empty() {
                "/_search".to_owned()
            } else {
                format!("/{}/_search", path_segment(index))
            };
            self.json(Method::POST, &path, Some(query)).await
        })
    }

    fn count<'a>(
        &'a self,
        index: &'a str,
        query: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let path = format!("/{}/_count", path_segment(index));
            // Only the query: a search's other keys are refused here.
            let query = query.map(|body| json!({"query": body["query"]}));
            let answer = self.json(Method::POST, &path, query.as_ref()).await?;
            answer["count"]
                .as_u64()
                .ok_or_else(|| StoreError::Json("no `count` in it".to_owned()))
        })
    }

    fn mget_found<'a>(
        &'a self,
        index: &'a str,
        ids: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            let path = format!(
                "/{}/_mget?_source=false&realtime=true&filter_path=docs.found,docs.error,docs._id",
                path_segment(index)
            );
            let mut found = Vec::with_capacity(ids.len());
            for page in ids.chunks(5_000) {
                let answer = self
                    .json(Method::POST, &path, Some(&serde_json::json!({"ids": page})))
                    .await?;
                let docs = answer["docs"]
                    .as_array()
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                if docs.len() != page.len() {
                    return Err(StoreError::Json(
                        "`_mget` answers another number of documents".to_owned(),
                    ));
                }
                for doc in docs {
                    match doc["found"].as_bool() {
                        Some(is_found) => found.push(is_found),
                        None => {
                            return Err(StoreError::Status {
                                status: 500,
                                reason: short(&doc["error"].to_string()),
                            });
                        }
                    }
                }
            }
            Ok(found)
        })
    }

    fn delete<'a>(
        &'a self,
        documents: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut deleted = 0;
            for page in documents.chunks(5_000) {
                let mut body = Vec::new();
                for (index, id) in page {
                    let action = serde_json::json!({"delete": {"_index": index, "_id": id}});
                    body.extend_from_slice(action.to_string().as_bytes());
                    body.push(b'\n');
                }
                let answer = self.post_bulk(body.into(), Encoding::Identity).await?;
                if answer.status != 200 {
                    return Err(status_error(&answer));
                }
                let answer: Value = serde_json::from_slice(&answer.body)
                    .map_err(|e| StoreError::Json(e.to_string()))?;
                for item in answer["items"]
                    .as_array()
                    .map(Vec::as_slice)
                    .unwrap_or_default()
                {
                    match item["delete"]["status"].as_u64() {
                        Some(200) => deleted += 1,
                        Some(404) => {}
                        status => {
                            let status = status.and_then(|s| u16::try_from(s).ok()).unwrap_or(500);
                            return Err(StoreError::Status {
                                status,
                                reason: short(&item.to_string()),
                            });
                        }
                    }
                }
            }
            Ok(deleted)
        })
    }

    fn refresh<'a>(&'a self, index: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let path = format!("/{}/_refresh", path_segment(index));
            self.json(Method::POST, &path, None).await.map(drop)
        })
    }
}

/// Reads the answer of `_cat/indices`, where numbers are text.
fn index_list(answer: &Value) -> Vec<IndexInfo> {
    let number = |row: &Value, key: &str| row[key].as_str().and_then(|text| text.parse().ok());
    let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .filter_map(|row| {
            let name = row["index"].as_str()?;
            Some(IndexInfo {
                name: name.to_owned(),
                data_stream: data_stream_of(name).map(str::to_owned),
                docs: number(row, "docs.count").unwrap_or(0),
                bytes: number(row, "store.size").unwrap_or(0),
                created_ms: number(row, "creation.date").unwrap_or(0),
            })
        })
        .collect()
}

/// The data stream of a backing index: `.ds-<name>-<date>-<generation>` (Elasticsearch) or
/// `.ds-<name>-<generation>` (OpenSearch).
fn data_stream_of(index: &str) -> Option<&str> {
    let (rest, generation) = index.strip_prefix(".ds-")?.rsplit_once('-')?;
    if generation.is_empty() || !generation.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let is_date =
        |text: &str| text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match rest.rsplit_once('-') {
        Some((name, date)) if is_date(date) => Some(name),
        _ => Some(rest),
    }
}

/// What `GET /` tells. Some servers refuse it; Elasticsearch names itself in a header even then.
fn info_from_root(status: u16, is_elastic: bool, root: &Value) -> ServerInfo {
    let version = root["version"]["number"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let is_opensearch = root["version"]["distribution"] == "opensearch";
    let says_elastic = root["tagline"] == "You Know, for Search";
    let flavour = if is_opensearch {
        Flavour::OpenSearch
    } else if is_elastic || says_elastic {
        Flavour::Elasticsearch
    } else {
        Flavour::Other
    };
    let mut notes = Vec::new();
    if version.is_empty() {
        notes.push(format!(
            "`GET /` answered {status}: the version is not known"
        ));
    }
    ServerInfo {
        flavour,
        version,
        zstd: None,
        notes,
    }
}

/// An answer that says no, as an error.
pub(crate) fn status_error(answer: &Answer) -> StoreError {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let reason = match value["error"]["reason"].as_str() {
        Some(reason) => reason.to_owned(),
        None => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    StoreError::Status {
        status: answer.status,
        reason: short(&reason),
    }
}

/// Cuts text for logs and fields: reasons may quote a whole document.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(512).collect()
}

/// Escapes what cannot stand in a path; commas and stars stay, for several indices.
pub(crate) fn path_segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.,*~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_apart() {
        let opensearch =
            serde_json::json!({"version": {"distribution": "opensearch", "number": "3.8.0"}});
        let elastic =
            serde_json::json!({"version": {"number": "7.10.2"}, "tagline": "You Know, for Search"});
        for (status, header, root, flavour, version, n_notes) in [
            (200, false, &opensearch, Flavour::OpenSearch, "3.8.0", 0),
            (200, false, &elastic, Flavour::Elasticsearch, "7.10.2", 0),
            (405, true, &Value::Null, Flavour::Elasticsearch, "", 1),
            (403, false, &Value::Null, Flavour::Other, "", 1),
        ] {
            let info = info_from_root(status, header, root);
            assert_eq!(
                (info.flavour, info.version.as_str(), info.notes.len()),
                (flavour, version, n_notes)
            );
        }
    }

    #[test]
    fn backing_indices_name_their_data_stream() {
        for (index, expected) in [
            (".ds-logs-a-b-2026.11.25-000001", Some("logs-a-b")),
            (".ds-logs-a-b-000001", Some("logs-a-b")),
            ("logs-2026.11.25", None),
            (".ds-logs", None),
        ] {
            assert_eq!(data_stream_of(index), expected, "{index}");
        }
    }

    #[test]
    fn paths_are_escaped() {
        assert_eq!(path_segment("logs-*,a b/é"), "logs-*,a%20b%2F%C3%A9");
    }
}
