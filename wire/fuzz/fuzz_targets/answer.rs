//! Whatever decodes as an answer encodes to something that decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = wire::Limits::default();
    if let Ok(answer) = wire::decode_answer(bytes, &limits) {
        let mut again = Vec::new();
        wire::encode_answer(&answer, &mut again);
        assert_eq!(wire::decode_answer(&again, &limits), Ok(answer));
    }
});
