//! A session against a small receiver that decodes with `wire` and misbehaves on request. Every
//! byte is accounted for by stream and offset.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where its expectation breaks"
)]

mod harness;

use harness::{Behave, Harness, Outcome, SeenBatch};
use std::time::Duration;
use wire::Suspect;

fn run(test: impl AsyncFnOnce(Harness)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let harness = Harness::new().await;
        test(harness).await;
    });
}

/// The whole path under every trouble the receiver can make: what is stored is what was written,
/// each byte once, and bytes that come a second time come in doubt (DELIVERY rules 10 and 11).
#[test]
fn every_byte_arrives_once_through_all_kinds_of_trouble() {
    for seed in 0..4 {
        run(async |mut h: Harness| {
            let mut random = fastrand::Rng::with_seed(seed);
            for file in 0..10 {
                for line in 0..300 {
                    let len = random.usize(0..200);
                    h.append(
                        &format!("{file}.log"),
                        &format!("{file} {line} {}\n", "x".repeat(len)),
                    );
                }
            }
            let troubles: Vec<Behave> = (0..25)
                .map(|_| random.choice(Behave::ALL).unwrap())
                .collect();
            h.behave(&troubles);
            h.run_until(|state| state.stored_bytes() > 100_000).await;
            for file in 0..10 {
                h.append(&format!("{file}.log"), "one more\n");
            }
            h.run_until_all_is_stored().await;
        });
    }
}

#[test]
fn a_line_written_while_idle_arrives_within_a_second() {
    run(async |mut h: Harness| {
        h.append("a.log", "first\n");
        h.run_until_all_is_stored().await;
        let begin = tokio::time::Instant::now();
        h.append("a.log", "second\n");
        h.run_until_all_is_stored().await;
        assert!(
            begin.elapsed() < Duration::from_secs(1),
            "{:?}",
            begin.elapsed()
        );
    });
}

/// DELIVERY rule 13.
#[test]
fn metadata_goes_once_and_again_when_asked_for() {
    run(async |mut h: Harness| {
        h.append("a.log", "1\n");
        h.run_until_all_is_stored().await;
        for line in 2..6 {
            h.append("a.log", &format!("{line}\n"));
            h.run_until_all_is_stored().await;
        }
        let sent: usize = h.batches().iter().map(|batch| batch.metadata.len()).sum();
        assert_eq!(sent, 1, "one file has one metadata object");
        let json = h.batches()[0].metadata[0].1.clone();
        let path = h.path("a.log");
        assert_eq!(
            String::from_utf8(json).unwrap(),
            format!(r#"{{"host.name":"node-1","log.file.path":"{path}"}}"#)
        );

        h.behave(&[Behave::NeedMetadata]);
        h.append("a.log", "after a restart of the aggregator\n");
        h.run_until_all_is_stored().await;
        let batches = h.batches();
        let last = batches.last().unwrap();
        assert_eq!(last.metadata.len(), 1, "it was asked for");
        assert!(
            last.chunks.iter().all(|chunk| chunk.doubt_ms.is_none()),
            "nothing was stored"
        );
    });
}

/// DELIVERY rule 11: doubt arises from unknown outcomes only, and the bounds stay.
#[test]
fn a_try_is_in_doubt_only_after_an_unknown_outcome() {
    for (trouble, in_doubt) in [
        (Behave::Refuse(503), false),
        (Behave::Refuse(429), false),
        (Behave::Refuse(401), false),
        (Behave::NeedMetadata, false),
        (Behave::Refuse(504), true),
        (Behave::CloseBeforeReading, true),
        (Behave::CloseAfterStoring, true),
        (Behave::Hang, true),
        (Behave::ChunkBusy, true),
        (Behave::Garbage, true),
    ] {
        run(async |mut h: Harness| {
            // The connection is there already: only the try itself goes wrong.
            h.append("warm.log", "up\n");
            h.run_until_all_is_stored().await;
            h.behave(&[trouble]);
            h.append("a.log", "one\ntwo\n");
            h.run_until(|state| state.n_tries() == 3).await;
            h.run_until_all_is_stored().await;
            let tries = h.tries_of("one\n");
            let [.., before, last] = tries.as_slice() else {
                assert_eq!(trouble, Behave::CloseBeforeReading, "{tries:?}");
                assert!(tries[0].doubt_ms.is_some());
                return;
            };
            assert_eq!(last.doubt_ms.is_some(), in_doubt, "{trouble:?}");
            assert_eq!(
                (last.start, &last.bytes),
                (before.start, &before.bytes),
                "{trouble:?}"
            );
        });
    }
}

/// DELIVERY rule 11: without a connection nothing was sent, and nothing is in doubt.
#[test]
fn an_aggregator_that_is_not_there_leaves_no_doubt() {
    run(async |mut h: Harness| {
        h.stop_listening().await;
        h.append("a.log", "one\n");
        h.run_for_tries(3).await;
        h.listen_again().await;
        h.run_until_all_is_stored().await;
        assert!(
            h.tries_of("one\n")
                .iter()
                .all(|chunk| chunk.doubt_ms.is_none())
        );
    });
}

/// DELIVERY rule 12: a chunk that kills aggregators goes alone, then as a suspect.
#[test]
fn a_poison_chunk_goes_alone_and_then_as_a_suspect() {
    run(async |mut h: Harness| {
        h.close_on("poison");
        h.append("bad.log", "poison\n");
        for file in 0..5 {
            h.append(&format!("good-{file}.log"), "fine\n");
        }
        h.run_until_all_is_stored().await;
        let tries = h.tries_of("poison");
        let (stored, lost) = tries.split_last().unwrap();
        assert_ne!(stored.suspect, Suspect::No);
        assert!(lost.len() == 3, "three lost connections: {tries:?}");
        assert_eq!(lost[2].n_chunks_of_batch, 1, "alone after two");
        assert_eq!(stored.n_chunks_of_batch, 1);
        assert!(stored.doubt_ms.is_some());
    });
}

#[test]
fn another_aggregator_takes_over_while_one_is_busy_or_broken() {
    run(async |mut h: Harness| {
        let broken = h.add_receiver().await;
        h.behave_always(broken, Behave::Refuse(503));
        for file in 0..20 {
            h.append(&format!("{file}.log"), "line\n");
        }
        h.run_until_all_is_stored().await;
        for round in 0..5 {
            h.append("0.log", &format!("{round}\n"));
            h.run_until_all_is_stored().await;
        }
        h.behave_always(broken, Behave::CloseBeforeReading);
        h.append("1.log", "more\n");
        h.run_until_all_is_stored().await;
    });
}

/// DELIVERY rule 10: a late answer to an abandoned try changes nothing. DELIVERY rule 11: bounds
/// and doubt outlive a restart.
#[test]
fn a_batch_without_answer_comes_again_after_a_restart_with_the_same_bounds_in_doubt() {
    run(async |mut h: Harness| {
        h.append("a.log", "one\ntwo\n");
        h.behave(&[Behave::HangAfterStoring]);
        h.run_until(|state| state.n_tries() == 1).await;
        h.append("a.log", "three\n");
        let drained = h.restart(Duration::from_millis(50)).await;
        assert_eq!((drained.n_batches, drained.n_unanswered), (1, 1));
        h.run_until_all_is_stored().await;
        let tries = h.tries_of("one\n");
        assert_eq!(tries.len(), 2);
        assert_eq!(tries[0].bytes, tries[1].bytes);
        assert!(tries[0].doubt_ms.is_none() && tries[1].doubt_ms.is_some());
        let later = h.tries_of("three\n");
        assert!(
            later.iter().all(|chunk| chunk.doubt_ms.is_none()),
            "never sent before"
        );
    });
}

/// Rule 8: what an aggregator goes by is sealed with a chunk, and goes along to whoever gets it
/// after a try with unknown outcome, over a restart too.
#[test]
fn a_chunk_in_doubt_keeps_the_settings_of_its_first_try() {
    run(async |mut h: Harness| {
        h.go_by(0, b"first");
        h.append("a.log", "zero\n");
        h.run_until_all_is_stored().await;
        let zero: Vec<_> = h.tries_of("zero\n").iter().map(|it| it.settings).collect();
        let [first, second] = [&b"first"[..], b"second"].map(|it| Some(wire::settings_id(it)));
        assert_eq!(zero, [Some(0), first], "it asks once");
        let n_tries = h.outcomes().len();
        h.behave(&[Behave::HangAfterStoring]);
        h.append("a.log", "one\n");
        h.run_until(|state| state.n_tries() == n_tries + 1).await;
        h.restart(Duration::from_millis(50)).await;
        h.go_by(0, b"second");
        h.run_until_all_is_stored().await;
        h.append("a.log", "two\n");
        h.run_until_all_is_stored().await;
        let one = h.tries_of("one\n");
        assert!(
            one.len() >= 2 && one.iter().all(|it| it.settings == first),
            "{one:?}"
        );
        let two = h.tries_of("two\n");
        assert_eq!(two.last().unwrap().settings, second);
        let brought = |batch: &SeenBatch| batch.settings.contains(&first.unwrap_or_default());
        assert!(
            h.batches().iter().any(brought),
            "they go along when asked for"
        );
    });
}

#[test]
fn nothing_comes_again_after_a_clean_restart() {
    run(async |mut h: Harness| {
        h.append("a.log", "one\n");
        h.run_until_all_is_stored().await;
        let drained = h.restart(Duration::from_secs(5)).await;
        assert_eq!(drained.n_unanswered, 0);
        h.append("a.log", "two\n");
        h.run_until_all_is_stored().await;
        assert_eq!(h.tries_of("one\n").len(), 1);
    });
}

#[test]
fn batches_shrink_when_they_are_too_large() {
    run(async |mut h: Harness| {
        h.refuse_over(100_000);
        for file in 0..8 {
            h.append(&format!("{file}.log"), &"0123456789abcde\n".repeat(4000));
        }
        h.run_until_all_is_stored().await;
        assert!(h.outcomes().contains(&Outcome::TooLarge));
    });
}

#[test]
fn gzip_and_a_token_go_along_when_configured() {
    run(async |mut h: Harness| {
        let token = h.path("token");
        std::fs::write(&token, "secret\n").unwrap();
        h.configure(|settings| {
            settings.compression = agent::Compression::Gzip(1);
            settings.token_file = Some(token.into());
        })
        .await;
        h.append("a.log", "one\n");
        h.run_until_all_is_stored().await;
        let batch = h.batches().pop().unwrap();
        assert_eq!(batch.encoding, "gzip");
        assert_eq!(batch.authorization.as_deref(), Some("Bearer secret"));
    });
}
