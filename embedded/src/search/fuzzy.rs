//! Words that are nearly another one: `fuzziness`.

use serde_json::{Map, Value};

use super::query::{QueryError, error, scalar_text};

/// Most edits.
const MAX_EDITS: usize = 2;
/// Length from which `AUTO` allows one edit, and two.
const AUTO: (usize, usize) = (3, 6);

/// What is near enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fuzzy {
    wanted: Vec<char>,
    edits: usize,
    /// First characters, which have to be the same.
    pub(crate) start: String,
}

impl Fuzzy {
    /// Reads the options of a query about `word`; `None` when it takes nothing but the word.
    ///
    /// # Errors
    /// What is not understood.
    pub(crate) fn of(word: &str, options: &Map<String, Value>) -> Result<Option<Self>, QueryError> {
        let Some(fuzziness) = options.get("fuzziness").filter(|given| !given.is_null()) else {
            return Ok(None);
        };
        let is_true = |key: &str| options.get(key).is_none_or(|given| *given == true);
        if !is_true("transpositions") || !is_true("fuzzy_transpositions") {
            return error("`fuzziness` takes two neighbours that change places as one edit here");
        }
        let wanted: Vec<char> = word.chars().collect();
        let edits = edits(fuzziness, wanted.len())?;
        let n_same = match options.get("prefix_length") {
            None | Some(Value::Null) => Some(0),
            Some(given) => super::lenient::count(given).and_then(|n| usize::try_from(n).ok()),
        };
        let Some(n_same) = n_same else {
            return error("`prefix_length` is a count");
        };
        let start = wanted.iter().take(n_same).collect();
        Ok((edits > 0).then_some(Self {
            wanted,
            edits,
            start,
        }))
    }

    /// Whether a term is near enough.
    pub(crate) fn is_near(&self, term: &str) -> bool {
        term.starts_with(&self.start) && is_within(&self.wanted, term, self.edits)
    }
}

/// How many edits `given` allows a word of so many characters.
fn edits(given: &Value, n_chars: usize) -> Result<usize, QueryError> {
    let text = scalar_text(given).unwrap_or_default().to_uppercase();
    let wrong = || error(format!("`fuzziness` is 0, 1, 2 or AUTO, got {given}"));
    let Some(bounds) = text.strip_prefix("AUTO") else {
        let whole = text.strip_suffix(".0").unwrap_or(&text);
        return match whole.parse::<usize>() {
            Ok(edits) if edits <= MAX_EDITS => Ok(edits),
            _ => wrong(),
        };
    };
    let (one, two) = if bounds.is_empty() {
        AUTO
    } else {
        let bounds = bounds.strip_prefix(':').and_then(|b| b.split_once(','));
        match bounds.map(|(one, two)| (one.trim().parse::<usize>(), two.trim().parse::<usize>())) {
            Some((Ok(one), Ok(two))) if one <= two => (one, two),
            _ => return wrong(),
        }
    };
    Ok(usize::from(n_chars >= one) + usize::from(n_chars >= two))
}

/// Whether a term is `wanted` after so many edits at most: a character more, less or another, or
/// two neighbours that change places.
fn is_within(wanted: &[char], term: &str, edits: usize) -> bool {
    let term: Vec<char> = term.chars().collect();
    if term.len().abs_diff(wanted.len()) > edits {
        return false;
    }
    let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX / 2);
    // Edits from the first characters of the term to each beginning of what is wanted.
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=wanted.len()).collect();
    for (i, c) in term.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, w) in wanted.iter().enumerate() {
            let changed = at(&last, j) + usize::from(c != w);
            let mut least = changed.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let are_swapped =
                i > 0 && j > 0 && term.get(i - 1) == Some(w) && wanted.get(j - 1) == Some(c);
            if are_swapped {
                least = least.min(at(&before_last, j - 1) + 1);
            }
            row.push(least);
        }
        // It only grows.
        if row.iter().all(|n| *n > edits) {
            return false;
        }
        before_last = std::mem::replace(&mut last, row);
    }
    at(&last, wanted.len()) <= edits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::search::trial::Trial;

    fn fuzzy(word: &str, options: Value) -> Result<Option<Fuzzy>, QueryError> {
        Fuzzy::of(word, options.as_object().unwrap())
    }

    #[test]
    fn edits_are_counted_as_on_a_server() {
        for (term, least) in [
            ("timeout", 0),
            ("timeot", 1),
            ("timeouts", 1),
            ("timeuot", 1),
            ("timebut", 1),
            ("itmeuot", 2),
            ("time", 3),
            ("größe", 7),
            ("", 7),
        ] {
            let wanted: Vec<char> = "timeout".chars().collect();
            for edits in 0..=2 {
                let found = is_within(&wanted, term, edits);
                assert_eq!(found, least <= edits, "{term} {edits}");
            }
        }
        assert!(is_within(&['ö'], "o", 1));
    }

    #[test]
    fn fuzziness_is_a_number_or_by_length() {
        for (word, given, expected) in [
            ("ab", json!("AUTO"), 0),
            ("abc", json!("AUTO"), 1),
            ("abcde", json!("auto"), 1),
            ("abcdef", json!("AUTO"), 2),
            ("abcdef", json!("AUTO:4,8"), 1),
            ("a", json!(2), 2),
            ("a", json!("1.0"), 1),
            ("abcdef", json!(0), 0),
        ] {
            let found = fuzzy(word, json!({"fuzziness": given})).unwrap();
            assert_eq!(
                found.map_or(0, |fuzzy| fuzzy.edits),
                expected,
                "{word} {given}"
            );
        }
        assert_eq!(fuzzy("abc", json!({})), Ok(None));
        for options in [
            json!({"fuzziness": 3}),
            json!({"fuzziness": 0.5}),
            json!({"fuzziness": "AUTO:9,3"}),
            json!({"fuzziness": "some"}),
            json!({"fuzziness": 1, "prefix_length": "one"}),
            json!({"fuzziness": 1, "transpositions": false}),
        ] {
            assert!(fuzzy("abc", options.clone()).is_err(), "{options}");
        }
        let found = fuzzy("abcd", json!({"fuzziness": 1, "prefix_length": 2})).unwrap();
        let found = found.unwrap();
        assert!(found.is_near("abxd") && !found.is_near("axcd"));
    }

    #[test]
    fn words_and_keywords_that_are_near_are_found() {
        let document = |message: &str, service: &str| {
            json!({
                "@timestamp": "2026-11-25T10:00:00Z", "message": message,
                "service.name": service, "took": 5,
            })
        };
        let trial = Trial::over(&[
            document("connection timeout", "payment"),
            document("Connexion refused", "payments"),
            document("all is well", "cart"),
        ]);
        for (query, expected) in [
            (json!({"fuzzy": {"message": "timeuot"}}), 1),
            (
                json!({"match": {"message": {"query": "Conection", "fuzziness": 1}}}),
                1,
            ),
            (
                json!({"match": {"message": {"query": "connection", "fuzziness": "AUTO"}}}),
                2,
            ),
            (json!({"match": {"message": "conection"}}), 0),
            (
                json!({"fuzzy": {"service.name": {"value": "paymnt", "fuzziness": 1}}}),
                1,
            ),
            (json!({"fuzzy": {"service.name": {"value": "paymnt"}}}), 2),
            (json!({"query_string": {"query": "Timeot~1"}}), 1),
            (
                json!({"query_string": {"query": "service.name:paymen~"}}),
                2,
            ),
            (json!({"query_string": {"query": "\"all well\"~1"}}), 1),
            (
                json!({"multi_match": {"query": "timeot", "fields": ["message"], "fuzziness": 1}}),
                1,
            ),
        ] {
            let body = json!({"size": 0, "query": query, "track_total_hits": true});
            let found = trial.search(&body).unwrap();
            assert_eq!(found["hits"]["total"]["value"], expected, "{query}");
        }
        for query in [
            json!({"fuzzy": {"took": "5"}}),
            json!({"match": {"took": {"query": 5, "fuzziness": 1}}}),
            json!({"match_phrase": {"message": {"query": "a b", "fuzziness": 1}}}),
            json!({"query_string": {"query": "a~3"}}),
        ] {
            // One character is left alone by `AUTO`.
            let is_auto = query["fuzzy"].is_object();
            let found = trial.search(&json!({"query": query}));
            assert_eq!(found.is_ok(), is_auto, "{query}");
        }
    }
}
