//! Opening: from the files that the last process left to the books in memory.
//!
//! Reads every segment, newest first, as `format.rs` says; writes nothing but cuts (torn tails,
//! rewritten ends), the repair of damaged side logs, and the removal of what is delivered.

use std::{
    collections::BTreeSet,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{info, warn};

use crate::{
    Damage, Error, File, Fs, Recovery,
    format::{FILE_HEADER, FileHeader, FileKind, HeaderProblem, MARKS, Mark, MarkFound, VERSION},
    remove,
    scan::{self, Check, Hole, Scan},
    segment::{Segment, Slot, Stage},
    state::Shared,
};

/// Damaged places that get a log line each; the rest is a number.
const MAX_NAMED: usize = 20;

/// Where the writer goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Continuation {
    pub(crate) next_number: u64,
    pub(crate) next_seq: u64,
}

/// Fills the (empty) books of `shared` from its directory.
pub(crate) fn recover(shared: &Arc<Shared>) -> Result<(Recovery, Continuation), Error> {
    let Numbers { segments, marks } = numbers(&*shared.fs, &shared.dir)?;
    let next_number = segments
        .iter()
        .chain(&marks)
        .max()
        .map_or(1, |number| number + 1);
    for &number in marks.difference(&segments) {
        let path = shared.path(FileKind::Marks, number);
        shared
            .fs
            .remove(&path)
            .map_err(|error| Error::io("remove", path, error))?;
    }
    let mut recovery = Recovery::default();
    let mut next_seq = 1;
    let mut newer = None;
    for &number in segments.iter().rev() {
        let (fs, dir) = (&*shared.fs, &*shared.dir);
        let mut pair = Pair::load(fs, dir, number, Access::Mend, Check::Unsealed)?;
        newer = pair.fit(newer);
        next_seq = next_seq.max(pair.scan.end_seq);
        pair.enter(shared, &mut recovery)?;
    }
    remove::delivered_segments(shared);
    // Numbers of files that are gone may be used again: no name of theirs may come back.
    shared
        .fs
        .sync_dir(&shared.dir)
        .map_err(|error| Error::io("sync", &shared.dir, error))?;
    {
        let mut state = shared.lock();
        recovery.entries = state.entries;
        recovery.bytes = state.undelivered_bytes;
        recovery
            .damaged
            .sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
        state.damaged = recovery.damaged_entries();
    }
    report(shared, &recovery);
    Ok((
        recovery,
        Continuation {
            next_number,
            next_seq,
        },
    ))
}

fn report(shared: &Shared, recovery: &Recovery) {
    shared
        .metrics
        .damaged_entries
        .inc_by(recovery.damaged_entries());
    shared
        .metrics
        .torn_bytes
        .set(i64::try_from(recovery.torn_bytes).unwrap_or(i64::MAX));
    for damage in recovery.damaged.iter().take(MAX_NAMED) {
        warn!(
            segment = %damage.path.display(),
            offset = damage.offset,
            bytes = damage.bytes,
            entries = ?damage.entries,
            "damaged bytes in the buffer: the entries are lost",
        );
    }
    info!(
        dir = %shared.dir.display(),
        entries = recovery.entries,
        bytes = recovery.bytes,
        torn_bytes = recovery.torn_bytes,
        torn_entries = recovery.torn_entries,
        damaged_places = recovery.damaged.len(),
        damaged_marks = recovery.damaged_marks,
        "buffer opened",
    );
}

/// The numbers of the files in a directory.
pub(crate) struct Numbers {
    pub(crate) segments: BTreeSet<u64>,
    pub(crate) marks: BTreeSet<u64>,
}

pub(crate) fn numbers(fs: &dyn Fs, dir: &Path) -> Result<Numbers, Error> {
    let files = fs
        .list(dir)
        .map_err(|error| Error::io("list", dir, error))?;
    let of = |kind: FileKind| {
        files
            .iter()
            .filter_map(move |(name, _)| kind.number(name))
            .collect()
    };
    Ok(Numbers {
        segments: of(FileKind::Segment),
        marks: of(FileKind::Marks),
    })
}

/// What the files are opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Looking only.
    Inspect,
    /// Looking, cutting and mending.
    Mend,
}

/// The segment that was scanned before: the next one in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newer {
    number: u64,
    first_seq: u64,
}

/// A segment and its side log as found on disk.
pub(crate) struct Pair {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    marks_path: PathBuf,
    pub(crate) data: Arc<dyn File>,
    pub(crate) data_len: u64,
    marks: Option<Arc<dyn File>>,
    pub(crate) log: MarksLog,
    pub(crate) scan: Scan,
}

/// The bytes of a side log.
pub(crate) struct MarksLog {
    pub(crate) bytes: Vec<u8>,
    pub(crate) header: Option<FileHeader>,
}

impl MarksLog {
    /// Reads a side log; one that is missing or damaged has no header.
    pub(crate) fn load(file: Option<&dyn File>, path: &Path, number: u64) -> Result<Self, Error> {
        let read = |file: &dyn File| {
            let len = usize::try_from(file.size()?).unwrap_or(usize::MAX);
            let mut bytes = vec![0; len];
            let n_bytes = file.read_at(&mut bytes, 0)?;
            bytes.truncate(n_bytes);
            io::Result::Ok(bytes)
        };
        let bytes = match file.map(read) {
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => {
                warn!(path = %path.display(), %error, "cannot read delivery marks");
                Vec::new()
            }
            None => Vec::new(),
        };
        let decode = |bytes| FileHeader::decode(bytes, FileKind::Marks, number);
        let header = match bytes.first_chunk().map(decode) {
            Some(Ok(header)) => Some(header),
            Some(Err(HeaderProblem::Version(found))) => {
                return Err(Error::Version {
                    path: path.to_owned(),
                    found,
                    known: VERSION,
                });
            }
            Some(Err(HeaderProblem::Damaged)) | None => None,
        };
        Ok(Self { bytes, header })
    }

    /// Whether marks may have been lost with the page cache of an earlier boot.
    pub(crate) fn is_complete(&self, boot_id: u64) -> bool {
        boot_id != 0 && self.header.is_some_and(|header| header.stamp == boot_id)
    }
}

impl Pair {
    pub(crate) fn load(
        fs: &dyn Fs,
        dir: &Path,
        number: u64,
        access: Access,
        check: Check,
    ) -> Result<Self, Error> {
        let path = dir.join(FileKind::Segment.name(number));
        let marks_path = dir.join(FileKind::Marks.name(number));
        let write = access == Access::Mend;
        let data: Arc<dyn File> = fs
            .open(&path, write)
            .map_err(|error| Error::io("open", &path, error))?
            .into();
        let marks: Option<Arc<dyn File>> = match fs.open(&marks_path, write) {
            Ok(marks) => Some(marks.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("open", marks_path, error)),
        };
        let log = MarksLog::load(marks.as_deref(), &marks_path, number)?;
        let first_seq = log.header.map(|header| header.first_seq);
        let scan = scan::scan(&*data, number, first_seq, check);
        if let Err(HeaderProblem::Version(found)) = scan.header {
            return Err(Error::Version {
                path,
                found,
                known: VERSION,
            });
        }
        let data_len = data
            .size()
            .map_err(|error| Error::io("look at", &path, error))?;
        Ok(Self {
            number,
            path,
            marks_path,
            data,
            data_len,
            marks,
            log,
            scan,
        })
    }

    /// Brings the end in line with the beginning of the next newer segment: entries from there on
    /// were written again to it; entries that are missing before were acknowledged and are lost.
    /// Gives what the next older one is to be compared with.
    pub(crate) fn fit(&mut self, newer: Option<Newer>) -> Option<Newer> {
        if let Some(newer) = newer {
            self.fit_end(newer);
        }
        let is_told = !self.scan.entries.is_empty() || self.scan.header.is_ok();
        if is_told {
            return Some(Newer {
                number: self.number,
                first_seq: self.scan.first_seq,
            });
        }
        newer
    }

    fn fit_end(&mut self, newer: Newer) {
        let scan = &mut self.scan;
        let n_kept = scan
            .entries
            .partition_point(|found| found.header.seq < newer.first_seq);
        if let Some(first) = scan.entries.get(n_kept) {
            scan.good_len = first.offset;
            scan.holes.retain(|hole| hole.bytes.start < first.offset);
            scan.entries.truncate(n_kept);
        }
        scan.end_seq = scan.end_seq.min(newer.first_seq);
        // Where a segment is missing in between, its entries were delivered.
        let follows = self.number + 1 == newer.number;
        let is_told = !scan.unreadable && (scan.header.is_ok() || !scan.entries.is_empty());
        // A number from a damaged file must not cost memory.
        let n_missing = newer.first_seq - scan.end_seq;
        let n_places = (self.log.bytes.len() as u64).max(self.data_len) / MARKS;
        if follows && is_told && (1..=n_places).contains(&n_missing) {
            let bytes = scan.good_len..scan.good_len + scan.torn;
            scan.holes.push(Hole {
                bytes,
                seqs: scan.end_seq..newer.first_seq,
            });
            scan.end_seq = newer.first_seq;
            scan.torn = 0;
        }
    }

    /// Enters the segment into the books, mends and cuts its files.
    fn enter(mut self, shared: &Arc<Shared>, recovery: &mut Recovery) -> Result<(), Error> {
        recovery.torn_bytes += self.scan.torn;
        if self.scan.entries.is_empty() && self.scan.end_seq <= self.scan.first_seq {
            self.leave_out(shared, recovery);
            return Ok(());
        }
        recovery.damaged.extend(self.damages());
        let n_places = (self.log.bytes.len() as u64).saturating_sub(FILE_HEADER) / MARKS;
        let n_seqs = self.scan.end_seq.saturating_sub(self.scan.first_seq);
        recovery.torn_entries += n_places.saturating_sub(n_seqs);
        let (slots, damaged_marks) = self.slots(shared.boot_id);
        recovery.damaged_marks += damaged_marks;
        let residue = !self.cut();
        let marks = self.mend_marks(&*shared.fs, slots.len() as u64, damaged_marks > 0)?;
        let sizes = self.data.size().and_then(|data| Ok(data + marks.size()?));
        let disk_bytes = sizes.map_err(|error| Error::io("look at", &self.path, error))?;
        let undelivered = slots.iter().filter(|slot| slot.is_undelivered()).count() as u64;
        let mut state = shared.lock();
        state.count_in(&slots);
        state.disk_bytes += disk_bytes;
        let segment = Segment {
            number: self.number,
            first_seq: self.scan.first_seq,
            data: self.data,
            marks,
            disk_bytes,
            slots,
            // What the disk does not give back now, it may give back at the next opening.
            pending: undelivered + u64::from(self.scan.unreadable),
            active: false,
            residue,
        };
        state.segments.insert(segment.first_seq, segment);
        Ok(())
    }

    /// The damaged places, with their file.
    pub(crate) fn damages(&self) -> Vec<Damage> {
        let damage = |hole: &Hole| Damage {
            path: self.path.clone(),
            offset: hole.bytes.start,
            bytes: hole.bytes.end - hole.bytes.start,
            entries: hole.seqs.clone(),
        };
        self.scan.holes.iter().map(damage).collect()
    }

    /// A segment without entries: its creation did not complete, or its first write. One that
    /// the disk does not give back is left where it is.
    fn leave_out(&self, shared: &Arc<Shared>, recovery: &mut Recovery) {
        // Places for marks are made before entries are written, and the header before both.
        let n_places = (self.log.bytes.len() as u64).saturating_sub(FILE_HEADER) / MARKS;
        let first_seq = self.log.header.map_or(0, |header| header.first_seq);
        let seqs = first_seq..first_seq.saturating_add(n_places);
        if self.scan.header.is_ok() {
            recovery.torn_entries += n_places;
        } else if n_places > 0 {
            recovery.damaged.push(Damage {
                path: self.path.clone(),
                offset: 0,
                bytes: self.data_len,
                entries: seqs,
            });
        }
        if self.scan.unreadable || !remove::abandoned_pair(shared, self.number) {
            let marks_len = self.log.bytes.len() as u64;
            shared.lock().disk_bytes += self.data_len + marks_len;
        }
    }

    /// Slots of all entries, with their marks, and the number of marks that are damaged.
    pub(crate) fn slots(&self, boot_id: u64) -> (Vec<Slot>, u64) {
        let Scan {
            first_seq, end_seq, ..
        } = self.scan;
        let is_complete = self.log.is_complete(boot_id);
        let mut n_damaged = 0;
        let mut slots = Vec::with_capacity(self.scan.entries.len());
        for found in &self.scan.entries {
            let seq = found.header.seq;
            // Both are small: a scan allows no more seqs than there are bytes for.
            slots.resize_with((seq - first_seq) as usize, Slot::lost);
            let find = |mark: Mark| mark.find(&self.log.bytes, self.number, first_seq, seq);
            let (posted, done) = (find(Mark::Posted), find(Mark::Done));
            let is_damaged = |found| u64::from(found == MarkFound::Damaged);
            let damaged = is_damaged(posted) + is_damaged(done);
            let mut slot = Slot::new(found.offset, &found.header, None);
            if let MarkFound::At(wall_ms) = posted {
                slot.posted_ms = wall_ms.max(1);
            }
            if let MarkFound::At(_) = done {
                slot.stage = Stage::Done;
            } else if damaged > 0 || !is_complete {
                // Nobody knows whether it was posted: in doubt since it was made.
                let since = slot.created_ms.max(1);
                slot.posted_ms = if slot.posted_ms == 0 {
                    since
                } else {
                    slot.posted_ms.min(since)
                };
            }
            n_damaged += damaged;
            slots.push(slot);
        }
        slots.resize_with((end_seq.max(first_seq) - first_seq) as usize, Slot::lost);
        (slots, n_damaged)
    }

    /// Cuts a torn tail off. False when something stays behind the last entry.
    fn cut(&mut self) -> bool {
        if self.scan.sealed || self.scan.unreadable || self.data_len <= self.scan.good_len {
            return true;
        }
        let cut = self
            .data
            .set_len(self.scan.good_len)
            .and_then(|()| self.data.sync());
        if let Err(error) = &cut {
            warn!(segment = %self.path.display(), %error, "cannot cut off an unfinished write");
        }
        cut.is_ok()
    }

    /// Makes the side log fit its segment again. Where marks were lost, its boot id is unset, so
    /// that the doubt outlives this process too.
    fn mend_marks(
        &mut self,
        fs: &dyn Fs,
        n_slots: u64,
        is_damaged: bool,
    ) -> Result<Arc<dyn File>, Error> {
        let fail = |error| Error::io("mend", &self.marks_path, error);
        let len = Mark::Posted.offset(n_slots);
        let marks = match self.marks.take() {
            Some(marks) => marks,
            None => fs.create(&self.marks_path).map_err(fail)?.into(),
        };
        if marks.size().map_err(fail)? != len {
            marks.set_len(len).map_err(fail)?;
        }
        if is_damaged || self.log.header.is_none() {
            let first_seq = self.scan.first_seq;
            let header = FileHeader {
                number: self.number,
                first_seq,
                stamp: 0,
            };
            let bytes = header.encode(FileKind::Marks);
            marks
                .write_at(&mut [IoSlice::new(&bytes)], 0)
                .map_err(fail)?;
        }
        Ok(marks)
    }
}
