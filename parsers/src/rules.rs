//! A set of rules, loaded from YAML files. `docs/rules.md` is the reference for authors.

mod examples;
mod pattern;
mod read;
pub(crate) mod run;
mod target;
mod yaml;

use std::path::{Path, PathBuf};

use crate::Problem;
use crate::ecs::key_hash;
use crate::span::{Source, Span};
use pattern::Pattern;
use target::Target;

/// Largest rule file.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A rule of a [`RuleSet`]: its place in the order of trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub(crate) u32);

impl RuleId {
    /// The place, from 0: for tables of counters a rule.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Compiled rules, in the order they are tried.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    /// Names of attributes, which spans with [`Source::Rules`] point into.
    names_text: Vec<u8>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    condition: Condition,
    steps: Vec<Step>,
}

/// `match`: every part that is given must hold; of a list one suffices.
#[derive(Debug, Default)]
struct Condition {
    namespace: Vec<String>,
    pod: Vec<String>,
    container: Vec<String>,
    starts_with: Vec<Vec<u8>>,
    contains: Vec<memchr::memmem::Finder<'static>>,
}

#[derive(Debug)]
enum Step {
    Pattern(Pattern, Vec<Hole>),
    Regex(Box<regex::bytes::Regex>, Vec<Hole>),
    Json,
    Logfmt,
    Drop,
}

/// Where a captured text goes; attributes' names are in the set's `names_text`.
#[derive(Debug)]
struct Hole {
    target: Target,
    /// Group of the regex; number of the hole of a pattern.
    group: usize,
    name: Span,
    hash: u32,
}

impl RuleSet {
    /// No rules: lines are still recognised as JSON and logfmt.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The rules that ship with Tailrace (`parsers/rules/*.yaml`).
    pub fn shipped() -> &'static [(&'static str, &'static str)] {
        &[
            ("nginx.yaml", include_str!("../rules/nginx.yaml")),
            ("redis.yaml", include_str!("../rules/redis.yaml")),
        ]
    }

    /// Loads rule files; a folder stands for its `*.yaml` and `*.yml` in the order of their names.
    ///
    /// # Errors
    ///
    /// Every problem of every file: unreadable, not YAML, unknown keys, bad expressions, two rules
    /// of one name, examples that come out differently.
    pub fn load(paths: &[PathBuf]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut texts = Vec::new();
        for path in paths {
            for file in files(path, &mut problems) {
                match read_file(&file) {
                    Ok(text) => texts.push((file, text)),
                    Err(what) => problems.push(of_file(&file, what)),
                }
            }
        }
        let texts: Vec<_> = texts
            .iter()
            .map(|(path, text)| (path.as_path(), text.as_str()))
            .collect();
        Self::build(&texts, problems)
    }

    /// As [`RuleSet::load`], from texts in memory. The paths only name them in problems.
    ///
    /// # Errors
    ///
    /// As [`RuleSet::load`].
    pub fn from_texts(texts: &[(&Path, &str)]) -> Result<Self, Vec<Problem>> {
        Self::build(texts, Vec::new())
    }

    fn build(texts: &[(&Path, &str)], mut problems: Vec<Problem>) -> Result<Self, Vec<Problem>> {
        let mut set = Self::default();
        let mut tests = Vec::new();
        for (path, text) in texts {
            read::file(path, text, &mut set, &mut tests, &mut problems);
        }
        // Examples of a set that is not whole would fail for reasons that are listed already.
        if problems.is_empty() {
            examples::check(&mut set, &tests, &mut problems);
        }
        if problems.is_empty() {
            Ok(set)
        } else {
            Err(problems)
        }
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Name of a rule, as in `tailrace.rule`. A rule of another set has no name: empty.
    pub fn name(&self, rule: RuleId) -> &str {
        self.rules.get(rule.index()).map_or("", |rule| &rule.name)
    }

    /// All names in the order the rules are tried.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// Names of attributes, which spans point into.
    pub(crate) fn names_text(&self) -> &[u8] {
        &self.names_text
    }

    fn hole(&mut self, target: Target, group: usize) -> Hole {
        let mut name = Span::EMPTY;
        let mut hash = 0;
        if let target::Place::Attribute(text) = &target.place {
            let start = self.names_text.len() as u32;
            self.names_text.extend_from_slice(text.as_bytes());
            name = Span {
                start,
                end: self.names_text.len() as u32,
                source: Source::Rules,
            };
            hash = key_hash(text.as_bytes());
        }
        Hole {
            target,
            group,
            name,
            hash,
        }
    }
}

/// The rule files that a path stands for.
fn files(path: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(of_file(path, format!("cannot list the folder: {error}")));
            return Vec::new();
        }
    };
    let is_rules = |file: &PathBuf| file.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut files: Vec<_> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(is_rules)
        .collect();
    files.sort();
    files
}

fn read_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|e| format!("cannot read the file: {e}"))?
        .len();
    if size > MAX_FILE {
        return Err(format!(
            "the file is larger than {} MiB",
            MAX_FILE / 1024 / 1024
        ));
    }
    std::fs::read_to_string(path).map_err(|e| format!("cannot read the file: {e}"))
}

fn of_file(path: &Path, what: String) -> Problem {
    Problem {
        file: path.to_owned(),
        line: 0,
        column: 0,
        what,
        hint: None,
    }
}

#[cfg(test)]
mod tests;
