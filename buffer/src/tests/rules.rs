//! One test for each thing the buffer promises.

use std::{io, time::Duration};

use bytes::Bytes;

use super::{
    append, append_wait, open,
    sim::{Op, SimFs},
    small, take_all, wait,
};
use crate::{AppendError, Buffer, Disk, Error, Options};

#[test]
fn entries_come_back_in_order_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 200_000,
        ..Options::default()
    };
    let (buffer, recovery) = Buffer::open(dir.path(), options.clone(), Disk).unwrap();
    assert_eq!(recovery.entries, 0);
    let tickets: Vec<_> = (0..50)
        .map(|tag| append(&buffer, tag, 20_000).unwrap())
        .collect();
    for ticket in tickets {
        wait(ticket).unwrap();
    }
    let locked = Buffer::open(dir.path(), options.clone(), Disk).unwrap_err();
    assert!(matches!(locked, Error::Locked { .. }), "{locked}");
    let first = wait(buffer.next()).unwrap();
    buffer.mark_posted(first.id, 77);
    let second = wait(buffer.next()).unwrap();
    buffer.done(second.id);
    drop(buffer);

    let (buffer, recovery) = Buffer::open(dir.path(), options, Disk).unwrap();
    assert_eq!((recovery.entries, recovery.bytes), (49, 49 * 20_008));
    assert_eq!((recovery.torn_bytes, recovery.damaged.len()), (0, 0));
    let first = wait(buffer.next()).unwrap();
    assert_eq!(first.posted_ms, Some(77), "survives in the page cache");
    buffer.give_back(first.id);
    assert_eq!(
        take_all(&buffer),
        (0..50).filter(|&tag| tag != 1).collect::<Vec<_>>()
    );
    let on_disk: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(buffer.stats().disk_bytes, on_disk);
}

/// DELIVERY rule 16: room is promised before anything is written, and the promise holds.
#[test]
fn reserved_room_is_there_and_is_given_back() {
    let fs = SimFs::new();
    let options = Options {
        max_bytes: 10_000,
        reserve_bytes: 2_000,
        ..small()
    };
    let (buffer, _) = open(&fs, &options);
    let mut first = buffer.reserve(6_000).unwrap();
    let full = buffer.reserve(2_000).unwrap_err();
    assert_eq!(full.needed, 2_000 + Buffer::FRAMING);
    let spare = buffer
        .reserve_spare(2_000)
        .expect("the reserve is there for it");
    drop(spare);
    let second = first.split(1_000).unwrap();
    assert_eq!((first.bytes(), second.bytes()), (5_000, 1_000));
    first.merge(second);
    assert_eq!(first.bytes(), 6_000);
    first.shrink(5_000);
    assert_eq!(buffer.stats().reserved_bytes, 5_000 + Buffer::FRAMING);
    wait(buffer.append(first, vec![0; 8], vec![Bytes::from(vec![1; 4_000])])).unwrap();
    assert_eq!(
        buffer.stats().reserved_bytes,
        0,
        "what was not used is back"
    );
    assert_eq!(buffer.stats().disk_bytes, fs.total() as u64);
}

#[test]
fn room_of_delivered_entries_comes_back() {
    let fs = SimFs::new();
    let options = Options {
        max_bytes: 10_000,
        reserve_bytes: 0,
        segment_bytes: 8_000,
        ..small()
    };
    let (buffer, _) = open(&fs, &options);
    for round in 0..20 {
        append_wait(&buffer, round, 3_000).unwrap();
        let entry = buffer.try_next().unwrap();
        buffer.done(entry.id);
        // A refusal makes the writer give up the open segment when all of it is delivered.
        if buffer.reserve(4_000).is_err() {
            buffer.settle();
            drop(buffer.reserve(4_000).expect("delivered entries make room"));
        }
    }
    assert!(fs.largest() as u64 <= options.max_bytes);
}

#[test]
fn too_many_entries_are_refused() {
    let (buffer, _) = open(
        &SimFs::new(),
        &Options {
            max_entries: 2,
            ..small()
        },
    );
    append_wait(&buffer, 0, 1).unwrap();
    let held = buffer.reserve(1).unwrap();
    assert!(buffer.reserve(1).is_err());
    drop(held);
    append_wait(&buffer, 1, 1).unwrap();
    assert!(buffer.reserve_spare(1).is_err());
}

#[test]
fn appends_beyond_their_reservation_are_refused() {
    let (buffer, _) = open(&SimFs::new(), &small());
    let reservation = buffer.reserve(10).unwrap();
    let answer = wait(buffer.append(reservation, vec![0; 6], vec![Bytes::from_static(b"12345")]));
    assert!(
        matches!(
            answer,
            Err(AppendError::Reservation {
                needed: 11,
                reserved: 10
            })
        ),
        "{answer:?}"
    );
    assert_eq!(buffer.stats().reserved_bytes, 0);
}

/// DELIVERY rule 18: nothing more is acknowledged from a segment whose fsync failed.
#[test]
fn failed_fsync_poisons_its_segment_and_the_entries_go_to_a_new_one() {
    for op in [Op::Write, Op::Sync] {
        let fs = SimFs::new();
        let (buffer, _) = open(&fs, &small());
        append_wait(&buffer, 0, 100).unwrap();
        let before = fs.files();
        // Of the two writes of a group the second one is that of the entries.
        fs.fail(op, u32::from(op == Op::Write), io::ErrorKind::Other);
        append_wait(&buffer, 1, 100).expect("acknowledged from the new segment");
        append_wait(&buffer, 2, 100).unwrap();
        assert_eq!(buffer.stats().poisoned, 1);
        let files = fs.files();
        assert_eq!(
            files["0000000001.segment"], before["0000000001.segment"],
            "cut, not extended"
        );
        assert!(files.contains_key("0000000002.segment"));
        assert_eq!(take_all(&buffer), [0, 1, 2]);
        // A power cut now: what was acknowledged does not depend on the poisoned segment's tail.
        for choice in 0..4 {
            let fs = fs.after(super::sim::Crash::Power, |n| choice % n);
            assert_eq!(take_all(&open(&fs, &small()).0), [0, 1, 2]);
        }
    }
}

#[test]
fn residue_of_a_poisoned_segment_does_not_come_to_life() {
    let fs = SimFs::new();
    let (buffer, _) = open(&fs, &small());
    append_wait(&buffer, 0, 100).unwrap();
    let zero = buffer.try_next().unwrap();
    fs.fail(Op::Sync, 0, io::ErrorKind::Other);
    fs.fail(Op::SetLen, 0, io::ErrorKind::Other);
    append_wait(&buffer, 1, 100).unwrap();
    let one = buffer.try_next().unwrap();
    buffer.done(one.id);
    // Fills up the second segment, so that it would go.
    append_wait(&buffer, 2, 3_900).unwrap();
    buffer.settle();
    assert!(
        fs.files().contains_key("0000000002.segment"),
        "kept for the sake of the first"
    );
    buffer.give_back(zero.id);
    drop(buffer);
    let (buffer, _) = open(&fs, &small());
    assert_eq!(take_all(&buffer), [0, 2]);
}

#[test]
fn a_dead_disk_fails_tickets_with_a_typed_error_and_recovers() {
    let fs = SimFs::new();
    let (buffer, _) = open(&fs, &small());
    append_wait(&buffer, 0, 10).unwrap();
    fs.fail(Op::Sync, 0, io::ErrorKind::Other);
    fs.fail(Op::Create, 0, io::ErrorKind::Other);
    let answer = append_wait(&buffer, 1, 10);
    assert!(matches!(answer, Err(AppendError::Io(_))), "{answer:?}");
    append_wait(&buffer, 2, 10).expect("healed");
    assert_eq!(take_all(&buffer), [0, 2]);
}

#[test]
fn full_disk_fails_tickets_and_goes_on_when_room_is_back() {
    let fs = SimFs::new();
    let (buffer, _) = open(&fs, &small());
    append_wait(&buffer, 0, 10).unwrap();
    for room in [0, 20, 50, 100, 140] {
        fs.set_capacity(Some(fs.total() + room));
        let answer = append_wait(&buffer, 1, 100);
        assert!(
            matches!(answer, Err(AppendError::Full)),
            "{room}: {answer:?}"
        );
        // Delivered all the same: marks have their place already.
        let entry = buffer.try_next().unwrap();
        buffer.mark_posted(entry.id, 5);
        buffer.give_back(entry.id);
    }
    assert_eq!(buffer.metrics().failed_marks.get(), 0);
    fs.set_capacity(None);
    append_wait(&buffer, 2, 100).unwrap();
    assert_eq!(take_all(&buffer), [0, 2]);
    assert_eq!(buffer.stats().poisoned, 0, "a full disk is no broken one");
    assert_eq!(buffer.stats().disk_bytes, fs.total() as u64);
}

#[test]
fn one_fsync_commits_what_waits() {
    let (buffer, _) = open(
        &SimFs::new(),
        &Options {
            commit_delay: Duration::from_millis(50),
            segment_bytes: 1 << 20,
            ..small()
        },
    );
    let tickets: Vec<_> = (0..100)
        .map(|tag| append(&buffer, tag, 100).unwrap())
        .collect();
    let ids: Vec<_> = tickets
        .into_iter()
        .map(|ticket| wait(ticket).unwrap().0)
        .collect();
    assert_eq!(
        ids,
        (1..=100).collect::<Vec<_>>(),
        "order of appends is order of entries"
    );
    assert!(
        buffer.metrics().fsyncs.get() <= 5,
        "{:?}",
        buffer.metrics().fsyncs
    );
}

#[test]
fn consumers_share_and_wake() {
    let (buffer, _) = open(&SimFs::new(), &small());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let total = runtime.block_on(async {
        let consume = |buffer: Buffer| async move {
            let mut n_taken = 0;
            while let Some(entry) = buffer.next().await {
                buffer.done(entry.id);
                n_taken += 1;
            }
            n_taken
        };
        let consumers = [(); 3].map(|()| tokio::spawn(consume(buffer.clone())));
        for tag in 0..30 {
            append(&buffer, tag, 50).unwrap().await.unwrap();
        }
        let drained = tokio::time::timeout(Duration::from_secs(20), buffer.drained());
        drained.await.expect("all are taken");
        buffer.close();
        let mut total = 0;
        for consumer in consumers {
            total += consumer.await.unwrap();
        }
        total
    });
    assert_eq!(total, 30);
    let refused = append_wait(&buffer, 31, 1);
    assert!(matches!(refused, Err(AppendError::Closed)), "{refused:?}");
}

#[test]
fn given_back_comes_first() {
    let (buffer, _) = open(&SimFs::new(), &small());
    for tag in 0..3 {
        append_wait(&buffer, tag, 5).unwrap();
    }
    let zero = buffer.try_next().unwrap();
    let one = buffer.try_next().unwrap();
    buffer.give_back(one.id);
    buffer.give_back(zero.id);
    buffer.give_back(zero.id);
    assert_eq!(take_all(&buffer), [0, 1, 2]);
}

#[test]
fn metrics_are_exposed() {
    let fs = SimFs::new();
    let (buffer, _) = open(&fs, &small());
    append_wait(&buffer, 0, 100).unwrap();
    fs.set_now(1_000_000 + 5_000);
    let mut registry = prometheus_client::registry::Registry::default();
    buffer.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "appended_entries_total 1".to_owned(),
        "appended_bytes_total 108".to_owned(),
        "fsync_seconds_count 1".to_owned(),
        "oldest_entry_age_seconds 5".to_owned(),
        format!("disk_bytes {}", fs.total()),
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn a_body_in_memory_is_not_read_back() {
    let fs = SimFs::new();
    let options = Options {
        keep_bytes: 100,
        ..small()
    };
    let (buffer, _) = open(&fs, &options);
    let read = |id| buffer.read(id).map(|bytes| bytes.len());
    let take = || buffer.try_next().expect("one waits").id;
    let fails_once = || fs.fail(Op::Read, 0, io::ErrorKind::Other);
    append_wait(&buffer, 0, 60).unwrap();
    append_wait(&buffer, 1, 61).unwrap();
    let (first, second) = (take(), take());
    fails_once();
    assert_eq!(read(first).unwrap(), 60);
    // There was no room for it.
    assert!(read(second).is_err());
    assert_eq!(read(second).unwrap(), 61);
    // It was taken out of memory.
    fails_once();
    assert!(read(first).is_err());
    assert_eq!(read(first).unwrap(), 60);
    // What ends unread makes room too.
    append_wait(&buffer, 2, 62).unwrap();
    buffer.done(take());
    append_wait(&buffer, 3, 63).unwrap();
    let fourth = take();
    fails_once();
    assert_eq!(read(fourth).unwrap(), 63);
    fs.heal();
    assert_eq!(take_all(&buffer), Vec::<u64>::new());
}
