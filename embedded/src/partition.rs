//! Partitions on disk: one tantivy index each.
//!
//! ```text
//! <store>/LOCK                        held by the process that writes
//! <store>/FORMAT                      version of all this (`format.rs`)
//! <store>/fields.json                 names and types of fields
//! <store>/days/20261125T000000Z/      documents that came from then on, until the next one begins
//! <store>/kept/                       indices named `.…` or `tailrace-…`: not subject to retention
//! <store>/days/<name>.dropped/        on its way out; removed at the next start if need be
//! ```
//!
//! A partition's name is the second it began (UTC); names rise, also when the clock is set back.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use tantivy::directory::MmapDirectory;
use tantivy::{Index, IndexReader, ReloadPolicy, Searcher};

use crate::schema;

/// Extension of a folder that is being removed.
const DROPPED: &str = "dropped";
/// Blocks of documents that a reader of a segment keeps decompressed: 4 MiB, where all were read.
const CACHED_BLOCKS: usize = 32;

/// One tantivy index.
pub(crate) struct Partition {
    /// When it began, in seconds since the epoch; `i64::MIN` for the one that is kept.
    pub(crate) began: i64,
    pub(crate) dir: PathBuf,
    pub(crate) index: Index,
    reader: IndexReader,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partition")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Partition {
    fn open(dir: PathBuf, began: i64, is_new: bool) -> tantivy::Result<Self> {
        let (schema, _) = schema::schema();
        let index = if is_new {
            fs::create_dir_all(&dir).map_err(tantivy_io)?;
            let index = Index::builder()
                .schema(schema)
                .settings(schema::settings())
                .tokenizers(schema::tokenizers())
                .open_or_create(MmapDirectory::open(&dir)?)?;
            if let Some(parent) = dir.parent() {
                sync_dir(parent).map_err(tantivy_io)?;
            }
            index
        } else {
            let mut index = Index::open(MmapDirectory::open(&dir)?)?;
            index.set_tokenizers(schema::tokenizers());
            index
        };
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(CACHED_BLOCKS)
            .try_into()?;
        Ok(Self {
            began,
            dir,
            index,
            reader,
        })
    }

    /// What is committed, as of the last reload.
    pub(crate) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    /// Makes what was committed visible.
    ///
    /// # Errors
    /// When files cannot be opened.
    pub(crate) fn reload(&self) -> tantivy::Result<()> {
        self.reader.reload()
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return 0;
        };
        let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
        sizes.sum()
    }
}

/// All partitions of a store.
#[derive(Debug)]
pub(crate) struct Partitions {
    days_dir: PathBuf,
    /// Oldest first; documents go into the last.
    days: RwLock<Vec<Arc<Partition>>>,
    pub(crate) kept: Arc<Partition>,
}

impl Partitions {
    /// Opens what lies in `root`. With `may_write` a first partition is made when there is none,
    /// and what an earlier process was removing goes.
    ///
    /// # Errors
    /// When a partition cannot be opened.
    pub(crate) fn open(root: &Path, may_write: bool) -> tantivy::Result<Self> {
        let days_dir = root.join("days");
        if may_write {
            fs::create_dir_all(&days_dir).map_err(tantivy_io)?;
        }
        let mut days = Vec::new();
        let entries = match fs::read_dir(&days_dir) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(tantivy_io)?,
            Err(error) => return Err(tantivy_io(error)),
        };
        for entry in entries {
            let path = entry.path();
            if path
                .extension()
                .is_some_and(|extension| extension == DROPPED)
            {
                if may_write {
                    fs::remove_dir_all(&path).map_err(tantivy_io)?;
                }
                continue;
            }
            let name = entry.file_name();
            let Some(began) = name.to_str().and_then(parse_name) else {
                continue;
            };
            // A crash may leave a folder that was never an index: nothing was acknowledged from it.
            let is_new = !path.join("meta.json").exists();
            if is_new && !may_write {
                continue;
            }
            days.push(Arc::new(Partition::open(path, began, is_new)?));
        }
        days.sort_by_key(|partition| partition.began);
        let kept_dir = root.join("kept");
        let kept_is_new = !kept_dir.join("meta.json").exists();
        let kept = Partition::open(kept_dir, i64::MIN, kept_is_new)?;
        let partitions = Self {
            days_dir,
            days: RwLock::new(days),
            kept: Arc::new(kept),
        };
        if may_write && partitions.days().is_empty() {
            partitions.begin(Timestamp::now())?;
        }
        Ok(partitions)
    }

    /// Partitions of days, oldest first.
    pub(crate) fn days(&self) -> Vec<Arc<Partition>> {
        self.days
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Every partition, the kept one first.
    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        let mut all = vec![Arc::clone(&self.kept)];
        all.extend(self.days());
        all
    }

    /// Begins a new partition, which is the last from then on.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn begin(&self, now: Timestamp) -> tantivy::Result<Arc<Partition>> {
        let last = self
            .days()
            .last()
            .map_or(i64::MIN, |partition| partition.began);
        let began = now.as_second().max(last.saturating_add(1));
        let partition = Partition::open(self.days_dir.join(name(began)), began, true)?;
        let partition = Arc::new(partition);
        let mut days = self.days.write().unwrap_or_else(PoisonError::into_inner);
        days.push(Arc::clone(&partition));
        Ok(partition)
    }

    /// Takes the oldest partition out, unless it is the last, and removes its files. Searches that
    /// are under way keep what they have opened.
    ///
    /// # Errors
    /// When the files cannot be removed; they are not searched any more.
    pub(crate) fn drop_oldest(&self) -> io::Result<Option<Arc<Partition>>> {
        let oldest = {
            let mut days = self.days.write().unwrap_or_else(PoisonError::into_inner);
            if days.len() < 2 {
                return Ok(None);
            }
            days.remove(0)
        };
        let dropped = oldest.dir.with_extension(DROPPED);
        fs::rename(&oldest.dir, &dropped)?;
        sync_dir(&self.days_dir)?;
        fs::remove_dir_all(&dropped)?;
        Ok(Some(oldest))
    }
}

/// Whether partitions lie in `root`.
pub(crate) fn any_in(root: &Path) -> bool {
    let has_days = fs::read_dir(root.join("days")).is_ok_and(|mut days| days.next().is_some());
    has_days || root.join("kept").exists()
}

fn name(began: i64) -> String {
    let timestamp = Timestamp::from_second(began).unwrap_or_default();
    timestamp.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn parse_name(name: &str) -> Option<i64> {
    let stem = name.strip_suffix('Z')?;
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", stem).ok()?;
    Some(
        civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second(),
    )
}

/// Writes a file so that a crash leaves the old or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn tantivy_io(error: io::Error) -> tantivy::TantivyError {
    tantivy::TantivyError::IoError(Arc::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_when_a_partition_began() {
        for second in [0, 1_767_323_045, 253_402_000_000] {
            assert_eq!(parse_name(&name(second)), Some(second));
        }
        assert_eq!(parse_name("LOCK"), None);
    }

    #[test]
    fn partitions_rise_when_the_clock_is_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let partitions = Partitions::open(dir.path(), true).unwrap();
        let first = partitions.days()[0].began;
        let earlier = Timestamp::from_second(first - 1_000).unwrap();
        let second = partitions.begin(earlier).unwrap();
        assert_eq!(second.began, first + 1);
        assert!(partitions.drop_oldest().unwrap().is_some());
        assert!(
            partitions.drop_oldest().unwrap().is_none(),
            "the last one stays"
        );
        drop(partitions);
        let again = Partitions::open(dir.path(), true).unwrap();
        assert_eq!(again.days().len(), 1);
    }
}
