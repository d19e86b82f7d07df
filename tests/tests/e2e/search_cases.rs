//! The answers that the embedded store is held to are those of a real OpenSearch: asked again.

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

#[tokio::test]
async fn recorded_answers_are_those_of_opensearch() {
    let read = |name: &str| -> Value {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../embedded/tests");
        let text = std::fs::read_to_string(format!("{dir}/{name}.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (cases, answers) = (read("search_cases"), read("search_answers"));
    // One of its own: the templates of other tests may take the same names.
    let server = tokio::task::spawn_blocking(|| Server::start(Product::OpenSearch).unwrap())
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
        let found = client.search(index, &case["request"]).await.unwrap();
        let mut comparable = json!({"hits": found["hits"]});
        if let Some(aggregations) = found.get("aggregations") {
            comparable["aggregations"] = aggregations.clone();
        }
        if strip(comparable) != answers[name] {
            wrong.push(name.to_owned());
        }
    }
    assert!(wrong.is_empty(), "OpenSearch answers otherwise: {wrong:?}");
}
