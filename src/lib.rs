//! Large byte domains as verifiable tiles, shards that travel alone, and exact incremental states.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "test data are small numbers"))]

mod atomic_file;
mod buffer;
mod chain;
mod codec;
mod compression;
mod copy;
mod digest;
mod error;
mod ffi;
mod geometry;
mod hashing;
mod layer2;
mod merkle;
mod operation;
mod pool;
mod projection;
mod reconstruction;
mod shape;
mod shard;
mod source;
mod transform;
mod tree;

pub use compression::{
    CompressedInfo, CompressedShard, CompressionAlgorithm, CompressionConfig, CompressionLevel,
    CompressionManager, CompressionStats, decompress_shard,
};
pub use digest::{Digest, digest256};
pub use error::{AtlasError, ErrorKind, Result};
pub use geometry::{ATLAS_PAGE_SIZE, PAGE_SIZE, TILE_SIZE};
pub use layer2::{CONSERVATION_MODULUS, Residue};
pub use operation::{Operation, Progress, ProgressFn};
pub use pool::Pool;
pub use projection::{
    AtlasProjection, ConservationPolicy, ProjectionInfo, ProjectionOptions, ProjectionType, TileInfo,
};
pub use reconstruction::{AtlasReconstruction, ReconstructionOptions};
pub use shard::{
    AtlasBoundaryRegion, AtlasShard, ExtractOptions, Limits, ParallelStrategy, ShardInfo, VerifyOptions,
};
pub use source::{ReadAt, Source};
pub use transform::{Bounds, TransformParams};
