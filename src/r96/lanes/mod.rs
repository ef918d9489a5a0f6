//! Sixteen 16-bit lanes: the one vector type that the transform is written for.
//!
//! Wider registers do not have more lanes of one block; they have sixteen lanes of each of [`Lanes::BLOCKS`]
//! blocks side by side. The transform is therefore the same for all widths, and only loads and stores know of
//! more than one block: they get the place of the first block and the distance to the next. For left-over
//! blocks the distance is 0, and one block fills the whole register.
//!
//! Everything above this file is generic over [`Lanes`] and safe. There are three implementations,
//! [`Portable`] and, on x86-64, [`Avx2`] and [`Avx512`]; the tests add an implementation that carries
//! intervals instead of numbers, which proves that no lazy sum can leave its lane. An implementation is a
//! token: a value of type [`Avx2`] exists only if the processor was found to have AVX2, and that is the whole
//! argument for the `unsafe` blocks in `x86` that call its instructions.

#![cfg_attr(not(target_arch = "x86_64"), forbid(unsafe_code))]

use super::SYMBOL_BYTES;
use super::field::{self, Factor};

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

/// Sixteen 16-bit numbers in memory, one per lane, aligned for one load.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Row(pub(super) [i16; 16]);

/// Sixteen factors in memory, one per lane, in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct FactorRow {
    /// `Factor::value` of each lane.
    pub(super) value: Row,
    /// `Factor::quotient` of each lane.
    pub(super) quotient: Row,
}

impl FactorRow {
    /// Returns a row of these factors.
    pub(super) const fn new(factors: [Factor; 16]) -> Self {
        let mut row = Self { value: Row([0; 16]), quotient: Row([0; 16]) };
        // A constant function has no iterators.
        let mut lane = 0;
        while lane < 16 {
            row.value.0[lane] = factors[lane].value;
            row.quotient.0[lane] = factors[lane].quotient;
            lane += 1;
        }
        row
    }
}

/// Number of bytes of sixteen 16-bit lanes.
pub(super) const LANE_BYTES: usize = 32;

/// Operations on vectors of sixteen 16-bit lanes per block, for one kind of registers. `field` defines the
/// arithmetic; the caller keeps sums and differences in range.
pub(super) trait Lanes: Copy {
    /// A vector with sixteen lanes of each block.
    type V: Copy;
    /// Number of blocks side by side in a vector.
    const BLOCKS: usize;

    /// Returns a vector with `value` in every lane.
    fn splat(self, value: i16) -> Self::V;
    /// Returns the sixteen lanes of `row`, the same for every block.
    fn load(self, row: &Row) -> Self::V;
    /// Returns the sixteen lanes of one block of `a` as an array.
    fn lanes(self, a: Self::V, block: usize) -> [i16; 16];
    /// Returns a + b in each lane.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns a - b in each lane.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns a times the factor (value, quotient) in each lane, as `field::mul_factor` does.
    fn mul(self, a: Self::V, factor: (Self::V, Self::V)) -> Self::V;
    /// Returns `field::reduce` of each lane.
    fn reduce(self, a: Self::V) -> Self::V;
    /// Returns `field::canonical` of each lane.
    fn canonical(self, a: Self::V) -> Self::V;
    /// Returns the bitwise OR of a and b.
    fn or(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns the larger number of each pair of lanes, compared as unsigned.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Turns rows to columns: lane j of vector i becomes lane i of vector j.
    fn transpose(self, rows: &[Self::V; 16], columns: &mut [Self::V; 16]);
    /// Loads the sixteen lanes of each block from little-endian 16-bit words. Those of block number b are
    /// `words[at + b * step]`.
    fn load_words(self, words: &[[u8; LANE_BYTES]], at: usize, step: usize) -> Self::V;
    /// Writes the sixteen lanes of each block as little-endian 16-bit words. Those of block number b go to
    /// `words[at + b * step]`.
    fn store_words(self, a: Self::V, words: &mut [[u8; LANE_BYTES]], at: usize, step: usize);
    /// Unpacks sixteen 13-bit symbols, least significant bit first, into the lanes of each block. Those of block
    /// number b are `symbols[at + b * step]`.
    fn load_symbols(self, symbols: &[[u8; SYMBOL_BYTES]], at: usize, step: usize) -> Self::V;
    /// Packs the sixteen lanes of each block of `a` as 13-bit symbols, least significant bit first. Those of block
    /// number b go to `symbols[at + b * step]`. The result is unspecified if a lane is above 8191.
    fn store_symbols(self, a: Self::V, symbols: &mut [[u8; SYMBOL_BYTES]], at: usize, step: usize);
    /// Packs eight 14-bit numbers of each lane, one per vector, into seven 16-bit words of the same lane, lowest
    /// bits first.
    fn pack_fields(self, fields: [Self::V; 8]) -> [Self::V; 7];
    /// Unpacks seven words of each lane into eight 14-bit numbers, the reverse of `pack_fields`.
    fn unpack_fields(self, words: [Self::V; 7]) -> [Self::V; 8];

    /// Returns `factor` in every lane, as the pair of vectors that `mul` takes.
    #[inline(always)]
    fn factor(self, factor: Factor) -> (Self::V, Self::V) {
        (self.splat(factor.value), self.splat(factor.quotient))
    }

    /// Returns the sixteen factors of `row`, as the pair of vectors that `mul` takes.
    #[inline(always)]
    fn factors(self, row: &FactorRow) -> (Self::V, Self::V) {
        (self.load(&row.value), self.load(&row.quotient))
    }
}

/// Lanes as plain arrays, on every machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

/// Returns `f` of each pair of lanes of `a` and `b`.
#[inline(always)]
fn each(a: [i16; 16], b: [i16; 16], f: impl Fn(i16, i16) -> i16) -> [i16; 16] {
    core::array::from_fn(|lane| f(a[lane], b[lane]))
}

/// Returns `high` << `left` | `low` >> `right` of each lane, both shifts logical.
#[inline(always)]
#[expect(clippy::cast_sign_loss, clippy::cast_possible_wrap, reason = "lanes are bits here")]
fn funnel(high: [i16; 16], left: u32, low: [i16; 16], right: u32) -> [i16; 16] {
    each(high, low, |h, l| (((h as u16) << left) | ((l as u16) >> right)) as i16)
}

impl Lanes for Portable {
    type V = [i16; 16];
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn splat(self, value: i16) -> Self::V {
        [value; 16]
    }

    #[inline(always)]
    fn load(self, row: &Row) -> Self::V {
        row.0
    }

    #[inline(always)]
    fn lanes(self, a: Self::V, _: usize) -> [i16; 16] {
        a
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, i16::wrapping_add)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, i16::wrapping_sub)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, (value, quotient): (Self::V, Self::V)) -> Self::V {
        core::array::from_fn(|lane| field::mul_factor(a[lane], value[lane], quotient[lane]))
    }

    #[inline(always)]
    fn reduce(self, a: Self::V) -> Self::V {
        a.map(field::reduce)
    }

    #[inline(always)]
    fn canonical(self, a: Self::V) -> Self::V {
        a.map(field::canonical)
    }

    #[inline(always)]
    fn or(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, |a, b| a | b)
    }

    #[inline(always)]
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_wrap, reason = "lanes are bits here")]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, |a, b| (a as u16).max(b as u16) as i16)
    }

    #[inline(always)]
    fn transpose(self, rows: &[Self::V; 16], columns: &mut [Self::V; 16]) {
        for (i, column) in columns.iter_mut().enumerate() {
            *column = core::array::from_fn(|j| rows[j][i]);
        }
    }

    #[inline(always)]
    fn load_words(self, words: &[[u8; LANE_BYTES]], at: usize, _: usize) -> Self::V {
        let bytes = &words[at];
        core::array::from_fn(|lane| i16::from_le_bytes([bytes[2 * lane], bytes[2 * lane + 1]]))
    }

    #[inline(always)]
    fn store_words(self, a: Self::V, words: &mut [[u8; LANE_BYTES]], at: usize, _: usize) {
        let bytes = &mut words[at];
        for (lane, word) in a.iter().enumerate() {
            [bytes[2 * lane], bytes[2 * lane + 1]] = word.to_le_bytes();
        }
    }

    #[inline(always)]
    fn load_symbols(self, symbols: &[[u8; SYMBOL_BYTES]], at: usize, _: usize) -> Self::V {
        super::pack::unpack_symbols(&symbols[at])
    }

    #[inline(always)]
    fn store_symbols(self, a: Self::V, symbols: &mut [[u8; SYMBOL_BYTES]], at: usize, _: usize) {
        symbols[at] = super::pack::pack_symbols(&a);
    }

    #[inline(always)]
    fn pack_fields(self, f: [Self::V; 8]) -> [Self::V; 7] {
        // Field i begins at bit 14 i of the stream, which is bit 16 - 2 i of word i - 1.
        [
            funnel(f[1], 14, f[0], 0),
            funnel(f[2], 12, f[1], 2),
            funnel(f[3], 10, f[2], 4),
            funnel(f[4], 8, f[3], 6),
            funnel(f[5], 6, f[4], 8),
            funnel(f[6], 4, f[5], 10),
            funnel(f[7], 2, f[6], 12),
        ]
    }

    #[inline(always)]
    fn unpack_fields(self, w: [Self::V; 7]) -> [Self::V; 8] {
        let zero = [0; 16];
        // The first and the last field lie in a single word, every other field in two words.
        [
            funnel(zero, 0, w[0], 0),
            funnel(w[1], 2, w[0], 14),
            funnel(w[2], 4, w[1], 12),
            funnel(w[3], 6, w[2], 10),
            funnel(w[4], 8, w[3], 8),
            funnel(w[5], 10, w[4], 6),
            funnel(w[6], 12, w[5], 4),
            funnel(zero, 0, w[6], 2),
        ]
        .map(|field| field.map(|bits| bits & 0x3fff))
    }
}

/// Work that is written once, and compiled for each implementation of [`Lanes`].
pub(super) trait Job {
    /// Result of the work.
    type Output;
    /// Performs the work with the vector operations of `l`. Each job implements this function as `#[inline(always)]`,
    /// so that it is compiled for the instructions of `l`.
    fn run<L: Lanes>(self, l: L) -> Self::Output;
}

/// Choice of an implementation of [`Lanes`] that this machine supports.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kernel {
    /// Plain arrays, on every machine.
    Portable,
    /// 256-bit registers of AVX2, one block.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// 512-bit registers of AVX-512, two blocks side by side.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Kernel {
    /// Iterates over all implementations that this machine supports, the fastest last.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        // Plain arrays work on every machine, and the tests compare all other implementations with them.
        let portable = std::iter::once(Self::Portable);
        #[cfg(target_arch = "x86_64")]
        let portable =
            portable.chain(Avx2::detect().map(Self::Avx2)).chain(Avx512::detect().map(Self::Avx512));
        portable
    }

    /// Returns the fastest implementation that this machine supports.
    pub(super) fn detect() -> Self {
        Self::all().last().unwrap_or(Self::Portable)
    }

    /// Runs `job`, compiled for the chosen implementation.
    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        // A frame of its own, because a job may use 32 KiB of the stack.
        #[inline(never)]
        fn portable<J: Job>(job: J) -> J::Output {
            job.run(Portable)
        }
        // Each arm has a copy of the job, compiled for its instructions.
        match self {
            Self::Portable => portable(job),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(lanes) => lanes.run(job),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(lanes) => lanes.run(job),
        }
    }
}
