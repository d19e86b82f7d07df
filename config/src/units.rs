//! Sizes and durations as people write them: `1MiB`, `500kB`, `100ms`, `1h30m`.
//!
//! Arithmetic is exact and checked: what does not fit 64 bits is an error, never a wrapped value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes. Written as a plain number or with a unit: `kB`, `MB`, `GB`, `TB` (powers of
/// 1000), `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024; `Ki`, `Mi`, `Gi`, `Ti` too).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// Units that [`ByteSize`] prints, largest first, so that the first which divides wins.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
];

/// Units of a duration in nanoseconds, largest first.
const TIME_UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl ByteSize {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` GiB.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// `n` MB (powers of 1000).
    pub const fn mb(n: u64) -> Self {
        Self(n * 1_000_000)
    }

    /// The number of bytes as a length in memory; saturates where `usize` is narrower.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, unit) in SIZE_UNITS {
            if self.0 != 0 && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    /// The error says what is wrong with the text, without repeating it.
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_number(text.trim());
        if number.is_empty() {
            return Err("not a number".to_owned());
        }
        let unit: u128 = match unit.trim() {
            "" | "B" => 1,
            "k" | "K" | "M" | "G" | "T" => {
                return Err(format!(
                    "unit `{0}` is ambiguous: write `{0}iB` or `{0}B`",
                    unit.trim()
                ));
            }
            other => {
                let lower = other.to_ascii_lowercase();
                let full = if lower.ends_with('i') {
                    format!("{lower}b")
                } else {
                    lower
                };
                match SIZE_UNITS
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(&full))
                {
                    Some((_, unit)) => u128::from(*unit),
                    None => return Err(format!("unknown unit `{other}`")),
                }
            }
        };
        let bytes = scaled(number, unit)?;
        u64::try_from(bytes)
            .map(Self)
            .map_err(|_| "too large".to_owned())
    }
}

/// Parses `100ms`, `5s`, `1.5h`, `7d`, `1h30m`. Units: `ns`, `us`, `ms`, `s`, `m`, `h`, `d`; only
/// zero may stand without one. The error says what is wrong, without repeating the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let mut rest = text;
    let mut nanos: u128 = 0;
    if rest.is_empty() {
        return Err("empty".to_owned());
    }
    while !rest.is_empty() {
        let (number, tail) = split_number(rest);
        if number.is_empty() {
            return Err("not a number".to_owned());
        }
        let tail = tail.trim_start();
        let end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let factor = match TIME_UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() && next.is_empty() => {
                if scaled(number, 1_000)? != 0 {
                    return Err(format!("a unit is missing: `{text}s`?"));
                }
                0
            }
            None => return Err(format!("unknown unit `{unit}`")),
        };
        let part = scaled(number, factor)?;
        nanos = nanos
            .checked_add(part)
            .ok_or_else(|| "too large".to_owned())?;
        rest = next.trim_start();
    }
    let nanos = u64::try_from(nanos).map_err(|_| "too large: at most 584 years".to_owned())?;
    Ok(Duration::from_nanos(nanos))
}

/// The shortest text that [`parse_duration`] reads back as `duration` with one unit.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (name, unit) in TIME_UNITS {
        if nanos.is_multiple_of(unit) {
            return format!("{}{name}", nanos / unit);
        }
    }
    format!("{nanos}ns")
}

/// Splits a decimal number from what follows.
fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// `number` × `unit`, exactly; a fraction finer than one is an error.
fn scaled(number: &str, unit: u128) -> Result<u128, String> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| -> Result<u128, String> {
        let clean: String = s.chars().filter(|c| *c != '_').collect();
        if clean.is_empty() {
            return Ok(0);
        }
        clean.parse::<u128>().map_err(|_| "not a number".to_owned())
    };
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("not a number".to_owned());
    }
    // 18 digits of a fraction are finer than any unit; more would overflow the power below.
    if fraction.len() > 18 {
        return Err("too many digits after the point".to_owned());
    }
    let too_large = || "too large".to_owned();
    let whole = digits(whole)?.checked_mul(unit).ok_or_else(too_large)?;
    let n_digits = fraction.chars().filter(|c| *c != '_').count();
    let power = 10u128.pow(u32::try_from(n_digits).unwrap_or(18));
    let part = digits(fraction)?.checked_mul(unit).ok_or_else(too_large)?;
    if !part.is_multiple_of(power) {
        return Err("not a whole number of the smallest unit".to_owned());
    }
    whole.checked_add(part / power).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read() {
        let cases: [(&str, Result<u64, &str>); 15] = [
            ("0", Ok(0)),
            ("1048576", Ok(1 << 20)),
            ("1MiB", Ok(1 << 20)),
            ("1Mi", Ok(1 << 20)),
            ("500kB", Ok(500_000)),
            ("500 KB", Ok(500_000)),
            ("1.5GiB", Ok(3 << 29)),
            ("1_000B", Ok(1_000)),
            ("1M", Err("ambiguous")),
            ("1 furlong", Err("unknown unit")),
            ("", Err("not a number")),
            ("-1", Err("not a number")),
            ("1.2.3", Err("not a number")),
            ("99999999TiB", Err("too large")),
            ("0.3B", Err("whole number")),
        ];
        for (text, expected) in cases {
            match (text.parse::<ByteSize>(), expected) {
                (Ok(got), Ok(want)) => assert_eq!(got.0, want, "{text}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{text}: {got}"),
                (got, want) => panic!("{text}: {got:?}, expected {want:?}"),
            }
        }
    }

    #[test]
    fn durations_are_read() {
        let cases: [(&str, Result<u64, &str>); 13] = [
            ("0", Ok(0)),
            ("0s", Ok(0)),
            ("100ms", Ok(100_000_000)),
            ("5s", Ok(5_000_000_000)),
            ("1.5s", Ok(1_500_000_000)),
            ("2h", Ok(7_200_000_000_000)),
            ("1h30m", Ok(5_400_000_000_000)),
            ("7d", Ok(604_800_000_000_000)),
            ("5", Err("unit is missing")),
            ("5 s", Ok(5_000_000_000)),
            ("5sec", Err("unknown unit `sec`")),
            ("", Err("empty")),
            ("999999d", Err("too large")),
        ];
        for (text, expected) in cases {
            match (parse_duration(text), expected) {
                (Ok(got), Ok(want)) => assert_eq!(got, Duration::from_nanos(want), "{text}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{text}: {got}"),
                (got, want) => panic!("{text}: {got:?}, expected {want:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bytes in any::<u64>(), nanos in any::<u64>()) {
            let size = ByteSize(bytes);
            prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let size = text.parse::<ByteSize>().is_ok();
            let duration = parse_duration(&text).is_ok();
            // Only the absence of a panic counts; zero alone may be both.
            prop_assert!(!(size && duration) || text.trim().bytes().all(|b| b"0._".contains(&b)));
        }
    }
}
