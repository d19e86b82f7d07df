//! Prints how many MB of log framing takes a CPU-second, by kind of log:
//! `cargo run --profile fast -p framing --example throughput [NAME…]`.
//!
//! CPU time of the process comes from `/proc/self/stat`, in ticks of 10 ms, so that a busy machine
//! does not disturb the figures much. `ROUNDS=11 valgrind --tool=callgrind …`, less the same with
//! `ROUNDS=1`, counts instructions instead, over logs of 2,000 lines (`make bench-guard`).

use std::fmt::Write as _;

use framing::{Flush, Format, Frames, Input, Options, Positions, frame};

/// Bytes of each log, about a large batch.
const SIZE: usize = 8 << 20;
/// Lines of each log where instructions are counted.
const LINES: usize = 2_000;
/// Ticks that each kind is measured for at least.
const TICKS: u64 = 200;

const NGINX: &str = r#"10.2.3.4 - - [21/Nov/2026:10:00:00 +0000] "GET /cart/items?id=4711 HTTP/1.1" 200 1534 "https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0""#;
const JSON: &str = r#"{"time":"2026-11-21T10:00:00.123Z","level":"info","msg":"order placed","order":471100,"customer":"c-12345","total":"12.30","currency":"EUR","items":3,"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","service":"checkout","version":"1.42.7"}"#;
const TEXT: &str = "INFO  [worker-3] com.example.shop.Orders - order 471100 placed in 12 ms";
const PRETTY: [&str; 4] = [
    "{",
    "  \"order\": 471100,",
    "  \"customer\": \"c-12345\"",
    "}",
];
const TRACE: [&str; 4] = [
    "2026-11-21 10:00:00 ERROR [worker-3] com.example.shop.Orders - order failed",
    "java.lang.IllegalStateException: no stock",
    "\tat com.example.shop.Stock.take(Stock.java:42)",
    "\tat com.example.shop.Orders.place(Orders.java:17)",
];

/// What is measured: a name, the format, and lines that take turns.
const KINDS: &[(&str, Format, &[&str])] = &[
    ("cri nginx+json", Format::Cri, &[NGINX, JSON, NGINX]),
    ("cri nginx", Format::Cri, &[NGINX]),
    ("cri text", Format::Cri, &[TEXT]),
    ("cri pretty", Format::Cri, &PRETTY),
    ("cri traces", Format::Cri, &TRACE),
    ("docker nginx", Format::Docker, &[NGINX]),
    ("docker text", Format::Docker, &[TEXT]),
    ("raw nginx", Format::Raw, &[NGINX]),
];

fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    fields[11..13]
        .iter()
        .filter_map(|field| field.parse::<u64>().ok())
        .sum()
}

fn log(format: Format, lines: &[&str], most: usize) -> Vec<u8> {
    let mut log = String::new();
    for n in 0.. {
        let line = lines[n % lines.len()];
        let time = format!(
            "2026-11-21T10:{:02}:{:02}.{:09}Z",
            n / 60_000 % 60,
            n / 1000 % 60,
            n
        );
        let end = match format {
            Format::Raw => writeln!(log, "{line}"),
            Format::Cri => writeln!(log, "{time} stdout F {line}"),
            Format::Docker => {
                let line = line.replace('"', "\\\"").replace('\t', "\\t");
                writeln!(
                    log,
                    r#"{{"log":"{line}\n","stream":"stdout","time":"{time}"}}"#
                )
            }
        };
        end.expect("strings take everything");
        if log.len() >= SIZE || n + 1 == most {
            break;
        }
    }
    log.into_bytes()
}

fn measure(name: &str, format: Format, lines: &[&str], rounds: Option<usize>) {
    let bytes = log(format, lines, rounds.map_or(usize::MAX, |_| LINES));
    let inputs = [Input {
        stream: 1,
        start: 0,
        resume: Positions::default(),
        eof: false,
        bytes: &bytes,
    }];
    let mut frames = Frames::new();
    let options = Options::default();
    frame(format, &inputs, Flush::Soft, &options, &mut frames);
    if let Some(rounds) = rounds {
        for _ in 0..rounds {
            frame(format, &inputs, Flush::Soft, &options, &mut frames);
        }
        return;
    }
    let records = frames.records().len();
    let start = cpu_ticks();
    let mut n = 0;
    let ticks = loop {
        frame(format, &inputs, Flush::Soft, &options, &mut frames);
        n += 1;
        let ticks = cpu_ticks() - start;
        if ticks >= TICKS {
            break ticks;
        }
    };
    let megabytes = n as f64 * bytes.len() as f64 / 1e6;
    let seconds = ticks as f64 / 100.0;
    let nanoseconds = seconds * 1e9 / (n as f64 * records as f64);
    let line = format!(
        "{name:14} {:6.0} MB/CPU-s  {nanoseconds:5.0} ns a record\n",
        megabytes / seconds
    );
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).expect("standard output");
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok());
    for (name, format, lines) in KINDS {
        if only.is_empty() || only.iter().any(|only| only == name) {
            measure(name, *format, lines, rounds);
        }
    }
}
