//! What a sender passes over on purpose, as the metadata of the chunk behind it tells.

use crate::StreamId;
use std::fmt;
use std::ops::Range;

/// Bytes of a stream that are neither sent nor lost: whoever wrote them did not want them carried
/// (DELIVERY rule 24).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The stream.
    pub stream: StreamId,
    /// Its bytes, at least one.
    pub bytes: Range<u64>,
}

impl PassedOver {
    /// The key of metadata under which it stands as text.
    pub const KEY: &'static str = "tailrace.passed_over";

    /// Reads the text; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (stream, bytes) = text.split_once(':')?;
        let (start, end) = bytes.split_once('-')?;
        let bytes: Range<u64> = start.parse().ok()?..end.parse().ok()?;
        let stream = StreamId::from_str_radix(stream, 16).ok()?;
        (!bytes.is_empty()).then_some(Self { stream, bytes })
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.bytes;
        write!(f, "{:016x}:{start}-{end}", self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let passed_over = PassedOver {
            stream: 0xabc,
            bytes: 100..5000,
        };
        let text = "0000000000000abc:100-5000";
        assert_eq!(passed_over.to_string(), text);
        assert_eq!(PassedOver::parse(text), Some(passed_over));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "abc",
            "abc:1",
            "abc:1-1",
            "abc:2-1",
            "abc:1-",
            "xyz:1-2",
            ":1-2",
            "abc:1-18446744073709551616",
            "10000000000000000:1-2",
        ] {
            assert_eq!(PassedOver::parse(text), None, "{text}");
        }
    }
}
