//! Dates as Elasticsearch reads them: RFC 3339 and shorter forms, milliseconds, date math.

use jiff::civil::{self, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp, ToSpan as _, Unit, Zoned};

use crate::writer::nanos;

/// Which end of a span of time a date stands for: `2026-11-25` as an upper bound is its last
/// nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    Down,
    Up,
}

/// Reads a date of a document: nanoseconds since the epoch. Without a zone it is UTC.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(nanos(timestamp));
    }
    read_date(text, &TimeZone::UTC).map(|(zoned, _)| nanos(zoned.timestamp()))
}

/// Reads a bound of a range: a date, milliseconds, `now` or date math (`now-15m/h`,
/// `2026-11-25||+1d/d`).
pub(crate) fn parse_bound(
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
    round: Round,
) -> Option<i64> {
    let text = text.trim();
    let (anchor, unit, math) = if let Some(math) = text.strip_prefix("now") {
        (now.to_zoned(zone.clone()), None, math)
    } else {
        let (date, math) = text.split_once("||").unwrap_or((text, ""));
        let (zoned, unit) = match date.parse::<Timestamp>() {
            Ok(timestamp) => (timestamp.to_zoned(zone.clone()), None),
            Err(_) => read_date(date, zone)?,
        };
        (zoned, unit, math)
    };
    if math.is_empty() {
        return match (unit, round) {
            // What the text leaves out is filled up to the end.
            (Some(unit), Round::Up) => end_of(&anchor, unit),
            _ => Some(nanos(anchor.timestamp())),
        };
    }
    apply_math(anchor, math, round)
}

/// Dates without a time zone, and how exact they are.
fn read_date(text: &str, zone: &TimeZone) -> Option<(Zoned, Option<Unit>)> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let in_zone = |date: civil::DateTime| date.to_zoned(zone.clone()).ok();
    if is_digits && text.len() == 4 {
        let date = civil::Date::new(text.parse().ok()?, 1, 1).ok()?;
        return Some((in_zone(date.into())?, Some(Unit::Year)));
    }
    if is_digits
        || text
            .strip_prefix('-')
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
    {
        let millis = text.parse::<i64>().ok()?;
        return Some((
            Timestamp::from_millisecond(millis)
                .ok()?
                .to_zoned(zone.clone()),
            None,
        ));
    }
    if let Ok(date) = text.parse::<civil::Date>()
        && text.len() <= 10
    {
        return Some((in_zone(date.into())?, Some(Unit::Day)));
    }
    if text.len() == 7
        && let Ok(date) = civil::Date::strptime("%Y-%m-%d", format!("{text}-01"))
    {
        return Some((in_zone(date.into())?, Some(Unit::Month)));
    }
    if let Ok(date) = text.parse::<civil::DateTime>() {
        let unit = match text.bytes().filter(|byte| *byte == b':').count() {
            1 => Some(Unit::Minute),
            2 if !text.contains('.') => Some(Unit::Second),
            _ => None,
        };
        return Some((in_zone(date)?, unit));
    }
    None
}

fn apply_math(mut at: Zoned, math: &str, round: Round) -> Option<i64> {
    let mut rest = math;
    while let Some(sign) = rest.chars().next() {
        rest = rest.get(1..)?;
        if sign == '/' {
            let unit = unit_of(rest.chars().next()?)?;
            rest = rest.get(1..)?;
            let start = start_of(&at, unit)?;
            if rest.is_empty() && round == Round::Up {
                return end_of(&start, unit);
            }
            at = start;
            continue;
        }
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = match n_digits {
            0 => 1,
            _ => rest.get(..n_digits)?.parse().ok()?,
        };
        rest = rest.get(n_digits..)?;
        let unit = unit_of(rest.chars().next()?)?;
        rest = rest.get(1..)?;
        let span = span_of(count, unit)?;
        at = match sign {
            '+' => at.checked_add(span).ok()?,
            '-' => at.checked_sub(span).ok()?,
            _ => return None,
        };
    }
    Some(nanos(at.timestamp()))
}

fn unit_of(letter: char) -> Option<Unit> {
    Some(match letter {
        'y' => Unit::Year,
        'M' => Unit::Month,
        'w' => Unit::Week,
        'd' => Unit::Day,
        'h' | 'H' => Unit::Hour,
        'm' => Unit::Minute,
        's' => Unit::Second,
        _ => return None,
    })
}

fn span_of(count: i64, unit: Unit) -> Option<Span> {
    let span = Span::new();
    match unit {
        Unit::Year => span.try_years(count),
        Unit::Month => span.try_months(count),
        Unit::Week => span.try_weeks(count),
        Unit::Day => span.try_days(count),
        Unit::Hour => span.try_hours(count),
        Unit::Minute => span.try_minutes(count),
        _ => span.try_seconds(count),
    }
    .ok()
}

fn start_of(at: &Zoned, unit: Unit) -> Option<Zoned> {
    let date = at.date();
    let start = match unit {
        Unit::Year => civil::Date::new(date.year(), 1, 1).ok()?,
        Unit::Month => date.first_of_month(),
        Unit::Week => {
            let back = date.weekday().since(Weekday::Monday);
            date.checked_sub(i64::from(back).days()).ok()?
        }
        Unit::Day => date,
        _ => {
            let time = at.time();
            let time = match unit {
                Unit::Hour => civil::Time::new(time.hour(), 0, 0, 0),
                Unit::Minute => civil::Time::new(time.hour(), time.minute(), 0, 0),
                _ => civil::Time::new(time.hour(), time.minute(), time.second(), 0),
            };
            return date
                .to_datetime(time.ok()?)
                .to_zoned(at.time_zone().clone())
                .ok();
        }
    };
    start.to_zoned(at.time_zone().clone()).ok()
}

/// The last nanosecond of the unit that begins at `start`.
fn end_of(start: &Zoned, unit: Unit) -> Option<i64> {
    let end = start.checked_add(span_of(1, unit)?).ok()?;
    nanos(end.timestamp()).checked_sub(1)
}

/// A time zone as requests give it: `+01:00`, `UTC`, `Europe/Berlin`.
pub(crate) fn parse_zone(text: &str) -> Option<TimeZone> {
    if matches!(text, "UTC" | "Z" | "utc" | "z") {
        return Some(TimeZone::UTC);
    }
    let fixed = || {
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = match rest.split_once(':') {
            Some(parts) => parts,
            None => rest.split_at_checked(2)?,
        };
        let minutes: i32 = if minutes.is_empty() {
            0
        } else {
            minutes.parse().ok()?
        };
        let seconds = sign * (hours.parse::<i32>().ok()? * 3600 + minutes * 60);
        Some(TimeZone::fixed(Offset::from_seconds(seconds).ok()?))
    };
    fixed().or_else(|| TimeZone::get(text).ok())
}

/// `2026-11-25T22:00:00.000Z`, as Elasticsearch formats keys.
pub(crate) fn format_millis(millis: i64, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_millisecond(millis) else {
        return millis.to_string();
    };
    let zoned = timestamp.to_zoned(zone.clone());
    if zoned.offset() == Offset::UTC {
        zoned.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
    } else {
        zoned.strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-25T22:31:30.5Z".parse().unwrap()
    }

    #[test]
    fn bounds_are_those_of_elasticsearch() {
        let check = |text: &str, round: Round, expected: &str| {
            let found = parse_bound(text, now(), &TimeZone::UTC, round).unwrap();
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(found, nanos(expected), "{text}");
        };
        check("now", Round::Down, "2026-11-25T22:31:30.5Z");
        check("now-15m", Round::Down, "2026-11-25T22:16:30.5Z");
        check("now/d", Round::Down, "2026-11-25T00:00:00Z");
        check("now/d", Round::Up, "2026-11-25T23:59:59.999999999Z");
        check("now/w", Round::Down, "2026-11-23T00:00:00Z");
        check("now-1M/M", Round::Down, "2026-10-01T00:00:00Z");
        check("2026-11-25||+1d/d", Round::Down, "2026-11-26T00:00:00Z");
        check("2026-11-25", Round::Down, "2026-11-25T00:00:00Z");
        check("2026-11-25", Round::Up, "2026-11-25T23:59:59.999999999Z");
        check("2026-11", Round::Up, "2026-11-30T23:59:59.999999999Z");
        check("2026", Round::Down, "2026-01-01T00:00:00Z");
        check("2026-11-25T22:00", Round::Down, "2026-11-25T22:00:00Z");
        check("1767323045123", Round::Down, "2026-01-02T03:04:05.123Z");
        check(
            "2026-11-25T22:00:00+01:00",
            Round::Down,
            "2026-11-25T21:00:00Z",
        );
        let berlin = parse_zone("+01:00").unwrap();
        let start = parse_bound("now/d", now(), &berlin, Round::Down).unwrap();
        assert_eq!(start, nanos("2026-11-24T23:00:00Z".parse().unwrap()));
        assert_eq!(parse_bound("soon", now(), &berlin, Round::Down), None);
        assert_eq!(parse_bound("now+", now(), &berlin, Round::Down), None);
    }

    #[test]
    fn keys_are_formatted() {
        assert_eq!(
            format_millis(1_767_323_045_123, &TimeZone::UTC),
            "2026-01-02T03:04:05.123Z"
        );
        let zone = parse_zone("+01:00").unwrap();
        assert_eq!(format_millis(0, &zone), "1970-01-01T01:00:00.000+01:00");
        let london = TimeZone::posix("GMT0BST,M3.5.0/1,M10.5.0").unwrap();
        for (millis, expected) in [
            (1_767_323_045_123, "2026-01-02T03:04:05.123Z"),
            (1_782_864_000_000, "2026-07-01T01:00:00.000+01:00"),
        ] {
            assert_eq!(format_millis(millis, &london), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_answers(text in any::<String>(), math in "now[+/-][0-9]{0,19}[yMwdhms]/?[d]?") {
            black_box(parse_bound(&text, now(), &TimeZone::UTC, Round::Up));
            black_box(parse_bound(&math, now(), &TimeZone::UTC, Round::Up));
            black_box(parse_date(&text));
            black_box(parse_zone(&text));
        }
    }
}
