//! Lines that come over the API, and the summaries of small log monitors: nothing twice, nothing
//! left out, exact figures.

use std::collections::HashSet;

use serde_json::{Value, json};
use tests::{
    aggregator::{Aggregator, AggregatorSetup},
    http::Http,
    process::free_port,
    scene::Scene,
    scratch::Scratch,
    server::Server,
    wait,
};

use crate::lines::{
    LIMIT, LINES, embedded_lines_of, exchange, is_checkout, is_error, line, lines_of, minute_of,
    setup, times, wait_lines, wall_ms,
};

/// Killed at once after the answer.
#[test]
fn lines_that_were_accepted_are_there_once() {
    let scene = Scene::new("apiingest", Server::shared().unwrap()).unwrap();
    let mut aggregator = Aggregator::start(&scene.dir("aggregator"), &setup(&scene, "")).unwrap();
    send(&aggregator.http(), "key-1", "line", 50);
    aggregator.kill().unwrap();
    aggregator.start_again().unwrap();
    let http = aggregator.http();
    wait_errors(&http, 50);
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

#[test]
fn a_request_that_is_sent_again_makes_no_doubles() {
    let scene = Scene::new("apiagain", Server::shared().unwrap()).unwrap();
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup(&scene, "")).unwrap();
    check_second_try(&aggregator);
}

#[test]
fn a_request_that_is_sent_again_makes_no_doubles_in_an_embedded_store() {
    let scratch = Scratch::new("apiembagain").unwrap();
    let setup = AggregatorSetup::embedded("default");
    let aggregator = Aggregator::start(&scratch.path().join("aggregator"), &setup).unwrap();
    check_second_try(&aggregator);
}

/// The lines have no times of their own: each try comes at another one.
fn check_second_try(aggregator: &Aggregator) {
    let http = aggregator.http();
    send(&http, "key-1", "line", 50);
    wait_errors(&http, 50);
    send(&http, "key-1", "line", 50);
    wait::until(LIMIT, "the store to have them already", || {
        let metrics = aggregator.metrics().ok()?;
        (metrics.count("store_docs_duplicate_total", &[]) >= 50).then_some(())
    })
    .unwrap();
    // Other lines under the same key, and the same lines under another one.
    send(&http, "key-1", "other", 3);
    send(&http, "key-2", "line", 5);
    wait_errors(&http, 58);
    let found = http
        .get_json("/api/v1/search?from=1h&size=1000&q=level:error")
        .unwrap();
    let hits = found["hits"].as_array().unwrap();
    let ids: HashSet<&str> = hits.iter().map(|hit| hit["id"].as_str().unwrap()).collect();
    assert_eq!((hits.len(), ids.len()), (58, 58));
}

/// Posts NDJSON of so many lines, which begin with a word, under an idempotency key.
fn send(http: &Http, key: &str, word: &str, n_lines: usize) {
    let lines: String = (0..n_lines)
        .map(|n| {
            let message = format!("{word} {n}");
            let line = json!({"service": "s", "level": "ERROR", "message": message});
            format!("{line}\n")
        })
        .collect();
    let headers = format!("content-type: application/x-ndjson\r\nidempotency-key: {key}\r\n");
    let (status, _, said) = exchange(http, "POST", "/api/v1/logs", &headers, &lines);
    assert_eq!(status, 202, "{said}");
}

/// Waits until so many errors are found, and no more than that.
fn wait_errors(http: &Http, n: u64) {
    wait::until(LIMIT, "the lines to be found", || {
        let found = http.get_json("/api/v1/count?from=1h&q=level:error").ok()?;
        (found["count"].as_u64()? == n).then_some(())
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
    wait_lines(&http, 1);
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

#[test]
fn totals_services_and_errors_are_those_of_the_lines() {
    let (_scene, aggregator) = lines_of("apistats", "");
    check_summaries(&aggregator.http());
}

#[test]
fn totals_services_and_errors_are_those_of_an_embedded_store_s_lines() {
    let (_scratch, aggregator) = embedded_lines_of("apiembstats");
    check_summaries(&aggregator.http());
}

/// Over the lines of [`crate::lines::fill`].
fn check_summaries(http: &Http) {
    let minute = minute_of(http);
    let count = |is_in: &dyn Fn(usize) -> bool| (0..LINES).filter(|n| is_in(*n)).count();
    let errors = count(&is_error);
    let checkout = count(&is_checkout);
    let errors_of_checkout = count(&|n| is_error(n) && is_checkout(n));
    let (cart, errors_of_cart) = (LINES - checkout, errors - errors_of_checkout);

    // Ten minutes, the end not included.
    let end = minute + 600_000;
    let stats = http
        .get_json(&format!("/api/v1/logs/stats?from={minute}&to={end}"))
        .unwrap();
    let [from, to] = times(http, minute, end);
    assert_eq!(
        stats,
        json!({
            "total": LINES, "errors": errors,
            "error_rate": errors as f64 / LINES as f64,
            "by_level": {"info": LINES - errors, "error": errors},
            "by_service": [
                {"service": "cart", "total": cart, "errors": errors_of_cart},
                {"service": "checkout", "total": checkout, "errors": errors_of_checkout},
            ],
            "per_minute": LINES as f64 / 10.0,
            "from": from, "to": to,
        })
    );
    let of = |more: &str| {
        let path = format!("/api/v1/logs/stats?from={minute}&{more}");
        let stats = http.get_json(&path).unwrap();
        json!([stats["total"], stats["errors"], stats["error_rate"]])
    };
    let rate = errors_of_checkout as f64 / checkout as f64;
    assert_eq!(
        of(&format!("to={end}&q=service:checkout")),
        json!([checkout, errors_of_checkout, rate])
    );
    // The first ten seconds, and none.
    assert_eq!(of(&format!("to={}", minute + 10_000)), json!([40, 4, 0.1]));
    assert_eq!(of(&format!("to={end}&q=nothing")), json!([0, 0, 0.0]));

    // The last lines of both are those of the last second.
    let [_, last] = times(http, minute, minute + 59_000);
    let services = http.get_json("/api/v1/logs/services").unwrap();
    assert_eq!(
        services["services"],
        json!([
            {"service": "cart", "total": cart, "errors": errors_of_cart, "last_seen": last},
            {"service": "checkout", "total": checkout, "errors": errors_of_checkout, "last_seen": last},
        ])
    );
    let services = http
        .get_json(&format!("/api/v1/logs/services?from=1h&to={minute}"))
        .unwrap();
    assert_eq!(services["services"], json!([]));

    check_errors(http, minute, errors, errors_of_checkout);
}

/// The newest errors, of all services and of one.
fn check_errors(http: &Http, minute: u64, errors: usize, errors_of_checkout: usize) {
    let ask = |path: &str| {
        http.get_json(&format!("/api/v1/logs/errors{path}"))
            .unwrap()
    };
    let numbers = |found: &Value| -> Vec<u64> {
        let items = found["items"].as_array().unwrap().iter();
        items
            .map(|item| item["meta"]["attributes"]["orderId"].as_u64().unwrap())
            .collect()
    };
    let newest_first: Vec<u64> = (0..LINES as u64)
        .rev()
        .filter(|n| is_error(*n as usize))
        .collect();
    let all = ask("");
    assert_eq!(all["total"], errors);
    assert_eq!(numbers(&all), newest_first);
    let some = ask("?limit=5");
    assert_eq!(some["total"], errors);
    assert_eq!(numbers(&some), newest_first[..5]);
    for path in [
        "/checkout?limit=3",
        "/check%6Fut?limit=3",
        "?service=checkout&limit=3",
    ] {
        let found = ask(path);
        assert_eq!(found["total"], errors_of_checkout, "{path}");
        assert_eq!(numbers(&found), [210, 180, 150], "{path}");
    }
    // As it was sent in.
    let item = &ask("/checkout?limit=1")["items"][0];
    let [time, _] = times(http, minute + 52_000, minute + 53_000);
    let at = item["timestamp"].as_str().unwrap();
    assert_eq!(at.get(..19), time.get(..19), "{item}");
    assert!(item["id"].is_string(), "{item}");
    for (key, value) in [
        ("service", json!("checkout")),
        ("level", json!("error")),
        ("message", json!("order 210 took 1470ms")),
    ] {
        assert_eq!(item[key], value, "{item}");
    }
    let meta = &item["meta"];
    assert_eq!(meta["attributes"], json!({"orderId": 210, "cost": 1_210}));
    assert_eq!(meta["url"]["path"], "/orders/2");
    assert!(meta.get("message").is_none() && meta.get("service").is_none());

    let none = json!({"total": 0, "items": []});
    assert_eq!(ask("/nobody"), none);
    assert_eq!(ask(&format!("?from=1h&to={minute}")), none);
    for (path, parameter) in [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("/checkout?service=cart", "service"),
    ] {
        let refused = http.get(&format!("/api/v1/logs/errors{path}")).unwrap();
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        assert_eq!(refused.json()["parameter"], parameter, "{path}");
    }
}

#[test]
fn the_lines_of_a_request_are_a_stream() {
    let (_scene, aggregator) = lines_of("apistreams", "");
    check_streams(&aggregator.http());
}

#[test]
fn the_lines_of_a_request_are_a_stream_in_an_embedded_store() {
    let (_scratch, aggregator) = embedded_lines_of("apiembstreams");
    check_streams(&aggregator.http());
}

/// Bytes that a line takes in the stream of its request: those of the JSON that it is made to.
fn bytes_of(line: &Value) -> u64 {
    let mut text = json!({
        "@timestamp": "2026-11-25T10:00:00.000000000Z",
        "log.level": line["level"], "service.name": line["service"], "message": line["message"],
    });
    if let Some(meta) = line["meta"].as_object() {
        text.as_object_mut().unwrap().extend(meta.clone());
    }
    text.to_string().len() as u64
}

/// Over the lines of [`crate::lines::fill`], and a second request of three.
fn check_streams(http: &Http) {
    let minute = minute_of(http);
    let lines: Vec<Value> = (0..LINES).map(|n| line(n, minute)).collect();
    let second: Vec<Value> = (0..3)
        .map(|n| {
            let at = minute + 120_000 + n * 1_000;
            json!({"service": "billing", "level": "warn", "message": format!("late {n}"), "timestamp": at})
        })
        .collect();
    http.json("POST", "/api/v1/logs", &json!(second)).unwrap();
    wait_lines(http, LINES + 3);
    let range = format!("from={minute}&to={}", minute + 300_000);
    let streams = |more: &str| {
        http.get_json(&format!("/api/v1/streams?{range}{more}"))
            .unwrap()
    };
    let found = streams("");
    assert_eq!(found["total"], 2, "{found}");
    let list = found["streams"].as_array().unwrap();
    assert_eq!(list.len(), 2, "{found}");
    // The one with the most lines comes first.
    for (stream, lines, service, first, last) in [
        (&list[0], &lines, "cart", minute, minute + 59_000),
        (
            &list[1],
            &second,
            "billing",
            minute + 120_000,
            minute + 122_000,
        ),
    ] {
        let bytes: u64 = lines.iter().map(bytes_of).sum();
        let newest = bytes_of(lines.last().unwrap());
        let [from, to] = times(http, first, last);
        for (key, value) in [
            ("lines", json!(lines.len())),
            ("bytes", json!(bytes)),
            ("offset", json!(bytes - newest)),
            ("service", json!(service)),
            ("first", json!(from)),
            ("last", json!(to)),
            ("namespace", Value::Null),
            ("pod", Value::Null),
            ("container", Value::Null),
            ("file", Value::Null),
        ] {
            assert_eq!(stream[key], value, "{key} of {stream}");
        }
        // Its lines were sent ten minutes after the first one's time, or later.
        let came = last + stream["lag_ms"].as_u64().unwrap();
        assert!(came >= minute + 600_000 && came <= wall_ms(), "{stream}");
        let name = stream["stream"].as_str().unwrap();
        assert_eq!(name.len(), 16, "{stream}");
        let count = http
            .get_json(&format!("/api/v1/count?{range}&q=stream:{name}"))
            .unwrap();
        assert_eq!(count["count"], lines.len(), "{stream}");
    }
    let one = streams("&size=1");
    assert_eq!(one["total"], 2, "{one}");
    assert_eq!(one["streams"], json!([list[0]]));
    let checkout: Vec<&Value> = lines
        .iter()
        .filter(|line| line["service"] == "checkout")
        .collect();
    let bytes: u64 = checkout.iter().map(|line| bytes_of(line)).sum();
    let some = streams("&q=service:checkout");
    assert_eq!(some["total"], 1, "{some}");
    assert_eq!(some["streams"][0]["lines"], checkout.len());
    assert_eq!(some["streams"][0]["bytes"], bytes);
    let none = streams("&q=nothing");
    assert_eq!(none, json!({"total": 0, "streams": []}));
}
