//! The embedded store: what `outputs: [{embedded: {}}]` writes to and searches.
//!
//! It speaks Elasticsearch's JSON through [`store::Store`], so that nothing above it knows which
//! store it has. It is for one machine: no replicas, no sharding, one process. It deliberately has
//! no write-ahead log: a bulk request is answered when its documents are committed, and until then
//! the aggregator's disk buffer holds them (`docs/adr/`, the page on the embedded store).
//!
//! Documents lie in *partitions*, one tantivy index each, by the day they came. One partition is
//! written to at a time; retention drops whole ones.

mod bulk;
mod document;
mod field_table;
mod flatten;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod ids;
mod locate;
mod partition;
mod retention;
mod schema;
mod search;
mod tokens;
mod writer;

mod embedded;

pub use embedded::{Embedded, EmbeddedOptions, OpenError};
