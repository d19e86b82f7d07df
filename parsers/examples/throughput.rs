//! Framed records to documents on one thread: MB of log per CPU-second, by kind of line.
//!
//! `make bench-rules`, or
//! `cargo run --profile fast -p parsers --example throughput [NAME…]`
//!
//! Each line is measured with its own rule alone, and with all shipped rules in force. The machine
//! is seldom alone: the best of many rounds counts, and the `regex` crate on the same nginx lines
//! is the yardstick for how fast the machine is just now.
#![expect(clippy::print_stdout, reason = "it prints its table")]

use std::path::Path;
use std::sync::Arc;

use parsers::{Parser, RecordView, RuleSet, StreamContext};

/// nginx's access log as Fluent Bit's parsers file has it.
const FLUENT_BIT_NGINX: &str = r#"^(?P<remote>[^ ]*) (?P<host>[^ ]*) (?P<user>[^ ]*) \[(?P<time>[^\]]*)\] "(?P<method>\S+)(?: +(?P<path>[^\"]*?)(?: +\S*)?)?" (?P<code>[^ ]*) (?P<size>[^ ]*)(?: "(?P<referer>[^\"]*)" "(?P<agent>[^\"]*)")"#;

/// What is measured: a name, the kind of line, and the rule for it (`None`: all that ship).
const TARGETS: &[(&str, &str, Option<&str>)] = &[
    ("json", "json", Some("")),
    ("nginx", "nginx", Some("name: a\nsteps: [{nginx: {}}]\n")),
    ("nginx_regex", "nginx", Some("regex")),
    ("logfmt", "logfmt", Some("")),
    (
        "grok",
        "nginx",
        Some("name: a\nsteps: [{grok: '%{COMBINEDAPACHELOG}'}]\n"),
    ),
    (
        "grok_line",
        "nginx",
        Some("name: a\nsteps: [{grok: '^%{COMBINEDAPACHELOG}$'}]\n"),
    ),
    ("plain", "plain", Some("")),
    ("json/all", "json", None),
    ("nginx/all", "nginx", None),
    ("logfmt/all", "logfmt", None),
    ("plain/all", "plain", None),
];

/// CPU time of this process in seconds.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn lines(kind: &str) -> Vec<String> {
    (0..2000u64)
        .map(|i| {
            let (n, ms) = (i * 7919 % 100_000, i % 1000);
            match kind {
                "json" => format!(
                    r#"{{"time":"2024-05-01T10:00:{:02}.{ms:03}Z","level":"info","logger":"shop.checkout","msg":"order placed for customer {n}","order_id":"A{n}","customer":{{"id":{n},"country":"DE","vip":false}},"items":[{{"sku":"S{ms}","quantity":2}}],"amount":129.95,"took_ms":{ms},"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}}"#,
                    i % 60
                ),
                "logfmt" => format!(
                    r#"time=2024-05-01T10:00:{:02}.{ms:03}Z level=info logger=shop.checkout msg="order placed" order_id=A{n} customer=C{n} amount=129.95 took_ms={ms} trace_id=4bf92f3577b34da6a3ce929d0e0e4736"#,
                    i % 60
                ),
                "nginx" => format!(
                    r#"203.0.113.{} - - [01/May/2024:10:00:{:02} +0000] "GET /api/cart/{n}?currency=EUR HTTP/1.1" 200 {n} "https://shop.example/products/{n}" "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 Safari/537.36""#,
                    i % 256,
                    i % 60
                ),
                _ => format!(
                    "2024-05-01 10:00:{:02}.{ms:03} INFO [http-nio-8080-exec-{}] com.shop.checkout.OrderService - order A{n} placed for customer {n}, amount 129.95 EUR, took {ms} ms",
                    i % 60,
                    i % 16
                ),
            }
        })
        .collect()
}

/// Seconds of the fastest of many rounds. Without a clock under `ROUNDS=20 valgrind
/// --tool=callgrind …`, which counts instructions instead: those are the same at any load.
fn best(mut round: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    if let Some(n) = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()) {
        (0..n).for_each(|_| round());
        return best;
    }
    for _ in 0..200 {
        let start = cpu_seconds();
        round();
        best = best.min(cpu_seconds() - start);
    }
    best
}

/// The Vector Remap Language on the same lines: the event in, the program run, JSON out. Less work
/// than a document is, which has the stream's metadata and its names of ECS.
#[cfg(feature = "vrl")]
fn measure_vrl(name: &str, kind: &str, source: &str) {
    use vrl::compiler::state::RuntimeState;
    use vrl::compiler::{Context, TargetValue, TimeZone};
    let lines = lines(kind);
    let n_bytes = lines.iter().map(|line| line.len() as u64).sum();
    let compiled = vrl::compiler::compile(source, &vrl::stdlib::all()).expect("it compiles");
    let (zone, mut out) = (TimeZone::default(), Vec::new());
    let seconds = best(|| {
        for line in &lines {
            out.clear();
            let mut target = TargetValue {
                value: vrl::value!({"message": (line.as_str())}),
                metadata: vrl::value::Value::Null,
                secrets: vrl::value::Secrets::default(),
            };
            let mut state = RuntimeState::default();
            let mut context = Context::new(&mut target, &mut state, &zone);
            compiled.program.resolve(&mut context).expect("it runs");
            serde_json::to_writer(&mut out, &target.value).expect("it is JSON");
        }
    });
    print(name, n_bytes, lines.len(), seconds, true);
}

fn rules(rule: Option<&str>) -> RuleSet {
    let texts: Vec<_> = match rule {
        None => RuleSet::shipped().to_vec(),
        Some("") => return RuleSet::empty(),
        Some("regex") => {
            let fields = "{remote: source.address, host: url.domain, user: user.name, time: '@timestamp', method: http.request.method, path: url.original, code: http.response.status_code, size: http.response.body.bytes, referer: http.request.referrer, agent: user_agent.original}";
            let text = format!(
                "name: a\nsteps:\n  - regex:\n      expr: '{FLUENT_BIT_NGINX}'\n      fields: {fields}\n"
            );
            return load(&[("a.yaml", &text)]);
        }
        Some(text) => vec![("a.yaml", text)],
    };
    load(&texts)
}

fn load(texts: &[(&str, &str)]) -> RuleSet {
    let texts: Vec<_> = texts.iter().map(|(n, t)| (Path::new(*n), *t)).collect();
    RuleSet::from_texts(&texts).expect("the rules are right")
}

fn print(name: &str, n_bytes: u64, n_records: usize, seconds: f64, is_matched: bool) {
    let (bytes, records) = (n_bytes as f64, n_records as f64);
    println!(
        "{name:12} {:>9.0} {:>11.0} {:>10.0} {:>7.0} {}",
        bytes / 1e6 / seconds,
        records / seconds,
        seconds * 1e9 / records,
        bytes / records,
        if is_matched { "" } else { "  no rule matched" },
    );
}

fn main() {
    let metadata = br#"{"container.id":"0123456789abcdef","container.image.name":"shop/web:1","kubernetes.namespace":"shop","kubernetes.pod.name":"web-7d9c5b-x2x4z","kubernetes.pod.uid":"3e0f1c5a-0000-4000-8000-000000000000","kubernetes.container.name":"web","kubernetes.node.name":"node-1","service.name":"web","log.file.path":"/var/log/pods/shop_web-7d9c5b-x2x4z_3e0f1c5a/web/0.log"}"#;
    let Ok(stream) = StreamContext::new(metadata) else {
        return;
    };
    println!(
        "{:12} {:>9} {:>11} {:>10} {:>7}",
        "lines", "MB/CPU-s", "docs/CPU-s", "ns/record", "B/line"
    );
    let only: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    for (name, kind, rule) in TARGETS {
        if !is_wanted(name) {
            continue;
        }
        let lines = lines(kind);
        let n_bytes = lines.iter().map(|line| line.len() as u64).sum();
        let mut parser = Parser::new(Arc::new(rules(*rule)));
        let mut out = Vec::new();
        let mut n_matched = 0;
        let seconds = best(|| {
            let mut offset = 0;
            n_matched = 0;
            for chunk in lines.chunks(500) {
                out.clear();
                for (i, line) in chunk.iter().enumerate() {
                    let record = RecordView {
                        message: line.as_bytes(),
                        iostream: Some("stdout"),
                        time_ns: Some(1_714_557_600_000_000_000 + i as i64 * 1_000_003),
                        now_ns: 1_714_557_601_000_000_000,
                        stream: 0x0123_4567_89ab_cdef,
                        offset,
                        length: line.len() as u64 + 46,
                        parts: &[],
                        trace_at: None,
                        tags: &[],
                        unparsed: false,
                    };
                    let outcome = parser.append_document(&record, &stream, &mut out);
                    let is_matched =
                        matches!(outcome, parsers::Outcome::Document(d) if d.rule.is_some());
                    n_matched += usize::from(is_matched);
                    offset += line.len() as u64;
                }
            }
        });
        let is_matched = n_matched == lines.len() || *rule == Some("");
        print(name, n_bytes, lines.len(), seconds, is_matched);
    }
    if is_wanted("yardstick") {
        let lines = lines("nginx");
        let n_bytes = lines.iter().map(|line| line.len() as u64).sum();
        let regex = regex::bytes::Regex::new(FLUENT_BIT_NGINX).expect("it is right");
        let mut locations = regex.capture_locations();
        let mut n_matched = 0;
        let seconds = best(|| {
            for line in &lines {
                let found = regex.captures_read(&mut locations, line.as_bytes());
                n_matched += usize::from(found.is_some());
            }
        });
        print("yardstick", n_bytes, lines.len(), seconds, n_matched > 0);
    }
    #[cfg(feature = "vrl")]
    for (name, kind, source) in [
        (
            "vrl_nginx",
            "nginx",
            ". = parse_nginx_log!(string!(.message), \"combined\")",
        ),
        ("vrl_json", "json", ". = parse_json!(string!(.message))"),
    ] {
        if is_wanted(name) {
            measure_vrl(name, kind, source);
        }
    }
}
