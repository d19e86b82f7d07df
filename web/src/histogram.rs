//! Counts over time. Buckets begin at round times of the asker's zone; those without documents
//! are filled in here, so that the store answers with what it has only.

use std::collections::BTreeMap;

use hyper::{Response, StatusCode};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::access::Asker;
use crate::api::Api;
use crate::body::{Body, json as answer};
use crate::params::Params;
use crate::problem::Problem;
use crate::query::field_for_values;
use crate::scope::{RECENT, Scope};
use crate::search::total_count;
use crate::time::{Range, interval_ms};

/// Most buckets of an answer, whatever interval is asked for.
const MAX_BUCKETS: i64 = 2000;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Round widths, in milliseconds.
const WIDTHS: &[i64] = &[
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
    365 * DAY,
    3650 * DAY,
];

/// Buckets of a range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buckets {
    pub(crate) width_ms: i64,
    /// Buckets begin at multiples of the width plus this.
    offset_ms: i64,
    first_ms: i64,
    end_ms: i64,
}

impl Buckets {
    /// About `wanted` buckets over `range`.
    pub(crate) fn about(range: &Range, wanted: usize, zone: &TimeZone) -> Self {
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX).max(1);
        let least = range.millis() / wanted;
        let width = WIDTHS.iter().copied().find(|width| *width >= least);
        Self::of(range, width.unwrap_or(3650 * DAY), zone)
    }

    /// Reads `interval` (`auto` is none) and `buckets`.
    pub(crate) fn read(
        params: &Params,
        range: &Range,
        zone: &TimeZone,
        wanted: usize,
    ) -> Result<Self, Problem> {
        let Some(text) = params.get("interval").filter(|text| *text != "auto") else {
            return Ok(Self::about(range, wanted, zone));
        };
        let width = interval_ms(text).ok_or_else(|| {
            Problem::parameter(
                "interval",
                format!(
                    "cannot read the width `{}`: write `30s`, `5m`, `1d`",
                    text.chars().take(40).collect::<String>()
                ),
            )
        })?;
        if range.millis() / width > MAX_BUCKETS {
            return Err(Problem::parameter(
                "interval",
                format!("`{text}` makes more than {MAX_BUCKETS} buckets of this range"),
            ));
        }
        Ok(Self::of(range, width, zone))
    }

    fn of(range: &Range, width_ms: i64, zone: &TimeZone) -> Self {
        // The zone's offset at the start: where it changes within the range, days begin an hour
        // off behind the change.
        let zone_ms = i64::from(zone.to_offset(range.from).seconds()) * SECOND;
        let offset_ms = (-zone_ms).rem_euclid(width_ms);
        let from = range.from.as_millisecond();
        let first_ms = (from - offset_ms).div_euclid(width_ms) * width_ms + offset_ms;
        let end_ms = range.to.as_millisecond().max(from + 1);
        Self {
            width_ms,
            offset_ms,
            first_ms,
            end_ms,
        }
    }

    /// The store's aggregation, with `aggs` inside.
    pub(crate) fn aggregation(&self, aggs: Option<Value>) -> Value {
        let mut over = json!({
            "field": "@timestamp",
            "fixed_interval": format!("{}ms", self.width_ms),
            "min_doc_count": 1,
        });
        if self.offset_ms != 0 {
            over["offset"] = format!("+{}ms", self.offset_ms).into();
        }
        let mut body = json!({"date_histogram": over});
        if let Some(aggs) = aggs {
            body["aggs"] = aggs;
        }
        body
    }

    /// Starts of all buckets.
    pub(crate) fn starts(&self) -> impl Iterator<Item = i64> + use<> {
        let (end, width) = (self.end_ms, self.width_ms);
        std::iter::successors(Some(self.first_ms), move |start| start.checked_add(width))
            .take_while(move |start| *start < end)
    }
}

/// The counts of a store's date histogram by start.
pub(crate) fn counts(aggregation: &Value) -> BTreeMap<i64, u64> {
    buckets(aggregation)
        .iter()
        .filter_map(|bucket| Some((key_ms(bucket)?, bucket["doc_count"].as_u64()?)))
        .collect()
}

/// The start of a bucket of a date histogram.
pub(crate) fn key_ms(bucket: &Value) -> Option<i64> {
    let key = &bucket["key"];
    key.as_i64().or_else(|| Some(key.as_f64()? as i64))
}

/// The buckets of an aggregation.
pub(crate) fn buckets(aggregation: &Value) -> &[Value] {
    aggregation["buckets"].as_array().map_or(&[], Vec::as_slice)
}

impl Api {
    pub(crate) async fn histogram(
        &self,
        params: Option<&str>,
        asker: &Asker,
    ) -> Result<Response<Body>, Problem> {
        let known = ["q", "from", "to", "tz", "by", "buckets", "interval", "top"];
        let params = Params::new(params, &known)?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let wanted = params.number("buckets", 1..=1000, 60)?;
        let top = params.number("top", 1..=50, 10)?;
        let by = params.text("by", 256)?.unwrap_or("level");
        let over = Buckets::read(&params, &scope.range, &scope.zone, wanted)?;
        let mut aggs = json!({"over": over.aggregation(None)});
        if !by.is_empty() {
            let field = field_for_values(by);
            let inner = json!({"over": over.aggregation(None)});
            aggs["by"] = json!({"terms": {"field": field, "size": top}, "aggs": inner});
            aggs["without"] = json!({
                "filters": {"filters": {"x": {"bool": {"must_not": [{"exists": {"field": field}}]}}}},
                "aggs": inner,
            });
        }
        let body = json!({
            "size": 0, "query": scope.filter(), "track_total_hits": true, "aggs": aggs,
        });
        let found = self.ask(&body).await?;
        let aggs = &found["aggregations"];
        let all = counts(&aggs["over"]);
        let mut series: Vec<(Value, bool, BTreeMap<i64, u64>)> = Vec::new();
        for bucket in buckets(&aggs["by"]) {
            series.push((key_text(bucket).into(), false, counts(&bucket["over"])));
        }
        let without = counts(&aggs["without"]["buckets"]["x"]["over"]);
        if !without.is_empty() {
            series.push((Value::Null, false, without));
        }
        let mut rest = all.clone();
        for (_, _, counts) in &series {
            for (start, count) in counts {
                if let Some(left) = rest.get_mut(start) {
                    *left = left.saturating_sub(*count);
                }
            }
        }
        if !by.is_empty() && rest.values().any(|count| *count > 0) {
            series.push(("other".into(), true, rest));
        }
        let rows: Vec<Value> = over
            .starts()
            .map(|start| {
                let of = |counts: &BTreeMap<i64, u64>| counts.get(&start).copied().unwrap_or(0);
                let split: Vec<u64> = series.iter().map(|(_, _, counts)| of(counts)).collect();
                json!({"start": start, "count": of(&all), "counts": split})
            })
            .collect();
        let series: Vec<Value> = series
            .into_iter()
            .map(|(key, is_other, counts)| {
                let mut one = json!({"key": key, "count": counts.values().sum::<u64>()});
                if is_other {
                    one["other"] = true.into();
                }
                one
            })
            .collect();
        let (from, to) = scope.ends();
        Ok(answer(
            StatusCode::OK,
            &json!({
                "from": from, "to": to, "interval_ms": over.width_ms, "total": total_count(&found),
                "series": series, "buckets": rows,
            }),
        ))
    }
}

/// The key of a bucket of `terms` as text.
pub(crate) fn key_text(bucket: &Value) -> String {
    match (&bucket["key_as_string"], &bucket["key"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
        (_, key) => key.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, to: &str) -> Range {
        Range {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        }
    }

    #[test]
    fn buckets_are_round_and_cover_the_range() {
        for (from, to, wanted, tz, width, first, n) in [
            (
                "2026-11-25T10:00:07Z",
                "2026-11-25T10:15:07Z",
                60,
                "UTC",
                15 * SECOND,
                "2026-11-25T10:00:00Z",
                61,
            ),
            (
                "2026-11-25T10:00:00Z",
                "2026-11-25T11:00:00Z",
                60,
                "UTC",
                MINUTE,
                "2026-11-25T10:00:00Z",
                60,
            ),
            (
                "2026-11-20T05:00:00Z",
                "2026-11-25T05:00:00Z",
                6,
                "Europe/Berlin",
                DAY,
                "2026-11-19T23:00:00Z",
                6,
            ),
            (
                "2026-11-25T10:00:00Z",
                "2026-11-25T10:00:00.001Z",
                60,
                "UTC",
                1,
                "2026-11-25T10:00:00Z",
                1,
            ),
        ] {
            let zone = crate::time::zone(tz).unwrap();
            let buckets = Buckets::about(&range(from, to), wanted, &zone);
            let starts: Vec<i64> = buckets.starts().collect();
            let first: jiff::Timestamp = first.parse().unwrap();
            assert_eq!(
                (buckets.width_ms, starts[0], starts.len()),
                (width, first.as_millisecond(), n),
                "{from}"
            );
        }
    }

    #[test]
    fn the_whole_of_time_has_few_buckets() {
        let all = range("1970-01-01T00:00:00Z", "2262-04-11T00:00:00Z");
        assert!(Buckets::about(&all, 60, &TimeZone::UTC).starts().count() <= 100);
    }
}
