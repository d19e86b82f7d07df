//! A journal file of any bytes is read to an end: `cargo +nightly fuzz run file`, in `journald/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Write;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::tempfile().expect("a folder for temporary files");
    file.write_all(bytes).expect("room for a file");
    journald::fuzzing::file(file);
});
