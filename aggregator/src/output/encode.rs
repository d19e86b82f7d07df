//! Compresses a body as it will go over the wire.

use std::io::Write;

use bytes::Bytes;
use store::Encoding;

/// Compresses the parts of a body into one.
#[derive(Debug, Clone, Copy)]
pub struct Encoder {
    encoding: Encoding,
}

/// Bodies are sent once and read once; a tighter level costs more CPU than the wire it saves
/// (docs/benchmarks.md).
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

impl Encoder {
    /// An encoder for `encoding`.
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding }
    }

    /// What it makes.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Encodes `parts`, one behind the other.
    pub fn encode(&self, parts: Vec<Vec<u8>>) -> Vec<Bytes> {
        let raw_len: usize = parts.iter().map(Vec::len).sum();
        match self.encoding {
            Encoding::Identity => parts.into_iter().map(Bytes::from).collect(),
            Encoding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                let out = Vec::with_capacity(raw_len / 6 + 64);
                let mut encoder = flate2::write::GzEncoder::new(out, level);
                for part in &parts {
                    encoder
                        .write_all(part)
                        .expect("writing to memory cannot fail");
                }
                vec![
                    encoder
                        .finish()
                        .expect("writing to memory cannot fail")
                        .into(),
                ]
            }
            Encoding::Zstd => {
                let out = Vec::with_capacity(raw_len / 6 + 64);
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)
                    .expect("the level is one that zstd has");
                for part in &parts {
                    encoder
                        .write_all(part)
                        .expect("writing to memory cannot fail");
                }
                vec![
                    encoder
                        .finish()
                        .expect("writing to memory cannot fail")
                        .into(),
                ]
            }
        }
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

    #[test]
    fn every_encoding_gives_the_parts_back() {
        let parts = || {
            vec![
                b"{\"create\":{}}\n".to_vec(),
                b"{}\n".repeat(1000),
                Vec::new(),
            ]
        };
        let whole = parts().concat();
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            let body = join(Encoder::new(encoding).encode(parts()));
            let mut raw = Vec::new();
            match encoding {
                Encoding::Identity => raw = body.to_vec(),
                Encoding::Gzip => {
                    flate2::read::MultiGzDecoder::new(&body[..])
                        .read_to_end(&mut raw)
                        .unwrap();
                }
                Encoding::Zstd => raw = zstd::decode_all(&body[..]).unwrap(),
            }
            assert_eq!(raw, whole);
        }
    }
}
