//! `/metrics`, `/healthz`, `/readyz` and JSON pages of both programs.
//!
//! [`handle`] answers one request, for a program that has a server of its own; [`serve`] is the
//! server of one that has not. It holds few connections, each with a time limit, and needs nothing
//! but a tokio runtime, of one thread too.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections that [`serve`] holds at once.
const MAX_CONNECTIONS: usize = 64;
/// How long a request's head may take, and a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// A condition of readiness: `Err` says why it does not hold, for people.
pub type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Makes a JSON text.
pub type Page = Box<dyn Fn() -> String + Send + Sync>;

/// What can be asked of a program.
pub struct Endpoints {
    registry: Registry,
    checks: Vec<(String, Check)>,
    pages: BTreeMap<String, Page>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints")
            .field("pages", &self.pages.keys())
            .finish_non_exhaustive()
    }
}

impl Endpoints {
    /// `/metrics` shows `registry`; `/healthz` and `/readyz` say ok.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            checks: Vec::new(),
            pages: BTreeMap::new(),
        }
    }

    /// Adds a condition of readiness.
    #[must_use]
    pub fn ready_when(
        mut self,
        name: &str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((name.to_owned(), Box::new(check)));
        self
    }

    /// Adds a page of JSON at `path`.
    #[must_use]
    pub fn page(mut self, path: &str, page: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.pages.insert(path.to_owned(), Box::new(page));
        self
    }
}

/// Answers a request for one of the endpoints; `None` when its path is none of them.
pub fn handle<B>(endpoints: &Endpoints, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    let path = request.uri().path();
    let known =
        matches!(path, "/metrics" | "/healthz" | "/readyz") || endpoints.pages.contains_key(path);
    if !known {
        return None;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(response(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "use GET\n".to_owned(),
        ));
    }
    Some(match path {
        "/metrics" => metrics(&endpoints.registry),
        "/healthz" => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" => ready(&endpoints.checks),
        _ => response(StatusCode::OK, JSON, endpoints.pages[path]()),
    })
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            response(StatusCode::OK, kind, text)
        }
        Err(error) => response(
            StatusCode::INTERNAL_SERVER_ERROR,
            TEXT,
            format!("cannot encode the metrics: {error}\n"),
        ),
    }
}

fn ready(checks: &[(String, Check)]) -> Response<Full<Bytes>> {
    let mut all = true;
    let mut text = String::from("{\"checks\":{");
    for (number, (name, check)) in checks.iter().enumerate() {
        let answer = match check() {
            Ok(()) => "ok".to_owned(),
            Err(reason) => {
                all = false;
                reason
            }
        };
        if number > 0 {
            text.push(',');
        }
        text.push_str(&format!("{}:{}", json_string(name), json_string(&answer)));
    }
    text.push_str(&format!("}},\"ready\":{all}}}\n"));
    let status = if all {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    response(status, JSON, text)
}

fn json_string(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                json.push('\\');
                json.push(character);
            }
            control if control.is_control() => {
                json.push_str(&format!("\\u{:04x}", control as u32));
            }
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Serves the endpoints on `listener` until `stop` resolves; then ends what is being answered and
/// returns. What is no endpoint is a 404.
pub async fn serve(
    listener: TcpListener,
    endpoints: Arc<Endpoints>,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = stop.as_mut() => break,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (Ok(place), Ok((stream, _))) = accepted else {
            // Out of descriptors, most likely.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let endpoints = Arc::clone(&endpoints);
        connections.spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let endpoints = Arc::clone(&endpoints);
                async move {
                    Ok::<_, Infallible>(handle(&endpoints, &request).unwrap_or_else(|| {
                        response(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned())
                    }))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away takes nothing with it.
            drop(connection.await);
        });
    }
    connections.shutdown().await;
}

/// Asks `address` for `path` and gives the body's text: what `status` commands do. Blocks, at most
/// ten seconds.
///
/// # Errors
/// When nobody answers there, or with another status than 200.
pub fn fetch(address: std::net::SocketAddr, path: &str) -> std::io::Result<String> {
    use std::io::{Error, Read, Write};
    let limit = Duration::from_secs(10);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Request<()> {
        Request::builder().uri(path).body(()).unwrap()
    }

    async fn text(response: Response<Full<Bytes>>) -> String {
        use http_body_util::BodyExt as _;
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let endpoints = Endpoints::new(Registry::default())
            .ready_when("disk", || Ok(()))
            .ready_when("store", || Err("no \"host\" answers".to_owned()));
        let response = handle(&endpoints, &get("/readyz")).unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            text(response).await,
            "{\"checks\":{\"disk\":\"ok\",\"store\":\"no \\\"host\\\" answers\"},\"ready\":false}\n"
        );
    }

    #[tokio::test]
    async fn pages_metrics_and_strangers() {
        let endpoints =
            Endpoints::new(Registry::default()).page("/status", || "{\"a\":1}".to_owned());
        assert_eq!(
            text(handle(&endpoints, &get("/status")).unwrap()).await,
            "{\"a\":1}"
        );
        assert!(
            text(handle(&endpoints, &get("/metrics")).unwrap())
                .await
                .ends_with("# EOF\n")
        );
        assert!(handle(&endpoints, &get("/other")).is_none());
        let post = Request::builder()
            .method("POST")
            .uri("/healthz")
            .body(())
            .unwrap();
        let response = handle(&endpoints, &post).unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_served_page_can_be_fetched_until_the_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoints =
            Arc::new(Endpoints::new(Registry::default()).page("/status", || "{}".to_owned()));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, endpoints, async { drop(stopped.await) }));
        let fetched = tokio::task::spawn_blocking(move || {
            (fetch(address, "/status"), fetch(address, "/nothing"))
        });
        let (page, nothing) = fetched.await.unwrap();
        assert_eq!(page.unwrap(), "{}");
        assert!(nothing.unwrap_err().to_string().contains("404"));
        stop.send(()).unwrap();
        server.await.unwrap();
    }
}
