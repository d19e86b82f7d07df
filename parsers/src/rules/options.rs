//! Options of a step: checked against the step's documentation, so that what is documented and
//! what is accepted cannot differ, then read by name.

use std::time::Duration;

use super::read::Reader;
use super::suggest::did_you_mean;
use super::yaml::{Key, Node, Place, Value};
use super::{Block, Field};
use crate::quantity;
use crate::steps::{Form, Need, OptionDoc, OptionKind, StepDoc};

/// What stands behind a step's key. An option that is not given has its default.
#[derive(Debug)]
pub(crate) struct Options<'n> {
    /// Where the step's value stands.
    pub(crate) place: Place,
    doc: &'static StepDoc,
    given: Vec<(&'static OptionDoc, &'n Node)>,
}

impl<'n> Options<'n> {
    /// Reads and checks; reports every problem. `None` when the whole is not what it must be.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        node: &'n Node,
        doc: &'static StepDoc,
    ) -> Option<Options<'n>> {
        let mut options = Options {
            place: node.place,
            doc,
            given: Vec::new(),
        };
        let named = |name: &str| doc.options.iter().find(|option| option.name == name);
        match (doc.form, &node.value) {
            (Form::Flag, Value::Scalar(text, _)) if text == "true" => return Some(options),
            (Form::Flag, _) => {
                let what = format!("`{}` can only be `true`", doc.name);
                let hint = "leave the step out otherwise".to_owned();
                reader.report(node.place, what, Some(hint));
                return None;
            }
            (Form::Map(name), _) => options.take(reader, named(name)?, node),
            (_, Value::Map(members)) => {
                for (key, value) in members {
                    match named(&key.text) {
                        Some(option) => options.take(reader, option, value),
                        None => reader.unknown_option(key, doc),
                    }
                }
            }
            (_, Value::Scalar(..)) if node.is_null() => {}
            (Form::Short(name), _) => options.take(reader, named(name)?, node),
            (Form::Options, _) => {
                let what = format!("`{}` takes a map, not {}", doc.name, node.kind());
                reader.report(
                    node.place,
                    what,
                    Some(format!("write `{}: {{}}`", doc.name)),
                );
                return None;
            }
        }
        for option in doc.options {
            if option.need == Need::Required && options.node(option.name).is_none() {
                let what = format!("`{}` needs `{}`", doc.name, option.name);
                reader.report(node.place, what, None);
                return None;
            }
        }
        Some(options)
    }

    fn take(&mut self, reader: &mut Reader<'_>, option: &'static OptionDoc, node: &'n Node) {
        if check(reader, option.kind, &format!("`{}`", option.name), node) {
            self.given.push((option, node));
        }
    }

    /// The value of an option as it was given.
    pub(crate) fn node(&self, name: &str) -> Option<&'n Node> {
        debug_assert!(
            self.doc.options.iter().any(|option| option.name == name),
            "`{name}` is documented"
        );
        let (_, node) = self.given.iter().find(|(option, _)| option.name == name)?;
        Some(node)
    }

    /// Where an option stands, or the step.
    pub(crate) fn place(&self, name: &str) -> Place {
        self.node(name).map_or(self.place, |node| node.place)
    }

    /// A text, or its default; `None` when it is optional and not given.
    pub(crate) fn text(&self, name: &str) -> Option<&'n str> {
        if let Some(node) = self.node(name) {
            return node.text();
        }
        let option = self.doc.options.iter().find(|option| option.name == name)?;
        match option.need {
            // As YAML would read it.
            Need::Default(text) => Some(unquoted(text)),
            Need::Required | Need::Optional => None,
        }
    }

    /// One text or a list of them.
    pub(crate) fn texts(&self, name: &str) -> Vec<(Place, &'n str)> {
        match self.node(name) {
            Some(node) => node.texts(),
            None => self
                .text(name)
                .map(|text| (self.place, text))
                .into_iter()
                .filter(|(_, text)| !text.is_empty() && *text != "[]")
                .collect(),
        }
    }

    /// A boolean; false without a default.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// A whole number; 0 without a default.
    pub(crate) fn integer(&self, name: &str) -> i64 {
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    }

    /// A time span; nothing without a default.
    pub(crate) fn duration(&self, name: &str) -> Duration {
        let ns = self
            .text(name)
            .and_then(|text| quantity::duration_ns(text.as_bytes()));
        Duration::from_nanos(ns.unwrap_or_default().unsigned_abs())
    }

    /// A number of bytes; 0 without a default.
    pub(crate) fn size(&self, name: &str) -> usize {
        let bytes = self
            .text(name)
            .and_then(|text| quantity::size_bytes(text.as_bytes()));
        usize::try_from(bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// A field; `None` when it is not given, or was reported.
    pub(crate) fn field(&self, reader: &mut Reader<'_>, name: &str) -> Option<Field> {
        let text = self.text(name)?;
        reader.field(text, self.place(name))
    }

    /// Fields: one or a list. Those that were reported are left out.
    pub(crate) fn fields(&self, reader: &mut Reader<'_>, name: &str) -> Vec<Field> {
        self.texts(name)
            .into_iter()
            .filter_map(|(place, text)| reader.field(text, place))
            .collect()
    }

    /// Fields that a step reads only: one or a list.
    pub(crate) fn sources(&self, reader: &mut Reader<'_>, name: &str) -> Vec<Field> {
        self.texts(name)
            .into_iter()
            .filter_map(|(place, text)| reader.source(text, place))
            .collect()
    }

    /// Keys and values of a map; nothing when it is not given.
    pub(crate) fn map(&self, name: &str) -> &'n [(Key, Node)] {
        match self.node(name).map(|node| &node.value) {
            Some(Value::Map(members)) => members,
            _ => &[],
        }
    }

    /// Steps; none when they are not given.
    pub(crate) fn block(&self, reader: &mut Reader<'_>, name: &str) -> Block {
        match self.node(name) {
            Some(node) => reader.block(node),
            None => Block::default(),
        }
    }
}

/// A default as YAML would read it.
fn unquoted(text: &'static str) -> &'static str {
    text.strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''))
        .unwrap_or(text)
}

/// Checks that a node is what an option takes; reports when it is not.
pub(super) fn check(reader: &mut Reader<'_>, kind: OptionKind, what: &str, node: &Node) -> bool {
    match (kind, &node.value) {
        (OptionKind::Steps | OptionKind::Match | OptionKind::Examples, _) => true,
        (
            OptionKind::Texts | OptionKind::Globs | OptionKind::Fields | OptionKind::Choices(_),
            Value::List(items),
        ) => {
            let one = match kind {
                OptionKind::Choices(words) => OptionKind::Choice(words),
                _ => OptionKind::Text,
            };
            items
                .iter()
                .filter(|item| !check(reader, one, what, item))
                .count()
                == 0
        }
        (
            OptionKind::TextMap
            | OptionKind::GlobMap
            | OptionKind::ScalarMap
            | OptionKind::FieldMap
            | OptionKind::ChoiceMap(_),
            Value::Map(members),
        ) => {
            let one = match kind {
                OptionKind::GlobMap => OptionKind::Globs,
                OptionKind::ScalarMap => OptionKind::Scalar,
                OptionKind::FieldMap => OptionKind::Field,
                OptionKind::ChoiceMap(words) => OptionKind::Choice(words),
                _ => OptionKind::Text,
            };
            members
                .iter()
                .filter(|(key, value)| !check(reader, one, &format!("`{}`", key.text), value))
                .count()
                == 0
        }
        (
            OptionKind::TextMap
            | OptionKind::GlobMap
            | OptionKind::ScalarMap
            | OptionKind::FieldMap
            | OptionKind::ChoiceMap(_),
            _,
        ) => {
            reader.report(
                node.place,
                format!("{what} must be a map, not {}", node.kind()),
                None,
            );
            false
        }
        (_, Value::Scalar(text, _)) => {
            if fits_kind(text, kind) {
                return true;
            }
            let (what, hint) = wrong(kind, what, text);
            reader.report(node.place, what, hint);
            false
        }
        _ => {
            reader.report(
                node.place,
                format!("{what} must be a text, not {}", node.kind()),
                None,
            );
            false
        }
    }
}

/// Whether a text can be the value of an option of this kind.
pub(crate) fn fits_kind(text: &str, kind: OptionKind) -> bool {
    match kind {
        OptionKind::Bool => matches!(text, "true" | "false"),
        OptionKind::True => text == "true",
        OptionKind::Integer(least, most) => text
            .parse::<i64>()
            .is_ok_and(|number| (least..=most).contains(&number)),
        OptionKind::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
        OptionKind::Duration => quantity::duration_ns(text.as_bytes()).is_some(),
        OptionKind::Size => quantity::size_bytes(text.as_bytes()).is_some(),
        OptionKind::Choice(words) | OptionKind::Choices(words) => words.contains(&text),
        _ => true,
    }
}

fn wrong(kind: OptionKind, what: &str, text: &str) -> (String, Option<String>) {
    let must = |be: &str| (format!("{what} must be {be}, not `{text}`"), None);
    match kind {
        OptionKind::Bool => must("`true` or `false`"),
        OptionKind::True => (format!("{what} can only be `true`"), None),
        OptionKind::Integer(least, i64::MAX) => {
            must(&format!("a whole number of at least {least}"))
        }
        OptionKind::Integer(least, most) => must(&format!("a whole number from {least} to {most}")),
        OptionKind::Number => must("a number"),
        OptionKind::Duration => must("a time span like `30s`, `250ms` or `5m`"),
        OptionKind::Size => must("a size like `64KiB` or `1MB`"),
        OptionKind::Choice(words) | OptionKind::Choices(words) => {
            let hint =
                did_you_mean(text, words).or_else(|| Some(format!("one of: {}", words.join(", "))));
            (format!("{what} cannot be `{text}`"), hint)
        }
        _ => must("something else"),
    }
}
