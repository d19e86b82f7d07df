//! What the journal holds of streams and groups, and how it is written.
//!
//! | key | value |
//! |---|---|
//! | `s` handle | a stream's fixed part: identity, head, paths, older markers |
//! | `p` handle | its moving part: positions, size, last marker |
//! | `g` sequence | the sealed group without answer |
//! | `m` hash | metadata and settings that groups refer to |
//! | `q` sequence | nothing: the sequence was seen, so files new in it are read from the start |
//! | `i` | boot id of the machine at the last start |
//!
//! Numbers are LEB128 varints, hashes eight bytes little-endian, byte strings are preceded by
//! their length. The first byte of each value is its version; unknown ones read as absent, which
//! leads to a second reading of the file, never to a loss.

use crate::content::FileId;
use crate::group::{ContainerPath, Flush, Framing, Positions, Source, StreamEnd};
use crate::mark::{Head, Mark, Marks};
use crate::stream::{Phase, Place, Rejections, Sealed, SealedChunk, Stream};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u8 = 1;

/// Version of a stream's fixed part. Its paths have much in common: since version 2 each behind the
/// first says how many bytes it shares with the folder, and has only what follows: the table is in
/// memory, and of a quiet file it holds little else (`tailrace-bench --idle`).
const FIXED_VERSION: u8 = 2;

/// A journal key: its kind, then the number.
pub(crate) fn key(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    for (place, byte) in key.iter_mut().skip(1).zip(number.to_be_bytes()) {
        *place = byte;
    }
    key
}

/// Takes a key apart.
pub(crate) fn split_key(key: &[u8]) -> Option<(u8, u64)> {
    let (kind, number) = key.split_first()?;
    Some((*kind, u64::from_be_bytes(number.try_into().ok()?)))
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![VERSION])
    }

    fn num(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn hash(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.num(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn path(&mut self, path: &Path) {
        self.bytes(path.as_os_str().as_bytes());
    }

    /// A path, without the bytes that it shares with another one.
    fn path_after(&mut self, base: &Path, path: &Path) {
        let (base, path) = (base.as_os_str().as_bytes(), path.as_os_str().as_bytes());
        let pairs = base.iter().zip(path);
        let shared = pairs.take_while(|(a, b)| a == b).count();
        self.num(shared as u64);
        self.bytes(path.get(shared..).unwrap_or_default());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.num(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn mark(&mut self, mark: Mark) {
        self.num(mark.end);
        self.num(u64::from(mark.len));
        self.hash(mark.hash);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        (*version == VERSION).then_some(Self(rest))
    }

    fn num(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(bytes)
    }

    fn hash(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.num()?).ok()?;
        self.take(len)
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(PathBuf::from(OsStr::from_bytes(self.bytes()?)))
    }

    /// See [`Writer::path_after`]; in records of version 1 the path stands there whole.
    fn path_after(&mut self, base: &Path, version: u8) -> Option<PathBuf> {
        if version == VERSION {
            return self.path();
        }
        let shared = usize::try_from(self.num()?).ok()?;
        let mut path = base.as_os_str().as_bytes().get(..shared)?.to_vec();
        path.extend_from_slice(self.bytes()?);
        Some(PathBuf::from(OsString::from_vec(path)))
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// The outer `Option` is success.
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.num()? == 0 {
            Some(None)
        } else {
            read(self).map(Some)
        }
    }

    fn mark(&mut self) -> Option<Mark> {
        Some(Mark {
            end: self.num()?,
            len: u16::try_from(self.num()?).ok()?,
            hash: self.hash()?,
        })
    }
}

fn framing_of(n: u64) -> Option<Framing> {
    [Framing::Raw, Framing::Cri, Framing::Docker]
        .get(usize::try_from(n).ok()?)
        .copied()
}

fn flush_of(n: u64) -> Option<Flush> {
    [Flush::None, Flush::Soft, Flush::Hard]
        .get(usize::try_from(n).ok()?)
        .copied()
}

/// The fixed part of a stream, with what is needed to find its sequence again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fixed {
    pub(crate) sequence: u64,
    pub(crate) dir: PathBuf,
    pub(crate) source: Source,
    pub(crate) id: u64,
    pub(crate) head: Head,
    pub(crate) life: u64,
    pub(crate) place: Option<Place>,
    pub(crate) older: Vec<Mark>,
}

pub(crate) fn write_fixed(fixed: &Fixed) -> Vec<u8> {
    let mut w = Writer(vec![FIXED_VERSION]);
    w.hash(fixed.sequence);
    w.path(&fixed.dir);
    w.path_after(&fixed.dir, &fixed.source.path);
    w.path_after(&fixed.dir, &fixed.source.real_path);
    w.option(fixed.source.container.as_ref(), |w, container| {
        w.bytes(container.namespace.as_bytes());
        w.bytes(container.pod.as_bytes());
        w.option(container.pod_uid.as_ref(), |w, uid| w.bytes(uid.as_bytes()));
        w.bytes(container.container.as_bytes());
        w.option(container.container_id.as_ref(), |w, id| {
            w.bytes(id.as_bytes())
        });
        w.option(container.restart, |w, restart| w.num(u64::from(restart)));
    });
    w.hash(fixed.id);
    w.num(u64::from(fixed.head.len));
    w.hash(fixed.head.hash);
    w.num(fixed.head.framing as u64);
    w.num(fixed.life);
    w.option(fixed.place.as_ref(), |w, place| {
        w.num(place.id.inode);
        w.num(place.id.birth_ns);
        w.path_after(&fixed.dir, &place.path);
        w.num(u64::from(place.gz));
    });
    w.num(fixed.older.len() as u64);
    for mark in &fixed.older {
        w.mark(*mark);
    }
    w.0
}

pub(crate) fn read_fixed(bytes: &[u8]) -> Option<Fixed> {
    let (&version, rest) = bytes.split_first()?;
    if !(VERSION..=FIXED_VERSION).contains(&version) {
        return None;
    }
    let r = &mut Reader(rest);
    let sequence = r.hash()?;
    let dir = r.path()?;
    Some(Fixed {
        sequence,
        source: Source {
            path: r.path_after(&dir, version)?,
            real_path: r.path_after(&dir, version)?,
            container: r.option(|r| {
                Some(ContainerPath {
                    namespace: r.text()?,
                    pod: r.text()?,
                    pod_uid: r.option(Reader::text)?,
                    container: r.text()?,
                    container_id: r.option(Reader::text)?,
                    restart: r.option(|r| u32::try_from(r.num()?).ok())?,
                })
            })?,
        },
        id: r.hash()?,
        head: Head {
            len: u32::try_from(r.num()?).ok()?,
            hash: r.hash()?,
            framing: framing_of(r.num()?)?,
        },
        life: r.num()?,
        place: r.option(|r| {
            Some(Place {
                id: FileId {
                    inode: r.num()?,
                    birth_ns: r.num()?,
                },
                path: r.path_after(&dir, version)?,
                gz: r.num()? == 1,
            })
        })?,
        older: {
            let n = r.num()?;
            (0..n).map(|_| r.mark()).collect::<Option<_>>()?
        },
        dir,
    })
}

/// The moving part of a stream.
pub(crate) fn write_moving(stream: &Stream) -> Vec<u8> {
    let mut w = Writer::new();
    w.num(stream.acked.stdout);
    w.num(stream.acked.stderr);
    w.num(stream.sent);
    w.num(stream.size);
    w.num(stream.lost);
    w.num(stream.flushed as u64);
    match stream.phase {
        Phase::Live | Phase::Missing { .. } => w.num(0),
        Phase::Done => w.num(1),
        Phase::Vanished { unread } => {
            w.num(2);
            w.num(unread);
        }
    }
    w.mark(stream.marks.last);
    // Records that end here have neither: those of earlier versions, and nearly all others.
    let has_doubt = stream.unsure_below > stream.acked.low();
    if has_doubt || stream.passed_over.is_some() {
        w.num(if has_doubt { stream.unsure_below } else { 0 });
    }
    if let Some(bytes) = &stream.passed_over {
        w.num(bytes.start);
        w.num(bytes.end);
    }
    w.0
}

/// A stream as the journal has it; a sequence's files are compared with it later.
pub(crate) fn read_stream(handle: u64, fixed: &Fixed, moving: &[u8]) -> Option<Stream> {
    let r = &mut Reader::new(moving)?;
    let none = Place {
        id: FileId::default(),
        path: PathBuf::new(),
        gz: false,
    };
    let mut stream = Stream::new(handle, none, fixed.life);
    stream.place.clone_from(&fixed.place);
    stream.id = Some(fixed.id);
    stream.head = Some(fixed.head);
    stream.acked = Positions {
        stdout: r.num()?,
        stderr: r.num()?,
    };
    stream.sent = r.num()?;
    stream.size = r.num()?;
    stream.lost = r.num()?;
    stream.flushed = flush_of(r.num()?)?;
    stream.phase = match r.num()? {
        0 => Phase::Live,
        1 => Phase::Done,
        2 => Phase::Vanished { unread: r.num()? },
        _ => return None,
    };
    stream.marks = Marks {
        last: r.mark()?,
        older: fixed.older.clone(),
    };
    if !r.0.is_empty() {
        stream.unsure_below = r.num()?;
    }
    if !r.0.is_empty() {
        stream.pass_over(r.num()?..r.num()?);
    }
    stream.is_dirty = false;
    stream.is_journaled = true;
    Some(stream)
}

/// Names metadata in the journal.
pub(crate) fn metadata_hash(metadata: &[u8]) -> u64 {
    xxh3_64(metadata)
}

pub(crate) fn write_sealed(sealed: &Sealed) -> Vec<u8> {
    let mut w = Writer::new();
    w.num(u64::from(sealed.version));
    w.num(sealed.flush as u64);
    w.hash(metadata_hash(&sealed.metadata));
    w.num(sealed.sealed_ns);
    w.num(u64::from(sealed.lost_connections));
    w.num(sealed.chunks.len() as u64);
    for chunk in &sealed.chunks {
        w.num(chunk.handle);
        w.hash(chunk.stream);
        w.num(chunk.start);
        w.num(chunk.len);
        w.num(chunk.resume.stdout);
        w.num(chunk.resume.stderr);
        w.num(chunk.framing as u64);
        w.num(u64::from(chunk.eof));
        w.option(chunk.end, |w, end| {
            w.num(end.size);
            w.num(end.unread);
            w.option(end.successor, Writer::hash);
        });
        w.mark(chunk.mark);
    }
    // Records of earlier versions end here.
    if let Some(settings) = &sealed.settings {
        w.hash(metadata_hash(settings));
    }
    w.0
}

/// Reads a group; `metadata` finds the bytes of metadata and settings by their hash.
pub(crate) fn read_sealed(
    bytes: &[u8],
    metadata: impl Fn(u64) -> Option<Arc<[u8]>>,
) -> Option<Sealed> {
    let r = &mut Reader::new(bytes)?;
    let mut sealed = Sealed {
        version: u8::try_from(r.num()?).ok()?,
        flush: flush_of(r.num()?)?,
        metadata: metadata(r.hash()?)?,
        settings: None,
        chunks: Vec::new(),
        doubt: Some((Duration::ZERO, Duration::ZERO)),
        sealed_ns: r.num()?,
        lost_connections: u8::try_from(r.num()?).ok()?,
        rejections: Rejections::default(),
    };
    for _ in 0..r.num()? {
        sealed.chunks.push(SealedChunk {
            handle: r.num()?,
            stream: r.hash()?,
            start: r.num()?,
            len: r.num()?,
            resume: Positions {
                stdout: r.num()?,
                stderr: r.num()?,
            },
            framing: framing_of(r.num()?)?,
            eof: r.num()? == 1,
            end: r.option(|r| {
                Some(StreamEnd {
                    size: r.num()?,
                    unread: r.num()?,
                    successor: r.option(Reader::hash)?,
                })
            })?,
            mark: r.mark()?,
        });
    }
    if !r.0.is_empty() {
        // Without them the group is not what it was: by others its events may be cut otherwise.
        sealed.settings = Some(metadata(r.hash()?)?);
    }
    Some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixed(n: u64) -> Fixed {
        Fixed {
            sequence: n,
            dir: PathBuf::from("/var/log/pods/a_b_c/d"),
            source: Source {
                path: PathBuf::from("/var/log/containers/x.log"),
                real_path: PathBuf::from("/var/log/pods/a_b_c/d/0.log"),
                container: n.is_multiple_of(2).then(|| ContainerPath {
                    namespace: "a".to_owned(),
                    pod: "b".to_owned(),
                    pod_uid: Some("c".to_owned()),
                    container: "d".to_owned(),
                    container_id: None,
                    restart: Some(3),
                }),
            },
            id: n ^ 7,
            head: Head {
                len: 100,
                hash: n << 3,
                framing: Framing::Cri,
            },
            life: n >> 1,
            place: Some(Place {
                id: FileId {
                    inode: n,
                    birth_ns: n,
                },
                path: PathBuf::from("/x/0.log"),
                gz: n.is_multiple_of(3),
            }),
            older: vec![
                Mark {
                    end: n,
                    len: 256,
                    hash: n
                };
                (n % 5) as usize
            ],
        }
    }

    proptest! {
        #[test]
        fn records_are_read_as_they_were_written(
            n: u64, bound: u64, unsure_below: u64, lost: u8, eof: bool, passed_over: bool
        ) {
            let fixed = fixed(n);
            prop_assert_eq!(read_fixed(&write_fixed(&fixed)), Some(fixed.clone()));
            let place = Place { id: FileId::default(), path: PathBuf::new(), gz: false };
            let mut stream = Stream::new(n, place, fixed.life);
            stream.acked = Positions { stdout: bound, stderr: n };
            stream.sent = n;
            stream.size = bound;
            stream.phase = Phase::Vanished { unread: bound };
            stream.marks.last = Mark { end: bound, len: 1, hash: n };
            stream.unsure_below = unsure_below;
            stream.passed_over = passed_over.then_some(n / 2..n / 2 + 1);
            let read = read_stream(n, &fixed, &write_moving(&stream)).unwrap();
            prop_assert_eq!(read.acked, stream.acked);
            prop_assert_eq!((read.sent, read.size, read.phase), (n, bound, stream.phase));
            prop_assert_eq!(read.marks.last, stream.marks.last);
            let has_doubt = unsure_below > stream.acked.low();
            prop_assert_eq!(read.unsure_below, if has_doubt { unsure_below } else { 0 });
            prop_assert_eq!(read.passed_over, stream.passed_over);
            let metadata: Arc<[u8]> = b"{}".as_slice().into();
            let sealed = Sealed {
                version: 1,
                flush: Flush::Hard,
                chunks: vec![SealedChunk {
                    handle: n,
                    stream: n,
                    start: bound,
                    len: 5,
                    resume: stream.acked,
                    framing: Framing::Docker,
                    eof,
                    end: eof.then_some(StreamEnd { size: n, unread: bound, successor: Some(n) }),
                    mark: stream.marks.last,
                }],
                metadata: Arc::clone(&metadata),
                settings: eof.then(|| Arc::clone(&metadata)),
                doubt: Some((Duration::ZERO, Duration::ZERO)),
                sealed_ns: bound,
                lost_connections: lost,
                rejections: Rejections::default(),
            };
            let read = read_sealed(&write_sealed(&sealed), |_| Some(Arc::clone(&metadata)));
            prop_assert_eq!(read, Some(sealed));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _fixed = read_fixed(&[&[FIXED_VERSION][..], &bytes].concat());
            let bytes = [&[VERSION][..], &bytes].concat();
            let _fixed = read_fixed(&bytes);
            let _sealed = read_sealed(&bytes, |_| None);
            let _stream = read_stream(1, &fixed(1), &bytes);
        }
    }

    #[test]
    fn the_fixed_part_of_version_1_is_read_and_version_2_is_shorter() {
        let mut fixed = fixed(1);
        fixed.source.path.clone_from(&fixed.source.real_path);
        let mut w = Writer::new();
        w.hash(fixed.sequence);
        for path in [&fixed.dir, &fixed.source.path, &fixed.source.real_path] {
            w.path(path);
        }
        w.num(0);
        w.hash(fixed.id);
        w.num(u64::from(fixed.head.len));
        w.hash(fixed.head.hash);
        w.num(fixed.head.framing as u64);
        w.num(fixed.life);
        w.option(fixed.place.as_ref(), |w, place| {
            w.num(place.id.inode);
            w.num(place.id.birth_ns);
            w.path(&place.path);
            w.num(u64::from(place.gz));
        });
        w.num(1);
        w.mark(fixed.older[0]);
        assert_eq!(read_fixed(&w.0).as_ref(), Some(&fixed));
        let shorter = write_fixed(&fixed);
        assert_eq!(read_fixed(&shorter).as_ref(), Some(&fixed));
        let shared = 2 * fixed.dir.as_os_str().len();
        assert!(shorter.len() + shared <= w.0.len() + 3, "{shorter:?}");
        assert_eq!(read_fixed(&[&[3][..], &shorter[1..]].concat()), None);
    }

    #[test]
    fn keys_sort_by_kind_and_number() {
        assert!(key(b's', 2) < key(b's', 256));
        assert_eq!(split_key(&key(b'g', 77)), Some((b'g', 77)));
        assert_eq!(split_key(b"i"), None);
    }
}
