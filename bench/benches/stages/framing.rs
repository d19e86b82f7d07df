//! From the bytes of a chunk to records, by format of the file.

use bench::{
    container_log::Format,
    stages::{Lines, LogFile, Sample},
};
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use framing::{Flush, Frames, Input, Options, Positions, frame};

/// Stack traces and other events of several lines are put together, as is the default.
mod joined {
    use super::*;

    #[divan::bench(args = Lines::ALL)]
    fn cri(bencher: Bencher<'_, '_>, lines: Lines) {
        run(bencher, &Sample::of(lines).file(Format::Cri), true);
    }

    /// By a runtime that cuts lines into pieces of 64 bytes, which no real one does: the cost of
    /// partial lines alone.
    #[divan::bench(args = Lines::ALL)]
    fn cri_partial(bencher: Bencher<'_, '_>, lines: Lines) {
        let file = Sample::of(lines).file_in_pieces(Format::Cri, 64);
        run(bencher, &file, true);
    }

    #[divan::bench(args = Lines::ALL)]
    fn docker(bencher: Bencher<'_, '_>, lines: Lines) {
        run(bencher, &Sample::of(lines).file(Format::Docker), true);
    }

    #[divan::bench(args = Lines::ALL)]
    fn raw(bencher: Bencher<'_, '_>, lines: Lines) {
        run(bencher, &Sample::of(lines).file(Format::Raw), true);
    }
}

/// Each line is a record (`multiline: {enabled: false}`); partial lines are joined all the same.
mod single {
    use super::*;

    #[divan::bench(args = Lines::ALL)]
    fn cri(bencher: Bencher<'_, '_>, lines: Lines) {
        run(bencher, &Sample::of(lines).file(Format::Cri), false);
    }

    #[divan::bench(args = Lines::ALL)]
    fn docker(bencher: Bencher<'_, '_>, lines: Lines) {
        run(bencher, &Sample::of(lines).file(Format::Docker), false);
    }

    #[divan::bench(args = Lines::ALL)]
    fn raw(bencher: Bencher<'_, '_>, lines: Lines) {
        run(bencher, &Sample::of(lines).file(Format::Raw), false);
    }
}

fn run(bencher: Bencher<'_, '_>, file: &LogFile, multiline: bool) {
    let format = match file.format {
        Format::Cri => framing::Format::Cri,
        Format::Docker => framing::Format::Docker,
        Format::Raw => framing::Format::Raw,
    };
    let inputs = [Input {
        stream: 1,
        start: 0,
        resume: Positions::default(),
        eof: false,
        bytes: &file.bytes,
    }];
    let options = Options {
        multiline,
        ..Options::default()
    };
    let mut frames = Frames::new();
    bencher
        .counter(BytesCount::new(file.bytes.len()))
        .counter(ItemsCount::new(file.lines))
        .bench_local(|| {
            frame(format, &inputs, Flush::Soft, &options, &mut frames);
            frames.records().len()
        });
}
