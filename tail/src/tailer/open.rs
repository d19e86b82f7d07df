//! Opening and naming files: within the bound on open files, each stream named by its head.

use super::Tailer;
use crate::content::{Content, FileId, Gz, open_checked};
use crate::group::Framing;
use crate::mark::{Origin, read_head, stream_id};
use crate::stream::Sequence;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Tailer {
    /// Opens a stream's file when it is not, and closes another one when too many are.
    pub(super) fn ensure_open(&mut self, sequence: &mut Sequence, idx: usize) -> io::Result<()> {
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return Ok(());
        };
        if stream.content.is_some() {
            return Ok(());
        }
        let gone = || io::Error::new(io::ErrorKind::NotFound, "no file");
        let place = stream.place.as_ref().ok_or_else(gone)?;
        let (file, metadata) = open_checked(&place.path, &self.options.allowed_roots)?;
        if FileId::of(&metadata) != place.id {
            return Err(gone());
        }
        stream.content = Some(if place.gz {
            Content::Gz(Box::new(Gz::open(file)?))
        } else {
            Content::Plain(file)
        });
        let handle = stream.handle;
        self.note_open(sequence.key, handle);
        self.close_surplus();
        Ok(())
    }

    /// Counts a file that was opened. The order may name some that were closed since.
    pub(super) fn note_open(&mut self, key: u64, handle: u64) {
        self.n_open += 1;
        self.metrics
            .files_open
            .set(i64::try_from(self.n_open).unwrap_or(i64::MAX));
        if let Some(slot) = self.by_key.get(&key).copied() {
            self.open_order.push_back((slot, handle));
        }
        if self.open_order.len() > 2 * self.n_open + 64 {
            // Mostly of files that are closed by now; those of the sequence at hand may go, too:
            // they are then closed when they are done.
            let sequences = &self.sequences;
            self.open_order.retain(|(slot, handle)| {
                let sequence = sequences.get(*slot as usize).and_then(Option::as_ref);
                sequence.is_some_and(|sequence| {
                    sequence
                        .streams
                        .iter()
                        .any(|s| s.handle == *handle && s.content.is_some())
                })
            });
        }
    }

    /// Closes the files that were opened longest ago, but for deleted ones, which could not be
    /// opened again.
    fn close_surplus(&mut self) {
        let mut tries = self.open_order.len();
        while self.n_open > self.options.max_open_files && tries > 0 {
            tries -= 1;
            let Some((slot, handle)) = self.open_order.pop_front() else {
                break;
            };
            // Outside its slot while it is worked on.
            let mut is_kept = self.sequence(slot).is_none() && !self.free.contains(&slot);
            self.with(slot, |tailer, sequence| {
                if let Some(idx) = sequence.position(handle)
                    && let Some(stream) = sequence.streams.get_mut(idx)
                    && stream.content.is_some()
                {
                    if stream.deleted_since.is_some() {
                        is_kept = true;
                    } else {
                        tailer.shut(stream);
                    }
                }
            });
            if is_kept {
                self.open_order.push_back((slot, handle));
            }
        }
    }

    /// Names a stream by its head (rule 1). False: not yet.
    pub(super) fn identify(&mut self, sequence: &mut Sequence, idx: usize, is_final: bool) -> bool {
        let expected = sequence.framing;
        let Some(stream) = sequence.streams.get_mut(idx) else {
            return false;
        };
        let mut opened;
        let content = match (&mut stream.content, &stream.place) {
            (Some(content), _) => content,
            (None, Some(place)) if !place.gz => {
                let opened_now = open_checked(&place.path, &self.options.allowed_roots);
                // The name may stand for the next file by now, whose head is another stream's.
                let Some((file, _)) = opened_now
                    .ok()
                    .filter(|(_, metadata)| FileId::of(metadata) == place.id)
                else {
                    return false;
                };
                opened = Content::Plain(file);
                &mut opened
            }
            _ => return false,
        };
        let expected = expected.filter(|framing| *framing != Framing::Raw);
        let Ok(Some((head, bytes))) = read_head(content, expected, is_final) else {
            return false;
        };
        let container = container_name(&sequence.source, &sequence.dir);
        let origin = match head.framing {
            Framing::Raw => Origin::Raw {
                node: &self.options.node,
                id: stream
                    .place
                    .as_ref()
                    .map(|place| place.id)
                    .unwrap_or_default(),
                life: stream.life,
            },
            Framing::Cri | Framing::Docker => Origin::Container(&container),
        };
        stream.id = Some(stream_id(&origin, &bytes));
        stream.head = Some(head);
        stream.is_dirty = true;
        sequence.framing = Some(head.framing);
        true
    }
}

/// What stands for the container in a framed stream's identity.
fn container_name(source: &crate::Source, dir: &Path) -> Vec<u8> {
    let id = source
        .container
        .as_ref()
        .and_then(|found| found.container_id.as_ref());
    match id {
        Some(id) => id.as_bytes().to_vec(),
        None => {
            let name = source.real_path.file_name().unwrap_or_default();
            let base = crate::names::split(name).map_or(name.as_bytes(), |parts| parts.base);
            [dir.as_os_str().as_bytes(), b"/", base].concat()
        }
    }
}
