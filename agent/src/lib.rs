//! `tailrace-agent`: carries log files to aggregators. Finding and reading files is the crate
//! `tail`; this one compresses what it cuts, sends it, and tells it what became of it.
//!
//! Deliberately absent: parsing, a queue, any state on disk besides the tailer's journal,
//! the spool of the node's, and a cache of its pods.
//!
//! The binary is a thin shell over [`run()`]; tests start a [`Session`] in their own process, and an
//! aggregator that reads files of its own machine a [`LocalAgent`].

mod balance;
mod batch;
mod command;
mod compress;
mod exchange;
mod journal;
mod local;
mod metadata;
mod metrics;
mod pods;
mod resolve;
mod run;
mod session;
mod settings;
mod status;
mod verdict;

pub use balance::Target;
pub use command::{Arguments, Command};
pub use compress::Compression;
pub use exchange::Answered;
pub use journal::JournalMetrics;
pub use local::{Link, LocalAgent, LocalBatch, Shown};
pub use metadata::NodeMetadata;
pub use metrics::Metrics;
pub use pods::{Known, NodePods};
pub use run::{check, run, show_status};
pub use session::{Drained, Session, View};
pub use settings::{Kubernetes, Settings};
pub use status::table as status_table;

/// The steps of a [`Session`], for simulations that make the network themselves: the same code
/// packs a batch and judges its answer there.
pub mod steps {
    pub use crate::batch::{Packed, SentGroup, pack};
    pub use crate::compress::Compressor;
    pub use crate::exchange::{Answered, ExchangeError};
    pub use crate::verdict::{GroupVerdict, Verdict, judge};
}
