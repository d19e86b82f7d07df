//! HTTP/1.1 to one of several hosts: pooled connections, fail-over, time-outs.
//!
//! Retries nothing but a request that a dead pooled connection never took. Its errors say whether
//! the server may have seen the request: what follows from that is the caller's business.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::{Auth, ElasticsearchOptions, Encoding, Resolver};

/// Answers larger than this are not read to the end: no request of ours has one.
const MAX_ANSWER: usize = 256 << 20;

/// Idle connections kept per host: as many as the sender uses at a time.
const MAX_IDLE: usize = 16;

/// Servers and proxies close idle connections after 60 s or more.
const MAX_IDLE_AGE: Duration = Duration::from_secs(45);

/// First and longest time that a failing host is passed over.
const HOST_REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Options that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// No host is given.
    #[error("cannot connect: `hosts` is empty")]
    NoHosts,
    /// Not an `http://` or `https://` URL.
    #[error("cannot use host `{0}`: give it as http://name:9200 or https://name/path")]
    Host(String),
    /// The CA file is unusable.
    #[error("cannot use the certificates: {0}")]
    Certificate(String),
    /// Credentials that cannot stand in a header.
    #[error("cannot use the credentials: they hold control characters")]
    Credentials,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The server has not seen the request.
    #[error("cannot reach `{host}`: {reason}")]
    Unreachable {
        /// The host that was tried.
        host: String,
        /// What failed.
        reason: String,
    },
    /// The connection ended before the whole answer was there: outcome unknown.
    #[error("lost the answer of `{host}`: {reason}")]
    Lost {
        /// The host that was asked.
        host: String,
        /// What failed.
        reason: String,
    },
    /// No whole answer in time: outcome unknown.
    #[error("no answer of `{host}` in {}s", .after.as_secs())]
    Timeout {
        /// The host that was asked.
        host: String,
        /// The time-out.
        after: Duration,
    },
}

impl RequestError {
    /// Whether the server may have carried the request out.
    pub fn is_outcome_unknown(&self) -> bool {
        !matches!(self, Self::Unreachable { .. })
    }
}

/// An answer of the server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
    /// `Retry-After` in seconds, where the server sent it.
    pub retry_after: Option<Duration>,
    /// `X-elastic-product`, which Elasticsearch sends with every answer since 7.14.
    pub is_elastic: bool,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) content_type: &'static str,
    pub(crate) encoding: Encoding,
    pub(crate) bytes: Bytes,
}

/// The client.
pub(crate) struct Http {
    hosts: Vec<Host>,
    next: AtomicUsize,
    authorization: Option<HeaderValue>,
    tls: Option<TlsConnector>,
    request_timeout: Duration,
    connect_timeout: Duration,
    resolver: Option<Resolver>,
}

struct Host {
    url: String,
    tls: bool,
    name: String,
    port: u16,
    authority: HeaderValue,
    /// Path before every request's path, without a final slash.
    prefix: String,
    state: Mutex<HostState>,
}

#[derive(Default)]
struct HostState {
    idle: Vec<(Connection, Instant)>,
    failures: u32,
    rests_until: Option<Instant>,
}

type Connection = SendRequest<Full<Bytes>>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Host {
    fn parse(url: &str) -> Result<Self, OptionsError> {
        let bad = || OptionsError::Host(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad()),
        };
        let authority = uri.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(bad());
        }
        let name = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Ok(Self {
            url: url.to_owned(),
            tls,
            name,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HostState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> Option<Connection> {
        let mut state = self.lock();
        while let Some((connection, since)) = state.idle.pop() {
            if since.elapsed() < MAX_IDLE_AGE && connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection) {
        let mut state = self.lock();
        if !connection.is_closed() && state.idle.len() < MAX_IDLE {
            state.idle.push((connection, Instant::now()));
        }
    }

    fn succeeded(&self) {
        let mut state = self.lock();
        state.failures = 0;
        state.rests_until = None;
    }

    fn failed(&self) {
        let mut state = self.lock();
        let rest = HOST_REST
            .0
            .saturating_mul(1 << state.failures.min(6))
            .min(HOST_REST.1);
        state.failures = state.failures.saturating_add(1);
        state.rests_until = Some(Instant::now() + rest);
        state.idle.clear();
    }
}

impl Http {
    pub(crate) fn new(options: &ElasticsearchOptions) -> Result<Self, OptionsError> {
        if options.hosts.is_empty() {
            return Err(OptionsError::NoHosts);
        }
        let hosts = options
            .hosts
            .iter()
            .map(|h| Host::parse(h))
            .collect::<Result<Vec<_>, _>>()?;
        let tls = if hosts.iter().any(|h| h.tls) {
            Some(TlsConnector::from(crate::tls::client_config(
                options.ca_pem.as_deref(),
            )?))
        } else {
            None
        };
        let authorization = match &options.auth {
            Auth::None => None,
            Auth::Basic { user, password } => Some(format!(
                "Basic {}",
                STANDARD.encode(format!("{user}:{password}"))
            )),
            Auth::ApiKey(key) => Some(format!("ApiKey {key}")),
            Auth::Bearer(token) => Some(format!("Bearer {token}")),
        };
        let authorization = authorization
            .map(|text| {
                let mut value =
                    HeaderValue::from_str(&text).map_err(|_| OptionsError::Credentials)?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        Ok(Self {
            hosts,
            next: AtomicUsize::new(0),
            authorization,
            tls,
            request_timeout: options.request_timeout,
            connect_timeout: options.connect_timeout,
            resolver: options.resolver.clone(),
        })
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Hosts that are passed over just now.
    pub(crate) fn resting_hosts(&self) -> Vec<String> {
        let now = Instant::now();
        let rests = |h: &&Host| h.lock().rests_until.is_some_and(|until| until > now);
        self.hosts
            .iter()
            .filter(rests)
            .map(|h| h.url.clone())
            .collect()
    }

    /// The next host in turn that is not resting, else the one that rests the shortest.
    fn pick(&self) -> &Host {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let in_turn = (0..self.hosts.len()).map(|i| &self.hosts[(start + i) % self.hosts.len()]);
        in_turn
            .min_by_key(|h| h.lock().rests_until.filter(|until| *until > now))
            .expect("there is at least one host")
    }

    /// Sends one request to one host. A host that cannot be reached is left for the next at once:
    /// nothing was sent.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        payload: Option<&Payload>,
    ) -> Result<Answer, RequestError> {
        let mut tries = self.hosts.len();
        loop {
            tries -= 1;
            let host = self.pick();
            let result = self.request_host(host, &method, path, payload).await;
            match &result {
                Ok(answer) if matches!(answer.status, 502..=504) => host.failed(),
                Ok(_) => host.succeeded(),
                Err(_) => host.failed(),
            }
            match result {
                Err(RequestError::Unreachable { .. }) if tries > 0 => {}
                result => return result,
            }
        }
    }

    async fn request_host(
        &self,
        host: &Host,
        method: &Method,
        path: &str,
        payload: Option<&Payload>,
    ) -> Result<Answer, RequestError> {
        let unreachable = |reason: String| RequestError::Unreachable {
            host: host.url.clone(),
            reason,
        };
        let build = || {
            let mut request = Request::new(Full::new(
                payload.map(|p| p.bytes.clone()).unwrap_or_default(),
            ));
            *request.method_mut() = method.clone();
            *request.uri_mut() = format!("{}{path}", host.prefix)
                .parse::<Uri>()
                .map_err(|e| e.to_string())?;
            let headers = request.headers_mut();
            headers.insert(HOST, host.authority.clone());
            headers.insert("user-agent", HeaderValue::from_static("tailrace"));
            if let Some(value) = &self.authorization {
                headers.insert(AUTHORIZATION, value.clone());
            }
            if let Some(payload) = payload {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(payload.content_type));
                match payload.encoding {
                    Encoding::Identity => {}
                    Encoding::Gzip => {
                        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                    }
                    Encoding::Zstd => {
                        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("zstd"));
                    }
                }
            }
            Ok::<_, String>(request)
        };
        let mut request = build().map_err(unreachable)?;
        let (mut connection, mut fresh) = match host.idle() {
            Some(connection) => (connection, false),
            None => (self.connect(host).await?, true),
        };
        let deadline = Instant::now() + self.request_timeout;
        let timeout = || RequestError::Timeout {
            host: host.url.clone(),
            after: self.request_timeout,
        };
        let lost = |reason: String| RequestError::Lost {
            host: host.url.clone(),
            reason,
        };
        let response = loop {
            let sent = tokio::time::timeout_at(deadline, connection.try_send_request(request));
            match sent.await.map_err(|_| timeout())? {
                Ok(response) => break response,
                Err(mut error) => match error.take_message() {
                    // The pooled connection was dead; the request never left.
                    Some(unsent) if !fresh => {
                        request = unsent;
                        connection = self.connect(host).await?;
                        fresh = true;
                    }
                    Some(_) => return Err(unreachable(error.into_error().to_string())),
                    None => return Err(lost(describe(&error.into_error()))),
                },
            }
        };
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|v| v.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let is_elastic = response.headers().contains_key("x-elastic-product");
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect();
        let body = tokio::time::timeout_at(deadline, body)
            .await
            .map_err(|_| timeout())?;
        let body = body.map_err(|e| lost(e.to_string()))?.to_bytes();
        host.keep(connection);
        Ok(Answer {
            status,
            body,
            retry_after,
            is_elastic,
        })
    }

    async fn connect(&self, host: &Host) -> Result<Connection, RequestError> {
        let work = self.connect_stream(host);
        let result = match tokio::time::timeout(self.connect_timeout, work).await {
            Ok(result) => result.map_err(|e| e.to_string()),
            Err(_) => Err(format!(
                "no connection in {} s",
                self.connect_timeout.as_secs()
            )),
        };
        let unreachable = |reason: String| RequestError::Unreachable {
            host: host.url.clone(),
            reason,
        };
        let stream = result.map_err(unreachable)?;
        let (connection, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(|e| unreachable(e.to_string()))?;
        // Ends by itself when the connection is closed or its handle is dropped; what goes wrong
        // on it is reported to the request.
        tokio::spawn(async move { drop(driver.await) });
        Ok(connection)
    }

    async fn connect_stream(&self, host: &Host) -> std::io::Result<Box<dyn Stream>> {
        let addresses: Vec<SocketAddr> = match &self.resolver {
            Some(resolve) => resolve(host.name.clone(), host.port).await?,
            None => tokio::net::lookup_host((host.name.as_str(), host.port))
                .await?
                .collect(),
        };
        let tcp = TcpStream::connect(addresses.as_slice()).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            Some(tls) if host.tls => {
                let name = ServerName::try_from(host.name.clone())
                    .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidInput, e))?;
                Ok(Box::new(tls.connect(name, tcp).await?))
            }
            _ => Ok(Box::new(tcp)),
        }
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.hosts.iter().map(|h| &h.url))
            .finish()
    }
}

/// The error with its cause, which holds the news.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked() {
        for (url, port, prefix) in [
            ("http://a:9200", 9200, ""),
            ("http://a", 80, ""),
            ("https://a/", 443, ""),
            ("https://a:1/x/y/", 1, "/x/y"),
            ("http://[::1]:5", 5, ""),
        ] {
            let host = Host::parse(url).unwrap();
            assert_eq!((host.port, host.prefix.as_str()), (port, prefix), "{url}");
        }
        for url in [
            "a:9200",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "",
            "http://a?x=1",
        ] {
            assert!(Host::parse(url).is_err(), "{url}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_host_rests_and_comes_back() {
        let hosts = vec!["http://a".to_owned(), "http://b".to_owned()];
        let http = Http::new(&ElasticsearchOptions::new(hosts)).unwrap();
        http.hosts[0].failed();
        assert!((0..4).all(|_| http.pick().name == "b"));
        assert_eq!(http.resting_hosts(), ["http://a"]);
        http.hosts[1].failed();
        http.hosts[1].failed();
        assert_eq!(http.pick().name, "a", "the one that rests the shortest");
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert_eq!(http.resting_hosts(), ["http://b"]);
        tokio::time::advance(Duration::from_secs(2)).await;
        let picked: std::collections::HashSet<_> =
            (0..4).map(|_| http.pick().name.clone()).collect();
        assert_eq!(picked.len(), 2);
    }
}
