//! What a holder of the Lease does not know of those before it.

use super::EventDocument;

/// Which states somebody may have tried before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Those up to a version, since a time: of the holder before.
    Since { until: u64, since_ms: u64 },
    /// Those up to a version, since they are there: nobody knows of whom.
    Always { until: u64 },
}

impl Doubt {
    /// When the oldest try of any of these may have been.
    pub(super) fn of(self, documents: &[EventDocument]) -> Option<u64> {
        match self {
            Self::Since { until, since_ms } => documents
                .iter()
                .any(|it| it.version <= until)
                .then_some(since_ms),
            Self::Always { until } => documents
                .iter()
                .filter(|it| it.version <= until)
                .map(|it| it.created_ms)
                .min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(versions: &[(u64, u64)]) -> Vec<EventDocument> {
        let of = |&(version, created_ms): &(u64, u64)| EventDocument {
            uid: String::new(),
            version,
            line: Vec::new(),
            metadata: Vec::new(),
            time_ns: 0,
            created_ms,
        };
        versions.iter().map(of).collect()
    }

    #[test]
    fn doubt_covers_what_somebody_may_have_tried() {
        let since = Doubt::Since {
            until: 10,
            since_ms: 77,
        };
        let always = Doubt::Always { until: 10 };
        for (doubt, versions, expected) in [
            (since, &[(10, 5), (11, 5)][..], Some(77)),
            (since, &[(11, 5), (12, 5)], None),
            (always, &[(9, 50), (10, 40), (11, 3)], Some(40)),
            (always, &[(11, 3)], None),
            (always, &[], None),
        ] {
            assert_eq!(
                doubt.of(&documents(versions)),
                expected,
                "{doubt:?} {versions:?}"
            );
        }
    }
}
