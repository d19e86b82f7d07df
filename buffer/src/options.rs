//! What a caller decides about a buffer. Nothing here is read from a file.

use std::time::Duration;

use crate::{Error, format::MAX_BODY, state::FRAMING};

/// Sizes and delays of a [`crate::Buffer`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes that all files of the buffer may take together, framing included. Never exceeded.
    /// Default 8 GiB.
    pub max_bytes: u64,
    /// A segment is closed when the next entry would make it larger than this. An entry that is
    /// larger by itself gets a segment of its own. At most 1 GiB; default 64 MiB.
    pub segment_bytes: u64,
    /// Part of `max_bytes` that only [`crate::Buffer::reserve_spare`] may use: mended, parked and
    /// dead-letter writes, so that a full buffer can drain (DELIVERY rule 18). Default 64 MiB.
    pub reserve_bytes: u64,
    /// How long the writer waits for more appends before it commits. Zero commits at once; what
    /// comes in meanwhile is gathered anyway. Default zero, sensible up to 5 ms.
    pub commit_delay: Duration,
    /// Bytes of bodies that stay in memory until they are read for the first time, so that they
    /// need not come back from disk. What is appended while there is no room, behind a backlog, is
    /// read from disk. Default zero.
    pub keep_bytes: u64,
    /// Undelivered entries at most: each costs up to 64 bytes of memory. Default 1,048,576.
    pub max_entries: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: 8 << 30,
            segment_bytes: 64 << 20,
            reserve_bytes: 64 << 20,
            commit_delay: Duration::ZERO,
            keep_bytes: 0,
            max_entries: 1 << 20,
        }
    }
}

impl Options {
    /// Fails when there is no room for anything; a segment is cut to what the format can hold.
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        let ordinary = self.max_bytes.saturating_sub(self.reserve_bytes);
        if ordinary < FRAMING {
            return Err(Error::Options(format!(
                "`max_bytes` {} must be larger than `reserve_bytes` {}",
                self.max_bytes, self.reserve_bytes
            )));
        }
        self.segment_bytes = self.segment_bytes.min(MAX_BODY);
        Ok(self)
    }
}
