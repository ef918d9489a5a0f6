//! The 12,288-point transform as 96 × 128.
//!
//! With symbol number m = 128 q + s and coefficient number k = r + 96 j, and with ζ = ω^128 and
//! η = ω^96,
//!
//! ```text
//! F[r + 96 j] = sum over s of η^(s j) · ω^(r s) · (sum over q of ζ^(q r) · f[128 q + s])
//!               ------- rows, over s ----  twist   ------- columns, over q -------------
//! ```
//!
//! The columns run with sixteen neighbouring s in the lanes, the rows with sixteen classes r: the
//! twist in between is where vectors are transposed. So no butterfly ever mixes lanes.
//!
//! **Columns**: 96 = 3 · 32 with coprime parts, so the index maps q = 64 a + 33 b and
//! r = 32 c + 3 d (mod 96) split it into transforms of 3 and 32 points without factors between them.
//! 32 = 8 · 4 and **rows** 128 = 8 · 4 · 4 are split as Cooley and Tukey do, with factors.
//!
//! There is no second code for the inverse: sum over k of F[k] ω^(-mk) is the forward transform read
//! at -m, and 1/12288 = -1. So the inverse takes the output index negated and has -ω^(-rs) as twist.
//!
//! # Why no sum overflows
//!
//! Numbers are congruent to their values, and reduced only as far as necessary. Any lane times a factor is at
//! most 9216 in size; `reduce` leaves 6828, 8194 or 9560 for numbers below 16384, 27307 and 32768 (`field`).
//! With B for the largest input of a step:
//!
//! - `dft3`, B = 9560: a + b + c is 28680; a - c + w(b - c) at most 19120 + 7937.
//! - `dft4`, B = 9560: a0 + a2 is 19120 and is reduced to 8194, so the sum of four is 27314, and a difference
//!   with the turned number, 19120 + 7937, is less.
//! - `dft8` takes its sums a[i] + a[i+4] and one difference through `reduce`: 2B = 19120 becomes
//!   8194, so both halves are a `dft4` with B = 8194; the other three differences are multiplied. The result
//!   is below 8194 + 2 · 8194 = 24582 for even outputs, and below 8194 + 7937 + 2 · 7937 = 32005 for odd
//!   outputs.
//! - every output of `dft3`, `dft8` and the inner `dft4` is multiplied, or reduced if the factor is 1: at
//!   most 9216 or 9560.
//! - symbols are at most 8191, fields are reduced to at most 6828, other inputs are products.
//!
//! The tests run all of this on intervals instead of numbers, where a sum that could overflow panics.

#![forbid(unsafe_code)]

use super::field::{self, Factor};
use super::lanes::{FactorRow, Lanes};
use super::{CLASSES, COEFFICIENTS_PER_CLASS};

/// Number of vectors of sixteen lanes in the 128 columns of a block.
pub(super) const COLUMNS: usize = COEFFICIENTS_PER_CLASS / 16;

const ONE: Factor = Factor::new(1);
/// ω^3072, a square root of -1.
const FOURTH_ROOT: Factor = Factor::root(3072);
/// ω^1536, an eighth root of 1. Its square is `FOURTH_ROOT`; its cube follows.
const EIGHTH_ROOT: Factor = Factor::root(1536);
const EIGHTH_ROOT_CUBED: Factor = Factor::root(3 * 1536);
/// ω^4096, a cube root of 1.
const CUBE_ROOT: Factor = Factor::root(4096);

/// The factors between the transforms of 8 and 4 points that make up a transform of 32 points: (ζ^3)^(b0 · d0).
const COLUMN_FACTORS: [[Factor; 8]; 4] = products::<8, 4>(384);
/// The factors between the transforms of 8 and 16 points that make up a transform of 128 points: η^(n · j0).
const ROW_FACTORS: [[Factor; 8]; 16] = products::<8, 16>(96);
/// The factors between the two transforms of 4 points that make up a transform of 16 points: (η^8)^(c · j1).
const SIXTEENTHS: [[Factor; 4]; 4] = products::<4, 4>(768);

/// Returns the factors ω^(step · i · j) for all i < I, j < J.
const fn products<const I: usize, const J: usize>(step: usize) -> [[Factor; I]; J] {
    // A constant function has no iterators.
    let mut table = [[ONE; I]; J];
    let mut j = 0;
    while j < J {
        let mut i = 0;
        while i < I {
            table[j][i] = Factor::root(step * i * j);
            i += 1;
        }
        j += 1;
    }
    table
}

/// Returns class r = 32 c + 3 d (mod 96). The function below returns symbol row q = 64 a + 33 b (mod 96).
const fn class_index(c: usize, d: usize) -> usize {
    (32 * c + 3 * d) % CLASSES
}

const fn row_index(a: usize, b: usize) -> usize {
    (64 * a + 33 * b) % CLASSES
}

/// Table of the twist factors, by which numbers are multiplied between columns and rows: for each sixteen
/// columns s and each class r.
type Twist = [[FactorRow; CLASSES]; COLUMNS];

/// Twist factors of the forward and of the inverse transform.
pub(super) struct Twists {
    /// ω^(r s) for class r and column s.
    pub(super) forward: Twist,
    /// -ω^(-r s) for class r and column s.
    pub(super) inverse: Twist,
}

/// The one copy of the twist factors, 96 KiB. Computed by the compiler, because a computation at the first use
/// needs a lock, which another thread could hold at a fork.
pub(super) static TWISTS: Twists = Twists { forward: twist(1, 1), inverse: twist(12_288, 12_287) };

/// Returns the table of the factors first · ω^(direction · r · s).
const fn twist(first: u32, direction: usize) -> Twist {
    let mut table = [[FactorRow::new([ONE; 16]); CLASSES]; COLUMNS];
    let mut r = 0;
    while r < CLASSES {
        // Neighbouring powers differ by one factor, so that the compiler computes each by a product instead
        // of a power.
        let (step, mut power) = (field::root(direction * r), first);
        // Sixteen neighbouring s are the lanes of a column.
        let mut column = 0;
        while column < COLUMNS {
            let mut factors = [ONE; 16];
            let mut lane = 0;
            while lane < 16 {
                factors[lane] = Factor::new(power);
                power = field::mul(power, step);
                lane += 1;
            }
            table[column][r] = FactorRow::new(factors);
            column += 1;
        }
        r += 1;
    }
    table
}

#[inline(always)]
fn dft3<L: Lanes>(l: L, [a, b, c]: [L::V; 3]) -> [L::V; 3] {
    // With w^2 = -1 - w one product is enough.
    let turned = l.mul(l.sub(b, c), l.factor(CUBE_ROOT));
    [l.add(l.add(a, b), c), l.add(l.sub(a, c), turned), l.sub(l.sub(a, b), turned)]
}

#[inline(always)]
fn dft4<L: Lanes>(l: L, [a, b, c, d]: [L::V; 4]) -> [L::V; 4] {
    // The only sum that could leave its lane, by the bounds above.
    let even = l.reduce(l.add(a, c));
    let odd = l.add(b, d);
    let difference = l.sub(a, c);
    // Multiplication by the square root of -1 takes the place of the imaginary unit.
    let turned = l.mul(l.sub(b, d), l.factor(FOURTH_ROOT));
    [l.add(even, odd), l.add(difference, turned), l.sub(even, odd), l.sub(difference, turned)]
}

#[inline(always)]
fn dft8<L: Lanes>(l: L, a: [L::V; 8]) -> [L::V; 8] {
    let [e0, e1, e2, e3] = dft4(
        // The even outputs are a `dft4` of the sums.
        l,
        [
            l.reduce(l.add(a[0], a[4])),
            l.reduce(l.add(a[1], a[5])),
            l.reduce(l.add(a[2], a[6])),
            l.reduce(l.add(a[3], a[7])),
        ],
    );
    // The odd outputs need the differences times powers of the eighth root.
    let d = [
        l.reduce(l.sub(a[0], a[4])),
        l.mul(l.sub(a[1], a[5]), l.factor(EIGHTH_ROOT)),
        l.mul(l.sub(a[2], a[6]), l.factor(FOURTH_ROOT)),
        l.mul(l.sub(a[3], a[7]), l.factor(EIGHTH_ROOT_CUBED)),
    ];
    // Like `dft4`, but its first sum stays within 8194 + 7937 and need not be reduced.
    let (even, odd) = (l.add(d[0], d[2]), l.add(d[1], d[3]));
    let difference = l.sub(d[0], d[2]);
    let turned = l.mul(l.sub(d[1], d[3]), l.factor(FOURTH_ROOT));
    [e0, l.add(even, odd), e1, l.add(difference, turned), e2, l.sub(even, odd), e3, l.sub(difference, turned)]
}

/// Buffers of [`columns`]: the results of its transforms of 3 points, on which its three transforms of 32 points then
/// work.
pub(super) type Thirds<V> = [[V; 32]; 3];

/// Transforms sixteen columns of 96 points at once, with the root ζ, in natural order on both sides.
#[inline(always)]
pub(super) fn columns<L: Lanes>(l: L, x: &mut [L::V; CLASSES], thirds: &mut Thirds<L::V>) {
    // First pass: 32 transforms of 3 points.
    for b in 0..32 {
        // The index maps of 96 = 3 · 32 need no factors between the passes.
        let y = dft3(l, [x[row_index(0, b)], x[row_index(1, b)], x[row_index(2, b)]]);
        // Sums of three are too large for `dft8`.
        thirds[0][b] = l.reduce(y[0]);
        thirds[1][b] = l.reduce(y[1]);
        thirds[2][b] = l.reduce(y[2]);
    }
    // Second pass: 3 transforms of 32 points, as 8 · 4.
    for (c, third) in thirds.iter_mut().enumerate() {
        for (b0, factors) in COLUMN_FACTORS.iter().enumerate() {
            // Every fourth element from `b0` on, read before its place is written.
            let mut a = [third[b0]; 8];
            for b1 in 1..8 {
                a[b1] = third[4 * b1 + b0];
            }
            let y = dft8(l, a);
            // The factor of output 0 is 1, so that a reduction is enough.
            third[b0] = l.reduce(y[0]);
            for d0 in 1..8 {
                third[4 * d0 + b0] = l.mul(y[d0], l.factor(factors[d0]));
            }
        }
        // The results may go to `x`, because `thirds` has copies of all inputs.
        for d0 in 0..8 {
            let a = [third[4 * d0], third[4 * d0 + 1], third[4 * d0 + 2], third[4 * d0 + 3]];
            let y = dft4(l, a);
            for d1 in 0..4 {
                x[class_index(c, d0 + 8 * d1)] = y[d1];
            }
        }
    }
}

/// Returns the index at which [`rows`] leaves its output number j.
#[inline(always)]
pub(super) const fn row_slot(j: usize) -> usize {
    16 * (j % 8) + j / 8
}

/// Transforms the rows of sixteen classes, of 128 points each, at once and in place, with the root η. Output j
/// is at index `row_slot(j)`.
#[inline(always)]
pub(super) fn rows<L: Lanes>(l: L, x: &mut [L::V; COEFFICIENTS_PER_CLASS]) {
    // First pass: 16 transforms of 8 points, with the twiddle factors.
    for (n, factors) in ROW_FACTORS.iter().enumerate() {
        // Every sixteenth element from `n` on, read before its place is written.
        let mut a = [x[n]; 8];
        for i in 1..8 {
            a[i] = x[16 * i + n];
        }
        let y = dft8(l, a);
        // The factor of output 0 is 1, so that a reduction is enough.
        x[n] = l.reduce(y[0]);
        for j0 in 1..8 {
            x[16 * j0 + n] = l.mul(y[j0], l.factor(factors[j0]));
        }
    }
    // Second pass: 8 transforms of 16 points, as 4 · 4.
    for sixteen in x.as_chunks_mut::<16>().0 {
        let mut y = [[sixteen[0]; 4]; 4];
        for c in 0..4 {
            y[c] = dft4(l, [sixteen[c], sixteen[4 + c], sixteen[8 + c], sixteen[12 + c]]);
            // A factor of 1 is a reduction, which keeps the bounds of the next step.
            y[c][0] = l.reduce(y[c][0]);
            for j1 in 1..4 {
                y[c][j1] =
                    if c == 0 { l.reduce(y[c][j1]) } else { l.mul(y[c][j1], l.factor(SIXTEENTHS[c][j1])) };
            }
        }
        // The last pass leaves its outputs at `row_slot`, and not in natural order.
        for j1 in 0..4 {
            let z = dft4(l, [y[0][j1], y[1][j1], y[2][j1], y[3][j1]]);
            for j2 in 0..4 {
                sixteen[j1 + 4 * j2] = z[j2];
            }
        }
    }
}
