//! An Event as a line and the metadata of its own stream: what the aggregator makes a document of.
//!
//! The line is JSON with ECS names, as the recogniser of JSON takes it, so that rules and redaction
//! see it as any other. What is no ECS field, or names where the Event comes from, is metadata.
//! Names below `kubernetes.event` are those of Elastic's metricset `kubernetes.event`.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use super::object::{EventObject, some};

/// What names the data stream.
pub const DATASET: &str = "kubernetes.events";

/// The source, as rules name it: the lines are not those of a container that they tell of.
const SOURCE: &str = "kubernetes_events";

/// Kinds that would stand in the place of other fields below `kubernetes`.
const TAKEN: [&str; 7] = [
    "annotations",
    "container",
    "event",
    "labels",
    "namespace",
    "owner",
    "pod",
];

/// A state of an Event, ready to be indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDocument {
    /// uid of the Event: the same for all its states.
    pub uid: String,
    /// Version of this state; no other write to the cluster has it.
    pub version: u64,
    /// The line, a JSON object.
    pub line: Vec<u8>,
    /// Metadata, a JSON object with flat names.
    pub metadata: Vec<u8>,
    /// When it happened, nanoseconds since the epoch.
    pub time_ns: i64,
    /// When the Event was made, by the server's clock, milliseconds since the epoch.
    pub created_ms: u64,
}

impl EventDocument {
    /// The document of an Event; `None` when it has no version that is a number, or no uid: no
    /// server does that.
    pub fn of(event: &EventObject, now: Timestamp) -> Option<Self> {
        let version = event.version()?;
        let uid = some(&event.metadata.uid)?.to_owned();
        let created = event.metadata.creation_timestamp.as_ref().map(|it| it.0);
        let time = event
            .time()
            .and_then(|time| time.parse::<Timestamp>().ok())
            .or(created)
            .unwrap_or(now);
        Some(Self {
            uid,
            version,
            line: line(event, time).into_bytes(),
            metadata: metadata(event, version).into_bytes(),
            time_ns: i64::try_from(time.as_nanosecond()).unwrap_or(0).max(0),
            created_ms: u64::try_from(created.unwrap_or(now).as_millisecond()).unwrap_or(0),
        })
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.line.len() + self.metadata.len() + self.uid.len()
    }
}

fn line(event: &EventObject, time: Timestamp) -> String {
    let level = match event.kind.as_deref() {
        Some("Warning") => "warn",
        _ => "info",
    };
    let mut line = Map::new();
    line.insert("@timestamp".to_owned(), time.to_string().into());
    line.insert("log.level".to_owned(), level.into());
    let message = event.message.as_deref().unwrap_or_default();
    line.insert("message".to_owned(), message.into());
    let first = some(&event.first_timestamp).or(some(&event.event_time));
    for (name, value) in [
        ("event.reason", some(&event.reason)),
        ("event.action", some(&event.action)),
        ("event.provider", event.reporter()),
        ("event.start", first),
        ("event.end", event.time()),
        ("service.name", event.reporter()),
    ] {
        if let Some(value) = value {
            line.insert(name.to_owned(), value.into());
        }
    }
    Value::Object(line).to_string()
}

fn metadata(event: &EventObject, version: u64) -> String {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value.into());
        }
    };
    set("event.dataset", Some(DATASET));
    set("event.kind", Some("event"));
    set("event.module", Some("kubernetes"));
    // What rules know the source by.
    set("input.type", Some(SOURCE));
    let about = &event.involved_object;
    // Of an object outside of all namespaces the Event is in `default`.
    set("kubernetes.namespace", some(&event.metadata.namespace));
    set("kubernetes.node.name", event.node());
    let kind = some(&about.kind).unwrap_or_default().to_lowercase();
    if kind == "pod" {
        set("kubernetes.pod.name", some(&about.name));
        set("kubernetes.pod.uid", some(&about.uid));
        set("kubernetes.container.name", about.container());
    } else if kind != "node" && is_field(&kind) {
        set(&format!("kubernetes.{kind}.name"), some(&about.name));
    }
    for (name, value) in [
        ("type", &event.kind),
        ("reason", &event.reason),
        ("action", &event.action),
        ("involved_object.kind", &about.kind),
        ("involved_object.name", &about.name),
        ("involved_object.namespace", &about.namespace),
        ("involved_object.uid", &about.uid),
        ("involved_object.api_version", &about.api_version),
        ("involved_object.field_path", &about.field_path),
        ("metadata.name", &event.metadata.name),
        ("metadata.namespace", &event.metadata.namespace),
        ("metadata.uid", &event.metadata.uid),
        (
            "metadata.resource_version",
            &event.metadata.resource_version,
        ),
        ("source.component", &event.source.component),
        ("source.host", &event.source.host),
        ("reporting.component", &event.reporting_component),
        ("reporting.instance", &event.reporting_instance),
        ("timestamp.first_occurrence", &event.first_timestamp),
        ("timestamp.last_occurrence", &event.last_timestamp),
    ] {
        set(&format!("kubernetes.event.{name}"), some(value));
    }
    if let Some(related) = &event.related {
        set("kubernetes.event.related.kind", some(&related.kind));
        set("kubernetes.event.related.name", some(&related.name));
        set("kubernetes.event.related.uid", some(&related.uid));
    }
    fields.insert("event.sequence".to_owned(), version.into());
    fields.insert("kubernetes.event.count".to_owned(), event.count().into());
    Value::Object(fields).to_string()
}

/// Whether the name of a kind may be one of a field.
fn is_field(kind: &str) -> bool {
    let is_word = kind.bytes().all(|b| b.is_ascii_alphanumeric());
    !kind.is_empty() && is_word && !TAKEN.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::{super::object::tests::event, *};

    fn made(json: &str) -> (Value, Value, EventDocument) {
        let now = "2026-11-26T12:00:00Z".parse().unwrap();
        let document = EventDocument::of(&event(json), now).unwrap();
        let line = serde_json::from_slice(&document.line).unwrap();
        let metadata = serde_json::from_slice(&document.metadata).unwrap();
        (line, metadata, document)
    }

    /// As a kubelet of 1.36 writes it.
    const KUBELET: &str = r#"{"kind":"Event","apiVersion":"v1","metadata":{"name":"web-0.17a","namespace":"shop",
        "uid":"e-1","resourceVersion":"4711","creationTimestamp":"2026-11-26T10:00:01Z","managedFields":[]},
        "involvedObject":{"kind":"Pod","namespace":"shop","name":"web-0","uid":"p-1","apiVersion":"v1",
        "resourceVersion":"4700","fieldPath":"spec.containers{nginx}"},"reason":"BackOff",
        "message":"Back-off restarting failed container nginx","source":{"component":"kubelet","host":"n1"},
        "firstTimestamp":"2026-11-26T10:00:00Z","lastTimestamp":"2026-11-26T10:07:00Z","count":7,
        "type":"Warning","eventTime":null,"reportingComponent":"kubelet","reportingInstance":"n1"}"#;

    #[test]
    fn an_event_of_a_pod_has_its_fields() {
        let (line, metadata, document) = made(KUBELET);
        assert_eq!(
            line,
            serde_json::json!({
                "@timestamp": "2026-11-26T10:07:00Z", "log.level": "warn",
                "message": "Back-off restarting failed container nginx", "event.reason": "BackOff",
                "event.provider": "kubelet", "event.start": "2026-11-26T10:00:00Z",
                "event.end": "2026-11-26T10:07:00Z", "service.name": "kubelet",
            })
        );
        for (name, value) in [
            ("event.dataset", "kubernetes.events"),
            ("kubernetes.namespace", "shop"),
            ("kubernetes.pod.name", "web-0"),
            ("kubernetes.pod.uid", "p-1"),
            ("kubernetes.container.name", "nginx"),
            ("kubernetes.node.name", "n1"),
            ("kubernetes.event.type", "Warning"),
            ("kubernetes.event.involved_object.kind", "Pod"),
            ("kubernetes.event.metadata.resource_version", "4711"),
            ("kubernetes.event.source.component", "kubelet"),
        ] {
            assert_eq!(metadata[name], value, "{name} of {metadata}");
        }
        assert_eq!(metadata["kubernetes.event.count"], 7);
        assert_eq!(metadata["event.sequence"], 4711);
        assert_eq!(
            (document.uid.as_str(), document.version, document.time_ns),
            ("e-1", 4711, 1_795_687_620_000_000_000)
        );
        assert_eq!(document.created_ms, 1_795_687_201_000);
    }

    #[test]
    fn an_event_of_the_newer_form_has_its_own_times() {
        let (line, metadata, _) = made(
            r#"{"metadata":{"name":"a","namespace":"default","uid":"e","resourceVersion":"5"},
            "involvedObject":{"kind":"Node","name":"n3","uid":"n3"},"reason":"Ready","action":"Check","type":"Normal",
            "message":"up","source":{},"firstTimestamp":null,"lastTimestamp":null,"count":0,
            "eventTime":"2026-11-26T10:00:00.123456Z","reportingComponent":"x.io/checker","reportingInstance":"x-1",
            "series":{"count":3,"lastObservedTime":"2026-11-26T11:00:00.5Z"}}"#,
        );
        assert_eq!(line["@timestamp"], "2026-11-26T11:00:00.5Z");
        assert_eq!(line["event.start"], "2026-11-26T10:00:00.123456Z");
        assert_eq!(
            (&line["event.action"], &line["log.level"]),
            (&"Check".into(), &"info".into())
        );
        assert_eq!(line["service.name"], "x.io/checker");
        assert_eq!(metadata["kubernetes.node.name"], "n3");
        assert_eq!(metadata["kubernetes.event.count"], 3);
        assert!(metadata.get("kubernetes.pod.name").is_none());
    }

    #[test]
    fn other_kinds_have_a_field_where_that_is_free() {
        for (kind, field) in [
            ("Deployment", Some("kubernetes.deployment.name")),
            (
                "HorizontalPodAutoscaler",
                Some("kubernetes.horizontalpodautoscaler.name"),
            ),
            ("Namespace", None),
            ("Event", None),
            ("we.ird kind", None),
            ("", None),
        ] {
            let json = format!(
                r#"{{"metadata":{{"uid":"e","resourceVersion":"5"}},"involvedObject":{{"kind":"{kind}","name":"it"}}}}"#
            );
            let (_, metadata, _) = made(&json);
            let named = metadata.as_object().unwrap().iter();
            let mut named = named.filter(|(name, _)| {
                name.ends_with(".name") && !name.starts_with("kubernetes.event.")
            });
            assert_eq!(named.next().map(|(name, _)| name.as_str()), field, "{kind}");
        }
    }

    /// Times that are missing or none stop nothing.
    #[test]
    fn without_a_time_it_is_that_of_the_making_and_else_now() {
        let (line, ..) = made(
            r#"{"metadata":{"uid":"e","resourceVersion":"5","creationTimestamp":"2026-11-26T10:00:00Z"},"lastTimestamp":"soon"}"#,
        );
        assert_eq!(line["@timestamp"], "2026-11-26T10:00:00Z");
        let (line, ..) = made(r#"{"metadata":{"uid":"e","resourceVersion":"5"}}"#);
        assert_eq!(line["@timestamp"], "2026-11-26T12:00:00Z");
        assert_eq!(line["message"], "");
        let now = Timestamp::now();
        for json in [
            r#"{"metadata":{"uid":"e","resourceVersion":"x"}}"#,
            r#"{"metadata":{"resourceVersion":"5"}}"#,
        ] {
            assert_eq!(EventDocument::of(&event(json), now), None);
        }
    }
}
