//! A small blocking HTTP client for tests: one connection a request, JSON in and out.

use std::{sync::LazyLock, time::Duration};

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, runtime::Runtime};

/// How long any one request of a test may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Requests of all tests run here.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("http")
        .enable_all()
        .build()
        .expect("a runtime needs only threads and an epoll, without which no test can run")
});

/// A server's base address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    host: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; null when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// A server on `port` of 127.0.0.1.
    pub fn local(port: u16) -> Self {
        Self {
            host: format!("127.0.0.1:{port}"),
        }
    }

    /// A server at `http://HOST:PORT`, with or without a slash at the end.
    pub fn at(url: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| {
            format!("cannot use `{url}`: only http:// URLs are understood here")
        })?;
        let host = rest.trim_end_matches('/');
        let port = if host.contains(':') { "" } else { ":80" };
        Ok(Self {
            host: format!("{host}{port}"),
        })
    }

    /// The base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// Sends a request; any status is an answer.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Reply> {
        let what = || format!("{method} {}{path}", self.url());
        RUNTIME.block_on(async {
            tokio::time::timeout(LIMIT, self.exchange(method, path, content_type, body))
                .await
                .with_context(|| format!("cannot {}: no answer in {LIMIT:?}", what()))?
                .with_context(|| format!("cannot {}", what()))
        })
    }

    /// GET; any status is an answer.
    pub fn get(&self, path: &str) -> anyhow::Result<Reply> {
        self.send("GET", path, "application/json", Vec::new())
    }

    /// GET of JSON; an error unless 2xx.
    pub fn get_json(&self, path: &str) -> anyhow::Result<Value> {
        good(self.get(path)?, path).map(|reply| reply.json())
    }

    /// A request with a JSON body; an error unless 2xx.
    pub fn json(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.checked(method, path, body).map(|reply| reply.json())
    }

    /// As [`Http::json`], but the answer stays as it came.
    pub fn bytes(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Bytes> {
        self.checked(method, path, body).map(|reply| reply.body)
    }

    fn checked(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Reply> {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        good(self.send(method, path, "application/json", bytes)?, path)
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Reply> {
        let socket = TcpStream::connect(&self.host)
            .await
            .context("cannot connect")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(Bytes::from(body)))
            .context("cannot build the request")?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        driver.abort();
        Ok(Reply { status, body })
    }
}

fn good(reply: Reply, path: &str) -> anyhow::Result<Reply> {
    if !(200..300).contains(&reply.status) {
        let text = reply.text();
        bail!(
            "{path} answered {}: {}",
            reply.status,
            text.chars().take(500).collect::<String>()
        );
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood_or_refused() {
        assert_eq!(
            Http::at("http://127.0.0.1:9200/").unwrap(),
            Http::local(9200)
        );
        assert_eq!(Http::at("http://store").unwrap().url(), "http://store:80");
        assert!(Http::at("https://store").is_err());
    }

    #[test]
    fn nobody_at_home_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert!(
            Http::local(port)
                .get("/")
                .unwrap_err()
                .to_string()
                .contains("cannot GET")
        );
    }
}
