//! The steps of rules. A step is a module of its own: what authors are told of it ([`StepDoc`]),
//! how its options are read, and what it does to a record. [`entries`] lists them all; reference
//! documentation and the JSON Schema of rule files are made from the same table.
//!
//! # Writing a step
//!
//! A module has a `pub(super) static ENTRY: Entry` and a type that implements [`Step`]:
//!
//! ```ignore
//! pub(super) static ENTRY: Entry = Entry {
//!     doc: StepDoc {
//!         name: "ltsv",
//!         group: Group::Formats,
//!         summary: "labelled tab-separated values, `host:web-1<TAB>status:200`",
//!         doc: "Every pair becomes a field under its label. The step fails without a pair.",
//!         form: Form::Options,
//!         options: &[OptionDoc {
//!             name: "prefix", kind: OptionKind::Text, need: Need::Default("''"),
//!             doc: "put before every label",
//!         }],
//!         examples: &["name: t\nsteps:\n  - ltsv: {}\nexamples:\n  - line: \"a:1\\tb:2\"\n    fields: {attributes.a: 1}\n"],
//!     },
//!     read,
//! };
//!
//! #[derive(Debug)]
//! struct Ltsv;
//!
//! fn read(_: &mut Reader<'_>, _: &Options<'_>) -> Option<Box<dyn Step>> {
//!     Some(Box::new(Ltsv))
//! }
//!
//! impl Step for Ltsv {
//!     fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
//!         let (from, to) = work.span;
//!         let mut out = work.emit();
//!         let mut at = from;
//!         while at < to {
//!             let rest = &out.line()[at..to];
//!             let end = at + memchr::memchr(b'\t', rest).unwrap_or(rest.len());
//!             let Some(colon) = memchr::memchr(b':', &out.line()[at..end]) else {
//!                 return Err(Failure::at(at, "a pair without a colon"));
//!             };
//!             out.pair((at, at + colon), (at + colon + 1, end), ValueKind::Text);
//!             at = end + 1;
//!         }
//!         out.finish(Message::Taken);
//!         Ok(Flow::Next)
//!     }
//! }
//! ```
//!
//! A format reads `work.span` of [`Emit::line`](crate::emit::Emit::line) and hands over ranges of
//! it, never copies; what has to be written anew (escapes undone) goes to the arena. Names that the
//! line itself holds go through [`Emit::pair`](crate::emit::Emit::pair): names of ECS and the many
//! names of message, time and level find their place, all others become attributes. Names that the
//! format knows are made once, in `read`, with [`Reader::field`] (`"source.ip"`,
//! `"aws.elb.trace_id"`, `"took:float"`) and filled with
//! [`Emit::fill`](crate::emit::Emit::fill), which checks the type. A step that fails needs not
//! clean up: the rule as a whole is undone.

use std::any::Any;
use std::fmt::Debug;

use crate::rules::{Options, Reader};
use crate::work::Work;

mod address;
mod cef;
mod choose;
mod columns;
mod convert;
mod csv;
mod decode;
mod drop;
mod fewer;
mod grok;
pub(crate) mod hash;
mod json;
mod key_value;
mod klog;
mod list;
mod logfmt;
mod lookup;
mod ltsv;
mod multiline;
mod pattern;
mod redact;
mod regex;
mod remove;
mod rename;
mod route;
mod set;
mod shipped;
mod syslog;
mod text;
mod time;
mod url;
mod use_rule;
mod user_agent;
mod vrl;
mod xml;

/// Steps with code of their own, in the order of the reference.
static STEPS: &[&Entry] = &[
    &json::ENTRY,
    &logfmt::ENTRY,
    &key_value::ENTRY,
    &ltsv::ENTRY,
    &csv::CSV,
    &csv::TSV,
    &columns::ENTRY,
    &columns::VPC_FLOW,
    &klog::KLOG,
    &klog::GLOG,
    &syslog::ENTRY,
    &cef::ENTRY,
    &xml::ENTRY,
    &pattern::ENTRY,
    &regex::ENTRY,
    &grok::ENTRY,
    &use_rule::ENTRY,
    &vrl::ENTRY,
    &rename::RENAME,
    &rename::COPY,
    &set::ENTRY,
    &remove::REMOVE,
    &remove::KEEP,
    &text::LOWERCASE,
    &text::UPPERCASE,
    &text::TRIM,
    &text::REPLACE,
    &time::ENTRY,
    &convert::CAST,
    &convert::SEVERITY,
    &convert::DURATION,
    &convert::BYTES,
    &list::SPLIT,
    &list::JOIN,
    &hash::ENTRY,
    &url::URL,
    &url::QUERY_STRING,
    &user_agent::ENTRY,
    &address::IP,
    &address::GEOIP,
    &lookup::ENTRY,
    &decode::ENTRY,
    &redact::ENTRY,
    &choose::IF,
    &choose::TRY,
    &choose::STOP,
    &drop::ENTRY,
    &fewer::SAMPLE,
    &fewer::THROTTLE,
    &fewer::DEDUPE,
    &route::ENTRY,
    &multiline::ENTRY,
];

/// What authors are told of each step.
pub fn docs() -> impl Iterator<Item = &'static StepDoc> {
    entries().map(|entry| &entry.doc)
}

/// Every step: those with code of their own, then the shipped rules that have a word.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    STEPS.iter().chain(shipped::ALL).copied()
}

/// A step as the table lists it.
pub(crate) struct Entry {
    pub(crate) doc: StepDoc,
    /// Reads the options, reporting every problem. `None` only when problems were reported.
    pub(crate) read: fn(&mut Reader<'_>, &Options<'_>) -> Option<Box<dyn Step>>,
}

/// What a rule file says at one place of `steps`, compiled.
pub(crate) trait Step: Debug + Send + Sync {
    /// Does its work on a record. On failure the whole rule is undone.
    ///
    /// # Errors
    ///
    /// When the record is not what the step is for.
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure>;

    /// Memory that the step needs from record to record, one for each thread:
    /// [`Work::memory`] gives it back.
    fn memory(&self) -> Option<Box<dyn Any + Send>> {
        None
    }

    /// What in it may take time that grows faster than the text, up to a limit of steps; `None`:
    /// nothing, it is linear.
    fn needs_back_tracking(&self) -> Option<&'static str> {
        None
    }

    /// Says more of a failure than its static text: which literal was missing, say. Runs only for
    /// `rules explain`, on the record as the step found it; may also move the place.
    fn explain(&self, _work: &Work<'_>, _failure: &mut Failure) -> Option<String> {
        None
    }
}

/// What comes after a step that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next one.
    Next,
    /// Nothing: the rule is done.
    Done,
    /// Nothing: the record is dropped.
    Drop,
}

/// Why a step failed: cheap enough to be made for every line that a rule does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Byte of the text from which on it is not what it should be.
    pub(crate) at: u32,
    /// Lower case, no final period.
    pub(crate) why: &'static str,
}

impl Failure {
    /// A failure at a byte of the text.
    #[inline]
    pub(crate) fn at(at: usize, why: &'static str) -> Failure {
        Failure { at: at as u32, why }
    }
}

/// A step's page in the reference. All texts are Markdown without headings.
#[derive(Debug)]
pub struct StepDoc {
    /// The key in `steps`.
    pub name: &'static str,
    /// Its chapter.
    pub group: Group,
    /// One line, without a final period.
    pub summary: &'static str,
    /// What it does, when it fails, what to know. Whole sentences; may be empty.
    pub doc: &'static str,
    /// What may stand behind the key.
    pub form: Form,
    /// Its options.
    pub options: &'static [OptionDoc],
    /// Whole rules, with examples that a test runs.
    pub examples: &'static [&'static str],
}

/// A chapter of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Known formats.
    Formats,
    /// Patterns that the author writes.
    Patterns,
    /// Changing fields.
    Shaping,
    /// Keeping secrets out.
    Protecting,
    /// Deciding what becomes of a record.
    Choosing,
}

/// What stands behind the key of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A map of the options; nothing or `{}` when none is needed.
    Options,
    /// Only `true`.
    Flag,
    /// The same as `Options`, or just the value of this option.
    Short(&'static str),
    /// The value of this option, always: a map whose keys are the author's.
    Map(&'static str),
}

/// An option, or a key of a rule.
#[derive(Debug)]
pub struct OptionDoc {
    /// The key.
    pub name: &'static str,
    /// What it takes.
    pub kind: OptionKind,
    /// Whether it must be there.
    pub need: Need,
    /// One sentence or more, without a final period when it is one.
    pub doc: &'static str,
}

/// Whether an option must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It need not, and then nothing is in its place.
    Optional,
    /// It need not, and then this stands for it, as it would in YAML.
    Default(&'static str),
}

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// A text.
    Text,
    /// A text or a list of them.
    Texts,
    /// A map of texts.
    TextMap,
    /// Globs: a text or a list, `*` for any text, `?` for one character.
    Globs,
    /// A map from a name to globs.
    GlobMap,
    /// `true` or `false`.
    Bool,
    /// `true`: the key stands for itself.
    True,
    /// A whole number between these two.
    Integer(i64, i64),
    /// A number.
    Number,
    /// A text, number, boolean or null: the value of a field.
    Scalar,
    /// A map from a field to its value.
    ScalarMap,
    /// A time span: `250ms`, `30s`, `5m`, `2h`.
    Duration,
    /// A number of bytes: `64KiB`, `1MB`.
    Size,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any of these words: one or a list.
    Choices(&'static [&'static str]),
    /// The name of a field, with `:type` behind where one is wanted.
    Field,
    /// A field or a list of them.
    Fields,
    /// A map from a name to a field.
    FieldMap,
    /// A map from a field to a word of these.
    ChoiceMap(&'static [&'static str]),
    /// An expression: `log.level == "debug" and not exists(user.id)`.
    Expression,
    /// A list of steps.
    Steps,
    /// A rule's `match`.
    Match,
    /// A rule's `examples`.
    Examples,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::RuleSet;

    #[test]
    fn every_example_of_the_documentation_holds() {
        for doc in docs() {
            // That one needs a database of the user's: its own test has one.
            let is_exempt = doc.name == "geoip";
            assert!(
                !doc.examples.is_empty() || is_exempt,
                "`{}` has no example",
                doc.name
            );
            // Those of a step that is not built are run where it is.
            let is_built = doc.name != "vrl" || cfg!(feature = "vrl");
            for example in doc.examples.iter().filter(|_| is_built) {
                let set = RuleSet::from_texts(&[(Path::new(doc.name), example)]);
                assert!(set.is_ok(), "{}\n{:#?}", example, set.err());
                assert!(example.contains(doc.name) && example.contains("examples:"));
            }
        }
    }

    #[test]
    fn names_stand_once_and_defaults_are_of_their_kind() {
        let mut names = std::collections::HashSet::new();
        for doc in docs() {
            assert!(names.insert(doc.name), "{}", doc.name);
            assert!(!doc.summary.ends_with('.') && !doc.summary.is_empty());
            for option in doc.options {
                if let Need::Default(text) = option.need {
                    assert!(
                        crate::rules::fits_kind(text, option.kind),
                        "{}",
                        option.name
                    );
                }
            }
            if let Form::Short(name) | Form::Map(name) = doc.form {
                assert!(doc.options.iter().any(|option| option.name == name));
            }
        }
    }
}
