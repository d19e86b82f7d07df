//! The receiver with real workers and real queues behind it, asked over a real socket: what it
//! acknowledges, what it refuses, and what it keeps.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aggregator::metrics::PipelineMetrics;
use aggregator::output::{DiskQueue, DiskQueueOptions, Keep, Output, SealOptions};
use aggregator::pipeline::{
    MetadataCache, Naming, OutputView, Plan, Pool, RestoredPlans, Router, SettingsKey, Shared,
    Template,
};
use aggregator::receive::{ReceiveOptions, Receiver, Serves, Token, Tokens};
use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use store::{Encoding, MemoryQueue, Queue, Queued};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wire::{Answer, Batch, Chunk, Flush, Framing, Positions, Status, StreamEnd, Suspect};

const META: &[u8] = br#"{"kubernetes.namespace":"shop","kubernetes.pod.name":"cart-1","log.file.path":"/var/log/containers/cart.log"}"#;

/// A receiver on a free port over the given outputs, and what refuses.
struct Rig {
    address: SocketAddr,
    refused: Arc<Mutex<HashSet<String>>>,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

struct RigOptions {
    keeps: Vec<(Keep, bool)>,
    tokens: Vec<Token>,
    answer_timeout: Duration,
    max_batch_bytes: usize,
    max_age: Duration,
}

impl RigOptions {
    fn new(keep: Keep) -> Self {
        Self {
            keeps: vec![(keep, false)],
            tokens: Vec::new(),
            answer_timeout: Duration::from_secs(10),
            max_batch_bytes: 1 << 20,
            max_age: Duration::from_millis(5),
        }
    }
}

/// A plan of these rules, which puts everything into one data stream.
fn plan(rules: &str, namespace: &str, n_outputs: usize) -> Plan {
    let naming = Naming::DataStream {
        dataset: None,
        namespace: Template::parse(namespace),
    };
    let router = |number| {
        (
            format!("out-{number}"),
            Arc::new(Router::new(naming.clone(), 10)),
        )
    };
    let rules = parsers::RuleSet::from_texts(&[(std::path::Path::new("r.yaml"), rules)]).unwrap();
    Plan::new(
        Arc::new(rules),
        framing::Options::default(),
        (0..n_outputs).map(router).collect(),
        &SettingsKey::new(std::iter::empty()),
    )
}

async fn rig(options: RigOptions) -> Rig {
    let refused = Arc::new(Mutex::new(HashSet::new()));
    let metrics = Arc::new(PipelineMetrics::default());
    let views = options
        .keeps
        .iter()
        .map(|(_, optional)| {
            let refused = Arc::clone(&refused);
            OutputView {
                name: String::new(),
                refused: Arc::new(move || Arc::new(refused.lock().unwrap().clone())),
                encoding: Arc::new(|| Encoding::Identity),
                optional: *optional,
            }
        })
        .collect();
    let key = SettingsKey::new(std::iter::empty());
    let shared = Arc::new(Shared {
        plan: ArcSwap::from_pointee(plan("", "default", options.keeps.len())),
        restored: RestoredPlans::new(key),
        rule_book: Arc::default(),
        metadata: MetadataCache::new(1 << 20),
        outputs: views,
        max_batch_bytes: options.max_batch_bytes,
        metrics: Arc::clone(&metrics),
    });
    let pool = Arc::new(Pool::start(&shared, 2).unwrap());
    let mut tasks = JoinSet::new();
    let seal = SealOptions {
        max_bytes: 1 << 20,
        max_docs: 10_000,
        max_age: options.max_age,
    };
    let outputs = options
        .keeps
        .into_iter()
        .enumerate()
        .map(|(number, (keep, optional))| {
            Output::start(
                &format!("out-{number}"),
                optional,
                keep,
                seal,
                || Encoding::Identity,
                Arc::clone(&pool),
                &mut tasks,
            )
        })
        .collect();
    let receiver = Arc::new(Receiver::new(
        ReceiveOptions {
            max_compressed: 1 << 20,
            memory: 64 << 20,
            answer_timeout: options.answer_timeout,
        },
        pool,
        outputs,
        Arc::new(ArcSwap::from_pointee(Tokens::new(options.tokens))),
        Arc::new(telemetry::http::Endpoints::new(Registry::default())),
        metrics,
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    tasks.spawn(receiver.serve(listener, Serves::All, stopped, Duration::from_secs(1)));
    Rig {
        address,
        refused,
        _stop: stop,
        _tasks: tasks,
    }
}

/// One request; status and body of the answer.
async fn send(address: SocketAddr, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let request = [
        format!(
            "{head}host: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes(),
        body.to_vec(),
    ]
    .concat();
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        // A refusal may come, and the connection close, before all is written.
        drop(stream.write_all(&request));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("an answer");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer[end + 4..].to_vec())
    })
    .await
    .unwrap()
}

fn post_head(more: &str) -> String {
    format!(
        "POST {} HTTP/1.1\r\ncontent-type: {}\r\n{more}",
        wire::http::BATCH_PATH,
        wire::http::BATCH_CONTENT_TYPE
    )
}

async fn post(rig: &Rig, batch: &Batch<'_>) -> Answer {
    let mut body = Vec::new();
    wire::encode_batch(batch, &mut body);
    let (status, answer) = send(rig.address, &post_head(""), &body).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    wire::decode_answer(&answer, &wire::Limits::default()).unwrap()
}

fn chunk(stream: u64, bytes: &[u8]) -> Chunk<'_> {
    Chunk {
        stream,
        sequence: stream,
        start: 0,
        resume: Positions::at(0),
        framing: Framing::Raw,
        framing_version: framing::VERSION,
        flush: Flush::Hard,
        eof: false,
        suspect: Suspect::No,
        doubt_ms: None,
        meta: wire::meta_id(META),
        settings: None,
        end: None,
        bytes,
    }
}

fn batch<'a>(chunks: Vec<Chunk<'a>>) -> Batch<'a> {
    Batch {
        node: "node-1",
        metadata: vec![(wire::meta_id(META), META)],
        settings: Vec::new(),
        chunks,
    }
}

fn disk(dir: &tempfile::TempDir, max_bytes: u64) -> Arc<DiskQueue> {
    let options = DiskQueueOptions {
        main: buffer::Options {
            max_bytes,
            segment_bytes: 1 << 20,
            reserve_bytes: 64 << 10,
            ..buffer::Options::default()
        },
        parked_max_bytes: 8 << 20,
    };
    Arc::new(DiskQueue::open(dir.path(), options).unwrap())
}

/// The next body of a queue, as documents.
async fn taken(queue: &dyn Queue) -> (Queued, Vec<serde_json::Value>) {
    let queued = tokio::time::timeout(Duration::from_secs(20), queue.next()).await;
    let queued = queued.expect("a body within 20 s").expect("an open queue");
    let documents = queued
        .bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    (queued, documents)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_line_is_in_the_buffer_as_a_document() {
    let dir = tempfile::tempdir().unwrap();
    let queue = disk(&dir, 16 << 20);
    let rig = rig(RigOptions::new(Keep::Disk(Arc::clone(&queue)))).await;
    let answer = post(&rig, &batch(vec![chunk(7, b"one\ntwo\n")])).await;
    assert_eq!(answer.chunks[0].status, Status::Ok);
    assert_eq!(answer.chunks[0].durable, Positions::at(8));
    let (queued, lines) = taken(&*queue).await;
    assert_eq!(queued.meta.docs(), 2);
    assert_eq!(
        lines[0]["create"]["_index"],
        "logs-kubernetes.container_logs-default"
    );
    assert_eq!(lines[1]["message"], "one");
    assert_eq!(lines[1]["kubernetes"]["pod"]["name"], "cart-1");
    assert_eq!(lines[3]["log"]["offset"], 4);
}

/// Rules 6 and 9: what may go on is not acknowledged, and not kept.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_event_is_not_acknowledged() {
    let queue = MemoryQueue::new(1 << 20);
    let rig = rig(RigOptions::new(Keep::Memory(Arc::clone(&queue)))).await;
    let mut open = chunk(7, b"one\n");
    open.flush = Flush::None;
    let answer = post(&rig, &batch(vec![open])).await;
    assert_eq!(answer.chunks[0].status, Status::Ok);
    assert_eq!(answer.chunks[0].durable, Positions::at(0));
    assert_eq!(queue.used_bytes(), 0);
}

/// Rule 13: metadata comes once; an aggregator that does not know it asks.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_metadata_is_asked_for_once() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(RigOptions::new(Keep::Disk(disk(&dir, 16 << 20)))).await;
    let bare = Batch {
        metadata: Vec::new(),
        ..batch(vec![chunk(7, b"one\n")])
    };
    assert_eq!(
        post(&rig, &bare).await.chunks[0].status,
        Status::NeedMetadata
    );
    assert_eq!(
        post(&rig, &batch(vec![chunk(7, b"one\n")])).await.chunks[0].status,
        Status::Ok
    );
    assert_eq!(post(&rig, &bare).await.chunks[0].status, Status::Ok);
}

/// Rule 8: a chunk sealed by framing rules that are not known here is left to another aggregator.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_framing_version_is_not_guessed() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(RigOptions::new(Keep::Disk(disk(&dir, 16 << 20)))).await;
    let mut newer = chunk(7, b"one\n");
    newer.framing_version = 250;
    let answer = post(&rig, &batch(vec![newer, chunk(8, b"two\n")])).await;
    assert_eq!(answer.chunks[0].status, Status::Busy);
    assert_eq!(answer.chunks[1].status, Status::Ok);
}

/// Two lines are one event by this rule, and two without it.
const JOINING: &str = "name: joining\nsteps:\n  - multiline: {continue: '^and '}\n";

/// Rule 8: a chunk that was never tried is sealed with what is in force; one whose first try may
/// have stored something is cut and named as at that try.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_is_cut_and_named_as_at_its_first_try() {
    let dir = tempfile::tempdir().unwrap();
    let queue = disk(&dir, 16 << 20);
    let rig = rig(RigOptions::new(Keep::Disk(Arc::clone(&queue)))).await;
    let text = b"one\nand two\n";
    let sealed = |settings, doubt_ms| Chunk {
        settings: Some(settings),
        doubt_ms,
        ..chunk(7, text)
    };
    let earlier = plan(JOINING, "earlier", 1);
    let id = earlier.id().unwrap();

    // The first contact, and an agent that knows what was in force before.
    for known in [0, id] {
        let answer = post(&rig, &batch(vec![sealed(known, None)])).await;
        assert_eq!(answer.chunks[0].status, Status::Reseal);
        assert_eq!(queue.stats().entries, 0, "nothing is stored");
        let own = wire::settings_id(&answer.settings);
        assert_eq!(Some(own), plan("", "default", 1).id());
        let answer = post(&rig, &batch(vec![sealed(own, None)])).await;
        assert_eq!(answer.chunks[0].status, Status::Ok);
        let (queued, lines) = taken(&*queue).await;
        queue.done(queued.id, store::Outcome::default());
        let index = &lines[0]["create"]["_index"];
        assert_eq!(index, "logs-kubernetes.container_logs-default");
        assert_eq!(lines[1]["message"], "one");
    }

    // It was tried by what is not known here: the agent brings it along.
    let answer = post(&rig, &batch(vec![sealed(id, Some(5))])).await;
    assert_eq!(answer.chunks[0].status, Status::NeedMetadata);
    let mut with_it = batch(vec![sealed(id, Some(5))]);
    with_it.settings = vec![(id, earlier.text())];
    for again in [with_it, batch(vec![sealed(id, Some(5))])] {
        let answer = post(&rig, &again).await;
        assert_eq!(answer.chunks[0].status, Status::Ok);
        let (queued, lines) = taken(&*queue).await;
        queue.done(queued.id, store::Outcome::default());
        let index = &lines[0]["create"]["_index"];
        assert_eq!(index, "logs-kubernetes.container_logs-earlier");
        assert_eq!(lines[1]["message"], "one\nand two");
    }

    // Sent before any settings were known: no aggregator has stored it.
    let answer = post(&rig, &batch(vec![sealed(0, Some(5))])).await;
    assert_eq!(answer.chunks[0].status, Status::Reseal);
}

/// Rule 12: a suspect chunk is framed, not parsed, under the same ids; then a document a line.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_chunk_is_not_parsed() {
    let text = b"{\"level\":\"error\",\"message\":\"boom\"}\n\tat a.b(C.java:1)\n";
    let mut seen = Vec::new();
    for suspect in [Suspect::No, Suspect::Unparsed, Suspect::Lines] {
        let dir = tempfile::tempdir().unwrap();
        let queue = disk(&dir, 16 << 20);
        let rig = rig(RigOptions::new(Keep::Disk(Arc::clone(&queue)))).await;
        let mut one = chunk(7, text);
        one.suspect = suspect;
        post(&rig, &batch(vec![one])).await;
        seen.push(taken(&*queue).await.1);
    }
    let ids = |lines: &[serde_json::Value]| lines[0]["create"]["_id"].clone();
    assert_eq!(ids(&seen[0]), ids(&seen[1]));
    assert!(
        seen[1][1]["message"]
            .as_str()
            .unwrap()
            .starts_with("{\"level\"")
    );
    assert_eq!(seen[1][1].get("attributes"), None);
    assert_eq!(seen[2].len(), 4, "two lines, two documents: {:?}", seen[2]);
}

/// Rule 16: room is reserved everywhere first, so a full output costs nothing in the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_output_keeps_others_from_being_written() {
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (disk(&first_dir, 16 << 20), disk(&second_dir, 1 << 20));
    let mut options = RigOptions::new(Keep::Disk(Arc::clone(&first)));
    options.keeps.push((Keep::Disk(Arc::clone(&second)), false));
    let rig = rig(options).await;
    let line = [b"x".repeat(100_000), b"\n".to_vec()].concat();
    // Nobody takes anything out.
    let mut n_taken = 0;
    loop {
        let mut body = Vec::new();
        wire::encode_batch(&batch(vec![chunk(n_taken, &line)]), &mut body);
        let (status, _) = send(rig.address, &post_head(""), &body).await;
        if status == 429 {
            break;
        }
        assert_eq!(status, 200);
        n_taken += 1;
    }
    assert!(n_taken > 0);
    assert_eq!(
        (first.stats().entries, second.stats().entries),
        (n_taken, n_taken)
    );
    assert_eq!(first.stats().reserved_bytes, 0);
}

/// What would not fit into an empty buffer either is no matter of waiting: 413, so that the agent
/// comes with less. (It was a 429, for ever.)
#[tokio::test(flavor = "multi_thread")]
async fn what_an_empty_buffer_cannot_take_is_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(RigOptions::new(Keep::Disk(disk(&dir, 320 << 10)))).await;
    let send_lines = async |n_lines| {
        let lines = [b"x".repeat(999), b"\n".to_vec()].concat().repeat(n_lines);
        let mut body = Vec::new();
        wire::encode_batch(&batch(vec![chunk(7, &lines)]), &mut body);
        send(rig.address, &post_head(""), &body).await.0
    };
    assert_eq!(send_lines(300).await, 413);
    assert_eq!(send_lines(30).await, 200);
}

/// Rule 16: an optional output that is full drops, and the chunk is acknowledged without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_optional_output_is_passed_over() {
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (disk(&first_dir, 16 << 20), disk(&second_dir, 160 << 10));
    let mut options = RigOptions::new(Keep::Disk(Arc::clone(&first)));
    options.keeps.push((Keep::Disk(Arc::clone(&second)), true));
    let rig = rig(options).await;
    let line = [b"x".repeat(100_000), b"\n".to_vec()].concat();
    let answer = post(&rig, &batch(vec![chunk(7, &line)])).await;
    assert_eq!(answer.chunks[0].status, Status::Ok);
    assert_eq!((first.stats().entries, second.stats().entries), (1, 0));
}

/// Rule 17: the answer leaves in bounded time, and says that nothing is durable yet.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_ever() {
    // `ack: store` with nobody who delivers.
    let queue = MemoryQueue::new(1 << 20);
    let mut options = RigOptions::new(Keep::Memory(queue));
    options.answer_timeout = Duration::from_millis(200);
    let rig = rig(options).await;
    let answer = post(&rig, &batch(vec![chunk(7, b"one\n")])).await;
    assert_eq!(answer.chunks[0].status, Status::Busy);
    assert_eq!(answer.chunks[0].durable, Positions::at(0));
}

/// `ack: store`: the answer waits for the store's own.
#[tokio::test(flavor = "multi_thread")]
async fn with_ack_store_the_answer_follows_the_delivery() {
    let queue = MemoryQueue::new(1 << 20);
    let rig = rig(RigOptions::new(Keep::Memory(Arc::clone(&queue)))).await;
    let deliver = async {
        let (queued, _) = taken(&*queue).await;
        queue.done(queued.id, store::Outcome::default());
    };
    let chunks = batch(vec![chunk(7, b"one\n")]);
    let (answer, ()) = tokio::join!(post(&rig, &chunks), deliver);
    assert_eq!(answer.chunks[0].status, Status::Ok);
    assert_eq!(answer.chunks[0].durable, Positions::at(4));
}

/// Rule 17: small chunks of many batches become one body.
#[tokio::test(flavor = "multi_thread")]
async fn small_batches_share_a_body() {
    let dir = tempfile::tempdir().unwrap();
    let queue = disk(&dir, 16 << 20);
    let mut options = RigOptions::new(Keep::Disk(Arc::clone(&queue)));
    options.max_age = Duration::from_secs(2);
    let rig = rig(options).await;
    let batches: Vec<_> = (1..=10)
        .map(|stream| batch(vec![chunk(stream, b"one\n")]))
        .collect();
    let mut posts = Vec::new();
    for batch in &batches {
        posts.push(post(&rig, batch));
    }
    for answer in futures_join(posts).await {
        assert_eq!(answer.chunks[0].status, Status::Ok);
    }
    let bodies = queue.stats().entries;
    assert!(bodies < 10, "{bodies} bodies for 10 batches");
}

/// Polls all futures at once.
async fn futures_join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if outputs.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// Rule 11: doubt travels with the body, and does not spread to documents without it.
#[tokio::test(flavor = "multi_thread")]
async fn doubt_travels_with_its_own_body() {
    let dir = tempfile::tempdir().unwrap();
    let queue = disk(&dir, 16 << 20);
    let rig = rig(RigOptions::new(Keep::Disk(Arc::clone(&queue)))).await;
    let mut again = chunk(7, b"one\n");
    again.doubt_ms = Some(60_000);
    post(&rig, &batch(vec![again])).await;
    post(&rig, &batch(vec![chunk(8, b"two\n")])).await;
    let (doubted, _) = taken(&*queue).await;
    let (sure, _) = taken(&*queue).await;
    let since = doubted.meta.doubt_since_ms.expect("doubt");
    assert!(doubted.meta.created_ms.abs_diff(since) >= 59_000);
    assert_eq!(sure.meta.doubt_since_ms, None);
}

/// Rule 19: only chunks for the data stream that is over its quota are refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_data_stream_does_not_stop_others() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(RigOptions::new(Keep::Disk(disk(&dir, 16 << 20)))).await;
    rig.refused
        .lock()
        .unwrap()
        .insert("logs-kubernetes.container_logs-default".to_owned());
    let other: &[u8] = br#"{"log.file.path":"/var/log/syslog"}"#;
    let mut raw = chunk(8, b"two\n");
    raw.meta = wire::meta_id(other);
    let mut both = batch(vec![chunk(7, b"one\n"), raw]);
    both.metadata.push((wire::meta_id(other), other));
    let answer = post(&rig, &both).await;
    assert_eq!(answer.chunks[0].status, Status::Refused);
    assert_eq!(answer.chunks[1].status, Status::Ok);
}

/// Rule 24: a finished stream leaves a document with its size.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_stream_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let queue = disk(&dir, 16 << 20);
    let rig = rig(RigOptions::new(Keep::Disk(Arc::clone(&queue)))).await;
    let mut last = chunk(7, b"");
    last.start = 100;
    last.resume = Positions::at(100);
    last.eof = true;
    last.end = Some(StreamEnd {
        size: 120,
        unread: 20,
        successor: Some(9),
    });
    post(&rig, &batch(vec![last])).await;
    let (_, lines) = taken(&*queue).await;
    assert_eq!(lines[0]["create"]["_index"], store::AUDIT_STREAM);
    assert_eq!(lines[1]["tailrace"]["end"]["size"], 120);
    assert_eq!(lines[1]["tailrace"]["end"]["unread"], 20);
    assert_eq!(lines[1]["tailrace"]["end"]["successor"], "0000000000000009");
}

/// Rule 24: what an agent passed over, as a pod asks, leaves its interval, and is no field.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_passed_over_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let queue = disk(&dir, 16 << 20);
    let rig = rig(RigOptions::new(Keep::Disk(Arc::clone(&queue)))).await;
    let told: &[u8] =
        br#"{"log.file.path":"/var/log/a","tailrace.passed_over":"0000000000000007:10-100"}"#;
    let mut behind = chunk(7, b"one\n");
    behind.start = 100;
    behind.resume = Positions::at(100);
    behind.meta = wire::meta_id(told);
    // It speaks of another stream's bytes: none of its own.
    let mut other = chunk(8, b"two\n");
    other.start = 100;
    other.resume = Positions::at(100);
    other.meta = wire::meta_id(told);
    let mut both = batch(vec![behind, other]);
    both.metadata.push((wire::meta_id(told), told));
    let answer = post(&rig, &both).await;
    assert!(answer.chunks.iter().all(|it| it.status == Status::Ok));
    let (queued, lines) = taken(&*queue).await;
    assert_eq!(queued.meta.docs(), 3);
    let trails = lines
        .chunks(2)
        .filter(|pair| pair[0]["create"]["_index"] == store::AUDIT_STREAM);
    let trails: Vec<&serde_json::Value> = trails.map(|pair| &pair[1]).collect();
    assert_eq!(trails.len(), 1, "{lines:?}");
    assert_eq!(trails[0]["tailrace"]["stream"], "0000000000000007");
    assert_eq!(trails[0]["tailrace"]["length"], 90);
    assert_eq!(trails[0]["log"]["offset"], 10);
    assert_eq!(
        trails[0]["tailrace"]["dropped"]["rule"],
        "annotation tailrace.io/exclude"
    );
    let text = serde_json::to_string(&lines).unwrap();
    assert!(!text.contains("passed_over"), "{text}");
}

/// Rule 15: one node's token cannot write another's streams.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_speaks_for_its_own_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = RigOptions::new(Keep::Disk(disk(&dir, 16 << 20)));
    options.tokens = vec![
        Token {
            secret: "one".into(),
            nodes: vec!["node-1".into()],
        },
        Token {
            secret: "two".into(),
            nodes: vec!["node-2".into()],
        },
    ];
    let rig = rig(options).await;
    let mut body = Vec::new();
    wire::encode_batch(&batch(vec![chunk(7, b"one\n")]), &mut body);
    for (header, expected) in [
        ("authorization: Bearer one\r\n", 200),
        ("authorization: Bearer two\r\n", 403),
        ("authorization: Bearer three\r\n", 401),
        ("", 401),
    ] {
        let (status, _) = send(rig.address, &post_head(header), &body).await;
        assert_eq!(status, expected, "{header}");
    }
}

/// What is no batch is answered with a clear 4xx, and the next request is served.
#[tokio::test(flavor = "multi_thread")]
async fn rubbish_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(RigOptions::new(Keep::Disk(disk(&dir, 16 << 20)))).await;
    let mut good = Vec::new();
    wire::encode_batch(&batch(vec![chunk(7, b"one\n")]), &mut good);
    // A megabyte of compressed zeros is a gigabyte: far over the limit of a batch.
    let bomb = zstd::encode_all(&vec![0; 8 << 20][..], 1).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&vec![0; 8 << 20]).unwrap();
    let gzip_bomb = gzip.finish().unwrap();
    let too_long = vec![b'x'; (1 << 20) + 1];
    let path = wire::http::BATCH_PATH;
    for (head, body, expected) in [
        (post_head(""), &b"rubbish"[..], 400),
        (post_head(""), &good[..good.len() - 3], 400),
        (post_head("content-encoding: gzip\r\n"), &good[..], 400),
        (post_head("content-encoding: zstd\r\n"), &good[..], 400),
        (post_head("content-encoding: zstd\r\n"), &bomb[..], 413),
        (post_head("content-encoding: gzip\r\n"), &gzip_bomb[..], 413),
        (post_head("content-encoding: br\r\n"), &good[..], 415),
        (
            format!("POST {path} HTTP/1.1\r\ncontent-type: text/plain\r\n"),
            &good[..],
            415,
        ),
        (format!("GET {path} HTTP/1.1\r\n"), &b""[..], 405),
        ("GET /nothing HTTP/1.1\r\n".to_owned(), &b""[..], 404),
        (post_head(""), &too_long[..], 413),
        (post_head(""), &good[..], 200),
    ] {
        let (status, answer) = send(rig.address, &head, body).await;
        assert_eq!(
            status,
            expected,
            "{head}: {}",
            String::from_utf8_lossy(&answer)
        );
        assert!(
            status == 200 || !answer.is_empty(),
            "{head}: no reason given"
        );
    }
}

/// zstd frames may be joined, gzip members too: agents compress piece by piece.
#[tokio::test(flavor = "multi_thread")]
async fn compressed_pieces_may_be_joined() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(RigOptions::new(Keep::Disk(disk(&dir, 16 << 20)))).await;
    let mut body = Vec::new();
    wire::encode_batch(&batch(vec![chunk(7, b"one\n")]), &mut body);
    let (a, b) = body.split_at(body.len() / 2);
    let frames = [
        zstd::encode_all(a, 1).unwrap(),
        zstd::encode_all(b, 1).unwrap(),
    ]
    .concat();
    let (status, _) = send(
        rig.address,
        &post_head("content-encoding: zstd\r\n"),
        &frames,
    )
    .await;
    assert_eq!(status, 200);
}
