//! Times as RFC 3339.

use super::{NS, civil_from_days};

fn put_digits(to: &mut [u8], mut number: u64) {
    for digit in to.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Writes times as RFC 3339, and remembers the last second written: records come in order.
#[derive(Debug)]
pub(crate) struct TimeWriter {
    second: i64,
    /// `YYYY-MM-DDTHH:MM:SS.` of `second`.
    text: [u8; 20],
}

impl TimeWriter {
    pub(crate) fn new() -> Self {
        let mut writer = Self {
            second: i64::MIN,
            text: *b"0000-00-00T00:00:00.",
        };
        writer.set(0);
        writer
    }

    fn set(&mut self, second: i64) {
        let day = second.div_euclid(86_400);
        if day != self.second.div_euclid(86_400) {
            let (year, month, day) = civil_from_days(day);
            put_digits(&mut self.text[0..4], year.unsigned_abs());
            put_digits(&mut self.text[5..7], month.unsigned_abs());
            put_digits(&mut self.text[8..10], day.unsigned_abs());
        }
        let of_day = second.rem_euclid(86_400).unsigned_abs();
        put_digits(&mut self.text[11..13], of_day / 3600);
        put_digits(&mut self.text[14..16], of_day / 60 % 60);
        put_digits(&mut self.text[17..19], of_day % 60);
        self.second = second;
    }

    /// `ns` with nine digits, `2024-01-02T03:04:05.123456789Z`.
    #[inline]
    pub(crate) fn nanos(&mut self, ns: i64) -> [u8; 30] {
        let second = ns.div_euclid(NS);
        if second != self.second {
            self.set(second);
        }
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        text[..20].copy_from_slice(&self.text);
        // Three numbers of three digits do not wait for each other as nine digits would.
        let fraction = ns.rem_euclid(NS).unsigned_abs();
        put_digits(&mut text[20..23], fraction / 1_000_000);
        put_digits(&mut text[23..26], fraction / 1000 % 1000);
        put_digits(&mut text[26..29], fraction % 1000);
        text
    }

    /// `ns` with three digits, `2024-01-02T03:04:05.123Z`.
    #[inline]
    pub(crate) fn millis(&mut self, ns: i64) -> [u8; 24] {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        text[..23].copy_from_slice(&self.nanos(ns)[..23]);
        text
    }
}
