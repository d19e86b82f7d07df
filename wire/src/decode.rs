//! Reading batches and answers from untrusted bytes. Values borrow from the input; nothing is
//! copied. The checksum is looked at last, so that a problem before it is named with its place.

use crate::encode::{ANSWER_MAGIC, BATCH_MAGIC, flag, kind};
use crate::{
    Answer, Batch, Chunk, ChunkAck, Flush, Framing, MetaId, Positions, SettingsId, Status,
    StreamEnd, Suspect, meta_id, settings_id, varint,
};
use xxhash_rust::xxh3::xxh3_64;

/// What a receiver accepts. Everything over a limit is a [`DecodeError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most chunks in a batch or outcomes in an answer. Default 65,536.
    pub max_chunks: usize,
    /// Most metadata objects in a batch. Default 65,536.
    pub max_metadata: usize,
    /// Most bytes of one metadata object. Default 1 MiB.
    pub max_metadata_bytes: usize,
    /// Most settings in a batch: agents seal with those of the aggregators they have met. Default
    /// 64.
    pub max_settings: usize,
    /// Most bytes of one settings' text. Default 4 MiB.
    pub max_settings_bytes: usize,
    /// Most bytes of the node's name. Default 253, as in DNS.
    pub max_node_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_chunks: 1 << 16,
            max_metadata: 1 << 16,
            max_metadata_bytes: 1 << 20,
            max_settings: 64,
            max_settings_bytes: 4 << 20,
            max_node_bytes: 253,
        }
    }
}

/// Bytes that are no batch or no answer: what is wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode at byte {offset}: {problem}")]
pub struct DecodeError {
    /// Offset into the uncompressed bytes.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with bytes that should be a batch or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not the magic bytes.
    #[error("this is no {0}: its first bytes are different")]
    Magic(&'static str),
    /// A version of the format that is not known here. Answered with status 426.
    #[error("version {0} is not known here")]
    Version(u8),
    /// The input is shorter than it says.
    #[error("the input ends within {0}")]
    Truncated(&'static str),
    /// A number of more than 64 bits.
    #[error("the number of {0} is over 64 bits")]
    Number(&'static str),
    /// Over a limit of [`Limits`].
    #[error("{what}: {got} is over the limit of {limit}")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// What the input has.
        got: u64,
        /// What is allowed.
        limit: usize,
    },
    /// The node's name is not UTF-8, or empty.
    #[error("the node's name is empty or not UTF-8")]
    Node,
    /// A record of an unknown kind.
    #[error("a record of kind {0} is not known")]
    Kind(u8),
    /// Metadata or settings behind a chunk.
    #[error("metadata or settings stand behind a chunk")]
    Order,
    /// The id of a metadata object is not the hash of its bytes.
    #[error("the id of the metadata is not the hash of its bytes")]
    MetadataId,
    /// The id of settings is not the hash of their bytes.
    #[error("the id of the settings is not the hash of their bytes")]
    SettingsId,
    /// An unknown flag, or a value that none of the enumerations has.
    #[error("{0} has an unknown value")]
    Value(&'static str),
    /// The checksum at the end does not fit.
    #[error("the checksum does not fit: the bytes were changed on their way")]
    Checksum,
    /// There are bytes behind the end.
    #[error("bytes follow the end")]
    Trailing,
}

/// Decodes a batch (after decompression).
///
/// # Errors
/// The first problem met. A batch with a problem has to be refused as a whole.
pub fn decode_batch<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Batch<'a>, DecodeError> {
    let mut input = Input { bytes, at: 0 };
    input.magic(BATCH_MAGIC, "batch")?;
    let mut batch = Batch {
        node: input.node(limits)?,
        ..Batch::default()
    };
    loop {
        let at = input.at;
        match input.byte("a record's kind")? {
            kind::END => break,
            kind::METADATA => {
                if !batch.chunks.is_empty() {
                    return Err(problem(at, Problem::Order));
                }
                let metadata = input.metadata(limits)?;
                within(
                    "metadata objects",
                    batch.metadata.len() + 1,
                    limits.max_metadata,
                    at,
                )?;
                batch.metadata.push(metadata);
            }
            kind::SETTINGS => {
                if !batch.chunks.is_empty() {
                    return Err(problem(at, Problem::Order));
                }
                let settings = input.settings(limits)?;
                let n = batch.settings.len() + 1;
                within("settings", n, limits.max_settings, at)?;
                batch.settings.push(settings);
            }
            kind::CHUNK => {
                let chunk = input.chunk()?;
                within("chunks", batch.chunks.len() + 1, limits.max_chunks, at)?;
                batch.chunks.push(chunk);
            }
            other => return Err(problem(at, Problem::Kind(other))),
        }
    }
    input.finish()?;
    Ok(batch)
}

/// Decodes an answer.
///
/// # Errors
/// The first problem met. The outcome of the batch is unknown then.
pub fn decode_answer(bytes: &[u8], limits: &Limits) -> Result<Answer, DecodeError> {
    let mut input = Input { bytes, at: 0 };
    input.magic(ANSWER_MAGIC, "answer")?;
    let at = input.at;
    let n_chunks = input.number("outcomes")?;
    let n_chunks = within_u64("outcomes", n_chunks, limits.max_chunks, at)?;
    let mut answer = Answer::default();
    for _ in 0..n_chunks {
        answer.chunks.push(input.ack()?);
    }
    if answer.chunks.iter().any(|ack| ack.status == Status::Reseal) {
        let settings = input.counted("settings", limits.max_settings_bytes)?;
        answer.settings = settings.to_vec();
    }
    input.finish()?;
    Ok(answer)
}

fn problem(offset: usize, problem: Problem) -> DecodeError {
    DecodeError { offset, problem }
}

fn within(what: &'static str, got: usize, limit: usize, at: usize) -> Result<(), DecodeError> {
    within_u64(what, got as u64, limit, at).map(drop)
}

fn within_u64(what: &'static str, got: u64, limit: usize, at: usize) -> Result<usize, DecodeError> {
    match usize::try_from(got) {
        Ok(fits) if fits <= limit => Ok(fits),
        _ => Err(problem(at, Problem::Limit { what, got, limit })),
    }
}

/// The input and how far it has been read.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(len);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(problem(self.at, Problem::Truncated(what)));
        };
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let at = self.at;
        let taken = self.take(N, what)?;
        taken
            .try_into()
            .map_err(|_| problem(at, Problem::Truncated(what)))
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array(what).map(|[byte]| byte)
    }

    fn fixed(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn number(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (value, len) = varint::read(rest).map_err(|failure| match failure {
            varint::Failure::Truncated => problem(self.at, Problem::Truncated(what)),
            varint::Failure::TooLong => problem(self.at, Problem::Number(what)),
        })?;
        self.at += len;
        Ok(value)
    }

    /// Bytes with their length before them.
    fn counted(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let at = self.at;
        let len = self.number(what)?;
        let len = within_u64(what, len, limit, at)?;
        self.take(len, what)
    }

    fn positions(&mut self, start: u64) -> Result<Positions, DecodeError> {
        let stdout = varint::undo_delta(self.number("a position")?, start);
        let stderr = varint::undo_delta(self.number("a position")?, start);
        Ok(Positions { stdout, stderr })
    }

    fn magic(&mut self, expected: [u8; 4], what: &'static str) -> Result<(), DecodeError> {
        let [a, b, c, version] = self.array("the first bytes")?;
        let [x, y, z, known] = expected;
        if [a, b, c] != [x, y, z] {
            return Err(problem(0, Problem::Magic(what)));
        }
        if version != known {
            return Err(problem(3, Problem::Version(version)));
        }
        Ok(())
    }

    fn node(&mut self, limits: &Limits) -> Result<&'a str, DecodeError> {
        let at = self.at;
        let name = self.counted("the node's name", limits.max_node_bytes)?;
        match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() => Ok(name),
            _ => Err(problem(at, Problem::Node)),
        }
    }

    fn metadata(&mut self, limits: &Limits) -> Result<(MetaId, &'a [u8]), DecodeError> {
        let at = self.at;
        let id = self.fixed("a metadata id")?;
        let json = self.counted("metadata", limits.max_metadata_bytes)?;
        if meta_id(json) != id {
            return Err(problem(at, Problem::MetadataId));
        }
        Ok((id, json))
    }

    fn settings(&mut self, limits: &Limits) -> Result<(SettingsId, &'a [u8]), DecodeError> {
        let at = self.at;
        let id = self.fixed("a settings id")?;
        let settings = self.counted("settings", limits.max_settings_bytes)?;
        if settings_id(settings) != id {
            return Err(problem(at, Problem::SettingsId));
        }
        Ok((id, settings))
    }

    fn chunk(&mut self) -> Result<Chunk<'a>, DecodeError> {
        let at = self.at;
        let flags = u16::from_le_bytes(self.array("a chunk's flags")?);
        let value = |what| problem(at, Problem::Value(what));
        if flags & !flag::KNOWN != 0 || (flags & flag::SUCCESSOR != 0 && flags & flag::END == 0) {
            return Err(value("flags"));
        }
        let framing = framing(flags & 3).ok_or_else(|| value("framing"))?;
        let flush = flush((flags >> flag::FLUSH_SHIFT) & 3).ok_or_else(|| value("flush"))?;
        let suspect =
            suspect((flags >> flag::SUSPECT_SHIFT) & 3).ok_or_else(|| value("suspect"))?;
        let framing_version = self.byte("a framing version")?;
        let stream = self.fixed("a stream")?;
        let sequence = self.fixed("a sequence")?;
        let meta = self.fixed("a metadata id")?;
        let settings = match flags & flag::SEALED {
            0 => None,
            _ => Some(self.fixed("a settings id")?),
        };
        let start = self.number("a start")?;
        let resume = self.positions(start)?;
        let doubt_ms = match flags & flag::DOUBT {
            0 => None,
            _ => Some(self.number("a doubt")?),
        };
        let end = match flags & flag::END {
            0 => None,
            _ => Some(StreamEnd {
                size: self.number("a size")?,
                unread: self.number("unread bytes")?,
                successor: match flags & flag::SUCCESSOR {
                    0 => None,
                    _ => Some(self.fixed("a successor")?),
                },
            }),
        };
        // What is there bounds it; there is no limit of its own.
        let bytes = self.counted("a chunk's bytes", usize::MAX)?;
        Ok(Chunk {
            stream,
            sequence,
            start,
            resume,
            framing,
            framing_version,
            flush,
            eof: flags & flag::EOF != 0,
            suspect,
            doubt_ms,
            meta,
            settings,
            end,
            bytes,
        })
    }

    fn ack(&mut self) -> Result<ChunkAck, DecodeError> {
        let at = self.at;
        let status = self.byte("a status")?;
        let status = status_of(status).ok_or_else(|| problem(at, Problem::Value("status")))?;
        let stream = self.fixed("a stream")?;
        let start = self.number("a start")?;
        let durable = self.positions(start)?;
        Ok(ChunkAck {
            stream,
            start,
            status,
            durable,
        })
    }

    /// Reads the checksum of all before it, behind which nothing may stand.
    fn finish(&mut self) -> Result<(), DecodeError> {
        let at = self.at;
        let before = self.bytes.get(..at).unwrap_or_default();
        let checksum = self.fixed("the checksum")?;
        if self.at != self.bytes.len() {
            return Err(problem(self.at, Problem::Trailing));
        }
        if checksum != xxh3_64(before) {
            return Err(problem(at, Problem::Checksum));
        }
        Ok(())
    }
}

fn framing(value: u16) -> Option<Framing> {
    [Framing::Raw, Framing::Cri, Framing::Docker]
        .into_iter()
        .find(|known| *known as u16 == value)
}

fn flush(value: u16) -> Option<Flush> {
    [Flush::None, Flush::Soft, Flush::Hard]
        .into_iter()
        .find(|known| *known as u16 == value)
}

fn suspect(value: u16) -> Option<Suspect> {
    [Suspect::No, Suspect::Unparsed, Suspect::Lines]
        .into_iter()
        .find(|known| *known as u16 == value)
}

fn status_of(value: u8) -> Option<Status> {
    [
        Status::Ok,
        Status::Busy,
        Status::NeedMetadata,
        Status::Refused,
        Status::Reseal,
    ]
    .into_iter()
    .find(|known| *known as u8 == value)
}
