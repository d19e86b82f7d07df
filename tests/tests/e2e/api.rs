//! The API over a real store: every line that went in is found, counted, exported and tailed, once.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bench::container_log::Iostream;
use serde_json::{Value, json};
use tests::{
    aggregator::{Aggregator, AggregatorSetup},
    http::Http,
    process::free_port,
    proxy::{Fault, Proxy},
    scene::Scene,
    scratch::Scratch,
    server::Server,
    wait,
};

const LIMIT: Duration = Duration::from_secs(30);

/// Lines of the two services of [`fill`].
const LINES: usize = 240;

/// Sends the lines of two services, and waits until the store has them.
fn fill(http: &Http) {
    let now = wall_ms();
    let batch: Vec<Value> = (0..LINES)
        .map(|n| {
            let service = if n % 3 == 0 { "checkout" } else { "cart" };
            let level = if n % 10 == 0 { "error" } else { "info" };
            json!({
                "service": service, "level": level, "message": format!("order {n} took {}ms", n * 7),
                "meta": {"orderId": n, "url.path": format!("/orders/{}", n % 4)},
                // Four lines each share a time: paging must not lose any of them.
                "timestamp": now - 600_000 + (n as u64 / 4) * 1000,
            })
        })
        .collect();
    let reply = http.json("POST", "/api/v1/logs", &json!(batch)).unwrap();
    assert_eq!(reply["accepted"], LINES);
    wait::until(LIMIT, "the lines to be found", || {
        let count = http.get_json("/api/v1/count?from=1h").ok()?;
        (count["count"].as_u64()? >= LINES as u64).then_some(())
    })
    .unwrap();
}

fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}

/// An aggregator that searches its own documents only, as the store is shared.
fn setup(scene: &Scene, more: &str) -> AggregatorSetup {
    let index = format!("logs-*-{}", scene.namespace());
    scene
        .aggregator_setup()
        .with("web", &format!("{{index: '{index}'{more}}}"))
        .elasticsearch("template", "{refresh_interval: 1s}")
}

/// An aggregator with the lines of [`fill`] in the store.
fn lines_of(name: &str, more: &str) -> (Scene, Aggregator) {
    let scene = Scene::new(name, Server::shared().unwrap()).unwrap();
    let setup = setup(&scene, more);
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    fill(&aggregator.http());
    (scene, aggregator)
}

/// An aggregator with a store of its own, and with the lines of [`fill`] in it.
fn embedded_lines_of(name: &str) -> (Scratch, Aggregator) {
    let scratch = Scratch::new(name).unwrap();
    let setup = AggregatorSetup::embedded("default");
    let aggregator = Aggregator::start(&scratch.path().join("aggregator"), &setup).unwrap();
    fill(&aggregator.http());
    (scratch, aggregator)
}

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

/// Sent again under the same key, lines are there once; killed at once after the answer, too.
#[test]
fn lines_that_were_accepted_are_there_once() {
    let scene = Scene::new("apiingest", Server::shared().unwrap()).unwrap();
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup(&scene, "")).unwrap();
    let send = |http: &Http| {
        let lines: String = (0..50)
            .map(|n| {
                format!("{{\"service\":\"s\",\"level\":\"ERROR\",\"message\":\"line {n}\"}}\n")
            })
            .collect();
        post_with_key(http, "key-1", &lines)
    };
    assert_eq!(send(&aggregator.http()), 202);
    aggregator.kill().unwrap();
    aggregator.start_again().unwrap();
    let http = aggregator.http();
    let count = || http.get_json("/api/v1/count?from=1h&q=level:error").ok()?["count"].as_u64();
    wait::until(LIMIT, "the lines to be found", || {
        (count()? == 50).then_some(())
    })
    .unwrap();
    let stats = http.get_json("/api/v1/logs/stats").unwrap();
    assert_eq!(
        (&stats["total"], &stats["errors"]),
        (&json!(50), &json!(50))
    );
    let errors = http.get_json("/api/v1/logs/errors/s?limit=10").unwrap();
    assert_eq!(errors["items"].as_array().unwrap().len(), 10);
    assert_eq!(errors["total"], 50);
    let services = http.get_json("/api/v1/logs/services").unwrap();
    assert_eq!(services["services"][0]["service"], "s");
}

/// Posts NDJSON under an idempotency key; the status.
fn post_with_key(http: &Http, key: &str, body: &str) -> u16 {
    let address = http.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head = format!(
        "POST /api/v1/logs HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-ndjson\r\n\
         idempotency-key: {key}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
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

#[test]
fn saved_searches_and_grafana_work_together() {
    let (scene, aggregator) = lines_of("apisaved", "");
    let index = format!("logs-*-{}", scene.namespace());
    check_saved_searches_and_grafana(&aggregator, &index);
}

#[test]
fn saved_searches_and_grafana_work_over_an_embedded_store() {
    let (_scratch, aggregator) = embedded_lines_of("apiembsaved");
    check_saved_searches_and_grafana(&aggregator, "_all");
}

/// Over the lines of [`fill`]; `index` is the name that a data source is set up with.
fn check_saved_searches_and_grafana(aggregator: &Aggregator, index: &str) {
    let http = aggregator.http();
    let path = "/api/v1/saved-searches";
    let name = format!("errors of {}", aggregator.port());
    let body = json!({"name": name, "body": {"q": "level:error", "columns": ["message"]}});
    let made = http.json("POST", path, &body).unwrap();
    let id = made["id"].as_str().unwrap();
    let one = format!("{path}/{id}");
    assert_eq!(http.get_json(&one).unwrap()["body"], body["body"]);
    let changed = json!({"name": name, "body": {"q": "level:error order"}, "version": 1});
    assert_eq!(http.json("PUT", &one, &changed).unwrap()["version"], 2);
    let stale = http
        .send(
            "PUT",
            &one,
            "application/json",
            changed.to_string().into_bytes(),
        )
        .unwrap();
    assert_eq!(stale.status, 409);

    let to = wall_ms() + 1000;
    let range = json!({"from": to - 3_600_000, "to": to});
    let asked = json!({"range": range, "targets": [
        {"target": "log_count"}, {"target": "error_by_service"}, {"target": name},
        {"target": "log_by_service", "type": "table"},
    ]});
    let series = http.json("POST", "/api/v1/grafana/query", &asked).unwrap();
    let sum = |idx: usize| -> u64 {
        let points = series[idx]["datapoints"].as_array().unwrap();
        points.iter().map(|point| point[0].as_u64().unwrap()).sum()
    };
    let errors = LINES.div_ceil(10) as u64;
    assert_eq!(sum(0), LINES as u64);
    assert_eq!(
        (series[1]["target"].as_str(), sum(1) + sum(2)),
        (Some("cart"), errors)
    );
    assert_eq!(
        (series[3]["target"].as_str(), sum(3)),
        (Some(name.as_str()), errors)
    );
    assert_eq!(
        series[4]["rows"],
        json!([["cart", LINES - LINES / 3], ["checkout", LINES / 3]])
    );
    let names = http
        .json("POST", "/api/v1/grafana/search", &json!({}))
        .unwrap();
    assert!(names.as_array().unwrap().contains(&json!(name)));

    let gone = http
        .send("DELETE", &one, "application/json", Vec::new())
        .unwrap();
    assert_eq!(gone.status, 204);
    assert_eq!(http.get(&one).unwrap().status, 404);
    let left = http.get_json(path).unwrap();
    assert!(
        left["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["id"] != id)
    );

    // What Grafana's Elasticsearch data source asks.
    let head =
        json!({"search_type": "query_then_fetch", "ignore_unavailable": true, "index": "logs-*"});
    let search = json!({
        "size": 0,
        "query": {"bool": {"filter": [
            {"range": {"@timestamp": {"gte": to - 3_600_000, "lte": to, "format": "epoch_millis"}}},
            {"query_string": {"analyze_wildcard": true, "query": "*"}},
        ]}},
        "aggs": {"2": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m", "min_doc_count": 0,
            "extended_bounds": {"min": to - 3_600_000, "max": to}, "format": "epoch_millis"}, "aggs": {}}},
    });
    let ndjson = format!("{head}\n{search}\n");
    let reply = http
        .send(
            "POST",
            "/es/_msearch",
            "application/x-ndjson",
            ndjson.into_bytes(),
        )
        .unwrap();
    let buckets = reply.json()["responses"][0]["aggregations"]["2"]["buckets"].clone();
    let counted: u64 = buckets
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["doc_count"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, LINES as u64, "{}", reply.text());
    let caps = http
        .get_json(&format!("/es/{index}/_field_caps?fields=log.level"))
        .unwrap();
    assert!(caps["fields"]["log.level"]["keyword"].is_object(), "{caps}");
}

/// Users see their namespaces only, whatever they ask, and writes need a role.
#[test]
fn users_see_what_is_theirs() {
    let mut scene = Scene::new("apiusers", Server::shared().unwrap()).unwrap();
    for namespace in ["shop", "secret"] {
        let mut made = scene.kubelet.container(namespace, "web-1", "web").unwrap();
        for n in 0..5 {
            made.log
                .line(Iostream::Stdout, format!("{namespace} {n}").as_bytes())
                .unwrap();
        }
    }
    let users = scene.dir("users");
    let mut aggregator = Aggregator::prepare(
        &scene.dir("aggregator"),
        &setup(
            &scene,
            &format!(", auth: users, users_file: '{}'", users.display()),
        ),
    )
    .unwrap();
    let (shop, shop_secret) = new_token(&aggregator);
    let (all, all_secret) = new_token(&aggregator);
    std::fs::write(
        &users,
        format!("shop:viewer:shop:{shop_secret}\nall:admin:*:{all_secret}\n"),
    )
    .unwrap();
    aggregator.start_again().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let get = |token: &str, path: &str| ask(&aggregator.http(), token, "GET", path, "");
    wait::until(LIMIT, "the lines to be found", || {
        let (_, found) = get(&all, "/api/v1/count?from=1h");
        (found["count"].as_u64()? == 10).then_some(())
    })
    .unwrap();
    assert_eq!(get(&shop, "/api/v1/count?from=1h").1["count"], 5);
    assert_eq!(get(&shop, "/api/v1/count?from=1h&q=secret").1["count"], 0);
    assert_eq!(
        get(&shop, "/api/v1/search?from=1h&q=namespace:secret").1["total"]["value"],
        0
    );
    let values = get(&shop, "/api/v1/fields/namespace/values?from=1h").1;
    assert_eq!(values["values"], json!([{"value": "shop", "count": 5}]));
    assert_eq!(get(&shop, "/es/_search").1["hits"]["total"]["value"], 5);
    let (_, secret) = get(&all, "/api/v1/search?from=1h&q=namespace:secret");
    let id = secret["hits"][0]["id"].as_str().unwrap();
    assert_eq!(get(&shop, &format!("/api/v1/context?id={id}")).0, 404);
    let global = json!({"size": 0, "aggs": {"a": {"global": {}}}}).to_string();
    assert_eq!(
        ask(&aggregator.http(), &shop, "POST", "/es/_search", &global).0,
        400
    );
    let object = json!({"name": "x", "body": {}}).to_string();
    assert_eq!(
        ask(
            &aggregator.http(),
            &shop,
            "POST",
            "/api/v1/dashboards",
            &object
        )
        .0,
        403
    );
    assert_eq!(get("wrong", "/api/v1/me").0, 401);
    assert_eq!(get(&shop, "/api/v1/me").1["namespaces"], json!(["shop"]));
}

/// A token, and the secret of its line in a users file.
pub(crate) fn new_token(aggregator: &Aggregator) -> (String, String) {
    let made = aggregator.command(&["users", "token"]).unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap().trim().to_owned()
    };
    (value("token:"), value("secret:"))
}

/// A request with a bearer token; status and JSON.
pub(crate) fn ask(http: &Http, token: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let address = http.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[test]
fn everybody_s_logs_are_not_shown_to_the_network() {
    let scene = Scene::new("apiopen", Server::shared().unwrap()).unwrap();
    let aggregator =
        Aggregator::prepare(&scene.dir("aggregator"), &setup(&scene, ", auth: none")).unwrap();
    let path = aggregator.config_path();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("listen: 127.0.0.1:", "listen: 0.0.0.0:"),
    )
    .unwrap();
    let config = path.display().to_string();
    let checked = aggregator
        .command(&["--check", "--config", &config])
        .unwrap();
    assert!(!checked.status.success());
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(
        said.contains("web.auth") && said.contains("users"),
        "{said}"
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

#[test]
fn lines_may_have_an_address_of_their_own() {
    let scratch = Scratch::new("apiintake").unwrap();
    let port = free_port().unwrap();
    let setup =
        AggregatorSetup::embedded("default").with("ingest_listen", &format!("127.0.0.1:{port}"));
    let aggregator = Aggregator::start(&scratch.path().join("aggregator"), &setup).unwrap();
    let (http, intake) = (aggregator.http(), Http::local(port));
    let line = json!({"service": "s", "level": "info", "message": "m"});
    let taken = intake.json("POST", "/api/v1/logs", &line).unwrap();
    assert_eq!(taken["accepted"], 1);
    wait::until(LIMIT, "the line to be found", || {
        let count = http.get_json("/api/v1/count?from=1h").ok()?;
        (count["count"] == 1).then_some(())
    })
    .unwrap();
    for path in ["/", "/api/v1/search?from=1h", "/es/_search"] {
        assert_eq!(http.get(path).unwrap().status, 200, "{path}");
        assert_eq!(intake.get(path).unwrap().status, 404, "{path}");
    }
    let batch = |to: &Http| {
        let kind = "application/octet-stream";
        to.send("POST", "/v1/batch", kind, b"none".to_vec())
    };
    assert_eq!(batch(&http).unwrap().status, 404);
    let refused = batch(&intake).unwrap();
    // What it says of the bytes is not the point.
    assert_ne!(refused.status, 404, "{}", refused.text());
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
