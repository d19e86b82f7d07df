//! One inotify instance for everything: watches on folders, events read without blocking.
//!
//! The kernel's queue is the only queue. A thread waits until something comes, calls `wake`, and,
//! where things come quickly, then rests for [`REST`], so that a busy node costs a bounded number of
//! wake-ups a second however many lines are written, and an idle one costs none. This, the choice
//! of events (no `OPEN`, which our own opens would raise) and the memory of 10,000 watches are why
//! it stands on rustix and not on the crate `notify`.

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Least time between two calls of `wake` while events come quickly: a hundred a second keep latency
/// below what a reader notices, whatever the number of writes. The thread rests itself, since the
/// caller would need a turn of its own to tell it that the time is over.
const REST: Duration = Duration::from_millis(10);

/// After so long without an event the next one is no part of a stream of them: nobody rests behind
/// it, which would be a second wake-up for each line of a quiet node (`tailrace-bench --idle`).
const QUIET: Duration = Duration::from_millis(50);

/// The thread looks so often whether it is to end: it cannot be told so where no watch is left.
const LOOK: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// More than the kernel queues, unless told (`fs.inotify.max_queued_events`, 16,384).
const MAX_QUEUED: usize = 1 << 16;

/// What happened to a name in a watched folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Bytes were written, or the file was truncated.
    Modified,
    /// Created, moved here, moved away, deleted, or its rights changed.
    Name,
}

/// What [`Watcher::read`] hands over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A name in a watched folder changed.
    Changed(Arc<Path>, PathBuf, Change),
    /// The folder itself is gone; its watch has ended.
    FolderGone(Arc<Path>),
    /// Events are lost: look at everything again.
    Overflow,
}

struct Shared {
    inotify: OwnedFd,
    /// Tells of each new event, also while older ones are unread.
    news: OwnedFd,
    stopped: AtomicBool,
}

/// Watches on folders.
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    folders: HashMap<i32, Arc<Path>>,
    by_path: HashMap<Arc<Path>, i32>,
}

impl Watcher {
    /// Fails when no inotify instance is left.
    pub(crate) fn new(wake: Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            inotify: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?,
            news: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            stopped: AtomicBool::new(false),
        });
        let data = epoll::EventData::new_u64(0);
        let new_events = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&shared.news, &shared.inotify, data, new_events)?;
        let waiter = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("tail-watch".to_owned())
            .stack_size(256 << 10)
            .spawn(move || wait(&waiter, &*wake))?;
        Ok(Self {
            shared,
            thread: Some(thread),
            folders: HashMap::new(),
            by_path: HashMap::new(),
        })
    }

    /// Watches a folder. True when it was not watched before.
    pub(crate) fn add(&mut self, dir: &Arc<Path>) -> io::Result<bool> {
        if self.by_path.contains_key(dir) {
            return Ok(false);
        }
        let flags = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let watch = inotify::add_watch(&self.shared.inotify, &**dir, flags)?;
        // Two paths may lead to one folder: events then come under the one that was first, and
        // the names below the other are found by rescans only.
        self.folders.entry(watch).or_insert_with(|| Arc::clone(dir));
        self.by_path.insert(Arc::clone(dir), watch);
        Ok(true)
    }

    /// Ends a watch.
    pub(crate) fn remove(&mut self, dir: &Path) {
        if let Some(watch) = self.by_path.remove(dir)
            && self.folders.get(&watch).is_some_and(|path| &**path == dir)
        {
            self.folders.remove(&watch);
            // Fails when the folder is gone, and its watch with it.
            let _gone = inotify::remove_watch(&self.shared.inotify, watch);
        }
    }

    /// Takes events until `each` was called `max` times or none is left. True: perhaps more.
    pub(crate) fn read(&mut self, max: usize, mut each: impl FnMut(Event)) -> bool {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 16 << 10];
        let shared = Arc::clone(&self.shared);
        let mut reader = inotify::Reader::new(&shared.inotify, &mut buffer);
        let mut taken = 0;
        // A buffer that was read must be used up: what is left in it would be lost.
        while taken < max || !reader.is_buffer_empty() {
            let (watch, events, name) = match reader.next() {
                Ok(event) => (
                    event.wd(),
                    event.events(),
                    event
                        .file_name()
                        .map(|name| PathBuf::from(OsStr::from_bytes(name.to_bytes()))),
                ),
                Err(Errno::INTR) => continue,
                Err(_) => return false,
            };
            taken += 1;
            if events.contains(ReadFlags::QUEUE_OVERFLOW) {
                each(Event::Overflow);
                continue;
            }
            let gone = ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF;
            if events.intersects(gone) {
                if let Some(dir) = self.folders.remove(&watch) {
                    self.by_path.remove(&dir);
                    if events.contains(ReadFlags::MOVE_SELF) {
                        let _gone = inotify::remove_watch(&shared.inotify, watch);
                    }
                    each(Event::FolderGone(dir));
                }
                continue;
            }
            let (Some(dir), Some(name)) = (self.folders.get(&watch), name) else {
                continue;
            };
            let change = if events.contains(ReadFlags::MODIFY) {
                Change::Modified
            } else {
                Change::Name
            };
            each(Event::Changed(Arc::clone(dir), name, change));
        }
        true
    }
}

impl Watcher {
    /// Makes an event, which ends the thread's wait: a watch that ends tells of it. False where there
    /// is none, and none can be made. A descriptor for it alone is one that a file cannot have.
    fn tell(&self) -> bool {
        let inotify = &self.shared.inotify;
        let ends = |watch: i32| inotify::remove_watch(inotify, watch).is_ok();
        self.folders.keys().next().is_some_and(|watch| ends(*watch))
            || inotify::add_watch(inotify, "/", WatchFlags::DELETE_SELF).is_ok_and(ends)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // A full queue takes no event: one that nobody read while the last answers were waited for.
        self.read(MAX_QUEUED, |_| {});
        let is_told = self.tell();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if is_told {
                let _panicked = thread.join();
            }
        }
    }
}

fn wait(shared: &Shared, wake: &(dyn Fn() + Send + Sync)) {
    let mut events = Vec::with_capacity(1);
    let mut woken: Option<Instant> = None;
    while !shared.stopped.load(Ordering::Acquire) {
        events.clear();
        // Interrupted: wait again.
        let told = epoll::wait(&shared.news, spare_capacity(&mut events), Some(&LOOK));
        if told.is_ok_and(|n| n > 0) {
            wake();
            let now = Instant::now();
            if woken.is_some_and(|before| now - before < QUIET) {
                std::thread::park_timeout(REST);
            }
            woken = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// The caller may be slow: what is unread must not hide what comes.
    #[test]
    fn each_event_wakes_also_behind_unread_ones_and_the_thread_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, woken) = mpsc::channel();
        let wake = Arc::new(move || _ = sender.send(()));
        let mut watcher = Watcher::new(wake).unwrap();
        watcher.add(&Arc::from(dir.path())).unwrap();
        let wait = || woken.recv_timeout(Duration::from_secs(30)).unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(name), b"x").unwrap();
            wait();
            // One call may stand for several events.
            while woken.recv_timeout(2 * REST).is_ok() {}
        }
        let mut names = Vec::new();
        let is_more = watcher.read(100, |event| names.push(event));
        assert!(!is_more && names.len() >= 3, "{names:?}");
        drop(watcher);
        while woken.recv().is_ok() {}
    }

    #[test]
    fn a_thread_ends_also_behind_a_full_queue() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, woken) = mpsc::channel();
        let wake = Arc::new(move || _ = sender.send(()));
        let mut watcher = Watcher::new(wake).unwrap();
        watcher.add(&Arc::from(dir.path())).unwrap();
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        for n in 0..20_000 {
            std::fs::write(&paths[n % 2], b"x").unwrap();
        }
        let begin = Instant::now();
        drop(watcher);
        while woken.recv().is_ok() {}
        let look = Duration::from_secs(LOOK.tv_sec.unsigned_abs());
        assert!(begin.elapsed() < look / 2, "it was not told");
    }

    #[test]
    fn a_thread_without_watches_ends_too() {
        let (sender, woken) = mpsc::channel::<()>();
        let wake = Arc::new(move || _ = sender.send(()));
        drop(Watcher::new(wake).unwrap());
        while woken.recv().is_ok() {}
    }
}
