//! The journal on a directory that fails: a crash or an error at every step, torn writes, power
//! cuts and flipped bits, compared with a table in memory.

use super::fs::{File, Fs};
use super::*;
use proptest::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard};

/// Small, so that short sequences compact often.
const SLACK: u64 = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The step fails; a write leaves a part. The next steps work.
    Error,
    /// The step fails; so does everything after it.
    Crash,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// A directory with what is on the disk and what is only in the page cache.
#[derive(Debug, Default)]
struct Disk {
    inodes: Vec<Inode>,
    dir: BTreeMap<String, usize>,
    synced_dir: BTreeMap<String, usize>,
    fault: Option<(usize, Fault)>,
    steps: usize,
    crashed: bool,
}

impl Disk {
    /// Counts a step that changes something; tells whether it goes wrong.
    fn step(&mut self) -> io::Result<()> {
        let step = self.steps;
        self.steps += 1;
        let Some((at, fault)) = self.fault else {
            return Ok(());
        };
        if self.crashed || step == at {
            self.crashed |= fault == Fault::Crash;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn inode(&mut self, idx: usize) -> &mut Inode {
        &mut self.inodes[idx]
    }

    /// The directory after the machine lost power: of what was not synced any part may be there.
    fn lose_power(&mut self, seed: usize) {
        if seed.is_multiple_of(2) {
            self.dir = self.synced_dir.clone();
        }
        for (idx, inode) in self.inodes.iter_mut().enumerate() {
            if inode.now.starts_with(&inode.synced) {
                let extra = inode.now.len() - inode.synced.len();
                let kept = if extra == 0 {
                    0
                } else {
                    (seed / 2 + idx * 7) % (extra + 1)
                };
                inode.now.truncate(inode.synced.len() + kept);
                // The size may be written before the data.
                if kept < extra && seed.is_multiple_of(3) {
                    inode.now.resize(inode.now.len() + seed % 50, 0);
                }
            } else {
                inode.now = inode.synced.clone();
            }
        }
    }
}

#[derive(Clone, Default)]
struct MemFs(Arc<Mutex<Disk>>);

impl MemFs {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    fn heal(&self) {
        let mut disk = self.disk();
        disk.fault = None;
        disk.crashed = false;
    }

    fn open(&self) -> (Journal, State, Vec<Warning>) {
        Journal::open_in(Box::new(self.clone()), SLACK).unwrap()
    }
}

impl Fs for MemFs {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disk().dir.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let disk = self.disk();
        Ok(disk.dir.get(name).map(|&idx| disk.inodes[idx].now.clone()))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut disk = self.disk();
        disk.step()?;
        let idx = disk.inodes.len();
        disk.inodes.push(Inode::default());
        disk.dir.insert(name.to_owned(), idx);
        Ok(Box::new(MemFile {
            disk: self.clone(),
            idx,
        }))
    }

    fn open_append(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut disk = self.disk();
        disk.step()?;
        let idx = *disk.dir.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemFile {
            disk: self.clone(),
            idx,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let idx = disk.dir.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.dir.insert(to.to_owned(), idx);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.dir
            .remove(name)
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.synced_dir = disk.dir.clone();
        Ok(())
    }
}

struct MemFile {
    disk: MemFs,
    idx: usize,
}

impl File for MemFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.disk();
        let was_crashed = disk.crashed;
        let outcome = disk.step();
        let torn = disk.steps % (bytes.len() + 1);
        let written = match outcome {
            Ok(()) => bytes,
            Err(_) if was_crashed => &[],
            Err(_) => &bytes[..torn],
        };
        disk.inode(self.idx).now.extend_from_slice(written);
        outcome
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.step()?;
        disk.inode(self.idx).now.truncate(len as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.step()?;
        let inode = disk.inode(self.idx);
        inode.synced = inode.now.clone();
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Action {
    Put(u8, usize),
    Delete(u8),
    Commit,
    Reopen,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => (0..8u8, 0..120usize).prop_map(|(key, len)| Action::Put(key, len)),
        1 => (0..8u8).prop_map(Action::Delete),
        3 => Just(Action::Commit),
        1 => Just(Action::Reopen),
    ];
    prop::collection::vec(action, 1..80)
}

/// What a run on a failing disk left.
struct Outcome {
    /// The table at the last commit that succeeded.
    committed: State,
    /// The tables of commits that failed since, any of which may be on the disk.
    attempted: Vec<State>,
    /// The tables of all commits, failed ones too.
    history: Vec<State>,
}

/// Runs `actions`; stops at a crash.
fn run(fs: &MemFs, actions: &[Action]) -> Outcome {
    let mut outcome = Outcome {
        committed: State::new(),
        attempted: Vec::new(),
        history: vec![State::new()],
    };
    let (mut journal, _, _) = fs.open();
    let mut table = State::new();
    for (number, action) in actions.iter().enumerate() {
        match action {
            Action::Put(key, len) => {
                let value = vec![number as u8; *len];
                journal.put(&[*key], &value);
                table.insert(vec![*key], value);
            }
            Action::Delete(key) => {
                journal.delete(&[*key]);
                table.remove(&vec![*key]);
            }
            Action::Commit => {
                outcome.history.push(table.clone());
                match journal.commit() {
                    Ok(()) => {
                        outcome.committed = table.clone();
                        outcome.attempted.clear();
                    }
                    Err(_) => outcome.attempted.push(table.clone()),
                }
                assert_eq!(
                    journal.state, table,
                    "memory stays right whatever the disk says"
                );
            }
            Action::Reopen => {
                drop(journal);
                let (reopened, state, _) = fs.open();
                assert!(
                    state == outcome.committed || outcome.attempted.contains(&state),
                    "a clean restart finds a committed table"
                );
                journal = reopened;
                table = state.clone();
                outcome.committed = state;
                outcome.attempted.clear();
            }
        }
        if fs.disk().crashed {
            break;
        }
    }
    outcome
}

/// Whatever was found, the journal works from there, and the next start is a clean one.
fn check_usable(fs: &MemFs, mut journal: Journal, mut state: State) {
    assert_eq!(journal.state, state);
    journal.put(b"after", b"recovery");
    state.insert(b"after".to_vec(), b"recovery".to_vec());
    journal.commit().unwrap();
    drop(journal);
    let (_, again, warnings) = fs.open();
    assert_eq!(again, state);
    assert_eq!(warnings, []);
}

proptest! {
    /// DELIVERY rule 14 (delta log with snapshots): a crash at any step leaves old or new.
    #[test]
    fn a_crash_at_any_step_leaves_old_or_new(actions in actions(), at in 1..120usize) {
        let fs = MemFs::default();
        fs.disk().fault = Some((at, Fault::Crash));
        let outcome = run(&fs, &actions);
        fs.heal();
        let (journal, state, _) = fs.open();
        prop_assert!(state == outcome.committed || outcome.attempted.contains(&state));
        check_usable(&fs, journal, state);
    }

    #[test]
    fn a_power_cut_leaves_the_table_of_some_commit(
        actions in actions(), at in 1..120usize, seed in 0..1000usize,
    ) {
        let fs = MemFs::default();
        fs.disk().fault = Some((at, Fault::Crash));
        let outcome = run(&fs, &actions);
        fs.heal();
        fs.disk().lose_power(seed);
        let (journal, state, _) = fs.open();
        prop_assert!(outcome.history.contains(&state));
        check_usable(&fs, journal, state);
    }

    #[test]
    fn an_error_at_any_step_is_made_good_by_the_next_commit(actions in actions(), at in 1..120usize) {
        let fs = MemFs::default();
        fs.disk().fault = Some((at, Fault::Error));
        let mut actions = actions;
        actions.retain(|action| !matches!(action, Action::Reopen));
        let mut outcome = run(&fs, &actions);
        fs.heal();
        let (journal, state, warnings) = fs.open();
        outcome.attempted.push(outcome.committed);
        prop_assert!(outcome.attempted.contains(&state));
        prop_assert_eq!(warnings, []);
        check_usable(&fs, journal, state);
    }

    #[test]
    fn a_flipped_bit_costs_entries_but_never_makes_them_up(
        actions in actions(), file in 0..8usize, at: usize, bit in 0..8u8,
    ) {
        let fs = MemFs::default();
        let outcome = run(&fs, &actions);
        {
            let mut disk = fs.disk();
            let files: Vec<usize> = disk.dir.values().copied().collect();
            let inode = disk.inode(files[file % files.len()]);
            let len = inode.now.len();
            prop_assume!(len > 0);
            inode.now[at % len] ^= 1 << bit;
        }
        let (journal, state, warnings) = fs.open();
        prop_assert_eq!(warnings.len(), 1);
        for (key, value) in &state {
            prop_assert!(outcome.history.iter().any(|table| table.get(key) == Some(value)));
        }
        check_usable(&fs, journal, state);
    }

    #[test]
    fn arbitrary_files_do_not_keep_the_agent_from_starting(snapshot: Vec<u8>, log: Vec<u8>) {
        let fs = MemFs::default();
        for (name, bytes) in [("snapshot", &snapshot), ("log-0000000000000003", &log)] {
            fs.create(name).unwrap().append(bytes).unwrap();
        }
        let (journal, state, _) = fs.open();
        check_usable(&fs, journal, state);
    }
}

#[test]
fn a_full_disk_is_reported_and_made_good_later() {
    let fs = MemFs::default();
    let (mut journal, _, _) = fs.open();
    journal.put(b"a", b"1");
    journal.commit().unwrap();
    let steps = fs.disk().steps;
    fs.disk().fault = Some((steps, Fault::Crash));
    journal.put(b"b", b"2");
    assert!(journal.commit().is_err());
    assert!(journal.commit().is_err());
    fs.heal();
    journal.commit().unwrap();
    let (_, state, warnings) = fs.open();
    assert_eq!(
        state.get(b"b".as_slice()).map(Vec::as_slice),
        Some(b"2".as_slice())
    );
    assert_eq!(warnings, []);
}

#[test]
fn nothing_new_writes_nothing_and_many_changes_are_one_write() {
    let fs = MemFs::default();
    let (mut journal, _, _) = fs.open();
    for key in 0..20u8 {
        journal.put(&[key], b"value");
    }
    let steps = fs.disk().steps;
    journal.commit().unwrap();
    assert_eq!(fs.disk().steps, steps + 1);
    journal.put(&[3], b"value");
    journal.delete(b"unknown");
    journal.commit().unwrap();
    assert_eq!(fs.disk().steps, steps + 1);
}

#[test]
fn the_log_stays_near_the_size_of_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _, _) = Journal::open(dir.path()).unwrap();
    for round in 0..20_000u32 {
        journal.put(&(round % 10).to_le_bytes(), &[round as u8; 100]);
        journal.commit().unwrap();
    }
    let used: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .sum();
    assert!(used < 3 * LOG_SLACK, "{used} bytes");
    drop(journal);
    let (_, state, warnings) = Journal::open(dir.path()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(state.len(), 10);
    assert_eq!(
        state.get(9u32.to_le_bytes().as_slice()).unwrap(),
        &vec![19_999u32 as u8; 100]
    );
}

/// DELIVERY rule 4: one agent per data directory.
#[test]
fn a_second_agent_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _, _) = Journal::open(dir.path()).unwrap();
    let Err(Error::Locked(said)) = Journal::open(dir.path()) else {
        panic!("two agents")
    };
    assert_eq!(said, dir.path().display().to_string());
    drop(first);
    Journal::open(dir.path()).unwrap();
}
