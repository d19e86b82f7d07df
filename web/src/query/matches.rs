//! The tree as a test of one document, for the live tail: what the store would find, as nearly as
//! can be told without its analysers.

use regex::Regex;
use serde_json::Value;

use super::dsl::{
    DEFAULT_FIELDS, ID_FIELDS, in_bounds, is_word_char, looks_like_id, pattern_words,
};
use super::fields::{LEVELS, candidates, is_text, value_for};
use super::{Piece, Query, Test};

/// A compiled query.
#[derive(Debug)]
pub struct Matcher {
    node: Node,
}

#[derive(Debug)]
enum Node {
    All,
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Field(Vec<String>, Check),
}

#[derive(Debug)]
enum Check {
    Exists,
    /// Words in this order, within text.
    Words(Vec<String>),
    /// The whole value.
    Equal(String),
    /// Each expression must match a word of the text.
    WordPatterns(Vec<Regex>),
    /// The whole value.
    Pattern(Regex),
    Range(Bound, Bound),
    /// Levels by rank.
    Levels(Vec<&'static str>),
    Never,
}

type Bound = Option<(String, bool)>;

impl Matcher {
    /// Compiles `query`.
    pub fn new(query: &Query) -> Self {
        Self { node: node(query) }
    }

    /// Whether `document` (an object with nested fields) is found by the query.
    pub fn is_match(&self, document: &Value) -> bool {
        is_match(&self.node, document)
    }

    /// Whether everything matches.
    pub fn is_all(&self) -> bool {
        matches!(self.node, Node::All)
    }
}

fn node(query: &Query) -> Node {
    match query {
        Query::All => Node::All,
        Query::And(parts) => Node::And(parts.iter().map(node).collect()),
        Query::Or(parts) => Node::Or(parts.iter().map(node).collect()),
        Query::Not(part) => Node::Not(Box::new(node(part))),
        Query::Test(Some(name), test) => Node::Or(
            candidates(name)
                .into_iter()
                .map(|field| {
                    let check = check(name, &field, test);
                    Node::Field(path(&field), check)
                })
                .collect(),
        ),
        Query::Test(None, test) => {
            let mut parts: Vec<Node> = DEFAULT_FIELDS
                .iter()
                .map(|field| Node::Field(path(field), check(field, field, test)))
                .collect();
            if let Test::Word(text) | Test::Phrase(text) = test
                && looks_like_id(text)
            {
                let equal = |field: &&str| Node::Field(path(field), Check::Equal(text.clone()));
                parts.extend(ID_FIELDS.iter().map(equal));
            }
            Node::Or(parts)
        }
    }
}

fn path(field: &str) -> Vec<String> {
    field.split('.').map(str::to_owned).collect()
}

fn check(name: &str, field: &str, test: &Test) -> Check {
    match test {
        Test::Exists => Check::Exists,
        Test::Word(text) | Test::Phrase(text) if is_text(field) => Check::Words(words(text)),
        Test::Word(text) | Test::Phrase(text) => Check::Equal(value_for(name, field, text)),
        Test::Wildcard(pieces) if is_text(field) => Check::WordPatterns(
            pattern_words(pieces)
                .iter()
                .filter_map(|word| compiled(&pattern_of(word, str::to_lowercase)))
                .collect(),
        ),
        Test::Wildcard(pieces) => {
            compiled(&pattern_of(pieces, |text| value_for(name, field, text)))
                .map_or(Check::Never, Check::Pattern)
        }
        Test::Regex(pattern) if is_text(field) => {
            compiled(pattern).map_or(Check::Never, |pattern| Check::WordPatterns(vec![pattern]))
        }
        Test::Regex(pattern) => compiled(pattern).map_or(Check::Never, Check::Pattern),
        Test::Range(from, to) if field == "log.level" => {
            let rank = |bound: &Bound| {
                bound.as_ref().map(|(text, is_in)| {
                    let level = value_for(name, field, text);
                    (LEVELS.iter().position(|known| *known == level), *is_in)
                })
            };
            let (from, to) = (rank(from), rank(to));
            let levels = LEVELS.iter().enumerate();
            Check::Levels(
                levels
                    .filter(|(rank, _)| in_bounds(*rank, from, to))
                    .map(|(_, level)| *level)
                    .collect(),
            )
        }
        Test::Range(from, to) => {
            let bound = |bound: &Bound| {
                let (text, is_in) = bound.as_ref()?;
                Some((value_for(name, field, text), *is_in))
            };
            Check::Range(bound(from), bound(to))
        }
    }
}

/// The expression for a whole value.
fn compiled(pattern: &str) -> Option<Regex> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(1 << 20)
        .dot_matches_new_line(true)
        .build()
        .ok()
}

fn pattern_of(pieces: &[Piece], value: impl Fn(&str) -> String) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Any => ".*".to_owned(),
            Piece::One => ".".to_owned(),
            Piece::Text(text) => regex::escape(&value(text)),
        })
        .collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !is_word_char(c))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn is_match(node: &Node, document: &Value) -> bool {
    match node {
        Node::All => true,
        Node::And(parts) => parts.iter().all(|part| is_match(part, document)),
        Node::Or(parts) => parts.iter().any(|part| is_match(part, document)),
        Node::Not(part) => !is_match(part, document),
        Node::Field(path, check) => any_value(document, path, &mut |value| holds(check, value)),
    }
}

/// Whether `test` holds for a value at `path`; arrays are looked into, and names may have dots.
fn any_value(value: &Value, path: &[String], test: &mut impl FnMut(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any_value(item, path, test)),
        Value::Object(object) if !path.is_empty() => (1..=path.len()).any(|n| {
            let (head, rest) = path.split_at(n);
            object
                .get(&head.join("."))
                .is_some_and(|inner| any_value(inner, rest, test))
        }),
        Value::Null => false,
        _ => path.is_empty() && test(value),
    }
}

fn holds(check: &Check, value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match check {
        // An object with fields exists by its fields.
        Check::Exists => true,
        Check::Never => false,
        Check::Words(wanted) => {
            let words = words(&text);
            wanted.is_empty()
                || words
                    .windows(wanted.len())
                    .any(|run| run == wanted.as_slice())
        }
        Check::Equal(wanted) => match value {
            Value::Number(number) => {
                number.as_f64().is_some_and(|n| wanted.parse() == Ok(n)) || text == *wanted
            }
            _ => text == *wanted,
        },
        Check::WordPatterns(patterns) => {
            let words = words(&text);
            patterns
                .iter()
                .all(|pattern| words.iter().any(|word| pattern.is_match(word)))
        }
        Check::Pattern(pattern) => pattern.is_match(&text),
        Check::Levels(levels) => levels.contains(&text.as_str()),
        Check::Range(from, to) => {
            let above = from.as_ref().is_none_or(|(bound, is_in)| {
                compare(&text, bound)
                    .is_some_and(|order| order.is_gt() || (*is_in && order.is_eq()))
            });
            let below = to.as_ref().is_none_or(|(bound, is_in)| {
                compare(&text, bound)
                    .is_some_and(|order| order.is_lt() || (*is_in && order.is_eq()))
            });
            above && below
        }
    }
}

/// Numbers by value, texts by bytes; a number and a text do not compare.
fn compare(value: &str, bound: &str) -> Option<std::cmp::Ordering> {
    match (value.parse::<f64>(), bound.parse::<f64>()) {
        (Ok(value), Ok(bound)) => value.partial_cmp(&bound),
        (Err(_), Err(_)) => Some(value.cmp(bound)),
        _ => None,
    }
}

/// Texts that a query looks for in the message, to mark them.
pub fn highlight_terms(query: &Query) -> Vec<String> {
    let mut terms = Vec::new();
    collect(query, &mut terms);
    terms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    terms.dedup();
    terms
}

fn collect(query: &Query, terms: &mut Vec<String>) {
    match query {
        Query::And(parts) | Query::Or(parts) => {
            parts.iter().for_each(|part| collect(part, terms));
        }
        Query::Test(field, test) => {
            let in_message = field
                .as_deref()
                .is_none_or(|name| candidates(name).first().is_some_and(|field| is_text(field)));
            if !in_message {
                return;
            }
            match test {
                Test::Word(text) | Test::Phrase(text) if !text.is_empty() => {
                    terms.push(text.clone());
                }
                Test::Wildcard(pieces) => {
                    terms.extend(pieces.iter().filter_map(|piece| match piece {
                        Piece::Text(text) => Some(text.clone()),
                        _ => None,
                    }))
                }
                _ => {}
            }
        }
        Query::All | Query::Not(_) => {}
    }
}
