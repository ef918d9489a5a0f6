//! Estimate of the planes of a block of numbers, for codecs that allow differences and every stride.
//!
//! There are two estimates of the size of a byte in its plane, from a sample by position mod 48, the least
//! common multiple of all strides: without differences, by the entropy of its histogram; with differences, by
//! the mean size of the differences, assuming that their frequency falls off evenly to both sides. Each plane
//! uses the smaller estimate. For the chosen stride, histograms of both over the plane itself decide whether
//! it becomes differences.

use super::Filter;
use super::histogram::{NOISE_MIN, coded_size, is_flat, log2_256, sample};

/// Number of positions in a block that have separate histograms: the least common multiple of all strides.
const POSITIONS: usize = 48;
/// Number of bytes of a piece of the sample. Pieces begin at multiples of [`POSITIONS`].
const PIECE: usize = 10 * POSITIONS;
/// Number of pieces in the sample of a block; below, in that of a small block.
const PIECES: usize = 16;
const FEW_PIECES: usize = 8;
/// Minimum size of a block for a meaningful sample.
const LEAST: usize = 1_024;
/// Maximum size of a small block.
const SMALL: usize = 128 * 1024;

/// Estimated sizes of the sampled bytes of a block of numbers, without byte planes and in planes of the chosen stride,
/// in 1/256 bits, and the filter with this stride.
pub(crate) struct Numbers {
    /// Estimated size of the sampled bytes without planes, if nothing repeats.
    together: u64,
    /// Estimated size of the sampled bytes in planes of the chosen stride.
    least: u64,
    pub(crate) filter: Filter,
    /// Number of bytes of the sample.
    total: u64,
}

/// Mean size of the differences between neighbouring bytes of each plane, for each stride, in 1/256.
type MeanDifferences = [[u64; 16]; Filter::ALL_SPLITS.len()];

/// Returns the mean differences in a sample of `bytes` that has up to this number of pieces. If `bytes` is too
/// short, every mean is the largest value.
fn mean_differences(bytes: &[u8], pieces: usize) -> MeanDifferences {
    let mut sizes = [[0u32; POSITIONS]; Filter::ALL_SPLITS.len()];
    let mut count = 0u64;
    // Sum the distances to the byte one stride before, for every stride and position.
    for piece in pieces_of(bytes, pieces) {
        let rows = piece.as_chunks::<POSITIONS>().0;
        for (index, row) in rows.iter().enumerate().skip(1) {
            for (sizes, filter) in sizes.iter_mut().zip(Filter::ALL_SPLITS) {
                // The first row has no bytes before it in its piece, so that the rows begin with the second.
                let before = &piece[index * POSITIONS - filter.stride()..][..POSITIONS];
                for ((size, byte), before) in sizes.iter_mut().zip(row).zip(before) {
                    // The distance on the circle of 256 values, at most 128.
                    *size += u32::from(byte.wrapping_sub(*before).cast_signed().unsigned_abs());
                }
            }
            count += 1;
        }
    }
    // Fold the positions into the planes of each stride.
    let mut means = [[u64::from(u32::MAX); 16]; Filter::ALL_SPLITS.len()];
    for ((means, sizes), filter) in means.iter_mut().zip(&sizes).zip(Filter::ALL_SPLITS) {
        let stride = filter.stride();
        for (plane, mean) in means[..stride].iter_mut().enumerate().filter(|_| count > 0) {
            let size: u32 = sizes[plane..].iter().step_by(stride).sum();
            *mean = u64::from(size) * 256 * stride as u64 / (count * POSITIONS as u64);
        }
    }
    means
}

/// Returns true if the differences in some byte plane are small enough to help although the bytes themselves
/// look like noise.
pub(crate) fn is_smooth(bytes: &[u8]) -> bool {
    // Noise has a mean of 64, and a sample of noise seldom has less than 50.
    bytes.len() >= LEAST && mean_differences(bytes, PIECES / 4).iter().flatten().any(|mean| *mean < 40 * 256)
}

impl Numbers {
    /// Estimates the sizes of a block with byte planes, and chooses the smallest stride that is about as good as
    /// the best stride. `None` if the block is too small.
    pub(crate) fn of(bytes: &[u8]) -> Option<Numbers> {
        let pieces = if bytes.len() <= SMALL { FEW_PIECES } else { PIECES };
        // Histograms by position mod 48 serve all strides. They lie on the stack, and no count exceeds the rows of
        // the sample.
        const { assert!(PIECES * PIECE / POSITIONS <= u8::MAX as usize) };
        let mut counts = [[0u8; 256]; POSITIONS];
        let mut total = 0u64;
        for piece in pieces_of(bytes, pieces) {
            let rows = piece.as_chunks::<POSITIONS>().0;
            for row in rows {
                for (counts, byte) in counts.iter_mut().zip(row) {
                    counts[usize::from(*byte)] += 1;
                }
            }
            total += (rows.len() * POSITIONS) as u64;
        }
        // Too few bytes per position for an estimate.
        if bytes.len() < LEAST {
            return None;
        }
        // The size without planes is the reference.
        let mut all = [0u32; 256];
        counts.iter().for_each(|counts| add(&mut all, counts));
        let together = coded_size(&all);
        let means = mean_differences(bytes, pieces);
        // Each plane costs the smaller of both estimates.
        let mut costs = [0u64; Filter::ALL_SPLITS.len()];
        for ((cost, filter), means) in costs.iter_mut().zip(Filter::ALL_SPLITS).zip(&means) {
            let stride = filter.stride();
            for (plane, mean) in means[..stride].iter().enumerate() {
                let mut of_plane = [0u32; 256];
                for counts in counts[plane..].iter().step_by(stride) {
                    add(&mut of_plane, counts);
                }
                // Each plane has the same share of the sample.
                let here = total / stride as u64;
                *cost += coded_size(&of_plane).min(here * difference_bits(*mean));
            }
        }
        let least = costs.iter().copied().min()?;
        // Fewer planes are faster, and longer planes become smaller than estimated.
        let near = (least / 20).min(together.saturating_sub(least) / 5);
        let (filter, least) =
            Filter::ALL_SPLITS.into_iter().zip(costs).find(|(_, cost)| *cost <= least + near)?;
        Some(Numbers { together, least, filter, total })
    }

    /// Returns true if byte planes could make the block smaller. An estimated saving of less than a thirtieth,
    /// or of less than 1/64 bit per byte, is not worth a trial.
    pub(crate) fn could_pay(&self) -> bool {
        self.least + self.together / 30 + 4 * self.total < self.together
    }

    /// Returns true if planes save so much that they could help in a block that also has repeats. A smaller
    /// saving is seldom worth a trial in such blocks, for example in machine code.
    pub(crate) fn saves_much(&self) -> bool {
        self.could_pay() && self.least < self.together / 8 * 7
    }

    /// Returns true if byte planes make the block smaller unless it has many repeats.
    pub(crate) fn surely_pays(&self) -> bool {
        self.could_pay() && self.least < self.together / 4 * 3
    }

    /// Returns true if planes cannot help for `len` bytes that encode to `encoded` without them, because
    /// repeats save more than planes save at best.
    pub(crate) fn is_hopeless(&self, encoded: usize, len: usize) -> bool {
        // The estimate for the whole part, in bytes.
        let planes = self.least * len as u64 / self.total / 8 / 256;
        (encoded as u64) < planes * 7 / 8 && self.least > self.together * 7 / 8
    }
}

fn add(all: &mut [u32; 256], counts: &[u8; 256]) {
    all.iter_mut().zip(counts).for_each(|(all, count)| *all += u32::from(*count));
}

/// Returns `pieces` pieces that begin at multiples of [`POSITIONS`], spread over `bytes`, or all of `bytes` if
/// it is short.
fn pieces_of(bytes: &[u8], pieces: usize) -> impl Iterator<Item = &[u8]> {
    // A block that is shorter than its sample is taken as a whole.
    let whole = bytes.len() <= pieces * PIECE;
    let (count, len) = if whole { (1, bytes.len()) } else { (pieces, PIECE) };
    (0..count).map(move |index| {
        let start = (bytes.len() - len) * index / count.max(2).saturating_sub(1) / POSITIONS * POSITIONS;
        &bytes[start..][..len]
    })
}

/// Returns the bits that a difference needs, in 1/256, if the mean size of the differences is `mean`/256: log2(1
/// + 2 e · mean), at most 8 bits.
fn difference_bits(mean: u64) -> u64 {
    let scaled = 256 + mean * 1_392 / 256;
    u64::from(log2_256(u32::try_from(scaled).unwrap_or(u32::MAX))).saturating_sub(8 * 256).min(8 * 256)
}

/// Properties of a byte plane, estimated from a sample of it.
pub(crate) struct Look {
    /// True if the differences of the plane clearly have less entropy than its bytes. In doubt the bytes are
    /// used, because undoing differences takes time.
    pub(crate) prefers_differences: bool,
    /// True if all values are about equally frequent: among the bytes of the plane, and among its differences.
    flat: [bool; 2],
}

impl Look {
    pub(crate) fn at(plane: &[u8]) -> Look {
        let (mut raw, mut differences) = ([0u32; 256], [0u32; 256]);
        // Pairs stay within a piece, because neighbouring pieces are not neighbours in the plane.
        for piece in sample(plane, 4 * 1024, 512) {
            for pair in piece.windows(2) {
                raw[usize::from(pair[1])] += 1;
                differences[usize::from(pair[1].wrapping_sub(pair[0]))] += 1;
            }
        }
        let flat = [&raw, &differences].map(|counts| plane.len() >= NOISE_MIN && is_flat(counts));
        let (raw, differences) = (coded_size(&raw), coded_size(&differences));
        Look { prefers_differences: differences + differences / 64 < raw, flat }
    }

    /// Returns true if all values are about equally frequent, among the bytes of the plane or among its
    /// differences. If no string repeats either, no codec makes them smaller.
    pub(crate) fn is_flat(&self, of_differences: bool) -> bool {
        self.flat[usize::from(of_differences)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut step = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..len).map(|_| step()).collect()
    }

    /// Records of `width` bytes: a little-endian number that grows by some for each field of `field` bytes.
    fn ramps(width: usize, field: usize, len: usize) -> Vec<u8> {
        let jitter = noise(len);
        (0..len / width)
            .flat_map(|row| {
                (0..width / field).flat_map(move |at| {
                    let number = (row as u64 * 37 + at as u64 * 5_000_000) << 3;
                    number.to_le_bytes()[..field].to_vec()
                })
            })
            .zip(jitter)
            .enumerate()
            .map(|(i, (byte, noise))| if i % field == 0 { byte ^ (noise & 7) } else { byte })
            .collect()
    }

    #[test]
    fn strides_are_those_of_the_numbers() {
        let found = |bytes: &[u8]| Numbers::of(bytes).filter(Numbers::could_pay).map(|n| n.filter.stride());
        assert_eq!(found(include_bytes!("numbers.rs")), None);
        assert_eq!(found(&noise(200_000)), None);
        assert_eq!(found(&noise(500)), None);
        assert_eq!(found(&vec![0; 200_000]), None);
        for (width, field) in [(2, 2), (4, 4), (8, 8), (3, 3)] {
            let stride = found(&ramps(width, field, 300_000)).unwrap();
            assert_eq!(stride, width, "{width}");
        }
        // Three coordinates, and pixels of three colours that change slowly.
        let stride = found(&ramps(12, 4, 300_000)).unwrap();
        assert!([4, 12].contains(&stride), "{stride}");
        // In these pixels all values are equally frequent.
        let pixels: Vec<u8> =
            (0..100_000u32).flat_map(|i| [(i / 9) as u8, (i / 5 + 90) as u8, (i / 7 + 200) as u8]).collect();
        assert_eq!(found(&pixels), Some(3));
        assert!(
            is_smooth(&pixels) && !is_smooth(&noise(300_000)) && !is_smooth(&[]) && !is_smooth(&noise(100))
        );
    }

    #[test]
    fn a_plane_that_changes_slowly_becomes_differences() {
        let slow: Vec<u8> = noise(50_000)
            .iter()
            .scan(0u8, |sum, by| {
                *sum = sum.wrapping_add(by % 5);
                Some(*sum)
            })
            .collect();
        let prefers_differences = |plane: &[u8]| Look::at(plane).prefers_differences;
        assert!(prefers_differences(&slow));
        assert!(!prefers_differences(&noise(50_000)));
        assert!(!prefers_differences(&[7; 5_000]));
        assert!(!prefers_differences(&[]));
        let few: Vec<u8> = noise(50_000).iter().map(|byte| byte % 4).collect();
        assert!(!prefers_differences(&few));
    }

    #[test]
    fn noise_is_flat_and_its_sums_are_noise_with_differences_that_are_not() {
        let noise = noise(50_000);
        let look = Look::at(&noise);
        assert!(look.is_flat(false) && look.is_flat(true));
        let sums: Vec<u8> = noise
            .iter()
            .scan(0u8, |sum, by| {
                *sum = sum.wrapping_add(by % 64);
                Some(*sum)
            })
            .collect();
        let look = Look::at(&sums);
        assert!(look.is_flat(false) && !look.is_flat(true) && look.prefers_differences);
        assert!(!Look::at(&noise[..300]).is_flat(false), "too few to say");
    }

    #[test]
    fn bits_of_differences_grow_with_their_size() {
        let bits: Vec<u64> =
            [0, 64, 256, 1_024, 5_120, 16_384, u64::from(u32::MAX)].map(difference_bits).to_vec();
        assert!(bits.is_sorted() && bits[0] == 0 && bits[6] == 8 * 256, "{bits:?}");
    }
}
