//! Proves from the store alone that streams have no gap and no overlap.
//!
//! Every record stores which bytes of which stream it stands for, runs that rules dropped and that
//! agents passed over leave an interval too, and a finished stream leaves its size (DELIVERY rule
//! 24). [`Audit`] tiles these intervals. It knows nothing of how they are fetched. Memory follows
//! the number of gaps, not of records, as long as rows come sorted by stream.

mod rows;

pub use rows::{Row, origin, rows};

use std::collections::{BTreeMap, HashMap};

/// What a document of the trail names as the rule, when an agent passed bytes over as their pod asks.
pub const PASSED_OVER: &str = "annotation tailrace.io/exclude";

/// A run of bytes of one stream, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

/// What one document says of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A record, or a part of one, stands in the store.
    Record,
    /// Rules dropped these bytes on purpose.
    Dropped,
    /// What is not claimed otherwise of these bytes was passed over, as their pod asked: of two
    /// iostreams one may have been carried a little further.
    PassedOver,
    /// The stream is over: its size and what vanished unread before anyone could ship it.
    End {
        /// Size of the stream in bytes.
        size: u64,
        /// Bytes at its end that nobody read.
        unread: u64,
    },
}

/// Where a stream comes from, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Kubernetes namespace; empty when there is none.
    pub namespace: String,
    /// Pod; the file's path when there is none.
    pub pod: String,
    /// Container; empty when there is none.
    pub container: String,
}

/// Verdict over one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// Identity of the stream.
    pub stream: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Number of documents that claim bytes of it.
    pub records: u64,
    /// Bytes claimed, each once.
    pub bytes: u64,
    /// Bytes that rules dropped on purpose.
    pub dropped: u64,
    /// Bytes that the agent passed over, as their pod asked.
    pub excluded: u64,
    /// Bytes that vanished unread; counted by the agent, named here.
    pub unread: u64,
    /// Bytes that nobody claims, between two claims or before the known end.
    pub gaps: Vec<Interval>,
    /// Bytes that two documents claim.
    pub overlaps: Vec<Interval>,
    /// Offset of the first claimed byte when it is not 0: the stream was followed from there
    /// (`start_at: end`), or retention has taken the earlier documents.
    pub open_start: Option<u64>,
    /// The stream's end is known; else it is still written, or its agent never said.
    pub ended: bool,
}

impl StreamReport {
    /// Every byte from the first claim to the last, or to the known end, is claimed once.
    pub fn is_whole(&self) -> bool {
        self.gaps.is_empty() && self.overlaps.is_empty()
    }
}

#[derive(Default)]
struct Tiles {
    origin: Origin,
    records: u64,
    dropped: u64,
    /// Claims as they came; merged whenever it has grown to twice what merging left.
    claims: Vec<Interval>,
    merged_len: usize,
    overlaps: Vec<Interval>,
    passed_over: Vec<Interval>,
    end: Option<(u64, u64)>,
}

impl Tiles {
    fn claim(&mut self, interval: Interval) {
        if interval.end <= interval.start {
            return;
        }
        match self.claims.last_mut() {
            Some(last) if last.end == interval.start => last.end = interval.end,
            _ => self.claims.push(interval),
        }
        if self.claims.len() > 1024 && self.claims.len() > 2 * self.merged_len {
            self.merge();
        }
    }

    /// Sorts and joins the claims; bytes claimed twice go to `overlaps`.
    fn merge(&mut self) {
        self.claims.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(self.merged_len + 16);
        for claim in self.claims.drain(..) {
            match merged.last_mut() {
                Some(last) if claim.start <= last.end => {
                    if claim.start < last.end {
                        self.overlaps.push(Interval {
                            start: claim.start,
                            end: claim.end.min(last.end),
                        });
                    }
                    last.end = last.end.max(claim.end);
                }
                _ => merged.push(claim),
            }
        }
        self.merged_len = merged.len();
        self.claims = merged;
    }
}

/// Collects claims and tiles them.
#[derive(Default)]
pub struct Audit {
    streams: HashMap<String, Tiles>,
}

impl Audit {
    /// Nothing claimed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one document's claim: `intervals` of the stream it names. A record whose lines are
    /// not adjacent claims each part on the part's own stream, with one call each.
    pub fn claim(&mut self, stream: &str, origin: &Origin, claim: &Claim, interval: Interval) {
        let tiles = match self.streams.get_mut(stream) {
            Some(tiles) => tiles,
            None => self.streams.entry(stream.to_owned()).or_default(),
        };
        if tiles.origin == Origin::default() {
            tiles.origin = origin.clone();
        }
        match claim {
            Claim::Record => {
                tiles.records += 1;
                tiles.claim(interval);
            }
            Claim::Dropped => {
                tiles.dropped += interval.end.saturating_sub(interval.start);
                tiles.claim(interval);
            }
            Claim::PassedOver => tiles.passed_over.push(interval),
            Claim::End { size, unread } => {
                // Sent again after a restart, an end may be told twice; the larger one is later.
                let known = tiles.end.unwrap_or((0, 0));
                tiles.end = Some((known.0.max(*size), known.1.max(*unread)));
            }
        }
    }

    /// The verdicts, sorted by namespace, pod, container and stream.
    pub fn finish(self) -> Vec<StreamReport> {
        let mut sorted = BTreeMap::new();
        for (stream, mut tiles) in self.streams {
            tiles.merge();
            let report = report(stream, tiles);
            let key = (
                report.origin.namespace.clone(),
                report.origin.pod.clone(),
                report.origin.container.clone(),
                report.stream.clone(),
            );
            sorted.insert(key, report);
        }
        sorted.into_values().collect()
    }
}

/// What of `gaps` lies in none of `intervals`.
fn outside(mut gaps: Vec<Interval>, intervals: &[Interval]) -> Vec<Interval> {
    for inner in intervals {
        let around = |gap: Interval| {
            [
                Interval {
                    start: gap.start,
                    end: gap.end.min(inner.start),
                },
                Interval {
                    start: gap.start.max(inner.end),
                    end: gap.end,
                },
            ]
        };
        gaps = gaps.into_iter().flat_map(around).collect();
        gaps.retain(|gap| gap.start < gap.end);
    }
    gaps
}

fn n_bytes(intervals: &[Interval]) -> u64 {
    intervals.iter().map(|it| it.end - it.start).sum()
}

fn report(stream: String, tiles: Tiles) -> StreamReport {
    let mut gaps: Vec<Interval> = tiles
        .claims
        .windows(2)
        .map(|pair| Interval {
            start: pair[0].end,
            end: pair[1].start,
        })
        .collect();
    let first = tiles.claims.first().map_or(0, |claim| claim.start);
    let last = tiles.claims.last().map_or(0, |claim| claim.end);
    let unread = tiles.end.map_or(0, |(_, unread)| unread);
    if let Some((size, unread)) = tiles.end {
        let read_to = size.saturating_sub(unread);
        if read_to > last && !tiles.claims.is_empty() {
            gaps.push(Interval {
                start: last,
                end: read_to,
            });
        }
    }
    let n_unclaimed = n_bytes(&gaps);
    let gaps = outside(gaps, &tiles.passed_over);
    StreamReport {
        stream,
        origin: tiles.origin,
        records: tiles.records,
        bytes: n_bytes(&tiles.claims),
        dropped: tiles.dropped,
        excluded: n_unclaimed - n_bytes(&gaps),
        unread,
        gaps,
        overlaps: tiles.overlaps,
        open_start: (first > 0).then_some(first),
        ended: tiles.end.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin {
            namespace: "shop".into(),
            pod: "cart".into(),
            container: "app".into(),
        }
    }

    fn tile(records: &[(u64, u64)], end: Option<(u64, u64)>) -> StreamReport {
        let mut audit = Audit::new();
        for &(start, end) in records {
            audit.claim("s", &origin(), &Claim::Record, Interval { start, end });
        }
        if let Some((size, unread)) = end {
            let claim = Claim::End { size, unread };
            audit.claim(
                "s",
                &origin(),
                &claim,
                Interval {
                    start: size,
                    end: size,
                },
            );
        }
        audit.finish().remove(0)
    }

    /// Rule 24: sums of lengths are not enough; a loss that an overlap hides is found.
    #[test]
    fn a_loss_that_an_overlap_hides_is_found() {
        let report = tile(&[(0, 50), (50, 100), (0, 100)], Some((200, 0)));
        assert_eq!(
            report.gaps,
            [Interval {
                start: 100,
                end: 200
            }]
        );
        assert!(!report.overlaps.is_empty());
        assert!(!report.is_whole());
    }

    #[test]
    fn interleaved_parts_tile() {
        let report = tile(&[(0, 50), (150, 200), (50, 150)], Some((200, 0)));
        assert!(report.is_whole());
        assert_eq!(report.bytes, 200);
        assert!(report.ended);
    }

    #[test]
    fn gaps_in_the_middle_and_at_the_end_are_named() {
        let report = tile(&[(10, 20), (30, 40)], Some((60, 5)));
        assert_eq!(report.open_start, Some(10));
        assert_eq!(
            report.gaps,
            [
                Interval { start: 20, end: 30 },
                Interval { start: 40, end: 55 }
            ]
        );
        assert_eq!(report.unread, 5);
    }

    #[test]
    fn dropped_runs_close_gaps_and_are_named_apart() {
        let mut audit = Audit::new();
        audit.claim(
            "s",
            &origin(),
            &Claim::Record,
            Interval { start: 0, end: 10 },
        );
        audit.claim(
            "s",
            &origin(),
            &Claim::Dropped,
            Interval { start: 10, end: 30 },
        );
        audit.claim(
            "s",
            &origin(),
            &Claim::Record,
            Interval { start: 30, end: 40 },
        );
        let report = audit.finish().remove(0);
        assert!(report.is_whole());
        assert_eq!(report.dropped, 20);
    }

    /// A container that its pod excluded for a while has lost nothing.
    #[test]
    fn what_was_passed_over_is_no_gap() {
        let report = |passed_over: &[(u64, u64)], end: Option<(u64, u64)>| {
            let mut audit = Audit::new();
            let origin = origin();
            let mut claim = |claim: Claim, (start, end): (u64, u64)| {
                audit.claim("s", &origin, &claim, Interval { start, end });
            };
            claim(Claim::Record, (0, 100));
            // Of the other iostream.
            claim(Claim::Record, (120, 200));
            claim(Claim::Record, (500, 600));
            for &bytes in passed_over {
                claim(Claim::PassedOver, bytes);
            }
            if let Some((size, unread)) = end {
                claim(Claim::End { size, unread }, (size, size));
            }
            audit.finish().remove(0)
        };
        let whole = report(&[(100, 500)], None);
        assert!(whole.is_whole());
        assert_eq!((whole.excluded, whole.bytes, whole.dropped), (320, 280, 0));
        // Told twice; and at the end.
        let whole = report(&[(100, 500), (100, 500), (600, 900)], Some((900, 0)));
        assert!(whole.is_whole());
        assert_eq!(whole.excluded, 620);
        // What is missing around it is missing.
        let torn = report(&[(150, 400)], Some((700, 0)));
        let gap = |start, end| Interval { start, end };
        assert_eq!(torn.gaps, [gap(100, 120), gap(400, 500), gap(600, 700)]);
        assert_eq!(torn.excluded, 200);
    }

    /// Merging on the way must not change the verdict.
    #[test]
    fn many_unsorted_claims_give_the_same_verdict() {
        let n = 10_000u64;
        let mut order: Vec<u64> = (0..n).collect();
        // A fixed stride that is coprime to n visits every index once, out of order.
        order.sort_by_key(|i| (i * 7919) % n);
        let claims: Vec<(u64, u64)> = order
            .iter()
            .filter(|&&i| i != 5000)
            .map(|i| (i * 10, i * 10 + 10))
            .collect();
        let report = tile(&claims, Some((n * 10, 0)));
        assert_eq!(
            report.gaps,
            [Interval {
                start: 50_000,
                end: 50_010
            }]
        );
        assert!(report.overlaps.is_empty());
    }
}
