//! What the caller decides: the options, and the clock that a test may replace.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Where reading starts in files that exist when the agent sees them for the first time.
///
/// Files that appear while it runs are always read from their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// At the first byte, older rotated files of the same container included.
    #[default]
    Beginning,
    /// Behind the last line; older rotated files are not read.
    End,
}

/// Options of a [`Tailer`](crate::Tailer).
#[derive(Clone)]
pub struct Options {
    /// Directory of the journal. One agent at a time may use it.
    pub data_dir: PathBuf,
    /// Name of the node; part of the identity of raw files.
    pub node: String,
    /// Globs of files to follow. Default `/var/log/containers/*.log`.
    pub include: Vec<String>,
    /// Globs of paths to leave out; applied to the path as found and to the real one.
    pub exclude: Vec<String>,
    /// Real files must lie under one of these. Empty allows every path.
    pub allowed_roots: Vec<PathBuf>,
    /// Where to start in files that are new to the agent at its start.
    pub start_at: StartAt,
    /// A folder whose files are the caller's own: they are read whole, whatever `start_at` and
    /// `ignore_older` say. Default: none.
    pub own_folder: Option<PathBuf>,
    /// Files whose last change is longer ago are left alone until they change. Default: none.
    pub ignore_older: Option<Duration>,
    /// A longer line is cut into pieces of this many bytes. Default 1 MiB; at most `max_chunk`.
    pub max_line: u64,
    /// How often all globs and directories are looked at again. Default 30 s.
    pub rescan_interval: Duration,
    /// Whether inotify is used. False where it tells nothing, as on network file systems: files
    /// are then polled. Default true.
    pub inotify: bool,
    /// How often sizes are asked for where no inotify watch can be had. Default 1 s.
    pub poll_interval: Duration,
    /// Quiet time after which a stream's new bytes go, marked for a soft flush. Default 100 ms.
    pub linger: Duration,
    /// Most that a byte of a stream waits that is never quiet, before its turn comes: streams with
    /// little to send go at multiples of this, and of 250 ms at most. Busy ones go sooner while they
    /// are few. Default 200 ms.
    pub max_age: Duration,
    /// Quiet time after which what is open is ended by a hard flush. Default 2 s.
    pub hard_flush: Duration,
    /// A file is over this long after its successor's first byte, or after its deletion. Default
    /// 5 s. A last line without newline is sent after twice this time without a new byte.
    pub final_after: Duration,
    /// Most bytes of one chunk. Default 4 MiB.
    pub max_chunk: u64,
    /// Bytes of deleted files that are kept open because they are not read to their end. Over
    /// it the oldest is let go and counted as lost. Default 1 GiB.
    pub max_deleted_bytes: u64,
    /// Most files open at a time; the others are opened when they have something new.
    /// Default 1,024.
    pub max_open_files: usize,
    /// Bytes a second of one container's sequence of files. Delays, never drops. Default: none.
    pub stream_rate: Option<u64>,
    /// Bytes a second of one Kubernetes namespace. Delays, never drops. Default: none.
    pub namespace_rate: Option<u64>,
    /// Called from the watcher's thread when [`Tailer::poll`](crate::Tailer::poll) has something
    /// to take in. Must not block.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl Options {
    /// The defaults named above, with the journal in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>, node: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            node: node.into(),
            include: vec!["/var/log/containers/*.log".to_owned()],
            exclude: Vec::new(),
            allowed_roots: Vec::new(),
            start_at: StartAt::Beginning,
            own_folder: None,
            ignore_older: None,
            max_line: 1 << 20,
            rescan_interval: Duration::from_secs(30),
            inotify: true,
            poll_interval: Duration::from_secs(1),
            linger: Duration::from_millis(100),
            max_age: Duration::from_millis(200),
            hard_flush: Duration::from_secs(2),
            final_after: Duration::from_secs(5),
            max_chunk: 4 << 20,
            max_deleted_bytes: 1 << 30,
            max_open_files: 1024,
            stream_rate: None,
            namespace_rate: None,
            wake: Arc::new(|| {}),
        }
    }
}

/// Time, as the tailer sees it.
pub trait Clock: Send + Sync {
    /// Monotonic time since any fixed moment.
    fn now(&self) -> Duration;
    /// The wall clock; used for ages that outlive a restart, never for waiting.
    fn wall(&self) -> SystemTime;
}

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> SystemTime {
        faults::wall_clock()
    }
}
