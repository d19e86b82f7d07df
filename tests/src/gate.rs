//! An HTTP proxy on 127.0.0.1 that understands what passes: it answers in the server's place,
//! spoils answers, refuses single documents, delivers requests twice.
//!
//! Faults strike requests whose path ends with a given end (`/_bulk`, `/v1/batch`); everything else
//! passes. Requests are read whole, so faults of single bytes and connections are [`crate::proxy`]'s.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context;
use bench::body::inflate_into;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client, header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::process::free_port;

/// What is done to a request that is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spell {
    /// Not passed on; answered with this status.
    Refuse(u16),
    /// Passed on; answered with this status all the same.
    AnswerInstead(u16),
    /// Passed on; the connection ends without an answer.
    Lose,
    /// Passed on; only the first half of the answer's JSON comes back, as if it were all.
    Truncate,
    /// Passed on; a page of HTML comes back with status 200.
    NotJson,
    /// Passed on; one item is missing in the answer.
    WrongCount,
    /// Passed on twice, one after the other; the first answer comes back.
    Twice,
    /// Passed on, and once more when the answer is on its way.
    AgainLater,
    /// Of a bulk request every third document is not passed on; its item is answered with this
    /// status and a server's words for it.
    RefuseItems(u16),
    /// Not passed on and answered with 413 when the body, inflated, is larger than this.
    TooLarge(usize),
}

/// Which requests are struck by what.
#[derive(Debug, Clone, Copy)]
struct Curse {
    spell: Spell,
    every: u64,
    times: u64,
    seen: u64,
}

/// A running gate; it stops when dropped.
#[derive(Debug)]
pub struct Gate {
    port: u16,
    state: Arc<State>,
    // Owns every task of the gate.
    _runtime: Runtime,
}

#[derive(Debug)]
struct State {
    upstream: u16,
    path_end: &'static str,
    curse: Mutex<Option<Curse>>,
    struck: AtomicU64,
}

type Answer = Response<Full<Bytes>>;

impl Gate {
    /// Listens on a free port and passes on to `upstream_port` of 127.0.0.1. Faults strike
    /// requests whose path ends with `path_end`.
    pub fn start(upstream_port: u16, path_end: &'static str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("gate")
            .enable_all()
            .build()
            .context("cannot start a gate")?;
        let port = free_port()?;
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", port)))
            .context("cannot listen on 127.0.0.1")?;
        let state = Arc::new(State {
            upstream: upstream_port,
            path_end,
            curse: Mutex::new(None),
            struck: AtomicU64::new(0),
        });
        let serving = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = service_fn(move |request| Arc::clone(&state).answer(request));
                    // Clients and servers that go away in the middle are what this is for.
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(connection), service)
                        .await
                        .ok();
                });
            }
        });
        Ok(Self {
            port,
            state,
            _runtime: runtime,
        })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Strikes every `every`th request from now on, `times` times in all.
    pub fn strike(&self, spell: Spell, every: u64, times: u64) {
        *self.state.lock() = Some(Curse {
            spell,
            every: every.max(1),
            times,
            seen: 0,
        });
    }

    /// Ends all faults.
    pub fn heal(&self) {
        *self.state.lock() = None;
    }

    /// How many requests were struck so far.
    pub fn struck(&self) -> u64 {
        self.state.struck.load(Ordering::Relaxed)
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Option<Curse>> {
        self.curse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spell(&self, path: &str) -> Option<Spell> {
        let mut curse = self.lock();
        let curse = curse.as_mut().filter(|_| path.ends_with(self.path_end))?;
        curse.seen += 1;
        if curse.times == 0 || !curse.seen.is_multiple_of(curse.every) {
            return None;
        }
        curse.times -= 1;
        Some(curse.spell)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Gone> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Gone)?.to_bytes();
        let again = || rebuilt(&parts, body.clone());
        let Some(spell) = self.spell(parts.uri.path()) else {
            return self.pass(again()).await;
        };
        let result = match spell {
            Spell::Refuse(status) => Ok(refusal(status)),
            Spell::AnswerInstead(status) => {
                self.pass(again()).await?;
                Ok(refusal(status))
            }
            Spell::Lose => {
                self.pass(again()).await?;
                Err(Gone)
            }
            Spell::Truncate => {
                let answer = self.pass(again()).await?;
                let whole = whole(answer).await;
                Ok(json_answer(whole.slice(..whole.len() / 2)))
            }
            Spell::NotJson => {
                self.pass(again()).await?;
                let page = "<html><body>It works!</body></html>";
                Ok(json_answer(Bytes::from_static(page.as_bytes())))
            }
            Spell::WrongCount => {
                let answer = self.pass(again()).await?;
                let mut answer: Value =
                    serde_json::from_slice(&whole(answer).await).unwrap_or(Value::Null);
                if let Some(items) = answer["items"].as_array_mut() {
                    items.pop();
                }
                Ok(json_answer(answer.to_string().into()))
            }
            Spell::Twice => {
                let first = self.pass(again()).await?;
                self.pass(again()).await?;
                Ok(first)
            }
            Spell::AgainLater => {
                let answer = self.pass(again()).await?;
                let (state, late) = (Arc::clone(&self), again());
                tokio::spawn(async move { state.pass(late).await.ok() });
                Ok(answer)
            }
            Spell::RefuseItems(status) => self.refuse_items(&parts, &body, status).await,
            Spell::TooLarge(limit) => {
                let mut raw = Vec::new();
                let inflated = inflate_into(encoding(&parts), &body, &mut raw);
                if inflated.is_ok() && raw.len() > limit {
                    Ok(refusal(413))
                } else {
                    // It was looked at, not struck.
                    return self.pass(again()).await;
                }
            }
        };
        self.struck.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Passes a request on, over a connection of its own.
    async fn pass(&self, request: Request<Full<Bytes>>) -> Result<Answer, Gone> {
        // Nothing was sent, and the client may know.
        let Ok(stream) = TcpStream::connect(("127.0.0.1", self.upstream)).await else {
            return Ok(refusal(503));
        };
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Gone)?;
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|_| Gone)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|_| Gone)?.to_bytes();
        driver.abort();
        let mut answer = Response::new(Full::new(body));
        *answer.status_mut() = parts.status;
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
            if let Some(value) = parts.headers.get(&name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        // Servers name themselves here, and clients look.
        if let Some(value) = parts.headers.get("x-elastic-product") {
            answer
                .headers_mut()
                .insert("x-elastic-product", value.clone());
        }
        Ok(answer)
    }

    async fn refuse_items(
        &self,
        parts: &hyper::http::request::Parts,
        body: &Bytes,
        status: u16,
    ) -> Result<Answer, Gone> {
        let mut raw = Vec::new();
        inflate_into(encoding(parts), body, &mut raw).map_err(|_| Gone)?;
        let lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
        let is_refused = |idx: usize| idx % 3 == 1;
        let mut kept = Vec::new();
        for (idx, pair) in lines.chunks(2).enumerate() {
            if !is_refused(idx) {
                kept.extend(pair.concat());
            }
        }
        let n_items = lines.len() / 2;
        if kept.is_empty() || n_items < 2 {
            return self.pass(rebuilt(parts, body.clone())).await;
        }
        let mut request = rebuilt(parts, Bytes::from(kept));
        request.headers_mut().remove(header::CONTENT_ENCODING);
        let answer = self.pass(request).await?;
        if answer.status() != StatusCode::OK {
            return Ok(answer);
        }
        let mut answer: Value = serde_json::from_slice(&whole(answer).await).unwrap_or(Value::Null);
        let Some(done) = answer["items"].as_array_mut().map(std::mem::take) else {
            return Err(Gone);
        };
        let mut done = done.into_iter();
        let items: Vec<Value> = (0..n_items)
            .map(|idx| match is_refused(idx) {
                true => refused_item(status),
                false => done.next().unwrap_or(Value::Null),
            })
            .collect();
        answer["items"] = items.into();
        answer["errors"] = true.into();
        Ok(json_answer(answer.to_string().into()))
    }
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the gate ends this connection")
    }
}

impl std::error::Error for Gone {}

fn encoding(parts: &hyper::http::request::Parts) -> Option<&str> {
    parts.headers.get(header::CONTENT_ENCODING)?.to_str().ok()
}

fn rebuilt(parts: &hyper::http::request::Parts, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = parts.headers.clone();
    // The body's length is told anew.
    request.headers_mut().remove(header::CONTENT_LENGTH);
    request.headers_mut().remove(header::TRANSFER_ENCODING);
    request
}

async fn whole(answer: Answer) -> Bytes {
    match answer.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    }
}

fn json_answer(body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    answer
}

fn refusal(status: u16) -> Answer {
    let body = match status {
        413 => Value::Null,
        429 => json!({"error": {"type": "es_rejected_execution_exception", "reason":
            "rejected execution of coordinating operation"}, "status": 429}),
        _ => json!({"error": {"type": "cluster_block_exception", "reason":
            "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];"},
            "status": status}),
    };
    let body = match body {
        Value::Null => Bytes::new(),
        body => body.to_string().into(),
    };
    let mut answer = json_answer(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    answer
}

fn refused_item(status: u16) -> Value {
    let error = match status {
        429 => json!({"type": "es_rejected_execution_exception", "reason":
            "rejected execution of primary operation"}),
        403 => json!({"type": "cluster_block_exception", "reason":
            "index [logs] blocked by: [FORBIDDEN/8/index write (api)];"}),
        _ => json!({"type": "unavailable_shards_exception", "reason":
            "[logs][0] primary shard is not active"}),
    };
    json!({"create": {"status": status, "error": error}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Http;
    use bench::null_store::{Claim, NullStore, Options};

    const TWO: &str = "{\"create\":{}}\n{\"m\":\"tr-00000001\"}\n\
                       {\"create\":{}}\n{\"m\":\"tr-00000002\"}\n";

    /// Sends two documents; the status and items of the answer, and how many came.
    fn check(spell: Spell) -> (Option<u16>, Option<usize>, u64) {
        let store = NullStore::start(Options {
            claim: Claim::OpenSearch,
            markers: Some(10),
        })
        .unwrap();
        let gate = Gate::start(store.port(), "/_bulk").unwrap();
        let http = Http::local(gate.port());
        gate.strike(spell, 1, 1);
        let post = || {
            http.send("POST", "/_bulk", "application/x-ndjson", TWO.into())
                .ok()
        };
        let reply = post();
        assert_eq!(gate.struck(), 1, "{spell:?}");
        let items = reply
            .as_ref()
            .and_then(|reply| reply.json()["items"].as_array().map(Vec::len));
        let documents = store.counts().documents;
        assert_eq!(post().map(|reply| reply.status), Some(200));
        (reply.map(|reply| reply.status), items, documents)
    }

    #[test]
    fn each_spell_does_what_it_says() {
        assert_eq!(check(Spell::Refuse(429)), (Some(429), None, 0));
        assert_eq!(check(Spell::AnswerInstead(503)), (Some(503), None, 2));
        assert_eq!(check(Spell::Lose), (None, None, 2));
        assert_eq!(check(Spell::Truncate), (Some(200), None, 2));
        assert_eq!(check(Spell::NotJson), (Some(200), None, 2));
        assert_eq!(check(Spell::Twice).2, 4);
        assert_eq!(check(Spell::RefuseItems(429)).2, 1);
        assert_eq!(check(Spell::TooLarge(10)), (Some(413), None, 0));
    }
}
