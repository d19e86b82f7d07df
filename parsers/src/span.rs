//! Where bytes stand: a range of the line, of the arena, or of the names of the rules.
//!
//! Scratch memory outlives records, so it holds ranges instead of slices.

/// Which bytes a [`Span`] is a range of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The record's text.
    Line,
    /// Bytes made while parsing this record.
    Arena,
    /// Names of the rules, which live as long as the rule set.
    Rules,
}

/// A range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) source: Source,
}

impl Span {
    pub(crate) const EMPTY: Span = Span {
        start: 0,
        end: 0,
        source: Source::Line,
    };

    /// A range of the line. Lines are below 4 GiB: longer ones are not parsed.
    #[inline(always)]
    pub(crate) fn line(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
            source: Source::Line,
        }
    }

    pub(crate) fn arena(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
            source: Source::Arena,
        }
    }
}

/// The bytes that spans are ranges of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a> {
    pub(crate) line: &'a [u8],
    pub(crate) arena: &'a [u8],
    pub(crate) rules: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// All bytes of a source.
    #[inline(always)]
    pub(crate) fn whole(&self, source: Source) -> &'a [u8] {
        match source {
            Source::Line => self.line,
            Source::Arena => self.arena,
            Source::Rules => self.rules,
        }
    }

    /// The bytes of a span made from these same bytes.
    #[inline(always)]
    pub(crate) fn of(&self, span: Span) -> &'a [u8] {
        self.whole(span.source)
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }
}
