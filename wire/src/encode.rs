//! Writing batches and answers. A batch is written piece by piece into any [`Write`], so that the
//! agent never holds it twice: its chunks go from the read buffer straight into the compressor.

use crate::{Answer, Batch, Chunk, MetaId, SettingsId, Status, VERSION, varint};
use std::io::{self, Write};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

pub(crate) const BATCH_MAGIC: [u8; 4] = [b'T', b'R', b'B', VERSION];
pub(crate) const ANSWER_MAGIC: [u8; 4] = [b'T', b'R', b'A', VERSION];

/// Kinds of records in a batch.
pub(crate) mod kind {
    pub(crate) const END: u8 = 0;
    pub(crate) const METADATA: u8 = 1;
    pub(crate) const CHUNK: u8 = 2;
    pub(crate) const SETTINGS: u8 = 3;
}

/// Bits of a chunk's flags.
pub(crate) mod flag {
    pub(crate) const FLUSH_SHIFT: u32 = 2;
    pub(crate) const SUSPECT_SHIFT: u32 = 4;
    pub(crate) const EOF: u16 = 1 << 6;
    pub(crate) const DOUBT: u16 = 1 << 7;
    pub(crate) const END: u16 = 1 << 8;
    pub(crate) const SUCCESSOR: u16 = 1 << 9;
    pub(crate) const SEALED: u16 = 1 << 10;
    pub(crate) const KNOWN: u16 = (1 << 11) - 1;
}

/// Writes one batch: the metadata objects and settings, then the chunks, then [`finish`](Self::finish), without
/// which the receiver takes the batch for cut off.
pub struct BatchEncoder<W> {
    writer: W,
    checksum: Xxh3,
    head: Vec<u8>,
    written: u64,
}

impl<W: Write> BatchEncoder<W> {
    /// Begins a batch of `node`.
    pub fn new(writer: W, node: &str) -> io::Result<Self> {
        let mut this = Self {
            writer,
            checksum: Xxh3::new(),
            head: Vec::with_capacity(96),
            written: 0,
        };
        this.head.extend_from_slice(&BATCH_MAGIC);
        varint::append(&mut this.head, node.len() as u64);
        this.put_head()?;
        this.put(node.as_bytes())?;
        Ok(this)
    }

    /// Adds a metadata object; all of them stand before the first chunk.
    pub fn metadata(&mut self, id: MetaId, json: &[u8]) -> io::Result<()> {
        self.object(kind::METADATA, id, json)
    }

    /// Adds settings that chunks are sealed with; all of them stand before the first chunk.
    pub fn settings(&mut self, id: SettingsId, settings: &[u8]) -> io::Result<()> {
        self.object(kind::SETTINGS, id, settings)
    }

    fn object(&mut self, kind: u8, id: u64, bytes: &[u8]) -> io::Result<()> {
        self.head.push(kind);
        self.head.extend_from_slice(&id.to_le_bytes());
        varint::append(&mut self.head, bytes.len() as u64);
        self.put_head()?;
        self.put(bytes)
    }

    /// Adds a chunk.
    pub fn chunk(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        append_chunk_head(&mut self.head, chunk);
        self.put_head()?;
        self.put(chunk.bytes)
    }

    /// Writes the end with its checksum and gives the writer back, unflushed, with the number of
    /// bytes that the batch has before any compression.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.head.push(kind::END);
        self.put_head()?;
        let checksum = self.checksum.digest();
        self.writer.write_all(&checksum.to_le_bytes())?;
        Ok((self.writer, self.written + 8))
    }

    fn put_head(&mut self) -> io::Result<()> {
        let head = std::mem::take(&mut self.head);
        let result = self.put(&head);
        self.head = head;
        self.head.clear();
        result
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.checksum.update(bytes);
        self.written += bytes.len() as u64;
        self.writer.write_all(bytes)
    }
}

fn append_chunk_head(out: &mut Vec<u8>, chunk: &Chunk<'_>) {
    let mut flags = chunk.framing as u16
        | (chunk.flush as u16) << flag::FLUSH_SHIFT
        | (chunk.suspect as u16) << flag::SUSPECT_SHIFT;
    if chunk.eof {
        flags |= flag::EOF;
    }
    if chunk.doubt_ms.is_some() {
        flags |= flag::DOUBT;
    }
    if let Some(end) = chunk.end {
        flags |= flag::END;
        if end.successor.is_some() {
            flags |= flag::SUCCESSOR;
        }
    }
    if chunk.settings.is_some() {
        flags |= flag::SEALED;
    }
    out.push(kind::CHUNK);
    out.extend_from_slice(&flags.to_le_bytes());
    out.push(chunk.framing_version);
    out.extend_from_slice(&chunk.stream.to_le_bytes());
    out.extend_from_slice(&chunk.sequence.to_le_bytes());
    out.extend_from_slice(&chunk.meta.to_le_bytes());
    if let Some(settings) = chunk.settings {
        out.extend_from_slice(&settings.to_le_bytes());
    }
    varint::append(out, chunk.start);
    varint::append_delta(out, chunk.resume.stdout, chunk.start);
    varint::append_delta(out, chunk.resume.stderr, chunk.start);
    if let Some(doubt_ms) = chunk.doubt_ms {
        varint::append(out, doubt_ms);
    }
    if let Some(end) = chunk.end {
        varint::append(out, end.size);
        varint::append(out, end.unread);
        if let Some(successor) = end.successor {
            out.extend_from_slice(&successor.to_le_bytes());
        }
    }
    varint::append(out, chunk.bytes.len() as u64);
}

/// Appends a whole batch to `out`.
pub fn encode_batch(batch: &Batch<'_>, out: &mut Vec<u8>) {
    let written = (|| {
        let mut encoder = BatchEncoder::new(out, batch.node)?;
        for (id, json) in &batch.metadata {
            encoder.metadata(*id, json)?;
        }
        for (id, settings) in &batch.settings {
            encoder.settings(*id, settings)?;
        }
        for chunk in &batch.chunks {
            encoder.chunk(chunk)?;
        }
        encoder.finish().map(drop)
    })();
    written.expect("writing into memory does not fail");
}

/// Appends an answer to `out`.
pub fn encode_answer(answer: &Answer, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(&ANSWER_MAGIC);
    varint::append(out, answer.chunks.len() as u64);
    for ack in &answer.chunks {
        out.push(ack.status as u8);
        out.extend_from_slice(&ack.stream.to_le_bytes());
        varint::append(out, ack.start);
        varint::append_delta(out, ack.durable.stdout, ack.start);
        varint::append_delta(out, ack.durable.stderr, ack.start);
    }
    if answer.chunks.iter().any(|ack| ack.status == Status::Reseal) {
        varint::append(out, answer.settings.len() as u64);
        out.extend_from_slice(&answer.settings);
    }
    let checksum = xxh3_64(out.get(begin..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
}
