//! Grafana's JSON data source: all targets, tables, filters, marks, variables, and saved searches as
//! targets.

use serde_json::{Value, json};
use tests::{aggregator::Aggregator, http::Http};

use crate::lines::{
    LINES, embedded_lines_of, exchange, is_checkout, is_error, lines_of, minute_of, times, wall_ms,
};

/// Targets that are always there.
const TARGETS: [&str; 6] = [
    "error_count",
    "error_by_service",
    "error_by_level",
    "log_count",
    "log_by_level",
    "log_by_service",
];
/// Lines of ten seconds.
const A_POINT: usize = 40;

#[test]
fn saved_searches_and_grafana_work_together() {
    let (_scene, aggregator) = lines_of("apisaved", "");
    check_saved_searches(&aggregator);
}

#[test]
fn saved_searches_and_grafana_work_over_an_embedded_store() {
    let (_scratch, aggregator) = embedded_lines_of("apiembsaved");
    check_saved_searches(&aggregator);
}

/// Over the lines of [`crate::lines::fill`]: a saved search is a target.
fn check_saved_searches(aggregator: &Aggregator) {
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
}

#[test]
fn every_endpoint_of_grafana_s_json_data_source_answers() {
    let (_scene, aggregator) = lines_of("apigrafana", "");
    check_endpoints(&aggregator.http());
}

#[test]
fn every_endpoint_of_grafana_s_json_data_source_answers_over_an_embedded_store() {
    let (_scratch, aggregator) = embedded_lines_of("apiembgrafana");
    check_endpoints(&aggregator.http());
}

/// Over the lines of [`crate::lines::fill`].
fn check_endpoints(http: &Http) {
    let minute = minute_of(http);
    // Times as Grafana writes them.
    let [from, to] = times(http, minute, minute + 60_000);
    let range = json!({"from": from, "to": to, "raw": {"from": "now-1h", "to": "now"}});
    check_targets(http, &range, minute);
    check_tables(http, &range);
    check_marks(http, &range, minute);
    check_names_and_values(http);
    check_refusals(http);
}

fn post(http: &Http, endpoint: &str, body: &Value) -> Value {
    http.json("POST", &format!("/api/v1/grafana/{endpoint}"), body)
        .unwrap()
}

/// Every target as a series: each point holds the lines of its ten seconds.
fn check_targets(http: &Http, range: &Value, minute: u64) {
    let series = |target: &str, is_in: fn(usize) -> bool| {
        let points = (0..LINES / A_POINT).map(|point| {
            let lines = point * A_POINT..(point + 1) * A_POINT;
            let count = lines.filter(|n| is_in(*n)).count();
            json!([count, minute + 10_000 * point as u64])
        });
        json!({"target": target, "datapoints": points.collect::<Value>()})
    };
    let targets = TARGETS.map(|name| json!({"target": name, "type": "timeserie"}));
    let asked = json!({"range": range, "maxDataPoints": 6, "targets": targets});
    // Of several the one with the most lines comes first.
    assert_eq!(
        post(http, "query", &asked),
        json!([
            series("error_count", is_error),
            series("cart", |n| is_error(n) && !is_checkout(n)),
            series("checkout", |n| is_error(n) && is_checkout(n)),
            series("error", is_error),
            series("log_count", |_| true),
            series("info", |n| !is_error(n)),
            series("error", is_error),
            series("cart", |n| !is_checkout(n)),
            series("checkout", is_checkout),
        ])
    );
    let hidden = json!({"target": "log_count", "hide": true});
    let unnamed = json!({"target": ""});
    let asked = json!({"range": range, "targets": [hidden, unnamed]});
    assert_eq!(post(http, "query", &asked), json!([]));
    assert_eq!(post(http, "query", &json!({"range": range})), json!([]));
}

/// Tables, and what narrows a target: its own query, and filters of the dashboard.
fn check_tables(http: &Http, range: &Value) {
    let errors = (0..LINES).filter(|n| is_error(*n)).count();
    let checkout = (0..LINES).filter(|n| is_checkout(*n)).count();
    let cart = LINES - checkout;
    let asked = json!({"range": range, "targets": [{"target": "log_by_level", "type": "table"}]});
    assert_eq!(
        post(http, "query", &asked),
        json!([{
            "type": "table",
            "columns": [
                {"text": "log_by_level", "type": "string"},
                {"text": "count", "type": "number"},
            ],
            "rows": [["info", LINES - errors], ["error", errors]],
        }])
    );
    let count = |mut asked: Value, payload: Value| -> Value {
        asked["targets"] = json!([{"target": "log_count", "type": "table", "payload": payload}]);
        let found = post(http, "query", &asked);
        assert_eq!(found[0]["rows"][0][0], "log_count", "{asked}");
        found[0]["rows"][0][1].clone()
    };
    let plain = json!({"range": range});
    for (payload, expected) in [
        (Value::Null, LINES),
        (json!({}), LINES),
        (json!({"q": "service:cart"}), cart),
        (json!("{\"q\": \"service:checkout -level:error\"}"), 72),
    ] {
        let found = count(plain.clone(), payload.clone());
        assert_eq!(found, expected, "{payload}");
    }
    // Without a range the last hour.
    assert_eq!(count(json!({}), Value::Null), LINES);
    for (key, operator, value, expected) in [
        ("service.name", "=", "cart", cart),
        ("service", "=", "cart", cart),
        ("service.name", "!=", "cart", checkout),
        ("service.name", "=~", "ca.*", cart),
        ("service.name", "!~", "ca.*", checkout),
        ("log.level", "=", "error", errors),
        ("orderId", ">", "229", 10),
        ("orderId", "<", "7", 7),
        ("service.name", "=", "nobody", 0),
    ] {
        let filter = json!({"key": key, "operator": operator, "value": value});
        let found = count(
            json!({"range": range, "adhocFilters": [filter]}),
            Value::Null,
        );
        assert_eq!(found, expected, "{filter}");
    }
    let both = json!({"range": range, "adhocFilters": [
        {"key": "service.name", "operator": "=", "value": "cart"},
        {"key": "log.level", "operator": "=", "value": "error"},
    ]});
    assert_eq!(count(both, json!({"q": "orderId>=100"})), 10);
}

/// Documents as marks, the newest first.
fn check_marks(http: &Http, range: &Value, minute: u64) {
    let ask = |annotation: Value| -> Vec<Value> {
        let asked = json!({"range": range, "annotation": annotation});
        match post(http, "annotations", &asked) {
            Value::Array(marks) => marks,
            other => panic!("{other}"),
        }
    };
    let times_of = |marks: &[Value]| -> Vec<u64> {
        let times = marks.iter().map(|mark| mark["time"].as_u64().unwrap());
        times.collect()
    };
    let expected = |is_in: fn(usize) -> bool| -> Vec<u64> {
        let lines = (0..LINES).rev().filter(|n| is_in(*n));
        lines.map(|n| minute + n as u64 / 4 * 1_000).collect()
    };
    let annotation = json!({
        "name": "errors", "enable": true, "query": "level:error service:checkout",
    });
    let marks = ask(annotation.clone());
    assert_eq!(
        times_of(&marks),
        expected(|n| is_error(n) && is_checkout(n))
    );
    assert_eq!(
        marks[0],
        json!({
            "annotation": annotation,
            "time": minute + 52_000,
            "title": "order 210 took 1470ms",
            "text": "order 210 took 1470ms",
            "tags": ["error", "checkout"],
        })
    );
    // Without a query those that are errors; at most 200.
    assert_eq!(times_of(&ask(json!({"name": "all"}))), expected(is_error));
    let q = ask(json!({"name": "q", "q": "service:checkout"}));
    assert_eq!(times_of(&q), expected(is_checkout));
    assert_eq!(ask(json!({"query": "order"})).len(), 200);
    assert!(ask(json!({"query": "nothing"})).is_empty());
}

/// Names of targets, of fields, and values of fields.
fn check_names_and_values(http: &Http) {
    let health = http.get_json("/api/v1/grafana/").unwrap();
    assert_eq!(health, json!({"status": "ok"}));
    let health = http.get_json("/api/v1/grafana").unwrap();
    assert_eq!(health, json!({"status": "ok"}));
    // Saved searches of others may follow.
    let first = |endpoint: &str| -> Value {
        let names = post(http, endpoint, &json!({}));
        let names = names.as_array().unwrap().iter();
        names.take(TARGETS.len()).cloned().collect()
    };
    assert_eq!(first("search"), json!(TARGETS));
    let metrics = TARGETS.map(|name| json!({"label": name, "value": name}));
    assert_eq!(first("metrics"), json!(metrics));

    let variable = |payload: Value| -> Vec<String> {
        let values = post(http, "variable", &json!({"payload": payload}));
        let values = values.as_array().unwrap().iter();
        values
            .map(|value| {
                assert_eq!(value["__text"], value["__value"]);
                value["__text"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    assert_eq!(variable(json!({"target": "level"})), ["info", "error"]);
    assert_eq!(variable(json!("log.level")), ["info", "error"]);
    assert_eq!(variable(Value::Null), ["cart", "checkout"]);
    let values = |key: &str| -> Vec<String> {
        let values = post(http, "tag-values", &json!({"key": key}));
        let values = values.as_array().unwrap().iter();
        values
            .map(|value| value["text"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values("service.name"), ["cart", "checkout"]);
    let mut paths = values("path");
    paths.sort_unstable();
    assert_eq!(paths, ["/orders/0", "/orders/1", "/orders/2", "/orders/3"]);
    let orders = values("attributes.orderId");
    assert_eq!(orders.len(), LINES);
    assert!(orders.iter().any(|order| order == "77"), "{orders:?}");
    assert!(values("no.such.field").is_empty());

    let keys = post(http, "tag-keys", &json!({}));
    let has = |name: &str| {
        let key = json!({"type": "string", "text": name});
        keys.as_array().unwrap().contains(&key)
    };
    for name in [
        "service.name",
        "log.level",
        "attributes.orderId",
        "url.path",
    ] {
        assert!(has(name), "{name}: {keys}");
    }
    // Text has words, not values.
    assert!(!has("message"), "{keys}");
}

/// What is wrong is named, as problem+json.
fn check_refusals(http: &Http) {
    let json_type = "content-type: application/json\r\n";
    let refuse = |method: &str, endpoint: &str, headers: &str, body: &str, expected: u16| {
        let path = format!("/api/v1/grafana/{endpoint}");
        let (status, head, said) = exchange(http, method, &path, headers, body);
        assert_eq!(status, expected, "{method} {path} {body}: {said}");
        assert!(
            head.contains("\r\ncontent-type: application/problem+json"),
            "{head}"
        );
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["status"], expected, "{said}");
        assert!(said["type"].is_string() && said["detail"].is_string());
        (head, said)
    };
    for endpoint in [
        "search",
        "metrics",
        "query",
        "annotations",
        "variable",
        "tag-keys",
        "tag-values",
    ] {
        let (head, said) = refuse("GET", endpoint, "", "", 405);
        assert!(head.contains("\r\nallow: post"), "{head}");
        assert_eq!(said["allowed"], "POST", "{endpoint}");
    }
    let (_, said) = refuse("POST", "", json_type, "{}", 405);
    assert_eq!(said["allowed"], "GET");
    for endpoint in ["nothing", "query/more", "Query"] {
        let (_, said) = refuse("POST", endpoint, json_type, "{}", 404);
        assert_eq!(said["type"], "/problems/not-found", "{endpoint}");
    }
    refuse("POST", "query", "content-type: text/plain\r\n", "{}", 415);
    refuse("POST", "query", json_type, "{", 400);
    let many = vec![json!({"target": "log_count"}); 51];
    for (endpoint, body, field) in [
        ("query", json!([]), ""),
        (
            "query",
            json!({"targets": [{"target": "nobody's"}]}),
            "target",
        ),
        (
            "query",
            json!({"targets": [{"target": "log_count", "payload": {"q": "(a"}}]}),
            "payload.q",
        ),
        ("query", json!({"targets": many}), "targets"),
        ("query", json!({"range": {"from": "soon"}}), "range.from"),
        ("query", json!({"range": {"to": true}}), "range.to"),
        (
            "query",
            json!({"range": {"from": 2_000, "to": 1_000}}),
            "range",
        ),
        (
            "annotations",
            json!({"annotation": {"query": "(a"}}),
            "annotation.query",
        ),
        ("tag-values", json!({}), "key"),
    ] {
        let (_, said) = refuse("POST", endpoint, json_type, &body.to_string(), 422);
        assert_eq!(said["field"], field, "{body}: {said}");
    }
}
