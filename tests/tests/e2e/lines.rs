//! Lines of two services, known to the last one, and an aggregator that answers for them: what the
//! tests of the API ask about.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    aggregator::{Aggregator, AggregatorSetup},
    http::Http,
    scene::Scene,
    scratch::Scratch,
    server::Server,
    wait,
};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Lines of the two services of [`fill`].
pub(crate) const LINES: usize = 240;

/// Whether line `n` is one of the service `checkout`; the others are of `cart`.
pub(crate) fn is_checkout(n: usize) -> bool {
    n.is_multiple_of(3)
}

/// Whether line `n` is of level `error`; the others are of `info`.
pub(crate) fn is_error(n: usize) -> bool {
    n.is_multiple_of(10)
}

/// Line `n` of those that begin at `minute`, as it is sent.
pub(crate) fn line(n: usize, minute: u64) -> Value {
    let service = if is_checkout(n) { "checkout" } else { "cart" };
    let level = if is_error(n) { "error" } else { "info" };
    // All of one service cost more than any of the other.
    let cost = if is_checkout(n) { 1_000 + n } else { n };
    json!({
        "service": service, "level": level, "message": format!("order {n} took {}ms", n * 7),
        "meta": {"orderId": n, "url.path": format!("/orders/{}", n % 4), "cost": cost},
        // Four lines each share a time: paging must not lose any of them.
        "timestamp": minute + (n as u64 / 4) * 1000,
    })
}

/// Sends the lines of two services, which fill a minute ten minutes ago, and waits until the store
/// has them.
pub(crate) fn fill(http: &Http) {
    let minute = (wall_ms() - 600_000) / 60_000 * 60_000;
    let batch: Vec<Value> = (0..LINES).map(|n| line(n, minute)).collect();
    let reply = http.json("POST", "/api/v1/logs", &json!(batch)).unwrap();
    assert_eq!(reply["accepted"], LINES);
    wait_lines(http, LINES);
}

/// Waits until the store has so many lines of the last hour.
pub(crate) fn wait_lines(http: &Http, n: usize) {
    wait::until(LIMIT, "the lines to be found", || {
        let count = http.get_json("/api/v1/count?from=1h").ok()?;
        (count["count"].as_u64()? >= n as u64).then_some(())
    })
    .unwrap();
}

/// When the minute of [`fill`] began, in milliseconds: the one that has all the lines.
pub(crate) fn minute_of(http: &Http) -> u64 {
    let histogram = http
        .get_json("/api/v1/histogram?from=1h&interval=1m&by=")
        .unwrap();
    let buckets = histogram["buckets"].as_array().unwrap();
    let mut filled = buckets.iter().filter(|bucket| bucket["count"] != 0);
    let only = filled.next().unwrap();
    assert_eq!(only["count"], LINES, "{histogram}");
    only["start"].as_u64().unwrap()
}

/// Two times in milliseconds as the API writes them.
pub(crate) fn times(http: &Http, from: u64, to: u64) -> [String; 2] {
    let said = http
        .get_json(&format!("/api/v1/query?from={from}&to={to}"))
        .unwrap();
    ["from", "to"].map(|end| said[end].as_str().unwrap().to_owned())
}

pub(crate) fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}

/// What an aggregator of this scene searches: its own documents only, as the store is shared.
pub(crate) fn index_of(scene: &Scene) -> String {
    format!("logs-*-{}", scene.namespace())
}

/// An aggregator that searches [`index_of`] its scene.
pub(crate) fn setup(scene: &Scene, more: &str) -> AggregatorSetup {
    let index = index_of(scene);
    scene
        .aggregator_setup()
        .with("web", &format!("{{index: '{index}'{more}}}"))
        .elasticsearch("template", "{refresh_interval: 1s}")
}

/// An aggregator with the lines of [`fill`] in the store.
pub(crate) fn lines_of(name: &str, more: &str) -> (Scene, Aggregator) {
    let scene = Scene::new(name, Server::shared().unwrap()).unwrap();
    let setup = setup(&scene, more);
    let aggregator = Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    fill(&aggregator.http());
    (scene, aggregator)
}

/// An aggregator with a store of its own, and with the lines of [`fill`] in it.
pub(crate) fn embedded_lines_of(name: &str) -> (Scratch, Aggregator) {
    let scratch = Scratch::new(name).unwrap();
    let setup = AggregatorSetup::embedded("default");
    let aggregator = Aggregator::start(&scratch.path().join("aggregator"), &setup).unwrap();
    fill(&aggregator.http());
    (scratch, aggregator)
}

/// A request with headers of its own, each with its line's end; status, head in lower case, and
/// body of the answer.
pub(crate) fn exchange(
    http: &Http,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String, String) {
    let address = http.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}
