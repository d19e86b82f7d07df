//! Drops the oldest partitions: by age, by the size of all, and when the disk runs full.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::partition::Partitions;

/// What is kept.
#[derive(Debug, Clone)]
pub(crate) struct RetentionOptions {
    /// Documents are kept this long after they came.
    pub(crate) max_age: Duration,
    /// Bytes of all partitions.
    pub(crate) max_bytes: u64,
    /// Bytes of the disk that stay free.
    pub(crate) min_free_bytes: u64,
}

/// Watches over the size of a store.
#[derive(Debug)]
pub(crate) struct Keeper {
    root: PathBuf,
    partitions: Arc<Partitions>,
    options: RetentionOptions,
    is_full: AtomicBool,
}

impl Keeper {
    pub(crate) fn new(
        root: PathBuf,
        partitions: Arc<Partitions>,
        options: RetentionOptions,
    ) -> Self {
        Self {
            root,
            partitions,
            options,
            is_full: AtomicBool::new(false),
        }
    }

    /// Whether the disk is full and there is nothing to drop: documents have to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Drops what is due.
    pub(crate) fn run(&self, now: Timestamp) {
        loop {
            let sizes: Vec<(i64, u64)> = self
                .partitions
                .days()
                .iter()
                .map(|partition| (partition.began, partition.bytes()))
                .collect();
            let free = free_bytes(&self.root);
            let Some(reason) = due(&sizes, free, now.as_second(), &self.options) else {
                self.set_full(free);
                return;
            };
            match self.partitions.drop_oldest() {
                Ok(Some(partition)) => {
                    let name = partition
                        .dir
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy();
                    tracing::info!(partition = %name, reason, "old documents dropped");
                }
                Ok(None) => {
                    self.set_full(free);
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot remove a partition that is due");
                    return;
                }
            }
        }
    }

    fn set_full(&self, free: Option<u64>) {
        let is_full = free.is_some_and(|free| free < self.options.min_free_bytes);
        if is_full && !self.is_full.swap(true, Ordering::Relaxed) {
            tracing::error!(
                free_bytes = free.unwrap_or(0),
                "the disk is full and nothing is left to drop; documents wait in the buffer"
            );
        }
        self.is_full.store(is_full, Ordering::Relaxed);
    }
}

/// Why the oldest of these partitions (when each began, its bytes) has to go.
fn due(
    sizes: &[(i64, u64)],
    free: Option<u64>,
    now: i64,
    options: &RetentionOptions,
) -> Option<&'static str> {
    // The end of a partition is the beginning of the next; the last one stays.
    let (_, (ended, _)) = (sizes.first()?, sizes.get(1)?);
    let max_age = i64::try_from(options.max_age.as_secs()).unwrap_or(i64::MAX);
    if now.saturating_sub(*ended) > max_age {
        return Some("age");
    }
    if sizes.iter().map(|(_, bytes)| bytes).sum::<u64>() > options.max_bytes {
        return Some("size");
    }
    if free.is_some_and(|free| free < options.min_free_bytes) {
        return Some("the disk is nearly full");
    }
    None
}

/// Free bytes of the disk; `None` when it does not tell.
fn free_bytes(root: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(root).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_by_age_size_and_disk() {
        let options = RetentionOptions {
            max_age: Duration::from_secs(100),
            max_bytes: 1_000,
            min_free_bytes: 50,
        };
        let check = |sizes: &[(i64, u64)], free: u64, now: i64, expected: Option<&str>| {
            assert_eq!(due(sizes, Some(free), now, &options), expected, "{sizes:?}");
        };
        check(&[(0, 10), (50, 10)], 99, 150, None);
        check(&[(0, 10), (50, 10)], 99, 151, Some("age"));
        check(&[(0, 600), (50, 600)], 99, 60, Some("size"));
        check(
            &[(0, 10), (50, 10)],
            49,
            60,
            Some("the disk is nearly full"),
        );
        check(&[(0, 9_999)], 0, 999, None);
        check(&[], 0, 999, None);
    }
}
