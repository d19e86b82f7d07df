//! Which backing indices stand behind a name, and since when (delivery rule 20).

use hyper::Method;
use serde_json::Value;

use super::{Elasticsearch, path_segment};
use crate::seam::{Backing, StoreError};

/// Reads which indices stand behind a name: works for data streams, aliases and plain indices, on
/// every server, also where the data stream API is missing.
pub(super) async fn backing(client: &Elasticsearch, index: &str) -> Result<Backing, StoreError> {
    let path = format!(
        "/{}/_settings?filter_path=*.settings.index.creation_date,*.settings.index.number_of_replicas",
        path_segment(index)
    );
    let answer = match client.json(Method::GET, &path, None).await {
        Err(error) if error.status() == Some(404) => return Ok(Backing::default()),
        answer => answer?,
    };
    let mut backing = backing_from(&answer);
    // Replicas that a single node is told to have exist nowhere: rule 21 is for copies that do.
    if backing.has_replicas && is_one_node(client).await {
        backing.has_replicas = false;
    }
    Ok(backing)
}

/// Whether the store has one data node. Without the right to ask, it counts as many.
async fn is_one_node(client: &Elasticsearch) -> bool {
    let path = "/_cluster/health?filter_path=number_of_data_nodes";
    let answer = client.json(Method::GET, path, None).await;
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
