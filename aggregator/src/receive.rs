//! Receives batches: one HTTP/1.1 server for agents, metrics and health.
//!
//! Bodies are read whole, under a limit of bytes for each and for all together, and handed to a
//! worker compressed as they are. The answer goes out when every output that is not optional has
//! the documents durably, or after `answer_timeout` with what is known by then (DELIVERY rule 17).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use wire::{Answer, ChunkAck, Status};

mod connections;
mod intake;
mod tokens;

use connections::{Connections, Seat};
pub use intake::Intake;
pub use tokens::{Token, Tokens};

use crate::clock::wall_ms;
use crate::metrics::PipelineMetrics;
use crate::output::{Failure, Output};
use crate::pipeline::{BatchError, BodyEncoding, MaySendFor, Pool, Processed};

/// Limits of the receiver.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveOptions {
    /// Bytes of one request's body.
    pub max_compressed: usize,
    /// Memory for all requests in work, in bytes.
    pub memory: usize,
    /// How long a request may wait for its documents to be durable.
    pub answer_timeout: Duration,
}

/// How long a request waits for memory before it is turned away.
const MEMORY_WAIT: Duration = Duration::from_millis(500);
/// How long a body may take to arrive; an agent's own time-out is about this.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request's head may take, and how long a connection may stay idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Connections at once: each costs some 10 KiB while idle.
const MAX_CONNECTIONS: usize = 10_000;
/// Log compresses to about a sixth.
const RAW_PER_COMPRESSED_BYTE: usize = 6;
/// Documents are about twice the size of the log they come from.
const MEMORY_PER_RAW_BYTE: usize = 3;

/// The receiver: shared by all connections.
pub struct Receiver {
    options: ReceiveOptions,
    intake: Arc<Intake>,
    tokens: Arc<ArcSwap<Tokens>>,
    endpoints: Arc<telemetry::http::Endpoints>,
    metrics: Arc<PipelineMetrics>,
    memory: Arc<Semaphore>,
    web: Option<Arc<web::Api>>,
}

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// Agents, metrics, and the API and page where there is one.
    All,
    /// Agents and lines of the API.
    Intake,
    /// All but agents, who have an address of their own.
    Reads,
}

/// An answer that is not an [`Answer`].
struct Refusal {
    status: StatusCode,
    /// For the metric.
    result: &'static str,
    message: String,
    retry_after_s: Option<u32>,
}

impl Refusal {
    fn new(status: StatusCode, result: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            result,
            message: message.into(),
            retry_after_s: None,
        }
    }

    fn busy(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            result: "busy",
            message: message.into(),
            retry_after_s: Some(1),
        }
    }
}

/// A connection's request in work.
struct AtWork(Arc<Seat>);

impl AtWork {
    fn begin(seat: &Arc<Seat>) -> Self {
        seat.work();
        Self(Arc::clone(seat))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.rest();
    }
}

impl Receiver {
    /// A receiver that hands batches to `pool` and their documents to `outputs`.
    pub fn new(
        options: ReceiveOptions,
        pool: Arc<Pool>,
        outputs: Vec<Output>,
        tokens: Arc<ArcSwap<Tokens>>,
        endpoints: Arc<telemetry::http::Endpoints>,
        metrics: Arc<PipelineMetrics>,
    ) -> Self {
        let memory = Arc::new(Semaphore::new(kib(options.memory) as usize));
        let intake = Intake::new(pool, outputs, options.answer_timeout, Arc::clone(&metrics));
        Self {
            options,
            intake: Arc::new(intake),
            tokens,
            endpoints,
            metrics,
            memory,
            web: None,
        }
    }

    /// The way of documents behind the receiver.
    pub fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    /// Serves the API and the page too.
    #[must_use]
    pub fn with_web(mut self, web: Arc<web::Api>) -> Self {
        self.web = Some(web);
        self
    }

    /// Serves `listener` until `stop` turns true; then takes no new connection, lets requests in
    /// work end within `grace`, and returns.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        serves: Serves,
        mut stop: watch::Receiver<bool>,
        grace: Duration,
    ) {
        let mut connections: JoinSet<()> = JoinSet::new();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let seats = Arc::new(Connections::default());
        loop {
            if places.available_permits() == 0 {
                seats.dismiss_oldest();
            }
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            while connections.try_join_next().is_some() {}
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely.
                    let pause = if seats.dismiss_oldest() {
                        tracing::debug!(%error, "an idle connection makes room for another one");
                        Duration::from_millis(1)
                    } else {
                        tracing::warn!(%error, "cannot accept a connection");
                        Duration::from_millis(50)
                    };
                    // Time for the connection to end.
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            drop(stream.set_nodelay(true));
            let receiver = Arc::clone(&self);
            let mut stop = stop.clone();
            let seat = Arc::new(seats.seat());
            connections.spawn(async move {
                let _place = place;
                let worker = Arc::clone(&seat);
                let service = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(telemetry::http::Peer(peer));
                    let receiver = Arc::clone(&receiver);
                    let at_work = AtWork::begin(&worker);
                    async move {
                        let response = receiver.handle(request, peer, serves).await;
                        drop(at_work);
                        Ok::<_, Infallible>(response)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::pin!(connection);
                tokio::select! {
                    // A connection that breaks is the agent's to notice: it sends again.
                    _ = connection.as_mut() => return,
                    () = seat.dismissed() => return,
                    _ = stop.wait_for(|stop| *stop) => {}
                }
                connection.as_mut().graceful_shutdown();
                drop(connection.await);
            });
        }
        drop(listener);
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!(
                "requests were still in work at the end of the grace period: agents send them again"
            );
            connections.shutdown().await;
        }
    }

    async fn handle(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        serves: Serves,
    ) -> Response<web::Body> {
        let path = request.uri().path();
        if path == wire::http::BATCH_PATH && serves != Serves::Reads {
            return self.take_batch(request).await.map(boxed);
        }
        if let Some(response) = telemetry::http::handle(&self.endpoints, &request) {
            return response.map(boxed);
        }
        match &self.web {
            Some(web) if serves == Serves::Intake => {
                Arc::clone(web).handle_intake(request, peer).await
            }
            Some(web) if path != wire::http::BATCH_PATH => {
                Arc::clone(web).handle(request, peer).await
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "not found: agents post to /v1/batch\n",
            )
            .map(boxed),
        }
    }

    async fn take_batch(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let result = self.batch(request).await;
        self.response(result)
    }

    /// Takes a batch of an agent within this program, which needs no token: what it would answer
    /// over the network.
    pub async fn take_local(&self, body: Bytes) -> agent::Answered {
        let result = self.local_batch(body).await;
        let (parts, body) = self.response(result).into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        agent::Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn local_batch(&self, body: Bytes) -> Result<Answer, Refusal> {
        let needed = kib(body.len().saturating_mul(1 + MEMORY_PER_RAW_BYTE));
        let _memory = self.acquire(needed.min(kib(self.options.memory))).await?;
        self.metrics.received_bytes.inc_by(body.len() as u64);
        let may_send_for: MaySendFor = Arc::new(|_| true);
        let processed = self
            .process(body, BodyEncoding::Identity, may_send_for)
            .await?;
        let answer = self.keep(processed).await;
        faults::point("receive.answer");
        answer
    }

    fn response(&self, result: Result<Answer, Refusal>) -> Response<Full<Bytes>> {
        match result {
            Ok(answer) => {
                self.metrics.batch("ok");
                let mut body = Vec::new();
                wire::encode_answer(&answer, &mut body);
                let mut response = Response::new(Full::new(Bytes::from(body)));
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static(wire::http::ANSWER_CONTENT_TYPE),
                );
                response
            }
            Err(refusal) => {
                self.metrics.batch(refusal.result);
                tracing::debug!(status = refusal.status.as_u16(), reason = %refusal.message, "batch refused");
                let mut response = text(refusal.status, &(refusal.message + "\n"));
                if let Some(seconds) = refusal.retry_after_s {
                    response
                        .headers_mut()
                        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
        }
    }

    async fn batch(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        if request.method() != Method::POST {
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "malformed",
                "use POST",
            ));
        }
        let may_send_for = self.tokens.load().sender(
            request
                .headers()
                .get(header::AUTHORIZATION)
                .and_then(|value| value.to_str().ok()),
        );
        let Some(may_send_for) = may_send_for else {
            return Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "this aggregator wants a bearer token: set `token_file` in the agent's configuration",
            ));
        };
        let encoding = encoding_of(&request)?;
        let (body, _memory) = self.body(request).await?;
        self.metrics.received_bytes.inc_by(body.len() as u64);
        faults::point("receive.body");
        let processed = self.process(body, encoding, may_send_for).await?;
        let answer = self.keep(processed).await;
        // What is acknowledged is durable here, and the agent does not know it.
        faults::point("receive.answer");
        answer
    }

    /// Reads the body, with memory reserved for all that will be made of it.
    async fn body(
        &self,
        request: Request<Incoming>,
    ) -> Result<(Bytes, tokio::sync::SemaphorePermit<'_>), Refusal> {
        let too_large = || {
            Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!(
                    "the batch has more than {} bytes",
                    self.options.max_compressed
                ),
            )
        };
        // What the agent says of its own batch is believed as far as memory goes; the limit on
        // decompressed bytes holds whatever it says.
        let request_raw_length = request
            .headers()
            .get(wire::http::RAW_LENGTH_HEADER)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let body = request.into_body();
        let expected = body.size_hint().exact();
        if expected.is_some_and(|bytes| bytes > self.options.max_compressed as u64) {
            return Err(too_large());
        }
        // A body of unknown length is taken for the largest one.
        let length = expected.map_or(self.options.max_compressed, |bytes| bytes as usize);
        let raw = request_raw_length.unwrap_or(length * RAW_PER_COMPRESSED_BYTE);
        let needed = kib(length.saturating_add(raw.saturating_mul(MEMORY_PER_RAW_BYTE)));
        let needed = needed.min(kib(self.options.memory));
        // Whoever finds no memory now is turned away before it has sent everything. But it is not
        // held yet: a peer that sends slowly, or nothing, must not keep others out.
        drop(self.acquire(needed).await?);
        let mut memory = self.acquire(1).await?;
        let mut collected = BytesMut::with_capacity(length.min(1 << 20));
        let mut body = body;
        let collect = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| {
                    Refusal::new(
                        StatusCode::BAD_REQUEST,
                        "malformed",
                        format!("cannot read the body: {error}"),
                    )
                })?;
                if let Some(data) = frame.data_ref() {
                    if collected.len() + data.len() > self.options.max_compressed {
                        return Err(too_large());
                    }
                    collected.extend_from_slice(data);
                    let due = kib(collected.len()).saturating_sub(permits(&memory));
                    if due > 0 {
                        memory.merge(self.acquire(due).await?);
                    }
                }
            }
            Ok(())
        };
        match tokio::time::timeout(BODY_TIMEOUT, collect).await {
            Ok(Ok(())) => {
                // What was only believed so far is now made.
                let due = needed.saturating_sub(permits(&memory));
                memory.merge(self.acquire(due).await?);
                Ok((collected.freeze(), memory))
            }
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "malformed",
                "the body did not arrive in time",
            )),
        }
    }

    async fn acquire(&self, kib: u32) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        match tokio::time::timeout(MEMORY_WAIT, self.memory.acquire_many(kib)).await {
            Ok(Ok(memory)) => Ok(memory),
            _ => Err(Refusal::busy("no memory for this batch at the moment")),
        }
    }

    async fn process(
        &self,
        body: Bytes,
        encoding: BodyEncoding,
        may_send_for: MaySendFor,
    ) -> Result<Processed, Refusal> {
        let processed = self
            .intake
            .pool
            .batch(body, encoding, may_send_for, wall_ms())
            .await;
        match processed {
            Ok(Ok(processed)) => Ok(processed),
            Ok(Err(error)) => {
                let (status, result) = match &error {
                    BatchError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
                    BatchError::Node { .. } => (StatusCode::FORBIDDEN, "forbidden"),
                    BatchError::Decode(_) | BatchError::Decompress(_) => {
                        (StatusCode::BAD_REQUEST, "malformed")
                    }
                    // Of a batch each chunk is refused by itself.
                    BatchError::Refused => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
                    BatchError::Panic => (StatusCode::INTERNAL_SERVER_ERROR, "panic"),
                };
                Err(Refusal::new(status, result, error.to_string()))
            }
            Err(stopping) => Err(Refusal {
                status: StatusCode::SERVICE_UNAVAILABLE,
                result: "stopping",
                message: stopping.to_string(),
                retry_after_s: Some(1),
            }),
        }
    }

    /// Puts the documents into every output and waits until they are durable.
    async fn keep(&self, processed: Processed) -> Result<Answer, Refusal> {
        let Processed {
            fragments,
            mut acks,
            settings,
        } = processed;
        let durable = self
            .intake
            .keep(fragments)
            .await
            .map_err(|failure| match failure {
                // The agent comes with less at once: the same again would not fit later either.
                Failure::TooLarge { .. } => Refusal::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too_large",
                    failure.to_string(),
                ),
                full => Refusal::busy(full.to_string()),
            })?;
        if !durable {
            for ack in acks.iter_mut().filter(|ack| ack.status == Status::Ok) {
                not_durable(ack);
            }
        }
        for ack in &acks {
            self.metrics
                .chunks
                .get_or_create(&crate::metrics::ResultLabel {
                    result: status_name(ack.status),
                })
                .inc();
        }
        Ok(Answer {
            chunks: acks,
            settings,
        })
    }
}

fn not_durable(ack: &mut ChunkAck) {
    ack.status = Status::Busy;
    ack.durable = wire::Positions::at(ack.start);
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Busy => "busy",
        Status::NeedMetadata => "need_metadata",
        Status::Refused => "refused",
        Status::Reseal => "reseal",
    }
}

fn encoding_of(request: &Request<Incoming>) -> Result<BodyEncoding, Refusal> {
    let unsupported =
        |message: String| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "malformed", message);
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_none_or(|value| value != wire::http::BATCH_CONTENT_TYPE) {
        return Err(unsupported(format!(
            "the content type must be {}",
            wire::http::BATCH_CONTENT_TYPE
        )));
    }
    match request
        .headers()
        .get(header::CONTENT_ENCODING)
        .map(HeaderValue::as_bytes)
    {
        None | Some(b"identity") => Ok(BodyEncoding::Identity),
        Some(b"gzip") => Ok(BodyEncoding::Gzip),
        Some(b"zstd") => Ok(BodyEncoding::Zstd),
        Some(_) => Err(unsupported(
            "the content encoding must be zstd, gzip or identity".into(),
        )),
    }
}

fn boxed(body: Full<Bytes>) -> web::Body {
    web::Body::new(body.map_err(|never| match never {}))
}

fn text(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(message.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn permits(memory: &tokio::sync::SemaphorePermit<'_>) -> u32 {
    u32::try_from(memory.num_permits()).unwrap_or(u32::MAX)
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}
