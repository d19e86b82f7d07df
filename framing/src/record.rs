//! The answer of [`crate::frame`]: flat arrays of records and parts, and one arena for the bytes
//! of messages that had to be put together.
//!
//! A message that stands in the input as it is stays there and is only pointed at. All arrays
//! keep their capacity over calls, so that a warm [`Frames`] allocates nothing.

use std::ops::{BitOr, BitOrAssign, Range};

use crate::join::Side;
use crate::{Input, Iostream, Positions};

/// What is to be said of a record besides its message. A set of flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tags(u8);

impl Tags {
    /// Nothing to say.
    pub const NONE: Self = Self(0);
    /// The line is not in the file's format; the message is the line as it stands, the record has
    /// no time and no iostream.
    pub const FRAMING_ERROR: Self = Self(1);
    /// The line was longer than [`crate::Options::max_line`] and is cut here; what follows of it
    /// is the next record. (That record is not tagged: the part of a line that is sent alone after
    /// an acknowledgement could not know what came before it.)
    pub const CUT: Self = Self(2);
    /// The runtime said that the line goes on, but the rest was not joined: it came too late, too
    /// far off, never, or [`crate::Options::lines_only`] was set.
    pub const PARTIAL: Self = Self(4);
    /// The event went on, but reached [`crate::Options::max_event`] or
    /// [`crate::Options::max_lines`]; what follows is the next record.
    pub const LIMIT: Self = Self(8);

    /// Tells whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Tells whether no flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Gives the names that the set flags have in a document's `tags`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (Self::FRAMING_ERROR, "framing_error"),
            (Self::CUT, "line_cut"),
            (Self::PARTIAL, "line_partial"),
            (Self::LIMIT, "event_limit"),
        ]
        .into_iter()
        .filter_map(move |(flag, name)| self.contains(flag).then_some(name))
    }
}

impl BitOr for Tags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Tags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A run of whole lines, line ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// Stream that the lines stand in.
    pub stream: u64,
    /// Offset of the first line in it.
    pub offset: u64,
    /// From the start of the first line to the end of the last, in bytes.
    pub length: u64,
}

/// Where the bytes of a message stand: in an input, or in the arena of [`Frames`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Index of the input, [`ARENA`] for the arena.
    pub(crate) source: u32,
    pub(crate) start: usize,
    pub(crate) length: usize,
}

/// [`Piece::source`] of bytes in the arena.
pub(crate) const ARENA: u32 = u32::MAX;

impl Piece {
    /// Gives the bytes. The indices are our own, made from these inputs and this arena.
    pub(crate) fn bytes<'b>(&self, inputs: &[Input<'b>], arena: &'b [u8]) -> &'b [u8] {
        let source = match self.source {
            ARENA => arena,
            input => inputs[input as usize].bytes,
        };
        &source[self.start..self.start + self.length]
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Stream of the first line.
    pub stream: u64,
    /// Offset of the first line in its stream.
    pub offset: u64,
    /// From the start of the first line to the end of the last one in the stream of the first, in
    /// bytes, line ends included. Covers the record exactly when `parts` is empty.
    pub length: u64,
    /// What [`Frames::parts_of`] gives: where the lines stand when they are
    /// not adjacent or span two streams (DELIVERY rule 24). Empty otherwise.
    pub parts: Range<u32>,
    /// Index of the input that holds the first line.
    pub input: u32,
    /// Output that the program wrote to. `None` for raw files and lines that are not in the
    /// file's format.
    pub iostream: Option<Iostream>,
    /// Runtime's time of the first line in nanoseconds since 1970. `None` for raw files, malformed
    /// lines, and times outside the years 1678 to 2261.
    pub time_ns: Option<i64>,
    /// Where in the message the stack trace starts (at the exception's name, or at the line that
    /// heads the trace), if it holds one.
    pub trace_at: Option<u32>,
    /// What else is to be said.
    pub tags: Tags,
    /// Hash of the physical bytes of the record's lines, for its id. Each line without its `\n` by
    /// XXH3-64 with seed 0; `h = 0`, then for each line `h = (rotate_left(h, 5) ^ line) *
    /// 0x9E3779B97F4A7C15` modulo 2⁶⁴; the upper 32 bits of `h`. Part of the format of ids: never
    /// to be changed within a [`crate::VERSION`].
    pub hash: u32,
    pub(crate) message: Piece,
}

/// What [`crate::frame`] found. Reusable: each call clears it and keeps the capacity.
#[derive(Debug, Default)]
pub struct Frames {
    pub(crate) records: Vec<Record>,
    pub(crate) parts: Vec<Part>,
    pub(crate) positions: Vec<Positions>,
    pub(crate) arena: Vec<u8>,
    /// Scratch of the joiner, kept for its capacity.
    pub(crate) sides: [Side; 2],
}

impl Frames {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all records and keeps the capacity.
    pub fn clear(&mut self) {
        self.records.clear();
        self.parts.clear();
        self.positions.clear();
        self.arena.clear();
    }

    /// Complete events, in the order of their first lines.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// For each input what may be acknowledged once the records are durable: lines of an iostream
    /// below its position belong to a record, now or earlier.
    pub fn positions(&self) -> &[Positions] {
        &self.positions
    }

    /// Gives the message of `record`, lines joined by `\n`, without a last `\n`. `inputs` are
    /// those that were framed. Bytes as the program wrote them, valid UTF-8 or not, but for one
    /// `\r` at the end of each line, which is left out.
    pub fn message<'f>(&'f self, record: &Record, inputs: &[Input<'f>]) -> &'f [u8] {
        record.message.bytes(inputs, &self.arena)
    }

    /// Gives the parts of `record`; empty when its lines are adjacent in one stream.
    pub fn parts_of(&self, record: &Record) -> &[Part] {
        &self.parts[record.parts.start as usize..record.parts.end as usize]
    }

    /// Bytes of memory held, for accounting.
    pub fn capacity_bytes(&self) -> usize {
        self.records.capacity() * size_of::<Record>()
            + self.parts.capacity() * size_of::<Part>()
            + self.positions.capacity() * size_of::<Positions>()
            + self.arena.capacity()
    }
}
