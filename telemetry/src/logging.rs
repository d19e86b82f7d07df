//! Structured log lines on stderr, and a brake on repeated ones.
//!
//! A fault that lasts repeats its message with each try. The same message from the same place is
//! written at once the first time, then at most every [`QUIET`], with the number of those left out.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// How long a repeated message is held back.
pub const QUIET: Duration = Duration::from_secs(30);

/// Messages remembered at most; when there are more, all are forgotten, which lets a message
/// through once too often.
const MAX_REMEMBERED: usize = 4096;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Sets up logging to stderr; a second call changes nothing but the level. `level` is `error`,
/// `warn`, `info`, `debug` or `trace`; anything else counts as `info`.
pub fn init(level: &str, format: Format) {
    let (filter, handle) = reload::Layer::new(parse(level));
    if LEVEL.set(handle).is_err() {
        return set_level(level);
    }
    let writer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let brake = Brake::default();
    let layer = match format {
        Format::Text => writer.with_target(false).with_filter(brake).boxed(),
        Format::Json => writer.json().flatten_event(true).with_filter(brake).boxed(),
    };
    // Only a test that has set up its own subscriber makes this fail; that one then stays.
    drop(
        tracing_subscriber::registry()
            .with(filter)
            .with(layer)
            .try_init(),
    );
}

/// Changes the level of a running program.
pub fn set_level(level: &str) {
    if let Some(handle) = LEVEL.get() {
        // Fails only when the subscriber is gone, and with it everything that logs.
        drop(handle.modify(|filter| *filter = parse(level)));
    }
}

fn parse(level: &str) -> LevelFilter {
    level.parse().unwrap_or(LevelFilter::INFO)
}

/// Lets a message through once in [`QUIET`].
struct Brake {
    seen: Mutex<HashMap<u64, Seen>>,
    now: fn() -> SystemTime,
}

struct Seen {
    written: SystemTime,
    left_out: u64,
}

impl Default for Brake {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            now: SystemTime::now,
        }
    }
}

impl Brake {
    /// Whether a message with this key may be written, and how many like it were left out.
    fn admit(&self, key: u64) -> Option<u64> {
        let now = (self.now)();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.get_mut(&key) {
            let quiet = now.duration_since(known.written).unwrap_or(QUIET) < QUIET;
            if quiet {
                known.left_out += 1;
                return None;
            }
            known.written = now;
            return Some(std::mem::take(&mut known.left_out));
        }
        if seen.len() >= MAX_REMEMBERED {
            seen.clear();
        }
        seen.insert(
            key,
            Seen {
                written: now,
                left_out: 0,
            },
        );
        Some(0)
    }
}

impl<S: Subscriber> Filter<S> for Brake {
    fn enabled(&self, _meta: &Metadata<'_>, _cx: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _cx: &Context<'_, S>) -> bool {
        // Only what tells of trouble repeats without being asked for.
        if *event.metadata().level() > Level::WARN {
            return true;
        }
        let mut key = Key(DefaultHasher::new());
        event.metadata().callsite().hash(&mut key.0);
        event.record(&mut key);
        match self.admit(key.0.finish()) {
            None => false,
            Some(left_out) => {
                if left_out > 0 {
                    tracing::info!(
                        repeated = left_out,
                        "the next message was left out meanwhile"
                    );
                }
                true
            }
        }
    }
}

/// Hashes the text fields of a message; numbers (bytes, seconds, attempts) differ from one
/// repetition to the next and do not make it another message.
struct Key(DefaultHasher);

impl Visit for Key {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        field.name().hash(&mut self.0);
        format!("{value:?}").hash(&mut self.0);
    }

    fn record_f64(&mut self, _field: &Field, _value: f64) {}

    fn record_i64(&mut self, _field: &Field, _value: i64) {}

    fn record_u64(&mut self, _field: &Field, _value: u64) {}
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    static NOW_S: AtomicU64 = AtomicU64::new(1000);

    #[test]
    fn a_repeated_message_is_held_back_and_counted() {
        let brake = Brake {
            seen: Mutex::default(),
            now: || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S.load(Ordering::Relaxed)),
        };
        assert_eq!(brake.admit(1), Some(0));
        assert_eq!(brake.admit(2), Some(0));
        assert_eq!(brake.admit(1), None);
        assert_eq!(brake.admit(1), None);
        NOW_S.fetch_add(QUIET.as_secs(), Ordering::Relaxed);
        assert_eq!(brake.admit(1), Some(2));
        assert_eq!(brake.admit(1), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let brake = Brake::default();
        for key in 0..3 * MAX_REMEMBERED as u64 {
            brake.admit(key);
        }
        assert!(brake.seen.lock().unwrap().len() <= MAX_REMEMBERED);
    }
}
