//! `error.fingerprint`: the same for errors of the same kind, so that they can be told apart,
//! counted and alerted on.
//!
//! A hash of the service, the exception's type (or the message with numbers, ids and addresses
//! masked), and the innermost frames of its trace without line numbers. It depends on nothing
//! else: aggregators and restarts agree.

use xxhash_rust::xxh3::xxh3_64;

/// Frames that count: deeper ones differ by caller, not by error.
const N_FRAMES: usize = 5;
/// Bytes of a message that count.
const MAX_MESSAGE: usize = 512;

/// What an error says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts<'a> {
    pub(crate) service: &'a [u8],
    pub(crate) kind: &'a [u8],
    pub(crate) message: &'a [u8],
    pub(crate) trace: &'a [u8],
}

/// Appends sixteen hexadecimal digits. `scratch` is emptied first.
pub(crate) fn append(out: &mut Vec<u8>, parts: Parts<'_>, scratch: &mut Vec<u8>) {
    scratch.clear();
    scratch.extend_from_slice(parts.service);
    scratch.push(0);
    // Some names say only that there was an error.
    let is_telling = !matches!(
        parts.kind,
        b"" | b"panic" | b"fatal error" | b"Error" | b"Exception" | b"\"Error\""
    );
    if !is_telling {
        let message = &parts.message[..parts.message.len().min(MAX_MESSAGE)];
        append_masked(scratch, message);
    } else {
        scratch.extend_from_slice(parts.kind);
    }
    append_frames(scratch, parts.trace);
    let hash = xxh3_64(scratch);
    for digit in (0..16).rev().map(|i| (hash >> (4 * i)) & 15) {
        out.push(b"0123456789abcdef"[digit as usize]);
    }
}

fn append_frames(out: &mut Vec<u8>, trace: &[u8]) {
    // Python writes the innermost frame last.
    let trace = trace.strip_prefix(b"\"").unwrap_or(trace);
    let is_last_first = trace.starts_with(b"Traceback ");
    let lines = trace.split(|b| *b == b'\n').filter(|line| is_frame(line));
    let n = if is_last_first {
        lines.clone().count().saturating_sub(N_FRAMES)
    } else {
        0
    };
    for line in lines.skip(n).take(N_FRAMES) {
        out.push(b'\n');
        append_masked(out, line.trim_ascii());
    }
}

fn is_frame(line: &[u8]) -> bool {
    let text = line.trim_ascii();
    let starts = [&b"at "[..], b"File \"", b"from ", b"#"];
    starts.iter().any(|start| text.starts_with(start))
        || (text.len() < line.len() && memchr::memmem::find(text, b".go:").is_some())
}

/// What a byte may be part of; see [`CLASSES`].
const WORD: u8 = 1;
const DIGIT: u8 = 2;
/// A part of a word, and neither a hexadecimal digit nor `-`.
const NO_HEX: u8 = 4;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_digit() {
            classes[byte] = WORD | DIGIT;
        } else if b.is_ascii_hexdigit() || b == b'-' {
            classes[byte] = WORD;
        } else if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 {
            classes[byte] = WORD | NO_HEX;
        }
        byte += 1;
    }
    classes
};

/// Where a word ends that begins at `at`, and all classes of its bytes.
#[inline]
fn word(text: &[u8], at: usize) -> (usize, u8) {
    let (mut end, mut seen) = (at, 0);
    while let Some(&byte) = text.get(end)
        && CLASSES[usize::from(byte)] & WORD != 0
    {
        seen |= CLASSES[usize::from(byte)];
        end += 1;
    }
    (end, seen)
}

/// Appends text with every word that has a digit in it as `#`.
fn append_masked(out: &mut Vec<u8>, text: &[u8]) {
    let mut at = 0;
    while let Some(&first) = text.get(at) {
        let (end, seen) = word(text, at);
        if end == at {
            out.push(first);
            at += 1;
            continue;
        }
        let is_hex = end - at >= 8 && seen & NO_HEX == 0;
        if !is_hex && seen & DIGIT == 0 {
            out.extend_from_slice(&text[at..end]);
            at = end;
            continue;
        }
        at = end;
        // `10.0.0.1:80`, `12.5ms` and `10:00:01.123` are one.
        while let [b'.' | b':' | b',', next, ..] = &text[at..]
            && next.is_ascii_hexdigit()
        {
            at = word(text, at + 1).0;
        }
        out.push(b'#');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut out = Vec::new();
        append_masked(&mut out, text.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_ids_and_addresses_are_masked() {
        assert_eq!(
            masked(
                "order A17 of 10.0.0.1:80 failed after 12.5ms: id 3e0f1c5a-0000-4000-8000-00000000abcd, try 3"
            ),
            "order # of # failed after #: id #, try #"
        );
        assert_eq!(
            masked("connection deadbeef refused"),
            "connection # refused"
        );
        assert_eq!(masked("größe: ok"), "größe: ok");
    }

    #[test]
    fn the_same_error_has_the_same_fingerprint() {
        let print = |kind: &str, message: &str, trace: &str| {
            let mut out = Vec::new();
            let parts = Parts {
                service: b"web",
                kind: kind.as_bytes(),
                message: message.as_bytes(),
                trace: trace.as_bytes(),
            };
            append(&mut out, parts, &mut Vec::new());
            String::from_utf8(out).unwrap()
        };
        let java = "java.lang.X: a\n\tat a.B.c(B.java:17)\n\tat a.D.e(D.java:3)";
        let moved = "java.lang.X: b\n\tat a.B.c(B.java:19)\n\tat a.D.e(D.java:3)";
        let other = "java.lang.X: a\n\tat a.Z.c(Z.java:17)\n\tat a.D.e(D.java:3)";
        assert_eq!(
            print("java.lang.X", "a", java),
            print("java.lang.X", "b", moved)
        );
        assert_ne!(
            print("java.lang.X", "a", java),
            print("java.lang.X", "a", other)
        );
        assert_eq!(print("", "no card 17", ""), print("", "no card 18", ""));
        assert_ne!(print("", "no card", ""), print("", "no money", ""));
        // It must not change from one version to the next: alerts hold on to it.
        assert_eq!(print("", "no card 17", "").len(), 16);
    }

    /// The plain twin of [`append_masked`].
    fn masked_plainly(out: &mut Vec<u8>, text: &[u8]) {
        let mut at = 0;
        while at < text.len() {
            let is_word =
                |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-') || *b >= 0x80;
            let n = text[at..].iter().take_while(|b| is_word(b)).count();
            if n == 0 {
                out.push(text[at]);
                at += 1;
                continue;
            }
            let word = &text[at..at + n];
            at += n;
            let is_hex = n >= 8 && word.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
            if !is_hex && !word.iter().any(u8::is_ascii_digit) {
                out.extend_from_slice(word);
                continue;
            }
            // `10.0.0.1:80`, `12.5ms` and `10:00:01.123` are one.
            while let [b'.' | b':' | b',', next, ..] = &text[at..]
                && next.is_ascii_hexdigit()
            {
                at += 1 + text[at + 1..].iter().take_while(|b| is_word(b)).count();
            }
            out.push(b'#');
        }
    }

    proptest::proptest! {
        #[test]
        fn masks_are_those_of_the_plain_twin(text in "[a-h0-9.:, -ü_Z#]{0,40}|\\PC{0,40}") {
            let mut plain = Vec::new();
            masked_plainly(&mut plain, text.as_bytes());
            proptest::prop_assert_eq!(masked(&text).into_bytes(), plain);
        }
    }
}
