//! Marks what of a text matched.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::terms_where::TermTest;
use crate::tokens::words;

/// Longest piece of a text that is shown, in characters, unless the request says otherwise.
const FRAGMENT_CHARS: usize = 100;

/// What a query looks for, by field.
#[derive(Default)]
pub(crate) struct Highlights {
    by_field: BTreeMap<String, Wanted>,
}

#[derive(Default)]
struct Wanted {
    words: Vec<String>,
    phrases: Vec<Vec<String>>,
    tests: Vec<TermTest>,
    /// Whole values, of keywords.
    values: Vec<String>,
}

impl std::fmt::Debug for Highlights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_field.keys()).finish()
    }
}

impl Highlights {
    fn field(&mut self, field: &str) -> &mut Wanted {
        self.by_field.entry(field.to_owned()).or_default()
    }

    pub(crate) fn word(&mut self, field: &str, word: &str) {
        self.field(field).words.push(word.to_lowercase());
    }

    pub(crate) fn phrase(&mut self, field: &str, words: &[String]) {
        self.field(field).phrases.push(words.to_vec());
    }

    pub(crate) fn whole(&mut self, field: &str, value: &str) {
        self.field(field).values.push(value.to_owned());
    }

    pub(crate) fn test(&mut self, field: &str, test: TermTest) {
        self.field(field).tests.push(test);
    }

    /// The `highlight` of a hit: for each field of the request, the pieces with marks. `values`
    /// gives the texts of a field.
    pub(crate) fn of_hit(
        &self,
        request: &Value,
        values: impl Fn(&str) -> Vec<String>,
    ) -> Option<Value> {
        let tag = |key: &str, default: &str| -> String {
            let given = request[key]
                .as_array()
                .and_then(|tags| tags.first()?.as_str());
            given.unwrap_or(default).to_owned()
        };
        let (pre, post) = (tag("pre_tags", "<em>"), tag("post_tags", "</em>"));
        let mut out = Map::new();
        let names: Vec<(&String, &Value)> = match &request["fields"] {
            Value::Object(fields) => fields.iter().collect(),
            Value::Array(list) => list.iter().filter_map(Value::as_object).flatten().collect(),
            _ => Vec::new(),
        };
        for (pattern, options) in names {
            let number = |key: &str, default: usize| {
                let given = options[key].as_u64().or_else(|| request[key].as_u64());
                given
                    .and_then(|n| usize::try_from(n).ok())
                    .unwrap_or(default)
            };
            let n_fragments = number("number_of_fragments", 5);
            let size = number("fragment_size", FRAGMENT_CHARS);
            for (field, wanted) in &self.by_field {
                if !super::matches_pattern(pattern, field) {
                    continue;
                }
                let mut pieces: Vec<String> = Vec::new();
                for text in values(field) {
                    let spans = wanted.spans(&text);
                    if spans.is_empty() {
                        continue;
                    }
                    if n_fragments == 0 {
                        pieces.push(marked(&text, 0, text.len(), &spans, &pre, &post));
                    } else {
                        pieces.extend(fragments(&text, &spans, size, n_fragments, &pre, &post));
                    }
                }
                if !pieces.is_empty() {
                    out.insert(field.clone(), json!(pieces));
                }
            }
        }
        (!out.is_empty()).then_some(Value::Object(out))
    }
}

impl Wanted {
    /// Where a text matches, in order, without overlap.
    fn spans(&self, text: &str) -> Vec<(usize, usize)> {
        if self.values.iter().any(|value| value == text) {
            return vec![(0, text.len())];
        }
        let found = words(text);
        let mut spans = Vec::new();
        for (n, (word, from, to)) in found.iter().enumerate() {
            let is_wanted = self.words.contains(word) || self.tests.iter().any(|test| test(word));
            if is_wanted {
                spans.push((*from, *to));
            }
            for phrase in &self.phrases {
                let there = found.get(n..n + phrase.len()).unwrap_or_default();
                if !there.is_empty() && there.iter().map(|(word, _, _)| word).eq(phrase) {
                    spans.extend(there.iter().map(|(_, from, to)| (*from, *to)));
                }
            }
        }
        if spans.is_empty() && self.tests.iter().any(|test| test(text)) {
            spans.push((0, text.len()));
        }
        spans.sort_unstable();
        spans.dedup();
        spans
    }
}

fn marked(
    text: &str,
    from: usize,
    to: usize,
    spans: &[(usize, usize)],
    pre: &str,
    post: &str,
) -> String {
    let mut out = String::new();
    let mut at = from;
    for &(start, end) in spans
        .iter()
        .filter(|(start, end)| *start >= from && *end <= to)
    {
        out.push_str(text.get(at..start).unwrap_or_default());
        out.push_str(pre);
        out.push_str(text.get(start..end).unwrap_or_default());
        out.push_str(post);
        at = end;
    }
    out.push_str(text.get(at..to).unwrap_or_default());
    out
}

/// Pieces of about `size` bytes around the matches.
fn fragments(
    text: &str,
    spans: &[(usize, usize)],
    size: usize,
    max: usize,
    pre: &str,
    post: &str,
) -> Vec<String> {
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let mut out = Vec::new();
    let mut done = 0;
    for &(start, end) in spans {
        if start < done || out.len() == max {
            continue;
        }
        let room = size.saturating_sub(end - start) / 2;
        let from = boundary(start.saturating_sub(room)).max(done);
        let to = boundary(end + room);
        out.push(marked(text, from, to, spans, pre, post));
        done = to;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_marked() {
        let mut highlights = Highlights::default();
        highlights.word("message", "timeout");
        highlights.phrase("message", &["connection".to_owned(), "refused".to_owned()]);
        let request = json!({"fields": {"message": {"number_of_fragments": 0}}});
        let of = |text: &str| highlights.of_hit(&request, |_| vec![text.to_owned()]);
        assert_eq!(
            of("Timeout: connection refused, connection").unwrap()["message"][0],
            "<em>Timeout</em>: <em>connection</em> <em>refused</em>, connection"
        );
        assert_eq!(of("nothing"), None);
    }

    #[test]
    fn long_texts_are_cut_around_matches() {
        let mut highlights = Highlights::default();
        highlights.word("message", "needle");
        let text = format!("{} needle {}", "häy ".repeat(100), "stack ".repeat(100));
        let request =
            json!({"pre_tags": ["["], "post_tags": ["]"], "fields": {"*": {"fragment_size": 40}}});
        let found = highlights.of_hit(&request, |_| vec![text.clone()]).unwrap();
        let piece = found["message"][0].as_str().unwrap();
        assert!(piece.contains("[needle]") && piece.len() < 60, "{piece}");
    }
}
