//! Placeholders for the Reed–Solomon engine and decoder if the Cargo feature `parity` is not built in.

#![forbid(unsafe_code)]

use super::Line;
use crate::base::buffer::Buffer;
use crate::base::error::Result;
use crate::parity::available;
use std::ops::Range;

/// Type without values in place of the Reed–Solomon engine. Its constructor fails with UNSUPPORTED.
pub(in crate::parity) enum Engine {}

impl Engine {
    pub(in crate::parity) const TABLES: u64 = 0;

    pub(in crate::parity) fn new() -> Result<Engine> {
        match available() {
            Ok(()) => Err(crate::base::error::AtlasError::internal(
                "a defect of the library, please report it: the feature parity has no engine",
            )),
            Err(error) => Err(error),
        }
    }

    pub(super) fn inverse(&self, _: &mut [Line], _: usize, _: usize, _: usize) {
        // No value of this type exists, so that no code can get here.
        match *self {}
    }

    pub(super) fn forward(&self, _: &mut [Line], _: usize, _: usize) {
        match *self {}
    }

    pub(super) fn multiply(&self, _: &mut [Line], _: u16) {
        match *self {}
    }

    pub(super) fn log(&self, _: u16) -> u16 {
        match *self {}
    }
}

/// Type without values in place of the Reed–Solomon decoder. Its constructor fails with UNSUPPORTED.
pub(super) enum LongDecoder {}

impl LongDecoder {
    pub(super) fn new(_: usize, _: usize, _: usize) -> Result<LongDecoder> {
        match Engine::new()? {}
    }

    pub(super) fn shards(_: usize, _: usize) -> usize {
        0
    }

    pub(super) fn solve(
        &mut self,
        _: &[usize],
        _: &[usize],
        _: &[Buffer],
        _: &mut [Buffer],
        _: Range<usize>,
    ) -> Result<()> {
        match *self {}
    }
}
