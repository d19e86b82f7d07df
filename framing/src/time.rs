//! RFC 3339 times of the runtimes, to nanoseconds since 1970.
//!
//! Accepts what Go's `RFC3339Nano` writes, in every zone: `2006-01-02T15:04:05[.fraction](Z|±hh:mm)`.
//! Digits behind the ninth are ignored. A leap second counts as the first second after it.

/// Remembers the last second that was computed: lines of one file mostly share it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimeCache {
    prefix: [u8; 19],
    seconds: i64,
}

/// The time was well formed; `None` inside: it does not fit 64 bits of nanoseconds.
pub(crate) type Parsed = Option<i64>;

impl TimeCache {
    /// Parses the whole of `text`; `None` when it is not a time.
    #[inline]
    pub(crate) fn parse(&mut self, text: &[u8]) -> Option<Parsed> {
        let (prefix, rest) = text.split_first_chunk::<19>()?;
        if *prefix != self.prefix {
            self.seconds = seconds(prefix)?;
            self.prefix = *prefix;
        }
        let (nanoseconds, rest) = fraction(rest)?;
        let offset = match rest {
            b"Z" | b"z" => 0,
            _ => zone(rest)?,
        };
        Some(
            (self.seconds - offset)
                .checked_mul(1_000_000_000)
                .and_then(|ns| ns.checked_add(nanoseconds)),
        )
    }
}

/// Parses `[.digits]` at the start of `text`: nanoseconds, and what follows.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = text.split_first() else {
        return Some((0, text));
    };
    let mut value = 0_i64;
    let mut n_digits = 0;
    while let Some(digit) = digits.get(n_digits).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        if n_digits < 9 {
            value = value * 10 + i64::from(digit);
        }
        n_digits += 1;
    }
    for _ in n_digits..9 {
        value *= 10;
    }
    (n_digits > 0).then_some((value, &digits[n_digits..]))
}

/// Parses `±hh:mm` to seconds.
fn zone(text: &[u8]) -> Option<i64> {
    let &[sign, h1, h2, b':', m1, m2] = text else {
        return None;
    };
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// Parses `2006-01-02T15:04:05` to seconds since 1970.
fn seconds(text: &[u8; 19]) -> Option<i64> {
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        mo1,
        mo2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        m1,
        m2,
        b':',
        s1,
        s2,
    ] = text
    else {
        return None;
    };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let (month, day) = (two(mo1, mo2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > days_in_month || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, years from 0 on: the year is
/// counted from March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Value of two digits.
#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_runtimes_are_read_to_the_nanosecond() {
        let cases: &[(&str, Option<Parsed>)] = &[
            ("1970-01-01T00:00:00Z", Some(Some(0))),
            ("1970-01-01T00:00:00.000000001Z", Some(Some(1))),
            ("1970-01-01T00:00:00.000000001z", Some(Some(1))),
            ("1970-01-01T00:00:00.1Z", Some(Some(100_000_000))),
            ("1970-01-01T00:00:00.1234567899Z", Some(Some(123_456_789))),
            ("1969-12-31T23:59:59.5Z", Some(Some(-500_000_000))),
            (
                "2016-10-20T18:39:20.57606443Z",
                Some(Some(1_476_988_760_576_064_430)),
            ),
            ("2000-02-29T00:00:00Z", Some(Some(951_782_400_000_000_000))),
            (
                "2026-01-01T01:30:00+01:30",
                Some(Some(1_767_225_600_000_000_000)),
            ),
            (
                "2025-12-31T16:00:00.000000000-08:00",
                Some(Some(1_767_225_600_000_000_000)),
            ),
            (
                "2016-12-31T23:59:60Z",
                Some(Some(1_483_228_800_000_000_000)),
            ),
            ("9999-01-01T00:00:00Z", Some(None)),
            ("0000-01-01T00:00:00Z", Some(None)),
            ("2023-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-00-01T00:00:00Z", None),
            ("2026-01-32T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01 00:00:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00.Z", None),
            ("2026-01-01T00:00:00+0100", None),
            ("2026-01-01T00:00:00+24:00", None),
            ("2026-01-01T00:00:00ZZ", None),
            ("", None),
        ];
        let mut cache = TimeCache::default();
        for (text, expected) in cases {
            assert_eq!(cache.parse(text.as_bytes()), *expected, "{text}");
            assert_eq!(
                cache.parse(text.as_bytes()),
                *expected,
                "{text}, from the cache"
            );
        }
    }
}
