//! Looks whether the look-arounds that were left out hold where a match went through.

use regex::bytes::Regex;
use regex_syntax::hir::{Class, HirKind};

use super::Range;
use crate::expression::set::ByteSet;
use crate::expression::{Around, Locations};

/// A condition at a place of the match, noted by a group of the expression.
#[derive(Debug)]
pub(super) struct Check {
    /// Name of the group, for when the expression is compiled.
    pub(super) group: usize,
    pub(super) kind: Kind,
    /// Anchored: at the front for what follows and for atomic groups, at the end for what stands
    /// before.
    pub(super) regex: Regex,
    /// `regex` is one character of these, of ASCII: no engine is needed. Benchmark: `grok` of
    /// `make bench-rules`.
    pub(super) one: Option<ByteSet>,
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
    /// The name of its group, before the expression is compiled.
    pub(super) fn name(&self) -> String {
        format!("m{}", self.group)
    }

    /// Whether it holds wherever the expression matches.
    pub(super) fn always_holds(&self, around: &Around) -> bool {
        let group = self.name();
        match (self.kind, &self.one) {
            (Kind::Atomic, _) => around.is_atomic(&group),
            (Kind::Ahead { is_negated }, Some(one)) => {
                around.is_always_ahead(&group, one, is_negated)
            }
            (Kind::Behind { is_negated }, Some(one)) => {
                around.is_always_behind(&group, one, is_negated)
            }
            (Kind::Ahead { .. } | Kind::Behind { .. }, None) => false,
        }
    }

    /// Whether it holds in `text[from..]`. A place that the match did not come through holds.
    pub(super) fn holds(
        &self,
        text: &[u8],
        from: usize,
        locations: &Locations,
        ranges: &mut [Range],
    ) -> bool {
        let Some((start, end)) = locations.get(self.group) else {
            return true;
        };
        if let Some(one) = &self.one {
            let is_one = |byte: Option<&u8>| byte.is_some_and(|byte| one.has(*byte));
            match self.kind {
                Kind::Behind { is_negated } => {
                    let before = (start > from).then(|| text.get(start - 1)).flatten();
                    return is_one(before) != is_negated;
                }
                Kind::Ahead { is_negated } => return is_one(text.get(start)) != is_negated,
                Kind::Atomic => {}
            }
        }
        match self.kind {
            Kind::Behind { is_negated } => {
                let from = start.saturating_sub(MAX_BEHIND).max(from);
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

/// The characters of an expression that is one character of ASCII, as in `(?![0-9])`.
pub(super) fn one_of(expression: &str) -> Option<ByteSet> {
    let hir = regex_syntax::Parser::new().parse(expression).ok()?;
    let mut one = ByteSet::default();
    match hir.kind() {
        HirKind::Literal(literal) => match literal.0.as_ref() {
            [byte @ 0..0x80] => one.insert(*byte),
            _ => return None,
        },
        HirKind::Class(Class::Unicode(class)) => {
            for range in class.iter() {
                if !range.end().is_ascii() {
                    return None;
                }
                one.extend(range.start() as u8..=range.end() as u8);
            }
        }
        _ => return None,
    }
    Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_characters_need_no_engine() {
        let check = |expression: &str, expected: Option<&[u8]>| {
            let one = one_of(expression);
            let found = one.map(|one| one.iter().collect());
            assert_eq!(found, expected.map(<[u8]>::to_vec), "{expression}");
        };
        check("[0-9.+-]", Some(b"+-.0123456789"));
        check(r"\\", Some(b"\\"));
        check("a|b", Some(b"ab"));
        check("[^a]", None);
        check("ab", None);
        check("é", None);
        check("a?", None);
    }
}
