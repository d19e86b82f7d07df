//! Puts index templates, the dead-letter data stream and the retention policy at start.
//!
//! Never fails: what a server lacks is replaced or left out, and said. Field types and settings are
//! probed one by one, because distributions of one version differ in their modules.

use hyper::Method;
use serde_json::{Map, Value, json};

use crate::elasticsearch::status_error;
use crate::{
    AUDIT_STREAM, Answer, DEAD_LETTER_STREAM, Elasticsearch, Flavour, InstallOptions, RequestError,
    Retention, StoreError,
};

/// Name of the templates and policies; the others have it as prefix.
const NAME: &str = "tailrace-logs";

/// What was put on the server and what could not be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstallReport {
    /// What was put.
    pub installed: Vec<String>,
    /// Field types and settings that the server refused, and what stands in their place.
    pub fallbacks: Vec<String>,
    /// What could not be put, with the request to make by hand.
    pub problems: Vec<String>,
}

/// Types and settings that this server takes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taken {
    message: &'static str,
    conflict: Value,
    lifecycle: bool,
    failure_store: bool,
}

/// Puts index templates, the dead-letter data stream and the retention policy. What the server
/// refuses is logged and stands in the report.
pub(crate) async fn install(client: &Elasticsearch, options: &InstallOptions) -> InstallReport {
    let mut report = InstallReport::default();
    if let Some(retention) = &options.retention {
        put_policy(client, options, retention, &mut report).await;
    }
    let taken = probe(client, options, &mut report).await;
    for (name, body) in templates(options, &taken) {
        put(
            client,
            &format!("/_index_template/{name}"),
            &body,
            &mut report,
        )
        .await;
    }
    // Made at start, so that the first dead letter needs no rights that the key may lack.
    let path = format!("/_data_stream/{DEAD_LETTER_STREAM}");
    match client.request(Method::PUT, &path, None).await {
        Ok(answer) if answer.status < 300 => report.installed.push(path),
        Ok(answer) => {
            let error = status_error(&answer).to_string();
            // There already, or a distribution without this API, which makes it at the first write.
            if !error.contains("already exists")
                && answer.status != 405
                && !error.contains("no handler")
            {
                report
                    .problems
                    .push(format!("cannot make {DEAD_LETTER_STREAM}: {error}"));
            }
        }
        Err(error) => report
            .problems
            .push(format!("cannot make {DEAD_LETTER_STREAM}: {error}")),
    }
    for note in &report.fallbacks {
        tracing::info!(note, "the store lacks a feature");
    }
    for problem in &report.problems {
        tracing::warn!(problem, "please install this by hand");
    }
    report
}

async fn put(client: &Elasticsearch, path: &str, body: &Value, report: &mut InstallReport) {
    let result = client.json(Method::PUT, path, Some(body)).await;
    match result {
        Ok(_) => report.installed.push(path.to_owned()),
        Err(error) => report
            .problems
            .push(format!("cannot put it: {error}; run PUT {path} {body}")),
    }
}

/// Asks by putting a template that matches no index.
async fn takes(client: &Elasticsearch, template: Value) -> Result<bool, StoreError> {
    // Several aggregators start at a time: names of their own, and patterns that do not overlap.
    let name = format!("tailrace-probe-{:016x}", fastrand::u64(..));
    let path = format!("/_index_template/{name}");
    let mut body = json!({"index_patterns": [name], "priority": 1});
    if let (Some(body), Value::Object(template)) = (body.as_object_mut(), template) {
        body.extend(template);
    }
    match client.json(Method::PUT, &path, Some(&body)).await {
        Ok(_) => {
            // One left behind matches nothing.
            if let Err(error) = client.json(Method::DELETE, &path, None).await {
                tracing::warn!(%error, path, "cannot delete a probe's template");
            }
            Ok(true)
        }
        Err(error) if error.status() == Some(400) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn probe(
    client: &Elasticsearch,
    options: &InstallOptions,
    report: &mut InstallReport,
) -> Taken {
    let is_opensearch = client
        .server()
        .is_some_and(|s| s.flavour == Flavour::OpenSearch);
    let field = |mapping: Value| json!({"template": {"mappings": {"properties": {"x": mapping}}}});
    let mut ask = async |what: &str, template: Value, instead: &str| -> bool {
        match takes(client, template).await {
            Ok(true) => true,
            Ok(false) => {
                if !instead.is_empty() {
                    report
                        .fallbacks
                        .push(format!("the store has no {what}: {instead}"));
                }
                false
            }
            Err(error) => {
                report
                    .fallbacks
                    .push(format!("cannot probe {what} ({error}): {instead}"));
                false
            }
        }
    };
    let message = if ask(
        "`match_only_text`",
        field(json!({"type": "match_only_text"})),
        "`message` is `text`",
    )
    .await
    {
        "match_only_text"
    } else {
        "text"
    };
    let flattened = json!({"type": "flattened", "ignore_above": 8_191});
    let flat_object = json!({"type": "flat_object"});
    let (first, second) = if is_opensearch {
        (flat_object, flattened)
    } else {
        (flattened, flat_object)
    };
    let conflict = if ask("first choice for mended fields", field(first.clone()), "").await {
        first
    } else if ask(
        "`flattened` or `flat_object`",
        field(second.clone()),
        "mended fields are stored but not searchable",
    )
    .await
    {
        second
    } else {
        json!({"type": "object", "enabled": false})
    };
    let lifecycle = options.retention.is_some()
        && !is_opensearch
        && ask(
            "ILM",
            json!({"template": {"settings": {"index.lifecycle.name": NAME}}}),
            "no retention, indices stay until someone deletes them",
        )
        .await;
    let failure_store = !is_opensearch
        && ask(
            "failure store setting",
            json!({"data_stream": {}, "template": {"data_stream_options": {"failure_store": {"enabled": false}}}}),
            "",
        )
        .await;
    Taken {
        message,
        conflict,
        lifecycle,
        failure_store,
    }
}

/// The templates by name.
fn templates(options: &InstallOptions, taken: &Taken) -> Vec<(String, Value)> {
    let mut settings = json!({
        "index.number_of_shards": options.shards,
        "index.refresh_interval": format!("{}s", options.refresh.as_secs().max(1)),
        "index.mapping.total_fields.limit": options.max_fields,
        "index.codec": "best_compression",
    });
    if let Some(replicas) = options.replicas {
        settings["index.number_of_replicas"] = replicas.into();
    }
    if taken.lifecycle {
        settings["index.lifecycle.name"] = NAME.into();
    }
    let template = |patterns: &[String], mappings: Value, is_stream: bool| {
        let mut template = json!({"settings": settings, "mappings": mappings});
        if is_stream && taken.failure_store {
            template["data_stream_options"] = json!({"failure_store": {"enabled": false}});
        }
        let mut body = json!({
            "index_patterns": patterns,
            "priority": options.priority,
            "template": template,
            "_meta": {"managed_by": "tailrace"},
        });
        if is_stream {
            body["data_stream"] = json!({});
        }
        body
    };
    let mut out = Vec::new();
    if !options.data_stream_patterns.is_empty() {
        let body = template(&options.data_stream_patterns, log_mappings(taken), true);
        out.push((NAME.to_owned(), body));
    }
    if !options.plain_patterns.is_empty() {
        let body = template(&options.plain_patterns, log_mappings(taken), false);
        out.push(("tailrace-plain".to_owned(), body));
    }
    let own = |stream: &str| vec![format!("{}-*", stream.trim_end_matches("-default"))];
    out.push((
        "tailrace-dead-letter".to_owned(),
        template(&own(DEAD_LETTER_STREAM), dead_letter_mappings(taken), true),
    ));
    out.push((
        "tailrace-audit".to_owned(),
        template(&own(AUDIT_STREAM), log_mappings(taken), true),
    ));
    out
}

fn keyword() -> Value {
    json!({"type": "keyword", "ignore_above": 1_024})
}

/// Keys of the flat form, nested as mappings want them.
fn properties(fields: &[(&str, Value)]) -> Value {
    fn insert(map: &mut Map<String, Value>, path: &str, mapping: &Value) {
        match path.split_once('.') {
            None => {
                map.insert(path.to_owned(), mapping.clone());
            }
            Some((head, rest)) => {
                let child = map.entry(head).or_insert_with(|| json!({"properties": {}}));
                if let Some(Value::Object(child)) = child.get_mut("properties") {
                    insert(child, rest, mapping);
                }
            }
        }
    }
    let mut map = Map::new();
    for (path, mapping) in fields {
        insert(&mut map, path, mapping);
    }
    Value::Object(map)
}

fn dynamic_templates() -> Value {
    json!([{"strings": {"match_mapping_type": "string", "mapping": keyword()}}])
}

fn log_mappings(taken: &Taken) -> Value {
    let mut fields = vec![
        ("@timestamp", json!({"type": "date_nanos"})),
        ("event.ingested", json!({"type": "date"})),
        ("message", json!({"type": taken.message})),
        ("error.stack_trace", json!({"type": taken.message})),
        ("log.offset", json!({"type": "long"})),
        ("tailrace.length", json!({"type": "long"})),
        (
            "tailrace.parts",
            json!({"type": "object", "enabled": false}),
        ),
        (
            "tailrace.dropped",
            json!({"type": "object", "enabled": false}),
        ),
        ("tailrace.conflict", taken.conflict.clone()),
        (
            "tailrace.overflow",
            json!({"type": "object", "enabled": false}),
        ),
        (
            "tailrace.mended_reason",
            json!({"type": "keyword", "ignore_above": 1_024}),
        ),
        ("attributes", json!({"type": "object", "dynamic": true})),
        (
            "kubernetes.labels",
            json!({"type": "object", "dynamic": true}),
        ),
    ];
    for path in [
        "log.level",
        "log.iostream",
        "log.file.path",
        "kubernetes.namespace",
        "kubernetes.pod.name",
        "kubernetes.pod.uid",
        "kubernetes.container.name",
        "kubernetes.node.name",
        "container.id",
        "container.image.name",
        "service.name",
        "trace.id",
        "span.id",
        "tailrace.stream",
        "tailrace.rule",
        "tags",
    ] {
        fields.push((path, keyword()));
    }
    json!({
        "date_detection": false,
        "dynamic_templates": dynamic_templates(),
        "properties": properties(&fields),
    })
}

/// Nothing of a letter can conflict: unknown fields are stored, not indexed.
fn dead_letter_mappings(taken: &Taken) -> Value {
    let fields = [
        ("@timestamp", json!({"type": "date"})),
        ("message", json!({"type": taken.message})),
        (
            "tailrace.dead_letter.document",
            json!({"type": "keyword", "index": false, "doc_values": false}),
        ),
        ("tailrace.dead_letter.reason", keyword()),
        ("tailrace.dead_letter.type", keyword()),
        ("tailrace.dead_letter.status", json!({"type": "short"})),
        ("tailrace.dead_letter.index", keyword()),
        ("tailrace.dead_letter.id", keyword()),
        ("tailrace.dead_letter.part", json!({"type": "integer"})),
        ("tailrace.dead_letter.parts", json!({"type": "integer"})),
    ];
    json!({"dynamic": false, "properties": properties(&fields)})
}

async fn put_policy(
    client: &Elasticsearch,
    options: &InstallOptions,
    retention: &Retention,
    report: &mut InstallReport,
) {
    let is_opensearch = client
        .server()
        .is_some_and(|s| s.flavour == Flavour::OpenSearch);
    let (path, body) = if is_opensearch {
        (
            format!("/_plugins/_ism/policies/{NAME}"),
            ism_policy(options, retention),
        )
    } else {
        (format!("/_ilm/policy/{NAME}"), ilm_policy(retention))
    };
    let mut answer = client.request(Method::PUT, &path, Some(&body)).await;
    if matches!(&answer, Ok(answer) if answer.status == 409) {
        answer = match replacing(client, &path, &body).await {
            Ok(Some(replacing)) => client.request(Method::PUT, &replacing, Some(&body)).await,
            Ok(None) => return report.installed.push(format!("{path} (as it was)")),
            Err(error) => Err(error),
        };
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            report
                .problems
                .push(format!("cannot put the retention policy: {error}"));
            return;
        }
    };
    match answer.status {
        200..=299 => report.installed.push(path),
        400 | 404 | 405 if lacks_the_api(&answer) => report.problems.push(format!(
            "the store has no {}: old indices are not deleted; delete them by other means",
            if is_opensearch {
                "ISM (index-management plugin)"
            } else {
                "ILM"
            },
        )),
        _ => report
            .problems
            .push(format!("{}; run PUT {path} {body}", status_error(&answer))),
    }
}

/// Where a policy of ISM that is there already is put: it is replaced only by who names its
/// sequence numbers. `None`: it says what it should.
///
/// <https://docs.opensearch.org/latest/im-plugin/ism/api/#update-policy>
async fn replacing(
    client: &Elasticsearch,
    path: &str,
    body: &Value,
) -> Result<Option<String>, RequestError> {
    let answer = client.request(Method::GET, path, None).await?;
    let known: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if says(&known["policy"], &body["policy"]) {
        return Ok(None);
    }
    let (seq_no, term) = (&known["_seq_no"], &known["_primary_term"]);
    Ok(Some(format!(
        "{path}?if_seq_no={seq_no}&if_primary_term={term}"
    )))
}

/// Whether a document says all that another says; the server adds defaults of its own.
fn says(known: &Value, wanted: &Value) -> bool {
    match (known, wanted) {
        (Value::Object(known), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| known.get(key).is_some_and(|known| says(known, wanted))),
        (Value::Array(known), Value::Array(wanted)) => {
            known.len() == wanted.len() && known.iter().zip(wanted).all(|(k, w)| says(k, w))
        }
        _ => known == wanted,
    }
}

/// Whether an answer says that there is no such API, rather than what is wrong with the request.
fn lacks_the_api(answer: &Answer) -> bool {
    let said = String::from_utf8_lossy(&answer.body);
    answer.status != 400 || said.contains("no handler found")
}

fn ilm_policy(retention: &Retention) -> Value {
    json!({"policy": {"phases": {
        "hot": {"actions": {"rollover": {
            "max_age": format!("{}s", retention.rollover_age.as_secs().max(1)),
            "max_primary_shard_size": format!("{}b", retention.rollover_bytes),
        }}},
        "delete": {
            "min_age": format!("{}s", retention.delete_after.as_secs()),
            "actions": {"delete": {}},
        },
    }}})
}

/// ISM knows no seconds for ages in some versions: minutes it is.
fn ism_policy(options: &InstallOptions, retention: &Retention) -> Value {
    let minutes = |d: std::time::Duration| format!("{}m", (d.as_secs() / 60).max(1));
    let own =
        [DEAD_LETTER_STREAM, AUDIT_STREAM].map(|s| format!("{}-*", s.trim_end_matches("-default")));
    let patterns: Vec<&str> = options
        .data_stream_patterns
        .iter()
        .chain(&own)
        .map(String::as_str)
        .collect();
    json!({"policy": {
        "description": "Retention of logs that Tailrace ships",
        "default_state": "hot",
        "ism_template": [{"index_patterns": patterns, "priority": options.priority}],
        "states": [
            {
                "name": "hot",
                "actions": [{"rollover": {
                    "min_index_age": minutes(retention.rollover_age),
                    "min_primary_shard_size": format!("{}b", retention.rollover_bytes),
                }}],
                "transitions": [{
                    "state_name": "delete",
                    "conditions": {"min_rollover_age": minutes(retention.delete_after)},
                }],
            },
            {"name": "delete", "actions": [{"delete": {}}], "transitions": []},
        ],
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> Taken {
        Taken {
            message: "text",
            conflict: json!({"type": "flattened"}),
            lifecycle: true,
            failure_store: true,
        }
    }

    /// Rule 23: failure stores are off in our templates.
    #[test]
    fn templates_turn_the_failure_store_off_where_it_is_known() {
        let all = templates(&InstallOptions::default(), &taken());
        assert_eq!(all.len(), 3);
        for (name, body) in &all {
            assert_eq!(
                body["template"]["data_stream_options"]["failure_store"]["enabled"], false,
                "{name}"
            );
            assert_eq!(body["priority"], 500);
            assert_eq!(body["template"]["settings"]["index.lifecycle.name"], NAME);
        }
        let logs = &all[0].1["template"]["mappings"]["properties"];
        assert_eq!(
            logs["kubernetes"]["properties"]["pod"]["properties"]["name"]["type"],
            "keyword"
        );
        assert_eq!(
            logs["tailrace"]["properties"]["conflict"]["type"],
            "flattened"
        );
    }

    /// As in Elastic's reference of "Create or update a lifecycle policy", word by word.
    #[test]
    fn the_ilm_policy_has_the_documented_shape() {
        let documented = json!({"policy": {"phases": {
            "hot": {"actions": {"rollover": {
                "max_age": "86400s",
                "max_primary_shard_size": "50000000000b",
            }}},
            "delete": {"min_age": "2592000s", "actions": {"delete": {}}},
        }}});
        assert_eq!(ilm_policy(&Retention::default()), documented);
    }

    /// As in OpenSearch's reference of ISM policies: states with actions and transitions, and the
    /// template that ties the policy to new indices.
    #[test]
    fn the_ism_policy_has_the_documented_shape() {
        let documented = json!({"policy": {
            "description": "Retention of logs that Tailrace ships",
            "default_state": "hot",
            "states": [
                {
                    "name": "hot",
                    "actions": [{"rollover": {
                        "min_index_age": "1440m",
                        "min_primary_shard_size": "50000000000b",
                    }}],
                    "transitions": [
                        {"state_name": "delete", "conditions": {"min_rollover_age": "43200m"}},
                    ],
                },
                {"name": "delete", "actions": [{"delete": {}}], "transitions": []},
            ],
            "ism_template": [{
                "index_patterns": [
                    "logs-kubernetes.container_logs-*",
                    "logs-generic-*",
                    "logs-system.journal-*",
                    "logs-kubernetes.events-*",
                    "logs-tailrace.dead_letter-*",
                    "logs-tailrace.audit-*",
                ],
                "priority": 500,
            }],
        }});
        let options = InstallOptions::default();
        assert_eq!(ism_policy(&options, &Retention::default()), documented);
    }
}
