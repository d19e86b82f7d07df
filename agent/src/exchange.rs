//! One HTTP exchange over one connection, and what its failure says about the outcome.
//!
//! A connection is driven only while an exchange is under way; in between it lies idle in its
//! pool, and its end is noticed before the next request begins. So nothing runs in the background.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longest answer that is read. An answer takes about 25 bytes a chunk.
const MAX_ANSWER: usize = 8 << 20;

/// Connecting takes a round trip; an address that does not answer must not hold a batch long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// hyper's own buffer for answers; bodies are written from where they are.
const READ_BUFFER: usize = 16 * 1024;

/// What came back.
#[derive(Debug)]
pub struct Answered {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, whole.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Nothing of the request has left.
    #[error("cannot connect to {address}: {reason}")]
    NotSent {
        /// The peer.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The connection broke after the request had begun.
    #[error("connection to {address} lost before the answer: {reason}")]
    Lost {
        /// The peer.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {address} within {limit:?}")]
    TimedOut {
        /// The peer.
        address: SocketAddr,
        /// The limit.
        limit: Duration,
    },
}

/// A keep-alive connection.
pub(crate) struct Connection {
    address: SocketAddr,
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

impl Connection {
    async fn open(address: SocketAddr, timeout: Duration) -> Result<Self, ExchangeError> {
        let not_sent = |reason: String| ExchangeError::NotSent { address, reason };
        let timeout = timeout.min(CONNECT_TIMEOUT);
        let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(not_sent(error.to_string())),
            Err(_) => return Err(not_sent(format!("no connection within {timeout:?}"))),
        };
        // Small batches must not wait for the peer's delayed acknowledgement. Without it they
        // only are slower.
        stream.set_nodelay(true).ok();
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| not_sent(error.to_string()))?;
        Ok(Self {
            address,
            sender,
            driver: Box::pin(driver),
        })
    }

    /// Notices what happened to the connection while nobody looked.
    async fn is_open(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.driver.as_mut().poll(cx).is_pending())).await
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answered, ExchangeError> {
        let address = self.address;
        let Self { sender, driver, .. } = self;
        let lost = |error: &dyn std::error::Error| ExchangeError::Lost {
            address,
            reason: deepest(error),
        };
        let exchange = async {
            sender
                .ready()
                .await
                .map_err(|error| ExchangeError::NotSent {
                    address,
                    reason: deepest(&error),
                })?;
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut failed) => {
                    let reason = deepest(failed.error());
                    // The request comes back when nothing of it was written.
                    return Err(match failed.take_message() {
                        Some(_) => ExchangeError::NotSent { address, reason },
                        None => ExchangeError::Lost { address, reason },
                    });
                }
            };
            let (parts, body) = response.into_parts();
            let body = match Limited::new(body, MAX_ANSWER).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => return Err(lost(error.as_ref())),
            };
            Ok(Answered {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        };
        let mut exchange = pin!(exchange);
        let mut driver_done = false;
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = exchange.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            if !driver_done && driver.as_mut().poll(cx).is_ready() {
                // The exchange sees the reason at its next poll.
                driver_done = true;
                return exchange.as_mut().poll(cx);
            }
            // What the driver has just read may be what the exchange waits for; it wakes itself.
            Poll::Pending
        })
        .await
    }
}

/// The innermost reason: hyper's own says only which part failed.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Sends `request` over `idle` when that is still open, else over a new connection. Gives back a
/// connection that may be used again.
pub(crate) async fn send(
    address: SocketAddr,
    idle: Option<Connection>,
    request: Request<Full<Bytes>>,
    timeout: Duration,
) -> (Result<Answered, ExchangeError>, Option<Connection>) {
    let mut still_open = None;
    if let Some(mut idle) = idle
        && idle.is_open().await
    {
        still_open = Some(idle);
    }
    let mut connection = match still_open {
        Some(idle) => idle,
        None => match Connection::open(address, timeout).await {
            Ok(connection) => connection,
            Err(error) => return (Err(error), None),
        },
    };
    // When the time is over the connection goes, and with it every late answer (DELIVERY rule 10).
    match tokio::time::timeout(timeout, connection.exchange(request)).await {
        Ok(Ok(answered)) => (Ok(answered), Some(connection)),
        Ok(Err(error)) => (Err(error), None),
        Err(_) => (
            Err(ExchangeError::TimedOut {
                address,
                limit: timeout,
            }),
            None,
        ),
    }
}
