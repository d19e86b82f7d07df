//! What a document of the store claims of streams.

use serde_json::Value;

use super::{Claim, Interval, Origin, PASSED_OVER};

/// One interval that a document claims.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The stream, 16 hex digits.
    pub stream: String,
    /// What is claimed.
    pub claim: Claim,
    /// The bytes.
    pub interval: Interval,
}

/// The rows of a document's `_source`; none when it is not one of Tailrace's.
pub fn rows(source: &Value) -> Vec<Row> {
    let Some(tailrace) = source.get("tailrace") else {
        return Vec::new();
    };
    let Some(stream) = tailrace.get("stream").and_then(Value::as_str) else {
        return Vec::new();
    };
    let offset = source
        .pointer("/log/offset")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let length = tailrace.get("length").and_then(Value::as_u64).unwrap_or(0);
    let interval = |start: u64, length: u64| Interval {
        start,
        end: start.saturating_add(length),
    };
    if let Some(end) = tailrace.get("end").filter(|end| end.is_object()) {
        let field = |name: &str| end.get(name).and_then(Value::as_u64).unwrap_or(0);
        let claim = Claim::End {
            size: field("size"),
            unread: field("unread"),
        };
        return vec![Row {
            stream: stream.to_owned(),
            claim,
            interval: interval(offset, 0),
        }];
    }
    if let Some(dropped) = tailrace.get("dropped").filter(|it| it.is_object()) {
        let claim = match dropped.get("rule").and_then(Value::as_str) {
            Some(PASSED_OVER) => Claim::PassedOver,
            _ => Claim::Dropped,
        };
        return vec![Row {
            stream: stream.to_owned(),
            claim,
            interval: interval(offset, length),
        }];
    }
    let parts = tailrace
        .get("parts")
        .and_then(Value::as_array)
        .filter(|parts| !parts.is_empty());
    match parts {
        None => {
            let interval = interval(offset, length);
            vec![Row {
                stream: stream.to_owned(),
                claim: Claim::Record,
                interval,
            }]
        }
        Some(parts) => parts
            .iter()
            .filter_map(|part| {
                Some(Row {
                    stream: part.get("stream")?.as_str()?.to_owned(),
                    claim: Claim::Record,
                    interval: interval(
                        part.get("offset")?.as_u64()?,
                        part.get("length")?.as_u64()?,
                    ),
                })
            })
            .collect(),
    }
}

/// Where the document's stream comes from.
pub fn origin(source: &Value) -> Origin {
    let field = |pointer: &str| {
        source
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let pod = field("/kubernetes/pod/name");
    Origin {
        namespace: field("/kubernetes/namespace"),
        pod: if pod.is_empty() {
            field("/log/file/path")
        } else {
            pod
        },
        container: field("/kubernetes/container/name"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claimed(source: &Value) -> Vec<(String, Claim, u64, u64)> {
        rows(source)
            .into_iter()
            .map(|row| (row.stream, row.claim, row.interval.start, row.interval.end))
            .collect()
    }

    #[test]
    fn a_record_claims_its_bytes() {
        let source = json!({"tailrace": {"stream": "a", "length": 10}, "log": {"offset": 5}});
        assert_eq!(claimed(&source), [("a".into(), Claim::Record, 5, 15)]);
    }

    /// Rule 24: a record over a rotation claims a part of each stream.
    #[test]
    fn parts_claim_each_their_own_stream() {
        let source = json!({"tailrace": {"stream": "a", "length": 10, "parts": [
            {"stream": "a", "offset": 90, "length": 10}, {"stream": "b", "offset": 0, "length": 7}]},
            "log": {"offset": 90}});
        assert_eq!(
            claimed(&source),
            [
                ("a".into(), Claim::Record, 90, 100),
                ("b".into(), Claim::Record, 0, 7)
            ]
        );
    }

    #[test]
    fn trails_are_told_apart_and_strangers_claim_nothing() {
        let dropped = json!({"tailrace": {"stream": "a", "length": 3, "dropped": {"rule": "x"}},
            "log": {"offset": 1}});
        assert_eq!(claimed(&dropped), [("a".into(), Claim::Dropped, 1, 4)]);
        let passed_over = json!({"tailrace": {"stream": "a", "length": 3,
            "dropped": {"rule": "annotation tailrace.io/exclude"}}, "log": {"offset": 1}});
        assert_eq!(
            claimed(&passed_over),
            [("a".into(), Claim::PassedOver, 1, 4)]
        );
        let end = json!({"tailrace": {"stream": "a", "length": 0, "end": {"size": 9, "unread": 2}},
            "log": {"offset": 9}});
        assert_eq!(
            claimed(&end),
            [("a".into(), Claim::End { size: 9, unread: 2 }, 9, 9)]
        );
        assert!(rows(&json!({"message": "not ours"})).is_empty());
    }

    #[test]
    fn a_file_without_pod_is_named_by_its_path() {
        let source = json!({"log": {"file": {"path": "/var/log/x.log"}}});
        assert_eq!(origin(&source).pod, "/var/log/x.log");
    }
}
