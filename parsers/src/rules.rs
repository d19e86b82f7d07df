//! A set of rules, loaded from YAML files.

pub(crate) mod run;

use std::path::PathBuf;

use crate::Problem;

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
    names: Vec<String>,
}

impl RuleSet {
    /// No rules: lines are still recognised as JSON and logfmt.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Loads rule files; a folder stands for its `*.yaml` and `*.yml` in the order of their names.
    ///
    /// # Errors
    ///
    /// Every problem of every file: unreadable, not YAML, unknown keys, bad expressions, two rules
    /// of one name, examples that come out differently.
    pub fn load(_paths: &[PathBuf]) -> Result<Self, Vec<Problem>> {
        Ok(Self::default())
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Name of a rule, as in `tailrace.rule`. A rule of another set has no name: empty.
    pub fn name(&self, rule: RuleId) -> &str {
        self.names.get(rule.index()).map_or("", String::as_str)
    }

    /// Names of fields, which spans point into.
    pub(crate) fn names_text(&self) -> &[u8] {
        &[]
    }

    /// All names in the order the rules are tried.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}
