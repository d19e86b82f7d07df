//! Document ids and action lines.
//!
//! An id says where a record stood and what it said (decision 4): ids of one stream share a prefix
//! and rise with the offset, which keeps the store's id index small.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Length of an id in characters: 20 bytes as base64url without padding.
const LEN: usize = 27;

/// The `_id` of a document. Built by [`document_id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocId([u8; LEN]);

impl DocId {
    /// The id as it stands in the action line: 27 characters of `A-Za-z0-9_-`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

impl std::fmt::Display for DocId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Builds the id of the record at `offset` of `stream` whose bytes hash to `hash`.
///
/// A pure function of its arguments (rule 4 of the delivery contract), so each try of a record
/// ends in the same id.
pub fn document_id(stream: u64, offset: u64, hash: u32) -> DocId {
    let mut raw = [0; 20];
    raw[..8].copy_from_slice(&stream.to_be_bytes());
    raw[8..16].copy_from_slice(&offset.to_be_bytes());
    raw[16..].copy_from_slice(&hash.to_be_bytes());
    let mut out = [0; LEN];
    let written = URL_SAFE_NO_PAD
        .encode_slice(raw, &mut out)
        .expect("20 bytes fit 27 characters");
    debug_assert_eq!(written, LEN);
    DocId(out)
}

/// Appends the action line `{"create":{"_index":…,"_id":…}}` and its newline to `out`.
///
/// `index` is escaped as JSON; the document's line follows, written by the caller.
pub fn append_action(out: &mut Vec<u8>, index: &str, id: &DocId) {
    append_create(out, index, id.as_str());
}

/// The action line of documents for one index, for those who write many of them. Benchmark:
/// `identifying::action_lines`.
#[derive(Debug, Clone)]
pub struct Action {
    before_id: Vec<u8>,
}

impl Action {
    /// Of documents for `index`.
    pub fn new(index: &str) -> Self {
        let mut before_id = b"{\"create\":{\"_index\":".to_vec();
        append_json_str(&mut before_id, index);
        before_id.extend_from_slice(b",\"_id\":\"");
        Self { before_id }
    }

    /// Appends what [`append_action`] does.
    #[inline]
    pub fn append(&self, out: &mut Vec<u8>, id: &DocId) {
        out.extend_from_slice(&self.before_id);
        // base64url needs no escapes.
        out.extend_from_slice(&id.0);
        out.extend_from_slice(b"\"}}\n");
    }
}

/// As [`append_action`], for an id of any form.
pub(crate) fn append_create(out: &mut Vec<u8>, index: &str, id: &str) {
    out.extend_from_slice(b"{\"create\":{\"_index\":");
    append_json_str(out, index);
    out.extend_from_slice(b",\"_id\":");
    append_json_str(out, id);
    out.extend_from_slice(b"}}\n");
}

/// Appends `text` as a JSON string.
pub(crate) fn append_json_str(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a string always serialises to memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule 4: the id follows from stream, offset and hash alone, and rises with the offset.
    #[test]
    fn id_is_a_function_of_place_and_content() {
        let id = document_id(0x0102_0304_0506_0708, 4096, 0xdead_beef);
        assert_eq!(id.as_str(), "AQIDBAUGBwgAAAAAAAAQAN6tvu8");
        assert_eq!(id, document_id(0x0102_0304_0506_0708, 4096, 0xdead_beef));
        assert_ne!(id, document_id(0x0102_0304_0506_0708, 4096, 0xdead_beee));
        let later = document_id(0x0102_0304_0506_0708, 4097, 0);
        assert_eq!(id.as_str().get(..10), later.as_str().get(..10));
    }

    #[test]
    fn action_lines_are_valid_json() {
        let id = document_id(1, 2, 3);
        for index in ["logs-a-b", "we\"ird\\", "line\nbreak"] {
            let mut out = Vec::new();
            append_action(&mut out, index, &id);
            let mut quick = Vec::new();
            Action::new(index).append(&mut quick, &id);
            assert_eq!(quick, out);
            assert_eq!(out.pop(), Some(b'\n'));
            assert!(!out.contains(&b'\n'));
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(value["create"]["_index"], index);
            assert_eq!(value["create"]["_id"], id.as_str());
        }
    }
}
