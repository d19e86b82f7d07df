//! An answer of any bytes is judged without a panic, one verdict a document or none at all:
//! `cargo +nightly fuzz run bulk_answer`, in `store/`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    store::fuzzing::bulk_answer(bytes);
});
