//! A segment as memory knows it: where its entries stand and how far they have come.

use std::sync::Arc;

use crate::{EntryId, File, format::EntryHeader};

/// How far an entry has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits to be handed out.
    Ready,
    /// Somebody has it.
    Out,
    /// Delivered, or damaged and named.
    Done,
    /// Cannot be read now (EIO); the next opening tries again. Keeps its segment on disk.
    Aside,
}

/// An entry in memory. There may be a million of them.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) offset: u64,
    pub(crate) head_len: u32,
    pub(crate) body_len: u32,
    pub(crate) created_ms: u64,
    /// 0 when it was never posted.
    pub(crate) posted_ms: u64,
    /// The head, while there is room for it in memory (`State::head_room`).
    pub(crate) head: Option<Box<[u8]>>,
    pub(crate) stage: Stage,
}

// What the documentation of `Options::max_entries` promises.
const _: () = assert!(
    size_of::<Slot>() <= 64,
    "an entry costs more memory than documented"
);

impl Slot {
    pub(crate) fn new(offset: u64, header: &EntryHeader, head: Option<Box<[u8]>>) -> Self {
        Self {
            offset,
            head_len: header.head_len,
            body_len: header.body_len,
            created_ms: header.created_ms,
            posted_ms: 0,
            head,
            stage: Stage::Ready,
        }
    }

    /// Stands for an entry that cannot be read any more.
    pub(crate) fn lost() -> Self {
        Self {
            offset: 0,
            head_len: 0,
            body_len: 0,
            created_ms: 0,
            posted_ms: 0,
            head: None,
            stage: Stage::Done,
        }
    }

    /// Bytes of head and body.
    pub(crate) fn payload(&self) -> u64 {
        u64::from(self.head_len) + u64::from(self.body_len)
    }

    pub(crate) fn is_undelivered(&self) -> bool {
        matches!(self.stage, Stage::Ready | Stage::Out)
    }
}

/// A segment and its side log.
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) first_seq: u64,
    pub(crate) data: Arc<dyn File>,
    pub(crate) marks: Arc<dyn File>,
    /// Size of both files.
    pub(crate) disk_bytes: u64,
    /// Entries in order; the one at `i` has seq `first_seq + i`.
    pub(crate) slots: Vec<Slot>,
    /// Entries that keep the segment on disk.
    pub(crate) pending: u64,
    /// The writer still appends to it.
    pub(crate) active: bool,
    /// It may end in entries that were written again to the next segment, because it could not be
    /// cut: the next one must not go before it, or they would come to life again.
    pub(crate) residue: bool,
}

impl Segment {
    pub(crate) fn slot(&mut self, id: EntryId) -> Option<&mut Slot> {
        let ordinal = id.0.checked_sub(self.first_seq)?;
        self.slots.get_mut(usize::try_from(ordinal).ok()?)
    }
}
