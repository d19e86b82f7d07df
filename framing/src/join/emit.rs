//! From the lines of an ended event to its record: message, parts, hash, place of the trace.

use std::ops::Range;

use super::{Extent, Joiner, Line};
use crate::record::{ARENA, Piece};
use crate::{Iostream, Part, Record, Tags, trace};

impl Joiner<'_, '_> {
    /// Adds a record of `lines`, which stand at `extents`.
    #[inline]
    pub(super) fn record(
        &mut self,
        iostream: Option<Iostream>,
        lines: &[Line],
        extents: &[Extent],
        head: usize,
    ) {
        let (Some(first), Some(line)) = (extents.first(), lines.first()) else {
            return;
        };
        let first = first.physical;
        let parts = self.parts(extents);
        let (message, trace_at) = match lines {
            [line] => (line.piece, None),
            _ => {
                let message = self.concatenate(lines.iter().map(|line| &line.piece), b"\n");
                (message, self.trace_at(lines, head))
            }
        };
        let same_stream = extents
            .iter()
            .take_while(|extent| self.stream(extent) == self.inputs[first.input].stream);
        let end = same_stream
            .last()
            .map_or(first.end, |extent| extent.physical.end);
        let record = Record {
            stream: self.inputs[first.input].stream,
            offset: first.start,
            length: end - first.start,
            parts,
            input: u32::try_from(first.input).unwrap_or(ARENA - 1),
            iostream,
            time_ns: line.time_ns,
            trace_at,
            tags: lines.iter().fold(Tags::NONE, |tags, line| tags | line.tags),
            hash: hash(extents),
            message,
        };
        let records = &mut self.frames.records;
        if let Some(last) = records.last() {
            self.is_unsorted |= (last.input, last.offset) > (record.input, record.offset);
        }
        records.push(record);
    }

    fn stream(&self, extent: &Extent) -> u64 {
        self.inputs[extent.physical.input].stream
    }

    /// Where in the message of `lines` the trace starts.
    fn trace_at(&self, lines: &[Line], mut head: usize) -> Option<u32> {
        // Lines that a rule has joined need not be a trace; if one is among them, its head says so.
        if self.rule.is_some() && head == 0 {
            head = lines.iter().position(|line| {
                trace::is_head(line.piece.bytes(self.inputs, &self.frames.arena))
            })?;
        }
        let before = lines[..head]
            .iter()
            .map(|line| line.piece.length + 1)
            .sum::<usize>();
        let text = lines[head].piece.bytes(self.inputs, &self.frames.arena);
        u32::try_from(before + trace::head_at(text)).ok()
    }

    /// Adds the runs of adjacent lines to the parts when there are more than one.
    #[inline]
    fn parts(&mut self, extents: &[Extent]) -> Range<u32> {
        let from = self.frames.parts.len();
        if extents.len() > 1 {
            let mut part: Option<Part> = None;
            for extent in extents {
                let stream = self.stream(extent);
                let physical = extent.physical;
                match &mut part {
                    Some(part)
                        if part.stream == stream && part.offset + part.length == physical.start =>
                    {
                        part.length += physical.end - physical.start;
                    }
                    _ => {
                        self.frames.parts.extend(part);
                        part = Some(Part {
                            stream,
                            offset: physical.start,
                            length: physical.end - physical.start,
                        });
                    }
                }
            }
            if self.frames.parts.len() > from {
                self.frames.parts.extend(part);
            }
        }
        let index = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        index(from)..index(self.frames.parts.len())
    }

    /// Appends the bytes of `pieces` to the arena.
    pub(super) fn concatenate<'p>(
        &mut self,
        pieces: impl Iterator<Item = &'p Piece>,
        separator: &[u8],
    ) -> Piece {
        let arena = &mut self.frames.arena;
        let start = arena.len();
        for (n, piece) in pieces.enumerate() {
            if n > 0 {
                arena.extend_from_slice(separator);
            }
            match piece.source {
                ARENA => arena.extend_from_within(piece.start..piece.start + piece.length),
                _ => arena.extend_from_slice(piece.bytes(self.inputs, &[])),
            }
        }
        Piece {
            source: ARENA,
            start,
            length: arena.len() - start,
        }
    }
}

/// The hash that [`Record::hash`] documents.
#[inline]
fn hash(extents: &[Extent]) -> u32 {
    let hash = extents.iter().fold(0_u64, |hash, extent| {
        (hash.rotate_left(5) ^ extent.hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    (hash >> 32) as u32
}
