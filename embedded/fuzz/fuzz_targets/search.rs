//! Any bytes are a search, a query, aggregations or Lucene's syntax, and are answered or refused:
//! `cargo +nightly fuzz run search`, in `embedded/`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    embedded::fuzzing::search(bytes);
});
