//! Shards.

use super::args::{
    OutHandles, bytes_in, bytes_out, drop_handle, handle, into_handle, items_in, known, optional_32, out,
    unknown,
};
use super::boundary::boundary;
use super::operation::{atlas_operation, with_operation};
use super::projection::atlas_projection;
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::status::atlas_status;
use super::version::atlas_buffer;
use crate::base::buffer::try_vec;
use crate::base::error::Result;
use crate::shard::{
    AtlasBoundaryRegion, AtlasShard, ExtractOptions, Limits, ParallelStrategy, VerifyOptions,
};
use std::ffi::c_void;

/// A region of a domain with its bytes and their proof against the root. It owns its bytes.
///
/// A handle is always internally consistent: its bytes were verified against the root that it names
/// before there was a handle.
pub struct atlas_shard(pub(super) AtlasShard);

/// A part of a domain: `length` bytes from `offset` on.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_region {
    /// Of the first byte.
    pub offset: u64,
    /// In bytes; 0 is a region too.
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

/// Regions of a domain. `None` for NULL, which is all of it.
///
/// # Safety
/// `regions` is NULL, or has `count` regions that nobody changes meanwhile.
pub(super) unsafe fn regions_in(
    regions: *const atlas_region,
    count: usize,
) -> Result<Option<Vec<AtlasBoundaryRegion>>> {
    if regions.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let regions = unsafe { items_in(regions, count, "regions") }?;
    let mut list = try_vec(regions.len())?;
    list.extend(regions.iter().map(|region| AtlasBoundaryRegion::from(*region)));
    Ok(Some(list))
}

/// Cuts one region out of a projection: copies its bytes once and verifies the copy.
///
/// A region of length 0 (offset <= size) proves the root alone. A LINEAR shard discloses up to 4,095
/// bytes on either side of its region when it is serialised; an R96 shard has all 96 classes of the
/// tiles that the region touches. A shard of more than 1 GiB is refused by a reader with the default
/// atlas_limits. Any thread. `operation` may be NULL; progress as
/// atlas_shard_extract_batch(). `*out` is owned by the caller: atlas_shard_destroy(). LINEAR: costs one
/// BLAKE3 of the tiles that the region touches; a second small region of a tile costs that of the
/// groups of 16 KiB that it touches. R96: transforms the tiles that the region touches, every time.
/// Fails with INVALID_ARGUMENT, OUT_OF_RANGE, IO, WITNESS (the source changed since it was projected),
/// LIMIT, STATE, OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_extract(
    projection: *const atlas_projection,
    region: *const atlas_region,
    operation: *const atlas_operation,
    out: *mut *mut atlas_shard,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        // SAFETY: as the header asks: a live projection, a whole struct.
        let (projection, region) = unsafe { (handle(projection, "projection")?, handle(region, "region")?) };
        let region = AtlasBoundaryRegion::from(*region);
        // SAFETY: as the header asks.
        let shard = unsafe { with_operation(operation, |run| projection.0.extract_shard(&region, run)) }?;
        out.set(into_handle(atlas_shard(shard)));
        Ok(())
    })
}

/// How a batch is spread over threads. The shards are the same, bit for bit.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_parallel_strategy {
    /// On the calling thread: where the host has no thread to spare, or runs batches in parallel itself.
    ATLAS_PARALLEL_SEQUENTIAL = 0,
    /// About a tile a task, on the calling thread and the operation's pool, else the library's: what to use
    /// without a reason for another one. A batch too small for a second thread is done on the calling one,
    /// which takes less time than to wake another.
    ATLAS_PARALLEL_DEFAULT = 1,
    /// As DEFAULT, on the operation's pool, which must be given, however small the batch, and nowhere else:
    /// where the calling thread must do no such work. It waits, reports progress and puts the shards
    /// together.
    ATLAS_PARALLEL_POOL = 2,
    /// As DEFAULT, with chunk_size regions a task: for many small regions whose neighbours lie in the same
    /// tile. A tile that two tasks touch is hashed twice. A region larger than a thread's share of the
    /// batch is cut into its tiles.
    ATLAS_PARALLEL_CHUNKED = 3,
    /// As DEFAULT, the most work first, with up to max_threads at work: for regions of very different
    /// sizes.
    ATLAS_PARALLEL_WORK_STEALING = 4,
}

/// Options of a batch. Fill it with atlas_extract_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_extract_options {
    /// sizeof(atlas_extract_options).
    pub struct_size: u32,
    /// An atlas_parallel_strategy; default DEFAULT.
    pub strategy: u32,
    /// At most so many tasks at work; 0, the default: all threads of the pool.
    pub max_threads: u32,
    /// CHUNKED: regions a task, greater than 0; default 16.
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

/// Fills `options` with the defaults: DEFAULT on all threads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_extract_options_init(options: *mut atlas_extract_options) {
    // SAFETY: as the header asks: NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// # Safety
/// NULL or a struct as the header asks.
unsafe fn extract_options(options: *const atlas_extract_options) -> Result<ExtractOptions> {
    // SAFETY: as the caller promises.
    let options = unsafe { read_struct(options) }?;
    const SEQUENTIAL: u32 = atlas_parallel_strategy::ATLAS_PARALLEL_SEQUENTIAL as u32;
    const DEFAULT: u32 = atlas_parallel_strategy::ATLAS_PARALLEL_DEFAULT as u32;
    const POOL: u32 = atlas_parallel_strategy::ATLAS_PARALLEL_POOL as u32;
    const CHUNKED: u32 = atlas_parallel_strategy::ATLAS_PARALLEL_CHUNKED as u32;
    const WORK_STEALING: u32 = atlas_parallel_strategy::ATLAS_PARALLEL_WORK_STEALING as u32;
    let strategy = match options.strategy {
        SEQUENTIAL => ParallelStrategy::Sequential,
        DEFAULT => ParallelStrategy::Default,
        POOL => ParallelStrategy::Pool,
        CHUNKED => ParallelStrategy::Chunked(options.chunk_size as usize),
        WORK_STEALING => ParallelStrategy::WorkStealing,
        other => {
            return Err(unknown(
                "parallel strategy",
                other,
                known!(
                    atlas_parallel_strategy: ATLAS_PARALLEL_SEQUENTIAL, ATLAS_PARALLEL_DEFAULT,
                    ATLAS_PARALLEL_POOL, ATLAS_PARALLEL_CHUNKED, ATLAS_PARALLEL_WORK_STEALING
                ),
            ));
        }
    };
    Ok(ExtractOptions::new().with_strategy(strategy).with_max_threads(options.max_threads as usize))
}

/// Cuts many regions out of a projection: all of them, or none.
///
/// `out` has room for `region_count` handles, in the order of the regions, each owned by the caller;
/// on failure every entry is NULL. A tile is read and hashed once for each MiB and each 256 shards cut
/// out of it, however many regions touch it (and once a task with CHUNKED). `options` and `operation`
/// may be NULL; progress once for at most a MiB of payload, in whose count a region has a part in each
/// tile that it touches. The error of the first region that fails is reported, its index in
/// atlas_error_info; that of hashing what was edited before has none. Any thread. Fails as
/// atlas_shard_extract(), and with INVALID_ARGUMENT (POOL without a pool, a chunk_size of 0).
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
        // SAFETY: as the header asks: room for `region_count` pointers.
        let out = unsafe { OutHandles::new(out, region_count) }?;
        // SAFETY: as the header asks: a live projection, `region_count` regions.
        let (projection, regions) =
            unsafe { (handle(projection, "projection")?, items_in(regions, region_count, "regions")?) };
        // SAFETY: as the header asks.
        let options = unsafe { extract_options(options) }?;
        let mut copies = crate::base::buffer::try_vec(region_count)?;
        copies.extend(regions.iter().map(|region| AtlasBoundaryRegion::from(*region)));
        // SAFETY: as the header asks.
        let shards =
            unsafe { with_operation(operation, |run| projection.0.extract_shards(&copies, &options, run)) }?;
        out.fill(shards.into_iter().map(atlas_shard));
        Ok(())
    })
}

/// One pass over a region of an R96 projection, one shard a class.
///
/// `out` has room for `class_count` handles, in the order of `classes`, each owned by the caller; on
/// failure every entry is NULL. The region is rounded out to whole tiles; NULL: the whole domain.
/// `operation` may be NULL; progress once a tile. Any thread. Costs one transform of the region,
/// whatever the number of classes. Fails with INVALID_ARGUMENT (a class twice or above 95, a LINEAR
/// projection), and as atlas_shard_extract().
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
        // SAFETY: as the header asks: room for `class_count` pointers.
        let out = unsafe { OutHandles::new(out, class_count) }?;
        // SAFETY: as the header asks: a live projection, `class_count` classes.
        let (projection, classes) =
            unsafe { (handle(projection, "projection")?, items_in(classes, class_count, "classes")?) };
        // SAFETY: as the header asks: NULL or a whole struct.
        let region = unsafe { region.as_ref() }.map(|region| AtlasBoundaryRegion::from(*region));
        // SAFETY: as the header asks.
        let shards = unsafe {
            with_operation(operation, |run| projection.0.extract_classes(region.as_ref(), classes, run))
        }?;
        out.fill(shards.into_iter().map(atlas_shard));
        Ok(())
    })
}

/// Properties of a shard. Filled by atlas_shard_get_info().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_shard_info {
    /// sizeof(atlas_shard_info), set by the caller.
    pub struct_size: u32,
    /// An atlas_projection_type.
    pub r#type: u32,
    /// Bytes of the whole domain.
    pub domain_size: u64,
    /// What it covers of the domain; R96: whole tiles.
    pub region: atlas_region,
    /// LINEAR: region.length. R96: bytes of the packed coefficients.
    pub payload_size: u64,
    /// LINEAR: the sum of the region's bytes mod 96. R96: 0.
    pub residue: u32,
    /// K; 0 for LINEAR.
    pub r96_data_classes: u32,
    /// 1 where its witnesses are keyed.
    pub keyed: u32,
    /// R96: bit r % 8 of byte r / 8 is set where it carries class r. LINEAR: all 0.
    pub class_mask: [u8; 12],
    /// The projection state that it belongs to.
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

/// Properties of a shard. Any thread. Fails with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_get_info(
    shard: *const atlas_shard,
    info: *mut atlas_shard_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a struct of its struct_size, a live shard.
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

/// The shard's bytes, borrowed until it is destroyed.
///
/// LINEAR: the region's bytes. R96: tile by tile, in it class by class (ascending), in it block by
/// block, 128 coefficients in 14 bits each.
/// `*data` is not NULL, also where `*size` is 0. Any thread. Fails with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_data(
    shard: *const atlas_shard,
    data: *mut *const u8,
    size: *mut usize,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: places for a pointer and a size.
        let places = unsafe { (out(data, std::ptr::null(), "data"), out(size, 0, "size")) };
        let (data, size) = (places.0?, places.1?);
        // SAFETY: as the header asks: a live shard.
        let bytes = unsafe { handle(shard, "shard") }?.0.data();
        data.set(bytes.as_ptr());
        size.set(bytes.len());
        Ok(())
    })
}

/// Reads `size` of the domain's bytes at `offset`, which lie inside the shard's region.
///
/// R96: decodes the blocks that they lie in. `buffer` is borrowed for the call and may be NULL when
/// `size` is 0. Any thread. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, and for R96 with INCOMPLETE
/// (fewer than K classes), FORMAT or WITNESS (the classes are no spectrum of bytes, which only who
/// made the root can bring about) or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_read(
    shard: *const atlas_shard,
    offset: u64,
    buffer: *mut c_void,
    size: usize,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a live shard, `size` writable bytes.
        let (shard, mut buffer) = unsafe { (handle(shard, "shard")?, bytes_out(buffer, size, "buffer")?) };
        shard.0.read_parts(offset, size, |part| buffer.split_off_front(part.len()).copy_from(part))
    })
}

/// What a verifier trusts. Fill it with atlas_verify_options_init().
///
/// With a key the shard must be keyed and match; a keyed shard without a key is
/// ATLAS_STATUS_WITNESS. Without expected_root only self-consistency is shown: anyone can make a
/// shard that is consistent with a root of their own.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_verify_options {
    /// sizeof(atlas_verify_options).
    pub struct_size: u32,
    /// 32 bytes, or NULL.
    pub expected_root: *const u8,
    /// 32 bytes, or NULL. Copied, and wiped after use.
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
    // SAFETY: as the header asks: NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// # Safety
/// `options` is NULL or a struct as the header asks, its pointers NULL or 32 readable bytes.
pub(super) unsafe fn verify_options(options: *const atlas_verify_options) -> Result<VerifyOptions> {
    // SAFETY: as the caller promises.
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

/// Hashes a shard's bytes again and checks their proof against what `options` trusts.
///
/// Any thread. `options` and `operation` may be NULL; progress once a tile. Fails with
/// INVALID_ARGUMENT, WITNESS, then CONSERVATION, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or
/// CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_verify(
    shard: *const atlas_shard,
    options: *const atlas_verify_options,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a live shard, and structs of their struct_size.
        let (shard, options) = unsafe { (handle(shard, "shard")?, verify_options(options)?) };
        // SAFETY: as the header asks.
        unsafe { with_operation(operation, |run| shard.0.verify(&options, run)) }
    })
}

/// What a reader of serialised data accepts, checked before anything is allocated for it. Fill it
/// with atlas_limits_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_limits {
    /// sizeof(atlas_limits).
    pub struct_size: u32,
    /// Bytes of payload; default 1 GiB.
    pub max_payload_size: u64,
    /// Bytes of everything that proves the payload, and of the memory that its tiles take, some 200
    /// each; default 64 MiB.
    pub max_proof_size: u64,
}

sized_struct!(
    atlas_limits,
    atlas_limits {
        struct_size: own_size::<atlas_limits>(),
        max_payload_size: 1 << 30,
        max_proof_size: 64 << 20,
    },
    [struct_size, max_payload_size, max_proof_size]
);

/// Fills `limits` with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_limits_init(limits: *mut atlas_limits) {
    // SAFETY: as the header asks: NULL or a whole struct.
    unsafe { init_struct(limits) };
}

/// # Safety
/// `limits` is NULL or a struct as the header asks.
pub(super) unsafe fn limits_in(limits: *const atlas_limits) -> Result<Limits> {
    // SAFETY: as the caller promises.
    let limits = unsafe { read_struct(limits) }?;
    Ok(Limits { max_payload_size: limits.max_payload_size, max_proof_size: limits.max_proof_size })
}

/// The one encoding of a shard (docs/format.md): the same bytes on every machine.
///
/// A reader with the default atlas_limits refuses a payload of more than 1 GiB with LIMIT: cut a larger
/// region into several shards, or raise the reader's max_payload_size. `*out` is owned by the caller:
/// atlas_buffer_free(). Any thread. Fails with INVALID_ARGUMENT or OUT_OF_MEMORY. Costs one copy and one
/// BLAKE3 of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_serialize(
    shard: *const atlas_shard,
    out: *mut atlas_buffer,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a writable struct.
        let out = unsafe { self::out(out, atlas_buffer::EMPTY, "out") }?;
        // SAFETY: as the header asks: a live shard.
        out.set(atlas_buffer::from_vec(unsafe { handle(shard, "shard") }?.0.serialize()?));
        Ok(())
    })
}

/// The shard that `size` bytes at `data` encode, verified before there is a handle.
///
/// `data` is borrowed for the call. `limits`, `verify` and `operation` may be NULL; progress once a MiB
/// of the encoding, then once a tile. `*out` is owned by the caller: atlas_shard_destroy(). Any thread.
/// Costs two BLAKE3 of the bytes. Fails with FORMAT, UNSUPPORTED (a newer version), LIMIT, WITNESS,
/// CONSERVATION, INVALID_ARGUMENT, STATE, OUT_OF_MEMORY or CANCELLED.
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
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        // SAFETY: as the header asks: `size` readable bytes, and structs of their struct_size.
        let (bytes, limits, verify) =
            unsafe { (bytes_in(data, size, "data")?, limits_in(limits)?, verify_options(verify)?) };
        // SAFETY: as the header asks.
        let shard = unsafe {
            with_operation(operation, |run| AtlasShard::deserialize(bytes, &limits, &verify, run))
        }?;
        out.set(into_handle(atlas_shard(shard)));
        Ok(())
    })
}

/// Frees a shard. NULL does nothing. No call may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_shard_destroy(shard: *mut atlas_shard) {
    // SAFETY: as the header asks: NULL or a shard that is not used again.
    unsafe { drop_handle(shard) };
}
