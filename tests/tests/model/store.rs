//! The store of the model: a data stream of backing indices, as FACTS and servers have it: an id
//! is refused within the index that is written to, and known nowhere else.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

/// Where and when a document came.
#[derive(Debug, Clone)]
struct Copy {
    index: String,
    generation: u64,
    at_ms: u64,
    aggregator: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    /// For the message of a failure.
    seed: u64,
    generation: u64,
    copies: HashMap<String, Copy>,
    hits: Vec<Value>,
    /// Documents of requests that came twice, or after the agent had given them up.
    excused: HashSet<String>,
    /// Known ids that were refused, and those that only a look into older indices found.
    pub(crate) n_conflicts: u64,
    pub(crate) n_found: u64,
}

impl Store {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// From now on another index is written to.
    pub(crate) fn rollover(&mut self) {
        self.generation += 1;
    }

    /// The documents of a body come from a request that came twice, or late.
    pub(crate) fn excuse(&mut self, raw: &[u8]) {
        for line in raw.split(|byte| *byte == b'\n').step_by(2) {
            let action: Value = serde_json::from_slice(line).unwrap_or_default();
            self.excused
                .extend(action["create"]["_id"].as_str().map(str::to_owned));
        }
    }

    /// Takes a body of `create` actions from an aggregator. `doubt_since_ms` is what the sender
    /// would know: it looks into older indices for documents in doubt, as far back as the doubt
    /// (DELIVERY rule 20).
    pub(crate) fn bulk(
        &mut self,
        raw: &[u8],
        doubt_since_ms: Option<u64>,
        now_ms: u64,
        aggregator: usize,
    ) {
        let mut lines = raw.split(|byte| *byte == b'\n').filter(|it| !it.is_empty());
        while let (Some(action), Some(source)) = (lines.next(), lines.next()) {
            let action: Value = serde_json::from_slice(action).unwrap();
            let source: Value = serde_json::from_slice(source).unwrap();
            let id = action["create"]["_id"].as_str().unwrap_or_default();
            let index = action["create"]["_index"].as_str().unwrap_or_default();
            // Ends of streams and the like stand apart.
            let is_record = index.starts_with("logs-kubernetes");
            if !is_record {
                continue;
            }
            let Some(known) = self.copies.get(id) else {
                let copy = Copy {
                    index: index.to_owned(),
                    generation: self.generation,
                    at_ms: now_ms,
                    aggregator,
                };
                self.copies.insert(id.to_owned(), copy);
                self.hits.push(json!({"_id": id, "_source": source}));
                continue;
            };
            assert_eq!(
                known.index, index,
                "seed {}: {id} moved to another data stream",
                self.seed
            );
            if known.generation == self.generation {
                self.n_conflicts += 1;
                continue;
            }
            // The index of the first copy was the one written to after the doubt began.
            let is_found = doubt_since_ms.is_some_and(|since| since <= known.at_ms);
            // `docs/faults.md`, what is not promised: a body that waits in a buffer, over a
            // rollover, while another try of it reached the store; and what the network itself
            // delivers twice.
            let is_elsewhere = known.aggregator != aggregator;
            assert!(
                is_found || is_elsewhere || self.excused.contains(id),
                "seed {}: {id} is doubled by a rollover: came first at {}, in doubt since \
                 {doubt_since_ms:?}",
                self.seed,
                known.at_ms
            );
            self.n_found += u64::from(is_found);
        }
    }

    /// Everything, as a search answers it.
    pub(crate) fn hits(&self) -> &[Value] {
        &self.hits
    }
}
