//! Compressed shards.

use super::args::{
    OutHandles, bytes_in, bytes_out, drop_handle, handle, into_handle, items_in, known, out, unknown,
};
use super::boundary::boundary;
use super::operation::{atlas_operation, with_operation};
use super::shard::{atlas_limits, atlas_shard, atlas_verify_options, limits_in, verify_options};
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::status::atlas_status;
use super::version::atlas_buffer;
use crate::base::error::Result;
use crate::compression::{
    CompressedShard, CompressionAlgorithm, CompressionConfig, CompressionLevel, CompressionManager, available,
};
use std::ffi::c_void;

/// How a payload is compressed.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_compression_algorithm {
    /// Stored as it is.
    ATLAS_COMPRESSION_NONE = 0,
    /// A raw DEFLATE stream (RFC 1951) a block.
    ATLAS_COMPRESSION_DEFLATE = 1,
    /// For each block the best of DEFLATE alone and of DEFLATE behind a split into byte planes.
    ATLAS_COMPRESSION_CONSERVATION_AWARE = 2,
}

/// The fastest level.
pub const ATLAS_COMPRESSION_LEVEL_FAST: u32 = 1;
/// The default level.
pub const ATLAS_COMPRESSION_LEVEL_BALANCED: u32 = 6;
/// The level with the smallest results.
pub const ATLAS_COMPRESSION_LEVEL_BEST: u32 = 9;

/// What a compression does. Fill it with atlas_compression_config_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_compression_config {
    /// sizeof(atlas_compression_config).
    pub struct_size: u32,
    /// An atlas_compression_algorithm; default CONSERVATION_AWARE.
    pub algorithm: u32,
    /// 0 (stored) to 9; default 6.
    pub level: u32,
    /// Regions of fewer bytes are stored; default 1,024.
    pub min_size_threshold: u64,
    /// What would take more than this part of its bytes is stored; default 0.9.
    pub max_compression_ratio: f64,
    /// Not 0: check the residue of what is about to be deflated; default 1. Decompression always
    /// checks.
    pub preserve_conservation: u32,
    /// Not 0: decompress and compare before it is handed out; default 1.
    pub verify_integrity: u32,
    /// Bytes of the independent blocks, 4 KiB to 1 MiB; default 128 KiB.
    pub block_size: u64,
}

sized_struct!(
    atlas_compression_config,
    atlas_compression_config {
        struct_size: own_size::<atlas_compression_config>(),
        algorithm: atlas_compression_algorithm::ATLAS_COMPRESSION_CONSERVATION_AWARE as u32,
        level: ATLAS_COMPRESSION_LEVEL_BALANCED,
        min_size_threshold: 1_024,
        max_compression_ratio: 0.9,
        preserve_conservation: 1,
        verify_integrity: 1,
        block_size: 128 * 1024,
    },
    [
        struct_size,
        algorithm,
        level,
        min_size_threshold,
        max_compression_ratio,
        preserve_conservation,
        verify_integrity,
        block_size
    ]
);

/// Fills `config` with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_config_init(config: *mut atlas_compression_config) {
    // SAFETY: as the header asks: NULL or a whole struct.
    unsafe { init_struct(config) };
}

/// # Safety
/// `config` is NULL or a struct as the header asks.
pub(super) unsafe fn config_in(config: *const atlas_compression_config) -> Result<CompressionConfig> {
    // SAFETY: as the caller promises.
    let config = unsafe { read_struct(config) }?;
    let algorithm = CompressionAlgorithm::from_code(config.algorithm);
    let level = u8::try_from(config.level).map_err(|_| {
        crate::AtlasError::invalid_argument(format!("level {} is outside 0..=9", config.level))
    })?;
    let algorithm = algorithm.ok_or_else(|| {
        let known = known!(
            atlas_compression_algorithm: ATLAS_COMPRESSION_NONE, ATLAS_COMPRESSION_DEFLATE,
            ATLAS_COMPRESSION_CONSERVATION_AWARE
        );
        unknown("compression algorithm", config.algorithm, known)
    })?;
    Ok(CompressionConfig {
        algorithm,
        level: CompressionLevel::Custom(level),
        min_size_threshold: config.min_size_threshold,
        max_compression_ratio: config.max_compression_ratio,
        preserve_conservation: config.preserve_conservation != 0,
        verify_integrity: config.verify_integrity != 0,
        block_size: config.block_size,
    })
}

/// A shard whose payload takes less room, or is stored where it would not.
///
/// Its blocks have digests of their own, against accidents; what its bytes prove is known when it is
/// decompressed.
pub struct atlas_compressed_shard(CompressedShard);

/// Compresses a shard's payload; what does not become smaller is stored, which is no error.
///
/// The shard stays the caller's; one that is stored shares its payload, so that destroying either
/// leaves the other. `config` and `operation` may be NULL; progress once a block or 128 KiB. `*out` is
/// owned by the caller: atlas_compressed_shard_destroy(). Any thread; the same bytes for every number
/// of threads. Fails with INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY,
/// CANCELLED or UNSUPPORTED (not built in); with CONSERVATION (preserve_conservation) or INTERNAL
/// (verify_integrity) where a check of its own output finds a defect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_compress(
    shard: *const atlas_shard,
    config: *const atlas_compression_config,
    operation: *const atlas_operation,
    out: *mut *mut atlas_compressed_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        available()?;
        // SAFETY: as the header asks: a live shard, a struct of its struct_size.
        let (shard, config) = unsafe { (handle(shard, "shard")?, config_in(config)?) };
        // SAFETY: as the header asks.
        let compressed = unsafe { with_operation(operation, |run| shard.0.compress_with(&config, run)) }?;
        out.set(into_handle(atlas_compressed_shard(compressed)));
        Ok(())
    })
}

/// The shard that went in, exactly, verified as by atlas_shard_deserialize().
///
/// `verify` and `operation` may be NULL; progress once a block or 128 KiB and once a tile. FORMAT for a
/// damaged stream and WITNESS come before CONSERVATION. `*out` is owned by the caller:
/// atlas_shard_destroy(). Any thread. Fails with FORMAT, WITNESS, CONSERVATION, INVALID_ARGUMENT, LIMIT,
/// STATE (pool from before a fork), OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_decompress(
    compressed: *const atlas_compressed_shard,
    verify: *const atlas_verify_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        available()?;
        // SAFETY: as the header asks: a live handle, a struct of its struct_size.
        let (compressed, verify) = unsafe { (handle(compressed, "compressed")?, verify_options(verify)?) };
        // SAFETY: as the header asks.
        let shard = unsafe { with_operation(operation, |run| compressed.0.decompress(&verify, run)) }?;
        out.set(into_handle(atlas_shard(shard)));
        Ok(())
    })
}

/// Reads `size` bytes of the payload, as atlas_shard_data() gives it, from `offset` on.
///
/// Only the blocks that they lie in are decompressed, each checked against its own digest and residue; one
/// that is stored as it is once, at its first read after atlas_compressed_shard_deserialize(), and not again
/// where atlas_shard_compress() just made its digest. For trust in a root decompress the shard. On failure
/// the contents of `buffer` are unspecified. `buffer` is borrowed for the call and may be NULL when `size`
/// is 0. Any thread. Fails with OUT_OF_RANGE, FORMAT, WITNESS, CONSERVATION, INVALID_ARGUMENT, OUT_OF_MEMORY
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
        // SAFETY: as the header asks: a live handle, `size` writable bytes.
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
    /// An atlas_compression_algorithm, the one in fact used: NONE where stored.
    pub algorithm: u32,
    /// The level in fact used: 0 where stored.
    pub level: u32,
    /// Of the shard's bytes, as in atlas_shard_info.
    pub residue: u32,
    /// Bytes of the payload, as in atlas_shard_info: what can be read.
    pub original_size: u64,
    /// Bytes that stand for the payload in the serialised form: its blocks and 12 bytes for each. A
    /// payload is stored in whole pages, up to 8,190 bytes more than a region that does not end at them.
    pub compressed_size: u64,
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
    },
    [struct_size, algorithm, level, residue, original_size, compressed_size]
);

/// Properties of a compressed shard. Any thread. Fails with INVALID_ARGUMENT or UNSUPPORTED (not built
/// in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compressed_shard_get_info(
    compressed: *const atlas_compressed_shard,
    info: *mut atlas_compressed_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a struct of its struct_size.
        let out = unsafe { OutStruct::new(info, "info") }?;
        available()?;
        // SAFETY: as the header asks: a live handle.
        let info = unsafe { handle(compressed, "compressed") }?.0.info();
        out.fill(&atlas_compressed_info {
            algorithm: u32::from(info.algorithm.code()),
            level: u32::from(info.level),
            residue: u32::from(info.residue.value()),
            original_size: info.original_size,
            compressed_size: info.compressed_size,
            ..atlas_compressed_info::DEFAULT
        });
        Ok(())
    })
}

/// The one encoding of a compressed shard (docs/format.md).
///
/// A reader with the default atlas_limits refuses a shard of more than 1 GiB with LIMIT, also one that is
/// smaller when compressed. `*out` is owned by the caller: atlas_buffer_free(). Any thread. Fails with
/// INVALID_ARGUMENT, OUT_OF_MEMORY or UNSUPPORTED (not built in). Costs one copy and one BLAKE3 of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compressed_shard_serialize(
    compressed: *const atlas_compressed_shard,
    out: *mut atlas_buffer,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a writable struct.
        let out = unsafe { self::out(out, atlas_buffer::EMPTY, "out") }?;
        available()?;
        // SAFETY: as the header asks: a live handle.
        out.set(atlas_buffer::from_vec(unsafe { handle(compressed, "compressed") }?.0.serialize()?));
        Ok(())
    })
}

/// The compressed shard that `size` bytes at `data` encode. Its form is checked; its blocks are when
/// they are read, its proof when it is decompressed.
///
/// `data` is borrowed for the call. `limits` may be NULL; max_payload_size is what decompression may
/// give. `*out` is owned by the caller: atlas_compressed_shard_destroy(). Any thread. Costs one BLAKE3
/// of the bytes and one copy. Fails with FORMAT, UNSUPPORTED (a newer version or algorithm, or not
/// built in), LIMIT, INVALID_ARGUMENT or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compressed_shard_deserialize(
    data: *const c_void,
    size: usize,
    limits: *const atlas_limits,
    out: *mut *mut atlas_compressed_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        available()?;
        // SAFETY: as the header asks: `size` readable bytes, a struct of its struct_size.
        let (bytes, limits) = unsafe { (bytes_in(data, size, "data")?, limits_in(limits)?) };
        out.set(into_handle(atlas_compressed_shard(CompressedShard::deserialize(bytes, &limits)?)));
        Ok(())
    })
}

/// Frees a compressed shard. NULL does nothing. No call may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compressed_shard_destroy(compressed: *mut atlas_compressed_shard) {
    // SAFETY: as the header asks: NULL or a handle that is not used again.
    unsafe { drop_handle(compressed) };
}

/// Compresses and decompresses batches with one configuration, and keeps count. It may be used from
/// several threads at once.
pub struct atlas_compression_manager(CompressionManager);

/// What a manager did; calls that failed do not count. Filled by
/// atlas_compression_manager_get_stats().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_compression_stats {
    /// sizeof(atlas_compression_stats), set by the caller.
    pub struct_size: u32,
    /// Shards given to compression.
    pub compression_operations: u64,
    /// Compressed shards given back as shards.
    pub decompression_operations: u64,
    /// Of those given to compression, how many became smaller.
    pub shards_compressed: u64,
    /// Of those given to compression, how many are stored.
    pub shards_stored: u64,
    /// The sum of their original_size.
    pub original_bytes: u64,
    /// The sum of their compressed_size.
    pub compressed_bytes: u64,
    /// original_bytes less compressed_bytes, 0 where that would be negative.
    pub saved_bytes: u64,
    /// compressed_bytes by original_bytes, 1.0 where there are none.
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

/// A manager that compresses with a copy of `config`; NULL for the defaults.
///
/// `*out` is owned by the caller: atlas_compression_manager_destroy(). Fails with INVALID_ARGUMENT or
/// UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_manager_create(
    config: *const atlas_compression_config,
    out: *mut *mut atlas_compression_manager,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        available()?;
        // SAFETY: as the header asks: a struct of its struct_size.
        let config = unsafe { config_in(config) }?;
        out.set(into_handle(atlas_compression_manager(CompressionManager::new(config)?)));
        Ok(())
    })
}

/// The things behind `count` handles.
///
/// # Safety
/// `handles` is NULL or holds `count` pointers, each NULL or live for `'a`.
unsafe fn all<'a, H: Send + Sync + 'a, T>(
    handles: *const *const H,
    count: usize,
    name: &str,
    inner: impl Fn(&'a H) -> &'a T,
) -> Result<Vec<&'a T>> {
    // SAFETY: as the caller promises.
    let handles = unsafe { items_in(handles, count, name) }?;
    let mut result = crate::base::buffer::try_vec(count)?;
    for (index, one) in (0..).zip(handles) {
        // SAFETY: as the caller promises.
        let one = unsafe { handle(*one, name) }.map_err(|error| error.at_index(index))?;
        result.push(inner(one));
    }
    Ok(result)
}

/// Compresses `count` shards in parallel: all of them, or none.
///
/// `out` has room for `count` handles, in the order of the shards, each owned by the caller; on failure
/// every entry is NULL. `operation` may be NULL; progress once a block or 128 KiB, shards as chunks. May
/// be called from several threads at once. Fails as atlas_shard_compress(), the shard's index in
/// atlas_error_info.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_manager_compress_batch(
    manager: *mut atlas_compression_manager,
    shards: *const *const atlas_shard,
    count: usize,
    operation: *const atlas_operation,
    out: *mut *mut atlas_compressed_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: room for `count` pointers.
        let out = unsafe { OutHandles::new(out, count) }?;
        available()?;
        // SAFETY: as the header asks: a live manager, `count` live shards.
        let (manager, shards) = unsafe {
            (
                handle(manager.cast_const(), "manager")?,
                all(shards, count, "shards", |shard: &atlas_shard| &shard.0)?,
            )
        };
        // SAFETY: as the header asks.
        let compressed = unsafe { with_operation(operation, |run| manager.0.compress_batch(&shards, run)) }?;
        out.fill(compressed.into_iter().map(atlas_compressed_shard));
        Ok(())
    })
}

/// Decompresses and verifies `count` compressed shards in parallel: all of them, or none.
///
/// `out` has room for `count` handles, in the order of the compressed shards, each owned by the caller;
/// on failure every entry is NULL. `verify` is for all of them; `verify` and `operation` may be NULL;
/// progress once a block or 128 KiB and once a tile. May be called from several threads at once. Fails
/// as atlas_shard_decompress(), the shard's index in atlas_error_info.
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
        // SAFETY: as the header asks: room for `count` pointers.
        let out = unsafe { OutHandles::new(out, count) }?;
        available()?;
        // SAFETY: as the header asks: a live manager, `count` live handles, a struct.
        let (manager, compressed, verify) = unsafe {
            (
                handle(manager.cast_const(), "manager")?,
                all(compressed, count, "compressed", |one: &atlas_compressed_shard| &one.0)?,
                verify_options(verify)?,
            )
        };
        // SAFETY: as the header asks.
        let shards = unsafe {
            with_operation(operation, |run| manager.0.decompress_batch(&compressed, &verify, run))
        }?;
        out.fill(shards.into_iter().map(atlas_shard));
        Ok(())
    })
}

/// What a manager did so far. May run while batches do. Fails with INVALID_ARGUMENT or UNSUPPORTED (not
/// built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_manager_get_stats(
    manager: *const atlas_compression_manager,
    stats: *mut atlas_compression_stats,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a struct of its struct_size.
        let out = unsafe { OutStruct::new(stats, "stats") }?;
        available()?;
        // SAFETY: as the header asks: a live manager.
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

/// Frees a manager; what it made stays. NULL does nothing. No call may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_compression_manager_destroy(manager: *mut atlas_compression_manager) {
    // SAFETY: as the header asks: NULL or a manager that is not used again.
    unsafe { drop_handle(manager) };
}
