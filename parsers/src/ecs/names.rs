//! Names that lines use, and what they stand for.

use std::sync::OnceLock;

use super::{FIELDS, FieldId};

/// What a name in a line stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// No meaning of its own.
    Other,
    /// The time of the event.
    Time,
    /// The message; of several the one with the lowest number is taken.
    Message(u8),
    /// The level, by word or by the numbers of pino, bunyan and syslog.
    Level,
    /// The level by the numbers of Python's logging.
    LevelPython,
    /// The level by the numbers of OpenTelemetry.
    LevelOtel,
    /// Text of an error: its stack trace when it has several lines, else its message.
    Error,
    /// Where in the program the line comes from: `app/main.go:42`.
    Origin,
    /// An ECS field.
    Field(FieldId),
}

/// A name and its meaning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) text: &'static str,
    pub(crate) role: Role,
    /// As an object it may hold names of this table: `http: {request: {method: …}}`.
    pub(crate) is_root: bool,
}

const MESSAGES: &[&str] = &[
    "message",
    "msg",
    "Message",
    "@m",
    "RenderedMessage",
    "short_message",
    "log",
    "MESSAGE",
    "@message",
    "textPayload",
    "body",
    "Body",
    "@mt",
    "MessageTemplate",
    "event",
];
const TIMES: &[&str] = &[
    "@timestamp",
    "timestamp",
    "time",
    "ts",
    "@t",
    "Timestamp",
    "datetime",
    "asctime",
    "Time",
    "timeMillis",
    "time_iso8601",
    "eventTime",
    "event_time",
    "timestamp(ms)",
];
const LEVELS: &[&str] = &[
    "log.level",
    "level",
    "severity",
    "lvl",
    "levelname",
    "level_name",
    "loglevel",
    "log_level",
    "logLevel",
    "Level",
    "@l",
    "severity_text",
    "severityText",
    "SeverityText",
    "LEVEL",
    "SEVERITY",
    "Severity",
];
/// Other names of ECS fields, as logging libraries, tracers and OpenTelemetry write them.
pub(super) const ALIASES: &[(&str, &str)] = &[
    // pino, bunyan
    ("hostname", "host.hostname"),
    ("pid", "process.pid"),
    // log/slog, logrus, Python
    ("source.file", "log.origin.file.name"),
    ("source.line", "log.origin.file.line"),
    ("source.function", "log.origin.function"),
    ("func", "log.origin.function"),
    ("funcName", "log.origin.function"),
    ("lineno", "log.origin.file.line"),
    ("logger", "log.logger"),
    ("logger_name", "log.logger"),
    ("loggerName", "log.logger"),
    ("SourceContext", "log.logger"),
    ("thread_name", "process.thread.name"),
    ("threadName", "process.thread.name"),
    ("trace_id", "trace.id"),
    ("traceId", "trace.id"),
    ("traceID", "trace.id"),
    ("TraceId", "trace.id"),
    ("traceid", "trace.id"),
    ("dd.trace_id", "trace.id"),
    ("otelTraceID", "trace.id"),
    ("@tr", "trace.id"),
    ("span_id", "span.id"),
    ("spanId", "span.id"),
    ("spanID", "span.id"),
    ("SpanId", "span.id"),
    ("spanid", "span.id"),
    ("dd.span_id", "span.id"),
    ("otelSpanID", "span.id"),
    ("@sp", "span.id"),
    ("transaction_id", "transaction.id"),
    ("error_message", "error.message"),
    ("errorMessage", "error.message"),
    ("error.msg", "error.message"),
    ("err.message", "error.message"),
    ("err.msg", "error.message"),
    ("exception.message", "error.message"),
    ("thrown.message", "error.message"),
    ("error.name", "error.type"),
    ("error.kind", "error.type"),
    ("err.type", "error.type"),
    ("err.name", "error.type"),
    ("exception.type", "error.type"),
    ("exception.class", "error.type"),
    ("exception.name", "error.type"),
    ("thrown.name", "error.type"),
    ("error_type", "error.type"),
    ("err.code", "error.code"),
    ("stack_trace", "error.stack_trace"),
    ("stacktrace", "error.stack_trace"),
    ("stackTrace", "error.stack_trace"),
    ("stack", "error.stack_trace"),
    ("exc_info", "error.stack_trace"),
    ("error.stack", "error.stack_trace"),
    ("error.stacktrace", "error.stack_trace"),
    ("err.stack", "error.stack_trace"),
    ("exception.stacktrace", "error.stack_trace"),
    ("exception.stack_trace", "error.stack_trace"),
    ("exception.stack", "error.stack_trace"),
    ("thrown.extendedStackTrace", "error.stack_trace"),
];

/// A cheap hash of a key: its length and its first and last bytes. Good enough to tell the keys
/// of one object apart; equal hashes are always compared.
#[inline(always)]
pub(crate) fn key_hash(key: &[u8]) -> u32 {
    let (a, b) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(first), Some(last)) => (
                u64::from(u32::from_le_bytes(*first)),
                u64::from(u32::from_le_bytes(*last)),
            ),
            _ => {
                let middle = u64::from(*key.get(key.len() / 2).unwrap_or(&0));
                (
                    u64::from(*key.first().unwrap_or(&0)) | middle << 8,
                    u64::from(*key.last().unwrap_or(&0)),
                )
            }
        },
    };
    let mixed = (a ^ b.rotate_left(23) ^ key.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32
}

/// All names with a meaning, found by [`key_hash`].
#[derive(Debug)]
pub(crate) struct Names {
    pub(super) all: Vec<Name>,
    /// Hash, and index + 1 into `all`, open addressing; 0 is free. Several times as many slots as
    /// names, so that a name without meaning is mostly refused by the first slot.
    slots: Vec<(u32, u16)>,
}

impl Names {
    /// The table, built at first use.
    pub(crate) fn get() -> &'static Names {
        static NAMES: OnceLock<Names> = OnceLock::new();
        NAMES.get_or_init(Names::build)
    }

    fn build() -> Names {
        let mut names = Names {
            all: Vec::new(),
            slots: vec![(0, 0); 2048],
        };
        for (i, (name, _)) in FIELDS.iter().enumerate() {
            names.add(name, Role::Field(FieldId(i as u8)));
        }
        for (i, name) in MESSAGES.iter().enumerate() {
            names.add(name, Role::Message(i as u8));
        }
        TIMES.iter().for_each(|name| names.add(name, Role::Time));
        LEVELS.iter().for_each(|name| names.add(name, Role::Level));
        names.add("levelno", Role::LevelPython);
        names.add("severity_number", Role::LevelOtel);
        names.add("severityNumber", Role::LevelOtel);
        names.add("SeverityNumber", Role::LevelOtel);
        for name in ["error", "err", "exception", "@x", "thrown"] {
            names.add(name, Role::Error);
        }
        // zap, zerolog, etcd, Caddy; logrus
        for name in ["caller", "file"] {
            names.add(name, Role::Origin);
        }
        for (name, field) in ALIASES {
            if let Some(id) = FieldId::find(field) {
                names.add(name, Role::Field(id));
            }
        }
        let roots: Vec<&'static str> = names
            .all
            .iter()
            .filter_map(|n| n.text.split_once('.').map(|(root, _)| root))
            .collect();
        for root in roots {
            match names.position(root.as_bytes()) {
                Some(at) => names.all[at].is_root = true,
                None => {
                    names.add(root, Role::Other);
                    if let Some(last) = names.all.last_mut() {
                        last.is_root = true;
                    }
                }
            }
        }
        names
    }

    fn add(&mut self, text: &'static str, role: Role) {
        self.all.push(Name {
            text,
            role,
            is_root: false,
        });
        let hash = key_hash(text.as_bytes());
        let mut slot = hash as usize % self.slots.len();
        while self.slots[slot].1 != 0 {
            slot = (slot + 1) % self.slots.len();
        }
        self.slots[slot] = (hash, self.all.len() as u16);
    }

    pub(super) fn position(&self, key: &[u8]) -> Option<usize> {
        self.position_hashed(key, key_hash(key))
    }

    #[inline]
    fn position_hashed(&self, key: &[u8], hash: u32) -> Option<usize> {
        let mut slot = hash as usize % self.slots.len();
        loop {
            let (found, index) = self.slots[slot];
            let index = usize::from(index).checked_sub(1)?;
            if found == hash && self.all[index].text.as_bytes() == key {
                return Some(index);
            }
            slot = (slot + 1) % self.slots.len();
        }
    }

    /// The meaning of `key`, whose [`key_hash`] is `hash`.
    #[inline]
    pub(crate) fn lookup(&self, key: &[u8], hash: u32) -> Option<&Name> {
        self.position_hashed(key, hash).map(|i| &self.all[i])
    }
}
