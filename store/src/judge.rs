//! Judges each item of each bulk answer. The rules are delivery rule 19 and what real servers say
//! (tests below hold their words).

use serde::Deserialize;
use serde_json::Value;

/// What is to be done about one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Stored by this request.
    Indexed,
    /// The id is there already.
    Duplicate,
    /// The server is busy or broken: again, later. Holds the reason's type, for metrics.
    Retry(Box<ItemError>),
    /// The document cannot be indexed as it is.
    Bad(Box<ItemError>),
    /// The data stream takes nothing; no fault of the document.
    Park(Box<ItemError>),
}

/// Why an item failed, in the server's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ItemError {
    pub(crate) status: u16,
    pub(crate) kind: String,
    /// The reason and its causes, joined by `; `.
    pub(crate) reason: String,
}

/// The answer does not tell what became of each document: outcome unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot judge a bulk answer: {0}")]
pub(crate) struct Unreadable(String);

#[derive(Deserialize)]
struct BulkAnswer {
    errors: Option<bool>,
    items: Option<Vec<AnswerItem>>,
}

#[derive(Deserialize)]
struct AnswerItem {
    #[serde(alias = "index", alias = "update", alias = "delete")]
    create: AnswerResult,
}

#[derive(Deserialize)]
struct AnswerResult {
    status: u16,
    error: Option<Value>,
    failure_store: Option<String>,
}

/// Types of errors that are the document's own.
const DOCUMENT_ERRORS: &[&str] = &[
    "mapper_parsing_exception",
    "document_parsing_exception",
    "strict_dynamic_mapping_exception",
    "not_x_content_exception",
    "x_content_parse_exception",
    "json_parse_exception",
    "parsing_exception",
    "max_bytes_length_exceeded_exception",
];

/// `illegal_argument_exception` is used for everything; these of its reasons are the document's.
const DOCUMENT_REASONS: &[&str] = &[
    "immense term",
    "Limit of total fields",
    "Limit of mapping depth",
    "Limit of nested",
    "Limit of field name length",
    "cannot be changed from type",
    "can't merge a non object mapping",
    "merge a non-nested mapping",
    "object mapping",
    "failed to parse",
    "makes object resolution ambiguous",
    "field name cannot",
    "timestamp field",
    "nested documents has exceeded",
    "bytes can be at most",
    "mapper [",
];

/// Judges the body of an answer with status 200 to a request of `n_docs` documents.
/// `lists_items` is false for servers that answer success without a list of items.
pub(crate) fn judge_answer(
    body: &[u8],
    n_docs: usize,
    lists_items: bool,
) -> Result<Vec<Verdict>, Unreadable> {
    if are_all_created(body, n_docs) {
        return Ok(vec![Verdict::Indexed; n_docs]);
    }
    let answer: BulkAnswer = serde_json::from_slice(body).map_err(|e| Unreadable(e.to_string()))?;
    let items = answer.items.unwrap_or_default();
    if items.is_empty() && answer.errors == Some(false) && !lists_items {
        return Ok(vec![Verdict::Indexed; n_docs]);
    }
    if items.len() != n_docs {
        return Err(Unreadable(format!(
            "{} items for {n_docs} documents",
            items.len()
        )));
    }
    Ok(items
        .into_iter()
        .map(|item| judge_item(item.create))
        .collect())
}

/// Whether an answer says of each of `n_docs` documents, and in the fewest words, that it was
/// created: nearly all do, and reading them as JSON would take a twentieth of the aggregator's time.
/// Benchmark: `judging::all_created`.
fn are_all_created(body: &[u8], n_docs: usize) -> bool {
    items_without_errors(body)
        .and_then(count_created)
        .is_some_and(|n| n == n_docs)
}

/// What follows `"items":[` where nothing but `took` and `errors: false` stands before it.
fn items_without_errors(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body.strip_prefix(b"{")?;
    loop {
        if let Some(items) = rest.strip_prefix(b"\"items\":[") {
            return Some(items);
        }
        let behind = match rest.strip_prefix(b"\"took\":") {
            Some(took) => {
                let digits = took.iter().take_while(|b| b.is_ascii_digit()).count();
                took.get(digits..)?
            }
            None => rest.strip_prefix(b"\"errors\":false")?,
        };
        rest = behind.strip_prefix(b",")?;
    }
}

/// Counts items up to the end of the answer; `None` when one of them says anything else.
fn count_created(mut items: &[u8]) -> Option<usize> {
    let mut n = 0;
    loop {
        items = items.strip_prefix(br#"{"create":{"status":201}}"#)?;
        n += 1;
        match items {
            b"]}" => return Some(n),
            [b',', rest @ ..] => items = rest,
            _ => return None,
        }
    }
}

/// How many of the `n_docs` documents of a request its answer says are not stored; `None` when it
/// does not tell what became of each.
pub fn not_stored(body: &[u8], n_docs: usize) -> Option<usize> {
    let verdicts = judge_answer(body, n_docs, true).ok()?;
    let is_stored = |verdict: &&Verdict| matches!(verdict, Verdict::Indexed | Verdict::Duplicate);
    Some(verdicts.len() - verdicts.iter().filter(is_stored).count())
}

fn judge_item(result: AnswerResult) -> Verdict {
    let AnswerResult {
        status,
        error,
        failure_store,
    } = result;
    if (200..300).contains(&status) {
        // A failure store took what the data stream refused (delivery rule 23).
        if failure_store.as_deref() == Some("used") {
            return Verdict::Bad(Box::new(ItemError {
                status,
                kind: "failure_store".to_owned(),
                reason: "the document went to the failure store".to_owned(),
            }));
        }
        return Verdict::Indexed;
    }
    let error = item_error(status, error.as_ref());
    match status {
        409 if error.kind.is_empty() || error.kind == "version_conflict_engine_exception" => {
            Verdict::Duplicate
        }
        // Two requests made the index at the same time, and the like.
        408 | 409 | 425 | 429 => Verdict::Retry(Box::new(error)),
        _ if status >= 500 => Verdict::Retry(Box::new(error)),
        _ if error.kind == "resource_already_exists_exception" => Verdict::Retry(Box::new(error)),
        400 if is_document_error(&error) => Verdict::Bad(Box::new(error)),
        _ => Verdict::Park(Box::new(error)),
    }
}

fn is_document_error(error: &ItemError) -> bool {
    DOCUMENT_ERRORS.contains(&error.kind.as_str())
        || (error.kind == "illegal_argument_exception"
            && DOCUMENT_REASONS
                .iter()
                .any(|reason| error.reason.contains(reason)))
}

fn item_error(status: u16, error: Option<&Value>) -> ItemError {
    let mut out = ItemError {
        status,
        ..ItemError::default()
    };
    let mut next = error;
    if let Some(Value::String(text)) = error {
        out.reason.clone_from(text);
    }
    // Causes repeat their parents; three levels say all there is.
    for level in 0..3 {
        let Some(error) = next else { break };
        if level == 0 {
            out.kind = error["type"].as_str().unwrap_or_default().to_owned();
        }
        if let Some(reason) = error["reason"]
            .as_str()
            .filter(|r| !out.reason.contains(*r))
        {
            if !out.reason.is_empty() {
                out.reason.push_str("; ");
            }
            out.reason.extend(reason.chars().take(1_024));
        }
        next = error.get("caused_by");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is told by the quick look is what the answer says, whatever stands in it.
    #[test]
    fn answers_that_create_all_are_told_at_a_glance() {
        let created = r#"{"create":{"status":201}}"#;
        for (is_quick, n_docs, body) in [
            (
                true,
                1,
                format!(r#"{{"took":412,"errors":false,"items":[{created}]}}"#),
            ),
            (
                true,
                2,
                format!(r#"{{"errors":false,"took":3,"items":[{created},{created}]}}"#),
            ),
            (true, 1, format!(r#"{{"items":[{created}]}}"#)),
            (
                false,
                2,
                format!(r#"{{"took":412,"errors":false,"items":[{created}]}}"#),
            ),
            (
                false,
                1,
                format!(r#"{{"took":4,"errors":true,"items":[{created}]}}"#),
            ),
            (
                false,
                1,
                format!(r#"{{"took":4,"errors":false,"items":[{created}"#),
            ),
            (
                false,
                1,
                format!(r#"{{"took":4,"errors":false,"items":[{created},]}}"#),
            ),
            (
                false,
                1,
                format!(r#"{{"took":4,"errors":false,"items":[{created}]}} "#),
            ),
            (
                false,
                1,
                r#"{"took":4,"errors":false,"items":[{"create":{"status":200}}]}"#.to_owned(),
            ),
            (
                false,
                1,
                r#"{"took":4,"items":[{"create":{"status":201,"failure_store":"used"}}]}"#
                    .to_owned(),
            ),
            (
                false,
                0,
                r#"{"took":4,"errors":false,"items":[]}"#.to_owned(),
            ),
        ] {
            assert_eq!(are_all_created(body.as_bytes(), n_docs), is_quick, "{body}");
            if is_quick {
                let answer: BulkAnswer = serde_json::from_str(&body).unwrap();
                let items = answer.items.unwrap().into_iter();
                let read: Vec<_> = items.map(|item| judge_item(item.create)).collect();
                assert_eq!(read, vec![Verdict::Indexed; n_docs]);
            }
        }
    }

    /// Rule 19: only named document errors are mended; every other 4xx parks.
    /// Words of OpenSearch 3.8.0 and Elasticsearch 8.19.21.
    #[test]
    fn only_named_document_errors_are_the_documents_fault() {
        for (expected, status, kind, reason) in [
            ("Indexed", 201, "", ""),
            ("Indexed", 200, "", ""),
            (
                "Duplicate",
                409,
                "version_conflict_engine_exception",
                "[1]: version conflict, document already exists (current version [1])",
            ),
            (
                "Retry",
                429,
                "cluster_block_exception",
                "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];",
            ),
            (
                "Retry",
                429,
                "es_rejected_execution_exception",
                "rejected execution of coordinating operation",
            ),
            (
                "Retry",
                503,
                "unavailable_shards_exception",
                "primary shard is not active",
            ),
            ("Retry", 500, "node_closed_exception", ""),
            (
                "Retry",
                400,
                "resource_already_exists_exception",
                "index [a/x] already exists",
            ),
            (
                "Bad",
                400,
                "mapper_parsing_exception",
                "failed to parse field [n] of type [long] in document with id '1'.",
            ),
            (
                "Bad",
                400,
                "document_parsing_exception",
                "[1:42] failed to parse field [n] of type [long]",
            ),
            (
                "Bad",
                400,
                "strict_dynamic_mapping_exception",
                "mapping set to strict, dynamic introduction of [x] within [s] is not allowed",
            ),
            (
                "Bad",
                400,
                "illegal_argument_exception",
                "Limit of total fields [20] has been exceeded",
            ),
            (
                "Bad",
                400,
                "illegal_argument_exception",
                "Document contains at least one immense term in field=\"k\"",
            ),
            (
                "Bad",
                400,
                "illegal_argument_exception",
                "mapper [a] cannot be changed from type [long] to [text]",
            ),
            (
                "Park",
                400,
                "illegal_argument_exception",
                "only write ops with an op_type of create are allowed in data streams",
            ),
            (
                "Park",
                400,
                "illegal_argument_exception",
                "pipeline with id [x] does not exist",
            ),
            (
                "Park",
                400,
                "invalid_index_name_exception",
                "Invalid index name [Bad], must be lowercase",
            ),
            (
                "Park",
                400,
                "validation_exception",
                "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum shards open;",
            ),
            (
                "Park",
                401,
                "security_exception",
                "missing authentication credentials",
            ),
            (
                "Park",
                403,
                "security_exception",
                "action [indices:admin/auto_create] is unauthorized",
            ),
            (
                "Park",
                403,
                "cluster_block_exception",
                "index [x] blocked by: [FORBIDDEN/8/index write (api)];",
            ),
            (
                "Park",
                404,
                "index_not_found_exception",
                "no such index [x] and [action.auto_create_index] is [false]",
            ),
        ] {
            let mut result = json!({"status": status});
            if !kind.is_empty() {
                result["error"] = json!({"type": kind, "reason": reason});
            }
            let body = json!({"errors": status >= 300, "items": [{"create": result}]}).to_string();
            let verdicts = judge_answer(body.as_bytes(), 1, true).unwrap();
            let verdict = format!("{:?}", verdicts[0]);
            assert!(
                verdict.starts_with(expected),
                "{status} {kind} {reason}: {verdict}"
            );
        }
    }

    /// Rule 23: an answer 201 may mean the failure store.
    #[test]
    fn the_failure_store_is_no_success() {
        let body = br#"{"errors":false,"items":[{"create":{"status":201,"failure_store":"used"}},{"create":{"status":201,"failure_store":"not_applicable_or_unknown"}}]}"#;
        let verdicts = judge_answer(body, 2, true).unwrap();
        assert!(matches!(verdicts[0], Verdict::Bad(_)));
        assert_eq!(verdicts[1], Verdict::Indexed);
    }

    #[test]
    fn answers_that_do_not_tell_are_unreadable() {
        let ok =
            r#"{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}"#;
        assert!(judge_answer(ok.as_bytes(), 2, true).is_ok());
        for n_docs in [0, 1, 3] {
            assert!(judge_answer(ok.as_bytes(), n_docs, true).is_err());
        }
        for cut in 0..ok.len() {
            assert!(
                judge_answer(&ok.as_bytes()[..cut], 2, false).is_err(),
                "cut at {cut}"
            );
        }
        for body in ["", "<html>", "[]", "{}", r#"{"errors":true}"#] {
            assert!(judge_answer(body.as_bytes(), 2, false).is_err(), "{body}");
        }
        let bare = br#"{"took":1,"errors":false}"#;
        assert!(judge_answer(bare, 2, true).is_err());
        assert_eq!(judge_answer(bare, 2, false).unwrap().len(), 2);
    }

    #[test]
    fn what_is_there_already_counts_as_stored() {
        let answer = br#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409}},{"create":{"status":429}}]}"#;
        assert_eq!(not_stored(answer, 3), Some(1));
        assert_eq!(not_stored(answer, 2), None);
    }

    #[test]
    fn causes_are_kept_once() {
        let error = json!({"type": "a", "reason": "failed to parse", "caused_by":
            {"type": "b", "reason": "field name cannot be an empty string", "caused_by":
                {"type": "c", "reason": "failed to parse"}}});
        let error = item_error(400, Some(&error));
        assert_eq!(
            error.reason,
            "failed to parse; field name cannot be an empty string"
        );
        assert_eq!(item_error(500, Some(&json!("plain"))).reason, "plain");
    }
}
