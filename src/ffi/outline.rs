//! Outlines: the search for damage, the repair of files, and the difference of two projections.

use super::args::{fill_list, handle, path};
use super::boundary::boundary;
use super::damage::{atlas_damage_fn, report};
use super::operation::{atlas_operation, with_operation};
use super::projection::atlas_projection;
use super::shard::{atlas_region, regions_in};
use super::status::atlas_status;
use crate::base::damage::Damage;
use crate::base::error::AtlasError;
use std::ffi::{c_char, c_void};

/// Reads and hashes the bytes of the tiles that regions touch, and reports every damaged range.
///
/// As atlas_projection_verify(), but it continues after damage. `regions` NULL: the whole domain; else `region_count`
/// regions in any order. `damage` (may be NULL) receives each range in ascending order, neighbours of one kind merged:
/// groups of 16 KiB of tiles whose chaining values are stored, else whole tiles. A damaged record of a container comes
/// before the range that it leaves unknown. A source that is longer than the domain is no damage. Memory is at most a
/// tile of 1 MiB a thread. Any thread. `operation` may be NULL; progress once a tile.
///
/// Fails with WITNESS at the end if there was damage, CONSERVATION if only a sum differs, INCOMPLETE (no damage, and
/// bytes of a base that is not attached were not read), OUT_OF_RANGE (a region outside the domain), INVALID_ARGUMENT,
/// LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED (`damage` or the progress returned false).
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
        // SAFETY: as the header asks: a live projection, `region_count` regions.
        let (projection, regions) =
            unsafe { (handle(projection, "projection")?, regions_in(regions, region_count)?) };
        let mut each = |found: &Damage| {
            // SAFETY: as the header asks: NULL or the caller's function for the caller's data.
            unsafe { report(damage, user_data, found) }
        };
        let regions = regions.as_deref();
        // SAFETY: as the header asks.
        unsafe { with_operation(operation, |run| projection.0.find_damage(regions, &mut each, run)) }
    })
}

/// Repairs a file in place until it holds the projection's bytes.
///
/// The file at `path` is read and compared with the witnesses. Only ranges that differ, cannot be read or are missing
/// are read through the projection, verified, and then written: an outline whose base is another copy of the file, or a
/// callback that downloads it, fetches damaged bytes alone, on as many threads as the operation allows. `regions` NULL:
/// the whole domain; else `region_count` regions in any order.
///
/// `damage` is needed. It is called once per range, ascending, each at most a tile, before the range is written:
/// repairable 1 means that verified bytes are at hand; 0 that they are not (os_error says why): the range stays, and
/// the repair continues. False leaves a range as it is. A shorter file is extended, whereby a range that was refused
/// before one that is written reads as zeros; bytes behind the domain stay. The file is synced on return, also if the
/// call was cancelled. After an end at any moment each byte is right or as it was, and the next call continues.
/// `path` and `regions` are copied. Nobody else may write to the file meanwhile. `operation` may be NULL; progress once
/// a tile.
///
/// ATLAS_STATUS_OK: every byte of the regions is right. Fails with IO (a range could not be written, or its good
/// bytes not be read), INCOMPLETE (they lie in a base that is not attached, or after its end), or WITNESS (refused by
/// `damage`, or what was read for it did not verify). Before anything is written: INVALID_ARGUMENT (not a regular
/// file, the projection's own container, or a file that has bytes of the projection elsewhere than at their own
/// offset; what a callback reads is not known), IO, OUT_OF_RANGE (a region outside the domain), LIMIT, STATE (pool
/// from before a fork). At any time OUT_OF_MEMORY or CANCELLED (the progress returned false).
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
        // SAFETY: as the header asks: a live projection, a C string, `region_count` regions.
        let (projection, path, regions) = unsafe {
            (handle(projection, "projection")?, self::path(path, "path")?, regions_in(regions, region_count)?)
        };
        if damage.is_none() {
            return Err(AtlasError::invalid_argument(
                "damage is NULL: a repair in place needs it, because only the owner knows what was changed on purpose",
            ));
        }
        let mut each = |found: &Damage| {
            // SAFETY: as the header asks: the caller's function for the caller's data.
            unsafe { report(damage, user_data, found) }
        };
        let regions = regions.as_deref();
        // SAFETY: as the header asks.
        unsafe { with_operation(operation, |run| projection.0.repair_file(&path, regions, &mut each, run)) }
    })
}

/// Ranges of `projection` whose bytes may differ from those at the same offsets of `other`, ascending and merged.
///
/// `*count` is in: the capacity of `regions` (which may be NULL when it is 0), out: how many ranges there are. OK also
/// when the capacity is short: then the first ones are there. They end at tiles, or at groups of 16 KiB of tiles of
/// which both store chaining values. All that is behind the end of `other` is among them, and nothing behind the end
/// of `projection`. Tiles are compared edge by edge: after edits that move them, everything behind may be listed, unless
/// atlas_projection_optimize() comes first. No payload is read, except of edited tiles, which are hashed first. Costs
/// what differs. Any thread. `operation` may be NULL; progress once a tile that differs.
///
/// Fails with INVALID_ARGUMENT (NULL, or another type, K or key), WITNESS or FORMAT (a record of a container is
/// damaged), and of edited tiles CONSERVATION; IO, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_diff(
    projection: *const atlas_projection,
    other: *const atlas_projection,
    operation: *const atlas_operation,
    regions: *mut atlas_region,
    count: *mut usize,
) -> atlas_status {
    boundary(|| {
        let list = || {
            // SAFETY: as the header asks: live projections.
            let (projection, other) = unsafe { (handle(projection, "projection")?, handle(other, "other")?) };
            // SAFETY: as the header asks.
            unsafe { with_operation(operation, |run| projection.0.diff(&other.0, run)) }
        };
        // SAFETY: as the header asks: a number, and room for as many regions.
        unsafe { fill_list(regions, count, "regions", list) }
    })
}
