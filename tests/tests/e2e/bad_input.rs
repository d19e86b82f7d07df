//! Bad input: every line arrives once, as readable as it can be; nothing stops.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    time::Duration,
};

use bench::container_log::Iostream;
use bench::usage::Usage;
use tests::{
    scene::Scene,
    server::Server,
    verdict::{has_tag, text},
};

const LIMIT: Duration = Duration::from_secs(50);

#[test]
fn odd_bytes_and_odd_json_arrive_once_as_readable_as_can_be() {
    let mut scene = Scene::new("oddbytes", Server::shared().unwrap()).unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    let log = &mut container.log;
    let out = Iostream::Stdout;
    log.line(out, b"first line").unwrap();
    log.line(out, b"bad \xff\xfe utf-8 \xc3\x28").unwrap();
    log.line(out, b"nul \0 and \x01\x02\x1b[31m control")
        .unwrap();
    let fields: Vec<String> = (0..10_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = format!("{{{}}}", fields.join(","));
    log.line(out, wide.as_bytes()).unwrap();
    let deep = format!("{}1{}", "{\"a\":".repeat(1_000), "}".repeat(1_000));
    log.line(out, deep.as_bytes()).unwrap();
    log.line_as(
        out,
        br#"{"msg":"twice","a":1,"a":2,"msg":"again"}"#,
        b"twice",
    )
    .unwrap();
    log.line_as(
        out,
        br#"{"msg":"numbers","n":1e400,"big":123456789012345678901234567890}"#,
        b"numbers",
    )
    .unwrap();
    log.line_as(
        out,
        br#"{"msg":"dots","a.b":1,"a":{"b":2},"a.b.c":3}"#,
        b"dots",
    )
    .unwrap();
    log.line_as(
        out,
        br#"{"msg":"times","time":"9999-99-99T99:99:99Z","@timestamp":"never"}"#,
        b"times",
    )
    .unwrap();
    log.line(out, br#"{"msg":"cut in the mid"#).unwrap();
    log.line(out, b"[1,2,3]").unwrap();
    log.line_as(
        out,
        br#"{"msg":"own names","tailrace":{"stream":"x"},"kubernetes":"no","_id":"1"}"#,
        b"own names",
    )
    .unwrap();
    log.line(out, b"").unwrap();
    log.line(out, "ünïcödé 日本語 🎉".as_bytes()).unwrap();
    log.line(out, b"last line").unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let containers = [container];
    let verdict = scene.wait_verdict(&containers, LIMIT).unwrap();
    verdict.assert_clean();
    let hits = scene.documents.all(&scene.data_stream()).unwrap();
    let invalid = hits
        .iter()
        .map(|hit| &hit["_source"])
        .find(|document| text(document, "message").starts_with("bad"))
        .unwrap();
    assert!(has_tag(invalid, "invalid_utf8"), "{invalid:#}");
    assert_eq!(
        scene
            .documents
            .count("logs-tailrace.dead_letter-*", "\"pod-0\" AND oddbytes")
            .unwrap(),
        0
    );
}

/// A line of 50 MB and a chain of partials that never ends: memory stays where it was told to.
#[test]
fn a_line_of_fifty_megabytes_arrives_in_pieces_and_memory_stays_bounded() {
    let mut scene = Scene::new("hugeline", Server::shared().unwrap()).unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    let log = &mut container.log;
    log.line(Iostream::Stdout, b"before").unwrap();
    let total = 50_000_000;
    let word = b"0123456789abcdef".repeat(1_000);
    let mut written = 0;
    while written < total {
        log.piece(Iostream::Stdout, &word, false).unwrap();
        written += word.len();
    }
    log.piece(Iostream::Stdout, b"the end of it", true).unwrap();
    log.line(Iostream::Stdout, b"behind").unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let agent = scene.start_agent(&aggregator.url()).unwrap();
    let index = scene.data_stream();
    scene
        .documents
        .wait_count(&index, "message:behind", 1, LIMIT)
        .unwrap();
    let mut pieces: Vec<(u64, u64)> = scene
        .documents
        .all(&index)
        .unwrap()
        .iter()
        .map(|hit| &hit["_source"])
        .filter(|document| !matches!(text(document, "message"), "before" | "behind"))
        .map(|document| {
            let length = text(document, "message").len() as u64;
            (
                tests::verdict::number(document, "log.offset").unwrap(),
                length,
            )
        })
        .collect();
    pieces.sort_unstable();
    let arrived: u64 = pieces.iter().map(|(_, length)| length).sum();
    assert_eq!(
        arrived,
        (written + b"the end of it".len()) as u64,
        "{} pieces",
        pieces.len()
    );
    let agent_peak = Usage::of(agent.pid()).unwrap().peak_rss >> 20;
    let aggregator_peak = Usage::of(aggregator.pid()).unwrap().peak_rss >> 20;
    assert!(agent_peak < 100, "the agent took {agent_peak} MiB");
    assert!(
        aggregator_peak < 700,
        "the aggregator took {aggregator_peak} MiB"
    );
}

/// Things that are no log files lie in the folder; the log files beside them are read all the same.
#[test]
fn odd_things_in_the_folder_stop_nothing() {
    let mut scene = Scene::new("oddthings", Server::shared().unwrap()).unwrap();
    let folder = scene.kubelet.root().join("containers");
    fs::create_dir(folder.join("a-directory.log")).unwrap();
    let _socket = UnixListener::bind(folder.join("a-socket.log")).unwrap();
    symlink("/nowhere/at/all", folder.join("dangling.log")).unwrap();
    symlink("loop.log", folder.join("loop.log")).unwrap();
    // DELIVERY rule 5: a link out of the allowed roots is not followed.
    fs::write(scene.dir("secret"), "root:secret:0:0\n").unwrap();
    symlink(scene.dir("secret"), folder.join("steal_shop_c-0123.log")).unwrap();
    fs::write(folder.join("empty.log"), "").unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    container
        .log
        .line(Iostream::Stdout, b"an honest line")
        .unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let mut agent = scene.start_agent(&aggregator.url()).unwrap();
    let mut containers = [container];
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    // And a folder that comes later.
    containers[0].log.rotate().unwrap();
    containers[0]
        .log
        .line(Iostream::Stdout, b"another one")
        .unwrap();
    scene
        .wait_verdict(&containers, LIMIT)
        .unwrap()
        .assert_clean();
    assert!(agent.is_running());
    let all = scene
        .documents
        .all(&format!("logs-*-{}", scene.namespace()))
        .unwrap();
    assert!(!format!("{all:?}").contains("secret"), "{all:#?}");
}

/// A last line without a newline arrives when its file is over.
#[test]
fn a_last_line_without_a_newline_arrives_when_the_file_is_over() {
    let mut scene = Scene::new("nonewline", Server::shared().unwrap()).unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    let log = &mut container.log;
    log.line(Iostream::Stdout, b"whole").unwrap();
    log.bytes(b"2026-11-21T06:23:01.123456789Z stdout F unfinished")
        .unwrap();
    log.rotate().unwrap();
    log.line(Iostream::Stdout, b"next file").unwrap();
    let aggregator = scene.start_aggregator().unwrap();
    let setup = scene
        .agent_setup(&aggregator.url())
        .files("final_after", "1s");
    let _agent = tests::agent::Agent::start(&scene.dir("agent"), &setup).unwrap();
    scene
        .documents
        .wait_count(&scene.data_stream(), "message:unfinished", 1, LIMIT)
        .unwrap();
    scene
        .documents
        .wait_count(&scene.data_stream(), "*", 3, LIMIT)
        .unwrap();
    assert_eq!(scene.documents.count(&scene.data_stream(), "*").unwrap(), 3);
}
