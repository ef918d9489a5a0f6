//! Compression: shards whose payload needs less space.
//!
//! A compressed shard is split into independent blocks, so that a small read decompresses little. A
//! payload that does not become smaller is stored as it is, which is no error. Decompression
//! verifies against the root like any other reader.
//!
//! ```c
//! static atlas_status pack(const atlas_shard *shard, atlas_buffer *out) {
//!   atlas_compression_config config;
//!   atlas_compressed_shard *packed = NULL;
//!   atlas_compression_config_init(&config);
//!   config.algorithm = ATLAS_COMPRESSION_AUTO;
//!   atlas_status status = atlas_shard_compress(shard, &config, NULL, &packed);
//!   if (status == ATLAS_STATUS_OK) status = atlas_compressed_shard_serialize(packed, out);
//!   atlas_compressed_shard_destroy(packed);
//!   return status;
//! }
//! ```

use super::args::{OutHandles, bytes_in, bytes_out, c_enum, drop_handle, handle, items_in, out, out_handle};
use super::boundary::boundary;
use super::operation::{atlas_operation, with_operation};
use super::shard::{atlas_limits, atlas_shard, atlas_verify_options, limits_in, verify_options};
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::status::atlas_status;
use super::version::atlas_buffer;
use crate::base::error::Result;
use crate::compression::{
    CompressedShard, CompressionAlgorithm, CompressionConfig, CompressionFilter, CompressionLevel,
    CompressionManager, CompressionTarget, available,
};
use std::ffi::c_void;

/// Algorithm that compresses a payload.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_compression_algorithm {
    /// Stored without compression.
    ATLAS_COMPRESSION_NONE = 0,
    /// One raw DEFLATE stream (RFC 1951) per block.
    ATLAS_COMPRESSION_DEFLATE = 1,
    /// DEFLATE of each block, alone or after a split into byte planes, whichever is smaller.
    ATLAS_COMPRESSION_CONSERVATION_AWARE = 2,
    /// Zstandard, after byte planes if they help. Fails with UNSUPPORTED without
    /// ATLAS_FEATURE_ZSTD.
    ATLAS_COMPRESSION_ZSTD = 3,
    /// LZ4, after byte planes if they help. Fails with UNSUPPORTED without ATLAS_FEATURE_LZ4.
    ATLAS_COMPRESSION_LZ4 = 4,
    /// The algorithm that suits a shard and the target, found by samples of the shard. A compressed shard
    /// names the chosen algorithm, never AUTO.
    ATLAS_COMPRESSION_AUTO = 5,
}

/// Filter before the codec of ZSTD, LZ4 and AUTO. DEFLATE, which has no filter, and
/// CONSERVATION_AWARE, which chooses its own, accept only ATLAS_FILTER_AUTO. With AUTO as the
/// algorithm the other two filters restrict the choice to ZSTD and LZ4.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_compression_filter {
    /// Byte planes or none, chosen per block by a sample.
    ATLAS_FILTER_AUTO = 0,
    /// No filter.
    ATLAS_FILTER_NONE = 1,
    /// Byte planes unless they make a block larger.
    ATLAS_FILTER_PLANES = 2,
}

/// Criterion by which ATLAS_COMPRESSION_AUTO chooses an algorithm.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_compression_target {
    /// The same as SMALLEST, unless the result of LZ4 is at most a tenth larger.
    ATLAS_TARGET_BALANCED = 0,
    /// The shortest decompression time among the algorithms that save enough.
    ATLAS_TARGET_FASTEST_READ = 1,
    /// The smallest size. Of results that differ by less than a hundredth, the one that is faster to
    /// decompress.
    ATLAS_TARGET_SMALLEST = 2,
}

/// Fastest level.
pub const ATLAS_COMPRESSION_LEVEL_FAST: u32 = 1;
/// Default level.
pub const ATLAS_COMPRESSION_LEVEL_BALANCED: u32 = 6;
/// Level with the smallest results.
pub const ATLAS_COMPRESSION_LEVEL_BEST: u32 = 9;

/// Settings of a compression. Fill it with atlas_compression_config_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_compression_config {
    /// sizeof(atlas_compression_config).
    pub struct_size: u32,
    /// Algorithm, an atlas_compression_algorithm. Default CONSERVATION_AWARE.
    pub algorithm: u32,
    /// Level, 0 (stored) to 9. Default 6.
    pub level: u32,
    /// Regions of fewer bytes are stored. Default 1,024.
    pub min_size_threshold: u64,
    /// A payload is stored if its compressed size exceeds this fraction of its size. Default 0.9.
    pub max_compression_ratio: f64,
    /// Not 0: the residue of the bytes is checked before they are encoded. Default 1. Decompression
    /// always checks.
    pub preserve_conservation: u32,
    /// Not 0: the result is decompressed and compared before it is returned. Default 1.
    pub verify_integrity: u32,
    /// Bytes per independent block, 4 KiB to 1 MiB. Default 128 KiB.
    pub block_size: u64,
    /// Filter before the codec, an atlas_compression_filter. Default AUTO.
    pub filter: u32,
    /// Criterion of ATLAS_COMPRESSION_AUTO, an atlas_compression_target. Default BALANCED.
    pub target: u32,
    /// Not 0: codec_level replaces level. Fails with INVALID_ARGUMENT for ATLAS_COMPRESSION_AUTO.
    /// Default 0.
    pub has_codec_level: u32,
    /// Level of the codec itself: -7 to 19 for ZSTD, where 0 means 3; 1 to 9 for DEFLATE; 1 for
    /// LZ4. A compressed shard names the nearest level of 1 to 9, which correspond to 1, 2, 3, 5,
    /// 7, 9, 12, 15 and 19 of ZSTD.
    pub codec_level: i32,
}

sized_struct!(
    atlas_compression_config,
    atlas_compression_config {
        struct_size: own_size::<atlas_compression_config>(),
        algorithm: atlas_compression_algorithm::ATLAS_COMPRESSION_CONSERVATION_AWARE as u32,
        level: ATLAS_COMPRESSION_LEVEL_BALANCED,
        min_size_threshold: CompressionConfig::DEFAULT.min_size_threshold,
        max_compression_ratio: CompressionConfig::DEFAULT.max_compression_ratio,
        preserve_conservation: CompressionConfig::DEFAULT.preserve_conservation as u32,
        verify_integrity: CompressionConfig::DEFAULT.verify_integrity as u32,
        block_size: CompressionConfig::DEFAULT.block_size,
        filter: atlas_compression_filter::ATLAS_FILTER_AUTO as u32,
        target: atlas_compression_target::ATLAS_TARGET_BALANCED as u32,
        has_codec_level: 0,
        codec_level: 0,
    },
    [
        struct_size,
        algorithm,
        level,
        min_size_threshold,
        max_compression_ratio,
        preserve_conservation,
        verify_integrity,
        block_size,
        filter,
        target,
        has_codec_level,
        codec_level
    ]
);

/// Fills `config` with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_config_init(config: *mut atlas_compression_config) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(config) };
}

/// Converts the caller's configuration.
///
/// # Safety
///
/// `config` is NULL or a struct that meets the header's terms.
pub(super) unsafe fn config_in(config: *const atlas_compression_config) -> Result<CompressionConfig> {
    // SAFETY: the caller meets this function's requirements.
    let config = unsafe { read_struct(config) }?;
    let algorithm = c_enum!(config.algorithm, "compression algorithm", atlas_compression_algorithm {
        ATLAS_COMPRESSION_NONE => CompressionAlgorithm::None,
        ATLAS_COMPRESSION_DEFLATE => CompressionAlgorithm::Deflate,
        ATLAS_COMPRESSION_CONSERVATION_AWARE => CompressionAlgorithm::ConservationAware,
        ATLAS_COMPRESSION_ZSTD => CompressionAlgorithm::Zstd,
        ATLAS_COMPRESSION_LZ4 => CompressionAlgorithm::Lz4,
        ATLAS_COMPRESSION_AUTO => CompressionAlgorithm::Auto,
    })?;
    let filter = c_enum!(config.filter, "compression filter", atlas_compression_filter {
        ATLAS_FILTER_AUTO => CompressionFilter::Auto,
        ATLAS_FILTER_NONE => CompressionFilter::None,
        ATLAS_FILTER_PLANES => CompressionFilter::Planes,
    })?;
    let target = c_enum!(config.target, "compression target", atlas_compression_target {
        ATLAS_TARGET_BALANCED => CompressionTarget::Balanced,
        ATLAS_TARGET_FASTEST_READ => CompressionTarget::FastestRead,
        ATLAS_TARGET_SMALLEST => CompressionTarget::Smallest,
    })?;
    // 0 is a valid level of Zstandard, so that a separate field says if codec_level is used.
    let codec_level = (config.has_codec_level != 0).then_some(config.codec_level);
    let level = match (u8::try_from(config.level), codec_level) {
        (Ok(level), _) => level,
        // A codec level replaces `level`, so that an invalid `level` does not matter.
        (Err(_), Some(_)) => 0,
        (Err(_), None) => {
            let why = format!("level {} is outside 0..=9", config.level);
            return Err(crate::AtlasError::invalid_argument(why));
        }
    };
    // Ranges of the remaining values are checked by the core.
    Ok(CompressionConfig {
        algorithm,
        level: CompressionLevel::Custom(level),
        min_size_threshold: config.min_size_threshold,
        max_compression_ratio: config.max_compression_ratio,
        preserve_conservation: config.preserve_conservation != 0,
        verify_integrity: config.verify_integrity != 0,
        block_size: config.block_size,
        filter,
        target,
        codec_level,
    })
}

/// Shard with a compressed payload, or with a stored payload if compression would not make it smaller.
///
/// Its blocks have digests of their own, which detect accidental damage. Decompression verifies the
/// bytes against the root.
pub struct atlas_compressed_shard(CompressedShard);

/// Compresses a shard's payload. A payload that does not become smaller is stored, which is no
/// error.
///
/// The shard stays the caller's. A stored result shares its payload; either may be destroyed first. `config`
/// and `operation` may be NULL; progress is reported once per block (smaller blocks: per 128 KiB of them),
/// and with ATLAS_COMPRESSION_AUTO once when the algorithm is chosen. `*out` is owned by the caller:
/// atlas_compressed_shard_destroy(). Callable from any thread; the bytes are the same for every number of
/// threads. Fails with INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY, CANCELLED or
/// UNSUPPORTED (not built in), with CONSERVATION (preserve_conservation, and the sum of the bytes is not the
/// shard's: verify the shard), and with INTERNAL (verify_integrity) if a check of its own output finds a
/// defect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_compress(
    shard: *const atlas_shard,
    config: *const atlas_compression_config,
    operation: *const atlas_operation,
    out: *mut *mut atlas_compressed_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        available()?;
        // SAFETY: the header requires a live shard, a struct of its struct_size.
        let (shard, config) = unsafe { (handle(shard, "shard")?, config_in(config)?) };
        // SAFETY: the caller meets the header's requirements.
        let compressed = unsafe { with_operation(operation, |run| shard.0.compress_with(&config, run)) }?;
        out.fill(atlas_compressed_shard(compressed));
        Ok(())
    })
}

/// Restores the original shard exactly, verified as by atlas_shard_deserialize().
///
/// `verify` and `operation` may be NULL; progress is reported once per block (smaller blocks: per 128 KiB
/// of them) and once per tile. If several checks fail, FORMAT for a damaged stream or WITNESS is
/// reported, and not CONSERVATION. `*out` is owned by the caller: atlas_shard_destroy(). Callable from any thread. Fails with FORMAT,
/// WITNESS, CONSERVATION, INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY,
/// CANCELLED or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_decompress(
    compressed: *const atlas_compressed_shard,
    verify: *const atlas_verify_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        available()?;
        // SAFETY: the header requires a live handle, a struct of its struct_size.
        let (compressed, verify) = unsafe { (handle(compressed, "compressed")?, verify_options(verify)?) };
        // SAFETY: the caller meets the header's requirements.
        let shard = unsafe { with_operation(operation, |run| compressed.0.decompress(&verify, run)) }?;
        out.fill(atlas_shard(shard));
        Ok(())
    })
}

/// Reads `size` bytes of the payload from `offset` on, as atlas_shard_data() returns it.
///
/// Decompresses only the blocks that contain them, and checks each against its own digest and
/// residue. A stored block is checked once, at its first read after
/// atlas_compressed_shard_deserialize(), and not at all if atlas_shard_compress() just computed its
/// digest. To verify against a root, decompress the shard. On failure the contents of `buffer` are
/// unspecified. `buffer` is borrowed for the call and may be NULL if `size` is 0. Callable from any
/// thread. Fails with OUT_OF_RANGE, FORMAT, WITNESS, CONSERVATION, INVALID_ARGUMENT, OUT_OF_MEMORY
/// or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compressed_shard_read(
    compressed: *const atlas_compressed_shard,
    offset: u64,
    buffer: *mut c_void,
    size: usize,
) -> atlas_status {
    boundary(|| {
        available()?;
        // SAFETY: the header requires a live handle, `size` writable bytes.
        let (compressed, mut buffer) =
            unsafe { (handle(compressed, "compressed")?, bytes_out(buffer, size, "buffer")?) };
        compressed.0.read_parts(offset, size, |part| buffer.split_off_front(part.len()).copy_from(part))
    })
}

/// Properties of a compressed shard. Filled by atlas_compressed_shard_get_info().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_compressed_info {
    /// sizeof(atlas_compressed_info), set by the caller.
    pub struct_size: u32,
    /// Algorithm that was used, an atlas_compression_algorithm. NONE if stored.
    pub algorithm: u32,
    /// Level that was used. 0 if stored.
    pub level: u32,
    /// Sum of the payload's bytes mod 96, for R96 too.
    pub residue: u32,
    /// Size of the payload, as in atlas_shard_info; the number of bytes that can be read.
    pub original_size: u64,
    /// Number of bytes that represent the payload in the serialised form: its blocks and 12 bytes per block.
    /// A payload is stored in whole pages, up to 8,190 bytes more than a region that does not end at them.
    pub compressed_size: u64,
    /// Filters of its blocks by their numbers in docs/format.md: bit f is set if a block has filter
    /// f, and bit 0 if a block has none. 0 if there is no block.
    pub filters: u32,
    /// Always 0.
    pub reserved: u32,
}

sized_struct!(
    atlas_compressed_info,
    atlas_compressed_info {
        struct_size: own_size::<atlas_compressed_info>(),
        algorithm: 0,
        level: 0,
        residue: 0,
        original_size: 0,
        compressed_size: 0,
        filters: 0,
        reserved: 0,
    },
    [struct_size, algorithm, level, residue, original_size, compressed_size, filters, reserved]
);

/// Fills `info` with the properties of a compressed shard. Callable from any thread. Fails with
/// INVALID_ARGUMENT or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compressed_shard_get_info(
    compressed: *const atlas_compressed_shard,
    info: *mut atlas_compressed_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a struct of its struct_size.
        let out = unsafe { OutStruct::new(info, "info") }?;
        available()?;
        // SAFETY: the header requires a live handle.
        let info = unsafe { handle(compressed, "compressed") }?.0.info();
        out.fill(&atlas_compressed_info {
            algorithm: u32::from(info.algorithm.code()),
            level: u32::from(info.level),
            residue: u32::from(info.residue.value()),
            original_size: info.original_size,
            compressed_size: info.compressed_size,
            filters: info.filters,
            ..atlas_compressed_info::DEFAULT
        });
        Ok(())
    })
}

/// Writes the one encoding of a compressed shard (docs/format.md).
///
/// A reader with the default atlas_limits refuses a shard of more than 1 GiB with LIMIT, even if it
/// is smaller when compressed. `*out` is owned by the caller: atlas_buffer_free(). Callable from
/// any thread. Fails with INVALID_ARGUMENT, OUT_OF_MEMORY or UNSUPPORTED (not built in). Costs one copy and
/// one BLAKE3 of the encoded bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compressed_shard_serialize(
    compressed: *const atlas_compressed_shard,
    out: *mut atlas_buffer,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a writable struct.
        let out = unsafe { self::out(out, atlas_buffer::EMPTY, "out") }?;
        available()?;
        // SAFETY: the header requires a live handle.
        out.set(atlas_buffer::from_vec(unsafe { handle(compressed, "compressed") }?.0.serialize()?)?);
        Ok(())
    })
}

/// Reads the compressed shard that `size` bytes at `data` encode. Its form is checked now, its
/// blocks when they are read, its proof when it is decompressed.
///
/// `data` is borrowed for the call. `limits` may be NULL; max_payload_size limits the size after
/// decompression. `*out` is owned by the caller: atlas_compressed_shard_destroy(). Callable from
/// any thread. Costs one BLAKE3 of the bytes and one copy. Fails with FORMAT, UNSUPPORTED (a newer
/// version or algorithm, or not built in), LIMIT, INVALID_ARGUMENT or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compressed_shard_deserialize(
    data: *const c_void,
    size: usize,
    limits: *const atlas_limits,
    out: *mut *mut atlas_compressed_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        available()?;
        // SAFETY: the header requires `size` readable bytes, a struct of its struct_size.
        let (bytes, limits) = unsafe { (bytes_in(data, size, "data")?, limits_in(limits)?) };
        out.fill(atlas_compressed_shard(CompressedShard::deserialize(bytes, &limits)?));
        Ok(())
    })
}

/// Frees a compressed shard. NULL does nothing. No call may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compressed_shard_destroy(compressed: *mut atlas_compressed_shard) {
    // SAFETY: the header requires NULL or a handle that is not used again.
    unsafe { drop_handle(compressed) };
}

/// Compressor and decompressor of batches with one configuration and with statistics. Several
/// threads may use it at once.
pub struct atlas_compression_manager(CompressionManager);

/// Statistics of a manager. Failed calls do not count. Filled by
/// atlas_compression_manager_get_stats().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_compression_stats {
    /// sizeof(atlas_compression_stats), set by the caller.
    pub struct_size: u32,
    /// Number of shards passed to compression.
    pub compression_operations: u64,
    /// Number of compressed shards that were decompressed.
    pub decompression_operations: u64,
    /// Number of shards that became smaller.
    pub shards_compressed: u64,
    /// Number of shards that were stored.
    pub shards_stored: u64,
    /// Sum of original_size over the shards passed to compression.
    pub original_bytes: u64,
    /// Sum of compressed_size over the shards passed to compression.
    pub compressed_bytes: u64,
    /// original_bytes minus compressed_bytes, at least 0.
    pub saved_bytes: u64,
    /// compressed_bytes divided by original_bytes. 1.0 if there are none.
    pub average_ratio: f64,
}

sized_struct!(
    atlas_compression_stats,
    atlas_compression_stats {
        struct_size: own_size::<atlas_compression_stats>(),
        compression_operations: 0,
        decompression_operations: 0,
        shards_compressed: 0,
        shards_stored: 0,
        original_bytes: 0,
        compressed_bytes: 0,
        saved_bytes: 0,
        average_ratio: 0.0,
    },
    [
        struct_size,
        compression_operations,
        decompression_operations,
        shards_compressed,
        shards_stored,
        original_bytes,
        compressed_bytes,
        saved_bytes,
        average_ratio
    ]
);

/// Creates a manager that compresses with a copy of `config`. NULL means the defaults.
///
/// `*out` is owned by the caller: atlas_compression_manager_destroy(). Fails with INVALID_ARGUMENT,
/// OUT_OF_MEMORY or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_manager_create(
    config: *const atlas_compression_config,
    out: *mut *mut atlas_compression_manager,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        available()?;
        // SAFETY: the header requires a struct of its struct_size.
        let config = unsafe { config_in(config) }?;
        out.fill(atlas_compression_manager(CompressionManager::new(config)?));
        Ok(())
    })
}

/// Returns the objects of `count` handles.
///
/// # Safety
///
/// `handles` is NULL or holds `count` pointers, each NULL or live for `'a`.
unsafe fn all<'a, H: Send + Sync + 'a, T>(
    handles: *const *const H,
    count: usize,
    name: &str,
    inner: impl Fn(&'a H) -> &'a T,
) -> Result<Vec<&'a T>> {
    // SAFETY: the caller meets this function's requirements.
    let handles = unsafe { items_in(handles, count, name) }?;
    let mut result = crate::base::buffer::try_vec(count)?;
    for (index, one) in (0..).zip(handles) {
        // SAFETY: the caller meets this function's requirements.
        let one = unsafe { handle(*one, name) }.map_err(|error| error.at_index(index))?;
        result.push(inner(one));
    }
    Ok(result)
}

/// Compresses `count` shards in parallel. Either all shards are compressed, or the call fails without a
/// result.
///
/// `out` has room for `count` handles, in the order of the shards, each owned by the caller; on
/// failure every entry is NULL. `operation` may be NULL; progress is reported once per block or 128
/// KiB and counts shards as chunks. Several threads may call this function at once. Fails as
/// atlas_shard_compress() does, with the shard's index in atlas_error_info.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_manager_compress_batch(
    manager: *mut atlas_compression_manager,
    shards: *const *const atlas_shard,
    count: usize,
    operation: *const atlas_operation,
    out: *mut *mut atlas_compressed_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires room for `count` pointers.
        let out = unsafe { OutHandles::new(out, count) }?;
        available()?;
        // SAFETY: the header requires a live manager, `count` live shards.
        let (manager, shards) = unsafe {
            (
                handle(manager.cast_const(), "manager")?,
                all(shards, count, "shards", |shard: &atlas_shard| &shard.0)?,
            )
        };
        // SAFETY: the caller meets the header's requirements.
        let compressed = unsafe { with_operation(operation, |run| manager.0.compress_batch(&shards, run)) }?;
        out.fill(compressed.into_iter().map(atlas_compressed_shard))?;
        Ok(())
    })
}

/// Decompresses and verifies `count` compressed shards in parallel. Either all shards are decompressed, or
/// the call fails without a result.
///
/// `out` has room for `count` handles, in the order of the compressed shards, each owned by the
/// caller; on failure every entry is NULL. `verify` applies to all shards; `verify` and `operation` may be
/// NULL; progress is reported once per block (smaller blocks: per 128 KiB of them) and once per tile. Several
/// threads may call this function at once. Fails as atlas_shard_decompress() does, with the shard's index in atlas_error_info.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_manager_decompress_batch(
    manager: *mut atlas_compression_manager,
    compressed: *const *const atlas_compressed_shard,
    count: usize,
    verify: *const atlas_verify_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires room for `count` pointers.
        let out = unsafe { OutHandles::new(out, count) }?;
        available()?;
        // SAFETY: the header requires a live manager, `count` live handles, a struct.
        let (manager, compressed, verify) = unsafe {
            (
                handle(manager.cast_const(), "manager")?,
                all(compressed, count, "compressed", |one: &atlas_compressed_shard| &one.0)?,
                verify_options(verify)?,
            )
        };
        // SAFETY: the caller meets the header's requirements.
        let shards = unsafe {
            with_operation(operation, |run| manager.0.decompress_batch(&compressed, &verify, run))
        }?;
        out.fill(shards.into_iter().map(atlas_shard))?;
        Ok(())
    })
}

/// Fills `stats` with the statistics of a manager. Callable during batches. Fails with
/// INVALID_ARGUMENT or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_manager_get_stats(
    manager: *const atlas_compression_manager,
    stats: *mut atlas_compression_stats,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a struct of its struct_size.
        let out = unsafe { OutStruct::new(stats, "stats") }?;
        available()?;
        // SAFETY: the header requires a live manager.
        let stats = unsafe { handle(manager, "manager") }?.0.stats();
        out.fill(&atlas_compression_stats {
            compression_operations: stats.compression_operations,
            decompression_operations: stats.decompression_operations,
            shards_compressed: stats.shards_compressed,
            shards_stored: stats.shards_stored,
            original_bytes: stats.original_bytes,
            compressed_bytes: stats.compressed_bytes,
            saved_bytes: stats.saved_bytes,
            average_ratio: stats.average_ratio(),
            ..atlas_compression_stats::DEFAULT
        });
        Ok(())
    })
}

/// Frees a manager; its results stay valid. NULL does nothing. No call may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_manager_destroy(manager: *mut atlas_compression_manager) {
    // SAFETY: the header requires NULL or a manager that is not used again.
    unsafe { drop_handle(manager) };
}
