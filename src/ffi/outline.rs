//! Outlines: search for damage, repair of files, and the difference of two projections.
//!
//! An outline is a container that has the digests of a file and not its bytes. It finds the damaged
//! ranges of the file and fetches only these from another copy.
//!
//! ```c
//! static bool accept(const atlas_damage *damage, void *user_data) {
//!   (void)user_data;
//!   return damage->repairable != 0; // false leaves the range as it is
//! }
//! static atlas_status repair(atlas_container *outline, const atlas_source *copy, const char *path) {
//!   atlas_projection *good = NULL;
//!   atlas_status status = atlas_container_set_base(outline, copy);
//!   if (status == ATLAS_STATUS_OK) status = atlas_container_snapshot(outline, 0, 0, NULL, &good);
//!   if (status == ATLAS_STATUS_OK)
//!     status = atlas_projection_repair_file(good, path, NULL, 0, accept, NULL, NULL);
//!   atlas_projection_destroy(good);
//!   return status;
//! }
//! ```

use super::args::{fill_list, handle, path};
use super::boundary::boundary;
use super::damage::{atlas_damage_fn, report};
use super::operation::{atlas_operation, with_operation};
use super::projection::atlas_projection;
use super::shard::{atlas_region, with_regions};
use super::status::atlas_status;
use crate::base::damage::Damage;
use crate::base::error::AtlasError;
use crate::exec::operation::Operation;
use crate::shard::AtlasBoundaryRegion;
use std::ffi::{c_char, c_void};

/// Reads and hashes the bytes of the tiles that regions touch, and reports every damaged range.
///
/// Works as atlas_projection_verify() does, but continues after damage. `regions` NULL means the
/// whole domain; otherwise there are `region_count` regions in any order. `damage` (may be NULL)
/// receives each range in ascending order, adjacent ranges of one kind merged. Ranges consist of groups of 16
/// KiB in tiles with stored chaining values, else of whole tiles. A damaged record of a container comes
/// before the range that it makes unknown. A source longer than the domain is no damage. Memory is at most
/// one tile of 1 MiB per thread. Callable from any thread. `operation` may be NULL; progress is reported once
/// per tile.
///
/// Fails with WITNESS at the end if there was damage, CONSERVATION if only a sum differs,
/// INCOMPLETE (no damage, but bytes of a base that is not attached were not read), OUT_OF_RANGE (a
/// region outside the domain), INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork),
/// OUT_OF_MEMORY or CANCELLED (`damage` or the progress returned false).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_find_damage(
    projection: *const atlas_projection,
    regions: *const atlas_region,
    region_count: usize,
    damage: atlas_damage_fn,
    user_data: *mut c_void,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection.
        let projection = unsafe { handle(projection, "projection") }?;
        let mut each = |found: &Damage| {
            // SAFETY: the header requires NULL or the caller's function for the caller's data.
            unsafe { report(damage, user_data, found) }
        };
        let find = |regions: Option<&[_]>, run: &mut Operation<'_>| {
            projection.0.find_damage(regions, &mut each, run)
        };
        // SAFETY: the header requires `region_count` regions, and an operation or NULL.
        unsafe { with_operation(operation, |run| with_regions(regions, region_count, run, find)) }
    })
}

/// Repairs a file in place until it holds the projection's bytes.
///
/// The file at `path` is read and compared with the witnesses. Only ranges that differ, cannot be
/// read or are missing are read through the projection, verified, and then written. An outline
/// whose base is another copy of the file, or a callback that downloads it, therefore fetches only
/// the damaged bytes, on as many threads as the operation allows. `regions` NULL means the whole
/// domain; otherwise there are `region_count` regions in any order.
///
/// `damage` is required. It is called once per range, ascending, each at most a tile, before the
/// range is written. repairable is 1 if verified bytes are available, else 0 (os_error has the
/// reason); then the range stays as it is and the repair continues. Returning false leaves a range
/// as it is. A shorter file is extended; a range that was refused before a written one then reads
/// as zeros. Bytes after the domain stay. The file is synced before the call returns, also if the call was
/// cancelled. If the sync fails, bytes may not be on the disk: the call fails with IO and drops the system's
/// cached bytes of the file, so that the next call reads the disk and repairs again. The error text says if
/// the system keeps cached bytes. If the call ends at any moment, each byte is right or unchanged, and the
/// next call continues. `path` and `regions` are copied. No other program may write to the file during the
/// call. `operation` may be NULL; progress is reported once per tile.
///
/// ATLAS_STATUS_OK means that every byte of the regions is right. Fails with IO (a range could not
/// be written, the sync failed, or good bytes could not be read), INCOMPLETE (the good bytes lie in a base
/// that is not attached, or after its end), or WITNESS (`damage` refused a range, or the bytes read for a
/// range did not verify). Before anything is written it fails with INVALID_ARGUMENT (not a regular file, the
/// projection's own container, or a file that has bytes of the projection elsewhere than at their own offset;
/// this check does not see files that a callback reads), IO, OUT_OF_RANGE (a region outside the domain), LIMIT,
/// STATE (pool from before a fork). At any time it fails with OUT_OF_MEMORY or CANCELLED (the progress returned
/// false).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_repair_file(
    projection: *const atlas_projection,
    path: *const c_char,
    regions: *const atlas_region,
    region_count: usize,
    damage: atlas_damage_fn,
    user_data: *mut c_void,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection and a C string.
        let (projection, path) = unsafe { (handle(projection, "projection")?, self::path(path, "path")?) };
        if damage.is_none() {
            return Err(AtlasError::invalid_argument(
                "damage is NULL: a repair in place needs it, because only the owner can distinguish a \
                 change from damage",
            ));
        }
        let mut each = |found: &Damage| {
            // SAFETY: the header requires the caller's function for the caller's data.
            unsafe { report(damage, user_data, found) }
        };
        // NULL with 0 regions means the whole domain.
        let repair = |regions: Option<&[_]>, run: &mut Operation<'_>| {
            projection.0.repair_file(&path, regions, &mut each, run)
        };
        // SAFETY: the header requires `region_count` regions, and an operation or NULL.
        unsafe { with_operation(operation, |run| with_regions(regions, region_count, run, repair)) }
    })
}

/// Lists the ranges of `projection` whose bytes may differ from the bytes at the same offsets of `other`,
/// ascending and merged.
///
/// On entry `*count` is the capacity of `regions` (which may be NULL if it is 0); on return it is
/// the number of ranges. If the capacity is too small, the call still succeeds and fills in the
/// first ranges. Ranges end at tiles, or at groups of 16 KiB for tiles of which both store chaining
/// values. All bytes after the end of `other` are listed, and none after the end of `projection`. Tiles are
/// compared by their boundaries: after edits that move boundaries, all bytes after the edit may be listed,
/// unless atlas_projection_optimize() is called first. No payload is read, except of edited tiles, which are
/// hashed first. The cost depends on the difference. Callable from any thread. `operation` may be NULL;
/// progress is reported once per tile that differs.
///
/// Fails with INVALID_ARGUMENT (NULL, or another type, K or key), WITNESS or FORMAT (a record of a container
/// is damaged), and for edited tiles CONSERVATION or INCOMPLETE (no base is attached); IO, LIMIT, STATE (pool
/// from before a fork), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_diff(
    projection: *const atlas_projection,
    other: *const atlas_projection,
    operation: *const atlas_operation,
    regions: *mut atlas_region,
    count: *mut usize,
) -> atlas_status {
    boundary(|| {
        let list = |each: &mut dyn FnMut(AtlasBoundaryRegion)| {
            // SAFETY: the header requires live projections.
            let (projection, other) = unsafe { (handle(projection, "projection")?, handle(other, "other")?) };
            // SAFETY: the caller meets the header's requirements.
            let found = unsafe { with_operation(operation, |run| projection.0.diff(&other.0, run)) }?;
            found.into_iter().for_each(each);
            Ok(())
        };
        // SAFETY: the header requires a number, and room for as many regions.
        unsafe { fill_list(regions, count, "regions", list) }
    })
}
