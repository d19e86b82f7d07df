//! A body of documents, compressed as it will go over the wire.

use aggregator::output::Encoder;
use bench::stages::Lines;
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use store::Encoding;

use crate::records::Records;

#[divan::bench(args = Lines::ALL)]
fn zstd_1(bencher: Bencher<'_, '_>, lines: Lines) {
    run(bencher, lines, Encoding::Zstd);
}

#[divan::bench(args = Lines::ALL)]
fn gzip_1(bencher: Bencher<'_, '_>, lines: Lines) {
    run(bencher, lines, Encoding::Gzip);
}

fn run(bencher: Bencher<'_, '_>, lines: Lines, encoding: Encoding) {
    let records = Records::of(lines);
    let (body, n_docs) = records.body();
    let mut encoder = Encoder::default();
    bencher
        .counter(BytesCount::new(records.n_bytes))
        .counter(ItemsCount::new(n_docs))
        .bench_local(|| encoder.encode(encoding, &body));
}
