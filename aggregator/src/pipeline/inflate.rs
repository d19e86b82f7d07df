//! Undoes the compression of a batch.

use std::io::Read;

use zstd::zstd_safe;

use super::BatchError;

/// How a request's body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEncoding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// Decompresses one batch after the other, with memory that it keeps.
#[derive(Default)]
pub struct Inflater {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Inflater {
    /// Puts the decompressed `body` into `raw`, in the place of what was there; at most `max_bytes`
    /// of it.
    ///
    /// # Errors
    /// When the bytes are not what `encoding` says, or more than `max_bytes`.
    pub fn inflate(
        &mut self,
        body: &[u8],
        encoding: BodyEncoding,
        max_bytes: usize,
        raw: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        raw.clear();
        // One byte more than allowed tells "too large" from "just fits".
        let limit = max_bytes as u64 + 1;
        let read = match encoding {
            BodyEncoding::Identity => body.take(limit).read_to_end(raw),
            BodyEncoding::Gzip => flate2::read::MultiGzDecoder::new(body)
                .take(limit)
                .read_to_end(raw),
            BodyEncoding::Zstd => match told_bytes(body) {
                Some(bytes) if bytes > max_bytes => return Err(BatchError::TooLarge { max_bytes }),
                Some(bytes) => self.inflate_told(body, bytes, raw),
                None => zstd::stream::read::Decoder::with_buffer(body)
                    .and_then(|decoder| decoder.take(limit).read_to_end(raw)),
            },
        };
        read.map_err(BatchError::Decompress)?;
        if raw.len() > max_bytes {
            return Err(BatchError::TooLarge { max_bytes });
        }
        Ok(())
    }

    /// In one call, straight to where it belongs: the streaming ones copy out of a window, whose
    /// memory they ask for each time. Benchmark: `unpacking::zstd_1`.
    fn inflate_told(
        &mut self,
        body: &[u8],
        bytes: usize,
        raw: &mut Vec<u8>,
    ) -> std::io::Result<usize> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        raw.reserve(bytes);
        zstd.decompress_to_buffer(body, raw)
    }
}

/// How many bytes a body says that it holds, where it is one frame that says so: those of our agent
/// do.
fn told_bytes(body: &[u8]) -> Option<usize> {
    let bytes = zstd_safe::get_frame_content_size(body).ok()??;
    let is_all = zstd_safe::find_frame_compressed_size(body).is_ok_and(|n| n == body.len());
    usize::try_from(bytes).ok().filter(|_| is_all)
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn streamed(raw: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap()
    }

    fn gzipped(raw: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap()
    }

    /// Whoever compressed it, however often: in one frame that tells its size, in one that does not,
    /// in several.
    #[test]
    fn bodies_come_out_whole_up_to_the_limit() {
        let mut inflater = Inflater::default();
        let mut raw = b"left over from before".to_vec();
        let text = b"a line of a log\n".repeat(1000);
        let half = text.len() / 2;
        let told = |raw: &[u8]| zstd::bulk::compress(raw, 1).unwrap();
        for (encoding, body) in [
            (BodyEncoding::Identity, text.clone()),
            (BodyEncoding::Gzip, gzipped(&text)),
            (BodyEncoding::Zstd, told(&text)),
            (BodyEncoding::Zstd, streamed(&text)),
            (
                BodyEncoding::Zstd,
                [told(&text[..half]), streamed(&text[half..])].concat(),
            ),
        ] {
            inflater
                .inflate(&body, encoding, text.len(), &mut raw)
                .unwrap();
            assert!(raw == text, "{encoding:?}");
            let refused = inflater.inflate(&body, encoding, text.len() - 1, &mut raw);
            assert!(
                matches!(refused, Err(BatchError::TooLarge { .. })),
                "{encoding:?}"
            );
            if encoding != BodyEncoding::Identity {
                let cut = inflater.inflate(&body[..body.len() - 5], encoding, text.len(), &mut raw);
                assert!(
                    matches!(cut, Err(BatchError::Decompress(_))),
                    "{encoding:?} {cut:?}"
                );
            }
        }
    }

    /// A frame that tells less than it holds.
    #[test]
    fn a_frame_that_lies_is_refused() {
        let mut inflater = Inflater::default();
        let text = b"a line of a log\n".repeat(1000);
        let mut body = zstd::bulk::compress(&text, 1).unwrap();
        // Two bytes of size behind magic number and descriptor (RFC 8878, 3.1.1.1).
        assert_eq!(
            u16::from_le_bytes([body[5], body[6]]) as usize + 256,
            text.len()
        );
        body[6] -= 1;
        let mut raw = Vec::new();
        let result = inflater.inflate(&body, BodyEncoding::Zstd, 1 << 20, &mut raw);
        assert!(
            matches!(result, Err(BatchError::Decompress(_))),
            "{result:?}"
        );
    }
}
