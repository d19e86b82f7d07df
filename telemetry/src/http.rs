//! `/metrics`, `/healthz`, `/readyz` and pages of the program's own, for both programs.
//!
//! [`handle`] answers one request and can stand behind any hyper service; [`serve`] is a small
//! server around it with bounded connections, each of which has a deadline, so that nobody who
//! opens connections can hold the program. It spawns on the current runtime of either kind.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::HeaderMap;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections served at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;

/// The head of a request has to come within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection is closed after this time, whatever its state: each carries one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long connections in work may take once the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long [`fetch`] waits for each step.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after `accept` failed, as it does when descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;
type Detail = Box<dyn Fn() -> Option<String> + Send + Sync>;
type Page = Box<dyn Fn() -> String + Send + Sync>;

/// What can be asked. Everything is computed when it is asked for.
pub struct Endpoints {
    registry: Registry,
    checks: Vec<(String, Check)>,
    details: Vec<(String, Detail)>,
    pages: Vec<(String, Access, Page)>,
}

/// Who may ask for a page.
#[derive(Debug, Clone, Copy)]
enum Access {
    Everybody,
    /// Those on this machine, a `kubectl exec` or `port-forward` among them.
    Loopback {
        is_meant: fn(&HeaderMap) -> bool,
    },
}

/// The address that a request comes from, which a server puts into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub std::net::SocketAddr);

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks: Vec<&str> = self.checks.iter().map(|(name, _)| name.as_str()).collect();
        let pages: Vec<&str> = self.pages.iter().map(|(path, ..)| path.as_str()).collect();
        f.debug_struct("Endpoints")
            .field("checks", &checks)
            .field("pages", &pages)
            .finish()
    }
}

impl Endpoints {
    /// `/metrics` over `registry`, `/healthz`, and a `/readyz` that is always ready.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            checks: Vec::new(),
            details: Vec::new(),
            pages: Vec::new(),
        }
    }

    /// Makes `/readyz` answer 503 while `check` fails. It shows `ok` or the error for each check.
    #[must_use]
    pub fn ready_when(
        mut self,
        name: &str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((name.to_owned(), Box::new(check)));
        self
    }

    /// Makes `/readyz` show what `detail` says, `ok` when it says nothing. It stays ready: this is
    /// for what an operator should mend while the program does its work.
    #[must_use]
    pub fn detail(
        mut self,
        name: &str,
        detail: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.details.push((name.to_owned(), Box::new(detail)));
        self
    }

    /// Adds a page of JSON text at `path`.
    #[must_use]
    pub fn page(mut self, path: &str, json: impl Fn() -> String + Send + Sync + 'static) -> Self {
        let page = (path.to_owned(), Access::Everybody, Box::new(json) as Page);
        self.pages.push(page);
        self
    }

    /// As [`Endpoints::page`], for those on this machine only: for what holds lines of logs, which
    /// not everybody who may scrape metrics may read. Others get 403, and so does every request
    /// that has no [`Peer`]. `is_meant` looks at the headers: whether the request was meant for
    /// this machine, or a page elsewhere makes a browser ask.
    #[must_use]
    pub fn local_page(
        mut self,
        path: &str,
        is_meant: fn(&HeaderMap) -> bool,
        json: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let access = Access::Loopback { is_meant };
        let page = (path.to_owned(), access, Box::new(json) as Page);
        self.pages.push(page);
        self
    }

    /// What `/metrics` shows. `None` when a collector fails, as only one of ours can.
    pub fn metrics_text(&self) -> Option<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).ok()?;
        Some(crate::families::joined(&text))
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.metrics_text() {
            Some(text) => answer(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                text,
            ),
            None => plain(StatusCode::INTERNAL_SERVER_ERROR, "a collector failed\n"),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let mut checks = Map::new();
        let mut ready = true;
        for (name, check) in &self.checks {
            let result = check();
            ready &= result.is_ok();
            let said = result.err().unwrap_or_else(|| "ok".to_owned());
            checks.insert(name.clone(), said.into());
        }
        for (name, detail) in &self.details {
            let said = detail().unwrap_or_else(|| "ok".to_owned());
            checks.insert(name.clone(), said.into());
        }
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let body = json!({"ready": ready, "checks": Value::Object(checks)});
        answer(status, "application/json", format!("{body}\n"))
    }
}

/// Answers a request for one of the endpoints; `None` when its path is none of theirs. The body
/// of the request is not looked at.
pub fn handle<B>(endpoints: &Endpoints, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    let path = request.uri().path();
    let page = endpoints.pages.iter().find(|(known, ..)| known == path);
    if page.is_none() && !matches!(path, "/metrics" | "/healthz" | "/readyz") {
        return None;
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD here\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let is_local = || {
        let peer = request.extensions().get::<Peer>();
        peer.is_some_and(|Peer(address)| address.ip().to_canonical().is_loopback())
    };
    Some(match (path, page) {
        (_, Some((_, Access::Loopback { is_meant }, _)))
            if !is_local() || !is_meant(request.headers()) =>
        {
            plain(
                StatusCode::FORBIDDEN,
                "only for programs on the same machine, under its local name\n",
            )
        }
        (_, Some((_, _, json))) => answer(StatusCode::OK, "application/json", json()),
        ("/metrics", _) => endpoints.metrics(),
        ("/readyz", _) => endpoints.ready(),
        _ => plain(StatusCode::OK, "ok\n"),
    })
}

/// Serves `endpoints` on `listener` until `stop` resolves, then lets requests in work end, for at
/// most two seconds. Dropping the future closes everything at once.
pub async fn serve(
    listener: TcpListener,
    endpoints: Arc<Endpoints>,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            // The semaphore is never closed; without a place there is nothing to accept for.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let endpoints = Arc::clone(&endpoints);
                    let stopped = stopped.clone();
                    connections.spawn(async move {
                        let work = connection(stream, Peer(peer), endpoints, stopped);
                        drop(tokio::time::timeout(CONNECTION_TIMEOUT, work).await);
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop => {}
    }
    drop(listener);
    stopping.send_replace(true);
    let rest = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, rest).await.is_err() {
        connections.shutdown().await;
    }
}

/// Serves one connection.
async fn connection(
    stream: TcpStream,
    peer: Peer,
    endpoints: Arc<Endpoints>,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        let response = handle(&endpoints, &request)
            .unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "not found\n"));
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A connection that breaks is the asker's to notice.
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(connection.await);
}

/// Asks `address` for `path` and gives the body's text: what `status` commands do. Blocks, at most
/// ten seconds.
///
/// # Errors
/// When nobody answers there, or with another status than 200.
pub fn fetch(address: std::net::SocketAddr, path: &str) -> std::io::Result<String> {
    use std::io::{Error, Read, Write};
    let limit = FETCH_TIMEOUT;
    let mut stream = std::net::TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    // HTTP/1.0: the answer ends with the connection, without chunks.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(64 << 20).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| Error::other(format!("{address} does not speak HTTP")))?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        return Err(Error::other(format!(
            "{address} answers {status} to {path}: {}",
            body.trim()
        )));
    }
    Ok(body.to_owned())
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
