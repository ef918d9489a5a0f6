//! Transformations of the tile plane.

use super::args::{handle, out};
use super::boundary::boundary;
use super::projection::atlas_projection;
use super::status::atlas_status;
use crate::projection::plane::TransformParams;

/// Scaling, then rotation, then translation of the tile plane.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_transform_params {
    /// Scaling factor, greater than 0 and finite.
    pub scaling_factor: f64,
    /// Rotation in radians, counter-clockwise about the origin.
    pub rotation_angle: f64,
    /// Translation of x, applied last.
    pub translation_x: f64,
    /// Translation of y, applied last.
    pub translation_y: f64,
}

/// Maps the tile plane by `params`, after the earlier maps. The bytes stay as they are.
///
/// Tile i is the unit square at column i mod width, row i / width. Serialised with other changes of
/// the handle. Fails with INVALID_ARGUMENT, also if the composed map has no inverse.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_transform(
    projection: *mut atlas_projection,
    params: *const atlas_transform_params,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live projection, a whole struct.
        let (projection, params) = unsafe { (handle(projection, "projection")?, handle(params, "params")?) };
        projection.0.transform(&TransformParams {
            scaling_factor: params.scaling_factor,
            rotation_angle: params.rotation_angle,
            translation_x: params.translation_x,
            translation_y: params.translation_y,
        })
    })
}

/// Computes the bounds of the four transformed corners of a tile: min x, min y, max x, max y.
///
/// Callable from any thread. Fails with INVALID_ARGUMENT or OUT_OF_RANGE.
///
/// cbindgen:ptrs-as-arrays=[[bounds;4]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_tile_bounds(
    projection: *const atlas_projection,
    tile: u64,
    bounds: *mut f64,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires four writable doubles.
        let out = unsafe { self::out(bounds.cast::<[f64; 4]>(), [0.0; 4], "bounds") }?;
        // SAFETY: the header requires a live projection.
        let bounds = unsafe { handle(projection, "projection") }?.0.tile_bounds(tile)?;
        out.set([bounds.min_x, bounds.min_y, bounds.max_x, bounds.max_y]);
        Ok(())
    })
}

/// Finds the tile at a point of the transformed plane, by the inverse map.
///
/// Callable from any thread. Fails with INVALID_ARGUMENT (not finite) or OUT_OF_RANGE (no tile is
/// there).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_projection_tile_at(
    projection: *const atlas_projection,
    x: f64,
    y: f64,
    tile: *mut u64,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a writable number.
        let out = unsafe { self::out(tile, 0, "tile") }?;
        // SAFETY: the header requires a live projection.
        out.set(unsafe { handle(projection, "projection") }?.0.tile_at(x, y)?);
        Ok(())
    })
}
