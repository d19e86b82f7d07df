//! Times in formats that authors describe with `%` conversions, as `strptime` reads them.
//!
//! Read without allocation; what the format leaves out (zone, year, date) comes from the rule and
//! from the runtime's time of the record.

use jiff::civil;
use jiff::tz::TimeZone;

use crate::time::{
    Cursor, Moment, days_in_month, moment, month_of, parse_epoch_unit, without_year,
};

/// A compiled format.
#[derive(Debug, Clone)]
pub(crate) struct TimeFormat {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(u8),
    /// White space, or none.
    Space,
    Year,
    /// Two digits: 69 to 99 are the last century.
    YearOfCentury,
    Month,
    MonthName,
    Day,
    DayOfYear,
    WeekdayName,
    Hour,
    Hour12,
    Meridiem,
    Minute,
    Second,
    /// Digits of a second, as many as there are.
    Fraction,
    /// A point or comma and digits, or nothing.
    OptionalFraction,
    Offset,
    ZoneName,
    /// Since the epoch: nanoseconds of one.
    Epoch(i64),
}

/// What stands in a time, as far as it is known.
#[derive(Debug, Default)]
struct Parts {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    hour12: Option<i64>,
    is_pm: Option<bool>,
    minute: i64,
    second: i64,
    ns: i64,
    offset: Option<i64>,
}

impl TimeFormat {
    /// Compiles a format.
    ///
    /// # Errors
    ///
    /// The conversion that is not known.
    pub(crate) fn compile(text: &str) -> Result<TimeFormat, String> {
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            if c.is_ascii_whitespace() {
                parts.push(Part::Space);
                continue;
            }
            if c != '%' {
                parts.extend(c.to_string().bytes().map(Part::Literal));
                continue;
            }
            let mut conversion = characters.next().unwrap_or('%');
            // Padding says how a time is written; reading takes either.
            while matches!(
                conversion,
                '-' | '_' | '0' | ':' | '^' | '#' | '3' | '6' | '9'
            ) {
                conversion = characters.next().unwrap_or('%');
            }
            if conversion == '.' {
                conversion = characters.next().unwrap_or('%');
                while conversion.is_ascii_digit() {
                    conversion = characters.next().unwrap_or('%');
                }
                if conversion != 'f' {
                    return Err("`%.` must be `%.f`".to_owned());
                }
                parts.push(Part::OptionalFraction);
                continue;
            }
            use Part::*;
            match conversion {
                'Y' | 'G' => parts.push(Year),
                'y' => parts.push(YearOfCentury),
                'm' => parts.push(Month),
                'b' | 'B' | 'h' => parts.push(MonthName),
                'd' | 'e' => parts.push(Day),
                'j' => parts.push(DayOfYear),
                'a' | 'A' => parts.push(WeekdayName),
                'H' | 'k' => parts.push(Hour),
                'I' | 'l' => parts.push(Hour12),
                'p' | 'P' => parts.push(Meridiem),
                'M' => parts.push(Minute),
                'S' => parts.push(Second),
                'f' | 'L' | 'N' => parts.push(Fraction),
                'z' => parts.push(Offset),
                'Z' => parts.push(ZoneName),
                's' => parts.push(Epoch(1_000_000_000)),
                'n' | 't' => parts.push(Space),
                '%' => parts.push(Literal(b'%')),
                'F' => parts.extend([Year, Literal(b'-'), Month, Literal(b'-'), Day]),
                'D' => parts.extend([Month, Literal(b'/'), Day, Literal(b'/'), YearOfCentury]),
                'T' => parts.extend([Hour, Literal(b':'), Minute, Literal(b':'), Second]),
                'R' => parts.extend([Hour, Literal(b':'), Minute]),
                other => return Err(format!("`%{other}` is no known conversion")),
            }
        }
        Ok(TimeFormat { parts })
    }

    /// A count since the epoch, in units of so many nanoseconds.
    pub(crate) fn epoch(unit_ns: i64) -> TimeFormat {
        let parts = vec![Part::Epoch(unit_ns)];
        TimeFormat { parts }
    }

    /// Reads a time that is the whole text. `zone` is for times that name none; `near_ns` tells
    /// the year (and the day) of those that do not: the latest one that is not more than a day
    /// ahead of it.
    pub(crate) fn parse(&self, text: &[u8], zone: &TimeZone, near_ns: i64) -> Option<Moment> {
        let mut cursor = Cursor {
            text: text.trim_ascii(),
        };
        let mut found = Parts::default();
        for part in &self.parts {
            match part {
                Part::Literal(byte) => {
                    cursor.byte(std::slice::from_ref(byte))?;
                }
                Part::Space => cursor.text = cursor.text.trim_ascii_start(),
                Part::Year => found.year = Some(cursor.digits(4)?),
                Part::YearOfCentury => {
                    let year = cursor.digits(2)?;
                    found.year = Some(if year < 69 { 2000 + year } else { 1900 + year });
                }
                Part::Month => found.month = Some(cursor.number(2)?),
                Part::MonthName => found.month = Some(month_name(&mut cursor)?),
                Part::Day => found.day = Some(cursor.number(2)?),
                Part::DayOfYear => found.day_of_year = Some(cursor.number(3)?),
                Part::WeekdayName => letters(&mut cursor)?,
                Part::Hour => found.hour = cursor.number(2)?,
                Part::Hour12 => found.hour12 = Some(cursor.number(2)?),
                Part::Meridiem => {
                    let (word, rest) = cursor.text.split_first_chunk::<2>()?;
                    found.is_pm = match word.map(|b| b.to_ascii_lowercase()) {
                        [b'a', b'm'] => Some(false),
                        [b'p', b'm'] => Some(true),
                        _ => return None,
                    };
                    cursor.text = rest;
                }
                Part::Minute => found.minute = cursor.number(2)?,
                Part::Second => found.second = cursor.number(2)?,
                Part::Fraction => found.ns = cursor.fraction()?,
                Part::OptionalFraction => {
                    if cursor.byte(b".,").is_some() {
                        found.ns = cursor.fraction()?;
                    }
                }
                Part::Offset => {
                    cursor.text = cursor.text.trim_ascii_start();
                    found.offset = Some(cursor.offset_before_more()?);
                }
                Part::ZoneName => found.offset = Some(zone_name(&mut cursor)?),
                Part::Epoch(unit) => return parse_epoch_unit(cursor.text, *unit),
            }
        }
        if !cursor.text.is_empty() {
            return None;
        }
        found.resolve(zone, near_ns)
    }
}

impl Parts {
    fn resolve(self, zone: &TimeZone, near_ns: i64) -> Option<Moment> {
        let hour = match (self.hour12, self.is_pm) {
            (Some(hour), is_pm) if (1..=12).contains(&hour) => {
                hour % 12 + if is_pm == Some(true) { 12 } else { 0 }
            }
            (Some(_), _) => return None,
            (None, _) => self.hour,
        };
        if hour > 23 || self.minute > 59 || self.second > 60 {
            return None;
        }
        let second_of_day = hour * 3600 + self.minute * 60 + self.second;
        let near = jiff::Timestamp::from_nanosecond(i128::from(near_ns))
            .ok()?
            .to_zoned(zone.clone());
        let try_year = |year: i64| -> Option<Moment> {
            let (month, day) = match (self.day_of_year, self.month, self.day) {
                (Some(day), None, _) => from_day_of_year(year, day)?,
                (_, Some(month), day) => (month, day.unwrap_or(1)),
                // A clock alone is of the record's own day.
                (_, None, None) if self.year.is_none() => {
                    (i64::from(near.month()), i64::from(near.day()))
                }
                (_, None, day) => (1, day.unwrap_or(1)),
            };
            let offset = match self.offset {
                Some(offset) => offset,
                None => offset_of(zone, year, month, day, second_of_day)?,
            };
            moment(year, month, day, second_of_day, self.ns, offset)
        };
        if let Some(year) = self.year {
            return try_year(year);
        }
        without_year(near_ns, i64::from(near.year()), try_year)
    }
}

/// Seconds east of Greenwich of a local time in a zone; of two (when clocks go back) the earlier.
fn offset_of(zone: &TimeZone, year: i64, month: i64, day: i64, second_of_day: i64) -> Option<i64> {
    if let Ok(offset) = zone.to_fixed_offset() {
        return Some(i64::from(offset.seconds()));
    }
    let date = civil::date(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok().filter(|m| (1..=12).contains(m))?,
        i8::try_from(day)
            .ok()
            .filter(|_| (1..=days_in_month(year, month)).contains(&day))?,
    );
    let (hour, minute, second) = (
        second_of_day / 3600,
        second_of_day / 60 % 60,
        (second_of_day % 60).min(59),
    );
    let time = date.at(hour as i8, minute as i8, second as i8, 0);
    // Not the zone's own offset: an hour that clocks skip is read as if they had not yet.
    let at = zone.to_ambiguous_timestamp(time).compatible().ok()?;
    let utc = TimeZone::UTC
        .to_ambiguous_timestamp(time)
        .compatible()
        .ok()?;
    Some(utc.as_second() - at.as_second())
}

fn from_day_of_year(year: i64, mut day: i64) -> Option<(i64, i64)> {
    for month in 1..=12 {
        let n = days_in_month(year, month);
        if day <= n {
            return (day > 0).then_some((month, day));
        }
        day -= n;
    }
    None
}

/// Passes over a word.
fn letters(cursor: &mut Cursor<'_>) -> Option<()> {
    let n = cursor
        .text
        .iter()
        .take_while(|b| b.is_ascii_alphabetic())
        .count();
    cursor.text = cursor.text.get(n..)?;
    (n >= 2).then_some(())
}

fn month_name(cursor: &mut Cursor<'_>) -> Option<i64> {
    const REST: [&[u8]; 12] = [
        b"uary", b"ruary", b"ch", b"il", b"", b"e", b"y", b"ust", b"tember", b"ober", b"ember",
        b"ember",
    ];
    let (name, rest) = cursor.text.split_first_chunk::<3>()?;
    let name = [
        name[0].to_ascii_uppercase(),
        name[1].to_ascii_lowercase(),
        name[2].to_ascii_lowercase(),
    ];
    let month = month_of(&name)?;
    let long = *REST.get(month as usize - 1)?;
    cursor.text = match rest.get(..long.len()) {
        Some(found) if found.eq_ignore_ascii_case(long) => rest.get(long.len()..)?,
        _ => rest,
    };
    Some(month)
}

/// The zone names that mean one thing everywhere, and the American ones as RFC 2822 has them.
fn zone_name(cursor: &mut Cursor<'_>) -> Option<i64> {
    let n = cursor
        .text
        .iter()
        .take_while(|b| b.is_ascii_alphabetic())
        .count();
    let (name, rest) = cursor.text.split_at(n);
    let hours = match name {
        b"Z" | b"UTC" | b"GMT" | b"UT" | b"WET" => 0,
        b"CET" | b"MEZ" => 1,
        b"CEST" | b"MESZ" | b"EET" => 2,
        b"EEST" | b"MSK" => 3,
        b"JST" | b"KST" => 9,
        b"EDT" => -4,
        b"EST" | b"CDT" => -5,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        _ => return None,
    };
    cursor.text = rest;
    Some(hours * 3600)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn read(format: &str, text: &str, zone: &str, near: &str) -> Option<String> {
        let format = TimeFormat::compile(format).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let near = near.parse::<Timestamp>().unwrap().as_nanosecond() as i64;
        match format.parse(text.as_bytes(), &zone, near)? {
            Moment::At(ns) => Some(
                Timestamp::from_nanosecond(i128::from(ns))
                    .unwrap()
                    .to_string(),
            ),
            Moment::OutOfRange => Some("out of range".to_owned()),
        }
    }

    #[test]
    fn formats_are_read() {
        let check = |format: &str, text: &str, zone: &str, expected: Option<&str>| {
            assert_eq!(
                read(format, text, zone, "2024-06-01T12:00:00Z").as_deref(),
                expected,
                "{format} on {text}"
            );
        };
        check(
            "%Y-%m-%d %H:%M:%S%.f",
            "2024-05-01 10:00:00,123",
            "UTC",
            Some("2024-05-01T10:00:00.123Z"),
        );
        check(
            "%Y-%m-%d %H:%M:%S%.f",
            "2024-05-01 10:00:00",
            "UTC",
            Some("2024-05-01T10:00:00Z"),
        );
        check(
            "%d/%b/%Y:%H:%M:%S %z",
            "10/Oct/2023:13:55:36 +0200",
            "UTC",
            Some("2023-10-10T11:55:36Z"),
        );
        check(
            "%FT%T.%L%z",
            "2024-05-01T10:00:00.5-05:30",
            "UTC",
            Some("2024-05-01T15:30:00.5Z"),
        );
        check(
            "%b %e %H:%M:%S",
            "May  1 10:00:00",
            "UTC",
            Some("2024-05-01T10:00:00Z"),
        );
        check(
            "%a %b %d %H:%M:%S %Y",
            "Wed May 01 10:00:00 2024",
            "Europe/Berlin",
            Some("2024-05-01T08:00:00Z"),
        );
        check(
            "%m/%d/%y %I:%M:%S %p",
            "5/1/24 12:30:00 AM",
            "America/New_York",
            Some("2024-05-01T04:30:00Z"),
        );
        check(
            "%d %B %Y %H:%M",
            "1 September 2023 07:05",
            "UTC",
            Some("2023-09-01T07:05:00Z"),
        );
        check("%H:%M:%S", "10:00:01", "UTC", Some("2024-06-01T10:00:01Z"));
        check("%Y-%j", "2024-060", "UTC", Some("2024-02-29T00:00:00Z"));
        check(
            "%Y-%m-%d %H:%M:%S %Z",
            "2024-05-01 10:00:00 CEST",
            "UTC",
            Some("2024-05-01T08:00:00Z"),
        );
        check("%s", "1714557600", "UTC", Some("2024-05-01T10:00:00Z"));
        check("%Y-%m-%d", "2024-02-30", "UTC", None);
        check("%Y-%m-%d", "2024-05-01x", "UTC", None);
        // The hour that clocks skip, and the one they repeat.
        check(
            "%F %T",
            "2024-03-31 02:30:00",
            "Europe/Berlin",
            Some("2024-03-31T01:30:00Z"),
        );
        check(
            "%F %T",
            "2024-10-27 02:30:00",
            "Europe/Berlin",
            Some("2024-10-27T00:30:00Z"),
        );
    }

    #[test]
    fn a_year_that_is_left_out_is_the_nearest() {
        let check = |text: &str, near: &str, expected: &str| {
            let found = read("%b %d %H:%M:%S", text, "UTC", near);
            assert_eq!(found.as_deref(), Some(expected), "{text} near {near}");
        };
        check(
            "Dec 31 23:59:59",
            "2024-01-01T00:00:10Z",
            "2023-12-31T23:59:59Z",
        );
        check(
            "Jan 01 00:00:01",
            "2023-12-31T23:59:59Z",
            "2024-01-01T00:00:01Z",
        );
        check(
            "Jun 15 00:00:00",
            "2024-06-14T12:00:00Z",
            "2024-06-15T00:00:00Z",
        );
        check(
            "Feb 29 00:00:00",
            "2025-03-01T00:00:00Z",
            "2024-02-29T00:00:00Z",
        );
    }

    #[test]
    fn unknown_conversions_are_named() {
        assert!(TimeFormat::compile("%Q").unwrap_err().contains("%Q"));
    }

    proptest! {
        #[test]
        fn what_jiff_writes_is_read(second in 0i64..4_000_000_000, ns in 0i32..1_000_000_000) {
            let time = Timestamp::new(second, ns).unwrap();
            for format in ["%Y-%m-%dT%H:%M:%S%.9f%z", "%a, %d %B %Y %I:%M:%S%.9f %p %z", "%j %y %T%.9f %z"] {
                let text = time.strftime(format).to_string();
                let format = TimeFormat::compile(format).unwrap();
                let expected = Moment::At(time.as_nanosecond() as i64);
                // Two digits of the year reach to 2068.
                if second < 3_000_000_000 {
                    prop_assert_eq!(format.parse(text.as_bytes(), &TimeZone::UTC, 0), Some(expected), "{}", text);
                }
            }
        }

        #[test]
        fn no_text_panics(format in "(%[YmdHMSbzZjyIpfs]|%\\.f|[ :/-]){0,8}", text in "[0-9A-Za-z:+/ .-]{0,30}") {
            if let Ok(format) = TimeFormat::compile(&format) {
                let _ = format.parse(text.as_bytes(), &TimeZone::UTC, 0);
            }
        }
    }
}
