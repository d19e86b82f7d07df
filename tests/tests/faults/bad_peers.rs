//! Peers that send rubbish, bombs, nothing, or the same again: a clear answer or a closed
//! connection, bounded memory, and the real agent unharmed.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use bench::usage::Usage;
use flate2::{Compression, write::GzEncoder};
use tests::{
    agent::Agent,
    aggregator::Aggregator,
    gate::{Gate, Spell},
    writer::Writer,
};

use super::{LIMIT, PACE, agent_setup, containers, scene, small_buffer};

const TYPE: &str = "application/vnd.tailrace.batch.v1";

/// Bytes that the bombs inflate to; the receiver takes 8 MiB.
const BOMB: usize = 200 << 20;

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let limit = Some(Duration::from_secs(40));
    stream.set_read_timeout(limit).unwrap();
    stream.set_write_timeout(limit).unwrap();
    stream
}

fn head(encoding: &str, length: &str) -> String {
    format!(
        "POST /v1/batch HTTP/1.1\r\nhost: x\r\ncontent-type: {TYPE}\r\n\
         content-encoding: {encoding}\r\n{length}\r\n\r\n"
    )
}

/// The status of the answer; 0 when the connection was closed without one.
fn status(stream: &mut TcpStream) -> u16 {
    let mut answer = [0; 64];
    let n_bytes = stream.read(&mut answer).unwrap_or(0);
    let text = String::from_utf8_lossy(&answer[..n_bytes]).into_owned();
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.unwrap_or(0)
}

fn post(port: u16, encoding: &str, body: &[u8]) -> u16 {
    let mut stream = connect(port);
    let head = head(encoding, &format!("content-length: {}", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    // The receiver may have seen enough before the end.
    stream.write_all(body).ok();
    status(&mut stream)
}

/// A body that never ends; the status that stops it.
fn endless(port: u16) -> u16 {
    let mut stream = connect(port);
    let head = head("identity", "transfer-encoding: chunked");
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![0x55; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..1_000 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    status(&mut stream)
}

/// Connections that say nothing, as many as there are ports on a busy node.
const IDLE: usize = 10_000;

/// 10,000 idle connections cost some memory, bounded, and keep nobody out.
#[test]
fn ten_thousand_idle_connections_keep_nobody_out() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let needed = IDLE as u64 + 500;
    if limit.maximum.is_some_and(|most| most < needed) {
        println!("skipped: {:?} file descriptors are allowed", limit.maximum);
        return;
    }
    let raised = rustix::process::Rlimit {
        current: Some(limit.current.unwrap_or(needed).max(needed)),
        ..limit
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let mut scene = scene("idle");
    let setup = small_buffer(scene.aggregator_setup());
    let mut aggregator = Aggregator::prepare(&scene.dir("aggregator"), &setup).unwrap();
    aggregator.set_shell(&format!("ulimit -n {needed}"));
    aggregator.start_again().unwrap();
    let port = aggregator.port();
    let idle: Vec<TcpStream> = (0..IDLE).map(|_| connect(port)).collect();
    // It connects behind them all.
    let agent = Agent::start(&scene.dir("agent"), &agent_setup(&scene, &aggregator.url())).unwrap();
    let writer = Writer::start(containers(&mut scene), PACE);
    let index = scene.data_stream();
    scene.documents.wait_count(&index, "*", 500, LIMIT).unwrap();
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    let peak = Usage::of(aggregator.pid()).unwrap().peak_rss;
    assert!(peak < 400 << 20, "{} MiB", peak >> 20);
    assert_eq!(
        agent.metrics().unwrap().count("tail_bytes_lost_total", &[]),
        0
    );
    drop(idle);
}

#[test]
fn rubbish_and_bombs_are_refused_and_the_agent_is_unharmed() {
    let mut scene = scene("rubbish");
    let setup = small_buffer(scene.aggregator_setup()).with(
        "receive",
        "{max_compressed: 1MiB, max_batch: 8MiB, memory: 64MiB}",
    );
    let mut aggregator = Aggregator::prepare(&scene.dir("aggregator"), &setup).unwrap();
    // Fewer than there will be idle connections.
    aggregator.set_shell("ulimit -n 250");
    aggregator.start_again().unwrap();
    let port = aggregator.port();
    let gate = Gate::start(port, "/v1/batch").unwrap();
    let agent = Agent::start(&scene.dir("agent"), &agent_setup(&scene, &gate.url())).unwrap();
    let writer = Writer::start(containers(&mut scene), PACE);
    let index = scene.data_stream();
    let arrives = |wanted| {
        scene
            .documents
            .wait_count(&index, "*", wanted, LIMIT)
            .unwrap()
    };
    arrives(200);

    assert_eq!(post(port, "identity", b"rubbish"), 400);
    assert_eq!(post(port, "gzip", b"rubbish"), 400);
    assert_eq!(post(port, "zstd", b"rubbish"), 400);
    assert_eq!(post(port, "br", b"rubbish"), 415);
    assert!(matches!(
        post(port, "identity", b"TRB\x63rubbish"),
        400 | 426
    ));
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&vec![0; BOMB]).unwrap();
    assert_eq!(post(port, "gzip", &gz.finish().unwrap()), 413);
    let bomb = zstd::encode_all(&vec![0; BOMB][..], 1).unwrap();
    assert_eq!(post(port, "zstd", &bomb), 413);
    assert!(matches!(endless(port), 413 | 0));
    // Cut off in the middle.
    let mut cut = connect(port);
    let head_of_cut = head("identity", "content-length: 100000");
    cut.write_all(head_of_cut.as_bytes()).unwrap();
    cut.write_all(b"TRB\x01").unwrap();
    drop(cut);

    // Slow ones: each claims a body as large as it may be, and sends next to nothing.
    let slow: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = connect(port);
            let head = head(
                "identity",
                "tailrace-raw-length: 8000000\r\ncontent-length: 1000000",
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(b"TRB\x01").unwrap();
            stream
        })
        .collect();
    arrives(500);
    drop(slow);

    // Idle ones, more than the aggregator may have open.
    let idle: Vec<TcpStream> = (0..600).map(|_| connect(port)).collect();
    // The agent has to connect anew among them.
    gate.strike(Spell::Lose, 1, 1);
    arrives(1_000);
    drop(idle);

    // Replayed batches.
    gate.strike(Spell::Twice, 2, 10);
    arrives(1_300);
    gate.strike(Spell::AgainLater, 2, 10);
    arrives(1_600);
    gate.heal();
    let containers = writer.finish().unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    let peak = Usage::of(aggregator.pid()).unwrap().peak_rss;
    assert!(peak < 400 << 20, "{} MiB", peak >> 20);
    let lost = agent.metrics().unwrap().count("tail_bytes_lost_total", &[]);
    assert_eq!(lost, 0);
}
