//! What Grafana's own Elasticsearch data source asks of `/es/`, in the form in which it asks, and what
//! it reads of the answers.

use serde_json::{Value, json};
use tests::http::Http;

use crate::lines::{LINES, embedded_lines_of, exchange, index_of, lines_of, minute_of};

pub(crate) const COST: &str = "attributes.cost";
pub(crate) const ORDER: &str = "attributes.orderId";

#[test]
fn grafana_s_elasticsearch_data_source_works() {
    let (scene, aggregator) = lines_of("apies", "");
    check(&aggregator.http(), &index_of(&scene));
}

#[test]
fn grafana_s_elasticsearch_data_source_works_over_an_embedded_store() {
    let (_scratch, aggregator) = embedded_lines_of("apiembes");
    check(&aggregator.http(), "_all");
}

/// Over the lines of [`crate::lines::fill`]; `index` is the name that the data source is set up with.
fn check(http: &Http, index: &str) {
    let source = Source {
        http,
        index,
        minute: minute_of(http),
    };
    source.check_set_up();
    source.check_fields();
    source.check_counts_over_time();
    source.check_orders_of_terms();
    source.check_metrics();
    source.check_filters_and_steps();
    source.check_raw_data();
    source.check_logs();
    source.check_search();
    source.check_refusals();
}

/// A data source, and the minute of the lines.
pub(crate) struct Source<'a> {
    http: &'a Http,
    pub(crate) index: &'a str,
    pub(crate) minute: u64,
}

impl Source<'_> {
    /// Several searches in one request, as Grafana sends them.
    pub(crate) fn msearch(&self, searches: &[Value]) -> Vec<Value> {
        let head = json!({
            "search_type": "query_then_fetch", "ignore_unavailable": true, "index": self.index,
        });
        let body: String = searches
            .iter()
            .map(|search| format!("{head}\n{search}\n"))
            .collect();
        let reply = self
            .http
            .send(
                "POST",
                "/es/_msearch?max_concurrent_shard_requests=5",
                "application/x-ndjson",
                body.into_bytes(),
            )
            .unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        match reply.json()["responses"].take() {
            Value::Array(responses) => responses,
            _ => panic!("{}", reply.text()),
        }
    }

    /// The one answer to one search.
    pub(crate) fn one(&self, search: Value) -> Value {
        let mut answers = self.msearch(&[search]);
        assert_eq!(answers.len(), 1);
        let answer = answers.remove(0);
        assert_eq!(answer["status"], 200, "{answer}");
        answer
    }

    /// The query of a panel over the minute; `lucene` is what its author wrote.
    pub(crate) fn query(&self, lucene: &str) -> Value {
        let range = json!({"range": {"@timestamp": {
            "gte": self.minute, "lte": self.minute + 59_999, "format": "epoch_millis",
        }}});
        match lucene {
            // One filter stands alone.
            "" => json!({"bool": {"filter": range}}),
            _ => json!({"bool": {"filter": [
                range,
                {"query_string": {"analyze_wildcard": true, "query": lucene}},
            ]}}),
        }
    }

    /// The data source is tested, and finds what it talks to.
    fn check_set_up(&self) {
        for path in ["/es", "/es/"] {
            let root = self.http.get_json(path).unwrap();
            assert_eq!(root["version"]["number"], "8.0.0", "{root}");
            assert_eq!(root["version"]["build_flavor"], "default", "{root}");
        }
        let health = self
            .http
            .get_json("/es/_cluster/health?wait_for_status=yellow")
            .unwrap();
        assert_eq!(health["status"], "green");
        assert_eq!(self.http.get("/es/_xpack").unwrap().status, 404);
    }

    /// The fields that the editor of a query offers.
    fn check_fields(&self) {
        for path in [
            format!("/es/{}/_mapping", self.index),
            "/es/_mapping".to_owned(),
        ] {
            let mapping = self.http.get_json(&path).unwrap();
            let indices = mapping.as_object().unwrap();
            assert!(!indices.is_empty(), "{path}");
            for index in indices.values() {
                let fields = &index["mappings"]["properties"];
                let kind = |path: &[&str]| {
                    let (last, objects) = path.split_last().unwrap();
                    let within = objects
                        .iter()
                        .fold(fields, |fields, name| &fields[*name]["properties"]);
                    within[*last]["type"].as_str().unwrap_or_default()
                };
                assert_eq!(kind(&["@timestamp"]), "date_nanos", "{mapping}");
                // `text`, or `match_only_text` where the store has that.
                assert!(kind(&["message"]).ends_with("text"), "{mapping}");
                assert_eq!(kind(&["log", "level"]), "keyword", "{mapping}");
                assert_eq!(kind(&["service", "name"]), "keyword", "{mapping}");
                assert_eq!(kind(&["attributes", "orderId"]), "long", "{mapping}");
            }
        }
        let wanted = format!("fields=log.level,message,{ORDER}");
        for path in [
            format!("/es/{}/_field_caps?{wanted}", self.index),
            format!("/es/_field_caps?{wanted}"),
        ] {
            let caps = self.http.get_json(&path).unwrap();
            for (field, kind, has_values) in [
                ("log.level", "keyword", true),
                ("message", "text", false),
                (ORDER, "long", true),
            ] {
                let kinds = caps["fields"][field].as_object().unwrap();
                assert_eq!(kinds.len(), 1, "{caps}");
                for (name, of_kind) in kinds {
                    assert!(name.ends_with(kind), "{caps}");
                    assert_eq!(of_kind["searchable"], true, "{caps}");
                    assert_eq!(of_kind["aggregatable"], has_values, "{caps}");
                }
            }
            assert!(caps["fields"].get(COST).is_none(), "{caps}");
        }
        let all = format!("/es/{}/_field_caps", self.index);
        let caps = self.http.json("POST", &all, &Value::Null).unwrap();
        assert!(caps["fields"][COST]["long"].is_object(), "{caps}");
    }

    /// `_search` by parameters, and with a body, for people with curl.
    fn check_search(&self) {
        let by_parameters = "_search?q=log.level:error&size=3&from=1&sort=@timestamp:desc";
        for path in [
            format!("/es/{by_parameters}"),
            format!("/es/{}/{by_parameters}", self.index),
        ] {
            let found = self.http.get_json(&path).unwrap();
            assert_eq!(found["hits"]["total"]["value"], 24, "{path}");
            let hits = found["hits"]["hits"].as_array().unwrap();
            let orders: Vec<&Value> = hits
                .iter()
                .map(|hit| &hit["_source"]["attributes"]["orderId"])
                .collect();
            assert_eq!(orders, [220, 210, 200], "{path}");
        }
        let body = json!({
            "query": {"bool": {
                "must": [{"match_phrase": {"message": "order 7"}}],
                "must_not": {"term": {"log.level": "error"}},
            }},
            "_source": ["message"],
        });
        for index in ["", "logs-*/", &format!("{}/", self.index)] {
            let path = format!("/es/{index}_search");
            let found = self.http.json("POST", &path, &body).unwrap();
            assert_eq!(found["hits"]["total"]["value"], 1, "{path}");
            let source = &found["hits"]["hits"][0]["_source"];
            assert_eq!(*source, json!({"message": "order 7 took 49ms"}), "{path}");
        }
    }

    /// One search that fails leaves the others alone; all else that is wrong is a problem.
    fn check_refusals(&self) {
        let good = json!({"size": 0, "query": self.query("")});
        let answers = self.msearch(&[
            good.clone(),
            json!({"size": 0, "aggs": {"a": {"global": {}}}}),
            json!({"size": 0, "query": self.query("(")}),
            good,
        ]);
        for (answer, status) in answers.iter().zip([200, 400, 400, 200]) {
            assert_eq!(answer["status"], status, "{answer}");
            if status == 200 {
                assert_eq!(answer["hits"]["total"]["value"], LINES, "{answer}");
            } else {
                assert!(answer["error"]["reason"].is_string(), "{answer}");
            }
        }
        let plain = "content-type: application/json\r\n";
        let lines = "content-type: application/x-ndjson\r\n";
        for (method, path, headers, body, expected) in [
            ("POST", "/es/", plain, "{}", 405),
            ("PUT", "/es/_search", plain, "{}", 405),
            ("GET", "/es/_msearch", "", "", 405),
            ("POST", "/es/_mapping", plain, "{}", 405),
            ("POST", "/es/_search", plain, "[]", 400),
            ("POST", "/es/_search", plain, "{\"suggest\": {}}", 400),
            ("POST", "/es/_search", plain, "{\"size\": 10001}", 400),
            (
                "POST",
                "/es/_search",
                "content-type: text/plain\r\n",
                "{}",
                415,
            ),
            ("POST", "/es/_msearch", lines, "", 400),
            ("POST", "/es/_msearch", lines, "{}\n", 400),
            ("POST", "/es/_msearch", lines, "{}\n[]\n", 400),
            ("GET", "/es/_cat/indices", "", "", 400),
            ("DELETE", "/es/logs-a-b", "", "", 404),
            ("GET", "/es/secret/_search", "", "", 403),
            ("GET", "/es/.tailrace/_mapping", "", "", 403),
            ("GET", "/es/secret/_field_caps", "", "", 403),
        ] {
            let (status, head, said) = exchange(self.http, method, path, headers, body);
            assert_eq!(status, expected, "{method} {path} {body}: {said}");
            assert!(
                head.contains("content-type: application/problem+json"),
                "{head}"
            );
        }
    }
}
