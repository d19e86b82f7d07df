//! What one batch adds to one output: documents in `_bulk` form, and what has to be known of them.

use std::io::{self, Read};

use bytes::Bytes;
use store::{DocId, Encoding, Run, Target};

use crate::output::{Encoder, Part};

/// So many bytes of documents are compressed at once, while they are still in the processor's
/// cache: a batch's documents are some megabytes, which would go to memory and back (`tailrace-bench
/// --only both`).
const PIECE_BYTES: usize = 512 << 10;
/// Fewer bytes are no piece of their own but wait for those of other batches: small pieces compress
/// badly.
const LEAST_PIECE_BYTES: usize = 32 << 10;

/// Documents of one batch for one output.
#[derive(Debug)]
pub struct Fragment {
    /// How `pieces` are compressed.
    encoding: Encoding,
    /// The first documents, as they will go over the wire.
    pieces: Vec<Bytes>,
    /// Bytes of the documents in `pieces` before they were compressed.
    piece_bytes: usize,
    /// The documents after those, uncompressed.
    raw: Vec<u8>,
    /// Where the last documents went, and their action line.
    action: Option<(u16, store::Action)>,
    /// The places documents go to.
    pub targets: Vec<Target>,
    /// Documents in their order, counted by place.
    pub runs: Vec<Run>,
    /// Wall time of the oldest try of any of these bytes whose outcome is unknown, in
    /// milliseconds since the epoch.
    pub doubt_since_ms: Option<u64>,
}

impl Default for Fragment {
    fn default() -> Self {
        Self::new(Encoding::Identity, Vec::new())
    }
}

impl Fragment {
    /// One without documents, for bodies of an encoding; it writes them into `memory`.
    pub(super) fn new(encoding: Encoding, mut memory: Vec<u8>) -> Self {
        memory.clear();
        Self {
            encoding,
            pieces: Vec::new(),
            piece_bytes: 0,
            raw: memory,
            action: None,
            targets: Vec::new(),
            runs: Vec::new(),
            doubt_since_ms: None,
        }
    }

    /// Appends a document, a JSON object without newline, for the place `target`.
    pub(super) fn append(&mut self, target: u16, id: &DocId, document: &[u8]) {
        let known = self.action.take().filter(|(of, _)| *of == target);
        let (_, action) = self.action.insert(known.unwrap_or_else(|| {
            let index = self.targets.get(usize::from(target));
            let index = index.map_or("", |target| target.index.as_str());
            (target, store::Action::new(index))
        }));
        action.append(&mut self.raw, id);
        self.raw.extend_from_slice(document);
        self.raw.push(b'\n');
        self.count(target);
    }

    /// Compresses what has come together, if that is enough.
    #[inline]
    pub(super) fn press(&mut self, encoder: &mut Encoder) {
        if self.raw.len() >= PIECE_BYTES {
            self.add_piece(encoder);
        }
    }

    /// Compresses the last documents, unless they are few, and gives the memory back.
    pub(super) fn finish(&mut self, encoder: &mut Encoder) -> Vec<u8> {
        let has_enough = !self.pieces.is_empty() || self.raw.len() >= LEAST_PIECE_BYTES;
        if has_enough && !self.raw.is_empty() {
            self.add_piece(encoder);
        }
        let few = self.raw.as_slice().to_vec();
        std::mem::replace(&mut self.raw, few)
    }

    fn add_piece(&mut self, encoder: &mut Encoder) {
        self.piece_bytes += self.raw.len();
        self.pieces.push(match self.encoding {
            Encoding::Identity => {
                let next = Vec::with_capacity(self.raw.capacity());
                std::mem::replace(&mut self.raw, next).into()
            }
            encoding => encoder.encode(encoding, &self.raw),
        });
        self.raw.clear();
    }

    /// Number of documents.
    pub fn docs(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.docs)).sum()
    }

    /// Nothing in it.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.pieces.is_empty()
    }

    /// Bytes of the documents, uncompressed.
    pub fn raw_len(&self) -> usize {
        self.piece_bytes + self.raw.len()
    }

    /// The most bytes that it takes in a body.
    pub fn most_bytes(&self) -> u64 {
        let pieces: usize = self.pieces.iter().map(Bytes::len).sum();
        // What compression may add to bytes that do not compress.
        let raw = self.raw.len() + self.raw.len() / 1000;
        (pieces + raw) as u64
    }

    /// How its documents are compressed; `None` when none are yet.
    pub fn encoding(&self) -> Option<Encoding> {
        (!self.pieces.is_empty()).then_some(self.encoding)
    }

    /// Its part of a body.
    pub fn into_part(self) -> Part {
        Part {
            pieces: self.pieces,
            raw: self.raw,
        }
    }

    /// The documents with their action lines, uncompressed.
    ///
    /// # Errors
    /// Never, as the pieces were compressed here.
    pub fn documents(&self) -> io::Result<Vec<u8>> {
        let mut documents = Vec::with_capacity(self.raw_len());
        for piece in &self.pieces {
            match self.encoding {
                Encoding::Identity => documents.extend_from_slice(piece),
                Encoding::Gzip => {
                    flate2::read::GzDecoder::new(piece.as_ref()).read_to_end(&mut documents)?;
                }
                Encoding::Zstd => zstd::stream::copy_decode(piece.as_ref(), &mut documents)?,
            }
        }
        documents.extend_from_slice(&self.raw);
        Ok(documents)
    }

    /// The number of the place `index`, for documents of the Kubernetes namespace `namespace`.
    pub fn target(&mut self, index: &str, namespace: &str) -> u16 {
        // The documents of a group go to the place that was named last, nearly always.
        let known = self
            .targets
            .iter()
            .rposition(|target| target.index == index && target.namespace == namespace);
        let number = known.unwrap_or_else(|| {
            self.targets.push(Target {
                index: index.to_owned(),
                namespace: namespace.to_owned(),
            });
            self.targets.len() - 1
        });
        // 65,536 places in one batch would need as many data streams; the last one then
        // stands for the rest in the books, the documents carry their own index anyway.
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// Counts one document for the place `target`.
    fn count(&mut self, target: u16) {
        match self.runs.last_mut() {
            Some(run) if run.target == target && run.docs < u32::MAX => run.docs += 1,
            _ => self.runs.push(Run { target, docs: 1 }),
        }
    }

    /// The doubt of these documents is at least as old as `since_ms`.
    pub fn doubt(&mut self, since_ms: Option<u64>) {
        self.doubt_since_ms = match (self.doubt_since_ms, since_ms) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_counted_in_runs() {
        let mut fragment = Fragment::default();
        let a = fragment.target("logs-a-default", "shop");
        let b = fragment.target("logs-b-default", "shop");
        assert_eq!(a, fragment.target("logs-a-default", "shop"));
        for target in [a, a, b, a] {
            fragment.count(target);
        }
        assert_eq!(
            fragment
                .runs
                .iter()
                .map(|run| (run.target, run.docs))
                .collect::<Vec<_>>(),
            [(0, 2), (1, 1), (0, 1)]
        );
        assert_eq!(fragment.docs(), 4);
    }

    #[test]
    fn the_oldest_doubt_wins() {
        let mut fragment = Fragment::default();
        for doubt in [None, Some(7), None, Some(3), Some(9)] {
            fragment.doubt(doubt);
        }
        assert_eq!(fragment.doubt_since_ms, Some(3));
    }

    /// However many documents there are, they come out as they went in, and memory is used again.
    #[test]
    fn documents_are_compressed_piece_by_piece() {
        let mut encoder = Encoder::default();
        let id = store::document_id(1, 2, 3);
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            let mut memory = Vec::new();
            for (n_docs, n_pieces, has_rest) in [
                (0, 0, false),
                (9, 0, true),
                (900, 1, false),
                (9_000, 2, false),
            ] {
                let mut fragment = Fragment::new(encoding, memory);
                let target = fragment.target("logs-a-default", "");
                let mut expected = Vec::new();
                for n in 0..n_docs {
                    let document = format!("{{\"n\":{n}}}");
                    fragment.append(target, &id, document.as_bytes());
                    store::append_action(&mut expected, "logs-a-default", &id);
                    expected.extend_from_slice(format!("{document}\n").as_bytes());
                    fragment.press(&mut encoder);
                }
                memory = fragment.finish(&mut encoder);
                assert_eq!(fragment.pieces.len(), n_pieces, "{encoding:?} {n_docs}");
                assert_eq!(!fragment.raw.is_empty(), has_rest);
                assert_eq!(fragment.raw_len(), expected.len());
                assert_eq!(fragment.docs(), n_docs);
                assert!(fragment.documents().unwrap() == expected, "{encoding:?}");
            }
        }
    }
}
