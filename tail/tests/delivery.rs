//! Every line once, over rotation, truncation, compression, failures and restarts.

#![expect(clippy::unwrap_used, reason = "the writer of a test may panic")]

mod following;
mod sim;

use sim::{Fate, Node, Writer};
use tail::Failure;

fn expect_all(node: &Node, n_lines: u64, what: &str) {
    let numbers = node.store.numbers();
    let expected: Vec<u64> = (0..n_lines).collect();
    if numbers != expected {
        let missing: Vec<_> = expected
            .iter()
            .filter(|n| !numbers.contains(n))
            .take(20)
            .collect();
        let doubled: Vec<_> = numbers
            .windows(2)
            .filter(|pair| pair[0] == pair[1])
            .take(20)
            .collect();
        panic!(
            "{what}: {} of {n_lines}, missing {missing:?}, doubled {doubled:?}",
            numbers.len()
        );
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

fn run(seed: u64, cri: bool, copytruncate: bool) {
    let mut node = Node::new();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut writer = Writer::new(&node.log("pod/0.log"), cri, seed);
    for _ in 0..120 {
        match rng.u8(..20) {
            0..8 => writer.write(rng.usize(1..40)),
            8 => writer.write_half(),
            9 if copytruncate => {
                writer.copytruncate();
            }
            9 | 10 if !copytruncate => writer.rotate(rng.usize(..3)),
            11 if !copytruncate => writer.compress(),
            12 => {
                // Killed: with a group in flight, or with answers that were not journaled.
                let mut fates = rng.clone();
                node.send(|| {
                    if fates.bool() {
                        Fate::Forgotten
                    } else {
                        Fate::Taken
                    }
                });
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
    expect_all(
        &node,
        writer.n_lines,
        &format!("seed {seed} cri {cri} copy {copytruncate}"),
    );
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

#[test]
fn a_second_agent_is_refused() {
    // Rule 4.
    let node = Node::new();
    let clock = tail::SystemClock::new();
    let error = tail::Tailer::open(node.options.clone(), std::sync::Arc::new(clock));
    assert!(error.err().expect("refused").to_string().contains("in use"));
}

#[test]
fn lost_connections_make_a_group_go_alone_then_suspect() {
    // Rule 12.
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(3);
    node.poll();
    let mut seen = Vec::new();
    for _ in 0..6 {
        node.clock.advance(300);
        node.poll();
        let (group, _) = node.next().expect("due");
        seen.push((group.alone, group.chunks[0].suspect));
        node.tailer().failed(group.id, Failure::ConnectionLost);
    }
    use tail::Suspect::{Lines, No, Unparsed};
    let expected = [
        (false, No),
        (false, No),
        (true, No),
        (true, Unparsed),
        (true, Lines),
        (true, Lines),
    ];
    assert_eq!(seen, expected);
}

/// Rule 11: an earlier try may have stored more than the one that is answered.
#[test]
fn what_a_partial_answer_leaves_of_a_doubtful_group_stays_in_doubt() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(4);
    node.poll();
    node.clock.advance(300);
    node.poll();
    let (group, bytes) = node.next().expect("lingered");
    assert_eq!(group.chunks[0].doubt_ms, None);
    node.tailer().failed(group.id, Failure::Unknown);
    node.clock.advance(300);
    node.poll();
    let (group, _) = node.next().expect("comes again");
    assert!(group.chunks[0].doubt_ms.is_some());
    let first_line = bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .expect("a line")
        + 1;
    let positions = tail::Positions::at(group.chunks[0].start + first_line as u64);
    node.tailer().acked(group.id, &[positions]);
    node.tailer().commit().unwrap();
    for start in ["the same agent", "another start of it"] {
        node.clock.advance(3000);
        node.poll();
        let (rest, _) = node.next().expect("the rest, flushed");
        assert_eq!(rest.chunks[0].start, first_line as u64, "{start}");
        assert!(rest.chunks[0].doubt_ms.is_some(), "{start}");
        // Not sent, not journaled: what the next start knows is what the answer left.
        node.start();
        node.poll();
    }
    node.clock.advance(3000);
    node.poll();
    let (rest, bytes) = node.next().expect("the rest");
    let end = tail::Positions::at(rest.chunks[0].start + bytes.len() as u64);
    node.tailer().acked(rest.id, &[end]);
    writer.write(2);
    node.clock.advance(300);
    node.poll();
    node.clock.advance(300);
    node.poll();
    let (fresh, _) = node.next().expect("what came later");
    assert_eq!(fresh.chunks[0].doubt_ms, None, "no doubt beyond the try");
}

#[test]
fn quiet_streams_are_flushed_softly_then_hard_and_then_left_alone() {
    // Rule 7.
    let mut node = Node::new();
    node.poll();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(1);
    node.poll();
    node.poll();
    assert!(node.next().is_none(), "the last byte has just come");
    node.clock.advance(200);
    node.poll();
    let (group, bytes) = node.next().expect("lingered");
    assert_eq!(group.chunks[0].flush, tail::Flush::Soft);
    assert_eq!(group.chunks[0].doubt_ms, None);
    // The aggregator keeps a trace open.
    node.tailer().acked(group.id, &[tail::Positions::at(0)]);
    node.clock.advance(150);
    node.poll();
    assert!(node.next().is_none(), "nothing new");
    node.clock.advance(2000);
    node.poll();
    let (group, again) = node.next().expect("quiet for long");
    assert_eq!(group.chunks[0].flush, tail::Flush::Hard);
    assert_eq!(bytes, again);
    let positions = node.store.take(&group, &again);
    node.tailer().acked(group.id, &positions);
    node.clock.advance(5000);
    node.poll();
    assert!(node.next().is_none());
}

#[test]
fn a_stream_that_keeps_growing_is_sent_long_before_it_is_quiet() {
    let mut node = Node::new();
    node.poll();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    let mut waited = 0;
    let group = loop {
        writer.write(20);
        node.poll();
        if let Some((group, _)) = node.next() {
            break group;
        }
        node.clock.advance(5);
        waited += 5;
        assert!(waited < 60, "nothing is sent of a busy stream");
    };
    assert!(waited >= 20, "sent after {waited} ms");
    assert_eq!(group.chunks[0].flush, tail::Flush::None);
}

/// A batch has its price: it takes along what came at other moments.
#[test]
fn streams_with_little_to_send_go_together() {
    let mut node = Node::new();
    node.poll();
    let mut writers = ["a.log", "b.log"].map(|name| Writer::new(&node.log(name), true, 1));
    for writer in &mut writers {
        node.clock.advance(20);
        writer.write(1);
        node.poll();
    }
    // Both have been quiet for long enough.
    node.clock.advance(150);
    node.poll();
    assert!(node.next().is_none());
    node.clock.advance(10);
    node.poll();
    for _ in 0..2 {
        let (group, _) = node.next().expect("its time has come");
        assert_eq!(group.chunks[0].flush, tail::Flush::Soft);
    }
}

#[test]
fn a_few_lines_at_once_are_sent_once_with_their_flush() {
    let mut node = Node::new();
    node.poll();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    for _ in 0..3 {
        writer.write(1);
        node.poll();
        node.clock.advance(3);
    }
    node.clock.advance(80);
    node.poll();
    assert!(node.next().is_none(), "not quiet for long enough");
    node.clock.advance(120);
    node.poll();
    let (group, _) = node.next().expect("lingered");
    assert_eq!(group.chunks[0].flush, tail::Flush::Soft);
}

#[test]
fn a_file_deleted_while_the_agent_was_away_is_counted_as_lost() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(5);
    node.settle();
    writer.write(5);
    node.poll();
    node.clock.advance(300);
    node.poll();
    let (group, bytes) = node.next().expect("due");
    drop(group);
    node.tailer = None;
    std::fs::remove_file(&writer.path).unwrap();
    node.start();
    node.settle();
    let ends: Vec<_> = node.store.ends.values().collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0].unread, bytes.len() as u64);
    assert!(
        node.tailer().streams().is_empty(),
        "forgotten when acknowledged"
    );
}

/// What was seen and not sent before the stop is counted as well: it was forgotten once.
#[test]
fn bytes_seen_before_a_stop_count_as_lost_when_the_file_goes() {
    let mut node = Node::new();
    let mut half = Writer::new(&node.log("pods/shop_cart-1_uid/app/0.log"), true, 1);
    half.write(5);
    node.settle();
    let sent = std::fs::metadata(&half.path).unwrap().len();
    half.write(5);
    // Of this one nothing was ever sent.
    let mut none = Writer::new(&node.log("pods/shop_cart-2_uid/app/0.log"), true, 2);
    none.write(5);
    node.poll();
    let mut expected = vec![
        (
            "cart-1".to_owned(),
            std::fs::metadata(&half.path).unwrap().len() - sent,
        ),
        (
            "cart-2".to_owned(),
            std::fs::metadata(&none.path).unwrap().len(),
        ),
    ];
    node.tailer.take().expect("running").close().unwrap();
    std::fs::remove_file(&half.path).unwrap();
    std::fs::remove_file(&none.path).unwrap();
    node.start();
    node.settle();
    let lost: u64 = expected.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(node.tailer().bytes_lost(), lost);
    // Named, also after the ends are acknowledged and the streams forgotten.
    assert!(node.tailer().streams().is_empty());
    let losses = node.tailer().losses();
    let mut named: Vec<_> = losses.map(|it| (it.pod.clone(), it.bytes)).collect();
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
}

/// An empty file that is rotated and compressed has no identity; all that came after it waited for
/// one (seed 10 of the model of delivery).
#[test]
fn an_empty_compressed_file_holds_up_nobody() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("pod/0.log"), true, 1);
    writer.write(20);
    node.send(|| Fate::Forgotten);
    node.tailer = None;
    writer.rotate(0);
    writer.rotate(0);
    writer.write(20);
    writer.rotate(0);
    writer.write(20);
    writer.compress();
    node.start();
    node.settle();
    expect_all(&node, writer.n_lines, "an empty file between");
    assert_eq!(node.tailer().lag().bytes, 0);
}

/// A file that grew and was compressed before anybody read its first line is not lost: it was
/// counted so, and read all the same (seed 71 of the model of delivery).
#[test]
fn a_file_compressed_before_it_was_read_is_not_counted_as_lost() {
    let mut node = Node::new();
    node.options.max_open_files = 0;
    node.start();
    let mut writer = Writer::new(&node.log("pod/0.log"), true, 1);
    // One group is under way, so that nothing of what follows is read.
    writer.write(20);
    node.poll();
    node.clock.advance(300);
    node.poll();
    let (group, bytes) = node.next().expect("due");
    writer.rotate(0);
    node.poll();
    writer.write(20);
    node.poll();
    writer.rotate(0);
    writer.rotate(0);
    writer.compress();
    node.poll();
    let positions = node.store.take(&group, &bytes);
    node.tailer().acked(group.id, &positions);
    writer.write(1);
    node.settle();
    expect_all(&node, writer.n_lines, "compressed unread");
    assert_eq!(node.tailer().bytes_lost(), 0);
}

/// A file that is rotated before its first line is read does not take the first line of the next
/// one for its own, which was counted as a loss (seed 70 of the model of delivery).
#[test]
fn a_file_rotated_before_it_was_read_keeps_its_own_identity() {
    for seed in 0..20 {
        let mut node = Node::new();
        node.options.inotify = false;
        node.options.poll_interval = std::time::Duration::from_secs(600);
        let mut writer = Writer::new(&node.log("pod/0.log"), true, seed);
        node.start();
        writer.write(3);
        node.poll();
        node.clock.advance(300);
        node.poll();
        let (group, bytes) = node.next().expect("due");
        // Seen empty, then full, and never read: the group before it is under way.
        writer.rotate(0);
        node.clock.advance(601_000);
        node.poll();
        writer.write(50);
        node.clock.advance(601_000);
        node.poll();
        writer.rotate(0);
        writer.write(10);
        writer.compress();
        writer.rotate(0);
        writer.write(5);
        writer.compress();
        node.clock.advance(601_000);
        node.poll();
        let positions = node.store.take(&group, &bytes);
        node.tailer().acked(group.id, &positions);
        node.settle();
        node.clock.advance(601_000);
        node.settle();
        expect_all(&node, writer.n_lines, "rotated unread");
        assert_eq!(node.tailer().bytes_lost(), 0);
    }
}

/// Of two known files the older one was compressed while the agent was away: its `.gz` was older
/// than all that was known, and was left unread (seed 2 of the model of delivery).
#[test]
fn a_known_file_that_is_compressed_while_away_is_read_on() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("pod/0.log"), true, 1);
    writer.write(20);
    node.settle();
    writer.write(20);
    writer.rotate(0);
    writer.write(20);
    // Both are seen, and what is sent of them stays unanswered.
    node.send(|| Fate::Forgotten);
    node.clock.advance(300);
    node.poll();
    node.tailer.take().expect("running").close().unwrap();
    writer.rotate(0);
    writer.write(20);
    writer.rotate(0);
    writer.compress();
    writer.write(20);
    node.start();
    node.settle();
    expect_all(&node, writer.n_lines, "compressed while away");
    assert_eq!(node.tailer().bytes_lost(), 0);
}

/// Numbered files are shifted one after the other, and a listing made meanwhile may meet one of them
/// under neither name. Being done, it was forgotten at once, and sent again from its start when the
/// next listing met it (seed 41 of the laboratory, where a rollover between the two made doubles).
#[test]
fn a_done_file_that_a_listing_misses_is_not_read_again() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("pod/0.log"), true, 1);
    for _ in 0..3 {
        writer.write(20);
        writer.rotate(0);
    }
    writer.compress();
    writer.write(20);
    node.settle();
    let (n_groups, n_streams) = (node.groups, node.tailer().streams().len());
    let away = node.dir.path().join("away");
    for path in writer.rotated() {
        std::fs::rename(&path, &away).unwrap();
        node.clock.advance(20);
        node.poll();
        std::fs::rename(&away, &path).unwrap();
        node.settle();
    }
    assert_eq!(node.groups, n_groups, "something was sent again");
    // One that stays away is forgotten by the next scan.
    std::fs::remove_file(writer.rotated().remove(0)).unwrap();
    node.settle();
    node.settle();
    assert_eq!(node.tailer().streams().len(), n_streams - 1);
    expect_all(&node, writer.n_lines, "missed by a listing");
}

#[test]
fn a_deleted_file_is_read_to_its_end() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(5);
    node.poll();
    writer.write(500);
    node.poll();
    std::fs::remove_file(&writer.path).unwrap();
    node.settle();
    expect_all(&node, writer.n_lines, "deleted");
    let ends: Vec<_> = node.store.ends.values().collect();
    assert_eq!((ends.len(), ends[0].unread), (1, 0));
    assert!(node.tailer().streams().is_empty());
}

#[test]
fn an_overlong_line_arrives_in_pieces_and_every_byte_once() {
    let mut node = Node::new();
    node.options.max_line = 4096;
    node.start();
    let path = node.log("a.log");
    let mut text = b"E0 first\n".to_vec();
    text.extend_from_slice(&[b'y'; 50_000]);
    text.extend_from_slice(b"\nE1 last\n");
    std::fs::write(&path, &text).unwrap();
    node.settle();
    let mut at = 0;
    for ((_, offset), line) in &node.store.lines {
        assert_eq!(*offset, at);
        assert_eq!(&text[at as usize..at as usize + line.len()], line);
        assert!(line.len() <= 4097);
        at += line.len() as u64;
    }
    assert_eq!(at, text.len() as u64);
}

#[test]
fn start_at_end_reads_what_comes_later() {
    let mut node = Node::new();
    node.tailer = None;
    let mut old = Writer::new(&node.log("old.log"), true, 1);
    old.write(10);
    old.rotate(0);
    old.write(10);
    node.options.start_at = tail::StartAt::End;
    node.start();
    node.settle();
    assert_eq!(node.store.lines.len(), 0);
    old.write(3);
    node.settle();
    let n_new = node.store.lines.len();
    assert_eq!(n_new, 3);
    // What comes while the agent is away is new too.
    node.tailer = None;
    old.write(2);
    old.rotate(0);
    old.write(2);
    node.start();
    node.settle();
    assert_eq!(node.store.lines.len(), 7);
}

#[test]
fn a_write_wakes_the_caller_and_an_idle_node_does_not() {
    let mut node = Node::new();
    let (sender, woken) = std::sync::mpsc::sync_channel(1);
    node.options.wake = std::sync::Arc::new(move || {
        let _full = sender.try_send(());
    });
    node.start();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    for _ in 0..5 {
        node.clock.advance(20);
        node.poll();
        while woken.try_recv().is_ok() {
            node.clock.advance(20);
            node.poll();
        }
        writer.write(1);
        let deadline = std::time::Duration::from_secs(20);
        woken.recv_timeout(deadline).expect("woken by the write");
    }
    node.settle();
    expect_all(&node, writer.n_lines, "woken");
    let next = node.tailer().next_wake().expect("the rescan");
    assert!(
        next > std::time::Duration::from_millis(100),
        "idle, yet due in {next:?}"
    );
}

#[test]
fn few_open_files_suffice_for_many() {
    let mut node = Node::new();
    node.options.max_open_files = 3;
    node.start();
    let mut writers: Vec<Writer> = (0..40)
        .map(|n| Writer::new(&node.log(&format!("{n}/a.log")), true, n))
        .collect();
    for _ in 0..4 {
        for writer in &mut writers {
            writer.write(5);
        }
        node.clock.advance(300);
        node.send(|| Fate::Taken);
    }
    node.settle();
    assert!(node.tailer().metrics().files_open.get() <= 3);
    // The same numbers forty times: identity is the stream's, not the text's.
    assert_eq!(node.store.lines.len(), 40 * 20);
}
