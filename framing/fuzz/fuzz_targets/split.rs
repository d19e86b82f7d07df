//! Whatever bytes come: no panic, every whole line in one record, and the same records when the
//! bytes come in two chunks.

#![no_main]

use framing::{Flush, Format, Frames, Input, Options, Positions, frame};
use libfuzzer_sys::fuzz_target;

/// What is compared of a record: offset, message, hash, lines.
type Found = (u64, Vec<u8>, u32, Vec<(u64, u64)>);

fn send(
    format: Format,
    options: &Options,
    bytes: &[u8],
    resume: Positions,
    end: Option<usize>,
) -> (Vec<Found>, Positions) {
    let low = resume.stdout.min(resume.stderr) as usize;
    let chunk = &bytes[low..end.unwrap_or(bytes.len()).max(low)];
    let inputs = [Input {
        stream: 1,
        start: low as u64,
        resume,
        eof: end.is_none(),
        bytes: chunk,
    }];
    let flush = if end.is_none() {
        Flush::Hard
    } else {
        Flush::None
    };
    let mut frames = Frames::new();
    frame(format, &inputs, flush, options, &mut frames);
    let found = frames
        .records()
        .iter()
        .map(|record| {
            let mut lines: Vec<(u64, u64)> = frames
                .parts_of(record)
                .iter()
                .map(|part| (part.offset, part.length))
                .collect();
            if lines.is_empty() {
                lines.push((record.offset, record.length));
            }
            (
                record.offset,
                frames.message(record, &inputs).to_vec(),
                record.hash,
                lines,
            )
        })
        .collect();
    (found, frames.positions()[0])
}

fuzz_target!(|data: &[u8]| {
    let [kind, cut_high, cut_low, bytes @ ..] = data else {
        return;
    };
    let format = [Format::Cri, Format::Docker, Format::Raw][usize::from(kind % 3)];
    let small = Options {
        max_line: 64,
        max_event: 100,
        max_lines: 4,
        max_span: 200,
        ..Options::default()
    };
    let options = if kind & 0x80 == 0 {
        Options::default()
    } else {
        small
    };
    let (mut whole, end) = send(format, &options, bytes, Positions::default(), None);
    assert_eq!(end.stdout.min(end.stderr), bytes.len() as u64);

    let mut lines: Vec<(u64, u64)> = whole.iter().flat_map(|found| found.3.clone()).collect();
    lines.sort_unstable();
    let tiled = lines.iter().try_fold(0, |at, &(start, length)| {
        (start == at).then_some(start + length)
    });
    assert_eq!(tiled, Some(bytes.len() as u64));

    let cut = usize::from(u16::from_be_bytes([*cut_high, *cut_low])) % (bytes.len() + 1);
    let (mut parts, resume) = send(format, &options, bytes, Positions::default(), Some(cut));
    parts.extend(send(format, &options, bytes, resume, None).0);
    whole.sort_by_key(|found| found.0);
    parts.sort_by_key(|found| found.0);
    assert_eq!(parts, whole);
});
