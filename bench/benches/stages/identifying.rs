//! The ids of documents and their action lines, which cost the same whatever the line is.

use bench::stages::Lines;
use divan::{
    Bencher, black_box_drop,
    counter::{BytesCount, ItemsCount},
};
use store::{Action, document_id};

use crate::records::{INDEX, Records};

#[divan::bench(args = [Lines::Mixed])]
fn document_ids(bencher: Bencher<'_, '_>, lines: Lines) {
    let records = Records::of(lines);
    let places = places(&records);
    bencher
        .counter(BytesCount::new(records.n_bytes))
        .counter(ItemsCount::new(places.len()))
        .bench_local(|| {
            for (stream, offset, hash) in &places {
                black_box_drop(document_id(*stream, *offset, *hash));
            }
        });
}

#[divan::bench(args = [Lines::Mixed])]
fn action_lines(bencher: Bencher<'_, '_>, lines: Lines) {
    let records = Records::of(lines);
    let ids: Vec<_> = places(&records)
        .into_iter()
        .map(|(stream, offset, hash)| document_id(stream, offset, hash))
        .collect();
    let (action, mut out) = (Action::new(INDEX), Vec::new());
    bencher
        .counter(BytesCount::new(records.n_bytes))
        .counter(ItemsCount::new(ids.len()))
        .bench_local(|| {
            out.clear();
            for id in &ids {
                action.append(&mut out, id);
            }
            out.len()
        });
}

/// What ids are made of.
fn places(records: &Records) -> Vec<(u64, u64, u32)> {
    let mut places = Vec::with_capacity(records.len());
    records.each(|record, _| places.push((record.stream, record.offset, record.hash)));
    places
}
