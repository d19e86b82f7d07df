//! Reads a round back and judges it: millions of documents, of which little is kept.

use std::collections::HashMap;

use bench::kubelet::Container;
use serde_json::{Map, Value, json};

use crate::{
    documents::Documents,
    verdict::{Verdict, field, text},
};

/// What a verdict looks at.
const FIELDS: [&str; 8] = [
    "kubernetes.pod.name",
    "kubernetes.container.name",
    "tailrace.stream",
    "tailrace.length",
    "tailrace.parts",
    "tailrace.dropped",
    "log.offset",
    "log.iostream",
];

/// Compares every document of `index` with what the containers' writers know.
///
/// # Errors
/// When the store does not answer.
pub(super) fn judge(
    documents: &Documents,
    index: &str,
    containers: &[Container],
) -> anyhow::Result<Verdict> {
    let mut by_pod: HashMap<String, Vec<Value>> = HashMap::new();
    // In one go: a query for each container would make the store unpack all of them each time.
    documents.each(index, &json!({"match_all": {}}), |hit| {
        let pod = text(&hit["_source"], "kubernetes.pod.name").to_owned();
        by_pod.entry(pod).or_default().push(slim(&hit));
    })?;
    let mut verdict = Verdict::default();
    for container in containers {
        let hits = by_pod.remove(&container.pod).unwrap_or_default();
        verdict.merge(Verdict::of_containers(&hits, [container]));
    }
    // What belongs to no container was written by nobody.
    let others = by_pod.into_values().flatten();
    let strangers = others.map(|hit| format!("of no container: {hit}"));
    verdict.strangers.extend(strangers);
    Ok(verdict)
}

/// A hit with no more than a verdict looks at: a fifth of the memory.
fn slim(hit: &Value) -> Value {
    let document = &hit["_source"];
    let mut kept = Map::new();
    for name in FIELDS.into_iter().chain(["message", "tags"]) {
        if let Some(value) = field(document, name) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    json!({"_source": kept})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_verdict_looks_at_is_kept() {
        let hit = json!({"_id": "x", "_source": {
            "kubernetes": {"pod.name": "web-0", "container": {"name": "c"}, "labels": {"a": "b"}},
            "message": "m",
            "log": {"offset": 7},
        }});
        let expected = json!({"_source": {
            "kubernetes.pod.name": "web-0",
            "kubernetes.container.name": "c",
            "message": "m",
            "log.offset": 7,
        }});
        assert_eq!(slim(&hit), expected);
    }
}
