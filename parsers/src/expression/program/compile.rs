//! The nodes of an expression, in the order in which they are run.

use regex_syntax::hir::{Hir, HirKind, Look, Repetition};

use super::{Ahead, Class, Node, Run, Split};

/// Longest program: expressions whose repetitions would be unrolled beyond it are left alone.
const MAX_NODES: usize = 4096;

pub(super) struct Compiler {
    pub(super) nodes: Vec<Node>,
    /// Parts that an automaton may run through.
    pub(super) parts: Vec<Part>,
    pub(super) is_in_part: bool,
}

/// A part of the expression without groups, and its nodes.
pub(super) struct Part {
    pub(super) hir: Hir,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Compiler {
    pub(super) fn add(&mut self, node: Node) -> Option<usize> {
        if self.nodes.len() >= MAX_NODES {
            return None;
        }
        self.nodes.push(node);
        Some(self.nodes.len() - 1)
    }

    fn split(&mut self) -> Option<usize> {
        self.add(Node::Split(Box::new(Split {
            ways: [0; 2],
            next: Box::default(),
            ahead: [Ahead::nothing(), Ahead::nothing()],
        })))
    }

    /// Says where a split or jump leads.
    fn lead(&mut self, at: usize, to: [usize; 2]) {
        match self.nodes.get_mut(at) {
            Some(Node::Split(split)) => split.ways = to,
            Some(Node::Jump(target)) => *target = to[0],
            _ => {}
        }
    }

    /// Adds the nodes of an expression, noting it when it is a part that is worth an automaton:
    /// one with several ways.
    pub(super) fn hir(&mut self, hir: &Hir) -> Option<()> {
        let has_groups = hir.properties().explicit_captures_len() > 0;
        if self.is_in_part || has_groups {
            return self.nodes_of(hir);
        }
        self.is_in_part = true;
        let start = self.nodes.len();
        let added = self.nodes_of(hir);
        self.is_in_part = false;
        let end = self.nodes.len();
        let nodes = self.nodes.get(start..end).unwrap_or_default();
        if nodes.iter().any(|node| matches!(node, Node::Split(_))) {
            let hir = hir.clone();
            self.parts.push(Part { hir, start, end });
        }
        added
    }

    /// Adds the nodes of a sequence: what has no groups together, as far as it goes.
    fn sequence(&mut self, parts: &[Hir]) -> Option<()> {
        let has_groups = |part: &Hir| part.properties().explicit_captures_len() > 0;
        if self.is_in_part {
            return parts.iter().try_for_each(|part| self.nodes_of(part));
        }
        for run in parts.chunk_by(|a, b| !has_groups(a) && !has_groups(b)) {
            match run {
                [part] => self.hir(part)?,
                _ => self.hir(&Hir::concat(run.to_vec()))?,
            }
        }
        Some(())
    }

    fn nodes_of(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => {
                std::str::from_utf8(&literal.0).ok()?;
                self.add(match literal.0[..] {
                    [byte] => Node::Byte(byte),
                    _ => Node::Literal(literal.0.clone()),
                })?;
            }
            HirKind::Class(class) => {
                let class = Class::of(class)?;
                match class.some {
                    None => self.add(Node::One(class.bytes))?,
                    Some(_) => self.run(class, 1, 1, true)?,
                };
            }
            HirKind::Look(look) => {
                self.add(match look {
                    Look::Start => Node::Start,
                    Look::End => Node::End,
                    Look::StartLF => Node::StartLine,
                    Look::EndLF => Node::EndLine,
                    Look::WordUnicode | Look::WordAscii => Node::WordBoundary(true),
                    Look::WordUnicodeNegate | Look::WordAsciiNegate => Node::WordBoundary(false),
                    _ => return None,
                })?;
            }
            HirKind::Capture(capture) => {
                let slot = 2 * capture.index as usize;
                self.add(Node::Save(slot))?;
                self.hir(&capture.sub)?;
                self.add(Node::Save(slot + 1))?;
            }
            HirKind::Concat(parts) => self.sequence(parts)?,
            HirKind::Alternation(ways) => self.alternation(ways)?,
            HirKind::Repetition(repetition) => self.repetition(repetition)?,
        }
        Some(())
    }

    fn run(&mut self, class: Class, min: usize, max: usize, is_greedy: bool) -> Option<usize> {
        self.add(Node::Run(Box::new(Run {
            class,
            min,
            max,
            is_greedy,
            after: Ahead::nothing(),
            is_exclusive: false,
            stops: None,
        })))
    }

    fn alternation(&mut self, ways: &[Hir]) -> Option<()> {
        let mut jumps = Vec::new();
        for (i, way) in ways.iter().enumerate() {
            if i + 1 == ways.len() {
                self.hir(way)?;
                break;
            }
            let split = self.split()?;
            self.hir(way)?;
            jumps.push(self.add(Node::Jump(0))?);
            let next = self.nodes.len();
            self.lead(split, [split + 1, next]);
        }
        let end = self.nodes.len();
        for jump in jumps {
            self.lead(jump, [end; 2]);
        }
        Some(())
    }

    fn repetition(&mut self, repetition: &Repetition) -> Option<()> {
        let Repetition {
            min,
            max,
            greedy,
            sub,
        } = repetition;
        let (min, max) = (*min as usize, max.map(|max| max as usize));
        let class = match sub.kind() {
            HirKind::Class(class) => Class::of(class),
            HirKind::Literal(literal) => Class::of_literal(&literal.0),
            _ => None,
        };
        if let Some(class) = class {
            self.run(class, min, max.unwrap_or(usize::MAX), *greedy)?;
            return Some(());
        }
        // A repetition of nothing has rules of its own.
        if sub.properties().minimum_len() == Some(0) {
            return None;
        }
        for _ in 0..min {
            self.hir(sub)?;
        }
        let way = |body: usize, end: usize| if *greedy { [body, end] } else { [end, body] };
        match max {
            None => {
                let split = self.split()?;
                self.hir(sub)?;
                let jump = self.add(Node::Jump(0))?;
                self.lead(jump, [split; 2]);
                let end = self.nodes.len();
                self.lead(split, way(split + 1, end));
            }
            Some(max) => {
                let mut splits = Vec::new();
                for _ in min..max {
                    splits.push(self.split()?);
                    self.hir(sub)?;
                }
                let end = self.nodes.len();
                for split in splits {
                    self.lead(split, way(split + 1, end));
                }
            }
        }
        Some(())
    }
}
