//! What the tailer hands out and takes back: groups of chunks, and what became of them.
//!
//! The types mirror those of the wire protocol (`docs/protocol.md`), which this crate does not
//! know; the agent maps one to the other.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Positions of the two iostreams of a stream, as offsets in it.
///
/// Everything of stdout before `stdout` and everything of stderr before `stderr` is durable.
/// Raw files keep both equal. Reading goes on from [`Positions::low`].
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

    /// The offset below which everything is durable.
    pub fn low(self) -> u64 {
        self.stdout.min(self.stderr)
    }
}

/// How the runtime wrote the lines of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Lines as the program wrote them.
    Raw,
    /// The kubelet's `<time> <stdout|stderr> <tags> <content>`.
    Cri,
    /// Docker's json-file driver.
    Docker,
}

/// Which open events a chunk ends (DELIVERY rule 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flush {
    /// None: the last event of each iostream stays open.
    None,
    /// Ends events that hold no trace header and no open partial.
    Soft,
    /// Ends traces too.
    Hard,
}

/// How carefully a chunk is handled that may have killed an aggregator (DELIVERY rule 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suspect {
    /// Parsed as usual.
    No,
    /// Framed but not parsed.
    Unparsed,
    /// One document a line.
    Lines,
}

/// What is left to say of a stream when it is over (DELIVERY rule 24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamEnd {
    /// Size of the stream in bytes.
    pub size: u64,
    /// Bytes that vanished unread.
    pub unread: u64,
    /// The stream that follows in the container's sequence, where one is known.
    pub successor: Option<u64>,
}

/// Names one try of one group; a later try of the same bytes has another id, so that late
/// answers to abandoned tries are told apart and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u64);

/// Chunks of one container's sequence of files, to be sent in one batch, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Names this try.
    pub id: GroupId,
    /// The container's sequence of files.
    pub sequence: u64,
    /// The group must be the only one in its batch (DELIVERY rule 12).
    pub alone: bool,
    /// What the [`MetadataSource`] said of settings at the first try, or at the last one of which
    /// it is certain that nothing was stored (DELIVERY rule 8).
    pub settings: Option<Arc<[u8]>>,
    /// One chunk, or several when files were rotated: the rest of the old one, then the new one.
    pub chunks: Vec<GroupChunk>,
}

/// Bytes of whole lines of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupChunk {
    /// Identity of the stream (DELIVERY rule 1).
    pub stream: u64,
    /// Offset of the first byte in the (uncompressed) stream.
    pub start: u64,
    /// Lines of an iostream that start below its position are durable already.
    pub resume: Positions,
    /// Format of the lines.
    pub framing: Framing,
    /// Version of the framing rules that the first try was sealed with.
    pub framing_version: u8,
    /// What the end of this chunk ends; equal for all chunks of a group.
    pub flush: Flush,
    /// The last line is whole even without a newline, and the stream ends here as far as is
    /// known. Also set on the pieces of a line longer than `max_line`, which stand at the end of
    /// their chunk.
    pub eof: bool,
    /// Care level.
    pub suspect: Suspect,
    /// Age in milliseconds of the oldest try whose outcome is unknown (DELIVERY rule 11).
    pub doubt_ms: Option<u64>,
    /// Set on the last chunk of a stream's life, which may be empty of bytes.
    pub end: Option<StreamEnd>,
    /// What the [`MetadataSource`] said at the first try.
    pub metadata: Arc<[u8]>,
    /// Where the bytes stand in the caller's buffer.
    pub range: Range<usize>,
}

/// Why a try did not end in an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing left this machine; no doubt arises.
    NotSent,
    /// Sent, and no answer came in time, or one that says nothing.
    Unknown,
    /// The connection broke after the request had begun. Counted (DELIVERY rule 12).
    ConnectionLost,
    /// The aggregator has no room.
    Busy {
        /// Not before this time has passed.
        retry_after: Duration,
        /// True when bytes may have been stored nevertheless (the status of one chunk); false
        /// when nothing was taken (429 and 503 for the whole request).
        in_doubt: bool,
    },
    /// The destination of this stream refuses documents; nothing was stored.
    Refused {
        /// Not before this time has passed.
        retry_after: Duration,
    },
    /// The aggregator refuses requests of this size (413); nothing was taken. Later groups of
    /// the sequence are smaller, and so is this one: at once unless an earlier try is in doubt and
    /// silence had ended its last event, else after some tries, with a warning.
    TooLarge,
    /// The aggregator cannot read the request (400); nothing was taken. The group comes again
    /// alone; refused then too while others pass, it is set apart: tried now and then, counted,
    /// and named in the log. Its bytes stay in the file.
    Rejected,
}

/// A file as found, for whoever names its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as found by the glob: `log.file.path`.
    pub path: PathBuf,
    /// The file that it led to when it was found.
    pub real_path: PathBuf,
    /// What the paths say of the container.
    pub container: Option<ContainerPath>,
}

/// The parts of a container's log path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerPath {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Uid of the pod; only the real path has it.
    pub pod_uid: Option<String>,
    /// Container.
    pub container: String,
    /// Id of the container; only the link in `/var/log/containers` and Docker's paths have it.
    pub container_id: Option<String>,
    /// How often the container was restarted; only the real path has it.
    pub restart: Option<u32>,
}

/// What a container's pod asks of the reading itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Lines are passed over: read, counted as excluded, and not handed out.
    pub exclude: bool,
    /// Most bytes a second of this container, when the pod asks for fewer than
    /// [`Options::stream_rate`](crate::Options::stream_rate); at least 1.
    pub bytes_per_second: Option<u64>,
}

/// Tells what is known of a file's container.
pub trait MetadataSource {
    /// The metadata as JSON bytes, or `None` when it is not known yet: the file waits and is
    /// asked for again soon, so the implementor must answer after a bounded time.
    fn metadata(&mut self, source: &Source) -> Option<Arc<[u8]>>;

    /// What the container's pod asks of the reading itself. Asked right after a
    /// [`metadata`](MetadataSource::metadata) that was answered. Nothing by default.
    fn wishes(&mut self, _source: &Source) -> Wishes {
        Wishes::default()
    }

    /// `metadata` for a group before which these bytes of a stream were passed over, as
    /// [`Wishes::exclude`] asks: with it the receiver can tell them from lost ones. Each run of
    /// bytes is told with one group, all tries of which have this metadata. As it is by default:
    /// nobody is told.
    fn passed_over(&mut self, metadata: &Arc<[u8]>, _stream: u64, _bytes: Range<u64>) -> Arc<[u8]> {
        Arc::clone(metadata)
    }

    /// What the receiver of the groups cuts events and chooses indices by, as bytes that only it
    /// understands. They are sealed with a group, and come again at each of its tries once one
    /// may have stored something, whatever the receiver at hand goes by then. `None` by default:
    /// not known.
    fn settings(&self) -> Option<Arc<[u8]>> {
        None
    }
}
