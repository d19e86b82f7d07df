//! The aggregator's first work on a batch: decompressed and decoded.

use agent::{Compression, steps::Compressor};
use aggregator::pipeline::{BodyEncoding, Inflater};
use bench::stages::Lines;
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use wire::{Limits, decode_batch};

use crate::batch::Batch;

/// Most bytes of a batch: more than one has.
const MOST: usize = 64 << 20;

#[divan::bench(args = Lines::ALL)]
fn zstd_1(bencher: Bencher<'_, '_>, lines: Lines) {
    run(bencher, lines, Compression::Zstd(1), BodyEncoding::Zstd);
}

#[divan::bench(args = Lines::ALL)]
fn gzip_1(bencher: Bencher<'_, '_>, lines: Lines) {
    run(bencher, lines, Compression::Gzip(1), BodyEncoding::Gzip);
}

#[divan::bench(args = Lines::ALL)]
fn none(bencher: Bencher<'_, '_>, lines: Lines) {
    run(bencher, lines, Compression::None, BodyEncoding::Identity);
}

fn run(bencher: Bencher<'_, '_>, lines: Lines, compression: Compression, encoding: BodyEncoding) {
    let batch = Batch::of(lines);
    let mut compressor = Compressor::new(compression).expect("the level is known");
    let body = batch.pack(&mut compressor).body;
    let (limits, mut raw) = (Limits::default(), Vec::new());
    let mut inflater = Inflater::default();
    bencher
        .counter(BytesCount::new(batch.file.bytes.len()))
        .counter(ItemsCount::new(batch.file.lines))
        .bench_local(|| {
            inflater
                .inflate(&body, encoding, MOST, &mut raw)
                .expect("the agent compressed it");
            let batch = decode_batch(&raw, &limits).expect("the agent encoded it");
            batch.chunks.len()
        });
}
