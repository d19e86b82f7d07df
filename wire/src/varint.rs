//! Unsigned LEB128 integers, and signed differences folded into them (zigzag).

/// Most bytes that a `u64` takes.
pub(crate) const MAX_LEN: usize = 10;

/// Appends `value`, seven bits a byte, lowest first; all bytes but the last have the top bit set.
pub(crate) fn append(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value - base` as a zigzag number; the difference wraps, so any two values work.
pub(crate) fn append_delta(out: &mut Vec<u8>, value: u64, base: u64) {
    let delta = value.wrapping_sub(base).cast_signed();
    append(out, ((delta << 1) ^ (delta >> 63)).cast_unsigned());
}

/// Undoes [`append_delta`].
pub(crate) fn undo_delta(folded: u64, base: u64) -> u64 {
    let delta = (folded >> 1) ^ (folded & 1).wrapping_neg();
    base.wrapping_add(delta)
}

/// Why no number can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The input ends within the number.
    Truncated,
    /// More than 64 bits.
    TooLong,
}

/// Reads a number from the front of `input`; also tells how many bytes it took.
pub(crate) fn read(input: &[u8]) -> Result<(u64, usize), Failure> {
    let mut value = 0u64;
    for (idx, &byte) in input.iter().take(MAX_LEN).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for the topmost bit only.
        if idx == MAX_LEN - 1 && byte > 1 {
            return Err(Failure::TooLong);
        }
        value |= bits << (7 * idx);
        if byte & 0x80 == 0 {
            return Ok((value, idx + 1));
        }
    }
    if input.len() < MAX_LEN {
        Err(Failure::Truncated)
    } else {
        Err(Failure::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_numbers_have_known_bytes() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (300, &[0xac, 0x02]),
            (
                u64::MAX,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            ),
        ] {
            let mut out = Vec::new();
            append(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(read(bytes), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn cut_and_oversized_numbers_are_refused() {
        assert_eq!(read(&[]), Err(Failure::Truncated));
        assert_eq!(read(&[0x80]), Err(Failure::Truncated));
        assert_eq!(read(&[0xff; 10]), Err(Failure::TooLong));
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            Err(Failure::TooLong)
        );
    }

    proptest! {
        #[test]
        fn numbers_and_deltas_come_back(value: u64, base: u64) {
            let mut out = Vec::new();
            append(&mut out, value);
            prop_assert_eq!(read(&out), Ok((value, out.len())));
            out.clear();
            append_delta(&mut out, value, base);
            let (folded, _) = read(&out).unwrap();
            prop_assert_eq!(undo_delta(folded, base), value);
        }
    }
}
