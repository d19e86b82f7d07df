//! The programs' log: one line an event to standard error, as text or JSON.
//!
//! A message that repeats is written at once the first time and then at most every thirty seconds,
//! with `repeated=n` for those left out between: a store that is down must not fill the disk that
//! the lines are waiting on. Writing fails silently: there is no other place to say so.

mod limit;
mod line;

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::{Registry, reload};

use self::limit::Limiter;
use self::line::Line;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: `<time> <level> <target>: <message> key=value …`.
    #[default]
    Text,
    /// One JSON object a line, fields at the top level.
    Json,
}

static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Installs the log for the whole process, once; later calls change the level only. `level` is
/// `trace`, `debug`, `info`, `warn`, `error` or `off`; anything else is `info`.
pub fn init(level: &str, format: Format) {
    let (filter, handle) = reload::Layer::new(parse_level(level));
    let subscriber = Registry::default()
        .with(filter)
        .with(LogLayer::new(format, std::io::stderr));
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        // Nobody else sets it: the default subscriber is set once in a process.
        drop(LEVEL.set(handle));
    } else {
        set_level(level);
    }
}

/// Changes the level of the log that [`init`] installed.
pub fn set_level(level: &str) {
    if let Some(handle) = LEVEL.get() {
        // Fails only when the subscriber is gone, which never happens to a global one.
        drop(handle.reload(parse_level(level)));
    }
}

fn parse_level(level: &str) -> LevelFilter {
    level.parse().unwrap_or(LevelFilter::INFO)
}

/// Writes events to what `writer` gives.
struct LogLayer<F> {
    format: Format,
    writer: F,
    limiter: Mutex<Limiter>,
}

impl<F> LogLayer<F> {
    fn new(format: Format, writer: F) -> Self {
        Self {
            format,
            writer,
            limiter: Mutex::new(Limiter::default()),
        }
    }
}

impl<S, F, W> Layer<S> for LogLayer<F>
where
    S: Subscriber,
    F: Fn() -> W + 'static,
    W: std::io::Write,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::of(event);
        let metadata = event.metadata();
        // Developers who ask for more than `info` want every event.
        if *metadata.level() <= Level::INFO {
            let admitted = self
                .limiter
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .admit(metadata.callsite(), line.key(), Instant::now());
            match admitted {
                None => return,
                Some(0) => {}
                Some(repeated) => line.add("repeated", repeated.into()),
            }
        }
        let text = line.render(self.format, metadata);
        drop((self.writer)().write_all(text.as_bytes()));
    }
}

#[cfg(test)]
mod tests;
