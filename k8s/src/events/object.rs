//! An Event as the API server tells it: only what is used.
//! <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>, in the form of
//! `core/v1`, which has every field of both forms under the names that `kubectl` shows.

use std::borrow::Cow;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::Deserialize;

/// An Event. Each change of it (a repetition that is counted) is a version of its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventObject {
    /// Name, namespace, uid, version.
    pub metadata: ObjectMeta,
    /// What it is about.
    #[serde(default)]
    pub involved_object: ObjectReference,
    /// Another object that took part.
    pub related: Option<ObjectReference>,
    /// Why, as one word.
    pub reason: Option<String>,
    /// The text.
    pub message: Option<String>,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What was done; of reporters that use the newer form.
    pub action: Option<String>,
    /// Who tells it; of older reporters.
    #[serde(default)]
    pub source: Source,
    /// Who tells it.
    pub reporting_component: Option<String>,
    /// Which one of them.
    pub reporting_instance: Option<String>,
    /// When it happened first; of older reporters.
    pub first_timestamp: Option<String>,
    /// When it happened last; of older reporters.
    pub last_timestamp: Option<String>,
    /// When it happened first; of newer reporters.
    pub event_time: Option<String>,
    /// How often it happened; of older reporters.
    pub count: Option<i64>,
    /// That it goes on, and how often it happened; of newer reporters.
    pub series: Option<Series>,
}

/// What an Event is about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// `Pod`.
    pub kind: Option<String>,
    /// Group and version.
    pub api_version: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its namespace, when it is in one.
    pub namespace: Option<String>,
    /// Its uid.
    pub uid: Option<String>,
    /// The part of it: `spec.containers{web}`.
    pub field_path: Option<String>,
}

/// Who tells an Event.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Source {
    /// The program: `kubelet`.
    pub component: Option<String>,
    /// The node that it runs on.
    pub host: Option<String>,
}

/// An Event that goes on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// How often it happened.
    pub count: Option<i64>,
    /// When it happened last.
    pub last_observed_time: Option<String>,
}

impl EventObject {
    /// Its version as a number; these rise with every write to the cluster's store.
    pub fn version(&self) -> Option<u64> {
        self.metadata.resource_version.as_deref()?.parse().ok()
    }

    /// When this state of it came to be: the latest time that it tells of itself. A reporter leaves
    /// those of the form that it does not use empty (null).
    pub fn time(&self) -> Option<&str> {
        let series = self.series.as_ref();
        let series = series.and_then(|it| it.last_observed_time.as_deref());
        [
            series,
            self.last_timestamp.as_deref(),
            self.event_time.as_deref(),
            self.first_timestamp.as_deref(),
        ]
        .into_iter()
        .flatten()
        .find(|time| is_time(time))
    }

    /// How often it happened until this state.
    pub fn count(&self) -> i64 {
        let series = self.series.as_ref().and_then(|it| it.count);
        series.or(self.count).filter(|n| *n > 0).unwrap_or(1)
    }

    /// Who tells it.
    pub fn reporter(&self) -> Option<&str> {
        some(&self.reporting_component).or(some(&self.source.component))
    }

    /// The node it comes from: reporters name the one that they run on, the kubelet itself.
    pub fn node(&self) -> Option<&str> {
        if self.involved_object.kind.as_deref() == Some("Node") {
            return some(&self.involved_object.name);
        }
        let is_kubelet = self.reporting_component.as_deref() == Some("kubelet");
        let kubelet = some(&self.reporting_instance).filter(|_| is_kubelet);
        some(&self.source.host).or(kubelet)
    }
}

impl ObjectReference {
    /// The container that it names, of whatever kind.
    pub fn container(&self) -> Option<&str> {
        let path = self.field_path.as_deref()?;
        let (list, name) = path.strip_suffix('}')?.split_once('{')?;
        let is_list = [
            "spec.containers",
            "spec.initContainers",
            "spec.ephemeralContainers",
        ]
        .contains(&list);
        (is_list && !name.is_empty()).then_some(name)
    }
}

/// A text that is there.
pub(crate) fn some(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// The zero time of Go stands for none.
fn is_time(text: &str) -> bool {
    !text.is_empty() && !text.starts_with("0001-")
}

impl Resource for EventObject {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Event".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "events".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event(json: &str) -> EventObject {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
    }

    #[test]
    fn the_time_is_that_of_the_state() {
        for (json, time) in [
            // client-go's older recorder, and its count.
            (
                r#"{"metadata":{},"firstTimestamp":"2026-01-01T00:00:00Z","lastTimestamp":"2026-01-01T00:05:00Z","eventTime":null,"count":4}"#,
                Some("2026-01-01T00:05:00Z"),
            ),
            // The newer one, of the scheduler.
            (
                r#"{"metadata":{},"firstTimestamp":null,"lastTimestamp":null,"eventTime":"2026-01-01T00:00:00.000007Z"}"#,
                Some("2026-01-01T00:00:00.000007Z"),
            ),
            (
                r#"{"metadata":{},"eventTime":"2026-01-01T00:00:00.000007Z","series":{"count":9,"lastObservedTime":"2026-01-01T02:00:00.000000Z"}}"#,
                Some("2026-01-01T02:00:00.000000Z"),
            ),
            (
                r#"{"metadata":{},"firstTimestamp":"2026-01-01T00:00:00Z","lastTimestamp":"0001-01-01T00:00:00Z"}"#,
                Some("2026-01-01T00:00:00Z"),
            ),
            (
                r#"{"metadata":{"creationTimestamp":"2026-01-01T00:00:00Z"},"eventTime":null}"#,
                None,
            ),
        ] {
            assert_eq!(event(json).time(), time, "{json}");
        }
    }

    #[test]
    fn counts_are_of_both_forms_and_one_at_least() {
        for (json, count) in [
            (r#"{"metadata":{},"count":4}"#, 4),
            (r#"{"metadata":{},"series":{"count":9},"count":0}"#, 9),
            (r#"{"metadata":{},"count":0}"#, 1),
            (r#"{"metadata":{},"series":null}"#, 1),
        ] {
            assert_eq!(event(json).count(), count, "{json}");
        }
    }

    #[test]
    fn containers_of_all_kinds_are_found_in_paths() {
        for (path, container) in [
            ("spec.containers{web}", Some("web")),
            ("spec.initContainers{setup}", Some("setup")),
            ("spec.ephemeralContainers{debugger-x}", Some("debugger-x")),
            ("spec.containers{}", None),
            ("spec.volumes{data}", None),
            ("spec.containers", None),
            ("", None),
        ] {
            let reference = ObjectReference {
                field_path: Some(path.to_owned()),
                ..ObjectReference::default()
            };
            assert_eq!(reference.container(), container, "{path}");
        }
    }

    #[test]
    fn nodes_are_those_of_the_kubelet_and_of_nodes() {
        for (json, node) in [
            (
                r#"{"metadata":{},"source":{"component":"kubelet","host":"n1"}}"#,
                Some("n1"),
            ),
            (
                r#"{"metadata":{},"reportingComponent":"kubelet","reportingInstance":"n2","source":{}}"#,
                Some("n2"),
            ),
            (
                r#"{"metadata":{},"involvedObject":{"kind":"Node","name":"n3"},"source":{"component":"node-controller"}}"#,
                Some("n3"),
            ),
            (
                r#"{"metadata":{},"reportingComponent":"default-scheduler","reportingInstance":"default-scheduler-m1"}"#,
                None,
            ),
        ] {
            assert_eq!(event(json).node(), node, "{json}");
        }
    }
}
