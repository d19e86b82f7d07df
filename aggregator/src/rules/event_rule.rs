//! A rule's `multiline`, as framing asks it: the aggregator and `rules try` cut alike.

use parsers::{Multiline, RuleId, RuleSet, StreamContext};

/// Which lines of a stream make one event.
#[derive(Debug, Clone, Copy)]
pub struct EventRule<'r>(&'r Multiline);

impl<'r> EventRule<'r> {
    /// What the rules say of a stream, if they do.
    pub fn of(rules: &'r RuleSet, stream: &'r StreamContext) -> Option<Self> {
        rules.multiline(stream).map(Self)
    }

    /// For trying rules: what the one rule that is tried says, or of all the first that is for the
    /// stream; without a stream each is taken to fit.
    pub fn tried(
        rules: &'r RuleSet,
        only: Option<RuleId>,
        stream: Option<&'r StreamContext>,
    ) -> Option<Self> {
        match (only, stream) {
            (Some(rule), _) => rules.multiline_of(rule).map(Self),
            (None, Some(stream)) => Self::of(rules, stream),
            (None, None) => rules
                .ids()
                .find_map(|rule| rules.multiline_of(rule))
                .map(Self),
        }
    }

    /// The options of framing with what the rule says of them.
    pub fn options(&self, options: framing::Options) -> framing::Options {
        framing::Options {
            max_lines: self.0.max_lines().unwrap_or(options.max_lines),
            max_event: self.0.max_bytes().unwrap_or(options.max_event),
            max_gap_ns: self.0.timeout_ns().unwrap_or(options.max_gap_ns),
            ..options
        }
    }
}

impl framing::EventRule for EventRule<'_> {
    fn relation(&self, previous: &[u8], line: &[u8]) -> framing::Relation {
        match self.0.joins(previous, line) {
            Some(true) => framing::Relation::Joins,
            Some(false) => framing::Relation::Starts,
            None => framing::Relation::Unknown,
        }
    }

    fn ends(&self, line: &[u8]) -> bool {
        self.0.ends(line)
    }
}
