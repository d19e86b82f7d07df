//! Entry point of the fuzz target, compiled for it (and for tests) only.

use crate::judge::judge_answer;

/// Judges `bytes` as the answer to as many documents as it may be about.
///
/// # Panics
/// When there are more or fewer verdicts than documents.
pub fn bulk_answer(bytes: &[u8]) {
    for n_docs in [0, 1, 2, 3, 7] {
        for lists_items in [false, true] {
            if let Ok(verdicts) = judge_answer(bytes, n_docs, lists_items) {
                assert_eq!(verdicts.len(), n_docs);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_cut_off_anywhere_are_survived() {
        let answer = br#"{"took":1,"errors":true,"items":[{"create":{"status":201}},
            {"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed",
            "caused_by":{"type":"x","reason":"y"}}}},{"index":{"status":429,"error":"busy"}}]}"#;
        for len in 0..=answer.len() {
            bulk_answer(&answer[..len]);
        }
    }
}
