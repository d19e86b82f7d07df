//! The tailer: owns all files and sequences, and is driven by its caller.
//!
//! One struct, one thread; its work stands in the modules below, each a step of a byte's way:
//! found ([`scan`]), told apart ([`files`], [`adopt`], [`gone`]), due ([`schedule`]), opened
//! ([`open`]), read ([`lines`]) and sealed ([`build`]), handed out ([`hand_out`]), answered
//! ([`outcome`]), and remembered over a restart ([`restore`]).

mod adopt;
mod build;
mod files;
mod gone;
mod hand_out;
mod lines;
mod open;
mod outcome;
mod restore;
mod scan;
mod schedule;
mod status;

pub use status::{Lag, Loss, StreamStatus};

use crate::bucket::Bucket;
use crate::journal::Journal;
use crate::metrics::{Metrics, NamespaceCounters};
use crate::pace::Pace;
use crate::pattern::{Pattern, Place, excludes};
use crate::record;
use crate::stream::{Sequence, Stream};
use crate::watch::Watcher;
use crate::{Clock, Error, Failure, Group, GroupId, MetadataSource, Options, Positions, Warning};
use globset::GlobSet;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Added to the clock, so that ages of files from before its start can be subtracted.
const ORIGIN: Duration = Duration::from_secs(1 << 32);

/// A namespace: its counters and its rate limit.
struct NamespaceState {
    counters: NamespaceCounters,
    bucket: Option<Bucket>,
}

/// A piece of looking around.
enum Look {
    /// List a folder for a glob.
    Folder(Place),
    /// A path that a glob matches.
    Candidate(PathBuf),
    /// List a folder that holds real files.
    Files(Arc<Path>),
}

/// Follows files. Single-threaded, never waits.
pub struct Tailer {
    options: Options,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    journal: Journal,
    patterns: Vec<Pattern>,
    excludes: GlobSet,

    watcher: Option<Watcher>,
    is_polling: bool,
    events_left: bool,
    looks: VecDeque<Look>,
    next_scan: Duration,
    /// The first look around is under way: what it finds was there before us.
    is_starting: bool,
    /// Hashes of paths that cannot be read: as the last whole scan left them, and those that the
    /// scan under way has met.
    unreadable: HashSet<u64>,
    unreadable_now: HashSet<u64>,
    is_scanning: bool,

    /// Slots; a sequence is taken out while it is worked on.
    sequences: Vec<Option<Box<Sequence>>>,
    free: Vec<u32>,
    by_key: HashMap<u64, u32>,
    /// By hash of the path as found.
    by_path: HashMap<u64, u32>,
    /// Folders with real files, and whose sequences they are.
    folders: HashMap<Arc<Path>, Vec<u32>>,
    /// Folders that globs list.
    glob_folders: HashMap<PathBuf, Vec<Place>>,
    dirty_folders: BTreeSet<Arc<Path>>,
    dirty: BTreeSet<u32>,
    n_open: usize,
    /// A file was deleted since the bound on their bytes was last looked at.
    has_deleted: bool,
    open_order: VecDeque<(u32, u64)>,

    timers: BinaryHeap<Reverse<(Duration, u32)>>,
    /// Sequences with old rotated files, and the others.
    ready: [VecDeque<u32>; 2],
    turn: u32,
    pace: Pace,
    in_flight: HashMap<GroupId, u32>,
    unacked: u64,
    /// Groups acknowledged since the start.
    n_acked: u64,
    next_group: u64,
    next_handle: u64,
    /// The youngest losses, oldest first, and the bytes of all of them since the start.
    losses: VecDeque<Loss>,
    bytes_lost: u64,

    namespaces: Vec<NamespaceState>,
    namespace_ids: HashMap<String, u32>,
    metadata: MetadataCache,
    /// The sequence whose sealed bytes stand at the end of the caller's buffer.
    just_sealed: Option<u64>,
    /// Sequences that were seen by an agent that started at the end of their files.
    known_sequences: HashSet<u64>,

    /// The journal may have lost tries: what is in the files now may have been sent before.
    is_unsure: bool,
    is_fresh: bool,
    has_rebooted: bool,
}

impl Tailer {
    /// Opens the journal in `options.data_dir` and starts to look for files; the first calls of
    /// [`poll`](Tailer::poll) find them.
    ///
    /// # Errors
    /// [`Error::Glob`] for a wrong glob, [`Error::Journal`] when the directory is in use by
    /// another agent (DELIVERY rule 4) or cannot be used.
    pub fn open(
        mut options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<(Tailer, Vec<Warning>), Error> {
        let patterns = options
            .include
            .iter()
            .map(|glob| Pattern::new(glob))
            .collect::<Result<Vec<_>, _>>()?;
        let excludes = excludes(&options.exclude)?;
        options.max_chunk = options.max_chunk.max(4 << 10);
        options.max_line = options.max_line.clamp(256, options.max_chunk);
        for root in &mut options.allowed_roots {
            // Compared with real paths; a root may be a link itself.
            if let Ok(real) = root.canonicalize() {
                *root = real;
            }
        }
        let (journal, state, mut warnings) =
            Journal::open(&options.data_dir).map_err(|error| Error::Journal(error.to_string()))?;
        let is_fresh = state.is_empty();
        let is_unsure = !warnings.is_empty();
        let metrics = Metrics::default();
        let watcher = match options
            .inotify
            .then(|| Watcher::new(Arc::clone(&options.wake)))
        {
            Some(Ok(watcher)) => Some(watcher),
            Some(Err(error)) => {
                warnings.push(Warning(format!(
                    "cannot have an inotify instance: {error}: files are polled every {:?}; raise \
                     fs.inotify.max_user_instances",
                    options.poll_interval
                )));
                None
            }
            None => None,
        };
        metrics.polling.set(i64::from(watcher.is_none()));
        let mut tailer = Tailer {
            is_polling: watcher.is_none(),
            watcher,
            options,
            clock,
            metrics,
            journal,
            patterns,
            excludes,
            events_left: false,
            looks: VecDeque::new(),
            next_scan: Duration::ZERO,
            is_starting: true,
            unreadable: HashSet::new(),
            unreadable_now: HashSet::new(),
            is_scanning: false,
            sequences: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            by_path: HashMap::new(),
            folders: HashMap::new(),
            glob_folders: HashMap::new(),
            dirty_folders: BTreeSet::new(),
            dirty: BTreeSet::new(),
            n_open: 0,
            has_deleted: false,
            open_order: VecDeque::new(),
            timers: BinaryHeap::new(),
            ready: [VecDeque::new(), VecDeque::new()],
            turn: 0,
            pace: Pace::default(),
            in_flight: HashMap::new(),
            unacked: 0,
            n_acked: 0,
            next_group: 0,
            next_handle: 0,
            losses: VecDeque::new(),
            bytes_lost: 0,
            namespaces: Vec::new(),
            namespace_ids: HashMap::new(),
            metadata: MetadataCache::default(),
            just_sealed: None,
            known_sequences: HashSet::new(),
            is_unsure,
            is_fresh,
            has_rebooted: false,
        };
        tailer.restore(&state);
        tailer.start_scan();
        Ok((tailer, warnings))
    }

    /// Takes in what happened: events, rescans, timers that are due. Never blocks; what is left
    /// after a bounded piece of work makes [`next_wake`](Tailer::next_wake) answer zero.
    pub fn poll(&mut self) {
        let now = self.now();
        self.take_events();
        if now >= self.next_scan && self.looks.is_empty() {
            self.metrics.rescans.inc();
            self.start_scan();
        }
        self.look_around(now);
        self.refresh_folders(now);
        self.refresh_sizes(now);
        self.fire_timers(now);
        self.bound_deleted();
    }

    /// How long until `poll` has something to do by time alone. `None`: not before the next
    /// wake. Groups that are ready already do not count: call
    /// [`next_group`](Tailer::next_group) after each `poll` until it answers `None`, and again
    /// when room for another batch has come.
    pub fn next_wake(&self) -> Option<Duration> {
        let now = self.now();
        let has_work = self.events_left
            || !self.looks.is_empty()
            || !self.dirty_folders.is_empty()
            || !self.dirty.is_empty();
        if has_work {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        [timer, Some(self.next_scan)]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_sub(now))
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
        self.build_next(max_bytes as u64, metadata, out)
    }

    /// Writes what was sealed and acknowledged since the last call into the journal, in one
    /// write. Must succeed before the groups are sent (DELIVERY rules 7, 8, 11); when it fails,
    /// give the groups back with [`Failure::NotSent`] and try again later.
    ///
    /// # Errors
    /// What the system said; nothing is forgotten, and the next call tries again.
    pub fn commit(&mut self) -> io::Result<()> {
        for hash in self.metadata.take_unused() {
            self.journal.delete(&record::key(b'm', hash));
        }
        self.journal.commit()
    }

    /// Takes an acknowledgement: one entry a chunk. Unknown and outdated ids are ignored.
    pub fn acked(&mut self, id: GroupId, positions: &[Positions]) {
        self.take_ack(id, positions);
    }

    /// Takes the group back: it comes again with the same bounds, flags and metadata, and with the
    /// same settings once a try may have stored something.
    pub fn failed(&mut self, id: GroupId, why: Failure) {
        self.take_failure(id, why);
    }

    /// Bytes that are handed out and neither acknowledged nor given back.
    pub fn unacknowledged(&self) -> u64 {
        self.unacked
    }

    /// The counters; register them once.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Writes the journal a last time and lets go of everything. Groups that are unanswered stay
    /// sealed and are tried again after the next start.
    ///
    /// # Errors
    /// What the system said of the last write.
    pub fn close(mut self) -> io::Result<()> {
        for slot in 0..self.sequences.len() {
            let slot = u32::try_from(slot).unwrap_or(u32::MAX);
            self.with(slot, Self::journal_seen);
        }
        self.commit()
    }

    /// Journals how much was seen of a sequence's files: what is deleted before the next start is
    /// counted as lost by that.
    fn journal_seen(&mut self, sequence: &mut Sequence) {
        for idx in 0..sequence.streams.len() {
            let Some(stream) = sequence.streams.get(idx) else {
                return;
            };
            let is_known = stream.id.is_some() || self.identify(sequence, idx, false);
            if !is_known {
                // The next start does not read unknown files that are older than known ones: what
                // stands behind this one stays unknown with it.
                return;
            }
            self.save(sequence, idx);
        }
    }

    fn now(&self) -> Duration {
        ORIGIN + self.clock.now()
    }

    fn wall_ns(&self) -> u64 {
        let age = self
            .clock
            .wall()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
    }

    /// When a file changed last, on our monotonic clock.
    fn changed_at(&self, metadata: &std::fs::Metadata, now: Duration) -> Duration {
        let age = metadata
            .modified()
            .ok()
            .and_then(|at| self.clock.wall().duration_since(at).ok());
        // Clocks step, and fake ones stand apart from the files': an age beyond all reason is
        // taken as it is, down to the origin.
        now.saturating_sub(age.unwrap_or_default())
    }

    /// Runs `work` on a sequence, which stands outside its slot meanwhile.
    fn with<T>(
        &mut self,
        slot: u32,
        work: impl FnOnce(&mut Self, &mut Sequence) -> T,
    ) -> Option<T> {
        let mut sequence = self.sequences.get_mut(slot as usize)?.take()?;
        let result = work(self, &mut sequence);
        if let Some(place) = self.sequences.get_mut(slot as usize) {
            *place = Some(sequence);
        }
        Some(result)
    }

    fn sequence(&self, slot: u32) -> Option<&Sequence> {
        self.sequences.get(slot as usize)?.as_deref()
    }

    /// Writes a stream's records, as far as they changed. Streams without identity have none.
    fn journal_stream(&mut self, sequence: &Sequence, idx: usize) {
        let Some(stream) = sequence.streams.get(idx) else {
            return;
        };
        let (Some(id), Some(head)) = (stream.id, stream.head) else {
            return;
        };
        if stream.is_dirty || !stream.is_journaled {
            let fixed = record::Fixed {
                sequence: sequence.key,
                dir: sequence.dir.to_path_buf(),
                source: sequence.source.clone(),
                id,
                head,
                life: stream.life,
                place: stream.place.clone(),
                older: stream.marks.older.clone(),
            };
            self.journal.put(
                &record::key(b's', stream.handle),
                &record::write_fixed(&fixed),
            );
        }
        self.journal.put(
            &record::key(b'p', stream.handle),
            &record::write_moving(stream),
        );
    }

    /// As `journal_stream`, and remembers that it was done.
    fn save(&mut self, sequence: &mut Sequence, idx: usize) {
        self.journal_stream(sequence, idx);
        if let Some(stream) = sequence.streams.get_mut(idx)
            && stream.id.is_some()
        {
            stream.is_dirty = false;
            stream.is_journaled = true;
        }
    }

    /// Forgets a stream, in memory and in the journal.
    fn forget(&mut self, sequence: &mut Sequence, idx: usize) {
        if let Some(mut stream) = sequence.streams.remove(idx) {
            self.shut(&mut stream);
            self.metrics.files_followed.dec();
            if stream.is_journaled {
                self.journal.delete(&record::key(b's', stream.handle));
                self.journal.delete(&record::key(b'p', stream.handle));
            }
        }
    }

    /// Closes a stream's file.
    fn shut(&mut self, stream: &mut Stream) {
        if stream.content.take().is_some() {
            self.n_open -= 1;
            self.metrics
                .files_open
                .set(i64::try_from(self.n_open).unwrap_or(i64::MAX));
        }
    }

    fn new_handle(&mut self) -> u64 {
        self.next_handle += 1;
        self.next_handle
    }

    fn namespace_of(&mut self, source: &crate::Source) -> u32 {
        let name = source
            .container
            .as_ref()
            .map_or(String::new(), |found| found.namespace.clone());
        if let Some(known) = self.namespace_ids.get(&name) {
            return *known;
        }
        let id = u32::try_from(self.namespaces.len()).unwrap_or(u32::MAX);
        let rate = self.options.namespace_rate.filter(|_| !name.is_empty());
        let now = self.now();
        self.namespaces.push(NamespaceState {
            counters: self.metrics.of_namespace(&name),
            bucket: rate.map(|rate| Bucket::new(rate, now)),
        });
        self.namespace_ids.insert(name, id);
        id
    }

    fn counters(&self, sequence: &Sequence) -> Option<&NamespaceCounters> {
        self.namespaces
            .get(sequence.namespace as usize)
            .map(|state| &state.counters)
    }
}

/// Metadata in the journal: written once, referred to by hash, deleted when unused.
///
/// Some unused objects are kept, since the next group of the same file most often has the same.
#[derive(Default)]
struct MetadataCache {
    users: HashMap<u64, (u32, u32)>,
    unused: VecDeque<u64>,
    unused_bytes: usize,
}

/// Unused metadata that is kept in the journal, in bytes.
const MAX_UNUSED_METADATA: usize = 1 << 20;

impl MetadataCache {
    /// Counts a user. True when the bytes must be written.
    fn add(&mut self, metadata: &[u8]) -> bool {
        let len = u32::try_from(metadata.len()).unwrap_or(u32::MAX);
        let hash = record::metadata_hash(metadata);
        match self.users.get_mut(&hash) {
            Some((users, _)) => {
                *users += 1;
                false
            }
            None => {
                self.users.insert(hash, (1, len));
                true
            }
        }
    }

    fn remove(&mut self, metadata: &[u8]) {
        let hash = record::metadata_hash(metadata);
        if let Some((users, len)) = self.users.get_mut(&hash) {
            *users = users.saturating_sub(1);
            if *users == 0 {
                self.unused.push_back(hash);
                self.unused_bytes += *len as usize;
            }
        }
    }

    /// Hashes to delete. An object that found a user again is left, and counted off here.
    fn take_unused(&mut self) -> Vec<u64> {
        let mut gone = Vec::new();
        while self.unused_bytes > MAX_UNUSED_METADATA || self.unused.len() > 4096 {
            let Some(hash) = self.unused.pop_front() else {
                break;
            };
            let Some((users, len)) = self.users.get(&hash).copied() else {
                continue;
            };
            self.unused_bytes = self.unused_bytes.saturating_sub(len as usize);
            if users == 0 && !self.unused.contains(&hash) {
                self.users.remove(&hash);
                gone.push(hash);
            }
        }
        gone
    }
}
