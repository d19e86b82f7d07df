//! Answers in gzip, for clients that take it. A whole answer is packed by [`pack`], a stream by
//! who makes it; the live tail, whose events are small and must not wait, goes as it is.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use crate::body::{Body, full};

/// What is smaller is hardly smaller in gzip.
const MIN_BYTES: usize = 512;

/// Whether a client takes gzip, by its name or by `*`.
pub(crate) fn is_taken(headers: &HeaderMap) -> bool {
    let mut is_any_taken = false;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        for one in text.split(',') {
            let mut parts = one.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            // A weight of 0 refuses.
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let is_taken =
                weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|it| it > 0.0));
            match name {
                "gzip" | "x-gzip" => return is_taken,
                "*" => is_any_taken = is_taken,
                _ => {}
            }
        }
    }
    is_any_taken
}

/// Whether content of this type becomes smaller.
pub(crate) fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || ["json", "yaml", "svg"]
            .iter()
            .any(|kind| media_type.contains(kind))
}

/// The bytes in gzip, where that is smaller.
pub(crate) fn gzip(plain: &[u8], level: Compression) -> Option<Bytes> {
    if plain.len() < MIN_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(plain).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < plain.len()).then(|| packed.into())
}

/// Packs a whole answer of text that is not packed yet. Others, and streams, stay as they are.
pub(crate) async fn pack(response: Response<Body>) -> Response<Body> {
    let is_packed = response.headers().contains_key(header::CONTENT_ENCODING);
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let is_text = media_type
        .and_then(|value| value.to_str().ok())
        .is_some_and(is_text);
    // A stream does not know its length.
    let size = response.body().size_hint().exact().unwrap_or(0);
    if is_packed || !is_text || size < MIN_BYTES as u64 {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(whole) = body.collect().await else {
        // A body that knows its length is in memory, and does not fail.
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    let plain = whole.to_bytes();
    let given = plain.clone();
    // The quickest level: an answer of 1 MB is some milliseconds of a thread.
    let packing = tokio::task::spawn_blocking(move || gzip(&given, Compression::fast()));
    let Ok(Some(packed)) = packing.await else {
        return Response::from_parts(head, full(plain));
    };
    head.headers
        .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(head, full(packed))
}

/// Packs a stream. Each piece comes out as it goes in, so that its reader has it at once.
pub(crate) struct Packer {
    encoder: GzEncoder<Vec<u8>>,
}

impl Packer {
    pub(crate) fn new() -> Self {
        Self {
            encoder: GzEncoder::new(Vec::new(), Compression::fast()),
        }
    }

    /// The piece in gzip; `None` when the program stops.
    pub(crate) async fn piece(mut self, plain: Vec<u8>) -> Option<(Self, Vec<u8>)> {
        let packing = tokio::task::spawn_blocking(move || {
            self.encoder.write_all(&plain).ok()?;
            self.encoder.flush().ok()?;
            let packed = std::mem::take(self.encoder.get_mut());
            Some((self, packed))
        });
        packing.await.ok()?
    }

    /// What ends the stream.
    pub(crate) fn end(self) -> Vec<u8> {
        self.encoder.finish().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::body::typed;

    fn unpack(packed: &[u8]) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed)
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn clients_say_whether_they_take_it() {
        for (given, expected) in [
            (&["gzip, deflate, br, zstd"][..], true),
            (&["br;q=1.0, GZIP; q=0.5"], true),
            (&["br", "gzip"], true),
            (&["*"], true),
            (&["*;q=0.1, gzip;q=0"], false),
            (&["gzip;q=0"], false),
            (&["gzip;q=0.000, *"], false),
            (&["gzip;q=much"], false),
            (&["br, identity"], false),
            (&["gzipped"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for &value in given {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(is_taken(&headers), expected, "{given:?}");
        }
    }

    #[tokio::test]
    async fn whole_answers_of_text_are_packed() {
        let long = "{\"message\": \"a line like all others\"}\n".repeat(100);
        for media_type in ["application/json", "application/problem+json"] {
            let answer = typed(StatusCode::NOT_FOUND, media_type, long.clone());
            let packed = pack(answer).await;
            assert_eq!(packed.status(), StatusCode::NOT_FOUND);
            assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
            assert_eq!(packed.headers()[header::CONTENT_TYPE], media_type);
            let bytes = packed.into_body().collect().await.unwrap().to_bytes();
            assert!(bytes.len() < long.len() / 4, "{}", bytes.len());
            assert_eq!(unpack(&bytes), long);
        }
        for (media_type, text) in [("application/json", "{}"), ("image/png", long.as_str())] {
            let kept = pack(typed(StatusCode::OK, media_type, text.to_owned())).await;
            assert!(!kept.headers().contains_key(header::CONTENT_ENCODING));
            let bytes = kept.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(bytes, text);
        }
    }

    #[tokio::test]
    async fn streams_and_packed_answers_stay_as_they_are() {
        let (feed, body) = crate::body::stream();
        let mut answer = Response::new(body);
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(header::CONTENT_TYPE, json);
        let kept = pack(answer).await;
        assert!(!kept.headers().contains_key(header::CONTENT_ENCODING));
        assert!(feed.send("piece").await);
        feed.end();
        let bytes = kept.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes, "piece");
        let long = "all the same ".repeat(100);
        let once = pack(typed(StatusCode::OK, "text/plain", long.clone())).await;
        let twice = pack(once).await;
        let bytes = twice.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(unpack(&bytes), long);
    }

    #[tokio::test]
    async fn a_piece_can_be_read_before_the_next_one() {
        let (packer, mut packed) = Packer::new().piece(b"one,".to_vec()).await.unwrap();
        let mut begun = [0; 4];
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_exact(&mut begun)
            .unwrap();
        assert_eq!(&begun, b"one,");
        let (packer, more) = packer.piece(b"two".to_vec()).await.unwrap();
        packed.extend(more);
        packed.extend(packer.end());
        assert_eq!(unpack(&packed), "one,two");
    }
}
