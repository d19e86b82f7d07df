//! The store's answer to a body of 5,000 documents: what became of each. MB are of the answer.

use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use store::steps::not_stored;

const DOCS: usize = 5_000;

const CREATED: &str = r#"{"create":{"status":201}}"#;
const REFUSED: &str = r#"{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:1042] failed to parse field [attributes.amount] of type [long] in document with id 'ASNFZ4mrze8AAAAAAAAQAN6tvu8'. Preview of field's value: 'twelve'","caused_by":{"type":"illegal_argument_exception","reason":"For input string: \"twelve\""}}}}"#;

#[divan::bench]
fn all_created(bencher: Bencher<'_, '_>) {
    run(bencher, 0);
}

#[divan::bench]
fn one_in_a_hundred_refused(bencher: Bencher<'_, '_>) {
    run(bencher, DOCS / 100);
}

/// Judges an answer in which `n_refused` documents, evenly spread, are refused.
fn run(bencher: Bencher<'_, '_>, n_refused: usize) {
    let is_refused = |n: usize| n_refused > 0 && n.is_multiple_of(DOCS / n_refused);
    let items: Vec<_> = (0..DOCS)
        .map(|n| if is_refused(n) { REFUSED } else { CREATED })
        .collect();
    let answer = format!(
        r#"{{"took":412,"errors":{},"items":[{}]}}"#,
        n_refused > 0,
        items.join(",")
    );
    let answer = answer.as_bytes();
    assert_eq!(not_stored(answer, DOCS), Some(n_refused));
    bencher
        .counter(BytesCount::new(answer.len()))
        .counter(ItemsCount::new(DOCS))
        .bench_local(|| not_stored(answer, DOCS));
}
