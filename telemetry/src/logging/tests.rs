//! Events through the layer, and the limiter over a clock of the test's own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::limit::{MAX_KEYS, WINDOW};
use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(format: Format, work: impl FnOnce()) -> Vec<String> {
    let sink = Sink::default();
    let writer = sink.clone();
    let layer = LogLayer::new(format, move || writer.clone());
    let subscriber = Registry::default().with(LevelFilter::DEBUG).with(layer);
    tracing::subscriber::with_default(subscriber, work);
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn text_is_one_line_with_its_fields() {
    let lines = written(Format::Text, || {
        let error = io::Error::other("disk \"full\"");
        warn!(path = "/var/log/a\u{1b}b", bytes = 12u64, %error, done = true, "line cut\u{7} at {}", 5);
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (time, rest) = lines[0].split_once(' ').unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert_eq!(
        rest,
        " WARN telemetry::logging::tests: line cut\\u{7} at 5 path=\"/var/log/a\\u001bb\" bytes=12 \
         error=\"disk \\\"full\\\"\" done=true"
    );
}

#[test]
fn json_is_one_object_a_line() {
    let lines = written(Format::Json, || {
        info!(path = "a\nb", bytes = 12u64, "hello")
    });
    let value: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(value["message"], "hello");
    assert_eq!(value["log.level"], "info");
    assert_eq!(value["path"], "a\nb");
    assert_eq!(value["bytes"], 12);
    assert!(value["@timestamp"].is_string());
}

#[test]
fn repeated_messages_are_written_once_in_a_window() {
    let lines = written(Format::Text, || {
        for n in 0..100u64 {
            // One place in the code, one text: numbers make no difference.
            warn!(n, "no answer after {n} s");
        }
        for host in ["a", "b", "a"] {
            warn!(host, "no answer");
        }
        for n in 0..3 {
            debug!(n, "every one of these is wanted");
        }
    });
    let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("no answer after"), 1, "{lines:?}");
    assert_eq!(count("host=a"), 1, "{lines:?}");
    assert_eq!(count("host=b"), 1, "{lines:?}");
    assert_eq!(count("wanted"), 3, "{lines:?}");
}

/// The identity of some callsite.
fn callsite() -> tracing::callsite::Identifier {
    use tracing::Callsite as _;
    tracing::callsite!(name: "here", kind: tracing::metadata::Kind::EVENT, fields: message)
        .metadata()
        .callsite()
}

#[test]
fn left_out_messages_are_counted() {
    let here = callsite();
    let mut limiter = Limiter::default();
    let start = Instant::now();
    assert_eq!(limiter.admit(here.clone(), 1, start), Some(0));
    for seconds in 1..30 {
        assert_eq!(
            limiter.admit(here.clone(), 1, start + Duration::from_secs(seconds)),
            None
        );
    }
    assert_eq!(
        limiter.admit(here.clone(), 2, start + Duration::from_secs(5)),
        Some(0)
    );
    assert_eq!(limiter.admit(here.clone(), 1, start + WINDOW), Some(29));
    assert_eq!(limiter.admit(here.clone(), 1, start + WINDOW), None);
    assert_eq!(limiter.admit(here, 1, start + WINDOW * 2), Some(1));
}

#[test]
fn many_different_messages_of_one_place_count_as_one() {
    let here = callsite();
    let mut limiter = Limiter::default();
    let start = Instant::now();
    let n_written = (0..10_000)
        .filter(|key| limiter.admit(here.clone(), *key, start).is_some())
        .count();
    assert_eq!(n_written, MAX_KEYS + 1);
    // A window later the place starts anew.
    assert_eq!(limiter.admit(here, 20_000, start + WINDOW), Some(0));
}
