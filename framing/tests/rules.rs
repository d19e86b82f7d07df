//! The rules of DELIVERY.md that framing carries, one by one, on logs small enough to read.

use framing::{Flush, Format, Frames, Input, Options, Part, Positions, Tags, frame};

const A: u64 = 0xA;
const B: u64 = 0xB;

fn input(stream: u64, start: u64, bytes: &[u8], eof: bool) -> Input<'_> {
    Input {
        stream,
        start,
        resume: Positions {
            stdout: start,
            stderr: start,
        },
        eof,
        bytes,
    }
}

/// A CRI line; `seconds` after midnight.
fn cri(seconds: u32, iostream: &str, tag: &str, text: &str) -> String {
    format!(
        "2026-01-01T00:{:02}:{:02}Z {iostream} {tag} {text}\n",
        seconds / 60,
        seconds % 60
    )
}

fn messages(frames: &Frames, inputs: &[Input<'_>]) -> Vec<String> {
    let text = |record| String::from_utf8_lossy(frames.message(record, inputs)).into_owned();
    frames.records().iter().map(text).collect()
}

/// Frames CRI `lines` without a flush: what is given back has ended by content.
fn ended(lines: &[String], options: &Options) -> Vec<String> {
    let bytes = lines.concat();
    let inputs = [input(A, 0, bytes.as_bytes(), false)];
    let mut frames = Frames::new();
    frame(Format::Cri, &inputs, Flush::None, options, &mut frames);
    messages(&frames, &inputs)
}

/// Rule 6: a start line of the same iostream, not one of the other.
#[test]
fn an_event_ends_at_the_next_start_line_of_its_iostream() {
    let options = Options::default();
    let mut lines = vec![cri(0, "stdout", "F", "one")];
    assert_eq!(ended(&lines, &options), [""; 0]);
    lines.push(cri(0, "stderr", "F", "two"));
    assert_eq!(ended(&lines, &options), [""; 0]);
    lines.push(cri(0, "stdout", "F", "three"));
    assert_eq!(ended(&lines, &options), ["one"]);
}

/// Rule 6: parts are joined, over lines of the other iostream, and end with F.
#[test]
fn parts_join_until_the_full_line() {
    let options = Options::default();
    let mut lines = vec![
        cri(0, "stdout", "P", "one "),
        cri(0, "stderr", "F", "other"),
        cri(9, "stdout", "P", "two "),
    ];
    assert_eq!(
        ended(&lines, &options),
        ["other"],
        "the gap ends the other iostream's event"
    );
    lines.truncate(1);
    lines.extend([cri(9, "stdout", "F", "two"), cri(9, "stdout", "F", "next")]);
    assert_eq!(
        ended(&lines, &options),
        ["one two"],
        "the rest of a line may come late"
    );
}

/// Rule 6: bounds of lines, bytes, span and time.
#[test]
fn an_event_ends_at_each_of_its_limits() {
    let frame_line = |seconds| cri(seconds, "stdout", "F", "\tat a.B.c(B.java:1)");
    let head = cri(0, "stdout", "F", "java.lang.Error: x");
    let trace = [head.clone(), frame_line(0), frame_line(0), frame_line(0)];
    assert_eq!(ended(&trace, &Options::default()), [""; 0]);

    let two_lines = Options {
        max_lines: 2,
        ..Options::default()
    };
    let at = "\tat a.B.c(B.java:1)";
    assert_eq!(
        ended(&trace, &two_lines),
        [format!("java.lang.Error: x\n{at}")]
    );

    let bytes = Options {
        max_event: 18 + 1 + at.len(),
        ..Options::default()
    };
    assert_eq!(
        ended(&trace[..3], &bytes),
        [format!("java.lang.Error: x\n{at}")]
    );
    let fewer = Options {
        max_event: 18 + at.len(),
        ..Options::default()
    };
    assert_eq!(ended(&trace[..2], &fewer), ["java.lang.Error: x"]);

    // The second frame starts at the limit of the span, the third one behind it.
    let span = Options {
        max_span: (head.len() + trace[1].len()) as u64,
        ..Options::default()
    };
    assert_eq!(
        ended(&trace, &span),
        [format!("java.lang.Error: x\n{at}\n{at}")]
    );

    let late = [head.clone(), frame_line(5), frame_line(10), frame_line(16)];
    assert_eq!(
        ended(&late, &Options::default()),
        [format!("java.lang.Error: x\n{at}\n{at}")]
    );
}

/// Rule 6: one stdout line followed by endless stderr does not block the file for ever.
#[test]
fn lines_of_the_other_iostream_end_an_event_by_span_and_by_time() {
    let far = Options {
        max_span: 100,
        ..Options::default()
    };
    let stderr = |seconds| cri(seconds, "stderr", "F", "other");
    let start = |tag| cri(0, "stdout", tag, "one");
    assert_eq!(ended(&[start("F"), stderr(0), stderr(0)], &far), ["other"]);
    assert_eq!(
        ended(&[start("F"), stderr(0), stderr(0), stderr(0)], &far),
        ["one", "other", "other"]
    );
    let near = Options::default();
    assert_eq!(ended(&[start("F"), stderr(5)], &near), [""; 0]);
    assert_eq!(ended(&[start("F"), stderr(6)], &near), ["one"]);
    // An open partial too, by time, and by a span that holds the longest line.
    assert_eq!(ended(&[start("P"), stderr(5)], &near), [""; 0]);
    assert_eq!(ended(&[start("P"), stderr(6)], &near), ["one"]);
    let small = Options {
        max_line: 60,
        ..far
    };
    let many = [
        start("P"),
        stderr(0),
        stderr(0),
        stderr(0),
        stderr(0),
        stderr(0),
    ];
    assert_eq!(ended(&many[..4], &small), ["other", "other"]);
    assert_eq!(
        ended(&many, &small),
        ["one", "other", "other", "other", "other"]
    );
}

/// Rule 7: which events a flush ends.
#[test]
fn flushes_end_what_they_are_said_to() {
    let head = cri(0, "stdout", "F", "java.lang.Error: x");
    let ordinary = cri(0, "stdout", "F", "one");
    let part = cri(0, "stdout", "P", "part");
    let cases = [
        (&ordinary, Flush::None, false, false),
        (&ordinary, Flush::Soft, false, true),
        (&head, Flush::Soft, false, false),
        (&head, Flush::Soft, true, false),
        (&head, Flush::Hard, false, true),
        (&part, Flush::Soft, true, false),
        (&part, Flush::Hard, false, false),
        (&part, Flush::None, true, false),
        (&part, Flush::Hard, true, true),
    ];
    let mut frames = Frames::new();
    for (line, flush, eof, ends) in cases {
        let inputs = [input(A, 0, line.as_bytes(), eof)];
        frame(
            Format::Cri,
            &inputs,
            flush,
            &Options::default(),
            &mut frames,
        );
        assert_eq!(
            frames.records().len(),
            usize::from(ends),
            "{line} {flush:?} {eof}"
        );
        let durable = if ends { line.len() as u64 } else { 0 };
        assert_eq!(
            frames.positions()[0].stdout,
            durable,
            "{line} {flush:?} {eof}"
        );
        assert_eq!(frames.positions()[0].stderr, line.len() as u64);
    }
}

/// Rule 9: each iostream is durable up to its own open event, and lines below are not given again.
#[test]
fn positions_are_the_starts_of_open_events() {
    let lines = [
        cri(0, "stderr", "F", "java.lang.Error: x"),
        cri(0, "stdout", "F", "one"),
        cri(0, "stdout", "F", "two"),
        cri(0, "stderr", "F", "\tat a.B.c(B.java:1)"),
    ];
    let bytes = lines.concat();
    let inputs = [input(A, 0, bytes.as_bytes(), false)];
    let mut frames = Frames::new();
    frame(
        Format::Cri,
        &inputs,
        Flush::None,
        &Options::default(),
        &mut frames,
    );
    assert_eq!(messages(&frames, &inputs), ["one"]);
    let two = (lines[0].len() + lines[1].len()) as u64;
    let resume = Positions {
        stdout: two,
        stderr: 0,
    };
    assert_eq!(frames.positions(), [resume]);

    let bytes = bytes + &cri(0, "stdout", "F", "three") + &cri(0, "stderr", "F", "next");
    let inputs = [Input {
        resume,
        ..input(A, 0, bytes.as_bytes(), false)
    }];
    frame(
        Format::Cri,
        &inputs,
        Flush::None,
        &Options::default(),
        &mut frames,
    );
    assert_eq!(
        messages(&frames, &inputs),
        ["java.lang.Error: x\n\tat a.B.c(B.java:1)", "two"]
    );
    let parts = [
        Part {
            stream: A,
            offset: 0,
            length: lines[0].len() as u64,
        },
        Part {
            stream: A,
            offset: two + lines[2].len() as u64,
            length: lines[3].len() as u64,
        },
    ];
    assert_eq!(frames.parts_of(&frames.records()[0]), parts, "rule 24");
    assert_eq!(
        frames.records()[0].length,
        parts[1].offset + parts[1].length
    );
    assert_eq!(frames.parts_of(&frames.records()[1]), []);
}

/// Rules 3 and 24: an event goes on in the container's next file, and says where its lines are.
#[test]
fn an_event_goes_on_over_a_rotation() {
    let old = cri(0, "stdout", "F", "java.lang.Error: x");
    let new = cri(0, "stdout", "F", "\tat a.B.c(B.java:1)") + &cri(0, "stdout", "F", "next");
    let inputs = [
        input(A, 70, old.as_bytes(), true),
        input(B, 0, new.as_bytes(), false),
    ];
    let mut frames = Frames::new();
    frame(
        Format::Cri,
        &inputs[..1],
        Flush::None,
        &Options::default(),
        &mut frames,
    );
    assert_eq!(frames.records(), []);
    assert_eq!(
        frames.positions(),
        [Positions {
            stdout: 70,
            stderr: 70 + old.len() as u64
        }]
    );

    frame(
        Format::Cri,
        &inputs,
        Flush::None,
        &Options::default(),
        &mut frames,
    );
    assert_eq!(
        messages(&frames, &inputs),
        ["java.lang.Error: x\n\tat a.B.c(B.java:1)"]
    );
    let record = &frames.records()[0];
    let next = new
        .find("2026-01-01T00:00:00Z stdout F next")
        .expect("it is in there") as u64;
    assert_eq!(
        (record.stream, record.offset, record.length),
        (A, 70, old.len() as u64)
    );
    let parts = [
        Part {
            stream: A,
            offset: 70,
            length: old.len() as u64,
        },
        Part {
            stream: B,
            offset: 0,
            length: next,
        },
    ];
    assert_eq!(frames.parts_of(record), parts);
    let end = 70 + old.len() as u64;
    assert_eq!(
        frames.positions(),
        [
            Positions {
                stdout: end,
                stderr: end
            },
            Positions {
                stdout: next,
                stderr: new.len() as u64
            }
        ]
    );
}

/// Inputs that do not follow on each other are not joined, and nothing behind the gap is durable.
#[test]
fn nothing_is_joined_over_a_gap() {
    let old = cri(0, "stdout", "F", "one");
    let new = cri(0, "stdout", "F", "two");
    let gaps = [
        [
            input(A, 0, old.as_bytes(), false),
            input(B, 0, new.as_bytes(), false),
        ],
        [
            input(A, 0, old.as_bytes(), false),
            input(A, 999, new.as_bytes(), false),
        ],
        [
            input(A, 0, b"no end", false),
            input(A, 6, new.as_bytes(), false),
        ],
    ];
    let mut frames = Frames::new();
    for inputs in gaps {
        frame(
            Format::Cri,
            &inputs,
            Flush::Hard,
            &Options::default(),
            &mut frames,
        );
        assert_eq!(frames.records(), []);
        assert_eq!(frames.positions()[0].stdout, 0);
        assert_eq!(frames.positions()[1], inputs[1].resume);
    }
    let adjacent = [
        input(A, 0, old.as_bytes(), false),
        input(A, old.len() as u64, new.as_bytes(), false),
    ];
    frame(
        Format::Cri,
        &adjacent,
        Flush::None,
        &Options::default(),
        &mut frames,
    );
    assert_eq!(messages(&frames, &adjacent), ["one"]);
}

/// No byte of a line over the limit is lost, and a torn line ends its event at once, so that the
/// agent needs not send the piece twice.
#[test]
fn long_lines_are_cut_and_nothing_is_lost() {
    let options = Options {
        max_line: 60,
        ..Options::default()
    };
    let text = b"0123456789".repeat(15);
    let inputs = [input(A, 0, &text, false)];
    let mut frames = Frames::new();
    frame(Format::Raw, &inputs, Flush::None, &options, &mut frames);
    assert_eq!(
        messages(&frames, &inputs),
        ["0123456789".repeat(6), "0123456789".repeat(6)]
    );
    assert!(
        frames
            .records()
            .iter()
            .all(|record| record.tags == Tags::CUT)
    );
    assert_eq!(
        frames.positions(),
        [Positions {
            stdout: 120,
            stderr: 120
        }]
    );

    // The agent sends the pieces as chunks of their own; the cuts are the same.
    let pieces = [
        input(A, 0, &text[..60], true),
        input(A, 60, &text[60..120], true),
        input(A, 120, &text[120..], true),
    ];
    frame(Format::Raw, &pieces, Flush::Hard, &options, &mut frames);
    let tags: Vec<Tags> = frames.records().iter().map(|record| record.tags).collect();
    assert_eq!(tags, [Tags::CUT, Tags::CUT, Tags::NONE]);
    assert_eq!(frames.positions()[2].stdout, 150);

    // Parts that are too much together.
    let lines: Vec<String> = (0..5)
        .map(|_| cri(0, "stdout", "P", "0123456789012345678"))
        .collect();
    assert_eq!(ended(&lines, &options), ["0123456789012345678".repeat(3)]);
}

/// Lines that are not in the file's format are records, and what is open around them goes on.
#[test]
fn malformed_lines_are_records_of_their_own() {
    let lines = [
        cri(0, "stdout", "F", "java.lang.Error: x"),
        "no such format\r\n".to_owned(),
        cri(0, "stdout", "P", "\tat a.B.c"),
        "\n".to_owned(),
        cri(0, "stdout", "F", "(B.java:1)"),
    ];
    let bytes = lines.concat();
    let inputs = [input(A, 0, bytes.as_bytes(), false)];
    let mut frames = Frames::new();
    frame(
        Format::Cri,
        &inputs,
        Flush::None,
        &Options::default(),
        &mut frames,
    );
    assert_eq!(
        frames.records(),
        [],
        "what starts behind an open event comes again"
    );
    frame(
        Format::Cri,
        &inputs,
        Flush::Hard,
        &Options::default(),
        &mut frames,
    );
    let expected = [
        "java.lang.Error: x\n\tat a.B.c(B.java:1)",
        "no such format",
        "",
    ];
    assert_eq!(messages(&frames, &inputs), expected);
    let tags: Vec<Tags> = frames.records().iter().map(|record| record.tags).collect();
    assert_eq!(tags, [Tags::NONE, Tags::FRAMING_ERROR, Tags::FRAMING_ERROR]);
    assert_eq!(frames.records()[1].iostream, None);
    assert_eq!(frames.parts_of(&frames.records()[0]).len(), 3);
}

/// Bytes stay bytes; carriage returns at the ends of lines go, one each.
#[test]
fn bytes_are_kept_but_for_one_carriage_return() {
    let inputs = [input(A, 0, b"\xff\0\xfe\r\n\r\n\na\r\r\n", true)];
    let mut frames = Frames::new();
    frame(
        Format::Raw,
        &inputs,
        Flush::Hard,
        &Options::default(),
        &mut frames,
    );
    let found: Vec<&[u8]> = frames
        .records()
        .iter()
        .map(|record| frames.message(record, &inputs))
        .collect();
    assert_eq!(found, [&b"\xff\0\xfe"[..], b"", b"", b"a\r"]);
}

/// The hash is part of ids: stored documents hold it (rule 8).
#[test]
fn hashes_stay_as_they_are() {
    let text = b"one\njava.lang.Error: x\n\tat a.B.c(B.java:1)\n";
    let inputs = [input(A, 0, text, true)];
    let mut frames = Frames::new();
    frame(
        Format::Raw,
        &inputs,
        Flush::Hard,
        &Options::default(),
        &mut frames,
    );
    let hashes: Vec<u32> = frames.records().iter().map(|record| record.hash).collect();
    assert_eq!(hashes, [1_392_446_404, 2_903_241_640]);
}
