//! Taking the keys of one section: present, absent, unknown, out of range.

use crate::problem::Problem;
use crate::reader::Reader;
use crate::schema::Shown;
use crate::section::{Check, Rule, Section};
use crate::setting::Setting;
use crate::suggest;
use crate::tree::{Content, Node, Position};

/// The entries of a section while its struct takes them.
pub(crate) struct Fields<'n> {
    node: &'n Node,
    reader: &'n mut Reader,
    known: Vec<&'static str>,
}

/// Where the rules between keys put what they find.
pub(crate) struct At<'n> {
    node: &'n Node,
    reader: &'n mut Reader,
}

/// Reads a section: every key by itself, then the rules between them.
pub(crate) fn read_section<T: Section + Check>(node: &Node, reader: &mut Reader) -> Option<T> {
    // A key with nothing behind it (all its lines commented out) is a section of defaults.
    if !matches!(node.content, Content::Map(_)) && !node.is_null() {
        reader.problem(
            node.position,
            format!(
                "expected a section (`key: value` lines), got {}",
                node.name()
            ),
        );
        return None;
    }
    let mut fields = Fields {
        node,
        reader,
        known: Vec::new(),
    };
    let value = T::take(&mut fields);
    fields.report_unknown();
    let value = value?;
    value.check(&mut At { node, reader });
    Some(value)
}

impl Fields<'_> {
    /// The value of `key`, its default when absent, `None` when it has a problem.
    pub(crate) fn take<T: Setting>(
        &mut self,
        key: &'static str,
        default: impl FnOnce() -> T,
        rule: Rule<T>,
    ) -> Option<T> {
        self.known.push(key);
        let found = self
            .node
            .get(key)
            .filter(|node| !node.is_null() || T::takes_null());
        let Some(node) = found else {
            if rule.required {
                self.reader.enter(key);
                let position = self.node.key_position(key).unwrap_or(self.node.position);
                let hint = rule
                    .example
                    .map(str::to_owned)
                    .or_else(|| match default().shown() {
                        Shown::Scalar(text) => Some(text),
                        _ => None,
                    });
                self.reader.hinted(
                    position,
                    format!("is required ({})", T::kind().name()),
                    hint.map(|text| format!("for example `{key}: {text}`")),
                );
                self.reader.leave();
                return None;
            }
            return Some(default());
        };
        self.reader.enter(key);
        let value = T::read(node, self.reader).filter(|value| self.holds(node, value, &rule));
        self.reader.leave();
        value
    }

    /// Whether `value` keeps the rule; what is wrong is put on the list.
    fn holds<T: Setting>(&mut self, node: &Node, value: &T, rule: &Rule<T>) -> bool {
        let got = || match value.shown() {
            Shown::Scalar(text) => format!(", got `{text}`"),
            _ => String::new(),
        };
        if let Some((min, max)) = &rule.range
            && let (Shown::Scalar(low), Shown::Scalar(high)) = (min.shown(), max.shown())
        {
            let message = if value.is_below(min) {
                Some(format!("must be at least {low}{}", got()))
            } else if max.is_below(value) {
                Some(format!("must be at most {high}{}", got()))
            } else {
                None
            };
            if let Some(message) = message {
                self.reader.problem(node.position, message);
                return false;
            }
        }
        if let Some(Err(message)) = rule.check.map(|check| check(value)) {
            self.reader.problem(node.position, message);
            return false;
        }
        true
    }

    /// Puts every key on the list that no field took.
    fn report_unknown(&mut self) {
        let Content::Map(entries) = &self.node.content else {
            return;
        };
        for entry in entries {
            if self.known.contains(&entry.key.as_str()) {
                continue;
            }
            let hint = suggest::key(&entry.key, &self.known, &self.reader.root_paths)
                .or_else(|| Some(format!("known here: {}", self.known.join(", "))));
            self.reader.enter(&entry.key);
            self.reader
                .hinted(entry.position, "unknown key".to_owned(), hint);
            self.reader.leave();
        }
    }
}

impl At<'_> {
    /// Whether the file has `key` with a value.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.node.get(key).is_some_and(|node| !node.is_null())
    }

    /// Something is wrong with `key` (dots lead into sections below).
    pub(crate) fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.hinted(key, message, None);
    }

    /// Like [`At::problem`], with what probably helps.
    pub(crate) fn hinted(&mut self, key: &str, message: impl Into<String>, hint: Option<String>) {
        let mut position = self.node.position;
        let mut at = Some(self.node);
        for part in key.split('.') {
            let Some(node) = at else { break };
            position = node.key_position(part).unwrap_or(position);
            at = node.get(part);
        }
        self.reader.enter(key);
        self.reader.hinted(position, message.into(), hint);
        self.reader.leave();
    }

    /// The position of item `idx` of the list `key`, with the problem's key to match.
    pub(crate) fn item_problem(&mut self, key: &str, idx: usize, message: impl Into<String>) {
        let position = match self.node.get(key).map(|node| &node.content) {
            Some(Content::List(items)) => items.get(idx).map(|item| item.position),
            _ => None,
        };
        self.reader.enter(&format!("{key}[{idx}]"));
        self.reader
            .problem(position.unwrap_or(self.node.position), message.into());
        self.reader.leave();
    }

    /// Checks that a secret or certificate file can be read.
    pub(crate) fn readable(&mut self, key: &str, path: Option<&std::path::PathBuf>, secret: bool) {
        let Some(path) = path else { return };
        let result = if secret {
            crate::credentials::read_secret_file(path)
                .map(drop)
                .map_err(|e| e.to_string())
        } else {
            std::fs::metadata(path)
                .map_err(|e| format!("cannot read `{}`: {e}", path.display()))
                .and_then(|meta| match meta.is_file() {
                    true => Ok(()),
                    false => Err(format!("`{}` is not a file", path.display())),
                })
        };
        if let Err(message) = result {
            self.problem(key, message);
        }
    }
}

impl Reader {
    /// Something is wrong at `position` with the key that is being read.
    pub(crate) fn problem(&mut self, position: Position, message: String) {
        self.hinted(position, message, None);
    }

    /// Like [`Reader::problem`], with what probably helps.
    pub(crate) fn hinted(&mut self, position: Position, message: String, hint: Option<String>) {
        let key = self.key_path();
        let file = self.file.clone();
        self.problems.0.push(Problem {
            file,
            line: position.line,
            column: position.column,
            key,
            message,
            hint,
        });
    }
}
