//! Writing text as JSON strings.
//!
//! Text is valid UTF-8 when it comes here ([`append_lossy`] makes it so): only quotes, backslashes
//! and control characters need care. Eight bytes are looked at a step, clean runs are copied whole.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte of `word` that equals `byte`. Bits above the lowest one set may be
/// wrong (a borrow); callers look at the lowest only, or ask whether there is any.
#[inline(always)]
pub(crate) const fn bytes_equal(word: u64, byte: u8) -> u64 {
    let x = word ^ (ONES * byte as u64);
    x.wrapping_sub(ONES) & !x & HIGH
}

/// The high bit of each byte of `word` below `byte` (at most 128); as above.
#[inline(always)]
pub(crate) const fn bytes_below(word: u64, byte: u8) -> u64 {
    word.wrapping_sub(ONES * byte as u64) & !word & HIGH
}

/// The high bit of each byte of `word` that cannot stand in a JSON string; as above.
#[inline(always)]
const fn special_bytes(word: u64) -> u64 {
    bytes_equal(word, b'"') | bytes_equal(word, b'\\') | bytes_below(word, 0x20)
}

/// The high bit of each byte of `word` that is zero, of no other.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
const fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = !HIGH;
    !(((word & LOW) + LOW) | word | LOW)
}

/// A bit for each of eight bytes that cannot stand in a JSON string as it is.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
pub(crate) fn special_bits(word: u64) -> u32 {
    let controls = gather(zero_bytes(word & (ONES * 0xE0)));
    controls | equal_bits(word, b'"') | equal_bits(word, b'\\')
}

/// A bit for each of eight bytes that is `byte`.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
pub(crate) fn equal_bits(word: u64, byte: u8) -> u32 {
    gather(zero_bytes(word ^ (ONES * u64::from(byte))))
}

/// The high bits of eight bytes.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
fn gather(high_bits: u64) -> u32 {
    ((high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

/// Whether `byte` is in `text`: for short texts, where calling a search costs more than it saves.
#[inline(always)]
pub(crate) fn contains_byte(text: &[u8], byte: u8) -> bool {
    match text.last_chunk::<8>() {
        Some(last) => {
            let found = |chunk: &[u8; 8]| bytes_equal(u64::from_le_bytes(*chunk), byte) != 0;
            text.as_chunks::<8>().0.iter().any(found) || found(last)
        }
        None => text.iter().fold(false, |any, b| any | (*b == byte)),
    }
}

/// Position at or after `from` of the first byte that cannot stand in a JSON string as it is, or
/// the length of `text`.
#[inline(always)]
pub(crate) fn find_special(text: &[u8], from: usize) -> usize {
    let mut i = from;
    // Most strings of logs are short: a few steps of eight bytes, then blocks that the compiler
    // turns into vector instructions.
    let near = from + 24;
    while i < near
        && let Some(chunk) = text.get(i..).and_then(|rest| rest.first_chunk::<8>())
    {
        let hits = special_bytes(u64::from_le_bytes(*chunk));
        if hits != 0 {
            return i + (hits.trailing_zeros() / 8) as usize;
        }
        i += 8;
    }
    while let Some(block) = text.get(i..).and_then(|rest| rest.first_chunk::<32>()) {
        if block.iter().fold(false, |any, b| {
            any | (*b < 0x20) | (*b == b'"') | (*b == b'\\')
        }) {
            break;
        }
        i += 32;
    }
    while let Some(chunk) = text.get(i..).and_then(|rest| rest.first_chunk::<8>()) {
        let hits = special_bytes(u64::from_le_bytes(*chunk));
        if hits != 0 {
            return i + (hits.trailing_zeros() / 8) as usize;
        }
        i += 8;
    }
    while let Some(&byte) = text.get(i) {
        if byte < 0x20 || byte == b'"' || byte == b'\\' {
            break;
        }
        i += 1;
    }
    i
}

/// Appends `text` as a JSON string with its quotes.
#[inline]
pub(crate) fn append_string(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    append_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` as the inside of a JSON string.
#[inline]
pub(crate) fn append_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut done = 0;
    loop {
        let special = find_special(text, done);
        out.extend_from_slice(&text[done..special]);
        let Some(&byte) = text.get(special) else {
            return;
        };
        append_escape(out, byte);
        done = special + 1;
    }
}

fn append_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(&control(byte)),
    }
}

/// The escape of a control character that has none of its own, `\u001b`.
pub(crate) fn control(byte: u8) -> [u8; 6] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
    [b'\\', b'u', b'0', b'0', high, low]
}

/// Appends `bytes` with each sequence that is no UTF-8 replaced by U+FFFD.
pub(crate) fn append_lossy(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_string_comes_back_from_serde_json(text in ".{0,80}|[\"\\\\\\x00-\\x1fa]{0,40}") {
            let mut out = Vec::new();
            append_string(&mut out, text.as_bytes());
            prop_assert!(!out.contains(&b'\n'));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn lossy_is_what_the_standard_library_says(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut out = Vec::new();
            append_lossy(&mut out, &bytes);
            prop_assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn a_byte_is_found_where_it_is(text in "[a-d]{0,20}", byte in b'a'..b'f') {
            prop_assert_eq!(contains_byte(text.as_bytes(), byte), text.as_bytes().contains(&byte));
        }

        #[test]
        fn the_first_special_byte_is_found(text in proptest::collection::vec(prop_oneof![9 => 0x20u8..=255, 1 => any::<u8>()], 0..120), from in 0usize..40) {
            let from = from.min(text.len());
            let slow = text[from..].iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
            prop_assert_eq!(find_special(&text, from), slow.map_or(text.len(), |p| p + from));
        }
    }
}
