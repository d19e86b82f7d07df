//! Lines of the container runtime interface: `<time> <stdout|stderr> <P|F>[:TAG…] <content>`.
//!
//! Read at fixed positions behind the time. Decided where runtimes and readers differ: content may
//! be empty, and the space before it may then be missing; a line without tag (before Kubernetes
//! 1.9) is whole, and so is one with an unknown first tag, which stays part of the content, so
//! that no byte is lost.

use memchr::memchr;

use crate::Iostream;
use crate::time::TimeCache;

/// A decoded line; `content` is where the content starts in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CriLine {
    pub(crate) time_ns: Option<i64>,
    pub(crate) iostream: Iostream,
    pub(crate) partial: bool,
    pub(crate) content: usize,
}

/// Longest time: 19 bytes to the second, a fraction, a zone. Anything longer is not one.
const MAX_TIME: usize = 48;

/// Decodes `line` (without its line end); `None` when it is not in this format.
#[inline]
pub(crate) fn decode(line: &[u8], times: &mut TimeCache) -> Option<CriLine> {
    // What the runtimes write nearly always has 30 bytes and `Z`.
    let time_end = match line.get(30) {
        Some(b' ') if line[29] == b'Z' => 30,
        _ => memchr(b' ', &line[..line.len().min(MAX_TIME)])?,
    };
    let time_ns = times.parse(&line[..time_end])?;
    let rest = &line[time_end + 1..];
    let iostream = match rest.get(..6)? {
        b"stdout" => Iostream::Stdout,
        b"stderr" => Iostream::Stderr,
        _ => return None,
    };
    let after = time_end + 7;
    let (partial, content) = match rest.get(6..)? {
        [] => (false, after),
        [b' ', tag @ (b'P' | b'F'), b' ', ..] => (*tag == b'P', after + 3),
        [b' ', tag @ (b'P' | b'F')] => (*tag == b'P', after + 2),
        [b' ', tag @ (b'P' | b'F'), b':', more @ ..] => {
            let tags = memchr(b' ', more).map_or(more.len(), |n| n + 1);
            (*tag == b'P', after + 3 + tags)
        }
        [b' ', ..] => (false, after + 1),
        _ => return None,
    };
    Some(CriLine {
        time_ns,
        iostream,
        partial,
        content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(Iostream, bool, &str)>) {
        let found = decode(line.as_bytes(), &mut TimeCache::default());
        let found = found.as_ref().map(|found| {
            (
                found.iostream,
                found.partial,
                line.get(found.content..).unwrap_or("<outside>"),
            )
        });
        assert_eq!(found, expected, "{line:?}");
    }

    #[test]
    fn lines_are_decoded_and_no_content_is_lost() {
        use Iostream::{Stderr, Stdout};
        let cases = [
            (
                "2026-01-01T00:00:00.123456789Z stdout F hi there",
                Some((Stdout, false, "hi there")),
            ),
            (
                "2026-01-01T00:00:00.1Z stderr P part ",
                Some((Stderr, true, "part ")),
            ),
            (
                "2026-01-01T00:00:00.123456789+02:00 stdout F  x",
                Some((Stdout, false, " x")),
            ),
            (
                "2026-01-01T00:00:00Z stdout P:TAG1:TAG2 x y",
                Some((Stdout, true, "x y")),
            ),
            (
                "2026-01-01T00:00:00Z stdout F: x",
                Some((Stdout, false, "x")),
            ),
            (
                "2026-01-01T00:00:00Z stdout F:TAG",
                Some((Stdout, false, "")),
            ),
            ("2026-01-01T00:00:00Z stdout F ", Some((Stdout, false, ""))),
            ("2026-01-01T00:00:00Z stdout F", Some((Stdout, false, ""))),
            ("2026-01-01T00:00:00Z stdout ", Some((Stdout, false, ""))),
            ("2026-01-01T00:00:00Z stdout", Some((Stdout, false, ""))),
            (
                "2026-01-01T00:00:00Z stdout no tag",
                Some((Stdout, false, "no tag")),
            ),
            (
                "2026-01-01T00:00:00Z stdout FAIL x",
                Some((Stdout, false, "FAIL x")),
            ),
            ("2026-01-01T00:00:00Z stdin F x", None),
            ("2026-01-01T00:00:00Z stdoutF x", None),
            ("2026-01-01T00:00:00Z", None),
            ("2026-01-01 stdout F x", None),
            ("unsupported log format test log", None),
            (" stdout F x", None),
            ("", None),
        ];
        for (line, expected) in cases {
            check(line, expected);
        }
    }
}
