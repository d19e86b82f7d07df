//! Opens a body into its documents, and makes a body of documents again.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use serde::Deserialize;

use crate::document_id::append_create;
use crate::{BodyMeta, Encoding};

/// Bodies below this go uncompressed when they are made again: they are few.
const SMALL: usize = 1_024;

/// One document of an opened body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) index: String,
    pub(crate) id: String,
    /// The document's line without its newline; shares the opened body's memory.
    pub(crate) source: Bytes,
    /// Position in [`BodyMeta::targets`].
    pub(crate) target: u16,
}

/// Why a body cannot be opened. Our own checksum stood over it, so this is a bug of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot open a bulk body: {0}")]
pub(crate) struct OpenError(String);

#[derive(Deserialize)]
struct Action {
    create: Create,
}

#[derive(Deserialize)]
struct Create {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
}

/// Opens a body. What is read is bounded by the size that the head tells.
pub(crate) fn open(meta: &BodyMeta, bytes: &Bytes) -> Result<Vec<Item>, OpenError> {
    let raw = decompress(meta, bytes)?;
    let mut items = Vec::new();
    let mut targets = meta.target_of_each();
    let mut at = 0;
    while at < raw.len() {
        let action = next_line(&raw, &mut at);
        let source = next_line(&raw, &mut at);
        let action: Action = serde_json::from_slice(&action)
            .map_err(|e| OpenError(format!("action line {}: {e}", items.len() + 1)))?;
        let target = targets
            .next()
            .ok_or_else(|| OpenError("more documents than told".to_owned()))?;
        let Create { index, id } = action.create;
        items.push(Item {
            index,
            id,
            source,
            target,
        });
    }
    if targets.next().is_some() {
        return Err(OpenError("fewer documents than told".to_owned()));
    }
    Ok(items)
}

/// Undoes the compression; more than the told size (or its half again) is refused.
pub(crate) fn decompress(meta: &BodyMeta, bytes: &Bytes) -> Result<Bytes, OpenError> {
    let limit = meta.raw_len.saturating_add(1);
    let capacity = usize::try_from(meta.raw_len).unwrap_or(0).min(64 << 20);
    let mut raw = Vec::with_capacity(capacity);
    let result = match meta.encoding {
        Encoding::Identity => return Ok(bytes.clone()),
        Encoding::Gzip => flate2::read::MultiGzDecoder::new(bytes.as_ref())
            .take(limit)
            .read_to_end(&mut raw),
        Encoding::Zstd => zstd::stream::read::Decoder::with_buffer(bytes.as_ref())
            .and_then(|decoder| decoder.take(limit).read_to_end(&mut raw)),
    };
    result.map_err(|e| OpenError(e.to_string()))?;
    if raw.len() as u64 > meta.raw_len {
        return Err(OpenError("larger than told".to_owned()));
    }
    Ok(raw.into())
}

fn next_line(raw: &Bytes, at: &mut usize) -> Bytes {
    let rest = raw.get(*at..).unwrap_or_default();
    let len = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    let line = raw.slice(*at..*at + len);
    *at = (*at + len + 1).min(raw.len());
    line
}

/// Appends a document with its action line.
pub(crate) fn append_item(out: &mut Vec<u8>, index: &str, id: &str, source: &[u8]) {
    append_create(out, index, id);
    out.extend_from_slice(source);
    out.push(b'\n');
}

/// Compresses a body made again: gzip, which every server takes.
pub(crate) fn compress(raw: Vec<u8>) -> (Encoding, Bytes) {
    if raw.len() < SMALL {
        return (Encoding::Identity, raw.into());
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    match encoder.write_all(&raw).and_then(|()| encoder.finish()) {
        Ok(bytes) => (Encoding::Gzip, bytes.into()),
        Err(_) => (Encoding::Identity, raw.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lane, Run, Target};

    fn meta(encoding: Encoding, raw_len: usize, docs: u32) -> BodyMeta {
        BodyMeta {
            encoding,
            raw_len: raw_len as u64,
            created_ms: 0,
            targets: vec![Target {
                index: "i".into(),
                namespace: String::new(),
            }],
            runs: vec![Run { target: 0, docs }],
            doubt_since_ms: None,
            lane: Lane::Fresh,
        }
    }

    #[test]
    fn bodies_open_in_every_encoding_and_joined() {
        let mut one = Vec::new();
        append_item(&mut one, "i", "a\"", b"{\"x\":1}");
        let mut two = Vec::new();
        append_item(&mut two, "i", "b", &vec![b' '; 2_000]);
        let len = one.len() + two.len();
        let gzip = |raw: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(raw).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = |raw: &[u8]| zstd::bulk::compress(raw, 1).unwrap();
        for (encoding, bytes) in [
            (Encoding::Identity, [one.clone(), two.clone()].concat()),
            (Encoding::Gzip, [gzip(&one), gzip(&two)].concat()),
            (Encoding::Zstd, [zstd(&one), zstd(&two)].concat()),
        ] {
            let bytes = Bytes::from(bytes);
            let items = open(&meta(encoding, len, 2), &bytes).unwrap();
            assert_eq!(
                items.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(),
                ["a\"", "b"]
            );
            assert_eq!(&items[0].source[..], b"{\"x\":1}");
            assert!(
                open(&meta(encoding, len, 1), &bytes).is_err(),
                "more than told"
            );
            assert!(
                open(&meta(encoding, len, 3), &bytes).is_err(),
                "fewer than told"
            );
            if encoding != Encoding::Identity {
                assert!(open(&meta(encoding, len - 1, 2), &bytes).is_err(), "a bomb");
                let cut = bytes.slice(..bytes.len() - 3);
                assert!(open(&meta(encoding, len, 2), &cut).is_err(), "torn");
            }
        }
    }

    #[test]
    fn what_is_compressed_opens_again() {
        for n in [1, 10_000] {
            let mut raw = Vec::new();
            append_item(&mut raw, "i", "1", &vec![b'x'; n]);
            let len = raw.len();
            let (encoding, bytes) = compress(raw);
            assert_eq!(
                open(&meta(encoding, len, 1), &bytes).unwrap()[0]
                    .source
                    .len(),
                n
            );
        }
    }
}
