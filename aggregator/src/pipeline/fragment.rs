//! What one batch adds to one output: documents in `_bulk` form, and what has to be known of them.

use store::{Run, Target};

/// Documents of one batch for one output, uncompressed.
#[derive(Debug, Default)]
pub struct Fragment {
    /// Action lines and documents.
    pub raw: Vec<u8>,
    /// The places documents go to.
    pub targets: Vec<Target>,
    /// Documents in the order of `raw`, counted by place.
    pub runs: Vec<Run>,
    /// Wall time of the oldest try of any of these bytes whose outcome is unknown, in
    /// milliseconds since the epoch.
    pub doubt_since_ms: Option<u64>,
}

impl Fragment {
    /// Number of documents.
    pub fn docs(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.docs)).sum()
    }

    /// Nothing in it.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The number of the place `index`, for documents of the Kubernetes namespace `namespace`.
    pub fn target(&mut self, index: &str, namespace: &str) -> u16 {
        // The documents of a group go to the place that was named last, nearly always.
        let known = self
            .targets
            .iter()
            .rposition(|target| target.index == index && target.namespace == namespace);
        let number = known.unwrap_or_else(|| {
            self.targets.push(Target {
                index: index.to_owned(),
                namespace: namespace.to_owned(),
            });
            self.targets.len() - 1
        });
        // 65,536 places in one batch would need as many data streams; the last one then
        // stands for the rest in the books, the documents carry their own index anyway.
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// Counts one document for the place `target`.
    pub fn count(&mut self, target: u16) {
        match self.runs.last_mut() {
            Some(run) if run.target == target && run.docs < u32::MAX => run.docs += 1,
            _ => self.runs.push(Run { target, docs: 1 }),
        }
    }

    /// The doubt of these documents is at least as old as `since_ms`.
    pub fn doubt(&mut self, since_ms: Option<u64>) {
        self.doubt_since_ms = match (self.doubt_since_ms, since_ms) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_counted_in_runs() {
        let mut fragment = Fragment::default();
        let a = fragment.target("logs-a-default", "shop");
        let b = fragment.target("logs-b-default", "shop");
        assert_eq!(a, fragment.target("logs-a-default", "shop"));
        for target in [a, a, b, a] {
            fragment.count(target);
        }
        assert_eq!(
            fragment
                .runs
                .iter()
                .map(|run| (run.target, run.docs))
                .collect::<Vec<_>>(),
            [(0, 2), (1, 1), (0, 1)]
        );
        assert_eq!(fragment.docs(), 4);
    }

    #[test]
    fn the_oldest_doubt_wins() {
        let mut fragment = Fragment::default();
        for doubt in [None, Some(7), None, Some(3), Some(9)] {
            fragment.doubt(doubt);
        }
        assert_eq!(fragment.doubt_since_ms, Some(3));
    }
}
