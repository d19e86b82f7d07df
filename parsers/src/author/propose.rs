//! Proposes rules for sample lines: a known format where one fits, else a pattern whose holes are
//! found by comparing lines.
//!
//! Lines are put into groups by their shape (what separates, where times and levels stand), and
//! each group gets a rule. What is proposed has been loaded with some of the samples as examples,
//! and takes every line of its group.

mod template;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::draft::{Draft, rule_name, scalar};
use crate::{Outcome, Parser, RecordView, RuleSet, StreamContext};
use template::Template;

/// Lines that are compared; more say nothing new.
const MAX_LINES: usize = 2_000;

/// Rules that are proposed at most, the largest groups first.
const MAX_RULES: usize = 5;

/// Samples that become examples of a rule.
const MAX_EXAMPLES: usize = 5;

/// Lines that are of no format, or of the layout that half of all programs share.
const PROSE: [&str; 4] = [
    "the quick brown fox jumps over it",
    "at 10:00 the quick brown fox: jumps",
    "2024-05-01T10:00:00Z the quick brown fox: jumps over it",
    "2024-05-01T10:00:00Z INFO com.example.Fox - jumps over it",
];

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// A rule file, examples included.
    pub rules: String,
    /// Number of its rules.
    pub n_rules: usize,
    /// Lines that one of the rules takes.
    pub n_taken: usize,
    /// Lines that were looked at.
    pub n_lines: usize,
    /// Lines that none takes, a few of them.
    pub left: Vec<String>,
}

/// Proposes rules for `lines` under the name `name`. `None` when no rule would say more of them
/// than the engine finds out by itself.
pub fn propose(name: &str, lines: &[String]) -> Option<Proposal> {
    let lines: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| !line.trim().is_empty())
        .take(MAX_LINES)
        .collect();
    let name = rule_name(name);
    let mut left = lines.clone();
    let mut drafts: Vec<Draft> = Vec::new();
    if let Some((draft, rest)) = known_format(&name, &left) {
        drafts.push(draft);
        left = rest;
    }
    for group in template::groups(&left) {
        if drafts.len() >= MAX_RULES || (!drafts.is_empty() && group.len() < 2) {
            break;
        }
        let name = match drafts.len() {
            0 => name.clone(),
            n => format!("{name}-{}", n + 1),
        };
        if let Some(draft) = pattern(&name, &group) {
            drafts.push(draft);
        }
    }
    let rules: Vec<String> = drafts.iter().map(Draft::text).collect();
    let rules = rules.join("---\n");
    if drafts.is_empty() {
        return None;
    }
    let mut engine = Engine::new(&rules)?;
    let (taken, left): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| engine.matches(line));
    Some(Proposal {
        rules,
        n_rules: drafts.len(),
        n_taken: taken.len(),
        n_lines: lines.len(),
        left: left
            .into_iter()
            .take(MAX_EXAMPLES)
            .map(str::to_owned)
            .collect(),
    })
}

/// What fits most lines of the shipped rules and of the formats, if it is most lines at all; and
/// the lines that it does not fit.
fn known_format<'l>(name: &str, lines: &[&'l str]) -> Option<(Draft, Vec<&'l str>)> {
    let mut best: Option<(Draft, usize)> = None;
    for (step, conditions) in candidates() {
        let mut draft = Draft {
            name: name.to_owned(),
            conditions,
            steps: vec![step],
            ..Draft::default()
        };
        let Some(mut engine) = Engine::new(&draft.text()) else {
            continue;
        };
        // A format that takes prose as well knows nothing of the lines.
        if PROSE.iter().any(|line| engine.matches(line)) {
            continue;
        }
        let n_taken = lines.iter().filter(|line| engine.matches(line)).count();
        if best.as_ref().is_some_and(|(_, most)| n_taken <= *most) || n_taken * 2 <= lines.len() {
            continue;
        }
        let taken: Vec<&str> = lines
            .iter()
            .copied()
            .filter(|line| engine.matches(line))
            .collect();
        draft.examples = examples(&mut engine, &taken);
        if draft.problem().is_none() {
            best = Some((draft, n_taken));
        }
    }
    let (draft, _) = best?;
    let mut engine = Engine::new(&draft.text())?;
    let left = lines
        .iter()
        .copied()
        .filter(|line| !engine.matches(line))
        .collect();
    Some((draft, left))
}

/// Steps that could stand alone in a rule: what is recognised without one, shipped rules by their
/// names, then formats that need no option. The earlier one wins where two fit as many lines.
/// Rules that wait to be named fit lines of many programs: they are no proposal. Formats that take
/// prose, too, come with what their lines hold or begin with.
fn candidates() -> Vec<(String, Conditions)> {
    let mut steps = vec!["json: {}".to_owned(), "logfmt: {}".to_owned()];
    for (file, text) in RuleSet::shipped() {
        for rule in text
            .split("\n---\n")
            .filter(|rule| !rule.contains("by_name: true"))
        {
            if let Ok(set) = RuleSet::from_texts(&[(Path::new(file), rule)]) {
                steps.extend(set.names().map(|name| format!("use: {}", scalar(name))));
            }
        }
    }
    for doc in crate::steps::docs() {
        let needs_nothing = doc
            .options
            .iter()
            .all(|option| option.need != crate::steps::Need::Required);
        if doc.group == crate::steps::Group::Formats && needs_nothing {
            steps.push(format!("{}: {{}}", doc.name));
        }
    }
    let mut all: Vec<_> = steps.into_iter().map(|step| (step, Vec::new())).collect();
    let months = [
        "Jan ", "Feb ", "Mar ", "Apr ", "May ", "Jun ", "Jul ", "Aug ", "Sep ", "Oct ", "Nov ",
        "Dec ",
    ];
    for (step, key, texts) in [
        ("syslog: {}", "starts_with", &["<"][..]),
        ("syslog: {}", "starts_with", &months),
        ("ltsv: {}", "contains", &["\t"]),
    ] {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        all.push((step.to_owned(), vec![(key.to_owned(), texts)]));
    }
    all
}

/// Parts of a rule's `match`, as [`Draft::conditions`].
type Conditions = Vec<(String, Vec<String>)>;

/// A rule for lines of one shape.
fn pattern(name: &str, lines: &[&str]) -> Option<Draft> {
    let mut template = Template::of(lines);
    // A hole at the end goes until the rule takes every line: what was found by comparing some
    // places may not hold in others.
    while template.says_something() {
        let mut draft = Draft {
            name: name.to_owned(),
            steps: template.steps(),
            ..Draft::default()
        };
        if let Some(mut engine) = Engine::new(&draft.text())
            && lines.iter().all(|line| engine.matches(line))
        {
            draft.examples = examples(&mut engine, lines);
            if draft.problem().is_none() {
                return Some(draft);
            }
        }
        if !template.shorten() {
            return None;
        }
    }
    None
}

/// Examples from lines as far apart as they are: the first, the last, the shortest, the longest.
fn examples(engine: &mut Engine, lines: &[&str]) -> Vec<String> {
    let mut chosen: Vec<&str> = Vec::new();
    let picks = [
        lines.first(),
        lines.iter().max_by_key(|line| line.len()),
        lines.iter().min_by_key(|line| line.len()),
        lines.get(lines.len() / 2),
        lines.last(),
    ];
    for line in picks.into_iter().flatten() {
        if chosen.len() < MAX_EXAMPLES && !chosen.contains(line) {
            chosen.push(line);
        }
    }
    chosen
        .iter()
        .filter_map(|line| example(engine, line))
        .collect()
}

fn example(engine: &mut Engine, line: &str) -> Option<String> {
    let document = engine.document(line)?;
    let mut yaml = format!("line: {}\nfields:", scalar(line));
    let mut n_fields = 0;
    for (name, value) in leaves(&document) {
        let is_ours = ["event.ingested", "log.offset", "ecs.version"].contains(&name.as_str())
            || name.starts_with("tailrace.")
            || (name == "message" && value == line)
            || (name == "@timestamp" && value.starts_with("1970-01-01T00:00:00.000000000"));
        if !is_ours {
            n_fields += 1;
            yaml.push_str(&format!("\n  {}: {}", scalar(&name), scalar(&value)));
        }
    }
    (n_fields > 0).then_some(yaml)
}

/// Dotted names and values of a document. Lists stay JSON.
fn leaves(document: &Value) -> Vec<(String, String)> {
    fn walk(prefix: &str, value: &Value, out: &mut Vec<(String, String)>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let name = match prefix {
                        "" => key.clone(),
                        prefix => format!("{prefix}.{key}"),
                    };
                    walk(&name, value, out);
                }
            }
            Value::String(text) => out.push((prefix.to_owned(), text.clone())),
            other => out.push((prefix.to_owned(), other.to_string())),
        }
    }
    let mut out = Vec::new();
    walk("", document, &mut out);
    out
}

/// Runs rules on single lines.
struct Engine {
    parser: Parser,
    stream: StreamContext,
}

impl Engine {
    /// `None` when the rules do not load.
    fn new(rules: &str) -> Option<Self> {
        let set = RuleSet::from_texts(&[(Path::new("rule"), rules)]).ok()?;
        Some(Self {
            parser: Parser::new(Arc::new(set)),
            stream: StreamContext::new(b"{}").ok()?,
        })
    }

    fn run(&mut self, line: &str, out: &mut Vec<u8>) -> Outcome {
        let record = RecordView {
            time_ns: Some(0),
            ..RecordView::of(line.as_bytes())
        };
        self.parser.append_document(&record, &self.stream, out)
    }

    fn matches(&mut self, line: &str) -> bool {
        match self.run(line, &mut Vec::new()) {
            Outcome::Document(document) => document.rule.is_some(),
            Outcome::Dropped { .. } => true,
        }
    }

    fn document(&mut self, line: &str) -> Option<Value> {
        let mut out = Vec::new();
        self.run(line, &mut out);
        serde_json::from_slice(&out).ok()
    }
}

#[cfg(test)]
mod tests;
