//! Samples for the benchmarks of single stages (`make bench-stages`): the shop's lines by kind,
//! from a fixed seed and at fixed times, so that every run measures the same bytes.

use std::{fmt, ops::Range};

use crate::{
    container_log::{Format, Iostream, append_piece, pieces},
    shop::{CRI_PIECE, Kind, Mix, Shop},
};

/// Bytes that programs wrote in each sample, reached to within one event: what an agent's batch
/// holds.
const BYTES: usize = 1 << 20;

const SEED: u64 = 1;

/// When the first event is written: 2026-11-21T10:00:00Z, in nanoseconds since 1970.
const START_NS: u64 = 1_795_255_200_000_000_000;

/// Time from one event to the next, in their text and in the file.
const EVENT_NS: u64 = 1_000_000;

/// What a sample is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// nginx's access log.
    Nginx,
    /// An application's lines in JSON.
    Json,
    /// Pairs of `key=value`.
    Logfmt,
    /// Text with time and level.
    Plain,
    /// Text of 80 bytes: what costs by the line shows here.
    Short,
    /// Stack traces of Java, Python and Go in turn.
    Traces,
    /// Lines longer than a runtime writes in one piece.
    Long,
    /// All but short ones, in the shares of the workload `mixed`.
    Mixed,
}

impl Lines {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Nginx,
        Self::Json,
        Self::Logfmt,
        Self::Plain,
        Self::Short,
        Self::Traces,
        Self::Long,
        Self::Mixed,
    ];

    /// The name that benchmarks print.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Json => "json",
            Self::Logfmt => "logfmt",
            Self::Plain => "plain",
            Self::Short => "short",
            Self::Traces => "traces",
            Self::Long => "long",
            Self::Mixed => "mixed",
        }
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Events as programs wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Their lines, each ended by `\n`.
    pub text: Vec<u8>,
    /// Where each event stands in `text`, and where it was written to.
    events: Vec<(Range<usize>, Iostream)>,
}

/// A sample as it stands in a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// How its lines are written.
    pub format: Format,
    /// Its content, which ends with a line's end.
    pub bytes: Vec<u8>,
    /// Lines in it; a piece of a line is one.
    pub lines: usize,
}

impl Sample {
    /// Makes the sample.
    pub fn of(lines: Lines) -> Self {
        const TRACES: [Kind; 3] = [Kind::Java, Kind::Python, Kind::Go];
        let mut shop = Shop::of(Mix::Shop, SEED, 0);
        let (mut text, mut events) = (Vec::new(), Vec::new());
        let mut now_ns = START_NS;
        while text.len() < BYTES {
            let kind = match lines {
                Lines::Nginx => Kind::Nginx,
                Lines::Json => Kind::Json,
                Lines::Logfmt => Kind::Logfmt,
                Lines::Plain => Kind::Plain,
                Lines::Short => Kind::Short,
                Lines::Traces => TRACES[events.len() % TRACES.len()],
                Lines::Long => Kind::Long,
                Lines::Mixed => shop.pick(),
            };
            let start = text.len();
            shop.append_event(kind, now_ns, &mut text);
            let iostream = if kind.is_stderr() {
                Iostream::Stderr
            } else {
                Iostream::Stdout
            };
            events.push((start..text.len(), iostream));
            now_ns += EVENT_NS;
        }
        Self { text, events }
    }

    /// The log file that a container runtime makes of it.
    pub fn file(&self, format: Format) -> LogFile {
        self.file_in_pieces(format, CRI_PIECE)
    }

    /// As [`file`](Self::file), by a runtime that writes no more than `most` bytes in one piece.
    pub fn file_in_pieces(&self, format: Format, most: usize) -> LogFile {
        let (mut bytes, mut lines) = (Vec::new(), 0);
        let mut now_ns = START_NS;
        for (range, iostream) in &self.events {
            let event = &self.text[range.clone()];
            let event = event.strip_suffix(b"\n").unwrap_or(event);
            for line in event.split(|byte| *byte == b'\n') {
                for (piece, whole) in pieces(format, line, most) {
                    append_piece(&mut bytes, format, now_ns, *iostream, piece, whole);
                    lines += 1;
                }
            }
            now_ns += EVENT_NS;
        }
        LogFile {
            format,
            bytes,
            lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_the_same_each_time_and_of_one_size() {
        for lines in Lines::ALL {
            let sample = Sample::of(lines);
            assert_eq!(sample, Sample::of(lines), "{lines}");
            assert!(sample.text.len() >= BYTES, "{lines}");
            assert!(sample.text.len() < BYTES + 4 * CRI_PIECE, "{lines}");
            assert_eq!(sample.text.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn a_raw_file_is_what_was_written() {
        let sample = Sample::of(Lines::Mixed);
        let file = sample.file(Format::Raw);
        assert_eq!(file.bytes, sample.text);
        assert_eq!(file.lines, memchr::memchr_iter(b'\n', &sample.text).count());
    }

    #[test]
    fn pieces_of_a_line_put_together_are_the_line() {
        let sample = Sample::of(Lines::Mixed);
        let file = sample.file_in_pieces(Format::Cri, 64);
        let mut text = Vec::new();
        for line in file.bytes.split_inclusive(|byte| *byte == b'\n') {
            // `2026-11-21T10:00:00.000000000Z stdout F `, on which stderr has the same length.
            let (head, rest) = line.split_at(40);
            let end = rest.len() - usize::from(head[38] == b'P');
            text.extend_from_slice(&rest[..end]);
        }
        assert_eq!(text, sample.text);
        assert!(file.lines > sample.file(Format::Cri).lines);
    }
}
