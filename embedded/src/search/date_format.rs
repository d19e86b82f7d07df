//! How dates are written, by the names that Elasticsearch has for it.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::dates::format_millis;

/// A way to write a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateFormat {
    /// `1795561200000`, with the part of a millisecond behind a point where there is one.
    EpochMillis,
    /// `1795561200`, with the part of a second behind a point where there is one.
    EpochSeconds,
    /// `2026-11-25T22:00:00.000Z`.
    Millis,
    /// The same with all digits that there are, three at least.
    Nanos,
}

impl DateFormat {
    /// The format of this name; of several, with `||` between, the first one writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = text.split("||").next().unwrap_or_default().trim();
        Some(match name {
            "epoch_millis" => Self::EpochMillis,
            "epoch_second" => Self::EpochSeconds,
            "strict_date_optional_time" | "date_optional_time" | "date_time" | "iso8601" => {
                Self::Millis
            }
            "strict_date_optional_time_nanos" | "strict_date_time" => Self::Nanos,
            _ => return None,
        })
    }

    /// Writes nanoseconds since the epoch.
    pub(crate) fn show(self, nanos: i64, zone: &TimeZone) -> String {
        match self {
            Self::EpochMillis => parts(nanos, 1_000_000, 6),
            Self::EpochSeconds => parts(nanos, 1_000_000_000, 9),
            Self::Millis => format_millis(nanos.div_euclid(1_000_000), zone),
            Self::Nanos => with_all_digits(nanos, zone),
        }
    }

    /// Reads a number that this format writes: nanoseconds since the epoch.
    pub(crate) fn read(self, text: &str) -> Option<i64> {
        let (unit, digits) = match self {
            Self::EpochMillis => (1_000_000, 6),
            Self::EpochSeconds => (1_000_000_000, 9),
            Self::Millis | Self::Nanos => return None,
        };
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        if part.len() > digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let part: i64 = format!("{part:0<digits$}").parse().ok()?;
        let whole: i64 = whole.parse().ok()?;
        whole.checked_mul(unit)?.checked_add(part)
    }

    /// Writes milliseconds since the epoch.
    pub(crate) fn show_millis(self, millis: i64, zone: &TimeZone) -> String {
        match self {
            Self::EpochMillis => millis.to_string(),
            Self::EpochSeconds => parts(millis, 1_000, 3),
            Self::Millis | Self::Nanos => format_millis(millis, zone),
        }
    }
}

fn parts(number: i64, unit: i64, digits: usize) -> String {
    let (whole, part) = (number.div_euclid(unit), number.rem_euclid(unit));
    if part == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{part:0digits$}");
    text.trim_end_matches('0').to_owned()
}

fn with_all_digits(nanos: i64, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(nanos)) else {
        return nanos.to_string();
    };
    let zoned = timestamp.to_zoned(zone.clone());
    let mut digits = format!("{:09}", nanos.rem_euclid(1_000_000_000));
    while digits.len() > 3 && digits.ends_with('0') {
        digits.pop();
    }
    let time = zoned.strftime("%Y-%m-%dT%H:%M:%S");
    if zoned.offset() == Offset::UTC {
        format!("{time}.{digits}Z")
    } else {
        format!("{time}.{digits}{}", zoned.strftime("%:z"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::dates::parse_zone;
    use super::*;

    #[test]
    fn dates_are_written_as_elasticsearch_does() {
        let utc = TimeZone::UTC;
        let berlin = parse_zone("+01:00").unwrap();
        for (name, nanos, zone, expected) in [
            (
                "epoch_millis",
                1_795_561_200_000_000_000,
                &utc,
                "1795561200000",
            ),
            (
                "epoch_millis",
                1_795_561_200_000_123_400,
                &utc,
                "1795561200000.1234",
            ),
            (
                "epoch_second",
                1_795_561_200_500_000_000,
                &utc,
                "1795561200.5",
            ),
            (
                "strict_date_optional_time",
                1_795_561_200_000_123_400,
                &utc,
                "2026-11-24T23:00:00.000Z",
            ),
            (
                "date_time",
                1_795_561_200_000_000_000,
                &berlin,
                "2026-11-25T00:00:00.000+01:00",
            ),
            (
                "strict_date_optional_time_nanos",
                1_795_561_200_000_123_400,
                &utc,
                "2026-11-24T23:00:00.0001234Z",
            ),
            (
                "strict_date_optional_time_nanos||epoch_millis",
                1_795_561_200_000_000_000,
                &utc,
                "2026-11-24T23:00:00.000Z",
            ),
        ] {
            let format = DateFormat::parse(name).unwrap();
            assert_eq!(format.show(nanos, zone), expected, "{name}");
        }
        assert_eq!(DateFormat::parse("yyyy-MM-dd"), None);
        assert_eq!(DateFormat::EpochMillis.show_millis(-1, &utc), "-1");
        assert_eq!(DateFormat::EpochSeconds.show_millis(1_500, &utc), "1.5");
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for nanos in [0, 1_795_561_200_000_123_400, 1_795_561_200_000_000_001] {
            for format in [DateFormat::EpochMillis, DateFormat::EpochSeconds] {
                let text = format.show(nanos, &TimeZone::UTC);
                assert_eq!(format.read(&text), Some(nanos), "{text}");
            }
        }
        for text in ["", "soon", "1.1234567", "1.-1", "99999999999999999"] {
            assert_eq!(DateFormat::EpochMillis.read(text), None, "{text}");
        }
    }
}
