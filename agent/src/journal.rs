//! The node's systemd journal: its entries become lines of files that the tailer follows.
//!
//! So checkpoints, rotation and delivery are the tailer's, and the journal's own is one position
//! (`journal/spool.rs`). Files are read and written on a thread for what blocks; between two steps
//! the loop asks the tailer which files are done. When the spool is full nothing is read: the
//! journal itself is the buffer then, and what it deletes unread is counted.

mod render;
mod spool;
#[cfg(test)]
mod tests;

use crate::journal::render::{Choice, Names};
use crate::journal::spool::Spool;
use crate::session::View;
use anyhow::Context;
use config::agent::{AgentConfig, JournalConfig, StartAt};
use journald::{Entry, Journal, Start, Stats};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use tracing::{info, warn};

/// Between two looks at files that had nothing new. It bounds how late an entry comes.
const POLL: Duration = Duration::from_millis(500);

/// After a failed write or read of the spool.
const PAUSE: Duration = Duration::from_secs(2);

/// Lines of one step, so that a backlog takes little memory.
const STEP_BYTES: usize = 256 << 10;

/// Entries of one step, most of which may be left out.
const STEP_ENTRIES: usize = 4096;

/// The position is stored after this many entries without a line: they are not read again.
const STORE_AFTER: u64 = 20_000;

/// Folders of machines are looked for again after so many polls.
const FOLDERS_EVERY: u64 = 20;

/// What is counted of the journal. Cloning shares the counters.
#[derive(Debug, Clone, Default)]
pub struct JournalMetrics {
    entries: Counter,
    left_out: Counter,
    lost: Counter,
    repeated: Counter,
    damaged: Counter,
    fields_left_out: Counter,
    truncated: Counter,
    problems: Counter,
    files: Gauge,
    refused_files: Gauge,
    spool_bytes: Gauge,
    spool_full: Gauge,
}

impl JournalMetrics {
    /// Puts all counters into `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("journal");
        for (name, help, counter) in [
            ("entries", "Entries that became lines", &self.entries),
            (
                "entries_left_out",
                "Entries of units that are not carried",
                &self.left_out,
            ),
            (
                "entries_lost",
                "Entries that the journal deleted before they were read, or that are damaged",
                &self.lost,
            ),
            (
                "entries_repeated",
                "Entries that journald wrote once more, from memory to disk",
                &self.repeated,
            ),
            (
                "entries_damaged",
                "Entries that could not be read",
                &self.damaged,
            ),
            (
                "fields_left_out",
                "Fields that could not be read: damaged, or compressed with xz",
                &self.fields_left_out,
            ),
            (
                "entries_truncated",
                "Entries of which a field was cut",
                &self.truncated,
            ),
            (
                "problems",
                "Failed looks at the journal, and failed writes of its spool",
                &self.problems,
            ),
        ] {
            r.register(name, help, counter.clone());
        }
        r.register("files", "Journal files that are open", self.files.clone());
        r.register(
            "refused_files",
            "Files that are no journal, or too new a one",
            self.refused_files.clone(),
        );
        r.register(
            "spool_bytes",
            "Bytes of the files between the journal and the tailer",
            self.spool_bytes.clone(),
        );
        r.register(
            "spool_full",
            "1 while nothing is read since these files are full",
            self.spool_full.clone(),
        );
    }
}

/// The folder of the spool. Made when the journal is carried; `None` when it is not and never was:
/// what an earlier run left in it is carried still.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn folder(config: &AgentConfig) -> anyhow::Result<Option<PathBuf>> {
    let dir = config.data_dir.join("journal");
    if config.journal.enabled {
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot make folder `{}`", dir.display()))?;
    } else if !dir.is_dir() {
        return Ok(None);
    }
    // The tailer compares it with real paths.
    let real = dir.canonicalize();
    real.map(Some)
        .with_context(|| format!("cannot use folder `{}`", dir.display()))
}

/// The exporter of the node's journal, running.
#[derive(Debug)]
pub(crate) struct NodeJournal {
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl NodeJournal {
    /// Begins to export to `dir`, when the configuration says so. Runs within a tokio runtime, and
    /// after the tailer was opened: that sees to it that no other agent is at work here.
    ///
    /// # Errors
    /// When the spool cannot be used.
    pub(crate) fn start(
        config: &AgentConfig,
        dir: Option<&Path>,
        view: View,
        metrics: JournalMetrics,
    ) -> anyhow::Result<Self> {
        let Some(dir) = dir.filter(|_| config.journal.enabled) else {
            return Ok(Self { running: None });
        };
        let exporter = Exporter::open(config, dir, metrics)?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(exporter, view, stopped));
        Ok(Self {
            running: Some((stop, task)),
        })
    }

    /// Ends after the step at hand.
    pub(crate) async fn stop(self) {
        let Some((stop, task)) = self.running else {
            return;
        };
        stop.send(()).ok();
        if let Err(problem) = task.await {
            warn!(%problem, "the journal's exporter ended badly");
        }
    }
}

async fn run(mut exporter: Exporter, view: View, mut stopped: oneshot::Receiver<()>) {
    loop {
        let done: Vec<PathBuf> = {
            let shared = view.lock();
            let is_acked = |(path, size): &&(PathBuf, u64)| {
                let tailer = shared.tailer.as_ref();
                tailer.is_some_and(|tailer| tailer.is_acked(path, *size))
            };
            let full = exporter.spool.full().iter().filter(is_acked);
            full.map(|(path, _)| path.clone()).collect()
        };
        let step = spawn_blocking(move || {
            let next = exporter.step(&done);
            (exporter, next)
        });
        let wait = match step.await {
            Ok((back, wait)) => {
                exporter = back;
                wait
            }
            Err(problem) => {
                warn!(%problem, "the journal is not read any more");
                return;
            }
        };
        tokio::select! {
            biased;
            _ = &mut stopped => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[derive(Debug)]
struct Exporter {
    config: JournalConfig,
    choice: Choice,
    journal: Journal,
    spool: Spool,
    metrics: JournalMetrics,
    entry: Entry,
    lines: Vec<u8>,
    n_polls: u64,
    /// Whether the journal may have more without a look at its files.
    has_more: bool,
    /// Entries since the position was stored.
    n_unstored: u64,
    /// The position that lasts was never stored: a first start must not begin at the end twice.
    is_first: bool,
    counted: Stats,
    problem: Option<String>,
    is_full: bool,
    told_at: Option<Instant>,
}

impl Exporter {
    fn open(config: &AgentConfig, dir: &Path, metrics: JournalMetrics) -> anyhow::Result<Self> {
        let journal = &config.journal;
        let (spool, cursor) = Spool::open(dir, journal.spool.0)?;
        info!(
            paths = ?journal.paths,
            is_first = cursor.is_none(),
            "carrying the node's journal"
        );
        let start = match journal.start_at {
            StartAt::Beginning => Start::Beginning,
            StartAt::End => Start::End,
        };
        let is_first = cursor.is_none();
        Ok(Self {
            choice: Choice {
                units: Names::of(&journal.units),
                fields: Names::of(&journal.fields),
                max_line: config.files.max_line.as_usize(),
            },
            journal: Journal::new(folders(&journal.paths), cursor, start),
            config: journal.clone(),
            spool,
            metrics,
            entry: Entry::default(),
            lines: Vec::new(),
            n_polls: 0,
            has_more: false,
            n_unstored: 0,
            is_first,
            counted: Stats::default(),
            problem: None,
            is_full: false,
            told_at: None,
        })
    }

    /// Deletes what was read, reads some entries and writes their lines. Tells how long to wait
    /// for the next step.
    fn step(&mut self, done: &[PathBuf]) -> Duration {
        let wait = match self.try_step(done) {
            Ok(()) => {
                self.problem = None;
                match self.has_more {
                    true => Duration::ZERO,
                    false => POLL,
                }
            }
            Err(error) => {
                self.tell(&error);
                PAUSE
            }
        };
        self.count();
        wait
    }

    fn try_step(&mut self, done: &[PathBuf]) -> anyhow::Result<()> {
        let unwritten = "cannot write the journal's spool";
        if self.spool.has_pending() {
            self.spool.retry().context(unwritten)?;
        }
        if !done.is_empty() {
            // The lines that tell it go.
            self.store()?;
        }
        for path in done {
            self.spool
                .delete(path)
                .with_context(|| format!("cannot delete `{}`", path.display()))?;
        }
        self.is_full = !self.spool.has_room();
        if self.is_full {
            // The journal is the buffer. Its files are not looked at either: those that are open
            // keep their room on the disk when journald deletes them.
            self.has_more = false;
            return Ok(());
        }
        let looked = match self.has_more {
            true => Ok(()),
            false => self.look(),
        };
        self.lines.clear();
        self.lines.shrink_to(2 * STEP_BYTES);
        let mut n_lines = 0;
        let mut n_entries = 0;
        self.has_more = loop {
            if self.lines.len() >= STEP_BYTES || n_entries >= STEP_ENTRIES {
                break true;
            }
            let choice = &self.choice;
            if !self.journal.next(&mut self.entry, |name| choice.want(name)) {
                break false;
            }
            n_entries += 1;
            self.n_unstored += 1;
            if !choice.is_wanted(&self.entry) {
                self.metrics.left_out.inc();
                continue;
            }
            let is_cut = choice.append_line(&self.entry, &mut self.lines);
            self.metrics.truncated.inc_by(u64::from(is_cut));
            n_lines += 1;
        };
        if n_lines > 0 {
            self.metrics.entries.inc_by(n_lines);
            self.spool.append(&self.lines).context(unwritten)?;
        }
        if self.n_unstored >= STORE_AFTER {
            self.store()?;
        }
        looked
    }

    /// Looks at the files of the journal.
    fn look(&mut self) -> anyhow::Result<()> {
        if self.n_polls.is_multiple_of(FOLDERS_EVERY) {
            for folder in folders(&self.config.paths) {
                self.journal.add_folder(folder);
            }
        }
        self.n_polls += 1;
        let looked = self.journal.poll();
        if self.is_first {
            self.store()?;
            self.is_first = false;
        }
        looked.context("cannot look for journal files")
    }

    fn store(&mut self) -> anyhow::Result<()> {
        self.spool
            .store_position(self.journal.cursor())
            .context("cannot write the position in the journal")?;
        self.n_unstored = 0;
        Ok(())
    }

    /// Once for each kind of problem, and now and then while it lasts.
    fn tell(&mut self, error: &anyhow::Error) {
        self.metrics.problems.inc();
        let text = format!("{error:#}");
        let now = Instant::now();
        let is_due = self
            .told_at
            .is_none_or(|at| now - at > Duration::from_secs(300));
        if self.problem.as_ref() != Some(&text) || is_due {
            warn!(problem = text, "the journal waits");
            self.told_at = Some(now);
        }
        self.problem = Some(text);
    }

    fn count(&mut self) {
        let (now, was) = (self.journal.stats(), self.counted);
        let m = &self.metrics;
        m.lost.inc_by(now.lost - was.lost);
        m.repeated.inc_by(now.copies - was.copies);
        m.damaged.inc_by(now.damaged_entries - was.damaged_entries);
        let unread = |stats: Stats| stats.damaged_fields + stats.xz_fields;
        m.fields_left_out.inc_by(unread(now) - unread(was));
        if now.xz_fields > 0 && was.xz_fields == 0 {
            warn!("fields of the journal are compressed with xz, they are left out");
        }
        m.files.set(self.journal.n_files() as i64);
        m.refused_files.set(now.refused_files as i64);
        m.spool_bytes.set(self.spool.bytes() as i64);
        m.spool_full.set(i64::from(self.is_full));
        self.counted = now;
    }
}

/// Folders that hold journal files: those of machines (and of journald's namespaces) below `paths`,
/// and `paths` themselves.
fn folders(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        let entries: Vec<_> = match std::fs::read_dir(path) {
            Ok(entries) => entries.flatten().collect(),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(path = %path.display(), %error, "cannot look for journals");
                }
                continue;
            }
        };
        let mut below: Vec<PathBuf> = entries
            .iter()
            .filter(|entry| is_machine(&entry.file_name().to_string_lossy()))
            .map(std::fs::DirEntry::path)
            .filter(|path| path.is_dir())
            .collect();
        below.sort_unstable();
        found.extend(below);
        found.push(path.clone());
    }
    found
}

/// 32 digits, and behind a dot the name of a namespace.
fn is_machine(name: &str) -> bool {
    let id = name.split_once('.').map_or(name, |(id, _)| id);
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}
