//! A writer that rotates, and an aggregator that fails, around a real tailer on real files.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tail::{
    Clock, Failure, Flush, Group, MetadataSource, Options, Positions, Source, Tailer, Wishes,
};

/// A clock that moves only when told.
pub(crate) struct FakeClock {
    millis: AtomicU64,
}

impl FakeClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            millis: AtomicU64::new(0),
        })
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    fn wall(&self) -> SystemTime {
        // The files' times are of the real clock, and are compared with this one.
        SystemTime::now()
    }
}

/// Behind it stands in metadata what was passed over.
const PASSED_OVER: &str = " passed over ";

/// Metadata that tells nothing but the path, and wishes that are the same for all.
#[derive(Default)]
pub(crate) struct PathOnly {
    pub(crate) wishes: Wishes,
}

impl MetadataSource for PathOnly {
    fn metadata(&mut self, source: &Source) -> Option<Arc<[u8]>> {
        Some(source.path.to_string_lossy().as_bytes().into())
    }

    fn wishes(&mut self, _: &Source) -> Wishes {
        self.wishes
    }

    fn passed_over(&mut self, metadata: &Arc<[u8]>, stream: u64, bytes: Range<u64>) -> Arc<[u8]> {
        let note = format!("{PASSED_OVER}{stream}:{}-{}", bytes.start, bytes.end);
        [&metadata[..], note.as_bytes()].concat().into()
    }
}

/// What an aggregator and its store hold: lines by (stream, offset), as ids would be.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) lines: BTreeMap<(u64, u64), Vec<u8>>,
    /// Lines of events whose parts came apart: (stream, offset) of a line, of its event's start.
    pub(crate) ends: HashMap<u64, tail::StreamEnd>,
    /// What was passed over as the groups tell, a note for each group that tells.
    pub(crate) passed_over: Vec<String>,
    pub(crate) hard_flushes: usize,
}

impl Store {
    /// Frames a group as rule 6 and 7 say, with `E` as the start of an event and any other line
    /// as its continuation; stores what is complete and answers the positions.
    pub(crate) fn take(&mut self, group: &Group, bytes: &[u8]) -> Vec<Positions> {
        let metadata = group.chunks.first().map(|chunk| &*chunk.metadata);
        let metadata = String::from_utf8_lossy(metadata.unwrap_or_default());
        if let Some((_, note)) = metadata.split_once(PASSED_OVER) {
            self.passed_over.push(note.to_owned());
        }
        let flush = group.chunks.last().map_or(Flush::None, |chunk| chunk.flush);
        let mut lines: Vec<(usize, u64, &[u8])> = Vec::new();
        for (at, chunk) in group.chunks.iter().enumerate() {
            let mut offset = chunk.start;
            for line in bytes[chunk.range.clone()].split_inclusive(|byte| *byte == b'\n') {
                if line.ends_with(b"\n") || chunk.eof {
                    lines.push((at, offset, line));
                }
                offset += line.len() as u64;
            }
            if let Some(end) = chunk.end {
                self.ends.insert(chunk.stream, end);
            }
        }
        let open = if flush == Flush::None {
            lines
                .iter()
                .rposition(|(_, _, line)| is_start(line))
                .unwrap_or(0)
        } else {
            lines.len()
        };
        self.hard_flushes += usize::from(flush == Flush::Hard);
        let mut positions: Vec<Positions> = Vec::new();
        for (at, chunk) in group.chunks.iter().enumerate() {
            let first_open = lines
                .get(open..)
                .unwrap_or_default()
                .iter()
                .find(|line| line.0 == at);
            let end = chunk.start + chunk.range.len() as u64;
            let until = match first_open {
                Some((_, offset, _)) => *offset,
                None if lines.get(open).is_some_and(|line| line.0 < at) => chunk.start,
                None => end,
            };
            positions.push(Positions::at(until.max(chunk.resume.low())));
        }
        for (at, offset, line) in &lines[..open.min(lines.len())] {
            let chunk = &group.chunks[*at];
            let old = self.lines.insert((chunk.stream, *offset), line.to_vec());
            assert!(
                old.as_ref().is_none_or(|old| old == line),
                "one id, two lines: {:?} {:?}",
                old.map(|old| String::from_utf8_lossy(&old).into_owned()),
                String::from_utf8_lossy(line)
            );
        }
        positions
    }

    /// All lines in the order of their numbers; each must be there once.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.lines.values().map(|line| number_of(line)).collect();
        numbers.sort_unstable();
        numbers
    }
}

fn content(line: &[u8]) -> &[u8] {
    let at = line
        .windows(3)
        .position(|part| part == b" F ")
        .map_or(0, |at| at + 3);
    &line[at..]
}

fn is_start(line: &[u8]) -> bool {
    content(line).starts_with(b"E")
}

pub(crate) fn number_of(line: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(content(line));
    let digits: String = text
        .chars()
        .skip(1)
        .take_while(char::is_ascii_digit)
        .collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("no number in {text:?}"))
}

/// Writes numbered lines into a log and rotates it.
pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) n_lines: u64,
    pub(crate) n_rotations: u64,
    cri: bool,
    file: File,
    partial: Option<Vec<u8>>,
    pub(crate) rng: fastrand::Rng,
}

impl Writer {
    pub(crate) fn new(path: &Path, cri: bool, seed: u64) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = open(path);
        let rng = fastrand::Rng::with_seed(seed);
        let path = path.to_path_buf();
        Self {
            path,
            n_lines: 0,
            n_rotations: 0,
            cri,
            file,
            partial: None,
            rng,
        }
    }

    fn line(&mut self) -> Vec<u8> {
        let n = self.n_lines;
        self.n_lines += 1;
        let start = if self.rng.u8(..4) == 0 { 'c' } else { 'E' };
        let longest = if self.rng.u8(..50) == 0 { 9000 } else { 120 };
        let pad = "x".repeat(self.rng.usize(..longest));
        let text = if self.cri {
            format!("2024-01-02T03:04:05.{n:09}Z stdout F {start}{n} {pad}\n")
        } else {
            format!("{start}{n} {pad}\n")
        };
        text.into_bytes()
    }

    pub(crate) fn write(&mut self, n: usize) {
        let mut bytes = self.partial.take().unwrap_or_default();
        for _ in 0..n {
            bytes.extend_from_slice(&self.line());
        }
        self.file.write_all(&bytes).unwrap();
    }

    /// Writes the first half of a line; the rest comes with the next `write`.
    pub(crate) fn write_half(&mut self) {
        self.write(0);
        let line = self.line();
        let (first, second) = line.split_at(line.len() / 2);
        self.file.write_all(first).unwrap();
        self.partial = Some(second.to_vec());
    }

    /// Renames the file as the kubelet does. The writer still has the old one for a moment.
    pub(crate) fn rotate(&mut self, late: usize) {
        self.write(0);
        self.n_rotations += 1;
        let n = self.n_rotations;
        let to = format!("{}.20240102-{:06}", self.path.display(), n);
        fs::rename(&self.path, to).unwrap();
        self.write(late);
        self.file = open(&self.path);
    }

    /// Copies the file to `.1` and truncates it, as logrotate's copytruncate does.
    pub(crate) fn copytruncate(&mut self) {
        self.write(0);
        self.n_rotations += 1;
        for n in (1..20).rev() {
            let from = format!("{}.{n}", self.path.display());
            if Path::new(&from).exists() {
                fs::rename(&from, format!("{}.{}", self.path.display(), n + 1)).unwrap();
            }
        }
        fs::copy(&self.path, format!("{}.1", self.path.display())).unwrap();
        self.file.set_len(0).unwrap();
    }

    /// Compresses all rotated files but the youngest, as the kubelet does.
    pub(crate) fn compress(&self) {
        let mut rotated = self.rotated();
        rotated.retain(|path| path.extension().is_none_or(|end| end != "gz"));
        rotated.pop();
        for path in rotated {
            let tmp = PathBuf::from(format!("{}.tmp", path.display()));
            let out = File::create(&tmp).unwrap();
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
            encoder.write_all(&fs::read(&path).unwrap()).unwrap();
            encoder.finish().unwrap();
            fs::rename(&tmp, format!("{}.gz", path.display())).unwrap();
            fs::remove_file(&path).unwrap();
        }
    }

    pub(crate) fn rotated(&self) -> Vec<PathBuf> {
        let name = self
            .path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let mut all: Vec<PathBuf> = fs::read_dir(self.path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let other = path.file_name().unwrap().to_string_lossy().into_owned();
                other.starts_with(&name) && other != name
            })
            .collect();
        all.sort();
        all
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
}

/// Stream, start, length, flush and `eof` of a chunk: what a later try must not change.
type Bounds = (u64, u64, usize, Flush, bool);

/// A tailer with its aggregator.
pub(crate) struct Node {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) options: Options,
    pub(crate) tailer: Option<Tailer>,
    pub(crate) store: Store,
    /// Groups whose last try has an unknown outcome, by sequence: their bounds must come again.
    pub(crate) in_doubt: HashMap<u64, Vec<Bounds>>,
    pub(crate) groups: usize,
    /// What all containers ask for.
    pub(crate) wishes: Wishes,
}

impl Node {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("logs")).unwrap();
        let mut options = Options::new(root.join("data"), "node");
        options.include = vec![format!("{}/logs/**/*.log", root.display())];
        let clock = FakeClock::new();
        let mut node = Self {
            dir,
            clock,
            options,
            tailer: None,
            store: Store::default(),
            in_doubt: HashMap::new(),
            groups: 0,
            wishes: Wishes::default(),
        };
        node.start();
        node
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.dir
            .path()
            .canonicalize()
            .unwrap()
            .join("logs")
            .join(name)
    }

    pub(crate) fn start(&mut self) {
        // The lock goes with the old one.
        self.tailer = None;
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (tailer, _warnings) = Tailer::open(self.options.clone(), clock).unwrap();
        self.tailer = Some(tailer);
    }

    pub(crate) fn tailer(&mut self) -> &mut Tailer {
        self.tailer.as_mut().expect("started")
    }

    pub(crate) fn poll(&mut self) {
        let tailer = self.tailer();
        for _ in 0..1000 {
            tailer.poll();
            if tailer.next_wake() != Some(Duration::ZERO) {
                return;
            }
        }
        panic!("poll finds no end");
    }

    /// One group, or none; `bytes` are what the agent would send.
    pub(crate) fn next(&mut self) -> Option<(Group, Vec<u8>)> {
        let mut bytes = Vec::new();
        let mut metadata = PathOnly {
            wishes: self.wishes,
        };
        let tailer = self.tailer();
        let group = tailer.next_group(8 << 20, &mut metadata, &mut bytes)?;
        tailer.commit().unwrap();
        self.groups += 1;
        let end = group.chunks.last().map_or(0, |chunk| chunk.range.end);
        assert_eq!(end, bytes.len(), "ranges cover the buffer");
        Some((group, bytes))
    }

    /// Sends all that is ready to an aggregator that fails as `fate` says.
    pub(crate) fn send(&mut self, mut fate: impl FnMut() -> Fate) {
        for _ in 0..10_000 {
            self.poll();
            let Some((group, bytes)) = self.next() else {
                return;
            };
            let bounds: Vec<_> = group
                .chunks
                .iter()
                .map(|chunk| {
                    (
                        chunk.stream,
                        chunk.start,
                        chunk.range.len(),
                        chunk.flush,
                        chunk.eof,
                    )
                })
                .collect();
            if let Some(before) = self.in_doubt.remove(&group.sequence) {
                // Rule 11: the same bounds and flags, and the doubt goes with them.
                assert_eq!(before, bounds, "a try in doubt comes again as it was");
                assert!(group.chunks.iter().all(|chunk| chunk.doubt_ms.is_some()));
            }
            let sequence = group.sequence;
            match fate() {
                Fate::Taken => {
                    let positions = self.store.take(&group, &bytes);
                    self.tailer().acked(group.id, &positions);
                }
                Fate::TakenAnswerLost(why) => {
                    self.store.take(&group, &bytes);
                    self.tailer().failed(group.id, why);
                    self.in_doubt.insert(sequence, bounds);
                }
                Fate::Failed(why) => {
                    self.tailer().failed(group.id, why);
                    if !matches!(why, Failure::NotSent) {
                        self.in_doubt.insert(sequence, bounds);
                    }
                }
                Fate::Forgotten => {
                    // In flight when the agent dies.
                    self.in_doubt.insert(sequence, bounds);
                }
            }
        }
        panic!("sending finds no end");
    }

    /// Runs until nothing more comes.
    pub(crate) fn settle(&mut self) {
        for _ in 0..80 {
            self.send(|| Fate::Taken);
            self.clock.advance(300);
        }
    }
}

/// What becomes of a try.
pub(crate) enum Fate {
    Taken,
    TakenAnswerLost(Failure),
    Failed(Failure),
    Forgotten,
}
