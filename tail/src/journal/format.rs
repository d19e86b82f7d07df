//! Bytes of the journal's files: headers, frames, entries. The layout is specified in
//! [`super`].

use xxhash_rust::xxh3::Xxh3;

/// Bytes of a file's header.
pub(super) const HEADER: usize = 16;
/// Bytes of an entry besides its key and value.
pub(super) const ENTRY_HEAD: usize = 8;
/// Bytes of a frame besides its payload.
const FRAME_HEAD: usize = 12;
/// In place of a value's length: the key is deleted.
const DELETED: u32 = u32::MAX;

/// The two kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Snapshot,
    Log,
}

impl FileKind {
    fn magic(self) -> [u8; 8] {
        match self {
            FileKind::Snapshot => *b"TRSNAP\0\x01",
            FileKind::Log => *b"TRDLOG\0\x01",
        }
    }
}

pub(super) fn append_header(out: &mut Vec<u8>, kind: FileKind, generation: u64) {
    out.extend_from_slice(&kind.magic());
    out.extend_from_slice(&generation.to_le_bytes());
}

/// Leaves room for a frame's head; entries follow, then [`end_frame`].
pub(super) fn begin_frame(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; FRAME_HEAD]);
}

/// True when entries were added to the frame that begins at `begin`.
pub(super) fn frame_has_payload(out: &[u8], begin: usize) -> bool {
    out.len() > begin + FRAME_HEAD
}

/// Fills in the head of the frame that begins at `begin` and reaches to the end of `out`.
pub(super) fn end_frame(out: &mut [u8], begin: usize, generation: u64, number: u64) {
    let Some((head, payload)) = out
        .get_mut(begin..)
        .and_then(|frame| frame.split_first_chunk_mut::<FRAME_HEAD>())
    else {
        debug_assert!(false, "a frame begins with its head");
        return;
    };
    // The table is megabytes at most, a frame never near 4 GiB.
    let len = (payload.len() as u32).to_le_bytes();
    let sum = checksum(generation, number, len, payload).to_le_bytes();
    let [a, b, c, d] = len;
    let [e, f, g, h, i, j, k, l] = sum;
    *head = [a, b, c, d, e, f, g, h, i, j, k, l];
}

pub(super) fn append_entry(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    match value {
        Some(value) => {
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value);
        }
        None => out.extend_from_slice(&DELETED.to_le_bytes()),
    }
}

fn checksum(generation: u64, number: u64, len: [u8; 4], payload: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&generation.to_le_bytes());
    hash.update(&number.to_le_bytes());
    hash.update(&len);
    hash.update(payload);
    hash.digest()
}

/// Walks the frames of a file up to the first bad one.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    generation: Option<u64>,
    number: u64,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], kind: FileKind) -> Self {
        let generation = bytes
            .split_first_chunk::<8>()
            .filter(|(magic, _)| **magic == kind.magic())
            .and_then(|(_, rest)| rest.first_chunk::<8>())
            .map(|generation| u64::from_le_bytes(*generation));
        let at = if generation.is_some() { HEADER } else { 0 };
        Self {
            bytes,
            at,
            generation,
            number: 0,
        }
    }

    /// `None` when the header is bad: there are no frames then.
    pub(super) fn generation(&self) -> Option<u64> {
        self.generation
    }

    /// The payload of the next frame, or `None` at the end and at a bad frame.
    pub(super) fn next_frame(&mut self) -> Option<&'a [u8]> {
        let generation = self.generation?;
        let rest = self.bytes.get(self.at..)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<8>()?;
        let payload = rest.get(..u32::from_le_bytes(*len) as usize)?;
        if checksum(generation, self.number, *len, payload) != u64::from_le_bytes(*sum) {
            return None;
        }
        self.number += 1;
        self.at += FRAME_HEAD + payload.len();
        Some(payload)
    }

    /// Up to here everything is good.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn at_end(&self) -> bool {
        self.generation.is_some() && self.at == self.bytes.len()
    }
}

/// A key and its new value; `None` deletes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

/// The entries of a payload whose checksum was right.
pub(super) fn entries(mut payload: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let key = take_counted(&mut payload)??;
        let value = take_counted(&mut payload)?;
        Some(Entry { key, value })
    })
}

/// `None`: too short. `Some(None)`: marked as deleted.
fn take_counted<'a>(payload: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (len, rest) = payload.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len);
    if len == DELETED {
        *payload = rest;
        return Some(None);
    }
    let (bytes, rest) = rest.split_at_checked(len as usize)?;
    *payload = rest;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_of_another_place_or_generation_are_refused() {
        let mut file = Vec::new();
        append_header(&mut file, FileKind::Log, 7);
        let begin = file.len();
        begin_frame(&mut file);
        append_entry(&mut file, b"key", Some(b"value"));
        end_frame(&mut file, begin, 7, 0);
        let frame = file[begin..].to_vec();

        let mut frames = Frames::new(&file, FileKind::Log);
        let entry: Vec<_> = entries(frames.next_frame().unwrap()).collect();
        assert_eq!(
            entry,
            [Entry {
                key: b"key",
                value: Some(b"value")
            }]
        );
        assert!(frames.at_end());

        let mut doubled = file.clone();
        doubled.extend_from_slice(&frame);
        let mut frames = Frames::new(&doubled, FileKind::Log);
        assert!(frames.next_frame().is_some());
        assert!(
            frames.next_frame().is_none(),
            "the same frame at the next place"
        );
        assert_eq!(frames.offset(), file.len());

        let mut other = Vec::new();
        append_header(&mut other, FileKind::Log, 8);
        other.extend_from_slice(&frame);
        assert!(Frames::new(&other, FileKind::Log).next_frame().is_none());
        assert_eq!(Frames::new(&file, FileKind::Snapshot).generation(), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_without_panic(bytes: Vec<u8>, with_header: bool) {
            let mut file = Vec::new();
            if with_header {
                append_header(&mut file, FileKind::Log, 1);
            }
            file.extend_from_slice(&bytes);
            let mut frames = Frames::new(&file, FileKind::Log);
            while frames.next_frame().is_some() {}
            prop_assert!(frames.offset() <= file.len());
            prop_assert!(entries(&bytes).count() <= bytes.len());
        }
    }
}
