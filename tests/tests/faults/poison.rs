//! Documents that a store cannot take as they are: indexed in some form or dead-lettered with the
//! reason, and their neighbours unharmed.

use bench::container_log::Iostream;
use tests::verdict::text;

use super::{LIMIT, scene, start};

fn poisons() -> Vec<(&'static str, String)> {
    let deep = format!("{}1{}", r#"{"poison":"#.repeat(1_000), "}".repeat(1_000));
    let fields: Vec<String> = (0..10_000).map(|n| format!(r#""p{n}":{n}"#)).collect();
    vec![
        ("deep", deep),
        ("wide", format!("{{{}}}", fields.join(","))),
        ("object", r#"{"msg":"object","shape":{"a":1}}"#.into()),
        ("string", r#"{"msg":"string","shape":"a"}"#.into()),
        ("array", r#"{"msg":"array","shape":[1,{"b":2}]}"#.into()),
        (
            "date",
            r#"{"msg":"date","@timestamp":"9999999-01-01T00:00:00Z","when":"1-1-1"}"#.into(),
        ),
        (
            "dots",
            r#"{"msg":"dots","a.b.c":1,"a":{"b":"x"},"..":2,"x.":3,".y":4}"#.into(),
        ),
        ("empty", r#"{"msg":"empty","":1,"e":{"":{"":2}}}"#.into()),
        (
            "under",
            r#"{"msg":"under","_id":"x","_source":{"a":1},"_index":3,"_routing":4}"#.into(),
        ),
        (
            "immense",
            format!(r#"{{"msg":"immense","term":"{}"}}"#, "t".repeat(40_000)),
        ),
        (
            "long key",
            format!(r#"{{"msg":"long key","{}":1}}"#, "k".repeat(2_000)),
        ),
        (
            "huge",
            format!(r#"{{"msg":"huge","blob":"{}"}}"#, "blob ".repeat(6 << 20)),
        ),
    ]
}

#[test]
fn poison_documents_are_kept_in_some_form_and_neighbours_are_unharmed() {
    let mut scene = scene("poison");
    let setup = scene.aggregator_setup();
    let aggregator =
        tests::aggregator::Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let mut container = scene.kubelet.container("shop", "poison-0", "c").unwrap();
    let log = &mut container.log;
    let poisons = poisons();
    for (name, line) in &poisons {
        log.line(Iostream::Stdout, format!("before {name}").as_bytes())
            .unwrap();
        log.piece(Iostream::Stdout, line.as_bytes(), true).unwrap();
        log.line(Iostream::Stdout, format!("behind {name}").as_bytes())
            .unwrap();
    }
    let index = scene.data_stream();
    let query = "message:before OR message:behind";
    let n_neighbours = 2 * poisons.len() as u64;
    scene
        .documents
        .wait_count(&index, query, n_neighbours, LIMIT)
        .unwrap();
    let letters = "logs-tailrace.dead_letter-*";
    // Bytes of the file: each is in a document or in a letter of this pod.
    let size = log.size();
    let accounted = tests::wait::until_ok(LIMIT, "every byte of the file", || {
        let hits = scene.documents.all(&index)?;
        let of_letters = scene.documents.all(letters)?;
        let mut spans: Vec<(u64, u64)> = hits.iter().map(|hit| span(&hit["_source"])).collect();
        spans.extend(
            of_letters
                .iter()
                .filter(|hit| hit.to_string().contains("poison-0"))
                .map(|hit| span(&hit["_source"])),
        );
        spans.sort_unstable();
        spans.dedup();
        let mut end = 0;
        for (offset, length) in &spans {
            anyhow::ensure!(*offset <= end, "gap at {end} to {offset} of {size}");
            end = end.max(offset + length);
        }
        anyhow::ensure!(end == size, "{end} of {size} bytes");
        Ok(hits)
    });
    let hits = accounted.unwrap();
    for (name, _) in &poisons {
        for side in ["before", "behind"] {
            let said = format!("{side} {name}");
            let found = hits
                .iter()
                .filter(|hit| text(&hit["_source"], "message") == said)
                .count();
            assert_eq!(found, 1, "`{said}`");
        }
    }
    let metrics = aggregator.metrics().unwrap();
    assert_eq!(metrics.count("worker_panics_total", &[]), 0);
}

/// Offset and length of a document; a letter holds them as the document had them.
fn span(document: &serde_json::Value) -> (u64, u64) {
    use tests::verdict::number;
    let of = |document: &serde_json::Value| {
        Some((
            number(document, "log.offset")?,
            number(document, "tailrace.length")?,
        ))
    };
    of(document)
        .or_else(|| {
            let original = document.to_string();
            let number_behind = |key: &str| {
                let rest = original.split(key).nth(1)?;
                let digits: String = rest
                    .chars()
                    .skip_while(|it| !it.is_ascii_digit())
                    .take_while(char::is_ascii_digit)
                    .collect();
                digits.parse().ok()
            };
            Some((
                number_behind("log.offset")?,
                number_behind("tailrace.length")?,
            ))
        })
        .unwrap_or((0, 0))
}

#[test]
fn an_interrupted_poison_is_not_posted_for_ever() {
    let mut scene = scene("poisonkill");
    let (_agent, mut aggregator) = start(&scene);
    let mut container = scene.kubelet.container("shop", "poison-1", "c").unwrap();
    let line = br#"{"msg":"first","shape2":{"a":1}}"#;
    container
        .log
        .line_as(Iostream::Stdout, line, b"first")
        .unwrap();
    scene
        .documents
        .wait_count(&scene.data_stream(), "*", 1, LIMIT)
        .unwrap();
    let line = br#"{"msg":"second","shape2":"text"}"#;
    aggregator
        .faults()
        .set(&["store.done.before abort"])
        .unwrap();
    container
        .log
        .line_as(Iostream::Stdout, line, b"second")
        .unwrap();
    // Mended and indexed, but not ticked off.
    aggregator.wait_gone(LIMIT).unwrap();
    aggregator.faults().clear().unwrap();
    aggregator.start_again().unwrap();
    container.log.line(Iostream::Stdout, b"third").unwrap();
    let containers = [container];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
}
