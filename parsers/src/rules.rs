//! A set of rules, loaded from YAML files. `docs/rules/` is the reference for authors.

mod condition;
mod examples;
mod explain;
mod files;
mod keys;
mod library;
mod options;
mod read;
pub(crate) mod run;
mod suggest;
mod target;
mod used;
pub(crate) mod yaml;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::ecs::key_hash;
use crate::multiline::Multiline;
use crate::redact::Redaction;
use crate::span::{Source, Span};
use crate::steps::{Step, StepDoc};
use crate::{Problem, StreamContext};
use condition::Condition;
pub use examples::{ExampleReport, Fate, Mismatch};
pub(crate) use explain::Trace;
pub use explain::{Explanation, Tried, Verdict};
pub use keys::{EXAMPLE_KEYS, MATCH_KEYS, RULE_KEYS};
pub(crate) use options::Options;
#[cfg(test)]
pub(crate) use options::fits_kind;
pub(crate) use read::Reader;
pub use run::{RuleCounts, Unmatched};
pub(crate) use suggest::did_you_mean;
pub(crate) use target::{Place, Target, Type, parse as parse_target};
pub(crate) use yaml::Place as FilePlace;

/// A rule of a [`RuleSet`]: its place in the order of trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub(crate) u32);

impl RuleId {
    /// No rule: a pod's annotation asks for it.
    pub(crate) const ANNOTATION: Self = Self(u32::MAX);

    /// The place, from 0: for tables of counters a rule.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Compiled rules, in the order they are tried.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    /// All steps of all rules, in the order they were read; blocks hold their numbers.
    pub(crate) steps: Vec<Placed>,
    /// Names of attributes, which spans with [`Source::Rules`] point into.
    names_text: Vec<u8>,
    /// What `redact` steps do, by their numbers.
    pub(crate) redactions: Vec<Redaction>,
    /// What is done to every record.
    pub(crate) redaction: Option<Arc<Redaction>>,
    routes: Vec<Route>,
    /// Some rule says which lines make an event.
    has_multiline: bool,
    has_shipped: bool,
    /// The files that the set was made of, but for those that ship.
    texts: Vec<(PathBuf, String)>,
    /// Tables and databases that steps have read.
    files: BTreeSet<PathBuf>,
    warnings: Vec<Problem>,
}

/// A destination that rules name: its place in [`RuleSet::routes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub(crate) u32);

impl RouteId {
    /// The place, from 0: for tables of destinations.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a rule sends a document. What is `None`, or empty, stays as the output says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// `data_stream.dataset`.
    pub dataset: Option<String>,
    /// `data_stream.namespace`.
    pub namespace: Option<String>,
    /// Names of the outputs that get it; all when empty.
    pub outputs: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    condition: Condition,
    steps: Block,
    /// Later rules are tried as well when this one matched.
    goes_on: bool,
    /// Some step needs back-tracking: the clock is looked at.
    is_slow: bool,
    /// Longer texts are not given to the rule.
    max_bytes: usize,
    /// Records that take longer are given up.
    max_time: Duration,
    multiline: Option<Multiline>,
    /// It is for framing alone: no record is tried on it.
    is_for_framing: bool,
}

/// A list of steps: numbers of [`RuleSet::steps`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block(pub(crate) Vec<u32>);

/// A step, and where it stands in its file.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) step: Box<dyn Step>,
    pub(crate) doc: &'static StepDoc,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A field as a rule names it, ready to be filled: its name is in the set's `names_text`.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) target: Target,
    pub(crate) name: Span,
    pub(crate) hash: u32,
}

impl RuleSet {
    /// No rules: lines are still recognised as JSON and logfmt.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The rules that ship with Tailrace (`parsers/rules/*.yaml`).
    pub fn shipped() -> &'static [(&'static str, &'static str)] {
        library::SHIPPED
    }

    /// Loads rule files; a folder stands for its `*.yaml` and `*.yml` in the order of their names.
    ///
    /// # Errors
    ///
    /// Every problem of every file: unreadable, not YAML, unknown keys, bad expressions, two rules
    /// of one name, examples that come out differently.
    pub fn load(paths: &[PathBuf]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let texts = files::read(paths, &mut problems);
        Self::build(&files::lent(&texts), false, None, problems)
    }

    /// As [`RuleSet::load`], and after these rules those that ship, but for those whose name one of
    /// the files has.
    ///
    /// # Errors
    ///
    /// As [`RuleSet::load`].
    pub fn load_with_shipped(paths: &[PathBuf]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let texts = files::read(paths, &mut problems);
        Self::build(&files::lent(&texts), true, None, problems)
    }

    /// As [`RuleSet::load`], from texts in memory. The paths only name them in problems.
    ///
    /// # Errors
    ///
    /// As [`RuleSet::load`].
    pub fn from_texts(texts: &[(&Path, &str)]) -> Result<Self, Vec<Problem>> {
        Self::build(texts, false, None, Vec::new())
    }

    /// As [`RuleSet::from_texts`], from somebody who may not read this machine's files: of tables and
    /// databases only `files` are read, others are empty.
    ///
    /// # Errors
    ///
    /// As [`RuleSet::load`].
    pub fn from_texts_within(
        texts: &[(&Path, &str)],
        files: &BTreeSet<PathBuf>,
    ) -> Result<Self, Vec<Problem>> {
        Self::build(texts, false, Some(files), Vec::new())
    }

    /// A set as it was elsewhere, or before: from the [`texts`](Self::texts) of that one, which are
    /// not believed more than any input. Of tables and databases only `files` are read, others
    /// are empty here; examples are not run.
    ///
    /// # Errors
    ///
    /// Every other problem, as [`RuleSet::load`].
    pub fn restored(
        texts: &[(&Path, &str)],
        has_shipped: bool,
        files: &BTreeSet<PathBuf>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let set = read::files(
            texts,
            has_shipped,
            Some(files),
            &mut Vec::new(),
            &mut problems,
        );
        if problems.is_empty() {
            Ok(set)
        } else {
            Err(problems)
        }
    }

    /// The files that the set was made of, in their order, but for those that ship with Tailrace.
    pub fn texts(&self) -> &[(PathBuf, String)] {
        &self.texts
    }

    /// Whether the rules that ship come after them.
    pub fn has_shipped(&self) -> bool {
        self.has_shipped
    }

    /// Tables and databases that its steps have read.
    pub fn files(&self) -> &BTreeSet<PathBuf> {
        &self.files
    }

    /// As [`RuleSet::load`], and tells what each example gave, in the order of the files. A failed
    /// example is told there and is no error here.
    ///
    /// # Errors
    ///
    /// Every other problem of every file.
    pub fn load_with_examples(
        paths: &[PathBuf],
    ) -> Result<(Self, Vec<ExampleReport>), Vec<Problem>> {
        let mut problems = Vec::new();
        let texts = files::read(paths, &mut problems);
        Self::run_examples(&files::lent(&texts), false, None, problems)
    }

    /// As [`RuleSet::load_with_examples`], from texts in memory.
    ///
    /// # Errors
    ///
    /// As [`RuleSet::load_with_examples`].
    pub fn from_texts_with_examples(
        texts: &[(&Path, &str)],
    ) -> Result<(Self, Vec<ExampleReport>), Vec<Problem>> {
        Self::run_examples(texts, false, None, Vec::new())
    }

    fn run_examples(
        texts: &[(&Path, &str)],
        has_shipped: bool,
        allowed: Option<&BTreeSet<PathBuf>>,
        mut problems: Vec<Problem>,
    ) -> Result<(Self, Vec<ExampleReport>), Vec<Problem>> {
        let mut tests = Vec::new();
        let set = read::files(texts, has_shipped, allowed, &mut tests, &mut problems);
        // Examples of a set that is not whole would fail for reasons that are listed already.
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(examples::run(set, tests))
    }

    fn build(
        texts: &[(&Path, &str)],
        has_shipped: bool,
        allowed: Option<&BTreeSet<PathBuf>>,
        problems: Vec<Problem>,
    ) -> Result<Self, Vec<Problem>> {
        let (set, reports) = Self::run_examples(texts, has_shipped, allowed, problems)?;
        let problems: Vec<Problem> = reports.iter().flat_map(ExampleReport::problems).collect();
        if problems.is_empty() {
            Ok(set)
        } else {
            Err(problems)
        }
    }

    /// Replaces in every record what `other` replaces.
    #[must_use]
    pub fn with_redaction_of(mut self, other: &Self) -> Self {
        self.redaction.clone_from(&other.redaction);
        self
    }

    /// What is done to every record, if anything is.
    pub fn redaction(&self) -> Option<&Arc<Redaction>> {
        self.redaction.as_ref()
    }

    /// What works but may be slow: steps that need back-tracking.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
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
        match rule {
            RuleId::ANNOTATION => "annotation tailrace.io/sample",
            _ => self.rules.get(rule.index()).map_or("", |rule| &rule.name),
        }
    }

    /// The rule of a name.
    pub fn find(&self, name: &str) -> Option<RuleId> {
        let index = self.rules.iter().position(|rule| rule.name == name)?;
        Some(RuleId(index as u32))
    }

    /// All names in the order the rules are tried.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// Redacts every record from now on, whatever its rule.
    #[must_use]
    pub fn with_redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = Some(Arc::new(redaction));
        self
    }

    /// Which lines of a stream make an event: what the first rule for it says that says anything.
    pub fn multiline<'r>(&'r self, stream: &'r StreamContext) -> Option<&'r Multiline> {
        if let Some(multiline) = &stream.annotations.multiline {
            return Some(multiline);
        }
        if !self.has_multiline {
            return None;
        }
        self.rules
            .iter()
            .filter(|rule| rule.multiline.is_some())
            .find(|rule| rule.condition.stream_differs(stream).is_none())?
            .multiline
            .as_ref()
    }

    /// Which lines make an event, as a rule says; `None` when it does not.
    pub fn multiline_of(&self, rule: RuleId) -> Option<&Multiline> {
        self.rules.get(rule.index())?.multiline.as_ref()
    }

    /// The first `multiline` of a rule.
    pub(crate) fn into_multiline(self) -> Option<Multiline> {
        self.rules.into_iter().find_map(|rule| rule.multiline)
    }

    /// All rules in the order they are tried.
    pub fn ids(&self) -> impl Iterator<Item = RuleId> {
        (0..self.rules.len() as u32).map(RuleId)
    }

    /// A destination; one of another set is empty.
    pub fn route(&self, route: RouteId) -> Option<&Route> {
        self.routes.get(route.index())
    }

    /// All destinations that rules name.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Names of attributes, which spans point into.
    pub(crate) fn names_text(&self) -> &[u8] {
        &self.names_text
    }

    /// Makes a target ready to be filled.
    fn field(&mut self, target: Target) -> Field {
        let mut name = Span::EMPTY;
        let mut hash = 0;
        if let Place::Attribute(text) = &target.place {
            let start = self.names_text.len() as u32;
            self.names_text.extend_from_slice(text.as_bytes());
            name = Span {
                start,
                end: self.names_text.len() as u32,
                source: Source::Rules,
            };
            hash = key_hash(text.as_bytes());
        }
        Field { target, name, hash }
    }
}

#[cfg(test)]
mod tests;
