//! Incremental updates: edits of a projection, and their undoing.
//!
//! A delta inserts, replaces, deletes or moves bytes at a cost that depends on the change and not
//! on the size of the domain. The source itself is never written. A history of deltas can be rolled
//! back exactly.
//!
//! ```c
//! static atlas_status append_line(atlas_projection *projection, uint64_t size) {
//!   atlas_delta delta = { .type = ATLAS_CHANGE_INSERT, .offset = size };
//!   delta.data = "one more line\n";
//!   delta.data_size = 14;
//!   atlas_status status = atlas_projection_apply(projection, &delta);
//!   if (status == ATLAS_STATUS_OK && atlas_projection_history_len(projection) > 100)
//!     status = atlas_projection_rollback(projection, 1);
//!   return status;
//! }
//! ```

use super::args::{bytes_in, c_enum, handle, items_in, pointee};
use super::boundary::{boundary, infallible};
use super::operation::{atlas_operation, with_operation};
use super::projection::atlas_projection;
use super::sized::{OutStruct, init_struct, own_size, read_struct, sized_struct};
use super::source::atlas_source;
use super::status::atlas_status;
use crate::base::buffer::try_vec;
use crate::base::error::Result;
use crate::incremental::new_bytes::NewBytes;
use crate::incremental::{IncrementalConfig, ProjectionDelta};
use std::ffi::c_void;

/// Kind of a delta. Fields that a kind does not use are ignored.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_change_type {
    /// Inserts data before the byte at offset. An offset equal to the size of the domain appends.
    ATLAS_CHANGE_INSERT = 0,
    /// Replaces [offset, offset + length) by data of any size. Data of the same size moves no tile
    /// boundary.
    ATLAS_CHANGE_UPDATE = 1,
    /// Removes [offset, offset + length).
    ATLAS_CHANGE_DELETE = 2,
    /// Cuts [offset, offset + length) and inserts it before the byte that was at destination before
    /// the move. A destination equal to the size of the domain moves the range to the end. A destination at
    /// either edge of the range changes nothing; a destination strictly inside the range fails with
    /// ATLAS_STATUS_INVALID_ARGUMENT.
    ATLAS_CHANGE_MOVE = 3,
}

/// One change of a domain.
///
/// A range outside the domain fails with ATLAS_STATUS_OUT_OF_RANGE. A delta without effect
/// succeeds, and counts in statistics and history.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_delta {
    /// Kind of the change, an atlas_change_type.
    pub r#type: u32,
    /// Offset of the first affected byte.
    pub offset: u64,
    /// Number of affected bytes. Ignored for INSERT.
    pub length: u64,
    /// Target of MOVE, an offset before the move.
    pub destination: u64,
    /// New bytes of INSERT and UPDATE. Copied. May be NULL if data_size is 0.
    pub data: *const c_void,
    /// Number of bytes at data.
    pub data_size: usize,
}

/// Settings of updates. Fill it with atlas_incremental_config_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_incremental_config {
    /// sizeof(atlas_incremental_config).
    pub struct_size: u32,
    /// Not 0: the residue after an update is checked against the residue of the change. Default 1.
    pub validate_conservation: u32,
    /// Not 0: a history is kept. Default 1.
    pub enable_rollback: u32,
    /// Maximum number of deltas in the history; the oldest are dropped beyond it. Default 1,000. 0 means that
    /// no delta is kept.
    pub max_deltas: u64,
}

sized_struct!(
    atlas_incremental_config,
    atlas_incremental_config {
        struct_size: own_size::<atlas_incremental_config>(),
        validate_conservation: IncrementalConfig::DEFAULT.validate_conservation as u32,
        enable_rollback: IncrementalConfig::DEFAULT.enable_rollback as u32,
        max_deltas: IncrementalConfig::DEFAULT.max_deltas,
    },
    [struct_size, validate_conservation, enable_rollback, max_deltas]
);

/// Statistics of the deltas applied to a projection. Filled by
/// atlas_projection_get_incremental_stats().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_incremental_stats {
    /// sizeof(atlas_incremental_stats), set by the caller.
    pub struct_size: u32,
    /// Number of deltas of all kinds. A rollback does not reduce it.
    pub total_updates: u64,
    /// Number of deltas that insert.
    pub insert_operations: u64,
    /// Number of deltas that replace.
    pub update_operations: u64,
    /// Number of deltas that delete.
    pub delete_operations: u64,
    /// Number of deltas that move.
    pub move_operations: u64,
    /// Number of successful calls of atlas_projection_rollback().
    pub rollbacks: u64,
    /// Number of bytes inserted, deleted and moved. An update counts the longer of the old and the
    /// new bytes.
    pub bytes_modified: u64,
    /// Number of calls refused with ATLAS_STATUS_CONSERVATION.
    pub conservation_violations: u64,
    /// Mean time per delta in nanoseconds.
    pub avg_update_time_ns: u64,
}

sized_struct!(
    atlas_incremental_stats,
    atlas_incremental_stats {
        struct_size: own_size::<atlas_incremental_stats>(),
        total_updates: 0,
        insert_operations: 0,
        update_operations: 0,
        delete_operations: 0,
        move_operations: 0,
        rollbacks: 0,
        bytes_modified: 0,
        conservation_violations: 0,
        avg_update_time_ns: 0,
    },
    [
        struct_size,
        total_updates,
        insert_operations,
        update_operations,
        delete_operations,
        move_operations,
        rollbacks,
        bytes_modified,
        conservation_violations,
        avg_update_time_ns
    ]
);

/// Fills `config` with the defaults: updates are checked, and a history of 1,000 deltas is kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_incremental_config_init(config: *mut atlas_incremental_config) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(config) };
}

/// Sets the configuration of later updates. NULL for `config` means the defaults.
///
/// A shorter history drops the oldest deltas at once, and the call frees the memory that only they
/// needed. Serialised with other changes of the handle. Fails with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_configure_incremental(
    projection: *mut atlas_projection,
    config: *const atlas_incremental_config,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection, a struct of its struct_size.
        let (projection, config) = unsafe { (handle(projection, "projection")?, read_struct(config)?) };
        projection.0.configure_incremental(&IncrementalConfig {
            validate_conservation: config.validate_conservation != 0,
            enable_rollback: config.enable_rollback != 0,
            max_deltas: config.max_deltas,
        });
        Ok(())
    })
}

/// Converts the caller's delta.
///
/// # Safety
///
/// The data of `delta` are NULL or readable for data_size bytes, if its type uses them.
unsafe fn projection_delta(delta: &atlas_delta) -> Result<ProjectionDelta> {
    // SAFETY: the caller meets this function's requirements.
    let data = || unsafe { bytes_in(delta.data, delta.data_size, "data") }.and_then(NewBytes::copy_of);
    // A range beyond 2^64 is outside every domain, also after this saturation.
    let end = delta.offset.saturating_add(delta.length);
    // Only insertions and updates look at the data; deletions and moves may leave it undefined.
    c_enum!(delta.r#type, "delta type", atlas_change_type {
        ATLAS_CHANGE_INSERT => ProjectionDelta::insert_data(delta.offset, data()?),
        ATLAS_CHANGE_UPDATE => ProjectionDelta::update_data(delta.offset, end, data()?),
        ATLAS_CHANGE_DELETE => ProjectionDelta::delete(delta.offset, end),
        ATLAS_CHANGE_MOVE => ProjectionDelta::move_range(delta.offset, end, delta.destination),
    })
}

/// Applies one delta, or changes nothing.
///
/// The cost depends on the change and not on the size of the domain. Edited tiles are hashed when a root, a
/// tile or a shard is requested. Serialised with other changes of the handle; readers see the state before or
/// after. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, OUT_OF_MEMORY, CONSERVATION (a STRICT projection would
/// no longer sum to 0 mod 96; the message names the missing sum), IO (reading the source), or WITNESS or
/// CONSERVATION if the source no longer has the projected bytes, and on a snapshot of a container with FORMAT
/// (a damaged record) or INCOMPLETE (no base is attached).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_apply(
    projection: *mut atlas_projection,
    delta: *const atlas_delta,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection, a whole struct.
        let (projection, delta) = unsafe { (handle(projection, "projection")?, pointee(delta, "delta")?) };
        // SAFETY: the header requires data_size readable bytes.
        projection.0.apply_incremental_update(unsafe { projection_delta(delta) }?)
    })
}

/// Applies deltas in order, each to the result of the delta before it. Either all deltas are applied, or
/// none.
///
/// A STRICT projection checks the net residue of the whole batch. Fails as atlas_projection_apply()
/// does, with the number of the delta as the error's index. `deltas` may be NULL if `count` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_apply_batch(
    projection: *mut atlas_projection,
    deltas: *const atlas_delta,
    count: usize,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection, `count` whole structs.
        let (projection, deltas) =
            unsafe { (handle(projection, "projection")?, items_in(deltas, count, "deltas")?) };
        // All deltas are converted first, so that a wrong one changes nothing.
        let mut batch = try_vec(deltas.len())?;
        for (index, delta) in (0..).zip(deltas) {
            // SAFETY: the header requires data_size readable bytes.
            batch.push(unsafe { projection_delta(delta) }.map_err(|error| error.at_index(index))?);
        }
        projection.0.apply_incremental_batch(batch).map(|_| ())
    })
}

/// Undoes the last `count` applied deltas. A batch counts as its deltas.
///
/// Restores bytes, size, residue, geometry and root exactly, at a cost that does not depend on the
/// amount of data that the deltas touched. A `count` beyond the history fails with OUT_OF_RANGE and
/// undoes nothing. Statistics keep their counts; transforms are not part of the history. Serialised
/// with other changes of the handle. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, or CONSERVATION if
/// a STRICT projection would end in the middle of a batch whose parts do not sum to 0 mod 96.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_rollback(
    projection: *mut atlas_projection,
    count: u64,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection.
        unsafe { handle(projection, "projection") }?.0.rollback(count)
    })
}

/// Returns the number of deltas that can be undone. 0 for NULL. Callable from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_history_len(projection: *const atlas_projection) -> u64 {
    infallible(0, || {
        // SAFETY: the header requires NULL or a live projection.
        unsafe { projection.as_ref() }.map_or(0, |projection| projection.0.history_len())
    })
}

/// Fills `stats` with the statistics of the deltas applied so far. Callable from any thread. Fails
/// with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_get_incremental_stats(
    projection: *const atlas_projection,
    stats: *mut atlas_incremental_stats,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a struct of its struct_size, a live projection.
        let (out, projection) =
            unsafe { (OutStruct::new(stats, "stats")?, handle(projection, "projection")?) };
        let stats = projection.0.incremental_stats();
        out.fill(&atlas_incremental_stats {
            struct_size: 0,
            total_updates: stats.total_updates,
            insert_operations: stats.insert_operations,
            update_operations: stats.update_operations,
            delete_operations: stats.delete_operations,
            move_operations: stats.move_operations,
            rollbacks: stats.rollbacks,
            bytes_modified: stats.bytes_modified,
            conservation_violations: stats.conservation_violations,
            avg_update_time_ns: stats.avg_update_time_ns,
        });
        Ok(())
    })
}

/// Restores full tiles from offset 0, so that the root equals that of a fresh projection of the
/// same bytes.
///
/// Hashes the tiles that change, empties the history and frees the memory that only the history needed.
/// `operation` may be NULL; progress is reported once per tile, with no lock held. Changes made by other
/// calls in between are hashed again at the end, which is not reported. Fails with INVALID_ARGUMENT, IO,
/// WITNESS or CONSERVATION (the source no longer has the projected bytes), LIMIT, STATE (pool from before a
/// fork), OUT_OF_MEMORY or CANCELLED, on a snapshot of a container with FORMAT (a damaged record) or
/// INCOMPLETE (no base is attached), and then changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_optimize(
    projection: *mut atlas_projection,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection.
        let projection = unsafe { handle(projection, "projection") }?;
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| projection.0.optimize(run)) }
    })
}

/// Inserts all bytes of a source before the byte at `offset`. If `offset` is the size of the domain, the
/// bytes are appended.
///
/// The source is projected first. Its bytes are not copied; the projection keeps the source alive. The
/// insertion is one delta of the history. `operation` may be NULL; progress is reported once per tile of the
/// source. Fails with OUT_OF_RANGE, CONSERVATION (STRICT), IO, WITNESS (splitting a tile reads a source that
/// changed), LIMIT, STATE (pool from before a fork), INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED, on a
/// snapshot of a container with FORMAT (a damaged record) or INCOMPLETE (no base is attached), and then
/// changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_insert_source(
    projection: *mut atlas_projection,
    offset: u64,
    source: *const atlas_source,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires live handles.
        let (projection, source) =
            unsafe { (handle(projection.cast_const(), "projection")?, handle(source, "source")?) };
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| projection.0.insert_source(offset, &source.0, run)) }
    })
}
