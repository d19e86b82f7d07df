//! Traces as the runtimes print them: each is one event, and lines around it are not in it.

use framing::{Flush, Format, Frames, Input, Iostream, Options, Positions, Record, frame};

/// Frames `text` as a raw file, flushed at its end.
fn events(text: &str, flush: Flush) -> Vec<String> {
    let inputs = [Input {
        stream: 1,
        start: 0,
        resume: Positions::default(),
        eof: false,
        bytes: text.as_bytes(),
    }];
    let mut frames = Frames::new();
    frame(
        Format::Raw,
        &inputs,
        flush,
        &Options::default(),
        &mut frames,
    );
    let text = |record| String::from_utf8_lossy(frames.message(record, &inputs)).into_owned();
    frames.records().iter().map(text).collect()
}

/// Traces of `traces/*.txt`, apart by lines of `%%`: what is between them is printed behind each other.
fn traces() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces");
    let mut traces = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is part of the crate") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("it is UTF-8");
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("names are ours");
        for (n, trace) in text.split("%%\n").enumerate() {
            traces.push((format!("{name} {}", n + 1), trace.to_owned()));
        }
    }
    assert!(traces.len() >= 40, "only {} traces found", traces.len());
    traces.sort();
    traces
}

#[test]
fn each_trace_is_one_event_between_ordinary_lines() {
    for (name, trace) in traces() {
        let text = format!("First line.\n{trace}2026-01-01 INFO last line\n");
        let expected = [
            "First line.",
            trace.trim_end_matches('\n'),
            "2026-01-01 INFO last line",
        ];
        assert_eq!(events(&text, Flush::Hard), expected, "{name}");
    }
}

#[test]
fn a_trace_that_follows_itself_is_two_events() {
    for (name, trace) in traces() {
        // One dump holds many goroutines.
        if trace.starts_with("goroutine") {
            continue;
        }
        let expected = trace.trim_end_matches('\n');
        assert_eq!(
            events(&format!("{trace}{trace}"), Flush::Hard),
            [expected, expected],
            "{name}"
        );
    }
}

/// Rule 9: stdout and stderr are joined apart, whatever is between the lines, and in parts too.
#[test]
fn a_trace_is_not_torn_by_the_other_iostream() {
    let time = "2026-01-01T00:00:00.000000001Z";
    for (name, trace) in traces() {
        let trace = trace.trim_end_matches('\n');
        let mut text = String::new();
        for line in trace.split('\n') {
            let (start, end) = line.split_at_checked(line.len() / 2).unwrap_or((line, ""));
            text += &format!("{time} stderr P {start}\n{time} stdout F between\n");
            text += &format!("{time} stderr F {end}\n{time} stdout F java.lang.Error: x\n");
        }
        let inputs = [Input {
            stream: 1,
            start: 0,
            resume: Positions::default(),
            eof: false,
            bytes: text.as_bytes(),
        }];
        let mut frames = Frames::new();
        frame(
            Format::Cri,
            &inputs,
            Flush::Hard,
            &Options::default(),
            &mut frames,
        );
        let (stderr, stdout): (Vec<&Record>, Vec<&Record>) = frames
            .records()
            .iter()
            .partition(|record| record.iostream == Some(Iostream::Stderr));
        assert_eq!(stderr.len(), 1, "{name}");
        assert_eq!(
            String::from_utf8_lossy(frames.message(stderr[0], &inputs)),
            trace,
            "{name}"
        );
        assert!(!frames.parts_of(stderr[0]).is_empty());
        assert_eq!(stdout.len(), 2 * trace.split('\n').count(), "{name}");
    }
}

/// Rule 7: a soft flush ends ordinary events, a hard one traces too.
#[test]
fn soft_flush_waits_for_the_rest_of_a_trace_from_its_head_on() {
    for (name, trace) in traces() {
        let lines: Vec<&str> = trace.split_inclusive('\n').collect();
        // Loggers print the exception behind lines of their own, which do not tell of it.
        let is_report = lines[0].starts_with("====");
        for n in 1..=lines.len() {
            if n == 1 && is_report || n <= 2 && name.starts_with("logged") {
                continue;
            }
            let text = format!("First line.\n{}", lines[..n].concat());
            assert_eq!(
                events(&text, Flush::Soft),
                ["First line."],
                "{name}, {n} lines"
            );
            let hard = events(&text, Flush::Hard);
            assert_eq!(hard.join("\n") + "\n", text, "{name}, {n} lines");
        }
    }
    assert_eq!(events("one\ntwo\n", Flush::Soft), ["one", "two"]);
    assert_eq!(events("one\ntwo\n", Flush::None), ["one"]);
}

#[test]
fn ordinary_lines_are_not_joined() {
    let lines = [
        "This arbitrary text.",
        "It sounds tympanic: a word which means like a drum.",
        "",
        "I am glad it contains no exception.",
        "Error: cannot open file",
        "Error: cannot open another",
        "INFO java.lang.Error: told apart",
        "  indented",
        "panic: not really",
        "goes on",
        "{\"a\":1}",
        "  at",
        "#1 in the list",
        "/app/index.js:3",
        "not a source line",
        "==================",
        "title",
        "==================",
        "goroutine",
        "12:00 ERROR failed",
        "",
        "\tat nobody's",
        "12:00 ERROR failed",
        "",
        "12:00 ERROR failed",
        "",
        "",
        "",
    ];
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    assert_eq!(events(&text, Flush::Hard), lines);
}

#[test]
fn the_place_of_the_trace_is_told() {
    let cases = [
        (
            "java.lang.Error: x\n\tat a.B(C.java:1)\n",
            Some("java.lang.Error: x"),
        ),
        (
            "12:00 ERROR a - failed: java.lang.Error: x\n\tat a.B(C.java:1)\n",
            Some("java.lang.Error: x"),
        ),
        (
            "12:00 ERROR failed\njava.lang.Error: x\n\tat a.B(C.java:1)\n",
            Some("java.lang.Error: x"),
        ),
        (
            "ERROR:root:failed\nTraceback (most recent call last):\n  File \"a\", line 1\nE: x\n",
            Some("Traceback"),
        ),
        (
            "fail: A.B[0]\n      Message\n      System.Exception: x\n         at A.B()\n",
            Some("System.Exception: x"),
        ),
        ("java.lang.Error: x\n", None),
        ("one\n", None),
    ];
    for (text, expected) in cases {
        let inputs = [Input {
            stream: 1,
            start: 0,
            resume: Positions::default(),
            eof: false,
            bytes: text.as_bytes(),
        }];
        let mut frames = Frames::new();
        frame(
            Format::Raw,
            &inputs,
            Flush::Hard,
            &Options::default(),
            &mut frames,
        );
        assert_eq!(frames.records().len(), 1, "{text}");
        let record = &frames.records()[0];
        let trace = record
            .trace_at
            .map(|at| &frames.message(record, &inputs)[at as usize..]);
        match expected {
            Some(start) => assert!(
                trace.unwrap().starts_with(start.as_bytes()),
                "{text}: {trace:?}"
            ),
            None => assert_eq!(trace, None, "{text}"),
        }
    }
}
