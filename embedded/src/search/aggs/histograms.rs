//! Histograms, above all those over time: intervals, zones, offsets and bounds.

use std::cmp::Ordering;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde_json::{Map, Value, json};

use super::super::calendar::{Calendar, CalendarUnit};
use super::super::dates::{Round, parse_bound, parse_zone};
use super::super::lenient;
use super::super::query::{QueryError, error, list, only_entry, scalar_text};
use super::MAX_BUCKETS;
use crate::schema::column;

/// Furthest that an `offset` moves buckets: a thousand years.
const MAX_OFFSET_MS: i64 = 1_000 * 366 * 86_400_000;
/// Longest interval that follows a clock: its beginnings have to be times.
const MAX_CLOCK_MS: i64 = MAX_OFFSET_MS;
/// Smallest interval of a `histogram`: numbers have no room for buckets of less.
const MIN_INTERVAL: f64 = 1e-6;
/// Furthest bucket of a `histogram` from 0: with those in between to fill in, tantivy's arithmetic
/// would go past 64 bits beyond it.
const FURTHEST_BUCKET: f64 = (1_u64 << 57) as f64;

pub(super) fn zone_of(name: &str, body: &Value) -> Result<TimeZone, QueryError> {
    match body["time_zone"].as_str() {
        None => Ok(TimeZone::UTC),
        Some(text) => match parse_zone(text) {
            Some(zone) => Ok(zone),
            None => error(format!("[{name}] does not know the time zone [{text}]")),
        },
    }
}

/// How long the buckets of a date histogram are.
pub(super) enum Interval {
    /// All as long, and where one begins: milliseconds after the epoch.
    Fixed { millis: i64, phase: i64 },
    /// As long as the calendar has it.
    Calendar(CalendarUnit),
}

pub(super) fn interval_of(
    name: &str,
    body: &Value,
    zone: &TimeZone,
) -> Result<Interval, QueryError> {
    let given = |key: &str| body.get(key).filter(|value| !value.is_null());
    let (calendar, fixed) = (given("calendar_interval"), given("fixed_interval"));
    let (text, is_calendar, is_fixed) = match (calendar, fixed, given("interval")) {
        (Some(text), None, None) => (text, true, false),
        (None, Some(text), None) => (text, false, true),
        // An older word for both, with the calendar first.
        (None, None, Some(text)) => (text, false, false),
        (None, None, None) => {
            return error(format!(
                "[{name}] needs a `fixed_interval` or a `calendar_interval`"
            ));
        }
        _ => return error(format!("[{name}] takes one interval, not several")),
    };
    let Some(text) = scalar_text(text) else {
        return error(format!("[{name}] cannot use the interval [{text}]"));
    };
    if !is_fixed && let Some(interval) = calendar_interval(&text, body, zone) {
        return Ok(interval);
    }
    if is_calendar {
        return error(format!(
            "[{name}] cannot use the interval [{text}]: a `calendar_interval` is one minute, hour, \
             day, week, month, quarter or year"
        ));
    }
    match millis_of(name, &text)? {
        0 => error(format!("[{name}] cannot use the interval [{text}]")),
        // A part of an hour begins at the same times however many hours the clock goes on or back;
        // the rest follows it.
        millis
            if zone.to_fixed_offset().is_err() && (3_600_001..=MAX_CLOCK_MS).contains(&millis) =>
        {
            Ok(Interval::Calendar(CalendarUnit::Fixed(millis)))
        }
        millis => Ok(Interval::Fixed { millis, phase: 0 }),
    }
}

fn calendar_interval(text: &str, body: &Value, zone: &TimeZone) -> Option<Interval> {
    let fixed = |millis: i64, phase: i64| Some(Interval::Fixed { millis, phase });
    let unit = match text {
        "second" | "1s" => return fixed(1_000, 0),
        "minute" | "1m" => return fixed(60_000, 0),
        "hour" | "1h" => CalendarUnit::Hour,
        "day" | "1d" => CalendarUnit::Day,
        "week" | "1w" => CalendarUnit::Week,
        "month" | "1M" => CalendarUnit::Month,
        "quarter" | "1q" => CalendarUnit::Quarter,
        "year" | "1y" => CalendarUnit::Year,
        _ => return None,
    };
    // Where the clock never changes all days and hours are as long, and counting in steps is
    // quicker. The bounds that a calendar rounds are left to it.
    let is_even = zone.to_fixed_offset().is_ok() && !body["hard_bounds"].is_object();
    match unit {
        CalendarUnit::Hour if is_even => fixed(3_600_000, 0),
        CalendarUnit::Day if is_even => fixed(86_400_000, 0),
        // Weeks begin on Monday; the epoch was a Thursday.
        CalendarUnit::Week if is_even => fixed(604_800_000, 4 * 86_400_000),
        unit => Some(Interval::Calendar(unit)),
    }
}

/// Milliseconds of a length of time.
pub(super) fn millis_of(name: &str, text: &str) -> Result<i64, QueryError> {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(n_digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return error(format!(
                "[{name}] cannot use the interval [{text}]: give ms, s, m, h or d"
            ));
        }
    };
    match count
        .parse::<i64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
    {
        Some(millis) => Ok(millis),
        None => error(format!("[{name}] cannot use the interval [{text}]")),
    }
}

/// `offset`, in milliseconds.
pub(super) fn offset_of(name: &str, body: &Value) -> Result<i64, QueryError> {
    let offset = match &body["offset"] {
        Value::Null => 0,
        Value::String(text) => {
            let (sign, rest) = match text.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, text.strip_prefix('+').unwrap_or(text)),
            };
            sign * millis_of(name, rest)?
        }
        // Out of every range where it is no whole number.
        given => given.as_i64().unwrap_or(i64::MAX),
    };
    if !(-MAX_OFFSET_MS..=MAX_OFFSET_MS).contains(&offset) {
        return error(format!("[{name}] cannot use the offset {}", body["offset"]));
    }
    Ok(offset)
}

/// `extended_bounds` or `hard_bounds`, in milliseconds. What the upper one leaves out is filled up
/// as `round` says.
fn bounds_of(
    name: &str,
    body: &Value,
    key: &str,
    zone: &TimeZone,
    round: Round,
    now: Timestamp,
) -> Result<Option<(i64, i64)>, QueryError> {
    let Some(bounds) = body.get(key).filter(|value| value.is_object()) else {
        return Ok(None);
    };
    let bound = |key: &str, round: Round| match &bounds[key] {
        Value::Number(number) => number.as_f64().map(|millis| millis as i64),
        other => scalar_text(other)
            .and_then(|text| parse_bound(&text, now, zone, round))
            .map(|nanos| nanos.div_euclid(1_000_000)),
    };
    match (bound("min", Round::Down), bound("max", round)) {
        (Some(min), Some(max)) => Ok(Some((min, max))),
        _ => error(format!("[{name}] cannot read `{key}`")),
    }
}

/// What tantivy is asked for a histogram of numbers, and its interval.
pub(super) fn histogram(name: &str, field: &str, body: &Value) -> Result<(Value, f64), QueryError> {
    let interval =
        lenient::number_of(name, body, "interval")?.filter(|interval| *interval >= MIN_INTERVAL);
    let Some(interval) = interval else {
        return error(format!(
            "[{name}] needs an `interval` of {MIN_INTERVAL} at least"
        ));
    };
    let mut given = json!({"field": column(field), "interval": interval});
    if let Some(offset) = lenient::number_of(name, body, "offset")? {
        given["offset"] = offset.into();
    }
    if let Some(count) = lenient::count_of(name, body, "min_doc_count")? {
        given["min_doc_count"] = count.into();
    }
    for key in ["extended_bounds", "hard_bounds"] {
        let Some(bounds) = body.get(key).filter(|value| !value.is_null()) else {
            continue;
        };
        let bound = |end: &str| lenient::number_of(name, bounds, end);
        match (bound("min")?, bound("max")?) {
            (Some(min), Some(max)) => given[key] = json!({"min": min, "max": max}),
            _ => return error(format!("[{name}]: `{key}` needs `min` and `max`")),
        }
    }
    drop_bounds_without_room(&mut given);
    keep_countable(&mut given, interval);
    Ok((given, interval))
}

pub(super) fn date_histogram(
    name: &str,
    field: &str,
    body: &Value,
    zone: &TimeZone,
    (millis, phase): (i64, i64),
    now: Timestamp,
) -> Result<Value, QueryError> {
    let mut given = json!({"field": column(field), "fixed_interval": format!("{millis}ms")});
    let extended = bounds_of(name, body, "extended_bounds", zone, Round::Up, now)?;
    let hard = bounds_of(name, body, "hard_bounds", zone, Round::Up, now)?;
    // The zone's offset at the end of what is shown: that of all buckets.
    let at = match extended.or(hard) {
        Some((_, max)) => Timestamp::from_millisecond(max).unwrap_or(now),
        None => now,
    };
    let shift = phase - offset_millis(&at.to_zoned(zone.clone())) + offset_of(name, body)?;
    let shift = shift.rem_euclid(millis);
    if shift != 0 {
        given["offset"] = format!("{shift}ms").into();
    }
    if let Some(count) = lenient::count_of(name, body, "min_doc_count")? {
        given["min_doc_count"] = count.into();
    }
    for (key, found) in [("extended_bounds", extended), ("hard_bounds", hard)] {
        if let Some((min, max)) = found {
            given[key] = json!({"min": min as f64, "max": max as f64});
        }
    }
    drop_bounds_without_room(&mut given);
    if let Some((min, max)) = extended
        && given["extended_bounds"].is_object()
        && max.saturating_sub(min) / millis >= i64::from(MAX_BUCKETS)
    {
        return too_many_buckets(name);
    }
    Ok(given)
}

/// The histogram of a calendar: over numbers of buckets, one apart.
pub(super) fn calendar_histogram(
    name: &str,
    source: &str,
    body: &Value,
    calendar: &Calendar,
    now: Timestamp,
) -> Result<Value, QueryError> {
    let mut given = json!({"field": source, "interval": 1.0});
    if let Some(count) = lenient::count_of(name, body, "min_doc_count")? {
        given["min_doc_count"] = count.into();
    }
    // Bounds are rounded as if there were no offset.
    let units = |key: &str| -> Result<Option<(i64, i64)>, QueryError> {
        let zone = calendar.zone();
        let Some((min, max)) = bounds_of(name, body, key, zone, Round::Down, now)? else {
            return Ok(None);
        };
        let unit = |millis: i64| {
            let at = Timestamp::from_millisecond(millis).ok()?;
            Some(calendar.unit_at(at))
        };
        match (unit(min), unit(max)) {
            (Some(first), Some(last)) if min <= max => Ok(Some((first, last))),
            _ => error(format!("[{name}] cannot use `{key}`")),
        }
    };
    let (extended, hard) = (units("extended_bounds")?, units("hard_bounds")?);
    if let (Some((first, last)), Some((hard_first, hard_last))) = (extended, hard)
        && (first < hard_first || last > hard_last)
    {
        return error(format!(
            "[{name}]: `extended_bounds` have to be inside `hard_bounds`"
        ));
    }
    let mut ends = (i64::MIN, i64::MAX);
    if let Some((first, last)) = hard {
        let from = |unit: i64| calendar.unit_start(unit).map(|at| calendar.first_from(at));
        let (Some(first), Some(end)) = (from(first), from(last)) else {
            return error(format!("[{name}] cannot use `hard_bounds`"));
        };
        // The bucket of the upper bound is left out, as Elasticsearch does.
        ends = (first, end - 1);
        given["hard_bounds"] = json!({"min": ends.0, "max": ends.1});
    }
    if let Some((first, last)) = extended {
        if last - first >= i64::from(MAX_BUCKETS) {
            return too_many_buckets(name);
        }
        // tantivy has extended bounds inside hard ones only.
        given["extended_bounds"] = json!({"min": first.max(ends.0), "max": last.min(ends.1)});
    }
    drop_bounds_without_room(&mut given);
    Ok(given)
}

fn too_many_buckets<T>(name: &str) -> Result<T, QueryError> {
    error(format!(
        "[{name}]: trying to create too many buckets, the limit is [{MAX_BUCKETS}]"
    ))
}

/// How the buckets of a histogram are shown.
#[derive(Debug)]
pub(super) struct Shape {
    order: Vec<(By, bool)>,
    pub(super) is_keyed: bool,
}

#[derive(Debug, Clone, Copy)]
enum By {
    Key,
    Count,
}

impl Shape {
    /// Reads `order` and `keyed`.
    ///
    /// # Errors
    /// Other orders than those by `_key` and `_count`.
    pub(super) fn parse(name: &str, body: &Value) -> Result<Self, QueryError> {
        let mut order = Vec::new();
        for given in list(body.get("order")) {
            order.push(match only_entry(given) {
                Some(("_key", direction)) => (By::Key, is_descending(name, direction)?),
                Some(("_count", direction)) => (By::Count, is_descending(name, direction)?),
                _ => {
                    return error(format!(
                        "[{name}]: buckets of a histogram are ordered by `_key` or `_count`, not {given}"
                    ));
                }
            });
        }
        Ok(Self {
            order,
            is_keyed: body["keyed"] == true,
        })
    }

    /// Orders buckets that are in the order of their keys.
    pub(super) fn sort(&self, buckets: &mut [(String, Map<String, Value>)]) {
        let number = |bucket: &Map<String, Value>, by: By| {
            let key = match by {
                By::Key => "key",
                By::Count => "doc_count",
            };
            bucket.get(key).and_then(Value::as_f64).unwrap_or(0.0)
        };
        buckets.sort_by(|(_, a), (_, b)| {
            let compared = self.order.iter().map(|(by, is_descending)| {
                let ordering = number(a, *by).total_cmp(&number(b, *by));
                if *is_descending {
                    ordering.reverse()
                } else {
                    ordering
                }
            });
            compared.fold(Ordering::Equal, Ordering::then)
        });
    }
}

fn is_descending(name: &str, direction: &Value) -> Result<bool, QueryError> {
    match direction.as_str().map(str::to_lowercase).as_deref() {
        Some("asc") => Ok(false),
        Some("desc") => Ok(true),
        _ => error(format!(
            "[{name}]: an order is `asc` or `desc`, got {direction}"
        )),
    }
}

/// Leaves values out that are further off than buckets are filled in up to.
fn keep_countable(given: &mut Value, interval: f64) {
    if given["min_doc_count"].as_u64().unwrap_or(0) > 0 {
        return;
    }
    let reach = (interval * FURTHEST_BUCKET).min(f64::MAX);
    let hard = &given["hard_bounds"];
    let min = hard["min"].as_f64().map_or(-reach, |min| min.max(-reach));
    let max = hard["max"].as_f64().map_or(reach, |max| max.min(reach));
    given["hard_bounds"] = json!({"min": min, "max": max});
}

/// Empty buckets that would not be shown need no bounds; tantivy refuses the two together.
fn drop_bounds_without_room(given: &mut Value) {
    let shows_empty = given["min_doc_count"].as_u64().unwrap_or(0) == 0;
    if !shows_empty && let Some(given) = given.as_object_mut() {
        given.remove("extended_bounds");
    }
}

fn offset_millis(zoned: &Zoned) -> i64 {
    let offset: Offset = zoned.offset();
    i64::from(offset.seconds()) * 1_000
}

#[cfg(test)]
mod tests {
    use tantivy::query::Query;

    use super::super::{Plan, plan};
    use super::*;

    fn planned(body: Value) -> Result<Vec<Plan>, QueryError> {
        let aggs = json!({"a": {"date_histogram": body}});
        let mut no_filter = |_: &Value| -> Result<Box<dyn Query>, QueryError> {
            Ok(Box::new(tantivy::query::AllQuery))
        };
        plan(&aggs, Timestamp::UNIX_EPOCH, &mut no_filter).map(|(_, plans)| plans)
    }

    #[test]
    fn intervals_are_those_of_elasticsearch() {
        for (key, given) in [
            ("calendar_interval", "minute"),
            ("calendar_interval", "1h"),
            ("calendar_interval", "1d"),
            ("calendar_interval", "1M"),
            ("calendar_interval", "quarter"),
            ("fixed_interval", "90m"),
            ("fixed_interval", "7d"),
            ("interval", "month"),
            ("interval", "30s"),
        ] {
            let mut body = json!({"field": "@timestamp"});
            body[key] = given.into();
            assert!(planned(body).is_ok(), "{key}: {given}");
        }
        for (key, given) in [
            ("calendar_interval", "2d"),
            ("calendar_interval", "1m2"),
            ("calendar_interval", "months"),
            ("calendar_interval", "1D"),
            ("calendar_interval", ""),
            ("fixed_interval", "1M"),
            ("fixed_interval", "month"),
            ("fixed_interval", "0s"),
            ("fixed_interval", "9223372036854775807d"),
            ("interval", "1µ"),
        ] {
            let mut body = json!({"field": "@timestamp"});
            body[key] = given.into();
            assert!(planned(body).is_err(), "{key}: {given}");
        }
        for body in [
            json!({"field": "@timestamp"}),
            json!({"field": "@timestamp", "calendar_interval": "1d", "fixed_interval": "1d"}),
            json!({"field": "@timestamp", "fixed_interval": "1d", "min_doc_count": "some"}),
            json!({"field": "@timestamp", "fixed_interval": "1d", "missing": "2026-11-25"}),
            json!({"field": "@timestamp", "calendar_interval": "1M", "offset": "soon"}),
            json!({"field": "@timestamp", "calendar_interval": "1M", "offset": i64::MIN}),
            json!({"field": "@timestamp", "calendar_interval": "1M", "time_zone": "Mars/Olympus"}),
            json!({
                "field": "@timestamp", "calendar_interval": "1d", "time_zone": "Europe/Berlin",
                "extended_bounds": {"min": "0001-01-01", "max": "2026-11-25"},
            }),
            json!({
                "field": "@timestamp", "calendar_interval": "1M",
                "extended_bounds": {"min": "2026-01-01", "max": "2026-11-25"},
                "hard_bounds": {"min": "2026-02-01", "max": "2026-11-25"},
            }),
        ] {
            assert!(planned(body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn buckets_come_in_the_order_asked_for() {
        let sorted = |order: Value| -> Vec<i64> {
            let shape = Shape::parse("a", &json!({"order": order})).unwrap();
            let buckets = [(1, 5), (2, 7), (3, 5)].into_iter().map(|(key, count)| {
                let bucket = json!({"key": key, "doc_count": count});
                (String::new(), bucket.as_object().cloned().unwrap())
            });
            let mut buckets: Vec<_> = buckets.collect();
            shape.sort(&mut buckets);
            let keys = buckets.iter().map(|(_, bucket)| bucket["key"].as_i64());
            keys.map(Option::unwrap).collect()
        };
        assert_eq!(sorted(Value::Null), [1, 2, 3]);
        assert_eq!(sorted(json!({"_key": "desc"})), [3, 2, 1]);
        assert_eq!(sorted(json!({"_count": "asc"})), [1, 3, 2]);
        assert_eq!(
            sorted(json!([{"_count": "DESC"}, {"_key": "desc"}])),
            [2, 3, 1]
        );
        for order in [json!({"took": "asc"}), json!({"_key": "up"}), json!("_key")] {
            assert!(
                Shape::parse("a", &json!({"order": order})).is_err(),
                "{order}"
            );
        }
    }

    #[test]
    fn intervals_of_numbers_have_a_least() {
        for (interval, is_taken) in [(1e-6, true), (0.5, true), (1e-7, false), (0.0, false)] {
            let found = histogram("a", "took", &json!({"interval": interval}));
            assert_eq!(found.is_ok(), is_taken, "{interval}");
        }
    }

    #[test]
    fn fixed_intervals_follow_a_clock_that_changes() {
        let interval = |text: &str, zone: TimeZone| {
            let interval = interval_of("a", &json!({"fixed_interval": text}), &zone).unwrap();
            matches!(interval, Interval::Calendar(_))
        };
        let berlin = || TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (text, follows) in [("30m", false), ("1h", false), ("2h", true), ("1d", true)] {
            assert_eq!(interval(text, berlin()), follows, "{text}");
            assert!(!interval(text, TimeZone::UTC), "{text}");
            assert!(
                !interval(text, TimeZone::fixed(Offset::constant(2))),
                "{text}"
            );
        }
    }
}
