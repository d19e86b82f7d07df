//! What all records of a stream share: its metadata, made ready as JSON once.
//!
//! Keys are flat ECS names. A key that would not go with the fields that lines fill (it is the
//! beginning of one, or an engine's own) is kept under `labels.*`, which holds anything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::annotations::Annotations;
use crate::ecs::{FIELDS, FieldId, FieldSet};
use crate::escape;
use crate::nest::Nest;

/// Metadata of a stream, ready to be copied into documents. Build once, share, cache by the
/// metadata's id.
#[derive(Debug)]
pub struct StreamContext {
    /// Tells contexts apart for caches; no two of a process have the same.
    pub(crate) id: u64,
    values: BTreeMap<String, String>,
    /// What annotations ask of its records.
    pub(crate) annotations: Annotations,
    /// `,"kubernetes":{…},"container":{…}`: every outermost field but those below.
    pub(crate) constant: Vec<u8>,
    /// The parts of `constant`.
    pub(crate) roots: Vec<Root>,
    /// `,"log":{"file":{…},"offset":`, up to what differs from record to record.
    pub(crate) log: Vec<u8>,
    /// `,"event":{…,"ingested":"`, as `log`.
    pub(crate) event: Vec<u8>,
    /// Constant tags as JSON strings, with commas between.
    pub(crate) tags: Vec<u8>,
    /// ECS fields that share an outermost object with `roots`.
    pub(crate) shared: FieldSet,
    /// ECS fields that a line may not set, as the metadata does.
    pub(crate) owned: FieldSet,
}

/// Name (parts escaped) and value of a field, both as they stand in JSON.
type Leaf = (Vec<u8>, Vec<u8>);

/// An outermost field of the constant part.
#[derive(Debug)]
pub(crate) struct Root {
    /// Where it stands in `constant`, with its comma.
    pub(crate) range: (usize, usize),
    /// ECS fields of this object that lines may set.
    pub(crate) fields: FieldSet,
    /// Its fields, in the order of their names.
    pub(crate) leaves: Vec<Leaf>,
}

/// Why metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Not a JSON object.
    #[error("cannot read stream metadata: {0}")]
    NotAnObject(#[from] serde_json::Error),
}

/// Outermost names that only the engine writes.
const OURS: &[&str] = &[
    "@timestamp",
    "message",
    "tailrace",
    "attributes",
    "error",
    "trace",
    "span",
    "data_stream",
];
/// Objects of free keys: what follows is one key, dots and all.
const FREE: &[&str] = &[
    "kubernetes.labels.",
    "kubernetes.annotations.",
    "kubernetes.namespace_labels.",
    "labels.",
];

impl StreamContext {
    /// Reads metadata: a JSON object of flat ECS keys, `{"kubernetes.pod.name":"web-0",…}`.
    /// Nested objects are taken as well. `tags` may be an array of strings.
    ///
    /// # Errors
    ///
    /// When the bytes are no JSON object.
    pub fn new(metadata_json: &[u8]) -> Result<Self, ContextError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let object: serde_json::Map<String, Value> = serde_json::from_slice(metadata_json)?;
        let mut flat = BTreeMap::new();
        flatten("", object, &mut flat);
        let mut context = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            values: BTreeMap::new(),
            annotations: Annotations::default(),
            constant: Vec::new(),
            roots: Vec::new(),
            log: Vec::new(),
            event: Vec::new(),
            tags: Vec::new(),
            shared: FieldSet::default(),
            owned: FieldSet::default(),
        };
        context.take_tags(&mut flat);
        for (key, value) in &flat {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            context.values.insert(key.clone(), text);
        }
        context.annotations = Annotations::of(|key| context.get(key));
        context.place(flat);
        Ok(context)
    }

    /// The value of a flat ECS key (`kubernetes.namespace`); numbers and others as JSON.
    pub fn get(&self, ecs_key: &str) -> Option<&str> {
        self.values.get(ecs_key).map(String::as_str)
    }

    /// Annotations that ask for something that cannot be done, and why, a line each.
    pub fn problems(&self) -> &[String] {
        &self.annotations.problems
    }

    /// All of it, by flat names.
    #[cfg(feature = "vrl")]
    pub(crate) fn to_json(&self) -> serde_json::Map<String, Value> {
        let values = self.values.iter();
        values.map(|(k, v)| (k.clone(), v.clone().into())).collect()
    }

    fn take_tags(&mut self, flat: &mut BTreeMap<String, Value>) {
        let tags = match flat.remove("tags") {
            None => return,
            Some(Value::Array(tags)) => tags,
            Some(other) => vec![other],
        };
        for tag in tags.iter().filter_map(Value::as_str) {
            if !self.tags.is_empty() {
                self.tags.push(b',');
            }
            escape::append_string(&mut self.tags, tag.as_bytes());
        }
    }

    /// Finds a name for each key, and writes the constant parts.
    fn place(&mut self, flat: BTreeMap<String, Value>) {
        let mut placed: BTreeMap<String, Value> = BTreeMap::new();
        let mut labels = Vec::new();
        for (key, value) in flat {
            let name = free_key(&key).unwrap_or_else(|| key.clone());
            match is_placeable(&name) && !placed.contains_key(&name) && !contradicts(&name, &placed)
            {
                true => drop(placed.insert(name, value)),
                false => labels.push((key, value)),
            }
        }
        for (key, value) in labels {
            let mut name = format!("labels.{}", label_of(&key));
            while placed.contains_key(&name) {
                name.push('_');
            }
            placed.insert(name, value);
        }
        let mut roots: BTreeMap<String, Vec<Leaf>> = BTreeMap::new();
        for (name, value) in placed {
            if let Some(id) = FieldId::find(&name)
                && !id.line_wins()
            {
                self.owned.insert(id);
            }
            let root = name.split('.').next().unwrap_or_default().to_owned();
            let mut escaped = Vec::new();
            escape::append_escaped(&mut escaped, name.as_bytes());
            roots
                .entry(root)
                .or_default()
                .push((escaped, value.to_string().into_bytes()));
        }
        for (name, first, whole) in [
            ("log", "\"offset\":", &mut self.log),
            ("event", "\"ingested\":\"", &mut self.event),
        ] {
            let leaves = roots.remove(name).unwrap_or_default();
            whole.extend_from_slice(format!(",\"{name}\":{{").as_bytes());
            whole.extend_from_slice(&inside(&leaves));
            whole.extend_from_slice(first.as_bytes());
        }
        for (root, leaves) in roots {
            let start = self.constant.len();
            let mut nest = Nest::continued();
            for (name, value) in &leaves {
                nest.append_key(&mut self.constant, name);
                self.constant.extend_from_slice(value);
            }
            nest.finish(&mut self.constant);
            let fields = FieldSet::of_root(&root);
            fields.iter().for_each(|id| self.shared.insert(id));
            self.roots.push(Root {
                range: (start, self.constant.len()),
                fields,
                leaves,
            });
        }
    }
}

/// The inside of an object of `leaves`, whose names begin with the object's, with a comma behind.
fn inside(leaves: &[Leaf]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut nest = Nest::default();
    for (name, value) in leaves {
        let dot = name
            .iter()
            .position(|b| *b == b'.')
            .map_or(0, |dot| dot + 1);
        nest.append_key(&mut out, &name[dot..]);
        out.extend_from_slice(value);
    }
    nest.finish(&mut out);
    if !out.is_empty() {
        out.push(b',');
    }
    out
}

fn flatten(
    prefix: &str,
    object: serde_json::Map<String, Value>,
    flat: &mut BTreeMap<String, Value>,
) {
    for (key, value) in object {
        let name = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Null => {}
            Value::Object(inner) => flatten(&name, inner, flat),
            value => drop(flat.insert(name, value)),
        }
    }
}

/// `kubernetes.labels.app.kubernetes.io/name` with the dots of the label's own name replaced, as
/// Elastic's agents do: a cluster has both `app` and `app.kubernetes.io/name`.
fn free_key(key: &str) -> Option<String> {
    let prefix = FREE.iter().find(|prefix| key.starts_with(**prefix))?;
    Some(format!(
        "{prefix}{}",
        key.strip_prefix(prefix)?.replace('.', "_")
    ))
}

/// A label's name for a key that has no place of its own.
fn label_of(key: &str) -> String {
    let key = key.strip_prefix("labels.").unwrap_or(key).replace('.', "_");
    if key.trim().is_empty() {
        "_".to_owned()
    } else {
        key
    }
}

/// Whether a name may stand as it is beside what lines fill.
fn is_placeable(name: &str) -> bool {
    let root = name.split('.').next().unwrap_or_default();
    if OURS.contains(&root)
        || matches!(
            name,
            "labels" | "kubernetes" | "log" | "event" | "event.ingested" | "host" | "container"
        )
        || (root == "log" && name != "log.file.path")
        || name.starts_with('_')
        || name.split('.').any(|part| part.trim().is_empty())
    {
        return false;
    }
    FIELDS
        .iter()
        .all(|(field, _)| !begins(name, field) && !begins(field, name))
}

/// Whether `name` is an object with `inner` in it.
fn begins(name: &str, inner: &str) -> bool {
    inner
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn contradicts(name: &str, placed: &BTreeMap<String, Value>) -> bool {
    placed
        .keys()
        .any(|other| begins(name, other) || begins(other, name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn constant(metadata: &str) -> String {
        String::from_utf8(StreamContext::new(metadata.as_bytes()).unwrap().constant).unwrap()
    }

    #[test]
    fn metadata_becomes_objects() {
        let check = |metadata: &str, expected: &str| assert_eq!(constant(metadata), expected);
        check("{}", "");
        check(
            r#"{"kubernetes.namespace":"shop","kubernetes.pod.name":"web-0","kubernetes.pod.uid":"u","container.id":"c"}"#,
            r#","container":{"id":"c"},"kubernetes":{"namespace":"shop","pod":{"name":"web-0","uid":"u"}}"#,
        );
        check(
            r#"{"kubernetes.labels.app":"a","kubernetes.labels.app.kubernetes.io/name":"b"}"#,
            r#","kubernetes":{"labels":{"app":"a","app_kubernetes_io/name":"b"}}"#,
        );
        check(
            r#"{"kubernetes":{"pod":{"name":"x\"y"}}}"#,
            r#","kubernetes":{"pod":{"name":"x\"y"}}"#,
        );
        // What cannot stand beside the fields of lines is a label.
        check(
            r#"{"source":"prod","message":"m","cluster":"c"}"#,
            r#","cluster":"c","labels":{"message":"m","source":"prod"}"#,
        );
        check(r#"{"a":1,"a.b":2}"#, r#","a":1,"labels":{"a_b":2}"#);
        check(
            r#"{"":"x","a..b":"y"}"#,
            r#","labels":{"":"x","a__b":"y"}"#.replace("\"\":", "\"_\":").as_str(),
        );
    }

    #[test]
    fn values_are_found_and_parts_kept_apart() {
        let context = StreamContext::new(
            br#"{"log.file.path":"/var/log/x","kubernetes.namespace":"shop","n":5,"tags":["a","b"],"host.name":"h","event.dataset":"d"}"#,
        )
        .unwrap();
        assert_eq!(context.get("kubernetes.namespace"), Some("shop"));
        assert_eq!(context.get("n"), Some("5"));
        assert_eq!(context.get("none"), None);
        assert_eq!(
            context.log,
            br#","log":{"file":{"path":"/var/log/x"},"offset":"#
        );
        assert_eq!(context.event, br#","event":{"dataset":"d","ingested":""#);
        assert_eq!(context.tags, br#""a","b""#);
        assert!(context.owned.contains(FieldId::find("host.name").unwrap()));
        assert!(StreamContext::new(b"[]").is_err());
    }

    proptest! {
        #[test]
        fn any_metadata_is_valid_json_without_duplicates(map in proptest::collection::btree_map("(kubernetes|log|labels|source|a|b|[a-z._\"\\\\-]{0,3})(\\.[a-c. ]{0,3}){0,2}", ".{0,4}", 0..10)) {
            let json = serde_json::to_vec(&map).unwrap();
            let context = StreamContext::new(&json).unwrap();
            let text = format!("{{\"_\":0{}}}", String::from_utf8(context.constant).unwrap());
            crate::document::tests::assert_no_duplicates(text.as_bytes());
            for (fragment, rest) in [(context.log, "0}}"), (context.event, "\"}}")] {
                let text = format!("{{\"_\":0{}{rest}", String::from_utf8(fragment).unwrap());
                crate::document::tests::assert_no_duplicates(text.as_bytes());
            }
        }
    }
}
