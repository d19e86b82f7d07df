//! Random actions against a model in memory, with a crash before every single change.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use proptest::prelude::*;

use super::{
    append, body, dir, open,
    sim::{Crash, Op, SimFs},
    wait,
};
use crate::{Buffer, EntryId, Options};

#[derive(Debug, Clone)]
enum Action {
    /// Several appends at once: a group commit.
    Append(Vec<usize>),
    Next,
    Posted(usize),
    Done(usize),
    GiveBack(usize),
    Reopen,
    /// The next operation of this kind but some fails.
    Fail(Op, u32, io::ErrorKind),
    /// The disk holds so many bytes more; then as many as ever.
    Full(usize),
    Room,
}

/// What must be there.
#[derive(Debug, Default)]
struct Model {
    next_tag: u64,
    lens: BTreeMap<u64, usize>,
    /// Acknowledged and not done, by id.
    owed: BTreeMap<EntryId, u64>,
    /// Appended, and refused or never answered.
    unknown: BTreeSet<u64>,
    done: BTreeSet<u64>,
    out: Vec<(EntryId, u64)>,
    posted: BTreeMap<u64, u64>,
    has_faults: bool,
}

fn options() -> Options {
    Options {
        max_bytes: 6000,
        segment_bytes: 900,
        reserve_bytes: 500,
        ..Options::default()
    }
}

/// Plays until the end or the crash.
fn play(fs: &SimFs, actions: &[Action]) -> Model {
    let mut model = Model::default();
    let Ok((mut buffer, _)) = Buffer::open(dir(), options(), fs.clone()) else {
        return model;
    };
    for (clock, action) in (2_000_000..).zip(actions) {
        fs.set_now(clock);
        match action {
            Action::Append(lens) => append_all(&buffer, lens, &mut model),
            Action::Next => {
                if let Some(entry) = buffer.try_next() {
                    let oldest = model
                        .owed
                        .iter()
                        .find(|(id, _)| !model.out.iter().any(|(out_id, _)| out_id == *id));
                    let tag = u64::from_be_bytes(entry.head.as_slice().try_into().unwrap());
                    assert_eq!(oldest, Some((&entry.id, &tag)), "the oldest comes first");
                    model.out.push((entry.id, tag));
                    if let Ok(bytes) = buffer.read(entry.id) {
                        assert_eq!(bytes, body(tag, model.lens[&tag]));
                    }
                }
            }
            Action::Posted(choice) if !model.out.is_empty() => {
                let (id, tag) = model.out[choice % model.out.len()];
                buffer.mark_posted(id, clock);
                if !fs.is_dead() {
                    model.posted.entry(tag).or_insert(clock);
                }
            }
            Action::Done(choice) if !model.out.is_empty() => {
                let (id, tag) = model.out.swap_remove(choice % model.out.len());
                let n_failed = buffer.metrics().failed_marks.get();
                buffer.done(id);
                model.owed.remove(&id);
                if n_failed == buffer.metrics().failed_marks.get() {
                    model.done.insert(tag);
                } else {
                    // Nobody promised to remember it.
                    model.unknown.insert(tag);
                }
                buffer.settle();
            }
            Action::GiveBack(choice) if !model.out.is_empty() => {
                let (id, _) = model.out.swap_remove(choice % model.out.len());
                buffer.give_back(id);
            }
            Action::Reopen => {
                drop(buffer);
                fs.heal();
                let Ok((again, _)) = Buffer::open(dir(), options(), fs.clone()) else {
                    assert!(fs.is_dead(), "a healthy disk opens");
                    return model;
                };
                buffer = again;
                model.out.clear();
                adopt(&buffer, fs, &mut model);
            }
            Action::Fail(op, skip, kind) => {
                model.has_faults = true;
                fs.fail(*op, *skip, *kind);
            }
            Action::Full(more) => fs.set_capacity(Some(fs.total() + more)),
            Action::Room => fs.set_capacity(None),
            Action::Posted(_) | Action::Done(_) | Action::GiveBack(_) => {}
        }
        if fs.is_dead() {
            return model;
        }
    }
    drop(buffer);
    model
}

fn append_all(buffer: &Buffer, lens: &[usize], model: &mut Model) {
    let mut tickets = Vec::new();
    for &len in lens {
        let tag = model.next_tag;
        model.next_tag += 1;
        model.lens.insert(tag, len);
        if let Ok(ticket) = append(buffer, tag, len) {
            model.unknown.insert(tag);
            tickets.push((tag, ticket));
        }
    }
    for (tag, ticket) in tickets {
        if let Ok(id) = wait(ticket) {
            model.unknown.remove(&tag);
            model.owed.insert(id, tag);
        }
    }
    buffer.settle();
}

/// After a reopening, what was never acknowledged may be there: now it counts as owed.
fn adopt(buffer: &Buffer, fs: &SimFs, model: &mut Model) {
    let mut found = BTreeMap::new();
    while let Some(entry) = buffer.try_next() {
        if let Ok(head) = entry.head.as_slice().try_into() {
            found.insert(entry.id, u64::from_be_bytes(head));
        }
    }
    for (&id, tag) in &found {
        buffer.give_back(id);
        if model.unknown.remove(tag) {
            model.owed.insert(id, *tag);
        }
    }
    if !fs.is_dead() {
        assert_eq!(found, model.owed, "after a restart");
    }
}

/// Opens what a crash left and compares.
fn compare(fs: &SimFs, model: &Model, crash: Crash) {
    let (buffer, recovery) = open(fs, &options());
    assert_eq!(recovery.damaged, [], "a crash is no damage");
    if crash == Crash::Kill && !model.has_faults {
        assert!(
            recovery.damaged_marks <= 1,
            "a kill tears the mark under way at most"
        );
    }
    let mut owed = model.owed.iter().peekable();
    let mut seen = BTreeSet::new();
    let mut last = None;
    while let Some(entry) = buffer.try_next() {
        let tag = u64::from_be_bytes(entry.head.as_slice().try_into().unwrap());
        assert!(last < Some(entry.id), "ids rise");
        last = Some(entry.id);
        assert!(seen.insert(tag), "{tag} is there twice");
        let bytes = buffer
            .read(entry.id)
            .expect("an entry is whole or not there");
        assert_eq!(bytes, body(tag, model.lens[&tag]), "body of {tag}");
        if owed
            .next_if(|owed| *owed.0 == entry.id && *owed.1 == tag)
            .is_some()
        {
            if crash == Crash::Power {
                assert!(
                    entry.posted_ms.is_some(),
                    "{tag}: marks may be lost, so it is in doubt"
                );
            } else if let Some(posted) = model.posted.get(&tag) {
                assert!(
                    entry.posted_ms.is_some_and(|ms| ms <= *posted),
                    "{tag} was posted"
                );
            }
        } else if model.done.contains(&tag) {
            assert_eq!(
                crash,
                Crash::Power,
                "{tag} is done, and a kill forgets nothing"
            );
            assert!(entry.posted_ms.is_some(), "{tag} comes back in doubt");
        } else {
            assert!(model.unknown.contains(&tag), "{tag} must not be there");
        }
    }
    assert_eq!(owed.next(), None, "an acknowledged entry is lost");
    assert!(buffer.stats().disk_bytes <= options().max_bytes);
    assert_eq!(
        buffer.stats().disk_bytes,
        fs.total() as u64,
        "books agree with the disk"
    );
}

fn action(with_faults: bool) -> impl Strategy<Value = Action> {
    let lens = prop::collection::vec(prop_oneof![4 => 0..200usize, 1 => 200..1200usize], 1..4);
    let op = prop_oneof![
        Just(Op::Create),
        Just(Op::Write),
        Just(Op::Write),
        Just(Op::Sync),
        Just(Op::Sync),
        Just(Op::SetLen),
        Just(Op::Remove),
        Just(Op::SyncDir),
    ];
    let kind = prop_oneof![Just(io::ErrorKind::Other), Just(io::ErrorKind::StorageFull)];
    let weight = u32::from(with_faults);
    prop_oneof![
        6 => lens.prop_map(Action::Append),
        5 => Just(Action::Next),
        1 => any::<usize>().prop_map(Action::Posted),
        5 => any::<usize>().prop_map(Action::Done),
        1 => any::<usize>().prop_map(Action::GiveBack),
        1 => Just(Action::Reopen),
        3 * weight => (op, 0..3u32, kind).prop_map(|(op, skip, kind)| Action::Fail(op, skip, kind)),
        weight => (0..600usize).prop_map(Action::Full),
        weight => Just(Action::Room),
    ]
}

fn choices(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |n| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    }
}

/// Every crash point of one play.
fn check_all_crashes(actions: &[Action], seed: u64) {
    let fs = SimFs::new();
    let model = play(&fs, actions);
    assert!(
        fs.largest() as u64 <= options().max_bytes,
        "{} bytes on disk",
        fs.largest()
    );
    compare(&fs.after(Crash::Kill, |_| 0), &model, Crash::Kill);
    for n in 0..fs.n_ops() {
        let fs = SimFs::new();
        fs.crash_at(n);
        let model = play(&fs, actions);
        compare(&fs.after(Crash::Kill, |_| 0), &model, Crash::Kill);
        compare(
            &fs.after(Crash::Power, choices(seed ^ n)),
            &model,
            Crash::Power,
        );
    }
}

/// Each case is some hundred crashes, so 48 do; `PROPTEST_CASES=5000 cargo test -p buffer` for more.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(48),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Acknowledged is there, done stays done, never more than `max_bytes`.
    #[test]
    fn crash_before_every_change(
        actions in prop::collection::vec(action(false), 1..25), seed: u64,
    ) {
        check_all_crashes(&actions, seed);
    }

    /// The same when disks fail: DELIVERY rule 18.
    #[test]
    fn faults_and_crash_before_every_change(
        actions in prop::collection::vec(action(true), 1..25), seed: u64,
    ) {
        check_all_crashes(&actions, seed);
    }
}
