//! The agent's work on a batch before it is sent: encoded and compressed.

use agent::{Compression, steps::Compressor};
use bench::stages::Lines;
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};

use crate::batch::Batch;

#[divan::bench(args = Lines::ALL)]
fn zstd_1(bencher: Bencher<'_, '_>, lines: Lines) {
    run(bencher, lines, Compression::Zstd(1));
}

#[divan::bench(args = Lines::ALL)]
fn gzip_1(bencher: Bencher<'_, '_>, lines: Lines) {
    run(bencher, lines, Compression::Gzip(1));
}

#[divan::bench(args = Lines::ALL)]
fn none(bencher: Bencher<'_, '_>, lines: Lines) {
    run(bencher, lines, Compression::None);
}

fn run(bencher: Bencher<'_, '_>, lines: Lines, compression: Compression) {
    let batch = Batch::of(lines);
    let mut compressor = Compressor::new(compression).expect("the level is known");
    bencher
        .counter(BytesCount::new(batch.file.bytes.len()))
        .counter(ItemsCount::new(batch.file.lines))
        // The body's memory goes back to the compressor, as it does when it has been sent.
        .bench_local(|| batch.pack(&mut compressor).body.len());
}
