//! `_bulk` bodies: opened into actions, and answered item by item.

use std::io::Read as _;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Encoding;

/// Largest body after decompression: four times what an aggregator ever makes.
const MAX_RAW: u64 = 256 << 20;

/// What is to be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActionKind {
    /// Index it unless its id is there.
    Create,
    /// Index it in place of the one with its id.
    Index,
    /// Delete it.
    Delete,
}

/// One action of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) kind: ActionKind,
    pub(crate) index: String,
    pub(crate) id: Option<String>,
    /// The document's line; empty for a deletion.
    pub(crate) source: Bytes,
}

#[derive(Deserialize)]
struct ActionLine {
    create: Option<Target>,
    index: Option<Target>,
    delete: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<String>,
}

/// What became of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Created,
    Updated,
    Deleted,
    NotFound,
    Duplicate,
    /// Refused: type and reason, in Elasticsearch's words.
    Refused(&'static str, String),
}

/// Undoes a body's compression.
///
/// # Errors
/// When it is not what it says, or too large.
pub(crate) fn decompress(bytes: &Bytes, encoding: Encoding) -> Result<Bytes, String> {
    let mut raw = Vec::new();
    let result = match encoding {
        Encoding::Identity => return Ok(bytes.clone()),
        Encoding::Gzip => flate2::read::MultiGzDecoder::new(bytes.as_ref())
            .take(MAX_RAW + 1)
            .read_to_end(&mut raw),
        Encoding::Zstd => zstd::stream::read::Decoder::with_buffer(bytes.as_ref())
            .and_then(|decoder| decoder.take(MAX_RAW + 1).read_to_end(&mut raw)),
    };
    result.map_err(|error| format!("cannot decompress the body: {error}"))?;
    if raw.len() as u64 > MAX_RAW {
        return Err(format!("the body is larger than {MAX_RAW} bytes"));
    }
    Ok(raw.into())
}

/// Opens a body. `default_index` stands for actions that name none.
///
/// # Errors
/// When an action line is not one: the whole body is refused then, as by a server.
pub(crate) fn parse(body: &Bytes) -> Result<Vec<Action>, String> {
    let mut actions = Vec::new();
    let mut lines = Lines { body, at: 0 };
    let mut number = 0;
    while let Some(line) = lines.next() {
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let at = number;
        let malformed = |what: &str| format!("Malformed action/metadata line [{at}], {what}");
        let action: ActionLine =
            serde_json::from_slice(&line).map_err(|error| malformed(&error.to_string()))?;
        let (kind, target) = match (action.create, action.index, action.delete) {
            (Some(target), None, None) => (ActionKind::Create, target),
            (None, Some(target), None) => (ActionKind::Index, target),
            (None, None, Some(target)) => (ActionKind::Delete, target),
            _ => return Err(malformed("expected one of `create`, `index`, `delete`")),
        };
        let source = match kind {
            ActionKind::Delete => Bytes::new(),
            _ => {
                number += 1;
                lines
                    .next()
                    .ok_or_else(|| malformed("its document is missing"))?
            }
        };
        let index = target.index.filter(|index| !index.is_empty());
        actions.push(Action {
            kind,
            index: index.ok_or_else(|| malformed("`_index` is missing"))?,
            id: target.id,
            source,
        });
    }
    Ok(actions)
}

struct Lines<'a> {
    body: &'a Bytes,
    at: usize,
}

impl Iterator for Lines<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let rest = self.body.get(self.at..).filter(|rest| !rest.is_empty())?;
        let len = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        let line = self.body.slice(self.at..self.at + len);
        self.at += len + 1;
        Some(line)
    }
}

/// The answer to a body.
pub(crate) fn answer(
    actions: &[(ActionKind, String, String)],
    fates: &[Fate],
    took_ms: u64,
) -> Value {
    let mut has_errors = false;
    let mut items = Vec::with_capacity(fates.len());
    for ((kind, index, id), fate) in actions.iter().zip(fates) {
        let (status, result) = match fate {
            Fate::Created => (201, "created"),
            Fate::Updated => (200, "updated"),
            Fate::Deleted => (200, "deleted"),
            Fate::NotFound => (404, "not_found"),
            Fate::Duplicate => (409, ""),
            Fate::Refused(..) => (400, ""),
        };
        let mut item = json!({"_index": index, "_id": id, "status": status});
        let error = match fate {
            Fate::Duplicate => Some((
                "version_conflict_engine_exception",
                format!("[{id}]: version conflict, document already exists"),
            )),
            Fate::Refused(kind, reason) => Some((*kind, reason.clone())),
            _ => None,
        };
        match error {
            Some((kind, reason)) => {
                has_errors = true;
                item["error"] = json!({"type": kind, "reason": reason});
            }
            None => item["result"] = result.into(),
        }
        let name = match kind {
            ActionKind::Create => "create",
            ActionKind::Index => "index",
            ActionKind::Delete => "delete",
        };
        items.push(json!({name: item}));
    }
    json!({"took": took_ms, "errors": has_errors, "items": items})
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bodies_are_opened() {
        let body = Bytes::from_static(
            b"{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"x\":1}\n{\"delete\":{\"_index\":\"a\",\"_id\":\"2\"}}\n{\"index\":{\"_index\":\"b\"}}\n{}\n",
        );
        let actions = parse(&body).unwrap();
        assert_eq!(actions.len(), 3);
        assert_eq!(actions[0].source, "{\"x\":1}");
        assert_eq!(
            (actions[1].kind, actions[1].id.as_deref()),
            (ActionKind::Delete, Some("2"))
        );
        assert_eq!(
            (actions[2].kind, actions[2].id.clone()),
            (ActionKind::Index, None)
        );
        for (body, expected) in [
            (
                "{\"create\":{\"_index\":\"a\"}}\n",
                "its document is missing",
            ),
            ("{\"update\":{\"_index\":\"a\"}}\n{}\n", "expected one of"),
            ("{}\n{}\n", "expected one of"),
            ("{\"create\":{}}\n{}\n", "`_index` is missing"),
            ("x\n", "Malformed action/metadata line [1]"),
        ] {
            let error = parse(&Bytes::from_static(body.as_bytes())).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let bytes = Bytes::from(bytes);
            drop(parse(&bytes));
            drop(decompress(&bytes, Encoding::Gzip));
            drop(decompress(&bytes, Encoding::Zstd));
        }
    }
}
