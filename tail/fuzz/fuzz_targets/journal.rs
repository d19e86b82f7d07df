//! A journal of any bytes opens, and keeps what is written to it then:
//! `cargo +nightly fuzz run journal`, in `tail/`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    tail::fuzzing::journal(bytes);
});
