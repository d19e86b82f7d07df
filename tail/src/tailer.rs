//! The tailer: owns all files and sequences, and is driven by its caller.

use crate::{
    Clock, Error, Failure, Group, GroupId, MetadataSource, Metrics, Options, Positions, Warning,
};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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

/// Follows files. Single-threaded, never waits.
pub struct Tailer {
    options: Options,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Tailer {
    /// Opens the journal in `options.data_dir` and starts to look for files; the first calls of
    /// [`poll`](Tailer::poll) find them.
    pub fn open(options: Options, clock: Arc<dyn Clock>) -> Result<(Tailer, Vec<Warning>), Error> {
        Ok((
            Tailer {
                options,
                clock,
                metrics: Metrics::default(),
            },
            Vec::new(),
        ))
    }

    /// Takes in what happened: events, rescans, timers that are due. Never blocks; what is left
    /// after a bounded piece of work makes [`next_wake`](Tailer::next_wake) answer zero.
    pub fn poll(&mut self) {
        let _ = (&self.options, self.clock.now());
    }

    /// How long until `poll` has something to do by time alone. `None`: not before the next
    /// wake. Groups that are ready already do not count: call
    /// [`next_group`](Tailer::next_group) after each `poll` until it answers `None`, and again
    /// when room for another batch has come.
    pub fn next_wake(&self) -> Option<Duration> {
        None
    }

    /// Reads the next group and appends its bytes to `out`, at most about `max_bytes`. A group
    /// that was tried before keeps its bounds, so it comes even when it is larger if `out` is
    /// empty, and waits for an empty `out` otherwise; the same holds for groups that go alone.
    pub fn next_group(
        &mut self,
        max_bytes: usize,
        metadata: &mut dyn MetadataSource,
        out: &mut Vec<u8>,
    ) -> Option<Group> {
        let _ = (max_bytes, metadata, out);
        None
    }

    /// Writes what was sealed and acknowledged since the last call into the journal, in one
    /// write. Must succeed before the groups are sent (DELIVERY rules 7, 8, 11); when it fails,
    /// give the groups back with [`Failure::NotSent`] and try again later.
    pub fn commit(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Takes an acknowledgement: one entry a chunk. Unknown and outdated ids are ignored.
    pub fn acked(&mut self, id: GroupId, positions: &[Positions]) {
        let _ = (id, positions);
    }

    /// Takes the group back: it comes again with the same bounds, flags and metadata.
    pub fn failed(&mut self, id: GroupId, why: Failure) {
        let _ = (id, why);
    }

    /// How far reading is behind over all files.
    pub fn lag(&self) -> Lag {
        Lag::default()
    }

    /// All followed files.
    pub fn streams(&self) -> Vec<StreamStatus> {
        Vec::new()
    }

    /// Bytes that are handed out and neither acknowledged nor given back.
    pub fn unacknowledged(&self) -> u64 {
        0
    }

    /// The counters; register them once.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Writes the journal a last time and lets go of everything. Groups that are unanswered stay
    /// sealed and are tried again after the next start.
    pub fn close(mut self) -> io::Result<()> {
        self.commit()
    }
}
