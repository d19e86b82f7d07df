//! One journal file, read entry by entry while it may be written to.
//!
//! Read with `pread`, so that a file that is cut off or spoilt under us is an error and no signal.
//! The invariants: no offset is followed that does not lie behind the header and within the file
//! as it is now; each entry array begins behind the end of the one before; nothing is read beyond
//! the number of entries that the header tells. So each walk ends, whatever the bytes are.

use crate::cursor::Position;
use crate::decode::{Section, Undecoded, open};
use crate::entry::Entry;
use crate::format::{
    ARRAY_ITEMS, DATA, ENTRY, ENTRY_ARRAY, ENTRY_ITEMS, FileError, Header, MIN_HEADER,
    OBJECT_HEADER, ObjectHeader, id_at, u32_at, u64_at,
};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// More fields than journald takes into one entry (1,024).
const MAX_FIELDS: u64 = 4096;

/// Longer than any name of a field (64) with its `=`.
const MAX_NAME: usize = 256;

/// Offsets of entries that are read at a time.
const ITEMS: u64 = 256;

/// Read with the first look at a DATA object: most are shorter.
const LOOK: usize = 512;

/// An entry's fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHead {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) position: Position,
}

/// What stands next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Entry(EntryHead),
    /// Nothing more is written yet.
    End,
    /// Half written, or damaged.
    Unreadable,
}

/// Fields that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Unread {
    pub(crate) xz: u32,
    pub(crate) damaged: u32,
}

/// A place in the chain of entry arrays.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The array; 0 before the first.
    array: u64,
    /// Its items and its size in bytes.
    len: u64,
    size: u64,
    /// The next item in it.
    at: u64,
    /// Entries before that item, over all arrays.
    seen: u64,
}

#[derive(Debug)]
pub(crate) struct JournalFile {
    file: File,
    len: u64,
    header: Header,
    place: Place,
    /// Items of the array, the first of which is item `items_at`.
    items: Vec<u64>,
    items_at: u64,
    /// What `peek` found, until it is consumed.
    peeked: Option<Next>,
}

impl JournalFile {
    pub(crate) fn open(file: File) -> Result<Self, FileError> {
        let (header, len) = read_header(&file)?;
        Ok(Self {
            file,
            len,
            header,
            place: Place::default(),
            items: Vec::new(),
            items_at: 0,
            peeked: None,
        })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Looks at what was written since. A header that cannot be read leaves things as they were.
    pub(crate) fn refresh(&mut self) {
        let Ok((header, len)) = read_header(&self.file) else {
            return;
        };
        if header.seqnum_id != self.header.seqnum_id || header.is_compact != self.header.is_compact
        {
            return;
        }
        (self.header, self.len) = (header, len);
        if !matches!(self.peeked, Some(Next::Entry(_))) {
            self.peeked = None;
            self.items.clear();
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The next entry; the same one until `consume`.
    pub(crate) fn peek(&mut self) -> Next {
        if let Some(next) = self.peeked {
            return next;
        }
        let next = match self.next_offset() {
            Ok(Some(offset)) => self.head(offset).map_or(Next::Unreadable, Next::Entry),
            Ok(None) => Next::End,
            Err(()) => Next::Unreadable,
        };
        self.peeked = Some(next);
        next
    }

    /// Goes on to the next entry.
    pub(crate) fn consume(&mut self) {
        if matches!(self.peeked, Some(Next::Entry(_))) {
            self.place.at += 1;
            self.place.seen += 1;
        }
        self.peeked = None;
    }

    /// Gives up what cannot be read: an entry, or all that is left when the chain is broken. Tells
    /// how many entries that are.
    pub(crate) fn skip(&mut self) -> u64 {
        let was = std::mem::take(&mut self.peeked);
        if was != Some(Next::Unreadable) {
            return 0;
        }
        if self.place.array != 0 && self.place.at < self.place.len {
            self.place.at += 1;
            self.place.seen += 1;
            return 1;
        }
        let left = self.header.n_entries.saturating_sub(self.place.seen);
        self.place.seen = self.header.n_entries;
        // A number that no file of this length can hold says nothing.
        left.min(self.len / ENTRY_ITEMS)
    }

    /// Goes to the first entry whose number is above `seqnum`, by steps of whole arrays.
    pub(crate) fn seek_after(&mut self, seqnum: u64) {
        self.rewind();
        let is_read =
            |head: Option<EntryHead>| head.is_some_and(|head| head.position.seqnum <= seqnum);
        while self.place.seen < self.header.n_entries {
            if self.place.at >= self.place.len && self.next_array().is_err() {
                return;
            }
            let left = self.header.n_entries - self.place.seen;
            let n = self.place.len.min(left);
            if n == 0 {
                return;
            }
            if is_read(self.head_at(n - 1)) {
                self.place.at = n;
                self.place.seen += n;
                continue;
            }
            let (mut low, mut high) = (0, n - 1);
            while low < high {
                let middle = low + (high - low) / 2;
                match is_read(self.head_at(middle)) {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            self.place.at = low;
            self.place.seen += low;
            return;
        }
    }

    /// The last entry that can be read.
    pub(crate) fn last(&mut self) -> Option<EntryHead> {
        self.rewind();
        let mut last = None;
        while self.place.seen < self.header.n_entries && self.next_array().is_ok() {
            let n = self.place.len.min(self.header.n_entries - self.place.seen);
            // A few may be half written.
            let found = (n.saturating_sub(16)..n)
                .rev()
                .find_map(|at| self.head_at(at));
            last = found.or(last);
            self.place.at = n;
            self.place.seen += n;
            if n == 0 {
                break;
            }
        }
        self.rewind();
        last
    }

    fn rewind(&mut self) {
        self.place = Place::default();
        self.items.clear();
        self.peeked = None;
    }

    /// Where the next entry is; `Err` when it should be there and is not.
    fn next_offset(&mut self) -> Result<Option<u64>, ()> {
        if self.place.seen >= self.header.n_entries {
            return Ok(None);
        }
        while self.place.at >= self.place.len {
            self.next_array()?;
        }
        self.item(self.place.at).map(Some).ok_or(())
    }

    fn head_at(&mut self, at: u64) -> Option<EntryHead> {
        let offset = self.item(at)?;
        self.head(offset)
    }

    /// One item of the array at hand; `None` when it is not written.
    fn item(&mut self, at: u64) -> Option<u64> {
        let known = at
            .checked_sub(self.items_at)
            .and_then(|idx| self.items.get(usize::try_from(idx).ok()?));
        if let Some(offset) = known.copied().filter(|offset| *offset != 0) {
            return Some(offset);
        }
        let width = self.header.array_item();
        let n = ITEMS.min(self.place.len.checked_sub(at)?);
        let mut bytes = vec![0; (n * width) as usize];
        let from = self.place.array + ARRAY_ITEMS + at * width;
        read_exact(&self.file, &mut bytes, from)?;
        let offset = |part: &[u8]| match part.len() {
            4 => u32_at(part, 0).map(u64::from),
            _ => u64_at(part, 0),
        };
        self.items.clear();
        self.items
            .extend(bytes.chunks_exact(width as usize).filter_map(offset));
        self.items_at = at;
        self.items.first().copied().filter(|offset| *offset != 0)
    }

    /// Goes to the first item of the next array.
    fn next_array(&mut self) -> Result<(), ()> {
        let (next, least) = if self.place.array == 0 {
            (self.header.entry_array, self.header.size)
        } else {
            let mut bytes = [0; 8];
            let at = self.place.array + OBJECT_HEADER as u64;
            read_exact(&self.file, &mut bytes, at).ok_or(())?;
            (
                u64::from_le_bytes(bytes),
                self.place.array + self.place.size,
            )
        };
        let object = self.object(next, ENTRY_ARRAY).filter(|_| next >= least);
        let size = object.ok_or(())?.size;
        let len = size.checked_sub(ARRAY_ITEMS).ok_or(())? / self.header.array_item();
        if len == 0 {
            return Err(());
        }
        self.place = Place {
            array: next,
            len,
            size,
            at: 0,
            seen: self.place.seen,
        };
        self.items.clear();
        Ok(())
    }

    /// The header of the object at `offset`, when it is of that kind and lies within the file.
    fn object(&self, offset: u64, kind: u8) -> Option<ObjectHeader> {
        let mut bytes = [0; OBJECT_HEADER];
        self.is_within(offset, OBJECT_HEADER as u64)?;
        read_exact(&self.file, &mut bytes, offset)?;
        self.checked(offset, ObjectHeader::parse(&bytes)?, kind)
    }

    fn checked(&self, offset: u64, object: ObjectHeader, kind: u8) -> Option<ObjectHeader> {
        self.is_within(offset, object.size)?;
        (object.kind == kind && object.size >= OBJECT_HEADER as u64).then_some(object)
    }

    fn is_within(&self, offset: u64, size: u64) -> Option<()> {
        let end = offset.checked_add(size)?;
        (offset >= self.header.size && offset.is_multiple_of(8) && end <= self.len).then_some(())
    }

    fn head(&self, offset: u64) -> Option<EntryHead> {
        let mut bytes = [0; ENTRY_ITEMS as usize];
        self.is_within(offset, ENTRY_ITEMS)?;
        read_exact(&self.file, &mut bytes, offset)?;
        let object = self.checked(offset, ObjectHeader::parse(&bytes)?, ENTRY)?;
        let position = Position {
            seqnum_id: self.header.seqnum_id,
            seqnum: u64_at(&bytes, 16)?,
            realtime: u64_at(&bytes, 24)?,
            monotonic: u64_at(&bytes, 32)?,
            boot_id: id_at(&bytes, 40)?,
            xor_hash: u64_at(&bytes, 56)?,
        };
        // A number from nowhere would make all others look as if they were read.
        let seqnums = self.header.head_seqnum..=self.header.tail_seqnum;
        let is_sane =
            object.size >= ENTRY_ITEMS && position.seqnum > 0 && seqnums.contains(&position.seqnum);
        is_sane.then_some(EntryHead {
            offset,
            size: object.size,
            position,
        })
    }

    /// Reads an entry's fields: of each that `want` names so many bytes, of others nothing.
    pub(crate) fn read(
        &self,
        head: &EntryHead,
        want: &mut dyn FnMut(&[u8]) -> Option<usize>,
        entry: &mut Entry,
    ) -> Unread {
        entry.begin(head.position);
        let mut unread = Unread::default();
        let width = self.header.entry_item();
        let n = ((head.size - ENTRY_ITEMS) / width).min(MAX_FIELDS);
        let mut bytes = vec![0; (n * width) as usize];
        if read_exact(&self.file, &mut bytes, head.offset + ENTRY_ITEMS).is_none() {
            unread.damaged += 1;
            bytes.clear();
        }
        for item in bytes.chunks_exact(width as usize) {
            let offset = match self.header.is_compact {
                true => u32_at(item, 0).map(u64::from),
                false => u64_at(item, 0),
            };
            let from = entry.buffer().len();
            let done = match offset {
                Some(offset) => self.field(offset, want, entry),
                None => Err(Undecoded::Damaged),
            };
            if let Err(reason) = done {
                entry.buffer().truncate(from);
                match reason {
                    Undecoded::Xz => unread.xz += 1,
                    Undecoded::Damaged => unread.damaged += 1,
                }
            }
        }
        entry.unreadable = unread.xz + unread.damaged;
        unread
    }

    fn field(
        &self,
        offset: u64,
        want: &mut dyn FnMut(&[u8]) -> Option<usize>,
        entry: &mut Entry,
    ) -> Result<(), Undecoded> {
        let damaged = Undecoded::Damaged;
        let payload = self.header.payload();
        self.is_within(offset, payload).ok_or(damaged)?;
        let mut look = [0; LOOK];
        let n = usize::try_from(self.len - offset).unwrap_or(LOOK).min(LOOK);
        let look = look.get_mut(..n).ok_or(damaged)?;
        read_exact(&self.file, look, offset).ok_or(damaged)?;
        let object = ObjectHeader::parse(look).ok_or(damaged)?;
        let object = self.checked(offset, object, DATA).ok_or(damaged)?;
        let left = object.size.checked_sub(payload).ok_or(damaged)?;
        let from = entry.buffer().len();
        // The usual case: all of it is in hand.
        if object.flags == 0 && object.size <= n as u64 {
            let whole = look
                .get(payload as usize..object.size as usize)
                .ok_or(damaged)?;
            let name = name_of(whole).ok_or(damaged)?;
            let (key, value) = whole.split_at(name);
            if let Some(max) = want(key) {
                let keep = value.len().min(max.saturating_add(1));
                entry.buffer().extend_from_slice(key);
                entry
                    .buffer()
                    .extend_from_slice(value.get(..keep).ok_or(damaged)?);
                entry.end_field(from, name, keep < value.len());
            }
            return Ok(());
        }
        let section = Section {
            file: &self.file,
            at: offset + payload,
            left,
        };
        let mut reader = open(section, object.flags)?;
        let buffer = entry.buffer();
        let mut read = |buffer: &mut Vec<u8>, max: usize| {
            let mut part = (&mut reader).take(max as u64);
            part.read_to_end(buffer).map_err(|_| damaged)
        };
        read(buffer, MAX_NAME)?;
        let head = buffer.get(from..).ok_or(damaged)?;
        let name = name_of(head).ok_or(damaged)?;
        let Some(max) = want(head.get(..name).ok_or(damaged)?) else {
            buffer.truncate(from);
            return Ok(());
        };
        let in_hand = buffer.len() - from - name - 1;
        // One more tells whether there is more.
        read(buffer, max.saturating_add(1).saturating_sub(in_hand))?;
        let end = (from + name + 1).saturating_add(max);
        let is_cut = buffer.len() > end;
        buffer.truncate(end);
        entry.end_field(from, name, is_cut);
        Ok(())
    }
}

fn name_of(payload: &[u8]) -> Option<usize> {
    let head = payload.get(..payload.len().min(MAX_NAME))?;
    memchr::memchr(b'=', head).filter(|at| *at > 0)
}

fn read_header(file: &File) -> Result<(Header, u64), FileError> {
    let mut bytes = [0; MIN_HEADER];
    let len = file.metadata()?.len();
    if len < MIN_HEADER as u64 {
        return Err(FileError::Short);
    }
    file.read_exact_at(&mut bytes, 0)?;
    Ok((Header::parse(&bytes)?, len))
}

/// `None` when the file ends before, or cannot be read.
fn read_exact(file: &File, into: &mut [u8], at: u64) -> Option<()> {
    loop {
        match file.read_exact_at(into, at) {
            Ok(()) => return Some(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
