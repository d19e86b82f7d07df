//! Looks whether the look-arounds that were left out hold where a match went through.

use regex::bytes::{CaptureLocations, Regex};

use super::Range;

/// A condition at a place of the match, noted by a group of the expression.
#[derive(Debug)]
pub(super) struct Check {
    /// Name of the group, for when the expression is compiled.
    pub(super) group: usize,
    pub(super) kind: Kind,
    /// Anchored: at the front for what follows and for atomic groups, at the end for what stands
    /// before.
    pub(super) regex: Regex,
    /// Captures within what follows: group of `regex`, and which capture it is.
    pub(super) captures: Vec<(usize, usize)>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ahead {
        is_negated: bool,
    },
    Behind {
        is_negated: bool,
    },
    /// The group took what it takes when nothing follows.
    Atomic,
}

/// Bytes before a place that are looked at: look-behinds of more than a few characters are not
/// made into checks.
pub(super) const MAX_BEHIND: usize = 64;

impl Check {
    /// Whether it holds. A place that the match did not come through holds.
    pub(super) fn holds(
        &self,
        text: &[u8],
        locations: &CaptureLocations,
        ranges: &mut [Range],
    ) -> bool {
        let Some((start, end)) = locations.get(self.group) else {
            return true;
        };
        match self.kind {
            Kind::Behind { is_negated } => {
                let from = start.saturating_sub(MAX_BEHIND);
                let before = text.get(from..start).unwrap_or_default();
                self.regex.is_match(before) != is_negated
            }
            Kind::Atomic => {
                let rest = text.get(start..).unwrap_or_default();
                self.regex.find(rest).map(|m| start + m.end()) == Some(end)
            }
            Kind::Ahead { is_negated } => {
                let rest = text.get(start..).unwrap_or_default();
                if self.captures.is_empty() {
                    return self.regex.is_match(rest) != is_negated;
                }
                let Some(found) = self.regex.captures(rest) else {
                    return is_negated;
                };
                for (group, capture) in &self.captures {
                    if let (Some(m), Some(range)) = (found.get(*group), ranges.get_mut(*capture)) {
                        *range = Some((start + m.start(), start + m.end()));
                    }
                }
                !is_negated
            }
        }
    }
}
