//! The words of JSON: strings, numbers, spaces. Each takes a position and gives the next one.

use crate::escape;
use crate::marks::Marks;

/// Position of the first byte at or after `at` that is no JSON white space.
#[inline(always)]
pub(crate) fn skip_space(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = line.get(at) {
        at += 1;
    }
    at
}

/// A string, from its first byte after the quote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanned {
    /// Where the closing quote stands.
    pub(crate) end: usize,
    /// No escapes, no control characters: the bytes are the text.
    pub(crate) is_plain: bool,
    /// Not valid JSON as it stands: control characters, or half a surrogate pair.
    pub(crate) needs_care: bool,
}

/// Scans a string whose first byte after the quote is at `at`.
#[inline(always)]
pub(crate) fn string(line: &[u8], at: usize) -> Option<Scanned> {
    string_up_to(line, escape::find_special(line, at))
}

/// As [`string`], with what was seen of the text before.
#[inline(always)]
pub(crate) fn marked_string(line: &[u8], at: usize, marks: &Marks) -> Option<Scanned> {
    string_up_to(line, marks.find_special(line, at))
}

/// A string in which the first byte that needs care stands at `at`; most often it is the quote.
#[inline(always)]
fn string_up_to(line: &[u8], at: usize) -> Option<Scanned> {
    if line.get(at) == Some(&b'"') {
        return Some(Scanned {
            end: at,
            is_plain: true,
            needs_care: false,
        });
    }
    string_slow(line, at)
}

fn string_slow(line: &[u8], mut at: usize) -> Option<Scanned> {
    let mut needs_care = false;
    loop {
        at = escape::find_special(line, at);
        match *line.get(at)? {
            b'"' => {
                return Some(Scanned {
                    end: at,
                    is_plain: false,
                    needs_care,
                });
            }
            b'\\' => match *line.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' => {
                    let unit = hex4(line, at + 2)?;
                    at += 6;
                    if (0xD800..0xDC00).contains(&unit) {
                        let low = match (line.get(at), line.get(at + 1)) {
                            (Some(b'\\'), Some(b'u')) => hex4(line, at + 2)?,
                            _ => 0,
                        };
                        if (0xDC00..0xE000).contains(&low) {
                            at += 6;
                        } else {
                            needs_care = true;
                        }
                    } else if (0xDC00..0xE000).contains(&unit) {
                        needs_care = true;
                    }
                }
                _ => return None,
            },
            _ => {
                needs_care = true;
                at += 1;
            }
        }
    }
}

fn hex4(line: &[u8], at: usize) -> Option<u32> {
    let digits = line.get(at..at + 4)?;
    let mut unit = 0;
    for &digit in digits {
        unit = unit * 16 + (digit as char).to_digit(16)?;
    }
    Some(unit)
}

/// Appends the text that the inside of a JSON string stands for. Half surrogate pairs become
/// U+FFFD. The string must have passed [`string`]; what has not is copied as far as it goes.
pub(crate) fn unescape(out: &mut Vec<u8>, inside: &[u8]) {
    let mut at = 0;
    while let Some(offset) = memchr::memchr(b'\\', &inside[at..]) {
        out.extend_from_slice(&inside[at..at + offset]);
        at += offset;
        let Some(&escape) = inside.get(at + 1) else {
            break;
        };
        let byte = match escape {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            // Without its digits (a key of a format that has no escapes, say) it stays as it is.
            b'u' if hex4(inside, at + 2).is_some() => {
                at = unescape_unicode(out, inside, at);
                continue;
            }
            b'"' | b'\\' | b'/' => escape,
            // Not JSON's: logfmt written by Go has `\x1b`, say.
            _ => {
                out.push(b'\\');
                at += 1;
                continue;
            }
        };
        out.push(byte);
        at += 2;
    }
    out.extend_from_slice(inside.get(at..).unwrap_or_default());
}

/// Appends the character of the `\u…` at `at`; gives the position after it.
fn unescape_unicode(out: &mut Vec<u8>, inside: &[u8], at: usize) -> usize {
    let unit = hex4(inside, at + 2).unwrap_or(0xFFFD);
    let mut end = at + 6;
    let mut code = unit;
    if (0xD800..0xDC00).contains(&unit)
        && inside.get(end) == Some(&b'\\')
        && inside.get(end + 1) == Some(&b'u')
        && let Some(low @ 0xDC00..0xE000) = hex4(inside, end + 2)
    {
        code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        end += 6;
    }
    let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    end.min(inside.len())
}

/// Position after `word`, when it stands at `at`.
#[inline(always)]
pub(crate) fn word(line: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    line.get(at..)?.starts_with(word).then_some(at + word.len())
}

/// Whether the store can hold a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberFit {
    /// As a 64 bit integer or a finite double.
    Fits,
    /// Too large for either, or longer than the store reads.
    TooLarge,
    /// `NaN`, `Infinity`, `-Infinity`: no JSON, but written by Python and others.
    NotJson,
}

/// A number in a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScannedNumber {
    pub(crate) end: usize,
    pub(crate) fit: NumberFit,
}

/// Longest number that is looked at closely; longer ones are text.
const MAX_NUMBER: usize = 64;

/// Scans the number at `at`.
#[inline(always)]
pub(crate) fn number(line: &[u8], at: usize) -> Option<ScannedNumber> {
    let digits = |mut at: usize| {
        while line.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let begin = at + usize::from(line.get(at) == Some(&b'-'));
    let mut end = digits(begin);
    let n_digits = end - begin;
    if n_digits == 0 {
        return not_a_number(line, begin).map(|end| ScannedNumber {
            end,
            fit: NumberFit::NotJson,
        });
    }
    if n_digits > 1 && line[begin] == b'0' {
        return None;
    }
    let mut is_integer = true;
    if line.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if fraction == end + 1 {
            return None;
        }
        end = fraction;
        is_integer = false;
    }
    let mut fit = NumberFit::Fits;
    if let Some(b'e' | b'E') = line.get(end) {
        let sign = usize::from(matches!(line.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent == end + 1 + sign {
            return None;
        }
        end = exponent;
        fit = check(&line[at..end], false);
    } else if n_digits > 18 || end - at > MAX_NUMBER {
        fit = check(&line[at..end], is_integer);
    }
    Some(ScannedNumber { end, fit })
}

fn check(number: &[u8], is_integer: bool) -> NumberFit {
    let text = std::str::from_utf8(number).unwrap_or_default();
    let fits = number.len() <= MAX_NUMBER
        && if is_integer {
            text.parse::<i64>().is_ok()
        } else {
            text.parse::<f64>().is_ok_and(f64::is_finite)
        };
    if fits {
        NumberFit::Fits
    } else {
        NumberFit::TooLarge
    }
}

fn not_a_number(line: &[u8], at: usize) -> Option<usize> {
    let signed = at > 0 && line[at - 1] == b'-';
    word(line, at, b"Infinity").or_else(|| if signed { None } else { word(line, at, b"NaN") })
}

/// Position after the value at `at` of text that has been walked; the end of the text otherwise.
pub(crate) fn skip_value(line: &[u8], at: usize) -> usize {
    let mut at = skip_space(line, at);
    let mut depth = 0usize;
    loop {
        match line.get(at) {
            None => return line.len(),
            Some(b'"') => at = string(line, at + 1).map_or(line.len(), |s| s.end + 1),
            Some(b'{' | b'[') => {
                depth += 1;
                at += 1;
            }
            Some(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            Some(_) => {
                // Outside strings nothing but punctuation ends a word.
                while line.get(at).is_some_and(|b| {
                    !matches!(b, b'"' | b'{' | b'[' | b'}' | b']')
                        && (depth > 0 || !matches!(b, b',' | b' ' | b'\t' | b'\n' | b'\r'))
                }) {
                    at += 1;
                }
            }
        }
        if depth == 0 {
            return at.min(line.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_judged() {
        let check = |text: &str, expected: Option<(usize, NumberFit)>| {
            assert_eq!(
                number(text.as_bytes(), 0).map(|n| (n.end, n.fit)),
                expected,
                "{text}"
            );
        };
        use NumberFit::{Fits, NotJson, TooLarge};
        check("0,", Some((1, Fits)));
        check("-12.5e3}", Some((7, Fits)));
        check("9223372036854775807", Some((19, Fits)));
        check("-9223372036854775808", Some((20, Fits)));
        check("9223372036854775808", Some((19, TooLarge)));
        check("18446744073709551615", Some((20, TooLarge)));
        check("1e400", Some((5, TooLarge)));
        check("1e-400", Some((6, Fits)));
        check("123456789012345678901.5", Some((23, Fits)));
        check(&"1".repeat(2000), Some((2000, TooLarge)));
        check("NaN", Some((3, NotJson)));
        check("-Infinity", Some((9, NotJson)));
        check("-NaN", None);
        check("01", None);
        check("1.", None);
        check(".5", None);
        check("1e", None);
        check("-", None);
        check("+1", None);
    }

    #[test]
    fn escapes_are_undone() {
        let check = |inside: &str, expected: &str| {
            let mut out = Vec::new();
            unescape(&mut out, inside.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{inside}");
        };
        check(r"a\nb\t\\\/\u0041", "a\nb\t\\/A");
        check(r"\ud83d\ude00", "😀");
        check(r"\ud83dx\ude00", "\u{FFFD}x\u{FFFD}");
        check(r"\ud83d", "\u{FFFD}");
        check("plain", "plain");
        // Found by fuzzing: characters behind were cut.
        check(r"x\u��� ", r"x\u��� ");
        check(r"\u12", r"\u12");
    }

    proptest! {
        #[test]
        fn unescaping_agrees_with_serde_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let scanned = string(json.as_bytes(), 1).unwrap();
            prop_assert_eq!(scanned.end, json.len() - 1);
            let mut out = Vec::new();
            unescape(&mut out, &json.as_bytes()[1..scanned.end]);
            prop_assert_eq!(String::from_utf8(out).unwrap(), text);
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = string(&text, 0);
            let _ = number(&text, 0);
            let _ = skip_value(&text, 0);
            unescape(&mut Vec::new(), &text);
        }
    }
}
