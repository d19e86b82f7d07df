//! Loading a file: text → tree → expanded tree → checked struct, or the list of problems.

use std::path::{Path, PathBuf};

use crate::expand;
use crate::fields;
use crate::problem::{Problem, Problems};
use crate::section::Section;
use crate::suggest;
use crate::tree::{self, Content, Node, shorten};

/// A larger file is no configuration of ours.
const MAX_FILE: u64 = 4 << 20;

type Lookup = dyn Fn(&str) -> Option<String>;

/// Where `${NAME}` is looked up.
pub struct Environment {
    lookup: Box<Lookup>,
}

impl Environment {
    /// The environment of this process. Variables that are not UTF-8 count as not set.
    pub fn process() -> Self {
        Self {
            lookup: Box::new(|name| std::env::var(name).ok()),
        }
    }

    /// These variables and no others.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let map = std::collections::BTreeMap::from(owned);
        Self {
            lookup: Box::new(move |name| map.get(name).cloned()),
        }
    }
}

/// A whole configuration file: [`AgentConfig`](crate::agent::AgentConfig) or
/// [`AggregatorConfig`](crate::aggregator::AggregatorConfig).
pub trait Root: sealed::Sealed + Sized + Default {
    /// The program that reads it.
    const PROGRAM: &'static str;

    /// All its keys.
    fn schema() -> crate::SectionSchema;
}

mod sealed {
    use super::{Node, Reader};

    /// Reading by types that only this crate knows.
    pub trait Sealed: Sized {
        fn read_root(node: &Node, reader: &mut Reader) -> Option<Self>;
    }
}

macro_rules! root {
    ($ty:ty, $program:literal) => {
        impl sealed::Sealed for $ty {
            fn read_root(node: &Node, reader: &mut Reader) -> Option<Self> {
                fields::read_section(node, reader)
            }
        }

        impl Root for $ty {
            const PROGRAM: &'static str = $program;

            fn schema() -> crate::SectionSchema {
                <Self as Section>::schema()
            }
        }
    };
}

root!(crate::agent::AgentConfig, "tailrace-agent");
root!(crate::aggregator::AggregatorConfig, "tailrace-aggregator");

/// Reads and checks the configuration file at `path`. All that is wrong comes back at once. Also
/// right for a reload: it changes nothing.
pub fn load<T: Root>(path: &Path, env: &Environment) -> Result<T, Problems> {
    let file = path.display().to_string();
    let fail = |message: String| {
        Problems(vec![Problem {
            file: file.clone(),
            line: 0,
            column: 0,
            key: String::new(),
            message,
            hint: None,
        }])
    };
    let size = std::fs::metadata(path)
        .map_err(|e| fail(format!("cannot read: {e}")))?
        .len();
    if size > MAX_FILE {
        return Err(fail("cannot read: larger than 4MiB".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(|e| fail(format!("cannot read: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let before = e
            .as_bytes()
            .get(..e.utf8_error().valid_up_to())
            .unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        fail(format!("cannot read: line {line} is not UTF-8"))
    })?;
    parse(&text, path, env)
}

/// Like [`load`], with the text given. `path` names the file in messages; relative paths in the
/// text count from its folder.
pub fn parse<T: Root>(text: &str, path: &Path, env: &Environment) -> Result<T, Problems> {
    let mut reader = Reader {
        file: path.display().to_string(),
        base: path.parent().map(Path::to_path_buf).unwrap_or_default(),
        path: Vec::new(),
        problems: Problems::default(),
        root_paths: T::schema().paths(),
    };
    let (root, faults) = tree::parse(text);
    for fault in faults {
        reader.problem(fault.position, fault.message);
    }
    let value = root.and_then(|mut root| {
        let file = reader.file.clone();
        let problems = &mut reader.problems.0;
        expand::expand_tree(&mut root, "", &*env.lookup, &mut |key, node, message| {
            problems.push(Problem {
                file: file.clone(),
                line: node.position.line,
                column: node.position.column,
                key: key.to_owned(),
                message,
                hint: None,
            });
        });
        T::read_root(&root, &mut reader)
    });
    let mut problems = reader.problems;
    problems
        .0
        .sort_by_key(|problem| (problem.line, problem.column));
    match value {
        Some(value) if problems.0.is_empty() => Ok(value),
        _ => Err(problems),
    }
}

/// What reading a value needs to know, and where problems go.
pub struct Reader {
    pub(crate) file: String,
    pub(crate) base: PathBuf,
    pub(crate) path: Vec<String>,
    pub(crate) problems: Problems,
    pub(crate) root_paths: Vec<String>,
}

impl Reader {
    pub(crate) fn enter(&mut self, key: &str) {
        self.path.push(key.to_owned());
    }

    pub(crate) fn leave(&mut self) {
        self.path.pop();
    }

    /// The path of the key that is being read.
    pub(crate) fn key_path(&self) -> String {
        let mut path = String::new();
        for part in self.path.iter().filter(|part| !part.is_empty()) {
            if !path.is_empty() && !part.starts_with('[') {
                path.push('.');
            }
            path.push_str(part);
        }
        path
    }

    /// The text of a scalar; anything else is a problem. `expected` completes "expected …".
    pub(crate) fn scalar<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n str> {
        match &node.content {
            Content::Scalar { text, .. } => Some(text),
            Content::Broken => None,
            _ => {
                self.problem(
                    node.position,
                    format!("expected {expected}, got {}", node.name()),
                );
                None
            }
        }
    }

    /// One of `words`.
    pub(crate) fn word(&mut self, node: &Node, words: &[&str]) -> Option<String> {
        let text = self.scalar(node, "a word")?;
        if words.contains(&text) {
            return Some(text.to_owned());
        }
        let hint = suggest::nearest(text, words).map(|word| format!("did you mean `{word}`?"));
        let message = format!(
            "expected one of {}, got `{}`",
            words.join(", "),
            shorten(text)
        );
        self.hinted(node.position, message, hint);
        None
    }

    /// A path, relative ones counted from the configuration file's folder.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        let path = Path::new(path.strip_prefix("./").unwrap_or(path));
        self.base.join(path)
    }
}
