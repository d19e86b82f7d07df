//! Times as people write them: `15m`, `now-1d/d`, `yesterday 14:00-15:00`, RFC 3339, epochs.
//!
//! A range has its start in it and its end not. Times without a zone are in the zone that the
//! request names.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// A range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// In the range.
    pub from: Timestamp,
    /// Not in the range.
    pub to: Timestamp,
}

impl Range {
    /// Its length in milliseconds, at least 1.
    pub fn millis(&self) -> i64 {
        (self.to.as_millisecond() - self.from.as_millisecond()).max(1)
    }
}

/// Which of the two parameters is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TimeError {
    /// `from`, `to` or `tz`.
    pub parameter: &'static str,
    /// Byte offset in the parameter.
    pub start: usize,
    /// Its end.
    pub end: usize,
    /// What is wrong.
    pub message: String,
}

const FORMS: &str = "write `15m`, `now-1h`, `14:30`, `yesterday 14:00`, `2026-11-25`, or RFC 3339";

/// Which end of a day a date alone means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Start,
    End,
}

/// The zone called `name`.
///
/// # Errors
///
/// When there is none of this name.
pub fn zone(name: &str) -> Result<TimeZone, TimeError> {
    if name.is_empty() || name.eq_ignore_ascii_case("utc") || name == "Z" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| TimeError {
        parameter: "tz",
        start: 0,
        end: name.len(),
        message: format!("there is no time zone `{name}`: write one like `Europe/Berlin`"),
    })
}

/// The range of `from` and `to`. `from` alone may hold both ends; without any it is the `default`
/// before `now`.
///
/// # Errors
///
/// What cannot be read, and an end before its start.
pub fn range(
    from: Option<&str>,
    to: Option<&str>,
    zone: &TimeZone,
    now: Timestamp,
    default: std::time::Duration,
) -> Result<Range, TimeError> {
    let reader = Reader {
        now: now.to_zoned(zone.clone()),
    };
    let from = from.map(str::trim).filter(|text| !text.is_empty());
    let to = to.map(str::trim).filter(|text| !text.is_empty());
    let range = match (from, to) {
        (Some(text), None) => reader.both(text)?,
        (from, to) => {
            let to = match to {
                Some(text) => reader.instant("to", text, 0, Edge::End)?,
                None => now,
            };
            let from = match from {
                Some(text) => reader.instant("from", text, 0, Edge::Start)?,
                None => to
                    .checked_sub(jiff::SignedDuration::try_from(default).unwrap_or_default())
                    .unwrap_or(Timestamp::MIN),
            };
            Range { from, to }
        }
    };
    if range.from >= range.to {
        let parameter = if to.is_some() { "to" } else { "from" };
        return Err(TimeError {
            parameter,
            start: 0,
            end: to.or(from).map_or(0, str::len),
            message: format!(
                "the range ends ({}) before it starts ({})",
                range.to, range.from
            ),
        });
    }
    Ok(range)
}

struct Reader {
    now: Zoned,
}

impl Reader {
    /// `from` without `to`.
    fn both(&self, text: &str) -> Result<Range, TimeError> {
        for separator in [" - ", " – ", " to ", ".."] {
            if let Some((from, to)) = text.split_once(separator) {
                let at = from.len() + separator.len();
                return self.two(from, to, at);
            }
        }
        // `14:00-15:00` behind anything: dates have dashes too, times of day have none.
        if let Some((from, to)) = text.rsplit_once('-')
            && is_time_of_day(to)
            && from.rsplit([' ', 'T']).next().is_some_and(is_time_of_day)
        {
            return self.two(from, to, from.len() + 1);
        }
        let lower = text.to_lowercase();
        if let Some(age) = lower.strip_prefix("last ") {
            // Lower case may be longer in rare scripts.
            let at = text.len().saturating_sub(age.len());
            let from = self.instant("from", age.trim(), at, Edge::Start)?;
            return Ok(Range {
                from,
                to: self.now.timestamp(),
            });
        }
        if let Some(day) = self.day(&lower) {
            let day = self.zoned("from", text, 0, day.at(0, 0, 0, 0))?;
            let end = day.checked_add(1.day()).unwrap_or_else(|_| day.clone());
            return Ok(Range {
                from: day.timestamp(),
                to: end.timestamp(),
            });
        }
        let from = self.instant("from", text, 0, Edge::Start)?;
        Ok(Range {
            from,
            to: self.now.timestamp(),
        })
    }

    fn two(&self, from: &str, to: &str, to_at: usize) -> Result<Range, TimeError> {
        let from = from.trim();
        let start = self.instant("from", from, 0, Edge::Start)?;
        let to = to.trim();
        // A time of day alone is of the day that the range starts on.
        if let Some(time) = time_of_day(to) {
            let day = start.to_zoned(self.now.time_zone().clone()).date();
            let mut end = self.zoned("from", to, to_at, day.to_datetime(time))?;
            if end.timestamp() <= start {
                end = end.checked_add(1.day()).unwrap_or(end);
            }
            return Ok(Range {
                from: start,
                to: end.timestamp(),
            });
        }
        let end = self.instant("from", to, to_at, Edge::End)?;
        Ok(Range {
            from: start,
            to: end,
        })
    }

    /// One point in time; `at` is where `text` stands in the parameter.
    fn instant(
        &self,
        parameter: &'static str,
        text: &str,
        at: usize,
        edge: Edge,
    ) -> Result<Timestamp, TimeError> {
        let lower = text.to_lowercase();
        if let Some(math) = lower.strip_prefix("now") {
            return self.math(parameter, math, at + 3, edge);
        }
        if let Some(time) = epoch(text) {
            return Ok(time);
        }
        let age = lower.trim_start_matches('-');
        let age = age.strip_suffix(" ago").unwrap_or(age).trim_end();
        if let Some(span) = span(age) {
            return self.before(parameter, span, at, text);
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(time);
        }
        if let Some(day) = self.day(&lower) {
            let day = match edge {
                Edge::Start => Some(day),
                Edge::End => day.tomorrow().ok(),
            };
            let day = day.ok_or_else(|| unreadable(parameter, text, at))?;
            return Ok(self
                .zoned(parameter, text, at, day.at(0, 0, 0, 0))?
                .timestamp());
        }
        if let Some((day, time)) = lower.rsplit_once([' ', 't'])
            && let (Some(day), Some(time)) = (self.day(day.trim()), time_of_day(time))
        {
            let time = self.zoned(parameter, text, at, day.to_datetime(time))?;
            return Ok(time.timestamp());
        }
        if let Some(time) = time_of_day(text) {
            let today = self.zoned(parameter, text, at, self.now.date().to_datetime(time))?;
            // A time that has not come yet is yesterday's.
            let point = if today > self.now && edge == Edge::Start {
                today.checked_sub(1.day()).unwrap_or(today)
            } else {
                today
            };
            return Ok(point.timestamp());
        }
        Err(unreadable(parameter, text, at))
    }

    /// What follows `now`: `-15m`, `+1h`, `/d`, in any number.
    fn math(
        &self,
        parameter: &'static str,
        text: &str,
        at: usize,
        edge: Edge,
    ) -> Result<Timestamp, TimeError> {
        let mut time = self.now.clone();
        let mut rest = text.trim();
        let wrong = |rest: &str| TimeError {
            parameter,
            start: at + text.len() - rest.len(),
            end: at + text.len(),
            message: "cannot read what follows `now`: write `now-15m`, `now-1d/d`".to_owned(),
        };
        while let Some(sign) = rest.chars().next() {
            let body = rest.get(1..).unwrap_or_default();
            let end = body.find(['+', '-', '/']).unwrap_or(body.len());
            let (term, next) = body.split_at(end);
            let term = term.trim();
            let changed = match sign {
                '+' => span(term).and_then(|span| time.checked_add(span).ok()),
                '-' => span(term).and_then(|span| time.checked_sub(span).ok()),
                '/' => floor(&time, term, edge),
                _ => None,
            };
            time = changed.ok_or_else(|| wrong(rest))?;
            rest = next;
        }
        Ok(time.timestamp())
    }

    fn before(
        &self,
        parameter: &'static str,
        span: Span,
        at: usize,
        text: &str,
    ) -> Result<Timestamp, TimeError> {
        let time = self.now.checked_sub(span);
        time.map(|time| time.timestamp())
            .map_err(|_| unreadable(parameter, text, at))
    }

    fn zoned(
        &self,
        parameter: &'static str,
        text: &str,
        at: usize,
        time: DateTime,
    ) -> Result<Zoned, TimeError> {
        time.to_zoned(self.now.time_zone().clone())
            .map_err(|_| unreadable(parameter, text, at))
    }

    /// A date, `today`, `yesterday`, or the last day of that name.
    fn day(&self, lower: &str) -> Option<Date> {
        let today = self.now.date();
        let weekday = match lower {
            "today" => return Some(today),
            "yesterday" => return today.yesterday().ok(),
            "monday" => Weekday::Monday,
            "tuesday" => Weekday::Tuesday,
            "wednesday" => Weekday::Wednesday,
            "thursday" => Weekday::Thursday,
            "friday" => Weekday::Friday,
            "saturday" => Weekday::Saturday,
            "sunday" => Weekday::Sunday,
            _ => {
                let is_date =
                    lower.len() == 10 && lower.bytes().all(|b| b.is_ascii_digit() || b == b'-');
                return is_date.then(|| lower.parse().ok()).flatten();
            }
        };
        today.nth_weekday(-1, weekday).ok()
    }
}

fn unreadable(parameter: &'static str, text: &str, at: usize) -> TimeError {
    TimeError {
        parameter,
        start: at,
        end: at + text.len(),
        message: format!("cannot read the time `{text}`: {FORMS}"),
    }
}

/// Seconds (9 to 11 digits) or milliseconds (12 to 14) since the epoch.
fn epoch(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    match text.len() {
        9..=11 => Timestamp::from_second(number).ok(),
        12..=14 => Timestamp::from_millisecond(number).ok(),
        _ => None,
    }
}

/// `2h30m`, `7d`, `1w`; lower case, but `M` for months came as `mo`.
fn span(text: &str) -> Option<Span> {
    let mut span = Span::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let number: i64 = number.parse().ok()?;
        let tail = tail.trim_start();
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(letters);
        let added = match unit {
            "ms" => span.try_milliseconds(span.get_milliseconds().checked_add(number)?),
            "s" | "sec" | "second" | "seconds" => {
                span.try_seconds(span.get_seconds().checked_add(number)?)
            }
            "m" | "min" | "minute" | "minutes" => {
                span.try_minutes(span.get_minutes().checked_add(number)?)
            }
            "h" | "hour" | "hours" => {
                span.try_hours(i64::from(span.get_hours()).checked_add(number)?)
            }
            "d" | "day" | "days" => span.try_days(i64::from(span.get_days()).checked_add(number)?),
            "w" | "week" | "weeks" => {
                span.try_weeks(i64::from(span.get_weeks()).checked_add(number)?)
            }
            "mo" | "month" | "months" => {
                span.try_months(i64::from(span.get_months()).checked_add(number)?)
            }
            "y" | "year" | "years" => {
                span.try_years(i64::from(span.get_years()).checked_add(number)?)
            }
            _ => return None,
        };
        span = added.ok()?;
        rest = next.trim_start();
    }
    Some(span)
}

/// Rounds down to a unit; as the end of a range, up to the end of it.
fn floor(time: &Zoned, unit: &str, edge: Edge) -> Option<Zoned> {
    let day = time.start_of_day().ok()?;
    let (start, length) = match unit {
        "s" => (round(time, jiff::Unit::Second)?, 1.second()),
        "m" => (round(time, jiff::Unit::Minute)?, 1.minute()),
        "h" => (round(time, jiff::Unit::Hour)?, 1.hour()),
        "d" => (day, 1.day()),
        "w" => {
            let back = i64::from(time.weekday().to_monday_zero_offset());
            (day.checked_sub(back.days()).ok()?, 1.week())
        }
        "mo" => (day.first_of_month().ok()?, 1.month()),
        "y" => (day.first_of_year().ok()?, 1.year()),
        _ => return None,
    };
    match edge {
        Edge::Start => Some(start),
        Edge::End => start.checked_add(length).ok(),
    }
}

fn round(time: &Zoned, unit: jiff::Unit) -> Option<Zoned> {
    let round = jiff::ZonedRound::new()
        .smallest(unit)
        .mode(jiff::RoundMode::Trunc);
    time.round(round).ok()
}

fn is_time_of_day(text: &str) -> bool {
    time_of_day(text.trim()).is_some()
}

/// `9:30`, `14:00:05`, `14:00:05.250`.
fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?)?;
    let minute = digits(parts.next()?)?;
    let (second, nanos) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
            if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
            (digits(whole)?, nanos)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, nanos).ok()
}

fn digits(text: &str) -> Option<i8> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// `30s`, `5m`, `1h`, `1d` as milliseconds: the width of a bucket.
pub(crate) fn interval_ms(text: &str) -> Option<i64> {
    let span = span(&text.to_lowercase())?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return None;
    }
    let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
    let minutes = (days * 24 + i64::from(span.get_hours()))
        .checked_mul(60)?
        .checked_add(span.get_minutes())?;
    let seconds = minutes.checked_mul(60)?.checked_add(span.get_seconds())?;
    let ms = seconds
        .checked_mul(1000)?
        .checked_add(span.get_milliseconds())?;
    (ms > 0).then_some(ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-11-25T10:30:15.5Z";

    fn read(from: &str, to: &str, tz: &str) -> Result<(String, String), TimeError> {
        let option = |text: &'static str| (!text.is_empty()).then_some(text);
        let (from, to): (&'static str, &'static str) = (
            Box::leak(from.to_owned().into_boxed_str()),
            Box::leak(to.to_owned().into_boxed_str()),
        );
        let range = range(
            option(from),
            option(to),
            &zone(tz)?,
            NOW.parse().unwrap(),
            std::time::Duration::from_secs(900),
        )?;
        Ok((range.from.to_string(), range.to.to_string()))
    }

    #[test]
    fn ranges_are_read() {
        for (from, to, tz, start, end) in [
            ("", "", "UTC", "2026-11-25T10:15:15.5Z", NOW),
            ("2h", "", "UTC", "2026-11-25T08:30:15.5Z", NOW),
            ("2h30m", "", "UTC", "2026-11-25T08:00:15.5Z", NOW),
            ("last 2h", "", "UTC", "2026-11-25T08:30:15.5Z", NOW),
            ("90 minutes ago", "", "UTC", "2026-11-25T09:00:15.5Z", NOW),
            ("now-15m", "now", "UTC", "2026-11-25T10:15:15.5Z", NOW),
            (
                "now-1d/d",
                "now/d",
                "UTC",
                "2026-11-24T00:00:00Z",
                "2026-11-26T00:00:00Z",
            ),
            ("now/h", "", "UTC", "2026-11-25T10:00:00Z", NOW),
            ("now/w", "", "UTC", "2026-11-23T00:00:00Z", NOW),
            (
                "2026-11-25T09:00:00Z",
                "2026-11-25T09:30:00+00:00",
                "UTC",
                "2026-11-25T09:00:00Z",
                "2026-11-25T09:30:00Z",
            ),
            (
                "1764064800000",
                "1764064800001",
                "UTC",
                "2025-11-25T10:00:00Z",
                "2025-11-25T10:00:00.001Z",
            ),
            ("1764064800", "", "UTC", "2025-11-25T10:00:00Z", NOW),
            (
                "yesterday",
                "",
                "UTC",
                "2026-11-24T00:00:00Z",
                "2026-11-25T00:00:00Z",
            ),
            (
                "today",
                "",
                "Europe/Berlin",
                "2026-11-24T23:00:00Z",
                "2026-11-25T23:00:00Z",
            ),
            (
                "2026-11-20",
                "",
                "UTC",
                "2026-11-20T00:00:00Z",
                "2026-11-21T00:00:00Z",
            ),
            (
                "2026-11-20",
                "2026-11-21",
                "UTC",
                "2026-11-20T00:00:00Z",
                "2026-11-22T00:00:00Z",
            ),
            (
                "yesterday 14:00-15:00",
                "",
                "Europe/Berlin",
                "2026-11-24T13:00:00Z",
                "2026-11-24T14:00:00Z",
            ),
            (
                "2026-11-20 14:00 - 2026-11-21 15:00",
                "",
                "UTC",
                "2026-11-20T14:00:00Z",
                "2026-11-21T15:00:00Z",
            ),
            (
                "2026-11-20T14:00..15:30",
                "",
                "UTC",
                "2026-11-20T14:00:00Z",
                "2026-11-20T15:30:00Z",
            ),
            (
                "23:00-01:00",
                "",
                "UTC",
                "2026-11-24T23:00:00Z",
                "2026-11-25T01:00:00Z",
            ),
            ("9:30", "", "UTC", "2026-11-25T09:30:00Z", NOW),
            ("monday 8:00", "", "UTC", "2026-11-23T08:00:00Z", NOW),
        ] {
            assert_eq!(
                read(from, to, tz),
                Ok((start.to_owned(), end.to_owned())),
                "{from} | {to}"
            );
        }
    }

    #[test]
    fn errors_say_where() {
        for (from, to, tz, parameter, start, end) in [
            ("soon", "", "UTC", "from", 0, 4),
            ("now-15x", "", "UTC", "from", 3, 7),
            ("1h", "never", "UTC", "to", 0, 5),
            ("1h", "2h", "UTC", "to", 0, 2),
            ("yesterday to never", "", "UTC", "from", 13, 18),
            ("1h", "", "Mars/Olympus", "tz", 0, 12),
            ("99:99", "", "UTC", "from", 0, 5),
        ] {
            let error = read(from, to, tz).unwrap_err();
            assert_eq!(
                (error.parameter, error.start, error.end),
                (parameter, start, end),
                "{from} | {to}: {error}"
            );
        }
    }

    #[test]
    fn intervals_are_read() {
        for (text, ms) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1d", Some(86_400_000)),
            ("250ms", Some(250)),
            ("0s", None),
            ("1y", None),
            ("x", None),
        ] {
            assert_eq!(interval_ms(text), ms, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(from in "\\PC{0,24}|[0-9a-z:/+ .-]{0,24}", to in "[now0-9a-z:/+ -]{0,12}") {
            if let Err(error) = read(&from, &to, "Europe/Berlin") {
                prop_assert!(error.start <= error.end);
            }
        }
    }
}
