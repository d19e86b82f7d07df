//! Removal of files, in an order that is safe at every instant: unlink the segment, fsync the
//! directory, unlink the side log. A crash in between leaves marks without a segment, which the
//! next opening removes; never a segment whose delivered entries come to life again. (Vector's
//! disk_v2 needed a human after a crash between its unlink and its fsync: PR #25570.)

use std::sync::Arc;

use tracing::warn;

use crate::{
    format::FileKind,
    state::{Shared, State},
};

/// Removes every segment that is delivered, not open, and not held by an older one's residue.
pub(crate) fn delivered_segments(shared: &Shared) {
    let free = removable(&shared.lock());
    let mut unlinked = Vec::new();
    for (first_seq, number) in free {
        let path = shared.path(FileKind::Segment, number);
        match shared.fs.remove(&path) {
            Ok(()) => unlinked.push((first_seq, number)),
            // It stays in the books, and is tried again with the next one.
            Err(error) => warn!(path = %path.display(), %error, "cannot remove a segment"),
        }
    }
    if unlinked.is_empty() {
        return;
    }
    let synced = shared.fs.sync_dir(&shared.dir);
    if let Err(error) = &synced {
        warn!(dir = %shared.dir.display(), %error, "cannot sync the buffer's directory");
    }
    for (first_seq, number) in unlinked {
        // Without the sync the side log stays: the segment may be back after a power cut.
        let is_removed = synced.is_ok()
            && shared
                .fs
                .remove(&shared.path(FileKind::Marks, number))
                .is_ok();
        let mut state = shared.lock();
        if let Some(segment) = state.segments.remove(&first_seq) {
            let kept = if is_removed {
                0
            } else {
                segment.marks.size().unwrap_or(0)
            };
            state.disk_bytes -= segment.disk_bytes.saturating_sub(kept);
        }
    }
}

/// Removes a pair that holds nothing acknowledged. False when something of it stays: the next
/// opening will see to it.
pub(crate) fn abandoned_pair(shared: &Arc<Shared>, number: u64) -> bool {
    let is_gone = |kind| match shared.fs.remove(&shared.path(kind, number)) {
        Ok(()) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    let is_segment_gone = is_gone(FileKind::Segment) && shared.fs.sync_dir(&shared.dir).is_ok();
    is_segment_gone && is_gone(FileKind::Marks)
}

fn removable(state: &State) -> Vec<(u64, u64)> {
    let mut free = Vec::new();
    for (&first_seq, segment) in &state.segments {
        let is_free = segment.pending == 0 && !segment.active;
        if is_free {
            free.push((first_seq, segment.number));
        } else if segment.residue {
            break;
        }
    }
    free
}
