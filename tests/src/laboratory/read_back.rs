//! Reads a round back and judges it: millions of documents, of which little is kept.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    thread::ScopedJoinHandle,
};

use bench::kubelet::Container;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    documents::{Documents, hits},
    verdict::{Verdict, field, text},
};

/// Pages that are read while the store makes the next one.
const AT_A_TIME: usize = 2;

/// What a verdict looks at.
const FIELDS: [&str; 9] = [
    "kubernetes.pod.name",
    "kubernetes.container.name",
    "tailrace.stream",
    "tailrace.length",
    "tailrace.parts",
    "log.offset",
    "log.iostream",
    "message",
    "tags",
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
    let by_pod: Mutex<HashMap<String, Vec<Value>>> = Mutex::default();
    let read = |page: Bytes| -> anyhow::Result<()> {
        let kept: Vec<(String, Value)> = hits(&page)?
            .iter()
            .map(|hit| {
                let pod = text(&hit["_source"], "kubernetes.pod.name");
                (pod.to_owned(), slim(hit))
            })
            .collect();
        let mut by_pod = by_pod.lock().unwrap_or_else(PoisonError::into_inner);
        for (pod, hit) in kept {
            by_pod.entry(pod).or_default().push(hit);
        }
        Ok(())
    };
    // In one go: a query for each container would make the store unpack all of them each time.
    std::thread::scope(|scope| {
        let mut reading = VecDeque::new();
        documents.pages(index, &json!({"match_all": {}}), |page| {
            reading.push_back(scope.spawn(|| read(page)));
            match reading.len() > AT_A_TIME {
                true => join(reading.pop_front()),
                false => Ok(()),
            }
        })?;
        while !reading.is_empty() {
            join(reading.pop_front())?;
        }
        anyhow::Ok(())
    })?;
    let mut by_pod = by_pod.into_inner().unwrap_or_else(PoisonError::into_inner);
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

fn join(reader: Option<ScopedJoinHandle<'_, anyhow::Result<()>>>) -> anyhow::Result<()> {
    let read = reader.map(ScopedJoinHandle::join);
    read.unwrap_or(Ok(Ok(())))
        .map_err(|_| anyhow::anyhow!("a reader of hits panicked"))?
}

/// A hit with no more than a verdict looks at: a fifth of the memory.
fn slim(hit: &Value) -> Value {
    let document = &hit["_source"];
    let mut kept = Map::new();
    for name in FIELDS {
        if let Some(value) = field(document, name) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    let mut hit = Map::new();
    hit.insert("_source".to_owned(), Value::Object(kept));
    Value::Object(hit)
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
