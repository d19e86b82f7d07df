//! One `_bulk` request, and what it came to.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Shared;
use crate::judge::{ItemError, Verdict, judge_answer};
use crate::{Encoding, Flavour, RequestError};

/// Lost connections in a row on one request, while others pass, before it is halved: a server
/// closes the connection without a word when it cannot decode a body.
pub(super) const MAX_LOST: u32 = 3;

/// 429 in a row on one request, while others pass, before it is halved: it may be larger than the
/// server's limit of memory.
pub(super) const MAX_BUSY: u32 = 3;

/// What one request came to.
pub(super) enum Posted {
    Judged(Vec<Verdict>),
    /// Too large, or refused as a whole for what is in it: halve it.
    Split(ItemError),
    /// 429: nothing was done.
    Busy(Option<Duration>),
    /// Nobody knows what was done.
    Unknown {
        why: String,
        is_lost: bool,
        wish: Option<Duration>,
    },
    /// Nothing was sent.
    Unreachable(String),
    /// Nothing goes through at all (no rights, wrong path).
    Refused(String),
}

pub(super) async fn post(
    shared: &Shared,
    bytes: Bytes,
    encoding: Encoding,
    raw_len: u64,
    n_docs: usize,
) -> Posted {
    if let Err(error) = shared.look_again().await {
        shared.failed(&error.to_string());
        return Posted::Unreachable(error.to_string());
    }
    let started = Instant::now();
    let wire_len = bytes.len() as u64;
    faults::point("store.post.before");
    let result = shared.client.bulk(bytes, encoding).await;
    // The store has it, and nobody here knows it yet.
    faults::point("store.post.after");
    let metrics = &shared.metrics;
    metrics
        .request_ms
        .inc_by(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            metrics.count_request(match error {
                RequestError::Unreachable { .. } => "unreachable",
                RequestError::Lost { .. } => "lost",
                RequestError::Timeout { .. } => "timeout",
            });
            shared.failed(&error.to_string());
            shared.got_no_answer(!error.is_outcome_unknown());
            if !error.is_outcome_unknown() {
                return Posted::Unreachable(error.to_string());
            }
            shared.limit.overloaded();
            let is_lost = matches!(error, RequestError::Lost { .. });
            return Posted::Unknown {
                why: error.to_string(),
                is_lost,
                wish: None,
            };
        }
    };
    metrics.raw_bytes.inc_by(raw_len);
    metrics.wire_bytes.inc_by(wire_len);
    metrics.count_request(&answer.status.to_string());
    let said = || crate::elasticsearch::status_error(&answer).to_string();
    let unknown = |why: String| Posted::Unknown {
        why,
        is_lost: false,
        wish: answer.retry_after,
    };
    match answer.status {
        200..=299 => {
            // Whoever names itself lists its items.
            let lists_items = shared
                .client
                .server()
                .is_none_or(|s| s.flavour != Flavour::Other);
            match judge_answer(&answer.body, n_docs, lists_items) {
                Ok(verdicts) => {
                    if verdicts.iter().any(|v| matches!(v, Verdict::Retry(_))) {
                        shared.limit.overloaded();
                    } else {
                        shared.limit.succeeded();
                    }
                    shared.succeeded();
                    Posted::Judged(verdicts)
                }
                Err(error) => {
                    shared.failed(&error.to_string());
                    unknown(error.to_string())
                }
            }
        }
        429 => {
            shared.limit.overloaded();
            shared.failed(&said());
            Posted::Busy(answer.retry_after)
        }
        413 | 400 => Posted::Split(ItemError {
            status: answer.status,
            kind: if answer.status == 413 {
                "too_large"
            } else {
                "bad_request"
            }
            .to_owned(),
            reason: said(),
        }),
        408 | 425 | 500.. => {
            shared.limit.overloaded();
            shared.failed(&said());
            unknown(said())
        }
        _ => {
            shared.failed(&said());
            Posted::Refused(said())
        }
    }
}
