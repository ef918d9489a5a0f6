//! Affine maps of the tile plane, in which each tile of a projection is a square. They never touch the bytes.
//!
//! Tile i is the unit square at column i mod width, row i / width, with width = height = ceil(sqrt(tile count)). A
//! map scales a point, turns it counter-clockwise about the origin, and moves it. Several maps are applied in the
//! order of the calls.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, Result};

/// Map of the tile plane: scaling, then rotation, then translation.
///
/// ```
/// use atlas_manifold::{AtlasProjection, Source, TransformParams};
///
/// let projection = AtlasProjection::linear(&Source::from_vec(vec![7; 3_000_000]))?;
/// let params =
///     TransformParams { scaling_factor: 2.0, rotation_angle: 0.0, translation_x: 10.0, translation_y: 0.0 };
/// projection.transform(&params)?;
/// let bounds = projection.tile_bounds(1)?; // column 1 of row 0
/// assert_eq!((bounds.min_x, bounds.max_x), (12.0, 14.0));
/// assert_eq!(projection.tile_at(13.0, 1.0)?, 1);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransformParams {
    /// Scaling factor, greater than 0 and finite.
    pub scaling_factor: f64,
    /// Rotation in radians, counter-clockwise about the origin.
    pub rotation_angle: f64,
    /// Translation of x, applied last.
    pub translation_x: f64,
    /// Translation of y, applied last.
    pub translation_y: f64,
}

/// Minimum and maximum corner of an axis-aligned rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Smallest x.
    pub min_x: f64,
    /// Smallest y.
    pub min_y: f64,
    /// Largest x.
    pub max_x: f64,
    /// Largest y.
    pub max_y: f64,
}

/// Affine map: (x, y) becomes (a·x + b·y + x0, c·x + d·y + y0).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Affine {
    a: f64,
    b: f64,
    c: f64,
    d: f64,
    x0: f64,
    y0: f64,
}

impl Affine {
    pub(crate) const IDENTITY: Affine = Affine { a: 1.0, b: 0.0, c: 0.0, d: 1.0, x0: 0.0, y0: 0.0 };

    /// Returns this map followed by `params`. Fails with INVALID_ARGUMENT if a number is not finite, or if
    /// the result has no inverse.
    pub(crate) fn then(&self, params: &TransformParams) -> Result<Affine> {
        let TransformParams { scaling_factor, rotation_angle, translation_x, translation_y } = *params;
        // Each number is checked alone, so that the error can name it.
        if !(scaling_factor.is_finite() && scaling_factor > 0.0) {
            return Err(AtlasError::invalid_argument(format!(
                "scaling_factor {scaling_factor} is not a finite number greater than 0"
            )));
        }
        for (name, value) in [
            ("rotation_angle", rotation_angle),
            ("translation_x", translation_x),
            ("translation_y", translation_y),
        ] {
            if !value.is_finite() {
                return Err(AtlasError::invalid_argument(format!("{name} {value} is not a finite number")));
            }
        }
        // Compose the matrices: `params` after this map.
        let (sin, cos) = rotation_angle.sin_cos();
        let (cos, sin) = (scaling_factor * cos, scaling_factor * sin);
        let map = Affine {
            a: cos * self.a - sin * self.c,
            b: cos * self.b - sin * self.d,
            c: sin * self.a + cos * self.c,
            d: sin * self.b + cos * self.d,
            x0: cos * self.x0 - sin * self.y0 + translation_x,
            y0: sin * self.x0 + cos * self.y0 + translation_y,
        };
        // Overflow and a determinant near 0 would make the inverse useless.
        let numbers = [map.a, map.b, map.c, map.d, map.x0, map.y0, 1.0 / map.determinant()];
        if numbers.iter().all(|number| number.is_finite()) && map.determinant().is_normal() {
            Ok(map)
        } else {
            Err(AtlasError::invalid_argument(format!(
                "scaling_factor {scaling_factor} combined with the earlier maps gives a map without an \
                 inverse"
            )))
        }
    }

    fn determinant(&self) -> f64 {
        self.a * self.d - self.b * self.c
    }

    fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        (self.a * x + self.b * y + self.x0, self.c * x + self.d * y + self.y0)
    }

    fn invert(&self, x: f64, y: f64) -> (f64, f64) {
        // The determinant is not 0, which `then` has checked.
        let (x, y) = (x - self.x0, y - self.y0);
        let determinant = self.determinant();
        let quotient = |a: f64, x: f64, b: f64, y: f64| {
            let whole = (a * x - b * y) / determinant;
            // The product may be too large, although the quotient is not.
            if whole.is_finite() { whole } else { a / determinant * x - b / determinant * y }
        };
        (quotient(self.d, x, self.b, y), quotient(self.a, y, self.c, x))
    }
}

/// Returns ceil(sqrt(tiles)), the number of columns and of rows of the plane.
pub(crate) fn width(tiles: u64) -> u64 {
    // An integer root, because floating point would round for large counts.
    let root = tiles.isqrt();
    if root * root == tiles { root } else { root + 1 }
}

/// Returns the axis-aligned bounds of the square of tile `tile`, transformed by `map`, on a plane of `tiles` tiles.
/// Fails with OUT_OF_RANGE if there is no such tile.
#[expect(clippy::cast_precision_loss, reason = "2^53 columns are more than any domain has")]
pub(crate) fn tile_bounds(map: &Affine, tile: u64, tiles: u64) -> Result<Bounds> {
    if tile >= tiles {
        return Err(AtlasError::out_of_range(format!(
            "tile {tile} is outside 0..{tiles}, the tiles of the projection"
        ))
        .at_index(tile));
    }
    // The corners of the unit square, mapped; then the smallest and largest of each coordinate.
    let width = width(tiles);
    let (x, y) = ((tile % width) as f64, (tile / width) as f64);
    let corners = [(x, y), (x + 1.0, y), (x, y + 1.0), (x + 1.0, y + 1.0)].map(|(x, y)| map.apply(x, y));
    let fold = |pick: fn(&(f64, f64)) -> f64, choose: fn(f64, f64) -> f64| {
        corners.iter().map(pick).reduce(choose).unwrap_or(f64::NAN)
    };
    Ok(Bounds {
        min_x: fold(|corner| corner.0, f64::min),
        min_y: fold(|corner| corner.1, f64::min),
        max_x: fold(|corner| corner.0, f64::max),
        max_y: fold(|corner| corner.1, f64::max),
    })
}

/// Returns the tile whose square, transformed by `map`, contains the point (x, y); a square includes its lower
/// edges. Fails with OUT_OF_RANGE if there is none, with INVALID_ARGUMENT if a coordinate is not finite.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "compared with the width first"
)]
#[expect(clippy::cast_sign_loss, reason = "not negative")]
pub(crate) fn tile_at(map: &Affine, x: f64, y: f64, tiles: u64) -> Result<u64> {
    if !(x.is_finite() && y.is_finite()) {
        return Err(AtlasError::invalid_argument(format!(
            "the coordinates of the point ({x}, {y}) are not finite numbers"
        )));
    }
    let width = width(tiles);
    // The inverse map leads to the grid of unit squares.
    let (column, row) = map.invert(x, y);
    let (column, row) = (column.floor(), row.floor());
    let within = |value: f64| value >= 0.0 && value < width as f64;
    // A point beside the plane has no tile, and neither has an unused cell of its last rows.
    if within(column) && within(row) {
        let tile = row as u64 * width + column as u64;
        if tile < tiles {
            return Ok(tile);
        }
    }
    Err(AtlasError::out_of_range(format!("no tile is at ({x}, {y}) on a plane of {tiles} tiles")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use std::f64::consts::PI;

    fn params(scale: f64, angle: f64, x: f64, y: f64) -> TransformParams {
        TransformParams { scaling_factor: scale, rotation_angle: angle, translation_x: x, translation_y: y }
    }

    #[test]
    fn the_plane_is_the_smallest_square() {
        let widths: Vec<u64> = [0, 1, 2, 4, 5, 9, 10, 1 << 40, u64::MAX].map(width).into();
        assert_eq!(widths, [0, 1, 2, 2, 3, 3, 4, 1 << 20, 1 << 32]);
    }

    #[test]
    fn scaling_then_rotation_then_translation_in_this_order() {
        let map = Affine::IDENTITY.then(&params(2.0, PI / 2.0, 10.0, 0.0)).unwrap();
        // Tile 1 of 4: the square (1, 0)..(2, 1), scaled to (2, 0)..(4, 2), turned to (-2, 2)..(0, 4).
        let bounds = tile_bounds(&map, 1, 4).unwrap();
        let want = [8.0, 2.0, 10.0, 4.0];
        for (got, want) in [bounds.min_x, bounds.min_y, bounds.max_x, bounds.max_y].iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{bounds:?}");
        }
    }

    #[test]
    fn the_centre_of_every_tile_is_found_again_after_many_maps() {
        let mut map = Affine::IDENTITY;
        for step in 0..20 {
            let step = f64::from(step);
            map = map.then(&params(0.9 + step / 100.0, step, step - 3.0, 7.5)).unwrap();
            for tiles in [1, 2, 5, 9, 100] {
                for tile in 0..tiles {
                    let w = width(tiles);
                    let centre = map.apply((tile % w) as f64 + 0.5, (tile / w) as f64 + 0.5);
                    assert_eq!(tile_at(&map, centre.0, centre.1, tiles).unwrap(), tile);
                    let bounds = tile_bounds(&map, tile, tiles).unwrap();
                    assert!(bounds.min_x < centre.0 && centre.0 < bounds.max_x);
                    assert!(bounds.min_y < centre.1 && centre.1 < bounds.max_y);
                }
            }
        }
    }

    #[test]
    fn the_centre_of_a_tile_is_found_on_a_plane_whose_squares_are_too_large_for_products() {
        let map = Affine::IDENTITY.then(&params(1.3e154, 0.3, 0.0, 0.0)).unwrap();
        for tile in 0..12 {
            let bounds = tile_bounds(&map, tile, 12).unwrap();
            let centre =
                (f64::midpoint(bounds.min_x, bounds.max_x), f64::midpoint(bounds.min_y, bounds.max_y));
            assert_eq!(tile_at(&map, centre.0, centre.1, 12).unwrap(), tile);
        }
    }

    #[test]
    fn points_off_the_plane_and_tiles_that_are_none_are_out_of_range() {
        let map = Affine::IDENTITY;
        for (x, y) in [(-0.1, 0.0), (0.0, -1e-9), (2.0, 0.0), (1.5, 1.5), (1e300, 0.0)] {
            assert_eq!(tile_at(&map, x, y, 3).unwrap_err().kind(), ErrorKind::OutOfRange, "({x}, {y})");
        }
        assert_eq!(tile_at(&map, 0.0, 0.0, 0).unwrap_err().kind(), ErrorKind::OutOfRange);
        assert_eq!(tile_bounds(&map, 3, 3).unwrap_err().kind(), ErrorKind::OutOfRange);
        assert_eq!(tile_at(&map, f64::NAN, 0.0, 3).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn maps_that_cannot_be_inverted_are_refused() {
        for bad in [
            params(0.0, 0.0, 0.0, 0.0),
            params(-1.0, 0.0, 0.0, 0.0),
            params(f64::NAN, 0.0, 0.0, 0.0),
            params(f64::INFINITY, 0.0, 0.0, 0.0),
            params(1.0, f64::INFINITY, 0.0, 0.0),
            params(1.0, 0.0, f64::NAN, 0.0),
            params(1.0, 0.0, 0.0, f64::INFINITY),
            params(1e-200, 0.0, 0.0, 0.0),
            params(1e200, 0.0, 0.0, 0.0),
        ] {
            let error = Affine::IDENTITY.then(&bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad:?}");
        }
    }
}
