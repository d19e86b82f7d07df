//! What can stand around a group wherever an expression matches. A condition that follows from it,
//! such as that no digit comes next where a space does, need not be looked at.
//!
//! Benchmark: `grok` of `make bench-rules`. Plain twin: the engine that goes back, in the property
//! test of grok.

use regex_syntax::hir::{Capture, Hir, HirKind};

use super::program::{self, Ahead, Node};
use super::scan;
use super::set::ByteSet;

/// An expression, to be asked for what is around its groups.
#[derive(Debug)]
pub(crate) struct Around {
    hir: Hir,
    nodes: Vec<Node>,
}

impl Around {
    /// `None` when the expression holds what a program cannot say.
    pub(crate) fn of(expression: &str) -> Option<Around> {
        let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
        let hir = parser.parse(expression).ok()?;
        let nodes = program::nodes(&hir)?;
        Some(Around { hir, nodes })
    }

    /// Whether a byte of `set` (`is_negated`: none of them) always stands before the group.
    pub(crate) fn is_always_behind(&self, group: &str, set: &ByteSet, is_negated: bool) -> bool {
        self.at_all(group, 0, |at| {
            is_always(&behind(&self.nodes, at), set, is_negated)
        })
    }

    /// Whether a byte of `set` (`is_negated`: none of them) always stands behind the group.
    pub(crate) fn is_always_ahead(&self, group: &str, set: &ByteSet, is_negated: bool) -> bool {
        self.at_all(group, 1, |at| {
            is_always(&program::ahead(&self.nodes, at + 1), set, is_negated)
        })
    }

    /// Whether the group always takes what it takes when nothing is said of what follows.
    pub(crate) fn is_atomic(&self, group: &str) -> bool {
        let Some(capture) = capture(&self.hir, group) else {
            return false;
        };
        self.at_all(group, 1, |at| {
            scan::is_atomic(&capture.sub, &program::ahead(&self.nodes, at + 1))
        })
    }

    /// Whether the group is noted, and something holds of each node that notes its beginning
    /// (`side` 0) or end (1).
    fn at_all(&self, group: &str, side: usize, holds: impl Fn(usize) -> bool) -> bool {
        let Some(capture) = capture(&self.hir, group) else {
            return false;
        };
        let wanted = 2 * capture.index as usize + side;
        let nodes = self.nodes.iter().enumerate();
        let mut places = nodes
            .filter(|(_, node)| matches!(node, Node::Save(slot) if *slot == wanted))
            .map(|(at, _)| at)
            .peekable();
        places.peek().is_some() && places.all(holds)
    }
}

fn is_always(beside: &Ahead, set: &ByteSet, is_negated: bool) -> bool {
    if beside.any {
        return false;
    }
    match is_negated {
        true => !beside.bytes.intersects(set),
        false => !beside.end && !beside.bytes.intersects(&set.complement()),
    }
}

fn capture<'h>(hir: &'h Hir, name: &str) -> Option<&'h Capture> {
    match hir.kind() {
        HirKind::Capture(found) if found.name.as_deref() == Some(name) => Some(found),
        HirKind::Capture(other) => capture(&other.sub, name),
        HirKind::Repetition(repetition) => capture(&repetition.sub, name),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().find_map(|part| capture(part, name))
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}

/// The bytes that can stand before the node at `to`; `end` is the beginning of the text.
fn behind(nodes: &[Node], to: usize) -> Ahead {
    let mut before = vec![Vec::new(); nodes.len() + 1];
    for (at, node) in nodes.iter().enumerate() {
        match node {
            Node::Jump(to) => before[*to].push(at),
            Node::Split(split) => split.ways.iter().for_each(|way| before[*way].push(at)),
            Node::Match => {}
            _ => before[at + 1].push(at),
        }
    }
    let mut behind = Ahead::nothing();
    let mut seen = vec![false; nodes.len() + 1];
    let mut todo = vec![to];
    while let Some(at) = todo.pop() {
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        // It may be found anywhere.
        behind.any |= at == 0;
        for from in before[at].iter().copied() {
            match &nodes[from] {
                Node::Literal(literal) => behind.bytes.extend(literal.last().copied()),
                Node::Byte(byte) => behind.bytes.insert(*byte),
                Node::One(class) => behind.bytes = behind.bytes.union(class),
                Node::Run(run) => {
                    behind.bytes = behind.bytes.union(&run.class.bytes);
                    if run.class.some.is_some() {
                        behind.bytes.extend(0x80..=0xff);
                    }
                    if run.min == 0 {
                        todo.push(from);
                    }
                }
                Node::Start => behind.end = true,
                Node::StartLine => {
                    behind.end = true;
                    behind.bytes.insert(b'\n');
                }
                Node::Hole(_) | Node::Scan(_) => behind.any = true,
                Node::Save(_)
                | Node::Split(_)
                | Node::Jump(_)
                | Node::End
                | Node::EndLine
                | Node::WordBoundary(_) => todo.push(from),
                Node::Match => {}
            }
        }
    }
    behind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits() -> ByteSet {
        let mut digits = ByteSet::default();
        digits.extend(b'0'..=b'9');
        digits
    }

    #[test]
    fn what_can_stand_around_a_group_is_known() {
        for (expression, is_digit, is_none) in [
            ("x(?P<m>)y", false, true),
            ("x?(?P<m>)y?", false, false),
            ("[0-9](?P<m>)[0-9]", true, false),
            ("[0-9]+(?P<m>)(?:1|2)", true, false),
            ("[0-9]x*(?P<m>)(?:1|y)", false, false),
            ("(?:x|y)(?P<m>)(?: z)?!", false, true),
            ("(?:é|ü)(?P<m>)[^0-9]", false, true),
            // Any text may go on before and behind.
            ("(?P<m>)", false, false),
            (r"\A(?P<m>)\z", false, true),
            (r"x\b(?P<m>)\by", false, true),
        ] {
            let around = Around::of(expression).unwrap();
            let found = |is_negated| {
                let behind = around.is_always_behind("m", &digits(), is_negated);
                let ahead = around.is_always_ahead("m", &digits(), is_negated);
                assert_eq!(behind, ahead, "{expression}");
                behind
            };
            assert_eq!(
                (found(false), found(true)),
                (is_digit, is_none),
                "{expression}"
            );
        }
    }

    #[test]
    fn a_group_that_is_not_there_fulfils_nothing() {
        let around = Around::of("x(?P<m>a+)y").unwrap();
        assert!(around.is_atomic("m"));
        assert!(!around.is_atomic("n"));
        assert!(!around.is_always_ahead("n", &digits(), true));
    }
}
