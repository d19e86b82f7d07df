//! The answers that the embedded store is held to are those of a real OpenSearch: asked again. A real
//! Elasticsearch gives the same, or the case says by `elasticsearch` how it differs.

use serde_json::{Value, json};
use store::{Elasticsearch, ElasticsearchOptions, Encoding, InstallOptions, Store as _};
use tests::server::{Product, Server};

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

/// Whether two answers are the same; numbers may differ by `tolerance` of their size.
fn is_near(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            a == b || (x - y).abs() <= tolerance * x.abs().max(y.abs())
        }
        (Value::Object(x), Value::Object(y)) => {
            let has =
                |(key, a): (&String, &Value)| y.get(key).is_some_and(|b| is_near(a, b, tolerance));
            x.len() == y.len() && x.iter().all(has)
        }
        (Value::Array(x), Value::Array(y)) => {
            let mut pairs = x.iter().zip(y);
            x.len() == y.len() && pairs.all(|(a, b)| is_near(a, b, tolerance))
        }
        _ => a == b,
    }
}

#[tokio::test]
async fn recorded_answers_are_those_of_opensearch() {
    let wrong = differing(Product::OpenSearch, |_| Some(0.0)).await;
    assert!(wrong.is_empty(), "OpenSearch answers otherwise: {wrong:#?}");
}

#[tokio::test]
async fn recorded_answers_are_those_of_elasticsearch() {
    let wrong = differing(Product::Elasticsearch9, |case| {
        let is_known = case["elasticsearch"].is_string();
        (!is_known).then(|| case["tolerance"].as_f64().unwrap_or(0.0))
    })
    .await;
    assert!(
        wrong.is_empty(),
        "Elasticsearch answers otherwise: {wrong:#?}"
    );
}

/// The cases that a server of this make answers otherwise than it is recorded, with its answers.
/// `tolerance_of` tells how far numbers of a case may be apart; `None` where they are known to differ.
async fn differing(product: Product, tolerance_of: impl Fn(&Value) -> Option<f64>) -> Vec<String> {
    let read = |name: &str| -> Value {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../embedded/tests");
        let text = std::fs::read_to_string(format!("{dir}/{name}.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (cases, answers) = (read("search_cases"), read("search_answers"));
    // One of its own: the templates of other tests may take the same names.
    let server = tokio::task::spawn_blocking(move || Server::start(product).unwrap())
        .await
        .unwrap();
    let client = Elasticsearch::connect(ElasticsearchOptions::new(vec![server.url()]))
        .await
        .unwrap();
    let index = "logs-cases-default";
    let options = InstallOptions {
        data_stream_patterns: vec!["logs-cases-*".to_owned()],
        replicas: Some(0),
        ..InstallOptions::default()
    };
    client.install(&options).await;
    let mut body = Vec::new();
    for (n, document) in cases["documents"].as_array().unwrap().iter().enumerate() {
        let action = json!({"create": {"_index": index, "_id": format!("id-{n}")}});
        body.extend_from_slice(format!("{action}\n{document}\n").as_bytes());
    }
    let answer = client.bulk(body.into(), Encoding::Identity).await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    client.refresh(index).await.unwrap();
    let mut wrong = Vec::new();
    for case in cases["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let found = match client.search(index, &case["request"]).await {
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
        let comparable = strip(comparable);
        let tolerance = tolerance_of(case);
        if tolerance.is_some_and(|it| !is_near(&comparable, &answers[name], it)) {
            wrong.push(format!("{name}: {comparable}"));
        }
    }
    wrong
}
