//! Which lines of a stream make one event, as rules say: asked by framing, line by line, before
//! anything is parsed.

use crate::expression::Expression;

/// A rule's `multiline`. What it answers follows from the lines alone.
#[derive(Debug)]
pub struct Multiline {
    pub(crate) start: Option<Expression>,
    pub(crate) goes_on: Option<Expression>,
    pub(crate) end: Option<Expression>,
    /// The line before says that this one belongs to it.
    pub(crate) unfinished: Option<Expression>,
    pub(crate) max_lines: Option<usize>,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) timeout_ns: Option<i64>,
}

impl Multiline {
    /// Whether `line` goes on with the event whose last line is `previous`; `None` when the rule
    /// does not say.
    pub fn joins(&self, previous: &[u8], line: &[u8]) -> Option<bool> {
        let fits = |expression: &Option<Expression>, text: &[u8]| {
            expression
                .as_ref()
                .is_some_and(|expression| expression.is_match(text))
        };
        if fits(&self.unfinished, previous) || fits(&self.goes_on, line) {
            return Some(true);
        }
        if self.start.is_some() {
            return Some(!fits(&self.start, line));
        }
        // With an end alone, all lines up to it are one event.
        let has_end_only =
            self.end.is_some() && self.goes_on.is_none() && self.unfinished.is_none();
        has_end_only.then_some(true)
    }

    /// Whether an event ends with this line.
    pub fn ends(&self, line: &[u8]) -> bool {
        self.end.as_ref().is_some_and(|end| end.is_match(line))
    }

    /// Most lines of an event, when the rule says so.
    pub fn max_lines(&self) -> Option<usize> {
        self.max_lines
    }

    /// Longest event in bytes, when the rule says so.
    pub fn max_bytes(&self) -> Option<usize> {
        self.max_bytes
    }

    /// An event ends when a line is so much later than its last one, in nanoseconds of the
    /// runtime's time, when the rule says so.
    pub fn timeout_ns(&self) -> Option<i64> {
        self.timeout_ns
    }
}
