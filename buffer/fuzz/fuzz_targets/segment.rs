//! Recovery of a segment from any bytes: no panic, and every byte accounted for once.
//!
//! The checksums that a fuzzer cannot guess are set right first, so that it gets behind them:
//! the input is a list of edits to a sound segment. Run: `cargo +nightly fuzz run segment`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    buffer::fuzzing::segment(bytes);
});
