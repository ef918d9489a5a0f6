//! Geometry: units, columns and rows of the protected bytes, and the places of their parity.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, Result};
use crate::base::units::{PAGE_BYTES, to_usize};
use std::ops::Range;

/// Number of bytes of a block of digests in a parity file.
pub(super) const BLOCK: u64 = PAGE_BYTES;
/// Number of digests of units in a block of a parity file.
pub(super) const DIGESTS_A_BLOCK: u64 = 247;
/// Maximum number of bytes of a unit.
const MAX_UNIT: u32 = 1024 * 1024;
/// Maximum number of protected bytes.
const MAX_SIZE: u64 = 1 << 62;
/// Number of protected bytes from which on the default unit has 64 KiB instead of 4 KiB.
const LARGE: u64 = 256 * 1024 * 1024;
const SMALL_UNIT: u32 = 4 * 1024;
const LARGE_UNIT: u32 = 64 * 1024;
/// Maximum number of data columns with the default number of rows.
const DEFAULT_COLUMNS: u64 = 256;
/// Number of elements of GF(2^16), which limits the numbers of columns.
const FIELD_SIZE: u64 = 65_536;

/// Shape of a parity file. All counts and offsets follow from `size`, `unit`, `rows` and `parity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    /// n, the number of protected bytes.
    pub(super) size: u64,
    /// U, the number of bytes of a unit.
    pub(super) unit: u64,
    /// K, the number of data columns.
    pub(super) columns: u64,
    /// M, the number of parity units in a row.
    pub(super) parity: u64,
    /// R, the number of rows.
    pub(super) rows: u64,
}

/// Numbers of a geometry that the caller requests. The library chooses `unit`, `parity` or `rows` if it is 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) unit: u32,
    pub(super) parity: u32,
    /// Share of parity in 1/10,000 of the data columns. Determines `parity` if that is 0.
    pub(super) redundancy: u32,
    pub(super) rows: u64,
}

impl Geometry {
    /// Returns the geometry for `size` protected bytes, with defaults for the numbers not requested. Fails with
    /// INVALID_ARGUMENT if a number is outside its limits.
    pub(super) fn choose(size: u64, wanted: &Wanted) -> Result<Geometry> {
        let refused = |text: String| Err(AtlasError::invalid_argument(text));
        // All products of these numbers stay within 64 bits below this size.
        if size > MAX_SIZE {
            return refused(format!("the source has {size} bytes and at most {MAX_SIZE} can be protected"));
        }
        // Unit size: derived from the size of the source unless the caller chose it.
        let unit = match wanted.unit {
            0 if size < LARGE => SMALL_UNIT,
            0 => LARGE_UNIT,
            unit => unit,
        };
        if !is_unit(unit) {
            return refused(format!("unit_size {unit} is not a multiple of 4096 from 4096 to {MAX_UNIT}"));
        }
        let unit = u64::from(unit);
        // An empty file has no unit to protect, and its parity file has only heads.
        if size == 0 {
            return Ok(Geometry { size, unit, columns: 0, parity: 0, rows: 0 });
        }
        // Rows: an odd number by default, so that damage at regular intervals spreads over all rows.
        let units = size.div_ceil(unit);
        let rows = match wanted.rows {
            0 => size.div_ceil(DEFAULT_COLUMNS * unit) | 1,
            rows => rows,
        };
        if rows > units {
            return refused(format!("rows {rows} are more than the {units} units of {unit} bytes"));
        }
        // The numbers of columns and parity units follow.
        let columns = units.div_ceil(rows);
        let parity = match wanted.parity {
            0 => default_parity(columns, wanted.redundancy)?,
            parity => u64::from(parity),
        };
        // The code words must fit the field.
        let geometry = Geometry { size, unit, columns, parity, rows };
        if parity > columns {
            return refused(format!("parity_columns {parity} are more than the {columns} data columns"));
        }
        if !geometry.fits_field() {
            return refused(format!(
                "{columns} data columns and {parity} parity columns are too many: data columns plus the \
                 next power of two of the parity columns may be at most {FIELD_SIZE}; more rows make \
                 fewer columns"
            ));
        }
        Ok(geometry)
    }

    /// Returns the geometry for another number of protected bytes, with the same unit size, rows and parity
    /// units per row. `None` if these do not fit the new size.
    pub(super) fn resized(&self, size: u64) -> Option<Geometry> {
        // An empty file has no rows to which bytes could be added.
        if size == 0 || self.rows == 0 {
            return None;
        }
        let columns = size.div_ceil(self.unit).div_ceil(self.rows);
        let geometry = Geometry { size, columns, ..*self };
        geometry.is_valid().then_some(geometry)
    }

    /// Returns true if the fields are consistent and within their limits.
    pub(super) fn is_valid(&self) -> bool {
        // The numbers come from a file, so that each is bounded before it is multiplied.
        let unit = u32::try_from(self.unit).unwrap_or(0);
        if !is_unit(unit) || self.size > MAX_SIZE {
            return false;
        }
        if self.size == 0 {
            return self.columns == 0 && self.parity == 0 && self.rows == 0;
        }
        (1..=self.units()).contains(&self.rows)
            && self.columns == self.units().div_ceil(self.rows)
            && (1..=self.columns).contains(&self.parity)
            && self.fits_field()
    }

    fn fits_field(&self) -> bool {
        self.columns.saturating_add(self.parity.next_power_of_two()) <= FIELD_SIZE
    }

    /// Returns Q, the number of data units.
    pub(super) fn units(&self) -> u64 {
        self.size.div_ceil(self.unit)
    }

    /// Returns the number of parity units of all rows.
    pub(super) fn parity_units(&self) -> u64 {
        self.parity * self.rows
    }

    /// Returns the number of all units, which is also the number of digests. Parity units come after data
    /// units.
    pub(super) fn all_units(&self) -> u64 {
        self.units() + self.parity_units()
    }

    /// Returns D, the number of blocks in each of the two copies of the digests.
    pub(super) fn blocks(&self) -> u64 {
        // An empty file has a block too, because the head is in it.
        self.all_units().div_ceil(DIGESTS_A_BLOCK).max(1)
    }

    /// Returns S, the number of bytes of the complete parity file.
    pub(super) fn file_size(&self) -> u64 {
        2 * BLOCK * self.blocks() + self.parity_units() * self.unit
    }

    /// Returns the offset of the block `block` of one of the two copies in the parity file.
    pub(super) fn block_offset(&self, copy: Copies, block: u64) -> u64 {
        let start = match copy {
            Copies::Head => 0,
            Copies::Tail => self.file_size() - BLOCK * self.blocks(),
        };
        start + BLOCK * block
    }

    /// Returns the offset of a unit: of a data unit in the protected file, of a parity unit in the parity
    /// file.
    pub(super) fn unit_offset(&self, index: u64) -> u64 {
        match index.checked_sub(self.units()) {
            None => index * self.unit,
            Some(parity) => BLOCK * self.blocks() + parity * self.unit,
        }
    }

    /// Returns the number of protected bytes in the data unit `index`. Only the last unit may have fewer than
    /// U.
    pub(super) fn data_len(&self, index: u64) -> u64 {
        self.unit.min(self.size - index * self.unit)
    }

    /// Returns the row of the data unit or parity unit `index`.
    pub(super) fn row(&self, index: u64) -> u64 {
        // Parity units are numbered column by column as well.
        index.checked_sub(self.units()).unwrap_or(index) % self.rows.max(1)
    }

    /// Returns column and unit number of each data unit of a row. The last column may have no unit in this row.
    pub(super) fn data_of_row(&self, row: u64) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (units, rows) = (self.units(), self.rows);
        (0..self.columns)
            // A column is R consecutive units of the file.
            .map(move |column| (column, column * rows + row))
            .filter(move |(_, unit)| *unit < units)
    }

    /// Returns the unit numbers of the parity units of a row.
    pub(super) fn parity_of_row(&self, row: u64) -> impl Iterator<Item = u64> + use<> {
        let (units, rows) = (self.units(), self.rows);
        (0..self.parity).map(move |parity| units + parity * rows + row)
    }

    /// Returns the length of the longest run of lost bytes in the protected file that can be rebuilt wherever
    /// it begins.
    pub(super) fn burst(&self) -> u64 {
        // With as many parity units as data units, the parity units alone rebuild everything.
        if self.parity == self.columns {
            return self.size;
        }
        // A run one byte longer can touch M·R + 1 units, and so M + 1 units of a row.
        ((self.parity_units() - 1) * self.unit + 1).min(self.size)
    }

    /// Returns the numbers of the units whose digests the block `block` has.
    pub(super) fn units_of_block(&self, block: u64) -> Range<u64> {
        let start = block * DIGESTS_A_BLOCK;
        start..(start + DIGESTS_A_BLOCK).min(self.all_units())
    }

    /// Returns U, the number of bytes of a unit, as a `usize`.
    pub(super) fn unit_len(&self) -> usize {
        to_usize(self.unit)
    }
}

/// The two copies of the blocks of digests: at the beginning and at the end of the parity file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copies {
    Head,
    Tail,
}

impl Copies {
    pub(super) const BOTH: [Copies; 2] = [Copies::Head, Copies::Tail];
}

fn is_unit(unit: u32) -> bool {
    (SMALL_UNIT..=MAX_UNIT).contains(&unit) && unit.is_multiple_of(SMALL_UNIT)
}

/// Returns M, the number of parity units of a row, for a redundancy in 1/10,000 of `columns`: at least 2, and
/// at most `columns`. Fails with INVALID_ARGUMENT above 10,000.
fn default_parity(columns: u64, redundancy: u32) -> Result<u64> {
    if redundancy > 10_000 {
        return Err(AtlasError::invalid_argument(format!(
            "redundancy {redundancy} is outside 0..=10000: its unit is 1/10,000 of the data columns"
        )));
    }
    let share = columns.saturating_mul(u64::from(redundancy)).div_ceil(10_000);
    // There are at least two parity units, so that a second bad unit does not lose a row.
    Ok(share.max(2).min(columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_geometry_from_a_file_is_bounded_in_every_field() {
        let good = Geometry { size: 100_000, unit: 4_096, columns: 5, parity: 2, rows: 5 };
        assert!(good.is_valid());
        let none = Geometry { size: 0, unit: 4_096, columns: 0, parity: 0, rows: 0 };
        assert!(none.is_valid());
        let units = (MAX_SIZE + 1).div_ceil(4_096);
        for bad in [
            Geometry { unit: 0, ..good },
            Geometry { unit: 4_097, ..good },
            Geometry { unit: u64::from(MAX_UNIT) + 4_096, ..good },
            Geometry { size: MAX_SIZE + 1, rows: units.div_ceil(5), ..good },
            Geometry { size: u64::MAX, rows: (u64::MAX / 4_096 + 1).div_ceil(5), ..good },
            Geometry { columns: 4, ..good },
            Geometry { columns: 6, ..good },
            Geometry { parity: 0, ..good },
            Geometry { parity: 6, ..good },
            Geometry { rows: 0, ..good },
            Geometry { rows: 26, columns: 1, parity: 1, ..good },
            Geometry { rows: 1, ..none },
            Geometry { columns: 1, ..none },
            Geometry { parity: 1, ..none },
        ] {
            assert!(!bad.is_valid(), "size {}, unit {}, columns {}", bad.size, bad.unit, bad.columns);
        }
    }

    #[test]
    fn the_redundancy_is_rounded_up_between_two_units_and_all() {
        for (columns, redundancy, parity) in
            [(1, 0, 1), (2, 10_000, 2), (100, 0, 2), (100, 201, 3), (100, 9_999, 100), (100, 10_000, 100)]
        {
            assert_eq!(default_parity(columns, redundancy).unwrap(), parity, "{columns} {redundancy}");
        }
        assert_eq!(default_parity(100, 10_001).unwrap_err().kind(), crate::ErrorKind::InvalidArgument);
    }
}
