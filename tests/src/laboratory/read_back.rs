//! Reads a round back and judges it, container by container: a round of many million events does
//! not fit into memory as a whole.

use std::sync::Mutex;

use bench::kubelet::Container;
use serde_json::json;

use crate::{documents::Documents, verdict::Verdict};

/// Containers that are read at a time: one waits for the store while the other is judged.
const AT_A_TIME: usize = 2;

/// Compares every document of `index` with what the containers' writers know.
///
/// # Errors
/// When the store does not answer.
pub(super) fn judge(
    documents: &Documents,
    index: &str,
    containers: &[Container],
) -> anyhow::Result<Verdict> {
    let left = Mutex::new(containers.iter());
    let read = || {
        let mut verdict = Verdict::default();
        loop {
            let next = left.lock().ok().and_then(|mut left| left.next());
            let Some(container) = next else {
                return anyhow::Ok(verdict);
            };
            let pod = json!({"term": {"kubernetes.pod.name": container.pod}});
            let hits = documents.matching(index, &pod)?;
            verdict.merge(Verdict::of_containers(&hits, [container]));
        }
    };
    let mut verdict = Verdict::default();
    std::thread::scope(|scope| {
        let readers = [(); AT_A_TIME].map(|()| scope.spawn(read));
        for reader in readers {
            let read = reader
                .join()
                .map_err(|_| anyhow::anyhow!("a reader panicked"))?;
            verdict.merge(read?);
        }
        anyhow::Ok(())
    })?;
    // What belongs to no container was written by nobody.
    let pods: Vec<&str> = containers.iter().map(|it| it.pod.as_str()).collect();
    let others = json!({"bool": {"must_not": {"terms": {"kubernetes.pod.name": pods}}}});
    let others = documents.matching(index, &others)?;
    let strangers = others.iter().map(|hit| format!("of no container: {hit}"));
    verdict.strangers.extend(strangers);
    Ok(verdict)
}
