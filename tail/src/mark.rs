//! Identity by content: first lines and markers (DELIVERY rules 1 and 2).
//!
//! A file continues a stream when its head and its markers match, whatever its name and inode.

use crate::content::{Content, FileId, read_exact_at};
use crate::group::Framing;
use std::io;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Bytes that a marker covers.
pub(crate) const MARK_LEN: u64 = 256;

/// First line that takes part in the identity, at most; also what is read to find it.
const MAX_HEAD: usize = 64 << 10;

/// Bytes of the head of a raw file.
const RAW_HEAD: usize = 256;

/// A marker each MiB; when there are more than this, every other one goes.
const MAX_MARKS: usize = 16;
const MARK_EVERY: u64 = 1 << 20;

/// The hash of the bytes before an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    /// Where the marked bytes end.
    pub(crate) end: u64,
    /// How many there are: 256, or fewer at the start of the file.
    pub(crate) len: u16,
    pub(crate) hash: u64,
}

impl Mark {
    /// Of bytes that end at `end`.
    pub(crate) fn of(end: u64, bytes: &[u8]) -> Self {
        let skip = bytes.len().saturating_sub(MARK_LEN as usize);
        let bytes = bytes.get(skip..).unwrap_or_default();
        Self {
            end,
            len: bytes.len() as u16,
            hash: xxh3_64(bytes),
        }
    }

    /// Whether the content has these bytes at this place.
    pub(crate) fn matches(&self, content: &mut Content) -> io::Result<bool> {
        if self.len == 0 {
            return Ok(true);
        }
        let len = usize::from(self.len);
        let Some(start) = self.end.checked_sub(len as u64) else {
            return Ok(false);
        };
        let bytes = read_exact_at(content, start, len)?;
        Ok(bytes.is_some_and(|bytes| xxh3_64(&bytes) == self.hash))
    }
}

/// The start of a file, which names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) len: u32,
    pub(crate) hash: u64,
    pub(crate) framing: Framing,
}

/// What a stream remembers of its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    /// Before the highest offset that was ever sealed.
    pub(crate) last: Mark,
    /// One a MiB, thinned, rising.
    pub(crate) older: Vec<Mark>,
}

/// How a file compares with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// The stream's content up to its last marker is there.
    Whole,
    /// The file ends before the last marker; what can be compared is equal.
    Shorter,
    /// Other content.
    No,
}

impl Marks {
    /// Remembers a new highest offset. True when the list of older marks changed.
    pub(crate) fn push(&mut self, mark: Mark) -> bool {
        let last_kept = self.older.last().map_or(0, |mark| mark.end);
        let keeps = self.last.end >= last_kept + MARK_EVERY;
        if keeps {
            self.older.push(self.last);
            if self.older.len() > MAX_MARKS {
                let mut odd = false;
                self.older.retain(|_| {
                    odd = !odd;
                    !odd
                });
            }
        }
        self.last = mark;
        keeps
    }

    /// Compares a file with the stream that these marks and `head` are of.
    pub(crate) fn compare(
        &self,
        head: &Head,
        content: &mut Content,
        size: u64,
    ) -> io::Result<Match> {
        let head_mark = Mark {
            end: u64::from(head.len),
            len: 0,
            hash: 0,
        };
        if size < head_mark.end {
            return Ok(Match::No);
        }
        let bytes = read_exact_at(content, 0, head.len as usize)?;
        if bytes.is_none_or(|bytes| xxh3_64(&bytes) != head.hash) {
            return Ok(Match::No);
        }
        let mut fits = Match::Whole;
        // From the youngest: the first that lies inside the file decides.
        for mark in std::iter::once(&self.last).chain(self.older.iter().rev()) {
            if mark.end > size {
                fits = Match::Shorter;
                continue;
            }
            return Ok(if mark.matches(content)? {
                fits
            } else {
                Match::No
            });
        }
        Ok(fits)
    }
}

/// The head of a file.
///
/// `None` while it has no identity: no newline and fewer than 256 bytes (raw) or 64 KiB, unless
/// `is_final`, when whatever is there is the head. `expected` is the framing of the sequence's
/// other files, which a first line torn by a crash must not change.
pub(crate) fn read_head(
    content: &mut Content,
    expected: Option<Framing>,
    is_final: bool,
) -> io::Result<Option<(Head, Vec<u8>)>> {
    let mut bytes = Vec::new();
    for want in [4 << 10, MAX_HEAD] {
        bytes.clear();
        content.read_at(0, want, &mut bytes)?;
        if bytes.len() < want || memchr::memchr(b'\n', &bytes).is_some() {
            break;
        }
    }
    let line_end = memchr::memchr(b'\n', &bytes).map(|at| at + 1);
    let framing = expected.unwrap_or_else(|| detect(&bytes));
    let len = match framing {
        Framing::Raw if line_end.is_some() || bytes.len() >= RAW_HEAD || is_final => {
            bytes.len().min(RAW_HEAD)
        }
        Framing::Cri | Framing::Docker => match line_end {
            Some(end) => end,
            None if bytes.len() >= MAX_HEAD || is_final => bytes.len(),
            None => return Ok(None),
        },
        Framing::Raw => return Ok(None),
    };
    // A CRI line of which only the start is there looks raw: it waits for its newline too.
    if expected.is_none() && line_end.is_none() && !is_final && bytes.len() < MAX_HEAD {
        let may_be_framed = bytes
            .first()
            .is_some_and(|byte| byte.is_ascii_digit() || *byte == b'{');
        if may_be_framed && framing == Framing::Raw {
            return Ok(None);
        }
    }
    if len == 0 {
        return Ok(None);
    }
    bytes.truncate(len);
    let head = Head {
        len: len as u32,
        hash: xxh3_64(&bytes),
        framing,
    };
    Ok(Some((head, bytes)))
}

/// Tells the framing by the first lines; one of ten suffices, as the first may be torn.
fn detect(bytes: &[u8]) -> Framing {
    for line in bytes.split(|byte| *byte == b'\n').take(10) {
        if is_cri(line) {
            return Framing::Cri;
        }
        if is_docker(line) {
            return Framing::Docker;
        }
    }
    Framing::Raw
}

fn is_cri(line: &[u8]) -> bool {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let (Some(time), Some(stream)) = (words.next(), words.next()) else {
        return false;
    };
    let tag = words.next().unwrap_or_default();
    let digits = |from: usize, to: usize| {
        time.get(from..to)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    time.len() >= 20
        && digits(0, 4)
        && time.get(4) == Some(&b'-')
        && digits(5, 7)
        && time.get(10) == Some(&b'T')
        && digits(11, 13)
        && (stream == b"stdout" || stream == b"stderr")
        && matches!(tag.first(), Some(b'F' | b'P'))
}

fn is_docker(line: &[u8]) -> bool {
    let has = |key: &[u8]| memchr::memmem::find(line, key).is_some();
    line.starts_with(b"{") && has(b"\"log\":") && has(b"\"stream\":\"std") && has(b"\"time\":\"")
}

/// What a new stream is named by, besides its head.
pub(crate) enum Origin<'a> {
    /// CRI and Docker: the container's id, or what stands for it.
    Container(&'a [u8]),
    /// Raw files.
    Raw {
        node: &'a str,
        id: FileId,
        life: u64,
    },
}

/// The identity of a stream (DELIVERY rule 1).
pub(crate) fn stream_id(origin: &Origin<'_>, head: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match origin {
        Origin::Container(container) => {
            part(b"container");
            part(container);
        }
        Origin::Raw { node, id, life } => {
            part(b"raw");
            part(node.as_bytes());
            part(&id.inode.to_le_bytes());
            part(&id.birth_ns.to_le_bytes());
            part(&life.to_le_bytes());
        }
    }
    part(head);
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn content(bytes: &[u8]) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Content::Plain(file)
    }

    fn head_of(bytes: &[u8]) -> Option<(usize, Framing)> {
        let head = read_head(&mut content(bytes), None, false).unwrap();
        head.map(|(head, bytes)| (bytes.len(), head.framing))
    }

    #[test]
    fn a_file_has_no_identity_before_its_first_newline_or_256_bytes() {
        // Rule 1.
        assert_eq!(head_of(b""), None);
        assert_eq!(head_of(b"no newline"), None);
        assert_eq!(head_of(b"line\nmore"), Some((9, Framing::Raw)));
        assert_eq!(head_of(&[b'x'; 300]), Some((256, Framing::Raw)));
        let cri = b"2024-01-02T03:04:05.123456789Z stdout F hello\n";
        assert_eq!(head_of(cri), Some((cri.len(), Framing::Cri)));
        assert_eq!(head_of(&cri[..20]), None);
        let long = [&cri[..cri.len() - 1], &[b'x'; 20_000], b"\nnext\n"].concat();
        assert_eq!(head_of(&long), Some((long.len() - 5, Framing::Cri)));
        let tags = b"2024-01-02T03:04:05.1+02:00 stderr P:TAG part\n";
        assert_eq!(head_of(tags), Some((tags.len(), Framing::Cri)));
        let docker = br#"{"log":"a\n","stream":"stdout","time":"2024-01-02T03:04:05.1Z"}"#;
        let docker = [docker, &b"\n"[..]].concat();
        assert_eq!(head_of(&docker), Some((docker.len(), Framing::Docker)));
        assert_eq!(head_of(b"{\"message\":1}\n"), Some((14, Framing::Raw)));
        let torn = [b"\0\0\0\n", &cri[..]].concat();
        assert_eq!(head_of(&torn), Some((4, Framing::Cri)));
    }

    #[test]
    fn markers_tell_continuation_truncation_and_refill_apart() {
        // Rule 2.
        let text: Vec<u8> = (0..600_000_u32)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let mut file = content(&text);
        let (head, _) = read_head(&mut file, None, false).unwrap().unwrap();
        let mut marks = Marks::default();
        for end in (200_000..=2_400_000).step_by(200_000) {
            marks.push(Mark::of(end as u64, &text[end - 300..end]));
        }
        assert_eq!(marks.older.len(), 1);
        let check = |bytes: &[u8], expected: Match| {
            let size = bytes.len() as u64;
            assert_eq!(
                marks.compare(&head, &mut content(bytes), size).unwrap(),
                expected
            );
        };
        check(&text, Match::Whole);
        check(&text[..2_400_000], Match::Whole);
        check(&text[..2_399_999], Match::Shorter);
        check(&text[..1000], Match::Shorter);
        check(b"", Match::No);
        let mut refilled = text.clone();
        refilled[2_399_900] ^= 1;
        check(&refilled, Match::No);
        let mut shorter = text[..1_500_000].to_vec();
        shorter[1_199_990] ^= 1;
        check(&shorter, Match::No);
    }

    #[test]
    fn marks_stay_few() {
        let mut marks = Marks::default();
        for n in 1..10_000_u64 {
            marks.push(Mark::of(n << 20, b"x"));
        }
        assert!(marks.older.len() <= MAX_MARKS);
        assert!(marks.older.is_sorted_by_key(|mark| mark.end));
    }
}
