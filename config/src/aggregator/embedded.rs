//! The store within the aggregator: how much it keeps, and what it may use.

use std::time::Duration;

use crate::fields::At;
use crate::section::{Check, Rule, section};
use crate::units::ByteSize;

section! {
    /// A store within the aggregator, for one machine.
    pub struct EmbeddedConfig {
        /// Keep documents this long after they came. Older ones go by the day.
        retention: Duration = Duration::from_secs(30 * 86_400)
            => Rule::range(Duration::from_secs(3600), Duration::from_secs(3_153_600_000)),
        /// Most room on disk. Over it the oldest documents go, however young they are.
        max_size: ByteSize = ByteSize::gib(50) => Rule::range(ByteSize::mib(64), ByteSize(1 << 50)),
        /// Room that must stay free on the disk. Below it the oldest documents go; with nothing
        /// left to drop, documents wait in the buffer.
        min_free: ByteSize = ByteSize::gib(1) => Rule::range(ByteSize::mib(1), ByteSize(1 << 50)),
        /// Memory for indexing. Searches may use half as much again.
        memory: ByteSize = ByteSize::mib(256)
            => Rule::range(ByteSize::mib(64), ByteSize(1 << 40)),
        /// How long a document may take to be found by a search.
        refresh_interval: Duration = Duration::from_millis(500)
            => Rule::range(Duration::from_millis(50), Duration::from_secs(60)),
        /// Most bulk bodies under way at a time: being read, or waiting for a commit.
        max_in_flight: u32 = 16 => Rule::range(1, 256),
        /// Room on disk for documents of each index that waits for some reason of its own.
        parked_max_bytes: ByteSize = ByteSize::gib(1)
            => Rule::range(ByteSize::mib(1), ByteSize(1 << 50)),
        /// Most names of fields that are indexed. Values of fields beyond it stay in the document
        /// and can be read, but not searched.
        max_fields: u32 = 2000 => Rule::range(100, 100_000),
    }
}

impl Check for EmbeddedConfig {
    fn check(&self, _at: &mut At<'_>) {}
}
