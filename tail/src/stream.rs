//! One log file's life, and the sequence of files that a container writes one after the other.

use crate::bucket::Bucket;
use crate::content::{Content, FileId};
use crate::group::{Flush, Framing, GroupId, Positions, Source, StreamEnd};
use crate::mark::{Head, Mark, Marks};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where a stream's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) id: FileId,
    pub(crate) path: PathBuf,
    pub(crate) gz: bool,
}

/// How far the life of a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its bytes can be read.
    Live,
    /// No file holds it now; a copy or a compressed form may still turn up.
    Missing { since: Duration, truncated: bool },
    /// No file holds it, and the last chunk that says so is not acknowledged yet.
    Vanished { unread: u64 },
    /// Everything is acknowledged, the end too. Kept while its file exists, so that it is known.
    Done,
}

/// One log file's life.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Names the stream in the journal; rises with the time of its first sight.
    pub(crate) handle: u64,
    /// Identity and head; `None` before the first newline.
    pub(crate) id: Option<u64>,
    pub(crate) head: Option<Head>,
    pub(crate) life: u64,
    pub(crate) phase: Phase,
    pub(crate) place: Option<Place>,
    pub(crate) content: Option<Content>,
    /// The file's name is gone while it is open.
    pub(crate) deleted_since: Option<Duration>,
    /// Done, and no listing has met its file since then.
    pub(crate) unseen_since: Option<Duration>,
    /// Size of the content as last seen.
    pub(crate) size: u64,
    pub(crate) acked: Positions,
    /// Highest offset ever sealed, and the flush that went with it.
    pub(crate) sent: u64,
    pub(crate) flushed: Flush,
    pub(crate) marks: Marks,
    /// Between `sent` and here stands no newline.
    pub(crate) barren: u64,
    pub(crate) last_grow: Duration,
    pub(crate) first_unsent: Duration,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) lost: u64,
    /// Bytes below may be stored already: sent by an agent whose journal is lost, or by an
    /// unanswered try of which a later one acknowledged a part (DELIVERY rule 11).
    pub(crate) unsure_below: u64,
    /// Bytes that were passed over, as their pod asks, and of which no receiver has been told yet:
    /// what comes next says so (DELIVERY rule 24).
    pub(crate) passed_over: Option<Range<u64>>,
    /// The fixed part of the journal's record is outdated.
    pub(crate) is_dirty: bool,
    pub(crate) is_journaled: bool,
}

impl Stream {
    pub(crate) fn new(handle: u64, place: Place, life: u64) -> Self {
        Self {
            handle,
            id: None,
            head: None,
            life,
            phase: Phase::Live,
            place: Some(place),
            content: None,
            deleted_since: None,
            unseen_since: None,
            size: 0,
            acked: Positions::default(),
            sent: 0,
            flushed: Flush::None,
            marks: Marks::default(),
            barren: 0,
            last_grow: Duration::ZERO,
            first_unsent: Duration::ZERO,
            first_byte: None,
            lost: 0,
            unsure_below: 0,
            passed_over: None,
            is_dirty: true,
            is_journaled: false,
        }
    }

    /// Bytes that are not acknowledged.
    pub(crate) fn unread(&self) -> u64 {
        match self.phase {
            Phase::Live | Phase::Missing { .. } => self.size.saturating_sub(self.acked.low()),
            Phase::Vanished { .. } | Phase::Done => 0,
        }
    }

    /// Bytes are passed over, behind those before or anew.
    pub(crate) fn pass_over(&mut self, bytes: Range<u64>) {
        if bytes.is_empty() {
            return;
        }
        let start = match &self.passed_over {
            Some(before) if before.end == bytes.start => before.start,
            _ => bytes.start,
        };
        self.passed_over = Some(start..bytes.end);
    }

    /// Takes in a size that is not below the known one. `at`: when the last byte came.
    pub(crate) fn grow(&mut self, size: u64, at: Duration) {
        if size > self.size {
            if self.size <= self.sent {
                self.first_unsent = at;
            }
            self.size = size;
            self.last_grow = at;
            self.first_byte.get_or_insert(at);
        }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| place.path.as_path())
    }
}

/// A chunk with everything that must not change between its tries (DELIVERY rules 8 and 11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedChunk {
    pub(crate) handle: u64,
    pub(crate) stream: u64,
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) resume: Positions,
    pub(crate) framing: Framing,
    pub(crate) eof: bool,
    pub(crate) end: Option<StreamEnd>,
    /// Of the chunk's last bytes: the same content is read at every try.
    pub(crate) mark: Mark,
}

/// A group that is not answered with an acknowledgement yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) version: u8,
    pub(crate) flush: Flush,
    pub(crate) chunks: Vec<SealedChunk>,
    pub(crate) metadata: Arc<[u8]>,
    pub(crate) settings: Option<Arc<[u8]>>,
    /// Age of the oldest try with unknown outcome, and when it was that old.
    pub(crate) doubt: Option<(Duration, Duration)>,
    /// Wall clock of the first try, nanoseconds since the epoch.
    pub(crate) sealed_ns: u64,
    pub(crate) lost_connections: u8,
    pub(crate) rejections: Rejections,
}

/// How often aggregators refused a group for what it is; begins anew with the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rejections {
    pub(crate) n: u32,
    /// Groups that had been acknowledged, of all sequences, at the first one.
    pub(crate) acked_before: u64,
    /// It is the group's own fault: others pass.
    pub(crate) is_isolated: bool,
}

impl Sealed {
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len).sum()
    }
}

/// A file of the folder that is not read, and why it need not be looked at again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ignored {
    pub(crate) id: FileId,
    pub(crate) size: u64,
    /// The stream whose copy it is; it takes over when that stream's own file goes.
    pub(crate) copy_of: Option<u64>,
}

/// The successive files of one container, or of one log that is rotated (DELIVERY rule 3).
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) key: u64,
    pub(crate) dir: Arc<Path>,
    pub(crate) source: Source,
    /// Oldest first.
    pub(crate) streams: VecDeque<Stream>,
    pub(crate) ignored: Vec<Ignored>,
    pub(crate) framing: Option<Framing>,
    pub(crate) sealed: Option<Box<Sealed>>,
    pub(crate) in_flight: Option<GroupId>,
    /// Not before this time, whatever is due: back-off, rate limits, metadata.
    pub(crate) hold_until: Duration,
    pub(crate) throttled_since: Option<Duration>,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) namespace: u32,
    /// Bytes of the next chunk, grown when one could not be acknowledged at all, and the most
    /// that aggregators were found to take.
    pub(crate) target: u64,
    pub(crate) limit: u64,
    /// Chunks as large as allowed bring no progress: end what is open.
    pub(crate) force_hard: bool,
    pub(crate) behind_since: Option<Duration>,
    /// The second in which it was handed out last, for [`Pace`](crate::pace::Pace).
    pub(crate) counted: u64,
    pub(crate) timer: Option<Duration>,
    pub(crate) is_queued: bool,
    /// The journal knew it: files that it does not name are newer.
    pub(crate) is_known: bool,
    /// Restored, and its files not compared yet.
    pub(crate) is_unverified: bool,
    /// Its folder was listed at least once.
    pub(crate) is_listed: bool,
}

impl Sequence {
    pub(crate) fn position(&self, handle: u64) -> Option<usize> {
        self.streams
            .iter()
            .position(|stream| stream.handle == handle)
    }

    /// Of a group's chunks, streams and starts, the first stream before whose chunk bytes were passed
    /// over that no receiver has been told of. One group tells of one.
    pub(crate) fn untold(&self, chunks: impl IntoIterator<Item = (usize, u64)>) -> Option<usize> {
        chunks.into_iter().find_map(|(idx, start)| {
            let passed_over = self.streams.get(idx)?.passed_over.as_ref()?;
            (passed_over.end <= start).then_some(idx)
        })
    }

    /// The first byte of a file after the `idx`th was seen then.
    pub(crate) fn successor_since(&self, idx: usize) -> Option<Duration> {
        self.streams
            .iter()
            .skip(idx + 1)
            .filter_map(|stream| stream.first_byte)
            .min()
    }

    /// When the end of the `idx`th stream is final.
    pub(crate) fn over_at(&self, idx: usize, final_after: Duration) -> Option<Duration> {
        let stream = self.streams.get(idx)?;
        let after = self.successor_since(idx).map(|at| at + final_after);
        let deleted = stream.deleted_since.map(|at| at + final_after);
        // A file that is still written to is not over.
        let quiet = stream.last_grow + final_after.min(Duration::from_millis(500));
        [after, deleted]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(quiet))
    }

    /// Identity of the next stream after the `idx`th, where it has one.
    pub(crate) fn successor(&self, idx: usize) -> Option<u64> {
        self.streams.get(idx + 1).and_then(|stream| stream.id)
    }

    pub(crate) fn unread(&self) -> u64 {
        self.streams.iter().map(Stream::unread).sum()
    }
}
