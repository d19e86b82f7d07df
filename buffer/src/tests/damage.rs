//! Any byte flipped and any truncation of any file: at most the entry that is hit is lost, and
//! recovery says so.

use std::collections::BTreeMap;

use super::{append_wait, open, sim::SimFs, small, take_all};
use crate::{Buffer, Error, Options, Recovery, format::FILE_HEADER};

const N_ENTRIES: u64 = 8;
/// Body of the delivered entry in the first segment: file header, entry of 60, header and head.
const DELIVERED: std::ops::Range<usize> = 48 + (40 + 8 + 60) + (40 + 8)..48 + 108 + 48 + 61;

fn options() -> Options {
    Options {
        segment_bytes: 500,
        ..small()
    }
}

/// Two sealed segments and one that was open at a kill; the second entry is delivered, the third
/// one posted.
fn sample() -> BTreeMap<String, Vec<u8>> {
    let fs = SimFs::new();
    let (buffer, _) = open(&fs, &options());
    for tag in 0..N_ENTRIES {
        append_wait(&buffer, tag, 60 + tag as usize).unwrap();
    }
    let ids: Vec<_> = std::iter::from_fn(|| buffer.try_next())
        .map(|entry| entry.id)
        .collect();
    buffer.mark_posted(ids[1], 7);
    buffer.done(ids[1]);
    buffer.mark_posted(ids[2], 8);
    buffer.settle();
    let files = fs.files();
    assert_eq!(
        files
            .keys()
            .filter(|name| name.ends_with(".segment"))
            .count(),
        3,
        "{files:?}"
    );
    files
}

fn intact() -> Vec<u64> {
    (0..N_ENTRIES).filter(|&tag| tag != 1).collect()
}

struct Outcome {
    recovery: Recovery,
    tags: Vec<u64>,
    damaged: u64,
    buffer: Buffer,
}

fn recover(files: &BTreeMap<String, Vec<u8>>) -> Outcome {
    let fs = SimFs::with_files(files);
    let (buffer, recovery) = open(&fs, &options());
    let tags = take_all(&buffer);
    buffer.settle();
    let stats = buffer.stats();
    assert_eq!(
        stats.disk_bytes,
        fs.total() as u64,
        "books agree with the disk"
    );
    // It goes on working, and a second opening finds what the first one left.
    append_wait(&buffer, 99, 10).unwrap();
    let damaged = stats.damaged;
    Outcome {
        recovery,
        tags,
        damaged,
        buffer,
    }
}

#[test]
fn undamaged_is_read_in_full() {
    let outcome = recover(&sample());
    assert_eq!(outcome.tags, intact());
    assert_eq!(outcome.recovery.damaged, []);
    assert_eq!(
        (outcome.recovery.torn_bytes, outcome.recovery.damaged_marks),
        (0, 0)
    );
    assert_eq!(outcome.buffer.stats().entries, N_ENTRIES);
}

#[test]
fn any_flipped_byte_costs_one_entry_at_most_and_is_named() {
    let files = sample();
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            let mut files = files.clone();
            files.get_mut(name).unwrap()[at] ^= 0x10;
            let Outcome {
                recovery,
                tags,
                damaged,
                ..
            } = recover(&files);
            let context = format!("byte {at} of {name}: {recovery:?}, {tags:?}");
            if name.ends_with(".segment") {
                let missing = intact().iter().filter(|tag| !tags.contains(tag)).count();
                assert!(missing <= 1, "{context}");
                let is_named = damaged as usize >= missing || recovery.torn_bytes > 0;
                assert!(is_named, "{context}");
                // Nobody looks at a delivered body again, but for `inspect::verify`.
                let is_delivered_body = name.starts_with("0000000001") && DELIVERED.contains(&at);
                assert!(
                    is_delivered_body
                        || damaged > 0
                        || recovery.torn_bytes > 0
                        || !recovery.damaged.is_empty(),
                    "not noticed: {context}",
                );
                assert!(tags.iter().all(|tag| intact().contains(tag)), "{context}");
            } else {
                // Marks: nothing is lost; at most the delivered entry comes again.
                let mut without = tags.clone();
                without.retain(|&tag| tag != 1);
                assert_eq!(without, intact(), "{context}");
                let is_zeroed_place = at as u64 >= FILE_HEADER;
                assert!(!is_zeroed_place || recovery.damaged_marks == 1, "{context}");
            }
            assert!(tags.is_sorted(), "{context}");
        }
    }
}

#[test]
fn any_truncation_costs_the_tail_only_and_is_named() {
    let files = sample();
    let whole = intact();
    for (name, bytes) in &files {
        for len in 0..bytes.len() {
            let mut files = files.clone();
            files.get_mut(name).unwrap().truncate(len);
            let Outcome { recovery, tags, .. } = recover(&files);
            let context = format!("{name} cut to {len}: {recovery:?}, {tags:?}");
            if name.ends_with(".segment") {
                // One run of entries is missing: the end of this segment.
                let missing: Vec<_> = whole.iter().filter(|tag| !tags.contains(tag)).collect();
                assert!(missing.len() <= 4, "{context}");
                let is_named = recovery.torn_entries > 0 || !recovery.damaged.is_empty();
                assert!(missing.is_empty() || is_named, "{context}");
                assert!(
                    missing.windows(2).all(|pair| *pair[1] - *pair[0] <= 2),
                    "{context}"
                );
                assert!(tags.iter().all(|tag| whole.contains(tag)), "{context}");
            } else {
                let mut without = tags.clone();
                without.retain(|&tag| tag != 1);
                assert_eq!(without, whole, "{context}");
                let was_hit = recovery.damaged_marks > 0;
                assert!(was_hit, "{context}");
            }
        }
    }
}

#[test]
fn a_damaged_run_in_the_middle_leaves_what_is_behind() {
    let files = sample();
    let name = files
        .keys()
        .find(|name| name.ends_with(".segment"))
        .unwrap()
        .clone();
    let mut files = files.clone();
    let bytes = files.get_mut(&name).unwrap();
    // From inside entry 0 into entry 1: both are gone, entry 2 is found by its magic.
    bytes[60..250].fill(0xF1);
    let outcome = recover(&files);
    assert_eq!(outcome.recovery.damaged.len(), 1);
    assert_eq!(
        outcome.recovery.damaged[0].entries,
        1..3,
        "{:?}",
        outcome.recovery
    );
    assert_eq!(outcome.tags, (2..N_ENTRIES).collect::<Vec<_>>());
}

#[test]
fn unknown_version_is_refused_with_advice_and_nothing_is_touched() {
    for suffix in [".segment", ".marks"] {
        let mut files = sample();
        let name = files
            .keys()
            .find(|name| name.ends_with(suffix))
            .unwrap()
            .clone();
        let bytes = files.get_mut(&name).unwrap();
        bytes[8] = 9;
        let crc = crc32fast::hash(&bytes[..44]);
        bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        let fs = SimFs::with_files(&files);
        let error = Buffer::open(super::dir(), options(), fs.clone()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Version {
                    found: 9,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(&name) && text.contains("start the version"),
            "{text}"
        );
        assert_eq!(fs.files(), files);
    }
}
