//! Bodies that are ready: read from files, cut anew if that is wanted, and compressed.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use hyper::body::Bytes;
use store::Encoding;

/// Levels that the aggregator compresses by.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// Bodies of `_bulk` requests, as they go over the wire.
#[derive(Debug)]
pub(super) struct ReadyMade {
    /// How all of them are compressed.
    pub(super) encoding: Encoding,
    /// The bodies, in the order in which they are sent.
    pub(super) bodies: Vec<ReadyBody>,
    /// Documents in all of them.
    pub(super) documents: u64,
}

/// A body of a `_bulk` request.
#[derive(Debug)]
pub(super) struct ReadyBody {
    /// The body, compressed.
    pub(super) bytes: Bytes,
    /// Its bytes before that.
    pub(super) raw_bytes: u64,
}

impl ReadyMade {
    /// The bodies in `files`, each as it is.
    pub(super) fn as_made(files: &[PathBuf], encoding: Encoding) -> anyhow::Result<Self> {
        let mut made = Self::none(encoding);
        for file in files {
            made.push(read(file)?)?;
        }
        Ok(made)
    }

    /// The documents of the bodies in `files`, in their order, in bodies of up to `most` bytes before
    /// compression. A single document that is larger makes a larger body.
    pub(super) fn cut(files: &[PathBuf], encoding: Encoding, most: usize) -> anyhow::Result<Self> {
        let mut made = Self::none(encoding);
        let mut body = Vec::with_capacity(most);
        for file in files {
            for pair in pairs(&read(file)?) {
                if !body.is_empty() && body.len() + pair.len() > most {
                    made.push(std::mem::replace(&mut body, Vec::with_capacity(most)))?;
                }
                body.extend_from_slice(pair);
            }
        }
        if !body.is_empty() {
            made.push(body)?;
        }
        Ok(made)
    }

    fn none(encoding: Encoding) -> Self {
        Self {
            encoding,
            bodies: Vec::new(),
            documents: 0,
        }
    }

    fn push(&mut self, raw: Vec<u8>) -> anyhow::Result<()> {
        let lines = memchr::memchr_iter(b'\n', &raw).count() as u64;
        ensure!(
            lines.is_multiple_of(2) && raw.last() == Some(&b'\n'),
            "a body is not of pairs of lines"
        );
        self.documents += lines / 2;
        self.bodies.push(ReadyBody {
            raw_bytes: raw.len() as u64,
            bytes: compress(self.encoding, raw).context("cannot compress a body")?,
        });
        Ok(())
    }

    /// Bytes of all bodies before compression.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.bodies.iter().map(|body| body.raw_bytes).sum()
    }

    /// Bytes that a body has before compression, on average.
    pub(super) fn mean_raw_bytes(&self) -> u64 {
        self.raw_bytes() / (self.bodies.len() as u64).max(1)
    }

    /// How many bodies, from the first on, hold `raw_bytes` before compression.
    pub(super) fn n_bodies_of(&self, raw_bytes: u64) -> usize {
        let mut held = 0;
        let is_wanted = |body: &&ReadyBody| {
            let wanted = held < raw_bytes;
            held += body.raw_bytes;
            wanted
        };
        self.bodies.iter().take_while(is_wanted).count()
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read the body in `{}`", file.display()))
}

/// Each action line with the document behind it.
fn pairs(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let action = memchr::memchr(b'\n', rest)? + 1;
        let document = memchr::memchr(b'\n', rest.get(action..)?)? + 1;
        let (pair, behind) = rest.split_at(action + document);
        rest = behind;
        Some(pair)
    })
}

/// Compresses as the aggregator does.
fn compress(encoding: Encoding, raw: Vec<u8>) -> std::io::Result<Bytes> {
    Ok(match encoding {
        Encoding::Identity => raw.into(),
        Encoding::Gzip => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(&raw)?;
            encoder.finish()?.into()
        }
        Encoding::Zstd => zstd::encode_all(raw.as_slice(), ZSTD_LEVEL)?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn documents_stay_with_their_actions_however_bodies_are_cut() {
        let scratch = Scratch::new("bodies").unwrap();
        let pair = |n: u32| format!("{{\"create\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n");
        let bodies = [pair(1) + &pair(2) + &pair(3), pair(4), pair(5) + &pair(6)];
        let mut files = Vec::new();
        for (number, body) in bodies.iter().enumerate() {
            files.push(scratch.path().join(number.to_string()));
            fs::write(&files[number], body).unwrap();
        }
        let made = ReadyMade::as_made(&files, Encoding::Identity).unwrap();
        let size = pair(1).len() as u64;
        let sizes = |made: &ReadyMade| -> Vec<u64> {
            made.bodies
                .iter()
                .map(|body| body.raw_bytes / size)
                .collect()
        };
        assert_eq!((made.documents, sizes(&made)), (6, vec![3, 1, 2]));
        assert_eq!(
            (made.raw_bytes(), made.mean_raw_bytes()),
            (6 * size, 2 * size)
        );
        assert_eq!(
            [0, 1, size * 3 + 1, 1_000].map(|it| made.n_bodies_of(it)),
            [0, 1, 2, 3]
        );
        let most = pair(1).len() * 2 + 1;
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            let cut = ReadyMade::cut(&files, encoding, most).unwrap();
            assert_eq!((cut.documents, sizes(&cut)), (6, vec![2, 2, 2]));
            let mut raw = Vec::new();
            for body in &cut.bodies {
                let name = match encoding {
                    Encoding::Identity => None,
                    Encoding::Gzip => Some("gzip"),
                    Encoding::Zstd => Some("zstd"),
                };
                let mut inflated = Vec::new();
                bench::body::inflate_into(name, &body.bytes, &mut inflated).unwrap();
                raw.extend_from_slice(&inflated);
            }
            assert_eq!(String::from_utf8(raw).unwrap(), bodies.concat());
        }
        let larger = ReadyMade::cut(&files, Encoding::Identity, 1).unwrap();
        assert_eq!(larger.bodies.len(), 6);
    }

    #[test]
    fn half_a_pair_is_refused() {
        let scratch = Scratch::new("halves").unwrap();
        let file = scratch.path().join("body");
        fs::write(&file, "{\"create\":{}}\n").unwrap();
        assert!(ReadyMade::as_made(&[file], Encoding::Identity).is_err());
    }
}
