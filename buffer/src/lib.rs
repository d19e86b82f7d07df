//! The aggregator's disk buffer: a directory of append-only segments with checksummed entries.
//!
//! Knows nothing of what an entry holds: a small header and a body, both opaque bytes. What is
//! acknowledged has been fsynced; recovery drops a torn tail, and only that.
