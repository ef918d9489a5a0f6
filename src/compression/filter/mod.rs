//! The byte-plane filter.
//!
//! Neighbouring numbers of an array have similar high bytes, and low bytes that look random. Byte planes
//! group the bytes of equal significance: the planes of high bytes compress well and fast, the planes of low
//! bytes are stored. Splitting into planes is a permutation of bytes, so that the residue does not change.
//! For numbers that change slowly, a plane can hold the differences of its bytes instead. This is not a
//! permutation.
//!
//! `lanes.rs` turns rows of bytes into planes and back; `histogram.rs` and `numbers.rs` estimate which
//! planes could help: the former for DEFLATE, whose encodings never change, the latter for all other
//! codecs.

mod histogram;
mod lanes;
mod numbers;

pub(crate) use histogram::{Candidate, Histogram, incompressible, repeats};
pub(crate) use numbers::{Look, Numbers, is_smooth};

use lanes::Native;
use std::ops::Range;

/// Byte-plane filter that runs before a block's codec, identified by its number in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter(u8);

/// Stride (number of byte planes) of the filter with each number in the format. 1 means no filter.
const STRIDES: [usize; 8] = [1, 2, 4, 8, 16, 3, 6, 12];

impl Filter {
    pub(crate) const NONE: Filter = Filter(0);
    /// Filters with strides that are powers of two, the smallest stride first.
    pub(crate) const SPLITS: [Filter; 4] = [Filter(1), Filter(2), Filter(3), Filter(4)];
    /// Filters of all strides, the smallest stride first.
    pub(crate) const ALL_SPLITS: [Filter; 7] =
        [Filter(1), Filter(5), Filter(2), Filter(6), Filter(3), Filter(7), Filter(4)];

    /// Returns the filter with this number in the format, or `None`.
    pub(crate) fn new(code: u8) -> Option<Filter> {
        (usize::from(code) < STRIDES.len()).then_some(Filter(code))
    }

    pub(crate) fn code(self) -> u8 {
        self.0
    }

    /// Returns the number of byte planes into which the filter splits a block.
    pub(crate) fn stride(self) -> usize {
        STRIDES[usize::from(self.0)]
    }

    /// Returns the ranges of the byte planes in a filtered block of `len` bytes.
    pub(crate) fn planes(self, len: usize) -> impl Iterator<Item = Range<usize>> {
        let (stride, mut end) = (self.stride(), 0);
        (0..stride).map(move |plane| {
            let start = end;
            // If the last row is incomplete, the first planes are a byte longer.
            end += len / stride + usize::from(plane < len % stride);
            start..end
        })
    }

    /// Splits the block `from` into byte planes in `to`, which is as long.
    pub(crate) fn split(self, from: &[u8], to: &mut [u8]) {
        match self.stride() {
            // Each stride has its own instance, because a zip (`lanes.rs`) has a fixed number of registers.
            2 => lanes::split::<Native, 2, 2>(from, to),
            // Three registers cannot be halved, so that two turns are done at once.
            3 => lanes::split::<Native, 3, 6>(from, to),
            4 => lanes::split::<Native, 4, 4>(from, to),
            6 => lanes::split::<Native, 6, 6>(from, to),
            8 => lanes::split::<Native, 8, 8>(from, to),
            12 => lanes::split::<Native, 12, 12>(from, to),
            16 => lanes::split::<Native, 16, 16>(from, to),
            _ => to.copy_from_slice(from),
        }
    }

    /// Restores the block in `to` from its byte planes in `from`, which is as long.
    pub(crate) fn merge(self, from: &[u8], to: &mut [u8]) {
        match self.stride() {
            2 => lanes::merge::<Native, 2, 2>(from, to),
            3 => lanes::merge::<Native, 3, 6>(from, to),
            4 => lanes::merge::<Native, 4, 4>(from, to),
            6 => lanes::merge::<Native, 6, 6>(from, to),
            8 => lanes::merge::<Native, 8, 8>(from, to),
            12 => lanes::merge::<Native, 12, 12>(from, to),
            16 => lanes::merge::<Native, 16, 16>(from, to),
            _ => to.copy_from_slice(from),
        }
    }
}

/// Replaces the bytes of a plane by their differences: byte i minus byte i − 1, mod 256.
pub(crate) fn to_differences(plane: &mut [u8]) {
    lanes::to_differences::<Native>(plane);
}

/// Replaces the differences in a plane by the bytes again: undoes [`to_differences`].
pub(crate) fn from_differences(plane: &mut [u8]) {
    lanes::from_differences::<Native>(plane);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_is_undone_for_every_length() {
        let bytes: Vec<u8> = (0..1_000u32).map(|i| (i * i / 7) as u8).collect();
        for filter in [Filter::NONE].into_iter().chain(Filter::ALL_SPLITS) {
            for len in (0..300).chain([511, 512, 513, 999, 1_000]) {
                let (mut there, mut back) = (vec![0; len], vec![0xaa; len]);
                filter.split(&bytes[..len], &mut there);
                filter.merge(&there, &mut back);
                assert_eq!(back, bytes[..len], "{filter:?} of {len}");
                let mut planes = filter.planes(len);
                for j in 0..filter.stride() {
                    let plane: Vec<u8> =
                        bytes[..len].iter().skip(j).step_by(filter.stride()).copied().collect();
                    assert_eq!(there[planes.next().unwrap()], plane);
                }
            }
        }
    }

    #[test]
    fn numbers_of_filters_are_those_of_the_format() {
        let strides = (0..8).map(|code| Filter::new(code).unwrap().stride());
        assert!(strides.eq([1, 2, 4, 8, 16, 3, 6, 12]));
        assert!(Filter::new(8).is_none());
        assert!(Filter::ALL_SPLITS.map(Filter::stride).is_sorted());
    }
}
