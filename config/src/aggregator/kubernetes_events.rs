//! Kubernetes Events as a source of the aggregator.

use std::path::PathBuf;
use std::time::Duration;

use crate::fields::At;
use crate::section::{Check, Rule, choice, section};
use crate::url::HttpUrl;

choice! {
    /// Types of Events.
    pub enum EventType {
        /// What goes as it should.
        Normal = "Normal",
        /// What may need somebody.
        Warning = "Warning",
    }
}

choice! {
    /// Where reading of Events starts.
    pub enum EventStart {
        /// At what the server still has: the Events of an hour, usually.
        Beginning = "beginning",
        /// At those that come.
        End = "end",
    }
}

section! {
    /// Kubernetes Events as documents (docs/kubernetes.md). Of all aggregators with this section one
    /// reads at a time: the holder of a Lease.
    pub struct KubernetesEventsConfig {
        /// Whether Events are read.
        enabled: bool = false,
        /// The API server.
        url: Option<HttpUrl> = None => Rule::varies(
            "the cluster's own, as `${KUBERNETES_SERVICE_HOST}` tells", "https://10.96.0.1:443",
        ),
        /// File of the certificates that the server's is signed by.
        ca_file: PathBuf = PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"),
        /// File of the token that is shown to the server. Read again as it changes.
        token_file: PathBuf = PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        /// Where reading starts while the Lease tells no position: the first time.
        start_at: EventStart = EventStart::Beginning,
        /// Namespaces whose Events become documents.
        namespaces: EventNamespacesConfig = EventNamespacesConfig::default(),
        /// Types of Events that become documents. Those that are of neither always do.
        types: Vec<EventType> = vec![EventType::Normal, EventType::Warning]
            => Rule::any().check(some_types),
        /// The Lease whose holder reads, and which tells how far Events are durable.
        lease: EventLeaseConfig = EventLeaseConfig::default(),
    }
}

section! {
    /// Namespaces of Events; a name that ends with `*` is the beginning of names.
    pub struct EventNamespacesConfig {
        /// Those that are taken.
        include: Vec<String> = vec!["*".to_owned()] => Rule::example("[shop, team-*]"),
        /// Those that are left out nevertheless.
        exclude: Vec<String> = Vec::new() => Rule::example("[kube-system, ci-*]"),
    }
}

section! {
    /// The Lease. Aggregators with the same one read by turns.
    pub struct EventLeaseConfig {
        /// Its name. The role of the aggregator allows this one.
        name: String = "tailrace-kubernetes-events".to_owned() => Rule::any().check(object_name),
        /// Its namespace.
        namespace: Option<String> = None => Rule::varies(
            "that of the pod, as the file `namespace` beside the token tells", "tailrace",
        ),
        /// How long nobody else takes it after its holder was last heard of.
        duration: Duration = Duration::from_secs(15)
            => Rule::range(Duration::from_secs(2), Duration::from_secs(3600)).check(whole_seconds),
        /// A holder that could not renew it for so long stops reading. Below `duration`.
        renew_deadline: Duration = Duration::from_secs(10)
            => Rule::range(Duration::from_secs(1), Duration::from_secs(3600)),
        /// How often its holder renews it, and others look at it. At most half of
        /// `renew_deadline`.
        retry_period: Duration = Duration::from_secs(2)
            => Rule::range(Duration::from_millis(100), Duration::from_secs(600)),
    }
}

impl Check for KubernetesEventsConfig {
    fn check(&self, at: &mut At<'_>) {
        if self.enabled && self.namespaces.include.is_empty() {
            at.hinted(
                "namespaces",
                "`include` is empty: no Event would be taken",
                Some("`[\"*\"]` takes those of all namespaces".to_owned()),
            );
        }
    }
}

impl Check for EventNamespacesConfig {}

impl Check for EventLeaseConfig {
    fn check(&self, at: &mut At<'_>) {
        let shown = |span: Duration| crate::format_duration(span);
        // The rest of the time is for what is being written, and for clocks that run apart.
        if self.renew_deadline >= self.duration {
            at.hinted(
                "renew_deadline",
                format!(
                    "must be below `duration` ({}), got `{}`",
                    shown(self.duration),
                    shown(self.renew_deadline)
                ),
                Some("a holder has to stop before another one may begin".to_owned()),
            );
        }
        if self.retry_period.saturating_mul(2) > self.renew_deadline {
            at.hinted(
                "retry_period",
                format!(
                    "must be at most half of `renew_deadline` ({}), got `{}`",
                    shown(self.renew_deadline),
                    shown(self.retry_period)
                ),
                Some("one renewal that fails shall not end the reading".to_owned()),
            );
        }
        if let Some(Err(problem)) = self.namespace.as_ref().map(object_name) {
            at.problem("namespace", problem);
        }
    }
}

#[expect(clippy::ptr_arg, reason = "`Rule::check` hands out the field itself")]
fn some_types(types: &Vec<EventType>) -> Result<(), String> {
    match types.is_empty() {
        true => Err("must not be empty: leave it out for all types".to_owned()),
        false => Ok(()),
    }
}

fn whole_seconds(span: &Duration) -> Result<(), String> {
    match span.subsec_nanos() {
        0 => Ok(()),
        _ => Err(format!(
            "must be whole seconds, as a Lease knows no others, got `{}`",
            crate::format_duration(*span)
        )),
    }
}

/// What Kubernetes takes for the name of an object.
fn object_name(name: &String) -> Result<(), String> {
    let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    let is_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    if name.len() <= 253
        && bytes.iter().all(|b| is_good(*b))
        && is_end(bytes.first())
        && is_end(bytes.last())
    {
        return Ok(());
    }
    Err(format!(
        "expected a name of lower-case letters, digits, `-` and `.`, got `{name}`"
    ))
}
