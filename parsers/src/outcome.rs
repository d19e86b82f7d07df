//! What became of a record: handed to the caller for counting and routing.

use crate::{Level, RouteId, RuleId};

/// What [`Parser::append_document`](crate::Parser::append_document) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A document was appended.
    Document(Document),
    /// A rule dropped the record; nothing was appended.
    Dropped {
        /// The rule that said so; [`RuleSet::name`](crate::RuleSet::name) names it.
        rule: RuleId,
    },
}

/// What the caller may want to know of the document appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document {
    /// `@timestamp`, nanoseconds since the epoch.
    pub time_ns: i64,
    /// `log.level`.
    pub level: Option<Level>,
    /// The rule that matched.
    pub rule: Option<RuleId>,
    /// Where a rule sends it; [`RuleSet::route`](crate::RuleSet::route) tells. `None`: where all of
    /// the stream go.
    pub route: Option<RouteId>,
    /// Tags that the engine set (the record's own tags from framing are not repeated here).
    pub tags: Tags,
}

/// A tag that the engine sets. The name in the document is [`Tag::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tag {
    /// Bytes that are no UTF-8 were replaced by U+FFFD.
    InvalidUtf8,
    /// The line's own time cannot be stored (before 1970, after April 2262): the runtime's stands.
    TimeOutOfRange,
    /// A JSON line with more fields than the limit: the line is in `message`, unparsed.
    JsonTooManyFields,
    /// A JSON line with a key longer than the limit: the line is in `message`, unparsed.
    JsonKeyTooLong,
    /// Values nested deeper than the limit are kept as JSON text in a string.
    JsonTooDeep,
    /// A key stood twice in an object: the later values are under `key_2`, `key_3`, ….
    JsonDuplicateKeys,
    /// A key that the store refuses, or that contradicts another one, was written differently.
    JsonKeyChanged,
    /// A number that the store cannot hold is kept as text.
    JsonNumberAsText,
    /// An array of unlike values is kept as JSON text in a string.
    JsonMixedArray,
    /// Rules apply to this stream and none matched, nor was the line JSON or logfmt.
    Unparsed,
    /// The record was not parsed on purpose (suspect chunks).
    Suspect,
    /// The stream's metadata names a rule that there is not.
    RuleUnknown,
    /// A rule was not tried, or given up: the text is longer than its budget, or took longer. Or an
    /// expression of `redact` took longer, and the rest of a text was replaced.
    OverBudget,
    /// A secret was replaced or removed.
    Redacted,
}

impl Tag {
    /// All tags, in the order of their bits.
    pub const ALL: [Tag; 14] = [
        Tag::InvalidUtf8,
        Tag::TimeOutOfRange,
        Tag::JsonTooManyFields,
        Tag::JsonKeyTooLong,
        Tag::JsonTooDeep,
        Tag::JsonDuplicateKeys,
        Tag::JsonKeyChanged,
        Tag::JsonNumberAsText,
        Tag::JsonMixedArray,
        Tag::Unparsed,
        Tag::Suspect,
        Tag::RuleUnknown,
        Tag::OverBudget,
        Tag::Redacted,
    ];

    /// The name in `tags`.
    pub const fn name(self) -> &'static str {
        match self {
            Tag::InvalidUtf8 => "invalid_utf8",
            Tag::TimeOutOfRange => "time_out_of_range",
            Tag::JsonTooManyFields => "json_too_many_fields",
            Tag::JsonKeyTooLong => "json_key_too_long",
            Tag::JsonTooDeep => "json_too_deep",
            Tag::JsonDuplicateKeys => "json_duplicate_keys",
            Tag::JsonKeyChanged => "json_key_changed",
            Tag::JsonNumberAsText => "json_number_as_text",
            Tag::JsonMixedArray => "json_mixed_array",
            Tag::Unparsed => "unparsed",
            Tag::Suspect => "suspect",
            Tag::RuleUnknown => "rule_unknown",
            Tag::OverBudget => "over_budget",
            Tag::Redacted => "redacted",
        }
    }
}

/// A set of [`Tag`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tags(u32);

impl Tags {
    /// No tags.
    pub const NONE: Tags = Tags(0);

    /// Adds `tag`.
    pub fn insert(&mut self, tag: Tag) {
        self.0 |= 1 << tag as u8;
    }

    /// Adds all of `other`.
    pub fn union(&mut self, other: Tags) {
        self.0 |= other.0;
    }

    /// Whether `tag` is set.
    pub fn contains(self, tag: Tag) -> bool {
        self.0 & (1 << tag as u8) != 0
    }

    /// Whether no tag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The tags that are set.
    pub fn iter(self) -> impl Iterator<Item = Tag> {
        Tag::ALL.into_iter().filter(move |tag| self.contains(*tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tag_has_its_own_bit_and_name() {
        let mut names = Vec::new();
        for tag in Tag::ALL {
            let mut tags = Tags::NONE;
            tags.insert(tag);
            assert_eq!(tags.iter().collect::<Vec<_>>(), [tag]);
            assert!(!names.contains(&tag.name()));
            names.push(tag.name());
        }
    }
}
