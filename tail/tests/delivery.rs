//! Every line once, over rotation, truncation, compression, failures and restarts.

mod sim;

use sim::{Fate, Node, Writer};
use tail::Failure;

fn expect_all(node: &Node, n_lines: u64, what: &str) {
    let numbers = node.store.numbers();
    let expected: Vec<u64> = (0..n_lines).collect();
    if numbers != expected {
        let missing: Vec<_> = expected.iter().filter(|n| !numbers.contains(n)).take(20).collect();
        let doubled: Vec<_> =
            numbers.windows(2).filter(|pair| pair[0] == pair[1]).take(20).collect();
        for pair in doubled.iter().take(2) {
            for (key, line) in &node.store.lines {
                if sim::number_of(line) == pair[0] {
                    eprintln!("{} stands at {key:x?}", pair[0]);
                }
            }
        }
        panic!("{what}: {} of {n_lines}, missing {missing:?}, doubled {doubled:?}", numbers.len());
    }
}

#[test]
fn a_growing_file_arrives_once() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    for _ in 0..30 {
        writer.write(7);
        node.clock.advance(50);
        node.send(|| Fate::Taken);
    }
    node.settle();
    expect_all(&node, writer.n_lines, "growing");
    assert_eq!(node.tailer().lag().bytes, 0);
}

#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("SEED") else { return };
    let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).try_init();
    let mut parts = seed.split(',');
    let seed = parts.next().unwrap().parse().unwrap();
    run(seed, parts.next() == Some("cri"), parts.next() == Some("copy"));
}

fn run(seed: u64, cri: bool, copytruncate: bool) {
    let mut node = Node::new();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut writer = Writer::new(&node.log("pod/0.log"), cri, seed);
    for _ in 0..120 {
        match rng.u8(..20) {
            0..8 => writer.write(rng.usize(1..40)),
            8 => writer.write_half(),
            9 if copytruncate => {
                // Nobody can read what was not seen before the next truncation... it is in the
                // copy, which is read as long as its head is known or it is new.
                writer.copytruncate();
            }
            9 | 10 if !copytruncate => writer.rotate(rng.usize(..3)),
            11 if !copytruncate => writer.compress(),
            12 => {
                // Killed: with a group in flight, or with answers that were not journaled.
                let mut fates = rng.clone();
                node.send(|| if fates.bool() { Fate::Forgotten } else { Fate::Taken });
                node.tailer = None;
                if rng.bool() {
                    writer.write(rng.usize(1..60));
                    if !copytruncate {
                        for _ in 0..rng.usize(..4) {
                            writer.rotate(0);
                            writer.write(rng.usize(1..20));
                        }
                        if rng.bool() {
                            writer.compress();
                        }
                    }
                }
                node.start();
            }
            13..16 => {
                let mut fates = rng.clone();
                node.send(|| match fates.u8(..8) {
                    0 => Fate::TakenAnswerLost(Failure::Unknown),
                    1 => Fate::TakenAnswerLost(Failure::ConnectionLost),
                    2 => Fate::Failed(Failure::Unknown),
                    3 => Fate::Failed(Failure::NotSent),
                    _ => Fate::Taken,
                });
            }
            _ => {
                node.clock.advance(rng.u64(..700));
                node.poll();
            }
        }
    }
    writer.write(1);
    // Answers that never came: the agent is started again.
    node.start();
    node.settle();
    expect_all(&node, writer.n_lines, &format!("seed {seed} cri {cri} copy {copytruncate}"));
    let lag = node.tailer().lag().bytes;
    assert_eq!(lag, 0, "seed {seed}: bytes are left");
}

#[test]
fn every_line_once_over_random_rotation_failure_and_restart_cri() {
    for seed in 0..40 {
        run(seed, true, false);
    }
}

#[test]
fn every_line_once_over_random_rotation_failure_and_restart_raw() {
    for seed in 100..140 {
        run(seed, false, false);
    }
}

#[test]
fn every_line_once_over_copytruncate() {
    for seed in 200..230 {
        run(seed, false, true);
    }
}
