//! The transforms and the arithmetic of GF(2^16), by the crate reed-solomon-simd.
//!
//! The numbers of the crate stand for the elements that docs/parity.md defines, with the same polynomial and
//! the same basis, so that its engine gives the bytes of the formula.

#![forbid(unsafe_code)]

use super::{LINE, Line};
use crate::base::buffer::try_vec;
use crate::base::error::Result;
use reed_solomon_simd::engine::tables::{self, ExpLog};
use reed_solomon_simd::engine::{DefaultEngine, Engine as _, GF_ORDER, ShardsRefMut};
use std::sync::atomic::{AtomicBool, Ordering};

/// The fastest engine of this processor, with its tables.
pub(in crate::parity) struct Engine {
    engine: DefaultEngine,
    logs: &'static ExpLog,
}

/// True once the tables are made. They stay for the life of the process.
static TABLES: AtomicBool = AtomicBool::new(false);

impl Engine {
    /// Bytes of the tables: products by half a byte for each element, and what they are made from.
    pub(in crate::parity) const TABLES: u64 = (GF_ORDER * (128 + 3 * 2)) as u64;

    /// Makes the tables, if this is the first engine. On the calling thread, and without a lock that a fork
    /// could leave closed.
    pub(in crate::parity) fn new() -> Result<Engine> {
        if !TABLES.load(Ordering::Relaxed) {
            // The crate ends the process if it gets no memory.
            drop(try_vec::<u8>(GF_ORDER * 128 + GF_ORDER * 8)?);
        }
        let engine = Engine { engine: DefaultEngine::new(), logs: tables::get_exp_log() };
        TABLES.store(true, Ordering::Relaxed);
        Ok(engine)
    }

    /// Inverse transform of `points` shards that lie one after the other in `work`, of which those behind
    /// `used` are zeros. The first one stands for the point `at`.
    pub(super) fn inverse(&self, work: &mut [Line], points: usize, used: usize, at: usize) {
        let len = work.len() / points;
        self.engine.ifft(&mut ShardsRefMut::new(points, len, work), 0, points, used, at);
    }

    /// Transform of `points` shards in `work`, of which the first `wanted` are needed.
    pub(super) fn forward(&self, work: &mut [Line], points: usize, wanted: usize) {
        let len = work.len() / points;
        self.engine.fft(&mut ShardsRefMut::new(points, len, work), 0, points, wanted, 0);
    }

    /// Multiplies the symbols of `bytes` by the element with this logarithm.
    pub(super) fn multiply(&self, bytes: &mut [Line], log: u16) {
        if log != 0 {
            self.engine.mul(bytes, log);
        }
    }

    /// Logarithm of [v] for v > 0.
    pub(super) fn log(&self, v: u16) -> u16 {
        self.logs.log[usize::from(v)]
    }

    /// The number v > 0 with this logarithm.
    #[cfg(test)]
    pub(super) fn exp(&self, log: u16) -> u16 {
        self.logs.exp[usize::from(log)]
    }
}

const _: () = assert!(size_of::<Line>() == LINE);
