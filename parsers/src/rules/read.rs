//! YAML trees to rules. Collects every problem instead of stopping at the first.

use std::path::Path;

use memchr::memmem::Finder;
use regex::bytes::RegexBuilder;

use super::examples::{Expected, Test};
use super::pattern::Pattern;
use super::target::{self, Target};
use super::yaml::{self, Key, Node, Place, Value};
use super::{Condition, Rule, RuleId, RuleSet, Step};
use crate::Problem;

/// Memory that a compiled regex may take.
const MAX_REGEX: usize = 2 * 1024 * 1024;

/// Reads the rules of a file into `set`, and their examples into `tests`.
pub(super) fn file(
    path: &Path,
    text: &str,
    set: &mut RuleSet,
    tests: &mut Vec<Test>,
    problems: &mut Vec<Problem>,
) {
    let mut reader = Reader { path, problems };
    match yaml::documents(text) {
        Err((place, what)) => reader.report(place, what, None),
        Ok(documents) => {
            for node in documents.iter().filter(|node| !node.is_null()) {
                reader.rule(node, set, tests);
            }
        }
    }
}

/// The nearest of `known` when it is near enough to be a slip of the finger.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    let nearest = known.iter().min_by_key(|k| distance(word, k))?;
    (distance(word, nearest) <= 2).then(|| format!("did you mean `{nearest}`?"))
}

/// Changes of a letter that make one word the other; neighbours that changed places count one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

struct Reader<'a> {
    path: &'a Path,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn report(&mut self, place: Place, what: impl Into<String>, hint: Option<String>) {
        let (file, what) = (self.path.to_owned(), what.into());
        self.problems.push(Problem {
            file,
            line: place.line,
            column: place.column,
            what,
            hint,
        });
    }

    fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        match &node.value {
            Value::Map(members) => Some(members),
            _ => {
                self.report(
                    node.place,
                    format!("{what} must be a map, not {}", node.kind()),
                    None,
                );
                None
            }
        }
    }

    fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(text, _) => Some(text),
            _ => {
                self.report(
                    node.place,
                    format!("{what} must be a text, not {}", node.kind()),
                    None,
                );
                None
            }
        }
    }

    /// One text, or a list of them.
    fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<&'n str> {
        match &node.value {
            Value::List(items) => items
                .iter()
                .filter_map(|item| self.text(item, what))
                .collect(),
            _ => self.text(node, what).into_iter().collect(),
        }
    }

    fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            _ => {
                self.report(
                    node.place,
                    format!("{what} must be a list, not {}", node.kind()),
                    None,
                );
                &[]
            }
        }
    }

    fn unknown(&mut self, key: &Key, known: &[&str]) {
        let all = || Some(format!("known here: {}", known.join(", ")));
        let hint = did_you_mean(&key.text, known).or_else(all);
        self.report(key.place, format!("unknown key `{}`", key.text), hint);
    }

    fn rule(&mut self, node: &Node, set: &mut RuleSet, tests: &mut Vec<Test>) {
        const KEYS: &[&str] = &["name", "match", "steps", "examples"];
        let n_problems = self.problems.len();
        let Some(members) = self.map(node, "a rule") else {
            return;
        };
        let mut name = None;
        let mut condition = Condition::default();
        let mut steps = None;
        let mut examples = Vec::new();
        for (key, value) in members {
            match key.text.as_str() {
                "name" => name = self.name(value, set),
                "match" => condition = self.condition(value),
                "steps" => steps = Some(self.steps(value, set)),
                "examples" => examples = self.examples(value),
                _ => self.unknown(key, KEYS),
            }
        }
        for (what, is_missing) in [
            ("name", !members.iter().any(|(key, _)| key.text == "name")),
            ("steps", steps.is_none()),
        ] {
            if is_missing {
                self.report(node.place, format!("a rule needs `{what}`"), None);
            }
        }
        let (Some(name), Some(steps)) = (name, steps) else {
            return;
        };
        if self.problems.len() > n_problems {
            return;
        }
        let rule = RuleId(set.rules.len() as u32);
        let path = self.path.to_owned();
        tests.extend(examples.into_iter().map(|(place, line, expected)| Test {
            path: path.clone(),
            place,
            rule,
            line,
            expected,
        }));
        set.rules.push(Rule {
            name,
            condition,
            steps,
        });
    }

    fn name(&mut self, node: &Node, set: &RuleSet) -> Option<String> {
        let name = self.text(node, "`name`")?;
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
        if set.rules.iter().any(|rule| rule.name == name) {
            self.report(
                node.place,
                format!("there is a rule `{name}` already"),
                None,
            );
            return None;
        }
        Some(name.to_owned())
    }

    fn condition(&mut self, node: &Node) -> Condition {
        const KEYS: &[&str] = &["namespace", "pod", "container", "starts_with", "contains"];
        let mut condition = Condition::default();
        for (key, value) in self.map(node, "`match`").unwrap_or_default() {
            let texts = |this: &mut Self| -> Vec<&str> {
                let texts = this.texts(value, &format!("`{}`", key.text));
                if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
                    this.report(value.place, format!("`{}` is empty", key.text), None);
                }
                texts
            };
            let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
            match key.text.as_str() {
                "namespace" => condition.namespace = owned(texts(self)),
                "pod" => condition.pod = owned(texts(self)),
                "container" => condition.container = owned(texts(self)),
                "starts_with" => {
                    condition.starts_with = texts(self)
                        .into_iter()
                        .map(|t| t.as_bytes().to_vec())
                        .collect();
                }
                "contains" => {
                    condition.contains = texts(self)
                        .into_iter()
                        .map(|t| Finder::new(t).into_owned())
                        .collect();
                }
                _ => self.unknown(key, KEYS),
            }
        }
        condition
    }

    fn steps(&mut self, node: &Node, set: &mut RuleSet) -> Vec<Step> {
        const KEYS: &[&str] = &["pattern", "regex", "json", "logfmt", "drop"];
        let mut steps = Vec::new();
        let mut targets: Vec<Target> = Vec::new();
        let items = self.list(node, "`steps`");
        if items.is_empty() {
            self.report(node.place, "a rule needs at least one step", None);
        }
        for item in items {
            let Some(members) = self.map(item, "a step") else {
                continue;
            };
            let [(key, value)] = members else {
                let hint = "each step begins with its own `- `".to_owned();
                self.report(item.place, "a step has exactly one key", Some(hint));
                continue;
            };
            if let Some(Step::Drop) = steps.last() {
                self.report(key.place, "nothing can follow `drop`", None);
            }
            let step = match key.text.as_str() {
                "pattern" => self.pattern(value, set),
                "regex" => self.regex(value, set),
                "json" => self.no_options(value, "json").then_some(Step::Json),
                "logfmt" => self.no_options(value, "logfmt").then_some(Step::Logfmt),
                "drop" => self.drop_step(value),
                _ => {
                    self.unknown(key, KEYS);
                    None
                }
            };
            if let Some(Step::Pattern(_, holes) | Step::Regex(_, holes)) = &step {
                for hole in holes {
                    if let Some(what) = targets
                        .iter()
                        .find_map(|t| target::collision(t, &hole.target))
                    {
                        self.report(value.place, what, None);
                    }
                    targets.push(hole.target.clone());
                }
            }
            steps.extend(step);
        }
        steps
    }

    fn no_options(&mut self, node: &Node, step: &str) -> bool {
        match &node.value {
            _ if node.is_null() => true,
            Value::Map(members) if members.is_empty() => true,
            Value::Map(members) => {
                self.report(
                    members[0].0.place,
                    format!("`{step}` has no options yet"),
                    Some(format!("write `{step}: {{}}`")),
                );
                false
            }
            _ => {
                self.report(
                    node.place,
                    format!("`{step}` takes a map"),
                    Some(format!("write `{step}: {{}}`")),
                );
                false
            }
        }
    }

    fn drop_step(&mut self, node: &Node) -> Option<Step> {
        if self.text(node, "`drop`")? == "true" {
            return Some(Step::Drop);
        }
        self.report(
            node.place,
            "`drop` can only be `true`",
            Some("leave the step out to keep the record".to_owned()),
        );
        None
    }

    fn pattern(&mut self, node: &Node, set: &mut RuleSet) -> Option<Step> {
        let text = self.text(node, "`pattern`")?;
        match Pattern::compile(text) {
            Ok(pattern) => {
                let targets: Vec<Target> = pattern.targets().cloned().collect();
                let holes = targets
                    .into_iter()
                    .enumerate()
                    .map(|(i, t)| set.hole(t, i))
                    .collect();
                Some(Step::Pattern(pattern, holes))
            }
            Err(wrong) => {
                let what = format!(
                    "{}, at character {} of the pattern",
                    wrong.what,
                    wrong.at + 1
                );
                self.report(node.place, what, wrong.hint);
                None
            }
        }
    }

    fn regex(&mut self, node: &Node, set: &mut RuleSet) -> Option<Step> {
        let mut expression = None;
        let mut renamed: Vec<(&Key, &str)> = Vec::new();
        match &node.value {
            Value::Map(members) => {
                for (key, value) in members {
                    match key.text.as_str() {
                        "expr" => {
                            expression = self.text(value, "`expr`").map(|text| (value.place, text))
                        }
                        "fields" => {
                            for (group, target) in self.map(value, "`fields`")? {
                                renamed.push((group, self.text(target, "a field")?));
                            }
                        }
                        _ => self.unknown(key, &["expr", "fields"]),
                    }
                }
            }
            _ => expression = self.text(node, "`regex`").map(|text| (node.place, text)),
        }
        let Some((place, expression)) = expression else {
            if matches!(node.value, Value::Map(_)) {
                self.report(node.place, "`regex` needs `expr`", None);
            }
            return None;
        };
        let regex = match RegexBuilder::new(expression).size_limit(MAX_REGEX).build() {
            Ok(regex) => regex,
            Err(error) => {
                // The last line says what is wrong, those before draw it.
                let text = error.to_string();
                let what = text
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ");
                self.report(place, format!("bad expression: {what}"), None);
                return None;
            }
        };
        for (key, _) in &renamed {
            if !regex.capture_names().flatten().any(|name| name == key.text) {
                let names: Vec<&str> = regex.capture_names().flatten().collect();
                let hint = did_you_mean(&key.text, &names);
                self.report(
                    key.place,
                    format!("the expression has no group `{}`", key.text),
                    hint,
                );
            }
        }
        let mut holes = Vec::new();
        for (group, name) in regex.capture_names().enumerate() {
            let Some(name) = name else { continue };
            let (at, text) = match renamed.iter().find(|(key, _)| key.text == name) {
                Some((key, text)) => (key.place, *text),
                None => (place, name),
            };
            match target::parse(text) {
                Ok(target) => holes.push(set.hole(target, group)),
                Err((what, hint)) => self.report(at, what, hint),
            }
        }
        if holes.is_empty() {
            let hint = "write `(?P<name>…)`; use `match: contains` to look for text".to_owned();
            self.report(place, "an expression without named groups", Some(hint));
        }
        Some(Step::Regex(Box::new(regex), holes))
    }

    fn examples(&mut self, node: &Node) -> Vec<(Place, String, Expected)> {
        const KEYS: &[&str] = &["line", "fields", "no_match", "dropped"];
        let mut examples = Vec::new();
        for item in self.list(node, "`examples`") {
            let mut line = None;
            let mut expected = None;
            for (key, value) in self.map(item, "an example").unwrap_or_default() {
                let found = match key.text.as_str() {
                    "line" => {
                        line = self.text(value, "`line`").map(str::to_owned);
                        continue;
                    }
                    "fields" => self.expected_fields(value),
                    "no_match" if self.text(value, "`no_match`") == Some("true") => {
                        Expected::NoMatch
                    }
                    "dropped" if self.text(value, "`dropped`") == Some("true") => Expected::Dropped,
                    "no_match" | "dropped" => {
                        self.report(
                            value.place,
                            format!("`{}` can only be `true`", key.text),
                            None,
                        );
                        continue;
                    }
                    _ => {
                        self.unknown(key, KEYS);
                        continue;
                    }
                };
                if expected.is_some() {
                    let what = "an example expects one thing: `fields`, `no_match` or `dropped`";
                    self.report(key.place, what, None);
                }
                expected = Some(found);
            }
            match (line, expected) {
                (Some(line), Some(expected)) => examples.push((item.place, line, expected)),
                (None, _) => self.report(item.place, "an example needs `line`", None),
                (_, None) => self.report(
                    item.place,
                    "an example needs `fields`, `no_match` or `dropped`",
                    None,
                ),
            }
        }
        examples
    }

    fn expected_fields(&mut self, node: &Node) -> Expected {
        let mut fields = Vec::new();
        for (key, value) in self.map(node, "`fields`").unwrap_or_default() {
            let expected = match value.is_null() {
                true => None,
                false => self.text(value, "an expected value").map(str::to_owned),
            };
            fields.push((key.text.clone(), key.place, expected));
        }
        Expected::Fields(fields)
    }
}
