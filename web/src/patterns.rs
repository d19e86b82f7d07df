//! Messages that differ in numbers, ids and names only, put together: a small form of Drain.
//!
//! Tokens that are never the same (numbers, hexadecimal, addresses, quoted text) are masked first.
//! Messages with the same number of tokens and the same first ones are one pattern when more than
//! half of the rest agrees.

use std::collections::{BTreeMap, HashMap};

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::access::Asker;
use crate::api::Api;
use crate::body::{Body, json as answer};
use crate::context::field_text;
use crate::params::Params;
use crate::problem::Problem;
use crate::scope::{RECENT, Scope};
use crate::search::{Order, hit, hits, total_count};

/// What stands for a part that differs.
const ANY: &str = "<*>";
/// Tokens of a message that are compared.
const MAX_TOKENS: usize = 64;
/// Bytes of a message that are looked at.
const MAX_BYTES: usize = 2048;
/// Patterns that begin alike; further messages join the nearest.
const MAX_ALIKE: usize = 64;
/// Share of tokens that must agree.
const SIMILAR: f64 = 0.6;

/// Similar messages.
#[derive(Debug)]
struct Group {
    tokens: Vec<String>,
    /// The places in the answer of the store, newest first.
    count: usize,
    newest: usize,
    oldest: usize,
    levels: BTreeMap<String, u64>,
    services: BTreeMap<String, u64>,
}

/// Finds groups.
#[derive(Debug, Default)]
struct Grouping {
    groups: Vec<Group>,
    /// Groups by number of tokens and first token.
    alike: HashMap<(usize, String), Vec<usize>>,
}

impl Grouping {
    /// The group of a message, made when there is none.
    fn add(&mut self, message: &str, place: usize) -> &mut Group {
        let tokens = tokens(message);
        let key = (tokens.len(), tokens.first().cloned().unwrap_or_default());
        let alike = self.alike.entry(key).or_default();
        let mut best: Option<(usize, f64)> = None;
        for &idx in alike.iter() {
            let Some(group) = self.groups.get(idx) else {
                continue;
            };
            let near = similarity(&group.tokens, &tokens);
            if best.is_none_or(|(_, known)| near > known) {
                best = Some((idx, near));
            }
        }
        let is_full = alike.len() >= MAX_ALIKE;
        let idx = match best {
            Some((idx, near)) if near >= SIMILAR || is_full => idx,
            _ => {
                alike.push(self.groups.len());
                self.groups.push(Group {
                    tokens: tokens.clone(),
                    count: 0,
                    newest: place,
                    oldest: place,
                    levels: BTreeMap::new(),
                    services: BTreeMap::new(),
                });
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[idx];
        for (known, new) in group.tokens.iter_mut().zip(&tokens) {
            if known != new {
                ANY.clone_into(known);
            }
        }
        group.count += 1;
        group.oldest = place;
        group
    }
}

/// The share of tokens that agree; what differs anyway counts half.
fn similarity(a: &[String], b: &[String]) -> f64 {
    if a.is_empty() {
        return 1.0;
    }
    let agree: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| match a == b {
            true => 1.0,
            false if a == ANY || b == ANY => 0.5,
            false => 0.0,
        })
        .sum();
    agree / a.len() as f64
}

/// The words of a message, those that always differ masked.
fn tokens(message: &str) -> Vec<String> {
    let mut end = message.len().min(MAX_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let line = message.get(..end).unwrap_or_default();
    // Of a stack trace the first line tells what it is.
    let line = line.lines().next().unwrap_or_default();
    line.split_whitespace().take(MAX_TOKENS).map(mask).collect()
}

/// `took=35ms` is `took=<*>`, `[2026-11-25` is `[<*>`.
fn mask(token: &str) -> String {
    let is_edge = |c: char| !c.is_alphanumeric() && !"-+.:_%@".contains(c);
    let mut out = String::new();
    let mut rest = token;
    while !rest.is_empty() {
        let edge = rest.find(|c| !is_edge(c)).unwrap_or(rest.len());
        let (punctuation, tail) = rest.split_at(edge);
        out.push_str(punctuation);
        let word = tail.find(is_edge).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(word);
        if differs(word) {
            // Neighbours that differ are one.
            if !out.ends_with(ANY) {
                out.push_str(ANY);
            }
        } else {
            out.push_str(word);
        }
        rest = tail;
    }
    out
}

/// Whether a word is a number, an id, an address or the like.
fn differs(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return word.len() >= 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
    }
    // `http2`, `utf8` and `v1` are words.
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    digits * 2 >= letters || word.len() >= 20
}

impl Api {
    pub(crate) async fn patterns(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let params = Params::new(params, &["q", "from", "to", "tz", "size", "sample"])?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let size = params.number("size", 1..=500, 50)?;
        let sample = params.number("sample", 100..=10_000, 5000)?;
        let body = json!({
            "size": sample,
            "query": scope.filter(),
            "sort": Order::NEWEST.sort(self),
            "track_total_hits": true,
            "_source": ["@timestamp", "message", "log.level", "service.name", "kubernetes.*"],
        });
        let found = self.ask(&body).await?;
        let total = total_count(&found);
        // Ten thousand messages cost some 30 ms.
        let list = tokio::task::spawn_blocking(move || group(&found, size))
            .await
            .map_err(|_| {
                Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
            })?;
        let (sampled, patterns) = list;
        Ok(answer(
            StatusCode::OK,
            &json!({"patterns": patterns, "sampled": sampled, "total": total}),
        ))
    }
}

fn group(found: &Value, size: usize) -> (usize, Vec<Value>) {
    let hits = hits(found);
    let mut grouping = Grouping::default();
    for (place, raw) in hits.iter().enumerate() {
        let source = &raw["_source"];
        let message = field_text(source, "message").unwrap_or_default();
        let group = grouping.add(message, place);
        for (counts, field) in [
            (&mut group.levels, "log.level"),
            (&mut group.services, "service.name"),
        ] {
            if let Some(value) = field_text(source, field) {
                *counts.entry(value.to_owned()).or_default() += 1;
            }
        }
    }
    let mut groups = grouping.groups;
    groups.sort_by(|a, b| b.count.cmp(&a.count).then(a.newest.cmp(&b.newest)));
    groups.truncate(size);
    let time = |place: usize| {
        let raw = hits.get(place).map(|raw| &raw["_source"]);
        raw.and_then(|source| field_text(source, "@timestamp"))
            .unwrap_or_default()
            .to_owned()
    };
    let patterns = groups
        .into_iter()
        .map(|group| {
            let query = query_of(&group.tokens);
            json!({
                "pattern": group.tokens.join(" "),
                "count": group.count,
                "share": group.count as f64 / hits.len().max(1) as f64,
                "levels": group.levels,
                "services": group.services,
                "first": time(group.oldest),
                "last": time(group.newest),
                "sample": hits.get(group.newest).map(hit),
                "query": query,
            })
        })
        .collect();
    (hits.len(), patterns)
}

/// A query for about the messages of a pattern: the runs of words that do not differ.
fn query_of(tokens: &[String]) -> String {
    let runs = tokens.split(|token| token.contains(ANY));
    let phrases: Vec<String> = runs
        .filter(|run| !run.is_empty())
        .map(|run| run.join(" "))
        .filter(|run| run.contains(char::is_alphanumeric))
        .map(|run| format!("\"{}\"", run.replace('\\', "\\\\").replace('"', "\\\"")))
        .take(8)
        .collect();
    phrases.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_masked() {
        for (token, masked) in [
            ("took=35ms", "took=<*>"),
            ("[2026-11-25T10:00:00Z]", "[<*>]"),
            ("10.0.0.1:8080", "<*>"),
            ("550e8400-e29b-41d4-a716-446655440000", "<*>"),
            ("deadbeefdeadbeef", "<*>"),
            ("http2", "http2"),
            ("GET", "GET"),
            ("/api/orders/1234567", "/api/orders/<*>"),
            ("id=7,id=8", "id=<*>,id=<*>"),
        ] {
            assert_eq!(mask(token), masked, "{token}");
        }
    }

    #[test]
    fn similar_messages_are_one_pattern() {
        let messages = [
            "connection to 10.0.0.1 refused after 35 ms",
            "connection to 10.0.0.2 refused after 7 ms",
            "order created for alice by web",
            "order created for bob by web",
            "cache miss",
            "",
        ];
        let raw: Vec<Value> = messages
            .iter()
            .map(|message| json!({"_id": "x", "_source": {"message": message, "log": {"level": "info"}}}))
            .collect();
        let (sampled, patterns) = group(&json!({"hits": {"hits": raw}}), 10);
        assert_eq!(sampled, 6);
        let found: Vec<(&str, u64)> = patterns
            .iter()
            .map(|one| {
                (
                    one["pattern"].as_str().unwrap(),
                    one["count"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("connection to <*> refused after <*> ms", 2),
                ("order created for <*> by web", 2),
                ("cache miss", 1),
                ("", 1)
            ]
        );
        assert_eq!(
            patterns[0]["query"],
            "\"connection to\" \"refused after\" \"ms\""
        );
        assert_eq!(patterns[0]["levels"]["info"], 2);
    }
}
