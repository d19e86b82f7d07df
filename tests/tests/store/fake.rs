//! A store in this process: takes `create` as a real one does, and fails as told.

use std::collections::{BTreeSet, VecDeque};
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use store::{Elasticsearch, ElasticsearchOptions};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one bulk request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Done, and the connection closes without an answer.
    LostAnswer,
    /// Done, and the connection closes in the middle of the answer.
    CutAnswer,
    /// Done, and a proxy answers 200 with a page.
    NotJson,
    /// Done, and the answer's length is right but its JSON ends early.
    CutJson,
    /// Done, and the answer misses an item.
    OneItemLess,
    /// Done, and a proxy answers 504.
    GatewayTimeout,
    /// Not done: 429.
    Busy,
}

/// A request as the store saw it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// Method and path, lower case.
    pub(crate) what: String,
    pub(crate) body: Value,
}

#[derive(Default)]
struct State {
    /// What `GET /` tells beside 8.19.0.
    version: Option<Value>,
    /// A policy of ISM that is there already, with its sequence numbers.
    policy: Option<Value>,
    /// Indices have a replica on another node.
    is_replicated: bool,
    /// After the first 409 of a document the primary dies, which held its only copy.
    loses_after_conflict: bool,
    /// Requests other than `_bulk`.
    seen: Vec<Seen>,
    documents: BTreeSet<(String, String)>,
    faults: VecDeque<Fault>,
    blocked: BTreeSet<String>,
    /// Status and size of bodies that are refused as a whole.
    limit: Option<(u16, usize)>,
    /// Sort keys of what a search finds.
    hits: Vec<u64>,
}

/// Handle of the store, which ends with it.
pub(crate) struct FakeStore {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeStore {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeStore {
    /// Has this policy of ISM already.
    pub(crate) fn has_policy(&self, policy: Value) {
        self.state.lock().unwrap().policy = Some(policy);
    }

    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn fail_next(&self, fault: Fault, times: usize) {
        let faults = std::iter::repeat_n(fault, times);
        self.state.lock().unwrap().faults.extend(faults);
    }

    pub(crate) fn limit_bytes(&self, status: u16, bytes: usize) {
        self.state.lock().unwrap().limit = Some((status, bytes));
    }

    pub(crate) fn become_version(&self, version: Value) {
        self.state.lock().unwrap().version = Some(version);
    }

    pub(crate) fn replicate(&self) {
        self.state.lock().unwrap().is_replicated = true;
    }

    pub(crate) fn lose_after_conflict(&self) {
        self.state.lock().unwrap().loses_after_conflict = true;
    }

    /// Requests whose method and path begin so.
    pub(crate) fn seen(&self, what: &str) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        let seen = state.seen.iter().filter(|it| it.what.starts_with(what));
        seen.cloned().collect()
    }

    pub(crate) fn block(&self, index: &str) {
        self.state.lock().unwrap().blocked.insert(index.to_owned());
    }

    pub(crate) fn unblock(&self, index: &str) {
        self.state.lock().unwrap().blocked.remove(index);
    }

    pub(crate) fn serve_hits(&self, keys: &[u64]) {
        self.state.lock().unwrap().hits = keys.to_vec();
    }

    /// Documents of an index.
    pub(crate) fn stored(&self, index: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.documents.iter().filter(|(i, _)| i == index).count()
    }
}

/// A client of fakes.
pub(crate) async fn client(hosts: Vec<String>) -> Arc<Elasticsearch> {
    let mut options = ElasticsearchOptions::new(hosts);
    options.request_timeout = Duration::from_secs(5);
    Arc::new(Elasticsearch::connect(options).await.unwrap())
}

/// One connection, until the peer leaves or a fault ends it.
async fn serve(mut socket: TcpStream, state: Arc<Mutex<State>>) {
    let (reader, mut writer) = socket.split();
    let mut reader = BufReader::new(reader);
    while let Some((what, body)) = request(&mut reader).await {
        let (status, answer, fault) = respond(&what, &body, &state);
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        let bytes = [head.as_bytes(), answer.as_bytes()].concat();
        let sent = match fault {
            Some(Fault::LostAnswer) => 0,
            Some(Fault::CutAnswer) => bytes.len() - 10,
            _ => bytes.len(),
        };
        if writer.write_all(&bytes[..sent]).await.is_err() || sent < bytes.len() {
            return;
        }
    }
}

/// Method and path, lower case, and the body.
async fn request(reader: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let (mut path, mut len, mut is_gzip) = (None, 0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        match (&path, line.split_once(": ")) {
            (None, _) => path = line.strip_suffix(" http/1.1").map(str::to_owned),
            (_, Some(("content-length", value))) => len = value.parse().ok()?,
            (_, Some(("content-encoding", value))) => is_gzip = value == "gzip",
            _ => {}
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).await.ok()?;
    if is_gzip {
        let mut raw = Vec::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(body.as_slice());
        decoder.read_to_end(&mut raw).ok()?;
        body = raw;
    }
    Some((path?, body))
}

fn respond(what: &str, body: &[u8], state: &Mutex<State>) -> (u16, String, Option<Fault>) {
    let ok = |value: Value| (200, value.to_string(), None);
    let mut state = state.lock().unwrap();
    if !what.starts_with("post /_bulk") {
        state.seen.push(Seen {
            what: what.to_owned(),
            body: serde_json::from_slice(body).unwrap_or_default(),
        });
    }
    let replicas = u8::from(state.is_replicated);
    if what == "get /" {
        let version = state.version.clone();
        let version = version.unwrap_or_else(|| json!({"number": "8.19.0"}));
        return ok(json!({"version": version, "tagline": "You Know, for Search"}));
    }
    if what.contains("/_ism/policies/")
        && let Some(policy) = &state.policy
    {
        if what.starts_with("get ") {
            return ok(policy.clone());
        }
        let (seq_no, term) = (&policy["_seq_no"], &policy["_primary_term"]);
        if !what.ends_with(&format!("?if_seq_no={seq_no}&if_primary_term={term}")) {
            return (409, "{}".to_owned(), None);
        }
    }
    if what.contains("/_settings") {
        let index = json!({"creation_date": "1", "number_of_replicas": replicas.to_string()});
        return ok(json!({"i": {"settings": {"index": index}}}));
    }
    if what.starts_with("get /_cluster/health") {
        return ok(json!({"number_of_data_nodes": 1 + replicas}));
    }
    if what.contains("/_search") {
        // A body that is not JSON is compressed in a way that this one does not know.
        return match serde_json::from_slice(body) {
            Ok(query) => ok(search(&state.hits, &query)),
            Err(_) => (400, "{}".to_owned(), None),
        };
    }
    if what.starts_with("put /") || what.starts_with("delete /") {
        return ok(json!({"acknowledged": true}));
    }
    if !what.starts_with("post /_bulk") {
        return (404, "{}".to_owned(), None);
    }
    if let Some((status, _)) = state.limit.filter(|(_, max)| body.len() > *max) {
        return (status, String::new(), None);
    }
    let fault = state.faults.pop_front();
    if fault == Some(Fault::Busy) {
        return (429, "{}".to_owned(), fault);
    }
    let lines: Vec<&[u8]> = body.split(|b| *b == b'\n').collect();
    let mut items = Vec::new();
    for action in lines.chunks_exact(2).map(|pair| pair[0]) {
        let action: Value = serde_json::from_slice(action).unwrap();
        let text = |key: &str| action["create"][key].as_str().unwrap().to_owned();
        let key = (text("_index"), text("_id"));
        items.push(if state.blocked.contains(&key.0) {
            json!({"create": {"status": 403, "error": {"type": "cluster_block_exception",
                "reason": "blocked by: [FORBIDDEN/8/index write (api)];"}}})
        } else if state.documents.insert(key.clone()) {
            json!({"create": {"status": 201}})
        } else {
            if state.loses_after_conflict {
                state.documents.remove(&key);
            }
            json!({"create": {"status": 409, "error": {"type": "version_conflict_engine_exception",
                "reason": "document already exists"}}})
        });
    }
    state.loses_after_conflict &= items.iter().all(|it| it["create"]["status"] != 409);
    if fault == Some(Fault::OneItemLess) {
        items.pop();
    }
    let mut answer = json!({"errors": true, "items": items}).to_string();
    match fault {
        Some(Fault::NotJson) => answer = "<html>welcome</html>".to_owned(),
        Some(Fault::CutJson) => answer.truncate(answer.len() / 2),
        Some(Fault::GatewayTimeout) => return (504, "gateway".to_owned(), fault),
        _ => {}
    }
    (200, answer, fault)
}

/// Hits sorted by one key, as `search_after` pages them.
fn search(keys: &[u64], query: &Value) -> Value {
    let after = query["search_after"][0].as_u64();
    let size = query["size"].as_u64().unwrap_or(10) as usize;
    let hits: Vec<Value> = keys
        .iter()
        .enumerate()
        .filter(|(_, key)| after.is_none_or(|after| **key > after))
        .take(size)
        .map(|(id, key)| json!({"_id": id, "sort": [key]}))
        .collect();
    json!({"hits": {"hits": hits}})
}
