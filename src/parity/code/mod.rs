//! The code of a row: K data units and M parity units, any M of which may be lost (docs/parity.md, "Code").
//!
//! [`Encoder`] makes the parity of a piece, the same range of bytes of all columns. The columns come one after
//! the other and are folded p at a time (p is M rounded up to a power of two), so that the encoder needs memory
//! for 2p pieces whatever K is.
//!
//! Decoding uses syndromes. The row is encoded with zeros in place of its q lost units; the result xored with q
//! parity units is the share of the lost units alone. This share is multiplied by the inverse of the q × q part
//! of the matrix, which has a formula because the matrix is a Cauchy matrix. For few lost units
//! [`Code::add_product`] makes these q parity units directly from the matrix, which needs less memory and less
//! time than the transforms. For thousands of lost units the q² products would take minutes per row: then the
//! decoder of the crate reed-solomon-simd gets the share, slice by slice.

#![forbid(unsafe_code)]

#[cfg(not(feature = "parity"))]
mod absent;
#[cfg(feature = "parity")]
mod engine;

#[cfg(not(feature = "parity"))]
pub(super) use absent::Engine;
#[cfg(not(feature = "parity"))]
use absent::LongDecoder;
#[cfg(feature = "parity")]
pub(super) use engine::Engine;
#[cfg(feature = "parity")]
use engine::LongDecoder;

use super::geometry::Geometry;
use crate::base::buffer::{Buffer, is_zero, try_vec};
use crate::base::error::Result;
use crate::base::units::{to_u64, to_usize};
use std::ops::Range;

/// Number of bytes of 32 symbols of 16 bits: first their 32 low bytes, then their 32 high bytes.
const LINE: usize = 64;
pub(super) type Line = [u8; LINE];

/// Approximate number of bytes, of `p` columns together, that are transformed at a time. They stay in the
/// processor's cache.
const SLICES: usize = 64 * 1024;
/// Maximum number of bytes of a column that are transformed at a time. The size of a unit is a multiple of it.
const MAX_SLICE: usize = 4 * 1024;
/// Minimum number of bytes of a column that are transformed at a time. Fewer would be slower, because the
/// tables of a factor are loaded for each slice.
const MIN_SLICE: usize = 512;

/// Maximum number of bytes, of all columns together, that [`LongDecoder`] processes at a time.
const LONG: usize = 16 * 1024 * 1024;

/// Number of field elements other than 0, and so of logarithms: x^65535 = 1.
const ORDER: u64 = 65_535;

/// Reed–Solomon code of the rows of one geometry: K data units and M parity units.
pub(super) struct Code {
    engine: Engine,
    /// K, the number of data columns.
    columns: usize,
    /// M, the number of parity units of a row.
    parity: usize,
    /// p, M rounded up to a power of two.
    points: usize,
    /// Logarithm of the factor Z_j / Z_0 (docs/parity.md, "Code") for each group of p columns, which have the
    /// same Z_j: the numbers below p are a subspace, and the product of [x xor l] over them depends on the
    /// coset of x alone.
    factors: Vec<u16>,
}

impl Code {
    /// Returns the code for a geometry with at least one protected byte.
    pub(super) fn new(geometry: &Geometry) -> Result<Code> {
        let engine = Engine::new()?;
        let (columns, parity) = (to_usize(geometry.columns), to_usize(geometry.parity));
        // The points of a column group differ only in their high bits, so that one factor serves the group.
        let points = parity.next_power_of_two();
        // Products are sums of logarithms; `skipped` leaves out the factor [0] of Z_0.
        let product = |first: usize, skipped: usize| -> u64 {
            (skipped..points).map(|l| u64::from(engine.log(number(first ^ l)))).sum()
        };
        let divisor = product(0, 1) % ORDER;
        // The first group begins at the point p, the next at 2p.
        let groups = columns.div_ceil(points);
        let mut factors = try_vec(groups)?;
        factors.extend((1..=groups).map(|group| reduced(product(group * points, 0) + ORDER - divisor)));
        Ok(Code { engine, columns, parity, points, factors })
    }

    /// Returns p, M rounded up to a power of two.
    pub(super) fn points(&self) -> usize {
        self.points
    }

    /// Returns M, the number of parity units of a row.
    pub(super) fn parity(&self) -> usize {
        self.parity
    }

    /// Returns the number of bytes of memory of the code for a geometry, including the tables of GF(2^16).
    pub(super) fn footprint(geometry: &Geometry) -> u64 {
        Engine::TABLES + 2 * geometry.columns
    }

    /// Returns the number of bytes of each column that the encoder transforms at a time.
    fn slice(&self) -> usize {
        // The slices of all p columns together fit the cache.
        (SLICES / self.points).clamp(MIN_SLICE, MAX_SLICE)
    }

    /// Returns the logarithm of g_ij, the factor with which data column `column` enters parity unit `row`.
    fn log(&self, row: usize, column: usize) -> u16 {
        // Column j belongs to the point p + j, parity unit i to the point i.
        let point = self.points + column;
        let sum = number(point ^ row);
        reduced(u64::from(self.factors[column / self.points]) + ORDER - u64::from(self.engine.log(sum)))
    }

    /// Multiplies `data`, a unit of data column `column`, by its factor for each parity unit in `rows`, and
    /// adds the product to the buffer of that parity unit in `sums`. The contents of `data` are unspecified
    /// afterwards.
    pub(super) fn add_product(&self, column: usize, data: &mut [u8], rows: &[usize], sums: &mut [Buffer]) {
        debug_assert!(column < self.columns);
        // Slice by slice, multiplying by the quotient of neighbouring factors, so that no copy is needed.
        for start in (0..data.len()).step_by(MAX_SLICE) {
            let slice = start..(start + MAX_SLICE).min(data.len());
            let part = lines_mut(&mut data[slice.clone()]);
            // Logarithm of the factor by which `part` is already multiplied.
            let mut done = 0;
            for (row, sum) in rows.iter().zip(sums.iter_mut()) {
                let log = self.log(*row, column);
                self.engine.multiply(part, quotient(log, done));
                done = log;
                // Addition in the field is the exclusive or.
                xor(lines_mut(&mut sum[slice.clone()]), part);
            }
        }
    }

    /// Rebuilds the lost units of a row into `units`. `lost` has their columns. For each parity unit in `rows`,
    /// `sums` has the share of the lost units in it. The contents of `sums` are unspecified afterwards.
    pub(super) fn solve(
        &self,
        lost: &[usize],
        rows: &[usize],
        sums: &mut [Buffer],
        units: &mut [Buffer],
    ) -> Result<()> {
        // Thousands of lost units: q² products would take longer than transforms.
        if self.is_long(lost.len()) {
            return self.solve_long(lost, rows, sums, units);
        }
        // Multiply the sums by the inverse, slice by slice.
        let inverse = Inverse::new(self, lost, rows)?;
        for unit in units.iter_mut() {
            unit.fill(0);
        }
        let len = units.first().map_or(0, |unit| unit.len());
        for start in (0..len).step_by(MAX_SLICE) {
            let slice = start..(start + MAX_SLICE).min(len);
            for (row, sum) in sums.iter_mut().enumerate() {
                let part = lines_mut(&mut sum[slice.clone()]);
                // A share of zeros adds nothing to any lost unit.
                if is_zero(part.as_flattened()) {
                    continue;
                }
                // As in `add_product`, the slice is multiplied by quotients.
                let mut done = 0;
                for (place, unit) in units.iter_mut().enumerate() {
                    let log = inverse.log(self, place, row);
                    self.engine.multiply(part, quotient(log, done));
                    done = log;
                    xor(lines_mut(&mut unit[slice.clone()]), part);
                }
            }
        }
        Ok(())
    }

    /// Returns true if rebuilding `lost` units with an inverse matrix takes more time than with
    /// [`LongDecoder`].
    fn is_long(&self, lost: usize) -> bool {
        // The transforms take a number of steps that does not depend on q.
        let shards = LongDecoder::shards(self.columns, self.parity).max(2);
        lost * lost > 2 * shards * shards.ilog2() as usize
    }

    /// Returns the number of bytes of each column that [`LongDecoder`] processes at a time.
    fn long_slice(columns: usize, parity: usize) -> usize {
        let shards = LongDecoder::shards(columns, parity).max(1);
        // All shards of a slice are in memory at a time.
        (LONG / shards / LINE * LINE).clamp(LINE, MAX_SLICE)
    }

    /// Returns the number of bytes of memory that [`solve`](Self::solve) needs for `lost` units, besides its
    /// buffers `sums` and `units`.
    pub(super) fn solving_footprint(geometry: &Geometry, lost: u64) -> u64 {
        let (columns, parity) = (to_usize(geometry.columns), to_usize(geometry.parity));
        let shards = to_u64(LongDecoder::shards(columns, parity));
        // The rule is the same as in `is_long`, with a place for each shard.
        if lost * lost <= 2 * shards.max(2) * u64::from(shards.max(2).ilog2()) {
            return 0;
        }
        shards * (to_u64(Self::long_slice(columns, parity)) + 1)
    }

    fn solve_long(
        &self,
        lost: &[usize],
        rows: &[usize],
        sums: &mut [Buffer],
        units: &mut [Buffer],
    ) -> Result<()> {
        let len = units.first().map_or(0, |unit| unit.len());
        let slice = Self::long_slice(self.columns, self.parity).min(len);
        // The decoder is made once per row, because its memory is large.
        let mut decoder = LongDecoder::new(self.columns, self.parity, slice)?;
        let mut start = 0;
        while start < len {
            // The length of a slice is fixed, so that the last slice may overlap the slice before.
            let from = start.min(len - slice);
            decoder.solve(lost, rows, sums, units, from..from + slice)?;
            start += slice;
        }
        Ok(())
    }
}

/// Inverse of the part of the code's matrix in the lost columns and the chosen parity units, by Cauchy's
/// formula. The symbols are those of docs/parity.md, "Code".
///
/// With x_i = [i] for parity unit i and y_j = [p + j] for data column j, the matrix is Z_j / Z_0 · 1 / (x_i + y_j). One logarithm is kept for each
/// lost column and for each parity unit, and the logarithm of an entry follows from two of them, so that memory
/// grows with q, the number of lost units, and not with q².
struct Inverse<'a> {
    lost: &'a [usize],
    rows: &'a [usize],
    of_lost: Vec<u16>,
    of_rows: Vec<u16>,
}

impl<'a> Inverse<'a> {
    fn new(code: &Code, lost: &'a [usize], rows: &'a [usize]) -> Result<Inverse<'a>> {
        debug_assert_eq!(lost.len(), rows.len());
        let log = |a: usize, b: usize| u64::from(code.engine.log(number(a ^ b)));
        let point = |column: usize| code.points + column;
        // Numerators are products of (x + y), denominators of differences among the x or among the y.
        let quotient = |above: u64, below: u64| reduced(above % ORDER + ORDER - below % ORDER);
        // One product per lost column, and one per row.
        let (mut of_lost, mut of_rows) = (try_vec(lost.len())?, try_vec(rows.len())?);
        // The factor of a column is divided out, because it stands before every entry of the matrix.
        of_lost.extend(lost.iter().map(|&column| {
            let above = rows.iter().map(|&row| log(row, point(column))).sum();
            let others = lost.iter().filter(|&&other| other != column);
            let below: u64 = others.map(|&other| log(point(other), point(column))).sum();
            quotient(above, below + u64::from(code.factors[column / code.points]))
        }));
        of_rows.extend(rows.iter().map(|&row| {
            let above = lost.iter().map(|&column| log(row, point(column))).sum();
            let below = rows.iter().filter(|&&other| other != row).map(|&other| log(other, row)).sum();
            quotient(above, below)
        }));
        Ok(Inverse { lost, rows, of_lost, of_rows })
    }

    /// Returns the logarithm of the inverse's entry for the lost column `lost[place]` and the parity unit
    /// `rows[row]`.
    fn log(&self, code: &Code, place: usize, row: usize) -> u16 {
        // The entry is the product of both lists, divided by x + y.
        let sum = number((code.points + self.lost[place]) ^ self.rows[row]);
        let product = u64::from(self.of_lost[place]) + u64::from(self.of_rows[row]);
        reduced(product + ORDER - u64::from(code.engine.log(sum)))
    }
}

/// Encoder of the parity of one piece, which is the same range of bytes of all data columns.
///
/// The bytes of a piece lie in slices: the slices of p columns at the same offset are neighbours, and are
/// transformed together while they are in the cache.
pub(super) struct Encoder {
    /// Bytes of the p columns that the encoder holds at present: columns are encoded in groups of p.
    work: Buffer,
    /// Sum of the inverse transforms of the groups of columns so far. After [`finish`](Self::finish), the
    /// parity.
    sums: Buffer,
    slice: usize,
    points: usize,
    /// Two flags for each offset of a slice. `work`: one of the columns in `work` is not all zeros at this offset.
    /// `sums`: a column of an earlier group was not.
    marks: Vec<Marks>,
}

#[derive(Clone, Copy, Default)]
struct Marks {
    work: bool,
    sums: bool,
}

impl Encoder {
    /// Returns an encoder for pieces of up to `len` bytes of a column.
    pub(super) fn new(code: &Code, len: usize) -> Result<Encoder> {
        let (slice, points) = (code.slice(), code.points);
        debug_assert!(len.is_multiple_of(MAX_SLICE));
        let mut marks = try_vec(len / slice)?;
        // A mark for each slice, so that zeros cost no transform.
        marks.resize(len / slice, Marks::default());
        Ok(Encoder {
            work: Buffer::new(points * len)?,
            sums: Buffer::new(points * len)?,
            slice,
            points,
            marks,
        })
    }

    /// Returns the number of bytes of memory of an encoder for pieces of `len` bytes of a column, with p =
    /// `points`.
    pub(super) fn footprint(points: u64, len: u64) -> u64 {
        let buffer =
            to_u64(Buffer::footprint(usize::try_from(points.saturating_mul(len)).unwrap_or(usize::MAX)));
        buffer.saturating_mul(2).saturating_add(len / to_u64(MIN_SLICE) * to_u64(size_of::<Marks>()))
    }

    /// Begins another piece, without any column.
    pub(super) fn begin(&mut self) {
        // The buffers are not cleared, because a slice without a mark is never read.
        self.marks.fill(Marks::default());
    }

    /// Stores `bytes` of the data column `column`, at `offset` of the piece, for the next [`fold`](Self::fold).
    /// Offset and length are multiples of a slice.
    pub(super) fn put(&mut self, column: usize, offset: usize, bytes: &[u8]) {
        let (place, slice) = (column % self.points, self.slice);
        debug_assert!(offset.is_multiple_of(slice) && bytes.len().is_multiple_of(slice));
        for (index, part) in (offset / slice..).zip(bytes.chunks(slice)) {
            // Slices of p columns at the same place are neighbours.
            let start = (index * self.points + place) * slice;
            self.work[start..start + slice].copy_from_slice(part);
            self.marks[index].work |= !is_zero(part);
        }
    }

    /// Stores `len` zeros of the data column `column`, at `offset` of the piece, for the next
    /// [`fold`](Self::fold).
    pub(super) fn put_zeros(&mut self, column: usize, offset: usize, len: usize) {
        let (place, slice) = (column % self.points, self.slice);
        for index in offset / slice..(offset + len) / slice {
            let start = (index * self.points + place) * slice;
            // The mark is not cleared, because another column may have set it.
            self.work[start..start + slice].fill(0);
        }
    }

    /// Adds the columns stored since the last fold to the parity of the byte range `part` of the piece. `last`
    /// is the last of these columns.
    pub(super) fn fold(&mut self, code: &Code, last: usize, part: Range<usize>) {
        let (slice, points) = (self.slice, self.points);
        // The last group may have fewer than p columns.
        let (at, used) = (last / points * points, last % points + 1);
        // Slices in which all present columns are zeros add nothing.
        for index in part.start / slice..part.end / slice {
            let marks = &mut self.marks[index];
            if !std::mem::take(&mut marks.work) {
                continue;
            }
            let range = index * points * slice..(index + 1) * points * slice;
            let (work, sums) = (&mut self.work[range.clone()], &mut self.sums[range]);
            // Columns after K are zeros.
            work[used * slice..].fill(0);
            // The group's first column is at the point `at` + p.
            code.engine.inverse(lines_mut(work), points, used, at + points);
            // The transforms of all groups are added; the first is copied.
            if std::mem::replace(&mut marks.sums, true) {
                xor(lines_mut(sums), lines(work));
            } else {
                sums.copy_from_slice(work);
            }
        }
    }

    /// Completes the parity of the byte range `part` of the piece, after its last column was folded.
    /// [`parity`](Self::parity) then copies it out.
    pub(super) fn finish(&mut self, code: &Code, part: Range<usize>) {
        let (slice, points) = (self.slice, self.points);
        for index in part.start / slice..part.end / slice {
            let sums = &mut self.sums[index * points * slice..(index + 1) * points * slice];
            if self.marks[index].sums {
                // One forward transform for all groups; only the first M of its p values are parity.
                code.engine.forward(lines_mut(sums), points, code.parity);
            } else {
                sums[..code.parity * slice].fill(0);
            }
        }
    }

    /// Fills `out` with bytes of parity unit `row`, from `offset` of the piece on. This part of the piece must
    /// be finished.
    pub(super) fn parity(&self, row: usize, offset: usize, out: &mut [u8]) {
        let slice = self.slice;
        for (index, out) in (offset / slice..).zip(out.chunks_mut(slice)) {
            let start = (index * self.points + row) * slice;
            out.copy_from_slice(&self.sums[start..start + slice]);
        }
    }
}

/// Converts `value` to the number of a field element. It fits 16 bits, because callers ensure that K + p ≤
/// 65,536.
fn number(value: usize) -> u16 {
    debug_assert!(value <= usize::from(u16::MAX));
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// Reduces a sum of logarithms to the logarithm of the product.
fn reduced(sum: u64) -> u16 {
    u16::try_from(sum % ORDER).unwrap_or(0)
}

/// Returns the logarithm of the factor that turns an element with logarithm `from` into an element with
/// logarithm `to`.
fn quotient(to: u16, from: u16) -> u16 {
    reduced(u64::from(to) + ORDER - u64::from(from))
}

fn lines(bytes: &[u8]) -> &[Line] {
    bytes.as_chunks().0
}

fn lines_mut(bytes: &mut [u8]) -> &mut [Line] {
    bytes.as_chunks_mut().0
}

/// Computes `x ^= y` for bytes whose number is a multiple of 64.
pub(super) fn xor_into(x: &mut [u8], y: &[u8]) {
    xor(lines_mut(x), lines(y));
}

fn xor(x: &mut [Line], y: &[Line]) {
    for (x, y) in x.iter_mut().zip(y) {
        for (x, y) in x.iter_mut().zip(y) {
            *x ^= y;
        }
    }
}

#[cfg(test)]
#[cfg(feature = "parity")]
mod tests;
