//! What `status` and `/metrics` show of the files.

use super::Tailer;
use crate::Source;
use crate::stream::{Phase, Sequence};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How far reading is behind writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Bytes in followed files that are not acknowledged.
    pub bytes: u64,
    /// About how long the oldest of them has waited.
    pub oldest: Duration,
}

/// One file, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStatus {
    /// Identity; `None` for a file without its first line yet.
    pub stream: Option<u64>,
    /// Path as found by the glob.
    pub path: PathBuf,
    /// Where the bytes are now; a rotated file has moved.
    pub real_path: PathBuf,
    /// Kubernetes namespace; empty without container.
    pub namespace: String,
    /// Pod; empty without container.
    pub pod: String,
    /// Everything below is acknowledged.
    pub offset: u64,
    /// Size as last seen.
    pub size: u64,
    /// Bytes that are not acknowledged, and how long the oldest has waited.
    pub lag: Lag,
    /// Bytes of this file that are lost.
    pub lost: u64,
}

/// Bytes that are lost, for `status`: the stream itself is forgotten once its end is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Path as found by the glob.
    pub path: PathBuf,
    /// Kubernetes namespace; empty without container.
    pub namespace: String,
    /// Pod; empty without container.
    pub pod: String,
    /// How many.
    pub bytes: u64,
    /// What happened, for people.
    pub why: String,
    /// When it was noticed.
    pub at: SystemTime,
}

impl Tailer {
    /// The files that are followed, one of each sequence.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sequences
            .iter()
            .flatten()
            .filter(|sequence| !sequence.streams.is_empty() || sequence.sealed.is_some())
            .map(|sequence| &sequence.source)
    }

    /// The last losses since the start, at most 100, oldest first.
    pub fn losses(&self) -> impl Iterator<Item = &Loss> {
        self.losses.iter()
    }

    /// Bytes that were lost since the start.
    pub fn bytes_lost(&self) -> u64 {
        self.bytes_lost
    }

    /// How far reading is behind over all files.
    pub fn lag(&self) -> Lag {
        let now = self.now();
        self.sequences
            .iter()
            .flatten()
            .fold(Lag::default(), |sum, sequence| Lag {
                bytes: sum.bytes + sequence.unread(),
                oldest: sum.oldest.max(age(sequence, now)),
            })
    }

    /// Whether the file at `real_path` is followed, and its first `size` bytes are acknowledged.
    pub fn is_acked(&self, real_path: &Path, size: u64) -> bool {
        let sequences = self.sequences.iter().flatten();
        let mut streams = sequences
            .filter(|sequence| real_path.parent() == Some(&*sequence.dir))
            .flat_map(|sequence| &sequence.streams);
        streams.any(|stream| stream.path() == Some(real_path) && stream.acked.low() >= size)
    }

    /// All followed files.
    pub fn streams(&self) -> Vec<StreamStatus> {
        let now = self.now();
        let mut all = Vec::new();
        for sequence in self.sequences.iter().flatten() {
            let container = sequence.source.container.as_ref();
            for stream in &sequence.streams {
                let unread = stream.unread();
                let oldest = if unread == 0 {
                    Duration::ZERO
                } else {
                    age(sequence, now)
                };
                all.push(StreamStatus {
                    stream: stream.id,
                    path: sequence.source.path.clone(),
                    real_path: stream
                        .path()
                        .unwrap_or(&sequence.source.real_path)
                        .to_path_buf(),
                    namespace: container.map_or(String::new(), |found| found.namespace.clone()),
                    pod: container.map_or(String::new(), |found| found.pod.clone()),
                    offset: stream.acked.low(),
                    size: stream.size,
                    lag: Lag {
                        bytes: unread,
                        oldest,
                    },
                    lost: match stream.phase {
                        Phase::Vanished { unread } => stream.lost.max(unread),
                        _ => stream.lost,
                    },
                });
            }
        }
        all
    }
}

fn age(sequence: &Sequence, now: Duration) -> Duration {
    sequence
        .behind_since
        .map_or(Duration::ZERO, |since| now.saturating_sub(since))
}
