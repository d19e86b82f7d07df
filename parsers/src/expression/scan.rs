//! Parts of an expression that a small automaton runs through: dates, addresses, numbers, of which
//! nothing is noted but where they end.
//!
//! The [`matcher`](super::matcher) takes one way after the other and decides at each step; a part
//! such as grok's `HTTPDATE` is dozens of steps. An automaton looks at each byte once. It may stand
//! for the part only when no text has two ends for it: where the part can end and what follows can
//! begin, it must not be able to go on. Then it does not matter which way is preferred, and the end
//! is the one that the `regex` crate finds. Whether that is so is asked of the automaton when the
//! expression is compiled.
//!
//! Benchmark: `grok` of `make bench-rules`. Plain twin: the nodes that it stands for, and the
//! `regex` crate in the property test.

use std::collections::HashSet;

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start},
};
use regex_syntax::hir::Hir;

use super::matcher::GivesUp;
use super::program::Ahead;

/// Memory of an automaton: larger ones would push others out of the processor's cache.
const MAX_BYTES: usize = 128 << 10;
/// Memory for making one: what takes more is large in any case.
const MAX_WORK_BYTES: usize = 1 << 20;
/// States of two automata that are compared: small ones have fewer.
const MAX_PAIRS: usize = 4096;

/// An automaton for a part of an expression.
#[derive(Debug)]
pub(super) struct Scan {
    automaton: dense::DFA<Vec<u32>>,
    after: Ahead,
    /// Number of nodes that this stands for.
    pub(super) n_nodes: usize,
}

impl Scan {
    /// An automaton for `part`, behind which `after` stands; `None` when there is no small one, or
    /// a text may have several ends for it.
    pub(super) fn compile(part: &Hir, after: Ahead, n_nodes: usize) -> Option<Scan> {
        let automaton = automaton(part, MatchKind::All)?;
        if !has_one_end(&automaton, &after) {
            return None;
        }
        Some(Scan {
            automaton,
            after,
            n_nodes,
        })
    }

    /// Where the part ends that stands at `at`, if what follows can begin there, and how many bytes
    /// were looked at. `from` is where the text begins.
    ///
    /// # Errors
    ///
    /// When it cannot tell: at characters of which an automaton does not know whether they belong
    /// to words.
    #[inline]
    pub(super) fn end(
        &self,
        text: &[u8],
        from: usize,
        at: usize,
    ) -> Result<(Option<usize>, usize), GivesUp> {
        let before = (at > from).then(|| text.get(at - 1)).flatten();
        let start = behind(before.copied());
        let mut state = self.automaton.start_state(&start).map_err(|_| GivesUp)?;
        let rest = text.get(at..).unwrap_or_default();
        for (n, byte) in rest.iter().enumerate() {
            state = self.automaton.next_state(state, *byte);
            if self.automaton.is_special_state(state) {
                // An end is known when the byte behind it is seen.
                if self.automaton.is_match_state(state) {
                    if self.after.fits(text, at + n) {
                        return Ok((Some(at + n), n));
                    }
                } else if self.automaton.is_dead_state(state) {
                    return Ok((None, n));
                } else if self.automaton.is_quit_state(state) {
                    return Err(GivesUp);
                }
            }
        }
        state = self.automaton.next_eoi_state(state);
        let is_end = self.automaton.is_match_state(state) && self.after.fits(text, text.len());
        Ok((is_end.then_some(text.len()), rest.len()))
    }
}

/// Whether the only end that `part` has before `after` is always the one that it takes when it does
/// not know what follows: then an atomic group around it changes nothing.
pub(super) fn is_atomic(part: &Hir, after: &Ahead) -> bool {
    let automata = (
        automaton(part, MatchKind::All),
        automaton(part, MatchKind::LeftmostFirst),
    );
    let (Some(all), Some(preferred)) = automata else {
        return false;
    };
    has_one_end(&all, after) && prefers_longest(&preferred, &all)
}

/// A small automaton for an expression, of which the beginning stands where it is asked.
fn automaton(part: &Hir, matches: MatchKind) -> Option<dense::DFA<Vec<u32>>> {
    let config = thompson::Config::new()
        .utf8(false)
        .shrink(false)
        .which_captures(thompson::WhichCaptures::None);
    let nfa = thompson::Compiler::new()
        .configure(config)
        .build_from_hir(part)
        .ok()?;
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .match_kind(matches)
        .unicode_word_boundary(true)
        .dfa_size_limit(Some(MAX_BYTES))
        .determinize_size_limit(Some(MAX_WORK_BYTES));
    let mut builder = dense::Builder::new();
    builder.configure(config).build_from_nfa(&nfa).ok()
}

/// Whether an expression ends last where it prefers to end. An automaton that goes the preferred way
/// ends nowhere that the one of all ways does not, and leaves out what comes behind the preferred
/// end: where both know the same ends of every text, the last one is the preferred one.
fn prefers_longest(preferred: &dense::DFA<Vec<u32>>, all: &dense::DFA<Vec<u32>>) -> bool {
    let mut seen = HashSet::new();
    let mut todo = Vec::new();
    for before in (0..=255).map(Some).chain([None]) {
        let before = behind(before);
        match (preferred.start_state(&before), all.start_state(&before)) {
            (Ok(one), Ok(other)) => todo.push((one, other)),
            _ => return false,
        }
    }
    while let Some((one, other)) = todo.pop() {
        if all.is_dead_state(other) || !seen.insert((one, other)) {
            continue;
        }
        let is_unknown = preferred.is_quit_state(one) || all.is_quit_state(other);
        let knows_less = all.is_match_state(other) && !preferred.is_match_state(one);
        if is_unknown || knows_less || seen.len() > MAX_PAIRS {
            return false;
        }
        todo.push((preferred.next_eoi_state(one), all.next_eoi_state(other)));
        todo.extend(
            (0..=255).map(|byte| (preferred.next_state(one, byte), all.next_state(other, byte))),
        );
    }
    true
}

/// How an automaton begins behind a byte, or at the beginning of the text.
fn behind(before: Option<u8>) -> start::Config {
    let config = start::Config::new().anchored(Anchored::Yes);
    config.look_behind(before)
}

/// Whether an end behind which `after` can stand is always the last one.
fn has_one_end(automaton: &dense::DFA<Vec<u32>>, after: &Ahead) -> bool {
    let index = |state: StateID| state.as_usize() >> automaton.stride2();
    // A byte of each class: the automaton tells no bytes of a class apart.
    let bytes: Vec<u8> = automaton
        .byte_classes()
        .representatives(..)
        .filter_map(|unit| unit.as_u8())
        .collect();
    // More states than have room in the memory allowed.
    let mut seen = vec![false; MAX_BYTES / size_of::<u32>()];
    let mut states = Vec::new();
    let mut note = |state: StateID, states: &mut Vec<StateID>| {
        if let Some(seen) = seen.get_mut(index(state))
            && !std::mem::replace(seen, true)
        {
            states.push(state);
        }
    };
    for before in (0..=255).map(Some).chain([None]) {
        // Behind other bytes it cannot begin, and says so when they come.
        if let Ok(state) = automaton.start_state(&behind(before)) {
            note(state, &mut states);
        }
    }
    let mut before: Vec<Vec<StateID>> = Vec::new();
    let mut at = 0;
    while let Some(state) = states.get(at).copied() {
        at += 1;
        if automaton.is_dead_state(state) || automaton.is_quit_state(state) {
            continue;
        }
        let next = bytes.iter().map(|byte| automaton.next_state(state, *byte));
        for next in next.chain([automaton.next_eoi_state(state)]) {
            note(next, &mut states);
            if before.len() <= index(next) {
                before.resize_with(index(next) + 1, Vec::new);
            }
            before[index(next)].push(state);
        }
    }
    // States from which an end is still to come, found backwards from the ends.
    let is_end = |state: &&StateID| automaton.is_match_state(**state);
    let mut todo: Vec<StateID> = states.iter().filter(is_end).copied().collect();
    let mut goes_on = vec![false; before.len()];
    while let Some(state) = todo.pop() {
        for from in before.get(index(state)).into_iter().flatten() {
            if goes_on.get(index(*from)) == Some(&false) {
                goes_on[index(*from)] = true;
                todo.push(*from);
            }
        }
    }
    let goes_on = |state: StateID| goes_on.get(index(state)) == Some(&true);
    let follows: Vec<u8> = (0..=255)
        .filter(|byte| after.any || after.bytes.has(*byte))
        .collect();
    let is_over = |state: StateID| automaton.is_dead_state(state) || automaton.is_quit_state(state);
    states
        .iter()
        .filter(|state| !is_over(**state))
        .all(|state| {
            let mut next = follows
                .iter()
                .map(|byte| automaton.next_state(*state, *byte));
            next.all(|next| !automaton.is_match_state(next) || !goes_on(next))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hir(part: &str) -> Hir {
        regex_syntax::ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(part)
            .unwrap()
    }

    fn before(bytes: &str) -> Ahead {
        let mut ahead = Ahead::nothing();
        ahead.bytes.extend(bytes.bytes());
        ahead
    }

    #[test]
    fn parts_with_one_end_have_an_automaton() {
        for (part, after) in [
            ("(?:[0-9]{1,2}|x)/[A-Z][a-z]{2}", "]"),
            (r"[+-]?\d+(?:\.\d+)?", " "),
            // Several ends, of which what follows allows one.
            ("a|ab|abc", " "),
        ] {
            assert!(
                Scan::compile(&hir(part), before(after), 1).is_some(),
                "{part}"
            );
        }
        for (part, after) in [
            ("a|ab", "b"),
            (".*", " "),
            (r"\d+(?:\.\d+)?", "."),
            // Too large.
            (r"\w{50}x|\w+y", " "),
        ] {
            assert!(
                Scan::compile(&hir(part), before(after), 1).is_none(),
                "{part}"
            );
        }
    }

    #[test]
    fn what_takes_the_longest_anyway_is_atomic() {
        for (part, after, expected) in [
            (r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)", " ", true),
            // It would go on.
            (r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)", ".", false),
            ("a+", "b", true),
            ("a+", "a", false),
            // It has one end before the space, and would have taken another one.
            ("a+?", " ", false),
            ("a|ab", " ", false),
            ("ab|a", " ", true),
            ("a?(?:ab)?", " ", false),
            (r"a\b", " ", false),
        ] {
            assert_eq!(is_atomic(&hir(part), &before(after)), expected, "{part}");
        }
    }

    #[test]
    fn the_end_is_where_what_follows_can_begin() {
        let scan = Scan::compile(&hir(r"\b(?:a|ab|[0-9]+)"), before(" "), 1).unwrap();
        let end = |text: &str, from, at| {
            let found = scan.end(text.as_bytes(), from, at);
            found.map(|(end, _)| end)
        };
        assert_eq!(end("ab c", 0, 0), Ok(Some(2)));
        assert_eq!(end("12 c", 0, 0), Ok(Some(2)));
        assert_eq!(end("abc", 0, 0), Ok(None));
        // Nothing follows, and nothing is no space.
        assert_eq!(end("ab", 0, 0), Ok(None));
        // Within a word, and at the beginning of a text that is part of a longer one.
        assert_eq!(end("xa ", 0, 1), Ok(None));
        assert_eq!(end("xa ", 1, 1), Ok(Some(2)));
        assert_eq!(end("üa ", 0, 2), Err(GivesUp));
    }
}
