//! Reconstruction.

use super::args::{CBool, drop_handle, fill_list, handle, into_handle, optional_32, out, path};
use super::boundary::{boundary, infallible};
use super::operation::{atlas_operation, with_operation};
use super::projection::atlas_projection;
use super::shard::{atlas_region, atlas_shard};
use super::sized::{init_struct, own_size, read_struct, sized_struct};
use super::status::atlas_status;
use crate::base::error::Result;
use crate::reconstruction::{AtlasReconstruction, ReconstructionOptions};
use std::ffi::c_char;

/// Collects the shards of one projection state until the domain is whole.
pub struct atlas_reconstruction(AtlasReconstruction);

/// Options of a reconstruction. Fill it with atlas_reconstruction_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_reconstruction_options {
    /// sizeof(atlas_reconstruction_options).
    pub struct_size: u32,
    /// 32 bytes; NULL: the root of the first shard that verifies.
    pub expected_root: *const u8,
    /// 32 bytes, or NULL. Copied, and wiped after use.
    pub key: *const u8,
    /// NULL: in memory. Else bytes go to a new temporary file beside this path, which
    /// atlas_reconstruction_finish() renames to it and destroy removes: permissions and links as
    /// atlas_projection_write_file() has them. Copied.
    pub spool_path: *const c_char,
    /// 0: none; a shard that claims a larger domain is ATLAS_STATUS_LIMIT.
    pub max_domain_size: u64,
}

sized_struct!(
    atlas_reconstruction_options,
    atlas_reconstruction_options {
        struct_size: own_size::<atlas_reconstruction_options>(),
        expected_root: std::ptr::null(),
        key: std::ptr::null(),
        spool_path: std::ptr::null(),
        max_domain_size: 0,
    },
    [struct_size, expected_root, key, spool_path, max_domain_size]
);

/// Fills `options` with the defaults: any root, no key, in memory, any size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_options_init(options: *mut atlas_reconstruction_options) {
    // SAFETY: as the header asks: NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// # Safety
/// `options` is NULL or a struct as the header asks, with pointers as it asks.
unsafe fn reconstruction_options(
    options: *const atlas_reconstruction_options,
) -> Result<ReconstructionOptions> {
    // SAFETY: as the caller promises.
    let (options, root, key) = unsafe {
        let options = read_struct(options)?;
        (options, optional_32(options.expected_root), optional_32(options.key))
    };
    let mut result = ReconstructionOptions::new();
    if let Some(root) = root {
        result = result.with_root(*root);
    }
    if let Some(key) = key {
        result = result.with_key(key);
    }
    if !options.spool_path.is_null() {
        // SAFETY: a C string, as the caller promises.
        result = result.with_spool(unsafe { path(options.spool_path, "spool_path") }?);
    }
    if options.max_domain_size > 0 {
        result = result.with_max_domain_size(options.max_domain_size);
    }
    Ok(result)
}

/// Begins a reconstruction. `options` may be NULL and is copied.
///
/// `*out` is owned by the caller: atlas_reconstruction_destroy(). Fails with INVALID_ARGUMENT or IO
/// (the temporary file could not be made).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_create(
    options: *const atlas_reconstruction_options,
    out: *mut *mut atlas_reconstruction,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        // SAFETY: as the header asks.
        let options = unsafe { reconstruction_options(options) }?;
        out.set(into_handle(atlas_reconstruction(AtlasReconstruction::new(&options)?)));
        Ok(())
    })
}

/// Verifies a shard and takes the bytes that it adds; the shard stays the caller's.
///
/// Duplicates and overlaps are harmless. Classes of R96 wait, in memory or in a second temporary file
/// beside spool_path, until a tile has K of them. Serialised with other calls on the handle.
/// `operation` may be NULL; progress once a tile that is verified or decoded, and once a
/// MiB or a class that is written. Fails, and changes
/// nothing, with WITNESS (does not verify; another root, type, K or size), CONFLICT (another tile
/// geometry under the same root), LIMIT, IO, STATE (finished, or a pool from before a fork),
/// OUT_OF_MEMORY or CANCELLED. R96: also with FORMAT, WITNESS or CONSERVATION where K classes of a tile
/// prove themselves and stand for no bytes with its witness and residue, which only who made the root
/// can bring about.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_add(
    reconstruction: *mut atlas_reconstruction,
    shard: *const atlas_shard,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: live handles.
        let (reconstruction, shard) =
            unsafe { (handle(reconstruction, "reconstruction")?, handle(shard, "shard")?) };
        // SAFETY: as the header asks.
        unsafe { with_operation(operation, |run| reconstruction.0.add(&shard.0, run)) }
    })
}

/// Whether every byte of the domain has come; false for NULL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_is_complete(
    reconstruction: *const atlas_reconstruction,
) -> CBool {
    infallible(0, || {
        // SAFETY: as the header asks: NULL or a live handle.
        let complete = unsafe { reconstruction.as_ref() }.is_some_and(|context| context.0.is_complete());
        CBool::from(complete)
    })
}

/// How many more classes of an R96 domain are needed, the most over all tiles; 0 for LINEAR, before
/// the first add and for NULL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_classes_needed(
    reconstruction: *const atlas_reconstruction,
) -> u32 {
    infallible(0, || {
        // SAFETY: as the header asks: NULL or a live handle.
        unsafe { reconstruction.as_ref() }.map_or(0, |context| context.0.classes_needed())
    })
}

/// The byte ranges still missing (R96: with fewer than K classes), ascending and merged; none before
/// the first add.
///
/// `*count` is in: the capacity of `regions` (which may be NULL when it is 0), out: how many there
/// are. OK also when the capacity is short: then the first ones are there. Any thread. Fails with
/// INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_missing(
    reconstruction: *const atlas_reconstruction,
    regions: *mut atlas_region,
    count: *mut usize,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a live handle.
        let list = || Ok(unsafe { handle(reconstruction, "reconstruction") }?.0.missing());
        // SAFETY: as the header asks: a number, and room for as many regions.
        unsafe { fill_list(regions, count, "regions", list) }
    })
}

/// The rebuilt domain as a projection with the same geometry and root.
///
/// Hashes every byte anew. A spool file gets its name now. `*out` is owned by the caller:
/// atlas_projection_destroy(). Serialised with other calls on the handle. `operation` may be NULL;
/// progress once a tile. Fails, and leaves the handle usable, with INCOMPLETE (the text says how much
/// is missing), WITNESS (the root differs), IO, STATE (finished already, or a pool from before a fork),
/// INVALID_ARGUMENT, LIMIT, OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_finish(
    reconstruction: *mut atlas_reconstruction,
    operation: *const atlas_operation,
    out: *mut *mut atlas_projection,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        // SAFETY: as the header asks: a live handle.
        let reconstruction = unsafe { handle(reconstruction, "reconstruction") }?;
        // SAFETY: as the header asks.
        let projection = unsafe { with_operation(operation, |run| reconstruction.0.finish(run)) }?;
        out.set(into_handle(atlas_projection(projection)));
        Ok(())
    })
}

/// Frees a reconstruction, and removes its temporary file. NULL does nothing. No call may be using
/// it; the projection that finish gave stays valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_destroy(reconstruction: *mut atlas_reconstruction) {
    // SAFETY: as the header asks: NULL or a handle that is not used again.
    unsafe { drop_handle(reconstruction) };
}
