//! Documents whose earlier try has an unknown outcome (delivery rule 20): a data stream refuses a
//! known `_id` only within one backing index, so after a rollover the older ones are asked.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use super::Shared;
use super::deliver::Pending;
use crate::elasticsearch::path_segment;
use crate::metrics::Fate;
use crate::{Store as _, StoreError, wall_ms};

/// How far the server's clock and ours may differ: an index made this long before the doubt began
/// counts as made since.
const CLOCK_MARGIN: Duration = Duration::from_secs(60);

/// What an index name stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backing {
    /// Backing indices with the time of their creation, oldest first.
    pub(crate) indices: Vec<(String, u64)>,
    pub(crate) has_replicas: bool,
}

impl Backing {
    /// The indices that may have been written to since `since_ms`.
    fn written_since(&self, since_ms: u64) -> &[(String, u64)] {
        let since = since_ms.saturating_sub(CLOCK_MARGIN.as_millis() as u64);
        let younger = self
            .indices
            .partition_point(|(_, created)| *created < since);
        self.indices
            .get(younger.saturating_sub(1)..)
            .unwrap_or_default()
    }
}

/// Reads which indices stand behind a name: works for data streams, aliases and plain indices, on
/// every server, also where the data stream API is missing.
pub(crate) async fn backing(shared: &Shared, index: &str) -> Result<Backing, StoreError> {
    let path = format!(
        "/{}/_settings?filter_path=*.settings.index.creation_date,*.settings.index.number_of_replicas",
        path_segment(index)
    );
    let answer = match shared.client.json(Method::GET, &path, None).await {
        Err(error) if error.status() == Some(404) => return Ok(Backing::default()),
        answer => answer?,
    };
    let mut backing = backing_from(&answer);
    // Replicas that a single node is told to have exist nowhere: rule 21 is for copies that do.
    if backing.has_replicas && is_one_node(shared).await {
        backing.has_replicas = false;
    }
    Ok(backing)
}

/// Whether the store has one data node. Without the right to ask, it counts as many.
async fn is_one_node(shared: &Shared) -> bool {
    let path = "/_cluster/health?filter_path=number_of_data_nodes";
    let answer = shared.client.json(Method::GET, path, None).await;
    answer.is_ok_and(|health| health["number_of_data_nodes"] == 1)
}

fn backing_from(answer: &Value) -> Backing {
    let mut backing = Backing::default();
    for (name, value) in answer.as_object().into_iter().flatten() {
        let index = &value["settings"]["index"];
        let text = |key: &str| index[key].as_str().and_then(|t| t.parse::<u64>().ok());
        backing.has_replicas |= text("number_of_replicas").is_some_and(|n| n > 0);
        backing
            .indices
            .push((name.clone(), text("creation_date").unwrap_or(0)));
    }
    backing
        .indices
        .sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    backing
}

/// What checking documents in doubt came to.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Ids that an older backing index holds: they must not be posted again.
    pub(crate) stored: HashSet<(String, String)>,
    /// Indices whose shards have replicas.
    pub(crate) replicated: HashSet<String>,
}

/// Looks for documents in doubt in every backing index since their doubt began; deletes from the
/// younger index what is found twice. Waits until tries from before the rollover have timed out.
/// Fails only in ways that pass; without the rights it counts and answers nothing found.
pub(crate) async fn check(shared: &Shared, documents: &[Pending]) -> Result<Checked, StoreError> {
    let mut by_index: BTreeMap<&str, Vec<(&Pending, u64)>> = BTreeMap::new();
    for document in documents {
        if let Some(since) = document.doubt {
            by_index
                .entry(&document.index)
                .or_default()
                .push((document, since));
        }
    }
    let mut checked = Checked::default();
    for (index, documents) in by_index {
        match check_index(shared, index, &documents, &mut checked).await {
            Ok(()) => {}
            Err(StoreError::Status {
                status: 401 | 403 | 405,
                reason,
            }) => {
                for (document, _) in &documents {
                    shared
                        .metrics
                        .count(Fate::DoubtUnresolved, &document.namespace, 1);
                }
                shared.warn_limited(
                    index,
                    &format!("cannot check documents in doubt after a rollover: {reason}"),
                );
                checked.replicated.insert(index.to_owned());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(checked)
}

async fn check_index(
    shared: &Shared,
    index: &str,
    documents: &[(&Pending, u64)],
    checked: &mut Checked,
) -> Result<(), StoreError> {
    let since = documents
        .iter()
        .map(|(_, since)| *since)
        .min()
        .unwrap_or_default();
    let backing = backing(shared, index).await?;
    if backing.has_replicas {
        checked.replicated.insert(index.to_owned());
    }
    let indices = backing.written_since(since);
    let [_, .., (_, newest)] = indices else {
        return Ok(());
    };
    // A try from before the rollover may still be on its way into the older index.
    let settled = newest.saturating_add(shared.client.request_timeout().as_millis() as u64);
    if let Some(wait) = settled.checked_sub(wall_ms()).filter(|wait| *wait > 0) {
        let longest = shared.client.request_timeout().saturating_add(CLOCK_MARGIN);
        tokio::time::sleep(Duration::from_millis(wait).min(longest)).await;
    }
    let ids: Vec<&str> = documents
        .iter()
        .map(|(document, _)| document.id.as_str())
        .collect();
    let mut found_in: Vec<Option<usize>> = vec![None; ids.len()];
    let mut younger_copies = Vec::new();
    for (n, (name, _)) in indices.iter().enumerate() {
        let found = shared.client.mget_found(name, &ids).await?;
        for ((slot, is_found), id) in found_in.iter_mut().zip(found).zip(&ids) {
            match (is_found, &slot) {
                (true, None) => *slot = Some(n),
                (true, Some(_)) => younger_copies.push((name.clone(), (*id).to_owned())),
                (false, _) => {}
            }
        }
    }
    if !younger_copies.is_empty() {
        let removed = shared.client.delete(&younger_copies).await?;
        let namespace = documents
            .first()
            .map(|(d, _)| d.namespace.as_str())
            .unwrap_or_default();
        shared.metrics.count(Fate::Removed, namespace, removed);
        tracing::info!(index, removed, "second copies deleted after a rollover");
    }
    for (slot, id) in found_in.iter().zip(ids) {
        // In the newest index a post finds it by itself.
        if slot.is_some_and(|n| n + 1 < indices.len()) {
            checked.stored.insert((index.to_owned(), id.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Rule 20: every backing index since the oldest unknown try, and the one written to then.
    #[test]
    fn the_indices_since_the_doubt() {
        let settings = |created: u64| json!({"settings": {"index": {"creation_date": created.to_string(), "number_of_replicas": "0"}}});
        let answer = json!({
            ".ds-x-000003": settings(3_000_000), ".ds-x-000001": settings(1_000_000),
            ".ds-x-000002": settings(2_000_000),
        });
        let backing = backing_from(&answer);
        let names = |since| -> Vec<&str> {
            backing
                .written_since(since)
                .iter()
                .map(|(name, _)| name.as_str())
                .collect()
        };
        assert_eq!(names(2_500_000), [".ds-x-000002", ".ds-x-000003"]);
        assert_eq!(
            names(1_500_000),
            [".ds-x-000001", ".ds-x-000002", ".ds-x-000003"]
        );
        assert_eq!(names(0), [".ds-x-000001", ".ds-x-000002", ".ds-x-000003"]);
        assert_eq!(
            names(9_000_000),
            [".ds-x-000003"],
            "no rollover since: nothing to check"
        );
        assert_eq!(
            names(3_030_000),
            [".ds-x-000002", ".ds-x-000003"],
            "clocks differ"
        );
        assert!(!backing.has_replicas);
        assert_eq!(backing_from(&json!({})), Backing::default());
    }
}
