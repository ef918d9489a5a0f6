//! Reconstruction: the domain from its shards.
//!
//! A reconstruction collects the shards of one projection state, in any order, and verifies each
//! before it accepts its bytes. Once the domain is complete, finish returns it as a projection with
//! the same root.
//!
//! ```c
//! static atlas_status rebuild(const atlas_shard *const *shards, size_t count, const char *path) {
//!   atlas_reconstruction *parts = NULL;
//!   atlas_projection *whole = NULL;
//!   atlas_status status = atlas_reconstruction_create(NULL, &parts);
//!   for (size_t i = 0; status == ATLAS_STATUS_OK && i < count; i++)
//!     status = atlas_reconstruction_add(parts, shards[i], NULL);
//!   if (status == ATLAS_STATUS_OK) status = atlas_reconstruction_finish(parts, NULL, &whole);
//!   if (status == ATLAS_STATUS_OK) status = atlas_projection_write_file(whole, path, NULL);
//!   atlas_projection_destroy(whole);
//!   atlas_reconstruction_destroy(parts);
//!   return status;
//! }
//! ```

use super::args::{CBool, drop_handle, fill_list, handle, optional_32, out_handle, path};
use super::boundary::{boundary, infallible};
use super::operation::{atlas_operation, with_operation};
use super::projection::atlas_projection;
use super::shard::{atlas_region, atlas_shard};
use super::sized::{init_struct, own_size, read_struct, sized_struct};
use super::status::atlas_status;
use crate::base::error::Result;
use crate::reconstruction::{AtlasReconstruction, ReconstructionOptions};
use crate::shard::AtlasBoundaryRegion;
use std::ffi::c_char;

/// Collector of the shards of one projection state until the domain is complete.
pub struct atlas_reconstruction(AtlasReconstruction);

/// Options of a reconstruction. Fill it with atlas_reconstruction_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_reconstruction_options {
    /// sizeof(atlas_reconstruction_options).
    pub struct_size: u32,
    /// Root that every shard must have, 32 bytes. NULL means the root of the first shard that
    /// verifies.
    pub expected_root: *const u8,
    /// Key of 32 bytes, or NULL. Copied, and wiped after use.
    pub key: *const u8,
    /// Path of the rebuilt file. NULL means that the domain is collected in memory. Otherwise bytes go to a
    /// new temporary file beside this path; atlas_reconstruction_finish() renames it to this path, and
    /// destroy removes it. Permissions and links are handled as by atlas_projection_write_file(). Copied.
    pub spool_path: *const c_char,
    /// Maximum size of the domain. A shard that claims a larger domain fails with ATLAS_STATUS_LIMIT. 0 means
    /// no limit.
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

/// Fills `options` with the defaults: any root, no key, a domain of any size, collected in memory and not in
/// a file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_options_init(options: *mut atlas_reconstruction_options) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// Converts the caller's options.
///
/// # Safety
///
/// `options` is NULL or a struct that meets the header's terms, including its pointers.
unsafe fn reconstruction_options(
    options: *const atlas_reconstruction_options,
) -> Result<ReconstructionOptions> {
    // SAFETY: the caller meets this function's requirements.
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
        // SAFETY: the caller promises a C string.
        result = result.with_spool(unsafe { path(options.spool_path, "spool_path") }?);
    }
    if options.max_domain_size > 0 {
        result = result.with_max_domain_size(options.max_domain_size);
    }
    Ok(result)
}

/// Begins a reconstruction. `options` may be NULL and is copied.
///
/// `*out` is owned by the caller: atlas_reconstruction_destroy(). Fails with INVALID_ARGUMENT, IO (the
/// temporary file could not be made) or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_create(
    options: *const atlas_reconstruction_options,
    out: *mut *mut atlas_reconstruction,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: the caller meets the header's requirements.
        let options = unsafe { reconstruction_options(options) }?;
        out.fill(atlas_reconstruction(AtlasReconstruction::new(&options)?));
        Ok(())
    })
}

/// Verifies a shard and copies the bytes that it adds. The shard stays the caller's.
///
/// Duplicates and overlaps are harmless. Classes of R96 wait, in memory or in a second temporary file beside
/// spool_path, until a tile has K of them. Serialised with other calls on the handle. `operation` may be
/// NULL; progress is reported once per verified or decoded tile, and once per MiB or class written. Fails,
/// without any change, with WITNESS (the shard does not verify, or has another root, type, K or size than the
/// shards before it), LIMIT, IO, STATE (finished, or a pool from before a fork), INVALID_ARGUMENT,
/// OUT_OF_MEMORY or CANCELLED. R96: also fails with FORMAT, WITNESS or CONSERVATION if K classes of a tile
/// verify but do not decode to bytes with its witness and residue, which only the maker of the root can
/// cause.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_add(
    reconstruction: *mut atlas_reconstruction,
    shard: *const atlas_shard,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires live handles.
        let (reconstruction, shard) =
            unsafe { (handle(reconstruction, "reconstruction")?, handle(shard, "shard")?) };
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| reconstruction.0.add(&shard.0, run)) }
    })
}

/// Returns true if every byte of the domain was added. False for NULL. Callable from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_is_complete(
    reconstruction: *const atlas_reconstruction,
) -> CBool {
    infallible(0, || {
        // SAFETY: the header requires NULL or a live handle.
        let complete = unsafe { reconstruction.as_ref() }.is_some_and(|context| context.0.is_complete());
        CBool::from(complete)
    })
}

/// Returns the number of further classes that an R96 domain needs, the maximum over all tiles. 0
/// for LINEAR, before the first add and for NULL. Callable from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_classes_needed(
    reconstruction: *const atlas_reconstruction,
) -> u32 {
    infallible(0, || {
        // SAFETY: the header requires NULL or a live handle.
        unsafe { reconstruction.as_ref() }.map_or(0, |context| context.0.classes_needed())
    })
}

/// Lists the byte ranges still missing (R96: with fewer than K classes), ascending and merged.
/// There are none before the first add.
///
/// On entry `*count` is the capacity of `regions` (which may be NULL if it is 0); on return it is
/// the number of missing ranges. If the capacity is too small, the call still succeeds and fills in
/// the first ranges. Callable from any thread. Fails with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_missing(
    reconstruction: *const atlas_reconstruction,
    regions: *mut atlas_region,
    count: *mut usize,
) -> atlas_status {
    boundary(|| {
        let list = |each: &mut dyn FnMut(AtlasBoundaryRegion)| {
            // SAFETY: the header requires a live handle.
            unsafe { handle(reconstruction, "reconstruction") }?.0.each_missing(each);
            Ok(())
        };
        // SAFETY: the header requires a number, and room for as many regions.
        unsafe { fill_list(regions, count, "regions", list) }
    })
}

/// Returns the rebuilt domain as a projection with the same geometry and root.
///
/// Hashes every byte again. A spool file gets its final name. `*out` is owned by the caller:
/// atlas_projection_destroy(). Serialised with other calls on the handle. `operation` may be NULL;
/// progress is reported once per tile. Fails, and leaves the handle usable, with INCOMPLETE (the
/// message says how much is missing), WITNESS (the root differs), IO, STATE (finished already, or a
/// pool from before a fork), INVALID_ARGUMENT, LIMIT, OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_finish(
    reconstruction: *mut atlas_reconstruction,
    operation: *const atlas_operation,
    out: *mut *mut atlas_projection,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: the header requires a live handle.
        let reconstruction = unsafe { handle(reconstruction, "reconstruction") }?;
        // SAFETY: the caller meets the header's requirements.
        let projection = unsafe { with_operation(operation, |run| reconstruction.0.finish(run)) }?;
        out.fill(atlas_projection(projection));
        Ok(())
    })
}

/// Frees a reconstruction and removes its temporary file. NULL does nothing. No call may be using
/// it; the projection that finish returned stays valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_reconstruction_destroy(reconstruction: *mut atlas_reconstruction) {
    // SAFETY: the header requires NULL or a handle that is not used again.
    unsafe { drop_handle(reconstruction) };
}
