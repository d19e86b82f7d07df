//! Compresses documents as they will go over the wire.

use bytes::Bytes;
use flate2::{Compress, FlushCompress, Status};
use store::Encoding;
use zstd::zstd_safe::{self, CCtx, CParameter};

/// Bodies are sent once and read once; a tighter level costs more CPU than the wire it saves
/// (docs/benchmarks.md).
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// Bits of the table by which zstd finds repetitions: 16 KiB of it, which stay in the nearest cache,
/// find as much in documents as the level's own 64 KiB do.
const ZSTD_HASH_BITS: u32 = 12;
/// The largest window that gzip has, as everyone uses.
const GZIP_WINDOW_BITS: u8 = 15;
/// Room that the compressor of gzip is given at a time, in bytes: documents are mostly repetition.
const GZIP_STEP: usize = 32 << 10;
/// Scratch memory above this is given back after the piece that needed it.
const KEEP_SCRATCH_BYTES: usize = 1 << 20;

/// The compressors of one thread. What they hold is kept from one piece to the next: making it
/// costs more than a small piece does.
#[derive(Default)]
pub struct Encoder {
    zstd: Option<Box<CCtx<'static>>>,
    gzip: Option<Box<Compress>>,
    out: Vec<u8>,
}

/// What a fragment brings to a body: pieces that are compressed, and what follows them as it is.
#[derive(Debug, Default)]
pub struct Part {
    /// Frames or members, in order.
    pub pieces: Vec<Bytes>,
    /// Documents that are not compressed.
    pub raw: Vec<u8>,
}

impl Encoder {
    /// One piece of a body: a frame of zstd, a member of gzip, or the documents as they are. Pieces
    /// of one encoding, one behind the other, are a body.
    pub fn encode(&mut self, encoding: Encoding, raw: &[u8]) -> Bytes {
        self.out.clear();
        match encoding {
            Encoding::Identity => return Bytes::copy_from_slice(raw),
            Encoding::Zstd => self.encode_zstd(raw),
            Encoding::Gzip => self.encode_gzip(raw),
        }
        let piece = Bytes::copy_from_slice(&self.out);
        if self.out.capacity() > KEEP_SCRATCH_BYTES {
            self.out = Vec::new();
        }
        piece
    }

    /// The pieces of a body of `parts`, one behind the other. What is not compressed yet is, together
    /// with its neighbours.
    pub fn join(&mut self, encoding: Encoding, parts: Vec<Part>) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let mut rest = Vec::new();
        for part in parts {
            if !part.pieces.is_empty() && !rest.is_empty() {
                pieces.push(self.encode(encoding, &rest));
                rest.clear();
            }
            pieces.extend(part.pieces);
            match rest.is_empty() {
                true => rest = part.raw,
                false => rest.extend_from_slice(&part.raw),
            }
        }
        if !rest.is_empty() {
            pieces.push(match encoding {
                Encoding::Identity => rest.into(),
                encoding => self.encode(encoding, &rest),
            });
        }
        pieces
    }

    /// In one call: the streaming ones copy what they are given, too.
    fn encode_zstd(&mut self, raw: &[u8]) {
        let context = self.zstd.get_or_insert_with(|| {
            let mut context = Box::new(CCtx::create());
            for parameter in [
                CParameter::CompressionLevel(ZSTD_LEVEL),
                CParameter::HashLog(ZSTD_HASH_BITS),
            ] {
                context
                    .set_parameter(parameter)
                    .expect("zstd has the level, and tables of that size");
            }
            context
        });
        // Not twice of it, which would be too much to keep.
        let most = zstd_safe::compress_bound(raw.len());
        self.out.reserve_exact(most);
        context
            .compress2(&mut self.out, raw)
            .expect("there is room for the worst case");
    }

    fn encode_gzip(&mut self, raw: &[u8]) {
        let compress = self.gzip.get_or_insert_with(|| {
            let level = flate2::Compression::new(GZIP_LEVEL);
            Box::new(Compress::new_gzip(level, GZIP_WINDOW_BITS))
        });
        compress.reset();
        loop {
            self.out.reserve(GZIP_STEP);
            let read = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
            let rest = raw.get(read..).unwrap_or_default();
            let status = compress
                .compress_vec(rest, &mut self.out, FlushCompress::Finish)
                .expect("compressing into memory cannot fail");
            if status == Status::StreamEnd {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

/// The pieces as one.
pub(super) fn join(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.remove(0);
    }
    pieces.concat().into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decoded(encoding: Encoding, body: &[u8]) -> Vec<u8> {
        let mut raw = Vec::new();
        match encoding {
            Encoding::Identity => raw.extend_from_slice(body),
            Encoding::Gzip => {
                let mut decoder = flate2::read::MultiGzDecoder::new(body);
                decoder.read_to_end(&mut raw).unwrap();
            }
            Encoding::Zstd => raw = zstd::decode_all(body).unwrap(),
        }
        raw
    }

    /// Noise, which does not compress, and more of it than gzip is given room for at once.
    fn noise(n: u64) -> Vec<u8> {
        (0..n)
            .flat_map(|i| xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes()).to_le_bytes())
            .collect()
    }

    #[test]
    fn every_encoding_gives_the_documents_back_one_after_the_other() {
        let mut encoder = Encoder::default();
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            for raw in [
                b"{\"create\":{}}\n{}\n".repeat(9_000),
                noise(100_000),
                b"{}\n".to_vec(),
                Vec::new(),
            ] {
                let piece = encoder.encode(encoding, &raw);
                assert!(decoded(encoding, &piece) == raw, "{encoding:?}");
            }
        }
    }

    #[test]
    fn parts_keep_their_order() {
        let mut encoder = Encoder::default();
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            let mut part = |pieces: &[&[u8]], raw: &[u8]| Part {
                pieces: pieces
                    .iter()
                    .map(|raw| encoder.encode(encoding, raw))
                    .collect(),
                raw: raw.to_vec(),
            };
            let parts = vec![
                part(&[], b"1\n"),
                part(&[], b"2\n"),
                part(&[b"3\n", b"4\n"], b"5\n"),
                part(&[], b""),
                part(&[], b"6\n"),
                part(&[b"7\n"], b""),
            ];
            let body = join(encoder.join(encoding, parts));
            assert_eq!(decoded(encoding, &body), b"1\n2\n3\n4\n5\n6\n7\n");
        }
    }
}
