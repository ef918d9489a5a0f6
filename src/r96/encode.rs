//! Encoding: the bytes of a tile to the payloads of the 96 resonance classes.

#![forbid(unsafe_code)]

use super::SYMBOL_BYTES;
use super::lanes::{Job, Kernel, LANE_BYTES, Lanes};
use super::transform::{self, COLUMNS, TWISTS};
use super::{
    CLASS_BLOCK_BYTES, CLASSES, COEFFICIENTS_PER_CLASS, ParameterError, WORDS, block_bytes, block_count,
    check_data_classes,
};
use crate::base::buffer::try_filled;
use crate::base::error::Result;

/// Encoder that computes the payloads of all 96 resonance classes for the bytes of a tile.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    k: usize,
    kernel: Kernel,
}

impl Encoder {
    /// Returns an encoder for blocks of K = `k` rows of 128 symbols. Fails if `k` is not 1..=96.
    pub(crate) fn new(k: usize) -> std::result::Result<Self, ParameterError> {
        Ok(Self { k: check_data_classes(k)?, kernel: Kernel::detect() })
    }

    /// Returns the same encoder, which computes with `kernel` instead of the fastest vector instructions.
    #[cfg(test)]
    pub(super) fn on(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Returns the number of bytes of one class's payload for `len` bytes of a tile.
    pub(crate) fn payload_bytes(&self, len: usize) -> usize {
        block_count(len, self.k) * CLASS_BLOCK_BYTES
    }

    /// Writes the payloads of all 96 classes for `bytes`, one class after the other, each with its 224
    /// bytes of every block.
    ///
    /// `bytes` is a tile, or a part of one that begins at a block and ends at a block or the tile's end;
    /// missing bytes of the last block count as zeros. So a tile of many blocks can be encoded in slices,
    /// and a class's payload is the concatenation of the results. Fails with OUT_OF_MEMORY.
    ///
    /// # Panics
    ///
    /// Unless `payloads` has `payload_bytes(bytes.len())` bytes for each class.
    pub(crate) fn encode(&self, bytes: &[u8], payloads: &mut [u8]) -> Result<()> {
        let expected = self.payload_bytes(bytes.len()) * CLASSES;
        assert_eq!(payloads.len(), expected, "payloads of {} bytes", bytes.len());
        self.kernel.run(EncodeJob { k: self.k, bytes, payloads })
    }
}

/// Work of [`Encoder::encode`]: encodes all blocks of `bytes`. Compiled for each kind of vector registers.
pub(super) struct EncodeJob<'a> {
    pub(super) k: usize,
    pub(super) bytes: &'a [u8],
    pub(super) payloads: &'a mut [u8],
}

impl Job for EncodeJob<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Self::Output {
        let Self { k, bytes, payloads } = self;
        let (blocks, whole) = (block_count(bytes.len(), k), bytes.len() / block_bytes(k));
        // A block is 8 K groups of sixteen symbols, so that a remainder belongs to the padded block.
        let (symbols, _) = bytes.as_chunks::<SYMBOL_BYTES>();
        // The last block is padded with zeros in a buffer of its own.
        let mut padded = try_filled(0, if blocks > whole { block_bytes(k) } else { 0 })?;
        let last = &bytes[whole * block_bytes(k)..];
        padded[..last.len()].copy_from_slice(last);
        let (padded, _) = padded.as_chunks::<SYMBOL_BYTES>();
        // A payload is a whole number of registers, so that nothing is left over.
        let (payloads, _) = payloads.as_chunks_mut::<LANE_BYTES>();
        // The 224 bytes of a class and block are 7 registers of 32 bytes.
        let class_words = 7 * blocks;
        // The columns of all classes of a block, sixteen classes in the lanes of each group.
        let mut grid = try_filled([l.splat(0); COEFFICIENTS_PER_CLASS], CLASSES / 16)?;
        let mut columns = SpectrumColumns::new(l);
        let mut words = [l.splat(0); WORDS];
        let mut block = 0;
        // As many blocks at a time as the registers hold; the last ones singly.
        while block < blocks {
            let count = if block + L::BLOCKS <= whole { L::BLOCKS } else { 1 };
            // Distance from one block to the next one beside it.
            let step = count - 1;
            let (symbols, at) = if block < whole { (symbols, block * COLUMNS * k) } else { (padded, 0) };
            // Columns, then rows, then the packed fields of sixteen classes at a time.
            columns.transform(l, k, (symbols, at, step * COLUMNS * k), &mut grid);
            for (group, x) in grid.iter_mut().enumerate() {
                transform::rows(l, x);
                pack_rows(l, x, &mut words);
                // The payloads of sixteen neighbouring classes follow each other.
                let mine = &mut payloads[16 * group * class_words..];
                for (tile, rows) in words.as_chunks::<16>().0.iter().enumerate() {
                    // A register has a word of each class; transposed, it has sixteen words of a class.
                    let mut lanes = *rows;
                    l.transpose(rows, &mut lanes);
                    for (payload, &lane) in mine.chunks_exact_mut(class_words).zip(&lanes) {
                        l.store_words(lane, payload, 7 * block + tile, 7 * step);
                    }
                }
            }
            block += count;
        }
        Ok(())
    }
}

/// Buffers for the transform of sixteen columns of a block at a time.
struct SpectrumColumns<V> {
    x: [V; CLASSES],
    thirds: transform::Thirds<V>,
}

impl<V: Copy> SpectrumColumns<V> {
    #[inline(always)]
    fn new<L: Lanes<V = V>>(l: L) -> Self {
        Self { x: [l.splat(0); CLASSES], thirds: [[l.splat(0); 32]; 3] }
    }

    /// Transforms the columns of a block and multiplies by the twist factors: `grid` gets the numbers of all 96
    /// classes, one class per lane. The symbols of the block begin at index `at` of `symbols`, and those of a
    /// second block beside it `step` items of sixteen symbols later.
    #[inline(always)]
    fn transform<L: Lanes<V = V>>(
        &mut self,
        l: L,
        k: usize,
        (symbols, at, step): (&[[u8; SYMBOL_BYTES]], usize, usize),
        grid: &mut [[V; COEFFICIENTS_PER_CLASS]],
    ) {
        let Self { x, thirds } = self;
        for (column, twists) in TWISTS.forward.iter().enumerate() {
            // The rows from K on are zero.
            let (rows, rest) = x.split_at_mut(k);
            for (q, x) in rows.iter_mut().enumerate() {
                *x = l.load_symbols(symbols, at + COLUMNS * q + column, step);
            }
            rest.fill(l.splat(0));
            transform::columns(l, x, thirds);
            // The twist happens on the way from columns to classes.
            let mut rows = [l.splat(0); 16];
            for (sixteen, group) in grid.iter_mut().enumerate() {
                for (row, r) in rows.iter_mut().zip(16 * sixteen..) {
                    *row = l.mul(x[r], l.factors(&twists[r]));
                }
                l.transpose(&rows, &mut group.as_chunks_mut::<16>().0[column]);
            }
        }
    }
}

/// Packs the 128 coefficients of sixteen classes, one class per lane, as 14-bit fields: 112 words of each class,
/// in the same lane.
#[inline(always)]
fn pack_rows<L: Lanes>(l: L, x: &[L::V; COEFFICIENTS_PER_CLASS], words: &mut [L::V; WORDS]) {
    for (eight, seven) in words.as_chunks_mut::<7>().0.iter_mut().enumerate() {
        let mut fields = [x[0]; 8];
        for (j, field) in fields.iter_mut().enumerate() {
            // Stored fields are true residues, in the order of the coefficients.
            *field = l.canonical(x[transform::row_slot(8 * eight + j)]);
        }
        *seven = l.pack_fields(fields);
    }
}
