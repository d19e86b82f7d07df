//! Where a record goes: the name of its data stream, or of its dated index.
//!
//! Names are made from templates that may hold metadata fields (`%{kubernetes.namespace}`). They
//! are made safe (both servers refuse upper case and most punctuation), and their number is
//! capped: what would be one data stream too many goes to the route's name without fields.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What a pod's annotation says of the dataset; its agent has seen to it that it may.
const DATASET_ANNOTATION: &str = "kubernetes.annotations.tailrace.io/dataset";

/// Datasets of sources that are no containers, as these tell them in `event.dataset`: a node's
/// systemd journal, and Kubernetes Events, which may well name a pod.
const OWN_DATASETS: [&str; 2] = ["system.journal", k8s::events::DATASET];

/// Longest dataset or namespace part in bytes; Elasticsearch's own limit for these is 100.
const MAX_PART_BYTES: usize = 100;

/// Text with holes for metadata fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Template {
    parts: Vec<Part>,
}

impl From<String> for Template {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        let text = |part| match part {
            Part::Text(text) => text,
            Part::Field(field) => format!("%{{{field}}}"),
        };
        template.parts.into_iter().map(text).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

impl Template {
    /// Parses `text`; `%{field}` is a hole. An unclosed hole is taken as text.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("%{") {
            let Some((field, after)) = behind.split_once('}') else {
                break;
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Field(field.trim().to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Self { parts }
    }

    fn has_fields(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(_)))
    }

    /// The text with its holes filled by `lookup`; an unknown field gives `unknown`.
    fn fill<'a>(&self, lookup: &impl Fn(&str) -> Option<Cow<'a, str>>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Field(field) => {
                    text.push_str(lookup(field).as_deref().unwrap_or("unknown"));
                }
            }
        }
        text
    }

    /// The text with every hole read as `other`.
    fn fill_other(&self) -> String {
        self.fill(&|_| Some(Cow::Borrowed("other")))
    }
}

/// How an output names the places its documents go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Naming {
    /// `logs-<dataset>-<namespace>`.
    DataStream {
        /// Template of the dataset; `None`: `kubernetes.container_logs` for records of
        /// containers, `system.journal` for those of a node's journal, `kubernetes.events` for
        /// Events, else `generic`.
        dataset: Option<Template>,
        /// Template of the data stream's namespace, `default` by default.
        namespace: Template,
    },
    /// A plain index named by the date of the runtime's own time, `logs-%Y.%m.%d`: ids are then
    /// unique for ever, as a record sent again lands in the same index (DELIVERY rule 20).
    Dated {
        /// Pattern of `strftime` conversions, and `%{field}` holes.
        pattern: Template,
    },
}

/// Names places, and remembers which it has named.
#[derive(Debug)]
pub struct Router {
    naming: Naming,
    max_names: usize,
    /// Names made from fields, without dates.
    seen: Mutex<HashSet<String>>,
}

/// The routers of all outputs, by the outputs' names and in their order.
pub type Routers = Arc<[(String, Arc<Router>)]>;

/// Where the records of one stream go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// One name for all.
    Fixed(String),
    /// A `strftime` pattern that each record's time fills.
    Dated(String),
}

impl Router {
    /// A router that makes at most `max_names` different names from fields.
    pub fn new(naming: Naming, max_names: usize) -> Self {
        Self {
            naming,
            max_names,
            seen: Mutex::new(HashSet::new()),
        }
    }

    /// How it names places.
    pub fn naming(&self) -> &Naming {
        &self.naming
    }

    /// How many names it makes from fields.
    pub fn max_names(&self) -> usize {
        self.max_names
    }

    /// The place for a stream whose metadata `lookup` tells.
    pub fn place<'a>(&self, lookup: impl Fn(&str) -> Option<Cow<'a, str>>) -> Place {
        match &self.naming {
            Naming::DataStream { dataset, namespace } => {
                let told = lookup("event.dataset");
                let own = |dataset: &&str| told.as_deref() == Some(*dataset);
                let default_dataset = match OWN_DATASETS.into_iter().find(own) {
                    Some(dataset) => dataset,
                    None if lookup("kubernetes.pod.name").is_some() => "kubernetes.container_logs",
                    None => "generic",
                };
                let annotated = lookup(DATASET_ANNOTATION);
                let is_annotated = annotated.is_some();
                let dataset_of_stream = annotated.unwrap_or_else(|| {
                    dataset
                        .as_ref()
                        .map_or(Cow::Borrowed(default_dataset), |dataset| {
                            Cow::Owned(dataset.fill(&lookup))
                        })
                });
                let name = data_stream_name(&dataset_of_stream, &namespace.fill(&lookup));
                let has_fields = is_annotated
                    || namespace.has_fields()
                    || dataset.as_ref().is_some_and(Template::has_fields);
                if !has_fields || self.admit(&name) {
                    return Place::Fixed(name);
                }
                Place::Fixed(data_stream_name(
                    &dataset
                        .as_ref()
                        .map_or_else(|| default_dataset.to_owned(), Template::fill_other),
                    &namespace.fill_other(),
                ))
            }
            Naming::Dated { pattern } => {
                // A field's value must not bring conversions of its own.
                let plain = |field: &str| {
                    lookup(field).map(|value| Cow::Owned(safe(&value, "/\\*?\"<>| ,#:%")))
                };
                let name = pattern.fill(&plain);
                if !pattern.has_fields() || self.admit(&name) {
                    Place::Dated(name)
                } else {
                    Place::Dated(pattern.fill_other())
                }
            }
        }
    }

    /// Whether `name` is among the first `max_names` names.
    fn admit(&self, name: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(name) {
            return true;
        }
        if seen.len() >= self.max_names {
            return false;
        }
        seen.insert(name.to_owned())
    }
}

/// The data stream of a document that a rule sends elsewhere than `index`, the stream's own. A
/// name that is no data stream's stays.
pub(super) fn routed(index: &str, dataset: Option<&str>, namespace: Option<&str>) -> String {
    // Neither part holds a hyphen: `part` sees to it.
    let mut parts = index.splitn(3, '-');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("logs"), Some(own_dataset), Some(own_namespace)) => data_stream_name(
            dataset.unwrap_or(own_dataset),
            namespace.unwrap_or(own_namespace),
        ),
        _ => index.to_owned(),
    }
}

/// The index name for a record of `time_ns` (nanoseconds since the epoch, UTC).
pub(super) fn dated_index(pattern: &str, time_ns: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time_ns))
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC);
    let name = jiff::fmt::strtime::format(pattern, &time).unwrap_or_else(|_| pattern.to_owned());
    safe(&name, "/\\*?\"<>| ,#:")
}

fn data_stream_name(dataset: &str, namespace: &str) -> String {
    format!("logs-{}-{}", part(dataset), part(namespace))
}

fn part(text: &str) -> String {
    let text = safe(text, "/\\*?\"<>| ,#:-");
    if text.is_empty() {
        "unknown".to_owned()
    } else {
        text
    }
}

/// Lower case, `forbidden` and control characters as `_`, cut to the limit.
fn safe(text: &str, forbidden: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars().flat_map(char::to_lowercase) {
        let character = if character.is_control() || forbidden.contains(character) {
            '_'
        } else {
            character
        };
        if safe.len() + character.len_utf8() > MAX_PART_BYTES {
            break;
        }
        safe.push(character);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(field: &str) -> Option<Cow<'static, str>> {
        match field {
            "kubernetes.pod.name" => Some("cart-1".into()),
            "kubernetes.namespace" => Some("Shop-EU".into()),
            _ => None,
        }
    }

    fn data_stream(dataset: Option<&str>, namespace: &str) -> Router {
        let naming = Naming::DataStream {
            dataset: dataset.map(Template::parse),
            namespace: Template::parse(namespace),
        };
        Router::new(naming, 2)
    }

    #[test]
    fn default_names_follow_the_source() {
        let router = data_stream(None, "default");
        assert_eq!(
            router.place(lookup),
            Place::Fixed("logs-kubernetes.container_logs-default".into())
        );
        assert_eq!(
            router.place(|_| None),
            Place::Fixed("logs-generic-default".into())
        );
        let journal = |field: &str| (field == "event.dataset").then(|| "system.journal".into());
        assert_eq!(
            router.place(journal),
            Place::Fixed("logs-system.journal-default".into())
        );
        let event = |field: &str| match field {
            "event.dataset" => Some("kubernetes.events".into()),
            other => lookup(other),
        };
        assert_eq!(
            router.place(event),
            Place::Fixed("logs-kubernetes.events-default".into())
        );
    }

    #[test]
    fn fields_fill_templates_and_are_made_safe() {
        let router = data_stream(Some("app.%{kubernetes.namespace}"), "%{nothing}");
        assert_eq!(
            router.place(lookup),
            Place::Fixed("logs-app.shop_eu-unknown".into())
        );
    }

    #[test]
    fn rules_change_parts_of_a_data_streams_name() {
        let own = "logs-kubernetes.container_logs-default";
        assert_eq!(
            routed(own, Some("Nginx-access"), None),
            "logs-nginx_access-default"
        );
        assert_eq!(
            routed(own, None, Some("shop")),
            "logs-kubernetes.container_logs-shop"
        );
        assert_eq!(routed("other", Some("a"), Some("b")), "other");
    }

    #[test]
    fn the_number_of_names_is_capped() {
        let router = data_stream(Some("%{n}"), "default");
        let place =
            |value: &'static str| router.place(move |field| (field == "n").then(|| value.into()));
        assert_eq!(place("a"), Place::Fixed("logs-a-default".into()));
        assert_eq!(place("b"), Place::Fixed("logs-b-default".into()));
        assert_eq!(place("c"), Place::Fixed("logs-other-default".into()));
        assert_eq!(place("a"), Place::Fixed("logs-a-default".into()));
    }

    #[test]
    fn dated_indices_take_the_records_own_day() {
        let router = Router::new(
            Naming::Dated {
                pattern: Template::parse("logs-%{kubernetes.namespace}-%Y.%m.%d"),
            },
            9,
        );
        assert_eq!(
            router.place(lookup),
            Place::Dated("logs-shop-eu-%Y.%m.%d".into())
        );
        assert_eq!(
            dated_index("logs-shop-eu-%Y.%m.%d", 1_700_000_000_000_000_000),
            "logs-shop-eu-2023.11.14"
        );
    }
}
