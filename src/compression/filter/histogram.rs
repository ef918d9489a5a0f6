//! Estimates from a sample of a block: whether it could become smaller at all, and with which planes.
//!
//! ```text
//! histograms of a sample, by position mod 16
//! no stride makes the bytes more predictable than they are together:  none, no trial
//! else: deflate a part of the block as it is
//!       that makes it smaller than planes without repeats would be:   none
//!       else deflate the planes of the part, use the smaller result
//! ```

use super::Filter;

/// Number of bytes of a sample of a block, in pieces over the whole block.
const SAMPLE: usize = 8 * 1024;
const SAMPLE_PIECE: usize = 512;

/// Returns a sample of `total` bytes: pieces of `piece` bytes that are spread over `bytes`, each beginning at a
/// multiple of 16. If `bytes` is not longer than `total`, all of it is the sample.
pub(super) fn sample(bytes: &[u8], total: usize, piece: usize) -> impl Iterator<Item = &[u8]> {
    // A short block is its own sample.
    let pieces = if bytes.len() <= total { 1 } else { total / piece };
    let len = if pieces == 1 { bytes.len() } else { piece };
    (0..pieces).map(move |index| {
        let start = (bytes.len() - len) * index / pieces.max(2).saturating_sub(1) / 16 * 16;
        &bytes[start.min(bytes.len() - len)..][..len]
    })
}

/// Returns 256 · log2(n), approximately and the same on every machine.
pub(super) const fn log2_256(n: u32) -> u32 {
    let n = if n == 0 { 1 } else { n };
    let whole = n.ilog2();
    // The logarithm of the mantissa, bit by bit: squaring it doubles its logarithm.
    let (mut mantissa, mut bits, mut step) = (((n as u64) << 8 >> whole) << 22, 0, 0);
    while step < 8 {
        mantissa = (mantissa * mantissa) >> 30;
        bits <<= 1;
        if mantissa >= 2 << 30 {
            mantissa >>= 1;
            bits |= 1;
        }
        step += 1;
    }
    whole * 256 + bits
}

/// Up to this count, [`weight`] takes its result from a table.
const LOOKED_UP: u32 = 512;

/// Returns 256 · n · log2(n), the weight of a count in the size of a code, approximately.
fn weight(n: u32) -> u64 {
    const TABLE: [u32; LOOKED_UP as usize + 1] = {
        let (mut table, mut n) = ([0; LOOKED_UP as usize + 1], 0);
        while n <= LOOKED_UP {
            table[n as usize] = n * log2_256(n);
            n += 1;
        }
        table
    };
    match TABLE.get(n as usize) {
        Some(weight) => u64::from(*weight),
        None => u64::from(n) * u64::from(log2_256(n)),
    }
}

/// Returns the size of a Huffman code for all sampled bytes with these counts, in 1/256 bits, at most that of the bytes
/// themselves. Adds 0.72 bits per occurring value, because a sample looks more regular than its population (Miller and
/// Madow).
pub(super) fn coded_size(counts: &[u32; 256]) -> u64 {
    let (mut total, mut sum, mut used) = (0u32, 0u64, 0u64);
    // Values that occur are often neighbours, so that groups of eight counts of 0 are skipped.
    for counts in counts.as_chunks::<8>().0.iter().filter(|counts| **counts != [0; 8]) {
        for &count in counts {
            total += count;
            sum += weight(count);
            used += u64::from(count > 0);
        }
    }
    let entropy = weight(total) - sum;
    (entropy + used * 185).min(u64::from(total) * 8 * 256)
}

/// Frequency of each byte value at each position mod 16, in a sample of a block.
pub(crate) struct Histogram {
    counts: [[u32; 256]; 16],
    total: u32,
}

/// A split into byte planes that could make a block smaller. A trial decides if it does.
pub(crate) struct Candidate {
    pub(crate) filter: Filter,
    /// Estimated size of the planes, in 1/256 of the estimated size without planes, if nothing repeats.
    share: u64,
    /// Estimated bits per byte in the planes, in 1/256, if nothing repeats.
    bits: u64,
}

impl Candidate {
    /// Returns true if planes cannot help for `len` bytes that deflate to `deflated` without them: frequent
    /// bytes save little and repeats save more, and planes keep at most the repeats.
    pub(crate) fn is_hopeless(&self, deflated: usize, len: usize) -> bool {
        let planes = self.bits * len as u64 / 8 / 256;
        self.share > 256 * 7 / 8 && (deflated as u64) < planes * 7 / 8
    }
}

impl Histogram {
    pub(crate) fn of(bytes: &[u8]) -> Histogram {
        let mut histogram = Histogram { counts: [[0; 256]; 16], total: 0 };
        for piece in sample(bytes, SAMPLE, SAMPLE_PIECE) {
            // Pieces begin at multiples of 16, so that the positions agree between them.
            let rows = piece.as_chunks::<16>().0;
            for row in rows {
                for (counts, byte) in histogram.counts.iter_mut().zip(row) {
                    counts[usize::from(*byte)] += 1;
                }
            }
            // The sample is small, so that its size fits 32 bits.
            histogram.total += 16 * u32::try_from(rows.len()).unwrap_or(0);
        }
        histogram
    }

    /// Returns true if `bytes`, the block of which this is the histogram, look [`incompressible`].
    pub(crate) fn is_noise(&self, bytes: &[u8]) -> bool {
        bytes.len() >= NOISE_MIN && self.is_flat() && !repeats(bytes)
    }

    fn is_flat(&self) -> bool {
        let mut counts = [0u32; 256];
        for of_position in &self.counts {
            counts.iter_mut().zip(of_position).for_each(|(all, count)| *all += count);
        }
        is_flat(&counts)
    }

    /// Returns the split into byte planes that could make the block smaller, or `None`. Merges the histograms.
    pub(crate) fn candidate(&mut self) -> Option<Candidate> {
        // Fewer bytes are not enough for 16 positions.
        if self.total < 1_024 {
            return None;
        }
        // From stride 16 down to 1: halving the stride merges the histograms of two positions.
        let mut sizes = [0u64; 5];
        let mut stride = 16;
        for size in sizes.iter_mut().rev() {
            *size = self.counts[..stride].iter().map(coded_size).sum();
            stride /= 2;
            let (low, high) = self.counts.split_at_mut(stride);
            for (low, high) in low.iter_mut().zip(high.iter()) {
                for (low, high) in low.iter_mut().zip(high) {
                    *low += high;
                }
            }
        }
        // The sizes by stride. Stride 1 is the block without planes.
        let [together, splits @ ..] = sizes;
        let least = splits.iter().copied().min()?;
        // A saving of less than a thirtieth is not worth the trial. Among strides that are about equally good
        // the smallest wins, because longer planes deflate better.
        if least >= together - together / 30 {
            return None;
        }
        let good = |size: &u64| *size <= least + least / 100;
        let (filter, size) = Filter::SPLITS.into_iter().zip(splits).find(|(_, size)| good(size))?;
        // An occurring value has a size, so that `together` is not 0.
        Some(Candidate { filter, share: 256 * size / together, bits: size / u64::from(self.total) })
    }
}

/// Returns true if all byte values are about equally frequent by these counts.
pub(super) fn is_flat(counts: &[u32; 256]) -> bool {
    let squares: u64 = counts.iter().map(|&count| u64::from(count) * u64::from(count)).sum();
    // Chi-squared against equal counts is 256 · squares / total − total: about 255 for noise. A saving of
    // less than 1 % would show as a part of the total.
    let total: u64 = counts.iter().copied().map(u64::from).sum();
    256 * squares <= total * (total + total / 16 + 310)
}

/// Minimum number of bytes for a meaningful histogram.
pub(super) const NOISE_MIN: usize = 512;
/// Number of bytes at the start of a block that are searched for repeats.
const REPEATS: usize = 16 * 1024;

/// Returns true if the bytes look incompressible: all values about equally frequent, and nothing repeated. A
/// wrong guess makes the result larger, but never incorrect.
pub(crate) fn incompressible(bytes: &[u8]) -> bool {
    bytes.len() >= NOISE_MIN && Histogram::of(bytes).is_noise(bytes)
}

/// Returns true if many strings of four bytes recur in the first 16 KiB. One string in 64 is examined, selected
/// by its contents, so that both copies are selected whatever their distance.
pub(crate) fn repeats(bytes: &[u8]) -> bool {
    const LOW: u64 = u64::MAX / 0xff;
    let bytes = &bytes[..bytes.len().min(REPEATS)];
    let mut seen = [0u32; 256];
    let mut found = 0;
    // Eight positions at a time. A byte of `mixed` combines the three bytes from its position on.
    for (index, window) in bytes.windows(11).step_by(8).enumerate() {
        let at = |start: usize| window[start..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
        let mixed = at(0) ^ ((at(1) >> 1) & (LOW * 0x7f)) ^ ((at(2) << 1) & (LOW * 0xfe));
        // Bit 6 of each byte whose low six bits are all set.
        let mut chosen = ((mixed & (LOW * 0x3f)) + LOW) & (LOW * 0x40);
        while chosen != 0 {
            // A selected string is compared with the last string of the same hash.
            let place = index * 8 + (chosen.trailing_zeros() / 8) as usize;
            chosen &= chosen - 1;
            // Three bytes select the string, and four are compared.
            let value = bytes[place..].first_chunk().map_or(0, |four| u32::from_le_bytes(*four));
            let slot = &mut seen[(value.wrapping_mul(0x9E37_79B1) >> 24) as usize];
            found += usize::from(*slot == value);
            *slot = value;
        }
    }
    // One string in 64 is examined, and more than a 32nd of them must recur.
    found * 64 * 32 > bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_near() {
        for n in 1..100_000u32 {
            let exact = f64::from(n).log2() * 256.0;
            assert!((f64::from(log2_256(n)) - exact).abs() < 3.0, "{n}");
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut step = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..len).map(|_| step()).collect()
    }

    #[test]
    fn noise_is_incompressible_and_what_repeats_is_not() {
        for distance in [64, 500, 3_001, 8_000] {
            let copies = noise(distance).repeat(2 * REPEATS / distance);
            assert!(repeats(&copies[..REPEATS]), "{distance}");
        }
        for len in [512, 1_000, 2_048, 4_096, 4_097, 65_536, 131_072, 1 << 20] {
            assert!(incompressible(&noise(len)), "{len}");
        }
        assert!(!incompressible(&noise(512).repeat(64)));
        assert!(!incompressible(&vec![7; 65_536]));
        assert!(!incompressible(include_bytes!("histogram.rs")));
    }

    #[test]
    fn numbers_are_candidates_for_their_width_and_text_for_none() {
        let found = |bytes: &[u8]| Histogram::of(bytes).candidate().map(|candidate| candidate.filter);
        assert_eq!(found(include_bytes!("histogram.rs")), None);
        assert_eq!(found(&noise(131_072)), None);
        let floats: Vec<u8> = (0..16_384).flat_map(|i| (f64::from(i).sqrt() + 0.1).to_le_bytes()).collect();
        assert_eq!(found(&floats), Some(Filter::SPLITS[2]));
        let floats: Vec<u8> = (0..16_384).flat_map(|i| ((i as f32).sqrt() + 0.1).to_le_bytes()).collect();
        assert_eq!(found(&floats), Some(Filter::SPLITS[1]));
    }

    #[test]
    fn planes_are_hopeless_where_little_is_frequent_and_much_repeats() {
        // Planes save more than an eighth, so that repeats do not matter.
        let floats: Vec<u8> = (0..16_384).flat_map(|i| ((i as f32).sqrt() + 0.1).to_le_bytes()).collect();
        let numbers = Histogram::of(&floats).candidate().unwrap();
        assert!(!numbers.is_hopeless(1, floats.len()));
        let weak = Candidate { filter: Filter::SPLITS[3], share: 240, bits: 6 * 256 };
        assert!(weak.is_hopeless(5_000, 8_192));
        assert!(!weak.is_hopeless(5_500, 8_192), "planes of 6 bits a byte take 6,144");
    }
}
