//! Hours, days, weeks, months, quarters and years of a time zone, and fixed intervals of its clock.
//!
//! tantivy counts in steps of one length. So each time becomes the number of the bucket that holds
//! it, tantivy counts the numbers, and the answer turns them into times again: a month has its own
//! length then, and a day or an hour the one that the clock gives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};
use tantivy::aggregation::{ValueSource, ValueSourceProvider};
use tantivy::columnar::{Cardinality, Column, ColumnType, MonotonicallyMappableToU64 as _, RowId};
use tantivy::{DocId, SegmentReader};

use crate::writer::nanos;

/// 1970-01-05 was a Monday, and so was three days before the epoch.
const MONDAY: i64 = 3;
/// Seconds of an hour.
const HOUR: i64 = 3_600;
/// Runs that are remembered of a segment. Documents with more of them than an answer may have
/// buckets are refused in the end.
const MAX_RUNS: usize = super::aggs::MAX_BUCKETS as usize;

/// What a bucket spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CalendarUnit {
    /// It begins wherever the clock shows a whole hour. Where the clock goes half an hour on or
    /// back (Lord Howe Island) one is longer.
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    /// So many milliseconds of the clock, counted from where it showed the beginning of 1970. The
    /// clock shows a time that is passed over with the change, and one that comes twice is of the
    /// bucket that began first.
    Fixed(i64),
}

/// Buckets of a calendar, numbered in their order. A number that no unit has is an empty bucket.
#[derive(Debug)]
pub(crate) struct Calendar {
    unit: CalendarUnit,
    zone: TimeZone,
    /// How long after the unit its bucket begins.
    offset_ms: i64,
}

impl Calendar {
    pub(crate) fn new(unit: CalendarUnit, zone: TimeZone, offset_ms: i64) -> Self {
        Self {
            unit,
            zone,
            offset_ms,
        }
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The number of the unit that holds a time, whatever the offset.
    pub(crate) fn unit_at(&self, at: Timestamp) -> i64 {
        let date = self.zone.to_datetime(at).date();
        let (year, month) = (i64::from(date.year()), i64::from(date.month()) - 1);
        let days = || date.duration_since(epoch()).as_secs().div_euclid(86_400);
        match self.unit {
            CalendarUnit::Hour => self.hour_before(second_of(at)).div_euclid(HOUR),
            CalendarUnit::Day => days(),
            CalendarUnit::Week => (days() + MONDAY).div_euclid(7),
            CalendarUnit::Month => year * 12 + month,
            CalendarUnit::Quarter => year * 4 + month / 3,
            CalendarUnit::Year => year,
            CalendarUnit::Fixed(millis) => self.interval_at(at, millis),
        }
    }

    /// The first moment of a unit, whatever the offset.
    pub(crate) fn unit_start(&self, number: i64) -> Option<Timestamp> {
        let date = match self.unit {
            CalendarUnit::Hour => {
                let second = self.hour_from(number.checked_mul(HOUR)?)?;
                return Timestamp::from_second(second).ok();
            }
            CalendarUnit::Fixed(millis) => return self.shows(number.checked_mul(millis)?),
            CalendarUnit::Day => day(number)?,
            CalendarUnit::Week => day(number.checked_mul(7)?.checked_sub(MONDAY)?)?,
            CalendarUnit::Month => first_of(number.div_euclid(12), number.rem_euclid(12))?,
            CalendarUnit::Quarter => first_of(number.div_euclid(4), number.rem_euclid(4) * 3)?,
            CalendarUnit::Year => first_of(number, 0)?,
        };
        // Where the clock passes over midnight, the day begins with the change.
        let start = date.to_zoned(self.zone.clone()).ok()?;
        Some(start.timestamp())
    }

    /// The last second, not after this one, at which the clock shows a whole hour. Its number is
    /// that of UTC's hour: no two are in one of those, in all time zones and since there are any,
    /// but for a night of 2006 in Colombo, of which two hours are one bucket.
    fn hour_before(&self, second: i64) -> i64 {
        let mut second = second;
        loop {
            let start = second - self.clock(second).rem_euclid(HOUR);
            // Before a change of the clock that lies between it has shown another hour.
            let later = Timestamp::from_second(second + 1).ok();
            let change = later.and_then(|later| self.zone.preceding(later).next());
            match change.map(|change| change.timestamp().as_second()) {
                Some(change) if change > start => second = change - 1,
                _ => return start,
            }
        }
    }

    /// The first second, not before this one, at which the clock shows a whole hour.
    fn hour_from(&self, second: i64) -> Option<i64> {
        let mut second = second;
        loop {
            let start = second.checked_add((-self.clock(second)).rem_euclid(HOUR))?;
            let at = Timestamp::from_second(second).ok()?;
            let change = self.zone.following(at).next();
            match change.map(|change| change.timestamp().as_second()) {
                Some(change) if change <= start => second = change,
                _ => return Some(start),
            }
        }
    }

    /// The number of the last interval that has begun at a time.
    fn interval_at(&self, at: Timestamp, millis: i64) -> i64 {
        let clock = at.as_nanosecond().div_euclid(1_000_000)
            + i128::from(self.zone.to_offset(at).seconds()) * 1_000;
        let mut number = i64::try_from(clock.div_euclid(i128::from(millis))).unwrap_or(0);
        // Before the clock was put back it may have shown the beginning of a later one.
        let next_start = |number: i64| self.shows((number + 1).checked_mul(millis)?);
        while next_start(number).is_some_and(|start| start <= at) {
            number += 1;
        }
        number
    }

    /// When the clock first shows a time, in milliseconds since it showed the beginning of 1970;
    /// the change, where that passes over it.
    fn shows(&self, clock_ms: i64) -> Option<Timestamp> {
        let clock = TimeZone::UTC.to_datetime(Timestamp::from_millisecond(clock_ms).ok()?);
        let found = self.zone.to_ambiguous_timestamp(clock);
        match found.offset() {
            AmbiguousOffset::Gap { after, .. } => {
                let before_change = after.to_timestamp(clock).ok()?;
                let change = self.zone.following(before_change).next()?;
                Some(change.timestamp())
            }
            _ => found.compatible().ok(),
        }
    }

    /// What the clock shows, in seconds since it showed the beginning of 1970.
    fn clock(&self, second: i64) -> i64 {
        let at = Timestamp::from_second(second);
        second + at.map_or(0, |at| i64::from(self.zone.to_offset(at).seconds()))
    }

    /// The number of the bucket that holds a time.
    fn number(&self, nanos: i64) -> i64 {
        let nanos = i128::from(nanos) - i128::from(self.offset_ms) * 1_000_000;
        Timestamp::from_nanosecond(nanos).map_or(0, |at| self.unit_at(at))
    }

    /// The first moment of a bucket.
    fn start(&self, number: i64) -> Option<Timestamp> {
        let offset = SignedDuration::from_millis(self.offset_ms);
        self.unit_start(number)?.checked_add(offset).ok()
    }

    /// Where a bucket begins and ends, in milliseconds. A day that the zone passed over is empty.
    pub(crate) fn bounds_ms(&self, number: i64) -> Option<(i64, i64)> {
        let (start, end) = (self.start(number)?, self.start(number.checked_add(1)?)?);
        Some((start.as_millisecond(), end.as_millisecond()))
    }

    /// The first bucket that does not begin before a time.
    pub(crate) fn first_from(&self, at: Timestamp) -> i64 {
        let number = self.number(nanos(at));
        match self.start(number) {
            Some(start) if start < at => number + 1,
            _ => number,
        }
    }

    fn run(&self, at: i64) -> Option<Run> {
        let number = self.number(at);
        let run = Run {
            from: nanos(self.start(number)?),
            to: nanos(self.start(number + 1)?),
            number,
        };
        run.contains(at).then_some(run)
    }
}

/// The second that a time is in.
fn second_of(at: Timestamp) -> i64 {
    // Both parts of a time before the epoch are negative.
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

fn epoch() -> Date {
    Date::constant(1970, 1, 1)
}

fn day(number: i64) -> Option<Date> {
    let since = Span::new().try_days(number).ok()?;
    epoch().checked_add(since).ok()
}

/// The first day of a month; months count from 0.
fn first_of(year: i64, month: i64) -> Option<Date> {
    let (year, month) = (i16::try_from(year).ok()?, i8::try_from(month + 1).ok()?);
    Date::new(year, month, 1).ok()
}

/// Times of one bucket, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Run {
    from: i64,
    to: i64,
    number: i64,
}

impl Run {
    fn contains(&self, at: i64) -> bool {
        (self.from..self.to).contains(&at)
    }
}

/// A field's times as numbers of buckets.
pub(crate) struct CalendarColumn {
    pub(crate) column: String,
    pub(crate) calendar: Arc<Calendar>,
}

impl ValueSourceProvider for CalendarColumn {
    fn for_segment(
        &self,
        reader: &SegmentReader,
        _allowed_column_types: Option<&[ColumnType]>,
    ) -> tantivy::Result<Option<Box<dyn ValueSource>>> {
        for handle in reader.fast_fields().dynamic_column_handles(&self.column)? {
            if handle.column_type() != ColumnType::DateTime {
                continue;
            }
            if let Some(times) = handle.open_u64_lenient()? {
                return Ok(Some(Box::new(Numbers {
                    times: (times, ColumnType::DateTime),
                    calendar: Arc::clone(&self.calendar),
                    last: None,
                    known: BTreeMap::new(),
                })));
            }
        }
        Ok(None)
    }
}

/// [`CalendarColumn`] within a segment.
#[derive(Debug)]
struct Numbers {
    times: (Column<u64>, ColumnType),
    calendar: Arc<Calendar>,
    /// Documents that follow each other are mostly of one bucket: the zone is seldom asked.
    last: Option<Run>,
    known: BTreeMap<i64, Run>,
}

impl Numbers {
    fn number(&mut self, at: i64) -> i64 {
        if let Some(last) = self.last.filter(|last| last.contains(at)) {
            return last.number;
        }
        let before = self.known.range(..=at).next_back().map(|(_, run)| *run);
        let run = match before.filter(|run| run.contains(at)) {
            Some(run) => run,
            None => match self.calendar.run(at) {
                Some(run) => {
                    if self.known.len() == MAX_RUNS {
                        self.known.clear();
                    }
                    self.known.insert(run.from, run);
                    run
                }
                None => return self.calendar.number(at),
            },
        };
        self.last = Some(run);
        run.number
    }
}

impl ValueSource for Numbers {
    fn column_type(&self) -> ColumnType {
        ColumnType::I64
    }

    fn load_block(
        &mut self,
        docs: &[DocId],
        values: &mut Vec<u64>,
        docids: &mut Vec<DocId>,
        row_ids: &mut Vec<RowId>,
    ) -> Cardinality {
        let cardinality = self.times.load_block(docs, values, docids, row_ids);
        for value in values.iter_mut() {
            *value = self.number(i64::from_u64(*value)).to_u64();
        }
        cardinality
    }

    fn to_f64(self: Box<Self>) -> Box<dyn ValueSource> {
        // Only metrics ask for it, and none is over these numbers.
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNITS: [CalendarUnit; 8] = [
        CalendarUnit::Hour,
        CalendarUnit::Day,
        CalendarUnit::Week,
        CalendarUnit::Month,
        CalendarUnit::Quarter,
        CalendarUnit::Year,
        CalendarUnit::Fixed(2 * 3_600_000),
        CalendarUnit::Fixed(9_000_000),
    ];

    /// As Europe/Berlin since 1996, without asking the machine for its zones.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    /// As Australia/Lord_Howe since 2008: summer is half an hour.
    fn lord_howe() -> TimeZone {
        TimeZone::posix("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0").unwrap()
    }

    fn bucket_of(calendar: &Calendar, at: &str) -> (String, i64) {
        let (from, minutes) = minutes_of(calendar, at);
        (from, minutes / 60)
    }

    /// Where the bucket of a time begins, and how many minutes it has.
    fn minutes_of(calendar: &Calendar, at: &str) -> (String, i64) {
        let at: Timestamp = at.parse().unwrap();
        let (from, to) = calendar.bounds_ms(calendar.number(nanos(at))).unwrap();
        let from_text = Timestamp::from_millisecond(from).unwrap().to_string();
        (from_text, (to - from) / 60_000)
    }

    #[test]
    fn units_begin_as_in_elasticsearch() {
        let at = "2026-11-25T22:31:30.5Z";
        for (unit, start, hours) in [
            (CalendarUnit::Day, "2026-11-25T00:00:00Z", 24),
            (CalendarUnit::Week, "2026-11-23T00:00:00Z", 7 * 24),
            (CalendarUnit::Month, "2026-11-01T00:00:00Z", 30 * 24),
            (CalendarUnit::Quarter, "2026-10-01T00:00:00Z", 92 * 24),
            (CalendarUnit::Year, "2026-01-01T00:00:00Z", 365 * 24),
        ] {
            let calendar = Calendar::new(unit, TimeZone::UTC, 0);
            assert_eq!(bucket_of(&calendar, at), (start.to_owned(), hours));
        }
        // Before the epoch, and in a year that leaps.
        let calendar = Calendar::new(CalendarUnit::Week, TimeZone::UTC, 0);
        let found = bucket_of(&calendar, "1969-12-28T23:59:59Z");
        assert_eq!(found, ("1969-12-22T00:00:00Z".to_owned(), 7 * 24));
        let calendar = Calendar::new(CalendarUnit::Month, TimeZone::UTC, 0);
        let found = bucket_of(&calendar, "2024-02-29T12:00:00Z");
        assert_eq!(found, ("2024-02-01T00:00:00Z".to_owned(), 29 * 24));
    }

    #[test]
    fn days_are_as_long_as_the_clock_makes_them() {
        let days = Calendar::new(CalendarUnit::Day, berlin(), 0);
        for (at, start, hours) in [
            ("2026-03-28T23:30:00Z", "2026-03-28T23:00:00Z", 23),
            ("2026-03-29T21:59:59Z", "2026-03-28T23:00:00Z", 23),
            ("2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z", 24),
            ("2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", 25),
            ("2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", 25),
            ("2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z", 24),
        ] {
            assert_eq!(bucket_of(&days, at), (start.to_owned(), hours), "{at}");
        }
        let months = Calendar::new(CalendarUnit::Month, berlin(), 0);
        let found = bucket_of(&months, "2026-10-31T22:59:59Z");
        assert_eq!(found, ("2026-09-30T22:00:00Z".to_owned(), 31 * 24 + 1));
    }

    #[test]
    fn fixed_intervals_follow_the_clock() {
        let of = |hours: i64| Calendar::new(CalendarUnit::Fixed(hours * 3_600_000), berlin(), 0);
        let (days, two_hours) = (of(24), of(2));
        for (calendar, at, start, hours) in [
            (&days, "2026-03-29T21:59:59Z", "2026-03-28T23:00:00Z", 23),
            (&days, "2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z", 24),
            (&days, "2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", 25),
            (&days, "2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z", 24),
            (&days, "1969-12-31T22:59:59.5Z", "1969-12-30T23:00:00Z", 24),
            // From 02:00 to 03:00: the interval of 02:00 begins with the change.
            (
                &two_hours,
                "2026-03-29T00:59:59Z",
                "2026-03-28T23:00:00Z",
                2,
            ),
            (
                &two_hours,
                "2026-03-29T01:00:00Z",
                "2026-03-29T01:00:00Z",
                1,
            ),
            (
                &two_hours,
                "2026-03-29T02:00:00Z",
                "2026-03-29T02:00:00Z",
                2,
            ),
            // From 03:00 back to 02:00.
            (
                &two_hours,
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:00:00Z",
                3,
            ),
            (
                &two_hours,
                "2026-10-25T02:59:59Z",
                "2026-10-25T00:00:00Z",
                3,
            ),
            (
                &two_hours,
                "2026-10-25T03:00:00Z",
                "2026-10-25T03:00:00Z",
                2,
            ),
        ] {
            assert_eq!(bucket_of(calendar, at), (start.to_owned(), hours), "{at}");
        }
    }

    #[test]
    fn an_hour_begins_where_the_clock_shows_one() {
        // The clock goes from 02:00 to 02:30 at 15:30Z on 3 October, and from 02:00 back to 01:30
        // at 15:00Z on 4 April: the hour of 01:00 goes on until 03:00, and until the second 02:00.
        let lord_howe = Calendar::new(CalendarUnit::Hour, lord_howe(), 0);
        // At 00:01 the clock goes back to 23:01: what was 00:00 goes on until there is another one.
        let zone = TimeZone::posix("NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01").unwrap();
        let st_johns = Calendar::new(CalendarUnit::Hour, zone, 0);
        let berlin = Calendar::new(CalendarUnit::Hour, berlin(), 0);
        for (hours, at, start, minutes) in [
            (
                &lord_howe,
                "2026-10-03T13:29:59Z",
                "2026-10-03T12:30:00Z",
                60,
            ),
            (
                &lord_howe,
                "2026-10-03T14:30:00Z",
                "2026-10-03T14:30:00Z",
                90,
            ),
            (
                &lord_howe,
                "2026-10-03T15:45:00Z",
                "2026-10-03T14:30:00Z",
                90,
            ),
            (
                &lord_howe,
                "2026-10-03T16:00:00Z",
                "2026-10-03T16:00:00Z",
                60,
            ),
            (
                &lord_howe,
                "2026-04-04T13:59:59Z",
                "2026-04-04T13:00:00Z",
                60,
            ),
            (
                &lord_howe,
                "2026-04-04T14:00:00Z",
                "2026-04-04T14:00:00Z",
                90,
            ),
            (
                &lord_howe,
                "2026-04-04T15:00:00Z",
                "2026-04-04T14:00:00Z",
                90,
            ),
            (
                &lord_howe,
                "2026-04-04T15:29:59.999Z",
                "2026-04-04T14:00:00Z",
                90,
            ),
            (
                &lord_howe,
                "2026-04-04T15:30:00Z",
                "2026-04-04T15:30:00Z",
                60,
            ),
            (
                &st_johns,
                "2010-11-07T02:29:59Z",
                "2010-11-07T01:30:00Z",
                60,
            ),
            (
                &st_johns,
                "2010-11-07T02:45:00Z",
                "2010-11-07T02:30:00Z",
                60,
            ),
            (
                &st_johns,
                "2010-11-07T03:30:00Z",
                "2010-11-07T03:30:00Z",
                60,
            ),
            (&berlin, "2026-10-25T00:59:59Z", "2026-10-25T00:00:00Z", 60),
            (&berlin, "2026-10-25T01:00:00Z", "2026-10-25T01:00:00Z", 60),
            (
                &berlin,
                "1969-12-31T23:59:59.5Z",
                "1969-12-31T23:00:00Z",
                60,
            ),
        ] {
            let found = minutes_of(hours, at);
            assert_eq!(found, (start.to_owned(), minutes), "{at}");
        }
        // No hour begins in UTC's hour of 15:00 on 3 October.
        let number = lord_howe.number(nanos("2026-10-03T15:00:00Z".parse().unwrap()));
        let (from, to) = lord_howe.bounds_ms(number + 1).unwrap();
        assert_eq!(from, to);
    }

    #[test]
    fn a_day_without_midnight_begins_with_the_change() {
        let zone = TimeZone::posix("<-03>3<-02>,M11.1.0/0,M2.3.0/0").unwrap();
        let days = Calendar::new(CalendarUnit::Day, zone, 0);
        let found = bucket_of(&days, "2018-11-04T03:00:00Z");
        assert_eq!(found, ("2018-11-04T03:00:00Z".to_owned(), 23));
        let found = bucket_of(&days, "2018-11-04T02:59:59Z");
        assert_eq!(found, ("2018-11-03T03:00:00Z".to_owned(), 24));
    }

    #[test]
    fn offsets_move_the_buckets() {
        let days = |by: i64| Calendar::new(CalendarUnit::Day, TimeZone::UTC, by * 3_600_000);
        let late = bucket_of(&days(6), "2026-11-25T05:59:59Z");
        assert_eq!(late, ("2026-11-24T06:00:00Z".to_owned(), 24));
        let early = bucket_of(&days(-6), "2026-11-25T18:00:00Z");
        assert_eq!(early, ("2026-11-25T18:00:00Z".to_owned(), 24));
        let midnight: Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
        let whole = days(0);
        for (offset, later) in [(0, 0), (6, 0), (-6, 1)] {
            let first = days(offset).first_from(midnight);
            assert_eq!(first - whole.unit_at(midnight), later, "{offset} h");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_in_its_bucket(
            at in any::<i64>(), unit in 0_usize..8, offset in -9_i64..9, is_berlin in any::<bool>(),
        ) {
            let zone = if is_berlin { berlin() } else { lord_howe() };
            let calendar = Calendar::new(UNITS[unit], zone, offset * 10_000_000);
            let number = calendar.number(at);
            let (from, to) = calendar.bounds_ms(number).unwrap();
            let at = at.div_euclid(1_000_000);
            prop_assert!((from..to).contains(&at));
            prop_assert_eq!(calendar.bounds_ms(number + 1).unwrap().0, to);
        }
    }
}
