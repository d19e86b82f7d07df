//! The API over a real store: every line that went in is found, counted, exported and tailed, once.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bench::container_log::Iostream;
use serde_json::{Value, json};
use tests::{
    aggregator::Aggregator,
    http::Http,
    proxy::{Fault, Proxy},
    scene::Scene,
    server::Server,
    wait,
};

use crate::lines::{LIMIT, LINES, embedded_lines_of, fill, lines_of, setup};

fn ids(page: &Value) -> Vec<String> {
    let hits = page["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| hit["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_line_is_on_one_page_and_in_every_count() {
    let (_scene, aggregator) = lines_of("apisearch", "");
    check_pages_and_counts(&aggregator.http());
}

#[test]
fn every_line_of_an_embedded_store_is_on_one_page_and_in_every_count() {
    let (_scratch, aggregator) = embedded_lines_of("apiembedded");
    check_pages_and_counts(&aggregator.http());
}

/// Over the lines of [`fill`].
fn check_pages_and_counts(http: &Http) {
    let range = "from=1h";
    let mut seen = HashSet::new();
    let mut cursor = String::new();
    let mut pages = 0;
    loop {
        let page = http
            .get_json(&format!("/api/v1/search?{range}&size=37{cursor}"))
            .unwrap();
        assert_eq!(page["total"]["value"], LINES);
        for id in ids(&page) {
            assert!(seen.insert(id), "a line stands on two pages");
        }
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (LINES, LINES.div_ceil(37)));

    let histogram = http
        .get_json(&format!("/api/v1/histogram?{range}&buckets=20"))
        .unwrap();
    let sum = |key: &str| -> u64 {
        let list = histogram[key].as_array().unwrap();
        list.iter().map(|one| one["count"].as_u64().unwrap()).sum()
    };
    assert_eq!(
        (sum("buckets"), sum("series")),
        (LINES as u64, LINES as u64)
    );
    let errors = LINES.div_ceil(10);
    for (q, count) in [
        ("level:error", errors),
        ("level%3E%3Dwarn", errors),
        ("service:checkout", LINES / 3),
        ("-service:checkout", LINES - LINES / 3),
        ("%22order+7+took%22", 1),
        ("orderId:7", 1),
        ("orderId%3E%3D230", 10),
        ("path:/orders/1", LINES / 4),
        ("path:/orders/*", LINES),
        ("service:(cart+OR+checkout)+order", LINES),
        ("nothing:here", 0),
    ] {
        let found = http
            .get_json(&format!("/api/v1/count?{range}&q={q}"))
            .unwrap();
        assert_eq!(found["count"], count, "{q}");
    }
    let values = http
        .get_json(&format!("/api/v1/fields/service/values?{range}"))
        .unwrap();
    assert_eq!(
        values["values"],
        json!([
            {"value": "cart", "count": LINES - LINES / 3},
            {"value": "checkout", "count": LINES / 3}
        ])
    );
    let table = http
        .get_json(&format!(
            "/api/v1/aggregate?{range}&by=service&metrics=count,max:orderId&interval=auto&sample=1"
        ))
        .unwrap();
    assert_eq!(table["rows"][0]["key"], json!(["cart"]));
    let values = &table["rows"][1]["values"];
    assert_eq!(values[0], LINES / 3);
    assert_eq!(values[1].as_f64(), Some(LINES as f64 - 3.0));
    for (order, first) in [
        ("count", "cart"),
        ("avg:cost", "checkout"),
        ("p95:cost", "checkout"),
    ] {
        let table = http
            .get_json(&format!(
                "/api/v1/aggregate?{range}&by=service&metrics=count,avg:cost,p95:cost&order={order}&size=1"
            ))
            .unwrap();
        assert_eq!(table["rows"][0]["key"], json!([first]), "{order}");
        let others = LINES - table["rows"][0]["count"].as_u64().unwrap() as usize;
        assert_eq!(table["other"], others, "{order}");
    }
    let patterns = http.get_json(&format!("/api/v1/patterns?{range}")).unwrap();
    assert_eq!(patterns["patterns"][0]["pattern"], "order <*> took <*>");
    assert_eq!(patterns["patterns"][0]["count"], LINES);

    let newest = http
        .get_json(&format!("/api/v1/search?{range}&size=1&q=orderId:100"))
        .unwrap();
    let hit = &newest["hits"][0];
    let context = http
        .get_json(&format!(
            "/api/v1/context?id={}&before=5&after=5",
            hit["id"].as_str().unwrap()
        ))
        .unwrap();
    let numbers = |side: &str| -> Vec<u64> {
        let list = context[side].as_array().unwrap();
        list.iter()
            .map(|hit| hit["source"]["attributes"]["orderId"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(numbers("before"), [95, 96, 97, 98, 99]);
    assert_eq!(numbers("after"), [101, 102, 103, 104, 105]);

    let export = http
        .get(&format!("/api/v1/export?{range}&limit=100000"))
        .unwrap();
    assert_eq!(export.text().lines().count(), LINES);
    let csv = http
        .get(&format!(
            "/api/v1/export?{range}&format=csv&fields=service,message&sort=asc"
        ))
        .unwrap();
    let text = csv.text();
    let mut rows = text.split("\r\n");
    assert_eq!(rows.next(), Some("service.name,message"));
    assert_eq!(rows.next(), Some("checkout,order 0 took 0ms"));
    assert_eq!(text.matches("\r\n").count(), LINES + 1);
}

/// The answer to a client that takes gzip: its head, and its body taken apart.
fn ask_packed(http: &Http, path: &str) -> (String, String) {
    let address = http.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\naccept-encoding: gzip\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = answer.split_at(end);
    let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
    assert!(head.contains("vary: accept-encoding\r\n"), "{head}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(body)
        .read_to_string(&mut text)
        .unwrap();
    (head, text)
}

#[test]
fn answers_come_in_gzip_to_those_who_take_it() {
    let (_scene, aggregator) = lines_of("apigzip", "");
    let http = aggregator.http();
    let (_, page) = ask_packed(&http, "/api/v1/search?from=1h&size=200");
    let page: Value = serde_json::from_str(&page).unwrap();
    let plain = http.get_json("/api/v1/search?from=1h&size=200").unwrap();
    assert_eq!(page["hits"].as_array().unwrap().len(), 200);
    assert_eq!(page["hits"], plain["hits"]);
    let export = "/api/v1/export?from=1h&limit=100000&sort=asc";
    let (_, lines) = ask_packed(&http, export);
    assert_eq!(lines.lines().count(), LINES);
    assert_eq!(lines, http.get(export).unwrap().text());
    let (_, found) = ask_packed(&http, "/es/_search?size=50");
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["hits"]["hits"].as_array().unwrap().len(), 50);
    let (head, page) = ask_packed(&http, "/explore");
    assert!(page.contains("<script"), "{page}");
    assert!(head.contains("cache-control: no-cache\r\n"), "{head}");
    assert!(head.contains("etag: w/\""), "{head}");
}

#[test]
fn what_is_asked_is_counted() {
    let (_scene, aggregator) = lines_of("apifigures", ", max_tails: 1, max_body: 64KiB");
    let http = aggregator.http();
    let before = aggregator.metrics().unwrap();
    for _ in 0..3 {
        http.get_json("/api/v1/search?from=1h&size=1").unwrap();
    }
    assert_eq!(http.get("/api/v1/search?from=soon").unwrap().status, 400);
    assert_eq!(http.get("/api/v1/nothing").unwrap().status, 404);
    let export = http.get("/api/v1/export?from=1h").unwrap();
    assert_eq!(export.text().lines().count(), LINES);
    let body = vec![b' '; 65 << 10];
    let refused = http
        .send("POST", "/api/v1/logs", "application/json", body)
        .unwrap();
    assert_eq!(refused.status, 413, "{}", refused.text());
    let address = aggregator.url().replace("http://", "");
    let mut tail = TcpStream::connect(&address).unwrap();
    let head = format!("GET /api/v1/tail HTTP/1.1\r\nhost: {address}\r\n\r\n");
    tail.write_all(head.as_bytes()).unwrap();
    let open = |n: u64| {
        wait::until(LIMIT, "the live tails to be counted", || {
            let metrics = aggregator.metrics().ok()?;
            (metrics.count("api_tails_open", &[]) == n).then_some(())
        })
        .unwrap();
    };
    open(1);
    assert_eq!(http.get("/api/v1/tail").unwrap().status, 429);
    drop(tail);
    open(0);

    let after = aggregator.metrics().unwrap();
    for (name, labels, count) in [
        (
            "requests_total",
            &[("operation", "search"), ("status", "2xx")][..],
            3,
        ),
        (
            "requests_total",
            &[("operation", "search"), ("status", "4xx")],
            1,
        ),
        (
            "request_duration_seconds_count",
            &[("operation", "search")],
            4,
        ),
        (
            "requests_total",
            &[("operation", "other"), ("status", "4xx")],
            1,
        ),
        ("requests_total", &[("operation", "export")], 1),
        (
            "requests_total",
            &[("operation", "logs"), ("status", "4xx")],
            1,
        ),
        ("refused_total", &[("limit", "body")], 1),
        ("refused_total", &[("limit", "tails")], 1),
        ("refused_total", &[("limit", "queries")], 0),
        ("exported_documents_total", &[], LINES as u64),
        ("queries_running", &[], 0),
        ("queries_waiting", &[], 0),
    ] {
        let name = format!("tailrace_api_{name}");
        let found = after.count(&name, labels) - before.count(&name, labels);
        assert_eq!(found, count, "{name} {labels:?}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let (_scene, aggregator) = lines_of("apierrors", "");
    let http = aggregator.http();
    for (path, status, key, value) in [
        (
            "/api/v1/search?q=level:error+(a",
            400,
            "position",
            json!(12),
        ),
        ("/api/v1/search?form=1h", 400, "hint", json!("from")),
        ("/api/v1/search?from=soon", 400, "parameter", json!("from")),
        ("/api/v1/search?size=1001", 400, "parameter", json!("size")),
        ("/api/v1/search?cursor=x", 400, "parameter", json!("cursor")),
        ("/api/v1/nothing", 404, "status", json!(404)),
        ("/api/v1/context?id=none", 404, "status", json!(404)),
        ("/api/v1/rules/try", 405, "allowed", json!("POST")),
        ("/api/v1/dashboards/none", 404, "status", json!(404)),
        ("/es/secret-index/_search", 403, "status", json!(403)),
        ("/assets/none.js", 404, "status", json!(404)),
    ] {
        let reply = http.get(path).unwrap();
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert_eq!(reply.json()[key], value, "{path}: {}", reply.text());
    }
    for (body, status, field) in [
        (json!({"service": "s", "level": "info"}), 422, "message"),
        (
            json!([{"service": "s", "level": "info", "message": "m"}, {"service": "s", "level": "x", "message": "m"}]),
            422,
            "level",
        ),
    ] {
        let reply = http
            .send(
                "POST",
                "/api/v1/logs",
                "application/json",
                body.to_string().into_bytes(),
            )
            .unwrap();
        assert_eq!(
            (reply.status, &reply.json()["field"]),
            (status, &json!(field))
        );
    }
}

/// A line of a container shows in the tail within a second of being written.
#[test]
fn a_line_shows_in_the_tail_within_a_second() {
    let mut scene = Scene::new("apitail", Server::shared().unwrap()).unwrap();
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup(&scene, "")).unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let mut web = scene.kubelet.container("shop", "web-1", "web").unwrap();
    web.log.line(Iostream::Stdout, b"warm up").unwrap();
    let address = aggregator.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head =
        format!("GET /api/v1/tail?q=namespace:shop+needle HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut events = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("event: stats") {
        line.clear();
        events.read_line(&mut line).unwrap();
    }
    // The file is known and followed before the clock runs.
    wait::until(LIMIT, "the agent to follow the file", || {
        let count = scene
            .documents
            .count(&scene.data_stream(), "message:warm")
            .ok()?;
        (count == 1).then_some(())
    })
    .unwrap();
    web.log.line(Iostream::Stdout, b"hay").unwrap();
    web.log.line(Iostream::Stdout, b"one needle here").unwrap();
    let written = Instant::now();
    while !line.starts_with("data:") || !line.contains("needle") {
        line.clear();
        events.read_line(&mut line).unwrap();
        assert!(!line.contains("\"hay\""), "{line}");
    }
    let took = written.elapsed();
    assert!(took < Duration::from_secs(3), "took {took:?}");
    let data: Value = serde_json::from_str(line.trim_start_matches("data:").trim()).unwrap();
    assert_eq!(
        data["hits"][0]["source"]["kubernetes"]["pod"]["name"],
        "web-1"
    );
}

/// A store that does not answer keeps nobody for longer than `web.timeout`, and a place in it only as
/// long as somebody waits.
#[test]
fn a_query_ends_with_its_time_and_with_its_client() {
    let proxy = Proxy::start(Server::shared().unwrap().port()).unwrap();
    let scene = Scene::at("apitimeout", &proxy.url()).unwrap();
    let setup = setup(&scene, ", timeout: 8s");
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    fill(&aggregator.http());
    proxy.set(Fault::Silent);
    let running = |limit: Duration, n: u64| {
        wait::until(limit, "the queries to be counted", || {
            let metrics = aggregator.metrics().ok()?;
            (metrics.count("tailrace_api_queries_running", &[]) == n).then_some(())
        })
        .unwrap();
    };
    let address = aggregator.url().replace("http://", "");
    let mut client = TcpStream::connect(&address).unwrap();
    let head = format!("GET /api/v1/search?from=1h HTTP/1.1\r\nhost: {address}\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    running(LIMIT, 1);
    drop(client);
    // Long before its time is over.
    running(Duration::from_secs(4), 0);
    let labels = [("operation", "search"), ("status", "gone")];
    let gone = aggregator.metrics().unwrap();
    assert_eq!(gone.count("tailrace_api_requests_total", &labels), 1);

    let began = Instant::now();
    let late = aggregator.http().get("/api/v1/count?from=1h").unwrap();
    assert_eq!(late.status, 504, "{}", late.text());
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(7), "took {took:?}");
    running(LIMIT, 0);
    proxy.set(Fault::None);
    wait::until(LIMIT, "the store to be asked again", || {
        let count = aggregator.http().get_json("/api/v1/count?from=1h").ok()?;
        (count["count"] == LINES).then_some(())
    })
    .unwrap();
}

/// Requests made from the API's own document, good and bad, get answers that fit it.
#[test]
fn the_api_keeps_its_contract() {
    let (_scene, aggregator) = lines_of("apicontract", "");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/schemathesis.sh");
    let run = std::process::Command::new(script)
        .arg(aggregator.url())
        .env("EXAMPLES", "5")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
}
