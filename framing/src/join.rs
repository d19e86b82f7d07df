//! What is open between lines: parts of a line that go on, events that may go on; for stdout and
//! stderr apart.
//!
//! The invariant: whether a line joins, starts or ends anything depends only on lines from the
//! start of what is open on. So framing may begin anew at every position that it answers, and an
//! aggregator that gets the rest of a log decides as the one before it would have.

mod emit;

use std::mem;

use xxhash_rust::xxh3::xxh3_64;

use crate::record::Piece;
use crate::trace::{self, Next, State, Verdict};
use crate::{
    EventRule, Flush, Format, Frames, Input, Iostream, Options, Positions, Relation, Tags,
};

/// Index of the side of stdout and of raw files.
pub(crate) const STDOUT: usize = 0;
/// Index of the side of stderr.
pub(crate) const STDERR: usize = 1;

/// A decoded line, or a part of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoded {
    pub(crate) time_ns: Option<i64>,
    pub(crate) iostream: Option<Iostream>,
    /// The line goes on.
    pub(crate) partial: bool,
    pub(crate) piece: Piece,
    pub(crate) tags: Tags,
}

impl Decoded {
    /// The side that the line belongs to; stdout where it has no iostream.
    #[inline]
    pub(crate) fn side(&self) -> usize {
        if self.iostream == Some(Iostream::Stderr) {
            STDERR
        } else {
            STDOUT
        }
    }
}

/// Where a physical line stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Physical {
    pub(crate) input: usize,
    /// Offsets in the stream, line end included.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Offset from the start of the first input.
    pub(crate) at: u64,
    /// The line is longer than the limit and goes on with the next one.
    pub(crate) cut: bool,
}

/// A physical line with the hash of its bytes.
#[derive(Debug, Clone, Copy)]
struct Extent {
    physical: Physical,
    hash: u64,
}

/// A line with its parts joined.
#[derive(Debug, Clone, Copy)]
struct Line {
    piece: Piece,
    n_extents: usize,
    /// Time of the first part.
    time_ns: Option<i64>,
    /// Time of the last part.
    last_ns: Option<i64>,
    tags: Tags,
}

/// What is open of one iostream. Bounded by the limits of an event and a line.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// Lines of the open event, and where they stand.
    lines: Vec<Line>,
    extents: Vec<Extent>,
    /// Length of the event's message.
    length: usize,
    /// How many of the lines are known to belong to the event; those behind them do if a later
    /// line says so.
    n_sure: usize,
    /// The line that heads the trace.
    head: usize,
    state: State,
    /// Parts of a line that goes on.
    pieces: Vec<Piece>,
    piece_extents: Vec<Extent>,
    pieces_length: usize,
    pieces_ns: Option<i64>,
    pieces_last_ns: Option<i64>,
}

/// Joins lines to records.
pub(crate) struct Joiner<'e, 'i> {
    is_raw: bool,
    inputs: &'e [Input<'i>],
    options: &'e Options,
    rule: Option<&'e dyn EventRule>,
    frames: &'e mut Frames,
    sides: [Side; 2],
    /// Records do not stand in order of their first lines.
    is_unsorted: bool,
    /// A record was made out of the midst of an open event.
    has_early: bool,
}

impl<'e, 'i> Joiner<'e, 'i> {
    pub(crate) fn new(
        format: Format,
        inputs: &'e [Input<'i>],
        options: &'e Options,
        rule: Option<&'e dyn EventRule>,
        frames: &'e mut Frames,
    ) -> Self {
        let sides = mem::take(&mut frames.sides);
        Self {
            is_raw: format == Format::Raw,
            inputs,
            options,
            rule,
            frames,
            sides,
            is_unsorted: false,
            has_early: false,
        }
    }

    pub(crate) fn positions(&mut self) -> &mut Vec<Positions> {
        &mut self.frames.positions
    }

    pub(crate) fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.frames.arena
    }

    /// Ends what is open and too far from the line that was met, of whichever iostream (DELIVERY
    /// rule 6).
    #[inline]
    pub(crate) fn observe(&mut self, line: &Physical, decoded: &Decoded) {
        for side in [STDOUT, STDERR] {
            if !self.sides[side].lines.is_empty() || !self.sides[side].pieces.is_empty() {
                self.expire(side, line.at, decoded.time_ns, decoded.side() == side);
            }
        }
    }

    /// `is_own`: the line is of the same iostream.
    #[inline]
    fn expire(&mut self, side: usize, at: u64, time_ns: Option<i64>, is_own: bool) {
        let max_gap = self.options.max_gap_ns;
        let is_late = |last: Option<i64>| {
            last.zip(time_ns)
                .is_some_and(|(last, now)| now.saturating_sub(last) > max_gap)
        };
        while let (Some(first), Some(last)) = (
            self.sides[side].extents.first(),
            self.sides[side].lines.last(),
        ) {
            let is_far = at - first.physical.at > self.options.max_span;
            if !is_far && !is_late(last.last_ns) {
                break;
            }
            self.end_event(side);
        }
        let Some(first) = self.sides[side].piece_extents.first() else {
            return;
        };
        // A line of parts is bounded by its length; the span is added to it, else a line of 64 KiB
        // and more would be torn. The rest of the line joins however late it comes.
        let max_span = self.options.max_span + self.options.max_line as u64;
        let is_far = at - first.physical.at > max_span;
        if is_far || !is_own && is_late(self.sides[side].pieces_last_ns) {
            self.end_pieces(side, Tags::PARTIAL);
        }
    }

    /// Takes a line that has been observed.
    #[inline]
    pub(crate) fn push(&mut self, physical: Physical, decoded: Decoded, text: &[u8]) {
        let extent = Extent {
            physical,
            hash: xxh3_64(text),
        };
        let mut line = Line {
            piece: decoded.piece,
            n_extents: 1,
            time_ns: decoded.time_ns,
            last_ns: decoded.time_ns,
            tags: decoded.tags,
        };
        if physical.cut {
            line.tags |= Tags::CUT;
        }
        let side = decoded.side();
        if self.options.lines_only || decoded.tags.contains(Tags::FRAMING_ERROR) {
            if decoded.partial {
                line.tags |= Tags::PARTIAL;
            }
            let open = &self.sides[side];
            self.has_early |= !open.lines.is_empty() || !open.pieces.is_empty();
            self.trim(&mut line);
            self.record(decoded.iostream, &[line], &[extent], 0);
            return;
        }
        if !self.sides[side].pieces.is_empty() || decoded.partial && !physical.cut {
            self.push_part(side, line, extent, decoded.partial && !physical.cut);
            return;
        }
        self.trim(&mut line);
        self.push_line(side, line, &[extent]);
    }

    /// Adds a part to the line that goes on.
    fn push_part(&mut self, side: usize, line: Line, extent: Extent, goes_on: bool) {
        let open = &self.sides[side];
        if !open.pieces.is_empty() && open.pieces_length + line.piece.length > self.options.max_line
        {
            self.end_pieces(side, Tags::CUT);
        }
        let open = &mut self.sides[side];
        if open.pieces.is_empty() {
            open.pieces_ns = line.time_ns;
        }
        open.pieces.push(line.piece);
        open.piece_extents.push(extent);
        open.pieces_length += line.piece.length;
        open.pieces_last_ns = line.last_ns;
        if !goes_on {
            self.end_pieces(side, line.tags);
        }
    }

    /// Makes a line of the parts.
    fn end_pieces(&mut self, side: usize, tags: Tags) {
        let pieces = mem::take(&mut self.sides[side].pieces);
        let extents = mem::take(&mut self.sides[side].piece_extents);
        let piece = match pieces[..] {
            [piece] => piece,
            _ => self.concatenate(pieces.iter(), b""),
        };
        let open = &mut self.sides[side];
        let mut line = Line {
            piece,
            n_extents: extents.len(),
            time_ns: open.pieces_ns,
            last_ns: open.pieces_last_ns,
            tags,
        };
        open.pieces_length = 0;
        self.trim(&mut line);
        self.push_line(side, line, &extents);
        // The vectors go back for their capacity.
        let open = &mut self.sides[side];
        open.pieces = pieces;
        open.pieces.clear();
        open.piece_extents = extents;
        open.piece_extents.clear();
    }

    /// Leaves out a carriage return at the end of a line that is not cut: terminals write them.
    #[inline]
    fn trim(&self, line: &mut Line) {
        if line.tags.contains(Tags::CUT) || line.tags.contains(Tags::PARTIAL) {
            return;
        }
        if line.piece.bytes(self.inputs, &self.frames.arena).last() == Some(&b'\r') {
            line.piece.length -= 1;
        }
    }

    /// Adds a whole line to the open event or starts a new one.
    #[inline]
    fn push_line(&mut self, side: usize, line: Line, extents: &[Extent]) {
        while !self.sides[side].lines.is_empty() {
            match self.verdict(side, &line) {
                Verdict::Start => self.end_event(side),
                verdict => {
                    self.append(side, line, extents);
                    if verdict == Verdict::Join {
                        self.sides[side].n_sure = self.sides[side].lines.len();
                    }
                    // What follows a torn line is the rest of it.
                    if !line.tags.is_empty() || self.is_last(&line) {
                        self.end_event(side);
                    }
                    return;
                }
            }
        }
        let open = &mut self.sides[side];
        open.head = 0;
        open.n_sure = 1;
        open.state = if self.options.multiline {
            trace::begin(line.piece.bytes(self.inputs, &self.frames.arena))
        } else {
            State::Plain
        };
        self.append(side, line, extents);
        let is_alone = !self.options.multiline && self.rule.is_none();
        if is_alone || !line.tags.is_empty() || self.is_last(&line) {
            self.end_event(side);
        }
    }

    /// Whether the user's rule ends an event with this line.
    #[inline]
    fn is_last(&self, line: &Line) -> bool {
        self.rule
            .is_some_and(|rule| rule.ends(line.piece.bytes(self.inputs, &self.frames.arena)))
    }

    /// What the user's rule says of a line; the limits of an event hold for it, too.
    fn ruled(&mut self, side: usize, line: &Line) -> Relation {
        let Some(rule) = self.rule else {
            return Relation::Unknown;
        };
        let open = &mut self.sides[side];
        let Some(previous) = open.lines.last() else {
            return Relation::Starts;
        };
        let relation = rule.relation(
            previous.piece.bytes(self.inputs, &self.frames.arena),
            line.piece.bytes(self.inputs, &self.frames.arena),
        );
        let is_full = open.lines.len() >= self.options.max_lines
            || open.length + 1 + line.piece.length > self.options.max_event;
        if relation == Relation::Joins && is_full {
            open.lines[0].tags |= Tags::LIMIT;
            return Relation::Starts;
        }
        relation
    }

    #[inline]
    fn append(&mut self, side: usize, line: Line, extents: &[Extent]) {
        let open = &mut self.sides[side];
        open.length += line.piece.length + usize::from(!open.lines.is_empty());
        open.lines.push(line);
        open.extents.extend_from_slice(extents);
    }

    /// Says what `line` is to the open event.
    #[inline]
    fn verdict(&mut self, side: usize, line: &Line) -> Verdict {
        match self.ruled(side, line) {
            Relation::Starts => return Verdict::Start,
            Relation::Joins => return Verdict::Join,
            Relation::Unknown if !self.options.multiline => return Verdict::Start,
            Relation::Unknown => {}
        }
        let open = &mut self.sides[side];
        let text = line.piece.bytes(self.inputs, &self.frames.arena);
        if !trace::may_join(open.state, text) {
            return Verdict::Start;
        }
        let Some(first) = open.lines.first() else {
            return Verdict::Start;
        };
        let first = first.piece.bytes(self.inputs, &self.frames.arena);
        let n_unsure = open.lines.len() - open.n_sure;
        let step = trace::step(
            open.state,
            Next {
                first,
                line: text,
                n_unsure,
            },
        );
        let is_torn = !line.tags.is_empty();
        if step.verdict == Verdict::Start || step.verdict == Verdict::Unsure && is_torn {
            return Verdict::Start;
        }
        if open.lines.len() >= self.options.max_lines
            || open.length + 1 + line.piece.length > self.options.max_event
        {
            if step.verdict == Verdict::Join && n_unsure == 0 {
                open.lines[0].tags |= Tags::LIMIT;
            }
            return Verdict::Start;
        }
        if step.heads && !open.state.is_trace() {
            open.head = open.lines.len();
        }
        open.state = step.state;
        step.verdict
    }

    /// Ends the open event with its last sure line. What is behind that starts anew.
    #[inline]
    fn end_event(&mut self, side: usize) {
        let iostream = match (self.is_raw, side) {
            (true, _) => None,
            (false, STDERR) => Some(Iostream::Stderr),
            (false, _) => Some(Iostream::Stdout),
        };
        let open = &mut self.sides[side];
        if let ([line], [extent]) = (&open.lines[..], &open.extents[..]) {
            let (line, extent) = (*line, *extent);
            open.lines.clear();
            open.extents.clear();
            open.length = 0;
            self.record(iostream, &[line], &[extent], 0);
            return;
        }
        let mut lines = mem::take(&mut open.lines);
        let mut extents = mem::take(&mut open.extents);
        open.length = 0;
        let (n_sure, head) = (open.n_sure, open.head);
        let n_extents = lines[..n_sure]
            .iter()
            .map(|line| line.n_extents)
            .sum::<usize>();
        self.record(iostream, &lines[..n_sure], &extents[..n_extents], head);
        let unsure = lines.split_off(n_sure);
        let unsure_extents = extents.split_off(n_extents);
        // The vectors go back for their capacity.
        lines.clear();
        extents.clear();
        self.sides[side].lines = lines;
        self.sides[side].extents = extents;
        let mut rest = &unsure_extents[..];
        for line in unsure {
            let (own, behind) = rest.split_at(line.n_extents);
            rest = behind;
            self.push_line(side, line, own);
        }
    }

    /// Ends what the end of the inputs ends (DELIVERY rule 7). `eof`: the last stream is over.
    pub(crate) fn flush(&mut self, flush: Flush, eof: bool) {
        for side in [STDOUT, STDERR] {
            if flush == Flush::Hard && eof && !self.sides[side].pieces.is_empty() {
                self.end_pieces(side, Tags::PARTIAL);
            }
            while !self.sides[side].lines.is_empty() {
                let open = &self.sides[side];
                let ends = match flush {
                    Flush::None => false,
                    Flush::Soft => open.pieces.is_empty() && !self.is_trace(open),
                    Flush::Hard => true,
                };
                if !ends {
                    break;
                }
                self.end_event(side);
            }
        }
    }

    /// Tells whether the event holds a trace or the head of one.
    fn is_trace(&self, open: &Side) -> bool {
        // Lines that a rule has joined may have another one behind them, as those of a trace.
        (self.rule.is_some() && open.lines.len() > 1)
            || open.state.is_trace()
            || open.lines.first().is_some_and(|line| {
                trace::is_head(line.piece.bytes(self.inputs, &self.frames.arena))
            })
    }

    /// Input and offset of the first line that is not in a record.
    pub(crate) fn open_from(&self, side: usize) -> Option<(usize, u64)> {
        let open = &self.sides[side];
        let first = open.extents.first().or(open.piece_extents.first())?;
        Some((first.physical.input, first.physical.start))
    }

    /// Drops records at or after the positions, which will come again, and puts the others in
    /// order (DELIVERY rule 9).
    pub(crate) fn finish(mut self) {
        if self.has_early {
            let positions = &self.frames.positions;
            self.frames.records.retain(|record| {
                let iostream = record.iostream.unwrap_or(Iostream::Stdout);
                record.offset < positions[record.input as usize].of(iostream)
            });
        }
        if self.is_unsorted {
            self.frames
                .records
                .sort_unstable_by_key(|record| (record.input, record.offset));
        }
        for side in &mut self.sides {
            side.lines.clear();
            side.extents.clear();
            side.length = 0;
            side.pieces.clear();
            side.piece_extents.clear();
            side.pieces_length = 0;
        }
        self.frames.sides = mem::take(&mut self.sides);
    }
}
