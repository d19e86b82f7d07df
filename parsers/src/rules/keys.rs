//! The keys of rules, of `match` and of examples, and what authors are told of them.

use crate::steps::{Need, OptionDoc, OptionKind};

/// Text given to a rule that sets no limit of its own. Framing's limit is the same by default.
pub(super) const MAX_BYTES: &str = "1MiB";

/// Time for a record: what linear steps take on a text of the size budget, several times over.
pub(super) const MAX_TIME: &str = "200ms";

/// The keys of a rule.
pub static RULE_KEYS: &[OptionDoc] = &[
    OptionDoc {
        name: "name",
        kind: OptionKind::Text,
        need: Need::Required,
        doc: "letters, digits, `_ - . /`, at most 128; no two rules share one. It stands in `tailrace.rule` of every document that the rule made",
    },
    OptionDoc {
        name: "match",
        kind: OptionKind::Match,
        need: Need::Optional,
        doc: "which records the rule is for; all when it is left out",
    },
    OptionDoc {
        name: "steps",
        kind: OptionKind::Steps,
        need: Need::Required,
        doc: "what to do, in order. All must succeed, else what they did is undone and the next rule is tried",
    },
    OptionDoc {
        name: "continue",
        kind: OptionKind::Bool,
        need: Need::Default("false"),
        doc: "try the rules after this one as well when it matched; what it did is kept",
    },
    OptionDoc {
        name: "max_bytes",
        kind: OptionKind::Size,
        need: Need::Default(MAX_BYTES),
        doc: "the rule's budget: a longer text is kept unparsed, tagged `over_budget`",
    },
    OptionDoc {
        name: "max_time",
        kind: OptionKind::Duration,
        need: Need::Default(MAX_TIME),
        doc: "the rule's budget of time for a record: over it the record is kept unparsed, tagged `over_budget`. The clock is looked at after each step where the text is long or a step goes back and tries again, and within steps that go through the text many times",
    },
    OptionDoc {
        name: "examples",
        kind: OptionKind::Examples,
        need: Need::Optional,
        doc: "lines and what becomes of them; checked whenever the rules are loaded",
    },
];

/// The keys of `match`. Every part that is given must hold; of a list one entry suffices.
pub static MATCH_KEYS: &[OptionDoc] = &[
    key("namespace", OptionKind::Globs, "the pod's namespace"),
    key("pod", OptionKind::Globs, "the pod's name"),
    key(
        "container",
        OptionKind::Globs,
        "the name of the container whose line it is",
    ),
    key("node", OptionKind::Globs, "the node's name"),
    key(
        "image",
        OptionKind::Globs,
        "the container's image, with or without its tag",
    ),
    key(
        "labels",
        OptionKind::GlobMap,
        "labels of the pod, each with what its value must be",
    ),
    key(
        "annotations",
        OptionKind::GlobMap,
        "annotations of the pod, likewise",
    ),
    key(
        "metadata",
        OptionKind::GlobMap,
        "any other field of the stream's metadata, `cloud.region` say",
    ),
    key("file", OptionKind::Globs, "the path of the log file"),
    key(
        "iostream",
        OptionKind::Choices(&["stdout", "stderr"]),
        "which of the container's two outputs",
    ),
    key(
        "source",
        OptionKind::Globs,
        "where the stream comes from: `container`, `file`, or the name of another source",
    ),
    key(
        "starts_with",
        OptionKind::Texts,
        "what the text begins with, compared as it stands",
    ),
    key(
        "contains",
        OptionKind::Texts,
        "what the text holds somewhere, compared as it stands",
    ),
    key(
        "by_name",
        OptionKind::True,
        "only streams whose annotation names the rule, and rules that `use` it",
    ),
    key(
        "not",
        OptionKind::Match,
        "the same keys: no part of it may hold",
    ),
];

/// The keys of an example. One of `fields`, `no_match` and `dropped` says what is expected.
pub static EXAMPLE_KEYS: &[OptionDoc] = &[
    OptionDoc {
        name: "line",
        kind: OptionKind::Text,
        need: Need::Optional,
        doc: "the text; several lines for one that framing joins",
    },
    OptionDoc {
        name: "lines",
        kind: OptionKind::Texts,
        need: Need::Optional,
        doc: "the same as a list of lines",
    },
    key(
        "iostream",
        OptionKind::Choice(&["stdout", "stderr"]),
        "which output it came from",
    ),
    key(
        "metadata",
        OptionKind::ScalarMap,
        "metadata of its stream, as flat names: `kubernetes.namespace: shop`",
    ),
    key(
        "time",
        OptionKind::Text,
        "the runtime's time of the line, RFC 3339; 1970 when left out",
    ),
    key(
        "fields",
        OptionKind::ScalarMap,
        "fields of the document, by their dotted names; values are compared as text, `null` says that there is no such field, others do not matter",
    ),
    key(
        "no_match",
        OptionKind::True,
        "the rule does not match this line",
    ),
    key("dropped", OptionKind::True, "the rule drops this line"),
];

const fn key(name: &'static str, kind: OptionKind, doc: &'static str) -> OptionDoc {
    OptionDoc {
        name,
        kind,
        need: Need::Optional,
        doc,
    }
}
