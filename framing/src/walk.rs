//! The walk over the inputs: lines decoded, handed to the joiner, positions worked out.
//!
//! Lines that do not have the file's format belong to no iostream. Each is a record of its own,
//! neither joins nor ends what is open around it, and stands with stdout where positions are
//! concerned.

use memchr::memrchr;

use crate::docker::Log;
use crate::join::{Decoded, Joiner, Physical, STDERR, STDOUT};
use crate::lines::Lines;
use crate::record::{ARENA, Piece};
use crate::time::TimeCache;
use crate::{
    EventRule, Flush, Format, Frames, Input, Iostream, Options, Positions, Tags, cri, docker,
};

/// Frames `inputs`: chunks of one container's sequence, in order. Clears `frames` and leaves in it
/// the records that are complete and start at or after the position their iostream resumes at,
/// and the positions that are durable once these are.
///
/// An input goes on where the one before it ended (same stream, next offset), or the one before
/// has `eof`. Inputs behind a gap are not looked at; their positions stay where they resume.
///
/// Feeding a log chunk by chunk, each from the positions answered for the one before, gives the
/// same records as feeding it whole, as long as no chunk but the last is flushed.
pub fn frame(
    format: Format,
    inputs: &[Input<'_>],
    flush: Flush,
    options: &Options,
    frames: &mut Frames,
) {
    frame_with(format, inputs, flush, options, None, frames);
}

/// As [`frame`], with a rule of the user's for this stream. The rule must be the same at every
/// try, as the options must.
pub fn frame_with(
    format: Format,
    inputs: &[Input<'_>],
    flush: Flush,
    options: &Options,
    rule: Option<&dyn EventRule>,
    frames: &mut Frames,
) {
    frames.clear();
    let n_joined = n_joined(inputs, options);
    let mut joiner = Joiner::new(format, inputs, options, rule, frames);
    let mut times = TimeCache::default();
    // Bytes of the inputs before, so that distances can be told over a rotation.
    let mut base = 0;
    for (index, input) in inputs.iter().enumerate() {
        let resume = resume(format, input);
        if index >= n_joined {
            joiner.positions().push(resume);
            continue;
        }
        let mut lines = Lines::new(input.bytes, options.max_line, input.eof);
        for line in lines.by_ref() {
            let text = &input.bytes[line.start..line.text_end];
            let decoded = decode(format, index, text, line.start, &mut times, joiner.arena());
            let physical = Physical {
                input: index,
                start: input.start + line.start as u64,
                end: input.start + line.end as u64,
                at: base + line.start as u64,
                cut: line.cut,
            };
            joiner.observe(&physical, &decoded);
            let position = match decoded.iostream {
                Some(Iostream::Stderr) => resume.stderr,
                Some(Iostream::Stdout) | None => resume.stdout,
            };
            if physical.start >= position {
                joiner.push(physical, decoded, text);
            }
        }
        let end = input.start + lines.consumed() as u64;
        joiner.positions().push(Positions {
            stdout: end.max(resume.stdout),
            stderr: end.max(resume.stderr),
        });
        base += input.bytes.len() as u64;
    }
    if n_joined == inputs.len() {
        let ends = inputs.last().is_some_and(|input| input.eof);
        joiner.flush(flush, ends);
    }
    for (side, iostream) in [(STDOUT, Iostream::Stdout), (STDERR, Iostream::Stderr)] {
        let Some((index, start)) = joiner.open_from(side) else {
            continue;
        };
        set(&mut joiner.positions()[index], iostream, start);
        for (input, positions) in inputs.iter().zip(joiner.positions()).skip(index + 1) {
            let resume = self::resume(format, input);
            set(positions, iostream, resume.of(iostream));
        }
    }
    if format == Format::Raw {
        for positions in joiner.positions() {
            positions.stderr = positions.stdout;
        }
    }
    joiner.finish();
}

/// How many of the inputs form one run of lines.
fn n_joined(inputs: &[Input<'_>], options: &Options) -> usize {
    let goes_on = |before: &Input<'_>, after: &Input<'_>| {
        before.eof
            || after.stream == before.stream
                && after.start == before.start + before.bytes.len() as u64
                && ends_whole(before.bytes, options)
    };
    let n_before_gap = inputs
        .windows(2)
        .take_while(|pair| matches!(pair, [before, after] if goes_on(before, after)))
        .count();
    inputs.len().min(n_before_gap + 1)
}

/// Tells whether the last line of `bytes` is whole.
fn ends_whole(bytes: &[u8], options: &Options) -> bool {
    let last = memrchr(b'\n', bytes).map_or(bytes, |at| &bytes[at + 1..]);
    last.len().is_multiple_of(options.max_line.max(1))
}

/// Positions to resume at; raw files have one.
fn resume(format: Format, input: &Input<'_>) -> Positions {
    match format {
        Format::Raw => Positions {
            stdout: input.resume.stdout,
            stderr: input.resume.stdout,
        },
        Format::Cri | Format::Docker => input.resume,
    }
}

fn set(positions: &mut Positions, iostream: Iostream, position: u64) {
    match iostream {
        Iostream::Stdout => positions.stdout = position,
        Iostream::Stderr => positions.stderr = position,
    }
}

impl Positions {
    /// The position of `iostream`.
    pub(crate) fn of(self, iostream: Iostream) -> u64 {
        match iostream {
            Iostream::Stdout => self.stdout,
            Iostream::Stderr => self.stderr,
        }
    }
}

/// Decodes one line of input `index`, whose `text` starts at `start` of its bytes.
#[inline]
fn decode(
    format: Format,
    index: usize,
    text: &[u8],
    start: usize,
    times: &mut TimeCache,
    arena: &mut Vec<u8>,
) -> Decoded {
    // Batches are bounded far below 2³² chunks; ARENA is the last value.
    let source = u32::try_from(index).unwrap_or(ARENA - 1);
    let whole = Piece {
        source,
        start,
        length: text.len(),
    };
    let decoded = match format {
        Format::Raw => None,
        Format::Cri => cri::decode(text, times).map(|line| Decoded {
            time_ns: line.time_ns,
            iostream: Some(line.iostream),
            partial: line.partial,
            piece: Piece {
                source,
                start: start + line.content,
                length: text.len() - line.content,
            },
            tags: Tags::NONE,
        }),
        Format::Docker => docker::decode(text, times, arena).map(|line| Decoded {
            time_ns: line.time_ns,
            iostream: Some(line.iostream),
            partial: line.partial,
            piece: match line.log {
                Log::Plain(from, to) => Piece {
                    source,
                    start: start + from,
                    length: to - from,
                },
                Log::Unescaped(from) => Piece {
                    source: ARENA,
                    start: from,
                    length: arena.len() - from,
                },
            },
            tags: Tags::NONE,
        }),
    };
    decoded.unwrap_or(Decoded {
        time_ns: None,
        iostream: None,
        partial: false,
        piece: whole,
        tags: if format == Format::Raw {
            Tags::NONE
        } else {
            Tags::FRAMING_ERROR
        },
    })
}
