//! Reads dead letters and posts the documents in them again, each under its old `_id`. A letter is
//! removed only when the store has answered 201 or 409 for its document (delivery rule 22).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::items::{append_item, compress};
use crate::judge::{Verdict, judge_answer};
use crate::{DEAD_LETTER_STREAM, Store, StoreError};

/// Letters read at a time; each holds at most some 128 KiB of document.
const PAGE: usize = 100;

/// Reasons kept for people.
const MAX_REASONS: usize = 10;

/// Which letters to replay; empty fields match all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Index or data stream that the document was meant for.
    pub index: Option<String>,
    /// Type of the error, as the store named it.
    pub error_type: Option<String>,
    /// Letters filed since, as the store reads times (`2026-11-21T00:00:00Z`, `now-1d`).
    pub since: Option<String>,
    /// At most this many letters.
    pub limit: Option<u64>,
    /// Only count.
    pub dry_run: bool,
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Letters that matched.
    pub matched: u64,
    /// Documents that the store took now.
    pub indexed: u64,
    /// Documents that it had already.
    pub duplicate: u64,
    /// Documents that it refused again, or whose letters are incomplete: the letter stays.
    pub failed: u64,
    /// The first reasons of `failed`.
    pub reasons: Vec<String>,
    /// Letters removed.
    pub removed: u64,
}

/// A document, put together from its letters.
struct Document {
    index: String,
    id: String,
    source: String,
    /// Backing index and id of each letter.
    letters: Vec<(String, String)>,
}

/// Posts the documents of matching letters again. A store that never got one has none.
///
/// # Errors
///
/// When the store does not answer as asked; what was done until then stays done, and a second run
/// goes on from there.
pub async fn replay(client: &dyn Store, filter: &Filter) -> Result<Replayed, StoreError> {
    let mut replayed = Replayed::default();
    match client.refresh(DEAD_LETTER_STREAM).await {
        Err(error) if error.status() == Some(404) => return Ok(replayed),
        refreshed => refreshed?,
    }
    let mut after: Option<Value> = None;
    loop {
        let mut query = first_parts(filter);
        if let Some(after) = &after {
            query["search_after"] = after.clone();
        }
        let mut answer = client.search(DEAD_LETTER_STREAM, &query).await?;
        let Some(Value::Array(hits)) = answer.pointer_mut("/hits/hits").map(Value::take) else {
            return Err(StoreError::Json("no `hits` in it".to_owned()));
        };
        let Some(last) = hits.last() else {
            return Ok(replayed);
        };
        after = Some(last["sort"].clone());
        let mut documents = Vec::new();
        for hit in &hits {
            if filter.limit.is_some_and(|limit| replayed.matched >= limit) {
                break;
            }
            replayed.matched += 1;
            if filter.dry_run {
                continue;
            }
            match whole(client, hit).await? {
                Some(document) => documents.push(document),
                None => fail(
                    &mut replayed,
                    "a part of the document is missing".to_owned(),
                ),
            }
        }
        // One at a time where they are long, so that no request is larger than a sender's.
        let mut batch = Vec::new();
        let mut size = 0;
        for document in documents {
            size += document.source.len();
            batch.push(document);
            if size > 4_000_000 {
                post(client, &std::mem::take(&mut batch), &mut replayed).await?;
                size = 0;
            }
        }
        post(client, &batch, &mut replayed).await?;
        if filter.limit.is_some_and(|limit| replayed.matched >= limit) {
            return Ok(replayed);
        }
    }
}

fn first_parts(filter: &Filter) -> Value {
    let mut must = vec![json!({"term": {"tailrace.dead_letter.part": 0}})];
    for (field, value) in [
        ("tailrace.dead_letter.index", &filter.index),
        ("tailrace.dead_letter.type", &filter.error_type),
    ] {
        if let Some(value) = value {
            must.push(json!({"term": {field: value}}));
        }
    }
    if let Some(since) = &filter.since {
        must.push(json!({"range": {"@timestamp": {"gte": since}}}));
    }
    json!({
        "size": PAGE,
        "query": {"bool": {"filter": must}},
        "sort": [
            {"@timestamp": {"order": "asc", "unmapped_type": "date"}},
            {"tailrace.dead_letter.index": {"order": "asc", "unmapped_type": "keyword"}},
            {"tailrace.dead_letter.id": {"order": "asc", "unmapped_type": "keyword"}},
        ],
        "track_total_hits": false,
    })
}

/// The document of a first letter; `None` when other letters of it are not there.
async fn whole(client: &dyn Store, hit: &Value) -> Result<Option<Document>, StoreError> {
    let letter = &hit["_source"]["tailrace.dead_letter"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let parts = letter["parts"].as_u64().unwrap_or(1);
    let mut document = Document {
        index: text(&letter["index"]),
        id: text(&letter["id"]),
        source: text(&letter["document"]),
        letters: vec![(text(&hit["_index"]), text(&hit["_id"]))],
    };
    if document.index.is_empty() || document.id.is_empty() {
        return Ok(None);
    }
    if parts > 1 {
        let query = json!({
            "size": 10_000,
            "query": {"bool": {"filter": [
                {"term": {"tailrace.dead_letter.index": document.index}},
                {"term": {"tailrace.dead_letter.id": document.id}},
                {"range": {"tailrace.dead_letter.part": {"gt": 0}}},
            ]}},
        });
        let answer = client.search(DEAD_LETTER_STREAM, &query).await?;
        let mut rest = BTreeMap::new();
        for hit in answer["hits"]["hits"].as_array().into_iter().flatten() {
            let letter = &hit["_source"]["tailrace.dead_letter"];
            if let Some(part) = letter["part"].as_u64() {
                document
                    .letters
                    .push((text(&hit["_index"]), text(&hit["_id"])));
                rest.insert(part, text(&letter["document"]));
            }
        }
        if rest.len() as u64 != parts - 1 {
            return Ok(None);
        }
        document.source.extend(rest.into_values());
    }
    Ok(Some(document))
}

fn fail(replayed: &mut Replayed, reason: String) {
    replayed.failed += 1;
    if replayed.reasons.len() < MAX_REASONS {
        replayed.reasons.push(reason);
    }
}

async fn post(
    client: &dyn Store,
    documents: &[Document],
    replayed: &mut Replayed,
) -> Result<(), StoreError> {
    let mut requests = vec![documents];
    while let Some(documents) = requests.pop() {
        if documents.is_empty() {
            continue;
        }
        let Some(refused) = post_one(client, documents, replayed).await? else {
            continue;
        };
        // Too large together, or one of them spoils the request: none may stop the others.
        match documents {
            [_] => fail(replayed, refused.to_string()),
            _ => {
                let (first, second) = documents.split_at(documents.len() / 2);
                requests.extend([second, first]);
            }
        }
    }
    Ok(())
}

/// One request; answers the refusal when the server refuses the request for what is in it.
async fn post_one(
    client: &dyn Store,
    documents: &[Document],
    replayed: &mut Replayed,
) -> Result<Option<StoreError>, StoreError> {
    let mut raw = Vec::new();
    for document in documents {
        append_item(
            &mut raw,
            &document.index,
            &document.id,
            document.source.as_bytes(),
        );
    }
    let (encoding, bytes) = compress(raw);
    let answer = client.bulk(bytes, encoding).await?;
    if matches!(answer.status, 400 | 413) {
        return Ok(Some(crate::elasticsearch::status_error(&answer)));
    }
    if answer.status != 200 {
        return Err(crate::elasticsearch::status_error(&answer));
    }
    let verdicts = judge_answer(&answer.body, documents.len(), true)
        .map_err(|e| StoreError::Json(e.to_string()))?;
    let mut letters = Vec::new();
    for (document, verdict) in documents.iter().zip(verdicts) {
        match verdict {
            Verdict::Indexed => replayed.indexed += 1,
            Verdict::Duplicate => replayed.duplicate += 1,
            Verdict::Retry(error) | Verdict::Bad(error) | Verdict::Park(error) => {
                fail(
                    replayed,
                    format!("{} {}: {}", error.status, error.kind, error.reason),
                );
                continue;
            }
        }
        letters.extend_from_slice(&document.letters);
    }
    replayed.removed += client.delete(&letters).await?;
    Ok(None)
}
