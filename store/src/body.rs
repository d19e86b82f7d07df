//! Ready-made `_bulk` bodies and what is known of them without opening them.
//!
//! [`BodyMeta`] is stored as the head of a buffer entry, so its bytes are a format:
//!
//! ```text
//! version u8 = 1 │ encoding u8 │ lane u8 │ flags u8 (bit 0: doubt) │ raw_len u64 │ created_ms u64
//! [doubt_since_ms u64] │ n u32, n × (len u32, index, len u32, namespace) │ n u32, n × (target u16, docs u32)
//! ```
//!
//! Integers are little endian; nothing follows. A reader refuses what it does not know.

use bytes::Bytes;

/// Version that [`BodyMeta::encode`] writes.
const VERSION: u8 = 1;

/// A `_bulk` body as it goes over the wire: pairs of an action line (always `create`, with `_index`
/// and `_id`) and a document line, each ended by a newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// What the bytes hold.
    pub meta: BodyMeta,
    /// The body, compressed as `meta.encoding` says.
    pub bytes: Bytes,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Not at all.
    Identity = 0,
    /// One or more gzip members.
    Gzip = 1,
    /// One or more zstd frames.
    Zstd = 2,
}

/// What kind of documents a body carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Documents as the pipeline made them.
    Fresh = 0,
    /// Documents whose conflicting fields were moved.
    Mended = 1,
    /// Dead letters.
    DeadLetter = 2,
    /// Documents taken back from dead letters.
    Replayed = 3,
}

/// Where documents of a body go, and in whose books they stand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Data stream or index, as in the action lines.
    pub index: String,
    /// Kubernetes namespace, for metrics; empty when there is none.
    pub namespace: String,
}

/// Some documents of one target that stand next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Position in [`BodyMeta::targets`].
    pub target: u16,
    /// How many documents.
    pub docs: u32,
}

/// What is known of a body without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyMeta {
    /// Compression of the bytes.
    pub encoding: Encoding,
    /// Size of the body before compression, in bytes. Servers count this one.
    pub raw_len: u64,
    /// When the body was sealed, milliseconds since the epoch.
    pub created_ms: u64,
    /// The targets that `runs` points to.
    pub targets: Vec<Target>,
    /// The documents, in body order.
    pub runs: Vec<Run>,
    /// When the oldest try with unknown outcome of any document in the body was made,
    /// milliseconds since the epoch (delivery rule 20); `None` when there was none.
    pub doubt_since_ms: Option<u64>,
    /// Kind of documents.
    pub lane: Lane,
}

/// Why stored bytes are not a [`BodyMeta`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// The bytes end too early.
    #[error("cannot read body head: it is cut short")]
    Short,
    /// Written by a version that this one does not know.
    #[error("cannot read body head: unknown version {0}")]
    Version(u8),
    /// A field holds a value that it cannot have.
    #[error("cannot read body head: bad {0}")]
    Bad(&'static str),
}

impl BodyMeta {
    /// Number of documents in the body.
    pub fn docs(&self) -> u64 {
        self.runs.iter().map(|r| u64::from(r.docs)).sum()
    }

    /// The target of each document, in body order.
    pub fn target_of_each(&self) -> impl Iterator<Item = u16> + '_ {
        self.runs
            .iter()
            .flat_map(|r| std::iter::repeat_n(r.target, r.docs as usize))
    }

    /// Writes the format described at the top of this module.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.targets.len() * 64 + self.runs.len() * 6);
        let doubt = u8::from(self.doubt_since_ms.is_some());
        out.extend_from_slice(&[VERSION, self.encoding as u8, self.lane as u8, doubt]);
        out.extend_from_slice(&self.raw_len.to_le_bytes());
        out.extend_from_slice(&self.created_ms.to_le_bytes());
        if let Some(since) = self.doubt_since_ms {
            out.extend_from_slice(&since.to_le_bytes());
        }
        append_len(&mut out, self.targets.len());
        for target in &self.targets {
            append_text(&mut out, &target.index);
            append_text(&mut out, &target.namespace);
        }
        append_len(&mut out, self.runs.len());
        for run in &self.runs {
            out.extend_from_slice(&run.target.to_le_bytes());
            out.extend_from_slice(&run.docs.to_le_bytes());
        }
        out
    }

    /// Reads what [`BodyMeta::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`MetaError`] for anything else; never a panic, and no allocation beyond the input's size.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        let mut reader = Reader(bytes);
        let [version, encoding, lane, flags] = reader.array()?;
        if version != VERSION {
            return Err(MetaError::Version(version));
        }
        let encoding = match encoding {
            0 => Encoding::Identity,
            1 => Encoding::Gzip,
            2 => Encoding::Zstd,
            _ => return Err(MetaError::Bad("encoding")),
        };
        let lane = match lane {
            0 => Lane::Fresh,
            1 => Lane::Mended,
            2 => Lane::DeadLetter,
            3 => Lane::Replayed,
            _ => return Err(MetaError::Bad("lane")),
        };
        let raw_len = u64::from_le_bytes(reader.array()?);
        let created_ms = u64::from_le_bytes(reader.array()?);
        let doubt_since_ms = match flags {
            0 => None,
            1 => Some(u64::from_le_bytes(reader.array()?)),
            _ => return Err(MetaError::Bad("flags")),
        };
        let mut targets = Vec::new();
        for _ in 0..reader.len()? {
            targets.push(Target {
                index: reader.text()?,
                namespace: reader.text()?,
            });
        }
        let mut runs = Vec::new();
        for _ in 0..reader.len()? {
            let run = Run {
                target: u16::from_le_bytes(reader.array()?),
                docs: u32::from_le_bytes(reader.array()?),
            };
            if usize::from(run.target) >= targets.len() {
                return Err(MetaError::Bad("run"));
            }
            runs.push(run);
        }
        if !reader.0.is_empty() {
            return Err(MetaError::Bad("end"));
        }
        Ok(Self {
            encoding,
            raw_len,
            created_ms,
            targets,
            runs,
            doubt_since_ms,
            lane,
        })
    }
}

fn append_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("a body head holds far less than 4 Gi items");
    out.extend_from_slice(&len.to_le_bytes());
}

fn append_text(out: &mut Vec<u8>, text: &str) {
    append_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MetaError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(MetaError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn len(&mut self) -> Result<u32, MetaError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String, MetaError> {
        let len = self.len()? as usize;
        let (text, rest) = self.0.split_at_checked(len).ok_or(MetaError::Short)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| MetaError::Bad("text"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta() -> impl Strategy<Value = BodyMeta> {
        let target =
            ("[a-z.-]{0,20}", ".{0,8}").prop_map(|(index, namespace)| Target { index, namespace });
        let targets = proptest::collection::vec(target, 1..5);
        (
            targets,
            any::<u64>(),
            any::<u64>(),
            any::<Option<u64>>(),
            0..3u8,
            0..4u8,
        )
            .prop_flat_map(
                |(targets, raw_len, created_ms, doubt_since_ms, encoding, lane)| {
                    let n = targets.len();
                    let run = (0..n, any::<u32>());
                    let runs = proptest::collection::vec(run, 0..6);
                    runs.prop_map(move |runs| BodyMeta {
                        encoding: [Encoding::Identity, Encoding::Gzip, Encoding::Zstd]
                            [usize::from(encoding)],
                        raw_len,
                        created_ms,
                        targets: targets.clone(),
                        runs: runs
                            .into_iter()
                            .map(|(target, docs)| Run {
                                target: target as u16,
                                docs,
                            })
                            .collect(),
                        doubt_since_ms,
                        lane: [Lane::Fresh, Lane::Mended, Lane::DeadLetter, Lane::Replayed]
                            [usize::from(lane)],
                    })
                },
            )
    }

    proptest! {
        #[test]
        fn encoding_round_trips(meta in meta()) {
            prop_assert_eq!(BodyMeta::decode(&meta.encode()), Ok(meta));
        }

        #[test]
        fn every_cut_is_refused(meta in meta(), cut in any::<proptest::sample::Index>()) {
            let bytes = meta.encode();
            let cut = cut.index(bytes.len());
            prop_assert!(BodyMeta::decode(&bytes[..cut]).is_err());
        }

        #[test]
        fn any_bytes_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = vec![VERSION, 1, 0, 1];
            framed.extend_from_slice(&bytes);
            for input in [&bytes, &framed] {
                if let Ok(meta) = BodyMeta::decode(input) {
                    prop_assert_eq!(&meta.encode(), input);
                }
            }
        }
    }

    /// Bytes of version 1 stay readable for ever: they lie in buffers over an upgrade.
    #[test]
    fn golden_bytes_of_version_1() {
        let meta = BodyMeta {
            encoding: Encoding::Gzip,
            raw_len: 300,
            created_ms: 7,
            targets: vec![Target {
                index: "logs-a-b".into(),
                namespace: "n".into(),
            }],
            runs: vec![Run { target: 0, docs: 2 }],
            doubt_since_ms: Some(5),
            lane: Lane::Fresh,
        };
        let golden = b"\x01\x01\x00\x01\x2c\x01\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\
            \x01\0\0\0\x08\0\0\0logs-a-b\x01\0\0\0n\x01\0\0\0\0\0\x02\0\0\0";
        assert_eq!(meta.encode(), golden);
        assert_eq!(BodyMeta::decode(golden), Ok(meta));
    }
}
