//! The protocol between agent and aggregator: batches of chunks up, acknowledgements down.
//!
//! Only bytes and types: no sockets, no compression, no files. `docs/protocol.md` specifies the
//! format; this crate is its reference implementation. Whatever bytes come in, decoding answers
//! with a value or a [`DecodeError`], never with a panic, and allocates only as records are really
//! there, within [`Limits`].

mod decode;
mod encode;
pub mod http;
mod passed_over;
mod varint;

pub use decode::{DecodeError, Limits, Problem, decode_answer, decode_batch};
pub use encode::{BatchEncoder, encode_answer, encode_batch};
pub use passed_over::PassedOver;

/// Identity of a stream: one log file's life (DELIVERY rule 1). 64 bits of hash.
pub type StreamId = u64;

/// Identity of a metadata object: the hash of its bytes.
pub type MetaId = u64;

/// Identity of sealed settings: the hash of their bytes, never 0.
pub type SettingsId = u64;

/// The version of the format that this crate writes and reads.
pub const VERSION: u8 = 1;

/// The id of a metadata object: XXH3 (64 bits, seed 0) of its JSON text.
pub fn meta_id(json: &[u8]) -> MetaId {
    xxhash_rust::xxh3::xxh3_64(json)
}

/// The id of settings: XXH3 (64 bits, seed 0) of their bytes, 1 for the one text that gives 0.
pub fn settings_id(settings: &[u8]) -> SettingsId {
    xxhash_rust::xxh3::xxh3_64(settings).max(1)
}

/// How the runtime wrote the lines of a file. Sealed with a chunk at its first try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Framing {
    /// Lines as the program wrote them.
    Raw = 0,
    /// `<RFC 3339 time> <stdout|stderr> <tags> <content>`, the kubelet's format.
    Cri = 1,
    /// Docker's json-file driver: `{"log":"…\n","stream":"stdout","time":"…"}`.
    Docker = 2,
}

/// Which open events a chunk ends (DELIVERY rule 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Flush {
    /// None: the last event of each iostream stays open.
    None = 0,
    /// Ends events that hold no trace header and no open partial.
    Soft = 1,
    /// Ends traces too.
    Hard = 2,
}

/// How carefully a chunk is handled that may have killed an aggregator (DELIVERY rule 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Suspect {
    /// Parsed as usual.
    No = 0,
    /// Framed but not parsed; the ids stay as they are.
    Unparsed = 1,
    /// One document a line, nothing joined.
    Lines = 2,
}

/// Positions of the two iostreams of a stream, as offsets in it.
///
/// Events of stdout and stderr interleave, so one offset cannot tell what is done: everything of
/// stdout before `stdout` and everything of stderr before `stderr` is durable. Raw files use
/// `stdout` alone and keep both equal. Bytes are sent again from [`Positions::low`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Positions {
    /// Start of the earliest line of stdout that is not yet durable.
    pub stdout: u64,
    /// Start of the earliest line of stderr that is not yet durable.
    pub stderr: u64,
}

impl Positions {
    /// Both iostreams at `offset`.
    pub fn at(offset: u64) -> Self {
        Self {
            stdout: offset,
            stderr: offset,
        }
    }

    /// The offset that reading goes on from: below it everything is durable.
    pub fn low(self) -> u64 {
        self.stdout.min(self.stderr)
    }
}

/// Bytes of whole lines of one stream (the last line of a file that ended without a newline is
/// whole once the file is final), with what the aggregator has to know of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The stream the bytes belong to.
    pub stream: StreamId,
    /// The container's sequence of files. Chunks of one sequence stand next to each other in a
    /// batch, in order; framing goes on from one to the next.
    pub sequence: u64,
    /// Offset of the first byte in the (uncompressed) stream.
    pub start: u64,
    /// Lines of an iostream that start below its position are durable already and are skipped.
    pub resume: Positions,
    /// Format of the lines.
    pub framing: Framing,
    /// Version of the framing rules that the first try was sealed with.
    pub framing_version: u8,
    /// What the end of this chunk ends. Equal for all chunks of a sequence in a batch.
    pub flush: Flush,
    /// The stream ends with this chunk. An event may go on in the next chunk, which is of the
    /// successor; without a next chunk it stays open unless `flush` ends it.
    pub eof: bool,
    /// Care level.
    pub suspect: Suspect,
    /// Age in milliseconds of the oldest try of these bytes whose outcome is unknown; `None` when
    /// there was none (DELIVERY rule 11).
    pub doubt_ms: Option<u64>,
    /// Metadata of the stream.
    pub meta: MetaId,
    /// The aggregator's settings that the first try was sealed with (DELIVERY rule 8); 0: none are
    /// known yet, so the aggregator answers with its own. `None`: not sealed, every try goes by
    /// the settings of the aggregator that gets it.
    pub settings: Option<SettingsId>,
    /// Set on the last chunk of a stream's life, which may be empty of bytes (DELIVERY rule 24).
    pub end: Option<StreamEnd>,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// What is left to say of a stream when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnd {
    /// Size of the stream in bytes.
    pub size: u64,
    /// Bytes that vanished unread.
    pub unread: u64,
    /// The stream that follows in the container's sequence, if there is one.
    pub successor: Option<StreamId>,
}

/// One request of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// Metadata objects that the receiver may not know yet: a JSON object of flat ECS keys
    /// (`{"kubernetes.namespace":"shop","log.file.path":"/var/log/…"}`), values strings, numbers,
    /// booleans or arrays of strings. The id is [`meta_id`] of the JSON text.
    pub metadata: Vec<(MetaId, &'a [u8])>,
    /// Settings that chunks are sealed with and that the receiver may not know: opaque bytes,
    /// as an aggregator gave them. The id is [`settings_id`] of the bytes.
    pub settings: Vec<(SettingsId, &'a [u8])>,
    /// The chunks.
    pub chunks: Vec<Chunk<'a>>,
}

/// What became of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkAck {
    /// Echo of the chunk's stream.
    pub stream: StreamId,
    /// Echo of the chunk's start.
    pub start: u64,
    /// What the aggregator did.
    pub status: Status,
    /// Up to here the stream is durable; the chunk's own `resume` when nothing of it is.
    pub durable: Positions,
}

/// Outcome of one chunk in an [`Answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Taken as far as `durable` says; what is behind it belongs to open events.
    Ok = 0,
    /// No room, or not durable in time: come again later, same bounds. Outcome unknown.
    Busy = 1,
    /// The metadata, or the settings that the chunk is sealed with, are not known here: send them
    /// along. Nothing stored.
    NeedMetadata = 2,
    /// The destination of this stream refuses documents: come again much later. Nothing stored.
    Refused = 3,
    /// Never tried before, or never sealed, and by other settings than are in force here: seal it
    /// with those of the answer. Nothing stored.
    Reseal = 4,
}

/// Answer to one batch: one [`ChunkAck`] for each chunk, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The outcomes, in the order of the batch's chunks.
    pub chunks: Vec<ChunkAck>,
    /// The settings in force, there when some outcome is [`Status::Reseal`] and empty otherwise.
    pub settings: Vec<u8>,
}
