//! Names of fields: the short ones that people type, and where the names of applications land.

/// A short name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// What people type.
    pub name: &'static str,
    /// The field.
    pub field: &'static str,
}

const fn alias(name: &'static str, field: &'static str) -> Alias {
    Alias { name, field }
}

/// Sorted by name.
const ALIASES: &[Alias] = &[
    alias("agent", "user_agent.original"),
    alias("bytes", "http.response.body.bytes"),
    alias("client", "source.address"),
    alias("container", "kubernetes.container.name"),
    alias("dataset", "data_stream.dataset"),
    alias("error", "error.message"),
    alias("exception", "error.type"),
    alias("file", "log.file.path"),
    alias("fingerprint", "error.fingerprint"),
    alias("host", "host.name"),
    alias("image", "container.image.name"),
    alias("ip", "source.ip"),
    alias("iostream", "log.iostream"),
    alias("level", "log.level"),
    alias("logger", "log.logger"),
    alias("method", "http.request.method"),
    alias("msg", "message"),
    alias("namespace", "kubernetes.namespace"),
    alias("node", "kubernetes.node.name"),
    alias("path", "url.path"),
    alias("pod", "kubernetes.pod.name"),
    alias("query", "url.query"),
    alias("referrer", "http.request.referrer"),
    alias("request", "http.request.id"),
    alias("rule", "tailrace.rule"),
    alias("service", "service.name"),
    alias("severity", "log.level"),
    alias("span", "span.id"),
    alias("stack", "error.stack_trace"),
    alias("status", "http.response.status_code"),
    alias("stream", "tailrace.stream"),
    alias("time", "@timestamp"),
    alias("took", "event.duration"),
    alias("trace", "trace.id"),
    alias("url", "url.original"),
    alias("user", "user.name"),
];

/// Objects of the schema: a dotted name below one of them is meant as it stands.
const ROOTS: &[&str] = &[
    "agent",
    "attributes",
    "client",
    "cloud",
    "container",
    "data_stream",
    "destination",
    "dns",
    "ecs",
    "error",
    "event",
    "faas",
    "file",
    "host",
    "http",
    "kubernetes",
    "labels",
    "log",
    "network",
    "observer",
    "organization",
    "process",
    "server",
    "service",
    "source",
    "span",
    "tailrace",
    "threat",
    "tls",
    "trace",
    "transaction",
    "url",
    "user",
    "user_agent",
];

/// Fields at the top of a document.
const TOP: &[&str] = &["@timestamp", "_id", "_index", "message", "tags"];

/// Fields whose text is split into words; all others hold values.
const TEXT: &[&str] = &["message", "error.stack_trace", "event.original"];

/// All short names, sorted.
pub fn aliases() -> &'static [Alias] {
    ALIASES
}

/// Whether the field's text is split into words.
pub fn is_text(field: &str) -> bool {
    TEXT.contains(&field)
}

fn of_alias(name: &str) -> Option<&'static str> {
    let at = ALIASES
        .binary_search_by(|alias| alias.name.cmp(name))
        .ok()?;
    ALIASES.get(at).map(|alias| alias.field)
}

/// The fields that a name in a query may mean. A name that is none of the schema is an
/// application's own, which stands under `attributes`; in documents of other shippers, where it is
/// called so.
pub(crate) fn candidates(name: &str) -> Vec<String> {
    if let Some(field) = of_alias(name) {
        return match name {
            // Applications call their own times and codes so.
            "took" | "status" | "bytes" | "user" | "request" => {
                vec![field.to_owned(), format!("attributes.{name}")]
            }
            _ => vec![field.to_owned()],
        };
    }
    if is_schema(name) {
        vec![name.to_owned()]
    } else {
        vec![name.to_owned(), format!("attributes.{name}")]
    }
}

/// The one field to group and count by.
pub fn field_for_values(name: &str) -> String {
    match of_alias(name) {
        Some(field) => field.to_owned(),
        None if is_schema(name) => name.to_owned(),
        None => format!("attributes.{name}"),
    }
}

fn is_schema(name: &str) -> bool {
    let root = name.split('.').next().unwrap_or_default();
    TOP.contains(&name) || (root.len() < name.len() && ROOTS.contains(&root))
}

/// Nanoseconds of a duration (`1.5s`, `200ms`, `2m`); `event.duration` is kept in them. A number
/// alone is none.
fn duration_ns(text: &str) -> Option<i64> {
    let unit_at = text.find(|c: char| c.is_alphabetic() || c == 'µ')?;
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        _ => return None,
    };
    scaled(number, scale)
}

/// `number` times `scale`, when that is a number of 63 bits.
fn scaled(number: &str, scale: f64) -> Option<i64> {
    let value = number.parse::<f64>().ok()? * scale;
    (value.is_finite() && value.abs() < 9e18).then_some(value as i64)
}

/// A value as the field holds it: `took>500` means milliseconds, `level:WARN` is `warn`.
pub(crate) fn value_for(name: &str, field: &str, text: &str) -> String {
    match field {
        "log.level" => level(text),
        "event.duration" => {
            let duration = duration_ns(text).or_else(|| match name {
                "took" => scaled(text, 1e6),
                _ => None,
            });
            duration.map_or_else(|| text.to_owned(), |ns| ns.to_string())
        }
        _ => text.to_owned(),
    }
}

/// Levels from the least to the worst, as documents have them.
pub(crate) const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error", "fatal"];

fn level(text: &str) -> String {
    let lower = text.to_lowercase();
    match lower.as_str() {
        "warning" => "warn",
        "err" => "error",
        "critical" | "crit" | "panic" | "emergency" | "emerg" | "alert" => "fatal",
        "notice" | "information" => "info",
        other => other,
    }
    .to_owned()
}
