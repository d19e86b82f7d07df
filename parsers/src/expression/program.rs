//! Expressions as programs for the [`matcher`](super::matcher): runs of a class of characters,
//! literals, branches. What cannot be said this way is left to the `regex` crate.

mod compile;

use super::scan::Scan;
use super::set::ByteSet;
use compile::Compiler;
use regex_syntax::hir::{Class as HirClass, Hir, Look};

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) nodes: Vec<Node>,
    /// A kind for each byte: the splits tell no bytes of a kind apart. Kind 0 is the end of the
    /// text.
    pub(super) kinds: Box<[u8; 256]>,
    /// Two for each group.
    pub(super) n_slots: usize,
    /// It can only match from the beginning of the text.
    pub(super) is_anchored: bool,
    /// It can only match from the beginning of a line.
    pub(super) starts_line: bool,
    /// What a match can begin with.
    pub(super) first: Ahead,
}

/// A step of a program. The next one follows, where nothing else is said.
#[derive(Debug)]
pub(super) enum Node {
    /// These bytes.
    Literal(Box<[u8]>),
    /// This byte.
    Byte(u8),
    /// A character of these; for bytes above ASCII: of all characters above.
    One(ByteSet),
    /// As many characters of a class as fit, or as few.
    Run(Box<Run>),
    /// Stands for the nodes from here on that take text up to a byte: `([^ ]*) "`.
    Hole(Box<Hole>),
    /// Stands for the nodes from here on that are a part without groups.
    Scan(Box<Scan>),
    /// Notes the position.
    Save(usize),
    /// The first of two ways that leads to a match.
    Split(Box<Split>),
    Jump(usize),
    /// The beginning of the text.
    Start,
    /// The end of the text.
    End,
    /// The beginning of a line of the text.
    StartLine,
    /// The end of a line of the text.
    EndLine,
    /// Between a word and something else; `false`: not there.
    WordBoundary(bool),
    Match,
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) class: Class,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) is_greedy: bool,
    /// What can come after the run.
    pub(super) after: Ahead,
    /// What comes after cannot begin with a character of the class: there is one length only.
    pub(super) is_exclusive: bool,
    /// Bytes at which a run that is to be short may end, for good or because it must: when all
    /// of them are ASCII.
    pub(super) stops: Option<ByteSet>,
}

/// All up to a byte with which a literal begins: a run that has one length only, and what is
/// around it, at a step. Benchmark: `nginx_regex` of `make bench-rules`.
#[derive(Debug)]
pub(super) struct Hole {
    /// Noted, and the one after it, where the text begins and ends.
    pub(super) slot: Option<usize>,
    pub(super) byte: u8,
    pub(super) min: usize,
    /// What follows; begins with `byte`.
    pub(super) literal: Box<[u8]>,
    /// Number of nodes that this stands for.
    pub(super) n_nodes: usize,
}

#[derive(Debug)]
pub(super) struct Split {
    pub(super) ways: [usize; 2],
    /// Where to go on by the kind of the next byte; see [`Program::kinds`]. Empty when a program
    /// has very many splits.
    pub(super) next: Box<[[u16; 2]]>,
    /// What each way can begin with.
    pub(super) ahead: [Ahead; 2],
}

/// No way of a split.
pub(super) const NOWHERE: u16 = u16::MAX;
/// Splits for which tables are made: more are no pattern of log lines.
const MAX_TABLES: usize = 1024;

/// What can stand at a position for the rest to match.
#[derive(Debug, Clone)]
pub(super) struct Ahead {
    pub(super) bytes: ByteSet,
    /// The end of the text can.
    pub(super) end: bool,
    /// Anything can.
    pub(super) any: bool,
    /// The one byte that can.
    pub(super) only: Option<u8>,
}

impl Ahead {
    pub(super) fn nothing() -> Self {
        Self {
            bytes: ByteSet::default(),
            end: false,
            any: false,
            only: None,
        }
    }

    /// Whether the rest can match when this byte is next; `None`: the end of the text.
    fn can_begin(&self, byte: Option<u8>) -> bool {
        self.any || byte.map_or(self.end, |byte| self.bytes.has(byte))
    }

    /// Whether the rest can match at a position.
    #[inline(always)]
    pub(super) fn fits(&self, text: &[u8], at: usize) -> bool {
        if self.any {
            return true;
        }
        match text.get(at) {
            Some(byte) => self.bytes.has(*byte),
            None => self.end,
        }
    }
}

/// A class of characters.
#[derive(Debug, Clone)]
pub(super) struct Class {
    /// For ASCII whether it is in; for other bytes whether all characters above ASCII are.
    pub(super) bytes: ByteSet,
    /// Ranges above ASCII, when neither all nor none of them are in.
    pub(super) some: Option<Box<[(char, char)]>>,
    /// All but these (one to three) ASCII bytes.
    pub(super) all_but: Option<Box<[u8]>>,
    /// All but some of those bytes that [`Marks`](crate::marks::Marks) tell: spaces, quotes,
    /// backslashes and control characters. Whether a space is among them.
    pub(super) marked: Option<bool>,
}

impl Class {
    fn of(class: &HirClass) -> Option<Class> {
        let mut bytes = ByteSet::default();
        let mut ranges: Vec<(char, char)> = Vec::new();
        match class {
            HirClass::Unicode(class) => {
                for range in class.iter() {
                    ranges.push((range.start(), range.end()));
                }
            }
            HirClass::Bytes(class) => {
                for range in class.iter() {
                    // A byte above ASCII alone is no character.
                    if range.end() >= 0x80 {
                        return None;
                    }
                    ranges.push((range.start() as char, range.end() as char));
                }
            }
        }
        for (start, end) in &ranges {
            bytes.extend((*start as u32..=(*end as u32).min(0x7f)).map(|byte| byte as u8));
        }
        let above: Vec<(char, char)> = ranges
            .into_iter()
            .filter(|(_, end)| *end as u32 >= 0x80)
            .map(|(start, end)| (start.max('\u{80}'), end))
            .collect();
        let is_all = above == [('\u{80}', char::MAX)];
        if is_all {
            bytes.extend(0x80..=0xff);
        }
        let out: Vec<u8> = bytes.complement().ascii().iter().collect();
        let are_marked = out.iter().all(|b| matches!(b, 0..=b' ' | b'"' | b'\\'));
        Some(Class {
            marked: (is_all && are_marked).then(|| out.contains(&b' ')),
            all_but: (is_all && (1..=3).contains(&out.len())).then(|| out.into()),
            some: (!is_all && !above.is_empty()).then(|| above.into()),
            bytes,
        })
    }

    fn of_literal(bytes: &[u8]) -> Option<Class> {
        let [byte @ 0..0x80] = bytes else { return None };
        let mut bytes = ByteSet::default();
        bytes.insert(*byte);
        Some(Class {
            bytes,
            some: None,
            all_but: None,
            marked: None,
        })
    }

    /// What a character of the class can begin with.
    fn begins(&self) -> ByteSet {
        begins(&self.bytes, self.some.is_some())
    }

    /// See [`Run::stops`].
    fn stops(&self, after: &Ahead) -> Option<ByteSet> {
        let is_known = self.some.is_none() && !after.any && !after.bytes.any_above();
        is_known.then(|| after.bytes.union(&self.bytes.complement()))
    }

    fn intersects(&self, ahead: &Ahead) -> bool {
        ahead.any || self.begins().intersects(&ahead.bytes)
    }
}

/// What characters of a class can begin with, when some of those above ASCII are in it or, as its
/// bytes say, all.
fn begins(bytes: &ByteSet, has_some: bool) -> ByteSet {
    let mut begins = bytes.ascii();
    if has_some || bytes.any_above() {
        // Continuation bytes begin no character.
        begins.extend(0xC0..=0xff);
    }
    begins
}

impl Program {
    /// Compiles; `None` when the expression holds what a program cannot say.
    pub(super) fn compile(hir: &Hir) -> Option<Program> {
        let Compiler {
            mut nodes, parts, ..
        } = compiled(hir)?;
        for at in 0..nodes.len() {
            match &nodes[at] {
                Node::Run(_) => {
                    let after = ahead(&nodes, at + 1);
                    if let Some(Node::Run(run)) = nodes.get_mut(at) {
                        run.is_exclusive = !run.class.intersects(&after);
                        run.stops = run.class.stops(&after);
                        run.after = after;
                    }
                }
                Node::Split(split) => {
                    let ways = split.ways.map(|way| ahead(&nodes, way));
                    if let Some(Node::Split(split)) = nodes.get_mut(at) {
                        split.ahead = ways;
                    }
                }
                _ => {}
            }
        }
        let kinds = tabulate(&mut nodes);
        let first = ahead(&nodes, 0);
        let scans: Vec<_> = parts
            .into_iter()
            .filter_map(|part| {
                let after = ahead(&nodes, part.end);
                let scan = Scan::compile(&part.hir, after, part.end - part.start)?;
                Some((part.start, scan))
            })
            .collect();
        for at in 0..nodes.len() {
            if let Some(hole) = hole(&nodes, at) {
                nodes[at] = Node::Hole(Box::new(hole));
            }
        }
        for (at, scan) in scans {
            nodes[at] = Node::Scan(Box::new(scan));
        }
        Some(Program {
            n_slots: 2 + 2 * hir.properties().explicit_captures_len(),
            is_anchored: hir.properties().look_set_prefix().contains(Look::Start),
            starts_line: hir.properties().look_set_prefix().contains(Look::StartLF),
            first,
            kinds,
            nodes,
        })
    }
}

/// The nodes of an expression as they come, none of which stands for others.
pub(super) fn nodes(hir: &Hir) -> Option<Vec<Node>> {
    compiled(hir).map(|compiler| compiler.nodes)
}

fn compiled(hir: &Hir) -> Option<Compiler> {
    let mut compiler = Compiler {
        nodes: Vec::new(),
        parts: Vec::new(),
        is_in_part: false,
    };
    compiler.add(Node::Save(0))?;
    compiler.hir(hir)?;
    compiler.add(Node::Save(1))?;
    compiler.add(Node::Match)?;
    Some(compiler)
}

/// Makes the tables of splits. Of an alternation of many ways, which is a chain of splits, the
/// table of the first leads to the way that fits at once. Benchmark: `grok` of `make bench-rules`.
fn tabulate(nodes: &mut [Node]) -> Box<[u8; 256]> {
    let mut kinds = Box::new([1; 256]);
    let splits = || {
        nodes.iter().filter_map(|node| match node {
            Node::Split(split) => Some(split),
            _ => None,
        })
    };
    if splits().count() > MAX_TABLES {
        return kinds;
    }
    // Each set divides the kinds that there are.
    let mut n_kinds = 1;
    for ahead in splits().flat_map(|split| &split.ahead) {
        let mut halves = std::collections::HashMap::new();
        for (byte, kind) in (0..=255u8).zip(kinds.iter_mut()) {
            let n_halves = halves.len();
            let half = halves.entry((*kind, ahead.bytes.has(byte)));
            *kind = *half.or_insert(n_halves as u8 + 1);
        }
        n_kinds = halves.len();
        if n_kinds >= usize::from(u8::MAX) {
            return Box::new([1; 256]);
        }
    }
    // A byte of each kind; none for the end of the text.
    let first_of = |kind| kinds.iter().position(|k| usize::from(*k) == kind);
    let firsts: Vec<Option<u8>> = (0..=n_kinds)
        .map(|k| first_of(k).map(|b| b as u8))
        .collect();
    // What a way leads to is behind its split, but for repetitions: those have no table yet.
    for at in (0..nodes.len()).rev() {
        let Some(Node::Split(split)) = nodes.get(at) else {
            continue;
        };
        let next = firsts.iter().enumerate().map(|(kind, byte)| {
            let fitting = split.ahead.iter().zip(split.ways);
            let mut fitting = fitting.filter(|(ahead, _)| ahead.can_begin(*byte));
            let way = fitting.next().map(|(_, way)| resolve(nodes, way, kind));
            let other = fitting.next().map(|(_, way)| resolve(nodes, way, kind));
            [way, other].map(|node| node.map_or(NOWHERE, |node| node as u16))
        });
        let next = next.collect();
        if let Some(Node::Split(split)) = nodes.get_mut(at) {
            split.next = next;
        }
    }
    kinds
}

/// Where a way leads when a byte of this kind is next: past splits of which one way fits.
fn resolve(nodes: &[Node], way: usize, kind: usize) -> usize {
    let mut at = way;
    // Jumps may lead back: not round for ever.
    for _ in 0..8 {
        match nodes.get(at) {
            Some(Node::Jump(to)) => at = *to,
            Some(Node::Split(split)) => match split.next.get(kind) {
                Some([way, NOWHERE]) if *way != NOWHERE => at = usize::from(*way),
                _ => break,
            },
            _ => break,
        }
    }
    at
}

/// The hole that the nodes from `at` on make, if they do. Nothing leads into the middle of them:
/// ways of splits begin at runs and literals only together with what is around them.
fn hole(nodes: &[Node], at: usize) -> Option<Hole> {
    let is_group = matches!(nodes.get(at)?, Node::Save(slot) if slot % 2 == 0);
    let begin = at + usize::from(is_group);
    let Node::Run(run) = nodes.get(begin)? else {
        return None;
    };
    let [byte] = **run.class.all_but.as_ref()? else {
        return None;
    };
    if !run.is_greedy || run.min > 1 || run.max != usize::MAX {
        return None;
    }
    let slot = match (nodes.get(at)?, nodes.get(begin + 1)?) {
        (Node::Save(open), Node::Save(close)) if is_group && *close == open + 1 => Some(*open),
        _ if is_group => return None,
        _ => None,
    };
    let end = begin + 1 + usize::from(is_group);
    let literal = match nodes.get(end)? {
        Node::Literal(literal) => literal.clone(),
        Node::Byte(byte) => [*byte].into(),
        _ => return None,
    };
    (literal.first() == Some(&byte)).then_some(Hole {
        slot,
        byte,
        min: run.min,
        literal,
        n_nodes: end + 1 - at,
    })
}

/// What can stand at a position where the program goes on at `from`.
pub(super) fn ahead(nodes: &[Node], from: usize) -> Ahead {
    let mut ahead = Ahead::nothing();
    let mut seen = vec![false; nodes.len()];
    let mut todo = vec![from];
    while let Some(at) = todo.pop() {
        let Some(node) = nodes.get(at) else { continue };
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        match node {
            Node::Literal(literal) => {
                ahead.bytes.extend(literal.first().copied());
            }
            Node::Byte(byte) => ahead.bytes.insert(*byte),
            Node::One(class) => ahead.bytes = ahead.bytes.union(&begins(class, false)),
            Node::Run(run) => {
                ahead.bytes = ahead.bytes.union(&run.class.begins());
                if run.min == 0 {
                    todo.push(at + 1);
                }
            }
            // Made of others when these are looked at no more.
            Node::Hole(_) | Node::Scan(_) => ahead.any = true,
            Node::Save(_) | Node::Start | Node::StartLine | Node::WordBoundary(_) => {
                todo.push(at + 1);
            }
            Node::Split(split) => todo.extend(split.ways),
            Node::Jump(to) => todo.push(*to),
            Node::End => ahead.end = true,
            Node::EndLine => {
                ahead.end = true;
                ahead.bytes.insert(b'\n');
            }
            Node::Match => ahead.any = true,
        }
    }
    let all = ahead.bytes;
    let mut all = all.iter();
    ahead.only = match (all.next(), all.next()) {
        (Some(byte), None) if !ahead.end && !ahead.any => Some(byte),
        _ => None,
    };
    ahead
}
