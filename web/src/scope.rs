//! What one request is about: query, range and what its asker may see, as one filter.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::access::Asker;
use crate::params::Params;
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::time::{self, Range};

/// Parameters that a scope is made of.
pub(crate) const SCOPE: &[&str] = &["q", "from", "to", "tz"];

/// Range of the page's requests that name none.
pub(crate) const RECENT: Duration = Duration::from_secs(15 * 60);
/// Range of summaries that name none.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Longest query text, in characters.
const MAX_QUERY: usize = 4096;

/// A query over a range of time, for one asker.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) query: Query,
    pub(crate) range: Range,
    pub(crate) zone: TimeZone,
    pub(crate) visible: Option<Value>,
}

impl Scope {
    /// Reads `q`, `from`, `to` and `tz`.
    pub(crate) fn new(params: &Params, asker: &Asker, default: Duration) -> Result<Self, Problem> {
        let text = params.text("q", MAX_QUERY)?.unwrap_or_default();
        let query = query::parse(text).map_err(|error| Problem::query("q", text, &error))?;
        let of = |error: time::TimeError| {
            Problem::time(params.get(error.parameter).unwrap_or_default(), &error)
        };
        let zone = time::zone(params.text("tz", 64)?.unwrap_or_default()).map_err(of)?;
        let (from, to) = (params.text("from", 128)?, params.text("to", 128)?);
        let range = time::range(from, to, &zone, Timestamp::now(), default).map_err(of)?;
        Ok(Self {
            query,
            range: within_nanos(range),
            zone,
            visible: asker.filter(),
        })
    }

    /// The filter, as the store's query.
    pub(crate) fn filter(&self) -> Value {
        self.filter_and(&[])
    }

    /// As [`Scope::filter`], and these must hold too.
    pub(crate) fn filter_and(&self, more: &[Value]) -> Value {
        let mut parts = vec![range_filter(&self.range)];
        if self.query != Query::All {
            parts.push(query::to_dsl(&self.query));
        }
        parts.extend(self.visible.clone());
        parts.extend(more.iter().cloned());
        json!({"bool": {"filter": parts}})
    }

    /// Its ends as text.
    pub(crate) fn ends(&self) -> (String, String) {
        (self.range.from.to_string(), self.range.to.to_string())
    }
}

/// The filter of a range of time.
pub(crate) fn range_filter(range: &Range) -> Value {
    json!({"range": {"@timestamp": {"gte": range.from.to_string(), "lt": range.to.to_string()}}})
}

/// Stores keep times as nanoseconds since 1970 in 63 bits, and refuse others even in a question.
fn within_nanos(range: Range) -> Range {
    let last = Timestamp::from_second(i64::MAX / 1_000_000_000).unwrap_or(Timestamp::MAX);
    let first = Timestamp::UNIX_EPOCH;
    let from = range.from.clamp(first, last);
    let to = range.to.clamp(first, last);
    if from < to {
        return Range { from, to };
    }
    // Wholly outside: nothing is there.
    Range {
        from: first,
        to: Timestamp::from_nanosecond(1).unwrap_or(last),
    }
}
