//! Documents whose earlier try has an unknown outcome (delivery rule 20): a data stream refuses a
//! known `_id` only within one backing index, so after a rollover the older ones are asked.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::Shared;
use super::entry::Pending;
use crate::metrics::Fate;
use crate::seam::CLOCK_MARGIN;
use crate::{StoreError, wall_ms};

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
    let backing = shared.client.backing(index).await?;
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
