//! From bytes of a chunk to records: CRI, Docker and raw lines decoded, partial lines joined,
//! stack traces of Java, Python, Go, Node, .NET, Ruby, PHP and Dart recognised.
//!
//! A pure function of its input: no state lives between calls, no clock is read, nothing is
//! configured per container. Where an event ends follows from content alone, so every try of a
//! chunk by any aggregator decides alike (DELIVERY rules 6 to 9). The version of these rules is
//! [`VERSION`]; a change that moves an event's bounds raises it and keeps the old one callable.
//!
//! # Decided where runtimes and readers differ
//!
//! - stdout and stderr are joined apart, and each has its own position ([`Positions`]).
//! - A line of parts has the time of its first part; its rest joins however late it comes. Its
//!   parts may stand [`Options::max_line`] more than [`Options::max_span`] apart from the first, so
//!   that the span tears no line that the length allows.
//! - Blank lines are records. One `\r` at the end of a line is left out of the message.
//! - A line that is not in the format is a record tagged [`Tags::FRAMING_ERROR`] with the line as it
//!   stands. It neither joins nor ends what is open around it, and counts as stdout for positions.
//! - A line over the limit is cut by content ([`Tags::CUT`]), and its event ends with the cut.
//! - An exception that a logger prints on lines of its own joins the line before it when that has
//!   a level from warning up; behind other lines it is an event by itself. Frames join every line.
//! - Lines that belong to a trace only if a later line says so are kept with it until that is
//!   known, and are events of their own when it is not so.

mod cri;
mod docker;
mod join;
mod lines;
mod record;
mod rule;
mod time;
mod trace;
mod walk;

pub use crate::record::{Frames, Part, Record, Tags};
pub use crate::rule::{EventRule, Relation};
pub use crate::walk::{frame, frame_with};

/// Version of the framing rules, sealed with each chunk by the agent at its first try.
pub const VERSION: u8 = 1;

/// How lines are written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Lines as the program wrote them.
    Raw,
    /// The kubelet's `<time> <iostream> <tags> <content>`.
    Cri,
    /// Docker's json-file.
    Docker,
}

/// The output of the container that a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Iostream {
    /// Standard output; raw files count as this.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What the end of the input ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flush {
    /// Nothing.
    None,
    /// Events that hold no trace header and no open partial.
    Soft,
    /// Traces too. Open partials still wait.
    Hard,
}

/// Start of the earliest line not yet durable, for each iostream. Raw files keep both equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Positions {
    /// Of stdout.
    pub stdout: u64,
    /// Of stderr.
    pub stderr: u64,
}

/// One chunk: whole lines of one stream.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Identity of the stream, carried through to records.
    pub stream: u64,
    /// Offset of `bytes[0]` in the stream.
    pub start: u64,
    /// Lines of an iostream that start below its position are skipped.
    pub resume: Positions,
    /// The stream ends here: a last line without newline is whole, an open event goes on in the
    /// next input (or stays open when this is the last one and `flush` does not end it; an open
    /// partial at the end of the last input with `eof` ends with [`Flush::Hard`]).
    pub eof: bool,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Bounds of an event and what is joined. All sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Longest message of one line after joining partials; longer ones are cut, the rest of the
    /// line is the next record, the first is tagged [`Tags::CUT`]. No byte is lost. Also the longest
    /// physical line, line end included: the agent cuts longer ones into pieces of exactly this
    /// size, so its own limit must be the same. Default 1 MiB.
    pub max_line: usize,
    /// Longest event. Default 1 MiB.
    pub max_event: usize,
    /// Most lines of an event. Default 1,000.
    pub max_lines: usize,
    /// An open event ends when a line of either iostream starts more than this after its start.
    /// Default 64 KiB.
    pub max_span: u64,
    /// An open event ends when a line of either iostream carries a time more than this after its
    /// last line. Nanoseconds; default 5 s.
    pub max_gap_ns: i64,
    /// Recognise stack traces. When false each (joined) line is an event.
    pub multiline: bool,
    /// One record a physical line, nothing joined (suspect chunks).
    pub lines_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_line: 1 << 20,
            max_event: 1 << 20,
            max_lines: 1_000,
            max_span: 64 << 10,
            max_gap_ns: 5_000_000_000,
            multiline: true,
            lines_only: false,
        }
    }
}

/// Tells whether this build frames by the rules of `version`, as a chunk is sealed with.
pub fn supports(version: u8) -> bool {
    version == VERSION
}
