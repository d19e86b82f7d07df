//! Time spans and sizes as people write them: `1m30s`, `250ms`, `64KiB`, `1.5 MB`.

/// Nanoseconds of a time span: numbers with units, one after the other, or a Go or ISO 8601
/// duration. `None` when the text is none, or is below zero or beyond 292 years.
pub(crate) fn duration_ns(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    if let Some(rest) = text.strip_prefix(b"P").or_else(|| text.strip_prefix(b"p")) {
        return iso8601_ns(rest);
    }
    let mut total = 0i128;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = decimal(rest)?;
        let after = after.trim_ascii_start();
        let n = after
            .iter()
            .take_while(|b| b.is_ascii_alphabetic() || **b >= 0x80)
            .count();
        let (unit, after) = after.split_at(n);
        total += scaled(number, unit_ns(unit)?)?;
        rest = after.trim_ascii_start();
    }
    (!text.is_empty()).then(|| i64::try_from(total).ok())?
}

fn unit_ns(unit: &[u8]) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    Some(match unit.to_ascii_lowercase().as_slice() {
        b"ns" | b"nanos" | b"nanosecond" | b"nanoseconds" => 1,
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" | b"micros" | b"microsecond" | b"microseconds" => 1_000,
        b"ms" | b"msec" | b"msecs" | b"millis" | b"millisecond" | b"milliseconds" => 1_000_000,
        b"s" | b"sec" | b"secs" | b"second" | b"seconds" => SECOND,
        b"m" | b"min" | b"mins" | b"minute" | b"minutes" => 60 * SECOND,
        b"h" | b"hr" | b"hrs" | b"hour" | b"hours" => 3_600 * SECOND,
        b"d" | b"day" | b"days" => 86_400 * SECOND,
        b"w" | b"week" | b"weeks" => 7 * 86_400 * SECOND,
        _ => return None,
    })
}

/// What follows the `P` of an ISO 8601 duration without years and months.
fn iso8601_ns(text: &[u8]) -> Option<i64> {
    let mut total = 0i128;
    let mut rest = text;
    let mut is_clock = false;
    let mut n_parts = 0;
    while let Some(first) = rest.first() {
        if matches!(first, b'T' | b't') && !is_clock {
            is_clock = true;
            rest = &rest[1..];
            continue;
        }
        let (number, after) = decimal(rest)?;
        let (unit, after) = after.split_first()?;
        let seconds = match (unit.to_ascii_uppercase(), is_clock) {
            (b'W', false) => 7 * 86_400,
            (b'D', false) => 86_400,
            (b'H', true) => 3_600,
            (b'M', true) => 60,
            (b'S', true) => 1,
            _ => return None,
        };
        total += scaled(number, seconds * 1_000_000_000)?;
        n_parts += 1;
        rest = after;
    }
    (n_parts > 0).then(|| i64::try_from(total).ok())?
}

/// Bytes of a size: a number, and a unit of 1,000 (`kB`, `MB`) or 1,024 (`KiB`, `MiB`); a lone
/// letter counts as 1,024, as most programs mean it. `None` when the text is none.
pub(crate) fn size_bytes(text: &[u8]) -> Option<i64> {
    let (number, after) = decimal(text.trim_ascii())?;
    let unit = after.trim_ascii().to_ascii_lowercase();
    let factor: i128 = match unit.as_slice() {
        b"" | b"b" | b"byte" | b"bytes" => 1,
        b"kb" => 1_000,
        b"mb" => 1_000_000,
        b"gb" => 1_000_000_000,
        b"tb" => 1_000_000_000_000,
        b"pb" => 1_000_000_000_000_000,
        b"k" | b"kib" | b"ki" => 1 << 10,
        b"m" | b"mib" | b"mi" => 1 << 20,
        b"g" | b"gib" | b"gi" => 1 << 30,
        b"t" | b"tib" | b"ti" => 1 << 40,
        b"p" | b"pib" | b"pi" => 1 << 50,
        _ => return None,
    };
    i64::try_from(scaled(number, factor)?).ok()
}

/// A decimal number: its digits, and how many of them stand behind the point.
type Decimal = (i128, u32);

fn decimal(text: &[u8]) -> Option<(Decimal, &[u8])> {
    let mut digits = 0i128;
    let (mut n_digits, mut n_fraction) = (0, 0);
    let mut has_point = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                n_digits += 1;
                // More digits than anything here can hold make no number.
                if n_digits > 20 {
                    return None;
                }
                digits = digits * 10 + i128::from(byte - b'0');
                n_fraction += u32::from(has_point);
            }
            b'.' if !has_point => has_point = true,
            _ => break,
        }
        at += 1;
    }
    (n_digits > 0).then(|| ((digits, n_fraction), text.get(at..).unwrap_or_default()))
}

fn scaled((digits, n_fraction): Decimal, factor: i128) -> Option<i128> {
    Some(digits.checked_mul(factor)? / 10i128.pow(n_fraction))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_read() {
        let check = |text: &str, expected| {
            assert_eq!(duration_ns(text.as_bytes()), expected, "{text}");
        };
        check("250ms", Some(250_000_000));
        check("1.5s", Some(1_500_000_000));
        check("1m30s", Some(90_000_000_000));
        check("2h 5 min", Some(7_500_000_000_000));
        check("12.5µs", Some(12_500));
        check("1d", Some(86_400_000_000_000));
        check("PT1M0.5S", Some(60_500_000_000));
        check("P1DT2H", Some(93_600_000_000_000));
        check("0s", Some(0));
        check("5", None);
        check("ms", None);
        check("-5s", None);
        check("", None);
        check("P", None);
        check("1y", None);
        check("99999999999d", None);
    }

    #[test]
    fn sizes_are_read() {
        let check =
            |text: &str, expected| assert_eq!(size_bytes(text.as_bytes()), expected, "{text}");
        check("512", Some(512));
        check("64KiB", Some(65_536));
        check("1.5 MB", Some(1_500_000));
        check("2g", Some(2 << 30));
        check("10 bytes", Some(10));
        check("x", None);
        check("1 zb", None);
        check("9999999999 TB", None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.PTMSdhms µKiB-]{0,24}") {
            let _ = duration_ns(text.as_bytes());
            let _ = size_bytes(text.as_bytes());
        }
    }
}
