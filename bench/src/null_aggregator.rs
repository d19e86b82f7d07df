//! A null aggregator: decodes every batch as the protocol says, keeps nothing, acknowledges all.
//!
//! What it takes from an agent's bytes is counted by offset (gaps and repeats of each stream) and,
//! when asked, by marker. It is the far end for measuring the agent alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use wire::{Answer, Chunk, ChunkAck, Limits, Positions, Status};

use crate::{
    body::inflate_into,
    marker::{Balance, Ledger},
    serve::{Served, serve},
};

/// What has come in so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches that were understood.
    pub batches: u64,
    /// Their bodies' bytes on the wire.
    pub wire_bytes: u64,
    /// Chunks in them.
    pub chunks: u64,
    /// Bytes of log in them, repeats included.
    pub log_bytes: u64,
    /// Bytes of log that had come before.
    pub repeated_bytes: u64,
    /// Bytes of log that were left out before a chunk.
    pub missing_bytes: u64,
    /// Requests that were not understood.
    pub malformed: u64,
}

/// A running null aggregator; it stops when dropped.
#[derive(Debug)]
pub struct NullAggregator {
    served: Served,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    counts: Counts,
    ends: HashMap<u64, u64>,
    ledger: Option<Ledger>,
}

impl NullAggregator {
    /// Starts listening on a free port of 127.0.0.1; counts the markers `0..n` when told `n`.
    pub fn start(markers: Option<u32>) -> anyhow::Result<Self> {
        let ledger = markers.map(Ledger::new);
        let taken = Arc::new(Mutex::new(Taken {
            ledger,
            ..Taken::default()
        }));
        let taking = Arc::clone(&taken);
        let served = serve("null aggregator", move |request| {
            let taking = Arc::clone(&taking);
            async move { take(&taking, request).await }
        })?;
        Ok(Self { served, taken })
    }

    /// Base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.served.address)
    }

    /// What has come in so far.
    pub fn counts(&self) -> Counts {
        lock(&self.taken).counts
    }

    /// Losses and doubles by marker; `None` when markers are not counted.
    pub fn balance(&self) -> Option<Balance> {
        lock(&self.taken).ledger.as_ref().map(Ledger::balance)
    }

    /// Distinct markers that have come; `None` when markers are not counted.
    pub fn arrived(&self) -> Option<u64> {
        lock(&self.taken).ledger.as_ref().map(Ledger::arrived_once)
    }
}

fn lock(taken: &Mutex<Taken>) -> std::sync::MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(taken: &Mutex<Taken>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != wire::http::BATCH_PATH {
        return answer(StatusCode::NOT_FOUND, Vec::new());
    }
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return answer(StatusCode::BAD_REQUEST, Vec::new());
    };
    let encoding = head
        .headers
        .get(CONTENT_ENCODING)
        .and_then(|it| it.to_str().ok());
    let mut raw = Vec::new();
    let inflated = inflate_into(encoding, &body, &mut raw).is_ok();
    let limits = Limits::default();
    let Some(batch) = inflated
        .then(|| wire::decode_batch(&raw, &limits).ok())
        .flatten()
    else {
        lock(taken).counts.malformed += 1;
        return answer(StatusCode::BAD_REQUEST, Vec::new());
    };
    let mut taken = lock(taken);
    taken.counts.batches += 1;
    taken.counts.wire_bytes += body.len() as u64;
    let chunks = batch
        .chunks
        .iter()
        .map(|chunk| taken.chunk(chunk))
        .collect();
    let mut out = Vec::new();
    let told = Answer {
        chunks,
        settings: Vec::new(),
    };
    wire::encode_answer(&told, &mut out);
    answer(StatusCode::OK, out)
}

impl Taken {
    fn chunk(&mut self, chunk: &Chunk<'_>) -> ChunkAck {
        let length = chunk.bytes.len() as u64;
        let end = chunk.start + length;
        let known = self.ends.entry(chunk.stream).or_insert(0);
        self.counts.chunks += 1;
        self.counts.log_bytes += length;
        self.counts.repeated_bytes += known.saturating_sub(chunk.start).min(length);
        self.counts.missing_bytes += chunk.start.saturating_sub(*known);
        *known = end.max(*known);
        if let Some(ledger) = &mut self.ledger {
            chunk
                .bytes
                .split(|byte| *byte == b'\n')
                .for_each(|line| ledger.document(line));
        }
        ChunkAck {
            stream: chunk.stream,
            start: chunk.start,
            status: Status::Ok,
            durable: Positions::at(end),
        }
    }
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static(wire::http::ANSWER_CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use wire::{Batch, Flush, Framing, Suspect};

    fn chunk(start: u64, bytes: &[u8]) -> Chunk<'_> {
        Chunk {
            stream: 7,
            sequence: 1,
            start,
            resume: Positions::at(start),
            framing: Framing::Cri,
            framing_version: 1,
            flush: Flush::None,
            eof: false,
            suspect: Suspect::No,
            doubt_ms: None,
            meta: 0,
            settings: None,
            end: None,
            bytes,
        }
    }

    #[test]
    fn gaps_and_repeats_are_counted_and_all_is_acknowledged() {
        let far_end = NullAggregator::start(Some(3)).unwrap();
        let chunks = vec![
            chunk(0, b"tr-00000000\n"),
            chunk(0, b"tr-00000000\n"),
            chunk(20, b"tr-00000002\n"),
        ];
        let batch = Batch {
            node: "n",
            metadata: Vec::new(),
            settings: Vec::new(),
            chunks,
        };
        let mut body = Vec::new();
        wire::encode_batch(&batch, &mut body);
        let mut socket = std::net::TcpStream::connect(far_end.served.address).unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            wire::http::BATCH_PATH,
            body.len()
        );
        socket
            .write_all(&[head.as_bytes(), &body].concat())
            .unwrap();
        let mut response = Vec::new();
        socket.read_to_end(&mut response).unwrap();
        let at = memchr::memmem::find(&response, b"\r\n\r\n").unwrap() + 4;
        let answer = wire::decode_answer(&response[at..], &Limits::default()).unwrap();
        let durable: Vec<u64> = answer.chunks.iter().map(|ack| ack.durable.low()).collect();
        assert_eq!(durable, [12, 12, 32]);
        let counts = far_end.counts();
        assert_eq!(
            (
                counts.repeated_bytes,
                counts.missing_bytes,
                counts.log_bytes
            ),
            (12, 8, 36)
        );
        assert_eq!(
            far_end.balance().unwrap(),
            Balance {
                lost: 1,
                doubled: 1,
                strangers: 0
            }
        );
        assert_eq!(far_end.arrived(), Some(2));
    }
}
