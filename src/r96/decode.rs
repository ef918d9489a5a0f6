//! Decoding: the payloads of any K or more resonance classes back to the bytes of a tile.
//!
//! For each of the 128 columns the transform without its rows and twist is a polynomial p of degree below
//! K, and class r has p(ζ^r). With all 96 classes p is the inverse transform. With some missing, let E be
//! the set of missing classes and Λ(z) the product of (z - ζ^r) over E:
//!
//! ```text
//! N = p · Λ                     known everywhere: p(ζ^r) Λ(ζ^r) for a present class, 0 in E
//! coefficients of N             one inverse transform, as its degree is below 96
//! N' = p' · Λ + p · Λ'          so N'(ζ^r) = p(ζ^r) Λ'(ζ^r) in E
//! p(ζ^r) = ζ^r N'(ζ^r) / (ζ^r Λ'(ζ^r))     z N' = sum of q N_q z^q: one forward transform
//! coefficients of p             one inverse transform
//! ```
//!
//! No cost grows with the square of the number of missing classes. Only 192 factors depend on the set of
//! missing classes; `Erasure` has them, once for all blocks.
//!
//! All given classes take part. With n of them the polynomial found has degree below n, and it is the right
//! polynomial exactly if its coefficients K .. n are zero. The surplus classes thereby check the result.

#![forbid(unsafe_code)]

use super::SYMBOL_BYTES;
use super::field::{self, Factor, P};
use super::lanes::{Job, Kernel, LANE_BYTES, Lanes};
use super::pack::{SYMBOL_MAX, first_bad_field};
use super::transform::{self, COLUMNS, TWISTS};
use super::{
    CLASS_BLOCK_BYTES, CLASSES, COEFFICIENTS_PER_CLASS, ClassList, DecodeError, ParameterError, WORDS,
    block_bytes, block_count, check_data_classes,
};
use crate::base::buffer::try_filled;

/// Decoder that rebuilds the bytes of tiles from the payloads of K or more resonance classes.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    k: usize,
    classes: ClassList,
    erasure: Option<Erasure>,
    kernel: Kernel,
}

impl Decoder {
    /// Returns a decoder for blocks of K = `k` rows of 128 symbols, which takes the payloads of the resonance
    /// classes `classes` in that order. Fails if there are fewer than K classes, or a parameter is not valid.
    pub(crate) fn new(k: usize, classes: &[u8]) -> Result<Self, ParameterError> {
        let k = check_data_classes(k)?;
        let classes = ClassList::new(classes)?;
        let have = classes.as_slice().len();
        if have < k {
            return Err(ParameterError::TooFewClasses { have, needed: k });
        }
        // With all 96 classes the interpolation is a plain inverse transform.
        let erasure = (have < CLASSES).then(|| Erasure::new(classes.as_slice()));
        Ok(Self { k, classes, erasure, kernel: Kernel::detect() })
    }

    /// Returns the same decoder, which computes with `kernel` instead of the fastest vector instructions.
    #[cfg(test)]
    pub(super) fn on(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Returns the numbers of the resonance classes, in the order of their payloads.
    pub(crate) fn classes(&self) -> &[u8] {
        self.classes.as_slice()
    }

    /// Returns K, the number of classes that rebuild a block.
    pub(crate) fn data_classes(&self) -> usize {
        self.k
    }

    /// Rebuilds `bytes`, a tile or a slice of one as for `Encoder::encode`, from the payloads of the decoder's
    /// classes. After an error the contents of `bytes` are unspecified.
    ///
    /// The error is that of the first faulty block. Within a block a bad field comes first, in the order of
    /// the classes, then inconsistency, then the first bad symbol, then padding.
    pub(crate) fn decode(&self, payloads: &[&[u8]], bytes: &mut [u8]) -> Result<(), DecodeError> {
        let classes = self.classes();
        if payloads.len() != classes.len() {
            return Err(DecodeError::Payloads { expected: classes.len(), actual: payloads.len() });
        }
        // Every payload has the same number of blocks as the bytes.
        let expected = block_count(bytes.len(), self.k) * CLASS_BLOCK_BYTES;
        for (&class, payload) in classes.iter().zip(payloads) {
            if payload.len() != expected {
                return Err(DecodeError::Length { class, expected, actual: payload.len() });
            }
        }
        let erasure = self.erasure.as_ref();
        self.kernel.run(DecodeJob { k: self.k, classes, erasure, payloads, bytes })
    }
}

/// Factors for rebuilding missing resonance classes. They depend only on which classes are missing.
#[derive(Clone, Debug)]
pub(super) struct Erasure {
    /// For each class r the value Λ(ζ^r), which is 0 for a missing class. Λ is the polynomial with the zeros ζ^r of all
    /// missing classes r.
    locator: [Factor; CLASSES],
    /// Number of each missing class r, with the factor 1 / (96 ζ^r Λ'(ζ^r)).
    missing: Vec<(usize, Factor)>,
}

impl Erasure {
    pub(super) fn new(classes: &[u8]) -> Self {
        // The places of the classes: the powers of ζ = ω^128.
        let zeta: [u32; CLASSES] = core::array::from_fn(|r| field::root(128 * r));
        let mut have = [false; CLASSES];
        classes.iter().for_each(|&class| have[usize::from(class)] = true);
        // The product over the missing classes except `r` itself: Λ(ζ^r), or Λ'(ζ^r) for a missing r.
        let product = |r: usize| {
            (0..CLASSES)
                .filter(|&e| !have[e] && e != r)
                .fold(1, |product, e| field::mul(product, field::difference(zeta[r], zeta[e])))
        };
        // The factors of present and of missing classes.
        let locator = core::array::from_fn(|r| Factor::new(if have[r] { product(r) } else { 0 }));
        let missing = (0..CLASSES)
            .filter(|&r| !have[r])
            .map(|r| {
                // Values of p are kept divided by 96, as the last inverse transform needs them; ζ^r comes
                // from z N'.
                let denominator = field::mul(field::mul(96, zeta[r]), product(r));
                (r, Factor::new(field::inverse(denominator)))
            })
            .collect();
        Self { locator, missing }
    }
}

/// The factors 0, 1, 2, …, 95: coefficient q of N, times factor q, is coefficient q of z N', N' being the
/// derivative.
const DERIVATIVE: [Factor; CLASSES] = {
    let mut factors = [Factor::new(0); CLASSES];
    let mut q = 0;
    while q < CLASSES {
        #[expect(clippy::cast_possible_truncation, reason = "q is below 96")]
        let factor = Factor::new(q as u32);
        factors[q] = factor;
        q += 1;
    }
    factors
};

/// Returns -i mod n, the index in the output of the forward transform of n points at which coefficient i of the
/// inverse transform is.
#[inline(always)]
const fn negated(i: usize, n: usize) -> usize {
    (n - i) % n
}

/// Work of [`Decoder::decode`]: decodes all blocks of the payloads. Compiled for each kind of vector registers.
pub(super) struct DecodeJob<'a> {
    pub(super) k: usize,
    pub(super) classes: &'a [u8],
    pub(super) erasure: Option<&'a Erasure>,
    pub(super) payloads: &'a [&'a [u8]],
    pub(super) bytes: &'a mut [u8],
}

impl Job for DecodeJob<'_> {
    type Output = Result<(), DecodeError>;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Self::Output {
        let Self { k, classes, erasure, payloads, bytes } = self;
        let (blocks, whole) = (block_count(bytes.len(), k), bytes.len() / block_bytes(k));
        let (symbols, last) = bytes.split_at_mut(whole * block_bytes(k));
        // Whole blocks are whole groups of sixteen symbols.
        let (symbols, _) = symbols.as_chunks_mut::<SYMBOL_BYTES>();
        // The last block is decoded to a buffer of its own, because it may be padded.
        let mut padded = room(0, if blocks > whole { block_bytes(k) } else { 0 })?;
        // The rows of all classes of a block, sixteen classes in the lanes of each group.
        let mut grid = room([l.splat(0); COEFFICIENTS_PER_CLASS], classes.len().div_ceil(16))?;
        let mut words = [l.splat(0); WORDS];
        let mut columns = Columns::new(l)?;
        let (mut block, mut together) = (0, L::BLOCKS);
        while block < blocks {
            // Blocks side by side must all be whole; the remaining blocks are decoded singly.
            let count = if block + together <= whole { together } else { 1 };
            // Distance from one block to the next one beside it.
            let step = count - 1;
            let (symbols, at) = if block < whole {
                (&mut *symbols, block * COLUMNS * k)
            } else {
                (padded.as_chunks_mut::<SYMBOL_BYTES>().0, 0)
            };
            // Unpack the fields of sixteen classes at a time, and transform their rows.
            let mut fields_are_good = true;
            for (group, x) in grid.iter_mut().enumerate() {
                let payloads = &payloads[16 * group..payloads.len().min(16 * group + 16)];
                fields_are_good &= unpack_rows(l, payloads, (block, step), &mut words, x);
                transform::rows(l, x);
            }
            // Interpolate the columns, and store the symbols.
            let mut result =
                if fields_are_good { Ok(()) } else { Err(field_error(classes, payloads, block)) };
            if result.is_ok() {
                columns.interpolate(l, classes, erasure, &grid);
                let to = (symbols, at, step * COLUMNS * k);
                result = store_symbols(l, &columns.x, (k, classes.len()), block, to);
            }
            match result {
                Ok(()) => block += count,
                // Decoding the blocks one by one finds the faulty block.
                Err(_) if count > 1 => together = 1,
                Err(error) => return Err(error),
            }
        }
        // The padding of the last block must be zero.
        let (kept, padding) = padded.split_at(last.len());
        if padding.iter().any(|&byte| byte != 0) {
            return Err(DecodeError::Padding { block: whole });
        }
        last.copy_from_slice(kept);
        Ok(())
    }
}

/// Unpacks the 14-bit fields of one block, for up to sixteen classes with one class per lane, to `x`. If
/// registers hold a second block, it is the one `step` blocks later. `words` is a buffer. Returns false if a
/// field is above 12288.
#[inline(always)]
pub(super) fn unpack_rows<L: Lanes>(
    l: L,
    payloads: &[&[u8]],
    (block, step): (usize, usize),
    words: &mut [L::V; WORDS],
    x: &mut [L::V; COEFFICIENTS_PER_CLASS],
) -> bool {
    // Transpose words of classes into lanes, sixteen words at a time.
    let mut rows = [l.splat(0); 16];
    for (tile, words) in words.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        // Rows without a payload stay zero, which is a valid field.
        for (row, payload) in rows.iter_mut().zip(payloads) {
            *row = l.load_words(payload.as_chunks::<LANE_BYTES>().0, 7 * block + tile, 7 * step);
        }
        l.transpose(&rows, words);
    }
    // Unpack the fields; the largest shows if one is no residue.
    let mut largest = l.splat(0);
    for (seven, eight) in words.as_chunks::<7>().0.iter().zip(x.as_chunks_mut::<8>().0) {
        // Seven words have eight fields of 14 bits.
        let fields = l.unpack_fields(*seven);
        for j in 0..8 {
            largest = l.max(largest, fields[j]);
            eight[j] = l.reduce(fields[j]);
        }
    }
    (0..L::BLOCKS).all(|block| l.lanes(largest, block).iter().all(|&field| field.cast_unsigned() < P))
}

/// Returns a vector of `len` copies of `value`. Fails with `NoMemory`.
fn room<T: Clone>(value: T, len: usize) -> Result<Vec<T>, DecodeError> {
    try_filled(value, len).map_err(|_| DecodeError::NoMemory)
}

/// The 128 columns of a block, sixteen per vector, and buffers for their interpolation.
pub(super) struct Columns<V> {
    /// For each sixteen columns, numbers congruent to the symbols; those of row q are at index -q mod 96.
    pub(super) x: Vec<[V; CLASSES]>,
    product: [V; CLASSES],
    derivative: [V; CLASSES],
    thirds: transform::Thirds<V>,
}

impl<V: Copy> Columns<V> {
    #[inline(always)]
    pub(super) fn new<L: Lanes<V = V>>(l: L) -> Result<Self, DecodeError> {
        let zero = l.splat(0);
        Ok(Self {
            x: room([zero; CLASSES], COLUMNS)?,
            product: [zero; CLASSES],
            derivative: [zero; CLASSES],
            thirds: [[zero; 32]; 3],
        })
    }

    /// Computes the symbols of a block, as numbers in `x`, from the transformed fields of its classes in `grid`.
    /// `erasure` is `None` if all 96 classes are there.
    #[inline(always)]
    pub(super) fn interpolate<L: Lanes<V = V>>(
        &mut self,
        l: L,
        classes: &[u8],
        erasure: Option<&Erasure>,
        grid: &[[V; COEFFICIENTS_PER_CLASS]],
    ) {
        let Self { x, product, derivative, thirds } = self;
        let mut rows = [l.splat(0); 16];
        let mut columns = rows;
        for (column, (x, twists)) in x.iter_mut().zip(&TWISTS.inverse).enumerate() {
            // Undo the rows and the twist: x gets p(ζ^r) of the present classes.
            // The grid has the classes in the order of their payloads, and `x` in that of their numbers.
            for (classes, group) in classes.chunks(16).zip(grid) {
                for (s, row) in rows.iter_mut().enumerate() {
                    // The inverse transform is the forward transform, read at negated indices.
                    let j = negated(16 * column + s, COEFFICIENTS_PER_CLASS);
                    *row = group[transform::row_slot(j)];
                }
                l.transpose(&rows, &mut columns);
                for (&class, &values) in classes.iter().zip(&columns) {
                    let r = usize::from(class);
                    x[r] = l.mul(values, l.factors(&twists[r]));
                }
            }
            // With missing classes, compute their values from N and its derivative.
            if let Some(erasure) = erasure {
                // The value of a missing class in x, left from the block before, is multiplied by 0.
                for (r, value) in product.iter_mut().enumerate() {
                    *value = l.mul(x[r], l.factor(erasure.locator[r]));
                }
                transform::columns(l, product, thirds);
                for (q, value) in derivative.iter_mut().enumerate() {
                    // Coefficient q of N, at its negated index, becomes that of z N'.
                    *value = l.mul(product[negated(q, CLASSES)], l.factor(DERIVATIVE[q]));
                }
                transform::columns(l, derivative, thirds);
                for &(r, factor) in &erasure.missing {
                    x[r] = l.mul(derivative[r], l.factor(factor));
                }
            }
            // All values are known now: their inverse transform gives the coefficients of p, at negated
            // indices.
            transform::columns(l, x, thirds);
        }
    }
}

/// Packs the symbols of block number `block` from `x` to `symbols`, from index `at` on, and those of a second block
/// beside it `step` items later. Fails if the given classes, `have` in number, contradict each other (a row from K on
/// is not zero), or if a symbol is above 8191.
#[inline(always)]
fn store_symbols<L: Lanes>(
    l: L,
    x: &[[L::V; CLASSES]],
    (k, have): (usize, usize),
    block: usize,
    (symbols, at, step): (&mut [[u8; SYMBOL_BYTES]], usize, usize),
) -> Result<(), DecodeError> {
    // Rows beyond K must be zero, or the classes contradict each other.
    let mut surplus = l.splat(0);
    for q in k..have {
        for x in x {
            surplus = l.or(surplus, l.canonical(x[negated(q, CLASSES)]));
        }
    }
    if (0..L::BLOCKS).any(|beside| l.lanes(surplus, beside) != [0; 16]) {
        return Err(DecodeError::Inconsistent { block });
    }
    // Store the symbols, and collect their bits to find one that is too large.
    let mut bits = l.splat(0);
    for q in 0..k {
        for (column, x) in x.iter().enumerate() {
            let row = l.canonical(x[negated(q, CLASSES)]);
            bits = l.or(bits, row);
            // A symbol that is too large is stored too, because the bytes are unspecified after an error.
            l.store_symbols(row, symbols, at + COLUMNS * q + column, step);
        }
    }
    // Find the first bad symbol, if there is one.
    for beside in 0..L::BLOCKS {
        if l.lanes(bits, beside).iter().all(|&bits| bits.cast_unsigned() <= SYMBOL_MAX) {
            continue;
        }
        for index in 0..k * COEFFICIENTS_PER_CLASS {
            // Symbol 128 q + s is row q of column s, in lane s mod 16.
            let (q, s) = (index / COEFFICIENTS_PER_CLASS, index % COEFFICIENTS_PER_CLASS);
            let symbols = l.lanes(l.canonical(x[s / 16][negated(q, CLASSES)]), beside);
            let value = symbols[s % 16].cast_unsigned();
            if value > SYMBOL_MAX {
                return Err(DecodeError::Symbol { block: block + beside, index, value });
            }
        }
    }
    Ok(())
}

/// Returns the error for the first field above 12288 in `block` or after it. Wide registers unpack several
/// blocks at a time, so that the field may be in a block after `block`.
#[cold]
fn field_error(classes: &[u8], payloads: &[&[u8]], block: usize) -> DecodeError {
    // The lanes may have seen the field in a block beside this block, so that the search does not end with
    // it.
    let blocks = payloads.first().map_or(0, |payload| payload.len() / CLASS_BLOCK_BYTES);
    for block in block..blocks {
        for (&class, payload) in classes.iter().zip(payloads) {
            let at = block * CLASS_BLOCK_BYTES;
            if let Some((index, value)) = first_bad_field(&payload[at..at + CLASS_BLOCK_BYTES]) {
                return DecodeError::Field { class, block, index, value };
            }
        }
    }
    unreachable!("the lanes saw a field above 12288 that is not there")
}
