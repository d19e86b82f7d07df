//! A file system in memory that can fail any operation, tear writes, be full, and crash.
//!
//! A crash by kill keeps what was written. A power cut keeps what was synced, and of the rest any
//! part: each write whole, torn or not at all, each name change or not. A failed sync drops the
//! dirty bytes and calls the next sync a success, as Linux does.

use std::{
    any::Any,
    collections::BTreeMap,
    io::{self, IoSlice},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{File, Fs};

/// Operations that change something and can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Create,
    Write,
    Sync,
    SetLen,
    Remove,
    SyncDir,
    Read,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    Kill,
    Power,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, new) => {
                bytes.resize(bytes.len().max(at + new.len()), 0);
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last sync.
    dirty: Vec<Change>,
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    now_ms: u64,
    boot_id: u64,
    /// Changes done so far.
    n_ops: u64,
    crash_at: Option<u64>,
    is_dead: bool,
    capacity: Option<usize>,
    faults: Vec<(Op, u32, io::ErrorKind)>,
    largest: usize,
    locked: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct SimFs(Arc<Mutex<World>>);

struct SimFile {
    fs: SimFs,
    inode: usize,
}

struct SimLock(Arc<AtomicBool>);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl SimFs {
    pub(super) fn new() -> Self {
        let fs = Self::default();
        fs.world().now_ms = 1_000_000;
        fs.world().boot_id = 1;
        fs
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(super) fn set_now(&self, now_ms: u64) {
        self.world().now_ms = now_ms;
    }

    /// Changes done so far.
    pub(super) fn n_ops(&self) -> u64 {
        self.world().n_ops
    }

    /// The machine dies before its `n`th change, a write half way.
    pub(super) fn crash_at(&self, n: u64) {
        self.world().crash_at = Some(n);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.world().is_dead
    }

    /// The next operation of this kind but `skip` fails.
    pub(super) fn fail(&self, op: Op, skip: u32, kind: io::ErrorKind) {
        self.world().faults.push((op, skip, kind));
    }

    pub(super) fn heal(&self) {
        self.world().faults.clear();
    }

    /// Bytes that all files together may have.
    pub(super) fn set_capacity(&self, capacity: Option<usize>) {
        self.world().capacity = capacity;
    }

    /// Bytes of all files now.
    pub(super) fn total(&self) -> usize {
        self.world().total()
    }

    /// Bytes of all files when they were most.
    pub(super) fn largest(&self) -> usize {
        self.world().largest
    }

    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let world = self.world();
        let content =
            |(name, &inode): (&String, &usize)| (name.clone(), world.inodes[inode].current.clone());
        world.names.iter().map(content).collect()
    }

    /// A machine of the same boot with these files.
    pub(super) fn with_files(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let fs = Self::new();
        {
            let mut world = fs.world();
            for (name, bytes) in files {
                let inode = world.inodes.len();
                let (current, durable) = (bytes.clone(), bytes.clone());
                world.inodes.push(Inode {
                    current,
                    durable,
                    dirty: Vec::new(),
                });
                world.names.insert(name.clone(), inode);
            }
            world.durable_names = world.names.clone();
        }
        fs
    }

    /// What the next process finds. `choose(n)` gives a number below `n`.
    pub(super) fn after(&self, crash: Crash, mut choose: impl FnMut(usize) -> usize) -> Self {
        let world = self.world();
        let fs = Self::new();
        {
            let mut next = fs.world();
            next.now_ms = world.now_ms + 1000;
            next.boot_id = world.boot_id + u64::from(crash == Crash::Power);
            next.inodes = world.inodes.clone();
            next.names = world.names.clone();
            if crash == Crash::Power {
                for inode in &mut next.inodes {
                    inode.lose_power(&mut choose);
                }
                let mut names = world.durable_names.clone();
                for name in world.names.keys().chain(world.durable_names.keys()) {
                    if choose(2) == 0 {
                        match world.names.get(name) {
                            Some(&inode) => names.insert(name.clone(), inode),
                            None => names.remove(name),
                        };
                    }
                }
                next.names = names;
            }
            for inode in &mut next.inodes {
                inode.durable = inode.current.clone();
                inode.dirty.clear();
            }
            next.durable_names = next.names.clone();
        }
        fs
    }
}

impl Inode {
    fn lose_power(&mut self, choose: &mut impl FnMut(usize) -> usize) {
        let mut bytes = self.durable.clone();
        for change in &self.dirty {
            match (choose(4), change) {
                (0, _) => {}
                (1, Change::Write(at, new)) => {
                    // The size was extended, the bytes came part of the way.
                    let mut torn = new.clone();
                    torn[choose(new.len() + 1)..].fill(0);
                    Change::Write(*at, torn).apply(&mut bytes);
                }
                (2, Change::Write(at, new)) => {
                    let n_bytes = choose(new.len() + 1);
                    Change::Write(*at, new[..n_bytes].to_vec()).apply(&mut bytes);
                }
                (_, change) => change.apply(&mut bytes),
            }
        }
        self.current = bytes;
    }
}

impl World {
    fn total(&self) -> usize {
        self.names
            .values()
            .map(|&inode| self.inodes[inode].current.len())
            .sum()
    }

    fn check(&mut self, op: Op) -> io::Result<()> {
        if self.is_dead {
            return Err(io::Error::other("the machine is dead"));
        }
        if op != Op::Read {
            if self.crash_at == Some(self.n_ops) {
                self.is_dead = true;
                return Err(io::Error::other("the machine dies"));
            }
            self.n_ops += 1;
        }
        if let Some(at) = self.faults.iter().position(|fault| fault.0 == op) {
            if self.faults[at].1 == 0 {
                return Err(self.faults.remove(at).2.into());
            }
            self.faults[at].1 -= 1;
        }
        Ok(())
    }

    fn write(&mut self, inode: usize, at: usize, bytes: &[u8]) {
        let change = Change::Write(at, bytes.to_vec());
        change.apply(&mut self.inodes[inode].current);
        self.inodes[inode].dirty.push(change);
        self.largest = self.largest.max(self.total());
    }
}

impl File for SimFile {
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let at = offset as usize;
        let mut world = self.fs.world();
        let was_dead = world.is_dead;
        if let Err(error) = world.check(Op::Write) {
            // Half of it was written.
            if !was_dead {
                world.write(self.inode, at, &bytes[..bytes.len() / 2]);
            }
            return Err(error);
        }
        let grown = (at + bytes.len()).saturating_sub(world.inodes[self.inode].current.len());
        let free = world
            .capacity
            .map_or(usize::MAX, |bytes| bytes.saturating_sub(world.total()));
        if grown > free {
            world.write(self.inode, at, &bytes[..bytes.len() - (grown - free)]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.write(self.inode, at, &bytes);
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.fs.world();
        world.check(Op::Read)?;
        let current = &world.inodes[self.inode].current;
        let rest = current.get(offset as usize..).unwrap_or_default();
        let n_bytes = rest.len().min(buf.len());
        buf[..n_bytes].copy_from_slice(&rest[..n_bytes]);
        Ok(n_bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.fs.world();
        let result = world.check(Op::Sync);
        let is_dead = world.is_dead;
        let inode = &mut world.inodes[self.inode];
        if is_dead {
            return result;
        }
        let dirty = std::mem::take(&mut inode.dirty);
        if result.is_ok() {
            dirty
                .iter()
                .for_each(|change| change.apply(&mut inode.durable));
        }
        result
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.fs.world();
        world.check(Op::SetLen)?;
        let inode = &mut world.inodes[self.inode];
        inode.current.resize(len as usize, 0);
        inode.dirty.push(Change::SetLen(len as usize));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let mut world = self.fs.world();
        world.check(Op::Read)?;
        Ok(world.inodes[self.inode].current.len() as u64)
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Fs for SimFs {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let sizes = self.files();
        Ok(sizes
            .into_iter()
            .map(|(name, bytes)| (name, bytes.len() as u64))
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut world = self.world();
        world.check(Op::Create)?;
        if world.names.contains_key(&name(path)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = world.inodes.len();
        world.inodes.push(Inode::default());
        world.names.insert(name(path), inode);
        Ok(Box::new(SimFile {
            fs: self.clone(),
            inode,
        }))
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<Box<dyn File>> {
        let mut world = self.world();
        world.check(Op::Read)?;
        let inode = *world
            .names
            .get(&name(path))
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile {
            fs: self.clone(),
            inode,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Op::Remove)?;
        world
            .names
            .remove(&name(path))
            .map(|_| ())
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Op::SyncDir)?;
        world.durable_names = world.names.clone();
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let locked = Arc::clone(&self.world().locked);
        if locked.swap(true, Ordering::SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(locked)))
    }

    fn now_ms(&self) -> u64 {
        self.world().now_ms
    }

    fn boot_id(&self) -> u64 {
        self.world().boot_id
    }
}
