//! Figures of the API. What a user asks is in none of them: labels are the names of operations.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Operations that are told apart, by their paths below `/api/v1/`; the longer ones first.
const OPERATIONS: &[&str] = &[
    "logs/errors",
    "logs/services",
    "logs/stats",
    "rules/try",
    "rules/unmatched",
    "aggregate",
    "complete",
    "context",
    "count",
    "dashboards",
    "export",
    "facets",
    "fields",
    "grafana",
    "histogram",
    "info",
    "logs",
    "me",
    "patterns",
    "query",
    "rules",
    "saved-searches",
    "search",
    "status",
    "streams",
    "tail",
];

/// Limits that refuse a request.
const LIMITS: [&str; 3] = [Limit::BODY, Limit::QUERIES, Limit::TAILS];

/// Label of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Limit {
    limit: &'static str,
}

impl Limit {
    /// Size of a body.
    pub(crate) const BODY: &'static str = "body";
    /// `max_queries`, for as long as a request may take.
    pub(crate) const QUERIES: &'static str = "queries";
    /// `max_tails`.
    pub(crate) const TAILS: &'static str = "tails";
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    operation: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

/// Figures of one [`crate::Api`]. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<Answered, Counter>,
    seconds: Family<Operation, Histogram>,
    running: Gauge,
    waiting: Gauge,
    refused: Family<Limit, Counter>,
    tails: Gauge,
    exported: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let refused = Family::<Limit, Counter>::default();
        // There from the start, so that the first refusal is a rise.
        for limit in LIMITS {
            drop(refused.get_or_create(&Limit { limit }));
        }
        Self {
            requests: Family::default(),
            // From a millisecond to half a minute, which is how long the store may take.
            seconds: Family::<Operation, Histogram>::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 16))
            }),
            running: Gauge::default(),
            waiting: Gauge::default(),
            refused,
            tails: Gauge::default(),
            exported: Counter::default(),
        }
    }
}

impl Metrics {
    /// Adds everything to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tailrace_api_requests",
            "Requests of the API and the page, by operation and class of the answer's status; \
             `gone` are those whose client left before",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "tailrace_api_request_duration",
            "Time until an answer begins, by operation",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "tailrace_api_queries_running",
            "Requests to the store that run",
            self.running.clone(),
        );
        registry.register(
            "tailrace_api_queries_waiting",
            "Requests to the store that wait for others to end",
            self.waiting.clone(),
        );
        registry.register(
            "tailrace_api_refused",
            "Requests refused by a limit: bodies that are too large, queries that found no place \
             in time, live tails beyond the most",
            self.refused.clone(),
        );
        registry.register(
            "tailrace_api_tails_open",
            "Live tails that are open",
            self.tails.clone(),
        );
        registry.register(
            "tailrace_api_exported_documents",
            "Documents that exports have handed to their readers",
            self.exported.clone(),
        );
    }

    /// A request for `path` begins.
    pub(crate) fn request(&self, path: &str) -> Asked {
        Asked {
            metrics: self.clone(),
            operation: operation(path),
            status: "gone",
            began: Instant::now(),
        }
    }

    pub(crate) fn running(&self) -> Held {
        Held::new(&self.running)
    }

    pub(crate) fn waiting(&self) -> Held {
        Held::new(&self.waiting)
    }

    pub(crate) fn tail(&self) -> Held {
        Held::new(&self.tails)
    }

    pub(crate) fn refused(&self, limit: &'static str) {
        self.refused.get_or_create(&Limit { limit }).inc();
    }

    pub(crate) fn exported(&self, documents: usize) {
        self.exported.inc_by(documents as u64);
    }

    fn count(&self, operation: &'static str, status: &'static str, took: Duration) {
        let answered = Answered { operation, status };
        self.requests.get_or_create(&answered).inc();
        let operation = Operation { operation };
        let seconds = self.seconds.get_or_create(&operation);
        seconds.observe(took.as_secs_f64());
    }
}

/// A request in work; counted when dropped, so that one is counted whose client goes.
pub(crate) struct Asked {
    metrics: Metrics,
    operation: &'static str,
    status: &'static str,
    began: Instant,
}

impl Asked {
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.status = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.metrics.count(self.operation, self.status, took);
    }
}

/// One more in a gauge for as long as it lives.
pub(crate) struct Held(Gauge);

impl Held {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The operation that a path is of: one of a few, whatever is asked for.
fn operation(path: &str) -> &'static str {
    if is_below(path, "/es") {
        return "elasticsearch";
    }
    let Some(rest) = path.strip_prefix("/api/v1/") else {
        return if is_below(path, "/api") {
            "other"
        } else {
            "page"
        };
    };
    if rest.starts_with("openapi.") {
        return "openapi";
    }
    let mut known = OPERATIONS.iter().copied();
    known.find(|name| is_below(rest, name)).unwrap_or("other")
}

fn is_below(path: &str, name: &str) -> bool {
    path.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn paths_are_of_few_operations() {
        for (path, expected) in [
            ("/api/v1/search", "search"),
            ("/api/v1/fields", "fields"),
            ("/api/v1/fields/log.level/values", "fields"),
            ("/api/v1/saved-searches/17", "saved-searches"),
            ("/api/v1/logs", "logs"),
            ("/api/v1/logs/errors/checkout", "logs/errors"),
            ("/api/v1/rules/try", "rules/try"),
            ("/api/v1/searching", "other"),
            ("/api/v1/", "other"),
            ("/api/v1/openapi.yaml", "openapi"),
            ("/api/v2/search", "other"),
            ("/es", "elasticsearch"),
            ("/es/logs-*/_search", "elasticsearch"),
            ("/", "page"),
            ("/explore", "page"),
        ] {
            assert_eq!(operation(path), expected, "{path}");
        }
    }

    #[test]
    fn requests_count_however_they_end() {
        let metrics = Metrics::default();
        metrics
            .request("/api/v1/search")
            .answered(StatusCode::NO_CONTENT);
        metrics
            .request("/api/v1/search")
            .answered(StatusCode::NOT_FOUND);
        drop(metrics.request("/api/v1/export"));
        metrics.refused(Limit::TAILS);
        metrics.exported(3);
        let tail = metrics.tail();
        drop(metrics.waiting());
        let text = text(&metrics);
        for line in [
            r#"tailrace_api_requests_total{operation="search",status="2xx"} 1"#,
            r#"tailrace_api_requests_total{operation="search",status="4xx"} 1"#,
            r#"tailrace_api_requests_total{operation="export",status="gone"} 1"#,
            r#"tailrace_api_request_duration_seconds_count{operation="search"} 2"#,
            r#"tailrace_api_refused_total{limit="tails"} 1"#,
            r#"tailrace_api_refused_total{limit="queries"} 0"#,
            "tailrace_api_exported_documents_total 3",
            "tailrace_api_tails_open 1",
            "tailrace_api_queries_waiting 0",
            "tailrace_api_queries_running 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
        drop(tail);
        assert!(self::text(&metrics).contains("tailrace_api_tails_open 0\n"));
    }
}
