//! Looking into a buffer from outside, also while it is in use: never locks, never writes.
//!
//! Trusts nothing that it reads. A live buffer changes meanwhile: segments that vanish are left
//! out, and one that looks damaged is read a second time before it is called so.

use std::{
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use crate::{
    Damage, Disk, EntryId, Error, Fs,
    format::FileKind,
    recover::{Access, Newer, Pair, numbers},
    scan::{self, Check, Found},
    segment::Stage,
};

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// The newest one, without a footer: in use, or left by a kill.
    Open,
    /// Complete, with a footer.
    Sealed,
    /// An older one without a footer: its process was killed, or a write to it failed.
    Unfinished,
    /// Of an unknown version, or not readable at all: see the report's `problem`.
    Unreadable,
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number; segments are listed by it.
    pub number: u64,
    /// Its file.
    pub path: PathBuf,
    /// What became of it.
    pub state: SegmentState,
    /// Entries that can be read.
    pub entries: u64,
    /// Of these, delivered.
    pub done: u64,
    /// Of the others, those that were posted, or may have been.
    pub in_doubt: u64,
    /// Size of segment and side log.
    pub disk_bytes: u64,
    /// Heads and bodies of undelivered entries.
    pub undelivered_bytes: u64,
    /// When the oldest undelivered entry was appended: milliseconds since 1970.
    pub oldest_ms: Option<u64>,
    /// Damaged places.
    pub damaged: Vec<Damage>,
    /// Delivery marks that cannot be read.
    pub damaged_marks: u64,
    /// Bytes at the end of a write that is under way, or never completed. No damage.
    pub torn_bytes: u64,
    /// Why it cannot be read at all.
    pub problem: Option<String>,
}

impl SegmentReport {
    /// Whether `verify` has nothing to complain about.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.damaged_marks == 0 && self.problem.is_none()
    }
}

/// An entry as [`cat`] hands it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedEntry {
    /// Its name.
    pub id: EntryId,
    /// When it was appended: milliseconds since 1970.
    pub created_ms: u64,
    /// Whether it is delivered.
    pub is_done: bool,
    /// The head.
    pub head: Vec<u8>,
    /// The body, checked.
    pub body: Vec<u8>,
}

/// Which entries [`cat`] shows.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Their ids.
    pub ids: RangeInclusive<u64>,
    /// Those that are delivered, too.
    pub delivered: bool,
}

impl Default for Selection {
    /// All that are not delivered.
    fn default() -> Self {
        Self {
            ids: 0..=u64::MAX,
            delivered: false,
        }
    }
}

/// What [`cat`] showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatSummary {
    /// Entries handed out.
    pub entries: u64,
    /// Places that are damaged; what could be read around them was handed out.
    pub damaged: Vec<Damage>,
    /// Segments that cannot be read at all, and why.
    pub problems: Vec<String>,
}

/// [`cat`] stopped.
#[derive(Debug, thiserror::Error)]
pub enum CatError {
    /// The buffer cannot be read.
    #[error(transparent)]
    Buffer(#[from] Error),
    /// The caller's closure failed.
    #[error("cannot show an entry: {0}")]
    Show(#[source] io::Error),
}

/// Reports on each segment, oldest first. Reads bodies only where there is no footer.
pub fn list(dir: &Path) -> Result<Vec<SegmentReport>, Error> {
    reports(&Disk, dir, Check::Unsealed)
}

/// As [`list`], and checks every byte.
pub fn verify(dir: &Path) -> Result<Vec<SegmentReport>, Error> {
    reports(&Disk, dir, Check::Everything)
}

/// Hands the selected entries to `show`, oldest first, one body in memory at a time. Damaged ones
/// are passed over and named in the summary. Stops at the first error of `show`.
pub fn cat(
    dir: &Path,
    selection: &Selection,
    show: impl FnMut(InspectedEntry) -> io::Result<()>,
) -> Result<CatSummary, CatError> {
    cat_from(&Disk, dir, selection, show)
}

pub(crate) fn reports(fs: &dyn Fs, dir: &Path, check: Check) -> Result<Vec<SegmentReport>, Error> {
    let segments = numbers(fs, dir)?.segments;
    let newest = segments.last().copied();
    let mut newer = None;
    let mut reports = Vec::with_capacity(segments.len());
    for &number in segments.iter().rev() {
        let look = || {
            let is_newest = Some(number) == newest;
            report(fs, dir, number, check, newer, is_newest)
        };
        let (report, next_newer) = match look() {
            Some((report, _)) if !report.is_sound() => match look() {
                Some(second) => second,
                None => continue,
            },
            Some(first) => first,
            None => continue,
        };
        newer = next_newer;
        reports.push(report);
    }
    reports.reverse();
    Ok(reports)
}

/// `None` when the segment has gone meanwhile.
fn report(
    fs: &dyn Fs,
    dir: &Path,
    number: u64,
    check: Check,
    newer: Option<Newer>,
    is_newest: bool,
) -> Option<(SegmentReport, Option<Newer>)> {
    let path = dir.join(FileKind::Segment.name(number));
    let mut report = SegmentReport {
        number,
        path,
        state: SegmentState::Unreadable,
        entries: 0,
        done: 0,
        in_doubt: 0,
        disk_bytes: 0,
        undelivered_bytes: 0,
        oldest_ms: None,
        damaged: Vec::new(),
        damaged_marks: 0,
        torn_bytes: 0,
        problem: None,
    };
    let mut pair = match Pair::load(fs, dir, number, Access::Inspect, check) {
        Ok(pair) => pair,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            report.problem = Some(error.to_string());
            return Some((report, newer));
        }
    };
    let next_newer = pair.fit(newer);
    report.disk_bytes = pair.data_len + pair.log.bytes.len() as u64;
    report.torn_bytes = pair.scan.torn;
    report.state = match (pair.scan.sealed, is_newest) {
        (true, _) => SegmentState::Sealed,
        (false, true) => SegmentState::Open,
        (false, false) => SegmentState::Unfinished,
    };
    if pair.scan.entries.is_empty() && pair.scan.end_seq <= pair.scan.first_seq {
        // Just created, or never more than that.
        return Some((report, next_newer));
    }
    report.damaged = pair.damages();
    if pair.scan.unreadable {
        report.problem = Some("the disk does not give back all of it".to_owned());
    }
    let (slots, damaged_marks) = pair.slots(fs.boot_id());
    report.damaged_marks = damaged_marks;
    report.entries = pair.scan.entries.len() as u64;
    for slot in slots.iter().filter(|slot| slot.is_undelivered()) {
        report.in_doubt += u64::from(slot.posted_ms > 0);
        report.undelivered_bytes += slot.payload();
        report.oldest_ms = report.oldest_ms.or(Some(slot.created_ms));
    }
    let undelivered = slots.iter().filter(|slot| slot.is_undelivered()).count() as u64;
    report.done = report.entries.saturating_sub(undelivered);
    Some((report, next_newer))
}

pub(crate) fn cat_from(
    fs: &dyn Fs,
    dir: &Path,
    selection: &Selection,
    mut show: impl FnMut(InspectedEntry) -> io::Result<()>,
) -> Result<CatSummary, CatError> {
    let mut summary = CatSummary::default();
    // First the ends, newest first: where entries were written again to a newer segment.
    let mut newer = None;
    let mut pairs = Vec::new();
    for &number in numbers(fs, dir)?.segments.iter().rev() {
        match Pair::load(fs, dir, number, Access::Inspect, Check::Unsealed) {
            Ok(mut pair) => {
                newer = pair.fit(newer);
                pairs.push(pair);
            }
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => summary.problems.push(error.to_string()),
        }
    }
    for pair in pairs.iter().rev() {
        if !pair.scan.entries.is_empty() {
            summary.damaged.extend(pair.damages());
        }
        let (slots, _) = pair.slots(fs.boot_id());
        for found in &pair.scan.entries {
            let seq = found.header.seq;
            let ordinal = usize::try_from(seq - pair.scan.first_seq).unwrap_or(usize::MAX);
            let is_done = slots
                .get(ordinal)
                .is_some_and(|slot| slot.stage == Stage::Done);
            if !selection.ids.contains(&seq) || (is_done && !selection.delivered) {
                continue;
            }
            match read(pair, found) {
                Ok(Some((head, body))) => {
                    let (id, created_ms) = (EntryId(seq), found.header.created_ms);
                    let entry = InspectedEntry {
                        id,
                        created_ms,
                        is_done,
                        head,
                        body,
                    };
                    show(entry).map_err(CatError::Show)?;
                    summary.entries += 1;
                }
                Ok(None) => summary.damaged.push(Damage {
                    path: pair.path.clone(),
                    offset: found.offset,
                    bytes: found.header.total(),
                    entries: seq..seq + 1,
                }),
                Err(error) => {
                    summary
                        .problems
                        .push(Error::io("read", &pair.path, error).to_string());
                }
            }
        }
    }
    Ok(summary)
}

fn read(pair: &Pair, found: &Found) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let Some((header, head)) = scan::read_head(&*pair.data, pair.number, found.offset)? else {
        return Ok(None);
    };
    let body = scan::read_body(&*pair.data, found.offset, &header)?;
    Ok(body.map(|body| (head, body)))
}
