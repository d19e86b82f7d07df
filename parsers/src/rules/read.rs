//! YAML trees to rules. Collects every problem instead of stopping at the first.

mod condition;
mod examples;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::condition::Condition;
use super::examples::Test;
use super::keys::{MAX_BYTES, MAX_TIME, RULE_KEYS};
use super::options::{self, Options};
use super::suggest::did_you_mean;
use super::target::{self, Target};
use super::used::Library;
use super::yaml::{self, Key, Node, Place, Value};
use super::{Block, Field, Placed, Route, Rule, RuleId, RuleSet};
use crate::Problem;
use crate::multiline::Multiline;
use crate::redact::Redaction;
use crate::steps::{Entry, Need, OptionDoc, Step, StepDoc, entries};

/// Reads rule files, and their examples into `tests`. After them come the rules that ship, when
/// they are wanted, but for those whose name one of the files has; their examples are not run, as
/// they are with each change of Tailrace itself. With `allowed` no other tables and databases are
/// read.
pub(super) fn files(
    texts: &[(&Path, &str)],
    has_shipped: bool,
    allowed: Option<&BTreeSet<PathBuf>>,
    tests: &mut Vec<Test>,
    problems: &mut Vec<Problem>,
) -> RuleSet {
    let own = |(path, text): &(&Path, &str)| (path.to_path_buf(), (*text).to_owned());
    let mut set = RuleSet {
        texts: texts.iter().map(own).collect(),
        has_shipped,
        ..RuleSet::default()
    };
    let mut trees = Vec::new();
    for (path, text) in texts {
        match yaml::documents(text) {
            Ok(documents) => trees.push((*path, documents)),
            Err((place, what)) => {
                let (file, hint) = (path.to_path_buf(), None);
                problems.push(Problem {
                    file,
                    line: place.line,
                    column: place.column,
                    what,
                    hint,
                });
            }
        }
    }
    let mut library = Library::default();
    for (path, documents) in &trees {
        library.add(path, documents);
    }
    for (path, documents) in &trees {
        let mut reader = Reader::new(path, problems, &mut set, allowed, &library);
        for node in documents.iter().filter(|node| !node.is_null()) {
            reader.rule(node, tests);
        }
    }
    if has_shipped {
        for (file, text) in RuleSet::shipped() {
            let path = Path::new(file);
            let mut reader = Reader::new(path, problems, &mut set, allowed, &library);
            for node in yaml::documents(text).unwrap_or_default() {
                let name = node.member("name").and_then(Node::text);
                if name.is_some_and(|name| reader.set.find(name).is_none()) {
                    reader.rule(&node, &mut Vec::new());
                }
            }
        }
    }
    set
}

/// Reads the rules of a file, and what steps need of it.
pub(crate) struct Reader<'a> {
    path: PathBuf,
    problems: &'a mut Vec<Problem>,
    set: &'a mut RuleSet,
    /// The only tables and databases that may be read, where not all may.
    allowed: Option<&'a BTreeSet<PathBuf>>,
    /// What the steps of the rule at hand fill so far, to find what is filled twice.
    targets: Vec<Target>,
    library: &'a Library,
    /// Rules whose steps are being read through `use`, the innermost last.
    using: Vec<String>,
    /// What the rule at hand says of lines.
    multiline: Option<Multiline>,
    /// Some step of the rule at hand needs back-tracking.
    is_slow: bool,
}

impl<'a> Reader<'a> {
    fn new(
        path: &Path,
        problems: &'a mut Vec<Problem>,
        set: &'a mut RuleSet,
        allowed: Option<&'a BTreeSet<PathBuf>>,
        library: &'a Library,
    ) -> Self {
        Self {
            path: path.to_path_buf(),
            problems,
            set,
            allowed,
            targets: Vec::new(),
            library,
            using: Vec::new(),
            multiline: None,
            is_slow: false,
        }
    }
}

impl Reader<'_> {
    /// Reports a problem.
    pub(crate) fn report(&mut self, place: Place, what: impl Into<String>, hint: Option<String>) {
        let (file, what) = (self.path.clone(), what.into());
        self.problems.push(Problem {
            file,
            line: place.line,
            column: place.column,
            what,
            hint,
        });
    }

    /// Notes a step that works but may be slow.
    fn warn(&mut self, place: Place, reason: &str) {
        self.set.warnings.push(Problem {
            file: self.path.clone(),
            line: place.line,
            column: place.column,
            what: format!("this needs back-tracking, for {reason}"),
            hint: Some(
                "it runs with a limit of steps; a line that takes more is not matched".to_owned(),
            ),
        });
    }

    /// The table or database that a rule names `file`; relative paths count from the folder of
    /// the rule file. `None` when it must not be read: the step then does without.
    pub(crate) fn file(&mut self, file: &str) -> Option<PathBuf> {
        let path = self.path.parent().unwrap_or(Path::new("")).join(file);
        if self.allowed.is_some_and(|allowed| !allowed.contains(&path)) {
            return None;
        }
        self.set.files.insert(path.clone());
        Some(path)
    }

    /// A field that a step fills or reads, `name` or `name:type`. `None` when it was reported.
    pub(crate) fn field(&mut self, text: &str, place: Place) -> Option<Field> {
        self.ready(target::parse(text), place)
    }

    /// As [`Reader::field`], for a field that a step only reads: the stream's metadata is among
    /// them.
    pub(crate) fn source(&mut self, text: &str, place: Place) -> Option<Field> {
        self.ready(target::parse_source(text), place)
    }

    /// Makes a target ready, or reports what is wrong with it and how to mend it.
    fn ready(
        &mut self,
        target: Result<Target, (String, Option<String>)>,
        place: Place,
    ) -> Option<Field> {
        match target {
            Ok(target) => Some(self.set.field(target)),
            Err((what, hint)) => {
                self.report(place, what, hint);
                None
            }
        }
    }

    /// Like [`Reader::field`], for the field of a pattern's hole: reports when the rule fills it
    /// already.
    pub(crate) fn capture(&mut self, text: &str, place: Place) -> Option<Field> {
        let field = self.field(text, place)?;
        if let Some(what) = self
            .targets
            .iter()
            .find_map(|target| target::collision(target, &field.target))
        {
            self.report(place, what, None);
        }
        self.targets.push(field.target.clone());
        Some(field)
    }

    /// Adds what a `redact` step does; gives its number.
    pub(crate) fn add_redaction(&mut self, redaction: Redaction) -> u32 {
        self.set.redactions.push(redaction);
        self.set.redactions.len() as u32 - 1
    }

    /// Says which lines of the rule's streams make an event.
    pub(crate) fn set_multiline(&mut self, multiline: Multiline) {
        self.multiline = Some(multiline);
    }

    /// Adds a destination; gives its number.
    pub(crate) fn add_route(&mut self, route: Route) -> u32 {
        let routes = &mut self.set.routes;
        let index = routes.iter().position(|known| *known == route);
        index.unwrap_or_else(|| {
            routes.push(route);
            routes.len() - 1
        }) as u32
    }

    /// A secret: a text in which `${NAME}` stands for a variable of the environment. `None` when
    /// a variable is not set, which is reported.
    pub(crate) fn secret(&mut self, text: &str, place: Place) -> Option<String> {
        let mut secret = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else {
                break;
            };
            secret.push_str(before);
            match std::env::var(name) {
                Ok(value) => secret.push_str(&value),
                Err(_) => {
                    self.report(place, format!("the variable `{name}` is not set"), None);
                    return None;
                }
            }
            rest = behind;
        }
        secret.push_str(rest);
        Some(secret)
    }

    /// Steps that a step holds.
    pub(crate) fn block(&mut self, node: &Node) -> Block {
        let n_targets = self.targets.len();
        let block = self.steps(node);
        self.targets.truncate(n_targets);
        block
    }

    /// The steps of another rule. `None` when there is none of this name.
    pub(crate) fn steps_of(&mut self, name: &str, place: Place) -> Option<Block> {
        if self.using.iter().any(|used| used == name) || self.using.len() > 8 {
            self.report(place, format!("`{name}` uses itself"), None);
            return Some(Block::default());
        }
        let (path, node) = self.library.find(name)?;
        let outer = std::mem::replace(&mut self.path, path);
        self.using.push(name.to_owned());
        let block = self.steps(&node);
        self.using.pop();
        self.path = outer;
        Some(block)
    }

    /// As [`Reader::steps_of`], for one of several rules of which only one fills fields.
    pub(crate) fn alternative_of(&mut self, name: &str, place: Place) -> Option<Block> {
        let n_targets = self.targets.len();
        let block = self.steps_of(name, place);
        self.targets.truncate(n_targets);
        block
    }

    pub(super) fn unknown_option(&mut self, key: &Key, doc: &StepDoc) {
        if doc.options.is_empty() {
            let hint = format!("write `{}: {{}}`", doc.name);
            self.report(
                key.place,
                format!("`{}` has no options", doc.name),
                Some(hint),
            );
            return;
        }
        let known: Vec<&str> = doc.options.iter().map(|option| option.name).collect();
        self.unknown(key, &known);
    }

    fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        match &node.value {
            Value::Map(members) => Some(members),
            _ => {
                let what = format!("{what} must be a map, not {}", node.kind());
                self.report(node.place, what, None);
                None
            }
        }
    }

    fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            _ => {
                let what = format!("{what} must be a list, not {}", node.kind());
                self.report(node.place, what, None);
                &[]
            }
        }
    }

    fn unknown(&mut self, key: &Key, known: &[&str]) {
        let all = || Some(format!("known here: {}", known.join(", ")));
        let hint = did_you_mean(&key.text, known).or_else(all);
        self.report(key.place, format!("unknown key `{}`", key.text), hint);
    }

    /// Members of a map whose keys are known, checked for their kinds.
    fn members<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &'static [OptionDoc],
    ) -> Vec<(&'static str, &'n Key, &'n Node)> {
        let mut members = Vec::new();
        for (key, value) in self.map(node, what).unwrap_or_default() {
            match keys.iter().find(|doc| doc.name == key.text) {
                Some(doc) => {
                    if options::check(self, doc.kind, &format!("`{}`", doc.name), value) {
                        members.push((doc.name, key, value));
                    }
                }
                None => {
                    let known: Vec<&str> = keys.iter().map(|doc| doc.name).collect();
                    self.unknown(key, &known);
                }
            }
        }
        members
    }

    fn rule(&mut self, node: &Node, tests: &mut Vec<Test>) {
        let n_problems = self.problems.len();
        if !matches!(node.value, Value::Map(_)) {
            self.map(node, "a rule");
            return;
        }
        self.targets.clear();
        self.multiline = None;
        self.is_slow = false;
        let mut name = None;
        let mut condition = Condition::default();
        let mut steps = None;
        let mut examples = Vec::new();
        let mut goes_on = false;
        let mut max_bytes = size(MAX_BYTES);
        let mut max_time = duration(MAX_TIME);
        for (key, _, value) in self.members(node, "a rule", RULE_KEYS) {
            match key {
                "name" => name = self.name(value),
                "match" => condition = self.condition(value, "`match`"),
                "steps" => steps = Some(self.steps(value)),
                "continue" => goes_on = value.text() == Some("true"),
                "max_bytes" => max_bytes = size(value.text().unwrap_or_default()),
                "max_time" => max_time = duration(value.text().unwrap_or_default()),
                "examples" => examples = self.examples(value),
                _ => {}
            }
        }
        for doc in RULE_KEYS.iter().filter(|doc| doc.need == Need::Required) {
            let is_there = match &node.value {
                Value::Map(members) => members.iter().any(|(key, _)| key.text == doc.name),
                _ => true,
            };
            if !is_there {
                self.report(node.place, format!("a rule needs `{}`", doc.name), None);
            }
        }
        let (Some(name), Some(steps)) = (name, steps) else {
            return;
        };
        if self.problems.len() > n_problems {
            return;
        }
        let rule = RuleId(self.set.rules.len() as u32);
        for (place, example) in examples {
            let path = self.path.clone();
            tests.push(Test {
                path,
                place,
                rule,
                example,
            });
        }
        let multiline = self.multiline.take();
        self.set.has_multiline |= multiline.is_some();
        let is_multiline = |id: &u32| {
            let placed = self.set.steps.get(*id as usize);
            placed.is_some_and(|placed| placed.doc.name == "multiline")
        };
        let is_for_framing = steps.0.iter().all(is_multiline);
        let is_slow = std::mem::take(&mut self.is_slow);
        self.set.rules.push(Rule {
            name,
            condition,
            steps,
            goes_on,
            is_slow,
            max_bytes,
            max_time,
            multiline,
            is_for_framing,
        });
    }

    fn name(&mut self, node: &Node) -> Option<String> {
        let name = node.text()?;
        let is_fine = !name.is_empty()
            && name.len() <= 128
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b));
        if !is_fine {
            let hint = "letters, digits, `_`, `-`, `.`, `/`; at most 128".to_owned();
            self.report(
                node.place,
                format!("`{name}` is no name for a rule"),
                Some(hint),
            );
            return None;
        }
        if self.set.rules.iter().any(|rule| rule.name == name) {
            self.report(
                node.place,
                format!("there is a rule `{name}` already"),
                None,
            );
            return None;
        }
        Some(name.to_owned())
    }

    fn steps(&mut self, node: &Node) -> Block {
        let mut block = Block::default();
        let items = self.list(node, "`steps`");
        if items.is_empty() && matches!(node.value, Value::List(_)) {
            self.report(node.place, "a rule needs at least one step", None);
        }
        let mut is_dropped = false;
        for item in items {
            let (key, value) = match &item.value {
                // `- json` is `- json: {}`.
                Value::Scalar(text, _) => {
                    let (place, text) = (item.place, text.clone());
                    (Key { place, text }, None)
                }
                _ => {
                    let Some(members) = self.map(item, "a step") else {
                        continue;
                    };
                    let [(key, value)] = members else {
                        let hint = "each step begins with its own `- `".to_owned();
                        self.report(item.place, "a step has exactly one key", Some(hint));
                        continue;
                    };
                    (key.clone(), Some(value))
                }
            };
            if is_dropped {
                self.report(key.place, "nothing can follow `drop`", None);
            }
            is_dropped = key.text == "drop";
            let Some(entry) = entries().find(|entry| entry.doc.name == key.text) else {
                let known: Vec<&str> = entries().map(|entry| entry.doc.name).collect();
                if self.library.find(&key.text).is_some() {
                    let hint = format!("a rule of this name exists: write `use: {}`", key.text);
                    self.report(
                        key.place,
                        format!("unknown step `{}`", key.text),
                        Some(hint),
                    );
                } else {
                    self.unknown(&key, &known);
                }
                continue;
            };
            let nothing = Node {
                place: key.place,
                value: Value::Map(Vec::new()),
            };
            if let Some(step) = self.step(entry, value.unwrap_or(&nothing)) {
                if let Some(reason) = step.needs_back_tracking() {
                    self.is_slow = true;
                    self.warn(key.place, reason);
                }
                self.set.steps.push(Placed {
                    step,
                    doc: &entry.doc,
                    line: key.place.line,
                    column: key.place.column,
                });
                block.0.push(self.set.steps.len() as u32 - 1);
            }
        }
        block
    }

    fn step(&mut self, entry: &'static Entry, node: &Node) -> Option<Box<dyn Step>> {
        let options = Options::read(self, node, &entry.doc)?;
        (entry.read)(self, &options)
    }
}

fn duration(text: &str) -> Duration {
    let ns = crate::quantity::duration_ns(text.as_bytes()).unwrap_or_default();
    Duration::from_nanos(ns.unsigned_abs())
}

fn size(text: &str) -> usize {
    let bytes = crate::quantity::size_bytes(text.as_bytes()).unwrap_or_default();
    usize::try_from(bytes).unwrap_or_default()
}
