//! Text that stands in another form: percent encoding, base64, ANSI colours.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::escape;

/// Appends text with `%41` and `+` decoded; bytes that are no UTF-8 become U+FFFD.
pub(crate) fn append_percent(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digit = |b: u8| (b as char).to_digit(16);
        match (byte, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    rest = &after[2..];
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    mend(out, start);
}

/// Appends what base64 (plain or for URLs, padded or not) stands for, as text. False, and nothing
/// appended, when the text is none.
pub(crate) fn append_base64(out: &mut Vec<u8>, text: &[u8]) -> bool {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const PLAIN: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, CONFIG);
    const URL: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, CONFIG);
    let start = out.len();
    let is_url = text.iter().any(|b| matches!(b, b'-' | b'_'));
    let engine = if is_url { URL } else { PLAIN };
    if text.is_empty() || engine.decode_vec(text, out).is_err() {
        out.truncate(start);
        return false;
    }
    mend(out, start);
    true
}

/// Appends text without ANSI escape sequences.
pub(crate) fn append_without_ansi(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(n) = memchr::memchr(0x1b, rest) {
        out.extend_from_slice(&rest[..n]);
        rest = &rest[n + 1..];
        let n = match rest.first() {
            // Up to the letter that ends the sequence.
            Some(b'[') => rest
                .iter()
                .skip(1)
                .position(|b| matches!(b, 0x40..=0x7e))
                .map_or(rest.len(), |n| n + 2),
            // A title, up to BEL or the escape that ends it.
            Some(b']') => rest
                .iter()
                .position(|b| matches!(b, 0x07 | 0x1b))
                .map_or(rest.len(), |n| n + usize::from(rest[n] == 0x07)),
            Some(0x20..0x80) => 1,
            _ => 0,
        };
        rest = &rest[n..];
    }
    out.extend_from_slice(rest);
}

/// Replaces what is no UTF-8 from `start` on.
fn mend(out: &mut Vec<u8>, start: usize) {
    let text = out.get(start..).unwrap_or_default();
    if std::str::from_utf8(text).is_err() {
        let bytes = text.to_vec();
        out.truncate(start);
        escape::append_lossy(out, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(append: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"x".to_vec();
        append(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_are_decoded() {
        let percent = |text: &str| with(|out| append_percent(out, text.as_bytes()));
        assert_eq!(percent("a%20b+c%C3%A4"), "xa b cä");
        assert_eq!(percent("100%"), "x100%");
        assert_eq!(percent("%zz%ff"), "x%zz\u{FFFD}");
        let base64 = |text: &str| {
            with(|out| {
                append_base64(out, text.as_bytes());
            })
        };
        assert_eq!(base64("aGVsbG8="), "xhello");
        assert_eq!(base64("aGVsbG8"), "xhello");
        assert_eq!(base64("w6Q_"), "xä?");
        assert_eq!(base64("not base64!"), "x");
        let ansi = |text: &str| with(|out| append_without_ansi(out, text.as_bytes()));
        assert_eq!(
            ansi("\x1b[1;31mred\x1b[0m \x1b]0;title\x07done\x1b"),
            "xred done"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_become_utf8(text in prop::collection::vec(prop_oneof![Just(0x1bu8), Just(b'%'), Just(b'['), any::<u8>()], 0..40)) {
            let mut out = Vec::new();
            append_percent(&mut out, &text);
            append_base64(&mut out, &text);
            prop_assert!(std::str::from_utf8(&out).is_ok());
            if let Ok(text) = std::str::from_utf8(&text) {
                out.clear();
                append_without_ansi(&mut out, text.as_bytes());
                prop_assert!(std::str::from_utf8(&out).is_ok());
            }
        }
    }
}
