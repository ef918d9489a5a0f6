//! The transforms and the arithmetic of GF(2^16), from the crate reed-solomon-simd.
//!
//! The crate uses the polynomial and the basis of docs/parity.md, so that its numbers are the field elements
//! defined there, and its engine computes the parity that the formula there defines.

#![forbid(unsafe_code)]

use super::{LINE, Line};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use reed_solomon_simd::engine::tables::{self, ExpLog};
use reed_solomon_simd::engine::{DefaultEngine, Engine as _, GF_ORDER, ShardsRefMut};
use reed_solomon_simd::rate::{HighRateDecoder, RateDecoder};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arithmetic and transforms of GF(2^16), in the fastest form that this processor supports, with the tables of
/// logarithms.
pub(in crate::parity) struct Engine {
    engine: DefaultEngine,
    logs: &'static ExpLog,
}

/// True once the tables of GF(2^16) are made. They stay for the life of the process.
static TABLES: AtomicBool = AtomicBool::new(false);

impl Engine {
    /// Number of bytes of the tables of GF(2^16): for each element its products with half bytes, and the tables
    /// from which these are made.
    pub(in crate::parity) const TABLES: u64 = (GF_ORDER * (128 + 3 * 2)) as u64;

    /// Returns an engine. The first engine makes the tables of GF(2^16), on the calling thread and without a
    /// lock that a fork could leave locked. Fails with OUT_OF_MEMORY if there is no memory for them.
    pub(in crate::parity) fn new() -> Result<Engine> {
        if !TABLES.load(Ordering::Relaxed) {
            // The crate ends the process if it gets no memory, so that an allocation of this size is tried
            // first.
            drop(try_vec::<u8>(GF_ORDER * 128 + GF_ORDER * 8)?);
        }
        // Only the first engine makes the tables; later calls use the same tables.
        let engine = Engine { engine: DefaultEngine::new(), logs: tables::get_exp_log() };
        TABLES.store(true, Ordering::Relaxed);
        Ok(engine)
    }

    /// Computes in place the inverse transform over the `points` slices of equal length in `work`, of which all
    /// after the first `used` are zeros. The first slice belongs to the point `at` of the code.
    pub(super) fn inverse(&self, work: &mut [Line], points: usize, used: usize, at: usize) {
        let len = work.len() / points;
        self.engine.ifft(&mut ShardsRefMut::new(points, len, work), 0, points, used, at);
    }

    /// Computes in place the transform over the `points` slices of equal length in `work`. Only the first
    /// `wanted` slices of the result are needed.
    pub(super) fn forward(&self, work: &mut [Line], points: usize, wanted: usize) {
        let len = work.len() / points;
        self.engine.fft(&mut ShardsRefMut::new(points, len, work), 0, points, wanted, 0);
    }

    /// Multiplies in place each 16-bit symbol of `bytes` by the field element with the logarithm `log`.
    pub(super) fn multiply(&self, bytes: &mut [Line], log: u16) {
        // A logarithm of 0 means the factor 1.
        if log != 0 {
            self.engine.mul(bytes, log);
        }
    }

    /// Returns the logarithm of the field element that the number `v` represents. `v` must not be 0.
    pub(super) fn log(&self, v: u16) -> u16 {
        self.logs.log[usize::from(v)]
    }

    /// Returns the number, greater than 0, of the field element with the logarithm `log`.
    #[cfg(test)]
    pub(super) fn exp(&self, log: u16) -> u16 {
        self.logs.exp[usize::from(log)]
    }
}

/// Decoder for rows that have lost very many units, from the crate reed-solomon-simd. Its time depends only on
/// the length of a code word, and not on the number of lost units.
pub(super) struct LongDecoder {
    decoder: HighRateDecoder<DefaultEngine>,
    /// Zeros in place of the data columns that are not lost, because the sums to be solved have only the share of
    /// the lost columns.
    zeros: Buffer,
    columns: usize,
}

impl LongDecoder {
    /// Returns a decoder that processes `slice` bytes of each of the data and parity columns at a time.
    pub(super) fn new(columns: usize, parity: usize, slice: usize) -> Result<LongDecoder> {
        // The crate ends the process if it gets no memory, so that an allocation of this size is tried first.
        drop(try_vec::<u8>(LongDecoder::shards(columns, parity) * slice)?);
        // The high rate is the definition; the default rate of the crate depends on the shape ("Code").
        let decoder = HighRateDecoder::new(columns, parity, slice, DefaultEngine::new(), None);
        Ok(LongDecoder { decoder: decoder.map_err(refused)?, zeros: Buffer::zeros(slice)?, columns })
    }

    /// Returns the number of columns that the decoder holds at a time: the sum K + p, rounded up to a power of two.
    pub(super) fn shards(columns: usize, parity: usize) -> usize {
        // The transforms of the crate work on a power of two of points.
        (columns + parity.next_power_of_two()).next_power_of_two()
    }

    /// Rebuilds the byte range `slice` of the data columns `lost`, which are ascending, and writes it to
    /// `units`. `sums` has the share of the lost columns in each of the parity units `rows`.
    ///
    /// The crate's decoder has an array of 128 KiB on the stack, which no other function may take into its frame.
    #[inline(never)]
    pub(super) fn solve(
        &mut self,
        lost: &[usize],
        rows: &[usize],
        sums: &[Buffer],
        units: &mut [Buffer],
        slice: Range<usize>,
    ) -> Result<()> {
        // Present columns are passed as zeros, because the sums already have their share removed.
        for column in (0..self.columns).filter(|column| lost.binary_search(column).is_err()) {
            self.decoder.add_original_shard(column, &self.zeros[..slice.len()]).map_err(refused)?;
        }
        for (row, sum) in rows.iter().zip(sums) {
            self.decoder.add_recovery_shard(*row, &sum[slice.clone()]).map_err(refused)?;
        }
        // Dropping `decoded` prepares the decoder for the next slice.
        let decoded = self.decoder.decode().map_err(refused)?;
        for (column, unit) in lost.iter().zip(units) {
            let shard = decoded.restored_original(*column);
            let shard = shard.ok_or_else(|| {
                AtlasError::internal(format!(
                    "a defect of the library, please report it: lost column {column} was not decoded"
                ))
            })?;
            unit[slice.clone()].copy_from_slice(shard);
        }
        Ok(())
    }
}

/// Converts an error of reed-solomon-simd to INTERNAL. The crate fails only for wrong shapes, which the
/// geometry excludes.
fn refused(error: reed_solomon_simd::Error) -> AtlasError {
    AtlasError::internal(format!(
        "a defect of the library, please report it: the decoder refuses a row: {error}"
    ))
}

const _: () = assert!(size_of::<Line>() == LINE);
