//! Ids, and the ranges of a stream in which no document can be.
//!
//! An id of Tailrace says where a record stood: stream, offset, hash. Offsets of one stream rise, so
//! a document beyond the highest offset seen is new, without a look into the index. What comes out
//! of order falls into a gap that is known to be empty, or is looked up. The index is the truth;
//! what is here is a cache of it, and may be forgotten at any time.

use std::collections::hash_map::Entry;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustc_hash::FxHashMap;

/// Bytes of an id that says where a record stood.
const PLACE_BYTES: usize = 20;
/// Gaps remembered of one stream: bodies that are under way at a time leave one each.
const MAX_GAPS: usize = 16;
/// Streams remembered; some 100 bytes each.
const MAX_STREAMS: usize = 200_000;

/// Where a record stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) stream: [u8; 8],
    pub(crate) offset: u64,
    pub(crate) hash: u32,
}

/// The `_id` of a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum DocumentId {
    Place(Place),
    Named(Box<str>),
}

impl DocumentId {
    /// Reads an id: 27 characters of base64url are a place, everything else is a name.
    pub(crate) fn parse(text: &str) -> Self {
        let mut raw = [0; PLACE_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut raw) {
            // Other characters of the same bytes would come out as another text.
            Ok(PLACE_BYTES) if URL_SAFE_NO_PAD.encode(raw) == text => Self::Place(Place {
                stream: raw.first_chunk().copied().unwrap_or_default(),
                offset: u64::from_be_bytes(
                    raw.get(8..16)
                        .and_then(|b| b.try_into().ok())
                        .unwrap_or_default(),
                ),
                hash: u32::from_be_bytes(raw.last_chunk().copied().unwrap_or_default()),
            }),
            _ => Self::Named(text.into()),
        }
    }
}

impl std::fmt::Display for DocumentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Place(place) => {
                let mut raw = [0; PLACE_BYTES];
                raw[..8].copy_from_slice(&place.stream);
                raw[8..16].copy_from_slice(&place.offset.to_be_bytes());
                raw[16..].copy_from_slice(&place.hash.to_be_bytes());
                f.write_str(&URL_SAFE_NO_PAD.encode(raw))
            }
        }
    }
}

/// Gaps of all streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    gaps: FxHashMap<[u8; 8], Gaps>,
    /// Number of the request that takes offsets at the moment.
    request: u64,
}

impl Streams {
    /// A new request begins: its documents need not follow on those of the one before.
    pub(crate) fn begin_request(&mut self) {
        self.request += 1;
        if self.gaps.len() > MAX_STREAMS {
            self.gaps.clear();
        }
    }

    /// Whether `place` is certainly new; it is taken then. `highest` tells the highest offset that
    /// the index has of a stream which is not remembered.
    pub(crate) fn is_new<E>(
        &mut self,
        place: &Place,
        highest: impl FnOnce(&[u8; 8]) -> Result<Option<u64>, E>,
    ) -> Result<bool, E> {
        let gaps = match self.gaps.entry(place.stream) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Gaps::after(highest(&place.stream)?)),
        };
        Ok(gaps.take(place.offset, self.request))
    }

    /// Everything is to be asked from the index again.
    pub(crate) fn forget(&mut self) {
        self.gaps.clear();
    }
}

/// An open interval: no document stands at an offset between `low` and `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    low: i128,
    high: i128,
    /// The request whose last document is at `low`.
    grown_by: u64,
}

#[derive(Debug)]
struct Gaps(Vec<Gap>);

impl Gaps {
    fn after(highest: Option<u64>) -> Self {
        let low = highest.map_or(-1, i128::from);
        Self(vec![Gap {
            low,
            high: i128::MAX,
            grown_by: 0,
        }])
    }

    /// Takes `offset` out of a gap; false when it is in none.
    fn take(&mut self, offset: u64, request: u64) -> bool {
        let offset = i128::from(offset);
        let Some(at) = self
            .0
            .iter()
            .rposition(|gap| gap.low < offset && offset < gap.high)
        else {
            return false;
        };
        let Some(gap) = self.0.get_mut(at) else {
            return false;
        };
        let before = *gap;
        gap.low = offset;
        gap.grown_by = request;
        // Between two documents of one request nothing is to come: that gap is not worth a place.
        if before.grown_by != request && before.low + 1 < offset {
            self.0.insert(
                at,
                Gap {
                    high: offset,
                    ..before
                },
            );
            if self.0.len() > MAX_GAPS {
                self.0.remove(0);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_round_trip() {
        for text in [
            "AQIDBAUGBwgAAAAAAAAQAN6tvu8",
            "a-name",
            "",
            "AQIDBAUGBwgAAAAAAAAQAN6tvu9",
            "AQIDBAUGBwgAAAAAAAAQAN6tvu8=",
        ] {
            assert_eq!(DocumentId::parse(text).to_string(), text);
        }
        let DocumentId::Place(place) = DocumentId::parse("AQIDBAUGBwgAAAAAAAAQAN6tvu8") else {
            panic!("a place");
        };
        assert_eq!((place.offset, place.hash), (4096, 0xdead_beef));
        assert_eq!(place.stream, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn bodies_out_of_order_need_no_lookup() {
        let mut gaps = Gaps::after(None);
        // The third body comes before the second.
        for (offset, request) in [(0, 1), (10, 1), (40, 2), (50, 2), (20, 3), (30, 3), (60, 4)] {
            assert!(gaps.take(offset, request), "{offset}");
        }
        for offset in [0, 10, 20, 30, 40, 50, 60, 45] {
            assert!(!gaps.take(offset, 5), "{offset} is to be looked up");
        }
        assert!(gaps.take(35, 5), "between two requests nothing was dropped");
    }

    proptest! {
        /// What is taken as new was never there, in any order, over any number of requests.
        #[test]
        fn no_offset_is_new_twice(
            offsets in prop::collection::vec((0u64..200, 0u64..40), 1..300),
            highest in prop::option::of(0u64..100),
        ) {
            let mut gaps = Gaps::after(highest);
            let mut there: HashSet<u64> = highest.map(|h| (0..=h).collect()).unwrap_or_default();
            for (offset, request) in offsets {
                if gaps.take(offset, request) {
                    prop_assert!(there.insert(offset), "{} was there", offset);
                } else {
                    there.insert(offset);
                }
            }
        }
    }
}
