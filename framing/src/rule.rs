//! What a user's rule says of the lines of one stream.

use std::fmt::Debug;

/// What a line is to the line before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It begins an event.
    Starts,
    /// It goes on with the open event, within the limits of an event.
    Joins,
    /// The rule does not say: what framing recognises by itself decides.
    Unknown,
}

/// Says which lines of a stream make an event. Both answers must follow from the lines given
/// alone: every try of a chunk, on every aggregator, has to frame alike (DELIVERY rule 6).
pub trait EventRule: Debug {
    /// What `line` is to `previous`, the last line of the open event.
    fn relation(&self, previous: &[u8], line: &[u8]) -> Relation;

    /// Whether an event ends with this line.
    fn ends(&self, line: &[u8]) -> bool;
}
