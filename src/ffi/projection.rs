//! Projections.

use super::args::{bytes_out, drop_handle, handle, into_handle, known, optional_32, out, path, unknown};
use super::boundary::boundary;
use super::operation::{atlas_operation, with_operation};
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::source::atlas_source;
use super::status::atlas_status;
use crate::base::error::{AtlasError, Result};
use crate::hash::digest::Digest;
use crate::projection::{AtlasProjection, ConservationPolicy, ProjectionOptions, ProjectionType};
use std::ffi::{c_char, c_void};

/// An addressable, verifiable view of a domain.
pub struct atlas_projection(pub(super) AtlasProjection);

/// How a tile's bytes become witnessed payload.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_projection_type {
    /// The bytes as they are.
    ATLAS_PROJECTION_LINEAR = 0,
    /// The exact Fourier transform over GF(12289), dealt out to 96 resonance classes of which any
    /// r96_data_classes rebuild the domain.
    ATLAS_PROJECTION_R96_FOURIER = 1,
}

/// What is asked of the sum of all bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_conservation_policy {
    /// Any bytes; residue and correction are recorded.
    ATLAS_CONSERVATION_TRACK = 0,
    /// The sum must be 0 mod 96, and stay so.
    ATLAS_CONSERVATION_STRICT = 1,
}

/// Options of a new projection. Fill it with atlas_projection_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_projection_options {
    /// sizeof(atlas_projection_options).
    pub struct_size: u32,
    /// An atlas_conservation_policy; default TRACK.
    pub conservation: u32,
    /// K, 1..96: any K of the 96 classes rebuild, so that 96 - K may be lost, and all of them take
    /// about 14/13 * 96/K of the domain; default 96. Means nothing for LINEAR.
    pub r96_data_classes: u32,
    /// NULL, or 32 bytes: keyed witnesses, which only who has the key can make or verify. Copied,
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
    // SAFETY: as the header asks: NULL or a whole struct.
    unsafe { init_struct(options) };
}

pub(super) fn projection_type(value: u32) -> Result<ProjectionType> {
    const LINEAR: u32 = atlas_projection_type::ATLAS_PROJECTION_LINEAR as u32;
    const R96_FOURIER: u32 = atlas_projection_type::ATLAS_PROJECTION_R96_FOURIER as u32;
    match value {
        LINEAR => Ok(ProjectionType::Linear),
        R96_FOURIER => Ok(ProjectionType::R96Fourier),
        other => Err(unknown(
            "projection type",
            other,
            known!(atlas_projection_type: ATLAS_PROJECTION_LINEAR, ATLAS_PROJECTION_R96_FOURIER),
        )),
    }
}

/// # Safety
/// `options` is NULL or a struct as the header asks, its key NULL or 32 readable bytes.
pub(super) unsafe fn projection_options(
    options: *const atlas_projection_options,
) -> Result<ProjectionOptions> {
    // SAFETY: as the caller promises.
    let options = unsafe { read_struct(options) }?;
    const TRACK: u32 = atlas_conservation_policy::ATLAS_CONSERVATION_TRACK as u32;
    const STRICT: u32 = atlas_conservation_policy::ATLAS_CONSERVATION_STRICT as u32;
    let policy = match options.conservation {
        TRACK => ConservationPolicy::Track,
        STRICT => ConservationPolicy::Strict,
        other => {
            return Err(unknown(
                "conservation policy",
                other,
                known!(atlas_conservation_policy: ATLAS_CONSERVATION_TRACK, ATLAS_CONSERVATION_STRICT),
            ));
        }
    };
    let classes = options.r96_data_classes;
    let Some(data_classes) = u8::try_from(classes).ok().filter(|k| (1..=96).contains(k)) else {
        return Err(AtlasError::invalid_argument(format!("r96_data_classes {classes} is outside 1..=96")));
    };
    let mut result = ProjectionOptions::new().with_conservation(policy).with_data_classes(data_classes);
    // SAFETY: as the caller promises.
    if let Some(key) = unsafe { optional_32(options.key) } {
        result = result.with_key(key);
    }
    Ok(result)
}

/// Projects a source: hashes everything, and commits to what the source holds now.
///
/// `type` is an atlas_projection_type, `options` and `operation` may be NULL. The projection holds
/// on to the source, which may be destroyed at once. `*out` is owned by the caller:
/// atlas_projection_destroy(). Costs about one BLAKE3 of the bytes, shared by the operation's
/// threads, and at most 448 bytes of memory a tile of 1 MiB; progress is reported once a tile. Fails
/// with INVALID_ARGUMENT, IO, CONSERVATION (STRICT, the message names what is missing), LIMIT, STATE
/// (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_create(
    r#type: u32,
    source: *const atlas_source,
    options: *const atlas_projection_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_projection,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        // SAFETY: as the header asks: live handles, and structs of their struct_size.
        let (source, options) = unsafe { (handle(source, "source")?, projection_options(options)?) };
        let kind = projection_type(r#type)?;
        // SAFETY: as above.
        let made = unsafe {
            with_operation(operation, |run| AtlasProjection::create(kind, &source.0, &options, run))
        }?;
        out.set(into_handle(atlas_projection(made)));
        Ok(())
    })
}

/// Frees a projection. NULL does nothing. No call may be using it; snapshots and shards stay valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_destroy(projection: *mut atlas_projection) {
    // SAFETY: as the header asks: NULL or a projection that is not used again.
    unsafe { drop_handle(projection) };
}

/// Properties of a projection's present state. Filled by atlas_projection_get_info().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_projection_info {
    /// sizeof(atlas_projection_info), set by the caller.
    pub struct_size: u32,
    /// An atlas_projection_type.
    pub r#type: u32,
    /// Bytes of the domain.
    pub domain_size: u64,
    /// Pages of 4,096 bytes, the last one perhaps in part.
    pub page_count: u64,
    /// Tiles of 1 byte to 1 MiB.
    pub tile_count: u64,
    /// The sum of all bytes mod 96. It composes, but misses one in 96 random corruptions: what shows
    /// integrity is the root.
    pub residue: u32,
    /// (96 - residue) mod 96: what would have to be added for the sum to be 0 mod 96.
    pub correction: u32,
    /// Tiles in a row of the plane: ceil(sqrt(tile_count)).
    pub width: u32,
    /// Rows of the plane: as width.
    pub height: u32,
    /// K; 0 for LINEAR.
    pub r96_data_classes: u32,
    /// 1 where witnesses are keyed.
    pub keyed: u32,
    /// 1 where tiles are full from offset 0 on, as when fresh or optimised.
    pub canonical: u32,
    /// 0.
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

/// Properties of the present state. Any thread. Fails with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_get_info(
    projection: *const atlas_projection,
    info: *mut atlas_projection_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a struct of its struct_size, a live projection.
        let (out, projection) = unsafe { (OutStruct::new(info, "info")?, handle(projection, "projection")?) };
        let info = projection.0.info();
        // 2^32 columns would be 2^84 bytes.
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

/// The witness root: 32 bytes that all shards of this state prove themselves against.
///
/// After edits it first hashes what changed, with progress once a tile. Any thread. `operation` may be
/// NULL. Fails with INVALID_ARGUMENT, STATE (pool from before a fork) or CANCELLED, and after edits
/// with IO, WITNESS or CONSERVATION (the source does not hold any more what was projected, of the tiles
/// that were edited; the error's index is the tile), LIMIT or OUT_OF_MEMORY.
///
/// cbindgen:ptrs-as-arrays=[[root;32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_root(
    projection: *const atlas_projection,
    operation: *const atlas_operation,
    root: *mut u8,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: 32 writable bytes, a live projection.
        let (root, projection) = unsafe {
            (self::out(root.cast::<Digest>(), [0; 32], "root")?, handle(projection, "projection")?)
        };
        // SAFETY: as the header asks.
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
    /// The sum of its bytes mod 96.
    pub residue: u32,
    /// Of its first byte, in the domain.
    pub offset: u64,
    /// 1 to 1,048,576 bytes.
    pub length: u64,
    /// LINEAR: BLAKE3 of its bytes, or keyed BLAKE3. R96: the top of a tree over the digests of its 96
    /// classes.
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

/// Properties of tile number `tile`, which is hashed first where it was edited.
///
/// Any thread. Fails with INVALID_ARGUMENT or OUT_OF_RANGE, and of an edited tile with IO, WITNESS or
/// CONSERVATION (the source does not hold any more what was projected) or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_get_tile(
    projection: *const atlas_projection,
    tile: u64,
    info: *mut atlas_tile_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a struct of its struct_size, a live projection.
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

/// A second handle on the present state, in O(1): later updates of either do not touch the other.
///
/// Any thread. `*out` is owned by the caller: atlas_projection_destroy(). Fails with
/// INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_snapshot(
    projection: *const atlas_projection,
    out: *mut *mut atlas_projection,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        // SAFETY: as the header asks: a live projection.
        let projection = unsafe { handle(projection, "projection") }?;
        out.set(into_handle(atlas_projection(projection.0.snapshot())));
        Ok(())
    })
}

/// Reads `size` bytes at `offset` into `buffer`: all of them, or an error.
///
/// The bytes are what the source holds now and are not verified: extract, verify and write_file do
/// that. `buffer` is borrowed for the call and may be NULL when `size` is 0. Any thread. Fails with
/// INVALID_ARGUMENT, OUT_OF_RANGE or IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_read(
    projection: *const atlas_projection,
    offset: u64,
    buffer: *mut c_void,
    size: usize,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a live projection, `size` writable bytes.
        let (projection, buffer) =
            unsafe { (handle(projection, "projection")?, bytes_out(buffer, size, "buffer")?) };
        projection.0.read_raw(offset, buffer)
    })
}

/// Reads and hashes every byte again.
///
/// Any thread. `operation` may be NULL; progress once a tile. Fails with WITNESS, then CONSERVATION,
/// with the first tile that differs as the error's index, INVALID_ARGUMENT, IO, LIMIT, STATE (pool from
/// before a fork), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_verify(
    projection: *const atlas_projection,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a live projection.
        let projection = unsafe { handle(projection, "projection") }?;
        // SAFETY: as the header asks.
        unsafe { with_operation(operation, |run| projection.0.verify(run)) }
    })
}

/// Writes the domain to a file, every byte verified before it is written.
///
/// The bytes go to a temporary file beside `path`, which is flushed to the disk and then renamed: on
/// failure an older file stays, and nothing else is left. Nobody but its owner can read the temporary
/// file; in the end it has the permissions of the file that it replaces, or those of a new file. A
/// symbolic link is replaced itself, and what it led to stays. A tile of zeros is left a hole.
///
/// Any thread. `operation` may be NULL; progress once a tile. Fails with INVALID_ARGUMENT, IO, WITNESS,
/// CONSERVATION, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_write_file(
    projection: *const atlas_projection,
    path: *const c_char,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a live projection, a C string.
        let (projection, path) = unsafe { (handle(projection, "projection")?, self::path(path, "path")?) };
        // SAFETY: as the header asks.
        unsafe { with_operation(operation, |run| projection.0.write_file(&path, run)) }
    })
}
