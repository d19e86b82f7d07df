//! The seam to storage: `_bulk` bodies in, Elasticsearch's JSON out.
//!
//! [`Sender`] takes ready-made bodies from a [`Queue`] and sees to it that each document ends in
//! the store, in a dead letter, or parked with its data stream; never nowhere. [`Store`] is what
//! search, audit and alerts use. Nothing here reads configuration files or knows how documents
//! are made.

mod audit;
mod backoff;
mod body;
mod document_id;
mod elasticsearch;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http;
mod install;
mod items;
mod judge;
mod memory_queue;
mod mend;
mod metrics;
mod options;
mod queue;
mod seam;
mod sender;
mod tls;

pub mod dead_letters;

use std::future::Future;
use std::pin::Pin;

pub use audit::{AuditFilter, AuditPage, audit_page};
pub use body::{Body, BodyMeta, Encoding, Lane, MetaError, Run, Target};
pub use document_id::{Action, DocId, append_action, document_id};
pub use elasticsearch::Elasticsearch;
pub use http::{Answer, OptionsError, RequestError};
pub use install::InstallReport;
pub use memory_queue::{Abandoned, DeliveryTicket, MemoryQueue, MemoryReservation};
pub use metrics::Metrics;
pub use options::{
    Auth, Compression, ElasticsearchOptions, InstallOptions, Resolver, Retention, SenderOptions,
};
pub use queue::{Outcome, PutError, Queue, Queued};
pub use seam::{Backing, Flavour, IndexInfo, ServerInfo, Store, StoreError};
pub use sender::{Sender, SenderStatus};

/// The steps of a [`Sender`], for benchmarks: the same code judges an answer there.
pub mod steps {
    pub use crate::judge::not_stored;
}

/// A boxed future, for traits that are used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Data stream of dead letters.
pub const DEAD_LETTER_STREAM: &str = "logs-tailrace.dead_letter-default";

/// Data stream of what rules dropped and of ended streams (delivery rule 24).
pub const AUDIT_STREAM: &str = "logs-tailrace.audit-default";

/// Wall time in milliseconds since the epoch.
pub(crate) fn wall_ms() -> u64 {
    let since = faults::wall_clock().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
