//! Any bytes are a bulk body whose documents are read, or are refused as a whole:
//! `cargo +nightly fuzz run bulk`, in `embedded/`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    embedded::fuzzing::bulk(bytes);
});
