//! Following files under limits and bad luck: many, polled, overflowed, deleted, left out,
//! throttled, refused, cut off.

use crate::sim::{Fate, Node, Writer};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tail::{Failure, Flush, Positions};

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn cri(n: u64, content: &str) -> String {
    format!("2024-01-02T03:04:05.{n:09}Z stdout F {content}\n")
}

/// Polls and advances until a group is due.
fn next_due(node: &mut Node) -> (tail::Group, Vec<u8>) {
    for _ in 0..200 {
        node.poll();
        if let Some(found) = node.next() {
            return found;
        }
        node.clock.advance(100);
    }
    panic!("no group is due");
}

#[test]
fn thousands_of_quiet_files_are_followed_and_one_line_is_found_among_them() {
    let mut node = Node::new();
    node.tailer = None;
    let n_files = 2000;
    for n in 0..n_files {
        let path = node.log(&format!("ns_pod-{n}_uid/app/0.log"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, cri(n, "E1")).unwrap();
    }
    node.options.max_open_files = 100;
    node.start();
    node.settle();
    assert_eq!(node.store.lines.len() as u64, n_files);
    let metrics = node.tailer().metrics().clone();
    assert_eq!(metrics.files_followed.get() as u64, n_files);
    assert!(metrics.files_open.get() <= 100);
    // Quiet files need no turn: the next thing to do is the rescan.
    let groups = node.groups;
    node.settle();
    assert_eq!(node.groups, groups, "nothing is sent of quiet files");
    append(&node.log("ns_pod-1234_uid/app/0.log"), &cri(9, "E2"));
    node.settle();
    assert_eq!(node.store.lines.len() as u64, n_files + 1);
    // Known again after a restart, and nothing is read twice.
    node.tailer().commit().unwrap();
    node.start();
    let groups = node.groups;
    node.settle();
    assert_eq!(node.groups, groups, "nothing is sent again");
    assert_eq!(node.tailer().lag().bytes, 0);
}

#[test]
fn without_inotify_files_are_polled_and_the_gauge_says_so() {
    let mut node = Node::new();
    assert_eq!(node.tailer().metrics().polling.get(), 0);
    node.options.inotify = false;
    node.start();
    assert_eq!(node.tailer().metrics().polling.get(), 1);
    let mut writer = Writer::new(&node.log("pod/0.log"), true, 1);
    for _ in 0..5 {
        writer.write(3);
        node.settle();
        writer.write(2);
        writer.rotate(1);
    }
    writer.write(1);
    node.settle();
    let expected: Vec<u64> = (0..writer.n_lines).collect();
    assert_eq!(node.store.numbers(), expected);
    assert_eq!(node.tailer().metrics().inotify_events.get(), 0);
    let wait = node.tailer().next_wake().unwrap();
    assert!(wait <= node.options.poll_interval, "{wait:?}");
}

#[test]
fn an_overflow_of_the_event_queue_leads_to_a_rescan() {
    let mut node = Node::new();
    let mut a = Writer::new(&node.log("a/0.log"), true, 1);
    let mut b = Writer::new(&node.log("b/0.log"), true, 2);
    a.write(1);
    b.write(1);
    node.settle();
    let max = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let max: usize = max.trim().parse().unwrap();
    if max > 100_000 {
        println!("skipped: the queue holds {max} events");
        return;
    }
    // In turns, as the kernel joins an event with one before it that is the same.
    let rescans = node.tailer().metrics().rescans.get();
    for _ in 0..=max / 2 {
        a.write(1);
        b.write(1);
    }
    // What comes now is not in the queue.
    let mut c = Writer::new(&node.log("c/0.log"), true, 3);
    c.write(1);
    a.rotate(0);
    a.write(1);
    node.poll();
    assert_eq!(node.tailer().metrics().inotify_overflows.get(), 1);
    assert!(node.tailer().metrics().rescans.get() > rescans);
    // No time passes but what lingering needs, so no regular rescan helps.
    for _ in 0..5 {
        node.send(|| Fate::Taken);
        node.clock.advance(500);
    }
    let n_lines = a.n_lines + b.n_lines + c.n_lines;
    assert_eq!(node.store.lines.len() as u64, n_lines);
}

#[test]
fn deleted_files_are_bounded_and_the_oldest_is_counted_as_lost() {
    // Rule 4.
    let mut node = Node::new();
    node.options.max_deleted_bytes = 50_000;
    node.start();
    let text = cri(1, "E").repeat(500);
    assert!((20_000..25_000).contains(&text.len()));
    let name = |n: usize| format!("pods/shop_pod-{n}_uid/app/0.log");
    for n in 0..3 {
        let path = node.log(&name(n));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
        node.poll();
    }
    for n in 0..3 {
        fs::remove_file(node.log(&name(n))).unwrap();
        node.clock.advance(10);
        node.poll();
    }
    let lost: Vec<(String, u64)> = node
        .tailer()
        .streams()
        .into_iter()
        .map(|status| (status.pod, status.lost))
        .collect();
    let of = |pod: &str| lost.iter().find(|(name, _)| name == pod).map(|(_, n)| *n);
    // No identity, so no chunk that could say so: forgotten, but counted by namespace.
    assert!(of("pod-0").is_none_or(|n| n == text.len() as u64));
    assert_eq!((of("pod-1"), of("pod-2")), (Some(0), Some(0)));
    let label = |metrics: &tail::Metrics| {
        let mut registry = prometheus_client::registry::Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    let metrics = label(node.tailer().metrics());
    let expected = format!("tail_bytes_lost_total{{namespace=\"shop\"}} {}", text.len());
    assert!(metrics.contains(&expected), "{metrics}");
    node.settle();
    assert_eq!(node.store.lines.len(), 1000, "the younger two are read");
    assert_eq!(node.tailer().metrics().files_open.get(), 0);
}

#[test]
fn excluded_files_are_not_read_under_either_name() {
    let mut node = Node::new();
    node.tailer = None;
    let root = node.log("");
    node.options.exclude = vec![
        format!("{}**/noise-*/*.log", root.display()),
        "/**/hidden/*.log".to_owned(),
    ];
    for name in ["noise-1/0.log", "hidden/0.log", "kept/0.log"] {
        let path = node.log(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, cri(1, "E1")).unwrap();
    }
    std::os::unix::fs::symlink(node.log("hidden/0.log"), node.log("link.log")).unwrap();
    node.start();
    node.settle();
    append(&node.log("hidden/0.log"), &cri(2, "E2"));
    append(&node.log("noise-1/0.log"), &cri(2, "E2"));
    append(&node.log("kept/0.log"), &cri(2, "E2"));
    node.settle();
    assert_eq!(node.store.lines.len(), 2);
    assert_eq!(node.tailer().metrics().files_followed.get(), 1);
}

#[test]
fn old_files_are_left_alone_until_they_change() {
    let mut node = Node::new();
    node.tailer = None;
    let age = |path: &Path, seconds| {
        let file = File::options().append(true).open(path).unwrap();
        let at = SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(at).unwrap();
    };
    fs::write(node.log("old.log"), cri(1, "E1")).unwrap();
    age(&node.log("old.log"), 7200);
    fs::write(node.log("young.log"), cri(1, "E1")).unwrap();
    age(&node.log("young.log"), 600);
    node.options.ignore_older = Some(Duration::from_secs(3600));
    node.start();
    node.settle();
    assert_eq!(node.store.lines.len(), 1);
    // Over many rescans, too.
    for _ in 0..5 {
        node.clock.advance(31_000);
        node.settle();
    }
    assert_eq!(node.store.lines.len(), 1);
    append(&node.log("old.log"), &cri(2, "E2"));
    node.settle();
    assert_eq!(node.store.lines.len(), 3);
    // A file that is followed does not become old by being quiet.
    age(&node.log("young.log"), 9000);
    node.start();
    append(&node.log("young.log"), &cri(2, "E2"));
    node.settle();
    assert_eq!(node.store.lines.len(), 4);
}

#[test]
fn start_at_end_holds_for_what_was_there_and_not_for_what_comes() {
    let mut node = Node::new();
    node.tailer = None;
    fs::write(node.log("there.log"), cri(1, "E1")).unwrap();
    // Its last line is not whole yet: it is new when it is.
    fs::write(node.log("half.log"), cri(1, "E1") + "2024-01-02T03:04:05").unwrap();
    node.options.start_at = tail::StartAt::End;
    node.start();
    for _ in 0..10 {
        node.send(|| Fate::Taken);
        node.clock.advance(300);
    }
    assert_eq!(node.store.lines.len(), 0);
    fs::write(node.log("comes.log"), cri(2, "E2")).unwrap();
    append(&node.log("there.log"), &cri(3, "E3"));
    append(&node.log("half.log"), ".000000004Z stdout F E4\n");
    node.settle();
    assert_eq!(node.store.numbers(), [2, 3, 4]);
    node.start();
    append(&node.log("there.log"), &cri(5, "E5"));
    node.settle();
    assert_eq!(node.store.numbers(), [2, 3, 4, 5]);
}

/// Seconds that it takes until all of `n_lines` lines are there, and the most bytes of a group.
fn time_to_send(node: &mut Node, n_lines: usize) -> (f64, usize) {
    let (mut millis, mut largest) = (0, 0);
    while node.store.lines.len() < n_lines {
        node.poll();
        while let Some((group, bytes)) = node.next() {
            largest = largest.max(bytes.len());
            let positions = node.store.take(&group, &bytes);
            node.tailer().acked(group.id, &positions);
            node.poll();
        }
        node.clock.advance(50);
        millis += 50;
        assert!(millis < 3_600_000, "only {} lines", node.store.lines.len());
    }
    (millis as f64 / 1000.0, largest)
}

#[test]
fn a_stream_rate_delays_and_never_drops() {
    let mut node = Node::new();
    node.options.stream_rate = Some(20_000);
    node.start();
    let mut slow = Writer::new(&node.log("a/0.log"), true, 1);
    let mut other = Writer::new(&node.log("b/0.log"), true, 2);
    slow.write(2000);
    other.write(1);
    let bytes = fs::metadata(&slow.path).unwrap().len() as f64;
    let (seconds, largest) = time_to_send(&mut node, 2001);
    // A second's worth is there at the start, and the last turn may overdraw by as much.
    let expected = bytes / 20_000.0;
    assert!(expected > 5.0, "worth measuring");
    assert!(
        (expected - 2.5..=expected + 3.0).contains(&seconds),
        "{seconds} s, not {expected}"
    );
    assert!(largest < 64 << 10, "a second's worth, not {largest}");
    let label = tail_namespace("");
    let metrics = node.tailer().metrics();
    let throttled = metrics.throttled_seconds.get_or_create(&label).get();
    assert!(throttled > expected / 2.0, "{throttled}");
    assert_eq!(metrics.bytes_lost.get_or_create(&label).get(), 0);
}

#[test]
fn a_container_may_ask_for_less_than_the_operator_allows_and_never_for_more() {
    for (allowed, wish, expected) in [
        (None, 20_000, 20_000),
        (Some(20_000), 1_000_000, 20_000),
        (Some(1_000_000), 20_000, 20_000),
    ] {
        let mut node = Node::new();
        node.options.stream_rate = allowed;
        node.wishes.bytes_per_second = Some(wish);
        node.start();
        let mut writer = Writer::new(&node.log("a/0.log"), true, 1);
        writer.write(2000);
        let bytes = fs::metadata(&writer.path).unwrap().len() as f64;
        let (seconds, _) = time_to_send(&mut node, 2000);
        let expected = bytes / f64::from(expected);
        assert!(
            (expected - 2.5..=expected + 3.0).contains(&seconds),
            "{allowed:?}, {wish}: {seconds} s, not {expected}"
        );
    }
}

#[test]
fn what_is_excluded_is_passed_over_and_the_rest_comes_once() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a/0.log"), true, 1);
    writer.write(100);
    node.settle();
    node.wishes.exclude = true;
    writer.write(3000);
    writer.rotate(2);
    writer.write(50);
    node.settle();
    assert_eq!(node.store.numbers(), (0..100).collect::<Vec<_>>());
    assert_eq!(node.tailer().lag().bytes, 0);
    assert_eq!(node.tailer().unacknowledged(), 0);
    // Over a restart what was passed over stays so.
    node.start();
    node.settle();
    node.wishes.exclude = false;
    let first = writer.n_lines;
    writer.write(20);
    node.settle();
    let wanted: Vec<u64> = (0..100).chain(first..first + 20).collect();
    assert_eq!(node.store.numbers(), wanted);
    let label = tail_namespace("");
    let metrics = node.tailer().metrics();
    assert_eq!(metrics.bytes_lost.get_or_create(&label).get(), 0);
}

/// An audit would take what was passed over for lost, were it not told (DELIVERY rule 24).
#[test]
fn what_was_passed_over_is_told_with_what_comes_next() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a/0.log"), true, 1);
    let size = |writer: &Writer| fs::metadata(&writer.path).unwrap().len();
    let mut expected = Vec::new();
    for round in 0..2 {
        node.wishes.exclude = false;
        writer.write(100);
        node.settle();
        let start = size(&writer);
        node.wishes.exclude = true;
        for _ in 0..3 {
            writer.write(1000);
            node.settle();
        }
        // Known over a restart.
        node.tailer().commit().unwrap();
        node.start();
        node.settle();
        let end = size(&writer);
        assert_eq!(node.store.passed_over.len(), expected.len(), "not told yet");
        node.wishes.exclude = false;
        writer.write(20);
        // Each try of a group tells the same.
        let (group, bytes) = next_due(&mut node);
        node.store.take(&group, &bytes);
        node.tailer().failed(group.id, Failure::Unknown);
        node.settle();
        writer.write(20);
        node.settle();
        let stream = node.store.lines.keys().next().unwrap().0;
        let note = format!("{stream}:{start}-{end}");
        expected.extend([note.clone(), note]);
        assert_eq!(node.store.passed_over, expected, "round {round}");
    }
}

fn tail_namespace(name: &str) -> tail::Namespace {
    tail::Namespace {
        namespace: name.to_owned(),
    }
}

#[test]
fn a_namespace_rate_is_shared_by_its_files_and_spares_others() {
    let mut node = Node::new();
    node.options.namespace_rate = Some(20_000);
    node.start();
    let mut bytes = 0;
    for n in 0..4 {
        let mut writer = Writer::new(&node.log(&format!("pods/noisy_p{n}_u/c/0.log")), true, n);
        writer.write(500);
        bytes += fs::metadata(&writer.path).unwrap().len();
    }
    let mut calm = Writer::new(&node.log("pods/calm_p_u/c/0.log"), true, 9);
    calm.write(5);
    let calm_size = fs::metadata(&calm.path).unwrap().len();
    let calm_sent = |node: &mut Node| {
        let acknowledged = &node.tailer().metrics().bytes_acknowledged;
        let label = tail_namespace("calm");
        acknowledged.get_or_create(&label).get()
    };
    // Files are due by their own times of change: which comes first depends on the machine.
    while calm_sent(&mut node) < calm_size {
        let n_more = node.store.lines.len() + 1;
        time_to_send(&mut node, n_more);
    }
    assert!(node.store.lines.len() < 2005, "it is not held up");
    let (seconds, _) = time_to_send(&mut node, 2005);
    let expected = bytes as f64 / 20_000.0;
    // Four files may each take a least turn of 16 KiB on top.
    assert!(
        (expected - 6.0..=expected + 3.0).contains(&seconds),
        "{seconds} s, not {expected}"
    );
    let metrics = node.tailer().metrics();
    let throttled = |name| {
        let label = tail_namespace(name);
        metrics.throttled_seconds.get_or_create(&label).get()
    };
    assert!(throttled("noisy") > expected / 2.0);
    assert!(throttled("calm") == 0.0);
}

#[test]
fn a_group_that_is_too_large_comes_again_smaller() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(20_000);
    let limit = 200 << 10;
    let mut n_refused = 0;
    for _ in 0..400 {
        node.poll();
        while let Some((group, bytes)) = node.next() {
            if bytes.len() > limit {
                n_refused += 1;
                node.tailer().failed(group.id, Failure::TooLarge);
            } else {
                assert!(group.chunks.iter().all(|chunk| chunk.doubt_ms.is_none()));
                let positions = node.store.take(&group, &bytes);
                node.tailer().acked(group.id, &positions);
            }
            node.poll();
        }
        node.clock.advance(100);
    }
    assert!((1..10).contains(&n_refused), "{n_refused}");
    let expected: Vec<u64> = (0..writer.n_lines).collect();
    assert_eq!(node.store.numbers(), expected);
}

#[test]
fn what_cannot_be_made_smaller_waits_between_tries() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(10);
    let (group, first) = next_due(&mut node);
    node.tailer().failed(group.id, Failure::TooLarge);
    node.poll();
    assert!(node.next().is_none(), "no turning in a circle");
    let (group, again) = next_due(&mut node);
    assert_eq!(first, again);
    // In doubt it keeps its bounds, and waits as well.
    node.tailer().failed(group.id, Failure::Unknown);
    let (group, _) = next_due(&mut node);
    node.tailer().failed(group.id, Failure::TooLarge);
    node.poll();
    assert!(node.next().is_none(), "no turning in a circle");
    let (group, again) = next_due(&mut node);
    assert_eq!(first, again);
    assert!(group.chunks[0].doubt_ms.is_some());
}

/// A group in doubt keeps its bounds while that helps; then it comes in pieces, still in doubt.
#[test]
fn a_doubtful_group_that_is_too_large_comes_in_pieces_at_last() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(1_500);
    let (group, whole) = next_due(&mut node);
    assert_ne!(
        group.chunks[0].flush,
        tail::Flush::None,
        "silence ends its last event: the group is not full"
    );
    let limit = whole.len() / 2;
    assert!(limit > 64 << 10, "{limit}");
    // It is stored, and its answer is lost.
    node.store.take(&group, &whole);
    node.tailer().failed(group.id, Failure::Unknown);
    let mut n_refused = 0;
    loop {
        let (group, bytes) = next_due(&mut node);
        assert!(group.chunks[0].doubt_ms.is_some());
        if bytes.len() <= limit {
            break;
        }
        n_refused += 1;
        assert!(n_refused < 10, "it stays too large");
        node.tailer().failed(group.id, Failure::TooLarge);
    }
    assert_eq!(n_refused, 3, "its bounds are kept for some tries");
    // Pieces of what was sent whole stay in doubt over a restart.
    node.tailer().commit().unwrap();
    node.start();
    let end = whole.len() as u64;
    loop {
        let (group, bytes) = next_due(&mut node);
        let chunk = &group.chunks[0];
        assert_eq!(chunk.doubt_ms.is_some(), chunk.start < end);
        let positions = node.store.take(&group, &bytes);
        node.tailer().acked(group.id, &positions);
        if positions[0].low() >= end {
            break;
        }
    }
    let expected: Vec<u64> = (0..writer.n_lines).collect();
    assert_eq!(node.store.numbers(), expected);
}

/// What an aggregator cannot read goes alone, then waits apart; it never holds up other files.
#[test]
fn a_group_that_is_always_rejected_is_set_apart() {
    let mut node = Node::new();
    let isolated = |node: &mut Node| node.tailer().metrics().groups_isolated.get();
    let mut bad = Writer::new(&node.log("bad.log"), true, 1);
    bad.write(3);
    let (group, poison) = next_due(&mut node);
    assert!(!group.alone);
    node.tailer().failed(group.id, Failure::Rejected);
    // While nothing passes, the fault may be the aggregator's: it goes on being tried.
    for _ in 0..10 {
        let (group, again) = next_due(&mut node);
        assert!(group.alone, "it may hold up nobody else's bytes");
        assert_eq!(again, poison);
        node.tailer().failed(group.id, Failure::Rejected);
    }
    assert_eq!(isolated(&mut node), 0);
    let mut good = Writer::new(&node.log("good.log"), true, 2);
    let mut n_tries = 0;
    for _ in 0..600 {
        good.write(1);
        node.clock.advance(500);
        node.poll();
        while let Some((group, bytes)) = node.next() {
            if bytes == poison {
                n_tries += 1;
                node.tailer().failed(group.id, Failure::Rejected);
            } else {
                let positions = node.store.take(&group, &bytes);
                node.tailer().acked(group.id, &positions);
            }
            node.poll();
        }
    }
    assert_eq!(isolated(&mut node), 1);
    assert!((1..5).contains(&n_tries), "{n_tries} tries in five minutes");
    node.clock.advance(300_000);
    node.settle();
    assert_eq!(isolated(&mut node), 0, "taken at last");
    let mut expected: Vec<u64> = (0..bad.n_lines).chain(0..good.n_lines).collect();
    expected.sort_unstable();
    let mut numbers = node.store.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, expected);
}

#[test]
fn busy_and_refused_groups_wait_as_long_as_they_are_told() {
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(3);
    let retry_after = Duration::from_secs(7);
    let busy = |in_doubt| Failure::Busy {
        retry_after,
        in_doubt,
    };
    let refused = Failure::Refused { retry_after };
    let (mut group, first) = next_due(&mut node);
    for (why, has_doubt) in [(busy(false), false), (refused, false), (busy(true), true)] {
        node.tailer().failed(group.id, why);
        assert_eq!(node.tailer().unacknowledged(), 0);
        writer.write(1);
        node.clock.advance(6_900);
        node.poll();
        assert!(node.next().is_none(), "{why:?}");
        node.clock.advance(200);
        node.poll();
        let (next, again) = node.next().expect("due again");
        assert_eq!(
            again, first,
            "{why:?}: the same bounds though more was written"
        );
        assert_eq!(next.chunks[0].doubt_ms.is_some(), has_doubt, "{why:?}");
        group = next;
    }
    let positions = node.store.take(&group, &first);
    node.tailer().acked(group.id, &positions);
    node.settle();
    let expected: Vec<u64> = (0..writer.n_lines).collect();
    assert_eq!(node.store.numbers(), expected);
}

#[test]
fn late_answers_to_abandoned_tries_are_ignored() {
    // Rule 10.
    let mut node = Node::new();
    let mut writer = Writer::new(&node.log("a.log"), true, 1);
    writer.write(3);
    let (abandoned, bytes) = next_due(&mut node);
    node.tailer().failed(abandoned.id, Failure::Unknown);
    let end = Positions::at(bytes.len() as u64);
    node.tailer().acked(abandoned.id, &[end]);
    node.tailer().failed(abandoned.id, Failure::ConnectionLost);
    assert_eq!(node.tailer().streams()[0].offset, 0);
    let (group, again) = next_due(&mut node);
    assert_ne!(group.id, abandoned.id);
    assert_eq!(again, bytes);
    assert_eq!(node.tailer().unacknowledged(), bytes.len() as u64);
    node.tailer().acked(abandoned.id, &[end]);
    assert_eq!(
        node.tailer().streams()[0].offset,
        0,
        "the second try is out"
    );
    node.tailer().acked(group.id, &[end]);
    assert_eq!(node.tailer().streams()[0].offset, bytes.len() as u64);
    assert_eq!(node.tailer().unacknowledged(), 0);
}

#[test]
fn a_tail_lost_in_a_power_cut_is_no_truncation() {
    // Rule 2.
    let mut node = Node::new();
    let path = node.log("pod/0.log");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let lines: Vec<String> = (0..10).map(|n| cri(n, &format!("E{n}"))).collect();
    fs::write(&path, lines.concat()).unwrap();
    node.settle();
    assert_eq!(node.store.lines.len(), 10);
    let stream = node.store.lines.keys().next().unwrap().0;
    node.tailer().commit().unwrap();
    node.tailer = None;
    // The file ends within the eighth line after the reboot.
    let size = lines[..7].concat().len() + 20;
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(size as u64).unwrap();
    drop(file);
    node.start();
    node.poll();
    assert_eq!(node.tailer().metrics().truncations.get(), 0);
    // The store keeps the old ids: what is overwritten now must not be told apart by them alone.
    node.store
        .lines
        .retain(|(_, offset), _| *offset < size as u64 - 20);
    append(&path, &format!("\n{}", cri(20, "E20")));
    append(&path, &cri(21, "E21"));
    for _ in 0..40 {
        node.poll();
        while let Some((group, bytes)) = node.next() {
            assert!(group.chunks.iter().all(|chunk| chunk.stream == stream));
            let ends: Vec<_> = group
                .chunks
                .iter()
                .map(|chunk| Positions::at(chunk.start + chunk.range.len() as u64))
                .collect();
            let text = String::from_utf8(bytes).unwrap();
            assert!(
                !text.contains(" E6\n"),
                "read again: {:?} {text}",
                group.chunks
            );
            for line in text.lines() {
                let key = (
                    stream,
                    group.chunks[0].start + node.store.lines.len() as u64,
                );
                node.store.lines.insert(key, line.as_bytes().to_vec());
            }
            node.tailer().acked(group.id, &ends);
        }
        node.clock.advance(300);
    }
    let found = |text: &str| {
        let ends = |line: &&Vec<u8>| line.ends_with(text.as_bytes());
        node.store.lines.values().filter(ends).count()
    };
    assert_eq!((found("E20"), found("E21")), (1, 1));
}

#[test]
fn what_is_no_log_file_is_left_alone_and_the_rest_goes_on() {
    let mut node = Node::new();
    node.tailer = None;
    node.options.allowed_roots = vec![node.log("")];
    let outside = node.dir.path().join("secret.txt");
    fs::write(&outside, "E1 root's own\n").unwrap();
    fs::create_dir(node.log("folder.log")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(node.log("socket.log")).unwrap();
    let fifo = node.log("fifo.log");
    // Not by a command: what is forked holds the locks of other tests' journals for a moment.
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    std::os::unix::fs::symlink(&outside, node.log("evil.log")).unwrap();
    std::os::unix::fs::symlink("nowhere", node.log("dangling.log")).unwrap();
    std::os::unix::fs::symlink("loop.log", node.log("loop.log")).unwrap();
    std::os::unix::fs::symlink(".", node.log("circle")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", node.log("zero.log")).unwrap();
    fs::write(node.log("folder.log/inner.log"), cri(1, "E1")).unwrap();
    node.options.include = vec![format!("{}*.log", node.log("").display())];
    node.start();
    fs::write(node.log("good.log"), cri(2, "E2")).unwrap();
    node.settle();
    node.clock.advance(31_000);
    node.settle();
    assert_eq!(node.store.numbers(), [2]);
    let metrics = node.tailer().metrics().clone();
    assert_eq!(metrics.files_followed.get(), 1);
    // The link that leads out, and the one that leads to itself.
    assert_eq!(metrics.unreadable_files.get(), 2);
    // An event outside of a rescan forgets neither.
    fs::write(node.log("more.log"), cri(3, "E3")).unwrap();
    node.settle();
    assert_eq!(metrics.unreadable_files.get(), 2);
    // Replaced by files they are read.
    fs::remove_file(node.log("evil.log")).unwrap();
    fs::remove_file(node.log("loop.log")).unwrap();
    fs::write(node.log("evil.log"), cri(4, "E4")).unwrap();
    node.settle();
    node.clock.advance(31_000);
    node.settle();
    assert_eq!(node.store.numbers(), [2, 3, 4]);
    assert_eq!(metrics.unreadable_files.get(), 0);
}

#[test]
fn a_link_that_is_turned_outside_later_is_not_followed() {
    // Rule 5.
    let mut node = Node::new();
    node.options.allowed_roots = vec![node.log("real")];
    node.options.include = vec![format!("{}/*.log", node.log("links").display())];
    fs::create_dir(node.log("real")).unwrap();
    fs::create_dir(node.log("links")).unwrap();
    fs::write(node.log("real/a.log"), cri(1, "E1")).unwrap();
    let link = node.log("links/a.log");
    std::os::unix::fs::symlink(node.log("real/a.log"), &link).unwrap();
    node.start();
    node.settle();
    let outside = node.dir.path().join("shadow");
    fs::write(&outside, cri(2, "E2")).unwrap();
    // The link, then the file itself.
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    node.settle();
    fs::remove_file(node.log("real/a.log")).unwrap();
    std::os::unix::fs::symlink(&outside, node.log("real/a.log")).unwrap();
    node.clock.advance(31_000);
    node.settle();
    assert_eq!(node.store.numbers(), [1]);
}

#[test]
fn an_event_over_a_rotation_goes_from_both_files_in_one_group() {
    // Rule 3.
    let mut node = Node::new();
    let path = node.log("pod/0.log");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let old = cri(1, "E1") + &cri(2, "E2 a trace") + &cri(3, "c3 at line");
    fs::write(&path, &old).unwrap();
    let (group, bytes) = next_due(&mut node);
    assert_eq!(bytes, old.as_bytes());
    // The aggregator holds the trace open.
    let open_at = cri(1, "E1").len() as u64;
    node.tailer().acked(group.id, &[Positions::at(open_at)]);
    fs::rename(&path, path.with_file_name("0.log.20240102-030405")).unwrap();
    node.poll();
    assert!(node.next().is_none(), "the rest waits for what follows");
    let new = cri(4, "c4 at line") + &cri(5, "E5");
    fs::write(&path, &new).unwrap();
    for attempt in 0..2 {
        let (group, bytes) = next_due(&mut node);
        let [rest, first] = &group.chunks[..] else {
            panic!("two chunks, not {:?}", group.chunks);
        };
        assert_ne!(rest.stream, first.stream);
        assert!(rest.eof, "the old file ends here");
        assert_eq!((rest.start, first.start), (open_at, 0));
        assert_eq!(
            &bytes[rest.range.clone()],
            &old.as_bytes()[open_at as usize..]
        );
        assert_eq!(&bytes[first.range.clone()], new.as_bytes());
        if attempt == 0 {
            // An aggregator that holds the event open over the end: both come again.
            assert!(group.chunks.iter().all(|chunk| chunk.flush < Flush::Hard));
            let positions = [Positions::at(open_at), Positions::at(0)];
            node.tailer().acked(group.id, &positions);
            append(&path, &cri(6, "E6"));
            node.poll();
            let (group, bytes) = next_due(&mut node);
            assert_eq!(group.chunks.len(), 2);
            assert!(bytes.ends_with(cri(6, "E6").as_bytes()));
            let positions = [
                Positions::at(old.len() as u64),
                Positions::at(cri(4, "c4 at line").len() as u64),
            ];
            node.tailer().acked(group.id, &positions);
            break;
        }
    }
    node.settle();
    assert_eq!(node.tailer().lag().bytes, 0);
}
