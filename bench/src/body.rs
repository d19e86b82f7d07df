//! Reading and inflating request bodies: identity, gzip (several members) and zstd (several
//! frames).

use std::io::Read;

use anyhow::{Context, bail};

/// Inflates `body` as its `Content-Encoding` says, into `out`.
pub fn inflate_into(encoding: Option<&str>, body: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
    out.clear();
    match encoding {
        None | Some("" | "identity") => out.extend_from_slice(body),
        Some("gzip") => {
            flate2::read::MultiGzDecoder::new(body)
                .read_to_end(out)
                .context("cannot inflate a gzip body")?;
        }
        Some("zstd") => {
            zstd::stream::read::Decoder::with_buffer(body)
                .and_then(|mut decoder| decoder.read_to_end(out))
                .context("cannot inflate a zstd body")?;
        }
        Some(other) => bail!("cannot inflate a body of encoding `{other}`"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn joined_members_and_frames_are_one_body() {
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let mut out = Vec::new();
        for (encoding, body) in [
            (None, b"one two".to_vec()),
            (Some("gzip"), [gzip(b"one"), gzip(b" two")].concat()),
            (Some("zstd"), [zstd(b"one"), zstd(b" two")].concat()),
        ] {
            inflate_into(encoding, &body, &mut out).unwrap();
            assert_eq!(out, b"one two");
        }
        assert!(inflate_into(Some("br"), b"", &mut out).is_err());
    }
}
