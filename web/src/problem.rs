//! Errors as people and programs read them: RFC 9457 `application/problem+json`.

use hyper::{Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::body::{Body, full};
use crate::query::{QueryError, utf16_offset};
use crate::time::TimeError;

/// An answer that says no.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    /// The last part of its `type`.
    kind: &'static str,
    detail: String,
    more: Map<String, Value>,
    retry_after: Option<u32>,
    challenge: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            more: Map::new(),
            retry_after: None,
            challenge: None,
        }
    }

    /// A query parameter that is wrong.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "parameter", detail).with("parameter", name)
    }

    /// A query that cannot be read; `text` is the parameter `name`.
    pub(crate) fn query(name: &str, text: &str, error: &QueryError) -> Self {
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "query", &error.message)
            .with("parameter", name)
            .at(text, error.start, error.end);
        if let Some(hint) = &error.hint {
            problem = problem.with("hint", hint.as_str());
        }
        problem
    }

    /// A time that cannot be read.
    pub(crate) fn time(text: &str, error: &TimeError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "time", &error.message)
            .with("parameter", error.parameter)
            .at(text, error.start, error.end)
    }

    /// A body that cannot be read at all.
    pub(crate) fn body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "body", detail)
    }

    /// A body that can be read, and says something that cannot be.
    pub(crate) fn field(field: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "body", detail).with("field", field)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self {
            challenge: Some("Basic realm=\"Tailrace\", charset=\"UTF-8\""),
            ..Self::new(StatusCode::UNAUTHORIZED, "auth", detail)
        }
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// An index that does not exist.
    pub(crate) fn no_index(name: &str) -> Self {
        let detail = format!("no such index [{name}]");
        Self::new(StatusCode::NOT_FOUND, "no-index", detail)
    }

    pub(crate) fn method(allowed: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            format!("this address takes {allowed}"),
        )
        .with("allowed", allowed)
    }

    pub(crate) fn media_type(wanted: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "body",
            format!("the content type must be {wanted}"),
        )
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    }

    pub(crate) fn busy(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(status, "busy", detail)
        }
    }

    pub(crate) fn timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", detail)
    }

    /// What the store could not do.
    pub(crate) fn store(error: &store::StoreError) -> Self {
        match error.status() {
            // The store read the query otherwise than we do: the caller can mend it.
            Some(400) => Self::new(
                StatusCode::BAD_REQUEST,
                "store",
                format!("the store cannot run this: {error}"),
            ),
            Some(404) => Self::not_found(format!("the store has no such index: {error}")),
            Some(429) => Self::busy(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            _ => Self {
                retry_after: Some(5),
                ..Self::new(StatusCode::BAD_GATEWAY, "store", error.to_string())
            },
        }
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    fn at(self, text: &str, start: usize, end: usize) -> Self {
        let position = utf16_offset(text, start);
        let length = utf16_offset(text, end.min(text.len())).saturating_sub(position);
        self.with("position", position).with("length", length)
    }

    /// What is said.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn json(&self) -> Value {
        let mut object = json!({
            "type": format!("/problems/{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(object) = object.as_object_mut() {
            object.extend(self.more.clone());
        }
        object
    }

    /// The same with what clients of this path look for beside: Elasticsearch's `error`, of which
    /// Grafana shows the `reason`, and the `message` that it shows of a JSON data source.
    pub(crate) fn for_clients_of(self, path: &str) -> Self {
        let is_below = |name: &str| {
            path.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if is_below("/es") {
            let error = self.elastic();
            return self.with("error", error);
        }
        if is_below("/api/v1/grafana") {
            let message = self.detail.clone();
            return self.with("message", message);
        }
        self
    }

    /// What Elasticsearch would say in `error`.
    pub(crate) fn elastic(&self) -> Value {
        let kind = match self.status.as_u16() {
            400 if self.kind == "store" => "search_phase_execution_exception",
            400 | 405 | 422 => "illegal_argument_exception",
            401 | 403 => "security_exception",
            404 if self.kind == "no-index" => "index_not_found_exception",
            404 => "resource_not_found_exception",
            413 => "content_too_long_exception",
            415 => "media_type_header_exception",
            429 | 503 => "es_rejected_execution_exception",
            504 => "timeout_exception",
            _ => "exception",
        };
        json!({
            "type": kind,
            "reason": self.detail,
            "root_cause": [{"type": kind, "reason": self.detail}],
        })
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(full(self.json().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let mut put = |name, value: &str| {
            if let Ok(value) = header::HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(header::CONTENT_TYPE, "application/problem+json");
        if let Some(seconds) = self.retry_after {
            put(header::RETRY_AFTER, &seconds.to_string());
        }
        if let Some(challenge) = self.challenge {
            put(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(allowed) = self.more.get("allowed").and_then(Value::as_str) {
            put(header::ALLOW, allowed);
        }
        response
    }
}

impl From<store::StoreError> for Problem {
    fn from(error: store::StoreError) -> Self {
        Self::store(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_the_reason_where_they_look_for_it() {
        let problem = || Problem::forbidden("`secret` is none of the indices");
        let plain = problem().for_clients_of("/api/v1/search").json();
        assert_eq!(plain, problem().json());
        let cause =
            json!({"type": "security_exception", "reason": "`secret` is none of the indices"});
        for path in ["/es", "/es/", "/es/secret/_search"] {
            let found = problem().for_clients_of(path).json();
            assert_eq!(found["error"]["reason"], cause["reason"], "{path}");
            assert_eq!(found["error"]["type"], cause["type"], "{path}");
            assert_eq!(found["error"]["root_cause"], json!([cause]), "{path}");
            // The members of RFC 9457 stay.
            assert_eq!(found["status"], 403);
            assert_eq!(found["detail"], plain["detail"]);
            assert_eq!(found["type"], "/problems/forbidden");
        }
        let found = problem().for_clients_of("/api/v1/grafana/query").json();
        assert_eq!(found["message"], plain["detail"]);
        for path in ["/essays", "/api/v1/grafanas"] {
            assert_eq!(problem().for_clients_of(path).json(), plain, "{path}");
        }
    }
}
