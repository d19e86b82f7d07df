//! Compressing request bodies with one context for the life of the agent: making one costs more
//! than a small batch does, and its tables are the largest thing the agent allocates.

use bytes::Bytes;
use flate2::{Compress, FlushCompress, Status};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use zstd::zstd_safe::{self, CCtx, CParameter};

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zstd with this level. 1 is the default: a higher one costs the node more than it saves.
    Zstd(i32),
    /// gzip with this level, for receivers or proxies that know nothing else.
    Gzip(u32),
    /// Not at all: for a receiver in the same program.
    None,
}

/// Least free room that a compressor is given, so that it makes progress at every call.
const STEP: usize = 64 * 1024;

/// Bodies that wait to be used again, in number; more are not in flight at a time as a rule.
const MAX_POOLED: usize = 4;

/// Larger buffers are given back to the system: one huge chunk must not raise the agent's memory
/// for ever.
const MAX_POOLED_BYTES: usize = 2 << 20;

/// Compresses one body after the other.
pub struct Compressor {
    codec: Codec,
    pool: BodyPool,
}

enum Codec {
    /// What is written is gathered and compressed in one call: the streaming calls copy it as well,
    /// into a ring whose end they then have to search apart (6 % of the agent's time in
    /// `tailrace-bench --only agent`).
    Zstd {
        context: Box<CCtx<'static>>,
        plain: Vec<u8>,
    },
    Gzip(Box<Compress>),
    Plain,
}

impl Compressor {
    /// A compressor for `compression`.
    ///
    /// # Errors
    /// When the level is none of the library's, or memory is short.
    pub fn new(compression: Compression) -> io::Result<Self> {
        let codec = match compression {
            Compression::Zstd(level) => {
                let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
                context
                    .set_parameter(CParameter::CompressionLevel(level))
                    .map_err(zstd_error)?;
                Codec::Zstd {
                    context: Box::new(context),
                    plain: Vec::new(),
                }
            }
            // 15: the largest window, as everyone uses.
            Compression::Gzip(level) => Codec::Gzip(Box::new(Compress::new_gzip(
                flate2::Compression::new(level),
                15,
            ))),
            Compression::None => Codec::Plain,
        };
        Ok(Self {
            codec,
            pool: BodyPool::default(),
        })
    }

    /// The `Content-Encoding` of the bodies.
    pub(crate) fn encoding(&self) -> &'static str {
        match self.codec {
            Codec::Zstd { .. } => wire::http::ENCODING_ZSTD,
            Codec::Gzip(_) => wire::http::ENCODING_GZIP,
            Codec::Plain => wire::http::ENCODING_IDENTITY,
        }
    }

    /// Begins a body. One that is begun and not finished is forgotten.
    ///
    /// # Errors
    /// Only when the library's state is broken.
    pub(crate) fn begin(&mut self) -> io::Result<Body<'_>> {
        match &mut self.codec {
            Codec::Zstd { plain, .. } => plain.clear(),
            Codec::Gzip(compress) => compress.reset(),
            Codec::Plain => {}
        }
        Ok(Body {
            codec: &mut self.codec,
            out: self.pool.take(),
            pool: &self.pool,
        })
    }
}

/// A body that is being written.
pub(crate) struct Body<'a> {
    codec: &'a mut Codec,
    out: Vec<u8>,
    pool: &'a BodyPool,
}

impl Body<'_> {
    /// Ends the body. Its memory is used again when the bytes are dropped.
    ///
    /// # Errors
    /// Only when the library's state is broken.
    pub(crate) fn finish(mut self) -> io::Result<Bytes> {
        match self.codec {
            Codec::Zstd { context, plain } => compress_zstd(context, plain, &mut self.out)?,
            Codec::Gzip(compress) => compress_gzip(compress, &[], true, &mut self.out)?,
            Codec::Plain => {}
        }
        Ok(self.pool.lend(std::mem::take(&mut self.out)))
    }
}

impl Write for Body<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.codec {
            Codec::Zstd { plain, .. } => plain.extend_from_slice(bytes),
            Codec::Gzip(compress) => compress_gzip(compress, bytes, false, &mut self.out)?,
            Codec::Plain => self.out.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses `plain` into one frame, and lets its memory go when it is large.
fn compress_zstd(context: &mut CCtx<'_>, plain: &mut Vec<u8>, out: &mut Vec<u8>) -> io::Result<()> {
    out.reserve(zstd_safe::compress_bound(plain.len()));
    context.compress2(out, plain).map_err(zstd_error)?;
    plain.clear();
    if plain.capacity() > MAX_POOLED_BYTES {
        *plain = Vec::new();
    }
    Ok(())
}

fn zstd_error(code: usize) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

fn compress_gzip(
    compress: &mut Compress,
    mut bytes: &[u8],
    end: bool,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let flush = if end {
        FlushCompress::Finish
    } else {
        FlushCompress::None
    };
    while end || !bytes.is_empty() {
        out.reserve(STEP);
        let before = compress.total_in();
        let status = compress.compress_vec(bytes, out, flush)?;
        let taken = (compress.total_in() - before) as usize;
        bytes = bytes.get(taken..).unwrap_or_default();
        if status == Status::StreamEnd {
            break;
        }
    }
    Ok(())
}

/// Buffers that come back when the connection is done with them.
#[derive(Clone, Default)]
struct BodyPool(Arc<Mutex<Vec<Vec<u8>>>>);

impl BodyPool {
    fn take(&self) -> Vec<u8> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent {
            bytes,
            pool: self.clone(),
        })
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let mut pooled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pooled.len() < MAX_POOLED && bytes.capacity() <= MAX_POOLED_BYTES {
            bytes.clear();
            pooled.push(bytes);
        }
    }
}

struct Lent {
    bytes: Vec<u8>,
    pool: BodyPool,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn decompress(encoding: &str, body: &[u8]) -> Vec<u8> {
        match encoding {
            "zstd" => zstd::stream::decode_all(body).unwrap(),
            "identity" => body.to_vec(),
            _ => {
                let mut raw = Vec::new();
                flate2::read::MultiGzDecoder::new(body)
                    .read_to_end(&mut raw)
                    .unwrap();
                raw
            }
        }
    }

    #[test]
    fn bodies_come_back_whole_one_after_the_other() {
        for compression in [
            Compression::Zstd(1),
            Compression::Gzip(1),
            Compression::None,
        ] {
            let mut compressor = Compressor::new(compression).unwrap();
            let encoding = compressor.encoding();
            for round in 0..3u64 {
                let mut random = fastrand::Rng::with_seed(round);
                let mut raw = Vec::new();
                let mut body = compressor.begin().unwrap();
                // Random pieces do not shrink: the output must grow past what was reserved.
                for len in [1, 0, 200_000, 17, 300_000] {
                    let piece: Vec<u8> =
                        std::iter::repeat_with(|| random.u8(..)).take(len).collect();
                    body.write_all(&piece).unwrap();
                    raw.extend_from_slice(&piece);
                }
                let body = body.finish().unwrap();
                assert_eq!(decompress(encoding, &body), raw);
            }
            assert_eq!(
                compressor.pool.0.lock().unwrap().len(),
                1,
                "one buffer serves them all"
            );
        }
    }

    #[test]
    fn an_abandoned_body_leaves_no_trace_in_the_next() {
        for compression in [
            Compression::Zstd(1),
            Compression::Gzip(6),
            Compression::None,
        ] {
            let mut compressor = Compressor::new(compression).unwrap();
            compressor.begin().unwrap().write_all(b"abandoned").unwrap();
            let encoding = compressor.encoding();
            let mut body = compressor.begin().unwrap();
            body.write_all(b"kept").unwrap();
            assert_eq!(decompress(encoding, &body.finish().unwrap()), b"kept");
        }
    }
}
