//! One set of searches, as data, with the answers of a real OpenSearch 3.8.0: the embedded store
//! gives the same, or the case names its known difference.
//!
//! `search_cases.json` holds documents and requests, `search_answers.json` what OpenSearch said
//! to them (`tests/` asks a running one, and an Elasticsearch, again and compares).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use embedded::{Embedded, EmbeddedOptions};
use serde_json::{Value, json};
use store::{Encoding, Store as _};

/// Keys of an answer that say nothing about what was found.
const LEFT_OUT: &[&str] = &[
    "_score",
    "max_score",
    "_index",
    "doc_count_error_upper_bound",
];

fn strip(value: Value) -> Value {
    match value {
        Value::Object(object) => object
            .into_iter()
            .filter(|(key, _)| !LEFT_OUT.contains(&key.as_str()))
            .map(|(key, value)| (key, strip(value)))
            .collect(),
        Value::Array(values) => values.into_iter().map(strip).collect(),
        value => value,
    }
}

/// OpenSearch sorts what is missing as an infinity, and says so.
fn missing_as_null(value: &mut Value) {
    match value {
        Value::String(text) if text.ends_with("Infinity") => *value = Value::Null,
        Value::Array(values) => values.iter_mut().for_each(missing_as_null),
        Value::Object(object) => object.values_mut().for_each(missing_as_null),
        _ => {}
    }
}

/// Where two answers differ; numbers may differ by `tolerance` of their size.
fn difference(path: &str, a: &Value, b: &Value, tolerance: f64) -> Option<String> {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            if x == y {
                return None;
            }
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            let is_near = (x - y).abs() <= tolerance.max(1e-9) * x.abs().max(y.abs());
            (!is_near).then(|| format!("{path}: {x} is not {y}"))
        }
        (Value::Object(x), Value::Object(y)) => {
            let keys = x.keys().chain(y.keys().filter(|key| !x.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let path = format!("{path}/{key}");
                match (x.get(key), y.get(key)) {
                    (Some(a), Some(b)) => difference(&path, a, b, tolerance),
                    (a, b) => Some(format!("{path}: {a:?} is not {b:?}")),
                }
            })
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => x
            .iter()
            .zip(y)
            .enumerate()
            .find_map(|(n, (a, b))| difference(&format!("{path}/{n}"), a, b, tolerance)),
        _ => (a != b).then(|| format!("{path}: {a} is not {b}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_opensearch() {
    let cases: Value = serde_json::from_str(include_str!("search_cases.json")).unwrap();
    let answers: Value = serde_json::from_str(include_str!("search_answers.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), EmbeddedOptions::default()).unwrap();
    let index = "logs-cases-default";
    // In three commits, so that answers come from several segments.
    let documents = cases["documents"].as_array().unwrap();
    for (round, part) in documents.chunks(20).enumerate() {
        let mut body = Vec::new();
        for (n, document) in part.iter().enumerate() {
            let id = format!("id-{}", round * 20 + n);
            let action = json!({"create": {"_index": index, "_id": id}});
            body.extend_from_slice(format!("{action}\n{document}\n").as_bytes());
        }
        let answer = store.bulk(body.into(), Encoding::Identity).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["errors"], false, "{answer}");
    }
    let mut wrong = Vec::new();
    for case in cases["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        // A case with a known difference says how far numbers may be apart.
        let tolerance = case["tolerance"].as_f64().unwrap_or(0.0);
        let is_known = case["known_difference"].is_string();
        let found = match store.search(index, &case["request"]).await {
            Ok(found) => found,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let mut comparable = json!({"hits": found["hits"]});
        if let Some(aggregations) = found.get("aggregations") {
            comparable["aggregations"] = aggregations.clone();
        }
        let mut expected = answers[name].clone();
        if is_known {
            missing_as_null(&mut expected);
        }
        if let Some(text) = difference("", &strip(comparable), &expected, tolerance) {
            wrong.push(format!("{name}: {text}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
