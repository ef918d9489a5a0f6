//! Rows of bytes into planes and back, sixteen bytes at a time.
//!
//! A *zip* of N registers interleaves the bytes of their first half and their second half: the byte at
//! position p moves to 2p mod (16 N − 1), and the last byte stays. With R rows of K bytes in these registers,
//! byte b of row r is at r K + b and belongs at r + b R in planes. Because K R = 16 N, the new position is R
//! times the old one modulo 16 N − 1, so that log2 R zips split. Merging multiplies the position by K, which
//! takes log2 K zips; if K is no power of two, log2 R zips are undone instead.
//!
//! There is a register type for each instruction set that every processor of its architecture has. The tests
//! run it and [`Plain`].

#![allow(unsafe_code, reason = "instructions of the processor")]

/// Number of bytes of a register.
const WIDTH: usize = 16;

/// A register of sixteen bytes.
pub(super) trait Lanes: Copy {
    fn load(bytes: &[u8; WIDTH]) -> Self;
    fn store(self, bytes: &mut [u8; WIDTH]);
    /// Interleaves the bytes of `self` and `other`. Returns the interleaved lower halves and the interleaved
    /// upper halves.
    fn zip(self, other: Self) -> (Self, Self);
    /// Separates the bytes again: undoes [`zip`](Self::zip).
    fn unzip(self, other: Self) -> (Self, Self);
    /// Returns each byte minus the byte before it, mod 256. The byte before the first is the last byte of
    /// `before`.
    fn differences(self, before: Self) -> Self;
    /// Returns for each byte the sum, mod 256, of the last byte of `before` and all bytes up to this one.
    fn sums(self, before: Self) -> Self;
}

/// The register type of this processor.
#[cfg(target_arch = "x86_64")]
pub(super) type Native = x86::Sse2;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub(super) type Native = arm::Neon;
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little"))))]
pub(super) type Native = Plain;

/// A register as an array, without special instructions.
#[derive(Clone, Copy)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), allow(dead_code, reason = "in tests alone"))]
pub(super) struct Plain([u8; WIDTH]);

impl Lanes for Plain {
    #[inline(always)]
    fn load(bytes: &[u8; WIDTH]) -> Self {
        Plain(*bytes)
    }

    #[inline(always)]
    fn store(self, bytes: &mut [u8; WIDTH]) {
        *bytes = self.0;
    }

    #[inline(always)]
    fn zip(self, other: Self) -> (Self, Self) {
        let half = |from: usize| {
            let turn =
                |i: usize| if i.is_multiple_of(2) { self.0[from + i / 2] } else { other.0[from + i / 2] };
            Plain(std::array::from_fn(turn))
        };
        (half(0), half(WIDTH / 2))
    }

    #[inline(always)]
    fn unzip(self, other: Self) -> (Self, Self) {
        let every = |from: usize| {
            let at = |place: usize| if place < WIDTH { self.0[place] } else { other.0[place - WIDTH] };
            Plain(std::array::from_fn(|i| at(2 * i + from)))
        };
        (every(0), every(1))
    }

    #[inline(always)]
    fn differences(self, before: Self) -> Self {
        let at = |i: usize| if i == 0 { before.0[WIDTH - 1] } else { self.0[i - 1] };
        Plain(std::array::from_fn(|i| self.0[i].wrapping_sub(at(i))))
    }

    #[inline(always)]
    fn sums(self, before: Self) -> Self {
        let mut sum = before.0[WIDTH - 1];
        Plain(self.0.map(|byte| {
            sum = sum.wrapping_add(byte);
            sum
        }))
    }
}

/// Registers of SSE2, which every x86-64 has.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, WIDTH};
    use core::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_and_si128, _mm_loadu_si128, _mm_or_si128, _mm_packus_epi16,
        _mm_set1_epi16, _mm_shuffle_epi32, _mm_shufflehi_epi16, _mm_slli_si128, _mm_srli_epi16,
        _mm_srli_si128, _mm_storeu_si128, _mm_sub_epi8, _mm_unpackhi_epi8, _mm_unpacklo_epi8,
    };

    #[derive(Clone, Copy)]
    pub(in super::super) struct Sse2(__m128i);

    impl Lanes for Sse2 {
        #[inline(always)]
        fn load(bytes: &[u8; WIDTH]) -> Self {
            // SAFETY: the sixteen bytes of the array are read, at any alignment.
            Sse2(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        }

        #[inline(always)]
        fn store(self, bytes: &mut [u8; WIDTH]) {
            // SAFETY: the sixteen bytes of the array are written, at any alignment.
            unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), self.0) }
        }

        #[inline(always)]
        fn zip(self, other: Self) -> (Self, Self) {
            // SAFETY: x86-64 has SSE2.
            unsafe { (Sse2(_mm_unpacklo_epi8(self.0, other.0)), Sse2(_mm_unpackhi_epi8(self.0, other.0))) }
        }

        #[inline(always)]
        fn unzip(self, other: Self) -> (Self, Self) {
            // SAFETY: x86-64 has SSE2.
            unsafe {
                let low = _mm_set1_epi16(0xff);
                let even = _mm_packus_epi16(_mm_and_si128(self.0, low), _mm_and_si128(other.0, low));
                let odd = _mm_packus_epi16(_mm_srli_epi16::<8>(self.0), _mm_srli_epi16::<8>(other.0));
                (Sse2(even), Sse2(odd))
            }
        }

        #[inline(always)]
        fn differences(self, before: Self) -> Self {
            // SAFETY: x86-64 has SSE2.
            unsafe {
                let shifted = _mm_or_si128(_mm_slli_si128::<1>(self.0), _mm_srli_si128::<15>(before.0));
                Sse2(_mm_sub_epi8(self.0, shifted))
            }
        }

        #[inline(always)]
        fn sums(self, before: Self) -> Self {
            // SAFETY: x86-64 has SSE2.
            unsafe {
                let two = _mm_add_epi8(self.0, _mm_slli_si128::<1>(self.0));
                let four = _mm_add_epi8(two, _mm_slli_si128::<2>(two));
                let eight = _mm_add_epi8(four, _mm_slli_si128::<4>(four));
                let all = _mm_add_epi8(eight, _mm_slli_si128::<8>(eight));
                // Broadcast the last byte of `before`: twice in a word, in all words of the upper half, in
                // both halves.
                let last = _mm_shufflehi_epi16::<0xff>(_mm_unpackhi_epi8(before.0, before.0));
                Sse2(_mm_add_epi8(all, _mm_shuffle_epi32::<0xff>(last)))
            }
        }
    }
}

/// Registers of NEON, which every AArch64 has.
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod arm {
    use super::{Lanes, WIDTH};
    use core::arch::aarch64::{
        uint8x16_t, vaddq_u8, vdupq_laneq_u8, vdupq_n_u8, vextq_u8, vld1q_u8, vst1q_u8, vsubq_u8, vuzp1q_u8,
        vuzp2q_u8, vzip1q_u8, vzip2q_u8,
    };

    #[derive(Clone, Copy)]
    pub(in super::super) struct Neon(uint8x16_t);

    impl Lanes for Neon {
        #[inline(always)]
        fn load(bytes: &[u8; WIDTH]) -> Self {
            // SAFETY: the sixteen bytes of the array are read.
            Neon(unsafe { vld1q_u8(bytes.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, bytes: &mut [u8; WIDTH]) {
            // SAFETY: the sixteen bytes of the array are written.
            unsafe { vst1q_u8(bytes.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn zip(self, other: Self) -> (Self, Self) {
            // SAFETY: AArch64 has NEON.
            unsafe { (Neon(vzip1q_u8(self.0, other.0)), Neon(vzip2q_u8(self.0, other.0))) }
        }

        #[inline(always)]
        fn unzip(self, other: Self) -> (Self, Self) {
            // SAFETY: AArch64 has NEON.
            unsafe { (Neon(vuzp1q_u8(self.0, other.0)), Neon(vuzp2q_u8(self.0, other.0))) }
        }

        #[inline(always)]
        fn differences(self, before: Self) -> Self {
            // SAFETY: AArch64 has NEON.
            unsafe { Neon(vsubq_u8(self.0, vextq_u8::<15>(before.0, self.0))) }
        }

        #[inline(always)]
        fn sums(self, before: Self) -> Self {
            // SAFETY: AArch64 has NEON.
            unsafe {
                let zero = vdupq_n_u8(0);
                let two = vaddq_u8(self.0, vextq_u8::<15>(zero, self.0));
                let four = vaddq_u8(two, vextq_u8::<14>(zero, two));
                let eight = vaddq_u8(four, vextq_u8::<12>(zero, four));
                let all = vaddq_u8(eight, vextq_u8::<8>(zero, eight));
                Neon(vaddq_u8(all, vdupq_laneq_u8::<15>(before.0)))
            }
        }
    }
}

#[inline(always)]
fn zipped<L: Lanes, const N: usize>(from: [L; N]) -> [L; N] {
    let mut to = from;
    for i in 0..N / 2 {
        // Register i of the first half meets register i of the second half.
        (to[2 * i], to[2 * i + 1]) = from[i].zip(from[i + N / 2]);
    }
    to
}

#[inline(always)]
fn unzipped<L: Lanes, const N: usize>(from: [L; N]) -> [L; N] {
    let mut to = from;
    for i in 0..N / 2 {
        (to[i], to[i + N / 2]) = from[2 * i].unzip(from[2 * i + 1]);
    }
    to
}

/// Splits rows of K bytes in `from` into K byte planes in `to`, which has the same length. N registers are
/// processed at a time, an even number and a multiple of K for which 16 N / K is a power of two.
pub(super) fn split<L: Lanes, const K: usize, const N: usize>(from: &[u8], to: &mut [u8]) {
    let rows_a_turn = const { WIDTH * N / K };
    let (rows, rest) = from.as_chunks::<K>();
    // The planes lie one after the other; the first planes have a byte of the incomplete row.
    let mut planes: [&mut [u8]; K] = std::array::from_fn(|_| Default::default());
    let mut left = to;
    for (index, plane) in planes.iter_mut().enumerate() {
        // The planes are borrowed separately, so that all planes can be written in one turn.
        let (this, later) = left.split_at_mut(rows.len() + usize::from(index < rest.len()));
        (*plane, left) = (this, later);
    }
    let mut done = 0;
    // Whole turns in registers: zips move each byte to its plane.
    for turn in from.as_chunks::<WIDTH>().0.as_chunks::<N>().0 {
        let mut lanes: [L; N] = std::array::from_fn(|i| L::load(&turn[i]));
        for _ in 0..rows_a_turn.ilog2() {
            lanes = zipped(lanes);
        }
        for (plane, lanes) in planes.iter_mut().zip(lanes.chunks_exact(N / K)) {
            let target = plane[done..done + rows_a_turn].as_chunks_mut::<WIDTH>().0;
            target.iter_mut().zip(lanes).for_each(|(target, lanes)| lanes.store(target));
        }
        done += rows_a_turn;
    }
    // The remaining rows and the incomplete row, byte by byte.
    for (byte, plane) in planes.iter_mut().enumerate() {
        for (target, row) in plane[done..].iter_mut().zip(&rows[done..]) {
            *target = row[byte];
        }
        if let (Some(value), Some(target)) = (rest.get(byte), plane.last_mut()) {
            *target = *value;
        }
    }
}

/// Merges the K byte planes in `from` into rows of K bytes in `to`: undoes [`split`].
pub(super) fn merge<L: Lanes, const K: usize, const N: usize>(from: &[u8], to: &mut [u8]) {
    let rows_a_turn = const { WIDTH * N / K };
    let (len, rest_len) = (to.len() / K, to.len() % K);
    // The planes lie one after the other, as in `split`.
    let mut planes: [&[u8]; K] = [&[]; K];
    let mut left = from;
    for (index, plane) in planes.iter_mut().enumerate() {
        (*plane, left) = left.split_at(len + usize::from(index < rest_len));
    }
    let mut done = 0;
    // Load a part of every plane, and move the bytes back to their rows.
    for turn in to.as_chunks_mut::<WIDTH>().0.as_chunks_mut::<N>().0 {
        // Whole rows take the same number of bytes from each plane.
        let sources: [&[[u8; WIDTH]]; K] =
            std::array::from_fn(|byte| planes[byte][done..done + rows_a_turn].as_chunks::<WIDTH>().0);
        let mut lanes: [L; N] = std::array::from_fn(|i| L::load(&sources[i * K / N][i % const { N / K }]));
        // The way back by further zips exists only if K is a power of two.
        if K.is_power_of_two() {
            for _ in 0..K.ilog2() {
                lanes = zipped(lanes);
            }
        } else {
            for _ in 0..rows_a_turn.ilog2() {
                lanes = unzipped(lanes);
            }
        }
        turn.iter_mut().zip(lanes).for_each(|(target, lanes)| lanes.store(target));
        done += rows_a_turn;
    }
    // The remaining rows and the incomplete row, byte by byte.
    let (rows, rest) = to.as_chunks_mut::<K>();
    for (row, target) in rows.iter_mut().enumerate().skip(done) {
        *target = std::array::from_fn(|byte| planes[byte][row]);
    }
    for (byte, target) in rest.iter_mut().enumerate() {
        *target = planes[byte].last().copied().unwrap_or_default();
    }
}

/// Replaces each byte by its difference, mod 256, to the byte before it.
pub(super) fn to_differences<L: Lanes>(bytes: &mut [u8]) {
    let (chunks, rest) = bytes.as_chunks_mut::<WIDTH>();
    let mut before = L::load(&[0; WIDTH]);
    let mut last = 0;
    // Sixteen bytes at a time; the original bytes of a chunk are the predecessor of the next chunk.
    for chunk in chunks {
        let lanes = L::load(chunk);
        last = chunk[WIDTH - 1];
        lanes.differences(before).store(chunk);
        before = lanes;
    }
    // The remaining bytes are handled one by one.
    for byte in rest {
        let this = *byte;
        *byte = this.wrapping_sub(last);
        last = this;
    }
}

/// Replaces each difference by its byte again: undoes [`to_differences`].
pub(super) fn from_differences<L: Lanes>(bytes: &mut [u8]) {
    let (chunks, rest) = bytes.as_chunks_mut::<WIDTH>();
    let mut before = L::load(&[0; WIDTH]);
    // The sums of a chunk continue from the last byte of the chunk before.
    for chunk in &mut *chunks {
        before = L::load(chunk).sums(before);
        before.store(chunk);
    }
    // The remaining bytes are handled one by one.
    let mut last = chunks.last().map_or(0, |chunk| chunk[WIDTH - 1]);
    for byte in rest {
        last = last.wrapping_add(*byte);
        *byte = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len as u32).map(|i| ((i * i / 7) ^ (i.wrapping_mul(0x9E37_79B1) >> 24)) as u8).collect()
    }

    fn planes_of<L: Lanes>() {
        fn one<L: Lanes, const K: usize, const N: usize>() {
            for len in (0..2 * WIDTH * N + 40).chain([4_096, 5_001]) {
                let from = bytes(len);
                let (mut there, mut back) = (vec![0; len], vec![0xaa; len]);
                split::<L, K, N>(&from, &mut there);
                let wanted: Vec<u8> =
                    (0..K).flat_map(|plane| from.iter().skip(plane).step_by(K).copied()).collect();
                assert_eq!(there, wanted, "{K} of {len}");
                merge::<L, K, N>(&there, &mut back);
                assert_eq!(back, from, "{K} of {len}");
            }
        }
        one::<L, 2, 2>();
        one::<L, 2, 4>();
        one::<L, 3, 6>();
        one::<L, 4, 4>();
        one::<L, 6, 6>();
        one::<L, 8, 8>();
        one::<L, 12, 12>();
        one::<L, 16, 16>();
    }

    #[test]
    fn planes_are_right_with_every_register() {
        planes_of::<Native>();
        planes_of::<Plain>();
    }

    fn differences_of<L: Lanes>() {
        for len in (0..100).chain([4_096, 5_001]) {
            let from = bytes(len);
            let mut there = from.clone();
            to_differences::<L>(&mut there);
            for i in 0..len {
                let before = if i == 0 { 0 } else { from[i - 1] };
                assert_eq!(there[i], from[i].wrapping_sub(before), "{i} of {len}");
            }
            from_differences::<L>(&mut there);
            assert_eq!(there, from);
        }
    }

    #[test]
    fn differences_are_right_with_every_register() {
        differences_of::<Native>();
        differences_of::<Plain>();
    }
}
