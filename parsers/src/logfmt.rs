//! logfmt: `level=info msg="order placed" order=17`.
//!
//! Recognised by itself when the line begins with a pair, has two or more, and three times as
//! many pairs as other words. Values are text, numbers too: the same key holds `17` and `n/a` in
//! the life of a program, and the store would refuse the second once it took the first for a
//! number.

use crate::ecs::key_hash;
use crate::json::{MAX_FIELDS, MAX_KEY, Member, ValueKind, scan};
use crate::marks::Marks;
use crate::span::Span;

/// What [`scan_line`] found beside the pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Some key may stand twice, or has a dot: names need care.
    pub(crate) names_dirty: bool,
}

const KEY: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        table[i] = b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b'@');
        i += 1;
    }
    table
};

#[inline(always)]
fn key_end(line: &[u8], from: usize) -> usize {
    let mut at = from;
    while line.get(at).is_some_and(|b| KEY[usize::from(*b)]) {
        at += 1;
    }
    at
}

/// Appends the pairs of `line[from..]` to `members`. `None`, with leftovers in `members`, when the line is not
/// logfmt. Values with escapes are undone into `arena`. `marks` are those of the record's text, which
/// `line` is or begins with.
pub(crate) fn scan_line(
    line: &[u8],
    from: usize,
    marks: &Marks,
    members: &mut Vec<Member>,
    arena: &mut Vec<u8>,
) -> Option<Found> {
    let mut at = scan::skip_space(line, from);
    let first_end = key_end(line, at);
    if first_end == at || line.get(first_end) != Some(&b'=') {
        return None;
    }
    let n_before = members.len();
    let mut n_words = 0usize;
    let mut bloom = 0u64;
    let mut names_dirty = false;
    while at < line.len() {
        let end = key_end(line, at);
        if end == at || end - at > MAX_KEY || line.get(end) != Some(&b'=') {
            // A word, up to the next space.
            n_words += 1;
            let rest = line.get(at..)?;
            at += memchr::memchr(b' ', rest).unwrap_or(rest.len());
        } else {
            let key = Span::line(at, end);
            let name = line.get(at..end)?;
            let hash = key_hash(name);
            let bit = 1 << (hash & 63);
            names_dirty |= bloom & bit != 0 || name.contains(&b'.');
            bloom |= bit;
            let value;
            (value, at) = scan_value(line, end + 1, marks, arena)?;
            if members.len() - n_before >= MAX_FIELDS {
                return None;
            }
            members.push(Member {
                key,
                hash,
                value,
                kind: ValueKind::Text,
                dirty: false,
                taken: false,
            });
        }
        // Pairs are apart: `a="b"c` is none.
        match line.get(at) {
            None => break,
            Some(b' ' | b'\t' | b'\n' | b'\r') => at = scan::skip_space(line, at),
            Some(_) => return None,
        }
    }
    let n_pairs = members.len() - n_before;
    (n_pairs >= 2 && n_words * 3 <= n_pairs).then_some(Found { names_dirty })
}

/// The value at `at` and the position after it. `None` when a quote is not closed.
#[inline(always)]
fn scan_value(line: &[u8], at: usize, marks: &Marks, arena: &mut Vec<u8>) -> Option<(Span, usize)> {
    if line.get(at) != Some(&b'"') {
        let mut end = marks.find(line, b' ', at, line.len()).unwrap_or(line.len());
        // Other white space is among what needs care.
        let mut special = marks.find_special(line, at);
        while special < end {
            match line.get(special) {
                Some(b'\t' | b'\n' | b'\r') => end = special,
                _ => special = marks.find_special(line, special + 1),
            }
        }
        return Some((Span::line(at, end), end));
    }
    let mut has_escapes = false;
    let mut end = at + 1;
    loop {
        end = marks.find_special(line, end);
        match line.get(end)? {
            b'"' => break,
            b'\\' => {
                has_escapes = true;
                end += 2;
            }
            _ => end += 1,
        }
    }
    if !has_escapes {
        return Some((Span::line(at + 1, end), end + 1));
    }
    let start = arena.len();
    scan::unescape(arena, line.get(at + 1..end)?);
    Some((Span::arena(start, arena.len()), end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(line: &str) -> Option<String> {
        let mut members = Vec::new();
        let mut arena = Vec::new();
        let mut marks = Marks::default();
        let found = scan_line(line.as_bytes(), 0, &marks, &mut members, &mut arena);
        marks.look(line.as_bytes());
        let mut again = Vec::new();
        arena.clear();
        let looked = scan_line(line.as_bytes(), 0, &marks, &mut again, &mut arena);
        assert_eq!(looked, found);
        found?;
        let bytes = crate::span::Bytes {
            line: line.as_bytes(),
            arena: &arena,
            rules: b"",
        };
        let text = |span| String::from_utf8_lossy(bytes.of(span)).into_owned();
        let all: Vec<_> = members
            .iter()
            .map(|m| format!("{}<{}>", text(m.key), text(m.value)))
            .collect();
        Some(all.join(" "))
    }

    #[test]
    fn lines_are_recognised_or_left() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(pairs(line).as_deref(), expected, "{line}")
        };
        check("a=1 b=2", Some("a<1> b<2>"));
        check(
            r#"level=info msg="order \"x\" placed" n=17"#,
            Some(r#"level<info> msg<order "x" placed> n<17>"#),
        );
        check(r#"a="x\x1b[0m" b="#, Some(r"a<x\x1b[0m> b<>"));
        check("  a=1   b=2 ", Some("a<1> b<2>"));
        check("a=1 b=2 c=3 word", Some("a<1> b<2> c<3>"));
        check("a=1", None);
        check("a=1 word b=2", None);
        check("word a=1 b=2 c=3", None);
        check("a=\"open b=2", None);
        check("a=\"x\"y b=2", None);
        check("=1 b=2", None);
        check("", None);
        check(
            "url=http://x/?a=b&c=d ok=true",
            Some("url<http://x/?a=b&c=d> ok<true>"),
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(prop::sample::select(b"ab=\"\\ .\nux0\xff".to_vec()), 0..60)) {
            let _ = scan_line(&line, 0, &Marks::default(), &mut Vec::new(), &mut Vec::new());
        }
    }
}
