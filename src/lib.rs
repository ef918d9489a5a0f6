//! Large byte domains as verifiable tiles, shards that travel alone, and exact reconstruction.
//!
//! A *domain* (memory, a file bigger than memory, a callback) is projected into tiles of at most
//! 1 MiB, each with its conservation residue (the sum of its bytes mod 96) and its witness (BLAKE3),
//! under one root. *Shards* are regions of a domain that verify alone against the root and rebuild the domain
//! byte for byte. The bytes themselves are never changed.
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
//! // The same shards, bit for bit: two regions per task, and the largest work first on up to two threads.
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
//! A file is read as it is hashed. A callback follows the progress or cancels, and the program decides by the
//! kind of an error how to react:
//!
//! ```
//! use atlas_manifold::{
//!     AtlasProjection, ErrorKind, Operation, Progress, ProjectionOptions, ProjectionType, Source,
//! };
//!
//! /// Returns the root of a file, or `None` if there is no such file.
//! fn root_of(path: &str) -> atlas_manifold::Result<Option<atlas_manifold::Digest>> {
//!     let source = match Source::open_file(path) {
//!         Ok(source) => source,
//!         Err(error) if error.kind() == ErrorKind::Io && error.os_error() == 2 => return Ok(None), // ENOENT
//!         Err(error) => return Err(error),
//!     };
//!     let mut progress = |now: &Progress| {
//!         println!("{} of {} bytes", now.bytes_done, now.bytes_total);
//!         true // false cancels, and the call fails with Cancelled
//!     };
//!     let mut operation = Operation::new().with_progress(&mut progress);
//!     let options = ProjectionOptions::new();
//!     let projection = AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut operation)?;
//!     Ok(Some(projection.root(&mut Operation::new())?))
//! }
//!
//! assert_eq!(root_of("/no such file")?, None);
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("data.bin");
//! # std::fs::write(&path, vec![7; 3_000_000])?;
//! # let file = path.to_str().unwrap();
//! println!("{:02x?}", root_of(file)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Residue and witness do different jobs. The residue is additive, so updating it costs no more than the
//! edit, but it misses one in 96 random corruptions. The witness is cryptographic: no altered data passes it.
//!
//! # Errors
//!
//! Every call that can fail returns [`AtlasError`]. Names in capitals are those of the C API's statuses:
//! OUT_OF_RANGE is [`ErrorKind::OutOfRange`], WITNESS is [`ErrorKind::Witness`], and so on for each
//! [`ErrorKind`].
//!
//! # Layers
//!
//! `src/ffi` is the C boundary and contains no algorithm; the other modules do not depend on C.
//! [`layer2`](Residue) in C computes the sums. docs/layers.txt has the order of the layers, docs/design.md the
//! definitions that must match bit for bit, docs/format.md the bytes of a serialised shard.
//!
//! Each noun has a separate module, and the crate's root re-exports all public names:
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
//! | feature | adds | without it |
//! |---|---|---|
//! | `std` | the library | required |
//! | `parallel` | worker threads (rayon) | everything runs on the calling thread |
//! | `compression` | compressed shards (flate2) | its functions fail with UNSUPPORTED |
//! | `zstd`, `lz4` | Zstandard, LZ4 for compressed shards, and `compression` | the algorithm is UNSUPPORTED |
//! | `streaming` | streams, mapped files (memmap2) | streams and mapping fail with UNSUPPORTED |
//! | `parity` | parity files (reed-solomon-simd) | its functions fail with UNSUPPORTED |
//! | `opencl` | pools with an OpenCL device (libloading) | they fail with UNSUPPORTED |
//! | `benchmarks` | the benchmark suite | its functions fail with UNSUPPORTED |
//! | `reserve` | a global allocator with a reserve for small blocks; on in the C library only | a lack of memory may abort |

#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "test data are small numbers"))]

/// Replaces the `format!` of std in this crate: returns an empty text if there is no memory for it, instead of
/// aborting the process.
macro_rules! format {
    ($($argument:tt)*) => {
        $crate::base::fallible::text(::std::format_args!($($argument)*))
    };
}

// The modules, from the lowest layer up, in the order of docs/layers.txt.
mod base;

mod accelerator;

mod exec;
mod layer2;
mod r96;

mod hash;
mod source;

mod tile;

pub mod projection;

pub mod incremental;
pub mod shard;

pub mod compression;
mod outline;
pub mod parity;
mod reconstruction;
pub mod streaming;

pub mod container;

pub mod benchmark;
mod trim;

mod ffi;

#[doc(inline)]
pub use accelerator::{AcceleratorInfo, AcceleratorOptions};
#[doc(hidden)]
pub use base::atomic_file::{inherit_attributes, temporary_name};
#[doc(inline)]
pub use base::damage::{Damage, DamageFn, DamageKind, DamagePart};
#[doc(inline)]
pub use base::error::{AtlasError, ErrorKind, Result};
#[doc(inline)]
pub use base::units::{ATLAS_PAGE_SIZE, PAGE_SIZE, TILE_SIZE};
#[doc(inline)]
pub use benchmark::{BenchmarkConfig, BenchmarkReport, BenchmarkResult, BenchmarkSummary, ManifoldBenchmark};
#[doc(inline)]
pub use compression::{
    CompressedInfo, CompressedShard, CompressionAlgorithm, CompressionConfig, CompressionFilter,
    CompressionLevel, CompressionManager, CompressionStats, CompressionTarget, decompress_shard,
};
#[doc(inline)]
pub use container::{
    CommitOptions, Container, ContainerCreateOptions, ContainerInfo, ContainerMode, ContainerOptions,
    GenerationInfo,
};
#[doc(inline)]
pub use exec::operation::Operation;
#[doc(inline)]
pub use exec::pool::Pool;
#[doc(inline)]
pub use exec::progress::{Progress, ProgressFn};
#[doc(inline)]
pub use hash::class_tree::ClassSet;
#[doc(inline)]
pub use hash::digest::{Digest, digest256};
#[doc(inline)]
pub use incremental::{IncrementalConfig, IncrementalStats, IncrementalUpdateContext, ProjectionDelta};
#[doc(inline)]
pub use layer2::{CONSERVATION_MODULUS, Residue};
#[doc(inline)]
pub use parity::{
    AtlasParity, ParityInfo, ParityOptions, ParityReport, ParityVerdict, RepairMode, RepairOptions,
};
#[doc(inline)]
pub use projection::plane::{Bounds, TransformParams};
#[doc(inline)]
pub use projection::{
    AtlasProjection, ConservationPolicy, ProjectionInfo, ProjectionOptions, ProjectionType, TileInfo,
};
#[doc(inline)]
pub use reconstruction::{AtlasReconstruction, ReconstructionOptions};
#[doc(inline)]
pub use shard::{
    AtlasBoundaryRegion, AtlasShard, ExtractOptions, Limits, ParallelStrategy, ShardInfo, VerifyOptions,
};
#[doc(inline)]
pub use source::{ReadAt, Source};
#[doc(inline)]
pub use streaming::{
    StreamingChunk, StreamingConfig, StreamingContext, stream_file_projection,
    stream_large_domain_projection, stream_projection, stream_reader_projection,
};
#[doc(inline)]
pub use trim::trim;
