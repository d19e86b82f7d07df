//! Lines of Docker's json-file driver: `{"log":"…\n","stream":"stdout","attrs":{…},"time":"…"}`.
//!
//! Keys may come in any order; unknown ones are skipped; of a key that comes twice the last
//! counts. `log` without a last line feed is a part of a line. Escapes that JSON does not know, and
//! lone surrogates, stay as they are written; bytes need not be UTF-8. A line without `log` or that
//! is no object is not in this format. A missing or unknown `stream` counts as stdout; a missing or
//! unreadable `time` is none: the text of the line is worth more than an error.

use memchr::memchr2;

use crate::Iostream;
use crate::time::TimeCache;

/// A decoded line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DockerLine {
    pub(crate) time_ns: Option<i64>,
    pub(crate) iostream: Iostream,
    pub(crate) partial: bool,
    pub(crate) log: Log,
}

/// Value of `log`, without the line feed at its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// Stands in the line from and to here.
    Plain(usize, usize),
    /// Had escapes: was appended to the arena from here to its end.
    Unescaped(usize),
}

/// Deepest nesting of a value that is skipped; more is not what Docker writes.
const MAX_DEPTH: usize = 64;

/// Decodes `line` (without its line end); `None` when it is not in this format. Appends to `arena`
/// only when it answers with [`Log::Unescaped`].
#[inline]
pub(crate) fn decode(
    line: &[u8],
    times: &mut TimeCache,
    arena: &mut Vec<u8>,
) -> Option<DockerLine> {
    let mut scan = Scan { line, at: 0 };
    let mut log = None;
    let mut iostream = Iostream::Stdout;
    let mut time_ns = None;
    scan.space();
    scan.expect(b'{')?;
    scan.space();
    if scan.peek()? == b'}' {
        return None;
    }
    loop {
        scan.space();
        let (key_start, key_end, _) = scan.string()?;
        scan.space();
        scan.expect(b':')?;
        scan.space();
        if scan.peek()? == b'"' {
            let (start, end, escaped) = scan.string()?;
            match &line[key_start..key_end] {
                b"log" => log = Some((start, end, escaped)),
                b"stream" if &line[start..end] == b"stderr" => iostream = Iostream::Stderr,
                b"stream" => iostream = Iostream::Stdout,
                b"time" => time_ns = times.parse(&line[start..end]).flatten(),
                _ => {}
            }
        } else {
            scan.skip_value()?;
        }
        scan.space();
        match scan.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    scan.space();
    if scan.at != line.len() {
        return None;
    }
    let (start, end, escaped) = log?;
    let (partial, log) = value(line, start, end, escaped, arena);
    Some(DockerLine {
        time_ns,
        iostream,
        partial,
        log,
    })
}

/// Gives whether the value of `log` lacks a line feed, and where its bytes are.
fn value(line: &[u8], start: usize, end: usize, escaped: bool, arena: &mut Vec<u8>) -> (bool, Log) {
    if !escaped {
        return (true, Log::Plain(start, end));
    }
    let text = &line[start..end];
    // Most lines have one escape, the line feed at their end; a backslash before it would be one
    // of a pair and is found by the search.
    if let Some(text) = text.strip_suffix(b"\\n")
        && memchr::memchr(b'\\', text).is_none()
    {
        return (false, Log::Plain(start, start + text.len()));
    }
    let from = arena.len();
    append_unescaped(text, arena);
    let whole = arena.last() == Some(&b'\n') && arena.len() > from;
    if whole {
        arena.pop();
    }
    (!whole, Log::Unescaped(from))
}

/// Appends `text`, the inside of a JSON string, with its escapes resolved.
fn append_unescaped(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(n) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..n]);
        rest = &rest[n..];
        let simple = match rest.get(1) {
            Some(b'n') => Some(b'\n'),
            Some(b't') => Some(b'\t'),
            Some(b'r') => Some(b'\r'),
            Some(b'b') => Some(8),
            Some(b'f') => Some(12),
            Some(byte @ (b'"' | b'\\' | b'/')) => Some(*byte),
            _ => None,
        };
        if let Some(byte) = simple {
            out.push(byte);
            rest = &rest[2..];
        } else if let Some((scalar, length)) = unicode_escape(rest) {
            out.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[length..];
        } else {
            out.push(b'\\');
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest);
}

/// Reads `\uXXXX`, or a pair of surrogates, at the start of `text`: the scalar and the length.
fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let first = hex4(text)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = hex4(text.get(6..)?)?;
    if !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    let scalar = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    Some((char::from_u32(scalar)?, 12))
}

/// Reads `\uXXXX` at the start of `text`.
fn hex4(text: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text.get(..6)? else {
        return None;
    };
    digits.iter().try_fold(0, |value, &digit| {
        char::from(digit)
            .to_digit(16)
            .map(|digit| value * 16 + digit)
    })
}

/// A walk over one JSON object.
struct Scan<'a> {
    line: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads a string: start and end of its inside, and whether it holds escapes.
    fn string(&mut self) -> Option<(usize, usize, bool)> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += memchr2(b'"', b'\\', self.line.get(self.at..)?)?;
            if self.line[self.at] == b'"' {
                let end = self.at;
                self.at += 1;
                return Some((start, end, escaped));
            }
            escaped = true;
            self.at += 2;
        }
    }

    /// Skips a value that is no string, without judging numbers and names.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => return Some(()),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            if depth > MAX_DEPTH {
                return None;
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(line: &[u8]) -> Option<(Vec<u8>, Iostream, bool, Option<i64>)> {
        let mut arena = b"before".to_vec();
        let found = decode(line, &mut TimeCache::default(), &mut arena)?;
        let log = match found.log {
            Log::Plain(start, end) => line[start..end].to_vec(),
            Log::Unescaped(from) => arena[from..].to_vec(),
        };
        Some((log, found.iostream, found.partial, found.time_ns))
    }

    fn check(line: &str, log: &str, partial: bool) {
        let found = decoded(line.as_bytes()).map(|found| (found.0, found.2));
        assert_eq!(found, Some((log.as_bytes().to_vec(), partial)), "{line}");
    }

    #[test]
    fn values_of_log_are_unescaped_and_parts_told_from_lines() {
        check(
            r#"{"log":"hi\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}"#,
            "hi",
            false,
        );
        check(r#"{"log":"hi","stream":"stdout"}"#, "hi", true);
        check(r#"{"log":"x\n","time":"noon"}"#, "x", false);
        check(r#"{"log":"\n"}"#, "", false);
        check(r#"{"log":""}"#, "", true);
        check(r#"{"log":"a\\n"}"#, "a\\n", true);
        check(r#"{"log":"a\\\n"}"#, "a\\", false);
        check(r#"{"log":"q\"\t\/\b\f\r\n"}"#, "q\"\t/\u{8}\u{c}\r", false);
        check(r#"{"log":"\u00e9\ud83d\ude00\u0000\n"}"#, "é😀\0", false);
        // Lone surrogates and unknown escapes stay as they are.
        check(
            r#"{"log":"\ud83d \ud83d\u0041 \udc00 \x \u12g4\n"}"#,
            r"\ud83d \ud83dA \udc00 \x \u12g4",
            false,
        );
        check(
            r#" { "attrs" : {"a":["}",{"b":1}],"c":null} , "n":-1.5e3, "log" : "x\n" } "#,
            "x",
            false,
        );
        check(r#"{"log":"first\n","log":"second\n"}"#, "second", false);
    }

    #[test]
    fn iostream_and_time_are_read_in_any_order() {
        let line = br#"{"time":"1970-01-01T00:00:01.5Z","stream":"stderr","log":"\xff\n"}"#;
        let expected = (
            br"\xff".to_vec(),
            Iostream::Stderr,
            false,
            Some(1_500_000_000),
        );
        assert_eq!(decoded(line), Some(expected));
        let line = b"{\"log\":\"\xff\xfe\\n\"}";
        assert_eq!(
            decoded(line),
            Some((b"\xff\xfe".to_vec(), Iostream::Stdout, false, None))
        );
    }

    #[test]
    fn what_docker_never_writes_is_refused() {
        let deep = format!(
            r#"{{"a":{}1{},"log":"x"}}"#,
            "[".repeat(1000),
            "]".repeat(1000)
        );
        let cases = [
            "",
            "{",
            "{}",
            "[]",
            "plain",
            r#"{"log":1}"#,
            r#"{"log":"x"#,
            r#"{"log":"x\"#,
            r#"{"log":"x"} tail"#,
            r#"{"log" "x"}"#,
            r#"{"log":"x",}"#,
            r#"{"stream":"stdout"}"#,
            r#"{"log":"x","a":[}"#,
            &deep,
        ];
        for line in cases {
            assert_eq!(decoded(line.as_bytes()), None, "{line}");
        }
    }
}
