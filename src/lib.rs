//! Large byte domains as verifiable tiles, shards that travel alone, and exact reconstruction.
//!
//! A *domain* (memory, a file bigger than memory, a callback) is projected into tiles of at most
//! 1 MiB, each with its conservation residue (the sum of its bytes mod 96) and its witness (BLAKE3),
//! under one root. *Shards* are regions of it that verify alone against the root and rebuild the
//! domain byte for byte. The bytes themselves are never changed.
//!
//! ```
//! use atlas_manifold::{
//!     AtlasBoundaryRegion, AtlasProjection, AtlasReconstruction, Operation, ReconstructionOptions, Source,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let data: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
//! let projection = AtlasProjection::linear(&Source::copy(&data)?)?;
//! let root = projection.root(&mut Operation::new())?;
//!
//! let regions: Vec<AtlasBoundaryRegion> =
//!     (0..3).map(|i| AtlasBoundaryRegion::new(i * 1_000_000, 1_000_000)).collect();
//! let shards = projection.extract_shards_parallel(&regions)?;
//! # let bytes = |shards: &[atlas_manifold::AtlasShard]| -> atlas_manifold::Result<Vec<Vec<u8>>> {
//! #     shards.iter().map(|shard| shard.serialize()).collect()
//! # };
//! # let first = bytes(&shards)?;
//! # #[cfg(feature = "parallel")] {
//! let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build()?;
//! let shards = projection.extract_shards_parallel_with_pool(&regions, &pool)?;
//! # assert_eq!(bytes(&shards)?, first);
//! # }
//! // The same shards, bit for bit: two regions a task, and the largest work first on up to two threads.
//! let shards = projection.extract_shards_chunked_parallel(&regions, 2)?;
//! # assert_eq!(bytes(&shards)?, first);
//! let shards = projection.extract_shards_work_stealing(&regions, 2)?;
//! # assert_eq!(bytes(&shards)?, first);
//!
//! let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new().with_root(root))?;
//! for shard in shards.iter().rev() {
//!     rebuilt.add(shard, &mut Operation::new())?;
//! }
//! let rebuilt = rebuilt.finish(&mut Operation::new())?;
//! let mut bytes = vec![0; data.len()];
//! rebuilt.read(0, &mut bytes)?;
//! assert_eq!(bytes, data);
//! # Ok(()) }
//! ```
//!
//! Residue and witness do different jobs. The residue is additive, which makes it cheap to keep
//! through every change; it misses one in 96 random corruptions. What shows integrity is the
//! witness: nothing false passes it.
//!
//! # Layers
//!
//! `src/ffi` is the C boundary and knows of no algorithm; the modules beside it know nothing of C.
//! [`layer2`](Residue) in C does the sums. docs/design.md has the definitions that must match bit for
//! bit, docs/format.md the bytes of a serialised shard.
//!
//! Each noun has a module of its own, and all public names are here too:
//!
//! ```
//! use atlas_manifold::benchmark::ManifoldBenchmark;
//! use atlas_manifold::compression::{CompressedShard, CompressionManager};
//! use atlas_manifold::incremental::IncrementalUpdateContext;
//! use atlas_manifold::projection::AtlasProjection;
//! use atlas_manifold::shard::{AtlasBoundaryRegion, AtlasShard};
//! use atlas_manifold::streaming::StreamingContext;
//! # use std::any::TypeId;
//! # fn same<A: 'static, B: 'static>() { assert_eq!(TypeId::of::<A>(), TypeId::of::<B>()); }
//! # same::<ManifoldBenchmark, atlas_manifold::ManifoldBenchmark>();
//! # same::<CompressedShard, atlas_manifold::CompressedShard>();
//! # same::<CompressionManager, atlas_manifold::CompressionManager>();
//! # same::<IncrementalUpdateContext, atlas_manifold::IncrementalUpdateContext>();
//! # same::<AtlasProjection, atlas_manifold::AtlasProjection>();
//! # same::<AtlasBoundaryRegion, atlas_manifold::AtlasBoundaryRegion>();
//! # same::<AtlasShard, atlas_manifold::AtlasShard>();
//! # same::<StreamingContext, atlas_manifold::StreamingContext>();
//! ```
//!
//! # Features
//!
//! | feature | what it brings | without it |
//! |---|---|---|
//! | `std` | the library | required |
//! | `parallel` | worker threads (rayon) | everything runs on the calling thread |
//! | `compression` | compressed shards (flate2) | its functions are UNSUPPORTED |
//! | `streaming` | streams, mapped files (memmap2) | streams and mapping are UNSUPPORTED |
//! | `benchmarks` | the benchmark suite | its functions are UNSUPPORTED |

#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "test data are small numbers"))]

mod base;
pub mod benchmark;
pub mod compression;
mod exec;
mod ffi;
mod hash;
pub mod incremental;
mod layer2;
pub mod projection;
mod r96;
mod reconstruction;
pub mod shard;
mod source;
pub mod streaming;
mod tile;
mod trim;

pub use base::error::{AtlasError, ErrorKind, Result};
pub use base::units::{ATLAS_PAGE_SIZE, PAGE_SIZE, TILE_SIZE};
pub use benchmark::{BenchmarkConfig, BenchmarkReport, BenchmarkResult, BenchmarkSummary, ManifoldBenchmark};
pub use compression::{
    CompressedInfo, CompressedShard, CompressionAlgorithm, CompressionConfig, CompressionLevel,
    CompressionManager, CompressionStats, decompress_shard,
};
pub use exec::operation::Operation;
pub use exec::pool::Pool;
pub use exec::progress::{Progress, ProgressFn};
pub use hash::class_tree::ClassSet;
pub use hash::digest::{Digest, digest256};
pub use incremental::{IncrementalConfig, IncrementalStats, IncrementalUpdateContext, ProjectionDelta};
pub use layer2::{CONSERVATION_MODULUS, Residue};
pub use projection::plane::{Bounds, TransformParams};
pub use projection::{
    AtlasProjection, ConservationPolicy, ProjectionInfo, ProjectionOptions, ProjectionType, TileInfo,
};
pub use reconstruction::{AtlasReconstruction, ReconstructionOptions};
pub use shard::{
    AtlasBoundaryRegion, AtlasShard, ExtractOptions, Limits, ParallelStrategy, ShardInfo, VerifyOptions,
};
pub use source::{ReadAt, Source};
pub use streaming::{
    StreamingChunk, StreamingConfig, StreamingContext, stream_file_projection,
    stream_large_domain_projection, stream_projection, stream_reader_projection,
};
pub use trim::trim;
