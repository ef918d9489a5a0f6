//! SplitMix64: numbers and bytes for benchmarks and tests that are the same on every run.

#![forbid(unsafe_code)]

/// The generator SplitMix64, with its state. The first state is the seed.
#[derive(Clone)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
impl SplitMix64 {
    /// Returns a number below `limit`, 0 if `limit` is 0.
    pub(crate) fn below<N: TryInto<u64> + TryFrom<u64>>(&mut self, limit: N) -> N {
        let limit = limit.try_into().ok().expect("a limit of at most 64 bits");
        N::try_from(self.next() % limit.max(1)).ok().expect("less than the limit")
    }

    pub(crate) fn bytes(&mut self, len: impl TryInto<usize>) -> Vec<u8> {
        let len = len.try_into().ok().expect("a length in memory");
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}
