//! The base of the library's own parts that benchmarks compile from source.
#![allow(dead_code)]

#[path = "../../src/base/block.rs"]
mod block;
#[path = "../../src/base/buffer.rs"]
pub(crate) mod buffer;
#[path = "../../src/base/error.rs"]
pub(crate) mod error;
#[path = "../../src/base/fallible.rs"]
pub(crate) mod fallible;
#[path = "../../src/base/recycle.rs"]
pub(crate) mod recycle;
#[path = "../../src/base/reserve.rs"]
pub(crate) mod reserve;
#[path = "../../src/base/units.rs"]
pub(crate) mod units;
