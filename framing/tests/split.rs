//! The property that delivery stands on: however a log is cut into chunks, sent again from the
//! positions answered, over a rotation or not, the records are those of the whole log, and their
//! lines cover each byte once.

use std::ops::Range;

use framing::{
    Flush, Format, Frames, Input, Iostream, Options, Part, Positions, Record, Tags, frame,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// What lines say: traces and ordinary lines, mixed by the generator.
const TEXTS: &[&str] = &[
    "ordinary line",
    "2026-01-01 ERROR failed",
    "",
    "  indented",
    "ends with a carriage return\r\r",
    "java.lang.IllegalStateException: x",
    "\tat a.B.c(B.java:1)",
    "Caused by: a.BError",
    "\t... 3 more",
    "Traceback (most recent call last):",
    "  File \"a.py\", line 1, in f",
    "KeyError: 'x'",
    "During handling of the above exception, another exception occurred:",
    "panic: boom",
    "goroutine 1 [running]:",
    "main.main()",
    "/app/index.js:3",
    "  ^",
    "Error: x {",
    "    at f (/a.js:1:1) {",
    "  code: 1",
    "}",
    "Node.js v20",
    "Unhandled exception:",
    "PHP Fatal error:  Uncaught x",
    "Stack trace:",
    "#0 main",
    " NoMethodError (x):",
    "fail: A.B[0]",
    "      message",
    "==================",
    "WARNING: DATA RACE",
    "a line long enough that a small limit of lines or events has something to cut, and then more of it",
];

/// One generated line.
#[derive(Debug, Clone)]
struct Spec {
    text: usize,
    is_stderr: bool,
    is_partial: bool,
    is_malformed: bool,
    /// Milliseconds since the line before.
    pause: u32,
}

fn spec() -> impl Strategy<Value = Spec> {
    (
        0..TEXTS.len(),
        prop::bool::weighted(0.4),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.05),
        prop_oneof![20 => Just(1_u32), 1 => Just(6_000), 1 => Just(4_900)],
    )
        .prop_map(|(text, is_stderr, is_partial, is_malformed, pause)| Spec {
            text,
            is_stderr,
            is_partial,
            is_malformed,
            pause,
        })
}

/// Lines in runs of one iostream's trace would be rare by chance: neighbours of the table follow
/// each other often.
fn specs() -> impl Strategy<Value = Vec<Spec>> {
    vec((spec(), prop::bool::weighted(0.5)), 1..60).prop_map(|pairs| {
        let mut specs: Vec<Spec> = Vec::new();
        for (mut spec, follows) in pairs {
            if let Some(last) = specs.last().filter(|_| follows) {
                spec.text = (last.text + 1) % TEXTS.len();
                spec.is_stderr = last.is_stderr;
            }
            specs.push(spec);
        }
        specs
    })
}

fn write(format: Format, specs: &[Spec]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut milliseconds = 0;
    for spec in specs {
        milliseconds += spec.pause;
        let (seconds, text) = (milliseconds / 1000, TEXTS[spec.text]);
        let time = format!(
            "2026-01-01T00:{:02}:{:02}.{:03}000000Z",
            seconds / 60,
            seconds % 60,
            milliseconds % 1000
        );
        let iostream = if spec.is_stderr { "stderr" } else { "stdout" };
        let line = match format {
            _ if spec.is_malformed => format!("no format {text}"),
            Format::Raw => text.to_owned(),
            Format::Cri => {
                format!(
                    "{time} {iostream} {} {text}",
                    if spec.is_partial { "P" } else { "F" }
                )
            }
            Format::Docker => {
                let end = if spec.is_partial { "" } else { "\n" };
                let log = serde_json::Value::from(format!("{text}{end}"));
                format!("{{\"log\":{log},\"stream\":\"{iostream}\",\"time\":\"{time}\"}}")
            }
        };
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// A record with all that is to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    record: String,
    message: String,
    parts: Vec<Part>,
    key: (u64, u64),
}

fn found(record: &Record, frames: &Frames, inputs: &[Input<'_>]) -> Found {
    let mut parts = frames.parts_of(record).to_vec();
    if parts.is_empty() {
        parts.push(Part {
            stream: record.stream,
            offset: record.offset,
            length: record.length,
        });
    }
    let Record {
        stream,
        offset,
        length,
        iostream,
        time_ns,
        trace_at,
        tags,
        hash,
        ..
    } = record.clone();
    Found {
        record: format!("{:?}", (length, iostream, time_ns, trace_at, tags, hash)),
        message: String::from_utf8_lossy(frames.message(record, inputs)).into_owned(),
        parts,
        key: (stream, offset),
    }
}

/// The log as two streams of a sequence, cut at `rotation`.
struct Log<'a> {
    format: Format,
    options: Options,
    streams: [&'a [u8]; 2],
}

impl Log<'_> {
    /// Frames from `resume` to the offset `end` of the two streams laid end to end.
    fn send(
        &self,
        resume: &mut [Positions; 2],
        end: usize,
        flush: Flush,
        is_final: bool,
        frames: &mut Frames,
    ) -> Vec<Found> {
        let first = self.streams[0].len();
        let ranges: [Range<usize>; 2] = [0..end.min(first), 0..end.saturating_sub(first)];
        let mut inputs = Vec::new();
        let mut sent = Vec::new();
        for (n, range) in ranges.into_iter().enumerate() {
            let low = resume[n].stdout.min(resume[n].stderr);
            let is_done = low as usize == self.streams[n].len();
            if is_done && n == 0 || n == 1 && end < first {
                continue;
            }
            sent.push(n);
            inputs.push(Input {
                stream: 7 + n as u64,
                start: low,
                resume: resume[n],
                eof: is_final || n == 0 && end >= first,
                bytes: &self.streams[n][low as usize..range.end.max(low as usize)],
            });
        }
        frame(self.format, &inputs, flush, &self.options, frames);
        assert_eq!(frames.positions().len(), inputs.len());
        for (&n, &positions) in sent.iter().zip(frames.positions()) {
            assert!(positions.stdout >= resume[n].stdout, "a position went back");
            assert!(positions.stderr >= resume[n].stderr, "a position went back");
            resume[n] = positions;
        }
        frames
            .records()
            .iter()
            .map(|record| found(record, frames, &inputs))
            .collect()
    }

    fn len(&self) -> usize {
        self.streams[0].len() + self.streams[1].len()
    }

    fn whole(&self) -> Vec<Found> {
        let mut resume = [Positions::default(); 2];
        let all = self.send(
            &mut resume,
            self.len(),
            Flush::Hard,
            true,
            &mut Frames::new(),
        );
        assert_eq!(
            resume[0].stdout.min(resume[0].stderr),
            self.streams[0].len() as u64
        );
        assert_eq!(
            resume[1].stdout.min(resume[1].stderr),
            self.streams[1].len() as u64
        );
        all
    }

    /// Sends in chunks that end at `cuts`, each with its flush, the rest with a hard one.
    fn in_chunks(&self, cuts: &[(usize, Flush)]) -> Vec<Found> {
        let mut resume = [Positions::default(); 2];
        let mut frames = Frames::new();
        let mut all = Vec::new();
        let mut sent = 0;
        for &(cut, flush) in cuts {
            // A chunk that brought nothing is extended.
            sent = sent.max(cut % (self.len() + 1));
            all.extend(self.send(&mut resume, sent, flush, false, &mut frames));
        }
        all.extend(self.send(&mut resume, self.len(), Flush::Hard, true, &mut frames));
        all.sort_by_key(|found| found.key);
        all
    }

    /// Tiles the streams with the records' parts (DELIVERY rule 24).
    fn assert_tiled(&self, records: &[Found]) {
        let mut parts: Vec<Part> = records
            .iter()
            .flat_map(|found| found.parts.clone())
            .collect();
        parts.sort_by_key(|part| (part.stream, part.offset));
        let mut ends = [0, 0];
        for part in parts {
            let end = &mut ends[(part.stream - 7) as usize];
            assert_eq!(
                part.offset, *end,
                "gap or overlap in stream {}",
                part.stream
            );
            *end = part.offset + part.length;
        }
        assert_eq!(
            ends,
            [self.streams[0].len() as u64, self.streams[1].len() as u64]
        );
    }
}

fn formats() -> impl Strategy<Value = Format> {
    prop_oneof![3 => Just(Format::Cri), 1 => Just(Format::Docker), 1 => Just(Format::Raw)]
}

fn options() -> impl Strategy<Value = Options> {
    let small = Options {
        max_line: 130,
        max_event: 150,
        max_lines: 5,
        max_span: 400,
        ..Options::default()
    };
    prop_oneof![
        Just(Options::default()),
        Just(small),
        Just(Options {
            max_line: 90,
            max_span: 2_000,
            ..small
        }),
        Just(Options {
            max_span: 300,
            ..Options::default()
        }),
        Just(Options {
            multiline: false,
            ..Options::default()
        }),
        Just(Options {
            lines_only: true,
            ..Options::default()
        }),
    ]
}

/// Where a line ends at or before `at`.
fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[..at]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |n| n + 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// Rules 3, 6, 9 and 24.
    #[test]
    fn any_split_gives_the_same_records(
        format in formats(),
        options in options(),
        specs in specs(),
        rotation in any::<prop::sample::Index>(),
        ends_without_newline in any::<bool>(),
        cuts in vec(any::<usize>(), 0..8),
    ) {
        let mut bytes = write(format, &specs);
        if ends_without_newline {
            bytes.pop();
        }
        let rotation = line_end(&bytes, rotation.index(bytes.len() + 1));
        let (first, second) = bytes.split_at(rotation);
        let log = Log { format, options, streams: [first, second] };
        let whole = log.whole();
        log.assert_tiled(&whole);
        let mut cuts: Vec<(usize, Flush)> =
            cuts.into_iter().map(|cut| (cut % (log.len() + 1), Flush::None)).collect();
        cuts.sort_unstable_by_key(|cut| cut.0);
        let mut expected = whole;
        expected.sort_by_key(|found| found.key);
        prop_assert_eq!(log.in_chunks(&cuts), expected);
    }

    /// Rule 7: flushes in between move the bounds of events, but lose and double nothing.
    #[test]
    fn flushes_lose_and_double_nothing(
        format in formats(),
        options in options(),
        specs in specs(),
        rotation in any::<prop::sample::Index>(),
        cuts in vec((any::<usize>(), 0..3_u8), 0..8),
    ) {
        let bytes = write(format, &specs);
        let rotation = line_end(&bytes, rotation.index(bytes.len() + 1));
        let (first, second) = bytes.split_at(rotation);
        let log = Log { format, options, streams: [first, second] };
        let mut cuts: Vec<(usize, Flush)> = cuts
            .into_iter()
            .map(|(cut, flush)| {
                let flush = [Flush::None, Flush::Soft, Flush::Hard][usize::from(flush)];
                (cut % (log.len() + 1), flush)
            })
            .collect();
        cuts.sort_by_key(|cut| cut.0);
        log.assert_tiled(&log.in_chunks(&cuts));
    }

    /// Bytes from anywhere: no panic, every whole line once.
    #[test]
    fn arbitrary_bytes_are_tiled(
        format in formats(),
        options in options(),
        bytes in vec(prop_oneof![Just(b'\n'), Just(b' '), Just(b'"'), Just(b'\\'), any::<u8>()], 0..600),
        cuts in vec(any::<usize>(), 0..4),
    ) {
        let log = Log { format, options, streams: [&bytes, &[]] };
        let mut expected = log.whole();
        log.assert_tiled(&expected);
        expected.sort_by_key(|found| found.key);
        let mut cuts: Vec<(usize, Flush)> =
            cuts.into_iter().map(|cut| (cut % (log.len() + 1), Flush::None)).collect();
        cuts.sort_unstable_by_key(|cut| cut.0);
        // The end of the first stream is only known when it is whole.
        cuts.retain(|cut| cut.0 < log.len());
        prop_assert_eq!(log.in_chunks(&cuts), expected);
    }
}

/// Rule 12: lines one by one have the ids (offset and hash) that single-line events have.
#[test]
fn lines_only_keeps_the_ids_of_single_lines() {
    let bytes = b"2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:00Z stdout P two\n\
        2026-01-01T00:00:00Z stdout F three\n2026-01-01T00:00:01Z stderr F \tat x\n";
    let inputs = [Input {
        stream: 1,
        start: 0,
        resume: Positions::default(),
        eof: false,
        bytes,
    }];
    let options = Options {
        lines_only: true,
        ..Options::default()
    };
    let mut frames = Frames::new();
    frame(Format::Cri, &inputs, Flush::None, &options, &mut frames);
    let lines: Vec<_> = frames
        .records()
        .iter()
        .map(|record| {
            (
                record.iostream,
                record.tags,
                frames.message(record, &inputs),
            )
        })
        .collect();
    let stdout = Some(Iostream::Stdout);
    assert_eq!(
        lines,
        [
            (stdout, Tags::NONE, &b"one"[..]),
            (stdout, Tags::PARTIAL, b"two"),
            (stdout, Tags::NONE, b"three"),
            (Some(Iostream::Stderr), Tags::NONE, b"\tat x"),
        ]
    );
    let id = (frames.records()[0].offset, frames.records()[0].hash);
    frame(
        Format::Cri,
        &inputs,
        Flush::Hard,
        &Options::default(),
        &mut frames,
    );
    assert_eq!((frames.records()[0].offset, frames.records()[0].hash), id);
}
