//! Projections: addressable, verifiable views of a domain.
//!
//! A projection divides the bytes of a source into tiles of at most 1 MiB, each with a residue (sum
//! mod 96) and a witness (BLAKE3), under one root of 32 bytes. The root identifies the bytes:
//! shards, containers and later checks all refer to it.
//!
//! ```c
//! static atlas_status root_of(const char *path, uint8_t root[32]) {
//!   atlas_source *source = NULL;
//!   atlas_projection *projection = NULL;
//!   atlas_status status = atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source);
//!   if (status == ATLAS_STATUS_OK)
//!     status = atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection);
//!   if (status == ATLAS_STATUS_OK)
//!     status = atlas_projection_root(projection, NULL, root);
//!   atlas_projection_destroy(projection); // NULL does nothing
//!   atlas_source_destroy(source);
//!   return status;
//! }
//! ```

use super::args::{bytes_out, c_enum, drop_handle, handle, optional_32, out, out_handle, path};
use super::boundary::boundary;
use super::operation::{atlas_operation, with_operation};
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::source::atlas_source;
use super::status::atlas_status;
use crate::base::error::{AtlasError, Result};
use crate::hash::digest::Digest;
use crate::projection::{AtlasProjection, ConservationPolicy, ProjectionOptions, ProjectionType};
use std::ffi::{c_char, c_void};

/// Addressable, verifiable view of a domain.
pub struct atlas_projection(pub(super) AtlasProjection);

/// Transformation from the bytes of a tile to its witnessed payload.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_projection_type {
    /// The bytes themselves.
    ATLAS_PROJECTION_LINEAR = 0,
    /// The exact Fourier transform over GF(12289), distributed over 96 resonance classes. Any
    /// r96_data_classes of them rebuild the domain.
    ATLAS_PROJECTION_R96_FOURIER = 1,
}

/// Requirement on the sum of all bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_conservation_policy {
    /// Any sum is allowed; residue and correction are recorded.
    ATLAS_CONSERVATION_TRACK = 0,
    /// The sum must be 0 mod 96, also after every change.
    ATLAS_CONSERVATION_STRICT = 1,
}

/// Options of a new projection. Fill it with atlas_projection_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_projection_options {
    /// sizeof(atlas_projection_options).
    pub struct_size: u32,
    /// Requirement on the sum of all bytes, an atlas_conservation_policy. Default TRACK.
    pub conservation: u32,
    /// K, 1..96. Any K of the 96 classes rebuild the domain, so that 96 - K may be lost; all
    /// classes together have about 14/13 * 96/K of the domain's size. Default 96. Ignored for
    /// LINEAR.
    pub r96_data_classes: u32,
    /// Key of 32 bytes, or NULL. With a key only its owners can make or verify witnesses. Copied,
    /// and wiped after use.
    pub key: *const u8,
}

sized_struct!(
    atlas_projection_options,
    atlas_projection_options {
        struct_size: own_size::<atlas_projection_options>(),
        conservation: atlas_conservation_policy::ATLAS_CONSERVATION_TRACK as u32,
        r96_data_classes: 96,
        key: std::ptr::null(),
    },
    [struct_size, conservation, r96_data_classes, key]
);

/// Fills `options` with the defaults: TRACK, K = 96, no key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_options_init(options: *mut atlas_projection_options) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(options) };
}

pub(super) fn projection_type(value: u32) -> Result<ProjectionType> {
    c_enum!(value, "projection type", atlas_projection_type {
        ATLAS_PROJECTION_LINEAR => ProjectionType::Linear,
        ATLAS_PROJECTION_R96_FOURIER => ProjectionType::R96Fourier,
    })
}

/// Converts the caller's options.
///
/// # Safety
///
/// `options` is NULL or a struct that meets the header's terms, its key NULL or 32 readable bytes.
pub(super) unsafe fn projection_options(
    options: *const atlas_projection_options,
) -> Result<ProjectionOptions> {
    // SAFETY: the caller meets this function's requirements.
    let options = unsafe { read_struct(options) }?;
    let policy = c_enum!(options.conservation, "conservation policy", atlas_conservation_policy {
        ATLAS_CONSERVATION_TRACK => ConservationPolicy::Track,
        ATLAS_CONSERVATION_STRICT => ConservationPolicy::Strict,
    })?;
    // K is checked for LINEAR too, which does not use it.
    let classes = options.r96_data_classes;
    let Some(data_classes) = u8::try_from(classes).ok().filter(|k| (1..=96).contains(k)) else {
        return Err(AtlasError::invalid_argument(format!("r96_data_classes {classes} is outside 1..=96")));
    };
    let mut result = ProjectionOptions::new().with_conservation(policy).with_data_classes(data_classes);
    // SAFETY: the caller meets this function's requirements.
    if let Some(key) = unsafe { optional_32(options.key) } {
        result = result.with_key(key);
    }
    Ok(result)
}

/// Projects a source: hashes all of its bytes and commits to their present values.
///
/// `type` is an atlas_projection_type; `options` and `operation` may be NULL. The projection keeps the source
/// alive, so that the caller may destroy the source right after this call. `*out` is owned by the caller:
/// atlas_projection_destroy(). Costs about one BLAKE3 of the bytes, shared by the operation's threads, and at
/// most 448 bytes of memory per tile of 1 MiB; progress is reported once per tile. Fails with
/// INVALID_ARGUMENT, IO, CONSERVATION (STRICT; the message names the missing sum), LIMIT, STATE (pool from
/// before a fork), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_create(
    r#type: u32,
    source: *const atlas_source,
    options: *const atlas_projection_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_projection,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: the header requires live handles, and structs of their struct_size.
        let (source, options) = unsafe { (handle(source, "source")?, projection_options(options)?) };
        let kind = projection_type(r#type)?;
        // SAFETY: as above.
        let made = unsafe {
            with_operation(operation, |run| AtlasProjection::create(kind, &source.0, &options, run))
        }?;
        out.fill(atlas_projection(made));
        Ok(())
    })
}

/// Frees a projection. NULL does nothing. No call may be using it; snapshots and shards stay valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_destroy(projection: *mut atlas_projection) {
    // SAFETY: the header requires NULL or a projection that is not used again.
    unsafe { drop_handle(projection) };
}

/// Properties of a projection's present state. Filled by atlas_projection_get_info().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_projection_info {
    /// sizeof(atlas_projection_info), set by the caller.
    pub struct_size: u32,
    /// Type of the projection, an atlas_projection_type.
    pub r#type: u32,
    /// Number of bytes of the domain.
    pub domain_size: u64,
    /// Number of pages of 4,096 bytes. The last page may be shorter.
    pub page_count: u64,
    /// Number of tiles, each of 1 byte to 1 MiB.
    pub tile_count: u64,
    /// Sum of all bytes mod 96. The sums of parts add up to the sum of the whole, but the sum misses one in
    /// 96 random corruptions; the root proves integrity.
    pub residue: u32,
    /// (96 - residue) mod 96, the value to add for a sum of 0 mod 96.
    pub correction: u32,
    /// Number of tiles in a row of the plane: ceil(sqrt(tile_count)).
    pub width: u32,
    /// Number of rows of the plane, equal to width.
    pub height: u32,
    /// K, the number of classes that rebuild the domain. 0 for LINEAR.
    pub r96_data_classes: u32,
    /// 1 if witnesses are keyed, else 0.
    pub keyed: u32,
    /// 1 if all tiles but the last are full, as in a fresh or optimised projection, else 0.
    pub canonical: u32,
    /// Always 0.
    pub reserved: u32,
}

sized_struct!(
    atlas_projection_info,
    atlas_projection_info {
        struct_size: own_size::<atlas_projection_info>(),
        r#type: 0,
        domain_size: 0,
        page_count: 0,
        tile_count: 0,
        residue: 0,
        correction: 0,
        width: 0,
        height: 0,
        r96_data_classes: 0,
        keyed: 0,
        canonical: 0,
        reserved: 0,
    },
    [
        struct_size,
        r#type,
        domain_size,
        page_count,
        tile_count,
        residue,
        correction,
        width,
        height,
        r96_data_classes,
        keyed,
        canonical,
        reserved
    ]
);

/// Fills `info` with the properties of the present state. Callable from any thread. Fails with
/// INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_get_info(
    projection: *const atlas_projection,
    info: *mut atlas_projection_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a struct of its struct_size, a live projection.
        let (out, projection) = unsafe { (OutStruct::new(info, "info")?, handle(projection, "projection")?) };
        let info = projection.0.info();
        // A width of 2^32 tiles would need a domain of 2^84 bytes.
        let width = u32::try_from(info.width).unwrap_or(u32::MAX);
        out.fill(&atlas_projection_info {
            r#type: u32::from(info.projection_type.code()),
            domain_size: info.domain_size,
            page_count: info.page_count,
            tile_count: info.tile_count,
            residue: u32::from(info.residue.value()),
            correction: u32::from(info.residue.correction()),
            width,
            height: width,
            r96_data_classes: u32::from(info.data_classes),
            keyed: u32::from(info.keyed),
            canonical: u32::from(info.canonical),
            ..atlas_projection_info::DEFAULT
        });
        Ok(())
    })
}

/// Computes the witness root: the 32 bytes to which the proof of every shard of this state leads.
///
/// After edits it first hashes the edited tiles, with progress once per tile. Callable from any thread.
/// `operation` may be NULL. Fails with INVALID_ARGUMENT, STATE (pool from before a fork) or CANCELLED. After
/// edits it also fails with IO, WITNESS or CONSERVATION (the source no longer has the projected bytes of an
/// edited tile; the error's index is the tile), LIMIT or OUT_OF_MEMORY, and on a snapshot of a container with
/// FORMAT (a damaged record) or INCOMPLETE (no base is attached).
///
/// cbindgen:ptrs-as-arrays=[[root;32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_root(
    projection: *const atlas_projection,
    operation: *const atlas_operation,
    root: *mut u8,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires 32 writable bytes, a live projection.
        let (root, projection) = unsafe {
            (self::out(root.cast::<Digest>(), [0; 32], "root")?, handle(projection, "projection")?)
        };
        // SAFETY: the caller meets the header's requirements.
        root.set(unsafe { with_operation(operation, |run| projection.0.root(run)) }?);
        Ok(())
    })
}

/// Properties of a tile. Filled by atlas_projection_get_tile().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_tile_info {
    /// sizeof(atlas_tile_info), set by the caller.
    pub struct_size: u32,
    /// Sum of the tile's bytes mod 96.
    pub residue: u32,
    /// Offset of the tile's first byte in the domain.
    pub offset: u64,
    /// Number of bytes, 1 to 1,048,576.
    pub length: u64,
    /// Witness of the tile. LINEAR: BLAKE3 of its bytes, or keyed BLAKE3. R96: the top of a tree
    /// over the digests of its 96 classes.
    pub witness: [u8; 32],
}

sized_struct!(
    atlas_tile_info,
    atlas_tile_info {
        struct_size: own_size::<atlas_tile_info>(),
        residue: 0,
        offset: 0,
        length: 0,
        witness: [0; 32],
    },
    [struct_size, residue, offset, length, witness]
);

/// Fills `info` with the properties of tile number `tile`. An edited tile is hashed first.
///
/// Callable from any thread. Fails with INVALID_ARGUMENT or OUT_OF_RANGE, for an edited tile with IO, WITNESS
/// or CONSERVATION (the source no longer has the projected bytes) or OUT_OF_MEMORY, and on a snapshot of a
/// container with these, FORMAT (a damaged record) or INCOMPLETE (no base is attached).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_get_tile(
    projection: *const atlas_projection,
    tile: u64,
    info: *mut atlas_tile_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a struct of its struct_size, a live projection.
        let (out, projection) = unsafe { (OutStruct::new(info, "info")?, handle(projection, "projection")?) };
        let info = projection.0.tile(tile)?;
        out.fill(&atlas_tile_info {
            struct_size: 0,
            residue: u32::from(info.residue.value()),
            offset: info.offset,
            length: info.length,
            witness: info.witness,
        });
        Ok(())
    })
}

/// Creates a second handle on the present state, in O(1). Later updates of either handle do not
/// affect the other.
///
/// Callable from any thread. `*out` is owned by the caller: atlas_projection_destroy(). Fails with
/// INVALID_ARGUMENT or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_snapshot(
    projection: *const atlas_projection,
    out: *mut *mut atlas_projection,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: the header requires a live projection.
        let projection = unsafe { handle(projection, "projection") }?;
        out.fill(atlas_projection(projection.0.snapshot()));
        Ok(())
    })
}

/// Reads `size` bytes at `offset` into `buffer`. Either all bytes are read, or the call fails.
///
/// The bytes are the present bytes of the source and are not verified, except on a snapshot of a container
/// with verify_reads; extract, verify and write_file verify them. `buffer` is borrowed for the call and may
/// be NULL if `size` is 0. Callable from any thread. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, IO or STATE
/// (an OpenCL buffer, in a forked child), and on a snapshot of a container with WITNESS, CONSERVATION or
/// FORMAT (damaged records, and with verify_reads damaged bytes), INCOMPLETE (no base is attached) or
/// OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_read(
    projection: *const atlas_projection,
    offset: u64,
    buffer: *mut c_void,
    size: usize,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection, `size` writable bytes.
        let (projection, buffer) =
            unsafe { (handle(projection, "projection")?, bytes_out(buffer, size, "buffer")?) };
        projection.0.read_raw(offset, buffer)
    })
}

/// Reads and hashes every byte again and compares with the witnesses.
///
/// Callable from any thread. `operation` may be NULL; progress is reported once per tile. Fails with WITNESS
/// or, if all witnesses match, CONSERVATION, with the first tile that differs as the error's index,
/// INVALID_ARGUMENT, IO, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED, and on a
/// snapshot of a container with FORMAT (a damaged record) or INCOMPLETE (no base is attached).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_verify(
    projection: *const atlas_projection,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection.
        let projection = unsafe { handle(projection, "projection") }?;
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| projection.0.verify(run)) }
    })
}

/// Writes the domain to a file. Every byte is verified before it is written.
///
/// The bytes go to a temporary file beside `path`, which is flushed to the disk and then renamed.
/// On failure an older file stays, unless only the flush of the folder failed, and nothing else remains.
/// Only the owner can read the temporary file; at the end it gets owner, group, mode, access list and
/// attributes of the file that it replaces, or those of a new file. If the process may not set one of these
/// attributes, the call fails with IO. A symbolic link is itself replaced, and its target stays. Anything else
/// but a regular file fails with INVALID_ARGUMENT. A tile of zeros becomes a hole.
///
/// Callable from any thread. `operation` may be NULL; progress is reported once per tile. Fails with
/// INVALID_ARGUMENT, IO, WITNESS, CONSERVATION, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or
/// CANCELLED, and on a snapshot of a container with FORMAT (a damaged record) or INCOMPLETE (no base is
/// attached).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_write_file(
    projection: *const atlas_projection,
    path: *const c_char,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection, a C string.
        let (projection, path) = unsafe { (handle(projection, "projection")?, self::path(path, "path")?) };
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| projection.0.write_file(&path, run)) }
    })
}
