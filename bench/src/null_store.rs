//! A null Elasticsearch: takes every `_bulk` body, judges nothing, counts documents and markers.
//!
//! It answers as OpenSearch 3.8 or Elasticsearch 8.19 would to the few requests that shippers make
//! at start, and 201 for every document, honouring `filter_path` so that answers are as small as
//! real ones. Shippers that know no `_bulk` may post JSON lines to `…/jsonline`. It runs on threads
//! of its own in the measuring process, whose CPU is not counted.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use crate::{
    body::inflate_into,
    marker::{Balance, Ledger},
    serve::{Served, serve},
};

/// Whom the null store claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// OpenSearch 3.8.0: takes zstd.
    OpenSearch,
    /// Elasticsearch 8.19.21: refuses zstd, as the real one fails on it.
    Elasticsearch,
}

/// What to answer, and what to check.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whom to claim to be.
    pub claim: Claim,
    /// Count the markers `0..n` of documents; `None` counts documents alone.
    pub markers: Option<u32>,
}

/// What has come in so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests with documents.
    pub requests: u64,
    /// Their bodies' bytes on the wire.
    pub wire_bytes: u64,
    /// Their bodies' bytes inflated.
    pub raw_bytes: u64,
    /// Documents in them.
    pub documents: u64,
    /// Bodies that could not be inflated.
    pub unreadable: u64,
}

/// A running null store; it stops when dropped.
#[derive(Debug)]
pub struct NullStore {
    served: Served,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    claim: Claim,
    requests: AtomicU64,
    wire_bytes: AtomicU64,
    raw_bytes: AtomicU64,
    documents: AtomicU64,
    unreadable: AtomicU64,
    ledger: Option<Mutex<Ledger>>,
    /// Nobody keeps bodies unless asked to.
    kept: Mutex<Option<Kept>>,
}

/// Bodies that are kept.
#[derive(Debug)]
struct Kept {
    dir: PathBuf,
    files: Vec<PathBuf>,
    /// What kept one from being kept.
    failed: Option<io::Error>,
}

impl NullStore {
    /// Starts listening on a free port of 127.0.0.1.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let state = Arc::new(State {
            claim: options.claim,
            requests: AtomicU64::new(0),
            wire_bytes: AtomicU64::new(0),
            raw_bytes: AtomicU64::new(0),
            documents: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            ledger: options
                .markers
                .map(|markers| Mutex::new(Ledger::new(markers))),
            kept: Mutex::new(None),
        });
        let answering = Arc::clone(&state);
        let served = serve("null store", move |request| {
            let state = Arc::clone(&answering);
            async move { state.answer(request).await }
        })?;
        Ok(Self { served, state })
    }

    /// Base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.served.address)
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.served.address.port()
    }

    /// What has come in so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            requests: read(&self.state.requests),
            wire_bytes: read(&self.state.wire_bytes),
            raw_bytes: read(&self.state.raw_bytes),
            documents: read(&self.state.documents),
            unreadable: read(&self.state.unreadable),
        }
    }

    /// Losses and doubles by marker; `None` when markers are not counted.
    pub fn balance(&self) -> Option<Balance> {
        self.state.locked_ledger(|ledger| ledger.balance())
    }

    /// Keeps from now on when each marker came first.
    pub fn keep_times(&self) {
        self.state.locked_ledger(Ledger::keep_times);
    }

    /// When each marker came first, by its number; empty unless times are kept.
    pub fn arrivals(&self) -> Vec<Option<Instant>> {
        let times = self.state.locked_ledger(|ledger| ledger.times().to_vec());
        times.unwrap_or_default()
    }

    /// Keeps every `_bulk` body from now on, inflated, as a file of its own in `dir`, which is
    /// created when absent.
    pub fn keep_bodies(&self, dir: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(dir).context("cannot create a directory for bodies")?;
        *self.state.locked_kept() = Some(Kept {
            dir: dir.to_owned(),
            files: Vec::new(),
            failed: None,
        });
        Ok(())
    }

    /// The files of the bodies that were kept, in the order in which they came, and keeps no more;
    /// an error when one of them could not be written.
    pub fn take_bodies(&self) -> anyhow::Result<Vec<PathBuf>> {
        let kept = self.state.locked_kept().take();
        let kept = kept.context("cannot hand out bodies: none are kept")?;
        match kept.failed {
            Some(error) => Err(error).context("cannot keep a body"),
            None => Ok(kept.files),
        }
    }

    /// Distinct markers that have come; `None` when markers are not counted.
    pub fn arrived(&self) -> Option<u64> {
        self.state.locked_ledger(|ledger| ledger.arrived_once())
    }
}

impl State {
    fn locked_ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> Option<T> {
        let ledger = self.ledger.as_ref()?;
        Some(look(
            &mut ledger.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    fn locked_kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
            return json(StatusCode::BAD_REQUEST, "{}".into());
        };
        let path = head.uri.path();
        let encoding = head
            .headers
            .get(CONTENT_ENCODING)
            .and_then(|it| it.to_str().ok());
        if path.ends_with("/_bulk") {
            return self.bulk(encoding, head.uri.query().unwrap_or(""), &body);
        }
        if path.ends_with("/jsonline") {
            return match self.take(encoding, &body, true) {
                Some(_) => json(StatusCode::OK, "{}".into()),
                None => json(StatusCode::BAD_REQUEST, "{}".into()),
            };
        }
        match (&head.method, path) {
            (&Method::HEAD, _) => json(StatusCode::OK, String::new()),
            (&Method::GET, "/") => json(StatusCode::OK, self.claim.root().to_owned()),
            (&Method::GET, "/_license") => json(StatusCode::OK, LICENSE.to_owned()),
            (&Method::GET, path) if path.starts_with("/_data_stream") => {
                json(StatusCode::OK, "{\"data_streams\":[]}".into())
            }
            (&Method::GET, _) => json(StatusCode::OK, "{}".into()),
            _ => json(StatusCode::OK, "{\"acknowledged\":true}".into()),
        }
    }

    fn bulk(&self, encoding: Option<&str>, query: &str, body: &Bytes) -> Response<Full<Bytes>> {
        let refused = self.claim == Claim::Elasticsearch && encoding == Some("zstd");
        let taken = if refused {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
            None
        } else {
            self.take(encoding, body, false)
        };
        match taken {
            Some(documents) => json(StatusCode::OK, bulk_answer(query, documents)),
            None => json(
                StatusCode::BAD_REQUEST,
                "{\"error\":\"unreadable\",\"status\":400}".into(),
            ),
        }
    }

    /// Counts a body; answers the documents in it, `None` when it cannot be inflated.
    fn take(&self, encoding: Option<&str>, body: &Bytes, every_line: bool) -> Option<u64> {
        let mut raw = Vec::new();
        if inflate_into(encoding, body, &mut raw).is_err() {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        // Before it is counted: who has seen all documents arrive finds all bodies.
        if !every_line && let Some(kept) = self.locked_kept().as_mut() {
            kept.keep(&raw);
        }
        let documents = self.count(&raw, every_line);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.wire_bytes
            .fetch_add(body.len() as u64, Ordering::Relaxed);
        self.raw_bytes
            .fetch_add(raw.len() as u64, Ordering::Relaxed);
        self.documents.fetch_add(documents, Ordering::Relaxed);
        Some(documents)
    }

    /// Counts documents: every second line of a `_bulk` body, or every line.
    fn count(&self, raw: &[u8], every_line: bool) -> u64 {
        let Some(ledger) = &self.ledger else {
            let lines = memchr::memchr_iter(b'\n', raw).count() as u64;
            return if every_line { lines } else { lines / 2 };
        };
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut documents, mut start, mut is_document) = (0, 0, every_line);
        for end in memchr::memchr_iter(b'\n', raw) {
            if is_document {
                ledger.document(&raw[start..end]);
                documents += 1;
            }
            is_document = every_line || !is_document;
            start = end + 1;
        }
        documents
    }
}

impl Kept {
    fn keep(&mut self, raw: &[u8]) {
        let path = self.dir.join(format!("{:06}.ndjson", self.files.len()));
        match fs::write(&path, raw) {
            Ok(()) => self.files.push(path),
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }
}

/// Filebeat asks for it before it sends.
const LICENSE: &str = r#"{"license":{"uid":"null","type":"basic","status":"active"}}"#;

impl Claim {
    fn root(self) -> &'static str {
        match self {
            Self::OpenSearch => {
                r#"{"name":"null","cluster_name":"null","cluster_uuid":"null","version":{"distribution":"opensearch","number":"3.8.0","build_type":"tar","minimum_wire_compatibility_version":"2.19.0","minimum_index_compatibility_version":"2.0.0"},"tagline":"The OpenSearch Project: https://opensearch.org/"}"#
            }
            Self::Elasticsearch => {
                r#"{"name":"null","cluster_name":"null","cluster_uuid":"null","version":{"number":"8.19.21","build_flavor":"default","build_type":"zip"},"tagline":"You Know, for Search"}"#
            }
        }
    }
}

/// What a store answers when it took every document, cut down by the query's `filter_path`.
fn bulk_answer(query: &str, documents: u64) -> String {
    let filter = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("filter_path="));
    let item = match filter {
        Some(filter) if !filter.contains("status") => {
            return "{\"took\":1,\"errors\":false}".to_owned();
        }
        Some(_) => "{\"create\":{\"status\":201}}",
        None => {
            "{\"create\":{\"_index\":\"null\",\"_version\":1,\"result\":\"created\",\"status\":201}}"
        }
    };
    let mut answer = String::with_capacity(64 + (item.len() + 1) * documents as usize);
    answer.push_str("{\"took\":1,\"errors\":false,\"items\":[");
    for idx in 0..documents {
        if idx > 0 {
            answer.push(',');
        }
        answer.push_str(item);
    }
    answer.push_str("]}");
    answer
}

fn json(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, const { json_type() });
    response
        .headers_mut()
        .insert("x-elastic-product", const { product() });
    response
}

const fn json_type() -> hyper::header::HeaderValue {
    hyper::header::HeaderValue::from_static("application/json")
}

const fn product() -> hyper::header::HeaderValue {
    hyper::header::HeaderValue::from_static("Elasticsearch")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// One request over a plain socket, closed behind it.
    fn post(store: &NullStore, path: &str, headers: &str, body: &[u8]) -> String {
        let mut socket = std::net::TcpStream::connect(store.served.address).unwrap();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn bodies_are_counted_whatever_their_encoding() {
        let options = Options {
            claim: Claim::OpenSearch,
            markers: Some(4),
        };
        let store = NullStore::start(options).unwrap();
        let body = b"{\"create\":{\"_id\":\"tr-00000003\"}}\n{\"message\":\"tr-00000000\",\"m\":\"tr-00000000\"}\n\
                     {\"create\":{}}\n{\"message\":\"tr-00000001\"}\n";
        let answer = post(
            &store,
            "/_bulk?filter_path=took,errors,items.*.error",
            "",
            body,
        );
        assert!(
            answer.ends_with("{\"took\":1,\"errors\":false}"),
            "{answer}"
        );
        let zstd = zstd::encode_all(&body[..], 1).unwrap();
        let answer = post(&store, "/_bulk", "content-encoding: zstd\r\n", &zstd);
        assert_eq!(answer.matches("201").count(), 2);
        let counts = store.counts();
        assert_eq!(
            (counts.requests, counts.documents, counts.unreadable),
            (2, 4, 0)
        );
        assert_eq!(
            store.balance().unwrap(),
            Balance {
                lost: 2,
                doubled: 2,
                strangers: 0
            }
        );
    }

    #[test]
    fn bodies_are_kept_inflated_from_when_they_are_asked_for() {
        let store = NullStore::start(Options {
            claim: Claim::OpenSearch,
            markers: None,
        })
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let body = b"{\"create\":{}}\n{\"m\":1}\n";
        post(&store, "/_bulk", "", body);
        assert!(store.take_bodies().is_err());
        store.keep_bodies(&dir.path().join("bodies")).unwrap();
        let zstd = zstd::encode_all(&body[..], 1).unwrap();
        post(&store, "/_bulk", "content-encoding: zstd\r\n", &zstd);
        post(&store, "/insert/jsonline", "", b"{}\n");
        let files = store.take_bodies().unwrap();
        let kept: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        assert_eq!(kept, [body.to_vec()]);
        post(&store, "/_bulk", "", body);
        assert_eq!(store.counts().documents, 4);
        assert!(store.take_bodies().is_err());
    }

    #[test]
    fn the_null_elasticsearch_refuses_zstd_but_not_of_json_lines() {
        let options = Options {
            claim: Claim::Elasticsearch,
            markers: Some(3),
        };
        let store = NullStore::start(options).unwrap();
        let lines = b"{\"_msg\":\"tr-00000000\"}\n{\"_msg\":\"tr-00000002\"}\n";
        let zstd = zstd::encode_all(&lines[..], 1).unwrap();
        let header = "content-encoding: zstd\r\n";
        let answer = post(&store, "/_bulk", header, &zstd);
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let answer = post(&store, "/insert/jsonline", header, &zstd);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let counts = store.counts();
        assert_eq!((counts.unreadable, counts.documents), (1, 2));
        assert_eq!(store.balance().unwrap().lost, 1);
    }
}
