//! Whatever decodes as a batch encodes to something that decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = wire::Limits::default();
    if let Ok(batch) = wire::decode_batch(bytes, &limits) {
        let mut again = Vec::new();
        wire::encode_batch(&batch, &mut again);
        assert_eq!(wire::decode_batch(&again, &limits), Ok(batch));
    }
});
