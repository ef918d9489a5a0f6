//! Shards: regions of a domain that verify alone.
//!
//! A shard carries the bytes of a region together with their proof against the root. Its serialised
//! form can be sent or stored anywhere; a reader that knows the root needs nothing else to verify
//! it.
//!
//! ```c
//! static atlas_status send_region(const atlas_projection *projection, atlas_buffer *out) {
//!   atlas_shard *shard = NULL;
//!   atlas_region region = { .offset = 4096, .length = 1000 };
//!   atlas_status status = atlas_shard_extract(projection, &region, NULL, &shard);
//!   if (status == ATLAS_STATUS_OK) status = atlas_shard_serialize(shard, out);
//!   atlas_shard_destroy(shard);
//!   return status; // the receiver calls atlas_shard_deserialize() with expected_root
//! }
//! ```

use super::args::{
    OutHandles, bytes_in, bytes_out, c_enum, drop_handle, handle, items_in, optional_32, out, out_handle,
};
use super::boundary::boundary;
use super::operation::{atlas_operation, with_operation};
use super::projection::atlas_projection;
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::status::atlas_status;
use super::version::atlas_buffer;
use crate::base::buffer::try_vec;
use crate::base::error::Result;
use crate::base::units::to_u64;
use crate::exec::operation::Operation;
use crate::shard::{
    AtlasBoundaryRegion, AtlasShard, ExtractOptions, Limits, ParallelStrategy, VerifyOptions, region_list,
};
use std::ffi::c_void;

/// Region of a domain with its bytes and their proof against the root. It owns its bytes.
///
/// A handle is always consistent: its bytes were verified against the root that it names before the
/// handle was created.
pub struct atlas_shard(pub(super) AtlasShard);

/// Part of a domain: `length` bytes from `offset` on.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_region {
    /// Offset of the first byte.
    pub offset: u64,
    /// Number of bytes. 0 is allowed.
    pub length: u64,
}

impl From<atlas_region> for AtlasBoundaryRegion {
    fn from(region: atlas_region) -> Self {
        AtlasBoundaryRegion::new(region.offset, region.length)
    }
}

impl From<AtlasBoundaryRegion> for atlas_region {
    fn from(region: AtlasBoundaryRegion) -> Self {
        atlas_region { offset: region.offset, length: region.length }
    }
}

/// Passes regions of a domain to `call`, with the memory of the list counted. `None` stands for NULL and means the whole
/// domain.
///
/// # Safety
///
/// `regions` is NULL, or has `count` regions that stay unchanged during the call.
pub(super) unsafe fn with_regions<R>(
    regions: *const atlas_region,
    count: usize,
    operation: &mut Operation<'_>,
    call: impl FnOnce(Option<&[AtlasBoundaryRegion]>, &mut Operation<'_>) -> Result<R>,
) -> Result<R> {
    if regions.is_null() {
        return call(None, operation);
    }
    // SAFETY: the caller meets this function's requirements.
    let regions = unsafe { items_in(regions, count, "regions") }?;
    let listed = to_u64(size_of_val(regions));
    operation.reserve(listed)?;
    let mut list = try_vec(regions.len())?;
    list.extend(regions.iter().map(|region| AtlasBoundaryRegion::from(*region)));
    operation.beside(listed, |operation| call(Some(&list), operation))
}

/// Extracts one region of a projection: copies its bytes once and verifies the copy.
///
/// A region of length 0 (offset <= size) proves the root alone. A LINEAR shard discloses up to
/// 4,095 bytes on either side of its region when it is serialised; an R96 shard has all 96 classes
/// of the tiles that the region touches. A reader with the default atlas_limits refuses a shard of
/// more than 1 GiB. Callable from any thread. `operation` may be NULL; progress is reported as by
/// atlas_shard_extract_batch(). `*out` is owned by the caller: atlas_shard_destroy().
///
/// LINEAR: costs one BLAKE3 of the tiles that the region touches; a second small region of a tile costs one
/// BLAKE3 of the groups of 16 KiB that it touches. R96: transforms the tiles that the region touches, every
/// time. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, IO, WITNESS (the source changed since it was projected),
/// CONSERVATION (the same, found by hashing earlier edits), LIMIT, STATE, OUT_OF_MEMORY or CANCELLED, and on
/// a snapshot of a container with FORMAT (a damaged record) or INCOMPLETE (no base is attached).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_extract(
    projection: *const atlas_projection,
    region: *const atlas_region,
    operation: *const atlas_operation,
    out: *mut *mut atlas_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: the header requires a live projection, a whole struct.
        let (projection, region) = unsafe { (handle(projection, "projection")?, handle(region, "region")?) };
        let region = AtlasBoundaryRegion::from(*region);
        // SAFETY: the caller meets the header's requirements.
        let shard = unsafe { with_operation(operation, |run| projection.0.extract_shard(&region, run)) }?;
        out.fill(atlas_shard(shard));
        Ok(())
    })
}

/// Distribution of a batch over threads. The shards are the same, bit for bit, with every strategy. If the
/// source has changed, the strategy may decide which region fails.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_parallel_strategy {
    /// All tasks run on the calling thread. For hosts that have no other thread to spare or run batches in
    /// parallel themselves.
    ATLAS_PARALLEL_SEQUENTIAL = 0,
    /// A task has about one tile. The tasks run on the calling thread and on the operation's pool, or on the
    /// library's pool if the operation has no pool. Use this strategy unless there is a reason for another
    /// one. A batch too small for a second thread runs on the calling thread, because waking another thread
    /// would take longer.
    ATLAS_PARALLEL_DEFAULT = 1,
    /// Like DEFAULT, but all tasks run on the operation's pool, even those of a small batch; the operation
    /// must have a pool. For hosts whose calling thread must not do such work: it waits, reports progress and
    /// assembles the shards. While callbacks of other calls hold all threads of the pool, it waits for these.
    ATLAS_PARALLEL_POOL = 2,
    /// Like DEFAULT, but a task has chunk_size regions. For many small regions whose neighbours lie in the
    /// same tile. A tile that two tasks touch is hashed twice. A region larger than a thread's share of the
    /// batch is split into its tiles.
    ATLAS_PARALLEL_CHUNKED = 3,
    /// Like DEFAULT, but the largest tasks run first, on at most max_threads threads. This suits regions of
    /// very different sizes.
    ATLAS_PARALLEL_WORK_STEALING = 4,
}

/// Options of a batch. Fill it with atlas_extract_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_extract_options {
    /// sizeof(atlas_extract_options).
    pub struct_size: u32,
    /// Distribution over threads, an atlas_parallel_strategy. Default DEFAULT.
    pub strategy: u32,
    /// Maximum number of tasks in flight. 0, the default, means all threads of the pool.
    pub max_threads: u32,
    /// Regions per task with CHUNKED, greater than 0. Default 16.
    pub chunk_size: u32,
}

sized_struct!(
    atlas_extract_options,
    atlas_extract_options {
        struct_size: own_size::<atlas_extract_options>(),
        strategy: atlas_parallel_strategy::ATLAS_PARALLEL_DEFAULT as u32,
        max_threads: 0,
        chunk_size: 16,
    },
    [struct_size, strategy, max_threads, chunk_size]
);

/// Fills `options` with the defaults: strategy DEFAULT, on as many threads as the pool has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_extract_options_init(options: *mut atlas_extract_options) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// Converts the caller's options.
///
/// # Safety
///
/// `options` is NULL or a struct that meets the header's terms.
unsafe fn extract_options(options: *const atlas_extract_options) -> Result<ExtractOptions> {
    // SAFETY: the caller meets this function's requirements.
    let options = unsafe { read_struct(options) }?;
    let strategy = c_enum!(options.strategy, "parallel strategy", atlas_parallel_strategy {
        ATLAS_PARALLEL_SEQUENTIAL => ParallelStrategy::Sequential,
        ATLAS_PARALLEL_DEFAULT => ParallelStrategy::Default,
        ATLAS_PARALLEL_POOL => ParallelStrategy::Pool,
        ATLAS_PARALLEL_CHUNKED => ParallelStrategy::Chunked(options.chunk_size as usize),
        ATLAS_PARALLEL_WORK_STEALING => ParallelStrategy::WorkStealing,
    })?;
    Ok(ExtractOptions::new().with_strategy(strategy).with_max_threads(options.max_threads as usize))
}

/// Extracts many regions of a projection. Either all regions are extracted, or the call fails without a
/// result.
///
/// `out` has room for `region_count` handles, in the order of the regions, each owned by the
/// caller; on failure every entry is NULL. Regions in the same tile share one reading and hashing of the
/// tile: with LINEAR up to 256 regions whose pages in the tile add up to at most its size, with R96 up to 4
/// regions. For more regions the tile is read again. With CHUNKED only the regions of one task share.
/// `options` and `operation` may be NULL. Progress is reported at least once per MiB of payload, with R96 at
/// least once per 4 regions of a tile; its count of chunks is the sum, over the regions, of the tiles that
/// each of them touches. The call reports the error of the first region that fails, with its index in
/// atlas_error_info; an error while hashing earlier edits has no index. Callable from any thread. Fails as
/// atlas_shard_extract() does, and with INVALID_ARGUMENT (POOL without a pool, a chunk_size of 0).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_extract_batch(
    projection: *const atlas_projection,
    regions: *const atlas_region,
    region_count: usize,
    options: *const atlas_extract_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires room for `region_count` pointers.
        let out = unsafe { OutHandles::new(out, region_count) }?;
        // SAFETY: the header requires a live projection, `region_count` regions.
        let (projection, regions) =
            unsafe { (handle(projection, "projection")?, items_in(regions, region_count, "regions")?) };
        // SAFETY: the caller meets the header's requirements.
        let options = unsafe { extract_options(options) }?;
        let extract = |run: &mut Operation<'_>| {
            let mut copies = region_list(region_count, run)?;
            copies.extend(regions.iter().map(|region| AtlasBoundaryRegion::from(*region)));
            projection.0.extract_shards(&copies, &options, run)
        };
        // SAFETY: the caller meets the header's requirements.
        let shards = unsafe { with_operation(operation, extract) }?;
        out.fill(shards.into_iter().map(atlas_shard))?;
        Ok(())
    })
}

/// Extracts classes of an R96 projection in one pass over a region, one shard per class.
///
/// `out` has room for `class_count` handles, in the order of `classes`, each owned by the caller; on failure
/// every entry is NULL. The region is rounded out to whole tiles; NULL means the whole domain. `operation`
/// may be NULL; progress is reported once per tile. Callable from any thread. Costs one transform of the
/// region, for any number of classes. Fails as atlas_shard_extract() does, and with INVALID_ARGUMENT (a class
/// given twice or above 95, a LINEAR projection).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_extract_classes(
    projection: *const atlas_projection,
    region: *const atlas_region,
    classes: *const u8,
    class_count: usize,
    operation: *const atlas_operation,
    out: *mut *mut atlas_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires room for `class_count` pointers.
        let out = unsafe { OutHandles::new(out, class_count) }?;
        // SAFETY: the header requires a live projection, `class_count` classes.
        let (projection, classes) =
            unsafe { (handle(projection, "projection")?, items_in(classes, class_count, "classes")?) };
        // SAFETY: the header requires NULL or a whole struct.
        let region = unsafe { region.as_ref() }.map(|region| AtlasBoundaryRegion::from(*region));
        // SAFETY: the caller meets the header's requirements.
        let shards = unsafe {
            with_operation(operation, |run| projection.0.extract_classes(region.as_ref(), classes, run))
        }?;
        out.fill(shards.into_iter().map(atlas_shard))?;
        Ok(())
    })
}

/// Properties of a shard. Filled by atlas_shard_get_info().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_shard_info {
    /// sizeof(atlas_shard_info), set by the caller.
    pub struct_size: u32,
    /// Type of the projection, an atlas_projection_type.
    pub r#type: u32,
    /// Number of bytes of the whole domain.
    pub domain_size: u64,
    /// Region of the domain that the shard covers. R96: whole tiles.
    pub region: atlas_region,
    /// Size of the payload. LINEAR: region.length. R96: bytes of the packed coefficients.
    pub payload_size: u64,
    /// LINEAR: sum of the region's bytes mod 96. R96: 0.
    pub residue: u32,
    /// K, the number of classes that rebuild the domain. 0 for LINEAR.
    pub r96_data_classes: u32,
    /// 1 if the shard's witnesses are keyed, else 0.
    pub keyed: u32,
    /// R96: bit r % 8 of byte r / 8 is set if the shard carries class r. LINEAR: all 0.
    pub class_mask: [u8; 12],
    /// Root of the projection state that the shard belongs to.
    pub root: [u8; 32],
}

sized_struct!(
    atlas_shard_info,
    atlas_shard_info {
        struct_size: own_size::<atlas_shard_info>(),
        r#type: 0,
        domain_size: 0,
        region: atlas_region { offset: 0, length: 0 },
        payload_size: 0,
        residue: 0,
        r96_data_classes: 0,
        keyed: 0,
        class_mask: [0; 12],
        root: [0; 32],
    },
    [
        struct_size,
        r#type,
        domain_size,
        region,
        payload_size,
        residue,
        r96_data_classes,
        keyed,
        class_mask,
        root
    ]
);

/// Fills `info` with the properties of a shard. Callable from any thread. Fails with
/// INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_get_info(
    shard: *const atlas_shard,
    info: *mut atlas_shard_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a struct of its struct_size, a live shard.
        let (out, shard) = unsafe { (OutStruct::new(info, "info")?, handle(shard, "shard")?) };
        let info = shard.0.info();
        out.fill(&atlas_shard_info {
            r#type: u32::from(info.projection_type.code()),
            domain_size: info.domain_size,
            region: info.region.into(),
            payload_size: info.payload_size,
            residue: u32::from(info.residue.value()),
            r96_data_classes: u32::from(info.data_classes),
            class_mask: info.classes.to_mask(),
            keyed: u32::from(info.keyed),
            root: info.root,
            ..atlas_shard_info::DEFAULT
        });
        Ok(())
    })
}

/// Returns the shard's bytes, borrowed until the shard is destroyed.
///
/// LINEAR: the region's bytes. R96: the tiles in order, in each tile the classes ascending, in each
/// class its blocks, each of 128 coefficients of 14 bits. `*data` is never NULL, even if `*size` is
/// 0. Callable from any thread. Fails with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_data(
    shard: *const atlas_shard,
    data: *mut *const u8,
    size: *mut usize,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires places for a pointer and a size.
        let places = unsafe { (out(data, std::ptr::null(), "data"), out(size, 0, "size")) };
        let (data, size) = (places.0?, places.1?);
        // SAFETY: the header requires a live shard.
        let bytes = unsafe { handle(shard, "shard") }?.0.data();
        data.set(bytes.as_ptr());
        size.set(bytes.len());
        Ok(())
    })
}

/// Reads `size` bytes of the domain at `offset`, which must lie inside the shard's region.
///
/// R96: decodes the blocks that contain them. `buffer` is borrowed for the call and may be NULL if
/// `size` is 0. Callable from any thread. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, and for R96
/// with INCOMPLETE (fewer than K classes), FORMAT or WITNESS (the classes do not decode to bytes, which only
/// the maker of the root can cause) or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_read(
    shard: *const atlas_shard,
    offset: u64,
    buffer: *mut c_void,
    size: usize,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live shard, `size` writable bytes.
        let (shard, mut buffer) = unsafe { (handle(shard, "shard")?, bytes_out(buffer, size, "buffer")?) };
        shard.0.read_parts(offset, size, |part| buffer.split_off_front(part.len()).copy_from(part))
    })
}

/// Trust settings of a verifier. Fill it with atlas_verify_options_init().
///
/// With a key, the shard must be keyed with it. A keyed shard fails with ATLAS_STATUS_WITNESS if no
/// key is given. Without expected_root only self-consistency is checked: anyone can make a shard
/// that is consistent with a root of their own.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_verify_options {
    /// sizeof(atlas_verify_options).
    pub struct_size: u32,
    /// Root that the data must have, 32 bytes, or NULL.
    pub expected_root: *const u8,
    /// Key of 32 bytes, or NULL. Copied, and wiped after use.
    pub key: *const u8,
}

sized_struct!(
    atlas_verify_options,
    atlas_verify_options {
        struct_size: own_size::<atlas_verify_options>(),
        expected_root: std::ptr::null(),
        key: std::ptr::null(),
    },
    [struct_size, expected_root, key]
);

/// Fills `options` with the defaults: no root, no key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_verify_options_init(options: *mut atlas_verify_options) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// Converts the caller's options.
///
/// # Safety
///
/// `options` is NULL or a struct that meets the header's terms, its pointers NULL or 32 readable
/// bytes.
pub(super) unsafe fn verify_options(options: *const atlas_verify_options) -> Result<VerifyOptions> {
    // SAFETY: the caller meets this function's requirements.
    let (root, key) = unsafe {
        let options = read_struct(options)?;
        (optional_32(options.expected_root), optional_32(options.key))
    };
    let mut result = VerifyOptions::new();
    if let Some(root) = root {
        result = result.with_root(*root);
    }
    if let Some(key) = key {
        result = result.with_key(key);
    }
    Ok(result)
}

/// Hashes a shard's bytes again and checks their proof against the trust settings.
///
/// Callable from any thread. `options` and `operation` may be NULL; progress is reported once per
/// tile. Fails with INVALID_ARGUMENT, WITNESS or, if all witnesses match, CONSERVATION, LIMIT, STATE (pool
/// from before a fork), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_verify(
    shard: *const atlas_shard,
    options: *const atlas_verify_options,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live shard, and structs of their struct_size.
        let (shard, options) = unsafe { (handle(shard, "shard")?, verify_options(options)?) };
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| shard.0.verify(&options, run)) }
    })
}

/// Limits of a reader of serialised data, checked before any allocation. Fill it with
/// atlas_limits_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_limits {
    /// sizeof(atlas_limits).
    pub struct_size: u32,
    /// Maximum bytes of payload. Default 1 GiB.
    pub max_payload_size: u64,
    /// Maximum bytes of the proof of the payload, and of the memory for its tiles, 168 bytes each.
    /// Default 64 MiB.
    pub max_proof_size: u64,
}

sized_struct!(
    atlas_limits,
    atlas_limits {
        struct_size: own_size::<atlas_limits>(),
        max_payload_size: Limits::DEFAULT.max_payload_size,
        max_proof_size: Limits::DEFAULT.max_proof_size,
    },
    [struct_size, max_payload_size, max_proof_size]
);

/// Fills `limits` with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_limits_init(limits: *mut atlas_limits) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(limits) };
}

/// Converts the caller's limits.
///
/// # Safety
///
/// `limits` is NULL or a struct that meets the header's terms.
pub(super) unsafe fn limits_in(limits: *const atlas_limits) -> Result<Limits> {
    // SAFETY: the caller meets this function's requirements.
    let limits = unsafe { read_struct(limits) }?;
    Ok(Limits { max_payload_size: limits.max_payload_size, max_proof_size: limits.max_proof_size })
}

/// Writes the one encoding of a shard (docs/format.md): the same bytes on every machine.
///
/// A reader with the default atlas_limits refuses a payload of more than 1 GiB with LIMIT: split a
/// larger region into several shards, or raise the reader's max_payload_size. `*out` is owned by
/// the caller: atlas_buffer_free(). Callable from any thread. Fails with INVALID_ARGUMENT or
/// OUT_OF_MEMORY. Costs one copy and one BLAKE3 of the encoded bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_serialize(
    shard: *const atlas_shard,
    out: *mut atlas_buffer,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a writable struct.
        let out = unsafe { self::out(out, atlas_buffer::EMPTY, "out") }?;
        // SAFETY: the header requires a live shard.
        out.set(atlas_buffer::from_vec(unsafe { handle(shard, "shard") }?.0.serialize()?)?);
        Ok(())
    })
}

/// Reads the shard that `size` bytes at `data` encode, and verifies it before it creates a handle.
///
/// `data` is borrowed for the call. `limits`, `verify` and `operation` may be NULL; progress is
/// reported once per MiB of the encoding, then once per tile. `*out` is owned by the caller:
/// atlas_shard_destroy(). Callable from any thread. Costs two BLAKE3 of the bytes. Fails with
/// FORMAT, UNSUPPORTED (a newer version), LIMIT, WITNESS, CONSERVATION, INVALID_ARGUMENT, STATE,
/// OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_deserialize(
    data: *const c_void,
    size: usize,
    limits: *const atlas_limits,
    verify: *const atlas_verify_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: the header requires `size` readable bytes, and structs of their struct_size.
        let (bytes, limits, verify) =
            unsafe { (bytes_in(data, size, "data")?, limits_in(limits)?, verify_options(verify)?) };
        // SAFETY: the caller meets the header's requirements.
        let shard = unsafe {
            with_operation(operation, |run| AtlasShard::deserialize(bytes, &limits, &verify, run))
        }?;
        out.fill(atlas_shard(shard));
        Ok(())
    })
}

/// Frees a shard. NULL does nothing. No call may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_destroy(shard: *mut atlas_shard) {
    // SAFETY: the header requires NULL or a shard that is not used again.
    unsafe { drop_handle(shard) };
}
