//! A receiver that misbehaves on request, a session that sends to it, and the account of both.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where its expectation breaks"
)]

use agent::{Compression, Drained, Metrics, Session, Settings, Target};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use wire::{
    Answer, Chunk, ChunkAck, Flush, Limits, MetaId, Positions, SettingsId, Status, StreamId,
    Suspect,
};

/// Nothing here takes a second; a busy machine may.
const DEADLINE: Duration = Duration::from_secs(60);

/// How the receiver treats a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behave {
    Well,
    /// Takes only half of each chunk's lines, unless a hard flush ends all that is open.
    Partial,
    ChunkBusy,
    NeedMetadata,
    /// Answers this status, stores nothing.
    Refuse(u16),
    CloseBeforeReading,
    CloseAfterStoring,
    /// Stores nothing and never answers.
    Hang,
    HangAfterStoring,
    /// 200 with a body that is no answer.
    Garbage,
}

impl Behave {
    pub(crate) const ALL: [Behave; 9] = [
        Behave::Well,
        Behave::Partial,
        Behave::Partial,
        Behave::ChunkBusy,
        Behave::NeedMetadata,
        Behave::Refuse(502),
        Behave::CloseBeforeReading,
        Behave::CloseAfterStoring,
        Behave::Garbage,
    ];
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Did(Behave),
    TooLarge,
    Poisoned,
}

#[derive(Debug, Clone)]
pub(crate) struct SeenChunk {
    pub(crate) stream: StreamId,
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) doubt_ms: Option<u64>,
    pub(crate) settings: Option<SettingsId>,
    pub(crate) suspect: Suspect,
    pub(crate) n_chunks_of_batch: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct SeenBatch {
    pub(crate) metadata: Vec<(MetaId, Vec<u8>)>,
    pub(crate) settings: Vec<SettingsId>,
    pub(crate) chunks: Vec<SeenChunk>,
    pub(crate) encoding: String,
    pub(crate) authorization: Option<String>,
}

#[derive(Default)]
pub(crate) struct State {
    script: VecDeque<Behave>,
    always: HashMap<usize, Behave>,
    poison: Option<Vec<u8>>,
    max_raw: Option<usize>,
    known: HashSet<(usize, MetaId)>,
    /// What the receivers go by, where a test gives them something.
    settings: HashMap<usize, Vec<u8>>,
    known_settings: HashSet<(usize, SettingsId)>,
    /// Bytes stored of each stream; what comes again must be the same and in doubt.
    stored: HashMap<StreamId, Vec<u8>>,
    batches: Vec<SeenBatch>,
    outcomes: Vec<Outcome>,
}

impl State {
    pub(crate) fn stored_bytes(&self) -> usize {
        self.stored.values().map(Vec::len).sum()
    }

    pub(crate) fn n_tries(&self) -> usize {
        self.outcomes.len()
    }

    /// Sealed with settings that this receiver neither goes by nor knows.
    fn is_sealed_otherwise(&self, number: usize, chunk: &Chunk<'_>) -> bool {
        let (Some(own), Some(sealed)) = (self.settings.get(&number), chunk.settings) else {
            return false;
        };
        let is_known = chunk.doubt_ms.is_some() && self.known_settings.contains(&(number, sealed));
        sealed != wire::settings_id(own) && !is_known
    }

    fn store(&mut self, chunk: &SeenChunk, resume: u64, end: u64) {
        let stored = self.stored.entry(chunk.stream).or_default();
        let len = stored.len() as u64;
        assert_eq!(
            resume, chunk.start,
            "raw files go on where they are durable"
        );
        assert!(
            chunk.start <= len,
            "a gap: stored up to {len}, chunk begins at {}",
            chunk.start
        );
        for (idx, &byte) in chunk.bytes.iter().enumerate() {
            let at = chunk.start + idx as u64;
            if at >= end {
                break;
            }
            match stored.get(at as usize) {
                Some(&before) => {
                    assert_eq!(before, byte, "the same bytes at the same place");
                    assert!(chunk.doubt_ms.is_some(), "stored twice without doubt");
                }
                None => stored.push(byte),
            }
        }
    }
}

enum Reaction {
    Answer(u16, Vec<u8>),
    Close,
    Hang,
}

#[derive(Clone, Default)]
struct Receiver {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Receiver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn listen(&self, number: usize, listener: TcpListener) -> JoinHandle<()> {
        let this = self.clone();
        tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let this = this.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| this.handle(number, request));
                    // An error of the handler closes the connection: that is what it is for.
                    drop(
                        http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        })
    }

    async fn handle(
        &self,
        number: usize,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let closed = || Err(std::io::Error::other("closed on purpose"));
        assert_eq!(request.uri().path(), "/v1/batch");
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(
            header("content-type").as_deref(),
            Some(wire::http::BATCH_CONTENT_TYPE)
        );
        let (encoding, authorization) =
            (header("content-encoding").unwrap(), header("authorization"));
        let behave = {
            let mut state = self.state();
            let always = state.always.get(&number).copied();
            always
                .or_else(|| state.script.pop_front())
                .unwrap_or(Behave::Well)
        };
        if behave == Behave::CloseBeforeReading {
            self.record(Outcome::Did(behave));
            return closed();
        }
        let raw_length: usize = header(wire::http::RAW_LENGTH_HEADER)
            .unwrap()
            .parse()
            .unwrap();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let raw = decompress(&encoding, &body);
        assert_eq!(raw.len(), raw_length);
        match self.take(number, behave, &raw, encoding, authorization) {
            Reaction::Answer(status, body) => Ok(answer(status, body)),
            Reaction::Close => closed(),
            Reaction::Hang => std::future::pending().await,
        }
    }

    /// Stores what is to be stored, and says how to answer.
    fn take(
        &self,
        number: usize,
        behave: Behave,
        raw: &[u8],
        encoding: String,
        authorization: Option<String>,
    ) -> Reaction {
        let batch = wire::decode_batch(raw, &Limits::default()).unwrap();
        assert_eq!(batch.node, "node-1");
        let seen = SeenBatch {
            metadata: batch
                .metadata
                .iter()
                .map(|(id, json)| (*id, json.to_vec()))
                .collect(),
            settings: batch.settings.iter().map(|(id, _)| *id).collect(),
            chunks: batch
                .chunks
                .iter()
                .map(|chunk| SeenChunk {
                    stream: chunk.stream,
                    start: chunk.start,
                    bytes: chunk.bytes.to_vec(),
                    doubt_ms: chunk.doubt_ms,
                    settings: chunk.settings,
                    suspect: chunk.suspect,
                    n_chunks_of_batch: batch.chunks.len(),
                })
                .collect(),
            encoding,
            authorization,
        };
        let mut state = self.state();
        state.batches.push(seen.clone());
        if state.max_raw.is_some_and(|max| raw.len() > max) {
            drop(state);
            self.record(Outcome::TooLarge);
            return Reaction::Answer(413, Vec::new());
        }
        let is_poisoned = |chunk: &SeenChunk| {
            let poison = state.poison.as_deref();
            chunk.suspect == Suspect::No
                && poison.is_some_and(|p| chunk.bytes.windows(p.len()).any(|w| w == p))
        };
        if seen.chunks.iter().any(is_poisoned) {
            drop(state);
            self.record(Outcome::Poisoned);
            return Reaction::Close;
        }
        if behave != Behave::NeedMetadata {
            for (id, _) in &batch.metadata {
                state.known.insert((number, *id));
            }
            for (id, _) in &batch.settings {
                state.known_settings.insert((number, *id));
            }
        }
        let mut acks = Vec::new();
        for (chunk, seen) in batch.chunks.iter().zip(&seen.chunks) {
            let mut ack = ChunkAck {
                stream: chunk.stream,
                start: chunk.start,
                status: Status::Ok,
                durable: chunk.resume,
            };
            let end = chunk.start + chunk.bytes.len() as u64;
            match behave {
                Behave::NeedMetadata => ack.status = Status::NeedMetadata,
                Behave::ChunkBusy => ack.status = Status::Busy,
                Behave::Refuse(_) | Behave::Hang | Behave::Garbage => {}
                _ if !state.known.contains(&(number, chunk.meta)) => {
                    ack.status = Status::NeedMetadata;
                }
                _ if state.is_sealed_otherwise(number, chunk) => {
                    ack.status = match (chunk.doubt_ms, chunk.settings) {
                        (None, _) | (_, Some(0)) => Status::Reseal,
                        _ => Status::NeedMetadata,
                    };
                }
                Behave::Partial if chunk.flush != Flush::Hard => {
                    let half = &chunk.bytes[..chunk.bytes.len() / 2];
                    let cut = half
                        .iter()
                        .rposition(|&b| b == b'\n')
                        .map_or(0, |at| at + 1);
                    let durable = chunk.start + cut as u64;
                    state.store(seen, chunk.resume.low(), durable);
                    ack.durable = Positions::at(durable);
                }
                _ => {
                    state.store(seen, chunk.resume.low(), end);
                    ack.durable = Positions::at(end);
                }
            }
            acks.push(ack);
        }
        let settings = state.settings.get(&number).cloned().unwrap_or_default();
        drop(state);
        self.record(Outcome::Did(behave));
        match behave {
            Behave::Refuse(status) => Reaction::Answer(status, b"refused".to_vec()),
            Behave::Garbage => Reaction::Answer(200, b"garbage".to_vec()),
            Behave::CloseAfterStoring => Reaction::Close,
            Behave::Hang | Behave::HangAfterStoring => Reaction::Hang,
            _ => {
                let mut body = Vec::new();
                let answer = Answer {
                    chunks: acks,
                    settings,
                };
                wire::encode_answer(&answer, &mut body);
                Reaction::Answer(200, body)
            }
        }
    }

    fn record(&self, outcome: Outcome) {
        self.state().outcomes.push(outcome);
        self.changed.notify_one();
    }
}

fn answer(status: u16, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    if status == 503 || status == 429 {
        response = response.header("retry-after", "0");
    }
    response.body(Full::new(body.into())).unwrap()
}

fn decompress(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding {
        "zstd" => zstd::stream::decode_all(body).unwrap(),
        "gzip" => {
            let mut raw = Vec::new();
            flate2::read::MultiGzDecoder::new(body)
                .read_to_end(&mut raw)
                .unwrap();
            raw
        }
        other => panic!("unknown encoding {other}"),
    }
}

pub(crate) struct Harness {
    dir: tempfile::TempDir,
    receiver: Receiver,
    addresses: Vec<SocketAddr>,
    listening: Vec<JoinHandle<()>>,
    settings: Settings,
    session: Option<Session>,
    metrics: Metrics,
    written: BTreeMap<String, Vec<u8>>,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        let mut tail = tail::Options::new(dir.path().join("data"), "node-1");
        tail.include = vec![dir.path().join("logs/*.log").to_str().unwrap().to_owned()];
        tail.linger = Duration::from_millis(10);
        tail.hard_flush = Duration::from_millis(50);
        tail.rescan_interval = Duration::from_millis(500);
        let settings = Settings {
            kubernetes: agent::Kubernetes::default(),
            tail,
            targets: Vec::new(),
            token_file: None,
            timeout: Duration::from_millis(400),
            batch_bytes: 256 * 1024,
            in_flight: 2,
            compression: Compression::Zstd(1),
            fields: BTreeMap::new(),
            journal: None,
            link: None,
        };
        let mut this = Self {
            dir,
            receiver: Receiver::default(),
            addresses: Vec::new(),
            listening: Vec::new(),
            settings,
            session: None,
            metrics: Metrics::default(),
            written: BTreeMap::new(),
        };
        this.add_receiver().await;
        this
    }

    /// One more aggregator; the session starts anew to know it.
    pub(crate) async fn add_receiver(&mut self) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let number = self.addresses.len();
        self.listening.push(self.receiver.listen(number, listener));
        self.addresses.push(address);
        self.settings.targets.push(Target {
            host: address.ip().to_string(),
            port: address.port(),
            path: String::new(),
        });
        self.configure(|_| {}).await;
        number
    }

    pub(crate) async fn configure(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.restart(Duration::from_secs(5)).await;
    }

    pub(crate) async fn restart(&mut self, grace: Duration) -> Drained {
        let drained = match self.session.take() {
            Some(session) => session.drain(grace).await.unwrap(),
            None => Drained {
                n_batches: 0,
                n_unanswered: 0,
                waited: Duration::ZERO,
                closed: Duration::ZERO,
            },
        };
        let clock = Arc::new(tail::SystemClock::new());
        let session =
            Session::start(self.settings.clone(), clock, self.metrics.clone(), None).unwrap();
        self.session = Some(session);
        drained
    }

    pub(crate) async fn stop_listening(&mut self) {
        for task in self.listening.drain(..) {
            task.abort();
            drop(task.await);
        }
    }

    pub(crate) async fn listen_again(&mut self) {
        for (number, address) in self.addresses.iter().enumerate() {
            let listener = TcpListener::bind(address).await.unwrap();
            self.listening.push(self.receiver.listen(number, listener));
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    pub(crate) fn append(&mut self, name: &str, text: &str) {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.file(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.written
            .entry(name.to_owned())
            .or_default()
            .extend_from_slice(text.as_bytes());
    }

    /// The next batches are treated like this, whichever receiver they reach.
    pub(crate) fn behave(&self, script: &[Behave]) {
        self.receiver.state().script.extend(script);
    }

    pub(crate) fn behave_always(&self, number: usize, behave: Behave) {
        self.receiver.state().always.insert(number, behave);
    }

    /// What a receiver cuts events and names places by, from now on.
    pub(crate) fn go_by(&self, number: usize, settings: &[u8]) {
        let mut state = self.receiver.state();
        state.settings.insert(number, settings.to_vec());
    }

    /// A batch with this text closes the connection unless its chunk is a suspect.
    pub(crate) fn close_on(&self, text: &str) {
        self.receiver.state().poison = Some(text.as_bytes().to_vec());
    }

    pub(crate) fn refuse_over(&self, max_raw: usize) {
        self.receiver.state().max_raw = Some(max_raw);
    }

    pub(crate) fn batches(&self) -> Vec<SeenBatch> {
        self.receiver.state().batches.clone()
    }

    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.receiver.state().outcomes.clone()
    }

    /// All chunks that held `text`, in the order they came.
    pub(crate) fn tries_of(&self, text: &str) -> Vec<SeenChunk> {
        let holds = |chunk: &SeenChunk| {
            chunk
                .bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        self.batches()
            .into_iter()
            .flat_map(|batch| batch.chunks)
            .filter(holds)
            .collect()
    }

    pub(crate) async fn run_until(&mut self, condition: impl Fn(&State) -> bool) {
        let receiver = self.receiver.clone();
        let reached = async {
            while !condition(&receiver.state()) {
                receiver.changed.notified().await;
            }
        };
        let session = self.session.as_mut().unwrap();
        if tokio::time::timeout(DEADLINE, session.run(reached))
            .await
            .is_err()
        {
            let state = receiver.state();
            panic!(
                "not reached: {} bytes stored, {:?}",
                state.stored_bytes(),
                state.outcomes
            );
        }
    }

    /// Until this many batches were begun to be sent, whether they arrived or not.
    pub(crate) async fn run_for_tries(&mut self, n_tries: u64) {
        let metrics = self.metrics.clone();
        let reached = async {
            while metrics.batches.get() < n_tries {
                tokio::task::yield_now().await;
            }
        };
        let session = self.session.as_mut().unwrap();
        tokio::time::timeout(DEADLINE, session.run(reached))
            .await
            .expect("enough tries in time");
    }

    /// Until everything written is stored, and the account of it is right.
    pub(crate) async fn run_until_all_is_stored(&mut self) {
        let mut written: Vec<Vec<u8>> = self.written.values().cloned().collect();
        written.sort();
        let total: usize = written.iter().map(Vec::len).sum();
        self.run_until(move |state| state.stored_bytes() >= total)
            .await;
        let mut stored: Vec<Vec<u8>> = self.receiver.state().stored.values().cloned().collect();
        stored.sort();
        assert!(stored == written, "what is stored is what was written");
        // The last answers come in before the test goes on.
        let metrics = self.metrics.clone();
        let session = self.session.as_mut().unwrap();
        let answered = async {
            while metrics.in_flight.get() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, session.run(answered))
            .await
            .expect("answers in time");
    }
}
