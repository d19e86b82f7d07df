//! From the tailer's groups to one compressed request body.

use crate::compress::Compressor;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tail::{Group, GroupChunk, GroupId};
use wire::{BatchEncoder, Chunk, MetaId, SettingsId, StreamId};

/// A batch ready to be sent, and what is needed to judge its answer.
pub struct Packed {
    /// The compressed body.
    pub body: Bytes,
    /// Size of the batch before compression.
    pub raw_bytes: u64,
    /// Metadata objects and settings that go along.
    pub objects: Vec<u64>,
    /// The groups in it.
    pub groups: Vec<SentGroup>,
}

/// A group under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentGroup {
    /// Its try.
    pub id: GroupId,
    /// Stream and start of each chunk, which the answer echoes.
    pub chunks: Vec<(StreamId, u64)>,
}

/// Encodes and compresses `groups`, whose bytes stand in `raw`. `knows` tells which metadata and
/// settings the receiver has; the rest goes along, each object once.
///
/// # Errors
/// Only when the compressor's state is broken.
pub fn pack(
    compressor: &mut Compressor,
    node: &str,
    groups: &[Group],
    raw: &[u8],
    knows: impl Fn(u64) -> bool,
) -> io::Result<Packed> {
    let mut encoder = BatchEncoder::new(compressor.begin()?, node)?;
    let mut objects = Vec::new();
    let mut ids = Vec::with_capacity(groups.len());
    for chunk in groups.iter().flat_map(|group| &group.chunks) {
        let id = wire::meta_id(&chunk.metadata);
        ids.push(id);
        if !knows(id) && !objects.contains(&id) {
            encoder.metadata(id, &chunk.metadata)?;
            objects.push(id);
        }
    }
    let mut settings_ids = Vec::with_capacity(groups.len());
    let mut hashed: Option<(&Arc<[u8]>, SettingsId)> = None;
    for group in groups {
        let Some(settings) = &group.settings else {
            settings_ids.push(0);
            continue;
        };
        // Nearly always the same for all groups, and long: hashed once.
        let id = match hashed {
            Some((same, id)) if Arc::ptr_eq(same, settings) => id,
            _ => wire::settings_id(settings),
        };
        hashed = Some((settings, id));
        settings_ids.push(id);
        if !knows(id) && !objects.contains(&id) {
            encoder.settings(id, settings)?;
            objects.push(id);
        }
    }
    let mut meta_ids = ids.into_iter();
    for (group, settings) in groups.iter().zip(settings_ids) {
        for chunk in &group.chunks {
            let meta = meta_ids.next().unwrap_or_default();
            encoder.chunk(&to_wire(chunk, group.sequence, meta, settings, raw))?;
        }
    }
    let (body, raw_bytes) = encoder.finish()?;
    Ok(Packed {
        body: body.finish()?,
        raw_bytes,
        objects,
        groups: groups.iter().map(sent).collect(),
    })
}

fn sent(group: &Group) -> SentGroup {
    let chunks = group
        .chunks
        .iter()
        .map(|chunk| (chunk.stream, chunk.start))
        .collect();
    SentGroup {
        id: group.id,
        chunks,
    }
}

fn to_wire<'a>(
    chunk: &GroupChunk,
    sequence: u64,
    meta: MetaId,
    settings: SettingsId,
    raw: &'a [u8],
) -> Chunk<'a> {
    debug_assert!(
        chunk.range.end <= raw.len(),
        "the tailer's ranges lie in the buffer it filled"
    );
    Chunk {
        stream: chunk.stream,
        sequence,
        start: chunk.start,
        resume: wire::Positions {
            stdout: chunk.resume.stdout,
            stderr: chunk.resume.stderr,
        },
        framing: match chunk.framing {
            tail::Framing::Raw => wire::Framing::Raw,
            tail::Framing::Cri => wire::Framing::Cri,
            tail::Framing::Docker => wire::Framing::Docker,
        },
        framing_version: chunk.framing_version,
        flush: match chunk.flush {
            tail::Flush::None => wire::Flush::None,
            tail::Flush::Soft => wire::Flush::Soft,
            tail::Flush::Hard => wire::Flush::Hard,
        },
        eof: chunk.eof,
        suspect: match chunk.suspect {
            tail::Suspect::No => wire::Suspect::No,
            tail::Suspect::Unparsed => wire::Suspect::Unparsed,
            tail::Suspect::Lines => wire::Suspect::Lines,
        },
        doubt_ms: chunk.doubt_ms,
        meta,
        settings: Some(settings),
        end: chunk.end.map(|end| wire::StreamEnd {
            size: end.size,
            unread: end.unread,
            successor: end.successor,
        }),
        bytes: raw.get(chunk.range.clone()).unwrap_or_default(),
    }
}
