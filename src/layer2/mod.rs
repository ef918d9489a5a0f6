//! Conservation sums: the one safe wrapper over the C library Layer 2.
//!
//! C(x) = (sum of the bytes of x) mod 96. It is additive, C(xy) = C(x) + C(y) mod 96, which makes it cheap
//! to keep and to check through every change. It misses one in 96 random corruptions; the witness proves
//! integrity, never the residue.

#[allow(missing_docs, unreachable_pub, dead_code, non_camel_case_types, non_upper_case_globals, clippy::all)]
mod bindings;

use std::fmt;
use std::iter::Sum;
use std::mem::{offset_of, size_of};
use std::ops::{Add, Sub};

/// Asserts the layout of Layer 2's structs for every pointer width. They have no padding in C.
const _: () = {
    use bindings::{atlas_batch_buffer_t, atlas_batch_delta_t, atlas_batch_stats_t, atlas_batch_witness_t};
    const WORD: usize = size_of::<usize>();
    assert!(size_of::<atlas_batch_buffer_t>() == 2 * WORD + 8);
    assert!(offset_of!(atlas_batch_buffer_t, reserved) == 2 * WORD + 1);
    assert!(size_of::<atlas_batch_delta_t>() == 3 * WORD + 8);
    assert!(offset_of!(atlas_batch_delta_t, reserved) == 3 * WORD + 1);
    assert!(size_of::<atlas_batch_witness_t>() == 3 * WORD + 8);
    assert!(offset_of!(atlas_batch_witness_t, reserved) == 3 * WORD + 4);
    assert!(size_of::<atlas_batch_stats_t>() == 32);
};

/// Modulus of the conservation law.
pub const CONSERVATION_MODULUS: u8 = 96;

/// A conservation sum: a sum of bytes mod 96, 0..=95.
///
/// ```
/// use atlas_manifold::Residue;
///
/// assert_eq!(Residue::of(&[90, 10]).value(), 4); // 100 mod 96
/// assert_eq!(Residue::of(&[90, 10]), Residue::of(&[90]) + Residue::of(&[10]));
/// assert_eq!(Residue::of(&[90, 10]).correction(), 92);
/// assert_eq!(Residue::new(96), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Residue(u8);

impl Residue {
    /// Residue of no bytes.
    pub const ZERO: Residue = Residue(0);

    /// Computes the residue of `bytes`: their sum mod 96, exact for every length.
    pub fn of(bytes: &[u8]) -> Residue {
        // SAFETY: pointer and length are those of a live slice, which the function only reads.
        let sum = unsafe { bindings::atlas_conserved_sum(bytes.as_ptr().cast(), bytes.len()) };
        Residue::wrapping(u64::from(sum))
    }

    /// Computes the residue of each group of `group` > 0 bytes. The last group may be shorter. Results after the last
    /// group are 0. Reads several groups at a time, because memory is then faster.
    pub(crate) fn of_groups<const N: usize>(bytes: &[u8], group: usize) -> [Residue; N] {
        assert!(bytes.len().div_ceil(group) <= N, "more groups than there is room for");
        let mut sums = [0u8; N];
        // SAFETY: pointer and length are those of a live slice, and there is room for its groups.
        unsafe {
            bindings::atlas_conserved_sums(bytes.as_ptr().cast(), bytes.len(), group, sums.as_mut_ptr())
        };
        sums.map(|sum| Residue::wrapping(u64::from(sum)))
    }

    /// Computes the residue of a change that keeps the length: the sum of `after` minus the sum of `before`, mod 96.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn delta(before: &[u8], after: &[u8]) -> Residue {
        assert_eq!(before.len(), after.len(), "a delta is defined for equal lengths");
        if before.is_empty() {
            return Residue::ZERO;
        }
        // SAFETY: both pointers are valid for the one length, which is not 0, and are only read.
        let delta = unsafe {
            bindings::atlas_conserved_delta(before.as_ptr().cast(), after.as_ptr().cast(), before.len())
        };
        Residue::wrapping(u64::from(delta))
    }

    /// Returns the residue of a number: `value` mod 96.
    pub fn wrapping(value: u64) -> Residue {
        #[expect(clippy::cast_possible_truncation, reason = "less than 96")]
        Residue((value % u64::from(CONSERVATION_MODULUS)) as u8)
    }

    /// Returns `value` as a residue, or `None` if it is above 95.
    pub fn new(value: u8) -> Option<Residue> {
        (value < CONSERVATION_MODULUS).then_some(Residue(value))
    }

    /// Returns the residue as a number, 0..=95.
    pub fn value(self) -> u8 {
        self.0
    }

    /// Returns the number to add to a sum with this residue to reach 0 mod 96, 0..=95.
    pub fn correction(self) -> u8 {
        (CONSERVATION_MODULUS - self.0) % CONSERVATION_MODULUS
    }
}

impl Add for Residue {
    type Output = Residue;
    fn add(self, other: Residue) -> Residue {
        Residue((self.0 + other.0) % CONSERVATION_MODULUS)
    }
}

impl Sub for Residue {
    type Output = Residue;
    fn sub(self, other: Residue) -> Residue {
        Residue((self.0 + CONSERVATION_MODULUS - other.0) % CONSERVATION_MODULUS)
    }
}

impl Sum for Residue {
    fn sum<I: Iterator<Item = Residue>>(residues: I) -> Residue {
        residues.fold(Residue::ZERO, Add::add)
    }
}

impl fmt::Display for Residue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_agree_with_a_naive_loop() {
        let bytes: Vec<u8> = (0..5_000u32).map(|i| (i * i % 251) as u8).collect();
        for len in [0, 1, 31, 32, 33, 255, 256, 4_095, 5_000] {
            let naive: u64 = bytes[..len].iter().map(|&b| u64::from(b)).sum();
            assert_eq!(u64::from(Residue::of(&bytes[..len]).value()), naive % 96);
        }
        assert_eq!(Residue::of(&vec![0xff; 1 << 24]).value(), ((255u64 << 24) % 96) as u8);
    }

    #[test]
    fn groups_have_the_sums_of_their_bytes() {
        let bytes: Vec<u8> = (0..1_000_000u32).map(|i| (i * 7 % 253) as u8).collect();
        for len in [0, 1, 16_383, 16_384, 16_385, 1_000_000] {
            let sums: [Residue; 64] = Residue::of_groups(&bytes[..len], 16_384);
            let groups: Vec<Residue> = bytes[..len].chunks(16_384).map(Residue::of).collect();
            assert_eq!(sums[..groups.len()], groups);
            assert!(sums[groups.len()..].iter().all(|sum| *sum == Residue::ZERO));
        }
    }

    #[test]
    fn residues_form_the_group_of_96() {
        for a in 0..96 {
            let a = Residue::new(a).unwrap();
            assert_eq!((a.value() + a.correction()) % 96, 0);
            for b in 0..96 {
                let b = Residue::new(b).unwrap();
                assert_eq!(a + b - b, a);
            }
        }
        assert_eq!(Residue::new(96), None);
    }

    #[test]
    fn a_delta_is_the_difference_of_the_sums() {
        let before = [1, 2, 3, 250];
        let after = [9, 0, 77, 1];
        assert_eq!(Residue::of(&before) + Residue::delta(&before, &after), Residue::of(&after));
        assert_eq!(Residue::delta(&[], &[]), Residue::ZERO);
    }
}
