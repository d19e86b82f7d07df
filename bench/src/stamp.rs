//! Civil time from seconds since 1970, written straight into a line.
//!
//! Workloads write millions of time stamps; this is the proleptic Gregorian calendar in UTC and
//! nothing else. The algorithm is Howard Hinnant's `civil_from_days`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970 by the wall clock.
pub fn wall_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}

/// A point of time taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year.
    pub year: u64,
    /// Month, 1 to 12.
    pub month: u64,
    /// Day of the month, 1 to 31.
    pub day: u64,
    /// Hour, 0 to 23.
    pub hour: u64,
    /// Minute, 0 to 59.
    pub minute: u64,
    /// Second, 0 to 59.
    pub second: u64,
    /// Nanosecond of the second.
    pub nanos: u64,
}

impl Civil {
    /// Takes nanoseconds since 1970 apart.
    pub fn from_ns(ns: u64) -> Self {
        let (secs, nanos) = (ns / 1_000_000_000, ns % 1_000_000_000);
        let (days, rest) = (secs / 86_400, secs % 86_400);
        let z = days + 719_468;
        let (era, doe) = (z / 146_097, z % 146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        Self {
            year: yoe + era * 400 + u64::from(month <= 2),
            month,
            day: doy - (153 * mp + 2) / 5 + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            nanos,
        }
    }

    /// Appends `2026-11-21T06:23:01.123456789Z`.
    pub fn append_rfc3339(&self, out: &mut Vec<u8>) {
        self.append_date(out, b'-', b'T', b':');
        out.push(b'.');
        append_padded(out, self.nanos, 9);
        out.push(b'Z');
    }

    /// Appends `2026-11-21T06:23:01.123`, as most loggers write it.
    pub fn append_millis(&self, out: &mut Vec<u8>, separator: u8) {
        self.append_date(out, b'-', separator, b':');
        out.push(b'.');
        append_padded(out, self.nanos / 1_000_000, 3);
    }

    /// Appends `21/Nov/2026:06:23:01 +0000`, the time of access logs.
    pub fn append_clf(&self, out: &mut Vec<u8>) {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        append_padded(out, self.day, 2);
        out.push(b'/');
        let month = usize::try_from(self.month - 1).unwrap_or(0);
        out.extend_from_slice(MONTHS.get(month).unwrap_or(&"Jan").as_bytes());
        out.push(b'/');
        append_padded(out, self.year, 4);
        for part in [self.hour, self.minute, self.second] {
            out.push(b':');
            append_padded(out, part, 2);
        }
        out.extend_from_slice(b" +0000");
    }

    /// `20261121-062301`, the suffix that the kubelet gives to a rotated log.
    pub fn rotation_suffix(&self) -> String {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
    }

    fn append_date(&self, out: &mut Vec<u8>, dash: u8, between: u8, colon: u8) {
        append_padded(out, self.year, 4);
        out.push(dash);
        append_padded(out, self.month, 2);
        out.push(dash);
        append_padded(out, self.day, 2);
        out.push(between);
        append_padded(out, self.hour, 2);
        out.push(colon);
        append_padded(out, self.minute, 2);
        out.push(colon);
        append_padded(out, self.second, 2);
    }
}

/// Appends the last `width` (at most 20) decimal digits of `value`, with leading zeros.
pub fn append_padded(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    for slot in digits.iter_mut().rev().take(width) {
        *slot = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
    out.extend_from_slice(&digits[digits.len() - width.min(digits.len())..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc3339(ns: u64) -> String {
        let mut out = Vec::new();
        Civil::from_ns(ns).append_rfc3339(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn civil_time_of_known_instants() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            rfc3339(951_782_400_000_000_001),
            "2000-02-29T00:00:00.000000001Z"
        );
        assert_eq!(
            rfc3339(1_735_689_599_999_999_999),
            "2024-12-31T23:59:59.999999999Z"
        );
        let mut clf = Vec::new();
        Civil::from_ns(1_735_689_599_000_000_000).append_clf(&mut clf);
        assert_eq!(clf, b"31/Dec/2024:23:59:59 +0000");
        assert_eq!(
            Civil::from_ns(1_704_164_645_000_000_000).rotation_suffix(),
            "20240102-030405"
        );
    }
}
