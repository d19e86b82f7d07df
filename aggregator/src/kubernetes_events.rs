//! Kubernetes Events on the way of all lines: what `k8s::events` reads goes through the workers into
//! every output, and counts as durable when an agent's chunk would be acknowledged.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use config::aggregator::{EventStart, EventType, KubernetesEventsConfig};
use k8s::events::{
    ANNOTATION, EventBatch, EventChoice, EventDocument, EventMetrics, EventSink, EventState,
    Events, QUIET, SinkError,
};
use k8s::lease::LeaseOptions;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::clock::wall_ms;
use crate::output::Failure;
use crate::pipeline::{BatchError, LinePlace, RawLine, RawLines};
use crate::receive::Intake;

/// What the source runs with, once the configuration is read.
pub(crate) struct KubernetesEvents {
    events: Events,
    /// Figures.
    pub(crate) metrics: EventMetrics,
    /// What is shown of it.
    pub(crate) state: EventState,
}

impl KubernetesEvents {
    /// The source that the configuration asks for; `None` where it asks for none.
    ///
    /// # Errors
    /// When there is no telling which server to ask, or where the Lease is.
    pub(crate) fn new(config: &KubernetesEventsConfig) -> anyhow::Result<Option<Self>> {
        if !config.enabled {
            return Ok(None);
        }
        Ok(Some(Self {
            events: events(config)?,
            metrics: EventMetrics::default(),
            state: EventState::default(),
        }))
    }

    /// Starts it: until `stop` turns true, then what is at hand is made durable and the Lease
    /// released, within `grace`.
    pub(crate) fn start(
        self,
        intake: Arc<Intake>,
        stop: watch::Receiver<bool>,
        grace: Duration,
        tasks: &mut JoinSet<()>,
    ) {
        let sink = Sink { intake };
        let mut stopped = stop.clone();
        let reading = k8s::events::run(self.events, sink, self.metrics, self.state, stop);
        tasks.spawn(async move {
            let is_over = async {
                stopped.wait_for(|stop| *stop).await.ok();
                tokio::time::sleep(grace).await;
            };
            tokio::select! {
                () = reading => {}
                () = is_over => tracing::warn!(
                    "Kubernetes Events were still being written at the end of the grace period: \
                     whoever has the Lease next reads them again"
                ),
            }
        });
    }
}

fn events(config: &KubernetesEventsConfig) -> anyhow::Result<Events> {
    let url = config.url.as_ref().map(ToString::to_string);
    let url = url.or_else(k8s::cluster_url).context(
        "cannot tell the API server of `kubernetes_events`: this is no pod, set \
         `kubernetes_events.url`",
    )?;
    let lease = &config.lease;
    let namespace = match &lease.namespace {
        Some(namespace) => namespace.clone(),
        None => pod_namespace(&config.token_file).context(
            "cannot tell the namespace of the Lease: set `kubernetes_events.lease.namespace`",
        )?,
    };
    let all = [EventType::Normal, EventType::Warning];
    let unwanted = all.into_iter().filter(|it| !config.types.contains(it));
    Ok(Events {
        access: k8s::Access {
            url,
            ca_file: Some(config.ca_file.clone()),
            token_file: Some(config.token_file.clone()),
            accept_any_certificate: false,
        },
        lease: LeaseOptions {
            namespace,
            name: lease.name.clone(),
            identity: identity(),
            annotation: ANNOTATION,
            duration: lease.duration,
            renew_deadline: lease.renew_deadline,
            retry_period: lease.retry_period,
        },
        choice: EventChoice {
            include: config.namespaces.include.clone(),
            exclude: config.namespaces.exclude.clone(),
            exclude_types: unwanted.map(|it| it.as_str().to_owned()).collect(),
        },
        from_beginning: config.start_at == EventStart::Beginning,
        quiet: QUIET,
    })
}

/// The namespace that the kubelet writes beside the token.
fn pod_namespace(token_file: &Path) -> anyhow::Result<String> {
    let path = token_file.with_file_name("namespace");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let namespace = text.trim().to_owned();
    anyhow::ensure!(!namespace.is_empty(), "`{}` is empty", path.display());
    Ok(namespace)
}

/// The pod's name, and what no other run of it has: the pod of a StatefulSet comes again under its
/// name, perhaps before the one before is gone.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let now = jiff::Timestamp::now().as_nanosecond();
    let run = xxh3_64(format!("{now} {}", std::process::id()).as_bytes());
    format!("{host}_{run:016x}")
}

/// What is shown of the source.
pub(crate) fn status(state: &EventState) -> Value {
    let view = state.view();
    json!({
        "reads": view.is_holder,
        "holder": view.holder,
        "position": view.position,
        "problem": view.problem,
    })
}

/// The way of the documents.
struct Sink {
    intake: Arc<Intake>,
}

impl EventSink for Sink {
    async fn keep(&self, batch: EventBatch<'_>) -> Result<(), SinkError> {
        let refused = |problem: &dyn std::fmt::Display| SinkError::Refused(problem.to_string());
        let fragments = self
            .intake
            .pool
            .lines(raw_lines(&batch), wall_ms())
            .await
            .map_err(|stopping| refused(&stopping))?
            .map_err(|error| match error {
                BatchError::Panic => SinkError::Poison(error.to_string()),
                error => refused(&error),
            })?;
        match self.intake.keep(fragments).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SinkError::Unknown(
                "they were not durable in time".to_owned(),
            )),
            Err(failure @ Failure::TooLarge { .. }) => {
                Err(SinkError::TooLarge(failure.to_string()))
            }
            Err(failure) => Err(refused(&failure)),
        }
    }
}

fn raw_lines(batch: &EventBatch<'_>) -> RawLines {
    let stream = xxh3_64(format!("kubernetes.events\0{}", batch.lease_uid).as_bytes());
    let lines = batch.documents.iter().map(|it| raw_line(it, stream));
    RawLines {
        lines: lines.collect(),
        doubt_since_ms: batch.doubt_since_ms,
        unparsed: batch.suspect,
    }
}

/// The stream is the Lease's, the offset the version; no bytes, so the length is 0. The id follows
/// from the Event's uid and its version alone: so it is the same whatever Lease there is, and however
/// a later version of Tailrace writes its line. Ids of one Event share a prefix. Events of two
/// clusters that write to one store have versions in common, but never a uid.
fn raw_line(document: &EventDocument, stream: u64) -> RawLine {
    let hash = xxh3_128(document.uid.as_bytes());
    RawLine {
        text: document.line.clone(),
        time_ns: document.time_ns,
        place: LinePlace {
            stream,
            offset: document.version,
            length: 0,
        },
        id: store::document_id((hash >> 64) as u64, document.version, hash as u32),
        metadata: Cow::Owned(document.metadata.clone()),
    }
}

#[cfg(test)]
mod tests {
    use parsers::{Parser, RecordView, RuleSet, StreamContext};

    use super::*;

    fn document(container: &str, version: u64) -> EventDocument {
        let event = json!({
            "metadata": {"uid": "e-1", "resourceVersion": version.to_string(), "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": format!("spec.containers{{{container}}}")},
            "type": "Warning", "reason": "BackOff", "message": "level=error \"GET / HTTP/1.1\" 500",
            "source": {"component": "kubelet", "host": "n1"}, "lastTimestamp": "2026-11-26T10:00:00Z",
        });
        let event = serde_json::from_value(event).unwrap();
        EventDocument::of(&event, "2026-11-26T10:00:01Z".parse().unwrap()).unwrap()
    }

    /// Rules for what containers say are not for what is said of them.
    #[test]
    fn no_shipped_rule_takes_an_event() {
        let rules = RuleSet::load_with_shipped(&[]).unwrap();
        let mut parser = Parser::new(Arc::new(rules));
        for container in [
            "etcd",
            "istio-proxy",
            "cilium-agent",
            "kube-apiserver",
            "nginx",
        ] {
            let line = raw_line(&document(container, 7), 1);
            let context = StreamContext::new(&line.metadata).unwrap();
            let view = RecordView {
                message: &line.text,
                iostream: None,
                time_ns: Some(line.time_ns),
                now_ns: line.time_ns,
                stream: line.place.stream,
                offset: line.place.offset,
                length: line.place.length,
                parts: &[],
                trace_at: None,
                tags: &[],
                unparsed: false,
            };
            let mut out = Vec::new();
            parser.append_document(&view, &context, &mut out);
            let made: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(made["tailrace"].get("rule"), None, "{made}");
            assert_eq!(made["tailrace"]["length"], 0);
            assert_eq!(made["log"]["offset"], 7);
            assert_eq!(made["log"]["level"], "warn");
            assert_eq!(made["event"]["reason"], "BackOff");
            assert_eq!(made["event"]["dataset"], "kubernetes.events");
            assert_eq!(made["kubernetes"]["container"]["name"], container);
            assert_eq!(made["service"]["name"], "kubelet");
            assert_eq!(made.get("attributes"), None, "{made}");
        }
    }

    /// A later release writes another line, another Lease gives another stream: the id stays, as a
    /// document may be tried by both.
    #[test]
    fn an_id_follows_from_uid_and_version_alone() {
        let one = raw_line(&document("a", 7), 1);
        let other = raw_line(&document("b", 7), 2);
        assert_ne!((&one.text, one.place), (&other.text, other.place));
        assert_eq!(one.id, other.id);
        assert_ne!(one.id, raw_line(&document("a", 8), 1).id);
        assert_eq!(one.id.as_str(), "Fwh8QFIhLLcAAAAAAAAAByms2YU");
    }
}
