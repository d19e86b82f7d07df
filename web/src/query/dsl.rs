//! The tree as the store's query (Elasticsearch's JSON). Uses only what every store has: `bool`,
//! `match`, `match_phrase`, `term`, `terms`, `range`, `exists`, `prefix`, `wildcard`, `regexp`.

use serde_json::{Value, json};

use super::fields::{LEVELS, candidates, is_text, value_for};
use super::{Piece, Query, Test};

/// Fields that words without a field are looked for in.
pub(crate) const DEFAULT_FIELDS: &[&str] = &["message", "error.stack_trace"];
/// Fields that hold ids: people paste one into the box.
pub(crate) const ID_FIELDS: &[&str] = &["trace.id", "http.request.id", "kubernetes.pod.name"];

/// The query of `query`.
pub fn to_dsl(query: &Query) -> Value {
    match query {
        Query::All => json!({"match_all": {}}),
        Query::And(parts) => {
            // Tests are put together with what they exclude: one `bool` is quicker than many.
            let (not, must): (Vec<&Query>, Vec<&Query>) =
                parts.iter().partition(|part| matches!(part, Query::Not(_)));
            let must: Vec<Value> = must.into_iter().map(to_dsl).collect();
            let not: Vec<Value> = not
                .into_iter()
                .map(|part| match part {
                    Query::Not(inner) => to_dsl(inner),
                    other => to_dsl(other),
                })
                .collect();
            let mut body = serde_json::Map::new();
            if !must.is_empty() {
                body.insert("filter".into(), must.into());
            }
            if !not.is_empty() {
                body.insert("must_not".into(), not.into());
            }
            json!({"bool": body})
        }
        Query::Or(parts) => should(parts.iter().map(to_dsl).collect()),
        Query::Not(part) => json!({"bool": {"must_not": [to_dsl(part)]}}),
        Query::Test(None, test) => anywhere(test),
        Query::Test(Some(name), test) => should(
            candidates(name)
                .iter()
                .map(|field| in_field(name, field, test))
                .collect(),
        ),
    }
}

fn should(mut parts: Vec<Value>) -> Value {
    match parts.len() {
        1 => parts.remove(0),
        _ => json!({"bool": {"should": parts, "minimum_should_match": 1}}),
    }
}

fn none() -> Value {
    json!({"bool": {"must_not": [{"match_all": {}}]}})
}

fn anywhere(test: &Test) -> Value {
    let mut parts: Vec<Value> = DEFAULT_FIELDS
        .iter()
        .map(|field| in_field(field, field, test))
        .collect();
    if let Test::Word(text) | Test::Phrase(text) = test
        && looks_like_id(text)
    {
        parts.extend(
            ID_FIELDS
                .iter()
                .map(|field| json!({"term": {*field: text}})),
        );
    }
    should(parts)
}

/// Whether people may mean an id by it: long, one word, with a digit.
pub(crate) fn looks_like_id(text: &str) -> bool {
    text.len() >= 8
        && text.contains(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c))
}

fn in_field(name: &str, field: &str, test: &Test) -> Value {
    match test {
        Test::Exists => json!({"exists": {"field": field}}),
        Test::Word(text) | Test::Phrase(text) if is_text(field) => {
            json!({"match_phrase": {field: text}})
        }
        Test::Word(text) | Test::Phrase(text) => {
            // `match` is a `term` on values, splits texts of other shippers' mappings, and takes
            // words for numbers without an error.
            let value = value_for(name, field, text);
            json!({"match": {field: {"query": value, "operator": "and", "lenient": true}}})
        }
        Test::Wildcard(pieces) if is_text(field) => words(field, pieces),
        Test::Wildcard(pieces) => wildcard(field, pieces, |text| value_for(name, field, text)),
        Test::Regex(pattern) => json!({"regexp": {field: {"value": pattern}}}),
        Test::Range(from, to) if field == "log.level" => levels(name, from, to),
        Test::Range(from, to) => {
            let mut bounds = serde_json::Map::new();
            for (bound, with, without) in [(from, "gte", "gt"), (to, "lte", "lt")] {
                if let Some((text, is_in)) = bound {
                    let key = if *is_in { with } else { without };
                    bounds.insert(key.into(), number(&value_for(name, field, text)));
                }
            }
            if bounds.is_empty() {
                return json!({"exists": {"field": field}});
            }
            json!({"range": {field: bounds}})
        }
    }
}

/// Numbers as numbers, so that a store that knows no mapping compares them as such.
fn number(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(number) => number.into(),
        Err(_) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => json!(number),
            _ => text.into(),
        },
    }
}

/// Levels have an order that their names do not have.
fn levels(name: &str, from: &Option<(String, bool)>, to: &Option<(String, bool)>) -> Value {
    let rank = |bound: &Option<(String, bool)>| {
        bound.as_ref().map(|(text, is_in)| {
            let level = value_for(name, "log.level", text);
            (LEVELS.iter().position(|known| *known == level), *is_in)
        })
    };
    let (from, to) = (rank(from), rank(to));
    let wanted: Vec<&str> = LEVELS
        .iter()
        .enumerate()
        .filter(|(rank, _)| in_bounds(*rank, from, to))
        .map(|(_, level)| *level)
        .collect();
    if wanted.is_empty() {
        return none();
    }
    json!({"terms": {"log.level": wanted}})
}

/// Whether `rank` lies within the bounds; a bound that is no level has nothing within.
pub(crate) fn in_bounds(
    rank: usize,
    from: Option<(Option<usize>, bool)>,
    to: Option<(Option<usize>, bool)>,
) -> bool {
    let above = match from {
        None => true,
        Some((Some(bound), is_in)) => rank > bound || (is_in && rank == bound),
        Some((None, _)) => false,
    };
    let below = match to {
        None => true,
        Some((Some(bound), is_in)) => rank < bound || (is_in && rank == bound),
        Some((None, _)) => false,
    };
    above && below
}

fn wildcard(field: &str, pieces: &[Piece], value: impl Fn(&str) -> String) -> Value {
    if let [Piece::Text(text), Piece::Any] = pieces {
        return json!({"prefix": {field: {"value": value(text)}}});
    }
    let mut pattern = String::new();
    for piece in pieces {
        match piece {
            Piece::Any => pattern.push('*'),
            Piece::One => pattern.push('?'),
            Piece::Text(text) => {
                for c in value(text).chars() {
                    if "*?\\".contains(c) {
                        pattern.push('\\');
                    }
                    pattern.push(c);
                }
            }
        }
    }
    json!({"wildcard": {field: {"value": pattern}}})
}

/// A pattern over text: text is kept word by word in lower case, so each word of the pattern is
/// looked for by itself.
fn words(field: &str, pieces: &[Piece]) -> Value {
    let mut parts = Vec::new();
    for word in pattern_words(pieces) {
        parts.push(match word.as_slice() {
            [Piece::Text(text)] => json!({"match_phrase": {field: text}}),
            [Piece::Any] => continue,
            word => wildcard(field, word, str::to_lowercase),
        });
    }
    match parts.len() {
        0 => json!({"exists": {"field": field}}),
        1 => parts.remove(0),
        _ => json!({"bool": {"filter": parts}}),
    }
}

/// The words of a pattern: text is split at what is no part of a word.
pub(crate) fn pattern_words(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let mut words: Vec<Vec<Piece>> = vec![Vec::new()];
    for piece in pieces {
        let Piece::Text(text) = piece else {
            if let Some(word) = words.last_mut() {
                word.push(piece.clone());
            }
            continue;
        };
        for (number, part) in text.split(|c: char| !is_word_char(c)).enumerate() {
            if number > 0 {
                words.push(Vec::new());
            }
            if let Some(word) = words.last_mut().filter(|_| !part.is_empty()) {
                word.push(Piece::Text(part.to_owned()));
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What the store's tokenizer keeps within a word, nearly: it also keeps a `.` between letters.
pub(crate) fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
