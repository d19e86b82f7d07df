//! The format as bytes: golden examples of version 1, which stay readable for ever, and what
//! `docs/protocol.md` shows of them; every batch comes back, and no bytes make a panic.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where its expectation breaks"
)]

use proptest::prelude::*;
use wire::*;

/// The batch that `docs/protocol.md` explains byte by byte.
const BATCH_V1: &str = "
    54 52 42 01  06 6e 6f 64 65 2d 31
    01  ad 29 f3 8d 9f 5f 28 cd  1e
        7b 22 6c 6f 67 2e 66 69 6c 65 2e 70 61 74 68 22 3a 22 2f 76 61 72 2f 6c 2e 6c 6f 67 22 7d
    02  c5 03  01  08 07 06 05 04 03 02 01  18 17 16 15 14 13 12 11  ad 29 f3 8d 9f 5f 28 cd
        e8 07  00  28  90 4e  f2 07  00  28 27 26 25 24 23 22 21  0a
        61 0a 62 0a 63 0a 64 0a 65 0a
    00  6e 74 8c 76 48 ae 75 2b";

/// The answer to it and to one more chunk.
const ANSWER_V1: &str = "
    54 52 41 01  02
    00  08 07 06 05 04 03 02 01  e8 07  14  28
    02  28 27 26 25 24 23 22 21  00  00  00
    eb c3 fd 26 d5 b0 c2 35";

const JSON: &[u8] = br#"{"log.file.path":"/var/l.log"}"#;

fn unhex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ")
}

fn batch() -> Batch<'static> {
    let meta = meta_id(JSON);
    Batch {
        node: "node-1",
        metadata: vec![(meta, JSON)],
        settings: Vec::new(),
        chunks: vec![Chunk {
            stream: 0x0102_0304_0506_0708,
            sequence: 0x1112_1314_1516_1718,
            start: 1000,
            resume: Positions {
                stdout: 1000,
                stderr: 1020,
            },
            framing: Framing::Cri,
            framing_version: 1,
            flush: Flush::Soft,
            eof: true,
            suspect: Suspect::No,
            doubt_ms: Some(10_000),
            meta,
            settings: None,
            end: Some(StreamEnd {
                size: 1010,
                unread: 0,
                successor: Some(0x2122_2324_2526_2728),
            }),
            bytes: b"a\nb\nc\nd\ne\n",
        }],
    }
}

fn answer() -> Answer {
    Answer {
        chunks: vec![
            ChunkAck {
                stream: 0x0102_0304_0506_0708,
                start: 1000,
                status: Status::Ok,
                durable: Positions {
                    stdout: 1010,
                    stderr: 1020,
                },
            },
            ChunkAck {
                stream: 0x2122_2324_2526_2728,
                start: 0,
                status: Status::NeedMetadata,
                durable: Positions::at(0),
            },
        ],
        settings: Vec::new(),
    }
}

/// A chunk in doubt whose first try was sealed with settings that go along.
const SEALED_V1: &str = "
    54 52 42 01  01 6e
    03  18 62 5c de 2b 96 c5 8b  15
        61 73 20 61 6e 20 61 67 67 72 65 67 61 74 6f 72 20 73 61 69 64
    02  80 04  01  08 07 06 05 04 03 02 01  18 17 16 15 14 13 12 11  ad 29 f3 8d 9f 5f 28 cd
        18 62 5c de 2b 96 c5 8b  00  00  00  05  02  61 0a
    00  47 9f 86 34 40 40 bd dd";

/// The answer of an aggregator with other settings to a chunk that was never tried.
const RESEAL_V1: &str = "
    54 52 41 01  01
    04  08 07 06 05 04 03 02 01  00  00  00
    15  61 73 20 61 6e 20 61 67 67 72 65 67 61 74 6f 72 20 73 61 69 64
    40 2f c1 36 ac 4d 33 c9";

const SETTINGS: &[u8] = b"as an aggregator said";

fn sealed_batch() -> Batch<'static> {
    let settings = settings_id(SETTINGS);
    Batch {
        node: "n",
        metadata: Vec::new(),
        settings: vec![(settings, SETTINGS)],
        chunks: vec![Chunk {
            stream: 0x0102_0304_0506_0708,
            sequence: 0x1112_1314_1516_1718,
            start: 0,
            resume: Positions::at(0),
            framing: Framing::Raw,
            framing_version: 1,
            flush: Flush::None,
            eof: false,
            suspect: Suspect::No,
            doubt_ms: Some(5),
            meta: meta_id(JSON),
            settings: Some(settings),
            end: None,
            bytes: b"a\n",
        }],
    }
}

fn reseal_answer() -> Answer {
    Answer {
        chunks: vec![ChunkAck {
            stream: 0x0102_0304_0506_0708,
            start: 0,
            status: Status::Reseal,
            durable: Positions::at(0),
        }],
        settings: SETTINGS.to_vec(),
    }
}

#[test]
fn sealed_chunks_of_version_1_keep_their_bytes() {
    let mut bytes = Vec::new();
    encode_batch(&sealed_batch(), &mut bytes);
    assert_eq!(hex(&bytes), hex(&unhex(SEALED_V1)));
    let limits = Limits::default();
    assert_eq!(decode_batch(&unhex(SEALED_V1), &limits), Ok(sealed_batch()));
    let mut bytes = Vec::new();
    encode_answer(&reseal_answer(), &mut bytes);
    assert_eq!(hex(&bytes), hex(&unhex(RESEAL_V1)));
    assert_eq!(
        decode_answer(&unhex(RESEAL_V1), &limits),
        Ok(reseal_answer())
    );
}

#[test]
fn the_batch_of_version_1_keeps_its_bytes() {
    let mut bytes = Vec::new();
    encode_batch(&batch(), &mut bytes);
    assert_eq!(hex(&bytes), hex(&unhex(BATCH_V1)));
    assert_eq!(
        decode_batch(&unhex(BATCH_V1), &Limits::default()),
        Ok(batch())
    );
}

#[test]
fn the_answer_of_version_1_keeps_its_bytes() {
    let mut bytes = Vec::new();
    encode_answer(&answer(), &mut bytes);
    assert_eq!(hex(&bytes), hex(&unhex(ANSWER_V1)));
    assert_eq!(
        decode_answer(&unhex(ANSWER_V1), &Limits::default()),
        Ok(answer())
    );
}

/// The blocks of ```hex in the document, comments behind `#` left out.
#[test]
fn the_document_shows_these_bytes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks: Vec<String> = text
        .split("```hex\n")
        .skip(1)
        .map(|rest| {
            let block = rest.split("```").next().unwrap();
            let bytes = block.lines().map(|line| line.split('#').next().unwrap());
            hex(&unhex(&bytes.collect::<Vec<_>>().join(" ")))
        })
        .collect();
    let golden = [BATCH_V1, ANSWER_V1, SEALED_V1, RESEAL_V1];
    assert_eq!(blocks, golden.map(|text| hex(&unhex(text))));
}

#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    for (bytes, is_batch) in [
        (unhex(BATCH_V1), true),
        (unhex(ANSWER_V1), false),
        (unhex(SEALED_V1), true),
        (unhex(RESEAL_V1), false),
    ] {
        let is_refused = |bytes: &[u8]| match is_batch {
            true => decode_batch(bytes, &Limits::default()).is_err(),
            false => decode_answer(bytes, &Limits::default()).is_err(),
        };
        assert!(!is_refused(&bytes));
        for len in 0..bytes.len() {
            assert!(is_refused(&bytes[..len]), "cut at {len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(is_refused(&flipped), "bit {bit}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(is_refused(&longer));
    }
}

#[test]
fn problems_are_named_with_their_place() {
    let good = unhex(BATCH_V1);
    let limits = Limits::default();
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let end = good.len() - 9;
    for (bytes, limits, offset, problem) in [
        (b"GET ".to_vec(), limits, 0, Problem::Magic("batch")),
        (changed(3, 2), limits, 3, Problem::Version(2)),
        (changed(5, 0xff), limits, 4, Problem::Node),
        (changed(21, 0x7c), limits, 12, Problem::MetadataId),
        (changed(end, 9), limits, end, Problem::Kind(9)),
        (changed(end + 1, 1), limits, end + 1, Problem::Checksum),
        (
            good[..end].to_vec(),
            limits,
            end,
            Problem::Truncated("a record's kind"),
        ),
        (
            good.clone(),
            Limits {
                max_chunks: 0,
                ..limits
            },
            51,
            Problem::Limit {
                what: "chunks",
                got: 1,
                limit: 0,
            },
        ),
        (
            good.clone(),
            Limits {
                max_node_bytes: 5,
                ..limits
            },
            4,
            Problem::Limit {
                what: "the node's name",
                got: 6,
                limit: 5,
            },
        ),
    ] {
        let error = decode_batch(&bytes, &limits).unwrap_err();
        assert_eq!(error, DecodeError { offset, problem });
    }
    let error = decode_batch(&good[..9], &limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot decode at byte 5: the input ends within the node's name"
    );
}

fn positions() -> impl Strategy<Value = Positions> {
    any::<(u64, u64)>().prop_map(|(stdout, stderr)| Positions { stdout, stderr })
}

type OwnedChunk = (Chunk<'static>, Vec<u8>);

fn chunk() -> impl Strategy<Value = OwnedChunk> {
    let end = prop::option::of(any::<(u64, u64, Option<u64>)>());
    let names = any::<(u64, u64, u64, u64, Option<u64>)>();
    let flags = (
        0..3usize,
        0..3usize,
        0..3usize,
        any::<(bool, u8, Option<u64>)>(),
    );
    let bytes = prop::collection::vec(any::<u8>(), 0..50);
    (names, positions(), flags, end, bytes).prop_map(|(names, resume, flags, end, bytes)| {
        let (stream, sequence, start, meta, settings) = names;
        let (framing, flush, suspect, (eof, framing_version, doubt_ms)) = flags;
        let chunk = Chunk {
            stream,
            sequence,
            start,
            resume,
            framing: [Framing::Raw, Framing::Cri, Framing::Docker][framing],
            framing_version,
            flush: [Flush::None, Flush::Soft, Flush::Hard][flush],
            eof,
            suspect: [Suspect::No, Suspect::Unparsed, Suspect::Lines][suspect],
            doubt_ms,
            meta,
            settings,
            end: end.map(|(size, unread, successor)| StreamEnd {
                size,
                unread,
                successor,
            }),
            bytes: &[],
        };
        (chunk, bytes)
    })
}

proptest! {
    #[test]
    fn every_batch_comes_back(
        node in "[a-z.-]{1,40}",
        metadata in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
        settings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..3),
        chunks in prop::collection::vec(chunk(), 0..6),
    ) {
        let batch = Batch {
            node: &node,
            metadata: metadata.iter().map(|json| (meta_id(json), json.as_slice())).collect(),
            settings: settings.iter().map(|text| (settings_id(text), text.as_slice())).collect(),
            chunks: chunks.iter().map(|(chunk, bytes)| Chunk { bytes, ..chunk.clone() }).collect(),
        };
        let mut bytes = Vec::new();
        encode_batch(&batch, &mut bytes);
        prop_assert_eq!(decode_batch(&bytes, &Limits::default()), Ok(batch));
    }

    #[test]
    fn every_answer_comes_back(
        acks in prop::collection::vec((any::<(u64, u64)>(), 0..5usize, positions()), 0..8),
        settings: Vec<u8>,
    ) {
        use Status::*;
        let statuses = [Ok, Busy, NeedMetadata, Refused, Reseal];
        let chunks = acks.into_iter().map(|((stream, start), status, durable)| {
            ChunkAck { stream, start, status: statuses[status], durable }
        });
        let chunks: Vec<ChunkAck> = chunks.collect();
        let has_settings = chunks.iter().any(|ack| ack.status == Reseal);
        let settings = if has_settings { settings } else { Vec::new() };
        let answer = Answer { chunks, settings };
        let mut bytes = Vec::new();
        encode_answer(&answer, &mut bytes);
        prop_assert_eq!(decode_answer(&bytes, &Limits::default()), Result::Ok(answer));
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_panic(mut bytes: Vec<u8>, kind in 0..3u8) {
        let magic: &[u8] = match kind {
            0 => b"",
            1 => b"TRB\x01\x01n",
            _ => b"TRA\x01",
        };
        bytes.splice(0..0, magic.iter().copied());
        // A right checksum by chance does not happen.
        prop_assert!(decode_batch(&bytes, &Limits::default()).is_err());
        prop_assert!(decode_answer(&bytes, &Limits::default()).is_err());
    }
}
