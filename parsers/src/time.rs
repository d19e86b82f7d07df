//! Times: the formats that log lines carry, to nanoseconds since the epoch, and back to RFC 3339.
//!
//! Only times that say their zone (or count from the epoch) are taken from lines that no rule
//! describes: a guessed zone would be worse than the runtime's own time.

mod cursor;
mod writer;

pub(crate) use cursor::Cursor;
pub(crate) use writer::TimeWriter;

/// A time read from a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nanoseconds since the epoch, 1970 to April 2262.
    At(i64),
    /// A time, but one that cannot be stored.
    OutOfRange,
}

/// Whether a time without a zone counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// It must say its zone.
    Required,
    /// Without one it is UTC.
    UtcWhenAbsent,
}

const NS: i64 = 1_000_000_000;

/// Days since the epoch of a date of the Gregorian calendar (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// The date of a day since the epoch: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

pub(crate) fn moment(
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
    ns: i64,
    offset: i64,
) -> Option<Moment> {
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + second_of_day - offset;
    if seconds < 0 {
        return Some(Moment::OutOfRange);
    }
    let at = seconds.checked_mul(NS).and_then(|s| s.checked_add(ns));
    Some(at.map_or(Moment::OutOfRange, Moment::At))
}

/// Reads an RFC 3339 time (also with a space for the `T`, a comma before the fraction, an offset
/// without colon). `None` when the text, as a whole, is none.
pub(crate) fn parse_rfc3339(text: &[u8], zone: Zone) -> Option<Moment> {
    let (date, rest) = text.split_first_chunk::<19>()?;
    let marks = [date[4], date[7], date[13], date[16]];
    if marks != *b"--::" || !matches!(date[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = two(date, 0)? * 100 + two(date, 2)?;
    let (month, day) = (two(date, 5)?, two(date, 8)?);
    let second = clock(two(date, 11)?, two(date, 14)?, two(date, 17)?)?;
    let mut cursor = Cursor { text: rest };
    let ns = match cursor.byte(b".,") {
        Some(_) => cursor.fraction()?,
        None => 0,
    };
    if !cursor.text.is_empty() {
        cursor.byte(b" ");
    }
    let offset = match cursor.text {
        [] if zone == Zone::UtcWhenAbsent => 0,
        b"UTC" | b"GMT" => {
            cursor.text = b"";
            0
        }
        _ => cursor.offset()?,
    };
    if !cursor.text.is_empty() {
        return None;
    }
    moment(year, month, day, second, ns, offset)
}

/// Reads a count from the epoch in units of so many nanoseconds, also with a fraction.
pub(crate) fn parse_epoch_unit(text: &[u8], unit_ns: i64) -> Option<Moment> {
    let mut cursor = Cursor { text };
    let n = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=19).contains(&n) {
        return None;
    }
    let whole: i64 = std::str::from_utf8(text.get(..n)?).ok()?.parse().ok()?;
    cursor.text = text.get(n..)?;
    let fraction = match cursor.byte(b".,") {
        Some(_) => cursor.fraction()?,
        None => 0,
    };
    if !cursor.text.is_empty() {
        return None;
    }
    let ns = whole
        .checked_mul(unit_ns)
        .and_then(|ns| ns.checked_add(fraction / (NS / unit_ns)));
    Some(ns.map_or(Moment::OutOfRange, Moment::At))
}

/// Reads the time of Apache's and nginx's access logs, `10/Oct/2000:13:55:36 -0700`.
pub(crate) fn parse_access_log(text: &[u8]) -> Option<Moment> {
    let (date, offset) = text.split_first_chunk::<21>()?;
    let marks = [date[2], date[6], date[11], date[14], date[17], date[20]];
    if marks != *b"//::: " {
        return None;
    }
    let month = month_of(&date[3..6])?;
    let year = two(date, 7)? * 100 + two(date, 9)?;
    let second = clock(two(date, 12)?, two(date, 15)?, two(date, 18)?)?;
    let mut cursor = Cursor { text: offset };
    let offset = cursor.offset()?;
    if !cursor.text.is_empty() {
        return None;
    }
    moment(year, month, two(date, 0)?, second, 0, offset)
}

/// The number that two digits at a place are. Times have their digits at fixed places: nothing
/// is searched (`nginx` and `json` of `make bench-rules`).
#[inline(always)]
fn two<const N: usize>(text: &[u8; N], at: usize) -> Option<i64> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

/// Seconds of the day; a leap second counts as the one after it.
#[inline(always)]
fn clock(hour: i64, minute: i64, second: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second < 61).then_some(hour * 3600 + minute * 60 + second)
}

/// Reads a count from the epoch; seconds (with a fraction), milli-, micro- or nanoseconds follow
/// from its size. Counts below 10^8 seconds (1973) are taken for something else: a duration, say.
pub(crate) fn parse_epoch(text: &[u8]) -> Option<Moment> {
    let n = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(9..=19).contains(&n) {
        return parse_epoch_float(text);
    }
    let mut cursor = Cursor { text };
    let mut whole: i64 = 0;
    for &digit in &text[..n] {
        whole = whole
            .checked_mul(10)?
            .checked_add(i64::from(digit - b'0'))?;
    }
    cursor.text = &text[n..];
    let fraction = match cursor.byte(b".") {
        Some(_) => cursor.fraction()?,
        None => 0,
    };
    if !cursor.text.is_empty() {
        return parse_epoch_float(text);
    }
    // 10^8 s is 1973, 10^11 s the year 5138, which is 10^11 ms = 1973 again.
    let unit = match whole {
        0..100_000_000 => return None,
        100_000_000..100_000_000_000 => NS,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let ns = whole
        .checked_mul(unit)
        .and_then(|ns| ns.checked_add(fraction / (NS / unit)));
    Some(ns.map_or(Moment::OutOfRange, Moment::At))
}

/// `1.7e9`, as zap writes it at times.
fn parse_epoch_float(text: &[u8]) -> Option<Moment> {
    if text.len() > 40 || !text.iter().any(|b| matches!(b, b'e' | b'E')) {
        return None;
    }
    let seconds: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let in_range = (1e8..9.2e9).contains(&seconds);
    in_range.then_some(Moment::At((seconds * 1e9) as i64))
}

/// The month of an English name of three letters, in any case, at the front of a text.
pub(crate) fn month_of(text: &[u8]) -> Option<i64> {
    let name = text.first_chunk::<3>()?.map(|b| b.to_ascii_lowercase());
    Some(match &name {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => 3,
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    })
}

/// The time of a date without a year: in the latest year that brings it at most a day after
/// `near_ns`, which is in `near_year`, for logs tell what has happened. `in_year` gives the time in
/// a year, if the date is one there: 29 February needs a leap year near.
pub(crate) fn without_year(
    near_ns: i64,
    near_year: i64,
    in_year: impl Fn(i64) -> Option<Moment>,
) -> Option<Moment> {
    let latest = near_ns.saturating_add(86_400 * NS);
    let mut first = None;
    for year in (near_year - 4..=near_year + 1).rev() {
        let Some(candidate) = in_year(year) else {
            continue;
        };
        first = first.or(Some(candidate));
        match candidate {
            Moment::At(at) if at <= latest => return Some(candidate),
            _ => {}
        }
    }
    first
}

fn year_of(ns: i64) -> i64 {
    civil_from_days(ns.div_euclid(NS).div_euclid(86_400)).0
}

/// Reads the time of klog, `0102 03:04:05.678901`, as a whole, in UTC; the year is that nearest
/// to `near_ns`.
pub(crate) fn parse_klog(text: &[u8], near_ns: i64) -> Option<Moment> {
    let mut cursor = Cursor { text };
    let (month, day) = (cursor.digits(2)?, cursor.digits(2)?);
    let (second, ns) = cursor.klog_clock()?;
    without_year(near_ns, year_of(near_ns), |year| {
        moment(year, month, day, second, ns, 0)
    })
}

/// Reads the time of glog, `20240102 03:04:05.678901`, as a whole, in UTC.
pub(crate) fn parse_glog(text: &[u8]) -> Option<Moment> {
    let mut cursor = Cursor { text };
    let (year, month, day) = (cursor.digits(4)?, cursor.digits(2)?, cursor.digits(2)?);
    let (second, ns) = cursor.klog_clock()?;
    moment(year, month, day, second, ns, 0)
}

/// Reads the time at the front of a syslog line, and gives its length: `Jan  2 03:04:05`, also
/// with a year before or a fraction after the clock, or RFC 3339. Without a zone it is UTC; without
/// a year that nearest to `near_ns`.
pub(crate) fn parse_syslog(text: &[u8], near_ns: i64) -> Option<(Moment, usize)> {
    if text.first().is_some_and(u8::is_ascii_digit) {
        let length = memchr::memchr(b' ', text).unwrap_or(text.len());
        let moment = parse_rfc3339(text.get(..length)?, Zone::UtcWhenAbsent)?;
        return Some((moment, length));
    }
    let mut cursor = Cursor { text };
    let month = month_of(cursor.text)?;
    cursor.text = cursor.text.get(3..)?;
    cursor.byte(b" ")?;
    cursor.byte(b" ");
    let day = match cursor.text {
        [_, b' ', ..] => cursor.digits(1)?,
        _ => cursor.digits(2)?,
    };
    cursor.byte(b" ")?;
    let mut year = None;
    if let [_, _, _, _, b' ', ..] = cursor.text {
        year = Some(cursor.digits(4)?);
        cursor.byte(b" ")?;
    }
    let second = cursor.clock()?;
    let ns = match cursor.text {
        [b'.', digit, ..] if digit.is_ascii_digit() => {
            cursor.byte(b".")?;
            cursor.fraction()?
        }
        _ => 0,
    };
    let mut offset = 0;
    for zone in [&b" UTC"[..], b" GMT", b"Z"] {
        if let Some(rest) = cursor.text.strip_prefix(zone) {
            cursor.text = rest;
            break;
        }
    }
    if let [b'+' | b'-', ..] = cursor.text {
        let length = memchr::memchr(b' ', cursor.text).unwrap_or(cursor.text.len());
        let mut zone = Cursor {
            text: cursor.text.get(..length)?,
        };
        offset = zone.offset()?;
        cursor.text = cursor.text.get(length..)?;
    }
    // What goes on without a break is something else.
    if !matches!(cursor.text.first(), None | Some(b' ' | b':')) {
        return None;
    }
    let length = text.len() - cursor.text.len();
    let moment = match year {
        Some(year) => moment(year, month, day, second, ns, offset)?,
        None => {
            let in_year = |year| moment(year, month, day, second, ns, offset);
            without_year(near_ns, year_of(near_ns), in_year)?
        }
    };
    Some((moment, length))
}

/// Reads times that servers write without a zone, in UTC: `2021/04/01 13:02:31.5` (nginx, Go),
/// `02 Jan 2024 03:04:05.678` and `02-Jan-2024 03:04:05.678` (Redis, Tomcat),
/// `10/Oct/2000:13:55:36.123` (HAProxy), `Tue Jun 08 11:54:08.929301 2021` (Apache, ctime),
/// `20240102 03:04:05`, `2024-01-02T03:04:05,123` and these with ` UTC` behind.
fn parse_other(text: &[u8]) -> Option<Moment> {
    let text = text.strip_suffix(b" UTC").unwrap_or(text);
    let mut cursor = Cursor { text };
    let (year, month, day);
    match text {
        [a, b, c, d, b'/', ..] if [a, b, c, d].iter().all(|b| b.is_ascii_digit()) => {
            year = cursor.digits(4)?;
            cursor.byte(b"/")?;
            month = cursor.digits(2)?;
            cursor.byte(b"/")?;
            day = cursor.digits(2)?;
            cursor.byte(b" T")?;
        }
        [a, b, separator @ (b' ' | b'-' | b'/'), ..]
            if a.is_ascii_digit() && b.is_ascii_digit() =>
        {
            day = cursor.digits(2)?;
            cursor.byte(&[*separator])?;
            month = month_of(cursor.text)?;
            cursor.text = cursor.text.get(3..)?;
            cursor.byte(&[*separator])?;
            year = cursor.digits(4)?;
            cursor.byte(b" :")?;
        }
        [a, ..] if a.is_ascii_alphabetic() => {
            cursor.text = text.get(4..)?;
            month = month_of(cursor.text)?;
            cursor.text = cursor.text.get(4..)?;
            day = match cursor.text {
                [b' ', ..] => {
                    cursor.byte(b" ")?;
                    cursor.digits(1)?
                }
                _ => cursor.digits(2)?,
            };
            cursor.byte(b" ")?;
            let second = cursor.clock()?;
            let ns = match cursor.byte(b".") {
                Some(_) => cursor.fraction()?,
                None => 0,
            };
            cursor.byte(b" ")?;
            year = cursor.digits(4)?;
            return match cursor.text {
                [] => moment(year, month, day, second, ns, 0),
                _ => None,
            };
        }
        _ => {
            year = cursor.digits(4)?;
            month = cursor.digits(2)?;
            day = cursor.digits(2)?;
            cursor.byte(b" T-")?;
        }
    }
    let second = cursor.clock()?;
    let ns = match cursor.byte(b".,") {
        Some(_) => cursor.fraction()?,
        None => 0,
    };
    match cursor.text {
        [] => moment(year, month, day, second, ns, 0),
        _ => None,
    }
}

/// Reads any of the formats above: the type `time` of rules.
pub(crate) fn parse_any(text: &[u8]) -> Option<Moment> {
    parse_rfc3339(text, Zone::UtcWhenAbsent)
        .or_else(|| parse_access_log(text))
        .or_else(|| parse_epoch(text))
        .or_else(|| parse_other(text))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read() {
        let at = |text: &str| {
            Some(Moment::At(
                text.parse::<Timestamp>().unwrap().as_nanosecond() as i64,
            ))
        };
        let check =
            |text: &str, expected| assert_eq!(parse_any(text.as_bytes()), expected, "{text}");
        check("2024-01-02T03:04:05Z", at("2024-01-02T03:04:05Z"));
        check(
            "2024-01-02 03:04:05,123 +0200",
            at("2024-01-02T01:04:05.123Z"),
        );
        check(
            "2024-01-02T03:04:05.1234567891-05:30",
            at("2024-01-02T08:34:05.123456789Z"),
        );
        check("2024-02-29T00:00:00+02", at("2024-02-28T22:00:00Z"));
        check("2023-02-29T00:00:00Z", None);
        check("2024-01-02T24:00:00Z", None);
        check("2024-01-02T03:04:05.Z", None);
        check("2024-01-02T03:04:05Zx", None);
        check("0001-01-01T00:00:00Z", Some(Moment::OutOfRange));
        check("9999-12-31T23:59:59Z", Some(Moment::OutOfRange));
        check("1970-01-01T00:00:00Z", Some(Moment::At(0)));
        check("1970-01-01T00:00:00+01:00", Some(Moment::OutOfRange));
        check("10/Oct/2000:13:55:36 -0700", at("2000-10-10T20:55:36Z"));
        check("10/Okt/2000:13:55:36 -0700", None);
        check("1700000000", Some(Moment::At(1_700_000_000 * NS)));
        check(
            "1700000000.25",
            Some(Moment::At(1_700_000_000 * NS + NS / 4)),
        );
        check("1700000000123", Some(Moment::At(1_700_000_000_123_000_000)));
        check(
            "1700000000123.5",
            Some(Moment::At(1_700_000_000_123_500_000)),
        );
        check(
            "1700000000123456",
            Some(Moment::At(1_700_000_000_123_456_000)),
        );
        check(
            "1700000000123456789",
            Some(Moment::At(1_700_000_000_123_456_789)),
        );
        check("1.7e9", Some(Moment::At(1_700_000_000 * NS)));
        check("0.25", None);
        check("12", None);
        check("", None);
        check("-", None);
        assert_eq!(parse_rfc3339(b"2024-01-02T03:04:05", Zone::Required), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_jiff_reads_and_what_is_read_again(ns in 0i64..=i64::MAX) {
            let mut out = Vec::new();
            out.extend_from_slice(&TimeWriter::new().nanos(ns));
            let text = std::str::from_utf8(&out).unwrap();
            prop_assert_eq!(text.parse::<Timestamp>().unwrap().as_nanosecond(), i128::from(ns));
            prop_assert_eq!(parse_rfc3339(&out, Zone::Required), Some(Moment::At(ns)));
            out.clear();
            out.extend_from_slice(&TimeWriter::new().millis(ns));
            let text = std::str::from_utf8(&out).unwrap();
            prop_assert_eq!(text.parse::<Timestamp>().unwrap().as_millisecond(), ns / 1_000_000);
        }

        #[test]
        fn offsets_agree_with_jiff(ns in 86_400_000_000_000i64..=i64::MAX - 86_400_000_000_000, minutes in -839i32..=839) {
            let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(minutes * 60).unwrap());
            let time = Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_zoned(zone);
            let text = time.strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string();
            prop_assert_eq!(parse_rfc3339(text.as_bytes(), Zone::Required), Some(Moment::At(ns)));
        }

        #[test]
        fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_any(&text);
        }
    }
}
