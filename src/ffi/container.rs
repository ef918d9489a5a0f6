//! Containers: projections that survive the process.
//!
//! A container is one file with the generations of a projection. A commit is durable on return and
//! never changes an older generation. The payload lies in the file, or stays in a source of the
//! caller's, the base; such a container is an outline.
//!
//! ```c
//! static atlas_status save(const char *path, const atlas_source *source) {
//!   atlas_container *container = NULL;
//!   uint64_t generation = 0;
//!   atlas_status status = atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL,
//!                                                &container);
//!   if (status == ATLAS_STATUS_OK) // a later program opens the file and takes a snapshot
//!     status = atlas_container_import(container, source, NULL, 0, NULL, NULL, &generation);
//!   atlas_container_destroy(container);
//!   return status;
//! }
//! ```

use super::args::{
    bytes_out, c_enum, drop_handle, handle, item_is_null, items_in, optional_out, out, out_handle, path,
};
use super::boundary::boundary;
use super::compression::atlas_compression_config;
use super::container_options::{commit_options, create_options, open_options};
use super::damage::{atlas_damage_fn, report};
use super::operation::{atlas_operation, with_operation};
use super::projection::{
    atlas_conservation_policy, atlas_projection, atlas_projection_options, projection_options,
    projection_type,
};
use super::shard::{atlas_region, atlas_verify_options, verify_options, with_regions};
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, sized_struct};
use super::source::atlas_source;
use super::status::atlas_status;
use crate::base::buffer::try_vec;
use crate::base::error::AtlasError;
use crate::container::{CACHE_SIZE, Container, ContainerMode};
use crate::exec::operation::Operation;
use crate::projection::ConservationPolicy;
use std::ffi::{c_char, c_void};

/// One file with the generations of one projection. A committed generation survives crashes of the
/// process and of the machine.
///
/// The payload lies in the file, or stays in a source of the caller's, the base; such a container is an
/// outline of it. One writer and any number of readers may use the file, in any processes. A generation never
/// changes. After fork() a child may only destroy the handle; other calls fail with ATLAS_STATUS_STATE.
/// Snapshots can still read there.
pub struct atlas_container(pub(super) Container);

/// Access of a handle.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_container_mode {
    /// Reading. Any number of other readers and one writer may use the file at the same time.
    ATLAS_CONTAINER_READ = 0,
    /// Reading and writing. Only one handle at a time may write.
    ATLAS_CONTAINER_WRITE = 1,
}

/// Options of a new container. Fill it with atlas_container_create_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_container_create_options {
    /// sizeof(atlas_container_create_options).
    pub struct_size: u32,
    /// Base-2 logarithm of the block size, 12 to 16; a batch is a multiple of the block size. 0 means the
    /// block size that the file system reports, at least the page size and at most 64 KiB.
    pub block_log2: u32,
    /// Not 0: the chaining values of the groups of 16 KiB are stored, 0.2 % of the domain, so that
    /// verifying a byte reads at most one group. LINEAR only; fails with
    /// ATLAS_STATUS_INVALID_ARGUMENT for R96.
    pub keep_chains: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Id of 16 bytes, which makes the file reproducible. NULL means random. Copied.
    pub id: *const u8,
    /// Source whose bytes are not stored, even if they are read through another source of the same
    /// file (device and inode). NULL means none. Kept alive.
    pub base: *const atlas_source,
    /// Compression of runs of 4 KiB and more that this handle stores. The file does not remember
    /// the setting. NULL means that the runs are stored without compression. min_size_threshold and
    /// max_compression_ratio are ignored. Copied.
    pub compression: *const atlas_compression_config,
    /// Bytes of memory for the loaded part of the tree. Default 64 MiB.
    pub cache_size: u64,
}

sized_struct!(
    atlas_container_create_options,
    atlas_container_create_options {
        struct_size: own_size::<atlas_container_create_options>(),
        block_log2: 0,
        keep_chains: 0,
        reserved: 0,
        id: std::ptr::null(),
        base: std::ptr::null(),
        compression: std::ptr::null(),
        cache_size: CACHE_SIZE,
    },
    [struct_size, block_log2, keep_chains, reserved, id, base, compression, cache_size]
);

/// Fills `options` with the defaults: the file system's block size, no chaining values, a random id, no base,
/// no compression, a cache of 64 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_create_options_init(options: *mut atlas_container_create_options) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// Options of a handle. Fill it with atlas_container_open_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_container_open_options {
    /// sizeof(atlas_container_open_options).
    pub struct_size: u32,
    /// Not 0: opens the newest complete generation if a newer generation is damaged (lost in
    /// atlas_container_info). With ATLAS_CONTAINER_WRITE the newer generations are cut off, so copy or repair
    /// the file first.
    pub recover: u32,
    /// Base, as in atlas_container_set_base(). NULL means none. Kept alive.
    pub base: *const atlas_source,
    /// Expected history of the newest generation or of one of its ancestors, 32 bytes. NULL allows
    /// every history. The history of the oldest generation of a compacted container proves nothing
    /// alone: opening fails with WITNESS unless expected_root or a key is given too. Copied.
    pub expected_history: *const u8,
    /// The same as in atlas_container_create_options.
    pub compression: *const atlas_compression_config,
    /// The same as in atlas_container_create_options.
    pub cache_size: u64,
    /// Maximum size of a generation. A larger generation fails with ATLAS_STATUS_LIMIT. 0 means no limit.
    pub max_domain_size: u64,
}

sized_struct!(
    atlas_container_open_options,
    atlas_container_open_options {
        struct_size: own_size::<atlas_container_open_options>(),
        recover: 0,
        base: std::ptr::null(),
        expected_history: std::ptr::null(),
        compression: std::ptr::null(),
        cache_size: CACHE_SIZE,
        max_domain_size: 0,
    },
    [struct_size, recover, base, expected_history, compression, cache_size, max_domain_size]
);

/// Fills `options` with the defaults: no recovery, no base, any history, no compression, a cache of 64 MiB, a
/// domain of any size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_open_options_init(options: *mut atlas_container_open_options) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// Options of a commit: the expected generation, the time and the note. Fill it with atlas_commit_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_commit_options {
    /// sizeof(atlas_commit_options).
    pub struct_size: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Required number of the newest generation. Another number fails with ATLAS_STATUS_CONFLICT. 0
    /// allows every number.
    pub expected: u64,
    /// Time of the commit, in nanoseconds since 1970. Readers do not interpret the time. 0 means no
    /// time.
    pub time: i64,
    /// Note of note_size bytes, or NULL. Copied.
    pub note: *const c_void,
    /// Number of bytes at note, at most 1,024.
    pub note_size: usize,
}

sized_struct!(
    atlas_commit_options,
    atlas_commit_options {
        struct_size: own_size::<atlas_commit_options>(),
        reserved: 0,
        expected: 0,
        time: 0,
        note: std::ptr::null(),
        note_size: 0,
    },
    [struct_size, reserved, expected, time, note, note_size]
);

/// Fills `options` with the defaults: no expected generation, no time, no note.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_commit_options_init(options: *mut atlas_commit_options) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// Properties of a container. Filled by atlas_container_get_info().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_container_info {
    /// sizeof(atlas_container_info), set by the caller.
    pub struct_size: u32,
    /// Type of the projection, an atlas_projection_type.
    pub r#type: u32,
    /// K, the number of classes that rebuild the domain. 0 for LINEAR.
    pub r96_data_classes: u32,
    /// 1 if digests are keyed, else 0.
    pub keyed: u32,
    /// Requirement on the sum of all bytes, an atlas_conservation_policy.
    pub conservation: u32,
    /// 1 if this handle may write, else 0.
    pub writable: u32,
    /// 1 if chaining values are stored, else 0.
    pub keeps_chains: u32,
    /// Block size in bytes. Every commit extends the file by a multiple of it.
    pub block_size: u32,
    /// Number of the newest generation. 0 means none.
    pub newest: u64,
    /// Number of the oldest kept generation. 0 means none.
    pub oldest: u64,
    /// Number of kept generations.
    pub generation_count: u64,
    /// Newest generation known to have been durable that recovery did not find. 0 means none.
    pub lost: u64,
    /// Size of the file up to the end of the newest generation.
    pub file_size: u64,
    /// Size of the base's address space in the newest generation. 0 means none.
    pub base_size: u64,
    /// Id of the file. Compaction keeps it.
    pub id: [u8; 16],
}

sized_struct!(
    atlas_container_info,
    atlas_container_info {
        struct_size: own_size::<atlas_container_info>(),
        r#type: 0,
        r96_data_classes: 0,
        keyed: 0,
        conservation: 0,
        writable: 0,
        keeps_chains: 0,
        block_size: 0,
        newest: 0,
        oldest: 0,
        generation_count: 0,
        lost: 0,
        file_size: 0,
        base_size: 0,
        id: [0; 16],
    },
    [
        struct_size,
        r#type,
        r96_data_classes,
        keyed,
        conservation,
        writable,
        keeps_chains,
        block_size,
        newest,
        oldest,
        generation_count,
        lost,
        file_size,
        base_size,
        id
    ]
);

/// Properties of a generation. Filled by atlas_container_get_generation().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_generation_info {
    /// sizeof(atlas_generation_info), set by the caller.
    pub struct_size: u32,
    /// Sum of all bytes mod 96. It is the file's claim until the whole tree is loaded.
    pub residue: u32,
    /// Number of the generation.
    pub generation: u64,
    /// Number of the previous kept generation. 0 means none.
    pub previous: u64,
    /// Time of the commit, in nanoseconds since 1970, as the committer set it. 0 means no time.
    pub time: i64,
    /// Number of bytes of the domain.
    pub domain_size: u64,
    /// Number of tiles, each of at most 1 MiB.
    pub tile_count: u64,
    /// Number of bytes of the note.
    pub note_size: u64,
    /// Root of the projection.
    pub root: [u8; 32],
    /// Digest that commits to this generation and to all generations before it. It survives compaction.
    pub history: [u8; 32],
}

sized_struct!(
    atlas_generation_info,
    atlas_generation_info {
        struct_size: own_size::<atlas_generation_info>(),
        residue: 0,
        generation: 0,
        previous: 0,
        time: 0,
        domain_size: 0,
        tile_count: 0,
        note_size: 0,
        root: [0; 32],
        history: [0; 32],
    },
    [struct_size, residue, generation, previous, time, domain_size, tile_count, note_size, root, history]
);

/// Creates a new container without a generation, durable on return. The handle can write.
///
/// `type` is an atlas_projection_type; `options`, `create` and `operation` may be NULL. `*out` is owned by
/// the caller: atlas_container_destroy(). Fails with IO (with EEXIST if a file of that name exists),
/// INVALID_ARGUMENT, UNSUPPORTED (the file system has no locks; compression not built in), STATE (pool from
/// before a fork) or OUT_OF_MEMORY, and then leaves no file. The creation reports no progress and is not
/// limited. An import that fails leaves the container without a generation: open it for writing and import
/// again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_create(
    path: *const c_char,
    r#type: u32,
    options: *const atlas_projection_options,
    create: *const atlas_container_create_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_container,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        let kind = projection_type(r#type)?;
        // SAFETY: the header requires a C string, structs of their struct_size, live handles.
        let (path, options, create) =
            unsafe { (self::path(path, "path")?, projection_options(options)?, create_options(create)?) };
        // SAFETY: the caller meets the header's requirements.
        let container = unsafe {
            with_operation(operation, |run| Container::create(path, kind, &options, &create, run))
        }?;
        out.fill(atlas_container(container));
        Ok(())
    })
}

/// Opens a container. Reads only a few records, independent of the size of the file.
///
/// `mode` is an atlas_container_mode. `verify` (may be NULL) has the key, and the expected_root of
/// the newest generation; only the history covers time and note. `options` and `operation` may be
/// NULL. `*out` is owned by the caller: atlas_container_destroy(). Fails with FORMAT (no
/// container), WITNESS (another key or root; durable data is missing), STATE (another writer:
/// os_error EAGAIN; pool from before a fork), UNSUPPORTED (newer version; no working lock), LIMIT,
/// IO, INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_open(
    path: *const c_char,
    mode: u32,
    verify: *const atlas_verify_options,
    options: *const atlas_container_open_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_container,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        let mode = c_enum!(mode, "container mode", atlas_container_mode {
            ATLAS_CONTAINER_READ => ContainerMode::Read,
            ATLAS_CONTAINER_WRITE => ContainerMode::Write,
        })?;
        // SAFETY: the header requires a C string, structs of their struct_size, live handles.
        let (path, verify, options) =
            unsafe { (self::path(path, "path")?, verify_options(verify)?, open_options(options)?) };
        // SAFETY: the caller meets the header's requirements.
        let container =
            unsafe { with_operation(operation, |run| Container::open(path, mode, &verify, &options, run)) }?;
        out.fill(atlas_container(container));
        Ok(())
    })
}

/// Opens a container that any source holds, for reading: memory, a callback, a file.
///
/// The handle keeps the source alive. Otherwise like atlas_container_open(). Fails with FORMAT,
/// WITNESS, UNSUPPORTED, LIMIT, IO, INVALID_ARGUMENT, STATE (pool from before a fork),
/// OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_open_source(
    source: *const atlas_source,
    verify: *const atlas_verify_options,
    options: *const atlas_container_open_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_container,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: the header requires a live source, structs of their struct_size, live handles.
        let (source, verify, options) =
            unsafe { (handle(source, "source")?, verify_options(verify)?, open_options(options)?) };
        // SAFETY: the caller meets the header's requirements.
        let container = unsafe {
            with_operation(operation, |run| Container::open_source(&source.0, &verify, &options, run))
        }?;
        out.fill(atlas_container(container));
        Ok(())
    })
}

/// Closes a handle and releases the writer's lock. NULL does nothing. No call may be using it.
///
/// Snapshots stay valid and can still read. In a forked child nothing is unlocked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_destroy(container: *mut atlas_container) {
    // SAFETY: the header requires NULL or a handle that is not used again.
    unsafe { drop_handle(container) };
}

/// Fills `info` up to its struct_size with the properties of a container. Fails with INVALID_ARGUMENT or
/// STATE (in a forked child).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_get_info(
    container: *const atlas_container,
    info: *mut atlas_container_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live container, and a struct of its struct_size.
        let (out, container) = unsafe { (OutStruct::new(info, "info")?, handle(container, "container")?) };
        let found = container.0.info()?;
        let conservation = match found.conservation {
            ConservationPolicy::Track => atlas_conservation_policy::ATLAS_CONSERVATION_TRACK,
            ConservationPolicy::Strict => atlas_conservation_policy::ATLAS_CONSERVATION_STRICT,
        };
        out.fill(&atlas_container_info {
            r#type: u32::from(found.projection_type.code()),
            r96_data_classes: u32::from(found.data_classes),
            keyed: u32::from(found.keyed),
            conservation: conservation as u32,
            writable: u32::from(found.writable),
            keeps_chains: u32::from(found.keeps_chains),
            // A block has at most 64 KiB.
            block_size: u32::try_from(found.block_size).unwrap_or(u32::MAX),
            newest: found.newest,
            oldest: found.oldest,
            generation_count: found.generation_count,
            lost: found.lost,
            file_size: found.file_size,
            base_size: found.base_size,
            id: found.id,
            ..atlas_container_info::DEFAULT
        });
        Ok(())
    })
}

/// Fills `info` with the properties of a generation. `generation` 0 means the newest.
///
/// Reads fewer records than the logarithm of the distance from the newest generation. Fails with OUT_OF_RANGE
/// (the generation is not kept), WITNESS (a record on the way is damaged), FORMAT, IO, INVALID_ARGUMENT or
/// STATE (in a forked child).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_get_generation(
    container: *const atlas_container,
    generation: u64,
    info: *mut atlas_generation_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live container, and a struct of its struct_size.
        let (out, container) = unsafe { (OutStruct::new(info, "info")?, handle(container, "container")?) };
        let found = container.0.generation(generation)?;
        out.fill(&atlas_generation_info {
            residue: u32::from(found.residue.value()),
            generation: found.generation,
            previous: found.previous,
            time: found.time,
            domain_size: found.domain_size,
            tile_count: found.tile_count,
            note_size: found.note_size,
            root: found.root,
            history: found.history,
            ..atlas_generation_info::DEFAULT
        });
        Ok(())
    })
}

/// Copies the note of a generation, as much as fits. `generation` 0 means the newest. On entry `*size` is the
/// capacity of `buffer`; on return it is the size of the note.
///
/// `buffer` may be NULL if `*size` is 0. Fails with OUT_OF_RANGE, WITNESS, FORMAT, IO, INVALID_ARGUMENT or
/// STATE (in a forked child).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_get_note(
    container: *const atlas_container,
    generation: u64,
    buffer: *mut c_void,
    size: *mut usize,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a number that is the capacity.
        let capacity = unsafe { size.as_ref() }.copied().unwrap_or(0);
        // SAFETY: the header requires a place for a number, a live container, `*size` writable bytes.
        let (size, container, mut buffer) = unsafe {
            (
                self::out(size, 0, "size")?,
                handle(container, "container")?,
                bytes_out(buffer, capacity, "buffer")?,
            )
        };
        let note = container.0.note(generation)?;
        let fits = note.len().min(capacity);
        buffer.split_off_front(fits).copy_from(&note[..fits]);
        size.set(note.len());
        Ok(())
    })
}

/// Creates a projection of a generation, in O(1). `generation` 0 means the newest, or the empty domain if
/// there is no generation. Its tree is loaded on demand.
///
/// With `verify_reads` not 0, atlas_projection_read() returns only bytes that were checked against
/// their witness. The snapshot keeps the base that is attached now. A read uses at most 16 MiB of
/// memory. `operation` may be NULL. `*out` is owned by the caller: atlas_projection_destroy(); it
/// may outlive the container. Fails with OUT_OF_RANGE (the generation is not kept), WITNESS, FORMAT,
/// UNSUPPORTED, CONSERVATION (STRICT, and the generation's sum is not 0 mod 96), LIMIT, STATE, IO,
/// INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_snapshot(
    container: *const atlas_container,
    generation: u64,
    verify_reads: u32,
    operation: *const atlas_operation,
    out: *mut *mut atlas_projection,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: the header requires a live container.
        let container = unsafe { handle(container, "container") }?;
        // SAFETY: the caller meets the header's requirements.
        let snapshot = unsafe {
            with_operation(operation, |run| container.0.snapshot(generation, verify_reads != 0, run))
        }?;
        out.fill(atlas_projection(snapshot));
        Ok(())
    })
}

/// Stores the parts of a projection that are not stored yet and makes it the newest generation,
/// durable on return.
///
/// The projection may be edited during the call. `options` and `operation` may be NULL. `*generation` is set
/// to the number of the new generation; `generation` may be NULL. The projection keeps the memory of its
/// edits: continue with a new snapshot to free it. Fails with INVALID_ARGUMENT (another type, K, key or
/// policy), CONFLICT (`expected` is not the newest generation), CONSERVATION (STRICT, or a source changed),
/// WITNESS (a source changed), STATE (the handle was opened for reading or by another process, or an earlier
/// flush failed), UNSUPPORTED (features of a newer version), LIMIT, IO, OUT_OF_MEMORY or CANCELLED, for a
/// snapshot of another container with FORMAT (a damaged record) or INCOMPLETE (no base is attached), and then
/// nothing was committed. After a failed flush the outcome is unknown, and all calls but destroy and getters
/// fail with STATE until the container is opened again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_commit(
    container: *mut atlas_container,
    projection: *const atlas_projection,
    options: *const atlas_commit_options,
    operation: *const atlas_operation,
    generation: *mut u64,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a number.
        let out = unsafe { optional_out(generation, 0) };
        // SAFETY: the header requires live handles, and a struct of its struct_size.
        let (container, projection, options) = unsafe {
            (
                handle(container.cast_const(), "container")?,
                handle(projection, "projection")?,
                commit_options(options)?,
            )
        };
        // SAFETY: the caller meets the header's requirements.
        let number =
            unsafe { with_operation(operation, |run| container.0.commit(&projection.0, &options, run)) }?;
        out.set(number);
        Ok(())
    })
}

/// Projects a source and makes it the newest generation, in one pass and in memory that does not
/// grow with the domain's size.
///
/// The bytes of the base, or of another source of the same file, are not stored; only their digests are. A
/// tile equal to the newest generation's tile of the same index is reused.
///
/// `regions` NULL with `region_count` 0 means the whole source. Otherwise the call reads only the tiles of 1
/// MiB that the regions touch, and, if the source has another size than the newest generation, the tail after
/// the end of the shorter one. The other tiles are those of the newest generation, without a check that the
/// source still has their bytes. Regions may overlap and come in any order; `regions` not NULL with
/// `region_count` 0 means none. `options` and `operation` may be NULL; progress is reported once per tile
/// read. `*generation` is set to the number of the new generation; `generation` may be NULL. Fails with
/// INVALID_ARGUMENT (regions after an edit that changed the length, which leaves other tiles than an import
/// makes), OUT_OF_RANGE (a region outside the source), CONFLICT (`expected` is not the newest generation),
/// CONSERVATION (STRICT), WITNESS (a source changed, or a record of the newest generation is damaged), FORMAT
/// (such a record is malformed), IO, STATE, UNSUPPORTED, LIMIT, OUT_OF_MEMORY or CANCELLED, each as
/// atlas_container_commit() does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_import(
    container: *mut atlas_container,
    source: *const atlas_source,
    regions: *const atlas_region,
    region_count: usize,
    options: *const atlas_commit_options,
    operation: *const atlas_operation,
    generation: *mut u64,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a number.
        let out = unsafe { optional_out(generation, 0) };
        // SAFETY: the header requires live handles, and a struct of its struct_size.
        let (container, source, options) = unsafe {
            (
                handle(container.cast_const(), "container")?,
                handle(source, "source")?,
                commit_options(options)?,
            )
        };
        if regions.is_null() && region_count > 0 {
            return Err(AtlasError::invalid_argument("regions is NULL, and region_count is not 0"));
        }
        let import = |regions: Option<&[_]>, run: &mut Operation<'_>| match regions {
            None => container.0.import(&source.0, &options, run),
            Some(regions) => container.0.import_regions(&source.0, regions, &options, run),
        };
        // SAFETY: the header requires `region_count` regions, and an operation or NULL.
        let number =
            unsafe { with_operation(operation, |run| with_regions(regions, region_count, run, import)) }?;
        out.set(number);
        Ok(())
    })
}

/// Attaches another base for later calls: the source in which bytes of an outline stay. NULL detaches it.
///
/// Nothing is read. Snapshots that were taken before keep their base. Reading bytes that a shorter base lacks fails with INCOMPLETE; the additional
/// bytes of a longer base are ignored. The container keeps the source alive. Fails with STATE or
/// INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_set_base(
    container: *mut atlas_container,
    base: *const atlas_source,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live container, and NULL or a live source.
        let (container, base) =
            unsafe { (handle(container.cast_const(), "container")?, base.as_ref().map(|base| &base.0)) };
        container.0.set_base(base)
    })
}

/// Looks for newer generations, in the file that has the path now. `*newest` is set to the number of the
/// newest generation; `newest` may be NULL.
///
/// `operation` may be NULL; no progress is reported. Fails with STATE (the file lacks the generation that was
/// the newest for this handle: open the container again; pool from before a fork), WITNESS, FORMAT, LIMIT, IO,
/// INVALID_ARGUMENT or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_refresh(
    container: *mut atlas_container,
    operation: *const atlas_operation,
    newest: *mut u64,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a number.
        let out = unsafe { optional_out(newest, 0) };
        // SAFETY: the header requires a live container.
        let container = unsafe { handle(container.cast_const(), "container") }?;
        // SAFETY: the caller meets the header's requirements.
        let found = unsafe { with_operation(operation, |run| container.0.refresh(run)) }?;
        out.set(found);
        Ok(())
    })
}

/// Writes the generations from `keep_from` on, and only the bytes that they need, to a new file
/// `path`, while commits continue. With `path` NULL the new file replaces the container itself.
///
/// A `keep_from` before the oldest generation, also 0, keeps all generations; the number of the newest
/// generation keeps only this generation. When the container itself is replaced, readers keep the old file
/// and other changing calls wait. Snapshots that were taken before stay valid and keep the old file on the
/// disk; take new ones, because a commit of an old one stores its bytes again, except those of the base.
/// The call keeps lists of the compressed runs, some 320 bytes for each. `operation` may be NULL. Fails with
/// OUT_OF_RANGE (`keep_from` is after the newest generation), IO (with EEXIST if a file of that name exists),
/// UNSUPPORTED (several hard links, or attributes of the file that cannot be kept), WITNESS, FORMAT,
/// CONSERVATION (STRICT, and the sum of a kept generation is not 0 mod 96), STATE (also if the path of the
/// container leads to another file now, or the file with `.compact` after its name is open for writing), LIMIT
/// (max_domain_size or memory_limit), INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_compact(
    container: *mut atlas_container,
    path: *const c_char,
    keep_from: u64,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live container.
        let container = unsafe { handle(container.cast_const(), "container") }?;
        if path.is_null() {
            // SAFETY: the caller meets the header's requirements.
            return unsafe { with_operation(operation, |run| container.0.compact(keep_from, run)) };
        }
        // SAFETY: the header requires a C string.
        let path = unsafe { self::path(path, "path") }?;
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| container.0.compact_to(path, keep_from, run)) }
    })
}

/// Checks the header, the chain of commit records, and every other record and tile of the generations from
/// `from` on; `from` 0 means all generations. If these are all generations and no damage was found, it then
/// checks that the bytes between records are zero. Slots (hints to the newest commit) are not checked.
///
/// `damage` receives records by their offset, then tiles, generation by generation from the oldest; a tile
/// that several generations share is reported once, with the oldest of these generations. If a base was
/// changed in place, the earlier generations stay damaged: in that case pass info.newest as `from`. The call
/// keeps a list of the tiles, some 200 bytes for each. `damage` and `operation` may be NULL. Fails with the
/// status of the first fault in the order header, chain, generations from the oldest, zero bytes (WITNESS,
/// FORMAT, CONSERVATION, UNSUPPORTED); with INCOMPLETE if all bytes of the file are intact and bytes of the
/// base could not be checked; with STATE, LIMIT, IO, INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_find_damage(
    container: *const atlas_container,
    from: u64,
    damage: atlas_damage_fn,
    user_data: *mut c_void,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live container.
        let container = unsafe { handle(container, "container") }?;
        let mut each = |found: &crate::Damage| {
            // SAFETY: the header requires NULL or a function for this user_data.
            unsafe { report(damage, user_data, found) }
        };
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| container.0.find_damage(from, &mut each, run)) }
    })
}

/// Writes the newest generations of `count` containers, in sequence, as generation 1 of a new
/// container.
///
/// All parts but the last must consist of full tiles of 1 MiB, or be empty. Type, K, key,
/// conservation and chaining values are those of the parts, which must agree; keep_chains not 0 needs parts
/// with chaining values. The base of each part is a range of its own (atlas_source_range()) and not the whole
/// file; options->base has the size of all these bases together, as atlas_source_concat() makes it, or is
/// NULL. No byte of a base is read, and no base has to be attached to a part. Other payload is decoded and
/// copied; options->compression applies to later commits. With id, block_log2, time and note given a merged
/// outline is byte for byte that of one import. `parts` is borrowed for the call, and a part may occur twice;
/// `options`, `commit` and `operation` may be NULL; progress is reported once per tile. The handle in `*out`
/// can write and is owned by the caller: atlas_container_destroy(). Fails with INVALID_ARGUMENT (no parts;
/// parts that do not fit), CONFLICT (commit->expected is not 0), IO (with EEXIST if a file of that name
/// exists), CONSERVATION (STRICT), WITNESS, FORMAT, UNSUPPORTED, STATE, LIMIT, OUT_OF_MEMORY or CANCELLED,
/// and then leaves no file. The error's index is the part.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_container_merge(
    parts: *const *const atlas_container,
    count: usize,
    path: *const c_char,
    options: *const atlas_container_create_options,
    commit: *const atlas_commit_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_container,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: the header requires `count` handles.
        let handles = unsafe { items_in(parts, count, "parts") }?;
        let mut parts = try_vec(count)?;
        for (index, part) in handles.iter().enumerate() {
            // SAFETY: the header requires a live container.
            let part = unsafe { part.as_ref() };
            parts.push(&part.ok_or_else(|| item_is_null("parts", index))?.0);
        }
        // SAFETY: the header requires a C string, structs of their struct_size, live handles.
        let (path, options, commit) =
            unsafe { (self::path(path, "path")?, create_options(options)?, commit_options(commit)?) };
        // SAFETY: the caller meets the header's requirements.
        let merged = unsafe {
            with_operation(operation, |run| Container::merge(&parts, &path, &options, &commit, run))
        }?;
        out.fill(atlas_container(merged));
        Ok(())
    })
}
