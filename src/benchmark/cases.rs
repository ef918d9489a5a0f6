//! The measured cases of the benchmark suite.

use super::data::generate;
use super::measure::{Iteration, Stopwatch};
use crate::base::buffer::{Buffer, try_collect};
use crate::base::error::Result;
use crate::base::sync::lock;
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::compression::{CompressionAlgorithm, CompressionConfig, CompressionLevel};
use crate::exec::operation::Operation;
use crate::exec::pool::{self, Executor};
use crate::incremental::ProjectionDelta;
use crate::projection::AtlasProjection;
use crate::projection::plane::TransformParams;
use crate::reconstruction::{AtlasReconstruction, ReconstructionOptions};
use crate::shard::{AtlasBoundaryRegion, AtlasShard, ExtractOptions, VerifyOptions};
use crate::source::{ReadAt, Source};
use crate::streaming::{StreamingConfig, stream_projection};
use crate::tile::options::{ProjectionOptions, ProjectionType};
use std::f64::consts::TAU;
use std::ffi::CStr;
use std::sync::Mutex;

/// Number of bytes that each insert or update changes. A smaller domain is changed as a whole.
pub(super) const CHANGE: usize = 4_096;
/// Size in bytes of each shard of a batch, for domains of 1 MiB to 4 GiB.
const BATCH_SHARD: usize = 64 * 1024;
/// Memory in bytes that the cases need per tile of the domain, besides copies of its bytes: for tiles, shards and
/// proofs.
const PER_TILE: u64 = 64 * 1024;
/// Memory in bytes for the buffers of a worker: a tile, and the buffers to transform or decode a tile.
const PER_WORKER: u64 = 6 * TILE_BYTES;
/// Number of classes that rebuild the domain in the case with missing classes.
const DATA_CLASSES: u8 = 64;

/// Work whose time is a lower bound for a case. It is measured alternately with the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// The case is a limit itself.
    Itself,
    /// There is no lower bound to measure, because the case need not touch any byte.
    None,
    /// BLAKE3 of the domain, on the threads of the run.
    Digest,
    /// A copy of the domain, on one thread.
    Copy,
    /// A copy of the changed bytes.
    CopyOfChange,
    /// BLAKE3 of the changed bytes.
    DigestOfChange,
}

impl Limit {
    /// Returns the name of the row that measures the limit. `None` if the case is a limit itself or has no
    /// limit.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Limit::Itself | Limit::None => None,
            Limit::Copy | Limit::CopyOfChange => Some("memcpy"),
            Limit::Digest | Limit::DigestOfChange => Some("BLAKE3"),
        }
    }

    /// Returns the number of bytes that an iteration of a case with this limit has to touch, for a domain of
    /// `size` bytes.
    pub(super) fn work(self, size: usize) -> usize {
        match self {
            Limit::None => 0,
            Limit::Itself | Limit::Digest | Limit::Copy => size,
            // A domain that is smaller than a change is changed as a whole.
            Limit::CopyOfChange | Limit::DigestOfChange => size.min(CHANGE),
        }
    }

    pub(super) fn iteration<'d>(self, domain: &'d TestDomain<'_>) -> Option<Iteration<'d>> {
        let bytes = &domain.bytes()[..self.work(domain.size)];
        // Copies bound cases on a single thread, and digests bound cases on all threads of the run.
        match self {
            Limit::Itself | Limit::None => None,
            Limit::Copy | Limit::CopyOfChange => Some(copy(domain, bytes, Executor::Inline)),
            Limit::Digest | Limit::DigestOfChange => Some(digest(domain, bytes)),
        }
    }
}

/// A measured case: its name, the lower bound of its time, the Cargo feature that it needs, and the function
/// that prepares it.
pub(super) struct Case {
    pub(super) name: Name,
    pub(super) limit: Limit,
    feature: Feature,
    pub(super) prepare: for<'d> fn(&'d TestDomain<'_>) -> Result<Iteration<'d>>,
}

/// Name of a case, as a string of Rust and of C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) rust: &'static str,
    pub(super) c: &'static CStr,
}

impl Name {
    const fn new(c: &'static CStr) -> Name {
        match c.to_str() {
            Ok(rust) => Name { rust, c },
            Err(_) => panic!("a name is UTF-8"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Feature {
    Always,
    Streaming,
    Compression,
    Zstd,
    Lz4,
}

impl Case {
    pub(super) fn is_built_in(&self) -> bool {
        match self.feature {
            Feature::Always => true,
            Feature::Streaming => cfg!(feature = "streaming"),
            Feature::Compression => cfg!(feature = "compression"),
            Feature::Zstd => cfg!(feature = "zstd"),
            Feature::Lz4 => cfg!(feature = "lz4"),
        }
    }
}

/// All cases, in the order of the report.
pub(super) const CASES: &[Case] = {
    use Feature::{Always, Compression, Lz4, Streaming, Zstd};
    macro_rules! case {
        ($name:literal, $limit:ident, $feature:ident, $prepare:expr) => {
            Case {
                name: const { Name::new($name) },
                limit: Limit::$limit,
                feature: $feature,
                prepare: $prepare,
            }
        };
    }
    &[
        case!(c"memcpy", Itself, Always, |domain| Ok(copy(domain, domain.bytes(), domain.executor))),
        case!(c"BLAKE3", Itself, Always, |domain| Ok(digest(domain, domain.bytes()))),
        case!(c"linear projection", Digest, Always, linear_projection),
        case!(c"R96 projection", Digest, Always, r96_projection),
        case!(c"R96 extraction of classes", Digest, Always, r96_classes),
        case!(c"R96 inverse", Copy, Always, r96_inverse),
        case!(c"R96 decode", Digest, Always, r96_decode),
        case!(c"streaming", Digest, Streaming, streaming),
        case!(c"verification", Digest, Always, verification),
        case!(c"single shard", Digest, Always, single_shard),
        case!(c"batch of shards", Digest, Always, batch_of_shards),
        case!(c"verification of shards", Digest, Always, verification_of_shards),
        case!(c"reconstruction", Digest, Always, reconstruction),
        case!(c"transformation", None, Always, transformation),
        case!(c"incremental insert", CopyOfChange, Always, insert),
        case!(c"incremental update", CopyOfChange, Always, update),
        case!(c"incremental update with root", DigestOfChange, Always, update_with_root),
        case!(c"incremental rollback", None, Always, rollback),
        case!(c"compression none", Digest, Compression, |domain| compression(
            domain,
            CompressionAlgorithm::None
        )),
        case!(c"compression DEFLATE", Digest, Compression, |domain| compression(
            domain,
            CompressionAlgorithm::Deflate
        )),
        case!(c"compression conservation-aware", Digest, Compression, |domain| compression(
            domain,
            CompressionAlgorithm::ConservationAware
        )),
        case!(c"compression Zstandard", Digest, Zstd, |domain| compression(
            domain,
            CompressionAlgorithm::Zstd
        )),
        case!(c"compression LZ4", Digest, Lz4, |domain| compression(domain, CompressionAlgorithm::Lz4)),
        case!(c"decompression none", Digest, Compression, |domain| decompression(
            domain,
            CompressionAlgorithm::None
        )),
        case!(c"decompression DEFLATE", Digest, Compression, |domain| decompression(
            domain,
            CompressionAlgorithm::Deflate
        )),
        case!(c"decompression conservation-aware", Digest, Compression, |domain| decompression(
            domain,
            CompressionAlgorithm::ConservationAware
        )),
        case!(c"decompression Zstandard", Digest, Zstd, |domain| decompression(
            domain,
            CompressionAlgorithm::Zstd
        )),
        case!(c"decompression LZ4", Digest, Lz4, |domain| decompression(domain, CompressionAlgorithm::Lz4)),
    ]
};

/// A domain of test data in memory, with the threads and the memory limit of the run.
pub(super) struct TestDomain<'a> {
    size: usize,
    source: Source,
    /// Buffer of the size of the domain to which cases copy or read.
    target: Mutex<Buffer>,
    executor: Executor<'a>,
    /// Memory limit in bytes of a measured operation. `None` means no limit.
    memory_limit: Option<u64>,
}

impl<'a> TestDomain<'a> {
    /// Fails with LIMIT if the memory limit of `operation` is too low for the cases on a domain of `size` bytes.
    /// They hold up to five times the domain: the domain, the destination of copies, a shard of the whole domain,
    /// a result made from the shard, and a result made from that result.
    pub(super) fn check_memory(size: usize, operation: &Operation<'_>) -> Result<()> {
        let (size, tiles) = (to_u64(size), to_u64(size).div_ceil(TILE_BYTES));
        let whole = size.saturating_mul(5).saturating_add(tiles.saturating_mul(PER_TILE));
        operation.reserve(PER_WORKER.saturating_add(whole))
    }

    pub(super) fn new(size: usize, operation: &Operation<'a>) -> Result<TestDomain<'a>> {
        // The measured operation does not allocate the domain, the destination of copies, and a shard of
        // it.
        let left = operation.memory_left(to_u64(size).saturating_mul(3));
        let mut target = Buffer::new(size)?;
        // The pages of the target exist before anything is timed.
        target.fill(0);
        Ok(TestDomain {
            size,
            source: Source::from_buffer(generate(size)?),
            target: Mutex::new(target),
            executor: operation.executor,
            memory_limit: (left < u64::MAX).then_some(left),
        })
    }

    fn bytes(&self) -> &[u8] {
        // The source is a single buffer.
        self.source.slice(0, self.size).unwrap_or(&[])
    }

    fn operation(&self) -> Operation<'a> {
        let mut operation = Operation::new();
        operation.executor = self.executor;
        match self.memory_limit {
            Some(limit) => operation.with_memory_limit(limit),
            None => operation,
        }
    }

    fn project(&self) -> Result<AtlasProjection> {
        let options = ProjectionOptions::new();
        AtlasProjection::create(ProjectionType::Linear, &self.source, &options, &mut self.operation())
    }

    fn project_r96(&self, data_classes: u8) -> Result<AtlasProjection> {
        let options = ProjectionOptions::new().with_data_classes(data_classes);
        AtlasProjection::create(ProjectionType::R96Fourier, &self.source, &options, &mut self.operation())
    }

    fn whole(&self) -> AtlasBoundaryRegion {
        AtlasBoundaryRegion::new(0, to_u64(self.size))
    }

    /// Returns consecutive regions that cover the domain, one for each shard of a batch.
    fn regions(&self) -> Result<Vec<AtlasBoundaryRegion>> {
        // Sixteen shards of a small domain, shards of 64 KiB of a larger domain, and never more than
        // 65,536.
        let each = (self.size / 16).clamp(1, BATCH_SHARD).max(self.size / 65_536);
        let region =
            |start: usize| AtlasBoundaryRegion::new(to_u64(start), to_u64(each.min(self.size - start)));
        try_collect((0..self.size).step_by(each).map(region))
    }

    fn shards(&self, projection: &AtlasProjection) -> Result<Vec<AtlasShard>> {
        projection.extract_shards(&self.regions()?, &ExtractOptions::new(), &mut self.operation())
    }

    /// Returns the offset of the next change. The offsets spread over the domain, and each change ends inside it.
    /// `turn` is the state from which the offset is computed; each call changes it.
    fn place(&self, turn: &mut u64) -> usize {
        // Multiples of the golden ratio spread evenly.
        *turn = turn.wrapping_add(0x9E37_79B9_7F4A_7C15);
        // The change must end inside the domain.
        let room = to_u64(self.size - self.size.min(CHANGE)) + 1;
        to_usize((*turn >> 8) % room)
    }
}

/// Runs `work` for each tile of a domain of `len` bytes, with the number of the tile, on as many threads as a
/// projection of the domain would use. A single thread uses no pool, whose bookkeeping would be timed too.
pub(super) fn each_tile(
    executor: Executor<'_>,
    len: usize,
    work: impl Fn(usize) -> Result<()> + Sync,
) -> Result<()> {
    let tiles = len.div_ceil(TILE_SIZE);
    // No more workers than tiles, like in a projection.
    let workers = tiles.min(executor.threads());
    // The pool is not used for one worker, because its bookkeeping would be timed too.
    if workers <= 1 {
        return (0..tiles).try_for_each(work);
    }
    // Tiles have no state of their own, and no results.
    let (none, done) = (|| Ok(()), |_, ()| Ok(()));
    pool::run(executor, workers, to_u64(tiles), none, |(), tile| work(to_usize(tile)), done)
}

/// Returns a closure as an iteration of a case. The signature gives the closure a type that accepts every stopwatch.
fn iteration<'d>(each: impl FnMut(&mut Stopwatch<'_>) -> Result<()> + 'd) -> Iteration<'d> {
    Box::new(each)
}

fn copy<'d>(domain: &'d TestDomain<'_>, bytes: &'d [u8], executor: Executor<'d>) -> Iteration<'d> {
    iteration(move |stopwatch| {
        // Each tile's destination moves to the thread that copies it.
        let mut target = lock(&domain.target);
        let parts = target[..bytes.len()].chunks_mut(TILE_SIZE).zip(bytes.chunks(TILE_SIZE));
        let parts: Vec<_> = try_collect(parts.map(Mutex::new))?;
        stopwatch.time_one_of(repeats(bytes), || {
            each_tile(executor, bytes.len(), |tile| {
                let (to, from) = &mut *lock(&parts[tile]);
                to.copy_from_slice(from);
                Ok(())
            })
        })
    })
}

/// Returns the number of runs of a limit, a copy or digest of `bytes`, per measured iteration: 32 for at most 4 KiB,
/// else 1.
fn repeats(bytes: &[u8]) -> u32 {
    // A limit of 4 KiB is hardly longer than reading the clock.
    if bytes.len() <= CHANGE { 32 } else { 1 }
}

fn digest<'d>(domain: &'d TestDomain<'_>, bytes: &'d [u8]) -> Iteration<'d> {
    iteration(move |stopwatch| {
        stopwatch.time_one_of(repeats(bytes), || {
            each_tile(domain.executor, bytes.len(), |tile| {
                let start = tile * TILE_SIZE;
                let end = (start + TILE_SIZE).min(bytes.len());
                // The digest is kept opaque, so that its computation is not optimised away.
                std::hint::black_box(crate::digest256(&bytes[start..end]));
                Ok(())
            })
        })
    })
}

fn linear_projection<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    Ok(iteration(|stopwatch| {
        let made = stopwatch.time(|| {
            let projection = domain.project()?;
            // The root belongs to the result, so that computing it is timed.
            projection.root(&mut domain.operation())?;
            Ok(projection)
        });
        made.map(drop)
    }))
}

fn r96_projection<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    Ok(iteration(|stopwatch| {
        let made = stopwatch.time(|| {
            let projection = domain.project_r96(96)?;
            // The root belongs to the result here too.
            projection.root(&mut domain.operation())?;
            Ok(projection)
        });
        made.map(drop)
    }))
}

fn r96_classes<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    // Only the extraction is timed. It transforms all tiles again, because coefficients are not kept.
    let (projection, classes) = (domain.project_r96(96)?, (0..96).collect::<Vec<u8>>());
    Ok(iteration(move |stopwatch| {
        stopwatch.time(|| projection.extract_classes(None, &classes, &mut domain.operation())).map(drop)
    }))
}

/// Prepares the case that reads all bytes of a shard that has all 96 classes.
fn r96_inverse<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    // A shard with all classes of all tiles, from which the read decodes block by block.
    let shard = domain.project_r96(96)?.extract_shard(&domain.whole(), &mut domain.operation())?;
    Ok(iteration(move |stopwatch| {
        // The lock is taken outside of the timed part.
        let mut target = lock(&domain.target);
        stopwatch.time(|| shard.read(0, &mut target))
    }))
}

/// Prepares the case that rebuilds the domain from 64 of the 96 classes: each class is verified, and the whole
/// domain at the end.
fn r96_decode<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let projection = domain.project_r96(DATA_CLASSES)?;
    // Every third class is missing, and 64 are left.
    let classes: Vec<u8> = (0..96).filter(|class| class % 3 != 2).collect();
    let shards = projection.extract_classes(None, &classes, &mut domain.operation())?;
    let options = ReconstructionOptions::new().with_root(projection.root(&mut domain.operation())?);
    Ok(iteration(move |stopwatch| stopwatch.time(|| rebuild(domain, &options, &shards)).map(drop)))
}

fn rebuild(
    domain: &TestDomain<'_>,
    options: &ReconstructionOptions,
    shards: &[AtlasShard],
) -> Result<AtlasProjection> {
    let rebuilt = AtlasReconstruction::new(options)?;
    // The shards are added in reverse, because shards arrive in any order.
    for shard in shards.iter().rev() {
        rebuilt.add(shard, &mut domain.operation())?;
    }
    // `finish` hashes all bytes again, on all threads.
    rebuilt.finish(&mut domain.operation())
}

/// Bytes in memory that are read like a file, with a copy for each read.
struct ByPosition(Source);

impl ReadAt for ByPosition {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        // Each read copies, like a read of a file.
        let bytes = self.0.slice(offset, buffer.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

fn streaming<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    // Chunks of 8 MiB, 4 in flight; the source is not in memory, so that reading is included.
    let source = Source::from_reader(to_u64(domain.size), ByPosition(domain.source.clone()));
    let config = StreamingConfig::new(8 * TILE_BYTES, 4)?;
    let options = ProjectionOptions::new();
    Ok(iteration(move |stopwatch| {
        let made = stopwatch.time(|| {
            let operation = &mut domain.operation();
            let made =
                stream_projection(&source, ProjectionType::Linear, &options, config.clone(), operation)?;
            // The root belongs to the result here too.
            made.root(operation)?;
            Ok(made)
        });
        made.map(drop)
    }))
}

fn verification<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let projection = domain.project()?;
    Ok(iteration(move |stopwatch| stopwatch.time(|| projection.verify(&mut domain.operation()))))
}

fn single_shard<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    // A shard of the whole domain, so that the time compares with the digest of the same bytes.
    let (projection, region) = (domain.project()?, domain.whole());
    Ok(iteration(move |stopwatch| {
        stopwatch.time(|| projection.extract_shard(&region, &mut domain.operation())).map(drop)
    }))
}

fn batch_of_shards<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let (regions, options) = (domain.regions()?, ExtractOptions::new());
    // A new projection, so that its tiles have no outboards of an earlier batch.
    Ok(iteration(move |stopwatch| {
        let projection = domain.project()?;
        stopwatch.time(|| projection.extract_shards(&regions, &options, &mut domain.operation())).map(drop)
    }))
}

fn verification_of_shards<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let projection = domain.project()?;
    let shard = projection.extract_shard(&domain.whole(), &mut domain.operation())?;
    // The root is given, as by a reader who trusts it.
    let trust = VerifyOptions::new().with_root(projection.root(&mut domain.operation())?);
    Ok(iteration(move |stopwatch| stopwatch.time(|| shard.verify(&trust, &mut domain.operation()))))
}

fn reconstruction<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let projection = domain.project()?;
    // Adding the shards and finishing are timed, but not their extraction.
    let shards = domain.shards(&projection)?;
    let options = ReconstructionOptions::new().with_root(projection.root(&mut domain.operation())?);
    Ok(iteration(move |stopwatch| stopwatch.time(|| rebuild(domain, &options, &shards)).map(drop)))
}

/// Prepares the case that applies one transformation to a projection and computes the bounds of every tile.
fn transformation<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let projection = domain.project()?;
    let tiles = projection.info().tile_count;
    let params = TransformParams {
        scaling_factor: 1.0,
        rotation_angle: TAU / 96.0,
        translation_x: 0.25,
        translation_y: -0.25,
    };
    // A snapshot has the maps of the original, so that every iteration begins the same.
    Ok(iteration(move |stopwatch| {
        let projection = projection.snapshot();
        stopwatch.time(|| {
            projection.transform(&params)?;
            (0..tiles).try_for_each(|tile| projection.tile_bounds(tile).map(|_| ()))
        })
    }))
}

fn insert<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let (projection, mut turn) = (domain.project()?, 0);
    Ok(iteration(move |stopwatch| {
        // The change is prepared and undone outside of the time.
        let change = domain.bytes()[..domain.size.min(CHANGE)].to_vec();
        let delta = ProjectionDelta::insert(to_u64(domain.place(&mut turn)), change);
        stopwatch.time(|| projection.apply_incremental_update(delta))?;
        projection.rollback(1)
    }))
}

/// Returns a delta that replaces bytes at the next offset by the same number of other bytes.
fn next_update(domain: &TestDomain<'_>, turn: &mut u64) -> ProjectionDelta {
    let (start, len) = (domain.place(turn), domain.size.min(CHANGE));
    let mut change = domain.bytes()[start..start + len].to_vec();
    // Every byte differs, so that no part of the update is a repetition.
    change.iter_mut().for_each(|byte| *byte ^= 0x5A);
    ProjectionDelta::update(to_u64(start), to_u64(start + len), change)
}

fn update<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let (projection, mut turn) = (domain.project()?, 0);
    Ok(iteration(move |stopwatch| {
        let delta = next_update(domain, &mut turn);
        stopwatch.time(|| projection.apply_incremental_update(delta))?;
        projection.rollback(1)
    }))
}

fn update_with_root<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let (projection, mut turn) = (domain.project()?, 0);
    Ok(iteration(move |stopwatch| {
        let delta = next_update(domain, &mut turn);
        stopwatch.time(|| {
            // The root hashes the updated tiles, so that both are timed together.
            projection.apply_incremental_update(delta)?;
            projection.root(&mut domain.operation())
        })?;
        // The rollback restores the root too, so that the next iteration begins with known digests.
        projection.rollback(1)?;
        projection.root(&mut domain.operation()).map(drop)
    }))
}

fn rollback<'d>(domain: &'d TestDomain<'_>) -> Result<Iteration<'d>> {
    let (projection, mut turn) = (domain.project()?, 0);
    Ok(iteration(move |stopwatch| {
        // The change to undo is made outside of the time.
        projection.apply_incremental_update(next_update(domain, &mut turn))?;
        stopwatch.time(|| projection.rollback(1))
    }))
}

fn compression_config(algorithm: CompressionAlgorithm) -> CompressionConfig {
    let level = CompressionLevel::Default;
    // No threshold: a shard of any size is compressed.
    CompressionConfig { algorithm, level, min_size_threshold: 0, ..CompressionConfig::default() }
}

fn compression<'d>(domain: &'d TestDomain<'_>, algorithm: CompressionAlgorithm) -> Result<Iteration<'d>> {
    let shard = domain.project()?.extract_shard(&domain.whole(), &mut domain.operation())?;
    let config = compression_config(algorithm);
    Ok(iteration(move |stopwatch| {
        stopwatch.time(|| shard.compress_with(&config, &mut domain.operation())).map(drop)
    }))
}

fn decompression<'d>(domain: &'d TestDomain<'_>, algorithm: CompressionAlgorithm) -> Result<Iteration<'d>> {
    let shard = domain.project()?.extract_shard(&domain.whole(), &mut domain.operation())?;
    let compressed = shard.compress_with(&compression_config(algorithm), &mut domain.operation())?;
    // The shard is dropped, because a reader has only the compressed shard.
    drop(shard);
    let trust = VerifyOptions::new().with_root(domain.project()?.root(&mut domain.operation())?);
    Ok(iteration(move |stopwatch| {
        stopwatch.time(|| compressed.decompress(&trust, &mut domain.operation())).map(drop)
    }))
}
