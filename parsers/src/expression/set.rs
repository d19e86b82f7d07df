//! Sets of bytes, 32 bytes each: programs hold hundreds of them, and all have to stay near the
//! processor (`grok` of `make bench-rules`).

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ByteSet([u64; 4]);

impl ByteSet {
    #[inline(always)]
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    pub(crate) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(crate) fn extend(&mut self, bytes: impl IntoIterator<Item = u8>) {
        bytes.into_iter().for_each(|byte| self.insert(byte));
    }

    pub(crate) fn union(&self, other: &ByteSet) -> ByteSet {
        ByteSet(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    pub(crate) fn complement(&self) -> ByteSet {
        ByteSet(self.0.map(|word| !word))
    }

    pub(crate) fn intersects(&self, other: &ByteSet) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// The bytes of ASCII.
    pub(crate) fn ascii(&self) -> ByteSet {
        ByteSet([self.0[0], self.0[1], 0, 0])
    }

    /// Whether any is above ASCII.
    pub(crate) fn any_above(&self) -> bool {
        self.0[2] | self.0[3] != 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> {
        (0..=255).filter(|byte| self.has(*byte))
    }
}
